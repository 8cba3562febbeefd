"""Lyapunov exponents against closed forms, 50-digit Gram–Schmidt, and each other."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from jax.tree_util import Partial

from rnn_dynamics.cells import DoyaNeuron, ElmanRNN, PreActivationRNN
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.dynamics.lyapunov import covariant_vectors, finite_time_exponents, lyapunov_spectrum
from rnn_dynamics.dynamics.lyapunov.crossing import cycle_multiplier, transverse_growth
from rnn_dynamics.dynamics.lyapunov.frames import first_frame, measure
from rnn_dynamics.dynamics.lyapunov.spectrum import _total
from rnn_dynamics.numerics.status import Status
from rnn_dynamics.numerics.sweep import sweep
from rnn_dynamics.spectral.mean_field import mean_field
from tests.compilations import compilations
from tests.oracles import exponents as oracle

TOLERANCE = {"float64": 1e-12, "float32": 1e-5}


def _linear(A, x, u):
    return jnp.matmul(A, x, precision="highest")


def _times(x, u):
    return jnp.matmul(u, x, precision="highest")


def _logistic(r, x, u):
    return r * x * (1 - x)


def _tent(x, u):
    return 1 - jnp.abs(1 - 2 * x)


def _cat(x, u):
    return jnp.mod(jnp.stack([2 * x[0] + x[1], x[0] + x[1]]), 1)


def _henon(x, u):
    return jnp.stack([1 - 1.4 * jnp.square(x[0]) + x[1], 0.3 * x[0]])


def linear_run(A, steps=400, dtype="float64"):
    A = np.asarray(A, dtype)
    return rollout(Partial(_linear, jnp.asarray(A)), np.zeros(len(A), dtype), steps=steps)


def tanh_run(n=6, gain=1.8, steps=400, dtype="float64"):
    rng = np.random.default_rng(0)
    W, b = gain / np.sqrt(n) * rng.normal(size=(n, n)), 0.3 * rng.normal(size=n)
    return rollout(ElmanRNN(W.astype(dtype), b.astype(dtype)), np.full(n, 0.1, dtype), steps=steps)


@pytest.fixture(scope="module")
def henon():
    return rollout(Partial(_henon), np.array([0.1, 0.1]), steps=20_000)


# Linear maps


def test_linear_map_has_the_moduli_of_its_eigenvalues() -> None:
    rng = np.random.default_rng(1)
    blocks = np.zeros((4, 4))
    blocks[:2, :2] = 1.3 * np.array([[math.cos(1), -math.sin(1)], [math.sin(1), math.cos(1)]])
    blocks[2, 2], blocks[3, 3] = -0.5, 0.02
    turn = rng.normal(size=(4, 4))
    A = turn @ blocks @ np.linalg.inv(turn)
    found = lyapunov_spectrum(linear_run(A), interval=1, discard=200)
    expected = np.log([1.3, 1.3, 0.5, 0.02])
    # A complex pair turns its frame: each of the two swings about ln 1.3 by O(1/K), their sum does not.
    assert np.abs(np.asarray(found.values) - expected).max() < 5e-3
    assert abs(float(found.values[:2].sum()) - 2 * math.log(1.3)) < 1e-12
    assert np.abs(np.asarray(found.values[2:]) - expected[2:]).max() < 1e-12
    assert (np.asarray(found.status) == int(Status.RESOLVED)).all()


def test_diagonal_map_keeps_small_exponents_to_their_digits(dtype) -> None:
    moduli = np.array([1e-12, 2.0, 1.0, 1e-6])
    found = lyapunov_spectrum(linear_run(np.diag(moduli), dtype=dtype), interval=1, discard=200)
    assert found.values.dtype == dtype
    expected = np.sort(np.log(moduli))[::-1]
    assert np.abs(np.asarray(found.values, float) - expected).max() < TOLERANCE[dtype] * 30


def test_default_interval_falls_back_where_the_spread_is_wide() -> None:
    assert lyapunov_spectrum(linear_run(np.diag([1e-12, 2.0, 1.0, 1e-6])), discard=200).interval == 1
    assert lyapunov_spectrum(linear_run(np.diag([1.1, 2.0, 1.0, 1.5])), discard=200).interval > 1
    assert lyapunov_spectrum(linear_run(np.diag([1.1, 2.0])), discard=200).interval > 1


def test_orthogonal_map_has_all_exponents_equal(dtype) -> None:
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(4, 4)))[0]
    found = lyapunov_spectrum(linear_run(0.9 * turn, dtype=dtype), interval=1, discard=200)
    assert np.abs(np.asarray(found.values, float) - math.log(0.9)).max() < TOLERANCE[dtype]
    assert np.asarray(found.standard_errors).max() < TOLERANCE[dtype]
    assert float(found.kaplan_yorke) == 0 == float(found.entropy_rate)


def test_singular_map_is_minus_infinity_and_labelled() -> None:
    for A in ([[1.2, 0.3], [0.0, 0.0]], [[1.2, 0.0], [0.7, 0.0]], [[0.6, 0.3], [1.2, 0.6]]):
        found = lyapunov_spectrum(linear_run(A), discard=20)
        assert abs(float(found.values[0]) - math.log(1.2)) < 1e-12
        assert float(found.values[1]) == -math.inf
        assert float(found.standard_errors[1]) == math.inf
        assert found.status.tolist() == [int(Status.RESOLVED), int(Status.UNRESOLVED)]
        assert float(found.kaplan_yorke) == 1


def test_zero_map_is_minus_infinity() -> None:
    found = lyapunov_spectrum(linear_run(np.zeros((2, 2))), exponents=1)
    assert float(found.values[0]) == -math.inf
    assert int(found.status[0]) == int(Status.UNRESOLVED)
    assert "2 unresolved" in repr(lyapunov_spectrum(linear_run(np.zeros((2, 2)))))


@pytest.mark.parametrize("power", [-30, 0, 30])
def test_a_factorisation_is_measured_beside_the_lengths_of_its_columns(power: int, dtype: str) -> None:
    """A second column of 3 and 4 has length 5; 4 roundings of a column of 2 units are its zero."""
    R = np.array([[4, 3], [0, -4]], dtype) * np.array(2.0**power, dtype)
    found = measure(jnp.asarray(R), 2)
    np.testing.assert_allclose(found.logs, (2 + power) * math.log(2), rtol=4 * np.finfo(dtype).eps)
    np.testing.assert_allclose(found.loss, [1, 1.25], rtol=4 * np.finfo(dtype).eps)
    for roundings, is_zero in ((3, True), (6, False)):
        R[:, 1] = R[0, 0] * np.array([1, roundings * np.finfo(dtype).eps], dtype)
        found = measure(jnp.asarray(R), 2)
        assert bool(np.isneginf(found.logs[1])) is is_zero
        assert (float(found.loss[1]) == 1) is is_zero


def test_a_column_of_nothing_loses_nothing(dtype: str) -> None:
    for m in (1, 2):
        found = measure(jnp.zeros((m, m), dtype), m)
        assert (np.asarray(found.logs) == -math.inf).all()
        assert (np.asarray(found.loss) == 1).all()


# Sums and their errors


def test_standard_errors_are_those_of_the_mean_of_blocks() -> None:
    cell = ElmanRNN(np.random.default_rng(5).normal(0, 0.9, (6, 6)), np.zeros(6))
    found = lyapunov_spectrum(rollout(cell, np.full(6, 0.1), steps=900), blocks=7)
    means = np.asarray(found.block_means)
    wanted = means.std(axis=0, ddof=1) / math.sqrt(7)
    assert (wanted > 0).all()
    np.testing.assert_allclose(found.standard_errors, wanted, rtol=1e-10)
    centred = means - means.mean(axis=0)
    correlation = (centred[1:] * centred[:-1]).sum(axis=0) / (centred**2).sum(axis=0)
    np.testing.assert_allclose(found.block_correlation, correlation, rtol=1e-9)
    np.testing.assert_allclose(found.history, np.cumsum(means, axis=0) / np.arange(1, 8)[:, None], rtol=1e-13)


def test_what_a_long_sum_loses_is_added_again(dtype: str) -> None:
    large = 1 / np.finfo(dtype).eps
    terms = np.array([large, *[0.25] * 64, -large], dtype)[:, None, None]
    assert terms.sum(dtype=dtype) != 16
    assert float(_total(jnp.asarray(terms))[0, 0]) == 16


# Random products


def test_gaussian_products_follow_newman_and_standard_errors_are_calibrated() -> None:
    size, seeds, steps = 3, 300, 440
    factors = jax.random.normal(jax.random.key(3), (seeds, steps, size, size))

    def spectrum(u):
        found = lyapunov_spectrum(rollout(Partial(_times), jnp.zeros(size), u), interval=1, discard=40)
        return found.values, found.standard_errors

    values, errors = jax.vmap(spectrum)(factors)
    # Finite-time exponents come sorted; at 400 steps these three are apart by many standard errors.
    scores = (np.asarray(values) - oracle.newman(size)[None]) / np.asarray(errors)
    mean_error = np.asarray(values).std(axis=0) / math.sqrt(seeds)
    assert (np.abs(np.asarray(values).mean(axis=0) - oracle.newman(size)) < 4 * mean_error).all()
    # Student's t of 19 degrees of freedom has standard deviation 1.057.
    assert (np.abs(scores.std(axis=0) - 1.057) < 0.17).all()
    assert abs((np.abs(scores) < 1).mean() - 0.67) < 0.06


# Maps with known exponents


def test_one_dimensional_maps() -> None:
    logistic = rollout(Partial(_logistic, jnp.asarray(4.0)), 0.3, steps=20_000)
    found = lyapunov_spectrum(logistic)
    assert abs(float(found.values[0]) - math.log(2)) < 4 * float(found.standard_errors[0]) < 0.02
    tent = lyapunov_spectrum(rollout(Partial(_tent), 0.3, steps=400), interval=1)
    assert abs(float(tent.values[0]) - math.log(2)) < 1e-14
    cycle = rollout(Partial(_logistic, jnp.asarray(3.2)), 0.3, steps=20_000)
    assert abs(float(lyapunov_spectrum(cycle).values[0]) - oracle.two_cycle(3.2)) < 1e-10


def test_cat_map() -> None:
    found = lyapunov_spectrum(rollout(Partial(_cat), np.array([0.2, 0.5]), steps=400))
    expected = math.log((3 + math.sqrt(5)) / 2)
    assert np.abs(np.asarray(found.values) - np.array([expected, -expected])).max() < 1e-10
    assert float(found.entropy_rate) == pytest.approx(expected, abs=1e-10)
    assert abs(float(found.values.sum())) < 1e-10


@pytest.mark.shipped
@pytest.mark.parametrize("interval", [None, 1])
def test_henon_sums_to_the_log_of_its_determinant(henon, interval) -> None:
    found = lyapunov_spectrum(henon, interval=interval, start=1000)
    assert abs(float(found.values.sum()) - math.log(0.3)) < 1e-13
    assert abs(float(found.values[0]) - 0.41922) < 4 * float(found.standard_errors[0])
    assert 0 < float(found.standard_errors[0]) < 0.01
    assert abs(float(found.kaplan_yorke) - 1.258) < 0.01
    assert np.abs(found.history[-1] - found.values).max() < 1e-13
    assert (np.abs(np.asarray(found.block_correlation)) < 0.6).all()


def test_one_neuron_chaos() -> None:
    run = rollout(DoyaNeuron(-100.0, 90.0, 0.5), 0.3, steps=20_000)
    found = lyapunov_spectrum(run)
    assert abs(float(found.values[0]) - 0.42) < 0.02
    assert found.units == 1
    assert float(found.kaplan_yorke) == 1


def test_at_a_fixed_point_exponents_are_the_logs_of_the_multipliers() -> None:
    run = tanh_run(gain=0.7)
    assert np.abs(run.states[200] - run.final).max() < 1e-12
    found = lyapunov_spectrum(run, start=200, interval=1, discard=100)
    slopes = 1 - np.asarray(run.final) ** 2
    moduli = np.log(np.sort(np.abs(np.linalg.eigvals(slopes[:, None] * np.asarray(run.cell.W))))[::-1])
    assert np.abs(np.cumsum(found.values) - np.cumsum(moduli)).max() < 0.05
    assert abs(float(found.values.sum()) - moduli.sum()) < 1e-12


@pytest.mark.parametrize("interval", [1, 2])
def test_short_trajectory_against_fifty_digits(interval) -> None:
    run = tanh_run(steps=40)
    found = lyapunov_spectrum(run, interval=interval, discard=0, blocks=1)
    frame = np.asarray(first_frame(None, 6, 6, run.states.dtype))
    with mpmath.workdps(oracle.DIGITS):
        jacobians = oracle.tanh_jacobians(
            np.asarray(run.cell.W), np.asarray(run.cell.b), np.asarray(run.states[:-1])
        )
        expected = oracle.gram_schmidt_exponents(jacobians, frame)
    allowed = np.maximum(np.asarray(found.rounding), 1e-13) * 10
    assert (np.abs(np.asarray(found.values) - np.sort(expected)[::-1]) < allowed).all()


def test_default_interval_agrees_with_every_step(dtype) -> None:
    run = tanh_run(steps=2000, dtype=dtype)
    fast = lyapunov_spectrum(run)
    slow = lyapunov_spectrum(run, interval=1, discard=fast.discarded)
    assert fast.interval > 1
    assert fast.block_length == slow.block_length
    allowed = 10 * np.asarray(fast.rounding) + {"float64": 1e-12, "float32": 1e-5}[dtype]
    assert (np.abs(np.asarray(fast.values - slow.values)) < allowed).all()
    assert (np.asarray(fast.rounding) < {"float64": 1.5e-8, "float32": 4e-4}[dtype]).all()


def test_first_exponents_are_those_of_the_full_spectrum() -> None:
    run = tanh_run(steps=2000)
    full = lyapunov_spectrum(run, interval=1)
    for count in (1, 2):
        some = lyapunov_spectrum(run, exponents=count, interval=1)
        assert some.values.shape == (count,)
        assert some.frame.shape == (6, count)
        assert np.abs(some.values - full.values[:count]).max() < 1e-2
        if count < 2 or float(some.values.sum()) < 0:
            continue
        assert math.isnan(float(some.kaplan_yorke))


def test_cell_without_closed_jacobian_is_pushed_forward() -> None:
    run = tanh_run(steps=400)
    plain = rollout(Partial(_elman, run.cell.W, run.cell.b), run.initial, steps=400)
    closed, pushed = lyapunov_spectrum(run, interval=1), lyapunov_spectrum(plain, interval=1)
    assert np.abs(closed.values - pushed.values).max() < 1e-9


def _elman(W, b, x, u):
    return jnp.tanh(jnp.matmul(W, x, precision="highest") + b)


def _mean_field_difference(size, steps, seeds):
    found = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        J = 1.5 / np.sqrt(size) * rng.normal(size=(size, size))
        run = rollout(
            PreActivationRNN(J, np.zeros(size), activation="tanh"), rng.normal(size=size), steps=steps
        )
        found.append(float(lyapunov_spectrum(run, exponents=1, start=100).values[0]))
    return np.array(found) - mean_field(1.5).exponent


def test_random_network_is_near_its_mean_field_exponent() -> None:
    assert abs(_mean_field_difference(150, 600, range(3)).mean()) < 0.04


@pytest.mark.soak
def test_large_random_network_has_its_mean_field_exponent() -> None:
    assert abs(_mean_field_difference(1500, 1500, range(3)).mean()) < 0.01


# Labels and errors


def test_divergence_is_labelled() -> None:
    run = rollout(Partial(_henon), np.array([5.0, 5.0]), steps=400)
    found = lyapunov_spectrum(run)
    assert (np.asarray(found.status) == int(Status.DIVERGED)).all()
    assert "diverged" in repr(found)
    assert np.isnan(found.values).all()
    assert math.isnan(float(found.kaplan_yorke))
    assert math.isnan(float(found.entropy_rate))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"exponents": 0}, "exponents: expected an integer from 1 to 2, got 0"),
        ({"exponents": 3}, "exponents: expected an integer from 1 to 2, got 3"),
        ({"interval": 0}, "interval: expected an integer of at least 1"),
        ({"blocks": 0}, "blocks: expected an integer of at least 1"),
        ({"discard": -1}, "discard: expected an integer of at least 0"),
        ({"discard": 390}, "blocks: 20 blocks"),
        ({"interval": 30}, "blocks: 20 blocks"),
        ({"start": 399}, "blocks: 20 blocks"),
        ({"start": 401}, "start: expected an integer from 0 to 400"),
    ],
)
def test_bad_arguments_are_named(options, words) -> None:
    run = linear_run(np.eye(2))
    with pytest.raises(ValueError, match=words):
        lyapunov_spectrum(run, **options)


def test_bad_types_are_named() -> None:
    with pytest.raises(TypeError, match="trajectory"):
        lyapunov_spectrum(np.zeros(3))
    with pytest.raises(TypeError, match="interval"):
        lyapunov_spectrum(linear_run(np.eye(2)), interval=1.5)


def test_kaplan_yorke_dimension() -> None:
    def dimension(moduli, **options):
        return float(lyapunov_spectrum(linear_run(np.diag(moduli)), **options).kaplan_yorke)

    assert dimension([2.0, 0.25]) == pytest.approx(1.5)
    assert dimension([4.0, 0.5]) == 2
    assert dimension([3.0, 0.9, 0.1]) == pytest.approx(2 + math.log(2.7) / math.log(10))
    assert dimension([0.5, 0.25]) == 0
    assert math.isnan(dimension([2.0, 0.25], exponents=1))
    assert dimension([0.5, 0.25], exponents=1) == 0


def test_a_repeated_shape_compiles_once() -> None:
    runs = [tanh_run(gain=gain, steps=300) for gain in (1.7, 1.9)]
    first = lyapunov_spectrum(runs[0])
    with compilations() as found:
        second = lyapunov_spectrum(runs[1])
    assert second.interval != first.interval or found.count == 0


# Batches and derivatives


def test_vmap_gives_what_a_loop_gives() -> None:
    cell, starts = tanh_run().cell, np.random.default_rng(5).normal(size=(3, 6))

    def values(x0):
        return lyapunov_spectrum(rollout(cell, x0, steps=100), blocks=5).values

    batch = jax.vmap(values)(jnp.asarray(starts))
    each = np.stack(
        [lyapunov_spectrum(rollout(cell, x, steps=100), blocks=5, interval=1).values for x in starts]
    )
    assert np.abs(np.asarray(batch) - each).max() < 1e-10


def test_gradient_of_a_flossing_loss_against_finite_differences() -> None:
    rng = np.random.default_rng(6)
    W, direction = rng.normal(size=(2, 4, 4)) * 0.6

    def loss(weights):
        run = rollout(ElmanRNN(weights, jnp.full(4, 0.2)), jnp.full(4, 0.1), steps=30)
        return jnp.sum(jnp.square(lyapunov_spectrum(run, blocks=3, discard=3, interval=1).values))

    compiled = jax.jit(loss)
    coarse, fine = (
        (compiled(W + h * direction) - compiled(W - h * direction)) / (2 * h) for h in (1e-4, 5e-5)
    )
    slope = (4 * fine - coarse) / 3
    gradient = jax.jit(jax.grad(loss))(jnp.asarray(W))
    assert float(jnp.sum(gradient * direction)) == pytest.approx(float(slope), rel=1e-7)


# Covariant vectors


def test_covariant_vectors_grow_at_their_exponents_and_map_to_one_another() -> None:
    run = tanh_run(steps=1000)
    found = covariant_vectors(run, before=300, after=300)
    assert (found.start, found.stop) == (300, 700)
    assert found.vectors.shape == (401, 6, 6)
    slopes = 1 - np.asarray(run.states[301:701]) ** 2
    jacobians = slopes[:, :, None] * np.asarray(run.cell.W)
    vectors = np.asarray(found.vectors)
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-12
    pushed = np.einsum("tij,tjk->tik", jacobians, vectors[:-1])
    lengths = np.linalg.norm(pushed, axis=1)
    assert np.abs(np.log(lengths) - found.log_growth).max() < 1e-8
    cosine = np.abs((pushed / lengths[:, None]) * vectors[1:]).sum(axis=1)
    apart = pushed / lengths[:, None]
    apart = apart - (apart * vectors[1:]).sum(axis=1, keepdims=True) * vectors[1:]
    assert np.linalg.norm(apart, axis=1).max() < 1e-8
    assert cosine.shape == (400, 6)
    spectrum = lyapunov_spectrum(run, start=300, stop=700, discard=0, interval=1)
    assert np.abs(np.sort(found.exponents) - np.sort(spectrum.values)).max() < 0.05
    angles = np.asarray(found.angles())
    assert angles.shape == (401, 6, 6)
    assert angles.min() >= 0
    assert angles.max() <= math.pi / 2
    assert np.abs(angles[:, range(6), range(6)]).max() == 0


@pytest.mark.parametrize("turn", [np.eye(3), np.linalg.qr(np.random.default_rng(8).normal(size=(3, 3)))[0]])
def test_covariant_vectors_at_a_fixed_point_are_eigenvectors(turn: np.ndarray) -> None:
    A = turn @ np.array([[1.5, 0.4, 0.1], [0.0, 0.8, 0.7], [0.0, 0.0, 0.3]]) @ turn.T
    found = covariant_vectors(linear_run(A, steps=300))
    values, vectors = np.linalg.eig(A)
    order = np.argsort(-np.abs(values))
    cosine = np.abs((vectors[:, order] * np.asarray(found.vectors[0])).sum(axis=0))
    assert np.abs(cosine - 1).max() < 1e-12
    assert np.abs(found.exponents - np.log(np.abs(values[order]))).max() < 1e-12
    expected = np.arccos(abs(vectors[:, order[0]] @ vectors[:, order[1]]))
    assert abs(float(found.angles()[0, 0, 1]) - expected) < 1e-9


def test_covariant_vectors_up_to_the_last_state_have_length_one_too() -> None:
    A = np.array([[1.5, 0.4, 0.1], [0.0, 0.8, 0.7], [0.0, 0.0, 0.3]])
    found = covariant_vectors(linear_run(A, steps=60), before=20, after=0)
    vectors = np.asarray(found.vectors)
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-12
    lengths = np.linalg.norm(np.einsum("ij,tjk->tik", A, vectors[:-1]), axis=1)
    assert np.abs(np.log(lengths) - found.log_growth).max() < 1e-10
    assert f"λ_1 = {np.asarray(found.log_growth)[:, 0].mean():.5g}" in repr(found)
    assert abs(np.asarray(found.log_growth)[-1, 0] - math.log(1.5)) < 1e-12


def test_covariant_vectors_take_a_gibibyte_where_nothing_else_is_said() -> None:
    """A frame and a triangle of 300 × 300 numbers of 8 bytes, and as much again, are 2.88 MB a step."""
    run = rollout(Partial(_linear, jnp.eye(300)), np.zeros(300), steps=373)
    with pytest.raises(ValueError, match="take 1074240000 bytes, expected at most 1073741824"):
        covariant_vectors(run, before=0, after=0)


def test_the_doubt_of_a_multiplier_is_that_of_its_product() -> None:
    """64 n p u ‖M‖ κ/|μ|, with the eigenvalue's condition κ = |l| |r|/|l·r|: M of many like entries, not normal."""
    period, A = 3, np.ones((5, 5)) + np.triu(np.full((5, 5), 2.0))
    M = np.linalg.matrix_power(A, period)
    found, doubt = cycle_multiplier(Partial(_linear, jnp.asarray(A)), np.zeros((period, 5)), None)
    values, right = np.linalg.eig(M)
    mu, r = values.real.max(), right[:, values.real.argmax()].real
    left_values, left = np.linalg.eig(M.T)
    left = left[:, left_values.real.argmax()].real
    condition = np.linalg.norm(left) * np.linalg.norm(r) / abs(np.dot(left, r))
    assert found == pytest.approx(math.log(mu), abs=1e-12)
    assert condition > 1.1
    unit = float(np.finfo(float).eps)
    expected = 64 * 5 * period * unit * np.linalg.norm(M) / mu * condition
    assert doubt == pytest.approx(expected, rel=1e-6, abs=0)


