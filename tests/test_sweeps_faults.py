"""A sweep's store comes back whole after any fault of disk, memory, process or somebody else's files."""

import contextlib
import errno
import itertools
import json
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from rnn_dynamics import cli
from rnn_dynamics.numerics.grid import Grid
from rnn_dynamics.numerics.storage import StorageError
from rnn_dynamics.numerics.stored import filling, opening, workers
from rnn_dynamics.numerics.stored.opening import create, opened
from rnn_dynamics.numerics.stored.store import Part, Store
from rnn_dynamics.numerics.sweep import sweep
from rnn_dynamics.numerics.swept import of_store
from tests import foreign_stores, sweeps
from tests.foreign_stores import _sealed as sealed
from tests.write_faults import error_of, fault_at

pytest.importorskip("zarr")
AXES = {name: np.linspace(*ends) for name, ends in sweeps.AXES.items()}
ERRORS = (errno.ENOSPC, errno.EIO, errno.EINTR)
AXIS = {"w": np.arange(6.0)}
SOAK = [pytest.mark.soak, pytest.mark.timeout(3600)]


def line(w: Any) -> Any:
    """Of one axis, so that a store has few files."""
    return {"x": 2 * w, "y": w > 2}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of nine weights times seven biases, in blocks of 4 or 3 points."""
    path = tmp_path_factory.mktemp("stores") / "a.zarr"
    sweep(sweeps.orbit, AXES, store=path, chunk=4)
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of six points in two blocks."""
    path = tmp_path_factory.mktemp("stores") / "a.zarr"
    sweep(line, AXIS, store=path, chunk=3)
    return path


@pytest.fixture
def copied(small: Path, tmp_path: Path) -> Path:
    shutil.copytree(small, tmp_path / "b.zarr")
    return tmp_path / "b.zarr"


def _files(path: Path) -> dict[str, bytes]:
    found = [one for one in path.rglob("*") if one.is_file() and one.name != ".lock"]
    return {str(one.relative_to(path)): one.read_bytes() for one in found}


def _is_same(found: Any, path: Path) -> bool:
    store = opened(path)
    return all(found[name].tobytes() == store.read(name)[...].tobytes() for name in store.parts)


# Every step of writing ------------------------------------------------------------------------------------------


def _values(store: Store, by: int) -> list[np.ndarray]:
    return [np.full((store.blocks.points, *p.shape), by, p.dtype) for p in store.parts.values()]


def _tried(store: Store, what: str) -> None:
    """One thing that a sweep writes."""
    if what == "block":
        store.forget(1)
        store.write(1, _values(store, 1))
    elif what == "note":
        store.set_aside(1, "because", {"w": [0, 1]})
    else:
        store.note_smaller(2, 1)


def _check_written(path: Path, before: dict[str, bytes], new: dict[str, bytes], what: str) -> None:
    """Each file is the old one, or the new one, or not there where there is no old one or its mark was taken."""
    store, now = opened(path), _files(path)
    for name, content in now.items():
        if not name.endswith(".tmp"):
            assert content in (before.get(name), new.get(name)), name
    gone = set(before) - set(now)
    assert gone <= {"computed/c/1"}
    assert store.damaged() == {}
    if store.done()[1] and what == "block":
        chunks = [name for name in new if name.endswith("c/1")]
        assert len({all(now[name] == one[name] for name in chunks) for one in (before, new)}) == 2
    with store.locked():
        assert not list(path.rglob("*.tmp"))


def _old_and_new(small: Path, copied: Path, what: str) -> tuple[dict[str, bytes], dict[str, bytes]]:
    _tried(opened(copied), what)
    new = _files(copied)
    shutil.rmtree(copied)
    shutil.copytree(small, copied)
    return _files(small), new


@pytest.mark.parametrize("what", ["block", "note", "smaller"])
def test_an_error_at_any_step_of_writing_leaves_the_old_or_the_new(
    what: str, small: Path, copied: Path
) -> None:
    old, new = _old_and_new(small, copied, what)
    store = opened(copied)
    for at in itertools.count():
        with fault_at(at, error_of(ERRORS[at % 3])) as steps, contextlib.suppress(OSError):
            _tried(store, what)
        _check_written(copied, old, new, what)
        shutil.rmtree(copied)
        shutil.copytree(small, copied)
        if steps.count <= at:
            break
    assert at > (12 if what == "block" else 4)


