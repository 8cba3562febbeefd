"""Networks that read a sequence in both directions: layers of a forward and a backward cell, and their runs."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from rnn_dynamics.cells.pytree import cell_type, parameter_dtype, set_fields
from rnn_dynamics.cells.rollout import Trajectory, rollout
from rnn_dynamics.cells.shapes import is_ours, shapes_of
from rnn_dynamics.cells.stack import put_out, state_size
from rnn_dynamics.numerics.batching import is_plain
from rnn_dynamics.numerics.described import described
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.texts import counted
from rnn_dynamics.numerics.validation import choice, count, real_array

#: What a layer makes of h of its two directions.
MERGES = ("concat", "sum", "mul", "ave")
#: The two directions, in the order in which a layer has them.
DIRECTIONS = ("forward", "backward")


@cell_type(static=("sizes", "merges"))
class Bidirectional:
    """Layers that each read a whole sequence from either end: y_ℓ(t) = merge(h→_ℓ(t), h←_ℓ(t)).

    h→_ℓ(t) = F_ℓ(h→_ℓ(t − 1), y_{ℓ−1}(t)) and h←_ℓ(t) = B_ℓ(h←_ℓ(t + 1), y_{ℓ−1}(t)), y_0 = u: what both have
    after they read input t. So y_1(t) depends on all inputs, before t and after it, and h→_2(t) on the future too.
    What a cell puts out is its part "hidden" where it names one (``LSTM``), else its whole state.

    It maps a sequence to a sequence and is no step map ``cell(x, u)``: ``run`` takes inputs, and each direction of
    each layer has a ``Trajectory`` of its own, to which everything that asks for one applies.

    Args:
        layers: pairs (forward, backward) of cells, of any kinds and sizes, the one next to the input first; or one
            pair. ``None`` in the place of a cell is a layer that reads in one direction.
        merge: "concat", [h→, h←]; "sum"; "mul", the product of each unit; "ave", the mean; or one for each layer.
        between: of each layer above the first a map of one step's y_{ℓ−1}, a callable pytree such as
            ``jax.tree_util.Partial(dense, W, b)``, or ``None`` for none.
        sizes: pairs of the entries of the cells' states; told by cells of the library.

    Attributes:
        layers: the pairs.
        merges: of each layer.

    Raises:
        TypeError, ValueError: no layers, no pairs, a layer without cells, another merge, widths that do not fit.

    Reference: M. Schuster, K. Paliwal, IEEE Trans. Signal Processing 45, 2673 (1997).
    """

    layers: tuple[tuple[Any, Any], ...]
    between: tuple[Any, ...]
    sizes: tuple[tuple[int, int], ...]
    merges: tuple[str, ...]

    reads_sequences: ClassVar[bool] = True

    def __init__(self, layers: Any, merge: Any = "concat", *, between: Any = None, sizes: Any = None) -> None:
        pairs = _pairs(layers)
        merges = [merge] * len(pairs) if isinstance(merge, str) else merge
        if not isinstance(merges, Sequence) or len(merges) != len(pairs):
            raise ValueError(
                f"merge: expected one of {MERGES}, or one for each of {counted(len(pairs), 'layer')}, got {merge!r}"
            )
        maps = (None,) * (len(pairs) - 1) if between is None else tuple(between)
        if len(maps) != len(pairs) - 1 or not all(each is None or callable(each) for each in maps):
            raise ValueError(
                f"between: expected a map y -> y or None for each of "
                f"{counted(len(pairs) - 1, 'layer')} above the first, "
                f"got {described(between)}"
            )
        set_fields(
            self,
            layers=pairs,
            between=maps,
            sizes=_sizes(pairs, sizes),
            merges=tuple(choice("merge", each, MERGES) for each in merges),
        )
        _check_widths(self)

    def __repr__(self) -> str:
        rows = []
        for number, (pair, merge) in enumerate(zip(self.layers, self.merges, strict=True)):
            between = self.between[number - 1] if number else None
            mapped = "" if between is None else f", of {described(between)} of what is below"
            cells = " | ".join("–" if cell is None else repr(cell) for cell in pair)
            rows.append(f"  layer {number}: {cells}, {merge!r}{mapped}")
        return "\n".join(["Bidirectional(", *rows, ")"])

    @property
    def depth(self) -> int:
        """The number of layers."""
        return len(self.layers)

    @property
    def inputs(self) -> int | None:
        """Entries of one step's input; ``None`` where the cells of the first layer do not tell."""
        taken = {shape for cell in self.layers[0] if len(shape := _inputs_of(cell)) == 1}
        return taken.pop()[0] if taken else None

    def widths(self, layer: int) -> tuple[int, int]:
        """Entries that either direction of a layer puts out, 0 of one that is not there."""
        pairs = zip(self.layers[layer], self.sizes[layer], strict=True)
        slices = [None if cell is None else put_out(cell, size) for cell, size in pairs]
        first, second = (0 if each is None else each.stop - each.start for each in slices)
        return first, second

    def named(self, layer: int, way: int) -> str:
        """One direction of a layer in two words, "GRU 8"; way is 0 forward, 1 backward."""
        cell = self.layers[layer][way]
        return "–" if cell is None else f"{type(cell).__name__} {self.widths(layer)[way]}"

    def part(self, layer: int, direction: str) -> slice:
        """Where in the state of a direction of a layer lies what it puts out."""
        way = DIRECTIONS.index(direction)
        return put_out(self.layers[layer][way], self.sizes[layer][way])

    def merge(self, layer: int, forward: Any, backward: Any) -> Any:
        """What a layer puts out, of what its directions put out; ``None`` for one that is not there."""
        return merged(self.merges[layer], (forward, backward))

    def width(self, layer: int = -1) -> int:
        """Entries of y(t) of a layer, of the last by default."""
        both = self.widths(layer)
        return sum(both) if self.merges[layer] == "concat" or 0 in both else both[0]

    def direction(self, layer: int, direction: str) -> Any:
        """The cell of one direction of one layer, "forward" or "backward", which is a step map.

        Raises:
            ValueError: there is none.
        """
        layer = choice("layer", layer, range(self.depth))
        found = self.layers[layer][DIRECTIONS.index(choice("direction", direction, DIRECTIONS))]
        if found is None:
            raise ValueError(f"direction: expected the one of layer {layer} that there is, got {direction!r}")
        return found

    def run(self, inputs: Any, x0: Any = None) -> "BidirectionalRun":
        """The states of every layer and direction, and the outputs, for one sequence of inputs.

        Args:
            inputs: u_0 … u_{T−1}, shape (T, m). Of a padded batch give each sequence by itself and to its end,
                ``[network.run(u[:n]) for u, n in zip(inputs, lengths)]``: the backward cell begins at the last
                step.
            x0: pairs of first states, that of a backward cell before the last input; zeros by default. A tuple of
                one pair for each layer; ``None`` in it is zeros.

        Returns:
            The run.

        Raises:
            TypeError, ValueError: shapes that do not fit, values that are not finite, a layer below the last that
                diverged.
        """
        given = _sequence(self, inputs)
        starts = _starts(self, x0)
        u, trajectories, outputs = given, [], []
        for number in range(self.depth):
            if number and self.between[number - 1] is not None:
                u = _mapped(self.between[number - 1], u)
            pair = tuple(_along(self, number, way, starts[number][way], u) for way in range(len(DIRECTIONS)))
            u = merged(self.merges[number], [_aligned(self, number, way, pair[way]) for way in (0, 1)])
            trajectories.append(pair)
            outputs.append(u)
        return BidirectionalRun(self, given, tuple(trajectories), tuple(outputs))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class BidirectionalRun(Result):
    """What a bidirectional network made of one sequence.

    Attributes:
        network: the ``Bidirectional``.
        inputs: shape (T, m).
        trajectories: of each layer a pair of ``Trajectory``, forward and backward, ``None`` where there is no such
            cell. That of the backward cell is of the sequence in reverse order: its step k reads input T − 1 − k.
        layer_outputs: y_ℓ of each layer, shape (T, width), aligned with the inputs.
    """

    network: Any
    inputs: Float[Array, "t m"]
    trajectories: tuple[tuple[Trajectory | None, Trajectory | None], ...]
    layer_outputs: tuple[Float[Array, "t n"], ...]

    picture: ClassVar = "bidirectional_run"
    _may_lack: ClassVar = ("network",)
    _axes: ClassVar = {"t": "time", "m": "input", "n": "unit"}

    @property
    def steps(self) -> int:
        """The number of inputs, T."""
        return self.inputs.shape[0]

    @property
    def outputs(self) -> Float[Array, "t n"]:
        """y of the last layer, shape (T, width)."""
        return self.layer_outputs[-1]

    def direction(self, layer: int, direction: str) -> Trajectory:
        """The trajectory of one direction of one layer, "forward" or "backward".

        Raises:
            ValueError: there is none.
        """
        self.network.direction(layer, direction)
        found = self.trajectories[layer][DIRECTIONS.index(direction)]
        assert found is not None
        return found

    def states(self, layer: int, direction: str) -> Float[Array, "t n"]:
        """The states of one direction of one layer, aligned with the inputs: row t has read input t, shape (T, n).

        Raises:
            ValueError: there is none.
        """
        states = self.direction(layer, direction).states[1:]
        return states[::-1] if direction == "backward" else states

    def __repr__(self) -> str:
        dtype = "" if isinstance(self.outputs, Tracer) else f" {self.outputs.dtype}"
        layers = "; ".join(
            f"layer {i}: {' | '.join(self.network.named(i, way) for way in (0, 1))}"
            for i in range(self.network.depth)
        )
        return (
            f"BidirectionalRun("
            f"{counted(self.steps, 'step')}, outputs of {self.outputs.shape[-1]}{dtype}; {layers})"
        )


