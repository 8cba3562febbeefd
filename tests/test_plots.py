"""Plots: each takes a result and optional axes, returns the axes with labels, and leaves no other trace."""

import jax.numpy as jnp
import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rnn_dynamics import cliff, doya, plots
from rnn_dynamics.bounds import product_bounds
from rnn_dynamics.cells import DoyaNeuron, ElmanRNN, PreActivationRNN
from rnn_dynamics.credit import partial_sums
from rnn_dynamics.plots import palette
from rnn_dynamics.rollout import rollout
from rnn_dynamics.spectral import Counterexample, RadiusSweep
from rnn_dynamics.sweep import Sweep


@pytest.fixture(scope="module")
def bounds():
    cell = PreActivationRNN([[0.9, 1.0], [0.0, 0.9]], [0.0, 0.0], activation="linear")
    return product_bounds(rollout(cell, [0.0, 0.0], steps=12))


@pytest.fixture(scope="module")
def results(bounds):
    """A small result of every kind beside the plot that takes it."""
    run = rollout(DoyaNeuron(5.0, -2.5), 0.3, steps=20)
    grid = np.linspace(0.0, 1.0, 5)
    maps = doya.sensitivities(5.0, np.linspace(-3, -2, 7), grid[:, None], 10)
    axes = {"radius": np.array([0.5, 1.0]), "bias": np.array([0.0]), "seed": np.array([0, 1])}
    values = {"log_norms": np.zeros((2, 1, 2, 4)), "spectral_norm": np.ones((2, 1, 2))}
    swept = RadiusSweep(Sweep(axes, values, {}), 1.0)
    path = cliff.descend(4.75, -2.0, rate=0.1, updates=3, steps=5)
    labels = np.asarray(doya.basin_label(5.0, np.linspace(-3, -2, 7), grid[:, None]))
    case = Counterexample("shear", "claim", "truth", run, bounds)
    return {
        "bifurcation_diagram": (doya.bifurcation_diagram(5.0, np.linspace(-3, -2, 20)),),
        "orbit": (run,),
        "basin_map": (np.linspace(-3, -2, 7), grid, labels),
        "sensitivity_map": (np.linspace(-3, -2, 7), grid, maps),
        "log_map": (np.linspace(-3, -2, 7), grid, np.full((5, 7), -np.inf)),
        "norms_against_lag": (bounds,),
        "counterexample": (case,),
        "radius_sweep": (swept,),
        "partial_sums": (partial_sums(run, 1.0), "b"),
        "loss_profile": (cliff.profile(np.linspace(-3, -2, 20), steps=(2, 5)),),
        "loss_surface": (cliff.surface(np.linspace(4, 6, 6), np.linspace(-3, -2, 5), steps=5),),
        "descent": (path,),
    }


NAMES = [
    "bifurcation_diagram",
    "orbit",
    "basin_map",
    "sensitivity_map",
    "log_map",
    "norms_against_lag",
    "counterexample",
    "radius_sweep",
    "partial_sums",
    "loss_profile",
    "loss_surface",
    "descent",
]
MAPS = {"basin_map", "sensitivity_map", "log_map"}


@pytest.mark.parametrize("name", NAMES)
def test_given_axes_come_back_labelled_and_no_state_changes(results, name):
    ax = Figure().subplots()
    before = dict(matplotlib.rcParams), pyplot.get_fignums()
    returned = getattr(plots, name)(*results[name], ax=ax)
    assert returned is ax
    assert ax.has_data()
    if name not in MAPS:  # a map's axes are the caller's
        assert ax.get_xlabel()
        assert ax.get_ylabel()
    ax.figure.draw_without_rendering()
    assert (dict(matplotlib.rcParams), pyplot.get_fignums()) == before


@pytest.mark.parametrize("name", NAMES)
def test_without_axes_one_new_figure_stays_open(results, name):
    before = pyplot.get_fignums()
    ax = getattr(plots, name)(*results[name])
    try:
        assert isinstance(ax, Axes)
        assert len(pyplot.get_fignums()) == len(before) + 1
    finally:
        pyplot.close(ax.figure)


def test_results_plot_themselves(results):
    kinds = (
        "bifurcation_diagram",
        "norms_against_lag",
        "counterexample",
        "radius_sweep",
        "loss_profile",
        "loss_surface",
        "descent",
    )
    for name in kinds:
        ax = Figure().subplots()
        assert results[name][0].plot(ax=ax) is ax


def test_stable_is_solid_unstable_dashed_and_folds_are_filled_dots(results):
    ax = plots.bifurcation_diagram(*results["bifurcation_diagram"], ax=Figure().subplots())
    lines = {line.get_label(): line for line in ax.lines}
    assert lines["stable equilibrium"].get_linestyle() == "-"
    assert lines["unstable equilibrium"].is_dashed()
    assert lines["fold"].get_marker() == "o"
    assert lines["fold"].get_markerfacecolor() == palette.BLACK
    flipped = doya.bifurcation_diagram(-8.0, np.linspace(-1, 9, 20))
    marks = {line.get_label(): line for line in flipped.plot(ax=Figure().subplots()).lines}
    assert marks["flip"].get_marker() == "s"
    assert marks["flip"].get_markerfacecolor() == "white"


def test_violated_claim_is_crossed_and_named_no_theorem(bounds):
    ax = plots.norms_against_lag(bounds, Figure().subplots())
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert any("no theorem" in text for text in texts)
    assert any("violated at 12 of 12" in text for text in texts)


def test_unresolved_points_are_hatched():
    chaos = doya.sensitivities(
        -100.0, np.linspace(80, 90, 4), np.linspace(0.2, 0.4, 3)[:, None], 400, epsilon=0.5
    )
    ax = plots.sensitivity_map(np.linspace(80, 90, 4), np.linspace(0.2, 0.4, 3), chaos, Figure().subplots())
    assert any(getattr(artist, "hatches", None) for artist in ax.collections)


def test_exact_zeros_leave_gaps_and_raise_no_warning():
    cell = ElmanRNN(jnp.zeros((2, 2)), jnp.zeros(2))
    ax = plots.norms_against_lag(product_bounds(rollout(cell, [0.1, 0.2], steps=5)), Figure().subplots())
    ax.figure.draw_without_rendering()
    assert np.isnan(ax.lines[-1].get_ydata()[0])


def test_style_holds_inside_its_block_only():
    before = dict(matplotlib.rcParams)
    with pytest.raises(RuntimeError, match="inside"), plots.style():  # noqa: PT012
        assert matplotlib.rcParams["svg.hashsalt"] == "rnn_dynamics"
        raise RuntimeError("inside")
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    ("call", "error", "named"),
    [
        (lambda r: plots.orbit(*r["orbit"], ax="axes"), TypeError, "ax"),
        (lambda r: plots.partial_sums(r["partial_sums"][0], "W"), ValueError, "parameter"),
        (lambda r: plots.loss_profile(*r["loss_profile"], quantity="speed"), ValueError, "quantity"),
    ],
)
def test_wrong_arguments_are_named(results, call, error, named):
    before = pyplot.get_fignums()
    with pytest.raises(error, match=named):
        call(results)
    assert pyplot.get_fignums() == before
