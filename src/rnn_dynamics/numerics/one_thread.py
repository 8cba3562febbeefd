"""Small factorisations on one BLAS thread: threads cost more than they give on matrices of some hundred rows.

jaxlib calls the LAPACK that SciPy brings, once for each matrix of a batch. OpenBLAS hands a factorisation of 64
rows to all its threads, which then spin between two calls: four times the CPU, and longer on a busy machine.
"""

import contextlib
import functools
import threading
from collections.abc import Iterator
from typing import Any

# Rows up to which threads do not pay.
LARGEST = 384

_lock = threading.Lock()
_inside = 0
_limit = contextlib.ExitStack()


@functools.cache
def _pools() -> Any:
    """The BLAS libraries that are loaded, SciPy's among them, which JAX calls."""
    import scipy.linalg  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@contextlib.contextmanager
def one_blas_thread(rows: int) -> Iterator[None]:
    """One BLAS thread for what is computed inside, where matrices have at most ``LARGEST`` rows.

    The number of threads is the process's: it is put back when the last of several such blocks ends, and what is
    computed inside must be finished there (``np.asarray`` waits for it).
    """
    global _inside
    if rows > LARGEST:
        yield
        return
    with _lock:
        if not _inside:
            _limit.enter_context(_pools().limit(limits=1, user_api="blas"))
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _limit.close()
