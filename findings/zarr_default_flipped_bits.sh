#!/usr/bin/env bash
# Zarr's default for an array of floats: a bit that flips on the disk is read as another number, without a word.
# zarr 3.1.6, numpy 2.4.6.
# The default codec of version 3 is zstd, and compressed data seldom survive a flipped bit. But zarr writes zstd without
# its checksum, and at its level floats that do not compress are stored as they are: of 500 single flipped bits in a
# chunk of 64 x 64 float64, 499 come back as wrong numbers and none as right ones. In a shard, whose index does have a
# checksum, the chunks have none either. ZstdCodec(checksum=True) or Crc32cCodec() turns all 500 into errors.
# Touched: whoever keeps results in Zarr, by xarray's to_zarr too, on disks without checksums of their own.
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check zarr==3.1.6 numpy==2.4.6
"$work/venv/bin/python" - "$work" <<'PYTHON'
import random
import sys
from pathlib import Path

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec

FLIPS = 500
truth = np.cumsum(np.random.default_rng(0).normal(size=(64, 64)), axis=0)


def outcomes(name, **options):
    """How single flipped bits of the file are read."""
    path = Path(sys.argv[1], name)
    array = zarr.create_array(path, shape=truth.shape, dtype="f8", **options)
    array[:] = truth
    (file,) = (each for each in (path / "c").rglob("*") if each.is_file())
    content, draw = file.read_bytes(), random.Random(1)
    found = {"right": 0, "wrong": 0, "error": 0}
    for _ in range(FLIPS):
        bit = draw.randrange(8 * len(content))
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        file.write_bytes(changed)
        try:
            same = np.array_equal(zarr.open_array(path, mode="r")[:], truth)
            found["right" if same else "wrong"] += 1
        except Exception:
            found["error"] += 1
    return found


whole = {"chunks": (64, 64)}
print("zarr", zarr.__version__)
found = {
    "default": outcomes("a", **whole),
    "default, in a shard": outcomes("b", chunks=(16, 16), shards=(64, 64)),
    "zstd with its checksum": outcomes("c", **whole, compressors=[ZstdCodec(checksum=True)]),
    "default and crc32c": outcomes("d", **whole, compressors=[ZstdCodec(), Crc32cCodec()]),
}
for name, counts in found.items():
    print(f"  {name:24s} {counts}")
silent = all(found[name]["wrong"] > 0.8 * FLIPS for name in ("default", "default, in a shard"))
caught = all(found[name]["wrong"] == 0 for name in ("zstd with its checksum", "default and crc32c"))
print("still so" if silent and caught else "changed")
sys.exit(0 if silent and caught else 1)
PYTHON
