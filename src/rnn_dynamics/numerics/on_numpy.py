"""A trace's operations as calls of NumPy, on arrays with one axis more than in the trace: the last, of entries."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Operation = Callable[..., Any]
#: Makes the operation of an equation's parameters; of shapes without the axis over the entries.
_Maker = Callable[..., Operation]


#: Arrays of at most so many numbers are copied where they are spread.
_LARGEST_COPY = 2**14


class Unsupported(Exception):
    """The trace has an operation that stands in no table here."""


def whole_quotient(a: Any, b: Any) -> Any:
    """a/b of integers, towards 0 as XLA does it."""
    return ((a - np.fmod(a, b)) // b).astype(np.result_type(a))


def _sign(x: Any) -> Any:
    return np.sign(x).astype(np.result_type(x))


def _logistic(x: Any) -> Any:
    one = np.ones((), np.result_type(x))
    return one / (one + np.exp(-x))


def _one_minus_square(x: Any) -> Any:
    return (1 + x) * (1 - x)


def _polynomial(x: Any, *coefficients: Any) -> Any:
    """Horner's rule, the coefficient of the highest power last."""
    return functools.reduce(lambda total, one: total * x + one, coefficients[::-1])


def _shifted_right(x: Any, by: Any) -> Any:
    """A logical shift: the bits from the left are 0."""
    kind = np.asarray(x).dtype
    unsigned = np.dtype(f"u{kind.itemsize}")
    return np.right_shift(np.asarray(x).view(unsigned), np.asarray(by).view(unsigned)).view(kind)


#: By the names of JAX 0.10 to 0.12, each of which has some that the others have not.
ELEMENTWISE: dict[str, Operation] = {
    "abs": np.abs,
    "add": np.add,
    "add_any": np.add,
    "and": np.bitwise_and,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "atan2": np.arctan2,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "cbrt": np.cbrt,
    "ceil": np.ceil,
    "cos": np.cos,
    "cosh": np.cosh,
    "div": np.divide,
    "eq": np.equal,
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "floor": np.floor,
    "ge": np.greater_equal,
    "gt": np.greater,
    "is_finite": np.isfinite,
    "le": np.less_equal,
    "log": np.log,
    "log1p": np.log1p,
    "log2": np.log2,
    "logistic": _logistic,
    "lt": np.less,
    "max": np.maximum,
    "min": np.minimum,
    "mul": np.multiply,
    "ne": np.not_equal,
    "neg": np.negative,
    "nextafter": np.nextafter,
    "not": np.invert,
    "one_minus_square": _one_minus_square,
    "polynomial": _polynomial,
    "or": np.bitwise_or,
    "pow": np.power,
    "rem": np.fmod,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "shift_left": np.left_shift,
    "shift_right_arithmetic": np.right_shift,
    "shift_right_logical": _shifted_right,
    "sign": _sign,
    "sin": np.sin,
    "sinh": np.sinh,
    "sqrt": np.sqrt,
    "square": np.square,
    "sub": np.subtract,
    "tan": np.tan,
    "tanh": np.tanh,
    "xor": np.bitwise_xor,
}

_REDUCTIONS: dict[str, Operation] = {
    "reduce_sum": np.sum,
    "reduce_prod": np.prod,
    "reduce_max": np.max,
    "reduce_min": np.min,
    "reduce_and": np.all,
    "reduce_or": np.any,
}


def _power(y: int) -> Operation:
    """x^y for an integer y by repeated squaring."""

    def power(x: Any) -> Any:
        square, result, rest = x, None, abs(y)
        while rest:
            if rest & 1:
                result = square if result is None else result * square
            square, rest = (square * square, rest >> 1) if rest > 1 else (square, 0)
        result = np.ones_like(x) if result is None else result
        return 1 / result if y < 0 else result

    return power


def either(which: Any, no: Any, yes: Any) -> Any:
    return np.where(which, yes, no)


