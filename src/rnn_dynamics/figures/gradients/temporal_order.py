"""Seven cells of 32 units trained on temporal order, 50 steps long: each tells which marks came and in which order.

A sequence of 50 symbols has two marked ones among four kinds that distract, at steps 5 … 9 and 25 … 29. Each
mark is one of two, v₀ and v₁; the class v₀ + 2 v₁ is read out of the last hidden state, 21 to 45 steps later.
The parameters lie beside this file in float16. ``rnn-dynamics retrain temporal_order`` trains them anew
and writes them, in some minutes.
"""

import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from rnn_dynamics.cells import GRU, LSTM, LSTM1997, ElmanRNN
from rnn_dynamics.cells.stack import state_size
from rnn_dynamics.figures import stored as kept
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.training.recipes.networks import Network
from rnn_dynamics.training.runs.descent import descend
from rnn_dynamics.training.tasks.marked import SYMBOLS, TWO_MARKS, windows_of_marks, with_marks

UNITS, STEPS, SEEDS = 32, 50, 4
_CLASSES, _BATCH = 4, 64
_UPDATES, _RATE = 4000, 3e-3
_HIGHEST = jax.lax.Precision.HIGHEST

CELLS = ("tanh", "ReLU", "ReLU, identity (IRNN)", "GRU", "LSTM", "LSTM, forget bias 3", "LSTM of 1997")
_GATES = {"LSTM": 4, "LSTM, forget bias 3": 4, "LSTM of 1997": 3, "GRU": 3}


def initial(name: str, rng: np.random.Generator, units: int = UNITS, width: int = SYMBOLS) -> Any:
    """A cell with PyTorch's initial weights, uniform in ±n^−½; IRNN and the forget bias of 3 as published."""
    bound = units**-0.5
    rows = _GATES.get(name, 1) * units
    W, W_in = rng.uniform(-bound, bound, (rows, units)), rng.uniform(-bound, bound, (rows, width))
    b = rng.uniform(-bound, bound, rows)
    if name == "LSTM, forget bias 3":
        b[units : 2 * units] = 3.0
    if "IRNN" in name:
        W, W_in, b = np.eye(units), rng.normal(0, 1e-3, (units, width)), np.zeros(units)
    return _cell(name, W, b, W_in)


def _cell(name: str, W: Any, b: Any, W_in: Any) -> Any:
    W, b, W_in = (np.asarray(part, jax.dtypes.canonicalize_dtype(float)) for part in (W, b, W_in))
    if name.startswith("LSTM"):
        return (LSTM1997 if "1997" in name else LSTM)(W, b, W_in)
    if name == "GRU":
        return GRU(W, b, W_in)
    return ElmanRNN(W, b, W_in, activation="tanh" if name == "tanh" else "relu")


def untrained(name: str, seed: int) -> Network:
    """The network of a seed as training finds it."""
    rng = np.random.default_rng(seed)
    cell, bound = initial(name, rng), UNITS**-0.5
    return Network(cell, *jax.device_put((rng.uniform(-bound, bound, (_CLASSES, UNITS)), np.zeros(_CLASSES))))


@functools.partial(lean, static_argnums=1)
def sequences(key: Any, batch: int) -> tuple[Float[Array, "batch 50 6"], Int[Array, " batch"]]:
    """Fresh sequences of one-hot symbols, and their classes."""
    where, what, rest = jax.random.split(key, 3)
    places = where, jax.random.fold_in(where, 1)
    positions = [
        jax.random.randint(one, (batch,), *window)
        for one, window in zip(places, windows_of_marks(STEPS, TWO_MARKS), strict=True)
    ]
    marks = jax.random.randint(what, (batch, 2), 0, 2)
    others = jax.random.randint(rest, (batch, STEPS), 2, SYMBOLS)
    inputs, classes = jax.vmap(with_marks)(others, jnp.stack(positions, axis=1), marks)
    return jax.nn.one_hot(inputs, SYMBOLS), classes


