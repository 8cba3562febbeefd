"""Weights that a file keeps in parts, from which the module's forward makes them: masks, lengths and directions."""

import re
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from rnn_dynamics.interop.names import NAME
from rnn_dynamics.interop.stored import HALF, Stored

_PART = re.compile(rf"((?:.*\.)?)({NAME.pattern})_(orig|g)")
_RAW = re.compile(rf"((?:.*\.)?)({NAME.pattern})_raw")
_COMPUTED = re.compile(
    rf"((?:.*\.)?)(?:parametrizations\.(?P<new>{NAME.pattern})\..*|(?P<old>{NAME.pattern})_(?P<end>orig|mask|g|v|u))"
)
#: The cells inside Paddle's layers, whose weights its state dicts hold a second time.
PADDLE = re.compile(r"((?:.*\.)?)(\d+)\.cell(_fw|_bw)?\.((?:weight|bias)_(?:ih|hh|ho))")
_PACKED = re.compile(r"(?:.*\.)?_(?:all_weight_values\.\d+\.param|packed_weight_[ih]h)")


def undropped(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The arrays, with the weights of a layer that drops some of them in training as they are in evaluation.

    Wrappers as fastai's ``WeightDropout`` keep those as "weight_hh_l0_raw" and leave in the layer, "module.", what
    the last forward made of them.
    """
    found = dict(arrays)
    for name in arrays:
        match = _RAW.fullmatch(name) if isinstance(name, str) else None
        if match is not None:
            inner = f"{match[1]}module."
            is_wrapped = any(isinstance(other, str) and other.startswith(inner) for other in arrays)
            found[(inner if is_wrapped else match[1]) + match[2]] = found.pop(name)
    return found


def folded(arrays: Mapping[str, Stored]) -> dict[str, Stored]:
    """The arrays by name, pruned weights with their masks and those of ``weight_norm`` as the forward has them."""
    found = _without_doubles(undropped(arrays))
    for name in arrays:
        match = _PART.fullmatch(name)
        if match is None:
            continue
        whole, end = name.rpartition("_")[0], match.groups()[-1]
        other = f"{whole}_{'mask' if end == 'orig' else 'v'}"
        if other not in arrays or f"{whole}_u" in arrays:
            continue
        made = (_masked if end == "orig" else _normed)(arrays[name], arrays[other])
        if made is not None:
            del found[name], found[other]
            found[whole] = made
    return found


def _without_doubles(arrays: dict[str, Stored]) -> dict[str, Stored]:
    """The arrays, of a layer of Paddle those of the cells within it alone, which its forward uses."""
    found = dict(arrays)
    for name in arrays:
        match = PADDLE.fullmatch(name)
        if match is None:
            continue
        start, layer, back, kind = match.groups()
        end = f"_l{layer}{'_reverse' if back == '_bw' else ''}"
        if not any(other.startswith(f"{start}weight_ih{end}") for other in arrays):
            continue
        stored = found.pop(name)
        for part in ("_orig", "_mask", "_g", "_v", "_u"):
            found.pop(f"{start}{kind}{end}{part}", None)
        if kind == "weight_ho":
            kind = "weight_hr"
            stored = stored._replace(shape=stored.shape[::-1], read=lambda s=stored: s.read().T)
        found[f"{start}{kind}{end}"] = stored
    return found


def _is_floating(stored: Stored) -> bool:
    return stored.dtype in ("float32", "float64", *HALF)


def _wide(stored: Stored) -> np.ndarray:
    array = stored.read()
    return array.astype(np.float32) if stored.dtype in HALF else array


def _masked(weight: Stored, mask: Stored) -> Stored | None:
    if weight.shape != mask.shape or not _is_floating(weight):
        return None
    return weight._replace(read=lambda: _wide(weight) * mask.read().astype(bool))


def _normed(lengths: Stored, directions: Stored) -> Stored | None:
    """g v/‖v‖, whose norm is over the axes along which g is one number."""
    is_whole = lengths.shape == ()
    fits = len(lengths.shape) == len(directions.shape) and all(
        g in (1, v) for g, v in zip(lengths.shape, directions.shape, strict=True)
    )
    if not (is_whole or fits) or not (_is_floating(lengths) and _is_floating(directions)):
        return None
    axes = tuple(i for i in range(directions.ndim) if is_whole or lengths.shape[i] == 1)

    def read() -> np.ndarray:
        v = _wide(directions)
        return _wide(lengths) * v / np.sqrt(np.sum(v * v, axis=axes, keepdims=not is_whole))

    return directions._replace(read=read)


def undone(names: Collection[str]) -> str:
    """What to do with a module whose weights its forward computes in a way that names do not tell, or ""."""
    for name in names:
        if _PACKED.fullmatch(name):
            return (
                f"{name} is a packed weight of a quantised layer, which no array holds: "
                "rd.interop.from_torch(module) reads it, of the module itself"
            )
    for name in names:
        match = _COMPUTED.fullmatch(name)
        if match is None:
            continue
        weight = match["new"] or match["old"]
        where = f'module.get_submodule("{match[1][:-1]}")' if match[1] else "module"
        call = "parametrize.remove_parametrizations" if match["new"] else "remove_spectral_norm"
        start = name[: match.start("old")] + weight if match["old"] else ""
        if match["old"] and f"{start}_u" not in names:
            call = "prune.remove" if match["end"] in ("orig", "mask") else "remove_weight_norm"
        return (
            f"expected weights as the forward uses them, got {name}: rd.interop.from_torch(module) reads the "
            f'module itself, and torch.nn.utils.{call}({where}, "{weight}") makes a state dict of plain weights'
        )
    return ""
