"""Seams that nobody declared: a map that is one on a circle, seen by its jumps, its copies or its running orbits.

A coordinate is taken for a phase of length L only where F(x + L e_i) = F(x) up to whole lengths at states of all
kinds, and one of three things was seen besides: F jumps by L there, against its slope on both sides; listed states
are L apart in that coordinate alone; orbits run on along it. A threshold, a kink or a symmetry has none of it.
Cells without an operation that can be periodic or jump are not looked at.
"""

import dataclasses
import functools
import warnings
from typing import Any

import jax
import numpy as np

from rnn_dynamics.cells.pytree import join, split
from rnn_dynamics.dynamics.phases.coordinates import images
from rnn_dynamics.numerics.topology import Lengths, wrapped

_PERIODIC = {
    "sin",
    "cos",
    "tan",
    "atan2",
    "rem",
    "floor",
    "ceil",
    "round",
    "sign",
    "select_n",
    "argmax",
    "argmin",
}
_PERIODIC |= {"convert_to_int", "pure_callback", "io_callback"}
_NAMED = (2 * np.pi, 1.0, 360.0)
_SAMPLES = 32
_AHEAD = 16  # steps after which an orbit is looked at
_BISECTIONS = 60
_SHARE = 0.9  # of the states at which the map has to be periodic; beside other jumps it is not
_MOST_COPIES = 6
_PART = 0.382  # of a length, by which a map that is no more than a shift may be moved as well


class SeamWarning(UserWarning):
    """A coordinate looks like a phase, and ``topology=`` was not given."""


def _primitives(jaxpr: Any) -> set[str]:
    """The names of all primitives, inside calls and loops too, but for activations with a rule of their own."""
    names: set[str] = set()
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        if name == "convert_element_type" and np.issubdtype(equation.params["new_dtype"], np.integer):
            name = "convert_to_int"
        inner = [
            part
            for value in equation.params.values()
            for part in (value if isinstance(value, tuple) else (value,))
        ]
        found = {name}
        for part in inner:
            body = getattr(part, "jaxpr", part)
            if hasattr(body, "eqns"):
                found |= _primitives(body)
        # A custom derivative's own cases are those of an activation.
        names |= found - {"select_n"} if name.startswith("custom_jvp") else found
    return names


@functools.lru_cache(maxsize=512)
def _may_be_periodic(static: Any, structure: Any, leaves: tuple[Any, ...]) -> bool:
    arrays, state, u = jax.tree_util.tree_unflatten(structure, leaves)
    closed = jax.make_jaxpr(lambda arrays, x, u: join(static, arrays)(x, u))(arrays, state, u)
    return bool(_primitives(closed.jaxpr) & _PERIODIC)


def _abstract(leaf: Any) -> Any:
    if not hasattr(leaf, "dtype"):
        return leaf
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, weak_type=getattr(leaf, "weak_type", False))


def _is_suspect(cell: Any, states: np.ndarray, u: Any, shape: tuple[int, ...]) -> bool:
    static, arrays = split(cell)
    state = jax.ShapeDtypeStruct(shape, states.dtype)
    leaves, structure = jax.tree_util.tree_flatten((arrays, state, u))
    return _may_be_periodic(static, structure, tuple(map(_abstract, leaves)))


