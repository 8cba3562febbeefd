"""Stable and unstable sets against known curves, bisected boundaries, and their own definition."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from rnn_dynamics import plots
from rnn_dynamics.cells import ElmanRNN
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.dynamics.basins import basins
from rnn_dynamics.dynamics.equilibria import fixed_points
from rnn_dynamics.dynamics.manifolds import InvariantSet, Side, stable_set, unstable_set
from rnn_dynamics.numerics.status import Status
from tests.compilations import compilations

BOTH = (unstable_set, stable_set)
NETWORK = ElmanRNN([[2.0, -0.3], [0.2, 1.8]], [0.05, -0.1])  # four stable points, four saddles, one repeller
HENON_POINT = np.array([0.63, 0.19])


def _bent(rates: jax.Array, x: jax.Array, _: Any) -> jax.Array:
    """h ∘ diag(rates) ∘ h⁻¹ with h(s, t) = (s + t², t + (s + t²)²): axis 0 becomes (s, s²), axis 1 (t², t + t⁴)."""
    t = x[1] - x[0] ** 2
    s, t = rates[0] * (x[0] - t**2), rates[1] * t
    first = s + t**2
    return jnp.stack([first, t + first**2])


def _henon(x: jax.Array, _: Any) -> jax.Array:
    return jnp.stack([1 - 1.4 * x[0] ** 2 + x[1], 0.3 * x[0]])


def _folded(x: jax.Array, _: Any) -> jax.Array:
    """(3s, t e^{−t²}) in s = x₁ − x₂², t = x₂: not one-to-one, W^s(0) all of s = 0."""
    s, t = x[0] - x[1] ** 2, x[1]
    t = 0.9 * t * jnp.exp(-(t**2))
    return jnp.stack([3 * s + t**2, t])


def _crossing(x: jax.Array, _: Any) -> jax.Array:
    return jnp.stack([3 * x[0], 0.8 * x[1] * (1 - x[1] ** 2)])


def _on_axis(states: np.ndarray, axis: int) -> np.ndarray:
    """How far from the bent axis, in the coordinates of the linear map."""
    t = states[:, 1] - states[:, 0] ** 2
    return np.abs(t if axis == 0 else states[:, 0] - t**2)


def _distance(points: np.ndarray, line: np.ndarray) -> np.ndarray:
    """From each point to the polygon."""
    a, d = line[:-1], np.diff(line, axis=0)
    offset = points[:, None] - a
    share = np.clip((offset * d).sum(-1) / np.maximum((d * d).sum(-1), 1e-300), 0, 1)
    return np.linalg.norm(offset - share[..., None] * d, axis=-1).min(axis=1)


def _images(cell: Any, states: np.ndarray, steps: int = 1) -> np.ndarray:
    for _ in range(steps):
        states = np.asarray(jax.vmap(lambda x: cell(x, None))(jnp.asarray(states)))
    return states


@pytest.mark.parametrize(
    "rates",
    [(1.7, 0.4), (0.4, -1.7), (-0.7, 1.3), (1.02, 0.98), (0.01, 20.0)],
    ids=lambda r: f"{r[0]}, {r[1]}",
)
def test_bent_axes_of_a_map_that_is_linear_in_other_coordinates(rates: tuple[float, float]) -> None:
    cell, unstable = Partial(_bent, jnp.asarray(rates)), int(abs(rates[1]) > 1)
    for grow, axis in zip(BOTH, (unstable, 1 - unstable), strict=True):
        found = grow(cell, [0.01, -0.01], length=3.0, spacing=0.03)
        assert found.multiplier == pytest.approx(rates[axis], rel=1e-12)
        for side, along in zip(found.sides, (1, -1), strict=True):
            assert side.status == Status.CONVERGED
            assert side.limit is None
            assert 3 <= side.arclength[-1] <= 3.03
            np.testing.assert_array_equal(side.states[0], found.point)
            across, up = side.states.T
            assert (np.diff(up - across**2 if axis else across) * along > 0).all()
            gaps = np.linalg.norm(np.diff(side.states, axis=0), axis=1)
            assert gaps.max() <= 0.03 * 1.01
            np.testing.assert_allclose(np.diff(side.arclength)[:-1], gaps[:-1], rtol=0, atol=1e-3)
        assert _on_axis(found.states, axis).max() <= (1e-14 if grow is unstable_set else 3e-7)


def test_the_cubic_between_points_gives_an_error_of_the_fourth_order() -> None:
    errors = []
    for spacing in (0.08, 0.04, 0.02):
        found = stable_set(Partial(_bent, jnp.asarray([1.7, 0.4])), [0.0, 0.0], length=2.0, spacing=spacing)
        errors.append(_on_axis(found.states, 1).max())
    assert errors[0] / errors[2] > 2**6
    assert errors[2] < 3e-8


def test_both_precisions(dtype: str) -> None:
    cell = Partial(_bent, jnp.asarray([1.7, 0.4], dtype))
    tolerance = 1e-5 if dtype == "float32" else 3e-7
    for grow, axis in zip(BOTH, (0, 1), strict=True):
        found = grow(cell, np.zeros(2, dtype), length=3.0, spacing=0.03)
        assert found.states.dtype == dtype
        assert found.direction.dtype == dtype
        assert all(side.status == Status.CONVERGED for side in found.sides)
        assert _on_axis(found.states, axis).max() <= tolerance


def test_the_curves_are_what_their_definition_says() -> None:
    unstable = unstable_set(_henon, HENON_POINT, length=8.0, spacing=0.01)
    # The points come from points: the image of the first part is on the whole.
    first, second = unstable.sides
    inner = np.concatenate([first.states[: len(first) // 3], second.states[: len(second) // 3]])
    away = _distance(_images(_henon, inner), unstable.states)
    assert np.quantile(away, 0.9) < 2e-5
    assert away.max() < 1e-3  # at the tips, where the polygon is coarse
    assert first.arclength[-1] >= 8
    stable = stable_set(_henon, HENON_POINT, length=6.0, spacing=0.01)
    images = _images(_henon, stable.states)
    inside = np.abs(images).max(axis=1) < np.abs(stable.states).max()
    assert _distance(images[inside], stable.states).max() < 1e-4
    # An error e across the curve is e λ_u^k after k steps: far on, points come near before they leave.
    ends = np.min(
        [np.linalg.norm(_images(_henon, stable.states, k) - stable.point, axis=1) for k in range(12)], 0
    )
    assert ends.max() < 1e-3


def test_henons_unstable_set_is_dense_in_its_attractor() -> None:
    found = unstable_set(_henon, HENON_POINT, length=40.0, spacing=0.02)
    orbit = np.asarray(rollout(Partial(_henon), np.array([0.1, 0.1]), steps=800).states)[100:]
    assert _distance(orbit, found.states).max() < 5e-3
    # And the set is on the attractor, whose box is known.
    assert np.abs(found.states).max() < 1.2858


def test_a_separatrix_is_the_boundary_of_basins_found_by_bisection() -> None:
    points = fixed_points(NETWORK, np.random.default_rng(0).uniform(-1, 1, (500, 2)))
    i = points.kind.index("saddle")
    unstable = unstable_set(NETWORK, points.points[i], spacing=0.01)
    stable = stable_set(NETWORK, points.points[i], length=3.0, spacing=0.01)
    for side in unstable.sides:
        assert side.limit is not None
        gaps = np.abs(points.points[points.stable] - side.limit).max(axis=1)
        assert gaps.min() < 1e-12
        np.testing.assert_array_equal(side.states[-1], side.limit)
    (inner,) = (side for side in stable.sides if side.limit is not None)
    repeller = points.points[points.kind.index("repelling")]
    np.testing.assert_allclose(inner.limit, repeller, rtol=0, atol=1e-12)
    # Bisection along the normal at some points, labels by the basins' own rule.
    some = inner.states[20:-20:10]
    chords = inner.states[21:-19:10] - inner.states[19:-21:10]
    normal = np.stack([-chords[:, 1], chords[:, 0]], 1) / np.linalg.norm(chords, axis=1)[:, None]
    low, high = -0.05 * np.ones(len(some)), 0.05 * np.ones(len(some))
    label = basins(NETWORK, some + low[:, None] * normal, points).labels
    assert (label != basins(NETWORK, some + high[:, None] * normal, points).labels).all()
    for _ in range(20):
        middle = (low + high) / 2
        same = basins(NETWORK, some + middle[:, None] * normal, points).labels == label
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    assert np.abs(low).max() < 1e-7


def test_a_map_that_is_not_one_to_one_and_a_cycle_of_saddles() -> None:
    found = stable_set(_folded, [0.0, 0.0], length=4.0, spacing=0.02)
    assert all(side.status == Status.CONVERGED for side in found.sides)
    assert np.abs(found.states[:, 0] - found.states[:, 1] ** 2).max() < 1e-6
    assert found.states[-1, 1] > 1.5  # past the fold at t = 1/√2
    cycle = fixed_points(_henon, np.random.default_rng(0).uniform(-1, 1, (200, 2)), period=2)
    i = int(np.flatnonzero(cycle.period == 2)[0])
    first, second = (
        unstable_set(_henon, cycle.orbits[i, k], period=2, length=1.0, spacing=0.01) for k in range(2)
    )
    assert first.period == 2
    image = _images(_henon, first.states[np.abs(first.states - first.point).max(1) < 0.02])
    assert _distance(image, second.states).max() < 1e-5


def test_a_single_neuron_and_a_saddle_in_three_dimensions() -> None:
    line = unstable_set(lambda x, _: jnp.tanh(2 * x), 0.0, spacing=0.01)
    assert line.states.ndim == 1
    ends = [side.limit for side in line.sides]
    assert ends[0] == pytest.approx(0.957504024, abs=1e-9)
    assert ends[0] == pytest.approx(-ends[1], abs=1e-15)
    cell = Partial(_three, jnp.asarray([1.5, 0.5, -0.3]))
    curve = unstable_set(cell, np.zeros(3), length=1.5, spacing=0.02).states
    assert np.abs(curve[:, 1] - curve[:, 0] ** 2).max() < 1e-14
    cell = Partial(_three, jnp.asarray([0.5, 1.5, -1.3]))
    curve = stable_set(cell, np.zeros(3), length=1.5, spacing=0.02).states
    assert np.abs(curve[:, 1] - curve[:, 0] ** 2).max() < 1e-6
    assert np.abs(curve[:, 2] - curve[:, 0]).max() < 1e-6


def _three(rates: jax.Array, x: jax.Array, _: Any) -> jax.Array:
    """Linear in (x₁, x₂ − x₁², x₃ − x₁)."""
    a, b, c = rates[0] * x[0], rates[1] * (x[1] - x[0] ** 2), rates[2] * (x[2] - x[0])
    return jnp.stack([a, b + a**2, c + a])


def test_every_way_to_end_has_its_name() -> None:
    cell = Partial(_bent, jnp.asarray([1.7, 0.4]))
    for grow in BOTH:
        short = grow(cell, [0.0, 0.0], length=3.0, spacing=0.03, max_points=40)
        assert {side.status for side in short.sides} == {Status.MAX_STEPS}
        assert all(len(side) <= 41 for side in short.sides)
        assert "most points" in repr(short)
    torn = unstable_set(lambda x, _: jnp.where(x > 1, 2 * x + 5, 2 * x), 0.0)
    assert [side.status for side in torn.sides] == [Status.UNRESOLVED, Status.CONVERGED]
    assert torn.sides[0].states[-1] == pytest.approx(2, abs=0.02)
    away = unstable_set(lambda x, _: jnp.where(jnp.abs(x) > 1, jnp.inf, 2.0) * x, 0.0, spacing=0.5)
    assert {side.status for side in away.sides} == {Status.DIVERGED}
    assert "diverged" in repr(away)
    # Beyond t = 1 the image is on the other side; at t = ±1.5, a repelling 2-cycle, the set accumulates.
    lost = stable_set(_crossing, [0.0, 0.0], length=3.0, spacing=0.05)
    assert [side.status for side in lost.sides] == [Status.UNRESOLVED] * 2
    assert np.abs(lost.states[:, 1]).max() == pytest.approx(1.5, abs=1e-6)
    assert np.abs(lost.states[:, 0]).max() < 1e-14


@pytest.mark.parametrize(("rate", "most"), [(20.0, 1500), (50.0, 1500), (1000.0, 2000)])
def test_a_side_is_refined_no_further_than_its_length(rate: float, most: int) -> None:
    found = unstable_set(Partial(_bent, jnp.asarray([rate, 0.5])), np.zeros(2), max_points=most)
    assert [side.status for side in found.sides] == [Status.CONVERGED] * 2
    assert all(10 <= side.arclength[-1] < 10.05 for side in found.sides)
    assert _on_axis(found.states, 0).max() < 1e-13


def test_a_multiplier_near_one() -> None:
    found = unstable_set(Partial(_bent, jnp.asarray([1.0001, 0.5])), np.zeros(2), length=1.0, spacing=0.01)
    assert [side.status for side in found.sides] == [Status.CONVERGED] * 2
    assert _on_axis(found.states, 0).max() < 1e-13
    lost = unstable_set(Partial(_bent, jnp.asarray([1 + 1e-9, 0.5])), np.zeros(2), length=1.0, spacing=0.01)
    assert [side.status for side in lost.sides] == [Status.UNRESOLVED] * 2


def _cubic(numbers: jax.Array, x: jax.Array, _: Any) -> jax.Array:
    """Linear in (x₁, x₂ − c x₁³)."""
    first, second, c = numbers
    return jnp.stack([first * x[0], second * (x[1] - c * x[0] ** 3) + c * (first * x[0]) ** 3])


@pytest.mark.parametrize("c", [1.0, 1e6, 1e12])
def test_the_first_segment_is_short_where_the_map_bends_on_a_small_scale(c: float) -> None:
    for grow, first in zip(BOTH, (2.0, 0.5), strict=True):
        found = grow(Partial(_cubic, jnp.asarray([first, 1 / first, c])), np.zeros(2), length=5 / c**0.5)
        assert [side.status for side in found.sides] == [Status.CONVERGED] * 2
        x, y = found.states.T
        assert (np.abs(y - c * x**3) / np.hypot(1, 3 * c * x**2)).max() < 1e-6 / c**0.5


def test_a_repeated_shape_compiles_nothing_and_a_plot_is_drawn() -> None:
    cells = [Partial(_bent, jnp.asarray([1.7, rate])) for rate in (0.4, 0.5)]
    for grow in BOTH:
        grow(cells[0], np.zeros(2), length=1.0)
        with compilations() as repeated:
            found = grow(cells[1], np.zeros(2), length=1.0)
        assert repeated.count == 0
        assert isinstance(found, InvariantSet)
        assert isinstance(found.sides[0], Side)
        ax = found.plot()
        assert ax.lines[0].is_dashed() == (grow is unstable_set)
        assert ax.get_xlabel()
        assert plots.invariant_set(found, ax) is ax
    with pytest.raises(ValueError, match=r"^axes:"):
        plots.invariant_set(found, axes=(0, 2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 0.0}, r"^length: expected a number > 0"),
        ({"spacing": 20.0}, r"^spacing: .*at most length"),
        ({"max_points": 3}, r"^max_points: "),
        ({"period": 0}, r"^period: "),
        ({"point": [0.0, np.nan]}, r"^point: expected finite"),
        ({"point": [0.0, 0.0, 0.0]}, r"point: "),
        ({"point": [8.0, 8.0]}, r"^point: expected a state near"),
    ],
)
def test_bad_input_is_named(options: dict[str, Any], message: str) -> None:
    for grow in BOTH:
        with pytest.raises(ValueError, match=message):
            grow(_henon, **({"point": HENON_POINT} | options))


def test_a_point_that_is_no_saddle_with_a_curve_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected one stable multiplier for a curve, got 0"):
        stable_set(Partial(_bent, jnp.asarray([1.0, 2.0])), np.zeros(2))
    for grow in BOTH:
        with pytest.raises(
            ValueError, match=r"^period: Newton's method reaches a cycle of period 1 from point"
        ):
            grow(Partial(_bent, jnp.asarray([1.7, 0.4])), np.zeros(2), period=2)
    for rates, grow in (((2.0, 3.0), unstable_set), ((0.2, 0.3), stable_set), ((0.2, 0.3), unstable_set)):
        with pytest.raises(ValueError, match=r"expected one .*stable multiplier"):
            grow(Partial(_bent, jnp.asarray(rates)), np.zeros(2))
