"""Two passes over runs of any length, a stretch of steps at a time: forward with one tangent, back with a few rows.

Beyond the runs themselves memory is that of one stretch, O(√T n), and of a few numbers a step. The stretches have one
length, whatever T is, so that a new T compiles nothing.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from rnn_dynamics.cells import ElmanRNN, FeedForward, PreActivationRNN
from rnn_dynamics.cells.slopes import exact_slopes
from rnn_dynamics.cells.structure import join, split
from rnn_dynamics.jacobians import step_matrix
from rnn_dynamics.lyapunov.frames import first_frame, orthonormal, push
from rnn_dynamics.rollout import Trajectory
from rnn_dynamics.scaled import Scaled, from_float

__all__ = ["Along", "Runs", "backward", "forward", "runs_of", "stretches"]

_HIGHEST = jax.lax.Precision.HIGHEST
_SHORTEST = 64
_STRETCH = 256
_BLOCK = 4  # rows that follow the leading directions of a product
_TURNS = 2  # of them at each step
_KEPT = 1e-6
_ROWS = 3  # carried back where no product is formed


class Runs(NamedTuple):
    """Runs of one length side by side, on the host.

    Attributes:
        static, arrays: the cell, split; its arrays with a leading axis of runs where ``is_shared`` is False.
        states, inputs: leading axes runs, time.
        is_shared: whether all runs have the same cell.
    """

    static: Any
    arrays: Any
    states: np.ndarray
    inputs: Any
    is_shared: bool

    @property
    def steps(self) -> int:
        """T."""
        return self.states.shape[1] - 1

    @property
    def size(self) -> int:
        """n."""
        return math.prod(self.states.shape[2:])


class Along(NamedTuple):
    """What the pass forward measures.

    Attributes:
        frame: the tangent at x_T, shape (runs, n).
        logs: ln of its growth at each step, shape (runs, T); of what the first of its two factors does, W or φ′.
        gates: the mean of each gate, by name, shape (runs,).
        carries: the mean of ln of what each unit keeps, shape (runs, units).
        is_passed: whether the slope of a unit is anything but 0 at some step, shape (runs, units); or ``None``.
    """

    frame: np.ndarray
    logs: np.ndarray
    first_logs: np.ndarray
    gates: dict[str, np.ndarray]
    carries: dict[str, np.ndarray]
    is_passed: np.ndarray | None


def runs_of(trajectory: Trajectory) -> Runs:
    """A run, or a batch of them along one axis, as ``Runs``."""
    static, arrays = split(trajectory.cell)
    if not jnp.ndim(trajectory.first_nonfinite):
        add = functools.partial(jax.tree_util.tree_map, lambda leaf: _on_host(leaf)[None])
        return Runs(static, arrays, add(trajectory.states), add(trajectory.inputs), True)
    on_host = functools.partial(jax.tree_util.tree_map, _on_host)
    held = [None if leaf is None else np.asarray(leaf) for leaf in arrays]
    is_shared = all(leaf is None or bool((leaf == leaf[:1]).all()) for leaf in held)
    arrays = [None if leaf is None else leaf[0] for leaf in held] if is_shared else held
    return Runs(static, arrays, on_host(trajectory.states), on_host(trajectory.inputs), is_shared)


def _on_host(leaf: Any) -> Any:
    """As NumPy's, cutting which compiles nothing; but for keys, which NumPy does not have."""
    return leaf if jnp.issubdtype(leaf.dtype, jax.dtypes.extended) else np.asarray(leaf)


def stretches(steps: int) -> tuple[int, list[tuple[int, int]]]:
    """The length of a stretch, a power of two of at least √T, and where each of them begins and ends."""
    length = max(_SHORTEST, 1 << (math.isqrt(max(steps - 1, 0))).bit_length(), min(_STRETCH, steps))
    length = 1 << (length - 1).bit_length()
    return length, [(first, min(first + length, steps)) for first in range(0, steps, length)]


def _stretch(runs: Runs, first: int, last: int, length: int) -> tuple[Any, Any]:
    """States and inputs of the steps first … last−1, the last one repeated up to the stretch's length."""

    def cut(leaf: Any) -> Any:
        part, kind = leaf[:, first:last], np if isinstance(leaf, np.ndarray) else jnp
        short = length - part.shape[1]
        return kind.concatenate([part, kind.repeat(part[:, -1:], short, axis=1)], axis=1) if short else part

    return cut(runs.states), jax.tree_util.tree_map(cut, runs.inputs)


