"""Newton's method on x − F^p(x) for many states at once: rows of few numbers, whose linear algebra is the host's.

Two programs serve all of it, F^p of a batch of states and F^p with its Jacobian; a program that held a whole step
would take ten times as long to compile, and no less to run. No row's numbers depend on the others'.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from rnn_dynamics.dynamics.phases import Lengths, largest_length, wrapped

_HALVINGS = 10
_POLISHING_STEPS = 6
_TRANSIENT_STEPS, _LONG_STEP = 25, 100.0
_LEAST_EXPONENT, _LARGEST_EXPONENT = -4, 6
_NOISE = 6  # of these distances show how far F^p rounds
_ENTRIES = 2**22  # of the states that are looked at together


#: F^p of states as rows, shape (m, n), and ∂F^p/∂x there, shape (m, n, n).
Linearised = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


class Equation(NamedTuple):
    """x = F^p(x) for states as rows, shape (m, n).

    Attributes:
        images: F^p of each row.
        linearised: the same with the Jacobians.
        lengths: of the coordinates that are phases; ``None`` where none is.
    """

    images: Callable[[np.ndarray], np.ndarray]
    linearised: Linearised
    lengths: Lengths | None = None

    def rest(self, x: np.ndarray, images: np.ndarray) -> np.ndarray:
        """Return x − F^p(x); of phases it is the shortest difference."""
        return wrapped(x - images, self.lengths)

    def residual_size(self, x: Float[np.ndarray, "m n"]) -> Float[np.ndarray, " m"]:
        """Return ‖x − F^p(x)‖, infinite where that is no number."""
        size = norm(self.rest(x, self.images(x)))
        return np.where(np.isfinite(size), size, np.asarray(np.inf, size.dtype))

    def scale(self, x: np.ndarray) -> np.ndarray:
        """max(1, largest entry, longest phase): what rounding is relative to."""
        least = max(1.0, largest_length(self.lengths))
        return np.maximum(np.abs(x).max(axis=-1), np.asarray(least, x.dtype))


def norm(rows: np.ndarray) -> np.ndarray:
    """The 2-norm of each row."""
    return np.sqrt(np.sum(np.square(rows), axis=-1))


def identity(x: np.ndarray) -> np.ndarray:
    """I of the size and dtype of the states."""
    return np.eye(x.shape[-1], dtype=x.dtype)


def times(matrices: Float[np.ndarray, "m n n"], rows: Float[np.ndarray, "m n"]) -> Float[np.ndarray, "m n"]:
    """Return A r for each A and r."""
    return np.matmul(matrices, rows[..., None])[..., 0]


def _each(
    compute: Callable[..., tuple[np.ndarray, ...]], holes: tuple[tuple[int, ...], ...], *rows: np.ndarray
) -> tuple[np.ndarray, ...]:
    """What LAPACK computes of the rows; NaN of the shapes ``holes`` for those that it refuses."""
    try:
        return compute(*rows)
    except np.linalg.LinAlgError:
        count = len(rows[0])
        if count == 1:
            return tuple(np.full((1, *shape), np.nan, rows[0].dtype) for shape in holes)
        parts = (_each(compute, holes, *(r[half] for r in rows)) for half in _halves(count))
        return tuple(np.concatenate(both) for both in zip(*parts, strict=True))


def _halves(count: int) -> tuple[slice, slice]:
    return slice(0, count // 2), slice(count // 2, count)


def solved(matrices: Float[np.ndarray, "m n n"], rows: Float[np.ndarray, "m n"]) -> Float[np.ndarray, "m n"]:
    """Return the solution y of A y = r for each A and r; NaN or infinite where A is singular."""
    if rows.shape[-1] == 1:
        return rows / matrices[..., 0]
    n = rows.shape[-1]
    return _each(lambda a, r: (np.linalg.solve(a, r[..., None])[..., 0],), ((n,),), matrices, rows)[0]


def damped_step(
    equation: Equation, x: Float[np.ndarray, "m n"]
) -> tuple[Float[np.ndarray, "m n"], Float[np.ndarray, " m"], Bool[np.ndarray, " m"]]:
    """The best of the full Newton step and its halves; the residual there, and where nothing was gained."""
    with np.errstate(all="ignore"):
        image, jacobian = equation.linearised(x)
        rest = equation.rest(x, image)
        before = norm(rest)
        step = solved(identity(x) - jacobian, -rest)
        lengths = 2.0 ** -np.arange(_HALVINGS, dtype=x.dtype)
        trials = x[:, None] + lengths[:, None] * step[:, None]
        sizes = equation.residual_size(trials.reshape(-1, x.shape[-1])).reshape(len(x), _HALVINGS)
        best, every = sizes.argmin(axis=1), np.arange(len(x))
        least = sizes[every, best]
        gained = least < before
        moved = np.where(gained[:, None], trials[every, best], x)
        return moved, np.where(gained, least, before), ~gained


class Curved(NamedTuple):
    """F^p of states, its Jacobian J, and Σ_i r_i ∂²F^p_i/∂x² with r = x − F^p(x)."""

    image: Float[np.ndarray, "m n"]
    jacobian: Float[np.ndarray, "m n n"]
    second: Float[np.ndarray, "m n n"]


class QuadraticStep(NamedTuple):
    """A step of a regularised Newton method on q = ½‖x − F^p(x)‖².

    Attributes:
        x, damping, residual: the states, the damping of the next step, ‖x − F^p(x)‖.
        slope: ‖∇q‖/‖x − F^p(x)‖ over the size of J before the step.
        convex: where q was convex there, by more than the damping.
    """

    x: Float[np.ndarray, "m n"]
    damping: Float[np.ndarray, " m"]
    residual: Float[np.ndarray, " m"]
    slope: Float[np.ndarray, " m"]
    convex: Bool[np.ndarray, " m"]


def quadratic_step(
    equation: Equation, curved: Callable[[np.ndarray], Curved], x: np.ndarray, damping: np.ndarray
) -> QuadraticStep:
    """One step with the full Hessian of q, taken where it gains."""
    n, one = x.shape[-1], identity(x)
    with np.errstate(all="ignore"):
        image, jacobian, second = curved(x)
        rest, matrix = equation.rest(x, image), one - jacobian
        transposed = np.swapaxes(matrix, -1, -2)
        gradient = times(transposed, rest)
        hessian = np.matmul(transposed, matrix) - (second + np.swapaxes(second, -1, -2)) / 2
        scale = 1 + np.sum(np.square(jacobian), axis=(-1, -2)) / n
        regular = hessian + (damping * scale)[:, None, None] * one
        factor = _each(lambda a: (np.linalg.cholesky(a),), ((n, n),), regular)[0]
        pivots = np.square(np.diagonal(factor, axis1=-2, axis2=-1)).min(axis=-1)
        step = np.where(np.isfinite(pivots)[:, None], solved(regular, -gradient), np.nan)
        size, before = equation.residual_size(x + step), norm(rest)
        gained = size < before
        # A step whose gain drowns in rounding still halves the gradient; it is taken where the matrix was definite.
        level = 8 * float(np.finfo(x.dtype).eps) * before
        taken = gained | (np.isfinite(size) & (size <= before + level))
        following = np.where(taken, damping / 8, np.minimum(damping * 8 + 1e-8, 1e12)).astype(x.dtype)
        slope = norm(gradient) / (np.sqrt(scale) * before)
        moved = np.where(taken[:, None], x + step, x)
        return QuadraticStep(
            moved, following, np.where(taken, size, before), slope, pivots > 2 * damping * scale
        )


class Polished(NamedTuple):
    """Newton's iterates of the least residual max|F^p(x) − x|, and what was seen at the start.

    Attributes:
        x, residual, jacobian: of those iterates; the Jacobian is that of F^p.
        image, at_start: F^p of the start and its Jacobian there.
    """

    x: Float[np.ndarray, "m n"]
    residual: Float[np.ndarray, " m"]
    jacobian: Float[np.ndarray, "m n n"]
    image: Float[np.ndarray, "m n"]
    at_start: Float[np.ndarray, "m n n"]


def polished(
    linearised: Linearised,
    x: Float[np.ndarray, "m n"],
    lengths: Lengths | None = None,
    steps: int = _POLISHING_STEPS,
) -> Polished:
    """Plain Newton steps on F^p(x) = x, of which the state of the smallest residual is kept; no NaN is."""
    found = Polished(x, np.full(len(x), np.inf, x.dtype), np.zeros_like(x), x, x)
    with np.errstate(all="ignore"):
        for i in range(steps + 1):
            image, jacobian = linearised(x)
            if i == 0:
                one = np.broadcast_to(identity(x), jacobian.shape)
                found = found._replace(jacobian=one, image=image, at_start=jacobian)
            rest = wrapped(x - image, lengths)
            residual = np.abs(rest).max(axis=-1)
            better = residual < found.residual  # a NaN is not
            found = found._replace(
                x=np.where(better[:, None], x, found.x),
                residual=np.where(better, residual, found.residual),
                jacobian=np.where(better[:, None, None], jacobian, found.jacobian),
            )
            moved = x + solved(identity(x) - jacobian, -rest)
            x = np.where(np.isfinite(moved).all(axis=-1, keepdims=True), moved, x)
    return found


def along_the_flow(equation: Equation, x: Float[np.ndarray, "m n"]) -> Float[np.ndarray, "m n"]:
    """States that pseudo-transient continuation takes x to in a few long steps along the flow of F^p(x) − x.

    A step is x + (I/τ + I − J)⁻¹ (F^p(x) − x). τ grows while the linear model held over the step, so that x follows
    the flow in ever longer steps, and shrinks, the step refused, where the model's defect was no longer small
    against I/τ.

    Reference: C. Kelley, D. Keyes, "Convergence analysis of pseudo-transient continuation", SIAM Journal on
    Numerical Analysis 35, 1998.
    """
    ends, at, first = x.copy(), np.arange(len(x)), np.full(len(x), np.inf, x.dtype)
    time, one = np.full(len(x), 10.0, x.dtype), identity(x)
    unit, least = float(np.finfo(x.dtype).eps), float(np.finfo(x.dtype).tiny)
    with np.errstate(all="ignore"):
        for i in range(_TRANSIENT_STEPS):
            image, jacobian = equation.linearised(x)
            rest = -equation.rest(x, image)
            # What F^p leaves where it is, to rounding, has come to the end of its way.
            left = ~(np.abs(rest).max(axis=-1) <= 2 * unit * equation.scale(x))
            if i == 0:
                first = norm(rest)
            elif i == _TRANSIENT_STEPS // 2:  # a flow in circles: steps that stay short and lead nowhere
                left &= ~((time <= _LONG_STEP) & (norm(rest) > first / 2))
            at, x, rest, jacobian, time, first = (part[left] for part in (at, x, rest, jacobian, time, first))
            if not at.size:
                break
            move = solved(one / time[:, None, None] + one - jacobian, rest)
            there = x + move
            later = -equation.rest(there, equation.images(there))
            linear = rest + times(jacobian, move) - move
            defect = norm(later - linear) * time / np.maximum(norm(move), least)
            taken = np.isfinite(there).all(axis=-1) & (defect < 0.5)
            longer = np.minimum(time * np.where(defect < 0.1, 4.0, 1.5), 1 / unit)
            x = np.where(taken[:, None], there, x)
            time = np.where(taken, longer, time / 4).astype(x.dtype)
            ends[at] = x
    return ends


class MeasuredRoots(NamedTuple):
    """What is known of roots x of x = F^p(x).

    Attributes:
        residual: ‖x − F^p(x)‖.
        error: how far the root may be from x: the distance along the weakest direction of I − J beyond which
            the residual stands out of its rounding.
        resolved: whether I − J is all but constant as far as that, and the residual so grows in proportion to the
            distance; it does not at a multiple root.
        jacobian: J = ∂F^p/∂x.
        change: ‖J′ − J‖ between x and a state ``error`` away: how far the multipliers may be off.
    """

    residual: Float[np.ndarray, " m"]
    error: Float[np.ndarray, " m"]
    resolved: Bool[np.ndarray, " m"]
    jacobian: Float[np.ndarray, "m n n"]
    change: Float[np.ndarray, " m"]


def _weakest(matrices: Float[np.ndarray, "m n n"]) -> tuple[np.ndarray, ...]:
    """The left singular vector, the singular value and the right vector of the weakest direction."""

    def compute(some: np.ndarray) -> tuple[np.ndarray, ...]:
        left, values, right = np.linalg.svd(some)
        return left[..., -1], values[..., -1], right[..., -1, :]

    n = matrices.shape[-1]
    return _each(compute, ((n,), (), (n,)), matrices)


def measured_roots(equation: Equation, x: Float[np.ndarray, "m n"]) -> MeasuredRoots:
    """Return the ``MeasuredRoots`` of the states."""
    exponents = np.arange(_LEAST_EXPONENT - np.finfo(x.dtype).nmant, _LARGEST_EXPONENT)
    size = max(1, _ENTRIES // (2 * len(exponents) * x.shape[-1]))
    with np.errstate(all="ignore"):
        parts = [_measured(equation, x[i : i + size], exponents) for i in range(0, len(x), size)]
    return MeasuredRoots(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _measured(equation: Equation, x: np.ndarray, exponents: np.ndarray) -> MeasuredRoots:
    (m, n), unit, infinite = x.shape, float(np.finfo(x.dtype).eps), np.asarray(np.inf, x.dtype)
    image, jacobian = equation.linearised(x)
    rest = equation.rest(x, image)
    finite = np.asarray(np.isfinite(jacobian).all(axis=(-1, -2)) & np.isfinite(image).all(axis=-1))
    safe = np.where(finite[:, None, None], jacobian, np.zeros_like(jacobian))
    left, weakest, right = _weakest(identity(x) - safe)
    size = np.sqrt(np.sum(np.square(safe), axis=(-1, -2)))
    scale = equation.scale(x)
    rounding = norm(rest) + 2 * unit * scale * (1 + size)
    distances = scale[:, None] * np.exp2(exponents.astype(x.dtype))

    def both_ways(distance: np.ndarray) -> np.ndarray:
        """x ± a distance along the weakest direction, shape (m, …, 2, n)."""
        along = distance[..., None] * right.reshape(m, *[1] * (distance.ndim - 1), n)
        return x.reshape(m, *[1] * distance.ndim, n) + np.stack([along, -along], axis=-2)

    there = both_ways(distances)
    rows = there.reshape(-1, n)
    residuals = equation.rest(rows, equation.images(rows)).reshape(there.shape)
    looks = np.abs(np.sum(left[:, None, None] * residuals, axis=-1)).min(axis=-1)
    # Along a cycle rounding grows and shrinks again: at the least distances nothing but that is seen.
    noise = np.where(np.isfinite(looks[:, :_NOISE]), looks[:, :_NOISE], 0)
    rounding = np.maximum(rounding, noise.max(axis=1))
    stands_out = looks >= 2 * rounding[:, None]
    first = distances[np.arange(m), stands_out.argmax(axis=1)]
    error = np.where(stands_out.any(axis=1), first, infinite)
    near = equation.linearised(both_ways(np.where(np.isfinite(error), error, scale)).reshape(-1, n))[1]
    departure = near.reshape(m, 2, n, n) - jacobian[:, None]
    change = np.sqrt(np.sum(np.square(departure), axis=(-1, -2)).max(axis=1))
    # Within its error a simple root's Jacobian is all but constant; a multiple root's I − J is not.
    resolved = (weakest * error >= rounding) & (2 * change <= weakest)
    residual = np.where(finite, norm(rest), infinite)
    return MeasuredRoots(residual, error, resolved & np.isfinite(error), jacobian, change)
