"""The judges of training, judged: gradients written by hand against central differences."""

import numpy as np
import pytest

from tests.oracles import training as oracle

SEED = 20130217


def batch_of_classes(seed=3, *, batch=3, steps=7, width=2, outputs=3, readings=2):
    """Random inputs, the last step and an earlier one read, and labels."""
    draw = np.random.default_rng(seed)
    inputs = draw.standard_normal((batch, steps, width))
    at = np.array([[steps - 1 - i - 2 * r for r in range(readings)] for i in range(batch)])
    return inputs, at, draw.integers(0, outputs, (batch, readings))


def gated(seed, n=3, width=2, *, outside):
    draw = np.random.default_rng(seed)
    shapes = [(n, n)] * 3 + [(n, width)] * 3 + [(n,)] * 4
    return oracle.Gated(*(draw.standard_normal(shape) for shape in shapes), outside=outside)


@pytest.mark.parametrize("activation", ["tanh", "logistic"])
def test_backpropagation_is_the_slope_of_the_mean_loss(activation):
    network = oracle.random_elman(SEED, units=4, width=2, outputs=3, activation=activation)
    inputs, at, targets = batch_of_classes()
    found = oracle.propagated_back(network, inputs, at, targets)
    names = ("W", "W_in", "b", "V", "c")
    assert found.loss == pytest.approx(oracle.mean_loss(network, inputs, at, targets), rel=1e-14)
    for name, gradient in zip(names, found.parameters(), strict=True):
        fields = {part: getattr(network, part) for part in names} | {"activation": activation}

        def loss(value, name=name, fields=fields):
            return oracle.mean_loss(oracle.Elman(**(fields | {name: value})), inputs, at, targets)

        np.testing.assert_allclose(
            gradient, oracle.finite_differences(loss, fields[name]), rtol=1e-6, atol=1e-9
        )


def test_squared_errors_are_propagated_back_too():
    network = oracle.random_elman(SEED, units=3, width=2, outputs=2)
    inputs, at, _ = batch_of_classes(readings=1)
    targets = np.random.default_rng(1).standard_normal((3, 1, 2))
    found = oracle.propagated_back(network, inputs, at, targets, "values")

    def loss(W):
        moved = oracle.Elman(W, network.W_in, network.b, network.V, network.c)
        return oracle.mean_loss(moved, inputs, at, targets, "values")

    np.testing.assert_allclose(found.W, oracle.finite_differences(loss, network.W), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("power", [1, 2])
def test_the_immediate_gradient_of_omega_is_its_slope_in_w_with_the_run_held(power):
    network = oracle.random_elman(SEED, units=4, width=2, outputs=3)
    run = oracle.propagated_back(network, *batch_of_classes())
    slope = oracle.finite_differences(lambda W: oracle.omega(W, run.slopes, run.dz, power), network.W)
    np.testing.assert_allclose(
        oracle.omega_gradient(network.W, run.slopes, run.dz, power), slope, rtol=1e-6, atol=1e-8
    )


def test_omega_of_an_orthogonal_linear_map_is_zero_and_of_half_of_it_is_known():
    draw = np.random.default_rng(5)
    Q = np.linalg.qr(draw.standard_normal((4, 4)))[0]
    slopes, dz = np.ones((3, 6, 4)), draw.standard_normal((3, 6, 4))
    assert oracle.omega(Q, slopes, dz, 1) == pytest.approx(0, abs=1e-28)
    assert oracle.omega(0.5 * Q, slopes, dz, 1) == pytest.approx(5 * 0.25, rel=1e-14)
    assert oracle.omega(0.5 * Q, slopes, dz, 2) == pytest.approx(5 * 0.75**2, rel=1e-14)


@pytest.mark.parametrize("kind", ["leaky", "outside", "inside"])
def test_jacobians_written_out_are_slopes_of_the_step(kind):
    draw = np.random.default_rng(8)
    if kind == "leaky":
        cell = oracle.Leaky(*(draw.standard_normal(s) for s in [(3, 3), (3, 2), (3,)]), alpha=0.3)
    else:
        cell = gated(8, outside=kind == "outside")
    x, u = draw.standard_normal(3), draw.standard_normal(2)
    for row in range(3):
        slope = oracle.finite_differences(lambda x, row=row: cell.step(x, u)[row], x)
        np.testing.assert_allclose(cell.jacobian(x, u)[row], slope, rtol=1e-7, atol=1e-9)


def test_exponents_by_qr_are_those_of_the_product_where_it_can_be_formed():
    draw = np.random.default_rng(9)
    jacobians = draw.standard_normal((6, 3, 3))
    product = np.linalg.multi_dot(jacobians[::-1])
    exponents = oracle.exponents_by_qr(jacobians, 3)
    assert exponents.sum() == pytest.approx(np.log(abs(np.linalg.det(product))) / 6, rel=1e-12)
    assert exponents[0] == pytest.approx(np.log(np.linalg.norm(product[:, 0])) / 6, rel=1e-12)
