"""Networks of ncps as cells, as its PyTorch and Keras flavours ran them (files/make_ncps.py)."""

from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from rnn_dynamics.cells import LTC, CfC, ElmanRNN, MixedMemory, Stack
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.gradients.jacobians import jacobian_product
from rnn_dynamics.interop import from_module, from_ncps
from tests.files.packed import read

DATA = read(Path(__file__).parent / "files" / "ncps.npz")
TOLD = {
    "CfC": {"mode": "default", "activation": "lecun_tanh"},
    "CfC_silu": {"mode": "no_gate", "activation": "silu"},
    "CfC_pure": {"activation": "lecun_tanh"},
    "CfC_mixed": {"mode": "default", "activation": "lecun_tanh"},
    "CfC_wired": {"mode": "default"},
    "LTC": {"constrained": True},
    "LTC_wired": {"constrained": True, "unfolds": 3},
    "LTCCell": {"constrained": False},
}
EVERY_DAY = ("CfC", "LTC_wired")


def params(name, dtype=float):
    start = f"{name}/params/"
    return {k.removeprefix(start): v.astype(dtype) for k, v in DATA.items() if k.startswith(start)}


@pytest.mark.parametrize(
    ("name", "cls"),
    [
        pytest.param(name, cls, marks=() if name in EVERY_DAY else pytest.mark.soak)
        for name, cls in [
            ("CfC", CfC),
            ("CfC_silu", CfC),
            ("CfC_pure", CfC),
            ("CfC_mixed", MixedMemory),
            ("CfC_wired", Stack),
            ("LTC", LTC),
            ("LTC_wired", MixedMemory),
            ("LTCCell", LTC),
        ]
    ],
)
def test_states_and_jacobians_are_those_of_the_pytorch_flavour(name, cls):
    cell = from_ncps(params(name), **TOLD[name])
    assert type(cell) is cls
    run = rollout(cell, DATA[f"{name}/x0"], DATA["inputs"])
    np.testing.assert_allclose(run.states[1::5], DATA[f"{name}/states"], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(run.final, DATA[f"{name}/last"], rtol=1e-12, atol=1e-14)
    truth = DATA[f"{name}/jacobian"]
    size = np.abs(truth).max()
    assert size > 0
    np.testing.assert_allclose(jacobian_product(run).to_float(), truth, rtol=1e-9, atol=1e-12 * size)


@pytest.mark.soak
@pytest.mark.parametrize("name", TOLD)
def test_the_clock_is_the_timespan(name):
    run = rollout(from_ncps(params(name), dt=0.25, **TOLD[name]), DATA[f"{name}/x0"], DATA["inputs"])
    np.testing.assert_allclose(run.final, DATA[f"{name}/slow"], rtol=1e-12, atol=1e-14)


def module(name, **attributes):
    """A stand-in for a module of the PyTorch flavour."""
    return type(name, (SimpleNamespace,), {"__module__": "ncps.torch"})(**attributes)


class _Layer:
    """A stand-in for a layer of Keras'."""

    def __init__(self, **attributes):
        self.__dict__ |= attributes

    get_weights = get_config = list


def of_keras(name):
    """The layer as its attributes are, with the weights in Keras' order; a wired one of three layers."""
    found = params(name, "float32")
    weights = [found[str(i)] for i in range(len(found))]

    def cell(first, **more):
        dense = _Layer(kernel=first[4], bias=first[5]), _Layer(kernel=first[6], bias=first[7])
        heads = dict(zip(("ff1_kernel", "ff1_bias", "ff2_kernel", "ff2_bias"), first, strict=False))
        return _Layer(mode="default", time_a=dense[0], time_b=dense[1], **heads, **more)

    if name == "keras_CfC":

        def lecun_tanh(z): ...

        backbone = _Layer(
            layers=[_Layer(kernel=weights[4], bias=weights[5], activation=lecun_tanh), _Layer()]
        )
        return _Layer(cell=cell(weights[:4] + weights[6:], backbone_fn=backbone))
    if name == "keras_mixed":
        cells = [cell(weights[3 + 8 * i : 11 + 8 * i]) for i in range(3)]
        for each, mask in zip(cells, DATA_MASKS, strict=True):
            each.sparsity_mask = mask
        kernels = dict(zip(("input_kernel", "recurrent_kernel", "bias"), weights, strict=False))
        return _Layer(cell=_Layer(**kernels, forget_gate_bias=1.0, rnn_cell=_Layer(_cfc_layers=cells)))
    names = ("gleak", "vleak", "cm", "sigma", "mu", "w", "erev")
    names += tuple(f"sensory_{each}" for each in names[3:])
    names += ("input_w", "input_b", "output_w", "output_b")
    masks = {"sparsity_mask": np.ones((3, 3), "float32"), "sensory_sparsity_mask": np.ones((2, 3), "float32")}
    return _Layer(
        cell=_Layer(_params=dict(zip(names, weights, strict=True)) | masks, _ode_unfolds=6, _epsilon=1e-8)
    )


DATA_MASKS = [DATA[f"keras_mixed/mask{i}"].astype("float32") for i in range(3)]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=() if n == "keras_mixed" else pytest.mark.soak)
        for n in ("keras_CfC", "keras_mixed", "keras_LTC")
    ],
)
def test_outputs_are_those_of_the_keras_flavour(name):
    cell = from_ncps(of_keras(name))
    states = np.asarray(rollout(cell, None, DATA["inputs"].astype("float32")).states[1:])
    hidden = {"keras_CfC": slice(0, 3), "keras_mixed": slice(4, 5), "keras_LTC": slice(0, 3)}[name]
    outputs = states[:, hidden]
    if name == "keras_LTC":
        weights = params(name)
        outputs = outputs * weights["13"] + weights["14"]
    np.testing.assert_allclose(outputs, DATA[f"{name}/outputs"], rtol=2e-5, atol=2e-6)


