"""Neurons of snnTorch and norse as cells, as those ran and differentiated them (files/make_spiking.py)."""

import types
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnn_dynamics.cells import SpikingLeaky, SpikingLIF, activations
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.gradients.jacobians import jacobian_product
from rnn_dynamics.interop import from_module, from_norse, from_snntorch
from tests.files.packed import read

DATA = read(Path(__file__).parent / "files" / "spiking.npz")
EVERY_DAY = ("RSynaptic", "LSNNRecurrentCell")
SURROGATES = {
    "Leaky_at_once": ("fast_sigmoid", "slope", 4),
    "RLeaky_zero": ("sigmoid", "slope", 2),
    "RLeaky_one": ("triangular", "threshold", 0.5),
    "RSynaptic": ("straight_through_estimator", None, None),
    "RSynaptic_zero": ("heaviside", None, None),
}
METHODS = {
    "LIFRecurrent_erfc": "heavi_erfc",
    "LIFCell_tanh": "tanh",
    "LIF_circ": "circ",
    "LSNNCell_triangle": "triangle",
}


def params(name):
    start = f"{name}/params/"
    return {k.removeprefix(start): v for k, v in DATA.items() if k.startswith(start)}


def of_class(package, name, **attributes):
    return type(name, (SimpleNamespace,), {"__module__": f"{package}.neurons"})(**attributes)


def spike_grad(maker="atan", variable="alpha", slope=2.0, module="snntorch.surrogate"):
    """A function whose name and closure are those that the maker of that surrogate gives."""

    def inner(x):
        return slope

    function = inner
    if variable is not None:
        function = types.FunctionType(
            inner.__code__.replace(co_freevars=(variable,)), {}, "inner", None, inner.__closure__
        )
    function.__qualname__, function.__module__ = f"{maker}.<locals>.inner", module
    return function


def of_snntorch(name, **more):
    kind, _, _ = name.partition("_")
    found = params(name)
    recurrent = {k.removeprefix("recurrent."): v for k, v in found.items() if k.startswith("recurrent.")}
    attributes = {k: v for k, v in found.items() if "." not in k}
    attributes |= {"recurrent": SimpleNamespace(**recurrent)} if recurrent else {}
    attributes |= {
        "reset_mechanism": next((r for r in ("zero", "none") if r in name), "subtract"),
        "reset_delay": "at_once" not in name,
        "spike_grad": spike_grad(*SURROGATES.get(name, ())),
    }
    return of_class("snntorch", kind, **(attributes | more))


def test_a_step_of_ones_own_is_refused():
    for made, read_by in ((of_snntorch("Leaky_at_once"), from_snntorch), (of_norse("LIF_circ"), from_norse)):
        mine = type("Mine", (type(made),), {"__module__": "mine", "forward": lambda self, x: x})(**vars(made))
        with pytest.raises(
            ValueError, match=r"^source: expected a step of \w+, got Mine, which has a forward"
        ):
            read_by(mine, units=3)


def of_norse(name, **more):
    found = params(name)
    weights = {k: found.pop(k) for k in ("input_weights", "recurrent_weights") if k in found}
    del found["given"]
    method = METHODS.get(name, "super")
    p = SimpleNamespace(**(found | {"method": method} | more))
    return of_class("norse", name.partition("_")[0], p=p, dt=0.001, activation=lambda: None, **weights)


def in_double(cell):
    return jax.tree_util.tree_map(lambda leaf: leaf.astype(jnp.float64), cell)


def check(name, read_as, inputs, tolerance):
    """The last state of the map and of the surrogate, and that one's Jacobian of all steps."""
    for surrogate in (False, True):
        run = rollout(in_double(read_as(surrogate)), DATA[f"{name}/x0"], inputs)
        np.testing.assert_allclose(run.final, DATA[f"{name}/last"], rtol=1e-12, atol=1e-12)
    truth = DATA[f"{name}/jacobian"]
    found = jacobian_product(run).to_float()
    np.testing.assert_allclose(found, truth, rtol=tolerance, atol=tolerance * max(np.abs(truth).max(), 1e-3))