def _pairs(layers: Any) -> tuple[tuple[Any, Any], ...]:
    """The pairs of cells of the layers."""
    if isinstance(layers, Bidirectional):
        return layers.layers
    if not isinstance(layers, list | tuple) or not layers:
        raise TypeError(f"layers: expected pairs of cells, [(forward, backward), …], got {described(layers)}")
    if len(layers) == 2 and all(callable(each) for each in layers):
        layers = [tuple(layers)]
    for number, pair in enumerate(layers):
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise TypeError(f"layers[{number}]: expected a pair (forward, backward), got {described(pair)}")
        if all(cell is None for cell in pair):
            raise ValueError(f"layers[{number}]: expected a cell in one direction at least, got none")
        for cell in pair:
            if cell is not None and not callable(cell):
                raise TypeError(f"layers[{number}]: expected callable cells(x, u), got {type(cell).__name__}")
    return tuple((first, second) for first, second in layers)


def _sizes(pairs: tuple[tuple[Any, Any], ...], sizes: Any) -> tuple[tuple[int, int], ...]:
    """Entries of the cells' states."""
    given = [(None, None)] * len(pairs) if sizes is None else list(sizes)
    if len(given) != len(pairs) or not all(
        isinstance(pair, list | tuple) and len(pair) == 2 for pair in given
    ):
        raise ValueError(f"sizes: expected a pair for each of {counted(len(pairs), 'layer')}, got {sizes!r}")

    def size(cell: Any, told: Any) -> int:
        if cell is None:
            return 0
        return state_size(cell) if told is None else count("sizes", told, minimum=1)

    return tuple(
        (size(pair[0], told[0]), size(pair[1], told[1])) for pair, told in zip(pairs, given, strict=True)
    )


