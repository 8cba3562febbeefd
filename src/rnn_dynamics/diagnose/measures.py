"""What a verdict measures beside the growth: weights against φ′, units, gates, the rest a run comes to."""

import cmath
import functools
import itertools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from rnn_dynamics.cells import ElmanRNN, FeedForward, PreActivationRNN
from rnn_dynamics.cells.slopes import exact_slopes
from rnn_dynamics.eigen import eigenvalues
from rnn_dynamics.jacobians import pushforward, step_matrix
from rnn_dynamics.rollout import Trajectory
from rnn_dynamics.scaled import from_float

__all__ = ["Decay", "Rest", "Units", "carries_of", "decay_of", "gates_of", "rest_of", "units_of"]

_SATURATED = 0.1  # of the largest slope
_MOST_UNITS = 512  # whose eigenvalues are cheap
_AT_REST = 1e3  # in units of rounding


class Decay(NamedTuple):
    """The mean growth a step of a tangent, in nats, as a sum over what does it.

    Attributes:
        weights: ln of what W does to its length.
        slopes: ln of what φ′ does to its length; ≤ 0 where φ′ ≤ 1: saturation.
    """

    weights: float
    slopes: float


class Units(NamedTuple):
    """What the units' slopes φ′ are along the run.

    Attributes:
        total: how many units.
        dead: of a φ that is flat on one side, as ReLU: with slope 0 at every step.
        saturated: with a median slope below a tenth of the largest φ′ can have, dead ones among them.
        median_slope: of each unit.
    """

    total: int
    dead: int
    saturated: int
    median_slope: Float[np.ndarray, " n"]


class Rest(NamedTuple):
    """The fixed point at which a run with constant input ends, and which bifurcation is next to it.

    Attributes:
        multiplier: the eigenvalue of the Jacobian there that is nearest to the unit circle.
        kind: what happens as it comes to the circle: "fold or pitchfork" at 1, "flip" at −1, "Neimark-Sacker" else.
        distance: |1 − |multiplier||.
        time_constant: −1/ln|multiplier|, in steps: how slowly the run settles.
    """

    multiplier: complex
    kind: str
    distance: float
    time_constant: float


def decay_of(trajectory: Trajectory) -> Decay | None:
    """Along one tangent: what W and what φ′ do to its length at each step; ``None`` for other cells."""
    cell = trajectory.cell
    if not isinstance(cell, ElmanRNN | PreActivationRNN | FeedForward) or not trajectory.steps:
        return None
    tangent = np.random.default_rng(0).normal(size=trajectory.states.shape[-1])
    vectors = pushforward(trajectory, tangent.astype(trajectory.states.dtype)).unit[:-1]
    product = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
    if isinstance(cell, FeedForward):
        W = trajectory.inputs["W"].astype(vectors.dtype)
        by_weights = functools.partial(jax.vmap(product), W)
    else:
        by_weights = jax.vmap(functools.partial(product, cell.W))
    slopes, is_inside = _slopes(trajectory), isinstance(cell, PreActivationRNN)
    between = vectors * slopes if is_inside else by_weights(vectors)
    after = by_weights(between) if is_inside else between * slopes
    logs = [np.asarray(from_float(part, event_ndim=1).norm().log()) for part in (vectors, between, after)]
    first, second = (_mean_change(*pair) for pair in itertools.pairwise(logs))
    return Decay(second, first) if is_inside else Decay(first, second)


def _mean_change(before: np.ndarray, after: np.ndarray) -> float:
    """The mean difference where both are there; NaN where none are."""
    there = np.isfinite(before) & np.isfinite(after)
    return float(np.mean(after[there] - before[there])) if there.any() else math.nan


def _slopes(trajectory: Trajectory) -> Any:
    return jax.vmap(trajectory.cell.slopes)(trajectory.states[:-1], trajectory.inputs)


def units_of(trajectory: Trajectory) -> Units | None:
    """Of cells with slopes, else ``None``."""
    cell = trajectory.cell
    if not hasattr(cell, "slopes") or trajectory.states.ndim != 2 or not trajectory.steps:
        return None
    slopes = np.abs(np.asarray(_slopes(trajectory), float))
    bound = cell.structure().slope_bound if hasattr(cell, "structure") else None
    largest = bound or slopes.max(initial=0.0) or 1.0
    median = np.median(slopes, axis=0)
    dead = int((slopes == 0).all(axis=0).sum()) if _is_one_sided(getattr(cell, "activation", None)) else 0
    return Units(median.size, dead, int((median < _SATURATED * largest).sum()), median)


def _is_one_sided(activation: Any) -> bool:
    """Whether φ is flat for negative arguments and not for positive ones."""
    if activation is None:
        return False
    below, above = (float(jax.grad(lambda z: activation(z))(z)) for z in (-1.0, 1.0))
    return below == 0 and above != 0


def gates_of(trajectory: Trajectory) -> dict[str, float]:
    """The mean of each gate over units and steps, by name."""
    return {name: float(jnp.mean(value)) for name, value in _along(trajectory, "gates").items()}


def carries_of(trajectory: Trajectory) -> dict[str, float]:
    """Mean ln of the fraction of its memory that the unit which keeps most keeps in a step, by gate."""
    found = {name: np.asarray(value, float) for name, value in _along(trajectory, "carries").items()}
    with np.errstate(divide="ignore"):
        return {name: float(np.log(value).mean(axis=0).max()) for name, value in found.items()}


def _along(trajectory: Trajectory, method: str) -> dict[str, Any]:
    if not hasattr(trajectory.cell, method) or not trajectory.steps:
        return {}
    found = jax.vmap(getattr(trajectory.cell, method))(trajectory.states[:-1], trajectory.inputs)
    return {name: value for name, value in found.items() if not name.endswith("candidate")}


def rest_of(trajectory: Trajectory) -> Rest | None:
    """Of a run without input, or with a constant one, that has settled; ``None`` else."""
    x, steps = trajectory.final, trajectory.steps
    if not steps or not 0 < x.size <= _MOST_UNITS or not _is_held(trajectory.inputs):
        return None
    last, before = np.asarray(x, float), np.asarray(trajectory.states[-2], float)
    rounding = _AT_REST * float(np.finfo(x.dtype).eps)
    if not np.abs(last - before).max() <= rounding * (1 + np.abs(last).max()):
        return None
    u = jax.tree_util.tree_map(lambda leaf: leaf[-1], trajectory.inputs)
    values = np.asarray(eigenvalues(step_matrix(exact_slopes(trajectory.cell), x, u)))
    nearest = complex(values[np.argmin(np.abs(1 - np.abs(values)))])
    size = abs(nearest)
    angle = abs(cmath.phase(nearest)) if size else 0.0
    kind = "Neimark-Sacker"
    if nearest.imag == 0:
        kind = "flip" if angle else "fold or pitchfork"
    constant = 0.0 if not size else math.inf if size == 1 else -1 / math.log(size)
    return Rest(nearest, kind, abs(1 - size), constant)


def _is_held(inputs: Any) -> bool:
    leaves = [np.asarray(leaf) for leaf in jax.tree_util.tree_leaves(inputs)]
    return all((leaf == leaf[:1]).all() for leaf in leaves)