def soak_but(names):
    return [pytest.param(n, marks=() if n in EVERY_DAY else pytest.mark.soak) for n in names]


@pytest.mark.parametrize(
    "name",
    soak_but(
        [
            *("Leaky", "Leaky_zero", "Leaky_none", "Leaky_at_once", "Leaky_zero_at_once", "Synaptic"),
            *("Synaptic_zero", "RLeaky", "RLeaky_zero", "RLeaky_one", "RSynaptic", "RSynaptic_zero"),
        ]
    ),
)
def test_states_and_surrogates_are_snntorchs(name):
    """Its spikes are float32, so that its gradients are known to as many digits."""
    check(name, lambda surrogate: from_module_or(name, surrogate), DATA["inputs"], 1e-6)


def from_module_or(name, surrogate):
    source = of_snntorch(name)
    return from_snntorch(source, surrogate=True) if surrogate else from_module(source)


@pytest.mark.parametrize("name", soak_but(["LIFRecurrentCell", "LSNNRecurrentCell", *METHODS]))
def test_states_and_surrogates_are_norses(name):
    units = None if "Recurrent" in name else 3
    tolerance = 1e-6 if "erfc" in name else 1e-9  # its √π is float32

    def read_as(surrogate):
        return from_norse(of_norse(name), surrogate=surrogate, units=units)

    check(name, read_as, params(name)["given"], tolerance)


def test_the_maps_own_derivative_is_the_leak():
    """Two LIF neurons, no spike: ∂(v, i)/∂(v, i) over 20 steps has the eigenvalues 0.9²⁰ and 0.8²⁰."""
    cell = SpikingLIF(None, np.zeros(2), np.eye(2))
    run = rollout(cell, np.full(4, 0.1), np.zeros((20, 2)))
    product = jacobian_product(run).to_float()
    np.testing.assert_allclose(
        np.sort(np.linalg.eigvals(product).real), [0.8**20] * 2 + [0.9**20] * 2, rtol=1e-9
    )


@pytest.mark.parametrize(
    ("kind", "slope", "z", "expected"),
    [
        ("none", 1.0, 0.3, 0.0),
        ("atan", 2.0, 0.5, 1 / (1 + np.pi**2 / 4)),
        ("fast_sigmoid", 25.0, -0.2, 1 / 36),
        ("sigmoid", 2.0, 0.0, 0.5),
        ("tanh", 3.0, 0.4, 1 / np.cosh(1.2) ** 2),
        ("erfc", 2.0, 0.5, 2 / np.sqrt(np.pi) / np.e),
        ("triangle", 0.3, 0.5, 0.15),
        ("circ", 0.5, 0.5, 0.5**1.5),
        ("straight_through", 1.0, 7.0, 1.0),
        ("on", 1.0, -0.1, 0.0),
        ("turned", 0.5, 0.1, -0.5),
    ],
)
def test_a_step_has_the_derivative_that_it_says(kind, slope, z, expected):
    step = activations.spike(kind, slope)
    np.testing.assert_allclose(jax.grad(step)(jnp.asarray(z)), expected, rtol=1e-6)
    np.testing.assert_allclose(step.slope(jnp.asarray(z)), expected, rtol=1e-6)
    assert float(step(jnp.asarray(z))) == (z > 0)
    assert activations.Activation.of_name(step.kept_name()) == step


