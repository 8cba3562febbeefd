"""Losses along lines and planes of any map's parameters: closed-form walls and folds, and what is no jump."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from rnn_dynamics import cliff, doya
from rnn_dynamics.cells import DoyaNeuron, rollout
from rnn_dynamics.figures.cliff.jumps import COUPLED, UNCOUPLED, loss
from rnn_dynamics.numerics.status import Status
from tests.compilations import compilations

TARGET = 0.855
FOLD_OF_TANH = 0.532839975354  # of x = tanh(2 x + b), the size of b


def squared(x: Any) -> Any:
    """The geometric model's loss."""
    return jnp.square(x - TARGET)


def _parabola(c: Any, x: Any, _: Any) -> Any:
    return x * x + c


def parabola(c: Any) -> Any:
    """x² + c: a fold at ¼ beyond which everything diverges, chaos near −2."""
    return Partial(_parabola, c)


def line(low: float, high: float, w: float = 5.0) -> tuple:
    """Biases of the neuron at one weight."""
    return (w, low), (w, high)


def test_the_wall_of_the_neuron_is_a_basin_boundary() -> None:
    found = cliff.along(DoyaNeuron, squared, line(-2.7, -2.3), 0.5, steps=50, points=201)
    (jump,) = found.jumps
    assert (jump.cause, jump.status, jump.periods) == ("basin boundary", Status.CONVERGED, (1, 1))
    wall = cliff.wall(5.0)
    assert abs(jump.parameters[1] - float(wall.b)) <= 1e-14
    np.testing.assert_allclose([jump.before, jump.after], [wall.below, wall.above], rtol=1e-9)
    assert jump.edge is not None
    assert abs(jump.edge.orbit[0, 0] - 0.5) <= 1e-13
    assert abs(jump.growth - math.log(1.25)) <= 1e-13
    assert [event.kind for event in found.events] == ["fold", "fold"]
    np.testing.assert_allclose([e.parameter for e in found.events], sorted(doya.folds(5.0).b), atol=1e-13)
    exact, limit = (
        cliff.loss(5.0, found.axes[0], steps=50),
        cliff.limit_loss(5.0, found.axes[0]),
    )
    np.testing.assert_allclose(found.value, exact.value, atol=1e-15)
    np.testing.assert_allclose(found.gradient[..., 1].log(), exact.db.log(), atol=1e-11)
    np.testing.assert_array_equal(found.status, exact.status)
    np.testing.assert_allclose(found.slope.unit[:, 0], found.gradient.unit[:, 1])
    np.testing.assert_allclose(found.gradient[..., 0].log(), exact.dw.log(), atol=1e-11)
    known = found.limit_status == Status.CONVERGED
    assert known.sum() == 200  # x_0 = ½ stays on the repeller at b = −2.5
    np.testing.assert_allclose(found.limit[known], np.asarray(limit.even)[known], atol=1e-14)


def test_the_steepest_gradient_grows_with_the_saddles_multiplier() -> None:
    near = line(-2.5 - 1e-6, -2.5 + 1e-6)
    steepest = []
    for steps in (50, 60):
        found = cliff.along(DoyaNeuron, squared, near, 0.5, steps=steps, points=201, events=False)
        steepest.append(float(np.max(found.slope.log())))
    growth = found.jumps[0].growth
    assert abs((steepest[1] - steepest[0]) / 10 - growth) <= 0.02 * growth


def test_an_attractor_that_ends_in_a_fold() -> None:
    found = cliff.along(DoyaNeuron, squared, line(-3.0, -2.0), 0.0, steps=50, points=201)
    (jump,) = found.jumps
    assert (jump.cause, jump.status) == ("fold", Status.CONVERGED)
    assert abs(jump.parameters[1] - float(jnp.max(doya.folds(5.0).b))) <= 1e-13
    assert jump.event is not None
    assert jump.event.parameter == jump.position[0]
    before, after = (
        cliff.limit_loss(5.0, b, x0=0.0).even for b in (jump.position[0] - 1e-4, jump.position[0] + 1e-4)
    )
    np.testing.assert_allclose([jump.before, jump.after], [before, after], atol=5e-3)


