"""Files of Keras opened: their arrays, their configuration, and what is in them, without JAX."""

import contextlib
import json
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rnn_dynamics.interop.files.formats import file_of, format_of, refusal
from rnn_dynamics.interop.keras.arrays import kind_of
from rnn_dynamics.interop.keras.config import Network, has_layers, way_of
from rnn_dynamics.interop.keras.order import chains, networks_of
from rnn_dynamics.interop.keras.store import Store, check_heaps
from rnn_dynamics.numerics import packages
from rnn_dynamics.numerics.texts import counted

_WEIGHTS, _CONFIG, _METADATA = "model.weights.h5", "config.json", "metadata.json"
_MOST_BYTES = 2**34
_LONGEST_TEXT = 2**27
_DENSEST = 1100  # bytes that one byte of a zip archive may stand for
_OF_ARGUMENT = re.compile(r"(path|layer|direction|activation|recurrent_activation|merge): ")
_OF_CONTENT = re.compile(r"(source|W|b|W_in|b_hidden): ")
_DAMAGES = (
    *(OSError, RuntimeError, LookupError, AttributeError, ArithmeticError, MemoryError, EOFError),
    *(zipfile.BadZipFile, zlib.error),
)


def described(path: Any) -> list[tuple[str, str]]:
    """The recurrent networks of a file of Keras, each in words and with the call that reads it.

    Raises:
        FileNotFoundError, ImportError, ValueError: as ``read_keras``.
    """
    found = file_of(path)
    with opened(found) as store:
        call = caller(found)
        if not has_layers(store.config):
            return [alone(store, layer, way, call) for layer, way in store.networks()]
        assert store.config is not None
        try:
            networks, _ = networks_of(str(store.config.get("class_name")), store.config.get("config"))
        except ValueError as error:
            raise ValueError(f"path: {found.name}: {error}") from error
        return [
            (
                ", ".join(f"{each.name}: {_class_of(each)}" for each in chain),
                call(tuple(each.name for each in chain), way_of(chain)),
            )
            for chain in chains(networks)
        ]


def _class_of(network: Network) -> str:
    inner = network.config.get("layer") if network.has_two_directions else None
    layer = inner if isinstance(inner, dict) else {"class_name": network.cls, "config": network.config}
    settings = layer.get("config")
    units = settings.get("units") if isinstance(settings, dict) else None
    size = f" of {counted(units, 'unit')}" if isinstance(units, int) else ""
    return f"{f'{network.cls} of ' if layer is inner else ''}{layer.get('class_name')}{size}"


def alone(store: Store, layer: str, way: str | None, call: Any) -> tuple[str, str]:
    """Weights without a configuration, with Keras' default activations in the call."""
    kind = kind_of([store.array(each) for each in store.networks()[layer, way]])
    gates = "" if kind == "SimpleRNN" else ', recurrent_activation="sigmoid"'
    direction = "" if way is None else f', direction="{way}"'
    words = f"{layer}: {kind}, weights alone, which do not tell the activations; these are Keras' own"
    return words, call((layer,), f'{direction}, activation="tanh"{gates}')


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Store]:
    """The file's arrays and its configuration; whatever goes wrong in it is one sentence.

    Raises:
        ImportError: h5py is not installed.
        ValueError: another format, a damaged file.
    """
    kind = format_of(path)
    if kind not in ("hdf5", "keras"):
        expected = "a file of Keras (.keras, .h5, .hdf5)"
        raise ValueError(f"path: {path.name}: {refusal(path, kind, expected=expected)}")
    try:
        import h5py
    except ImportError as error:
        raise packages.missing("reading files of Keras", "h5py") from error
    try:
        with contextlib.ExitStack() as stack:
            config = metadata = None
            file: Any
            if kind == "keras":
                archive = stack.enter_context(zipfile.ZipFile(path))
                config, metadata = _json(archive, _CONFIG), _json(archive, _METADATA)
                file = stack.enter_context(tempfile.TemporaryFile())
                _copy(archive, _member(archive, _WEIGHTS, _MOST_BYTES), file)
            else:
                file = stack.enter_context(path.open("rb"))
            check_heaps(file)
            handle = stack.enter_context(h5py.File(file, "r"))
            yield Store(handle, path.stat().st_size, config, metadata)
    except (TypeError, ValueError) as error:
        if _OF_ARGUMENT.match(str(error)):
            raise
        raise _told_of_file(path, error) from error
    except _DAMAGES as error:
        raise _told_of_file(path, error) from error


def _told_of_file(path: Path, error: Exception) -> ValueError:
    """What is wrong with a file in one sentence, whatever package noticed it."""
    text = " ".join(str(error).split()) or type(error).__name__
    is_own = _OF_CONTENT.match(text)
    damaged = f"expected a file of Keras (HDF5) that is whole, got a damaged one: {text:.120}"
    return ValueError(f"path: {path.name}: {text.removeprefix('source: ') if is_own else damaged}")


def _member(archive: zipfile.ZipFile, name: str, most: int) -> zipfile.ZipInfo:
    info = archive.getinfo(name)
    if info.file_size > most or info.file_size > _DENSEST * max(info.compress_size, 1):
        raise ValueError(
            f"path: expected {name} of at most {most} bytes, got one that announces {info.file_size}"
        )
    return info


def _json(archive: zipfile.ZipFile, name: str) -> dict[str, Any] | None:
    if name not in archive.namelist():
        return None
    info = _member(archive, name, _LONGEST_TEXT)
    try:
        found = json.loads(archive.read(info))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"path: {name} is no JSON: {error}") from error
    return found if isinstance(found, dict) else None


def _copy(archive: zipfile.ZipFile, info: zipfile.ZipInfo, file: Any) -> None:
    with archive.open(info) as member:
        shutil.copyfileobj(member, file)
    file.seek(0)


def caller(path: Path) -> Any:
    """What gives the call of ``read_keras`` that reads layers of a file."""

    def call(names: tuple[str, ...], direction: str) -> str:
        shown = f'"{names[0]}"' if len(names) == 1 else "[" + ", ".join(f'"{each}"' for each in names) + "]"
        return f"rd.interop.read_keras({json.dumps(str(path), ensure_ascii=False)}, layer={shown}{direction})"

    return call
