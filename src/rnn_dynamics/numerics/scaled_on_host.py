"""Scaled vectors in NumPy, for sums and cuts between compiled passes: nothing is compiled, whatever the shapes."""

from typing import Any

import numpy as np

from rnn_dynamics.numerics.scaled import Scaled

# Beyond every exponent of a float, and as an integer far from overflow.
_LOWEST = -(2**30)


def _powers(exponent: np.ndarray, dtype: Any) -> np.ndarray:
    """2^exponent with an axis behind for the entries of each vector; 0 below the floats' range."""
    info = np.finfo(dtype)
    return np.ldexp(np.ones((), dtype), np.clip(exponent, info.minexp - info.nmant - 2, info.maxexp - 1))[
        ..., None
    ]


def host_vectors(rows: Scaled) -> Scaled:
    """Scaled vectors whose arrays are NumPy's."""
    return Scaled(np.asarray(rows.unit), np.asarray(rows.exponent), 1)  # type: ignore[arg-type]


def no_vectors(shape: tuple[int, ...], dtype: Any) -> Scaled:
    """Vectors of zeros."""
    return Scaled(np.zeros(shape, dtype), np.zeros(shape[:-1], np.int32), 1)  # type: ignore[arg-type]


def normal_vectors(unit: np.ndarray, exponent: np.ndarray) -> Scaled:
    """``Scaled(unit, exponent, 1).normalize()``."""
    largest = np.max(np.abs(unit), axis=-1, initial=0)
    is_number = np.isfinite(largest) & (largest > 0)
    shift = np.where(is_number, np.frexp(np.where(is_number, largest, 1))[1], 0).astype(np.int32)
    scaled = unit * _powers(-shift, unit.dtype)
    return Scaled(scaled, np.where(largest == 0, 0, exponent + shift).astype(np.int32), 1)  # type: ignore[arg-type]


def added_vectors(first: Scaled, second: Scaled) -> Scaled:
    """The sum of vectors; the smaller of two is shifted to the exponent of the larger."""
    pair = (host_vectors(first), host_vectors(second))
    tops = [np.where(np.any(each.unit != 0, axis=-1), each.exponent, _LOWEST) for each in pair]
    top = np.maximum(*tops)
    units = [each.unit * _powers(np.minimum(each.exponent - top, 0), each.unit.dtype) for each in pair]
    return normal_vectors(np.asarray(units[0] + units[1]), np.where(top == _LOWEST, 0, top))


def matrices_of(rows: Scaled) -> Scaled:
    """Matrices, axes (…, row, column), of which each row has its own exponent, with one exponent each."""
    host = host_vectors(rows)
    there = np.any(host.unit != 0, axis=-1)
    top = np.max(np.where(there, host.exponent, _LOWEST), axis=-1, initial=_LOWEST)
    top = np.where(top == _LOWEST, 0, top)
    unit = host.unit * _powers(np.minimum(host.exponent - top[..., None], 0), host.unit.dtype)
    return Scaled(unit, top.astype(np.int32), 2)  # type: ignore[arg-type]


def log_squares(rows: Scaled) -> np.ndarray:
    """ln of the sum of squares of each vector, −inf of one of zeros."""
    host = host_vectors(rows)
    squares = np.sum(np.square(host.unit.astype(float)), axis=-1)
    with np.errstate(divide="ignore"):
        return np.log(squares) + 2 * np.log(2.0) * host.exponent
