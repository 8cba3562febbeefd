"""What a float orbit stands for: typical orbits, or a repelling set that it happens to rest on."""

import dataclasses
import enum
import math
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from rnn_dynamics.numerics.batching import computed
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.results.powers import power_of_ten
from rnn_dynamics.numerics.status import Status
from rnn_dynamics.numerics.texts import counted

_LONG = 64  # a longer cycle is one of the floats, near a typical orbit
_MOST_DIGITS = 20.0  # nats of a multiplier that is written out


class OrbitKind(enum.IntEnum):
    """What was seen of an orbit in floats.

    ================== ==============================================================================
    ORDINARY           nothing that neighbouring orbits would not show too
    STABLE_CYCLE       it repeats to the last bit, and no multiplier of the cycle is above 1
    REPELLING_CYCLE    it repeats to the last bit, and a multiplier of the cycle is above 1
    REPELLING_SUBSPACE some coordinates repeat, or are tied to one another, to the last bit: an invariant
                       set, and tangent vectors across it grow
    ================== ==============================================================================
    """

    ORDINARY = 0
    STABLE_CYCLE = 1
    REPELLING_CYCLE = 2
    REPELLING_SUBSPACE = 3


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class OrbitCheck(Result):
    """Whether what is measured along a float orbit is that of typical orbits, and of x_0's own orbit.

    Rounding keeps a chaotic orbit near some true orbit, a typical one as a rule: its averages are right though
    its states are not those of x_0 past ``resolved_steps``. They are wrong where floats keep what no typical
    orbit keeps: an exact fixed point or cycle that repels (2x mod 1 ends at 0 once its bits have run out, the
    logistic map from ½ is at 0 after two steps, an odd map stays at the origin), or an invariant subspace (two
    equal coordinates of a symmetric map). There the neighbours leave; the orbit does not.

    Attributes:
        kind: an ``OrbitKind``.
        period: the minimal p with x_{t+p} = x_t to the last bit to the end of the run (inputs too); 0 where it does
            not repeat.
        begins: the first t of that, counted from the first state looked at; −1 where it does not repeat.
        log_multiplier: ln of the largest |multiplier| of the cycle, per period; of a subspace the growth across it,
            nats a step; NaN where it was not needed.
        affine: whether the map is affine, so that every orbit has the same exponents and resting is no harm.
        resolved_steps: the steps up to which the float orbit is that of its first state: until e, with
            e ← |J| e + (n + 6) u max|x|, |J| the growth of the leading tangent vector, exceeds the extent of the
            orbit (of first order; a bound for one unit). −1 under ``jit`` and ``vmap``.
        steps: looked at.
    """

    kind: Int[Array, ""]
    period: Int[Array, ""]
    begins: Int[Array, ""]
    log_multiplier: Float[Array, ""]
    affine: Bool[Array, ""]
    resolved_steps: Int[Array, ""]
    steps: Int[Array, ""]

    _words: ClassVar = {"kind": OrbitKind}

    @property
    def is_typical(self) -> Bool[Array, ""]:
        """Whether nothing speaks against its exponents being those of neighbouring orbits."""
        return (self.kind < int(OrbitKind.REPELLING_CYCLE)) | self.affine

    def status_of(self, status: Int[Array, "..."]) -> Int[Array, "..."]:
        """The labels of exponents, UNRESOLVED where the orbit is not typical; DIVERGED stays."""
        return computed(_status_of, self, status)

    def describe(self) -> str:
        """A sentence or two; empty where there is nothing to say, and for batches and traced values."""
        if isinstance(self.kind, Tracer) or jnp.ndim(self.kind):
            return ""
        said = [text for text in (self._rest(), self._reach()) if text]
        return "; ".join(said)

    def _rest(self) -> str:
        kind, rate, period = int(self.kind), float(self.log_multiplier), int(self.period)
        if kind < int(OrbitKind.REPELLING_CYCLE):
            return ""
        if kind == int(OrbitKind.REPELLING_CYCLE):
            name = "fixed point" if period == 1 else f"{period}-cycle"
            text = f"the orbit rests on a repelling {name} ({_multiplier(rate)})"
        else:
            text = "the orbit keeps exactly to an invariant subspace that its neighbours leave"
            text += f" by a factor of {math.exp(rate):.4g} a step"
        if bool(self.affine):
            return text + ", which is no harm as the map is affine: every orbit has these exponents"
        if period > _LONG:
            return text + f": of floats, so that its exponents are a mean over {counted(period, 'step')} only"
        return text + ": these are its exponents, not those of a typical orbit"

    def _reach(self) -> str:
        resolved, steps = int(self.resolved_steps), int(self.steps)
        if not 0 <= resolved < steps or not bool(self.is_typical):
            return ""
        text = f"in floats the orbit is that of x0 for {resolved} of {counted(steps, 'step')}"
        return text + "; from there these are a pseudo-orbit's exponents"

    def __repr__(self) -> str:
        if isinstance(self.kind, Tracer) or jnp.ndim(self.kind):
            return f"OrbitCheck(shape {jnp.shape(self.kind)})"
        text = f"OrbitCheck({OrbitKind(int(self.kind)).name}"
        text += f", period {int(self.period)}" if int(self.period) else ""
        text += f", {self.describe()}" if self.describe() else ""
        return text + ")"


@lean
def _status_of(orbit: OrbitCheck, status: Array) -> Array:
    ahead = orbit.is_typical | (status == int(Status.DIVERGED))
    return jnp.where(ahead, status, jnp.int32(Status.UNRESOLVED))


def _multiplier(log: float) -> str:
    if math.isnan(log):
        return "multiplier above 1"
    if abs(log) > _MOST_DIGITS:
        return f"multiplier {power_of_ten(log)}"
    return f"multiplier {math.exp(log):.4g}"
