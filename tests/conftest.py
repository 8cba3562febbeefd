"""Settings of every test: x64 on, strict promotion, no silent broadcasting between ranks, CPU by default.

Programs once compiled are kept for later runs in ``.cache/programs``, or where ``JAX_COMPILATION_CACHE_DIR``
points; the workers and every child process share them.

With ``CHECK_SHAPES`` set every call's arrays are held against the shapes in the annotations (``shape_checks``).

XLA's settings are those of ``compiler_settings``: cheap ones, or its own for ``pytest -m shipped`` and soak tests.
"""

import contextlib
import ctypes
import gc
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxtyping import install_import_hook

import tests.shape_checks  # noqa: F401  (the hook finds it where it is imported)
from tests.compiler_settings import CHEAP, asks_for_shipped

os.environ.setdefault("MPLBACKEND", "Agg")
# Read when the libraries are loaded, before options are parsed; workers and child processes inherit them.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")  # a tenth of the time of lowering
os.environ.setdefault("TESTS_COMPILE", "as shipped" if asks_for_shipped(sys.argv) else "cheaply")
if os.environ["TESTS_COMPILE"] == "cheaply":
    os.environ.setdefault("XLA_FLAGS", CHEAP)

# Before anything of the library is imported.
if os.environ.get("CHECK_SHAPES"):
    install_import_hook("rnn_dynamics", "tests.shape_checks.checked")

import jax
import pytest

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# Tracing makes many objects that live: to look for garbage at every 700 of them is a twentieth of the time.
gc.set_threshold(100_000, 50, 50)

# What is started in the background of a script ignores this signal, and so would all that is tested with it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Begun last, one of them would keep one worker busy after the other has nothing left to do.
_LONG_FILES = ("test_figures.py", "test_notebooks.py")

# No file adds more than some 12 000.
_MOST_REGIONS = 40_000
_MOST_MEMORY = 3 * 2**29  # bytes; no file adds more than some 2**29

_OLDEST_PROGRAM = 30 * 24 * 3600  # seconds


def _without_old_programs(folder: Path) -> Path:
    """The folder, made where it is missing; programs made more than 30 days ago are removed."""
    folder.mkdir(parents=True, exist_ok=True)
    for program in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another run may be removing them too
            if program.stat().st_mtime < time.time() - _OLDEST_PROGRAM:
                program.unlink()
    return folder


# Workers and other child processes inherit the folder of the process that started them.
if "PYTEST_XDIST_WORKER" not in os.environ:
    _ours = Path(__file__).parent.parent / ".cache" / "programs"
    _given = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _given or str(_without_old_programs(_ours))
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _mapped_regions() -> int:
    """Regions of memory this process has mapped, 0 where the system does not tell."""
    try:
        with open("/proc/self/maps", "rb") as regions:
            return sum(1 for _ in regions)
    except OSError:
        return 0


def _resident_memory() -> int:
    """Bytes of memory this process has, 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as counts:
            return int(counts.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _give_back_memory() -> None:
    """Return to the system what Python and the compiler have freed, where the system's library can."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture(scope="module", autouse=True)
def _kept_programs() -> Iterator[None]:
    """What a file has traced and compiled stays for the next ones, and is not searched for garbage again.

    A compiled program maps some six regions of memory, of which Linux allows a process 65530: a worker that reaches
    that dies in the compiler. The programs are dropped well before, and before they take gigabytes; those needed
    again are read from the folder.
    """
    yield
    is_full = _mapped_regions() > _MOST_REGIONS or _resident_memory() > _MOST_MEMORY
    if is_full:
        gc.unfreeze()
        jax.clear_caches()
    gc.collect()
    if is_full:
        _give_back_memory()
    gc.freeze()


@pytest.fixture(autouse=True)
def _no_open_figures() -> Iterator[None]:
    """Figures that a test leaves open are no other test's."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> str:
    """Both floating dtypes, one after the other."""
    return request.param


def pytest_configure(config: pytest.Config) -> None:
    """JAX writes a program's file in place: a worker that reads it at that moment says so, and compiles."""
    config.addinivalue_line("filterwarnings", "ignore:Error reading persistent compilation cache:UserWarning")


#: Files that make the same results: one worker makes them once.
_TOGETHER = ("tests/test_results_kept.py", "tests/test_results_shown.py")


def pytest_xdist_make_scheduler(config: Any, log: Any) -> Any:
    """As ``--dist loadfile``, some files being one."""
    from xdist.scheduler.loadfile import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        """A file's tests go to one worker, and so do those of files that belong together."""

        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return _TOGETHER[0] if file in _TOGETHER else file

    return ByFile(config, log) if config.getvalue("dist") == "loadfile" else None


_LONG_TESTS = Path(__file__).with_name("long_tests.txt")


def _mark_long_tests(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The tests of ``long_tests.txt`` are soak tests; a line that names none is a mistake."""
    lines = _LONG_TESTS.read_text(encoding="utf-8").splitlines()
    left = {line for line in lines if line and not line.startswith("#")}
    for item in items:
        if item.nodeid in left:
            left.remove(item.nodeid)
            item.add_marker(pytest.mark.soak)
    whole = {item.nodeid.partition("::")[0] for item in items}
    if not any("::" in argument for argument in config.args):
        unknown = [line for line in left if line.partition("::")[0] in whole]
        if unknown:
            raise pytest.UsageError(f"{_LONG_TESTS.name}: no such tests: {', '.join(sorted(unknown))}")


@pytest.hookimpl(tryfirst=True)  # before the marks asked for are looked at
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Soak tests and peers run when asked for by marker, GPU tests where JAX sees one; long files come first."""
    _mark_long_tests(config, items)
    items.sort(key=lambda item: _LONG_FILES.index(item.path.name) if item.path.name in _LONG_FILES else 99)
    asked = config.getoption("-m") or ""
    has_gpu = any(device.platform == "gpu" for device in jax.devices())
    for item in items:
        if item.get_closest_marker("soak") is not None and "soak" not in asked:
            item.add_marker(pytest.mark.skip(reason="minutes long: run by `make soak`"))
        if item.get_closest_marker("peers") is not None and "peers" not in asked:
            item.add_marker(pytest.mark.skip(reason="installs other frameworks: run by `make peers`"))
        if item.get_closest_marker("gpu") is not None and not has_gpu:
            item.add_marker(pytest.mark.skip(reason="JAX sees no GPU here"))
    # Not skipped but left out: the other half of ``make test`` runs them.
    if os.environ["TESTS_COMPILE"] == "cheaply":
        left_out = [item for item in items if item.get_closest_marker("shipped") is not None]
        items[:] = [item for item in items if item.get_closest_marker("shipped") is None]
        config.hook.pytest_deselected(items=left_out)
