"""A Lyapunov spectrum with its errors, its convergence and what follows from it."""

import dataclasses
import math
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from rnn_dynamics.dynamics.lyapunov.orbits import OrbitCheck
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.status import Status
from rnn_dynamics.numerics.texts import counted


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LyapunovSpectrum(Result):
    """The Lyapunov exponents λ_1 ≥ … ≥ λ_m of a trajectory, in nats a step.

    Attributes:
        exponents: λ_i, shape (m,), falling; −∞ where a Jacobian is singular, NaN where the state diverged. Also
            ``values``.
        standard_errors: of each, from the scatter of the block means: s/√B. They hold where blocks are long beside
            the correlations of the local growth, which ``block_correlation`` near 0 says; else they are too small.
            Infinite where λ_i is −∞, and where the orbit rests on a repelling set: of a typical orbit nothing is
            known then.
        block_means: mean growth rate in each block, shape (B, m), in the order of ``exponents``.
        rounding: a first-order estimate of what rounding between two QR factorisations adds to each λ_i.
        frame: the orthonormal frame at the last state, shape (n, m), in the order of the factorisation.
        status: RESOLVED; UNRESOLVED where ``rounding`` is above √eps or λ_i is −∞: floats cannot tell an exact zero
            from a slope that underflowed; or where the orbit rests on a repelling set; DIVERGED where a state is
            not finite. Shape (m,).
        interval: steps between two QR factorisations.
        block_length: steps a block.
        discarded: steps before the first block.
        units: n, the dimension of the state.
        orbit: what the float orbit stands for, an ``OrbitCheck``.

    The exponents are those of the orbit in floats. Rounding takes it away from x_0's own after
    ``resolved_steps``, some 36/λ_1 of them in float64; its averages stay those of typical orbits, and the status
    RESOLVED. It is UNRESOLVED where the floats keep what neighbouring orbits leave: where the orbit repeats to the
    last bit (with its input) on a cycle with a multiplier above 1, or where coordinates repeat, or are tied to one
    another, to the last bit and tangent vectors across that tie grow. The exponents are then those of the repelling
    set. An affine map is exempt: all of its orbits have the same.
    """

    exponents: Float[Array, " m"]
    standard_errors: Float[Array, " m"]
    block_means: Float[Array, "blocks m"]
    rounding: Float[Array, " m"]
    frame: Float[Array, "n m"]
    status: Int[Array, " m"]
    interval: int = dataclasses.field(metadata={"static": True})
    block_length: int = dataclasses.field(metadata={"static": True})
    discarded: int = dataclasses.field(metadata={"static": True})
    units: int = dataclasses.field(metadata={"static": True})
    orbit: OrbitCheck | None = None

    picture: ClassVar = "lyapunov_spectrum"

    @property
    def values(self) -> Float[Array, " m"]:
        """``exponents`` by another name."""
        return self.exponents

    @property
    def blocks(self) -> int:
        """The number of blocks, B."""
        return self.block_means.shape[-2]

    @property
    def resolved_steps(self) -> Int[Array, ""] | int:
        """Steps up to which the float orbit is that of its first state; −1 where that was not looked at."""
        return -1 if self.orbit is None else self.orbit.resolved_steps

    _axes: ClassVar = {"m": "exponent", "n": "unit"}
    _units: ClassVar = dict.fromkeys(
        ("exponents", "standard_errors", "block_means", "rounding"), "nats a step"
    )

    @property
    def steps(self) -> int:
        """The number of steps that the averages run over."""
        return self.block_means.shape[-2] * self.block_length

    @property
    def history(self) -> Float[Array, "blocks m"]:
        """The estimate after each block: the mean of all blocks so far."""
        return _running_means(self.block_means)

    @property
    def block_correlation(self) -> Float[Array, " m"]:
        """Correlation of neighbouring block means, each within about 2/√B of 0 where blocks are long enough."""
        return _neighbour_correlation(self.block_means)

    @property
    def kaplan_yorke(self) -> Float[Array, ""]:
        """D = j + (λ_1 + … + λ_j)/|λ_{j+1}|, j the largest with a sum ≥ 0.

        0 where all exponents are negative, n where their sum is not; NaN where only m < n are known and do not
        decide it, or the state diverged.
        """
        return _kaplan_yorke(self.exponents, self.units)

    @property
    def entropy_rate(self) -> Float[Array, ""]:
        """Sum of the positive exponents, in nats a step: the entropy rate, by Pesin's formula.

        An upper bound of it in general (Ruelle). A lower bound of the sum where only m < n exponents are known and
        all of them are positive.
        """
        return _sum_of_positive(self.exponents)

    def __repr__(self) -> str:
        count = self.exponents.shape[-1]
        text = f"LyapunovSpectrum({count} of {self.units} exponents over {counted(self.steps, 'step')}, QR every "
        text += "step" if self.interval == 1 else f"{self.interval} steps"
        if isinstance(self.exponents, Tracer) or self.exponents.ndim != 1:
            return text + ")"
        if int(np.asarray(self.status)[0]) == int(Status.DIVERGED):
            return text + ", diverged)"
        error = float(np.asarray(self.standard_errors)[0])
        text += f", λ_1 = {float(np.asarray(self.exponents)[0]):.5g}" + (
            f" ± {error:.2g}" if error < math.inf else ""
        )
        dimension = float(self.kaplan_yorke)
        text += f", Kaplan–Yorke dimension {dimension:.4g}" if dimension == dimension else ""
        unresolved = int((np.asarray(self.status) == int(Status.UNRESOLVED)).sum())
        text += f", {unresolved} unresolved" if unresolved else ""
        said = "" if self.orbit is None else self.orbit.describe()
        return text + (f"; {said})" if said else ")")