def _check_widths(network: Bidirectional) -> None:
    """What layers take is what those below put out, and both directions of one fit together."""
    for number, pair in enumerate(network.layers):
        first, second = network.widths(number)
        if network.merges[number] != "concat" and first and second and first != second:
            raise ValueError(
                f"layers[{number}]: expected both directions to put out as many entries where they are merged by "
                f"{network.merges[number]!r}, got {first} and {second}"
            )
        taken = {shape[0] for cell in pair if (shape := _inputs_of(cell))}
        if len(taken) > 1:
            raise ValueError(
                f"layers[{number}]: expected both directions to take as many inputs, got {sorted(taken)}"
            )
        if number and taken and network.between[number - 1] is None:
            below = network.width(number - 1)
            if taken != {below}:
                raise ValueError(
                    f"layers[{number}]: expected cells of {below} inputs, which layer {number - 1} puts out, "
                    f"got {taken.pop()}"
                )


def _inputs_of(cell: Any) -> tuple[int, ...]:
    """The shape of one input of a cell of the library, () where it is not known."""
    return (shapes_of(cell).inputs or ()) if cell is not None and is_ours(cell) else ()


def _sequence(network: Bidirectional, inputs: Any) -> Array:
    """The inputs as an array of the network's dtype."""
    given = real_array("inputs", inputs)
    width = network.inputs
    if given.ndim != 2 or not given.shape[0] or (width is not None and given.shape[1] != width):
        hint = ": one sequence at a time, [network.run(u) for u in inputs]" if given.ndim == 3 else ""
        if given.ndim == 2 and given.shape[0] == width:
            hint = ": time comes first, network.run(inputs.T)"
        raise ValueError(
            f"inputs: expected shape (steps, {'m' if width is None else width}) with at least one step, got "
            f"{given.shape}{hint}"
        )
    dtype = parameter_dtype(network) or given.dtype
    return given if given.dtype == dtype else given.astype(dtype)


