"""Traces evaluated by NumPy: the numbers of the compiled function, entry by entry, or a refusal."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from rnn_dynamics import doya
from rnn_dynamics.numerics import batching
from rnn_dynamics.numerics.batching import Elementwise, elementwise
from rnn_dynamics.numerics.interpreted import counterpart, evaluated, interpreted
from rnn_dynamics.numerics.on_numpy import ELEMENTWISE, Unsupported

_ENTRIES = 37

# Functions of one entry x in (0.05, 0.95) and k, a whole number from −5 to 5.
_FUNCTIONS = {
    "where": lambda x, k: jnp.where(x > 0.5, x, -x),
    "stacked": lambda x, k: jnp.stack([x, 2 * x, x * x], axis=-1),
    "joined": lambda x, k: jnp.concatenate([jnp.stack([x, x]), jnp.zeros(3, x.dtype)]),
    "reduced": lambda x, k: jnp.stack([x, 1 - x, x / 3]).sum() + jnp.stack([x, 1 - x]).max(),
    "product": lambda x, k: jnp.stack([x, 1 - x, x / 3]).prod() - jnp.stack([x, 1 - x]).min(),
    "any": lambda x, k: jnp.any(jnp.stack([x, 1 - x]) > 0.7) & ~jnp.all(jnp.stack([x, 1 - x]) < 0.6),
    "summed": lambda x, k: jnp.cumsum(jnp.stack([x, 1.0 + x, x])),
    "summed from behind": lambda x, k: lax.cumsum(jnp.stack([x, 1.0 + x, x]), reverse=True),
    "turned": lambda x, k: jnp.stack([x, 2 * x])[::-1].reshape(2, 1).T,
    "strided": lambda x, k: jnp.stack([x, 2 * x, 3 * x])[::2],
    "split": lambda x, k: jnp.split(jnp.stack([x, 2 * x]), 2)[1],
    "powers": lambda x, k: x**7 + x**-2 + x**0 + x**0.3 + jnp.exp2(x),
    "sorted": lambda x, k: lax.sort((jnp.stack([x, 1 - x, 2 * x]), jnp.arange(3)), num_keys=1),
    "products": lambda x, k: (
        jnp.outer(jnp.stack([x, x]), jnp.arange(3, dtype=x.dtype)) @ jnp.stack([x, 1 - x, x])
    ),
    "products of many": lambda x, k: jnp.einsum(
        "aij,ajk->aik", jnp.full((2, 3, 4), x), jnp.full((2, 4, 2), 1 - x)
    ),
    "clipped": lambda x, k: jnp.clip(x, 0.3, 0.6),
    "whole numbers": lambda x, k: (k // 3) + (k % 3) + lax.div(k, jnp.int32(2)) + lax.rem(k, jnp.int32(3)),
    "bits": lambda x, k: (k << 2) ^ (k >> 1) | lax.shift_right_logical(k, jnp.int32(3)) & ~k,
    "as bits": lambda x, k: lax.bitcast_convert_type(x.astype(jnp.float32), jnp.int32) + 1,
    "signs": lambda x, k: (jnp.sign(k), jnp.sign(x - 0.5)),
    "counted": lambda x, k: x * jnp.arange(4, dtype=x.dtype),
    "next": lambda x, k: jnp.nextafter(x, 1.0),
    "cases": lambda x, k: lax.select_n(jnp.clip(k, 0, 2), x, 2 * x, 3 * x),
    "several entries put in place": lambda x, k: lax.dynamic_update_slice(
        jnp.zeros(3, x.dtype), x[None], (1,)
    ),
    "fori": lambda x, k: lax.fori_loop(0, 5, lambda i, y: y * x + jnp.arange(5, dtype=x.dtype)[i], x),
    "scan from behind": lambda x, k: lax.scan(
        lambda c, r: (c + r, c * r), x, jnp.arange(3, dtype=x.dtype), reverse=True
    ),
    "while": lambda x, k: lax.while_loop(lambda y: y < 10, lambda y: 3 * y + x, x),
    "one cond": lambda x, k: lax.cond(jnp.float32(2) > 1, lambda: x, lambda: -x),
    "cond of the entry": lambda x, k: lax.cond(x > 0.5, lambda: (x, k), lambda: (-x, 2 * k)),
    "switch": lambda x, k: lax.switch(k, [lambda: x, lambda: 2 * x, lambda: 3 * x]),
    "not finite": lambda x, k: (jnp.log(x - 0.5), jnp.isfinite(1 / (x - x)), jnp.maximum(x, jnp.nan)),
    "constant": lambda x, k: (3 * jnp.arange(2.0), x),
    "unstacked": lambda x, k: list(jnp.stack([jnp.stack([x, 2 * x]), jnp.stack([1 - x, x * x])]).T),
    "tiled": lambda x, k: jnp.tile(jnp.stack([x, 2 * x]), (2, 3)),
    "logarithm to base 2": lambda x, k: jnp.log2(x),
    "slope of tanh": lambda x, k: jax.grad(jnp.tanh)(x),
}
if hasattr(lax, "polynomial"):  # from JAX 0.12
    _FUNCTIONS["polynomial"] = lambda x, k: lax.polynomial(x, [1.0, x, 2.0])


def _entries(dtype):
    draws = np.random.default_rng(0)
    return draws.uniform(0.05, 0.95, _ENTRIES).astype(dtype), draws.integers(-5, 6, _ENTRIES).astype(np.int32)


def _both(function, *entries):
    """What the compiled function gives for each entry, and what NumPy gives."""
    wanted = jax.jit(jax.vmap(function))(*entries)
    shapes = [jax.ShapeDtypeStruct(x.shape[1:], x.dtype) for x in entries]
    program, results = interpreted(function, shapes, jax.tree.structure(tuple(entries)))
    found = results.unflatten(evaluated(program, entries))
    return jax.tree.leaves(wanted), jax.tree.leaves(found)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", _FUNCTIONS)
def test_numpy_gives_what_xla_gives(name, dtype):
    wanted, found = _both(_FUNCTIONS[name], *_entries(dtype))
    for want, got in zip(wanted, found, strict=True):
        assert got.dtype == want.dtype
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=8 * np.finfo(dtype).eps, atol=0)


_LEFT_OUT = {
    "and",
    "or",
    "xor",
    "not",
    "shift_left",
    "shift_right_arithmetic",
    "shift_right_logical",
    "add_any",
    "polynomial",
    *(name for name in ELEMENTWISE if not hasattr(lax, name)),  # of another JAX
}


@pytest.mark.parametrize("name", sorted(set(ELEMENTWISE) - _LEFT_OUT))
def test_each_elementwise_operation(name):
    x, _ = _entries(np.float64)
    values = 1 + x if name == "acosh" else x
    primitive = getattr(lax, name)
    binary = isinstance(ELEMENTWISE[name], np.ufunc) and ELEMENTWISE[name].nin == 2
    wanted, found = _both(
        (lambda y: primitive(y, y[::-1])) if binary else primitive, np.stack([values, x], -1)
    )
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e-14, atol=0)


def test_an_entry_has_the_same_bits_among_others():
    x, k = _entries(np.float64)
    function = _FUNCTIONS["fori"]
    alone = [_both(function, x[i : i + 1], k[i : i + 1])[1][0][0] for i in range(_ENTRIES)]
    np.testing.assert_array_equal(_both(function, x, k)[1][0], alone)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: jnp.take(jnp.arange(2.0), (x > 0.5).astype(int)),
        lambda x: jax.scipy.special.gammaln(x),
    ],
)
def test_what_numpy_has_not_is_refused_or_compiled(function):
    x = _entries(np.float64)[0]
    with pytest.raises(Unsupported):
        _both(function, x)
    np.testing.assert_allclose(elementwise(function)(x), function(jnp.asarray(x)), rtol=1e-14)


def test_an_index_that_differs_between_entries_is_refused():
    x = _entries(np.float64)[0]
    with pytest.raises(Unsupported, match="index"):
        _both(lambda y: lax.dynamic_slice(jnp.arange(2.0), ((y > 0.5).astype(jnp.int32),), (1,)), x)


def test_a_counterpart_takes_the_place_of_what_is_written_for_compilers():
    calls = []

    def doubled(x):
        calls.append(x.shape)
        return 2 * x

    @counterpart(doubled)
    def roundabout(x):
        return (x + 1) + (x - 1)

    wanted, found = _both(lambda x: roundabout(x) / 3, _entries(np.float64)[0])
    assert calls == [(_ENTRIES,)]
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e-14)


def test_long_kernels_are_compiled(monkeypatch):
    monkeypatch.setattr(batching, "_MOST_OPERATIONS", 10)
    x = jnp.linspace(0.1, 0.9, 5)

    def logistic(y):
        return lax.fori_loop(0, 100, lambda _, z: 3.2 * z * (1 - z), y)

    np.testing.assert_allclose(elementwise(logistic)(x), logistic(x), rtol=1e-13)


@pytest.mark.parametrize("function", [doya.equilibria, doya.two_cycle, doya.folds])
def test_the_neurons_formulas_are_numpys_under_every_jax(function, monkeypatch):
    """JAX gives operations new names now and then; XLA takes up to a minute for what NumPy then refuses."""
    found = []

    def on_host(*arguments):
        found.append(_on_host(*arguments))
        return found[-1]

    _on_host = batching._on_host
    monkeypatch.setattr(batching, "_on_host", on_host)
    everything = [vars(module) for name, module in sys.modules.items() if name.startswith("rnn_dynamics.")]
    for kernel in {
        id(x): x for names in everything for x in names.values() if isinstance(x, Elementwise)
    }.values():
        monkeypatch.setattr(kernel, "_known", {})
    function(np.array([-8.0, 6.0]), *([] if function is doya.folds else [np.array([4.0, -3.0])]))
    assert found
    assert None not in found
