"""Feed-forward networks as maps in depth: the state is a layer's activity, the input the next layer's parameters.

``rollout(cell, x, u)`` runs an input x through as many layers as the leaves of u have rows, so that the gradient
over layers is measured as the gradient over time is. All layers are of one width n. Untied layers differ; tied ones
repeat the same parameters, which makes the network recurrent. The parameters take the dtype of x.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnn_dynamics.cells import activations
from rnn_dynamics.cells.activations import Activation
from rnn_dynamics.cells.initializers import ENSEMBLES, ensemble_weights, kumar, yilmaz_poli
from rnn_dynamics.cells.pytree import cell_type, set_fields
from rnn_dynamics.cells.vanilla import dot, slope
from rnn_dynamics.numerics.texts import counted
from rnn_dynamics.numerics.validation import choice, count, flag, fraction, positive, real_array

_PLAIN = ("W", "b")
_NORMALIZED = ("W", "b", "gain", "offset")


def _layer(u: Any, x: Array, n: int, names: tuple[str, ...]) -> dict[str, Array]:
    """The parameters of one layer of n units, in x's dtype."""
    wanted = ", ".join(names)
    if not isinstance(u, Mapping):
        raise TypeError(f"u: expected a layer's parameters {wanted} as a dict, got {type(u).__name__}")
    if set(u) != set(names):
        raise ValueError(f"u: expected a layer's parameters {wanted}, got {', '.join(map(str, u)) or 'none'}")
    for name in names:
        shape = (n, n) if name == "W" else (n,)
        if jnp.shape(u[name]) != shape:
            raise ValueError(f"u[{name!r}]: expected shape {shape}, got shape {jnp.shape(u[name])}")
    return {name: jnp.asarray(u[name], x.dtype) for name in names}


def _layer_at(x: Array, u: Any, names: tuple[str, ...]) -> dict[str, Array]:
    if x.ndim != 1:
        raise ValueError(f"x: expected a state of shape (n,), got shape {x.shape}")
    return _layer(u, x, x.shape[0], names)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _of_two(half: Array, epsilon: float) -> Array:
    """a/√(a² + ε), of half the difference of two samples; the derivative ε/(a² + ε)^{3/2} is no difference."""
    return half / jnp.sqrt(half**2 + epsilon)


@_of_two.defjvp
def _of_two_jvp(epsilon: float, primals: tuple, tangents: tuple) -> tuple:
    (half,), (change,) = primals, tangents
    return _of_two(half, epsilon), epsilon * (half**2 + epsilon) ** -1.5 * change


def _normalized(z: Array, epsilon: float) -> tuple[Array, Array]:
    """ẑ = (z − mean)/√(variance + ε) over the leading axis, and 1/√(variance + ε)."""
    if z.ndim > 1 and len(z) == 2:
        half = (z[0] - z[1]) / 2
        normal = _of_two(half, epsilon)
        return jnp.stack([normal, -normal]), 1 / jnp.sqrt(half**2 + epsilon)
    centred = z - jnp.mean(z, axis=0, keepdims=True)
    inverse = 1 / jnp.sqrt(jnp.mean(centred**2, axis=0) + epsilon)
    return centred * inverse[None] if z.ndim > 1 else centred * inverse, inverse


@cell_type(static=("activation",))
class FeedForward:
    """x_{l+1} = φ(W_l x_l + b_l), a multilayer perceptron; ∂x_{l+1}/∂x_l = diag φ′(W_l x_l + b_l) W_l.

    The input of step l is {"W": (n, n), "b": (n,)}. The same at every step makes it ``ElmanRNN`` without input.

    Args:
        activation: as ``ElmanRNN``.

    Raises:
        TypeError, ValueError: an unknown activation; when called, parameters that are missing or do not fit.

    Reference: D. Rumelhart, G. Hinton, R. Williams, Nature 323, 533 (1986).
    """

    activation: Activation

    def __init__(self, activation: Any = "tanh") -> None:
        set_fields(self, activation=activations.get(activation))

    def _input(self, x: Float[Array, " n"], u: Any) -> tuple[dict[str, Array], Array]:
        layer = _layer_at(x, u, _PLAIN)
        return layer, dot(layer["W"], x) + layer["b"]

    def __call__(self, x: Float[Array, " n"], u: Any) -> Float[Array, " n"]:
        return self.activation(self._input(x, u)[1])

    def slopes(self, x: Float[Array, " n"], u: Any) -> Float[Array, " n"]:
        """φ′ at every unit: the diagonal of D in ∂x⁺/∂x = D W."""
        return slope(self.activation, self._input(x, u)[1])

    def jacobian(self, x: Float[Array, " n"], u: Any) -> Float[Array, "n n"]:
        """∂x⁺/∂x = diag φ′(W x + b) W."""
        layer, z = self._input(x, u)
        return slope(self.activation, z)[:, None] * layer["W"]


