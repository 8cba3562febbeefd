"""Recurrent weights: the common ensembles, and an exact spectral radius or spectral norm for any of them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from rnn_dynamics.cells import activations
from rnn_dynamics.cells.vanilla import ElmanRNN, LeakyRNN, PreActivationRNN
from rnn_dynamics.numerics.batching import computed
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.eigen import spectral_norm, spectral_radius
from rnn_dynamics.numerics.validation import choice, count, real_array


def _check_key(key: Any) -> Any:
    legacy = isinstance(key, jax.Array) and key.dtype == jnp.uint32 and key.ndim == 1
    typed = isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key) and not key.ndim
    if not legacy and not typed:
        raise TypeError(f"key: expected a JAX random key such as jax.random.key(0), got {key!r}")
    return key


def _number(name: str, value: Any) -> Any:
    """Check that the value is a finite number, or a traced one."""
    real_array(name, value, ndim=0)
    return value


def _floating(dtype: Any) -> Any:
    if not jnp.issubdtype(jnp.dtype(dtype), jnp.floating):
        raise TypeError(f"dtype: expected a floating dtype, got {jnp.dtype(dtype)}")
    return dtype


def gaussian(key: Any, n: int, *, gain: float = 1.0, dtype: Any = float) -> Float[Array, "n n"]:
    """W_ij ~ N(0, gain²/n): by the circular law its spectral radius is near ``gain`` for large n."""
    n = count("n", n, minimum=1)
    return _gaussian(_check_key(key), n, _number("gain", gain), _floating(dtype))


@lean(static_argnums=(1, 3))
def _gaussian(key: Any, n: int, gain: Any, dtype: Any) -> Array:
    return jax.random.normal(key, (n, n), dtype) * (gain / n**0.5)


def orthogonal(key: Any, n: int, *, gain: float = 1.0, dtype: Any = float) -> Float[Array, "n n"]:
    """``gain`` times an orthogonal matrix drawn from Haar's measure: all singular values equal ``gain``."""
    n = count("n", n, minimum=1)
    return _orthogonal(_check_key(key), n, _number("gain", gain), _floating(dtype))


@lean(static_argnums=(1, 3))
def _orthogonal(key: Any, n: int, gain: Any, dtype: Any) -> Array:
    q, r = jnp.linalg.qr(jax.random.normal(key, (n, n), dtype))
    return gain * q * jnp.where(jnp.diagonal(r) < 0, -1, 1)[None, :].astype(q.dtype)


def identity(n: int, *, gain: float = 1.0, dtype: Any = float) -> Float[Array, "n n"]:
    """``gain`` times the identity (the start of the IRNN of Le, Jaitly and Hinton, arXiv 1504.00941)."""
    return _number("gain", gain) * jnp.eye(count("n", n, minimum=1), dtype=_floating(dtype))


def glorot(key: Any, n: int, *, gain: float = 1.0, dtype: Any = float) -> Float[Array, "n n"]:
    """W_ij uniform on ±gain √(6/(n + n)) (Glorot and Bengio, AISTATS 2010): variance gain²/n."""
    n = count("n", n, minimum=1)
    limit = _number("gain", gain) * (3 / n) ** 0.5
    return jax.random.uniform(_check_key(key), (n, n), _floating(dtype), -limit, limit)


def kumar(
    key: Any, n: int, *, gain: float = 1.0, activation: Any = "logistic", dtype: Any = float
) -> Float[Array, "n n"]:
    """W_ij ~ N(0, gain² v²), v² = 1/(n φ′(0)² (1 + φ(0)²)): by Kumar's rule layers keep the variance.

    Of the logistic v = √(64/5)/√n = 3.578/√n, which is printed as 3.6/√n; of tanh 1/√n. The rule takes φ to be
    linear about 0 and the activities to have the mean φ(0) and the variance 1; biases are 0. The logistic's
    activities vary far less than 1, and its gradients shrink all the same.

    Raises:
        TypeError, ValueError: an argument out of range; an activation without a derivative at 0, or of slope 0
            there (for ReLU He's variance 2/n, ``gaussian`` at gain √2, holds instead).

    Reference: S. Kumar, arXiv 1704.08863.
    """
    n, dtype = count("n", n, minimum=1), _floating(dtype)
    factor = _kumar_gain(activations.get(activation), dtype)
    return factor * _gaussian(_check_key(key), n, _number("gain", gain), dtype)


