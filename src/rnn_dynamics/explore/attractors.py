"""The attractors' explorer: a phase portrait with fixed points, cycles, basins, and the sets of a saddle."""

import functools
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

from rnn_dynamics.explore import panel
from rnn_dynamics.explore.panel import Control, Shown

if TYPE_CHECKING:
    from ipywidgets import VBox
    from matplotlib.axes import Axes
    from numpy import ndarray

    from rnn_dynamics.dynamics.basins import Attractors, BasinLabels
    from rnn_dynamics.dynamics.equilibria import FixedPoints
    from rnn_dynamics.dynamics.manifolds import InvariantSet
    from rnn_dynamics.dynamics.planes import Plane

MOST_STEPS, LARGEST = 1000, 1e4
_STARTS, _BEHIND, _BEHIND_STEPS, _GRID, _CHUNK = 64, 8, 40, 101, 1024
_UNITS, _COMPONENTS = "two units", "principal components"


def attractors(cell: Any, starts: Any = None, *, u: Any = None, steps: Any = 60) -> "VBox":
    """The phase portrait of a network: fixed points and cycles with their stability, and the orbit of a start.

    Of two units the plane is that of both, with the basins of all attractors and, of a chosen saddle, the stable
    set (solid) and the unstable set (dashed). Of more it is that of two units or of two principal components of
    orbits, which are drawn thin. The start is given by its two coordinates in the plane.

    Args:
        cell: any map ``cell(x, u) -> x_next`` of two units or more.
        starts: states to look from, shape (m, n); by default 64 in [−2, 2]ⁿ, where the cell tells n.
        u: the input of every step, or ``None``.
        steps: those of the orbit, up to 1000; their slider goes on to the next power of two.

    Returns:
        An ipywidgets panel. Its traits ``x``, ``y`` (the start), ``steps``, and of two units ``saddle`` (from 1, 0
        for none) and ``basins``, of more ``plane``, ``first`` and ``second``, can be set and observed;
        ``set(**values)`` sets several at once. ``state()`` gives them with ``points`` (state, kind, period,
        multipliers), ``attractors`` (what each is, a state, period, exponent), ``saddles``, ``start``, ``end``,
        ``goes_to`` (an attractor's number, or "undecided" or "diverged"), ``shares`` of the basins, ``sets``
        (arclength of each side) and the ``sentence``. ``results()`` gives ``fixed_points``, ``attractors``,
        ``trajectory``, ``basins`` and the sets.

    Raises:
        TypeError, ValueError: no cell, one unit, starts or an input that do not fit it, steps out of range.
        ImportError: ipywidgets is not installed.
    """
    from rnn_dynamics.numerics import padding, validation

    count = validation.count("steps", steps, minimum=1, maximum=MOST_STEPS)
    longest = padding.longer(count + 1) - 1
    rows, held = _checked(cell, starts, u)
    size = rows.shape[1]
    controls = [
        Control("x", "start, across", 0.1, -LARGEST, LARGEST, typed=True),
        Control("y", "start, up", 0.1, -LARGEST, LARGEST, typed=True),
        Control("steps", "steps", count, 1, longest),
    ]
    if size == 2:
        controls.append(Control("saddle", "saddle no.", 0, 0, 99, typed=True))
        controls.append(Control("basins", "basins", True))
    else:
        controls.append(Control("plane", "plane", _COMPONENTS, choices=(_COMPONENTS, _UNITS)))
        controls.append(Control("first", "unit across", 0, 0, size - 1))
        controls.append(Control("second", "unit up", 1, 0, size - 1))
    shower = _Shower(_Map(cell, rows, held), longest)
    return panel.panel("attractors", controls, shower, "Attractors and the orbits between them")


class _Map(NamedTuple):
    """A checked cell, its starts (m, n) and its input."""

    cell: Any
    starts: "ndarray"
    u: Any


