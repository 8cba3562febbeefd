"""Rows carried through a whole bidirectional network: back from outputs and states, or ahead from the inputs.

A direction of a layer is a chain driven by the layer's inputs; between the layers rows are cut, turned and added.
All arrays here are NumPy's, time first: (T, rows, entries), aligned with the inputs.
"""

from typing import Any, NamedTuple

import numpy as np

from rnn_dynamics.cells.bidirectional import Bidirectional, BidirectionalRun
from rnn_dynamics.cells.pytree import split
from rnn_dynamics.cells.rollout import Trajectory
from rnn_dynamics.cells.stack import put_out
from rnn_dynamics.gradients.bidirectional.kernels import map_ahead, map_back, rows_ahead, rows_back
from rnn_dynamics.numerics import padding
from rnn_dynamics.numerics.scaled import Scaled
from rnn_dynamics.numerics.scaled_on_host import added_vectors, host_vectors, no_vectors, normal_vectors


class Place(NamedTuple):
    """Where rows begin or end: the inputs (layer −1), what a layer puts out (way −1), or one direction's states."""

    layer: int
    way: int = -1


INPUTS = Place(-1)


def pulled(run: BidirectionalRun, owed: dict[Place, Scaled], kept: set[Place]) -> dict[Place, Scaled]:
    """The total derivatives at some places of what is owed at others by itself.

    Args:
        run: from ``Bidirectional.run``.
        owed: at each place rows of shape (T, rows, entries).
        kept: the places that are asked for.
    """
    network: Bidirectional = run.network
    found: dict[Place, Scaled] = {}
    above: Scaled | None = None
    for layer in reversed(range(network.depth)):
        total = _sum([above, owed.get(Place(layer))])
        if Place(layer) in kept and total is not None:
            found[Place(layer)] = total
        parts = _taken_apart(run, layer, total)
        below: list[Scaled | None] = []
        for way, trajectory in enumerate(run.trajectories[layer]):
            rows = _sum([parts[way], owed.get(Place(layer, way))])
            if trajectory is None or rows is None:
                continue
            states, given = _back(trajectory, _turned(rows, way))
            if Place(layer, way) in kept:
                found[Place(layer, way)] = _turned(states, way)
            below.append(_turned(given, way))
        above = _sum(below)
        if layer and above is not None and network.between[layer - 1] is not None:
            above = _through(map_back, network.between[layer - 1], run.layer_outputs[layer - 1], above)
    if INPUTS in kept and above is not None:
        found[INPUTS] = above
    return found


def pushed(run: BidirectionalRun, given: Scaled, kept: set[Place]) -> dict[Place, Scaled]:
    """The changes at some places by changes of the inputs, of shape (T, rows, m)."""
    network: Bidirectional = run.network
    found: dict[Place, Scaled] = {}
    for layer in range(network.depth):
        if layer and network.between[layer - 1] is not None:
            given = _through(map_ahead, network.between[layer - 1], run.layer_outputs[layer - 1], given)
        both: list[Scaled | None] = []
        for way, trajectory in enumerate(run.trajectories[layer]):
            if trajectory is None:
                both.append(None)
                continue
            states = _turned(_ahead(trajectory, _turned(given, way)), way)
            if Place(layer, way) in kept:
                found[Place(layer, way)] = states
            part = _part(network, layer, way)
            both.append(normal_vectors(np.asarray(states.unit)[..., part], np.asarray(states.exponent)))
        given = _put_together(run, layer, both)
        if Place(layer) in kept:
            found[Place(layer)] = given
    return found


def _part(network: Bidirectional, layer: int, way: int) -> slice:
    return put_out(network.layers[layer][way], network.sizes[layer][way])


def _sum(terms: list[Scaled | None]) -> Scaled | None:
    there = [term for term in terms if term is not None]
    if not there:
        return None
    total = there[0]
    for term in there[1:]:
        total = added_vectors(total, term)
    return total


def _turned(rows: Scaled, way: int) -> Scaled:
    """Rows in the order of the steps of a direction, or back in that of the inputs."""
    return Scaled(rows.unit[::-1], rows.exponent[::-1], 1) if way else rows


def _factors(run: BidirectionalRun, layer: int, way: int) -> Any:
    """What a direction's h is multiplied by in what its layer puts out: a number, or one for each entry."""
    merge, (first, second) = run.network.merges[layer], run.trajectories[layer]
    if first is None or second is None or merge in ("concat", "sum"):
        return 1
    if merge == "ave":
        return np.asarray(0.5, run.inputs.dtype)
    states = np.asarray(second.states[1:])[::-1] if way == 0 else np.asarray(first.states)[1:]
    return states[:, None, _part(run.network, layer, 1 - way)]