def select(which: Any, *cases: Any) -> Any:
    return np.select([which == i for i in range(len(cases))], cases)


def last(x: Any) -> int:
    return np.shape(x)[-1]


def _spread(x: Any, shape: tuple[int, ...]) -> Any:
    """``x`` in a shape that it broadcasts to; small arrays are copied, which takes a tenth of NumPy's view."""
    if x.shape == shape:
        return x
    if math.prod(shape) > _LARGEST_COPY:
        return np.broadcast_to(x, shape)
    whole = np.empty(shape, x.dtype)
    whole[...] = x
    return whole


def _broadcast(shape: Sequence[int], dimensions: Sequence[int]) -> Operation:
    spread = [1] * len(shape)

    def broadcast(x: Any) -> Any:
        for axis, length in zip(dimensions, x.shape[:-1], strict=True):
            spread[axis] = length
        return _spread(x.reshape(*spread, last(x)), (*shape, last(x)))

    return broadcast


def _joined(axis: int) -> Callable[..., Any]:
    def join(*parts: Any) -> Any:
        width = max(map(last, parts))
        return np.concatenate([_spread(p, (*p.shape[:-1], width)) for p in parts], axis)

    return join


def stacked(axis: int) -> Operation:
    before = (slice(None),) * axis

    def stack(*parts: Any) -> Any:
        shape = (*parts[0].shape[:-1], max(map(last, parts)))
        whole = np.empty((*shape[:axis], len(parts), *shape[axis:]), parts[0].dtype)
        for i, part in enumerate(parts):
            whole[(*before, i)] = part
        return whole

    return stack


def _unstacked(axis: int) -> Operation:
    before = (slice(None),) * axis
    return lambda x: tuple(x[(*before, i)] for i in range(x.shape[axis]))


def one_place(index: Any, length: int, size: int) -> int:
    if last(index) != 1:
        raise Unsupported("an index that differs between entries")
    return min(max(int(index[0]), 0), length - size)


def _taken(sizes: Sequence[int]) -> Operation:
    def take(x: Any, *starts: Any) -> Any:
        places = (one_place(i, n, m) for i, n, m in zip(starts, x.shape, sizes, strict=False))
        return x[tuple(slice(at, at + m) for at, m in zip(places, sizes, strict=True))]

    return take


def _put(x: Any, update: Any, *starts: Any) -> Any:
    width = max(last(x), last(update))
    x = np.array(_spread(x, (*x.shape[:-1], width)))
    places = (one_place(i, n, m) for i, n, m in zip(starts, x.shape, update.shape, strict=False))
    x[tuple(slice(at, at + m) for at, m in zip(places, update.shape, strict=False))] = update
    return x


def _counting(dtype: Any, shape: Sequence[int], dimension: int) -> Operation:
    line = np.arange(shape[dimension], dtype=dtype).reshape(
        [-1 if i == dimension else 1 for i in range(len(shape))]
    )
    found = np.broadcast_to(line, shape)[..., None]
    return lambda: found


def _cut(start: Sequence[int], limit: Sequence[int], strides: Sequence[int] | None) -> Operation:
    steps = strides or (1,) * len(start)
    place = tuple(slice(*each) for each in zip(start, limit, steps, strict=True))
    return lambda x: x[place]


def _halves(sizes: Sequence[int], axis: int) -> Operation:
    ends = np.cumsum(sizes)[:-1]
    return lambda x: tuple(np.split(x, ends, axis))


def _summed(axis: int, reverse: bool) -> Operation:
    def total(x: Any) -> Any:
        return np.flip(np.cumsum(np.flip(x, axis), axis), axis) if reverse else np.cumsum(x, axis)

    return lambda x: total(x).astype(x.dtype)


def _reduced(reduce: Operation, axes: Sequence[int]) -> Operation:
    return lambda x: reduce(x, axis=tuple(axes)).astype(x.dtype)


