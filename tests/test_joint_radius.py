"""Joint spectral radii: closed forms, brute force in fractions and at 40 digits, and what tempts rounding."""

import dataclasses
import itertools
import math
from fractions import Fraction

import jax
import mpmath
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from rnn_dynamics.numerics.status import Status
from rnn_dynamics.spectral.joint_radius import JointRadius, joint_spectral_radius, slope_corners, slope_radius
from rnn_dynamics.spectral.joint_radius.certificates import _cluster, power_bounds, radius_below
from rnn_dynamics.spectral.joint_radius.interval import _many_units
from rnn_dynamics.spectral.joint_radius.polytopes import _Hull, polytope_bound
from rnn_dynamics.spectral.joint_radius.search import (
    _primitive,
    _Search,
    _seeds,
    _shifted,
    balanced,
)
from rnn_dynamics.spectral.joint_radius.slopes import (
    _flipped,
    _proved,
    _uphill,
    upper_of_hull,
    worst_slopes,
)

GOLDEN = (1 + math.sqrt(5)) / 2
SHEARS = np.array([[[1.0, 1.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 1.0]]])
SADDLE = np.array([[8.0, 8.0], [-8.0, -8.0]])
JORDAN = np.array([[0.9, 1.0], [0.0, 0.9]])
SKEW = np.array([[1.0, 2.0], [0.3, 1.0]])


