"""The oracles against closed forms, against each other and against mpmath run step by step."""

import math

import mpmath
import numpy as np
import pytest

from tests.oracles import cliff, neuron, products

TIGHT = mpmath.mpf(10) ** -48


def close(value: mpmath.mpf, truth: mpmath.mpf, tolerance: mpmath.mpf = TIGHT) -> bool:
    """|value − truth| ≤ tolerance · max(|truth|, tiny), at 120 digits."""
    with mpmath.workdps(120):
        return abs(mpmath.mpf(value) - truth) <= tolerance * max(
            abs(mpmath.mpf(truth)), mpmath.mpf("1e-9999")
        )


def step_by_step(w: float, b: float, x0: float, steps: int, epsilon: float, digits: int) -> list[mpmath.mpf]:
    """x_T, ∂x_T/∂x_0, ∂x_T/∂w, ∂x_T/∂b by the recurrences in mpmath at a fixed precision."""
    with mpmath.workdps(digits):
        w, b, x, epsilon = (mpmath.mpf(value) for value in (w, b, x0, epsilon))
        dx0, dw, db = mpmath.mpf(1), mpmath.mpf(0), mpmath.mpf(0)
        for _ in range(steps):
            value = 1 / (1 + mpmath.exp(-(w * x + b)))
            slope = epsilon * value / (1 + mpmath.exp(w * x + b))
            along = 1 - epsilon + w * slope
            dx0, dw, db = along * dx0, along * dw + slope * x, along * db + slope
            x = (1 - epsilon) * x + epsilon * value
        return [x, dx0, dw, db]


@pytest.mark.parametrize(
    ("w", "b", "x0", "steps", "epsilon"),
    [
        (5.0, -2.5, 0.4999, 60, 1.0),
        (5.0, -2.5, 0.3, 80, 0.25),
        (4.0, -2.0, 0.3, 200, 1.0),
        (-8.0, 4.1, 0.3, 100, 1.0),
        (50.0, -20.0, 0.9, 20, 0.5),
        (1000.0, -500.1, 0.3, 5, 1.0),
        (-100.0, 90.0, 0.3, 300, 0.5),
        (3.0, 1.0, -2.0, 7, 1.0),
    ],
)
def test_sensitivities_agree_with_mpmath_step_by_step(w, b, x0, steps, epsilon):
    found = neuron.sensitivities(w, b, x0, steps, epsilon)
    truth = step_by_step(w, b, x0, steps, epsilon, 3000 if w == 1000.0 else 400)
    for value, expected in zip((found.x, found.dx0, found.dw, found.db), truth, strict=True):
        assert close(value, expected)
    with mpmath.workdps(80):
        assert close(found.ln_dx0, mpmath.log(abs(truth[1])))
    assert found.sign_dx0 == mpmath.sign(truth[1])


def test_sensitivities_on_the_repeller_are_powers():
    for epsilon in (1.0, 0.5):
        end = neuron.sensitivities(5.0, -2.5, 0.5, 10_000, epsilon)
        with mpmath.workdps(80):
            power = (1 + mpmath.mpf(epsilon) / 4) ** 10_000
            assert end.x == 0.5
            assert close(end.dx0, power)
            assert close(end.db, power - 1)
            assert close(end.dw, (power - 1) / 2)


def test_sensitivities_at_the_ends():
    start = neuron.sensitivities(5.0, -2.5, 0.3, 0)
    assert (start.x, start.dx0, start.dw, start.db) == (0.3, 1, 0, 0)
    flat = neuron.sensitivities(0.0, 1.0, 0.3, 3)
    assert flat.dx0 == 0
    assert flat.sign_dx0 == 0
    assert flat.ln_dx0 == mpmath.mpf("-inf")
    assert neuron.sensitivities(np.float32(5), np.float32(-2.5), np.float32(0.1), 3).x == neuron.orbit(
        5.0, -2.5, float(np.float32(0.1)), 3
    )


def test_long_chaotic_orbit_is_carried():
    end = neuron.sensitivities(-100.0, 90.0, 0.3, 10_000, 0.5)
    assert end.ln_dx0 / 10_000 == pytest.approx(0.42, abs=0.01)


