"""Recurrent networks of ONNX: of a model with its constants, or a node's arrays by ONNX's names."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from rnn_dynamics.cells.bidirectional import Bidirectional
from rnn_dynamics.cells.gated import GRU, LSTM
from rnn_dynamics.cells.stack import Stack
from rnn_dynamics.cells.vanilla import ElmanRNN
from rnn_dynamics.interop.arrays import (
    agreed,
    check_names,
    check_shape,
    float_array,
    gru_of_update_first,
    stretches,
)
from rnn_dynamics.interop.onnx.functions import function_of
from rnn_dynamics.interop.onnx.graph import Function, arrays_of, initial_of, settings
from rnn_dynamics.interop.onnx.networks import Entry, Graph
from rnn_dynamics.interop.onnx.source import graph_of
from rnn_dynamics.interop.onnx.steps import Step
from rnn_dynamics.numerics.validation import choice

_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
_ACTIVATIONS = ("tanh", "relu", "sigmoid")
_DIRECTIONS = ("forward", "reverse")

Cell = ElmanRNN | LSTM | GRU


def from_onnx(
    source: Any,
    *,
    node: str | int | None = None,
    kind: str | None = None,
    direction: str | None = None,
    activation: str | None = None,
    linear_before_reset: int | None = None,
) -> Cell | Stack | Bidirectional:
    """A recurrent network of ONNX as a cell: the same states, and so the same ∂h_T/∂h_k.

    ONNX lays out the gates i, o, f, c of an LSTM and z, r, h of a GRU. Nodes in a row, each of which takes what the
    one below gives at the same step, are one ``Stack``, or, where some read in both directions, one
    ``Bidirectional``. Weights may go through Slice, Concat, Transpose, Cast,
    DequantizeLinear and the like, which are evaluated. ``clip``, ``input_forget`` and all activations are those of
    onnxruntime. Without a recurrent node the bodies of Scan and Loop, an RNN that is written out step by step, and
    a model that is one step are read, where they compute an ElmanRNN, an LSTM or a GRU.

    The initial state is no part of the cell; ``onnx_initial_state`` gives it. ``sequence_lens`` only says how many
    steps a sample has: give so many to ``rollout``, of the direction "reverse" these in reverse order.

    Args:
        source: a model, a graph, the path of a model's file, or a mapping from "W", "R", and where there are any
            "B", "P", to arrays with the shapes that ONNX prescribes.
        node: the network's name, or the name or the number of one recurrent node, where a model has several.
        kind: "RNN", "GRU" or "LSTM"; told by a model, and by the shapes of arrays.
        direction: "forward" or "reverse" of a node with both, to take it alone: each is a map of its own, the
            second one of the inputs in reverse order. "reverse" is needed of a node that reads backwards.
        activation: "tanh", "relu" or "sigmoid", of an RNN given as arrays; told by a model.
        linear_before_reset: 0 or 1, of a GRU given as arrays; told by a model.

    Returns:
        A cell. The state of an LSTM is [h, c].

    Raises:
        TypeError: another object.
        FileNotFoundError: no such file.
        ValueError: names that are missing or foreign, shapes that do not fit, weights that the model computes from
            its inputs, a damaged file, activations that ONNX lacks, ``clip`` at no number > 0, both directions at
            once, what is neither told nor given.

    Warns:
        UserWarning: weights in half precision or with a scale were made float32.
    """
    if isinstance(source, Mapping):
        if node is not None:
            raise ValueError(f"node: expected None, as arrays are those of one node, got {node!r}")
        check_names(source, ("W", "R"), ("B", "P"))
        arrays: dict[str, np.ndarray] = {name: float_array(name, value) for name, value in source.items()}
        if direction is None and check_shape("R", arrays["R"], (None, None, None)).shape[0] == 2:
            both = [_of_arrays(arrays, {}, kind, way, activation, linear_before_reset) for way in _DIRECTIONS]
            return Bidirectional([tuple(both)])
        return _of_arrays(arrays, {}, kind, direction, activation, linear_before_reset)
    graph = Graph(graph_of(source))
    entry = _chosen(graph, node)
    found = cell_of(graph, entry, kind, direction, activation, linear_before_reset)
    if graph.constants.told:
        warnings.warn(f"source: {'; '.join(sorted(graph.constants.told))}", UserWarning, stacklevel=2)
    return found


def onnx_initial_state(
    source: Any, *, node: str | int | None = None, direction: str | None = None
) -> np.ndarray:
    """The state in which a model of ONNX starts its network: h, of an LSTM [h, c], of a stack those of all layers.

    It is what ``rollout(cell, x0, inputs)`` of the cell of ``from_onnx`` takes as x0: ``initial_h`` and
    ``initial_c`` where they are constants, 0 where there are none.

    Args:
        source, node, direction: as ``from_onnx``, arrays aside.

    Returns:
        Shape (state,).

    Raises:
        TypeError, FileNotFoundError, ValueError: as ``from_onnx``; ValueError where the state is an input of the
            model or computed, where samples start in different ones, and of networks that are no recurrent nodes.
    """
    graph = Graph(graph_of(source))
    entry = _chosen(graph, node)
    if entry.found is not None:
        raise ValueError(
            f"source: expected an RNN, GRU or LSTM node, got {entry.found.name}: its start is yours to give, 0 by "
            "default of rd.rollout"
        )
    parts = []
    for each in entry.nodes:
        told, arrays = settings(each, direction), arrays_of(graph.constants, each)
        which = _direction(arrays["R"], told, direction)
        state = initial_of(graph.constants, each, which, arrays["R"].shape[2])
        if state is None:
            raise ValueError(
                f"source: expected initial states that are constants of node {each.name!r}, got ones that the "
                "model is given or computes: give yours to rd.rollout"
            )
        parts.append(state)
    return np.concatenate(parts)


def cell_of(
    graph: Graph,
    entry: Entry,
    kind: str | None = None,
    direction: str | None = None,
    activation: str | None = None,
    linear_before_reset: int | None = None,
) -> Cell | Stack | Bidirectional:
    """The cell of a network of a graph; arguments and errors as ``from_onnx``."""
    if entry.found is not None:
        for name, value in (("activation", activation), ("linear_before_reset", linear_before_reset)):
            if value is not None:
                raise ValueError(f"{name}: expected None, as the model tells it, got {value!r}")
        if entry.found.direction != (direction or "forward"):
            raise ValueError(
                f"direction: expected {entry.found.direction!r}, in which it reads, got {direction!r}"
            )
        cells = [of_step(step) for step in entry.found.steps]
        agreed("kind", kind, entry.found.steps[0].kind, _GATES)
        return _stacked(cells)
    options = (activation, linear_before_reset)
    ways = [_ways(node) for node in entry.nodes]
    if len(entry.nodes) > 1 and (len(set(ways)) > 1 or len(ways[0]) == 2) and direction is not None:
        raise ValueError(
            "direction: expected None of nodes on top of one another that read in both directions, got "
            f"{direction!r}: node={graph.names[graph.nodes.index(entry.nodes[0])]!r} takes one of them"
        )
    if direction is not None or set(ways) in ({("forward",)}, {("reverse",)}):
        return _stacked([_of_node(graph, node, kind, direction, *options) for node in entry.nodes])
    pairs = [
        tuple(_of_node(graph, node, kind, way, *options) if way in own else None for way in _DIRECTIONS)
        for node, own in zip(entry.nodes, ways, strict=True)
    ]
    return Bidirectional(pairs)


def _stacked(cells: list[Any]) -> Any:
    return cells[0] if len(cells) == 1 else Stack(cells)


def _ways(node: Any) -> tuple[str, ...]:
    """The directions in which a node reads."""
    known = next((each.s for each in node.attribute if each.name == "direction"), "forward")
    known = known.decode(errors="replace") if isinstance(known, bytes) else str(known)
    return _DIRECTIONS if known == "bidirectional" else ("reverse",) if known == "reverse" else ("forward",)


def _of_node(graph: Graph, node: Any, kind: Any, direction: str | None, *options: Any) -> Cell:
    """The cell of a recurrent node in one direction."""
    return _of_arrays(arrays_of(graph.constants, node), settings(node, direction), kind, direction, *options)


def of_step(step: Step) -> Cell:
    """The cell of a step that a graph writes out, in float32, as such files are."""
    W, b = (each.astype(np.float32) for each in (step.W, step.b))
    W_in, hidden, peepholes = (
        None if each is None else each.astype(np.float32)
        for each in (step.W_in, step.b_hidden, step.peepholes)
    )
    functions = [function_of(*each) for each in step.functions]
    if step.kind == "RNN":
        return ElmanRNN(W, b, W_in, activation=functions[0])
    options = {"gate_activation": functions[0], "activation": functions[1]}
    if step.kind == "GRU":
        return GRU(W, b, W_in, hidden, step.reset, **options)
    return LSTM(W, b, W_in, peepholes, output_activation=functions[2], **options)


def _of_arrays(
    arrays: Mapping[str, np.ndarray],
    told: Mapping[str, Any],
    kind: str | None,
    direction: str | None,
    activation: str | None,
    linear_before_reset: int | None,
) -> Cell:
    """The cell of one direction of a node's arrays."""
    kind = str(agreed("kind", kind, told.get("kind", _kind_of(arrays["R"])), _GATES))
    W, W_in, B, P = _one_direction(kind, arrays, _direction(arrays["R"], told, direction), told)
    if kind != "RNN" and activation is not None:
        raise ValueError(f"activation: expected None, as a {kind} has ONNX's defaults, got {activation!r}")
    if kind != "GRU" and linear_before_reset is not None:
        raise ValueError(f"linear_before_reset: expected None of an {kind}, got {linear_before_reset!r}")
    named = _named(kind, told, activation)
    functions = [function_of(*each, told.get("clip")) for each in named[:2]]
    if kind == "RNN":
        return ElmanRNN(W, B[0] + B[1], W_in, activation=functions[0])
    options = {"gate_activation": functions[0], "activation": functions[1]}
    if kind == "GRU":
        after = agreed("linear_before_reset", linear_before_reset, told.get("linear_before_reset"), (0, 1))
        return gru_of_update_first(W, W_in, B[0], B[1], after=bool(after), **options)
    order = (0, 2, 3, 1)
    W, b, W_in = (stretches(each, order, 4) for each in (W, B[0] + B[1], W_in))
    peepholes = None if P is None else stretches(P, (0, 2, 1), 3).reshape(3, -1)
    if told.get("coupled"):
        (W, b, W_in), peepholes = _coupled([W, b, W_in], peepholes, named[0], told.get("clip"))
    return LSTM(W, b, W_in, peepholes, output_activation=function_of(*named[2]), **options)


