"""The explorers that ask the kernel: the library's numbers, sliders that compile nothing, what is said and kept."""

import base64
import io
import json
import math
import time
from typing import Any

import jax
import numpy as np
import pytest
from matplotlib import rcParams
from PIL import Image

import rnn_dynamics as rd
from rnn_dynamics.cells import LSTM, ElmanRNN, LeakyRNN
from rnn_dynamics.explore.panel import number
from tests.compilations import compilations

pytest.importorskip("ipywidgets")

SMALL = {"units": 8, "steps": 20}
RNG = np.random.default_rng(0)
CELL = LSTM(RNG.normal(size=(16, 4)) / 2, RNG.normal(size=16), RNG.normal(size=(16, 2)))
NEURON = rd.DoyaNeuron(5.0, -2.5)
# Two stable points and a saddle between them.
PAIR = ElmanRNN(1.6 * np.array([[1.1, 0.2], [0.3, 0.2]]), np.array([0.05, -0.02]))


def _square(x: jax.Array) -> jax.Array:
    return (x[:4] ** 2).sum()


@pytest.fixture(scope="module")
def sliders() -> Any:
    found: Any = rd.explore.gradients(**SMALL)
    return found


@pytest.fixture(scope="module")
def verdict() -> Any:
    run = rd.rollout(CELL, None, np.random.default_rng(1).normal(size=(20, 2)))
    return rd.diagnose(run, _square)


@pytest.fixture(scope="module")
def portrait() -> Any:
    found: Any = rd.explore.attractors(PAIR, steps=20)
    return found


def _png(panel: Any) -> bytes:
    return base64.b64decode(panel.image.source.removeprefix("data:image/png;base64,"))


def _moved(panel: Any, **values: Any) -> None:
    """Controls set as a reader does: the picture and the sentence change, and nothing is compiled."""
    for name, value in values.items():
        before = _png(panel), panel.sentence
        with compilations() as fresh:
            panel.controls[name].value = value
        assert fresh.count == 0, name
        assert getattr(panel, name) == value
        assert _png(panel).startswith(b"\x89PNG")
        assert _png(panel) != before[0], name
        assert panel.sentence != before[1], name


def test_numbers_keep_their_digits_without_x64() -> None:
    with jax.enable_x64(False):
        assert number("x", 0.1, 0, 1) == 0.1


def test_it_says_that_programs_are_compiled_until_there_is_a_picture() -> None:
    with compilations() as fresh:
        panel: Any = rd.explore.gradients(**SMALL)
    assert fresh.count == 0
    assert panel.sentence == "compiling …"
    assert 'role="status" aria-live="polite"' in panel.status.value
    assert panel.state()["sentence"] == panel.sentence != "compiling …"


def test_sliders_of_gradients_compile_nothing(sliders: Any) -> None:
    sliders.state()
    # What a first value of each kind takes; afterwards nothing.
    sliders.set(leak=0.9, activation="relu")
    values = {"spectral_radius": 1.4, "bias": 0.3, "leak": 0.6, "input_size": 0.7, "start_size": 0.5}
    _moved(sliders, **values, activation="logistic", steps=37)
    _moved(sliders, steps=63)
    _moved(sliders, steps=3)
    assert "Left: norm" in sliders.alt
    assert sliders.image.alt == sliders.alt


def test_numbers_of_gradients_are_the_librarys(sliders: Any) -> None:
    sliders.set(spectral_radius=1.3, bias=0.2, leak=0.7, activation="tanh", input_size=0.4, steps=20)
    state, run = sliders.state(), sliders.results()["trajectory"]
    json.dumps(state, allow_nan=False)
    own = run.cell
    cell = LeakyRNN(own.W, own.b, np.asarray(own.w_in)[:, None], 0.7)
    assert float(max(abs(np.linalg.eigvals(np.asarray(own.W))))) == pytest.approx(1.3)
    same = rd.rollout(cell, run.states[0], np.asarray(run.inputs)[:, None])
    np.testing.assert_allclose(same.states, run.states, rtol=1e-9)
    bounds = rd.product_bounds(same)
    decades = 1 / math.log(10)
    np.testing.assert_allclose(state["log10_norms"], np.asarray(bounds.log_norms) * decades, atol=1e-8)
    for entry in bounds.entries():
        shown = np.array(state["log10_bounds"][entry.name], float)
        if entry.name == "scaled":  # in units that were found for another radius: a theorem, near the best
            np.testing.assert_allclose(shown, entry.log * decades, rtol=0.05, atol=1e-9)
            assert (shown <= np.asarray(bounds["norm"].log) * decades + 1e-9).all()
            assert state["violated"]["scaled"] == 0
            continue
        np.testing.assert_allclose(shown, entry.log * decades, atol=1e-8)
        assert state["violated"][entry.name] == int(entry.violated.sum())
    assert state["conclusion"] == bounds.conclusion
    spectra = rd.gradients.spectra_by_lag(same, state["band_lags"])
    shown = np.array(state["log10_singular_values"], float)
    np.testing.assert_allclose(shown, np.asarray(spectra.log) * decades, atol=1e-6)


