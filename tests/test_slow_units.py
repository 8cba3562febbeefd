"""Units so slow that no run is long enough: contraction, multipliers and order decide; the marginal says so."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from rnn_dynamics.cells import GRU, ElmanRNN, LeakyRNN
from rnn_dynamics.dynamics.basins import DIVERGED, UNDECIDED, AttractorKind, Trapping, basins, find_attractors
from rnn_dynamics.dynamics.basins.affine import affine_map
from rnn_dynamics.dynamics.basins.order import box_map
from tests.oracles import long_runs

LINE = np.array([-1.0, 0.3, 2.0])
PLANE = np.random.default_rng(0).normal(size=(60, 2))
FOUR = np.array([[2.0, 0.3], [-0.2, 1.8]]), np.array([0.05, -0.1])  # four stable fixed points


def _turned(x: Any, _: Any) -> Any:
    cos, sin = np.cos(1.0).astype(x.dtype), np.sin(1.0).astype(x.dtype)
    return jnp.asarray(0.999999, x.dtype) * jnp.stack([cos * x[0] - sin * x[1], sin * x[0] + cos * x[1]])


def _slow_and_fast(x: Any, _: Any) -> Any:
    return jnp.stack([0.999999 * x[0] + 1e-6, 0.5 * x[1] - 0.1 * x[0]])


CONTRACTIONS = {
    "slow": (lambda x, _: 0.999999 * x + 1e-6, LINE, [1.0]),
    "slower": (lambda x, _: x + 1e-9 * (3 - x), LINE, [3.0]),
    "negative": (lambda x, _: -0.999999 * x + 1e-6, LINE, [1e-6 / 1.999999]),
    "rotation": (_turned, PLANE, [0.0, 0.0]),
    "slow and fast": (_slow_and_fast, PLANE, [1.0, -0.2]),
    "leak": (
        LeakyRNN([[0.5, 0.2], [0.1, 0.3]], [0.3, 0.6], leak=1e-6, activation="linear"),
        PLANE,
        [1.0, 1.0],
    ),
    "chain": (lambda x, _: jnp.stack([0.999999 * x[0], 0.999998 * x[1] + 1e-3 * x[0]]), PLANE, [0.0, 0.0]),
}


@pytest.mark.parametrize("name", CONTRACTIONS)
def test_a_linear_contraction_is_decided_however_slow(name: str) -> None:
    cell, starts, point = CONTRACTIONS[name]
    found = find_attractors(cell, starts, max_steps=100)
    assert found.kinds.tolist() == [AttractorKind.FIXED_POINT]
    assert found.undecided == found.diverged == 0
    np.testing.assert_allclose(found.points[0], np.reshape(point, found.points[0].shape), atol=1e-9)
    for given in (None, found.points):
        labels = basins(cell, starts, given, max_steps=100)
        assert (labels.labels == 0).all()
        assert labels.trapping.tolist() == [Trapping.PROVED]


def test_a_linear_contraction_is_decided_in_float32_too() -> None:
    for name in ("slow", "negative", "rotation", "slow and fast"):
        cell, starts, _ = CONTRACTIONS[name]
        found = find_attractors(cell, starts.astype(np.float32), max_steps=100)
        assert found.kinds.tolist() == [AttractorKind.FIXED_POINT], name
        assert found.points.dtype == np.float32
        assert found.undecided == 0


def test_a_slow_growth_leaves_and_a_multiplier_of_1_is_marginal() -> None:
    away = find_attractors(lambda x, _: 1.000001 * x, LINE, max_steps=100)
    assert (len(away), away.diverged, away.undecided) == (0, 3, 0)
    saddle = basins(
        lambda x, _: jnp.stack([1.000001 * x[0], 0.5 * x[1]]), np.array([[0.0, 1.0], [1e-3, 1.0]])
    )
    assert saddle.labels.tolist() == [UNDECIDED, DIVERGED]
    for cell in (lambda x, _: jnp.stack([x[0], x[1] / 2]), lambda x, _: jnp.stack([x[1], -x[0]])):
        neutral = find_attractors(cell, PLANE)
        assert len(neutral) == 0
        assert neutral.undecided == len(PLANE)
        assert neutral.marginal
        assert "marginal" in repr(neutral)
    assert not find_attractors(lambda x, _: 0.5 * x, LINE).marginal


def test_only_a_derivative_that_no_state_enters_makes_a_map_affine() -> None:
    plane = (2,), np.float64
    assert affine_map(CONTRACTIONS["rotation"][0], None, *plane) is not None
    assert affine_map(LeakyRNN(*FOUR, leak=0.1, activation="linear"), None, *plane) is not None
    for cell in (
        LeakyRNN(*FOUR, leak=1e-6),
        ElmanRNN(*FOUR, activation="relu"),
        lambda x, _: x + 1e-12 * x * x,
        lambda x, _: jnp.where(x > 0, 0.5 * x, 0.6 * x),
        lambda x, _: x * jnp.abs(x),
    ):
        assert affine_map(cell, None, *plane) is None


def test_labels_of_slow_leaky_units_are_those_of_the_flow() -> None:
    found = basins(LeakyRNN(*FOUR, leak=1e-6), PLANE, max_steps=1000)
    assert found.attractors.kinds.tolist() == [AttractorKind.FIXED_POINT] * 4
    assert (found.labels == UNDECIDED).mean() < 0.35
    weights, bias = FOUR
    # The map of leak 10⁻⁶ is Euler's method for x′ = tanh(W x + b) − x; so is one of leak .01, 10 000 times faster.
    ends = long_runs.ends(lambda x: 0.99 * x + 0.01 * np.tanh(x @ weights.T + bias), PLANE, 20_000)
    near = np.abs(ends[:, None] - found.attractors.points[None]).max(-1).argmin(1)
    decided = found.labels != UNDECIDED
    assert (found.labels == near)[decided].all()


def test_one_slow_unit_keeps_the_order_of_its_states() -> None:
    line = np.linspace(-2, 2, 41)
    cells = (LeakyRNN([[2.0]], [0.0], leak=1e-6), lambda x, _: x + 1e-6 * (jnp.tanh(2 * x) - x))
    for cell, starts in zip(cells, (line[:, None], line), strict=True):
        found = basins(cell, starts, max_steps=1000)
        np.testing.assert_allclose(np.sort(found.attractors.points.ravel()), [-0.957504, 0.957504], atol=1e-6)
        assert (found.labels == np.where(line > 1e-9, 1, np.where(line < -1e-9, 0, UNDECIDED))).all()


def test_a_closed_update_gate_is_no_obstacle() -> None:
    weights = np.concatenate([np.zeros((4, 2)), FOUR[0]])
    bias = np.concatenate([[30.0, 30.0], [14.0, 14.0], FOUR[1]])  # reset open, update all but closed
    ends = ElmanRNN(*FOUR)
    points = find_attractors(ends, PLANE).points
    found = basins(GRU(weights, bias), PLANE, points, max_steps=100)
    assert (found.labels == UNDECIDED).mean() < 0.35
    weights, bias = FOUR
    run = long_runs.ends(lambda x: 0.99 * x + 0.01 * np.tanh(x @ weights.T + bias), PLANE, 20_000)
    near = np.abs(run[:, None] - points[None]).max(-1).argmin(1)
    decided = found.labels != UNDECIDED
    assert (found.labels == near)[decided].all()


def test_a_box_holds_the_images_of_its_states() -> None:
    rng = np.random.default_rng(3)
    gates = rng.normal(size=(6, 2)), rng.normal(size=6)
    for cell in (
        ElmanRNN(*FOUR),
        ElmanRNN(*FOUR, activation="relu"),
        GRU(*gates, b_hidden=rng.normal(size=2)),
        GRU(*gates, reset="before"),
    ):
        through = box_map(cell, None)
        assert through is not None
        low = rng.normal(size=(50, 2))
        high = low + rng.uniform(0, 1, (50, 2))
        below, above = through(low, high)
        states = low + (high - low) * rng.uniform(0, 1, (50, 2))
        images = np.array([np.asarray(cell(jnp.asarray(x))) for x in states])
        if isinstance(cell, GRU):
            update = np.array([np.asarray(cell.gates(jnp.asarray(x))["update"]) for x in states])
            images = (images - update * states) / (1 - update)
        assert ((images >= below - 1e-12) & (images <= above + 1e-12)).all()
    assert box_map(lambda x, _: x, None) is None


def test_two_roots_within_their_errors_are_one_attractor() -> None:
    # Newton's method leaves the root of a slow map uncertain by rounding / (1 − λ); two such are no two attractors.
    found = find_attractors(
        lambda x, _: x + 1e-7 * (jnp.tanh(0.5 * x) - x + 0.1), np.linspace(-3, 3, 30), max_steps=200
    )
    assert len(found) == 1
    assert found.undecided == 0


def test_a_nilpotent_map_far_from_normal_does_not_diverge() -> None:
    """W = H N Hᵀ, H a Hadamard matrix over 8 and N a chain of gain 2: W⁶⁴ = 0 exactly, max|λ| computed 1.1."""
    basis = np.array([[1.0]])
    for _ in range(6):
        basis = np.block([[basis, basis], [basis, -basis]])
    matrix = basis @ np.diag(np.full(63, 2.0), 1) @ basis.T / 64
    starts = np.random.default_rng(0).integers(-8, 8, (8, 64)) / 8.0
    x = starts
    for _ in range(64):
        x = x @ matrix.T
    assert np.abs(x).max() == 0
    assert np.abs(np.linalg.eigvals(matrix)).max() > 1
    found = find_attractors(ElmanRNN(matrix, np.zeros(64), activation="linear"), starts)
    assert found.diverged == 0
    assert found.undecided + found.counts.sum() == 8
