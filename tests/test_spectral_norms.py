"""Spectral norms of every product against balls, closed forms and NumPy's decomposition of explicit products."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnn_dynamics.cells import DoyaNeuron, ElmanRNN
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.gradients.jacobians import gradient_norms
from rnn_dynamics.gradients.spectral_norms import spectral_norms
from rnn_dynamics.numerics.status import Status
from tests.compilations import compilations
from tests.oracles import products
from tests.test_jacobians import NETWORKS, cell_of

TOLERANCE = {"float64": 1e-10, "float32": 1e-5}
FORMS = pytest.mark.parametrize("matrix_free", [False, True], ids=["explicit", "matrix-free"])
#: Of most products below, so that they are one program.
STEPS, UNITS = 30, 40


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Factors:
    """x ← u x: the inputs are the Jacobians."""

    def __call__(self, x, u):
        return jnp.matmul(u, x, precision="highest")


def path_of(factors, dtype="float64"):
    return rollout(Factors(), np.zeros(factors.shape[1], dtype), np.asarray(factors, dtype))


def decomposed(factors) -> np.ndarray:
    """ln of the largest singular value of every product, by NumPy; each product is divided by its size."""
    product, log, found = np.eye(factors.shape[1]), 0.0, [0.0]
    for factor in factors[::-1]:
        product = product @ factor
        size = np.abs(product).max()
        product, log = product / size, log + np.log(size)
        found.append(log + np.log(np.linalg.svd(product, compute_uv=False)[0]))
    return np.array(found[::-1])


def rotation(rng, n):
    return np.linalg.qr(rng.normal(size=(n, n)))[0]


def _crossing(rng, n=UNITS, steps=STEPS):
    """Diagonal: three directions lead in turn; norms are the largest of the column sums of logarithms."""
    sizes = np.full((steps, n), 0.9)
    sizes[20:, 0], sizes[:20, n // 2], sizes[:10, -1] = 1.5, 1.7, 5.0
    return np.stack([np.diag(row) for row in sizes])


def _two_blocks(rng, n=UNITS, steps=STEPS):
    factors = np.zeros((steps, n, n))
    for t, factor in enumerate(factors):
        first, second = (1.3, 0.8) if t >= 15 else (0.8, 1.35)
        factor[: n // 2, : n // 2] = first * rng.normal(size=(n // 2, n // 2)) / np.sqrt(n // 2)
        factor[n // 2 :, n // 2 :] = second * rng.normal(size=(n // 2, n // 2)) / np.sqrt(n // 2)
    return factors


def _nearly_equal(rng, n=UNITS, steps=STEPS):
    sizes = np.full((steps, n), 0.5)
    sizes[:, :3] = 1 + 1e-6 * np.array([0, 1, -1])
    sizes[:15, 5], sizes[:15, -1] = 1 + 3e-5, 2 * (1 + 2e-6)
    return np.stack([np.diag(row) for row in sizes])


def _cluster(rng, n=UNITS, steps=STEPS):
    """Twelve equal leading values, more than a block holds."""
    return np.stack([rotation(rng, n) * np.r_[np.ones(12), np.full(n - 12, 0.9)] for _ in range(steps)])


HARD = {
    "crossing": _crossing,
    "two blocks": _two_blocks,
    "nearly equal": _nearly_equal,
    "cluster": _cluster,
    "permutations": lambda rng: np.stack([np.eye(UNITS)[rng.permutation(UNITS)] for _ in range(STEPS)]),
    "hidden": lambda rng: np.stack(
        [np.diag(np.r_[np.linspace(1, 0.9, UNITS - 1), 1e8 if t < 10 else 1e-9]) for t in range(STEPS)]
    ),
    "two units": lambda rng: rng.normal(size=(STEPS, 2, 2)),
    "twelve units": lambda rng: rng.normal(size=(STEPS, 12, 12)),
}


@pytest.mark.parametrize(
    ("dtype", "matrix_free"),
    [("float64", True), ("float32", False), pytest.param("float64", False, marks=pytest.mark.soak)],
)
@pytest.mark.parametrize("name", HARD)
def test_products_made_to_be_missed(name, dtype, matrix_free):
    factors = HARD[name](np.random.default_rng(3)).astype(dtype).astype(float)
    found = spectral_norms(path_of(factors, dtype), matrix_free=matrix_free)
    truth, status = decomposed(factors), np.asarray(found.status)
    rounding = 100 * np.finfo(dtype).eps * np.maximum(1, np.abs(truth))
    error = np.abs(np.asarray(found.log, float) - truth)
    assert (error <= np.asarray(found.log_errors, float) + rounding).all(), error.max()
    resolved = status == Status.RESOLVED
    assert (np.asarray(found.log_errors)[resolved] <= TOLERANCE[dtype]).all()
    assert resolved.all() or (matrix_free and (status[~resolved] == Status.MAX_STEPS).all())


def test_diagonal_products_that_cross_in_closed_form():
    factors = _crossing(None)
    logs = np.log(np.diagonal(factors, axis1=1, axis2=2))
    sums = np.concatenate([np.cumsum(logs[::-1], axis=0)[::-1], np.zeros((1, logs.shape[1]))])
    found = spectral_norms(path_of(factors))
    np.testing.assert_allclose(found.log, sums.max(axis=1), rtol=1e-13, atol=1e-13)
    leading = np.abs(np.asarray(found.left))[:-1].argmax(axis=1)
    assert set(leading) == {0, 20, 39}
    np.testing.assert_array_equal(leading, sums[:-1].argmax(axis=1))


@pytest.mark.parametrize("name", ["fixed point, logistic", "circle", "saturated", "rank one", "dead unit"])
def test_long_products_over_hundreds_of_decades(name):
    net, x0 = NETWORKS[name]
    lags = [0, 1, 500, 1999, 2000]
    truth = np.array([float(v) for v in products.log2_norms(net, x0, 2000, lags)]) * np.log(2)
    found = spectral_norms(rollout(cell_of(net), x0, steps=2000))
    np.testing.assert_allclose(np.asarray(found.log)[lags], truth, rtol=1e-12, atol=1e-12)


def test_a_wide_network_over_hundreds_of_decades(dtype):
    """Products of 40 units whose sizes jump by sixty decades, against NumPy's decomposition."""
    rng = np.random.default_rng(5)
    sizes = 10.0 ** rng.integers(-30, 20, (STEPS, 1, 1))
    factors = (rng.normal(size=(STEPS, UNITS, UNITS)) * sizes).astype(dtype)
    found = spectral_norms(path_of(factors, dtype))
    truth = decomposed(factors.astype(float))
    assert np.ptp(truth) > 100
    np.testing.assert_allclose(found.log, truth, rtol=1e-13 if dtype == "float64" else 1e-6, atol=2e-5)


