"""Bifurcations of fixed points and cycles located to rounding, by Newton's method on the systems of ``systems``."""

import dataclasses
import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rnn_dynamics.dynamics.bifurcations import normal_forms, systems
from rnn_dynamics.dynamics.bifurcations.normal_forms import Derivatives
from rnn_dynamics.dynamics.bifurcations.points import SpecialPoint, multipliers_of
from rnn_dynamics.dynamics.return_map import ReturnMap, return_map
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.newton import inverse_row, solve_square
from rnn_dynamics.numerics.reductions import largest
from rnn_dynamics.numerics.status import Status
from rnn_dynamics.numerics.validation import choice, real_array

#: Events of codimension one; "branch" is told apart into pitchfork and transcritical once it is found.
KINDS = ("fold", "flip", "neimark-sacker", "branch")


class _Found(NamedTuple):
    """The solution y of an extended system, its last Newton step, ∂/∂y of the system, and |F^p(x) − x|."""

    y: Any
    step: Any
    converged: Any
    derivative: Any
    residual: Any

    @property
    def interval(self) -> float:
        """How far rounding of the equations moves the parameter, which stands last."""
        row = np.linalg.solve(self.derivative.T, np.eye(len(self.y), dtype=self.y.dtype)[-1])
        noise = 4 * np.finfo(self.y.dtype).eps * (1 + 2 * np.abs(self.y[:-1]).max())
        return float(max(np.abs(row).sum() * noise, abs(self.step[-1])))


def _solved(whole: ReturnMap, system: Any, start: Array) -> _Found:
    y, step, converged, derivative = solve_square(system, start)
    x = y[: whole.size]
    return _Found(y, step, converged, derivative, largest(whole.excess(x, whole(x, y[-1]))))


@lean
def _one_multiplier(whole: ReturnMap, start: Array, multiplier: Array) -> _Found:
    return _solved(whole, functools.partial(systems.one_multiplier, whole, multiplier), start)


@lean
def _pair(whole: ReturnMap, start: Array, partner: Array) -> _Found:
    return _solved(whole, functools.partial(systems.neimark_sacker, whole, partner), start)


@lean
def _branch(whole: ReturnMap, start: Array, left: Array) -> _Found:
    return _solved(whole, functools.partial(systems.branch_point, whole, left), start)


@lean
def jacobian_at(whole: ReturnMap, x: Array, *parameters: Array) -> Float[Array, "n n"]:
    """∂F^p/∂x, compiled."""
    return systems.jacobian(whole, x, *parameters)


@lean
def _derivatives(whole: ReturnMap, x: Array, parameter: Array, pair: Array) -> Derivatives:
    return normal_forms.derivatives(whole, x, (parameter,), pair)


def derivatives_at(whole: ReturnMap, x: np.ndarray, parameter: Any, q: np.ndarray) -> Derivatives:
    """The derivatives along the real and the imaginary part of q, on the host."""
    pair = np.stack([np.real(q), np.imag(q)]).astype(x.dtype)
    return jax.device_get(_derivatives(whole, x, parameter, pair))


def _criticality(coefficient: float, supercritical: bool, scale: float) -> str:
    if not abs(coefficient) > scale:
        return "degenerate"
    return "supercritical" if supercritical else "subcritical"


def nearest_pair(matrix: np.ndarray) -> float | None:
    """cos θ of the complex multiplier nearest the unit circle, or None."""
    values = multipliers_of(matrix)
    values = values[np.imag(values) > 1e-12 * np.abs(values)]
    if not values.size:
        return None
    nearest = values[np.argmin(np.abs(np.abs(values) - 1))]
    return float(nearest.real / abs(nearest))


def located(kind: str, whole: ReturnMap, x: Any, parameter: Any, *, index: int = -1) -> SpecialPoint | None:
    """The event of that kind near (x, λ); None where a pair is asked for and no multiplier is complex."""
    x = np.asarray(x)
    parameter = np.asarray(parameter, x.dtype)
    matrix = np.asarray(jacobian_at(whole, x, parameter))
    if not np.isfinite(matrix).all():
        return None
    eye = np.eye(len(x), dtype=x.dtype)
    if kind == "neimark-sacker":
        cosine = nearest_pair(matrix)
        if cosine is None:
            return None
        partner, v = systems.nearest_null_vectors(systems.quadratic(matrix, cosine), 2)[0]
        return _pair_point(whole, _called(_pair, whole, [x, v, cosine, parameter], partner), index)
    if kind == "branch":
        left = systems.nearest_null_vectors(matrix - eye)[1][0]
        return _branch_point(whole, _called(_branch, whole, [x, left, 0.0, parameter], left), index)
    multiplier = np.asarray(-1.0 if kind == "flip" else 1.0, x.dtype)
    v = systems.nearest_null_vectors(matrix - multiplier * eye)[0][0]
    return _one_point(kind, whole, _called(_one_multiplier, whole, [x, v, parameter], multiplier), index)


