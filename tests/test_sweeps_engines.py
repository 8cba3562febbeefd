"""Who computes a sweep may die at any moment: worker processes, Dask's workers and scheduler, and the caller."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnn_dynamics.numerics.stored import engines, filling, workers
from rnn_dynamics.numerics.stored.opening import opened
from rnn_dynamics.numerics.stored.store import Store
from rnn_dynamics.numerics.sweep import sweep
from tests import sweeps

pytest.importorskip("zarr")
AXES = {name: np.linspace(*ends) for name, ends in sweeps.AXES.items()}
MANY = {"w": np.linspace(0, 1, 20), "b": np.linspace(0, 1, 10)}
PRODUCT = MANY["w"][:, None] * MANY["b"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of nine weights times seven biases, in blocks of 4 or 3 points."""
    path = tmp_path_factory.mktemp("stores") / "a.zarr"
    sweep(sweeps.orbit, AXES, store=path, chunk=4)
    return path


def _is_same(found: Any, path: Path) -> bool:
    return all(
        found[name].tobytes() == opened(path).read(name)[...].tobytes() for name in ("x", "high", "both")
    )


# What a worker raises --------------------------------------------------------------------------------------------


def _raising(error: BaseException, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """At block 3, so many times."""
    real, count = workers.compute, 0

    def compute(task: workers.Task, index: int) -> int:
        nonlocal count
        if index == 3 and count < times:
            count += 1
            raise error
        return real(task, index)

    monkeypatch.setattr(workers, "compute", compute)


@pytest.mark.parametrize("error", [SystemExit(3), GeneratorExit(), MemoryError("none left")], ids=repr)
def test_a_block_that_raises_anything_is_set_aside_and_ends_nobody(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _raising(error, 9, monkeypatch)
    with (
        futures.ThreadPoolExecutor(2) as pool,
        pytest.warns(filling.IncompleteSweepWarning, match="1 of 18 blocks"),
    ):
        sweep(sweeps.orbit, AXES, store=tmp_path / "a.zarr", chunk=4, executor=pool)
    assert list(opened(tmp_path / "a.zarr").failures()) == [3]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), workers.NotStored("for a moment")], ids=repr)