def _taken_apart(run: BidirectionalRun, layer: int, total: Scaled | None) -> list[Scaled | None]:
    """What the states of both directions owe where what their layer puts out owes so much."""
    if total is None:
        return [None, None]
    network: Bidirectional = run.network
    found: list[Scaled | None] = []
    first = 0
    for way, width in enumerate(network.widths(layer)):
        if not width:
            found.append(None)
            continue
        rows = total.unit[..., first : first + width] * _factors(run, layer, way)
        whole = np.zeros((*rows.shape[:-1], network.sizes[layer][way]), rows.dtype)
        whole[..., _part(network, layer, way)] = rows
        found.append(normal_vectors(whole, np.asarray(total.exponent)))
        first += width if network.merges[layer] == "concat" else 0
    return found


def _put_together(run: BidirectionalRun, layer: int, both: list[Scaled | None]) -> Scaled:
    """The change of what a layer puts out by those of h of its directions."""
    if run.network.merges[layer] != "concat":
        both = [
            None
            if rows is None
            else normal_vectors(rows.unit * _factors(run, layer, way), np.asarray(rows.exponent))
            for way, rows in enumerate(both)
        ]
    elif None not in both:
        widths = run.network.widths(layer)
        both = [
            _widened(rows, way * widths[0], sum(widths)) for way, rows in enumerate(both) if rows is not None
        ]
    total = _sum(both)
    assert total is not None
    return total


def _widened(rows: Scaled, first: int, width: int) -> Scaled:
    """Rows with zeros on either side."""
    whole = np.zeros((*rows.unit.shape[:-1], width), rows.unit.dtype)
    whole[..., first : first + rows.unit.shape[-1]] = rows.unit
    return Scaled(whole, rows.exponent, 1)  # type: ignore[arg-type]


def _through(program: Any, function: Any, y: Any, rows: Scaled) -> Scaled:
    """Rows through a map between layers."""
    return host_vectors(program(*split(function), y, rows))


def _series(trajectory: Trajectory, **sides: int) -> tuple[Any, Any]:
    """States before and inputs of the steps, padded."""
    states = np.asarray(trajectory.states)[:-1]
    padded = padding.padded((states, np.asarray(trajectory.inputs)), 0, trajectory.steps, **sides)
    return padded[0], padded[1]


def _room(trajectory: Trajectory, rows: Scaled) -> int:
    """How many steps a run is padded by, so that runs of many lengths share a program."""
    size = int(np.prod(rows.unit.shape[1:])) + trajectory.states.shape[-1]
    return padding.surplus(trajectory.steps, size, padding.LARGEST_SKIPPED)


def _back(trajectory: Trajectory, owed: Scaled) -> tuple[Scaled, Scaled]:
    """``rows_back`` of a trajectory, in the order of its steps."""
    extra, steps = _room(trajectory, owed), trajectory.steps
    static, arrays = split(trajectory.cell)
    reached = np.flatnonzero((np.asarray(owed.unit) != 0).any(axis=(1, 2)))
    inside = padding.inside(steps, before=extra)
    inside[extra + (reached[-1] + 1 if reached.size else 0) :] = False
    states, inputs = _series(trajectory, before=extra)
    found = rows_back(static, arrays, states, inputs, _led(owed, extra), inside)
    first, second = (host_vectors(each) for each in found)
    return _cut(first, extra, None), _cut(second, extra, None)


def _ahead(trajectory: Trajectory, given: Scaled) -> Scaled:
    """``rows_ahead`` of a trajectory, in the order of its steps."""
    extra, steps = _room(trajectory, given), trajectory.steps
    static, arrays = split(trajectory.cell)
    changed = np.flatnonzero((np.asarray(given.unit) != 0).any(axis=(1, 2)))
    inside = padding.inside(steps, after=extra)
    inside[: changed[0] if changed.size else steps] = False
    states, inputs = _series(trajectory, after=extra)
    found = rows_ahead(static, arrays, states, inputs, _led(given, 0, extra), inside)
    return _cut(host_vectors(found), 0, steps)


def _led(rows: Scaled, before: int, after: int = 0) -> Scaled:
    """Rows with steps of zeros before and behind."""
    if not before and not after:
        return rows
    whole = no_vectors((before + len(rows.unit) + after, *rows.unit.shape[1:]), rows.unit.dtype)
    chosen = slice(before, before + len(rows.unit))
    whole.unit[chosen], whole.exponent[chosen] = rows.unit, rows.exponent  # type: ignore[index]
    return whole


def _cut(rows: Scaled, first: int, last: int | None) -> Scaled:
    return Scaled(rows.unit[first:last], rows.exponent[first:last], 1)