def _called(kernel: Any, whole: ReturnMap, parts: list, extra: np.ndarray) -> _Found:
    dtype = parts[0].dtype
    start = np.concatenate([np.atleast_1d(part).astype(dtype) for part in parts])
    return _Found(*jax.device_get(kernel(whole, start, extra.astype(dtype))))


def _floor(dtype: Any) -> float:
    """The size below which a coefficient is 0 to rounding."""
    return 1e3 * float(np.finfo(dtype).eps) ** 0.5


def _one_point(kind: str, whole: ReturnMap, found: _Found, index: int) -> SpecialPoint:
    size = whole.size
    x, parameter, derivative = found.y[:size], found.y[-1], found.derivative
    eye = np.eye(size, dtype=x.dtype)
    matrix, second = derivative[:size, :size] + eye, derivative[size : 2 * size, :size]
    if not np.isfinite(derivative).all():
        return _described(whole, kind, found, None, index)
    q, p = normal_forms.null_vectors(matrix + eye if kind == "flip" else matrix - eye)
    second = second * np.sign(np.dot(q, found.y[size : 2 * size]))  # the system's own vector may be −q
    if kind == "fold":
        coefficient, criticality = normal_forms.fold_coefficient(q, p, second), ""
    else:
        third = derivatives_at(whole, x, parameter, q).third[0]
        coefficient = normal_forms.flip_coefficient(matrix, q, p, second, third)
        criticality = _criticality(coefficient, coefficient > 0, _floor(x.dtype))
    return _described(whole, kind, found, matrix, index, float(coefficient), criticality, direction=q)


def _pair_point(whole: ReturnMap, found: _Found, index: int) -> SpecialPoint:
    size = whole.size
    x, cosine, parameter = found.y[:size], float(found.y[-2]), found.y[-1]
    if not np.isfinite(found.derivative).all():
        return _described(whole, "neimark-sacker", found, None, index)
    matrix = found.derivative[:size, :size] + np.eye(size, dtype=x.dtype)
    q, p = normal_forms.pair_vectors(matrix, cosine)
    coefficient = normal_forms.neimark_sacker_coefficient(
        derivatives_at(whole, x, parameter, q), cosine, q, p
    )
    criticality = _criticality(coefficient, coefficient < 0, _floor(x.dtype))
    angle = float(np.arccos(cosine)) if abs(cosine) < 1 else math.nan
    real = np.real(q) / np.linalg.norm(np.real(q))
    return _described(
        whole, "neimark-sacker", found, matrix, index, coefficient, criticality, angle, real.astype(x.dtype)
    )


def _branch_point(whole: ReturnMap, found: _Found, index: int) -> SpecialPoint:
    """Pitchfork or transcritical, by the reduced equation, whose terms stand in ∂/∂y of the system.

    Where β is not 0 to rounding, two branches come near each other and do not meet.
    """
    size = whole.size
    x, parameter, derivative = found.y[:size], found.y[-1], found.derivative
    if not np.isfinite(derivative).all():
        return _described(whole, "pitchfork", found, None, index)
    singular = derivative[:size, :size]
    matrix = singular + np.eye(size, dtype=x.dtype)
    q, p = normal_forms.null_vectors(singular)
    psi = found.y[size : 2 * size]
    share = 1 / (np.dot(psi, q))  # p = share · ψ
    hessian, crossing = derivative[size : 2 * size, :size] * share, derivative[-1] * share
    v = normal_forms.bordered_solution(singular, -derivative[:size, -1])
    square, mixed = (
        np.dot(np.dot(q, hessian), q) / 2,
        np.dot(crossing[:size], q) + np.dot(np.dot(q, hessian), v),
    )
    other = (crossing[-1] + np.dot(2 * crossing[:size], v) + np.dot(np.dot(v, hessian), v)) / 2
    floor, criticality = _floor(x.dtype), ""
    coefficient = square
    if abs(square) <= floor:
        found_ = derivatives_at(whole, x, parameter, q)
        inner = normal_forms.bordered_solution(-singular, np.dot(found_.second[0], q))
        coefficient = np.dot(p, found_.third[0] + np.dot(3 * found_.second[0], inner)) / 6
        criticality = _criticality(coefficient, coefficient < 0, floor)
    kind = "pitchfork" if criticality else "transcritical"
    event = _described(whole, kind, found, matrix, index, float(coefficient), criticality, direction=q)
    rounding = 1e3 * float(np.finfo(x.dtype).eps) * (1 + np.abs(x).max()) * max(np.abs(matrix).max(), 1)
    if event.status == Status.CONVERGED and not found.residual <= rounding:
        event = dataclasses.replace(event, interval=math.inf, status=Status.UNRESOLVED)
    return dataclasses.replace(event, crossing=crossing_directions(q, v, square, mixed, other))


