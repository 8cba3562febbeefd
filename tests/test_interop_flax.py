"""Flax's cells as cells: outputs and ∂x_T/∂x_0 as Flax and JAX computed them (data/make_flax.py)."""

import re
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnn_dynamics as rd
from rnn_dynamics.cells import GRU, LSTM, ElmanRNN
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.gradients.jacobians import jacobian_product
from rnn_dynamics.interop import from_flax

DATA = np.load(Path(__file__).parent / "data" / "flax.npz")
INPUTS = DATA["inputs"]
LINEN = {
    "linen_simple": (ElmanRNN, {"activation": "tanh"}),
    "linen_residual": (ElmanRNN, {"kind": "SimpleCell", "activation": "sigmoid", "residual": True}),
    "linen_gru": (GRU, {}),
    "linen_lstm": (LSTM, {}),
    "linen_lstm_optimized": (LSTM, {"kind": "OptimizedLSTMCell"}),
}
NNX = {
    "nnx_simple": ("SimpleCell", {"activation_fn": jax.nn.relu, "residual": False}),
    "nnx_residual": ("SimpleCell", {"activation_fn": jax.nn.tanh, "residual": True}),
    "nnx_gru": ("GRUCell", {}),
    "nnx_lstm": ("LSTMCell", {}),
    "nnx_lstm_optimized": ("OptimizedLSTMCell", {}),
}


def params(name, dtype="float32"):
    found = {}
    for key in DATA.files:
        if key.startswith(f"{name}/params/"):
            *_, layer, which = key.split("/")
            found.setdefault(layer, {})[which] = DATA[key].astype(dtype)
    return found


def module(name, dtype="float32", **changes):
    """A stand-in with the attributes that a module of nnx has."""
    kind, options = NNX[name]
    layers = {layer: SimpleNamespace(**({"bias": None} | w)) for layer, w in params(name, dtype).items()}
    options = {"activation_fn": jax.nn.tanh, "gate_fn": jax.nn.sigmoid, "dtype": None} | options
    return type(kind, (SimpleNamespace,), {})(**(layers | options | changes))


def check(name, make):
    run = rollout(make("float32"), DATA[f"{name}/x0"], INPUTS)
    np.testing.assert_allclose(run.states[1:, :3], DATA[f"{name}/outputs"], rtol=2e-6, atol=4e-6)
    run = rollout(make("float64"), DATA[f"{name}/x0"].astype(float), INPUTS.astype(float))
    np.testing.assert_allclose(run.final, DATA[f"{name}/last"], rtol=1e-12, atol=1e-14)
    jacobian, truth = jacobian_product(run).to_float(), DATA[f"{name}/jacobian"]
    assert np.abs(truth).max() > 0
    np.testing.assert_allclose(jacobian, truth, rtol=1e-10, atol=1e-12 * np.abs(truth).max())


@pytest.mark.parametrize("name", LINEN)
def test_outputs_and_jacobians_are_linens(name):
    cls, options = LINEN[name]
    assert type(from_flax({"params": params(name)}, **options)) is cls
    check(name, lambda dtype: from_flax(params(name, dtype), **options))


@pytest.mark.parametrize("name", NNX)
def test_outputs_and_jacobians_are_those_of_nnx(name):
    check(name, lambda dtype: from_flax(module(name, dtype)))


def _changed(name, layer, **arrays):
    found = params(name)
    found[layer] = found[layer] | arrays
    return found


def tanh(x):
    """No hyperbolic tangent, whatever its name."""


def _without(name, layer, which=None):
    found = params(name)
    if which is None:
        return {key: value for key, value in found.items() if key != layer}
    return found | {layer: {key: value for key, value in found[layer].items() if key != which}}


