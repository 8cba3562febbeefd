"""All singular values and directions of ∂x_stop/∂x_start: what a gradient keeps, loses and amplifies."""

import dataclasses
import functools
import math
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from rnn_dynamics.cells.pytree import join, split
from rnn_dynamics.cells.rollout import Trajectory
from rnn_dynamics.gradients.one_step import step_matrix
from rnn_dynamics.gradients.steps import entries_of, segment, step_range
from rnn_dynamics.numerics import padding
from rnn_dynamics.numerics.product_svd import ProductSVD, product_svd
from rnn_dynamics.numerics.reductions import all_finite
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.results.powers import power_of_ten
from rnn_dynamics.numerics.status import Status, count_resolved
from rnn_dynamics.numerics.texts import counted
from rnn_dynamics.numerics.validation import integers, real_array

# In units of the dtype's eps: 1e-11 in float64.
_RESOLUTION = 45_000


class _Shares(NamedTuple):
    vanishing: Float[Array, ""]
    kept: Float[Array, ""]
    exploding: Float[Array, ""]


class Shares(Result, _Shares):
    """Shares of the directions; they add up to 1, unless some values are not resolved."""

    __slots__ = ()


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SingularSpectrum(Result):
    """The singular values of ∂x_stop/∂x_start = Σ_i σ_i left_i right_iᵀ.

    Attributes:
        log: ln σ_i, shape (n,), falling; −∞ where the product is exactly singular in floats.
        log_errors: estimated error of each.
        left: unit directions at x_stop, shape (n, n), row i belongs to σ_i.
        right: unit directions at x_start, likewise: a change along ``right[0]`` grows most.
        status: RESOLVED where the error is below 4.5e4 eps (1e-11 in float64) of the largest |ln σ|, or of 1;
            else UNRESOLVED, as every −∞ is: floats cannot tell an exact zero from a slope that underflowed.
        steps: stop − start.
    """

    log: Float[Array, " n"]
    log_errors: Float[Array, " n"]
    left: Float[Array, "n n"]
    right: Float[Array, "n n"]
    status: Int[Array, " n"]
    steps: int = dataclasses.field(metadata={"static": True})

    _axes: ClassVar = {"n": "direction"}
    _units: ClassVar = {"log": "nats", "log_errors": "nats"}

    @property
    def mean_log(self) -> Float[Array, ""]:
        """Mean of ln σ_i: ln|det|/n. 0 and ``spread`` 0 are dynamical isometry."""
        return jnp.mean(self.log, axis=-1)

    @property
    def spread(self) -> Float[Array, ""]:
        """The standard deviation of ln σ_i over the directions."""
        return jnp.std(self.log, axis=-1)

    @property
    def log_condition(self) -> Float[Array, ""]:
        """ln(σ_1/σ_n)."""
        return self.log[..., 0] - self.log[..., -1]

    def shares(self, decades: Any = 1.0) -> Shares:
        """Shares of directions with σ_i below 10^−decades, in between, and above 10^decades.

        Raises:
            TypeError, ValueError: ``decades`` is no finite number ≥ 0.
        """
        value = real_array("decades", decades, ndim=0)
        if not isinstance(value, Tracer) and float(value) < 0:
            raise ValueError(f"decades: expected a number ≥ 0, got {float(value)}")
        edge = value * math.log(10)
        below, above = self.log < -edge, self.log > edge
        return Shares(*(jnp.mean(part, axis=-1) for part in (below, ~below & ~above, above)))

    def __repr__(self) -> str:
        text = f"SingularSpectrum({self.log.shape[-1]} values over {counted(self.steps, 'step')}"
        if isinstance(self.log, Tracer) or self.log.ndim != 1:
            return text + ")"
        first, last = (power_of_ten(float(np.asarray(self.log)[i])) for i in (0, -1))
        resolved = count_resolved(self.status)
        return f"{text}, {first} to {last}, resolved={resolved})"


@functools.partial(jax.jit, static_argnums=0)
def _spectrum(static: Any, arrays: Any, states: Array, inputs: Any, first: Array) -> SingularSpectrum:
    """Return the spectrum of the steps from ``first`` on."""
    cell, size = join(static, arrays), math.prod(states.shape[1:])
    series = states, inputs
    found = product_svd(lambda step: step_matrix(cell, *step), series, size, states.dtype, first=first)
    return _labelled(found, states)


def _labelled(found: ProductSVD, states: Array) -> SingularSpectrum:
    log, log_errors = found.log2 * math.log(2), found.error * math.log(2)
    largest = jnp.max(jnp.where(jnp.isfinite(log), jnp.abs(log), 0), initial=1.0)
    limit = _RESOLUTION * float(jnp.finfo(states.dtype).eps) * largest
    status = jnp.where(log_errors <= limit, int(Status.RESOLVED), int(Status.UNRESOLVED)).astype(jnp.int32)
    finite = all_finite(states)
    status = jnp.where(finite, status, jnp.int32(Status.DIVERGED))
    return SingularSpectrum(log, log_errors, found.left, found.right, status, states.shape[0])


