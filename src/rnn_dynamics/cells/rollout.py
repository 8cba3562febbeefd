"""Any recurrent map run through ``lax.scan`` to a ``Trajectory``, which carries its cell; or to several."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, ClassVar, overload

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from rnn_dynamics.cells.arguments import checked_start, reads_sequences
from rnn_dynamics.cells.pytree import join, split
from rnn_dynamics.cells.saturation import exact_slopes
from rnn_dynamics.cells.sequences import dataset_of, separate, starts_of
from rnn_dynamics.numerics import padding as time_axes
from rnn_dynamics.numerics.batching import power_of_two_above, power_of_two_below
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.described import described
from rnn_dynamics.numerics.reductions import all_finite
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.texts import counted

# Entries of the states of the runs that are computed side by side.
_LARGEST_AT_ONCE = 2**24


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Trajectory(Result):
    """The states that a cell ran through.

    ``jax.vmap`` over ``rollout`` gives one with the axes of the batch in front of every array, the cell's included;
    ``batch`` has them.

    Attributes:
        cell: the cell that made it; what is computed from a trajectory uses this one.
        inputs: the inputs, leading axis T, or ``None``.
        states: x_0 … x_T, shape (T+1, n), or (T+1,) for a single neuron.
        first_nonfinite: the index of the first state that is not finite, or −1.
    """

    cell: Any
    inputs: Any
    states: Float[Array, "steps+1 ..."]
    first_nonfinite: Int[Array, ""]

    picture: ClassVar = "trajectory"

    @property
    def batch(self) -> tuple[int, ...]:
        """The axes of the batch, () for a single run."""
        return jnp.shape(self.first_nonfinite)

    @property
    def steps(self) -> int:
        """The number of steps, T."""
        return self.states.shape[len(self.batch)] - 1

    @property
    def initial(self) -> Float[Array, "..."]:
        """The first state x_0; of a batch, that of each run."""
        return self._at(0)

    @property
    def final(self) -> Float[Array, "..."]:
        """The last state x_T; of a batch, that of each run."""
        return self._at(-1)

    def _at(self, step: int) -> Array:
        return self.states[(*(slice(None) for _ in self.batch), step)]

    def __repr__(self) -> str:
        shape = "×".join(map(str, self.states.shape[len(self.batch) + 1 :])) or "1"
        runs = f"{'×'.join(map(str, self.batch))} runs, " if self.batch else ""
        text = (
            f"Trajectory({described(self.cell)}, {runs}"
            f"{counted(self.steps, 'step')} of {shape} {self.states.dtype}"
        )
        if isinstance(self.first_nonfinite, Tracer):
            return text + ")"
        first = np.asarray(self.first_nonfinite)
        if self.batch and (first >= 0).any():
            text += f", {int((first >= 0).sum())} of them not finite from step {int(first[first >= 0].min())}"
        elif not self.batch and first >= 0:
            text += f", not finite from step {int(first)}"
        return text + ")"


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Trajectories(Sequence, Result):
    """Runs of one cell, of any lengths: a sequence of ``Trajectory``.

    Attributes:
        runs: each a ``Trajectory`` of its own length, in the order of the inputs.
    """

    runs: tuple[Trajectory, ...]

    picture: ClassVar = "trajectory"

    @property
    def cell(self) -> Any:
        """The cell that made the runs."""
        return self.runs[0].cell

    @property
    def lengths(self) -> Int[np.ndarray, " runs"]:
        """The number of steps T of each run."""
        return np.array([run.steps for run in self.runs])

    @property
    def mask(self) -> Bool[np.ndarray, "runs longest+1"]:
        """Marks which of the padded ``states`` belong to a run."""
        return np.arange(self.lengths.max() + 1)[None] <= self.lengths[:, None]

    @property
    def states(self) -> Float[np.ndarray, "runs longest+1 ..."]:
        """The states x_0 … x_T of each run, NaN behind its end."""
        first = self.runs[0].states
        padded = np.full((len(self), int(self.lengths.max()) + 1, *first.shape[1:]), np.nan, first.dtype)
        for row, run in zip(padded, self.runs, strict=True):
            row[: run.steps + 1] = run.states
        return padded

    @property
    def initial(self) -> Float[np.ndarray, "runs ..."]:
        """The first state x_0; of a batch, that of each run."""
        return np.stack([np.asarray(run.states)[0] for run in self.runs])

    @property
    def final(self) -> Float[np.ndarray, "runs ..."]:
        """The last state x_T; of a batch, that of each run."""
        return np.stack([np.asarray(run.states)[-1] for run in self.runs])

    @property
    def first_nonfinite(self) -> Int[np.ndarray, " runs"]:
        """Of each the index of the first state that is not finite, or −1."""
        return np.array([np.asarray(run.first_nonfinite) for run in self.runs])

    def __len__(self) -> int:
        return len(self.runs)

    def to_xarray(self) -> Any:
        """An ``xarray.Dataset``: states (run, time, unit), NaN behind each end, the lengths, and inputs of numbers.

        Raises:
            ImportError: xarray is not installed.
        """
        return dataset_of(self)

    @overload
    def __getitem__(self, index: int) -> Trajectory: ...
    @overload
    def __getitem__(self, index: slice) -> "Trajectories": ...
    def __getitem__(self, index: Any) -> Any:
        return Trajectories(self.runs[index]) if isinstance(index, slice) else self.runs[index]

    def __repr__(self) -> str:
        steps = sorted({run.steps for run in self.runs})
        shown = f"{steps[0]} to {steps[-1]}" if len(steps) > 1 else f"{steps[0]}"
        shape = "×".join(map(str, self.runs[0].states.shape[1:])) or "1"
        what = f"{len(self)} runs of {counted(shown, 'step')} of {shape} {self.runs[0].states.dtype}"
        return f"Trajectories({described(self.cell)}, {what})"


def _advance(cell: Any, x: Array, u: Any) -> tuple[Array, Array]:
    following = cell(x, u)
    return following, following


@lean(static_argnums=(0, 4))
def _run(
    static: Any, arrays: Any, x0: Array, inputs: Any, steps: int, inside: Array | None = None
) -> tuple[Array, Array]:
    cell = join(static, arrays)
    advance = functools.partial(_advance, exact_slopes(cell))
    _, later = time_axes.scan(advance, x0, inputs, inside, length=steps)
    states = jnp.concatenate([x0[None], later])
    finite = all_finite(states.reshape(steps + 1, -1), axis=1)
    first = jnp.where(finite.all(), -1, jnp.argmin(finite)).astype(jnp.int32)
    return states, first


@lean(static_argnums=(0, 4))
def _run_side_by_side(
    static: Any, arrays: Any, starts: Array, inputs: Any, steps: int
) -> tuple[Array, Array]:
    return jax.vmap(lambda x, u: _run(static, arrays, x, u, steps))(starts, inputs)


@overload
def rollout(cell: Any, x0: Any = None, inputs: Any = None, *, steps: int | None = None) -> Trajectory: ...
@overload
def rollout(
    cell: Any,
    x0: Any = None,
    inputs: Any = None,
    *,
    steps: int | None = None,
    lengths: Any = None,
    mask: Any = None,
) -> Any: ...
def rollout(
    cell: Any,
    x0: Any = None,
    inputs: Any = None,
    *,
    steps: int | None = None,
    lengths: Any = None,
    mask: Any = None,
) -> Any:
    """Run a recurrent map, x_{t+1} = cell(x_t, u_t), from x_0.

    Args:
        cell: any callable pytree ``cell(x, u) -> x_next`` on one state. A bare function or closure works, but
            compiles anew when made anew and has no parameter gradient;
            ``jax.tree_util.Partial(step, params)`` has neither fault. Of a ``Bidirectional`` this is its ``run``.
        x0: the first state, shape (n,), or () for a single neuron; zeros by default, where the cell tells how many.
            Of several sequences one for all, or one for each along a leading axis.
        inputs: pytree of arrays with a leading time axis of length T, or ``None``. A list of such is several
            sequences, of any lengths; a cell of one's own that takes a list as its input gets it as one sequence.
        steps: T; needed where there are no inputs, 0 allowed.
        lengths: T of each of several sequences, whose padded inputs have shape (sequences, steps, …); what lies
            behind a sequence's end is never looked at.
        mask: in place of lengths, shape (sequences, steps): True at the first T steps of each, False behind.

    Returns:
        The trajectory, T+1 states. States past a divergence stay visible (inf or NaN); ``first_nonfinite``
        says where they begin. Differentiate through ``rollout`` to reach the parameters. Of several sequences
        ``Trajectories``, a sequence of them.

    Raises:
        TypeError: ``cell`` is not callable, a dtype does not fit, ``steps`` is no integer.
        ValueError: shapes or lengths that do not fit, values that are not finite, steps < 0, a mask with steps
            inside behind ones outside.

    States are of the widest floating dtype among the cell's arrays; starts and inputs are cast to it, a start in
    float64 that loses digits with a ``PrecisionWarning``, once. A cell without floating arrays takes x0's.

    T is the length of the compiled scan. Runs are padded to the next power of two and cut back, the steps of the
    padding skipped where they are dear (not under ``jit`` or ``grad``), so that a loop over T compiles a few
    programs. A repeated shape compiles nothing.
    """
    if reads_sequences(cell):
        for name, value in (("steps", steps), ("lengths", lengths), ("mask", mask)):
            if value is not None:
                raise ValueError(
                    f"{name}: expected None of a Bidirectional, which reads one sequence to its end: "
                    f"[cell.run(u[:n]) for u, n in zip(inputs, lengths)]; got {described(value)}"
                )
        return cell.run(inputs, x0)
    several = separate(cell, x0, inputs, lengths, mask) if callable(cell) else None
    if several is not None:
        if steps is not None:
            raise ValueError(f"steps: expected None, as each sequence has its own length, got {steps}")
        return _rollout_each(cell, x0, several)
    state, inputs, steps = checked_start(cell, x0, inputs, steps)
    static, arrays = split(cell)
    if not _may_pad(steps, state, arrays, inputs):
        return Trajectory(cell, inputs, *_run(static, arrays, state, inputs, steps))
    extra = time_axes.longer(steps) - steps
    longer = time_axes.padded(inputs, 0, steps, after=extra)
    is_cheap = (steps + extra) * state.size <= time_axes.LARGEST_PADDED
    inside = None if is_cheap else time_axes.inside(steps, after=extra)
    states, first = _run(static, arrays, state, longer, steps + extra, inside)
    first = np.asarray(first)
    first = jax.device_put(np.where(first > steps, -1, first).astype(first.dtype))
    return Trajectory(cell, inputs, time_axes.cut(states, 0, steps + 1), first)


def _may_pad(steps: int, state: Array, arrays: Any, inputs: Any) -> bool:
    given = sum(leaf.size for leaf in jax.tree_util.tree_leaves(inputs)) // max(steps, 1)
    return time_axes.may_pad(steps, max(state.size, given), time_axes.LARGEST_SKIPPED, arrays, state, inputs)


def _checked_each(cell: Any, x0: Any, several: list[tuple[Any, int | None]]) -> list[tuple[Array, Any, int]]:
    """``checked_start`` of every sequence; an error names the sequence by its number."""
    starts = starts_of(cell, x0, [sequence for sequence, _ in several])
    return [
        checked_start(cell, start, sequence, length, ("x0", f"inputs[{i}]"))
        for i, (start, (sequence, length)) in enumerate(zip(starts, several, strict=True))
    ]


def _rollout_each(cell: Any, x0: Any, several: list[tuple[Any, int | None]]) -> Trajectories:
    """Sequences of one padded length run side by side, as many as a power of two."""
    given = _checked_each(cell, x0, several)
    arrays = split(cell)[1]
    groups: dict[int, list[int]] = {}
    for i, (state, inputs, steps) in enumerate(given):
        length = time_axes.longer(steps) if _may_pad(steps, state, arrays, inputs) else 0
        groups.setdefault(length, []).append(i)
    runs: dict[int, Trajectory] = {}
    for length, group in groups.items():
        size = max(1, _LARGEST_AT_ONCE // max(length * given[group[0]][0].size, 1))
        size = power_of_two_below(min(size, len(group))) if size < len(group) else len(group)
        for at in range(0, len(group), size):
            chosen = group[at : at + size]
            runs |= dict(zip(chosen, _side_by_side(cell, [given[i] for i in chosen], length), strict=True))
    return Trajectories(tuple(runs[i] for i in range(len(given))))


def _side_by_side(cell: Any, given: list[tuple[Array, Any, int]], length: int) -> list[Trajectory]:
    """The runs of some starts and inputs, padded to one length; one after the other where that is 0."""
    static, arrays = split(cell)
    if not length:
        return [Trajectory(cell, u, *_run(static, arrays, x, u, steps)) for x, u, steps in given]
    rows = [(np.asarray(x), time_axes.padded(u, 0, steps, after=length - steps)) for x, u, steps in given]
    rows += rows[:1] * (power_of_two_above(len(rows)) - len(rows))
    starts, inputs = jax.tree_util.tree_map(lambda *leaves: np.stack(leaves), *rows)
    states, firsts = map(np.asarray, _run_side_by_side(static, arrays, starts, inputs, length))
    return [
        Trajectory(
            cell, u, *jax.device_put((states[i, : steps + 1], np.where(firsts[i] > steps, -1, firsts[i])))
        )
        for i, (_, u, steps) in enumerate(given)
    ]
