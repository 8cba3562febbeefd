"""Every remedy by name: it composes or says why not, and keeps the invariant that defines it."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from rnn_dynamics.cells import BatchNormRNN, ElmanRNN, LayerNormRNN, PReLURNN
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.dynamics.lyapunov import lyapunov_spectrum
from rnn_dynamics.training import REMEDIES, Plan, Recipe, recipe, task, train
from rnn_dynamics.training.recipes import dropout
from rnn_dynamics.training.recipes.clipping import loss_and_gradient
from rnn_dynamics.training.recipes.compressor import HistoryCompressor
from rnn_dynamics.training.recipes.networks import Network, masked, outputs, states
from rnn_dynamics.training.recipes.pseudo_newton import curvatures_of_outputs, time_weighted
from rnn_dynamics.training.recipes.recipe import initial_network
from rnn_dynamics.training.recipes.search import SEARCHES, Setting
from rnn_dynamics.training.recipes.structures import INITIALIZERS
from rnn_dynamics.training.runs import updates
from rnn_dynamics.training.tasks import Batch

TASK = task("temporal-order", 10)
UNITS = 4


def _weights(n=3, m=2, seed=0, dtype="float64"):
    rng = np.random.default_rng(seed)
    return tuple(rng.normal(size=shape).astype(dtype) for shape in ((n, n), (n,), (n, m)))


def _plan(names, **changed):
    chosen = recipe(*names).with_numbers(**changed) if changed else recipe(*names)
    return Plan(TASK, chosen, units=UNITS, batch=5, every=2, test=2)


def _first(plan):
    """A function of network and numbers that gives a run, and those two."""
    numbers = {name: jnp.float32(value) for name, value in plan.recipe.numbers}
    network = initial_network(plan.recipe, jax.random.key(0), TASK.width, TASK.outputs, UNITS)
    key = jax.random.key_data(jax.random.key(1))

    def first(network, numbers):
        memory = updates.first_state(plan, network, numbers)
        return updates.Run(network, memory, numbers, key, jnp.int32(0), jnp.bool_(True))

    return first, network, numbers


def _trained(names):
    """A run before and after two updates, and their losses."""
    plan = _plan(names)
    first, network, numbers = _first(plan)
    run = begin = first(network, numbers)
    update, losses = jax.jit(functools.partial(updates._update, plan)), []
    for _ in range(2):
        run, (loss, _norm) = update(run, None)
        losses.append(float(loss))
    return begin, run, losses


def _leaves(tree):
    return jax.tree_util.tree_leaves(tree)


# ---- composing


def _refusal(*names):
    """Why the remedies do not go together; nothing where they do."""
    try:
        recipe(*names)
    except ValueError as error:
        return str(error)
    return ""


def test_pairs_compose_or_name_who_excludes_whom():
    pairs = list(itertools.combinations(REMEDIES, 2))
    refusals = {pair: reason for pair in pairs if (reason := _refusal(*pair))}
    for pair, reason in refusals.items():
        assert all(name in reason for name in pair)
        assert "exclude each other" in reason or "forms of one another" in reason
    assert 0 < len(refusals) < 0.4 * len(pairs)


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (("clipping", "random guessing"), "a search forms no gradient"),
        (("time-weighted pseudo-newton", "omega"), "curvatures are known of the plain cell alone"),
        (("time-weighted pseudo-newton", "gru"), "curvatures are known of the plain cell alone"),
        (("prelu", "relu"), "the cell has its own"),
        (("batch normalisation", "flossing"), "one sequence alone has no exponents"),
        (("evolution strategy", "variational dropout"), "networks as they are tested"),
        (("orthogonal", "random guessing"), "draws all weights anew"),
        (("lstm", "gru"), "cell is 'lstm' for one and 'gru' for the other"),
    ],
)
def test_exclusive_remedies_say_why(names, why):
    with pytest.raises(ValueError, match=f"{names[0]}.*{names[1]}|{names[1]}.*{names[0]}") as caught:
        recipe(*names)
    assert why in str(caught.value)


def test_what_the_base_sets_counts():
    with pytest.raises(ValueError, match="random guessing and the recipe they change exclude each other"):
        recipe("random guessing", base=Recipe(clip="norm"))
    assert recipe("random guessing", base=Recipe(initializer="smart tanh")).search == "random guessing"


def test_an_unknown_remedy_lists_the_known():
    with pytest.raises(ValueError, match="expected some of 'clipping', 'omega'") as caught:
        recipe("weight decay")
    assert all(name in str(caught.value) for name in REMEDIES)


def test_clipping_and_optimizers_act_on_an_evolution_strategy():
    found = recipe("evolution strategy", "clipping", "adam")
    assert (found.search, found.clip, found.optimizer) == ("evolution strategy", "norm", "adam")


def test_every_remedy_has_kind_claim_and_reference():
    for remedy in REMEDIES.values():
        assert remedy.kind
        assert remedy.reference
        recipe(remedy)


def _traces(names):
    """An update of the remedies together keeps every shape and dtype; nothing is compiled."""
    plan = _plan(names)
    first = jax.eval_shape(*_first(plan))
    last, _ = jax.eval_shape(functools.partial(updates._update, plan), first, None)
    assert jax.tree_util.tree_structure(first) == jax.tree_util.tree_structure(last)
    assert _leaves(first) == _leaves(last)
    assert all(leaf.dtype == jnp.float32 for leaf in _leaves(last.network))


@pytest.mark.soak
@pytest.mark.parametrize("name", REMEDIES)
def test_every_remedy_alone_and_in_pairs_forms_an_update(name):
    _traces([name])
    for other in itertools.takewhile(lambda other: other != name, REMEDIES):
        try:
            recipe(name, other)
        except ValueError:
            continue
        _traces([name, other])


MANY = [
    ("history compressor", "omega", "variational dropout", "truncated unfolding", "adam"),
    ("skip", "variational dropout", "flossing", "rprop"),
]


@pytest.mark.soak
@pytest.mark.parametrize("names", MANY)
def test_many_together_form_an_update(names):
    _traces(names)


EVERYDAY = [
    ("layer normalisation", "variational dropout", "truncated unfolding", "clipping"),
    pytest.param(("batch normalisation", "omega", "rprop"), marks=pytest.mark.soak),
    ("prelu", "simulated annealing"),
]


def _trains(names):
    first, last, losses = _trained(names)
    assert bool(last.is_finite)
    assert np.isfinite(losses).all()
    assert int(last.step) == 2
    if "random guessing" not in names:
        assert any((a != b).any() for a, b in zip(_leaves(first.network), _leaves(last.network), strict=True))


@pytest.mark.parametrize("names", EVERYDAY)
def test_two_updates_are_finite_and_change_the_network(names):
    _trains(names)


@pytest.mark.soak
@pytest.mark.parametrize("name", REMEDIES)
def test_two_updates_with_every_remedy_are_finite(name):
    _trains([name])


@pytest.mark.soak
def test_a_search_resumes_bit_for_bit(tmp_path):
    plan = Plan(task("parity", 6), recipe("simulated annealing"), units=3, batch=5, every=5, test=10)
    whole = train(plan, range(2), updates=10, workers=1)
    train(plan, range(2), updates=5, workers=1, checkpoint=tmp_path / "panel.npz")
    resumed = train(plan, range(2), updates=10, workers=1, checkpoint=tmp_path / "panel.npz")
    for one, other in zip(_leaves(whole.runs), _leaves(resumed.runs), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.soak
@pytest.mark.parametrize("name", SEARCHES)
def test_searches_learn_a_short_latch_in_a_panel(name):
    """Seen: all four runs after 500 updates, some guesses and populations after 1000."""
    easy = Plan(task("latch", 10), recipe(name), units=3, every=500)
    panel = train(easy, range(4), updates=4000, workers=1)
    assert panel.succeeded.sum() >= 3
    assert np.isnan(panel.history["norm"]).all()


# ---- optimizers and initialisers


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_rprop_sees_signs_only(scale):
    rng = np.random.default_rng(0)
    gradients = jnp.asarray(rng.normal(size=(30, 8)) * 10.0 ** rng.uniform(-25, 0, (30, 8)), jnp.float32)
    rule = recipe("rprop").transformation({"learning_rate": 1e-3, "largest_step": 0.1})

    def path(gradients):
        at = jnp.zeros(8, jnp.float32)

        def step(carried, gradient):
            at, state = carried
            change, state = rule.update(gradient, state, at)
            at = optax.apply_updates(at, change)
            return (at, state), at

        return jax.lax.scan(step, (at, rule.init(at)), gradients)[1]

    given, scaled = path(gradients), path(gradients * jnp.float32(scale))
    np.testing.assert_array_equal(given, scaled)
    np.testing.assert_array_equal(given, path(jnp.sign(gradients)))
    assert (np.abs(np.diff(given, axis=0)).max(axis=0) > 1e-3).any()


@pytest.mark.parametrize("gain", [0.5, 1.0, 1.2])
def test_orthogonal_weights_give_a_linear_network_one_exponent(gain):
    n = 6
    W = jnp.asarray(INITIALIZERS["orthogonal"].recurrent(jax.random.key(3), n), float)
    W = W + W @ (jnp.eye(n) - W.T @ W) / 2  # drawn in float32
    run = rollout(ElmanRNN(gain * W, jnp.zeros(n), activation="linear"), jnp.ones(n), steps=40)
    np.testing.assert_allclose(lyapunov_spectrum(run).values, np.log(gain), atol=1e-12)


# ---- cells


def test_layer_normalisation_by_hand_and_blind_to_scale():
    W, b, W_in = _weights(5)
    x, u, gain = np.linspace(-1, 1, 5), np.array([0.3, -2.0]), np.linspace(0.5, 2, 5)
    cell = LayerNormRNN(W, b, W_in, gain=gain, epsilon=1e-12)
    z = W @ x + W_in @ u
    wanted = np.tanh(gain * (z - z.mean()) / z.std() + b)
    np.testing.assert_allclose(cell(x, u), wanted, rtol=1e-10)
    np.testing.assert_allclose(
        LayerNormRNN(7 * W, b, 7 * W_in, gain=gain, epsilon=1e-12)(x, u), wanted, rtol=1e-9
    )


def test_batch_normalisation_by_hand():
    W, b, W_in = _weights(4)
    rng = np.random.default_rng(1)
    x, u = rng.normal(size=(7, 4)), rng.normal(size=(7, 2))

    def normal(z):
        return (z - z.mean(axis=0)) / np.sqrt(z.var(axis=0) + 1e-5)

    cell = BatchNormRNN(W, b, W_in, gain=0.5, input_gain=2.0)
    wanted = np.tanh(0.5 * normal(x @ W.T) + 2 * normal(u @ W_in.T) + b)
    np.testing.assert_allclose(cell.over_batch(x, u), wanted, rtol=1e-10)
    linear = BatchNormRNN(W, np.zeros(4), W_in, gain=1.0, input_gain=0.0, activation="linear", epsilon=1e-12)
    after = np.asarray(linear.over_batch(x, u))
    np.testing.assert_allclose(after.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(after.var(axis=0), 1, rtol=1e-9)


def test_the_first_step_of_a_batch_normalised_network_has_a_gradient():
    """All states are 0 there: no variance to divide by."""
    W, b, W_in = _weights(4, dtype="float32")
    inputs = jnp.asarray(np.random.default_rng(2).normal(size=(6, 5, 2)), jnp.float32)
    gradient = jax.jit(jax.grad(lambda c: jnp.sum(states(c, inputs)[-1])))(BatchNormRNN(W, b, W_in))
    assert all(np.isfinite(leaf).all() for leaf in _leaves(gradient))


def test_prelu_has_learned_slopes():
    W, b, W_in = _weights(5)
    x, u, slope = np.linspace(-1, 1, 5), np.array([0.3, -2.0]), np.linspace(0, 1, 5)
    cell = PReLURNN(W, b, W_in, slope=slope)
    z = W @ x + W_in @ u + b
    assert (z < 0).any()
    assert (z > 0).any()
    np.testing.assert_allclose(cell(x, u), np.maximum(z, 0) + slope * np.minimum(z, 0), rtol=1e-12)
    gradient = jax.grad(lambda c: jnp.sum(c(x, u)))(cell)
    np.testing.assert_allclose(gradient.slope, np.minimum(z, 0), rtol=1e-12)
    np.testing.assert_allclose(
        cell.jacobian(x, u), jax.jacobian(lambda x: cell(x, u))(jnp.asarray(x)), rtol=1e-12
    )


@pytest.mark.parametrize("cell", [LayerNormRNN, BatchNormRNN])
def test_bad_normalised_cells(cell):
    W, b, W_in = _weights()
    with pytest.raises(ValueError, match="gain: expected one number or 3"):
        cell(W, b, W_in, gain=np.ones(2))
    with pytest.raises(ValueError, match="epsilon: expected a number > 0"):
        cell(W, b, W_in, epsilon=0.0)
    with pytest.raises(ValueError, match="W: expected a square matrix"):
        cell(W[:2], b, W_in)
    with pytest.raises(ValueError, match="slope: expected one number or 3"):
        PReLURNN(W, b, W_in, slope=np.ones(2))
    with pytest.raises(ValueError, match="W_in: expected input weights"):
        BatchNormRNN(W, b, None)


# ---- dropout and truncation


class _Generic:
    """The plain cell under another type, so that its backward pass is JAX's own."""

    def __init__(self, cell):
        self.W, self.V, self.b, self.W_in = cell.W, None, cell.b, cell.W_in

    def __call__(self, x, u):
        return jnp.tanh(self.W @ x + self.W_in @ u + self.b)


