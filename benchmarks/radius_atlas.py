"""The atlas figure: 64 tanh units, 24 × 24 spectral radii and biases, 3 seeds, T = 200, norms at twelve lags.

The reference is a loop over some of the same networks in NumPy: states, explicit products rescaled at each step,
an SVD at the same lags; its time is scaled to the whole grid. The library's first call compiles, the second
does not.
"""

import argparse
import math
import time

import jax
import numpy as np

from benchmarks import timing
from rnn_dynamics.figures import FIGURES
from rnn_dynamics.spectral import radius_sweep

_UNITS, _POINTS, _SEEDS, _STEPS = 64, 24, 3, 200
_LAGS = (1, 2, 3, 5, 8, 12, 20, 35, 60, 100, 150, 200)


def plain(W: np.ndarray, bias: float, start: np.ndarray, steps: int) -> list[float]:
    """ln‖∂x_T/∂x_k‖₂ at the lags, with NumPy."""
    x, slopes = start, []
    for _ in range(steps):
        x = np.tanh(np.matmul(W, x) + bias)
        slopes.append(1 - x**2)
    product, exponent, found = np.eye(len(W)), 0.0, []
    for lag, slope in enumerate(slopes[::-1], 1):
        product = np.matmul(product, slope[:, None] * W)
        size = np.abs(product).max()
        product, exponent = product / size, exponent + math.log(size)
        if lag in _LAGS:
            found.append(exponent + math.log(np.linalg.norm(product, 2)))
    return found


def _loop(points: int, steps: int) -> float:
    """Seconds of the NumPy loop for one network."""
    rng = np.random.default_rng(0)
    W = rng.normal(size=(_UNITS, _UNITS)) / 8
    start = time.perf_counter()
    for radius in np.linspace(0.2, 2.0, points):
        plain(radius * W, 0.5, rng.normal(size=_UNITS) / 8, steps)
    return (time.perf_counter() - start) / points


def measure(*, quick: bool = False) -> list[dict]:
    """Rows for the grid alone, its second call, and the whole figure with its rows for the report."""
    points, steps = (8, 60) if quick else (_POINTS, _STEPS)
    axes = {
        "radii": np.linspace(0.2, 2.0, points),
        "biases": np.linspace(0, 1.5, points),
        "seeds": range(_SEEDS),
    }
    lags = [lag for lag in _LAGS if lag <= steps]
    case = f"{_UNITS} units, {points} × {points}, {_SEEDS} seeds, T = {steps}, float64"
    reference = _loop(16, steps) * points**2 * _SEEDS
    rows = [
        timing.row("radius_atlas", case, "NumPy loop, extrapolated from 16 networks", reference, reference)
    ]
    for name in ("radius_sweep, first call", "radius_sweep, again"):
        start = time.perf_counter()
        radius_sweep(**axes, n=_UNITS, steps=steps, lags=lags)
        rows.append(timing.row("radius_atlas", case, name, time.perf_counter() - start, reference))
    start = time.perf_counter()
    FIGURES["radius_atlas"].make(quick=quick).draw()
    rows.append(timing.row("radius_atlas", case, "the figure", time.perf_counter() - start, reference))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    print(timing.environment())
    print(timing.markdown(measure(**vars(parser.parse_args()))))


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main()
