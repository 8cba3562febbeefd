"""Credit by lag: ∂E/∂x_k, ∂E/∂u_k, and ∂E/∂θ as a sum over the steps it reaches back."""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from rnn_dynamics import lengths
from rnn_dynamics.cells.structure import join, split
from rnn_dynamics.credit.results import CreditByLag
from rnn_dynamics.elementwise import is_plain
from rnn_dynamics.lengths import scan
from rnn_dynamics.parameters import (
    Group,
    by_floating_inputs,
    immediate_gradient,
    is_parameter,
    parameter_count,
    parameter_groups,
    unflatten_parameters,
)
from rnn_dynamics.rollout import Trajectory
from rnn_dynamics.scaled import Scaled, add, from_float
from rnn_dynamics.segments import along, segment, state_at, step_range
from rnn_dynamics.validation import count, flag

__all__ = ["CreditByLag", "credit_by_lag"]

# Below every exponent of a float.
_LOWEST = -(2**30)


class _Step(NamedTuple):
    """A cell taken apart, and the pullbacks of its steps."""

    static: Any
    arrays: Any

    def back(self, x: Array, u: Any, row: Scaled) -> tuple[Scaled, Scaled]:
        """(∂x⁺/∂x)ᵀ row, and (∂x⁺/∂u)ᵀ row over the floating inputs as one vector."""
        of_numbers, numbers = by_floating_inputs(join(self.static, self.arrays), u)
        state, given = jax.vjp(of_numbers, x, numbers)[1](row.unit.reshape(x.shape))
        flat = jnp.concatenate(
            [leaf.reshape(-1).astype(x.dtype) for leaf in given] or [jnp.zeros(0, x.dtype)]
        )
        earlier = Scaled(state.reshape(-1), row.exponent, 1).normalize()
        return earlier, Scaled(flat, row.exponent, 1).normalize() if flat.size else Scaled(
            flat, row.exponent, 1
        )

    def immediate(self, states: Array, inputs: Any, rows: Scaled) -> Scaled:
        """Σ_s (∂⁺x_{s+1}/∂θ)ᵀ row_s; what lies a range of floats below the largest row adds nothing."""
        there = (rows.unit != 0).any(axis=-1)
        top = jnp.where(there.any(), jnp.max(jnp.where(there, rows.exponent, _LOWEST)), 0)
        units = Scaled(rows.unit, jnp.minimum(rows.exponent - top, 0), 1).to_float()
        gradient = immediate_gradient(self.static, self.arrays, states, inputs, units, summed=True)
        return Scaled(gradient, top, 1).normalize()


@functools.partial(jax.jit, static_argnums=0)
def _totals(
    static: Any, arrays: Any, states: Array, inputs: Any, direct: Array, *, inside: Array | None = None
) -> tuple[Scaled, Scaled]:
    """∂E/∂x_k for k = 0 … T and ∂E/∂u_k for k = 0 … T−1, in one backward pass."""
    step = _Step(static, arrays)
    rows = from_float(direct, event_ndim=1)

    def back(row: Scaled, at: tuple) -> tuple[Scaled, tuple[Scaled, Scaled]]:
        x, u, own = at
        earlier, given = step.back(x, u, row)
        row = add(earlier, own)
        return row, (row, given)

    last = rows[-1]
    _, (earlier, given) = scan(back, last, (states, inputs, rows[:-1]), inside, reverse=True)
    return jax.tree_util.tree_map(lambda a, b: jnp.concatenate([a, b[None]]), earlier, last), given


def _measured(
    total: Scaled, share: Scaled, whole: Scaled, groups: tuple[Group, ...]
) -> tuple[Scaled, tuple[Array, ...]]:
    """S(m), and ln‖C_m‖, ln‖S(m)‖, the cosine of S(m) and the rest of the whole, ln‖C_m‖ of every group."""
    stretches = [Scaled(share.unit[g.start : g.stop], share.exponent, 1) for g in groups]
    by_group = jnp.stack([stretch.normalize().norm().log() for stretch in stretches])
    total = add(total, share)
    rest = add(whole, -total)
    known = rest.norm().log() > whole.norm().log() + math.log(1e3 * float(jnp.finfo(rest.dtype).eps))
    sizes = jnp.linalg.norm(total.unit) * jnp.linalg.norm(rest.unit)
    known = known & (sizes > 0)
    cosine = jnp.where(known, jnp.sum(total.unit * rest.unit) / jnp.where(known, sizes, 1), 0)
    cosine = jnp.where(jnp.isfinite(total.norm().unit), cosine, jnp.nan)
    return total, (share.norm().log(), total.norm().log(), cosine, by_group)


