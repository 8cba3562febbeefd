"""Which recurrent networks a file's arrays are, by names and shapes, and the call that reads each."""

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from rnn_dynamics.interop.files import names
from rnn_dynamics.interop.files.beside import hooked, said_of, saying, strangers, with_two_biases
from rnn_dynamics.interop.files.stored import Part, Stored
from rnn_dynamics.numerics.texts import counted

_FLAX = {
    frozenset(("i", "h")): "rnn",
    frozenset(("ir", "iz", "in", "hr", "hz", "hn")): "gru",
    frozenset(("ii", "if", "ig", "io", "hi", "hf", "hg", "ho")): "lstm",
    frozenset(("if", "in", "hf", "hn")): "mgu",
}
_TORCH_NAME = re.compile(r"(weight|bias)_(ih|hh|hr)(_l(\d+))?(_reverse)?$")
_FLAX_NAME = re.compile(r"(.*\.)?(i|h|ir|iz|in|hr|hz|hn|ii|if|ig|io|hi|hf|hg|ho)\.(kernel|bias)")
_KERAS_NAME = re.compile(r"(.*[./])?(kernel|recurrent_kernel|bias)")
_UNIREP_NAME = re.compile(r"(.*\.)?mlstm\.(\d+)\.(b|gh|gmh|gmx|gx|wh|wmh|wmx|wx)")
_NNX_NAME = re.compile(r"(.*\.)?(dense_[ih]|if_|ii|ig|io|h[ifgo])\.(kernel|bias)(\.value|\.raw_value)?")
_HAIKU_NAME = re.compile(r"(.*?)(/linear(?:_1)?)?\.(w|b|w_i|w_h)")
_HAIKU = {
    frozenset(("/linear.w", "/linear.b")): "lstm",
    frozenset((".w_i", ".w_h", ".b")): "gru",
    frozenset(("/linear.w", "/linear.b", "/linear_1.w")): "rnn_relu",
    frozenset(("/linear.w", "/linear.b", "/linear_1.w", "/linear_1.b")): "rnn_relu",
}
_HAIKU_OWN = {"lstm": r"lstm(_\d+)?", "rnn_relu": r"vanilla_rnn(_\d+)?", "gru": r".*"}
# What optimizers keep of the gradients of weights, by their names: Optax's below its state, PyTorch's anywhere.
_OF_OPTAX = r"opt(?:imizer)?_state\.(?:.*\.)?(?:mu|nu|trace)"
_OF_TORCH = r"(?:max_)?exp_avg(?:_sq)?|exp_inf|momentum_buffer|square_avg|acc_delta|grad_avg"
_MOMENT = re.compile(rf"(?:^|\.)(?P<word>{_OF_OPTAX}|{_OF_TORCH})\.(?P<rest>.*)$")
_GATES = {1: "rnn", 3: "gru", 4: "lstm"}
_BOTH = ("forward", "reverse")
_SCALES = [(dot, word) for dot in "._" for word in ("scale", "zero_point")]


class Network(NamedTuple):
    """A recurrent network in a file.

    Attributes:
        family: whose names the arrays have: "torch", "flax", "nnx", "haiku", "keras", "unirep" or "onnx".
        prefix: what stands before its arrays' names, or the name of ONNX's node.
        kind: "lstm", "gru", "rnn_tanh", "rnn_relu", or "rnn" where nothing tells the activation.
        units, inputs, layers: their numbers.
        directions: "forward", "reverse", or both.
        arrays: by the names of its family.
        names: of its arrays in the file.
        trouble: why it cannot be read as it is; or "".
        members: single layers of it, which have names of their own.
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
    members: tuple["Network", ...] = ()

    def options(self) -> dict[str, Any]:
        """The arguments of ``load`` that read it, the path aside."""
        found: dict[str, Any] = {"prefix": self.prefix} if self.prefix else {}
        if self.kind == "rnn":
            found["kind"] = "rnn_tanh"
        if self.directions == ("reverse",):
            found["direction"] = "reverse"
        return found

    def alone(self) -> str:
        """The arguments that take one direction of one layer of a network that reads in both, or ""."""
        if len(self.directions) < 2:
            return ""
        if self.layers == 1:
            return 'direction="forward"'
        if self.members:
            return f'prefix={json.dumps(self.members[0].prefix)}, direction="forward"'
        return 'layer=0, direction="forward"'

    def call(self, path: Any) -> str:
        """The call that reads it."""
        words = "".join(f", {name}={json.dumps(value)}" for name, value in self.options().items())
        return f"rd.interop.load({str(path)!r}{words})"

    def __str__(self) -> str:
        words = {"rnn": "RNN", "rnn_relu": "RNN (ReLU)"}
        kind = f"RNN ({self.kind[4:]})" if self.kind.startswith("rnn_") else self.kind.upper()
        kind = words.get(self.kind, kind)
        layers = f", {counted(self.layers, 'layer')}" if self.layers > 1 else ""
        both = ", both directions" if len(self.directions) == 2 else ""
        back = ", reverse" if self.directions == ("reverse",) else ""
        return f"{kind} of {counted(self.units, 'unit')}, {counted(self.inputs, 'input')}{layers}{both}{back}"


def networks_of(
    value: Any, arrays: Mapping[str, Stored], parts: Mapping[str, Part], format: str
) -> list[Network]:
    """The networks among a file's arrays, in the order of their prefixes."""
    groups: dict[str, dict[str, Stored]] = {prefix: {} for prefix in names.prefixes(arrays)}
    for name, stored in arrays.items():
        match = _TORCH_NAME.search(name)
        if match and (prefix := name[: match.start()]) in groups:
            groups[prefix][match.group()] = stored
    told = {prefix: _told_by(parts.get(prefix.removesuffix("."))) for prefix in groups}
    for prefix, group in groups.items():
        part = parts.get(prefix.removesuffix("."))
        one = with_two_biases(group, *(arrays.get(f"{prefix}{name}") for name in ("bias", "bias_n")))
        groups[prefix] = saying(
            one, "; ".join(filter(None, [_class_said(part), hooked(part) if part else ""]))
        )
    torch = [_of_torch(prefix, group, told[prefix], format) for prefix, group in groups.items()]
    found = [_with_its_names(network, arrays) for network in torch if network is not None]
    found += _of_groups(arrays, _FLAX_NAME, _of_flax)
    found += _of_groups(arrays, _KERAS_NAME, _of_keras)
    found += _of_groups(arrays, _UNIREP_NAME, _of_unirep)
    found += _of_groups(arrays, _NNX_NAME, _of_nnx)
    found += _of_haiku(arrays)
    known = frozenset().union(*(network.names for network in found))
    known |= {
        f"{name}{dot}{word}"
        for name, s in arrays.items()
        if "by the scale" in s.told
        for dot, word in _SCALES
    }
    others = [name for name in arrays if name not in known]
    found = [_with_strangers(network, others) for network in _without_moments(found)]
    if len(found) < 2:
        return found
    return [network if network.prefix else network._replace(prefix=".") for network in found]


