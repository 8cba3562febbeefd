"""DyNet's models of text: a line on each array, and its numbers on the next. Nothing is run.

Its LSTMs and simple networks come out under PyTorch's names of weights; the 1 that DyNet adds to the forget gate in
each call is in the bias. Its GRUs reset before the product and come out under Keras' names; h⁺ = (1 − z) h + z n
there (dyNET38 2.2), so that z has its sign turned.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rnn_dynamics.interop.stored import Part, Refused, Stored, product, shape_of

_HEAD = re.compile(rb"#(Lookup)?Parameter# (\S{1,400}) \{([\d,]{1,80})\} (\d{1,18}) (ZERO|FULL)_GRAD\n")
_NUMBERED = re.compile(
    r"(.*/)?((?:compact-)?vanilla-lstm-builder|simple-rnn-builder|gru-builder|(?:fast-)?lstm-builder)(_\d+)?/_(\d+)"
)
_BUILDERS = re.compile(r"(?:.*/)?[a-z-]*(?:lstm|gru|rnn)-builder(?:_\d+)?/_\d+")
_LONGEST_HEAD, _MOST = 600, 100_000
_GATES = {"vanilla-lstm-builder": 4, "compact-vanilla-lstm-builder": 4, "simple-rnn-builder": 1}


_COUPLED = "a CoupledLSTMBuilder, with f = 1 − i and whole matrices from c to i and o, which no cell here has"


def read_file(path: Path) -> dict[str, Any]:
    """The arrays of a model by name, those of each recurrent network together.

    Raises:
        Refused: no such lines, or arrays that reach beyond the file.
    """
    arrays = _arrays(path)
    groups: dict[str, dict[int, Stored]] = {}
    for name in arrays:
        if match := _NUMBERED.fullmatch(name):
            groups.setdefault(name.rpartition("/")[0], {})[int(match[4])] = arrays[name]
    found: dict[str, Any] = {name: each for name, each in arrays.items() if not _BUILDERS.fullmatch(name)}
    for start, own in groups.items():
        kind = re.sub(r"_\d+$", "", start.rpartition("/")[2])
        arrays_of_it = [own[number] for number in sorted(own)]
        if kind == "gru-builder":
            found |= _grus(start, arrays_of_it)
        elif kind == "lstm-builder":
            found[start] = Part(_COUPLED, {})
        else:
            make = _fast if kind == "fast-lstm-builder" else _network
            found[start] = make(kind, arrays_of_it)
    for name in arrays:
        if _BUILDERS.fullmatch(name) and name.rpartition("/")[0] not in found:
            found[name.rpartition("/")[0]] = Part("a builder of DyNet whose step is not known here", {})
    return found


def _arrays(path: Path) -> dict[str, Stored]:
    whole, found = path.stat().st_size, {}
    with path.open("rb") as file:
        while head := file.readline(_LONGEST_HEAD):
            match = _HEAD.fullmatch(head)
            if match is None or len(found) > _MOST:
                raise Refused(
                    "expected a line '#Parameter# /name {rows,columns} size ZERO_GRAD', got another one"
                )
            name, size, first = match[2].decode(errors="replace"), int(match[4]), file.tell()
            if first + size > whole:
                raise Refused(
                    f"expected {size} bytes of {name[:60]!r}, got {whole - first}: the file is cut short"
                )
            shape = shape_of([int(length) for length in match[3].split(b",") if length], whole)
            if 2 * product(shape) > size:
                raise Refused(
                    f"expected the numbers of {name[:60]!r} of shape {shape} in {size} bytes, got too few"
                )
            found[name] = Stored(shape, "float32", _reader(path, first, size, shape))
            file.seek(first + size)
    return found


def _reader(path: Path, first: int, size: int, shape: tuple[int, ...]) -> Any:
    """Numbers in the order of columns; where gradients were kept, they stand on the line below."""

    def read() -> np.ndarray:
        with path.open("rb") as file:
            file.seek(first)
            words = file.read(size).split(b"\n", 1)[0].split()
        if len(words) != product(shape):
            raise Refused(f"expected {product(shape)} numbers, got {len(words)}")
        return np.array(words, dtype=np.float32).reshape(shape, order="F")

    return read


def _network(kind: str, arrays: list[Stored]) -> Part:
    """The layers of a builder, three arrays each: from the input, from the state, and the bias."""
    gates = _GATES[kind]
    inside: dict[str, Any] = {"mode": "RNN_TANH"} if kind == "simple-rnn-builder" else {}
    for layer in range(len(arrays) // 3):
        W_in, W, b = arrays[3 * layer : 3 * layer + 3]
        units = W.shape[-1] if W.ndim == 2 else 0
        rows = gates * units
        if (
            W.shape != (rows, units)
            or b.shape != (rows,)
            or W_in.ndim != 2
            or W_in.shape[0] != rows
            or not units
        ):
            return Part(
                f"{kind} of shapes {W_in.shape}, {W.shape}, {b.shape}, as with layer normalisation", {}
            )
        inside |= _layer(layer, W_in, W, b, gates)
    return Part(kind, inside) if len(arrays) % 3 == 0 else Part(f"{kind} with {len(arrays)} arrays", {})


def _grus(start: str, arrays: list[Stored]) -> dict[str, Part]:
    """The layers of a GRU's builder by name, nine arrays each: from input, state and bias of z, r and n."""
    count, found = len(arrays) // 9, {}
    for layer in range(count):
        own = arrays[9 * layer : 9 * layer + 9]
        units, inputs = (
            own[1].shape[-1] if own[1].ndim == 2 else 0,
            own[0].shape[-1] if own[0].ndim == 2 else 0,
        )
        if [each.shape for each in own] != [
            (units, inputs),
            (units, units),
            (units,),
        ] * 3 or not units * inputs:
            return {start: Part(f"a gru-builder of shapes {[each.shape for each in own]}", {})}
        rows = 3 * units
        inside = {
            "kernel": _side_by_side(own[0::3], (inputs, rows)),
            "recurrent_kernel": _side_by_side(own[1::3], (units, rows)),
            "bias": _side_by_side(own[2::3], (rows,)),
        }
        found[start if count == 1 else f"{start}/layer{layer}"] = Part("gru-builder", inside)
    return (
        found
        if len(arrays) == 9 * count > 0
        else {start: Part(f"a gru-builder with {len(arrays)} arrays", {})}
    )


