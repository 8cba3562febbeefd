"""Bifurcation curves in two parameters and their points of codimension two, against closed forms."""

import numpy as np
import pytest

import rnn_dynamics as rd
from rnn_dynamics.dynamics.bifurcations import bifurcation_curve
from rnn_dynamics.numerics.status import Status
from tests.polynomial_maps import (
    DELAYED,
    DOUBLE_ONE,
    FLIP_THAT_TURNS_SUBCRITICAL,
    FOLD_BESIDE_A_FLIP,
    ONE,
    A,
    C,
    polynomial,
    rotation,
    rows,
    turned,
)


def neuron(b, w):
    return rd.DoyaNeuron(w, b)


def neuron_biases(w, s):
    """b of the equilibria x = (1 ± s)/2: b = ln(x/(1 − x)) − w x."""
    x = np.stack([(1 - s) / 2, (1 + s) / 2], axis=-1)
    return np.log(x / (1 - x)) - w[:, None] * x


TURNED = turned()
MEETINGS = {
    "fold": rows({"": A, "x": ONE, "xx": 0.7}, *rotation(1.1, ONE + C, -0.4 * ONE, by_x=0.2 * ONE), Q=TURNED),
    "flip": rows(
        {"x": -ONE - A, "xx": 0.7, "xxx": 0.3}, *rotation(1.1, ONE + C, -0.4 * ONE, by_x=0.2 * ONE), Q=TURNED
    ),
}


def test_folds_of_the_neuron_meet_in_the_cusp():
    curve = bifurcation_curve(neuron, "fold", 0.3, (-2.35, 5.0), ranges=((-8.0, 0.0), (3.0, 10.0)))
    w = curve.parameters[:, 1]
    with np.errstate(
        invalid="ignore"
    ):  # at the cusp itself rounding puts w a hair below 4, where there is no fold
        near = np.abs(neuron_biases(w, np.sqrt(1 - 4 / w)) - curve.parameters[:, :1]).min(axis=1)
    assert np.nanmax(near) < 1e-13
    assert np.isnan(near).sum() <= 1
    (cusp,) = curve.events
    assert cusp.kind == "cusp"
    np.testing.assert_allclose(cusp.parameter, (-2.0, 4.0), atol=1e-13)
    assert cusp.state == pytest.approx(0.5, abs=1e-7)
    assert curve.status == (Status.CONVERGED, Status.CONVERGED)
    # The two branches bend opposite ways: a changes sign at the cusp alone.
    assert np.flatnonzero(np.diff(np.sign(curve.coefficient))).size == 1


def test_flips_of_the_neuron():
    curve = bifurcation_curve(neuron, "flip", 0.2, (-0.05, -6.0), ranges=((-8.0, 8.0), (-10.0, -3.0)))
    w = curve.parameters[:, 1]
    with np.errstate(invalid="ignore"):
        exact = neuron_biases(w, np.sqrt(1 + 4 / w))
    near = np.abs(exact - curve.parameters[:, :1]).min(axis=1)
    assert np.nanmax(near) < 1e-12
    assert curve.parameters[:, 1].max() == pytest.approx(-4, abs=1e-2)
    assert curve.events == ()
    assert (curve.coefficient > 0).all()


def test_resonances_of_the_delayed_logistic_map():
    ranges = ((1.0, 6.0), (-1.0, 0.9))
    curve = bifurcation_curve(
        polynomial, "neimark-sacker", [0.5, 0.5, 0.0], (2.0, 0.0), ranges=ranges, others=DELAYED
    )
    a, c = curve.parameters.T
    np.testing.assert_allclose(a, 1 + 1 / (1 - c), atol=1e-12)  # (1 − c)(a − 1) = 1
    np.testing.assert_allclose(2 * np.cos(curve.angle), 1 - c * (a - 1), atol=1e-12)
    places = {event.kind: event.parameter for event in curve.events}
    np.testing.assert_allclose(places["1:4 resonance"], (3, 1 / 2), atol=1e-12)
    np.testing.assert_allclose(places["1:3 resonance"], (4, 2 / 3), atol=1e-12)
    assert set(places) == {"1:4 resonance", "1:3 resonance", "1:2 resonance"}
    np.testing.assert_allclose(places["1:2 resonance"], (5, 3 / 4), atol=1e-12)  # θ = π
    last = -1 if a[-1] > a[0] else 0
    assert tuple(curve.parameters[last]) == places["1:2 resonance"]
    assert curve.angle[last] == np.pi
    assert curve.status[last] == Status.CONVERGED