def _turn(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _similar(matrices, basis):
    return np.array([basis @ matrix @ np.linalg.inv(basis) for matrix in matrices])


def _multiplied(left, right):
    return [
        [sum(a * b for a, b in zip(row, column, strict=True)) for column in zip(*right, strict=True)]
        for row in left
    ]


def _root(number, degree):
    return mpmath.root(mpmath.mpf(number.numerator) / number.denominator, degree)


def brute_force(matrices, length):
    """[max (tr(P^j)/n)^{1/jk}, max ‖P‖^{1/k}] over all products, formed in fractions, the roots at 40 digits.

    The norm is the largest absolute row sum; the lower end takes |tr Pʲ| ≤ n ρ(P)ʲ at j = 64, 96 and 160.
    """
    exact = [[[Fraction(float(x)) for x in row] for row in matrix] for matrix in matrices]
    size = len(exact[0])
    low, high = mpmath.mpf(0), mpmath.inf
    with mpmath.workdps(40):
        words = [[[Fraction(int(i == j)) for j in range(size)] for i in range(size)]]
        for k in range(1, length + 1):
            words = [_multiplied(matrix, word) for word in words for matrix in exact]
            high = min(high, max(_root(max(sum(map(abs, row)) for row in word), k) for word in words))
            for word in words:
                low = max(low, _trace_root(word, k))
    return float(low), float(high)


def _trace_root(word, k):
    power = mpmath.matrix([[mpmath.mpf(x.numerator) / x.denominator for x in row] for row in word])
    powers = [power]
    for _ in range(7):
        powers.append(powers[-1] * powers[-1])
    found = mpmath.mpf(0)
    for parts in ((6,), (6, 5), (7, 5)):
        product = mpmath.eye(power.rows)
        for part in parts:
            product = product * powers[part]
        trace = abs(sum(product[i, i] for i in range(power.rows))) / power.rows
        found = max(found, mpmath.root(trace, k * sum(2**part for part in parts)))
    return found


def _check(found, matrices):
    """What holds of every result, whatever its status."""
    matrices = np.asarray(matrices, float)
    assert 0 <= found.lower <= found.upper
    assert (np.diff(found.history[:, 0]) >= 0).all()
    assert (np.diff(found.history[:, 1]) <= 0).all()
    assert found.history.shape == (found.length, 2)
    assert found.history[-1].tolist() == [found.lower, found.upper]
    assert found.norm in ("euclidean", "ellipsoid", "polytope")
    assert np.array_equal(found.factors, matrices[list(found.product)])
    assert found.upper <= np.linalg.norm(matrices, 2, axis=(1, 2)).max() * (1 + 1e-13)


@pytest.mark.parametrize(
    ("matrices", "radius"),
    [
        (SHEARS, GOLDEN),
        (slope_corners(SADDLE, 0, 1), 8),
        ([1.7 * _turn(1.0)], 1.7),
        (_similar([1.7 * _turn(1.0)], SKEW), 1.7),
        ([_turn(1.0), 0.3 * _turn(0.2), -_turn(2.0)], 1),
        ([[[1, 2], [2, -3]], [[0, 1], [1, 1]]], math.sqrt(8) + 1),
        (np.triu(np.arange(27.0).reshape(3, 3, 3)), 26),
        ([JORDAN], 0.9),
        ([[[0, 1], [0, 0]]], 0),
        ([[[0, 1], [0, 0]], [[0, 3], [0, 0]]], 0),
        ([[[1, -1], [1, -1]]], 0),
        ([np.kron([[1, -1], [1, -1]], np.eye(3)), np.kron([[2, -2], [2, -2]], np.ones((3, 3)))], 0),
        ([[[0, 1], [0, 0]], [[0, 0], [1, 0]]], 1),
        ([[[0, 2], [0, 0]], [[0, 0], [3, 0]]], math.sqrt(6)),
        ([np.roll(np.eye(5), 1, axis=0)], 1),
        ([[[0, 0, 8], [1, 0, 0], [0, 1, 0]]], 2),
        (np.zeros((2, 3, 3)), 0),
        ([[[-3.0]], [[2.0]]], 3),
    ],
)
def test_closed_forms(matrices, radius):
    found = joint_spectral_radius(matrices)
    _check(found, matrices)
    assert found.status == Status.CONVERGED
    assert found.exact
    assert found.lower <= radius * (1 + 1e-15)
    assert found.upper >= radius * (1 - 1e-15)
    assert found.lower == pytest.approx(radius, rel=1e-10)
    assert found.upper == pytest.approx(radius, rel=1e-10)
    assert "exact" in repr(found)


@pytest.mark.parametrize("ratio", [0.2, 0.5, 0.75, 0.9, 1.0])
def test_the_pair_of_shears(ratio):
    """{A, α B}: the product A B has ρ = α GOLDEN²; with integers this is the bracket of all products of eight."""
    pair = np.array([SHEARS[0], ratio * SHEARS[1]])
    found = joint_spectral_radius(pair)
    _check(found, pair)
    low, high = brute_force(pair, 8)
    assert found.lower <= high
    assert low <= found.upper
    assert found.lower >= low * (1 - 1e-9)
    assert found.lower >= math.sqrt(ratio) * GOLDEN * (1 - 1e-10)
    assert found.status == Status.CONVERGED


def test_a_defective_matrix_has_an_honest_lower_end():
    """Eigenvalues of a defective matrix come out too large; the lower end must not."""
    for size in (2, 3, 5):
        shear = 0.9 * np.eye(size) + np.eye(size, k=1)
        basis = np.random.default_rng(size).integers(-3, 4, (size, size)) + 5 * np.eye(size)
        inverse = mpmath.inverse(mpmath.matrix(basis))
        full = np.array((mpmath.matrix(basis) * mpmath.matrix(shear) * inverse).tolist(), float)
        with mpmath.workdps(60):
            true = max(abs(x) for x in mpmath.eig(mpmath.matrix(full), left=False, right=False))
        found = joint_spectral_radius([full])
        _check(found, [full])
        assert found.lower <= true <= found.upper
        assert found.upper / found.lower < 1.1


def test_small_integers_are_bracketed_by_all_products():
    """Entries −1, 0, 1: many nilpotent, defective and tied products."""
    rng = np.random.default_rng(5)
    for _ in range(6):
        pair = rng.integers(-1, 2, (2, 3, 3))
        low, high = brute_force(pair, 6)
        found = joint_spectral_radius(pair)
        _check(found, pair)
        assert found.lower <= high
        assert found.upper >= low
        assert found.lower >= low * (1 - 1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(2, 3), st.floats(-150, 150))
def test_random_sets_keep_their_interval(seed, many, size, decades):
    rng = np.random.default_rng(seed)
    matrices = rng.normal(size=(many, size, size)) * rng.choice([0.1, 1, 1], (many, 1, 1))
    matrices *= rng.random(matrices.shape) < 0.8
    low, high = brute_force(matrices, 5 if many < 3 else 3)
    found = joint_spectral_radius(matrices, tolerance=1e-2, budget=4000)
    _check(found, matrices)
    assert found.lower <= high * (1 + 1e-15)
    assert low <= found.upper * (1 + 1e-15)
    assert found.lower >= low * (1 - 1e-8)
    scale = 10.0**decades
    moved = joint_spectral_radius(matrices * scale, tolerance=1e-2, budget=4000)
    assert moved.lower <= found.upper * scale * (1 + 1e-12)
    assert found.lower * scale <= moved.upper * (1 + 1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_invariances(seed):
    """Similarity, transposition, duplicates, signs, the zero matrix and convex combinations change nothing."""
    rng = np.random.default_rng(seed)
    matrices = rng.normal(size=(2, 3, 3))
    basis = rng.normal(size=(3, 3)) + 2 * np.eye(3)
    plain = joint_spectral_radius(matrices)
    between = 0.3 * matrices[0] + 0.7 * matrices[1]
    for same in (
        _similar(matrices, basis),
        matrices.swapaxes(1, 2),
        np.concatenate([matrices, -matrices, np.zeros((1, 3, 3)), matrices]),
        np.concatenate([matrices, between[None]]),
        np.array([np.kron(np.eye(2), matrix) for matrix in matrices]),
    ):
        found = joint_spectral_radius(same)
        _check(found, same)
        assert found.lower <= plain.upper * (1 + 1e-12)
        assert plain.lower <= found.upper * (1 + 1e-12)
        assert found.lower == pytest.approx(plain.lower, rel=2e-3)


def test_one_matrix_and_commuting_sets_have_their_spectral_radius():
    rng = np.random.default_rng(2)
    for size in (2, 4, 7):
        matrix = rng.normal(size=(size, size))
        found = joint_spectral_radius([matrix])
        assert found.exact
        assert found.lower == pytest.approx(np.abs(np.linalg.eigvals(matrix)).max(), rel=1e-9)
        powers = [matrix, matrix @ matrix / 3, 0.5 * matrix + np.eye(size)]
        largest = max(np.abs(np.linalg.eigvals(power)).max() for power in powers)
        found = joint_spectral_radius(powers)
        assert found.exact
        assert found.lower == pytest.approx(largest, rel=1e-9)


@pytest.mark.parametrize("scale", [1e200, 1e-200, 2.0**900])
def test_extreme_sizes(scale):
    found = joint_spectral_radius(SHEARS * scale)
    assert found.exact
    assert found.lower == pytest.approx(GOLDEN * scale, rel=1e-10)
    swap = joint_spectral_radius([[[0, 1e300], [1e-300, 0]]])
    assert swap.exact
    assert swap.lower == pytest.approx(1, rel=1e-10)
    apart = joint_spectral_radius([[[1e-300, 1e300], [0, 1e-299]], [[0, 1e250], [0, 0]]])
    assert (apart.lower, apart.upper) == (1e-299, 1e-299)
    assert math.isinf(joint_spectral_radius(np.full((1, 2, 2), 1.7e308)).upper)


def test_a_budget_too_small_still_gives_a_valid_interval():
    matrices = np.random.default_rng(8).normal(size=(3, 4, 4))
    full = joint_spectral_radius(matrices)
    for budget in (1, 2, 10, 100):
        found = joint_spectral_radius(matrices, tolerance=1e-9, budget=budget)
        _check(found, matrices)
        assert found.lower <= full.upper
        assert full.lower <= found.upper
        if found.upper > found.lower * (1 + 1e-9):
            assert found.status == Status.MAX_STEPS
            assert "MAX_STEPS" in repr(found)


def _slope_check(found, W, low, high, rng):
    n, reach = len(W), max(abs(low), abs(high))
    assert found.history.shape == (found.length, 2)
    assert (np.diff(found.history[:, 0]) >= 0).all()
    assert (np.diff(found.history[:, 1]) <= 0).all()
    assert found.history[-1].tolist() == [found.lower, found.upper]
    slopes = rng.uniform(low, high, (20, n))
    ends = np.where(rng.random((20, n)) < 0.5, low, high)
    for each in (*slopes, *ends, np.full(n, low), np.full(n, high)):
        assert np.abs(np.linalg.eigvals(W * each)).max() <= found.upper * (1 + 1e-6)
    product = np.eye(n)
    for length, each in enumerate(ends[:8], 1):
        product = W * each @ product
        assert np.abs(np.linalg.eigvals(product)).max() ** (1 / length) <= found.upper * (1 + 1e-6)
    assert found.upper <= reach * np.linalg.norm(W, 2) * (1 + 1e-12)
    product = np.eye(n)
    for factor, index in zip(found.factors, found.product, strict=True):
        bits = np.array([index >> (n - 1 - i) & 1 for i in range(n)])
        assert np.allclose(factor, W * np.where(bits == 1, high, low), rtol=1e-15)
        product = factor @ product
    reached = np.abs(np.linalg.eigvals(product)).max() ** (1 / len(found.factors))
    assert reached >= found.lower * (1 - 1e-9)


def test_slopes_of_a_saddle_need_a_polytope():
    """ρ̂ = 8 for D in [0, 1]², in the norm max(|x₁|, |x₂|, |x₁ + x₂|); no ellipsoid shows it."""
    found = slope_radius(SADDLE)
    assert found.exact
    assert found.lower == pytest.approx(8, rel=1e-10)
    assert found.norm == "polytope"
    _slope_check(found, SADDLE, 0, 1, np.random.default_rng(0))
    many = slope_radius(np.kron(SADDLE, np.eye(8)))
    assert many.exact
    assert many.lower == pytest.approx(8, rel=1e-10)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 0.25), (-0.4, 0.3), (0.5, 0.5), (-1, 0), (0, 0)])
