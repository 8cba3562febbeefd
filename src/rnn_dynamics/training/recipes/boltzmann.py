"""Restricted Boltzmann machines of binary units, and the layer-wise pre-training of a deep logistic network."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from rnn_dynamics.cells.activations import logit, sigmoid
from rnn_dynamics.cells.vanilla import dot
from rnn_dynamics.numerics.texts import counted
from rnn_dynamics.numerics.validation import count, real_array

_LARGEST = 16
_FEWEST, _MOST = 0.01, 0.99


class BoltzmannMachine(NamedTuple):
    """p(v, h) = exp(−E(v, h))/Z, E(v, h) = −bᵀv − cᵀh − hᵀ W v, v and h of zeros and ones.

    Attributes:
        W: weights, shape (hidden, visible): the layer p(h = 1 | v) = σ(W v + c) is ``FeedForward("logistic")``'s.
        visible: b, shape (visible,).
        hidden: c, shape (hidden,).

    Reference: G. Hinton, Neural Computation 14, 1771 (2002).
    """

    W: Float[Array, "hidden visible"]
    visible: Float[Array, " visible"]
    hidden: Float[Array, " hidden"]


def boltzmann_machine(W: Any, visible: Any, hidden: Any) -> BoltzmannMachine:
    """A machine of given parameters.

    Args:
        W: shape (hidden, visible).
        visible: b, shape (visible,).
        hidden: c, shape (hidden,).

    Raises:
        TypeError, ValueError: shapes that do not fit, values that are not finite.
    """
    W = real_array("W", W, ndim=2)
    visible = real_array("visible", visible, shape=(W.shape[1],))
    hidden = real_array("hidden", hidden, shape=(W.shape[0],))
    return BoltzmannMachine(W, visible.astype(W.dtype), hidden.astype(W.dtype))


def _samples(name: str, values: Any, width: int) -> Array:
    """Draw rows of ``width`` numbers from 0 to 1."""
    array = real_array(name, values, ndim=2)
    if array.shape[1] != width or not len(array):
        raise ValueError(
            f"{name}: expected rows of {counted(width, 'unit')}, at least one, got shape {array.shape}"
        )
    if not isinstance(array, Tracer):
        seen = np.asarray(array)
        if seen.min() < 0 or seen.max() > 1:
            raise ValueError(
                f"{name}: expected numbers from 0 to 1, got {seen.min():.3g} to {seen.max():.3g}"
            )
    return array


def _positive(name: str, value: Any) -> Any:
    number = real_array(name, value, ndim=0)
    if not isinstance(number, Tracer) and not float(number) > 0:
        raise ValueError(f"{name}: expected a number > 0, got {float(number)}")
    return number


def hidden_probabilities(
    machine: BoltzmannMachine, v: Float[Array, "... visible"]
) -> Float[Array, "... hidden"]:
    """p(h_j = 1 | v) = σ(W v + c)."""
    return sigmoid(dot(v, machine.W.T) + _row(machine.hidden, v))


def visible_probabilities(
    machine: BoltzmannMachine, h: Float[Array, "... hidden"]
) -> Float[Array, "... visible"]:
    """p(v_i = 1 | h) = σ(Wᵀ h + b)."""
    return sigmoid(dot(h, machine.W) + _row(machine.visible, h))


def _row(bias: Array, values: Array) -> Array:
    return bias.reshape((1,) * (values.ndim - 1) + bias.shape)


def free_energy(machine: BoltzmannMachine, v: Float[Array, "... visible"]) -> Float[Array, "..."]:
    """F(v) = −bᵀv − Σ_j ln(1 + exp(W v + c)_j): p(v) = exp(−F(v))/Z."""
    given = dot(v, machine.W.T) + _row(machine.hidden, v)
    return -dot(v, machine.visible) - jnp.sum(jax.nn.softplus(given), axis=-1)


def log_partition(machine: BoltzmannMachine) -> Float[Array, ""]:
    """ln Z, the sum over all states of the smaller layer; of the larger one the sum has a closed form.

    Raises:
        ValueError: both layers have more than 16 units.
    """
    hidden, visible = machine.W.shape
    if min(hidden, visible) > _LARGEST:
        raise ValueError(f"machine: expected a layer of at most {_LARGEST} units, got {visible} and {hidden}")
    if hidden < visible:
        machine = BoltzmannMachine(machine.W.T, machine.hidden, machine.visible)
    states = _binary_states(min(hidden, visible), machine.W.dtype)
    return jax.scipy.special.logsumexp(-free_energy(machine, states))


def _binary_states(units: int, dtype: Any) -> Array:
    numbers = np.arange(2**units)
    return jnp.asarray((numbers[:, None] >> np.arange(units)[None]) & 1, dtype)


def log_likelihood(machine: BoltzmannMachine, data: Any) -> Float[Array, ""]:
    """The mean of ln p(v) over the rows of ``data``, exact: −mean F(v) − ln Z.

    Args:
        machine: with a layer of at most 16 units.
        data: zeros and ones, shape (samples, visible).

    Raises:
        TypeError, ValueError: rows of another width, numbers outside [0, 1], a machine too large to enumerate.
    """
    v = _samples("data", data, machine.W.shape[1]).astype(machine.W.dtype)
    return -jnp.mean(free_energy(machine, v)) - log_partition(machine)


def _drawn(key: Any, probabilities: Array) -> Array:
    uniform = jax.random.uniform(key, probabilities.shape, probabilities.dtype)
    return (uniform < probabilities).astype(probabilities.dtype)


def _gibbs(machine: BoltzmannMachine, v: Array, key: Any) -> tuple[Array, None]:
    """One step of the chain: h from v, then v from h."""
    up, down = jax.random.split(key)
    h = _drawn(up, hidden_probabilities(machine, v))
    return _drawn(down, visible_probabilities(machine, h)), None


def _moments(machine: BoltzmannMachine, v: Array) -> BoltzmannMachine:
    """The means of h vᵀ, v and h, with h's probabilities for h."""
    h = hidden_probabilities(machine, v)
    return BoltzmannMachine(dot(h.T, v) / len(v), jnp.mean(v, axis=0), jnp.mean(h, axis=0))