def test_cycles_of_nearly_one_length_are_one_program() -> None:
    cell = Partial(_linear, 2 * jnp.eye(7))
    assert cycle_multiplier(cell, np.zeros((5, 7)), None)[0] == pytest.approx(5 * math.log(2))
    with compilations() as fresh:
        assert cycle_multiplier(cell, np.zeros((7, 7)), None)[0] == pytest.approx(7 * math.log(2))
    assert fresh.count == 0


@pytest.mark.parametrize("rate", [0.5, 4.0])
def test_growth_across_a_subspace_is_that_of_its_own_multiplier(rate: float) -> None:
    """The first axis is kept to by the second line of [[3, 1], [0, rate]], the second one by nothing."""
    cell, states = Partial(_linear, jnp.array([[3.0, 1.0], [0.0, rate]])), np.zeros((6, 2))
    growth = transverse_growth(cell, states, None, np.diag([0.0, 1.0]))
    assert growth == pytest.approx(6 * math.log(rate), rel=1e-14)
    assert transverse_growth(cell, states, None, np.diag([1.0, 0.0])) is None


def test_covariant_vectors_label_what_they_cannot_find() -> None:
    run = linear_run([[1.2, 0.3], [0.0, 0.0]], steps=300)
    assert int(Status.UNRESOLVED) in covariant_vectors(run).status.tolist()
    with pytest.raises(ValueError, match="memory_limit"):
        covariant_vectors(run, memory_limit=1000)
    with pytest.raises(ValueError, match="before, after"):
        covariant_vectors(run, before=200, after=100)
    diverged = rollout(Partial(_henon), np.array([5.0, 5.0]), steps=300)
    assert (np.asarray(covariant_vectors(diverged).status) == int(Status.DIVERGED)).all()


