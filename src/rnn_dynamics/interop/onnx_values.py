"""What the nodes of an ONNX graph compute, as sums of products of the units' values, as far as they are that."""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from rnn_dynamics.interop.forms import Algebra, Form, Unknown, is_eye
from rnn_dynamics.interop.onnx_constants import Computed, Constants, attribute, parts, slices

_MOST_NODES = 20_000
FUNCTIONS: dict[str, tuple[tuple[str, float], ...]] = {
    "Elu": (("alpha", 1.0),),
    "HardSigmoid": (("alpha", 0.2), ("beta", 0.5)),
    "LeakyRelu": (("alpha", 0.01),),
    "Relu": (),
    "Sigmoid": (),
    "Softplus": (),
    "Softsign": (),
    "Tanh": (),
    "ThresholdedRelu": (("alpha", 1.0),),
}
_SAME = ("Cast", "Dropout", "Identity")
#: What the name of an input ends with that is read from its end to its beginning.
BACKWARDS = " (backwards)"


class _Row(NamedTuple):
    """Values of steps one after the other, which a graph has put together along an axis."""

    forms: tuple[Form, ...]
    axis: int
    rank: int


class Run:
    """The values of a graph's nodes, as far as they are sums of products."""

    def __init__(
        self, graph: Any, constants: Constants, algebra: Algebra, outer: "Run | None" = None
    ) -> None:
        self.graph, self.constants, self.algebra, self.outer = graph, constants, algebra, outer
        self.values: dict[str, Form] = {}
        self.rows: dict[str, _Row] = {}
        self.indices: set[str] = set()
        self.cuts: set[str] = set()

    def known(self, name: str) -> Form | None:
        """The value of that name that is no constant."""
        if name in self.values:
            return self.values[name]
        return None if self.outer is None else self.outer.known(name)

    def form(self, name: str) -> Form:
        """The value of that name.

        Raises:
            Unknown: it is none of these.
        """
        found = self.known(name)
        if found is not None:
            return found
        try:
            array = self.constants.array(name)
        except Computed as error:
            raise Unknown(str(error)) from error
        if array.dtype.kind not in "f":
            raise Unknown(f"expected floating-point numbers, got {array.dtype}")
        return self.algebra.constant(array)

    def array(self, name: str) -> np.ndarray:
        """A constant.

        Raises:
            Unknown: it is none.
        """
        if self.known(name) is not None:
            raise Unknown("expected a constant, got a value")
        try:
            return self.constants.array(name)
        except Computed as error:
            raise Unknown(str(error)) from error

    def go(self) -> None:
        """Evaluate all nodes; what is none of these has no value."""
        if len(self.graph.node) > _MOST_NODES:
            raise Unknown(f"expected at most {_MOST_NODES} nodes, got more")
        for node in self.graph.node:
            operator = _OPERATORS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
            of_rows = any(name in self.rows for name in node.input) or node.op_type == "Concat"
            if of_rows and self._of_rows(node, operator):
                continue
            depends = any(self.known(name) is not None for name in node.input if name)
            if operator is None or not (depends or node.op_type in ("Add", "Gemm", "MatMul")):
                continue
            try:
                found = operator(self, node)
            except (Unknown, IndexError, TypeError, AttributeError, ValueError):
                continue
            for name, form in zip(node.output, found, strict=False):
                if name:
                    self.values[name] = self.algebra.value(form) if name in self.cuts else form

    def cut(self) -> None:
        """Keep products that are used twice, or that a function is taken of, as one atom each.

        The states of a network that is written out are among them, whose products would grow with each step.
        """
        times: dict[str, int] = {}
        for node in self.graph.node:
            for name in node.input:
                times[name] = times.get(name, 0) + 1 + (node.op_type in FUNCTIONS)
        self.cuts = {name for name, count in times.items() if count > 1}

    def ends(self) -> None:
        """Keep what the graph puts out as one atom each."""
        names = [value.name for value in getattr(self.graph, "output", ())]
        forms = [self.values[name] for name in names if name in self.values]
        for form in (*forms, *(form for row in self.rows.values() for form in row.forms)):
            self.algebra.value(form)

    def has(self, name: str) -> bool:
        """Whether the value is known."""
        return name in self.values or name in self.rows

    def _of_rows(self, node: Any, operator: Any) -> bool:
        """Whether the node was one on values of steps one after the other."""
        try:
            if node.op_type == "Concat" and not any(name in self.rows for name in node.input):
                forms = tuple(self.form(name) for name in node.input)
                axis = attribute(node, "axis", "i", 0) % forms[0].rank
                if axis == forms[0].rank - 1 or len({form.size for form in forms}) > 1:
                    return False
                self.rows[node.output[0]] = _Row(forms, axis, forms[0].rank)
                return True
            row = next(self.rows[name] for name in node.input if name in self.rows)
            taken = _taken(self, node, row)
            if taken is not None:
                self.values |= dict(zip(node.output, taken, strict=False))
            elif operator is not None and node.op_type in _STEPWISE:
                own = {name: self.rows[name].forms for name in node.input if name in self.rows}
                found = [self._at_step(node, operator, own, i) for i in range(len(row.forms))]
                self.rows[node.output[0]] = row._replace(forms=tuple(found))
        except (Unknown, IndexError, TypeError, AttributeError, ValueError):
            pass
        return True

    def _at_step(self, node: Any, operator: Any, own: dict[str, tuple[Form, ...]], step: int) -> Form:
        held = {name: forms[step] for name, forms in own.items()}
        self.values |= held
        try:
            return operator(self, node)[0]
        finally:
            for name in held:
                del self.values[name]


