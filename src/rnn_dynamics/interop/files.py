"""Weights from files, without unpickling: nothing in a file is ever run."""

from pathlib import Path
from typing import Any

import numpy as np

from rnn_dynamics.interop.pytorch import from_torch

__all__ = ["load", "read_safetensors"]

_PICKLE = b"\x80"
_ZIP = b"PK\x03\x04"
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
        ValueError: a pickle, under whatever name, or a file that is damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"path: no file {path}")
    with path.open("rb") as file:
        begin = file.read(8)
    if begin.startswith(_ZIP) or begin[:1] == _PICKLE:
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


def load(path: Any, *, kind: str | None = None, prefix: str = "", direction: str | None = None) -> Any:
    """The network in a safetensors file with PyTorch's names, as a cell; arguments as ``from_torch``.

    Raises:
        FileNotFoundError, ImportError, ValueError: as ``read_safetensors`` and ``from_torch``.
    """
    return from_torch(read_safetensors(path), kind=kind, prefix=prefix, direction=direction)
