"""A grid's values do not depend on how it is cut, costs are known before they are paid, labels are kept."""

import functools
import gc
import html.parser
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnn_dynamics.numerics import mapped, storage
from rnn_dynamics.numerics.grid import Grid
from rnn_dynamics.numerics.status import Status
from rnn_dynamics.numerics.sweep import Sweep, point_key, sweep


def logistic_orbit(w, b):
    """x after 20 steps from 0, a label, and a vector."""
    x = jax.lax.fori_loop(0, 20, lambda _, x: 1.0 / (1.0 + jnp.exp(-(w * x + b))), b * 0.0)
    status = jnp.where(x > 0.5, int(Status.CONVERGED), int(Status.UNDECIDED)).astype(jnp.int32)
    return {"x": x, "status": status, "pair": jnp.stack([x, w]), "high": x > 0.5}


def numpy_orbit(w, b):
    x = np.zeros(np.broadcast_shapes(w.shape, b.shape))
    for _ in range(20):
        x = 1.0 / (1.0 + np.exp(-(w * x + b)))
    return x


def draw(w, key):
    return {"x": w + jax.random.normal(key, (), w.dtype)}


def grid(dtype: str = "float64", sizes: tuple[int, int] = (5, 7)) -> dict[str, np.ndarray]:
    return {"w": np.linspace(-4, 9, sizes[0], dtype=dtype), "b": np.linspace(-5, 1, sizes[1], dtype=dtype)}


class TestValues:
    def test_values_shapes_and_dtypes(self, dtype):
        axes = grid(dtype)
        result = sweep(logistic_orbit, axes)
        truth = numpy_orbit(axes["w"].astype(float)[:, None], axes["b"].astype(float)[None, :])
        np.testing.assert_allclose(result["x"], truth, rtol=1e-5 if dtype == "float32" else 1e-13)
        assert result["x"].dtype == dtype
        assert result["status"].dtype == np.int32
        assert result["high"].dtype == bool
        assert result["pair"].shape == (5, 7, 2)
        np.testing.assert_array_equal(result["pair"][..., 1], np.broadcast_to(axes["w"][:, None], (5, 7)))
        assert result.names == ("w", "b")
        assert result.shape == (5, 7)

    def test_axes_keep_their_order_and_integers(self):
        result = sweep(
            lambda z, a, seed: jnp.where(seed > 0, z, a), {"z": [1, 2], "seed": range(3), "a": [0.5]}
        )
        assert result.names == ("z", "seed", "a")
        assert result.axes["seed"].dtype.kind == "i"
        assert result.axes["z"].dtype == np.float64
        assert result["value"].shape == (2, 3, 1)

    def test_mixed_floats_take_the_widest(self):
        axes = {"w": np.ones(2, np.float32), "b": np.ones(3)}
        assert sweep(logistic_orbit, axes)["x"].dtype == np.float64

    def test_nested_results_are_named_and_restored(self):
        result = sweep(lambda w: {"a": (w, 2.0 * w), "b": {"c": w}}, {"w": [1.0, 2.0]})
        assert list(result.values) == ["a.0", "a.1", "b.c"]
        nested = result.result()
        np.testing.assert_array_equal(nested["a"][1], [2.0, 4.0])
        assert isinstance(nested["a"], tuple)

    def test_is_a_pytree_that_keeps_the_order_of_axes(self):
        result = sweep(lambda z, a: z * a, {"z": [1.0, 2.0], "a": [3.0]})
        doubled = jax.tree.map(lambda leaf: 2.0 * leaf, result)
        assert doubled.names == ("z", "a")
        np.testing.assert_array_equal(doubled["value"], [[6.0], [12.0]])
        assert doubled.metadata == result.metadata

    def test_progress(self, capsys):
        calls = []
        sweep(logistic_orbit, grid(), chunk=16, progress=lambda done, total: calls.append((done, total)))
        assert calls == [(16, 35), (32, 35), (35, 35)]
        sweep(logistic_orbit, grid())
        assert capsys.readouterr() == ("", "")
        sweep(logistic_orbit, grid(), progress=True)
        assert "35" in capsys.readouterr().err


