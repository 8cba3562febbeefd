"""Spiking cells of snnTorch and norse: states of the map, whose derivative is not what their autograd gives.

The maps are written out here; θ is the threshold, H Heaviside's step.
"""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import norse.torch
import numpy as np
import snntorch
import torch
from norse.torch.functional.lif import LIFFeedForwardState, LIFState

from rnn_dynamics.interop import Cause
from tests.peers.rows import INPUTS, UNITS, Row

BETA = 0.9


def leaky(x: Any, u: Any) -> Any:
    """snnTorch's Leaky, reset by subtraction, one step late: m⁺ = β m + u − θ H(m − θ)."""
    return BETA * x + u - jnp.heaviside(x - 1, jnp.zeros((), x.dtype))


def of_snntorch(u: Any) -> tuple[Any, Any]:
    """Potentials and spikes."""
    cell, mem, potentials, spikes = snntorch.Leaky(beta=BETA), torch.zeros_like(u[0]), [], []
    for one in u:
        spike, mem = cell(one, mem)
        potentials.append(mem)
        spikes.append(spike)
    return torch.stack(potentials), torch.stack(spikes)


def feedforward(x: Any, u: Any) -> Any:
    """norse's LIFCell at dt = 0.001: x = [v, i]; v is put to 0 where it is above 1."""
    v, i = jnp.split(x, 2)
    i = i + u
    v = v + 0.1 * (i - v)
    return jnp.concatenate([jnp.where(v > 1, jnp.zeros_like(v), v), 0.8 * i])


def recurrent(weights: Any, x: Any, u: Any) -> Any:
    """norse's LIFRecurrentCell: x = [z, v, i], spikes come back by W."""
    W_in, W = weights
    z, v, i = jnp.split(x, 3)
    i = i + jnp.matmul(W_in, u, precision="highest") + jnp.matmul(W, z, precision="highest")
    v = v + 0.1 * (i - v)
    z = jnp.heaviside(v - 1, jnp.zeros((), v.dtype))
    return jnp.concatenate([z, (1 - z) * v, 0.8 * i])


def run_norse(cell: Any, state: Any, u: Any) -> Any:
    found = []
    for one in u:
        _, state = cell(one[None], state)
        found.append(state)
    return found


def rows() -> Iterator[Row]:
    torch.manual_seed(0)
    zeros, options = np.zeros(INPUTS), {"framework": "torch"}
    known = {"cell": leaky, "x0": zeros}
    yield Row(
        "snntorch Leaky",
        "its potential",
        leaky,
        None,
        None,
        "float32",
        lambda u: of_snntorch(u)[0],
        options | known,
        because="the reset is detached, as the derivative of a step is 0",
    )
    yield Row(
        "snntorch Leaky",
        "its spikes",
        leaky,
        None,
        None,
        "float32",
        lambda u: of_snntorch(u)[1],
        options | known | {"readout": lambda x: jnp.heaviside(x - 1, jnp.zeros((), x.dtype))},
        expected=Cause.SURROGATE,
        because="ATan in the place of the step's derivative, which is 0",
    )
    lif = norse.torch.LIFCell()

    def potentials(u: Any) -> Any:
        start = LIFFeedForwardState(v=torch.zeros(1, INPUTS), i=torch.zeros(1, INPUTS))
        return torch.stack([state.v[0] for state in run_norse(lif, start, 4 * u)])

    yield Row(
        "norse LIFCell",
        "its potential",
        feedforward,
        None,
        None,
        "float32",
        potentials,
        options
        | {
            "cell": lambda x, u: feedforward(x, 4 * u),
            "x0": np.zeros(2 * INPUTS),
            "readout": lambda x: x[:INPUTS],
        },
        expected=Cause.SURROGATE,
        because="SuperSpike's derivative goes through the reset",
    )
    module = norse.torch.LIFRecurrentCell(INPUTS, UNITS)
    weights = [jnp.asarray(w.detach().numpy()) for w in (module.input_weights, module.recurrent_weights)]

    def of_recurrent(u: Any) -> Any:
        start = LIFState(*(torch.zeros(1, UNITS) for _ in range(3)))
        return torch.stack([state.v[0] for state in run_norse(module, start, 4 * u)])

    cell = jax.tree_util.Partial(lambda w, x, u: recurrent(w, x, 4 * u), weights)
    yield Row(
        "norse LIFRecurrentCell",
        "its potential",
        cell,
        None,
        None,
        "float32",
        of_recurrent,
        options | {"cell": cell, "x0": np.zeros(3 * UNITS), "readout": lambda x: x[UNITS : 2 * UNITS]},
        expected=Cause.SURROGATE,
        because="SuperSpike's derivative goes through the spikes that come back",
    )
