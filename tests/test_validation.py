"""Argument checks: the message names the argument, what was expected and what came; nothing is compiled."""

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnn_dynamics.numerics import validation

BAD_ARRAYS = [
    (None, TypeError, "None"),
    ("5", TypeError, "'5'"),
    (True, TypeError, "True"),
    ([True, False], TypeError, "True"),
    (1 + 2j, TypeError, "complex"),
    (np.ones(2, complex), TypeError, "complex128"),
    ({"w": 1}, TypeError, "dict"),
    ([1.0, None], TypeError, "None"),
    ([1.0, "a"], TypeError, "'a'"),
    ([[1.0], [1.0, 2.0]], ValueError, "regular array"),
    (np.nan, ValueError, "finite numbers, got nan"),
    ([1.0, np.inf], ValueError, r"got inf at index \(1,\)"),
    (np.array([[1.0, 2.0], [np.nan, 0.0]]), ValueError, r"got nan at index \(1, 0\)"),
    (object(), TypeError, "object"),
    (lambda x: x, TypeError, "function"),
]
BAD_COUNTS = [
    (2.5, TypeError, r"got 2\.5"),
    (2.0, TypeError, r"got 2\.0"),
    (1e20, TypeError, r"1e\+20"),
    (np.nan, TypeError, "nan"),
    (True, TypeError, "True"),
    (None, TypeError, "None"),
    ("3", TypeError, "'3'"),
    ([3], TypeError, "list"),
    (np.array([3]), TypeError, r"shape \(1,\)"),
    (-1, ValueError, "at least 0, got -1"),
    (10**30, ValueError, "at most"),
]


def _message(check: Callable[..., Any], *args: Any, **options: Any) -> tuple[type, str]:
    with pytest.raises((ValueError, TypeError)) as caught:
        check(*args, **options)
    return type(caught.value), str(caught.value)


@pytest.mark.parametrize(("value", "error", "match"), BAD_ARRAYS, ids=range(len(BAD_ARRAYS)))
def test_hazard_25_bad_arrays(value: Any, error: type[Exception], match: str) -> None:
    for check in (validation.real_array, lambda name, given: validation.real_arrays(w=1.0, **{name: given})):
        with pytest.raises(error, match=match) as caught:
            check("bias", value)
        assert str(caught.value).startswith("bias: expected")


@pytest.mark.parametrize(("value", "error", "match"), BAD_COUNTS, ids=range(len(BAD_COUNTS)))
def test_hazard_25_bad_counts(value: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match) as caught:
        validation.count("steps", value)
    assert str(caught.value).startswith("steps: expected an integer")


def test_hazard_25_a_bad_argument_costs_milliseconds_and_compiles_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    jax.clear_caches()
    large = np.ones((300, 300))
    large[-1, -1] = np.nan
    cases = [
        lambda: validation.real_array("W", large),
        lambda: validation.real_array("x0", None),
        lambda: validation.real_array("W", np.ones((2, 3)), shape=(2, 2)),
        lambda: validation.broadcast_arrays(w=np.ones(3), b=np.ones(4)),
        lambda: validation.count("steps", 2.5),
        lambda: validation.fraction("epsilon", 1.5),
        lambda: validation.choice("ord", 7, [2, "fro"]),
    ]
    with jax.log_compiles(), caplog.at_level("WARNING", logger="jax"):
        for case in cases:
            durations = []
            for _ in range(3):
                begin = time.thread_time()
                _message(case)
                durations.append(time.thread_time() - begin)
            assert min(durations) < 0.05
    assert "Compiling" not in caplog.text


def test_hazard_24_shapes_that_jax_would_broadcast_in_silence() -> None:
    cases: list[tuple[Callable[..., Any], str]] = [
        (
            lambda: validation.real_array("b", np.ones((4, 1)), ndim=1),
            r"b: expected 1 dimension, got .*\(4, 1\)",
        ),
        (lambda: validation.real_array("b", np.ones((4, 1)), shape=(4,)), r"b: expected shape \(4,\), got"),
        (lambda: validation.real_array("W", np.ones((4, 3)), shape=(None, 4)), r"expected shape \(any, 4\)"),
        (lambda: validation.index("k", 5, minimum=0, maximum=4), "k: expected an integer from 0 to 4, got 5"),
        (lambda: validation.index("k", -1, minimum=0, maximum=4), "got -1"),
        (lambda: validation.count("steps", -1), "steps: expected an integer of at least 0, got -1"),
        (
            lambda: validation.broadcast_arrays(w=np.ones(3), b=np.ones(4)),
            r"b: expected .*\(3,\), got .*\(4,\)",
        ),
    ]
    for case, match in cases:
        with pytest.raises(ValueError, match=match):
            case()


