"""Norms in which a map contracts at a stable cycle, and how far about it the distance in such a norm decreases."""

import contextlib
import dataclasses
import warnings

import numpy as np

from rnn_dynamics.dynamics.equilibria.equation import RootProblem
from rnn_dynamics.dynamics.equilibria.orbit_kernels import advanced
from rnn_dynamics.dynamics.phases import Lengths, wrapped

_SHARES = (0.5, 0.9)
_DIRECTIONS = 12
_RADII = 32
_SEEN = 12
_MOST_SKEWED = 1e4  # condition number of eigenvectors that serve as a norm
_FAST = 0.6  # size of a multiplier whose coordinate a relaxation of ``_RELAXED`` periods settles
_RELAXED, _ROUNDS = 64, 8
_DRAWN, _TIGHT = 0.2, 1e-3


def adapted_norms(jacobians: np.ndarray, rate: float) -> np.ndarray:
    """L_k of every state of the cycle, shape (p, n, n), with ‖L_{k+1} J_k L_k⁻¹‖₂ < ``rate``."""
    from scipy.linalg import LinAlgWarning, solve_discrete_lyapunov

    n = jacobians.shape[-1]
    scaled = jacobians / rate
    product, weight = np.eye(n), np.zeros((n, n))
    for matrix in scaled:
        weight += np.matmul(product.T, product)
        product = np.matmul(matrix, product)
    with warnings.catch_warnings():  # what is made of ill-conditioned norms is checked, not believed
        warnings.simplefilter("ignore", LinAlgWarning)
        gram = solve_discrete_lyapunov(product.T, weight)
    grams = [gram]
    for matrix in scaled[:0:-1]:
        gram = np.eye(n) + np.linalg.multi_dot([matrix.T, gram, matrix])
        grams.insert(1, gram)
    return np.stack([np.linalg.cholesky((g + g.T) / 2).T for g in grams])


