"""The saddle that a set belongs to: its eigenvector, and the set to second order beside it."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rnn_dynamics.cells.pytree import join
from rnn_dynamics.dynamics.equilibria.cycles import measured
from rnn_dynamics.dynamics.equilibria.equation import RootProblem, posed, residual_tolerance
from rnn_dynamics.dynamics.phases import largest_length
from rnn_dynamics.dynamics.return_map import IteratedMap, iterate, repeated
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.validation import count, real_array

_HALVINGS = 40
_ROUNDINGS = 8  # how many of them the image of a point beside the saddle may be off the curve


@dataclasses.dataclass(frozen=True)
class Extent:
    """How far a side is grown, and how finely: all checked."""

    length: float
    spacing: float
    max_points: int


@dataclasses.dataclass(frozen=True)
class Saddle:
    """A fixed point x* of F^p and the curve x* + σ v + σ² q, which is invariant to O(σ³).

    Attributes:
        problem: the map.
        point: x*, shape (n,).
        period: p, in multiples of the input's length.
        multiplier: λ of F^p along v, real.
        direction: v, unit length; its largest entry is positive.
        bend: q = (λ² − J)⁻¹ ½ D²F^p(v, v).
        returns: how many F^p make the return map: 2 where λ < 0, so that it keeps each side, else 1.
        reach: the σ up to which the curve of second order is the set to rounding.
    """

    problem: RootProblem
    point: Float[np.ndarray, " n"]
    period: int
    multiplier: float
    direction: Float[np.ndarray, " n"]
    bend: Float[np.ndarray, " n"]
    returns: int
    reach: float

    @property
    def steps(self) -> int:
        """Of the return map, in multiples of the input's length."""
        return self.period * self.returns

    @property
    def steps_of_cycle(self) -> int:
        """The period p, in steps of the cell."""
        return self.period * self.problem.cycle

    @property
    def rate(self) -> float:
        """The return map's multiplier, > 0."""
        return abs(self.multiplier) ** self.returns

    def sound_reach(self, jacobian: Float[np.ndarray, "n n"]) -> float:
        """The largest of some σ whose image lies on the curve itself, as far as rounding lets one see.

        The first is where terms of third order of size 1 are rounding; the map's own may be far larger.
        """
        eps, scale = float(np.finfo(self.problem.dtype).eps), 1 + float(np.max(np.abs(self.point)))
        scale += largest_length(self.problem.lengths)
        sigma = eps ** (1 / 3) * scale / (1 + float(np.linalg.norm(self.bend))) * 0.5 ** np.arange(_HALVINGS)
        # Both ends of the segment that is mapped must lie within σ.
        start, end = (sigma / self.rate, sigma) if self.rate > 1 else (sigma, self.rate * sigma)
        sides = np.array([1.0, -1.0])[:, None]
        begun, ended = (self.beside((sides * part).ravel()) for part in (start, end))
        states = np.concatenate([begun, self.point[None]])
        times = np.full(len(states), self.returns, np.int32)
        (found,) = self.problem.batched(repeated_images, self.period, states, times)
        off = self.problem.apart(found, np.concatenate([ended, self.point[None]]))
        rounding = (
            _ROUNDINGS * eps * scale * max(1.0, float(np.abs(jacobian).max())) ** self.returns + 2 * off[-1]
        )
        fits = (off[:-1].reshape(2, -1) <= rounding).all(axis=0)
        return float(sigma[np.argmax(fits)])

    def beside(self, sigma: np.ndarray) -> Float[np.ndarray, "m n"]:
        """x* + σ v + σ² q for each σ."""
        column = np.asarray(sigma, self.problem.dtype)[:, None]
        return self.point + column * self.direction + column**2 * self.bend


@lean(static_argnums=(0, 6))
def repeated_images(
    static: Any, arrays: Any, states: Array, times: Array, inputs: Any, steps: Any, shape: tuple[int, ...]
) -> Float[Array, "m n"]:
    """The return map of ``steps`` steps, applied to each state as often as ``times`` says."""
    cell = join(static, arrays)
    return jax.vmap(lambda x, number: IteratedMap(cell, inputs, number * steps, shape)(x))(states, times)


@lean(static_argnums=(0, 4, 5))
def image(
    static: Any, arrays: Any, x: Array, inputs: Any, steps: int, shape: tuple[int, ...]
) -> tuple[Float[Array, " n"], Float[Array, "n n"]]:
    """Return the return map at x, and its Jacobian."""
    return IteratedMap(join(static, arrays), inputs, steps, shape).with_jacobian(x)


