"""Many small arrays in one small file: a name costs its letters, not a header of its own."""

import json
from pathlib import Path

import numpy as np


def write(path: Path, arrays: dict[str, np.ndarray], versions: str) -> None:
    """Keep arrays of floats, each in the shortest dtype that has its values."""
    index, numbers = {}, {dtype: [] for dtype in ("float16", "float32", "float64")}
    for name, array in arrays.items():
        array = np.asarray(array)
        dtype = next(d for d in numbers if (array.astype(d).astype(array.dtype) == array).all())
        index[name] = [dtype, *array.shape]
        numbers[dtype].append(array.astype(dtype).ravel())
    kept = {dtype: np.concatenate(parts) for dtype, parts in numbers.items() if parts}
    np.savez_compressed(path, index=json.dumps(index), versions=versions, **kept)


def read(path: Path) -> dict[str, np.ndarray]:
    """The arrays by name, in float64."""
    with np.load(path) as file:
        kept = {dtype: file[dtype] for dtype in file.files if dtype.startswith("float")}
        index, found, first = json.loads(str(file["index"])), {}, dict.fromkeys(kept, 0)
    for name, (dtype, *shape) in index.items():
        stop = first[dtype] + int(np.prod(shape))
        found[name] = kept[dtype][first[dtype] : stop].reshape(shape).astype(float)
        first[dtype] = stop
    return found


def short(array: np.ndarray) -> np.ndarray:
    """The array in steps of 1/64, which two bytes a number hold."""
    return np.round(np.asarray(array) * 64) / 64
