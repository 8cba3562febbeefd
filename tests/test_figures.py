"""Every published figure once in quick mode, through the command that users call, and its report."""

import json
import re
import tomllib
from pathlib import Path
from typing import NamedTuple

import jax
import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot, rcParams

from rnn_dynamics import cli
from rnn_dynamics.cells import ElmanRNN
from rnn_dynamics.figures import FIGURES, report, select
from rnn_dynamics.figures.dynamics import flip_flop
from rnn_dynamics.figures.output import publish, rendered, staging
from rnn_dynamics.plots import palette
from tests import test_conventions as conventions
from tests.drawn_texts import Texts, texts_of
from tests.eager import single_operations

# The first test draws every figure, on a machine that may be busy with other tests.
pytestmark = pytest.mark.timeout(900)

SOURCE_WRONG = {
    "stability of the curve b = ln(x/(1−x)) − w x at w = 5",
    "∂x_∞/∂b on a stable branch",
    "‖Aᵏ‖₂ ≤ ρ(A)ᵏ for that A",
    "(γ ρ(W))ⁿ bounds ‖∂x_T/∂x_k‖₂, the same networks",
    "terms that vanish make the sum over lags converge",
    "clipping cures vanishing gradients",
    "ρ(W) > 1 makes the gradient explode: the trained ReLU network of nh3pred",
    "unclipped descent from (6, −3), rate .1, 500 updates",
}
# Numbers of the sources (docs/science.md names them), each to be found among the published ones.
PRINTED = (
    *("2.5e-2", "8.8e-4", "2.8e-5", "10.8", "101", "1001", "3.91", ".387", ".54", ".42", "9.3", "2.5e-10"),
    *(".145", ".855", ".5", ".144794", ".855206", "-2.655610", "-2.344390"),
    *("4.2e-8", ".504392", "5.7e4", "1.25", "-2.500632", "-2.5"),
)


class Reproduced(NamedTuple):
    """Exit status, folder and table of one quick run, and what happened meanwhile.

    Single operations asked for, faults of axes and, of every ninth picture, of its text in SVG and PDF, settings of
    matplotlib before and after, and the texts as they are drawn.
    """

    code: int
    folder: Path
    table: str
    operations: list[str]
    faults: list[str]
    settings: tuple[dict, dict]
    texts: dict[str, Texts]


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Reproduced:
    """One quick run in this process, whose other core has a worker of its own."""
    folder = tmp_path_factory.mktemp("out") / "figures"
    faults: list[str] = []
    found: list[Texts] = []

    def looked_at(figure, *, format, dpi):
        try:
            conventions.assert_no_logarithms(figure, "")
            if len(found) % 9 == 0:  # one style sets the text of all
                conventions.assert_text_is_text(figure, "")
        except AssertionError as error:
            faults.append(f"{[ax.get_title(loc='left') for ax in figure.axes]}: {error}")
        picture = rendered(figure, format=format, dpi=dpi)
        found.append(texts_of(figure, dpi=dpi))
        return picture

    with pytest.MonkeyPatch.context() as patch, single_operations() as operations:
        patch.setattr("rnn_dynamics.cli.reproducing.processes", lambda figures: 1)
        patch.setattr("rnn_dynamics.figures.output.rendered", looked_at)
        matplotlib.use("Agg")  # as the command does
        before = dict(rcParams)
        lines: list[str] = []
        patch.setattr("builtins.print", lambda *text, **_: lines.append(" ".join(map(str, text))))
        patch.setenv("COLUMNS", "140")
        patch.setattr("rnn_dynamics.figures.output.rendered", looked_at)
        code = cli.main(["reproduce", "--quick", "--out", str(folder), "--dpi", "60"])
    texts = dict(zip(FIGURES, found, strict=False))
    settings = before, dict(rcParams)
    return Reproduced(code, folder, "\n".join(lines), operations, faults, settings, texts)


@pytest.fixture(scope="module")
def rows(reproduced) -> list[dict]:
    return json.loads((reproduced.folder / "report.json").read_text(encoding="utf-8"))["rows"]


