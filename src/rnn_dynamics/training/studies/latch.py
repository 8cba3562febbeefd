"""The one-neuron latch of Bengio, Simard and Frasconi: what keeps a bit, and its gradient.

a_t = w tanh(a_{t−1}) + h_t with a_0 = 0. For w > 1 the neuron without input has two attractors ±ā; an input keeps
the state on its side while |h_t| < h*(w). The bit is written by the first L inputs and kept through noise.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnn_dynamics.cells.activations import tanh
from rnn_dynamics.numerics.batching import elementwise
from rnn_dynamics.numerics.roots import bracketed_root
from rnn_dynamics.numerics.validation import real_array

# Terms of the two series below; on their whole range of argument 10 reach the last bit of float64.
_TERMS = 10


def _sinh_less(x: Array) -> Array:
    """Sinh x − x for x ≥ 0: its series below 1, where the difference cancels."""
    small = jnp.minimum(x, jnp.ones_like(x))
    square, tail = small * small, jnp.ones_like(x)
    for k in range(_TERMS, 0, -1):
        tail = 1 + square / ((2 * k + 2) * (2 * k + 3)) * tail
    return jnp.where(x < 1, small * square / 6 * tail, jnp.sinh(x) - x)


@jax.custom_jvp
def _critical(w: Array) -> Array:
    root = jnp.sqrt(w - 1)
    # asinh √(w−1) = ln(√w + √(w−1)).
    angle = jnp.log1p(root + (w - 1) / (1 + jnp.sqrt(w)))
    return jnp.where(angle < 0.5, _sinh_less(2 * angle) / 2, jnp.sqrt(w) * root - angle)


@_critical.defjvp
def _critical_jvp(primals: tuple, tangents: tuple) -> tuple:
    (w,), (dw,) = primals, tangents
    return _critical(w), jnp.sqrt((w - 1) / w) * dw


_critical_input = elementwise(_critical)


def critical_input(w: Any) -> Float[Array, "..."]:
    """The largest input that a latched bit withstands for ever: h*(w) = √(w(w−1)) − ln(√w + √(w−1)).

    With |h_t| < h* at all times an orbit that starts at ±ā keeps its sign, whatever the inputs; a constant input
    beyond h* against the sign turns it over. There a = w tanh a − h has its fold, at a = arcosh √w. Near w = 1
    h* is ⅔ (w−1)^{3/2}; there it is formed as ½ (sinh 2θ − 2θ), θ = arsinh √(w−1), which does not cancel.

    Args:
        w: the recurrent weight, any shape.

    Returns:
        h*, of that shape; 0 at w = 1, NaN below, where there is no bit to keep.

    Raises:
        TypeError, ValueError: ``w`` is not real and finite.

    Reference:
        Bengio, Simard, Frasconi, "Learning long-term dependencies with gradient descent is difficult", IEEE
        Transactions on Neural Networks 5 (1994), section III.
    """
    return _critical_input(real_array("w", w))


def _excess(a: Array, surplus: Array) -> Array:
    """A coth a − 1 − (w−1), which rises from −(w−1) at a = 0: the root is ā."""
    small = jnp.minimum(a, jnp.ones_like(a))
    square, tail = small * small, jnp.ones_like(a)
    for k in range(_TERMS, 0, -1):
        tail = 1 + square / (2 * k * (2 * k + 3)) * tail
    series = small * square / 3 * tail / jnp.sinh(jnp.where(small > 0, small, jnp.ones_like(a)))
    direct = a / jnp.tanh(jnp.maximum(a, jnp.ones_like(a))) - 1
    return jnp.where(a < 1, series, direct) - surplus


@elementwise
def _attractor(w: Array) -> Array:
    several = w > 1
    inside = jnp.where(several, w, jnp.full_like(w, 2.0))
    surplus = inside - 1
    # 1 + 2a²/3 ≤ (a coth a)² and a coth a ≤ 1 + a²/3.
    low = jnp.sqrt(3 * surplus) * (1 - 8 * float(jnp.finfo(w.dtype).eps))
    high = jnp.minimum(inside, jnp.sqrt(1.5 * surplus * (inside + 1))) * (
        1 + 8 * float(jnp.finfo(w.dtype).eps)
    )
    root = bracketed_root(_excess, low, high, surplus, rising=jnp.full(w.shape, True)).value
    return jnp.where(several, root, jnp.full_like(w, jnp.nan))


@elementwise
def _both(w: Array) -> Array:
    high = _attractor(w)
    return jnp.stack([-high, high], axis=-1)


def latch_attractors(w: Any) -> Float[Array, "... 2"]:
    """The two attractors −ā, ā of the neuron without input: ā = w tanh ā.

    Args:
        w: the recurrent weight, any shape.

    Returns:
        Shape (…, 2), ascending; NaN for w ≤ 1, where the only attractor (for w ≥ −1) is 0.

    Raises:
        TypeError, ValueError: ``w`` is not real and finite.
    """
    return _both(real_array("w", w))


def _step(w: Array, a: Array, h: Array) -> tuple[Array, Array]:
    following = w * tanh(a) + h
    return following, following


@jax.jit
def _orbit(w: Array, inputs: Array, start: Array) -> Array:
    return jnp.concatenate([start[None], jax.lax.scan(functools.partial(_step, w), start, inputs)[1]])


def latch_orbit(w: Any, inputs: Any, start: Any = 0.0) -> Float[Array, "time+1"]:
    """The activations a_0 … a_T of a_t = w tanh(a_{t−1}) + h_t.

    Args:
        w: the recurrent weight, a number.
        inputs: h_1 … h_T, shape (T,).
        start: a_0, 0 as published.

    Raises:
        TypeError, ValueError: not real, not finite, or of another shape.
    """
    inputs = real_array("inputs", inputs, ndim=1)
    w, start = (
        real_array(name, value, ndim=0).astype(inputs.dtype) for name, value in (("w", w), ("start", start))
    )
    return _orbit(w, inputs, start)


def log_slopes(w: Array, a: Array) -> Array:
    """The logarithm ln|∂a_{t+1}/∂a_t| = ln|w sech² a_t|, right where sech² underflows."""
    size = jnp.abs(a)
    return jnp.log(jnp.abs(w)) + 2 * (jnp.log(jnp.full_like(a, 2.0)) - size - jnp.log1p(jnp.exp(-2 * size)))


@jax.jit
def _log_gradients(w: Array, states: Array) -> Array:
    sums = jnp.cumsum(log_slopes(w, states[:-1]))
    return jnp.concatenate([jnp.zeros_like(sums[:1]), sums])


def latch_log_gradients(w: Any, states: Any) -> Float[Array, "time+1"]:
    """Ln|∂a_t/∂a_0| = Σ_{i<t} ln|w sech² a_i| along an orbit, for t = 0 … T.

    A bit that is latched robustly keeps a_i where w sech² a_i < 1, so this falls without end.

    Args:
        w: the recurrent weight, a number.
        states: a_0 … a_T of ``latch_orbit``, shape (T+1,).

    Returns:
        Natural logarithms, shape (T+1,); −inf for w = 0.

    Raises:
        TypeError, ValueError: not real, not finite, or of another shape.
    """
    states = real_array("states", states, ndim=1)
    if not states.shape[0]:
        raise ValueError("states: expected at least a_0, got none")
    return _log_gradients(real_array("w", w, ndim=0).astype(states.dtype), states)
