"""The equation x = F^p(x) as its kernels take it, checked, and cut into batches of a fixed shape."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

from rnn_dynamics.cells.arguments import checked_step
from rnn_dynamics.cells.pytree import join, split
from rnn_dynamics.cells.shapes import shapes_of
from rnn_dynamics.cells.signature import image
from rnn_dynamics.dynamics.equilibria.newton import Curved, Equation
from rnn_dynamics.dynamics.phases import (
    Lengths,
    apart,
    canonical,
    largest_length,
    lengths_of,
    on_phases,
    wrapped,
)
from rnn_dynamics.dynamics.return_map import curved, images, linearised, linearised_each
from rnn_dynamics.numerics.batching import mapped, power_of_two_below
from rnn_dynamics.numerics.one_thread import one_blas_thread
from rnn_dynamics.numerics.validation import count, real_array

# Entries of the Jacobians of one batch at most, and the sizes of batches: few, as each is a program.
_ENTRIES = 2**20
_BATCHES = (64, 512, 4096)
# A row of a Jacobian of so many multiply-adds is dear enough for a batch of few.
_DEAR, _FEW = 2e5, 16
# Up to here a row costs so little that the smallest batch is not worth its program, but for so many steps.
_UNITS, _MANY_STEPS = 8, 4096
# Images are cheaper than Jacobians: so many times more of them go together.
_WIDER = 8
_TOLERANCE = {4: 1e-5, 8: 1e-12}


@dataclasses.dataclass(frozen=True)
class RootProblem:
    """x = F^p(x), p steps of a cell under inputs that repeat every ``cycle`` steps.

    Attributes:
        static, arrays: the cell, split.
        inputs: leading axis ``cycle``, or ``None``.
        cycle: steps after which the input repeats; 1 where it is held or absent.
        shape: of a state.
        dtype: of the states.
        lengths: of the coordinates that are phases; ``None`` where none is.
    """

    static: Any
    arrays: Any
    inputs: Any
    cycle: int
    shape: tuple[int, ...]
    dtype: Any
    lengths: Lengths | None = None

    @property
    def size(self) -> int:
        """The number of units, n."""
        return math.prod(self.shape)

    def canonical(self, rows: np.ndarray) -> np.ndarray:
        """Return states with their phases in [0, L)."""
        return canonical(rows, self.lengths)

    def apart(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """The largest difference of a coordinate, round the seam where that is shorter."""
        return apart(first, second, self.lengths)

    def difference(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return first − second, of phases the shortest difference."""
        return wrapped(first - second, self.lengths)

    def norms(self, rows: np.ndarray) -> np.ndarray:
        """The scale that tolerances refer to: max(1, largest entry, longest phase) of each row."""
        return np.maximum(norms(rows), np.asarray(largest_length(self.lengths), rows.dtype))

    def batched(
        self, kernel: Callable[..., Any], period: int, *columns: np.ndarray, wide: bool = False
    ) -> list[np.ndarray]:
        """``kernel`` on rows of ``columns``, in batches of few shapes, the last one padded.

        Args:
            kernel: takes static, arrays, a batch of each column, inputs, steps and the shape of a state.
            period: in multiples of ``cycle``.
            columns: arrays of one leading axis; the first is the states.
            wide: whether there are many rows, and no Jacobians: batches are larger then.
        """
        total, steps = len(columns[0]), period * self.cycle
        largest = min(_BATCHES[-1], max(16, power_of_two_below(_ENTRIES // self.size**2)))
        if self.size > _UNITS:
            sizes = (_FEW,) if steps * self.size**3 > _DEAR else _BATCHES[:1]
        else:
            sizes = _BATCHES if steps >= _MANY_STEPS else _BATCHES[1:]
        size = min(largest, next((size for size in sizes if total <= size), sizes[-1]))
        if wide and self.size > _UNITS:
            size *= _WIDER

        def at(*batch: np.ndarray) -> list[Array]:
            given = self.static, self.arrays, *batch
            return jax.tree_util.tree_leaves(kernel(*given, self.inputs, steps, self.shape))

        with one_blas_thread(self.size):
            return mapped(at, columns, size)

    def images(self, period: int, rows: np.ndarray) -> np.ndarray:
        """Return F^p of many rows."""
        return self.batched(images, period, rows, wide=True)[0]

    def equation(self, period: int) -> Equation:
        """The equation x = F^p(x) as Newton's method takes it."""

        def linearised_at(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            image, jacobian = self.batched(linearised, period, rows)
            return image, jacobian

        return Equation(functools.partial(self.images, period), linearised_at, self.lengths)

    def linearised_each(self, periods: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """F^p of rows and the Jacobians, with a period for each row."""
        image, jacobian = self.batched(linearised_each, 1, rows, periods.astype(np.int32))
        return image, jacobian

    def curved(self, period: int, rows: np.ndarray) -> Curved:
        """F^p of rows with the first derivative, and the second one that the Hessian of ½‖x − F^p(x)‖² has."""
        return Curved(*self.batched(curved, period, rows))

    def lowered(self) -> "RootProblem":
        """The same in float32 where the cell allows it, else this one."""
        if self.dtype != np.float64:
            return self

        def lower(leaf: Any) -> Any:
            floating = hasattr(leaf, "dtype") and leaf.dtype == np.float64
            return leaf.astype(np.float32) if floating else leaf

        arrays, inputs = (jax.tree_util.tree_map(lower, part) for part in (self.arrays, self.inputs))
        lowered = dataclasses.replace(self, arrays=arrays, inputs=inputs, dtype=np.dtype(np.float32))
        state = jax.ShapeDtypeStruct(self.shape, np.float32)
        first = jax.tree_util.tree_map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), inputs)
        try:
            out = image(join(self.static, arrays), state, first)
        except (TypeError, ValueError):
            return self
        return lowered if out.dtype == np.float32 else self


def posed(
    cell: Any, starts: Any, u: Any, inputs: Any, period: Any, topology: Any = None, name: str = "starts"
) -> tuple[RootProblem, Float[np.ndarray, "starts n"], int]:
    """The problem, the starts as flat rows, and p, all checked against the cell.

    Raises:
        TypeError, ValueError: as ``fixed_points``.
    """
    period = count("period", period, minimum=1, maximum=10_000)
    given = real_array(name, starts)
    if not given.ndim:
        raise ValueError(f"{name}: expected a leading axis of starts, got a single number")
    if not all(given.shape[1:]):
        raise ValueError(f"{name}: expected states of at least one unit, got shape {given.shape}")
    _refuse_one_start(cell, given, name)
    host = np.asarray(given)
    first: Any = host[0] if len(host) else np.zeros(host.shape[1:], host.dtype)
    first = first if hasattr(starts, "dtype") else first.tolist()  # a list takes the cell's dtype
    try:
        state, sequence, cycle = checked_step(cell, first, u, inputs, name)
    except (TypeError, ValueError) as error:
        if given.ndim != 1:
            raise
        raise type(error)(f"{error}; one start is {name}[None]") from error
    rows = host.astype(state.dtype).reshape(len(given), state.size)
    first = jax.tree_util.tree_map(lambda leaf: leaf[0], sequence)
    cell = on_phases(cell, topology, rows, first, state.shape)
    static, arrays = split(cell)
    lengths = lengths_of(cell)
    problem = RootProblem(static, arrays, sequence, cycle, state.shape, np.dtype(state.dtype), lengths)
    return problem, problem.canonical(rows), period


def _refuse_one_start(cell: Any, given: Any, name: str) -> None:
    """Starts without the axis of starts: as many numbers as the cell's state has, where a number is no state."""
    shape = shapes_of(cell).state
    if shape is not None and given.ndim == 1 and shape == given.shape:
        raise ValueError(
            f"{name}: expected a leading axis of starts, (starts, {shape[0]}), got one start of shape {shape}: "
            f"give {name}[None]"
        )


def norms(rows: Array | np.ndarray) -> np.ndarray:
    """max(1, largest entry) of each row: the scale that tolerances refer to."""
    return np.maximum(np.max(np.abs(rows), axis=1, initial=0.0), 1.0).astype(np.asarray(rows).dtype)


def residual_tolerance(problem: RootProblem, tolerance: Any) -> float:
    """The relative residual that a root may have: the one given, or that of the dtype.

    Raises:
        TypeError, ValueError: no finite number > 0.
    """
    if tolerance is None:
        return _TOLERANCE[problem.dtype.itemsize]
    value = float(real_array("tolerance", tolerance, ndim=0))
    if not value > 0:
        raise ValueError(f"tolerance: expected a number > 0, got {value}")
    return value
