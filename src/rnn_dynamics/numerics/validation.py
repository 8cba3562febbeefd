"""Argument checks with one voice: every error names the argument, what was expected and what came.

Values are looked at with NumPy before JAX sees them, so that a wrong argument costs microseconds and
compiles nothing. Tracers pass: their shapes and dtypes are checked, their values cannot be.
"""

import math
import operator
import reprlib
from collections.abc import Collection, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.errors import TracerArrayConversionError

from rnn_dynamics.numerics.batching import is_plain
from rnn_dynamics.numerics.given import is_wide, on_host, unshared, warn_without_x64

_ALIGNED = (
    64  # bytes: where an array of NumPy's begins at a multiple, JAX takes its memory in place of a copy
)


def _shown(value: Any) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"an array of shape {tuple(value.shape)} and dtype {value.dtype}"
    return f"{reprlib.repr(value)} ({type(value).__name__})"


def _default_float() -> np.dtype:
    return np.dtype(jnp.result_type(float))


def _as_real(name: str, value: Any) -> Any:
    """``value`` as a NumPy array (or tracer, or JAX array) of a floating dtype that JAX will keep."""
    value = on_host(name, value)
    if isinstance(value, Tracer | jax.Array):
        raw = value
    elif value is None or isinstance(value, str | bytes | bool | dict | set):
        raise TypeError(f"{name}: expected real numbers, got {_shown(value)}")
    else:
        try:
            raw = np.asarray(value)
        except TracerArrayConversionError:
            raw = jnp.asarray(value)
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"{name}: expected a regular array of real numbers, got {_shown(value)}"
            ) from error
    real = jnp.issubdtype(raw.dtype, jnp.floating) or jnp.issubdtype(raw.dtype, jnp.integer)
    if not real:
        raise TypeError(f"{name}: expected real numbers, got {_shown(value)}")
    if isinstance(raw, Tracer | jax.Array):
        return raw if jnp.issubdtype(raw.dtype, jnp.floating) else jnp.asarray(raw, _default_float())
    weak = not hasattr(value, "dtype")
    if weak or not jnp.issubdtype(raw.dtype, jnp.floating) or raw.dtype.itemsize > _default_float().itemsize:
        return raw.astype(_default_float())
    return raw


def _check_values(name: str, array: Any, value: Any, finite: bool) -> None:
    if not finite or isinstance(array, Tracer):
        return
    numbers = np.asarray(array)
    if not np.isfinite(numbers).all():
        bad = np.argwhere(~np.isfinite(np.atleast_1d(numbers)))[0]
        found = np.atleast_1d(numbers)[tuple(bad)]
        where = f" at index {tuple(int(i) for i in bad)}" if numbers.ndim else ""
        given = np.asarray(value) if not isinstance(value, jax.Array) else numbers
        overflowed = bool(np.isfinite(given.astype(np.float64)).all()) if given.dtype != object else False
        reason = f" ({numbers.dtype} cannot hold the value given)" if overflowed else ""
        raise ValueError(f"{name}: expected finite numbers, got {found}{where}{reason}")


def real_array(
    name: str,
    value: Any,
    *,
    ndim: int | None = None,
    shape: tuple[int | None, ...] | None = None,
    finite: bool = True,
) -> jax.Array:
    """``value`` as a JAX array of a floating dtype.

    Floating dtypes are kept (without x64 JAX has no float64, and such input becomes float32, with a
    ``PrecisionWarning`` once where that changes a number); integers and Python numbers take JAX's default floating
    dtype. A tensor of PyTorch's in memory is read as NumPy reads it.

    Args:
        name: the argument's name, for the message.
        value: an array, a number or nested lists of them, or a tracer.
        ndim: the rank it must have.
        shape: the shape it must have; ``None`` in it matches any length.
        finite: whether NaN and infinities are refused.

    Raises:
        TypeError: not real numbers (complex, bool, str, None).
        ValueError: wrong rank or shape, or a value that is not finite.
    """
    raw = _kept(name, value, ndim=ndim, shape=shape, finite=finite)
    return jnp.asarray(
        unshared(raw), raw.dtype
    )  # the explicit dtype makes a weakly typed value an ordinary one


def shape_of(name: str, value: Any, **demands: Any) -> tuple[int, ...]:
    """The shape of real numbers, checked as by ``real_array``, which looks at each of them and copies them."""
    return tuple(_checked(name, on_host(name, value), **demands, finite=False).shape)


def _kept(name: str, value: Any, **demands: Any) -> Any:
    """``value`` as ``_checked`` gives it, with a warning where a number of it changes."""
    value = on_host(name, value)
    raw = _checked(name, value, **demands)
    if is_wide(value) and not np.array_equal(raw, value, equal_nan=True):
        warn_without_x64(name)
    return raw