# Fields


def test_field_over_starts_agrees_with_the_spectrum() -> None:
    cell = tanh_run().cell
    starts = np.random.default_rng(7).normal(size=(2, 3, 6))
    field = finite_time_exponents(cell, starts, steps=100, exponents=2)
    assert field.values.shape == (2, 3, 2)
    assert field.status.shape == (2, 3)
    assert field.final.shape == starts.shape
    assert (field.values[..., 0] >= field.values[..., 1]).all()
    run = rollout(cell, starts[1, 2], steps=100)
    one = lyapunov_spectrum(run, exponents=2, discard=0, blocks=1, interval=1)
    assert np.abs(field.values[1, 2] - one.values).max() < 1e-10
    assert np.abs(field.final[1, 2] - run.final).max() < 1e-10


@pytest.mark.shipped
def test_field_over_parameters_in_chunks() -> None:
    r = np.array([3.2, 4.0, 3.5, 5.0, 4.0])
    whole = finite_time_exponents(_map_of, 0.3, parameters=(r,), steps=4000, discard=400, state_ndim=0)
    parts = finite_time_exponents(
        _map_of, 0.3, parameters=(r,), steps=4000, discard=400, state_ndim=0, chunk=2
    )
    assert whole.values.shape == (5, 1)
    assert np.array_equal(whole.largest, parts.largest, equal_nan=True)
    assert abs(whole.largest[0] - oracle.two_cycle(3.2)) < 1e-10
    assert abs(whole.largest[1] - math.log(2)) < 0.02
    assert whole.status[3] == int(Status.DIVERGED)
    assert math.isnan(whole.largest[3])
    assert "1 diverged" in repr(whole)


