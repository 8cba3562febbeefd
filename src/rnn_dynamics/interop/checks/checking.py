"""A cell's states beside the outputs that its own runtime gave, and the convention that those are of."""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rnn_dynamics.cells.arguments import of_a_file
from rnn_dynamics.cells.bidirectional import Bidirectional
from rnn_dynamics.cells.pytree import parameter_dtype
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.cells.stack import put_out, state_size
from rnn_dynamics.interop.checks.both_directions import compared
from rnn_dynamics.interop.checks.conventions import (
    cell_by,
    conventions,
    described,
    fitting,
    is_another,
    is_near,
    layers_of,
    own_convention,
)
from rnn_dynamics.interop.checks.layouts import Layout, layouts
from rnn_dynamics.numerics.functions import is_foreign
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.texts import counted
from rnn_dynamics.numerics.validation import positive, real_array

_TOLERANCES = {"float32": 1e-4, "float64": 1e-6}


@dataclasses.dataclass(frozen=True)
class Agreement(Result):
    """Whether a cell's states are the outputs that another program gave.

    Attributes:
        agrees: whether they are, at every step.
        errors: of each step the largest |h − output| over the largest |output| of all steps, shape (T,).
        tolerance: what a step's error may be.
        fits: where they are not, the conventions of the same weights that do give the outputs, in words, each as it
            differs from the cell's own; the nearest first. Several where these outputs cannot tell them apart.
            Where they are, those that differ in one thing, are another map and give them too, as after a single
            step from 0, which multiplies nothing by W.
        tried: how many conventions were tried.
        cell: the cell that agrees: the given one, or one of the first convention that fits. ``None`` where none
            does, or where the library has no such cell.
        layout: which axes of inputs and output had to be read otherwise than (batch, T, ·), or that the output is
            that of the last step alone, in words; "" of the usual one.
        steps: T, how many steps the inputs have; more than there are errors, where the output is of the last alone.
    """

    agrees: bool
    errors: Float[Array, " t"]
    tolerance: float
    fits: tuple[str, ...]
    tried: int
    cell: Any
    layout: str = ""
    steps: int = 0

    picture: ClassVar = "agreement"
    _axes: ClassVar = {"t": "time"}

    @property
    def error(self) -> float:
        """The largest error of all steps."""
        return float(np.asarray(self.errors).max())

    @property
    def step(self) -> int | None:
        """The first step, from 1 on, after which the states differ; ``None`` where they agree."""
        off = np.flatnonzero(~(np.asarray(self.errors) <= self.tolerance))
        return int(off[0]) + 1 + self._skipped if off.size else None

    @property
    def _skipped(self) -> int:
        """The number of steps before the first that there is an output of."""
        return max(self.steps - len(self.errors), 0)

    @property
    def _last(self) -> str:
        return f"in the last of {counted(self.steps, 'step')}"

    def __repr__(self) -> str:
        size = f"largest relative error {self.error:.2g}"
        if self.layout:
            size = f"{size}; read as {self.layout}"
        if self.agrees:
            where = self._last if self._skipped else f"over {counted(len(self.errors), 'step')}"
            alike = (
                f", as does {' | '.join(self.fits[:6])}: longer or larger inputs tell them apart"
                if self.fits
                else ""
            )
            return f"Agreement(agrees {where}, {size}{alike})"
        if not self.tried and self._skipped:
            words = "give the outputs of all steps for other conventions to be tried"
        elif not self.tried:
            words = "no other convention of this kind of cell is known"
        elif not self.fits:
            words = f"none of {self.tried} other conventions fits"
        else:
            one = "fits" if len(self.fits) == 1 else f"{len(self.fits)} conventions fit alike"
            words = f"{one}: {' | '.join(self.fits[:6])}{' | …' if len(self.fits) > 6 else ''}"
        where = self._last if self._skipped else f"from step {self.step} of {len(self.errors)} on"
        return f"Agreement(differs {where}, {size}; {words})"


def check(
    cell: Any, inputs: Any, output: Any, *, x0: Any = None, tolerance: float | None = None
) -> Agreement:
    """Compare a cell's states with the output that its own framework gives for the same inputs.

    Where they differ, the weights of an ``LSTM``, ``ProjectedLSTM``, ``GRU`` or ``ElmanRNN``, or of a ``Stack`` of
    one of them, whose layers share a convention, are read by all known ones: the order of the gates, in which
    peepholes stand too, 1 added to or taken from the forget gate, z the other way round, reset before or after the
    product, hard sigmoids, other activations, rows for columns where blocks are square, and all of these together;
    then the inputs in reverse order. What an importer has added up, such as two biases of a gate, stays so.

    Of a ``Bidirectional`` the outputs are looked at, y of the last layer; where they differ, the directions
    exchanged, the halves exchanged, the backward half in its own order, other ways to merge them, and the same
    convention of gates in every cell are tried.

    A chaotic network takes rounding to the size of its states within a hundred steps or so: give fewer.

    Args:
        cell: as an importer returned it, a ``Bidirectional`` too, or of your own.
        inputs: shape (T, m), or (batch, T, m). Time before the batch, of the inputs, the output or both, is tried
            where the shapes allow it; what was read so is the agreement's ``layout``.
        output: h after each step, of the last layer, shape (T, n) or (batch, T, n); or whole states. Of the last
            step alone (n,), (batch, n) or (1, batch, n).
        x0: the state before the first step, shape (size,) or (batch, size), as the cell has it, or as
            ``Bidirectional.run`` takes it; 0 by default.
        tolerance: of an error relative to the largest |output|; by default 1e-4 where either is in float32, else
            1e-6.

    Returns:
        The agreement.

    Raises:
        TypeError, ValueError: no cell, shapes that do not fit, values that are not finite.
    """
    both = isinstance(cell, Bidirectional)
    if not both and not callable(cell):
        raise TypeError(f"cell: expected a callable cell(x, u), got {type(cell).__name__}{of_a_file(cell)}")
    if not both and is_foreign(cell):
        raise TypeError(
            f"cell: expected a callable cell(x, u), got a {type(cell).__name__} of another framework: "
            "rd.interop.from_module reads it"
        )
    dtype = parameter_dtype(cell) or jnp.result_type(float)
    kinds = {str(dtype), str(getattr(output, "dtype", dtype))}
    if tolerance is None:
        tolerance = _TOLERANCES["float64" if kinds == {"float64"} else "float32"]
    tolerance = positive("tolerance", tolerance)
    if both:
        errors, fits, tried, best, layout, steps = compared(cell, inputs, output, x0, tolerance)
        return Agreement(best is cell, jnp.asarray(errors), tolerance, fits, tried, best, layout, steps)
    return _searched(cell, _readings(cell, inputs, output, x0, dtype), tolerance)


