"""The pass back over runs, a stretch of steps at a time: norms of ∂x_T/∂x_k, and what single losses owe to x_k."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from rnn_dynamics.cells.pytree import join
from rnn_dynamics.cells.saturation import exact_slopes
from rnn_dynamics.diagnosis.passes import Runs, at, stretch, stretches
from rnn_dynamics.gradients.one_step import step_matrix
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.scaled import Scaled, from_float

_HIGHEST = jax.lax.Precision.HIGHEST
_BLOCK = 4  # rows that follow the leading directions of a product
_TURNS = 4  # of them at each step
_KEPT = 1e-6
_ROWS = 5  # carried back where no product is formed


class _Back(NamedTuple):
    """What is carried back.

    Attributes:
        product: ∂x_T/∂x_t, or of rows of it those that are kept.
        leading: rows at x_T that follow its leading directions; ``None`` where it is not formed.
        owed: rows that the loss starts at its end points, each scaled by itself; ``None`` without a loss.
    """

    product: Scaled
    leading: Array | None
    owed: Scaled | None


def _by_product(cell: Any, x: Array, u: Any, product: Scaled, leading: Array) -> tuple[Scaled, Array, Scaled]:
    """One more Jacobian on the product's right, its leading rows turned once more, and its norm from them."""
    unit = jnp.matmul(product.unit, step_matrix(cell, x, u), precision=_HIGHEST)
    product = Scaled(unit, product.exponent, 2).normalize()
    for _ in range(_TURNS):
        image = jnp.matmul(leading, product.unit, precision=_HIGHEST)
        turned = jnp.matmul(image, product.unit.T, precision=_HIGHEST)
        leading = jnp.linalg.qr((turned + _KEPT * leading).T)[0].T  # of full rank where the product is not
    seen = jnp.matmul(leading, product.unit, precision=_HIGHEST)
    return product, leading, Scaled(seen, product.exponent, 2)


def _backward_step(
    cell: Any, states: Array, inputs: Any, starts: Any, first: Array, count: Array, i: Array, carry: tuple
) -> tuple:
    back, grams, exponents, owed_logs = carry
    k = count - 1 - i
    x, u = at((states, inputs), k)
    step = exact_slopes(cell)
    _, pull = jax.vjp(lambda state: step(state, u), x)

    def earlier(rows: Array) -> Array:
        return jax.vmap(lambda row: pull(row.reshape(x.shape))[0].reshape(-1))(rows)

    owed = back.owed
    if back.leading is None:
        both = back.product.unit if owed is None else jnp.concatenate([back.product.unit, owed.unit])
        pulled = earlier(both)
        product = Scaled(pulled[: len(back.product.unit)], back.product.exponent, 1).normalize()
        leading, seen = None, product
        later = pulled[len(back.product.unit) :]
    else:
        product, leading, seen = _by_product(cell, x, u, back.product, back.leading)
        later = earlier(owed.unit) if owed is not None else None
    grams = grams.at[k].set(jnp.matmul(seen.unit, seen.unit.T, precision=_HIGHEST))
    exponents = exponents.at[k].set(seen.exponent)
    if owed is not None and later is not None:
        ends, direct = starts
        begins = (ends == first + k)[:, None]
        scaled = Scaled(later, owed.exponent, 1).normalize()
        started = from_float(direct, event_ndim=1)
        owed = Scaled(
            jnp.where(begins, started.unit, scaled.unit),
            jnp.where(begins[:, 0], started.exponent, scaled.exponent),
            1,
        )
        owed_logs = owed_logs.at[k].set(owed.norm().log())
    return _Back(product, leading, owed), grams, exponents, owed_logs


def _backward_of_one(
    static: Any, arrays: Any, states: Array, inputs: Any, starts: Any, back: _Back, first: Array, count: Array
) -> tuple:
    rows = len(back.product.unit) if back.leading is None else len(back.leading)
    length, dtype = states.shape[0], states.dtype
    of_each = back.leading is None
    grams = jnp.zeros((length, rows, rows), dtype)
    exponents = jnp.zeros((length, rows) if of_each else (length,), jnp.int32)
    owed = None if back.owed is None else jnp.zeros((length, len(back.owed.unit)), dtype)
    step = functools.partial(_backward_step, join(static, arrays), states, inputs, starts, first, count)
    return jax.lax.fori_loop(0, count, step, (back, grams, exponents, owed))


