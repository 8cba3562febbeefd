"""Weights from files, without unpickling: nothing in a file is ever run."""

from pathlib import Path
from typing import Any

import numpy as np

from rnn_dynamics.interop.pytorch import from_torch

__all__ = ["load", "read_safetensors"]

_ZIP = b"PK\x03\x04"
_BARE = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))
_REASON = (
    "expected a safetensors file, got one of PyTorch's pickles, which may run any code as they are read; "
    "where you trust it, convert it once: "
    'python -c "import torch, safetensors.torch as s; '
    "s.save_file(torch.load('{name}', weights_only=True), '{stem}.safetensors')\""
)


def read_safetensors(path: Any) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file by name.

    Raises:
        FileNotFoundError: no such file.
        ImportError: the package safetensors is not installed.
        TypeError: no path.
        ValueError: a pickle, under whatever name, a file that is damaged, or a dtype that NumPy lacks.
    """
    try:
        path = Path(path)
    except TypeError as error:
        raise TypeError(f"path: expected the path of a file, got {path!r} ({type(path).__name__})") from error
    if not path.is_file():
        raise FileNotFoundError(f"path: no file {path}")
    with path.open("rb") as file:
        begin = file.read(9)
    if _is_pickle(begin):
        raise ValueError(f"path: {path.name}: " + _REASON.format(name=path.name, stem=path.stem))
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError as error:
        raise ImportError("reading weights needs safetensors: pip install rnn_dynamics[interop]") from error
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"path: {path.name} is no safetensors file, or a damaged one: {error}") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # as with 8-bit floats
        raise ValueError(f"path: {path.name}: expected dtypes that NumPy has: {error}") from error


def _is_pickle(begin: bytes) -> bool:
    """Whether a file that begins so is one of PyTorch's, in a zip archive or bare.

    A safetensors file begins with the length of its header, below 10⁸ in 8 bytes of which the lowest stands first
    and may be any, as 0x80; the header follows and begins with a brace.
    """
    if begin[4:9] == b"\0\0\0\0{":
        return False
    return begin.startswith((_ZIP, *_BARE))


def load(path: Any, *, kind: str | None = None, prefix: str = "", direction: str | None = None) -> Any:
    """The network in a safetensors file with PyTorch's names, as a cell; arguments as ``from_torch``.

    Raises:
        FileNotFoundError, ImportError, TypeError, ValueError: as ``read_safetensors`` and ``from_torch``.
    """
    return from_torch(read_safetensors(path), kind=kind, prefix=prefix, direction=direction)