def _named(kind: str, told: Mapping[str, Any], activation: str | None) -> tuple[Function, ...]:
    """The functions of a node, which its arrays alone do not tell of an RNN."""
    if kind != "RNN":
        return told.get("functions", (("sigmoid", ()), ("tanh", ()), ("tanh", ())))
    if "functions" not in told:
        return ((str(agreed("activation", activation, None, _ACTIVATIONS)), ()),)
    agreed("activation", activation, told["functions"][0][0], (*_ACTIVATIONS, told["functions"][0][0]))
    return told["functions"]


def _coupled(
    rows: list[np.ndarray], peepholes: np.ndarray | None, gate: Function, clip: float | None
) -> tuple[list[np.ndarray], np.ndarray | None]:
    """The rows of an LSTM with f = 1 − i: 1 − σ(v) = σ(−v), so that f has those of i with the sign turned.

    Of clip(α v + β, 0, 1) it is clip(α v′ + β, 0, 1) at v′ = (1 − 2 β)/α − v.
    """
    shift = 0.0
    if gate[0] == "hardsigmoid":
        shift = (1 - 2 * gate[1][1]) / gate[1][0]
        if shift and clip is not None:
            raise ValueError(
                "source: expected HardSigmoid with activation_beta 0.5 where input_forget and clip go together, "
                f"got {gate[1][1]:g}"
            )
    turned = [np.array(each) for each in rows]
    units = len(rows[0]) // 4
    for each in turned:
        each[units : 2 * units] = -each[:units]
    turned[1][units : 2 * units] += shift
    if peepholes is not None:
        peepholes = np.array(peepholes)
        peepholes[1] = -peepholes[0]
    return turned, peepholes


