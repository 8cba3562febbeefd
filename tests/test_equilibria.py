"""Fixed points and cycles against closed forms, proved boxes, 50 digits; labels at multiple roots; bad input."""

from typing import Any

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from rnn_dynamics import plots
from rnn_dynamics.cells import DoyaNeuron, ElmanRNN, LeakyRNN, PascanuNeuron, PreActivationRNN
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.dynamics.equilibria import (
    FixedPoints,
    MissingAttractorWarning,
    all_fixed_points,
    fixed_points,
    starts_from,
)
from rnn_dynamics.dynamics.equilibria.merging import same_points
from rnn_dynamics.numerics.status import Status
from tests.compilations import compilations
from tests.oracles import neuron
from tests.oracles.boxes import tanh_fixed_points

RNG = np.random.default_rng(0)
PLANE = RNG.uniform(-1, 1, (500, 2))
LINE = RNG.uniform(-1, 2, 200)


def henon(x: jax.Array, _: Any) -> jax.Array:
    return jnp.stack([1 - 1.4 * x[0] ** 2 + x[1], 0.3 * x[0]])


def logistic_map(x: jax.Array, u: Any) -> jax.Array:
    return u * x * (1 - x)


def fold_map(x: jax.Array, u: Any) -> jax.Array:
    return x + x * x + u


def _none_twice(found: FixedPoints) -> None:
    flat = found.points.reshape(len(found), -1)
    gaps = np.max(np.abs(flat[:, None] - flat[None]), axis=2) + np.diag(np.full(len(flat), np.inf))
    assert (gaps > found.error[:, None] + found.error[None]).all()


@pytest.mark.filterwarnings(
    "ignore::rnn_dynamics.dynamics.equilibria.MissingAttractorWarning"
)  # some have 2-cycles
def test_two_units_against_proved_boxes() -> None:
    rng = np.random.default_rng(1)
    for scale in (0.5, 2.0, 3.0, 4.0):
        weights, bias = rng.normal(size=(2, 2)) * scale + 1.5 * np.eye(2), 0.1 * rng.normal(size=2)
        true = tanh_fixed_points(weights, bias)
        found = fixed_points(ElmanRNN(weights, bias), PLANE)
        assert len(found) == len(true)
        gaps = np.max(np.abs(found.points[:, None] - true[None]), axis=2)
        assert (gaps.min(axis=1) <= found.error + 1e-14).all()
        assert (gaps.min(axis=0) <= 1e-12).all()
        _none_twice(found)


def test_the_set_does_not_depend_on_the_order_or_number_of_starts_and_nothing_compiles_again() -> None:
    cell = ElmanRNN([[2.5, 0.3], [-0.2, 2.2]], [0.05, -0.02])
    first = fixed_points(cell, PLANE)
    other = ElmanRNN([[2.5, 0.3], [-0.2, 2.2]], [0.05, -0.02])
    with compilations() as repeated:
        turned = fixed_points(other, PLANE[::-1])
    assert repeated.count == 0
    assert len(first) == 9
    np.testing.assert_allclose(turned.points, first.points, rtol=0, atol=2e-15)
    np.testing.assert_array_equal(turned.start_status[::-1], first.start_status)
    np.testing.assert_array_equal(turned.start_point[::-1], first.start_point)
    twice = fixed_points(cell, np.concatenate([PLANE[:250], -PLANE[:250]]))
    np.testing.assert_allclose(twice.points, first.points, rtol=0, atol=2e-15)


@pytest.mark.parametrize(
    "cell",
    [
        LeakyRNN([[1.8, 0.4, 0], [-0.6, 1.5, 0.7], [0.2, -0.9, 2.1]], [0.1, -0.2, 0.05], leak=0.3),
        PreActivationRNN([[9.0, -3, 1], [2, 7, -4], [-3, 1, 8]], [-4.0, -2, -3]),
    ],
    ids=lambda cell: type(cell).__name__,
)
def test_networks_have_small_residuals_and_stable_counts(cell: Any) -> None:
    starts = np.random.default_rng(2).normal(size=(500, 3)) * (5 if isinstance(cell, PreActivationRNN) else 1)
    few, many = (fixed_points(cell, part, slow=False) for part in (starts[:250], starts))
    assert len(few) == len(many) >= 3
    assert (many.residual <= 1e-12).all()
    assert (many.status == Status.CONVERGED).all()
    _none_twice(many)
    images = jax.vmap(cell)(jnp.asarray(many.points))
    np.testing.assert_allclose(images, many.points, rtol=0, atol=1e-13)