def test_float32() -> None:
    options = {"steps": 20, "points": 201, "events": False}
    path = tuple(np.float32(line(-2.7, -2.3)))
    found = cliff.along(DoyaNeuron, squared, path, np.float32(0.5), **options)
    twice = cliff.along(DoyaNeuron, squared, tuple(np.float64(path)), 0.5, **options)
    known = found.resolved
    assert known.mean() > 0.9
    single, double = (np.asarray(each.gradient.to_float()) for each in (found, twice))
    np.testing.assert_array_less(
        np.abs(single - double)[known], 64 * 2**-11.5 * np.abs(double[known]) + 1e-30
    )
    moved = np.abs(found.axes[0] - twice.axes[0]) * np.abs(double[:, 1])  # float32 cannot be everywhere
    np.testing.assert_array_less(np.abs(found.value - twice.value), found.value_error + 2 * moved + 1e-15)
    assert {found.value.dtype, found.limit.dtype, found.gradient.unit.dtype} == {np.dtype("float32")}
    (jump,) = found.jumps
    assert jump.cause == "basin boundary"
    assert abs(jump.position[0] + 2.5) <= 2e-6


def test_the_two_phases_of_a_cycle_have_a_wall() -> None:
    for steps, sign in ((50, 1), (51, -1)):
        found = cliff.along(
            DoyaNeuron, squared, line(3.0, 5.0, -8.0), 0.5, steps=steps, points=101, events=False
        )
        (jump,) = found.jumps
        wall = cliff.wall(-8.0)
        assert (jump.cause, jump.periods) == ("basin boundary", (2, 2))
        assert abs(jump.position[0] - 4.0) <= 1e-14
        np.testing.assert_allclose([jump.before, jump.after][::sign], [wall.below, wall.above], rtol=1e-9)
        assert abs(jump.growth - math.log(2)) <= 1e-12  # w/4 at x = ½


@pytest.mark.parametrize(("ends", "kind"), [((-6.0, -2.0), "flip"), ((2.0, 6.0), "pitchfork")])
def test_a_soft_bifurcation_is_an_event_and_no_jump(ends: tuple[float, float], kind: str) -> None:
    # With b = −w/2 the equilibrium is ½ for every weight.
    path = tuple((w, -w / 2) for w in ends)
    found = cliff.along(DoyaNeuron, squared, path, 0.3, steps=50, points=101)
    assert found.jumps == ()
    assert {event.kind for event in found.events} == {kind}
    np.testing.assert_allclose([e.parameter for e in found.events], 0.5, atol=1e-9)


def test_a_step_in_the_loss_itself_is_neither() -> None:
    def step(x: Any) -> Any:
        return jnp.where(x > 0.5, x, 0.0)

    path = line(-2.0, 0.0, 2.0)
    found = cliff.along(DoyaNeuron, step, path, 0.3, steps=50, points=101, events=False)
    (jump,) = found.jumps
    assert jump.cause == "neither"
    assert jump.status == Status.CONVERGED
    assert jump.event is None
    assert abs(jump.position[0] + 1.0) <= 1e-14
    np.testing.assert_allclose([jump.before, jump.after], [0.0, 0.5], atol=1e-12)


def test_both_kinds_on_one_line() -> None:
    # Unit 1 follows its low state to the fold; unit 2 starts at 0.1 and passes its own repeller.
    path = (-0.2, -0.4), (0.9, 0.4)
    found = cliff.along(UNCOUPLED, loss, path, np.array([-0.9, 0.1]), steps=50, points=201)
    wall = math.atanh(0.1) - 0.2
    places = {"fold": (FOLD_OF_TANH + 0.2) / 1.1, "basin boundary": (wall + 0.4) / 0.8}
    assert {jump.cause for jump in found.jumps} == set(places)
    assert len(found.jumps) == 2
    for jump in found.jumps:
        assert jump.status == Status.CONVERGED
        assert abs(jump.position[0] - places[jump.cause]) <= 1e-11
    assert found.of_cause("fold")[0].parameters[0] == pytest.approx(FOLD_OF_TANH, abs=1e-11)
    assert found.of_cause("basin boundary")[0].growth == pytest.approx(math.log(2 * (1 - 0.01)), abs=1e-9)
    line = found.plot()
    labels = line.get_legend_handles_labels()[1]
    assert sorted(labels) == sorted(["T = 50", "T → ∞", "fold", "basin boundary"])
    assert line.get_xlabel() == "share of the path"
    with pytest.raises(ValueError, match="quantity"):
        found.plot(quantity="size")
    # Each of the line's branches once: no event of one kind at one place and state twice.
    seen = [(e.kind, round(e.parameter, 9), *np.round(e.state, 6)) for e in found.events]
    assert len(seen) == len(set(seen))


