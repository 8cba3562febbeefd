"""Kreiss constants, numerical radii, departures and pseudospectra against closed forms and inequalities."""

import math

import jax
import mpmath
import numpy as np
import pytest

from rnn_dynamics.spectral.nonnormal import non_normality, power_norms, pseudospectrum


@pytest.mark.parametrize(
    ("r", "c"), [(0.9, 1.0), (0.5, 3.0), (0.99, 0.2), (0.5, 0.4), (0.0, 2.0), (0.9, 100.0), (-0.9, 1.0)]
)
def test_two_by_two_with_a_shear(r, c):
    """For [[r, c], [0, r]]: K = c/(4(1 − |r|)) + (1 − |r|)/c where c ≥ 2(1 − |r|), else 1; w = |r| + c/2."""
    gap = 1 - abs(r)
    found = non_normality([[r, c], [0, r]])
    exact = c / (4 * gap) + gap / c if c >= 2 * gap else 1.0
    assert found.kreiss_constant == pytest.approx(exact, rel=1e-9)
    assert found.numerical_radius == pytest.approx(abs(r) + c / 2, rel=1e-12)
    assert found.numerical_abscissa == pytest.approx(r + c / 2, rel=1e-12)
    assert found.departure == pytest.approx(c, rel=1e-12)
    assert found.spectral_radius == pytest.approx(abs(r), abs=1e-15)
    assert "Kreiss" in repr(found)


@pytest.mark.parametrize("n", [2, 3, 8])
def test_a_jordan_block_of_zero(n):
    found = non_normality(np.eye(n, k=1))
    assert found.numerical_radius == pytest.approx(np.cos(np.pi / (n + 1)), rel=1e-12)
    assert found.departure == pytest.approx(np.sqrt(n - 1), rel=1e-12)
    assert found.spectral_radius == 0
    assert found.conditions.max() > 1e14


def test_normal_matrices_hide_nothing():
    rng = np.random.default_rng(0)
    rotation = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    symmetric = rng.normal(size=(6, 6))
    for matrix in (0.9 * rotation, (symmetric + symmetric.T) / 20):
        found = non_normality(matrix)
        np.testing.assert_allclose(found.conditions, 1, rtol=1e-12)
        assert found.departure < 1e-13
        assert found.kreiss_constant == pytest.approx(1, abs=1e-6)
        np.testing.assert_allclose([found.numerical_radius, found.norm], found.spectral_radius, rtol=1e-10)


@pytest.mark.parametrize("seed", range(6))
def test_theorems_hold_on_random_matrices(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 12))
    matrix = rng.normal(size=(n, n)) + np.triu(rng.normal(size=(n, n)), 1) * 3
    matrix *= 0.95 / np.abs(np.linalg.eigvals(matrix)).max()
    found = non_normality(matrix)
    radius = found.numerical_radius
    assert found.spectral_radius <= radius * (1 + 1e-12)
    assert radius <= found.norm * (1 + 1e-12) <= 2 * radius * (1 + 1e-12)
    power, largest = np.eye(n), 1.0
    for k in range(1, 600):
        power = matrix @ power
        size = np.linalg.norm(power, 2)
        assert size <= 2 * radius**k * (1 + 1e-9)
        largest = max(largest, size)
    assert found.kreiss_constant <= largest * (1 + 1e-9)
    assert largest <= np.e * n * found.kreiss_constant
    z = found.kreiss_point
    resolvent = np.linalg.norm(np.linalg.inv(z * np.eye(n) - matrix), 2)
    assert (abs(z) - 1) * resolvent == pytest.approx(found.kreiss_constant, rel=1e-9)
    dense = np.linspace(0, np.pi, 4001)
    turned = np.exp(1j * dense)[:, None, None] * matrix
    assert radius >= np.linalg.eigvalsh((turned + turned.conj().swapaxes(1, 2)) / 2)[:, -1].max() * (
        1 - 1e-14
    )


