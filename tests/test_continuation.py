"""Branches and bifurcations of maps against closed forms and maps built to have known normal forms."""

import dataclasses

import jax
import mpmath
import numpy as np
import pytest
from scipy.optimize import brentq

import rnn_dynamics as rd
from rnn_dynamics.dynamics import bifurcations, continuation
from rnn_dynamics.dynamics.bifurcations import bifurcation_parameter, locate
from rnn_dynamics.dynamics.continuation import continue_branch, continue_branches
from rnn_dynamics.numerics.status import Status
from tests.compilations import compilations
from tests.polynomial_maps import DELAYED, HENON, ONE, A, C, polynomial, rotation, rows, turned

Partial = jax.tree_util.Partial


def neuron(b, w, epsilon):
    return rd.DoyaNeuron(w, b, epsilon)


def _explicit(w, s):
    """b and x of the neuron's equilibria x = (1 ± s)/2: b = ln(x/(1 − x)) − w x."""
    x = np.array([(1 - s) / 2, (1 + s) / 2])
    return np.log(x / (1 - x)) - w * x, x


def neuron_folds(w):
    return _explicit(w, np.sqrt(1 - 4 / w))


def neuron_flips(w, epsilon=1.0):
    return _explicit(w, np.sqrt(1 - 4 * (2 - epsilon) / (epsilon * abs(w))))[0]


def neuron_two_cycle(w, b):
    """Both states, w < 0: the lower one by a bracket below the equilibrium, where σ(wx + b) − x falls."""

    def step(x):
        return 1 / (1 + np.exp(-(w * x + b)))

    middle = brentq(lambda x: step(x) - x, 0, 1, xtol=1e-16, rtol=1e-15)
    low = brentq(lambda x: step(step(x)) - x, 0, middle - 1e-6, xtol=1e-16, rtol=1e-15)
    return low, step(low)


def _logistic_step(r, x, u):
    return r * x * (1 - x)


def logistic(r):
    return Partial(_logistic_step, r)


def _parameters(events):
    return sorted(event.parameter for event in events)


@pytest.mark.parametrize("w", [4.5, 5.0, 12.0])
def test_folds_of_the_neuron(w):
    exact_b, exact_x = neuron_folds(w)
    branch = continue_branch(neuron, 0.01, -w, p_range=(-w, 0.0), others=(w, 1.0))
    assert [e.kind for e in branch.events] == ["fold", "fold"]
    for event, b, x in zip(branch.events, exact_b, exact_x, strict=True):
        assert abs(event.parameter - b) <= 1e-13
        assert abs(event.state - x) <= 1e-12
        assert event.status == Status.CONVERGED
        assert abs(event.parameter - b) <= event.interval < 1e-12
    assert branch.status == (Status.CONVERGED, Status.CONVERGED)
    assert branch.residual.max() < 1e-14
    assert (branch.parameters[0], branch.parameters[-1]) == (-w, 0)


@pytest.mark.parametrize("epsilon", [1.0, 0.6])
def test_stability_and_flips_of_the_neuron(epsilon):
    exact_b = neuron_flips(-14.0, epsilon)
    branch = continue_branch(neuron, 0.1, -3.0, p_range=(-3.0, 20.0), others=(-14.0, epsilon))
    assert [e.kind for e in branch.events] == ["flip", "flip"]
    np.testing.assert_allclose(_parameters(branch.events), exact_b, rtol=0, atol=2e-13)
    inside = (branch.parameters > exact_b[0]) & (branch.parameters < exact_b[1])
    np.testing.assert_array_equal(branch.stable, ~inside)
    np.testing.assert_array_equal(branch.unstable, inside)


