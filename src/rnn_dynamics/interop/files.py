"""Weights from files, without unpickling: nothing in a file is ever run."""

from pathlib import Path
from typing import Any

import numpy as np

from rnn_dynamics.interop.formats import format_of, headers, refusal
from rnn_dynamics.interop.pytorch import from_torch
from rnn_dynamics.numerics import packages

_MOST_BYTES = 2**34


def _path(path: Any) -> Path:
    """The path of a file that is there.

    Raises:
        FileNotFoundError: no such file.
        TypeError: no path.
    """
    try:
        path = Path(path)
    except TypeError as error:
        raise TypeError(f"path: expected the path of a file, got {path!r} ({type(path).__name__})") from error
    if not path.exists():
        raise FileNotFoundError(f"path: no file {path}")
    return path


def read_safetensors(path: Any) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file by name.

    Args:
        path: of the file.

    Returns:
        The arrays by name.

    Raises:
        FileNotFoundError: no such file.
        ImportError: the package safetensors is not installed.
        TypeError: no path.
        ValueError: another format, a pickle above all, under whatever name; a file that is damaged, or a dtype that
            NumPy lacks. The message says what the file is, and what to do with it.
    """
    path = _path(path)
    kind = format_of(path)
    if kind != "safetensors":
        raise ValueError(f"path: {path.name}: {refusal(path, kind)}")
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError as error:
        raise packages.missing("reading weights", "safetensors") from error
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"path: {path.name} is no safetensors file, or a damaged one: {error}") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # as with 8-bit floats
        raise ValueError(f"path: {path.name}: expected dtypes that NumPy has: {error}") from error


def read_npz(path: Any) -> dict[str, np.ndarray]:
    """The arrays of a NumPy archive by name; what is no array in it is left out.

    Args:
        path: of the archive.

    Returns:
        The arrays by name.

    Raises:
        FileNotFoundError: no such file.
        TypeError: no path.
        ValueError: another format, a damaged archive, arrays of Python objects, or more than 16 GiB of arrays.
    """
    path = _path(path)
    kind = format_of(path)
    if kind != "npz":
        raise ValueError(f"path: {path.name}: {refusal(path, kind)}")
    told = headers(path, kind)
    objects = [name for name, header in told.items() if header.dtype == "object"]
    if objects:
        raise ValueError(
            f"path: {path.name}: expected arrays of numbers, got Python objects in {objects[0]!r}"
        )
    sizes = [np.dtype(header.dtype).itemsize * np.prod(header.shape, dtype=float) for header in told.values()]
    if sum(sizes) > _MOST_BYTES:
        raise ValueError(
            f"path: {path.name}: expected at most 16 GiB of arrays, got {sum(sizes) / 2**30:.0f}"
        )
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in told}
    except Exception as error:  # damaged members raise whatever zlib and NumPy's parser do
        raise ValueError(f"path: {path.name} is damaged: {error}") from error


def load(path: Any, *, kind: str | None = None, prefix: str = "", direction: str | None = None) -> Any:
    """The network in a safetensors or .npz file with PyTorch's names, as a cell; arguments as ``from_torch``.

    Args:
        path: of the file.
        kind, prefix, direction: as ``from_torch``.

    Returns:
        The cell.

    Raises:
        FileNotFoundError, ImportError, TypeError, ValueError: as ``read_safetensors``, ``read_npz`` and
            ``from_torch``.
    """
    path = _path(path)
    arrays = read_npz(path) if format_of(path) == "npz" else read_safetensors(path)
    return from_torch(arrays, kind=kind, prefix=prefix, direction=direction)