def test_a_plane_shows_walls_and_fold_curves() -> None:
    corners = ((-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0))
    found = cliff.along(UNCOUPLED, loss, corners, np.array([-0.9, 0.1]), steps=50, points=(17, 13))
    assert found.value.shape == (17, 13)
    assert found.gradient.shape == (17, 13, 2)
    wall = math.atanh(0.1) - 0.2
    for jump in found.jumps:
        gaps = {
            "fold": abs(jump.parameters[0] - FOLD_OF_TANH),
            "basin boundary": abs(jump.parameters[1] - wall),
        }
        assert gaps[jump.cause] <= (1e-11 if jump.cause == "fold" else 1e-5)
    assert len(found.of_cause("fold")) == 13
    assert len(found.of_cause("basin boundary")) == 17
    assert found.curves
    for curve in found.curves:
        np.testing.assert_allclose(curve.parameters[:, 0], FOLD_OF_TANH, atol=1e-10)
    drawn = found.curves[0].plot()
    assert drawn.get_xlabel() == "first parameter"
    for quantity in ("loss", "slope", "limit"):
        ax = found.plot(quantity=quantity)
        labels = ax.get_legend_handles_labels()[1]
        assert sorted(labels) == ["basin boundary", "fold", "fold curve"]
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("parameter 1", "parameter 2")
    np.testing.assert_allclose(found.parameters[3, 5], [found.axes[0][3], found.axes[1][5]])


def test_gradients_of_a_network_are_those_of_autodiff() -> None:
    corners = tuple(np.array(c) for c in ((-0.6, 0.45), (1.0, -0.2)))
    x0 = np.array([-0.6, 0.1])
    found = cliff.along(COUPLED, loss, corners, x0, steps=12, points=33, events=False)

    def of_parameters(theta: Any) -> Any:
        return loss(rollout(COUPLED(*theta), x0, steps=12).final)

    truth = jax.vmap(jax.grad(of_parameters))(jnp.asarray(found.parameters))
    tolerance = 1e-10
    size = np.abs(truth).max(axis=1, keepdims=True)
    np.testing.assert_array_less(np.abs(found.gradient.to_float() - truth) / size, tolerance)
    side = np.array([1.6, -0.65])
    np.testing.assert_array_less(
        np.abs(found.slope.to_float()[:, 0] - np.asarray(truth) @ side) / size[:, 0], 3 * tolerance
    )
    causes = [jump.cause for jump in found.jumps]
    assert causes == ["basin boundary", "fold", "fold"]


LEAP, LOGISTIC, NEARLY_CRITICAL, PIVOT, ROOT, SHORT_LEAP, ODD = map(float, range(7))
EDGE, WIDTH = 5e-4, 5e-6  # of the interval that SHORT_LEAP maps into itself


def _one_of(p: Any, kind: Any, x: Any, _: Any) -> Any:
    maps = [
        jnp.where(x < 0, 0.5 * x - 1.0, jnp.mod(0.5 * x + p, 1.0)),
        p * x * (1 - x),
        jnp.tanh(1.01 * x + p),
        1 / 3 + p * (x - 1 / 3),
        0.5 * x + jnp.sqrt(jnp.maximum(p, 0)),
        jnp.where(x < EDGE, 0.95 * x, EDGE + jnp.mod(0.95 * (x - EDGE) + p * WIDTH, WIDTH)),
        -x * (p + x * x),
    ]
    return jnp.stack(maps)[kind.astype(int)]


def one_of(p: Any, kind: Any) -> Any:
    """Seven maps of a number as one program."""
    return Partial(_one_of, p, kind)


def itself(x: Any) -> Any:
    """The state as its loss."""
    return x


def along_one(kind: float, low: float, high: float, loss: Any = itself, x0: float = 0.3, **given: Any) -> Any:
    options = {"steps": 50, "points": 41, "events": False} | given
    return cliff.along(one_of, loss, ((low, kind), (high, kind)), x0, **options)


def test_an_attractor_that_the_orbit_never_reaches_is_not_its_limit() -> None:
    # [0, 1) maps into itself with slope ½ as the fixed point −2 has, far below; most periods are longer than 1.
    found = along_one(LEAP, 0.5, 1.0, max_period=1, max_steps=1000)
    assert not (found.limit < 0).any()
    assert (found.limit_status == Status.UNDECIDED).any()