@cell_type(static=("activation", "scale"))
class ResidualBlock:
    """x_{l+1} = x_l + α φ(W_l x_l + b_l), a residual network; ∂x_{l+1}/∂x_l = I + α diag φ′(·) W_l.

    The input of step l is {"W": (n, n), "b": (n,)}.

    Args:
        activation: as ``ElmanRNN``.
        scale: α in (0, 1], a number; it takes the dtype of the state and is no parameter.

    Raises:
        TypeError, ValueError: as ``FeedForward``; α outside (0, 1].

    Reference: K. He, X. Zhang, S. Ren, J. Sun, CVPR 2016.
    """

    scale: float
    activation: Activation

    def __init__(self, activation: Any = "tanh", scale: Any = 1.0) -> None:
        value = float(fraction("scale", real_array("scale", scale, ndim=0)))
        set_fields(self, scale=value, activation=activations.get(activation))

    @property
    def carry(self) -> float:
        """The part of x that passes the branch by: c in ∂x⁺/∂x = c I + A."""
        return 1.0

    def _input(self, x: Float[Array, " n"], u: Any) -> tuple[dict[str, Array], Array]:
        layer = _layer_at(x, u, _PLAIN)
        return layer, dot(layer["W"], x) + layer["b"]

    def __call__(self, x: Float[Array, " n"], u: Any) -> Float[Array, " n"]:
        return x + self.branch(x, u)

    def branch(self, x: Float[Array, " n"], u: Any) -> Float[Array, " n"]:
        """α φ(W_l x + b_l)."""
        return self.scale * self.activation(self._input(x, u)[1])

    def slopes(self, x: Float[Array, " n"], u: Any) -> Float[Array, " n"]:
        """φ′ at every unit: the diagonal of D in ∂x⁺/∂x = I + α D W."""
        return slope(self.activation, self._input(x, u)[1])

    def jacobian(self, x: Float[Array, " n"], u: Any) -> Float[Array, "n n"]:
        """∂x⁺/∂x = I + α diag φ′(W x + b) W."""
        layer, z = self._input(x, u)
        branch = (self.scale * slope(self.activation, z))[:, None] * layer["W"]
        return jnp.eye(x.shape[0], dtype=x.dtype) + branch


