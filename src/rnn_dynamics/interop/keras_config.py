"""What a model of Keras is made of, by its configuration: its recurrent layers, and which follow one another."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from rnn_dynamics.interop.keras_arrays import KIND_OF

_MODELS = ("Sequential", "Functional", "Model")
#: Layers that hand on what they get, once nothing is trained and nothing is masked.
_NEUTRAL = (
    *("ActivityRegularization", "AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise"),
    *("InputLayer", "Masking", "SpatialDropout1D"),
)
_DEEPEST = 8


class Part(NamedTuple):
    """One cell within a recurrent layer.

    Attributes:
        cls: its class by Keras' name.
        config: its settings.
        place: the group of its arrays in a file of Keras 3.
    """

    cls: str
    config: dict[str, Any]
    place: str


class Network(NamedTuple):
    """A recurrent layer of a model.

    Attributes:
        name: as the user calls it; "outer/inner" in a model within a model.
        cls: its class by Keras' name.
        config: its settings.
        place: its group in a file of Keras 3.
        below: the name of the recurrent layer whose outputs it takes step by step, or ``None``.
        between: what lies between the recurrent layer before it and itself, where that is more than nothing.
        is_repeated: whether the model uses it again on top of recurrent layers, itself perhaps.
        dense: name and place of each ``Dense`` without a function that lies between the two, the lowest first.
    """

    name: str
    cls: str
    config: dict[str, Any]
    place: str
    below: str | None = None
    between: str = ""
    is_repeated: bool = False
    dense: tuple[tuple[str, str], ...] = ()

    @property
    def reads_backwards(self) -> bool:
        """Whether all of it reads the inputs in reverse order."""
        config = self.config["layer"]["config"] if self.cls == "TimeDistributed" else self.config
        return bool(config.get("go_backwards"))

    @property
    def has_two_directions(self) -> bool:
        """Whether one half of it reads backwards."""
        return self.cls == "Bidirectional"

    def parts(self, direction: str | None) -> list[Part]:
        """The cells of the layer, or of its half in that direction, the one next to the input first.

        Raises:
            ValueError: a direction that is needed, or that there is not; a class whose step is not known.
        """
        cls, config, place = self.cls, self.config, self.place
        if self.has_two_directions:
            if direction is None:
                raise ValueError(
                    f'direction: expected "forward" or "reverse" of the bidirectional layer {self.name!r}, got None'
                )
            is_back = direction == "reverse"
            check_forward_half(bool(config["layer"]["config"].get("go_backwards")))
            inner = (config.get("backward_layer") if is_back else None) or config["layer"]
            place += "/backward_layer" if is_back else "/forward_layer"
            cls, config = inner["class_name"], inner["config"]
        elif self.reads_backwards != (direction == "reverse"):
            raise ValueError(
                f'direction: expected "reverse" of {self.name!r} with go_backwards=True, got {direction!r}'
                if self.reads_backwards
                else f'direction: expected "forward" or None of {self.name!r}, got "reverse"'
            )
        if cls == "TimeDistributed":
            cls, config, place = config["layer"]["class_name"], config["layer"]["config"], place + "/layer"
        return list(_cells(cls, config, place))


def _cells(cls: str, config: dict[str, Any], place: str) -> Iterator[Part]:
    if cls == "RNN":
        cls, config = config["cell"]["class_name"], {**config["cell"]["config"]}
    if cls == "StackedRNNCells":
        unique = _unique()
        for each in config["cells"]:
            inner = f"{place}/cell/cells/{unique(each['class_name'])}"
            yield Part(each["class_name"], each["config"], inner)
    else:
        yield Part(cls, config, f"{place}/cell")


def check_precision(told: Any) -> None:
    """Refuse what computes in less than float32.

    Raises:
        ValueError: another precision.
    """
    if isinstance(told, dict):  # a policy
        told = told.get("config", {}).get("name", "float32")
    if told not in (None, "float32", "float64"):
        raise ValueError(f"source: expected a layer that computes in float32 or float64, got {told!a:.80}")


def has_layers(config: Any) -> bool:
    """Whether a stored configuration tells the layers; a class of one's own tells only what it is made with."""
    if not isinstance(config, dict):
        return False
    inner = config.get("config")
    return isinstance(inner, list) or (isinstance(inner, dict) and "layers" in inner)


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


