"""Time-weighted pseudo-Newton: each instance in time of a weight is stepped by its own curvature."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnn_dynamics.cells import ElmanRNN
from rnn_dynamics.training.recipes.networks import Network, outputs, states
from rnn_dynamics.training.tasks import Batch, Task

_HIGHEST = jax.lax.Precision.HIGHEST


def curvatures_of_outputs(task: Task, y: Float[Array, "batch readings outputs"], targets: Array) -> tuple:
    """∂C/∂y and the diagonal of ∂²C/∂y², C the loss of each sequence; readings do not act on one another."""
    gradient = jax.grad(lambda y: jnp.sum(task.loss(y, targets)))

    def along(which: Array) -> Array:
        unit = (jnp.arange(y.shape[-1]) == which).astype(y.dtype)
        change = jax.jvp(gradient, (y,), (jnp.broadcast_to(unit, y.shape),))[1]
        return jnp.sum(change * unit[None, None], axis=-1)

    second = jax.vmap(along, out_axes=-1)(jnp.arange(y.shape[-1]))
    return gradient(y), second


def _weighted(first: Array, second: Array, given: Array, damping: Array) -> Array:
    """Σ_b first_i given_j/(|second_i| given_j² + μ) over the sequences of a batch."""
    top = first[:, :, None] * given[:, None, :]
    return jnp.sum(top / (jnp.abs(second)[:, :, None] * jnp.square(given)[:, None, :] + damping), axis=0)


def _step_back(cell: ElmanRNN, damping: Array, carried: tuple, at: tuple) -> tuple[tuple, None]:
    """One step back: ∂C/∂h_t and ∂²C/∂h_t² from those of h_{t+1}, and what step t adds to W, W_in and b."""
    first, second, sums = carried
    h, u, direct, direct_second = at
    assert cell.W_in is not None
    z = jnp.matmul(h, cell.W.T, precision=_HIGHEST) + jnp.matmul(u, cell.W_in.T, precision=_HIGHEST)
    slope, bend = jax.jvp(cell.activation.slope, (z + cell.b[None],), (jnp.ones_like(z),))
    first, second = first + direct, second + direct_second
    second = jnp.square(slope) * second + bend * first
    first = slope * first
    one = jnp.ones((len(h), 1), h.dtype)
    added = tuple(_weighted(first, second, given, damping) for given in (h, u, one))
    sums = tuple(jnp.add(a, b) for a, b in zip(sums, added, strict=True))
    earlier = jnp.matmul(first, cell.W, precision=_HIGHEST)
    return (earlier, jnp.matmul(second, jnp.square(cell.W), precision=_HIGHEST), sums), None


def time_weighted(
    network: Network, batch: Batch, task: Task, numbers: Mapping[str, Array]
) -> tuple[Array, Network]:
    """The mean loss, and Σ_t (∂C/∂w(t))/(|∂²C/∂w(t)²| + μ) in the gradient's place, a mean over the sequences.

    w(t) is the weight as step t uses it, μ is ``numbers["damping"]``. Second derivatives go back as LeCun's
    diagonal ones do,

        ∂²C/∂z_t² = φ′² ∂²C/∂h_{t+1}² + φ″ ∂C/∂h_{t+1},   ∂²C/∂h_t² = (W∘W)ᵀ ∂²C/∂z_t²,

    exact for one unit. Where gradients vanish over time curvatures do so twice as fast, and early steps count as
    late ones do down to μ. Of an ``ElmanRNN`` with inputs; memory of n² entries for each sequence.

    References: Y. Bengio, P. Simard, P. Frasconi, IEEE Trans. Neural Networks 5, 157 (1994); Y. LeCun, thesis 1987.
    """
    cell, damping = network.cell, jnp.asarray(numbers["damping"], network.offset.dtype)
    inputs = jnp.swapaxes(batch.inputs, 0, 1)
    along = states(cell, inputs)
    y = outputs(network, along, batch.at)
    loss = jnp.mean(task.loss(y, batch.targets))
    first, second = curvatures_of_outputs(task, y, batch.targets)
    back = jnp.matmul(first, network.readout, precision=_HIGHEST)
    back_second = jnp.matmul(second, jnp.square(network.readout), precision=_HIGHEST)
    which = (batch.at + 1, jnp.arange(len(y))[:, None])
    direct, direct_second = (jnp.zeros_like(along).at[which].add(part) for part in (back, back_second))
    zeros = tuple(jnp.zeros_like(w) for w in (cell.W, cell.W_in, cell.b[:, None]))
    start = (jnp.zeros_like(along[0]), jnp.zeros_like(along[0]), zeros)
    at = (along[:-1], inputs, direct[1:], direct_second[1:])
    (_, _, (W, W_in, b)), _ = jax.lax.scan(
        functools.partial(_step_back, cell, damping), start, at, reverse=True
    )
    flat, flat_second = (part.reshape(-1, part.shape[-1]) for part in (first, second))
    read = along[which].reshape(-1, along.shape[-1])
    readout = _weighted(flat, flat_second, read, damping)
    offset = _weighted(flat, flat_second, jnp.ones((len(flat), 1), flat.dtype), damping)
    found = Network(ElmanRNN(W, b[:, 0], W_in, activation=cell.activation), readout, offset[:, 0])
    return loss, jax.tree_util.tree_map(lambda part: part / len(y), found)


#: What can take the gradient's place, by name; of a network, a batch, a task and the numbers.
DIRECTIONS: dict[str, Callable[..., tuple[Array, Any]]] = {"time-weighted pseudo-newton": time_weighted}