def _chosen(graph: Graph, wanted: str | int | None) -> Entry:
    """The only network, or the one of that name, or the recurrent node of that name or number."""
    entries = graph.entries()
    names = [each.name for each in entries]
    if not entries:
        kinds = sorted({str(node.op_type)[:40] for node in graph.graph.node})
        raise ValueError(
            "source: expected a model with an RNN, GRU or LSTM node, or a step of one in a Scan, a Loop or written "
            f"out, got none; its operators are {', '.join(kinds[:12]) or 'none'}"
        )
    if wanted is None:
        if len(entries) > 1:
            raise ValueError(
                f"node: expected a name or number, as there are {len(entries)}: {names}, got None"
            )
        return entries[0]
    if isinstance(wanted, str):
        known = [*names, *(name for name in graph.names if name not in names)]
        chosen = choice("node", wanted, known)
        return entries[names.index(chosen)] if chosen in names else graph.single(graph.names.index(chosen))
    if not graph.nodes:
        return entries[choice("node", wanted, range(len(entries)))]
    return graph.single(choice("node", wanted, range(len(graph.nodes))))


def _kind_of(R: np.ndarray) -> str:
    check_shape("R", R, (None, None, None))
    for kind, gates in _GATES.items():
        if R.shape[1] == gates * R.shape[2]:
            return kind
    raise ValueError(f"source: expected R of shape (1 or 2, k n, n) with k = 1, 3 or 4, got {R.shape}")