#: Where in the group of a layer the arrays of a Dense lie.
_INNER = {"Dense": "", "TimeDistributed": "/layer"}


def _unique() -> Callable[[str], str]:
    """Names of groups as Keras 3 makes them of classes."""
    used: dict[str, int] = {}

    def name(cls: str) -> str:
        snake = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", cls))
        snake = re.sub(r"([a-z])([A-Z])", r"\1_\2", snake).lower()
        used[snake] = used.get(snake, -1) + 1
        return f"{snake}_{used[snake]}" if used[snake] else snake

    return name


def _walk(cls: str, config: Any, prefix: str, place: str, depth: int) -> Iterator[Network | str]:
    if depth > _DEEPEST:
        raise KeyError("models within models within models")
    items = config if isinstance(config, list) else config["layers"]
    names = [str(item.get("name") or item["config"].get("name")) for item in items]
    before = _before(cls, items, names)
    by_name, unique = dict(zip(names, items, strict=True)), _unique()
    places = {name: f"{place}layers/{unique(item['class_name'])}" for name, item in by_name.items()}
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
        elif item.get("registered_name") or re.search(r"lstm|gru|rnn|recurrent", kind, re.IGNORECASE):
            found.append(f"{prefix}{name} ({kind})")
    for each in found:
        forks = (
            isinstance(each, Network)
            and each.below is not None
            and above[each.below.removeprefix(prefix)] > 1
        )
        yield each._replace(below=None) if isinstance(each, Network) and forks else each


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
        return _recurs(config["layer"]["class_name"], config["layer"]["config"])
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
    plain = not config.get("quantization_config") and not config.get("lora_rank")
    return cls == "Dense" and config.get("activation") == "linear" and plain


def _gives_a_sequence(cls: str, config: dict[str, Any]) -> bool:
    """Whether a recurrent layer hands on one vector for every step."""
    if cls == "Bidirectional":
        return config.get("merge_mode", "concat") is not None and _gives_a_sequence(
            config["layer"]["class_name"], config["layer"]["config"]
        )
    return bool(config.get("return_sequences"))


def check_one_direction(chain: Sequence[Network], direction: str | None) -> None:
    """Refuse a direction of layers on top of one another, of which some read in both.

    Raises:
        ValueError: one is asked for.
    """
    if direction is not None and len(chain) > 1 and any(each.has_two_directions for each in chain):
        raise ValueError(
            f"direction: expected None of layers on top of one another, as {chain[1].name!r} reads both directions "
            f"below it, got {direction!r}; a layer by its name has directions"
        )


def check_forward_half(is_back: bool) -> None:
    """Refuse a wrapper whose forward half reads backwards, and whose backward half then reads forward.

    Raises:
        ValueError: it is one.
    """
    if is_back:
        raise ValueError(
            "source: expected a Bidirectional whose forward_layer reads forward, got one with go_backwards=True, "
            "so that the halves are exchanged and each is put out in reverse order; with the layer in memory, "
            'from_keras(layer.forward_layer, direction="reverse") or from_keras(layer.backward_layer) takes one'
        )


def merge_of(network: Network) -> str:
    """How a layer merges its two directions.

    Raises:
        ValueError: it does not.
    """
    merge = network.config.get("merge_mode", "concat") if network.has_two_directions else "concat"
    return check_merge(merge)


def check_merge(merge: Any) -> str:
    """A mode of merging that gives one sequence.

    Raises:
        ValueError: it gives two, or is unknown.
    """
    from rnn_dynamics.cells.bidirectional import MERGES

    if merge not in MERGES:
        raise ValueError(
            f"source: expected a Bidirectional with merge_mode of {MERGES}, got {merge!r}, which keeps the two "
            'sequences apart: direction="forward" or "reverse" takes one'
        )
    return str(merge)


def way_of(chain: Sequence[Network]) -> str:
    """The argument without which a layer alone is refused, with a comma before it; or ""."""
    if len(chain) > 1:
        return ""
    if chain[0].has_two_directions:
        return "" if chain[0].config.get("merge_mode", "concat") else ', direction="forward"'
    return ', direction="reverse"' if chain[0].reads_backwards else ""


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
