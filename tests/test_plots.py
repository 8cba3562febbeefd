"""Plots: a result and an optional axes in, the axes out; labelled; nothing of matplotlib's state changed."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.axes import Axes

import rnn_dynamics as rd
from rnn_dynamics import cliff, credit, doya, plots, spectral


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    pyplot.close("all")


def _network() -> Any:
    cell = rd.random_rnn(jax.random.key(0), 6, spectral_radius=1.1)
    return rd.product_bounds(rd.rollout(cell, 0.1 * jnp.ones(6), steps=12))


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
    helpers = {"axes_of", "colour_bar", "palette", "panel_label", "style", "log_map"}
    assert set(plots.__all__) - helpers == set(CASES)
