"""The recurrent layers of a model of Keras, by its configuration."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple


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
        unique = unique_names()
        for each in config["cells"]:
            inner = f"{place}/cell/cells/{unique(each.get('group') or each['class_name'])}"
            yield Part(each["class_name"], each["config"], inner)
    else:
        yield Part(cls, config, f"{place}/cell")


def check_precision(told: Any) -> None:
    """Refuse what computes in less than float32.

    Raises:
        ValueError: another precision.
    """
    if not is_precise(told):
        name = _precision(told)
        raise ValueError(f"source: expected a layer that computes in float32 or float64, got {name!a:.80}")


def is_precise(told: Any) -> bool:
    """Whether a layer of that dtype or policy computes in float32 or float64, with weights that are not rounded."""
    return _precision(told) in (None, "float32", "float64")


def _precision(told: Any) -> Any:
    """The name of a dtype, or of a policy as it is stored; one that quantises has a mode instead."""
    policy = told.get("config") if isinstance(told, dict) else None
    if not isinstance(policy, dict):
        return told
    return policy.get("mode") or policy.get("name", "float32")


def has_layers(config: Any) -> bool:
    """Whether a stored configuration tells the layers; a class of one's own tells only what it is made with."""
    if not isinstance(config, dict):
        return False
    inner = config.get("config")
    return isinstance(inner, list) or (isinstance(inner, dict) and "layers" in inner)


def unique_names() -> Callable[[str], str]:
    """Names of groups as Keras 3 makes them of classes."""
    used: dict[str, int] = {}

    def name(cls: str) -> str:
        snake = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", cls))
        snake = re.sub(r"([a-z])([A-Z])", r"\1_\2", snake).lower()
        used[snake] = used.get(snake, -1) + 1
        return f"{snake}_{used[snake]}" if used[snake] else snake

    return name


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
