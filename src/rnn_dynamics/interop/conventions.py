"""What the same weights of an LSTM, a GRU or an Elman network can mean, and which meaning gives known outputs."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from rnn_dynamics.cells import activations
from rnn_dynamics.cells.gated import GRU, LSTM
from rnn_dynamics.cells.vanilla import ElmanRNN


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return (1 + np.tanh(z / 2)) / 2


_GATES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sigmoid": _sigmoid,
    "hard_sigmoid_5": lambda z: np.clip(z / 5 + 0.5, 0, 1),
    "hard_sigmoid_6": lambda z: np.clip(z / 6 + 0.5, 0, 1),
}
_ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0),
    "logistic": _sigmoid,
    "linear": lambda z: z,
}
_LETTERS = {LSTM: "ifgo", GRU: "rzn", ElmanRNN: " "}


class Convention(NamedTuple):
    """One meaning of the weights that a cell holds.

    Attributes:
        order: of each gate, in the library's order, the block of rows that holds it.
        transposed: of W and of W_in, whether rows and columns of each block are exchanged.
        offset: added to the bias of an LSTM's forget gate.
        turned: whether h⁺ = (1 − z) h + z n in a GRU.
        reset: "before" or "after", of a GRU.
        function: in the place of σ in gates, or of φ in an Elman network.
    """

    order: tuple[int, ...]
    transposed: tuple[bool, bool]
    offset: float
    turned: bool
    reset: str
    function: str


def own_convention(cell: Any) -> Convention | None:
    """What the cell itself computes; ``None`` where the meanings of its weights are not looked through."""
    letters = _LETTERS.get(type(cell))
    if letters is None or cell.W_in is None or getattr(cell, "peepholes", None) is not None:
        return None
    if type(cell) is ElmanRNN:
        return Convention((0,), (False, False), 0.0, False, "", cell.activation.name)
    inner, gates = getattr(cell, "activation", None), getattr(cell, "gate_activation", None)
    if inner is not None and inner.name != "tanh":
        return None
    function = "sigmoid" if gates is None or gates.name == "logistic" else gates.name
    order, reset = tuple(range(len(letters))), getattr(cell, "reset", "")
    return Convention(order, (False, False), 0.0, False, reset, function)


def conventions(cell: Any, own: Convention) -> list[Convention]:
    """All that are tried, those that differ in fewer ways from the cell's own first, which is not among them."""
    kind, square = type(cell), cell.W.shape[1] == cell.W_in.shape[1]
    both = (False, True)
    found = itertools.product(
        itertools.permutations(own.order),
        [(w, v) for w in both for v in (both if square else (False,))],
        (0.0, 1.0, -1.0) if kind is LSTM else (0.0,),
        both if kind is GRU else (False,),
        ("before", "after") if kind is GRU else ("",),
        _ACTIVATIONS if kind is ElmanRNN else _GATES,
    )
    made = [Convention(*parts) for parts in found]
    return sorted((one for one in made if one != own), key=lambda one: _distance(one, own))


def _distance(one: Convention, own: Convention) -> int:
    return sum(a != b for a, b in zip(one, own, strict=True))


def described(cell: Any, one: Convention, own: Convention) -> str:
    """In words, how a convention differs from the cell's own."""
    letters = _LETTERS[type(cell)]
    words = []
    if one.order != own.order:
        blocks = [letters[one.order.index(block)] for block in own.order]
        words.append(f"gates in the order {', '.join(blocks)}")
    if one.turned:
        words.append("z the other way round")
    if one.reset != own.reset:
        words.append(f"reset {one.reset}")
    if one.offset:
        words.append(f"1 {'added to' if one.offset > 0 else 'taken from'} the forget gate")
    if any(one.transposed):
        names = [name for name, turned in zip(("W", "W_in"), one.transposed, strict=True) if turned]
        words.append(f"{' and '.join(names)} with rows for columns")
    if one.function != own.function:
        words.append(f"{one.function} in the place of {own.function}")
    return "; ".join(words)


class Blocks(NamedTuple):
    """A cell's weights gate by gate: W (k, n, n), b (k, n), W_in (k, n, m) and a GRU's b_hidden (n,)."""

    W: np.ndarray
    b: np.ndarray
    W_in: np.ndarray
    b_hidden: np.ndarray