def test_the_first_scaled_bound_is_the_librarys() -> None:
    panel: Any = rd.explore.gradients(**SMALL, spectral_radius=0.8)
    bounds = rd.product_bounds(panel.results()["trajectory"])
    shown = np.array(panel.state()["log10_bounds"]["scaled"], float)
    np.testing.assert_allclose(shown, bounds["scaled"].log / math.log(10), atol=1e-12)


def test_without_x64_all_is_single_and_nothing_warns() -> None:
    with jax.enable_x64(False):
        panel: Any = rd.explore.gradients(units=4, steps=9)
        assert panel.results()["bounds"].log_norms.dtype == np.float32
        panel.bias = 0.5
        assert "T = 9" in panel.sentence


def test_a_redraw_is_quick(sliders: Any) -> None:
    """The processor's time, the least of some: other programs run beside the tests."""
    sliders.state()
    taken = []
    for bias in (0.11, 0.12, 0.13, 0.14):
        begun = time.process_time()
        sliders.bias = bias
        taken.append(time.process_time() - begun)
    assert min(taken) < 0.4


def test_weights_of_zero_leave_no_gradient(sliders: Any) -> None:
    sliders.set(spectral_radius=0.0, leak=1.0, steps=20)
    assert sliders.sentence.startswith(
        "Over T = 20 steps the gradient vanishes: its norm is 0; a theorem proves"
    )
    assert sliders.state()["log10_norms"][:-1] == [None] * 20
    sliders.spectral_radius = 1.2
    assert None not in sliders.state()["log10_norms"]


def test_networks_of_ones_own_have_the_sliders_that_apply() -> None:
    cell = ElmanRNN(RNG.normal(size=(8, 8)) / 3, np.zeros(8))
    own: Any = rd.explore.gradients(cell, steps=20)
    assert set(own.controls) == {"gain", "start_size", "steps"}
    own.state()
    _moved(own, gain=1.7, steps=31, start_size=0.4)
    run = own.results()["trajectory"]
    np.testing.assert_allclose(run.cell.W, 1.7 * np.asarray(cell.W))
    norms = rd.gradient_norms(rd.rollout(run.cell, run.states[0], steps=31))
    np.testing.assert_allclose(own.state()["log10_norms"], np.asarray(norms) / math.log(10), atol=1e-9)
    inputs = np.random.default_rng(1).normal(size=(20, 2))
    given: Any = rd.explore.gradients(rd.rollout(CELL, None, inputs))
    assert set(given.controls) == {"steps"}
    assert (given.steps, given.controls["steps"].max) == (20, 20)
    given.state()
    _moved(given, steps=11)
    np.testing.assert_allclose(given.results()["trajectory"].inputs, inputs[:11])


def test_a_verdict_shows_what_each_part_owes(verdict: Any) -> None:
    panel: Any = rd.explore.network(verdict)
    state = panel.state()
    json.dumps(state, allow_nan=False)
    for choice in ("all parameters", "gate forget", "parameter W_in", "part cell", "unit"):
        assert choice in state["choices"]
    assert (state["reach"], state["reach_percent"]) == (verdict.horizon, verdict.horizon_percent)
    with compilations() as fresh:
        panel.controls["show"].value = "gate forget"
        state = panel.state()
        shares = verdict.credit.by("gate")["forget"]
        shares = np.where(np.isfinite(shares), shares, np.nan)  # no input acts before the first step
        np.testing.assert_allclose(np.array(state["log10"], float), shares / math.log(10), atol=1e-12)
        assert f"{verdict.gates['forget']:.2f} on average" in panel.sentence
        panel.show = "unit"
        before = _png(panel)
        panel.controls["unit"].value = 3
        assert _png(panel) != before
    assert fresh.count == 0
    units = np.asarray(verdict.credit.log_units)[::-1, 3]
    np.testing.assert_allclose(np.array(panel.state()["log10"], float), units / math.log(10), atol=1e-12)
    assert panel.sentence.startswith("Unit 3: ")


