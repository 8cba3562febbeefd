"""Basins against maps whose basins are known: closed forms, symmetry, and long plain runs."""

import threading
import warnings
from concurrent import futures
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnn_dynamics import doya
from rnn_dynamics.cells import DoyaNeuron, ElmanRNN, LeakyRNN, PascanuNeuron, PreActivationRNN
from rnn_dynamics.dynamics.basins import (
    DIVERGED,
    UNDECIDED,
    AttractorKind,
    Trapping,
    basins,
    edge_state,
    entropies,
    find_attractors,
    fractions_along,
    uncertainty_exponent,
)
from rnn_dynamics.dynamics.equilibria import fixed_points
from rnn_dynamics.numerics.status import Status
from rnn_dynamics.numerics.storage import StorageError
from rnn_dynamics.numerics.sweep import IncompleteSweepWarning
from tests.compilations import compilations

FOUR = np.array([[2.0, 0.3], [-0.2, 1.8]]), np.array([0.05, -0.1])  # four stable fixed points
SHORT = {"max_steps": 2000, "samples": 1024}


def _grid(low: float, high: float, count: int) -> np.ndarray:
    axis = np.linspace(low, high, count)
    return np.stack(np.meshgrid(axis, axis), -1)


def _logistic(r: jax.Array, x: jax.Array, _: None) -> jax.Array:
    return r * x * (1 - x)


def _henon(x: jax.Array, _: None) -> jax.Array:
    return jnp.stack([1 - 1.4 * x[0] ** 2 + x[1], 0.3 * x[0]])


def _square(x: jax.Array, _: None) -> jax.Array:
    return jnp.stack([x[0] ** 2 - x[1] ** 2, 2 * x[0] * x[1]])


def _newton_of_cube_roots(x: jax.Array, _: None) -> jax.Array:
    """z − (z³ − 1)/(3z²) in real coordinates."""
    real, imaginary = x[0] ** 2 - x[1] ** 2, 2 * x[0] * x[1]
    size = 3 * (real**2 + imaginary**2)
    return jnp.stack([2 * x[0] / 3 + real / size, 2 * x[1] / 3 - imaginary / size])


def _delayed_logistic(x: jax.Array, _: None) -> jax.Array:
    return jnp.stack([x[1], 2.1 * x[1] * (1 - x[0])])


# One neuron: the closed form.


@pytest.mark.parametrize(
    ("w", "b", "epsilon"), [(5.0, -2.5, 1.0), (5.0, -2.4, 0.5), (8.0, -4.1, 1.0), (3.0, -1.0, 1.0)]
)
def test_one_neuron_against_its_closed_form(w: float, b: float, epsilon: float) -> None:
    starts = np.linspace(-0.5, 1.5, 501)
    found = basins(DoyaNeuron(w, b, epsilon), starts, **SHORT)
    exact = np.asarray(doya.basin_label(w, b, starts, epsilon))
    decided = found.labels != UNDECIDED
    expected = np.where(exact == doya.Basin.HIGH, 1, 0)
    assert (found.labels == expected)[decided].all()
    assert (exact == doya.Basin.BOUNDARY)[~decided].all()
    assert (~decided).sum() <= 1
    assert (found.trapping == Trapping.PROVED).all()
    assert found.labels.shape == found.steps.shape == found.status.shape == starts.shape


def test_hazard_15_16_a_run_that_the_ghost_of_a_fold_holds_is_undecided() -> None:
    fold, starts = float(np.asarray(doya.folds(8.0).b).max()), np.linspace(0.0, 1.0, 101)
    for side, count, enough in ((-1, 2, 10_000), (1, 1, 10_000)):
        b = fold + side * 2.0**-20
        exact = np.asarray(doya.basin_label(8.0, b, starts))
        expected = np.where(exact == doya.Basin.HIGH, 1, 0)
        equilibria = np.asarray(doya.equilibria(8.0, b).points)[::2][:count]
        for max_steps in (100, 600, enough):
            labels = basins(DoyaNeuron(8.0, b), starts, equilibria, max_steps=max_steps).labels
            assert (labels == expected)[labels != UNDECIDED].all()
            assert (labels == UNDECIDED).any() == (max_steps < enough)