def _sorted(dimension: int, keys: int) -> Operation:
    if keys != 1:
        raise Unsupported("a sort by several keys")

    def sort(*operands: Any) -> Any:
        width = max(map(last, operands))
        whole = [_spread(x, (*x.shape[:-1], width)) for x in operands]
        order = np.argsort(whole[0], axis=dimension, kind="stable")
        return [np.take_along_axis(x, order, dimension) for x in whole]

    return sort


def _contracted(dimension_numbers: Any) -> Operation:
    (left_sum, right_sum), (left_batch, right_batch) = dimension_numbers

    def rows(
        x: Any, batch: Sequence[int], summed: Sequence[int], summed_last: bool
    ) -> tuple[Any, tuple[int, ...]]:
        """The array as (entries, batch, free, summed) or (entries, batch, summed, free), and its free lengths."""
        free = [i for i in range(x.ndim - 1) if i not in batch and i not in summed]
        order = [x.ndim - 1, *batch, *free, *summed] if summed_last else [x.ndim - 1, *batch, *summed, *free]
        lengths = [math.prod(x.shape[i] for i in axes) for axes in (batch, free, summed)]
        inner = lengths[1:] if summed_last else lengths[:0:-1]
        return np.transpose(x, order).reshape(last(x), lengths[0], *inner), tuple(x.shape[i] for i in free)

    def contract(x: Any, y: Any) -> Any:
        left, of_left = rows(x, left_batch, left_sum, True)
        right, of_right = rows(y, right_batch, right_sum, False)
        batch = tuple(x.shape[i] for i in left_batch)
        product = np.matmul(left, right)
        return np.moveaxis(product.reshape(len(product), *batch, *of_left, *of_right), 0, -1)

    return contract


SHAPED: dict[str, _Maker] = {
    "broadcast_in_dim": lambda p: _broadcast(p["shape"], p["broadcast_dimensions"]),
    "bitcast_convert_type": lambda p: lambda x, kind=p["new_dtype"]: np.asarray(x).view(kind),
    "clamp": lambda p: lambda low, x, high: np.minimum(np.maximum(x, low), high),
    "concatenate": lambda p: _joined(p["dimension"]),
    "convert_element_type": lambda p: lambda x, kind=p["new_dtype"]: x.astype(kind),
    "cumsum": lambda p: _summed(p["axis"], p["reverse"]),
    "dot_general": lambda p: _contracted(p["dimension_numbers"]),
    "dynamic_slice": lambda p: _taken(p["slice_sizes"]),
    "dynamic_update_slice": lambda p: _put,
    "expand_dims": lambda p: lambda x, axes=p["dimensions"]: np.expand_dims(x, tuple(axes)),
    "integer_pow": lambda p: _power(p["y"]),
    "iota": lambda p: _counting(p["dtype"], p["shape"], p["dimension"]),
    "reshape": lambda p: lambda x, shape=p["new_sizes"]: x.reshape(*shape, last(x)),
    "rev": lambda p: lambda x, axes=p["dimensions"]: np.flip(x, axes),
    "slice": lambda p: _cut(p["start_indices"], p["limit_indices"], p["strides"]),
    "sort": lambda p: _sorted(p["dimension"], p["num_keys"]),
    "split": lambda p: _halves(p["sizes"], p["axis"]),
    "squeeze": lambda p: lambda x, axes=p["dimensions"]: np.squeeze(x, tuple(axes)),
    "stack": lambda p: stacked(p["axis"]),
    "tile": lambda p: lambda x, times=p["reps"]: np.tile(x, (*times, 1)),
    "transpose": lambda p: lambda x, axes=p["permutation"]: np.transpose(x, (*axes, len(axes))),
    "unstack": lambda p: _unstacked(p["axis"]),
    **{
        name: functools.partial(lambda reduce, p: _reduced(reduce, p["axes"]), reduce)
        for name, reduce in _REDUCTIONS.items()
    },
}
