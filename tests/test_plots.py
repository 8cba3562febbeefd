"""Plots: a result and an optional axes in, the axes out; labelled; nothing of matplotlib's state changed."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.axes import Axes

import rnn_dynamics as rd
from rnn_dynamics import cliff, doya, plots, spectral
from rnn_dynamics.gradients import credit


def _network() -> Any:
    cell = rd.random_rnn(jax.random.key(0), 6, spectral_radius=1.1)
    return rd.product_bounds(rd.rollout(cell, 0.1 * jnp.ones(6), steps=12))


def _swept() -> Any:
    return spectral.radius_sweep([0.5, 1.0], biases=[0.0, 0.5], n=4, steps=6)


def _bands() -> Any:
    cell = rd.random_rnn(jax.random.key(0), 6, spectral_radius=1.1)
    return rd.spectra_by_lag(rd.rollout(cell, 0.1 * jnp.ones(6), steps=12), [0, 4, 12])


CASES: dict[str, Callable[[Axes | None], Axes]] = {
    "bifurcation_diagram": lambda ax: plots.bifurcation_diagram(
        doya.bifurcation_diagram(-8.0, [-2.0, 10.0]), ax
    ),
    "orbit": lambda ax: plots.orbit(rd.rollout(rd.DoyaNeuron(5.0, -2.5), 0.4, steps=9), ax),
    "basin_map": lambda ax: plots.basin_map([0.0, 1.0], [0.0, 1.0], np.array([[0, 1], [4, 2]]), ax),
    "sensitivity_map": lambda ax: plots.sensitivity_map(
        [-2.6, -2.4],
        [0.2, 0.5],
        doya.sensitivities(5.0, jnp.array([[-2.6, -2.4]]), jnp.array([[0.2], [0.5]]), 9),
        ax,
    ),
    "norms_against_lag": lambda ax: plots.norms_against_lag(_network(), ax),
    "counterexample": lambda ax: plots.counterexample(spectral.counterexamples(chaotic_steps=20)[0], ax),
    "partial_sums": lambda ax: plots.partial_sums(
        credit.partial_sums(rd.rollout(rd.DoyaNeuron(5.0, -2.5), 0.4, steps=9), 1.0), "b", ax
    ),
    "radius_sweep": lambda ax: plots.radius_sweep(spectral.radius_sweep([0.5, 1.0], n=4, steps=6), ax),
    "radius_atlas": lambda ax: plots.radius_atlas(_swept(), ax, edge=rd.edge_of_chaos([0.0, 0.5])),
    "sweep": lambda ax: plots.sweep(
        rd.sweep(lambda a, b: a * b, {"a": [1.0, 2.0], "b": [3.0, 4.0, 5.0]}), ax
    ),
    "singular_bands": lambda ax: plots.singular_bands(_bands(), ax),
    "pseudospectrum": lambda ax: plots.pseudospectrum(
        rd.pseudospectrum([[0.9, 1.0], [0.0, 0.9]], [-1.0, 0.0, 1.0], [-1.0, 1.0]), ax
    ),
    "power_norms": lambda ax: plots.power_norms(rd.power_norms([[0.9, 1.0], [0.0, 0.9]], 9), ax),
    "joint_radius": lambda ax: plots.joint_radius(
        rd.joint_spectral_radius([[[1.0, 1.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 1.0]]]), ax
    ),
    "loss_profile": lambda ax: plots.loss_profile(cliff.profile([-2.6, -2.5, -2.4], steps=[5, 9]), ax),
    "loss_surface": lambda ax: plots.loss_surface(cliff.surface([4.0, 5.0], [-3.0, -2.0], steps=9), ax),
    "descent": lambda ax: plots.descent(cliff.descend(w=4.75, b=-2.0, rate=0.1, updates=3, steps=9), ax),
}


@pytest.mark.parametrize("name", CASES)
def test_plot_returns_its_axes_and_changes_no_setting(name: str) -> None:
    before = dict(mpl.rcParams)
    _, given = pyplot.subplots()
    drawn = CASES[name](given)
    assert drawn is given
    assert drawn.get_xlabel() or name == "basin_map" or name.endswith("_map")
    assert drawn.lines or drawn.collections
    assert len(pyplot.get_fignums()) == 1
    drawn.figure.canvas.draw()
    assert dict(mpl.rcParams) == before


def test_a_new_figure_is_made_where_no_axes_are_given() -> None:
    assert isinstance(_network().plot(), Axes)
    with pytest.raises(TypeError, match=r"^ax:"):
        plots.orbit(rd.rollout(rd.DoyaNeuron(5.0, -2.5), 0.4, steps=2), "here")


def test_style_puts_back_its_own_settings_and_no_others() -> None:
    size, interactive = mpl.rcParams["font.size"], mpl.rcParams["interactive"]
    with plots.style():
        assert mpl.rcParams["font.size"] == 9
        mpl.rcParams["interactive"] = True  # a notebook's first figure does this
    assert mpl.rcParams["font.size"] == size
    assert mpl.rcParams["interactive"] is True
    mpl.rcParams["interactive"] = interactive


def test_every_public_plot_is_tested() -> None:
    helpers = {
        "axes_of",
        "colour_bar",
        "palette",
        "panel_label",
        "panel_labels",
        "powers_of_ten",
        "shared_legend",
        "style",
        "log_map",
        "is_grid",
    }
    elsewhere = {  # drawn in the tests of their results
        "attractors",
        "basin_labels",
        "basin_starts",
        "bidirectional_diagnosis",
        "bidirectional_run",
        "credit_by_signed_lag",
        "edge_state",
        "agreement",
        "audit",
        "result",
        "side",
        "signed_norms",
        "trajectory",
        "basin_fractions",
        "basins",
        "bifurcation_curve",
        "branch",
        "branches",
        "comparison",
        "diagnoses",
        "diagnosis",
        "exponent_convergence",
        "exponent_field",
        "fixed_points",
        "invariant_set",
        "loss_along",
        "lyapunov_spectrum",
        "multipliers",
        "orbit_diagram",
        "tracked",
    }
    assert set(plots.__all__) - helpers - elsewhere == set(CASES)


def _labelled(ax: Axes) -> dict[str, Any]:
    return {str(line.get_label()): line for line in ax.lines}


def test_stable_is_solid_unstable_dashed_folds_filled_dots_flips_open_squares() -> None:
    folded = _labelled(doya.bifurcation_diagram(5.0, [-3.0, -2.0]).plot())
    assert folded["stable equilibrium"].get_linestyle() == "-"
    assert folded["unstable equilibrium"].is_dashed()
    assert folded["fold"].get_marker() == "o"
    assert folded["fold"].get_markerfacecolor() == plots.palette.BLACK
    flipped = _labelled(CASES["bifurcation_diagram"](None))
    assert flipped["flip"].get_marker() == "s"
    assert flipped["flip"].get_markerfacecolor() == plots.palette.WHITE


def test_a_violated_claim_is_crossed_and_named_no_theorem() -> None:
    cell = rd.PreActivationRNN([[0.9, 1.0], [0.0, 0.9]], [0.0, 0.0], activation="linear")
    ax = plots.norms_against_lag(rd.product_bounds(rd.rollout(cell, [0.0, 0.0], steps=12)))
    legend = ax.get_legend()
    assert legend is not None
    texts = [text.get_text() for text in legend.get_texts()]
    assert any("no theorem" in text for text in texts)
    assert any("violated at 12 of 12" in text for text in texts)


def test_an_atlas_shows_one_grid_and_one_of_three_quantities() -> None:
    for show in ("excess", "gap"):
        assert plots.radius_atlas(_swept(), show=show).get_xlabel() == plots.palette.RADIUS_AXIS
    with pytest.raises(ValueError, match=r"^show:.*gap"):
        plots.radius_atlas(_swept(), show="norm")
    several = spectral.radius_sweep([0.5, 1.0], biases=[0.0, 1.0], gains=[1.0], n=3, steps=3)
    single = spectral.radius_sweep([0.5], biases=[0.0, 1.0], n=3, steps=3)
    for result in (several, single):
        with pytest.raises(ValueError, match=r"^result:"):
            plots.radius_atlas(result)


def test_a_shared_legend_takes_the_place_of_each() -> None:
    figure, axes = pyplot.subplots(1, 2, layout="constrained")
    for ax in axes:
        plots.norms_against_lag(_network(), ax)
    plots.shared_legend(axes)
    assert all(ax.get_legend() is None for ax in axes)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(texts) == len(set(texts)) >= 8
    figure.canvas.draw()


def test_results_plot_themselves() -> None:
    pair = rd.joint_spectral_radius([[[1.0, 1.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 1.0]]])
    near = rd.pseudospectrum([[0.9, 1.0], [0.0, 0.9]], [-1.0, 0.0, 1.0], [-1.0, 1.0])
    for result in (pair, near, rd.power_norms([[0.9, 1.0], [0.0, 0.9]], 9), _bands(), _swept()):
        assert isinstance(result.plot(), Axes)


def test_unresolved_points_are_hatched() -> None:
    b, x0 = np.linspace(80, 90, 4), np.linspace(0.2, 0.4, 3)
    chaos = doya.sensitivities(-100.0, b, x0[:, None], 400, epsilon=0.5)
    ax = plots.sensitivity_map(b, x0, chaos)
    assert any(getattr(artist, "hatches", None) for artist in ax.collections)


def test_exact_zeros_leave_gaps_and_raise_no_warning() -> None:
    cell = rd.ElmanRNN(jnp.zeros((2, 2)), jnp.zeros(2))
    ax = plots.norms_against_lag(rd.product_bounds(rd.rollout(cell, [0.1, 0.2], steps=5)))
    ax.figure.draw_without_rendering()
    assert np.isnan(np.asarray(ax.lines[-1].get_ydata())[0])


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: plots.partial_sums(_sums(), "W"), "parameter"),
        (lambda: plots.loss_profile(cliff.profile([-2.6, -2.4], steps=[5]), quantity="speed"), "quantity"),
        (lambda: plots.descent(cliff.descend([4.7, 4.8], -2.0, rate=0.1, updates=1, steps=5)), "path"),
    ],
)
def test_wrong_arguments_are_named_and_open_nothing(call: Callable[[], Axes], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        call()
    assert pyplot.get_fignums() == []


def _sums() -> Any:
    return credit.partial_sums(rd.rollout(rd.DoyaNeuron(5.0, -2.5), 0.4, steps=9), 1.0)
