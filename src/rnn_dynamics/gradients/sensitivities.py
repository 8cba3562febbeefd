"""The state at the end of an orbit and its derivatives, each with a running bound on its rounding error."""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int

from rnn_dynamics.cells.arguments import checked_start
from rnn_dynamics.cells.pytree import join, split
from rnn_dynamics.cells.saturation import exact_slopes
from rnn_dynamics.gradients import error_ellipsoids as ellipsoids
from rnn_dynamics.gradients.error_ellipsoids import Ellipsoid
from rnn_dynamics.numerics.reductions import all_finite, any_nonzero, largest
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.scaled import Scaled, exponent_of
from rnn_dynamics.numerics.status import Status, count_resolved
from rnn_dynamics.numerics.validation import real_array

_HIGHEST = jax.lax.Precision.HIGHEST
# Primitives without exponentials: an exact zero among their derivatives is no underflow.
# fmt: off
_ALGEBRAIC = frozenset((
    "abs", "add", "add_any", "broadcast_in_dim", "clamp", "concatenate", "convert_element_type", "copy",
    "div", "dot_general", "dynamic_slice", "eq", "ge", "gt", "integer_pow", "le", "lt", "max", "min",
    "mul", "ne", "neg", "one_minus_square", "reduce_max", "reduce_min", "reduce_sum", "reshape", "rev", "select_n",
    "sign", "slice", "split", "sqrt", "square", "squeeze", "stack", "stop_gradient", "sub", "tile", "transpose",
    "unstack"
))
# fmt: on


def resolution_limit(dtype: Any) -> float:
    """The largest error of a logarithm, relative to max(1, |ln|), that counts as resolved: 9.5 √u.

    u is the unit roundoff; 1e-7 in float64, 2.3e-3 in float32.
    """
    return 9.5 * math.sqrt(float(jnp.finfo(dtype).eps) / 2)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Sensitivities(Result):
    """x_T with its derivatives by x_0 and by the parameters, and what rounding may have done to them.

    Attributes:
        state: x_T.
        initial: ∂x_T/∂x_0.
        parameters: ∂x_T/∂θ, one entry a parameter, in the order of the parameters.
        state_error: bound on |error of x_T|.
        log_error: bound on the error of ln|∂x_T/∂x_0|; inf where the error may be as large as the value, 0
            where the value is an exact zero.
        parameter_log_errors: the same bound for every parameter's derivative.
        status: RESOLVED; UNRESOLVED where the log error of any of the derivatives passes
            ``resolution_limit(dtype)·max(1, |ln|)`` (the log errors tell which one); DIVERGED where x_T is
            not finite.

    The bounds are of first order in the unit roundoff, with a guard for the second order. They bound the
    rounding of this computation on the floats that were given, not the uncertainty of those floats.
    """

    state: Float[Array, "..."]
    initial: Scaled
    parameters: tuple[Scaled, ...]
    state_error: Float[Array, "..."]
    log_error: Float[Array, "..."]
    parameter_log_errors: tuple[Float[Array, "..."], ...]
    status: Int[Array, "..."]

    _axes: ClassVar = {"...": "grid"}

    def __repr__(self) -> str:
        shape, dtype = self.state.shape, self.state.dtype
        text = f"Sensitivities(shape={shape}, dtype={dtype}, parameters={len(self.parameters)}"
        if isinstance(self.status, Tracer):
            return text + ", traced)"
        if not self.status.ndim and self.initial.unit.ndim == 0:
            described = (
                f"x_T={float(self.state):.6g} ± {float(self.state_error):.1g}, ∂x_T/∂x_0={self.initial!r}"
            )
            return f"Sensitivities({described}, {Status(int(self.status)).name})"
        count = count_resolved(self.status)
        return text + f", resolved={count} of {self.status.size})"


