"""Trapping balls: ellipsoids about the states of a stable cycle that F maps into one another and contracts.

With Φ the Jacobian of F^p at the cycle and ρ(Φ)^{1/p} < s < 1, matrices P_k ≻ 0 solve
J_kᵀ P_{k+1} J_k − s² P_k = −s² Q, so that ‖L_{k+1} J_k L_k⁻¹‖₂ < s for P_k = L_kᵀ L_k. A radius r is good where
‖L_{k+1} ∂F(x) L_k⁻¹‖₂ ≤ c < 1 for every x with ‖L_k (x − x_k)‖ ≤ r: then every orbit that enters one of the
balls converges to the cycle, so that a label given there is final.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from rnn_dynamics.cells.pytree import join, split
from rnn_dynamics.dynamics.basins.kinds import Trapping
from rnn_dynamics.dynamics.basins.slope_ranges import SlopeForm, slope_form, slope_range
from rnn_dynamics.dynamics.equilibria.attracting import adapted_norms
from rnn_dynamics.dynamics.phases import Lengths, largest_length, lengths_of, wrapped
from rnn_dynamics.gradients.one_step import step_matrix
from rnn_dynamics.numerics.batching import filled, power_of_two_above
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.one_thread import one_blas_thread

_MOST_CORNERS = 4  # units up to which the corners of the box of slopes are all looked at
_SHARES = (0.25, 0.5, 0.75, 0.9)
_HALVINGS = 40
_DIRECTIONS, _AXES = 48, 32
_EVERYWHERE = 1e150  # a ball so large holds what the slopes do anywhere
_SIZES = 64


@dataclasses.dataclass(frozen=True)
class Ball:
    """{x : ‖scale · (x − centre)‖₂ ≤ radius}, how strong its proof is, and the distance that is rounding.

    Attributes:
        shrinks: the factor by which a step brings a state of a sampled ball nearer, at least.
    """

    centre: np.ndarray
    scale: np.ndarray
    radius: float
    trapping: Trapping
    least: float = 0.0
    shrinks: float = 1.0


@lean(static_argnums=(0, 4))
def _matrices(static: Any, arrays: Any, states: Any, u: Any, shape: tuple[int, ...]) -> Any:
    cell = join(static, arrays)
    return jax.vmap(lambda x: step_matrix(cell, x.reshape(shape), u))(states)


def step_matrices(cell: Any, states: np.ndarray, u: Any, shape: tuple[int, ...]) -> np.ndarray:
    """∂F/∂x at each of the states (count, n), float64 on the host; padded so that few programs compile."""
    rows = filled(states, power_of_two_above(len(states), 64))
    return np.asarray(_matrices(*split(cell), rows, u, shape), np.float64)[: len(states)]


def _between(after: np.ndarray, matrices: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    """The Jacobian L_{k+1} J L_k⁻¹ between two scaled states."""
    return np.matmul(np.matmul(after, matrices), inverse)


def _norms_from_corners(form: SlopeForm, low: Any, high: Any, after: Any, inverse: Any) -> np.ndarray:
    """max ‖L_{k+1} (base + left D right) L_k⁻¹‖₂ over the box of slopes: convex, so at one of its corners."""
    n = low.shape[-1]
    corners = np.array(list(itertools.product((0.0, 1.0), repeat=n)))
    slopes = low[:, None] + corners * (high - low)[:, None]
    inner = form.base + np.einsum("ij,pcj,jk->pcik", form.left, slopes, form.right)
    return np.linalg.norm(_between(after[:, None], inner, inverse[:, None]), 2, axis=(-2, -1)).max(1)


def _norms_from_halves(form: SlopeForm, low: Any, high: Any, after: Any, inverse: Any) -> np.ndarray:
    """The norm at the centre of the box plus a bound on the rest: as a whole or unit by unit, whichever is less."""
    middle, half = (low + high) / 2, (high - low) / 2
    centre = form.base + np.matmul(form.left * middle[:, None], form.right)
    left, right = np.matmul(after, form.left), np.matmul(form.right, inverse)
    unit = (np.linalg.norm(left, axis=-2) * np.linalg.norm(right, axis=-1) * half).sum(-1)
    whole = np.linalg.norm(left, 2, (-2, -1)) * np.linalg.norm(right, 2, (-2, -1)) * half.max(-1)
    return np.linalg.norm(_between(after, centre, inverse), 2, axis=(-2, -1)) + np.minimum(unit, whole)


def _bound_on_steps(form: SlopeForm, orbit: np.ndarray, norms: np.ndarray, radius: float) -> float:
    """max_k sup ‖L_{k+1} ∂F(x) L_k⁻¹‖₂ over the balls of that radius."""
    inverse, after = np.linalg.inv(norms), np.roll(norms, -1, axis=0)
    z = np.matmul(orbit, form.right.T) + form.shift
    reach = radius * np.linalg.norm(np.matmul(form.right, inverse), axis=-1)
    low, high = slope_range(form.activation, z - reach, z + reach)
    rule = _norms_from_corners if low.shape[-1] <= _MOST_CORNERS else _norms_from_halves
    return float(rule(form, low, high, after, inverse).max())


def _largest_radius(bound: Callable[[float], float], rate: float, drift: float, start: float) -> float:
    """The largest r (to 2 %) with bound(r) r + drift ≤ r and bound(r) < 1; 0 for none, ∞ where all are."""
    highest = 1 - 0.02 * (1 - rate)

    def is_good(radius: float) -> bool:
        value = bound(radius)
        return value <= highest and value * radius + drift <= radius

    if is_good(_EVERYWHERE):
        return np.inf
    radius = start
    for _ in range(_HALVINGS):
        if is_good(radius):
            break
        radius /= 2
    else:
        return 0.0
    low, high = radius, 2 * radius
    for _ in range(6):
        middle = (low + high) / 2
        low, high = (middle, high) if is_good(middle) else (low, middle)
    return low


def _sampled_rate(rate: float) -> float:
    """What a step shrinks distances by in a sampled ball, for norms adapted to ``rate``."""
    return 1 - 0.1 * (1 - rate)


def _radius_by_growth(bound: Callable[[float], float], rate: float, drift: float, limit: float) -> float:
    """The last radius that was good when it grew from the least one: no shell below it is left out.

    A large ball can look good where a small one does not, its samples all saturated.
    """
    highest = _sampled_rate(rate)
    radius, good = 4 * drift / (1 - rate), 0.0
    while radius < limit and bound(radius) <= highest:
        good = radius
        radius *= 1.5
    return good


def _volume(norms: np.ndarray, radius: float) -> float:
    """log of the volume of the first ball, up to a constant."""
    return len(norms[0]) * np.log(radius) - np.linalg.slogdet(norms[0])[1] if radius > 0 else -np.inf


def _rates(jacobians: np.ndarray) -> list[float]:
    """Rates between ρ^{1/p} and 1 to try; none where the cycle does not attract."""
    product = functools.reduce(lambda done, matrix: np.matmul(matrix, done), jacobians)
    radius = float(np.abs(np.linalg.eigvals(product)).max()) ** (1 / len(jacobians))
    return [radius + share * (1 - radius) for share in _SHARES] if radius < 1 else []


def _rounding(orbit: np.ndarray, jacobians: np.ndarray, form: SlopeForm | None, seam: float = 0.0) -> float:
    """A bound on the rounding of one step near the cycle, in the run's dtype; ``seam`` is the longest phase."""
    terms = np.abs(jacobians).sum(-1).max() + (0.0 if form is None else np.abs(form.left).sum(-1).max())
    sizes = (1 + np.abs(orbit.astype(np.float64)).max() + seam) * (1 + terms)
    return float(8 * orbit.shape[-1] * np.finfo(orbit.dtype).eps * sizes)