def _map_of(r):
    return Partial(_logistic, r)


def test_the_field_in_a_sweep_is_that_of_its_parameters() -> None:
    """0.6875 is a repelling fixed point of r = 3.2 and a float: its orbit rests there, which the label says."""
    r = np.array([3.2, 4.0, 3.5, 5.0])
    known = finite_time_exponents(_map_of, 0.6875, parameters=(r,), steps=400, discard=40, state_ndim=0)

    def of_one(r: Any) -> dict[str, Any]:
        found = finite_time_exponents(Partial(_logistic, r), 0.6875, steps=400, discard=40, state_ndim=0)
        return {"exponent": found.largest, "status": found.status, "period": found.periods}

    found = sweep(of_one, {"r": r})
    np.testing.assert_allclose(found["exponent"], known.largest, rtol=1e-12)
    assert found["status"].tolist() == known.status.tolist()
    assert found["period"].tolist() == known.periods.tolist()
    assert found["status"][[0, 3]].tolist() == [int(Status.UNRESOLVED), int(Status.DIVERGED)]


@pytest.mark.parametrize("fed", [False, True])
def test_the_field_in_a_sweep_exempts_affine_maps_at_rest(fed: bool) -> None:
    """x → 2x at 0 repeats and grows, as every orbit of an affine map does; inputs may be traced too."""

    def of_one(a: Any) -> dict[str, Any]:
        inputs = jnp.full((8, 1), a) if fed else None
        cell = Partial(_scaled) if fed else Partial(_linear, jnp.eye(1) * a)
        found = finite_time_exponents(cell, np.zeros((2, 1)), steps=8, inputs=inputs)
        return {"exponents": found.exponents, "status": found.status}

    found = sweep(of_one, {"a": [2.0, 0.5]})
    np.testing.assert_allclose(found["exponents"][..., 0], np.log([[2.0] * 2, [0.5] * 2]), rtol=1e-12)
    assert (found["status"] == int(Status.RESOLVED)).all()


