"""A cell with its readout, and the states and outputs of a batch of sequences."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from rnn_dynamics.activations import Activation
from rnn_dynamics.cells import ElmanRNN
from rnn_dynamics.cells.stack import state_size

__all__ = ["Network", "is_fast", "outputs", "slope_of_output", "states"]

_HIGHEST = jax.lax.Precision.HIGHEST


class Network(NamedTuple):
    """A cell and the readout of its hidden vector, y = V h + c; h is the first entries of the state.

    Attributes:
        cell: the recurrent map.
        readout: V, shape (outputs, hidden).
        offset: c, shape (outputs,).
    """

    cell: Any
    readout: Float[Array, "outputs hidden"]
    offset: Float[Array, " outputs"]


def slope_of_output(activation: Activation, h: Float[Array, "..."]) -> Float[Array, "..."] | None:
    """φ′ as a function of φ itself; ``None`` where the library knows no such form.

    In saturation, where h has rounded to ±1, this is 0: good enough to train with, not to measure with.
    """
    if activation.name == "tanh":
        return (1 - h) * (1 + h)
    if activation.name == "logistic":
        return h * (1 - h)
    if activation.name == "linear":
        return jnp.ones_like(h)
    if activation.name == "relu":
        return (h > 0).astype(h.dtype)
    return None


def is_fast(cell: Any) -> bool:
    """Whether the cell's backward pass is the one written out here."""
    return type(cell) is ElmanRNN and slope_of_output(cell.activation, jnp.zeros(1)) is not None


def _elman_step(activation: Activation, W: Array, h: Array, drive: Array) -> tuple[Array, Array]:
    h = activation(jnp.matmul(h, W.T, precision=_HIGHEST) + drive)
    return h, h


def _elman_step_back(activation: Activation, W: Array, later: Array, at: tuple) -> tuple[Array, Array]:
    h, direct = at
    here = (later + direct) * slope_of_output(activation, h)
    return jnp.matmul(here, W, precision=_HIGHEST), here


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _elman(
    activation: Activation, W: Float[Array, "n n"], drives: Float[Array, "steps batch n"]
) -> Float[Array, "steps batch n"]:
    """h_1 … h_T from W and the drives W_in u_t + b, whose backward scan leaves out the products of the weights.

    ∂E/∂z_t = φ′(z_t) ∘ (Wᵀ ∂E/∂z_{t+1} + ∂⁺E/∂h_t) runs backwards alone; ∂E/∂W = Σ_t ∂E/∂z_t h_{t−1}ᵀ over all
    steps and sequences is then one product. φ′ comes from h_t, so that φ is computed once.
    """
    step = functools.partial(_elman_step, activation, W)
    return jax.lax.scan(step, jnp.zeros_like(drives[0]), drives)[1]


def _elman_forward(activation: Activation, W: Array, drives: Array) -> tuple[Any, tuple[Array, Any]]:
    hidden = _elman(activation, W, drives)
    return hidden, (W, hidden)


def _elman_backward(activation: Activation, kept: tuple, cotangents: Array) -> tuple[Array, Array]:
    W, hidden = kept
    step = functools.partial(_elman_step_back, activation, W)
    _, back = jax.lax.scan(step, jnp.zeros_like(hidden[0]), (hidden, cotangents), reverse=True)
    rows, columns = (part.reshape(-1, part.shape[-1]) for part in (back[1:], hidden[:-1]))
    return jnp.matmul(rows.T, columns, precision=_HIGHEST), back


_elman.defvjp(_elman_forward, _elman_backward)


def states(
    cell: Any, inputs: Float[Array, "steps batch width"], nudges: Float[Array, "steps batch n"] | None = None
) -> Float[Array, "steps+1 batch n"]:
    """x_0 = 0, x_1 … x_T of a batch, time first.

    Args:
        cell: for one state, or with a method ``over_batch`` for a batch of them that depend on one another.
        inputs: u_0 … u_{T−1} of each sequence.
        nudges: added in each step, so that the gradient with respect to them is that with respect to the states; of
            an ``ElmanRNN`` to z = W x + W_in u + b, the state of the paper's form, else to the new state.
    """
    batch = inputs.shape[1]
    x0 = jnp.zeros((batch, state_size(cell)), cell_dtype(cell))
    if is_fast(cell):
        flat = jnp.matmul(inputs.reshape(-1, inputs.shape[-1]), cell.W_in.T, precision=_HIGHEST)
        drives = flat.reshape(*inputs.shape[:2], -1) + cell.b[None, None]
        drives = drives if nudges is None else drives + nudges
        return jnp.concatenate([x0[None], _elman(cell.activation, cell.W, drives)])
    step_of_all = getattr(cell, "over_batch", None) or jax.vmap(cell)

    def step(x: Array, at: tuple[Array, Array | None]) -> tuple[Array, Array]:
        u, nudge = at
        x = step_of_all(x, u)
        x = x if nudge is None else x + nudge
        return x, x

    return jnp.concatenate([x0[None], jax.lax.scan(step, x0, (inputs, nudges))[1]])


def cell_dtype(cell: Any) -> Any:
    return jax.tree_util.tree_leaves(cell)[0].dtype


def outputs(
    network: Network, along: Float[Array, "steps+1 batch n"], at: Int[Array, "batch readings"]
) -> Float[Array, "batch readings outputs"]:
    """V h + c of the state after the inputs ``at``."""
    hidden = along[..., : network.readout.shape[-1]]
    read = hidden[at + 1, jnp.arange(at.shape[0])[:, None]]
    return jnp.matmul(read, network.readout.T, precision=_HIGHEST) + network.offset[None, None]
