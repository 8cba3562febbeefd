"""What a verdict on one run measures, and the remedies that the measurements select."""

import dataclasses
import math
from typing import ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float

from rnn_dynamics.diagnosis.measures import Decay, Rest, Units
from rnn_dynamics.diagnosis.overflow import Overflow
from rnn_dynamics.gradients.credit import CreditByLag
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.spectral.bounds import Bounds

_GATES_LOSE = (0.5, 1.5)  # of the exponent, where it is the gates that forget


class SuggestedRemedy(NamedTuple):
    """A remedy, and the measurement that selects it.

    Attributes:
        name: what to do.
        because: what was measured.
        key: of the entry of ``training.REMEDIES`` that does it.
    """

    name: str
    because: str
    key: str = ""


def gates_forget(kept: float, exponent: float) -> bool:
    """Whether what the gate takes is about what is lost in all, so that opening it would be felt."""
    if not math.isfinite(exponent) or not math.isfinite(kept):
        return False
    low, high = _GATES_LOSE
    return low * -exponent <= -kept <= high * -exponent


@dataclasses.dataclass(frozen=True, repr=False)
class Measurements(Result):
    """What was measured on one trajectory of a network.

    Attributes:
        regime: "vanishing" where the largest Lyapunov exponent is below 0 by more than its 95 % interval, what lies
            half a run back gets less than 1 % of the greatest norm (and share of the loss), and the sum over the
            lags does not grow; "exploding" where it is above 0 by more than that interval, rate and norm both make
            a factor of 10 over the run, and the loss's shares, where there is one, do not fade; "undecided" where
            the run is too short for a rate, "diverged" where a state is not finite, "not finite" where only a
            derivative is not; else "neither". ``reason`` says which row of ``diagnosis.table`` it was.
        exponent, standard_error: of the largest exponent, nats a step, the first quarter of the run left out; the
            error is that of the block means, or what the halves differ by where the rate has not settled. Of a run
            that diverged, of its finite part.
        steps: T.
        log_norms: ln‖∂x_T/∂x_k‖₂ for k = 0 … T; of a run that diverged, up to its last finite state. See ``norms``.
        horizon: the largest lag T − k at which the norm is at least 1/e of the greatest one; with a loss, the
            largest lag whose share of ∂E/∂θ is. −1 where norms or shares are not finite.
        horizon_percent: the same for one hundredth.
        state_horizon: that of the norm, with a loss or without.
        peak: ln of the greatest finite norm over all lags, what a transient reaches: 0 at lag 0.
        peak_lag: the lag of it.
        bounds: every bound, and whether they are conclusive; ``None`` where they were left out.
        decay: the growth split into weights and slopes; ``None`` for other forms than W φ(x) and φ(W x).
        units: dead and saturated units; ``None`` for cells without slopes.
        gates: the mean of each gate over units and steps, by name; empty for cells without gates.
        carries: mean ln of the fraction of its memory kept in a step, of the unit that keeps most, by the gate that
            keeps it.
        rest: the fixed point that a run with constant input has come to, and the bifurcation next to it.
        credit: by lag, where a loss was given and it was affordable.
        remedies: those whose selecting measurement was made.
        reason, sentence: the row of the decision table, and what it says of this run.
        state_percent: as ``state_horizon``, for one hundredth.
        norms: how ``log_norms`` were measured: "exact", every product decomposed; "followed", of every product the
            part along a block of rows that follows its leading directions; "rows", along five rows carried back.
            The latter two are at most the norm: by less than .02 the one, by up to 1.1 the other, where rows of 30
            random tanh networks of 12 and 40 units were furthest off, most at lags below 10.
        log_owed: ln of what the loss owes to the states m − 1 = 0, 1, … steps before its own, shape (T,), where the
            parameters' shares were left out; the root of the sum of squares over the steps followed.
        overflow: where and how the run, or its derivative, left the floats; ``None`` where all is finite.
        plain_limit: the least lag at which the norm is beyond the largest float of the states' dtype, −1 for none.
        dt: time of one step, where it was given or the cell has one.
        left_out: what was not measured because of its cost, and how to get it.
        orbit: a sentence where the run rests on a repelling set, so that the exponent is that set's, or where the
            floats lose the orbit of x_0; else empty.
    """

    regime: str
    exponent: float
    standard_error: float
    steps: int
    log_norms: Float[np.ndarray, "steps+1"]
    horizon: int
    horizon_percent: int
    state_horizon: int
    peak: float
    peak_lag: int
    bounds: Bounds | None
    decay: Decay | None
    units: Units | None
    gates: dict[str, float]
    carries: dict[str, float]
    rest: Rest | None
    credit: CreditByLag | None
    remedies: tuple[SuggestedRemedy, ...]
    reason: str = ""
    sentence: str = ""
    state_percent: int = -1
    norms: str = "exact"
    log_owed: Float[np.ndarray, " steps"] | None = None
    overflow: Overflow | None = None
    plain_limit: int = -1
    dt: float | None = None
    left_out: tuple[str, ...] = ()
    orbit: str = ""

    picture: ClassVar = "diagnosis"
    _units: ClassVar = {
        **dict.fromkeys(("exponent", "standard_error"), "nats a step"),
        **dict.fromkeys(("log_norms", "log_owed", "peak"), "nats"),
        **dict.fromkeys(
            ("horizon", "horizon_percent", "state_horizon", "state_percent", "plain_limit"), "lags"
        ),
        **dict.fromkeys(("steps", "peak_lag"), "steps"),
    }

    @property
    def measured_steps(self) -> int:
        """Steps that were measured: T, or those before the last finite state."""
        return len(self.log_norms) - 1

    @property
    def has_loss(self) -> bool:
        """Whether the horizons are those of a loss."""
        return self.credit is not None or self.log_owed is not None

    @property
    def loss_is_flat(self) -> bool:
        """Whether the loss's gradient is exactly 0 at every lag."""
        shares = self.log_owed if self.credit is None else np.asarray(self.credit.log_shares)
        return shares is not None and bool(np.isneginf(shares).all())

    @property
    def trend(self) -> str:
        """What the sum over the lags does, as ``CreditByLag.trend``; "" where it was not measured."""
        return "" if self.credit is None or self.loss_is_flat else self.credit.trend

    @property
    def forgets(self) -> bool:
        """Whether half a run back less than 1 % is left, by the norm and by the loss, and the sum does not grow."""
        half = self.measured_steps / 2
        is_short = 0 <= self.state_percent < half and (0 <= self.horizon_percent < half or self.loss_is_flat)
        return is_short and self.trend != "grows" and self.regime in ("vanishing", "neither")

    @property
    def slowest_gate(self) -> str | None:
        """The gate that keeps most, by name; ``None`` for cells without memory behind gates."""
        return max(self.carries, key=lambda name: self.carries[name]) if self.carries else None

    @property
    def gates_forget(self) -> bool:
        """Whether the gates lose about as much as is lost in all, between half and one and a half times as much."""
        gate = self.slowest_gate
        return gate is not None and gates_forget(self.carries[gate], self.exponent)
