"""Recurrent cells of Flax: the parameters of linen's, and modules of nnx."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from rnn_dynamics.cells.bidirectional import MERGES, Bidirectional
from rnn_dynamics.cells.gated import GRU, LSTM
from rnn_dynamics.cells.vanilla import ElmanRNN
from rnn_dynamics.interop.arrays import (
    agreed,
    check_names,
    check_shape,
    check_step,
    float_array,
    function_name,
    what_came,
)
from rnn_dynamics.numerics.validation import choice

_ACTIVATIONS = ("tanh", "relu", "sigmoid")
# The dense layers of each cell, input and recurrent, gate by gate, and those that have a bias.
_LINEN = {
    "SimpleCell": (("i",), ("h",), ("i",)),
    "GRUCell": (("ir", "iz", "in"), ("hr", "hz", "hn"), ("ir", "iz", "in", "hn")),
    "LSTMCell": (("ii", "if", "ig", "io"), ("hi", "hf", "hg", "ho"), ("hi", "hf", "hg", "ho")),
}
_LINEN["OptimizedLSTMCell"] = _LINEN["LSTMCell"]
_NNX = {
    "SimpleCell": (("dense_i",), ("dense_h",), ("dense_i",)),
    "GRUCell": (("dense_i",), ("dense_h",), ("dense_i",)),
    "LSTMCell": (("ii", "if_", "ig", "io"), ("hi", "hf", "hg", "ho"), ("hi", "hf", "hg", "ho")),
    "OptimizedLSTMCell": (("dense_i",), ("dense_h",), ("dense_h",)),
}
_LINEN["MGUCell"] = (("if", "in"), ("hf", "hn"), ("if", "in", "hn"))
_GATES = {"SimpleCell": 1, "GRUCell": 3, "LSTMCell": 4, "OptimizedLSTMCell": 4, "MGUCell": 2}
CELLS = tuple(_GATES)
_OF_WIDTH = {
    1: "SimpleCell",
    3: "GRUCell",
    4: "OptimizedLSTMCell",
}  # of nnx's cells with one dense layer for all gates


def from_flax(
    source: Any,
    *,
    kind: str | None = None,
    activation: str | None = None,
    residual: bool | None = None,
    merge: str | None = None,
) -> ElmanRNN | LSTM | GRU | Bidirectional:
    """A recurrent cell of Flax as a cell of this library: the same states, and so the same ∂h_T/∂h_k.

    Flax multiplies from the left by kernels of shape (inputs, n). A SimpleCell with ``residual`` computes
    φ(W h + h + …), which is an Elman network with weights W + I. An MGUCell is a GRU whose two gates are one, or
    without its reset gate one whose r is 1. Layers on top of one another: ``Stack([from_flax(first), …])``.

    Args:
        source: a cell of ``flax.nnx``, an ``RNN`` of one, an ``nnx.Bidirectional`` of two, its ``State`` or pure
            dictionary; or the parameters of a cell of linen, a mapping {"ir": {"kernel": …, "bias": …}, …}, or of a
            ``linen.Bidirectional``, {"forward_rnn": {"cell": …}, "backward_rnn": {"cell": …}}.
            Parameters may be those of a model with one cell in it. Gates are taken as σ and tanh, Flax's defaults,
            which parameters do not tell.
        kind: the cell's class, "SimpleCell", "GRUCell", "LSTMCell", "OptimizedLSTMCell" or "MGUCell"; told by a
            module, and by the names and shapes of the parameters.
        activation: "tanh", "relu" or "sigmoid", of a SimpleCell given by its parameters; told by a module.
        residual: of a SimpleCell given by its parameters, False by default; told by a module.
        merge: of a ``linen.Bidirectional``, whose parameters do not tell it, or of the state of one of nnx:
            "concat", Flax's own, "sum", "mul" or "ave".

    Returns:
        A cell. The state of an LSTM is [h, c], where Flax's carry is (c, h). Of an ``nnx.Bidirectional`` a
        ``Bidirectional``, with the outputs side by side as its own merge has them; of linen's by ``merge``.

    Raises:
        TypeError: neither a module of these classes nor a mapping.
        ValueError: names that are missing or foreign, several cells, an RNN in reverse, shapes that do not fit,
            activations of a gated cell that are not Flax's defaults, half precision, what is not told nor given.
    """
    told: dict[str, Any] = {}
    pair = _pair_in(source)
    if pair is not None:
        if merge is None:
            raise ValueError(
                f"merge: expected {' or '.join(map(repr, MERGES))}, which the weights do not tell, got None: "
                'rd.interop.from_flax(source, merge="concat") merges as Flax does where it is not told otherwise'
            )
        chosen = choice("merge", merge, MERGES)
        cells = [from_flax(each, kind=kind, activation=activation, residual=residual) for each in pair]
        return Bidirectional([tuple(cells)], chosen)
    if merge is not None:
        raise ValueError(
            f"merge: expected None but of the parameters of a Bidirectional, got {merge!r}: another network "
            "tells it or reads in one direction"
        )
    if all(hasattr(source, name) for name in ("forward_rnn", "backward_rnn", "merge_fn")):
        return _both(source, kind=kind, activation=activation, residual=residual)
    if isinstance(source, Mapping):
        source = _cell_in(source)
        is_wide = set(source) == {"dense_i", "dense_h"}
        shown = _kind_of_widths(source) if is_wide else _kind_of(source, kind)
        kind = str(agreed("kind", kind, shown, _GATES))
        layers, table = source, _NNX if is_wide else _LINEN
    else:
        source = _cell_of_rnn(source)
        told, layers = _of_module(source)
        kind, table = str(agreed("kind", kind, told["kind"], _GATES)), _NNX
    into, back, biased = table[kind]
    if kind == "MGUCell" and "bias" not in layers.get("hn", ()):
        biased = ("if", "in")
    W, b, W_in, b_hidden = _weights(layers, into, back, biased, gates=_GATES[kind])
    if kind == "SimpleCell":
        chosen = agreed("activation", activation, told.get("activation"), _ACTIVATIONS)
        default = False if residual is None else None
        if agreed("residual", residual, told.get("residual", default), (True, False)):
            W = W + np.eye(len(W), dtype=W.dtype)
        return ElmanRNN(W, b, W_in, activation=chosen)
    for name, value in (("activation", activation), ("residual", residual)):
        if value is not None:
            raise ValueError(f"{name}: expected None, as a {kind} has Flax's defaults, got {value!r}")
    if kind == "MGUCell":
        return _of_one_gate(W, b, W_in, b_hidden)
    return GRU(W, b, W_in, b_hidden) if kind == "GRUCell" else LSTM(W, b, W_in)


def _pair_in(source: Any) -> tuple[Any, Any] | None:
    """The parameters of both directions of a ``linen.Bidirectional``, or of one of nnx by its state."""
    inner = _but_rngs(source)
    while len(inner) == 1:
        inner = _but_rngs(next(iter(inner.values())))
    if set(inner) != {"forward_rnn", "backward_rnn"}:
        return None
    pair = inner["forward_rnn"], inner["backward_rnn"]
    return pair if all(isinstance(each, Mapping) and "cell" in each for each in pair) else None


def _but_rngs(source: Any) -> dict[Any, Any]:
    """What a mapping has beside nnx's streams of random numbers; of anything else nothing."""
    pairs = source.items() if isinstance(source, Mapping) else ()
    return {name: inner for name, inner in pairs if name != "rngs"}


