"""A short check of the library's numbers on the device that JAX sees, in float32 and float64."""

import dataclasses
import math
import platform
from collections.abc import Callable
from importlib import metadata

import jax
import jax.numpy as jnp
import numpy as np

from rnn_dynamics import cliff, doya
from rnn_dynamics._version import __version__
from rnn_dynamics.cells import DoyaNeuron, ElmanRNN
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.gradients.jacobians import gradient_norms
from rnn_dynamics.spectral.bounds import Bounds, product_bounds


@dataclasses.dataclass(frozen=True)
class Check:
    """One number with what it should be.

    Attributes:
        quantity: what it is.
        dtype: "float32" or "float64".
        measured, expected: its value here, and in exact arithmetic.
        tolerance: absolute.
    """

    quantity: str
    dtype: str
    measured: float
    expected: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the two agree; NaN does not."""
        return abs(self.measured - self.expected) <= self.tolerance


def environment() -> dict[str, str]:
    """Device, default dtype and versions."""
    device = jax.devices()[0]
    names = ("jax", "jaxlib", "numpy", "optax", "matplotlib")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in names)
    return {
        "rnn_dynamics": __version__,
        "python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "packages": versions,
        "backend": jax.default_backend(),
        "device": f"{len(jax.devices())} × {device.device_kind}",
        "dtype": str(jnp.result_type(float)),
    }


def checks() -> list[Check]:
    """Closed forms and digits known to 50 places, each in both dtypes."""
    return [check for dtype in ("float32", "float64") for measure in _MEASURES for check in measure(dtype)]


def _close(quantity: str, dtype: str, measured: object, expected: float, ulps: float) -> Check:
    tolerance = ulps * float(np.finfo(dtype).eps) * max(abs(expected), 1.0)
    return Check(quantity, dtype, float(np.asarray(measured)), expected, tolerance)


def _neuron(dtype: str) -> list[Check]:
    w = np.asarray(5.0, dtype)
    b = np.asarray(-2.5, dtype)
    repeller = doya.sensitivities(w, b, np.asarray(0.5, dtype), 1000)
    return [
        _close("fold at w = 5", dtype, doya.folds(w).b[0], -2.3443896613693121, 4),
        _close("lower equilibrium at w = 5, b = −2.5", dtype, doya.equilibria(w, b).points[0], _LOWER, 4),
        _close("ln ∂x_T/∂x_0 on the repeller, T = 1000", dtype, repeller.initial.log(), _REPELLER, 1000),
    ]


def _network(dtype: str) -> list[Check]:
    """A rotation by an angle times g: every norm is gⁿ, over a range that no plain float32 product holds."""
    angle, gain = 0.3, 0.5
    W = gain * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    cell = ElmanRNN(W.astype(dtype), np.zeros(2, dtype), activation="linear")
    run = rollout(cell, np.ones(2, dtype), steps=2000)
    log = gradient_norms(run)[0]
    saturated = rollout(DoyaNeuron(*np.array([50.0, 0.0, 1.0], dtype)), np.asarray(0.875, dtype), steps=100)
    slope = gradient_norms(saturated)[0]
    bounds = product_bounds(run)
    return [
        _close("ln‖∂x_T/∂x_0‖ of g·rotation, T = 2000", dtype, log, 2000 * math.log(gain), 2000),
        _close("largest excess over a theorem, decades", dtype, _excess(bounds), 0.0, 4000),
        _close("ln ∂x_T/∂x_0 deep in saturation, T = 100", dtype, slope, _SATURATED, 32),
    ]


def _excess(bounds: Bounds) -> float:
    entries = [entry for entry in bounds.entries() if entry.theorem]
    norms = np.asarray(bounds.log_norms)
    over = [(norms - entry.log) * (1 if entry.above else -1) for entry in entries]
    return max(0.0, *(float(each.max()) for each in over)) / math.log(10)


def _loss(dtype: str) -> list[Check]:
    wall = cliff.wall(np.asarray(5.0, dtype))
    return [
        _close("limit of the loss below the wall", dtype, wall.below, _BELOW, 16),
        _close("b of the wall", dtype, wall.b, -2.5, 4),
    ]


_LOWER = 0.14479410825606481
_REPELLER = 1000 * math.log(1.25)
_SATURATED = -4602.5476994571854
_BELOW = 0.50439240866779818
_MEASURES: tuple[Callable[[str], list[Check]], ...] = (_neuron, _network, _loss)
