"""One recurrent layer of Keras: what its words for activations mean, and its arrays as a cell."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from rnn_dynamics.cells import activations
from rnn_dynamics.cells.activations import Activation
from rnn_dynamics.cells.gated import GRU, LSTM
from rnn_dynamics.cells.vanilla import ElmanRNN
from rnn_dynamics.interop.arrays import check_shape, gru_of_update_first
from rnn_dynamics.interop.keras_arrays import GATES, KIND_OF, arrays_of
from rnn_dynamics.interop.keras_config import Part, check_precision

_SAME = (
    "tanh relu sigmoid linear elu selu softplus softsign silu gelu mish relu6 hard_tanh hard_silu log_sigmoid "
    "squareplus sparse_plus sparse_sigmoid soft_shrink tanh_shrink exponential"
)
_OTHERS = {"swish": "silu", "hard_swish": "hard_silu", "celu": "elu"}
_NAMES = {name: name for name in _SAME.split()} | _OTHERS
_LEAK = 0.2  # of ``keras.activations.leaky_relu``; the library's own default is 0.01
_HARD = ("hard_sigmoid_5", "hard_sigmoid_6")


class Layer(NamedTuple):
    """What Keras tells of a recurrent layer beyond its arrays; ``None`` for what it does not tell."""

    kind: str | None = None
    activation: Activation | None = None
    recurrent_activation: Activation | None = None
    reset_after: bool | None = None


def named(argument: str, name: str, major: int | None) -> Activation | None:
    """The activation of Keras' name; ``None`` for the hard sigmoid of a version that nothing tells.

    Args:
        argument: what messages call it.
        name: as Keras has it.
        major: the version of Keras: 1, 2, 3 or ``None``.

    Raises:
        ValueError: none of Keras', or one that is no function of one unit.
    """
    if name == "hard_sigmoid":
        return None if major is None else activations.get(_HARD[major >= 3])
    if name == "leaky_relu":
        return activations.leaky_relu(_LEAK)
    if name not in _NAMES:
        raise ValueError(
            f"source: expected as {argument} one of Keras' that act on each unit for itself, got {name!a:.80}"
        )
    return activations.get(_NAMES[name])


def of_layer(argument: str, name: str, config: dict[str, Any]) -> Activation:
    """The activation that a layer such as ``LeakyReLU`` is.

    Raises:
        ValueError: another layer, or one with settings that the library does not have.
    """
    slope = config.get("negative_slope", config.get("alpha"))
    if name == "LeakyReLU":
        return activations.leaky_relu(float(0.3 if slope is None else slope))
    is_plain = config.get("max_value") is None and not config.get("threshold")
    if name == "ReLU" and is_plain:
        return activations.leaky_relu(float(slope)) if slope else activations.relu
    if name == "ELU" and float(1.0 if slope is None else slope) == 1:
        return activations.get("elu")
    raise ValueError(f"source: expected as {argument} a function of Keras, got the layer {name!a:.80}")


def settings(part: Part, major: int | None) -> Layer:
    """What the settings of a cell tell; its hard sigmoids are those of that version of Keras.

    Raises:
        ValueError: a class or an activation that is none of Keras', half precision.
    """
    if part.cls not in KIND_OF:
        raise ValueError(
            f"source: expected a SimpleRNN, LSTM or GRU, got {part.cls!a:.80}, whose step is not known"
        )
    check_precision(part.config.get("dtype"))
    is_fused, kind = part.cls.startswith("CuDNN"), KIND_OF[part.cls]
    found: dict[str, Activation | None] = {}
    inner = "inner_activation" if "inner_activation" in part.config else "recurrent_activation"
    for argument, key, fused in (
        ("activation", "activation", "tanh"),
        ("recurrent_activation", inner, "sigmoid"),
    ):
        if is_fused:
            found[argument] = activations.get(fused)
        elif key in part.config:
            found[argument] = _activation(argument, part.config[key], major)
    after = (is_fused or bool(part.config.get("reset_after", False))) if kind == "GRU" else None
    return Layer(kind, reset_after=after, **found)


def _activation(argument: str, told: Any, major: int | None) -> Activation | None:
    if isinstance(told, dict) and isinstance(told.get("config"), dict) and "class_name" in told:
        return of_layer(argument, str(told["class_name"]), told["config"])
    if isinstance(told, dict) and not isinstance(told.get("config"), str):  # the code of a lambda
        raise ValueError(
            f"source: expected as {argument} a function of Keras, got one whose program is in the file, which is "
            "not run: with the layer in memory rd.interop.from_keras(layer.get_weights(), activation=…) takes its "
            "weights and a function of yours"
        )
    name = told["config"] if isinstance(told, dict) else told
    return named(argument, "linear" if name is None else str(name), major)


def chosen(argument: str, given: Any, told: Activation | None, default: str | None = None) -> Activation:
    """What the user says or the source tells, which must not contradict each other.

    Args:
        argument: the name of the user's argument.
        given: a name of the library's, an ``Activation``, a function or ``None``.
        told: of the source.
        default: where neither says it; ``None`` asks.

    Raises:
        TypeError: no activation.
        ValueError: neither says it, they differ, an unknown name.
    """
    found = None if given is None else activations.get(given, argument=argument)
    if told is not None and found is not None and told != found:
        raise ValueError(
            f"{argument}: expected None or {told.name!r}, as the source tells, got {found.name!r}"
        )
    for each in (told, found, None if default is None else activations.get(default)):
        if each is not None:
            return each
    usual = "'sigmoid' or 'hard_sigmoid_5' (by default Keras 1 to 2.2) or 'hard_sigmoid_6' (Keras 3)"
    expected = (
        usual if argument == "recurrent_activation" else "'tanh', 'relu', 'sigmoid', 'linear' or another"
    )
    raise ValueError(f"{argument}: expected {expected}, which the weights do not tell, got None")


def cell_of(layer: Layer, arrays: Sequence[Any]) -> ElmanRNN | LSTM | GRU:
    """The cell of arrays as Keras lays them out, whose layer is known but for what the arrays tell.

    Args:
        layer: its activations known.
        arrays: kernel, recurrent kernel and bias, the last left out where there is none; or gate by gate, as
            Keras 1 kept them; or in cuDNN's order.

    Raises:
        ValueError: shapes that do not fit, what is not told.
    """
    kernel, recurrent, bias, kind = arrays_of(layer.kind, arrays)
    units = recurrent.shape[0]
    columns = GATES[kind] * units
    check_shape("recurrent_kernel", recurrent, (units, columns))
    check_shape("kernel", kernel, (None, columns))
    is_fused = kind != "SimpleRNN" and bias is not None and bias.shape == (2 * columns,)
    if is_fused and bias is not None:
        kernel, recurrent, bias = _of_cudnn(kernel, recurrent, bias, GATES[kind])
    W, W_in = recurrent.T, kernel.T
    assert layer.activation is not None
    if kind == "SimpleRNN":
        b = np.zeros(columns, W.dtype) if bias is None else check_shape("bias", bias, (columns,))
        return ElmanRNN(W, b, W_in, activation=layer.activation)
    if kind == "LSTM":
        b = np.zeros(columns, W.dtype) if bias is None else check_shape("bias", bias, (columns,))
        gate = layer.recurrent_activation or "sigmoid"
        return LSTM(W, b, W_in, gate_activation=gate, activation=layer.activation)
    return _gru(layer, W, W_in, bias)


def _of_cudnn(
    kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray, gates: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What CuDNNLSTM and CuDNNGRU keep in Keras' order: their buffers are matrices that multiply from the left."""
    kernels = [np.ravel(part).reshape(part.shape, order="F") for part in np.hsplit(kernel, gates)]
    recurrents = [part.T for part in np.hsplit(recurrent, gates)]
    halves = bias.reshape(2, -1)
    return np.hstack(kernels), np.hstack(recurrents), halves.sum(0) if gates == 4 else halves


def _gru(layer: Layer, W: np.ndarray, W_in: np.ndarray, bias: np.ndarray | None) -> GRU:
    rows, after = len(W), layer.reset_after
    if after is None:
        if bias is None:
            raise ValueError(
                "reset_after: expected True or False, which a GRU's weights without bias do not tell, got None"
            )
        after = bias.ndim == 2
    if bias is None:
        bias = np.zeros((2, rows) if after else rows, W.dtype)
    check_shape("bias", bias, (2, rows) if after else (rows,))
    b, b_recurrent = bias if after else (bias, np.zeros_like(bias))
    gate = layer.recurrent_activation or "sigmoid"
    return gru_of_update_first(
        W, W_in, b, b_recurrent, after=after, gate_activation=gate, activation=layer.activation or "tanh"
    )
