"""Branches through one parameter for many values of a second, all traced by one program."""

import dataclasses
import functools
import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float, Int

from rnn_dynamics.dynamics.continuation.branches import (
    Branch,
    assembled,
    checked_range,
)
from rnn_dynamics.dynamics.continuation.detect import Signs, measured, signs_along, signs_of
from rnn_dynamics.dynamics.continuation.paths import (
    TracedBranch,
    joined,
    jumps_among,
    with_turns,
    without_jumps,
)
from rnn_dynamics.dynamics.continuation.search import Track, minimal_period
from rnn_dynamics.dynamics.continuation.tracing import at_parameter, limits_of, residual, room_for
from rnn_dynamics.dynamics.return_map import ReturnMap, return_map
from rnn_dynamics.numerics import arclength
from rnn_dynamics.numerics.arclength import Curve, CurveStart, StepLimits
from rnn_dynamics.numerics.batching import power_of_two_above
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.status import Status
from rnn_dynamics.numerics.validation import count, positive, real_array


@dataclasses.dataclass(frozen=True)
class Branches(Result):
    """Curves of fixed points or cycles x(λ) = F^p(x; λ, q), one for each q, padded to the longest.

    Attributes:
        q: the second parameter, shape (k, …).
        parameters: λ, shape (k, m), NaN behind the end of a branch.
        states: x, shape (k, m, n), or (k, m) for a single neuron.
        multipliers: shape (k, m, n).
        stable: all |μ| < 1, shape (k, m); False behind the end.
        unstable: how many have |μ| > 1, −1 behind the end.
        residual: the largest |F^p(x) − x|.
        number: how many points each branch has; 0 where Newton's method found no cycle of that period near x.
        status: how both ends came about, shape (k, 2), as in ``Branch``; UNRESOLVED where there is no branch.
        closed: shape (k,).
        period: p.
    """

    q: Float[np.ndarray, "k ..."]
    parameters: Float[np.ndarray, "k m"]
    states: Float[np.ndarray, "k m ..."]
    multipliers: Complex[np.ndarray, "k m n"]
    stable: Bool[np.ndarray, "k m"]
    unstable: Int[np.ndarray, "k m"]
    residual: Float[np.ndarray, "k m"]
    number: Int[np.ndarray, " k"]
    status: Int[np.ndarray, "k 2"]
    closed: Bool[np.ndarray, " k"]
    period: int
    tracks: tuple[Track, ...] = dataclasses.field(repr=False)
    paths: tuple[TracedBranch, ...] = dataclasses.field(repr=False)
    signs: tuple[Signs, ...] = dataclasses.field(repr=False)

    picture: ClassVar = "branches"
    _may_lack: ClassVar = ("tracks", "paths", "signs")
    _axes: ClassVar = {"k": "branch", "m": "point", "n": "multiplier"}

    def __len__(self) -> int:
        return len(self.q)

    def branch(self, i: int) -> Branch:
        """The i-th as a ``Branch``, its bifurcations located.

        Raises:
            ValueError: there is none for that q.
        """
        if not self.number[i]:
            raise ValueError(f"i: found no cycle of period {self.period} near x at q[{i}] = {self.q[i]}")
        return assembled(self.tracks[i], self.paths[i], self.signs[i])

    def __repr__(self) -> str:
        kind = "fixed points" if self.period == 1 else f"{self.period}-cycles"
        found = int((self.number > 0).sum())
        return (
            f"Branches({kind} for {len(self)} values of q, {found} found, at most {self.number.max()} points)"
        )


def _at(whole: ReturnMap, q: Array) -> ReturnMap:
    return dataclasses.replace(whole, others=(q, *whole.others[1:]))


