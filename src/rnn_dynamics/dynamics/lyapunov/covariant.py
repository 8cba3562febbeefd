"""Covariant Lyapunov vectors: the directions that grow at exactly their exponent, forward and backward.

Reference: F. Ginelli et al., Phys. Rev. Lett. 99, 130601 (2007).
"""

import dataclasses
import functools
import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from rnn_dynamics.cells.pytree import join
from rnn_dynamics.cells.rollout import Trajectory
from rnn_dynamics.dynamics.lyapunov.frames import first_frame, orthonormal, push
from rnn_dynamics.dynamics.lyapunov.orbits import OrbitCheck
from rnn_dynamics.dynamics.lyapunov.typical import checked
from rnn_dynamics.gradients.steps import segment, step_range
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.reductions import all_finite
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.status import Status
from rnn_dynamics.numerics.texts import counted
from rnn_dynamics.numerics.validation import count, index

_HIGHEST = jax.lax.Precision.HIGHEST


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class CovariantVectors(Result):
    """Unit vectors v_i(t) with J_{t+1} v_i(t) = ± e^{growth} v_i(t+1).

    Attributes:
        vectors: columns v_1 … v_m at the states start … stop, shape (stop−start+1, n, m).
        log_growth: ln‖J_{t+1} v_i(t)‖ for each step, shape (stop−start, m).
        status: RESOLVED; UNRESOLVED where a Jacobian is singular in floats and vectors are NaN, or where the orbit
            rests on a repelling set; DIVERGED where a state is not finite. Shape (m,).
        start, stop: the first and last state.
        orbit: what the float orbit between them stands for, an ``OrbitCheck``; see ``LyapunovSpectrum``.
    """

    vectors: Float[Array, "steps+1 n m"]
    log_growth: Float[Array, "steps m"]
    status: Int[Array, " m"]
    start: int = dataclasses.field(metadata={"static": True})
    stop: int = dataclasses.field(metadata={"static": True})
    orbit: OrbitCheck | None = None

    @property
    def values(self) -> Float[Array, " m"]:
        """``exponents`` by another name."""
        return self.exponents

    _axes: ClassVar = {"m": "exponent", "n": "unit"}
    _units: ClassVar = {"log_growth": "nats"}

    @property
    def exponents(self) -> Float[Array, " m"]:
        """Mean growth rate of each vector, nats a step."""
        return jnp.mean(self.log_growth, axis=-2)

    def angles(self) -> Float[Array, "steps+1 m m"]:
        """Angle between the lines of v_i and v_j at each state, in radians, 0 to π/2.

        From |v_i − (v_i·v_j) v_j|, which keeps small angles to their own digits.
        """
        v = self.vectors
        cosine = jnp.einsum("tni,tnj->tij", v, v, precision=_HIGHEST)
        apart = v[..., :, None, :] * jnp.sign(cosine)[:, None].swapaxes(-1, -2) - v[..., :, :, None]
        half = jnp.sqrt(jnp.sum(jnp.square(apart), axis=1)) / 2
        return jnp.where(cosine == 0, math.pi / 2, 2 * jnp.arcsin(jnp.minimum(half, 1)))

    def __repr__(self) -> str:
        text = f"CovariantVectors({self.vectors.shape[-1]} vectors at states {self.start} to {self.stop}"
        if isinstance(self.vectors, Tracer) or self.vectors.ndim != 3:
            return text + ")"
        first, status = np.asarray(self.log_growth)[:, 0].mean(), Status(int(np.asarray(self.status).max()))
        text += f", λ_1 = {first:.5g}, status {status.name}"
        said = "" if self.orbit is None else self.orbit.describe()
        return text + (f"; {said})" if said else ")")


def _forward(cell: Any, frame: Array, step: tuple) -> tuple[Array, tuple[Array, Array]]:
    following, triangle = orthonormal(push(cell, step[0], step[1], frame))
    return following, (following, triangle)


def _align(cell: Any, frame: Array, step: tuple) -> tuple[Array, None]:
    return orthonormal(push(cell, step[0], step[1], frame))[0], None


def _backward(later: Array, triangle: Array) -> tuple[Array, tuple[Array, Array]]:
    """R⁻¹ C at unit columns: one step back of the coefficients in the frame."""
    solved = jax.scipy.linalg.solve_triangular(triangle, later)
    norms = jnp.sqrt(jnp.sum(jnp.square(solved), axis=0))
    earlier = solved / norms[None]
    return earlier, (earlier, -jnp.log(norms))