def _drift(norms: np.ndarray, missed: np.ndarray, rounding: float) -> float:
    """How far F(x_k) may miss x_{k+1} in the norms: the residual and the rounding of one step."""
    miss = np.einsum("pij,pj->pi", np.roll(norms, -1, 0), missed)
    return float((np.linalg.norm(miss, axis=-1) + rounding * np.linalg.norm(norms, 2, (-2, -1))).max())


def _sampled_bound(cell: Any, u: Any, shape: Any, orbit: np.ndarray, norms: np.ndarray) -> Callable:
    """As ``_bound_on_steps``, from the Jacobians at points in the balls of every smaller radius tried too."""
    n, inverse = orbit.shape[-1], np.linalg.inv(norms)
    after = np.roll(norms, -1, axis=0)
    draws = np.random.default_rng(0).normal(size=(_DIRECTIONS, n))
    axes = np.eye(n)[np.linspace(0, n - 1, min(n, _AXES)).astype(int)]
    directions = np.concatenate([draws / np.linalg.norm(draws, axis=1)[:, None], axes, -axes])
    lengths = np.resize((1.0, 0.5, 0.8), len(directions))
    offsets = np.einsum("pij,dj->pdi", inverse, directions * lengths[:, None])

    def bound(radius: float) -> float:
        points = orbit[:, None] + radius * offsets
        matrices = step_matrices(cell, points.reshape(-1, n).astype(cell_dtype), u, shape)
        matrices = matrices.reshape(*points.shape[:2], n, n)
        if not np.isfinite(matrices).all():
            return np.inf
        with one_blas_thread(n):
            return float(
                np.linalg.norm(_between(after[:, None], matrices, inverse[:, None]), 2, axis=(-2, -1)).max()
            )

    cell_dtype = orbit.dtype
    return bound