@pytest.mark.parametrize(
    ("table", "kind", "start", "size", "name"),
    [
        (FOLD_BESIDE_A_FLIP, "fold", (0.0, 0.3), 1.0, "fold-flip"),
        (FOLD_BESIDE_A_FLIP, "flip", (-0.09, 0.0), 0.1, "fold-flip"),
        (FLIP_THAT_TURNS_SUBCRITICAL, "flip", (0.0, 0.3), 1.0, "generalized flip"),
        (DOUBLE_ONE, "fold", (0.0, 0.3), 1.0, "1:1 resonance"),
    ],
)
def test_points_of_codimension_two(table, kind, start, size, name):
    x = [-((-start[0]) ** 0.5), 0.0, 0.0]
    curve = bifurcation_curve(polynomial, kind, x, start, ranges=((-size, size), (-size, size)), others=table)
    (event,) = curve.events  # a coefficient's pole, as where a fold meets a flip, is none
    assert event.kind == name
    np.testing.assert_allclose(event.parameter, (0, 0), atol=1e-13)
    assert event.interval < 1e-12


def test_a_neimark_sacker_curve_ends_at_the_resonance():
    ranges = ((-1.0, 1.0), (-1.0, 1.0))
    curve = bifurcation_curve(
        polynomial, "neimark-sacker", [-0.2, 0.0, 0.0], (-0.04, -0.4), ranges=ranges, others=DOUBLE_ONE
    )
    a, c = curve.parameters.T
    np.testing.assert_allclose(a, -(c**2) / 4, atol=1e-13)
    np.testing.assert_allclose(np.cos(curve.angle), 1 + c / 2, atol=1e-12)
    (event,) = curve.events
    assert event.kind == "1:1 resonance"
    np.testing.assert_allclose(event.parameter, (0, 0), atol=1e-12)
    end = -1 if c[-1] > c[0] else 0
    assert tuple(curve.parameters[end]) == event.parameter
    assert curve.angle[end] == 0
    assert curve.status == (Status.CONVERGED, Status.CONVERGED)


@pytest.mark.parametrize("scalar", ["fold", "flip"])
@pytest.mark.parametrize("kind", ["scalar", "neimark-sacker"])
def test_meetings_with_a_neimark_sacker_bifurcation(scalar, kind):
    """A scalar normal form beside a planar one, whose size it moves, in turned coordinates."""
    x = -((0.2 / 0.7) ** 0.5) if scalar == "fold" and kind == "neimark-sacker" else 0.0
    # Fixed at a = −0.7 x², of size 1 + c + 0.2 x.
    start = (0.0, 0.3) if kind == "scalar" else (-0.2, -0.2 * x)
    curve = bifurcation_curve(
        polynomial,
        scalar if kind == "scalar" else kind,
        TURNED[:, 0] * x,
        start,
        ranges=((-0.5, 0.5), (-0.5, 0.5)),
        others=MEETINGS[scalar],
    )
    (event,) = curve.events
    assert (event.kind, event.status) == (f"{scalar}-neimark-sacker", Status.CONVERGED)
    np.testing.assert_allclose(event.parameter, (0, 0), atol=1e-13)
    assert event.interval < 1e-12
    exact = [1.0 if scalar == "fold" else -1.0, np.exp(1.1j), np.exp(-1.1j)]
    np.testing.assert_allclose(np.sort_complex(event.multipliers), np.sort_complex(exact), atol=1e-7)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "hopf"}, "kind"),
        ({"ranges": ((0.0, -8.0), (3.0, 10.0))}, "ranges"),
        ({"ranges": ((-8.0, 0.0), (6.0, 10.0))}, "ranges"),
        ({"ranges": (1.0, 2.0)}, "ranges"),
        ({"kind": "neimark-sacker"}, "complex multiplier"),
        ({"parameters": (-2.35,)}, "parameters"),
    ],
)
def test_bad_input(changes, words):
    arguments = {"kind": "fold", "parameters": (-2.35, 5.0), "ranges": ((-8.0, 0.0), (3.0, 10.0))} | changes
    with pytest.raises(ValueError, match=words):
        bifurcation_curve(neuron, arguments["kind"], 0.3, arguments["parameters"], ranges=arguments["ranges"])