def _both(module: Any, **options: Any) -> Bidirectional:
    """Both directions of an ``nnx.Bidirectional``."""
    cells = "rd.Bidirectional([(from_flax(source.forward_rnn.cell), from_flax(source.backward_rnn.cell))])"
    check_step(module, "__call__", ("flax",), cells)
    merge = function_name(module.merge_fn)
    if merge.strip("_") != "concatenate":
        raise ValueError(
            f"source: expected a Bidirectional with its own merge_fn, which concatenates, got {merge!r}: "
            "rd.Bidirectional([(from_flax(source.forward_rnn.cell), from_flax(source.backward_rnn.cell))], "
            'merge="sum") is one that adds; there are "mul" and "ave"'
        )
    rnns = module.forward_rnn, module.backward_rnn
    for rnn in rnns:
        if not hasattr(rnn, "cell"):
            raise TypeError(f"source: expected a Bidirectional of two RNN of nnx, got {type(rnn).__name__}")
        check_step(rnn, "__call__", ("flax",), cells)
    first, second = (from_flax(rnn.cell, **options) for rnn in rnns)
    return Bidirectional([(first, second)])


def _of_one_gate(W: np.ndarray, b: np.ndarray, W_in: np.ndarray, b_hidden: np.ndarray | None) -> GRU:
    """A GRU with r = z; without the reset gate one with r = σ(100), which is 1 in every digit."""
    n = W.shape[1]
    if b_hidden is not None:
        W, b, W_in = (np.concatenate([each[:n], each]) for each in (W, b, W_in))
        return GRU(W, b, W_in, b_hidden)
    W, W_in = (np.concatenate([np.zeros_like(each[:n]), each]) for each in (W, W_in))
    return GRU(W, np.concatenate([np.full(n, 100, b.dtype), b]), W_in)