def contrastive_divergence(
    key: Any, machine: BoltzmannMachine, data: Any, *, k: int = 1, chains: Any = None
) -> tuple[BoltzmannMachine, Float[Array, "chains visible"]]:
    """CD-k, an estimate of the gradient of the mean log-likelihood: ⟨h vᵀ⟩ of the data less that after k steps.

    The hidden units of both averages stand for their probabilities; those of the chain are drawn. For k → ∞ its
    mean is the gradient, at k = 1 it is biased.

    Args:
        key: a JAX random key.
        machine: the machine.
        data: zeros and ones, or probabilities, shape (samples, visible).
        k: steps of the chain, ≥ 1.
        chains: states the chains start from, shape (chains, visible): those that the last call returned make the
            divergence persistent. By default the data.

    Returns:
        The estimate, shaped as the machine, and the states of the chains.

    Raises:
        TypeError, ValueError: rows of another width, numbers outside [0, 1], k < 1.

    References: G. Hinton, Neural Computation 14, 1771 (2002); T. Tieleman, ICML 2008, for persistent chains.
    """
    k = count("k", k, minimum=1)
    width, dtype = machine.W.shape[1], machine.W.dtype
    v = _samples("data", data, width).astype(dtype)
    start = v if chains is None else _samples("chains", chains, width).astype(dtype)
    return _divergence(key, machine, v, start, k)


@functools.partial(jax.jit, static_argnums=4)
def _divergence(
    key: Any, machine: BoltzmannMachine, v: Array, chains: Array, k: int
) -> tuple[BoltzmannMachine, Array]:
    chains, _ = jax.lax.scan(functools.partial(_gibbs, machine), chains, jax.random.split(key, k))
    return jax.tree_util.tree_map(jnp.subtract, _moments(machine, v), _moments(machine, chains)), chains


