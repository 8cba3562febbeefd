"""Bifurcation curves in two parameters and their points of codimension two, against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnn_dynamics as rd
from rnn_dynamics.bifurcations import bifurcation_curve
from rnn_dynamics.status import Status

Partial = jax.tree_util.Partial


def neuron(b, w):
    return rd.DoyaNeuron(w, b)


def neuron_biases(w, s):
    """b of the equilibria x = (1 ± s)/2: b = ln(x/(1 − x)) − w x."""
    x = np.stack([(1 - s) / 2, (1 + s) / 2], axis=-1)
    return np.log(x / (1 - x)) - w[:, None] * x


def _delayed(a, c, x, u):
    return jnp.stack([x[1], a * x[1] * (1 - (1 - c) * x[0] - c * x[1])])


def _fold_beside_a_flip(a, c, x, u):
    return jnp.stack([x[0] + a + jnp.square(x[0]), -(1 + c) * x[1] + 0.3 * x[1] ** 3 + 0.1 * x[0]])


def _flip_that_turns_subcritical(a, c, x, u):
    return -(1 + a) * x + c * x**3 + x**5


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
    def family(a, c):
        return Partial(_delayed, a, c)

    curve = bifurcation_curve(
        family, "neimark-sacker", [0.5, 0.5], (2.0, 0.0), ranges=((1.0, 6.0), (-1.0, 0.9))
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
    ("step", "kind", "name"),
    [
        (_fold_beside_a_flip, "fold", "fold-flip"),
        (_flip_that_turns_subcritical, "flip", "generalized flip"),
    ],
)
def test_points_of_codimension_two(step, kind, name):
    def family(a, c):
        return Partial(step, a, c)

    start = [0.0, 0.0] if kind == "fold" else 0.01
    curve = bifurcation_curve(family, kind, start, (0.0, 0.3), ranges=((-1.0, 1.0), (-1.0, 1.0)))
    (event,) = curve.events
    assert event.kind == name
    np.testing.assert_allclose(event.parameter, (0, 0), atol=1e-13)
    assert event.interval < 1e-12


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