def _kumar_gain(activation: activations.Activation, dtype: Any) -> Array:
    """v √n, the slope taken on both sides of 0."""
    value = activation.function(jnp.zeros((), dtype))
    left, right = (jax.grad(activation.function)(jnp.asarray(z, dtype)) for z in (-1e-5, 1e-5))
    slope = (left + right) / 2
    if not isinstance(slope, Tracer) and not abs(left - right) + 1e-6 < 1e-2 * abs(slope):
        raise ValueError(f"activation: expected one with a slope at 0 that is not 0, got {activation.name}")
    return 1 / (jnp.abs(slope) * jnp.sqrt(1 + value**2))


def yilmaz_poli(
    key: Any, n: int, *, gain: float = 1.0, deviation: float = 0.1, dtype: Any = float
) -> Float[Array, "n n"]:
    """W_ij ~ gain N(max(−1, −8/n), deviation²), for the logistic in depth; biases are 0.

    The mean is the published one, and 0.1 small against what it adds up to. Layers of equal units m then have,
    for n ≥ 8, the fixed point m = σ(−8 m) = 0.1852 of multiplier −8 σ′ = −1.207. It is unstable: the layers settle
    on the 2-cycle 0.0277, 0.4449, over which the gradient along equal units shrinks by 0.652 a layer; N(0, 1/n)
    shrinks it by about σ′(0) = ¼. Along the other directions it shrinks by 2 deviation √n σ′ and more, which is far
    smaller at n ≪ 400: one direction is kept.

    Raises:
        TypeError, ValueError: an argument out of range.

    Reference: A. Yilmaz, R. Poli, Neural Networks 153, 87 (2022).
    """
    n = count("n", n, minimum=1)
    mean, spread = max(-1.0, -8 / n), _number("deviation", deviation) * n**0.5
    drawn = _gaussian(_check_key(key), n, spread, _floating(dtype))
    return _number("gain", gain) * (drawn + mean)


def sparse(
    key: Any, n: int, *, connections: int = 15, gain: float = 1.0, dtype: Any = float
) -> Float[Array, "n n"]:
    """Gaussian weights with exactly ``connections`` inputs to each unit, of variance gain²/connections.

    Raises:
        ValueError: more connections than units, or none.
    """
    n = count("n", n, minimum=1)
    connections = count("connections", connections, minimum=1, maximum=n)
    chosen, drawn = jax.random.split(_check_key(key))
    order = jax.vmap(lambda k: jax.random.permutation(k, n))(jax.random.split(chosen, n))
    weights = jax.random.normal(drawn, (n, n), _floating(dtype)) * (_number("gain", gain) / connections**0.5)
    return jnp.where(order < connections, weights, jnp.zeros_like(weights))


def _turned(key: Any, matrix: Array) -> Array:
    """Q A Qᵀ with Q orthogonal from Haar's measure: the eigenvalues and singular values stay."""
    Q = _orthogonal(key, matrix.shape[0], 1.0, matrix.dtype)
    return jnp.matmul(jnp.matmul(Q, matrix, precision=_HIGHEST), Q.T, precision=_HIGHEST)


def nilpotent(key: Any, n: int, *, gain: float = 1.0, dtype: Any = float) -> Float[Array, "n n"]:
    """Q N Qᵀ, N strictly upper triangular with entries N(0, gain²/n), Q orthogonal: every eigenvalue is 0, Wⁿ = 0.

    The eigenvalues of W as floats are some eps^(1/n) instead: they are as ill-conditioned as can be.
    """
    n = count("n", n, minimum=1)
    return _nilpotent(_check_key(key), n, _number("gain", gain), _floating(dtype))


@lean(static_argnums=(1, 3))
def _nilpotent(key: Any, n: int, gain: Any, dtype: Any) -> Array:
    turned, drawn = jax.random.split(key)
    return _turned(turned, jnp.triu(_gaussian(drawn, n, gain, dtype), 1))


def chain(n: int, *, gain: float = 1.0, dtype: Any = float) -> Float[Array, "n n"]:
    """``gain`` times the shift x_i → x_{i+1}, a delay line: ρ = 0, and it keeps every signal for n − 1 steps.

    Reference: S. Ganguli, D. Huh, H. Sompolinsky, PNAS 105, 18970 (2008).
    """
    return _number("gain", gain) * jnp.eye(count("n", n, minimum=1), k=-1, dtype=_floating(dtype))