def test_a_linear_layer_gives_the_currents():
    source = of_class("snntorch", "Leaky", beta=np.float64(0.5), threshold=np.float64(1), inhibition=False)
    source.reset_mechanism, source.spike_grad = "subtract", spike_grad()
    layer = SimpleNamespace(weight=np.ones((3, 2)), bias=np.full(3, 0.25))
    cell = from_snntorch(source, inputs=layer)
    np.testing.assert_allclose(cell(jnp.zeros(3), np.array([1.0, 0.5])), [1.75] * 3)
    assert from_snntorch(source, units=4).W_in.shape == (4, 4)
    assert from_snntorch(source, inputs=(np.ones((3, 2)), None)).b.shape == (3,)
    bypass = spike_grad("SpikingNeuron._surrogate_bypass", None)
    bypass.__qualname__ = "SpikingNeuron._surrogate_bypass"
    source.spike_grad = bypass
    assert from_snntorch(source, units=4, surrogate=True).spike.name == "spike"


def _leaky(**more):
    return of_snntorch("Leaky", **more)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: from_snntorch(of_class("snntorch", "SLSTM", beta=1)), r"^source: .*RSynaptic.*SLSTM"),
        (lambda: from_snntorch(3), r"^source: .*int"),
        (lambda: from_snntorch(_leaky(inhibition=True)), r"^source: .*inhibition"),
        (lambda: from_snntorch(_leaky(state_quant=print)), r"^source: .*state_quant"),
        (lambda: from_snntorch(_leaky(beta=np.float64(0.5))), r"^units: "),
        (lambda: from_snntorch(_leaky(), units=4), r"^units: .*3.*4"),
        (lambda: from_snntorch(_leaky(), units=0), r"^units: "),
        (lambda: from_snntorch(_leaky(), surrogate=1), r"^surrogate: "),
        (lambda: from_snntorch(_leaky(), inputs=3), r"^inputs: .*int"),
        (lambda: from_snntorch(_leaky(), inputs=(np.ones((4, 2)), None)), r"^source: .*\(4, 2\)"),
        (
            lambda: from_snntorch(_leaky(spike_grad=spike_grad(maker="spike_rate_escape"))),
            r"^source: .*spike_grad of snntorch.surrogate.*spike_rate_escape",
        ),
        (lambda: from_snntorch(_leaky(spike_grad=spike_grad(module="mine"))), r"^source: .*spike_grad"),
        (lambda: from_snntorch(of_snntorch("RLeaky", graded_spikes_factor=2.0)), r"^source: .*graded"),
        (lambda: from_norse(of_norse("LIFCell_tanh")), r"^units: "),
        (lambda: from_norse(of_norse("LIFRecurrentCell", method="adjoint")), r"^source: .*adjoint"),
        (lambda: from_norse(of_norse("LIFRecurrentCell", method="logistic")), r"^source: .*'logistic'"),
        (lambda: from_norse(of_norse("LIFRecurrentCell"), inputs=(np.ones((3, 2)), None)), r"^inputs: "),
        (lambda: from_norse(of_class("norse", "LIFBox", p=1)), r"^source: .*LIFBox"),
        (lambda: SpikingLeaky(None, np.zeros(2), reset="half"), r"^reset: .*zero_before"),
        (lambda: SpikingLeaky(None, np.zeros(2), decay=np.ones(3)), r"^decay: .*\(2,\)"),
        (lambda: SpikingLIF(None, np.zeros(2), dt=0.0), r"^dt: "),
        (lambda: SpikingLIF(np.eye(3), np.zeros(2)), r"^b: "),
        (lambda: activations.spike("soft"), r"^kind: "),
        (lambda: activations.spike("atan", np.inf), r"^slope: "),
        (lambda: activations.spike("atan", "2"), r"^slope: "),
    ],
)
def test_errors_name_what_is_wrong(call, words):
    with pytest.raises((TypeError, ValueError), match=words):
        call()


def test_an_lstm_of_spikes_is_refused_with_what_lies_in_it():
    for more, words in (
        ({"lstm_cell": object()}, r"SLSTM: .*from_torch\(source\.lstm_cell\)"),
        ({}, "SLSTM$"),
    ):
        with pytest.raises(TypeError, match=rf"^source: expected snnTorch .*got {words}"):
            from_snntorch(of_class("snntorch", "SLSTM", **more))