@lean(static_argnums=6)
def _traced(
    whole: ReturnMap, q: Array, seeds: Any, limits: StepLimits, ways: Array, most: Array, room: int
) -> Curve:
    """Trace one curve for each q, seed, scale and way."""

    def one(q: Array, seed: Any, scale: Array, way: Array) -> Curve:
        system = functools.partial(residual, _at(whole, q))
        bounds = limits._replace(scale=scale, points=most)
        return arclength.trace(
            system,
            lambda _, context: context,
            CurveStart(seed[0], seed[1], seed[2], way),
            (),
            bounds,
            room,
            axis="branches",
            lengths=None if whole.lengths is None else (*whole.lengths, None),
        )

    return jax.vmap(one, axis_name="branches")(q, seeds, limits.scale, ways)


@lean
def _measured(whole: ReturnMap, q: Array, points: Array, tangents: Array) -> tuple[Array, ...]:
    return jax.vmap(lambda value, y, t: measured(_at(whole, value), y, t))(q, points, tangents)


def _padded(rows: list[np.ndarray], length: int) -> np.ndarray:
    """Rows of every branch repeated to one length; ones where there is none."""
    filled = [part if len(part) else np.ones((1, *part.shape[1:]), part.dtype) for part in rows]
    return np.stack([np.concatenate([p, np.repeat(p[-1:], length - len(p), axis=0)]) for p in filled])


def _starts(
    family: Any, x: Any, p: Any, q: np.ndarray, others: tuple, **rest: Any
) -> tuple[ReturnMap, np.ndarray]:
    """The return map at the first q, and one start for each."""
    shape = real_array("x", x).shape
    rest["others"] = (jax.device_put(np.asarray(q[0])), *others)
    if shape and shape[0] == len(q):
        try:
            whole, _ = return_map(family, (p,), x[0], **rest)
            states = [return_map(family, (p,), row, **rest)[1] for row in x]
            return whole, np.stack(states)
        except (TypeError, ValueError, IndexError):
            pass  # one state of as many units as there are values of q
    whole, state = return_map(family, (p,), x, **rest)
    return whole, np.repeat(np.asarray(state)[None], len(q), axis=0)


def _without_lower_periods(tracks: list[Track], paths: list[TracedBranch], period: int) -> list[TracedBranch]:
    """Branches of a lower period than asked for left empty."""
    kept = []
    for track, path in zip(tracks, paths, strict=True):
        lower = bool(len(path.points)) and minimal_period(track, path.points[path.start], period) != period
        empty = TracedBranch(
            path.points[:0], path.tangents[:0], (Status.UNRESOLVED, Status.UNRESOLVED), False, 0
        )
        kept.append(empty if lower else path)
    return kept


def _signs(whole: ReturnMap, q: np.ndarray, paths: list[TracedBranch]) -> list[Signs]:
    length = power_of_two_above(max(len(path.points) for path in paths), 128)
    points = _padded([path.points for path in paths], length)
    tangents = _padded([path.tangents for path in paths], length)
    found = jax.device_get(_measured(whole, q, points, tangents))
    return [
        signs_of(*(leaf[i, : len(path.points)] for leaf in found), turn=path.tangents[:, -1])
        for i, path in enumerate(paths)
    ]


