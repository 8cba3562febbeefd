"""PyTorch's networks as cells: outputs and ∂x_T/∂x_0 as PyTorch computed them (data/make_pytorch.py)."""

import json
import pickle
import struct
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

from rnn_dynamics.cells import GRU, LSTM, Bidirectional, ElmanRNN, ProjectedLSTM, Stack
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.gradients.jacobians import jacobian_product
from rnn_dynamics.interop import from_torch, load, read_safetensors

DATA = np.load(Path(__file__).parent / "data" / "pytorch.npz")
INPUTS = DATA["inputs"]
KINDS = {
    "rnn_tanh": ("rnn_tanh", ElmanRNN),
    "rnn_relu": ("rnn_relu", ElmanRNN),
    "lstm": (None, LSTM),
    "gru": (None, GRU),
    "gru_plain": (None, GRU),
    "lstm_stacked": (None, Stack),
}


def weights(name):
    found = {key.removeprefix(f"{name}/"): DATA[key] for key in DATA.files if key.startswith(f"{name}/")}
    return {key: value for key, value in found.items() if key.startswith(("weight", "bias"))}


def outputs(cell, states):
    """What PyTorch gives out: the hidden part of the last layer."""
    parts = list(cell.split(states).values()) if hasattr(cell, "split") else [states]
    return parts[-2] if len(parts) > 1 else parts[0]


@pytest.mark.parametrize("name", KINDS)
def test_outputs_and_jacobians_are_pytorchs(name):
    kind, cls = KINDS[name]
    cell = from_torch(weights(name), kind=kind)
    assert isinstance(cell, cls)
    run = rollout(cell, DATA[f"{name}/x0"], INPUTS)
    np.testing.assert_allclose(outputs(cell, run.states)[1:], DATA[f"{name}/outputs"], atol=2e-6)
    double = from_torch({key: value.astype(float) for key, value in weights(name).items()}, kind=kind)
    run = rollout(double, DATA[f"{name}/x0"].astype(float), INPUTS.astype(float))
    np.testing.assert_allclose(run.final, DATA[f"{name}/last"], rtol=1e-12, atol=1e-14)
    jacobian, truth = jacobian_product(run).to_float(), DATA[f"{name}/jacobian"]
    np.testing.assert_allclose(jacobian, truth, rtol=1e-10, atol=1e-12 * max(np.abs(truth).max(), 1e-300))


def test_both_directions_of_one_layer():
    arrays = weights("gru_both")
    x0, truth = DATA["gru_both/x0"].reshape(2, 3), DATA["gru_both/outputs"]
    ahead = rollout(from_torch(arrays, direction="forward"), x0[0], INPUTS)
    back = rollout(from_torch(arrays, direction="reverse"), x0[1], INPUTS[::-1])
    np.testing.assert_allclose(ahead.states[1:], truth[:, :3], atol=2e-6)
    np.testing.assert_allclose(back.states[:0:-1], truth[:, 3:], atol=2e-6)
    both = from_torch(arrays)
    assert isinstance(both, Bidirectional)
    np.testing.assert_allclose(both.run(INPUTS, [tuple(x0)]).outputs, truth, atol=2e-6)


def test_a_safetensors_file_by_prefix(tmp_path):
    arrays = {f"encoder.{key}": value for key, value in weights("lstm").items()}
    save_file(arrays | {"head.weight": np.zeros((2, 3), np.float32)}, tmp_path / "model.safetensors")
    for options in ({}, {"prefix": "encoder."}):
        cell = load(tmp_path / "model.safetensors", **options)
        np.testing.assert_array_equal(cell.W, weights("lstm")["weight_hh_l0"])
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "model.safetensors").read_bytes()[:90])
    with pytest.raises(ValueError, match=r"^path: cut.safetensors"):
        read_safetensors(tmp_path / "cut.safetensors")


class _Harmful:
    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


def test_pickles_are_refused_under_any_name(tmp_path):
    for name, content in (("a.pt", b"PK\x03\x04"), ("b.safetensors", b""), ("c.pth", b"")):
        (tmp_path / name).write_bytes(content + pickle.dumps(_Harmful()))
        with pytest.raises(ValueError, match=r"^path: .*(pickle|damaged zip)"):
            load(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r"^path:"):
        load(tmp_path / "none")