def test_the_doubled_cycle_is_the_closed_form():
    branch = continue_branch(neuron, 0.1, -3.0, p_range=(-3.0, 8.0), others=(-6.0, 1.0))
    for flip in branch.events:
        cycle = branch.switch(flip)
        assert cycle.period == 2
        assert [e.kind for e in cycle.events] == ["flip", "flip"]
        np.testing.assert_allclose(_parameters(cycle.events), _parameters(branch.events), atol=1e-12)
        exact = np.array([neuron_two_cycle(-6.0, b) for b in cycle.parameters[1:-1]])
        found = np.sort(cycle.orbits()[1:-1], axis=1)
        np.testing.assert_allclose(found, exact, atol=1e-12)
        assert cycle.stable[1:-1].all()
        # Both ends are the flips themselves, where the two states are one.
        places = [(event.parameter, event.state) for event in cycle.events]
        assert [(cycle.parameters[i], cycle.states[i]) for i in (0, -1)] == places
        assert cycle.status == (Status.CONVERGED, Status.CONVERGED)


def test_period_doubling_of_the_logistic_map():
    branch = continue_branch(logistic, 0.6, 2.9, p_range=(0.5, 3.7))
    assert [(e.kind, round(e.parameter, 12)) for e in branch.events] == [
        ("transcritical", 1.0),
        ("flip", 3.0),
    ]
    assert branch.events[1].criticality == "supercritical"
    second = branch.switch(branch.events[1])
    assert [e.kind for e in second.events] == ["flip", "flip"]
    assert second.events[1].parameter == pytest.approx(1 + 6**0.5, abs=1e-13)
    fourth = second.switch(second.events[1])
    # Root of a polynomial of degree 12 (OEIS A086181).
    assert fourth.events[1].parameter == pytest.approx(3.5440903595519228536, abs=1e-12)
    assert (fourth.period, fourth.events[1].kind) == (4, "flip")
    zero = branch.switch(branch.events[0])
    np.testing.assert_allclose(zero.states, 0, atol=1e-12)


def network(p, gain, W, bias, V):
    """Two tanh units whose weights (1 + gain·p) W or biases p·bias move with the parameter."""
    return rd.ElmanRNN(W * (1 + gain * p), p * bias, V)


def one_unit(w, strength=0.0):
    """The parameter is the first unit's bias; the second is on its own."""
    return 0.0, np.diag([w, 0.5]), np.array([1.0, 0.0]), np.array([[strength], [0.0]])


def test_folds_of_the_tanh_neuron():
    with mpmath.workdps(30):
        s = mpmath.sqrt(mpmath.mpf(1) / 2)
        exact = float(mpmath.atanh(s) - 2 * s)  # 1 − tanh² = ½ at x = ±1/√2; b = artanh x − 2 x
    assert exact == pytest.approx(-0.532839975354, abs=1e-12)
    arguments = {"p_range": (-1.0, 1.0), "others": one_unit(2.0), "u": np.zeros(1)}
    branch = continue_branch(network, [-0.99, 0.0], -1.0, **arguments)
    np.testing.assert_allclose(_parameters(branch.of_kind("fold")), [exact, -exact], atol=1e-14)
    assert branch.of_kind("fold") == branch.events


def test_branches_of_a_held_input_and_of_a_step_length():
    arguments = {"p_range": (-1.0, 1.0), "others": one_unit(1.8, 0.5)}
    plain = continue_branch(network, [-0.9, 0.0], -1.0, u=np.zeros(1), **arguments)
    moved = continue_branch(network, [-0.9, 0.0], -1.0, u=np.array([0.4]), **arguments)
    np.testing.assert_allclose(
        _parameters(moved.events), np.array(_parameters(plain.events)) - 0.2, atol=1e-13
    )
    fine = continue_branch(network, [-0.9, 0.0], -1.0, u=np.zeros(1), longest=0.005, **arguments)
    assert len(fine) > 2 * len(plain)
    np.testing.assert_allclose(_parameters(fine.events), _parameters(plain.events), atol=1e-13)


def test_fixed_points_of_the_henon_map():
    b = 0.3
    branch = continue_branch(polynomial, [0.9, 0.27, 0.0], 0.2, p_range=(-1.0, 1.0), others=(b, *HENON))
    kinds = {event.kind: event.parameter for event in branch.events}
    assert set(kinds) == {"fold", "flip"}
    assert kinds["fold"] == pytest.approx(-((1 - b) ** 2) / 4, abs=1e-13)
    assert kinds["flip"] == pytest.approx(3 * (1 - b) ** 2 / 4, abs=1e-13)


