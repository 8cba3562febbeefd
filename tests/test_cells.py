"""One conformance suite over every recurrent map, a user's too; initializers; hazards 20, 24–26, 39–41."""

import contextlib
import gc
import math
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from rnn_dynamics.cells import (
    DoyaNeuron,
    ElmanRNN,
    LeakyRNN,
    PascanuNeuron,
    PreActivationRNN,
    activations,
    initializers,
    random_rnn,
)
from rnn_dynamics.cells.rollout import _run, rollout
from rnn_dynamics.cells.saturation import exact_slopes
from rnn_dynamics.gradients.jacobians import (
    gradient_norms,
    jacobian_product,
    jacobian_products,
    parameter_gradient,
    pullback,
    pushforward,
    step_jacobians,
)
from rnn_dynamics.gradients.one_step import step_jacobian
from rnn_dynamics.numerics import given
from rnn_dynamics.spectral.bounds import product_bounds
from tests.compilations import compilations, programs_of
from tests.marks import FLOAT32_IN_SOAK

W3 = np.array([[0.75, -0.5, 0.25], [0.5, 0.625, -0.375], [-0.25, 1.0, 0.5]])
B3 = np.array([0.125, -0.25, 0.375])
IN3 = np.array([[0.5, -1.0], [0.25, 0.75], [-0.5, 0.125]])
U3 = np.array([[0.5, -0.25], [1.0, 0.5], [-0.75, 0.25], [0.125, 0.0]])
X3 = np.array([0.3, -0.6, 0.9])
TOLERANCE = {"float32": 2e-6, "float64": 4e-15}


def logistic(z):
    return 1 / (1 + np.exp(-z))


def softsign(z):
    """A user's activation, without a slope bound."""
    return z / (1 + jnp.abs(z))


PLAIN: dict[str, tuple[Any, Callable[..., Any]]] = {
    "tanh": ("tanh", np.tanh),
    "logistic": ("logistic", logistic),
    "relu": ("relu", lambda z: np.maximum(z, 0)),
    "leaky_relu": (activations.leaky_relu(0.125), lambda z: np.where(z > 0, z, 0.125 * z)),
    "linear": ("linear", lambda z: z),
    "user": (softsign, lambda z: z / (1 + np.abs(z))),
}


class Map(NamedTuple):
    """A cell, where it starts, what drives it, and the same step in NumPy."""

    cell: Any
    x0: Any
    inputs: Any
    plain: Callable[..., Any]


class Gate(eqx.Module):
    """A user's Equinox module with a static field and an activation among its leaves."""

    W: jax.Array
    gain: float
    activation: Callable[..., Any]
    name: str = eqx.field(static=True)

    def __call__(self, x, u=None):
        drive = 0.0 if u is None else jnp.sum(u)
        return self.gain * self.activation(jnp.matmul(self.W, x)) + drive


def scaled_tanh(parameters, x, u):
    drive = jnp.zeros_like(x) if u is None else jnp.matmul(parameters["V"], u)
    return jnp.tanh(jnp.matmul(parameters["W"], x) + parameters["b"] + drive)


def bare(x, u):
    return jnp.sin(x) + (0.0 if u is None else jnp.sum(u))


def network(kind: str, activation: str, driven: bool) -> Callable[[str], Map]:
    phi, plain_phi = PLAIN[activation]

    def build(dtype: str) -> Map:
        W, b, V, u = (a.astype(dtype) for a in (W3, B3, IN3, U3))
        weights = (W, b, V) if driven else (W, b)

        def drive(u):
            return b + V @ u if driven else b

        def made(cell: Any, plain: Callable) -> Map:
            return Map(cell, X3.astype(dtype), u if driven else None, plain)

        if kind == "pre":
            return made(PreActivationRNN(*weights, activation=phi), lambda x, u: W @ plain_phi(x) + drive(u))
        if kind == "elman":
            return made(ElmanRNN(*weights, activation=phi), lambda x, u: plain_phi(W @ x + drive(u)))
        cell = LeakyRNN(*weights, leak=0.25, activation=phi)
        return made(cell, lambda x, u: 0.75 * x + 0.25 * plain_phi(W @ x + drive(u)))

    return build


def doya(epsilon: float, driven: bool) -> Callable[[str], Map]:
    def build(dtype: str) -> Map:
        cell = DoyaNeuron(np.asarray(5.0, dtype), -2.5, epsilon, 0.5 if driven else 0.0)
        u = U3[:, 0].astype(dtype) if driven else None
        e = epsilon
        return Map(
            cell,
            np.asarray(0.3, dtype),
            u,
            lambda x, u: (1 - e) * x + e * logistic(5 * x - 2.5) + (e * 0.5 * u if driven else 0),
        )

    return build


def pascanu(driven: bool) -> Callable[[str], Map]:
    def build(dtype: str) -> Map:
        cell = PascanuNeuron(np.asarray(5.0, dtype), -2.5, 0.5 if driven else 0.0)
        u = U3[:, 0].astype(dtype) if driven else None
        x0 = np.asarray(0.3, dtype)
        return Map(cell, x0, u, lambda x, u: 5 * logistic(x) - 2.5 + (0.5 * u if driven else 0))

    return build