def crossing_directions(
    q: np.ndarray, v: np.ndarray, square: float, mixed: float, other: float
) -> Float[np.ndarray, "2 n+1"]:
    """The tangents (x, λ) of both branches, the roots of a ξ² + b ξη + c₂ η² = 0 along ξ (q, 0) + η (v, 1)."""
    root = math.sqrt(max(mixed * mixed - 4 * square * other, 0.0))
    far = -(mixed + math.copysign(root, mixed)) / 2  # a ξ/η of the root without cancellation
    across, along = np.append(q, 0), np.append(v, 1)
    first = far * across + square * along
    second = other * across + far * along if far else along
    ways = [way / (np.linalg.norm(way) or 1) for way in (first, second)]
    return np.stack(ways).astype(q.dtype)


def _described(
    whole: ReturnMap,
    kind: str,
    found: _Found,
    matrix: np.ndarray | None,
    index: int,
    coefficient: float = math.nan,
    criticality: str = "",
    angle: float = math.nan,
    direction: np.ndarray | None = None,
) -> SpecialPoint:
    """The event; without its Jacobian, where that is not finite, unresolved."""
    sound = matrix is not None and (kind != "neimark-sacker" or not math.isnan(angle))
    ended = bool(found.converged) and sound
    state = found.y[: whole.size].reshape(whole.shape)
    return SpecialPoint(
        kind,
        float(found.y[-1]),
        state if whole.shape else float(state),
        found.interval if ended else math.inf,
        float(found.residual),
        Status.CONVERGED if ended else Status.MAX_STEPS,
        None if matrix is None else multipliers_of(matrix),
        coefficient,
        criticality,
        angle,
        direction,
        index,
    )


def locate(
    family: Any,
    kind: str,
    x: Any,
    p: Any,
    *,
    period: int = 1,
    u: Any = None,
    inputs: Any = None,
    others: tuple = (),
    topology: Any = None,
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
        inputs: a periodic input instead, leading axis q: the map is then q steps long, and p counts multiples of q.
        others: further parameters of the family, which stay what they are.
        topology: one entry for each coordinate, or one for all: the length L > 0 of a coordinate taken modulo L
            (2π, 1, 360), ``None`` for one on the line.

    Returns:
        ``SpecialPoint`` with normal-form coefficient and status: UNRESOLVED where two branches come near each other
        and do not cross.

    Raises:
        TypeError, ValueError: arguments that do not fit; "neimark-sacker" where no multiplier is complex.

    Reference: Yu. A. Kuznetsov, "Elements of Applied Bifurcation Theory", chapter 10.
    """
    choice("kind", kind, KINDS)
    parameter = real_array("p", p, ndim=0)
    rest: dict[str, Any] = {
        "period": period,
        "u": u,
        "inputs": inputs,
        "others": others,
        "topology": topology,
    }
    whole, state = return_map(family, (parameter,), x, **rest)
    found = located(kind, whole, state, parameter.astype(state.dtype))
    if found is None:
        raise ValueError(
            "kind: expected a complex multiplier near x for 'neimark-sacker', all are real there"
        )
    return found


def bifurcation_parameter(
    family: Any,
    kind: str,
    x: Any,
    p: Any,
    *,
    period: int = 1,
    u: Any = None,
    inputs: Any = None,
    others: tuple = (),
    topology: Any = None,
) -> Float[Array, ""]:
    """λ* of the fold or flip near (x, p) as a differentiable function of ``others`` and of the family's arrays.

    The value is that of ``locate``; its derivative is the implicit function's, one Newton step of the extended
    system with its matrix held.

    Args:
        family, x, p, period, u, inputs, others, topology: as ``locate``; ``others`` may be traced.
        kind: "fold" or "flip".

    Returns:
        λ*, a number.

    Raises:
        TypeError, ValueError: as ``locate``.

    Reference: Yu. A. Kuznetsov, "Elements of Applied Bifurcation Theory", chapter 10.
    """
    choice("kind", kind, ("fold", "flip"))
    parameter = real_array("p", p, ndim=0)
    rest: dict[str, Any] = {
        "period": period,
        "u": u,
        "inputs": inputs,
        "others": others,
        "topology": topology,
    }
    whole, state = return_map(family, (parameter,), x, **rest)
    return _differentiable(whole, state, parameter.astype(state.dtype), -1.0 if kind == "flip" else 1.0)


@lean(static_argnums=3)
def _differentiable(whole: ReturnMap, x: Array, parameter: Array, sign: float) -> Array:
    held, x, parameter = jax.lax.stop_gradient((whole, x, parameter))
    multiplier = jnp.full((), sign, x.dtype)
    v = jnp.linalg.svd(systems.shifted(systems.jacobian(held, x, parameter), multiplier))[2][-1]
    start = jnp.concatenate([x, v, parameter[None]])
    y, _, _, matrix = solve_square(functools.partial(systems.one_multiplier, held, multiplier), start)
    value = systems.one_multiplier(whole, multiplier, y)
    return y[-1] - jnp.sum(inverse_row(matrix, -1) * (value - jax.lax.stop_gradient(value)))