def non_normal(
    key: Any, n: int, *, gain: float = 1.0, departure: float = 1.0, dtype: Any = float
) -> Float[Array, "n n"]:
    """gain Q (D + departure N) Qᵀ: eigenvalues in the disc of radius ``gain``, and as far from normal as wanted.

    D holds 2×2 rotations times √u, u uniform in [0, 1] but for the first, which is 1; N is strictly upper
    triangular outside these blocks, with entries N(0, 1/n); Q is orthogonal. The spectral radius is ``gain``, the
    Henrici departure about gain · departure · √(n/2); departure = 0 gives a normal matrix.
    """
    n = count("n", n, minimum=1)
    numbers = (_number("gain", gain), _number("departure", departure))
    return _non_normal(_check_key(key), n, *numbers, _floating(dtype))


@lean(static_argnums=(1, 4))
def _non_normal(key: Any, n: int, gain: Any, departure: Any, dtype: Any) -> Array:
    turned, drawn, sizes, angles = jax.random.split(key, 4)
    pairs = (n + 1) // 2
    size = jnp.sqrt(jax.random.uniform(sizes, (pairs,), dtype)).at[0].set(1)
    angle = jax.random.uniform(angles, (pairs,), dtype, 0, 2 * jnp.pi)
    real, imaginary = jnp.repeat(size * jnp.cos(angle), 2)[:n], jnp.repeat(size * jnp.sin(angle), 2)[: n - 1]
    inside = jnp.arange(n - 1) % 2 == 0
    upper = jnp.where(inside, imaginary, jnp.zeros_like(imaginary))
    if n % 2:  # the last block is a single real number
        real = real.at[-1].set(size[-1])
    blocks = jnp.diag(real) + jnp.diag(upper, 1) - jnp.diag(upper, -1)
    above = jnp.triu(_gaussian(drawn, n, 1.0, dtype), 1)
    outside = jnp.arange(n)[:, None] // 2 != jnp.arange(n)[None, :] // 2
    return gain * _turned(turned, blocks + departure * jnp.where(outside, above, jnp.zeros_like(above)))


def _rescaled(name: str, W: Any, measure: Any, target: Any) -> Float[Array, "n n"]:
    W = real_array("W", W, ndim=2)
    if W.shape[0] != W.shape[1]:
        raise ValueError(f"W: expected a square matrix, got shape {W.shape}")
    goal = real_array(name, target, ndim=0)
    if not isinstance(goal, Tracer) and float(goal) < 0:
        raise ValueError(f"{name}: expected a number ≥ 0, got {goal}")
    size = measure(W)
    if not isinstance(size, Tracer) and not isinstance(goal, Tracer) and float(goal) > 0:
        rounding = len(W) * float(jnp.finfo(W.dtype).eps) * float(np.linalg.norm(W))
        if not float(size) > rounding:
            raise ValueError(f"W: {measure.__name__} {float(size):.3g} is zero to rounding, cannot be {goal}")
    return computed(_times_quotient, W, goal.astype(W.dtype), size)


@lean
def _times_quotient(W: Array, goal: Array, size: Array) -> Array:
    return W * (goal / jnp.where(goal == 0, jnp.ones_like(size), size))


def with_spectral_radius(W: Any, target: Any) -> Float[Array, "n n"]:
    """W times the factor that makes its spectral radius ``target`` exactly (to rounding).

    A nilpotent W has radius 0 and no such factor; a strongly non-normal one has a radius that rounding moves.
    Where a change of W in its last bit halves or doubles the radius, it is refused.

    Raises:
        TypeError, ValueError: W is not square or not finite, its radius is 0 or lost in rounding, or
            ``target`` is negative.
    """
    scaled = _rescaled("target", W, spectral_radius, target)
    if not isinstance(scaled, Tracer):
        _check_radius(np.asarray(real_array("W", W)), target)
    return scaled


def _check_radius(W: np.ndarray, target: Any) -> None:
    signs = np.where(np.add.outer(np.arange(len(W)), 2 * np.arange(len(W))) % 3, 1.0, -1.0).astype(W.dtype)
    nudge = np.finfo(W.dtype).eps * np.linalg.norm(W, 2) * signs
    radius, moved = (np.abs(np.linalg.eigvals(matrix)).max() for matrix in (W, W + nudge))
    if abs(moved - radius) > radius / 2 and float(target) > 0:
        raise ValueError(f"W: its spectral radius, {radius:.3g}, is lost in rounding, cannot be {target}")