class TestHazard21Shapes:
    def test_hazard_21_the_same_bits_wherever_the_point_lies(self, dtype):
        axes = grid(dtype, (13, 17))
        whole = sweep(logistic_orbit, axes, chunk=64)
        for start in (1, 5, 12):
            part = sweep(logistic_orbit, {"w": axes["w"][start:], "b": axes["b"][::-1]}, chunk=64)
            for name in whole.values:
                assert part[name].tobytes() == whole[name][start:, ::-1].tobytes(), name

    def test_hazard_21_labels_do_not_depend_on_the_chunk(self, dtype):
        results = [sweep(logistic_orbit, grid(dtype), chunk=chunk) for chunk in (None, 1, 3, 8, 1000)]
        assert [result.metadata["chunk"] for result in results] == [64, 1, 3, 8, 1000]
        for result in results[1:]:
            np.testing.assert_array_equal(result["status"], results[0]["status"])
            tolerance = 16 * np.finfo(dtype).eps
            np.testing.assert_allclose(result["x"], results[0]["x"], rtol=tolerance)

    def test_hazard_21_the_default_chunk_is_the_same_each_time(self):
        first, second = sweep(logistic_orbit, grid()), sweep(lambda w, b: logistic_orbit(w, b), grid())
        assert first.metadata["chunk"] == second.metadata["chunk"]
        for name in first.values:
            assert first[name].tobytes() == second[name].tobytes()


class TestHazard22Keys:
    def test_hazard_22_draws_do_not_depend_on_the_chunk(self, dtype):
        key = jax.random.key(22)
        axes = {"w": np.linspace(0, 1, 11, dtype=dtype)}
        whole = sweep(draw, axes, key=key)["x"]
        assert sweep(draw, axes, key=key, chunk=3)["x"].tobytes() == whole.tobytes()
        assert len(set(whole.tolist())) == 11
        for index in (0, 7):
            alone = draw(jnp.asarray(axes["w"][index]), point_key(key, index))["x"]
            np.testing.assert_allclose(alone, whole[index], rtol=1e-6)

    def test_hazard_22_the_key_is_recorded(self):
        result = sweep(draw, {"w": [1.0]}, key=jax.random.key(5))
        assert result.metadata["key"] == [0, 5]

    @pytest.mark.parametrize("key", [3, "a", np.zeros(2, np.uint32)])
    def test_hazard_22_wrong_keys(self, key):
        with pytest.raises(TypeError, match=r"key: expected one key of jax\.random\.key"):
            sweep(draw, {"w": [1.0]}, key=key)
        with pytest.raises(TypeError, match="key"):
            sweep(draw, {"w": [1.0]}, key=jax.random.split(jax.random.key(0)))


