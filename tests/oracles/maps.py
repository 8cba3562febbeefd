"""One step of the one-unit maps, with its derivatives, in balls.

Doya neuron     x ← (1 − ε) x + ε σ(w x + b) + ε w′ u
Pascanu neuron  x ← w σ(x) + b + w′ u
"""

import math
from dataclasses import dataclass

from flint import arb

from tests.oracles.precision import NotEnoughPrecisionError

FLOAT_EXPONENT = 700.0
"""Largest argument of `math.exp` in the float passes that only choose a precision."""


@dataclass(frozen=True)
class Neuron:
    """A one-unit map with its parameters at their exact binary values; `model` is "doya" or "pascanu"."""

    w: float
    b: float
    epsilon: float = 1.0
    w_in: float = 1.0
    model: str = "doya"

    def __post_init__(self) -> None:
        for name in ("w", "b", "epsilon", "w_in"):
            object.__setattr__(self, name, float(getattr(self, name)))
        if self.model not in ("doya", "pascanu"):
            raise ValueError(f"model: expected 'doya' or 'pascanu', got {self.model!r}")
        if self.model == "pascanu" and self.epsilon != 1.0:
            raise ValueError(f"epsilon: expected 1 for the Pascanu neuron, got {self.epsilon!r}")

    def float_step(self, x: float, u: float) -> tuple[float, float]:
        """(F(x), F′(x)) in plain floats; only used to choose a precision."""
        z = self.w * x + self.b if self.model == "doya" else x
        decay = math.exp(-min(abs(z), FLOAT_EXPONENT))
        slope = decay / (1 + decay) ** 2
        value = 1 / (1 + decay) if z >= 0 else decay / (1 + decay)
        if self.model == "pascanu":
            return self.w * value + self.b + self.w_in * u, self.w * slope
        leak = 1 - self.epsilon
        value = leak * x + self.epsilon * (value + self.w_in * u)
        return value, leak + self.epsilon * self.w * slope

    def step(self, x: arb, u: float = 0.0) -> tuple[arb, arb, arb, arb]:
        """Balls of F(x), ∂F/∂x, ∂F/∂w, ∂F/∂b over the ball x.

        F(x) = F(c) + F′(ball)·(±r) about the centre c, so that a contracting step contracts the ball; σ′ over
        the ball is σ′(c)(1 ± 3ρ/2), because |d ln σ′/dz| ≤ 1 and e^ρ − 1 ≤ 3ρ/2 for ρ ≤ ½.
        """
        centre, radius, w, b = x.mid(), x.rad(), arb(self.w), arb(self.b)
        z, reach = (w * centre + b, abs(w) * radius) if self.model == "doya" else (centre, radius)
        if not reach <= 0.5:
            raise NotEnoughPrecisionError
        decay = (-z).exp()
        value = 1 / (1 + decay)
        slope_at_centre = decay * value * value
        slope = slope_at_centre * arb(1, (1.5 * reach).upper())
        value_over_ball = value + slope * arb(0, reach.upper())
        drive = arb(self.w_in) * arb(u)
        if self.model == "pascanu":
            return w * value_over_ball + b + drive, w * slope, value_over_ball, arb(1)
        epsilon = arb(self.epsilon)
        leak = 1 - epsilon
        along_x = leak + epsilon * w * slope
        at_centre = leak * centre + epsilon * (value + drive)
        return at_centre + along_x * arb(0, radius.upper()), along_x, epsilon * slope * x, epsilon * slope
