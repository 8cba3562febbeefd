"""Keras' ConvLSTM as an LSTM whose state is the image as one vector: a convolution is a matrix on it."""

import math
from typing import Any

import numpy as np

from rnn_dynamics.cells.activations import Activation
from rnn_dynamics.cells.gated import LSTM
from rnn_dynamics.interop.arrays import host_array
from rnn_dynamics.numerics.texts import counted

LAYERS = ("ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")
_MOST_BYTES = 2**31  # of a matrix


def lstm_of(layer: Any, activation: Activation, recurrent_activation: Activation) -> LSTM:
    """The LSTM of a built ConvLSTM layer.

    Where the layer has channels last the state is [h, c], each flattened as (rows, columns, filters); else as
    (filters, rows, columns). An input is one step's image, flattened as the layer takes it.

    Args:
        layer: the layer.
        activation, recurrent_activation: of the candidate and the output, and of the gates.

    Raises:
        ValueError: a layer that is not built, or whose matrices would take more than 2 GiB.
    """
    shape = (
        (layer.get_build_config() or {}).get("input_shape") if hasattr(layer, "get_build_config") else None
    )
    arrays = layer.get_weights()
    if not arrays or shape is None or None in shape[2:]:
        raise ValueError(
            "source: expected a ConvLSTM that is built for images of a known size, got one that is not: "
            "layer.build((None, steps, rows, columns, channels))"
        )
    kernel, recurrent = host_array("kernel", arrays[0]), host_array("recurrent_kernel", arrays[1])
    rank, is_last = kernel.ndim - 2, layer.data_format == "channels_last"
    image = tuple(shape[2:])
    grid = image[:-1] if is_last else image[1:]
    options = tuple(layer.strides), tuple(layer.dilation_rate), layer.padding
    out = tuple(
        _axis(*of_axis, options[2])[0]
        for of_axis in zip(grid, kernel.shape[:rank], *options[:2], strict=True)
    )
    filters, units = recurrent.shape[-2], math.prod(out) * recurrent.shape[-2]
    need = 4 * units * max(units, math.prod(image)) * kernel.dtype.itemsize
    if need > _MOST_BYTES:
        raise ValueError(
            f"source: expected a ConvLSTM whose state is small enough for matrices of 2 GiB, got "
            f"{counted(units, 'unit')} and "
            f"{need / 2**30:.1f} GiB: build it for smaller images"
        )
    ones = (1,) * rank
    W_in = _matrix(kernel, grid, *options, is_last=is_last)
    W = _matrix(recurrent, out, ones, ones, "same", is_last=is_last)
    bias = np.zeros(4 * filters, kernel.dtype) if len(arrays) < 3 else host_array("bias", arrays[2])
    each = bias.reshape(4, 1, filters) if is_last else bias.reshape(4, filters, 1)
    places = math.prod(out)
    b = np.broadcast_to(each, (4, places, filters) if is_last else (4, filters, places)).reshape(-1)
    return LSTM(W, b, W_in, gate_activation=recurrent_activation, activation=activation)


def _axis(length: int, width: int, stride: int, dilation: int, padding: str) -> tuple[int, int]:
    """Along one axis: how many places the kernel is put to, and how far before the image it begins."""
    reach = (width - 1) * dilation + 1
    if padding == "valid":
        return (length - reach) // stride + 1, 0
    count = -(-length // stride)
    return count, max((count - 1) * stride + reach - length, 0) // 2


def _matrix(
    kernel: np.ndarray,
    grid: tuple[int, ...],
    strides: tuple[int, ...],
    dilation: tuple[int, ...],
    padding: str,
    *,
    is_last: bool,
) -> np.ndarray:
    """What a convolution is on a flattened image, gate by gate: (4 · places · filters, grid · channels)."""
    rank = len(grid)
    widths, channels, filters = kernel.shape[:rank], kernel.shape[rank], kernel.shape[rank + 1] // 4
    axes = [_axis(*of_axis, padding) for of_axis in zip(grid, widths, strides, dilation, strict=True)]
    out = tuple(count for count, _ in axes)
    found = np.zeros((4, math.prod(out), filters, math.prod(grid), channels), kernel.dtype)
    places = np.indices(out).reshape(rank, -1)
    for offset in np.ndindex(widths):
        at = np.stack([places[i] * strides[i] - axes[i][1] + offset[i] * dilation[i] for i in range(rank)])
        inside = ((at >= 0) & (at < np.array(grid)[:, None])).all(axis=0)
        rows, columns = np.flatnonzero(inside), np.ravel_multi_index(tuple(at[:, inside]), grid)
        block = kernel[offset].reshape(channels, 4, filters).transpose(1, 2, 0)
        found[:, rows, :, columns, :] = block
    if not is_last:
        found = found.transpose(0, 2, 1, 4, 3)
    return found.reshape(4 * math.prod(out) * filters, -1)