def _environment() -> dict[str, str]:
    root = str(Path(__file__).resolve().parents[1])
    return os.environ | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}


_KILLED_WRITING = """
import pickle, shutil, sys
from pathlib import Path
from tests.write_faults import killed_at_each_step
store, values, whole = pickle.load(sys.stdin.buffer)  # which imports no JAX: forking is safe

def call():
    store.forget(1)
    store.write(1, values)
    store.set_aside(1, "because", {})
    store.note_smaller(2, 1)

def look(at):
    shutil.move(store.path, f"{store.path}.{at}")
    shutil.copytree(whole, store.path)

assert "jax" not in sys.modules
print(killed_at_each_step(call, look))
"""


def test_a_kill_at_any_step_of_writing_leaves_the_old_or_the_new(small: Path, copied: Path) -> None:
    """The block's chunks and mark, and both kinds of notes; a child is killed at each call to the system."""
    store = opened(copied)
    _, new = _old_and_new(small, copied, "block")
    told = subprocess.run(
        [sys.executable, "-c", _KILLED_WRITING],
        input=pickle.dumps((store, _values(store, 1), small)),
        env=_environment(),
        check=True,
        capture_output=True,
        timeout=100,
    )
    steps = int(told.stdout)
    assert steps > 20
    old = _files(small)
    for at in range(steps + 1):
        path = copied.with_name(f"b.zarr.{at}")
        notes = {name: content for name, content in _files(path).items() if name.endswith(".json")}
        _check_written(path, old, new | notes, "block")
        found = opened(path)
        assert set(found.failures()) <= {1}
        assert set(found.smaller()) <= {2}
        assert len(list(path.rglob("computed/*/*.json"))) == len(found.failures()) + len(found.smaller())


def _made(path: Path) -> None:
    create(path, Grid(AXIS), {"x": Part(np.dtype(float), ())}, 3, {"identity": {}, "metadata": {}})


@pytest.mark.parametrize("every", [7, pytest.param(1, marks=SOAK)])
def test_an_error_at_any_step_of_creation_leaves_a_whole_store_or_none(every: int, tmp_path: Path) -> None:
    for at in itertools.count(step=every):
        for error in ERRORS if every == 1 else (ERRORS[at % 3],):
            path = tmp_path / f"{at}-{error}.zarr"
            with fault_at(at, error_of(error)) as steps, contextlib.suppress(OSError):
                _made(path)
            if path.exists():
                assert opened(path).axes()["w"].tolist() == AXIS["w"].tolist()
            assert [one.name for one in tmp_path.iterdir() if one.name.endswith(".new")] == []
            sweep(line, AXIS, store=tmp_path / "same.zarr", chunk=3)
        if steps.count <= at:
            break
    assert at > 30


_KILLED_MAKING = """
import sys
from pathlib import Path
from tests import test_sweeps_faults
from tests.write_faults import killed_at_each_step
folder = Path(sys.argv[1])
numbers = iter(range(10_000))
now = [next(numbers)]

def look(at):
    now[0] = next(numbers)

print(killed_at_each_step(lambda: test_sweeps_faults._made(folder / f"{now[0]}.zarr"), look))
"""


