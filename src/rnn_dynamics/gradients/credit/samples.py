"""Credit by lag of every run in a batch, and how far the runs differ."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from rnn_dynamics.cells.rollout import Trajectory
from rnn_dynamics.gradients.credit.by_lag import credit_by_lag
from rnn_dynamics.gradients.credit.results import CreditByLag
from rnn_dynamics.numerics.batching import picked
from rnn_dynamics.numerics.results import Result


@dataclasses.dataclass(frozen=True, repr=False)
class CreditOfSamples(Result):
    """``CreditByLag`` of every run, its arrays with a leading axis over the B runs.

    Attributes:
        batched: the arrays of all runs together.
    """

    batched: CreditByLag

    def __len__(self) -> int:
        return self.batched.log_shares.shape[0]

    def __getitem__(self, index: int) -> CreditByLag:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is out of range for {len(self)} runs")
        return picked(self.batched, index)

    @property
    def log_shares(self) -> Float[Array, "runs lags"]:
        """ln‖C_m‖ of every run."""
        return self.batched.log_shares

    def horizons(self, share: float = 1 / math.e) -> Int[np.ndarray, " runs"]:
        """``CreditByLag.horizon`` of every run."""
        return np.array([run.horizon(share) for run in self])

    def spread(self, quantiles: Any = (0.25, 0.5, 0.75)) -> Float[np.ndarray, "quantiles lags"]:
        """Quantiles of ln‖C_m‖ over the runs, for every lag.

        Raises:
            ValueError: a quantile outside [0, 1].
        """
        asked = np.atleast_1d(np.asarray(quantiles, float))
        if not ((asked >= 0) & (asked <= 1)).all():
            raise ValueError(f"quantiles: expected numbers in [0, 1], got {quantiles}")
        # By rank, as runs may have −inf, which no interpolation survives.
        return np.quantile(np.asarray(self.log_shares, float), asked, axis=0, method="nearest")

    def __repr__(self) -> str:
        near = self.horizons()
        return f"CreditOfSamples({len(self)} runs, horizon {near.min()} to {near.max()} at 1/e)"


def credit_of_samples(
    batch: Trajectory,
    loss: Any,
    *,
    targets: Any = None,
    every_step: bool = False,
    max_lag: int | None = None,
    tied: bool = False,
) -> CreditOfSamples:
    """What the loss of each run owes to its earlier states, inputs and lags, the runs side by side.

    Args:
        batch: from ``jax.vmap`` over ``rollout``: B runs of one cell.
        loss: E(x_T) of one run, or E(x_T, target) with ``targets``; with ``every_step`` of x_1 … x_T.
        targets: arrays with a leading axis over the runs, handed to the loss.
        every_step, max_lag: as ``credit_by_lag``.
        tied: of a network in depth, whether its layers share one set of parameters.

    Returns:
        ``CreditOfSamples``.

    Raises:
        TypeError, ValueError: as ``credit_by_lag``; no batch; runs of several cells; targets of another length.

    Reference: R. Pascanu, T. Mikolov, Y. Bengio, ICML 2013, equations 3 to 5.
    """
    if not isinstance(batch, Trajectory):
        raise TypeError(
            f"batch: expected a Trajectory from jax.vmap over rollout, got {type(batch).__name__}"
        )
    if jnp.ndim(batch.first_nonfinite) != 1:
        raise ValueError("batch: expected runs along one axis, from jax.vmap over rollout, got a single run")
    if not callable(loss):
        raise TypeError(f"loss: expected a callable loss(x), got {type(loss).__name__}")
    runs = len(batch.first_nonfinite)
    for leaf in jax.tree_util.tree_leaves(targets):
        if not jnp.ndim(leaf) or len(leaf) != runs:
            raise ValueError(f"targets: expected a leading axis of {runs} runs, got shape {jnp.shape(leaf)}")
    cell = _common(batch.cell)

    def one(states: Array, inputs: Any, first: Array, target: Any) -> CreditByLag:
        of_state = loss if targets is None else lambda x: loss(x, target)
        run = Trajectory(cell, inputs, states, first)
        return credit_by_lag(run, of_state, every_step=every_step, max_lag=max_lag, tied=tied)

    given = (batch.states, batch.inputs, batch.first_nonfinite, targets)
    return CreditOfSamples(jax.vmap(one)(*given))


def _common(cells: Any) -> Any:
    """The one cell that all runs share, so that no copy of it is made for each."""

    def first(leaf: Any) -> Any:
        values = np.asarray(leaf)
        if not (values == values[:1]).all():
            raise ValueError("batch: expected runs of one cell, got several")
        return leaf[0]

    return jax.tree_util.tree_map(first, cells)
