"""Measures of basins on a grid of labels: basin and boundary entropy, and the uncertainty exponent."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Int

from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.validation import count, integers

_UNDECIDED = -1


@dataclasses.dataclass(frozen=True)
class UncertaintyExponent(Result):
    """f(ε) ∝ ε^α: the share of starts whose label changes within a distance ε.

    Attributes:
        exponent: α, the slope of log f against log ε.
        standard_error: of the slope, from the scatter about the line.
        dimension: D − α, the box dimension of the boundary among D axes.
        distances: ε in steps of the grid, shape (k,).
        fractions: f(ε), shape (k,).
        counts: the starts that each fraction is of.
    """

    exponent: float
    standard_error: float
    dimension: float
    distances: Int[np.ndarray, " k"]
    fractions: Float[np.ndarray, " k"]
    counts: Int[np.ndarray, " k"]

    _axes: ClassVar = {"k": "distance"}
    _coordinates: ClassVar = {"distance": "distances"}
    _units: ClassVar = {"distances": "steps of the grid"}

    def __repr__(self) -> str:
        return (
            f"UncertaintyExponent({self.exponent:.3f} ± {self.standard_error:.3f}, "
            f"boundary dimension {self.dimension:.3f})"
        )


def _grid(labels: Any) -> np.ndarray:
    labels = np.asarray(labels)
    if not labels.ndim or min(labels.shape) < 2:
        raise ValueError(f"labels: expected a grid of starts, at least 2 along each axis, got {labels.shape}")
    return labels


def entropies(labels: Any, box: Any) -> tuple[float, float]:
    """Basin entropy and boundary entropy, in nats, of a grid of labels.

    Boxes of ``box`` starts along each axis tile the grid (a remainder is left out). With p_j the share of
    label j among a box's decided starts, S = −Σ p_j ln p_j; S_b is the mean of S over all boxes, S_bb over
    those of two labels or more (NaN where there is none). S_bb > ln 2 proves a fractal boundary in the limit
    of small boxes. DIVERGED is a label, UNDECIDED none; a box without a decided start is left out.

    Args:
        labels: shape (m_1, …, m_D), −1 UNDECIDED.
        box: starts along each side of a box, at least 2.

    Returns:
        S_b and S_bb.

    Raises:
        TypeError, ValueError: no grid, or a box that is no integer from 2 to the grid's shortest axis.

    Reference: A. Daza et al., "Basin entropy", Scientific Reports 6, 31416 (2016).
    """
    labels = _grid(labels)
    box = count("box", box, minimum=2, maximum=min(labels.shape))
    kept = labels[tuple(slice(0, size // box * box) for size in labels.shape)]
    split = [part for size in kept.shape for part in (size // box, box)]
    order = [*range(0, len(split), 2), *range(1, len(split), 2)]
    boxes = kept.reshape(split).transpose(order).reshape(-1, box**labels.ndim)
    shares = np.stack(
        [(boxes == label).sum(1) for label in np.unique(kept) if label != _UNDECIDED] or [0 * boxes[:, 0]]
    )
    decided = shares.sum(0)
    shares = shares[:, decided > 0] / decided[decided > 0]
    values = -np.sum(shares * np.log(np.where(shares > 0, shares, 1.0)), axis=0)
    mixed = (shares > 0).sum(0) > 1
    nothing = float("nan")
    return (
        float(values.mean()) if values.size else nothing,
        float(values[mixed].mean()) if mixed.any() else nothing,
    )


def _differs(labels: np.ndarray, distance: int) -> tuple[int, int]:
    """How many starts have another label at that distance along some axis, of how many decided ones inside."""
    inner = tuple(slice(distance, size - distance) for size in labels.shape)
    centre = labels[inner]
    changed, decided = np.zeros(centre.shape, bool), centre != _UNDECIDED
    for axis in range(labels.ndim):
        for shift in (-distance, distance):
            where = list(inner)
            where[axis] = slice(distance + shift, labels.shape[axis] - distance + shift)
            other = labels[tuple(where)]
            changed |= other != centre
            decided &= other != _UNDECIDED
    return int((changed & decided).sum()), int(decided.sum())


def uncertainty_exponent(labels: Any, distances: Sequence[int] | None = None) -> UncertaintyExponent:
    """The uncertainty exponent α of a grid of labels, and the dimension D − α of the basins' boundary.

    A start is ε-uncertain if the label is another one at distance ε along some axis, either way. log f(ε) is
    fitted by a line over the distances where 0 < f < ½.

    Args:
        labels: shape (m_1, …, m_D), equal steps along all axes, −1 UNDECIDED.
        distances: ε in steps of the grid; by default 1, 2, 4, … up to a sixteenth of the shortest axis.

    Returns:
        α with its standard error; NaN where fewer than three distances can be used (no boundary, or all of
        it uncertain).

    Raises:
        TypeError, ValueError: no grid, or distances that are no integers from 1 to a third of the axis.

    Reference: S. McDonald, C. Grebogi, E. Ott, J. Yorke, "Fractal basin boundaries", Physica D 17, 125 (1985).
    """
    labels = _grid(labels)
    least = min(labels.shape)
    if distances is None:
        distances = [1 << k for k in range(max(1, (least // 16).bit_length()))]
    steps = integers("distances", distances, minimum=1, maximum=max(1, least // 3))
    seen = np.array([_differs(labels, int(step)) for step in steps]).reshape(-1, 2)
    fractions = seen[:, 0] / np.maximum(seen[:, 1], 1)
    usable = (fractions > 0) & (fractions < 0.5)
    exponent = error = float("nan")
    if usable.sum() >= 3:
        x, y = np.log(steps[usable].astype(float)), np.log(fractions[usable])
        spread = ((x - x.mean()) ** 2).sum()
        exponent = float(((x - x.mean()) * (y - y.mean())).sum() / spread)
        rest = y - y.mean() - exponent * (x - x.mean())
        error = float(np.sqrt((rest**2).sum() / (len(x) - 2) / spread))
    return UncertaintyExponent(exponent, error, labels.ndim - exponent, steps, fractions, seen[:, 1])
