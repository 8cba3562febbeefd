"""The site: its examples run as printed, its links lead somewhere, and nothing is loaded from elsewhere."""

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import rnn_dynamics as rd
from rnn_dynamics.figures import FIGURES
from tests import calls, hands, house, pages
from tests.browser import browser, skip_without

HOOKS = house.ROOT / "docs" / "hooks"
TOOLS = ("mkdocs", "material", "mkdocstrings", "latex2mathml")
MISSING = [name for name in TOOLS if importlib.util.find_spec(name) is None]
#: Pages that train networks, look at a thousand of them, or compile a dozen programs that nothing else asks for.
SLOW = {"concepts/cliff", "howto/bidirectional", "howto/figure-6", "howto/remedies"}


def _hook(name: str) -> ModuleType:
    """One of the files that MkDocs calls while it builds."""
    spec = importlib.util.spec_from_file_location(f"hook_{name}", HOOKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


needs_tools = pytest.mark.skipif(bool(MISSING), reason=f"the site's tools are missing: {', '.join(MISSING)}")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.soak) if name in SLOW else name for name in pages.PAGES]
)
def test_examples_of_a_page_run_and_print_what_it_shows(name: str, tmp_path: Path) -> None:
    _run_and_compared(name, tmp_path, pages.run_here)


@pytest.mark.parametrize("name", sorted(SLOW))
def test_examples_of_a_slow_page_call_the_library_as_it_is_called(name: str) -> None:
    assert calls.fitting([example.code for example in pages.examples(pages.PAGES[name])])


@pytest.mark.soak
@pytest.mark.parametrize("name", [name for name in pages.PAGES if name not in SLOW])
def test_examples_of_a_page_need_no_other(name: str, tmp_path: Path) -> None:
    _run_and_compared(name, tmp_path, pages.run)


def _run_and_compared(name: str, tmp_path: Path, runner: Callable[[list[str], Path], list[str]]) -> None:
    page = pages.PAGES[name]
    printed = pages.outputs(page, lambda blocks: runner(blocks, tmp_path))
    for example, text in zip(pages.examples(page), printed, strict=True):
        if text is not None and example.shown is not None:
            assert pages.same(text, example.shown), (
                f"{example.code}\nprints\n{text}\nand not\n{example.shown}"
            )
    for picture in tmp_path.glob("*.png"):
        assert f"pictures/{picture.name}" in page.read_text(encoding="utf-8")
        assert (pages.PICTURES / picture.name).is_file()


def test_pages_name_figures_that_exist() -> None:
    texts = [page.read_text(encoding="utf-8") for page in pages.DOCS.rglob("*.md")]
    linked = {name for text in texts for name in re.findall(r"gallery\.md#(\w+)", text)}
    assert linked <= set(FIGURES)


