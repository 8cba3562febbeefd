"""The derivative ∂y_T/∂u_k of a cell, or of a network that reads in both directions, in float64 and scaled."""

import abc
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnn_dynamics.cells.bidirectional import Bidirectional, BidirectionalRun
from rnn_dynamics.cells.rollout import Trajectory, rollout
from rnn_dynamics.cells.stack import state_size
from rnn_dynamics.gradients.bidirectional.passes import place_of, rows_through
from rnn_dynamics.gradients.credit.inputs import input_rows
from rnn_dynamics.interop.audits.partings import Rows
from rnn_dynamics.interop.checks.checking import output_part
from rnn_dynamics.numerics.scaled_on_host import matrices_of
from rnn_dynamics.numerics.texts import counted
from rnn_dynamics.numerics.validation import concrete_array

_FLOAT64 = np.dtype(np.float64)


class Derivative(abc.ABC):
    """A map in float64, and what it puts out; x64 is on only while it computes."""

    @abc.abstractmethod
    def errors(self, driven: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Of each step the largest |output − ours| over the largest |output|."""

    @abc.abstractmethod
    def rows(self, driven: np.ndarray) -> Rows:
        """∂⟨v, y_T⟩/∂u_k of each cotangent v, lag 0 first."""


def derivative_of(cell: Any, x0: Any, readout: Any, width: int, cotangents: np.ndarray) -> Derivative:
    """The derivative of a map whose outputs have ``width`` entries.

    Args:
        cell: a cell or a ``Bidirectional``.
        x0: the first state, or ``None``.
        readout: the outputs of a state, or of y of a ``Bidirectional``; ``None`` where they are part of it.
        width: entries of an output.
        cotangents: shape (probes, width).

    Raises:
        TypeError, ValueError: a first state that does not fit, outputs that are no part of the state.
    """
    if isinstance(cell, Bidirectional):
        return _OfBoth(cell, x0, readout, width, cotangents)
    return _OfCell(cell, x0, readout, width, cotangents)


def _wide(leaf: Any) -> Any:
    is_float = hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating)
    # on the host: compiles nothing
    return jax.device_put(np.asarray(leaf, _FLOAT64)) if is_float else leaf


def _apart(found: Any, outputs: np.ndarray) -> np.ndarray:
    found = np.asarray(found).reshape(len(found), -1)
    if found.shape[1] != outputs.shape[1]:
        raise ValueError(
            f"readout: expected {outputs.shape[1]} entries, as the module puts out, got {found.shape[1]}"
        )
    scale = float(np.abs(outputs).max()) or 1.0
    return np.abs(found - outputs).max(axis=1) / scale


def _read(readout: Any, vectors: Any, what: str) -> Any:
    """The outputs that the readout makes of vectors, shape (steps, …)."""
    try:
        return jax.vmap(readout)(vectors)
    except Exception as error:  # a function of the user's, which may be one of another framework
        brief = " ".join(str(error).split())[:120]
        raise ValueError(
            f"readout: expected a function of JAX of {what}, got {type(error).__name__}: {brief}"
        ) from error


def _needs_readout(width: int, what: str) -> str:
    return (
        f"readout: expected a function that makes the module's {counted(width, 'output')} of {what}, got None; "
        "or give the recurrent layer itself as the module"
    )


class _OfBoth(Derivative):
    """A network that reads in both directions."""

    def __init__(
        self, network: Bidirectional, x0: Any, readout: Any, width: int, cotangents: np.ndarray
    ) -> None:
        self.readout, self.cotangents, self.x0 = readout, cotangents, x0
        with jax.enable_x64(True):
            self.network = jax.tree_util.tree_map(_wide, network)
        if readout is None and network.width() != width:
            raise ValueError(_needs_readout(width, self._what()))

    def _what(self) -> str:
        return f"the network's y of {self.network.width()} entries"

    def _run(self, driven: np.ndarray) -> BidirectionalRun:
        return self.network.run(jax.device_put(driven.astype(_FLOAT64)), self.x0)

    def errors(self, driven: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Of each step the largest |output − ours| over the largest |output|."""
        if len(outputs) != len(driven):
            raise ValueError(
                f"module: expected the outputs of all "
                f"{counted(len(driven), 'step')} of a network that reads in both "
                f"directions (return_sequences=True), got those of {len(outputs)}"
            )
        with jax.enable_x64(True):
            found = self._run(driven).outputs
            return _apart(
                found if self.readout is None else _read(self.readout, found, self._what()), outputs
            )

    def rows(self, driven: np.ndarray) -> Rows:
        """∂⟨v, y_T⟩/∂u_k of each cotangent v, lag 0 first."""
        with jax.enable_x64(True):
            run, seen = self._run(driven), self.cotangents
            if self.readout is not None:
                jacobian = np.asarray(jax.jacrev(self.readout)(run.outputs[-1]))
                seen = np.matmul(seen, jacobian.reshape(seen.shape[1], -1))
            last = np.full(len(seen), run.steps - 1)
            places = place_of(run, "of", "output"), place_of(run, "by", "input")
            (found,) = rows_through(run, seen.astype(_FLOAT64), last, *places)
            found = matrices_of(found)
            return Rows(np.asarray(found.unit)[::-1], np.asarray(found.exponent)[::-1])


class _OfCell(Derivative):
    """The cell in float64, and what of its state the module puts out; x64 is on only while it computes."""

    def __init__(self, cell: Any, x0: Any, readout: Any, width: int, cotangents: np.ndarray) -> None:
        self.readout, self.cotangents = readout, cotangents
        with jax.enable_x64(True):
            self.cell = jax.tree_util.tree_map(_wide, cell)
            try:
                size = state_size(self.cell)
            except (TypeError, ValueError):
                size = width if x0 is None else np.size(x0)
            self.start = np.zeros(size) if x0 is None else concrete_array("x0", x0, ndim=1).astype(float)
        if self.start.shape != (size,):
            raise ValueError(f"x0: expected shape {(size,)}, got {self.start.shape}")
        try:
            self.part = None if readout is not None else output_part(self.cell, width, size)
            fits = self.part is None or np.zeros(size)[self.part].size == width
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(_needs_readout(width, self._what()))

    def _what(self) -> str:
        parts = ", [h, c]" if "LSTM" in type(self.cell).__name__ else ""
        return f"the cell's state of {counted(len(self.start), 'entry', 'entries')}{parts}"

    def _run(self, driven: np.ndarray) -> Trajectory:
        return rollout(self.cell, jax.device_put(self.start), jax.device_put(driven.astype(_FLOAT64)))

    def errors(self, driven: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Of each step the largest |output − ours| over the largest |output|."""
        with jax.enable_x64(True):
            run = self._run(driven)
            states = np.asarray(run.states)[1:] if len(outputs) > 1 else np.asarray(run.states)[-1:]
            found = (
                states[:, self.part] if self.part is not None else _read(self.readout, states, self._what())
            )
            return _apart(found, outputs)

    def rows(self, driven: np.ndarray) -> Rows:
        """∂⟨v, y_T⟩/∂u_k of each cotangent v, lag 0 first."""
        with jax.enable_x64(True):
            run = self._run(driven)
            if self.part is not None:
                seen = np.zeros((len(self.cotangents), len(self.start)))
                seen[:, self.part] = self.cotangents
            else:
                jacobian = np.asarray(jax.jacrev(self.readout)(run.states[-1]))
                seen = np.matmul(self.cotangents, jacobian.reshape(self.cotangents.shape[1], -1))
            found = input_rows(run, jax.device_put(seen.astype(_FLOAT64)))
            return Rows(np.asarray(found.unit)[::-1], np.asarray(found.exponent)[::-1])
