"""What the same weights of LSTMs, GRUs or Elman networks can mean, and which meaning gives known outputs."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from rnn_dynamics.cells import activations
from rnn_dynamics.cells.gated import GRU, LSTM
from rnn_dynamics.cells.projected import ProjectedLSTM
from rnn_dynamics.cells.stack import Stack
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
_LETTERS = {LSTM: "ifgo", ProjectedLSTM: "ifgo", GRU: "rzn", ElmanRNN: " "}


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


def layers_of(cell: Any) -> tuple[Any, ...]:
    """The cells of a stack, the one next to the input first; of any other cell itself."""
    return cell.cells if isinstance(cell, Stack) else (cell,)


def own_convention(cell: Any) -> Convention | None:
    """What the cell itself computes; ``None`` where the meanings of its weights are not looked through.

    Layers of a stack have one convention, that of the framework which they come from.
    """
    if isinstance(cell, Stack):
        own = {_own_convention(layer) for layer in cell.cells}
        is_alike = len({type(layer) for layer in cell.cells}) == len(own) == 1 and cell.reads is None
        return own.pop() if is_alike else None
    return _own_convention(cell)


def _own_convention(cell: Any) -> Convention | None:
    letters = _LETTERS.get(type(cell))
    if letters is None or cell.W_in is None:
        return None
    if type(cell) is ElmanRNN:
        return Convention((0,), (False, False), 0.0, False, "", cell.activation.name)
    inner, gates = getattr(cell, "activation", None), getattr(cell, "gate_activation", None)
    outer = getattr(cell, "output_activation", None)
    if any(each is not None and each.name != "tanh" for each in (inner, outer)):
        return None
    function = "sigmoid" if gates is None or gates.name == "logistic" else gates.name
    order, reset = tuple(range(len(letters))), getattr(cell, "reset", "")
    return Convention(order, (False, False), 0.0, False, reset, function)


def conventions(cell: Any, own: Convention) -> list[Convention]:
    """All that are tried, those that differ in fewer ways from the cell's own first, which is not among them."""
    layers = layers_of(cell)
    kind, both = type(layers[0]), (False, True)
    back, into = (
        both if all(_is_square(getattr(layer, name), own) for layer in layers) else (False,)
        for name in ("W", "W_in")
    )
    is_lstm = kind in (LSTM, ProjectedLSTM)
    found = itertools.product(
        itertools.permutations(own.order),
        [(w, v) for w in back for v in into],
        (0.0, 1.0, -1.0) if is_lstm else (0.0,),
        both if kind is GRU else (False,),
        ("before", "after") if kind is GRU else ("",),
        _ACTIVATIONS if kind is ElmanRNN else _GATES,
    )
    made = [Convention(*parts) for parts in found]
    return sorted((one for one in made if one != own), key=lambda one: _distance(one, own))


def _is_square(weights: Any, own: Convention) -> bool:
    """Whether the block of each gate has as many columns as rows."""
    return weights.shape[0] == len(own.order) * weights.shape[1]


def _distance(one: Convention, own: Convention) -> int:
    return sum(a != b for a, b in zip(one, own, strict=True))


def is_near(one: Convention, own: Convention) -> bool:
    """Whether a convention differs from the cell's own in one thing."""
    return _distance(one, own) == 1


def is_another(cell: Any, one: Convention, own: Convention) -> bool:
    """Whether a convention makes another map of the cell's weights; equal blocks may be exchanged."""
    if (one.reset, one.function) != (own.reset, own.function):
        return True
    pairs = [(read_by(blocks, one), read_by(blocks, own)) for blocks in map(blocks_of, layers_of(cell))]
    return any(
        not np.array_equal(a, b) for left, right in pairs for a, b in zip(left[:4], right[:4], strict=True)
    )


def described(cell: Any, one: Convention, own: Convention) -> str:
    """In words, how a convention differs from the cell's own."""
    letters = _LETTERS[type(layers_of(cell)[0])]
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
    """A cell's weights gate by gate: W (k, n, p), b (k, n), W_in (k, n, m), b_hidden (n,), projection (p, n).

    Peepholes (3, n) are those of the gates but the candidate, in the order of these.
    """

    W: np.ndarray
    b: np.ndarray
    W_in: np.ndarray
    b_hidden: np.ndarray
    projection: np.ndarray | None
    peepholes: np.ndarray | None = None