def _flatten(cell):
    keys = map(jax.tree_util.GetAttrKey, ("W", "b", "W_in"))
    return tuple(zip(keys, (cell.W, cell.b, cell.W_in), strict=True)), None


def _unflatten(_, children):
    cell = object.__new__(_Generic)
    cell.W, cell.b, cell.W_in = children
    return cell


jax.tree_util.register_pytree_with_keys(_Generic, _flatten, _unflatten)


def _cell_and_inputs(steps=7, batch=3):
    cell = ElmanRNN(*_weights(4, 2, seed=5))
    return cell, jnp.asarray(np.random.default_rng(6).normal(size=(steps, batch, 2)))


def _pulled(cell, inputs, **options):
    """The gradient of a function of all states, by W, b and W_in; and the states."""
    factors = np.random.default_rng(7).normal(size=(len(inputs) + 1, inputs.shape[1], 4))

    def total(cell):
        along = states(cell, inputs, **options)
        return jnp.sum(factors * jnp.sin(along)), along

    gradient, along = jax.jit(jax.grad(total, has_aux=True))(cell)
    return gradient.W, gradient.b, gradient.W_in, along


@pytest.mark.parametrize(("truncation", "with_masks"), [(None, False), (3, True)])
def test_the_fast_backward_pass_is_that_of_jax(truncation, with_masks):
    cell, inputs = _cell_and_inputs()
    masks = jnp.asarray(np.random.default_rng(8).uniform(size=(3, 4))) if with_masks else None
    options = {"truncation": truncation, "masks": masks}
    for mine, wanted in zip(
        _pulled(cell, inputs, **options), _pulled(_Generic(cell), inputs, **options), strict=True
    ):
        np.testing.assert_allclose(mine, wanted, rtol=1e-11, atol=1e-12)


