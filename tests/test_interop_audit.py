"""``audit``: a stand-in for a framework, in NumPy, with each way in which a gradient can be no derivative."""

import re
import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnn_dynamics as rd
from rnn_dynamics.cells import Bidirectional, ElmanRNN, rollout
from rnn_dynamics.gradients import gradient_norms
from rnn_dynamics.interop import Audit, Cause, audit
from rnn_dynamics.interop.audits import auditing
from rnn_dynamics.interop.audits.runtimes import Runtime

N, M, T = 4, 3, 60
RNG = np.random.default_rng(5)
W = 0.6 * np.linalg.qr(RNG.normal(size=(N, N)))[0]
B, W_IN = 0.1 * RNG.normal(size=N), RNG.normal(size=(N, M))
INPUTS = RNG.normal(size=(T, M))
CELL = ElmanRNN(W, B, W_IN, activation="tanh")


class Framework:
    """x⁺ = tanh(W x + W_in u + b) and its reverse pass, in NumPy, in one dtype."""

    def __init__(self, dtype="float64", W=W, inner=None):
        self.dtype = np.dtype(dtype)
        self.W, self.B, self.W_in = (array.astype(dtype) for array in (W, B, W_IN))
        self.inner = self.dtype if inner is None else np.dtype(inner)

    def __call__(self, inputs):
        x, states = np.zeros(N, self.dtype), []
        for u in inputs.astype(self.dtype):
            x = np.tanh(self.W.dot(x) + self.W_in.dot(u) + self.B).astype(self.inner).astype(self.dtype)
            states.append(x)
        return np.array(states)

    def vjp(self, inputs, cotangent):
        states, g, found = self(inputs), cotangent.astype(self.dtype), np.zeros(inputs.shape, self.dtype)
        for t in range(len(inputs) - 1, -1, -1):
            g = self.of_state(g, t) * self.slope(states[t])
            found[t] = self.W_in.T.dot(g)
            g = self.W.T.dot(g)
        return self.of_inputs(found)

    def slope(self, x):
        return 1 - x**2

    def of_state(self, g, t):
        return g

    def of_inputs(self, found):
        return found


def replaced(dtype="float64", options=None, **methods):
    return type("Framework", (Framework,), {k: staticmethod(v) for k, v in methods.items()})(
        dtype, **(options or {})
    )


def test_a_right_gradient_agrees_and_norms_are_those_of_the_products():
    found = audit(Framework(), INPUTS, cell=CELL)
    assert found.agrees
    assert found.cause == Cause.AGREES
    assert found.parted is None
    assert found.differences.max() < 1e-12
    assert set(found.supports) == {"both"}
    # With every output a probe the norm is ‖∂x_T/∂u_k‖, here by matrices of an independent product.
    states, product, logs = Framework()(INPUTS), np.eye(N), []
    for t in range(T - 1, -1, -1):
        product = product * (1 - states[t] ** 2)
        logs.append(np.log10(np.linalg.norm(product.dot(W_IN))))
        product = product.dot(W)
    np.testing.assert_allclose(found.log10_ours, logs, atol=1e-12)
    np.testing.assert_allclose(found.log10_theirs, logs, atol=1e-12)
    assert "is the derivative of its map at all 60 lags" in found.verdict


def noisy(found):
    """As by a difference of large numbers, whose last place is left: it depends on every bit of the rest."""
    noise = np.random.default_rng(found.view(np.uint32).sum()).normal(size=found.shape)
    return found + (1e-7 * noise).astype(found.dtype)


def clipped(g, t):
    return np.clip(g, -0.05, 0.05)


def of_one_path(g, t):
    return g * np.array([1, 1, 1, 0.0])


CASES = {
    "noise floor": (replaced("float32", of_inputs=noisy), Cause.FLOOR, "noise floor"),
    "underflow": (replaced("float32", {"W": 0.01 * W}), Cause.UNDERFLOW, "underflow"),
    "cut at a segment": (
        replaced(of_state=lambda g, t: g * (t >= 40)),
        Cause.CUT,
        "at lag 20 it gives 0, the derivative is 10^",
    ),
    "clipped": (replaced(of_state=clipped), Cause.CLIPPED, "clips"),
    "a path stopped": (replaced(of_state=of_one_path), Cause.STOPPED, "bear out the derivative"),
    "a slope capped": (replaced(slope=lambda x: np.minimum(1 - x**2, 0.5)), Cause.STOPPED, "slope capped"),
    "another slope": (replaced(slope=lambda x: 1.1 * (1 - x**2)), Cause.OTHER, "another derivative"),
    "float32 inside": (replaced(options={"inner": "float32"}), Cause.PRECISION, "coarser numbers inside"),
    "half on the way back": (
        replaced("float32", of_inputs=lambda found: found.astype(np.float16).astype(np.float32)),
        Cause.PRECISION,
        "coarser numbers inside",
    ),
    "not finite": (replaced(of_state=lambda g, t: g / (t > 30)), Cause.OVERFLOW, "overflow"),
    "other weights": (replaced(options={"W": W.T}), Cause.STATES, "rd.interop.check(cell, inputs, outputs)"),
}