@FORMS
def test_rank_one_has_the_frobenius_norm(matrix_free):
    rng = np.random.default_rng(1)
    factors = np.stack([np.outer(a, b) for a, b in rng.normal(size=(STEPS, 2, UNITS))])
    path = path_of(factors)
    found = spectral_norms(path, matrix_free=matrix_free)
    reference = np.asarray(gradient_norms(path, ord="fro"))
    np.testing.assert_allclose(found.log[:-1], reference[:-1], rtol=1e-11)


@FORMS
def test_orthogonal_weights(dtype, matrix_free):
    rng = np.random.default_rng(2)
    factors = np.stack([1.25 * rotation(rng, UNITS) for _ in range(STEPS)])
    found = spectral_norms(path_of(factors, dtype), matrix_free=matrix_free)
    limit = 1e-13 if dtype == "float64" else 1e-5
    np.testing.assert_allclose(found.log, np.arange(STEPS, -1, -1) * np.log(1.25), rtol=limit, atol=limit)
    assert (np.asarray(found.status) == Status.RESOLVED).all()


def test_directions():
    rng = np.random.default_rng(4)
    factors = rng.normal(size=(STEPS, UNITS, UNITS))
    found = spectral_norms(path_of(factors))
    product = np.eye(UNITS)
    for k in range(STEPS)[::-1]:
        product = product @ factors[k]
        left, values, right = np.linalg.svd(product)
        assert abs(left[:, 0] @ np.asarray(found.left[k])) == pytest.approx(1, abs=1e-7)
        assert abs(right[0] @ np.asarray(found.right[k])) == pytest.approx(1, abs=1e-7)
        grown = product @ np.asarray(found.right[k])
        np.testing.assert_allclose(grown, values[0] * np.asarray(found.left[k]), atol=1e-4 * values[0])


@FORMS
def test_nothing_passes_a_zero_step(matrix_free):
    rng = np.random.default_rng(6)
    factors = rng.normal(size=(STEPS, UNITS, UNITS))
    factors[4] = 0
    found = spectral_norms(path_of(factors), matrix_free=matrix_free)
    assert np.isneginf(np.asarray(found.log)[:5]).all()
    assert (np.asarray(found.status)[:5] == Status.UNRESOLVED).all()
    assert (np.asarray(found.status)[5:] == Status.RESOLVED).all()
    assert not any(np.isnan(np.asarray(leaf)).any() for leaf in jax.tree.leaves(found))