def test_inputs_enter_each_step():
    x = 0.2
    for u in (1.0, -3.0, 0.5):
        x = 0.75 * x + 0.25 * (1 / (1 + math.exp(-(5 * x - 2.5))) + 2.0 * u)
    assert float(neuron.orbit(5.0, -2.5, 0.2, 3, 0.25, [1.0, -3.0, 0.5], w_in=2.0)) == pytest.approx(
        x, rel=1e-14
    )
    with pytest.raises(ValueError, match="inputs"):
        neuron.orbit(5.0, -2.5, 0.2, 3, inputs=[1.0])


def test_doya_and_pascanu_neurons_are_conjugate():
    z0 = 5.0 * 0.25 - 2.5
    pascanu = neuron.sensitivities(5.0, -2.5, z0, 40, model="pascanu")
    doya = neuron.sensitivities(5.0, -2.5, 0.25, 40)
    with mpmath.workdps(80):
        assert close(pascanu.x, 5 * doya.x - 2.5)
        assert close(pascanu.dx0, doya.dx0)
        assert close(pascanu.db, 5 * doya.db + 1 - doya.dx0)  # z_0 is held, x_0 is not


def test_derivatives_of_the_activations():
    for z in (-800.0, -40.0, -1.0, 0.0, 1e-9, 3.0, 37.5, 800.0):
        with mpmath.workdps(1000):
            assert close(neuron.sigmoid_derivative(z), 1 / (4 * mpmath.cosh(mpmath.mpf(z) / 2) ** 2))
            assert close(neuron.tanh_derivative(z), 1 / mpmath.cosh(z) ** 2)


def test_equilibria_solve_their_equation_and_count():
    for w, b, count in [
        (5, -2.5, 3),
        (5, -2.7, 1),
        (4, -2, 1),
        (-30, 10, 1),
        (1000, -500, 3),
        (0, 1, 1),
        (4.5, -2.1, 1),
    ]:
        points = neuron.relative_equilibria(w, b)
        assert len(points) == count
        with mpmath.workdps(1000):
            for point in points:
                decay = mpmath.exp(-(w * point.x + b))
                assert close(1 / (1 + decay), point.x, mpmath.mpf(10) ** -45)
                assert abs(point.z - (w * point.x + b)) < 1e-45
        assert [float(point.x) for point in points] == sorted(float(point.x) for point in points)


def test_events_have_their_multiplier():
    with mpmath.workdps(70):
        for x, b in neuron.folds(4.0001) + neuron.folds(5) + neuron.folds(900):
            w = 1 / (x * (1 - x))
            assert close(b, mpmath.log(x / (1 - x)) - w * x)
        for epsilon in (1.0, 0.5, 0.1):
            for x, b in neuron.flips(-90, epsilon):
                assert abs(1 - mpmath.mpf(epsilon) * (1 + 90 * x * (1 - x)) + 1) < 1e-55
                assert close(b, mpmath.log(x / (1 - x)) + 90 * x)
        (_, upper), (_, lower) = neuron.folds(7)
        assert close(neuron.fold_window(7), upper - lower)
        w, b, x = neuron.cusp()
        assert max(abs(w - 4), abs(b + 2), abs(x - 0.5)) < 1e-50
    with pytest.raises(ValueError, match="w"):
        neuron.folds(3.9)


@pytest.mark.parametrize("epsilon", [1.0, 0.3])
def test_basins_agree_with_iteration(epsilon):
    rng = np.random.default_rng(3)
    labels = []
    for _ in range(60):
        w = rng.uniform(4.2, 40.0)
        middle, width = -w / 2, float(neuron.fold_window(w))
        b = middle + rng.uniform(-0.6, 0.6) * width
        centre = neuron.relative_equilibria(w, b)
        x0 = float(centre[1].x) if len(centre) == 3 else 0.5
        for start in (np.nextafter(x0, 0), np.nextafter(x0, 1), rng.uniform(-0.2, 1.2)):
            label = neuron.basin(w, b, start)
            labels.append(label)
            assert label == neuron.basin_by_iteration(w, b, start, epsilon)
    assert set(labels) == {"LOW", "HIGH", "ONLY"}


