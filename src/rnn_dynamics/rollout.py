"""Any recurrent map run through ``lax.scan`` to a ``Trajectory``, which carries its cell."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from rnn_dynamics import lengths
from rnn_dynamics.cells.image import checked_image
from rnn_dynamics.cells.slopes import exact_slopes
from rnn_dynamics.cells.structure import join, parameter_dtype, split
from rnn_dynamics.results import Result
from rnn_dynamics.validation import count, real_array

__all__ = ["Trajectory", "rollout"]


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["cell", "inputs", "states", "first_nonfinite"],
    meta_fields=[],
)
@dataclasses.dataclass(frozen=True)
class Trajectory(Result):
    """The states that a cell ran through.

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

    @property
    def steps(self) -> int:
        """T, the number of steps."""
        return self.states.shape[0] - 1

    @property
    def initial(self) -> Float[Array, "..."]:
        """x_0."""
        return self.states[0]

    @property
    def final(self) -> Float[Array, "..."]:
        """x_T."""
        return self.states[-1]

    def plot(self, ax: Any = None, **options: Any) -> Any:
        """The states in their plane, or in that of two principal components: ``plots.trajectory``."""
        from rnn_dynamics import plots

        return plots.trajectory(self, ax, **options)

    def __repr__(self) -> str:
        shape = "×".join(map(str, self.states.shape[1:])) or "1"
        text = f"Trajectory({self.cell!r}, {self.steps} steps of {shape} {self.states.dtype}"
        if not isinstance(self.first_nonfinite, Tracer) and self.first_nonfinite.ndim == 0:
            first = int(self.first_nonfinite)
            text += f", not finite from step {first}" if first >= 0 else ""
        return text + ")"


def _input_length(inputs: Any) -> int | None:
    lengths: set[int] = set()
    for leaf in jax.tree_util.tree_leaves(inputs):
        if not jnp.ndim(leaf):
            raise ValueError("inputs: expected a leading time axis on every leaf, got a scalar")
        lengths.add(jnp.shape(leaf)[0])
    if len(lengths) > 1:
        raise ValueError(f"inputs: expected one length of time, got {sorted(lengths)}")
    return lengths.pop() if lengths else None


def _checked_inputs(inputs: Any, dtype: Any) -> Any:
    """Inputs as arrays, lists and numbers too; floating leaves are finite and of the state's dtype.

    Arrays of integers, bools and keys stay what they are: a cell may use them as symbols.
    """

    def convert(leaf: Any) -> Any:
        if hasattr(leaf, "dtype") and (leaf.dtype == bool or not jnp.issubdtype(leaf.dtype, jnp.inexact)):
            return jnp.asarray(leaf)
        return real_array("inputs", leaf).astype(dtype)

    is_list = isinstance(inputs, list | tuple) and not any(hasattr(i, "dtype") for i in inputs)
    if is_list and inputs and all(isinstance(i, int | float | list | tuple) for i in inputs):
        return convert(inputs)
    return jax.tree_util.tree_map(convert, inputs)


def _step_count(inputs: Any, steps: Any) -> int:
    length = _input_length(inputs)
    if steps is None:
        if length is None:
            raise ValueError("steps: expected a number of steps where there are no inputs, got None")
        return length
    steps = count("steps", steps)
    if length is not None and length != steps:
        raise ValueError(f"steps: expected the length of the inputs, {length}, or None, got {steps}")
    return steps


def _initial_state(cell: Any, x0: Any) -> jax.Array:
    """x0 in the widest floating dtype of it and the cell's arrays; numbers and lists follow the cell."""
    state = real_array("x0", x0)
    if not state.size:
        raise ValueError(f"x0: expected at least one unit, got shape {state.shape}")
    of_cell = parameter_dtype(cell)
    if of_cell is None:
        return state
    given = hasattr(x0, "dtype") and jnp.issubdtype(x0.dtype, jnp.floating)
    return state.astype(np.result_type(state.dtype, of_cell) if given else of_cell)


def checked_start(cell: Any, x0: Any, inputs: Any, steps: Any) -> tuple[jax.Array, Any, int]:
    """x_0, the inputs and T as ``rollout`` takes them, all checked against the cell.

    Raises:
        TypeError, ValueError: as ``rollout``.
    """
    if not callable(cell):
        raise TypeError(f"cell: expected a callable cell(x, u), got {type(cell).__name__}")
    state = _initial_state(cell, x0)
    inputs = _checked_inputs(inputs, state.dtype)
    steps = _step_count(inputs, steps)
    first = jax.tree_util.tree_map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), inputs)
    checked_image(cell, state, first, ("x0", "inputs"))
    return state, inputs, steps


def _advance(cell: Any, x: Array, u: Any) -> tuple[Array, Array]:
    following = cell(x, u)
    return following, following


@functools.partial(jax.jit, static_argnums=(0, 4))
def _run(static: Any, arrays: Any, x0: Array, inputs: Any, steps: int) -> tuple[Array, Array]:
    cell = join(static, arrays)
    _, later = jax.lax.scan(functools.partial(_advance, exact_slopes(cell)), x0, inputs, length=steps)
    states = jnp.concatenate([x0[None], later])
    finite = jnp.isfinite(states).reshape(steps + 1, -1).all(axis=1)
    first = jnp.where(finite.all(), -1, jnp.argmin(finite)).astype(jnp.int32)
    return states, first


def rollout(cell: Any, x0: Any, inputs: Any = None, *, steps: int | None = None) -> Trajectory:
    """Run a recurrent map, x_{t+1} = cell(x_t, u_t), from x_0.

    Args:
        cell: any callable pytree ``cell(x, u) -> x_next`` on one state. A bare function or closure works, but
            compiles anew when made anew and has no parameter gradient;
            ``jax.tree_util.Partial(step, params)`` has neither fault.
        x0: the first state, shape (n,), or () for a single neuron. Numbers and lists take the cell's dtype.
        inputs: pytree of arrays with a leading time axis of length T, or ``None``.
        steps: T; needed where there are no inputs, 0 allowed.

    Returns:
        The trajectory, T+1 states. States past a divergence stay visible (inf or NaN); ``first_nonfinite``
        says where they begin. Differentiate through ``rollout`` to reach the parameters.

    Raises:
        TypeError: ``cell`` is not callable, a dtype does not fit, ``steps`` is no integer.
        ValueError: shapes or lengths that do not fit, values that are not finite, steps < 0.

    T is the length of the compiled scan. Short runs of small networks are padded to the next power of two and
    cut back (not under ``jit`` or ``grad``), so that a loop over T compiles a few programs; others compile for
    every T. A repeated shape compiles nothing.
    """
    state, inputs, steps = checked_start(cell, x0, inputs, steps)
    static, arrays = split(cell)
    extra = lengths.surplus(steps, state.size, lengths.LARGEST_PADDED, arrays, state, inputs)
    if not extra:
        return Trajectory(cell, inputs, *_run(static, arrays, state, inputs, steps))
    longer = lengths.padded(inputs, 0, steps, after=extra)
    states, first = _run(static, arrays, state, longer, steps + extra)
    first = np.asarray(first)
    first = jax.device_put(np.where(first > steps, -1, first).astype(first.dtype))
    return Trajectory(cell, inputs, lengths.cut(states, 0, steps + 1), first)
