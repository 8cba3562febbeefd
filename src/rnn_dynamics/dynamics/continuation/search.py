"""The events of a branch: each found between two neighbouring points, alone, and located."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rnn_dynamics.dynamics.bifurcations.locate import located
from rnn_dynamics.dynamics.bifurcations.points import SpecialPoint
from rnn_dynamics.dynamics.continuation.detect import Signs, crossed, signs_along
from rnn_dynamics.dynamics.continuation.tracing import beside, one_point
from rnn_dynamics.dynamics.return_map import ReturnMap
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.status import Status

_MOST_HALVINGS = 300  # of all steps of one branch
_NARROWEST = 1e-9  # step, in units of the branch's scale, that is halved no more


@dataclasses.dataclass(frozen=True)
class Track:
    """What a branch needs to be continued: its map, its units and its range.

    Attributes:
        whole: x ↦ F^p(x; λ).
        scale: the length that counts as one, for each state and the parameter.
        p_range: the ends of the parameter.
        longest: the longest step, in those units.
        most: the greatest number of points on each side of the start.
        dtype: of states and parameter.
    """

    whole: ReturnMap
    scale: Float[np.ndarray, " n+1"]
    p_range: tuple[float, float]
    longest: float
    most: int
    dtype: Any


@dataclasses.dataclass
class _Search:
    """A search in progress: the halvings it may still make."""

    track: Track
    halvings: int = _MOST_HALVINGS


@dataclasses.dataclass(frozen=True)
class _Step:
    """Two neighbouring points, their tangents, and their signs."""

    points: Float[np.ndarray, "2 n+1"]
    tangents: Float[np.ndarray, "2 n+1"]
    signs: Signs
    index: int

    def width(self, scale: np.ndarray) -> float:
        return float(np.linalg.norm((self.points[1] - self.points[0]) / scale))


def events_along(
    track: Track, points: np.ndarray, tangents: np.ndarray, signs: Signs, *, first: int = 0
) -> tuple[SpecialPoint, ...]:
    """The events between the points, from the one numbered ``first``, in their order."""
    search = _Search(track)
    events: list[SpecialPoint] = []
    changed = (signs.flags[1:] != signs.flags[:-1]).any(axis=1) | (np.diff(signs.unstable) != 0)
    for i in first + np.flatnonzero(changed[first:]):
        i = int(i)
        kinds, alone = crossed(signs, i)
        if kinds or not alone:
            step = _Step(points[i : i + 2], tangents[i : i + 2], Signs(*(f[i : i + 2] for f in signs)), i)
            events += _within(search, step)
    return tuple(_without_echoes(track, events))


def _within(search: _Search, step: _Step) -> list[SpecialPoint]:
    """The events of one step, halved until each stands alone."""
    kinds, alone = crossed(step.signs, 0)
    if not kinds and alone:
        return []
    if set(kinds) == {"fold", "branch"}:
        # The branch born at a pitchfork turns at it: one event, not two.
        kinds, alone = ["branch"], True
    narrow = step.width(search.track.scale) < _NARROWEST or search.halvings <= 0
    if narrow and differ(*step.signs.multipliers):
        return [_bracketed(search.track, "jump", step)]
    if alone or narrow:
        found = [_event(search.track, kind, step) for kind in kinds]
        near_miss = all(event and event.status == Status.UNRESOLVED for event in found)
        sound = [event if event and event.status == Status.CONVERGED else None for event in found]
        if narrow or near_miss or all(sound):
            return [
                event or _bracketed(search.track, kind, step)
                for event, kind in zip(sound, kinds, strict=True)
            ]
    search.halvings -= 1
    track = search.track
    middle, along, converged = _midpoint(track, step)
    if not converged:
        return [_bracketed(track, kind, step) for kind in kinds]
    points = np.stack([step.points[0], middle, step.points[1]])
    tangents = np.stack([step.tangents[0], along, step.tangents[1]])
    signs = signs_along(track.whole, points, tangents)
    return [
        event
        for i in (0, 1)
        for event in _within(
            search,
            _Step(points[i : i + 2], tangents[i : i + 2], Signs(*(f[i : i + 2] for f in signs)), step.index),
        )
    ]


def _midpoint(track: Track, step: _Step) -> tuple[np.ndarray, np.ndarray, bool]:
    """A point of the branch halfway along a step, its tangent, and whether Newton's method found it."""
    start, tangent = step.points[0], step.tangents[0]
    gap = np.sum((step.points[1] - start) / track.scale * (tangent / track.scale))
    return one_point(track.whole, beside(start, tangent, gap / 2, track.scale), track.scale, track.most)