def test_slopes_of_few_units(low, high):
    rng = np.random.default_rng(3)
    W = rng.normal(size=(3, 3))
    found = slope_radius(W, low=low, high=high, tolerance=0.01)
    _slope_check(found, W, low, high, rng)
    corners = joint_spectral_radius(slope_corners(W, low, high), tolerance=0.01)
    assert corners.lower <= found.upper * (1 + 1e-12)
    assert found.lower <= corners.upper * (1 + 1e-12)
    narrow = slope_radius(W, low=low / 2, high=high / 2, tolerance=0.01)
    assert 2 * narrow.lower <= found.upper * (1 + 1e-12)
    assert found.lower <= 2 * narrow.upper * (1 + 1e-12)


def test_slopes_grow_with_their_interval():
    W = np.random.default_rng(4).normal(size=(3, 3))
    ends = [slope_radius(W, high=high, tolerance=0.01) for high in (0.25, 0.5, 1.0, 2.0)]
    for one, other in itertools.pairwise(ends):
        assert one.lower <= other.upper


def test_four_units_close_within_a_twentieth():
    W = np.random.default_rng(1).normal(size=(4, 4))
    found = slope_radius(W, tolerance=0.05)
    _slope_check(found, W, 0, 1, np.random.default_rng(0))
    assert found.status == Status.CONVERGED


