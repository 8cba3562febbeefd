"""What belongs to a network's step and is none of its weights' names: hooks, replaced forwards, norms, one bias."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

import rnn_dynamics as rd
from rnn_dynamics.interop import from_torch, load
from rnn_dynamics.interop.networks import networks_of
from rnn_dynamics.interop.stored import Part, Stored

DRAWS = np.random.default_rng(0)


def draw(*shape):
    return DRAWS.normal(size=shape).astype("float32")


GATED = {
    "weight_ih_l0": draw(9, 2),
    "weight_hh_l0": draw(9, 3),
    "bias_ih_l0": draw(9),
    "bias_hh_l0": draw(9),
}


class Scaled:
    """A hook that changes outputs."""

    def __call__(self, module, inputs, outputs):
        return 2 * outputs


@pytest.mark.parametrize("field", ["_forward_pre_hooks", "_forward_hooks", "_forward_post_hooks"])
def test_hooks_that_may_change_the_forward_are_said(field):
    module = SimpleNamespace(state_dict=lambda: GATED, **{field: {0: Scaled()}})
    with pytest.warns(UserWarning, match="hooks Scaled, which may change what it reads and puts out.*check"):
        cell = from_torch(module)
    np.testing.assert_array_equal(cell.W, GATED["weight_hh_l0"])


def test_a_forward_that_was_replaced_is_refused_with_a_call_that_reads_the_weights():
    class Module:
        def state_dict(self):
            return {f"rnn.{name}": array for name, array in GATED.items()}

    source = Module()
    source.rnn = SimpleNamespace(mode="GRU", forward=lambda x: 2 * x)
    call = r'from_torch\(source.state_dict\(\), prefix="rnn.", kind="gru"\)'
    with pytest.raises(ValueError, match=rf"^source: .*whose forward was replaced: .*{call}"):
        from_torch(source, prefix="rnn")
    assert from_torch(source.state_dict(), prefix="rnn.", kind="gru").W.shape == (9, 3)


@pytest.mark.parametrize(
    ("name", "is_own"),
    [
        ("__torch__.torch.nn.modules.rnn.GRUCell", False),
        ("__torch__.torch.nn.modules.rnn.___torch_mangle_3.GRUCell", False),
        ("__torch__.___torch_mangle_0.My", True),
        ("__torch__.mine.GRUCell", True),
    ],
)
def test_a_scripted_or_traced_module_tells_its_class_in_the_program(name, is_own):
    """Of torch 2.13.0, where the object is a ScriptModule of PyTorch's, whatever was scripted."""
    program = SimpleNamespace(_type=lambda: SimpleNamespace(qualified_name=lambda: name))
    module = SimpleNamespace(state_dict=lambda: GATED, forward=lambda x: x, _c=program)
    if not is_own:
        np.testing.assert_array_equal(from_torch(module).W, GATED["weight_hh_l0"])
        return
    own = name.rpartition(".")[2]
    call = r"from_torch\(source.state_dict\(\)\)"
    with pytest.raises(ValueError, match=rf"^source: .*got {own}, which has a forward of its own: .*{call}"):
        from_torch(module)


@pytest.mark.parametrize(
    ("hook", "is_own"), [("mine.Scaled", True), ("torch.nn.utils.weight_norm.WeightNorm", False)]
)
def test_hooks_of_a_module_in_a_file_are_said(hook, is_own):
    arrays = {name: Stored(array.shape, "float32", lambda a=array: a) for name, array in GATED.items()}
    inside = {"mode": "GRU", "_forward_hooks": {0: Part(hook, {"x": 1})}}
    (network,) = networks_of(None, arrays, {"": Part("torch.nn.modules.rnn.GRU", inside)}, "torch zip")
    told = {stored.told for stored in network.arrays.values()}
    assert len(told) == 1
    assert ("has the hooks mine.Scaled, which may change" in told.pop()) == is_own


@pytest.mark.parametrize(
    ("prefix", "name"),
    [
        ("rnn.", "weight_hh_l0_lora_A"),
        ("", "weight_hh_l0_lora_A"),
        ("", "weight_hh_l0.lora.A"),
        ("cell.", "ln_i.weight"),
        ("", "ln_i.weight"),
        ("", "weight_ch_l0"),
        ("net.rnn.", "h0"),
        ("", "weight_hh_l0_scale"),
    ],
)
def test_what_such_a_layer_has_not_is_said(tmp_path, prefix, name):
    """Adapters, norms, peepholes, first states and the scales of numbers that are no integers."""
    path = tmp_path / "a.npz"
    np.savez(path, **{prefix + each: array for each, array in (GATED | {name: draw(2)}).items()})
    with pytest.warns(
        UserWarning, match=f"the file has {prefix}{name}, which such a layer has not.*interop.check"
    ):
        load(path)


