"""The core of training against plain NumPy: gradients, clipping, Ω, flossing, and every optimizer's steps."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rnn_dynamics.cells import GRU, ElmanRNN, LeakyRNN
from rnn_dynamics.dynamics.lyapunov.frames import first_frame
from rnn_dynamics.training import Plan, Recipe, Term, recipe, task
from rnn_dynamics.training.recipes.clipping import clip_by_norm, clip_by_value, global_norm, loss_and_gradient
from rnn_dynamics.training.recipes.networks import Network, states
from rnn_dynamics.training.recipes.optimizers import OPTIMIZERS
from rnn_dynamics.training.recipes.terms import Pass, activity, flossing, norm_ratios, omega, omega_squared
from rnn_dynamics.training.runs.updates import Run, _update, first_state
from rnn_dynamics.training.tasks import Batch
from tests.compilations import compilations
from tests.oracles import training as oracle

UNITS, BATCH = 6, 3
TASKS = {
    "one reading": task("temporal-order", 10),
    "padded": task("addition", 11),
    "several readings": task("noiseless-memorisation", 2),
}
NORMS, SQUARES = Term("omega", omega, True), Term("omega squared", omega_squared, True)
CASES = [("one reading", "float32"), *((name, "float64") for name in TASKS)]
TOLERANCE = {"float32": 3e-5, "float64": 1e-11}


def close(found, truth, dtype, *, scale=None):
    """|error| ≤ tolerance · the largest entry."""
    truth = np.asarray(truth)
    scale = np.abs(truth).max() if scale is None else scale
    np.testing.assert_allclose(np.asarray(found, np.float64), truth, rtol=0, atol=TOLERANCE[dtype] * scale)


def network_of(known, dtype):
    """The library's network with an oracle's weights."""
    W, b, W_in, V, c = (np.asarray(part, dtype) for part in (known.W, known.b, known.W_in, known.V, known.c))
    return Network(ElmanRNN(W, b, W_in, activation=known.activation), V, c)


@functools.cache
def example(name="one reading", activation="tanh"):
    """A task, a batch of it in float64, an oracle's network whose weights float32 holds, and its gradient."""
    one = TASKS[name]
    batch = one.batch(jax.random.key(4), BATCH, jnp.float64)
    shape = {"units": UNITS, "width": one.width, "outputs": one.outputs}
    known = oracle.random_elman(7, **shape, scale=0.5, activation=activation, dtype=np.float32)
    plain = tuple(map(np.asarray, batch))
    rounded = Batch(plain[0].astype(np.float32).astype(np.float64), *plain[1:])
    return one, rounded, known, oracle.propagated_back(known, *rounded, one.kind)


def in_dtype(batch, dtype):
    return Batch(*(np.asarray(p, dtype if p.dtype == np.float64 else p.dtype) for p in batch))


class Found(NamedTuple):
    """What the library makes of a batch, on the host."""

    loss: np.ndarray
    gradient: Network
    done: Pass
    norm: np.ndarray
    clipped: Network
    omega: np.ndarray
    omega_squared: np.ndarray
    counts: np.ndarray


@functools.cache
def compiled(name, terms):
    @jax.jit
    def everything(network, batch, numbers, threshold):
        loss, gradient, done = loss_and_gradient(network, batch, TASKS[name], terms=terms, numbers=numbers)
        clip = clip_by_norm(threshold).update(gradient, optax.EmptyState())[0]
        values = (omega(network, done, {}), omega_squared(network, done, {}), norm_ratios(network, done)[1])
        return Found(loss, gradient, done, global_norm(gradient), clip, *values)

    return everything


def found_for(name, dtype, terms=(NORMS, SQUARES), network=None, threshold=1.0, **strengths):
    """What the library finds, of the oracle's network if none is given; strengths that are not given are 0."""
    _, batch, known, _ = example(name)
    numbers = {term.name: np.asarray(strengths.get(term.name, 0.0), dtype) for term in terms}
    given = network_of(known, dtype) if network is None else network
    found = compiled(name, terms)(given, in_dtype(batch, dtype), numbers, np.asarray(threshold, dtype))
    return jax.tree_util.tree_map(np.asarray, found)


def of_each_sequence(found):
    """∂E/∂x_t with the batch first."""
    return np.swapaxes(found.done.cotangents, 0, 1)


def parameters(gradient):
    return [gradient.cell.W, gradient.cell.W_in, gradient.cell.b, gradient.readout, gradient.offset]