@pytest.mark.parametrize("n", [11, 30])
def test_many_units(n):
    rng = np.random.default_rng(n)
    W = rng.normal(size=(n, n)) / math.sqrt(n)
    found = slope_radius(W, high=0.8)
    _slope_check(found, W, 0, 0.8, rng)
    assert found.status == Status.MAX_STEPS
    assert found.lower >= 0.8 * np.abs(np.linalg.eigvals(W)).max() * (1 - 1e-8)
    assert found.upper < 0.8 * np.linalg.norm(W, 2)
    positive = slope_radius(np.abs(W))
    assert positive.status == Status.CONVERGED
    assert positive.lower == pytest.approx(np.abs(np.linalg.eigvals(np.abs(W))).max(), rel=1e-8)
    triangle = slope_radius(np.triu(W), low=-0.5, high=0.25)
    assert triangle.exact
    assert triangle.upper == pytest.approx(0.5 * np.abs(np.diag(W)).max(), rel=1e-14)


@pytest.mark.parametrize("seed", range(6))
def test_bounds_without_corners_hold_against_the_corners(seed):
    """The bounded real lemma, the positive vector and the climb, on sets whose corners can be listed."""
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(3, 3)) * 10.0 ** rng.uniform(-1, 1, (3, 1))
    ends = np.array([(0.0, 1.0), (-1.0, 1.0), (-0.3, 1.0), (0.6, 1.0), (-1.0, -0.2), (1.0, 1.0)][seed])
    corners = joint_spectral_radius(slope_corners(W, *ends), tolerance=0.01)
    upper, norm = upper_of_hull(W, ends)
    assert upper >= corners.lower
    assert norm in ("euclidean", "ellipsoid", "polytope")
    lower, bits = worst_slopes(W, ends, 1000)
    assert lower <= corners.upper
    product = np.eye(3)
    for row in bits:
        product = W * ends[row.astype(int)] @ product
    assert np.abs(np.linalg.eigvals(product)).max() ** (1 / len(bits)) >= lower * (1 - 1e-12)
    assert lower >= 0.9 * corners.lower


