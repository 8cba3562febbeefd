"""What reaches an output from either side: norms and credit by signed lag."""

import dataclasses
import math
from typing import ClassVar

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.scaled import Scaled
from rnn_dynamics.numerics.texts import counted
from rnn_dynamics.numerics.validation import real_array

_FEWEST = 8  # lags of a side that a rate is told from


def _reach(lags: np.ndarray, logs: np.ndarray, share: float) -> tuple[int, int]:
    """How far back and ahead the largest lags lie whose entry is at least that share of the greatest one."""
    least = float(real_array("share", share, ndim=0))
    if not 0 < least <= 1:
        raise ValueError(f"share: expected a number in (0, 1], got {share}")
    if (np.isnan(logs) | np.isposinf(logs)).any():
        return -1, -1
    if not (logs > -np.inf).any():
        return 0, 0
    found = lags[logs >= logs.max() + math.log(least)]
    return int(max(0, -found.min())), int(max(0, found.max()))


def reach_words(found: "SignedNorms | CreditBySignedLag", share: float = 1 / math.e) -> tuple[str, str]:
    """The horizon back and ahead in words: "≥ 25" where the sequence ends before they fall below it."""
    back, ahead = (
        f"≥ {steps}" if steps == farthest > 0 else str(steps)
        for steps, farthest in zip(found.horizon(share), found.farthest, strict=True)
    )
    return back, ahead


def _rates(lags: np.ndarray, logs: np.ndarray) -> tuple[float, float]:
    """Slopes of the logarithms over the middle half of either side: near its ends ways round are missing."""
    found = []
    for side in (-lags, lags):
        farthest = side.max()
        chosen = (side >= farthest / 4) & (side <= 3 * farthest / 4) & np.isfinite(logs)
        is_known = chosen.sum() >= _FEWEST
        found.append(float(np.polyfit(side[chosen], logs[chosen], 1)[0]) if is_known else math.nan)
    return found[0], found[1]


@dataclasses.dataclass(frozen=True, repr=False)
class SignedNorms(Result):
    """ln‖∂y_t/∂u_s‖ for every s, before t and after it.

    Attributes:
        at: t.
        log_norms: natural logarithms, shape (T,), index s; −inf where the derivative is exactly zero.
        of, by: what is differentiated, by what: "output", "input", "layer 1 forward", …
        ord: "fro", the Frobenius norm, or "2", the spectral norm.
        rows: how many rows were carried back; all of y_t where ``is_exact``.
        is_exact: whether these are the norms, or estimates by random rows g of signs, ‖A‖² = E ‖gᵀA‖²: off by
            about √(2 / rows) of ‖A‖² where one singular value dominates, by less where many do.
    """

    at: int
    log_norms: Float[np.ndarray, " t"]
    of: str
    by: str
    ord: str
    rows: int
    is_exact: bool

    picture: ClassVar = "signed_norms"
    _axes: ClassVar = {"t": "time"}
    _units: ClassVar = {"log_norms": "nats"}
    _columns: ClassVar = ("lags",)

    @property
    def lags(self) -> Int[np.ndarray, " t"]:
        """s − t: below 0 the past, above it the future."""
        return np.arange(len(self.log_norms)) - self.at

    @property
    def farthest(self) -> tuple[int, int]:
        """How many steps of the sequence lie before t and after it: no horizon is longer."""
        return self.at, len(self.log_norms) - 1 - self.at

    @property
    def peak_lag(self) -> int:
        """The lag of the greatest norm."""
        return int(self.lags[np.argmax(np.where(np.isnan(self.log_norms), -np.inf, self.log_norms))])

    def horizon(self, share: float = 1 / math.e) -> tuple[int, int]:
        """The largest lags back and ahead whose norm is at least ``share`` of the greatest one.

        (0, 0) where all are 0, (−1, −1) where one is not finite.

        Raises:
            TypeError, ValueError: a share that is no number, or outside (0, 1].
        """
        return _reach(self.lags, self.log_norms, share)

    @property
    def rates(self) -> tuple[float, float]:
        """Growth of the norm per step of distance, to the past and to the future, in nats.

        Fitted over the middle half of each side, away from t and from the ends of the sequence; NaN where that has
        fewer than 8 lags. In long sequences each is the largest exponent of the directions that carry that way:
        forward ones from the past.
        """
        return _rates(self.lags, self.log_norms)

    def __repr__(self) -> str:
        near, far = reach_words(self), reach_words(self, 0.01)
        what = f"of {self.of} at {self.at} by {self.by}, {counted(len(self.log_norms), 'step')}"
        reach = f"reach at 1/e {near[0]} back, {near[1]} ahead, at 1 % {far[0]} and {far[1]}"
        return f"SignedNorms({what}, {reach}{'' if self.is_exact else f', by {self.rows} random rows'})"


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class CreditBySignedLag(Result):
    """What a loss E(y) of the outputs owes to the inputs before and after the outputs that it looks at.

    With e_t = ∂⁺E/∂y_t, ∂E/∂u_s = Σ_t (∂y_t/∂u_s)ᵀ e_t. The share of lag m is that of all terms with s − t = m,
    ‖C_m‖² = Σ_t ‖(∂y_t/∂u_{t+m})ᵀ e_t‖², over the ends t that were followed.

    Attributes:
        inputs: ∂E/∂u_s of the whole loss, scaled vectors, shape (T, m).
        direct: e_t, shape (T, n).
        log_shares: ln‖C_m‖ for m = −(T−1) … T−1, shape (2T−1,); −inf where nothing comes from that lag.
        ends: the steps t that were followed, shape (ends,).
    """

    inputs: Scaled
    direct: Float[Array, "t n"]
    log_shares: Float[np.ndarray, " lags"]
    ends: Int[np.ndarray, " ends"]

    picture: ClassVar = "credit_by_signed_lag"
    _axes: ClassVar = {"t": "time", "n": "unit"}
    _coordinates: ClassVar = {"lag": "lags"}
    _units: ClassVar = {"log_shares": "nats"}

    @property
    def lags(self) -> Int[np.ndarray, " lags"]:
        """m = s − t: below 0 the past, above it the future."""
        steps = (len(self.log_shares) + 1) // 2
        return np.arange(1 - steps, steps)

    @property
    def farthest(self) -> tuple[int, int]:
        """How many steps of the sequence lie before the last end and after the first: no horizon is longer."""
        ends = np.asarray(self.ends)
        return int(ends.max(initial=0)), len(self.direct) - 1 - int(ends.min(initial=len(self.direct) - 1))

    @property
    def log_input_norms(self) -> Float[np.ndarray, " t"]:
        """ln‖∂E/∂u_s‖ for every s."""
        return np.asarray(self.inputs.norm().log())

    def horizon(self, share: float = 1 / math.e) -> tuple[int, int]:
        """The largest lags back and ahead whose share is at least ``share`` of the greatest one.

        (0, 0) where all are 0, (−1, −1) where one is not finite.

        Raises:
            TypeError, ValueError: a share that is no number, or outside (0, 1].
        """
        return _reach(self.lags, np.asarray(self.log_shares), share)

    def __repr__(self) -> str:
        near, far = reach_words(self), reach_words(self, 0.01)
        reach = f"reach at 1/e {near[0]} back, {near[1]} ahead, at 1 % {far[0]} and {far[1]}"
        return f"CreditBySignedLag({counted(len(self.direct), 'step')}, {len(self.ends)} of them followed, {reach})"
