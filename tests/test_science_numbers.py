"""Every number of the published studies that the library reproduces, from the oracles or in plain floats."""

import math

import mpmath
import numpy as np
import pytest

from tests.oracles import cliff, neuron, products

JORDAN = np.array([[0.9, 1.0], [0.0, 0.9]])
NILPOTENT = np.array([[1.0, 1.0], [-1.0, -1.0]])


def sigma(z):
    """σ(z) in plain floats."""
    return 1 / (1 + np.exp(-z))


def printed(value, text: str) -> bool:
    """Whether `value` rounds to the decimal number `text`, with as many digits as the text has."""
    digits = len(text.lower().split("e")[0].replace(".", "").replace("-", "").lstrip("0"))
    return float(mpmath.nstr(mpmath.mpf(value), digits)) == float(text)


# Gradients through time


@pytest.mark.parametrize(
    ("steps", "along_x0", "along_b"),
    [(100, "2.5e-2", "10.8"), (1000, "8.8e-4", "101"), (10_000, "2.8e-5", "1001")],
)
def test_cusp_gradient_vanishes_while_its_sum_diverges(steps, along_x0, along_b):
    end = neuron.sensitivities(4.0, -2.0, 0.3, steps)
    assert printed(end.dx0, along_x0)
    assert printed(end.db, along_b)


def test_jordan_block_exceeds_its_spectral_radius():
    powers = [np.linalg.matrix_power(JORDAN, k) for k in range(1, 60)]
    assert printed(2 ** products.log2_norm(powers[8]), "3.91")
    assert printed(0.9**9, ".387")
    assert all(np.linalg.norm(power, 2) >= 0.9**k for k, power in enumerate(powers, start=1))
    unit = np.array([[1.0, 1.0], [0.0, 1.0]])
    assert np.linalg.norm(np.linalg.matrix_power(unit, 1000), 2) == pytest.approx(1000, rel=1e-2)


def test_scaled_bound_needs_its_condition_number():
    """‖S A S⁻¹‖⁹ → .387 as S tends to diag(1, ∞), below ‖A⁹‖ = 3.91; κ(S) times it stays above."""
    norm = np.linalg.norm(np.linalg.matrix_power(JORDAN, 9), 2)
    without = []
    for ratio in np.geomspace(1, 1e6, 200):
        scaling = np.diag([1.0, ratio])
        without.append(np.linalg.norm(scaling @ JORDAN @ np.linalg.inv(scaling), 2) ** 9)
        assert ratio * without[-1] >= norm
    assert printed(without[-1], ".387")
    assert without[-1] < norm


def test_fixed_point_of_a_nilpotent_weight_explodes():
    W = 32 * NILPOTENT
    x = np.array([0.0, math.log(3)])
    b = np.array([-40.0, 40 + math.log(3)])
    assert W @ sigma(x) + b == pytest.approx(x, abs=1e-13)
    J = W * (sigma(x) * sigma(-x))
    assert pytest.approx(np.array([[8.0, 6.0], [-8.0, -6.0]]), rel=1e-14) == J
    assert pytest.approx(2 * J, rel=1e-13) == J @ J
    assert products.spectral_radius(W) == 0


def test_chaotic_attractor_of_a_nilpotent_weight():
    """x₁ + x₂ is −3 after a step, so that the map is one-dimensional: slope 12(σ′(x₁) − σ′(x₂)) along it."""
    x = np.stack([np.linspace(-8.9, 14.0, 1000), -3 - np.linspace(-8.9, 14.0, 1000)])
    total, steps = np.zeros(1000), 2000
    for t in range(200 + steps):
        slope = sigma(x) * sigma(-x)
        if t >= 200:
            total += np.log(np.abs(12 * (slope[0] - slope[1])))
        rise = 12 * sigma(x).sum(axis=0)
        x = np.stack([rise - 9, 6 - rise])
    assert printed(np.mean(total / steps), ".54")
    network = products.Network("preactivation", 12 * NILPOTENT, np.array([-9.0, 6.0]), "logistic")
    norm = float(products.log2_norms(network, np.array([0.1, 0.2]), 1000, [0])[0])
    assert norm * math.log(2) / 1000 == pytest.approx(0.54, abs=0.05)
    assert products.spectral_radius(12 * NILPOTENT) == 0


