"""Orbits, derivatives, equilibria, cycles and basins of the one-unit maps, to 50 digits.

Doya neuron     x ← (1 − ε) x + ε σ(w x + b) + ε w′ u
Pascanu neuron  x ← w σ(x) + b + w′ u
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import flint
import mpmath
from flint import arb

from tests.oracles.maps import Neuron
from tests.oracles.precision import (
    NotEnoughPrecisionError,
    bracketed_root,
    is_tight,
    logistic,
    logistic_slope,
    logit,
    midpoint,
    sign,
    to_mpf,
    with_enough_precision,
    working_precision,
)

CurvePair = tuple[tuple[mpmath.mpf, mpmath.mpf], tuple[mpmath.mpf, mpmath.mpf]]
"""((x, b), (x, b)): two points of the equilibrium curve."""

DIGITS = 60
"""Decimal digits of the mpmath evaluations of closed forms (guard digits come on top)."""


@dataclass(frozen=True)
class Sensitivities:
    """x_T and its derivatives by x_0, w and b, with the logarithm of the size and the sign of each."""

    x: mpmath.mpf
    dx0: mpmath.mpf
    dw: mpmath.mpf
    db: mpmath.mpf
    ln_dx0: mpmath.mpf
    ln_dw: mpmath.mpf
    ln_db: mpmath.mpf
    sign_dx0: int
    sign_dw: int
    sign_db: int


def sensitivities(
    w: float,
    b: float,
    x0: float,
    steps: int,
    epsilon: float = 1.0,
    *,
    model: str = "doya",
    inputs: Sequence[float] | None = None,
    w_in: float = 1.0,
) -> Sensitivities:
    """x_T, ∂x_T/∂x_0, ∂x_T/∂w and ∂x_T/∂b after `steps` steps.

    P ← F′ P, P_w ← F′ P_w + ∂F/∂w, P_b ← F′ P_b + ∂F/∂b in balls, whose precision is raised until every
    result has 54 digits; `inputs` holds one u_t a step.
    """
    neuron = Neuron(w, b, epsilon, w_in, model)
    forcing = _forcing(inputs, steps)
    x, dx0, dw, db = with_enough_precision(
        lambda: _propagate(neuron, float(x0), forcing), _precision_for(neuron, float(x0), forcing)
    )
    with working_precision(512):
        return Sensitivities(
            x=midpoint(x),
            dx0=midpoint(dx0),
            dw=midpoint(dw),
            db=midpoint(db),
            ln_dx0=_ln_abs(dx0),
            ln_dw=_ln_abs(dw),
            ln_db=_ln_abs(db),
            sign_dx0=sign(dx0),
            sign_dw=sign(dw),
            sign_db=sign(db),
        )


def orbit(
    w: float,
    b: float,
    x0: float,
    steps: int,
    epsilon: float = 1.0,
    inputs: Sequence[float] | None = None,
    *,
    w_in: float = 1.0,
    model: str = "doya",
) -> mpmath.mpf:
    """x_T after `steps` steps from x_0, under the inputs u_t where given."""
    return sensitivities(w, b, x0, steps, epsilon, model=model, inputs=inputs, w_in=w_in).x


def lyapunov(
    w: float, b: float, x0: float, steps: int, burn_in: int = 0, epsilon: float = 1.0, *, model: str = "doya"
) -> mpmath.mpf:
    """(1/steps) Σ ln |F′(x_t)| over the `steps` steps that follow `burn_in` steps from x_0."""
    after = sensitivities(w, b, x0, burn_in + steps, epsilon, model=model).ln_dx0
    before = sensitivities(w, b, x0, burn_in, epsilon, model=model).ln_dx0
    with mpmath.workdps(DIGITS):
        return (after - before) / steps


def _forcing(inputs: Sequence[float] | None, steps: int) -> list[float]:
    forcing = [0.0] * steps if inputs is None else [float(u) for u in inputs]
    if len(forcing) != steps:
        raise ValueError(f"inputs: expected {steps} values, got {len(forcing)}")
    return forcing


def _precision_for(neuron: Neuron, x0: float, forcing: list[float]) -> int:
    """Bits for the largest growth of an error along the orbit, as a float orbit shows it."""
    x, growth, largest = x0, 0.0, 0.0
    for u in forcing:
        x, slope = neuron.float_step(x, u)
        growth = max(0.0, growth + math.log2(max(abs(slope), 1e-300)))
        largest = max(largest, growth)
    return 384 + int(1.05 * largest)


def _propagate(neuron: Neuron, x0: float, forcing: list[float]) -> tuple[arb, arb, arb, arb]:
    """Balls of x_T and its derivatives; bits that the ball of x has already lost are not carried on."""
    x, dx0, dw, db = arb(x0), arb(1), arb(0), arb(0)
    start = flint.ctx.prec
    for t, u in enumerate(forcing):
        if t % 64 == 0 and not x.is_exact():
            flint.ctx.prec = max(256, min(start, x.rel_accuracy_bits() + 256))
        x, along_x, along_w, along_b = neuron.step(x, u)
        dx0, dw, db = along_x * dx0, along_x * dw + along_w, along_x * db + along_b
    if not all(is_tight(value) for value in (x, dx0, dw, db)):
        raise NotEnoughPrecisionError
    return x, dx0, dw, db


def _ln_abs(value: arb) -> mpmath.mpf:
    return mpmath.mpf("-inf") if value == 0 else midpoint(abs(value).log())


def sigmoid_derivative(z: float) -> mpmath.mpf:
    """σ′(z) = e^{−z}/(1 + e^{−z})²."""
    return with_enough_precision(lambda: to_mpf(logistic_slope(arb(float(z)))))


def tanh_derivative(z: float) -> mpmath.mpf:
    """tanh′(z) = 4 σ′(2z)."""
    return with_enough_precision(lambda: to_mpf(4 * logistic_slope(2 * arb(float(z)))))


@dataclass(frozen=True)
class Equilibrium:
    """A solution of x = σ(w x + b): x, z = w x + b (the Pascanu neuron's own) and w x (1 − x) = w σ′(z)."""

    x: mpmath.mpf
    z: mpmath.mpf
    slope: mpmath.mpf

    def multiplier(self, epsilon: float = 1.0) -> mpmath.mpf:
        """1 − ε + ε w x (1 − x)."""
        with mpmath.workdps(DIGITS):
            return 1 - mpmath.mpf(float(epsilon)) * (1 - self.slope)


def relative_equilibria(w: float, b: float) -> list[Equilibrium]:
    """Every equilibrium, in increasing x, with relative accuracy in x (1e−400 included).

    Roots of z − w σ(z) − b, bracketed by its turning points z± = ±2 artanh √(1 − 4/w), where w > 4.
    """
    return with_enough_precision(lambda: [_equilibrium(w, z) for z in equilibrium_balls(w, arb(float(b)))])


def _equilibrium(w: float, z: arb) -> Equilibrium:
    return Equilibrium(to_mpf(logistic(z)), midpoint(z), to_mpf(arb(float(w)) * logistic_slope(z)))


def equilibrium_balls(w: float, b: arb) -> list[arb]:
    """Balls of the z = w x + b of every equilibrium, increasing, at the working precision."""
    w_exact = arb(float(w))

    def excess(z: arb) -> arb:
        return z - w_exact * logistic(z) - b

    low, high = b - abs(w_exact) - 1, b + abs(w_exact) + 1
    if float(w) <= 4:
        return [bracketed_root(excess, low, high)]
    turn = 2 * ((w_exact - 4) / w_exact).sqrt().atanh()
    at_peak, at_trough = sign(excess(-turn)), sign(excess(turn))
    roots = []
    if at_peak > 0:
        roots.append(bracketed_root(excess, low, -turn))
    if at_peak > 0 and at_trough < 0:
        roots.append(bracketed_root(lambda z: -excess(z), -turn, turn))
    if at_trough < 0:
        roots.append(bracketed_root(excess, turn, high))
    return roots


def _logit(x: mpmath.mpf) -> mpmath.mpf:
    return mpmath.log(x) - mpmath.log1p(-x)


def _curve_point(w: mpmath.mpf, x: mpmath.mpf) -> tuple[mpmath.mpf, mpmath.mpf]:
    return +x, _logit(x) - w * x


def folds(w: float) -> CurvePair:
    """((x₋, b₋), (x₊, b₊)) with x± = (1 ± √(1 − 4/w))/2 and b = logit(x) − w x, for w > 4; b₊ < b₋."""
    with mpmath.workdps(3 * DIGITS):
        return _quadratic_pair(w, 4 / mpmath.mpf(float(w)))


def flips(w: float, epsilon: float = 1.0) -> CurvePair:
    """((x₋, b₋), (x₊, b₊)) where 1 − ε + ε w x(1 − x) = −1, for w < −4(2 − ε)/ε."""
    with mpmath.workdps(3 * DIGITS):
        step = mpmath.mpf(float(epsilon))
        return _quadratic_pair(w, 4 * (2 - step) / (-step * mpmath.mpf(float(w))))


def _quadratic_pair(w: float, four_q: mpmath.mpf) -> CurvePair:
    """The two points of the equilibrium curve where x(1 − x) = q."""
    with mpmath.workdps(3 * DIGITS):
        root = mpmath.sqrt(1 - four_q)
        if not mpmath.im(root) == 0:
            raise ValueError(f"w: expected a value beyond the cusp or the first flip, got {w!r}")
        above = (1 + root) / 2
        w_exact = mpmath.mpf(float(w))
        return _curve_point(w_exact, four_q / (4 * above)), _curve_point(w_exact, above)


def fold_window(w: float) -> mpmath.mpf:
    """Width of the bistable interval of b: w s − 4 artanh s with s = √(1 − 4/w)."""
    with mpmath.workdps(3 * DIGITS):
        s = mpmath.sqrt(1 - 4 / mpmath.mpf(float(w)))
        return w * s - 4 * mpmath.atanh(s)


def cusp() -> tuple[mpmath.mpf, mpmath.mpf, mpmath.mpf]:
    """(w, b, x) = (4, −2, ½), found as the minimum over x of w = 1/(x(1 − x)) on the curve of folds."""
    with mpmath.workdps(DIGITS):
        x = mpmath.findroot(lambda x: (1 - 2 * x) / (x * (1 - x)) ** 2, mpmath.mpf("0.4"))
        w = 1 / (x * (1 - x))
        return w, _logit(x) - w * x, x


def wall(w: float, x0: float, *, model: str = "doya") -> mpmath.mpf:
    """b at which x_0 is an equilibrium: logit(x_0) − w x_0, or x_0 − w σ(x_0) for the Pascanu neuron."""
    return with_enough_precision(lambda: to_mpf(wall_ball(w, x0, model)))


def wall_ball(w: float, x0: float, model: str) -> arb:
    """`wall` as a ball at the working precision."""
    w_exact, x0_exact = arb(float(w)), arb(float(x0))
    if model == "pascanu":
        return x0_exact - w_exact * logistic(x0_exact)
    return logit(x0_exact) - w_exact * x0_exact


def basin(w: float, b: float, x0: float) -> str:
    """Side of the unstable equilibrium on which x_0 lies, for w > 0 and every ε: certain, never undecided.

    "ONLY" where one equilibrium attracts everything; else "LOW" or "HIGH", between the folds' x± by the sign
    of logit x_0 − w x_0 − b, or "BOUNDARY" at x_0 = ½, b = −w/2, the only point of the separatrix that floats
    hold, because the logit of a rational number is rational at ½ alone.
    """
    w, b, x0 = float(w), float(b), float(x0)
    if not w > 0:
        raise ValueError(f"w: expected w > 0, got {w!r}")
    if w <= 4 or not with_enough_precision(lambda: _is_bistable(w, b)):
        return "ONLY"
    twice_off_centre = 1 - 2 * Fraction(x0)
    if Fraction(w) * twice_off_centre**2 >= Fraction(w) - 4:
        return "LOW" if x0 < 0.5 else "HIGH"
    if x0 == 0.5 and Fraction(b) == -Fraction(w) / 2:
        return "BOUNDARY"
    start = arb(x0)
    side = with_enough_precision(lambda: sign(logit(start) - arb(w) * start - arb(b)), 128)
    return "LOW" if side > 0 else "HIGH"


def _is_bistable(w: float, b: float) -> bool:
    root = ((arb(w) - 4) / arb(w)).sqrt()
    half_width = arb(w) * root / 2 - 2 * root.atanh()
    return sign(half_width - abs(arb(b) + arb(w) / 2)) > 0


def basin_by_iteration(
    w: float, b: float, x0: float, epsilon: float = 1.0, steps: int = 20_000
) -> str | None:
    """`basin` found by iterating the map in balls until the orbit leaves (x₋, x₊); None if it does not.

    Shares no rule with `basin` but the count of equilibria; meant for w > 4 with three of them.
    """
    if len(relative_equilibria(w, b)) == 1:
        return "ONLY"
    neuron = Neuron(w, b, epsilon)

    def leave() -> str | None:
        root = ((arb(neuron.w) - 4) / arb(neuron.w)).sqrt()
        x = arb(float(x0))
        for _ in range(steps):
            if 2 * x < 1 - root:
                return "LOW"
            if 2 * x > 1 + root:
                return "HIGH"
            x = neuron.step(x)[0]
        return None

    return with_enough_precision(leave, 1024)


def two_cycle(w: float, b: float) -> tuple[mpmath.mpf, mpmath.mpf] | None:
    """The attracting 2-cycle (x_low, x_high) at ε = 1, w < −4; None where the equilibrium is stable.

    Lowest and highest roots of F(F(z)) = z in z = w x + b: F² increases and has a negative Schwarzian
    derivative, so no more than three fixed points, the equilibrium among them.
    """
    if not float(w) < -4:
        raise ValueError(f"w: expected w < −4, got {w!r}")

    def cycle() -> tuple[mpmath.mpf, mpmath.mpf] | None:
        balls = two_cycle_balls(w, arb(float(b)))
        return None if balls is None else (to_mpf(logistic(balls[0])), to_mpf(logistic(balls[1])))

    return with_enough_precision(cycle)


def two_cycle_balls(w: float, b: arb, equilibrium: arb | None = None) -> tuple[arb, arb] | None:
    """Balls of the z of the 2-cycle, low and high; `equilibrium` is z* where it is known exactly."""
    w_exact = arb(float(w))

    def image(z: arb) -> arb:
        return w_exact * logistic(z) + b

    centre = equilibrium_balls(w, b)[0] if equilibrium is None else equilibrium
    if sign(w_exact * logistic_slope(centre) + 1) >= 0:
        return None
    floor = b + w_exact - 1
    low = bracketed_root(lambda z: z - image(image(z)), floor, _just_below(centre, image))
    return low, image(low)


def _just_below(centre: arb, image: Callable[[arb], arb]) -> arb:
    """A point below the unstable equilibrium that F² carries further down."""
    gap = arb(1)
    for _ in range(flint.ctx.prec):
        z = (centre - gap).mid()
        if image(image(z)) < z:
            return z
        gap = gap / 2
    raise NotEnoughPrecisionError