def with_spectral_norm(W: Any, target: Any) -> Float[Array, "n n"]:
    """W times the factor that makes its largest singular value ``target`` (to rounding).

    Raises:
        TypeError, ValueError: W is not square or not finite, is zero, or ``target`` is negative.
    """
    return _rescaled("target", W, spectral_norm, target)


_HIGHEST = jax.lax.Precision.HIGHEST
_CELLS = {"elman": ElmanRNN, "pre_activation": PreActivationRNN, "leaky": LeakyRNN}
#: Families of weights by name; the entries scale with ``gain``.
ENSEMBLES = ("gaussian", "orthogonal", "glorot", "sparse", "non_normal", "nilpotent", "chain")
#: Those whose spectral radius is 0 at every gain.
WITHOUT_RADIUS = ("nilpotent", "chain")
_DRAWN = {
    "gaussian": gaussian,
    "orthogonal": orthogonal,
    "glorot": glorot,
    "non_normal": non_normal,
    "nilpotent": nilpotent,
}


def ensemble_weights(key: Any, n: int, ensemble: str, *, dtype: Any = float) -> Float[Array, "n n"]:
    """Weights of a family of ``ENSEMBLES`` at gain 1, "sparse" with 15 inputs a unit.

    Raises:
        ValueError: no such family.
    """
    if choice("ensemble", ensemble, list(ENSEMBLES)) == "chain":
        return chain(n, dtype=dtype)
    if ensemble == "sparse":
        return sparse(key, n, connections=min(15, n), dtype=dtype)
    return _DRAWN[ensemble](key, n, dtype=dtype)


def random_rnn(
    key: Any,
    n: int,
    *,
    spectral_radius: float | None = None,
    spectral_norm: float | None = None,
    ensemble: str = "gaussian",
    form: str = "elman",
    bias: float = 0.0,
    activation: Any = "tanh",
    dtype: Any = float,
) -> ElmanRNN | PreActivationRNN | LeakyRNN:
    """A random network for a first try.

    Args:
        key: a JAX random key.
        n: number of units.
        spectral_radius: ρ(W), exactly; or
        spectral_norm: s₁(W), exactly. Without either the ensemble's own scale is kept (gain 1).
        ensemble: "gaussian", "orthogonal", "glorot", "sparse", "non_normal", "nilpotent" or "chain".
        form: "elman", "pre_activation" or "leaky".
        bias: standard deviation of the Gaussian biases.
        activation: as for the cells.
        dtype: floating dtype; ``float`` is JAX's default.

    Returns:
        The network, of float parameters of ``dtype``: ``ElmanRNN``, ``PreActivationRNN`` or
        ``LeakyRNN``.

    Raises:
        TypeError, ValueError: an argument out of range, or both radius and norm given.

    References: for the Gaussian ensemble H. Sompolinsky, A. Crisanti, H.-J. Sommers, Phys. Rev. Lett. 61, 259
    (1988); for the others those of ``cells.initializers``.
    """
    n = count("n", n, minimum=1)
    if spectral_radius is not None and spectral_norm is not None:
        raise ValueError("spectral_norm: expected None where spectral_radius is given; one fixes the other")
    _number("bias", bias)
    choice("ensemble", ensemble, list(ENSEMBLES))
    build = _CELLS[choice("form", form, list(_CELLS))]
    draw = (
        _draws if ensemble == "sparse" else _draws_at_once
    )  # of which one program would change the last bit
    W, shift = draw(_check_key(key), n, ensemble, jnp.dtype(_floating(dtype)))
    if spectral_radius and ensemble in WITHOUT_RADIUS:
        raise ValueError(f"spectral_radius: expected None or 0 for ensemble {ensemble!r}, whose radius is 0")
    if spectral_radius is not None:
        W = with_spectral_radius(W, spectral_radius)
    elif spectral_norm is not None:
        W = with_spectral_norm(W, spectral_norm)
    return build(
        W, computed(_product, real_array("bias", bias).astype(W.dtype), shift), activation=activation
    )


def _draws(key: Any, n: int, ensemble: str, dtype: Any) -> tuple[Array, Array]:
    """Weights, and standard normal numbers for the biases."""
    drawn, shifted = jax.random.split(key)
    W = ensemble_weights(drawn, n, ensemble, dtype=dtype)
    return W, jax.random.normal(shifted, (n,), W.dtype)


_draws_at_once = jax.jit(_draws, static_argnums=(1, 2, 3))


@lean
def _product(bias: Array, shift: Array) -> Array:
    return bias * shift
