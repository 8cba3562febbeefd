"""Recurrent steps that an ONNX graph writes out: bodies of Scan and Loop, unrolled networks, a step by itself."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rnn_dynamics.interop.forms import Algebra, Form, Unknown
from rnn_dynamics.interop.onnx_constants import Constants, attribute
from rnn_dynamics.interop.onnx_unrolled import layers_of
from rnn_dynamics.interop.onnx_values import BACKWARDS, Run
from rnn_dynamics.interop.steps import Step, step_of


class Found(NamedTuple):
    """Steps that were found in a graph, one for each layer.

    Attributes:
        name: of the node whose body it is, or what the graph is.
        steps: the layers, the one next to the inputs first.
        direction: "forward" or "reverse".
    """

    name: str
    steps: tuple[Step, ...]
    direction: str = "forward"


def _lengths(value: Any) -> list[int | None] | None:
    """The lengths of an input of the reader's own or of onnx; ``None`` where they are not told."""
    if hasattr(value, "dims"):
        return value.dims
    tensor = getattr(getattr(value, "type", None), "tensor_type", None)
    if tensor is None or not tensor.HasField("shape"):
        return None
    return [int(each.dim_value) or None for each in tensor.shape.dim]


def found_in(graph: Any, constants: Constants) -> list[Found]:
    """The steps that a graph has, where it has no recurrent nodes.

    Raises:
        ValueError: constants that are damaged.
    """
    loops = [node for node in graph.node if node.op_type in _READERS]
    if loops:
        run = _run(graph, constants)
        return [found for number, node in enumerate(loops) if (found := _of_loop(run, node, number))]
    rows = layers_of(_run(graph, constants, is_cut=True))
    if len(rows) == 1:
        return [Found("the unrolled network", *rows[0])]
    if rows:
        return [Found(f"unrolled layer {number}", *row) for number, row in enumerate(rows)]
    return _alone(_run(graph, constants))


def _run(graph: Any, constants: Constants, *, is_cut: bool = False) -> Run:
    """The values of a graph, without any where they are too many; cut at what may be states."""
    algebra = Algebra()
    run = Run(graph, constants, algebra)
    for value in getattr(graph, "input", ()):
        lengths = None if value.name in constants.tensors else _lengths(value)
        if lengths and lengths[-1] and lengths[-1] < 2**20:
            run.values[value.name] = algebra.named("input", value.name, lengths[-1], len(lengths))
    try:
        if is_cut:
            run.cut()
        run.go()
        run.ends()
    except Unknown:
        return Run(graph, constants, Algebra())
    return run


def _of_loop(run: Run, node: Any, number: int) -> Found | None:
    body = attribute(node, "body", "g")
    if body is None:
        return None
    name = node.name or f"{node.op_type} {number}"
    inner = Run(body, Constants(body, run.constants), run.algebra, run)
    try:
        pairs, direction = _READERS[node.op_type](inner, node)
        states = _states(inner, body, [(into, given) for into, _, given in pairs])
        inner.go()
        after = {
            into: value
            for into, out, _ in pairs
            if into in states and (value := inner.known(out)) is not None
        }
        step = step_of(run.algebra, states, after, _inputs(run.algebra, after))
    except (Unknown, IndexError, TypeError, AttributeError):
        return None
    if any(each.endswith(BACKWARDS) for each in step.inputs):
        direction = "reverse"
    return Found(name, (step,), direction)


def _inputs(algebra: Algebra, after: Mapping[str, Form]) -> list[int]:
    """The inputs of a step that what is after it is made of, in the order in which they came."""
    seen: set[int] = set()
    waiting = [number for form in after.values() for key in form.terms for number in key]
    while waiting:
        number = waiting.pop()
        if number not in seen:
            seen.add(number)
            inner = algebra.atoms[number].inner
            waiting += [other for key in inner.terms for other in key] if inner is not None else []
    return [
        number
        for number in sorted(seen)
        if algebra.atoms[number].kind == "input" and algebra.atoms[number].step is not None
    ]


def _states(inner: Run, body: Any, pairs: Sequence[tuple[str, str]]) -> dict[str, Form]:
    """The states of a body, as far as their size is told by it or by what they start from."""
    told = {value.name: _lengths(value) for value in body.input}
    found = {}
    for into, given in pairs:
        lengths = told.get(into)
        if not lengths or not lengths[-1]:
            try:
                start = inner.outer.form(given) if inner.outer is not None else None
            except (Unknown, ValueError):
                start = None
            lengths = [None] * (start.rank - 1) + [start.size] if start is not None else None
        if lengths and lengths[-1]:
            found[into] = inner.algebra.named("state", into, lengths[-1], len(lengths))
    inner.values |= found
    return found