class TestHazard24And25Arguments:
    WRONG = (
        ({}, "at least one axis"),
        ({"w": []}, r"axes\['w'\]"),
        ({"w": range(0)}, r"axes\['w'\]"),
        ({"w": 1.0}, r"axes\['w'\].*1 dimension"),
        ({"w": [[1.0]]}, r"axes\['w'\].*1 dimension"),
        ({"w": np.zeros((2, 2), int)}, r"axes\['w'\].*1 dimension"),
        ({"w": [0.0, np.nan]}, r"axes\['w'\].*finite"),
        ({"w": [0.0, np.inf]}, r"axes\['w'\].*finite"),
        ({"a b": [0.0]}, "names"),
        ({"lambda": [0.0]}, "names"),
        ({"": [0.0]}, "names"),
    )

    @pytest.mark.parametrize(("axes", "message"), WRONG)
    def test_hazard_24_wrong_axes(self, axes, message):
        with pytest.raises(ValueError, match=message):
            sweep(lambda **points: points["w"], axes)

    @pytest.mark.parametrize("axes", [None, [1.0], {"w": None}, {"w": "a"}, {"w": [1j]}, {3: [1.0]}])
    def test_hazard_25_axes_of_other_types(self, axes):
        with pytest.raises(TypeError, match="axes"):
            sweep(lambda **points: points["w"], axes)

    def test_hazard_25_functions_that_do_not_fit(self):
        axes = {"w": [1.0], "b": [2.0]}
        for function in (None, 3, lambda w: w, lambda w, b, c: w, lambda x, y: x):
            with pytest.raises(TypeError, match="function: expected"):
                sweep(function, axes)
        with pytest.raises(TypeError, match="takes w, b, key by name"):
            sweep(lambda w, b: w, axes, key=jax.random.key(0))
        with pytest.raises(ValueError, match="names"):
            sweep(draw, {"w": [1.0], "key": [1.0]}, key=jax.random.key(0))

    def test_hazard_25_results_that_do_not_fit(self):
        axes = {"w": [1.0]}
        with pytest.raises(TypeError, match="function: expected a pytree"):
            sweep(lambda w: None, axes)
        with pytest.raises(TypeError, match="function: expected numbers"):
            sweep(lambda w: jax.random.key(0), axes)
        with pytest.raises(ValueError, match="one meaning for each name, got 'w'"):
            sweep(lambda w: {"w": w}, axes)
        with pytest.raises(ValueError, match=r"got 'a\.b' twice"):
            sweep(lambda w: {"a.b": w, "a": {"b": w}}, axes)

    def test_hazard_25_options(self):
        for chunk in (0, -1):
            with pytest.raises(ValueError, match="chunk"):
                sweep(logistic_orbit, grid(), chunk=chunk)
        for chunk in (2.5, True, "a"):
            with pytest.raises(TypeError, match="chunk"):
                sweep(logistic_orbit, grid(), chunk=chunk)
        with pytest.raises(ValueError, match="memory_limit"):
            sweep(logistic_orbit, grid(), memory_limit=0)
        with pytest.raises(TypeError, match="progress"):
            sweep(logistic_orbit, grid(), progress=3)

    def test_hazard_25_integers_that_jax_would_change(self):
        with jax.enable_x64(False), pytest.raises(ValueError, match=r"axes\['n'\].*fit int32"):
            sweep(lambda n: n, {"n": np.array([2**40])})

    def test_hazard_25_wrong_arguments_compile_nothing(self):
        traced = []

        def function(w):
            traced.append(w)
            return w

        start = time.thread_time()
        with pytest.raises(ValueError, match="axes"):
            sweep(function, {"w": [np.nan]})
        assert time.thread_time() - start < 0.05
        assert not traced


class TestHazard27Memory:
    def test_hazard_27_the_chunk_fits_the_limit(self):
        def large(w):
            rows = jnp.arange(256.0) * w
            return jnp.linalg.norm(jnp.sort(rows[:, None] * rows[None, :], axis=0))

        axes = {"w": np.linspace(0.1, 1, 64)}
        limit = 2**22
        result = sweep(large, axes, memory_limit=limit)
        chunk = result.metadata["chunk"]
        assert 1 <= chunk < 64
        assert mapped.plan(mapped.kernel_of(large), Grid(result.axes), chunk, limit).call == chunk
        rows = np.arange(256.0)[:, None] * axes["w"]
        truth = np.sum(rows**2, axis=0)
        np.testing.assert_allclose(result["value"], truth, rtol=1e-12)

    def test_hazard_27_65_gigabytes_are_refused_before_they_are_asked_for(self):
        def jacobians(w):
            return jnp.broadcast_to(w, (10, 64, 64)) * 1.0

        def huge(w):
            return jnp.cumsum(jnp.broadcast_to(w, (10**6, 64, 64)), axis=0)[::7]

        points = np.zeros(10**9, np.float32)
        start = time.perf_counter()
        with pytest.raises(ValueError, match="chunk: 1000 at once take"):
            sweep(jacobians, {"w": np.ones(1000)}, chunk=1000, memory_limit=2**20)
        with pytest.raises(ValueError, match="memory_limit: 1 at once take"):
            sweep(huge, {"w": np.ones(3)})
        with pytest.raises(ValueError, match="axes: the results would take"):
            sweep(jacobians, {"w": points[: 10**7]})
        with pytest.raises(ValueError, match=r"axes: expected fewer than 2\*\*32 points"):
            sweep(lambda a, b: a + b, {"a": points[: 10**5], "b": points[: 10**5]})
        assert time.perf_counter() - start < 10

    def test_hazard_27_an_exhausted_device_halves_the_chunk(self):
        axes = {"w": np.linspace(0, 1, 10)}
        given = Grid(axes)
        asked = []

        def kernel(points, indexes, key, words):
            asked.append(len(points["w"]))
            if asked[-1] > 2 or len(asked) == 3:
                raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
            return points["w"] * 2.0

        results = [np.empty(10)]
        assert mapped.fill(kernel, given, 8, results, lambda done: None) == 1
        assert asked[:4] == [8, 4, 2, 1]
        np.testing.assert_array_equal(results[0], axes["w"] * 2.0)

        def broken(points, indexes, key, words):
            raise jax.errors.JaxRuntimeError("INTERNAL: broken")

        with pytest.raises(jax.errors.JaxRuntimeError, match="broken"):
            mapped.fill(broken, given, 8, results, lambda done: None)