@pytest.mark.parametrize("times", [2, 3])
def test_a_block_is_given_out_again_where_it_was_not_its_fault(
    times: int, error: BaseException, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice; then an interrupted one is set aside, and a disk that takes nothing ends the sweep."""
    _raising(error, times, monkeypatch)
    path = tmp_path / "a.zarr"
    with futures.ThreadPoolExecutor(2) as pool:
        if times == 2:
            assert _is_same(sweep(sweeps.orbit, AXES, store=path, chunk=4, executor=pool), finished)
        elif isinstance(error, OSError):
            with pytest.raises(workers.NotStored, match="for a moment"):
                sweep(sweeps.orbit, AXES, store=path, chunk=4, executor=pool)
        else:
            with pytest.warns(filling.IncompleteSweepWarning, match="its worker was interrupted, 3 times"):
                sweep(sweeps.orbit, AXES, store=path, chunk=4, executor=pool)
    assert _is_same(sweep(sweeps.orbit, AXES, store=path, chunk=4), finished)


def test_what_a_worker_did_not_write_is_not_taken_for_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Store.write
    monkeypatch.setattr(Store, "write", lambda self, i, values: None if i == 5 else real(self, i, values))
    with (
        futures.ThreadPoolExecutor(2) as pool,
        pytest.warns(filling.IncompleteSweepWarning, match="said that it wrote it, and it is not there"),
    ):
        sweep(sweeps.orbit, AXES, store=tmp_path / "a.zarr", chunk=4, executor=pool)


def test_a_pool_that_breaks_while_it_starts_a_process_is_a_broken_pool(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def submit(self: Any, *_: Any) -> Any:
        self._broken = "a process in the process pool was terminated abruptly"
        raise OSError("handle is closed")

    monkeypatch.setattr(futures.ProcessPoolExecutor, "submit", submit)
    with pytest.raises(futures.BrokenExecutor, match="handle is closed"):
        engines.Spawned(2).submit(len, ())


# Killed processes ------------------------------------------------------------------------------------------------

_LIGHT = """
import sys, warnings
from pathlib import Path
if __name__ == "__main__":
    import jax
    jax.config.update("jax_enable_x64", True)
    warnings.simplefilter("ignore")
    from tests import light_workers
    light_workers.main(Path(sys.argv[1]), int(sys.argv[2]))
"""


def _environment() -> dict[str, str]:
    root = str(Path(__file__).resolve().parents[1])
    return os.environ | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_of_a_thousand_killed_workers_none_takes_anything_with_it(tmp_path: Path) -> None:
    """Over sweeps of 1000 blocks: nothing lost, no finished file touched again, none damaged, none left behind.

    The workers load JAX and write through the store, but compute with NumPy: they would need seconds each to start
    JAX. ``test_workers_killed_at_random_moments_lose_nothing`` kills forty workers that do.
    """
    (tmp_path / "light.py").write_text(_LIGHT, encoding="utf-8")
    with open(
        tmp_path / "told.txt", "w+", encoding="utf-8"
    ) as told:  # no pipe, which what is left would keep open
        command = [sys.executable, tmp_path / "light.py", tmp_path, "1000"]
        subprocess.run(command, env=_environment(), check=True, stdout=told, stderr=told, timeout=3500)
        told.seek(0)
        assert int(told.read().splitlines()[-1].split()[0]) >= 1000


# Dask ------------------------------------------------------------------------------------------------------------


class _Client:
    """As Dask's, and keeps the names of the tasks."""

    def __init__(self) -> None:
        self.keys: list[Any] = []

    def submit(self, *_: Any, key: Any, pure: bool) -> None:
        assert not pure
        self.keys.append(key)

    def nthreads(self) -> dict[str, int]:
        return {f"tcp://{i}": 4 for i in range(1000)}


def _task(path: str) -> workers.Task:
    return workers.Task(sweeps.orbit, AXES, None, {}, path, "0123456789abcdef", True, True, None)


def test_dasks_tasks_are_one_group_and_no_two_of_them_the_same() -> None:
    pytest.importorskip("distributed")
    from dask.utils import key_split
    from distributed.utils import key_split_group

    client, task = _Client(), _task("a.zarr")
    first, second = engines.Dask(client, task.mark), engines.Dask(client, task.mark)
    for engine in (first, first, second):
        engine.submit(workers.compute, task, 7)
    assert len(set(client.keys)) == 3
    assert {key_split(key) for key in client.keys} == {"sweep"}
    assert [key_split_group(key) for key in client.keys] == [first.group, first.group, second.group]
    assert first.group != second.group
    assert first.width() == 8000


def test_dask_computes_even_what_no_module_has_and_whole_numbers_arrive_whole(
    finished: Path, tmp_path: Path
) -> None:
    distributed = pytest.importorskip("distributed")
    options = {
        "n_workers": 2,
        "threads_per_worker": 1,
        "dashboard_address": None,
        "local_directory": tmp_path,
    }
    large = {"seed": np.array([2**40 + 1, 3])}
    with (
        distributed.LocalCluster(processes=True, **options) as cluster,
        distributed.Client(cluster) as client,
    ):
        found = sweep(
            lambda w, b: sweeps.orbit(w, b), AXES, store=tmp_path / "a.zarr", chunk=4, executor=client
        )
        whole = sweep(lambda seed: seed, large, store=tmp_path / "b.zarr", chunk=1, executor=client)
        assert "sweep" in client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.task_prefixes))
    assert _is_same(found, finished)
    assert whole["value"].dtype == np.int64
    assert whole["value"].tolist() == [2**40 + 1, 3]


