"""Large random networks: the variance of their inputs, the growth of a small change, the edge of chaos.

For x⁺ = φ(W x + b) or x⁺ = W φ(x) + b with W_ij ~ N(0, g²/n), n → ∞, the inputs z of the units are Gaussian,

    q = g² E φ(b + √q z)² + σ_b²,    χ = g² E φ′(b + √q z)²,    λ₁ = ½ ln χ,

z standard normal, b a common bias and σ_b the spread of further ones. A small change grows where χ > 1. By the
circular law g is also the spectral radius of W. On the host, in NumPy.

References: H. Sompolinsky, A. Crisanti, H.-J. Sommers, Phys. Rev. Lett. 61, 259 (1988); B. Poole et al.,
arXiv 1606.05340.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np

from rnn_dynamics.cells import activations
from rnn_dynamics.cells.activations import Activation, hyperbolic, linear, logistic, relu
from rnn_dynamics.cells.vanilla import slope
from rnn_dynamics.numerics.batching import elementwise
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.status import Status
from rnn_dynamics.numerics.validation import concrete_array

# The trapezoidal rule converges faster than any power for what is smooth and decays on both sides; a kink of φ
# costs up to 4e-3. No node lies at 0, where the kink mostly is.
_COUNT = 2000
_NODES = np.linspace(-10, 10, _COUNT)
_WEIGHTS = np.exp(-(_NODES**2) / 2) / np.exp(-(_NODES**2) / 2).sum()
# Above this √q the uniform nodes are too far apart for φ: there they lie thicker where the input passes 0.
_WIDE = 3.0
_VARIANCES = np.concatenate([[0.0], np.geomspace(1e-12, 1e16, 600)])
# A root is bracketed to 1 part in 2⁶⁰ of its interval, 16 parts a round.
_ROUNDS, _PARTS = 15, 16
_SMALLEST = 1e-300
# E φ² below this at q = 0 means φ(b) = 0.
_RESTING = 1e-200


class _MeanField(NamedTuple):
    variance: float
    susceptibility: float
    exponent: float
    status: Status


class MeanField(Result, _MeanField):
    """The self-consistent state with the largest variance.

    Attributes:
        variance: q; infinite where it passes 1e16.
        susceptibility: χ, NaN where q is infinite.
        exponent: ½ ln χ, the largest Lyapunov exponent, per step.
        status: CONVERGED, or DIVERGED where q is infinite.
    """

    __slots__ = ()

    _units: ClassVar = {"exponent": "nats a step"}


class _Edge(NamedTuple):
    gain: np.ndarray
    status: np.ndarray


class Edge(Result, _Edge):
    """The edge of chaos for each bias.

    Attributes:
        gain: the smallest g at which the state of largest variance has χ ≥ 1: where χ passes 1, or where such a
            state begins (a fold); NaN where none was found.
        status: CONVERGED, or UNDECIDED where there is none up to the largest gain.
    """

    __slots__ = ()


_values = elementwise(lambda z, activation: activation(z), static_argnums=(1,))
_slopes = elementwise(lambda z, activation: slope(activation, z), static_argnums=(1,))


def _on_host(function: Callable[..., Any], z: np.ndarray, activation: Activation) -> np.ndarray:
    """A function of numbers, in float64 where JAX has it switched on."""
    return np.asarray(function(jax.device_put(z.reshape(-1)), activation), float).reshape(z.shape)


def _nodes(bias: float, spread: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inputs h = b + √q z and the weights of each, shape (m, nodes)."""
    z = np.broadcast_to(_NODES, (len(spread), _COUNT)).copy()
    weights = np.broadcast_to(_WEIGHTS, z.shape).copy()
    wide = (spread > _WIDE) & (abs(bias) < 12 * spread)
    if wide.any():
        root = spread[wide, None]
        first, last = np.arcsinh(bias - 10 * root[:, 0]), np.arcsinh(bias + 10 * root[:, 0])
        t = np.linspace(first, last, _COUNT, axis=1)
        z[wide] = (np.sinh(t) - bias) / root
        dense = np.exp(-(z[wide] ** 2) / 2) * np.cosh(t)
        weights[wide] = dense / dense.sum(axis=1, keepdims=True)
    return bias + spread[:, None] * z, weights