def concrete_array(name: str, value: Any, *, ndim: int) -> np.ndarray:
    """``value`` as a NumPy array of finite real numbers, for what runs on the host.

    Raises:
        TypeError: a traced value, or no real numbers.
        ValueError: wrong rank, or a value that is not finite.
    """
    array = _kept(name, value, ndim=ndim)
    if isinstance(array, Tracer):
        raise TypeError(f"{name}: expected concrete numbers; this runs on the host, not under jit")
    return np.asarray(array)


def concrete_arrays(ndim: Sequence[int], **named: Any) -> list[np.ndarray]:
    """The named values as NumPy arrays of finite numbers, of one dtype as ``real_arrays`` finds it.

    Args:
        ndim: the rank of each.
        named: the values.

    Raises:
        TypeError: a traced value, or no real numbers.
        ValueError: wrong rank, or a value that is not finite.
    """
    for rank, (name, value) in zip(ndim, named.items(), strict=True):
        concrete_array(name, value, ndim=rank)
    return [np.asarray(array) for array in _of_one_dtype(True, named)]


def concrete_square(name: str, value: Any) -> np.ndarray:
    """``value`` as a square NumPy matrix of Python's floats.

    Raises:
        TypeError, ValueError: as ``concrete_array``; ValueError where it is not square or has no entry.
    """
    matrix = concrete_array(name, value, ndim=2)
    if not matrix.size or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(
            f"{name}: expected a square matrix with at least one entry, got shape {matrix.shape}"
        )
    return matrix.astype(float)


def _checked(
    name: str,
    value: Any,
    *,
    ndim: int | None = None,
    shape: tuple[int | None, ...] | None = None,
    finite: bool = True,
) -> Any:
    """``value`` as ``_as_real`` gives it, its rank, shape and values as asked for."""
    with np.errstate(over="ignore"):
        raw = _as_real(name, value)
    if ndim is not None and raw.ndim != ndim:
        raise ValueError(
            f"{name}: expected {ndim} dimension{'s' * (ndim != 1)}, got shape {tuple(raw.shape)}"
        )
    if shape is not None and not (
        len(shape) == raw.ndim and all(e is None or e == g for e, g in zip(shape, raw.shape, strict=True))
    ):
        expected = (
            "(" + ", ".join("any" if n is None else str(n) for n in shape) + ("," * (len(shape) == 1)) + ")"
        )
        raise ValueError(f"{name}: expected shape {expected}, got shape {tuple(raw.shape)}")
    _check_values(name, raw, value, finite)
    return raw


def _is_weak(value: Any) -> bool:
    """Whether ``value`` leaves the choice of the floating dtype to the others."""
    if not hasattr(value, "dtype") or getattr(value, "weak_type", False):
        return True
    dtype = value.dtype if isinstance(value, Tracer | jax.Array) else np.asarray(value).dtype
    return not jnp.issubdtype(dtype, jnp.floating)


def real_arrays(*, finite: bool = True, **named: Any) -> tuple[jax.Array, ...]:
    """The named values as JAX arrays of one floating dtype: the widest floating dtype among them.

    Python numbers, lists and integer arrays follow the others. Shapes are left as they are. A float64 array without
    x64 brings a ``PrecisionWarning``, once, whatever its numbers are.

    Raises:
        TypeError, ValueError: as ``real_array``, naming the argument.
    """
    arrays = _of_one_dtype(finite, named)
    for name, value in named.items():
        if is_wide(on_host(name, value)):
            warn_without_x64(name)
    return _as_jax(arrays)


def _as_jax(arrays: Sequence[Any]) -> tuple[jax.Array, ...]:
    """The arrays as JAX's, of the dtypes that they have; at one go where all are NumPy's."""
    if all(isinstance(a, np.ndarray) for a in arrays):
        return tuple(jax.device_put([unshared(a) for a in arrays]))
    return tuple(jnp.asarray(unshared(a), a.dtype) for a in arrays)


def _of_one_dtype(finite: bool, named: dict[str, Any]) -> list[Any]:
    """The named values as ``_checked`` gives them, but of one dtype."""
    named = {name: on_host(name, value) for name, value in named.items()}
    arrays = {name: _checked(name, value, finite=finite) for name, value in named.items()}
    strong = [a.dtype for name, a in arrays.items() if not _is_weak(named[name])]
    dtype = np.result_type(*strong) if strong else _default_float()
    return [a if a.dtype == dtype else a.astype(dtype) for a in arrays.values()]


def broadcast_arrays(*, finite: bool = True, **named: Any) -> tuple[jax.Array, ...]:
    """The named values as JAX arrays of one floating dtype and one shape.

    Raises:
        TypeError, ValueError: as ``real_array``; ValueError too where a shape does not fit those before it.
    """
    arrays = _of_one_dtype(finite, named)
    common: tuple[int, ...] = ()
    for name, array in zip(named, arrays, strict=True):
        try:
            common = np.broadcast_shapes(common, array.shape)
        except ValueError:
            raise ValueError(
                f"{name}: expected a shape that broadcasts with {common}, got shape {array.shape}"
            ) from None
    return _as_jax([_broadcast(a, common) for a in arrays])