def test_the_bounded_real_lemma_nears_the_radius_as_slopes_narrow():
    """Slopes near 1 leave little but W itself, whose radius no diagonal units reach."""
    W = np.random.default_rng(30).normal(size=(20, 20)) / math.sqrt(20)
    wide, narrow = (upper_of_hull(W, np.array([low, 1.0]))[0] for low in (0.0, 0.9))
    radius = np.abs(np.linalg.eigvals(W)).max()
    assert radius <= narrow < wide < np.linalg.norm(W, 2)
    assert narrow < 1.3 * radius


@pytest.mark.parametrize("factor", [0.3, 0.9, 1.0, 1.1, 3.0])
def test_a_polytope_of_a_wrong_radius_is_still_valid(factor):
    rng = np.random.default_rng(7)
    for matrices in (SHEARS, *rng.normal(size=(5, 2, 3, 3))):
        low, _ = brute_force(matrices, 4)
        seeds = rng.normal(size=(matrices.shape[1], 1))
        for slack in (1e-11, 0.05):
            upper, programs = polytope_bound(matrices, seeds, factor * low, slack, 300)
            assert upper >= low
            assert programs <= 301
            if factor == 3.0:
                assert upper <= factor * low * (1 + slack) * (1 + 1e-9)


def test_certified_radii_of_matrices_against_fifty_digits():
    """Below the true radius always; close to it where eigenvalues are well conditioned, complex or repeated too."""
    rng = np.random.default_rng(9)
    turn = np.kron(np.eye(2), _turn(2 * math.pi / 3))
    shear = np.array([[0.5, 1, 0], [0, 0.5, 1], [0, 0, 0.5]])
    plain = [rng.normal(size=(n, n)) for n in (1, 2, 5, 9)]
    cases = [*plain, turn, np.eye(4), *_similar([shear], rng.normal(size=(3, 3))), np.roll(np.eye(3), 1, 0)]
    for case in cases:
        matrix = case / np.linalg.norm(case)
        with mpmath.workdps(50):
            exact = mpmath.matrix(matrix)
            # Of a single number mpmath 1.3 gives eigenvectors too, asked for or not.
            found = [exact[0]] if exact.rows == 1 else mpmath.eig(exact, left=False, right=False)
            true = max(abs(x) for x in found)
        below = radius_below(matrix[None])
        low, high = power_bounds(matrix, 0.0)
        assert below <= true * (1 + mpmath.mpf(10) ** -20)
        assert mpmath.mpf(2) ** low <= true * (1 + mpmath.mpf(10) ** -20)
        assert true <= mpmath.mpf(2) ** high
        assert below >= float(true) * (1 - 1e-3)
    for case in plain:
        matrix = case / np.linalg.norm(case)
        assert radius_below(matrix[None]) >= np.abs(np.linalg.eigvals(matrix)).max() * (1 - 1e-10)