@lean
def _running_means(means: Float[Array, "blocks m"]) -> Float[Array, "blocks m"]:
    count = jnp.arange(1, means.shape[-2] + 1, dtype=means.dtype)
    return jnp.cumsum(means, axis=-2) / count[:, None]


@lean
def _neighbour_correlation(means: Float[Array, "blocks m"]) -> Float[Array, " m"]:
    means = jnp.where(jnp.isfinite(means), means, 0)
    centred = means - jnp.mean(means, axis=-2, keepdims=True)
    square = jnp.sum(jnp.square(centred), axis=-2)
    product = jnp.sum(centred[..., 1:, :] * centred[..., :-1, :], axis=-2)
    return jnp.where(square == 0, 0, product / jnp.where(square == 0, 1, square))


@lean
def _sum_of_positive(values: Float[Array, "... m"]) -> Float[Array, "..."]:
    positive = jnp.where(values > 0, values, 0)
    return jnp.where(jnp.isnan(values).any(axis=-1), jnp.nan, jnp.sum(positive, axis=-1))


@lean(static_argnums=1)
def _kaplan_yorke(values: Float[Array, "... m"], units: int) -> Float[Array, "..."]:
    sums = jnp.cumsum(values, axis=-1)
    whole = jnp.sum(jnp.cumprod(sums >= 0, axis=-1), axis=-1)
    count = values.shape[-1]
    before = jnp.take_along_axis(sums, jnp.maximum(whole - 1, 0)[..., None], axis=-1)[..., 0]
    following = jnp.take_along_axis(values, jnp.minimum(whole, count - 1)[..., None], axis=-1)[..., 0]
    inside = (whole > 0) & (whole < count)
    part = jnp.where(inside, before / jnp.abs(jnp.where(inside, following, 1)), 0)
    found = whole.astype(values.dtype) + part
    if count < units:
        found = jnp.where(whole == count, jnp.nan, found)
    return jnp.where(jnp.isnan(values).any(axis=-1), jnp.nan, found)