def test_every_picture_and_the_report_are_there_and_nothing_else(reproduced):
    assert reproduced.code == 0
    folder = reproduced.folder
    expected = {f"{name}.png" for name in FIGURES} | {"report.json", "report.md"}
    assert {path.name for path in folder.iterdir()} == expected
    for name in FIGURES:
        picture = pyplot.imread(folder / f"{name}.png")
        assert min(picture.shape[:2]) > 150
        assert np.std(picture[..., :3]) > 0.02
    assert not pyplot.get_fignums()


def test_pictures_keep_their_text_in_svg_and_pdf_and_no_axis_counts_in_logarithms(reproduced):
    assert not reproduced.faults


def test_no_setting_of_matplotlib_is_changed(reproduced):
    before, after = reproduced.settings
    assert after == before


def test_the_smallest_text_of_every_figure_is_seven_points_in_print(reproduced):
    assert list(reproduced.texts) == list(FIGURES)
    small = {name: (texts.width, *texts.smallest) for name, texts in reproduced.texts.items()
             if texts.in_print < palette.SMALLEST - 1e-9}  # fmt: skip
    assert not small


def test_no_text_leaves_its_figure_or_lies_over_another(reproduced):
    wrong = {name: (texts.outside, texts.colliding) for name, texts in reproduced.texts.items()}
    assert {name: found for name, found in wrong.items() if any(found)} == {}


def test_mathematics_is_typeset_in_every_figure(reproduced):
    assert {name: texts.plain for name, texts in reproduced.texts.items() if texts.plain} == {}


def test_no_figure_and_no_training_asks_for_single_operations(reproduced):
    """Each is some 30 ms of compiling the first time, in code that NumPy runs in microseconds."""
    own = [line for line in reproduced.operations if re.search(r" at (figures|training|plots)/", line)]
    assert not own, "\n".join(sorted(set(own)))


def test_no_row_differs_and_wrong_sources_are_corrected(rows):
    assert [row["quantity"] for row in rows if row["verdict"] == report.DIFFERS] == []
    corrected = {row["quantity"] for row in rows if row["verdict"] == report.CORRECTED}
    assert corrected >= SOURCE_WRONG
    assert all(row["note"] for row in rows if row["verdict"] == report.CORRECTED)
    assert len({(row["figure"], row["quantity"]) for row in rows}) == len(rows) > 90


def test_every_printed_number_is_a_row(rows):
    published = {row["published"] for row in rows}
    assert [text for text in PRINTED if text not in published] == []
    for row in rows:
        if isinstance(row["measured"], float) and row["difference"] is not None:
            assert row["difference"] == pytest.approx(row["measured"] - float(row["published"]), abs=1e-300)


def test_report_in_markdown_shows_each_picture_and_row(reproduced, rows):
    text = (reproduced.folder / "report.md").read_text(encoding="utf-8")
    for entry in FIGURES.values():
        assert f"![{entry.title}]({entry.name}.png)" in text
    table = [
        line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| quantity")
    ]
    assert len(table) == len(rows)
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 8 for line in table)


def test_summary_fits_the_terminal(reproduced, rows):
    lines = reproduced.table.splitlines()
    assert len(lines) >= len(rows) + 3
    assert max(map(len, lines)) <= 140
    assert "0 × DIFFERS" in reproduced.table