def test_a_module_tells_what_its_weights_do_not():
    silu, linear = type("SiLU", (), {})(), SimpleNamespace(in_features=5)
    inner = module("CfCCell", mode="no_gate", backbone=[linear, silu])
    cell = from_module(module("CfC", rnn_cell=inner, state_dict=lambda: params("CfC_silu")))
    assert (cell.mode, cell.activation.name, cell.dt) == ("no_gate", "silu", 1.0)
    inner = module("LTCCell", _implicit_param_constraints=True, _ode_unfolds=3, _epsilon=1e-6)
    source = module("LTC", rnn_cell=inner, state_dict=lambda: params("LTC"))
    cell = from_ncps(source, dt=0.5)
    assert (cell.unfolds, cell.epsilon, cell.dt) == (3, 1e-6, 0.5)
    np.testing.assert_allclose(cell.capacity, np.log1p(np.exp(params("LTC")["rnn_cell.cm"])), rtol=1e-12)
    with pytest.raises(ValueError, match=r"^constrained: .*True.*False"):
        from_ncps(source, constrained=False)
    names = {f"rnn.{name}": array for name, array in params("CfC").items()} | {"head.weight": np.ones((1, 3))}
    assert isinstance(from_ncps(names, prefix="rnn", mode="default", activation="tanh"), CfC)
    with pytest.raises(ValueError, match=r"^mode: "):
        from_module(names, prefix="rnn")
    with pytest.raises(ValueError, match=r'^source: .*head.weight.*from_ncps\(source, prefix="rnn."\)'):
        from_ncps(names, mode="default", activation="tanh")


def _without(name, key):
    return {k: v for k, v in params(name).items() if not k.endswith(key)}


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        (lambda: params("CfC"), {}, r"^mode: expected 'default' or .*'no_gate'"),
        (lambda: params("CfC"), {"mode": "default"}, r"^activation: expected 'lecun_tanh'"),
        (lambda: params("CfC_pure"), {"mode": "default"}, r"^mode: .*'pure'"),
        (lambda: params("CfC_wired"), TOLD["CfC"], r"^activation: .*without backbone"),
        (lambda: params("CfC"), {"constrained": True}, r"^constrained: .*CfC"),
        (lambda: params("LTC"), {}, r"^constrained: expected True or False"),
        (lambda: params("LTC"), {"mode": "default"}, r"^mode: .*LTC"),
        (lambda: _without("LTC", "sensory_mu"), TOLD["LTC"], r"^source: .*sensory_mu"),
        (lambda: _without("CfC", "time_a.bias"), TOLD["CfC"], r"^source: .*time_a.bias"),
        (lambda: _without("CfC_mixed", "map.bias"), TOLD["CfC"], r"^source: .*input_map.bias"),
        (lambda: params("LTC") | {"rnn_cell.cm": np.ones(4)}, TOLD["LTC"], r"^source: .*\(4,\)"),
        (lambda: params("CfC", "float16"), TOLD["CfC"], r"^source: .*float16"),
        (lambda: params("CfC"), {"prefix": "rnn"}, r"^prefix: .*'rnn.'"),
        (lambda: params("CfC"), {"prefix": 3}, r"^prefix: .*3"),
        (dict, {}, r"^prefix: "),
        (lambda: {"a": np.ones(3)}, {}, r"^source: .*'a'"),
        (lambda: 3, {}, r"^source: .*int"),
        (lambda: params("CfC"), TOLD["CfC"] | {"dt": 0.0}, r"^dt: "),
    ],
)
def test_errors_name_what_is_wrong(source, options, words):
    with pytest.raises((TypeError, ValueError), match=words):
        from_ncps(source(), **options)


def test_cells_refuse_what_does_not_fit():
    W, b = np.ones((12, 3)), np.ones(12)
    for call, words in [
        (lambda: CfC(np.ones((9, 3)), b), r"^W: .*\(12, 3\).*\(9, 3\)"),
        (lambda: CfC(W, b, mode="soft"), r"^mode: "),
        (lambda: CfC(W, b, mode="pure"), r"^pure: "),
        (lambda: CfC(W, b, upper=[(np.ones((12, 5)), b)]), r"^upper\[0\]\[0\]: .*\(12, 12\)"),
        (lambda: CfC(W, b, upper=[3]), r"^upper\[0\]: .*int"),
        (lambda: MixedMemory(np.ones(3), CfC(W, b)), r"^memory: .*ndarray"),
        (lambda: MixedMemory(CfC(W, b), CfC(W, b)), r"^memory: .* 6, .* 3"),
        (lambda: MixedMemory(CfC(W, b), ElmanRNN(np.eye(1), np.ones(1))), r"^memory: .* 2, .* 3"),
    ]:
        with pytest.raises((TypeError, ValueError), match=words):
            call()


def test_a_bare_ltc_is_a_semi_implicit_step():
    """One inner step of one unit without synapses: (q v + g v_leak)/(q + g + ε)."""
    zero, one = jnp.zeros((1, 1)), jnp.ones(1)
    cell = LTC(zero, zero, zero, zero, zero, zero, zero, zero, 2 * one, 3 * one, one, unfolds=1, dt=0.5)
    np.testing.assert_allclose(cell(one * 0.25), [(4 * 0.25 + 3) / (4 + 3 + 1e-8)], rtol=1e-6)
