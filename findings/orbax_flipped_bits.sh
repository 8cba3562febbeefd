#!/usr/bin/env bash
# A checkpoint of Orbax: a bit that flips on the disk is restored as another weight, without a word.
# orbax-checkpoint 0.12.8, tensorstore 0.1.86, jax 0.10.2.
# OCDBT, in which Orbax keeps arrays by default, has a CRC-32C on its manifest and on every node. Arrays of up to 1 KiB
# lie in the nodes, so that each of 300 flipped bits there is an error. Larger ones lie beside them, compressed by zstd
# without its checksum, and floats that do not compress are stored as they are: of 300 flipped bits in the numbers of a
# 64 x 64 float32 matrix at most a few are noticed, and a weight of 0.4 may come back as 1e38.
# Touched: whoever resumes training or publishes weights from disks or transfers without checksums of their own.
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    orbax-checkpoint==0.12.8 tensorstore==0.1.86 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
"$work/venv/bin/python" - "$work" <<'PYTHON'
import logging
import random
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import orbax.checkpoint as ocp

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)
FLIPS = 300
saver = ocp.PyTreeCheckpointer()


def outcomes(name, size):
    """How single flipped bits of the largest file of a checkpoint are restored."""
    truth = np.random.default_rng(0).normal(size=(size, size)).astype("float32")
    path = Path(sys.argv[1], name)
    saver.save(path, {"W": truth})
    files = [each for each in path.rglob("*") if each.parent.name == "d"]
    file = max(files, key=lambda each: each.stat().st_size) if size > 16 else next((path / "d").glob("*"))
    content, draw = file.read_bytes(), random.Random(1)
    found = {"right": 0, "wrong": 0, "error": 0}
    for _ in range(FLIPS):
        bit = draw.randrange(8 * len(content))
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        file.write_bytes(changed)
        try:
            same = np.array_equal(saver.restore(path)["W"], truth)
            found["right" if same else "wrong"] += 1
        except Exception:
            found["error"] += 1
    return found


print("orbax-checkpoint", version("orbax-checkpoint"), "tensorstore", version("tensorstore"))
small, large = outcomes("small", 8), outcomes("large", 64)
print("  8 x 8, within a node   ", small)
print("  64 x 64, beside them   ", large)
is_so = small["error"] == FLIPS and large["wrong"] > 0.9 * FLIPS
print("still so" if is_so else "changed")
sys.exit(0 if is_so else 1)
PYTHON
