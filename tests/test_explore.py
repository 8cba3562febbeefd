"""The neuron's explorer: its numbers against the library's, what it says, its widget, its page and its command."""

import base64
import json
import os
import re
import subprocess
import sys
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

import rnn_dynamics as rd
from rnn_dynamics import cli
from rnn_dynamics.explore import bundle, one_neuron, regime
from rnn_dynamics.explore.settings import NeuronSettings
from rnn_dynamics.numerics.status import Status
from rnn_dynamics.plots import neuron as neuron_plots, palette
from tests.browser import Browser, browser
from tests.explorers import NODE, Driven, answers, needs_node, opened


def _node(folder: Path, what: str, rows: np.ndarray) -> bytes:
    """What the explorer's own modules answer for rows of (w, b, ε, x₀, T)."""
    return answers(folder, "explore_numbers.mjs", what, rows)


class Answers(NamedTuple):
    """What is said of each neuron; the derivatives are those by x₀, w and b."""

    points: np.ndarray
    multipliers: np.ndarray
    stability: np.ndarray
    folds: np.ndarray
    flips: np.ndarray
    wall: np.ndarray
    cycle: np.ndarray
    state: np.ndarray
    error: np.ndarray
    logs: np.ndarray
    signs: np.ndarray
    log_errors: np.ndarray
    status: np.ndarray


_WIDTHS = (3, 3, 3, 4, 4, 1, 2, 1, 1, 3, 3, 3, 1)


def _of_browser(folder: Path, rows: np.ndarray) -> Answers:
    found = np.frombuffer(_node(folder, "numbers", rows)).reshape(len(rows), sum(_WIDTHS))
    columns = np.split(found, np.cumsum(_WIDTHS)[:-1], axis=1)
    return Answers(*(part[:, 0] if part.shape[1] == 1 else part for part in columns))


def _of_library(rows: np.ndarray) -> Answers:
    w, b, epsilon, x0, steps = rows.T
    count = len(rows)
    found = rd.doya.equilibria(w, b, epsilon)
    stability = np.where(found.marginal, 2.0, np.asarray(found.stable, float))
    stability = np.where(np.isnan(found.points), np.nan, stability)
    folds, flips = rd.doya.folds(w), rd.doya.flips(w, epsilon)
    cycle = np.where((epsilon == 1)[:, None], rd.doya.two_cycle(w, b).x, np.nan)
    state, error, status = (np.empty(count) for _ in range(3))
    logs, signs, log_errors = (np.empty((count, 3)) for _ in range(3))
    for number in np.unique(steps):
        now = steps == number
        ends = rd.doya.sensitivities(w[now], b[now], x0[now], int(number), epsilon=epsilon[now])
        state[now], error[now], status[now] = ends.state, ends.state_error, ends.status
        for i, derivative in enumerate((ends.initial, *ends.parameters)):
            logs[now, i], signs[now, i] = derivative.log(), np.sign(derivative.unit)
            log_errors[now, i] = (ends.log_error, *ends.parameter_log_errors)[i]
    return Answers(
        *map(np.asarray, (found.points, found.multipliers, stability)),
        *(np.stack([each.b, each.x], axis=-1).reshape(count, 4) for each in (folds, flips)),
        np.asarray(rd.doya.wall(w, x0, epsilon)),
        cycle,
        state,
        error,
        logs,
        signs,
        log_errors,
        status,
    )