def test_hazard_13_an_orbit_on_a_saddle_is_no_attractor() -> None:
    found = basins(DoyaNeuron(5.0, -2.5), np.array([0.5, 0.2, 0.8]), **SHORT)
    assert found.labels.tolist() == [UNDECIDED, 0, 1]
    assert found.status.tolist() == [Status.UNDECIDED, Status.CONVERGED, Status.CONVERGED]
    alone = find_attractors(DoyaNeuron(5.0, -2.5), np.array([0.5]), **SHORT)
    assert len(alone) == 0
    assert alone.undecided == 1


def test_a_cell_without_structure_agrees_and_says_that_it_was_sampled() -> None:
    starts = np.linspace(-0.5, 1.5, 501)
    cell = DoyaNeuron(5.0, -2.4)
    proved, sampled = basins(cell, starts, **SHORT), basins(lambda x, u: cell(x, u), starts, **SHORT)
    assert (sampled.trapping == Trapping.SAMPLED).all()
    assert (sampled.labels == proved.labels).all()


# Two neurons.


def test_uncoupled_neurons_have_quadrants_for_basins() -> None:
    w, b = 2.0, np.array([0.1, -0.2])
    cell, grid = ElmanRNN(np.diag([w, w]), b), _grid(-1.5, 1.5, 120)
    found = basins(cell, grid, **SHORT)
    # tanh(w z + b) is Doya's neuron in x = (z + 1)/2 with weight 4w and bias 2b − 4w/2.
    side = [
        np.asarray(doya.basin_label(4 * w, 2 * c - 2 * w, (grid[..., i] + 1) / 2)) for i, c in enumerate(b)
    ]
    exact = 2 * (side[0] == doya.Basin.HIGH) + (side[1] == doya.Basin.HIGH)
    assert (found.labels == exact).all()
    assert (found.trapping == Trapping.PROVED).all()
    assert found.labels.shape == (120, 120)


def test_never_a_wrong_label_over_random_networks() -> None:
    rng = np.random.default_rng(5)
    run = jax.jit(
        lambda cell, x: jax.lax.fori_loop(0, 8000, lambda _, s: jax.vmap(lambda z: cell(z, None))(s), x)
    )
    kinds = set()
    for _ in range(6):
        cell = ElmanRNN(2 * rng.normal(size=(2, 2)), 0.5 * rng.normal(size=2))
        starts = rng.uniform(-2, 2, (200, 2))
        found, ends = basins(cell, starts, max_steps=1000, samples=1024), np.asarray(run(cell, starts))
        for i in range(len(found.attractors)):
            orbit, own = found.attractors.orbit(i), ends[found.labels == i]
            near = np.linalg.norm(own[:, None] - orbit[None], axis=-1).min(1)
            assert (near < (1e-6 if found.attractors.periods[i] else 0.1)).all()
            kinds.add(int(found.attractors.kinds[i]))
    assert {AttractorKind.FIXED_POINT, AttractorKind.CYCLE} <= kinds


def test_trapping_balls_hold_what_they_take() -> None:
    from rnn_dynamics.dynamics.basins.search import balls_of, checked_limits, searched
    from rnn_dynamics.dynamics.basins.starts import checked_problem

    rng = np.random.default_rng(2)
    for cell in (
        ElmanRNN(*FOUR),
        LeakyRNN(*FOUR, leak=0.4),
        PreActivationRNN(6 * FOUR[0], np.array([-5.0, -5.0])),
        ElmanRNN(np.array([[-1.5, 0.2], [0.1, -1.6]]), np.zeros(2)),  # 2-cycles
        ElmanRNN(np.array([[0.5, 3.0], [0.0, 0.6]]), np.array([0.2, 0.1]), activation="relu"),
    ):
        problem = checked_problem(cell, rng.normal(size=(64, 2)))
        members, _ = searched(problem, problem.starts, [], checked_limits(2000, 32, 1024))
        balls = balls_of(problem, members)
        assert members, cell
        assert all(balls), cell
        for member, group in zip(members, balls, strict=True):
            for k, ball in enumerate(group):
                assert ball.trapping == Trapping.PROVED
                after = group[(k + 1) % len(group)]
                draws = rng.normal(size=(400, 2))
                draws /= np.linalg.norm(draws, axis=1)[:, None]
                radius = min(ball.radius, 1e3)
                inside = (
                    ball.centre
                    + radius * rng.uniform(0, 1, (400, 1)) ** 0.2 * np.linalg.solve(ball.scale, draws.T).T
                )
                images = np.asarray(jax.vmap(lambda x, cell=cell: cell(x, None))(inside))
                before = np.linalg.norm((inside - ball.centre) @ ball.scale.T, axis=1)
                later = np.linalg.norm((images - after.centre) @ after.scale.T, axis=1)
                assert (later <= before + 1e-12).all(), (cell, len(member.orbit))