def test_a_verdict_without_a_loss_shows_the_norm() -> None:
    verdict: Any = rd.diagnose(rd.rollout(PAIR, [0.3, 0.2], steps=20))
    panel: Any = rd.explore.network(verdict)
    state = panel.state()
    assert state["choices"] == ["state norm"]
    assert state["reach_percent"] == verdict.state_percent
    np.testing.assert_allclose(
        np.array(state["log10"], float), verdict.log_norms[::-1] / math.log(10), atol=1e-12
    )


def test_a_phase_portrait_has_the_librarys_points_and_sets(portrait: Any) -> None:
    state, results = portrait.state(), portrait.results()
    json.dumps(state, allow_nan=False)
    starts = np.random.default_rng(0).uniform(-2, 2, (64, 2))
    points = rd.fixed_points(PAIR, starts)
    assert [point["kind"] for point in state["points"]] == list(points.kind) == ["stable", "saddle", "stable"]
    np.testing.assert_allclose([point["state"] for point in state["points"]], points.points, atol=1e-12)
    assert [one["what"] for one in state["attractors"]] == ["fixed point", "fixed point"]
    assert sum(state["shares"]) == pytest.approx(1)
    labels = rd.basins(PAIR, np.array([[0.1, 0.1]]), results["attractors"])
    assert state["goes_to"] == int(labels.labels[0])
    portrait.saddle = 1
    saddle = rd.dynamics.stable_set(PAIR, state["saddles"][0], length=1.0)
    assert portrait.results()["stable_set"].multiplier == pytest.approx(saddle.multiplier)
    assert all(length > 0 for side in portrait.state()["sets"].values() for length in side)
    _moved(portrait, x=-0.8, y=-1.1)
    run = rd.rollout(PAIR, [-0.8, -1.1], steps=20)
    np.testing.assert_allclose(portrait.state()["end"], run.final, atol=1e-12)
    with compilations() as fresh:
        portrait.set(steps=41, basins=False)
    assert fresh.count == 0
    portrait.saddle = 3
    assert "There is no saddle no. 3: 1 saddle found." in portrait.sentence


def _clicked(panel: Any, area: str, x: float, y: float) -> None:
    """A click as the browser sends it, at the values of axes."""
    (found,) = [one for one in panel.shown().areas if one.name == area]
    across, up = found.place(x, y)
    assert found.at(across, up) == pytest.approx((x, y))
    with compilations() as fresh:
        panel.image._handle_custom_msg({"across": across, "up": up}, [])
    assert fresh.count == 0


def test_a_click_sets_the_start_and_one_on_a_saddle_shows_its_sets(portrait: Any) -> None:
    portrait.set(x=0.1, y=0.1, saddle=0, basins=True)
    _clicked(portrait, "plane", -0.91, 0.4)
    assert (portrait.x, portrait.y) == pytest.approx((-0.91, 0.4), abs=1e-3)
    run = rd.rollout(PAIR, [portrait.x, portrait.y], steps=portrait.steps)
    np.testing.assert_allclose(portrait.state()["end"], run.final, atol=1e-12)
    (area,) = portrait.shown().areas
    # The picture's pixels say where the axes are: their spines are the darkest column and the darkest row.
    dark = np.asarray(Image.open(io.BytesIO(_png(portrait))).convert("L")) < 60
    height, width = dark.shape
    assert dark.sum(axis=0).argmax() == pytest.approx(area.box[0] * width, abs=1.5)
    assert dark.sum(axis=1).argmax() == pytest.approx((1 - area.box[1]) * height, abs=1.5)
    across, up = portrait.state()["saddles"][0]
    _clicked(portrait, "plane", across + 0.01, up)
    assert (portrait.saddle, portrait.x) == (1, pytest.approx(-0.91, abs=1e-3))
    assert "both sets are shown" in portrait.sentence
    _clicked(portrait, "plane", across, up - 0.01)
    assert portrait.saddle == 0
    before = portrait.settings()
    portrait.click(0.99, 0.01)
    assert portrait.settings() == before