def sensitivities(
    family: Callable[..., Any], parameters: Sequence[Any], x0: Any, steps: int | None, *, inputs: Any = None
) -> Sensitivities:
    """x_T, ∂x_T/∂x_0 and ∂x_T/∂θ of any family of maps, with a running bound on their rounding errors.

    x ← F(x, θ, u) with P ← J P and Q ← J Q + ∂F/∂θ. The error of x turns with J and grows by the rounding
    of the step; through the second derivatives of F it disturbs J, hence P and Q. Nothing is divided by J.
    Each step is taken to be exact for a state, inputs and cell arrays that are off by a few roundings, and to
    round its value by a few; a cell that cancels larger intermediate numbers of its own breaks this.

    Args:
        family: ``family(*parameters) -> cell``, a class of cells among them. A fresh closure compiles anew.
        parameters: one array or pytree of arrays for each parameter; each is flattened.
        x0: the first state, shape (n,) or ().
        steps: T ≥ 0; ``None`` takes the length of ``inputs``. A new T does not compile anew.
        inputs: pytree of arrays with a leading time axis of length T, or ``None``.

    Returns:
        ``Sensitivities``; ``initial`` is a scaled (n, n) matrix and each entry of ``parameters`` (n, size).
        For a state of shape () they are a scalar, and a vector of the parameter's size (a scalar for a
        scalar).
        For matrices the log errors are those of ln‖·‖_F, and ``state_error`` has the shape of the state.

    Raises:
        TypeError, ValueError: as ``rollout``; parameters that are no arrays of finite real numbers.

    Memory and work for p parameters in all: n(n + p) numbers and n + p + n² step evaluations with their
    tangents at every step, so this is for small networks; ``jacobian_products`` has no such limit. A product
    that is exactly zero is UNRESOLVED where the cell has exponentials, as it may have underflowed.

    Reference: R. J. Williams, D. Zipser, Neural Computation 1, 270 (1989), for derivatives carried forward.
    """
    if not callable(family):
        raise TypeError(f"family: expected a callable family(*parameters), got {type(family).__name__}")
    parameters = _checked_parameters(parameters)
    state, inputs, steps = checked_start(family(*parameters), x0, inputs, steps)
    parameters = jax.tree_util.tree_map(lambda leaf: leaf.astype(state.dtype), parameters)
    static, arrays = split(family)
    return evaluate(static, arrays, parameters, state, inputs, jnp.asarray(steps, jnp.int32))


def _checked_parameters(parameters: Any) -> tuple[Any, ...]:
    if not isinstance(parameters, tuple | list):
        raise TypeError(
            f"parameters: expected a tuple, one entry a parameter, got {type(parameters).__name__}"
        )
    return tuple(
        jax.tree_util.tree_map(lambda leaf, i=i: real_array(f"parameters[{i}]", leaf), parameter)
        for i, parameter in enumerate(parameters)
    )


class _Derivatives(NamedTuple):
    """The step and its first derivatives; or, of the same shapes, bounds on what disturbs them."""

    value: Float[Array, " n"]
    jacobian: Float[Array, "n n"]
    parameters: tuple[Float[Array, "n size"], ...]


class _Product(NamedTuple):
    """A product unit·2^exponent whose error has the same exponent."""

    unit: Float[Array, "n columns"]
    exponent: Int[Array, ""]
    error: Ellipsoid


class _Carry(NamedTuple):
    state: Float[Array, " n"]
    state_error: Ellipsoid
    initial: _Product
    parameters: tuple[_Product, ...]


class _Step(NamedTuple):
    """One step as a function of flat arrays, and what its error model needs."""

    function: Callable[..., Array]
    scales: int
    smallest: float


def _make_step(family: Any, unravel: Any, shape: tuple, u: Any, example: Any) -> _Step:
    """F(x, θ, s): every array of the cell and of the input is multiplied by its own 1 + s, at s = 0."""

    def function(x: Array, flat: tuple, scales: Array) -> Array:
        cell = family(*(back(vector) for back, vector in zip(unravel, flat, strict=True)))
        leaves, structure = jax.tree_util.tree_flatten((cell, u))
        count = 0
        for i, leaf in enumerate(leaves):
            if isinstance(leaf, float) or jnp.issubdtype(getattr(leaf, "dtype", jnp.int32), jnp.floating):
                array = jnp.asarray(leaf, x.dtype)
                leaves[i], count = array * (1 + scales[count]), count + 1
        cell, scaled_input = jax.tree_util.tree_unflatten(structure, leaves)
        return cell(x.reshape(shape), scaled_input).reshape(-1)

    x, flat = example
    cell = family(*(back(vector) for back, vector in zip(unravel, flat, strict=True)))
    leaves = jax.tree_util.tree_leaves((cell, u))
    scales = sum(
        isinstance(leaf, float) or jnp.issubdtype(getattr(leaf, "dtype", jnp.int32), jnp.floating)
        for leaf in leaves
    )
    traced = jax.make_jaxpr(function)(x, flat, jnp.zeros(scales, x.dtype))
    smallest = 0.0 if _is_algebraic(traced.jaxpr) else 8 * float(jnp.finfo(x.dtype).tiny)
    return _Step(exact_slopes(function), scales, smallest)


