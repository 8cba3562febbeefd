"""The look of the figures: one module has it, and it can be read in grey and by colour-blind readers."""

import ast
import itertools
import re
from collections.abc import Iterator

import pytest
from matplotlib import pyplot, rcParams
from matplotlib.colors import to_rgb

from rnn_dynamics import plots
from rnn_dynamics.plots import palette
from tests.house import FILES, ROOT, tree

LOOK = "rnn_dynamics.plots.palette"
DRAWING = [name for name in FILES if re.match(r"rnn_dynamics\.(plots|figures)\b", name) and name != LOOK]
#: Properties that the look decides. Nothing, "none", is no colour, 0 no line.
PROPERTIES = {
    *(
        "color",
        "facecolor",
        "edgecolor",
        "ecolor",
        "markerfacecolor",
        "markeredgecolor",
        "colors",
        "foreground",
    ),
    *("markerfacecoloralt", "fontsize", "labelsize", "linewidth", "linewidths", "elinewidth", "markersize"),
    *("markeredgewidth", "cmap", "figsize"),
}


def _set_here(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """The properties that a call or a dictionary sets, with what they are set to."""
    if isinstance(node, ast.Call):
        yield from ((word.arg, word.value) for word in node.keywords if word.arg)
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value, value


def _is_literal(value: ast.expr, name: str) -> bool:
    if name == "figsize":  # the height is the figure's own
        return isinstance(value, ast.Tuple) and isinstance(value.elts[0], ast.Constant)
    if isinstance(value, ast.IfExp):
        return _is_literal(value.body, name) or _is_literal(value.orelse, name)
    return isinstance(value, ast.Constant) and value.value not in (0, "none", None)


@pytest.mark.parametrize("module", DRAWING)
def test_no_picture_has_a_colour_a_weight_or_a_letter_of_its_own(module):
    found = [
        f"{module}:{value.lineno}: {name}={ast.unparse(value)}"
        for node in ast.walk(tree(module))
        for name, value in _set_here(node)
        if name in PROPERTIES and _is_literal(value, name)
    ]
    found += [
        f"{module}:{node.lineno}: {node.value}"
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Constant) and re.fullmatch(r"#[0-9a-fA-F]{6}", str(node.value))
    ]
    assert not found


def _light(colour: str) -> float:
    """CIE L* of a colour: what is left of it in grey."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
    luminance = sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    return 116 * luminance ** (1 / 3) - 16 if luminance > 0.008856 else 903.3 * luminance


def test_lines_of_a_series_differ_in_grey_or_in_their_dashes():
    looks = [
        (_light(colour), palette.DASHES[i % len(palette.DASHES)]) for i, colour in enumerate(palette.SERIES)
    ]
    for (light, dashes), (other, others) in itertools.combinations(looks, 2):
        assert abs(light - other) > 4 or dashes != others


def test_letters_are_seven_points_in_print_and_lines_half_a_point():
    widths = [palette.SCALE, palette.HALF, palette.FULL]
    assert widths == pytest.approx([8 / 7, 3.4 * 8 / 7, 8.0])
    assert min(palette.TEXT, palette.NOTE) / palette.SCALE == pytest.approx(palette.SMALLEST)
    assert min(palette.THIN, palette.LINE, palette.BOLD, palette.WIDE) / palette.SCALE > 0.5


@pytest.mark.parametrize(
    ("formula", "typeset"),
    [
        ("‖∂x_T/∂x_k‖₂", r"$\|∂x_T/∂x_k\|_{2}$"),
        ("log₁₀ |∂L/∂b|", r"$\mathrm{log}_{10}\,|∂L/∂b|$"),
        ("κ(S) (γ‖SWS⁻¹‖₂)ⁿ", r"$κ(S)\,(γ\|SWS^{-1}\|_{2})^{n}$"),
        ("|det J_i|^(1/dim)", r"$|\mathrm{det}\,J_i|^{1/\mathrm{dim}}$"),
        ("s_min(z − W)", r"$s_{\mathrm{min}}(z\,-\,W)$"),
        ("(‖Mⁿ‖₁‖Mⁿ‖_∞)^½", r"$(\|M^{n}\|_{1}\|M^{n}\|_∞)^{1/2}$"),
    ],
)
def test_plain_signs_are_typeset(formula, typeset):
    assert palette.typeset(formula) == typeset
    with plots.style():
        figure = pyplot.figure()
        figure.text(0, 0, typeset)
        figure.canvas.draw()
        pyplot.close(figure)


def test_the_style_sets_the_letters_and_puts_every_setting_back():
    before = dict(rcParams)
    with plots.style():
        assert rcParams["font.size"] == rcParams["axes.titlesize"] == palette.TEXT
        assert rcParams["xtick.labelsize"] == rcParams["legend.fontsize"] == palette.NOTE
        assert rcParams["font.sans-serif"] == [palette.FONT]
    assert dict(rcParams) == before


def test_the_style_page_has_every_name_and_every_colour():
    text = (ROOT / "docs" / "style.md").read_text(encoding="utf-8")
    names = {name: value for name, value in vars(palette).items() if name.isupper() and name[0] != "_"}
    assert [name for name in names if f"`{name}`" not in text] == []
    colours = {name: value for name, value in names.items() if isinstance(value, str) and value[0] == "#"}
    assert [name for name, value in colours.items() if f"| `{name}` | `{value}` |" not in text] == []
    weights = ("THIN", "LINE", "BOLD", "WIDE", "DUST", "DOT", "MARK", "BIG", "STAR")
    assert [name for name in weights if f"| `{name}` | {names[name]:g} |" not in text] == []
