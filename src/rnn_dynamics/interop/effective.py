"""The weights that a module's forward multiplies by, where it computes them from other parameters."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from rnn_dynamics.interop.arrays import float_array
from rnn_dynamics.interop.names import NAME

_KEPT_AS = ("orig", "mask", "g", "v", "u")
_COMPUTED = re.compile(
    rf"(?:^|\.)(?:parametrizations\.(?:{NAME.pattern})\.|(?:{NAME.pattern})_(?:orig|mask|g|v|u)$)"
)
_PACKED = re.compile(r"(?:^|\.)_(?:all_weight_values\.\d+\.param|packed_weight_[ih]h)$")
# The dense layers inside torch.ao.nn.quantizable.LSTM, before it is quantised.
_QUANTIZABLE = re.compile(r"((?:.*\.)?)layers\.(\d+)\.layer_(fw|bw)\.cell\.([ih])gates\.(weight|bias)")
# The cells inside Paddle's layers, whose weights its state dicts hold a second time.
_PADDLE = re.compile(r"((?:.*\.)?)(\d+)\.cell(_fw|_bw)?\.((?:weight|bias)_(?:ih|hh|ho))")


def weights_of(module: Any, prefix: str) -> dict[str, Any]:
    """The weights of a module by name, those that are parametrised, normalised or pruned as its forward has them.

    A spectral norm is that of evaluation: no power iteration is made, so that reading changes nothing.

    Args:
        module: what has ``state_dict()``.
        prefix: of the names that are asked for.

    Raises:
        ValueError: a quantised part of that prefix, in whose forward the state too is rounded at every step.
    """
    found = dict(module.state_dict())
    named: Any = getattr(module, "named_modules", dict[str, Any]().items)
    for path, part in named():
        if path.startswith(prefix.removesuffix(".")):
            _check_quantised(path, part)
        start = f"{path}." if path else ""
        for name, weight in (*_parametrised(part), *_hooked(part)):
            kept = tuple(f"{start}{name}_{end}" for end in _KEPT_AS)
            for key in [k for k in found if k in kept or k.startswith(f"{start}parametrizations.{name}.")]:
                del found[key]
            found[start + name] = weight
    return found


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


def _check_quantised(path: str, part: Any) -> None:
    if "quantized" not in type(part).__module__ or not callable(getattr(part, "get_weight", None)):
        return
    weights = part.get_weight()
    if not isinstance(weights, Mapping) or not any(NAME.fullmatch(name) for name in weights):
        return
    is_dotted = all(part.isidentifier() for part in path.split(".") if path)
    where = (f"source.{path}" if is_dotted else f'source.get_submodule("{path}")') if path else "source"
    biases = f"{where}.get_bias()" if hasattr(part, "get_bias") else f'{where}._weight_bias()["bias"]'
    raise ValueError(
        f"source: expected weights that are not quantised, got a {type(part).__name__} that rounds its state too, "
        "at every step: no cell has just its states. One with its weights: "
        f"from_torch({{n: w.dequantize() for n, w in {where}.get_weight().items()}} | {biases})"
    )


def plain(source: Mapping[Any, Any], prefix: str) -> dict[Any, Any]:
    """A state dict with the names of plain weights: masks and weight norms applied, Paddle's doubles taken as one.

    Raises:
        ValueError: weights below the prefix of which the names alone do not tell how they are computed.
    """
    found = dict(source)
    packed = next(
        (name for name in found if _PACKED.search(str(name)) and str(name).startswith(prefix)), None
    )
    if packed is not None:
        raise ValueError(
            f"source: expected arrays, got the packed weights {packed} of a quantised network, which rounds its "
            "state too: from_torch(module) says what of it can be read"
        )
    for name in [name for name in found if isinstance(name, str)]:
        match = _QUANTIZABLE.fullmatch(name)
        if match is not None:
            start, layer, back, which, kind = match.groups()
            found[f"{start}{kind}_{which}h_l{layer}{'_reverse' if back == 'bw' else ''}"] = found.pop(name)
    names = [name for name in found if isinstance(name, str)]
    for name in names:
        match = _PADDLE.fullmatch(name)
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
        raise ValueError(
            f"source: expected weights as the forward uses them, got {strange[0]}: give the module itself, or its "
            "state dict after torch.nn.utils.parametrize.remove_parametrizations(…, leave_parametrized=True)"
        )
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
