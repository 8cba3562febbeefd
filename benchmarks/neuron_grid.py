"""Sensitivities of the Doya neuron on a grid of (w, b): the library against C, NumPy and numba.

The library runs with its defaults (powers of two beside the derivatives, error bounds, status); the others
compute the bare x_T and its three derivatives in plain floats. Rates are relative to the fastest of the C
loops, above 1 faster than it.
"""

import argparse
import ctypes
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from benchmarks import timing
from rnn_dynamics.doya.sensitivities import sensitivities

START, EPSILON = 0.3, 1.0
COMPILER = ["-O3", "-march=native", "-ffast-math", "-fopenmp", "-shared", "-fPIC"]


def grid(size: int, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """w over (−10, 10) and b over (−5, 5), flat."""
    w, b = np.meshgrid(np.linspace(-10, 10, size), np.linspace(-5, 5, size), indexing="ij")
    return w.ravel().astype(dtype), b.ravel().astype(dtype)


def c_loops(size: int, steps: int, dtype: str) -> dict[str, Callable[[], Any]]:
    """The C loops, compiled on the spot; none where there is no compiler."""
    if shutil.which("cc") is None:
        return {}
    source = pathlib.Path(__file__).with_suffix(".c")
    with tempfile.TemporaryDirectory() as folder:
        target = pathlib.Path(folder) / "neuron_grid.so"
        subprocess.run(["cc", *COMPILER, str(source), "-o", str(target), "-lm"], check=True)
        library = ctypes.CDLL(str(target))
    array = np.ctypeslib.ndpointer(np.dtype(dtype))
    real = ctypes.c_double if dtype == "float64" else ctypes.c_float
    w, b = grid(size, dtype)
    out = [np.empty_like(w) for _ in range(4)]

    def bind(order: str) -> Callable[[], Any]:
        function = getattr(library, f"{dtype}_{order}")
        function.argtypes = [array, array, real, real, ctypes.c_long, ctypes.c_long, *([array] * 4)]
        function.restype = None
        return lambda: function(w, b, START, EPSILON, steps, w.size, *out)

    return {f"C, {order}": bind(order) for order in ("points", "steps", "tiles")}


def numpy_loop(size: int, steps: int, dtype: str) -> Callable[[], Any]:
    """The same in plain NumPy."""
    w, b = grid(size, dtype)

    def run() -> Any:
        x, p = np.full_like(w, START), np.ones_like(w)
        q_w, q_b = np.zeros_like(w), np.zeros_like(w)
        epsilon = w.dtype.type(EPSILON)
        for _ in range(steps):
            s = 1 / (1 + np.exp(-(w * x + b)))
            d = epsilon * s * (1 - s)
            a = (1 - epsilon) + w * d
            p, q_b, q_w = a * p, a * q_b + d, a * q_w + d * x
            x = (1 - epsilon) * x + epsilon * s
        return x, p, q_w, q_b

    return run


def _numba_kernel(w: Any, b: Any, start: Any, epsilon: Any, steps: Any, out: Any) -> None:
    for i in range(w.size):
        x, p, q_w, q_b = start, w[i] * 0 + 1, w[i] * 0, w[i] * 0
        for _ in range(steps):
            s = 1 / (1 + np.exp(-(w[i] * x + b[i])))
            d = epsilon * s * (1 - s)
            a = (1 - epsilon) + w[i] * d
            p, q_b, q_w = a * p, a * q_b + d, a * q_w + d * x
            x = (1 - epsilon) * x + epsilon * s
        out[0, i], out[1, i], out[2, i], out[3, i] = x, p, q_w, q_b


def numba_loop(size: int, steps: int, dtype: str) -> dict[str, Callable[[], Any]]:
    """The same in numba with its default settings; none where numba is absent."""
    try:
        import numba
    except ImportError:
        return {}
    kernel = numba.njit(_numba_kernel)
    w, b = grid(size, dtype)
    out = np.empty((4, w.size), dtype)
    one = w.dtype.type
    return {"numba": lambda: kernel(w, b, one(START), one(EPSILON), steps, out)}


def ours(size: int, steps: int, dtype: str) -> Callable[[], Any]:
    """The library with its defaults."""
    w, b = (jax.device_put(value) for value in grid(size, dtype))
    start = np.dtype(dtype).type(START)
    return lambda: jax.block_until_ready(sensitivities(w, b, start, steps, epsilon=EPSILON))


def measure(*, size: int = 1024, steps: int = 200, repetitions: int = 5, quick: bool = False) -> list[dict]:
    """One row for each dtype and candidate."""
    if quick:
        size, repetitions = min(size, 256), min(repetitions, 3)
    rows = []
    for dtype in ("float64", "float32"):
        fast = c_loops(size, steps, dtype) | {"rnn_dynamics": ours(size, steps, dtype)}
        seconds = timing.interleaved(fast, repetitions=repetitions)
        # Single-threaded and slow: fewer rounds, a sixteenth of the points, the library beside them again.
        share = max(size // 4, 1)
        slow = {"NumPy": numpy_loop(size, steps, dtype), **numba_loop(share, steps, dtype)}
        for name, value in timing.interleaved(slow, repetitions=2).items():
            seconds[name] = value * (size / share) ** 2 if name == "numba" else value
        reference = min((v for k, v in seconds.items() if k.startswith("C")), default=seconds["rnn_dynamics"])
        case = f"{size}×{size}, {steps} steps, {dtype}"
        rows += [timing.row("neuron_grid", case, k, v, reference) for k, v in seconds.items()]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    print(timing.environment())
    print(timing.markdown(measure(**vars(options))))


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main()
