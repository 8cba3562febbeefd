"""The arrays of one recurrent layer of Keras, by their shapes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnn_dynamics.interop.arrays import check_shape, float_array

#: Kinds of layers to the number of their gates.
GATES = {"SimpleRNN": 1, "LSTM": 4, "GRU": 3}
#: Keras' names of layers and cells to kinds.
KIND_OF = {name + end: name for name in GATES for end in ("", "Cell")} | {
    "CuDNNLSTM": "LSTM",
    "CuDNNGRU": "GRU",
}


def kind_of(arrays: Sequence[Any]) -> str:
    """The kind that the shapes tell.

    Raises:
        ValueError: they are none of a recurrent layer.
    """
    return arrays_of(None, arrays)[3]


def arrays_of(
    kind: str | None, arrays: Sequence[Any]
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, str]:
    """Kernel, recurrent kernel, bias and the kind.

    Raises:
        ValueError: they are none of a recurrent layer.
    """
    if len(arrays) in (9, 12):
        arrays = _joined([float_array(f"weight {i}", array) for i, array in enumerate(arrays)])
    if len(arrays) not in (2, 3):
        expected = "[kernel, recurrent_kernel, bias] or the first two"
        raise ValueError(f"source: expected {expected}, got {len(arrays)} arrays")
    names = ("kernel", "recurrent_kernel", "bias")
    kernel, recurrent, *bias = (float_array(name, w) for name, w in zip(names, arrays, strict=False))
    check_shape("recurrent_kernel", recurrent, (None, None))
    return kernel, recurrent, bias[0] if bias else None, kind or _kind_of(recurrent.shape)


def _kind_of(shape: tuple[int, ...]) -> str:
    for kind, gates in GATES.items():
        if shape[0] and shape[1] == gates * shape[0]:
            return kind
    raise ValueError(
        f"source: expected recurrent_kernel of shape (n, k n) with k = 1, 3 or 4, got shape {shape}"
    )


def _joined(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """What Keras 1 kept gate by gate, [W, U, b] of each: i, c, f, o of an LSTM and z, r, h of a GRU."""
    order = (0, 2, 1, 3) if len(arrays) == 12 else (0, 1, 2)
    try:
        return [np.concatenate([arrays[3 * gate + part] for gate in order], axis=-1) for part in range(3)]
    except ValueError as error:
        shapes = [array.shape for array in arrays[:3]]
        raise ValueError(f"source: expected gates of one shape, got {shapes}, …") from error
