"""What is in a file of weights: arrays by name, networks among them, and what is not read. Nothing is run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnn_dynamics.interop.files import (
    coreml,
    dynet_files,
    json_files,
    matlab,
    messagepack,
    names,
    numpy_files,
    openvino_files,
    orbax,
    tflite,
    torch_files,
)
from rnn_dynamics.interop.files.beside import saying
from rnn_dynamics.interop.files.folded import folded, undone
from rnn_dynamics.interop.files.formats import WORDS, format_of, read_from, refusal
from rnn_dynamics.interop.files.networks import Network, networks_of, networks_of_onnx
from rnn_dynamics.interop.files.shards import read_index, said_of_shard
from rnn_dynamics.interop.files.stored import Refused, Stored, brief, flattened, product
from rnn_dynamics.interop.onnx import files as onnx_files, networks as onnx_networks

#: Of each format the function that reads it into nested mappings of arrays.
_READERS: dict[str, Callable[[Path], Any]] = {
    "safetensors": numpy_files.read_safetensors_file,
    "npz": numpy_files.read_archive,
    "npy": numpy_files.read_single,
    "torch zip": torch_files.read_archive,
    "torchscript": torch_files.read_archive,
    "torch legacy": torch_files.read_legacy,
    "pickle": torch_files.read_pickle,
    "mat": matlab.read_file,
    "mat, HDF5": matlab.read_hdf5,
    "msgpack": messagepack.read_file,
    "JSON": json_files.read_file,
    "openvino": openvino_files.read_file,
    "dynet": dynet_files.read_file,
    "orbax": orbax.read_checkpoint,
    "zarr": orbax.read_zarr,
}
#: Of those that hold a graph the function that reads it, in the form of ONNX's.
_GRAPHS: dict[str, Callable[[Path], Any]] = {
    "onnx": onnx_files.read_file,
    "tflite": tflite.read_file,
    "coreml": coreml.read_file,
}


class Contents(NamedTuple):
    """What is in a file.

    Attributes:
        format: a key of ``formats.WORDS``.
        arrays: by name; nested ones have the names of all mappings around them, with dots between.
        networks: the recurrent ones.
        refused: what is in the file and not read, by name, each with the reason.
        searched: classes of things that are no data by themselves, whose attributes were looked through as data.
    """

    format: str
    arrays: dict[str, Stored]
    networks: list[Network]
    refused: dict[str, str]
    searched: list[str]


def contents_of(path: Path) -> Contents:
    """What is in a file, in whatever format it is.

    Raises:
        OSError: it cannot be read.
        ImportError: a package that its format needs is not installed.
        ValueError: a format that is not read, a file that is damaged, or one that asks for calls. The message says
            what was expected, what the file is, and what to do.
    """
    kind = format_of(path)
    if kind not in _READERS and kind not in _GRAPHS:
        raise ValueError(f"path: {path.name}: {refusal(path, kind)}")
    try:
        if kind in _GRAPHS:
            graph = onnx_networks.Graph(_GRAPHS[kind](read_from(path)))
            return Contents(
                kind, onnx_networks.stored(graph), networks_of_onnx(*onnx_networks.described(graph)), {}, []
            )
        value = _READERS[kind](path)
        if kind == "JSON" and isinstance(value, dict) and "weight_map" in value:
            value = read_index(value, path.parent, _shard)
        arrays, parts = flattened({} if value is None else value)
        arrays = folded(_scaled(arrays))
        networks = [
            each._replace(
                arrays=saying(each.arrays, said_of_shard(path, each.prefix.lstrip("."), each.names))
            )
            for each in networks_of(value, arrays, parts, kind)
        ]
    except Refused as error:
        raise ValueError(f"path: {path.name}: {WORDS[kind]}: {brief(error, 800)}") from error
    except (ImportError, FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # what is damaged raises whatever its parser does
        raise ValueError(
            f"path: {path.name}: expected {WORDS[kind]} that is whole, got a damaged one ({brief(error)}); "
            "copy it once more"
        ) from error
    called = {name: f"a call of {part.name}" for name, part in parts.items() if part.is_call}
    objects = {name: part.name for name, part in parts.items() if not part.inside and not part.is_call}
    searched = sorted({part.name for part in parts.values() if not part.is_call} - set(objects.values()))
    return Contents(kind, arrays, networks, called | objects, searched)


def _shard(path: Path) -> Any:
    kind = format_of(path)
    if kind not in ("safetensors", "torch zip"):
        raise Refused(f"expected safetensors or PyTorch's files of an index, got {path.name[:60]}: {kind}")
    return _READERS[kind](path)


def _scaled(arrays: dict[str, Stored]) -> dict[str, Stored]:
    """The arrays, those of 8-bit integers beside which the file has a scale as numbers."""
    return {name: _numbers(arrays, name, stored) for name, stored in arrays.items()}


def _numbers(arrays: dict[str, Stored], name: str, stored: Stored) -> Stored:
    scale, zero = (
        next((arrays[f"{name}{dot}{word}"] for dot in "._" if f"{name}{dot}{word}" in arrays), None)
        for word in ("scale", "zero_point")
    )
    if stored.dtype not in ("int8", "uint8") or scale is None:
        return stored
    for each in (scale, *((zero,) if zero is not None else ())):
        if product(each.shape) not in (1, stored.shape[0] if stored.shape else 1):
            raise Refused(f"expected one scale of {name[:60]!r}, or one a row, got shape {each.shape}")

    def read() -> np.ndarray:
        rows = (-1, *(1 for _ in stored.shape[1:]))
        minus = 0.0 if zero is None else zero.read().astype(np.float32).reshape(rows)
        return (stored.read().astype(np.float32) - minus) * scale.read().astype(np.float32).reshape(rows)

    return Stored(
        stored.shape, "float32", read, f"{stored.dtype} was made float32 by the scale that the file has"
    )


def chosen(contents: Contents, path: Path, prefix: str, direction: str | None = None) -> Network:
    """The network with that prefix; without one the only network of the file.

    Raises:
        ValueError: there is none, or there are several; the message lists them, each with the call that reads it.
    """
    found = contents.networks
    if prefix == ".":  # what has none, among several
        found = [each for each in found if each.prefix in ("", ".")]
    elif prefix:
        ends = {prefix, f"{prefix}.", f"{prefix}/"}
        every = [*found, *(member for each in found for member in each.members)]
        found = [each for each in every if each.prefix in ends][:1] or [
            each for each in found if any(each.prefix.endswith(f".{end}") for end in ends)
        ]
    if len(found) == 1:
        return found[0]
    if not contents.networks:
        raise ValueError(_without_networks(contents, path, prefix, direction))
    shown = found or contents.networks
    calls = "; ".join(f"{each}: {each.call(path)}" for each in shown[:8])
    more = f"; and {len(shown) - 8} more" if len(shown) > 8 else ""
    if prefix and not found:
        raise ValueError(f"prefix: expected that of a network in {path.name}, got {prefix!r}; {calls}{more}")
    raise ValueError(f"path: {path.name}: expected one recurrent network, got {len(shown)}: {calls}{more}")


def _of_a_graph(contents: Contents, path: Path) -> str:
    """What to say of a model of ONNX none of whose nodes or steps is understood."""
    said = (
        "expected RNN, GRU or LSTM nodes, or a step of an ElmanRNN, GRU or LSTM in a Loop, a Scan, alone, or "
        "written out three times or more with the same weights"
    )
    known = [each for each in names.prefixes(contents.arrays) if each]
    if not known:
        return said
    read = f"{{each.name: onnx.numpy_helper.to_array(each) for each in onnx.load({str(path)!r}).graph.initializer}}"
    more = f", or another of the prefixes {known[1:6]}" if known[1:] else ""
    call = f"rd.interop.from_torch({read}, prefix={known[0]!r})"
    return f"{said}; where the step is that of PyTorch's cell all the same: {call}{more}"


def _without_networks(contents: Contents, path: Path, prefix: str, direction: str | None) -> str:
    """What to say of a file without a recurrent network."""
    seen = [f"{name} {array.shape}" for name, array in contents.arrays.items()]
    seen += [f"{name}: {what}" for name, what in contents.refused.items()]
    begin = f"path: {path.name}: expected a recurrent network, got {WORDS[contents.format]} with"
    shown = f"{begin} {', '.join(seen[:6]) or 'no arrays'}{', …' if len(seen) > 6 else ''}"
    if contents.format == "npy":
        return (
            f"{shown}; one array without a name tells no network: rd.ElmanRNN(W, b, W_in) takes matrices, and "
            "np.savez keeps all of them by PyTorch's names, which rd.interop.load reads"
        )
    if contents.format == "onnx":
        return f"{shown}; {_of_a_graph(contents, path)}"
    if contents.format == "openvino" and not seen:
        return (
            f"{shown}; expected its sequences or cells of RNN, GRU or LSTM: where steps are written out, "
            "rd.interop.load reads the ONNX model that it was converted from, and rd.interop.from_module the module"
        )
    advice = undone([*contents.arrays, *contents.refused])
    if advice:
        return f"{shown}; {advice}"
    try:
        inner, _ = names.selected(contents.arrays, prefix)
        names.layers_of(inner, direction)
    except (ValueError, TypeError) as error:
        return f"{shown}; {str(error).removeprefix('source: ')}"
    return shown
