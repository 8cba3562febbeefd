"""Recurrent layers of Keras: layers, their cells, models, and the lists that ``get_weights`` gives."""

import copy
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from rnn_dynamics.cells import activations
from rnn_dynamics.cells.activations import Activation
from rnn_dynamics.cells.bidirectional import Bidirectional
from rnn_dynamics.cells.gated import GRU, LSTM
from rnn_dynamics.cells.pytree import set_fields
from rnn_dynamics.cells.stack import Stack
from rnn_dynamics.cells.vanilla import ElmanRNN
from rnn_dynamics.interop.arrays import agreed, function_name, what_came
from rnn_dynamics.interop.keras import convolutions as keras_convolutions
from rnn_dynamics.interop.keras.arrays import GATES, KIND_OF, kind_of
from rnn_dynamics.interop.keras.config import (
    Network,
    check_forward_half,
    check_merge,
    check_one_direction,
    check_precision,
    merge_of,
    way_of,
)
from rnn_dynamics.interop.keras.layers import Layer, cell_of, chosen, named, of_layer
from rnn_dynamics.interop.keras.order import chains, networks_of

_STEPS = ("call", "__call__", "inner_loop", "step", "get_weights")
_PACKAGES = ("keras", "tf_keras", "tensorflow")
_MODELS = ("Sequential", "Functional", "Model")
_DIRECTIONS = ("forward", "reverse")


def from_keras(
    source: Any,
    *,
    kind: str | None = None,
    activation: Any = None,
    recurrent_activation: Any = None,
    reset_after: bool | None = None,
    direction: str | None = None,
) -> ElmanRNN | LSTM | GRU | Stack | Bidirectional:
    """A recurrent layer of Keras 1, 2 or 3 as a cell: the same states, and so the same ∂h_T/∂h_k.

    Keras multiplies from the left by kernels of shape (inputs, k n), with the gates i, f, c, o of an LSTM and
    z, r, h of a GRU. Dropout and masks count as off. Recurrent layers on top of one another are a ``Stack``.

    Args:
        source: a layer or cell of SimpleRNN, LSTM, GRU, CuDNNLSTM or CuDNNGRU that has its weights, or of a class
            made of one that leaves its step alone; a ConvLSTM1D to 3D, whose images are flattened to one vector;
            ``StackedRNNCells``, ``RNN`` or ``Bidirectional`` of such; a model with one of these or several in a
            row; or the list [kernel, recurrent_kernel, bias] of ``get_weights()``, without the last where
            ``use_bias=False``.
        kind: "SimpleRNN", "LSTM" or "GRU"; told by a layer, and by the shapes of a list.
        activation: of a list, in the place of tanh: any that ``ElmanRNN`` takes. Of a SimpleRNN it must be given.
        recurrent_activation: of a list, in the place of σ: "hard_sigmoid_5" by default in Keras 1 to 2.2,
            "hard_sigmoid_6" is the hard sigmoid of Keras 3. Told by a layer, whose version tells the two apart.
        reset_after: of a GRU given as a list without bias; told by a layer, and by the shape of the bias.
        direction: "forward" or "reverse" of a ``Bidirectional``, to take it alone; "reverse" of a layer with
            ``go_backwards=True``. A cell of the reverse takes the inputs in reverse order.

    Returns:
        A cell. The state of an LSTM is [h, c]. A wrapper ``Bidirectional``, or a model with one among its layers in
        a row, is a ``Bidirectional``, merged by its ``merge_mode``: its outputs are those of
        ``return_sequences=True``, the backward ones in the order of the inputs, as the wrapper turns them. Without
        ``return_sequences`` Keras puts out the forward half of the last step and the backward half of the first.

    Raises:
        TypeError: neither a layer, a model nor a list.
        ValueError: a layer without weights yet, shapes that do not fit, an activation that is none of Keras', a
            class that overrides its step, a half-precision policy, several networks in a model, what is neither
            told nor given.
    """
    if direction is not None and direction not in _DIRECTIONS:
        raise ValueError(f"direction: expected one of 'forward', 'reverse', got {direction!r}")
    while type(source).__name__ == "TimeDistributed" and hasattr(source, "layer"):
        source = source.layer  # the same map, over a sequence within each step
    if _is_model(source):
        _refuse(kind=kind, reset_after=reset_after, activation=activation, recurrent=recurrent_activation)
        return _of_model(source, direction)
    if isinstance(source, (list, tuple)):
        if direction == "reverse":
            raise ValueError("direction: expected None, as a list of weights tells of none, got 'reverse'")
        return _of_list(source, Layer(), kind, activation, recurrent_activation, reset_after)
    if direction is None and _known(source) == "Bidirectional":
        _refuse(kind=kind, reset_after=reset_after, activation=activation, recurrent=recurrent_activation)
        return _both(source)
    if direction is None and (name := _known(source)) in keras_convolutions.LAYERS:
        _check_step(source, str(name))
        _refuse(kind=kind, reset_after=reset_after, activation=activation, recurrent=recurrent_activation)
        told = {
            each: _activation(each, getattr(source, each)) for each in ("activation", "recurrent_activation")
        }
        functions = {each: chosen(each, None, function) for each, function in told.items()}
        return keras_convolutions.lstm_of(source, **functions)
    found = [
        _of_list(layer.get_weights(), _told(layer), kind, activation, recurrent_activation, reset_after)
        for layer in _layers(source, direction)
    ]
    return _stacked(found)


