"""Losses of a one-unit map over its parameters, to 50 digits, with their limits on either side of the wall.

Geometric model (Doya neuron)   L = (target − x_T)²,      x ← σ(w x + b)
Pascanu figure 6                E = (σ(x_T) − target)²,   x ← w σ(x) + b
"""

from dataclasses import dataclass

import mpmath
from flint import arb

from tests.oracles.neuron import (
    DIGITS,
    equilibrium_balls,
    sensitivities,
    two_cycle_balls,
    wall_ball,
)
from tests.oracles.precision import (
    logistic,
    logistic_slope,
    sign,
    to_mpf,
    with_enough_precision,
    working_precision,
)


@dataclass(frozen=True)
class Loss:
    """A loss with its derivatives with respect to b and w."""

    value: mpmath.mpf
    db: mpmath.mpf
    dw: mpmath.mpf


def geometric_loss(
    b: float, steps: int, w: float = 5.0, x0: float = 0.5, target: float = 0.855, epsilon: float = 1.0
) -> Loss:
    """L = (target − x_T)² and 2 (x_T − target) ∂x_T/∂(b, w)."""
    end = sensitivities(w, b, x0, steps, epsilon)
    with mpmath.workdps(2 * DIGITS):
        error = end.x - mpmath.mpf(float(target))
        return Loss(error**2, 2 * error * end.db, 2 * error * end.dw)


def pascanu_loss(w: float, b: float, steps: int = 50, x0: float = 0.5, target: float = 0.7) -> Loss:
    """E = (σ(x_T) − target)² and 2 (σ(x_T) − target) σ′(x_T) ∂x_T/∂(b, w)."""
    end = sensitivities(w, b, x0, steps, model="pascanu")
    with mpmath.workdps(2 * DIGITS):
        decay = mpmath.exp(-end.x)
        error = 1 / (1 + decay) - mpmath.mpf(float(target))
        factor = 2 * error * decay / (1 + decay) ** 2
        return Loss(error**2, factor * end.db, factor * end.dw)


@dataclass(frozen=True)
class WallLimit:
    """Limits for T → ∞ of the loss at b_wall ± 0, through even T where w < 0 (odd T exchanges the two)."""

    b: mpmath.mpf
    below: mpmath.mpf
    above: mpmath.mpf
    multiplier: mpmath.mpf
    """w x_0 (1 − x_0), or w σ′(x_0): the multiplier of the map with ε = 1 at x_0."""


def geometric_limit(w: float = 5.0, x0: float = 0.5, target: float = 0.855) -> WallLimit:
    """Limits of the geometric model's loss at its wall, b = logit(x_0) − w x_0, where it is one for ε = 1."""
    return with_enough_precision(lambda: _limit("doya", w, x0, target))


def pascanu_limit(w: float, x0: float = 0.5, target: float = 0.7) -> WallLimit:
    """Limits of figure 6's loss at its wall, b = x_0 − w σ(x_0), where it is one."""
    return with_enough_precision(lambda: _limit("pascanu", w, x0, target))


def _limit(model: str, w: float, x0: float, target: float) -> WallLimit:
    """Both losses read σ(z), z = w x + b, at the attractor: the outer equilibria; the 2-cycle, w < 0."""
    b = wall_ball(w, x0, model)
    start = arb(float(x0)) if model == "pascanu" else arb(float(w)) * arb(float(x0)) + b
    multiplier = arb(float(w)) * logistic_slope(start)
    if sign(abs(multiplier) - 1) <= 0:
        raise ValueError(f"x0: expected an unstable equilibrium at the wall of w = {w!r}, got {x0!r}")
    if w > 0:
        below, *_, above = equilibrium_balls(w, b)
    else:
        cycle = two_cycle_balls(w, b, start)
        assert cycle is not None
        above, below = cycle
    loss_below, loss_above = (to_mpf((logistic(z) - arb(float(target))) ** 2) for z in (below, above))
    return WallLimit(to_mpf(b), loss_below, loss_above, to_mpf(multiplier))


def limit_loss(b: float, w: float = 5.0, x0: float = 0.5, target: float = 0.855) -> mpmath.mpf:
    """Limit for T → ∞ of the geometric model's loss at b, w > 0: read at the equilibrium that x_0 reaches.

    The orbit is monotone, so it ends at the next equilibrium in the direction of its first step.
    """

    def loss() -> mpmath.mpf:
        start = arb(float(x0))
        direction = sign(logistic(arb(float(w)) * start + arb(float(b))) - start)
        states = [logistic(z) for z in equilibrium_balls(w, arb(float(b)))]
        if direction == 0:
            return to_mpf((start - arb(float(target))) ** 2)
        ahead = [x for x in states if sign(x - start) == direction]
        end = ahead[0] if direction > 0 else ahead[-1]
        return to_mpf((end - arb(float(target))) ** 2)

    return with_enough_precision(loss)


def descend(
    w: float,
    b: float,
    rate: float,
    steps: int,
    threshold: float | None = None,
    *,
    horizon: int = 50,
    x0: float = 0.5,
    target: float = 0.7,
    bits: int = 512,
) -> tuple[list[tuple[float, float]], list[float]]:
    """Gradient descent of figure 6's loss with `bits` bits: the path of (w, b), and ‖g‖ at each step.

    g ← threshold g/‖g‖ where ‖g‖ ≥ threshold, then (w, b) ← (w, b) − rate g. Centres of balls are
    carried on, without their radii: a path is exact to the digits that two precisions share, and no further.
    """
    with working_precision(bits):
        at_w, at_b, rate_exact = arb(float(w)), arb(float(b)), arb(float(rate))
        path, norms = [(float(w), float(b))], []
        for _ in range(steps):
            along_w, along_b = _pascanu_gradient(at_w, at_b, horizon, float(x0), float(target))
            norm = (along_w**2 + along_b**2).sqrt().mid()
            share = rate_exact
            if threshold is not None and norm >= threshold:
                share = rate_exact * arb(float(threshold)) / norm
            at_w, at_b = (at_w - share * along_w).mid(), (at_b - share * along_b).mid()
            path.append((float(at_w), float(at_b)))
            norms.append(float(norm))
        return path, norms


def _pascanu_gradient(w: arb, b: arb, horizon: int, x0: float, target: float) -> tuple[arb, arb]:
    x, dw, db = arb(x0), arb(0), arb(0)
    for _ in range(horizon):
        value = logistic(x)
        along_x = w * value * (1 - value)
        x, dw, db = (w * value + b).mid(), (along_x * dw + value).mid(), (along_x * db + 1).mid()
    value = logistic(x)
    factor = 2 * (value - arb(target)) * value * (1 - value)
    return (factor * dw).mid(), (factor * db).mid()


def slope_of_branch(w: float, x: mpmath.mpf) -> mpmath.mpf:
    """∂x_∞/∂b = (1/(x(1 − x)) − w)⁻¹ at an equilibrium x."""
    with mpmath.workdps(DIGITS):
        return 1 / (1 / (x * (1 - x)) - mpmath.mpf(float(w)))
