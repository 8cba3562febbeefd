"""The cases that answer "is a spectral radius below one enough?" with no."""

import dataclasses
import math
from typing import Any, ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from rnn_dynamics.cells import PreActivationRNN
from rnn_dynamics.cells.arguments import checked_cell
from rnn_dynamics.cells.rollout import Trajectory, rollout
from rnn_dynamics.cells.signature import checked_image
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.validation import count, real_array
from rnn_dynamics.spectral.bounds import Bounds, product_bounds


@dataclasses.dataclass(frozen=True)
class Counterexample(Result):
    """A case in which the spectral radius misleads.

    Attributes:
        name: a short name.
        claim: what is said.
        truth: what happens.
        trajectory: the orbit on which it happens.
        bounds: the norm for every lag beside every bound.
    """

    name: str
    claim: str
    truth: str
    trajectory: Trajectory
    bounds: Bounds

    picture: ClassVar = "counterexample"

    def __repr__(self) -> str:
        return f"Counterexample({self.name}: {self.truth})"


def held(cell: Any, state: Any, steps: int) -> Trajectory:
    """The trajectory that rests at a fixed point for ``steps`` steps, without rounding that would leave it.

    The caller vouches for the fixed point: a float orbit drifts off an unstable one.

    Args:
        cell: the map.
        state: the fixed point.
        steps: T.

    Returns:
        A ``Trajectory`` of T + 1 equal states.

    Raises:
        TypeError, ValueError: no callable cell, a state that it does not map to its own shape, steps < 0.

    Reference: R. Pascanu, T. Mikolov, Y. Bengio, ICML 2013, section 2: a state at rest is where ρ(J) rules.
    """
    checked_cell(cell)
    x = real_array("state", state)
    if not x.size:
        raise ValueError(f"state: expected at least one unit, got shape {x.shape}")
    checked_image(cell, x, None, ("state", "inputs"))
    states = jnp.broadcast_to(x, (count("steps", steps) + 1, *x.shape))
    return Trajectory(cell, None, states, jnp.asarray(-1, jnp.int32))


def _linear(W: Any, steps: int) -> Trajectory:
    n = len(W)
    return held(PreActivationRNN(W, [0.0] * n, activation="linear"), [0.0] * n, steps)


def _at_zero(W: Float[Array, "n n"], steps: int) -> Trajectory:
    """The logistic network with slope ¼ at every unit: held at x = 0, where b = −W σ(0)."""
    return held(PreActivationRNN(W, -0.5 * W.sum(axis=1)), jnp.zeros(len(W), W.dtype), steps)


def counterexamples(*, chaotic_steps: int = 400) -> tuple[Counterexample, ...]:
    """Where "spectral radius below one, so gradients vanish" fails, and two cases confused with it.

    ============== ================================================================================
    shear          linear, W = [[.9, 1], [0, .9]]: ρ = .9 but ‖W⁹‖₂ ≈ 3.91, so never ‖Wᵏ‖ ≤ ρᵏ
    Jordan block   linear, W = [[1, 1], [0, 1]]: ρ = 1 and the norm grows like k
    fixed point    logistic, W = 32 [[1, 1], [−1, −1]], b = (−40, 40 + ln 3): ρ(W) = 0, and at the
                   fixed point (0, ln 3) J = [[8, 6], [−8, −6]], J² = 2 J: it doubles every step
    chaos          logistic, W = 12 [[1, 1], [−1, −1]], b = (−9, 6): ρ(W) = 0 and a chaotic
                   attractor with top exponent ≈ .54
    rotation       logistic of slope ¼, W = [[0, 2], [9, 0]]: (W/4)² = (9/8) I explodes; the
                   encyclopedia's ε must pass 8
    slow rotation  the same with ε = 7: (W/4)² = (7/8) I vanishes
    ============== ================================================================================

    Args:
        chaotic_steps: T of the chaotic orbit, after 200 steps left out.

    Returns:
        The six cases in this order, each a ``Counterexample``.

    Raises:
        TypeError, ValueError: ``chaotic_steps`` is no integer, or below 0.

    Reference: Pascanu, Mikolov and Bengio, arXiv 1211.5063, whose versions 1 and 2 have the radius.
    """
    chaotic_steps = count("chaotic_steps", chaotic_steps)
    nilpotent = jnp.asarray([[1.0, 1.0], [-1.0, -1.0]])
    resting = PreActivationRNN(32 * nilpotent, [-40.0, 40.0 + math.log(3)])
    chaotic = PreActivationRNN(12 * nilpotent, [-9.0, 6.0])
    settled = rollout(chaotic, [0.3, -0.2], steps=200).final
    vanishes = "γ ρ(W) < 1, so ∂x_T/∂x_k vanishes"
    small = "W = [[0, 2], [ε, 0]] explodes for small ε"
    shear, jordan = [[0.9, 1.0], [0.0, 0.9]], [[1.0, 1.0], [0.0, 1.0]]
    fast, slow = (jnp.asarray([[0.0, 2.0], [epsilon, 0.0]]) for epsilon in (9.0, 7.0))
    chaos = rollout(chaotic, settled, steps=chaotic_steps)
    cases = [
        ("shear", "‖Wᵏ‖ ≤ ρ(W)ᵏ", "‖W⁹‖₂ ≈ 3.91 where ρ⁹ ≈ .387", _linear(shear, 60)),
        ("Jordan block", "ρ(W) = 1 neither grows nor decays", "the norm grows like k", _linear(jordan, 60)),
        (
            "fixed point",
            vanishes,
            "ρ(W) = 0, and it doubles every step",
            held(resting, [0.0, math.log(3)], 40),
        ),
        ("chaos", vanishes, "ρ(W) = 0 on a chaotic attractor", chaos),
        ("rotation", small, "ε = 9 > 8: explodes", _at_zero(fast, 60)),
        ("slow rotation", small, "ε = 7 < 8: vanishes", _at_zero(slow, 60)),
    ]
    return tuple(Counterexample(n, c, t, run, product_bounds(run)) for n, c, t, run in cases)