def users(kind: str, driven: bool) -> Callable[[str], Map]:
    def build(dtype: str) -> Map:
        W, b, V, u = (a.astype(dtype) for a in (W3, B3, IN3, U3))
        drive = (lambda u: u.sum()) if driven else (lambda u: 0)

        def made(cell: Any, plain: Callable) -> Map:
            return Map(cell, X3.astype(dtype), u if driven else None, plain)

        if kind == "partial":
            cell = Partial(scaled_tanh, {"W": jnp.asarray(W), "b": jnp.asarray(b), "V": jnp.asarray(V)})
            return made(cell, lambda x, u: np.tanh(W @ x + b + (V @ u if driven else 0)))
        if kind == "bare":
            return made(bare, lambda x, u: np.sin(x) + drive(u))
        gate = Gate(jnp.asarray(W), 0.5, jax.nn.sigmoid, "gate")
        return made(gate, lambda x, u: 0.5 * logistic(W @ x) + drive(u))

    return build


MAPS: dict[str, Callable[[str], Map]] = {
    **{
        f"{kind}-{phi}": network(kind, phi, driven=(i + j) % 2 == 0)
        for i, kind in enumerate(["pre", "elman", "leaky"])
        for j, phi in enumerate(PLAIN)
    },
    "elman-tanh-alone": network("elman", "tanh", driven=False),
    "doya": doya(1.0, driven=False),
    "doya-leaky-driven": doya(0.25, driven=True),
    "pascanu": pascanu(driven=False),
    "pascanu-driven": pascanu(driven=True),
    "partial": users("partial", driven=False),
    "partial-driven": users("partial", driven=True),
    "bare": users("bare", driven=False),
    "equinox": users("equinox", driven=False),
    "equinox-driven": users("equinox", driven=True),
}
SOME = ["pre-logistic", "leaky-relu", "doya-leaky-driven", "partial-driven", "equinox"]


@pytest.mark.parametrize("name", MAPS)
def test_states_and_step_jacobians(name, dtype):
    """Shapes, dtype, states against NumPy's loop, the closed-form Jacobian against forward mode."""
    made = MAPS[name](dtype)
    path = rollout(made.cell, made.x0, made.inputs, steps=4)
    assert path.states.shape == (5, *made.x0.shape)
    assert path.states.dtype == dtype
    assert path.steps == 4
    assert int(path.first_nonfinite) == -1
    x = made.x0
    for t in range(4):
        x = made.plain(x, None if made.inputs is None else made.inputs[t])
        np.testing.assert_allclose(path.states[t + 1], x, rtol=0, atol=4 * TOLERANCE[dtype])
    u = None if made.inputs is None else jnp.asarray(made.inputs[0])
    x0 = jnp.asarray(made.x0)
    forward = jax.jacfwd(exact_slopes(made.cell))(x0, u)
    closed = step_jacobian(made.cell, x0, u)
    assert closed.shape == made.x0.shape * 2
    assert closed.dtype == dtype
    np.testing.assert_allclose(closed, forward, rtol=0, atol=TOLERANCE[dtype])
    h, first = 1e-5, None if u is None else made.inputs[0].astype(float)
    for j in range(x0.size):
        moved = h * np.eye(x0.size)[j].reshape(x0.shape)
        ends = [made.plain(made.x0.astype(float) + side * moved, first) for side in (1, -1)]
        slope = (ends[0] - ends[1]) / (2 * h)
        np.testing.assert_allclose(np.asarray(closed)[..., j] if x0.ndim else closed, slope, atol=2e-6)


@pytest.mark.parametrize("name", SOME)
def test_transformations_of_rollout(name, dtype):
    """jit, vmap and grad through the rollout; the gradient is that of the Jacobian product."""
    made = MAPS[name](dtype)

    def final(x0):
        return jnp.sum(rollout(made.cell, x0, made.inputs, steps=4).final)

    starts = jnp.stack([jnp.asarray(made.x0), jnp.asarray(made.x0) / 2])
    batch = jax.jit(jax.vmap(jax.value_and_grad(final)))(starts)
    path = rollout(made.cell, made.x0, made.inputs, steps=4)
    product = np.asarray(jacobian_product(path).to_float()).reshape(made.x0.size, -1)
    assert batch[0][0] == pytest.approx(float(jnp.sum(path.final)), rel=20 * TOLERANCE[dtype])
    np.testing.assert_allclose(np.ravel(batch[1][0]), product.sum(axis=0), rtol=0, atol=20 * TOLERANCE[dtype])