ZEROS = np.zeros((3, 3), np.float32)


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        (lambda: 3, {}, r"^source: .*int"),
        (lambda: SimpleNamespace(dense_i=3), {}, r"^source: .*SimpleNamespace"),
        (lambda: module("nnx_gru", dense_h=SimpleNamespace(kernel=ZEROS)), {}, r"^source: .*dense_h/kernel"),
        (lambda: module("nnx_gru", dense_i=SimpleNamespace(kernel=ZEROS)), {}, r"dense_i/bias.*missing"),
        (lambda: module("nnx_gru", gate_fn=jax.nn.relu), {}, r"^source: .*gate_fn 'sigmoid'.*'relu'"),
        (lambda: module("nnx_simple", activation_fn=tanh), {}, r"^source: .*activation_fn.*flax.tanh'"),
        (lambda: module("nnx_simple", activation_fn=jax.nn.elu), {}, r"^source: .*activation_fn.*'elu'"),
        (lambda: module("nnx_gru", dtype=jax.numpy.bfloat16), {}, r"^source: .*bfloat16"),
        (lambda: module("nnx_gru"), {"kind": "LSTMCell"}, r"^kind: .*'GRUCell'.*'LSTMCell'"),
        (lambda: module("nnx_simple"), {"residual": True}, r"^residual: .*False"),
        (lambda: module("nnx_simple"), {"activation": "tanh"}, r"^activation: .*'relu'.*'tanh'"),
        (lambda: params("linen_lstm"), {"kind": "GRUCell"}, r"^kind: .*'LSTMCell'.*'GRUCell'"),
        (lambda: params("linen_lstm"), {"kind": "transformer"}, r"^kind: "),
        (lambda: params("linen_lstm"), {"activation": "tanh"}, r"^activation: .*LSTMCell"),
        (lambda: params("linen_gru"), {"residual": False}, r"^residual: .*GRUCell"),
        (lambda: params("linen_simple"), {}, r"^activation: .*'tanh'.*None"),
        (lambda: params("linen_simple"), {"activation": "elu"}, r"^activation: "),
        (lambda: {"cell": {"ii": params("linen_lstm")["ii"]}}, {}, r"^source: .*'cell'"),
        (lambda: _without("linen_lstm", "hf"), {}, r"^source: .*names"),
        (lambda: _without("linen_lstm", "hf"), {"kind": "LSTMCell"}, r"^source: .*hf.*missing"),
        (lambda: params("linen_gru") | {"head": {}}, {"kind": "GRUCell"}, r"^source: .*head"),
        (lambda: params("linen_gru") | {"hr": 3}, {}, r"^source: .*hr as a mapping.*int"),
        (lambda: _without("linen_gru", "hn", "bias"), {}, r"^source: .*hn/bias.*missing"),
        (lambda: _changed("linen_gru", "hr", bias=ZEROS[0]), {}, r"^source: .*hr/bias"),
        (lambda: _changed("linen_gru", "iz", bias=ZEROS[0, :2]), {}, r"^source: .*iz/bias.*\(3,\).*\(2,\)"),
        (lambda: _changed("linen_gru", "hn", kernel=ZEROS[:2]), {}, r"^source: .*hn/kernel.*\(3, 3\)"),
        (lambda: _changed("linen_gru", "in", kernel=ZEROS), {}, r"^source: .*in/kernel.*\(2, 3\)"),
        (lambda: _changed("linen_gru", "hr", kernel=ZEROS.astype(int)), {}, r"^source: .*hr/kernel.*float32"),
    ],
)
def test_errors_name_what_is_wrong(source, options, words):
    with pytest.raises((TypeError, ValueError), match=words):
        from_flax(source(), **options)


def test_modules_of_flax_itself():
    pytest.importorskip("flax", reason="Flax is not installed")
    from flax import linen, nnx

    x, u = np.full(3, 0.5, np.float32), INPUTS[0]
    for cls, carry in (
        (nnx.SimpleCell, x),
        (nnx.GRUCell, x),
        (nnx.LSTMCell, (x, x)),
        (nnx.OptimizedLSTMCell, (x, x)),
    ):
        with jax.numpy_rank_promotion("allow"):
            source = cls(2, 3, rngs=nnx.Rngs(0))
            truth = source(carry, u)[1]
        cell = from_flax(source)
        x0 = np.concatenate([x, x]) if "LSTM" in cls.__name__ else x
        np.testing.assert_allclose(cell(x0, u)[:3], truth, rtol=1e-6, atol=1e-7)
    boxed = linen.GRUCell(3, kernel_init=linen.with_partitioning(linen.initializers.ones, (None, "model")))
    with jax.numpy_rank_promotion("allow"):
        variables = boxed.init(jax.random.key(0), x, u)
        truth = boxed.apply(variables, x, u)[1]
    np.testing.assert_allclose(from_flax(variables)(x, u), truth, rtol=1e-6)
    with pytest.raises(TypeError, match="linen's GRUCell"):
        from_flax(boxed)


