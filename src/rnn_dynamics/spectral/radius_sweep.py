"""Random networks over spectral radius, bias, gain, seed, activation and ensemble: gradients and bounds."""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from rnn_dynamics.cells import ElmanRNN, PreActivationRNN, activations
from rnn_dynamics.cells.activations import Activation
from rnn_dynamics.cells.initializers import (
    ENSEMBLES,
    WITHOUT_RADIUS,
    ensemble_weights,
    with_spectral_radius,
)
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.gradients.jacobians import gradient_norms
from rnn_dynamics.gradients.singular_values import singular_spectrum
from rnn_dynamics.numerics.eigen import spectral_norm
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.sweep import Sweep, sweep
from rnn_dynamics.numerics.texts import counted
from rnn_dynamics.numerics.validation import choice, count, flag, integers, real_array, real_arrays
from rnn_dynamics.spectral.step_bounds import step_bounds
from rnn_dynamics.spectral.weight_bounds import log_absolute_bound

_FORMS = {"elman": ElmanRNN, "pre_activation": PreActivationRNN}
# Their spectral radius is 1 by construction; the others are divided by theirs.
_OF_RADIUS_ONE = ("orthogonal", "non_normal")


@dataclasses.dataclass(frozen=True)
class RadiusSweep(Result):
    """ln‖∂x_T/∂x_k‖₂ of random networks over a grid, on the host.

    Attributes:
        sweep: axes ``activation`` and ``ensemble`` (where several were asked for), ``radius``, ``bias``, ``gain``
            (where given) and ``seed``, in this order; "…" below stands for them. Values ``log_norms`` (…, m),
            ``spectral_norm`` s₁(g W) (…), ``log_absolute`` (…, m) where γ is declared, and with ``spectra``
            ``log_singular_values`` ln σ_i of ∂x_T/∂x_0 (…, n), ``spectrum_status`` (…, n), and ``log_steps``,
            ``log_smallest``, ``log_volume`` (…, m) of ``step_bounds``. Has ``.to_xarray()`` and ``.save(path)``.
        lags: n = T − k, shape (m,).
        steps: T.
        slope_bounds: γ of each activation, ``None`` where it declares none.
    """

    sweep: Sweep
    lags: np.ndarray
    steps: int
    slope_bounds: tuple[float | None, ...]

    picture: ClassVar = "radius_sweep"

    @property
    def log_norms(self) -> np.ndarray:
        """ln‖∂x_T/∂x_k‖₂, shape (…, m)."""
        return self.sweep["log_norms"]

    def along(self, name: str) -> np.ndarray:
        """The points of an axis, shaped so that they broadcast over the grid; gains are 1 where none were given."""
        if name == "gain" and name not in self.sweep.axes:
            return np.ones((1,) * len(self.sweep.axes))
        place = self.sweep.names.index(name)
        shape = [-1 if i == place else 1 for i in range(len(self.sweep.axes))]
        return np.asarray(self.sweep.axes[name]).reshape(shape)

    @property
    def slope_bound(self) -> np.ndarray:
        """γ, shaped so that it broadcasts over the grid.

        Raises:
            ValueError: an activation declares none, so that no bound in W alone exists.
        """
        if None in self.slope_bounds:
            raise ValueError("slope_bound: an activation declares none, so no bound in W alone exists")
        bounds = np.asarray(self.slope_bounds, float)
        return bounds.reshape((-1,) + (1,) * (len(self.sweep.axes) - 1))

    def _power(self, size: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            powers = self.lags * np.log(self.slope_bound * size)[..., None]
        return np.where(self.lags == 0, 0.0, powers)

    @property
    def log_norm_bound(self) -> np.ndarray:
        """n ln(γ s₁(g W)), the theorem, shape (…, m)."""
        return self._power(self.sweep["spectral_norm"])

    @property
    def log_radius_claim(self) -> np.ndarray:
        """n ln(γ g ρ(W)), the textbook's claim and no theorem, shape (…, m)."""
        radius = self.along("radius") * self.along("gain")
        return self._power(np.broadcast_to(radius, self.sweep.shape))

    @property
    def excess(self) -> np.ndarray:
        """Decades by which the norm passes the claim (γ g ρ)ⁿ at the worst of the lags n ≥ 1, shape (…)."""
        with np.errstate(invalid="ignore"):
            over = self.log_norms - self.log_radius_claim
        over = np.where(np.isneginf(self.log_norms), -np.inf, over)  # a zero product passes nothing
        return np.max(over[..., self.lags > 0], axis=-1) / math.log(10)

    @property
    def violated(self) -> np.ndarray:
        """Whether the norm passes the claim at some lag n ≥ 1 by more than rounding, shape (…)."""
        return self.excess > 256 * float(np.finfo(self.log_norms.dtype).eps) * (1 + self.steps)

    @property
    def rate(self) -> np.ndarray:
        """Decades a step of the norm at the longest lag, shape (…)."""
        longest = int(np.argmax(self.lags))
        return self.log_norms[..., longest] / (self.lags[longest] * math.log(10))

    def __repr__(self) -> str:
        shape = " × ".join(f"{len(points)} {name}" for name, points in self.sweep.axes.items())
        gammas = ", ".join("not declared" if g is None else f"{g:g}" for g in self.slope_bounds)
        return f"RadiusSweep({shape}, {counted(self.steps, 'step')}, γ {gammas})"


@dataclasses.dataclass(frozen=True)
class _Setting:
    """What the networks of a sweep have in common, and what they may differ in by name; hashable."""

    n: int
    steps: int
    lags: tuple[int, ...]
    activations: tuple[Activation, ...]
    form: str
    ensembles: tuple[str, ...]
    bounded: bool
    spectra: bool
    dtype: Any


def _drawn(setting: _Setting, ensemble: str, key: Any, radius: Array) -> Array:
    """Weights with the spectral radius asked for; those without one as they are."""
    W = ensemble_weights(key, setting.n, ensemble, dtype=setting.dtype)
    if ensemble in WITHOUT_RADIUS:
        return W
    return radius * W if ensemble in _OF_RADIUS_ONE else with_spectral_radius(W, radius)


@dataclasses.dataclass(frozen=True, eq=False)
class _Network:
    """The function of one grid point, which worker processes can be sent."""

    setting: _Setting

    def __call__(
        self,
        radius: Array,
        bias: Array,
        seed: Array,
        gain: Array | float = 1.0,
        activation: str | None = None,
        ensemble: str | None = None,
    ) -> dict[str, Array]:
        setting = self.setting
        phi = next(each for each in setting.activations if activation in (None, each.name))
        drawn, started = jax.random.split(jax.random.fold_in(jax.random.key(0), seed))
        W = gain * _drawn(setting, ensemble or setting.ensembles[0], drawn, radius)
        n, dtype = setting.n, setting.dtype
        cell = _FORMS[setting.form](W, jnp.full((n,), bias, dtype), activation=phi)
        start = jax.random.normal(started, (n,), dtype) / math.sqrt(n)
        return _measured(setting, cell, start, W)


# One object a setting: a repeated sweep compiles nothing.
_network_at = functools.lru_cache(maxsize=64)(_Network)


def _measured(setting: _Setting, cell: Any, start: Array, W: Array) -> dict[str, Array]:
    run = rollout(cell, start, steps=setting.steps)
    places = setting.steps - np.asarray(setting.lags)
    norms = gradient_norms(run, lags=setting.lags)
    found = {"log_norms": norms, "spectral_norm": spectral_norm(W)}
    if setting.bounded:
        gamma = cell.activation.slope_bound
        found["log_absolute"] = log_absolute_bound(W, steps=setting.steps, slope_bound=gamma)[places]
    if setting.spectra:
        spectrum, steps = singular_spectrum(run), step_bounds(run)
        found |= {"log_singular_values": spectrum.log, "spectrum_status": spectrum.status}
        for name, log in (("steps", steps.largest), ("smallest", steps.smallest), ("volume", steps.volume)):
            found[f"log_{name}"] = log[places]
    return found


def _several(value: Any) -> tuple[list[Any], bool]:
    """Return the choices, and whether they make an axis."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return list(value), True
    return [value], False


def _numbers(radii: Any, biases: Any, gains: Any, ensembles: list[str]) -> dict[str, Array]:
    """Return the three axes of floats, of one dtype, checked."""
    for name, values in (("radii", radii), ("biases", biases), ("gains", gains)):
        if not real_array(name, values, ndim=1).size:
            raise ValueError(f"{name}: expected at least one number, got none")
    radius, bias, gain = real_arrays(radii=radii, biases=biases, gains=gains)
    axes: dict[str, Array] = {"radius": radius, "bias": bias, "gain": gain}
    for argument, name in (("radii", "radius"), ("gains", "gain")):
        if (np.asarray(axes[name]) < 0).any():
            raise ValueError(f"{argument}: expected numbers ≥ 0, got {float(np.min(axes[name])):g}")
    without = [name for name in ensembles if name in WITHOUT_RADIUS]
    if without and np.asarray(axes["radius"]).any():
        raise ValueError(
            f"radii: expected [0] for ensemble {without[0]!r}, whose radius is 0; gains set its scale"
        )
    if not ensembles:
        raise ValueError("ensemble: expected at least one, got none")
    return axes


def radius_sweep(
    radii: Any,
    *,
    biases: Any = (0.0,),
    gains: Any = None,
    seeds: Any = (0,),
    n: int = 32,
    steps: int = 100,
    lags: Any = None,
    activation: Any = "tanh",
    form: str = "elman",
    ensemble: Any = "gaussian",
    spectra: bool = False,
    progress: Any = None,
    store: Any = None,
    executor: Any = None,
    chunk: Any = None,
    memory_limit: int = 2**30,
    about: Any = None,
) -> RadiusSweep:
    """ln‖∂x_T/∂x_k‖₂ over a grid of spectral radii, biases, gains, seeds, activations and ensembles.

    A seed fixes W but for its scale, and the first state (Gaussian, norm about 1). The radius sets W's scale, and
    the network runs with g W: give gains where the ensemble has radius 0.

    Args:
        radii: spectral radii ρ(W) ≥ 0, shape (R,); [0] for the ensembles "nilpotent" and "chain".
        biases: the bias of every unit, shape (B,).
        gains: factors g ≥ 0 of the weights, shape (G,); 1, and no axis, by default.
        seeds: integers, shape (S,).
        n: units.
        steps: T ≥ 1.
        lags: lags n at which the norms are taken, integers from 0 to T with at least one ≥ 1; by default all, which
            takes an SVD each.
        activation: as for the cells, or a sequence of such.
        form: "elman" or "pre_activation".
        ensemble: "gaussian", "orthogonal", "glorot", "sparse", "non_normal", "nilpotent" or "chain", or a sequence
            of such.
        spectra: whether every singular value of ∂x_T/∂x_0 and the bounds of the steps are taken too, at some
            twenty times the work.
        progress, store, executor, chunk, memory_limit, about: as for ``sweep``: with a store the grid is a Zarr
            group in a folder, and the same call goes on from what is there.

    Returns:
        ``RadiusSweep``: natural logarithms, an axis for each of the lists given and one of lags.

    Raises:
        TypeError, ValueError: an argument out of range, naming it.

    References: H. Sompolinsky, A. Crisanti, H.-J. Sommers, Phys. Rev. Lett. 61, 259 (1988); R. Pascanu, T. Mikolov,
    Y. Bengio, ICML 2013, section 2.1.
    """
    names, many_ensembles = _several(ensemble)
    names = [choice("ensemble", name, list(ENSEMBLES)) for name in names]
    axes: dict[str, Any] = _numbers(radii, biases, (1.0,) if gains is None else gains, names)
    axes["seed"] = integers("seeds", seeds, minimum=0)
    if not axes["seed"].size:
        raise ValueError("seeds: expected at least one, got none")
    n, steps = count("n", n, minimum=1), count("steps", steps, minimum=1)
    asked = np.arange(steps, -1, -1) if lags is None else integers("lags", lags, maximum=steps)
    if not (asked > 0).any():
        raise ValueError("lags: expected at least one lag ≥ 1")
    given, many_activations = _several(activation)
    found = [activations.get(each) for each in given]
    if not found:
        raise ValueError("activation: expected at least one, got none")
    form, spectra = choice("form", form, list(_FORMS)), flag("spectra", spectra)
    bounded = all(each.slope_bound is not None for each in found)
    setting = _Setting(
        n=n,
        steps=steps,
        lags=tuple(asked.tolist()),
        activations=tuple(found),
        form=form,
        ensembles=tuple(names),
        bounded=bounded,
        spectra=spectra,
        dtype=axes["radius"].dtype,
    )
    named = {"activation": [phi.name for phi in found]} if many_activations else {}
    named |= {"ensemble": names} if many_ensembles else {}
    if gains is None:
        del axes["gain"]
    kept = {
        "store": store,
        "executor": executor,
        "chunk": chunk,
        "memory_limit": memory_limit,
        "about": about,
    }
    grid = sweep(_network_at(setting), named | axes, progress=progress, **kept)
    return RadiusSweep(grid, asked, steps, tuple(phi.slope_bound for phi in found))