def _searched(cell: Any, readings: list[tuple[Layout, np.ndarray]], tolerance: float) -> Agreement:
    """The first reading of the axes by which the cell agrees, else the first with a convention that does."""
    first: Agreement | None = None
    for layout, states in readings:
        errors = _errors(cell, layout, states)
        steps = layout.inputs.shape[1]
        agrees = bool((errors <= tolerance).all())
        found = Agreement(
            agrees, jnp.asarray(errors), tolerance, (), 0, cell if agrees else None, layout.words, steps
        )
        if agrees:
            allowed = tolerance * (float(np.abs(layout.output).max()) or 1.0)
            alike, count = _alike(cell, states, layout.inputs, layout.output, allowed)
            return dataclasses.replace(found, fits=alike, tried=count)
        first = first or found
    tried = 0
    for layout, states in readings:
        scale = float(np.abs(layout.output).max()) or 1.0
        fits, count, best = _search(cell, states, layout.inputs, layout.output, tolerance * scale)
        tried += count
        if fits:
            return Agreement(
                False,
                jnp.asarray(_errors(cell, layout, states)),
                tolerance,
                fits,
                tried,
                best,
                layout.words,
                layout.inputs.shape[1],
            )
    assert first is not None
    return dataclasses.replace(first, tried=tried)


def _errors(cell: Any, layout: Layout, states: np.ndarray) -> np.ndarray:
    """Of each step that there is an output of the largest difference over the largest output."""
    truth = layout.output
    run = jax.vmap(lambda x, u: rollout(cell, x, u).states[1:])(states, layout.inputs.astype(states.dtype))
    found = np.asarray(run, float)[:, -truth.shape[1] :]
    part = output_part(cell, truth.shape[2], found.shape[2])
    return np.abs(found[..., part] - truth).max(axis=(0, 2)) / (float(np.abs(truth).max()) or 1.0)


def _readings(cell: Any, inputs: Any, output: Any, x0: Any, dtype: Any) -> list[tuple[Layout, np.ndarray]]:
    """What the axes of inputs and output may be, each with the states that the samples start in."""
    truth, given = (np.asarray(real_array(n, v)) for n, v in (("output", output), ("inputs", inputs)))
    size = state_size(cell)
    part = put_out(cell, size)
    start = np.asarray(real_array("x0", np.zeros(size) if x0 is None else x0), dtype)
    found = layouts(np.asarray(given, dtype), np.asarray(truth, float), (part.stop - part.start, size))
    batch = len(found[0].inputs)
    fitting = [each for each in found if start.shape in ((size,), (len(each.inputs), size))]
    if not fitting:
        raise ValueError(f"x0: expected shape {(size,)} or {(batch, size)}, got {start.shape}")
    return [(each, np.broadcast_to(start, (len(each.inputs), size))) for each in fitting]


def output_part(cell: Any, width: int, size: int) -> slice:
    """Where in the state what is put out lies."""
    return slice(0, size) if width == size else put_out(cell, size)


def _alike(
    cell: Any, states: Any, inputs: Any, truth: np.ndarray, allowed: float
) -> tuple[tuple[str, ...], int]:
    """The conventions that differ from a cell's own in one thing and fit as it does, and how many were tried."""
    own = own_convention(cell)
    if own is None or truth.shape[2] != layers_of(cell)[-1].W.shape[1]:
        return (), 0
    tried = [one for one in conventions(cell, own) if is_near(one, own) and is_another(cell, one, own)]
    found = fitting(cell, tried, np.asarray(states, float), np.asarray(inputs, float), truth, allowed)
    return tuple(described(cell, one, own) for one in found), len(tried)


def _search(
    cell: Any, states: Any, inputs: Any, truth: np.ndarray, allowed: float
) -> tuple[tuple[str, ...], int, Any]:
    """What fits, in words, how many were tried, and a cell of the first."""
    own = own_convention(cell)
    if own is None or truth.shape[2] != layers_of(cell)[-1].W.shape[1]:
        return (), 0, None
    start, given = np.asarray(states, float), np.asarray(inputs, float)
    tried = conventions(cell, own)
    found = fitting(cell, tried, start, given, truth, allowed)
    fits = tuple(described(cell, one, own) for one in found)
    if found:
        return fits, len(tried), cell_by(cell, found[0])
    if own.function in {one.function for one in tried} and fitting(
        cell, [own], start, given[:, ::-1], truth[:, ::-1], allowed
    ):
        return ("inputs and outputs in reverse order",), len(tried) + 1, cell
    return (), len(tried) + 1, None