def test_given_attractors_in_every_form_give_the_same_labels() -> None:
    cell, grid = ElmanRNN(*FOUR), _grid(-1.5, 1.5, 120)
    found = basins(cell, grid, **SHORT)
    assert len(found.attractors) == 4

    class Points:
        points = np.concatenate([np.zeros((1, 2)), found.attractors.points])
        orbits = points[:, None]
        period = np.ones(5, int)
        stable = np.array([False, True, True, True, True])

    for attractors in (found.attractors, found.attractors.points, Points()):
        with_given = basins(cell, grid, attractors, **SHORT)
        assert (with_given.labels == found.labels).all()
    one = basins(cell, grid, found.attractors.points[:1], **SHORT)
    assert (one.labels == np.where(found.labels == 0, 0, UNDECIDED)).all()


def test_fixed_points_and_cycles_found_elsewhere_are_taken_as_they_are() -> None:
    cell = ElmanRNN(np.array([[-1.8, 0.2], [-0.1, 1.7]]), np.array([0.05, -0.1]))  # two 2-cycles
    starts = np.random.default_rng(0).normal(size=(200, 2))
    points = fixed_points(cell, starts, period=2)
    given, found = basins(cell, starts, points, **SHORT), basins(cell, starts, **SHORT)
    assert given.attractors.periods.tolist() == [2, 2]
    assert (given.labels == found.labels).all()


# Maps of the textbooks.


@pytest.mark.parametrize(("r", "period"), [(3.2, 2), (3.5, 4), (3.83, 3)])
def test_cycles_of_the_logistic_map(r: float, period: int) -> None:
    starts = np.linspace(0.013, 0.987, 40)
    found = basins(jax.tree_util.Partial(_logistic, jnp.asarray(r)), starts, **SHORT)
    assert found.attractors.periods.tolist() == [period]
    assert found.attractors.kinds.tolist() == [AttractorKind.CYCLE]
    assert (found.labels == 0).all()
    orbit = np.asarray(found.attractors.orbit(0))
    assert np.abs(np.roll(orbit, -1) - r * orbit * (1 - orbit)).max() < 1e-12
    exact = np.log(np.abs(np.prod(r * (1 - 2 * orbit)))) / period
    assert found.attractors.exponents[0] == pytest.approx(exact, abs=1e-9)


def test_chaos_of_the_logistic_map_and_its_escape() -> None:
    cell = jax.tree_util.Partial(_logistic, jnp.asarray(3.9))
    found = basins(cell, np.array([-0.1, 0.2, 0.33, 0.71, 1.2]), **SHORT)
    assert found.labels.tolist() == [DIVERGED, 0, 0, 0, DIVERGED]
    assert found.attractors.kinds.tolist() == [AttractorKind.CHAOTIC]
    assert found.trapping.tolist() == [Trapping.RECURRENCE]
    assert abs(found.attractors.exponents[0] - 0.4945) < 5 * found.attractors.standard_errors[0] + 0.01


def test_the_invariant_circle_of_the_delayed_logistic_map() -> None:
    found = basins(_delayed_logistic, _grid(0.3, 0.6, 6), **SHORT)
    assert found.attractors.kinds.tolist() == [AttractorKind.INVARIANT_CIRCLE]
    assert abs(found.attractors.exponents[0]) < 8 / 1024
    assert (found.labels == 0).all()


