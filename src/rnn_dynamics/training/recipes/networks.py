"""A cell with its readout, and the states and outputs of a batch of sequences."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from rnn_dynamics.cells import ElmanRNN
from rnn_dynamics.cells.activations import Activation
from rnn_dynamics.cells.stack import state_size

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


def masked(cell: Any, mask: Float[Array, " units"]) -> Any:
    """The cell whose recurrent weights see m ∘ h: the columns of W, and of V where it has one, times m."""
    leaves, structure = jax.tree_util.tree_flatten_with_path(cell)
    kept = [
        leaf * mask[None] if getattr(path[0], "name", "") in ("W", "V") else leaf for path, leaf in leaves
    ]
    return jax.tree_util.tree_unflatten(structure, kept)


def step_of_batch(cell: Any, masks: Float[Array, "batch units"] | None = None) -> Callable[..., Array]:
    """The map of a batch of states and one of inputs to the states that follow.

    Args:
        cell: for one state, or with a method ``over_batch`` for a batch of them that depend on one another, which
            then sees its states through its recurrent weights alone.
        masks: of the hidden vector as the recurrent weights see it, one for each sequence.
    """
    together = getattr(cell, "over_batch", None)
    if masks is None:
        return together or jax.vmap(cell)
    if together is not None:
        return lambda x, u: together(x * masks, u)
    return lambda x, u: jax.vmap(lambda m, x, u: masked(cell, m)(x, u))(masks, x, u)


def _elman_step(activation: Activation, W: Array, masks: Array | None, h: Array, drive: Array) -> tuple:
    seen = h if masks is None else h * masks
    h = activation(jnp.matmul(seen, W.T, precision=_HIGHEST) + drive)
    return h, h


def _elman_step_back(activation: Activation, W: Array, masks: Array | None, later: Array, at: tuple) -> tuple:
    h, direct, is_open = at
    here = (later + direct) * slope_of_output(activation, h)
    earlier = jnp.matmul(here, W, precision=_HIGHEST)
    earlier = earlier if masks is None else earlier * masks
    return earlier if is_open is None else jnp.where(is_open, earlier, 0), here


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _elman(
    activation: Activation,
    truncation: int | None,
    W: Float[Array, "n n"],
    drives: Float[Array, "steps batch n"],
    masks: Float[Array, "batch n"] | None,
) -> Float[Array, "steps batch n"]:
    """h_1 … h_T from W and the drives W_in u_t + b, whose backward scan leaves out the products of the weights.

    ∂E/∂z_t = φ′(z_t) ∘ (Wᵀ ∂E/∂z_{t+1} + ∂⁺E/∂h_t) runs backwards alone; ∂E/∂W = Σ_t ∂E/∂z_t h_{t−1}ᵀ over all
    steps and sequences is then one product. φ′ comes from h_t, so that φ is computed once. With masks m, W sees
    m ∘ h; with a truncation no gradient passes the states x_k, x_2k, ….
    """
    step = functools.partial(_elman_step, activation, W, masks)
    return jax.lax.scan(step, jnp.zeros_like(drives[0]), drives)[1]


def _elman_forward(
    activation: Activation, truncation: int | None, W: Array, drives: Array, masks: Array | None
) -> tuple[Any, tuple]:
    hidden = _elman(activation, truncation, W, drives, masks)
    return hidden, (W, hidden, masks)


def _elman_backward(activation: Activation, truncation: int | None, kept: tuple, cotangents: Array) -> tuple:
    W, hidden, masks = kept
    is_open = None if truncation is None else ~_is_cut(len(hidden), truncation)
    step = functools.partial(_elman_step_back, activation, W, masks)
    at = (hidden, cotangents, is_open)
    _, back = jax.lax.scan(step, jnp.zeros_like(hidden[0]), at, reverse=True)
    seen = hidden if masks is None else hidden * masks[None]
    rows, columns = (part.reshape(-1, part.shape[-1]) for part in (back[1:], seen[:-1]))
    unlearned = None if masks is None else jnp.zeros_like(masks)
    return jnp.matmul(rows.T, columns, precision=_HIGHEST), back, unlearned


_elman.defvjp(_elman_forward, _elman_backward)


def _is_cut(steps: int, truncation: int) -> Bool[Array, " steps"]:
    """Whether the gradient ends at x_t, which step t starts from: t = k, 2k, …"""
    return jnp.arange(steps) % truncation == 0


def states(
    cell: Any,
    inputs: Float[Array, "steps batch width"],
    nudges: Float[Array, "steps batch n"] | None = None,
    *,
    masks: Float[Array, "batch units"] | None = None,
    truncation: int | None = None,
) -> Float[Array, "steps+1 batch n"]:
    """x_0 = 0, x_1 … x_T of a batch, time first.

    Args:
        cell: as ``step_of_batch``.
        inputs: u_0 … u_{T−1} of each sequence.
        nudges: added in each step, so that the gradient with respect to them is that with respect to the states; of
            an ``ElmanRNN`` to z = W x + W_in u + b, the state of the paper's form, else to the new state.
        masks: of the hidden vector as the recurrent weights see it, one for all steps of a sequence.
        truncation: k; no gradient passes x_k, x_2k, …, so that an error reaches back 1 to k steps.
    """
    steps, batch = inputs.shape[:2]
    x0 = jnp.zeros((batch, state_size(cell)), cell_dtype(cell))
    if is_fast(cell):
        flat = jnp.matmul(inputs.reshape(-1, inputs.shape[-1]), cell.W_in.T, precision=_HIGHEST)
        drives = flat.reshape(*inputs.shape[:2], -1) + cell.b[None, None]
        drives = drives if nudges is None else drives + nudges
        return jnp.concatenate([x0[None], _elman(cell.activation, truncation, cell.W, drives, masks)])
    step_of_all = step_of_batch(cell, masks)

    def step(x: Array, at: tuple[Array, Array | None, Array | None]) -> tuple[Array, Array]:
        u, nudge, is_cut = at
        x = x if is_cut is None else jnp.where(is_cut, jax.lax.stop_gradient(x), x)
        x = step_of_all(x, u)
        x = x if nudge is None else x + nudge
        return x, x

    cuts = None if truncation is None else _is_cut(steps, truncation)
    return jnp.concatenate([x0[None], jax.lax.scan(step, x0, (inputs, nudges, cuts))[1]])


def cell_dtype(cell: Any) -> Any:
    return jax.tree_util.tree_leaves(cell)[0].dtype


def outputs(
    network: Network, along: Float[Array, "steps+1 batch n"], at: Int[Array, "batch readings"]
) -> Float[Array, "batch readings outputs"]:
    """V h + c of the state after the inputs ``at``."""
    hidden = along[..., : network.readout.shape[-1]]
    read = hidden[at + 1, jnp.arange(at.shape[0])[:, None]]
    return jnp.matmul(read, network.readout.T, precision=_HIGHEST) + network.offset[None, None]