def test_neimark_sacker_of_the_delayed_logistic_map():
    others = (0.0, *DELAYED)
    branch = continue_branch(polynomial, [0.3, 0.3, 0.0], 1.5, p_range=(1.2, 2.5), others=others)
    (event,) = branch.events
    assert (event.kind, event.criticality) == ("neimark-sacker", "supercritical")
    assert event.parameter == pytest.approx(2.0, abs=1e-13)
    assert event.angle == pytest.approx(np.pi / 3, abs=1e-12)
    np.testing.assert_allclose(event.state, [0.5, 0.5, 0], atol=1e-13)


def test_pitchforks_of_a_symmetric_network():
    W = np.array([[1.0, 0.3], [0.3, 1.0]])  # times 1 + p
    others = (1.0, W, np.zeros(2), np.zeros((2, 1)))
    branch = continue_branch(network, [0.0, 0.0], -0.8, p_range=(-0.9, 2.0), others=others, u=np.zeros(1))
    assert [e.kind for e in branch.events] == ["pitchfork", "pitchfork"]
    np.testing.assert_allclose(_parameters(branch.events), [1 / 1.3 - 1, 1 / 0.7 - 1], atol=1e-13)
    assert {e.criticality for e in branch.events} == {"supercritical"}
    born = branch.switch(branch.events[0])
    np.testing.assert_allclose(born.states[:, 0], born.states[:, 1], atol=1e-10)
    assert [(e.kind, round(e.parameter, 9)) for e in born.events] == [("pitchfork", round(1 / 1.3 - 1, 9))]
    assert born.states[:, 0].min() < -0.9 < 0.9 < born.states[:, 0].max()


FORMS = {  # the first coordinate's polynomial, and its normal form's coefficient
    "fold": ({"": A, "x": ONE, "xx": 0.7, "xxx": -1}, 0.7),
    "flip": ({"x": -ONE - A, "xx": 0.5, "xxx": -1.1}, 0.25 - 1.1),
    "pitchfork": ({"x": ONE + A, "xxx": 0.6}, 0.6),
    "transcritical": ({"x": ONE + A, "xx": -0.8}, -0.8),
}


@pytest.mark.parametrize("kind", FORMS)
def test_normal_forms_are_recovered(kind):
    first, exact = FORMS[kind]
    asked = "branch" if kind in ("pitchfork", "transcritical") else kind
    event = locate(polynomial, asked, np.full(3, 1e-3), 1e-3, others=(0.0, *rows(first, Q=turned())))
    assert (event.kind, event.status) == (kind, Status.CONVERGED)
    assert abs(event.parameter) < 1e-13
    np.testing.assert_allclose(event.state, 0, atol=1e-9)
    if kind in ("fold", "transcritical"):  # its sign is that of q, which is free
        assert abs(event.coefficient) == pytest.approx(abs(exact), rel=1e-6)
        assert event.criticality == ""
    else:
        assert event.coefficient == pytest.approx(exact, rel=1e-6)
        assert event.criticality == "subcritical"


@pytest.mark.parametrize("cubic", [-0.4, 0.9])
def test_neimark_sacker_coefficient_is_recovered(cubic):
    table = rows({"x": 0.4, "yy": 0.3}, *rotation(1.1, ONE + A, cubic * ONE), Q=turned())
    event = locate(polynomial, "neimark-sacker", np.full(3, 1e-3), 1e-2, others=(0.0, *table))
    assert abs(event.parameter) < 1e-13
    assert event.angle == pytest.approx(1.1, abs=1e-9)
    # x = z q + z̄ q̄ with |q| = 1: |ζ|² = 2 |z|² for ζ = y₁ + i y₂.
    assert event.coefficient == pytest.approx(2 * cubic, rel=1e-6)
    assert event.criticality == ("supercritical" if cubic < 0 else "subcritical")


def _driven_logistic_step(r, x, u):
    return (r + u) * x * (1 - x)


def driven_logistic(r):
    return Partial(_driven_logistic_step, r)