def _checked(cell: Any, starts: Any, u: Any) -> tuple["ndarray", Any]:
    """The starts and the input, as they are used.

    Raises:
        TypeError, ValueError: what does not fit; the message names it.
    """
    import numpy as np

    from rnn_dynamics.cells.arguments import checked_cell, checked_step
    from rnn_dynamics.cells.shapes import shapes_of
    from rnn_dynamics.numerics import validation

    checked_cell(cell)
    told = shapes_of(cell).state
    if told is not None and (len(told) != 1 or told[0] < 2):
        raise ValueError(f"cell: expected a state of two units or more, shape (n,), got shape {told}")
    if starts is not None:
        rows = validation.concrete_array("starts", starts, ndim=2)
        if not len(rows):
            raise ValueError("starts: expected at least one state, got none")
        state, _, _ = checked_step(cell, rows[0], u, None, "starts")
        rows = rows.astype(state.dtype)
    else:
        state, _, _ = checked_step(cell, None, u, None, "cell")
        rows = np.random.default_rng(0).uniform(-2, 2, (_STARTS, *state.shape)).astype(state.dtype)
    if state.ndim != 1 or state.size < 2:
        raise ValueError(f"starts: expected states of two units or more, got shape {rows.shape}")
    return rows, u


class _Found(NamedTuple):
    """What does not depend on a control."""

    points: "FixedPoints"
    attractors: "Attractors"
    behind: "list[ndarray]"
    box: tuple[float, float, float, float]


class _Shower:
    """From the controls' values to the picture; what does not depend on them is found once."""

    def __init__(self, given: _Map, longest: int) -> None:
        self.map, self.longest = given, longest
        self.sets: dict[int, tuple[InvariantSet | None, InvariantSet | None]] = {}

    @functools.cached_property
    def found(self) -> _Found:
        import numpy as np

        from rnn_dynamics.dynamics import equilibria, planes
        from rnn_dynamics.dynamics.basins import find_attractors
        from rnn_dynamics.plots.state_space import ARROWS

        cell, starts, u = self.map
        with warnings.catch_warnings():
            # Cycles of other periods are among the attractors, which are shown beside the points.
            warnings.simplefilter("ignore", equilibria.MissingAttractorWarning)
            points = equilibria.fixed_points(cell, starts, u=u)
        known = find_attractors(cell, np.concatenate([starts, points.points[points.stable]]), u=u)
        behind = [np.asarray(self._run(start, _BEHIND_STEPS).states)[1:] for start in starts[:_BEHIND]]
        states = [points.points, *(known.orbit(i) for i in range(len(known))), starts]
        rows = np.concatenate([part.reshape(-1, starts.shape[1]) for part in states])
        low, high = rows.min(axis=0), rows.max(axis=0)
        room = 0.08 * np.maximum(high - low, 1e-6)
        low, high = low - room, high + room
        # Arrows are drawn once the basins are hidden: compiled now, so that no control compiles anything.
        planes.flow(cell, points.inputs, np.zeros((ARROWS[0] * ARROWS[1], starts.shape[1]), starts.dtype))
        return _Found(points, known, behind, (low[0], high[0], low[1], high[1]))

    def _run(self, start: "ndarray", steps: int) -> Any:
        import jax
        import numpy as np

        from rnn_dynamics.cells.rollout import rollout
        from rnn_dynamics.numerics import padding

        inputs = None
        if self.map.u is not None:
            repeat = functools.partial(np.repeat, repeats=steps, axis=0)
            inputs = jax.tree.map(lambda leaf: repeat(np.asarray(leaf)[None]), self.map.u)
        with padding.at_least(self.longest + 1):
            return rollout(self.map.cell, start, inputs, steps=steps)

    @functools.cached_property
    def labels(self) -> "BasinLabels":
        """The basins over the box, of two units."""
        import numpy as np

        from rnn_dynamics.dynamics.basins import basins

        left, right, low, high = self.found.box
        across, up = np.linspace(left, right, _GRID), np.linspace(low, high, _GRID)
        grid = np.stack(np.meshgrid(across, up, indexing="ij"), axis=-1).astype(self.map.starts.dtype)
        return basins(self.map.cell, grid, self.found.attractors, u=self.map.u, chunk=_CHUNK)

    def saddles(self) -> list[int]:
        """Which of the points are saddles."""
        return [i for i, kind in enumerate(self.found.points.kind) if kind == "saddle"]

    def sets_of(self, number: int) -> tuple["InvariantSet | None", "InvariantSet | None"]:
        """The stable and the unstable set of a saddle, counted from 1; ``None`` where one does not grow."""
        from rnn_dynamics.dynamics import manifolds

        if number not in self.sets:
            found, left = self.found, self.found.box
            index = self.saddles()[number - 1]
            length = 1.5 * max(left[1] - left[0], left[3] - left[2])
            options = {"period": int(found.points.period[index]), "u": self.map.u, "length": length}
            state, grown = found.points.points[index], []
            for grow in (manifolds.stable_set, manifolds.unstable_set):
                try:
                    grown.append(grow(self.map.cell, state, spacing=length / 200, **options))
                except ValueError:
                    grown.append(None)
            self.sets[number] = grown[0], grown[1]
        return self.sets[number]

    def plane(self, values: dict[str, Any]) -> "Plane":
        from rnn_dynamics.dynamics import planes
        from rnn_dynamics.plots.state_space import plane_of

        size = self.map.starts.shape[1]
        if size == 2:
            return planes.of_units(2)
        if values["plane"] == _UNITS:
            return planes.of_units(size, (values["first"], values["second"]))
        return plane_of(self.found.points, self.found.behind, None)

    def __call__(self, values: dict[str, Any]) -> Shown:
        import numpy as np

        from rnn_dynamics.dynamics.basins import basins

        plane = self.plane(values)
        start = plane.at(np.array([values["x"], values["y"]])).astype(self.map.starts.dtype)
        run = self._run(start, values["steps"])
        found = self.found
        label = int(
            basins(self.map.cell, start[None], found.attractors, u=self.map.u, chunk=_CHUNK).labels[0]
        )
        with_basins = values.get("basins", False)
        number = values.get("saddle", 0)
        grown = self.sets_of(number) if 0 < number <= len(self.saddles()) else (None, None)
        results = {
            "fixed_points": found.points,
            "attractors": found.attractors,
            "trajectory": run,
            "basins": self.labels if with_basins else None,
            "stable_set": grown[0],
            "unstable_set": grown[1],
        }
        numbers = _numbers(results, self.saddles(), start, label)
        coordinates = "two units" if self.map.starts.shape[1] == 2 else "two coordinates"
        alt = f"Phase portrait in {coordinates}: fixed points, attractors and an orbit from an open circle"
        picture = _picture(results, found, plane, values)
        return Shown(picture, _sentence(numbers, values, run), alt, numbers, results)