@functools.partial(jax.jit, static_argnums=0, static_argnames=("lags", "groups"))
def _lags(
    static: Any,
    arrays: Any,
    states: Array,
    inputs: Any,
    direct: Array,
    *,
    whole: Scaled,
    lags: int,
    groups: tuple[Group, ...],
) -> tuple[Scaled, tuple[Array, ...]]:
    """S(M) and the measures of every lag: all rows e_t go back one step at a time, side by side."""
    step = _Step(static, arrays)

    def further(carry: tuple[Scaled, Scaled], _: None) -> tuple[tuple[Scaled, Scaled], tuple]:
        rows, total = carry
        total, found = _measured(total, step.immediate(states, inputs, rows), whole, groups)
        pulled = jax.vmap(step.back)(states, inputs, rows)[0]
        # A row at x_s has come to x_{s−1}; nothing comes to x_T.
        unit = jnp.concatenate([pulled.unit[1:], jnp.zeros_like(pulled.unit[:1])])
        exponent = jnp.concatenate([pulled.exponent[1:], jnp.zeros_like(pulled.exponent[:1])])
        return (Scaled(unit, exponent, 1), total), found

    first = from_float(direct[1:], event_ndim=1), _nothing(whole)
    (_, total), found = jax.lax.scan(further, first, None, length=lags)
    return total, found


@functools.partial(jax.jit, static_argnums=0, static_argnames="groups")
def _lags_of_last(
    static: Any,
    arrays: Any,
    states: Array,
    inputs: Any,
    last: Array,
    *,
    whole: Scaled,
    groups: tuple[Group, ...],
    inside: Array | None = None,
) -> tuple[Scaled, tuple[Array, ...]]:
    """The same where only e_T is there: one row, back through all steps; what a mask leaves out comes last."""
    step = _Step(static, arrays)

    def further(carry: tuple[Scaled, Scaled], at: tuple) -> tuple[tuple[Scaled, Scaled], tuple]:
        (row, total), (x, u) = carry, at
        share = immediate_gradient(static, arrays, x, u, row.unit)
        total, found = _measured(total, Scaled(share, row.exponent, 1).normalize(), whole, groups)
        return (step.back(x, u, row)[0], total), found

    first = from_float(last, event_ndim=1), _nothing(whole)
    (_, total), found = scan(further, first, (states, inputs), inside, reverse=True)
    return total, jax.tree_util.tree_map(lambda leaf: leaf[::-1], found)


def _nothing(like: Scaled) -> Scaled:
    return Scaled(jnp.zeros_like(like.unit), jnp.zeros_like(like.exponent), 1)


def direct_derivatives(trajectory: Trajectory, loss: Any, every_step: bool) -> Float[Array, "steps+1 n"]:
    """e_k = ∂⁺E/∂x_k."""
    states = trajectory.states
    given = states[1:] if every_step else state_at(trajectory, -1)
    if not callable(loss):
        raise TypeError(f"loss: expected a callable loss(x), got {type(loss).__name__}")
    value = jax.eval_shape(loss, given)
    if getattr(value, "shape", None) != () or not jnp.issubdtype(value.dtype, jnp.floating):
        raise ValueError(f"loss: expected a number, got {value}")
    gradient = jax.grad(lambda x: loss(x))(given).astype(states.dtype)
    rows = gradient.reshape(-1, max(math.prod(states.shape[1:]), 1))
    if is_plain([rows]):
        found = np.zeros((len(states), rows.shape[1]), rows.dtype)
        found[len(states) - len(rows) :] = rows
        return jax.device_put(found)
    return jnp.concatenate([jnp.zeros((len(states) - len(rows), rows.shape[1]), rows.dtype), rows])


def _of_layers(given: Scaled, layers: Any, lags: int, tied: bool | None) -> dict[str, Any]:
    """Shares and sums of a network in depth, whose parameters are the inputs u_k: ∂E/∂u_{T−m} is lag m's."""
    rows = [leaf for leaf in jax.tree_util.tree_leaves(layers) if is_parameter(leaf)]
    if tied is None:
        tied = all(not isinstance(leaf, Tracer) and bool((leaf == leaf[:1]).all()) for leaf in rows)
    by_lag = given[::-1][:lags]
    groups = parameter_groups(jax.tree_util.tree_map(lambda leaf: leaf[0], layers))
    size = given.unit.shape[-1]
    nothing = Scaled(jnp.zeros(size, given.dtype), jnp.zeros((), jnp.int32), 1)
    whole, _ = _summed(by_lag, nothing, groups=groups)
    _, (shares, sums, alignment, by_group) = _summed(by_lag, whole, groups=groups)
    gradient = None
    if tied:
        static, arrays = split(jax.tree_util.tree_map(lambda leaf: leaf[0], layers))
        gradient = unflatten_parameters(static, arrays, whole)
    else:
        sums, alignment = jax.lax.cumlogsumexp(2 * shares) / 2, jnp.where(jnp.isnan(sums), jnp.nan, 0)
    return {
        "log_shares": shares,
        "log_sums": sums,
        "alignment": alignment,
        "log_group_shares": by_group,
        "gradient": gradient,
        "groups": groups,
    }