def _at(tree: Any, i: Any) -> Any:
    return jax.tree_util.tree_map(lambda leaf: jax.lax.dynamic_index_in_dim(leaf, i, keepdims=False), tree)


# ---- forward


class _Sums(NamedTuple):
    """What is carried forward: the tangent, and sums over the steps so far."""

    frame: Array
    logs: Array
    first_logs: Array
    gates: Any
    carries: Any
    is_passed: Any


def _measures(cell: Any, x: Array, u: Any) -> tuple[dict, dict, Any]:
    """Gates, memory kept and slopes of one step, of cells that tell them."""
    gates = cell.gates(x, u) if hasattr(cell, "gates") else {}
    carries = cell.carries(x, u) if hasattr(cell, "carries") else {}
    slopes = cell.slopes(x, u) if hasattr(cell, "slopes") else None
    kept = {name: value for name, value in gates.items() if not name.endswith("candidate")}
    return {name: jnp.mean(value) for name, value in kept.items()}, carries, slopes


def _first_factor(cell: Any, x: Array, u: Any, tangent: Array) -> Array:
    """ln of what the factor that acts first does to a unit tangent: W, or φ′ where that is inside; else 0."""
    if isinstance(cell, PreActivationRNN):
        between = tangent * cell.slopes(x, u)
    elif isinstance(cell, ElmanRNN | FeedForward):
        between = jnp.matmul(cell.W if isinstance(cell, ElmanRNN) else u["W"], tangent, precision=_HIGHEST)
    else:
        return jnp.zeros((), tangent.dtype)
    return from_float(between, event_ndim=1).norm().log()


def _forward_step(cell: Any, states: Array, inputs: Any, i: Array, sums: _Sums) -> _Sums:
    x, u = _at((states, inputs), i)
    gates, carries, slopes = _measures(cell, x, u)
    following, triangle = orthonormal(push(cell, x, u, sums.frame[:, None]))
    is_passed = None if slopes is None else sums.is_passed | (slopes != 0)
    return _Sums(
        following[:, 0],
        sums.logs.at[i].set(jnp.log(jnp.abs(triangle[0, 0]))),
        sums.first_logs.at[i].set(_first_factor(cell, x, u, sums.frame)),
        jax.tree_util.tree_map(jnp.add, sums.gates, gates),
        jax.tree_util.tree_map(lambda total, kept: total + jnp.log(kept), sums.carries, carries),
        is_passed,
    )


def _forward_of_one(
    static: Any, arrays: Any, states: Array, inputs: Any, frame: Array, count: Array
) -> _Sums:
    cell, nothing = join(static, arrays), jnp.zeros(states.shape[0], states.dtype)
    gates, carries, slopes = jax.eval_shape(functools.partial(_measures, cell), *_at((states, inputs), 0))
    zeros = functools.partial(jax.tree_util.tree_map, lambda leaf: jnp.zeros(leaf.shape, leaf.dtype))
    is_passed = None if slopes is None else jnp.zeros(slopes.shape, bool)
    sums = _Sums(frame, nothing, nothing, zeros(gates), zeros(carries), is_passed)
    return jax.lax.fori_loop(0, count, functools.partial(_forward_step, cell, states, inputs), sums)


@functools.partial(jax.jit, static_argnums=(0, 6))
def _forward(
    static: Any, arrays: Any, states: Array, inputs: Any, frame: Array, count: Array, is_shared: bool
) -> _Sums:
    of_one = functools.partial(_forward_of_one, static)
    return jax.vmap(of_one, in_axes=(None if is_shared else 0, 0, 0, 0, None))(
        arrays, states, inputs, frame, count
    )