def test_hazard_11_without_x64_the_dtype_of_the_result_is_stated() -> None:
    program = """
import numpy as np
from rnn_dynamics.numerics import validation
from rnn_dynamics.numerics.scaled import from_float
a = validation.real_array("w", np.array([1.0, 2.0]))
assert a.dtype == "float32" and "float32" in repr(from_float(a)), a.dtype
assert validation.real_array("n", [1, 2]).dtype == "float32"
try:
    validation.real_array("w", 1e39)
except ValueError as error:
    assert "float32 cannot hold the value given" in str(error), error
else:
    raise AssertionError
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_good_values_keep_or_take_a_floating_dtype(dtype: str) -> None:
    assert validation.real_array("x", np.ones(2, dtype)).dtype == dtype
    assert validation.real_array("x", jnp.ones(2, dtype)).dtype == dtype
    assert validation.real_array("x", [1, 2]).dtype == "float64"
    assert validation.real_array("x", np.arange(3)).dtype == "float64"
    assert validation.real_array("x", jnp.arange(3)).dtype == "float64"
    assert validation.real_array("x", []).shape == (0,)
    assert np.isnan(validation.real_array("x", np.nan, finite=False))
    w, b, n = validation.real_arrays(w=np.ones(2, dtype), b=0.5, n=[1, 2])
    assert w.dtype == b.dtype == n.dtype == dtype
    w, b = validation.broadcast_arrays(w=np.ones((3, 1), dtype), b=np.arange(4))
    assert w.shape == b.shape == (3, 4)
    assert w.dtype == b.dtype == dtype
    w, b = validation.real_arrays(w=np.ones(2, "float32"), b=np.ones(2, "float64"))
    assert w.dtype == b.dtype == "float64"


def test_weakly_typed_values_follow_the_others() -> None:
    weak = jnp.asarray(2.0)
    assert weak.weak_type
    assert not validation.real_array("b", weak).weak_type
    _, b = validation.real_arrays(w=np.float32(1), b=weak)
    assert b.dtype == "float32"

    def traced(b: Any) -> Any:
        return validation.real_arrays(w=np.float32(1), b=b)[1]

    assert jax.jit(traced)(2.0).dtype == "float32"


def test_tracers_pass_with_their_shapes_checked() -> None:
    def traced(x: Any) -> Any:
        pair = validation.real_array("pair", [x[0], 2.0])
        with pytest.raises(ValueError, match="x: expected 2 dimensions"):
            validation.real_array("x", x, ndim=2)
        with pytest.raises(TypeError, match=r"steps: .*traced"):
            validation.count("steps", x[0])
        return pair + validation.real_array("x", x) + validation.fraction("epsilon", x)

    np.testing.assert_array_equal(jax.jit(traced)(jnp.array([3.0, 4.0])), [9, 10])


def test_counts_choices_flags_and_fractions() -> None:
    assert [validation.count("n", v) for v in (0, np.int32(3), jnp.asarray(4))] == [0, 3, 4]
    assert validation.choice("ord", 2.0, ["fro", 2]) == 2
    assert validation.flag("clip", np.True_) is True
    with pytest.raises(TypeError, match="clip: expected True or False, got 1"):
        validation.flag("clip", 1)
    with pytest.raises(ValueError, match="ord: expected one of 'fro', 2, got 'nuc'"):
        validation.choice("ord", "nuc", ["fro", 2])
    with pytest.raises(ValueError, match="ord: expected one of"):
        validation.choice("ord", np.ones(2), ["fro", 2])
    np.testing.assert_array_equal(validation.fraction("epsilon", [1e-3, 1]), [1e-3, 1])
    for bad in (0, -0.5, 1.0000001, [0.5, 2]):
        with pytest.raises(ValueError, match=r"epsilon: expected a value in \(0, 1\], got"):
            validation.fraction("epsilon", bad)