def test_what_stands_beside_a_network_and_is_no_part_of_it_is_not_said(tmp_path):
    """A readout, another network, what an optimiser keeps, scales that were applied."""
    path = tmp_path / "a.npz"
    whole = {f"net.rnn.{name}": array for name, array in GATED.items()}
    whole |= {"net.rnn.weight_hh_l0": np.ones((9, 3), "int8"), "net.rnn.weight_hh_l0_scale": np.float32(0.5)}
    whole |= {
        "net.readout.weight": draw(1, 3),
        "net.rnn_norm.weight": draw(3),
        "optimiser.0.exp_avg": draw(9, 2),
    }
    np.savez(path, **whole)
    with pytest.warns(UserWarning, match="int8") as said:
        load(path)
    assert [str(each.message) for each in said] == [
        "a.npz: int8 was made float32 by the scale that the file has"
    ]
    np.savez(path, **GATED, readout=draw(1, 3), W_out=draw(1, 3), losses=draw(9))
    load(path)


def states(step, size):
    x, found = np.zeros(size), []
    for u in INPUTS:
        x = step(x, u)
        found.append(x)
    return np.array(found)


INPUTS = DRAWS.normal(size=(20, 2)).astype("float32")


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


@pytest.mark.parametrize("prefix", ["", "cell."])
def test_one_bias_beside_the_gates_is_read_as_equinox_has_it(tmp_path, prefix):
    """Equinox 0.13.8 keeps bias (3 n,), and bias_n (n,) within the reset."""
    path = tmp_path / "a.npz"
    W, V, b, inner = draw(9, 3), draw(9, 2), draw(9), draw(3)
    named = {"weight_hh": W, "weight_ih": V, "bias": b, "bias_n": inner}
    np.savez(path, **{prefix + name: array for name, array in named.items()})

    def step(h, u):
        z = np.dot(V, u) + b
        r, keep = np.split(sigmoid(z[:6] + np.dot(W[:6], h)), 2)
        return (1 - keep) * np.tanh(z[6:] + r * (np.dot(W[6:], h) + inner)) + keep * h

    found = rd.rollout(load(path), np.zeros(3, "float32"), INPUTS).states[1:]
    np.testing.assert_allclose(found, states(step, 3), atol=2e-6)

    W, V, b = draw(12, 3), draw(12, 2), draw(12)
    np.savez(path, **{f"{prefix}weight_hh": W, f"{prefix}weight_ih": V, f"{prefix}bias": b})
    cell = load(path)
    np.testing.assert_array_equal(cell.b, b)


def test_one_bias_of_a_gru_is_read_and_said(tmp_path):
    path = tmp_path / "a.npz"
    named = {"weight_hh": draw(9, 3), "weight_ih": draw(9, 2), "bias": draw(9)}
    np.savez(path, **named)
    with pytest.warns(UserWarning, match="one bias of its GRU was taken as outside of the reset"):
        np.testing.assert_array_equal(load(path).b, named["bias"])


def test_a_minimal_gated_unit_of_linen_is_read_from_a_file(tmp_path):
    """Flax 0.12.8: f = σ(…), n = tanh(W_in u + b_in + f (W_hn h + b_hn)), h⁺ = (1 − f) n + f h."""
    path = tmp_path / "a.npz"
    sizes = {"if": 2, "in": 2, "hf": 3, "hn": 3}
    kernels = {gate: draw(size, 3) for gate, size in sizes.items()}
    biases = {gate: draw(3) for gate in ("if", "in", "hn")}
    np.savez(
        path,
        **{f"params.cell.{gate}.kernel": array for gate, array in kernels.items()},
        **{f"params.cell.{gate}.bias": array for gate, array in biases.items()},
    )

    def step(h, u):
        f = sigmoid(np.dot(u, kernels["if"]) + biases["if"] + np.dot(h, kernels["hf"]))
        inner = np.dot(h, kernels["hn"]) + biases["hn"]
        return (1 - f) * np.tanh(np.dot(u, kernels["in"]) + biases["in"] + f * inner) + f * h

    found = rd.rollout(load(path), np.zeros(3, "float32"), INPUTS).states[1:]
    np.testing.assert_allclose(found, states(step, 3), atol=2e-6)


def test_a_file_of_paddle_is_read_by_the_cells_within_the_layer(tmp_path):
    """Paddle 3.3.1 keeps weights twice and uses the cells', whose projection lies the other way round."""
    path = tmp_path / "a.npz"
    cells = {"weight_ih": draw(12, 2), "weight_hh": draw(12, 2), "weight_ho": draw(3, 2)}
    cells |= {"bias_ih": draw(12), "bias_hh": draw(12)}
    doubles = {f"{name}_l0".replace("ho_", "hr_"): 0 * array for name, array in cells.items()}
    whole = {f"net.0.cell.{name}": array for name, array in cells.items()}
    np.savez(path, **whole, **{f"net.{name}": array for name, array in doubles.items() if "hr" not in name})
    cell = load(path)
    np.testing.assert_array_equal(cell.W, cells["weight_hh"])
    np.testing.assert_array_equal(cell.projection, cells["weight_ho"].T)
    np.testing.assert_array_equal(cell.b, cells["bias_ih"] + cells["bias_hh"])


