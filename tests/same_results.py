"""Whether two results are the same to the bit, type by type."""

from typing import Any

import jax
import numpy as np

from rnn_dynamics.cells.activations import Activation
from rnn_dynamics.numerics.results import NotKept
from rnn_dynamics.numerics.results.registry import fields_of, is_record


def assert_same(found: Any, expected: Any, where: str = "result") -> None:
    """Raise where a type, dtype, shape or bit differs; what a file may lack is passed over."""
    if isinstance(found, NotKept):
        return
    assert type(found) is type(expected) or isinstance(expected, jax.Array), where
    if isinstance(expected, jax.Array) and jax.numpy.issubdtype(expected.dtype, jax.dtypes.prng_key):
        found, expected = jax.random.key_data(found), jax.random.key_data(expected)
    if isinstance(expected, jax.Array | np.ndarray | np.generic):
        assert isinstance(found, jax.Array) == isinstance(expected, jax.Array), where
        a, b = np.asarray(found), np.asarray(expected)
        assert (a.dtype, a.shape) == (b.dtype, b.shape), where
        assert a.tobytes() == b.tobytes(), where
    elif isinstance(expected, Activation):
        assert found is expected, where
    elif is_record(type(expected)):
        forgets = getattr(type(expected), "_forgets", ())
        for name in fields_of(type(expected)):
            if name not in forgets:
                assert_same(getattr(found, name), getattr(expected, name), f"{where}.{name}")
    elif isinstance(expected, dict):
        assert list(found) == list(expected), where
        for name, value in expected.items():
            assert_same(found[name], value, f"{where}[{name!r}]")
    elif isinstance(expected, tuple | list):
        assert len(found) == len(expected), where
        for i, pair in enumerate(zip(found, expected, strict=True)):
            assert_same(*pair, f"{where}[{i}]")
    elif isinstance(expected, float | complex):
        assert repr(found) == repr(expected), where
    else:
        assert found == expected, where


def not_kept(value: Any, where: str = "") -> list[str]:
    """Where a result lacks a part."""
    if isinstance(value, NotKept):
        return [where]
    parts: dict[str, Any] = {}
    if is_record(type(value)):
        parts = {name: getattr(value, name) for name in fields_of(type(value))}
    elif isinstance(value, tuple | list):
        parts = {str(i): part for i, part in enumerate(value)}
    return [found for name, part in parts.items() for found in not_kept(part, f"{where}.{name}".lstrip("."))]