def _at(bias: float, variances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``_nodes`` at each variance; at 0 from above, where a kink has both slopes."""
    return _nodes(bias, np.sqrt(np.maximum(variances, _SMALLEST)))


def _mean_square(activation: Activation, bias: float, variances: np.ndarray) -> np.ndarray:
    """E φ² at each variance."""
    inputs, weights = _at(bias, variances)
    return np.sum(_on_host(_values, inputs, activation) ** 2 * weights, axis=1)


def _moments(activation: Activation, bias: float, variances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """E φ² and E φ′² at each variance."""
    inputs, weights = _at(bias, variances)
    slopes = _on_host(_slopes, inputs, activation)
    values = _on_host(_values, inputs, activation)
    return np.sum(values**2 * weights, axis=1), np.sum(slopes**2 * weights, axis=1)


def _table(activation: Activation, bias: float) -> np.ndarray:
    """E φ² at the variances of the table, which do not depend on the gain: kept for the library's activations."""
    is_known = any(activation is each for each in (logistic, hyperbolic, relu, linear))
    dtype = jax.dtypes.canonicalize_dtype(float)
    return (_kept_table if is_known else _new_table)(activation, bias, dtype)


def _new_table(activation: Activation, bias: float, dtype: Any) -> np.ndarray:
    del dtype  # of JAX's floats, on which the values depend
    return _mean_square(activation, bias, _VARIANCES)


_kept_table = functools.lru_cache(maxsize=8)(_new_table)


def _bracket(low: Any, high: Any, is_left: Callable[[np.ndarray], np.ndarray]) -> tuple[float, float]:
    """Where ``is_left``, true at ``low`` and false at ``high``, is true for the last time, narrowed 2⁶⁰-fold."""
    for _ in range(_ROUNDS):
        grid = np.linspace(low, high, _PARTS + 1)
        left = np.flatnonzero(is_left(grid[1:-1]))
        last = int(left[-1]) + 1 if left.size else 0
        low, high = float(grid[last]), float(grid[last + 1])
    return low, high


def _state(activation: Activation, gain: float, bias: float, extra: float, table: np.ndarray) -> MeanField:
    """The largest root of q = g² E φ² + σ_b²: the last change of sign on the table, bracketed."""

    def excess_at(variances: np.ndarray) -> np.ndarray:
        return gain**2 * _mean_square(activation, bias, variances) + extra - variances

    excess = gain**2 * table + extra - _VARIANCES
    if excess[-1] > 0:
        return MeanField(math.inf, math.nan, math.nan, Status.DIVERGED)
    grid, excess = _with_peaks(_VARIANCES, excess, excess_at)
    positive = np.flatnonzero(excess > 0)
    low, high = 0.0, 0.0
    if positive.size:
        low, high = _bracket(grid[positive[-1]], grid[positive[-1] + 1], lambda q: excess_at(q) > 0)
    variance = 0.0 if low == 0 else (low + high) / 2
    susceptibility = gain**2 * float(_moments(activation, bias, np.array([variance]))[1][0])
    with np.errstate(divide="ignore"):
        return MeanField(variance, susceptibility, float(np.log(susceptibility) / 2), Status.CONVERGED)


def _with_peaks(
    grid: np.ndarray, excess: np.ndarray, excess_at: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """The table with finer points about negative peaks that come near 0, where a pair of roots may hide."""
    inner = excess[1:-1]
    peaks = np.flatnonzero((inner >= excess[:-2]) & (inner >= excess[2:]) & (inner <= 0)) + 1
    peaks = peaks[-excess[peaks] < 0.1 * grid[peaks]]
    for at in peaks:
        finer = np.linspace(grid[at - 1], grid[at + 1], 201)
        values = excess_at(finer)
        top = int(np.clip(values.argmax(), 1, 199))
        finest = np.linspace(finer[top - 1], finer[top + 1], 201)
        grid, excess = np.concatenate([grid, finest]), np.concatenate([excess, excess_at(finest)])
    order = np.argsort(grid, kind="stable")
    return grid[order], excess[order]


def _checked(activation: Any, **numbers: Any) -> tuple[Activation, dict[str, float]]:
    found = {name: float(concrete_array(name, value, ndim=0)) for name, value in numbers.items()}
    for name, value in found.items():
        if name != "bias" and value < 0:
            raise ValueError(f"{name}: expected a number ≥ 0, got {value:g}")
    return activations.get(activation), found


def mean_field(gain: Any, *, bias: Any = 0.0, bias_std: Any = 0.0, activation: Any = "tanh") -> MeanField:
    """Variance, susceptibility and largest exponent of a random network in the limit of many units.

    q = g² E φ(b + √q z)² + σ_b², χ = g² E φ′(b + √q z)² and λ₁ = ½ ln χ, z standard normal.

    Args:
        gain: g ≥ 0, the standard deviation of the weights times √n.
        bias: b, common to all units.
        bias_std: σ_b ≥ 0, the standard deviation of further biases.
        activation: as for the cells.

    Returns:
        ``MeanField``: q, χ and λ₁ in nats a step, of the broadcast shape.

    Raises:
        TypeError, ValueError: no finite real numbers, a negative gain or standard deviation.

    Finite networks differ: the bias of λ₁ is large below some 1000 units. Kinks of φ (ReLU) away from b cost up to
    4e-3 of χ; smooth activations are integrated to rounding.

    References: H. Sompolinsky, A. Crisanti, H.-J. Sommers, Phys. Rev. Lett. 61, 259 (1988); B. Poole et al.,
    arXiv 1606.05340.
    """
    found, numbers = _checked(activation, gain=gain, bias=bias, bias_std=bias_std)
    table = _table(found, numbers["bias"])
    return _state(found, numbers["gain"], numbers["bias"], numbers["bias_std"] ** 2, table)


def edge_of_chaos(
    biases: Any, *, bias_std: Any = 0.0, activation: Any = "tanh", largest_gain: Any = 20.0
) -> Edge:
    """The gain at which small changes begin to grow, for each common bias: χ < 1 below it, χ ≥ 1 just above.

    Args:
        biases: shape (m,).
        bias_std: σ_b ≥ 0.
        activation: as for the cells.
        largest_gain: edges above it are left out, > 0.

    Returns:
        ``Edge``: the gain of every bias, shape (m,), NaN where there is none up to ``largest_gain``.

    Raises:
        TypeError, ValueError: no finite real numbers, a negative standard deviation, no positive largest gain.

    References: H. Sompolinsky, A. Crisanti, H.-J. Sommers, Phys. Rev. Lett. 61, 259 (1988); B. Poole et al.,
    arXiv 1606.05340.
    """
    each = concrete_array("biases", biases, ndim=1).astype(float)
    found, numbers = _checked(activation, bias_std=bias_std, largest_gain=largest_gain)
    if not numbers["largest_gain"]:
        raise ValueError("largest_gain: expected a number > 0, got 0")
    gains = [_edge(found, float(b), numbers["bias_std"] ** 2, numbers["largest_gain"]) for b in each]
    gain = np.array(gains, float).reshape(each.shape)
    status = np.where(np.isnan(gain), int(Status.UNDECIDED), int(Status.CONVERGED))
    return Edge(gain, status)


def _edge(activation: Activation, bias: float, extra: float, largest: float) -> float:
    """Along q, g² = (q − σ_b²)/E φ² and χ = g² E φ′²; a state counts where no larger q has a gain as small.

    The edge is the smallest gain of such a state with χ ≥ 1: where χ passes 1, or where a branch that has it
    already begins.
    """

    def along(variances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        size, slope = _moments(activation, bias, variances)
        with np.errstate(divide="ignore", invalid="ignore"):
            squared = np.where((variances > extra) & (size > 0), (variances - extra) / size, 0.0)
        return np.sqrt(squared), squared * slope

    resting = _resting_edge(activation, bias) if not extra else math.nan
    offsets = _VARIANCES[1:]
    gains, growth = along(extra + offsets)
    counts = gains <= np.minimum.accumulate(gains[::-1])[::-1]
    growing = np.flatnonzero(counts & (growth >= 1))
    edge = math.nan
    if growing.size and growing[0] > 0:
        first = int(growing[0])
        edge = (
            _passing(along, extra, offsets, first)
            if counts[first - 1]
            else _beginning(along, extra, offsets, first)
        )
    best = np.nanmin([resting, edge]) if not math.isnan(resting) or not math.isnan(edge) else math.nan
    return float(best) if best <= largest else math.nan


def _passing(along: Callable[..., Any], extra: float, offsets: np.ndarray, first: int) -> float:
    """The gain at which χ passes 1 between two points of the table."""
    _, high = _bracket(offsets[first - 1], offsets[first], lambda offset: along(extra + offset)[1] < 1)
    return float(along(np.array([extra + high]))[0][0])


def _beginning(along: Callable[..., Any], extra: float, offsets: np.ndarray, first: int) -> float:
    """The smallest gain about a point of the table: a fold, where the branch of larger variance begins."""
    low, high = offsets[first - 1], offsets[min(first + 1, len(offsets) - 1)]
    gains = np.zeros(0)
    for _ in range(4):
        finer = np.linspace(low, high, 41)
        gains = along(extra + finer)[0]
        at = int(np.clip(gains.argmin(), 1, 39))
        low, high = finer[at - 1], finer[at + 1]
    return float(gains.min())


def _resting_edge(activation: Activation, bias: float) -> float:
    """1/√(E φ′²) where φ(b) = 0, so that the network can rest at q = 0; else NaN."""
    size, slope = (float(part[0]) for part in _moments(activation, bias, np.zeros(1)))
    return 1 / math.sqrt(slope) if size < _RESTING and slope > 0 else math.nan