def test_henon_is_chaotic_beside_starts_that_diverge() -> None:
    found = basins(_henon, _grid(-2, 2, 20), **SHORT)
    assert found.attractors.kinds.tolist() == [AttractorKind.CHAOTIC]
    assert abs(found.attractors.exponents[0] - 0.4192) < 5 * found.attractors.standard_errors[0] + 0.01
    step = jax.jit(jax.vmap(lambda x: _henon(x, None)))
    states = found.starts.reshape(-1, 2)
    with np.errstate(all="ignore"):
        for _ in range(200):
            states = np.asarray(step(states))
    bounded = np.isfinite(states).all(1).reshape(20, 20)
    assert ((found.labels == 0) == bounded).all()
    assert ((found.labels == DIVERGED) == ~bounded).all()


def test_squaring_takes_the_unit_disc_to_0_and_the_rest_to_infinity() -> None:
    grid = _grid(-1.4, 1.4, 120)
    found = basins(_square, grid, np.zeros((1, 2)), **SHORT)
    radius = np.linalg.norm(grid, axis=-1)
    assert (found.labels == np.where(radius < 1, 0, DIVERGED)).all()


def test_newtons_map_of_the_cube_roots_of_1() -> None:
    rng = np.random.default_rng(0)
    turn = 2 * np.pi / 3
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    starts = [rng.uniform(-2, 2, (2000, 2))]
    starts += [starts[0] @ rotation.T, starts[0] @ rotation]
    found = basins(_newton_of_cube_roots, np.stack(starts), **SHORT)
    shares = found.fractions()
    assert len(found.attractors) == 3
    assert shares.undecided == 0
    assert np.abs(shares.attractors - 1 / 3).max() < 1e-3  # by symmetry, up to rounding on a fractal
    assert shares.standard_errors == pytest.approx(np.sqrt(2 / 9 / 6000), rel=0.01)
    assert (found.trapping == Trapping.SAMPLED).all()
    grid = basins(_newton_of_cube_roots, _grid(-2, 2.001, 400), found.attractors, **SHORT)
    exponent = grid.uncertainty_exponent()
    # O. Epureanu and H. Greenside, SIAM Review 40, 102 (1998), give 1.42 for the box dimension.
    assert abs(exponent.dimension - 1.42) < 0.04
    assert 0 < exponent.standard_error < 0.05
    assert grid.boundary_entropy() > np.log(2) > grid.basin_entropy()


def test_a_linear_saddle_has_no_attractor() -> None:
    cell = ElmanRNN(np.diag([0.5, 2.0]), np.zeros(2), activation="linear")
    found = basins(cell, np.array([[1.0, 0.0], [1.0, 1e-3], [0.0, 0.0]]), **SHORT)
    assert found.labels.tolist() == [UNDECIDED, DIVERGED, UNDECIDED]
    assert len(found.attractors) == 0
    assert found.fractions().attractors.shape == (0,)
    assert "diverged 0.333" in repr(found)


# Boundaries.


def test_entropies_of_a_straight_and_of_a_random_boundary() -> None:
    half = np.repeat(np.arange(2), 50)[None].repeat(100, 0)
    whole, boundary = entropies(half, 4)
    assert boundary == pytest.approx(np.log(2))
    assert whole == pytest.approx(np.log(2) / 25)
    assert uncertainty_exponent(half).exponent == pytest.approx(1.0, abs=0.05)
    coins = np.random.default_rng(0).integers(0, 2, (300, 300))
    assert entropies(coins, 10)[1] == pytest.approx(np.log(2), abs=0.01)
    assert entropies(np.zeros((10, 10), int), 5)[0] == 0
    assert np.isnan(entropies(np.zeros((10, 10), int), 5)[1])
    assert np.isnan(uncertainty_exponent(np.zeros((40, 40), int)).exponent)
    assert np.isnan(entropies(np.full((10, 10), UNDECIDED), 5)[0])


def test_edge_state_of_one_neuron_is_its_repeller() -> None:
    for b in (-2.5, -2.42):
        edge = edge_state(DoyaNeuron(5.0, b), 0.0, 1.0, max_steps=2000)
        exact = np.asarray(doya.equilibria(5.0, b).points)[1]
        assert edge.status == Status.CONVERGED
        assert edge.period == 1
        assert edge.labels == (0, 1)
        assert float(edge.state) == pytest.approx(float(exact), abs=1e-13)
        assert (np.abs(edge.multipliers) > 1).sum() == 1


