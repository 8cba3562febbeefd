"""The loss cliff's explorer: its numbers against the library's, what it says, its widget, page and command."""

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnn_dynamics as rd
from rnn_dynamics import cli
from rnn_dynamics.explore import bundle, loss_cliff, outcome
from rnn_dynamics.explore.settings import CliffSettings
from rnn_dynamics.numerics.status import Status
from tests.browser import Browser, browser
from tests.explorers import Driven, answers, needs_node, opened


def _rows(count: int, *, updates: int = 100, far: bool = False) -> np.ndarray:
    """Random settings in the order of ``CliffSettings``, without the theme."""
    rng = np.random.default_rng(7)
    reach = (-12, 12, -8, 8) if far else (3.5, 6.5, -3.4, -1.6)
    w, b = rng.uniform(*reach[:2], count), rng.uniform(*reach[2:], count)
    epsilon = np.where(rng.uniform(size=count) < 0.5, 1, rng.uniform(0.1, 1, count))
    x0 = np.where(rng.uniform(size=count) < 0.5, 0.5, rng.uniform(0, 1, count))
    # As many of each T: the library compiles one program.
    target, steps = rng.uniform(0.1, 0.9, count), np.resize([0, 1, 5, 20, 50, 51, 80, 100], count)
    rate, clip = 10 ** rng.uniform(-2.5, -0.5, count), 10 ** rng.uniform(-1.5, 1, count)
    return np.stack([w, b, epsilon, x0, target, steps, rate, clip, np.full(count, updates)], axis=1)


def _by_steps(rows: np.ndarray, found: Any) -> Any:
    """Call ``found(rows, T)`` for rows of equal T, and put its arrays, rows first, together again."""
    pieces = [(np.flatnonzero(rows[:, 5] == steps), int(steps)) for steps in np.unique(rows[:, 5])]
    parts = [found(rows[now], steps) for now, steps in pieces]
    order = np.argsort(np.concatenate([now for now, _ in pieces]))
    return [np.concatenate(columns)[order] for columns in zip(*parts, strict=True)]


def _options(rows: np.ndarray) -> dict[str, Any]:
    return {"model": "geometric", "epsilon": rows[:, 2], "x0": rows[:, 3], "target": rows[:, 4]}


@needs_node
def test_the_browsers_loss_and_gradient_are_the_librarys(tmp_path: Path) -> None:
    rows = np.concatenate([_rows(3000, far=True), _rows(1000)])
    given = answers(tmp_path, "explore_loss.mjs", "loss", rows)
    x, value, log_w, sign_w, log_b, sign_b, status, limit, seen, along = (
        np.frombuffer(given).reshape(-1, 10).T
    )

    def library(part: np.ndarray, steps: int) -> list[np.ndarray]:
        found = rd.cliff.loss(part[:, 0], part[:, 1], steps=steps, **_options(part))
        ends = rd.cliff.limit_loss(part[:, 0], part[:, 1], **_options(part))
        derivatives = [one for g in (found.dw, found.db) for one in (g.log(), np.sign(g.unit))]
        either = ends.odd if steps % 2 else ends.even
        return [
            np.asarray(one) for one in (found.value, *derivatives, found.status, found.value_error, either)
        ]

    theirs = _by_steps(rows, library)
    assert (status == theirs[5]).all()
    resolved = theirs[5] == Status.RESOLVED
    assert resolved.mean() > 0.99
    # Near its zero the factor x_T − target has the absolute error of x_T, in the library too.
    clear = resolved & (np.abs(x - rows[:, 4]) > 1e-4)
    assert clear.mean() > 0.98
    assert (np.abs(value - theirs[0]) <= 1e-9 * theirs[0] + 2 * theirs[6])[resolved].all()
    assert np.isclose(value, theirs[0], rtol=1e-9, atol=0)[clear].all()
    for log, sign, their_log, their_sign in ((log_w, sign_w, *theirs[1:3]), (log_b, sign_b, *theirs[3:5])):
        assert (sign == their_sign)[clear].all()
        assert np.isclose(log, their_log, rtol=1e-9, atol=1e-9)[clear].all()
    # The map and the curve are computed without bounds; near a separatrix rounding grows in both.
    assert (np.abs(seen - x) <= 1e-7)[resolved].all()
    assert (np.abs(along - value) <= 1e-7)[resolved].all()
    known = ~np.isnan(limit) & ~np.isnan(theirs[7])
    assert (np.isnan(limit) == np.isnan(theirs[7])).mean() > 0.999
    assert np.isclose(limit, theirs[7], rtol=1e-9, atol=1e-12)[known].all()


