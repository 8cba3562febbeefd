"""What a file of weights is, by its first bytes, and what to do with one that is not read here. Nothing is run."""

import os
import re
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rnn_dynamics.interop.files.folders import kind_of, quoted, whole_of
from rnn_dynamics.interop.files.protobuf import top_fields

#: The formats of Keras, which ``read_keras`` reads.
KERAS = ("keras", "hdf5")

#: The formats that ``load`` reads, each in words.
WORDS = {
    "safetensors": "a safetensors file",
    "npz": "a NumPy archive (.npz)",
    "npy": "a NumPy array (.npy)",
    "torch zip": "one of PyTorch's archives (torch.save)",
    "torchscript": "a TorchScript program of PyTorch",
    "torch legacy": "one of PyTorch's files before version 1.6 (torch.save)",
    "pickle": "one of Python's pickles",
    "mat": "a file of MATLAB",
    "mat, HDF5": "a file of MATLAB 7.3 (HDF5)",
    "msgpack": "MessagePack, as Flax writes",
    "JSON": "JSON",
    "onnx": "a model of ONNX",
    "openvino": "a model of OpenVINO (IR)",
    "dynet": "a model of DyNet (text)",
    "tflite": "a model of TensorFlow Lite",
    "coreml": "a model of Core ML",
    "orbax": "a checkpoint of Orbax",
    "zarr": "a folder of Zarr",
}
_EXPECTED = (
    "a safetensors, .npz, PyTorch, Keras, MATLAB, Flax, JSON, ONNX, OpenVINO, DyNet, TensorFlow Lite or "
    "Core ML file"
)
_LEGACY = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"  # PyTorch's number, with which its files before 1.6 begin
_ZIP, _EMPTY_ZIP = b"PK\x03\x04", b"PK\x05\x06"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_BARE = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))
_OLD_PICKLES = (b"(dp", b"(lp", b"}q", b"]q", b"ccollections\n", b"ccopy_reg\n", b"c__builtin__\n", b"cnumpy")
_FIRST_OF_COREML = 200  # of its kinds of models, whose numbers ONNX lacks
_LONGEST_HEADER = 10**8  # as the format itself has it
_MAGIC = (
    (b"\x93NUMPY", "npy"),
    (b"MATLAB 5.0", "mat"),
    (b"MATLAB 7.3", "mat, HDF5"),
    (_HDF5, "hdf5"),
    (b"version https://git-lfs", "lfs"),
    (b"#Parameter# /", "dynet"),
    (b"#LookupParameter# /", "dynet"),
    (b"\x0c\xdb:*", "of orbax"),
    (b'{"tree_metadata"', "of orbax"),
    (b"GGUF", "a GGUF file, as llama.cpp writes"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"(\xb5/\xfd", "a zstandard archive"),
    (b"PAR1", "a Parquet table"),
    (b"ARROW1", "an Arrow table"),
    (b"\x89PNG", "a picture"),
    (b"%PDF", "a PDF"),
    (b"CDF\x01", "netCDF"),
    (b"CDF\x02", "netCDF"),
)
_ENDINGS = (
    *(".safetensors", ".npz", ".pt", ".pth", ".ckpt", ".mat", ".msgpack", ".json"),
    *(".onnx", ".tflite", ".mlmodel"),
)
_TEXTS = (
    (b"<", "HTML or XML, as a page that was downloaded in the file's place"),
    (b"{", "JSON"),
    (b"[", "JSON"),
)


def file_of(path: Any) -> Path:
    """The path of a file that is there.

    Raises:
        FileNotFoundError: no such file.
        TypeError: no path.
    """
    try:
        path = Path(path)
    except TypeError as error:
        kind = type(path).__name__
        shown = f"{path!r} ({kind})" if len(repr(path)) <= 60 else f"something of type {kind}"
        held = isinstance(path, Mapping) or hasattr(path, "state_dict") or hasattr(path, "get_weights")
        hint = "; rd.interop.from_module reads what is in memory" if held else ""
        raise TypeError(f"path: expected the path of a file, got {shown}{hint}") from error
    if not path.exists():
        raise FileNotFoundError(f"path: no file {path}")
    return path


def read_from(path: Path) -> Path:
    """Where the content of a file is: of a package of Core ML, which is a folder, the program in it."""
    program = path / "Data" / "com.apple.CoreML" / "model.mlmodel"
    return program if path.suffix == ".mlpackage" and program.is_file() else path


