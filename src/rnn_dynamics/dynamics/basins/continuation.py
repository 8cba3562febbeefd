"""Basin fractions across a parameter, attractors matched from one value to the next."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from rnn_dynamics.dynamics.basins.attractors import Attractors
from rnn_dynamics.dynamics.basins.kept import kept_basins
from rnn_dynamics.dynamics.basins.labels import Fractions, basins
from rnn_dynamics.dynamics.phases import Lengths, checked_topology, wrapped
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.stored.engines import check_executor
from rnn_dynamics.numerics.validation import concrete_array, real_array

if TYPE_CHECKING:
    pass

_SHARE = 0.1  # of the starts' extent: the default farthest that an attractor moves between two values


@dataclasses.dataclass(frozen=True)
class FractionsAlong(Result):
    """Basin fractions at each value of a parameter; an attractor keeps its column.

    Attributes:
        parameters: shape (k,).
        fractions: share of each attractor's basin, 0 where there is none, shape (k, attractors).
        standard_errors: binomial, shape (k, attractors).
        undecided: shares that the runs were too short for, shape (k,).
        diverged: shares that left the finite numbers, shape (k,).
        attractors: the attractors found at each value.
        columns: of each value, the column of each of its attractors.
        farthest: the distance beyond which two attractors are not matched.
    """

    parameters: Float[np.ndarray, " k"]
    fractions: Float[np.ndarray, "k attractors"]
    standard_errors: Float[np.ndarray, "k attractors"]
    undecided: Float[np.ndarray, " k"]
    diverged: Float[np.ndarray, " k"]
    attractors: tuple[Attractors, ...]
    columns: tuple[np.ndarray, ...]
    farthest: float

    picture: ClassVar = "basin_fractions"
    _axes: ClassVar = {"k": "parameter", "attractors": "attractor"}
    _coordinates: ClassVar = {"parameter": "parameters"}

    def describe(self, column: int) -> str:
        """What the attractor of a column is, kinds in the order in which they come."""
        names: list[str] = []
        for found, columns in zip(self.attractors, self.columns, strict=True):
            for place in np.flatnonzero(columns == column):
                name = found.describe(int(place))
                if not names or names[-1] != name:
                    names.append(name)
        return " → ".join(names if len(names) <= 3 else [names[0], "…", names[-1]])

    def __repr__(self) -> str:
        ends = f"{self.parameters[0]:g} … {self.parameters[-1]:g}"
        return f"FractionsAlong({len(self.parameters)} values {ends}, {self.fractions.shape[1]} attractors)"


def set_distance(first: np.ndarray, second: np.ndarray, lengths: Lengths | None = None) -> float:
    """The Hausdorff distance of two sets of states, shapes (a, n) and (b, n): small across a period doubling."""
    apart = np.linalg.norm(wrapped(first[:, None] - second[None], lengths), axis=-1)
    return float(max(apart.min(1).max(), apart.min(0).max()))


def _rows(attractors: Attractors, index: int) -> np.ndarray:
    orbit = attractors.orbit(index)
    return orbit.reshape(len(orbit), -1)[:512]


def _matched(
    known: list[np.ndarray], found: list[np.ndarray], farthest: float, topology: Any = None
) -> np.ndarray:
    """The column of each found attractor: the assignment of least total distance, new columns beyond it."""
    from scipy.optimize import linear_sum_assignment

    columns = np.full(len(found), -1)
    if known and found:
        lengths = checked_topology(topology, found[0].shape[1])
        distances = np.array([[set_distance(a, b, lengths) for b in known] for a in found])
        # What cannot be matched costs the same everywhere, so that it does not bend the other pairs.
        rows, places = linear_sum_assignment(np.minimum(distances, 2 * farthest))
        for row, place in zip(rows, places, strict=True):
            if distances[row, place] <= farthest:
                columns[row] = place
    new = columns < 0
    columns[new] = len(known) + np.arange(new.sum())
    return columns


def _layout(cell: Any) -> tuple:
    leaves, structure = jax.tree_util.tree_flatten(cell)
    return structure, [
        (jnp.shape(leaf), getattr(leaf, "dtype", None)) for leaf in leaves if not callable(leaf)
    ]


def _farthest(value: Any, starts: Any) -> float:
    if value is not None:
        number = float(real_array("farthest", value, ndim=0))
        if number <= 0:
            raise ValueError(f"farthest: expected a distance > 0, got {number}")
        return number
    states = np.asarray(real_array("starts", starts))
    return (
        _SHARE * float(np.ptp(states.reshape(-1, states.shape[-1]), axis=0).max())
        if states.ndim > 1
        else (_SHARE * float(np.ptp(states)) if states.size else 0.0)
    )


def fractions_along(
    family: Callable[[Any], Any],
    parameters: Any,
    starts: Any,
    *,
    u: Any = None,
    max_steps: int = 10_000,
    max_period: int = 32,
    samples: int = 4096,
    farthest: float | None = None,
    state_ndim: int | None = None,
    chunk: int | None = None,
    topology: Any = None,
    store: Any = None,
    executor: Any = None,
) -> FractionsAlong:
    """Basin fractions of the cells family(p) for each parameter p, from the same starts.

    At each value the attractors are discovered anew and matched to the last known state of those before by the
    assignment of least total Hausdorff distance; one that is farther than ``farthest`` from all of them gets a
    new column. An attractor that is gone keeps its column and may come back to it.

    Args:
        family: takes a parameter (a Python float) to a cell, of one structure for all of them.
        parameters: values in order, shape (k,).
        starts, u, max_steps, max_period, samples, state_ndim, chunk, topology: as for ``basins``.
        store, executor: as for ``sweep``: the labels at each value are kept in a folder, the attractors in one
            beside it, and the same call goes on from what is there.
        farthest: the farthest that an attractor moves from one value to the next; by default a tenth of the
            starts' largest extent.

    Returns:
        Fractions, errors, and the attractors at each value.

    Raises:
        TypeError, ValueError: as ``basins``; ValueError where the family's cells differ in structure.
        RuntimeError: values that no worker could compute, and why; the others are in the store.

    Reference: G. Datseris, K. Rossi, A. Wagemakers, "Framework for global stability analysis", Chaos 33,
    073151 (2023).
    """
    values = concrete_array("parameters", parameters, ndim=1)
    if not values.size:
        raise ValueError("parameters: expected at least one value, got none")
    if not callable(family):
        raise TypeError(f"family: expected a callable family(p) -> cell, got {type(family).__name__}")
    if not real_array("starts", starts, finite=False).size:
        raise ValueError("starts: expected at least one start, got none")
    limit = _farthest(farthest, starts)
    options: dict[str, Any] = {"max_steps": max_steps, "max_period": max_period, "samples": samples}
    options |= {"u": u, "state_ndim": state_ndim, "chunk": chunk, "topology": topology}
    layout = _layout(family(float(values[0])))
    for value in values:
        if _layout(family(float(value))) != layout:
            raise ValueError(f"family: expected cells of one structure, got another one at {value:g}")
    check_executor(store, executor)
    if store is not None and len(np.unique(values)) < len(values):
        raise ValueError("parameters: expected each value once for a store, got one twice")
    found_at = (
        (basins(family(float(value)), starts, **options) for value in values)
        if store is None
        else kept_basins(family, values, starts, store, executor, options)
    )
    known: list[np.ndarray] = []
    results: list[tuple[Fractions, Attractors, np.ndarray]] = []
    for labels in found_at:
        found = [_rows(labels.attractors, i) for i in range(len(labels.attractors))]
        columns = _matched(known, found, limit, topology)
        known += [np.zeros((0, 0))] * (max(columns, default=-1) + 1 - len(known))
        for column, rows in zip(columns, found, strict=True):
            known[column] = rows
        results.append((labels.fractions(), labels.attractors, columns))
    return _collected(values, results, len(known), limit)


def _collected(values: np.ndarray, results: list, count: int, limit: float) -> FractionsAlong:
    fractions, errors = np.zeros((len(values), count)), np.zeros((len(values), count))
    for row, (shares, _, columns) in enumerate(results):
        fractions[row, columns], errors[row, columns] = shares.attractors, shares.standard_errors
    return FractionsAlong(
        values,
        fractions,
        errors,
        np.array([shares.undecided for shares, *_ in results]),
        np.array([shares.diverged for shares, *_ in results]),
        tuple(found for _, found, _ in results),
        tuple(columns for *_, columns in results),
        limit,
    )
