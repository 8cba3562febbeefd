"""Weights that files keep in parts, and classes of which they say nothing: arrays against their own arithmetic."""

import re

import numpy as np
import pytest

import rnn_dynamics as rd
from rnn_dynamics.interop import from_torch, load
from rnn_dynamics.interop.folded import undone
from rnn_dynamics.interop.networks import networks_of
from rnn_dynamics.interop.stored import Part, Stored

DRAWS = np.random.default_rng(0)
WEIGHTS = {
    "weight_ih_l0": DRAWS.normal(size=(9, 2)).astype("float32"),
    "weight_hh_l0": DRAWS.normal(size=(9, 3)).astype("float32"),
    "bias_ih_l0": DRAWS.normal(size=9).astype("float32"),
    "bias_hh_l0": DRAWS.normal(size=9).astype("float32"),
}
W = WEIGHTS["weight_hh_l0"]
MASK = (np.abs(W) > 0.4).astype("float32")


def in_parts(dtype="float32", **parts):
    held = {name: array for name, array in WEIGHTS.items() if name != "weight_hh_l0"}
    held |= {f"weight_hh_l0_{end}": part for end, part in parts.items()}
    return {name: array.astype(dtype) for name, array in held.items()}


@pytest.mark.parametrize("prefix", ["", "net.rnn."])
@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"orig": W, "mask": MASK}, W * MASK),
        ({"g": 2 * np.ones((9, 1)), "v": W}, 2 * W / np.linalg.norm(W, axis=1, keepdims=True)),
        ({"g": 2 * np.ones((1, 3)), "v": W}, 2 * W / np.linalg.norm(W, axis=0, keepdims=True)),
        ({"g": np.float32(2), "v": W}, 2 * W / np.linalg.norm(W)),
    ],
)
def test_pruned_and_normed_weights_in_a_file_are_those_of_the_forward(tmp_path, prefix, parts, expected):
    """``prune`` keeps weight and mask, ``weight_norm`` g and v with g v/‖v‖ along each axis, or of all."""
    path = tmp_path / "a.npz"
    named = {prefix + name: array for name, array in in_parts(**parts).items()}
    np.savez(path, **named)
    np.testing.assert_allclose(load(path).W, expected, rtol=2e-6)
    np.testing.assert_allclose(from_torch(named, prefix=prefix).W, expected, rtol=2e-6)


@pytest.mark.parametrize(("start", "inner"), [("", "module."), ("rnns.0.", "rnns.0.module."), ("", "")])
def test_weights_that_training_drops_are_those_of_evaluation(tmp_path, start, inner):
    """fastai keeps "weight_hh_l0_raw" beside "module.weight_hh_l0", which training has thinned."""
    named = {inner + name: array for name, array in WEIGHTS.items() if name != "weight_hh_l0"}
    named |= {f"{start}weight_hh_l0_raw": W} | ({f"{inner}weight_hh_l0": 2 * W * MASK} if inner else {})
    np.savez(tmp_path / "a.npz", **named)
    for cell in (load(tmp_path / "a.npz"), from_torch(named, prefix=inner)):
        np.testing.assert_array_equal(cell.W, W)


def test_masks_in_half_precision_are_told(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, **in_parts("float16", orig=W, mask=MASK))
    with pytest.warns(UserWarning, match="float16 was made float32"):
        cell = load(path)
    np.testing.assert_array_equal(cell.W, W.astype("float16").astype("float32") * MASK)


@pytest.mark.parametrize(
    ("names", "call"),
    [
        (("orig", "u", "v"), 'torch.nn.utils.remove_spectral_norm(module, "weight_hh_l0")'),
        (("v",), 'torch.nn.utils.remove_weight_norm(module, "weight_hh_l0")'),
        (("mask",), 'torch.nn.utils.prune.remove(module, "weight_hh_l0")'),
    ],
)
def test_what_names_do_not_tell_is_refused_with_pytorchs_call(tmp_path, names, call):
    """Each of these calls makes plain weights, of torch 2.13.0."""
    held = in_parts(**dict.fromkeys(names, W))
    path = tmp_path / "a.npz"
    np.savez(path, **held)
    for read in (lambda: load(path), lambda: from_torch(held)):
        with pytest.raises(ValueError, match=re.escape(call)):
            read()


def test_parts_of_modules_and_packed_weights_are_named_with_calls():
    said = undone(["enc.0.parametrizations.weight_ih_l0.original1"])
    assert 'remove_parametrizations(module.get_submodule("enc.0"), "weight_ih_l0")' in said
    assert "from_torch(module) reads it" in undone(["0._all_weight_values.0.param"])
    assert undone(["weight_hh_l0", "bias_ih_l0"]) == ""


@pytest.mark.parametrize(
    ("name", "is_own"),
    [
        ("torch.nn.modules.rnn.GRU", False),
        ("__torch__.torch.nn.modules.rnn.GRU", False),
        ("__main__.LayerNormGRU", True),
        ("__torch__.LayerNormGRU", True),
    ],
)
def test_weights_of_a_class_of_ones_own_say_so(name, is_own):
    arrays = {
        f"rnn.{key}": Stored(array.shape, "float32", lambda a=array: a) for key, array in WEIGHTS.items()
    }
    (network,) = networks_of(None, arrays, {"rnn": Part(name, {"mode": 1})}, "torch zip")
    told = "".join({stored.told for stored in network.arrays.values()})
    assert ("LayerNormGRU is no class of PyTorch's" in told) == is_own
    assert told.count("rd.interop.check") == is_own
    assert rd.interop.check


def test_the_order_of_bytes_changes_nothing_and_masked_numbers_are_missed():
    turned = {name: array.astype(array.dtype.newbyteorder()) for name, array in WEIGHTS.items()}
    cell = from_torch(turned)
    np.testing.assert_array_equal(cell.W, W)
    hidden = WEIGHTS | {"weight_hh_l0": np.ma.array(W, mask=MASK == 0)}
    with pytest.raises(ValueError, match=r"^source: .*weight_hh_l0.*masked array.*weight_hh_l0\.filled\(0\)"):
        from_torch(hidden)
    filled = WEIGHTS | {"weight_hh_l0": hidden["weight_hh_l0"].filled(0)}
    np.testing.assert_array_equal(from_torch(filled).W, W * MASK)
    assert from_torch(WEIGHTS | {"weight_hh_l0": np.ma.array(W)}).W.shape == (9, 3)


@pytest.mark.parametrize("prefix", ["", "enc.rnn."])
def test_a_module_in_a_checkpoint_is_named_with_a_call(prefix):
    part = type(
        "GRU", (), {"state_dict": lambda self: {prefix + name: array for name, array in WEIGHTS.items()}}
    )
    source = {"epoch": 3, "net": part()}
    with pytest.raises(ValueError, match=r"^source: .*a checkpoint that holds a module: ") as said:
        from_torch(source)
    call = re.search(r"from_torch\(.*\)$", str(said.value))[0]
    np.testing.assert_array_equal(eval(call, {"from_torch": from_torch, "source": source}).W, W)
