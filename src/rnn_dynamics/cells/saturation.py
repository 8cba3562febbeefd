"""A user's cell with the derivatives of ``tanh`` and ``logistic`` made right in saturation.

A cell that calls ``jnp.tanh`` or ``jax.nn.sigmoid`` has a derivative of exactly 0 once the unit saturates,
and the product of its Jacobians is then 0 where the truth is 1e−300. Here the cell's jaxpr is run again with
those two primitives replaced by ones of the same values whose derivatives are right.
"""

from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Literal
from jaxtyping import Array, Float

from rnn_dynamics.cells.activations import sigmoid_derivative, tanh


@jax.custom_jvp
def _logistic(z: Float[Array, "..."]) -> Float[Array, "..."]:
    """XLA's σ(z), so that the cell's values do not change, with the derivative σ(z) σ(−z)."""
    return jax.lax.logistic(z)


@_logistic.defjvp
def _logistic_jvp(primals: tuple, tangents: tuple) -> tuple:
    (z,), (dz,) = primals, tangents
    return _logistic(z), sigmoid_derivative(z) * dz


_REPLACED = {"tanh": tanh, "logistic": _logistic}
_TRANSPARENT = {
    "pjit",
    "jit",
    "closed_call",
    "core_call",
    "core_closed_call",
    "checkpoint",
    "remat",
    "remat2",
}
_BODIES = {"scan": ("jaxpr",), "while": ("cond_jaxpr", "body_jaxpr"), "cond": ("branches",)}


def exact_slopes(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function``, its derivatives through ``tanh`` and ``logistic`` made right in saturation.

    Calls under ``jit`` and ``checkpoint`` and bodies of ``scan``, ``while_loop`` and ``cond`` are followed;
    custom derivative rules are left as they are.
    """

    def rewritten(*arguments: Any) -> Any:
        closed, shape = jax.make_jaxpr(function, return_shape=True)(*arguments)
        outputs = _evaluate(closed.jaxpr, closed.consts, jax.tree_util.tree_leaves(arguments))
        return jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(shape), outputs)

    return rewritten


def _evaluate(jaxpr: Any, constants: Any, arguments: Any) -> list[Any]:
    values: dict[Any, Any] = dict(
        zip((*jaxpr.constvars, *jaxpr.invars), (*constants, *arguments), strict=True)
    )
    for equation in jaxpr.eqns:
        operands = [a.val if isinstance(a, Literal) else values[a] for a in equation.invars]
        values.update(zip(equation.outvars, _apply(equation, operands), strict=True))
    return [a.val if isinstance(a, Literal) else values[a] for a in jaxpr.outvars]


def _apply(equation: Any, operands: list[Any]) -> list[Any]:
    name = equation.primitive.name
    if name in _REPLACED and jax.numpy.issubdtype(operands[0].dtype, jax.numpy.floating):
        return [_REPLACED[name](operands[0])]
    if name in _TRANSPARENT:
        inner = equation.params.get("jaxpr") or equation.params["call_jaxpr"]
        if isinstance(inner, ClosedJaxpr):
            return _evaluate(inner.jaxpr, inner.consts, operands)
        return _evaluate(inner, (), operands)
    bound = equation.primitive.get_bind_params(_with_bodies(name, equation.params))
    functions, parameters = bound if isinstance(bound, tuple) else ((), bound)  # a pair before JAX 0.10
    result = equation.primitive.bind(*functions, *operands, **parameters)
    return list(result) if equation.primitive.multiple_results else [result]


def _with_bodies(name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """A primitive's parameters with the bodies that it runs rewritten."""
    fresh = dict(parameters)
    for key in _BODIES.get(name, ()):
        body = parameters[key]
        fresh[key] = tuple(map(_rewritten_body, body)) if isinstance(body, tuple) else _rewritten_body(body)
    return fresh


def _rewritten_body(body: ClosedJaxpr) -> ClosedJaxpr:
    def run(*arguments: Any) -> list[Any]:
        return _evaluate(body.jaxpr, body.consts, arguments)

    shapes = [jax.ShapeDtypeStruct(a.shape, a.dtype, weak_type=a.weak_type) for a in body.in_avals]
    again = jax.make_jaxpr(run)(*shapes)
    return body if again.consts else again
