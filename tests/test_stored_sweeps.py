"""A sweep's store: what is there stays and is right, whatever happened; others read it; anyone may compute it."""

import contextlib
import errno
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray

from rnn_dynamics.numerics import files
from rnn_dynamics.numerics.progress import words
from rnn_dynamics.numerics.storage import StorageError
from rnn_dynamics.numerics.stored import chunks, filling, opening, workers
from rnn_dynamics.numerics.stored.blocks import Blocks
from rnn_dynamics.numerics.stored.opening import opened
from rnn_dynamics.numerics.sweep import Sweep, sweep
from tests import sweeps

pytest.importorskip("zarr")
AXES = {name: np.linspace(*ends) for name, ends in sweeps.AXES.items()}
POINTS = math.prod(len(points) for points in AXES.values())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of nine weights times seven biases, in blocks of 4 or 3 points."""
    path = tmp_path_factory.mktemp("stores") / "a.zarr"
    sweep(sweeps.orbit, AXES, store=path, chunk=4)
    return path


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "b.zarr")
    return tmp_path / "b.zarr"


def _same(found: Any, path: Path) -> None:
    """To the bit what the finished store has."""
    for name in ("x", "high", "both"):
        wanted = opened(path).read(name)[...]
        assert found[name].dtype == wanted.dtype
        assert found[name].tobytes() == wanted.tobytes()


def _files(path: Path) -> dict[str, tuple[bytes, int]]:
    found = [one for one in path.rglob("*") if one.is_file()]
    return {str(one.relative_to(path)): (one.read_bytes(), one.stat().st_mtime_ns) for one in found}


@pytest.mark.parametrize("points", [1, 2, 3, 5, 6, 7, 30, 31, 60, 1000])
@pytest.mark.parametrize("shape", [(7,), (3, 5), (4, 1, 6), (2, 3, 5)])
def test_blocks_are_runs_of_points_and_boxes_of_the_grid(shape: tuple[int, ...], points: int) -> None:
    blocks = Blocks.of(shape, points)
    assert blocks.points <= points
    numbers = np.arange(math.prod(shape)).reshape(shape)
    seen = []
    for index in range(len(blocks)):
        inside = numbers[blocks.box_at(index)].ravel()
        assert inside[0] == blocks.start(index)
        assert (np.diff(inside) == 1).all()
        assert blocks.index(blocks.place(index)) == index
        seen.append(inside)
    assert np.concatenate(seen).tolist() == numbers.ravel().tolist()


def test_values_are_those_in_memory_and_xarray_reads_them(finished: Path) -> None:
    memory, stored = sweep(sweeps.orbit, AXES), sweep(sweeps.orbit, AXES, store=finished, chunk=4)
    for name, value in memory.values.items():
        np.testing.assert_allclose(stored[name], value, rtol=1e-15)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = xarray.open_zarr(finished)
    assert data.x.dims == ("w", "b")
    assert data.both.dims == ("w", "b", "both_0")
    assert data.x.chunks is not None  # read when it is used
    assert bool(data.computed.all())
    for name, points in AXES.items():
        np.testing.assert_array_equal(data[name], points)
    np.testing.assert_array_equal(data.both.sel(w=8.0)[:, 0], 8.0)
    assert data.equals(stored.to_xarray())


def test_a_store_is_read_in_slices_and_kept_as_any_sweep(finished: Path, tmp_path: Path) -> None:
    stored = sweep(sweeps.orbit, AXES, store=finished, chunk=4)
    assert stored.values["both"][2, 3].tolist() == [AXES["w"][2], AXES["b"][3]]
    assert stored.result()["x"].shape == (9, 7)
    back = Sweep.load(stored.save(tmp_path / "a.npz"))
    _same(back, finished)
    assert back.path is None
    assert "9 × 7 × 2 float64" in repr(stored)
    assert len(jax.tree.leaves(stored)) == 5


def test_what_is_there_is_not_computed_again(copied: Path) -> None:
    before = _files(copied)
    sweep(sweeps.orbit, AXES, store=copied, chunk=4)
    after = _files(copied)
    assert {name: one for name, one in after.items() if not name.endswith(".lock")} == {
        name: one for name, one in before.items() if not name.endswith(".lock")
    }


_CHILD = """
import sys, jax
jax.config.update("jax_enable_x64", True)
import numpy as np
from rnn_dynamics.numerics.sweep import sweep
from tests import sweeps
if __name__ == "__main__":
    axes = {name: np.linspace(*ends) for name, ends in sweeps.AXES.items()}
    sweep(getattr(sweeps, sys.argv[1]), axes, store=sys.argv[2], chunk=4, executor=eval(sys.argv[3]))
