"""The memory of a sweep into a store is that of its budget, whatever the grid."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnn_dynamics.numerics.sweep import sweep

pytest.importorskip("zarr")

_CHILD = """
import gc, re, sys
import jax
import jax.numpy as jnp
import numpy as np
from rnn_dynamics.numerics.sweep import sweep
from rnn_dynamics.spectral import radius_sweep

def resident(what):
    with open("/proc/self/status") as file:
        return 1024 * int(re.search(what + r":\\s+(\\d+)", file.read())[1])

def inner(w, b):
    rows = jnp.cumsum(jnp.outer(jnp.arange(1000.0) * w, jnp.arange(500.0) + b), axis=0)
    return {"sum": jnp.sort(rows, axis=1).sum(), "row": rows[-1]}

def outer(w, b):
    return jnp.outer(jnp.arange(500.0) * w, jnp.arange(200.0) + b)

def atlas(w, b, **means):
    "Of 64 units over 200 steps: the largest call that fits the budget is asked for."
    for chunk in (1024, 512, 256, 128, 64):
        try:
            return radius_sweep(w, biases=b, n=64, steps=200, lags=[1, 8, 60, 200], chunk=chunk, **means)
        except ValueError as error:
            if not str(error).startswith("chunk: "):
                raise

def run(w, b, store):
    if name == "atlas":
        return atlas(w, b, memory_limit=budget, store=store)
    return sweep({"inner": inner, "outer": outer}[name], {"w": w, "b": b}, memory_limit=budget, store=store)

jax.config.update("jax_enable_x64", sys.argv[1] == "atlas")
name, budget, side, store = sys.argv[1], *map(int, sys.argv[2:4]), sys.argv[4]
points = np.linspace(0, 1, side)
run(points, [0.5], store + "1")
gc.collect()
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
before = resident("VmRSS")
run(points, points, store + "2")
print((resident("VmHWM") - before) / budget)
"""


@pytest.mark.soak
@pytest.mark.parametrize(
    ("function", "side"),
    [("inner", 12), ("inner", 36), ("outer", 12), ("outer", 36), ("atlas", 24), ("atlas", 32)],
)
@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="needs Linux's count of memory")
def test_peak_memory_is_below_a_fifth_more_than_the_budget(function: str, side: int, tmp_path: Path) -> None:
    """Large intermediate values, large results, and the atlas of radius and bias: each grid in 256 MB."""
    command = [sys.executable, "-c", _CHILD, function, str(2**28), str(side), str(tmp_path / "a")]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600).stdout
    assert 0 < float(said) < 1.2


def test_what_is_written_meanwhile_counts(tmp_path: Path) -> None:
    """Of results alone a call in memory takes 800 bytes a point, and one of a store three times as much."""

    def wide(w: jax.Array) -> jax.Array:
        return jnp.full(100, w)

    axes = {"w": np.linspace(0, 1, 64)}
    limit = 32 * 1000
    assert sweep(wide, axes, memory_limit=limit).metadata["chunk"] == 32
    assert sweep(wide, axes, memory_limit=limit, store=tmp_path / "a.zarr").metadata["chunk"] == 8