def test_kreiss_constant_and_its_bounds():
    for r, c in [(0.9, 1.0), (0.5, 3.0), (0.99, 0.5), (0.5, 1.0), (0.9, 0.1), (0.0, 2.0)]:
        closed = c / (4 * (1 - r)) + (1 - r) / c if c >= 2 * (1 - r) else 1.0
        K = float(products.kreiss_2x2(r, c))
        assert pytest.approx(closed, rel=1e-14) == K
        A = np.array([[r, c], [0.0, r]])
        largest = max(np.linalg.norm(np.linalg.matrix_power(A, k), 2) for k in range(2000))
        assert K * (1 - 1e-14) <= largest <= math.e * 2 * K
    assert products.henrici(JORDAN) == pytest.approx(1.0, rel=1e-14)


def test_slope_bounds_and_leaky_form():
    assert neuron.tanh_derivative(0.0) == 1
    assert neuron.sigmoid_derivative(0.0) == 0.25
    W, b = np.array([[1.7, -0.6], [0.8, 1.1]]), np.array([0.1, -0.3])
    network = products.Network("leaky", W, b, "logistic", leak=0.3)
    norm = float(products.log2_norms(network, np.array([0.2, 0.1]), 50, [0])[0])
    assert norm <= 50 * math.log2(0.7 + 0.3 * 0.25 * np.linalg.norm(W, 2))


def test_entrywise_radius_suffices_to_vanish():
    """γ s₁(W) > 1 but γ ρ(|W|) < 1: the norm still decays at that rate."""
    W = np.array([[0.5, 4.0], [0.0, -0.5]])
    assert np.linalg.norm(W, 2) > 1
    network = products.Network("elman", W, np.zeros(2), "tanh")
    norm = float(products.log2_norms(network, np.array([0.01, 0.01]), 200, [0])[0])
    assert norm == pytest.approx(-200, abs=20)


def test_memory_is_the_inverse_of_one_minus_the_rate():
    for rate in (0.9, 0.99, 0.999):
        lags = 1 / math.log(1 / rate)
        assert rate**lags == pytest.approx(1 / math.e, rel=1e-12)
        assert lags == pytest.approx(1 / (1 - rate), rel=0.06)


def test_note_three_needs_an_epsilon_above_eight():
    def power(epsilon, c, n):
        WD = np.array([[0.0, 2.0], [epsilon, 0.0]]) * c
        return np.linalg.matrix_power(WD, 2 * n)

    assert power(3.0, 0.2, 5) == pytest.approx((2 * 3.0 * 0.2**2) ** 5 * np.eye(2))
    assert power(8.0, 0.25, 50) == pytest.approx(np.eye(2))
    assert np.linalg.norm(power(8.1, 0.25, 50), 2) > 1 > np.linalg.norm(power(7.9, 0.25, 50), 2)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_newman_exponents(size):
    """λ₁ = E ln of a χ variable with N degrees of freedom; the sum over i is E ln |det|, a product of χ's."""
    with mpmath.workdps(20):

        def mean_log_chi(freedom: int) -> mpmath.mpf:
            scale = mpmath.mpf(2) ** (1 - mpmath.mpf(freedom) / 2) / mpmath.gamma(mpmath.mpf(freedom) / 2)
            density = lambda r: scale * r ** (freedom - 1) * mpmath.exp(-r * r / 2)  # noqa: E731
            return mpmath.quad(lambda r: mpmath.log(r) * density(r), [0, 1, 4, 12])

        for i in range(1, size + 1):
            closed = (mpmath.log(2) + mpmath.digamma(mpmath.mpf(size - i + 1) / 2)) / 2
            assert abs(closed - mean_log_chi(size - i + 1)) < 1e-10