def _logits(network: Network, inputs: Float[Array, "50 6"]) -> Float[Array, " 4"]:
    def step(x: Array, u: Array) -> tuple[Array, None]:
        return network.cell(x, u), None

    x, _ = jax.lax.scan(step, jnp.zeros(state_size(network.cell), inputs.dtype), inputs)
    read = jnp.matmul(network.readout, x[: network.readout.shape[-1]], precision=_HIGHEST)
    return read + network.offset


def _loss(network: Network, key: Any) -> Array:
    inputs, classes = sequences(key, _BATCH)
    logits = jax.vmap(functools.partial(_logits, network))(inputs.astype(network.readout.dtype))
    logs = jax.nn.log_softmax(logits)
    return -jnp.mean(jnp.take_along_axis(logs, classes[:, None], axis=1))


def train(name: str, seeds: int = SEEDS, updates: int = _UPDATES) -> tuple[Network, np.ndarray]:
    """Networks of all seeds after some updates of Adam with clipped gradients, fresh sequences each, in float32.

    Returns:
        The networks, every leaf with a leading axis of seeds, and the losses, shape (updates, seeds).
    """
    rate = optax.cosine_decay_schedule(_RATE, updates)
    rule = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))
    found = [untrained(name, seed) for seed in range(seeds)]
    networks = jax.tree_util.tree_map(lambda *leaves: jnp.stack(leaves).astype(jnp.float32), *found)

    @jax.jit
    def run(networks: Network, keys: Array) -> tuple[Network, Array]:
        def of_one(network: Network, own: Array) -> tuple[Network, Array]:
            (network, _), losses = descend(rule, _loss, network, rule.init(network), own)
            return network, losses

        return jax.vmap(of_one)(networks, keys)

    keys = jax.vmap(lambda key: jax.random.split(key, updates))(jax.random.split(jax.random.key(0), seeds))
    networks, losses = run(networks, keys)
    return networks, np.asarray(losses).T


def _stored() -> dict[str, np.ndarray]:
    return kept.read("temporal_order")[0]


def _networks(name: str, stored: dict[str, np.ndarray]) -> list[Network]:
    fields = ("W", "b", "W_in", "readout", "offset")
    W, b, W_in, readout, offset = (stored[_array(name, field)].astype(float) for field in fields)
    return [
        Network(_cell(name, W[i], b[i], W_in[i]), jnp.asarray(readout[i]), jnp.asarray(offset[i]))
        for i in range(len(W))
    ]


def trained(name: str) -> tuple[list[Network], np.ndarray]:
    """The stored networks of a cell, one a seed, and the share of 10 000 fresh sequences each puts right."""
    stored = _stored()
    return _networks(name, stored), stored[_array(name, "accuracy")].astype(float)


@jax.jit
def _right(networks: Network, inputs: Array, classes: Array) -> Array:
    def of_one(network: Network) -> Array:
        logits = jax.vmap(functools.partial(_logits, network))(inputs)
        return jnp.mean((jnp.argmax(logits, axis=1) == classes).astype(logits.dtype))

    return jax.vmap(of_one)(networks)


def accuracy(networks: list[Network], key: Any, batch: int = 1000) -> np.ndarray:
    """The share of fresh sequences that each network puts in the right one of the four classes."""
    inputs, classes = sequences(key, batch)
    stacked = jax.tree_util.tree_map(lambda *leaves: jnp.stack(leaves), *networks)
    return np.asarray(_right(stacked, inputs.astype(stacked.readout.dtype), classes))


def retrain(out: Path) -> None:
    """Train every cell and write the parameters, and what they reach when rounded to float16."""
    arrays: dict[str, Any] = {}
    for name in CELLS:
        (cell, readout, offset), _ = train(name)
        own = {"W": cell.W, "b": cell.b, "W_in": cell.W_in, "readout": readout, "offset": offset}
        arrays |= {_array(name, field): np.asarray(value, np.float16) for field, value in own.items()}
        arrays[_array(name, "accuracy")] = accuracy(_networks(name, arrays), jax.random.key(1), 10_000)
    kept.write(out, "temporal_order", arrays)


def _array(name: str, field: str) -> str:
    return kept.array_name(f"{name}.{field}")