class TestHazard28Interrupts:
    def test_hazard_28_long_work_is_cut_into_calls(self):
        def slow(w):
            return jax.lax.fori_loop(0, 10**5, lambda _, x: jnp.sin(x * w), w)

        planned = mapped.plan(mapped.kernel_of(slow), Grid({"w": np.linspace(0, 1, 2**16)}), None, 2**30).call
        assert 16 <= planned <= 2**13

    def test_hazard_28_ctrl_c_is_heard(self):
        def slow(w):
            return jax.lax.fori_loop(0, 10**5, lambda _, x: jnp.sin(x * w), w)

        started, done = [], []

        def report(count, _):
            if not started:
                started.append(time.monotonic())
                threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
            done.append(count)

        with pytest.raises(KeyboardInterrupt):
            sweep(slow, {"w": np.linspace(0, 1, 2**16)}, progress=report)
        assert time.monotonic() - started[0] < 30  # the whole grid would take minutes
        assert done[-1] < 2**16


class TestHazard40Compiling:
    def test_hazard_40_the_same_function_is_traced_once(self):
        traced = []

        def counted(w, b):
            traced.append(1)
            return w * b

        for shift in range(4):
            sweep(counted, {"w": np.linspace(shift, 1, 5), "b": np.linspace(0, 1, 7)}, chunk=16)
        assert len(traced) == 1
        sweep(counted, {"w": np.linspace(0, 1, 50), "b": [2.0]}, chunk=16)
        assert len(traced) == 1

    def test_hazard_40_default_chunks_trace_once_more_for_a_new_size(self):
        traced = []

        def counted(w):
            traced.append(1)
            return w

        for length in (5, 6, 7, 8):
            sweep(counted, {"w": np.linspace(0, 1, length)})
        assert len(traced) == 1
        sweep(counted, {"w": np.linspace(0, 1, 9)})
        assert len(traced) == 2

    def test_hazard_40_a_function_that_is_gone_leaves_nothing(self):
        def function(w):
            return w

        reference, name = weakref.ref(function), id(function)
        sweep(function, {"w": [1.0]})
        assert name in mapped._KERNELS
        del function
        gc.collect()
        assert reference() is None
        assert name not in mapped._KERNELS

    def test_hazard_40_other_callables(self):
        class Scale:
            __slots__ = ("factor",)

            def __init__(self, factor):
                self.factor = factor

            def __call__(self, w):
                return self.factor * w

            def method(self, w):
                return self.factor * w

        axes = {"w": [1.0, 2.0]}
        scale = Scale(3.0)
        partial = functools.partial(lambda factor, w: factor * w, 3.0)
        leaf = jax.tree_util.Partial(lambda factor, w: factor * w, 3.0)
        for function in (scale, scale.method, partial, leaf, jax.jit(lambda w: 3.0 * w)):
            result = sweep(function, axes)
            np.testing.assert_array_equal(result["value"], [3.0, 6.0])
            assert isinstance(result.metadata["function"], str)


