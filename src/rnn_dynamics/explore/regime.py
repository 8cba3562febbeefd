"""The regime of a neuron in a plain sentence; ``static/regime.js`` says the same in the browser."""

import math
from collections.abc import Sequence
from typing import NamedTuple

_SETTLING, _LONGEST_PERIOD, _AVERAGED = 2000, 64, 4000


class Neuron(NamedTuple):
    """x ← (1 − ε) x + ε σ(w x + b) in Python's floats."""

    w: float
    b: float
    epsilon: float

    def step(self, x: float) -> float:
        """The next state."""
        z = self.w * x + self.b
        tail = math.exp(-abs(z))
        return (1 - self.epsilon) * x + self.epsilon * ((1 if z >= 0 else tail) / (1 + tail))

    def log_slope(self, x: float) -> float:
        """ln|derivative of the step|."""
        tail = math.exp(-abs(self.w * x + self.b))
        slope = abs(1 - self.epsilon + self.epsilon * self.w * (tail / (1 + tail * (2 + tail))))
        return math.log(slope) if slope > 0 else -math.inf


class Point(NamedTuple):
    """An equilibrium and whether it is "stable", "unstable" or "marginal"."""

    x: float
    stability: str


def short(value: float) -> str:
    """Three digits as papers print them: .5, −2.66, 31, 4.5×10^−7."""
    if value == 0:
        return "0"
    mantissa, exponent = (float(part) for part in f"{value:.2e}".split("e"))
    minus = "−" if value < 0 else ""
    if exponent < -4 or exponent > 4:
        return f"{minus}{abs(mantissa):g}×10^{'−' if exponent < 0 else ''}{abs(exponent):g}"
    fixed = f"{abs(value):.{max(2 - int(exponent), 0)}f}"
    trimmed = fixed.rstrip("0").rstrip(".") if "." in fixed else fixed
    return minus + trimmed.removeprefix("0") if trimmed.startswith("0.") else minus + trimmed


def _factor(log: float) -> str:
    decades = log / math.log(10)
    if abs(decades) < 4:
        return f"×{short(math.exp(log))}"
    return f"×10^{short(math.floor(decades + 0.5))}" if math.isfinite(decades) else "×0"


def gradient_clause(neuron: Neuron, x0: float, steps: int) -> str:
    """What ∂x_T/∂x_0 does up to T."""
    x, log, highest, at = x0, 0.0, 0.0, 0
    for t in range(1, steps + 1):
        log += neuron.log_slope(x)
        x = neuron.step(x)
        if log > highest + 1e-9:
            highest, at = log, t
    if steps == 0:
        return "no step is taken"
    if at == steps:
        return f"the gradient still grows at T = {steps} ({_factor(log)})"
    if at > 0:
        peak = f"the gradient peaks at T = {at} ({_factor(highest)})"
        return f"{peak}, then dies" if log < 0 else f"{peak} and is {_factor(log)} at T = {steps}"
    return (
        "the gradient keeps its size" if log > -1e-9 else f"the gradient dies ({_factor(log)} at T = {steps})"
    )


def _long_run(neuron: Neuron, x0: float) -> str:
    x = x0
    for _ in range(_SETTLING):
        x = neuron.step(x)
    first = x
    for period in range(1, _LONGEST_PERIOD + 1):
        x = neuron.step(x)
        if abs(x - first) < 1e-9:
            return (
                f"goes to the equilibrium {short(x)}"
                if period == 1
                else f"goes to a cycle of period {period}"
            )
    total = 0.0
    for _ in range(_AVERAGED):
        total += neuron.log_slope(x)
        x = neuron.step(x)
    return "is chaotic" if total / _AVERAGED > 0.01 else f"has settled on no cycle after {_SETTLING} steps"


def place(neuron: Neuron, x0: float, points: Sequence[Point], cycle: Sequence[float]) -> str:
    """Where x_0 lies and where its orbit goes; ``cycle`` has the two states of an attracting 2-cycle, or none."""
    symmetric = x0 == 0.5 and neuron.b == -neuron.w / 2
    if len(points) == 3:
        low, middle, high = (point.x for point in points)
        gap = x0 - middle
        if symmetric:
            return f"x0 rests on the separatrix at {short(middle)}"
        if abs(gap) < 1e-15:
            return f"x0 is within rounding of the separatrix at {short(middle)}"
        side, name, end = ("below", "lower", low) if gap < 0 else ("above", "upper", high)
        there = f"the orbit goes to the {name} equilibrium, {short(end)}"
        return f"x0 is {short(abs(gap))} {side} the separatrix at {short(middle)}: {there}"
    x, stability = points[0]
    if stability == "stable":
        return f"The only equilibrium, {short(x)}, is stable"
    if stability == "marginal":
        return f"The only equilibrium, {short(x)}, is at its bifurcation"
    if symmetric:
        return f"x0 rests on the repelling equilibrium {short(x)}"
    where = (
        f"goes to the 2-cycle between {short(cycle[0])} and {short(cycle[1])}"
        if cycle
        else _long_run(neuron, x0)
    )
    return f"The only equilibrium, {short(x)}, repels: the orbit {where}"


def sentence(where: str, gradient: str, steps: int, *, resolved: bool) -> str:
    """Where the orbit goes, what the gradient does on the way, and whether floats carry it.

    Args:
        where: from ``place``.
        gradient: from ``gradient_clause``.
        steps: T.
        resolved: whether floats carry the derivatives at T.

    Returns:
        One sentence, or two.
    """
    said = f"{where}; {gradient}."
    return said if resolved else f"{said} Floating-point numbers do not resolve it at T = {steps}."
