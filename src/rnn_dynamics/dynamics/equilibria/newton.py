"""Newton's method on x − F^p(x), for one state; batches are made outside and their shapes are fixed.

States are flat vectors here. A round is a few steps for a batch of starts; which of them go on is decided between
rounds on the host, so that a batch holds only what still moves and nothing is compiled twice.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnn_dynamics.cells.pytree import join
from rnn_dynamics.dynamics.return_map import IteratedMap, iterate, repeated

_HIGHEST = jax.lax.Precision.HIGHEST
_STEPS_OF_A_ROUND = 2
_HALVINGS = 10
_POLISHING_STEPS = 6
_LEAST_EXPONENT, _LARGEST_EXPONENT = -4, 6
_NOISE = 6  # of these distances show how far F^p rounds


def _norm(vector: Array) -> Array:
    return jnp.sqrt(jnp.sum(jnp.square(vector)))


def _identity(x: Array) -> Array:
    return jnp.eye(x.size, dtype=x.dtype)


def _solve(matrix: Float[Array, "n n"], vector: Float[Array, " n"]) -> Float[Array, " n"]:
    if vector.size == 1:
        return vector / matrix[0]
    return jnp.linalg.solve(matrix, vector[:, None])[:, 0]


def _damped_step(system: IteratedMap, x: Array) -> tuple[Array, Array, Array]:
    """The best of the full Newton step and its halves; the residual there, and whether nothing was gained."""
    image, jacobian = system.with_jacobian(x)
    rest = system.rest(x, image)
    before = _norm(rest)
    step = _solve(_identity(x) - jacobian, -rest)
    lengths = 2.0 ** -jnp.arange(_HALVINGS, dtype=x.dtype)
    trials = x[None] + lengths[:, None] * step[None]
    sizes = jax.vmap(system.residual_size)(trials)
    best = jnp.argmin(sizes)
    gained = sizes[best] < before
    return jnp.where(gained, trials[best], x), jnp.where(gained, sizes[best], before), ~gained


@functools.partial(jax.jit, static_argnums=(0, 5))
def damped_round(
    static: Any, arrays: Any, x: Float[Array, "batch n"], inputs: Any, steps: Any, shape: tuple[int, ...]
) -> tuple[Float[Array, "batch n"], Float[Array, " batch"], Array]:
    """A few damped Newton steps: states, ‖x − F^p(x)‖ there, and where the last step gained nothing."""
    system = IteratedMap(join(static, arrays), inputs, steps, shape)

    def one(start: Array) -> tuple[Array, Array, Array]:
        carry = _damped_step(system, start)
        return jax.lax.fori_loop(1, _STEPS_OF_A_ROUND, lambda _, c: _damped_step(system, c[0]), carry)

    return jax.vmap(one)(x)


def _quadratic_step(system: IteratedMap, image_of: Any, carry: tuple[Array, ...]) -> tuple[Array, ...]:
    """One step of a regularised Newton method on q = ½‖x − F^p(x)‖² with its full Hessian."""
    x, damping, *_ = carry
    image, jacobian = system.with_jacobian(x)
    rest, matrix = system.rest(x, image), _identity(x) - jacobian
    gradient = jnp.matmul(matrix.T, rest, precision=_HIGHEST)
    curved = jax.jacfwd(lambda at: jax.vjp(image_of, at)[1](rest)[0])(x)
    hessian = jnp.matmul(matrix.T, matrix, precision=_HIGHEST) - (curved + curved.T) / 2
    scale = 1 + jnp.sum(jnp.square(jacobian)) / x.size
    regular = hessian + damping * scale * _identity(x)
    factor = jnp.linalg.cholesky(regular)
    half = jax.scipy.linalg.solve_triangular(factor, -gradient, lower=True)
    step = jax.scipy.linalg.solve_triangular(factor, half, lower=True, trans=1)
    size, before = system.residual_size(x + step), _norm(rest)
    gained = size < before
    # A step whose gain drowns in rounding still halves the gradient; it is taken where the matrix was definite.
    level = 8 * float(jnp.finfo(x.dtype).eps) * before
    taken = gained | (jnp.isfinite(size) & (size <= before + level))
    following = jnp.where(taken, damping / 8, jnp.minimum(damping * 8 + 1e-8, jnp.full_like(damping, 1e12)))
    slope = _norm(gradient) / (jnp.sqrt(scale) * before)
    convex = jnp.min(jnp.square(jnp.diagonal(factor))) > 2 * damping * scale
    return jnp.where(taken, x + step, x), following, jnp.where(taken, size, before), slope, convex


@functools.partial(jax.jit, static_argnums=(0, 5, 6))
def quadratic_round(
    static: Any, arrays: Any, x: Array, damping: Array, inputs: Any, steps: int, shape: tuple[int, ...]
) -> tuple[Array, ...]:
    """A few regularised Newton steps on q = ½‖x − F^p(x)‖².

    Returns:
        States, damping, ‖x − F^p(x)‖, ‖∇q‖/‖x − F^p(x)‖ over the size of J before the last step, and whether q
        was convex there, by more than the damping.
    """
    cell = join(static, arrays)
    system, sequence = IteratedMap(cell, inputs, steps, shape), repeated(inputs, steps)

    def image_of(state: Array) -> Array:
        """F^p by a scan of known length, which reverse mode can go through."""
        return iterate(cell, state.reshape(shape), sequence, steps)[0].reshape(-1)

    def one(start: Array, damping: Array) -> tuple[Array, ...]:
        carry = _quadratic_step(system, image_of, (start, damping))
        return jax.lax.fori_loop(
            1, _STEPS_OF_A_ROUND, lambda _, c: _quadratic_step(system, image_of, c), carry
        )

    return jax.vmap(one)(x, damping)


class Polished(NamedTuple):
    """Newton's iterate of the least residual max|F^p(x) − x|, and what was seen at the start.

    Attributes:
        x, residual, jacobian: of that iterate; the Jacobian is that of F^p.
        image, at_start: F^p of the start and its Jacobian there.
    """

    x: Float[Array, " n"]
    residual: Float[Array, ""]
    jacobian: Float[Array, "n n"]
    image: Float[Array, " n"]
    at_start: Float[Array, "n n"]


def polished(system: IteratedMap, x: Float[Array, " n"], steps: int) -> Polished:
    """Plain Newton steps on F^p(x) = x, of which the state of the smallest residual is kept; no NaN is."""
    one = _identity(x)

    def improve(i: Array, carry: tuple[Array, Polished]) -> tuple[Array, Polished]:
        x, found = carry
        image, jacobian = system.with_jacobian(x)
        rest = system.rest(x, image)
        residual = jnp.max(jnp.abs(rest))
        better = residual < found.residual  # a NaN is not
        best = Polished(
            jnp.where(better, x, found.x),
            jnp.where(better, residual, found.residual),
            jnp.where(better, jacobian, found.jacobian),
            jnp.where(i == 0, image, found.image),
            jnp.where(i == 0, jacobian, found.at_start),
        )
        moved = x + _solve(one - jacobian, -rest)
        return jnp.where(jnp.isfinite(moved).all(), moved, x), best

    start = Polished(x, jnp.full((), jnp.inf, x.dtype), one, x, one)
    return jax.lax.fori_loop(0, steps + 1, improve, (x, start))[1]


@functools.partial(jax.jit, static_argnums=(0, 5))
def polish(
    static: Any, arrays: Any, x: Float[Array, "batch n"], inputs: Any, steps: Any, shape: tuple[int, ...]
) -> Float[Array, "batch n"]:
    """Return the ``polished`` states."""
    system = IteratedMap(join(static, arrays), inputs, steps, shape)
    return jax.vmap(lambda start: polished(system, start, _POLISHING_STEPS).x)(x)


@functools.partial(jax.jit, static_argnums=(0, 5, 6))
def polish_each(
    static: Any, arrays: Any, x: Array, periods: Array, inputs: Any, shape: tuple[int, ...], steps: int
) -> tuple[Float[Array, "batch n"], Float[Array, " batch"]]:
    """``polished`` states with their residuals after so many steps, each of a period of its own."""
    cell = join(static, arrays)

    def one(start: Array, period: Array) -> tuple[Array, Array]:
        found = polished(IteratedMap(cell, inputs, period, shape), start, steps)
        return found.x, found.residual

    return jax.vmap(one)(x, periods)


_TRANSIENT_STEPS = 25


def _transient_step(system: IteratedMap, carry: tuple[Array, Array]) -> tuple[Array, Array]:
    """One step of pseudo-transient continuation, x + (I/τ + I − J)⁻¹ (F^p(x) − x), and the next τ.

    τ grows while the linear model held over the step, so that x follows the flow of x′ = F^p(x) − x in ever longer
    steps, and shrinks, the step refused, where the model's defect was no longer small against I/τ.
    """
    x, time = carry
    image, jacobian = system.with_jacobian(x)
    rest = -system.rest(x, image)
    move = _solve(_identity(x) / time + _identity(x) - jacobian, rest)
    there = x + move
    later = -system.rest(there, system(there))
    linear = rest + jnp.matmul(jacobian, move, precision=_HIGHEST) - move
    defect = _norm(later - linear) * time / jnp.maximum(_norm(move), float(jnp.finfo(x.dtype).tiny))
    taken = jnp.isfinite(there).all() & (defect < 0.5)
    most = jnp.full_like(time, 1 / float(jnp.finfo(x.dtype).eps))
    longer = jnp.minimum(time * jnp.where(defect < 0.1, 4.0, 1.5).astype(x.dtype), most)
    return jnp.where(taken, there, x), jnp.where(taken, longer, time / 4)


@functools.partial(jax.jit, static_argnums=(0, 5))
def transient_round(
    static: Any, arrays: Any, x: Float[Array, "batch n"], inputs: Any, steps: Any, shape: tuple[int, ...]
) -> Float[Array, "batch n"]:
    """States that pseudo-transient continuation takes x to in a few long steps along the flow of F^p(x) − x.

    Reference: C. Kelley, D. Keyes, "Convergence analysis of pseudo-transient continuation", SIAM Journal on
    Numerical Analysis 35, 1998.
    """
    system = IteratedMap(join(static, arrays), inputs, steps, shape)

    def one(start: Array) -> Array:
        carry = start, jnp.full((), 10.0, start.dtype)
        return jax.lax.fori_loop(0, _TRANSIENT_STEPS, lambda _, c: _transient_step(system, c), carry)[0]

    return jax.vmap(one)(x)


class MeasuredRoots(NamedTuple):
    """What is known of a root x of x = F^p(x).

    Attributes:
        residual: ‖x − F^p(x)‖.
        error: how far the root may be from x: the distance along the weakest direction of I − J beyond which
            the residual stands out of its rounding.
        resolved: whether I − J is all but constant as far as that, and the residual so grows in proportion to the
            distance; it does not at a multiple root.
        jacobian: J = ∂F^p/∂x.
        change: ‖J′ − J‖ between x and a state ``error`` away: how far the multipliers may be off.
    """

    residual: Float[Array, ""]
    error: Float[Array, ""]
    resolved: Array
    jacobian: Float[Array, "n n"]
    change: Float[Array, ""]


def _measure(system: IteratedMap, x: Array) -> MeasuredRoots:
    image, jacobian = system.with_jacobian(x)
    rest = system.rest(x, image)
    finite = jnp.isfinite(jacobian).all() & jnp.isfinite(image).all()
    safe = jnp.where(finite, jacobian, jnp.zeros_like(jacobian))
    left, values, right = jnp.linalg.svd(_identity(x) - safe)
    left, weakest, right = left[:, -1], values[-1], right[-1]
    unit = float(jnp.finfo(x.dtype).eps)
    size = jnp.sqrt(jnp.sum(jnp.square(safe)))
    scale = system.scale(x)
    rounding = _norm(rest) + 2 * unit * scale * (1 + size)
    bits = jnp.finfo(x.dtype).nmant
    exponents = jnp.arange(_LEAST_EXPONENT - bits, _LARGEST_EXPONENT, dtype=x.dtype)
    distances = scale * jnp.exp2(exponents)

    def seen(distance: Array) -> Array:
        along = distance * right
        there = jnp.stack([x + along, x - along])
        residuals = system.rest(there, jax.vmap(system)(there))
        return jnp.min(jnp.abs(jnp.sum(left[None] * residuals, axis=1)))

    looks = jax.vmap(seen)(distances)
    # Along a cycle rounding grows and shrinks again: at the least distances nothing but that is seen.
    noise = jnp.where(jnp.isfinite(looks[:_NOISE]), looks[:_NOISE], 0)
    rounding = jnp.maximum(rounding, jnp.max(noise))
    stands_out = looks >= 2 * rounding
    first = jnp.argmax(stands_out)
    infinite = jnp.full((), jnp.inf, x.dtype)
    error = jnp.where(stands_out.any(), distances[first], infinite)
    along = jnp.where(jnp.isfinite(error), error, scale) * right
    near = jax.vmap(lambda at: system.with_jacobian(at)[1])(jnp.stack([x + along, x - along]))
    change = jnp.sqrt(jnp.max(jnp.sum(jnp.square(near - jacobian[None]), axis=(1, 2))))
    # Within its error a simple root's Jacobian is all but constant; a multiple root's I − J is not.
    resolved = (weakest * error >= rounding) & (2 * change <= weakest)
    return MeasuredRoots(
        jnp.where(finite, _norm(rest), infinite), error, resolved & jnp.isfinite(error), jacobian, change
    )


@functools.partial(jax.jit, static_argnums=(0, 5))
def measure(
    static: Any, arrays: Any, x: Float[Array, "batch n"], inputs: Any, steps: Any, shape: tuple[int, ...]
) -> MeasuredRoots:
    """Return the ``MeasuredRoots`` of the states."""
    return jax.vmap(functools.partial(_measure, IteratedMap(join(static, arrays), inputs, steps, shape)))(x)