def _cell_in(source: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """The parameters of the one cell among nested ones, by linen's names of gates.

    Raises:
        ValueError: several; the message has the call for each.
    """
    found = list(_cells_of(source, "source", 0))
    if len(found) > 1:
        calls = " or ".join(f"from_flax({path})" for path, _ in found[:6])
        raise ValueError(f"source: expected the parameters of one cell, got {len(found)}: {calls}")
    return found[0][1] if found else source


def has_cell(source: Mapping[Any, Any]) -> bool:
    """Whether nested parameters have those of a cell in them."""
    return any(True for _ in _cells_of(source, "", 0))


def _cells_of(value: Any, path: str, depth: int) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    if not isinstance(value, Mapping) or depth > 20:
        return
    own = {"if" if name == "if_" else name: inner for name, inner in _but_rngs(value).items()}
    names = set(own)
    if names == {"dense_i", "dense_h"} or any(names == {*into, *back} for into, back, _ in _LINEN.values()):
        yield path, own
        return
    for name, inner in value.items():
        yield from _cells_of(inner, f"{path}[{name!r}]", depth + 1)


def _kind_of_widths(source: Mapping[str, Any]) -> str:
    """The class of nnx whose gates are side by side in one kernel."""
    kernel = source["dense_h"].get("kernel") if isinstance(source["dense_h"], Mapping) else None
    rows, columns = check_shape("dense_h/kernel", _array("dense_h/kernel", kernel), (None, None)).shape
    if rows == 0 or columns % rows or columns // rows not in _OF_WIDTH:
        raise ValueError(f"source: expected dense_h/kernel of 1, 3 or 4 square blocks, got {(rows, columns)}")
    return _OF_WIDTH[columns // rows]


def _cell_of_rnn(module: Any) -> Any:
    """The cell of nnx's RNN, or the module itself."""
    if type(module).__name__ != "RNN" or not hasattr(module, "cell"):
        return module
    check_step(module, "__call__", ("flax",), "from_flax(source.cell)")
    if getattr(module, "reverse", False):
        raise ValueError(
            "source: expected an RNN that reads forward, got one in reverse: from_flax(source.cell) is its cell, "
            "which takes the inputs in reverse order"
        )
    return module.cell


def _kind_of(params: Mapping[str, Any], given: str | None) -> str:
    """The class whose dense layers have these names; of the two LSTMs, alike in this, the one that is given."""
    names = set(params)
    for kind, (into, back, _) in _LINEN.items():
        if names == {*into, *back}:
            return given if given == "OptimizedLSTMCell" and kind == "LSTMCell" else kind
    if given in _LINEN:
        return str(given)
    expected = "the parameters of one SimpleCell, GRUCell or LSTMCell"
    raise ValueError(f"source: expected {expected}, got the names {sorted(map(str, names))[:8]}")


def _of_module(module: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a module of nnx tells beyond its weights, and its dense layers as mappings."""
    kind = type(module).__name__
    if kind not in _NNX or not hasattr(module, "activation_fn"):
        words = "an nnx SimpleCell, GRUCell or LSTMCell, or the parameters of one of linen"
        raise TypeError(f"source: expected {words}, got {what_came(module)}{_cells_in(module)}")
    into, back, _ = _NNX[kind]
    if not all(hasattr(module, name) for name in (*into, *back)):
        raise TypeError(f"source: expected a module of nnx, or the parameters of linen's, got linen's {kind}")
    if module.dtype is not None and np.dtype(module.dtype) not in (np.float32, np.float64):
        raise ValueError(f"source: expected a module that computes in float32 or float64, got {module.dtype}")
    layers = {name: _dense(getattr(module, name)) for name in (*into, *back)}
    activation = function_name(module.activation_fn)
    told = f", activation={activation!r}, residual={module.residual}" if kind == "SimpleCell" else ""
    call = f"from_flax(nnx.state(source){told})".replace("'", '"')
    check_step(module, "__call__", ("flax",), call)
    if kind == "SimpleCell":
        if activation not in _ACTIVATIONS:
            raise ValueError(f"source: expected an activation_fn of {_ACTIVATIONS}, got {activation!r}")
        return {"kind": kind, "activation": activation, "residual": bool(module.residual)}, layers
    for name, expected in (("activation_fn", "tanh"), ("gate_fn", "sigmoid")):
        got = function_name(getattr(module, name))
        if got != expected:
            raise ValueError(f"source: expected {name} {expected!r} of a {kind}, got {got!r}")
    return {"kind": kind}, layers


def _cells_in(module: Any) -> str:
    """The calls for the cells that a module of nnx has as attributes, or ""."""
    known = (*_NNX, "RNN", "Bidirectional")
    found = [
        f"from_flax(source.{name})"
        for name, inner in getattr(module, "__dict__", {}).items()
        if type(inner).__name__ in known and not name.startswith("_")
    ]
    return f": {' or '.join(found[:6])}" if found else ""


def _dense(layer: Any) -> dict[str, Any]:
    found = {name: getattr(layer, name, None) for name in ("kernel", "bias")}
    return {name: value for name, value in found.items() if value is not None}


def _array(name: str, value: Any) -> np.ndarray:
    """The array, out of the box that linen puts round one with names of its axes."""
    return float_array(name, value.unbox() if hasattr(value, "unbox") else value)


def _weights(
    layers: Mapping[str, Any],
    into: tuple[str, ...],
    back: tuple[str, ...],
    biased: tuple[str, ...],
    *,
    gates: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """W, b, W_in with the gates on top of one another, and b_h of a GRU of linen."""
    check_names(layers, {*into, *back})
    arrays: dict[str, np.ndarray] = {}
    for layer in (*into, *back):
        if not isinstance(layers[layer], Mapping):
            raise ValueError(f"source: expected {layer} as a mapping, got {type(layers[layer]).__name__}")
        expected = {f"{layer}/kernel"} | ({f"{layer}/bias"} if layer in biased else set())
        found = {f"{layer}/{name}": value for name, value in layers[layer].items()}
        check_names(found, expected)
        arrays |= {name: _array(name, value) for name, value in found.items()}
    first = check_shape(f"{back[0]}/kernel", arrays[f"{back[0]}/kernel"], (None, None))
    units, wide = first.shape[0], gates // len(back) * first.shape[0]
    inputs = check_shape(f"{into[0]}/kernel", arrays[f"{into[0]}/kernel"], (None, wide)).shape[0]
    for names, rows in ((into, inputs), (back, units)):
        for layer in names:
            check_shape(f"{layer}/kernel", arrays[f"{layer}/kernel"], (rows, wide))
            if layer in biased:
                check_shape(f"{layer}/bias", arrays[f"{layer}/bias"], (wide,))
    W = np.concatenate([arrays[f"{name}/kernel"].T for name in back])
    W_in = np.concatenate([arrays[f"{name}/kernel"].T for name in into])
    b = np.concatenate([arrays[f"{name}/bias"] for name in (into if into[0] in biased else back)])
    return W, b, W_in, arrays.get("hn/bias")
