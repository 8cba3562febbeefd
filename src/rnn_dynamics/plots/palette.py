"""The look of every figure: colours, letters, line weights, marks, sizes, and quantities as they are typeset.

Pictures take all of these from here. The colours are Okabe and Ito's, which colour-blind readers tell apart; no
meaning rests on colour alone, so that a figure can be read in grey: lines have dashes too, points have shapes.
"""

import re

# Colours.
BLACK, GREY, LIGHT, WHITE = "#000000", "#6e6e6e", "#d9d9d9", "#ffffff"
BLUE, VERMILION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
SKY, PURPLE = "#56B4E9", "#CC79A7"
SERIES = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)
# Of areas that lines are drawn over.
PALE_BLUE, PALE_ORANGE, PALE_GREEN, VIOLET, FADED = "#9ecae1", "#fdd0a2", "#a1d99b", "#756bb1", "#999999"
# Perceptually uniform; the diverging one only about a zero that means something (neither growth nor decay).
SEQUENTIAL, FALLING = "viridis", "viridis_r"
DIVERGING, DECAYING = "RdBu_r", "Blues_r"

# Sizes. A figure is drawn at 8/7 of its width in print, a column's or a page's, in inches: letters of 8 points are
# 7 in print.
SCALE = 8 / 7
HALF, FULL = 3.4 * SCALE, 7.0 * SCALE
SMALLEST = 7.0  # of all letters in print, in points

# Letters, in points as drawn: titles and names of axes; numbers, legends and notes.
FONT = "DejaVu Sans"  # ships with matplotlib and has every sign of the field
TEXT, NOTE = 9.0, 8.0

# Line weights, in points: what is there for orientation, a line, the line that matters, what lies below another.
THIN, LINE, BOLD, WIDE = 0.8, 1.4, 2.2, 4.5
# Dashes.
DASHED, SHORT, DOTTED = (0, (4, 2)), (0, (2.5, 1.4)), (0, (1, 1.3))
DASHDOT = (0, (6, 1.5, 1, 1.5))
DASHES = ("-", DASHED, DOTTED, DASHDOT)

# Marks, their widths in points: thousands of them, some hundred, a dozen, a few, the only one.
DUST, DOT, MARK, BIG, STAR = 1.2, 3.0, 4.5, 6.5, 11.0

# Lines and marks with one meaning each.
BRANCH = {"color": BLACK, "linestyle": "-", "linewidth": BOLD}
UNSTABLE = {"color": BLACK, "linestyle": DASHED, "linewidth": LINE}
CYCLE = {"color": BLUE, "linestyle": "-", "linewidth": LINE}
WALL = {"color": ORANGE, "linestyle": DASHDOT, "linewidth": LINE}
FOLD = {
    "marker": "o",
    "linestyle": "none",
    "markersize": BIG,
    "markerfacecolor": BLACK,
    "markeredgecolor": WHITE,
    "markeredgewidth": THIN,
}
FLIP = {
    "marker": "s",
    "linestyle": "none",
    "markersize": BIG,
    "markerfacecolor": WHITE,
    "markeredgecolor": BLACK,
    "markeredgewidth": LINE,
}
CUSP = {
    "marker": "D",
    "linestyle": "none",
    "markersize": BIG,
    "markerfacecolor": ORANGE,
    "markeredgecolor": BLACK,
    "markeredgewidth": THIN,
}
ZERO = {"color": LIGHT, "linewidth": THIN, "zorder": 0}
# A legend that has to lie over a filled area.
OVER = {"frameon": True, "framealpha": 0.9, "edgecolor": "none"}

# Quantities, as they are typeset on an axis.
NORM = r"$\|\partial x_T/\partial x_k\|_2$"
BY_START, BY_BIAS = r"$\partial x_T/\partial x_0$", r"$\partial x_T/\partial b$"
LAG = "lag $n = T - k$ (steps)"
WEIGHT_AXIS, BIAS_AXIS, RADIUS_AXIS = "weight $w$", "bias $b$", r"spectral radius $\rho(W)$"
STATE_AXIS, START_AXIS = "state $x$", "start $x_0$"


def shades(count: int) -> list[tuple[float, float, float, float]]:
    """``count`` colours of the sequential map, dark to light, its palest fifth left out (lines on white)."""
    from matplotlib import colormaps

    scale = colormaps[SEQUENTIAL]
    return [scale(0.82 * i / max(count - 1, 1)) for i in range(count)]


_LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉ᵢₖₙ", "0123456789ikn", strict=True))
_RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿᵏᵗᵀ", "0123456789-+nktT", strict=True))


def typeset(formula: str) -> str:
    """A formula written in plain signs, such as "‖∂x_T/∂x_k‖₂", as matplotlib's mathematics.

    Args:
        formula: signs of one line: indices behind "_" or lowered, powers behind "^" or raised.

    Returns:
        The same between dollar signs: symbols italic, words upright.
    """
    text = re.sub(r"(?<![_A-Za-z])[A-Za-z][a-z]+", lambda word: rf"\mathrm{{{word[0]}}}", formula)
    text = re.sub(r"_([A-Za-z]{2,})", r"_{\\mathrm{\1}}", text)
    text = re.sub(r"\^\(([^()]*)\)", r"^{\1}", text)
    for signs, mark in ((_LOWERED, "_"), (_RAISED, "^")):
        text = re.sub(
            f"[{''.join(signs)}]+",
            lambda run, s=signs, m=mark: f"{m}{{{''.join(s[c] for c in run[0])}}}",
            text,
        )
    for sign, command in (("‖", r"\|"), (" ", r"\,"), ("−", "-"), ("^½", "^{1/2}")):
        text = text.replace(sign, command)
    return f"${text}$"