def singular_spectrum(trajectory: Trajectory, *, start: int = 0, stop: int | None = None) -> SingularSpectrum:
    """Every singular value of ∂x_stop/∂x_start, each to its own digits, with its directions.

    An explicit product followed by an SVD keeps the largest value only: the others sink below its rounding after
    some dozen steps. This is a product SVD over the factors (``product_svd``), three QR sweeps and two rounds of
    Jacobi rotations: O(T n³) work, memory O(T n + n²).

    Args:
        trajectory: one trajectory from ``rollout``.
        start, stop: the steps between; 0 and T by default.

    Returns:
        ``SingularSpectrum``, by falling value.

    Raises:
        TypeError, ValueError: not a trajectory; start or stop outside 0 ≤ start ≤ stop ≤ T.

    A value is lost, and flagged, where one step alone hides it: singular values of a step's Jacobian more than
    1/eps apart. Works under ``jit`` and ``vmap``, not under reverse mode.

    References: G. W. Stewart, SIAM J. Sci. Comput. 16, 214 (1995); J. Demmel, K. Veselić, SIAM J. Matrix Anal.
    Appl. 13, 1204 (1992).
    """
    first, stop = step_range(trajectory, start, stop)
    static, arrays = split(trajectory.cell)
    series, size = (trajectory.states, trajectory.inputs), math.prod(trajectory.states.shape[1:])
    entries = size + entries_of(trajectory)
    extra = padding.surplus(stop - first, entries, padding.LARGEST_SKIPPED, arrays, series)
    if extra:
        states, inputs = padding.padded(series, first, stop, before=extra)
    else:
        static, arrays, states, inputs = segment(trajectory, first, stop)
    found = _spectrum(static, arrays, states, inputs, np.int32(extra))
    return dataclasses.replace(found, steps=stop - first)


@dataclasses.dataclass(frozen=True)
class SpectraByLag(Result):
    """The singular values of ∂x_stop/∂x_k for several lags n = stop − k.

    Attributes:
        lags: n, shape (m,).
        spectra: a ``SingularSpectrum`` whose arrays have the lags in front: ``log`` has shape (m, n).
    """

    lags: np.ndarray
    spectra: SingularSpectrum

    picture: ClassVar = "singular_bands"

    @property
    def log(self) -> Float[Array, "lags n"]:
        """ln σ_i, falling along the last axis."""
        return self.spectra.log

    def __repr__(self) -> str:
        resolved = count_resolved(self.spectra.status) / self.log.size
        return (
            f"SpectraByLag({self.log.shape[-1]} values at "
            f"{counted(len(self.lags), 'lag')}, {resolved:.0%} resolved)"
        )


@functools.partial(jax.jit, static_argnums=0)
def _spectra(static: Any, arrays: Any, states: Array, inputs: Any, firsts: Array) -> SingularSpectrum:
    return jax.lax.map(lambda first: _spectrum(static, arrays, states, inputs, first), firsts)


def spectra_by_lag(trajectory: Trajectory, lags: Any, *, stop: int | None = None) -> SpectraByLag:
    """Every singular value of ∂x_stop/∂x_k at each lag n = stop − k asked for, as ``singular_spectrum`` finds them.

    One compilation for all lags.

    Args:
        trajectory: one trajectory from ``rollout``.
        lags: integers from 0 to stop, shape (m,).
        stop: T by default.

    Returns:
        ``SpectraByLag``: natural logarithms of the singular values, falling, shape (m, n), with their status.

    Raises:
        TypeError, ValueError: not a trajectory; a lag or stop out of range; no lags.

    Reference: as ``singular_spectrum``.
    """
    last = step_range(trajectory, 0, stop)[1]
    asked = integers("lags", lags, maximum=last)
    if not asked.size:
        raise ValueError("lags: expected at least one, got none")
    first = last - int(asked.max())
    static, arrays = split(trajectory.cell)
    series, entries = (
        (trajectory.states, trajectory.inputs),
        math.prod(trajectory.states.shape[1:]) + entries_of(trajectory),
    )
    extra = padding.surplus(last - first, entries, padding.LARGEST_SKIPPED, arrays, series)
    if extra:
        states, inputs = padding.padded(series, first, last, before=extra)
    else:
        static, arrays, states, inputs = segment(trajectory, first, stop)
    firsts = jax.device_put(np.asarray(extra + asked.max() - asked, np.int32))
    found = _spectra(static, arrays, states, inputs, firsts)
    return SpectraByLag(asked, dataclasses.replace(found, steps=last - first))