@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning", "ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("name", CASES)
def test_each_cause_is_told_from_the_others(name):
    module, cause, words = CASES[name]
    cell = ElmanRNN(0.01 * W, B, W_IN) if name == "underflow" else CELL
    found = audit(module, INPUTS, cell=cell)
    assert found.cause == cause, str(found)
    assert not found.agrees
    assert words in found.verdict
    assert cause.name.lower() in str(found)
    assert found.evidence
    at = found.checked.tolist().index(found.parted)
    if cause in (Cause.CUT, Cause.STOPPED, Cause.OTHER, Cause.CLIPPED):
        assert found.supports[at] == "ours", str(found)


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        (np.arange(T) >= 40, "From lag 20 on every entry"),
        (np.arange(T) != 40, "At lag 19 every entry"),
        (np.arange(T) % 20 > 0, "At 3 lags, 19 the first, every entry"),
    ],
)
def test_evidence_says_at_which_lags_a_gradient_is_cut(kept, words):
    found = audit(replaced(of_inputs=lambda found: found * kept[:, None]), INPUTS, cell=CELL)
    assert found.evidence[0].startswith(words)
    assert (np.flatnonzero(found.causes == Cause.CUT) == np.flatnonzero(~kept[::-1])).all()


def test_a_floor_is_found_where_it_is_and_ours_falls_below_every_float():
    falling, steps = ElmanRNN(0.05 * W, B, W_IN), 500
    inputs = RNG.normal(size=(steps, M))
    found = audit(replaced("float32", {"W": 0.05 * W}, of_inputs=noisy), inputs, cell=falling)
    assert found.parted in (2, 3, 4)
    assert found.cause == Cause.FLOOR
    assert found.log10_ours[-1] < -700
    assert np.all(found.log10_theirs[10:] > -8)
    # The inputs' gradient falls as the state's does.
    with jax.enable_x64(True):
        run = rollout(falling, np.zeros(N), inputs.astype("float32").astype(float))
    whole = np.asarray(gradient_norms(run, ord="fro")) / np.log(10)
    assert abs((found.log10_ours[-1] - found.log10_ours[-100]) - (whole[1] - whole[100])) < 1


def spiking(x, u):
    """A leaky unit that is reset by θ once it is above it."""
    return 0.9 * x + jnp.matmul(jnp.asarray(W_IN), u, precision="highest") - 0.5 * jnp.heaviside(x - 0.5, 0.0)


def test_a_surrogate_is_told_by_the_jumps_of_the_map():
    @jax.custom_jvp
    def spike(v):
        return jnp.heaviside(v, 0.0)

    spike.defjvp(lambda v, dv: (spike(*v), dv[0] / (1 + 10 * jnp.abs(v[0])) ** 2))

    def run(inputs):
        def step(x, u):
            into = jnp.matmul(jnp.asarray(W_IN), u, precision="highest")
            x = 0.9 * x + into - 0.5 * spike(x - 0.5)
            return x, x

        return jax.lax.scan(step, jnp.zeros(N), inputs)[1]

    found = audit(run, 0.5 * INPUTS, cell=spiking, x0=np.zeros(N))
    assert (found.cause, found.parted) == (Cause.SURROGATE, 1)
    assert "The outputs jump" in found.evidence[-1]
    assert found.framework.startswith("jax ")
    assert found.log10_ours[-1] == pytest.approx(np.log10(0.9**59 * np.linalg.norm(W_IN)), abs=1e-9)


