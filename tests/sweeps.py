"""Functions that sweeps in worker processes import, and what happens to a process that computes them."""

import os
import signal
import time
from typing import Any

import jax
import jax.numpy as jnp

AXES = {"w": (-3.0, 8.0, 9), "b": (-5.0, 1.0, 7)}


def orbit(w: Any, b: Any) -> dict[str, Any]:
    """Twenty steps of a neuron, whether it is above a half, and both parameters."""
    x = jax.lax.fori_loop(0, 20, lambda _, x: jax.nn.sigmoid(w * x + b), jnp.full_like(w, 0.3))
    return {"x": x, "high": x > 0.5, "both": jnp.stack([w, b])}


def _stop(w: Any) -> None:
    if float(w.max()) > 7.9:
        os.kill(os.getpid(), signal.SIGKILL)


def deadly(w: Any, b: Any) -> Any:
    """Kills the process that computes the largest weight."""
    jax.debug.callback(_stop, w)
    return w + b


def _raise(w: Any) -> None:
    if float(w.max()) > 7.9:
        raise ValueError("no such weight")


def refusing(w: Any, b: Any) -> Any:
    """Raises at the largest weight."""
    jax.debug.callback(_raise, w)
    return w + b


def _wait(w: Any) -> None:
    time.sleep(0.05)


def slow(w: Any, b: Any) -> Any:
    """A twentieth of a second for each point."""
    jax.debug.callback(_wait, w)
    return w * b


def noisy(w: Any, b: Any, key: Any) -> Any:
    """A draw of each point."""
    return w + b * jax.random.normal(key, dtype=w.dtype)


def named(phi: str, side: str, w: Any, n: Any) -> Any:
    """An activation of a weight plus a number."""
    z = {"left": -w, "right": w}[side] + n.astype(w.dtype)
    return {"y": {"tanh": jnp.tanh, "relu": jax.nn.relu}[phi](z)}


def refusing_relu(phi: str, w: Any) -> Any:
    """Raises at the largest weight of one activation."""
    if phi == "relu":
        jax.debug.callback(_raise, w)
    return w + 1


def combined(kind: str, a: float, n: int) -> dict[str, float]:
    """A sum or a product, of numbers of Python."""
    return {"value": float(a + n if kind == "sum" else a * n)}


class Logged:
    """The same, with a line in a file for each call."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __call__(self, kind: str, a: float, n: int) -> dict[str, float]:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(f"{kind} {a} {n}\n")
        return combined(kind, a, n)


def _few(w: Any) -> Any:
    if w.size > 2:
        raise MemoryError("RESOURCE_EXHAUSTED: Out of memory allocating 99 bytes")
    return w


def greedy(w: Any, b: Any) -> Any:
    """Finds memory for two points of a call, and not for more."""
    form = jax.ShapeDtypeStruct(w.shape, w.dtype)
    return jax.pure_callback(_few, form, w, vmap_method="broadcast_all") * b