# ── the gradient ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_loss_gradient_and_cotangents_are_those_of_explicit_loops(name, dtype):
    truth, found = example(name)[3], found_for(name, dtype)
    assert found.loss.dtype == dtype
    close(found.loss, truth.loss, dtype)
    for part, wanted in zip(parameters(found.gradient), truth.parameters(), strict=True):
        assert part.dtype == dtype
        close(part, wanted, dtype)
    close(of_each_sequence(found), truth.dz, dtype)


@pytest.mark.soak
def test_the_logistic_network_is_right_too():
    one, batch, known, truth = example("one reading", "logistic")
    run = jax.jit(functools.partial(loss_and_gradient, task=one, numbers={}))
    loss, gradient, done = run(network_of(known, "float64"), in_dtype(batch, "float64"))
    assert done.cotangents is None
    close(loss, truth.loss, "float64")
    for found, wanted in zip(parameters(gradient), truth.parameters(), strict=True):
        close(found, wanted, "float64")


@pytest.mark.parametrize("threshold", [0.3, 1.0, 1e3])
def test_clipping_by_norm_is_algorithm_1(threshold, dtype):
    truth, found = example()[3].parameters(), found_for("one reading", dtype, threshold=threshold)
    close(found.norm, oracle.norm_of_all(truth), dtype)
    for part, wanted in zip(parameters(found.clipped), oracle.clipped(truth, threshold), strict=True):
        assert part.dtype == dtype
        close(part, wanted, dtype)


@jax.jit
def clipped(gradient, threshold):
    return clip_by_norm(threshold).update(gradient, optax.EmptyState())[0]


def test_clipping_at_the_threshold_at_zero_and_out_of_range(dtype):
    huge = np.array([3e37 if dtype == "float32" else 3e307, 0.0], dtype)
    for value in (np.array([3.0, 4.0], dtype), np.zeros(2, dtype), huge):
        found = clipped(value, np.asarray(5.0, dtype))
        close(found, oracle.clipped([value], 5.0)[0], dtype, scale=5.0)
    assert np.isnan(clipped(np.array([np.nan, 1], dtype), np.asarray(5.0, dtype))).any()
    found, _ = clip_by_value(0.5).update(jnp.asarray([-2.0, 0.1], dtype), optax.EmptyState())
    np.testing.assert_array_equal(found, jnp.asarray([-0.5, 0.1], dtype))


# ── Ω ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_omega_and_its_immediate_gradient_are_the_papers(name, power, dtype):
    _, _, known, truth = example(name)
    found = found_for(name, dtype, **{"omega" if power == 1 else "omega squared": 2.0})
    close(found.loss, truth.loss, dtype)
    value = found.omega if power == 1 else found.omega_squared
    close(value, oracle.omega(known.W, truth.slopes, truth.dz, power), dtype)
    wanted = truth.W + 2.0 * oracle.omega_gradient(known.W, truth.slopes, truth.dz, power)
    close(found.gradient.cell.W, wanted, dtype)
    for part, plain in zip(parameters(found.gradient)[1:], truth.parameters()[1:], strict=True):
        close(part, plain, dtype)


def test_padding_adds_nothing_to_omega():
    """Steps after the reading have ∂E/∂z = 0 and are left out."""
    truth = example("padded")[3]
    left_out = np.swapaxes((truth.dz**2).sum(axis=-1)[:, 1:] < 1e-20, 0, 1)
    np.testing.assert_array_equal(found_for("padded", "float64").counts, ~left_out)


@pytest.mark.soak
def test_other_terms_leave_the_cotangents_of_omega_those_of_the_loss():
    _, batch, known, truth = example()
    with_activity = (NORMS, SQUARES, Term("activity", activity))
    found = found_for("one reading", "float64", with_activity, omega=1.0, activity=3.0)
    close(of_each_sequence(found), truth.dz, "float64")
    close(found.loss, truth.loss, "float64")

    def mean_activity(W):
        moved = oracle.Elman(W, known.W_in, known.b, known.V, known.c)
        return 3.0 * np.mean([np.abs(oracle.run(moved, u)[1][1:]) for u in batch.inputs])

    added = found.gradient.cell.W - found_for("one reading", "float64", omega=1.0).gradient.cell.W
    slope = oracle.finite_differences(mean_activity, known.W)
    np.testing.assert_allclose(added, slope, rtol=1e-6, atol=1e-8)