def _drawn(**shapes):
    draws = np.random.default_rng(0)
    return {
        name: {key: draws.normal(size=size) for key, size in inner.items()} for name, inner in shapes.items()
    }


def _sigma(z):
    return 1 / (1 + np.exp(-z))


@pytest.mark.parametrize("resets", [True, False])
def test_a_minimal_gated_unit_is_a_gru_of_one_gate(resets):
    """Against its equations: f = σ(W_f u + b_f + V_f h), h⁺ = (1 − f) tanh(W_n u + b_n + f (V_n h + b)) + f h."""
    square, wide, bias = {"kernel": (3, 3)}, {"kernel": (2, 3), "bias": (3,)}, {"bias": (3,)}
    params = _drawn(**{"if": wide, "in": wide, "hf": square, "hn": square | (bias if resets else {})})
    h, u = np.array([0.5, -1.0, 0.25]), np.array([1.0, -0.5])
    f = _sigma(u @ params["if"]["kernel"] + params["if"]["bias"] + h @ params["hf"]["kernel"])
    back = h @ params["hn"]["kernel"]
    back = f * (back + params["hn"]["bias"]) if resets else back
    expected = (1 - f) * np.tanh(u @ params["in"]["kernel"] + params["in"]["bias"] + back) + f * h
    cell = from_flax({"params": {"cell": params}})
    np.testing.assert_allclose(cell(jnp.asarray(h), u), expected, rtol=1e-12)
    with pytest.raises(ValueError, match=r"from_flax\(source\['a'\]\) or from_flax\(source\['b'\]\)"):
        from_flax({"a": params, "b": params, "Dense_0": {"kernel": np.ones((3, 1))}})


@pytest.mark.parametrize(("blocks", "cls"), [(1, ElmanRNN), (3, GRU), (4, LSTM)])
def test_states_of_nnx_are_told_by_their_widths(blocks, cls):
    inner, outer = {"kernel": (3, 3 * blocks)}, {"kernel": (2, 3 * blocks)}
    bias = {"bias": (3 * blocks,)}
    inner, outer = (inner | bias, outer) if blocks == 4 else (inner, outer | bias)
    params = _drawn(dense_i=outer, dense_h=inner)
    told = {"activation": "tanh"} if blocks == 1 else {}
    cell = from_flax({"rnn": {"cell": params | {"rngs": {"count": np.ones(1)}}}}, **told)
    assert type(cell) is cls
    np.testing.assert_array_equal(cell.W_in, params["dense_i"]["kernel"].T.astype(cell.W.dtype))
    with pytest.raises(ValueError, match=r"^source: .*1, 3 or 4 square blocks.*\(3, 7\)"):
        from_flax({"dense_i": {}, "dense_h": {"kernel": np.ones((3, 7))}})


def test_an_rnn_of_nnx_is_its_cell():
    rnn = type("RNN", (), {"cell": 3, "reverse": True})
    with pytest.raises(ValueError, match=r"^source: .*reverse: from_flax\(source.cell\)"):
        from_flax(rnn())
    rnn.reverse = False
    with pytest.raises(TypeError, match=r"^source: .*int"):
        from_flax(rnn())


def _mine(cls, method):
    """A class of the user's that is called as the one it is made of, and has a step of its own."""
    return type(cls.__name__, (cls,), {"__module__": "mine", method: lambda self, *given: given})


@pytest.mark.parametrize("name", sorted(NNX))
def test_a_step_of_ones_own_is_refused_with_a_call_that_reads_the_weights(name):
    made = module(name)
    mine = _mine(type(made), "__call__")(**vars(made))
    with pytest.raises(ValueError, match=r"^source: expected a step of flax, got ") as said:
        from_flax(mine)
    call = re.search(r"from_flax\(nnx\.state\(source\).*?\)", str(said.value))[0]
    nnx = SimpleNamespace(state=lambda source: {k: params(name)[k] for k in params(name)})
    found = eval(call, {"from_flax": from_flax, "nnx": nnx, "source": mine})
    np.testing.assert_array_equal(found.W, from_flax(made).W)