def test_truncation_cuts_every_k_steps():
    cell, inputs = _cell_and_inputs(steps=7)

    def last(cell, start, inputs):
        x = start
        for u in inputs:
            x = jax.vmap(cell)(x, u)
        return jnp.sum(x)

    along = states(cell, inputs)
    for k, rest in ((5, 2), (7, 7)):
        found = jax.jit(jax.grad(lambda c, k=k: jnp.sum(states(c, inputs, truncation=k)[-1])))(cell)
        wanted = jax.jit(jax.grad(last))(cell, along[7 - rest], inputs[7 - rest :])
        for one, other in zip(_leaves(found), _leaves(wanted), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-13)


def test_one_mask_for_all_steps_of_a_sequence():
    cell, inputs = _cell_and_inputs()
    masks = dropout.masks(jax.random.key(0), 0.5, 3, 4).astype(float)
    found = states(cell, inputs, masks=masks)
    for i in range(3):
        alone = states(masked(cell, masks[i]), inputs[:, i : i + 1])
        np.testing.assert_allclose(found[:, i], alone[:, 0], atol=1e-14)


def test_masks_have_mean_1_and_none_without_dropout():
    masks = np.asarray(dropout.masks(jax.random.key(0), 0.25, 400, 100))
    assert set(np.unique(masks)) == {0, np.float32(1 / 0.75)}
    assert abs(masks.mean() - 1) < 4 * np.sqrt(1 / 3 / masks.size)
    np.testing.assert_array_equal(dropout.masks(jax.random.key(0), 0.0, 5, 4), 1)


