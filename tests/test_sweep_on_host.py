"""Functions that JAX cannot trace, on a grid: in memory, in a store, by workers; known by their code."""

import functools
import logging
import subprocess
import sys
import threading
import types
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from rnn_dynamics.cells import ElmanRNN
from rnn_dynamics.dynamics.equilibria import fixed_points
from rnn_dynamics.numerics.storage import StorageError
from rnn_dynamics.numerics.stored.code import digest_of
from rnn_dynamics.numerics.stored.opening import opened
from rnn_dynamics.numerics.sweep import point_key, sweep
from tests import sweeps

pytest.importorskip("zarr")
AXES = {"kind": ["sum", "product"], "a": np.array([1.0, 2.5]), "n": range(3)}
WANTED = np.array(
    [[[a + n for n in range(3)] for a in (1.0, 2.5)], [[a * n for n in range(3)] for a in (1.0, 2.5)]]
)


def test_it_is_called_with_numbers_of_python_one_point_after_the_other() -> None:
    seen: list[tuple[Any, ...]] = []

    def combined(kind: str, a: float, n: int) -> dict[str, Any]:
        seen.append((kind, a, n))
        return {"value": sweeps.combined(kind, a, n)["value"], "row": np.arange(2) * n}

    found = sweep(combined, AXES, traced=False)
    np.testing.assert_array_equal(found["value"], WANTED)
    assert found["row"].shape == (2, 2, 3, 2)
    assert seen == [(kind, a, n) for kind in AXES["kind"] for a in (1.0, 2.5) for n in range(3)]
    assert all([type(item) for item in row] == [str, float, int] for row in seen)
    assert found.result()["row"].dtype == np.arange(2).dtype


@pytest.mark.parametrize(("executor", "chunk"), [(None, None), (None, 2), (1, None)])
def test_a_store_goes_on_and_computes_nothing_twice(
    executor: int | None, chunk: int | None, tmp_path: Path
) -> None:
    path, log = tmp_path / "a.zarr", tmp_path / "log"
    function = sweeps.Logged(str(log))
    found = sweep(function, AXES, store=path, executor=executor, chunk=chunk, traced=False)
    np.testing.assert_array_equal(found["value"], WANTED)
    calls = len(log.read_text().splitlines())
    assert calls == 12 + (executor is not None)  # one more, whose result says what is stored
    store = opened(path)
    store.forget(2)
    again = sweep(function, AXES, store=path, executor=executor, chunk=chunk, traced=False)
    np.testing.assert_array_equal(again["value"], WANTED)
    assert len(log.read_text().splitlines()) == calls + (chunk or 1)


def test_another_function_is_refused(tmp_path: Path) -> None:
    sweep(lambda a: 2 * a, {"a": [1.0]}, store=tmp_path / "a.zarr", traced=False)
    sweep(lambda a: 2 * a, {"a": [1.0]}, store=tmp_path / "a.zarr", traced=False)
    with pytest.raises(StorageError, match="the function is another one"):
        sweep(lambda a: 3 * a, {"a": [1.0]}, store=tmp_path / "a.zarr", traced=False)
    with pytest.raises(StorageError, match=r"holds another sweep: (python is|the function is)"):
        sweep(lambda a: 2 * a, {"a": [1.0]}, store=tmp_path / "a.zarr")


def test_the_library_itself_may_be_called() -> None:
    """tanh(w x) has one fixed point for w ≤ 1 and three beyond."""

    def count(w: float) -> int:
        cell = ElmanRNN(np.array([[w]]), np.zeros(1))
        return len(fixed_points(cell, starts=np.linspace(-2, 2, 9)[:, None]).points)

    assert sweep(count, {"w": [0.5, 2.0]}, traced=False)["value"].tolist() == [1, 3]


def test_keys_are_those_of_the_points() -> None:
    key = jax.random.key(3)
    found = sweep(lambda w, key: float(jax.random.uniform(key)), {"w": range(3)}, key=key, traced=False)
    wanted = [float(jax.random.uniform(point_key(key, i))) for i in range(3)]
    assert found["value"].tolist() == wanted