Pairs = list[tuple[str, str, str]]


def _scan(inner: Run, node: Any) -> tuple[Pairs, str]:
    """Of a Scan's states the names inside, after the step, and outside."""
    count = int(attribute(node, "num_scan_inputs", "i", 0))
    states = len(node.input) - count
    names = [value.name for value in inner.graph.input]
    outputs = [value.name for value in inner.graph.output]
    backwards = attribute(node, "scan_input_directions", "ints") or [0] * count
    if len(names) != len(node.input) or len(set(backwards)) > 1 or not count:
        raise Unknown("a Scan of inputs that run one way")
    axes = attribute(node, "scan_input_axes", "ints") or [0] * count
    for name, given, axis in zip(names[states:], node.input[states:], axes, strict=True):
        assert inner.outer is not None
        form = inner.outer.form(given)
        if axis % form.rank == form.rank - 1:
            raise Unknown("expected the units along the last axis")
        inner.values[name] = inner.algebra.at(form, 0, rank=form.rank - 1)
    pairs = list(zip(names[:states], outputs[:states], node.input[:states], strict=True))
    return pairs, "reverse" if backwards[0] else "forward"


def _loop(inner: Run, node: Any) -> tuple[Pairs, str]:
    """Of a Loop's states the same; inputs are those that its body gathers by the number of the step.

    What leaves the body as it came is a value of the graph around it, and a state that grows by 1 counts the steps.
    """
    names = [value.name for value in inner.graph.input]
    outputs = [value.name for value in inner.graph.output]
    makers = {name: each for each in inner.graph.node for name in each.output}
    inner.indices.add(names[0])
    count = len(names) - 2
    pairs: Pairs = []
    for into, out, given in zip(names[2:], outputs[1 : 1 + count], node.input[2 : 2 + count], strict=True):
        source, maker = out, makers.get(out)
        for _ in makers:
            if maker is None or maker.op_type != "Identity":
                break
            source = maker.input[0]
            maker = makers.get(source)
        if source == into:
            outer = None if inner.outer is None else inner.outer.known(given)
            inner.constants.call(into, given)
            inner.values |= {} if outer is None else {into: outer}
        elif maker is not None and _counts(inner, maker, into):
            inner.indices.add(into)
        else:
            pairs.append((into, out, given))
    return pairs, "forward"


def _counts(inner: Run, maker: Any, into: str) -> bool:
    """Whether a node adds the whole number 1 to a number."""
    others = [name for name in maker.input if name != into]
    if maker.op_type != "Add" or len(others) != 1 or not inner.constants.has(others[0]):
        return False
    one = inner.constants.array(others[0])
    return one.dtype.kind == "i" and one.size == 1 and int(one.reshape(())) == 1


def _while(inner: Run, node: Any) -> tuple[Pairs, str]:
    """Of TensorFlow's WHILE the same; what leaves the body as it came is a value of the graph around it."""
    pairs: Pairs = []
    for value, out, given in zip(inner.graph.input, inner.graph.output, node.input, strict=True):
        if value.is_index:
            inner.indices.add(value.name)
        elif value.name != out.name:
            pairs.append((value.name, out.name, given))
        elif inner.outer is not None and (outer := inner.outer.known(given)) is not None:
            inner.values[value.name] = outer
    return pairs, "forward"


_READERS = {"Loop": _loop, "Scan": _scan, "While": _while}


def _alone(run: Run) -> list[Found]:
    """The graph as one step: its inputs are a step's input and states, its outputs the states after it."""
    values = {name: form for name, form in run.values.items() if _is_input(run, name)}
    outputs = [value.name for value in getattr(run.graph, "output", ()) if value.name in run.values]
    for count in (2, 1):
        for states in itertools.permutations(values, count):
            rest = [next(iter(values[name].terms))[0] for name in values if name not in states]
            for after in itertools.permutations(outputs, count):
                if len(values) > 4 or len(outputs) > 6:
                    return []
                told = {name: run.values[out] for name, out in zip(states, after, strict=True)}
                try:
                    step = step_of(run.algebra, {name: values[name] for name in states}, told, rest)
                except Unknown:
                    continue
                return [Found("the step", (step,))]
    return []


def _is_input(run: Run, name: str) -> bool:
    return any(value.name == name for value in getattr(run.graph, "input", ()))
