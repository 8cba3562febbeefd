"""Bounds against 10⁴ random cells: states, Jacobians and products in NumPy, the bounds by the library."""

import math

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from rnn_dynamics.cells import ElmanRNN, LeakyRNN, PreActivationRNN
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.spectral.bounds import product_bounds

STEPS, BATCH = 12, 500


def bell(z):
    """e^(−|z|)/(1 + e^(−|z|))², which does not overflow."""
    tail = np.exp(-np.abs(z))
    return tail / (1 + tail) ** 2


SHAPES = {
    "logistic": (lambda z: (1 + np.tanh(z / 2)) / 2, bell),
    "tanh": (np.tanh, lambda z: 4 * bell(2 * z)),
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(float)),
    "leaky_relu": (lambda z: np.where(z > 0, z, 0.01 * z), lambda z: np.where(z > 0, 1.0, 0.01)),
    "linear": (lambda z: z, np.ones_like),
}
BUILD = {
    "elman": lambda W, b, leak, phi: ElmanRNN(W, b, activation=phi),
    "pre": lambda W, b, leak, phi: PreActivationRNN(W, b, activation=phi),
    "leaky": lambda W, b, leak, phi: LeakyRNN(W, b, leak=leak, activation=phi),
}


def jacobians(form, W, b, leak, x, phi):
    """J_1 … J_T of each network of a batch, from its closed form."""
    value, slope = SHAPES[phi]
    found = []
    for _ in range(STEPS):
        h = np.einsum("bij,bj->bi", W, x)
        if form == "pre":
            found.append(W * slope(x)[:, None, :])
            x = np.einsum("bij,bj->bi", W, value(x)) + b
        elif form == "elman":
            found.append(slope(h + b)[:, :, None] * W)
            x = value(h + b)
        else:
            a = leak[:, None]
            found.append(
                (1 - a)[:, :, None] * np.eye(W.shape[1]) + a[:, :, None] * slope(h + b)[:, :, None] * W
            )
            x = (1 - a) * x + a * value(h + b)
    return np.stack(found, axis=1)


def log_norms(J):
    """ln‖J_T ⋯ J_{k+1}‖₂ for k = 0 … T, the product rescaled at each step."""
    with np.errstate(divide="ignore"):
        product, exponent = np.broadcast_to(np.eye(J.shape[-1]), J[:, 0].shape), np.zeros(len(J))
        logs = [np.zeros(len(J))]
        for k in range(J.shape[1])[::-1]:
            product = product @ J[:, k]
            size = np.abs(product).max(axis=(1, 2))
            scale = np.where(size > 0, size, 1)
            product, exponent = product / scale[:, None, None], exponent + np.log(scale)
            logs.append(exponent + np.log(np.linalg.norm(product, 2, axis=(1, 2))))
    return np.stack(logs[::-1], axis=1)


def networks(seed, n):
    """Weights over four decades, some sparse, some triangular; biases, leaks, starts."""
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(BATCH, n, n)) * 10 ** rng.uniform(-2.5, 1.5, size=(BATCH, 1, 1))
    W *= rng.random((BATCH, n, n)) < rng.choice([1.0, 0.6, 0.3], size=(BATCH, 1, 1))
    W[::5] = np.triu(W[::5])
    b, x = rng.normal(size=(2, BATCH, n)) * 10 ** rng.uniform(-1, 1, size=(1, BATCH, 1))
    return W, b, 10 ** rng.uniform(-2, 0, size=BATCH), x


CELLS = {
    "seed": st.integers(0, 2**32 - 1),
    "n": st.sampled_from([1, 2, 3, 6]),
    "form": st.sampled_from(sorted(BUILD)),
    "phi": st.sampled_from(["logistic", "tanh", "relu", "leaky_relu", "linear"]),
}
OPTIONS = {"deadline": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=4, **OPTIONS)
@given(**CELLS)
def test_theorems_hold_on_two_thousand_cells(seed, n, form, phi):
    theorems_hold(seed, n, form, phi)


@pytest.mark.soak
@settings(max_examples=20, **OPTIONS)
@given(**CELLS)
def test_theorems_hold_on_ten_thousand_cells(seed, n, form, phi):
    theorems_hold(seed, n, form, phi)


def theorems_hold(seed, n, form, phi):
    """Every theorem about the norms holds on 500 cells."""
    W, b, leak, x = networks(seed, n)
    norms = log_norms(jacobians(form, W, b, leak, x, phi))
    finite = np.isfinite(norms).all(axis=1)

    def bounds_of(W, b, leak, x):
        found = product_bounds(rollout(BUILD[form](W, b, leak, phi), x, steps=STEPS))
        return {
            "above": (found.log_steps, found.log_norm_bound, found.log_absolute),
            "below": (found.log_volume, found.log_smallest),
            "norms": found.log_norms,
        }

    found = jax.tree.map(np.asarray, jax.jit(jax.vmap(bounds_of))(W, b, leak, x))
    rounding = 1e-9 + 1e-11 * np.abs(np.where(np.isneginf(norms), 0, norms))
    # Where the product falls far below its factors, both norms are its rounding: relative to Π‖J_i‖.
    lost = norms < found["above"][0] + math.log(1e-13)
    for bound in found["above"]:
        assert not np.isnan(bound[finite]).any()
        assert (norms <= bound + rounding)[finite].all()
    for bound in found["below"]:
        assert ((bound <= norms + rounding) | lost)[finite].all()
    close = np.isclose(found["norms"], norms, rtol=1e-7, atol=1e-7) | lost
    assert close[finite].all()


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.soak) for seed in (1, 2, 3))])
def test_scaled_bounds_and_joint_radii_hold_and_the_claim_does_not(seed):
    """The host's searches on some of the same cells; the spectral radius is passed by a good part of them."""
    passed = total = 0
    for n, form, phi in ((2, "elman", "tanh"), (3, "leaky", "logistic"), (3, "pre", "linear")):
        W, b, leak, x = networks(seed, n)
        norms = log_norms(jacobians(form, W, b, leak, x, phi))
        for i in range(0, BATCH, 64):
            found = product_bounds(rollout(BUILD[form](W[i], b[i], leak[i], phi), x[i], steps=STEPS))
            for entry in found.entries():
                assert entry.name == "radius" or not entry.violated.any(), entry
            assert (norms[i] <= found["scaled"].log + 1e-9).all()
            passed, total = passed + bool(found["radius"].violated.any()), total + 1
            joint = found.joint_radius(low=1.0 if phi == "linear" else 0.0, budget=300)
            assert joint.lower <= joint.upper
            assert joint.upper <= math.exp(found["norm"].log[-2]) * (1 + 1e-9)
            if "vanishes" in (found["norm"].conclusive, found["scaled"].conclusive):
                assert joint.lower < 1
    assert passed > total / 4