def _numbers(results: dict[str, Any], saddles: list[int], start: "ndarray", label: int) -> dict[str, Any]:
    import numpy as np

    points, known, labels = results["fixed_points"], results["attractors"], results["basins"]
    rows = zip(points.points, points.kind, points.period, points.multipliers, strict=True)
    sets = {name: results[f"{name}_set"] for name in ("stable", "unstable")}
    return {
        "points": [
            {
                "state": state.tolist(),
                "kind": kind,
                "period": int(period),
                "multipliers": [[value.real, value.imag] for value in multipliers.tolist()],
            }
            for state, kind, period, multipliers in rows
        ],
        "attractors": [
            {
                "what": known.describe(i),
                "state": known.points[i].tolist(),
                "period": int(known.periods[i]),
                "exponent": float(known.exponents[i]),
            }
            for i in range(len(known))
        ],
        "saddles": [points.points[i].tolist() for i in saddles],
        "start": start.tolist(),
        "end": np.asarray(results["trajectory"].states)[-1].tolist(),
        "goes_to": {-1: "undecided", -2: "diverged"}.get(label, label),
        "shares": None if labels is None else [float(one) for one in labels.fractions().attractors],
        "sets": {
            name: None if one is None else [float(side.arclength[-1]) for side in one.sides]
            for name, one in sets.items()
        },
    }