class BothWays:
    """Two layers of tanh units in both directions and their reverse pass, in NumPy; outputs [forward, backward]."""

    def __init__(self, of_inputs=lambda found: found, read=lambda y: y):
        self.of_inputs, self.read = of_inputs, read

    def layers(self, u):
        outputs = [u]
        for W_in, W_back in zip(INTO, BACK, strict=True):
            y = np.zeros((len(u), 2 * N))
            for way, order in enumerate((range(len(u)), range(len(u) - 1, -1, -1))):
                x = np.zeros(N)
                for t in order:
                    x = np.tanh(W_back[way].dot(x) + W_in[way].dot(outputs[-1][t]))
                    y[t, way * N : way * N + N] = x
            outputs.append(y)
        return outputs

    def __call__(self, u):
        return self.read(self.layers(u)[-1])

    def vjp(self, u, cotangent):
        outputs = self.layers(u)
        owed = np.zeros_like(outputs[-1])
        owed[-1, : len(cotangent)] = cotangent
        for W_in, W_back, y, below in zip(
            INTO[::-1], BACK[::-1], outputs[:0:-1], outputs[-2::-1], strict=True
        ):
            passed = np.zeros_like(below)
            for way, order in enumerate((range(len(u) - 1, -1, -1), range(len(u)))):
                g, own = np.zeros(N), slice(way * N, way * N + N)
                for t in order:
                    g = (g + owed[t, own]) * (1 - y[t, own] ** 2)
                    passed[t] += W_in[way].T.dot(g)
                    g = W_back[way].T.dot(g)
            owed = passed
        return self.of_inputs(owed)


INTO = [RNG.normal(size=(2, N, width)) / 2 for width in (M, 2 * N)]
BACK = [0.7 * np.stack([W, W.T]) for _ in INTO]
BOTH = Bidirectional(
    [
        tuple(ElmanRNN(W_back[way], np.zeros(N), W_in[way]) for way in (0, 1))
        for W_in, W_back in zip(INTO, BACK, strict=True)
    ]
)


def test_a_network_that_reads_in_both_directions_and_its_readout():
    inputs = INPUTS[:20]
    found = audit(BothWays(), inputs, cell=BOTH)
    assert found.agrees, str(found)
    assert found.differences.max() < 1e-12
    assert set(found.supports) == {"both"}
    some = audit(BothWays(read=lambda y: y[:, :2]), inputs, cell=BOTH, readout=lambda y: y[:2], checks=0)
    assert some.differences.max() < 1e-12
    cut = audit(BothWays(lambda found: found * (np.arange(20) >= 10)[:, None]), inputs, cell=BOTH, checks=0)
    assert (cut.cause, cut.parted) == (Cause.CUT, 10)
    for module, words in ((lambda y: y[-1:], "all 20 steps"), (lambda y: y[:, :2], "module's 2 outputs")):
        with pytest.raises(ValueError, match=words):
            audit(BothWays(read=module), inputs, cell=BOTH)


def test_a_batch_of_one_stands_where_the_outputs_fit(monkeypatch):
    framework = Framework()

    def runtime(fits, **options):
        def outputs(u):
            return framework(u) if fits else framework(u)[::-1]

        return Runtime("one", outputs, framework.vjp, np.dtype("float64"), **options)

    monkeypatch.setattr(auditing, "runtime_of", lambda *_: runtime(False, turned=lambda: runtime(True)))
    assert audit(framework, INPUTS, cell=CELL).agrees
    monkeypatch.setattr(auditing, "runtime_of", lambda *_: runtime(False, turned=lambda: runtime(False)))
    assert audit(framework, INPUTS, cell=CELL).cause == Cause.STATES


def test_chaos_is_no_convention():
    wild = 1.8 * np.random.default_rng(22).normal(size=(N, N))
    inputs = 0.01 * RNG.normal(size=(200, M))
    found = audit(replaced("float32", {"W": wild}), inputs, cell=ElmanRNN(wild, B, W_IN))
    assert found.cause == Cause.ROUNDING
    assert "rounding decides both" in found.verdict


def test_readouts_last_outputs_and_functions_of_jax():
    cell = ElmanRNN(W, B, W_IN)
    read = RNG.normal(size=(2, N))

    def readout(x):
        return jnp.matmul(jnp.asarray(read), x, precision="highest")

    def last(inputs):
        return readout(rollout(cell, None, inputs).final)

    found = audit(last, INPUTS[:20], cell=cell, readout=readout)
    assert found.agrees
    assert found.output_errors.shape == (1,)
    # Thousands of outputs are probed by a few cotangents.
    assert audit(lambda u: rollout(cell, None, u).states[1:], INPUTS[:20], cell=cell, probes=2).agrees


def test_an_audit_is_kept_shown_and_drawn(tmp_path):
    module, _, _ = CASES["cut at a segment"]
    found = audit(module, INPUTS, cell=CELL)
    assert found.stretches == ((0, 19, Cause.AGREES), (20, 59, Cause.CUT))
    kept = Audit.load(found.save(tmp_path / "audit.npz"))
    assert str(kept) == str(found)
    page = found._repr_html_()
    assert "differences support" in page
    assert "What was measured" in page
    axes = found.plot()
    curves = [line.get_ydata() for line in axes.get_lines()]
    np.testing.assert_array_equal(curves[0], found.log10_ours)
    assert np.isnan(curves[1][20:]).all()
    assert curves[2][0] is not None
    assert list(axes.get_lines()[2].get_xdata()) == [20, 20]


