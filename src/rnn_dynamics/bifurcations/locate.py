"""Bifurcations of fixed points and cycles located to rounding, by Newton's method on the systems of ``systems``."""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rnn_dynamics.arclength import solve_square
from rnn_dynamics.bifurcations import normal_forms, systems
from rnn_dynamics.bifurcations.points import SpecialPoint
from rnn_dynamics.eigen import eigenvalues
from rnn_dynamics.iterates import ReturnMap, return_map
from rnn_dynamics.status import Status
from rnn_dynamics.validation import choice, real_array

__all__ = ["KINDS", "bifurcation_parameter", "locate", "located"]

#: Events of codimension one; "branch" is told apart into pitchfork and transcritical once it is found.
KINDS = ("fold", "flip", "neimark-sacker", "branch")


class _Found(NamedTuple):
    x: Array
    parameter: Array
    interval: Array
    precision: Array
    converged: Array
    matrix: Array
    extra: Array


def _finished(whole: ReturnMap, system: Any, start: Array) -> _Found:
    """Newton's method from ``start`` = (x, λ, …), and what rounding leaves open."""
    y, step, converged, derivative = solve_square(system, start)
    size = whole.size
    x, parameter = y[:size], y[size]
    image = whole(x, parameter)
    noise = 4 * float(jnp.finfo(y.dtype).eps) * (1 + jnp.max(jnp.abs(x)) + jnp.max(jnp.abs(image)))
    spread = jnp.sum(jnp.abs(jnp.linalg.inv(derivative)), axis=1) * noise
    interval = jnp.maximum(spread[size], jnp.abs(step[size]))
    matrix = systems.jacobian(whole, x, parameter)
    extra = y[size + 1] if y.shape[0] > size + 1 else jnp.zeros_like(parameter)
    return _Found(x, parameter, interval, jnp.max(jnp.abs(image - x)), converged, matrix, extra)


@jax.jit
def _one_multiplier(whole: ReturnMap, x: Array, parameter: Array, multiplier: Array) -> _Found:
    matrix = systems.shifted(systems.jacobian(whole, x, parameter), multiplier)
    borders = systems.null_borders(matrix)

    def system(y: Array) -> Array:
        return systems.one_multiplier(whole, multiplier, borders, y[:-1], y[-1])

    return _finished(whole, system, jnp.append(x, parameter))


@jax.jit
def _pair(whole: ReturnMap, x: Array, parameter: Array, cosine: Array) -> _Found:
    borders = systems.pair_borders(systems.jacobian(whole, x, parameter), cosine)

    def system(y: Array) -> Array:
        return systems.neimark_sacker(whole, borders, y[-1], y[:-2], y[-2])

    return _finished(whole, system, jnp.concatenate([x, jnp.stack([parameter, cosine])]))


@jax.jit
def _branch(whole: ReturnMap, x: Array, parameter: Array) -> _Found:
    matrix = systems.shifted(systems.jacobian(whole, x, parameter), jnp.ones_like(parameter))
    borders = systems.null_borders(matrix)

    def system(y: Array) -> Array:
        return systems.branch_point(whole, borders, y[-1], y[:-2], y[-2])

    return _finished(whole, system, jnp.concatenate([x, jnp.stack([parameter, 0 * parameter])]))


@jax.jit
def _fold_form(whole: ReturnMap, x: Array, parameter: Array, matrix: Array) -> tuple[Array, Array]:
    q, _, _ = normal_forms.null_vectors(systems.shifted(matrix, jnp.ones_like(parameter)))
    return normal_forms.fold_coefficient(lambda y: whole(y, parameter), x, matrix), q


@jax.jit
def _flip_form(whole: ReturnMap, x: Array, parameter: Array, matrix: Array) -> tuple[Array, Array]:
    q, _, _ = normal_forms.null_vectors(systems.shifted(matrix, -jnp.ones_like(parameter)))
    return normal_forms.flip_coefficient(lambda y: whole(y, parameter), x, matrix), q


@jax.jit
def _pair_form(
    whole: ReturnMap, x: Array, parameter: Array, matrix: Array, cosine: Array
) -> tuple[Array, Array, Array]:
    coefficient, angle = normal_forms.neimark_sacker_coefficient(
        lambda y: whole(y, parameter), x, matrix, cosine
    )
    borders = systems.pair_borders(matrix, cosine)
    return coefficient, borders.right[:, 0], angle


@jax.jit
def _branch_form(whole: ReturnMap, x: Array, parameter: Array, matrix: Array) -> dict[str, Any]:
    return normal_forms.branching(whole, x, parameter, matrix)


def _criticality(coefficient: float, supercritical: bool, scale: float) -> str:
    if not abs(coefficient) > scale:
        return "degenerate"
    return "supercritical" if supercritical else "subcritical"


def _nearest_pair(matrix: Array) -> float | None:
    """cos θ of the complex multiplier nearest the unit circle, or None."""
    values: Any = np.asarray(eigenvalues(matrix))
    values = values[values.imag > 1e-12 * np.abs(values)]
    if not values.size:
        return None
    nearest = values[np.argmin(np.abs(np.abs(values) - 1))]
    return float(nearest.real / abs(nearest))


def located(
    kind: str, whole: ReturnMap, x: Array, parameter: Array, *, index: int = -1
) -> SpecialPoint | None:
    """The event of that kind near (x, λ); None where a pair is asked for and no multiplier is complex."""
    if kind == "neimark-sacker":
        cosine = _nearest_pair(jacobian_at(whole, x, parameter))
        if cosine is None:
            return None
        found = _pair(whole, x, parameter, jnp.asarray(cosine, x.dtype))
    elif kind == "branch":
        found = _branch(whole, x, parameter)
    else:
        sign = jnp.asarray(-1.0 if kind == "flip" else 1.0, x.dtype)
        found = _one_multiplier(whole, x, parameter, sign)
    return _described(kind, whole, found, index)