def test_basin_boundary_is_one_point():
    assert neuron.basin(5.0, -2.5, 0.5) == "BOUNDARY"
    assert neuron.basin(5.0, -2.5, np.nextafter(0.5, 0)) == "LOW"
    assert neuron.basin(5.0, -2.5, np.nextafter(0.5, 1)) == "HIGH"
    assert neuron.basin(5.0, np.nextafter(-2.5, 0), 0.5) == "HIGH"
    assert neuron.basin(4.0, -2.0, 0.5) == "ONLY"
    with pytest.raises(ValueError, match="w > 0"):
        neuron.basin(-1.0, 0.0, 0.5)


def test_two_cycle_is_one_and_attracts():
    for w, b in [(-8.0, 4.1), (-4.1, 2.05), (-30.0, 20.0)]:
        low, high = neuron.two_cycle(w, b)
        with mpmath.workdps(60):
            assert close(high, 1 / (1 + mpmath.exp(-(w * low + b))), mpmath.mpf(10) ** -45)
            assert close(low, 1 / (1 + mpmath.exp(-(w * high + b))), mpmath.mpf(10) ** -45)
        ends = sorted(neuron.orbit(w, b, 0.3, steps) for steps in (4000, 4001))
        assert float(abs(ends[0] - low) + abs(ends[1] - high)) < 1e-20
    assert neuron.two_cycle(-8.0, 20.0) is None


def test_losses_differentiate_themselves():
    for loss, at in [
        (lambda w, b: cliff.geometric_loss(b, 30, w), (5.0, -2.375)),
        (lambda w, b: cliff.pascanu_loss(w, b, 30), (6.0, -3.125)),
    ]:
        here = loss(*at)
        above, below = loss(at[0], at[1] + 2.0**-20), loss(at[0], at[1] - 2.0**-20)
        assert float((above.value - below.value) * 2**19) == pytest.approx(float(here.db), rel=1e-4)
        right, left = loss(at[0] + 2.0**-20, at[1]), loss(at[0] - 2.0**-20, at[1])
        assert float((right.value - left.value) * 2**19) == pytest.approx(float(here.dw), rel=1e-4)


@pytest.mark.parametrize("w", [6.0, -6.0])
@pytest.mark.parametrize("model", ["doya", "pascanu"])
def test_limits_at_the_wall_are_reached_by_long_orbits(w, model):
    limit = cliff.geometric_limit(w, 0.4) if model == "doya" else cliff.pascanu_limit(w, 0.4)
    for side, expected in ((-1, limit.below), (1, limit.above)):
        b = float(limit.b) + side * 1e-9
        end = cliff.geometric_loss(b, 600, w, 0.4) if model == "doya" else cliff.pascanu_loss(w, b, 600, 0.4)
        assert float(end.value) == pytest.approx(float(expected), rel=1e-3)


def test_limit_loss_follows_the_orbit():
    for b in (-2.45, -2.5, -2.51, -2.7, -1.0):
        end = cliff.geometric_loss(b, 3000)
        assert float(cliff.limit_loss(b)) == pytest.approx(float(end.value), rel=1e-12)


NETWORKS = {
    "elman": products.Network("elman", np.array([[1.2, -0.7], [0.9, 0.4]]), np.array([0.1, -0.2])),
    "preactivation": products.Network(
        "preactivation", 12.0 * np.array([[1.0, 1.0], [-1.0, -1.0]]), np.array([-9.0, 6.0]), "logistic"
    ),
    "leaky": products.Network("leaky", np.array([[3.0, -2.0], [2.5, 1.0]]), np.array([0.3, 0.0]), leak=0.25),
}


