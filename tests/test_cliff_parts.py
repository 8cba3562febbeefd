"""The steps of ``cliff.along`` one by one, on arrays whose answer is known: paths, ends, brackets, branches."""

import itertools
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from rnn_dynamics.cells.pytree import split
from rnn_dynamics.cliff.along import _bound, _is_known, _lies_on, _with_loss
from rnn_dynamics.cliff.jumps import (
    Jump,
    _Bracket,
    _brackets,
    _choose,
    _edge,
    _event,
    _parts_by,
    _surviving,
)
from rnn_dynamics.cliff.limit_sets import CYCLE, Ends, FollowedStart, _change, _last_states, _radius
from rnn_dynamics.cliff.paths import checked_path
from rnn_dynamics.dynamics.basins.polish import Cycle
from rnn_dynamics.dynamics.equilibria.newton import Polished
from rnn_dynamics.dynamics.return_map import return_map
from rnn_dynamics.gradients.sensitivities import Sensitivities
from rnn_dynamics.numerics.scaled import from_float
from rnn_dynamics.numerics.status import Status


def ends_of(positions: Any, states: Any, losses: Any, periods: Any = 1) -> Ends:
    """Ends on cycles, one row for each position of a line."""
    positions, losses = np.asarray(positions), np.asarray(losses)
    states = np.asarray(states).reshape(len(positions), -1)
    labels = np.full(len(positions), CYCLE)
    return Ends(positions[:, None], states, np.broadcast_to(periods, labels.shape), labels, losses)


@pytest.mark.parametrize(
    ("corners", "names"),
    [
        (((1.0, 2.0, 3.0), (4.0, 2.0, 3.0)), (0,)),
        (((1.0, 2.0, 3.0), (1.0, 0.0, 7.0)), (-1,)),
        (((1.0, 2.0, 3.0), (1.0, 2.0, -5.0), (4.0, 2.0, 3.0)), (2, 0)),
        (((1.0, 2.0, 3.0), (4.0, 2.0, 3.0), (1.0, 0.0, 7.0)), (0, -1)),
    ],
)
def test_the_points_of_a_path_divide_its_sides_evenly(corners: tuple, names: tuple[int, ...]) -> None:
    points = (5, 3)[: len(corners) - 1]
    path = checked_path(lambda *parameters: parameters, corners, points)
    assert path.names == names
    origin, *others = np.array(corners)
    wanted = []
    for place in itertools.product(*(range(number) for number in points)):
        shares = [i / (number - 1) for i, number in zip(place, points, strict=True)]
        wanted.append(origin + sum(s * (o - origin) for s, o in zip(shares, others, strict=True)))
    np.testing.assert_allclose(path.parameters(path.positions()), wanted, atol=1e-15)


def test_half_of_a_derivatives_digits_have_to_be_left(dtype: str) -> None:
    root = np.sqrt(np.finfo(dtype).eps)
    number = from_float(np.full(2, 3.0, dtype))
    for shares, known in (((root, 0), True), ((100 * root, 0), False), ((0, 100 * root), False)):
        error = from_float(np.array([3 * share for share in shares], dtype))
        assert bool(_is_known(number, error)) is known


def test_the_error_of_a_sum_is_the_sum_of_the_errors(dtype: str) -> None:
    bound = _bound(jnp.asarray([3.0, -1.0, 2.0, -2.0], dtype), jnp.asarray(5, jnp.int32))
    assert float(bound.to_float()) == 8 * 2**5


def _product(x: Any) -> Any:
    return x[0] * x[1]


@pytest.mark.parametrize("state", [(0.0, 0.0), (3.0, -2.0)])
def test_the_error_of_a_loss_is_the_most_that_an_error_of_the_state_makes_of_it(
    state: tuple[float, float], dtype: str
) -> None:
    """A product of two numbers that are off by e and f is off by |x| f + |y| e + e f at most."""
    x, errors = np.array([state], dtype), np.array([[0.25, 0.5]], dtype)
    columns, none = (from_float(np.ones((1, 2), dtype), event_ndim=1),), np.zeros(1, dtype)
    orbits = Sensitivities(x, columns[0], columns, errors, none, (none,), np.zeros(1, np.int32))
    found = _with_loss(*split(_product), orbits, np.ones((1, 1), dtype))
    (e, f), rounding = errors[0], 2 * np.finfo(dtype).eps * 6
    wanted = abs(state[0]) * f + abs(state[1]) * e + e * f
    assert wanted <= found.value_error[0] <= wanted + 2 * rounding


def test_a_change_of_the_jacobian_is_its_largest_effect(dtype: str) -> None:
    """max|ΔJ v| over |v| ≤ 1 in the largest entry's norm, which is taken at a vector of signs."""
    changes = np.array([[[3, 4], [0, 0]], [[3, 0], [4, 0]], [[1, -2], [2, 2]]], dtype) / 16
    x, start = np.zeros((3, 2), dtype), np.full((3, 2), 1e-4, dtype)
    found = Polished(x, np.zeros(3, dtype), np.zeros_like(changes), x, changes)
    signs = np.array(list(itertools.product((-1, 1), repeat=2)), dtype)
    wanted = [np.abs(signs @ change.T).max() for change in changes]
    np.testing.assert_array_equal(_change(found, start), wanted)