def continue_branches(
    family: Any,
    x: Any,
    p: Any,
    q: Any,
    *,
    p_range: tuple[Any, Any],
    period: int = 1,
    u: Any = None,
    inputs: Any = None,
    others: tuple = (),
    longest: float = 0.02,
    max_points: int = 500,
    topology: Any = None,
) -> Branches:
    """``continue_branch`` for many values of a second parameter at once: one program traces all branches.

    Args:
        family: ``family(p, q, *others) -> cell``.
        x: one state near the fixed point for each q, leading axis k, or one for all.
        p: the parameter to start at, inside the range.
        q: values of the second parameter, leading axis k.
        p_range: (low, high).
        period, u, inputs, others, longest, topology: as ``continue_branch``.
        max_points: the most points on each side of the start.

    Returns:
        ``Branches``; where Newton's method finds no cycle of that period near x the branch is empty and its status
        UNRESOLVED. Events are located when one is asked for: ``.branch(i)``.

    Raises:
        TypeError, ValueError: arguments that do not fit, no q, period < 1, a range that excludes p, longest ≤ 0.

    References: H. B. Keller 1977; Yu. A. Kuznetsov, "Elements of Applied Bifurcation Theory", chapter 10.
    """
    low, high = checked_range(p_range, p)
    step, most = positive("longest", longest), count("max_points", max_points, minimum=2)
    parameter, values = real_array("p", p, ndim=0), np.asarray(real_array("q", q))
    if not values.ndim or not len(values):
        raise ValueError(f"q: expected at least one value along a leading axis, got shape {values.shape}")
    rest: dict[str, Any] = {"period": period, "u": u, "inputs": inputs, "topology": topology}
    whole, states = _starts(family, x, parameter, values, others, **rest)
    dtype = states.dtype
    values = values.astype(dtype)
    sizes = np.maximum(np.abs(states).max(axis=1), 1) * math.sqrt(whole.size)
    widths = np.full((len(values), 1), high - low)
    scales = np.concatenate([np.repeat(sizes[:, None], whole.size, axis=1), widths], axis=1).astype(dtype)
    seeds = [at_parameter(state, float(parameter)) for state in states]
    limits = limits_of(scales[0], (low, high), step)._replace(scale=np.repeat(scales, 2, axis=0))
    lanes = tuple(np.repeat(np.stack(part), 2, axis=0) for part in zip(*seeds, strict=True))
    ways = np.tile(np.array([1, -1], dtype), len(values))
    curves = jax.device_get(
        _traced(whole, np.repeat(values, 2, axis=0), lanes, limits, ways, np.int32(most), room_for(most, 512))
    )
    each = [Curve(*(leaf[i] for leaf in curves)) for i in range(2 * len(values))]
    paths = [joined(*pair) for pair in zip(each[::2], each[1::2], strict=True)]
    tracks = [
        Track(_at(whole, jnp.asarray(value)), scale, (low, high), step, most, dtype)
        for value, scale in zip(values, scales, strict=True)
    ]
    if whole.period > 1:
        paths = _without_lower_periods(tracks, paths, whole.period)
    paths = [with_turns(track, path) for track, path in zip(tracks, paths, strict=True)]
    paths, signs = _mended(tracks, paths, _signs(whole, values, paths))
    return _collected(whole, values, tracks, paths, signs)


def _mended(
    tracks: list[Track], paths: list[TracedBranch], signs: list[Signs]
) -> tuple[list[TracedBranch], list[Signs]]:
    """Return the paths without jumps to other branches."""
    paths, signs = list(paths), list(signs)
    for i, (track, path) in enumerate(zip(tracks, paths, strict=True)):
        jumps = jumps_among(track, path.points, path.tangents, signs[i])
        if jumps.any():
            paths[i] = with_turns(track, without_jumps(track, path, jumps))
            signs[i] = signs_along(track.whole, paths[i].points, paths[i].tangents)
    return paths, signs


def _collected(
    whole: ReturnMap, q: np.ndarray, tracks: list[Track], paths: list[TracedBranch], signs: list[Signs]
) -> Branches:
    number = np.array([len(path.points) for path in paths])
    length = int(number.max())

    def filled(rows: list[np.ndarray], blank: Any) -> np.ndarray:
        shape = (len(rows), length, *rows[0].shape[1:])
        out = np.full(shape, blank, rows[0].dtype)
        for row, part in zip(out, rows, strict=True):
            row[: len(part)] = part
        return out

    points = filled([path.points for path in paths], np.nan)
    stable = [np.asarray((np.abs(s.multipliers) < 1).all(axis=1)) for s in signs]
    return Branches(
        q,
        points[..., -1],
        points[..., :-1].reshape(len(q), length, *whole.shape),
        filled([s.multipliers for s in signs], np.nan),
        filled(stable, False),
        filled([s.unstable for s in signs], -1),
        filled([s.residual for s in signs], np.nan),
        number,
        np.array([[int(end) for end in path.status] for path in paths]),
        np.array([path.closed for path in paths]),
        whole.period,
        tuple(tracks),
        tuple(paths),
        tuple(signs),
    )