def blocks_of(cell: Any) -> Blocks:
    """The weights of a cell in float64."""
    W, b, W_in = (np.asarray(value, float) for value in (cell.W, cell.b, cell.W_in))
    units = len(b) // len(_LETTERS[type(cell)])
    hidden, projection, peepholes = (
        getattr(cell, name, None) for name in ("b_hidden", "projection", "peepholes")
    )
    return Blocks(
        W.reshape(-1, units, W.shape[1]),
        b.reshape(-1, units),
        W_in.reshape(-1, units, W_in.shape[1]),
        np.zeros(units) if hidden is None else np.asarray(hidden, float),
        None if projection is None else np.asarray(projection, float),
        None if peepholes is None else np.asarray(peepholes, float),
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
    peepholes = blocks.peepholes
    if peepholes is not None:
        seeing = sorted(block for block in order if block != order[2])
        peepholes = peepholes[[seeing.index(order[gate]) for gate in (0, 1, 3)]]
    return Blocks(W, b, W_in, hidden, blocks.projection, peepholes)


def cell_by(cell: Any, one: Convention) -> Any:
    """A cell of a convention, with the weights of that one; ``None`` where the library has no such cell."""
    if isinstance(cell, Stack):
        made = [cell_by(layer, one) for layer in cell.cells]
        return None if any(layer is None for layer in made) else Stack(made, cell.sizes)
    parts, dtype = read_by(blocks_of(cell), one), cell.W.dtype
    W, b, W_in = (
        array.reshape(-1, *array.shape[2:]).astype(dtype) for array in (parts.W, parts.b, parts.W_in)
    )
    if type(cell) is ElmanRNN:
        return ElmanRNN(W, b, W_in, activation=one.function)
    made: Any
    if type(cell) is ProjectedLSTM:
        made = ProjectedLSTM(W, b, W_in, cell.projection)
    elif type(cell) is LSTM:
        peepholes = None if parts.peepholes is None else parts.peepholes.astype(dtype)
        made = LSTM(W, b, W_in, peepholes)
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
    cell: Any, blocks: Sequence[Blocks], one: Convention, x0: np.ndarray, inputs: Iterable[np.ndarray]
) -> Iterable[np.ndarray]:
    """h of the last layer after each step, shape (batch, n), by a convention.

    Args:
        cell: that holds the weights, or a stack.
        blocks: of each layer.
        one: the convention.
        x0: states, shape (batch, size).
        inputs: of each step, shape (batch, m).
    """
    first = 0
    for layer, weights in zip(layers_of(cell), blocks, strict=True):
        units, width = weights.b.shape[1], weights.W.shape[2]
        size = width + (units if type(layer) in (LSTM, ProjectedLSTM) else 0)
        step = _STEPS[type(layer)]
        inputs = _outputs(step, read_by(weights, one), one, x0[:, first : first + size], inputs)
        first += size
    return inputs


def _outputs(
    step: Any, parts: Blocks, one: Convention, x: np.ndarray, inputs: Iterable[np.ndarray]
) -> Iterator[np.ndarray]:
    """h of one layer after each step."""
    width = parts.W.shape[2]
    for u in inputs:
        x = step(parts, one, x, np.einsum("kij,bj->kbi", parts.W_in, u) + parts.b[:, None])
        yield x[:, :width]


def _elman(parts: Blocks, one: Convention, h: np.ndarray, driven: np.ndarray) -> np.ndarray:
    return _ACTIVATIONS[one.function](driven[0] + np.einsum("ij,bj->bi", parts.W[0], h))


def _lstm(parts: Blocks, one: Convention, x: np.ndarray, driven: np.ndarray) -> np.ndarray:
    width = parts.W.shape[2]
    z = driven + np.einsum("kij,bj->kbi", parts.W, x[:, :width])
    seen = np.zeros((3, z.shape[2])) if parts.peepholes is None else parts.peepholes
    gate, before = _GATES[one.function], x[:, width:]
    i, f = (gate(z[k] + seen[k] * before) for k in (0, 1))
    c = f * before + i * np.tanh(z[2])
    h = gate(z[3] + seen[2] * c) * np.tanh(c)
    if parts.projection is not None:
        h = np.einsum("ij,bj->bi", parts.projection, h)
    return np.concatenate([h, c], axis=1)


def _gru(parts: Blocks, one: Convention, h: np.ndarray, driven: np.ndarray) -> np.ndarray:
    r, z = _GATES[one.function](driven[:2] + np.einsum("kij,bj->kbi", parts.W[:2], h))
    if one.reset == "before":
        last = np.einsum("ij,bj->bi", parts.W[2], r * h)
    else:
        last = r * (np.einsum("ij,bj->bi", parts.W[2], h) + parts.b_hidden)
    return (1 - z) * np.tanh(driven[2] + last) + z * h


_STEPS = {ElmanRNN: _elman, LSTM: _lstm, ProjectedLSTM: _lstm, GRU: _gru}


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
        cell: that holds the weights, or a stack.
        tried: the conventions.
        x0: states, shape (batch, size).
        inputs: shape (batch, T, m).
        output: h after each step, or the last ones, shape (batch, ≤ T, n).
        allowed: the largest difference.
    """
    blocks = [blocks_of(layer) for layer in layers_of(cell)]
    truth, driven = np.swapaxes(output, 0, 1), np.swapaxes(inputs, 0, 1)
    skipped = len(driven) - len(truth)
    return [
        one
        for one in tried
        if all(
            np.abs(h - y).max() <= allowed
            for h, y in zip(
                itertools.islice(outputs_by(cell, blocks, one, x0, driven), skipped, None),
                truth,
                strict=False,
            )
        )
    ]