def forward(runs: Runs, report: Callable[[int], object] = lambda done: None) -> Along:
    """One random tangent, the same for every run, carried through all steps, and sums of what the cell tells."""
    number, dtype = len(runs.states), runs.states.dtype
    frame = np.broadcast_to(np.asarray(first_frame(None, runs.size, 1, dtype))[:, 0], (number, runs.size))
    length, parts = stretches(runs.steps)
    logs, first_logs, gates, carries, is_passed = [], [], [], [], None
    for first, last in parts:
        states, inputs = _stretch(runs, first, last, length)
        found = _forward(
            runs.static, runs.arrays, states, inputs, frame, np.int32(last - first), runs.is_shared
        )
        frame = found.frame
        logs.append(np.asarray(found.logs)[:, : last - first])
        first_logs.append(np.asarray(found.first_logs)[:, : last - first])
        gates.append({name: np.asarray(v, float) for name, v in found.gates.items()})
        carries.append({name: np.asarray(v, float) for name, v in found.carries.items()})
        if found.is_passed is not None:
            passed = np.asarray(found.is_passed)
            is_passed = passed if is_passed is None else is_passed | passed
        report(last)
    means = [
        {name: sum(part[name] for part in of_parts) / runs.steps for name in of_parts[0]}
        for of_parts in (gates, carries)
    ]
    joined = [np.concatenate(part, axis=1).astype(float) for part in (logs, first_logs)]
    return Along(np.asarray(frame), *joined, *means, is_passed)


# ---- backward


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


def _by_product(cell: Any, x: Array, u: Any, back: _Back) -> tuple[Scaled, Array, Scaled]:
    """One more Jacobian on the product's right, its leading rows turned once more, and its norm from them."""
    unit = jnp.matmul(back.product.unit, step_matrix(cell, x, u), precision=_HIGHEST)
    product = Scaled(unit, back.product.exponent, 2).normalize()
    leading = back.leading
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
    at = count - 1 - i
    x, u = _at((states, inputs), at)
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
        product, leading, seen = _by_product(cell, x, u, back)
        later = earlier(owed.unit) if owed is not None else None
    grams = grams.at[at].set(jnp.matmul(seen.unit, seen.unit.T, precision=_HIGHEST))
    exponents = exponents.at[at].set(seen.exponent)
    if owed is not None:
        ends, direct = starts
        begins = (ends == first + at)[:, None]
        scaled = Scaled(later, owed.exponent, 1).normalize()
        started = from_float(direct, event_ndim=1)
        owed = Scaled(
            jnp.where(begins, started.unit, scaled.unit),
            jnp.where(begins[:, 0], started.exponent, scaled.exponent),
            1,
        )
        owed_logs = owed_logs.at[at].set(owed.norm().log())
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
    step = functools.partial(
        _backward_step, join(static, arrays), states, inputs, starts, first, count
    )
    return jax.lax.fori_loop(0, count, step, (back, grams, exponents, owed))


@functools.partial(jax.jit, static_argnums=(0, 8))
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


@jax.jit
def _started(rows: Array, direct: Array, at_end: Array, leading: Any) -> _Back:
    """What is carried back, at x_T: rows scaled one by one, or the identity as one matrix."""
    product = jax.vmap(functools.partial(from_float, event_ndim=1 if leading is None else 2))(rows)
    owed = None
    if direct.shape[1]:
        owed = jax.vmap(functools.partial(from_float, event_ndim=1))(
            jnp.where(at_end[..., None], direct, 0)
        )
    return _Back(product, leading, owed)


def _norms(grams: np.ndarray, exponents: np.ndarray) -> np.ndarray:
    """ln of the largest singular value of rows with these inner products, each row in units of its power of two."""
    powers = np.asarray(exponents, float)
    top = powers if powers.ndim < grams.ndim - 1 else powers.max(axis=-1)
    if powers.ndim == grams.ndim - 1:
        scale = np.exp2(np.maximum(powers - top[..., None], -1000))
        grams = grams * scale[..., :, None] * scale[..., None, :]
    finite = np.isfinite(grams).all(axis=(-2, -1))
    largest = np.linalg.eigvalsh(np.where(finite[..., None, None], grams, 0))[..., -1]
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
            leading directions; False carries the frame and two random rows only, whose norm is at most that of the
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
        states, inputs = _stretch(runs, first, last, length)
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
    """Orthonormal rows, the first of them the frame."""
    columns = np.concatenate([frame[:, None], random[:, 1:]], axis=1)
    return np.linalg.qr(np.where(np.isfinite(columns), columns, 0))[0].T