@cell_type(static=("activation", "epsilon"))
class LayerNormalized:
    """x_{l+1} = φ(g_l ẑ + o_l), ẑ = (z − mean z)/√(var z + ε) over the units of z = W_l x_l + b_l.

    With s = √(var z + ε), ∂x_{l+1}/∂x_l = diag(φ′ g_l/s) (I − 1 1ᵀ/n − ẑ ẑᵀ/n) W_l. The input of step l is
    {"W": (n, n), "b": (n,), "gain": (n,), "offset": (n,)}.

    Args:
        activation: as ``ElmanRNN``.
        epsilon: ε > 0.

    Raises:
        TypeError, ValueError: as ``FeedForward``; ε ≤ 0.

    Reference: J. Ba, J. Kiros, G. Hinton, arXiv 1607.06450.
    """

    activation: Activation
    epsilon: float

    def __init__(self, activation: Any = "tanh", *, epsilon: float = 1e-5) -> None:
        set_fields(self, activation=activations.get(activation), epsilon=positive("epsilon", epsilon))

    def _input(self, x: Array, u: Any) -> tuple[dict[str, Array], Array, Array, Array]:
        """The layer, ẑ, 1/s and what φ is taken of."""
        layer = _layer_at(x, u, _NORMALIZED)
        z, inverse = _normalized(dot(layer["W"], x) + layer["b"], self.epsilon)
        return layer, z, inverse, layer["gain"] * z + layer["offset"]

    def __call__(self, x: Float[Array, " n"], u: Any) -> Float[Array, " n"]:
        return self.activation(self._input(x, u)[-1])

    def slopes(self, x: Float[Array, " n"], u: Any) -> Float[Array, " n"]:
        """φ′ at every unit."""
        return slope(self.activation, self._input(x, u)[-1])

    def jacobian(self, x: Float[Array, " n"], u: Any) -> Float[Array, "n n"]:
        """∂x⁺/∂x = diag(φ′ g/s) (I − 1 1ᵀ/n − ẑ ẑᵀ/n) W."""
        layer, z, inverse, given = self._input(x, u)
        W = layer["W"]
        along = dot(W.T, z) / x.shape[0]
        passed = W - jnp.mean(W, axis=0, keepdims=True) - z[:, None] * along[None, :]
        return (slope(self.activation, given) * layer["gain"] * inverse)[:, None] * passed