def trapping_balls(
    cell: Any,
    orbit: np.ndarray,
    u: Any,
    shape: tuple[int, ...],
    others: np.ndarray,
    images: np.ndarray,
    own_orbits: Callable[[], np.ndarray],
    grown: dict[Any, float],
) -> list[Ball]:
    """Balls about the states of one stable cycle; none where no radius is good.

    Args:
        cell: the map.
        orbit: the states of the cycle in order, shape (p, n), in the dtype of the run.
        u: the input of every step, or ``None``.
        shape: the shape of one state.
        others: states of other attractors, shape (m, n), which a sampled ball keeps away from.
        images: F of the states of ``orbit``.
        own_orbits: stretches of the starts' own orbits, shape (count, steps, n), along which the distance from the
            cycle must decrease in a sampled ball; called for those alone.
        grown: what the radii of sampled balls were found to be before the last two arguments are looked at, kept
            from call to call with one cell.

    Returns:
        p balls, their radius proved for built-in cells with a known activation, sampled for the others.
    """
    jacobians = step_matrices(cell, orbit, u, shape)
    states, images = orbit.astype(np.float64), images.astype(np.float64)
    form, best, lengths = slope_form(cell, u), (-np.inf, 0.0, None, 0.0, 1.0), lengths_of(cell)
    rounding = _rounding(orbit, jacobians, form, largest_length(lengths))
    missed = wrapped(images - np.roll(states, -1, 0), lengths)
    for rate in _rates(jacobians) if np.isfinite(jacobians).all() else []:
        try:
            norms = adapted_norms(jacobians, rate)
        except np.linalg.LinAlgError:
            continue
        drift = _drift(norms, missed, rounding)
        size = 4 * (1 + np.abs(states).max()) * np.linalg.norm(norms, 2, (-2, -1)).max()
        if form is not None:
            radius = _largest_radius(
                lambda r, k=norms: _bound_on_steps(form, states, k, r), rate, drift, size
            )
        else:
            bound = _sampled_bound(cell, u, shape, orbit, norms)
            least = drift / (1 - rate)
            found = (rate, orbit.tobytes())
            if found not in grown:
                grown[found] = _radius_by_growth(bound, rate, drift, _SIZES * size) / 2
            radius = min(grown[found], _distance_to(others, states, norms, lengths) / 2)
            radius = min(radius, _decreases_below(own_orbits(), states, norms, lengths, least) / 2)
            radius = radius if radius > 2 * least else 0.0
        entry = (_volume(norms, radius), radius, norms, 2 * drift / (1 - rate), _sampled_rate(rate))
        best = max(best, entry, key=lambda entry: entry[0])
    _, radius, norms, least, shrinks = best
    if norms is None or radius <= 0:
        return []
    kind = Trapping.SAMPLED if form is None else Trapping.PROVED
    return [Ball(x, scale, radius, kind, least, shrinks) for x, scale in zip(states, norms, strict=True)]


def _decreases_below(
    own_orbits: np.ndarray, states: np.ndarray, norms: np.ndarray, lengths: Lengths | None, least: float
) -> float:
    """The least distance from the cycle, beyond ``least``, that a step of the starts' orbits does not decrease."""
    found = np.inf
    with np.errstate(all="ignore"):
        for k in range(len(states)):
            after = (k + 1) % len(states)
            near, later = (
                np.linalg.norm(np.matmul(wrapped(part - states[i], lengths), norms[i].T), axis=-1)
                for i, part in ((k, own_orbits[:, :-1]), (after, own_orbits[:, 1:]))
            )
            held = near[np.isfinite(near) & (near > least) & ~(later < near)]
            found = min(found, held.min(initial=np.inf))
    return float(found)


def _distance_to(others: np.ndarray, states: np.ndarray, norms: np.ndarray, lengths: Lengths | None) -> float:
    """The least distance of another attractor's state from a state of the cycle, in that state's norm."""
    if not len(others):
        return np.inf
    apart = wrapped(others[None] - states[:, None], lengths)
    return float(np.linalg.norm(np.einsum("pij,pmj->pmi", norms, apart), axis=-1).min())