def test_the_gallery_names_every_figure_and_no_other():
    text = (Path(__file__).parents[1] / "docs" / "gallery.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE)) == sorted(FIGURES)
    scripts = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts["rnn-dynamics"] == "rnn_dynamics.cli:main"


@pytest.mark.parametrize("format", ["png", "svg", "pdf"])
def test_the_same_figure_gives_the_same_bytes(format):
    made = [FIGURES["input_over_boundary"].make(quick=True) for _ in range(2)]
    from rnn_dynamics.plots import style

    with style():
        first, second = (rendered(one.draw(), format=format, dpi=50) for one in made)
    assert first == second
    assert made[0].rows == made[1].rows


def test_selection_keeps_the_order_and_names_close_figures():
    assert [entry.name for entry in select(["three_regimes", "cliff_profile"])] == [
        "cliff_profile",
        "three_regimes",
    ]
    assert len(select(None)) == len(FIGURES)
    with pytest.raises(ValueError, match="did you mean cliff_profile"):
        select(["clif_profil"])
    with pytest.raises(ValueError, match="known are doya_bifurcation"):
        select(["zzz"])


@pytest.mark.parametrize(
    ("published", "measured", "options", "verdict"),
    [
        ("3.91", 3.9125, {}, report.AGREES),
        ("3.91", 3.92, {}, report.DIFFERS),
        ("5.7e4", 56811.8, {}, report.AGREES),
        ("-.5", -0.50025, {"within": 0.01}, report.AGREES),
        ("1", float("nan"), {}, report.DIFFERS),
        ("1", 2.0, {"correct": 2.0}, report.CORRECTED),
        ("1", 1.0, {"correct": 2.0}, report.DIFFERS),
    ],
)
def test_a_number_agrees_where_it_rounds_to_the_printed_one(published, measured, options, verdict):
    assert report.number("q", "s", published, measured, **options).verdict == verdict


def test_a_statement_counts_as_found_only_if_it_is():
    assert report.claim("q", "s", "p", "m", found=True).verdict == report.AGREES
    assert report.claim("q", "s", "p", "m", found=np.True_, wrong=True).verdict == report.CORRECTED
    assert report.claim("q", "s", "p", "m", found=False, wrong=True).verdict == report.DIFFERS


def test_report_survives_what_json_and_markdown_do_not():
    row = report.number("a|b *c* <img>", "s\nt", "1", float("inf"))
    loaded = json.loads(report.as_json([("f", [row])], {}))
    assert loaded["rows"][0]["measured"] == "inf"
    line = report.as_markdown([("f", [row])], {"f": "F"}, {}).splitlines()[-1]
    assert len(re.findall(r"(?<!\\)\|", line)) == 8
    assert "<img" not in line


def test_publishing_is_all_or_nothing(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_bytes(b"old")
    from rnn_dynamics.figures import output

    def full(path, content):
        if path.name == "b.txt":
            raise OSError(28, "No space left on device", str(path))
        return path.write_bytes(content)

    monkeypatch.setattr(output, "atomic_write", full)
    with pytest.raises(OSError, match="No space"), staging(tmp_path) as stage:
        publish(stage, tmp_path, {"a.txt": b"new", "b.txt": b"new"})
    assert (tmp_path / "a.txt").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(
    "name", ["../../etc/x", "/etc/x", "a/../../b", "", ".", "a\0b", "-rf", "CON", "x" * 300, "\u202ex"]
)
def test_hazard_35_names_of_output_files_stay_in_their_folder(tmp_path, name):
    with staging(tmp_path) as stage, pytest.raises(ValueError, match="name"):
        publish(stage, tmp_path, {name: b"x"})
    assert not list(tmp_path.iterdir())


def test_the_stored_network_holds_two_bits():
    network = flip_flop.trained()
    run = flip_flop.played(network, jax.random.key(11), batch=20, steps=50)
    bits = np.zeros_like(run.targets)
    for step in range(50):
        last = bits[:, step - 1] if step else np.zeros((20, 2))
        bits[:, step] = np.where(run.inputs[:, step] == 0, last, run.inputs[:, step])
    np.testing.assert_array_equal(bits, run.targets)
    assert run.accuracy == 1


@pytest.mark.soak
def test_training_anew_gives_a_network_that_holds_two_bits():
    with jax.numpy_dtype_promotion("standard"):  # Optax mixes dtypes
        values = flip_flop.train(1)
    network = flip_flop.FlipFlop(ElmanRNN(values["W"], values["b"], values["W_in"]), values["readout"])
    assert flip_flop.played(network, jax.random.key(11)).accuracy > 0.99
