"""Legendre memories and reservoirs as cells, as their packages ran them (make_lmu.py, make_reservoirpy.py)."""

from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import scipy.signal
from scipy.sparse import csr_array

from rnn_dynamics.cells import LMU, ElmanRNN, LeakyRNN
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.gradients.jacobians import jacobian_product
from rnn_dynamics.interop import from_keras_lmu, from_module, from_reservoirpy
from tests.files.packed import read

FILES = Path(__file__).parent / "files"
DATA = {name: read(FILES / f"{name}.npz") for name in ("lmu", "reservoirpy")}


def of_class(module, name, **attributes):
    return type(name, (SimpleNamespace,), {"__module__": module})(**attributes)


def lmu(name):
    """The cell as its attributes are."""
    data = DATA["lmu"]
    w = [data[f"{name}/params/{i}"] for i in range(sum(key.startswith(f"{name}/params/") for key in data))]
    told = {"A": data[f"{name}/A"], "B": data[f"{name}/B"], "kernel": w[0], "bias": None}
    told |= {
        "recurrent_kernel": None,
        "input_to_hidden": False,
        "hidden_to_memory": True,
        "discretizer": "zoh",
    }
    told |= {"trainable_theta": False, "memory_d": 1, "order": 3}

    def keras(kind, weights, **more):
        return of_class("keras", kind, get_weights=lambda: weights, activation=jax.nn.tanh, **more)

    changes = {
        "linear": lambda: {"hidden_cell": None, "order": 4, "hidden_to_memory": False},
        "simple": lambda: {
            "memory_d": 2,
            "bias": w[1],
            "recurrent_kernel": w[2],
            "input_to_hidden": True,
            "hidden_cell": keras("SimpleRNNCell", w[3:]),
        },
        "lstm": lambda: {
            "hidden_cell": keras("LSTMCell", w[1:], recurrent_activation=jax.nn.sigmoid),
        },
        "dense": lambda: {
            "discretizer": "euler",
            "trainable_theta": True,
            "theta_inv": w[1],
            "hidden_cell": of_class("keras", "Dense", kernel=w[2], bias=w[3], activation=jax.nn.relu),
        },
    }
    return of_class("keras_lmu", "LMUCell", **(told | changes[name]()))


def test_a_feedback_from_the_readout_is_in_the_map():
    """An ESN of reservoirpy 0.4.2: its reservoir takes [u, y] with y = W_outᵀ x + b_out of the state before."""
    draws = np.random.default_rng(0)
    inner = reservoir(Win=draws.normal(size=(6, 3)), lr=0.4)
    readout = SimpleNamespace(Wout=draws.normal(size=(6, 2)), bias=draws.normal(size=2))
    model = of_class("reservoirpy.esn", "ESN", reservoir=inner, readout=readout, feedback=True)
    x, u, W = draws.normal(size=6), draws.normal(size=1), inner.W
    W = W.toarray() if hasattr(W, "toarray") else W
    y = readout.Wout.T.dot(x) + readout.bias
    driven = W.dot(x) + inner.Win.dot(np.concatenate([u, y])) + np.ravel(inner.bias)
    np.testing.assert_allclose(from_module(model)(x, u), 0.6 * x + 0.4 * np.tanh(driven), rtol=1e-6)
    for changes in ({"input_to_readout": True}, {"readout": SimpleNamespace(Wout=None)}):
        other = of_class("reservoirpy.esn", "ESN", **(vars(model) | changes))
        with pytest.raises(ValueError, match=r"^source: .*from_reservoirpy\(source.reservoir\) is"):
            from_reservoirpy(other)
        assert from_reservoirpy(other.reservoir).W_in.shape == (6, 3)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=() if n == "simple" else pytest.mark.soak)
        for n in ("linear", "simple", "lstm", "dense")
    ],
)
def test_states_and_jacobians_are_keras_lmus(name):
    data = DATA["lmu"]
    cell = from_module(of_class("keras_lmu", "LMU", layer=SimpleNamespace(cell=lmu(name))))
    assert type(cell) is LMU
    run = rollout(cell, data[f"{name}/x0"], data["inputs"])
    np.testing.assert_allclose(run.final, data[f"{name}/last"], rtol=1e-10, atol=1e-12)
    truth = data[f"{name}/jacobian"]
    found = jacobian_product(run).to_float()
    np.testing.assert_allclose(found, truth, rtol=1e-9, atol=1e-11 * np.abs(truth).max())


