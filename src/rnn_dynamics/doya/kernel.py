"""The Doya neuron's orbit with its derivatives and running error bounds, elementwise over many neurons.

With z = w x + b, r = σ(−|z|), σ′ = r(1 − r), |σ″| = σ′(1 − 2r), a = (1 − ε) + ε w σ′ and u the unit roundoff,
one step carries

    x  ← (1 − ε) x + ε σ(z)            d   ← |a| d + ε σ′(η + 1.36 h²) + 6u(|(1 − ε) x| + ε σ)
    p  ← a p                           e_p ← |a| e_p + δ(|p| + e_p)
    q_b ← a q_b + ε σ′                 e_b ← |a| e_b + δ(|q_b| + e_b) + ε D
    q_w ← a q_w + ε σ′ x               e_w ← |a| e_w + δ(|q_w| + e_w) + ε(D(|x| + d) + σ′ d)

where d bounds the error of x, η = u(2|w| max(1, |x|) + |b|) the rounding of z, h = |w| d + η the error of z,
D = σ′(h(1 − 2r) + 1.36 h² + 10u) that of σ′, δ = ε|w| D + 6u(1 − ε) that of a and the roundings of its use.
1.36 = e/2: |σ‴| ≤ σ′ and σ′ grows by at most e^h over h ≤ 1; where h passes 1 nothing is known and d is inf.
Nothing divides by a. Every derivative shares a power of two with its bound.

Two kernels. ``_advance`` takes STRIDE steps between two renormalisations and is for orbits whose derivatives
cannot leave the float range in so few; ``_advance_scaled`` gives σ′ itself a power of two, for all others.
Each point's kernel depends on that point alone, so its result does not depend on its neighbours.

What the fast one owes to XLA on CPU (measured with benchmarks/neuron_grid.py): a fusion has one output and
computes again what two outputs share, unless they are the two parts of one complex number, which costs a
single loop. So the values travel in pairs, and the bounds, needing few digits, as halves of the bits of
floats: three loops over a stride instead of eight. x_t and r_t are such a pair too, formed once a step behind
``lax.cond``, the one fence that fusion does not cross (it does cross ``lax.optimization_barrier`` on CPU).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Complex, Float, Int

from rnn_dynamics.numerics.scaled import exponent_of, power_of_two

_LOG2_E = 1.4426950408889634
# ln 2 in two parts, the first short enough that its product with an integer exponent is exact.
_LN2 = {8: (0.6931471803691238, 1.9082149292705877e-10), 4: (0.693359375, -2.12194440e-4)}
# (e^f − 1 − f)/f² on |f| ≤ ½ ln 2, Chebyshev's interpolant.
_TAIL = {
    8: (
        0.5,
        0.16666666666666667453,
        0.041666666666624127873,
        0.0083333333333300618325,
        0.0013888888917213716901,
        0.00019841269863053616878,
        0.000024801521295954375131,
        2.7557268459997064772e-6,
        2.7620088445409748161e-7,
        2.5100385495510319078e-8,
    ),
    4: (0.5, 0.16666576989698775683, 0.041666554617204574203, 0.0083631790527225773704, 0.00139261838),
}
# Steps between renormalisations, and the largest |z|·stride whose e^|z| leaves a derivative and its bound in
# the float range.
STRIDE = {8: 8, 4: 4}
_BUDGET = {8: 600.0, 4: 68.0}
EXPONENT_LIMIT = 2**30
# Beyond this |z| an int32 no longer holds the exponent of a long product.
_ARGUMENT_LIMIT = 2.0**28


class Orbit(NamedTuple):
    """Where an orbit stands: each pair is value + i·error bound, times 2**exponent where it has one."""

    state: Complex[Array, " n"]
    initial: Complex[Array, " n"]
    by_w: Complex[Array, " n"]
    by_b: Complex[Array, " n"]
    exponents: tuple[Int[Array, " n"], Int[Array, " n"], Int[Array, " n"]]


class _Neurons(NamedTuple):
    """The parameters; ε is one number or one a neuron."""

    w: Float[Array, " n"]
    b: Float[Array, " n"]
    epsilon: Float[Array, "..."]


def _roundoff(dtype: Any) -> float:
    return float(jnp.finfo(dtype).eps) / 2


def _start(x0: Float[Array, " n"]) -> Orbit:
    zero, one = jnp.zeros_like(x0), jnp.ones_like(x0)
    exponent = jnp.zeros(x0.shape, jnp.int32)
    nothing = lax.complex(zero, zero)
    return Orbit(
        lax.complex(x0, zero), lax.complex(one, zero), nothing, nothing, (exponent, exponent, exponent)
    )


def _exponential(y: Float[Array, " n"]) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """(m, n) with e^y = m·2^n, m in [0.7, 1.42], n a whole float (Cody and Waite's reduction)."""
    high, low = _LN2[y.dtype.itemsize]
    n = jnp.round(y * _LOG2_E)
    f = (y - n * high) - n * low
    square = f * f
    even, odd = _TAIL[y.dtype.itemsize][0::2], _TAIL[y.dtype.itemsize][1::2]
    return 1 + (f + square * (_polynomial(even, square) + f * _polynomial(odd, square))), n


def _polynomial(coefficients: tuple[float, ...], x: Float[Array, " n"]) -> Float[Array, " n"]:
    value = jnp.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value = value * x + coefficient
    return value


def _power(n: Float[Array, " n"]) -> Float[Array, " n"]:
    """2^n for a whole float n, by adding it to a constant whose low mantissa bits then hold it.

    The maximum, idle for the arguments met here, keeps XLA from folding the constant away.
    """
    info = jnp.finfo(n.dtype)
    integer = {8: jnp.int64, 4: jnp.int32}[n.dtype.itemsize]
    shifted = jnp.maximum(n, float(info.minexp)) + (1.5 * 2.0**info.nmant + (1 - int(info.minexp)))
    return lax.bitcast_convert_type(lax.bitcast_convert_type(shifted, integer) << info.nmant, n.dtype)


def _tail(z: Float[Array, " n"]) -> Float[Array, " n"]:
    """r = σ(−|z|), negative where z is (one use of one quotient: a second would make XLA store it)."""
    m, n = _exponential(-jnp.abs(z))
    e = m * _power(n)
    return jnp.where(z < 0, -e, e) / (1 + e)


def _fed(neurons: _Neurons, tail: Float[Array, " n"]) -> Float[Array, " n"]:
    """The part ε σ(z) of the next state that is fed back."""
    return neurons.epsilon * jnp.where(tail < 0, -tail, 1 - tail)


def _successor(neurons: _Neurons, step: Complex[Array, " n"]) -> Complex[Array, " n"]:
    """x_{t+1} + i r_{t+1} from x_t + i r_t."""
    x = (1 - neurons.epsilon) * jnp.real(step) + _fed(neurons, jnp.imag(step))
    return lax.complex(x, _tail(neurons.w * x + neurons.b))


def _steps(neurons: _Neurons, x: Float[Array, " n"], count: int, fence: Any) -> list[Complex[Array, " n"]]:
    """x_t + i r_t of the next ``count`` steps, each stored once."""
    step = lax.cond(
        fence,
        lambda x: lax.complex(x, _tail(neurons.w * x + neurons.b)),
        lambda x: lax.complex(x, x),
        x,
    )
    steps = [step]
    for _ in range(count - 1):
        step = lax.cond(fence, lambda step: _successor(neurons, step), lambda step: step, step)
        steps.append(step)
    return steps


def _renormalized(
    pair: Complex[Array, " n"], exponent: Int[Array, " n"]
) -> tuple[Float[Array, " n"], Float[Array, " n"], Int[Array, " n"]]:
    """Value, bound and exponent with |value| in [½, 1), or as they are where the value is 0."""
    value = jnp.real(pair)
    shift = exponent_of(value)
    factor = power_of_two(-shift, value.dtype)
    total = jnp.clip(exponent + shift, -EXPONENT_LIMIT, EXPONENT_LIMIT)
    return value * factor, jnp.imag(pair) * factor, total


def _packed(a: Float[Array, " n"], b: Float[Array, " n"]) -> Float[Array, " n"]:
    """Two float64 bounds in the bits of one: the upper half of each, rounded up by at most 2^−20."""
    low = jnp.asarray(2**32 - 1, jnp.int64)
    upper = (lax.bitcast_convert_type(a, jnp.int64) + low) & ~low
    lower = lax.shift_right_logical(lax.bitcast_convert_type(b, jnp.int64) + low, jnp.asarray(32, jnp.int64))
    return lax.bitcast_convert_type(upper | lower, a.dtype)


def _unpacked(both: Float[Array, " n"]) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    low = jnp.asarray(2**32 - 1, jnp.int64)
    bits = lax.bitcast_convert_type(both, jnp.int64)
    return (
        lax.bitcast_convert_type(bits & ~low, both.dtype),
        lax.bitcast_convert_type(bits << 32, both.dtype),
    )


class _Bounds(NamedTuple):
    """Bounds of the errors of p, q_w, q_b and x."""

    initial: Float[Array, " n"]
    by_w: Float[Array, " n"]
    by_b: Float[Array, " n"]
    state: Float[Array, " n"]


def _stored(bounds: _Bounds) -> tuple[Complex[Array, " n"], ...]:
    """Four bounds in one complex number in float64; in two in float32, whose halves would be too coarse."""
    first, second = (bounds.initial, bounds.by_b), (bounds.by_w, bounds.state)
    if bounds.state.dtype.itemsize == 8:
        return (lax.complex(_packed(*first), _packed(*second)),)
    return lax.complex(*first), lax.complex(*second)


def _loaded(stored: tuple[Complex[Array, " n"], ...]) -> _Bounds:
    if len(stored) == 1:
        first, second = _unpacked(jnp.real(stored[0])), _unpacked(jnp.imag(stored[0]))
    else:
        first, second = ((jnp.real(pair), jnp.imag(pair)) for pair in stored)
    return _Bounds(initial=first[0], by_b=first[1], by_w=second[0], state=second[1])


class _Stride(NamedTuple):
    """An orbit between two strides of the fast kernel: p + i q_b, q_w + i x, the bounds, the exponents."""

    direct: Complex[Array, " n"]
    with_state: Complex[Array, " n"]
    bounds: tuple[Complex[Array, " n"], ...]
    exponents: tuple[Int[Array, " n"], Int[Array, " n"], Int[Array, " n"]]


def _pack(orbit: Orbit) -> _Stride:
    pairs = (orbit.initial, orbit.by_w, orbit.by_b, orbit.state)
    p, q_w, q_b, x = (jnp.real(pair) for pair in pairs)
    bounds = _stored(_Bounds(*(jnp.imag(pair) for pair in pairs)))
    return _Stride(lax.complex(p, q_b), lax.complex(q_w, x), bounds, orbit.exponents)


def _unpack(stride: _Stride) -> Orbit:
    bounds = _loaded(stride.bounds)
    return Orbit(
        lax.complex(jnp.imag(stride.with_state), bounds.state),
        lax.complex(jnp.real(stride.direct), bounds.initial),
        lax.complex(jnp.real(stride.with_state), bounds.by_w),
        lax.complex(jnp.imag(stride.direct), bounds.by_b),
        stride.exponents,
    )


def _advance(neurons: _Neurons, stride: _Stride, steps: int, fence: Any) -> _Stride:
    """Run ``steps`` steps between two renormalisations."""
    orbit = _unpack(stride)
    w, b, eps = neurons
    u, keep = _roundoff(w.dtype), 1 - eps
    gain, reach, gain_size = eps * w, jnp.abs(w), jnp.abs(eps * w)
    x, d = jnp.real(orbit.state), jnp.imag(orbit.state)
    p, e_p, exponent_p = _renormalized(orbit.initial, orbit.exponents[0])
    q_w, e_w, exponent_w = _renormalized(orbit.by_w, orbit.exponents[1])
    q_b, e_b, exponent_b = _renormalized(orbit.by_b, orbit.exponents[2])
    into_w, into_b = (eps * power_of_two(-e, w.dtype) for e in (exponent_w, exponent_b))
    eta = u * (2 * reach * jnp.maximum(jnp.abs(x), 1.0) + jnp.abs(b))
    kept = fed = jnp.zeros_like(x)
    for step in _steps(neurons, x, steps, fence):
        x, signed = jnp.real(step), jnp.imag(step)
        kept, fed = keep * x, _fed(neurons, signed)
        r = jnp.abs(signed)
        slope = r - r * r
        a = keep + gain * slope
        size = jnp.abs(a)
        h = reach * d + eta
        bend = 1.36 * h
        slope_error = slope * (h * ((1 - 2 * r) + bend) + 10 * u)
        delta = gain_size * slope_error + (6 * u) * keep
        growth = size + delta
        e_p = growth * e_p + delta * jnp.abs(p)
        e_b = growth * e_b + (delta * jnp.abs(q_b) + into_b * slope_error)
        new = slope_error * (jnp.abs(x) + d) + slope * d
        e_w = growth * e_w + (delta * jnp.abs(q_w) + into_w * new)
        p, q_b, q_w = a * p, a * q_b + into_b * slope, a * q_w + into_w * (slope * x)
        rounding = (6 * u) * (jnp.abs(kept) + fed)
        d = size * d + ((eps * slope) * (eta + bend * h) + rounding)
        d = jnp.where(h <= 1, d, jnp.inf)
    bounds = _stored(_Bounds(initial=e_p, by_w=e_w, by_b=e_b, state=d))
    exponents = (exponent_p, exponent_w, exponent_b)
    return _Stride(lax.complex(p, q_b), lax.complex(q_w, kept + fed), bounds, exponents)


def _aligned(
    pair: Complex[Array, " n"], exponent: Int[Array, " n"], top: Int[Array, " n"]
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    factor = power_of_two(exponent - top, jnp.real(pair).dtype)
    return jnp.real(pair) * factor, jnp.imag(pair) * factor


def _advance_scaled(neurons: _Neurons, orbit: Orbit) -> Orbit:
    """One step with σ′ = unit·2^n, so that no |z| makes it underflow."""
    w, b, eps = neurons
    u, keep, reach = _roundoff(w.dtype), 1 - eps, jnp.abs(w)
    x, d = jnp.real(orbit.state), jnp.imag(orbit.state)
    z = w * x + b
    m, whole = _exponential(-jnp.minimum(jnp.abs(z), _ARGUMENT_LIMIT))
    n = whole.astype(jnp.int32)
    e = m * power_of_two(n, w.dtype)
    r = e / (1 + e)
    unit = m / jnp.square(1 + e)
    slope = unit * power_of_two(n, w.dtype)
    # Where 1 − ε > 0 it carries the factor a, and a σ′ too small for a float is nothing beside it.
    lift = jnp.where(keep == 0, n, jnp.zeros_like(n))
    scale = power_of_two(n - lift, w.dtype)
    a = keep + eps * w * unit * scale
    size = jnp.abs(a)
    eta = 2 * u * (2 * reach * jnp.maximum(jnp.abs(x), 1.0) + jnp.abs(b))
    h = jnp.where(jnp.abs(z) < _ARGUMENT_LIMIT, reach * d + eta, jnp.inf)
    unit_error = unit * (h * ((1 - 2 * r) + 1.36 * h) + 10 * u)
    delta = jnp.abs(eps * w) * unit_error * scale + (6 * u) * keep

    def follow(
        pair: Complex[Array, " n"], exponent: Int[Array, " n"], new: Any, new_error: Any
    ) -> tuple[Complex[Array, " n"], Int[Array, " n"]]:
        empty = (jnp.real(pair) == 0) & (jnp.imag(pair) == 0)
        moved = jnp.where(empty, -EXPONENT_LIMIT, exponent + lift)
        top = jnp.where(new_error == 0, moved, jnp.maximum(moved, n))
        value, error = _aligned(pair, moved, top)
        inflow = power_of_two(jnp.minimum(n - top, 0), w.dtype)
        error = size * error + delta * (jnp.abs(value) + error) + new_error * inflow
        value = a * value + new * inflow
        value, error, total = _renormalized(lax.complex(value, error), top)
        return lax.complex(value, error), total

    zero = jnp.zeros_like(w)
    initial, exponent_p = follow(orbit.initial, orbit.exponents[0], zero, zero)
    w_error = eps * (unit_error * (jnp.abs(x) + d) + unit * d)
    by_w, exponent_w = follow(orbit.by_w, orbit.exponents[1], eps * unit * x, w_error)
    by_b, exponent_b = follow(orbit.by_b, orbit.exponents[2], eps * unit, eps * unit_error)
    fed = eps * jnp.where(z < 0, r, 1 - r)
    # The last term covers a σ that underflows.
    rounding = (6 * u) * (jnp.abs(keep * x) + fed) + 2 * float(jnp.finfo(w.dtype).tiny)
    d = jnp.where(h <= 1, jnp.abs(keep + eps * w * slope) * d, jnp.inf)
    d = d + eps * slope * (eta + 1.36 * h * h) + rounding
    state = lax.complex(keep * x + fed, d)
    return Orbit(state, initial, by_w, by_b, (exponent_p, exponent_w, exponent_b))


class Case(NamedTuple):
    """What is known of all points of a call before anything compiles, so that less has to be.

    Attributes:
        gentle: no derivative can leave the float range within a stride; of traced numbers nobody knows.
        whole: the steps are a multiple of the stride.
    """

    gentle: bool = False
    whole: bool = False


#: Nothing is known.
ANY = Case()


def case_of(w: np.ndarray, b: np.ndarray, x0: np.ndarray, steps: int) -> Case:
    """The case of concrete numbers."""
    return Case(bool(_gentle(np, w, b, x0).all()), int(steps) % STRIDE[w.dtype.itemsize] == 0)


def _gentle(space: Any, w: Any, b: Any, x0: Any) -> Any:
    """Whether |z|·stride stays within the budget of the fast kernel, in NumPy or in JAX."""
    size = w.dtype.itemsize
    reach = space.abs(w) * space.maximum(space.abs(x0), 1.0) + space.abs(b)
    return reach * STRIDE[size] <= _BUDGET[size]


def run(
    w: Float[Array, " n"],
    b: Float[Array, " n"],
    x0: Float[Array, " n"],
    epsilon: Float[Array, "..."],
    steps: Int[Array, ""],
    case: Case = ANY,
) -> Orbit:
    """The orbit after ``steps`` steps, a traced number; ε is one number or has the shape of w."""
    neurons = _Neurons(w, b, epsilon)
    stride = STRIDE[w.dtype.itemsize]

    def fast() -> Orbit:
        moving = steps > 0
        orbit = lax.fori_loop(
            0,
            steps // stride,
            lambda _, orbit: _advance(neurons, orbit, stride, moving),
            _pack(_start(x0)),
        )
        if not case.whole:
            rest = steps % stride
            orbit = lax.fori_loop(0, rest, lambda _, orbit: _advance(neurons, orbit, 1, moving), orbit)
        return _unpack(orbit)

    if case.gentle:
        return fast()

    def slow() -> Orbit:
        return lax.fori_loop(0, steps, lambda _, orbit: _advance_scaled(neurons, orbit), _start(x0))

    gentle = _gentle(jnp, w, b, x0)
    quick = lax.cond(jnp.any(gentle), fast, lambda: _start(x0))
    careful = lax.cond(jnp.all(gentle), lambda: _start(x0), slow)
    return jax.tree.map(lambda a, b: jnp.where(gentle, a, b), quick, careful)