def test_field_of_a_grid_of_neurons() -> None:
    w, b = np.array([5.0, -100.0]), np.array([[-2.5], [90.0]])
    half = jax.tree_util.Partial(DoyaNeuron, epsilon=0.5)
    found = finite_time_exponents(half, 0.3, parameters=(w, b), steps=2000, discard=100, state_ndim=0)
    assert found.values.shape == (2, 2, 1)
    assert abs(found.largest[1, 1] - 0.42) < 0.03
    assert found.largest[0, 0] < 0


def test_field_with_inputs_leaves_the_first_steps_and_their_inputs_out() -> None:
    """The exponent of a product of numbers is the mean of the logarithms that are kept."""
    u = np.exp(np.random.default_rng(3).normal(size=(12, 1)))
    field = finite_time_exponents(Partial(_scaled), np.ones((1, 1)), steps=7, discard=5, inputs=u)
    assert abs(field.values.item() - np.log(u[5:]).mean()) < 1e-12
    assert abs(field.final.item() - u.prod()) < 1e-12


def _scaled(x, u):
    return u * x


@pytest.mark.parametrize(("steps", "resolved"), [(10, False), (0, True)])
def test_a_short_rest_of_one_unit_at_a_repelling_point_is_seen(steps: int, resolved: bool) -> None:
    """r x (1 − x) has slope 2 − r at 1 − 1/r, which is a float for r = 3.2: ten steps grow by 6, e^1.8."""
    field = finite_time_exponents(Partial(_logistic, 3.2), 0.6875 if steps else 0.3, steps=10, state_ndim=0)
    assert (field.status.item() == int(Status.RESOLVED)) == resolved
    assert field.periods.item() == (0 if resolved else 1)