def _two_steps(r, x, u):
    return _driven_logistic_step(r, _driven_logistic_step(r, x, u[0]), u[1])


def composed_logistic(r):
    return Partial(_two_steps, r)


def test_a_periodic_input_is_the_map_of_its_period():
    inputs = np.array([0.3, -0.3])
    arguments = {"p_range": (2.5, 3.8)}
    branch = continue_branch(driven_logistic, 0.45, 2.8, inputs=inputs, **arguments)
    whole = continue_branch(composed_logistic, 0.45, 2.8, u=inputs, **arguments)
    assert branch.period == whole.period == 1
    assert [e.kind for e in branch.events] == [e.kind for e in whole.events] == ["flip"]
    np.testing.assert_allclose(branch.states, whole.states, atol=1e-13)
    event = branch.events[0]
    assert event.parameter == pytest.approx(whole.events[0].parameter, abs=1e-14)
    # An orbit of the branch holds both states of a period of the input.
    orbit = branch.orbits()[0]
    assert orbit.shape == (2,)
    assert orbit[1] == pytest.approx(_driven_logistic_step(branch.parameters[0], orbit[0], 0.3), abs=1e-15)
    found = locate(driven_logistic, "flip", event.state, event.parameter + 0.01, inputs=inputs)
    assert found.parameter == pytest.approx(event.parameter, abs=1e-14)
    with pytest.raises(ValueError, match="u, inputs"):
        continue_branch(driven_logistic, 0.45, 2.8, u=0.1, inputs=inputs, **arguments)


def test_branches_for_many_weights():
    w = np.array([3.0, 4.5, 5.0, 9.0])
    found = continue_branches(neuron, 0.01, -9.0, w, p_range=(-9.0, 0.0), others=(1.0,))
    assert (found.status == Status.CONVERGED).all()
    assert found.states.shape == found.parameters.shape == found.stable.shape == (4, found.number.max())
    for i, weight in enumerate(w):
        alone = continue_branch(neuron, 0.01, -9.0, p_range=(-9.0, 0.0), others=(weight, 1.0))
        branch, number = found.branch(i), found.number[i]
        assert number == len(branch) == len(alone)
        np.testing.assert_allclose(found.parameters[i, :number], alone.parameters, rtol=0, atol=1e-13)
        np.testing.assert_allclose(found.states[i, :number], alone.states, rtol=0, atol=1e-13)
        np.testing.assert_array_equal(found.stable[i, :number], alone.stable)
        assert np.isnan(found.parameters[i, number:]).all()
        assert [e.kind for e in branch.events] == (["fold", "fold"] if weight > 4 else [])
        if weight > 4:
            np.testing.assert_allclose(
                _parameters(branch.events), sorted(neuron_folds(weight)[0]), atol=1e-13
            )
    with compilations() as counted:
        starts = [0.02, 0.01, 0.01, 0.01]
        continue_branches(neuron, starts, -8.0, w + 0.1, p_range=(-9.0, 0.0), others=(1.0,))
    assert counted.count == 0
    drawn = [tuple(line.get_xdata()) for line in found.plot().get_lines()]
    assert len(drawn) == 1 + 3 * 3  # two stable parts and an unstable one where there are folds


def test_branches_that_are_not_there_are_labelled():
    def family(r, share):
        return logistic(r * share)

    found = continue_branches(family, 0.8, 3.2, [1.0, 0.9], p_range=(3.1, 3.3), period=2)
    assert found.number[0] > 0 == found.number[1]
    np.testing.assert_array_equal(found.status[1], Status.UNRESOLVED)
    assert np.isnan(found.parameters[1]).all()
    with pytest.raises(ValueError, match="period 2"):
        found.branch(1)
    with pytest.raises(ValueError, match="q: "):
        continue_branches(family, 0.8, 3.2, [], p_range=(3.1, 3.3))
    with pytest.raises(ValueError, match=r"^x: expected finite"):
        continue_branches(family, float("nan"), 3.2, [1.0], p_range=(3.1, 3.3))
    with pytest.raises(ValueError, match=r"^longest: "):
        continue_branches(family, 0.8, 3.2, [1.0], p_range=(3.1, 3.3), longest=-1.0)


