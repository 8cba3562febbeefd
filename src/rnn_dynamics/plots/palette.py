"""Colours, lines and markers with one meaning each in every figure, told apart by colour-blind readers too.

The colours are Okabe and Ito's; no meaning rests on colour alone.
"""

BLACK, GREY, LIGHT = "#000000", "#6e6e6e", "#d9d9d9"
BLUE, VERMILION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
SKY, PURPLE = "#56B4E9", "#CC79A7"
SERIES = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)

# Perceptually uniform; the diverging one only about a zero that means something (neither growth nor decay).
SEQUENTIAL = "viridis"
DIVERGING = "RdBu_r"

BRANCH = {"color": BLACK, "linestyle": "-", "linewidth": 2.2}
UNSTABLE = {"color": BLACK, "linestyle": (0, (4, 2)), "linewidth": 1.2}
CYCLE = {"color": BLUE, "linestyle": "-", "linewidth": 1.6}
WALL = {"color": ORANGE, "linestyle": (0, (6, 1.5, 1, 1.5)), "linewidth": 1.4}
FOLD = {
    "marker": "o",
    "linestyle": "none",
    "markersize": 6,
    "markerfacecolor": BLACK,
    "markeredgecolor": "white",
    "markeredgewidth": 0.6,
}
FLIP = {
    "marker": "s",
    "linestyle": "none",
    "markersize": 6,
    "markerfacecolor": "white",
    "markeredgecolor": BLACK,
    "markeredgewidth": 1.2,
}
CUSP = {
    "marker": "D",
    "linestyle": "none",
    "markersize": 6.5,
    "markerfacecolor": ORANGE,
    "markeredgecolor": BLACK,
    "markeredgewidth": 0.9,
}


def shades(count: int) -> list[tuple[float, float, float, float]]:
    """``count`` colours of the sequential map, dark to light, its palest fifth left out (lines on white)."""
    from matplotlib import colormaps

    scale = colormaps[SEQUENTIAL]
    return [scale(0.82 * i / max(count - 1, 1)) for i in range(count)]