@pytest.mark.parametrize("name", ["leaky-relu", "doya-leaky-driven", "equinox"])
def test_parameter_gradient_is_that_of_autodiff(name):
    made = MAPS[name]("float64")
    arrays, fixed = eqx.partition(made.cell, eqx.is_inexact_array_like)

    def final(arrays):
        cell = eqx.combine(arrays, fixed)
        return jnp.sum(rollout(cell, made.x0, made.inputs, steps=4).final)

    expected = jax.tree_util.tree_leaves(jax.grad(final)(arrays))
    path = rollout(made.cell, made.x0, made.inputs, steps=4)
    got = parameter_gradient(path, np.ones_like(made.x0))
    found = jax.tree_util.tree_leaves(got, is_leaf=lambda leaf: hasattr(leaf, "to_float"))
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a.to_float(), b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    "name", ["pre-logistic", "elman-tanh-alone", "leaky-relu", "doya", "pascanu", "partial"]
)
def test_pytree_round_trip_with_placeholders(name):
    """Hazard 39: JAX rebuilds a cell from object(), None and tracers; no check may run then."""
    cell = MAPS[name]("float64").cell
    leaves, structure = jax.tree_util.tree_flatten(cell)
    for fill in (object(), None, "text", math.nan):
        rebuilt = jax.tree_util.tree_unflatten(structure, [fill] * len(leaves))
        repr(rebuilt)
    again = jax.tree_util.tree_unflatten(structure, leaves)
    assert jax.tree_util.tree_structure(again) == structure
    mapped = jax.tree_util.tree_map(lambda leaf: leaf * 2, cell)
    for before, after in zip(leaves, jax.tree_util.tree_leaves(mapped), strict=True):
        np.testing.assert_array_equal(after, 2 * np.asarray(before))
    assert jax.vmap(lambda c: jax.tree_util.tree_leaves(c)[0])(
        jax.tree_util.tree_map(lambda leaf: jnp.stack([leaf, leaf]), cell)
    ).shape == (2, *leaves[0].shape)
    path = rollout(cell, MAPS[name]("float64").x0, steps=1) if MAPS[name]("float64").inputs is None else None
    if path is not None:
        parts, form = jax.tree_util.tree_flatten(path)
        jax.tree_util.tree_unflatten(form, [object()] * len(parts))


def test_paths_of_leaves_name_the_parameters():
    paths = jax.tree_util.tree_flatten_with_path(LeakyRNN(W3, B3))[0]
    assert [jax.tree_util.keystr(path) for path, _ in paths] == [".W", ".b", ".leak"]


def test_reprs_are_short_and_say_what_is_there():
    assert repr(DoyaNeuron(5, -2.5)) == "DoyaNeuron(w=5, b=-2.5, epsilon=1, w_in=0)"
    assert repr(PascanuNeuron(5, -2.5)) == "PascanuNeuron(w=5, b=-2.5, w_in=0)"
    assert repr(ElmanRNN(W3, B3)) == "ElmanRNN(W: float64[3, 3], b: float64[3], activation=tanh)"
    assert "leak=0.5" in repr(LeakyRNN(W3, B3))
    text = repr(rollout(PreActivationRNN(W3, B3, IN3), X3, U3))
    assert "4 steps of 3 float64" in text
    assert len(text) < 200
    seen = []
    jax.jit(lambda c: seen.append(repr(c)) or c.b)(ElmanRNN(W3, B3))
    assert "float64[3, 3]" in seen[0]


def test_a_divergence_stays_visible_and_is_dated():
    path = rollout(PreActivationRNN([[2.0]], [0.0], activation="linear"), [1.0], steps=1030)
    assert int(path.first_nonfinite) == 1024
    assert math.isinf(path.states[1024, 0])
    assert "not finite from step 1024" in repr(path)
    marked = rollout(lambda x, u: jnp.where(x > 2.5, jnp.nan, x + 1), 0.0, steps=6)
    assert int(marked.first_nonfinite) == 4


def test_zero_steps_is_the_identity(dtype):
    path = rollout(ElmanRNN(W3.astype(dtype), B3.astype(dtype)), X3.astype(dtype), steps=0)
    assert path.states.shape == (1, 3)
    np.testing.assert_array_equal(jacobian_product(path).to_float(), np.eye(3))
    assert rollout(ElmanRNN(W3, B3, IN3), X3, np.zeros((0, 2))).steps == 0


# Hazard 40: what compiles again and what does not


def test_repeated_shapes_compile_nothing():
    def run(scale):
        path = rollout(ElmanRNN(scale * W3, B3, IN3), scale * X3, U3)
        return path.states.block_until_ready()

    run(1.0)
    before = programs_of(_run)
    with compilations() as fresh:
        run(0.5)
    assert fresh.count == 0
    assert programs_of(_run) == before


def test_hazard_40_partial_with_new_parameters_compiles_nothing_but_a_fresh_closure_does():
    def with_weights(scale):
        weights = {"W": jnp.asarray(scale * W3), "b": jnp.asarray(B3), "V": jnp.asarray(IN3)}
        return rollout(Partial(scaled_tanh, weights), X3, steps=4).states

    with_weights(1.0)
    before = programs_of(_run)
    with_weights(0.5)
    with_weights(0.25)
    assert programs_of(_run) == before
    rollout(bare, X3, steps=4)
    before = programs_of(_run)
    rollout(bare, X3, steps=4)
    assert programs_of(_run) == before
    for shift in (1.0, 2.0):
        rollout(lambda x, u, shift=shift: jnp.sin(x + shift), X3, steps=4)
    assert programs_of(_run) == before + 2
    equal = [Gate(jnp.asarray(W3), gain, jax.nn.sigmoid, "gate") for gain in (0.5, 0.25)]
    rollout(equal[0], X3, steps=4)
    before = programs_of(_run)
    rollout(equal[1], X3, steps=4)
    assert programs_of(_run) == before


