"""Which coordinates of a state are phases: lengths, shortest differences, and one representative of each state.

A coordinate of length L is a point of a circle: x and x + L are one state. ``None`` stands for one on the line.
Lengths are a tuple, one entry for each coordinate of the state as a vector, or ``None`` where none is a phase.
"""

import math
import numbers
import reprlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Lengths = tuple[float | None, ...]

_AT_SEAM = 8  # roundings of the length below which a state beside the seam is put on it


def _flat(value: Any) -> list[Any]:
    """The entries of nested lists, tuples and arrays, one after the other."""
    if isinstance(value, np.ndarray | jax.Array):
        value = np.asarray(value).tolist()
    if isinstance(value, list | tuple):
        return [entry for part in value for entry in _flat(part)]
    return [value]


def _length(value: Any, name: str) -> float | None:
    if value is None:
        return None
    real = isinstance(value, numbers.Real) and not isinstance(value, bool | np.bool_)
    if not real:
        shown = f"{reprlib.repr(value)} ({type(value).__name__})"
        raise TypeError(f"{name}: expected a length > 0 for a phase or None for a line, got {shown}")
    number = float(value)
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"{name}: expected a finite length > 0 for a phase or None for a line, got {number}")
    return number


def checked_topology(topology: Any, size: int) -> Lengths | None:
    """One entry for each of ``size`` coordinates; ``None`` where nobody said anything.

    Raises:
        TypeError: an entry that is neither a real number nor ``None``; bools are none.
        ValueError: a length that is not finite or not > 0; another number of entries.
    """
    if topology is None:
        return None
    if isinstance(topology, list | tuple) or np.ndim(topology):
        entries = _flat(topology)
        if len(entries) != size:
            raise ValueError(
                f"topology: expected one entry for each of {size} coordinates, or one for all, got {len(entries)}"
            )
        return tuple(_length(entry, f"topology[{i}]") for i, entry in enumerate(entries))
    entries = _flat(topology)
    return (_length(entries[0], "topology"),) * size


def _rows(lengths: Lengths, values: Any, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Lengths (1 for a line) and which are phases, in a shape that goes with ``values``."""
    shape = [1] * values.ndim
    if shape:
        shape[axis] = len(lengths)
    sizes = np.array([1.0 if length is None else length for length in lengths], values.dtype)
    phase = np.array([length is not None for length in lengths])
    return sizes.reshape(shape), phase.reshape(shape)


def wrapped(difference: Any, lengths: Lengths | None, *, axis: int = -1) -> Any:
    """A difference of states as the shortest one: each phase brought into [−L/2, L/2).

    Args:
        difference: NumPy or JAX array, the coordinates along ``axis``.
        lengths: of the coordinates.
        axis: of the coordinates.
    """
    if lengths is None or not any(lengths):
        return difference
    xp: Any = np if isinstance(difference, np.ndarray) else jnp
    sizes, phase = _rows(lengths, difference, axis)
    with np.errstate(invalid="ignore"):
        turns = xp.floor(difference / sizes + np.asarray(0.5, difference.dtype))
        return xp.where(phase, difference - sizes * turns, difference)


def wrapped_number(difference: Any, length: float | None) -> Any:
    """Return ``wrapped`` for one coordinate, an array of any shape."""
    if length is None:
        return difference
    size = np.asarray(length, difference.dtype)
    return difference - size * jnp.floor(difference / size + np.asarray(0.5, difference.dtype))


def canonical(states: Any, lengths: Lengths | None, *, axis: int = -1) -> Any:
    """The representative of each state whose phases lie in [0, L)."""
    if lengths is None or not any(lengths):
        return states
    xp: Any = np if isinstance(states, np.ndarray) else jnp
    sizes, phase = _rows(lengths, states, axis)
    with np.errstate(invalid="ignore"):
        reduced = states - sizes * xp.floor(states / sizes)
        # −1e−17 becomes L itself in floats, and 1e17 something outside.
        outside = (reduced >= sizes) | (reduced < 0)
        return xp.where(phase, xp.where(outside, xp.zeros_like(reduced), reduced), states)


def apart(first: np.ndarray, second: np.ndarray, lengths: Lengths | None) -> np.ndarray:
    """The largest difference of a coordinate, the shorter way round where it is a phase."""
    return np.max(np.abs(wrapped(first - second, lengths)), axis=-1, initial=0.0)


def largest_length(lengths: Lengths | None) -> float:
    """The scale of the rounding at a seam, 0 where there is none."""
    return max((length for length in lengths or () if length is not None), default=0.0)


def embedded(points: np.ndarray, lengths: Lengths | None) -> np.ndarray:
    """States as points of a space in which no two are farther apart than on the circles: phases as two numbers."""
    if lengths is None or not any(lengths):
        return points
    columns = []
    for column, length in zip(np.moveaxis(points, -1, 0), lengths, strict=True):
        if length is None:
            columns.append(column)
        else:
            radius = np.asarray(length / (2 * np.pi), points.dtype)
            columns += [radius * np.cos(column / radius), radius * np.sin(column / radius)]
    return np.stack(columns, axis=-1)


def extents(states: np.ndarray, lengths: Lengths | None) -> np.ndarray:
    """How far states (count, n) reach along each coordinate: of a phase, the shortest arc that holds them all."""
    spread = np.ptp(states, axis=0)
    for i, length in enumerate(lengths or ()):
        if length is not None:
            ordered = np.sort(canonical(states, lengths)[:, i])
            gaps = np.append(np.diff(ordered), ordered[0] + length - ordered[-1])
            spread[i] = length - gaps.max()
    return spread


def seated(states: np.ndarray, lengths: Lengths | None) -> np.ndarray:
    """``canonical``, and what is a few roundings short of L at 0."""
    if lengths is None or not any(lengths):
        return states
    states = canonical(states, lengths)
    sizes, phase = _rows(lengths, states, -1)
    near = np.asarray(_AT_SEAM * np.finfo(states.dtype).eps, states.dtype) * sizes
    return np.where(phase & (sizes - states <= near), np.zeros_like(states), states)


def order_key(states: np.ndarray, lengths: Lengths | None) -> np.ndarray:
    """States without their last digits and with the seam at 0, for an order that rounding does not change."""
    if lengths is None or not any(lengths):
        return states
    states = canonical(states, lengths)
    scale = max(1.0, float(np.abs(states).max(initial=0.0)), largest_length(lengths))
    step = float(np.finfo(states.dtype).eps) ** 0.6 * scale
    rounded = np.round(states / step)
    sizes, phase = _rows(lengths, states, -1)
    return np.where(phase & (rounded >= np.round(sizes / step)), np.zeros_like(rounded), rounded)