def of_a_general_cell(kind):
    """A cell of the library, the same one written out, how to make the latter of a vector, and that vector."""
    draw = np.random.default_rng(3)
    n, width = 4, TASKS["one reading"].width
    if kind == "leaky":
        shapes = [(n, n), (n, width), (n,)]
        parts = [draw.standard_normal(shape) for shape in shapes]
        W, W_in, b = map(jnp.asarray, parts)
        cell = LeakyRNN(W, b, W_in, leak=0.3)
        return (
            cell,
            oracle.Leaky(*parts, alpha=0.3),
            lambda W: oracle.Leaky(W, *parts[1:], alpha=0.3),
            parts[0],
        )
    shapes = [(n, n)] * 3 + [(n, width)] * 3 + [(n,)] * 3
    parts = [0.7 * draw.standard_normal(shape) for shape in shapes]
    stacked = [jnp.concatenate([jnp.asarray(p) for p in parts[i : i + 3]]) for i in (0, 3, 6)]
    zero = np.zeros(n)
    made = oracle.Gated(*parts, zero)

    def of(W):
        return oracle.Gated(*np.split(W, 3), *parts[3:], zero)

    return GRU(stacked[0], stacked[2], stacked[1]), made, of, np.asarray(stacked[0])


@functools.cache
def general(kind):
    """The cell by loops: states, ∂E/∂x_t; and by the library: with strengths 0, and with each form of Ω."""
    one, batch, _, _ = example()
    cell, plain, made_of, W = of_a_general_cell(kind)
    V, c = np.random.default_rng(11).standard_normal((one.outputs, 4)), np.zeros(one.outputs)
    network = Network(cell, jnp.asarray(V), jnp.asarray(c))
    run = functools.partial(found_for, "one reading", "float64", network=network)
    found = run(), run(omega=1.0), run(**{"omega squared": 1.0})
    states = np.array([oracle.states_of(plain, u, np.zeros(4)) for u in batch.inputs])
    last = [
        V.T @ oracle.cross_entropy(V @ x[-1] + c, int(y[0]))[1]
        for x, y in zip(states, batch.targets, strict=True)
    ]
    back = [oracle.state_gradients(plain, *part) for part in zip(batch.inputs, states, last, strict=True)]
    return found, batch.inputs, states, np.array(back), made_of, W


@pytest.mark.parametrize("kind", ["leaky", pytest.param("gru", marks=pytest.mark.soak)])
@pytest.mark.parametrize("power", [1, 2])
def test_omega_of_a_general_cell_is_that_of_its_own_state(kind, power):
    found, inputs, states, back, made_of, W = general(kind)
    silent, regular = found[0], found[power]
    close(of_each_sequence(silent), back[:, 1:], "float64")

    def immediate(W):
        return oracle.omega_of_states(made_of(W), inputs, states, back, power, first=1)

    close(silent.omega if power == 1 else silent.omega_squared, immediate(W), "float64")
    added = regular.gradient.cell.W - silent.gradient.cell.W
    np.testing.assert_allclose(added, oracle.finite_differences(immediate, W), rtol=1e-6, atol=1e-7)


def test_omega_with_no_gradient_left_is_zero_and_its_slope_too():
    known = example()[2]
    nothing = np.zeros((5, 2, UNITS), np.float32)
    done = Pass(np.zeros((5, 2, 6), np.float32), np.zeros((6, 2, UNITS), np.float32), nothing)

    def both(network):
        return omega(network, done, {}) + omega_squared(network, done, {})

    value, slope = jax.jit(jax.value_and_grad(both))(network_of(known, "float32"))
    assert value == 0
    assert not any(np.any(leaf) for leaf in jax.tree_util.tree_leaves(slope))


# ── flossing ─────────────────────────────────────────────────────────────────────────────────────────────────────


@jax.jit
def flossed(network, batch):
    numbers = {"flossing": jnp.asarray(1.0), "exponent": jnp.asarray(-0.4)}
    term = Term("flossing", flossing)
    found = loss_and_gradient(network, batch, TASKS["one reading"], terms=(term,), numbers=numbers)
    return found, flossing(network, found[2], numbers)


def flossing_by_loops(known, inputs, start, target):
    z, _ = oracle.run(known, inputs)
    logs, frame = [], start
    for at in z:
        frame, triangle = np.linalg.qr(known.slope(at)[:, None] * known.W @ frame)
        logs.append(np.log(np.abs(np.diag(triangle))))
    return oracle.flossing_term(np.mean(logs, axis=0), target)