class _Cluster:
    """A scheduler and workers of Dask as processes of their own, each of which can be killed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.processes = folder, []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self.port}"

    def _start(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        with open(self.folder / f"{len(self.processes)}.txt", "wb") as told:
            command = [sys.executable, "-m", module, *arguments, "--host", "127.0.0.1"]
            self.processes.append(subprocess.Popen(command, env=_environment(), stdout=told, stderr=told))
        return self.processes[-1]

    def scheduler(self) -> subprocess.Popen[bytes]:
        return self._start("distributed.cli.dask_scheduler", "--port", f"{self.port}", "--no-dashboard")

    def worker(self) -> subprocess.Popen[bytes]:
        options = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(self.folder))
        return self._start("distributed.cli.dask_worker", self.address, *options)

    def client(self) -> Any:
        import distributed

        client = distributed.Client(self.address, timeout=60)
        client.wait_for_workers(2, timeout=60)
        return client


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[_Cluster]:
    pytest.importorskip("distributed")
    made = _Cluster(tmp_path)
    try:
        yield made
    finally:
        for process in made.processes:
            process.kill()
            process.wait()


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore")  # Dask's, of connections that broke
@pytest.mark.parametrize("who", ["a worker", "the scheduler"])
def test_dask_loses_nothing_where_a_process_of_its_own_is_killed(
    who: str, cluster: _Cluster, tmp_path: Path
) -> None:
    scheduler, first, _ = cluster.scheduler(), cluster.worker(), cluster.worker()
    count = 0

    def progress(done: int, total: int) -> None:
        nonlocal count
        count += 1
        if count == 8 and who == "a worker":
            first.kill()
            cluster.worker()
        elif count == 8:
            scheduler.kill()
            scheduler.wait()
            cluster.scheduler()  # at the same port; its workers have ended with it
            cluster.worker(), cluster.worker()

    with cluster.client() as client:
        found = sweep(
            sweeps.slow, MANY, store=tmp_path / "a.zarr", chunk=4, executor=client, progress=progress
        )
    assert count >= 8
    np.testing.assert_array_equal(found["value"], PRODUCT)
    assert opened(tmp_path / "a.zarr").damaged() == {}


_CALLER = """
import sys, jax
jax.config.update("jax_enable_x64", True)
from distributed import Client
from rnn_dynamics.numerics.sweep import sweep
from tests import sweeps
from tests.test_sweeps_engines import MANY
sweep(sweeps.slow, MANY, store=sys.argv[2], chunk=4, executor=Client(sys.argv[1]))
"""


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore")
def test_another_caller_goes_on_at_once_where_the_first_was_killed(cluster: _Cluster, tmp_path: Path) -> None:
    """On the same workers, which may still be at blocks of the first: both write the same bytes."""
    cluster.scheduler(), cluster.worker(), cluster.worker()
    path = tmp_path / "a.zarr"
    with cluster.client() as client:
        command = [sys.executable, "-c", _CALLER, cluster.address, str(path)]
        caller = subprocess.Popen(command, env=_environment())
        end = time.monotonic() + 100
        while time.monotonic() < end and not (path.exists() and opened(path).done().sum() >= 5):
            time.sleep(0.02)
        caller.kill()
        caller.wait()
        assert 5 <= opened(path).done().sum() < 60
        found = sweep(sweeps.slow, MANY, store=path, chunk=4, executor=client)
    np.testing.assert_array_equal(found["value"], PRODUCT)
    assert opened(path).damaged() == {}


@pytest.mark.soak
def test_ctrl_c_ends_the_caller_and_no_block_is_blamed(tmp_path: Path) -> None:
    """A terminal sends it to the workers too."""
    path, count = tmp_path / "a.zarr", 0

    def progress(done: int, total: int) -> None:
        nonlocal count
        count += 1
        if count == 3:
            children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
            for pid in children:
                if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(int(pid), signal.SIGINT)
        if count == 9:
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        sweep(sweeps.slow, MANY, store=path, chunk=4, executor=2, progress=progress)
    assert opened(path).failures() == {}
    assert 9 <= opened(path).done().sum() < 60
    np.testing.assert_array_equal(sweep(sweeps.slow, MANY, store=path, chunk=4)["value"], PRODUCT)


def test_a_simulation_of_a_thousand_workers_finishes_every_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks.sweep_at_scale import measure

    monkeypatch.chdir(tmp_path)
    rows = measure(quick=True)
    assert len(rows) == 10
    assert all(row["seconds"] < 5 for row in rows)