def test_results_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    for path in (None, tmp_path / "a.zarr"):
        with pytest.raises(ValueError, match=r"function: .*float64\[2\] after float64\[1\]|shapes"):
            sweep(lambda n: np.zeros(n), {"n": range(1, 3)}, traced=False, store=path, chunk=2)
    with pytest.raises(TypeError, match="function: expected numbers as result, got 'value'"):
        sweep(lambda n: "word", {"n": [1, 2]}, traced=False)
    with pytest.raises(TypeError, match="without arrays"):
        sweep(lambda n: None, {"n": [1, 2]}, traced=False)
    with pytest.raises(ValueError, match="mesh: expected none beside traced=False"):
        sweep(lambda n: n, {"n": [1]}, traced=False, mesh=jax.make_mesh((1,), ("x",)))
    with pytest.raises(TypeError, match="traced"):
        sweep(lambda n: n, {"n": [1]}, traced="no")  # pyright: ignore[reportArgumentType]


_MODULE = """
import functools
import numpy as np
SCALE = {scale}
TABLE = np.arange({table})
UNUSED = {unused}
def helper(x):
    return x {operation} 2
class Cell:
    rate = {rate}
    def __init__(self, w):
        self.w = w
    def __call__(self, x):
        return self.w * x - {inner}
def function(x, y={default}):
    cell = Cell({w})
    return sum(helper(cell(x)) * SCALE + t for t in TABLE) + y
def outer(captured):
    def inner(x):
        return function(x) + captured
    return inner
"""
_USUAL = {
    "scale": 2,
    "table": 3,
    "unused": 1,
    "operation": "+",
    "rate": 0.1,
    "inner": 1,
    "default": 0,
    "w": 1.5,
}


def _module(**changed: Any) -> types.ModuleType:
    made = types.ModuleType("digested")
    exec(compile(_MODULE.format(**_USUAL | changed), "digested.py", "exec"), vars(made))
    return made


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scale", 3),
        ("table", 4),
        ("operation", "-"),
        ("rate", 0.2),
        ("inner", 2),
        ("default", 1),
        ("w", 1.25),
    ],
)
def test_whatever_a_function_depends_on_in_its_own_package_counts(name: str, value: Any) -> None:
    assert digest_of(_module(**{name: value}).function) != digest_of(_module().function)
    assert digest_of(_module(**{name: value}).outer(1)) != digest_of(_module().outer(1))


def test_what_it_does_not_depend_on_does_not_count() -> None:
    module = _module()
    assert (
        digest_of(module.function) == digest_of(_module().function) == digest_of(_module(unused=2).function)
    )
    assert digest_of(functools.partial(module.function, y=1)) != digest_of(
        functools.partial(module.function, y=2)
    )
    assert digest_of(module.outer(1)) != digest_of(module.outer(2))
    assert digest_of(module.outer(np.zeros(2))) != digest_of(module.outer(np.zeros((2, 1))))
    assert digest_of(module.outer({"a", "b", "c"})) == digest_of(module.outer({"c", "b", "a"}))
    assert digest_of(module.Cell(1.0)) != digest_of(module.Cell(2.0))
    assert digest_of(functools.lru_cache(module.function)) == digest_of(
        functools.lru_cache(_module().function)
    )


def test_a_function_that_calls_itself_and_captures_a_key_has_a_digest() -> None:
    def of(key: Any, depth: int) -> Any:
        def down(n: int) -> Any:
            return down(n - 1) if n > depth else key

        return down

    first = digest_of(of(jax.random.key(0), 1))
    assert first == digest_of(of(jax.random.key(0), 1))
    assert len({first, digest_of(of(jax.random.key(1), 1)), digest_of(of(jax.random.key(0), 2))}) == 3


def test_what_has_neither_attributes_nor_a_pickle_counts_by_its_class() -> None:
    first, second = (digest_of(functools.partial(print, threading.Lock())) for _ in range(2))
    assert first == second != digest_of(functools.partial(print, threading.RLock()))
    logs = [digest_of(functools.partial(print, logging.getLogger(name))) for name in ("a", "a", "b")]
    assert logs[0] == logs[1] != logs[2]
    assert digest_of(fixed_points) == digest_of(fixed_points) != digest_of(functools.partial(fixed_points))


def test_the_digest_is_that_of_every_process(tmp_path: Path) -> None:
    said = "import sys; from tests import sweeps; from rnn_dynamics.numerics.stored.code import digest_of; "
    said += "print(digest_of(sweeps.combined), digest_of(sweeps.Logged('x')))"
    root = str(Path(__file__).resolve().parents[1])
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {root!r}); {said}"]
    out = subprocess.run(command, check=True, capture_output=True, text=True, timeout=100).stdout
    assert out.split() == [digest_of(sweeps.combined), digest_of(sweeps.Logged("x"))]
