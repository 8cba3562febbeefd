"""What an audit found: a framework's gradient beside the derivative of its map, lag by lag, and where they part."""

import dataclasses
import enum
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.results.page import Table

_SHOWN = 12


class Cause(enum.IntEnum):
    """Why a framework's gradient is not the derivative of its map at one lag.

    ============ ===================================================================================
    AGREES       it is the derivative
    STATES       the outputs differ themselves: another map, no question of the gradient
    ROUNDING     outputs or derivatives answer a change of one unit in the last place: neither can be trusted
    FLOOR        the framework's values are noise there: they answer a change in the last place, the derivative
                 does not
    UNDERFLOW    the derivative lies below the smallest number of the framework's floats
    OVERFLOW     the framework's values are not finite, the derivative is
    CUT          the framework's values are exactly zero, the derivative is not
    PRECISION    coarser numbers inside: float32 where float64 is outside, or half precision on the way back
    CLIPPED      the framework's values are not proportional to the cotangent: something bounds them on the way
    SURROGATE    the map jumps, and the framework puts another derivative in the place of its own
    STOPPED      a derivative that is smaller than that of the map: a path is cut off or a slope is capped
    OTHER        another derivative than that of the map
    ============ ===================================================================================
    """

    AGREES = 0
    STATES = 1
    ROUNDING = 2
    FLOOR = 3
    UNDERFLOW = 4
    OVERFLOW = 5
    CUT = 6
    PRECISION = 7
    CLIPPED = 8
    SURROGATE = 9
    STOPPED = 10
    OTHER = 11


_SAYS = {
    Cause.STATES: "the outputs differ themselves",
    Cause.ROUNDING: "rounding decides both",
    Cause.FLOOR: "a noise floor of its arithmetic",
    Cause.UNDERFLOW: "underflow",
    Cause.OVERFLOW: "overflow",
    Cause.CUT: "the gradient is cut off",
    Cause.PRECISION: "coarser numbers inside",
    Cause.CLIPPED: "something clips it on the way",
    Cause.SURROGATE: "a surrogate derivative",
    Cause.STOPPED: "a path is stopped or a slope capped",
    Cause.OTHER: "another derivative",
}


