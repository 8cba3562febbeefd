"""A function of JAX's, traced at one point and evaluated at many by NumPy: no compiler, for what is small.

XLA takes seconds for a formula of thousands of operations that NumPy evaluates in milliseconds. The function is
traced on single entries; each operation of the trace is then one call of NumPy on arrays whose *last* axis runs
over all entries. Operations round as JAX's do, one by one; exp, log, tanh and their kin may differ in the last bit.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend.core import Literal

from rnn_dynamics.numerics.on_numpy import (
    ELEMENTWISE,
    SHAPED,
    Operation,
    Unsupported,
    either,
    last,
    one_place,
    select,
    stacked,
    whole_quotient,
)

#: Loops that a trace has no number of steps for count as so many.
_UNKNOWN_STEPS = 4

# What changes nothing.
_SAME = {"copy", "copy_p", "stop_gradient", "optimization_barrier"}


def same(x: Any) -> Any:
    return x


_COUNTERPARTS: dict[str, Operation] = {}


def counterpart(numpy: Operation) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile a function as one piece, which NumPy evaluates by ``numpy`` where it interprets.

    For what is written in a roundabout way only because compilers reorder what they compile: the result must be
    the same to the bit.
    """

    def of(function: Callable[..., Any]) -> Callable[..., Any]:
        name = f"{function.__module__}.{function.__qualname__}"
        _COUNTERPARTS[name] = numpy
        named = functools.wraps(function)(lambda *arguments: function(*arguments))
        named.__name__ = name
        return functools.wraps(function)(jax.jit(named))

    return of


# What only calls another trace: its equations stand in place of it.
_CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "custom_vjp_call_jaxpr": "fun_jaxpr",
    "checkpoint": "jaxpr",
    "remat": "jaxpr",
}


class _Step(NamedTuple):
    """An operation, the places that it reads, and the place or the places that it writes."""

    operation: Operation
    sources: list[int]
    target: int | list[int]


@dataclasses.dataclass
class _Steps:
    """A trace as a list of NumPy's calls on numbered places; what depends on constants alone is done here."""

    places: list[Any] = dataclasses.field(default_factory=list)
    steps: list[_Step] = dataclasses.field(default_factory=list)
    cost: int = 0

    def place(self, value: Any = None) -> int:
        self.places.append(value)
        return len(self.places) - 1

    def constant(self, value: Any) -> int:
        return self.place(np.asarray(value)[..., None])

    def read(self, traced: Any, inputs: Sequence[int]) -> list[int]:
        """The places of a trace's results, its equations added, given the places of its arguments."""
        inner = getattr(traced, "jaxpr", traced)
        known = dict(zip(inner.constvars, map(self.constant, getattr(traced, "consts", ())), strict=True))
        known.update(zip(inner.invars, inputs, strict=True))

        def at(atom: Any) -> int:
            kind: Any = atom.aval
            return (
                self.constant(np.asarray(atom.val, kind.dtype)) if isinstance(atom, Literal) else known[atom]
            )

        for equation in inner.eqns:
            found = self._added(equation, [at(atom) for atom in equation.invars])
            known.update(zip(equation.outvars, found, strict=True))
        return [at(atom) for atom in inner.outvars]

    def _added(self, equation: Any, places: list[int]) -> list[int]:
        """The places of an equation's results."""
        name, params = equation.primitive.name, equation.params
        own = _COUNTERPARTS.get(params.get("name", ""))
        if name in _CALLS and own is None:
            return self.read(params[_CALLS[name]], places)
        if own is same or _changes_nothing(equation):
            return places
        operation, several, cost = (own, len(equation.outvars) > 1, 1) if own else _operation(equation)
        if all(self.places[place] is not None for place in places):
            with np.errstate(all="ignore"):
                found = operation(*(self.places[place] for place in places))
            return [self.place(value) for value in (found if several else [found])]
        results = [self.place() for _ in equation.outvars]
        self.steps.append(_Step(operation, places, results if several else results[0]))
        self.cost += cost
        return results


