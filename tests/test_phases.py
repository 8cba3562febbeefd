"""Coordinates that are phases: cycles, attractors, branches and curves on circles, cylinders and tori."""

import functools
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnn_dynamics as rd
from rnn_dynamics.dynamics.basins import edge_state
from rnn_dynamics.dynamics.phases import canonical, extents, seam_lengths, seated, wrapped
from rnn_dynamics.numerics.status import Status
from tests.oracles import torus
from tests.test_gated import CELLS, IN

TWO_PI = 2 * np.pi


def reduced(angle: Any, how: str) -> Any:
    """An angle as a user's own map may reduce it, or not."""
    if how == "mod":
        return jnp.mod(angle, TWO_PI)
    if how == "arctan2":
        return jnp.arctan2(jnp.sin(angle), jnp.cos(angle))
    if how == "where":
        return jnp.where(angle > np.pi, angle - TWO_PI, jnp.where(angle < -np.pi, angle + TWO_PI, angle))
    return angle


def _standard(how: str, kick: Any, x: Any, u: Any = None) -> Any:
    momentum = reduced(x[1] + kick * jnp.sin(x[0]), how)
    return jnp.stack([reduced(x[0] + momentum, how), momentum])


def _circle(how: str, drive: Any, kick: Any, x: Any, u: Any = None) -> Any:
    following = x + drive - kick / TWO_PI * jnp.sin(TWO_PI * x)
    return jnp.mod(following, 1.0) if how == "mod" else following


# One function for each, so that maps of all parameters share their programs.
_STANDARD = {how: functools.partial(_standard, how) for how in ("mod", "arctan2", "lift")}
_CIRCLE = {how: functools.partial(_circle, how) for how in ("mod", "lift")}


def standard_map(kick: float, how: str = "mod") -> Callable:
    return jax.tree_util.Partial(_STANDARD[how], jnp.asarray(kick, float))


def circle_map(drive: Any, kick: Any, how: str = "mod") -> Callable:
    return jax.tree_util.Partial(_CIRCLE[how], jnp.asarray(drive, float), jnp.asarray(kick, float))


def pendulum(how: str = "mod", torque: float = 0.02) -> Callable:
    """A damped pendulum, one step: an angle and a velocity on the line."""

    def cell(x: Any, u: Any = None) -> Any:
        velocity = 0.8 * x[1] - 0.5 * jnp.sin(x[0]) + torque
        return jnp.stack([reduced(x[0] + 0.3 * velocity, how), velocity])

    return cell


def oscillators(how: str = "mod", coupling: float = 0.3) -> Callable:
    """A step of three coupled phases; only their differences matter, so that phase 0 is measured from phase 2."""
    drives = np.array([0.05, 0.1])

    def cell(x: Any, u: Any = None) -> Any:
        first, second = x[0], x[1]
        pull = jnp.sin(second - first) - jnp.sin(first)
        push = jnp.sin(first - second) - jnp.sin(second)
        along = jnp.sin(first) + jnp.sin(second)
        return jnp.stack(
            [
                reduced(first + drives[0] + coupling * (pull - along) / 3, how),
                reduced(second + drives[1] + coupling * (push - along) / 3, how),
            ]
        )

    return cell


def grid(count: int, length: float = TWO_PI) -> np.ndarray:
    axis = (np.arange(count) + 0.5) * length / count
    return np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)


def apart(a: Any, b: Any, length: float) -> np.ndarray:
    return np.abs((np.asarray(a) - np.asarray(b) + length / 2) % length - length / 2)


@pytest.fixture(scope="module")
def torus_cycles() -> dict[tuple[float, int], tuple[int, np.ndarray]]:
    """The oracle's counts for one kick; its own check: the indices of a map homotopic to a shear add up to 0."""
    found = {}
    for period in range(1, 6):
        count, index = torus.cycles(torus.standard_map(2.5), 2, period, TWO_PI, 60)
        assert index.sum() == 0
        found[2.5, period] = count, index
    return found


