"""Training the one-neuron latch: how often it converges over weight, noise and length, and its gradient."""

import dataclasses
import functools
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from rnn_dynamics.cells.activations import tanh
from rnn_dynamics.numerics.batching import power_of_two_above
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.status import Status
from rnn_dynamics.numerics.validation import concrete_array, count, integers, real_arrays
from rnn_dynamics.training.runs.descent import descend
from rnn_dynamics.training.runs.intervals import wilson
from rnn_dynamics.training.studies.latch import log_slopes

#: Inputs that write the bit, L, as published.
WRITTEN = 3
#: The target of tanh(a_T) for the class +, as published; −.8 for the class −.
TARGET = 0.8
#: A run has learned when less than this share of fresh sequences ends on the wrong side.
ALLOWED = 0.01
_SHORTEST = 32


@dataclasses.dataclass(frozen=True)
class LatchConvergence(Result):
    """What became of runs of training over lengths T, initial weights w_0 and noise s.

    Attributes:
        lengths: T, shape (l,).
        weights: w_0, shape (m,).
        noise: s, the standard deviation of h_t past the first L, shape (n,).
        status: a ``Status`` of each run: CONVERGED, MAX_STEPS or DIVERGED; shape (l, m, n, runs).
        updates: at which the run passed its test, or the limit; shape (l, m, n, runs).
        trained: w after training, shape (l, m, n, runs).
        inputs: the first L inputs of the classes + and − after training, shape (l, m, n, runs, 2, L).
        checks: the updates at which runs were tested, 0 among them; shape (c,).
        log_gradients: ln|∂a_T/∂a_0| at those, the mean over test sequences; of runs that have passed as it was
            then. Shape (l, m, n, runs, c).
    """

    lengths: Int[np.ndarray, " l"]
    weights: Float[np.ndarray, " m"]
    noise: Float[np.ndarray, " n"]
    status: Int[np.ndarray, "l m n runs"]
    updates: Int[np.ndarray, "l m n runs"]
    trained: Float[np.ndarray, "l m n runs"]
    inputs: Float[np.ndarray, "l m n runs 2 L"]
    checks: Int[np.ndarray, " c"]
    log_gradients: Float[np.ndarray, "l m n runs c"]

    _axes: ClassVar = {"l": "length", "m": "weight", "n": "noise", "runs": "run", "c": "check", "L": "step"}

    @property
    def converged(self) -> Float[np.ndarray, "l m n"]:
        """The share of runs that learned."""
        return np.mean(self.status == int(Status.CONVERGED), axis=-1)

    @property
    def interval(self) -> Float[np.ndarray, "2 l m n"]:
        """Wilson's 95 % interval of that share: low, high."""
        return wilson(np.sum(self.status == int(Status.CONVERGED), axis=-1), self.status.shape[-1])

    def __repr__(self) -> str:
        grid = f"{len(self.lengths)} T × {len(self.weights)} w_0 × {len(self.noise)} s"
        diverged = int(np.sum(self.status == int(Status.DIVERGED)))
        return (
            f"LatchConvergence({grid} × {self.status.shape[-1]} runs of {self.checks[-1]} updates, "
            f"{100 * np.mean(self.converged):.3g} % converged, {diverged} diverged)"
        )


class _Latch(NamedTuple):
    """What is trained: w, shape (); and the first inputs of the classes + and −, shape (2, L)."""

    w: Array
    h: Array


class _Run(NamedTuple):
    """One run: its key, network, noise s, updates made, status, and ln|∂a_T/∂a_0| when last tested."""

    key: Array
    latch: _Latch
    noise: Array
    updates: Array
    status: Array
    log_gradient: Array


class _Shape(NamedTuple):
    """What a program is compiled for: steps of the scan, at least T; sequences a class; updates between tests."""

    steps: int
    batch: int
    tested: int
    leg: int


def _step(w: Array, length: Array, carry: tuple[Array, Array], given: tuple[Array, Array]) -> tuple:
    """One step of a and of ln|∂a_t/∂a_0|; none from T on."""
    (a, log), (t, h) = carry, given
    within = t < length
    following = jnp.where(within, w * tanh(a) + h, a)
    return (following, jnp.where(within, log + jax.lax.stop_gradient(log_slopes(w, a)), log)), None