def test_a_click_in_a_plane_of_more_units_is_a_place_in_it() -> None:
    cell = ElmanRNN(np.random.default_rng(0).normal(size=(4, 4)) / 2, np.full(4, 0.1))
    panel: Any = rd.explore.attractors(cell, np.random.default_rng(1).normal(size=(9, 4)), steps=20)
    panel.state()
    panel.set(plane="two units", first=1, second=3)
    (area,) = panel.shown().areas
    x, y = np.mean(area.x), np.mean(area.y)
    _clicked(panel, "plane", x, y)
    assert panel.state()["start"] == pytest.approx([0.0, x, 0.0, y], abs=2e-3 * np.ptp(area.x))


def test_a_click_chooses_a_bar_or_a_unit(verdict: Any) -> None:
    panel: Any = rd.explore.network(verdict)
    panel.state()
    _clicked(panel, "units", 3.0, 5.3)
    assert (panel.show, panel.unit) == ("unit", 5)
    assert panel.sentence.startswith("Unit 5: ")
    bars = list(panel.state()["reaches"])[:14]
    height = len(bars) - bars.index("gate forget")  # below them the unit has a bar
    _clicked(panel, "overview", 0.5, height + 0.2)
    assert panel.show == "gate forget"
    _clicked(panel, "overview", 0.5, height - 1 - 0.2)
    assert panel.show == "gate forget"
    _clicked(panel, "overview", 0.5, len(bars) - 1)
    assert panel.show == bars[0]


def test_more_units_are_shown_in_a_plane() -> None:
    cell = ElmanRNN(np.random.default_rng(0).normal(size=(4, 4)) / 2, np.full(4, 0.1))
    panel: Any = rd.explore.attractors(cell, np.random.default_rng(1).normal(size=(9, 4)), steps=20)
    panel.state()
    _moved(panel, x=0.6)
    before = _png(panel)
    with compilations() as fresh:
        panel.set(plane="two units", first=1, second=3)
    assert fresh.count == 0
    assert _png(panel) != before
    assert panel.state()["start"] == [0.0, 0.6, 0.0, 0.1]


def test_a_notebook_keeps_a_picture_and_no_setting_is_changed(sliders: Any) -> None:
    before, seen = dict(rcParams), []
    sliders.observe(lambda change: seen.append(change["new"]), names="bias")
    sliders.bias = -0.4
    assert seen == [-0.4]
    data = sliders._repr_mimebundle_()
    assert base64.b64decode(data["image/png"]) == _png(sliders)
    assert "application/vnd.jupyter.widget-view+json" in data
    assert sliders.sentence in data["text/plain"]
    assert dict(rcParams) == before
    assert all(control.description for control in sliders.controls.values())


MISTAKES = {
    "spectral_radius": (lambda: rd.explore.gradients(spectral_radius=-1), ValueError),
    "leak": (lambda: rd.explore.gradients(leak=0), ValueError),
    "activation": (lambda: rd.explore.gradients(activation="step"), ValueError),
    "units": (lambda: rd.explore.gradients(units=0), ValueError),
    "cell_or_trajectory": (lambda: rd.explore.gradients(3), TypeError),
    "verdict": (lambda: rd.explore.network("vanishing"), TypeError),
    "cell": (lambda: rd.explore.attractors(NEURON), ValueError),
    "starts": (lambda: rd.explore.attractors(PAIR, np.zeros((3, 5))), ValueError),
    "steps": (lambda: rd.explore.attractors(PAIR, steps=1.5), TypeError),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_wrong_input_is_refused_by_name(name: str) -> None:
    call, kind = MISTAKES[name]
    with compilations() as fresh, pytest.raises(kind, match=rf"^{name}: expected"):
        call()
    assert fresh.count == 0


def test_wrong_values_of_a_control_are_refused_and_leave_it(sliders: Any) -> None:
    before = sliders.settings()
    for name, value in (("bias", 1e9), ("steps", 10_000), ("activation", "step"), ("leak", math.nan)):
        with pytest.raises(ValueError, match=rf"^{name}: expected"):
            setattr(sliders, name, value)
    with pytest.raises(ValueError, match=r"^weight: expected one of"):
        sliders.set(weight=3)
    assert sliders.settings() == before
