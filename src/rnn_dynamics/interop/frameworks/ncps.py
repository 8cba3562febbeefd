"""Liquid networks of ncps: CfC and LTC, of its PyTorch and Keras flavours, and state dicts by their names."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from rnn_dynamics.cells.gated import LSTM
from rnn_dynamics.cells.liquid import LTC, CfC, MixedMemory
from rnn_dynamics.cells.stack import Stack
from rnn_dynamics.interop.arrays import (
    agreed,
    check_names,
    check_shape,
    check_step,
    host_array,
    stretches,
    what_came,
)
from rnn_dynamics.interop.frameworks.effective import weights_of
from rnn_dynamics.numerics.validation import positive

_MODES = ("default", "pure", "no_gate")
_BACKBONES = {"LeCun": "lecun_tanh", "SiLU": "silu", "ReLU": "relu", "Tanh": "tanh", "GELU": "gelu"}
_OF_UNITS = ("cm", "gleak", "vleak")
_SYNAPSES = ("w", "mu", "sigma", "erev", "sparsity_mask")
_LTC = {*_OF_UNITS, *_SYNAPSES, *(f"sensory_{name}" for name in _SYNAPSES)}
_MAPPED = {"input_w", "input_b", "output_w", "output_b"}
_HEADS = ("ff1", "ff2", "time_a", "time_b")
#: What a name of ncps' weights ends with that no other framework's does.
ENDS = ("ff1.weight", "sensory_erev")


def from_ncps(
    source: Any,
    *,
    prefix: str = "",
    mode: str | None = None,
    activation: str | None = None,
    constrained: bool | None = None,
    unfolds: int | None = None,
    dt: float = 1.0,
) -> CfC | LTC | MixedMemory | Stack:
    """A CfC or LTC of ncps as a cell: the same states, and so the same ∂h_T/∂h_k.

    Wirings are read from the masks. A wired CfC is a ``Stack`` of its layers, mixed memory a ``MixedMemory``.
    The flavours differ: in Keras the heads of a CfC have no tanh, the gate is σ(b − a dt), a mask keeps the
    signs of the wiring, and mixed memory goes into the cell's input. An LTC keeps its parameters positive by
    softplus in the map, an LTCCell by default does not; the same state dict fits both. The affine map of the
    inputs is folded in; the map of the outputs, which no state reads, is left out.

    Args:
        source: ``ncps.torch`` or ``ncps.keras`` CfC, LTC, CfCCell, WiredCfCCell or LTCCell; a PyTorch module that
            has one in it; or a state dict.
        prefix: of the network's names, as "rnn." in a model.
        mode: "default" or "no_gate" of a CfC given as a state dict, which does not tell it.
        activation: of the layers under the heads, given as a state dict: "lecun_tanh" (ncps' default), "tanh",
            "relu", "silu" or "gelu".
        constrained: whether softplus makes an LTC's parameters positive, given as a state dict: True of an LTC,
            False of an LTCCell.
        unfolds: inner steps of an LTC given as a state dict, 6 by default.
        dt: the time of one step, ncps' ``timespans``, which is 1 by default. One clock for all steps.

    Returns:
        A cell. The state with mixed memory is [h, c].

    Raises:
        TypeError: neither a module nor a mapping; a prefix that is no string.
        ValueError: names that are missing or foreign, shapes that do not fit, what is neither told nor given, a
            dtype that is not float32 or float64.
    """
    if not isinstance(prefix, str):
        raise TypeError(f"prefix: expected a string, got {prefix!r}")
    dt = positive("dt", dt)
    told: dict[str, Any] = {}
    if not isinstance(source, Mapping):
        source, told = _of_module(source, prefix)
    arrays = _below(source, prefix)
    memory = {name[5:]: arrays.pop(name) for name in list(arrays) if name.startswith("lstm.")}
    arrays = {name.removeprefix("rnn_cell."): array for name, array in arrays.items() if name[:3] != "fc."}
    options = {"mode": mode, "activation": activation, "constrained": constrained, "unfolds": unfolds}
    if any(name.endswith("ff1.weight") for name in arrays):
        _refuse("CfC", constrained=constrained, unfolds=unfolds)
        cell = _cfc(arrays, told, options, dt)
    elif "sensory_erev" in arrays:
        _refuse("LTC", mode=mode, activation=activation)
        cell = _ltc(arrays, told, options, dt)
    else:
        some = sorted(arrays)[:6]
        raise ValueError(f"source: expected a CfC's ff1.weight or an LTC's sensory_erev, got {some}")
    if not memory:
        return cell
    return MixedMemory(_memory(memory, told.get("forget", 1.0)), cell, into=told.get("into", "state"))


def _refuse(kind: str, **given: Any) -> None:
    for name, value in given.items():
        if value is not None:
            raise ValueError(f"{name}: expected None, as a {kind} has none, got {value!r}")


def _below(source: Mapping[Any, Any], prefix: str) -> dict[str, np.ndarray]:
    """The arrays of one network by their names in it."""
    if prefix and not prefix.endswith("."):
        prefix += "."
    found = {str(name): value for name, value in source.items() if str(name).startswith(prefix)}
    ends = {next((end for end in ENDS if name.endswith(end)), None): name for name in source}
    if not found:
        raise ValueError(f"prefix: expected the beginning of some name, got {prefix!r}; {_hint(source)}")
    foreign = [name for name in found if not _is_own(name.removeprefix(prefix))]
    if foreign or not any(ends):
        raise ValueError(
            f"source: expected the weights of one CfC or LTC, got {sorted(foreign or found)[:5]}; {_hint(source)}"
        )
    return {name.removeprefix(prefix): host_array(name, value) for name, value in found.items()}


def _is_own(name: str) -> bool:
    name = re.sub(r"^rnn_cell\.", "", name)
    of_cfc = r"(layer_\d+\.)?((ff1|ff2|time_a|time_b|backbone\.\d+)\.(weight|bias)|w_tau|A|sparsity_mask)"
    others = r"(lstm\.(input_map|recurrent_map)|fc)\.(weight|bias)"
    return name in _LTC | _MAPPED or re.fullmatch(f"{of_cfc}|{others}", name) is not None


def _hint(names: Mapping[Any, Any]) -> str:
    starts = set()
    for name in map(str, names):
        match = re.fullmatch(r"(|.*?\.)(rnn_cell\.)?(layer_\d+\.)?(ff1\.weight|sensory_erev)", name)
        if match:
            starts.add(match[1])
    calls = [f'from_ncps(source, prefix="{start}")' for start in sorted(starts) if start]
    return f"choose by {' or '.join(calls[:6])}" if calls else f"names are {sorted(map(str, names))[:6]}"


def _of_module(module: Any, prefix: str) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """Weights by the names of the PyTorch flavour, and what the module tells beyond them."""
    if hasattr(module, "get_weights") and hasattr(module, "get_config"):
        return _of_keras(module)
    if not callable(getattr(module, "state_dict", None)):
        raise TypeError(f"source: expected a CfC or LTC of ncps, or a state dict, got {what_came(module)}")
    inner = module
    for part in prefix.split("."):
        inner = getattr(inner, part, None) if part else inner
    _check_own(inner, "forward")
    inner = getattr(inner, "rnn_cell", inner)
    _check_own(inner, "forward")
    told = _told(next(iter(getattr(inner, "_layers", None) or ()), inner))
    return weights_of(module, prefix)[0], told


def _check_own(module: Any, method: str) -> None:
    """Refuse a class whose step is none of ncps'."""
    words = "from_ncps(source.state_dict(), …), which asks for what weights do not tell"
    check_step(module, method, ("ncps", "torch", "keras"), words)


def _told(cell: Any) -> dict[str, Any]:
    told = {
        "mode": getattr(cell, "mode", None),
        "constrained": getattr(cell, "_implicit_param_constraints", None),
    }
    told |= {"unfolds": getattr(cell, "_ode_unfolds", None), "epsilon": getattr(cell, "_epsilon", None)}
    backbone = getattr(cell, "backbone", None)
    if backbone is not None:
        name = type(next(layer for layer in backbone if not hasattr(layer, "in_features"))).__name__
        if name not in _BACKBONES:
            raise ValueError(f"source: expected a backbone of {', '.join(_BACKBONES)}, got {name}")
        told["activation"] = _BACKBONES[name]
    return told


def _cfc(arrays: dict[str, np.ndarray], told: dict[str, Any], options: dict[str, Any], dt: float) -> Any:
    numbers = sorted({int(m[1]) for name in arrays if (m := re.match(r"layer_(\d+)\.", name))})
    if not numbers:
        return _cfc_layer(arrays, told, options, dt)
    layers = []
    for number in numbers:
        start = f"layer_{number}."
        own = {name.removeprefix(start): a for name, a in arrays.items() if name.startswith(start)}
        layers.append(_cfc_layer(own, told, options, dt))
    return layers[0] if len(layers) == 1 else Stack(layers)


def _cfc_layer(
    arrays: dict[str, np.ndarray], told: dict[str, Any], options: dict[str, Any], dt: float
) -> CfC:
    """One cell: below the heads the layers of the backbone, whose first one takes [u, h] side by side."""
    shown = "pure" if "w_tau" in arrays else told.get("mode")
    mode = str(agreed("mode", options["mode"], shown, _MODES))
    heads = _HEADS[:1] if mode == "pure" else _HEADS
    numbers = sorted({int(name.split(".")[1]) for name in arrays if name.startswith("backbone.")})
    layers = [f"backbone.{number}" for number in numbers]
    pure = {"A", "w_tau"} if mode == "pure" else set()
    needed = {f"{name}.{kind}" for name in (*heads, *layers) for kind in ("weight", "bias")}
    check_names(arrays, needed | pure, {"sparsity_mask"})
    units = arrays["ff1.bias"].shape[0]
    mask = arrays.get("sparsity_mask", np.ones(1, "float32"))
    own = [arrays[f"{name}.weight"] for name in heads]
    for name, w in zip(heads, own, strict=True):
        check_shape(f"{name}.weight", w, (units, own[0].shape[1]))
    masked = [w * mask.astype(w.dtype) if i < 2 else w for i, w in enumerate(own)]
    biases = np.concatenate([check_shape(f"{name}.bias", arrays[f"{name}.bias"], (units,)) for name in heads])
    pairs = [(arrays[f"{name}.weight"], arrays[f"{name}.bias"]) for name in layers]
    pairs.append((np.concatenate(masked), biases))
    (first, b), upper = pairs[0], tuple(pairs[1:])
    if first.shape[1] <= units:
        raise ValueError(
            f"source: expected the lowest weights of shape (any, inputs + {units}), got {first.shape}"
        )
    chosen: Any = "lecun_tanh"
    if layers:
        chosen = agreed(
            "activation", options["activation"], told.get("activation"), tuple(_BACKBONES.values())
        )
    elif options["activation"] is not None:
        _refuse("CfC without backbone", activation=options["activation"])
    inputs = first.shape[1] - units
    return CfC(
        first[:, inputs:],
        b,
        first[:, :inputs],
        upper=upper,
        pure=(arrays["A"].ravel(), arrays["w_tau"].ravel()) if pure else None,
        mode=mode,
        activation=chosen,
        head=told.get("head", "tanh"),
        dt=dt,
    )


def _ltc(arrays: dict[str, np.ndarray], told: dict[str, Any], options: dict[str, Any], dt: float) -> LTC:
    check_names(arrays, _LTC, _MAPPED)
    constrained = agreed("constrained", options["constrained"], told.get("constrained"), (True, False))
    units, inputs = arrays["cm"].shape[0], arrays["sensory_w"].shape[0]
    own = {name: check_shape(name, arrays[name], (units,)) for name in _OF_UNITS}
    for start, rows in (("", units), ("sensory_", inputs)):
        own |= {n: check_shape(n, arrays[n], (rows, units)) for n in (start + each for each in _SYNAPSES)}
    if constrained:
        for name in ("cm", "gleak", "w", "sensory_w"):
            own[name] = _softplus(own[name])
    scale = check_shape("input_w", arrays.get("input_w", np.ones(inputs, own["w"].dtype)), (inputs,))
    shift = check_shape("input_b", arrays.get("input_b", np.zeros(inputs, own["w"].dtype)), (inputs,))
    gain, gain_in = own["sigma"], own["sensory_sigma"]
    return LTC(
        (own["w"] * own["sparsity_mask"]).T,
        gain.T,
        (-gain * own["mu"]).T,
        own["erev"].T,
        (own["sensory_w"] * own["sensory_sparsity_mask"]).T,
        (gain_in * scale[:, None]).T,
        (gain_in * (shift[:, None] - own["sensory_mu"])).T,
        own["sensory_erev"].T,
        own["cm"],
        own["gleak"],
        own["vleak"],
        unfolds=told.get("unfolds") or options["unfolds"] or 6,
        epsilon=1e-8 if told.get("epsilon") is None else told["epsilon"],
        dt=dt,
    )


def _softplus(z: np.ndarray) -> np.ndarray:
    """ln(1 + e^z), as PyTorch has it: z itself from 20 on."""
    return np.where(z > 20, z, np.log1p(np.exp(np.minimum(z, 20)))).astype(z.dtype)


def _memory(arrays: dict[str, np.ndarray], forget: float) -> LSTM:
    """The LSTM with its gates in ncps' order, g, i, f, o, and 1 added to f in each call."""
    check_names(arrays, {"input_map.weight", "input_map.bias", "recurrent_map.weight"})
    W = check_shape("lstm.recurrent_map.weight", arrays["recurrent_map.weight"], (None, None))
    units = W.shape[1]
    W, W_in, b = (
        stretches(check_shape(f"lstm.{name}", arrays[name], shape), (1, 2, 0, 3), 4)
        for name, shape in (
            ("recurrent_map.weight", (4 * units, units)),
            ("input_map.weight", (4 * units, None)),
            ("input_map.bias", (4 * units,)),
        )
    )
    return LSTM(W, b + np.repeat(np.array([0, forget, 0, 0], b.dtype), units), W_in)


def _of_keras(layer: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A layer of the Keras flavour under the names of PyTorch's: kernels turned, time_a with the other sign."""
    for each in dict.fromkeys((layer, getattr(layer, "cell", layer))):
        check_step(
            each, "call", ("ncps", "keras", "tf_keras"), "from_ncps(…) of the layer that it is made of"
        )
    layer = getattr(layer, "cell", layer)
    found: dict[str, Any] = {}
    told: dict[str, Any] = {"head": "linear", "constrained": False}
    if hasattr(layer, "forget_gate_bias"):
        told |= {"forget": float(layer.forget_gate_bias), "into": "input"}
        found = {
            "lstm.input_map.weight": _array(layer.input_kernel).T,
            "lstm.input_map.bias": _array(layer.bias),
        }
        found["lstm.recurrent_map.weight"] = _array(layer.recurrent_kernel).T
        layer = layer.rnn_cell
    if isinstance(getattr(layer, "_params", None), Mapping):
        told |= {"unfolds": layer._ode_unfolds, "epsilon": layer._epsilon}
        return found | {name: _array(value) for name, value in layer._params.items()}, told
    cells = list(getattr(layer, "_cfc_layers", ())) or [layer]
    if not all(hasattr(cell, "ff1_kernel") for cell in cells):
        raise TypeError(f"source: expected a built CfC or LTC of ncps, got {type(layer).__name__}")
    told["mode"] = cells[0].mode
    for number, cell in enumerate(cells):
        start = f"layer_{number}." if len(cells) > 1 else ""
        found |= {start + name: array for name, array in _cell_of_keras(cell, told).items()}
    return found, told


def _cell_of_keras(cell: Any, told: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for name in ("ff1", "ff2") if hasattr(cell, "ff2_kernel") else ("ff1",):
        kernel, bias = getattr(cell, f"{name}_kernel"), getattr(cell, f"{name}_bias")
        found |= {f"{name}.weight": _array(kernel).T, f"{name}.bias": _array(bias)}
    if hasattr(cell, "time_a"):
        for name, sign in (("time_a", -1), ("time_b", 1)):
            dense = getattr(cell, name)
            found |= {
                f"{name}.weight": sign * _array(dense.kernel).T,
                f"{name}.bias": sign * _array(dense.bias),
            }
    else:
        found |= {"A": _array(cell.A), "w_tau": _array(cell.w_tau)}
    if getattr(cell, "sparsity_mask", None) is not None:
        found["sparsity_mask"] = _array(cell.sparsity_mask).T
    dense = [
        each for each in getattr(getattr(cell, "backbone_fn", None), "layers", ()) if hasattr(each, "kernel")
    ]
    for number, each in enumerate(dense):
        function = getattr(each.activation, "__name__", "")
        told["activation"] = function if function in _BACKBONES.values() else None
        if told["activation"] is None:
            raise ValueError(
                f"source: expected a backbone of {', '.join(_BACKBONES.values())}, got {function!r}"
            )
        found |= {f"backbone.{number}.weight": _array(each.kernel).T}
        found |= {f"backbone.{number}.bias": _array(each.bias)}
    return found


def _array(value: Any) -> np.ndarray:
    return host_array("a weight", value)