@lean(static_argnums=(0, 8))
def _backward(
    static: Any,
    arrays: Any,
    states: Array,
    inputs: Any,
    starts: Any,
    back: _Back,
    first: Array,
    count: Array,
    is_shared: bool,
) -> tuple:
    of_one = functools.partial(_backward_of_one, static)
    return jax.vmap(of_one, in_axes=(None if is_shared else 0, 0, 0, 0, 0, None, None))(
        arrays, states, inputs, starts, back, first, count
    )


@lean
def _started(rows: Array, direct: Array, at_end: Array, leading: Any) -> _Back:
    """What is carried back, at x_T: rows scaled one by one, or the identity as one matrix."""
    product = jax.vmap(functools.partial(from_float, event_ndim=1 if leading is None else 2))(rows)
    owed = None
    if direct.shape[1]:
        owed = jax.vmap(functools.partial(from_float, event_ndim=1))(jnp.where(at_end[..., None], direct, 0))
    return _Back(product, leading, owed)


def _norms(grams: np.ndarray, exponents: np.ndarray) -> np.ndarray:
    """ln of the largest singular value of rows with these inner products, each row in units of its power of two."""
    powers = np.asarray(exponents, float)
    top = powers if powers.ndim < grams.ndim - 1 else powers.max(axis=-1)
    if powers.ndim == grams.ndim - 1:
        scale = np.exp2(np.maximum(powers - top[..., None], -1000))
        grams = grams * scale[..., :, None] * scale[..., None, :]
    finite = np.isfinite(grams).all(axis=(-2, -1))
    known = np.where(np.expand_dims(finite, (-2, -1)), grams, 0)
    largest = np.linalg.eigvalsh(known)[..., -1]
    with np.errstate(divide="ignore"):
        logs = np.log(np.maximum(largest, 0)) / 2 + top * math.log(2)
    return np.where(finite, logs, np.nan)


def backward(
    runs: Runs,
    frame: np.ndarray,
    *,
    forms_product: bool,
    ends: np.ndarray | None = None,
    direct: np.ndarray | None = None,
    report: Callable[[int], object] = lambda done: None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """ln‖∂x_T/∂x_k‖₂ for every k, and ln of the norms of what single losses owe to every x_k.

    Args:
        runs: T steps of n units.
        frame: a direction at x_T that has grown along the whole run, shape (runs, n).
        forms_product: True carries the whole product, and its norm is that of a block of rows that follows its
            leading directions; False carries the frame and four random rows only, whose norm is at most that of the
            product, and near it where the product has come to be led by few directions.
        ends: t of single losses, shape (runs, R).
        direct: ∂⁺E/∂x_t there, shape (runs, R, n).
        report: called with the number of steps that are done.

    Returns:
        Shapes (runs, T+1) and (runs, T+1, R); ``None`` without ends. −inf before a loss's own step.
    """
    number, size, steps, dtype = len(runs.states), runs.size, runs.steps, runs.states.dtype
    rng = np.random.default_rng(1)
    width = min(size, _BLOCK if forms_product else _ROWS)
    random = rng.normal(size=(size, width))
    rows = np.stack([_framed(one, random) for one in np.asarray(frame, float)]).astype(dtype)
    leading = rows if forms_product else None
    if forms_product:
        rows = np.broadcast_to(np.eye(size, dtype=dtype), (number, size, size))
    ends = np.zeros((number, 0), np.int32) if ends is None else np.asarray(ends, np.int32)
    direct = np.zeros((number, ends.shape[1], size), dtype) if direct is None else np.asarray(direct, dtype)
    back = _started(rows, direct, ends == steps, leading)
    starts = (ends, direct)
    length, parts = stretches(steps)
    logs = np.zeros((number, steps + 1))
    owed = np.full((number, steps + 1, ends.shape[1]), -np.inf)
    if back.owed is not None:
        owed[:, steps] = np.asarray(back.owed.norm().log())
    for first, last in reversed(parts):
        states, inputs = stretch(runs, first, last, length)
        back, grams, exponents, owed_logs = _backward(
            runs.static, runs.arrays, states, inputs, starts, back, np.int32(first), np.int32(last - first),
            runs.is_shared,
        )  # fmt: skip
        count = last - first
        logs[:, first:last] = _norms(np.asarray(grams, float)[:, :count], np.asarray(exponents)[:, :count])
        if back.owed is not None:
            owed[:, first:last] = np.asarray(owed_logs)[:, :count]
        report(steps - first)
    return logs, owed if ends.shape[1] else None


def _framed(frame: np.ndarray, random: np.ndarray) -> np.ndarray:
    """Return orthonormal rows, the first of which are the frame."""
    columns = np.concatenate([frame[:, None], random[:, 1:]], axis=1)
    return np.linalg.qr(np.where(np.isfinite(columns), columns, 0))[0].T