def test_the_radius_of_a_matrix_without_a_number_in_it_is_none() -> None:
    matrices = np.array([[[0.5, 9.0], [0.0, -0.25]], [[np.nan, 0.0], [0.0, 2.0]], [[0.0, -3.0], [3.0, 0.0]]])
    np.testing.assert_allclose(_radius(matrices), [0.5, np.nan, 3], rtol=1e-15)


class Drift(NamedTuple):
    """x + λ, with what ``_last_states`` asks of a map."""

    def iterated(self, steps: Any, position: Any) -> Any:
        return lambda x: x + jnp.asarray(steps, x.dtype) * position


@pytest.mark.parametrize(("ulps", "blocks"), [(2, 1), (64, 5)])
def test_no_more_blocks_are_run_where_states_stay_to_rounding(ulps: int, blocks: int) -> None:
    x0 = np.array([1000.0])
    drift = ulps * np.spacing(x0)
    last = _last_states(Drift(), x0, drift[:, None], np.int32(0), 1, np.int32(5))
    np.testing.assert_array_equal(last, [x0 + blocks * drift])


def test_where_nothing_is_known_between_two_losses_there_is_no_jump() -> None:
    """A change within a sixteenth of the segment is one, until it falls as the segments do."""
    bracket = _Bracket.between(ends_of([0.0, 1.0], [0.2, 0.8], [0.0, 1.0]), broken=False)
    assert bracket.is_none
    bracket.narrowed_to(ends_of([0.5, 0.5625], [0.5, 0.52], [0.0, 1.0]), False)
    assert not bracket.is_none
    bracket.narrowed_to(ends_of([0.5, 0.50390625], [0.5, 0.501], [0.5, 0.5625]), False)
    assert bracket.is_none


class Unbroken:
    """A start whose attractor is one along the whole path."""

    def broken(self, first: Ends, second: Ends) -> np.ndarray:
        return np.zeros(len(first.labels), bool)


@pytest.mark.parametrize("offset", [0.0, 3.0, -1000.0])
def test_rounding_of_a_large_loss_is_no_change(offset: float, dtype: str) -> None:
    """Of the range, which is of the losses' own size here, a change of 6 % is looked into and one of 4 % is not."""
    start: Any = Unbroken()
    level = np.array(offset, dtype)
    rounded = level + np.spacing(level) * np.array([0, 1, 0, 2, 1], dtype)
    assert _brackets(start, (5,), ends_of(np.arange(5.0), np.arange(5.0), rounded)) == []
    changed = level + (1 + abs(level)) * np.array([0, 0.04, 0.10, 0.96, 1], dtype)
    found = _brackets(start, (5,), ends_of(np.arange(5.0), np.arange(5.0), changed))
    assert [bracket.first[:, 0].tolist() for bracket in found] == [[1, 2], [2, 3]]


@pytest.mark.parametrize("width", [0.01, 100.0])
@pytest.mark.parametrize(("second", "hidden"), [(3, True), (1, False)])
def test_what_is_undecided_inside_the_piece_that_is_kept_is_remembered(
    second: int, hidden: bool, width: float
) -> None:
    """Two of the fifteen positions between are undecided, those inside the first piece or those behind it."""
    sixteenths = np.array([0, second, *range(4, 17)])
    shares = sixteenths / 16
    bracket = _Bracket.between(ends_of([0.0, width], [0.0, 1.0], [0.0, 1.0]), broken=True)
    chain = ends_of(shares * width, shares > 0, (shares > 0).astype(float))
    _choose(bracket, chain, np.arange(len(sixteenths) - 1) == 0)
    np.testing.assert_allclose(bracket.sides.positions[:, 0], [0, second * width / 16])
    assert bool(bracket.hidden) is hidden