class TestFiles:
    def test_saved_and_loaded(self, tmp_path, dtype):
        result = sweep(logistic_orbit, grid(dtype))
        loaded = Sweep.load(result.save(tmp_path / "sweep.npz"))
        assert loaded.metadata == result.metadata
        assert loaded.names == result.names
        for name in result.values:
            assert loaded[name].dtype == result[name].dtype
            assert loaded[name].tobytes() == result[name].tobytes()
        assert repr(loaded) == repr(result)
        with pytest.raises(ValueError, match="file"):
            loaded.result()

    def test_other_arrays_are_refused(self, tmp_path):
        axes, values = {"axes.w": np.zeros(3)}, {"values.x": np.zeros(4)}
        for arrays, metadata in (
            (axes | values, {"kind": "sweep"}),
            (axes | {"values.x": np.zeros(3)}, {}),
            (axes, {"kind": "sweep"}),
            ({"axes.w": np.zeros(())} | values, {"kind": "sweep"}),
        ):
            path = storage.save(tmp_path / "a.npz", arrays, metadata)
            with pytest.raises(storage.StorageError, match=r"a\.npz: expected a sweep"):
                Sweep.load(path)


class TestLabels:
    def test_xarray(self):
        pytest.importorskip("xarray")
        result = sweep(logistic_orbit, grid(), key=None)
        dataset = result.to_xarray()
        assert dataset["x"].dims == ("w", "b")
        assert dataset["pair"].dims == ("w", "b", "pair_0")
        assert dataset["status"].dtype == np.int32
        np.testing.assert_array_equal(dataset.coords["b"], result.axes["b"])
        np.testing.assert_array_equal(dataset["x"].sel(w=9.0), result["x"][-1])
        assert dataset.attrs["chunk"] == 64

    def test_names_in_the_place_of_numbers(self):
        pytest.importorskip("xarray")
        labels = {"labels": {"w": ["low", "high"], "b": ["too", "many", "names"]}}
        result = Sweep({"w": np.arange(2), "b": np.arange(2.0)}, {"x": np.ones((2, 2))}, labels)
        assert result.to_xarray().coords["w"].values.tolist() == ["low", "high"]
        assert result.to_xarray().coords["b"].values.tolist() == [0, 1]
        assert "low, high" in repr(result)

    def test_xarray_missing(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "xarray", None)
        with pytest.raises(ImportError, match=r"pip install xarray .*'\.\[data\]'"):
            sweep(logistic_orbit, grid()).to_xarray()

    def test_unknown_value(self):
        with pytest.raises(KeyError, match="expected one of"):
            sweep(logistic_orbit, grid())["y"]

    def test_repr_is_short_and_legible(self):
        text = repr(sweep(logistic_orbit, grid()))
        assert "axis w: 5 float64, -4.0 … 9.0" in text
        assert "value pair: 5 × 7 × 2 float64" in text
        assert len(text) < 600

    def test_hazard_36_every_string_is_escaped(self):
        evil = "<script>alert('x')</script>"

        class Tags(html.parser.HTMLParser):
            seen: set[str] = set()  # noqa: RUF012

            def handle_starttag(self, tag, attrs):
                self.seen.add(tag)

        result = Sweep({evil: np.zeros(2)}, {evil: np.zeros(2)}, {"function": evil, "device": evil})
        text = result._repr_html_()
        Tags().feed(text)
        assert {"table", "caption", "pre"} <= Tags.seen
        assert not Tags.seen & {"script", "img"}
        assert "<script" not in text
        assert text.count("&lt;script&gt;") >= 4
        assert "&lt;lambda&gt;" in sweep(lambda w: w, {"w": [1.0]})._repr_html_()


def test_importing_touches_neither_devices_nor_xarray():
    program = """
        import sys
        import rnn_dynamics.numerics.sweep
        from jax._src import xla_bridge
        assert not xla_bridge._backends
        assert "xarray" not in sys.modules and "tqdm" not in sys.modules
    """
    source = Path(storage.__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": str(source)}
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], env=environment, check=True, timeout=60)