def _taken(run: Run, node: Any, row: _Row) -> list[Form] | None:
    """The steps that a node takes out of a row; ``None`` where it does something else."""
    if node.op_type == "Slice":
        inputs = [None, *(run.array(name) if name else None for name in node.input[1:])]
        ((axis, part),) = slices(node, inputs, row.rank).items()
        which = range(len(row.forms))[part]
        if axis == row.axis and len(which) == 1:
            return [row.forms[which[0]]]
        raise Unknown("expected one step of a row")
    if node.op_type == "Gather" and attribute(node, "axis", "i", 0) % row.rank == row.axis:
        place = run.array(node.input[1])
        form = row.forms[int(place.reshape(()))]
        return [form._replace(rank=row.rank - 1 + place.ndim)]
    if node.op_type == "Split" and attribute(node, "axis", "i", 0) % row.rank == row.axis:
        return list(row.forms) if len(node.output) == len(row.forms) else None
    return None


def _function(run: Run, node: Any) -> list[Form]:
    numbers = tuple(_short(attribute(node, name, "f", default)) for name, default in FUNCTIONS[node.op_type])
    return [run.algebra.function(node.op_type.lower(), run.form(node.input[0]), numbers)]


def _short(value: float) -> float:
    """A number that was kept in float32, as a person wrote it."""
    return float(str(np.float32(value)))


def _sum(run: Run, node: Any) -> list[Form]:
    found = run.form(node.input[0])
    for name in node.input[1:]:
        found = run.algebra.add(found, run.form(name))
    return [found]


def _difference(run: Run, node: Any) -> list[Form]:
    return [run.algebra.add(run.form(node.input[0]), run.form(node.input[1]), -1.0)]


def _product(run: Run, node: Any) -> list[Form]:
    return [run.algebra.multiply(run.form(node.input[0]), run.form(node.input[1]))]


def _negative(run: Run, node: Any) -> list[Form]:
    return [run.algebra.multiply(run.form(node.input[0]), run.algebra.constant(np.array(-1.0)))]


def _quotient(run: Run, node: Any) -> list[Form]:
    by = run.array(node.input[1]).astype(float)
    return [run.algebra.multiply(run.form(node.input[0]), run.algebra.constant(1 / by))]


def _matrix_product(run: Run, node: Any) -> list[Form]:
    weights = run.array(node.input[1])
    if weights.ndim > 2 and set(weights.shape[:-2]) == {1}:
        weights = weights.reshape(weights.shape[-2:])
    return [run.algebra.matrix(run.form(node.input[0]), weights)]


def _gemm(run: Run, node: Any) -> list[Form]:
    if attribute(node, "transA", "i", 0):
        raise Unknown("expected samples in rows")
    weights = run.array(node.input[1]).astype(float)
    if attribute(node, "transB", "i", 0):
        weights = weights.T
    form = run.form(node.input[0])
    found = run.algebra.matrix(form, weights * attribute(node, "alpha", "f", 1.0))
    if len(node.input) > 2 and node.input[2]:
        factor = run.algebra.constant(np.array(attribute(node, "beta", "f", 1.0)))
        found = run.algebra.add(found, run.algebra.multiply(run.form(node.input[2]), factor))
    return [found]


def _as_it_is(run: Run, node: Any) -> list[Form]:
    return [run.form(node.input[0])]


def _axes(run: Run, node: Any) -> list[int] | None:
    if len(node.input) > 1 and node.input[1]:
        return [int(n) for n in run.array(node.input[1]).ravel()]
    return attribute(node, "axes", "ints")


def _unsqueezed(run: Run, node: Any) -> list[Form]:
    form, axes = run.form(node.input[0]), _axes(run, node) or []
    rank = form.rank + len(axes)
    if any(axis % rank == rank - 1 for axis in axes):
        raise Unknown("expected the units along the last axis")
    return [form._replace(rank=rank)]