def _fast(kind: str, arrays: list[Stored]) -> Part:
    """The layers of a FastLSTMBuilder, eleven arrays each, of i, o and c; f = 1 − i = σ(−z_i).

    Those that are called peepholes, the third and the seventh, take no part in what it computes (dyNET38 2.2).
    """
    inside: dict[str, Any] = {}
    for layer in range(len(arrays) // 11):
        own = arrays[11 * layer : 11 * layer + 11]
        units, inputs = (
            own[1].shape[-1] if own[1].ndim == 2 else 0,
            own[0].shape[-1] if own[0].ndim == 2 else 0,
        )
        wanted = [(units, inputs), (units, units), (units, 1), (units,)]
        if [each.shape for each in own] != [*wanted, *wanted, *wanted[:2], (units,)] or not units * inputs:
            return Part(f"{kind} of shapes {[each.shape for each in own]}", {})
        for name, i, o, c in (("weight_ih", 0, 4, 8), ("weight_hh", 1, 5, 9), ("bias_ih", 3, 7, 10)):
            inside[f"{name}_l{layer}"] = _of_one_gate(own[i], own[c], own[o])
        inside[f"bias_hh_l{layer}"] = Stored(
            (4 * units,), "float32", lambda n=4 * units: np.zeros(n, np.float32)
        )
    return Part(kind, inside) if len(arrays) % 11 == 0 else Part(f"{kind} with {len(arrays)} arrays", {})


def _of_one_gate(into: Stored, candidate: Stored, out: Stored) -> Stored:
    """The rows of i, f, g and o, of which f has those of i with the sign turned."""

    def read() -> np.ndarray:
        i, g, o = (each.read() for each in (into, candidate, out))
        return np.concatenate([i, -i, g, o])

    return Stored((4 * into.shape[0], *into.shape[1:]), "float32", read)


def _side_by_side(parts: list[Stored], shape: tuple[int, ...]) -> Stored:
    """Arrays of z, r and n as Keras has them, z with its sign turned."""

    def read() -> np.ndarray:
        z, r, n = (each.read().T for each in parts)
        return np.concatenate([-z, r, n], axis=-1)

    return Stored(shape, "float32", read)


def _layer(layer: int, W_in: Stored, W: Stored, b: Stored, gates: int) -> Mapping[str, Stored]:
    def ordered(array: np.ndarray) -> np.ndarray:
        parts = np.split(array, gates)
        return np.concatenate([parts[gate] for gate in ((0, 1, 3, 2) if gates == 4 else (0,))])

    def bias() -> np.ndarray:
        found = ordered(b.read())
        units = len(found) // gates
        found[units : 2 * units] += np.float32(gates == 4)
        return found

    return {
        f"weight_ih_l{layer}": W_in._replace(read=lambda: ordered(W_in.read())),
        f"weight_hh_l{layer}": W._replace(read=lambda: ordered(W.read())),
        f"bias_ih_l{layer}": b._replace(read=bias),
        f"bias_hh_l{layer}": b._replace(read=lambda: np.zeros(b.shape, np.float32)),
    }