def _library_paths(rows: np.ndarray, clip: bool) -> list[np.ndarray]:
    def found(part: np.ndarray, steps: int) -> list[np.ndarray]:
        more = {"clip": part[:, 7]} if clip else {}
        path = rd.cliff.descend(
            part[:, 0],
            part[:, 1],
            updates=int(part[0, 8]),
            rate=part[:, 6],
            steps=steps,
            **_options(part),
            **more,
        )
        arrays = (path.w, path.b, path.loss.value, path.loss.log_gradient_norm, path.path_error)
        return [np.asarray(one).T for one in arrays] + [
            np.asarray(path.status),
            np.asarray(path.first_diverged),
        ]

    return _by_steps(rows, found)


@pytest.fixture(scope="module")
def descents(tmp_path_factory: pytest.TempPathFactory) -> tuple[np.ndarray, np.ndarray]:
    """Settings, and what the browser's program finds of them, plain and clipped."""
    rows = _rows(400)
    given = answers(tmp_path_factory.mktemp("descents"), "explore_loss.mjs", "descents", rows)
    return rows, np.frombuffer(given).reshape(len(rows), -1)


@needs_node
@pytest.mark.parametrize("clip", [False, True], ids=["plain", "clipped"])
def test_the_browsers_descents_are_the_librarys(clip: bool, descents: tuple[np.ndarray, np.ndarray]) -> None:
    """100 updates; left out are paths where rounding decides.

    Those that are not RESOLVED, and those that come 1e-10 off where they start 1e-12 off: the library's own
    measure, from a start one double off, can meet its path again by luck in a narrow valley.
    """
    rows, given = descents
    heads, paths = given[:, 3 * clip : 3 * clip + 3], given[:, 6:].reshape(len(rows), 2, 4, -1)[:, int(clip)]
    w, b, value, log_norm, error, status, first = _library_paths(rows, clip)
    assert (heads[:, 2] == first).all()
    moved = _library_paths(rows + 1e-12 * np.eye(9)[0], clip)
    off = np.hypot(moved[0] - w, moved[1] - b).max(axis=1)
    certain = (status == Status.RESOLVED) & (error.max(axis=1) <= 1e-12) & (off <= 1e-10)
    assert certain.mean() > 0.8
    for ours, theirs in ((paths[:, 0], w), (paths[:, 1], b)):
        assert np.isclose(ours, theirs, rtol=1e-9, atol=0)[certain].all()
    assert (np.abs(paths[:, 2] - value) <= 1e-9 * value + 1e-12)[certain].all()
    # Of tiny residuals x_T − target the gradient keeps few digits.
    clear = certain[:, None] & (value > 1e-8) & np.isfinite(log_norm)
    assert np.isclose(paths[:, 3], log_norm, rtol=1e-8, atol=1e-8)[clear].all()
    # Statuses are one where the measured error is not at its limit.
    apart = heads[:, 0] != status
    assert apart.mean() < 0.01


@needs_node
def test_a_quick_descent_is_the_same_path(tmp_path: Path) -> None:
    rows = _rows(300, updates=60)
    slow, quick = (
        np.frombuffer(answers(tmp_path, "explore_loss.mjs", what, rows)).reshape(len(rows), -1)
        for what in ("descents", "quick")
    )
    for half in (0, 1):
        certain = (slow[:, 3 * half] == Status.RESOLVED) & (slow[:, 3 * half + 1] <= 1e-12)
        ours, theirs = (one[:, 6:].reshape(len(rows), 2, 4, -1)[certain, half, :2] for one in (quick, slow))
        assert certain.mean() > 0.8
        assert np.isclose(ours, theirs, rtol=1e-8, atol=1e-10).all()


NAMED = {
    (): "The 20th step has a gradient of 1663 and is thrown to (w, b) = (153, 295); the descent ends at L = .04; "
    "clipped at .5, it crosses the wall 3 times and settles at L below 10^−12.",
    (
        ("b", -2.0),
        ("rate", 0.01),
    ): "No step of plain descent is longer than .000435: it is at L = .00671 after 80 updates;",
    (("clip", 100.0), ("b", -2.0)): "the threshold 100 is never met.",
    (("updates", 0),): "No update is taken: L = .499.",
    (("steps", 0),): "No step of plain descent is longer than 0: it settles at L = .09",
    (("w", 900.0), ("b", -450.0 + 1e-13), ("rate", 1e6), ("steps", 400)): "",
}


