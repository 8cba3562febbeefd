"""Elementwise kernels: same numbers for every shape, one compilation for all small ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnn_dynamics.numerics import batching
from rnn_dynamics.numerics.batching import LARGEST, TILE, elementwise
from tests.compilations import compilations


def _kernel(values, power):
    return {"sum": values["a"] + values["b"], "rows": jnp.stack([values["a"] ** power, values["b"]], axis=-1)}


def _values(shape):
    size = int(np.prod(shape))
    a = np.arange(size, dtype=float).reshape(shape)
    return {"a": jnp.asarray(a), "b": jnp.asarray(-2 * a)}


@pytest.mark.parametrize(
    "shape", [(), (1,), (TILE,), (TILE + 1,), (3, 5, 7), (LARGEST,), (LARGEST + 1,), (0,), (2, 0)]
)
def test_every_shape_gets_what_the_kernel_gives(shape):
    values = _values(shape)
    found = elementwise(_kernel, (1,))(values, 2)
    wanted = _kernel(values, 2)
    for name, array in wanted.items():
        assert isinstance(found[name], jax.Array)
        assert found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("shape", [(), (5,), (LARGEST + 1,)])
@pytest.mark.parametrize("index", ["fixed", "its own"])
def test_what_stays_on_the_host_has_the_same_numbers(shape, index):
    """Also of what is compiled, as an index of each entry's own is."""

    def kernel(values, power):
        found = _kernel(values, power)
        table = jnp.arange(2.0)
        place = (
            values["a"].astype(int) % power if index == "its own" else jnp.zeros(jnp.shape(values["a"]), int)
        )
        return {**found, "taken": jnp.take(table, place)}

    call, values = elementwise(kernel, (1,)), _values(shape)
    on_host, put = call.on_host(values, 2), call(values, 2)
    assert on_host.keys() == put.keys()
    for name, array in put.items():
        assert isinstance(on_host[name], np.ndarray)
        np.testing.assert_array_equal(on_host[name], array)


@pytest.mark.shipped
def test_small_shapes_share_one_compilation_and_a_static_argument_has_its_own():
    # A table, which NumPy does not look into here, has to be compiled.
    call = elementwise(lambda values, power: jnp.take(jnp.arange(2.0), values["a"].astype(int) % power), (1,))
    inputs = [_values(shape) for shape in ((), (5,), (3, 4), (700,))]
    with compilations() as fresh:
        for values in inputs:
            call(values, 2)
    assert fresh.count == 1
    with compilations() as fresh:
        call(inputs[0], 3)
    assert fresh.count == 1


@pytest.mark.shipped
def test_what_numpy_evaluates_compiles_nothing():
    call = elementwise(lambda values, power: _kernel(values, power), (1,))
    with compilations() as fresh:
        for shape in ((), (5,), (3, 4), (700,)):
            call(_values(shape), 2)
    assert fresh.count == 0


def test_traced_and_placed_arrays_go_whole():
    call = elementwise(lambda x: (x * x,))
    x = jnp.linspace(0.0, 1.0, 5)
    np.testing.assert_array_equal(jax.jit(call)(x)[0], x * x)
    np.testing.assert_array_equal(jax.vmap(call)(x)[0], x * x)
    np.testing.assert_allclose(jax.grad(lambda y: call(y)[0].sum())(x), 2 * x)
    placed = jax.device_put(x, jax.devices()[0])
    found = call(placed)[0]
    assert found.committed
    np.testing.assert_array_equal(found, x * x)


def test_batches_are_filled_up_and_cut_again():
    seen = []

    def kernel(x, y):
        seen.append((x.shape, y.shape))
        return {"sum": x.sum(1) + y, "twice": 2 * x}

    x, y = np.arange(14.0).reshape(7, 2), np.arange(7)
    found = batching.mapped(kernel, [x, y], 3)
    assert seen == [((3, 2), (3,))] * 3
    assert found["sum"].tolist() == (x.sum(1) + y).tolist()
    assert found["twice"].tolist() == (2 * x).tolist()
    nothing = batching.mapped(kernel, [x[:0], y[:0]], 3)
    assert (nothing["sum"].shape, nothing["twice"].shape) == ((0,), (0, 2))
    assert batching.filled(y[:2], 4).tolist() == [0, 1, 1, 1]
    assert [batching.power_of_two_above(n) for n in (0, 1, 2, 3, 5, 64, 65)] == [1, 1, 2, 4, 8, 64, 128]
    assert batching.power_of_two_above(3, 128) == 128