def _is_algebraic(jaxpr: Any) -> bool:
    for equation in jaxpr.eqns:
        inner = [getattr(value, "jaxpr", None) for value in equation.params.values()]
        bodies = [body for body in inner if body is not None]
        if not bodies and equation.primitive.name not in _ALGEBRAIC:
            return False
        if not all(map(_is_algebraic, bodies)):
            return False
    return True


def _first_order(step: _Step, x: Array, flat: tuple, scales: Array) -> _Derivatives:
    jacobian, along = jax.jacfwd(step.function, argnums=(0, 1))(x, flat, scales)
    return _Derivatives(step.function(x, flat, scales), jacobian, along)


def _disturbances(step: _Step, x: Array, flat: tuple, error: Array) -> tuple[_Derivatives, _Derivatives]:
    """The derivatives at x, and a bound on each one's distance from its exact value at the exact state."""
    count = x.shape[0] + 6
    unit = float(jnp.finfo(x.dtype).eps) / 2
    scales = jnp.zeros(step.scales, x.dtype)
    at = _first_order(step, x, flat, scales)
    radii = jnp.concatenate([error + count * unit * jnp.abs(x), jnp.full_like(scales, count * unit)])

    def add_direction(total: _Derivatives, inputs: tuple[Array, Array]) -> tuple[_Derivatives, None]:
        direction, radius = inputs
        dx, ds = direction[: x.shape[0]], direction[x.shape[0] :]

        def along(at: Array) -> _Derivatives:
            return jax.jvp(lambda x, s: _first_order(step, x, flat, s), (at, scales), (dx, ds))[1]

        # At x alone the second derivative may vanish (x = ½ of the symmetric neuron) while the error grows.
        tangent = jax.vmap(along)(jnp.stack([x, x + error]))
        return jax.tree_util.tree_map(lambda t, d: t + radius * largest(d, axis=0), total, tangent), None

    start = jax.tree_util.tree_map(lambda a: count * unit * jnp.abs(a) + step.smallest, at)
    directions = jnp.eye(radii.shape[0], dtype=x.dtype)
    return at, jax.lax.scan(add_direction, start, (directions, radii))[0]


def _advance(step: _Step, flat: tuple, carry: _Carry) -> _Carry:
    error = ellipsoids.row_bounds(carry.state_error)
    at, off = _disturbances(step, carry.state, flat, error)
    # The part of off.value that J·error makes is carried by the ellipsoid; the rest is this step's own.
    own = off.value - _times(jnp.abs(at.jacobian), error) + 0.5 * _times(off.jacobian, error)
    state_error = ellipsoids.propagate(at.jacobian, carry.state_error, jnp.maximum(own, 0)[:, None])
    initial = _multiply(at.jacobian, off.jacobian, carry.initial)
    parameters = tuple(
        _multiply(at.jacobian, off.jacobian, product, at.parameters[i], off.parameters[i])
        for i, product in enumerate(carry.parameters)
    )
    return _Carry(at.value, state_error, initial, parameters)


def _times(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision=_HIGHEST)


def _multiply(
    jacobian: Array, off: Array, product: _Product, added: Array | None = None, off_added: Array | None = None
) -> _Product:
    """J P, or J P + K, with the disturbances of J and K; renormalised by a power of two."""
    count = (jacobian.shape[0] + 2) * float(jnp.finfo(jacobian.dtype).eps) / 2
    exponent = product.exponent
    if added is not None:
        exponent = jnp.maximum(exponent, exponent_of(jnp.max(jnp.abs(added), initial=0.0)))
        empty = ~any_nonzero(product.unit)
        exponent = jnp.where(empty, exponent_of(jnp.max(jnp.abs(added), initial=0.0)), exponent)
        product = _shifted(product, product.exponent - exponent, exponent)
    unit = _times(jacobian, product.unit)
    rows = ellipsoids.row_bounds(product.error)
    size = jnp.abs(product.unit) + rows[:, None]
    local = _times(off + count * jnp.abs(jacobian), size)
    if added is not None and off_added is not None:
        unit = unit + Scaled(added, -exponent).to_float()
        local = local + Scaled(off_added + count * jnp.abs(added), -exponent).to_float()
    error = ellipsoids.propagate(jacobian, product.error, local)
    largest = jnp.max(jnp.abs(unit), initial=0.0)
    shift = exponent_of(jnp.where(largest == 0, error.size, largest))
    return _shifted(_Product(unit, exponent, error), -shift, exponent + shift)