def test_every_notebook_is_in_the_course_and_every_table_of_results_on_the_page() -> None:
    plan = (house.ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    course = (pages.DOCS / "course.md").read_text(encoding="utf-8")
    for path in (house.ROOT / "notebooks").glob("*.ipynb"):
        assert f"notebooks/{path.stem}.md" in plan
        assert f"notebooks/{path.stem}.md" in course
    shown = set(
        re.findall(r"<!-- results of (\w+) -->", (pages.DOCS / "speed.md").read_text(encoding="utf-8"))
    )
    assert shown == {path.stem for path in (house.ROOT / "benchmarks" / "results").glob("*.md")}


def test_each_explorer_is_shown_before_and_after_a_drag_in_small_pictures_with_words() -> None:
    text = (pages.DOCS / "explorer.md").read_text(encoding="utf-8")
    shown = re.findall(
        r"!\[([^\]]+)\]\(pictures/explore_(\w+)_(before|after)\.png\)\n\n\*(Before|After): ", text
    )
    explorers = [name for name in rd.explore.__all__ if not name.endswith("page")]
    assert len(explorers) == 5
    assert [pair[1:3] for pair in shown] == [
        (name, when) for _, name, _, _ in shown[::2] for when in ("before", "after")
    ]
    assert sorted(name for _, name, _, _ in shown[::2]) == sorted(explorers)
    for words, name, when, caption in shown:
        assert len(words) > 40
        assert caption.lower() == when
        content = (pages.PICTURES / f"explore_{name}_{when}.png").read_bytes()
        assert len(content) < 150_000
        assert 700 <= int.from_bytes(content[16:20], "big") <= 900  # of these pixels, wide


@pytest.mark.parametrize(
    ("printed", "shown", "are_same"),
    [
        ("T = 10: 1.234", "T = 10:  1.23", True),
        ("T = 10: 1.234", "T = 10: 1.33", False),
        ("T = 10: 1.234", "t = 10: 1.234", False),
        ("one 1", "one 1 2", False),
        ("x −5", "x -5", True),
        ("radius_12 0.5", "radius_13 0.5", False),
    ],
)
def test_printed_text_is_compared_by_words_and_numbers(printed: str, shown: str, are_same: bool) -> None:
    assert pages.same(printed, shown) is are_same


def test_a_docstrings_table_becomes_one_of_the_page() -> None:
    pytest.importorskip("griffe")
    text = "One.\n\n===  ====\nA    x|y\n     more\nB    z\n===  ====\n\nTwo."
    table = "| | |\n|---|---|\n| A | x\\|y more |\n| B | z |"
    assert table in _hook("docstrings").markdown(text)
    assert _hook("docstrings").markdown("no table\n====") == "no table\n===="


# --- the built site ---------------------------------------------------------------------------------------------


@needs_tools
def test_the_check_sees_links_and_what_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<h1 id="top">A</h1><a href="b.html#there">1</a><a href="b.html#gone">2</a><a href="c.html">3</a>'
        '<a href="https://elsewhere.org">may be clicked</a><img src="https://elsewhere.org/x.png">'
        '<link rel="canonical" href="https://elsewhere.org"><link rel="stylesheet" href="//elsewhere.org/a.css">'
        "<style>@import 'https://elsewhere.org/b.css'; p {background: url(data:,)}</style>",
        encoding="utf-8",
    )
    (tmp_path / "b.html").write_text('<p id="there">', encoding="utf-8")
    (tmp_path / "c.css").write_text("p {background: url('http://elsewhere.org/c.png')}", encoding="utf-8")
    found = _hook("check").faults(tmp_path)
    assert len(found) == 6, found
    for part in ("x.png", "a.css", "b.css", "c.png", "#gone", "c.html"):
        assert any(part in each for each in found), part


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The site's folder, and what was said while it was built."""
    site = tmp_path_factory.mktemp("built") / "site"
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(house.ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        capture_output=True,
        text=True,
        cwd=house.ROOT,
        env=environment,
        timeout=240,
        check=False,
    )
    return site, done


@needs_tools
def test_the_site_builds_without_a_warning_a_lost_link_or_a_request(
    built: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    site, done = built
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    assert _hook("check").faults(site) == []  # the build has looked already
    assert (site / "search" / "search_index.js").is_file()
    assert "\\(" not in (site / "concepts" / "gradients.html").read_text(encoding="utf-8")
    assert "<math" in (site / "concepts" / "gradients.html").read_text(encoding="utf-8")
    assert "arithmatex" not in (site / "notebooks" / "03_spectral_bound.html").read_text(encoding="utf-8")


@needs_tools
@skip_without()
@pytest.mark.parametrize("study", ["neuron", pytest.param("cliff", marks=pytest.mark.soak)])
def test_the_site_is_searched_and_dragged_in_a_browser_from_its_files(
    study: str, built: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    with browser() as driven:
        page = driven.open()
        page.goto((built[0] / "index.html").as_uri())
        page.locator(".md-search__input").fill("separatrix")
        page.locator(".md-search-result__link").first.wait_for()
        assert "separatrix" in page.locator(".md-search-result__list").inner_text().lower()
        page.goto((built[0] / "explorer.html").as_uri())
        shown = page.locator(f"iframe.light[src*={study}]")
        shown.scroll_into_view_if_needed()
        inner = shown.element_handle().content_frame()
        hands.Drawn(page, inner.locator(".rnn-explore")).move_all("ab")
    assert driven.faults == []


@needs_tools
@skip_without()
@pytest.mark.soak
def test_every_page_of_the_sites_plan_opens_in_a_browser(
    built: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    home = (built[0] / "index.html").as_uri()
    with browser() as driven:
        page = driven.open()
        page.goto(home)
        addresses = page.locator(".md-nav a[href]").evaluate_all("links => links.map(link => link.href)")
        plan = {address.partition("#")[0] for address in addresses} - {home}
        inside = sorted(address for address in plan if address.startswith("file:"))
        assert len(inside) > 30
        for address in inside:
            page.goto(address)
            assert page.locator("h1").first.inner_text().strip(), address
    assert driven.faults == []


@needs_tools
def test_every_public_name_stands_in_the_reference() -> None:
    from tests.test_docstrings import PUBLIC

    hook = _hook("reference")
    text = "\n".join(hook.page(room) for room in hook.ROOMS)
    shown = set(re.findall(r'^<a id="rd\.([\w.]+)"></a>$|^## rd\.([\w.]+)$', text, flags=re.MULTILINE))
    names = {first or second for first, second in shown}
    last = {name.rpartition(".")[2] for name in names}
    assert {name.rpartition(".")[2] for name in PUBLIC} <= last