@jax.jit
def jacobian_at(whole: ReturnMap, x: Array, parameter: Array) -> Float[Array, "n n"]:
    """∂F^p/∂x, compiled."""
    return systems.jacobian(whole, x, parameter)


def _described(kind: str, whole: ReturnMap, found: _Found, index: int) -> SpecialPoint:
    """The event with its normal form."""
    x, parameter, matrix = found.x, found.parameter, found.matrix
    angle, criticality = math.nan, ""
    # Coefficients below this are 0 to rounding.
    floor = 1e3 * float(jnp.finfo(x.dtype).eps) ** 0.5
    if kind == "neimark-sacker":
        coefficient, direction, theta = _pair_form(whole, x, parameter, matrix, found.extra)
        angle = float(theta)
        criticality = _criticality(float(coefficient), float(coefficient) < 0, floor)
    elif kind == "flip":
        coefficient, direction = _flip_form(whole, x, parameter, matrix)
        criticality = _criticality(float(coefficient), float(coefficient) > 0, floor)
    elif kind == "fold":
        coefficient, direction = _fold_form(whole, x, parameter, matrix)
    else:
        form = {name: np.asarray(value) for name, value in _branch_form(whole, x, parameter, matrix).items()}
        direction, symmetric = form["across"], abs(form["square"]) <= floor
        kind = "pitchfork" if symmetric else "transcritical"
        coefficient = form["cubic"] if symmetric else form["square"]
        if symmetric:
            criticality = _criticality(float(coefficient), float(coefficient) < 0, floor)
    ended = bool(found.converged) and (kind != "neimark-sacker" or abs(float(found.extra)) < 1)
    state = np.asarray(x).reshape(whole.shape)
    return SpecialPoint(
        kind,
        float(parameter),
        state if whole.shape else float(state),
        float(found.interval),
        float(found.precision),
        Status.CONVERGED if ended else Status.MAX_STEPS,
        np.asarray(eigenvalues(matrix)),
        float(coefficient),
        criticality,
        angle,
        np.asarray(direction),
        index,
    )


def locate(
    family: Any, kind: str, x: Any, p: Any, *, period: int = 1, u: Any = None, others: tuple = ()
) -> SpecialPoint:
    """The bifurcation of a fixed point or cycle near a given state and parameter, located to rounding.

    Solves F^p(x; λ) = x together with |multiplier| = 1: +1 for a fold, −1 for a flip, e^{±iθ} for a
    Neimark–Sacker bifurcation, +1 and a second branch for "branch".

    Args:
        family: ``family(p, *others) -> cell``.
        kind: "fold", "flip", "neimark-sacker" or "branch" (pitchfork or transcritical).
        x: a state near it.
        p: the parameter near it.
        period: p of the cycle.
        u: an input that is held.
        others: further parameters of the family, which stay what they are.

    Returns:
        ``SpecialPoint`` with normal-form coefficient and status.

    Raises:
        TypeError, ValueError: arguments that do not fit; "neimark-sacker" where no multiplier is complex.

    Reference: Yu. A. Kuznetsov, "Elements of Applied Bifurcation Theory", chapter 10.
    """
    choice("kind", kind, KINDS)
    parameter = real_array("p", p, ndim=0)
    whole, state = return_map(family, (parameter,), x, period=period, u=u, others=others)
    found = located(kind, whole, state, parameter.astype(state.dtype))
    if found is None:
        raise ValueError(
            "kind: expected a complex multiplier near x for 'neimark-sacker', all are real there"
        )
    return found


def bifurcation_parameter(
    family: Any, kind: str, x: Any, p: Any, *, period: int = 1, u: Any = None, others: tuple = ()
) -> Float[Array, ""]:
    """λ* of the fold or flip near (x, p) as a differentiable function of ``others`` and of the family's arrays.

    The value is that of ``locate``; its derivative is the implicit function's, one Newton step of the extended
    system with its matrix held.

    Args:
        family, x, p, period, u, others: as ``locate``; ``others`` may be traced.
        kind: "fold" or "flip".

    Raises:
        TypeError, ValueError: as ``locate``.
    """
    choice("kind", kind, ("fold", "flip"))
    parameter = real_array("p", p, ndim=0)
    whole, state = return_map(family, (parameter,), x, period=period, u=u, others=others)
    return _differentiable(whole, state, parameter.astype(state.dtype), -1.0 if kind == "flip" else 1.0)


@functools.partial(jax.jit, static_argnums=3)
def _differentiable(whole: ReturnMap, x: Array, parameter: Array, sign: float) -> Array:
    held = jax.lax.stop_gradient(whole)
    multiplier = jnp.full((), sign, x.dtype)
    start = _one_multiplier(held, jax.lax.stop_gradient(x), jax.lax.stop_gradient(parameter), multiplier)
    borders = systems.null_borders(systems.shifted(start.matrix, multiplier))
    y = jax.lax.stop_gradient(jnp.append(start.x, start.parameter))

    def system(y: Array, map_: ReturnMap) -> Array:
        return systems.one_multiplier(map_, multiplier, jax.lax.stop_gradient(borders), y[:-1], y[-1])

    matrix = jax.lax.stop_gradient(jax.jacfwd(lambda y: system(y, held))(y))
    value = system(y, whole)
    step = jnp.linalg.solve(matrix, value - jax.lax.stop_gradient(value))
    return (y - step)[-1]
