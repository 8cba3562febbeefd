"""Spiking neurons of snnTorch and norse: the map, or the same values with the framework's surrogate derivative."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from rnn_dynamics.cells import activations
from rnn_dynamics.cells.activations import Activation
from rnn_dynamics.cells.spiking import SpikingLeaky, SpikingLIF
from rnn_dynamics.interop.arrays import check_shape, check_step, host_array, what_came
from rnn_dynamics.numerics.validation import count, flag

# snnTorch's functions that make a surrogate, the kind of each, and the variable that holds its slope.
_OF_SNNTORCH = {
    "atan": ("atan", "alpha"),
    "fast_sigmoid": ("fast_sigmoid", "slope"),
    "sigmoid": ("sigmoid", "slope"),
    "triangular": ("turned", "threshold"),
    "straight_through_estimator": ("straight_through", None),
    "heaviside": ("on", None),
}
_OF_NORSE = {"tanh": "tanh", "triangle": "triangle", "circ": "circ", "heavi_erfc": "erfc"}
_NEURONS = ("Leaky", "Synaptic", "RLeaky", "RSynaptic")
_CELLS = {
    f"{kind}{recurrent}{end}": (kind, bool(recurrent))
    for kind in ("LIF", "LSNN")
    for recurrent in ("", "Recurrent")
    for end in ("", "Cell")
}


def from_snntorch(
    source: Any, *, inputs: Any = None, units: int | None = None, surrogate: bool = False
) -> SpikingLeaky:
    """Neurons of snnTorch as a cell: the same states, and ∂x_T/∂x_0 of the map or of the surrogate.

    The state is snnTorch's, the potential, of a Synaptic before it the current, of recurrent ones before these the
    spikes. Decays are clamped to [0, 1], as the forward does. A Leaky that resets to zero keeps the input of the
    step, the others lose it. snnTorch's spikes are float32 whatever the network is, and so are its surrogates.

    Args:
        source: ``snntorch.Leaky``, ``Synaptic``, ``RLeaky`` or ``RSynaptic``.
        inputs: the linear layer that makes the current of the inputs, with ``weight`` and ``bias``, or its weights
            as a pair; by default the inputs are currents, one a neuron.
        units: the number of neurons, where neither the layer, a vector of decays nor the recurrent weights tell it.
        surrogate: True for a cell with the pseudo-derivative that snnTorch trains by, whose products of Jacobians
            are what its automatic differentiation gives; False for the map's own derivative.

    Returns:
        A cell.

    Raises:
        TypeError: another object.
        ValueError: inhibition, quantised states, convolutions, spikes that are graded and fed back or no steps; a
            number of units that is neither told nor given; shapes that do not fit.
    """
    kind = _known(source, _NEURONS, "beta", "snnTorch Leaky, Synaptic, RLeaky or RSynaptic")
    flag("surrogate", surrogate)
    for name in ("inhibition", "state_quant"):
        if getattr(source, name, False):
            raise ValueError(f"source: expected neurons without {name}, got {getattr(source, name)!r}")
    spike = _spike_of_snntorch(source.spike_grad, surrogate)
    beta, threshold = host_array("beta", source.beta), host_array("threshold", source.threshold)
    alpha = host_array("alpha", source.alpha) if "Synaptic" in kind else None
    recurrent = _recurrent(source) if kind[0] == "R" else None
    sizes = [beta.size, threshold.size, 1 if alpha is None else alpha.size]
    sizes += [] if recurrent is None or np.ndim(recurrent[0]) < 2 else [len(recurrent[0])]
    W_in, b = _inputs(inputs, _units(units, max(sizes), inputs), beta.dtype)
    W = None
    if recurrent is not None:
        weight, bias = recurrent
        W = weight if np.ndim(weight) == 2 else np.diag(np.broadcast_to(weight, b.shape))
        b = b + bias
    reset = source.reset_mechanism
    return SpikingLeaky(
        W,
        b,
        W_in,
        _one_each(np.clip(beta, 0, 1), len(b)),
        _one_each(threshold, len(b)),
        None if alpha is None else _one_each(np.clip(alpha, 0, 1), len(b)),
        reset="zero_before" if (kind, reset) == ("Leaky", "zero") else reset,
        delayed=bool(getattr(source, "reset_delay", True)),
        spike=spike,
    )


def from_norse(
    source: Any, *, inputs: Any = None, units: int | None = None, surrogate: bool = False
) -> SpikingLIF:
    """Neurons of norse as a cell: the same states, and ∂x_T/∂x_0 of the map or of the surrogate.

    The state is norse's: spikes of recurrent neurons, potential, current, and of an LSNN the threshold. The method
    "super" has the slope 1 whatever α is, as in norse 1.1.0 itself.

    Args:
        source: ``norse.torch`` LIF, LIFCell, LIFRecurrent, LIFRecurrentCell, or LSNN likewise.
        inputs: of neurons without recurrent weights, as ``from_snntorch``.
        units: the number of those neurons, where no layer tells it.
        surrogate: as ``from_snntorch``.

    Returns:
        A cell. Its ``dt`` is norse's, in seconds.

    Raises:
        TypeError: another object.
        ValueError: neurons with an adjoint or a random step; a number of units that is neither told nor given;
            shapes that do not fit.
    """
    name = _known(source, tuple(_CELLS), "p", "norse LIF, LSNN or one of their cells")
    flag("surrogate", surrogate)
    kind, is_recurrent = _CELLS[name]
    p = source.p
    method = str(getattr(p, "method", "super"))
    step = getattr(getattr(source, "activation", None), "__name__", "")
    if method == "adjoint" or "adjoint" in step:
        raise ValueError(
            "source: expected a step that is differentiated as it is, got norse's adjoint method"
        )
    spike = _spike_of_norse(method, p, surrogate)
    if is_recurrent:
        if inputs is not None:
            raise ValueError(
                f"inputs: expected None, as a {name} has weights of its own, got {type(inputs).__name__}"
            )
        W = host_array("recurrent_weights", source.recurrent_weights)
        W = check_shape("recurrent_weights", W, (W.shape[0], W.shape[0]))
        W_in = check_shape("input_weights", host_array("input_weights", source.input_weights), (len(W), None))
        b = np.zeros(len(W), W.dtype)
    else:
        W = None
        W_in, b = _inputs(inputs, _units(units, 1, inputs), np.dtype(np.float32))
    rates = [_number(p, each) for each in ("tau_mem_inv", "tau_syn_inv", "v_leak", "v_th", "v_reset")]
    more = [_number(p, each) for each in ("tau_adapt_inv", "beta")] if kind == "LSNN" else []
    options = {"detached": is_recurrent, "dt": float(source.dt), "spike": spike}
    return SpikingLIF(W, b, W_in, *rates, *more, adapts=kind == "LSNN", **options)


def _known(source: Any, names: tuple[str, ...], attribute: str, words: str) -> str:
    """The class of those names that an object is of, or is derived from."""
    kind = next((cls.__name__ for cls in type(source).__mro__ if cls.__name__ in names), None)
    if kind is None or not hasattr(source, attribute):
        inner = ""
        if hasattr(source, "lstm_cell"):
            inner = (
                ": rd.interop.from_torch(source.lstm_cell) reads the LSTM inside, which is another map, without "
                "the reset by spikes"
            )
        raise TypeError(f"source: expected {words}, got {what_came(source)}{inner}")
    package, own = ("snntorch", "SpikingLeaky") if names is _NEURONS else ("norse", "SpikingLIF")
    check_step(source, "forward", (package, "torch"), f"give its parameters to {own}")
    return kind


def _number(parameters: Any, name: str) -> Any:
    value = getattr(parameters, name)
    return host_array(name, value) if hasattr(value, "detach") else np.asarray(value, float)


def _one_each(array: np.ndarray, n: int) -> np.ndarray:
    return array.reshape(()) if array.size == 1 and n != 1 else array.reshape(-1)


def _units(given: int | None, told: int, inputs: Any) -> int | None:
    """The number of neurons, ``None`` where the linear layer alone tells it."""
    if given is not None:
        given = count("units", given, minimum=1)
        if told not in (1, given):
            raise ValueError(f"units: expected None or {told}, as the source tells, got {given}")
        return given
    if told > 1:
        return told
    if inputs is None:
        raise ValueError(
            "units: expected the number of neurons, which the source does not tell, got None: give units=, or as "
            "inputs= the linear layer below, to from_snntorch or from_norse"
        )
    return None


def _inputs(layer: Any, units: int | None, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Weights and bias of the current that the inputs make."""
    if layer is None:
        assert units is not None
        return np.eye(units, dtype=dtype), np.zeros(units, dtype)
    if isinstance(layer, Mapping):
        weight, bias = layer.get("weight"), layer.get("bias")
    elif isinstance(layer, tuple | list) and len(layer) == 2:
        weight, bias = layer
    else:
        weight, bias = getattr(layer, "weight", None), getattr(layer, "bias", None)
    if weight is None:
        raise TypeError(f"inputs: expected a linear layer or a pair of weights, got {type(layer).__name__}")
    weight = check_shape("the weight of inputs", host_array("the weight of inputs", weight), (units, None))
    if bias is None:
        return weight, np.zeros(len(weight), weight.dtype)
    return weight, check_shape("the bias of inputs", host_array("the bias of inputs", bias), (len(weight),))


