"""Is a spectral radius below one enough? Sweeps over radii, and the cases that answer no."""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rnn_dynamics import activations
from rnn_dynamics.bounds import Bounds, product_bounds
from rnn_dynamics.cells import PreActivationRNN, random_rnn
from rnn_dynamics.cells.initializers import with_spectral_radius
from rnn_dynamics.eigen import spectral_norm
from rnn_dynamics.jacobians import gradient_norms
from rnn_dynamics.rollout import Trajectory, rollout
from rnn_dynamics.sweep import Sweep, sweep
from rnn_dynamics.validation import choice, count, real_array

__all__ = ["Counterexample", "RadiusSweep", "counterexamples", "held", "radius_sweep"]


@dataclasses.dataclass(frozen=True)
class RadiusSweep:
    """ln‖∂x_T/∂x_k‖₂ of random networks over spectral radius, bias and seed, on the host.

    Attributes:
        sweep: axes ``radius`` (R), ``bias`` (B), ``seed`` (S); values ``log_norms`` (R, B, S, T+1) and
            ``spectral_norm`` s₁(W) (R, B, S). ``.sweep.to_xarray()``, ``.sweep.save(path)``.
        slope_bound: γ of the activation, or ``None``.
    """

    sweep: Sweep
    slope_bound: float | None

    @property
    def log_norms(self) -> np.ndarray:
        """ln‖∂x_T/∂x_k‖₂, shape (R, B, S, T+1)."""
        return self.sweep["log_norms"]

    @property
    def lags(self) -> np.ndarray:
        """n = T − k for every k."""
        return np.arange(self.log_norms.shape[-1] - 1, -1, -1)

    def _power(self, size: np.ndarray) -> np.ndarray:
        if self.slope_bound is None:
            raise ValueError("slope_bound: the activation declares none, so no bound in W alone exists")
        with np.errstate(divide="ignore", invalid="ignore"):
            powers = self.lags * np.log(self.slope_bound * size)[..., None]
        return np.where(self.lags == 0, 0.0, powers)

    @property
    def log_norm_bound(self) -> np.ndarray:
        """n ln(γ s₁(W)), the theorem, shape (R, B, S, T+1)."""
        return self._power(self.sweep["spectral_norm"])

    @property
    def log_radius_claim(self) -> np.ndarray:
        """n ln(γ ρ(W)), the textbook's claim and no theorem, shape (R, B, S, T+1)."""
        radius = np.asarray(self.sweep.axes["radius"])[:, None, None]
        return self._power(np.broadcast_to(radius, self.log_norms.shape[:-1]))

    @property
    def excess(self) -> np.ndarray:
        """Decades by which the norm passes the claim (γ ρ)ⁿ at the worst lag n ≥ 1, shape (R, B, S)."""
        with np.errstate(invalid="ignore"):
            over = self.log_norms - self.log_radius_claim
        over = np.where(np.isneginf(self.log_norms), -np.inf, over)  # a zero product passes nothing
        return np.max(over[..., :-1], axis=-1) / math.log(10)

    @property
    def rate(self) -> np.ndarray:
        """Decades a step of ‖∂x_T/∂x_0‖₂, shape (R, B, S)."""
        return self.log_norms[..., 0] / (self.lags[0] * math.log(10))

    def plot(self, ax: Any = None) -> Any:
        """Norms against spectral radius; see ``plots.radius_sweep``."""
        from rnn_dynamics import plots

        return plots.radius_sweep(self, ax=ax)

    def __repr__(self) -> str:
        shape = " × ".join(f"{len(points)} {name}" for name, points in self.sweep.axes.items())
        return f"RadiusSweep({shape}, {self.lags[0]} steps, γ {self.slope_bound})"