def test_flossing_is_the_term_of_the_exponents_and_its_gradient_goes_through_the_run():
    _, batch, known, truth = example()
    found, value = flossed(network_of(known, "float64"), in_dtype(batch, "float64"))
    loss, gradient, _ = found
    close(loss, truth.loss, "float64")
    start = np.asarray(first_frame(None, UNITS, UNITS, np.dtype("float64")))

    def by_loops(W):
        moved = oracle.Elman(W, known.W_in, known.b, known.V, known.c)
        return flossing_by_loops(moved, batch.inputs[0], start, -0.4)

    assert float(value) == pytest.approx(by_loops(known.W), rel=1e-11)
    slope = oracle.finite_differences(by_loops, known.W)
    np.testing.assert_allclose(np.asarray(gradient.cell.W) - truth.W, slope, rtol=1e-5, atol=1e-7)


def test_flossing_drives_the_exponents_to_its_target():
    """Steps on the term alone, judged by exponents that start from another frame."""
    _, batch, known, _ = example()
    rule = OPTIMIZERS["adam"]({"learning_rate": 0.02})
    inputs = np.swapaxes(in_dtype(batch, "float32").inputs, 0, 1)

    def term(network):
        done = Pass(inputs, states(network.cell, inputs), None)
        return flossing(network, done, {"exponent": jnp.asarray(-0.4, jnp.float32)})

    def step(carry, _):
        network, memory = carry
        value, slope = jax.value_and_grad(term)(network)
        change, memory = rule.update(slope, memory, network)
        return (optax.apply_updates(network, change), memory), value

    start = jax.tree_util.tree_map(jnp.asarray, network_of(known, "float32"))
    descent = jax.jit(lambda network: jax.lax.scan(step, (network, rule.init(network)), None, length=200))
    (network, _), values = descent(start)
    assert values[0] > 0.1
    assert values[-1] < 1e-3
    cell = network.cell
    after = oracle.Elman(*(np.float64(p) for p in (cell.W, cell.W_in, cell.b, known.V, known.c)))
    z, _ = oracle.run(after, batch.inputs[0])
    exponents = oracle.exponents_by_qr([after.slope(at)[:, None] * after.W for at in z], UNITS)
    assert exponents.sum() / UNITS == pytest.approx(-0.4, abs=0.02)


# ── optimizers ───────────────────────────────────────────────────────────────────────────────────────────────────

START = np.array([0.5, -0.25, 0.0, 1.0])
GRADIENTS = [
    np.array([1.0, -2.0, 1e-3, 0.0]),
    np.array([0.5, 2.0, 1e-3, 3.0]),
    np.array([-1.0, 2.0, 1e-3, 3.0]),
    np.array([-1.0, 2.0, -1e-3, -3.0]),
    np.array([0.1, -2.0, -1e-3, -3.0]),
    np.array([0.1, -2.0, 1e-8, 0.0]),
    np.array([0.1, 3.0, 1e-8, -1.0]),
]
RULES = {
    "sgd": lambda x, g: oracle.descent(x, g, 0.1),
    "momentum": lambda x, g: oracle.momentum(x, g, 0.1, 0.9),
    "nesterov": lambda x, g: oracle.nesterov(x, g, 0.1, 0.9),
    "rmsprop": lambda x, g: oracle.rmsprop(x, g, 0.1, 0.9, 1e-8),
    "adam": lambda x, g: oracle.adam(x, g, 0.1, 0.9, 0.999, 1e-8),
    "rprop": lambda x, g: oracle.rprop(x, g, oracle.RpropSizes(0.1, least=1e-8, most=0.13)),
}
NUMBERS = {"learning_rate": 0.1, "momentum": 0.9, "largest_step": 0.13}


def steps_of(name, gradients, dtype):
    rule = OPTIMIZERS[name]({key: jnp.asarray(value, dtype) for key, value in NUMBERS.items()})
    given = jnp.asarray(np.array(gradients), dtype)

    def step(carry, g):
        x, memory = carry
        change, memory = rule.update(g, memory, x)
        x = optax.apply_updates(x, change)
        return (x, memory), x

    start = jnp.asarray(START, dtype)
    return np.asarray(jax.jit(lambda g: jax.lax.scan(step, (start, rule.init(start)), g)[1])(given))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_makes_the_steps_of_its_paper(name, dtype):
    found = steps_of(name, GRADIENTS, dtype)
    assert found.dtype == dtype
    wanted = np.array(RULES[name](START, GRADIENTS))
    np.testing.assert_allclose(found, wanted, rtol=0, atol={"float32": 1e-5, "float64": 1e-13}[dtype])


