"""What a file of weights is, by its first bytes, and what to do with one that is not read here. Nothing is run."""

import itertools
import json
import os
import re
import struct
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnn_dynamics.interop.pickles import contents_of

#: The formats that ``load`` reads.
READ = ("safetensors", "npz")
_ZIP, _EMPTY_ZIP = b"PK\x03\x04", b"PK\x05\x06"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_BARE = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))
_OLD_PICKLES = (b"(dp", b"(lp", b"}q", b"]q", b"ccollections\n", b"ccopy_reg\n", b"c__builtin__\n", b"cnumpy")
_LONGEST_HEADER = 10**8  # as the format itself has it
_MAGIC = (
    (b"\x93NUMPY", "npy"),
    (b"MATLAB 5.0", "mat"),
    (b"MATLAB 7.3", "mat, HDF5"),
    (_HDF5, "hdf5"),
    (b"version https://git-lfs", "lfs"),
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
_TEXTS = ((b"<", "HTML or XML, as a page that was downloaded in the file's place"), (b"{", "JSON"))


class Header(NamedTuple):
    """What a file tells of an array before its numbers: shape, and the dtype by NumPy's name or the file's own."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)


def format_of(path: Path) -> str:
    """The format of a file: a key of this module's advice, or words that say what it is.

    Raises:
        OSError: it cannot be read.
    """
    if path.is_dir():
        return "folder"
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
    if begin.startswith(_BARE) or (begin.startswith(_OLD_PICKLES) and last == b"."):
        return "pickle"
    if begin[4:8] == b"TFL3":
        return "a TensorFlow Lite model"
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
    if (
        begin[0] == 0x08
        and 0 < begin[1] < 0x20
        and begin[2:3] in (b"\x12", b"\x1a", b"\x22", b"\x3a", b"\x42")
    ):
        return "onnx"
    if 0x81 <= begin[0] <= 0x8F and 0xA0 <= begin[1] <= 0xBF:
        return "msgpack"
    try:
        begin[:512].decode()
    except UnicodeDecodeError as error:
        if error.start < 500:
            return "onnx" if path.suffix == ".onnx" else "unknown"
    if b"\0" in begin:
        return "unknown"
    stripped = begin.lstrip()
    return next((words for sign, words in _TEXTS if stripped.startswith(sign)), "text")


def refusal(path: Path, kind: str) -> str:
    """Why a file of that format is not read, and what to do with it: "expected …, got …; …"."""
    if kind in ("torch zip", "pickle"):
        return f"expected a safetensors file, got {_of_pickle(path)}"
    got, advice = {
        "folder": ("a folder", _of_folder(path) if kind == "folder" else ""),
        "empty": ("an empty file", ""),
        "damaged zip": (
            "a damaged zip archive, as PyTorch's pickles and .npz files are",
            "copying or writing it may have been cut short; of PyTorch's, convert the whole one to safetensors",
        ),
        "torchscript": (
            "a TorchScript program, one of PyTorch's pickles with code, which may run anything as it is read",
            f'where you trust it: python -c "import torch, safetensors.torch as s; '
            f"m = torch.jit.load({_quoted(path)}, map_location='cpu'); "
            f's.save_file(dict(m.state_dict()), {_quoted(_beside(path))})"',
        ),
        "npy": (
            "one NumPy array without a name (.npy)",
            "build the network from its matrices: rd.ElmanRNN(W, b, W_in) with np.load; or keep all of them by "
            "PyTorch's names with np.savez, which is read here",
        ),
        "mat": (
            "a file of MATLAB",
            f"build the network from its matrices: m = scipy.io.loadmat({_quoted(path)}); "
            "rd.ElmanRNN(m['W'], m['b'].ravel(), m['W_in']), with the file's names in their place",
        ),
        "mat, HDF5": (
            "a file of MATLAB 7.3 (HDF5)",
            f"build the network from its matrices: with h5py.File({_quoted(path)}) as m: rd.ElmanRNN(m['W'][()].T, "
            "m['b'][()].ravel(), m['W_in'][()].T), with the file's names in their place (HDF5 holds the matrices "
            "transposed); or save it with -v7",
        ),
        "hdf5": (
            "an HDF5 file",
            "of Keras: rd.interop.from_keras(layer, …) takes a layer of the loaded model; others: read the "
            "matrices with h5py and build rd.ElmanRNN(W, b, W_in)",
        ),
        "keras": (
            "a model of Keras (.keras)",
            f"rd.interop.from_keras takes a layer of it: keras.models.load_model({_quoted(path)}).get_layer(…)",
        ),
        "onnx": ("a model of ONNX", f"rd.interop.from_onnx({_quoted(path)}) reads it"),
        "msgpack": (
            "MessagePack, as Flax writes",
            "restore it with flax.serialization, rd.interop.from_flax takes the parameters",
        ),
        "lfs": (
            "a pointer of Git LFS, which stands in the place of a large file",
            "git lfs pull fetches the file itself",
        ),
        "npz": ("a NumPy archive (.npz)", "rd.interop.load reads it"),
        "unknown": (
            f"a file of an unknown format, {os.path.getsize(path) if path.is_file() else 0} bytes",
            "",
        ),
    }.get(kind, (kind if kind.startswith(("a ", "an ")) else f"a file of {kind}", ""))
    if kind == "JSON" and path.name.endswith(".index.json"):
        advice = (
            "it is the index of several safetensors files beside it: give the one with the recurrent weights"
        )
    return f"expected a safetensors or .npz file, got {got}{'; ' if advice else ''}{advice}"


def _of_folder(path: Path) -> str:
    found = sorted(each.name for each in path.iterdir() if each.suffix in (".safetensors", ".npz"))
    if found:
        return f"give a file in it: {', '.join(found[:4])}"
    if (path / "saved_model.pb").is_file():
        return "it is a SavedModel of TensorFlow: rd.interop.from_keras takes a layer of the loaded model"
    return "there is no .safetensors or .npz file in it"


def _beside(path: Path) -> Path:
    """The file of safetensors beside a file; a folder such as "." has no name of its own."""
    return path.with_suffix(".safetensors") if path.name else path / "model.safetensors"


def _quoted(path: Path) -> str:
    """A path as a string of Python that may stand between a shell's double quotes."""
    return repr(str(path)) if not re.search(r"[\"'$`\\!]", str(path)) else "FILE"


def _of_pickle(path: Path) -> str:
    """What a pickle holds, as far as its opcodes tell, and how to convert it."""
    what, target = contents_of(path), _quoted(_beside(path))
    if what.module:
        return (
            f"one of PyTorch's pickles, of a whole module ({what.module}), which only the program that defines it "
            f"can read; there: from safetensors.torch import save_file; save_file(model.state_dict(), {target})"
        )
    if not what.is_torch:
        return (
            "one of Python's pickles, as PyTorch's are, which may run any code as they are read; where you trust "
            "it, load it yourself and write its arrays with safetensors.numpy.save_file"
        )
    held = f", a checkpoint with the weights under {what.path[-1]!r}" if what.path else ""
    inside = "".join(f"[{key!r}]" for key in what.path)
    return (
        f"one of PyTorch's pickles{held}, which may run any code as they are read; where you trust it, convert it "
        'once: python -c "import torch, safetensors.torch as s; '
        f"s.save_file(torch.load({_quoted(path)}, map_location='cpu', weights_only={what.is_plain}){inside}, "
        f'{target})"'
    )


def headers(path: Path, kind: str) -> dict[str, Header]:
    """Shape and dtype of every array in a file that ``load`` reads, without the arrays.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        return _safetensors_headers(path) if kind == "safetensors" else _npz_headers(path)
    except (
        OSError,
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        zipfile.BadZipFile,
        RecursionError,
    ) as error:
        raise ValueError(f"{path.name} is damaged: {error}") from error


def _safetensors_headers(path: Path) -> dict[str, Header]:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = _header_length(file.read(8))
        if length + 8 > size:
            raise ValueError(f"it is cut short: a header of {length} bytes is announced, {size} are there")
        described: dict[str, Any] = json.loads(file.read(length))
    described.pop("__metadata__", None)
    ends = [entry["data_offsets"][1] for entry in described.values()]
    if max(itertools.chain(ends, [0])) + 8 + length > size:
        raise ValueError("it is cut short: arrays are announced that would end behind the file")
    return {
        name: Header(tuple(map(int, entry["shape"])), _DTYPES.get(entry["dtype"], str(entry["dtype"])))
        for name, entry in described.items()
    }


_DTYPES = {"F32": "float32", "F64": "float64", "F16": "float16", "BF16": "bfloat16"}


def _npz_headers(path: Path) -> dict[str, Header]:
    found = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if not name.endswith(".npy"):
                continue
            with archive.open(name) as member:
                version = np.lib.format.read_magic(member)
                read = np.lib.format.read_array_header_1_0
                if version != (1, 0):
                    read = np.lib.format.read_array_header_2_0
                shape, _, dtype = read(member)
            found[name.removesuffix(".npy")] = Header(shape, str(dtype))
    return found