def _broadcast(array: Any, shape: tuple[int, ...]) -> Any:
    """``array`` in ``shape``, on the host where it may go there, which compiles nothing."""
    if array.shape == shape:
        return array
    if isinstance(array, np.ndarray | np.generic) or is_plain([array]):
        return np.broadcast_to(np.asarray(array), shape)
    return jnp.broadcast_to(array, shape)


def count(name: str, value: Any, *, minimum: int = 0, maximum: int = 2**31 - 1) -> int:
    """``value`` as a Python int of at least ``minimum``; floats, bools and arrays of rank > 0 are refused.

    Raises:
        TypeError: not an integer.
        ValueError: out of range.
    """
    if isinstance(value, Tracer):
        raise TypeError(
            f"{name}: expected a Python integer (it sets shapes), got a traced value; make it static"
        )
    if isinstance(value, bool | np.bool_) or getattr(value, "ndim", 0):
        raise TypeError(f"{name}: expected an integer, got {_shown(value)}")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: expected an integer, got {_shown(value)}") from None
    if not minimum <= number <= maximum:
        bound = f"at least {minimum}" if number < minimum else f"at most {maximum}"
        raise ValueError(f"{name}: expected an integer of {bound}, got {number}")
    return number


def index(name: str, value: Any, *, minimum: int, maximum: int) -> int:
    """``value`` as a Python int in [minimum, maximum], both ends included.

    Raises:
        TypeError: not an integer.
        ValueError: out of range.
    """
    number = count(name, value, minimum=-(2**31))
    if not minimum <= number <= maximum:
        raise ValueError(f"{name}: expected an integer from {minimum} to {maximum}, got {number}")
    return number


def integers(name: str, values: Any, *, minimum: int = 0, maximum: int = 2**31 - 1) -> np.ndarray:
    """A sequence of integers from ``minimum`` to ``maximum`` as an array of shape (m,).

    Raises:
        TypeError: not a sequence, or not of integers.
        ValueError: one is out of range.
    """
    array = isinstance(values, np.ndarray | jax.Array) and not isinstance(values, Tracer) and values.ndim == 1
    if not array and (isinstance(values, str) or not isinstance(values, Sequence)):
        raise TypeError(f"{name}: expected a sequence of integers, got {_shown(values)}")
    given = np.asarray(values) if array else values
    return np.array([index(name, value, minimum=minimum, maximum=maximum) for value in given], np.int32)


def check_real(name: str, value: Any, *, ndim: int) -> None:
    """Refuse what ``real_array`` refuses.

    Raises:
        TypeError, ValueError: as ``real_array``.
    """
    _checked(name, value, ndim=ndim)


def check_fraction(name: str, value: Any) -> None:
    """Refuse what ``fraction`` refuses.

    Raises:
        TypeError, ValueError: as ``fraction``.
    """
    array = _checked(name, value)
    if isinstance(array, Tracer):
        return
    numbers = np.asarray(array)
    outside = ~((numbers > 0) & (numbers <= 1))
    if outside.any():
        raise ValueError(f"{name}: expected a value in (0, 1], got {numbers[outside].flat[0]}")


def fraction(name: str, value: Any) -> jax.Array:
    """``value`` as a real array whose every entry lies in (0, 1] (Euler step, leak).

    Raises:
        TypeError, ValueError: as ``real_array``; ValueError where an entry leaves (0, 1].
    """
    check_fraction(name, value)
    return real_array(name, value)


def positive(name: str, value: Any) -> float:
    """A finite number > 0, as a Python number.

    Raises:
        TypeError, ValueError: it is none.
    """
    if isinstance(value, bool):
        raise TypeError(f"{name}: expected a number > 0, got {value!r}")
    number = float(concrete_array(name, value, ndim=0))
    if not number > 0:
        raise ValueError(f"{name}: expected a number > 0, got {number:g}")
    return number


def choice(name: str, value: Any, options: Collection[Any]) -> Any:
    """``value`` if it is one of ``options``.

    Raises:
        ValueError: it is none of them.
    """
    for option in options:
        if type(value) is type(option) and value == option:
            return option
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        for option in options:
            if option == value:
                return option
    words = "" if len(options) == 1 else "one of "
    raise ValueError(f"{name}: expected {words}{', '.join(map(repr, options))}, got {_shown(value)}")


def instance(name: str, value: Any, kind: type, source: str) -> None:
    """Refuse a value of another class.

    Args:
        name: of the argument.
        value: what was given.
        kind: the class.
        source: where one comes from, for the message.

    Raises:
        TypeError: it is of another class.
    """
    if not isinstance(value, kind):
        raise TypeError(f"{name}: expected a {kind.__name__} from {source}, got {_shown(value)}")


def flag(name: str, value: Any) -> bool:
    """``value`` if it is a bool.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name}: expected True or False, got {_shown(value)}")
    return bool(value)
