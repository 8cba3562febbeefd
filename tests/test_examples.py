"""The example on a published detector, with random weights in its place: neither the package nor a network."""

import importlib.util
import json
import math
import sys
import wave
from pathlib import Path
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
UNITS = 8  # of the LSTM, 128 in the published one


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("example_silero_vad", EXAMPLES / "silero_vad.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    shapes = {"stft_conv.weight": (258, 1, 256)}
    layers = ((128, 129), (64, 128), (64, 64), (128, 64))
    for number, (outputs, inputs) in enumerate(layers, start=1):
        shapes |= {f"conv{number}.weight": (outputs, inputs, 3), f"conv{number}.bias": (outputs,)}
    shapes |= {"lstm_cell.weight_ih": (4 * UNITS, 128), "lstm_cell.weight_hh": (4 * UNITS, UNITS)}
    shapes |= {"lstm_cell.bias_ih": (4 * UNITS,), "lstm_cell.bias_hh": (4 * UNITS,)}
    shapes |= {"final_conv.weight": (1, UNITS, 1), "final_conv.bias": (1,)}
    drawn = {}
    for name, shape in shapes.items():
        scale = 1.5 / math.sqrt(math.prod(shape[1:])) if len(shape) > 1 else 0.2
        drawn[name] = (scale * rng.normal(size=shape)).astype(np.float32)
    return drawn


def _safetensors(arrays: dict[str, np.ndarray]) -> bytes:
    """The format, from its specification: a length, a header in JSON, the arrays one after another."""
    header, blocks, begin = {}, [], 0
    for name, array in arrays.items():
        blocks.append(array.astype("<f4").tobytes())
        place = [begin, begin + len(blocks[-1])]
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": place}
        begin = place[1]
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + b"".join(blocks)


def _sound(seconds: float) -> np.ndarray:
    rng = np.random.default_rng(2)
    loudness = 0.05 + 0.3 * (np.arange(int(seconds * 16_000)) // 8000 % 2)
    return (loudness * rng.uniform(-1, 1, len(loudness))).astype(np.float32)


def test_front_end_is_the_convolutions_of_jax(example, weights):
    """Chunk by chunk with ``jax.lax.conv_general_dilated``, float64; the last chunk is not full."""
    sound = _sound(0.25)
    padded = np.concatenate([np.zeros(64), sound, np.zeros(-len(sound) % 512)])
    exact = {name: jnp.asarray(value, jnp.float64) for name, value in weights.items()}
    expected = []
    for begin in range(0, len(padded) - 64, 512):
        chunk = padded[begin : begin + 576]
        x = jnp.asarray(np.concatenate([chunk, chunk[-2:-66:-1]]))[None, None]
        both = jax.lax.conv_general_dilated(x, exact["stft_conv.weight"], (128,), "VALID")
        x = jnp.hypot(both[:, :129], both[:, 129:])
        for number, stride in enumerate((1, 2, 2, 1), start=1):
            x = jax.lax.conv_general_dilated(x, exact[f"conv{number}.weight"], (stride,), [(1, 1)])
            x = jnp.maximum(x + exact[f"conv{number}.bias"][None, :, None], 0.0)
        expected.append(np.asarray(x)[0, :, 0])
    found = example.features(sound, weights)
    assert found.dtype == np.float32
    assert found.shape == (math.ceil(len(sound) / 512), 128)
    np.testing.assert_allclose(found, np.array(expected), rtol=1e-4, atol=1e-5)


def _logit(weights, x, inputs, numpy):
    """The recurrent part step by step, from x = [h, c]; ``numpy`` is NumPy or its namesake in JAX."""
    h, c = x[:UNITS], x[UNITS:]
    b = weights["lstm_cell.bias_ih"] + weights["lstm_cell.bias_hh"]
    for u in inputs:
        z = weights["lstm_cell.weight_ih"] @ u + weights["lstm_cell.weight_hh"] @ h + b
        i, f, g, o = numpy.split(z, 4)
        c = c / (1 + numpy.exp(-f)) + numpy.tanh(g) / (1 + numpy.exp(-i))
        h = numpy.tanh(c) / (1 + numpy.exp(-o))
    return weights["final_conv.weight"][0, :, 0] @ numpy.maximum(h, 0) + weights["final_conv.bias"][0]


def test_probability_and_gradients_are_those_of_a_plain_loop(example, weights):
    detector = example.detector(weights)
    heard = example.hear(detector, weights, _sound(1.0))
    inputs = np.asarray(heard.run.inputs)
    last = _logit(weights, np.zeros(2 * UNITS), inputs, np)
    assert heard.probability[-1] == pytest.approx(1 / (1 + math.exp(-last)), abs=1e-6)
    ends = np.array([16, 24, 32])
    states, sounds = example.logit_gradients(detector, heard.run, ends, 16)
    assert states.shape == sounds.shape == (3, 16)
    gradient = jax.jit(jax.grad(lambda x, u: _logit(weights, x, u, jnp), argnums=(0, 1)))
    back = gradient(heard.run.states[-4], heard.run.inputs[-3:])
    assert states[2, 2] == pytest.approx(math.log(float(jnp.linalg.norm(back[0]))), abs=1e-4)
    assert sounds[2, 2] == pytest.approx(math.log(float(jnp.linalg.norm(back[1][0]))), abs=1e-4)
    anew = example.restarted(detector, heard, ends, 8)
    last = _logit(weights, np.zeros(2 * UNITS), inputs[-8:], np)
    assert anew[2] == pytest.approx(1 / (1 + math.exp(-last)), abs=1e-6)


def test_horizons_and_moments(example):
    logs = -0.1 * np.arange(40)[None] * np.array([[1.0], [0.0]])
    np.testing.assert_array_equal(example.horizons(logs), [11, 40])
    probability = np.repeat([0.1, 0.9, 0.2, 0.8], [3, 20, 10, 5])
    found = example.moments(probability)
    assert found == {
        "end of the longest pause": 33,
        "end of the longest speech": 23,
        "100 ms into speech": 36,
    }
    assert example.moments(np.zeros(4)) == {"end of the longest pause": 4}


def test_stand_in_has_bursts_and_pauses(example):
    sound = example.stand_in(3, seconds=6.0)
    np.testing.assert_array_equal(sound, example.stand_in(3, seconds=6.0))
    loudness = sound[: len(sound) // 1600 * 1600].reshape(-1, 1600).std(axis=1)
    assert loudness[:30].max() < 0.003
    assert 0.02 < loudness.max() < 0.2
    assert np.abs(sound).max() < 1


def test_whole_example(example, weights, tmp_path, capsys):
    always = weights | {
        "final_conv.bias": np.array([5.0], np.float32)
    }  # speech throughout: one T to look from
    (tmp_path / "weights.safetensors").write_bytes(_safetensors(always))
    with wave.open(str(tmp_path / "sound.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", "not compressed"))
        file.writeframes((32767 * _sound(1.0)).astype("<i2").tobytes())
    paths = ["--weights", str(tmp_path / "weights.safetensors"), "--sound", str(tmp_path / "sound.wav")]
    example.main([*paths, "--out", str(tmp_path / "out")])
    printed = capsys.readouterr().out
    assert "32 steps of 32 ms" in printed
    assert "Gradients: " in printed
    assert "Started from zeros" in printed
    for name in ("verdict", "memory"):
        assert (tmp_path / "out" / f"silero_vad_{name}.png").stat().st_size > 10_000


def test_what_is_missing_is_named(example, tmp_path, monkeypatch):
    assert example.file_of("no-such-package", "weights.safetensors") is None
    assert example.file_of("numpy", "no/such/file") is None
    monkeypatch.setattr(example, "file_of", lambda *_: None)
    with pytest.raises(SystemExit, match="pip install --no-deps silero-vad"):
        example.read_weights()
    assert "synthetic" in example.read_sound()[1]
    with wave.open(str(tmp_path / "fast.wav"), "wb") as file:
        file.setparams((2, 2, 44_100, 0, "NONE", "not compressed"))
        file.writeframes(bytes(400))
    with pytest.raises(SystemExit, match="expected 16 kHz"):
        example.read_sound(tmp_path / "fast.wav")
