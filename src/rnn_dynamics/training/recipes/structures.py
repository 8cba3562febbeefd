"""Cells and the weights they start from, by name."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from rnn_dynamics.cells import (
    GRU,
    LSTM,
    AttentionRNN,
    BatchNormRNN,
    ElmanRNN,
    LayerNormRNN,
    LeakyRNN,
    PReLURNN,
    ResidualRNN,
    SkipRNN,
)
from rnn_dynamics.cells.initializers import (
    glorot,
    identity,
    kumar,
    orthogonal,
    sparse,
    with_spectral_radius,
    yilmaz_poli,
)
from rnn_dynamics.training.recipes.compressor import HistoryCompressor


class Initializer(NamedTuple):
    """Where weights start; biases start at 0.

    Attributes:
        recurrent: W of n units, from a key and n.
        inputs: W_in, from a key, rows and columns.
        readout: V, from a key, rows and columns.
    """

    recurrent: Callable[[Any, int], Array]
    inputs: Callable[[Any, int, int], Array]
    readout: Callable[[Any, int, int], Array]


def _gaussian(key: Any, rows: int, columns: int) -> Array:
    """Drawn in float32 whatever JAX's default, so that a seed is a seed."""
    return jax.random.normal(key, (rows, columns), jnp.float32)


def _normal(deviation: float) -> Callable[[Any, int, int], Array]:
    return lambda key, rows, columns: deviation * _gaussian(key, rows, columns)


def _square(draw: Callable[[Any, int, int], Array]) -> Callable[[Any, int], Array]:
    return lambda key, n: draw(key, n, n)


def _glorot_rectangle(key: Any, rows: int, columns: int) -> Array:
    limit = (6 / (rows + columns)) ** 0.5
    return jax.random.uniform(key, (rows, columns), jnp.float32, -limit, limit)


def _sparse_of_radius(radius: float, connections: int = 15) -> Callable[[Any, int], Array]:
    return lambda key, n: with_spectral_radius(
        sparse(key, n, connections=min(connections, n), dtype=jnp.float32), radius
    )


def _gaussian_of_radius(radius: float) -> Callable[[Any, int], Array]:
    return lambda key, n: with_spectral_radius(_gaussian(key, n, n) / n**0.5, radius)


_DENSE = _glorot_rectangle
#: The first three are the paper's (Pascanu et al. 2013, appendix): deviations .01 and .1; sparse, radius .95.
INITIALIZERS: dict[str, Initializer] = {
    "sigmoid": Initializer(_square(_normal(0.01)), _normal(0.01), _normal(0.01)),
    "basic tanh": Initializer(_square(_normal(0.1)), _normal(0.1), _normal(0.1)),
    "smart tanh": Initializer(_sparse_of_radius(0.95), _normal(0.01), _normal(0.01)),
    "gaussian": Initializer(lambda key, n: _gaussian(key, n, n) / n**0.5, _DENSE, _DENSE),
    "glorot": Initializer(lambda key, n: glorot(key, n, dtype=jnp.float32), _DENSE, _DENSE),
    "orthogonal": Initializer(lambda key, n: orthogonal(key, n, dtype=jnp.float32), _DENSE, _DENSE),
    "identity": Initializer(lambda key, n: identity(n, dtype=jnp.float32), _normal(0.001), _normal(0.001)),
    "kumar": Initializer(lambda key, n: kumar(key, n, dtype=jnp.float32), _DENSE, _DENSE),
    "yilmaz-poli": Initializer(lambda key, n: yilmaz_poli(key, n, dtype=jnp.float32), _DENSE, _DENSE),
    "spectral radius": Initializer(_gaussian_of_radius(1.0), _DENSE, _DENSE),
}


class Beginning(NamedTuple):
    """What a recipe says of a cell before training: where weights start, and φ (``None``: the cell's own)."""

    initializer: Initializer
    activation: str | None