@functools.lru_cache(maxsize=64)
def _network_at(
    n: int, steps: int, activation: Any, form: str, ensemble: str, dtype: Any
) -> Callable[..., Any]:
    """The function of one grid point; one object a setting, so that a repeated sweep compiles nothing."""

    def network_at(radius: Array, bias: Array, seed: Array) -> dict[str, Array]:
        key = jax.random.fold_in(jax.random.key(0), seed)
        drawn, started = jax.random.split(key)
        cell = random_rnn(drawn, n, ensemble=ensemble, form=form, activation=activation, dtype=dtype)
        W = with_spectral_radius(cell.W, radius)
        cell = _with_weights(cell, W, jnp.full((n,), bias, dtype))
        start = jax.random.normal(started, (n,), dtype) / math.sqrt(n)
        norms = gradient_norms(rollout(cell, start, steps=steps))
        return {"log_norms": norms, "spectral_norm": spectral_norm(W)}

    return network_at


def _with_weights(cell: Any, W: Array, b: Array) -> Any:
    return jax.tree_util.tree_unflatten(
        jax.tree_util.tree_structure(cell), [W, b, *jax.tree_util.tree_leaves(cell)[2:]]
    )


def radius_sweep(
    radii: Any,
    *,
    biases: Any = (0.0,),
    seeds: Sequence[int] = (0,),
    n: int = 32,
    steps: int = 100,
    activation: Any = "tanh",
    form: str = "elman",
    ensemble: str = "gaussian",
    progress: Any = None,
) -> RadiusSweep:
    """ln‖∂x_T/∂x_k‖₂ for every k, over a grid of spectral radii, biases and seeds.

    A seed fixes W but for its scale, and the first state (Gaussian, norm about 1); the radius sets the scale.

    Args:
        radii: spectral radii ≥ 0, shape (R,).
        biases: the bias of every unit, shape (B,).
        seeds: integers, shape (S,).
        n: units.
        steps: T ≥ 1.
        activation: as for the cells.
        form: "elman" or "pre_activation".
        ensemble: "gaussian", "orthogonal", "glorot" or "sparse".
        progress: as for ``sweep``.

    Raises:
        TypeError, ValueError: an argument out of range, naming it.
    """
    radius = real_array("radii", radii, ndim=1)
    bias = real_array("biases", biases, ndim=1)
    if (np.asarray(radius) < 0).any():
        raise ValueError(f"radii: expected numbers ≥ 0, got {float(np.asarray(radius).min()):g}")
    if not isinstance(seeds, Sequence | np.ndarray) or isinstance(seeds, str):
        raise TypeError(f"seeds: expected a sequence of integers, got {seeds!r}")
    seed = np.asarray([count("seeds", s) for s in seeds], np.int32)
    n, steps = count("n", n, minimum=1), count("steps", steps, minimum=1)
    activation = activations.get(activation)
    form = choice("form", form, ["elman", "pre_activation"])
    ensemble = choice("ensemble", ensemble, ["gaussian", "orthogonal", "glorot", "sparse"])
    dtype = np.result_type(radius.dtype, bias.dtype)
    function = _network_at(n, steps, activation, form, ensemble, dtype)
    axes = {"radius": radius.astype(dtype), "bias": bias.astype(dtype), "seed": seed}
    return RadiusSweep(sweep(function, axes, progress=progress), activation.slope_bound)


@dataclasses.dataclass(frozen=True)
class Counterexample:
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

    def plot(self, ax: Any = None) -> Any:
        """The norm and the claims against the lag; see ``plots.counterexample``."""
        from rnn_dynamics import plots

        return plots.counterexample(self, ax=ax)

    def __repr__(self) -> str:
        return f"Counterexample({self.name}: {self.truth})"


def held(cell: Any, state: Any, steps: int) -> Trajectory:
    """The trajectory that rests at a fixed point for ``steps`` steps, without rounding that would leave it.

    The caller vouches for the fixed point: a float orbit drifts off an unstable one.
    """
    x = real_array("state", state)
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

    Reference: Pascanu, Mikolov and Bengio, arXiv 1211.5063, whose versions 1 and 2 have the radius.
    """
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