def test_a_cluster_hangs_together_by_steps_of_the_gap():
    values = np.array([-0.1, 0.8, 1.0, 0.9, 0.9j])
    assert _cluster(values, 0.1) == 3
    assert _cluster(values, 0.05) == 1
    assert _cluster(values, 2.0) == 5


def test_exact_means_ten_digits():
    found = joint_spectral_radius(SHEARS)
    for width, is_exact in ((0.0, True), (9e-11, True), (1.1e-10, False), (1e-3, False), (0.5, False)):
        ends = {"lower": 0.7, "upper": 0.7 * (1 + width)}
        assert dataclasses.replace(found, **ends).exact is is_exact


@pytest.mark.parametrize("exponent", [-1073, -1060, -1000, 0, 40])
def test_a_multiple_by_a_power_of_two_is_rounded_outward(exponent):
    """As fractions: below and above the multiple, by one float at most, and equal to it where floats hold it."""
    for value in (0.0, 0.75, GOLDEN / 2):
        below, above = (_shifted(value, exponent, side) for side in (-1, 1))
        true = Fraction(value) * Fraction(2) ** exponent
        assert 0 <= Fraction(below) <= true <= Fraction(above)
        assert above <= below + 3 * math.ulp(below)
        if exponent > -900:
            assert below == above == true


def test_balancing_is_a_change_of_units():
    """S A S⁻¹/2^e with S of powers of two, the same for every matrix; rows and columns come to one size."""
    rng = np.random.default_rng(11)
    matrices = rng.normal(size=(3, 4, 4)) * 10.0 ** rng.uniform(-9, 9, (1, 4, 1))
    found, exponent = balanced(matrices)
    ratio = np.ldexp(found / matrices, exponent)
    np.testing.assert_array_equal(ratio, np.broadcast_to(ratio[:1], ratio.shape))
    np.testing.assert_array_equal(np.frexp(ratio)[0], 0.5)
    np.testing.assert_array_equal(ratio[0], np.outer(ratio[0][:, 0], ratio[0][0]))
    assert 0.5 <= np.abs(found).max() <= 1
    sizes = np.abs(found).max(axis=0)
    np.fill_diagonal(sizes, 0)
    assert (sizes.max(axis=0) <= 16 * sizes.max(axis=1)).all()
    assert (sizes.max(axis=1) <= 16 * sizes.max(axis=0)).all()


def test_a_word_is_told_by_its_shortest_part_and_first_rotation():
    for word, first in (
        ((0, 0), (0,)),
        ((1, 0), (0, 1)),
        ((2, 0, 1, 2, 0, 1), (0, 1, 2)),
        ((1, 1, 0, 1), (0, 1, 1, 1)),
        ((3,), (3,)),
    ):
        assert _primitive(word) == first


def test_products_that_are_merged_are_as_far_apart_as_the_error_says():
    """Two that round to the same 13 digits stand for one another, so its error has their distance."""
    search = _Search(np.random.default_rng(0).normal(size=(1, 4, 4)), 1e-3)
    product = np.array([[0.5, 0.25, -0.125, 0.0625]] * 4)
    search.products = np.stack([product + 4.5e-14, product - 4.5e-14, 0.5 * product])
    search.slacks, search.shifts = np.array([1e-20, 3e-20, 1e-20]), np.zeros(3)
    search.bounds = np.array([1.0, 1.0, 0.9])
    assert search._distinct(np.arange(3)).tolist() == [0, 2]
    apart = np.linalg.norm(search.products[0] - search.products[1])
    assert apart <= search.slacks[0] < 10 * apart
    assert search.slacks[2] == 1e-20