def test_multipliers_to_fifty_digits_with_their_eigenvectors() -> None:
    weights, bias = np.array([[2.5, 0.3], [-0.2, 2.2]]), np.array([0.05, -0.02])
    found = fixed_points(ElmanRNN(weights, bias), PLANE)
    vectors = found.eigenvectors()
    with mpmath.workdps(50):
        for i, point in enumerate(found.points):
            x = mpmath.findroot(
                lambda a, b: [
                    a - mpmath.tanh(weights[0, 0] * a + weights[0, 1] * b + bias[0]),
                    b - mpmath.tanh(weights[1, 0] * a + weights[1, 1] * b + bias[1]),
                ],
                tuple(map(float, point)),
            )
            assert max(abs(x[j] - float(point[j])) for j in range(2)) <= found.error[i]
            matrix = mpmath.matrix(2, 2)
            for j in range(2):
                for k in range(2):
                    matrix[j, k] = (1 - x[j] ** 2) * weights[j, k]
            true = sorted(mpmath.eig(matrix, right=False), key=abs, reverse=True)
            gaps = np.abs(found.multipliers[i][:, None] - np.array([complex(value) for value in true])[None])
            assert max(gaps.min(axis=0).max(), gaps.min(axis=1).max()) < 1e-13
            assert found.unstable[i] == sum(abs(value) > 1 for value in true)
            assert found.stable[i] == (abs(true[0]) < 1)
    kinds = [found.kind.count(kind) for kind in ("stable", "saddle", "repelling")]
    assert kinds == [4, 4, 1]
    overlap = np.einsum("mij,mkj->mik", vectors.left.conj(), vectors.right)
    np.testing.assert_allclose(overlap, np.broadcast_to(np.eye(2), overlap.shape), atol=1e-13)
    image = np.einsum("mij,mkj->mki", found.jacobians, vectors.right)
    np.testing.assert_allclose(image, vectors.multipliers[:, :, None] * vectors.right, atol=1e-13)
    np.testing.assert_allclose(found.time_constants, -1 / np.log(np.abs(found.multipliers)))


def test_a_defective_jacobian_has_no_biorthogonal_vectors_and_says_so() -> None:
    shear = np.array([[0.5, 1.0], [0.0, 0.5]])
    found = fixed_points(lambda x, _: jnp.matmul(shear, x, precision="highest"), PLANE[:50], slow=False)
    assert found.kind == ("stable",)
    vectors = found.eigenvectors()
    assert np.isinf(vectors.condition).all()
    assert np.isnan(vectors.left).all()


def test_henon_fixed_points_and_two_cycle() -> None:
    starts = RNG.uniform(-1.5, 1.5, (500, 2))
    one = fixed_points(henon, starts, slow=False)
    root = np.sqrt(0.7**2 + 4 * 1.4)
    np.testing.assert_allclose(one.points[:, 0], [(-0.7 - root) / 2.8, (-0.7 + root) / 2.8], rtol=1e-14)
    two = fixed_points(henon, starts, period=2, slow=False)
    assert two.period.tolist() == [1, 1, 2]
    np.testing.assert_allclose(two.points[:2], one.points, rtol=1e-14)
    x = np.sort(np.roots([1.4**2, -1.4 * 0.7, 0.7**2 - 1.4]))
    np.testing.assert_allclose(two.orbits[2, :, 0], x, rtol=1e-14)
    np.testing.assert_allclose(np.prod(two.multipliers, axis=1), [-0.3, -0.3, 0.09], rtol=1e-12)
    six = fixed_points(henon, starts, period=6, slow=False)
    assert six.period.tolist() == [1, 1, 2, 6, 6]  # the number of cycles that is known for this map
    orbits = np.asarray(jax.vmap(jax.vmap(lambda x: henon(x, None)))(jnp.asarray(six.orbits[3:])))
    np.testing.assert_allclose(orbits, np.roll(six.orbits[3:], -1, axis=1), atol=1e-13)


def test_hazard_17_a_logistic_cycle_is_no_fixed_point_and_stands_once() -> None:
    r = 3.2
    low, high = (r + 1 + np.array([-1, 1]) * np.sqrt((r - 3) * (r + 1))) / (2 * r)
    with pytest.warns(MissingAttractorWarning, match="cycle of period 2"):
        one = fixed_points(logistic_map, LINE, u=r, slow=False)
    np.testing.assert_allclose(one.points, [0, 1 - 1 / r], atol=1e-15)
    four = fixed_points(logistic_map, LINE, u=r, period=4, slow=False)
    assert four.period.tolist() == [1, 1, 2]
    np.testing.assert_allclose(four.orbits[2, :2], [low, high], rtol=1e-14)
    assert np.isnan(four.orbits[0, 1:]).all()
    np.testing.assert_allclose(four.multipliers[:, 0], [r, 2 - r, 4 + 2 * r - r**2], rtol=1e-13)
    assert four.kind == ("repelling", "repelling", "stable")
    doubled = fixed_points(logistic_map, LINE, u=3.5, period=4, slow=False)
    assert doubled.period.tolist() == [1, 1, 2, 4]
    assert doubled.stable.tolist() == [False, False, False, True]