def test_edge_state_of_two_neurons_is_a_saddle_between_the_basins() -> None:
    cell = ElmanRNN(*FOUR)
    points = basins(cell, _grid(-1.5, 1.5, 20), **SHORT).attractors.points
    edge = edge_state(cell, points[0], points[1], max_steps=2000)
    assert edge.status == Status.CONVERGED
    assert edge.period == 1
    assert np.abs(np.asarray(cell(edge.state, None)) - edge.state).max() < 1e-14
    eigenvalues, vectors = np.linalg.eig(np.asarray(cell.jacobian(edge.state, None)))
    unstable = vectors[:, np.abs(eigenvalues).argmax()].real
    sides = basins(cell, edge.state + 1e-4 * np.stack([unstable, -unstable]), points, **SHORT).labels
    assert set(sides.tolist()) == {0, 1}


def test_edge_state_says_why_there_is_none() -> None:
    with pytest.raises(ValueError, match="two basins"):
        edge_state(DoyaNeuron(5.0, -2.5), 0.8, 1.0, max_steps=2000)
    cell = ElmanRNN(*FOUR)
    points = basins(cell, _grid(-1.5, 1.5, 20), **SHORT).attractors.points
    edge = edge_state(cell, points[0], points[3], points[[0, 3]], max_steps=2000)
    assert edge.status == Status.UNDECIDED  # a third basin, of no given attractor, lies between
    assert edge.period == 0
    assert np.isnan(edge.residual)


# A parameter.


def test_fractions_along_a_bias_through_both_folds() -> None:
    low, high = np.sort(np.asarray(doya.folds(5.0).b).ravel())
    values, starts = np.linspace(-2.8, -2.2, 13), np.linspace(0.0, 1.0, 101)
    found = fractions_along(lambda b: DoyaNeuron(5.0, b), values, starts, farthest=0.3, **SHORT)
    between = (values > low) & (values < high)
    assert found.fractions.shape == (13, 2)
    assert ((found.fractions > 0).sum(1) == np.where(between, 2, 1)).all()
    assert (np.diff(found.fractions[:, 0]) <= 0).all()
    assert (np.diff(found.fractions[:, 1]) >= 0).all()
    for i, b in enumerate(values):
        exact = np.mean(np.asarray(doya.basin_label(5.0, b, starts)) == doya.Basin.HIGH)
        if between[i]:
            assert found.fractions[i, 1] == pytest.approx(exact, abs=0.011)
    total = found.fractions.sum(1) + found.undecided + found.diverged
    assert total == pytest.approx(1.0)


def test_a_flip_keeps_its_column() -> None:
    def family(r: float) -> jax.tree_util.Partial:
        return jax.tree_util.Partial(_logistic, jnp.asarray(r))

    found = fractions_along(family, [2.9, 3.05, 3.2], np.linspace(0.1, 0.9, 30), farthest=0.3, **SHORT)
    assert found.fractions.shape == (3, 1)
    assert found.describe(0) == "fixed point → 2-cycle"


def _flipping(r: float) -> jax.tree_util.Partial:
    return jax.tree_util.Partial(_logistic, jnp.asarray(r))