@needs_node
@pytest.mark.parametrize("count", [8, 40])
def test_kernel_and_browser_say_the_same_sentence(tmp_path: Path, count: int) -> None:
    named = [CliffSettings(**dict(changes)) for changes in NAMED]
    rows = np.concatenate([[list(one[:-1]) for one in named], np.round(_rows(count, updates=80), 3)])
    said = answers(tmp_path, "explore_loss.mjs", "sentences", rows).decode().split("\n")
    for expected, sentence in zip(NAMED.values(), said, strict=False):
        assert expected in sentence, sentence
    compared = 0
    for row, sentence in zip(rows, said, strict=True):
        counts = {"steps": int(row[5]), "updates": int(row[8])}
        settings = CliffSettings(*row[:5].tolist(), rate=float(row[6]), clip=float(row[7]), **counts)
        shown = loss_cliff.state(settings)
        if {shown["plain"]["status"], shown["clipped"]["status"]} == {"RESOLVED"}:
            assert shown["outcome"] == sentence, row
            compared += 1
        json.dumps(shown)
    assert compared > count / 2


def test_a_sentence_says_when_rounding_decides_or_numbers_end() -> None:
    settings = CliffSettings(updates=1)
    path = outcome.Path([5.0, 5.0], [-2.4, -2.5], [0.1, 0.1], [0.0, 900.0], -1, "UNRESOLVED")
    assert outcome.sentence(path, path, settings).endswith(
        " Rounding decides the plain and the clipped path."
    )
    ended = path._replace(status="DIVERGED", first_diverged=1)
    assert outcome.sentence(ended, ended, settings) == (
        "Plain descent leaves the floating-point numbers at update 1; "
        "clipped at .5, it leaves the floating-point numbers too."
    )


# --- the widget, the page and the command -----------------------------------------------------------------------


def test_the_widget_keeps_its_numbers_and_says_what_it_shows() -> None:
    pytest.importorskip("anywidget")
    found: Any = rd.explore.cliff()
    state = found.state()
    assert (state["wall"], state["plain"]["status"], len(state["clipped"]["w"])) == (-2.3, "RESOLVED", 81)
    assert state["loss"] == pytest.approx(float(rd.cliff.loss(4.6, -2.7, steps=50, target=0.8).value))
    assert state["plain"]["w"][-1] == pytest.approx(153.2, abs=0.1)
    assert "the 20th step" in state["outcome"].lower()
    json.dumps(state)
    found.set_state({"clip": 2, "x0": 0})  # as the browser does
    assert (found.clip, found.state()["wall"]) == (2.0, None)
    data, _ = found._repr_mimebundle_()
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    found.x0 = 0.5
    data, _ = found._repr_mimebundle_()
    picture = base64.b64decode(data["image/png"])
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 150_000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("w", np.nan),
        ("target", 1.5),
        ("rate", 0.0),
        ("clip", -1.0),
        ("updates", 501),
        ("steps", -1),
        ("theme", "x"),
    ],
)
def test_wrong_values_are_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: expected"):
        rd.explore.cliff_page(**{name: value})
    pytest.importorskip("anywidget")
    found: Any = rd.explore.cliff()
    with pytest.raises(ValueError, match=rf"^{name}: expected"):
        setattr(found, name, value)