UNFOLDED = {  # a bias c opens the crossing: the branch from the left goes on to the root given at a = 0.8
    "pitchfork": ({"": C, "x": ONE + A, "xxx": -1}, lambda c: np.roots([-1, 0, 0.8, c])),
    "transcritical": ({"": C, "x": ONE + A, "xx": -1}, lambda c: np.roots([-1, 0.8, c])),
}


@pytest.mark.parametrize("bias", [1e-3, 1e-5, 1e-8])
@pytest.mark.parametrize("kind", UNFOLDED)
def test_an_unfolded_crossing_is_none(kind, bias):
    first, roots = UNFOLDED[kind]
    others = (bias, *rows(first))
    branch = continue_branch(polynomial, np.zeros(3), -0.5, p_range=(-1.0, 0.8), others=others)
    assert branch.events == ()
    assert branch.status == (Status.CONVERGED, Status.CONVERGED)
    assert branch.stable.all()
    assert branch.states[-1, 0] == pytest.approx(roots(bias).real.max(), abs=1e-13)
    assert (np.diff(branch.parameters) > 0).all()


def test_many_unfolded_crossings():
    first, roots = UNFOLDED["pitchfork"]
    biases = [1e-5, 0.0, -1e-3]
    found = continue_branches(polynomial, np.zeros(3), -0.5, biases, p_range=(-1.0, 0.8), others=rows(first))
    ends = found.states[range(3), found.number - 1, 0]
    exact = [roots(biases[0]).real.max(), 0, roots(biases[2]).real.min()]
    np.testing.assert_allclose(ends, exact, rtol=0, atol=1e-13)
    assert [len(found.branch(i).events) for i in range(3)] == [0, 1, 0]
    assert found.branch(1).events[0].kind == "pitchfork"
    assert (found.status == Status.CONVERGED).all()


def test_no_crossing_is_located_where_branches_do_not_meet():
    first, _ = UNFOLDED["pitchfork"]
    event = locate(polynomial, "branch", np.zeros(3), 0.0, others=(1e-5, *rows(first)))
    assert event.precision > 1e-6
    assert event.status == Status.UNRESOLVED
    assert event.interval == np.inf


@pytest.mark.parametrize("size", [1.0, 1e-2, 1e-4, 1e-6])
def test_folds_of_small_states(size):
    # y ↦ y + (a + y − y³)/5 for y = x/size: folds at a = ∓2/√27.
    others = (0.0, *rows({"": 0.2 * size * A, "x": 1.2, "xxx": -0.2 / size**2}))
    start = [-1.324717957244746 * size, 0.0, 0.0]
    branch = continue_branch(polynomial, start, -1.0, p_range=(-1.0, 1.0), others=others)
    if size < 1e-3:  # too sharp a turn in units of 1: the branch ends at its fold, and says so
        assert branch.status == (Status.CONVERGED, Status.UNRESOLVED)
        assert branch.parameters.max() < 2 / 27**0.5 + 1e-5
        assert all(event.status == Status.UNRESOLVED for event in branch.events)
        return
    assert [e.kind for e in branch.events] == ["fold", "fold"]
    np.testing.assert_allclose(_parameters(branch.events), [-2 / 27**0.5, 2 / 27**0.5], atol=1e-12)
    assert branch.states[-1, 0] == pytest.approx(-start[0], rel=1e-12)
    assert branch.status == (Status.CONVERGED, Status.CONVERGED)


@pytest.mark.parametrize("width", [1e-2, 1e-4, 1e-6])
def test_two_folds_within_one_step(width):
    # x + (a − x³ + c x)/2: folds at a = ±2 (c/3)^{3/2}, where x = ∓√(c/3).
    others = (width, *rows({"": 0.5 * A, "x": ONE + 0.5 * C, "xxx": -0.5}))
    branch = continue_branch(polynomial, [0.9, 0.0, 0.0], 0.7, p_range=(-1.5, 1.5), others=others)
    assert [e.kind for e in branch.events] == ["fold", "fold"]
    exact = 2 * (width / 3) ** 1.5
    np.testing.assert_allclose(_parameters(branch.events), [-exact, exact], atol=1e-13)
    assert branch.unstable.max() == 1


