"""MLX's and BrainPy's layers as cells, as those ran them (files/make_*.py), and ``from_module``."""

import re
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from rnn_dynamics.cells import GRU, LSTM, ElmanRNN
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.gradients.jacobians import jacobian_product
from rnn_dynamics.interop import from_brainpy, from_mlx, from_module
from tests.files.packed import read

FILES = Path(__file__).parent / "files"
DATA = {name: read(FILES / f"{name}.npz") for name in ("mlx", "brainpy", "haiku", "pytorch_more")}
CLASSES = {"R": ElmanRNN, "G": GRU, "L": LSTM}


def params(framework, name, dtype=float):
    start = f"{name}/params/"
    return {k.removeprefix(start): v.astype(dtype) for k, v in DATA[framework].items() if k.startswith(start)}


def check(framework, name, cell, tolerance):
    """Twenty steps, the last state and the Jacobian of all steps."""
    data = DATA[framework]
    assert type(cell) is CLASSES[name[0]]
    run = rollout(cell, data[f"{name}/x0"], data["inputs"])
    np.testing.assert_allclose(run.states[1:, :3], data[f"{name}/outputs"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(run.final, data[f"{name}/last"], rtol=tolerance, atol=tolerance)
    jacobian, truth = jacobian_product(run).to_float(), data[f"{name}/jacobian"]
    size = np.abs(truth).max()
    assert size > 0
    np.testing.assert_allclose(jacobian, truth, rtol=10 * tolerance, atol=10 * tolerance * size)


def module(package, name, **attributes):
    """A stand-in for an object of that package."""
    return type(name, (SimpleNamespace,), {"__module__": f"{package}.nn"})(**attributes)


class _OfMlx(dict):
    """MLX's modules are dictionaries of their parameters."""

    __module__ = "mlx.nn.layers.recurrent"


@pytest.mark.parametrize("name", ["RNN", "RNN_relu", "LSTM", "GRU", "GRU_plain"])
def test_outputs_and_jacobians_are_mlxs(name):
    layer = _OfMlx(params("mlx", name))
    if name[0] == "R":
        layer.nonlinearity = jax.nn.relu if name == "RNN_relu" else jax.nn.tanh
    check("mlx", name, from_module(layer), 2e-5)


def test_mlxs_models_and_files():
    layer = _OfMlx(params("mlx", "RNN"))
    layer.nonlinearity = jax.nn.relu
    model = _OfMlx(layers=[layer, _OfMlx(params("mlx", "GRU")), _OfMlx(weight=np.ones((1, 3)))])
    assert from_mlx(model, prefix="layers.0").activation.name == "relu"
    np.testing.assert_array_equal(from_mlx(model, prefix="layers.1.").b_hidden, params("mlx", "GRU")["bhn"])
    with pytest.raises(ValueError, match=r'^source: .*from_mlx\(source, prefix="layers.0"\) or .*"layers.1"'):
        from_mlx(model)
    flat = {f"layers.0.{key}": value for key, value in params("mlx", "LSTM").items()}
    assert isinstance(from_module(flat, prefix="layers.0"), LSTM)
    with pytest.raises(ValueError, match=r"^activation: expected 'tanh' or"):
        from_mlx(params("mlx", "RNN"))
    assert from_mlx(params("mlx", "RNN"), activation="tanh").W.shape == (3, 3)
    layer.nonlinearity = jax.nn.gelu
    with pytest.raises(ValueError, match=r"^source: .*nonlinearity.*gelu"):
        from_mlx(layer)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_a_step_of_ones_own_is_refused_with_a_call_that_reads_the_weights(name):
    """MLX's classes are known by their weights' names, which a class of the user's may have."""

    class Mine(_OfMlx):
        __module__ = "mine"

        def parameters(self):
            return dict(self)

        def __call__(self, x): ...

    layer = Mine(params("mlx", name))
    if name == "RNN":
        layer.nonlinearity = jax.nn.tanh
    model = Mine(layers=[layer])
    for source, prefix in ((layer, ""), (model, "layers.0")):
        with pytest.raises(ValueError, match=r"^source: expected a step of mlx, got Mine") as said:
            from_mlx(source, prefix=prefix)
        call = re.search(r"from_mlx\(source\.parameters\(\).*?\)", str(said.value))[0]
        W = eval(call, {"from_mlx": from_mlx, "source": source}).W
        np.testing.assert_array_equal(W, params("mlx", name)["Whh" if name == "RNN" else "Wh"])


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        ({"bhn": None}, {}, r"^source: .*b and bhn"),
        ({"Wh": np.ones((8, 3))}, {}, r"^source: .*Wh of GRU.*\(8, 3\)"),
        ({"b": np.ones(8)}, {}, r"^source: .*b of shape \(9,\)"),
        ({}, {"kind": "LSTM"}, r"^source: .*also \['b', 'bhn'\]"),
        ({}, {"kind": "gru"}, r"^kind: .*GRU"),
        ({}, {"activation": "relu"}, r"^activation: .*GRU"),
        ({"b": np.ones(9, "float16")}, {}, r"^source: .*float16"),
    ],
)
def test_errors_name_what_is_wrong_in_mlxs(change, options, words):
    source = {key: value for key, value in (params("mlx", "GRU") | change).items() if value is not None}
    with pytest.raises(ValueError, match=words):
        from_mlx(source, **options)