# ---- time-weighted pseudo-Newton


@functools.partial(jax.jit, static_argnums=2)
def _both(network, batch, given, damping):
    """Loss and direction, loss and gradient."""
    plain = loss_and_gradient(network, batch, given, numbers={})
    return time_weighted(network, batch, given, {"damping": damping}), plain[:2]


def test_pseudo_newton_of_one_unit_takes_each_instance_by_its_own_curvature():
    given = task("addition", 10)
    batch = given.batch(jax.random.key(0), 3, jnp.float64)
    W, b, W_in = _weights(1, given.width, seed=2)
    V, c = np.array([[1.3]]), np.array([0.2])
    network = Network(ElmanRNN(W, b, W_in), jnp.asarray(V), jnp.asarray(c))
    (loss, found), (plain, _) = _both(network, batch, given, 0.05)

    def of_instances(inputs, at, target, w, shift, driven, read, offset):
        """The loss of one sequence as a function of the weights of every step."""

        def step(h, parts):
            w, shift, driven, u = parts
            h = jnp.tanh(w * h + driven @ u + shift)
            return h, h

        hidden = jax.lax.scan(step, jnp.zeros(()), (w, shift, driven, inputs))[1]
        return jnp.square(read * hidden[at[0]] + offset - target[0, 0])

    steps = batch.inputs.shape[1]
    at = (W[0, 0], b[0], W_in[0])
    instances = [jnp.broadcast_to(jnp.asarray(w), (steps, *np.shape(w))) for w in at]
    flat, back = ravel_pytree((*instances, jnp.asarray(V[0, 0]), jnp.asarray(c[0])))

    @jax.jit
    @jax.vmap
    def derivatives(inputs, at, target):
        def alone(p):
            return of_instances(inputs, at, target, *back(p))

        return jax.grad(alone)(flat), jnp.diagonal(jax.hessian(alone)(flat))

    first, second = derivatives(batch.inputs, batch.at, batch.targets)
    wanted = back((first / (np.abs(second) + 0.05)).mean(axis=0))
    mine = (found.cell.W[0, 0], found.cell.b[0], found.cell.W_in[0], found.readout[0, 0], found.offset[0])
    for one, other in zip(mine, wanted[:3], strict=False):
        np.testing.assert_allclose(one, other.sum(axis=0), rtol=1e-9)
    np.testing.assert_allclose(mine[3:], wanted[3:], rtol=1e-9)
    np.testing.assert_allclose(loss, plain, rtol=1e-12)


