"""Portraits of two-neuron networks: attractors, basins, and the stable and unstable sets of their saddles."""

import dataclasses
import functools
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D

from rnn_dynamics import plots
from rnn_dynamics.cells import ElmanRNN
from rnn_dynamics.dynamics.basins import AttractorKind, BasinLabels, basins, find_attractors
from rnn_dynamics.dynamics.equilibria import FixedPoints, fixed_points
from rnn_dynamics.dynamics.manifolds import InvariantSet, Side, stable_set, unstable_set
from rnn_dynamics.figures.registry import Reproduction
from rnn_dynamics.figures.report import ReportRow, claim, number
from rnn_dynamics.plots import palette

_TWO_BITS = ([[2.0, -0.3], [0.2, 1.8]], [0.05, -0.1])
_CROSSED = ([[0.5, 1.7], [1.6, -0.3]], [0.05, -0.08])
_CIRCLE = ([[-0.19, 2.39], [-0.69, 2.19]], [-0.4, -0.17])
_EDGE = 1.15
_LENGTH = 7.0
_STEPS, _SAMPLES, _LONGEST = 1000, 1024, 8
_OFFSETS = np.linspace(-0.04, 0.04, 33)


@dataclasses.dataclass(frozen=True)
class _Portrait:
    """A network with all that is drawn of it."""

    title: str
    cell: ElmanRNN
    points: FixedPoints
    labels: BasinLabels
    stable: tuple[InvariantSet, ...]
    unstable: tuple[InvariantSet, ...]
    spacing: float


def two_neuron_portrait(*, quick: bool = False) -> Reproduction:
    """Two bits stored in two neurons, fixed points beside a 2-cycle, a fixed point beside an invariant circle."""
    size, places, spacing = (40, 8, 0.03) if quick else (160, 16, 0.01)
    portraits = [
        _portrait("two bits: four fixed points", *_TWO_BITS, size, spacing),
        _portrait("two fixed points and a 2-cycle", *_CROSSED, size, spacing, period=2),
        _portrait("a fixed point and an invariant circle", *_CIRCLE, size, spacing, discovered=True),
    ]
    rows = tuple(row for one in portraits for row in _rows(one, places))
    return Reproduction(functools.partial(_picture, portraits), rows)


def _grid(edge: float, size: int) -> np.ndarray:
    axis = np.linspace(-edge, edge, size)
    return np.stack(np.meshgrid(axis, axis), -1)


def _portrait(
    title: str,
    weights: list,
    bias: list,
    size: int,
    spacing: float,
    *,
    period: int = 1,
    discovered: bool = False,
) -> _Portrait:
    cell = ElmanRNN(weights, bias)
    points = fixed_points(cell, _grid(1.0, 16).reshape(-1, 2), period=period, slow=False, orbits=0)
    recurrent = {"max_steps": _STEPS, "samples": _SAMPLES, "max_period": _LONGEST}
    found = find_attractors(cell, _grid(0.9, 4), **recurrent) if discovered else points
    labels = basins(cell, _grid(_EDGE, size), found, max_steps=_STEPS)
    saddles = _states(points, "saddle")
    stable = tuple(stable_set(cell, x, period=p, length=3.0, spacing=spacing) for x, p in saddles)
    unstable = tuple(unstable_set(cell, x, period=p, length=_LENGTH, spacing=spacing) for x, p in saddles)
    return _Portrait(title, cell, points, labels, stable, unstable, spacing)


def _states(points: FixedPoints, kind: str) -> list[tuple[np.ndarray, int]]:
    """Every state of the fixed points and cycles of a kind, with the period."""
    chosen = [i for i, found in enumerate(points.kind) if found == kind]
    return [(x, int(points.period[i])) for i in chosen for x in points.orbits[i, : points.period[i]]]


