"""Projections, computed weights, one layer or direction of many (files/make_pytorch_more.py), other frameworks."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from rnn_dynamics.cells import LSTM, ProjectedLSTM, Stack
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.gradients.jacobians import jacobian_product
from rnn_dynamics.interop import from_torch
from tests.files.packed import read

DATA = read(Path(__file__).parent / "files" / "pytorch_more.npz")
INPUTS = DATA["inputs"]


def weights(name):
    found = {key.removeprefix(f"{name}/"): DATA[key] for key in DATA if key.startswith(f"{name}/")}
    return {key: value for key, value in found.items() if key.startswith(("weight", "bias"))}


def run(cell, size, inputs):
    return rollout(cell, np.zeros(size), inputs).states[1:]


def test_a_projected_lstm_is_pytorchs():
    cell = from_torch(weights("projected"))
    assert isinstance(cell, ProjectedLSTM)
    assert {name: (part.start, part.stop) for name, part in cell.parts.items()} == {
        "hidden": (0, 2),
        "cell": (2, 5),
    }
    np.testing.assert_allclose(run(cell, 5, INPUTS)[:, :2], DATA["projected/outputs"], rtol=1e-12, atol=1e-15)
    found = rollout(cell, DATA["projected/x0"], INPUTS)
    np.testing.assert_allclose(found.final, DATA["projected/last"], rtol=1e-12, atol=1e-15)
    truth = DATA["projected/jacobian"]
    np.testing.assert_allclose(
        jacobian_product(found).to_float(), truth, rtol=1e-10, atol=1e-12 * np.abs(truth).max()
    )


def test_an_identity_for_the_projection_gives_an_lstm():
    rng = np.random.default_rng(0)
    W, b, W_in = rng.normal(size=(12, 3)), rng.normal(size=12), rng.normal(size=(12, 2))
    x, u = rng.normal(size=6), rng.normal(size=2)
    one, other = ProjectedLSTM(W, b, W_in, np.eye(3)), LSTM(W, b, W_in)
    np.testing.assert_allclose(one(x, u), other(x, u), rtol=1e-14)
    for method in ("gates", "carries"):
        mine, truth = getattr(one, method)(x, u), getattr(other, method)(x, u)
        assert list(mine) == list(truth)
        np.testing.assert_allclose(list(mine.values()), list(truth.values()), rtol=1e-14)
    with pytest.raises(ValueError, match=r"^W: .*\(12, 2\)"):
        ProjectedLSTM(W, b, W_in, np.ones((2, 3)))


def test_layers_of_a_deep_bidirectional_network_one_at_a_time():
    arrays, inputs = weights("deep_both"), INPUTS
    for layer in (0, np.int64(1)):
        ahead = run(from_torch(arrays, layer=layer, direction="forward"), 3, inputs)
        back = run(from_torch(arrays, layer=layer, direction="reverse"), 3, inputs[::-1])[::-1]
        inputs = np.stack([ahead[:, 0], back[:, 0]], axis=1)
    np.testing.assert_allclose(inputs, DATA["deep_both/outputs"], rtol=1e-12, atol=1e-15)
    with pytest.raises(ValueError, match=r'^source: .*layer=0, direction="forward"'):
        from_torch(arrays, direction="forward")
    whole = from_torch(arrays)
    np.testing.assert_allclose(whole.run(INPUTS).outputs, DATA["deep_both/outputs"], rtol=1e-12, atol=1e-15)
    first = from_torch(arrays, layer=0).run(INPUTS)
    np.testing.assert_array_equal(first.outputs, whole.run(INPUTS).layer_outputs[0])
    narrow = arrays | {"weight_ih_l1_reverse": arrays["weight_ih_l1_reverse"][:, :1]}
    with pytest.raises(
        ValueError, match=r"^source: .*weight_ih_l1 with 2 columns, .*both directions of layer 0"
    ):
        from_torch(narrow)
    with pytest.raises(ValueError, match=r"^layer: expected one of \[0, 1\], got 2"):
        from_torch(arrays, layer=2, direction="forward")
    with pytest.raises(TypeError, match=r"^layer: .*'0'"):
        from_torch(arrays, layer="0", direction="forward")


def test_projected_layers_are_stacked():
    ahead = {k: v for k, v in weights("deep_both").items() if "reverse" not in k}
    ahead["weight_ih_l1"] = ahead["weight_ih_l1"][:, :1]
    assert isinstance(cell := from_torch(ahead), Stack)
    assert cell.sizes == (3, 3)


@pytest.mark.parametrize("name", ["pruned", "normed"])
def test_masks_and_weight_norms_of_state_dicts_are_applied(name):
    cell = from_torch({f"net.{key}": value for key, value in weights(name).items()}, prefix="net")
    states = run(cell, 4 if name == "pruned" else 2, INPUTS)
    np.testing.assert_allclose(states[:, :2], DATA[f"{name}/outputs"], rtol=1e-12, atol=1e-15)


class _Part(SimpleNamespace):
    """A stand-in for a part of a module."""

    def named_modules(self):
        return [("", self)]


class _List(SimpleNamespace):
    training = True

    def modules(self):
        return [self]

    def eval(self):
        self.training = False


def test_a_modules_weights_are_those_of_its_forward_in_evaluation():
    arrays, lists = weights("projected"), _List()
    W = arrays.pop("weight_hh_l0")

    class Parametrised(_Part):
        @property
        def weight_hh_l0(self):
            return W if not lists.training else np.nan * W

    kept = arrays | {"parametrizations.weight_hh_l0.original": 2 * W}
    module = Parametrised(state_dict=lambda: kept, parametrizations={"weight_hh_l0": lists, "head": None})
    np.testing.assert_array_equal(from_torch(module).W, W)
    assert lists.training
    with pytest.raises(
        ValueError, match=r"^source: .*parametrizations.weight_hh_l0.original.*the module itself"
    ):
        from_torch(kept)

    masked = SimpleNamespace(_tensor_name="weight_hh_l0", apply_mask=lambda module: W)
    spectral = SimpleNamespace(
        name="weight_hh_l0", n_power_iterations=1, compute_weight=lambda module, do_power_iteration: W
    )
    normed = SimpleNamespace(name="weight_hh_l0", compute_weight=lambda module: W)
    for hook, ends in ((masked, ("orig", "mask")), (spectral, ("orig", "u", "v")), (normed, ("g", "v"))):
        kept = arrays | {f"weight_hh_l0_{end}": np.ones_like(W) for end in ends}
        module = _Part(state_dict=lambda kept=kept: kept, _forward_pre_hooks={0: hook})
        np.testing.assert_array_equal(from_torch(module).W, W)
    with pytest.raises(ValueError, match=r"^source: .*weight_hh_l0_orig.*the module itself"):
        from_torch(arrays | {f"weight_hh_l0_{end}": W for end in ("orig", "u", "v")})


class Eighths(SimpleNamespace):
    """A tensor of integers with a scale, of which PyTorch gives the numbers."""

    def __init__(self, array):
        self.is_quantized, self.dequantize = True, lambda: np.round(array * 8) / 8


def test_packed_weights_of_a_dynamically_quantised_layer_are_read():
    arrays = {name: DATA[f"normed/{name}"] for name in ("weight_ih_l0", "bias_ih_l0", "bias_hh_l0")}
    arrays["weight_hh_l0"] = np.arange(12.0).reshape(6, 2) / 5
    kind = type("GRU", (SimpleNamespace,), {"__module__": "torch.ao.nn.quantized.dynamic.modules.rnn"})
    own = {name: array for name, array in arrays.items() if name.startswith("weight")}
    biases = {name: array for name, array in arrays.items() if name.startswith("bias")}
    packed = {"_all_weight_values.0.param": object()}
    scaled = kind(get_weight=lambda: {n: Eighths(a) for n, a in own.items()}, get_bias=lambda: biases)
    half = kind(get_weight=lambda: own, _weight_bias=lambda: {"bias": biases})
    for part, expected, said in (
        (scaled, np.round, "8 bits"),
        (half, None, "^source: float16 was made float32$"),
    ):
        module = SimpleNamespace(
            state_dict=lambda: (
                {f"gru.{name}": each for name, each in packed.items()} | {"head.weight": biases}
            ),
            named_modules=lambda part=part: [("gru", part)],
        )
        with pytest.warns(UserWarning, match=said):
            cell = from_torch(module, prefix="gru")
        W = arrays["weight_hh_l0"] if expected is None else expected(arrays["weight_hh_l0"] * 8) / 8
        np.testing.assert_array_equal(cell.W, W)
        np.testing.assert_array_equal(cell.b_hidden, arrays["bias_hh_l0"][4:])


def test_exported_programs_are_refused_with_a_call():
    program = type("ExportedProgram", (), {"state_dict": weights("projected")})()
    with pytest.raises(TypeError, match=r"^source: .*ExportedProgram: from_torch\(source.state_dict\)"):
        from_torch(program)


def test_paddles_doubles_are_one():
    arrays = weights("projected")
    paddles = {f"rnn.{key}": value for key, value in arrays.items() if "hr" not in key}
    paddles |= {
        f"rnn.0.cell.{key.removesuffix('_l0')}": value for key, value in arrays.items() if "hr" not in key
    }
    paddles["rnn.0.cell.weight_ho"] = arrays["weight_hr_l0"].T
    cell = from_torch(paddles, prefix="rnn")
    np.testing.assert_array_equal(cell.projection, arrays["weight_hr_l0"])
    # A weight norm of the layer is not in the forward of Paddle 3.3.1, which has the cells' weights.
    normed = {key: value for key, value in paddles.items() if key != "rnn.weight_hh_l0"}
    normed |= {"rnn.weight_hh_l0_g": np.ones(12), "rnn.weight_hh_l0_v": np.ones((12, 2))}
    np.testing.assert_array_equal(from_torch(normed, prefix="rnn").W, arrays["weight_hh_l0"])
    with pytest.raises(ValueError, match=r"^source: .*weight_hh_g.*the module itself"):
        from_torch({"weight_hh_g": np.ones(2), "weight_hh_v": np.ones((2, 2))})
    alone = {key.removeprefix("rnn."): value for key, value in paddles.items() if ".cell." in key}
    with pytest.raises(ValueError, match=r"^source: .*0.cell"):
        from_torch(alone)


def test_tinygrads_cell_has_no_state_dict():
    arrays = {key.removesuffix("_l0"): value for key, value in weights("pruned").items()}
    arrays["weight_hh"] = arrays.pop("weight_hh_l0_orig") * arrays.pop("weight_hh_l0_mask")

    class Tensor(SimpleNamespace):
        def detach(self):
            return self

        def numpy(self):
            return self.value

    cell = type("LSTMCell", (SimpleNamespace,), {"__module__": "tinygrad.nn"})
    found = from_torch(cell(**{key: Tensor(value=value) for key, value in arrays.items()}))
    np.testing.assert_allclose(run(found, 4, INPUTS)[:, :2], DATA["pruned/outputs"], rtol=1e-12, atol=1e-15)
    assert not np.any(from_torch(cell(weight_ih=np.ones((8, 2)), weight_hh=np.ones((8, 2)), bias_ih=None)).b)