def _without_moments(found: list[Network]) -> list[Network]:
    """The networks without what an optimizer keeps of the gradients of each, which has the names of its weights.

    Where the weights themselves are missing, it is said.
    """
    own = [network for network in found if not _MOMENT.search(network.prefix)]
    kept = []
    for network in found:
        match = _MOMENT.search(network.prefix)
        if match is None:
            kept.append(network)
        elif not any(
            f".{each.prefix}".endswith(f".{match['rest']}")
            and (each.kind, each.units, each.inputs) == (network.kind, network.units, network.inputs)
            for each in own
        ):
            words = f"{match['word']} is what an optimizer keeps of gradients, by its name, and no weights"
            kept.append(network._replace(arrays=saying(network.arrays, words)))
    return kept


def _with_its_names(network: Network, arrays: Mapping[str, Stored]) -> Network:
    """The network with the names that its arrays have in the file, where one bias was made two."""
    missing = network.names - set(arrays)
    single = {f"{network.prefix}{name}" for name in ("bias", "bias_n")} & set(arrays) if missing else set()
    return network._replace(names=(network.names - missing) | single)


def _with_strangers(network: Network, others: list[str]) -> Network:
    """The network, saying what stands beside its weights that may belong to its step."""
    if network.family == "unirep":
        return network
    joint = "/" if network.family == "haiku" else ""
    words = said_of(network.prefix, strangers(network.prefix, network.names, others, joint=joint))
    return network._replace(arrays=saying(network.arrays, words))


def one_layer(arrays: Mapping[str, Any], layer: int | None) -> dict[str, Any]:
    """The arrays of one layer of PyTorch's by the names of a single one; of all where none is asked for.

    Raises:
        TypeError: a layer that is no integer.
        ValueError: one that there is not.
    """
    if layer is None:
        return dict(arrays)
    if isinstance(layer, bool) or not isinstance(layer, int):
        raise TypeError(f"layer: expected the number of a layer or None, got {layer!r}")
    known = sorted({_layer_of(name) for name in arrays})
    if layer not in known:
        raise ValueError(f"layer: expected one of {known}, got {layer}")
    return {re.sub(r"_l\d+", "_l0", name): each for name, each in arrays.items() if _layer_of(name) == layer}


def _layer_of(name: str) -> int:
    match = _TORCH_NAME.fullmatch(name)
    return int(match.group(4) or 0) if match else 0