def written(path, *, dtype="F32", padded=256):
    """A file of two matrices with one column, whose header has that length."""
    size = {"F32": 4, "F8_E4M3": 1}[dtype]
    spans = {"weight_hh_l0": (0, 4 * size), "weight_ih_l0": (4 * size, 8 * size)}
    header = {n: {"dtype": dtype, "shape": [4, 1], "data_offsets": span} for n, span in spans.items()}
    path.write_bytes(struct.pack("<Q", padded) + json.dumps(header).encode().ljust(padded) + bytes(8 * size))
    return path


@pytest.mark.parametrize("padded", [0x180, 0x280])  # the second begins as a pickle of protocol 2 does
def test_a_header_of_any_length_is_no_pickle(tmp_path, padded):
    path = written(tmp_path / "a.safetensors", padded=padded)
    assert {name: array.shape for name, array in read_safetensors(path).items()} == {
        "weight_hh_l0": (4, 1),
        "weight_ih_l0": (4, 1),
    }


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickles_of_every_protocol_are_refused(tmp_path, protocol):
    for i, content in enumerate(({"a": 1}, {"w" * 0x7B20: 1})):
        (tmp_path / f"{i}.safetensors").write_bytes(pickle.dumps(content, protocol))
        with pytest.raises(ValueError, match=r"^path: .*pickles"):
            load(tmp_path / f"{i}.safetensors")


def test_what_is_no_path_and_dtypes_numpy_lacks(tmp_path):
    with pytest.raises(TypeError, match=r"^path: .*None"):
        load(None)
    with pytest.raises(ValueError, match=r"^path: a.safetensors: .*dtypes"):
        load(written(tmp_path / "a.safetensors", dtype="F8_E4M3"))


def _without(name, key):
    return {k: v for k, v in weights(name).items() if k != key}


def module(mode, name):
    """A stand-in with what a module of PyTorch has."""
    return SimpleNamespace(mode=mode, state_dict=lambda: weights(name))


class _Tensor:
    """A stand-in for a tensor that NumPy cannot hold."""

    dtype, device = "torch.bfloat16", "cpu"

    def __init__(self, error):
        self.error = error

    def detach(self):
        return self

    cpu = detach

    def numpy(self):
        raise self.error


def tensors(error):
    return {key: _Tensor(error) for key in weights("gru")}


def test_a_modules_own_mode_is_no_kind():
    assert isinstance(from_torch(module("train", "lstm")), LSTM)
    part = SimpleNamespace(mode="RNN_RELU")
    arrays = {f"rnn.{key}": value for key, value in weights("rnn_relu").items()}
    whole = SimpleNamespace(mode="train", rnn=part, state_dict=lambda: arrays)
    assert from_torch(whole, prefix="rnn.").activation.name == "relu"


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        (lambda: _without("lstm", "weight_hh_l0"), {}, r"^source: .*weight_hh_l0.*missing"),
        (lambda: _without("lstm", "bias_hh_l0"), {}, r"^source: .*bias_hh_l0"),
        (lambda: weights("lstm") | {"classifier": np.zeros(3)}, {}, r"^source: .*classifier"),
        (
            lambda: weights("lstm") | {"weight_hr_l0": np.zeros((2, 3))},
            {},
            r"^source: .*hr_l0 of shape \(3, 3\)",
        ),
        (lambda: weights("lstm") | {"bias_ih_l0": np.zeros(5)}, {}, r"^source: layer 0: .*12 rows"),
        (lambda: weights("lstm") | {"bias_ih_l0": np.zeros(12, int)}, {}, r"^source: .*float32"),
        (lambda: weights("lstm"), {"kind": "gru"}, r"^source: layer 0: .*gru"),
        (lambda: weights("rnn_tanh"), {}, r"^kind: .*rnn_tanh"),
        (lambda: weights("lstm"), {"kind": "transformer"}, r"^kind"),
        (lambda: weights("gru_both"), {"direction": "backward"}, r"^direction: .*'backward'"),
        (lambda: _without("gru_both", "weight_hh_l0_reverse"), {}, r"^source: .*weight_hh_l0_reverse"),
        (lambda: weights("gru"), {"direction": "reverse"}, r"^direction: .*one direction"),
        (lambda: weights("gru"), {"prefix": "rnn."}, r"^prefix: "),
        (lambda: 3, {}, r"^source: .*int"),
        (lambda: {0: np.zeros(3)}, {}, r"^source: .*names.*0"),
        (lambda: weights("gru"), {"prefix": None}, r"^prefix: .*None"),
        (lambda: weights("gru") | {"weight_ih": np.zeros((9, 2))}, {}, r"^source: .*weight_ih of layer 0"),
        (
            lambda: weights("lstm_stacked") | {"weight_ih_l1": np.zeros((12, 5))},
            {},
            r"^source: .*weight_ih_l1 with 3 columns.*\(12, 5\)",
        ),
        (
            lambda: {f"{k}_reverse": w for k, w in weights("gru").items()},
            {"direction": "forward"},
            r"^direction: .*\"reverse\".*'forward'",
        ),
        (lambda: module("RNN_TANH", "rnn_tanh"), {"kind": "rnn_relu"}, r"^kind: .*'rnn_tanh'.*'rnn_relu'"),
        (lambda: tensors(TypeError), {}, r"^source: .*weight_.*bfloat16 on the device cpu"),
        (lambda: tensors(NotImplementedError), {}, r"^source: .*weight_.*bfloat16 on the device cpu"),
        (lambda: _without("lstm_stacked", "weight_ih_l0"), {}, r"^source: .*weight_ih_l0"),
    ],
)
def test_errors_name_what_is_wrong(source, options, words):
    with pytest.raises((TypeError, ValueError), match=words):
        from_torch(source(), **options)