def blocks_of(cell: Any) -> Blocks:
    """The weights of a cell in float64."""
    W, b, W_in = (np.asarray(value, float) for value in (cell.W, cell.b, cell.W_in))
    units = W.shape[1]
    hidden = getattr(cell, "b_hidden", None)
    hidden = np.zeros(units) if hidden is None else np.asarray(hidden, float)
    return Blocks(
        W.reshape(-1, units, units), b.reshape(-1, units), W_in.reshape(-1, units, W_in.shape[1]), hidden
    )


def read_by(blocks: Blocks, one: Convention) -> Blocks:
    """The weights as the library's own cells hold them, of a convention of theirs."""
    W, W_in = (
        np.swapaxes(array, 1, 2) if turned else array
        for array, turned in zip((blocks.W, blocks.W_in), one.transposed, strict=True)
    )
    b, hidden, order = blocks.b, blocks.b_hidden, list(one.order)
    if hidden.any() and (one.reset == "before" or order[2] != 2):
        b, hidden = b.copy(), np.zeros_like(hidden)
        b[2] += blocks.b_hidden
    W, b, W_in = W[order], b[order], W_in[order]
    if one.offset:
        b[1] += one.offset
    if one.turned:
        W[1], b[1], W_in[1] = -W[1], -b[1], -W_in[1]
    return Blocks(W, b, W_in, hidden)


def cell_by(cell: Any, one: Convention) -> Any:
    """A cell of a convention, with the weights of that one; ``None`` where the library has no such cell."""
    parts, dtype = read_by(blocks_of(cell), one), cell.W.dtype
    W, b, W_in = (
        array.reshape(-1, *array.shape[2:]).astype(dtype) for array in (parts.W, parts.b, parts.W_in)
    )
    if type(cell) is ElmanRNN:
        return ElmanRNN(W, b, W_in, activation=one.function)
    if type(cell) is LSTM:
        made: Any = LSTM(W, b, W_in)
    else:
        hidden = parts.b_hidden.astype(dtype) if one.reset == "after" and parts.b_hidden.any() else None
        made = GRU(W, b, W_in, hidden, reset=one.reset)
    if one.function == "sigmoid":
        return made
    if "gate_activation" not in {field.name for field in dataclasses.fields(made)}:
        return None
    object.__setattr__(made, "gate_activation", activations.get(one.function))
    return made


def outputs_by(
    cell: Any, blocks: Blocks, one: Convention, x0: np.ndarray, inputs: np.ndarray
) -> Iterator[Any]:
    """h after each step, shape (batch, n), by a convention, from states (batch, size) and inputs (batch, T, m)."""
    parts = read_by(blocks, one)
    units = parts.b.shape[1]
    h, c = x0[:, :units], x0[:, units:]
    for u in np.swapaxes(inputs, 0, 1):
        driven = np.einsum("kij,bj->kbi", parts.W_in, u) + parts.b[:, None]
        if type(cell) is ElmanRNN:
            h = _ACTIVATIONS[one.function](driven[0] + np.einsum("ij,bj->bi", parts.W[0], h))
        elif type(cell) is LSTM:
            z = driven + np.einsum("kij,bj->kbi", parts.W, h)
            i, f, o = _GATES[one.function](z[[0, 1, 3]])
            c = f * c + i * np.tanh(z[2])
            h = o * np.tanh(c)
        else:
            r, z = _GATES[one.function](driven[:2] + np.einsum("kij,bj->kbi", parts.W[:2], h))
            if one.reset == "before":
                last = np.einsum("ij,bj->bi", parts.W[2], r * h)
            else:
                last = r * (np.einsum("ij,bj->bi", parts.W[2], h) + parts.b_hidden)
            h = (1 - z) * np.tanh(driven[2] + last) + z * h
        yield h


def fitting(
    cell: Any,
    tried: Sequence[Convention],
    x0: np.ndarray,
    inputs: np.ndarray,
    output: np.ndarray,
    allowed: float,
) -> list[Convention]:
    """The conventions whose h differs from the output by no more than is allowed at any step.

    Args:
        cell: that holds the weights.
        tried: the conventions.
        x0: states, shape (batch, size).
        inputs: shape (batch, T, m).
        output: h after each step, shape (batch, T, n).
        allowed: the largest difference.
    """
    blocks = blocks_of(cell)
    truth = np.swapaxes(output, 0, 1)
    return [
        one
        for one in tried
        if all(
            np.abs(h - y).max() <= allowed
            for h, y in zip(outputs_by(cell, blocks, one, x0, inputs), truth, strict=False)
        )
    ]