def _both(layer: Any) -> Bidirectional:
    """Both directions of a bidirectional layer."""
    _check_step(layer, "Bidirectional")
    check_forward_half(bool(getattr(getattr(layer, "forward_layer", None), "go_backwards", False)))
    merge = check_merge(getattr(layer, "merge_mode", "concat"))
    if not (hasattr(layer, "forward_layer") and hasattr(layer, "backward_layer")):
        raise TypeError(
            "source: expected a Bidirectional with forward_layer and backward_layer, got one without"
        )
    pair = from_keras(layer.forward_layer), from_keras(layer.backward_layer, direction="reverse")
    return Bidirectional([pair], merge)


def _of_list(
    arrays: Sequence[Any], told: Layer, kind: Any, activation: Any, gate: Any, reset_after: Any
) -> ElmanRNN | LSTM | GRU:
    shown = told.kind or kind_of(arrays)
    kind = str(agreed("kind", kind, shown, GATES))
    usual = None if kind == "SimpleRNN" else "tanh"
    phi = chosen("activation", activation, told.activation, usual)
    if kind == "SimpleRNN":
        if gate is not None:
            raise ValueError(
                f"recurrent_activation: expected None, as a SimpleRNN has no gates, got {gate!r}"
            )
        sigma = None
    else:
        # A layer tells: where its hard sigmoid is of an unknown version, there is no default to take.
        default = "sigmoid" if told.kind is None else None
        sigma = chosen("recurrent_activation", gate, told.recurrent_activation, default)
    if kind != "GRU" and reset_after is not None:
        raise ValueError(f"reset_after: expected None, as a {kind} resets nothing, got {reset_after!r}")
    after = told.reset_after
    if kind == "GRU" and after is None and len(arrays) == 3:
        size = np.shape(arrays[2])
        after = len(size) == 2 or size == (2 * np.shape(arrays[1])[-1],)
    if kind == "GRU":
        told_after = None if after is None and len(arrays) not in (3, 9) else bool(after)
        after = bool(agreed("reset_after", reset_after, told_after, (True, False)))
    return cell_of(Layer(kind, phi, sigma, after), arrays)


def _refuse(**given: Any) -> None:
    for name, value in given.items():
        if value is not None:
            name = "recurrent_activation" if name == "recurrent" else name
            raise ValueError(f"{name}: expected None, as the layers of a model tell it, got {value!r}")


def _known(layer: Any) -> str | None:
    """The class of Keras that a layer is of, by its name: its own or one that it is made of."""
    names = (*KIND_OF, *keras_convolutions.LAYERS, "Bidirectional", "RNN", "StackedRNNCells")
    return next((cls.__name__ for cls in type(layer).__mro__ if cls.__name__ in names), None)


def _layers(source: Any, direction: str | None) -> list[Any]:
    """The layers or cells that have weights of their own, the one next to the input first."""
    cls = _known(source)
    if cls is None or not hasattr(source, "get_weights"):
        words = "a Keras SimpleRNN, LSTM or GRU, a model of such, or a list of its weights"
        raise TypeError(f"source: expected {words}, got {what_came(source)}")
    _check_step(source, cls)
    if cls == "Bidirectional":
        if direction is None:
            raise ValueError(
                'direction: expected "forward" or "reverse" of this bidirectional layer, got None'
            )
        check_forward_half(bool(getattr(source.forward_layer, "go_backwards", False)))
        inner = source.backward_layer if direction == "reverse" else source.forward_layer
        return _layers(inner, "reverse" if getattr(inner, "go_backwards", False) else None)
    is_back = bool(getattr(source, "go_backwards", False))
    if is_back and direction != "reverse":
        raise ValueError(
            'direction: expected "reverse", as the source has go_backwards=True: its cell takes the inputs in '
            f"reverse order; got {direction!r}"
        )
    if direction == "reverse" and not is_back:
        raise ValueError('direction: expected "forward" or None of a layer that reads forward, got "reverse"')
    if cls == "RNN":
        return _layers(source.cell, None)
    if cls == "StackedRNNCells":
        return [layer for cell in source.cells for layer in _layers(cell, None)]
    if not source.get_weights():
        raise ValueError("source: expected a layer with its weights, got one that is not built yet")
    if hasattr(source, "cell"):
        _check_step(source.cell, _known(source.cell) or "RNN")
    return [source]