def test_seeds_follow_the_product_from_factor_to_factor():
    """Each is where the factor before takes the last one over the radius, and the last factor closes the ring."""
    matrices = np.random.default_rng(2).uniform(0.1, 1, (2, 3, 3))
    word = (0, 1, 1, 0)
    product = matrices[0] @ matrices[1] @ matrices[1] @ matrices[0]
    radius = np.abs(np.linalg.eigvals(product)).max() ** 0.25
    seeds = _seeds(matrices, [word], radius)
    assert seeds.shape == (3, 4)
    assert np.abs(seeds).max() == 1
    for place, letter in enumerate(word):
        image = matrices[letter] @ seeds[:, place] / radius
        np.testing.assert_allclose(image, seeds[:, (place + 1) % 4], rtol=1e-12)


def test_the_upper_end_is_the_largest_norm_and_room_for_its_rounding():
    """Of eight units, sums of eight products: more than 8 units of rounding, and no more than 16 times as many."""
    rng = np.random.default_rng(0)
    turns = np.array([np.linalg.qr(rng.normal(size=(8, 8)))[0] for _ in range(2)])
    norm = np.linalg.norm(turns, 2, axis=(1, 2)).max()
    for budget in (1, 100):
        upper = joint_spectral_radius(turns, budget=budget, tolerance=1e-9).upper
        assert norm * (1 + 8 * 2.0**-52) <= upper <= norm * (1 + 130 * 2.0**-52)


@pytest.mark.parametrize(("point", "least"), [((1.0, 1.0), 1), ((2.0, 1.0), 2), ((-1.0, 3.0), 4)])
def test_the_weights_of_a_point_have_the_least_sum(point, least):
    """Over (1, 0), (0, 1) and (1, 1), where the least squares have a larger sum of sizes."""
    hull = _Hull(np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]))
    found = hull.weights(np.array(point), least)
    assert np.abs(found).sum() == pytest.approx(least, rel=1e-12)
    np.testing.assert_allclose(np.matmul(hull.vertices, found), point, rtol=1e-12)


def test_a_polytope_of_a_small_radius_has_that_radius():
    """The shears over 32: the polytope of the golden product, whose radius is far below 1."""
    seeds = np.linalg.eig(SHEARS[0] @ SHEARS[1])[1]
    upper, _ = polytope_bound(SHEARS / 32, seeds, GOLDEN / 32, 1e-11, 300)
    assert upper == pytest.approx(GOLDEN / 32, rel=1e-10)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9, 1.0, 1.1, 2.0])
def test_what_the_bounded_real_lemma_proves_of_one_unit(share):
    """P w² (c², c r; c r, r²) ≤ μ² diag(P − 1, 1) from μ² = P w² (c²/(P − 1) + r²) on, and not below."""
    for w, centre, reach, gram in ((0.7, 0.4, 0.6, 1.8), (1.1, 0.1, 0.9, 1.1), (0.2, 0.9, 0.1, 4.0)):
        true = math.sqrt(gram * w**2 * (centre**2 / (gram - 1) + reach**2))
        level = share * true
        found = _proved(np.array([[w]]), centre, reach, np.array([[gram]]), level)
        assert found >= max(level, true * (1 - 1e-15))
        if share >= 1:
            assert found == pytest.approx(level, rel=1e-11)
    assert _proved(np.eye(1), 0.5, 0.5, np.eye(1), 1.0) == math.inf


@pytest.mark.parametrize("seed", [3, 13, 39])
def test_climbing_reaches_the_corner_of_the_largest_radius(seed):
    """From all slopes high, where the leading eigenvalues are complex; the sixteen corners are listed."""
    W, ends = np.random.default_rng(seed).normal(size=(4, 4)), np.array([0.3, 1.0])
    bits = _uphill(W, ends, np.ones(4, bool))
    largest = max(np.abs(np.linalg.eigvals(corner)).max() for corner in slope_corners(W, 0.3, 1.0))
    assert np.abs(np.linalg.eigvals(W * ends[bits.astype(int)])).max() == pytest.approx(largest, rel=1e-12)