def _of_torch(prefix: str, inner: Mapping[str, Stored], told: str, format: str) -> Network | None:
    """The network of arrays that have PyTorch's names, whose kind a module may have told."""
    own = frozenset(prefix + name for name in inner)
    if format.startswith("mat"):  # where a vector is a matrix with one row or column
        inner = {
            name: _column(stored) if name.startswith("bias") else stored for name, stored in inner.items()
        }
    back = [name.endswith("_reverse") for name in inner]
    directions = _BOTH if any(back) and not all(back) else ("reverse",) if all(back) else ("forward",)
    first = {name.removesuffix("_reverse").removesuffix("_l0"): each for name, each in inner.items()}
    matrices = [first.get(name) for name in ("weight_hh", "weight_ih")]
    if any(matrix is None or matrix.ndim != 2 for matrix in matrices):
        return None
    (rows, columns), (_, inputs) = (matrix.shape for matrix in matrices if matrix is not None)
    units = first["weight_hr"].shape[-1] if "weight_hr" in first else columns
    kind, trouble = _GATES.get(rows // max(units, 1), "rnn"), ""
    several = len({_layer_of(name) for name in inner})
    try:
        if len(directions) == 2:
            ((layer, _), *_) = names.pairs_of(inner)
        else:
            (layer, *_) = names.layers_of(inner, None if directions == ("forward",) else directions[0])
        names.check_kind("rnn_tanh" if kind == "rnn" else kind, layer, 0)
    except ValueError as error:
        trouble = str(error)
    kind = told or kind if kind == "rnn" else kind
    return Network("torch", prefix, kind, units, inputs, several, directions, inner, own, trouble)


def _class_said(part: Part | None) -> str:
    """What to say of a class that is none of PyTorch's, whose step may be another; "" of one that is.

    What a reader of the library names itself, as operations of OpenVINO, has no module in its name.
    """
    if (
        part is None
        or part.is_call
        or "." not in part.name
        or part.name.removeprefix("__torch__.").partition(".")[0] in ("torch", "paddle")
    ):
        return ""
    name = re.sub(r"^__torch__[.]|___torch_mangle_[0-9]+[.]", "", part.name)[:80]
    return (
        f"{name} is no class of PyTorch's and may have a step of its own, of "
        "which its weights say nothing: they are read as PyTorch's, and rd.interop.check compares the outputs"
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


def _of_unirep(prefix: str, group: Mapping[str, Stored]) -> Network | None:
    recurrent, kernel = group.get("mlstm.0.wmh"), group.get("mlstm.0.wmx")
    if recurrent is None or kernel is None or kernel.ndim != 2:
        return None
    layers = len({name.split(".")[1] for name in group})
    own = _own(prefix, group)
    return Network(
        "unirep", prefix, "mlstm", recurrent.shape[0], kernel.shape[0], layers, ("forward",), group, own
    )


def _of_nnx(prefix: str, group: Mapping[str, Stored]) -> Network | None:
    """A cell of nnx, whose gates are in one layer, or in some with if_ in the place of linen's if."""
    inner = {re.sub(r"\.(raw_)?value$", "", name): stored for name, stored in group.items()}
    names = frozenset(name.partition(".")[0] for name in inner)
    back = inner.get("dense_h.kernel", inner.get("hi.kernel"))
    into = inner.get("dense_i.kernel", inner.get("ii.kernel"))
    is_split = names == {"ii", "if_", "ig", "io", "hi", "hf", "hg", "ho"}
    if back is None or into is None or back.ndim != 2 or not (is_split or names == {"dense_i", "dense_h"}):
        return None
    units, columns = back.shape
    kind = "lstm" if is_split else _GATES.get(columns // max(units, 1), "rnn")
    return Network("nnx", prefix, kind, units, into.shape[0], 1, ("forward",), inner, _own(prefix, group))


def _of_haiku(arrays: Mapping[str, Stored]) -> list[Network]:
    """Cores of Haiku, an LSTM and a VanillaRNN by the names that Haiku gives them."""
    groups: dict[str, dict[str, Stored]] = {}
    for name, stored in arrays.items():
        if match := _HAIKU_NAME.fullmatch(name):
            groups.setdefault(match[1], {})[f"{match[2] or ''}.{match[3]}"] = stored
    found = []
    for prefix, group in sorted(groups.items()):
        kind = _HAIKU.get(frozenset(group), "")
        own = re.split(r"[/.]", prefix)[-1]
        back = group.get("/linear_1.w", group.get(".w_h", group.get("/linear.w")))
        into = group.get(".w_i", group.get("/linear.w"))
        if not kind or back is None or into is None or back.ndim != 2 or into.ndim != 2:
            continue
        if not re.fullmatch(_HAIKU_OWN[kind], own):
            continue
        units = back.shape[1] // 4 if kind == "lstm" else back.shape[0]
        inputs = into.shape[0] - (units if kind == "lstm" else 0)
        names = _own(prefix, group)
        found.append(Network("haiku", prefix, kind, units, inputs, 1, ("forward",), group, names))
    return found


def networks_of_onnx(whole: list[dict[str, Any]], singles: list[dict[str, Any]]) -> list[Network]:
    """The networks of a graph of ONNX, as ``onnx_networks`` describes them."""
    members = tuple(_of_onnx(each) for each in singles)
    return [
        _of_onnx(each)._replace(members=members if number == 0 else ()) for number, each in enumerate(whole)
    ]


def _of_onnx(told: dict[str, Any]) -> Network:
    directions = _BOTH if told["direction"] == "bidirectional" else (told["direction"],)
    units, inputs, layers = (int(told[name]) for name in ("units", "inputs", "layers"))
    own, trouble = frozenset(told["own"]), told["trouble"]
    return Network(
        "onnx", told["prefix"], told["kind"], units, inputs, layers, directions, told, own, trouble
    )