def _far(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest distance; what one side does not have the other must not have."""
    assert (np.isnan(ours) == np.isnan(theirs)).all()
    return float(np.nanmax(np.abs(ours - theirs), initial=0.0))


def _relative(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """|difference|/max(1, |value|) of logarithms; 0 where both are −∞."""
    both = np.isfinite(ours) & np.isfinite(theirs)
    assert (ours[~both] == theirs[~both]).all()
    near = np.where(both, ours, 0.0), np.where(both, theirs, 0.0)
    return np.abs(near[0] - near[1]) / np.maximum(1, np.abs(near[1]))


def _random_rows(count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    epsilon = 1 - rng.uniform(0, 0.9, count)
    epsilon[: count // 5] = 1
    columns = (rng.uniform(-12, 12, count), rng.uniform(-8, 8, count), epsilon, rng.uniform(0, 1, count))
    # As many of each T, so that the library compiles one program.
    return np.stack([*columns, rng.permutation(np.resize(np.arange(201), count))], axis=1)


def _hard_rows(count: int) -> np.ndarray:
    """Starts on and beside separatrices, chaotic neurons, and saturated ones."""
    rows, rng, half = _random_rows(count), np.random.default_rng(1), count // 2
    w, x0 = rng.uniform(4.5, 40, half), rng.uniform(0.3, 0.7, half)
    beside = rng.choice([0, 1e-16, 1e-13, 1e-9], half) * rng.normal(size=half)
    rows[:half, 0], rows[:half, 3] = w, x0
    rows[:half, 1] = np.log(x0 / (1 - x0)) - w * x0 + beside
    w = rng.uniform(-200, -15, count - half)
    rows[half:, 0], rows[half:, 1] = w, -w * rng.uniform(0.2, 0.8, count - half)
    rows[half:, 2] = rng.uniform(0.3, 0.9, count - half)
    # σ′ itself is no double any more.
    far = slice(count - count // 10, None)
    rows[far, :2], rows[far, 2] = rng.uniform(-1000, 1000, (count // 10, 2)), 1
    return rows


@needs_node
def test_the_browsers_numbers_are_the_librarys(tmp_path: Path) -> None:
    rows = _random_rows(4000)
    ours, theirs = _of_browser(tmp_path, rows), _of_library(rows)
    for name in ("points", "multipliers", "folds", "flips", "wall", "cycle"):
        assert _far(getattr(ours, name), getattr(theirs, name)) < 1e-12, name
    assert _far(ours.stability, theirs.stability) == 0
    assert np.isfinite(theirs.cycle).any()
    assert np.isfinite(theirs.wall).any()
    assert (ours.status == theirs.status).all()
    resolved = theirs.status == Status.RESOLVED
    assert resolved.mean() > 0.99
    assert (np.abs(ours.state - theirs.state) <= 1e-10 * np.abs(theirs.state))[resolved].all()
    assert _relative(ours.logs, theirs.logs)[resolved].max() < 1e-10
    # The library keeps 20 bits of its bounds, and reads the exponent in them up to eight steps earlier.
    assert np.isclose(ours.error, theirs.error, rtol=1e-3, atol=0)[resolved].all()
    assert np.isclose(ours.log_errors, theirs.log_errors, rtol=1e-2, atol=5e-14)[resolved].all()
    assert (ours.signs == theirs.signs)[resolved].all()


@needs_node
def test_the_browser_says_unresolved_where_the_library_does(tmp_path: Path) -> None:
    rows = _hard_rows(4000)
    ours, theirs = _of_browser(tmp_path, rows), _of_library(rows)
    assert (ours.status == theirs.status).all()
    resolved = theirs.status == Status.RESOLVED
    assert 0.2 < resolved.mean() < 0.8
    apart = np.abs(ours.state - theirs.state)
    assert (apart <= 1e-10 * np.abs(theirs.state) + theirs.error + ours.error)[resolved].all()
    allowed = 1e-10 + theirs.log_errors + ours.log_errors
    assert (_relative(ours.logs, theirs.logs) <= allowed)[resolved].all()
    assert (ours.signs == theirs.signs)[resolved].all()


NAMED = {
    (5, -2.5, 1, 0.5, 60): "rests on the separatrix at .5; the gradient still grows at T = 60 (×10^6)",
    (5, -2.5, 1, 0.497, 60): "x0 is .003 below the separatrix at .5: .* peaks at T = 20 .*, then dies",
    (5, -2.5, 1, 0.503, 60): "x0 is .003 above the separatrix at .5: .* upper equilibrium, .855",
    (-9, 4.2, 1, 0.3, 60): "goes to the 2-cycle between .00942 and .984",
    (-30, 12, 0.5, 0.3, 20): "goes to a cycle of period 2",
    (-100, 90, 0.5, 0.3, 20): "the orbit is chaotic",
    (-9, 4.5, 1, 0.5, 60): "rests on the repelling equilibrium .5",
    (4, -2, 1, 0.3, 100): "is at its bifurcation; the gradient dies (×.0246 at T = 100)",
    (0, 0, 0.5, 0.3, 10): "is stable; the gradient dies",
    (2, -1, 1, 0.1, 0): "no step is taken",
    (5, -2.500000001, 1, 0.5000000008, 200): "separatrix",
}


@needs_node
def test_kernel_and_browser_say_the_same_sentence(tmp_path: Path) -> None:
    rows = _random_rows(150)
    rows[:, :4] = np.round(rows[:, :4], 3)
    rows = np.concatenate([np.array(list(NAMED), float), rows])
    said = _node(tmp_path, "sentences", rows).decode().split("\n")
    for row, sentence in zip(rows, said, strict=True):
        numbers = [float(value) for value in row[:4]]
        shown = one_neuron.state(NeuronSettings(*numbers, int(row[4]), "auto"))
        assert shown["regime"] == sentence, row
    for sentence, expected in zip(said, NAMED.values(), strict=False):
        assert re.search(re.sub(r"([(^)])", r"\\\1", expected), sentence), sentence


def test_numbers_are_printed_as_papers_do() -> None:
    values = [0, 0.5, -2.6556, 31, 1398.4, 123456, 4.5e-7, 0.0001, 0.99999, 9.996, -0.003]
    printed = "0 .5 −2.66 31 1398 1.23×10^5 4.5×10^−7 .0001 1 10 −.003"
    assert [regime.short(value) for value in values] == printed.split()


# --- the widget -------------------------------------------------------------------------------------------------


def test_the_widget_keeps_its_numbers_and_says_what_it_shows() -> None:
    pytest.importorskip("anywidget")
    found: Any = rd.explore.neuron(5.1, -2.5, x0=0.4999, steps=30)
    assert (found.w, found.b, found.epsilon, found.x0, found.steps, found.theme) == (
        5.1,
        -2.5,
        1,
        0.4999,
        30,
        "auto",
    )
    found.w = 5
    state = found.state()
    points = [point["x"] for point in state["equilibria"]]
    assert points == pytest.approx([0.144794108256, 0.5, 0.855205891744], abs=1e-12)
    assert [point["stability"] for point in state["equilibria"]] == ["stable", "unstable", "stable"]
    assert [fold["b"] for fold in state["folds"]] == pytest.approx([-2.344389661369, -2.655610338631])
    assert (state["flips"], state["cycle"], state["status"]) == ([], None, "RESOLVED")
    assert state["wall"] == pytest.approx(np.log(0.4999 / 0.5001) - 5 * 0.4999)
    assert "below the separatrix" in state["regime"]
    json.dumps(state)
    found.set_state({"x0": 1, "steps": 0})  # as the browser does
    assert (found.x0, found.steps, found.state()["x_T"]) == (1.0, 0, 1.0)


def test_the_widget_counts_in_doubles_without_x64() -> None:
    pytest.importorskip("anywidget")
    with jax.enable_x64(False):
        found: Any = rd.explore.neuron(5.1, np.float32(-2.5), x0=0.3)
        assert found.w == 5.1
        state = found.state()
        assert not jax.config.jax_enable_x64
    assert state == found.state()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("w", np.nan),
        ("b", 1e9),
        ("epsilon", 0.0),
        ("epsilon", 1.5),
        ("x0", -0.1),
        ("steps", -1),
        ("theme", "grey"),
    ],
)
def test_wrong_values_are_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: expected"):
        rd.explore.page(**{name: value})
    pytest.importorskip("anywidget")
    found: Any = rd.explore.neuron()
    with pytest.raises(ValueError, match=rf"^{name}: expected"):
        setattr(found, name, value)
    with pytest.raises(ValueError, match=rf"^{name}: expected"):
        rd.explore.neuron(**{name: value})


def test_a_traced_number_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match=r"^w: expected a concrete number"):
        jax.jit(lambda w: rd.explore.page(w))(1.0)


def test_a_notebook_keeps_a_picture() -> None:
    pytest.importorskip("anywidget")
    found: Any = rd.explore.neuron(-9.0, 4.2)
    data, _ = found._repr_mimebundle_()
    assert data["text/plain"] == repr(found)
    assert repr(found).startswith("rnn_dynamics.explore.neuron(w=")
    assert "application/vnd.jupyter.widget-view+json" in data
    picture = base64.b64decode(data["image/png"])
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 150_000


def test_nothing_is_loaded_before_it_is_asked_for() -> None:
    program = (
        "import sys, rnn_dynamics as rd; rd.explore.page; print({'anywidget', 'jax'} & set(sys.modules))"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(rd.__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


# --- the page and the command -----------------------------------------------------------------------------------


@needs_node
@pytest.mark.parametrize("study", ["neuron", "cliff"])
def test_the_module_is_small_and_one_piece(study: str, tmp_path: Path) -> None:
    module = bundle.module(study)
    assert len(module.encode()) < 150_000
    assert not re.search(r"^import\b|^export (?!default)", module, flags=re.MULTILINE)
    path = tmp_path / "neuron.mjs"
    path.write_text(module, encoding="utf-8")
    subprocess.run([str(NODE), "--check", str(path)], check=True)


def test_every_module_is_in_the_bundle_and_has_the_colours_of_the_figures() -> None:
    assert {path.stem for path in bundle.STATIC.glob("*.js")} == set().union(*bundle.MODULES.values())
    known = {
        value.lower() for value in vars(palette).values() if isinstance(value, str) and value.startswith("#")
    }
    known |= {colour.lower() for _, colour in neuron_plots._BASINS}
    light = (bundle.STATIC / "theme.js").read_text(encoding="utf-8").split("dark:")[0]
    assert {colour.lower() for colour in re.findall(r"#[0-9a-fA-F]{6}", light)} <= known
    for path in bundle.STATIC.iterdir():
        assert path.read_text(encoding="utf-8").count("\n") <= 400, path


def test_the_page_needs_no_network_and_opens_with_its_numbers() -> None:
    page = rd.explore.page(6, -3, 0.5, 0.25, steps=7, theme="dark")
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\(|fetch\(|XMLHttp", page)
    assert '{"w": 6.0, "b": -3.0, "epsilon": 0.5, "x0": 0.25, "steps": 7, "theme": "dark"}' in page
    assert page.count("</script>") == 1
    assert "{module}" not in page


def test_the_command_writes_the_page_without_jax(tmp_path: Path) -> None:
    path = tmp_path / "x.html"
    program = f"""import sys
from rnn_dynamics import cli
assert cli.main(["explore", "--w", "6", "--x0", ".25", "--out", {str(path)!r}]) == 0
print({{"jax", "numpy", "anywidget"}} & set(sys.modules))"""
    environment = os.environ | {"PYTHONPATH": str(Path(rd.__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.stdout.splitlines() == [str(path), "set()"], done.stderr
    assert path.read_text(encoding="utf-8") == rd.explore.page(6, x0=0.25)


def test_the_command_opens_a_browser(monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path) -> None:
    opened: list[str] = []
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(webbrowser, "open", lambda url: bool(opened.append(url)) or True)
    assert cli.main(["explore"]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert opened == [path.as_uri()]
    assert path.read_text(encoding="utf-8") == rd.explore.page()
    monkeypatch.setattr(webbrowser, "open", lambda url: False)
    assert cli.main(["explore"]) == 1
    assert "no browser was found" in capsys.readouterr().err


def test_the_command_says_all_that_is_wrong(capsys: Any) -> None:
    wrong = ["--w", "a", "--b", "nan", "--epsilon", "0", "--x0", "2", "--steps", "-1", "--theme", "grey"]
    assert cli.main(["explore", *wrong, "--out", "/no/such/x.txt"]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 8
    named = {line.split(": ")[1] for line in told}
    assert named == {"--w", "--b", "--epsilon", "--x0", "--steps", "--theme", "--out"}


# --- in a browser -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser(all_said=True) as found:
        yield found


@pytest.fixture
def driven(chromium: Browser, tmp_path: Path) -> Iterator[Driven]:
    with opened(chromium, tmp_path / "neuron.html", rd.explore.page(x0=0.48)) as driven:
        yield driven


def test_sliders_and_points_move_the_picture(driven: Driven) -> None:
    pictures = [driven.settled()]

    def moved(name: str, before: float) -> None:
        pictures.append(driven.settled())
        assert pictures[-1] != pictures[-2], name
        assert driven.setting(name) != before, name

    for index, name in enumerate(("w", "b", "epsilon", "x0", "steps")):
        before = driven.setting(name)
        driven.page.locator("input[type=range]").nth(index).press("ArrowLeft")
        moved(name, before)
    for panel, name, dx in (("a", "b", 30), ("b", "w", -60), ("c", "x0", 25)):
        before = driven.setting(name)
        driven.drag(panel, dx, -12)
        moved(name, before)
        before = driven.setting(name)
        driven.page.locator(f".rnn-explore-point[data-panel={panel}]").press("ArrowRight")
        moved(name, before)
    driven.page.locator("input[type=number]").nth(0).fill("-20")
    driven.page.locator("input[type=number]").nth(0).press("Enter")
    moved("w", 5.0)
    assert driven.setting("w") == -20
    driven.page.evaluate("explorer.set({ x0: 1 })")
    driven.settled()
    driven.page.locator(".rnn-explore-point[data-panel=a]").press("Shift+ArrowUp")
    driven.settled()
    assert driven.setting("x0") == 1
    assert driven.said == []


def test_the_regime_is_told_to_screen_readers_once_a_point_rests(driven: Driven) -> None:
    live = driven.page.locator("[aria-live=polite]")
    assert driven.page.locator("input[type=range]").count() == 5
    assert driven.page.get_by_label("weight w", exact=True).count() == 1
    driven.page.evaluate("explorer.set({ x0: 0.503 }, true)")
    driven.page.wait_for_function("document.querySelector('[aria-live]').textContent.includes('above')")
    assert live.inner_text().startswith("x0 is .003 above the separatrix at .5")
    point = driven.page.locator(".rnn-explore-point[data-panel=a]")
    assert point.get_attribute("aria-valuetext") == "b = -2.5, x0 = 0.503"
    assert driven.said == []


def test_it_follows_the_theme_and_fits_a_narrow_page(driven: Driven) -> None:
    root = driven.page.locator(".rnn-explore")
    assert root.get_attribute("data-theme") == "light"
    driven.page.emulate_media(color_scheme="dark")
    driven.settled()
    assert root.get_attribute("data-theme") == "dark"
    for width in (800, 420):
        driven.page.set_viewport_size({"width": width, "height": 900})
        driven.settled()
        assert driven.page.evaluate("document.documentElement.scrollWidth") <= width
    assert driven.said == []


def test_a_finger_drags_a_point_and_scrolls_elsewhere(driven: Driven) -> None:
    client = driven.page.context.new_cdp_session(driven.page)
    client.send("Emulation.setTouchEmulationEnabled", {"enabled": True})

    def stroke(x: float, y: float) -> None:
        for kind, dx in (("touchStart", 0), ("touchMove", 20), ("touchMove", 40)):
            client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x + dx, "y": y}]})
        client.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        driven.settled()

    box = driven.page.locator(".rnn-explore-point[data-panel=a]").bounding_box()
    stroke(box["x"] + 80, box["y"] + 30)
    assert driven.setting("b") == -2.5
    stroke(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert driven.setting("b") > -2.49
    assert driven.said == []


def test_the_notebooks_door_follows_the_model_both_ways(driven: Driven) -> None:
    module = base64.b64encode(bundle.module("neuron").encode()).decode()
    program = """async (module) => {
        const { default: widget } = await import(`data:text/javascript;base64,${module}`);
        const values = { w: 6, b: -3, epsilon: 1, x0: 0.4, steps: 20, theme: "dark" }, heard = {}, saved = [];
        const model = {
            get: (name) => values[name],
            set: (name, value) => { values[name] = value; },
            save_changes: () => saved.push({ ...values }),
            on: (event, answer) => { heard[event] = answer; },
            off: (event) => { delete heard[event]; },
        };
        const el = document.body.appendChild(document.createElement("div"));
        const frames = () => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
        const end = widget.render({ model, el });
        await frames();
        const slider = el.querySelectorAll("input[type=range]")[1];
        slider.value = "-2.9";
        slider.dispatchEvent(new Event("input"));
        await frames();
        values.x0 = 0.6;
        heard["change:x0"]();
        await frames();
        const shown = el.querySelectorAll("input[type=range]")[3].value;
        end();
        return { saved, shown, left: [Object.keys(heard).length, el.querySelectorAll("canvas").length] };
    }"""
    found = driven.page.evaluate(program, module)
    assert [saved["b"] for saved in found["saved"]] == [-2.9]
    assert (found["shown"], found["left"]) == ("0.6", [0, 0])
    assert driven.said == []


def test_a_frame_is_drawn_in_time(driven: Driven) -> None:
    """A tenth of the frames of a drag take less: the others may wait for programs that run beside the tests."""
    program = """async () => {
        const times = [];
        for (let i = 0; i < 60; i++) {
            explorer.set({ b: -2.5 + 0.002 * i, x0: 0.48 + 0.001 * i });
            await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
            times.push(explorer.milliseconds);
        }
        return times.sort((a, b) => a - b)[6];
    }"""
    assert driven.page.evaluate(program) < 16


def test_the_plane_is_zoomed_by_keys_buttons_and_wheel(driven: Driven) -> None:
    def wide() -> float:
        driven.settled()
        low, high = driven.page.evaluate("explorer.axes.b.x")
        return high - low

    point = driven.page.locator(".rnn-explore-point[data-panel=b]")
    widths = [wide()]
    point.press("+")
    widths.append(wide())
    driven.page.get_by_role("button", name="zoom in (Ctrl and wheel), panel b").press("Enter")
    widths.append(wide())
    box = point.bounding_box()
    driven.page.mouse.move(box["x"] + 30, box["y"] + 30)
    driven.page.mouse.wheel(0, -100)
    widths.append(wide())
    driven.page.keyboard.down("Control")
    driven.page.mouse.wheel(0, -100)
    driven.page.keyboard.up("Control")
    widths.append(wide())
    assert widths == pytest.approx([24, 12, 6, 6, 6 * np.exp(-0.4)])
    driven.drag("b", 20, 0)
    assert 5 < driven.setting("w") < 5.5
    point.press("0")
    assert wide() == 24
    assert driven.said == []
