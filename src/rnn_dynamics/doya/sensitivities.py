"""x_T of the Doya neuron and its derivatives by x_0, w and b, with bounds on their rounding errors."""

import functools
import math
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Complex, Float, Int

from rnn_dynamics.doya import kernel
from rnn_dynamics.gradients.sensitivities import Sensitivities, resolution_limit
from rnn_dynamics.numerics import validation
from rnn_dynamics.numerics.compiling import wide
from rnn_dynamics.numerics.scaled import Scaled
from rnn_dynamics.numerics.status import Status

# Points a call of the compiled kernel: what a call costs beside them falls with their number, what the last, padded
# tile wastes grows.
_TILES = (256, 8192, 32768)
_TILES_OF_THE_LARGEST = 8
_ALIGNMENT = 64  # bytes; JAX takes over what is aligned so, and copies the rest
_MAX_STEPS = 2**31 - 1


def sensitivities(w: Any, b: Any, x0: Any, steps: Any, *, epsilon: Any = 1.0) -> Sensitivities:
    """x_T, ∂x_T/∂x_0, ∂x_T/∂w and ∂x_T/∂b after T = ``steps`` steps, each with its error bound.

    x_{t+1} = (1 − ε) x_t + ε σ(w x_t + b). The derivatives are carried with powers of two beside them, so
    that they neither overflow nor underflow; the bounds follow the rounding of every step along the orbit
    (``doya.kernel``), and the status says where floats cannot carry the answer: a chaotic neuron after
    some hundred steps, an orbit that starts one float off the separatrix.

    Args:
        w: weight, any shape that broadcasts with the others.
        b: bias.
        x0: start.
        steps: T ≥ 0, one integer, which may be traced. Its values share one program, and those that are multiples
            of 8 (of 4 in float32) a simpler one.
        epsilon: Euler step ε in (0, 1].

    Returns:
        A ``Sensitivities`` of the broadcast shape with the parameters in the order (w, b).

    Raises:
        TypeError, ValueError: arguments that are not real and finite, shapes that do not broadcast, ε outside
            (0, 1], a negative or fractional ``steps``.

    On CPU, concrete arrays go in tiles of fixed shape over all cores. Each point's result is the same bit for
    bit whatever else is in the arrays. Inside ``jit`` and ``vmap`` the arrays are taken whole.

    References: K. Doya, "Bifurcations in the learning of recurrent neural networks", ISCAS 1992; for the bounds
    N. J. Higham, "Accuracy and Stability of Numerical Algorithms", SIAM 2002, section 3.3.
    """
    epsilon = validation.fraction("epsilon", epsilon)
    if epsilon.ndim:
        w, b, x0, epsilon = validation.broadcast_arrays(w=w, b=b, x0=x0, epsilon=epsilon)
    else:
        w, b, x0 = validation.broadcast_arrays(w=w, b=b, x0=x0)
        epsilon = epsilon.astype(w.dtype)
    steps = step_count(steps)
    traced = any(isinstance(value, Tracer) for value in (w, b, x0, epsilon, steps))
    if traced or jax.default_backend() != "cpu":
        whole = epsilon.reshape(-1) if epsilon.ndim else epsilon
        flat = (w.reshape(-1), b.reshape(-1), x0.reshape(-1))
        result = _program(*flat, whole, jnp.asarray(steps, jnp.int32))
        return jax.tree.map(lambda leaf: leaf.reshape(w.shape), result)
    return _tiled(np.asarray(w), np.asarray(b), np.asarray(x0), np.asarray(epsilon), np.int32(steps))


def step_count(steps: Any) -> Any:
    """Check T, one integer or a traced one."""
    if isinstance(steps, Tracer):
        if steps.ndim or not jnp.issubdtype(steps.dtype, jnp.integer):
            raise TypeError(f"steps: expected one integer, got shape {steps.shape} and dtype {steps.dtype}")
        return steps
    return validation.count("steps", steps, maximum=_MAX_STEPS)


def _log_error(pair: Complex[Array, " n"], exponent: Int[Array, " n"]) -> Float[Array, " n"]:
    """Bound on the error of ln|value|, the rounding of the logarithm itself included; NaN counts as inf."""
    value, error = jnp.abs(jnp.real(pair)), jnp.imag(pair)
    ratio = error / jnp.where(value == 0, jnp.ones_like(value), value)
    known = (ratio < 0.5) & (value > 0) & (jnp.abs(exponent) < kernel.EXPONENT_LIMIT)
    roundoff = float(jnp.finfo(value.dtype).eps) / 2
    logarithm = roundoff * (2 * jnp.abs(exponent).astype(value.dtype) + 4)
    bound = jnp.where(known, ratio * (1 + 2 * ratio) + logarithm, jnp.inf)
    return jnp.where((value == 0) & (error == 0), jnp.zeros_like(bound), bound)


