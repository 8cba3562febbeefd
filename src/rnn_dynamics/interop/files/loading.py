"""Networks and weights from files: nothing in a file is ever run."""

from pathlib import Path
from typing import Any

import numpy as np

from rnn_dynamics.interop.files.contents import chosen, contents_of
from rnn_dynamics.interop.files.formats import KERAS, file_of, format_of, refusal
from rnn_dynamics.interop.files.importing import cell_of
from rnn_dynamics.interop.files.stored import Refused, brief
from rnn_dynamics.numerics import packages


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
    path = file_of(path)
    kind = format_of(path)
    if kind != "safetensors":
        raise ValueError(f"path: {path.name}: {refusal(path, kind, expected='a safetensors file')}")
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
    path = file_of(path)
    kind = format_of(path)
    if kind != "npz":
        raise ValueError(f"path: {path.name}: {refusal(path, kind, expected='a NumPy archive (.npz)')}")
    contents = contents_of(path)
    if contents.refused:
        raise ValueError(
            f"path: {path.name}: expected arrays of numbers, got Python objects in {next(iter(contents.refused))!r}"
        )
    try:
        return {
            name: array.read().copy() for name, array in contents.arrays.items()
        }  # for the caller to write to
    except Exception as error:  # damaged members raise whatever zlib and NumPy's parser do
        raise ValueError(f"path: {path.name} is damaged: {brief(error)}") from error


def load(
    path: Any,
    *,
    kind: str | None = None,
    prefix: str = "",
    layer: int | None = None,
    direction: str | None = None,
) -> Any:
    """The recurrent network in a file or a folder, as a cell; the content tells the format, not the name.

    Read are safetensors, NumPy's .npz, PyTorch's archives, files before its version 1.6 and TorchScript, pickles,
    MATLAB's .mat, Flax's MessagePack, JSON (RTNeural's layers, state dicts as lists), ONNX, and models of Keras, of
    which ``read_keras`` takes weights without a configuration too; of folders checkpoints of Orbax, one step at a
    time, and groups of Zarr. Nothing in a file is ever run: pickles are read as data, and what would have to be
    called is refused by name.

    Args:
        path: of the file, or of the folder.
        kind: "lstm", "gru", "rnn_tanh" or "rnn_relu", where the file does not tell it.
        prefix: of the network's names, with its last dot or without, or the name of ONNX's node, where the file has
            several networks; "." of names that have nothing before them; of Keras the layer's name, or the names of
            some in a row with commas. Mappings in one another count as names with dots: "state_dict.lstm.".
        layer: the number of one layer of PyTorch's to take alone, from 0 on. All are taken otherwise.
        direction: "forward" or "reverse", of a bidirectional network; of one layer at a time, where it is deep.

    Returns:
        The cell, as ``from_torch``, ``from_keras``, ``from_flax`` or ``from_onnx`` gives it.

    Raises:
        FileNotFoundError: no such file.
        ImportError: the package that this format needs is not installed.
        TypeError: no path, a prefix that is no string.
        ValueError: another format, a damaged file, no network, or several without a prefix. The message says what
            was seen, what was expected, and a call that works.

    Warns:
        UserWarning: weights in half precision or with a scale were made float32; what may make the step another
            one, as hooks and arrays beside the weights; one of several files.
    """
    path = file_of(path)
    if not isinstance(prefix, str):
        raise TypeError(f"prefix: expected a string, got {prefix!r}")
    if format_of(path) in KERAS:
        return _of_keras(path, kind, prefix, layer, direction)
    network = chosen(contents_of(path), path, prefix, direction)
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # what is infinite or no number stays visible
            return cell_of(network, kind, layer, direction, path.name)
    except Refused as error:
        raise ValueError(f"path: {path.name}: {brief(error, 400)}") from error


def _of_keras(path: Path, kind: str | None, prefix: str, layer: int | None, direction: str | None) -> Any:
    """The network in a file of Keras, which tells its kind, and whose layers have names."""
    from rnn_dynamics.interop.keras.files import read_keras
    from rnn_dynamics.interop.keras.opened import described

    for name, value in (("kind", kind), ("layer", layer)):
        if value is not None:
            raise ValueError(
                f"{name}: expected None of a file of Keras, whose layers prefix= names, got {value!r}"
            )
    names = prefix.split(",")
    try:
        return read_keras(path, layer=(names if len(names) > 1 else prefix or None), direction=direction)
    except ValueError as error:  # in the words of ``load``
        if str(error).startswith(("activation: ", "recurrent_activation: ")):
            calls = " or ".join(call for words, call in described(path) if words.startswith(f"{prefix}:"))
            raise ValueError(
                f"path: {path.name}: expected a whole model, got weights alone, which do not tell the activations; "
                f"with those that are Keras' own: {calls}"
            ) from error
        if not str(error).startswith("layer: "):
            raise
        raise ValueError(f"prefix: {str(error).removeprefix('layer: ')}") from error