def _counted(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


def _sentence(numbers: dict[str, Any], values: dict[str, Any], run: Any) -> str:
    kinds = [point["kind"] for point in numbers["points"]]
    each = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    said = f"{_counted(len(kinds), 'fixed point')} found{f' ({each})' if each else ''},"
    said += f" {_counted(len(numbers['attractors']), 'attractor')}."
    goes = numbers["goes_to"]
    start = f"From ({values['x']:.3g}, {values['y']:.3g}) the orbit"
    if isinstance(goes, int):
        where = ", ".join(f"{value:.3g}" for value in numbers["attractors"][goes]["state"][:3])
        more = ", …" if len(numbers["start"]) > 3 else ""
        what = numbers["attractors"][goes]["what"]
        said += f" {start} goes to attractor {goes}, the {what} at ({where}{more})."
    else:
        said += f" {start} {'leaves the finite numbers' if goes == 'diverged' else 'is undecided'}."
    number = values.get("saddle", 0)
    if number > len(numbers["saddles"]):
        said += f" There is no saddle no. {number}: {_counted(len(numbers['saddles']), 'saddle')} found."
    elif number:
        grown = [name for name, one in numbers["sets"].items() if one is not None]
        ends = {0: "neither set grows", 1: f"the {' '.join(grown)} set is shown"}
        said += f" Of saddle {number} {ends.get(len(grown), 'both sets are shown')}."
    return said


def _picture(results: dict[str, Any], found: _Found, plane: "Plane", values: dict[str, Any]) -> bytes:
    import numpy as np

    from rnn_dynamics import plots
    from rnn_dynamics.plots import palette

    two = found.points.multipliers.shape[1] == 2
    axes = None if two or values["plane"] != _UNITS else (values["first"], values["second"])
    behind = [] if two else found.behind
    with panel.figure(7.4, 4.8) as figure:
        ax = figure.subplots()
        figure.subplots_adjust(left=0.09, right=0.735, top=0.97, bottom=0.11)
        if results["basins"] is not None:
            plots.basins(results["basins"], ax, legend=False)
            for line in list(ax.lines):
                line.remove()  # its marks of attractors, which are drawn by their stability here
        elif two:
            ax.set_xlim(found.box[:2])
            ax.set_ylim(found.box[2:])
        _sets(ax, results)
        with_flow, first = results["basins"] is None, len(ax.lines)
        directions = 3 if results["unstable_set"] is None else 0
        options: dict[str, Any] = {"flow": with_flow, "directions": directions, "legend": False}
        plots.fixed_points(found.points, ax, axes=axes, runs=behind, **options)
        for line in ax.lines[first : first + len(behind)]:
            line.set(color=palette.LIGHT, linewidth=0.6)
        _others(ax, found.attractors, plane)
        _orbit(ax, plane.of(np.asarray(results["trajectory"].states)))
        if two:
            ax.set_xlim(found.box[:2])
            ax.set_ylim(found.box[2:])
        ax.set_xlabel(plane.names[0])
        ax.set_ylabel(plane.names[1])
        _legend(ax, results["basins"])
        return panel.png(figure)


def _sets(ax: "Axes", results: dict[str, Any]) -> None:
    from rnn_dynamics import plots

    for name in ("stable_set", "unstable_set"):
        if results[name] is not None:
            plots.invariant_set(results[name], ax)


def _others(ax: "Axes", known: "Attractors", plane: "Plane") -> None:
    """The attractors' numbers, and those that are no fixed points: cycles as squares, other sets as dots."""
    from rnn_dynamics.plots import palette

    for i in range(len(known)):
        orbit = known.orbit(i)
        x, y = plane.of(orbit.reshape(len(orbit), -1)).T
        beside: dict[str, Any] = {"textcoords": "offset points", "fontsize": 8, "zorder": 8}
        plate = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8}
        ax.annotate(f"{i}", (x[0], y[0]), (7, 6), bbox=plate, **beside)
        if known.periods[i] == 1:
            continue
        mark: dict[str, Any] = {"marker": ".", "markersize": 2.0}
        if known.periods[i]:
            mark = {"marker": "s", "markersize": 5.0, "markeredgecolor": palette.BLACK}
        label = f"{known.describe(i)}, attracting"
        ax.plot(x, y, color=palette.BLUE, linestyle="none", label=label, zorder=5, **mark)


def _orbit(ax: "Axes", states: "ndarray") -> None:
    from rnn_dynamics.plots import palette

    x, y = states.T
    ax.plot(x, y, ".-", color=palette.GREEN, linewidth=1.0, markersize=3.5, label="orbit", zorder=3.6)
    end: dict[str, Any] = {"linestyle": "none", "markeredgecolor": palette.GREEN, "zorder": 7}
    ax.plot(x[:1], y[:1], marker="o", markersize=7, markerfacecolor="white", label="its start", **end)


def _legend(ax: "Axes", labels: "BasinLabels | None") -> None:
    from matplotlib.patches import Patch

    from rnn_dynamics.plots.basins import basin_colour

    handles, names = ax.get_legend_handles_labels()
    if labels is not None:
        shares = labels.fractions()
        for i, share in enumerate(shares.attractors[:8]):
            handles.append(Patch(facecolor=basin_colour(i), edgecolor="none"))
            names.append(f"basin of {i}: {100 * share:.3g} %")
        rest = ((shares.undecided, "undecided", "#999999"), (shares.diverged, "diverged", "white"))
        for share, name, colour in rest:
            if share:
                handles.append(Patch(facecolor=colour, edgecolor="#6e6e6e", linewidth=0.5))
                names.append(f"{name}: {100 * share:.3g} %")
    ax.legend(handles, names, loc="upper left", bbox_to_anchor=(1.02, 1.0), borderaxespad=0.0)