def test_location_is_differentiable():
    def fold(w):
        return bifurcation_parameter(neuron, "fold", 0.3, -2.6, others=(w, 1.0))

    s = np.sqrt(1 - 4 / 5.0)
    x = (1 - s) / 2
    for derivative in (jax.grad(fold), jax.jacfwd(fold)):
        assert float(derivative(5.0)) == pytest.approx(-x, abs=1e-12)  # db/dw = −x on the fold
    assert float(fold(5.0)) == pytest.approx(neuron_folds(5.0)[0][0], abs=1e-13)


def test_float32():
    w, one = np.float32(5), np.float32(1)
    branch = continue_branch(neuron, np.float32(0.05), np.float32(-3), p_range=(-3.0, -2.0), others=(w, one))
    assert branch.states.dtype == np.float32
    for event, b in zip(branch.events, neuron_folds(5.0)[0], strict=True):
        assert abs(event.parameter - b) <= event.interval < 1e-4


def test_out_of_room_and_out_of_reach():
    short = continue_branch(neuron, 0.05, -3.0, p_range=(-3.0, -2.0), others=(5.0, 1.0), max_points=10)
    assert Status.MAX_STEPS in short.status
    with pytest.raises(ValueError, match="x: expected a state near"):
        # Before its fold the Hénon map has no fixed point.
        continue_branch(polynomial, [5.0, 5.0, 0.0], -0.5, p_range=(-1.0, 1.0), others=(0.3, *HENON))


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"p_range": (-2.0, -3.0)}, ValueError, "p_range"),
        ({"p_range": (-2.5, -2.0)}, ValueError, "p_range"),
        ({"period": 0}, ValueError, "period"),
        ({"period": 2}, ValueError, "period: .* cycle of period 1"),
        ({"family": 3}, TypeError, "family"),
        ({"family": lambda b, *_: 3}, TypeError, "family"),
        ({"max_points": 1}, ValueError, "max_points"),
        ({"p": float("nan")}, ValueError, "p"),
        ({"longest": 0.0}, ValueError, "longest: expected a number > 0"),
        ({"longest": float("nan")}, ValueError, "longest"),
    ],
)
def test_bad_input(changes, error, words):
    arguments = {"family": neuron, "x": 0.05, "p": -3.0, "p_range": (-3.0, -2.0), "others": (5.0, 1.0)}
    arguments |= changes
    family, x, p = (arguments.pop(name) for name in ("family", "x", "p"))
    with pytest.raises(error, match=words):
        continue_branch(family, x, p, **arguments)


def test_switching_needs_a_located_event():
    branch = continue_branch(neuron, 0.1, -3.0, p_range=(-3.0, 8.0), others=(-6.0, 1.0))
    lost = dataclasses.replace(branch.events[0], direction=None, status=Status.MAX_STEPS)
    branch = dataclasses.replace(branch, events=(lost,))
    with pytest.raises(ValueError, match="event: expected a located flip, got one that is MAX_STEPS"):
        branch.switch(lost)


def test_switching_needs_an_event_of_the_branch():
    branch = continue_branch(neuron, 0.05, -3.0, p_range=(-3.0, -2.0), others=(5.0, 1.0))
    with pytest.raises(ValueError, match="event: expected a flip"):
        branch.switch(branch.events[0])
    with pytest.raises(ValueError, match=r"branch\.events"):
        continuation.switch_branch(
            branch, bifurcations.SpecialPoint("flip", 0.0, 0.0, 0.0, 0.0, Status.CONVERGED)
        )


def test_a_repeated_shape_compiles_nothing():
    continue_branch(neuron, 0.05, -3.0, p_range=(-3.0, -2.0), others=(5.0, 1.0))
    with compilations() as found:
        continue_branch(neuron, 0.04, -3.5, p_range=(-3.5, -2.0), others=(5.5, 1.0))
    assert found.count == 0
