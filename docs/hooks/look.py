"""The pictures of the page about style: swatches of the colours, lines and marks, as the library has them."""

import html
import re
from collections.abc import Iterable

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from rnn_dynamics.plots import palette

#: Pixels of a point, so that weights can be told apart on a screen.
POINT = 4 / 3
COLUMNS, CELL, ROW = 3, 230, 46


def _named(kind: type, *names: str) -> dict:
    return {name: value for name, value in vars(palette).items() if name in names and isinstance(value, kind)}


def _grey(colour: str) -> str:
    """The grey that is as light, as a printer makes it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    light = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    value = 12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055
    return f"#{round(255 * value):02x}" + f"{round(255 * value):02x}" * 2


def _picture(cells: Iterable[str], count: int) -> str:
    """Cells in three columns; each begins at its own zero."""
    rows = -(-count // COLUMNS)
    placed = [
        f'<g transform="translate({12 + CELL * (i % COLUMNS)} {8 + ROW * (i // COLUMNS)})">{cell}</g>'
        for i, cell in enumerate(cells)
    ]
    size = f'viewBox="0 0 {COLUMNS * CELL} {rows * ROW + 12}" width="{COLUMNS * CELL}"'
    look = 'font-family="DejaVu Sans, sans-serif" font-size="12"'
    ground = f'<rect width="100%" height="100%" fill="{palette.WHITE}"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {look}>{ground}{"".join(placed)}</svg>\n'


def _text(text: str, x: int, y: int, colour: str = palette.BLACK) -> str:
    return f'<text x="{x}" y="{y}" fill="{colour}">{html.escape(text)}</text>'


def colours() -> str:
    """Every colour beside its grey, as an SVG."""
    found = {
        name: value
        for name, value in vars(palette).items()
        if isinstance(value, str) and re.fullmatch("#[0-9a-fA-F]{6}", value)
    }
    cells = []
    for name, value in found.items():
        swatches = "".join(
            f'<rect x="{x}" width="34" height="34" fill="{fill}" stroke="{palette.LIGHT}"/>'
            for x, fill in ((0, value), (34, _grey(value)))
        )
        cells.append(swatches + _text(name, 78, 14) + _text(value, 78, 31, palette.GREY))
    return _picture(cells, len(cells))


def lines() -> str:
    """Weights, dashes and marks, as an SVG."""
    cells = []
    weights = _named(float, "THIN", "LINE", "BOLD", "WIDE")
    dashes = _named(tuple, "DASHED", "SHORT", "DOTTED", "DASHDOT")
    marks = _named(float, "DUST", "DOT", "MARK", "BIG", "STAR")
    for name, points in weights.items():
        stroke = f'stroke="{palette.BLACK}" stroke-width="{points * POINT:.2f}"'
        cells.append(f'<path d="M0 17H70" {stroke}/>' + _text(name, 82, 21))
    for name, (_, pattern) in dashes.items():
        width = palette.LINE * POINT
        dash = " ".join(f"{part * width:.2f}" for part in pattern)
        stroke = f'stroke="{palette.BLACK}" stroke-width="{width:.2f}" stroke-dasharray="{dash}"'
        cells.append(f'<path d="M0 17H70" {stroke}/>' + _text(name, 82, 21))
    for name, points in marks.items():
        dots = "".join(
            f'<circle cx="{x}" cy="17" r="{points * POINT / 2:.2f}" fill="{palette.BLACK}"/>'
            for x in (14, 35, 56)
        )
        cells.append(dots + _text(name, 82, 21))
    return _picture(cells, len(cells))


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Both pictures among the site's files."""
    for name, picture in (("style-colours.svg", colours()), ("style-lines.svg", lines())):
        files.append(File.generated(config, name, content=picture))
    return files