# Counted by the oracle over a grid of 120 × 120; the fixture counts the last row again.
STANDARD = {0.9: [2, 2, 4, 4, 8], 1.5: [2, 2, 4, 4, 12], 2.5: [2, 2, 4, 9, 12]}


@pytest.mark.parametrize("how", ["mod", "arctan2", "lift"])
def test_cycles_of_the_standard_map_on_the_torus_each_once(how: str, torus_cycles: dict) -> None:
    for kick, counts in STANDARD.items() if how == "mod" else [(2.5, STANDARD[2.5])]:
        cell = standard_map(kick, how)
        for period in range(1, 6):
            found = rd.fixed_points(cell, grid(40), period=period, topology=(TWO_PI, TWO_PI), orbits=0)
            assert int((found.period == period).sum()) == counts[period - 1], (kick, period)
            assert (found.points >= 0).all()
            assert (found.points < TWO_PI).all()
            if kick == 2.5:
                assert counts[period - 1] == torus_cycles[kick, period][0]
            # Area is kept: an elliptic cycle is marginal, a hyperbolic one a saddle.
            assert set(found.kind) <= {"marginal", "saddle"}


def test_points_of_the_standard_map_are_those_of_the_oracle() -> None:
    lifted = torus.standard_map(1.5)
    points = torus.periodic_points(lifted, 2, 3, TWO_PI, 60)
    found = rd.fixed_points(standard_map(1.5), grid(40), period=3, topology=TWO_PI, orbits=0)
    states = found.orbits.reshape(-1, 2)
    states = states[np.isfinite(states).all(1)]
    assert len(states) == len(points)
    assert max(apart(states, point, TWO_PI).max(-1).min() for point in points) < 1e-8


@pytest.mark.parametrize("length", [1.0, 360.0])
def test_arnolds_cat_map_has_as_many_points_as_its_determinant_says(length: float) -> None:
    def cell(x: Any, u: Any = None) -> Any:
        return jnp.stack([jnp.mod(2 * x[0] + x[1], length), jnp.mod(x[0] + x[1], length)])

    matrix = np.array([[2, 1], [1, 1]])
    for period in (1, 2, 3, 4, 5):
        exact = round(abs(np.linalg.det(np.linalg.matrix_power(matrix, period) - np.eye(2))))
        found = rd.fixed_points(cell, grid(40, length), period=period, topology=length, orbits=0)
        assert int(found.period.sum()) == exact
        np.testing.assert_array_equal(found.points[0], 0)


@pytest.mark.parametrize(("drive", "kick"), [(0.05, 0.9), (0.5, 0.9), (0.34, 0.95), (0.62, 0.3), (0.4, 0.99)])
@pytest.mark.parametrize("how", ["mod", "lift"])
def test_tongues_of_the_circle_map(drive: float, kick: float, how: str) -> None:
    starts = np.linspace(-1, 2, 61)
    for period in (1, 2, 3, 5):
        count, _ = torus.cycles(torus.circle_map(drive, kick), 1, period, 1.0, 400)
        found = rd.fixed_points(circle_map(drive, kick, how), starts, period=period, topology=1.0, orbits=0)
        chosen = found.period == period
        assert int(chosen.sum()) == count
        if count:
            rotation = drive
            x = 0.1
            for _ in range(3000):
                x = x + drive - kick / TWO_PI * np.sin(TWO_PI * x)
            rotation = (x - 0.1) / 3000
            assert (found.winding[chosen, 0] == round(rotation * period)).all()