@FORMS
def test_a_diverged_trajectory_says_so(matrix_free):
    cell = ElmanRNN(np.diag(np.r_[1e200, np.ones(11)]), np.zeros(12), activation="linear")
    found = spectral_norms(rollout(cell, np.ones(12), steps=4), matrix_free=matrix_free)
    assert (np.asarray(found.status)[:3] == Status.DIVERGED).all()
    path = path_of(np.stack([np.eye(UNITS)] * STEPS))
    broken = dataclasses.replace(path, inputs=path.inputs.at[1, 0, 0].set(jnp.nan))
    found = spectral_norms(broken, matrix_free=matrix_free)
    assert np.isnan(np.asarray(found.log)[:2]).all()
    assert np.isfinite(np.asarray(found.log)[2:]).all()
    np.testing.assert_array_equal(found.status, [Status.DIVERGED] * 2 + [Status.RESOLVED] * (STEPS - 1))


@FORMS
def test_neurons_and_nothing_between(matrix_free):
    neuron = rollout(DoyaNeuron(5.0, -2.4), 0.3, steps=50)
    found = spectral_norms(neuron, matrix_free=matrix_free)
    np.testing.assert_allclose(found.log, gradient_norms(neuron), rtol=1e-12, atol=1e-14)
    assert found.left.shape == (51, 1)
    for n in (1, 15) if matrix_free else (2,):
        nothing = spectral_norms(rollout(ElmanRNN(np.eye(n), np.zeros(n)), np.ones(n), steps=3), stop=0)
        assert nothing.log.tolist() == [0]
        assert nothing.status.tolist() == [Status.RESOLVED]


@FORMS
def test_jit_vmap_and_one_compilation(matrix_free):
    rng = np.random.default_rng(7)
    cell, starts = ElmanRNN(rng.normal(size=(16, 16)) / 3, np.zeros(16)), rng.normal(size=(2, 16))

    def logs(x):
        return spectral_norms(rollout(cell, x, steps=12), matrix_free=matrix_free).log

    together = jax.jit(jax.vmap(logs))(starts)
    for start, values in zip(starts, together, strict=True):
        np.testing.assert_allclose(values, logs(start), rtol=2e-10, atol=2e-10)
    path = rollout(cell, starts[0], steps=12)
    spectral_norms(path, matrix_free=matrix_free)
    other = rollout(cell, starts[1], steps=12)
    with compilations() as found:
        spectral_norms(other, matrix_free=matrix_free, tolerance=1e-8, max_iterations=150)
    assert found.count == 0


def test_a_tolerance_below_rounding_is_not_claimed():
    path = path_of(np.random.default_rng(8).normal(size=(STEPS, 12, 12)))
    found = spectral_norms(path, tolerance=1e-17)
    assert (np.asarray(found.status)[:-1] == Status.UNRESOLVED).all()
    np.testing.assert_allclose(found.log, gradient_norms(path), rtol=1e-13, atol=1e-14)


def test_what_does_not_converge_is_labelled_or_decomposed():
    rng = np.random.default_rng(9)
    slow = rotation(rng, UNITS) * np.linspace(1, 0.999, UNITS)
    path = path_of(np.stack([slow, *[np.eye(UNITS)] * (STEPS - 1)]))
    under_jit = jax.jit(lambda run: spectral_norms(run, matrix_free=True, max_iterations=1))(path)
    assert int(under_jit.status[0]) == Status.MAX_STEPS
    assert abs(float(under_jit.log[0])) <= float(under_jit.log_errors[0])
    found = spectral_norms(path, matrix_free=True, max_iterations=1)
    assert int(found.status[0]) == Status.RESOLVED
    assert abs(float(found.log[0])) <= float(found.log_errors[0]) < 1e-12
    strict = spectral_norms(path, matrix_free=True, max_iterations=1, tolerance=1e-17)
    assert int(strict.status[0]) == Status.UNRESOLVED
    assert int(spectral_norms(path, max_iterations=1).status[0]) == Status.RESOLVED


def test_wrong_arguments_are_named():
    path = rollout(DoyaNeuron(5.0, -2.4), 0.3, steps=5)
    wrong = (
        ({"stop": 6}, "stop"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"tolerance": -1}, "tolerance"),
        ({"max_iterations": 0}, "max_iterations"),
        ({"matrix_free": 1}, "matrix_free"),
    )
    for arguments, name in wrong:
        with pytest.raises((TypeError, ValueError), match=rf"^{name}:"):
            spectral_norms(path, **arguments)
    with pytest.raises(TypeError, match=r"^trajectory:"):
        spectral_norms(np.zeros(3))
    assert "6 lags of 1 unit" in repr(spectral_norms(path))


@pytest.mark.parametrize("matrix_free", [False, True])
def test_one_value_just_above_a_cluster_is_not_passed_by(matrix_free):
    above = 3e-11
    path = path_of(np.stack([np.diag([1.0] * (UNITS - 1) + [1 + above])] * STEPS))
    found = spectral_norms(path, matrix_free=matrix_free)
    truth = np.arange(STEPS, -1, -1) * np.log1p(above)
    assert (np.abs(np.asarray(found.log) - truth) <= np.asarray(found.log_errors) + 1e-15).all()
    assert (np.asarray(found.status) == Status.RESOLVED).all()