def test_an_attractor_next_to_the_orbit_that_never_reaches_it_is_not_its_limit() -> None:
    """The interval has no fixed point for p in [0.05, 1); 0, 5e-4 below it, attracts with the interval's slope.

    Of the distance to 0 the map departs by a twentieth from its linear part there, by as much as 1 − ρ.
    """
    found = along_one(SHORT_LEAP, 0.1, 0.9, x0=EDGE + WIDTH / 2, max_period=1, max_steps=1000)
    assert (found.limit_status == Status.UNDECIDED).all()


def test_a_fold_between_two_points_of_a_coarse_grid() -> None:
    # x = tanh(1.01 x + p) folds at x = −√(1 − 1/1.01); the other attractor is close beside it.
    low = -math.sqrt(1 - 1 / 1.01)
    (jump,) = along_one(NEARLY_CRITICAL, -2.0, 2.0, x0=-0.9, points=401).jumps
    assert jump.cause == "fold"
    assert jump.parameters[0] == pytest.approx(math.atanh(low) - 1.01 * low, abs=1e-13)


def test_rounding_makes_no_jump() -> None:
    found = along_one(PIVOT, 0.1, 0.9, x0=0.0)
    np.testing.assert_allclose(found.limit, 1 / 3, rtol=1e-14)
    assert found.jumps == ()


def test_what_cancels_in_the_loss_is_unresolved() -> None:
    """At x_T = target the gradient is 0 in floats, and −1.852e-7 in 60 digits."""
    where = {"steps": 22, "points": 2, "max_steps": 100}
    target = along_one(LOGISTIC, 3.9, 3.95, **where).value[0]
    found = along_one(LOGISTIC, 3.9, 3.95, Partial(lambda target, x: (x - target) ** 2, target), **where)
    assert found.value[0] == 0
    assert found.value_error[0] >= 3.4e-24
    assert found.status.tolist() == [Status.UNRESOLVED, Status.RESOLVED]


def test_a_loss_without_a_value_is_labelled() -> None:
    found = along_one(ROOT, 0.0, 1.0, lambda x: jnp.log(x - 1), x0=0.1, points=11, steps=3)
    finite = np.isfinite(found.value)
    assert not finite.all()
    assert (found.status[~finite] == Status.UNRESOLVED).all()
    np.testing.assert_array_equal(found.limit_status == Status.CONVERGED, found.axes[0] > 0.25)
    assert found.jumps == ()


def test_a_start_without_derivatives_loses_no_result() -> None:
    """∂F/∂p is infinite at the line's first point: branches start elsewhere, if at all."""
    found = along_one(ROOT, 0.0, 1.0, x0=0.1, points=11, steps=20, events=True)
    np.testing.assert_allclose(found.limit, 2 * np.sqrt(found.axes[0]), atol=1e-12)


def test_the_saddle_on_a_boundary_is_the_one_that_the_orbit_stays_at() -> None:
    found = along_one(LOGISTIC, 2.5, 3.9, points=141)
    for jump in found.of_cause("basin boundary"):
        if jump.edge is None:
            continue
        x, p = 0.3, float(jump.parameters[0])
        orbit = jump.edge.orbit[:, 0]
        nearest = math.inf
        for _ in range(200):
            x = p * x * (1 - x)
            nearest = min(nearest, np.abs(orbit - x).min())
        assert nearest < 1e-3
        assert np.abs(jump.edge.multipliers).max() > 1
    last = found.of_cause("basin boundary")[0]
    assert last.edge is not None
    assert last.edge.orbit[0, 0] == pytest.approx(0.7, abs=1e-9)


def test_a_saddle_of_period_two_on_a_boundary() -> None:
    """−x (p + x²) maps ±√(1 − p) onto one another with slope 2p − 3; beyond them it diverges."""
    (jump,) = along_one(ODD, 0.3, 0.7, x0=math.sqrt(0.5), points=40).jumps
    assert jump.cause == "basin boundary"
    assert jump.parameters[0] == pytest.approx(0.5, abs=1e-14)
    assert jump.edge is not None
    np.testing.assert_allclose(jump.edge.orbit[:, 0], [-math.sqrt(0.5), math.sqrt(0.5)], rtol=1e-12)
    assert jump.growth == pytest.approx(math.log(2), abs=1e-12)


