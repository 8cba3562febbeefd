"""Orthonormal frames carried along a trajectory: the QR recursion J_{t+1} Q_t = Q_{t+1} R_{t+1}.

One frame, one trajectory; everything here works under ``jit``, ``vmap`` and reverse mode.

Reference: G. Benettin et al., Meccanica 15, 9 (1980).
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from rnn_dynamics.cells.saturation import exact_slopes
from rnn_dynamics.gradients.one_step import step_matrix
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.padding import scan
from rnn_dynamics.numerics.scaled import exponent_of, power_of_two

_HIGHEST = jax.lax.Precision.HIGHEST


class FrameGrowth(NamedTuple):
    """What one QR step measures.

    Attributes:
        logs: ln|R_ii|; −∞ where R_ii is within rounding of 0.
        loss: ‖a_i‖/|R_ii|, a_i the i-th column before the step: by how much rounding is amplified in R_ii. 1 where
            R_ii counts as 0.
    """

    logs: Float[Array, "... m"]
    loss: Float[Array, "... m"]


@lean(static_argnums=(1, 2, 3))
def _random_frame(key: Key[Array, ""], size: int, count: int, dtype: Any) -> Float[Array, "n m"]:
    """Return ``count`` orthonormal columns, uniformly turned."""
    draws = jax.random.normal(key, (size, count), jnp.float32).astype(dtype)
    return jnp.linalg.qr(draws)[0]


@functools.lru_cache(maxsize=16)
def _usual_frame(size: int, exponents: int) -> np.ndarray:
    """The first frame where no key is given, made on the host: it compiles nothing."""
    return np.linalg.qr(np.random.default_rng(0).normal(size=(size, exponents)))[0]


def first_frame(key: Any, size: int, exponents: int, dtype: Any) -> Float[Array, "n m"]:
    """Orthonormal columns, random by ``key``, or always the same ones where it is ``None``."""
    if key is None:
        return jnp.asarray(_usual_frame(size, exponents).astype(dtype))
    return _random_frame(key, size, exponents, dtype)


def push(cell: Any, x: Array, u: Any, frame: Float[Array, "n m"]) -> Float[Array, "n m"]:
    """J · frame for the step at x: by the cell's closed form, else by forward mode without forming J.

    Forward mode too where the columns are few, so that J would cost more than its product with them.
    """
    if hasattr(cell, "jacobian") and 2 * frame.shape[1] >= frame.shape[0]:
        return jnp.matmul(step_matrix(cell, x, u), frame, precision=_HIGHEST)
    step = exact_slopes(cell)
    _, linear = jax.linearize(lambda state: step(state, u), x)
    columns = jax.vmap(linear, in_axes=-1, out_axes=-1)(frame.reshape(*x.shape, frame.shape[1]))
    return columns.reshape(frame.shape)


def _unit_column(column: Float[Array, "n 1"]) -> tuple[Array, Array]:
    """One column at length 1, and its length; a zero column becomes the first unit vector."""
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(column)))
    unit = column * power_of_two(-exponent_of(largest), column.dtype)
    gone = largest == 0
    first = jnp.zeros_like(column).at[0, 0].set(1)
    unit = jnp.where(gone, first, unit)
    norm = jnp.sqrt(jnp.sum(jnp.square(unit)))
    length = norm * power_of_two(exponent_of(largest), column.dtype)
    return unit / norm, jnp.where(gone, 0, length)[None]


def orthonormal(columns: Float[Array, "n m"]) -> tuple[Float[Array, "n m"], Float[Array, "m m"]]:
    """Q and R with columns = Q R, by Householder reflections."""
    if columns.shape[1] == 1:
        unit, length = _unit_column(columns)
        return unit, length[:, None]
    return jnp.linalg.qr(columns)


def measure(triangle: Float[Array, "m m"], size: int) -> FrameGrowth:
    """ln|R_ii| and how far each is above the rounding of its column."""
    diagonal = jnp.abs(jnp.diagonal(triangle))
    lengths = jax.lax.stop_gradient(jnp.sqrt(jnp.sum(jnp.square(triangle), axis=0)))
    floor = (
        2 * size * float(jnp.finfo(triangle.dtype).eps) * lengths if triangle.shape[0] > 1 else 0 * lengths
    )
    gone = diagonal <= floor
    kept = jnp.where(gone, 1, diagonal)
    return FrameGrowth(
        jnp.where(gone, -jnp.inf, jnp.log(kept)),
        jax.lax.stop_gradient(jnp.where(gone, 1, lengths / kept)),
    )


def _push_step(cell: Any, frame: Array, step: tuple) -> tuple[Array, None]:
    return push(cell, step[0], step[1], frame), None


def _group(cell: Any, frame: Array, steps: tuple) -> tuple[Array, FrameGrowth]:
    """``interval`` steps, then one QR; the leading axis of ``steps`` tells the interval."""
    if steps[0].shape[0] == 1:
        x, u = jax.tree_util.tree_map(lambda leaf: leaf[0], steps)
        columns = push(cell, x, u, frame)
    else:
        columns, _ = jax.lax.scan(functools.partial(_push_step, cell), frame, steps)
    frame, triangle = orthonormal(columns)
    return frame, measure(triangle, frame.shape[0])


def follow(
    cell: Any,
    frame: Float[Array, "n m"],
    states: Array,
    inputs: Any,
    interval: int,
    inside: Array | None = None,
) -> tuple[Float[Array, "n m"], FrameGrowth]:
    """The frame after all steps, and the growth in each group of ``interval`` of them.

    Args:
        cell: the map.
        frame: orthonormal columns at the first state.
        states: x_t of each step, leading axis a multiple of ``interval``.
        inputs: u_t of each step, or ``None``.
        interval: s, steps between two QR factorisations.
        inside: which groups of s steps count, shape (steps/s,); all by default. The frame passes over the others.

    Returns:
        The frame, shape (n, m), and ``FrameGrowth`` with a leading axis of steps/s.
    """

    def grouped(leaf: Array) -> Array:
        return leaf.reshape(leaf.shape[0] // interval, interval, *leaf.shape[1:])

    series = jax.tree_util.tree_map(grouped, (states, inputs))
    return scan(functools.partial(_group, cell), frame, series, inside)