def _changes_nothing(equation: Any) -> bool:
    name, source, result = equation.primitive.name, equation.invars[:1], equation.outvars[0].aval
    if name in _SAME:
        return True
    moves = name in ("broadcast_in_dim", "reshape", "convert_element_type")
    return moves and source[0].aval.shape == result.shape and source[0].aval.dtype == result.dtype


@dataclasses.dataclass(frozen=True)
class Interpreted:
    """A trace that NumPy evaluates: arrays whose last axis runs over the entries, in and out.

    Attributes:
        cost: how many operations a call has.
    """

    places: list[Any]
    steps: list[_Step]
    inputs: list[int]
    outputs: list[int]
    cost: int

    def __call__(self, *arguments: Any) -> list[Any]:
        at = self.places.copy()
        for place, value in zip(self.inputs, arguments, strict=True):
            at[place] = value
        for operation, sources, target in self.steps:
            value = operation(*[at[source] for source in sources])
            if isinstance(target, int):
                at[target] = value
            else:
                for one, part in zip(target, value, strict=True):
                    at[one] = part
        return [at[place] for place in self.outputs]


def _interpreted(traced: Any) -> Interpreted:
    steps = _Steps()
    count = len(getattr(traced, "jaxpr", traced).invars)
    inputs = [steps.place() for _ in range(count)]
    outputs = steps.read(traced, inputs)
    needed = _needed(steps.steps, outputs)
    kept = {i for i, value in enumerate(steps.places) if value is not None}.union(inputs, outputs)
    return Interpreted(steps.places, _sharing(needed, kept), inputs, outputs, steps.cost)


def _targets(target: int | list[int]) -> list[int]:
    return [target] if isinstance(target, int) else target


def _needed(steps: list[_Step], outputs: list[int]) -> list[_Step]:
    """The steps that results depend on."""
    wanted, found = set(outputs), []
    for step in reversed(steps):
        if wanted.intersection(_targets(step.target)):
            wanted.update(step.sources)
            found.append(step)
    return found[::-1]


def _sharing(steps: list[_Step], kept: set[int]) -> list[_Step]:
    """The steps with places used anew after the last reading, so that arrays are freed while still in the cache."""
    last = {place: i for i, step in enumerate(steps) for place in step.sources}
    now: dict[int, int] = {}
    free: list[int] = []
    found = []
    for i, (operation, sources, target) in enumerate(steps):
        read = [now.get(place, place) for place in sources]
        for place in set(sources) - kept:
            if last[place] == i:
                free.append(now.get(place, place))
        for place in set(_targets(target)) - kept:
            if free:
                now[place] = free.pop()
        written = now.get(target, target) if isinstance(target, int) else [now.get(at, at) for at in target]
        found.append(_Step(operation, read, written))
    return found


def _counts(params: dict[str, Any]) -> tuple[int, int]:
    """How many of a scan's arguments stay and how many are carried; from JAX 0.11 on trees of them tell."""
    if "num_consts" in params:
        return params["num_consts"], params["num_carry"]
    fixed, carried, _ = params["ft_in"].unpack()
    return len(fixed), len(carried)


def _scan(params: dict[str, Any]) -> tuple[Operation, bool, int]:
    body = _interpreted(params["jaxpr"])
    length, (fixed, carried) = params["length"], _counts(params)
    order = range(length)[:: -1 if params["reverse"] else 1]

    def scan(*arguments: Any) -> list[Any]:
        held, carry, rows = (
            arguments[:fixed],
            list(arguments[fixed : fixed + carried]),
            arguments[fixed + carried :],
        )
        found: list[Any] = [None] * length
        for i in order:
            out = body(*held, *carry, *(row[i] for row in rows))
            carry, found[i] = out[:carried], out[carried:]
        return [*carry, *(stacked(0)(*column) for column in zip(*found, strict=True))]

    if not length and len(body.outputs) > carried:
        raise Unsupported("a scan of no steps")
    return scan, True, length * body.cost