def _picture(portraits: list[_Portrait]) -> Figure:
    figure = Figure(figsize=(palette.FULL, 3.45))
    axes = figure.subplots(1, 3, sharey=True)
    titles = ("two bits: four fixed points", "fixed points and a 2-cycle", "an invariant circle")
    for ax, one, title in zip(axes, portraits, titles, strict=True):
        _draw(ax, one)
        ax.set_title(title)
        if ax is not axes[0]:
            ax.set_ylabel("")
    plots.panel_labels(axes)
    several = tuple(_handle(mark, markerfacecolor=palette.GREY) for mark in "osD^")
    handles: dict[str, Any] = {"attractors, each in its basin (with share)": several} | _handles()
    labels = list(handles)
    spread = {tuple: HandlerTuple(ndivide=None, pad=0.4)}
    figure.legend(
        list(handles.values()),
        labels,
        loc="outside lower center",
        ncols=3,
        handler_map=spread,
        handlelength=3.5,
    )
    return figure


def _draw(ax: Axes, one: _Portrait) -> None:
    plots.basins(one.labels, ax, legend=False)
    for curve in (*one.unstable, *one.stable):
        plots.invariant_set(curve, ax)
        for way in curve.sides:
            _arrow(ax, way, inwards=curve.kind == "stable")
    repelling = np.array([x for x, _ in _states(one.points, "repelling")])
    ax.plot(*repelling.T, zorder=5, **_mark("o", markerfacecolor=palette.WHITE))
    found, shares = one.labels.attractors, one.labels.fractions().attractors
    for i, share in enumerate(shares):
        states = found.orbit(i)
        is_circle = found.kinds[i] == AttractorKind.INVARIANT_CIRCLE
        if is_circle:
            ax.plot(*states.T, ".", color=palette.VERMILION, markersize=palette.DOT, zorder=6)
        x, y = (0.0, 0.9) if is_circle else 0.55 * states[0]
        text = f"{100 * share:.0f} %" + ("\n2-cycle" if found.periods[i] == 2 else "")
        ax.text(x, y, text, fontsize=palette.NOTE, ha="center", va="center", zorder=4)
    ax.set_aspect("equal")