@pytest.mark.parametrize("executor", [None, futures.ThreadPoolExecutor(1)], ids=["here", "thread"])
def test_fractions_are_kept_in_a_store_and_go_on_from_it(executor: Any, tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    values, starts = [2.9, 3.2], np.linspace(0.1, 0.9, 30)
    plain = fractions_along(_flipping, values, starts, farthest=0.3, **SHORT)
    for lost in (None, "attractors", "damaged"):
        files = sorted((tmp_path / "a.zarr.attractors").glob("*.npz"))
        assert len(files) == (0 if lost is None else 2)
        if lost == "attractors":
            files[0].unlink()
        if lost == "damaged":
            files[1].write_bytes(files[1].read_bytes()[:-10])
        before = [file.stat().st_mtime_ns for file in files if file.exists()]
        found = fractions_along(
            _flipping, values, starts, farthest=0.3, store=tmp_path / "a.zarr", executor=executor, **SHORT
        )
        np.testing.assert_array_equal(found.fractions, plain.fractions)
        assert found.describe(0) == "fixed point → 2-cycle"
        after = [file.stat().st_mtime_ns for file in files]
        assert sum(time not in before for time in after) == (0 if lost is None else 1)
    with pytest.raises(StorageError, match="the function is another one"):
        fractions_along(_flipping, values, starts[1:], store=tmp_path / "a.zarr", **SHORT)
    with pytest.raises(ValueError, match="parameters: expected each value once"):
        fractions_along(_flipping, [2.9, 2.9], starts, store=tmp_path / "b.zarr", **SHORT)


def test_a_value_that_no_worker_can_label_is_named(tmp_path: Path) -> None:
    pytest.importorskip("zarr")

    def family(r: float) -> Any:
        if r > 3 and threading.current_thread() is not threading.main_thread():
            raise ValueError("no such network")
        return _flipping(r)

    executor = futures.ThreadPoolExecutor(1)
    with (
        pytest.warns(IncompleteSweepWarning),
        pytest.raises(RuntimeError, match=r"executor: 1 of 2 values .* at 3.2: ValueError: no such network"),
    ):
        fractions_along(
            family,
            [2.9, 3.2],
            np.linspace(0.1, 0.9, 30),
            store=tmp_path / "a.zarr",
            executor=executor,
            **SHORT,
        )


# Floats, shapes, programs, arguments.


def test_both_dtypes_give_the_same_labels(dtype: str) -> None:
    cell = jax.tree.map(lambda leaf: leaf.astype(dtype), ElmanRNN(*FOUR))
    grid = _grid(-1.5, 1.5, 120).astype(dtype)
    found = basins(cell, grid, **SHORT)
    assert found.attractors.points.dtype == found.starts.dtype == np.dtype(dtype)
    exact = basins(ElmanRNN(*FOUR), grid.astype(np.float64), **SHORT)
    assert np.mean(found.labels != exact.labels) <= 1e-4
    assert len(found.attractors) == 4


def test_larger_networks_and_inputs() -> None:
    rng = np.random.default_rng(0)
    cell, starts = (
        ElmanRNN(0.8 * rng.normal(size=(30, 30)) / np.sqrt(30), np.zeros(30)),
        rng.normal(size=(50, 30)),
    )
    found = basins(cell, starts, **SHORT)
    assert (found.labels == 0).all()
    assert found.trapping.tolist() == [Trapping.PROVED]
    driven = ElmanRNN(*FOUR, W_in=np.eye(2))
    same = basins(ElmanRNN(FOUR[0], FOUR[1] + 0.2), _grid(-1.5, 1.5, 120), **SHORT)
    held = basins(driven, _grid(-1.5, 1.5, 120), u=[0.2, 0.2], **SHORT)
    assert (held.labels == same.labels).all()
    neuron = basins(PascanuNeuron(5.0, -2.5), np.linspace(-4, 4, 40), **SHORT)
    assert len(neuron.attractors) == 2


def test_a_repeated_shape_compiles_nothing() -> None:
    grid = _grid(-1.5, 1.5, 120)
    found = basins(ElmanRNN(*FOUR), grid, **SHORT)
    with compilations() as seen:
        basins(ElmanRNN(FOUR[0] * 1.01, FOUR[1]), grid + 0.01, **SHORT)
        basins(ElmanRNN(*FOUR), grid, found.attractors, **SHORT)
    assert seen.count == 0


def test_the_chunk_changes_nothing_but_the_memory() -> None:
    grid = _grid(-1.5, 1.5, 120)
    found = basins(ElmanRNN(*FOUR), grid, **SHORT)
    small = basins(ElmanRNN(*FOUR), grid, chunk=1000, **SHORT)
    assert (small.labels == found.labels).all()
    assert (small.steps == found.steps).all()


def test_empty_and_single_starts() -> None:
    cell = ElmanRNN(*FOUR)
    none = basins(cell, np.zeros((0, 2)), **SHORT)
    assert none.labels.shape == (0,)
    assert np.isnan(none.fractions().undecided)
    assert basins(cell, np.array([1.0, 1.0]), **SHORT).labels.shape == ()
    assert basins(cell, np.array([[-0.1, 0.1]]), max_steps=0).labels.tolist() == [UNDECIDED]


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"starts": np.full((3, 2), np.nan)}, ValueError, "starts: expected finite"),
        ({"starts": np.zeros((3, 4))}, (TypeError, ValueError), "starts"),
        ({"starts": "grid"}, TypeError, "starts"),
        ({"starts": np.zeros((3, 0))}, ValueError, "at least one unit"),
        ({"max_steps": -1}, ValueError, "max_steps"),
        ({"max_steps": 2.5}, TypeError, "max_steps"),
        ({"max_period": 0}, ValueError, "max_period"),
        ({"samples": 3}, ValueError, "samples"),
        ({"chunk": 0}, ValueError, "chunk"),
        ({"cell": 3}, TypeError, "cell"),
        ({"attractors": np.zeros((1, 3))}, ValueError, "attractors"),
        ({"attractors": np.full((1, 2), 0.5)}, ValueError, "attractors: expected states on cycles"),
        ({"attractors": "none"}, TypeError, "attractors"),
        ({"u": [1.0, 2.0]}, ValueError, "u"),
    ],
)
def test_bad_arguments_are_named(change: dict, error: type | tuple, text: str) -> None:
    arguments = {"cell": ElmanRNN(*FOUR), "starts": np.zeros((3, 2)), **SHORT, **change}
    with pytest.raises(error, match=text):
        basins(**arguments)