@pytest.mark.soak
def test_pseudo_newton_with_large_damping_is_the_gradient():
    batch = TASK.batch(jax.random.key(0), 5, jnp.float64)
    W, b, W_in = _weights(4, TASK.width)
    network = Network(ElmanRNN(W, b, W_in), jnp.ones((TASK.outputs, 4)), jnp.arange(4.0))
    (_, found), (_, gradient) = _both(network, batch, TASK, 1e9)
    for one, other in zip(_leaves(found), _leaves(gradient), strict=True):
        np.testing.assert_allclose(1e9 * one, other, rtol=1e-6, atol=1e-9)


def test_curvature_of_cross_entropy_is_p_times_1_minus_p():
    y = jnp.asarray(np.random.default_rng(0).normal(size=(3, 1, TASK.outputs)))
    _, second = curvatures_of_outputs(TASK, y, jnp.zeros((3, 1), int))
    p = np.exp(y) / np.exp(y).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(second, p * (1 - p), rtol=1e-12)


# ---- searches


def _setting(score, key=0, free=None, size=6, **numbers):
    free = jnp.ones(size, bool) if free is None else free
    numbers = {name: jnp.asarray(value) for name, value in numbers.items()}
    return Setting(score, free, numbers, jax.random.key(key), optax.sgd(0.1))


def _distance(at):
    """Squared distance from 1; no share is wrong."""
    return jnp.sum(jnp.square(at - 1)), jnp.zeros(())