def mpmath_product(network: products.Network, x0: np.ndarray, steps: int, k: int) -> mpmath.matrix:
    """∂x_T/∂x_k by central differences of the map iterated in mpmath, at 300 digits with a step of 1e−100."""
    size = len(x0)

    def iterate(x: list[mpmath.mpf], count: int) -> list[mpmath.mpf]:
        def phi(z: mpmath.mpf) -> mpmath.mpf:
            return mpmath.tanh(z) if network.activation == "tanh" else 1 / (1 + mpmath.exp(-z))

        for _ in range(count):
            inner = [phi(z) for z in x] if network.kind == "preactivation" else x
            z = [
                sum(mpmath.mpf(network.W[i, j]) * inner[j] for j in range(size)) + mpmath.mpf(network.b[i])
                for i in range(size)
            ]
            leak = 1 if network.leak is None else mpmath.mpf(network.leak)
            x = (
                z
                if network.kind == "preactivation"
                else [(1 - leak) * x[i] + leak * phi(z[i]) for i in range(size)]
            )
        return x

    with mpmath.workdps(300):
        start, gap = iterate([mpmath.mpf(float(value)) for value in x0], k), mpmath.mpf(10) ** -100
        columns = []
        for j in range(size):
            ends = [
                iterate([value + side * gap * (i == j) for i, value in enumerate(start)], steps - k)
                for side in (1, -1)
            ]
            columns.append([(right - left) / (2 * gap) for right, left in zip(*ends, strict=True)])
        return mpmath.matrix(columns).T


@pytest.mark.parametrize("kind", NETWORKS)
def test_products_agree_with_differences_and_singular_values(kind):
    network, x0, steps, k = NETWORKS[kind], np.array([0.2, -0.1]), 30, 4
    truth = mpmath_product(network, x0, steps, k)
    product = products.jacobian_product(network, x0, steps, k)
    with mpmath.workdps(120):
        scale = max(abs(entry) for entry in truth)
        assert max(abs(entry) for entry in product - truth) < TIGHT * scale
        spectral = mpmath.log(max(mpmath.svd_r(truth, compute_uv=False)), 2)
        frobenius = mpmath.log(mpmath.norm(truth, 2), 2)
        assert abs(products.log2_norms(network, x0, steps, [k])[0] - spectral) < TIGHT * 100
        assert abs(products.log2_norms(network, x0, steps, [k], "fro")[0] - frobenius) < TIGHT * 100


def test_norms_of_long_and_of_vanished_products():
    ks = [0, 1, 1000, 1999, 2000]
    for network in NETWORKS.values():
        norms = products.log2_norms(network, np.array([0.2, -0.1]), 2000, ks)
        larger = products.log2_norms(network, np.array([0.2, -0.1]), 2000, ks, "fro")
        assert all(low <= high <= low + 0.5 + 1e-40 for low, high in zip(norms, larger, strict=True))
        assert abs(norms[-1]) < 1e-50
    shift = products.Network("elman", np.array([[0.0, 1.0], [0.0, 0.0]]), np.zeros(2), "linear")
    assert products.log2_norms(shift, np.ones(2), 5, [0, 3, 4]) == [mpmath.mpf("-inf")] * 2 + [0]
    dead = products.Network("elman", np.eye(2), np.array([-9.0, -9.0]), "relu")
    assert products.log2_norms(dead, np.ones(2), 5, [0, 4], "fro") == [mpmath.mpf("-inf")] * 2


def test_matrix_numbers():
    W = np.random.default_rng(1).normal(size=(4, 4))
    assert float(products.spectral_radius(W)) == pytest.approx(np.abs(np.linalg.eigvals(W)).max(), rel=1e-13)
    values = [float(value) for value in products.singular_values(W)]
    assert values == pytest.approx(np.linalg.svd(W)[1], rel=1e-13)
    assert float(2 ** products.log2_norm(W)) == pytest.approx(values[0], rel=1e-14)
    assert close(
        products.spectral_radius(np.array([[0.9, 1.0], [0.0, 0.9]])), mpmath.mpf(0.9), mpmath.mpf(10) ** -45
    )
    assert products.spectral_radius(np.array([[12.0, 12.0], [-12.0, -12.0]])) == 0
    assert float(products.henrici(np.array([[0.9, 1.0], [0.0, 0.9]]))) == pytest.approx(1.0, rel=1e-14)
