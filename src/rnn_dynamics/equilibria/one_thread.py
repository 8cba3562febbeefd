"""Small factorisations on one BLAS thread: on some hundred rows LAPACK's threads cost more than they give.

jaxlib calls the LAPACK that SciPy brings, once for each matrix of a batch. OpenBLAS hands a factorisation of 64
rows to all its threads, which then spin between two calls: four times the CPU, and longer on a busy machine.
"""

import contextlib
import ctypes
import functools
import pathlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["LARGEST", "one_blas_thread"]

# Rows up to which threads do not pay.
LARGEST = 384

_PREFIXES = ("scipy_openblas", "openblas")
_SUFFIXES = ("64_", "_64", "")

_lock = threading.Lock()
_inside = 0
_before: list[int] = []


def _libraries() -> list[pathlib.Path]:
    """Files of OpenBLAS that NumPy and SciPy brought, and on Linux any other that is loaded."""
    import numpy
    import scipy

    found: set[pathlib.Path] = set()
    for package in (numpy, scipy):
        home = pathlib.Path(package.__file__ or "").parent
        for folder in (home.parent / f"{home.name}.libs", home / ".dylibs"):
            if folder.is_dir():
                found |= {path for path in folder.iterdir() if "openblas" in path.name}
    with contextlib.suppress(OSError), open("/proc/self/maps", encoding="utf-8", errors="replace") as regions:
        names = {line.split(maxsplit=5)[-1].strip() for line in regions if "openblas" in line}
        found |= {path for path in map(pathlib.Path, names) if path.is_file()}
    return sorted(found)


def _control(library: Any) -> tuple[Callable[[], int], Callable[[int], None]] | None:
    for prefix in _PREFIXES:
        for suffix in _SUFFIXES:
            try:
                get = getattr(library, f"{prefix}_get_num_threads{suffix}")
                put = getattr(library, f"{prefix}_set_num_threads{suffix}")
            except AttributeError:
                continue
            get.restype, get.argtypes = ctypes.c_int, []
            put.restype, put.argtypes = None, [ctypes.c_int]
            return get, put
    return None


@functools.cache
def _controls() -> tuple[tuple[Callable[[], int], Callable[[int], None]], ...]:
    """The number of threads of each OpenBLAS, to read and to set; none where there is no OpenBLAS."""
    controls = []
    for path in _libraries():
        with contextlib.suppress(OSError):
            control = _control(ctypes.CDLL(str(path)))
            if control is not None:
                controls.append(control)
    return tuple(controls)


@contextlib.contextmanager
def one_blas_thread(rows: int) -> Iterator[None]:
    """One BLAS thread for what is computed inside, where matrices have at most ``LARGEST`` rows.

    The number of threads is the process's: it is put back when the last of several such blocks ends, and what is
    computed inside must be finished there (``np.asarray`` waits for it). Nothing is done without OpenBLAS.
    """
    global _inside, _before
    if rows > LARGEST:
        yield
        return
    controls = _controls()
    with _lock:
        if not _inside:
            _before = [get() for get, _ in controls]
            for (_, put), before in zip(controls, _before, strict=True):
                if before > 1:
                    put(1)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                for (_, put), before in zip(controls, _before, strict=True):
                    if before > 1:
                        put(before)
