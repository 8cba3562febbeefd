"""The attractors' explorer: a phase portrait with fixed points, cycles, basins, and the sets of a saddle."""

import functools
import math
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

from rnn_dynamics.explore import panel, phase_portrait
from rnn_dynamics.explore.panel import Control, Shown
from rnn_dynamics.explore.phase_portrait import TWO_UNITS, Found
from rnn_dynamics.explore.picture import Area

if TYPE_CHECKING:
    from ipywidgets import VBox
    from numpy import ndarray

    from rnn_dynamics.dynamics.basins import BasinLabels
    from rnn_dynamics.dynamics.manifolds import InvariantSet
    from rnn_dynamics.dynamics.planes import Plane

MOST_STEPS, LARGEST = 1000, 1e4
_STARTS, _BEHIND, _BEHIND_STEPS, _GRID, _CHUNK = 64, 8, 40, 101, 1024
_NEAR = 9.0  # pixels within which a click is on a mark
_COMPONENTS = "principal components"


def attractors(cell: Any, starts: Any = None, *, u: Any = None, steps: Any = 60) -> "VBox":
    """The phase portrait of a network: fixed points and cycles with their stability, and the orbit of a start.

    Of two units the plane is that of both, with the basins of all attractors and, of a chosen saddle, the stable
    set (solid) and the unstable set (dashed). Of more it is that of two units or of two principal components of
    orbits, which are drawn thin. The start is given by its two coordinates in the plane, or by a click; a click on
    a saddle of two units shows its sets, and another one hides them.

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
        controls.append(Control("plane", "plane", _COMPONENTS, choices=(_COMPONENTS, TWO_UNITS)))
        controls.append(Control("first", "unit across", 0, 0, size - 1))
        controls.append(Control("second", "unit up", 1, 0, size - 1))
    shower = _Shower(_Map(cell, rows, held), longest)
    hint = (
        "A click sets the start; on a saddle it shows its sets." if size == 2 else "A click sets the start."
    )
    title = "Attractors and the orbits between them."
    return panel.panel("attractors", controls, shower, title, clicked=shower.clicked, hint=hint)


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


class _Shower:
    """From the controls' values to the picture; what does not depend on them is found once."""

    def __init__(self, given: _Map, longest: int) -> None:
        self.map, self.longest = given, longest
        self.sets: dict[int, tuple[InvariantSet | None, InvariantSet | None]] = {}

    @functools.cached_property
    def found(self) -> Found:
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
        return Found(points, known, behind, (low[0], high[0], low[1], high[1]))

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
        if values["plane"] == TWO_UNITS:
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
        picture, area = phase_portrait.drawn(results, found, plane, values)
        return Shown(picture, _sentence(numbers, values, run), alt, numbers, results, (area,))

    def clicked(self, values: dict[str, Any], shown: Shown, area: Area, x: float, y: float) -> dict[str, Any]:
        """A saddle whose mark is there, or else the start."""
        import numpy as np

        if "saddle" in values:
            across, up = area.place(x, y)
            states = np.asarray(shown.numbers["saddles"], float).reshape(-1, 2)
            places = np.array([area.place(*state) for state in states]).reshape(-1, 2)
            near = np.hypot(*((places - (across, up)) * phase_portrait.SIZE).T) * panel.DPI
            if len(near) and near.min() <= _NEAR:
                number = int(near.argmin()) + 1
                return {"saddle": 0 if values["saddle"] == number else number}
        # Digits beyond a tenth of a pixel say nothing.
        digits = [3 - math.floor(math.log10(high - low)) for low, high in (area.x, area.y)]
        return {"x": round(x, digits[0]), "y": round(y, digits[1])}


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