def _starts(network: Bidirectional, x0: Any) -> list[tuple[Any, Any]]:
    """A first state for each cell, ``None`` for zeros."""
    given = [(None, None)] * network.depth if x0 is None else x0
    is_nested = isinstance(given, list | tuple) and len(given) == network.depth
    pairs = [(None, None) if each is None else each for each in given] if is_nested else []
    if not is_nested or not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs):
        raise ValueError(
            f"x0: expected a pair of states (forward, backward) for each of {counted(network.depth, 'layer')}, got "
            f"{described(x0)}"
        )
    return [(pair[0], pair[1]) for pair in pairs]


def _turned(series: Array) -> Any:
    """A sequence in reverse order, turned on the host where it may be, which compiles nothing."""
    return np.asarray(series)[::-1] if is_plain([series]) else series[::-1]


def _along(network: Bidirectional, layer: int, way: int, start: Any, u: Any) -> Trajectory | None:
    """The trajectory of one direction of a layer."""
    cell, size = network.layers[layer][way], network.sizes[layer][way]
    if cell is None:
        return None
    if start is None:
        start = np.zeros(size, u.dtype)
    try:
        return rollout(cell, start, _turned(u) if way else u)
    except (ValueError, TypeError) as error:
        if layer and is_plain([u]) and not np.isfinite(np.asarray(u)).all():
            step = int(np.flatnonzero(~np.isfinite(np.asarray(u)).all(axis=1))[0])
            raise ValueError(
                f"inputs: layer {layer - 1} diverged, its output at step {step} is not finite; rollout of its "
                "cells, network.direction(layer, direction), shows where"
            ) from error
        raise type(error)(f"layer {layer} {DIRECTIONS[way]}: {error}") from error


def _aligned(network: Bidirectional, layer: int, way: int, run: Trajectory | None) -> Any:
    """What one direction puts out at the time of each input; ``None`` where there is none."""
    if run is None:
        return None
    part = put_out(network.layers[layer][way], network.sizes[layer][way])
    states = np.asarray(run.states) if is_plain([run.states]) else run.states
    found = states[1:, part]
    return found[::-1] if way else found


def merged(merge: str, both: Sequence[Any]) -> Any:
    """What a layer puts out, of the one or two directions that it has."""
    there = [each for each in both if each is not None]
    on_host = all(isinstance(each, np.ndarray) for each in there)
    space: Any = np if on_host else jnp
    if len(there) == 1:
        found = there[0]
    elif merge == "concat":
        found = space.concatenate(there, axis=-1)
    elif merge == "mul":
        found = there[0] * there[1]
    else:
        found = there[0] + there[1]
        found = found if merge == "sum" else found * found.dtype.type(0.5)
    return jax.device_put(found) if on_host else found


def _mapped(function: Any, y: Array) -> Array:
    """A map of every step's vector."""
    return jax.vmap(function)(y)