def _check_step(layer: Any, cls: str) -> None:
    """Refuse a class that is made of one of Keras' and overrides what the step is."""
    for each in type(layer).__mro__:
        is_named = each.__name__ == cls
        if is_named and each.__module__.partition(".")[0] in (*_PACKAGES, "keras_core"):
            return
        # A class of that name which is none of Keras' may still leave the step alone.
        steps = [name for name in _STEPS if not (is_named and name == "get_weights")]
        own = next((name for name in steps if name in vars(each)), None)
        if own is not None:
            raise ValueError(
                f"source: expected a {cls} of Keras, got {each.__name__}, which overrides {own}: write its step as "
                "a cell"
            )


def _told(layer: Any) -> Layer:
    """What a layer tells beyond its weights."""
    cls = _known(layer) or ""
    precision = getattr(layer, "compute_dtype", None)
    check_precision(precision if isinstance(precision, str) else None)
    kind = KIND_OF[cls]
    if cls.startswith("CuDNN"):
        after = True if kind == "GRU" else None
        return Layer(kind, activations.get("tanh"), activations.get("sigmoid"), after)
    names = ("activation", "recurrent_activation") if kind != "SimpleRNN" else ("activation",)
    found = {name: _activation(name, getattr(layer, name, None)) for name in names}
    return Layer(kind, reset_after=bool(layer.reset_after) if kind == "GRU" else None, **found)


def _activation(argument: str, function: Any) -> Activation | None:
    if function is None:
        return activations.get("linear")
    if isinstance(function, Activation):
        return function
    if hasattr(function, "get_config") and hasattr(function, "weights"):
        return of_layer(argument, type(function).__name__, function.get_config())
    name, package = function_name(function), (getattr(function, "__module__", None) or "").partition(".")[0]
    if package in ("jax", "jaxlib") and name in ("gelu", "leaky_relu"):  # its defaults are others than Keras'
        raise ValueError(f"source: expected as {argument} one of Keras' activations, got jax.nn.{name}")
    return named(argument, name, _major(package))


def _major(package: str) -> int | None:
    """The version whose hard sigmoid a package has, ``None`` for one that is not known."""
    if package in ("jax", "jaxlib"):
        return 3
    if package in ("tf_keras", "tensorflow"):
        return 2
    version = str(getattr(sys.modules.get(package), "__version__", "")) if package == "keras" else ""
    return int(version[0]) if version[:1].isdigit() else None


def _is_model(source: Any) -> bool:
    names = {cls.__name__ for cls in type(source).__mro__}
    return bool(names & set(_MODELS)) and hasattr(source, "get_layer")


def _of_model(model: Any, direction: str | None) -> Any:
    """The recurrent layers of a model, where they are one network."""
    name = next(
        (c.__name__ for c in type(model).__mro__ if c.__name__ in ("Sequential", "Functional", "Model")),
        "Model",
    )
    try:
        networks, unknown = networks_of(name, model.get_config())
    except (NotImplementedError, ValueError) as error:
        raise ValueError(
            "source: expected a model of layers, or one of its layers, got a class of one's own"
        ) from error

    def layer_of(path: str) -> Any:
        found = model
        for part in path.split("/"):
            found = found.get_layer(part)
        return found

    found = chains(networks)
    own = next((cls for cls in type(model).__mro__ if "call" in vars(cls)), None)
    if found and own is not None and own.__module__.partition(".")[0] not in _PACKAGES:
        calls = " or ".join(map(_call, found[:6]))
        raise ValueError(
            f"source: expected a model that calls its layers one after another, got {own.__name__}, which "
            f"overrides call: take what it calls, {calls}"
        )
    if len(found) != 1 or unknown or found[0][0].is_repeated:
        # calls of layers leave out what lies between them
        raise ValueError(f"source: {listing(chains(networks, over_dense=False), unknown, _call)}")
    check_one_direction(found[0], direction)

    def read(each: Network, way: str | None) -> list[Any]:
        cell = from_keras(layer_of(each.name), direction=way)
        return list(cell.cells) if isinstance(cell, Stack) else [cell]

    return network_of(found[0], direction, read, lambda name, place: layer_of(name).get_weights())