def _resolved(value: Scaled, log_error: Float[Array, " n"]) -> Array:
    scale = jnp.maximum(jnp.abs(value.log()), 1.0)
    return jnp.isfinite(log_error) & (log_error <= resolution_limit(value.dtype) * scale)


def _evaluate(
    w: Float[Array, " n"],
    b: Float[Array, " n"],
    x0: Float[Array, " n"],
    epsilon: Float[Array, "..."],
    steps: Int[Array, ""],
    case: kernel.Case = kernel.ANY,
) -> Sensitivities:
    orbit = kernel.run(w, b, x0, epsilon, steps, case)
    pairs = (orbit.initial, orbit.by_w, orbit.by_b)
    values = tuple(
        Scaled(jnp.real(pair), exponent).normalize()
        for pair, exponent in zip(pairs, orbit.exponents, strict=True)
    )
    state, state_error = jnp.real(orbit.state), jnp.imag(orbit.state)
    state_error = jnp.where(jnp.isnan(state_error), jnp.inf, state_error)
    errors = tuple(
        jnp.where(jnp.isfinite(state_error), _log_error(pair, exponent), jnp.inf)
        for pair, exponent in zip(pairs, orbit.exponents, strict=True)
    )
    resolved = functools.reduce(
        jnp.logical_and, (_resolved(value, error) for value, error in zip(values, errors, strict=True))
    )
    status = jnp.where(resolved, jnp.int32(Status.RESOLVED), jnp.int32(Status.UNRESOLVED))
    status = jnp.where(jnp.isfinite(state), status, jnp.int32(Status.DIVERGED))
    return Sensitivities(state, values[0], values[1:], state_error, errors[0], errors[1:], status)


_program = jax.jit(_evaluate, static_argnames="case")


#: The kernel for tiles.
_tile_program = wide(_evaluate, static_argnames="case")


def _tiled(
    w: np.ndarray, b: np.ndarray, x0: np.ndarray, epsilon: np.ndarray, steps: np.int32
) -> Sensitivities:
    """All points in tiles of one shape, the last one padded, over all cores."""
    shape, size = w.shape, w.size
    tile = _tile(size)
    count = max(math.ceil(size / tile), 1)
    flat = [value.reshape(-1) for value in (w, b, x0)]
    steps_of_euler = epsilon.reshape(-1) if epsilon.ndim else epsilon
    case = kernel.case_of(flat[0], flat[1], flat[2], int(steps))

    def evaluate(index: int) -> Sensitivities:
        part = slice(index * tile, min((index + 1) * tile, size))
        arguments = [_padded(value[part], tile, 0.0) for value in flat]
        euler = _padded(steps_of_euler[part], tile, 1.0) if epsilon.ndim else epsilon
        return _tile_program(*arguments, euler, steps, case=case)

    first = evaluate(0)
    if count == 1:
        return jax.device_put(jax.tree.map(lambda leaf: np.asarray(leaf)[:size].reshape(shape), first))
    leaves, structure = jax.tree.flatten(first)
    whole = [_aligned_empty(size, leaf.dtype) for leaf in leaves]

    def store(index: int, result: Sensitivities) -> None:
        start, stop = index * tile, min((index + 1) * tile, size)
        for target, leaf in zip(whole, jax.tree.leaves(result), strict=True):
            target[start:stop] = np.asarray(leaf)[: stop - start]

    store(0, first)
    with ThreadPoolExecutor(min(os.cpu_count() or 1, count - 1)) as pool:
        list(pool.map(lambda index: store(index, evaluate(index)), range(1, count)))
    return jax.tree.unflatten(structure, jax.device_put([leaf.reshape(shape) for leaf in whole]))


def _tile(size: int) -> int:
    """Points of a tile where there are ``size`` in all."""
    small, middle, large = _TILES
    if size <= small:
        return small
    return large if size >= _TILES_OF_THE_LARGEST * large else middle


def _aligned_empty(size: int, dtype: Any) -> np.ndarray:
    """An array that ``jax.device_put`` need not copy."""
    count = size * dtype.itemsize
    memory = np.empty(count + _ALIGNMENT, np.uint8)
    first = -memory.ctypes.data % _ALIGNMENT
    return memory[first : first + count].view(dtype)


def _padded(values: np.ndarray, length: int, filler: float) -> np.ndarray:
    if values.size == length:
        return values
    return np.concatenate([values, np.full(length - values.size, filler, values.dtype)])