def format_of(path: Path) -> str:
    """The format of a file: a key of this module's advice, or words that say what it is.

    Raises:
        OSError: it cannot be read.
    """
    path = read_from(path)
    if path.is_dir():
        return kind_of(path, has_weights=bool(_weights_in(path)))
    size = path.stat().st_size
    with path.open("rb") as file:
        begin = file.read(1024)
        file.seek(max(size - 1, 0))
        last = file.read(1)
    if not begin:
        return "empty"
    if begin[8:9] == b"{" and _header_length(begin) <= _LONGEST_HEADER:
        return "safetensors"
    if begin.startswith((_ZIP, _EMPTY_ZIP)):
        return _kind_of_zip(path)
    for magic, kind in _MAGIC:
        if begin.startswith(magic):
            return kind
    if begin[:1] == b"\x80" and begin[2:].startswith(_LEGACY):
        return "torch legacy"
    if begin.startswith(_BARE) or (begin.startswith(_OLD_PICKLES) and last == b"."):
        return "pickle"
    if begin[4:8] == b"TFL3":
        return "tflite"
    if begin[257:262] == b"ustar":
        return "a tar archive"
    if begin[512:520] == _HDF5:
        return "hdf5"
    return _kind_of_bytes(path, begin)


def _header_length(begin: bytes) -> int:
    return struct.unpack("<Q", begin[:8])[0]


def _kind_of_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return "damaged zip"
    if any(name.endswith("/data.pkl") or name == "data.pkl" for name in names):
        return "torchscript" if any("/code/" in name for name in names) else "torch zip"
    if any(name.endswith(".npy") for name in names):
        return "npz"
    if "model.weights.h5" in names or "config.json" in names:
        return "keras"
    return f"a zip archive with {', '.join(sorted(names)[:3])}" if names else "an empty zip archive"


def _kind_of_bytes(path: Path, begin: bytes) -> str:
    """Tell apart the formats without magic bytes."""
    first, second = begin[0], begin[1] if len(begin) > 1 else 0
    if first == 0x08 and 0 < second < 0x20 and begin[2:3] in (b"\x12", b"\x1a", b"\x22", b"\x3a", b"\x42"):
        return "coreml" if max(top_fields(path), default=0) >= _FIRST_OF_COREML else "onnx"
    if 0x81 <= first <= 0x8F and 0xA0 <= second <= 0xBF:
        return "msgpack"
    try:
        begin[:512].decode()
    except UnicodeDecodeError as error:
        if error.start < 500:
            return "onnx" if path.suffix == ".onnx" else "unknown"
    if b"\0" in begin:
        return "unknown"
    stripped = begin.lstrip()
    if stripped.startswith(b"<") and re.match(rb"(<\?xml[^>]*\?>)?\s*<net[\s>]", stripped):
        return "openvino"
    return next((words for sign, words in _TEXTS if stripped.startswith(sign)), "text")


def refusal(path: Path, kind: str, *, expected: str = _EXPECTED) -> str:
    """Why a file of that format is not read, and what to do with it: "expected …, got …; …"."""
    if kind in WORDS:
        return f"expected {expected}, got {WORDS[kind]}; rd.interop.load({quoted(path, 'FILE')}) reads it"
    got, advice = {
        "folder": ("a folder", _of_folder(path) if kind == "folder" else ""),
        "empty": ("an empty file", ""),
        "damaged zip": (
            "a damaged zip archive, as PyTorch's files and .npz files are",
            "copying or writing it may have been cut short: copy it once more",
        ),
        "hdf5": (
            "an HDF5 file",
            f"rd.interop.read_keras({quoted(path, 'FILE')}) reads those of Keras; of others read the matrices with "
            "h5py and build rd.ElmanRNN(W, b, W_in)",
        ),
        "keras": ("a model of Keras (.keras)", f"rd.interop.read_keras({quoted(path, 'FILE')}) reads it"),
        "lfs": (
            "a pointer of Git LFS, which stands in the place of a large file",
            "git lfs pull fetches the file itself",
        ),
        "of orbax": (
            "one file of a checkpoint of Orbax",
            f"rd.interop.load({quoted(whole_of(path.absolute().parent))}) reads the folder",
        ),
        "unknown": (
            f"a file of an unknown format, {os.path.getsize(path) if path.is_file() else 0} bytes",
            "",
        ),
    }.get(kind, (kind if kind.startswith(("a ", "an ")) else f"a file of {kind}", ""))
    return f"expected {expected}, got {got}{'; ' if advice else ''}{advice}"


def _weights_in(path: Path) -> list[str]:
    """Files of weights right in a folder, by their endings; those of JSON, which may be anything, left out."""
    try:
        return sorted(
            each.name for each in path.iterdir() if each.suffix in _ENDINGS and each.suffix != ".json"
        )
    except OSError:
        return []


def _of_folder(path: Path) -> str:
    found = _weights_in(path) or sorted(each.name for each in path.glob("*.json"))
    if found:
        return f"give a file in it: {', '.join(found[:4])}"
    if (whole := whole_of(path.absolute())) != path.absolute():
        return f"it is a part of a checkpoint of Orbax: rd.interop.load({quoted(whole)}) reads the whole"
    if (path / "saved_model.pb").is_file():
        return "it is a SavedModel of TensorFlow: rd.interop.from_keras takes a layer of the loaded model"
    if (path / "Manifest.json").is_file() and path.suffix == ".mlpackage":
        return "it is a package of Core ML without Data/com.apple.CoreML/model.mlmodel, the program itself"
    return f"there is none of the files in it that are read: {', '.join(_ENDINGS)}; nor is it a checkpoint of Orbax"