def test_hazard_26_twenty_lengths_are_few_compilations():
    """T is the length of the scan; short runs are padded, and cut on the host, which compiles nothing."""
    cell = ElmanRNN(0.8 * W3, B3, IN3)

    def measured(steps):
        path = rollout(cell, X3, np.ones((steps, IN3.shape[1])))
        results = (
            path.states,
            path.first_nonfinite,
            gradient_norms(path),
            gradient_norms(path, ord="fro", stop=steps // 2),
            jacobian_products(path).log2(),
            pullback(path, np.ones(3)).log2(),
            pushforward(path, np.ones(3), start=steps // 3).log2(),
            step_jacobians(path, start=1),
            product_bounds(path).log_steps,
        )
        return [np.asarray(result) for result in results]

    with compilations() as first:
        measured(128)
        measured(65)
    with compilations() as fresh:
        found = {steps: measured(steps) for steps in range(66, 86)}
    assert first.count > 0
    assert fresh.count == 0
    with compilations() as again:
        rollout(cell, X3, np.ones((77, IN3.shape[1])))
        gradient_norms(rollout(cell, X3, np.ones((90, IN3.shape[1]))))
    assert again.count == 0
    exact = jax.jit(lambda x: gradient_norms(rollout(cell, x, np.ones((70, IN3.shape[1])))))(jnp.asarray(X3))
    np.testing.assert_allclose(found[70][2], exact, rtol=1e-13, atol=1e-13)


def test_hazard_26_padding_leaves_no_trace():
    """What lies past T or before k = 0 shows nowhere: not in the states, and not in what diverges there."""
    cell = Partial(lambda a, x, u: a * x + u, jnp.asarray(1e30))
    for steps in (0, 1, 5, 64, 65):
        path = rollout(cell, 1.0, np.zeros(steps))
        alone = jax.jit(lambda x, n=steps: rollout(cell, x, np.zeros(n)))(1.0)
        np.testing.assert_array_equal(path.states, alone.states)
        assert int(path.first_nonfinite) == int(alone.first_nonfinite)
        assert path.steps == steps
        norms = gradient_norms(path)
        np.testing.assert_allclose(norms, np.arange(steps, -1, -1) * math.log(1e30), rtol=1e-13)
        assert pullback(path, 1.0).shape == pushforward(path, 1.0).shape == (steps + 1,)
        assert step_jacobians(path).shape == (steps,)
    with pytest.raises(ValueError, match=r"^stop:"):
        gradient_norms(path, stop=66)


# What may be given


@pytest.mark.parametrize(
    "x0", [[1, 0, -1], np.array([1, 0, -1]), np.array([1, 0, -1], np.float32), [1.0, 0, -1]]
)
def test_states_of_any_numeric_kind(x0):
    path = rollout(ElmanRNN(W3, B3), x0, steps=2)
    assert path.states.dtype == np.float64
    np.testing.assert_allclose(path.states[1], np.tanh(W3 @ [1, 0, -1] + B3), rtol=1e-14)


def test_dtypes_follow_the_cell_and_the_widest_of_its_arrays(monkeypatch):
    small = ElmanRNN(W3.astype("float32"), B3.astype("float32"))
    assert rollout(small, [1, 0, -1], steps=1).states.dtype == np.float32
    assert rollout(small, [1.0, 0.0, -1.0], steps=1).states.dtype == np.float32
    assert ElmanRNN(W3.astype("float32"), B3).W.dtype == np.float64
    assert ElmanRNN(W3.astype("float32"), [0, 1, 2]).b.dtype == np.float32
    assert DoyaNeuron(np.float32(5), 1).b.dtype == np.float32
    monkeypatch.setattr(given, "_warned", set())
    with pytest.warns(given.PrecisionWarning, match="^x0:"):
        assert rollout(small, X3, steps=1).states.dtype == np.float32


def test_inputs_of_any_numeric_kind():
    cell = ElmanRNN(W3, B3, IN3)
    expected = rollout(cell, X3, np.array([[1.0, 0.0], [0.0, 2.0]])).states
    for inputs in ([[1, 0], [0, 2]], np.array([[1, 0], [0, 2]]), np.array([[1, 0], [0, 2]], np.float32)):
        np.testing.assert_array_equal(rollout(cell, X3, inputs).states, expected)
    for neuron in (DoyaNeuron(5, -2.5, 1, 0.5), PascanuNeuron(5, -2.5, 0.5)):
        expected = rollout(neuron, 0.3, np.array([1.0, 2.0])).states
        for inputs in ([1, 2], np.array([1, 2])):
            np.testing.assert_array_equal(rollout(neuron, 0.3, inputs).states, expected)

    def by_symbol(table, x, u):
        return jnp.tanh(x + table[u["symbol"]])

    table = jnp.asarray(W3)
    path = rollout(Partial(by_symbol, table), X3, {"symbol": np.array([2, 0])})
    np.testing.assert_allclose(path.states[1], np.tanh(X3 + W3[2]), rtol=1e-14)


ERRORS: dict[str, tuple[Callable[[], Any], str]] = {
    "bias of shape (n, 1)": (lambda: ElmanRNN(W3, B3[:, None]), "b"),
    "bias of another length": (lambda: ElmanRNN(W3, [1.0, 2.0]), "b"),
    "weights not square": (lambda: PreActivationRNN(IN3, B3), "W"),
    "weights of rank 1": (lambda: LeakyRNN(B3, B3), "W"),
    "weights None": (lambda: ElmanRNN(None, B3), "W"),
    "weights str": (lambda: ElmanRNN("W", B3), "W"),
    "weights NaN": (lambda: ElmanRNN(W3 * np.nan, B3), "W"),
    "weights complex": (lambda: ElmanRNN(W3 * 1j, B3), "W"),
    "weights empty": (lambda: ElmanRNN(np.zeros((0, 0)), []), "W"),
    "ragged weights": (lambda: ElmanRNN([[1.0], [1.0, 2.0]], B3), "W"),
    "input weights of other rows": (lambda: ElmanRNN(W3, B3, IN3[:2]), "W_in"),
    "unknown activation": (lambda: ElmanRNN(W3, B3, activation="tan"), "activation"),
    "activation number": (lambda: ElmanRNN(W3, B3, activation=3), "activation"),
    "leak 0": (lambda: LeakyRNN(W3, B3, leak=0), "leak"),
    "leak lost in float32": (lambda: LeakyRNN(W3.astype("f"), B3.astype("f"), leak=1e-60), "leak"),
    "leak of rank 1": (lambda: LeakyRNN(W3, B3, leak=[0.5]), "leak"),
    "epsilon 0": (lambda: DoyaNeuron(5, -2.5, 0), "epsilon"),
    "epsilon 1.5": (lambda: DoyaNeuron(5, -2.5, 1.5), "epsilon"),
    "epsilon NaN": (lambda: DoyaNeuron(5, -2.5, math.nan), "epsilon"),
    "w of rank 1": (lambda: DoyaNeuron([5], -2.5), "w"),
    "b infinite": (lambda: PascanuNeuron(5, math.inf), "b"),
    "steps negative": (lambda: rollout(ElmanRNN(W3, B3), X3, steps=-1), "steps"),
    "steps float": (lambda: rollout(ElmanRNN(W3, B3), X3, steps=2.5), "steps"),
    "steps bool": (lambda: rollout(ElmanRNN(W3, B3), X3, steps=True), "steps"),
    "steps 1e20": (lambda: rollout(ElmanRNN(W3, B3), X3, steps=1e20), "steps"),
    "steps 10**20": (lambda: rollout(ElmanRNN(W3, B3), X3, steps=10**20), "steps"),
    "steps missing": (lambda: rollout(ElmanRNN(W3, B3), X3), "steps"),
    "steps against inputs": (lambda: rollout(ElmanRNN(W3, B3, IN3), X3, U3, steps=3), "steps"),
    "state None": (lambda: rollout(bare, None, steps=1), "x0"),
    "state str": (lambda: rollout(ElmanRNN(W3, B3), "x", steps=1), "x0"),
    "state NaN": (lambda: rollout(ElmanRNN(W3, B3), [0, math.nan, 0], steps=1), "x0"),
    "state empty": (lambda: rollout(bare, [], steps=1), "x0"),
    "state of shape (n, 1)": (lambda: rollout(ElmanRNN(W3, B3), X3[:, None], steps=1), "x0"),
    "state of another length": (lambda: rollout(ElmanRNN(W3, B3), [1.0, 2.0], steps=1), "x0"),
    "inputs complex": (lambda: rollout(ElmanRNN(W3, B3, IN3), X3, U3 * 1j), "inputs"),
    "inputs NaN": (lambda: rollout(ElmanRNN(W3, B3, IN3), X3, U3 * np.nan), "inputs"),
    "inputs scalar": (lambda: rollout(ElmanRNN(W3, B3, IN3), X3, 1.0), "inputs"),
    "inputs without W_in": (lambda: rollout(ElmanRNN(W3, B3), X3, U3), "inputs"),
    "inputs too wide": (lambda: rollout(ElmanRNN(W3, B3, IN3), X3, np.ones((4, 3))), "inputs"),
    "inputs of two lengths": (lambda: rollout(bare, X3, {"a": np.ones(3), "b": np.ones(4)}), "inputs"),
    "cell number": (lambda: rollout(3.0, X3, steps=1), "cell"),
    "cell that branches": (lambda: rollout(lambda x, u: x if x[0] > 0 else -x, X3, steps=1), "x0"),
    "cell to another shape": (lambda: rollout(lambda x, u: x[:2], X3, steps=1), "x0"),
    "cell to a tuple": (lambda: rollout(lambda x, u: (x, x), X3, steps=1), "x0"),
    "units 0": (lambda: initializers.gaussian(jax.random.key(0), 0), "n"),
    "units float": (lambda: initializers.glorot(jax.random.key(0), 3.0), "n"),
    "key integer": (lambda: initializers.gaussian(0, 3), "key"),
    "key of another kind": (lambda: initializers.orthogonal(jnp.zeros(3), 3), "key"),
    "connections above n": (lambda: initializers.sparse(jax.random.key(0), 3, connections=4), "connections"),
    "radius of a rectangle": (lambda: initializers.with_spectral_radius(IN3, 1.0), "W"),
    "radius negative": (lambda: initializers.with_spectral_radius(W3, -1.0), "target"),
    "norm negative": (lambda: initializers.with_spectral_norm(W3, -1.0), "target"),
    "unknown ensemble": (lambda: random_rnn(jax.random.key(0), 3, ensemble="cauchy"), "ensemble"),
    "unknown form": (lambda: random_rnn(jax.random.key(0), 3, form="gru"), "form"),
}


@contextlib.contextmanager
def without_collections() -> Iterator[None]:
    """A collection of all that a worker holds takes longer than the bound on what is timed here."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.shipped
@pytest.mark.parametrize("name", ERRORS)
def test_hazards_24_and_25_errors_name_the_argument_at_once(name):
    call, argument = ERRORS[name]
    with compilations() as fresh, pytest.raises((TypeError, ValueError)) as caught:
        call()  # once, so that the time below holds no import
    with without_collections():
        start = time.thread_time()  # of this thread alone: other tests share the cores
        with compilations() as again, pytest.raises((TypeError, ValueError)):
            call()
        elapsed = time.thread_time() - start
    assert str(caught.value).startswith(argument) or f"{argument}:" in str(caught.value)
    assert type(caught.value) in (TypeError, ValueError)
    assert again.count == 0
    assert fresh.count <= 4  # the key or the array that the test itself makes
    assert elapsed < 0.05 or "key" in name or "unknown" in name


def test_radius_and_norm_together_are_refused():
    with pytest.raises(ValueError, match="spectral_norm"):
        random_rnn(jax.random.key(0), 3, spectral_radius=0.9, spectral_norm=0.9)


# Hazard 41: a user's cell in saturation


def silu_step(x, u):
    return -40.0 * jax.nn.silu(x)


def in_a_loop(x, u):
    return jax.lax.fori_loop(0, 1, lambda i, y: jnp.tanh(y), x)


def in_a_branch(x, u):
    return jax.lax.cond(x > 0, jnp.tanh, jnp.sin, x)


SECH2 = 4 * math.exp(-200)


@pytest.mark.parametrize(
    ("step", "at", "expected"),
    [
        (lambda x, u: jnp.tanh(x), 100.0, SECH2),
        (jax.jit(lambda x, u: jnp.tanh(x)), 100.0, SECH2),
        (jax.checkpoint(lambda x, u: jnp.tanh(x)), 100.0, SECH2),
        (in_a_loop, 100.0, SECH2),
        (in_a_branch, 100.0, SECH2),
        (lambda x, u: jax.nn.sigmoid(x), 100.0, math.exp(-100)),
        (lambda x, u: jax.nn.silu(x), -100.0, -99 * math.exp(-100)),
    ],
)
def test_hazard_41_saturated_user_cells(step, at, expected):
    assert float(step_jacobian(step, jnp.asarray(at))) == pytest.approx(expected, rel=1e-14)
    path = rollout(step, at, steps=1)
    assert path.states[1] == step(jnp.asarray(at), None)
    assert float(gradient_norms(path)[0]) == pytest.approx(math.log(abs(expected)), rel=1e-14)
    assert float(jax.grad(lambda x: rollout(step, x, steps=1).final)(at)) == pytest.approx(
        expected, rel=1e-14
    )


def test_hazard_41_a_users_activation_in_a_built_in_cell():
    """An activation given as jnp.tanh or jax.nn.sigmoid has no slope of exactly 0 either."""
    x = jnp.asarray([60.0])
    for make in (PreActivationRNN, ElmanRNN):
        for phi, slope in ((jnp.tanh, 4 * math.exp(-120)), (jax.nn.sigmoid, math.exp(-60))):
            cell = make([[1.0]], [0.0], activation=phi)
            assert float(cell.jacobian(x)[0, 0]) == pytest.approx(slope, rel=1e-14)
            assert cell.structure().slope_bound is None


def test_hazard_41_partial_against_the_built_in_cell():
    """Both forms of one saturated network give the same log-norms, thousands of decades down."""
    W, b = 40 * np.eye(2) + 3 * W3[:2, :2], np.array([1.0, -1.0])
    user = Partial(scaled_tanh, {"W": jnp.asarray(W), "b": jnp.asarray(b)})
    ours = gradient_norms(rollout(ElmanRNN(W, b), [0.5, -0.5], steps=300))
    theirs = gradient_norms(rollout(user, np.array([0.5, -0.5]), steps=300))
    assert float(ours[0]) / math.log(10) < -8000
    np.testing.assert_allclose(theirs, ours, rtol=1e-13)


def test_hazard_20_not_a_number_never_passes_for_a_state_that_settled():
    path = rollout(lambda x, u: x * jnp.nan, 1.0, steps=5)
    assert int(path.first_nonfinite) == 1
    assert np.isnan(np.asarray(gradient_norms(path))[:-1]).all()


# Conjugacies (docs/science.md, section 1)


@pytest.mark.parametrize(("w", "b"), [(5.0, -2.5), (-9.0, 4.0), (4.0, -2.0), (50.0, -20.0)])
def test_doya_and_pascanu_neurons_are_conjugate(w, b, dtype):
    """y = w x + b, step by step from the same states, and with equal multipliers."""
    one, two = DoyaNeuron(np.asarray(w, dtype), b), PascanuNeuron(np.asarray(w, dtype), b)
    x = np.linspace(-0.5, 1.5, 41).astype(dtype)
    y = w * x + b
    step = jax.vmap(one)(x)
    np.testing.assert_allclose(
        jax.vmap(two)(y), w * np.asarray(step) + b, rtol=0, atol=abs(w) * TOLERANCE[dtype]
    )
    np.testing.assert_allclose(
        jax.vmap(one.jacobian)(x), jax.vmap(two.jacobian)(y), rtol=20 * TOLERANCE[dtype]
    )


@pytest.mark.parametrize(("w", "b"), [(5.0, -2.5), (5.0, -2.4), (-9.0, 4.0)])
def test_doya_neuron_is_a_tanh_neuron(w, b):
    """z = 2x − 1: σ(w x + b) becomes tanh((w/4) z + b/2 + w/4); (5, −2.5) is Bengio's w₀ = 1.25."""
    one, two = DoyaNeuron(w, b), ElmanRNN([[w / 4]], [b / 2 + w / 4])
    x = np.linspace(0.0, 1.0, 21)
    z = (2 * x - 1)[:, None]
    np.testing.assert_allclose(jax.vmap(two)(z)[:, 0], 2 * np.asarray(jax.vmap(one)(x)) - 1, atol=1e-15)
    np.testing.assert_allclose(jax.vmap(two.jacobian)(z)[:, 0, 0], jax.vmap(one.jacobian)(x), atol=1e-14)
    if (w, b) == (5.0, -2.5):
        assert float(two.W[0, 0]) == 1.25
        assert float(two.b[0]) == 0
        latch = PreActivationRNN([[1.25]], [0.0], activation="tanh")
        assert float(latch.jacobian(jnp.zeros(1))[0, 0]) == 1.25


def test_a_full_leak_is_elmans_network():
    np.testing.assert_array_equal(
        LeakyRNN(W3, B3, leak=1)(jnp.asarray(X3)), ElmanRNN(W3, B3)(jnp.asarray(X3))
    )


# Weights


KEY = jax.random.key(5)


def test_exact_radius_and_norm(dtype):
    W = initializers.gaussian(KEY, 20, dtype=dtype)
    eps = float(np.finfo(dtype).eps)
    for target in (0.5, 1.0, 3.0):
        scaled = np.asarray(initializers.with_spectral_radius(W, target), float)
        assert np.abs(np.linalg.eigvals(scaled)).max() == pytest.approx(target, rel=200 * eps)
        scaled = np.asarray(initializers.with_spectral_norm(W, target), float)
        assert np.linalg.norm(scaled, 2) == pytest.approx(target, rel=50 * eps)
        assert scaled.shape == (20, 20)
    assert initializers.with_spectral_norm(W, 2.0).dtype == dtype
    assert not np.any(initializers.with_spectral_radius(np.zeros((2, 2)), 0.0))


@pytest.mark.parametrize(
    "W", [[[1, 1], [-1, -1]], [[0, 1], [0, 0]], [[0, 0], [0, 0]], [[1, 2, -3], [1, 2, -3], [1, 2, -3]]]
)
def test_nilpotent_weights_have_no_radius_to_scale(W):
    with pytest.raises(ValueError, match="W:"):
        initializers.with_spectral_radius(W, 0.9)


def test_defective_weights_keep_their_radius():
    W = initializers.with_spectral_radius([[0.9, 1.0], [0.0, 0.9]], 0.45)
    np.testing.assert_allclose(W, [[0.45, 0.5], [0.0, 0.45]], rtol=1e-14)


def test_ensembles(dtype):
    eps = float(np.finfo(dtype).eps)
    Q = initializers.orthogonal(KEY, 12, gain=1.5, dtype=dtype)
    assert Q.dtype == dtype
    np.testing.assert_allclose(np.asarray(Q).T @ np.asarray(Q), 2.25 * np.eye(12), atol=40 * eps)
    np.testing.assert_array_equal(initializers.identity(3, gain=0.5, dtype=dtype), 0.5 * np.eye(3))
    S = np.asarray(initializers.sparse(KEY, 40, connections=15, gain=2.0, dtype=dtype))
    assert ((S != 0).sum(axis=1) == 15).all()
    assert S.std() * math.sqrt(40) == pytest.approx(2.0, rel=0.2)
    G = np.asarray(initializers.glorot(KEY, 40, gain=2.0, dtype=dtype))
    assert np.abs(G).max() <= 2 * math.sqrt(3 / 40)
    assert G.std() * math.sqrt(40) == pytest.approx(2.0, rel=0.1)
    N = np.asarray(initializers.gaussian(KEY, 40, gain=2.0, dtype=dtype))
    assert N.std() * math.sqrt(40) == pytest.approx(2.0, rel=0.1)


def test_orthogonal_matrices_are_haars():
    """E q₁₁ = 0 and E q₁₁² = 1/n: QR without the signs of R would leave q₁₁ negative throughout."""
    draw = jax.vmap(lambda key: initializers.orthogonal(key, 3)[0, 0])
    first = np.asarray(draw(jax.random.split(KEY, 500)))
    assert abs(first.mean()) < 0.1
    assert (first**2).mean() == pytest.approx(1 / 3, abs=0.05)


@pytest.mark.parametrize("ensemble", ["gaussian", "orthogonal", "glorot", "sparse"])
@pytest.mark.parametrize("form", ["elman", "pre_activation", "leaky"])
def test_random_networks(ensemble, form):
    cell = random_rnn(KEY, 20, spectral_radius=0.95, ensemble=ensemble, form=form, bias=0.1)
    assert np.abs(np.linalg.eigvals(np.asarray(cell.W))).max() == pytest.approx(0.95, rel=1e-12)
    again = random_rnn(KEY, 20, spectral_radius=0.95, ensemble=ensemble, form=form, bias=0.1)
    np.testing.assert_array_equal(cell.W, again.W)
    np.testing.assert_array_equal(cell.b, again.b)


def test_random_network_with_a_norm_and_in_float32():
    cell = random_rnn(KEY, 8, spectral_norm=0.5, dtype="float32")
    assert cell.W.dtype == np.float32
    assert np.linalg.norm(np.asarray(cell.W), 2) == pytest.approx(0.5, rel=1e-6)
    assert not np.any(cell.b)


@FLOAT32_IN_SOAK
def test_non_normal_families(dtype):
    """Nilpotent: Wⁿ = 0; a chain: singular values 1, Wⁿ = 0; non-normal: radius = gain, Henrici as said."""
    key, n = jax.random.key(3), 7
    rounding = 1e-5 if dtype == "float32" else 1e-13
    W = np.asarray(initializers.nilpotent(key, n, gain=1.5, dtype=dtype))
    assert W.dtype == dtype
    assert np.abs(np.linalg.matrix_power(W, n)).max() < 100 * rounding
    assert np.linalg.norm(np.linalg.matrix_power(W, 3)) > 1e-3
    shift = np.asarray(initializers.chain(4, gain=2.0, dtype=dtype))
    np.testing.assert_allclose(np.linalg.svd(shift, compute_uv=False), [2, 2, 2, 0], atol=1e-6)
    assert not np.linalg.matrix_power(shift, 4).any()
    for size in (1, 2, 5, 40):
        W = np.asarray(initializers.non_normal(key, size, gain=0.9, departure=0.0, dtype=dtype), float)
        np.testing.assert_allclose(W @ W.T, W.T @ W, atol=10 * rounding)
        assert np.abs(np.linalg.eigvals(W)).max() == pytest.approx(0.9, rel=10 * rounding)
        W = np.asarray(initializers.non_normal(key, size, gain=0.9, departure=0.1, dtype=dtype), float)
        assert np.abs(np.linalg.eigvals(W)).max() == pytest.approx(
            0.9, rel=2e-2 if dtype == "float32" else 1e-9
        )
    departure = np.sqrt((W**2).sum() - (np.abs(np.linalg.eigvals(W)) ** 2).sum())
    assert departure == pytest.approx(0.9 * 0.1 * np.sqrt(40 / 2), rel=0.15)
    assert random_rnn(key, 5, ensemble="nilpotent").W.shape == (5, 5)
    with pytest.raises(ValueError, match=r"spectral_radius.*nilpotent"):
        random_rnn(key, 5, ensemble="nilpotent", spectral_radius=0.5)


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: initializers.chain(3, gain=math.nan), "gain"),
        (lambda: initializers.nilpotent(jax.random.key(0), 3, gain="a"), "gain"),
        (lambda: initializers.non_normal(jax.random.key(0), 3, departure=math.inf), "departure"),
        (lambda: initializers.gaussian(jax.random.key(0), 3, dtype=int), "dtype"),
        (lambda: random_rnn(jax.random.key(0), 3, bias=math.nan), "bias"),
    ],
)
def test_numbers_of_the_families_are_checked(make, argument):
    with pytest.raises((TypeError, ValueError), match=rf"^{argument}:"):
        make()
