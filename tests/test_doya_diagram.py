"""The bifurcation diagram, finite ratios, and the flow that the map tends to."""

import builtins

import numpy as np
import pytest

from rnn_dynamics import doya
from tests.oracles import neuron


def test_branches_and_events_at_five(dtype: str) -> None:
    diagram = doya.bifurcation_diagram(np.asarray(5, dtype), np.linspace(-3, -2, 101).astype(dtype))
    assert [branch.stable for branch in diagram.branches] == [True, False, True]
    found = sorted((event.parameter, event.state) for event in diagram.events)
    true = sorted((float(b), float(x)) for x, b in neuron.folds(5.0))
    np.testing.assert_allclose(found, true, rtol=4 * np.finfo(dtype).eps)
    assert {event.kind for event in diagram.events} == {"fold"}
    assert all(event.precision <= 8 * np.finfo(dtype).eps for event in diagram.events)
    for branch in diagram.branches:
        np.testing.assert_allclose(np.log(branch.x / (1 - branch.x)) - 5 * branch.x, branch.b, atol=1e-6)
        inside = branch.multipliers[1:-1]
        assert bool(((inside < 1) == branch.stable).all())
    assert "fold at b = -2.655610" in repr(diagram)


def test_branches_meet_at_their_events_and_reach_the_ends_of_the_range() -> None:
    for w, first, last in ((5.0, -3.0, -2.0), (-8.0, -2.0, 10.0)):
        diagram = doya.bifurcation_diagram(w, np.linspace(first, last, 11))
        below, between, above = diagram.branches[:3]
        assert [below.b[0], above.b[-1]] == pytest.approx([first, last], abs=1e-9)
        for event, one, other in zip(
            sorted(diagram.events, key=lambda event: event.state),
            (below, between),
            (between, above),
            strict=True,
        ):
            assert one.x[-1] == other.x[0] == event.state
            assert one.b[-1] == pytest.approx(event.parameter, rel=1e-12)


def test_a_range_that_cuts_the_window_keeps_its_branches_apart() -> None:
    diagram = doya.bifurcation_diagram(5.0, np.linspace(-2.5, -2.0, 51))
    assert [branch.stable for branch in diagram.branches] == [True, False, True]
    assert [event.kind for event in diagram.events] == ["fold"]
    assert diagram.branches[1].x.max() < 0.5001
    assert diagram.branches[2].x.min() > 0.855


def test_flips_and_the_cycle_between_them() -> None:
    diagram = doya.bifurcation_diagram(-8.0, np.linspace(-2, 10, 61))
    kinds = [(branch.kind, branch.stable) for branch in diagram.branches]
    assert (
        kinds
        == [("equilibrium", True), ("equilibrium", False), ("equilibrium", True)] + [("2-cycle", True)] * 2
    )
    low, high = (branch for branch in diagram.branches if branch.kind == "2-cycle")
    middle = len(low.b) // 2
    true = neuron.two_cycle(-8.0, float(low.b[middle]))
    np.testing.assert_allclose([low.x[middle], high.x[middle]], [float(x) for x in true], rtol=1e-10)
    np.testing.assert_allclose([low.x[0], high.x[0]], diagram.events[0].state)
    np.testing.assert_array_equal(low.b[[0, -1]], [event.parameter for event in diagram.events])
    assert 0 < np.diff(low.b).min() < np.diff(low.b).max() < 0.01 * np.ptp(low.b)
    part = doya.bifurcation_diagram(-8.0, np.linspace(0, 2, 21))
    assert all(branch.b.min() >= 0 - 1e-6 and branch.b.max() <= 2 + 1e-6 for branch in part.branches)


def test_cusp_and_no_event() -> None:
    assert [event.kind for event in doya.bifurcation_diagram(4.0, [-3.0, -1.0]).events] == ["cusp"]
    assert doya.bifurcation_diagram(1.0, [0, 1]).events == ()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("w", ([5.0], [-3.0, -2.0])),
        ("b", (5.0, -2.5)),
        ("b", (5.0, [-2.5])),
        ("b", (5.0, [float("nan"), 1.0])),
        ("w", ("5", [0.0, 1.0])),
    ],
)
def test_bad_arguments_are_named(name: str, arguments: tuple) -> None:
    with pytest.raises((TypeError, ValueError), match=rf"^{name}:"):
        doya.bifurcation_diagram(*arguments)


def test_differences_of_a_thousandth_are_taken_where_none_are_given() -> None:
    found, same = (
        doya.finite_ratios(5.0, -2.5, [0.3, 0.6], 9, **options) for options in ({}, {"dx0": 1e-3, "db": 1e-3})
    )
    assert np.array_equal(found.initial, same.initial)
    assert np.array_equal(found.bias, same.bias)
    with pytest.raises(ValueError, match="dx0"):
        doya.finite_ratios(5.0, -2.5, [0.3, 0.6], 9, dx0=[1e-3, -1e-3])


def test_finite_ratios_are_no_derivatives(dtype: str) -> None:
    for delta in (1e-2, 1e-3):
        ratio = doya.finite_ratios(np.asarray(5, dtype), -2.5, 0.5, 1000, dx0=delta)
        gap = 0.855206 - 0.144794
        np.testing.assert_allclose(float(ratio.initial) * 2 * delta, gap, rtol=1e-3)
    derivative = doya.sensitivities(5.0, -2.5, 0.5 - 1e-3, 1000).initial
    assert float(derivative.log10()) < -100
    small = doya.finite_ratios(5.0, -2.5, 0.3, 20, dx0=1e-6, db=1e-6)
    exact = neuron.sensitivities(5.0, -2.5, 0.3, 20)
    np.testing.assert_allclose([small.initial, small.bias], [float(exact.dx0), float(exact.db)], rtol=1e-6)
    for name, options in (("dx0", {"dx0": 0.0}), ("db", {"db": -1.0})):
        with pytest.raises(ValueError, match=rf"^{name}:"):
            doya.finite_ratios(5.0, -2.5, 0.5, 10, **options)
    for steps in (-1, 2.5, True, None):
        with pytest.raises((TypeError, ValueError), match=r"^steps:"):
            doya.finite_ratios(5.0, -2.5, 0.5, steps)


def test_the_map_tends_to_the_flow_with_order_one() -> None:
    limit = doya.flow(5.0, -2.4, 0.4, 3.0)
    errors = []
    for steps in (100, 200, 400):
        end = doya.sensitivities(5.0, -2.4, 0.4, steps, epsilon=3.0 / steps)
        errors.append([float(end.state - limit.state), float(end.initial.to_float() - limit.initial)])
    orders = np.log2(np.abs(np.array(errors[:-1]) / np.array(errors[1:])))
    np.testing.assert_allclose(orders, 1, atol=0.05)
    assert float(doya.flow(5.0, -2.4, 0.4, 3.0, w_in=2.0).state) == float(limit.state)  # without an input
    at_once = doya.flow(5.0, -2.4, 0.4, 0.0)
    assert (float(at_once.state), float(at_once.initial)) == (0.4, 1.0)


def test_the_flow_needs_its_extra_and_checks_its_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"^time:"):
        doya.flow(5.0, -2.5, 0.4, -1.0)
    with pytest.raises(ValueError, match=r"^w:"):
        doya.flow([5.0, 6.0], -2.5, 0.4, 1.0)
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name == "diffrax":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install diffrax .*'\.\[ode\]'"):
        doya.flow(5.0, -2.5, 0.4, 1.0)
