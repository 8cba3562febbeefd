"""Folders and files that are no stores of sweeps, or that somebody altered: made from a whole store and a draw."""

import gzip
import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

_NASTY: tuple[Any, ...] = (
    *(None, True, -1, 0, 1.5, -0.0, math.nan, math.inf, 2**31, 2**62, 10**13, 10**400, 1e308),
    *("", "x", "../../x", "/etc", "..", "a/b", "|O", "O", "<V8", "<f999", "f8,f8", "<U4", "computed", "c"),
    *("\x1b]0;owned\x07\x1b[2J", "<script>alert(1)</script>", "\u202egpj.exe", "\ud800", "9" * 5000),
    *([], {}, [-1], [2**62, 2**62], [1.0], [[[[]]]], {"a": {"b": []}}, ["|O"], [10**13]),
)
_MAGIC = (
    *(
        b"\x89HDF\r\n\x1a\n",
        b"PK\x03\x04",
        b"CDF\x01",
        b"\x80\x04\x95",
        b"\x93NUMPY\x01\x00",
        b"%PDF-1.7",
        b"",
    ),
    *(
        gzip.compress(b"{}"),
        b"\xef\xbb\xbf{}",
        b"\xff\xfe{\x00}\x00",
        b"\x00" * 4096,
        b"NaN",
        b'"zarr"',
        b"[]",
    ),
)
_PLACES = (
    "zarr.json",
    "x/zarr.json",
    "w/c/0",
    "computed/zarr.json",
    "x/c/0",
    "computed/c/0",
    "computed/.lock",
)


def _sealed(group: dict[str, Any]) -> bytes:
    """With digests that fit, as anyone can compute them."""
    manifest = group["attributes"]["rnn_dynamics"]
    manifest.pop("digest", None)
    seal = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    manifest["digest"] = seal
    return json.dumps(group).encode()


def _replaced(value: Any, draws: np.random.Generator, new: Any) -> Any:
    """A copy in which one value somewhere is another."""
    places: list[tuple[Any, Any]] = []

    def walk(inner: Any) -> None:
        for key in inner if isinstance(inner, dict) else range(len(inner)):
            places.append((inner, key))
            if isinstance(inner[key], dict | list):
                walk(inner[key])

    copy = json.loads(json.dumps(value))
    walk(copy)
    inner, key = places[draws.integers(len(places))]
    inner[key] = new
    return copy


def _random(path: Path, draws: np.random.Generator) -> None:
    (path / "zarr.json").write_bytes(draws.bytes(int(draws.integers(1, 5000))))


def _file(path: Path, draws: np.random.Generator) -> None:
    shutil.rmtree(path)
    path.write_bytes(_MAGIC[draws.integers(len(_MAGIC))] + draws.bytes(50))


def _magic(path: Path, draws: np.random.Generator) -> None:
    (path / _PLACES[draws.integers(6)]).write_bytes(_MAGIC[draws.integers(len(_MAGIC))])


def _cut(path: Path, draws: np.random.Generator) -> None:
    file = path / _PLACES[draws.integers(6)]
    content = file.read_bytes()
    file.write_bytes(content[: draws.integers(len(content))])


def _altered(path: Path, draws: np.random.Generator) -> None:
    file = path / _PLACES[draws.choice([0, 1, 3])]
    new = _NASTY[draws.integers(len(_NASTY))]
    file.write_text(json.dumps(_replaced(json.loads(file.read_bytes()), draws, new)))


def _forged(path: Path, draws: np.random.Generator) -> None:
    """A manifest with one value altered, and sealed again."""
    group = json.loads((path / "zarr.json").read_bytes())
    inner, new = group["attributes"]["rnn_dynamics"], _NASTY[draws.integers(len(_NASTY))]
    group["attributes"]["rnn_dynamics"] = _replaced(inner, draws, new)
    (path / "zarr.json").write_bytes(_sealed(group))


_CODECS: tuple[dict[str, Any], ...] = (
    {"codecs": [{"name": "numcodecs.pickle"}]},
    {"codecs": [{"name": "bytes", "configuration": {"endian": "big"}}, {"name": "crc32c"}]},
    {"codecs": [{"name": "bytes"}]},
    {"codecs": [{"name": "bytes"}, {"name": "gzip", "configuration": {"level": 1}}, {"name": "crc32c"}]},
    {"codecs": []},
    {"codecs": 3},
    {"data_type": "object"},
    {"data_type": {"name": "numpy.datetime64", "configuration": {"unit": "s"}}},
    {"shape": [10**7, 10**6]},
    {"shape": [-2]},
    {"attributes": {"scale_factor": 2.0}},
    {"attributes": {"_FillValue": 0.0, "units": "days since 1970-01-01"}},
    {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [10**13]}}},
    {"chunk_key_encoding": {"name": "v2", "configuration": {"separator": "."}}},
    {"storage_transformers": [{"name": "x"}]},
    {"node_type": "group"},
    {"zarr_format": 2},
)