@pytest.mark.soak
def test_a_kill_at_any_step_of_creation_leaves_a_whole_store_or_none(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", _KILLED_MAKING, str(tmp_path)]
    told = subprocess.run(command, env=_environment(), check=True, capture_output=True, timeout=280)
    steps = int(told.stdout)
    assert steps > 30
    left = list(tmp_path.glob(".*.new"))
    assert left
    for path in tmp_path.glob("[0-9]*.zarr"):
        assert opened(path).axes()["w"].tolist() == AXIS["w"].tolist()
    for one in left:
        os.utime(one, (0, 0))
    for at in range(steps + 1):
        if not (tmp_path / f"{at}.zarr").exists():
            _made(tmp_path / f"{at}.zarr")
    assert not list(tmp_path.glob(".*.new"))


# A sweep that is interrupted and goes on ------------------------------------------------------------------------


def _interrupted(path: Path, after: int, executor: Any) -> None:
    """Begin or go on, and be interrupted after so many blocks, in the midst of others."""
    count = 0

    def stop(done: int, total: int) -> None:
        nonlocal count
        count += 1
        if count > after:
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        sweep(sweeps.orbit, AXES, store=path, chunk=4, executor=executor, progress=stop)


@contextlib.contextmanager
def _workers(count: int, processes: bool) -> Iterator[Any]:
    """So many, and this process for none."""
    if count == 0 or processes:
        yield count or None
        return
    with futures.ThreadPoolExecutor(count) as pool:
        yield pool


@pytest.mark.parametrize("count", [4, pytest.param(100, marks=SOAK)])
def test_a_sweep_that_stops_anywhere_and_goes_on_with_others_is_the_same(
    count: int, finished: Path, tmp_path: Path
) -> None:
    """Stopped at random blocks, gone on with by none to three workers; of 100 times every tenth with processes."""
    draws = np.random.default_rng(count)
    for number in range(count):
        path = tmp_path / f"{number}.zarr"
        while not (path.exists() and opened(path).done().all()):
            with _workers(int(draws.integers(4)), count == 100 and number % 10 == 0) as executor:
                _interrupted(path, int(draws.integers(12)), executor)
        assert opened(path).damaged() == {}
        assert _is_same(sweep(sweeps.orbit, AXES, store=path, chunk=4), finished)
        marks, files = _files(finished), _files(path)
        assert {n: c for n, c in files.items() if "/c/" in n} == {
            n: c for n, c in marks.items() if "/c/" in n
        }
        shutil.rmtree(path)


# The folder itself ----------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Consolidated metadata")  # filters are those of all threads
def test_of_many_that_make_a_store_at_once_one_does(tmp_path: Path) -> None:
    path, ends, start = tmp_path / "a.zarr", [], threading.Barrier(4)

    def run() -> None:
        start.wait()
        try:
            _made(path)
            ends.append("made")
        except FileExistsError:
            ends.append("was there")

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ends) == ["made", "was there", "was there", "was there"]
    assert [one.name for one in tmp_path.iterdir()] == ["a.zarr"]


def test_a_store_that_another_process_made_meanwhile_is_gone_on_with(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, path = opening._sync, tmp_path / "a.zarr"

    def quicker(folder: Path) -> None:
        real(folder)
        shutil.copytree(small, path)

    monkeypatch.setattr(opening, "_sync", quicker)
    before = _files(small)
    sweep(line, AXIS, store=path, chunk=3)
    assert _files(path) == before


def test_an_empty_folder_over_which_nothing_is_renamed_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real = tmp_path / "a.zarr", os.rename

    def rename(source: Any, target: Any) -> None:
        if os.path.isdir(target):
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))
        real(source, target)

    path.mkdir()
    monkeypatch.setattr(os, "rename", rename)
    _made(path)
    assert opened(path).parts


@pytest.mark.parametrize("executor", [None, 2], ids=["here", "threads"])
@pytest.mark.parametrize("what", ["removed", "exchanged"])
def test_nothing_is_written_where_the_store_is_gone(
    what: str, executor: int | None, finished: Path, tmp_path: Path
) -> None:
    """Not even by a worker that was at a block when another sweep's store took the place."""
    path, other = tmp_path / "a.zarr", tmp_path / "b.zarr"
    shutil.copytree(finished, other)
    before = _files(other)

    def progress(done: int, total: int) -> None:
        if done >= 20 and not (tmp_path / "old").exists():
            os.rename(path, tmp_path / "old")
            if what == "exchanged":
                os.rename(other, path)

    key = jax.random.key(0)
    with (
        _workers(executor or 0, processes=False) as pool,
        pytest.raises((OSError, StorageError), match=r"a\.zarr"),
    ):
        sweep(sweeps.noisy, AXES, key=key, store=path, chunk=4, executor=pool, progress=progress)
    assert path.exists() == (what == "exchanged")
    assert _files(path) == (before if what == "exchanged" else {})