"""


def _child(tmp_path: Path, function: str, store: Path, executor: int | None) -> subprocess.Popen[bytes]:
    script = tmp_path / "child.py"
    script.write_text(_CHILD, encoding="utf-8")
    root = str(Path(__file__).resolve().parents[1])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    return subprocess.Popen([sys.executable, script, function, store, str(executor)], env=environment)


@pytest.mark.parametrize("executor", [None, 2], ids=["here", "processes"])
def test_a_killed_sweep_goes_on_where_it_was(executor: int | None, tmp_path: Path) -> None:
    path, wanted = tmp_path / "a.zarr", AXES["w"][:, None] * AXES["b"]
    child = _child(tmp_path, "slow", path, executor)
    end = time.monotonic() + 120
    while time.monotonic() < end and not (path.exists() and opened(path).done().sum() >= 3):
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    deadline = time.monotonic() + 60
    while True:  # workers whose parent is gone end by themselves
        try:
            with opened(path).locked():
                break
        except StorageError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    store = opened(path)
    done = store.done()
    assert 3 <= done.sum() < len(done)
    assert store.damaged() == {}
    (path / "x.tmp").write_bytes(b"mine")
    (path / "value" / ".0123.tmp").write_bytes(b"left behind")
    before = _files(path)
    found = sweep(sweeps.slow, AXES, store=path, chunk=4)
    np.testing.assert_array_equal(found["value"], wanted)
    after = _files(path)
    kept = [name for name in before if name.startswith("value/c/") and store.done()[_block(store, name)]]
    assert kept
    assert all(after[name] == before[name] for name in kept if done[_block(store, name)])
    assert "x.tmp" in after
    assert "value/.0123.tmp" not in after


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_workers_killed_at_random_moments_lose_nothing(tmp_path: Path) -> None:
    """Forty times over sweeps of 216 blocks: nothing lost, nothing that was done computed again, none corrupt."""
    axes = {name: np.linspace(0, 1, 36) for name in AXES}
    wanted, draws = axes["w"][:, None] * axes["b"], np.random.default_rng(0)
    script, root = tmp_path / "child.py", str(Path(__file__).resolve().parents[1])
    script.write_text(_CHILD.replace("linspace(*ends)", "linspace(0, 1, 36)").replace("chunk=4", "chunk=6"))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    deaths, sweeps_done = 0, 0
    while deaths < 40:
        path, times = tmp_path / f"{sweeps_done}.zarr", {}
        command = [sys.executable, script, "slow", path, "2"]
        child = subprocess.Popen(command, env=environment, start_new_session=True)
        while child.poll() is None:
            time.sleep(float(draws.uniform(1, 8)))  # a new worker takes seconds to be there
            workers = _children(child.pid)
            if path.exists():
                times |= {
                    one: (path / one).stat().st_mtime_ns for one in _done_files(path) if one not in times
                }
            if workers and draws.random() < 0.8:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(draws.choice(workers)), signal.SIGKILL)
                    deaths += 1
        found = sweep(sweeps.slow, axes, store=path, chunk=6)
        np.testing.assert_array_equal(found["value"], wanted)
        assert opened(path).damaged() == {}
        assert not list(path.rglob("*.tmp"))
        assert all((path / one).stat().st_mtime_ns == when for one, when in times.items())
        sweeps_done += 1


def _done_files(path: Path) -> list[str]:
    store = opened(path)
    return [str(store._file("value", int(i)).relative_to(path)) for i in np.flatnonzero(store.done())]


def _children(parent: int) -> list[int]:
    found = Path(f"/proc/{parent}/task/{parent}/children")
    try:
        pids = [int(pid) for pid in found.read_text().split()]
        return [pid for pid in pids if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    except OSError:
        return []


def _block(store: Any, name: str) -> int:
    return store.blocks.index(tuple(int(part) for part in name.split("/")[2:]))


def test_a_block_that_kills_its_worker_is_set_aside_and_the_rest_is_there(tmp_path: Path) -> None:
    with pytest.warns(filling.IncompleteSweepWarning, match="1 of 9 blocks were set aside.*died, 3 times"):
        found = sweep(sweeps.deadly, AXES, store=tmp_path / "a.zarr", chunk=7, executor=2)
    assert np.isnan(found["value"][-1]).all()
    np.testing.assert_array_equal(found["value"][:-1], AXES["w"][:-1, None] + AXES["b"])
    data = found.to_xarray()
    assert int(data.computed.sum()) == POINTS - len(AXES["b"])
    (told,) = opened(tmp_path / "a.zarr").failures().values()
    assert told["points"] == {"w": [8.0, 8.0], "b": [-5.0, 1.0]}
    assert told["box"] == [[8, 9], [0, 7]]


def test_a_pool_that_breaks_while_blocks_are_given_out_is_renewed(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewed, real = [], workers.Spawned.submit

    def submitted(self: Any, *arguments: Any) -> Any:
        if arguments[2] in (3, 9) and renewed.count(arguments[2]) < 1:
            renewed.append(arguments[2])
            raise futures.BrokenExecutor
        return real(self, *arguments)

    monkeypatch.setattr(workers.Spawned, "submit", submitted)
    _same(sweep(sweeps.orbit, AXES, store=tmp_path / "a.zarr", chunk=4, executor=1), finished)
    assert renewed == [3, 9]


@pytest.mark.parametrize("executor", ["pool", "threads"])
def test_any_executor_computes_and_what_raises_is_set_aside_with_its_words(
    executor: str, finished: Path, tmp_path: Path
) -> None:
    import multiprocessing

    context = multiprocessing.get_context("spawn")
    pool: Any = (
        futures.ProcessPoolExecutor(1, mp_context=context)
        if executor == "pool"
        else futures.ThreadPoolExecutor(2)
    )
    with pool:
        _same(sweep(sweeps.orbit, AXES, store=tmp_path / "a.zarr", chunk=4, executor=pool), finished)
        with pytest.warns(filling.IncompleteSweepWarning, match="no such weight"):
            found = sweep(sweeps.refusing, AXES, store=tmp_path / "b.zarr", chunk=4, executor=pool)
    assert np.isnan(found["value"]).sum() == len(AXES["b"])


def test_keys_are_those_of_the_points_whoever_computes(tmp_path: Path) -> None:
    key = jax.random.key(3)
    wanted = sweep(sweeps.noisy, AXES, key=key)
    for executor in (None, 1):
        found = sweep(
            sweeps.noisy, AXES, key=key, store=tmp_path / f"{executor}.zarr", chunk=4, executor=executor
        )
        np.testing.assert_array_equal(found["value"], wanted["value"])


def _others() -> Iterator[tuple[str, Any, dict[str, Any], Any]]:
    scale = jnp.asarray(2.0)
    yield "function", lambda w, b: {**sweeps.orbit(w, b), "x": w}, AXES, None
    yield "captured", lambda w, b: {**sweeps.orbit(w, b), "x": scale * w}, AXES, None
    yield (
        "axis b is 7 float64 there and 8 float64 here",
        sweeps.orbit,
        AXES | {"b": np.linspace(-5, 1, 8)},
        None,
    )
    yield "axis w has other points", sweeps.orbit, AXES | {"w": AXES["w"] + 1e-9}, None
    yield "axes is w, b there and b, w here", sweeps.orbit, dict(reversed(AXES.items())), None
    yield "key is none there", lambda w, b, key: sweeps.orbit(w, b), AXES, jax.random.key(0)


@pytest.mark.parametrize("which", range(6))
def test_a_store_of_something_else_is_refused_with_the_difference(which: int, copied: Path) -> None:
    said, function, axes, key = list(_others())[which]
    before = _files(copied)
    with pytest.raises(StorageError, match=said if which != 0 else "the function is another one"):
        sweep(function, axes, key=key, store=copied, chunk=4)
    assert _files(copied) == before


def test_the_value_of_a_captured_array_is_part_of_the_function(tmp_path: Path) -> None:
    def scaled(by: float) -> Any:
        factor = jnp.asarray([by, 1.0])
        return lambda w, b: (factor * w).sum() + b

    sweep(scaled(2.0), AXES, store=tmp_path / "a.zarr", chunk=32)
    sweep(scaled(2.0), AXES, store=tmp_path / "a.zarr", chunk=32)
    with pytest.raises(StorageError, match="an array that it captured"):
        sweep(scaled(2.5), AXES, store=tmp_path / "a.zarr", chunk=32)


def _same_json(first: bytes, second: bytes) -> bool:
    """Of a bit that changes how a text looks and not what it says."""
    try:
        return json.loads(first) == json.loads(second)
    except ValueError:
        return False


@pytest.mark.parametrize(
    "count", [20, pytest.param(2000, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])]
)
@pytest.mark.parametrize("kind", ["flipped", "cut"])
def test_no_damage_is_accepted_in_silence(kind: str, count: int, copied: Path, finished: Path) -> None:
    """Each bit or length is found, its block named, and mended by the same call."""
    draws = np.random.default_rng(count)
    whole = [one for one in copied.rglob("*") if one.is_file() and one.name != ".lock"]
    for number in range(count):
        file = whole[draws.integers(len(whole))]
        content = bytearray(file.read_bytes())
        at = int(draws.integers(len(content)))
        changed = content[:at]
        if kind == "flipped":
            changed = content[:]
            changed[at] ^= 1 << int(draws.integers(8))
        file.write_bytes(changed)
        told = None
        try:
            store = opened(copied)
            damaged = store.damaged()
            told = damaged or None
            found = sweep(sweeps.orbit, AXES, store=copied, chunk=4)
            for name in ("x", "high", "both"):
                assert found[name].tobytes() == opened(finished).read(name)[...].tobytes(), (number, file)
        except StorageError as error:
            told = str(error)
        is_same = file.suffix == ".json" and changed != content[:at] and _same_json(changed, content)
        assert told is not None or is_same, (number, file)
        file.write_bytes(content)


@pytest.mark.parametrize("at", [0, -1])
def test_a_damaged_axis_is_named_whether_in_its_points_or_in_their_check(at: int, copied: Path) -> None:
    file = copied / "b" / "c" / "0"
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)
    with pytest.raises(StorageError, match="not the points of axis b that were written"):
        opened(copied).axes()


def test_damaged_blocks_are_named(copied: Path) -> None:
    store = opened(copied)
    first, second = store._file("both", 3), store._file("x", 5)
    first.write_bytes(first.read_bytes()[:-1] + b"x")
    second.unlink()
    assert store.damaged() == {3: {"both": "damaged"}, 5: {"x": "missing"}}


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("step", range(12))
def test_a_fault_at_any_step_of_writing_leaves_the_old_or_the_new(
    step: int, error: int, copied: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(copied)
    values = [
        np.asarray(store.read(name)[store.blocks.box_at(2)]).reshape(4, *part.shape)
        for name, part in store.parts.items()
    ]
    store.forget(2)
    count, real = 0, os.fsync

    def failing(*arguments: Any) -> None:
        nonlocal count
        count += 1
        if count == step + 1:
            raise OSError(error, os.strerror(error))
        real(*arguments)

    monkeypatch.setattr(files.os, "fsync", failing)
    with contextlib.suppress(OSError):
        store.write(2, values)
    monkeypatch.undo()
    assert store.damaged() == {}
    _same(sweep(sweeps.orbit, AXES, store=copied, chunk=4), finished)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[1]",
        b"\xff\xfe",
        b'{"attributes": {"rnn_dynamics": 3}}',
        b'{"attributes": {"rnn_dynamics": {"digest": "", "format": "rnn_dynamics.sweep", "version": 9}}}',
        b"[" * 100_000,
        b" " * (2**20 + 1),
    ],
    ids=range(8),
)
def test_foreign_folders_are_refused(content: bytes, copied: Path) -> None:
    (copied / "zarr.json").write_bytes(content)
    with pytest.raises(StorageError):
        opened(copied)
    with pytest.raises(StorageError):
        sweep(sweeps.orbit, AXES, store=copied)


def _forged(path: Path, change: Any) -> None:
    group = json.loads((path / "zarr.json").read_text())
    manifest = group["attributes"]["rnn_dynamics"]
    manifest.pop("digest")
    change(manifest)
    manifest["digest"] = opening._seal(manifest)
    (path / "zarr.json").write_text(json.dumps(group))


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m["values"][0].update(dtype="|O"),
        lambda m: m["values"][0].update(name="../../x"),
        lambda m: m["values"][0].update(name="w"),
        lambda m: m["values"][0].update(shape=[-1]),
        lambda m: m["axes"][0].update(length=10**13),
        lambda m: m["axes"][0].update(name="/etc"),
        lambda m: m.update(box=[4, 4, 4]),
        lambda m: m.update(box=[0, 4]),
        lambda m: m.pop("metadata"),
    ],
    ids=["pickles", "path", "twice", "negative", "large", "root", "rank", "empty", "lacks"],
)
def test_manifests_that_no_sweep_has_are_refused(change: Any, copied: Path) -> None:
    _forged(copied, change)
    with pytest.raises(StorageError, match="makes no sense"):
        opened(copied)


def test_arrays_that_were_exchanged_are_refused(copied: Path) -> None:
    described = json.loads((copied / "x" / "zarr.json").read_text())
    described["shape"] = [10**7, 10**6]
    (copied / "x" / "zarr.json").write_text(json.dumps(described))
    with pytest.raises(StorageError, match="not the description of the array that was written"):
        opened(copied)


def test_one_sweep_writes_at_a_time(copied: Path) -> None:
    with opened(copied).locked(), pytest.raises(StorageError, match="another sweep is writing"):
        sweep(sweeps.orbit, AXES, store=copied, chunk=4)


def test_a_chunk_of_fill_values_is_a_file_as_any_other(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    found = sweep(lambda w, b: {"none": jnp.nan * w, "zero": jnp.zeros((), int)}, AXES, store=path, chunk=63)
    assert opened(path).damaged() == {}
    assert np.isnan(found["none"]).all()
    assert bool(xarray.open_zarr(path).computed.all())


def test_chunks_are_those_that_zarr_writes(tmp_path: Path) -> None:
    import zarr
    from zarr.codecs import BytesCodec, Crc32cCodec

    block = np.random.default_rng(0).normal(size=(2, 3))
    made = zarr.create_array(
        tmp_path / "a",
        shape=(2, 3),
        chunks=(2, 3),
        dtype="f8",
        filters=None,
        serializer=BytesCodec(),
        compressors=[Crc32cCodec()],
    )
    made[...] = block
    assert (tmp_path / "a" / "c" / "0" / "0").read_bytes() == chunks.encoded(block, (2, 3))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"store": 3}, "store: expected the path of a folder"),
        ({"executor": 2}, "executor: expected a store too"),
        ({"store": "a.zarr", "executor": "dask"}, "executor: expected a number of processes"),
        ({"store": "a.zarr", "executor": True}, "executor: expected a number of processes"),
        ({"store": "a.zarr", "executor": 0}, "executor: expected 1 to 4096 processes"),
        ({"mesh": 2}, "mesh: expected a jax.sharding.Mesh"),
        (
            {"store": "a.zarr", "executor": 2, "mesh": jax.make_mesh((1,), ("x",))},
            "mesh: expected no executor",
        ),
    ],
)
def test_wrong_arguments_are_refused(
    options: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((TypeError, ValueError), match=said):
        sweep(sweeps.orbit, AXES, **options)
    assert list(tmp_path.iterdir()) == []


def test_functions_that_cannot_be_sent_and_names_that_are_no_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="function: expected one that worker processes can import"):
        sweep(lambda w, b: w * b, AXES, store=tmp_path / "a.zarr", executor=1)
    for name in ("a/b", "..", "computed"):
        with pytest.raises(ValueError, match="expected names of words for a store"):
            sweep(lambda w, b, name=name: {name: w * b}, AXES, store=tmp_path / "b.zarr")
    assert not (tmp_path / "b.zarr").exists()


_DEVICES = """
import hashlib, sys, jax
jax.config.update("jax_enable_x64", True)
import numpy as np
from rnn_dynamics.numerics.sweep import sweep
from tests import sweeps
axes = {name: np.linspace(*ends) for name, ends in sweeps.AXES.items()}
mesh = jax.make_mesh((len(jax.devices()),), ("points",)) if len(jax.devices()) > 1 else None
found = sweep(sweeps.orbit, axes, store=sys.argv[1], chunk=int(sys.argv[2]), mesh=mesh)
memory = sweep(sweeps.orbit, axes, mesh=mesh)
for name in ("x", "both"):
    assert np.allclose(memory[name], found[name], rtol=1e-15, atol=0), name