@dataclasses.dataclass(frozen=True)
class _Map:
    """Applies the map F to rows of states."""

    cell: Any
    u: Any
    shape: tuple[int, ...]

    def __call__(self, states: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return images(self.cell, states, self.u, self.shape)


def _finite(rows: np.ndarray) -> np.ndarray:
    return rows[np.isfinite(rows).all(axis=1)]


def _jumps(step: _Map, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The jumps of F that are like a seam's on the way between two rows of states, shape (rows, n); 0 elsewhere."""
    low, high, way = first, second, second - first
    f_low, f_high = step(low), step(high)
    for _ in range(_BISECTIONS):
        middle = low + (high - low) / 2
        f_middle = step(middle)
        before = np.abs(f_middle - f_low).max(1) >= np.abs(f_high - f_middle).max(1)
        low, f_low = np.where(before[:, None], low, middle), np.where(before[:, None], f_low, f_middle)
        high, f_high = np.where(before[:, None], middle, high), np.where(before[:, None], f_middle, f_high)
    eps = float(np.finfo(first.dtype).eps)
    beside = (eps ** (1 / 3) * way).astype(first.dtype)
    jump, behind, ahead = f_high - f_low, f_low - step(low - beside), step(high + beside) - f_high
    scale = 1 + np.abs(f_low) + np.abs(f_high)
    seen = np.isfinite(jump) & (np.abs(jump) > eps ** (1 / 3) * scale)
    for slope in (behind, ahead):
        seen &= (slope * jump < 0) & (np.abs(slope) > 16 * eps * scale) & (np.abs(slope) < 0.1 * np.abs(jump))
    return np.where(seen, jump, 0)


def _is_phase(
    step: _Map, states: np.ndarray, lengths: list[float | None], i: int
) -> tuple[float, float, float]:
    """At which share of the states F(x + L e_i) = F(x) up to whole lengths, F moves along, it is no mere shift."""
    length = lengths[i]
    assert length is not None
    moved, part = states.copy(), states.copy()
    moved[:, i] += np.asarray(length, states.dtype)
    part[:, i] += np.asarray(_PART * length, states.dtype)
    here, there, between = step(states), step(moved), step(part)
    off = np.abs(wrapped(there - here, tuple(lengths))).max(axis=1)
    scale = 1 + np.abs(here).max(axis=1) + length
    holds = np.isfinite(off) & (off <= np.finfo(states.dtype).eps ** 0.5 * scale)
    along = np.abs(there[:, i] - here[:, i]) > length / 2
    # A shift along a line goes with any other; along a phase it moves the others by parts of their lengths.
    rest = wrapped(between - here, tuple(None if k == i else other for k, other in enumerate(lengths)))
    rest[:, i] -= _PART * (there - here)[:, i]
    bent = np.abs(rest).max(axis=1) > 1e-3 * length
    return float(holds.mean()), float(along.mean()), float(bent.mean())


def _kept(step: _Map, states: np.ndarray, lengths: list[float | None]) -> list[float | None]:
    """The lengths of which the map is periodic, as those of the others are taken away."""
    while True:
        candidates = [i for i, length in enumerate(lengths) if length is not None]
        wrong = [i for i in candidates if _is_phase(step, states, lengths, i)[0] < _SHARE]
        if not wrong:
            return lengths
        lengths = [None if i in wrong else length for i, length in enumerate(lengths)]


def _of_copies(listed: np.ndarray, i: int) -> list[float]:
    """The least differences of listed states that differ in one coordinate only."""
    rows = listed[:: max(1, len(listed) // 64)]
    gaps = np.abs(rows[:, None] - rows[None])
    near = np.finfo(listed.dtype).eps ** 0.4 * (1 + np.abs(rows).max(initial=0.0))
    others = np.delete(gaps, i, axis=2).max(axis=2, initial=0.0)
    found = np.unique(gaps[..., i][(others <= near) & (gaps[..., i] > 100 * near)])
    kept: list[float] = []
    for value in found.tolist():
        if not kept or value > kept[-1] + 10 * near:
            kept.append(value)
    return kept[:_MOST_COPIES]


def _tidy(length: float) -> float:
    """2π, or the number of few digits that a length is to rounding."""
    if abs(length / (2 * np.pi) - 1) < 1e-5:
        return 2 * np.pi
    short = float(f"{length:.5g}")
    return short if abs(length / short - 1) < 1e-6 else length


def _mixed(states: np.ndarray) -> np.ndarray:
    """States of all kinds: coordinates drawn from those given, with noise of their own spread."""
    random = np.random.default_rng(0)
    rows = np.stack([column[random.integers(len(column), size=_SAMPLES)] for column in states.T], axis=-1)
    noise = random.normal(size=rows.shape) * (0.5 + rows.std(axis=0))
    return (rows + noise).astype(states.dtype)


def seam_lengths(
    cell: Any, states: np.ndarray, listed: np.ndarray, u: Any, shape: tuple[int, ...]
) -> dict[int, tuple[float, str]]:
    """Coordinate → its length and how it was seen, of phases that nobody declared.

    Args:
        cell: the map.
        states: some that it was run from, shape (count, n).
        listed: fixed points, or states of cycles, shape (m, n).
        u: the input of a step, or ``None``.
        shape: of a state.
    """
    states, listed = _finite(states), _finite(listed)
    if not len(states) or not _is_suspect(cell, states, u, shape):
        return {}
    step = _Map(cell, u, shape)
    chosen = states[np.linspace(0, len(states) - 1, min(len(states), _SAMPLES)).astype(int)]
    ends = chosen
    for _ in range(_AHEAD):
        ends = step(ends)
    run = np.isfinite(ends).all(axis=1)
    pool, mixed = np.concatenate([chosen, ends[run]]), _mixed(chosen)
    order = np.random.default_rng(1).permutation(len(pool))
    jumps = np.concatenate([_jumps(step, pool, pool[order]), _jumps(step, mixed, np.roll(mixed, 1, axis=0))])
    lengths: list[float | None] = [None] * pool.shape[1]
    for i, column in enumerate(np.abs(jumps).T):
        if column.any():
            lengths[i] = _tidy(float(np.min(column[column > 0])))
    lengths = _kept(step, mixed, lengths)
    found = {i: (length, "jumps") for i, length in enumerate(lengths) if length is not None}
    ran = np.median(np.abs(ends[run] - chosen[run]), axis=0) if run.any() else np.zeros(pool.shape[1])
    for _ in range(2):  # one that shows only modulo another may stand before it
        for i in (i for i, length in enumerate(lengths) if length is None):
            seen = [(value, "copies") for value in _of_copies(listed, i)]
            seen += [(value, "runs") for value in _NAMED if ran[i] > value]
            for value, how in seen:
                tried = [_tidy(value) if k == i else other for k, other in enumerate(lengths)]
                holds, along, bent = _is_phase(step, mixed, tried, i)
                # A map of steps is the same here and there too, and hardly anywhere another between.
                if holds == 1 and bent >= 0.5 and (along >= _SHARE or how == "copies"):
                    lengths, found[i] = tried, (_tidy(value), how)
                    break
    return found


_WORDS = {
    "jumps": "the map jumps by {length:.6g} in coordinate {i}, as at the seam of a phase",
    "copies": "states are listed that differ by {length:.6g} in coordinate {i} alone, where the map is the same",
    "runs": "orbits run on in coordinate {i}, along which the map repeats itself after {length:.6g}",
}


def warn_of_seams(
    cell: Any, states: np.ndarray, listed: np.ndarray, u: Any, shape: tuple[int, ...], *, stacklevel: int = 3
) -> None:
    """A ``SeamWarning`` where a coordinate looks like a phase; arguments as for ``seam_lengths``."""
    found = seam_lengths(cell, states, listed, u, shape)
    if not found:
        return
    lengths: Lengths = tuple(found[i][0] if i in found else None for i in range(states.shape[1]))
    seen = "; ".join(_WORDS[how].format(length=length, i=i) for i, (length, how) in sorted(found.items()))
    shown = _shown(lengths)
    warnings.warn(
        f"{seen}. A state and its copy count as two: write topology={shown} to take it modulo its length, or "
        f"topology=({', '.join(['None'] * len(lengths))}{',' * (len(lengths) == 1)}) to keep it on the line",
        SeamWarning,
        stacklevel=stacklevel,
    )


def _shown(lengths: Lengths) -> str:
    if len(lengths) > 8 and len(set(lengths)) == 1:
        return repr(lengths[0])
    if len(lengths) > 8:
        return (
            "("
            + ", ".join(f"{i}: {v!r}" for i, v in enumerate(lengths) if v is not None)
            + ", None elsewhere)"
        )
    return repr(lengths)