def test_a_task_of_a_store_that_stood_there_before_writes_nothing(finished: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    shutil.copytree(finished, path)
    task = workers.Task(sweeps.orbit, AXES, None, {}, os.fspath(path), "0123456789abcdef", True, True, None)
    opened(path).forget(3)
    with pytest.raises(workers.NotStored, match="another store stands in the place"):
        workers.compute(task, 3)
    assert not opened(path).done()[3]


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_finished_store_is_read_where_nothing_can_be_written(
    number: int, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.contextmanager
    def locked(self: Store) -> Iterator[None]:
        raise OSError(number, os.strerror(number), os.fspath(self.path))
        yield

    monkeypatch.setattr(Store, "locked", locked)
    assert sweep(line, AXIS, store=copied, chunk=3)["x"].tolist() == [0, 2, 4, 6, 8, 10]
    opened(copied).forget(1)
    with pytest.raises(OSError, match=r"b\.zarr"):
        sweep(line, AXIS, store=copied, chunk=3)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK])
def test_where_there_are_no_locks_sweeps_go_on_and_leave_what_may_be_anothers(
    number: int, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    monkeypatch.setattr(fcntl, "flock", lambda *_: error_of(number)())
    for name in ("old", "new"):
        (copied / "x" / f".{name}.tmp").write_bytes(b"")
    os.utime(copied / "x" / ".old.tmp", (0, 0))
    opened(copied).forget(1)
    sweep(line, AXIS, store=copied, chunk=3)
    assert opened(copied).done().all()
    assert [one.name for one in copied.rglob("*.tmp")] == [".new.tmp"]


# Memory ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", [None, 1], ids=["here", "a process"])
def test_where_memory_runs_out_calls_are_smaller_and_the_store_says_so(
    executor: int | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.zarr"
    with pytest.warns(UserWarning, match="found no memory, and were computed in calls of 3 and 1"):
        found = sweep(sweeps.greedy, AXES, store=path, chunk=7, executor=executor)
    np.testing.assert_array_equal(found["value"], AXES["w"][:, None] * AXES["b"])
    assert opened(path).smaller() == [3, 1]
    assert cli.main(["sweep", "status", str(path)]) == 0
    assert "in calls of 3 and 1: their last bits may be others" in capsys.readouterr().out


@pytest.mark.parametrize("error", [MemoryError(), jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 99 bytes")])
def test_a_process_keeps_the_size_for_which_there_was_memory(
    error: Exception, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, sizes = workers.map_chunk, []

    def mapped(kernel: Any, grid: Any, start: int, count: int, *others: Any) -> Any:
        sizes.append(count)
        if count > 2:
            raise error
        return real(kernel, grid, start, count, *others)

    monkeypatch.setattr(workers, "map_chunk", mapped)
    with pytest.warns(UserWarning, match="in calls of 2"):
        found = sweep(sweeps.orbit, AXES, store=tmp_path / "a.zarr", chunk=4)
    assert sizes == [4] + 36 * [2]
    np.testing.assert_allclose(found["x"], opened(finished).read("x")[...], rtol=1e-15)


def test_an_error_that_is_not_of_memory_is_no_reason_for_smaller_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mapped(*_: Any) -> Any:
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")

    monkeypatch.setattr(workers, "map_chunk", mapped)
    with pytest.raises(jax.errors.JaxRuntimeError, match="something else"):
        sweep(sweeps.orbit, AXES, store=tmp_path / "a.zarr", chunk=4)
    assert opened(tmp_path / "a.zarr").smaller() == []


def test_values_of_another_dtype_are_not_written(copied: Path) -> None:
    store = opened(copied)
    store.forget(0)
    with pytest.raises(TypeError, match="expected float64 as x, got float32"):
        store.write(0, [np.zeros(3, np.float32), np.zeros(3, bool)])
    assert not store.done()[0]


# What others made ------------------------------------------------------------------------------------------------


def _told(path: Path) -> str | None:
    """What is wrong with a folder, by everything that looks at one; ``None`` where nothing is."""
    try:
        store = opened(path)
        store.axes()
        store.failures(), store.smaller()
        damaged = store.damaged()
        if damaged or not store.done().all():
            return f"{path}: {damaged}"
        found = of_store(store)
        assert all(sign.isprintable() for line in repr(found).splitlines() for sign in line)
        assert "<script" not in found._repr_html_().lower()
        for name, said in (("x", [0, 2, 4, 6, 8, 10]), ("y", [False] * 3 + [True] * 3)):
            assert found[name].tolist() == said
        assert found.axes["w"].tolist() == AXIS["w"].tolist()
    except (StorageError, OSError) as error:
        return str(error)
    return None


@contextlib.contextmanager
def _within(seconds: float) -> Iterator[None]:
    def late(*_: Any) -> None:
        raise AssertionError(f"expected an answer within {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("count", [42, pytest.param(560, marks=SOAK)])
def test_of_what_others_made_nothing_is_believed_waited_for_or_allocated(
    count: int, small: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each is named, or is the store that it was: all values and axes the same, whatever its words."""
    draws, unnoticed = np.random.default_rng(count), []
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(count):
        make, path = foreign_stores.KINDS[number % len(foreign_stores.KINDS)], tmp_path / f"{number}.zarr"
        shutil.copytree(small, path)
        make(path, draws)
        with _within(20):
            told = _told(path)
            with contextlib.suppress(StorageError, OSError):  # which every other kind of error is not
                sweep(line, AXIS, store=path, chunk=3)
            codes = [cli.main(["sweep", action, str(path)]) for action in ("status", "verify", "resume")]
        assert told is None or path.name in told, (make.__name__, told)
        assert codes[2] == 2
        if told is None:
            unnoticed.append(make.__name__)
        said = "".join(capfd.readouterr())
        assert all(sign.isprintable() for line in said.split("\n") for sign in line), (make.__name__, said)
        assert not list(tmp_path.glob("*.elsewhere/*.tmp"))
    assert set(unnoticed) <= {"_forged", "_magic", "_altered", "_pipes", "_folders", "_links", "_bombs"}, (
        unnoticed
    )
    assert len(unnoticed) < count / 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kilobytes


def _reworded(path: Path, **words: Any) -> None:
    group = json.loads((path / "zarr.json").read_bytes())
    manifest = group["attributes"]["rnn_dynamics"]
    manifest["metadata"] |= words
    (path / "zarr.json").write_bytes(sealed(group))


def test_words_of_others_are_shown_and_not_obeyed(copied: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither by a browser nor by a terminal."""
    bad = "<script>alert(1)</script>\x1b]0;owned\x07\u202egpj\r\n"
    _reworded(copied, function=bad, device=bad, jax=bad, labels={"w": [bad] * 6, "v": 3, "x": bad})
    opened(copied).set_aside(1, bad, {"w": bad})
    found = of_store(opened(copied))
    page = found._repr_html_()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    for text in (page, repr(found)):
        assert not {"\x1b", "\x07", "\u202e", "\r"} & set(text)
    for action in ("status", "verify", "resume"):
        cli.main(["sweep", action, str(copied)])
    said = "".join(capfd.readouterr())
    assert "<script>alert(1)</script>\\x1b]0;owned\\x07\\u202egpj" in said
    assert not {"\x1b", "\x07", "\u202e", "\r"} & set(said)
    opened(copied).forget(1)
    with pytest.warns(filling.IncompleteSweepWarning) as told:
        filling._warn(opened(copied))
    assert not {"\x1b", "\x07", "\u202e", "\r", "\n"} & set(str(told[0].message))


@pytest.mark.parametrize("options", [{"units": 10**12}, {"points": 10**9}, {"units": "8"}, {}, 3])
def test_an_atlas_of_others_is_not_begun_by_its_wishes(
    options: Any, copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    group = json.loads((copied / "zarr.json").read_bytes())
    asked = {"units": 1, "points": 1, "seeds": 1, "steps": 1}
    group["attributes"]["rnn_dynamics"]["atlas"] = {
        "name": "radius",
        "options": asked | options if options and isinstance(options, dict) else options,
    }
    (copied / "zarr.json").write_bytes(sealed(group))
    begun = time.monotonic()
    assert cli.main(["sweep", "resume", str(copied)]) == 2
    assert time.monotonic() - begun < 20
    assert "goes on by the call that began it" in capsys.readouterr().err