def test_random_tanh_network_turns_chaotic_at_gain_one():
    z, weights = np.polynomial.hermite_e.hermegauss(120)
    weights = weights / weights.sum()

    def susceptibility(gain):
        q = 1.0
        for _ in range(20_000):
            q = gain**2 * np.sum(weights * np.tanh(math.sqrt(q) * z) ** 2)
        return gain**2 * np.sum(weights / np.cosh(math.sqrt(q) * z) ** 4)

    assert susceptibility(0.9) == pytest.approx(0.81, rel=1e-6)
    assert susceptibility(1.2) > 1
    assert susceptibility(2.0) > susceptibility(1.2)


# One neuron


def test_equilibria_folds_and_cusp():
    low, middle, high = neuron.relative_equilibria(5.0, -2.5)
    assert printed(low.x, ".144794")
    assert middle.x == 0.5
    assert printed(high.x, ".855206")
    assert printed(low.x, ".145")
    assert printed(high.x, ".855")
    assert low.multiplier() < 1 < middle.multiplier()
    (below, upper), (above, lower) = neuron.folds(5.0)
    assert printed(below, ".2764")
    assert printed(above, ".7236")
    assert printed(lower, "-2.655610")
    assert printed(upper, "-2.344390")
    assert float(neuron.fold_window(5.0)) == pytest.approx(
        5 * math.sqrt(0.2) - 4 * math.atanh(math.sqrt(0.2))
    )
    for b, count in [(-2.65562, 1), (-2.6556, 3), (-2.3444, 3), (-2.34438, 1)]:
        assert len(neuron.relative_equilibria(5.0, b)) == count
    assert [float(value) for value in neuron.cusp()] == pytest.approx([4, -2, 0.5], rel=1e-30)


def test_stability_changes_at_the_folds_for_every_epsilon():
    for epsilon in (1.0, 0.5, 0.01):
        for x, stable in [(0.2763, True), (0.2765, False), (0.5, False), (0.7235, False), (0.7237, True)]:
            assert (abs(1 - epsilon + epsilon * 5 * x * (1 - x)) < 1) == stable


def test_flips_begin_at_their_weight():
    for epsilon in (1.0, 0.5, 0.1):
        onset = -4 * (2 - epsilon) / epsilon
        with pytest.raises(ValueError, match="w"):
            neuron.flips(onset * 0.999, epsilon)
        for x, _ in neuron.flips(onset * 1.001, epsilon):
            multiplier = 1 - epsilon + epsilon * onset * 1.001 * float(x) * (1 - float(x))
            assert multiplier == pytest.approx(-1, rel=1e-12)


def test_periods_end_at_two_without_leak():
    for w, b in [(-8.0, 3.0), (-50.0, 20.0), (-200.0, 150.0)]:
        far = [float(neuron.orbit(w, b, 0.3, steps)) for steps in (2000, 2001, 2002)]
        assert far[0] == pytest.approx(far[2], rel=1e-10)


def test_chaotic_neuron_exponent():
    assert printed(neuron.lyapunov(-100.0, 90.0, 0.3, 10_000, 500, 0.5), ".42")


def test_map_tends_to_the_flow_with_order_one():
    """x_T and ∂x_T/∂x_0 at ε T = 2: successive differences halve with ε."""
    ends = [neuron.sensitivities(5.0, -2.4, 0.4, 2 * 2**m, 2.0**-m) for m in range(5, 10)]
    for name in ("x", "dx0"):
        values = [float(getattr(end, name)) for end in ends]
        ratios = np.diff(values)[:-1] / np.diff(values)[1:]
        assert ratios == pytest.approx([2.0] * 3, rel=0.05)


