"""Recurrent nodes of ONNX: of a model with its initializers, or their arrays by ONNX's names."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rnn_dynamics.cells.gated import GRU, LSTM
from rnn_dynamics.cells.vanilla import ElmanRNN
from rnn_dynamics.interop.arrays import (
    agreed,
    check_names,
    check_shape,
    float_array,
    gru_of_update_first,
    stretches,
)
from rnn_dynamics.interop.onnx_graph import arrays_of, nodes_of, settings
from rnn_dynamics.numerics import packages
from rnn_dynamics.numerics.validation import choice

_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
_ACTIVATIONS = ("tanh", "relu", "sigmoid")
_DIRECTIONS = ("forward", "reverse")


def from_onnx(
    source: Any,
    *,
    node: str | int | None = None,
    kind: str | None = None,
    direction: str | None = None,
    activation: str | None = None,
    linear_before_reset: int | None = None,
) -> ElmanRNN | LSTM | GRU:
    """A recurrent node of ONNX as a cell: the same states, and so the same ∂h_T/∂h_k.

    ONNX lays out the gates i, o, f, c of an LSTM and z, r, h of a GRU. The initial state is no part of the cell:
    what the node has as initial_h and initial_c is yours to give to ``rollout``. Layers on top of one another:
    ``Stack([from_onnx(model, node=0), …])``.

    Args:
        source: a model, a graph, the path of a model's file (which needs the package onnx), or a mapping from "W",
            "R", and where there are any "B", "P", to arrays with the shapes that ONNX prescribes.
        node: name, or number among the recurrent ones, of the node to take where a model has several.
        kind: "RNN", "GRU" or "LSTM"; told by a model, and by the shapes of arrays.
        direction: "forward" or "reverse": each is a map of its own, the second one of the inputs in reverse order.
            Needed of a node with both, and "reverse" of one that reads backwards.
        activation: "tanh", "relu" or "sigmoid", of an RNN given as arrays; told by a model.
        linear_before_reset: 0 or 1, of a GRU given as arrays; told by a model.

    Returns:
        A cell. The state of an LSTM is [h, c].

    Raises:
        TypeError: another object.
        FileNotFoundError, ImportError: no such file; a file where the package onnx is not installed.
        ValueError: names that are missing or foreign, shapes that do not fit, weights that the model computes,
            a damaged file, clipping, activations of a gated node that are not ONNX's defaults, ``input_forget``,
            both directions at once, what is neither told nor given.
    """
    if isinstance(source, Mapping):
        if node is not None:
            raise ValueError(f"node: expected None, as arrays are those of one node, got {node!r}")
        check_names(source, ("W", "R"), ("B", "P"))
        arrays: dict[str, np.ndarray] = {name: float_array(name, value) for name, value in source.items()}
        told = {"kind": _kind_of(arrays["R"])}
    else:
        graph = _graph(source)
        chosen = _chosen(nodes_of(graph), node)
        told, arrays = settings(chosen, direction), arrays_of(graph, chosen)
    kind = str(agreed("kind", kind, told["kind"], _GATES))
    W, W_in, B, P = _one_direction(kind, arrays, _direction(arrays["R"], told, direction), told)
    return _cell(kind, W, W_in, B, P, told, activation, linear_before_reset)


def _cell(
    kind: str,
    W: np.ndarray,
    W_in: np.ndarray,
    B: np.ndarray,
    P: np.ndarray | None,
    told: Mapping[str, Any],
    activation: str | None,
    linear_before_reset: int | None,
) -> ElmanRNN | LSTM | GRU:
    """The cell of one direction's arrays, B in its halves for inputs and state."""
    if kind != "RNN" and activation is not None:
        raise ValueError(f"activation: expected None, as a {kind} has ONNX's defaults, got {activation!r}")
    if kind != "GRU" and linear_before_reset is not None:
        raise ValueError(f"linear_before_reset: expected None of an {kind}, got {linear_before_reset!r}")
    if kind == "GRU":
        after = agreed("linear_before_reset", linear_before_reset, told.get("linear_before_reset"), (0, 1))
        return gru_of_update_first(W, W_in, B[0], B[1], after=bool(after))
    if kind == "RNN":
        chosen = agreed("activation", activation, told.get("activation"), _ACTIVATIONS)
        return ElmanRNN(W, B[0] + B[1], W_in, activation=chosen)
    order = (0, 2, 3, 1)
    peepholes = None if P is None else stretches(P, (0, 2, 1), 3).reshape(3, -1)
    return LSTM(
        stretches(W, order, 4), stretches(B[0] + B[1], order, 4), stretches(W_in, order, 4), peepholes
    )


def _graph(source: Any) -> Any:
    if isinstance(source, (str, Path)):
        if not Path(source).is_file():
            raise FileNotFoundError(f"source: no file {source}")
        try:
            package = importlib.import_module("onnx")
        except ImportError as error:
            raise packages.missing("reading a model's file", "onnx") from error
        source = _loaded(package, source)
    graph = getattr(source, "graph", source)
    if not (hasattr(graph, "node") and hasattr(graph, "initializer")):
        words = "a model of ONNX, its path, or a mapping from W, R, B, P to arrays"
        raise TypeError(f"source: expected {words}, got {type(source).__name__}")
    return graph


def _loaded(package: Any, path: str | Path) -> Any:
    try:
        return package.load(path)
    except OSError:
        raise
    except Exception as error:  # each format of a model has its parser, with errors of its own
        raise ValueError(f"source: {Path(path).name} is no ONNX model, or a damaged one: {error}") from error


def _chosen(nodes: list[Any], wanted: str | int | None) -> Any:
    """The one recurrent node, or the one of that name or number."""
    names = [node.name for node in nodes]
    if not nodes:
        raise ValueError("source: expected a model with an RNN, GRU or LSTM node, got none")
    if wanted is None:
        if len(nodes) > 1:
            raise ValueError(f"node: expected a name or number, as there are {len(nodes)}: {names}, got None")
        return nodes[0]
    if isinstance(wanted, str):
        return nodes[names.index(choice("node", wanted, names))]
    return nodes[choice("node", wanted, range(len(nodes)))]


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