def network_of(
    chain: Sequence[Network],
    direction: str | None,
    read: Callable[[Network, str | None], list[Any]],
    arrays: Callable[[str, str], list[Any]],
) -> Any:
    """Layers in a row as one network: a ``Stack``, or a ``Bidirectional`` where one of them reads both ways.

    Args:
        chain: the layers, the one next to the input first.
        direction: of the only layer, where one is asked for.
        read: gives the cells of a layer in a direction.
        arrays: gives the kernel and the bias, if any, of a Dense of that name and place.
    """

    def cells(each: Network, way: str | None) -> list[Any]:
        found = read(each, way)
        maps = each.dense if each is not chain[0] else ()
        for name, place in reversed(maps):
            found[0] = _after(found[0], name, arrays(name, place))
        return found

    if direction is not None or not any(each.has_two_directions for each in chain):
        return _stacked([cell for each in chain for cell in cells(each, direction)])
    pairs = [
        (_stacked(cells(each, "forward")), _stacked(cells(each, "reverse")))
        if each.has_two_directions
        else (_stacked(cells(each, None)), None)
        for each in chain
    ]
    return Bidirectional(pairs, [merge_of(each) for each in chain])


def _after(cell: Any, name: str, arrays: list[Any]) -> Any:
    """The cell of the inputs of a Dense below it: W_in (Kᵀ u + c) + b in the place of W_in u + b."""
    kernel, bias = (np.asarray(arrays[i], float) if len(arrays) > i else None for i in (0, 1))
    inputs = cell.W_in.shape[1]
    if kernel is None or kernel.ndim != 2 or kernel.shape[1] != inputs or len(arrays) > 2:
        raise ValueError(f"source: expected the kernel of {name!r} with {inputs} columns, got another")
    W_in, dtype = np.asarray(cell.W_in, float), cell.W_in.dtype
    b = np.asarray(cell.b, float) if bias is None else np.asarray(cell.b, float) + np.dot(W_in, bias)
    found = copy.copy(cell)
    set_fields(found, b=jnp.asarray(b, dtype), W_in=jnp.asarray(np.dot(W_in, kernel.T), dtype))
    return found


def _stacked(cells: list[Any]) -> Any:
    return cells[0] if len(cells) == 1 else Stack(cells)


def _call(chain: Sequence[Network]) -> str:
    """The call that reads layers in a row of a model."""
    calls = []
    for each in chain:
        layer = "model" + "".join(f'.get_layer("{part}")' for part in each.name.split("/"))
        calls.append(f"rd.interop.from_keras({layer}{way_of([each])})")
    if len(calls) == 1:
        return calls[0]
    if not any(each.has_two_directions for each in chain):
        return f"rd.cells.Stack([{', '.join(calls)}])"
    pairs = [
        f"*{call}.layers" if each.has_two_directions else f"({call}, None)"
        for call, each in zip(calls, chain, strict=True)
    ]
    merges = [str(each.config.get("merge_mode", "concat")) for each in chain]
    merge = "" if set(merges) == {"concat"} else f", {merges}"
    return f"rd.Bidirectional([{', '.join(pairs)}]{merge})"


def listing(
    found: Sequence[Sequence[Any]], unknown: Sequence[str], call: Callable[[Sequence[Any]], str]
) -> str:
    """Why a model is not one network, with the call for each: "expected …, got …"."""
    passed = f"; passed over, as their step is not known: {', '.join(unknown[:4])}" if unknown else ""
    if not found:
        return f"expected a model with a SimpleRNN, LSTM or GRU, got none{passed}"
    calls = [call(chain) for chain in found]
    between = next((f"; between two of them lies {c[0].between}" for c in found if c[0].between), "")
    more = " or …" if len(calls) > 6 else ""
    several = f"{len(calls)} and others" if unknown else len(calls)
    both = len(found) == 2 and between and all(each.has_two_directions for chain in found for each in chain)
    joined = "rd.Bidirectional([*a.layers, *b.layers], between=[dense])"
    joins = (
        f"; {joined} joins the two, with what lies between as dense, a map of one step's vector"
        if both
        else ""
    )
    again = next((each.name for chain in found for each in chain if each.is_repeated), None)
    if again is not None:
        several = f"{several}, of which {again!r} is used several times on top of others"
    return f"expected one network, got {several}{between}: {' or '.join(calls[:6])}{more}{joins}{passed}"
