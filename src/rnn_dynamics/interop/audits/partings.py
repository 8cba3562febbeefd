"""Why a framework's gradient parts from the derivative of its map: tests that measure, cause by cause."""

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np
from scipy.ndimage import maximum_filter1d

from rnn_dynamics.interop.audits.results import Cause
from rnn_dynamics.interop.audits.runtimes import Runtime

_SHRUNK = 2.0**-12  # a power of two, by which a linear program's result is multiplied to the bit
_LOST = 3.0  # decades above the smallest normal number of what is lost with entries below it
_COARSE = 1e-10  # a change that float64 answers in proportion and float32 cannot
_PATHS = (0.1, 1.0, 4.0)  # in sizes of the inputs
_PIECES, _HALVINGS = 16, 12
_AROUND = 8  # lags
_HALF, _DISTINCT = 11, 16  # binary digits, and how many different entries have no more by chance
_SHARE = -1.5  # decades: what a change in the last places must move of what the gradient is off


@dataclasses.dataclass(frozen=True)
class Rows:
    """A matrix for each lag: ``values`` × 2^``exponents``, shapes (T, p, m) and (T,), lag 0 first."""

    values: np.ndarray
    exponents: np.ndarray

    @property
    def log10(self) -> np.ndarray:
        """log₁₀ of the Frobenius norms; −∞ of zero, NaN of what is not finite."""
        finite = np.isfinite(self.values).all(axis=(1, 2))
        size = np.abs(np.where(np.isfinite(self.values), self.values, 0)).max(axis=(1, 2), initial=0)
        scale = np.where(size > 0, size, 1)
        norm = np.linalg.norm(self.values / scale[:, None, None], axis=(1, 2))
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log10(norm) + np.log10(scale) + self.exponents * np.log10(2)
        return np.where(finite, np.where(size > 0, logs, -np.inf), np.nan)

    @property
    def floats(self) -> np.ndarray:
        """The matrices as doubles, which small ones leave as zeros."""
        return np.ldexp(self.values, np.clip(self.exponents, -4000, 4000)[:, None, None])


def relative(a: Rows, b: Rows) -> np.ndarray:
    """‖a − b‖ / ‖b‖ of each lag; ∞ beyond the floats, and where b is zero and a is not."""
    shift = np.clip(a.exponents - b.exponents, -4000, 4000)
    with np.errstate(over="ignore", invalid="ignore"):
        apart = Rows(np.ldexp(a.values, shift[:, None, None]) - b.values, np.zeros_like(shift)).log10
        size = Rows(b.values, np.zeros_like(shift)).log10
        found = 10.0 ** np.clip(apart - size, -400, 400)
    found = np.where(np.isneginf(apart), 0.0, np.where(np.isneginf(size), np.inf, found))
    return np.where(np.isfinite(found), found, np.inf)


@dataclasses.dataclass(frozen=True)
class Sides:
    """Both gradients and how to get them again.

    Attributes:
        runtime: of the module.
        inputs: (T, m), in the runtime's dtype.
        theirs, ours: the gradients.
        their_rows: of inputs and a factor of the cotangents the framework's rows.
        our_rows: of inputs the derivative's.
        tolerance: of the relative difference.
    """

    runtime: Runtime
    inputs: np.ndarray
    theirs: Rows
    ours: Rows
    their_rows: Callable[[np.ndarray, float], Rows]
    our_rows: Callable[[np.ndarray], Rows]
    tolerance: float


def nudged(inputs: np.ndarray, size: float, seed: int = 1) -> np.ndarray:
    """Inputs changed by a part of ``size`` of themselves, and of their typical size, each up or down.

    Steps whose inputs come again to the bit, as padding that a mask tells by its value, stay where others change.
    """
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], inputs.shape)
    _, place, times = np.unique(inputs, axis=0, return_inverse=True, return_counts=True)
    alone = times[place.reshape(-1)] == 1
    signs = signs * alone[:, None] if alone.any() else signs
    typical = np.sqrt(np.mean(inputs.astype(float) ** 2)) or 1.0
    moved = inputs.astype(float) + size * signs * np.maximum(np.abs(inputs), typical)
    return moved.astype(inputs.dtype)


