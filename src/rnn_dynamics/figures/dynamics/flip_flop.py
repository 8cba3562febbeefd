"""A network of 16 tanh units trained to hold two bits, each set by the sign of the last pulse on its input.

The parameters lie beside this file; ``rnn-dynamics retrain flip_flop`` trains them anew and writes them.
"""

import functools
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from rnn_dynamics.cells import ElmanRNN
from rnn_dynamics.figures import stored
from rnn_dynamics.training.runs.descent import descend

_UNITS, _BITS, _STEPS, _BATCH = 16, 2, 40, 64
_UPDATES, _RATE, _NOISE = 1500, 1e-2, 0.25
_HIGHEST = jax.lax.Precision.HIGHEST


class FlipFlop(NamedTuple):
    """The network, and the matrix from its state to the two bits."""

    cell: ElmanRNN
    readout: Float[Array, "2 16"]


def sequences(key: Any, batch: int, steps: int = _STEPS) -> tuple[Array, Array]:
    """Pulses of ±1, one step long, in a tenth of the steps, and the sign of the last one on each input.

    Returns:
        Inputs and targets, shape (batch, steps, 2). The first step has a pulse on both inputs.
    """
    where, sign = jax.random.split(key)
    shape = (batch, steps, _BITS)
    pulse = jax.random.bernoulli(where, 0.1, shape).at[:, 0].set(True)
    inputs = jnp.where(pulse, jnp.sign(jax.random.normal(sign, shape)), jnp.zeros(shape))

    def hold(bits: Array, u: Array) -> tuple[Array, Array]:
        following = jnp.where(u == 0, bits, u)
        return following, following

    _, targets = jax.lax.scan(hold, inputs[:, 0], inputs.swapaxes(0, 1))
    return inputs, targets.swapaxes(0, 1)


def _outputs(parameters: dict[str, Array], inputs: Float[Array, "steps 2"]) -> Float[Array, "steps 2"]:
    cell = ElmanRNN(parameters["W"], parameters["b"], parameters["W_in"])

    def step(x: Array, u: Array) -> tuple[Array, Array]:
        following = cell(x, u)
        return following, jnp.matmul(parameters["readout"], following, precision=_HIGHEST)

    return jax.lax.scan(step, jnp.zeros(_UNITS, parameters["b"].dtype), inputs)[1]


def _loss(parameters: dict[str, Array], key: Any) -> Array:
    draw, shake = jax.random.split(key)
    inputs, targets = sequences(draw, _BATCH)
    noisy = inputs + _NOISE * jax.random.normal(shake, inputs.shape)
    outputs = jax.vmap(functools.partial(_outputs, parameters))(noisy)
    return jnp.mean(jnp.square(outputs - targets))


def train(seed: int = 0) -> dict[str, np.ndarray]:
    """The parameters after 1500 updates of Adam with clipped gradients, fresh sequences and noisy inputs each."""
    first, second, third, rest = jax.random.split(jax.random.key(seed), 4)
    parameters = {
        "W": jax.random.normal(first, (_UNITS, _UNITS)) / np.sqrt(_UNITS),
        "W_in": jax.random.normal(second, (_UNITS, _BITS)),
        "b": jnp.zeros(_UNITS),
        "readout": jax.random.normal(third, (_BITS, _UNITS)) / _UNITS,
    }
    rule = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(_RATE, _UPDATES))
    )
    run = jax.jit(functools.partial(descend, rule, _loss))
    (parameters, _), _ = run(parameters, rule.init(parameters), jax.random.split(rest, _UPDATES))
    return {name: np.asarray(value) for name, value in parameters.items()}


def trained() -> FlipFlop:
    """The network whose parameters are stored."""
    arrays, _ = stored.read("flip_flop")
    values = {name: value.astype(np.float64) for name, value in arrays.items()}
    return FlipFlop(ElmanRNN(values["W"], values["b"], values["W_in"]), jnp.asarray(values["readout"]))


class Played(NamedTuple):
    """Fresh sequences: inputs, what is to be held, and what is read out, shape (batch, steps, 2) each."""

    inputs: np.ndarray
    targets: np.ndarray
    outputs: np.ndarray

    @property
    def accuracy(self) -> float:
        """The share of steps at which both bits are read out with the right sign."""
        return float(np.mean((np.sign(self.outputs) == self.targets).all(axis=-1)))


@functools.partial(jax.jit, static_argnums=(2, 3))
def _play(parameters: dict[str, Array], key: Any, batch: int, steps: int) -> tuple[Array, Array, Array]:
    inputs, targets = sequences(key, batch, steps)
    return inputs, targets, jax.vmap(functools.partial(_outputs, parameters))(inputs)


def played(network: FlipFlop, key: Any, *, batch: int = 200, steps: int = 100) -> Played:
    """The network on fresh sequences without noise."""
    cell = network.cell
    parameters = {"W": cell.W, "b": cell.b, "W_in": cell.W_in, "readout": network.readout}
    return Played(*map(np.asarray, _play(parameters, key, batch, steps)))


def retrain(out: Path) -> None:
    """Train in float64, and write the parameters in float32."""
    stored.write(out, "flip_flop", {name: value.astype(np.float32) for name, value in train().items()})
