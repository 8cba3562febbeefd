"""Large random networks: the variance of their inputs, the growth of a small change, the edge of chaos.

For x⁺ = φ(W x + b) or x⁺ = W φ(x) + b with W_ij ~ N(0, g²/n), n → ∞, the inputs z of the units are Gaussian,

    q = g² E φ(b + √q z)² + σ_b²,    χ = g² E φ′(b + √q z)²,    λ₁ = ½ ln χ,

z standard normal, b a common bias and σ_b the spread of further ones. A small change grows where χ > 1. By the
circular law g is also the spectral radius of W. On the host, in NumPy.

References: H. Sompolinsky, A. Crisanti, H.-J. Sommers, Phys. Rev. Lett. 61, 259 (1988); B. Poole et al.,
arXiv 1606.05340.
"""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from rnn_dynamics import activations
from rnn_dynamics.activations import Activation
from rnn_dynamics.cells.vanilla import PreActivationRNN
from rnn_dynamics.status import Status
from rnn_dynamics.validation import concrete_array

__all__ = ["Edge", "MeanField", "edge_of_chaos", "mean_field"]

# The trapezoidal rule converges faster than any power for what is smooth and decays on both sides; a kink of φ
# costs up to 2e-3. No node lies at 0, where the kink mostly is.
_NODES = np.linspace(-10, 10, 4000)
_WEIGHTS = np.exp(-(_NODES**2) / 2) / np.exp(-(_NODES**2) / 2).sum()
_VARIANCES = np.concatenate([[0.0], np.geomspace(1e-12, 1e8, 241)])
_BISECTIONS = 60
_SMALLEST = 1e-300
# E φ² below this at q = 0 means φ(b) = 0.
_RESTING = 1e-200


class MeanField(NamedTuple):
    """The self-consistent state with the largest variance.

    Attributes:
        variance: q; infinite where it grows without limit.
        susceptibility: χ, NaN where q is infinite.
        exponent: ½ ln χ, the largest Lyapunov exponent, per step.
        status: CONVERGED, or DIVERGED where q is infinite.
    """

    variance: float
    susceptibility: float
    exponent: float
    status: Status


class Edge(NamedTuple):
    """The edge of chaos for each bias.

    Attributes:
        gain: g with χ = 1, the first along rising variance; NaN where none was found.
        status: CONVERGED, or UNDECIDED where χ does not pass 1 in the range of gains.
    """

    gain: np.ndarray
    status: np.ndarray


def _values(activation: Activation, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """φ and φ′, in float64 where JAX has it switched on."""
    at = jnp.asarray(z.reshape(-1))
    neuron = PreActivationRNN(np.eye(1), np.zeros(1), activation=activation)
    values, slopes = (
        np.asarray(part, float).reshape(z.shape) for part in (activation(at), neuron.slopes(at))
    )
    return values, slopes


def _moments(activation: Activation, bias: float, variances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """E φ² and E φ′² at each variance; at 0 from above, where a kink has both slopes."""
    spread = np.sqrt(np.maximum(variances, _SMALLEST))
    values, slopes = _values(activation, bias + spread[:, None] * _NODES)
    return np.matmul(values**2, _WEIGHTS), np.matmul(slopes**2, _WEIGHTS)


def _state(activation: Activation, gain: float, bias: float, extra: float, table: tuple) -> MeanField:
    """The largest root of q = g² E φ² + σ_b²: the last change of sign on the table, then bisections."""
    excess = gain**2 * table[0] + extra - _VARIANCES
    if excess[-1] > 0:
        return MeanField(np.inf, np.nan, np.nan, Status.DIVERGED)
    positive = np.flatnonzero(excess > 0)
    low, high = (_VARIANCES[positive[-1]], _VARIANCES[positive[-1] + 1]) if positive.size else (0.0, 0.0)
    for _ in range(_BISECTIONS if high > 0 else 0):
        middle = (low + high) / 2
        above = gain**2 * _moments(activation, bias, np.array([middle]))[0][0] + extra > middle
        low, high = (middle, high) if above else (low, middle)
    variance = float((low + high) / 2)
    susceptibility = gain**2 * float(_moments(activation, bias, np.array([variance]))[1][0])
    with np.errstate(divide="ignore"):
        return MeanField(variance, susceptibility, float(np.log(susceptibility) / 2), Status.CONVERGED)


def _checked(activation: Any, **numbers: Any) -> tuple[Activation, dict[str, float]]:
    found = {name: float(concrete_array(name, value, ndim=0)) for name, value in numbers.items()}
    for name, value in found.items():
        if name != "bias" and value < 0:
            raise ValueError(f"{name}: expected a number ≥ 0, got {value:g}")
    return activations.get(activation), found


def mean_field(gain: Any, *, bias: Any = 0.0, bias_std: Any = 0.0, activation: Any = "tanh") -> MeanField:
    """Variance, susceptibility and largest exponent of a random network in the limit of many units.

    Args:
        gain: g ≥ 0, the standard deviation of the weights times √n.
        bias: b, common to all units.
        bias_std: σ_b ≥ 0, the standard deviation of further biases.
        activation: as for the cells.

    Raises:
        TypeError, ValueError: no finite real numbers, a negative gain or standard deviation.

    Finite networks differ: the bias of λ₁ is large below some 1000 units.
    """
    found, numbers = _checked(activation, gain=gain, bias=bias, bias_std=bias_std)
    table = _moments(found, numbers["bias"], _VARIANCES)
    return _state(found, numbers["gain"], numbers["bias"], numbers["bias_std"] ** 2, table)


def edge_of_chaos(
    biases: Any, *, bias_std: Any = 0.0, activation: Any = "tanh", largest_gain: Any = 20.0
) -> Edge:
    """The gain at which χ passes 1, for each common bias: below it small changes die, above it they grow.

    Args:
        biases: shape (m,).
        bias_std: σ_b ≥ 0.
        activation: as for the cells.
        largest_gain: where the search ends, > 0.

    Raises:
        TypeError, ValueError: no finite real numbers, a negative standard deviation, no positive largest gain.
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
    """Along q, g² = (q − σ_b²)/E φ² and χ = g² E φ′²: the first change of sign of χ − 1, then bisections."""

    def along(variances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        size, slope = _moments(activation, bias, variances)
        with np.errstate(divide="ignore", invalid="ignore"):
            squared = np.where(variances > extra, (variances - extra) / size, 0.0)
        return np.sqrt(squared), squared * slope

    resting = _resting_edge(activation, bias) if not extra else math.nan
    variances = extra + _VARIANCES[1:]
    gains, growth = along(variances)
    passes = np.flatnonzero((growth[:-1] < 1) & (growth[1:] >= 1) & (gains[1:] <= largest))
    if not passes.size or resting <= gains[passes[0]]:
        return resting if resting <= largest else math.nan
    low, high = variances[passes[0]], variances[passes[0] + 1]
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if along(np.array([middle]))[1][0] >= 1 else (middle, high)
    return float(along(np.array([high]))[0][0])


def _resting_edge(activation: Activation, bias: float) -> float:
    """1/√(E φ′²) where φ(b) = 0, so that the network can rest at q = 0; else NaN."""
    size, slope = (float(part[0]) for part in _moments(activation, bias, np.zeros(1)))
    return 1 / math.sqrt(slope) if size < _RESTING and slope > 0 else math.nan