def _direction(R: np.ndarray, told: Mapping[str, Any], direction: str | None) -> int:
    """Return which of the node's directions is meant."""
    if direction is not None:
        choice("direction", direction, _DIRECTIONS)
    count = check_shape("R", R, (None, None, None)).shape[0]
    known = told.get("direction", "bidirectional" if count == 2 else direction or "forward")
    if count != (2 if known == "bidirectional" else 1):
        raise ValueError(f"source: expected R with {known} weights first, got shape {R.shape}")
    if known == "bidirectional":
        if direction is None:
            raise ValueError(
                'direction: expected "forward" or "reverse", as both at once are no recurrence, got None'
            )
        return _DIRECTIONS.index(direction)
    if known != (direction or "forward"):
        raise ValueError(f"direction: expected {known!r}, in which the node reads, got {direction!r}")
    return 0


def _one_direction(
    kind: str, arrays: Mapping[str, np.ndarray], which: int, told: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """Of one direction R, W, B as (2, rows) and P."""
    count, _, units = arrays["R"].shape
    if told.get("hidden_size", units) != units:
        raise ValueError(
            f"source: expected R with hidden_size={told['hidden_size']} columns, got shape {arrays['R'].shape}"
        )
    rows = _GATES[kind] * units
    R = check_shape("R", arrays["R"], (count, rows, units))
    W = check_shape("W", arrays["W"], (count, rows, None))
    B = check_shape("B", arrays.get("B", np.zeros((count, 2 * rows), R.dtype)), (count, 2 * rows))
    P = arrays.get("P")
    if P is None:
        return R[which], W[which], B[which].reshape(2, rows), None
    if kind != "LSTM":
        raise ValueError(f"source: expected no peepholes P of a {kind}, got shape {P.shape}")
    P = check_shape("P", P, (count, 3 * units))
    return R[which], W[which], B[which].reshape(2, rows), P[which]


def start_is_zero(graph: Graph, entry: Entry) -> bool:
    """Whether no constant of the model starts the network elsewhere than at 0."""
    for node in entry.nodes:
        for place in (5, 6):
            name = node.input[place] if place < len(node.input) else ""
            if name and graph.constants.has(name) and graph.constants.array(name).any():
                return False
    return True
