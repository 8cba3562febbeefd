"""Reductions that keep NaN in arrays of any size, and what the library decides by them."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnn_dynamics as rd
from rnn_dynamics.numerics.eigen import spectral_radius
from rnn_dynamics.numerics.reductions import all_finite, any_nonzero, largest
from rnn_dynamics.training.recipes.clipping import global_norm

# From 4096 entries on, XLA's own maximum on a CPU loses NaN.
SHAPES = [
    ((3, 4), 1),
    ((64, 63), 1),
    ((64, 64), 1),
    ((64, 64), 0),
    ((5000,), 0),
    ((64, 64), None),
    ((9, 8, 64), (1, 2)),
]


def _reduced(x, zeros, axis):
    return largest(x, axis), all_finite(x, axis), any_nonzero(zeros, axis)


_compiled = jax.jit(_reduced, static_argnames="axis")


@pytest.mark.parametrize(("shape", "axis"), SHAPES)
@pytest.mark.parametrize("place", [0, 5, -1])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -3.0])
def test_hazard_46_they_are_those_of_numpy(shape, axis, place, value, dtype):
    x, zeros = np.ones(shape, dtype), np.zeros(shape, dtype)
    x.flat[place] = zeros.flat[place] = value
    for computed in (_reduced, _compiled):
        found = computed(jnp.asarray(x), jnp.asarray(zeros), axis)
        np.testing.assert_array_equal(found[0], np.abs(x).max(axis=axis))
        np.testing.assert_array_equal(found[1], np.isfinite(x).all(axis=axis))
        np.testing.assert_array_equal(found[2], (zeros != 0).any(axis=axis))


def test_of_nothing_and_of_zeros():
    assert bool(all_finite(np.zeros((0, 2))))
    assert not any_nonzero(np.zeros((0, 2)))
    assert not any_nonzero(np.zeros(3))
    assert float(largest(np.zeros((0, 2)))) == 0
    assert all_finite(np.ones((3, 4)), axis=(0, 1), keepdims=True).shape == (1, 1)
    np.testing.assert_array_equal(any_nonzero(np.array([[0.0, -1e-300], [0.0, 0.0]]), axis=1), [True, False])


@pytest.mark.parametrize("place", [0, -1])
def test_a_gradient_that_is_no_number_has_no_norm(place):
    gradient = np.ones((64, 64))
    gradient.flat[place] = np.nan
    assert np.isnan(global_norm({"W": jnp.asarray(gradient), "b": jnp.ones(3)}))


@pytest.mark.parametrize("unit", [0, -1])
def test_a_run_of_many_units_that_overflows_says_from_which_step(unit):
    W = np.zeros((64, 64))
    W[unit, unit] = 1e200
    x0 = np.zeros(64)
    x0[unit] = 1.0
    run = rd.rollout(rd.ElmanRNN(W, np.zeros(64), activation="linear"), x0, steps=100)
    # x_1 = 1e200 is a number; 0 · ∞ makes every later state none.
    assert int(run.first_nonfinite) == 2


@pytest.mark.parametrize("place", [0, 70, -1])
def test_the_radius_of_a_matrix_that_is_no_number_is_none(place):
    matrices = np.tile(np.eye(8), (600, 1, 1))
    matrices[place, -1, -1] = np.nan
    radii = np.asarray(jax.jit(spectral_radius)(jnp.asarray(matrices)))
    assert np.isnan(radii[place])
    np.testing.assert_allclose(np.delete(radii, place), 1)


# Where JAX's own maximum stays, and why a NaN that it loses does no harm there.
_ONLY_SCALES = "a power of two to scale by: the entries keep their NaN"
PLAIN = {
    "atlases/gated.py": "norms that are not finite are looked for beside it",
    "gradients/credit/kernels.py": _ONLY_SCALES,
    "gradients/credit/at_once.py": _ONLY_SCALES,
    "gradients/sensitivities.py": _ONLY_SCALES,
    "gradients/error_ellipsoids.py": _ONLY_SCALES,
    "gradients/singular_values.py": "of logarithms that are finite",
    "dynamics/equilibria/piecewise.py": "of parameters, which are finite",
    "dynamics/lyapunov/frames.py": _ONLY_SCALES,
    "numerics/block_eigen.py": "of a handful of values",
    "numerics/product_svd.py": "columns that are no numbers stay so, and no turn changes them",
    "numerics/scaled.py": _ONLY_SCALES,
    "numerics/reductions.py": "NaN is put back",
    "spectral/weight_bounds.py": "of a vector of positive numbers",
    "training/recipes/clipping.py": "of a number for each leaf",
}


def test_what_decides_by_a_maximum_keeps_nan():
    source = Path(rd.__file__).parent
    plain = re.compile(r"jnp\.(?:max|min|amax|amin|ptp)\(|lax\.reduce_(?:max|min)\(")
    found = {
        str(path.relative_to(source))
        for path in source.rglob("*.py")
        if plain.search(path.read_text("utf-8"))
    }
    assert found == set(PLAIN)
