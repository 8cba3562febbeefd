"""Fixed points and cycles of piecewise-linear maps, region by region: linear equations, no iteration.

In the region of a pattern d ∈ {0, 1}^k the map is affine, z⁺ = M(d) z + c(d). A cycle that visits the regions
d_1 … d_p solves (I − M(d_p) ⋯ M(d_1)) z = c; it is one of the map's if its states lie in those regions.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from rnn_dynamics.cells.piecewise import PiecewiseLinearForm, piecewise_linear_form
from rnn_dynamics.cells.pytree import parameter_dtype
from rnn_dynamics.dynamics.equilibria.cycles import Roots, gathered, measured, no_roots, split_by_period
from rnn_dynamics.dynamics.equilibria.equation import RootProblem, posed, residual_tolerance
from rnn_dynamics.dynamics.equilibria.results import FixedPoints
from rnn_dynamics.numerics.batching import mapped
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.reductions import all_finite
from rnn_dynamics.numerics.texts import counted
from rnn_dynamics.numerics.validation import count

_HIGHEST = jax.lax.Precision.HIGHEST
# Patterns of a whole cycle up to which all are tried: k·p bits.
_EXHAUSTIVE_BITS = 12
_BATCH = 1024


def _dot(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision=_HIGHEST)


def _solution(form: PiecewiseLinearForm, patterns: Bool[Array, "p k"]) -> Float[Array, " n"]:
    """The state at which a cycle through the regions ``patterns`` would start; not finite where there is none."""
    n = form.decay.size
    identity = jnp.eye(n, dtype=form.decay.dtype)

    def through(carry: tuple[Array, Array], active: Array) -> tuple[tuple[Array, Array], None]:
        matrix, shift = carry
        slopes = jnp.where(active, jnp.ones_like(form.threshold), form.slope)
        weighted = form.outer * slopes[None, :]
        step = jnp.diag(form.decay) + _dot(weighted, form.inner)
        constant = _dot(weighted, form.threshold) + form.offset
        return (_dot(step, matrix), _dot(step, shift) + constant), None

    (matrix, shift), _ = jax.lax.scan(through, (identity, jnp.zeros_like(form.decay)), patterns)
    return jnp.linalg.solve(identity - matrix, shift[:, None])[:, 0]


def _visited(form: PiecewiseLinearForm, z: Float[Array, " n"], period: int) -> Bool[Array, "p k"]:
    """The regions that the orbit of z visits in p steps."""

    def step(state: Array, _: None) -> tuple[Array, Array]:
        inner = _dot(form.inner, state) + form.threshold
        active = inner > 0
        hidden = jnp.where(active, inner, form.slope * inner)
        return form.decay * state + _dot(form.outer, hidden) + form.offset, active

    return jax.lax.scan(step, z, None, length=period)[1]


def _attempt(
    form: PiecewiseLinearForm, patterns: Bool[Array, "p k"], rounds: int
) -> tuple[Float[Array, " n"], Array]:
    """Solve, and start again from the regions visited, until these are the regions solved for."""
    period = patterns.shape[0]

    def again(_: int, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        patterns, z, hit = carry
        solved = _solution(form, patterns)
        visited = _visited(form, solved, period)
        now = all_finite(solved) & (visited == patterns).all()
        return jnp.where(hit, patterns, visited), jnp.where(hit, z, solved), hit | now

    carry = (patterns, jnp.zeros_like(form.decay), jnp.zeros((), bool))
    _, z, hit = jax.lax.fori_loop(0, rounds, again, carry)
    return z, hit


@lean(static_argnums=2)
def _attempts(form: PiecewiseLinearForm, patterns: Bool[Array, "batch p k"], rounds: int) -> tuple:
    return jax.vmap(lambda one: _attempt(form, one, rounds))(patterns)


@lean(static_argnums=(2, 3))
def _drawn(form: PiecewiseLinearForm, key: Array, period: int, attempts: int) -> Bool[Array, "batch p k"]:
    """Patterns to begin with: half of them visited by orbits of random states, half drawn at random."""
    size, kinds = jax.random.split(key), (attempts // 2, attempts - attempts // 2)
    n, k, dtype = form.decay.size, form.threshold.size, form.decay.dtype
    wide = 1 + jnp.max(jnp.abs(form.offset)) + jnp.max(jnp.abs(form.threshold))
    states = wide * jax.random.normal(size[0], (kinds[0], n), dtype)
    visited = jax.vmap(lambda z: _visited(form, z, period))(states)
    return jnp.concatenate([visited, jax.random.bernoulli(size[1], 0.5, (kinds[1], period, k))])


def _all_patterns(period: int, hidden: int) -> np.ndarray:
    bits = np.arange(2 ** (period * hidden))[:, None] >> np.arange(period * hidden)
    return (bits & 1).astype(bool).reshape(-1, period, hidden)


def _hits(form: PiecewiseLinearForm, patterns: np.ndarray, rounds: int) -> Float[np.ndarray, "hits n"]:
    """States of the cycles found, in batches of one shape."""
    z, hit = mapped(lambda some: _attempts(form, jnp.asarray(some), rounds), [patterns], _BATCH)
    return np.unique(z[hit], axis=0)


def _roots(problem: RootProblem, states: np.ndarray, period: int, tolerance: float) -> Roots:
    """The roots of minimal period ``period`` among the states found."""
    if not len(states):
        return no_roots(problem)
    roots = measured(problem, states, period)
    # Newton is exact here; where it left the region solved for, the solution itself stands.
    exact = measured(problem, states, period, polish=False)
    better = exact.residual < roots.residual
    points = np.where(better[:, None], exact.points, roots.points)
    roots = measured(problem, points, period, polish=False)
    roots = roots.take(roots.accepted(tolerance))
    return split_by_period(problem, roots, period, tolerance)[period][1]


def piecewise_linear_cycles(
    cell: Any,
    period: int,
    *,
    u: Any = None,
    key: Any = None,
    attempts: int = 1024,
    max_steps: int = 32,
    tolerance: float | None = None,
) -> FixedPoints:
    """Fixed points and all cycles up to a period of a piecewise-linear map, exact to rounding.

    The equation of a cycle is linear once the regions that it visits are known. Where k hidden units and p steps
    make at most 4096 patterns, all of them are tried, and the result is complete: no isolated cycle with states off
    the borders is missing. Otherwise a search begins at random patterns, solves, takes the patterns that the
    solution's own orbit visits, and solves again, until they agree.

    Args:
        cell: ``PiecewiseLinearRNN``, ``ShallowPiecewiseLinearRNN``, or an ``ElmanRNN``, ``LeakyRNN`` or
            ``PreActivationRNN`` with "relu", "leaky_relu" or "linear".
        period: the longest period, ≥ 1; each period up to it is searched.
        u: one input value, held; ``None`` for none.
        key: of the random patterns; needed where 2^(k p) > 4096.
        attempts: random patterns for each period.
        max_steps: solutions of one attempt before it is given up.
        tolerance: as for ``fixed_points``.

    Returns:
        ``FixedPoints``; ``complete`` says whether every pattern was tried, for every period.

    Raises:
        TypeError: a cell that is not piecewise linear.
        ValueError: period < 1; no key where one is needed; an input that does not fit.

    Reference: L. Eisenmann, Z. Monfared, N. Göring, D. Durstewitz, "Bifurcations and loss jumps in RNN training",
    NeurIPS 2023, algorithm 1 (SCYFI).
    """
    period = count("period", period, minimum=1, maximum=10_000)
    attempts = count("attempts", attempts, minimum=2)
    rounds = count("max_steps", max_steps, minimum=1)
    size = piecewise_linear_form(cell).decay.shape[0]
    problem, _, _ = posed(cell, np.zeros((1, size), parameter_dtype(cell)), u, None, 1)
    held = None if u is None else jax.tree_util.tree_map(lambda leaf: leaf[0], problem.inputs)
    form = piecewise_linear_form(cell, held)
    hidden, limit = form.threshold.shape[0], residual_tolerance(problem, tolerance)
    if hidden * period > _EXHAUSTIVE_BITS and key is None:
        raise ValueError(
            f"key: expected a random key, as {counted(hidden, 'unit')} and period {period} make more than "
            f"{2**_EXHAUSTIVE_BITS} patterns, got None"
        )
    by_period, total = {}, 0
    for length in range(1, period + 1):
        if hidden * length <= _EXHAUSTIVE_BITS:
            states = _hits(form, _all_patterns(length, hidden), 1)
        else:
            drawn = _drawn(form, jax.random.fold_in(key, length), length, attempts)
            states = _hits(form, np.asarray(drawn), rounds)
        roots = _roots(problem, states, length, limit)
        by_period[length] = np.arange(total, total + len(roots.points)), roots
        total += len(roots.points)
    none = np.zeros(0, int)
    return gathered(problem, by_period, none, none, complete=hidden * period <= _EXHAUSTIVE_BITS)