def _shifted(product: _Product, shift: Array, exponent: Array) -> _Product:
    """Return the same value at another exponent."""
    unit = Scaled(product.unit, shift, product.unit.ndim).to_float()
    size = Scaled(product.error.size, shift).to_float()
    return _Product(unit, exponent, Ellipsoid(size, product.error.shape))


@functools.partial(jax.jit, static_argnums=0)
def evaluate(
    static: Any, arrays: Any, parameters: tuple, x0: Array, inputs: Any, steps: Array
) -> Sensitivities:
    """``sensitivities`` of arguments that are checked, the family taken apart by ``split``; traceable."""
    family = join(static, arrays)
    ravelled = [ravel_pytree(parameter) for parameter in parameters]
    flat, unravel = tuple(vector for vector, _ in ravelled), [back for _, back in ravelled]
    x, n = x0.reshape(-1), x0.size
    # Without any step the loop is traced all the same: a row that nothing reads.
    inputs = jax.tree_util.tree_map(
        lambda leaf: leaf if leaf.shape[0] else jnp.zeros((1, *leaf.shape[1:]), leaf.dtype), inputs
    )

    def body(t: Array, carry: _Carry) -> _Carry:
        u = jax.tree_util.tree_map(lambda leaf: leaf[t], inputs)
        return _advance(_make_step(family, unravel, x0.shape, u, (x, flat)), flat, carry)

    def product(unit: Array) -> _Product:
        return _Product(unit, jnp.zeros((), jnp.int32), ellipsoids.exact(n, x.dtype))

    start = _Carry(
        x,
        ellipsoids.exact(n, x.dtype),
        product(jnp.eye(n, dtype=x.dtype)),
        tuple(product(jnp.zeros((n, vector.size), x.dtype)) for vector in flat),
    )
    end = jax.lax.fori_loop(0, steps, body, start)
    scalar = [
        jax.tree_util.treedef_is_leaf(jax.tree_util.tree_structure(p)) and not jnp.ndim(p) for p in parameters
    ]
    return _result(end, x0.shape, scalar)


def _result(end: _Carry, shape: tuple, scalar: list[bool]) -> Sensitivities:
    finite = all_finite(end.state)
    initial = _scaled(end.initial, shape, scalar=True)
    derivatives = tuple(
        _scaled(product, shape, one) for product, one in zip(end.parameters, scalar, strict=True)
    )
    log_errors, resolved = [], finite
    for product in (end.initial, *end.parameters):
        log_error, known = _log_error(product)
        log_errors.append(log_error)
        resolved = resolved & known
    error = ellipsoids.row_bounds(end.state_error).reshape(shape)
    status = jnp.where(resolved, int(Status.RESOLVED), int(Status.UNRESOLVED))
    return Sensitivities(
        state=end.state.reshape(shape),
        initial=initial,
        parameters=derivatives,
        state_error=jnp.where(jnp.isnan(error), jnp.inf, error),
        log_error=log_errors[0],
        parameter_log_errors=tuple(log_errors[1:]),
        status=jnp.where(finite, status, int(Status.DIVERGED)).astype(jnp.int32),
    )


def _scaled(product: _Product, shape: tuple, scalar: bool) -> Scaled:
    """A matrix; for one neuron a vector over the parameter, or a scalar."""
    if shape:
        return Scaled(product.unit, product.exponent, 2).normalize()
    if scalar:
        return Scaled(product.unit[0, 0], product.exponent, 0).normalize()
    return Scaled(product.unit[0], product.exponent, 1).normalize()


def _log_error(product: _Product) -> tuple[Array, Array]:
    """A bound on the error of ln‖P‖_F, and whether it is small enough."""
    size = Scaled(product.unit, product.exponent, 2).norm("fro")
    error = Scaled(product.error.size, product.exponent).normalize()
    exact = (error.unit == 0) & (size.unit == 0)
    ratio = jnp.where(
        size.unit == 0, jnp.inf, Scaled(error.unit, error.exponent - size.exponent).to_float() / size.unit
    )
    small = ratio < 0.5  # NaN is not small.
    rounding = float(jnp.finfo(size.dtype).eps) * (1 + jnp.abs(size.log()))
    bound = jnp.where(small, -jnp.log1p(-jnp.where(small, ratio, 0.0)) + rounding, jnp.inf)
    bound = jnp.where(exact, jnp.zeros_like(bound), bound)
    largest = resolution_limit(size.dtype) * jnp.maximum(1, jnp.abs(size.log()))
    return bound, exact | (jnp.isfinite(bound) & (bound <= largest))