def test_rprop_depends_on_signs_only():
    scales = 10.0 ** -np.arange(0, 28, 4)
    smaller = [g * s for g, s in zip(GRADIENTS, scales, strict=True)]
    np.testing.assert_array_equal(
        steps_of("rprop", GRADIENTS, "float32"), steps_of("rprop", smaller, "float32")
    )


@pytest.mark.parametrize("name", ["rmsprop", "adam"])
def test_steps_relative_to_recent_gradients_do_not_depend_on_their_scale(name):
    smaller = [g[:2] * 1e-5 for g in GRADIENTS]
    full = [np.pad(g, (0, 2)) for g in smaller]
    found, wanted = (steps_of(name, list(g), "float64")[:, :2] for g in (full, GRADIENTS))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-3)


def test_the_sign_of_a_step_is_that_of_descent_where_the_gradient_is_zero_nothing_moves():
    for name in OPTIMIZERS:
        still = steps_of(name, [np.zeros(4)] * 3, "float32")
        np.testing.assert_array_equal(still, np.broadcast_to(START.astype(np.float32), still.shape))


# ── one update ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_update_is_clipped_descent_on_the_sequences_of_its_key():
    one, _, known, _ = example()
    made = recipe("clipping", "omega").with_numbers(threshold=0.7, learning_rate=0.5, omega=2.0)
    plan = Plan(one, made, units=UNITS, batch=BATCH)
    network = network_of(known, "float32")
    numbers = {name: jnp.asarray(value, jnp.float32) for name, value in made.numbers}
    data = jax.random.key_data(jax.random.key(5))
    run = Run(
        network,
        first_state(plan, network, numbers),
        numbers,
        data,
        jnp.asarray(3, jnp.int32),
        jnp.asarray(True),
    )
    after, (loss, norm) = jax.jit(lambda run: _update(plan, run, None))(run)
    key = jax.random.fold_in(jax.random.fold_in(jax.random.wrap_key_data(data), 0), 3)
    batch = one.batch(key, BATCH, jnp.float64)
    truth = oracle.propagated_back(known, *map(np.asarray, batch), one.kind)
    parts = truth.parameters()
    parts[0] = parts[0] + 2.0 * oracle.omega_gradient(known.W, truth.slopes, truth.dz, 2)
    close(loss, truth.loss, "float32")
    close(norm, oracle.norm_of_all(parts), "float32")
    before = [known.W, known.W_in, known.b, known.V, known.c]
    for found, x, g in zip(parameters(after.network), before, oracle.clipped(parts, 0.7), strict=True):
        close(found, x - 0.5 * g, "float32", scale=1.0)
    assert after.step == 4


def test_a_repeated_shape_compiles_nothing():
    found_for("one reading", "float32")
    with compilations() as found:
        found_for("one reading", "float32", omega=3.0)
    assert found.count == 0


@pytest.mark.parametrize(
    ("slot", "value"),
    [("cell", "elman"), ("initializer", "xavier"), ("optimizer", "adagrad"), ("clip", "hard")],
)
def test_unknown_pieces_of_a_recipe_are_named_with_the_known_ones(slot, value):
    with pytest.raises(ValueError, match=f"{slot}: expected one of .*got '{value}'"):
        Recipe(**{slot: value})


@pytest.mark.parametrize("size", ["units", "batch", "every", "test"])
@pytest.mark.parametrize(
    ("value", "error"), [(0, ValueError), (-3, ValueError), (2.5, TypeError), (True, TypeError)]
)
def test_sizes_of_a_plan_are_integers_of_at_least_one(size, value, error):
    with pytest.raises(error, match=f"{size}: expected an integer"):
        Plan(TASKS["padded"], Recipe(), **{size: value})


def test_a_plan_takes_a_task_and_a_recipe():
    with pytest.raises(TypeError, match="task: expected a Task, got str"):
        Plan("latch", Recipe())
    with pytest.raises(TypeError, match="recipe: expected a Recipe, got str"):
        Plan(TASKS["padded"], "clipping")