@lean(static_argnums=(0, 5, 6))
def _curvature(
    static: Any, arrays: Any, x: Array, v: Array, inputs: Any, steps: int, shape: tuple[int, ...]
) -> Float[Array, " n"]:
    """The second derivative D²F^p(v, v)."""

    def along(s: Array) -> Array:
        start = (x + s * v).reshape(shape)
        return iterate(join(static, arrays), start, repeated(inputs, steps), steps)[0].reshape(-1)

    one, zero = jnp.ones((), x.dtype), jnp.zeros((), x.dtype)

    def slope(s: Array) -> Array:
        return jax.jvp(along, (s,), (one,))[1]

    return jax.jvp(slope, (zero,), (one,))[1]


def checked_extent(length: Any, spacing: Any, max_points: Any) -> Extent:
    """The three options; ``spacing`` is a 500th of the length by default.

    Raises:
        TypeError, ValueError: not finite numbers > 0; spacing > length; max_points < 16.
    """
    far = float(real_array("length", length, ndim=0))
    if not far > 0:
        raise ValueError(f"length: expected a number > 0, got {far:g}")
    near = far / 500 if spacing is None else float(real_array("spacing", spacing, ndim=0))
    if not 0 < near <= far:
        raise ValueError(f"spacing: expected a number > 0, at most length = {far:g}, got {near:g}")
    return Extent(far, near, count("max_points", max_points, minimum=16))


def fixed_point_near(problem: RootProblem, x: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray] | None:
    """The fixed point that Newton's method reaches from x, and the Jacobian of the return map; or ``None``."""
    roots = measured(problem, x[None].astype(problem.dtype), steps)
    if not roots.accepted(residual_tolerance(problem, None))[0]:
        return None
    return roots.points[0], roots.jacobian[0]


def saddle_of(
    cell: Any, point: Any, period: Any, u: Any, inputs: Any, kind: str, topology: Any = None
) -> Saddle:
    """The saddle near ``point``, with the one real multiplier outside (inside) the unit circle.

    Raises:
        TypeError, ValueError: arguments that do not fit the cell; no fixed point near, or one of a lower period;
            none or several multipliers on that side of the unit circle.
    """
    given = real_array("point", point)
    weak = not hasattr(point, "dtype")
    start = np.asarray(given).tolist() if weak else np.asarray(given)
    alone = [start] if weak else start[None]
    problem, rows, period = posed(cell, alone, u, inputs, period, topology, "point")
    found = fixed_point_near(problem, rows[0], period)
    near = 0.1 * (1 + float(np.max(np.abs(rows[0]))))
    if found is None or problem.apart(found[0], rows[0]) > near:
        raise ValueError(
            f"point: expected a state near a cycle of period {period}; Newton's method finds none"
        )
    lower = _minimal_period(problem, found[0], period)
    if lower != period:
        raise ValueError(
            f"period: Newton's method reaches a cycle of period {lower} from point, expected {period}"
        )
    multiplier, vector = _direction(found[1], kind)
    flat, shape, steps = jnp.asarray(found[0]), problem.shape, period * problem.cycle
    second = np.asarray(
        _curvature(problem.static, problem.arrays, flat, jnp.asarray(vector), problem.inputs, steps, shape)
    )
    matrix = multiplier**2 * np.eye(problem.size) - found[1]
    bend = np.linalg.lstsq(matrix, second / 2, rcond=None)[0].astype(problem.dtype)
    returns = 2 if multiplier < 0 else 1
    saddle = Saddle(problem, found[0], period, multiplier, vector, bend, returns, 0.0)
    return dataclasses.replace(saddle, reach=saddle.sound_reach(found[1]))


def _minimal_period(problem: RootProblem, x: np.ndarray, period: int) -> int:
    """The least divisor d of the period with F^d(x) = x."""
    divisors = np.array([d for d in range(1, period) if period % d == 0], np.int32)
    if not len(divisors):
        return period
    (states,) = problem.batched(repeated_images, 1, np.repeat(x[None], len(divisors), axis=0), divisors)
    near = float(np.finfo(problem.dtype).eps) ** 0.5 * (1 + np.abs(x).max())
    lower = divisors[problem.apart(states, x) <= near]
    return int(lower[0]) if len(lower) else period


def _direction(jacobian: np.ndarray, kind: str) -> tuple[float, np.ndarray]:
    values, vectors = np.linalg.eig(jacobian)
    rounding = 8 * float(np.finfo(jacobian.dtype).eps)  # a multiplier of size 1 is on neither side
    beyond = np.abs(values) - 1 if kind == "unstable" else 1 - np.abs(values)
    chosen = np.flatnonzero(beyond > rounding)
    if len(chosen) != 1:
        raise ValueError(
            f"point: expected one {kind} multiplier for a curve, got {len(chosen)} of {len(values)}"
        )
    i = int(chosen[0])
    vector = np.real(vectors[:, i])
    vector = vector * np.sign(vector[np.argmax(np.abs(vector))]) / np.linalg.norm(vector)
    return float(np.real(values[i])), vector.astype(jacobian.dtype)