def test_slope_of_the_branch():
    for b in (-2.4, -2.5, -1.0):
        x = neuron.relative_equilibria(5.0, b)[-1].x
        slope = cliff.slope_of_branch(5.0, x)
        step = 2.0**-20
        ends = [neuron.relative_equilibria(5.0, b + side * step)[-1].x for side in (1, -1)]
        assert float((ends[0] - ends[1]) / (2 * step)) == pytest.approx(float(slope), rel=1e-6)
    (_, upper), _ = neuron.folds(5.0)
    near = [
        float(cliff.slope_of_branch(5.0, neuron.relative_equilibria(5.0, float(upper) - gap)[0].x))
        for gap in (1e-8, 1e-10)
    ]
    assert near[1] / near[0] == pytest.approx(10, rel=1e-2)
    assert cliff.slope_of_branch(5.0, neuron.relative_equilibria(5.0, 30.0)[0].x) < 1e-14


def test_gradient_near_the_separatrix_peaks_and_dies():
    assert printed(neuron.sensitivities(5.0, -2.5, 0.4999, 10).dx0, "9.3")
    assert printed(neuron.sensitivities(5.0, -2.5, 0.4999, 100).dx0, "2.5e-10")
    curve = [float(neuron.sensitivities(5.0, -2.5, 0.4999, steps).dx0) for steps in range(101)]
    peak = int(np.argmax(curve))
    assert 10 < peak < 100
    assert curve[peak] > 100


def test_finite_ratio_across_the_separatrix_does_not_die():
    gap = 0.0002
    ends = [neuron.orbit(5.0, -2.5, x0, 500) for x0 in (0.4999, 0.4999 + gap)]
    assert float(ends[1] - ends[0]) / gap == pytest.approx((0.855206 - 0.144794) / gap, rel=1e-5)
    assert neuron.sensitivities(5.0, -2.5, 0.4999, 500).dx0 < 1e-90


@pytest.mark.parametrize("epsilon", [1.0, 0.5])
def test_gradient_on_the_repeller_is_a_power(epsilon):
    end = neuron.sensitivities(5.0, -2.5, 0.5, 37, epsilon)
    assert float(end.dx0) == pytest.approx((1 + epsilon / 4) ** 37, rel=1e-14)
    assert float(end.db) == pytest.approx((1 + epsilon / 4) ** 37 - 1, rel=1e-14)


# The loss cliff


def test_jump_of_the_geometric_loss():
    limit = cliff.geometric_limit()
    assert limit.b == -2.5
    assert printed(limit.above, "4.2e-8")
    assert printed(limit.below, ".504392")
    assert float(neuron.wall(5.0, 0.5)) == -2.5