def test_wrappers_with_a_call_of_their_own_are_refused_with_calls():
    made = module("nnx_gru")
    RNN = type("RNN", (SimpleNamespace,), {"__module__": "flax.nnx", "__call__": lambda self, x: x})
    plain, mine = (cls(cell=made, reverse=False) for cls in (RNN, _mine(RNN, "__call__")))
    with pytest.raises(ValueError, match=r"^source: .*RNN, which has a __call__ .*from_flax\(source\.cell\)"):
        from_flax(mine)
    np.testing.assert_array_equal(from_flax(plain).W, from_flax(mine.cell).W)
    Both = type(
        "Bidirectional", (SimpleNamespace,), {"__module__": "flax.nnx", "__call__": lambda self, x: x}
    )
    merge = type("", (), {"__module__": "flax.nnx", "__name__": "_concatenate"})()
    halves = {"forward_rnn": plain, "backward_rnn": plain, "merge_fn": merge}
    assert from_flax(Both(**halves)).layers
    for other in (_mine(Both, "__call__")(**halves), Both(**(halves | {"backward_rnn": mine}))):
        with pytest.raises(ValueError, match=r"^source: ") as said:
            from_flax(other)
        call = re.search(r"rd\.Bidirectional\(\[.*?\]\)", str(said.value))[0]
        assert eval(call, {"rd": rd, "from_flax": from_flax, "source": other}).layers


def test_modules_and_merges_are_refused_with_calls():
    made = module("nnx_gru")
    model = type("Model", (SimpleNamespace,), {})(rnn=made, head=3)
    with pytest.raises(TypeError, match=r"got Model: from_flax\(source\.rnn\)$"):
        from_flax(model)
    rnn = SimpleNamespace(cell=made)
    both = SimpleNamespace(forward_rnn=rnn, backward_rnn=rnn, merge_fn=lambda a, b: a + b)
    with pytest.raises(ValueError, match=r"^source: .*its own merge_fn") as said:
        from_flax(both)
    call = re.search(r"rd\.Bidirectional\(.*\"sum\"\)", str(said.value))[0]
    assert eval(call, {"rd": rd, "from_flax": from_flax, "source": both}).merges == ("sum",)


@pytest.mark.parametrize("merge", ["concat", "sum"])
def test_both_directions_of_linen_ask_how_they_are_merged(merge):
    name = "linen_gru"
    cells = [params(name), {layer: {k: -v for k, v in own.items()} for layer, own in params(name).items()}]
    source = {
        "params": {f"{way}_rnn": {"cell": c} for way, c in zip(("forward", "backward"), cells, strict=True)}
    }
    found = from_flax(source, merge=merge)
    assert found.merges == (merge,)
    for cell, own in zip(found.layers[0], cells, strict=True):
        np.testing.assert_array_equal(cell.W, from_flax(own).W)
    with pytest.raises(ValueError, match=r"^merge: expected 'concat' or 'sum' .* do not tell, got None"):
        from_flax(source)
    with pytest.raises(ValueError, match=r"^merge: expected None but of the parameters"):
        from_flax(cells[0], merge=merge)


def test_both_directions_of_linen_itself():
    linen = pytest.importorskip("flax.linen", reason="Flax is not installed")
    import jax

    inputs = np.random.default_rng(0).normal(size=(7, 2)).astype("float32")
    for merge, options in (("concat", {}), ("sum", {"merge_fn": lambda a, b: a + b})):
        network = linen.Bidirectional(*(linen.RNN(linen.GRUCell(3)) for _ in range(2)), **options)
        source = network.init(jax.random.key(0), inputs[None])
        outputs = network.apply(source, inputs[None])[0]
        np.testing.assert_allclose(from_flax(source, merge=merge).run(inputs).outputs, outputs, atol=2e-6)


def test_the_state_of_an_nnx_bidirectional_has_random_streams_beside_its_halves():
    cell, streams = params("nnx_gru"), {"count": np.uint32(3)}
    halves = {
        name: {"cell": cell | {"rngs": streams}, "rngs": streams} for name in ("forward_rnn", "backward_rnn")
    }
    both = from_flax({"encoder": halves | {"rngs": streams}, "rngs": streams}, merge="sum")
    one = rollout(from_flax(cell), np.zeros(3, np.float32), INPUTS).states[1:]
    back = rollout(from_flax(cell), np.zeros(3, np.float32), INPUTS[::-1]).states[1:][::-1]
    np.testing.assert_allclose(both.run(INPUTS).outputs, one + back, atol=1e-6)
    with pytest.raises(ValueError, match=r"^merge: expected 'concat' or 'sum'"):
        from_flax(halves)