class Both(Framework):
    """The same network in both directions, side by side; with a cut what comes back over it is lost."""

    cut = 0

    def __call__(self, inputs):
        return np.hstack([super().__call__(inputs), super().__call__(inputs[::-1])[::-1]])

    def vjp(self, inputs, cotangent):
        found = np.zeros((len(inputs), M))
        states, g = Framework.__call__(self, inputs), cotangent[:N]
        for t in range(len(inputs) - 1, self.cut - 1, -1):
            g = g * (1 - states[t] ** 2)
            found[t] = self.W_in.T.dot(g)
            g = self.W.T.dot(g)
        first = Framework.__call__(self, inputs[-1:])[0]
        found[-1] += self.W_in.T.dot(cotangent[N:] * (1 - first**2))
        return found


def test_a_network_of_both_directions():
    """Its last output has read all inputs forward, and the last one alone backward."""
    cell = Bidirectional([(CELL, CELL)])
    found = audit(Both(), INPUTS[:20], cell=cell)
    assert found.agrees
    assert found.differences.max() < 1e-12
    lost = Both()
    lost.cut = 8
    found = audit(lost, INPUTS[:20], cell=cell)
    assert (found.cause, found.parted) == (Cause.CUT, 12)
    with pytest.raises(ValueError, match=r"^x0: .*pair of states"):
        audit(Both(), INPUTS[:20], cell=cell, x0=np.zeros(N))


def test_outputs_by_name_are_refused_with_a_call():
    with pytest.raises(
        TypeError, match=r"^module: .*dict with the keys \['y'\].*lambda u: module\(u\[None\]\)\['y'\]"
    ):
        audit(lambda u: {"y": u}, INPUTS, cell=CELL)


class Held(Framework):
    """With weights by PyTorch's names under that of a part."""

    def state_dict(self):
        named = {"weight_hh": self.W, "weight_ih": self.W_in, "bias_ih": self.B, "bias_hh": 0 * self.B}
        return {f"core.{name}": array for name, array in named.items()}

    core = type("RNNCell", (), {"nonlinearity": "tanh"})()


def test_a_mask_that_padding_switches_on_is_another_map():
    """Steps of zeros are passed over; changed in their last place, they would no longer be."""

    class Masked(Framework):
        def __call__(self, inputs):
            read = inputs.any(axis=1)
            states = super().__call__(inputs[read])
            return states[np.maximum(np.cumsum(read) - 1, 0)]

    padded = np.where(np.arange(T)[:, None] % 5 == 2, 0, INPUTS)
    found = audit(Masked("float32"), padded.astype("float32"), cell=CELL)
    assert set(found.causes) == {Cause.STATES}
    assert "its outputs are not the cell's" in " ".join(repr(found).split())


def test_a_module_that_is_a_mapping_runs(monkeypatch):
    """Modules of MLX are dictionaries of their weights."""

    def vjp(function, inputs, cotangents):
        return [function(inputs[0])], [own.vjp(inputs[0], cotangents[0])]

    own = Framework("float32")
    monkeypatch.setitem(sys.modules, "mlx.core", SimpleNamespace(array=np.asarray, vjp=vjp))
    module = type("RNN", (dict,), {"__module__": "mlx.nn.layers", "__call__": lambda self, u: own(u)})
    found = audit(module(Wxh=W_IN, Whh=W), INPUTS, cell=CELL)
    assert found.agrees
    with pytest.raises(TypeError, match=r"^module: expected one that runs, got weights alone"):
        audit({"Wxh": W_IN, "Whh": W}, INPUTS, cell=CELL)


def test_an_rnn_of_linen_is_read_by_the_class_of_its_cell():
    """The name of the class around it is none of a cell; random keys have a dtype of their own."""
    params = {"cell": {"i": {"kernel": W_IN.T, "bias": B}, "h": {"kernel": W.T}}}

    def apply(self, variables, inputs):
        return rollout(CELL, np.zeros(N, inputs.dtype), inputs[:, 0]).states[1:, None]

    cell = type("SimpleCell", (), {})()
    rnn = type("RNN", (), {"cell": cell, "apply": apply, "time_major": True})()
    variables = {"params": params, "keys": jax.random.key(0)}
    found = audit((rnn, variables), INPUTS.astype("float32"), cell=CELL)
    assert found.agrees
    found = audit((rnn, {"params": params}), INPUTS.astype("float32"), activation="tanh")
    assert found.agrees
    with pytest.raises(ValueError, match=r"activation: expected 'tanh' or 'relu' or 'sigmoid'"):
        audit((rnn, {"params": params}), INPUTS)


