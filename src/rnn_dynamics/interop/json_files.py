"""Weights in JSON: the layers of RTNeural, which are Keras', and state dicts written as nested lists."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from rnn_dynamics.interop.stored import Refused, Stored

_MOST_BYTES = 2**28
_OF_KERAS = ("kernel", "recurrent_kernel", "bias")
_DEEPEST = 60


def read_file(path: Path) -> Any:
    """The arrays of a JSON file, in float32, in which such networks run; an index of other files as it is.

    Raises:
        Refused: far too many bytes.
        Exception: of any kind, where it is damaged.
    """
    if path.stat().st_size > _MOST_BYTES:
        raise Refused(f"expected at most {_MOST_BYTES >> 20} MiB of JSON, got {path.stat().st_size >> 20}")
    value = json.loads(path.read_bytes().decode("utf-8-sig"))
    if isinstance(value, dict) and "weight_map" in value:
        return value  # the index of files beside it
    return _arrays(value, 0)


def _arrays(value: Any, depth: int) -> Any:
    """Mappings and lists with arrays in the place of lists of numbers."""
    if depth > _DEEPEST:
        raise Refused(f"expected lists at most {_DEEPEST} deep, got deeper ones")
    if isinstance(value, dict):
        if value.get("type") in ("lstm", "gru") and isinstance(value.get("weights"), list):
            return _layer(value, depth)
        return {key: _arrays(inner, depth + 1) for key, inner in value.items()}
    if not isinstance(value, list):
        return None
    leaf: Any = value
    while isinstance(leaf, list) and leaf:
        leaf = leaf[0]
    if isinstance(leaf, (int, float)) and not isinstance(leaf, bool):
        try:
            with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and stays visible
                array = np.array(value, np.float64).astype(np.float32)
            return Stored(array.shape, "float32", lambda: array)
        except (ValueError, TypeError, OverflowError):
            pass
    return [_arrays(inner, depth + 1) for inner in value]


def _layer(layer: dict[str, Any], depth: int) -> dict[str, Any]:
    """A recurrent layer of RTNeural, whose weights are in Keras' order."""
    if layer.get("activation") not in (None, "", "tanh"):
        raise Refused(
            f"expected a {layer['type']} with the activation tanh, got {str(layer['activation'])[:30]!r}"
        )
    weights = [_arrays(each, depth + 1) for each in layer["weights"]]
    return dict(zip(_OF_KERAS, weights, strict=False))
