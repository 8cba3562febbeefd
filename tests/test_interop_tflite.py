"""Models of TensorFlow Lite: the states that its interpreter computes; and of Core ML, by its specification."""

import io
import tarfile
import warnings
from pathlib import Path

import numpy as np
import pytest

import rnn_dynamics as rd
from rnn_dynamics.cells.stack import state_size

FILES = Path(__file__).parent / "files"


def held(name):
    with tarfile.open(FILES / name) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive.getmembers()}


HELD, CORE_ML = held("tflite.tar.xz"), held("coreml.tar.xz")
NAMES = sorted(name.removesuffix(".tflite") for name in HELD if name.endswith(".tflite"))
SAID = {"keras2_LSTM": "clips c at ±10", "keras2_two": "clips c at ±10", "keras3_eight_bits": "int8 was made"}


def array(name):
    return np.load(io.BytesIO(HELD[f"{name}.npy"]))


@pytest.mark.parametrize("name", NAMES)
def test_a_model_computes_what_the_interpreter_does(tmp_path, name):
    path = tmp_path / "model"
    path.write_bytes(HELD[f"{name}.tflite"])
    is_reverse = name.endswith("backwards")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        cell = rd.interop.load(path, **({"direction": "reverse"} if is_reverse else {}))
    said = "; ".join(str(each.message) for each in told)
    assert (SAID.get(name, "") in said, bool(said)) == (True, name in SAID)
    expected = array(name)
    states = np.asarray(
        rd.rollout(cell, np.zeros(state_size(cell)), array("X")[:: -1 if is_reverse else 1]).states
    )
    last = getattr(cell, "cells", (cell,))[-1]
    first = state_size(cell) - state_size(last)
    found = states[1:, first : first + expected.shape[1]]
    # the outputs of go_backwards come in the order in which they were computed; 8 bits are not in the cell
    size = 0.1 if "eight_bits" in name else 2e-6
    np.testing.assert_allclose(found, expected, rtol=size, atol=size)


#: Of Core ML's models what is said of the numbers.
MODELS = {
    "rnn": "",
    "gru": "",
    "lstm": "",
    "lstm_peepholes": "",
    "lstm_half": "float16 was made float32",
    "lstm_eight_bits": "8 bits were made float32",
    "both": "",
    "stacked": "",
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_core_ml_computes_what_its_specification_says(tmp_path, name):
    path = tmp_path / "model"
    path.write_bytes(CORE_ML[f"{name}.mlmodel"])
    inputs, expected = (np.load(io.BytesIO(CORE_ML[f"{each}.npy"])) for each in ("X", name))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        cell = rd.interop.load(path, direction="reverse" if name == "both" else None)
    said = "; ".join(str(each.message) for each in told)
    assert (MODELS[name] in said, bool(said)) == (True, bool(MODELS[name]))
    inputs = inputs[::-1] if name == "both" else inputs
    states = np.asarray(rd.rollout(cell, np.zeros(state_size(cell)), inputs).states)
    first = 6 if name == "stacked" else 0
    size = 0.05 if "eight_bits" in name else 2e-6
    np.testing.assert_allclose(states[1:, first : first + 3], expected, rtol=size, atol=size)