def test_modules_tell_their_kind():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from torch import nn

    torch.manual_seed(1)
    for module in (nn.RNN(2, 3, nonlinearity="relu"), nn.LSTM(2, 3), nn.GRU(2, 3)):
        cell = from_torch(module)
        inputs = torch.randn(20, 2)
        size = 6 if isinstance(cell, LSTM) else 3
        run = rollout(cell, np.zeros(size, np.float32), inputs.numpy())
        truth = module(inputs)[0].detach().numpy()
        np.testing.assert_allclose(outputs(cell, run.states)[1:], truth, atol=1e-6)
    for module, cls in ((nn.RNNCell(2, 3), ElmanRNN), (nn.LSTMCell(2, 3), LSTM), (nn.GRUCell(2, 3), GRU)):
        assert isinstance(from_torch(module), cls)
    with pytest.raises(ValueError, match=r"^kind: "):
        from_torch(nn.RNNCell(2, 3), kind="rnn_relu")
    for source in (nn.GRU(2, 3).bfloat16(), nn.GRU(2, 3, device="meta")):
        with pytest.raises(ValueError, match=r"^source: .*weight_ih_l0.*torch"):
            from_torch(source)
    assert isinstance(from_torch(nn.LSTM(2, 3, proj_size=2)), ProjectedLSTM)


def test_dynamically_quantised_layers_are_pytorchs_but_for_the_rounding_of_states():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from torch import nn

    torch.manual_seed(1)
    inputs = torch.randn(20, 2)
    for dtype, size, said in (
        (torch.qint8, 0.01, "8 bits"),
        (torch.float16, 1e-6, "float16 was made float32"),
    ):
        for module in (nn.LSTM(2, 3, 2, bidirectional=True), nn.GRU(2, 3, 2)):
            with warnings.catch_warnings():  # of PyTorch, that all of this will move
                warnings.simplefilter("ignore")
                whole = torch.ao.quantization.quantize_dynamic(
                    nn.Sequential(module), {type(module)}, dtype=dtype
                )
            with pytest.warns(UserWarning, match=said):
                cell = from_torch(whole, prefix="0")
            truth = whole[0](inputs[:, None])[0][:, 0].detach().numpy()
            if type(module) is nn.LSTM:
                found = np.asarray(cell.run(inputs.numpy()).outputs)
            else:
                found = rollout(cell, np.zeros(6, np.float32), inputs.numpy()).states[1:, 3:]
            np.testing.assert_allclose(found, truth, atol=size)
