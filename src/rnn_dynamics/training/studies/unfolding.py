"""Long unfolding with shared weights: a plain recurrent network trained over its whole sequence, and its gradient.

s′ = tanh(A s + B x + θ), y = C s + c is unfolded over as many steps as the lag is long, all with the same weights.
"""

from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.diagnosis.growth import summary_of
from rnn_dynamics.gradients.jacobians import gradient_norms
from rnn_dynamics.numerics.validation import count
from rnn_dynamics.training.recipes.composition import recipe
from rnn_dynamics.training.recipes.networks import Network
from rnn_dynamics.training.runs.updates import Plan
from rnn_dynamics.training.tasks import Task, task

_REMEDIES = ("clipping", "omega", "smart tanh")


def long_unfolding(lag: int = 100, *, remedies: Any = _REMEDIES, units: int = 30) -> Plan:
    """A plan that trains s′ = tanh(A s + B x + θ) to name the symbol of ``lag`` steps ago.

    The task is "random-permutation": the first of lag + 1 symbols is one of two, all others distract. Ω and a
    sparse start of spectral radius .95 are what reaches a lag of 100 within some thousand updates here; the
    reference uses neither.

    Args:
        lag: steps that the first symbol has to be kept, at least 1.
        remedies: as ``recipe`` takes them.
        units: of the hidden vector.

    Raises:
        TypeError, ValueError: lag < 1, unknown remedies or such that exclude each other, units < 1.

    Reference: A. M. Schaefer, S. Udluft, H. G. Zimmermann, "Learning long-term dependencies with recurrent neural
    networks", Neurocomputing 71, 2481 (2008).
    """
    steps = count("lag", lag, minimum=1) + 1
    return Plan(task("random-permutation", steps), recipe(*remedies), units=count("units", units, minimum=1))


class Carried(NamedTuple):
    """What one network's gradient does over one unfolding.

    Attributes:
        log_norms: ln‖∂x_T/∂x_k‖₂ for k = 0 … T, shape (sequences, T+1).
        exponents: its mean growth by lag in nats a step, shape (sequences,).
        horizons: the largest lag at which the norm is at least 1/e of its greatest, shape (sequences,).
        regime: "vanishing", "neither", "exploding", … of most sequences.
    """

    log_norms: Float[np.ndarray, "sequences steps+1"]
    exponents: Float[np.ndarray, " sequences"]
    horizons: Int[np.ndarray, " sequences"]
    regime: str


def carried(network: Network, of_task: Task, key: Any, *, sequences: int = 2) -> Carried:
    """Norms of ∂x_T/∂x_k along sequences of a task, and what they amount to.

    Args:
        network: of a cell and readout; the parameters' dtype decides the precision.
        of_task: whose sequences are drawn.
        key: of these.
        sequences: how many.

    Raises:
        TypeError, ValueError: sequences < 1.
    """
    cell = network.cell
    dtype = jax.tree_util.tree_leaves(cell)[0].dtype
    inputs = np.asarray(of_task.batch(key, count("sequences", sequences, minimum=1), dtype).inputs)
    start = np.zeros(network.readout.shape[-1], dtype)
    logs = np.array([gradient_norms(rollout(cell, start, u)) for u in inputs], float)
    found = summary_of(logs, dtype=dtype)
    return Carried(logs, found.rates, np.array(found.horizons), found.regime)
