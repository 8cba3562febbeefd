"""Which recurrent networks a file's arrays are, by names and shapes, and the call that reads each."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from rnn_dynamics.interop import names
from rnn_dynamics.interop.stored import Part, Stored

_FLAX = {
    frozenset(("i", "h")): "rnn",
    frozenset(("ir", "iz", "in", "hr", "hz", "hn")): "gru",
    frozenset(("ii", "if", "ig", "io", "hi", "hf", "hg", "ho")): "lstm",
}
_FLAX_NAME = re.compile(r"(.*\.)?(i|h|ir|iz|in|hr|hz|hn|ii|if|ig|io|hi|hf|hg|ho)\.(kernel|bias)")
_KERAS_NAME = re.compile(r"(.*[./])?(kernel|recurrent_kernel|bias)")
_GATES = {1: "rnn", 3: "gru", 4: "lstm"}
_BOTH = ("forward", "reverse")


class Network(NamedTuple):
    """A recurrent network in a file.

    Attributes:
        family: whose names the arrays have: "torch", "flax", "keras" or "onnx".
        prefix: what stands before its arrays' names, or the name of ONNX's node.
        kind: "lstm", "gru", "rnn_tanh", "rnn_relu", or "rnn" where nothing tells the activation.
        units, inputs, layers: their numbers.
        directions: "forward", "reverse", or both.
        arrays: by the names of its family.
        names: of its arrays in the file.
        trouble: why it cannot be read as it is; or "".
    """

    family: str
    prefix: str
    kind: str
    units: int
    inputs: int
    layers: int
    directions: tuple[str, ...]
    arrays: Mapping[str, Any]
    names: frozenset[str]
    trouble: str = ""

    def options(self) -> dict[str, Any]:
        """The arguments of ``load`` that read it, the path aside."""
        found: dict[str, Any] = {"prefix": self.prefix} if self.prefix else {}
        if self.kind == "rnn":
            found["kind"] = "rnn_tanh"
        if self.directions != ("forward",):
            found["direction"] = self.directions[0]
        return found

    def call(self, path: Any) -> str:
        """The call that reads it."""
        words = "".join(f', {name}="{value}"' for name, value in self.options().items())
        return f"rd.interop.load({str(path)!r}{words})"

    def __str__(self) -> str:
        kind = {"rnn": "RNN", "rnn_tanh": "RNN (tanh)", "rnn_relu": "RNN (ReLU)"}.get(
            self.kind, self.kind.upper()
        )
        layers = f", {self.layers} layers" if self.layers > 1 else ""
        both = ", both directions" if len(self.directions) == 2 else ""
        back = ", reverse" if self.directions == ("reverse",) else ""
        return f"{kind} of {self.units} units, {self.inputs} inputs{layers}{both}{back}"


def networks_of(
    value: Any, arrays: Mapping[str, Stored], parts: Mapping[str, Part], format: str
) -> list[Network]:
    """The networks among a file's arrays, in the order of their prefixes."""
    if format == "onnx":
        return [_of_node(node) for node in value[""].found]
    found = [_of_torch(arrays, prefix, parts, format) for prefix in names.prefixes(arrays)]
    found = [network for network in found if network is not None]
    found += _of_groups(arrays, _FLAX_NAME, _of_flax)
    found += _of_groups(arrays, _KERAS_NAME, _of_keras)
    return found