@lean(static_argnums=(0, 5, 6))
def _vectors(
    static: Any, arrays: Any, states: Array, inputs: Any, frame: Array, before: int, after: int
) -> tuple[Array, Array, Array]:
    cell, steps = join(static, arrays), states.shape[0]
    early, window = (
        jax.tree_util.tree_map(lambda leaf, a=a, b=b: leaf[a:b], (states, inputs))
        for a, b in ((0, before), (before, steps))
    )
    frame = jax.lax.scan(functools.partial(_align, cell), frame, early)[0]
    _, (frames, triangles) = jax.lax.scan(functools.partial(_forward, cell), frame, window)
    frames = jnp.concatenate([frame[None], frames])
    last = jnp.triu(jnp.ones_like(triangles[0]))
    last = last / jnp.sqrt(jnp.sum(jnp.square(last), axis=0))[None]
    kept = steps - before - after
    last = jax.lax.scan(lambda c, r: (_backward(c, r)[0], None), last, triangles[kept:], reverse=True)[0]
    _, (earlier, growth) = jax.lax.scan(_backward, last, triangles[:kept], reverse=True)
    coefficients = jnp.concatenate([earlier, last[None]])
    vectors = jnp.matmul(frames[: kept + 1], coefficients, precision=_HIGHEST)
    resolved = all_finite(vectors, axis=(0, 1))
    status = jnp.where(resolved, int(Status.RESOLVED), int(Status.UNRESOLVED)).astype(jnp.int32)
    status = jnp.where(all_finite(states), status, jnp.int32(Status.DIVERGED))
    return vectors, growth, status


def covariant_vectors(
    trajectory: Trajectory,
    *,
    exponents: int | None = None,
    start: int = 0,
    stop: int | None = None,
    before: int | None = None,
    after: int | None = None,
    memory_limit: int = 2**30,
    key: Any = None,
) -> CovariantVectors:
    """Covariant Lyapunov vectors, v_i(t+1) ∝ J_{t+1} v_i(t), growing at λ_i both ways in time.

    A frame goes forward, J Q_t = Q_{t+1} R_{t+1}; coefficients in it go back, C_t ∝ R_{t+1}⁻¹ C_{t+1}; v = Q C.

    Args:
        trajectory: one trajectory from ``rollout``.
        exponents: m, how many; all n by default.
        start, stop: the states between; 0 and T by default.
        before: steps from ``start`` in which the frame aligns, not returned; a quarter by default.
        after: steps up to ``stop`` in which the coefficients align, not returned; a quarter by default.
        memory_limit: bytes that the frames and triangles of the steps after ``before`` may take, about
            2 (n m + m²) numbers a step.
        key: a random key for the first frame; always the same frame by default.

    Returns:
        ``CovariantVectors`` at the states start + before … stop − after.

    Raises:
        TypeError, ValueError: not a trajectory; exponents outside 1 … n; no step left between before and after;
            more memory than ``memory_limit``.

    Reference: F. Ginelli et al., Phys. Rev. Lett. 99, 130601 (2007).
    """
    first, last = step_range(trajectory, start, stop)
    size, dtype, steps = math.prod(trajectory.states.shape[1:]), trajectory.states.dtype, last - first
    exponents = size if exponents is None else index("exponents", exponents, minimum=1, maximum=size)
    before = steps // 4 if before is None else count("before", before)
    after = steps // 4 if after is None else count("after", after)
    if before + after >= steps:
        raise ValueError(
            f"before, after: expected less than {counted(steps, 'step')} in all, got {before} + {after}"
        )
    need = 2 * (steps - before) * (size + exponents) * exponents * dtype.itemsize
    if need > memory_limit:
        raise ValueError(
            f"memory_limit: {counted(steps - before, 'step')} of {exponents} vectors take {need} bytes, "
            f"expected at most {memory_limit}"
        )
    frame = first_frame(key, size, exponents, dtype)
    static, arrays, states, inputs = segment(trajectory, first, last)
    vectors, growth, status = _vectors(static, arrays, states, inputs, frame, before, after)
    first, last = first + before, last - after
    inputs = jax.tree_util.tree_map(lambda leaf: leaf[first:last], trajectory.inputs)
    within = trajectory.states[first : last + 1]
    orbit = checked(trajectory.cell, within, inputs, growth[:, 0], jnp.mean(growth[:, 0]))
    return CovariantVectors(vectors, growth, orbit.status_of(status), first, last, orbit)