def _arrow(ax: Axes, way: Side, *, inwards: bool) -> None:
    """Where a side leads: to the saddle on its stable set, away from it on the unstable one."""
    inside = np.flatnonzero((np.abs(way.states) < _EDGE - 0.05).all(axis=1))
    if len(inside) < 3:
        return
    steps = np.linalg.norm(np.diff(way.states, axis=0), axis=1)
    length = np.concatenate([[0.0], np.cumsum(steps)])
    middle = int(np.searchsorted(length, 0.5 * length[inside[-1]]))
    middle = min(max(middle, 1), len(way.states) - 2)
    here, there = way.states[middle], way.states[middle] + (way.states[middle + 1] - way.states[middle - 1])
    tail, head = (there, here) if inwards else (here, there)
    arrow = {"arrowstyle": "-|>", "color": palette.BLACK, "linewidth": 0, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", xy=head, xytext=tail, arrowprops=arrow | {"mutation_scale": palette.TEXT}, zorder=3)


def _mark(marker: str, **style: Any) -> dict[str, Any]:
    shape = {
        "marker": marker,
        "linestyle": "none",
        "markersize": palette.BIG,
        "markeredgecolor": palette.BLACK,
    }
    return shape | {"markerfacecoloralt": palette.WHITE} | style


def _handle(marker: str, **style: Any) -> Line2D:
    return Line2D([], [], **_mark(marker, **style))


def _handles() -> dict[str, Line2D]:
    line: dict[str, Any] = {"color": palette.BLACK}
    circle = Line2D([], [], color=palette.VERMILION, linewidth=palette.BOLD)
    return {
        "invariant circle, in its basin": circle,
        "saddle": _handle("o", markerfacecolor=palette.BLACK, fillstyle="left"),
        "repelling": _handle("o", markerfacecolor=palette.WHITE),
        "stable set of a saddle": Line2D([], [], linewidth=palette.LINE, **line),
        "its unstable set": Line2D([], [], linewidth=palette.THIN, linestyle=palette.SHORT, **line),
    }


def _rows(one: _Portrait, places: int) -> list[ReportRow]:
    fixed = one.points.period == 1
    signs = np.sign(np.linalg.det(np.eye(2) - one.points.jacobians[fixed])).sum()
    away = _boundary_distance(one, [side for curve in one.stable[:2] for side in curve.sides], places)
    ends, count = _ends_at_attractors(one)
    rows = [
        number(
            f"{one.title}: Σ sign det(I − J) over the {fixed.sum()} fixed points",
            "Lefschetz: a map of a disc into itself",
            "1",
            signs,
        ),
        claim(
            f"{one.title}: largest distance of the saddles' stable sets from the basin boundary, by bisection",
            "a separatrix is a stable set",
            "0",
            f"{away:.0e}",
            found=away < 5e-6,
        ),
        claim(
            f"{one.title}: unstable sets of the saddles end at attractors",
            "gradient-like outside the recurrent sets",
            "all sides",
            f"{ends} of {count}",
            found=ends == count,
        ),
    ]
    circles = np.flatnonzero(one.labels.attractors.kinds == AttractorKind.INVARIANT_CIRCLE)
    for i in circles:
        error = float(one.labels.attractors.standard_errors[i])
        rows.append(
            number(
                f"{one.title}: largest exponent on the invariant circle",
                "a quasiperiodic orbit",
                "0",
                one.labels.attractors.exponents[i],
                within=max(4 * error, 1e-3),
            )
        )
    return rows


def _beside(side: Side, places: int) -> tuple[np.ndarray, np.ndarray]:
    """Some states of a side inside the unit square, and the normals there, shape (places, 2) each.

    Where several basins meet, at a repelling end of the side, the normal would cross more than one boundary.
    """
    inside = (np.abs(side.states) < 1).all(axis=1)
    if side.limit is not None:
        inside &= np.linalg.norm(side.states - side.limit, axis=1) > 2 * _OFFSETS[-1]
    inside = np.flatnonzero(inside)[2:-2]
    chosen = inside[np.linspace(0, len(inside) - 1, places).astype(int)]
    chords = side.states[chosen + 1] - side.states[chosen - 1]
    normal = np.stack([-chords[:, 1], chords[:, 0]], 1) / np.linalg.norm(chords, axis=1)[:, None]
    return side.states[chosen], normal


def _boundary_distance(one: _Portrait, sides: list[Side], places: int) -> float:
    """The largest distance along the normal between the sides and the change of label, inside the unit square."""
    states, normals = (
        np.concatenate(part) for part in zip(*(_beside(s, places) for s in sides), strict=True)
    )
    centre, width = np.zeros(len(states)), 1.0
    for _ in range(3):
        offsets = centre[:, None] + width * _OFFSETS
        starts = states[:, None] + offsets[..., None] * normals[:, None]
        labels = basins(one.cell, starts, one.labels.attractors, max_steps=_STEPS).labels
        change = labels[:, 1:] != labels[:, :-1]
        middles = (offsets[:, 1:] + offsets[:, :-1]) / 2
        nearest = np.argmin(np.where(change, np.abs(middles), np.inf), axis=1)
        centre = np.where(change.any(axis=1), middles[np.arange(len(middles)), nearest], np.inf)
        if not np.isfinite(centre).all():
            return np.inf
        width /= len(_OFFSETS) - 1
    return float(np.abs(centre).max())


def _ends_at_attractors(one: _Portrait) -> tuple[int, int]:
    """How many sides of unstable sets end within the spacing of an attractor, and how many there are."""
    states = np.concatenate([one.labels.attractors.orbit(i) for i in range(len(one.labels.attractors))])
    ends = [side.states[-1] for curve in one.unstable for side in curve.sides]
    near = [np.linalg.norm(states - end, axis=1).min() < 2 * one.spacing for end in ends]
    return sum(near), len(ends)