@dataclasses.dataclass(frozen=True)
class Audit(Result):
    """A framework's ∂y_T/∂u_k beside the derivative of the same map, and where and why they part.

    Norms are those of the matrix with a row ∂⟨v, y_T⟩/∂u_k for each probe v. Lag l is that of u_{T−l}, the input l
    steps before the last.

    Attributes:
        framework: whose gradient it is, with its version.
        dtype: of the framework's outputs.
        lags: 0 … T−1.
        log10_theirs, log10_ours: log₁₀ of both norms; −∞ where one is exactly zero, NaN where it is not finite.
        differences: ‖theirs − ours‖ / ‖ours‖; ∞ beyond the floats.
        causes: a ``Cause`` for each lag.
        tolerance: what a difference may be.
        output_errors: of each step the largest |output − ours| over the largest |output|; of the last step alone
            where the module puts out no more.
        checked: the lags at which the module's outputs were differenced.
        central, central_errors: central differences of ⟨v, y_T⟩ along a direction in u_k, and their errors from
            rounding and curvature.
        theirs_there, ours_there: what the two gradients say of the same.
        evidence: what was measured to tell the causes, in sentences.
    """

    framework: str
    dtype: str
    lags: Int[np.ndarray, " t"]
    log10_theirs: Float[np.ndarray, " t"]
    log10_ours: Float[np.ndarray, " t"]
    differences: Float[np.ndarray, " t"]
    causes: Int[np.ndarray, " t"]
    tolerance: float
    output_errors: Float[np.ndarray, " s"]
    checked: Int[np.ndarray, " c"]
    central: Float[np.ndarray, " c"]
    central_errors: Float[np.ndarray, " c"]
    theirs_there: Float[np.ndarray, " c"]
    ours_there: Float[np.ndarray, " c"]
    evidence: tuple[str, ...] = ()

    picture: ClassVar = "audit"
    _axes: ClassVar = {"t": "lag", "s": "step", "c": "checked_lag"}
    _coordinates: ClassVar = {"lag": "lags", "checked_lag": "checked"}
    _units: ClassVar = {"log10_theirs": "decades", "log10_ours": "decades"}
    _words: ClassVar = {"causes": Cause}

    @property
    def agrees(self) -> bool:
        """Whether the framework's gradient is the derivative of the map at every lag."""
        return not self.causes.any()

    @property
    def parted(self) -> int | None:
        """The first lag at which the two differ; ``None`` where they agree."""
        apart = np.flatnonzero(self.causes)
        return int(self.lags[apart[0]]) if apart.size else None

    @property
    def cause(self) -> Cause:
        """Why they part where they do first."""
        return Cause.AGREES if self.parted is None else Cause(int(self.causes[self.parted]))

    @property
    def supports(self) -> tuple[str, ...]:
        """Of each checked lag whom the differences of the outputs support: "ours", "theirs", "both", "neither"."""
        with np.errstate(invalid="ignore"):
            of_ours = np.abs(self.central - self.ours_there) <= self.central_errors
            of_theirs = np.abs(self.central - self.theirs_there) <= self.central_errors
        words = {(True, True): "both", (True, False): "ours", (False, True): "theirs"}
        pairs = zip(of_ours.tolist(), of_theirs.tolist(), strict=True)
        return tuple(words.get(pair, "neither") for pair in pairs)

    @property
    def stretches(self) -> tuple[tuple[int, int, Cause], ...]:
        """Lags in a row of one cause: the first, the last, the cause."""
        edges = np.flatnonzero(np.diff(self.causes)) + 1
        starts, stops = [0, *edges.tolist()], [*edges.tolist(), len(self.causes)]
        return tuple(
            (a, b - 1, Cause(int(self.causes[a]))) for a, b in zip(starts, stops, strict=True) if b > a
        )

    @property
    def verdict(self) -> str:
        """One line: where they part and why, and whom the module's own outputs support."""
        whose, steps = f"{self.framework} in {self.dtype}", len(self.lags)
        if self.cause == Cause.STATES:
            worst = float(self.output_errors.max())
            return (
                f"{whose}: its outputs are not the cell's (largest relative error {worst:.2g}), so that the "
                "gradients are of two maps; rd.interop.check(cell, inputs, outputs) looks for the convention"
            )
        if self.parted is None:
            worst = float(self.differences.max()) if steps else 0.0
            return (
                f"{whose}: its gradient is the derivative of its map at "
                f"{'its one lag' if steps == 1 else f'all {steps} lags'} (to {worst:.1g})"
            )
        at = self.parted
        said = f"{whose}: its gradient parts from the derivative at lag {at} of {steps}: {_SAYS[self.cause]}"
        said += f" ({self._sizes(at, self.cause)})"
        backed = [one for lag, one in zip(self.checked, self.supports, strict=True) if self.causes[lag]]
        if "ours" in backed and "theirs" not in backed:
            said += "; its own outputs bear out the derivative"
        elif "theirs" in backed and "ours" not in backed:
            said += "; its own outputs bear out the framework"
        return said

    def _sizes(self, first: int, cause: Cause) -> str:
        """Both norms where they part; of floors and small numbers at the longest lag of the kind."""
        same = np.flatnonzero(self.causes == int(cause))
        at = int(same[-1]) if cause in (Cause.FLOOR, Cause.UNDERFLOW) else first
        sizes = _power(self.log10_theirs[at]), _power(self.log10_ours[at])
        if sizes[0] == sizes[1]:
            return f"relative difference {self.differences[at]:.2g}"
        return f"at lag {at} it gives {sizes[0]}, the derivative is {sizes[1]}"

    def __repr__(self) -> str:
        return f"Audit({self.verdict})"

    def __str__(self) -> str:
        """The verdict, a table of lags, and what was measured."""
        rows = [("lag", "theirs", "derivative", "difference", "cause", "differences support")]
        rows += [tuple(row) for row in self._rows()]
        wide = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = ["  ".join(text.ljust(w) for text, w in zip(row, wide, strict=True)).rstrip() for row in rows]
        return "\n".join([self.verdict, "", *lines, *(["", *self.evidence] if self.evidence else [])])

    def _rows(self) -> Iterator[list[str]]:
        """A handful of lags: evenly spread, those checked, and those on both sides of each change of cause."""
        if not len(self.lags):
            return
        backed = dict(zip(self.checked.tolist(), self.supports, strict=True))
        edges = [lag for a, b, _ in self.stretches[:4] for lag in (a, b)]
        spread = np.linspace(0, len(self.lags) - 1, _SHOWN).round().astype(int).tolist()
        for lag in sorted({*spread, *edges, *backed}):
            name = Cause(int(self.causes[lag])).name.lower()
            sizes = (_power(values[lag]) for values in (self.log10_theirs, self.log10_ours))
            yield [str(lag), *sizes, f"{self.differences[lag]:.1e}", name, backed.get(lag, "")]

    def _tables(self) -> Iterator[Table]:
        heads = ("lag", "theirs", "derivative", "relative difference", "cause", "central differences support")
        yield Table(self.verdict, heads, list(self._rows()))
        if self.evidence:
            yield Table(
                "What was measured", ("", ""), [[str(i + 1), one] for i, one in enumerate(self.evidence)]
            )


def _power(decades: float) -> str:
    if decades == -np.inf:
        return "0"
    return f"10^{decades:.1f}" if np.isfinite(decades) else "not finite"