NUMBERS = {"range": 2.0, "patience": 5.0, "temperature": 1.0, "spread": 0.1}


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_comes_nearer_and_leaves_settings_alone(name):
    search, free = SEARCHES[name], jnp.arange(6) > 0
    setting = _setting(_distance, free=free, **NUMBERS)
    start = jnp.zeros(6)

    def step(carried, key):
        at, memory, loss = search.update(setting._replace(key=key), *carried)
        return (at, memory), (at, loss)

    first = (start, search.init(start, setting.numbers, setting.rule))
    _, (path, losses) = jax.jit(lambda f: jax.lax.scan(step, f, jax.random.split(jax.random.key(1), 300)))(
        first
    )
    assert (np.asarray(path)[:, 0] == 0).all()
    assert float(_distance(path[-1])[0]) < 3 < float(_distance(start)[0])
    if name in ("random guessing", "multigrid random search"):
        assert (np.diff(losses) <= 0).all()
        assert (np.abs(path) <= (2 if name == "random guessing" else np.inf)).all()
    if name == "simulated annealing":
        assert ((np.diff(path, axis=0) != 0).sum(axis=1) <= 1).all()


def test_a_guess_is_kept_where_fewer_are_wrong_whatever_the_loss():
    def score(at):
        is_first = (at == 0).all()
        return jnp.where(is_first, 0.1, 50.0), jnp.where(is_first, 0.5, 0.4)

    at, _, loss = SEARCHES["random guessing"].update(_setting(score, range=1.0), jnp.zeros(6), None)
    assert (at != 0).all()
    assert loss == 50


def test_moves_of_hot_annealing_are_taken_and_widths_shrink_when_cold():
    search, at = SEARCHES["simulated annealing"], jnp.ones(6)
    begin = (jnp.full(6, 2.0), jnp.int32(0))

    @jax.jit
    def moved(temperature):
        return search.update(_setting(_distance, range=2.0, temperature=temperature), at, begin)

    for temperature, taken in ((1e9, True), (1e-12, False)):
        later, (widths, moves), _ = moved(temperature)
        assert bool((later != at).any()) is taken
        assert moves == 1
        assert (widths[0] < 2) is not taken or widths[0] == 2


def test_a_box_shrinks_with_success_and_is_whole_again_after_many_draws_in_vain():
    search = SEARCHES["multigrid random search"]
    falling = _setting(lambda at: (-jnp.sum(jnp.abs(at)), jnp.zeros(())), range=1.0, patience=3.0)
    at, memory, _ = search.update(falling, jnp.zeros(6), (jnp.int32(0), jnp.int32(0)))
    assert memory[0] == 1
    flat = _setting(lambda at: (jnp.sum(at) * 0, jnp.zeros(())), range=1.0, patience=3.0)
    for _ in range(3):
        at, memory, _ = search.update(flat, at, memory)
    assert memory == (0, 0)


def test_an_evolution_strategy_follows_the_slope_of_a_plane():
    slope = jnp.arange(1.0, 7)
    setting = _setting(lambda at: (jnp.sum(slope * at), jnp.zeros(())), spread=0.1)
    start = jnp.zeros(6)

    @jax.jit
    @jax.vmap
    def update(key):
        memory = setting.rule.init(start)
        return SEARCHES["evolution strategy"].update(setting._replace(key=key), start, memory)[0]

    step = -np.asarray(update(jax.random.split(jax.random.key(0), 500))).mean(axis=0)
    np.testing.assert_allclose(step / np.linalg.norm(step), slope / np.linalg.norm(slope), atol=0.05)


# ---- the history compressor


def _compressor(dtype="float64", n=5, m=3):
    (W, b, W_in), (A, a, A_in) = (_weights(n, m, seed, dtype) for seed in (0, 1))
    P = np.random.default_rng(2).normal(size=(m, n)).astype(dtype)
    parts = {"below": A, "below_bias": a, "below_in": A_in, "predictor": P, "mean": np.zeros(m, dtype)}
    return HistoryCompressor(W, b, W_in, **parts)


