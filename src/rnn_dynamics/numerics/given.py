"""Arrays as users give them: of other frameworks, and of more digits than are computed with."""

import sys
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from rnn_dynamics.numerics import memory


class PrecisionWarning(UserWarning):
    """Warns that numbers given in float64 are computed with in float32."""


_SWITCH = 'jax.config.update("jax_enable_x64", True)'
_warned: set[str] = set()


def _warn_once(kind: str, what: str) -> None:
    """Say once in a process, for each kind, that float64 numbers are rounded, at the user's line that gave them.

    Args:
        kind: "x64" where JAX has no float64 switched on, "mixed" where the cell's dtype decides.
        what: what was rounded, and why.
    """
    if kind in _warned:
        return
    _warned.add(kind)
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("rnn_dynamics"):
        frame, level = frame.f_back, level + 1
    warnings.warn(what, PrecisionWarning, stacklevel=level)


def warn_without_x64(name: str) -> None:
    _warn_once(
        "x64",
        f"{name}: float64 numbers are rounded to float32, as JAX computes in float32 unless told otherwise; "
        f"{_SWITCH}, before anything else of JAX, keeps them (said once)",
    )


def warn_of_mixed(name: str, dtype: Any) -> None:
    """Say once that a float64 array is rounded to the dtype of the cell that it goes into."""
    if jnp.result_type(float) != np.float64:
        warn_without_x64(name)
        return
    _warn_once(
        "mixed",
        f"{name}: float64 numbers are rounded to {dtype}, the dtype of the cell's arrays, which decides; with "
        f"{_SWITCH} and a cell of float64 arrays they are kept (said once)",
    )


def on_host(name: str, value: Any) -> Any:
    """An array of another framework, or a list of some, as NumPy's; all else as it is.

    Raises:
        TypeError: one that NumPy cannot read: on an accelerator, or of a dtype that NumPy lacks.
    """
    if (
        isinstance(value, list | tuple)
        and len(value)
        and _is_foreign(value[0])
        and not hasattr(value, "_fields")
    ):
        return [on_host(f"{name}[{i}]", entry) for i, entry in enumerate(value)]
    if not _is_foreign(value):
        return value
    return _read(name, value)


def _read(name: str, value: Any) -> np.ndarray:
    """Return a foreign array as NumPy's."""
    try:
        detached = value.detach() if hasattr(value, "detach") else value
        array = np.asarray(detached if hasattr(detached, "__array__") else detached.numpy())
        if array.dtype == object and hasattr(detached, "numpy"):
            array = np.asarray(detached.numpy())
        if array.dtype != object:
            return array
    except Exception as error:  # whatever the framework raises
        raise _unreadable(name, value) from error
    raise _unreadable(name, value)


def _unreadable(name: str, value: Any) -> TypeError:
    whole = f"{type(value).__module__.partition('.')[0]}'s {type(value).__name__} of dtype {value.dtype}"
    where = f" on {value.device}" if hasattr(value, "device") else ""
    return TypeError(
        f"{name}: expected an array that NumPy can read, got {whole}{where}; "
        "give .detach().cpu().numpy(), in float32 or float64"
    )


def _is_foreign(value: Any) -> bool:
    """Whether this is an array, but neither NumPy's nor JAX's."""
    ours = isinstance(value, np.ndarray | np.generic | jax.Array | Tracer | jax.ShapeDtypeStruct)
    return not ours and hasattr(value, "dtype") and hasattr(value, "shape")


def is_wide(value: Any) -> bool:
    """Whether this is a float64 array where JAX has float32 alone; one number of NumPy's counts as a number."""
    return (
        isinstance(value, np.ndarray) and value.dtype == np.float64 and jnp.result_type(float) != np.float64
    )


def unshared(array: Any) -> Any:
    """The array, or a copy where JAX would take the memory of the caller, who may change it later.

    JAX takes what begins at a multiple of 64 bytes, as every tensor of PyTorch does. What nobody can change it may
    keep.
    """
    if not isinstance(array, np.ndarray) or not memory.is_aligned(array) or memory.is_nobodys(array):
        return array
    return array.copy()