@pytest.mark.parametrize("order", [1, 4, 9])
def test_the_memory_is_that_of_held_inputs(order):
    """Against SciPy's discretisation, with A written out: (2i+1)/θ · (−1 if i < j else (−1)^(i−j+1))."""
    theta = 7.0
    A = [
        [(2 * i + 1) / theta * (-1 if i < j else (-1) ** (i - j + 1)) for j in range(order)]
        for i in range(order)
    ]
    B = [[(2 * i + 1) / theta * (-1) ** i] for i in range(order)]
    system = (np.array(A), np.array(B), np.eye(order), np.zeros((order, 1)))
    expected = scipy.signal.cont2discrete(system, 1.0, method="zoh")
    found = LMU.memory(order, theta)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(found[1], expected[1][:, 0], rtol=1e-10, atol=1e-13)
    euler = LMU.memory(order, theta, method="euler")
    np.testing.assert_allclose(euler[0], np.eye(order) + np.array(A), rtol=1e-12)


def test_the_memory_of_four_coefficients_is_the_published_one():
    """exp(A)₀₀ = 0.894 for θ = 10 (keras-lmu 0.9.0); Euler's is 0.9."""
    assert abs(LMU.memory(4, 10.0)[0][0, 0] - 0.894) < 5e-4
    assert LMU.memory(4, 10.0, method="euler")[0][0, 0] == 0.9


def reservoir(name="tanh", **more):
    data = DATA["reservoirpy"]
    function = SimpleNamespace(__name__=name, __module__="reservoirpy.activationsfunc")
    told = {"W": csr_array(data[f"{name}/W"]), "Win": csr_array(data[f"{name}/Win"]), "activation": function}
    told |= {"lr": {"tanh": 0.3, "relu": 0.5}.get(name, 1.0), "bias": 0.25 if name == "sigmoid" else 0.0}
    return of_class("reservoirpy.nodes", "Reservoir", **(told | more))


@pytest.mark.parametrize(
    ("name", "cls"),
    [("tanh", LeakyRNN), pytest.param("sigmoid", ElmanRNN, marks=pytest.mark.soak), ("relu", LeakyRNN)],
)
def test_states_are_reservoirpys(name, cls):
    cell = from_module(reservoir(name))
    assert type(cell) is cls
    states = rollout(cell, None, DATA["reservoirpy"]["inputs"]).states
    np.testing.assert_allclose(states[5::5], DATA["reservoirpy"][f"{name}/states"], rtol=1e-12, atol=1e-14)


def unbuilt():
    found = lmu("linear")
    found.A = None
    return found


def with_dense(name):
    found = lmu("dense")
    found.hidden_cell.activation = SimpleNamespace(__name__=name)
    return found


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: from_reservoirpy(reservoir(W=lambda *a: 1)), r"^source: .*its W: .*initialize"),
        (lambda: from_reservoirpy(reservoir(lr=np.array([0.1, 0.2]))), r"^source: .*one leak"),
        (lambda: from_reservoirpy(reservoir(noise_rc=0.1)), r"^source: .*noise_rc 0, got 0.1"),
        (lambda: from_reservoirpy(reservoir(equation="external")), r"^source: .*'internal'"),
        (lambda: from_reservoirpy(reservoir(has_feedback=True)), r"^source: .*feedback"),
        (lambda: from_reservoirpy(reservoir(activation=np.sin)), r"^source: .*numpy.sin"),
        (lambda: from_reservoirpy(reservoir(bias=np.zeros(3))), r"^source: .*bias.*\(6,\)"),
        (lambda: from_reservoirpy(reservoir(Win=np.zeros((3, 2)))), r"^source: .*Win"),
        (lambda: from_reservoirpy(of_class("reservoirpy", "ES2N")), r"^source: .*Reservoir.*ES2N"),
        (lambda: from_keras_lmu(3), r"^source: .*LMUCell.*int"),
        (lambda: from_keras_lmu(unbuilt()), r"^source: .*not built"),
        (lambda: from_keras_lmu(with_dense("gelu")), r"^source: .*Dense.*'gelu'"),
        (lambda: LMU.memory(0, 1.0), r"^order: "),
        (lambda: LMU.memory(3, 0.0), r"^theta: "),
        (lambda: LMU.memory(3, 1.0, method="tustin"), r"^method: "),
        (lambda: LMU(np.eye(3), np.ones(2), np.ones((1, 2)), np.ones(1)), r"^B: .*\(3,\)"),
        (lambda: LMU(np.eye(1), np.ones(1), np.ones((1, 2)), np.ones(1), np.ones((1, 1))), r"^W_hidden: "),
        (lambda: LMU(np.eye(1), np.ones(1), np.ones((1, 2)), np.ones(1), hidden=3), r"^hidden: .*int"),
    ],
)
def test_errors_name_what_is_wrong(call, words):
    with pytest.raises((TypeError, ValueError), match=words):
        call()
