"""What holds for every picture: text stays text in SVG and PDF, settings stay, logarithms read as powers of ten.

Pictures of results are held to it in ``test_results_shown``, those of figures in ``test_figures``.
"""

import re
import xml.etree.ElementTree as ET
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib import pyplot

import rnn_dynamics as rd
from rnn_dynamics import plots
from rnn_dynamics.figures.output import rendered
from rnn_dynamics.plots.powers import places, power

SVG = "{http://www.w3.org/2000/svg}"


def texts_of(svg: bytes) -> list[str]:
    """The texts of a picture, as a reader of the file finds them."""
    root = ET.fromstring(svg)
    return ["".join(node.itertext()) for node in root.iter(f"{SVG}text")]


def assert_text_is_text(figure: Any, name: str) -> None:
    """An SVG has each axis label as text and no glyph as a path; a PDF has its fonts as TrueType, whole words."""
    svg = rendered(figure, format="svg", dpi=60)
    found = re.sub(r"\s", "", "".join(texts_of(svg)))
    assert b"DejaVuSans-" not in svg, name  # how glyphs drawn as paths are named
    for ax in figure.axes:
        for label in (ax.get_xlabel(), ax.get_ylabel(), *(ax.get_title(loc=at) for at in ("left", "center"))):
            if "$" not in label and ax.get_visible() and ax.axison:
                assert re.sub(r"\s", "", label) in found, (name, label)
    pdf = rendered(figure, format="pdf", dpi=60)
    assert b"/Type3" not in pdf, name
    assert b"/FontFile2" in pdf or not found, name


def assert_no_logarithms(figure: Any, name: str) -> None:
    """What spans many decades is labelled in powers of ten."""
    for ax in figure.axes:
        for label in (ax.get_xlabel(), ax.get_ylabel()):
            assert not re.search(r"log₁₀|\\log_|log10", label), (name, label)


def _ticks(axis: Any) -> list[str]:
    axis.figure.canvas.draw()
    return [label.get_text() for label in axis.get_ticklabels()]


def test_axes_far_below_the_floats_are_labelled_in_powers_of_ten() -> None:
    cell = rd.random_rnn(jax.random.key(0), 6, spectral_radius=0.3)
    run = rd.rollout(cell, 0.1 * jnp.ones(6), steps=900)
    for result in (rd.product_bounds(run), rd.spectral_norms(run), rd.diagnose(run)):
        ax = result.plot()
        texts = _ticks(ax.yaxis)
        assert "$10^{-400}$" in texts, texts
        assert "log" not in ax.get_ylabel()
        low, _ = ax.get_ylim()
        assert low < -400
        drawn = np.asarray(ax.lines[-1].get_ydata(), float)
        assert np.isfinite(drawn).any()
        pyplot.close("all")


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (-400.0, 3.0, ["10^{-400}", "10^{-300}", "10^{-200}", "10^{-100}", "10^{0}"]),
        (-1e5, 0.0, ["10^{-100000}", "10^{-80000}", "10^{-60000}", "10^{-40000}", "10^{-20000}", "10^{0}"]),
        (-20.0, 4.0, ["10^{-20}", "10^{-15}", "10^{-10}", "10^{-5}", "10^{0}"]),
        (1.0, 3.0, ["10", "20", "50", "100", "200", "500", "10^{3}"]),
        (-1.0, 0.0, ["0.1", "0.2", "0.5", "1"]),
        (-400.05, -400.01, [rf"{m}\cdot10^{{-401}}" for m in ("9", "9.2", "9.4", "9.6")]),
        (
            309.9,
            310.1,
            [r"8\cdot10^{309}", r"9\cdot10^{309}", "10^{310}", r"1.1\cdot10^{310}", r"1.2\cdot10^{310}"],
        ),
        (7.0, 7.0, ["10^{7}"]),
    ],
)
def test_ticks_of_decades(low: float, high: float, texts: list[str]) -> None:
    at = places(low, high)
    assert [power(x, plain=high - low < 3) for x in at] == [f"${text}$" for text in texts]
    assert (np.diff(at) > 0).all()


def test_a_tick_stands_where_its_number_says() -> None:
    for low, high in ((-2.7, -0.4), (0.02, 0.09), (-5.5, -5.1), (1.99, 2.5)):
        for x in places(low, high):
            text = power(x, plain=True).strip("$").replace(r"\cdot10^", "e").replace("10^", "1e")
            assert float(re.sub(r"[{}]", "", text)) == pytest.approx(10.0**x, rel=1e-3)


def test_powers_of_ten_takes_an_axis() -> None:
    _, ax = pyplot.subplots()
    ax.plot([0, 1], [-500, 20])
    plots.powers_of_ten(ax.yaxis, "norm")
    assert ax.get_ylabel() == "norm"
    assert "$10^{-400}$" in _ticks(ax.yaxis)
    with pytest.raises(TypeError, match=r"^axis: expected axes\.xaxis"):
        plots.powers_of_ten(ax)  # type: ignore[arg-type]