def test_hazard_7_the_condition_says_how_far_noise_moves_an_eigenvalue():
    """ρ = .9 with powers that reach 1e18: noise of 1e−12 moves the radius past 1."""
    n = 24
    matrix = 0.9 * np.eye(n) + 5 * np.eye(n, k=1)
    found = non_normality(matrix)
    assert found.spectral_radius == pytest.approx(0.9)
    assert found.spectral_radius <= found.norm
    assert found.conditions.max() > 1e10
    noise = np.random.default_rng(0).normal(size=(n, n)) * 1e-12
    assert np.abs(np.linalg.eigvals(matrix + noise)).max() > 1
    assert pseudospectrum(matrix, [1.1], [0.0]).distance[0, 0] < 1e-12


def test_pseudospectrum_of_a_normal_matrix_is_the_distance_to_its_eigenvalues():
    across, up = np.linspace(-2, 2, 9), np.linspace(-1, 1, 5)
    result = pseudospectrum(np.diag([1.0, -0.5]), across, up)
    found = result.distance
    assert "points" in repr(result)
    np.testing.assert_allclose(np.sort(result.eigenvalues.real), [-0.5, 1.0])
    z = across[None] + 1j * up[:, None]
    assert found.shape == (5, 9)
    np.testing.assert_allclose(found, np.minimum(abs(z - 1), abs(z + 0.5)), atol=1e-15)


def test_the_departure_of_tiny_and_of_large_entries():
    """Of [[r, c], [0, r]] it is c, where squares of the entries are no floats, or nearly so, too."""
    for size in (1e-200, 1e-160, 1e99):
        found = non_normality(size * np.array([[0.9, 1.0], [0.0, 0.9]]))
        assert found.departure == pytest.approx(size, rel=1e-12, abs=0)


def test_a_radius_beyond_one_has_no_kreiss_constant():
    found = non_normality([[1.5, 0], [0, 0.2]])
    assert found.kreiss_constant == np.inf
    assert np.isnan(found.kreiss_point)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (([[1, 2]],), "matrix"),
        (([[np.nan]],), "matrix"),
        (([],), "matrix"),
        (([[1j]],), "matrix"),
        (("W",), "matrix"),
        (([[1.0]], [], [0.0]), "real"),
        (([[1.0]], [0.0], 3.0), "imaginary"),
    ],
)
def test_wrong_arguments_are_named(arguments, name):
    function = non_normality if len(arguments) == 1 else pseudospectrum
    with pytest.raises((TypeError, ValueError), match=rf"^{name}:"):
        function(*arguments)
    with pytest.raises(TypeError, match=r"^matrix:"):
        jax.jit(non_normality)(np.eye(2))


def test_norms_of_powers_against_exact_integers():
    """‖Aᵏ‖₂ with A = 2^e M, M of integers: Mᵏ exact, its norm by mpmath; over a thousand decades."""
    M = [[3, 1], [0, -2]]
    for exponent in (0, -60, 80):
        found = power_norms(np.ldexp(np.array(M, float), exponent), 40)
        exact = mpmath.eye(2)
        for k in range(41):
            frobenius, determinant = sum(x**2 for x in exact), mpmath.det(exact) ** 2
            square = (frobenius + mpmath.sqrt(frobenius**2 - 4 * determinant)) / 2
            truth = float(mpmath.log(square) / 2 + k * exponent * mpmath.log(2))
            assert found.log_norms[k] == pytest.approx(truth, rel=1e-13, abs=1e-13)
            exact = exact * mpmath.matrix(M)
        assert (found.log_radius <= found.log_norms + 1e-9).all()
        assert (found.log_norms <= found.log_numerical + 1e-9).all()
    assert "PowerNorms(40 powers" in repr(found)


def test_powers_of_nilpotent_and_zero_matrices():
    found = power_norms(np.diag(np.ones(3), 1), 6)
    assert found.log_norms.tolist() == [0, 0, 0, 0, -math.inf, -math.inf, -math.inf]
    assert found.log_peak == 0
    assert not np.isnan(found.log_radius).any()
    zero = power_norms(np.zeros((2, 2)), 2)
    assert zero.log_norms.tolist() == zero.log_radius.tolist() == [0, -math.inf, -math.inf]
    with pytest.raises(ValueError, match="steps"):
        power_norms(np.eye(2), 0)