def test_an_input_that_repeats_makes_one_map_of_its_steps() -> None:
    gains = np.array([3.0, 2.5])
    found = fixed_points(logistic_map, LINE, inputs=gains, slow=False)
    assert (found.period == 2).all()
    # x = g(f(x)) with f, g the two parabolas, other than 0.
    first = np.polynomial.Polynomial([0, 3.0, -3.0])
    second = 2.5 * first * (1 - first) - np.polynomial.Polynomial([0, 1.0])
    roots = second.roots()
    true = np.sort(roots[np.abs(roots.imag) < 1e-9].real)
    np.testing.assert_allclose(np.sort(found.points), true, atol=1e-12)
    np.testing.assert_allclose(found.orbits[:, 1], first(found.points), atol=1e-14)


def test_hazard_14_a_double_root_is_labelled_with_its_error() -> None:
    found = fixed_points(fold_map, LINE, u=0.0)
    assert len(found) == 1
    assert found.status[0] == Status.UNRESOLVED
    assert found.residual[0] < 1e-14
    assert abs(found.points[0]) <= found.error[0]
    assert 1e-9 < found.error[0] < 1e-5
    assert found.kind == ("marginal",)
    assert not found.stable[0]
    pair = fixed_points(fold_map, LINE, u=-1e-6)
    np.testing.assert_allclose(pair.points, [-1e-3, 1e-3], rtol=1e-9)
    assert (pair.status == Status.CONVERGED).all()
    assert pair.kind == ("stable", "repelling")


def test_past_a_fold_there_is_a_slow_point_and_no_fixed_point() -> None:
    found = fixed_points(fold_map, LINE, u=1e-4)
    assert not len(found)
    assert len(found.slow) == 1
    np.testing.assert_allclose(found.slow.points, 0, atol=1e-9)
    np.testing.assert_allclose(found.slow.speed, 0.5e-8, rtol=1e-9)
    assert "none found" in repr(found)
    assert "1 slow" in repr(found)
    assert not len(fixed_points(fold_map, LINE, u=1e-4, slow=False).slow)


def test_a_flip_is_marginal_and_no_cycle_is_made_of_it() -> None:
    found = fixed_points(logistic_map, LINE, u=3.0, period=2, slow=False)
    assert found.period.tolist() == [1, 1]
    assert found.kind == ("repelling", "marginal")
    assert found.status.tolist() == [Status.CONVERGED] * 2


def test_maps_without_fixed_points_give_labelled_empty_results() -> None:
    away = fixed_points(lambda x, _: x * jnp.inf, PLANE)
    assert not len(away)
    assert (away.start_status == Status.DIVERGED).all()
    assert away.multipliers.shape == (0, 2)
    assert "500 diverged" in repr(away)
    shifted = fixed_points(lambda x, _: x + 1, PLANE)
    assert not len(shifted)
    assert not len(shifted.slow)
    assert shifted.eigenvectors().right.shape == (0, 2, 2)
    line = fixed_points(lambda x, _: jnp.stack([x[0], x[1] / 2]), PLANE, slow=False)
    assert (line.status == Status.UNRESOLVED).all()
    assert np.isinf(line.error).all()


def test_both_dtypes_closures_and_cells_with_a_jacobian_of_their_own(dtype: str) -> None:
    starts = LINE.astype(dtype)
    found = fixed_points(lambda x, _: jnp.tanh(2 * x), starts)
    assert found.points.dtype == dtype
    unit = np.finfo(dtype).eps
    np.testing.assert_allclose(found.points, [-0.957504024077, 0, 0.957504024077], atol=4 * unit + 1e-12)
    assert found.kind == ("stable", "repelling", "stable")
    assert (found.residual <= 4 * unit).all()


@pytest.mark.filterwarnings(
    "ignore::rnn_dynamics.dynamics.equilibria.MissingAttractorWarning"
)  # a long cycle
def test_a_large_network_goes_through_float32_and_ends_in_float64() -> None:
    rng = np.random.default_rng(5)
    n = 16
    cell = ElmanRNN(1.6 * rng.normal(size=(n, n)) / np.sqrt(n), 0.1 * rng.normal(size=n))
    path = rollout(cell, rng.normal(size=n), steps=400)
    starts = starts_from(path, 512, key=jax.random.key(0), noise=0.3, skip=50)
    found = fixed_points(cell, starts, slow=False)
    assert len(found) >= 1
    assert found.converged() == np.sum(found.start_point >= 0) > 100
    assert (found.residual <= 1e-13).all()
    _none_twice(found)