def _chosen(where: Any, new: Any, old: Any) -> Any:
    return new if last(where) == 1 and where[0] else np.where(where, new, old)


def _while(params: dict[str, Any]) -> tuple[Operation, bool, int]:
    """A loop that goes on while any entry does; what is done with an entry no longer changes."""
    goes_on, body = _interpreted(params["cond_jaxpr"]), _interpreted(params["body_jaxpr"])
    first, second = params["cond_nconsts"], params["body_nconsts"]

    def loop(*arguments: Any) -> list[Any]:
        asked, held, carry = (
            arguments[:first],
            arguments[first : first + second],
            list(arguments[first + second :]),
        )
        while (active := goes_on(*asked, *carry)[0]).any():
            moved = body(*held, *carry)
            carry = [_chosen(active, new, old) for new, old in zip(moved, carry, strict=True)]
        return carry

    return loop, True, _UNKNOWN_STEPS * (goes_on.cost + body.cost)


def _cond(params: dict[str, Any]) -> tuple[Operation, bool, int]:
    """One branch, or all of them where the choice differs between entries."""
    branches = [_interpreted(branch) for branch in params["branches"]]

    def choose(index: Any, *arguments: Any) -> list[Any]:
        index = np.asarray(index).astype(int)
        if last(index) == 1:
            return branches[one_place(index, len(branches), 1)](*arguments)
        found = zip(*(branch(*arguments) for branch in branches), strict=True)
        return [select(np.clip(index, 0, len(branches) - 1), *cases) for cases in found]

    return choose, True, sum(branch.cost for branch in branches)


_STRUCTURED = {"scan": _scan, "while": _while, "cond": _cond}


def _operation(equation: Any) -> tuple[Operation, bool, int]:
    """What an equation does, whether to several results, and how many operations that takes."""
    name, params = equation.primitive.name, equation.params
    if name in _STRUCTURED:
        return _STRUCTURED[name](params)
    if params.get("accuracy") is not None:
        raise Unsupported(f"{name} of a given accuracy")
    if name == "select_n":
        return either if equation.invars[0].aval.dtype == bool else select, False, 1
    if name == "div" and np.issubdtype(equation.invars[0].aval.dtype, np.integer):
        return whole_quotient, False, 1
    if name in ELEMENTWISE:
        return ELEMENTWISE[name], False, 1
    if name not in SHAPED:
        raise Unsupported(name)
    try:
        return SHAPED[name](params), equation.primitive.multiple_results, 1
    except KeyError as missing:
        raise Unsupported(f"{name} without {missing}") from None


def interpreted(
    function: Callable[..., Any], entries: Sequence[Any], structure: Any
) -> tuple[Interpreted, Any]:
    """The function as NumPy evaluates it, and the structure of its results.

    Args:
        function: of pytrees of arrays to a pytree of arrays.
        entries: ``jax.ShapeDtypeStruct`` of the leaves of its arguments, at one point.
        structure: the pytree structure of the arguments as a tuple.

    Raises:
        Unsupported: the trace has an operation that NumPy has no counterpart of here.
    """
    traced, shapes = jax.make_jaxpr(
        lambda *leaves: function(*structure.unflatten(leaves)), return_shape=True
    )(*entries)
    return _interpreted(traced), jax.tree.structure(shapes)


def evaluated(program: Interpreted, leaves: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The results of arrays that lead with the axis over the entries, which theirs lead with too."""
    count = len(leaves[0])
    with np.errstate(all="ignore"):
        found = program(*(np.ascontiguousarray(np.moveaxis(leaf, 0, -1)) for leaf in leaves))
    spread = (np.broadcast_to(value, (*value.shape[:-1], count)) for value in found)
    return [np.ascontiguousarray(np.moveaxis(value, -1, 0)) for value in spread]