def _squeezed(run: Run, node: Any) -> list[Form]:
    form, axes = run.form(node.input[0]), _axes(run, node)
    if axes is None or any(axis % form.rank == form.rank - 1 for axis in axes):
        raise Unknown("expected the units along the last axis")
    return [form._replace(rank=form.rank - len(axes))]


def _reshaped(run: Run, node: Any) -> list[Form]:
    form, shape = run.form(node.input[0]), run.array(node.input[1]).ravel()
    if not len(shape) or (shape[-1] != form.size and not (shape[-1] == -1 and (shape[:-1] == 1).all())):
        raise Unknown("expected the units along the last axis")
    return [form._replace(rank=len(shape))]


def _transposed(run: Run, node: Any) -> list[Form]:
    form, axes = run.form(node.input[0]), attribute(node, "perm", "ints")
    if axes is None or len(axes) != form.rank or axes[-1] != form.rank - 1:
        raise Unknown("expected the units along the last axis")
    return [form]


def _split(run: Run, node: Any) -> list[Form]:
    form, axis = run.form(node.input[0]), attribute(node, "axis", "i", 0)
    if axis % form.rank != form.rank - 1:
        return [run.algebra.at(form, i, rank=form.rank) for i in range(len(node.output))]
    sizes = run.array(node.input[1]) if len(node.input) > 1 and node.input[1] else None
    ends = np.cumsum([0, *parts(node, sizes, form.size)])
    return [run.algebra.rows(form, np.arange(a, b)) for a, b in itertools.pairwise(ends)]


def _sliced(run: Run, node: Any) -> list[Form]:
    form = run.form(node.input[0])
    inputs = [None, *(run.array(name) if name else None for name in node.input[1:])]
    for axis, part in slices(node, inputs, form.rank).items():
        if axis == form.rank - 1:
            form = run.algebra.rows(form, np.arange(form.size)[part])
        elif part.stop == part.start + 1 and part.start >= 0:
            form = run.algebra.at(form, part.start, rank=form.rank)
        elif (part.start or 0) != 0 or (part.stop or 0) < 2**30:
            raise Unknown("expected one step of the inputs")
    return [form]


def _gathered(run: Run, node: Any) -> list[Form]:
    form, axis = run.form(node.input[0]), attribute(node, "axis", "i", 0)
    if node.input[1] in run.indices and axis % form.rank != form.rank - 1:
        return [run.algebra.at(form, 0, rank=form.rank - 1)]
    which = run.array(node.input[1])
    if axis % form.rank == form.rank - 1:
        return [run.algebra.rows(form, which.ravel() % form.size)]
    if which.size != 1 or int(which.ravel()[0]) < 0:
        raise Unknown("expected one step of the inputs")
    return [run.algebra.at(form, int(which.ravel()[0]), rank=form.rank - 1 + which.ndim)]


def _reversed(run: Run, node: Any) -> list[Form]:
    form = run.form(node.input[0])
    atoms = {run.algebra.atoms[key[0]].name: form for key, form in form.terms.items() if len(key) == 1}
    if len(form.terms) != 1 or len(atoms) != 1 or not all(map(is_eye, atoms.values())):
        raise Unknown("expected an input that is turned round")
    return [run.algebra.named("input", next(iter(atoms)) + BACKWARDS, form.size, form.rank)]


def _joined(run: Run, node: Any) -> list[Form]:
    forms, axis = [run.form(name) for name in node.input], attribute(node, "axis", "i", 0)
    if axis % forms[0].rank != forms[0].rank - 1:
        raise Unknown("expected values beside one another")
    return [run.algebra.join(forms)]


_OPERATORS: dict[str, Callable[[Run, Any], list[Form]]] = {
    "Add": _sum,
    "Concat": _joined,
    "Div": _quotient,
    "Gather": _gathered,
    "Gemm": _gemm,
    "MatMul": _matrix_product,
    "Mul": _product,
    "Neg": _negative,
    "Reshape": _reshaped,
    "Reverse": _reversed,
    "Slice": _sliced,
    "Split": _split,
    "Squeeze": _squeezed,
    "Sub": _difference,
    "Sum": _sum,
    "Transpose": _transposed,
    "Unsqueeze": _unsqueezed,
    **dict.fromkeys(FUNCTIONS, _function),
    **dict.fromkeys(_SAME, _as_it_is),
}


_STEPWISE = ("Add", "Div", "Gemm", "MatMul", "Mul", "Neg", "Sub", "Sum", *FUNCTIONS, *_SAME)
