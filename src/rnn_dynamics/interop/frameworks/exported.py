"""Programs of torch.export: the recurrent operations in their graph, and the weights that those take."""

from collections.abc import Mapping
from typing import Any, NamedTuple

# Operations of a whole layer, or several, and of one step.
_LAYERS = {
    "lstm.input": "lstm",
    "gru.input": "gru",
    "rnn_tanh.input": "rnn_tanh",
    "rnn_relu.input": "rnn_relu",
}
_STEPS = {
    "lstm_cell.default": "lstm",
    "gru_cell.default": "gru",
    "rnn_tanh_cell.default": "rnn_tanh",
    "rnn_relu_cell.default": "rnn_relu",
}


class Operation(NamedTuple):
    """One recurrent operation: its kind, its weights by PyTorch's names, and the program's name of the first."""

    kind: str
    weights: dict[str, Any]
    name: str


def is_program(source: Any) -> bool:
    """Whether an object is an ``ExportedProgram``, by its attributes."""
    return hasattr(source, "graph_signature") and isinstance(getattr(source, "state_dict", None), Mapping)


def operation_of(program: Any, prefix: str) -> Operation | None:
    """The one recurrent operation whose weights' names begin so; ``None`` where a program is decomposed.

    Raises:
        ValueError: several, none with that prefix, weights that the program computes.
    """
    signature = program.graph_signature
    named = {**signature.inputs_to_buffers, **signature.inputs_to_parameters}
    found = [
        _read(node, named, program.state_dict) for node in program.graph.nodes if _kind(node) is not None
    ]
    if not found:
        return None
    mine = list(
        {operation.name: operation for operation in found if operation.name.startswith(prefix)}.values()
    )
    if len(mine) == 1:
        if not prefix:
            _check_once(program, named)
        return mine[0]
    calls = sorted({f'prefix="{operation.name.rpartition(".")[0]}"' for operation in found})
    if not mine:
        raise ValueError(
            f"prefix: expected that of a recurrent operation, got {prefix!r}; {' or '.join(calls)}"
        )
    raise ValueError(
        f"source: expected one recurrent operation, got {len(mine)}: choose by {' or '.join(calls[:6])}"
    )


def _check_once(program: Any, named: Mapping[str, str]) -> None:
    """Refuse a program in which an operation takes what one with the same weights put out, as its input.

    Raises:
        ValueError: it is more than one layer.
    """
    reached: dict[int, set[str]] = {}
    for node in program.graph.nodes:  # in the order in which they are computed
        if node.op != "call_function":
            continue
        inputs = {name for each in _nodes_in(node.args[:1]) for name in reached.get(id(each), ())}
        if _kind(node) is None:
            reached[id(node)] = {name for each in _nodes_in(node.args) for name in reached.get(id(each), ())}
            continue
        own = _read(node, named, program.state_dict).name
        if own in inputs:
            raise ValueError(
                f"source: expected one recurrent operation, got one on top of itself with the same weights: "
                f'prefix="{own.rpartition(".")[0]}" takes it once'
            )
        reached[id(node)] = inputs | {own}


def _nodes_in(value: Any) -> list[Any]:
    """The nodes among arguments, which are lists in one another."""
    if isinstance(value, tuple | list):
        return [node for each in value for node in _nodes_in(each)]
    return [value] if hasattr(value, "op") else []


def _kind(node: Any) -> str | None:
    if node.op != "call_function":
        return None
    name = str(node.target).removeprefix("aten.")
    return _LAYERS.get(name) or _STEPS.get(name)


def _read(node: Any, named: Mapping[str, str], state: Mapping[str, Any]) -> Operation:
    kind, is_layer = str(_kind(node)), str(node.target).removeprefix("aten.") in _LAYERS
    given = node.args[2] if is_layer else [each for each in node.args[2:] if each is not None]
    weights = [named.get(getattr(each, "name", "")) for each in given]
    if not weights or any(name is None or name not in state for name in weights):
        raise ValueError(
            f"source: expected weights that are parameters of the program, got others in {node.name}, which it "
            "computes: export the module after parametrize.remove_parametrizations(…, leave_parametrized=True)"
        )
    arrays = {
        own: state[str(name)] for own, name in zip(_names(node, len(given), is_layer), weights, strict=True)
    }
    return Operation(kind, arrays, str(weights[0]))


def _names(node: Any, number: int, is_layer: bool) -> list[str]:
    """PyTorch's names of the weights that an operation takes, in their order."""
    if not is_layer:
        return ["weight_ih", "weight_hh", "bias_ih", "bias_hh"][:number]
    biased, layers, bidirectional = node.args[3], node.args[4], node.args[7]
    ends = [f"_l{i}{back}" for i in range(layers) for back in ("", "_reverse")[: 2 if bidirectional else 1]]
    kinds = ["weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if biased else ())]
    if number == len(ends) * (len(kinds) + 1):
        kinds.append("weight_hr")
    return [kind + end for end in ends for kind in kinds]