def differ(multipliers: np.ndarray, others: np.ndarray) -> bool:
    """Whether two points' multipliers differ, which at the ends of a narrow step lie then on different branches."""
    one, other = np.sort_complex(multipliers), np.sort_complex(others)
    return bool(np.abs(one - other).max() > 1e-2 * (1 + np.abs(one).max()))


def _event(track: Track, kind: str, step: _Step) -> SpecialPoint | None:
    """The event that Newton's method finds on this step, UNRESOLVED where branches only come near, else None."""
    middle = step.points.mean(axis=0)
    found = located(kind, track.whole, jnp.asarray(middle[:-1]), jnp.asarray(middle[-1]), index=step.index)
    if found is None or found.status == Status.MAX_STEPS:
        return None
    place = np.append(np.ravel(found.state), found.parameter)
    near = np.linalg.norm((place - middle) / track.scale) <= step.width(track.scale) + _NARROWEST
    if not near or found.status != Status.CONVERGED:
        return found if near else None
    return _of_lower_period(track, found)


def _bracketed(track: Track, kind: str, step: _Step) -> SpecialPoint:
    """What is known of an event that was not located: it lies on this step."""
    middle = step.points.mean(axis=0)
    x = middle[:-1].reshape(track.whole.shape)
    width = float(abs(step.points[1, -1] - step.points[0, -1]))
    residual = track.whole.excess(middle[:-1], np.asarray(_image(track.whole, middle[:-1], middle[-1])))
    name = {"branch": "pitchfork"}.get(kind, kind)
    return SpecialPoint(
        name,
        float(middle[-1]),
        x if x.ndim else float(x),
        width,
        float(np.abs(residual).max()),
        Status.UNRESOLVED,
        step.signs.multipliers[0],
        index=step.index,
    )


@lean
def _image(whole: ReturnMap, x: Array, parameter: Array) -> Array:
    return whole(x, parameter)


def _half(track: Track) -> ReturnMap | None:
    """The map F^{p/2}, where p is even."""
    whole = track.whole
    if whole.period % 2:
        return None
    half = whole.steps // 2
    inputs = jax.tree_util.tree_map(lambda leaf: leaf[:half], whole.inputs)
    return dataclasses.replace(whole, steps=half, inputs=inputs)


def lower_period(track: Track, event: SpecialPoint) -> bool:
    """Whether the state at the event has half the period of the branch."""
    half = _half(track)
    if half is None:
        return False
    x = np.ravel(event.state).astype(track.dtype)
    image = np.asarray(_image(half, x, np.asarray(event.parameter, track.dtype)))
    distance = np.abs(half.excess(x, image)).max()
    return bool(distance <= float(np.finfo(track.dtype).eps) ** 0.5 * (1 + np.abs(x).max()))


def minimal_period(track: Track, y: Array, period: int) -> int:
    """The least divisor of ``period`` steps of the cell after which the state of y = (x, λ) returns."""
    whole = track.whole
    if period == 1:
        return 1
    x = np.asarray(y)[:-1]
    near = float(np.finfo(track.dtype).eps) ** 0.5 * (1 + np.abs(x).max())
    states = np.asarray(_orbit(whole, x, np.asarray(y)[-1]))
    for d in range(1, period):
        if period % d == 0 and np.abs(whole.excess(x, states[d * (whole.steps // period)])).max() <= near:
            return d
    return period


@lean
def _orbit(whole: ReturnMap, x: Array, parameter: Array) -> Array:
    return whole.orbit(x, parameter)[1]


def _of_lower_period(track: Track, event: SpecialPoint) -> SpecialPoint:
    """A doubled cycle's meeting with the cycle it doubles is the flip of that one, not a pitchfork of F^p."""
    if event.kind != "pitchfork" or not lower_period(track, event):
        return event
    x, parameter = jnp.asarray(np.ravel(event.state)), jnp.asarray(event.parameter, track.dtype)
    half = _half(track)
    flip = (
        None if half is None else located("flip", half, x.astype(track.dtype), parameter, index=event.index)
    )
    return event if flip is None or flip.status != Status.CONVERGED else flip


def _without_echoes(track: Track, events: list[SpecialPoint]) -> list[SpecialPoint]:
    """Events without the folds that stand where another event was found: its echo in ∂λ/∂s."""

    def place(event: SpecialPoint) -> np.ndarray:
        return np.append(np.ravel(event.state), event.parameter) / track.scale

    crossings = [place(e) for e in events if e.kind in ("pitchfork", "transcritical", "flip")]
    kept: list[SpecialPoint] = []
    for event in events:
        doubles = (e for e in kept if e.kind == event.kind)
        if any(np.linalg.norm(place(event) - place(e)) < 1e-9 for e in doubles):
            continue
        echo = event.kind == "fold" and any(np.linalg.norm(place(event) - c) < 1e-5 for c in crossings)
        if not echo:
            kept.append(event)
    return kept
