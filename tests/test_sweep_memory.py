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

def resident(what):
    with open("/proc/self/status") as file:
        return 1024 * int(re.search(what + r":\\s+(\\d+)", file.read())[1])

def inner(w, b):
    rows = jnp.cumsum(jnp.outer(jnp.arange(1000.0) * w, jnp.arange(500.0) + b), axis=0)
    return {"sum": jnp.sort(rows, axis=1).sum(), "row": rows[-1]}

def outer(w, b):
    return jnp.outer(jnp.arange(500.0) * w, jnp.arange(200.0) + b)

function, budget, side, store = {"inner": inner, "outer": outer}[sys.argv[1]], *map(int, sys.argv[2:4]), sys.argv[4]
points = np.linspace(0, 1, side)
sweep(function, {"w": points, "b": [0.5]}, memory_limit=budget, store=store + "1")
gc.collect()
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
before = resident("VmRSS")
sweep(function, {"w": points, "b": points}, memory_limit=budget, store=store + "2")
print((resident("VmHWM") - before) / budget)
"""


@pytest.mark.soak
@pytest.mark.parametrize("side", [12, 36])
@pytest.mark.parametrize("function", ["inner", "outer"])
@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="needs Linux's count of memory")
def test_peak_memory_is_below_a_fifth_more_than_the_budget(function: str, side: int, tmp_path: Path) -> None:
    """Large intermediate values, or large results: 144 or 1296 points of 8 or 0.8 MB each, in 256 MB."""
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