def test_an_input_that_is_held_is_that_of_every_step() -> None:
    """x/2 + p + u from 0 is p + u after one step, on its way to 2 (p + u)."""
    family = Partial(lambda p: Partial(lambda p, x, u: 0.5 * x + p + u, p))
    found = cliff.along(family, itself, (0.0, 1.0), 0.0, steps=1, points=5, u=0.25, events=False)
    np.testing.assert_array_equal(found.value, found.axes[0] + 0.25)
    np.testing.assert_array_equal(found.slope.to_float()[:, 0], 1)
    np.testing.assert_allclose(found.limit, 2 * (found.axes[0] + 0.25), rtol=1e-14)


def test_attractors_that_do_not_meet_on_a_line_have_branches_of_their_own() -> None:
    """At w = 5 the folds are at b = −2.66 and −2.34; between them the lower and the upper equilibrium go on."""
    found = cliff.along(DoyaNeuron, squared, line(-2.6, -2.4), 0.5, steps=50, points=2)
    assert len(found.branches) == 2
    assert found.events == ()
    for branch, (low, high) in zip(found.branches, ((0, 0.27), (0.73, 1)), strict=True):
        np.testing.assert_allclose(sorted(branch.parameters[[0, -1]]), [-2.6, -2.4])
        assert ((branch.states > low) & (branch.states < high)).all()
        equation = 5 * branch.states + branch.parameters - np.log(branch.states / (1 - branch.states))
        np.testing.assert_allclose(equation, 0, atol=1e-12)


def test_divergence_and_chaos_are_labelled() -> None:
    found = cliff.along(parabola, squared, (-0.7, 0.4), 0.3, steps=50, points=101, events=False)
    (jump,) = found.jumps
    assert jump.cause == "fold"
    assert abs(jump.position[0] - 0.25) <= 1e-13
    assert math.isnan(jump.after)
    np.testing.assert_array_equal(found.limit_status[found.axes[0] > 0.25], Status.DIVERGED)
    np.testing.assert_array_equal(np.isnan(found.limit), found.limit_status != Status.CONVERGED)
    chaos = cliff.along(parabola, squared, (-1.9, -1.88), 0.3, steps=50, points=21, events=False)
    share = np.mean(chaos.limit_status == Status.UNDECIDED)
    assert share > 0.5
    assert np.isfinite(chaos.value).all()
    for jump in chaos.jumps:
        assert jump.status != Status.CONVERGED or jump.cause == "basin boundary"


def test_every_start_diverges() -> None:
    found = cliff.along(parabola, squared, (0.5, 1.0), 0.3, steps=20, points=11)
    assert found.jumps == ()
    assert found.branches == ()
    assert (found.limit_status == Status.DIVERGED).all()
    assert "jumps: none" in repr(found)


def test_a_second_call_compiles_nothing() -> None:
    arguments: tuple[Any, ...] = (DoyaNeuron, squared, line(-2.7, -2.3), 0.5)
    cliff.along(*arguments, steps=50, points=201, events=False)
    with compilations() as found:
        cliff.along(*arguments, steps=60, points=150, events=False)
    assert found.count == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"family": 3}, "family: expected a callable"),
        ({"loss": 3}, "loss: expected a callable"),
        ({"loss": lambda x: jnp.stack([x, x])}, "loss: expected a number"),
        ({"path": 1.0}, "path: expected a sequence"),
        ({"path": (1.0,)}, "path: expected two corners"),
        ({"path": (1.0, 1.0)}, "path: expected corners that differ"),
        ({"path": ((1.0, 2.0), (1.0,))}, "path: expected corners with one number"),
        ({"path": ((0.0, 0.0), (1.0, 1.0), (2.0, 2.0))}, "path: expected sides in two directions"),
        ({"path": (0.0, math.inf)}, "path"),
        ({"points": 1}, "points"),
        ({"points": (3, 3)}, "points"),
        ({"steps": -1}, "steps"),
        ({"max_period": 0}, "max_period"),
        ({"max_period": 11}, "max_period"),
        ({"x0": math.nan}, "x0"),
        ({"x0": "a"}, "x0"),
    ],
)
def test_bad_input_names_the_argument(change: dict[str, Any], words: str) -> None:
    good = {
        "family": DoyaNeuron,
        "loss": squared,
        "path": line(-2.7, -2.3),
        "x0": 0.5,
        "steps": 5,
        "points": 5,
    }
    with pytest.raises((TypeError, ValueError), match=words):
        cliff.along(**{**good, **change})
