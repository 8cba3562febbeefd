"""The decision table: which measured quantities make which regime, and the sentence that says so.

The rows are tried from above; the first whose condition holds gives the regime and its reason. A sentence names
the quantities that its condition reads, so that no line of a verdict can say what another one denies.

Regimes: "diverged", "not finite", "undecided", "exploding", "vanishing", "neither".
"""

from collections.abc import Callable
from typing import NamedTuple

from rnn_dynamics.diagnosis.growth import FACTOR
from rnn_dynamics.numerics.results.powers import power_of_ten


class Facts(NamedTuple):
    """What the table reads of one run.

    Attributes:
        steps: that were measured.
        sign: of the largest exponent where 0 is outside its 95 % interval, else 0; ``None`` where there is no rate.
        rate: the exponent, nats a step.
        whole: ln of the norm at the longest lag.
        peak: ln of the greatest norm over all lags.
        state_percent: the largest lag at which the norm is at least 1 % of the greatest; −1 where not finite.
        percent: the same of the loss's shares, of the norm without a loss.
        trend: of the sum over the lags, "" without one.
        diverged, finite: whether a state, and whether no derivative, is not finite.
    """

    steps: int
    sign: int | None
    rate: float
    whole: float
    peak: float
    state_percent: int
    percent: int
    trend: str = ""
    diverged: bool = False
    finite: bool = True


class Rule(NamedTuple):
    """One row of the table.

    Attributes:
        regime: one of ``growth.REGIMES``.
        reason: a name for the row.
        holds: the condition.
        sentence: what is said, filled in with the facts and "share" and "factor".
    """

    regime: str
    reason: str
    holds: Callable[[Facts], bool]
    sentence: str


def is_short(facts: Facts) -> bool:
    """Whether states more than half a run back get less than 1 % of the greatest, by norm and by the loss."""
    return 0 <= facts.state_percent < facts.steps / 2 and 0 <= facts.percent < facts.steps / 2


def _is_large(facts: Facts) -> bool:
    """Whether both the rate over all steps and the measured norm make a factor of ten."""
    return facts.rate * facts.steps >= FACTOR and facts.whole >= FACTOR


def _loss_fades(facts: Facts) -> bool:
    return facts.trend == "converges" or 0 <= facts.percent < facts.steps / 2


TABLE: tuple[Rule, ...] = (
    Rule("diverged", "state", lambda f: f.diverged, ""),
    Rule("not finite", "derivative", lambda f: not f.finite, ""),
    Rule(
        "undecided",
        "short run",
        lambda f: f.sign is None,
        "a rate of growth takes at least 8 steps, these are {steps}",
    ),
    Rule(
        "exploding",
        "grows",
        lambda f: f.sign == 1 and _is_large(f) and not _loss_fades(f),
        "the derivative of the last state grows with the lag, {factor} over the run",
    ),
    Rule(
        "neither",
        "loss apart",
        lambda f: f.sign == 1 and _is_large(f),
        "∂x_T/∂x_k grows with the lag, {factor} over the run, but the loss's shares do not: they fall or add up",
    ),
    Rule(
        "neither",
        "slow growth",
        lambda f: f.sign == 1 and f.whole < FACTOR and f.rate * f.steps < FACTOR,
        "the rate is above 0, but over these {steps} steps it makes less than a factor of 10",
    ),
    Rule(
        "neither",
        "unsettled growth",
        lambda f: f.sign == 1,
        "the rate is above 0, but it and the norm over all steps do not both make a factor of 10",
    ),
    Rule(
        "vanishing",
        "falls",
        lambda f: f.sign == -1 and is_short(f) and f.trend != "grows",
        "what lies more than {percent} steps back gets less than 1 % of the greatest",
    ),
    Rule(
        "neither",
        "sum grows",
        lambda f: f.sign == -1 and f.trend == "grows",
        "the rate is below 0, but the loss's shares of long lags still add up",
    ),
    Rule(
        "neither",
        "slow fall",
        lambda f: f.sign == -1,
        "the rate is below 0, but too slow for this run: half of it back there is 1 % of the greatest or more",
    ),
    Rule(
        "neither",
        "level, short",
        lambda f: is_short(f),
        "0 is in the 95 % interval of the rate, yet what lies more than {percent} steps back gets less than 1 %",
    ),
    Rule(
        "neither",
        "level, grown",
        lambda f: f.whole >= FACTOR,
        "0 is in the 95 % interval of the rate, so it is open whether the growth, {factor} in these {steps} steps, "
        "goes on",
    ),
    Rule("neither", "level", lambda f: True, "0 is in the 95 % interval of the rate"),
)


def row_of(facts: Facts) -> tuple[Rule, str]:
    """Return the first row that holds, and its sentence."""
    row = next(row for row in TABLE if row.holds(facts))
    back = max(facts.state_percent, facts.percent)
    factor = f"to {power_of_ten(facts.whole)}"
    return row, row.sentence.format(steps=facts.steps, percent=back, factor=factor)
