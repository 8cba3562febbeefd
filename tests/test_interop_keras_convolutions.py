"""Keras' ConvLSTM as an LSTM of flattened images: outputs as Keras gave them (data/make_keras_convolutions.py)."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rnn_dynamics.cells import LSTM, rollout
from rnn_dynamics.cells.activations import get
from rnn_dynamics.interop import from_keras

DATA = np.load(Path(__file__).parent / "data" / "keras_convolutions.npz")
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "strides": ("ConvLSTM2D", {"strides": (2, 1)}),
    "same": ("ConvLSTM2D", {"padding": "same", "strides": (2, 2)}),
    "dilation": ("ConvLSTM2D", {"dilation_rate": (2, 3), "activation": get("relu")}),
    "first": ("ConvLSTM2D", {"padding": "same", "data_format": "channels_first"}),
    "line": ("ConvLSTM1D", {"recurrent_activation": get("hard_sigmoid_6")}),
    "volume": ("ConvLSTM3D", {}),
}


def layer(name: str, **attributes: Any) -> Any:
    """A stand-in with the attributes of Keras' layer."""
    kind, options = CASES[name]
    weights = [DATA[key] for key in sorted(DATA.files) if key.startswith(f"{name}/weight_")]
    ones = (1,) * int(kind[-2])
    fields: dict[str, Any] = {
        "strides": ones,
        "dilation_rate": ones,
        "padding": "valid",
        "data_format": "channels_last",
        "activation": get("tanh"),
        "recurrent_activation": get("sigmoid"),
        "get_weights": lambda: weights,
        "get_build_config": lambda: {"input_shape": (None, 5, *DATA[f"{name}/inputs"].shape[1:])},
    }
    return type(kind, (SimpleNamespace,), {})(**(fields | options | attributes))


@pytest.mark.parametrize("name", CASES)
def test_outputs_are_keras(name: str) -> None:
    cell, inputs, outputs = from_keras(layer(name)), DATA[f"{name}/inputs"], DATA[f"{name}/outputs"]
    assert isinstance(cell, LSTM)
    units = outputs[0].size
    run = rollout(cell, None, inputs.reshape(len(inputs), -1))
    found = np.asarray(run.states)[1:, :units].reshape(outputs.shape)
    np.testing.assert_allclose(found, outputs, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"get_weights": list}, "is not built|that is not: layer.build"),
        ({"get_build_config": lambda: {"input_shape": (None, None, None, 6, 2)}}, "of a known size"),
        ({"get_build_config": lambda: {"input_shape": (None, 5, 3000, 3000, 2)}}, r"2 GiB, got \d+ units"),
    ],
)
def test_what_has_no_size_or_too_large_a_one_is_refused(attributes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        from_keras(layer("strides", **attributes))
