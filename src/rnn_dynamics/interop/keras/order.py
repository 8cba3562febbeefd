"""Which recurrent layers of a model of Keras follow one another, by its configuration."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from rnn_dynamics.interop.keras.arrays import KIND_OF
from rnn_dynamics.interop.keras.config import Network, is_precise, unique_names

_MODELS = ("Sequential", "Functional", "Model")
#: Layers that hand on what they get, once nothing is trained and nothing is masked.
_NEUTRAL = (
    *("ActivityRegularization", "AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise"),
    *("InputLayer", "Masking", "SpatialDropout1D"),
)
_DEEPEST = 8
#: Where in the group of a layer the arrays of a Dense lie.
_INNER = {"Dense": "", "TimeDistributed": "/layer"}


def networks_of(cls: str, config: Any) -> tuple[list[Network], list[str]]:
    """The recurrent layers of a model in their order, and layers of classes whose step is not known.

    Raises:
        ValueError: no configuration of Keras.
    """
    try:
        found, unknown = [], []
        for each in _walk(cls, config, "", "", 0):
            (found if isinstance(each, Network) else unknown).append(each)
    except (KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise ValueError(
            f"expected the configuration of a model of Keras, got a damaged one: {error!r:.80}"
        ) from None
    return found, unknown


def _walk(cls: str, config: Any, prefix: str, place: str, depth: int) -> Iterator[Network | str]:
    if depth > _DEEPEST:
        raise KeyError("models within models within models")
    items = config if isinstance(config, list) else config["layers"]
    names = [str(item.get("name") or item["config"].get("name")) for item in items]
    before = _before(cls, items, names)
    by_name, unique = dict(zip(names, items, strict=True)), unique_names()
    places = {
        name: f"{place}layers/{unique(item.get('group') or item['class_name'])}"
        for name, item in by_name.items()
    }
    repeated = _repeated(by_name) if cls != "Sequential" else set()
    above: dict[str, int] = {}
    found: list[Network | str] = []
    for name, item in by_name.items():
        own, kind = places[name], item["class_name"]
        if kind in _MODELS:
            inner = _walk(kind, item["config"], f"{prefix}{name}/", f"{own}/", depth + 1)
            found += [_again(each) if name in repeated else each for each in inner]
        elif _recurs(kind, item["config"]):
            below, between, dense = _below(name, by_name, before, repeated)
            above[below or ""] = above.get(below or "", 0) + 1
            below = None if below is None else prefix + below
            maps = tuple(
                (prefix + each, places[each] + _INNER[by_name[each]["class_name"]]) for each in dense
            )
            network = Network(
                prefix + name, kind, item["config"], own, below, between, name in repeated, maps
            )
            found.append(network)
        elif item.get("registered_name") or re.search(
            r"lstm|gru|rnn|recurrent", _within(item), re.IGNORECASE
        ):
            found.append(f"{prefix}{name} ({_within(item)})")
    for each in found:
        forks = (
            isinstance(each, Network)
            and each.below is not None
            and above[each.below.removeprefix(prefix)] > 1
        )
        yield each._replace(below=None) if isinstance(each, Network) and forks else each


def _within(item: Any) -> str:
    """The class of a layer with those of the layers or cells in it."""
    config = item["config"]
    inner = [config.get(key) for key in ("layer", "backward_layer", "cell")] + list(config.get("cells") or [])
    words = " and ".join(dict.fromkeys(_within(each) for each in inner if isinstance(each, dict)))
    return f"{item['class_name']}{f' of {words}' if words else ''}"


def _again(each: Network | str) -> Network | str:
    return each._replace(is_repeated=True) if isinstance(each, Network) else each


def _repeated(items: dict[str, Any]) -> set[str]:
    """Layers that are used several times, one of them on top of something recurrent."""
    under = {
        name: {origin for node in item.get("inbound_nodes", []) for origin in _origins(node, 0)} & set(items)
        for name, item in items.items()
    }
    recurrent = {name for name, item in items.items() if item["class_name"] in _MODELS or _recurs_in(item)}

    def below(name: str) -> set[str]:
        seen: set[str] = set()
        waiting = list(under[name])
        while waiting:
            at = waiting.pop()
            if at not in seen:
                seen.add(at)
                waiting += under[at]
        return seen

    several = [name for name, item in items.items() if len(item.get("inbound_nodes", [])) > 1]
    return {name for name in several if name in recurrent and below(name) & recurrent}


def _recurs_in(item: Any) -> bool:
    return _recurs(item["class_name"], item["config"])


def _recurs(cls: str, config: dict[str, Any]) -> bool:
    """Whether a layer is a recurrent one whose step may be known."""
    if cls in ("Bidirectional", "TimeDistributed"):
        halves = [each for name in ("layer", "backward_layer") if (each := config.get(name))]
        return all(_recurs(each["class_name"], each["config"]) for each in halves)
    if cls == "RNN":
        inner = config["cell"]
        cells = inner["config"]["cells"] if inner["class_name"] == "StackedRNNCells" else [inner]
        return all(each["class_name"] in KIND_OF for each in cells)
    return cls in KIND_OF


def _before(cls: str, items: Sequence[Any], names: Sequence[str]) -> dict[str, list[str]]:
    """Whose output each layer takes, where it takes one; nothing of one that is used several times."""
    if cls == "Sequential":
        return {name: list(names[i - 1 : i]) if i else [] for i, name in enumerate(names)}
    found, known = {}, set(names)
    for name, item in zip(names, items, strict=True):
        nodes = item.get("inbound_nodes", [])
        own = [origin for origin in _origins(nodes[0], 0) if origin in known] if len(nodes) == 1 else []
        found[name] = own if len(own) == 1 else []  # several: a sum, or a sequence and first states
    return found


def _origins(node: Any, depth: int) -> Iterator[str]:
    """The layers that a node names: ["lstm", 0, 0, …] or "keras_history" of later versions."""
    if depth > 2 * _DEEPEST:
        return
    if isinstance(node, dict):
        for value in node.values():
            yield from _origins(value, depth + 1)
    elif (
        isinstance(node, list | tuple)
        and len(node) >= 3
        and isinstance(node[0], str)
        and isinstance(node[1], int)
    ):
        yield node[0]
        yield from _origins(node[3:], depth + 1)
    elif isinstance(node, list | tuple):  # of a model in memory the arguments are a tuple
        for value in node:
            yield from _origins(value, depth + 1)


def _below(
    name: str, items: dict[str, Any], before: dict[str, list[str]], repeated: set[str]
) -> tuple[str | None, str, list[str]]:
    """The recurrent layer whose outputs a layer takes step by step, what lies between the two, the linear of it.

    Those are nothing that keeps the two apart, as they are one with the weights above them.
    """
    between, seen, at, dense, others = "", {name}, name, list[str](), False
    while len(before[at]) == 1 and before[at][0] not in seen:
        at = before[at][0]
        seen.add(at)
        kind, config = items[at]["class_name"], items[at]["config"]
        if kind not in _MODELS and _recurs(kind, config):
            own = items[name]
            is_plain = all(
                each["class_name"] != "TimeDistributed" and not each["config"].get("go_backwards")
                for each in (own, items[at])
            )
            follows = is_plain and not others and at not in repeated and _gives_a_sequence(kind, config)
            return (at if follows else None), between, dense[::-1] if follows else []
        if kind not in _NEUTRAL:
            between = between or f"{at} ({kind})"
            if _is_linear(kind, config) and not items[at].get("registered_name"):
                dense.append(at)
            else:
                others = True
    return None, "", []


def _is_linear(cls: str, config: dict[str, Any]) -> bool:
    """Whether a layer is a ``Dense`` without a function, of each step alone."""
    if cls == "TimeDistributed":
        return config["layer"]["class_name"] == "Dense" and _is_linear("Dense", config["layer"]["config"])
    plain = is_precise(config.get("dtype")) and not any(map(config.get, ("quantization_config", "lora_rank")))
    return cls == "Dense" and config.get("activation") == "linear" and plain


def _gives_a_sequence(cls: str, config: dict[str, Any]) -> bool:
    """Whether a recurrent layer hands on one vector for every step."""
    if cls == "Bidirectional":
        return config.get("merge_mode", "concat") is not None and _gives_a_sequence(
            config["layer"]["class_name"], config["layer"]["config"]
        )
    return bool(config.get("return_sequences"))


def chains(networks: Sequence[Network], *, over_dense: bool = True) -> list[tuple[Network, ...]]:
    """The networks with those that take their outputs step by step, by way of linear maps too where asked."""
    found: list[list[Network]] = []
    for each in networks:
        joins = each.below is not None and (over_dense or not each.dense)
        own = next((chain for chain in found if joins and chain[-1].name == each.below), None)
        if own is None:
            found.append([each])
        else:
            own.append(each)
    return [tuple(chain) for chain in found]