def test_a_state_and_its_seam_copy_are_one_point_not_a_cycle() -> None:
    """θ = π of a map to (−π, π], and θ = 0 of one to [0, 2π): reached from both sides."""

    def turned(x: Any, u: Any = None) -> Any:
        return reduced(x + 0.4 * jnp.sin(x), "arctan2")  # 0 repels, π attracts

    starts = np.array([np.pi, -np.pi, 3.1, -3.1, 1e-16, TWO_PI - 1e-16, -1e-16, 0.0, 2.0, 40.0])
    for period in (1, 2):
        found = rd.fixed_points(turned, starts, period=period, topology=TWO_PI, orbits=0)
        assert found.period.tolist() == [1, 1]
        np.testing.assert_allclose(found.points, [0, np.pi], atol=1e-15)
        assert found.kind == ("repelling", "stable")
    attractors = rd.find_attractors(turned, starts, topology=TWO_PI)
    assert attractors.periods.tolist() == [1]
    labels = rd.basins(turned, starts[2:4], found, topology=TWO_PI)
    assert (labels.labels == 0).all()

    def at_zero(x: Any, u: Any = None) -> Any:
        return jnp.mod(x - 0.4 * jnp.sin(x), TWO_PI)

    found = rd.fixed_points(at_zero, starts, topology=TWO_PI)
    assert found.points[found.stable].tolist() == [0.0]
    attractors = rd.find_attractors(at_zero, starts, topology=TWO_PI)
    assert attractors.points.tolist() == [0.0]
    assert (rd.basins(at_zero, starts, topology=TWO_PI).labels[2:] == 0).all()


@pytest.mark.parametrize("how", ["mod", "arctan2", "where", "lift"])
def test_angle_beside_line_all_functions_agree_from_any_representative(how: str) -> None:
    random = np.random.default_rng(0)
    starts = np.stack([random.uniform(0, TWO_PI, 200), random.uniform(-2, 2, 200)], -1)
    cell, topology = pendulum(how), (TWO_PI, None)
    rest = np.arcsin(0.04)
    found = rd.fixed_points(cell, starts, topology=topology)
    np.testing.assert_allclose(found.points, [[rest, 0], [np.pi - rest, 0]], atol=1e-14)
    assert found.kind == ("stable", "saddle")
    labels = rd.basins(cell, starts, topology=topology)
    np.testing.assert_allclose(labels.attractors.points, [[rest, 0]], atol=1e-14)
    assert (labels.labels == 0).all()
    if how in ("mod", "lift"):
        copies = starts + np.stack([TWO_PI * random.integers(-3, 4, 200), np.zeros(200)], -1)
        again = rd.basins(cell, copies, found, topology=topology)
        assert (again.labels == labels.labels).all()
        assert np.abs(again.steps - labels.steps).max() <= 4
        np.testing.assert_array_equal(again.starts, copies)