@pytest.mark.parametrize(
    ("name", "activation"), [("RNNCell", jax.nn.relu), ("GRUCell", jax.nn.tanh), ("LSTMCell", jax.nn.tanh)]
)
def test_outputs_and_jacobians_are_brainpys(name, activation):
    cell = module("brainpy", name, activation=activation, **params("brainpy", name))
    check("brainpy", name, from_module(cell), 1e-11)
    names = {f"{name}0.{key}": value for key, value in params("brainpy", name).items()}
    told = {"activation": "relu"} if name == "RNNCell" else {}
    check("brainpy", name, from_brainpy(names, prefix=f"{name}0", **told), 1e-11)


def test_errors_name_what_is_wrong_in_brainpys():
    weights = params("brainpy", "GRUCell")
    made = module("brainpy", "GRUCell", activation=jax.nn.tanh, **weights)
    own = type("GRUCell", (type(made),), {"__module__": "mine", "update": lambda self, x: x})(**vars(made))
    with pytest.raises(ValueError, match=r"^source: .*step of brainpy.*update of its own") as said:
        from_brainpy(own)
    call = re.search(r"from_brainpy\(.*?\)", str(said.value))[0]
    assert eval(call, {"from_brainpy": from_brainpy, "source": own}).W.shape == from_brainpy(made).W.shape
    with pytest.raises(TypeError, match=r"^source: .*BrainPy RNNCell.*GRU"):
        from_brainpy(module("brainpy", "GRU", **weights))
    with pytest.raises(ValueError, match=r"^source: .*'tanh' of a GRUCell.*relu"):
        from_brainpy(module("brainpy", "GRUCell", activation=jax.nn.relu, **weights))
    with pytest.raises(ValueError, match=r"^source: .*activation of .*gelu"):
        from_brainpy(module("brainpy", "RNNCell", activation=jax.nn.gelu, **params("brainpy", "RNNCell")))
    with pytest.raises(ValueError, match=r"^activation: .*relu"):
        from_brainpy(params("brainpy", "RNNCell"))
    with pytest.raises(ValueError, match=r"^activation: "):
        from_brainpy(weights, activation="relu")
    with pytest.raises(ValueError, match=r"^kind: .*'GRUCell'.*'LSTMCell'"):
        from_brainpy(module("brainpy", "GRUCell", activation=jax.nn.tanh, **weights), kind="LSTMCell")
    bare = {key: value for key, value in weights.items() if key != "b"}
    assert not np.any(from_brainpy(bare).b)


def _torch():
    found = {k.removeprefix("projected/"): v for k, v in DATA["pytorch_more"].items() if "projected/" in k}
    return {key: value for key, value in found.items() if key.startswith(("weight", "bias"))}


GATES = {"kernel": np.ones((2, 2)), "bias": np.ones(2)}
KERAS = [np.ones((2, 6)), np.ones((2, 6)), np.ones((2, 6))]


@pytest.mark.parametrize(
    ("source", "options", "kind"),
    [
        (
            lambda: {f"net.{key}": value for key, value in _torch().items()},
            {"prefix": "net"},
            "ProjectedLSTM",
        ),
        (lambda: module("torch", "LSTM", state_dict=_torch), {"layer": 0}, "ProjectedLSTM"),
        (lambda: module("my_model", "Net", state_dict=_torch), {}, "ProjectedLSTM"),
        (lambda: {"gru": {k.removeprefix("gru/"): v for k, v in params("haiku", "GRU").items()}}, {}, "GRU"),
        (lambda: {"params": {"i": GATES, "h": {"kernel": np.eye(2)}}}, {"activation": "tanh"}, "ElmanRNN"),
        (lambda: KERAS, {}, "GRU"),
        (
            lambda: module("keras", "GRU", get_weights=lambda: KERAS[:2], reset_after=False, **_keras()),
            {},
            "GRU",
        ),
        (
            lambda: module(
                "equinox",
                "GRUCell",
                weight_ih=np.ones((6, 2)),
                weight_hh=np.ones((6, 2)),
                bias=None,
                hidden_size=2,
            ),
            {},
            "GRU",
        ),
        (lambda: {"W": np.ones((1, 8, 2)), "R": np.ones((1, 8, 2))}, {}, "LSTM"),
    ],
)
def test_the_importer_is_told_by_class_and_names(source, options, kind):
    assert type(from_module(source(), **options)).__name__ == kind


def _keras():
    return {"activation": jax.nn.tanh, "recurrent_activation": jax.nn.sigmoid}


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        (lambda: module("my_net", "SLSTM", beta=1), {}, r"^source: .*SLSTM of my_net.nn with .*'beta'"),
        (lambda: {"kernel": np.ones(3)}, {}, r"^source: .*'kernel'"),
        (lambda: "model.pt", {}, r"^source: .*rd.interop.load"),
        (lambda: module("haiku", "LSTM"), {}, r"^source: .*init"),
        (lambda: KERAS, {"prefix": "gru"}, r"^prefix: .*from_keras.*'gru'"),
        (lambda: 3, {}, r"^source: .*int"),
    ],
)
def test_what_is_not_known_is_named(source, options, words):
    with pytest.raises((TypeError, ValueError), match=words):
        from_module(source(), **options)


def test_a_layer_with_a_cells_names_is_no_call_beside_a_core_of_haikus():
    core = {"lstm/linear": {"w": np.ones((5, 12)), "b": np.zeros(12)}}
    with pytest.raises(ValueError, match=r'choose by from_haiku\(source, prefix="lstm"\)$'):
        from_module(core | {"linear": {"w": np.ones((3, 2)), "b": np.zeros(2)}})
