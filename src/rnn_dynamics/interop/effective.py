"""The weights that a module's forward multiplies by, where it computes them from other parameters."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from rnn_dynamics.interop.arrays import float_array
from rnn_dynamics.interop.folded import PADDLE, undone, undropped
from rnn_dynamics.interop.names import NAME

_KEPT_AS = ("orig", "mask", "g", "v", "u")
_COMPUTED = re.compile(
    rf"(?:^|\.)(?:parametrizations\.(?:{NAME.pattern})\.|(?:{NAME.pattern})_(?:orig|mask|g|v|u)$)"
)
_PACKED = re.compile(r"(?:.*\.)?_(?:all_weight_values\.\d+\.param|packed_weight_[ih]h)")
_QUANTISED = {
    True: "int8 was made float32 by the scales of the layer; that it also rounds its inputs and its state to 8 "
    "bits at every step is left out",
    False: "float16 was made float32",
}
# The dense layers inside torch.ao.nn.quantizable.LSTM, before it is quantised.
_QUANTIZABLE = re.compile(r"((?:.*\.)?)layers\.(\d+)\.layer_(fw|bw)\.cell\.([ih])gates\.(weight|bias)")


def weights_of(module: Any, prefix: str) -> tuple[dict[str, Any], str]:
    """The weights of a module by name, those that are parametrised, normalised or pruned as its forward has them.

    A spectral norm is that of evaluation: no power iteration is made, so that reading changes nothing. The packed
    weights of a dynamically quantised layer are those that its own ``get_weight`` gives.

    Args:
        module: what has ``state_dict()``.
        prefix: of the names that are asked for.

    Returns:
        The weights, and what was done to those of that prefix, as a sentence for the user; or "".
    """
    found, told = dict(module.state_dict()), set[str]()
    named: Any = getattr(module, "named_modules", dict[str, Any]().items)
    for path, part in named():
        start = f"{path}." if path else ""
        whole = _dequantised(part)
        if whole:
            found = {name: value for name, value in found.items() if not _is_packed_in(start, name)}
            found |= {start + name: weight for name, weight in whole.items()}
        if whole and start.removesuffix(".") == prefix.removesuffix("."):
            told.add(_QUANTISED[_has_scales(part)])
        for name, weight in (*_parametrised(part), *_hooked(part)):
            kept = tuple(f"{start}{name}_{end}" for end in _KEPT_AS)
            for key in [k for k in found if k in kept or k.startswith(f"{start}parametrizations.{name}.")]:
                del found[key]
            found[start + name] = weight
    return found, "; ".join(sorted(told))


def _parametrised(part: Any) -> Iterator[tuple[str, Any]]:
    lists: Any = getattr(part, "parametrizations", {})
    for name, functions in lists.items():
        if NAME.fullmatch(name):
            modes = [(inner, inner.training) for inner in functions.modules()]
            functions.eval()
            try:
                yield name, getattr(part, name)
            finally:
                for inner, mode in modes:
                    inner.training = mode


def _hooked(part: Any) -> Iterator[tuple[str, Any]]:
    """What masks, weight norms and spectral norms compute before each forward."""
    for hook in (getattr(part, "_forward_pre_hooks", None) or {}).values():
        name = getattr(hook, "_tensor_name", None) or getattr(hook, "name", None)
        if not isinstance(name, str) or not NAME.fullmatch(name):
            continue
        if hasattr(hook, "apply_mask"):
            yield name, hook.apply_mask(part)
        elif hasattr(hook, "n_power_iterations"):
            yield name, hook.compute_weight(part, do_power_iteration=False)
        elif hasattr(hook, "compute_weight"):
            yield name, hook.compute_weight(part)


def hooks_of(module: Any) -> str:
    """What a module has hooked to its forward that may change its inputs or outputs, as a sentence; or "".

    Hooks that make weights of parameters, which ``weights_of`` follows, are none of these.
    """
    found = []
    for field in ("_forward_pre_hooks", "_forward_hooks", "_forward_post_hooks"):
        for hook in (getattr(module, field, None) or {}).values():
            if not hasattr(hook, "compute_weight") and not hasattr(hook, "apply_mask"):
                found.append(getattr(hook, "__qualname__", type(hook).__qualname__))
    if not found:
        return ""
    return (
        f"the forward of the {type(module).__name__} has the hooks {', '.join(sorted(found)[:4])}, which may "
        "change what it reads and puts out: the cell has none of it, and rd.interop.check compares the outputs"
    )


def _is_packed_in(start: str, name: str) -> bool:
    return name.startswith(start) and _PACKED.fullmatch(name[len(start) :]) is not None


def _packed_weights(part: Any) -> Mapping[str, Any]:
    """The weights of a dynamically quantised layer, or nothing of another one."""
    if "quantized" not in type(part).__module__ or not callable(getattr(part, "get_weight", None)):
        return {}
    weights = part.get_weight()
    known = isinstance(weights, Mapping) and any(NAME.fullmatch(name) for name in weights)
    return weights if known else {}


def _has_scales(part: Any) -> bool:
    return any(bool(getattr(weight, "is_quantized", False)) for weight in _packed_weights(part).values())


def _dequantised(part: Any) -> dict[str, Any]:
    """Weights and biases of a dynamically quantised layer, in floats."""
    weights = _packed_weights(part)
    if not weights:
        return {}
    biases = part.get_bias() if hasattr(part, "get_bias") else part._weight_bias()["bias"]
    floats = {
        name: weight.dequantize() if getattr(weight, "is_quantized", False) else weight
        for name, weight in weights.items()
    }
    return floats | {name: bias for name, bias in biases.items() if bias is not None}


def plain(source: Mapping[Any, Any], prefix: str) -> dict[Any, Any]:
    """A state dict with the names of plain weights: masks and weight norms applied, Paddle's doubles taken as one.

    Raises:
        ValueError: weights below the prefix of which the names alone do not tell how they are computed.
    """
    found = undropped(source)
    packed = next(
        (name for name in found if _PACKED.fullmatch(str(name)) and str(name).startswith(prefix)), None
    )
    if packed is not None:
        raise ValueError(
            f"source: expected arrays, got the packed weights {packed} of a quantised network: from_torch(module) "
            "reads them, of the module itself"
        )
    for name in [name for name in found if isinstance(name, str)]:
        match = _QUANTIZABLE.fullmatch(name)
        if match is not None:
            start, layer, back, which, kind = match.groups()
            found[f"{start}{kind}_{which}h_l{layer}{'_reverse' if back == 'bw' else ''}"] = found.pop(name)
    names = [name for name in found if isinstance(name, str)]
    for name in names:
        match = PADDLE.fullmatch(name)
        if match is not None:
            _of_paddle(found, name, *match.groups())
    for name in names:
        whole, _, end = name.rpartition("_")
        if not name.startswith(prefix) or not NAME.fullmatch(whole.rpartition(".")[2]):
            continue
        other = f"{whole}_{'mask' if end == 'orig' else 'v'}"
        if end not in ("orig", "g") or not {name, other} <= set(found) or f"{whole}_u" in found:
            continue
        first, second = (float_array(key, _on_host(found[key])) for key in (name, other))
        if first.ndim not in (0, second.ndim):  # Paddle's lengths, which do not tell their axis
            continue
        del found[name], found[other]
        found[whole] = first * second if end == "orig" else first * second / _norm(second, first.shape)
    strange = [
        name for name in found if isinstance(name, str) and name.startswith(prefix) and _COMPUTED.search(name)
    ]
    if strange:
        raise ValueError(f"source: {undone([*strange, *map(str, source)])}")
    return found


def _of_paddle(found: dict[Any, Any], name: str, start: str, layer: str, back: str | None, kind: str) -> None:
    """Give a cell's weight the name that it has in the layer: the layer's forward uses the cells' alone.

    A weight norm of the layer has no effect in Paddle 3.3.1 (findings/paddle_norms_of_layers.sh).
    """
    end = f"_l{layer}{'_reverse' if back == '_bw' else ''}"
    if not any(isinstance(key, str) and key.startswith(f"{start}weight_ih{end}") for key in found):
        return
    value = found.pop(name)
    for kept in _KEPT_AS:
        found.pop(f"{start}{kind}{end}_{kept}", None)
    if kind == "weight_ho":
        found[f"{start}weight_hr{end}"] = np.asarray(_on_host(value)).T
    else:
        found[f"{start}{kind}{end}"] = value


def _on_host(value: Any) -> Any:
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value


def _norm(v: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """‖v‖ over the axes along which the lengths g of that shape are one number."""
    axes = tuple(axis for axis in range(v.ndim) if axis >= len(shape) or shape[axis] == 1)
    return np.sqrt(np.sum(v * v, axis=axes, keepdims=len(shape) > 0))