@functools.partial(jax.jit, static_argnames="groups")
def _summed(by_lag: Scaled, whole: Scaled, *, groups: tuple[Group, ...]) -> tuple[Scaled, tuple[Array, ...]]:
    def further(total: Scaled, share: Scaled) -> tuple[Scaled, tuple[Array, ...]]:
        return _measured(total, share, whole, groups)

    return jax.lax.scan(further, _nothing(whole), by_lag)


def _owed(trajectory: Trajectory, direct: Array) -> tuple[Scaled, Scaled]:
    """``_totals`` of a run, its arrays padded to few lengths where they may be."""
    steps = trajectory.steps

    def program(static: Any, arrays: Any, states: Array, inputs: Any, inside: Any = None) -> Any:
        rows = direct
        if len(states) > steps:
            rows = lengths.padded(direct, 0, steps + 1, before=len(states) - steps)
        return _totals(static, arrays, states, inputs, rows, inside=inside)

    if not is_plain([direct]):
        return _totals(*segment(trajectory, 0, None), direct)
    found = along(program, trajectory, 0, None, cut=False)
    extra = len(found[0]) - steps - 1
    return lengths.cut(found, extra, None) if extra else found


def _measured_of_last(
    trajectory: Trajectory, lags: int, last: Array, groups: tuple[Group, ...], *, whole: Scaled
) -> tuple[Scaled, tuple[Array, ...]]:
    """``_lags_of_last`` of the last steps of a run."""
    start = trajectory.steps - lags
    total, found = along(_lags_of_last, trajectory, start, None, last, cut=False, whole=whole, groups=groups)
    return total, lengths.cut(found, 0, lags) if len(found[0]) > lags else found


def _last_of(direct: Array) -> Array:
    return jax.device_put(np.asarray(direct)[-1]) if is_plain([direct]) else direct[-1]


def credit_by_lag(
    trajectory: Trajectory,
    loss: Any,
    *,
    every_step: bool = False,
    max_lag: int | None = None,
    tied: bool | None = None,
) -> CreditByLag:
    """What a loss owes to each earlier state, input and lag.

    Args:
        trajectory: one trajectory from ``rollout``; the floating leaves of its cell are the parameters, Python's
            numbers among them: what is a setting belongs to the static part of a cell.
        loss: E(x_T), or with ``every_step`` E(x_1 … x_T) of the states, shape (T, n): a sum over steps, a readout
            with its targets, a language model's cross-entropy.
        every_step: whether the loss looks at all states.
        max_lag: M, the largest lag of the parameters' shares; T by default. With ``every_step`` the work is that
            of M·T steps, else of T.

    Returns:
        ``CreditByLag``. The shares of all lags add up to ∂E/∂θ. Of a cell without parameters of its own, a network
        in depth whose layers come as inputs, lag m's share is ∂E/∂u_{T−m}, and as each layer has its own parameters
        sums are those of vectors at right angles.

    Raises:
        TypeError, ValueError: not a trajectory, or one without steps; a loss that is no function or gives no
            number; a lag out of range; a cell without parameters.

    References: R. Pascanu, T. Mikolov, Y. Bengio, arXiv 1211.5063, equations 3 to 5; Y. Bengio, P. Simard,
    P. Frasconi, IEEE Transactions on Neural Networks 5, 1994.
    """
    _, steps = step_range(trajectory, 0, None)
    if not steps:
        raise ValueError("trajectory: expected at least one step, got none")
    lags = steps if max_lag is None else count("max_lag", max_lag, minimum=1, maximum=steps)
    static, arrays = split(trajectory.cell)
    size = sum(jnp.size(leaf) for leaf in arrays if is_parameter(leaf))
    if not size and not any(map(is_parameter, jax.tree_util.tree_leaves(trajectory.inputs))):
        parameter_count(arrays)
    direct = direct_derivatives(trajectory, loss, flag("every_step", every_step))
    totals, given = _owed(trajectory, direct)
    parts = tuple((n, p.start, p.stop) for n, p in getattr(trajectory.cell, "parts", {}).items())
    owed = {
        "states": totals,
        "direct": direct,
        "inputs": given if given.unit.shape[-1] else None,
        "parts": parts,
    }
    if not size:
        return CreditByLag(**owed, **_of_layers(given, trajectory.inputs, lags, tied))
    groups = parameter_groups(trajectory.cell)
    if every_step:
        steps_of_all = segment(trajectory, 0, None)
        measure = functools.partial(_lags, *steps_of_all, direct, lags=lags, groups=groups)
    else:
        measure = functools.partial(_measured_of_last, trajectory, lags, _last_of(direct), groups)
    nothing = Scaled(jnp.zeros(size, trajectory.states.dtype), jnp.zeros((), jnp.int32), 1)
    whole, _ = measure(whole=nothing)
    # The alignment needs the whole gradient.
    _, (log_shares, log_sums, alignment, log_group_shares) = measure(whole=whole)
    return CreditByLag(
        **owed,
        log_shares=log_shares,
        log_sums=log_sums,
        alignment=alignment,
        log_group_shares=log_group_shares,
        gradient=unflatten_parameters(static, arrays, whole),
        groups=groups,
    )