def test_all_equilibria_of_the_neuron() -> None:
    rng = np.random.default_rng(7)
    weights = np.concatenate([rng.uniform(-12, 12, 12), 4 + 10 ** rng.uniform(-1, 2, 12)])
    biases = -weights / 2 + rng.uniform(-2, 2, weights.size)
    for i in range(12, 24):
        fold = [float(b) for _, b in neuron.folds(float(weights[i]))]
        biases[i] = fold[i % 2] + 10.0 ** -(i - 10) * (1 if i % 4 < 2 else -1)
    for w, b in zip(weights, biases, strict=True):
        found = all_fixed_points(DoyaNeuron(w, b, 0.5))
        true = [float(root.x) for root in neuron.relative_equilibria(float(w), float(b))]
        assert found.complete
        for point in true:
            gaps = np.abs(found.points - point)
            nearest = int(np.argmin(gaps))
            assert gaps[nearest] <= found.error[nearest]
        if (found.status == Status.CONVERGED).all():
            assert len(found) == len(true)


def test_brackets_join_the_search_of_a_neuron() -> None:
    far = np.full(70, 50.0)
    found = fixed_points(PascanuNeuron(8.0, -4.2), far, slow=False)
    assert found.complete
    assert len(found) == 3
    np.testing.assert_allclose(8 / (1 + np.exp(-found.points)) - 4.2, found.points, atol=1e-13)
    assert len(all_fixed_points(PascanuNeuron(8.0, 0.0, 1.0), u=-4.2)) == 3
    with pytest.raises(TypeError, match="cell: expected a neuron"):
        all_fixed_points(henon)


def test_points_merge_within_their_errors_only() -> None:
    points = np.array([[0.0, 0.0], [1e-9, 0.0], [1e-3, 0.0], [2e-3, 1e-9]])
    leader = same_points(points, np.array([1e-8, 1e-8, 1e-12, 1e-12]), np.arange(4))
    assert leader.tolist() == [0, 0, 2, 3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"starts": np.array([[np.nan, 0.0]])}, "starts: expected finite"),
        ({"starts": np.zeros((3, 5))}, "starts"),
        ({"starts": 1.0}, "starts: expected a leading axis"),
        ({"period": 0}, "period: expected an integer of at least 1"),
        ({"max_steps": 0}, "max_steps"),
        ({"tolerance": 0.0}, "tolerance: expected a number > 0"),
        ({"u": np.zeros(3)}, r"^u: expected states of 2; u \(2,\); got shape \(3,\)"),
        ({"u": np.zeros(2), "inputs": np.zeros((2, 2))}, "at most one"),
    ],
)
def test_bad_input_is_named(arguments: dict, message: str) -> None:
    cell = ElmanRNN(np.eye(2), np.zeros(2), np.eye(2))
    given = {"starts": PLANE, **arguments}
    with pytest.raises((TypeError, ValueError), match=message):
        fixed_points(cell, given.pop("starts"), **given)


def test_starts_come_from_finite_states_of_trajectories() -> None:
    path = rollout(lambda x, _: 2.0 * x, jnp.array(1e300), steps=60)
    drawn = np.asarray(starts_from([path], 50, key=jax.random.key(1)))
    assert np.isfinite(drawn).all()
    assert drawn.shape == (50,)
    assert set(drawn) <= set(np.asarray(path.states).tolist())
    with pytest.raises(TypeError, match="trajectories"):
        starts_from(np.zeros(3), 5, key=jax.random.key(0))
    with pytest.raises(ValueError, match="noise"):
        starts_from(path, 5, key=jax.random.key(0), noise=-1.0)
    with pytest.raises(ValueError, match="finite state"):
        starts_from(path, 5, key=jax.random.key(0), skip=40)


def test_no_starts_find_nothing() -> None:
    found = fixed_points(henon, np.zeros((0, 2)), slow=False)
    assert not len(found)
    assert found.start_status.shape == (0,)


def test_pictures_show_every_point_and_refuse_units_that_are_not_there() -> None:
    found = fixed_points(henon, RNG.uniform(-1.5, 1.5, (500, 2)), period=2, slow=False)
    ax = found.plot(axes=(1, 0))
    shown = np.concatenate([line.get_xydata() for line in ax.lines if line.get_linestyle() == "None"])
    states = found.orbits[~np.isnan(found.orbits[:, :, 0])][:, ::-1]
    assert {tuple(row) for row in shown} == {tuple(row) for row in states}
    assert ax.get_xlabel() == "state of unit 1"
    circle = plots.multipliers(found)
    assert circle.get_aspect() == 1.0
    with pytest.raises(ValueError, match="axes: expected two units"):
        plots.fixed_points(found, axes=(0, 2))
