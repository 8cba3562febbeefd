"""The attractor that an orbit with w < 0, ε < 1 reaches, proved by a trapping interval or shown by an exponent.

The orbit is carried as centre and radius, so that the true orbit of x₀ stays inside. A cycle of period p is proved
when the interval J around the last state has F^p(J) ⊂ J and |(F^p)′| < 1 on it, by the mean value theorem:
|F^p(c) − c| + radius of the image ≤ radius of J.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from rnn_dynamics.cells.activations import sigmoid, sigmoid_derivative

UNKNOWN, FIXED, CYCLIC, CHAOTIC = range(4)
LONGEST_PERIOD = 16
_SETTLING = 2048
_BLOCKS, _BLOCK = 16, 192
# Standard errors by which the exponent must be positive.
_CONFIDENCE = 8.0
_FAR = 1e20


class BoundedOrbit(NamedTuple):
    """A state, the radius that holds the true one, and the running sum of ln|F′|."""

    x: Float[Array, "..."]
    radius: Float[Array, "..."]
    log_slope: Float[Array, "..."]


class Neuron(NamedTuple):
    """Weights w, biases b and feedback ε of one shape."""

    w: Float[Array, "..."]
    b: Float[Array, "..."]
    epsilon: Float[Array, "..."]


def _step(neuron: Neuron, x: Array, radius: Array) -> tuple[Array, Array, Array]:
    """F(x), the radius of the image of [x ± radius] with its rounding, and a bound on |F′| over it."""
    w, b, epsilon = neuron
    unit = float(jnp.finfo(x.dtype).eps)
    drive = w * x
    z = drive + b
    noise = 2 * unit * (jnp.abs(drive) + jnp.abs(b))
    reach = jnp.abs(w) * radius * (1 + 4 * unit) + noise
    steepest = sigmoid_derivative(jnp.maximum(jnp.abs(z) - reach, jnp.zeros_like(z)))
    flattest = sigmoid_derivative(jnp.abs(z) + reach)
    leak = 1 - epsilon
    first = jnp.abs(leak + epsilon * w * steepest)
    last = jnp.abs(leak + epsilon * w * flattest)
    slope = jnp.maximum(first, last) + 16 * unit * (1 + epsilon * jnp.abs(w) * steepest)
    local = epsilon * steepest * noise + 8 * unit * (1 + jnp.abs(x))
    image = leak * x + epsilon * sigmoid(z)
    # Capped, so that a chaotic orbit's radius stays finite: a radius that large says nothing already.
    return image, jnp.minimum(slope * radius * (1 + 4 * unit) + local, jnp.full_like(x, _FAR)), slope


def _advance(neuron: Neuron, orbit: BoundedOrbit) -> BoundedOrbit:
    w, b, epsilon = neuron
    image, radius, _ = _step(neuron, orbit.x, orbit.radius)
    derivative = (1 - epsilon) + epsilon * w * sigmoid_derivative(w * orbit.x + b)
    tiny = float(jnp.finfo(image.dtype).tiny)
    logarithm = jnp.log(jnp.maximum(jnp.abs(derivative), tiny))
    return BoundedOrbit(image, radius, orbit.log_slope + logarithm)


def _run(neuron: Neuron, orbit: BoundedOrbit, steps: int) -> BoundedOrbit:
    return jax.lax.fori_loop(0, steps, lambda _, now: _advance(neuron, now), orbit)


def _positive_exponent(neuron: Neuron, orbit: BoundedOrbit) -> tuple[BoundedOrbit, Bool[Array, "..."]]:
    """The orbit after that run, and whether its exponent is positive by ``_CONFIDENCE`` standard errors."""

    def block(now: BoundedOrbit, _: Any) -> tuple[BoundedOrbit, Array]:
        after = _run(neuron, BoundedOrbit(now.x, now.radius, jnp.zeros_like(now.x)), _BLOCK)
        return after, after.log_slope / _BLOCK

    orbit, means = jax.lax.scan(block, orbit, None, length=_BLOCKS)
    exponent = jnp.mean(means, axis=0)
    error = jnp.std(means, axis=0, ddof=1) / _BLOCKS**0.5
    return orbit, (exponent > _CONFIDENCE * error) & (exponent > 1e-3)


def _returns(neuron: Neuron, x: Array) -> tuple[Array, Array]:
    """|F^p(x) − x| and |(F^p)′(x)| for p = 1 … LONGEST_PERIOD, period axis first."""

    def one(carry: tuple[Array, Array], _: Any) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        state, product = carry
        image, _, slope = _step(neuron, state, jnp.zeros_like(state))
        product = product * slope
        return (image, product), (jnp.abs(image - x), product)

    return jax.lax.scan(one, (x, jnp.ones_like(x)), None, length=LONGEST_PERIOD)[1]


def _trapped(neuron: Neuron, orbit: BoundedOrbit) -> tuple[Bool[Array, "..."], Bool[Array, "..."]]:
    """Whether a trapping interval around the state proves a fixed point, and whether one proves a cycle."""
    x = orbit.x
    unit = float(jnp.finfo(x.dtype).eps)
    distance, product = _returns(neuron, x)
    room = jnp.maximum(1 - product, unit)
    start = 4 * (distance + 32 * unit) / room
    start = jnp.maximum(start, 2 * jnp.broadcast_to(orbit.radius, start.shape))
    periods = jnp.arange(1, LONGEST_PERIOD + 1, dtype=jnp.int32).reshape((-1,) + (1,) * x.ndim)

    def one(carry: tuple, period: Int[Array, ""]) -> tuple[tuple, Array]:
        state, radius, bound, apart = carry
        wide = Neuron(*(jnp.broadcast_to(p, radius.shape) for p in neuron))
        image, radius, slope = _step(wide, jnp.broadcast_to(state, radius.shape), radius)
        state, bound = image[0], bound * slope
        shift = jnp.broadcast_to(jnp.abs(state - x), radius.shape)
        closed = (shift + radius) * (1 + 4 * unit) < start
        apart = jnp.where(period == 1, shift > start + radius, apart)
        return (state, radius, bound, apart), (periods == period) & closed & (bound < 1) & apart

    ones = jnp.ones_like(start)
    first = (x, start, ones, jnp.zeros(start.shape, bool))
    _, proved = jax.lax.scan(one, first, periods.reshape(-1))
    cycle = jnp.any(proved, axis=(0, 1))
    image, radius, slope = _step(neuron, x, start[0])
    fixed = ((jnp.abs(image - x) + radius) * (1 + 4 * unit) < start[0]) & (slope < 1)
    return fixed, cycle


def attractor_kind(
    w: Float[Array, "..."],
    b: Float[Array, "..."],
    x0: Float[Array, "..."],
    epsilon: Float[Array, "..."],
) -> Int[Array, "..."]:
    """FIXED or CYCLIC where a trapping interval proves it, CHAOTIC on evidence, else UNKNOWN.

    Runs ``_SETTLING`` steps, then ``_BLOCKS`` blocks for the exponent, then looks for periods up to
    ``LONGEST_PERIOD``.
    """
    neuron = Neuron(w, b, epsilon)
    zero = jnp.zeros_like(x0)
    orbit = _run(neuron, BoundedOrbit(x0, zero, zero), _SETTLING)
    orbit, positive = _positive_exponent(neuron, orbit)
    fixed, cycle = _trapped(neuron, orbit)
    # Floats may rest on a repeller, which has a positive exponent too.
    rests = jnp.any(_returns(neuron, orbit.x)[0] < 1e3 * float(jnp.finfo(x0.dtype).eps), axis=0)
    chaotic = positive & jnp.isfinite(orbit.x) & ~rests
    kind = jnp.where(cycle, CYCLIC, jnp.where(chaotic, CHAOTIC, UNKNOWN))
    return jnp.where(fixed, FIXED, kind).astype(jnp.int32)