def _of_torch(
    arrays: Mapping[str, Stored], prefix: str, parts: Mapping[str, Part], format: str
) -> Network | None:
    pattern = re.compile(r"(weight|bias)_(ih|hh|hr)(_l\d+)?(_reverse)?")
    inner = {
        name[len(prefix) :]: stored
        for name, stored in arrays.items()
        if name.startswith(prefix) and pattern.fullmatch(name[len(prefix) :])
    }
    own = frozenset(prefix + name for name in inner)
    if format.startswith("mat"):  # where a vector is a matrix with one row or column
        inner = {
            name: _column(stored) if name.startswith("bias") else stored for name, stored in inner.items()
        }
    back = [name.endswith("_reverse") for name in inner]
    directions = _BOTH if any(back) and not all(back) else ("reverse",) if all(back) else ("forward",)
    numbers = {re.sub(r"\D", "", name) or "0" for name in inner}
    first = {name.removesuffix("_reverse").removesuffix("_l0"): each for name, each in inner.items()}
    if "weight_hh" not in first or "weight_ih" not in first:
        return None
    kind, trouble = "rnn", ""
    try:
        layers = names.layers_of(inner, None if directions == ("forward",) else directions[0])
        rows, units = layers[0]["hh"].shape
        kind = _GATES.get(rows // max(units, 1), "")
        if kind and kind != "rnn":
            names.check_kind(kind, layers[0], 0)
        elif not kind:
            names.kind_of(layers[0])
    except ValueError as error:
        trouble = str(error)
    hh, ih = first["weight_hh"].shape, first["weight_ih"].shape
    if kind == "rnn" and not trouble:
        kind = _told_by(parts.get(prefix.removesuffix("."))) or kind
    if trouble and len(hh) == 2 and hh[1]:
        kind = _GATES.get(hh[0] // hh[1], "rnn")
    units = hh[1] if len(hh) == 2 else 0
    return Network(
        "torch",
        prefix,
        kind,
        units,
        ih[1] if len(ih) == 2 else 0,
        len(numbers),
        directions,
        inner,
        own,
        trouble,
    )


def _told_by(part: Part | None) -> str:
    """The kind that a module of PyTorch tells by its own attributes."""
    if part is None:
        return ""
    mode = str(part.inside.get("mode", f"rnn_{part.inside.get('nonlinearity', '')}")).lower()
    return mode if mode in names.KINDS else ""


def _column(stored: Stored) -> Stored:
    if stored.ndim != 2 or 1 not in stored.shape:
        return stored
    return Stored((max(stored.shape),), stored.dtype, lambda: stored.read().ravel(), stored.told)


def _of_groups(arrays: Mapping[str, Stored], pattern: re.Pattern[str], network: Any) -> list[Network]:
    groups: dict[str, dict[str, Stored]] = {}
    for name, stored in arrays.items():
        if match := pattern.fullmatch(name):
            prefix = match.group(1) or ""
            groups.setdefault(prefix, {})[name[len(prefix) :]] = stored
    found = [network(prefix, groups[prefix]) for prefix in sorted(groups)]
    return [each for each in found if each is not None]


def _own(prefix: str, group: Mapping[str, Stored]) -> frozenset[str]:
    return frozenset(prefix + name for name in group)


def _of_flax(prefix: str, group: Mapping[str, Stored]) -> Network | None:
    gates = frozenset(name.partition(".")[0] for name in group)
    kind = _FLAX.get(gates)
    kernels = [group.get(f"{gate}.kernel") for gate in sorted(gates, key=lambda gate: (gate[0] != "h", gate))]
    if kind is None or any(each is None or each.ndim != 2 for each in kernels):
        return None
    last, first = kernels[-1], kernels[0]
    assert first is not None
    assert last is not None
    return Network(
        "flax", prefix, kind, first.shape[0], last.shape[0], 1, ("forward",), group, _own(prefix, group)
    )


def _of_keras(prefix: str, group: Mapping[str, Stored]) -> Network | None:
    recurrent, kernel = group.get("recurrent_kernel"), group.get("kernel")
    if recurrent is None or kernel is None or recurrent.ndim != 2 or kernel.ndim != 2:
        return None
    units, columns = recurrent.shape
    kind = _GATES.get(columns // max(units, 1), "rnn")
    return Network("keras", prefix, kind, units, kernel.shape[0], 1, ("forward",), group, _own(prefix, group))


def _of_node(node: Any) -> Network:
    """The network of a node of ONNX, whose W and R have the directions first."""
    R, W = node["arrays"]["R"], node["arrays"]["W"]
    kind = {"RNN": f"rnn_{node['activation']}"}.get(node["kind"], node["kind"].lower())
    kind = kind if kind in names.KINDS or kind == "rnn" else "rnn"
    directions = _BOTH if node["direction"] == "bidirectional" else (node["direction"],)
    units, inputs = (each.shape[-1] if each is not None else 0 for each in (R, W))
    return Network(
        "onnx", node["name"], kind, units, inputs, 1, directions, node, node["own"], node["trouble"]
    )
