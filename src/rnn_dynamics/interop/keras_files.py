"""Files of Keras 1, 2 and 3: .keras, .h5 and .hdf5, whole models or weights alone. Nothing in a file is run."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rnn_dynamics.cells.bidirectional import MERGES, Bidirectional
from rnn_dynamics.cells.gated import GRU, LSTM
from rnn_dynamics.cells.stack import Stack
from rnn_dynamics.cells.vanilla import ElmanRNN
from rnn_dynamics.interop.formats import file_of
from rnn_dynamics.interop.keras import listing, network_of
from rnn_dynamics.interop.keras_arrays import kind_of
from rnn_dynamics.interop.keras_config import (
    Network,
    check_one_direction,
    has_layers,
    way_of,
)
from rnn_dynamics.interop.keras_graph import chains, networks_of
from rnn_dynamics.interop.keras_layers import Layer, cell_of, chosen, settings
from rnn_dynamics.interop.keras_open import alone, caller, opened
from rnn_dynamics.interop.keras_store import Store
from rnn_dynamics.numerics.validation import choice

_DIRECTIONS = (None, "forward", "reverse")


def read_keras(
    path: Any,
    *,
    layer: str | Sequence[str] | None = None,
    direction: str | None = None,
    activation: Any = None,
    recurrent_activation: Any = None,
    merge: str | None = None,
) -> ElmanRNN | LSTM | GRU | Stack | Bidirectional:
    """The recurrent network in a file of Keras, as a cell: the same states, and so the same ∂h_T/∂h_k.

    Recurrent layers in a row are a ``Stack``, or a ``Bidirectional`` where one of them is. Dropout and masks count
    as off. Activations are those of the stored configuration, hard sigmoids those of the version of Keras that
    wrote it.

    Args:
        path: of a .keras, .h5 or .hdf5 file, of ``model.save`` or ``model.save_weights``.
        layer: the name of the layer, or the names of several in a row, where the model has more than one network;
            "outer/inner" of a model within it.
        direction: "forward" or "reverse" of one bidirectional layer, to take it alone; "reverse" of one with
            ``go_backwards=True``. A cell of the reverse takes the inputs in reverse order.
        activation, recurrent_activation: of weights without a configuration, which does not tell them: as
            ``from_keras``.
        merge: "concat", Keras' default, "sum", "mul" or "ave" of a bidirectional layer whose weights have no
            configuration, to take both directions; a configuration tells it.

    Returns:
        A cell. The state of an LSTM is [h, c].

    Raises:
        FileNotFoundError: no such file.
        ImportError: the package h5py is not installed.
        TypeError: no path, no name.
        ValueError: another format, a damaged file; several networks, each listed with its call; what is neither
            told nor given; what ``from_keras`` refuses.
    """
    found = file_of(path)
    names = _names(layer)
    if direction not in _DIRECTIONS:
        raise ValueError(f"direction: expected one of 'forward', 'reverse', got {direction!r}")
    with opened(found) as store:
        if not has_layers(store.config):
            return _of_weights(found, store, names, (direction, merge), (activation, recurrent_activation))
        if merge is not None:
            raise ValueError(f"merge: expected None, as {found.name} tells it, got {merge!r}")
        return _of_model(found, store, names, direction, activation, recurrent_activation)


def _names(layer: Any) -> tuple[str, ...] | None:
    if layer is None or isinstance(layer, str):
        return None if layer is None else (layer,)
    if not isinstance(layer, (list, tuple)) or not layer or not all(isinstance(each, str) for each in layer):
        raise TypeError(f"layer: expected the name of a layer, or names in a row, got {layer!r:.80}")
    return tuple(layer)


def _of_model(
    path: Path,
    store: Store,
    names: tuple[str, ...] | None,
    direction: str | None,
    activation: Any,
    recurrent_activation: Any,
) -> ElmanRNN | LSTM | GRU | Stack | Bidirectional:
    """The network of a file that tells its layers."""
    assert store.config is not None
    try:
        networks, unknown = networks_of(str(store.config.get("class_name")), store.config.get("config"))
    except ValueError as error:
        raise ValueError(f"path: {path.name}: {error}") from error
    chain = _chosen(path, networks, unknown, names)
    check_one_direction(chain, direction)

    def read(network: Network, way: str | None) -> list[Any]:
        try:
            parts = network.parts(way)
            told = [settings(part, store.major) for part in parts]
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"path: {path.name}: the configuration of a layer is damaged: {error!r:.80}"
            ) from error
        told = [_completed(each, activation, recurrent_activation) for each in told]
        arrays = _arrays(store, network, parts, way)
        return [cell_of(each, own) for each, own in zip(told, arrays, strict=True)]

    def dense(name: str, place: str) -> list[Any]:
        if not store.is_by_layer:
            return store.at(place)
        top, _, inner = name.partition("/")
        return [store.array(each) for each in store.of_layer(top, inner.rpartition("/")[2])]

    return network_of(chain, direction, read, dense)


def _chosen(
    path: Path, networks: Sequence[Network], unknown: Sequence[str], names: tuple[str, ...] | None
) -> Sequence[Network]:
    """The networks of that name, or the only one in a file."""
    known = {each.name: each for each in networks}
    if names is None:
        found = chains(networks)
        if len(found) == 1 and not unknown and not found[0][0].is_repeated:
            return found[0]

        def call(chain: Sequence[Network]) -> str:
            return caller(path)(tuple(each.name for each in chain), way_of(chain))

        raise ValueError(f"{'layer' if found else 'path'}: {listing(found, unknown, call)}")
    for name in names:
        if name not in known:
            passed = f"; passed over, as their step is not known: {', '.join(unknown[:4])}" if unknown else ""
            raise ValueError(
                f"layer: expected one of {', '.join(map(repr, known))}, got {name!r:.80}{passed}"
            )
    chain = [known[name] for name in names]
    for below, above in itertools.pairwise(chain):
        if above.below != below.name:
            between = f"; between them lies {above.between}" if above.between else ""
            raise ValueError(
                f"layer: expected names of layers in a row, got {above.name!r}, which does not take the outputs of "
                f"{below.name!r} step by step{between}"
            )
    return chain


def _completed(told: Layer, activation: Any, recurrent_activation: Any) -> Layer:
    """What a file tells and the user adds."""
    phi = chosen("activation", activation, told.activation)
    if told.kind == "SimpleRNN":
        if recurrent_activation is not None:
            raise ValueError(
                f"recurrent_activation: expected None, as a SimpleRNN has no gates, got {recurrent_activation!r}"
            )
        return told._replace(activation=phi)
    gate = chosen("recurrent_activation", recurrent_activation, told.recurrent_activation)
    return told._replace(activation=phi, recurrent_activation=gate)


def _arrays(store: Store, network: Network, parts: Sequence[Any], direction: str | None) -> list[list[Any]]:
    """The arrays of each cell of a layer."""
    if not store.is_by_layer:
        return [store.at(part.place) for part in parts]
    top, _, inner = network.name.partition("/")
    found = store.of_layer(top, inner.rpartition("/")[2])
    if network.has_two_directions:
        half = sum(3 if part.config.get("use_bias", True) else 2 for part in network.parts("forward"))
        found = found[half:] if direction == "reverse" else found[:half]
    if len(parts) == 1:
        return [[store.array(each) for each in found]]
    counts = [3 if part.config.get("use_bias", True) else 2 for part in parts]
    if sum(counts) != len(found):
        raise ValueError(f"path: expected {sum(counts)} arrays in layer {network.name!r}, got {len(found)}")
    ends = list(itertools.accumulate(counts, initial=0))
    return [[store.array(each) for each in found[a:b]] for a, b in itertools.pairwise(ends)]


def _of_weights(
    path: Path,
    store: Store,
    names: tuple[str, ...] | None,
    way: tuple[str | None, str | None],
    functions: tuple[Any, Any],
) -> ElmanRNN | LSTM | GRU | Bidirectional:
    """The network of weights alone, whose activations and whose merge the user tells."""
    direction, merge = way
    if names is not None and len(names) > 1:
        raise ValueError(
            "layer: expected one name, as weights alone do not tell what lies between, got several"
        )
    found = store.networks()
    if not found:
        passed = f"; passed over, with more weights than these have: {', '.join(store.passed[:4])}"
        raise ValueError(
            f"path: {path.name}: expected the weights of a SimpleRNN, LSTM or GRU, got none"
            + (passed if store.passed else "")
        )
    known = list(dict.fromkeys(layer for layer, _ in found))
    name = known[0] if names is None and len(known) == 1 else names[0] if names else None
    if name is None or name not in known:
        calls = [alone(store, layer, way, caller(path))[1] for layer, way in found if way != "reverse"]
        raise ValueError(
            f"layer: expected one of several networks, got {name!r}: {' or '.join(calls[:6])}; the activations are "
            "Keras' own there, as weights alone do not tell them"
        )
    ways = [way for layer, way in found if layer == name]
    if merge is not None and (direction is not None or len(ways) < 2):
        raise ValueError(f"merge: expected None of one direction, which {name!r} is read in, got {merge!r}")
    if (direction or "forward") not in (way or "forward" for way in ways):
        raise ValueError(f"direction: expected one of {ways} of {name!r}, got {direction!r}")
    if direction is None and len(ways) > 1:
        if merge is None:
            raise ValueError(
                f"direction: expected one of {ways} of {name!r}, got None; both are merged as weights alone do not "
                f"tell, {' or '.join(f'merge={each!r}' for each in MERGES)}, of which 'concat' is Keras' default"
            )
        choice("merge", merge, MERGES)
        pair = [_of_arrays(path, store, found[name, way], functions) for way in ("forward", "reverse")]
        return Bidirectional([tuple(pair)], merge)
    return _of_arrays(path, store, found[name, direction if (name, direction) in found else None], functions)


def _of_arrays(path: Path, store: Store, places: Sequence[Any], functions: tuple[Any, Any]) -> Any:
    """The cell of arrays alone."""
    arrays = [store.array(each) for each in places]
    kind = kind_of(arrays)
    if kind == "GRU" and len(arrays) == 2:
        raise ValueError(
            f"path: {path.name}: expected a GRU with a bias, whose shape tells the place of the reset; without one "
            "from_keras([kernel, recurrent_kernel], reset_after=…) takes its arrays"
        )
    told = _completed(Layer(kind), *functions)
    return cell_of(told, arrays)