def _described(path: Path, draws: np.random.Generator) -> None:
    """An array described anew, and every digest made to fit."""
    file = path / "x" / "zarr.json"
    content = json.dumps(json.loads(file.read_bytes()) | _CODECS[draws.integers(len(_CODECS))]).encode()
    file.write_bytes(content)
    group = json.loads((path / "zarr.json").read_bytes())
    group["consolidated_metadata"]["metadata"]["x"] = json.loads(content)
    group["attributes"]["rnn_dynamics"]["files"]["x/zarr.json"] = hashlib.sha256(content).hexdigest()
    (path / "zarr.json").write_bytes(_sealed(group))


def _others(path: Path, draws: np.random.Generator) -> None:
    """Groups and arrays of other people, of both versions of Zarr."""
    shutil.rmtree(path)
    path.mkdir()
    group = {"zarr_format": 3, "node_type": "group", "attributes": {}}
    array = {
        "shape": [2**40, 10],
        "chunks": [1, 1],
        "dtype": "|O",
        "filters": [{"id": "pickle"}],
        "zarr_format": 2,
    }
    files: list[dict[str, Any]] = [
        {"zarr.json": group},
        {"zarr.json": group | {"attributes": {"rnn_dynamics": None}}},
        {"zarr.json": group | {"attributes": {"rnn_dynamics": "sweep"}}},
        {"zarr.json": group | {"attributes": []}},
        {"zarr.json": group | {"consolidated_metadata": {"metadata": {"../..": array}}}},
        {"zarr.json": {"zarr_format": 3, "node_type": "array", "shape": [2**62], "data_type": "float64"}},
        {".zgroup": {"zarr_format": 2}},
        {".zgroup": {"zarr_format": 2}, ".zmetadata": {"metadata": {"x/.zarray": array}}, "zarr.json": {}},
        {".zarray": array},
        {},
    ]
    for name, content in files[draws.integers(len(files))].items():
        (path / name).write_text(json.dumps(content))


def _links(path: Path, draws: np.random.Generator) -> None:
    """Links to devices, to itself, to nowhere, and out of the store."""
    target = ("/dev/zero", "zarr.json", "/nowhere/at/all", "/dev/full", "..")[draws.integers(5)]
    name = ("zarr.json", "x/zarr.json", "x", "x/c", "computed/c", "computed", "computed/.lock", "w")[
        draws.integers(8)
    ]
    _remove(path / name)
    (path / name).symlink_to(target)


def _moved(path: Path, draws: np.random.Generator) -> None:
    """A part of the store that lies elsewhere, whole, with a link to it."""
    name = ("x", "x/c", "computed", "computed/c", "w")[draws.integers(5)]
    elsewhere = path.parent / f"{path.name}.elsewhere"
    shutil.rmtree(elsewhere, ignore_errors=True)
    shutil.move(path / name, elsewhere)
    (path / name).symlink_to(elsewhere)


def _pipes(path: Path, draws: np.random.Generator) -> None:
    name = _PLACES[draws.integers(len(_PLACES))]
    _remove(path / name)
    os.mkfifo(path / name)


def _folders(path: Path, draws: np.random.Generator) -> None:
    name = _PLACES[draws.integers(6)]
    _remove(path / name)
    (path / name).mkdir()


def _bombs(path: Path, draws: np.random.Generator) -> None:
    deep = 10 ** int(draws.integers(2, 6))
    kind = draws.integers(6)
    if kind < 4:
        text = (b"[" * deep, b'{"a":' * deep, b"[" * deep + b"]" * deep, b'{"a": ' + b"9" * deep + b"}")[kind]
        (path / _PLACES[draws.choice([0, 1])]).write_bytes(text)
    elif kind == 4:
        group = json.loads((path / "zarr.json").read_bytes())
        nested: Any = []
        for _ in range(int(draws.integers(40, 900))):
            nested = [nested]
        group["attributes"]["rnn_dynamics"]["metadata"]["function"] = nested
        (path / "zarr.json").write_bytes(_sealed(group))
    else:
        (path / "zarr.json").write_bytes(b'{"attributes": "' + b"a" * 10**6 + b'"}')


def _long(path: Path, draws: np.random.Generator) -> None:
    """Files that say they are terabytes long, and have nothing on the disk."""
    name = _PLACES[draws.integers(6)]
    os.truncate(path / name, 2 ** int(draws.integers(30, 43)))


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


KINDS: tuple[Callable[[Path, np.random.Generator], None], ...] = (
    *(_random, _file, _magic, _cut, _altered, _forged, _described, _others),
    *(_links, _moved, _pipes, _folders, _bombs, _long),
)