def test_the_first_exponent_tells_a_repelling_point_from_one_at_rest() -> None:
    """The cat map at 0 repeats after one step; its second exponent falls as the first grows."""
    field = finite_time_exponents(Partial(_cat), np.zeros((1, 2)), steps=40, exponents=2)
    assert (field.periods.item(), field.status.item()) == (1, int(Status.UNRESOLVED))
    golden = 2 * math.log((1 + math.sqrt(5)) / 2)
    assert np.abs(field.values[0] - [golden, -golden]).max() < 1e-2


def test_field_refuses_what_does_not_fit() -> None:
    cell = tanh_run().cell
    with pytest.raises(ValueError, match="exponents"):
        finite_time_exponents(cell, np.zeros((2, 6)), steps=5, exponents=7)
    with pytest.raises(ValueError, match="steps"):
        finite_time_exponents(cell, np.zeros((2, 6)), steps=0)
    with pytest.raises(ValueError, match="state_ndim"):
        finite_time_exponents(cell, np.zeros((2, 6)), steps=5, state_ndim=2)
    with pytest.raises(ValueError, match="starts"):
        finite_time_exponents(cell, 0.3, steps=5)
    with pytest.raises(ValueError, match="starts"):
        finite_time_exponents(cell, np.zeros((0, 6)), steps=5)
    with pytest.raises(TypeError, match="x0"):
        finite_time_exponents(cell, np.zeros((2, 5)), steps=5)