def _elman(of: Beginning, key: Any, width: int, units: int) -> Any:
    drawn, driven = jax.random.split(key)
    start = of.initializer
    W, W_in = start.recurrent(drawn, units), start.inputs(driven, units, width)
    return ElmanRNN(W, jnp.zeros(units, jnp.float32), W_in, activation=of.activation or "tanh")


def _leaky(of: Beginning, key: Any, width: int, units: int) -> Any:
    plain = _elman(of, key, width, units)
    return LeakyRNN(plain.W, plain.b, plain.W_in, leak=0.1, activation=plain.activation)


def _residual(of: Beginning, key: Any, width: int, units: int) -> Any:
    plain = _elman(of, key, width, units)
    return ResidualRNN(plain.W, plain.b, plain.W_in, scale=0.1, activation=plain.activation)


def _skip(of: Beginning, key: Any, width: int, units: int) -> Any:
    kept, crossed = jax.random.split(key)
    plain = _elman(of, kept, width, units)
    V = of.initializer.recurrent(crossed, units)
    return SkipRNN(plain.W, V, plain.b, plain.W_in, skip=10, activation=plain.activation)


def _attention(of: Beginning, key: Any, width: int, units: int) -> Any:
    kept, *keys = jax.random.split(key, 5)
    plain, start, size = _elman(of, kept, width, units), of.initializer, units // 2
    V = start.recurrent(keys[0], units)
    query, lock = (_glorot_rectangle(k, size, units) for k in keys[1:3])
    score = _glorot_rectangle(keys[3], 1, size)[0]
    return AttentionRNN(
        plain.W,
        V,
        plain.b,
        plain.W_in,
        query=query,
        key=lock,
        score=score,
        span=32,
        activation=plain.activation,
    )


def _layer_normalized(of: Beginning, key: Any, width: int, units: int) -> Any:
    plain = _elman(of, key, width, units)
    return LayerNormRNN(plain.W, plain.b, plain.W_in, activation=plain.activation)


def _batch_normalized(of: Beginning, key: Any, width: int, units: int) -> Any:
    plain = _elman(of, key, width, units)
    return BatchNormRNN(plain.W, plain.b, plain.W_in, activation=plain.activation)


def _prelu(of: Beginning, key: Any, width: int, units: int) -> Any:
    plain = _elman(of, key, width, units)
    return PReLURNN(plain.W, plain.b, plain.W_in)


def _compressor(of: Beginning, key: Any, width: int, units: int) -> Any:
    above, below, predicting = jax.random.split(key, 3)
    upper, lower = _elman(of, above, width, units), _elman(of, below, width, units)
    return HistoryCompressor(
        upper.W,
        upper.b,
        upper.W_in,
        below=lower.W,
        below_bias=lower.b,
        below_in=lower.W_in,
        predictor=of.initializer.readout(predicting, width, units),
        mean=jnp.zeros(width, jnp.float32),
        activation=upper.activation,
    )


def _gated(build: Callable[..., Any], gates: int) -> Callable[..., Any]:
    def make(of: Beginning, key: Any, width: int, units: int) -> Any:
        keys = jax.random.split(key, 2 * gates)
        start = of.initializer
        W = jnp.concatenate([start.recurrent(k, units) for k in keys[:gates]])
        W_in = jnp.concatenate([start.inputs(k, units, width) for k in keys[gates:]])
        b = jnp.zeros(gates * units, jnp.float32)
        if build is LSTM:
            b = b.at[units : 2 * units].set(1.0)
        return build(W, b, W_in)

    return make


#: Each makes a cell of what a recipe says of its beginning, a key, the inputs' width and the number of units.
CELLS: dict[str, Callable[[Beginning, Any, int, int], Any]] = {
    "tanh": _elman,
    "leaky": _leaky,
    "residual": _residual,
    "skip": _skip,
    "attention": _attention,
    "layer normalisation": _layer_normalized,
    "batch normalisation": _batch_normalized,
    "prelu": _prelu,
    "compressor": _compressor,
    "lstm": _gated(LSTM, 4),
    "gru": _gated(GRU, 3),
}