class Displaced(FollowedStart):
    """A start whose attractors are elsewhere by ``x0`` once they are taken along."""

    def followed(self, ends: Ends, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return ends.states + self.x0, np.ones(len(positions), bool)


@pytest.mark.parametrize(("share", "goes_on"), [(0.45, True), (0.55, False)])
def test_an_attractor_goes_on_where_it_comes_out_nearer_to_itself_than_to_the_other(
    share: float, goes_on: bool
) -> None:
    bracket = _Bracket.between(ends_of([0.0, 1.0], [[0.0, 0.0], [4.0, 1.0]], [0.0, 1.0]), broken=True)
    start = Displaced(*[None] * 6)
    object.__setattr__(start, "x0", np.array([4.0 * share, 0.0]))
    assert _surviving(start, [bracket]) == [(goes_on, goes_on)]


@pytest.mark.parametrize(("factor", "is_its"), [(1 / 2.1, False), (1 / 1.9, True), (1.9, True), (2.1, False)])
def test_orbits_part_by_a_saddles_multiplier_to_a_factor_of_two(factor: float, is_its: bool) -> None:
    saddle = Cycle(np.zeros((1, 2)), np.array([0.5, -4.0]), 0.0)
    apart = 1e-6 * np.array([7.0, 1.0, 4 * factor, 9.0])
    assert _parts_by(saddle, apart, 1) is is_its


def _away(p: Any, x: Any, _: Any) -> Any:
    return jnp.stack([2 * x[0], 0.5 * x[1] + 0 * p])


def _family_away(p: Any) -> Any:
    return Partial(_away, p)


def _parabola(c: Any, x: Any, _: Any) -> Any:
    return x * x + c


def _family_of_parabolas(c: Any) -> Any:
    return Partial(_parabola, c)


def start_of(family: Any, x0: Any) -> FollowedStart:
    """A start on a family of one number, without a loss."""
    whole, state = return_map(family, (jnp.asarray(0.0),), np.array(x0), period=1, u=None, others=())
    return FollowedStart(whole, np.asarray(state), None, 0, 1, 1)


@pytest.mark.parametrize(("x0", "passes"), [((1e-3, 0.0), True), ((1.0, 0.0), False)])
def test_a_saddle_that_the_orbits_pass_is_near_them_in_every_coordinate(
    x0: tuple[float, float], passes: bool
) -> None:
    """(2 x, y/2) has its only saddle at 0."""
    sides = ends_of([0.0, 1.0], np.array([x0, x0]), [0.0, 1.0])
    assert (_edge(start_of(_family_away, x0), sides) is not None) is passes


@pytest.mark.parametrize(("distance", "found"), [(2e-15, True), (1e-3, False)])
def test_a_fold_is_that_of_an_interval_that_it_lies_in_to_its_own_rounding(
    distance: float, found: bool
) -> None:
    """x² + c folds at ¼, which the floats tell to 3e-15; the interval's upper end is below by the distance."""
    low, high = 0.25 - 1.25 * distance, 0.25 - distance
    sides = ends_of([low, high], [0.5 - np.sqrt(0.25 - low), np.nan], [0.0, np.nan])
    bracket = _Bracket.between(sides, broken=True)
    bracket.first = np.array([[0.0], [1.0]])
    patch = checked_path(_family_of_parabolas, (0.0, 1.0), 2).patch
    event, share = _event(start_of(_family_of_parabolas, 0.0), patch, bracket, 0)
    if not found:
        assert event is None
        return
    assert event is not None
    assert event.kind == "fold"
    assert share == pytest.approx(0.25, abs=1e-14)


def test_a_jump_says_its_status_where_it_is_not_converged() -> None:
    place, states = np.array([-2.5]), np.array([[0.1], [0.8]])
    jumps = [
        Jump("neither", place, place, 1e-14, 0.25, 0.5, states, (1, 1), None, None, status)
        for status in (Status.CONVERGED, Status.UNRESOLVED)
    ]
    text = "Jump(neither at (-2.5) ± 1e-14, 0.25 → 0.5"
    assert [repr(jump) for jump in jumps] == [f"{text})", f"{text}, UNRESOLVED)"]


class Cycles:
    """The 2-cycles ±(λ, 1) of two units, followed over λ in [0, 1]."""

    period = 2
    parameters = np.linspace(0, 1, 5)

    def __len__(self) -> int:
        return len(self.parameters)

    def orbits(self) -> np.ndarray:
        states = np.stack([self.parameters, np.ones(5)], axis=1)
        return np.stack([states, -states], axis=1)


class OnCycles(FollowedStart):
    """A start that takes a state of ``Cycles`` along to where it is asked for."""

    def followed(self, ends: Ends, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        one = np.ones(len(positions))
        states = np.sign(ends.states[:, 1:]) * np.stack([positions[:, 0], one], axis=1)
        return states, one > 0


def test_which_ends_lie_on_a_branch() -> None:
    branch: Any = Cycles()
    start = OnCycles(*[None] * 6)
    rows = [
        (0.3, (0.3, 1), 2, True),
        (0.8, (-0.8, -1), 2, True),  # at the other phase
        (0.0, (0.0, 1), 2, True),  # at the first point
        (0.1, (-0.1, -1), 2, True),  # next to it
        (0.3, (0.3, 1.5), 2, False),  # another state
        (0.3, (0.3, 1), 1, False),  # another period
        (1.3, (1.3, 1), 2, False),  # out of the range
    ]
    positions, states, periods, wanted = zip(*rows, strict=True)
    ends = ends_of(positions, np.array(states), np.zeros(len(rows)), np.array(periods))
    np.testing.assert_array_equal(_lies_on(start, branch, ends), wanted)