def geometric_gradients(steps: int, reach: float, points: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """b, L and dL/db on a grid about the wall, in plain floats."""
    b = -2.5 + np.linspace(-reach, reach, points)
    x, along_b = np.full_like(b, 0.5), np.zeros_like(b)
    for _ in range(steps):
        x = sigma(5 * x + b)
        along_b = x * (1 - x) * (5 * along_b + 1)
    return b, (x - 0.855) ** 2, 2 * (x - 0.855) * along_b


def test_steepest_gradient_grows_like_the_multiplier():
    largest = {}
    for steps in (30, 40, 50):
        largest[steps] = np.abs(geometric_gradients(steps, 20 * 1.25**-steps, 20_001)[2]).max()
    assert printed(largest[50], "5.7e4")
    assert largest[50] / largest[40] == pytest.approx(1.25**10, rel=1e-3)
    assert largest[40] / largest[30] == pytest.approx(1.25**10, rel=2e-3)


def test_target_lies_behind_the_wall():
    b = mpmath.log(mpmath.mpf("0.855") / mpmath.mpf("0.145")) - 5 * mpmath.mpf("0.855")
    assert printed(b, "-2.500632")
    x = neuron.relative_equilibria(5.0, float(b))[-1].x
    assert float(x) == pytest.approx(0.855, rel=1e-13)
    assert neuron.basin(5.0, float(b), 0.5) == "LOW"


def test_gradient_above_the_wall_points_into_it():
    """At finite T the loss has an exact zero above the wall; beyond it, descent moves b to the wall."""
    for b in (-2.49, -2.4, -2.0):
        assert cliff.geometric_loss(b, 200).db > 0
    b, loss, _ = geometric_gradients(50, 4e-4, 80_001)
    at = int(np.argmin(loss))
    assert b[at] > -2.5
    assert loss[at] < 1e-12
    side = [neuron.orbit(5.0, value, 0.5, 50) - mpmath.mpf("0.855") for value in (-2.4999, -2.49988)]
    assert side[0] < 0 < side[1]


def test_walls_exist_where_their_point_repels():
    assert printed(1 / neuron.sigmoid_derivative(0.5), "4.2553")
    with pytest.raises(ValueError, match="unstable"):
        cliff.pascanu_limit(4.2552)
    limit = cliff.pascanu_limit(4.2554)
    assert float(limit.b) == pytest.approx(0.5 - 4.2554 * float(sigma(0.5)), rel=1e-14)
    assert limit.below > limit.above
    cliff.geometric_limit(-4.2, 0.4)
    with pytest.raises(ValueError, match="unstable"):
        cliff.geometric_limit(-4.1, 0.4)
    for epsilon in (1.0, 0.5):
        edge = -(2 - epsilon) / epsilon
        assert 1 - epsilon + epsilon * edge == pytest.approx(-1)


def test_descent_across_the_cliff_is_itself_chaotic():
    """From (6, −3), 500 steps: the unclipped end hangs on the last bit of the rate; clipped, E is small."""
    ends = [cliff.descend(6.0, -3.0, rate, 500)[0][-1] for rate in (0.1, math.nextafter(0.1, 1))]
    assert math.dist(*ends) > 1e-3
    for rate in (0.1, math.nextafter(0.1, 1)):
        end = cliff.descend(6.0, -3.0, rate, 500, 1.0)[0][-1]
        assert float(cliff.pascanu_loss(*end).value) < 2e-3


def test_descent_that_every_precision_gives_alike():
    """From (4.75, −2), rate .1, 100 steps: thrown to (9.248, 5.636) and stuck; with threshold 1 it stays."""
    for bits in (100, 512):
        path, norms = cliff.descend(4.75, -2.0, 0.1, 100, bits=bits)
        assert path[-1] == pytest.approx((9.248037, 5.635950), abs=1e-6)
        assert max(norms) == pytest.approx(92.5079, rel=1e-5)
        clipped, _ = cliff.descend(4.75, -2.0, 0.1, 100, 1.0, bits=bits)
        assert clipped[-1] == pytest.approx((4.415331, -2.246434), abs=1e-6)
    assert float(cliff.pascanu_loss(*path[-1]).value) == pytest.approx(0.09, rel=1e-4)
    assert float(cliff.pascanu_loss(*clipped[-1]).value) == pytest.approx(1.292e-3, rel=1e-3)


# Neighbouring numbers


@pytest.mark.parametrize(("epsilon", "expected"), [(1.0, 5176), (0.5, 10_360)])
def test_transient_near_the_fold(epsilon, expected):
    (_, upper), _ = neuron.folds(8.0)
    assert printed(upper, "-2.93432")
    b = float(upper) - 2.0**-20
    low = float(neuron.relative_equilibria(8.0, b)[0].x)
    x, steps = 0.0, 0
    while abs(x - low) > 1e-6:
        x = (1 - epsilon) * x + epsilon / (1 + math.exp(-(8 * x + b)))
        steps += 1
    assert steps == expected


def test_bengio_margin_at_the_neuron_of_wikipedia():
    """Doya (5, −2.5) is tanh with w₀ = 1.25, whose margin h* is half the distance to the fold in b."""
    w = mpmath.mpf("1.25")
    margin = mpmath.sqrt(w * (w - 1)) - mpmath.log(mpmath.sqrt(w) + mpmath.sqrt(w - 1))
    assert printed(margin, ".077805")
    (_, upper), _ = neuron.folds(5.0)
    assert float((upper + 2.5) / 2) == pytest.approx(float(margin), rel=1e-12)
    x, z = 0.3, 2 * 0.3 - 1
    for _ in range(10):
        x, z = float(sigma(5 * x - 2.4)), math.tanh(1.25 * z - 2.4 / 2 + 1.25)
        assert z == pytest.approx(2 * x - 1, abs=1e-13)