@cell_type(static=("activation", "samples", "epsilon"))
class BatchNormalized:
    """x_{l+1} = φ(g_l ẑ + o_l), ẑ = (z − mean z)/√(var z + ε) over the samples of a batch, in training mode.

    The state is the whole batch, the samples one after the other: shape (samples n,). The gradient goes through the
    batch's mean and variance, so that samples act on one another. With z_s = W_l x_s + b_l, σ_i = √(var z_i + ε),

        ∂x⁺_{si}/∂x_{tj} = φ′_{si} (g_i/σ_i) (δ_st − 1/S − ẑ_si ẑ_ti/S) W_ij.

    The input of step l is as ``LayerNormalized``'s; the mean takes b away again.

    Args:
        activation: as ``ElmanRNN``.
        samples: S ≥ 2.
        epsilon: ε > 0.

    Raises:
        TypeError, ValueError: as ``LayerNormalized``; S < 2; when called, a state that is no batch of S samples.

    Reference: S. Ioffe, C. Szegedy, ICML 2015, arXiv 1502.03167.
    """

    activation: Activation
    samples: int
    epsilon: float

    def __init__(self, activation: Any = "tanh", samples: int = 2, *, epsilon: float = 1e-5) -> None:
        set_fields(
            self,
            activation=activations.get(activation),
            samples=count("samples", samples, minimum=2),
            epsilon=positive("epsilon", epsilon),
        )

    def batch(self, x: Float[Array, "... sn"]) -> Float[Array, "... samples n"]:
        """The samples of a state, or of states.

        Raises:
            ValueError: a last axis that ``samples`` does not divide.
        """
        size = x.shape[-1] if x.ndim else 0
        if not size or size % self.samples:
            raise ValueError(
                f"x: expected {counted(self.samples, 'sample')} one after the other, got shape {x.shape}"
            )
        return x.reshape(*x.shape[:-1], self.samples, size // self.samples)

    def _input(self, x: Array, u: Any) -> tuple[dict[str, Array], Array, Array, Array]:
        """The layer, ẑ and what φ is taken of, shape (samples, n), and 1/σ, shape (n,)."""
        if x.ndim != 1:
            raise ValueError(f"x: expected a state of shape (samples n,), got shape {x.shape}")
        given = self.batch(x)
        layer = _layer(u, x, given.shape[1], _NORMALIZED)
        z, inverse = _normalized(dot(given, layer["W"].T) + layer["b"][None], self.epsilon)
        return layer, z, inverse, layer["gain"][None] * z + layer["offset"][None]

    def __call__(self, x: Float[Array, " sn"], u: Any) -> Float[Array, " sn"]:
        return self.activation(self._input(x, u)[-1]).reshape(-1)

    def jacobian(self, x: Float[Array, " sn"], u: Any) -> Float[Array, "sn sn"]:
        """∂x⁺/∂x, a block of n×n for every pair of samples."""
        layer, z, inverse, given = self._input(x, u)
        samples = self.samples
        scale = slope(self.activation, given) * (layer["gain"] * inverse)[None]
        between = jnp.eye(samples, dtype=x.dtype)[:, :, None] - 1 / samples
        between = between - z[:, None] * z[None] / samples
        if samples == 2:  # 1 − ½ − ẑ²/2 and −½ + ẑ²/2 without the difference
            left = jnp.broadcast_to(self.epsilon * inverse**2 / 2, between.shape[2:])
            between = jnp.stack([jnp.stack([left, -left]), jnp.stack([-left, left])])
        blocks = (scale[:, None] * between)[..., None] * layer["W"][None, None]  # s, t, i, j
        return blocks.transpose(0, 2, 1, 3).reshape(x.size, x.size)


_DRAWN = {"kumar": kumar, "yilmaz-poli": yilmaz_poli}
#: The families of ``initializers.ENSEMBLES``, and two for the logistic in depth.
INITIALIZERS = (*ENSEMBLES, *_DRAWN)


def _weights(
    key: Any, layers: int, n: int, initializer: str | Callable[..., Any], dtype: Any
) -> Float[Array, "layers n n"]:
    keys = jax.random.split(key, layers)
    if callable(initializer):
        drawn = [real_array("initializer", initializer(k, n), shape=(n, n)).astype(dtype) for k in keys]
        return jnp.stack(drawn)
    name = choice("initializer", initializer, list(INITIALIZERS))
    if name in _DRAWN:
        return jax.vmap(lambda k: _DRAWN[name](k, n, dtype=dtype))(keys)
    return jax.vmap(lambda k: ensemble_weights(k, n, name, dtype=dtype))(keys)


def deep_parameters(
    key: Any,
    depth: int,
    units: int,
    *,
    initializer: str | Callable[..., Any] = "gaussian",
    gain: float = 1.0,
    bias: float = 0.0,
    tied: bool = False,
    normalized: bool = False,
    dtype: Any = float,
) -> dict[str, Float[Array, "depth ..."]]:
    """Random parameters of a network of ``depth`` layers of n units: the inputs of ``rollout``.

    Args:
        key: a JAX random key.
        depth: number of layers, ≥ 1.
        units: n.
        initializer: a family of ``initializers.ENSEMBLES`` at gain 1; "kumar", N(0, 12.8/n); "yilmaz-poli", normal
            with mean max(−1, −8/n) and standard deviation 0.1, both for the logistic without bias; or a function
            ``initializer(key, n)`` that gives an (n, n) matrix.
        gain: a factor on the weights.
        bias: standard deviation of the Gaussian biases.
        tied: whether all layers have the parameters of the first.
        normalized: whether "gain" (ones) and "offset" (zeros) of the normalised layers are there too.
        dtype: floating dtype; ``float`` is JAX's default.

    Returns:
        "W" (depth, n, n) and "b" (depth, n); where normalised, "gain" and "offset" (depth, n).

    Raises:
        TypeError, ValueError: an argument out of range, an initializer that is unknown or gives another shape.

    References: S. Kumar, arXiv 1704.08863; A. Yilmaz, R. Poli, Neural Networks 153, 87 (2022).
    """
    depth, n = count("depth", depth, minimum=1), count("units", units, minimum=1)
    factor, deviation = real_array("gain", gain, ndim=0), real_array("bias", bias, ndim=0)
    layers = 1 if flag("tied", tied) else depth
    try:
        drawn, shifted = jax.random.split(key)
    except TypeError:
        raise TypeError(f"key: expected a JAX random key such as jax.random.key(0), got {key!r}") from None
    W = _weights(drawn, layers, n, initializer, dtype)
    b = jax.random.normal(shifted, (layers, n), W.dtype)
    found = {"W": factor.astype(W.dtype) * W, "b": deviation.astype(W.dtype) * b}
    if flag("normalized", normalized):
        found |= {"gain": jnp.ones_like(b), "offset": jnp.zeros_like(b)}
    if tied:
        found = {name: jnp.repeat(leaf, depth, axis=0) for name, leaf in found.items()}
    return found