def _marked(length, gap):
    """One of two marks, then the third symbol ``gap`` times, over and over."""
    symbols = [s for i in range(length // (gap + 1)) for s in ([i * i % 3 % 2] + gap * [2])]
    return jnp.asarray(np.eye(3)[symbols])


def test_level_2_takes_a_step_where_the_input_was_not_predicted():
    cell, inputs = _compressor(), _marked(20, 4)
    x = jnp.zeros(10)
    for u in inputs:
        wrong = np.abs(u - (cell.predictor @ x[5:] + cell.mean)).max() > 0.5
        later = cell(x, u)
        assert bool(cell.steps_above(x, u)) == wrong
        wanted = np.tanh(cell.W @ x[:5] + cell.W_in @ u + cell.b) if wrong else x[:5]
        np.testing.assert_allclose(later[:5], wanted, rtol=1e-10)
        np.testing.assert_allclose(
            later[5:], np.tanh(cell.below @ x[5:] + cell.below_in @ u + cell.below_bias)
        )
        x = later


def test_neither_level_feels_the_other_ones_error():
    plan = _plan(["history compressor"])
    network = initial_network(plan.recipe, jax.random.key(0), TASK.width, TASK.outputs, UNITS)
    batch = TASK.batch(jax.random.key(1), 3)

    @jax.jit
    def part(strength):
        numbers = {"prediction": strength}
        return loss_and_gradient(network, batch, TASK, terms=plan.recipe.terms, numbers=numbers)[1]

    without, with_it = part(jnp.float32(0)), part(jnp.float32(1))
    lower, upper = ("below", "below_bias", "below_in", "predictor", "mean"), ("W", "b", "W_in")
    for name in lower:
        assert (getattr(without.cell, name) == 0).all()
    for name in upper:
        np.testing.assert_array_equal(getattr(without.cell, name), getattr(with_it.cell, name))
        assert (getattr(without.cell, name) != 0).any()
    assert all(
        (getattr(with_it.cell, name) != 0).any() for name in ("below", "below_in", "predictor", "mean")
    )


def test_after_learning_to_predict_the_filler_level_2_steps_at_marks_alone():
    cell, inputs = _compressor(), _marked(100, 9)[:, None]
    rule = optax.chain(optax.clip(1.0), optax.sgd(0.1, momentum=0.9))

    def loss(cell):
        along = states(cell, inputs)[:-1, 0]
        return jax.vmap(cell.prediction_loss)(along, inputs[:, 0]).mean()

    def step(carried, _):
        cell, state = carried
        change, state = rule.update(jax.grad(loss)(cell), state, cell)
        return (optax.apply_updates(cell, change), state), None

    learned = jax.jit(lambda c: jax.lax.scan(step, (c, rule.init(c)), None, length=1000)[0][0])(cell)
    along = states(learned, inputs)[:-1, 0]
    steps = np.asarray(jax.vmap(learned.steps_above)(along, inputs[:, 0]))[20:]
    marks = np.asarray(inputs)[20:, 0, 2] == 0
    assert steps[~marks].mean() < 0.05
    np.testing.assert_array_equal(learned.W, cell.W)
    assert steps.sum() <= marks.sum() + 4
    hidden = np.asarray(along)[20:, :5]
    assert ((np.diff(hidden, axis=0) != 0).any(axis=1)).sum() <= marks.sum() + 4


def test_bad_compressors():
    cell = _compressor()
    parts = {"below": cell.below, "below_bias": cell.below_bias, "below_in": cell.below_in}
    with pytest.raises(ValueError, match="predictor"):
        HistoryCompressor(cell.W, cell.b, cell.W_in, **parts, predictor=np.ones((2, 5)), mean=cell.mean)
    with pytest.raises(ValueError, match="tolerance: expected a number > 0"):
        HistoryCompressor(
            cell.W, cell.b, cell.W_in, **parts, predictor=cell.predictor, mean=cell.mean, tolerance=-1.0
        )
    with pytest.raises(ValueError, match=r"below: expected shape \(5, 5\)"):
        HistoryCompressor(
            cell.W,
            cell.b,
            cell.W_in,
            predictor=cell.predictor,
            mean=cell.mean,
            below_bias=np.ones(4),
            below=np.ones((4, 4)),
            below_in=np.ones((4, 3)),
        )


def test_outputs_are_read_after_their_inputs():
    cell, inputs = _cell_and_inputs()
    network = Network(cell, jnp.ones((2, 4)), jnp.zeros(2))
    along = states(cell, inputs)
    at = jnp.asarray([[0, 6], [1, 2], [3, 3]])
    batch = Batch(jnp.swapaxes(inputs, 0, 1), at, at)
    read = outputs(network, along, batch.at)
    np.testing.assert_allclose(read[1, 1], np.full(2, along[3, 1].sum()), rtol=1e-12)