def update(
    key: Any, machine: BoltzmannMachine, data: Any, *, rate: Any = 0.1, k: int = 1, chains: Any = None
) -> tuple[BoltzmannMachine, Float[Array, "chains visible"]]:
    """One step of ascent along ``contrastive_divergence``.

    Args:
        key, machine, data, k, chains: as ``contrastive_divergence``.
        rate: the step, > 0.

    Returns:
        The machine after it, and the states of the chains.

    Raises:
        TypeError, ValueError: as ``contrastive_divergence``; a rate that is not > 0.

    Reference: G. Hinton, A practical guide to training restricted Boltzmann machines, UTML TR 2010-003.
    """
    step = _positive("rate", rate).astype(machine.W.dtype)
    estimate, chains = contrastive_divergence(key, machine, data, k=k, chains=chains)
    return jax.tree_util.tree_map(lambda leaf, change: leaf + step * change, machine, estimate), chains


def pretrain(
    key: Any,
    data: Any,
    layers: int,
    units: int,
    *,
    updates: int = 1000,
    batch: int = 50,
    rate: Any = 0.1,
    k: int = 1,
) -> dict[str, Float[Array, "layers ..."]]:
    """Greedy layer-wise pre-training: a machine for the data, one for its hidden units, and so on.

    Every machine has as many hidden units as visible ones, n, so that the layers are the inputs of
    ``rollout(FeedForward("logistic"), x, layers)``. Narrower data stand in the first units, the others are 0. The
    data of the next machine are the probabilities of the hidden units of the last. Weights start from N(0, .01²),
    visible biases from the log-odds of the data, hidden ones from 0, as in Hinton's guide.

    Args:
        key: a JAX random key.
        data: numbers from 0 to 1, shape (samples, m), m ≤ n.
        layers: number of machines.
        units: n.
        updates: steps of CD-k for each machine.
        batch: samples in each step, drawn with replacement.
        rate: the step, > 0.
        k: steps of the chain.

    Returns:
        "W" (layers, n, n) and "b" (layers, n), the hidden biases, in the dtype of the data.

    Raises:
        TypeError, ValueError: an argument out of range, data wider than n.

    References: G. Hinton, S. Osindero, Y. Teh, Neural Computation 18, 1527 (2006); G. Hinton, UTML TR 2010-003.
    """
    layers, n = count("layers", layers, minimum=1), count("units", units, minimum=1)
    numbers = (("updates", updates), ("batch", batch), ("k", k))
    updates, batch, k = (count(name, value, minimum=1) for name, value in numbers)
    array = real_array("data", data, ndim=2)
    if array.shape[1] > n:
        raise ValueError(f"data: expected rows of at most {counted(n, 'unit')}, got shape {array.shape}")
    v = _samples("data", array, array.shape[1])
    v = jnp.pad(v, ((0, 0), (0, n - v.shape[1])))
    return _pretrained(key, v, _positive("rate", rate).astype(v.dtype), layers, updates, batch, k)


@functools.partial(jax.jit, static_argnums=(3, 4, 5, 6))
def _pretrained(
    key: Any, data: Array, rate: Array, layers: int, updates: int, batch: int, k: int
) -> dict[str, Array]:
    def layer(data: Array, key: Any) -> tuple[Array, dict[str, Array]]:
        machine = _trained(key, data, rate, updates, batch, k)
        return hidden_probabilities(machine, data), {"W": machine.W, "b": machine.hidden}

    return jax.lax.scan(layer, data, jax.random.split(key, layers))[1]


def _trained(key: Any, data: Array, rate: Array, updates: int, batch: int, k: int) -> BoltzmannMachine:
    """A machine of as many hidden units as visible ones after ``updates`` steps of CD-k."""
    first, rest = jax.random.split(key)
    n = data.shape[1]
    odds = logit(jnp.clip(jnp.mean(data, axis=0), _FEWEST, _MOST))
    start = BoltzmannMachine(0.01 * jax.random.normal(first, (n, n), data.dtype), odds, jnp.zeros_like(odds))

    def step(machine: BoltzmannMachine, key: Any) -> tuple[BoltzmannMachine, None]:
        chosen, drawn = jax.random.split(key)
        v = data[jax.random.randint(chosen, (batch,), 0, len(data))]
        estimate, _ = _divergence(drawn, machine, v, v, k)
        return jax.tree_util.tree_map(lambda leaf, change: leaf + rate * change, machine, estimate), None

    return jax.lax.scan(step, start, jax.random.split(rest, updates))[0]