def test_of_several_networks_one_without_a_prefix_is_listed_with_a_call_that_works(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, **GATED, **{f"inner.{name}": 2 * array for name, array in GATED.items()})
    with pytest.raises(ValueError, match="got 2") as said:
        load(path)
    calls = re.findall(r"rd\.interop\.load\(.*?\)", str(said.value))
    assert len(calls) == 2
    found = [eval(call, {"rd": rd}).W for call in calls]
    np.testing.assert_array_equal(found[0], GATED["weight_hh_l0"])
    np.testing.assert_array_equal(found[1], 2 * GATED["weight_hh_l0"])
    np.savez(path, **GATED)
    assert load(path, prefix=".").W.shape == (9, 3)


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        (
            {"l.Wx": (9, 2), "l.Wh": (9, 3), "l.b": (9,), "l.bhn": (3,)},
            "MLX's names: rd.interop.from_mlx takes",
        ),
        ({"l.Wxh": (3, 2), "l.Whh": (3, 3)}, "MLX's names: rd.interop.from_mlx takes"),
        ({"gru/w_i": (2, 9), "gru/w_h": (3, 9), "gru/b": (9,)}, "Haiku's names: rd.interop.from_haiku takes"),
        ({"c.Wi": (2, 9), "c.Wh": (3, 9), "c.b": (9,)}, "BrainPy's names: rd.interop.from_brainpy takes"),
    ],
)
def test_names_of_others_are_told_with_the_importer_that_takes_them(tmp_path, shapes, words):
    path = tmp_path / "a.npz"
    np.savez(path, **{name: draw(*shape) for name, shape in shapes.items()})
    with pytest.raises(ValueError, match=words) as said:
        load(path)
    importer = re.search(r"rd\.interop\.(from_\w+) takes", str(said.value))[1]
    options = {"activation": "tanh"} if "l.Whh" in shapes else {}
    cell = getattr(rd.interop, importer)(rd.interop.read_npz(path), **options)
    assert cell.W.shape[1] == 3


def test_a_layer_of_matlab_is_told_with_the_cell_that_takes_its_arrays(tmp_path):
    path = tmp_path / "a.npz"
    arrays = {"InputWeights": draw(12, 2), "RecurrentWeights": draw(12, 3), "Bias": draw(12, 1)}
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match="MATLAB") as said:
        load(path)
    call = re.search(r"rd\.LSTM\(.*\)$", str(said.value))[0]
    np.testing.assert_array_equal(eval(call, {"rd": rd} | arrays).b, arrays["Bias"][:, 0])


def test_a_network_in_several_files_is_read_by_their_index_and_said_of_one(tmp_path):
    """transformers 4 and 5 cut a model into such files, wherever one is full."""
    halves = ("weight_ih_l0", "weight_hh_l0"), ("bias_ih_l0", "bias_hh_l0")
    files = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    told = {}
    for file, half in zip(files, halves, strict=True):
        save_file(
            {f"rnn.{name}": GATED[name] for name in half} | {f"fc.{file[6:11]}": draw(2)}, tmp_path / file
        )
        told |= {f"rnn.{name}": file for name in half}
    one = tmp_path / files[0]
    with pytest.warns(UserWarning, match=r"one of 2, and weights of its network may lie in the others"):
        load(one)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": told}))
    with pytest.warns(UserWarning, match=r"one of 2, and others hold rnn.bias_ih_l0: ") as said:
        load(one)
    found = eval(re.search(r"rd\.interop\.load\(.*?\)", str(said[0].message))[0], {"rd": rd})
    np.testing.assert_array_equal(found.b[:6], (GATED["bias_ih_l0"] + GATED["bias_hh_l0"])[:6])
    index.write_text(json.dumps({"weight_map": dict.fromkeys(told, files[0]) | {"fc.w": files[1]}}))
    load(one)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"a": "../a.safetensors"}, "in the folder of the index"),
        ({"a": "/etc/a.safetensors"}, "in the folder of the index"),
        ({"a": "b.safetensors"}, "beside the index"),
        ({"a": "index.json"}, "index.json: JSON"),
        ({"a": 3}, "under weight_map"),
        ([], "under weight_map"),
    ],
)
def test_an_index_that_leads_elsewhere_is_refused(tmp_path, told, words):
    (tmp_path / "index.json").write_text(json.dumps({"weight_map": told}))
    with pytest.raises(ValueError, match=words):
        load(tmp_path / "index.json")


def test_arrays_one_after_another_are_told_as_equinoxs(tmp_path):
    """``tree_serialise_leaves`` of Equinox 0.13.8 calls ``np.save`` for each leaf, in one file."""
    path = tmp_path / "a.eqx"
    with path.open("wb") as file:
        for name in GATED.values():
            np.save(file, name)
    with pytest.raises(ValueError, match=r"tree_deserialise_leaves\(path, cell\) .*rd.interop.from_equinox"):
        load(path)