def test_a_part_that_has_to_be_named_is_named_in_a_call():
    module = Held()
    with pytest.raises(ValueError, match=r"^cell: ") as said:
        audit(module, INPUTS)
    named = re.search(r'prefix="([^"]*)"', str(said.value))
    assert named is not None
    assert audit(module, INPUTS, prefix=named[1]).agrees
    call = f"rd.interop.from_module(module, {named[0]})"
    assert audit(module, INPUTS, cell=eval(call, {"rd": rd, "module": module})).agrees


class Random(Framework):
    def __call__(self, inputs):
        return super().__call__(inputs) + RNG.normal()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"module": 3}, r"^module: .*torch.*vjp\(inputs, cotangent\).*int"),
        ({"module": Framework(), "cell": None}, r"^cell: .*cannot be read from the module alone"),
        ({"cell": 3}, r"^cell: .*int"),
        ({"inputs": np.ones(3)}, r"^inputs: .*\(T, m\).*\(3,\)"),
        ({"inputs": np.full((4, M), np.nan)}, r"^inputs: .*finite"),
        ({"inputs": "half"}, r"^inputs: "),
        ({"module": Random()}, r"^module: .*same outputs.*module\.eval\(\)"),
        (
            {"module": replaced(of_state=lambda g, t: g + 1e-3 * RNG.normal(size=N))},
            r"^module: .*same gradient.*taken again",
        ),
        ({"x0": np.zeros(3)}, r"^x0: .*\(4,\).*\(3,\)"),
        ({"readout": lambda x: x[:2]}, r"^readout: .*4 entries.*2"),
        (
            {"readout": lambda x: np.asarray(x)[:4]},
            r"^readout: expected a function of JAX of .* entries, got Tracer",
        ),
        ({"probes": 0}, r"^probes: "),
        ({"checks": -1}, r"^checks: "),
        ({"tolerance": 0.0}, r"^tolerance: "),
        ({"framework": "theano"}, r"^framework: "),
        ({"module": lambda u: u, "framework": "tinygrad"}, r"^framework: .*imported.*tinygrad"),
        ({"module": "model.pt"}, r"^module: .*one that runs.*path 'model.pt'.*rd\.interop\.load"),
        ({"module": {"weight_hh_l0": W}}, r"^module: .*weights alone \(dict\)"),
        ({"module": CELL}, r"^module: .*ElmanRNN of this library.*cell="),
        ({"module": lambda u: u.nothing}, r"^module: .*\(60, 3\).*AttributeError"),
        ({"inputs": np.ones((2, 4, M))}, r"^inputs: .*\(2, 4, 3\); one sequence at a time, as inputs\[0\]"),
        ({"prefix": "rnn."}, r"^prefix: .*None where cell= is given.*'rnn\.'"),
        ({"module": lambda u: u[:3]}, r"^module: .*\(60, n\).*\(3, 3\)"),
        (
            {"cell": ElmanRNN(np.eye(2), np.zeros(2), np.ones((2, M)))},
            r"^readout: expected a function that makes the module.s 4 outputs of the cell.s state of 2 entries",
        ),
    ],
)
def test_errors_name_what_is_wrong(options, words):
    given = {"module": Framework(), "inputs": INPUTS, "cell": CELL} | options
    with pytest.raises((TypeError, ValueError), match=words):
        audit(**given)


def test_entries_that_underflow_before_the_norm_does_are_no_clipping():
    """Units that fade at unequal rates, and a runtime that takes what is below the normal numbers as 0."""

    def flushed(g, t):
        return np.where(np.abs(g) < np.finfo(np.float32).tiny, np.float32(0), g)

    weights = np.diag([0.5, 0.3, 0.2, 0.1]) @ np.linalg.qr(RNG.normal(size=(N, N)))[0]
    inputs = RNG.normal(size=(220, M))
    found = audit(
        replaced("float32", {"W": weights}, of_state=flushed), inputs, cell=ElmanRNN(weights, B, W_IN)
    )
    assert set(np.asarray(found.causes)) == {int(Cause.AGREES), int(Cause.UNDERFLOW)}
    first = int(np.flatnonzero(np.asarray(found.causes))[0])
    assert -38 < np.asarray(found.log10_ours)[first] < -33
    assert "underflow" in repr(found).split("\n")[0]