def test_phases_that_drive_one_another_as_the_oracle_has_them() -> None:
    step, most = oscillators("lift"), 24**2
    of_all = jax.jit(lambda x: (jax.vmap(step)(x), jax.vmap(jax.jacfwd(step))(x)))

    def lifted(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        padded = np.concatenate([x, np.zeros((most - len(x), 2))])  # one program for any number of points
        values, slopes = of_all(padded)
        return np.asarray(values)[: len(x)], np.asarray(slopes)[: len(x)]

    points = torus.periodic_points(lifted, 2, 1, TWO_PI, 24)
    for how in ("mod", "lift"):
        found = rd.fixed_points(oscillators(how), grid(20), topology=TWO_PI)
        assert len(found) == len(points) > 1
        assert max(apart(found.points, point, TWO_PI).max(-1).min() for point in points) < 1e-9


def test_rotation_is_an_invariant_circle_and_a_winding_cycle_a_cycle() -> None:
    starts = np.linspace(0, 3, 16)
    irrational = circle_map((np.sqrt(5) - 1) / 2, 0.3)
    assert repr(rd.find_attractors(irrational, starts, topology=1.0)).startswith(
        "Attractors(1: invariant circle"
    )
    for how in ("mod", "lift"):
        labels = rd.basins(circle_map(0.5, 0.9, how), starts, topology=1.0)
        assert labels.attractors.periods.tolist() == [2]
        assert (labels.labels == 0).all()


def test_a_branch_that_comes_round_the_circle_is_closed() -> None:
    """Fixed points of the circle map lie on Ω = K/2π sin 2πθ, folds at ±K/2π."""
    for how in ("mod", "lift"):
        branch = rd.continue_branch(
            lambda drive, how=how: circle_map(drive, 0.9, how), 0.02, 0.02, p_range=(-0.4, 0.4), topology=1.0
        )
        assert branch.closed
        assert [event.kind for event in branch.events] == ["fold", "fold"]
        at = sorted(event.parameter for event in branch.events)
        np.testing.assert_allclose(at, [-0.9 / TWO_PI, 0.9 / TWO_PI], atol=1e-12)
        exact = 0.9 / TWO_PI * np.sin(TWO_PI * branch.states)
        np.testing.assert_allclose(branch.parameters, exact, atol=1e-12)


def test_a_branch_and_a_curve_of_cycles_that_wind() -> None:
    """2-cycles of the circle map wind once; the fold of its fixed points is Ω = K/2π."""

    def family(drive: Any, kick: Any) -> Callable:
        return circle_map(drive, kick)

    branches = rd.dynamics.continue_branches(
        family, 0.3, 0.5, jnp.array([0.5, 0.9]), p_range=(0.4, 0.6), period=2, topology=1.0
    )
    assert branches.closed.all()
    curve = rd.bifurcation_curve(
        family, "fold", 0.25, (0.9 / TWO_PI, 0.9), ranges=((-0.2, 0.4), (0.1, 0.95)), topology=1.0
    )
    np.testing.assert_allclose(curve.parameters[:, 0], curve.parameters[:, 1] / TWO_PI, atol=1e-13)


@pytest.mark.parametrize("kind", ["stable", "unstable"])
def test_sets_of_a_saddle_are_those_of_the_lifted_map_without_jumps(kind: str) -> None:
    grown = rd.stable_set if kind == "stable" else rd.unstable_set
    on_torus = grown(standard_map(1.5), np.array([TWO_PI, 1e-3]), topology=TWO_PI, length=12.0)
    lifted = grown(standard_map(1.5, "lift"), np.array([0.0, 0.0]), length=12.0)
    for side, other in zip(on_torus.sides, lifted.sides, strict=True):
        assert side.status == other.status == Status.CONVERGED
        assert np.abs(np.diff(side.states, axis=0)).max() < 0.05
        for axis in (0, 1):
            values = np.interp(side.arclength[:-1], other.arclength, other.states[:, axis])
            np.testing.assert_allclose(side.states[:-1, axis], values, atol=2e-3)


def test_edge_between_two_wells_of_a_circle() -> None:
    """x + .2 sin 2x: 0 and π repel, π/2 and 3π/2 attract; the way from one to the other leads over the seam."""

    def cell(x: Any, u: Any = None) -> Any:
        return jnp.stack([jnp.mod(x[0] + 0.2 * jnp.sin(2 * x[0]), TWO_PI), 0.5 * x[1]])

    edge = edge_state(cell, np.array([1.0, 0.1]), np.array([-1.2, 0.1]), topology=(TWO_PI, None))
    assert edge.status == Status.CONVERGED
    assert apart(edge.state[0], 0.0, TWO_PI) < 1e-12


def test_diagram_of_orbits_beside_the_seam_shows_one_attractor() -> None:
    def family(drive: Any) -> Callable:
        return circle_map(drive, 0.9)

    diagram = rd.orbit_diagram(family, jnp.linspace(-0.02, 0.02, 9), 0.3, topology=1.0)
    assert not diagram.hysteresis().any()


def test_float32_keeps_its_precision_at_the_seam() -> None:
    starts = np.linspace(-4, 9, 40, dtype=np.float32)
    found = rd.fixed_points(
        lambda x, u=None: jnp.mod(x - jnp.float32(0.4) * jnp.sin(x), jnp.float32(TWO_PI)),
        starts,
        topology=TWO_PI,
    )
    assert found.points.dtype == np.float32
    assert len(found) == 2
    assert apart(found.points, np.array([0, np.pi]), TWO_PI).max() < 1e-6


@pytest.mark.parametrize(
    ("topology", "error"),
    [
        (True, TypeError),
        ((TWO_PI, False), TypeError),
        ("circle", TypeError),
        ((TWO_PI,), ValueError),
        ((TWO_PI, None, None), ValueError),
        ((0.0, None), ValueError),
        (-1.0, ValueError),
        ((np.inf, None), ValueError),
        ((np.nan, None), ValueError),
        ((360.0, None), ValueError),
        ((TWO_PI, 1.0), ValueError),
    ],
)
def test_a_topology_that_does_not_fit_is_refused_by_name(topology: Any, error: type[Exception]) -> None:
    cell, starts = pendulum(), np.zeros((3, 2)) + 0.3
    calls: list[Callable] = [
        lambda: rd.fixed_points(cell, starts, topology=topology),
        lambda: rd.find_attractors(cell, starts, topology=topology),
        lambda: rd.basins(cell, starts, topology=topology),
        lambda: rd.stable_set(cell, starts[0], topology=topology),
        lambda: rd.unstable_set(cell, starts[0], topology=topology),
        lambda: rd.orbit_diagram(lambda p: pendulum("mod", p), [0.0, 0.1], starts[0], topology=topology),
        lambda: rd.continue_branch(
            lambda p: pendulum("mod", p), starts[0], 0.0, p_range=(-0.1, 0.1), topology=topology
        ),
    ]
    for call in calls:
        with pytest.raises(error, match="topology"):
            call()


def test_differences_and_representatives() -> None:
    lengths = (TWO_PI, None, 1.0)
    x = np.array([[7.0, 7.0, 7.25], [-1e-17, -1e-17, -1e-17], [TWO_PI, 1.0, 1.0]])
    reduced_ = canonical(x, lengths)
    np.testing.assert_allclose(reduced_, [[7 - TWO_PI, 7, 0.25], [0, -1e-17, 0], [0, 1, 0]], atol=1e-15)
    assert ((reduced_ >= 0) & (reduced_ < np.array([TWO_PI, np.inf, 1.0])))[[0, 2]].all()
    np.testing.assert_array_equal(np.asarray(canonical(jnp.asarray(x), lengths)), reduced_)
    np.testing.assert_allclose(wrapped(np.array([0.5, 0.5, 0.5]), lengths), [0.5, 0.5, -0.5])
    assert np.isnan(wrapped(np.array([np.inf, 0, 0]), lengths)[0])
    assert seated(np.array([[TWO_PI - 1e-15, 0, 1 - 1e-15]]), lengths).tolist() == [[0.0, 0.0, 0.0]]
    near = np.array([[0.1, 0, 0.9], [6.2, 2, 0.1]])
    np.testing.assert_allclose(extents(near, lengths), [0.1 + TWO_PI - 6.2, 2, 0.2])


@pytest.mark.parametrize("how", ["mod", "arctan2", "where"])
def test_a_seam_that_nobody_declared_is_warned_of_with_the_line_to_write(how: str) -> None:
    random = np.random.default_rng(0)
    starts = np.stack([random.uniform(-3, 3, 40), random.uniform(-2, 2, 40)], -1)
    cell = pendulum(how)
    for call in (rd.fixed_points, rd.find_attractors, rd.basins):
        with pytest.warns(
            rd.SeamWarning, match=r"jumps by 6\.28319 in coordinate 0.*topology=\(6\.28318\d*, None\)"
        ):
            call(cell, starts)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            call(cell, starts, topology=(None, None))


def test_copies_and_running_orbits_of_a_lifted_map_are_warned_of() -> None:
    with pytest.warns(rd.SeamWarning, match=r"differ by 6\.28319 in coordinate 0 alone"):
        rd.fixed_points(pendulum("lift"), np.stack([np.linspace(-7, 7, 40), np.zeros(40)], -1))
    with pytest.warns(rd.SeamWarning, match=r"orbits run on in coordinate 0.*topology=\(1\.0,\)"):
        rd.fixed_points(circle_map(0.3, 0.5, "lift"), np.linspace(0, 1, 20), period=3)
    with pytest.warns(rd.SeamWarning, match=r"coordinate 0.*360"):
        rd.find_attractors(
            lambda x, u=None: jnp.mod(x + 30 + 20 * jnp.sin(jnp.deg2rad(x)), 360.0), np.linspace(0, 350, 30)
        )


def _ordinary() -> list[tuple[str, Any, Any]]:
    key = jax.random.key(0)
    cells = [
        ("doya", rd.DoyaNeuron(w=5.0, b=-2.5, epsilon=0.3), ()),
        ("pascanu", rd.PascanuNeuron(w=5.0, b=-2.5), ()),
    ]
    cells += [(name, make(), (size,)) for name, (make, _, size) in CELLS.items()]
    for activation in ("tanh", "sigmoid", "relu", "linear"):
        cells.append((activation, rd.random_rnn(key, 4, spectral_radius=1.4, activation=activation), (4,)))
    weights = jax.random.normal(key, (4, 4))

    def dot(x: Any) -> Any:
        return jnp.dot(weights, x, precision="highest")

    def flip(x: Any, u: Any = None) -> Any:
        return -2.2 * jnp.tanh(x)

    cells += [
        ("threshold", lambda x, u=None: dot(jnp.where(x > 0, 1.0, 0.0)) + 0.1, (4,)),
        ("sign", lambda x, u=None: jnp.sign(dot(x)), (4,)),
        ("leaky relu", lambda x, u=None: jax.nn.leaky_relu(dot(x)), (4,)),
        ("relu of the identity", lambda x, u=None: jnp.where(x > 0, x, 0.1 * x), (4,)),
        ("integrate, fire, leak", lambda x, u=None: 0.9 * x + 0.3 - jnp.where(x > 1, 1.0, 0.0), ()),
        ("threshold of one unit", lambda x, u=None: 0.3 - 0.7 * jnp.where(x > 0.2, 1.0, 0.0), ()),
        ("flip", flip, ()),
        ("odd", lambda x, u=None: 2.2 * jnp.tanh(x), ()),
        ("sine units", lambda x, u=None: dot(jnp.sin(x)), (4,)),
        ("tent", lambda x, u=None: 1 - 1.9 * jnp.abs(x), ()),
        ("not periodic", lambda x, u=None: jnp.mod(1.5 * x, 1.0), ()),
        ("rounded", lambda x, u=None: jnp.round(3 * jnp.tanh(dot(x))) / 3, (4,)),
        ("sawtooth", lambda x, u=None: dot(x - jnp.floor(x)), (4,)),
    ]
    return cells


@pytest.mark.parametrize(
    ("name", "cell", "shape"), _ordinary(), ids=lambda value: value if type(value) is str else ""
)
def test_no_seam_is_seen_in_ordinary_networks(name: str, cell: Any, shape: tuple[int, ...]) -> None:
    size = int(np.prod(shape, dtype=int))
    random = np.random.default_rng(3)
    starts = 3 * random.normal(size=(80, size))
    listed = np.concatenate([starts[:10], -starts[:10], starts[:10] + np.eye(size)[0], np.round(starts[:20])])
    if name == "sawtooth":  # F(x + e_i) = F(x): two such states cannot both be listed
        listed = starts[:10]
    u = 0.3 * np.ones(IN.shape[1]) if name in CELLS else None
    assert seam_lengths(cell, starts, listed, u, shape) == {}