def _final(latch: _Latch, noise: Array, length: Array) -> tuple[Array, Array]:
    """a_T and ln|∂a_T/∂a_0| of the sequences whose noise is given, both of its shape (sequences, 2) less steps."""
    firsts = jnp.broadcast_to(latch.h[None], (*noise.shape[:2], WRITTEN))
    inputs = jnp.moveaxis(jnp.concatenate([firsts, noise[..., WRITTEN:]], axis=2), 2, 0)
    start = jnp.zeros_like(inputs[0])
    step = functools.partial(_step, latch.w, length)
    return jax.lax.scan(step, (start, start), (jnp.arange(len(inputs), dtype=jnp.int32), inputs))[0]


def _loss(latch: _Latch, noise: Array, length: Array) -> Array:
    """(tanh a_T ∓ .8)², the mean over sequences of both classes."""
    target = jnp.asarray([TARGET, -TARGET], noise.dtype)
    return jnp.mean((tanh(_final(latch, noise, length)[0]) - target[None]) ** 2)


def _noise(run: _Run, purpose: int, index: Array, shape: tuple[int, ...]) -> Array:
    key = jax.random.fold_in(jax.random.fold_in(run.key, purpose), index)
    return run.noise * jax.random.normal(key, shape, run.noise.dtype)


def _after_leg(shape: _Shape, length: Array, rate: Array, run: _Run) -> _Run:
    """Return the run after ``shape.leg`` updates, each with fresh noise."""

    def loss(latch: _Latch, update: Array) -> Array:
        return _loss(latch, _noise(run, 1, update, (shape.batch, 2, shape.steps)), length)

    updates = run.updates + jnp.arange(shape.leg, dtype=run.updates.dtype)
    rule = optax.scale(-rate)
    (latch, _), _ = descend(rule, loss, run.latch, rule.init(run.latch), updates)
    return run._replace(latch=latch, updates=run.updates + shape.leg)


def _tested(shape: _Shape, length: Array, run: _Run) -> _Run:
    """The run with the status that fresh sequences give it, and its gradient."""
    noise = _noise(run, 2, run.updates, (shape.tested, 2, shape.steps))
    a, logs = _final(run.latch, noise, length)
    right = jnp.asarray([1, -1], a.dtype)[None] * a > 0
    wrong = 1 - jnp.mean(right.astype(a.dtype))
    finite = jnp.isfinite(run.latch.w + jnp.sum(run.latch.h))
    status = jnp.where(wrong < ALLOWED, int(Status.CONVERGED), int(Status.MAX_STEPS))
    status = jnp.where(finite, status, int(Status.DIVERGED)).astype(jnp.int32)
    return run._replace(status=status, log_gradient=jnp.mean(logs))


@functools.partial(jax.jit, static_argnames="shape")
def _begin(shape: _Shape, length: Array, spread: Array, keys: Array, w: Array, noise: Array) -> _Run:
    def one(key: Array, w: Array, s: Array) -> _Run:
        h = spread * jax.random.uniform(jax.random.fold_in(key, 0), (2, WRITTEN), w.dtype, -1.0, 1.0)
        updates, status = jnp.zeros((), jnp.int32), jnp.full((), int(Status.MAX_STEPS), jnp.int32)
        return _tested(shape, length, _Run(key, _Latch(w, h), s, updates, status, jnp.zeros_like(w)))

    return jax.vmap(one)(keys, w, noise)


@functools.partial(jax.jit, static_argnames="shape")
def _leg(shape: _Shape, length: Array, rate: Array, runs: _Run) -> _Run:
    """Some updates and a test of every run that has not ended; the others as they are."""

    def one(run: _Run) -> _Run:
        further = _tested(shape, length, _after_leg(shape, length, rate, run))
        goes_on = run.status == int(Status.MAX_STEPS)
        return jax.tree.map(
            lambda new, old: jnp.where(goes_on, new, old), further._replace(key=0), run._replace(key=0)
        )

    return jax.vmap(one)(runs)._replace(key=runs.key)