def test_many_units_know_no_lower_end_before_the_product_is_seen():
    """Of a product of two the history has 0 for products of one."""
    found = _many_units(0.3 * np.random.default_rng(3).normal(size=(4, 4)), 0.0, 1.0, 2000)
    assert len(found.word) == 2
    assert 0 < found.lower <= found.upper < 1
    assert found.history == [(0, found.upper), (found.lower, found.upper)]


def test_flips_are_tried_within_their_limit():
    W, ends = np.random.default_rng(0).normal(size=(4, 4)), np.array([0.0, 1.0])
    start = np.zeros((2, 4), bool)
    bits, tried = _flipped(W, ends, start, 7)
    assert tried == 0
    assert not bits.any()
    bits, tried = _flipped(W, ends, start, 100)
    assert 8 <= tried <= 100
    assert tried % 8 == 0


def test_the_bound_of_many_units_leaves_room_for_rounding():
    """Of the identity every bound is 1 in floats; sums of n products are known to n units of rounding."""
    for size in (2, 30):
        upper, _ = upper_of_hull(np.eye(size), np.array([0.0, 1.0]))
        assert 1 + size * 2.0**-52 <= upper <= 1 + 1e-12


def test_corners():
    corners = slope_corners([[1, 2], [3, 4]], 0, 0.5)
    assert corners.tolist() == [
        [[0, 0], [0, 0]],
        [[0, 1], [0, 2]],
        [[0.5, 0], [1.5, 0]],
        [[0.5, 1], [1.5, 2]],
    ]
    assert slope_corners(np.eye(3), 0.5, 0.5).shape == (1, 3, 3)
    assert isinstance(slope_radius(np.eye(2)), JointRadius)


@pytest.mark.parametrize(
    ("call", "arguments", "options", "name"),
    [
        (joint_spectral_radius, (np.ones((2, 2)),), {}, "matrices"),
        (joint_spectral_radius, (np.ones((1, 2, 3)),), {}, "matrices"),
        (joint_spectral_radius, (np.ones((0, 2, 2)),), {}, "matrices"),
        (joint_spectral_radius, (np.ones((1, 0, 0)),), {}, "matrices"),
        (joint_spectral_radius, ([[[np.nan]]],), {}, "matrices"),
        (joint_spectral_radius, ([[[1j]]],), {}, "matrices"),
        (joint_spectral_radius, ([[[1.0]]],), {"tolerance": 0}, "tolerance"),
        (joint_spectral_radius, ([[[1.0]]],), {"tolerance": np.inf}, "tolerance"),
        (joint_spectral_radius, ([[[1.0]]],), {"budget": 0}, "budget"),
        (joint_spectral_radius, ([[[1.0]]],), {"budget": 1.5}, "budget"),
        (slope_radius, (np.ones((2, 3)),), {}, "W"),
        (slope_radius, (np.ones((0, 0)),), {}, "W"),
        (slope_radius, ([[1.0]],), {"low": 2}, "high"),
        (slope_radius, ([[1.0]],), {"low": np.nan}, "low"),
        (slope_radius, ([[1.0]],), {"high": [1.0]}, "high"),
        (slope_radius, ([[1.0]],), {"tolerance": -1}, "tolerance"),
        (slope_radius, ([[1.0]],), {"budget": 0}, "budget"),
        (slope_corners, (np.eye(11), 0, 1), {}, "W"),
        (slope_corners, (np.eye(2), 1, 0), {}, "high"),
    ],
)
def test_wrong_arguments_are_named(call, arguments, options, name):
    with pytest.raises((TypeError, ValueError), match=rf"^{name}:"):
        call(*arguments, **options)


def test_traced_values_are_refused():
    with pytest.raises(TypeError, match=r"^matrices:"):
        jax.jit(lambda A: joint_spectral_radius(A).lower)(np.ones((1, 2, 2)))
    with pytest.raises(TypeError, match=r"^W:"):
        jax.jit(lambda W: slope_radius(W).lower)(np.eye(2))