np.savez(sys.argv[3], devices=len(jax.devices()), **{name: found[name] for name in found.values})
"""


@pytest.mark.parametrize(("devices", "chunk"), [(2, 4), (8, 63), (8, 5)])
def test_devices_share_a_call_and_change_no_label(
    devices: int, chunk: int, finished: Path, tmp_path: Path
) -> None:
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    root = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    arguments = [str(tmp_path / "a.zarr"), str(chunk), str(tmp_path / "out.npz")]
    command = [sys.executable, "-c", _DEVICES, *arguments]
    subprocess.run(
        command, env=os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": path}, check=True, timeout=200
    )
    found = np.load(tmp_path / "out.npz")
    assert found["devices"] == devices
    wanted = opened(finished)
    np.testing.assert_array_equal(found["high"], wanted.read("high")[...])
    np.testing.assert_allclose(found["x"], wanted.read("x")[...], rtol=1e-14)


def test_lines_say_how_far_it_is_how_quickly_it_goes_and_what_was_set_aside(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words(100, "block", 10, 10, 0, 3.0) == "10 of 100 blocks"
    assert words(100, "block", 10, 40, 0, 60.0) == "40 of 100 blocks, 30 a minute, 120 s left"
    assert words(100, "block", 10, 40, 20, 60.0) == "40 of 100 blocks, 30 a minute, 80 s left, 20 set aside"
    sweep(sweeps.orbit, AXES, store=finished, chunk=4, progress=True)
    assert capsys.readouterr().err == "sweep: 18 blocks evaluated\n"


def test_progress_counts_points_of_the_grid(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    sweep(sweeps.orbit, AXES, store=tmp_path / "a.zarr", chunk=21, progress=lambda *both: told.append(both))
    assert told == [(21, POINTS), (42, POINTS), (63, POINTS)]