def _recurrent(source: Any) -> tuple[Any, Any]:
    """The weights by which spikes come back, a matrix or factors, and their bias."""
    layer = source.recurrent
    if float(np.max(np.abs(_number(source, "graded_spikes_factor") - 1))) != 0:
        raise ValueError("source: expected spikes of 1 where they are fed back, got a graded_spikes_factor")
    if hasattr(layer, "V"):
        return host_array("V", layer.V), np.float32(0)
    weight = host_array("recurrent.weight", layer.weight)
    check_shape("recurrent.weight", weight, (len(weight), len(weight)))  # a convolution has four axes
    bias = getattr(layer, "bias", None)
    return weight, np.zeros(len(weight), weight.dtype) if bias is None else host_array("recurrent.bias", bias)


def _spike_of_snntorch(function: Any, surrogate: bool) -> Activation:
    """The step that a function of snnTorch is, told by the name of what made it and by its closure."""
    name = getattr(function, "__qualname__", type(function).__name__)
    if name.endswith("_surrogate_bypass"):
        return activations.spike()
    maker = name.partition(".")[0]
    if maker not in _OF_SNNTORCH or not str(getattr(function, "__module__", "")).startswith("snntorch"):
        expected = ", ".join(_OF_SNNTORCH)
        raise ValueError(
            f"source: expected a spike_grad of snntorch.surrogate, one of {expected}, got {name!r}"
        )
    kind, variable = _OF_SNNTORCH[maker]
    if not surrogate:
        return activations.spike()
    code, cells = getattr(function, "__code__", None), getattr(function, "__closure__", None) or ()
    held = dict(zip(getattr(code, "co_freevars", ()), cells, strict=False))
    slope = 1.0 if variable is None else float(held[variable].cell_contents)
    return activations.spike(kind, slope)


def _spike_of_norse(method: str, parameters: Any, surrogate: bool) -> Activation:
    if method not in ("super", "heaviside", *_OF_NORSE):
        expected = ", ".join(("super", "heaviside", *_OF_NORSE))
        raise ValueError(f"source: expected a method of {expected}, got {method!r}")
    if not surrogate or method == "heaviside":
        return activations.spike()
    slope = 1.0 if method == "super" else float(_number(parameters, "alpha"))
    if not math.isfinite(slope):
        raise ValueError(f"source: expected a finite alpha, got {slope}")
    return activations.spike("fast_sigmoid" if method == "super" else _OF_NORSE[method], slope)