def test_the_command_writes_the_page_without_jax(tmp_path: Path) -> None:
    path = tmp_path / "x.html"
    program = f"""import sys
from rnn_dynamics import cli
assert cli.main(["explore", "cliff", "--w", "5", "--clip", "2", "--updates", "9", "--out", {str(path)!r}]) == 0
print({{"jax", "numpy", "anywidget"}} & set(sys.modules))"""
    environment = os.environ | {"PYTHONPATH": str(Path(rd.__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.stdout.splitlines() == [str(path), "set()"], done.stderr
    page = path.read_text(encoding="utf-8")
    assert page == rd.explore.cliff_page(5, clip=2, updates=9)
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\(|fetch\(|XMLHttp", page)
    assert "<title>The loss cliff" in page


def test_the_command_says_all_that_is_wrong(capsys: Any) -> None:
    wrong = ["--rate", "0", "--clip", "x", "--updates", "900", "--target", "2", "--steps", "501"]
    assert cli.main(["explore", "cliff", *wrong]) == 2
    named = [line.split(": ")[1] for line in capsys.readouterr().err.splitlines()[:5]]
    assert sorted(named) == ["--clip", "--rate", "--steps", "--target", "--updates"]
    assert cli.main(["explore", "--rate", ".1"]) == 2
    assert "--rate: expected with explore cliff alone" in capsys.readouterr().err
    assert cli.main(["explore", "ridge"]) == 2
    assert "expected one of neuron, cliff, got 'ridge'" in capsys.readouterr().err
    assert cli.main(["explore", __file__]) == 2
    assert "a network is explored in Jupyter, rd.explore.network(rd.diagnose(run))" in capsys.readouterr().err


# --- in a browser -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser(all_said=True) as found:
        yield found


@pytest.fixture
def driven(chromium: Browser, tmp_path: Path) -> Iterator[Driven]:
    with opened(chromium, tmp_path / "cliff.html", rd.explore.cliff_page()) as driven:
        yield driven


def test_sliders_start_and_zoom_move_the_picture(driven: Driven) -> None:
    names = ("w", "b", "epsilon", "x0", "target", "steps", "rate", "clip", "updates")
    pictures = [driven.settled()]
    for index, name in enumerate(names):
        before = driven.setting(name)
        driven.page.locator("input[type=range]").nth(index).press("ArrowLeft")
        pictures.append(driven.settled())
        assert driven.setting(name) < before, name
        assert pictures[-1] != pictures[-2], name
    before = driven.setting("w")
    driven.drag("a", 40, -12)
    assert driven.setting("w") > before
    before = driven.setting("b")
    driven.page.locator(".rnn-explore-point[data-panel=a]").press("Shift+ArrowUp")
    driven.settled()
    assert driven.setting("b") == pytest.approx(before + 0.05)
    wide = driven.page.evaluate("explorer.axes.a.x")
    driven.page.get_by_role("button", name="zoom in (Ctrl and wheel), panel a").press("Enter")
    driven.settled()
    near = driven.page.evaluate("explorer.axes.a.x")
    assert near[1] - near[0] == pytest.approx((wide[1] - wide[0]) / 2)
    driven.page.locator(".rnn-explore-point[data-panel=a]").press("0")
    driven.settled()
    assert driven.page.evaluate("explorer.axes.a.x") == wide
    assert driven.said == []


def test_the_outcome_is_told_to_screen_readers(driven: Driven) -> None:
    driven.page.wait_for_function("document.querySelector('[aria-live]').textContent.includes('20th')")
    point = driven.page.locator(".rnn-explore-point[data-panel=a]")
    assert point.get_attribute("aria-valuetext") == "w = 4.6, b = -2.7"
    for width in (800, 420):
        driven.page.set_viewport_size({"width": width, "height": 900})
        driven.settled()
        assert driven.page.evaluate("document.documentElement.scrollWidth") <= width
    assert driven.said == []


def test_the_map_is_refined_when_idle(driven: Driven) -> None:
    driven.page.wait_for_function("explorer.memory.map.shown.level === 6")
    driven.page.evaluate("explorer.set({ x0: 0.45 }, true)")
    assert (
        driven.page.evaluate(
            "new Promise(done => requestAnimationFrame(() => done(explorer.memory.map.shown.level)))"
        )
        < 6
    )
    driven.page.wait_for_function("explorer.memory.map.shown.level === 6")
    driven.page.evaluate("explorer.set({ w: 4.7, rate: 0.1 }, true)")
    driven.settled()
    assert driven.page.evaluate("explorer.memory.map.shown.level") == 6


def test_long_paths_are_judged_at_rest_a_while_in_each_frame(driven: Driven) -> None:
    driven.page.evaluate("explorer.set({ steps: 500, updates: 500, rate: 0.01 }, true)")
    driven.settled()
    assert driven.page.locator(".rnn-explore-numbers").get_attribute("data-status") == "…"
    ends = "[0, 1].map(i => explorer.memory.rough.value[i].w[500])"
    rough = driven.page.evaluate(ends)
    driven.page.wait_for_function("explorer.memory.judged.value[1].w.length === 501")
    assert driven.page.evaluate(ends.replace("rough", "judged")) == pytest.approx(rough, rel=1e-9)
    driven.settled()
    assert driven.page.locator(".rnn-explore-numbers").get_attribute("data-status") == "RESOLVED"
    assert driven.said == []


def test_a_frame_is_drawn_in_time(driven: Driven) -> None:
    """A tenth of the frames of a drag take less: the others may wait for programs that run beside the tests."""
    program = """async () => {
        const times = [];
        for (let i = 0; i < 60; i++) {
            explorer.set({ b: -2.7 + 0.004 * i, x0: 0.48 + 0.001 * i }, true);
            await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
            times.push(explorer.milliseconds);
        }
        return times.sort((a, b) => a - b)[6];
    }"""
    assert driven.page.evaluate(program) < 16


def test_the_module_has_no_two_names_alike() -> None:
    for study in bundle.MODULES:
        names = re.findall(r"^(?:const|let|function|class) (\w+)", bundle.module(study), flags=re.MULTILINE)
        assert len(names) == len(set(names)), study
