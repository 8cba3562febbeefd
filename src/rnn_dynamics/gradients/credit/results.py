"""What is known of the lags of one loss's gradient."""

import dataclasses
import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from rnn_dynamics.gradients.credit.trend import trend_of
from rnn_dynamics.gradients.parameters import Group
from rnn_dynamics.numerics.batching import computed
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.scaled import Scaled
from rnn_dynamics.numerics.texts import counted
from rnn_dynamics.numerics.validation import choice, real_array


def _logs_of_norms(events: Scaled) -> Array:
    return events.norm().log()


def log_norms(events: Scaled) -> Float[Array, "..."]:
    """ln of the norm of each event, of a few by NumPy: a property that is read once compiles nothing."""
    return computed(_logs_of_norms, events)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class CreditByLag(Result):
    """What a loss owes to every earlier step; lag m = 1 … M: the parameters as they acted m − 1 steps before it.

    With e_t = ∂⁺E/∂x_t the direct derivative, ∂E/∂θ = Σ_m C_m,
    C_m = Σ_t (∂⁺x_{t−m+1}/∂θ)ᵀ (∂x_t/∂x_{t−m+1})ᵀ e_t, and S(m) = C_1 + … + C_m.

    Attributes:
        states: the total derivative ∂E/∂x_k, k = 0 … T, scaled vectors, shape (T+1, n).
        direct: e_k, shape (T+1, n).
        inputs: ∂E/∂u_k, k = 0 … T−1, scaled, shape (T, m); ``None`` where there are no floating inputs.
        log_shares: ln‖C_m‖, shape (M,). With a loss of every step, rows a range of floats below the greatest one of
            the lag add nothing (36 decades in float32).
        log_sums: ln‖S(m)‖, shape (M,).
        alignment: the cosine between S(m) and the rest of the gradient, S(M) − S(m), shape (M,): −1 where long lags
            undo what short ones ask for; 0 where one of them is 0, NaN where one is not finite.
        log_group_shares: ln of the norm of each group of parameters in C_m, shape (M, groups); see ``by``.
        gradient: S(M), shaped like the cell; ∂E/∂θ where M = T. ``None`` where the parameters are inputs.
        groups: the groups of parameters: layer, parameter, gate, and where each lies in a flat vector.
        parts: names and places of the parts of the state, as the cell gives them.
    """

    states: Scaled
    direct: Float[Array, "steps+1 n"]
    inputs: Scaled | None
    log_shares: Float[Array, " lags"]
    log_sums: Float[Array, " lags"]
    alignment: Float[Array, " lags"]
    log_group_shares: Float[Array, "lags groups"]
    gradient: Any
    parts: tuple[tuple[str, int, int], ...] = dataclasses.field(metadata={"static": True})
    groups: tuple[Group, ...] = dataclasses.field(metadata={"static": True})

    _may_lack: ClassVar = ("gradient",)
    _axes: ClassVar = {"n": "unit"}
    _coordinates: ClassVar = {"lag": "lags"}
    _units: ClassVar = {"log_shares": "nats", "log_sums": "nats", "log_group_shares": "nats"}

    @property
    def lags(self) -> Int[np.ndarray, " lags"]:
        """m = 1 … M."""
        return np.arange(1, self.log_shares.shape[-1] + 1)

    @property
    def log_state_norms(self) -> Float[Array, "steps+1"]:
        """ln‖∂E/∂x_k‖."""
        return log_norms(self.states)

    @property
    def log_units(self) -> Float[Array, "steps+1 n"]:
        """ln|∂E/∂x_k| of every unit."""
        return Scaled(
            self.states.unit, jnp.broadcast_to(self.states.exponent[..., None], self.states.shape)
        ).log()

    def by(self, kind: str) -> dict[str, Float[np.ndarray, " lags"]]:
        """ln of the norm of each lag's share ‖C_m‖ by "gate", "layer" or "parameter", by name.

        Raises:
            ValueError: another kind; a cell without gates or layers.
        """
        choice("kind", kind, ["gate", "layer", "parameter"])
        names = [getattr(group, kind) for group in self.groups]
        if not any(names):
            raise ValueError(f"kind: the cell of this credit has no {kind}s")
        logs = np.asarray(self.log_group_shares)
        found = {}
        for name in dict.fromkeys(names):
            chosen = logs[..., [i for i, own in enumerate(names) if own == name]]
            found[name] = np.logaddexp.reduce(2 * chosen, axis=-1) / 2
        return found

    @property
    def trend(self) -> str:
        """What S(m) does as m grows, from the second half of the lags: Bengio's question.

        "converges" where the greatest shares fall exponentially, by more than the error of the fit, and what the
        rest of them would add is below 1 % of the sum; "oscillates" where ‖S(m)‖ swings by more than a tenth about
        its mean, over and over; "grows" where shares grow, or stay and add up; else "undecided", as with few lags
        or shares that are not finite.
        """
        return trend_of(np.asarray(self.log_shares, float), np.asarray(self.log_sums, float))

    def part(self, name: str) -> Scaled:
        """∂E/∂x_k in one part of the state: the gradient along the carousel is ``part("cell")``.

        Raises:
            ValueError: no such part.
        """
        places = {part: slice(first, last) for part, first, last in self.parts}
        if name not in places:
            raise ValueError(f"name: expected one of {sorted(places)}, got {name!r}")
        return Scaled(self.states.unit[..., places[name]], self.states.exponent, 1).normalize()

    def horizon(self, share: float = 1 / math.e) -> int:
        """The largest lag whose ‖C_m‖ is at least ``share`` of the greatest one.

        0 where all are 0, −1 where one is not finite.

        Raises:
            TypeError, ValueError: a share that is no number, or outside (0, 1].
        """
        least = float(real_array("share", share, ndim=0))
        if not 0 < least <= 1:
            raise ValueError(f"share: expected a number in (0, 1], got {share}")
        if not self.is_finite:
            return -1
        logs = np.asarray(self.log_shares)
        if not (logs > -np.inf).any():
            return 0
        return int(np.flatnonzero(logs >= logs.max() + math.log(least))[-1]) + 1

    @property
    def is_finite(self) -> bool:
        """Whether no share is NaN or infinite, as those of a run that diverged are."""
        logs = np.asarray(self.log_shares)
        return not (np.isnan(logs) | np.isposinf(logs)).any()

    def __repr__(self) -> str:
        if isinstance(self.log_shares, Tracer) or self.log_shares.ndim != 1:
            return f"CreditByLag(shares of shape {self.log_shares.shape})"
        if not self.is_finite:
            return f"CreditByLag({counted(len(self.lags), 'lag')}, not finite)"
        near, far = self.horizon(), self.horizon(0.01)
        return (
            f"CreditByLag("
            f"{counted(len(self.lags), 'lag')}, horizon {near} at 1/e, {far} at 1 %, sum {self.trend})"
        )
