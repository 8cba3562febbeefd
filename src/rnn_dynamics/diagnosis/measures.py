"""What a verdict measures beside the growth: weights against φ′, units, gates, the rest a run comes to."""

import cmath
import functools
import math
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float

from rnn_dynamics.cells import ElmanRNN, FeedForward, PreActivationRNN
from rnn_dynamics.cells.pytree import join, split
from rnn_dynamics.cells.rollout import Trajectory
from rnn_dynamics.cells.saturation import exact_slopes
from rnn_dynamics.gradients.one_step import step_matrix
from rnn_dynamics.gradients.steps import on_host, state_at
from rnn_dynamics.numerics import padding
from rnn_dynamics.numerics.batching import computed
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.eigen import eigenvalues

_SATURATED = 0.1  # of the largest slope
_MOST_STEPS = 1024  # that medians are taken over
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
        radius: ρ of the Jacobian there: the run's exponent in the end is its logarithm.
    """

    multiplier: complex
    kind: str
    distance: float
    time_constant: float
    radius: float = math.nan


def decay_of(cell: Any, logs: np.ndarray, first_logs: np.ndarray) -> Decay | None:
    """Along one tangent: what W and what φ′ do to its length at each step; ``None`` for other cells.

    Args:
        logs, first_logs: ln of its growth at each step, and of what the factor that acts first does to it.
    """
    if not isinstance(cell, ElmanRNN | PreActivationRNN | FeedForward):
        return None
    there = np.isfinite(logs) & np.isfinite(first_logs)
    if not there.any():
        return Decay(math.nan, math.nan)
    first = float(first_logs[there].mean())
    second = float((logs[there] - first_logs[there]).mean())
    return Decay(second, first) if isinstance(cell, PreActivationRNN) else Decay(first, second)


@lean(static_argnums=0)
def _slopes(static: Any, arrays: Any, states: Array, inputs: Any) -> Array:
    return jax.vmap(join(static, arrays).slopes)(states, inputs)


def units_of(trajectory: Trajectory, is_passed: np.ndarray | None) -> Units | None:
    """Of cells with slopes, else ``None``; medians over at most 1024 steps, evenly.

    Args:
        trajectory: one run.
        is_passed: of every unit whether its slope is anything but 0 at some step.
    """
    cell = trajectory.cell
    if is_passed is None or trajectory.states.ndim != 2:
        return None
    at = np.unique(np.linspace(0, trajectory.steps - 1, min(trajectory.steps, _MOST_STEPS)).astype(int))
    number = len(at)
    at = np.concatenate([at, np.repeat(at[-1:], padding.longer(number) - number)])
    chosen = jax.tree_util.tree_map(lambda leaf: on_host(leaf)[at], (trajectory.states, trajectory.inputs))
    slopes = np.abs(np.asarray(_slopes(*split(cell), *chosen), float))[:number]
    bound = cell.structure().slope_bound if hasattr(cell, "structure") else None
    largest = bound or slopes.max(initial=0.0) or 1.0
    median = np.median(slopes, axis=0)
    dead = int((~is_passed).sum()) if _is_one_sided(getattr(cell, "activation", None)) else 0
    return Units(median.size, dead, int((median < _SATURATED * largest).sum()), median)


@functools.lru_cache(maxsize=32)
def _is_one_sided(activation: Any) -> bool:
    """Whether φ is flat for negative arguments and not for positive ones."""
    if activation is None:
        return False
    below, above = (float(computed(jax.grad(activation), np.asarray(z, float))) for z in (-1.0, 1.0))
    return below == 0 and above != 0


def rest_of(trajectory: Trajectory) -> Rest | None:
    """Of a run without input, or with a constant one, that has settled; ``None`` else."""
    x, steps = state_at(trajectory, -1), trajectory.steps
    if not steps or not 0 < x.size <= _MOST_UNITS or not _is_held(trajectory.inputs):
        return None
    last, before = np.asarray(x, float), np.asarray(state_at(trajectory, -2), float)
    rounding = _AT_REST * float(np.finfo(x.dtype).eps)
    if not np.abs(last - before).max() <= rounding * (1 + np.abs(last).max()):
        return None
    u = jax.tree_util.tree_map(lambda leaf: on_host(leaf)[-1], trajectory.inputs)
    values = np.asarray(eigenvalues(step_matrix(exact_slopes(trajectory.cell), x, u)))
    nearest = complex(values[np.argmin(np.abs(1 - np.abs(values)))])
    size = abs(nearest)
    angle = abs(cmath.phase(nearest)) if size else 0.0
    kind = "Neimark-Sacker"
    if nearest.imag == 0:
        kind = "flip" if angle else "fold or pitchfork"
    constant = 0.0 if not size else math.inf if size == 1 else -1 / math.log(size)
    return Rest(nearest, kind, abs(1 - size), constant, float(np.abs(values).max()))


def _is_held(inputs: Any) -> bool:
    leaves = [np.asarray(leaf) for leaf in jax.tree_util.tree_leaves(inputs)]
    return all((leaf == leaf[:1]).all() for leaf in leaves)