def causes_of(sides: Sides, differences: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """A ``Cause`` for each lag whose difference is above the tolerance, and what was measured."""
    found = np.full(len(differences), int(Cause.AGREES))
    apart = ~(differences <= sides.tolerance)
    if not apart.any():
        return found, ()
    said: list[str] = []
    left = apart.copy()
    for test in (_halved, _beyond_floats, _coarse, _noise, _clipped, _another):
        chosen = test(sides, differences, left, said)
        found = np.where(left & (chosen > 0), chosen, found)
        left &= chosen == 0
    return found, tuple(said)


def _beyond_floats(sides: Sides, differences: np.ndarray, left: np.ndarray, said: list[str]) -> np.ndarray:
    """What is not finite, exactly zero, or below the framework's smallest normal number."""
    theirs, ours = sides.theirs.log10, sides.ours.log10
    limits = np.finfo(sides.runtime.dtype)
    smallest = np.log10(float(limits.tiny))
    zero = np.all(sides.theirs.values == 0, axis=(1, 2))
    weakest = np.minimum.accumulate(np.where(np.isnan(ours), np.inf, ours))
    under = (weakest < smallest + 2) & (zero | (theirs < smallest + 8))
    with np.errstate(
        divide="ignore", invalid="ignore"
    ):  # entries that fell below it, of a norm that is above
        under |= np.log10(differences) + np.fmax(theirs, ours) < smallest + _LOST
    cut, over = zero & ~under, np.isnan(theirs) & np.isfinite(ours)
    if (left & under).any():
        lag = int(np.flatnonzero(left & under)[0])
        said.append(
            f"At lag {lag} the derivative is 10^{ours[lag]:.1f}, or has been less on the way; the smallest normal "
            f"{limits.dtype} is 10^{smallest:.1f}."
        )
    if (left & cut).any():
        lag = int(np.flatnonzero(left & cut)[0])
        where = _where(left & cut, zero)
        said.append(
            f"{where} every entry of the framework's gradient is exactly 0, where the derivative, "
            f"10^{ours[lag]:.1f}, is well within {limits.dtype}."
        )
    if (left & over).any():
        said.append(f"{_where(left & over, np.isnan(theirs))} the framework's gradient is not finite.")
    pairs = ((under, Cause.UNDERFLOW), (cut, Cause.CUT), (over, Cause.OVERFLOW))
    return np.select([where for where, _ in pairs], [int(cause) for _, cause in pairs], 0)


def _where(found: np.ndarray, goes_on: np.ndarray) -> str:
    """At which lags something is found: from one on, if it goes on to the end."""
    lags = np.flatnonzero(found)
    if goes_on[lags[0] :].all():
        return f"From lag {lags[0]} on"
    return f"At lag {lags[0]}" if len(lags) == 1 else f"At {len(lags)} lags, {lags[0]} the first,"


def _halved(sides: Sides, differences: np.ndarray, left: np.ndarray, said: list[str]) -> np.ndarray:
    """Whether all entries are numbers of half precision, of which those of float32 have next to none."""
    values = sides.theirs.values
    mantissas = np.abs(np.frexp(values[np.isfinite(values) & (values != 0)])[0])
    if (
        len(np.unique(mantissas)) < _DISTINCT
        or (mantissas * 2**_HALF != np.round(mantissas * 2**_HALF)).any()
    ):
        return np.zeros(len(differences), int)
    said.append(
        f"Each of the {mantissas.size} entries of the framework's gradient that are not 0 has no more than {_HALF} "
        "binary digits, as half precision has."
    )
    return np.where(left, int(Cause.PRECISION), 0)


def _coarse(sides: Sides, differences: np.ndarray, left: np.ndarray, said: list[str]) -> np.ndarray:
    """Whether a float64 network answers a change of 1e-10 as float64 does: twice for a change twice as large."""
    nothing = np.zeros(len(differences), int)
    if sides.runtime.dtype != np.float64 or not (left & (differences < 1e-2)).any():
        return nothing
    y, once, twice = (
        sides.runtime.outputs(nudged(sides.inputs, size)).astype(float)
        for size in (0.0, _COARSE, 2 * _COARSE)
    )
    answer = np.linalg.norm(once - y)
    off = np.linalg.norm((twice - y) - 2 * (once - y)) / (2 * answer) if answer else np.inf
    if not off > 0.05:
        return nothing
    kept = "; the outputs are float32 numbers" if np.array_equal(y, y.astype(np.float32)) else ""
    said.append(
        f"Inputs changed by 2e-10 of themselves move the outputs {off:.1g} away from twice what 1e-10 does, "
        f"where float64 would answer in proportion{kept}."
    )
    return np.where(differences < 1e-2, int(Cause.PRECISION), 0)


def _noise(sides: Sides, differences: np.ndarray, left: np.ndarray, said: list[str]) -> np.ndarray:
    """Whether a change of the inputs in their last place moves the gradient by as much as it is off."""
    nothing = np.zeros(len(differences), int)
    if not left.any():
        return nothing
    eps = float(np.finfo(sides.inputs.dtype).eps)
    gap = _apart(sides.theirs, sides.ours)
    by_theirs, of_theirs, of_ours = np.full(len(gap), -np.inf), np.zeros(len(gap)), np.zeros(len(gap))
    for seed in (1, 2):
        moved = nudged(sides.inputs, 4 * eps, seed)
        again = sides.their_rows(moved, 1.0)
        with np.errstate(invalid="ignore"):  # nothing beside nothing
            by_theirs = np.fmax(by_theirs, _apart(again, sides.theirs) - gap)
        of_theirs = np.maximum(of_theirs, relative(again, sides.theirs))
        of_ours = np.maximum(of_ours, relative(sides.our_rows(moved), sides.ours))
    # Noise is small now and then: what holds of the lags around holds of each.
    noisy = maximum_filter1d(np.where(left, by_theirs, -np.inf), 2 * _AROUND + 1) > _SHARE
    chosen = np.where(noisy, np.where(of_ours < 0.1, int(Cause.FLOOR), int(Cause.ROUNDING)), 0)
    lags = np.flatnonzero(left & noisy)
    if lags.size:
        lag = int(lags[np.argmax(by_theirs[lags])])
        said.append(
            f"Inputs changed in their last places change the framework's gradient at lag {lag} by "
            f"{of_theirs[lag]:.2g} of itself, the derivative by {of_ours[lag]:.2g}."
        )
    return chosen


def _apart(a: Rows, b: Rows) -> np.ndarray:
    """log₁₀‖a − b‖, by the larger of the two where they are far apart."""
    with np.errstate(invalid="ignore"):
        far = np.maximum(a.log10, b.log10)
        near = np.log10(np.maximum(relative(a, b), 1e-300)) + b.log10
        return np.where(np.isfinite(near) & (np.abs(a.log10 - b.log10) < 15), near, far)


def _clipped(sides: Sides, differences: np.ndarray, left: np.ndarray, said: list[str]) -> np.ndarray:
    """Whether a smaller cotangent gives a gradient that is smaller in proportion."""
    if not left.any():
        return np.zeros(len(differences), int)
    off = relative(sides.their_rows(sides.inputs, _SHRUNK), sides.theirs)
    curved = off > np.maximum(sides.tolerance, 0.1 * np.minimum(differences, 1.0))
    smallest = np.log10(float(np.finfo(sides.runtime.dtype).tiny))
    curved &= ~(
        sides.theirs.log10 + np.log10(_SHRUNK) < smallest + _LOST
    )  # where the smaller one would underflow
    lags = np.flatnonzero(left & curved)
    if lags.size:
        lag = int(lags[np.argmax(np.where(np.isfinite(off[lags]), off[lags], 0))])
        said.append(
            f"A cotangent 4096 times smaller gives a gradient that, times 4096, is {off[lag]:.2g} off the first "
            f"at lag {lag}, where a derivative is proportional to the bit."
        )
    return np.where(curved, int(Cause.CLIPPED), 0)


def _another(sides: Sides, differences: np.ndarray, left: np.ndarray, said: list[str]) -> np.ndarray:
    """What is left: a map that jumps, a smaller derivative, or another one."""
    if not left.any():
        return np.zeros(len(differences), int)
    jump = _jump(sides)
    lag = int(np.flatnonzero(left)[0])
    theirs, ours = sides.theirs.log10[lag], sides.ours.log10[lag]
    if jump is not None:
        cause = Cause.SURROGATE
        said.append(
            f"The outputs jump: between inputs that differ by {jump[1]:.1g} of their size they change by "
            f"{jump[0]:.2g} of what they do over a path {_PIECES * 2**_HALVINGS} times as long."
        )
    elif theirs < ours:
        cause = Cause.STOPPED
        said.append(
            f"The outputs do not jump, the gradient is proportional to the cotangent, repeats to rounding, and is "
            f"10^{ours - theirs:.2f} times smaller than the derivative at lag {lag}."
        )
    else:
        cause = Cause.OTHER
        said.append(
            f"The outputs do not jump, the gradient is proportional to the cotangent, repeats to rounding, and is "
            f"10^{theirs - ours:.2f} times the derivative in size at lag {lag}."
        )
    return np.where(left, int(cause), 0)


def _jump(sides: Sides) -> tuple[float, float] | None:
    """What is left of the outputs' change where a path is halved towards the largest: of a smooth one nothing."""
    random = np.random.default_rng(2)
    size = float(np.abs(sides.inputs).max()) or 1.0
    for width in _PATHS:
        away = width * size * random.standard_normal(sides.inputs.shape)

        def at(place: float, away: np.ndarray = away) -> np.ndarray:
            return sides.runtime.outputs((sides.inputs + place * away).astype(sides.inputs.dtype))

        places = np.linspace(0, 1, _PIECES + 1)
        found = [at(place) for place in places]
        whole = max(_change(one, found[0]) for one in found)
        widest = int(np.argmax([_change(b, a) for a, b in itertools.pairwise(found)]))
        (low, high), ends = places[widest : widest + 2], found[widest : widest + 2]
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            between = at(middle)
            if _change(between, ends[0]) >= _change(ends[1], between):
                high, ends = middle, [ends[0], between]
            else:
                low, ends = middle, [between, ends[1]]
        left = _change(*ends) / (whole or 1.0)
        if left > 0.01:
            return left, width * (high - low)
    return None


def _change(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max())