def test_an_unstable_point_is_refused_as_an_attractor() -> None:
    cell = ElmanRNN(FOUR[0], np.zeros(2))
    with pytest.raises(ValueError, match="expected stable ones"):
        basins(cell, np.ones((3, 2)), np.zeros((1, 2)), **SHORT)
    stable = basins(cell, np.ones((3, 2)), **SHORT).attractors.points
    with pytest.raises(ValueError, match="each once"):
        basins(cell, np.ones((3, 2)), np.concatenate([stable, stable]), **SHORT)


def test_families_are_checked() -> None:
    def family(p: float) -> object:
        return DoyaNeuron(5.0, p) if p < 0 else ElmanRNN(*FOUR)

    with pytest.raises(ValueError, match="family"):
        fractions_along(family, [-1.0, 1.0], np.zeros(5), **SHORT)
    with pytest.raises(ValueError, match="parameters"):
        fractions_along(family, [], np.zeros(5), **SHORT)
    with pytest.raises(ValueError, match="farthest"):
        fractions_along(family, [-1.0], np.zeros(5), farthest=-1.0, **SHORT)


def test_a_map_that_diverges_everywhere_is_labelled() -> None:
    found = basins(lambda x, u: 10 * x + 1, np.linspace(0.0, 1.0, 30), **SHORT)
    assert (found.labels == DIVERGED).all()
    assert len(found.attractors) == 0
    assert found.fractions().diverged == 1.0


def test_pictures() -> None:
    from rnn_dynamics import plots

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        grid = basins(_henon, _grid(-2, 2, 20), **SHORT)
        assert "chaotic set" in grid.plot().get_legend().get_texts()[0].get_text()
        swapped = basins(_henon, _grid(-2, 2, 20).swapaxes(0, 1), grid.attractors, **SHORT)
        assert plots.basins(swapped).get_xlabel() == "state of unit 0"
        line = fractions_along(
            lambda b: DoyaNeuron(5.0, b), [-2.6, -2.5, -2.4], np.linspace(0, 1, 101), **SHORT
        )
        assert line.plot().get_ylabel() == "fraction of the starts"
        with pytest.raises(ValueError, match="rows, columns"):
            plots.basins(basins(ElmanRNN(*FOUR), np.zeros((3, 2)), **SHORT))


@pytest.mark.parametrize(
    ("step", "kinds"),
    [
        (lambda x, u: jnp.floor(3 * x) / 3, 3),
        (lambda x, u: jnp.where(x > 0.5, 0.9, 0.1) + 0 * x, 2),
        (lambda x, u: jnp.round(x), 2),
    ],
    ids=["floor", "where", "round"],
)
def test_maps_of_steps_are_not_affine_though_their_derivative_is_constant(step, kinds):
    starts = np.linspace(0.02, 0.98, 25)[:, None]
    found = find_attractors(step, starts, topology=(None,))  # two of them commute with a shift, as lifts do
    assert len(found) == kinds
    assert found.undecided == found.diverged == 0