@dataclasses.dataclass
class Attracting:
    """A stable root of x = F^d(x) and V(x) = ‖norm · (x − point)‖₂, which decreases where V ≤ ``radius``.

    Attributes:
        point: the state, shape (n,).
        length: d, in multiples of the input's period.
        norm: shape (n, n).
        rate: V(F^d(x)) ≤ rate V(x) near the point.
        radius: as far as samples show that V decreases, halved; 0 before any was looked at.
        root: which of the roots it is.
        least: V of rounding, below which it need not decrease.
        rates: |λ| of each row of ``norm`` where these are eigen-coordinates, else ``None``.
        lengths: of the coordinates that are phases, whose differences go the shorter way round.
    """

    point: np.ndarray
    length: int
    norm: np.ndarray
    rate: float
    root: int
    least: float
    rates: np.ndarray | None = None
    lengths: Lengths | None = None
    radius: float = 0.0

    def coordinates(self, states: np.ndarray) -> np.ndarray:
        """norm · (x − point) of states (…, n)."""
        with np.errstate(all="ignore"):
            return np.matmul(wrapped(np.asarray(states, np.float64) - self.point, self.lengths), self.norm.T)

    def distances(self, states: np.ndarray) -> np.ndarray:
        """Return the distances V of states (…, n)."""
        with np.errstate(all="ignore"):
            return np.linalg.norm(self.coordinates(states), axis=-1)

    def expected(self, distances: np.ndarray, turns: np.ndarray) -> np.ndarray:
        """What V has fallen to at most after so many periods, if it falls at a tenth of the rate near the point."""
        return np.maximum(distances * np.exp(-0.1 * (1 - self.rate) * turns), self.least)

    def falls(self, along: np.ndarray) -> np.ndarray:
        """Whether V decreases at every step of (count, steps) values of it, but for rounding."""
        with np.errstate(all="ignore"):
            down = (along[:, 1:] < along[:, :-1]) | (along[:, 1:] <= self.least)
        return np.all(down, axis=1)

    def draws_in(self, problem: RootProblem, states: np.ndarray) -> np.ndarray:
        """Whether states (count, n) come to the point and not beside it, though they are slow.

        Where many slow coordinates make up V, it falls whatever a fast one does. So the slow ones are drawn in to
        where they come to, each as much as its own multiplier makes of it, while the map itself goes on with all
        the others: these must come in too. Where there are no eigen-coordinates nothing is drawn in.
        """
        before = self.distances(states)
        far = np.flatnonzero(before > self.least)
        if self.rates is None or not far.size:
            return np.ones(len(states), bool)
        slowest = float(self.rates.max())
        if slowest <= _FAST:
            return np.ones(len(states), bool)
        slow = self.rates > _FAST ** (1 / _RELAXED)
        factors = np.where(slow, _DRAWN ** (np.log(np.maximum(self.rates, 1e-300)) / np.log(slowest)), 1.0)
        back = np.linalg.inv(self.norm)
        limit = np.maximum(_TIGHT * before, self.least)
        come = before <= self.least
        going, current = far, states[far].astype(np.float64)
        for _ in range(_ROUNDS):
            inner = np.matmul(wrapped(current - self.point, self.lengths), self.norm.T) * factors
            current = (self.point + np.matmul(inner, back.T)).astype(problem.dtype)
            current = advanced(problem, current, _RELAXED * self.length).astype(np.float64)
            now = self.distances(current)
            come[going[now <= limit[going]]] = True
            on = (now > limit[going]) & (now <= 2 * before[going])
            going, current = going[on], current[on]
            if not going.size:
                break
        return come

    def looked_at(self, problem: RootProblem, states: np.ndarray) -> None:
        """Set the radius: V must decrease along random directions and towards the nearest of ``states`` (m, n).

        Every radius from the rounding upwards must pass; the ball that is believed is half as wide.
        """
        n = len(self.point)
        draws = np.random.default_rng(0).normal(size=(_DIRECTIONS, n))
        near = states[np.argsort(self.distances(states))[:_SEEN]].astype(np.float64)
        toward = np.matmul(wrapped(near - self.point, self.lengths), self.norm.T)
        lengths = np.linalg.norm(toward, axis=1)
        good = np.isfinite(lengths) & (lengths > 0)
        rows = np.concatenate([draws, -draws[: _DIRECTIONS // 2], toward[good], -toward[good]])
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        least = self.least
        most = max(4 * least, 2.2 * lengths[good].max(initial=0.0))
        radii = np.geomspace(least, most, _RADII)
        across = np.linalg.solve(self.norm, rows.T).T
        points = self.point + radii[:, None, None] * across
        images = advanced(problem, points.reshape(-1, n).astype(problem.dtype), self.length)
        after = self.distances(images.reshape(points.shape))
        highest = 1 - 0.1 * (1 - self.rate)
        passes = (after <= highest * radii[:, None]).all(axis=1) & self._is_ball(radii, across)
        last = int(np.argmin(np.append(passes, False))) - 1
        self.radius = max(self.radius, radii[last] / 2 if last >= 0 else 0.0)

    def _is_ball(self, radii: np.ndarray, across: np.ndarray) -> np.ndarray:
        """Which radii keep within half a turn of every phase, beyond which the other way round is shorter."""
        half = np.array([np.inf if length is None else length / 2 for length in self.lengths or (None,)])
        return np.all(radii[:, None, None] * np.abs(across) < half, axis=(1, 2))


def _eigenbasis(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """L with ‖L J L⁻¹‖₂ = max|λ|, and |λ| of each of its rows; ``None`` where eigenvectors are all but dependent.

    The eigenvectors have length 1.
    """
    values, vectors = np.linalg.eig(matrix)
    columns = [
        part
        for value, vector in zip(values, vectors.T, strict=True)
        if value.imag >= 0
        for part in ([vector.real] if value.imag == 0 else [vector.real, vector.imag])
    ]
    sizes = [abs(value) for value in values if value.imag >= 0 for _ in range(1 if value.imag == 0 else 2)]
    basis = np.stack(columns, axis=1)
    if basis.shape[1] != len(matrix) or not np.linalg.cond(basis) < _MOST_SKEWED:
        return None
    return np.linalg.inv(basis), np.array(sizes)


def attracting(
    point: np.ndarray, jacobian: np.ndarray, length: int, root: int, lengths: Lengths | None = None
) -> Attracting | None:
    """The norm of a stable root; ``None`` where floats do not give one."""
    matrix = jacobian.astype(np.float64)
    radius = float(np.abs(np.linalg.eigvals(matrix)).max())
    found = _eigenbasis(matrix)
    rates = None if found is None else found[1]
    candidates = [] if found is None else [(found[0], radius + 0.1 * (1 - radius))]
    for share in () if candidates else _SHARES:
        rate = radius + share * (1 - radius)
        with contextlib.suppress(np.linalg.LinAlgError):
            if rate < 1:
                candidates.append((adapted_norms(matrix[None], rate)[0], rate))
    unit, size = float(np.finfo(point.dtype).eps), 1 + float(np.abs(point).max())
    for norm, rate in candidates:
        if np.isfinite(norm).all():
            least = 256 * unit * size * float(np.linalg.norm(norm, 2)) / (1 - rate)
            return Attracting(point.astype(np.float64), length, norm, rate, root, least, rates, lengths)
    return None