def latch_convergence(
    key: Any,
    weights: Any,
    noise: Any,
    *,
    lengths: Any = (20,),
    runs: int = 18,
    updates: int = 1000,
    checks: int = 10,
    rate: float = 0.03,
    batch: int = 1,
    spread: float = 0.1,
    tested: int = 200,
) -> LatchConvergence:
    """How often gradient descent learns to latch a bit: over initial weights, noise and lengths.

    a_t = w tanh(a_{t−1}) + h_t, a_0 = 0; h_1 … h_3 of each of the two classes and w are trained, h_4 … h_T is
    Gaussian noise of standard deviation s, fresh for every sequence; the loss is (tanh(a_T) ∓ .8)². All this is
    as published. Not taken from there, and so arguments: rate, number of updates, start of the inputs; and the
    test, less than 1 % of fresh sequences on the wrong side of 0, at ``checks`` moments, where a run that passes
    stops.

    Args:
        key: a key of ``jax.random``; every run has its own.
        weights: initial w_0, shape (m,); it and ``noise`` give the dtype.
        noise: s ≥ 0, shape (n,).
        lengths: T > 3.
        runs: of each T, w_0 and s.
        updates: the most updates of a run.
        checks: how often runs are tested, at equal distances; divides ``updates``.
        rate: of plain gradient descent.
        batch: sequences of each class an update.
        spread: the first inputs start uniform in ±spread.
        tested: sequences of each class in a test.

    Raises:
        TypeError, ValueError: an argument out of range; the message names it.
    """
    _check_key(key)
    weights, noise, lengths = _checked_grid(weights, noise, lengths)
    runs, checks, batch = (
        count(n, v, minimum=1) for n, v in (("runs", runs), ("checks", checks), ("batch", batch))
    )
    updates, tested = count("updates", updates, minimum=1), count("tested", tested, minimum=1)
    if updates % checks:
        raise ValueError(f"checks: expected a divisor of updates = {updates}, got {checks}")
    pace, width = (_positive(n, v, weights.dtype) for n, v in (("rate", rate), ("spread", spread)))
    grid = np.broadcast_arrays(
        weights[:, None, None], noise[None, :, None], np.zeros((1, 1, runs), weights.dtype)
    )
    w, s = (jnp.asarray(part.reshape(-1)) for part in grid[:2])
    found = []
    for i, length in enumerate(map(jnp.asarray, lengths)):
        shape = _Shape(_padded(int(length)), batch, tested, updates // checks)
        keys = jax.random.split(jax.random.fold_in(key, i), w.size)
        begun = _begin(shape, length, width, keys, w, s)
        found.append(_of_one_length(shape, length, pace, checks, begun))
    arrays = [
        np.stack(part).reshape(len(lengths), *grid[0].shape, *part[0].shape[1:])
        for part in zip(*found, strict=True)
    ]
    status, done, trained, inputs, logs = arrays
    at = np.arange(checks + 1) * (updates // checks)
    return LatchConvergence(lengths, weights, noise, status, done, trained, inputs, at, logs)


def _padded(length: int) -> int:
    """Steps of the program for T: powers of two, so that few lengths are compiled."""
    return power_of_two_above(length, _SHORTEST)


def _of_one_length(
    shape: _Shape, length: Array, rate: Array, checks: int, runs: _Run
) -> tuple[np.ndarray, ...]:
    """Status, updates, w, inputs and gradients at every check; the runs lead."""
    logs = [np.asarray(runs.log_gradient)]
    for _ in range(checks):
        if np.any(np.asarray(runs.status) == int(Status.MAX_STEPS)):
            runs = _leg(shape, length, rate, runs)
        logs.append(np.asarray(runs.log_gradient))
    ended = (runs.status, runs.updates, runs.latch.w, runs.latch.h)
    return (*map(np.asarray, ended), np.stack(logs, axis=1))


def _check_key(key: Any) -> None:
    typed = isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    if not typed or key.ndim:
        raise TypeError(f"key: expected a key such as jax.random.key(0), got {key!r}")


def _checked_grid(weights: Any, noise: Any, lengths: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    named = real_arrays(weights=weights, noise=noise)
    weights, noise = (concrete_array(n, a, ndim=1) for n, a in zip(("weights", "noise"), named, strict=True))
    for name, values in (("weights", weights), ("noise", noise)):
        if not values.size:
            raise ValueError(f"{name}: expected at least one value, got none")
    if noise.min() < 0:
        raise ValueError(f"noise: expected standard deviations of at least 0, got {noise.min()}")
    lengths = integers("lengths", lengths)
    if not lengths.size or lengths.min() <= WRITTEN:
        got = lengths.min() if lengths.size else "none"
        raise ValueError(
            f"lengths: expected T of at least {WRITTEN + 1}, as {WRITTEN} inputs write the bit, got {got}"
        )
    return weights, noise, lengths


def _positive(name: str, value: Any, dtype: Any) -> Array:
    number = concrete_array(name, value, ndim=0)
    if number <= 0:
        raise ValueError(f"{name}: expected a positive number, got {number}")
    return jnp.asarray(number, dtype)
