"""∂y_t/∂u_s of a bidirectional network on both sides of t: vectors pulled back and pushed ahead, and matrices."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from rnn_dynamics.cells.bidirectional import DIRECTIONS, BidirectionalRun
from rnn_dynamics.gradients.bidirectional.graph import INPUTS, Place, pulled, pushed
from rnn_dynamics.numerics.batching import power_of_two_above, power_of_two_below
from rnn_dynamics.numerics.scaled import Scaled
from rnn_dynamics.numerics.scaled_on_host import matrices_of, no_vectors, normal_vectors
from rnn_dynamics.numerics.validation import index, real_array

_LARGEST = 2**24  # entries of the rows that go through a direction at once
_MOST_ROWS = 64
_NAME = re.compile(r"layer (\d+)(?: (forward|backward))?")


def checked_run(run: Any) -> BidirectionalRun:
    """Refuse what is not one run of a bidirectional network, with numbers.

    Raises:
        TypeError, ValueError: it is none.
    """
    if not isinstance(run, BidirectionalRun):
        raise TypeError(f"run: expected a BidirectionalRun from Bidirectional.run, got {type(run).__name__}")
    if isinstance(run.inputs, Tracer) or isinstance(run.outputs, Tracer):
        raise TypeError("run: expected concrete numbers; this runs on the host, not under jit or grad")
    if np.ndim(run.inputs) != 2:
        raise ValueError(f"run: expected one run, got a batch with inputs of shape {run.inputs.shape}")
    return run


def place_of(run: BidirectionalRun, argument: str, name: Any) -> Place:
    """The place that a name tells of: "output", "input", "layer 0", "layer 1 backward".

    Raises:
        ValueError: no such place.
    """
    network = run.network
    if name == "output":
        return Place(network.depth - 1)
    if name == "input" and argument == "by":
        return INPUTS
    match = _NAME.fullmatch(name) if isinstance(name, str) else None
    if match is not None and int(match[1]) < network.depth:
        place = Place(int(match[1]), -1 if match[2] is None else DIRECTIONS.index(match[2]))
        if place.way < 0 or network.layers[place.layer][place.way] is not None:
            return place
    known = ["output", *(["input"] if argument == "by" else [])]
    known += [f"layer {network.depth - 1}", f"layer {network.depth - 1} forward"]
    raise ValueError(f"{argument}: expected a name as {', '.join(map(repr, known))}, got {name!r}")


def width_of(run: BidirectionalRun, place: Place) -> int:
    """Entries of the vector at a place."""
    if place == INPUTS:
        return int(run.inputs.shape[1])
    if place.way < 0:
        return int(run.network.width(place.layer))
    return int(run.network.sizes[place.layer][place.way])


def _on_device(rows: Scaled) -> Scaled:
    unit, exponent = jax.device_put((np.asarray(rows.unit), np.asarray(rows.exponent)))
    return Scaled(unit, exponent, rows.event_ndim)


def _vectors(run: BidirectionalRun, name: str, value: Any, at: Any, width: int) -> Scaled:
    """What the caller gives at one step, or at all of them, as rows (T, 1, width)."""
    shape = (run.steps, width) if at is None else (width,)
    dtype = run.inputs.dtype
    if isinstance(value, Scaled):
        if value.unit.shape != shape or value.exponent.shape != shape[:-1]:
            raise ValueError(
                f"{name}: expected vectors of shape {shape}, got Scaled of shape {value.unit.shape}"
            )
        given = normal_vectors(np.asarray(value.unit, dtype), np.asarray(value.exponent))
    else:
        array = np.asarray(real_array(name, value, shape=shape))
        given = normal_vectors(array, np.zeros(array.shape[:-1], np.int32))
        given = Scaled(given.unit.astype(dtype), given.exponent, 1)
    rows = no_vectors((run.steps, 1, width), dtype)
    steps = slice(None) if at is None else index("at", at, minimum=0, maximum=run.steps - 1)
    rows.unit[steps, 0], rows.exponent[steps, 0] = given.unit, given.exponent  # type: ignore[index]
    return rows


def output_pullback(
    run: Any, cotangent: Any, *, at: int | None = None, of: str = "output", by: str = "input"
) -> Scaled:
    """The gradient of ⟨cotangent, y_t⟩, or of Σ_t ⟨cotangent_t, y_t⟩, at every input u_s, on both sides of t.

    Args:
        run: from ``Bidirectional.run``.
        cotangent: shape (n,) with ``at``, else (T, n), as ∂E/∂y of a loss; floats or ``Scaled`` vectors.
        at: t, a step from 0 to T − 1; ``None`` for all.
        of: what the cotangent is of: "output"; "layer 0", what that layer puts out; "layer 1 forward", the state of
            a direction as it is after input t.
        by: "input", "layer 0", or "layer 0 backward", the state after input s: the total derivative, through
            everything that this one reaches.

    Returns:
        Scaled vectors, shape (T, m), index s: the work of one backward pass, whose numbers cannot leave the floats.

    Raises:
        TypeError, ValueError: no run of a bidirectional network, another shape, a step outside, an unknown name.

    Reference: A. Griewank, A. Walther, "Evaluating Derivatives", SIAM 2008, chapter 3.
    """
    run = checked_run(run)
    origin, target = place_of(run, "of", of), place_of(run, "by", by)
    rows = _vectors(run, "cotangent", cotangent, at, width_of(run, origin))
    found = pulled(run, {origin: rows}, {target}).get(target)
    found = no_vectors((run.steps, 1, width_of(run, target)), run.inputs.dtype) if found is None else found
    return _on_device(Scaled(found.unit[:, 0], found.exponent[:, 0], 1))


def output_pushforward(run: Any, tangent: Any, *, at: int | None = None, of: str = "output") -> Scaled:
    """What a small change of input u_s, or of all inputs, becomes in every output y_t, before s and after it.

    Args:
        run: from ``Bidirectional.run``.
        tangent: shape (m,) with ``at``, else (T, m); floats or ``Scaled`` vectors.
        at: s, a step from 0 to T − 1; ``None`` for all.
        of: "output", or a layer or a direction as ``output_pullback`` takes it.

    Returns:
        Scaled vectors, shape (T, n), index t.

    Raises:
        TypeError, ValueError: as ``output_pullback``.

    Reference: A. Griewank, A. Walther, "Evaluating Derivatives", SIAM 2008, chapter 3.
    """
    run = checked_run(run)
    target = place_of(run, "of", of)
    rows = _vectors(run, "tangent", tangent, at, int(run.inputs.shape[1]))
    found = pushed(run, rows, {target})[target]
    return _on_device(Scaled(found.unit[:, 0], found.exponent[:, 0], 1))


def output_jacobians(run: Any, at: int, *, of: str = "output", by: str = "input") -> Scaled:
    """∂y_t/∂u_s for one t and every s: the past s < t, s = t, and the future s > t.

    Args:
        run: from ``Bidirectional.run``.
        at: t.
        of, by: as ``output_pullback``; of="layer 1 forward" is the state of that direction after input t.

    Returns:
        Scaled matrices, shape (T, n, m), index s. The work is that of n backward passes, the memory O(T n m);
        ``output_norms`` keeps no matrices.

    Raises:
        TypeError, ValueError: no run of a bidirectional network, a step outside, an unknown name.

    Reference: M. Schuster, K. Paliwal, IEEE Trans. Signal Processing 45, 2673 (1997).
    """
    run = checked_run(run)
    origin, target = place_of(run, "of", of), place_of(run, "by", by)
    at = index("at", at, minimum=0, maximum=run.steps - 1)
    whole = np.eye(width_of(run, origin), dtype=run.inputs.dtype)
    units, exponents = [], []
    for rows in rows_through(run, whole, np.full(len(whole), at), origin, target):
        units.append(rows.unit)
        exponents.append(rows.exponent)
    rows = Scaled(np.concatenate(units, axis=1), np.concatenate(exponents, axis=1), 1)  # type: ignore[arg-type]
    return _on_device(matrices_of(rows))


def rows_through(
    run: BidirectionalRun,
    rows: np.ndarray,
    steps: np.ndarray,
    origin: Place,
    target: Place,
    report: Callable[[int], object] = lambda done: None,
) -> Iterator[Scaled]:
    """Rows of what is at one place at some steps, pulled back to another place, some rows at a time.

    Args:
        run: the run.
        rows: shape (rows, entries).
        steps: of each row the step that it is of.
        origin, target: the places.
        report: is told the number of rows done.

    Returns:
        Scaled vectors of shape (T, rows of this time, entries).
    """
    widest = max(max(sizes) for sizes in run.network.sizes)
    size = min(_MOST_ROWS, power_of_two_below(max(1, _LARGEST // (run.steps * widest))))
    size = min(size, power_of_two_above(len(rows)))
    for first in range(0, len(rows), size):
        chosen, at = rows[first : first + size], steps[first : first + size]
        owed = no_vectors((run.steps, size, rows.shape[1]), rows.dtype)
        normal = normal_vectors(chosen, np.zeros(len(chosen), np.int32))
        places = np.arange(len(chosen))
        owed.unit[at, places], owed.exponent[at, places] = normal.unit, normal.exponent  # type: ignore[index]
        found = pulled(run, {origin: owed}, {target}).get(target)
        if found is None:
            found = no_vectors((run.steps, size, width_of(run, target)), run.inputs.dtype)
        yield Scaled(found.unit[:, : len(chosen)], found.exponent[:, : len(chosen)], 1)
        report(first + len(chosen))
