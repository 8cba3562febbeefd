"""Credit by lag: ∂E/∂x_k, ∂E/∂u_k, and ∂E/∂θ as a sum over the steps it reaches back."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from rnn_dynamics.cells.pytree import split
from rnn_dynamics.cells.rollout import Trajectory
from rnn_dynamics.gradients.credit.kernels import (
    Ends,
    lags_of_ends,
    lags_of_last,
    measures_of,
    nothing_like,
    sizes_of,
    totals_of,
    whole_of,
)
from rnn_dynamics.gradients.credit.results import CreditByLag
from rnn_dynamics.gradients.parameters import (
    Group,
    is_parameter,
    parameter_count,
    parameter_groups,
    unflatten_parameters,
)
from rnn_dynamics.gradients.steps import along, later_states, segment, state_at, step_range
from rnn_dynamics.numerics import padding
from rnn_dynamics.numerics.batching import computed, is_plain
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.functions import check_loss
from rnn_dynamics.numerics.scaled import Scaled
from rnn_dynamics.numerics.validation import count, flag


def direct_derivatives(trajectory: Trajectory, loss: Any, every_step: bool) -> Float[Array, "steps+1 n"]:
    """Return e_k = ∂⁺E/∂x_k."""
    states = trajectory.states
    given = later_states(trajectory) if every_step else state_at(trajectory, -1)
    check_loss(loss, given)
    gradient = computed(lambda x: jax.grad(loss)(x).astype(states.dtype), given)
    on_host = is_plain([gradient])
    rows = (np.asarray(gradient) if on_host else gradient).reshape(-1, max(math.prod(states.shape[1:]), 1))
    if on_host:
        found = np.zeros((len(states), rows.shape[1]), rows.dtype)
        found[len(states) - len(rows) :] = rows
        return jax.device_put(found)
    return jnp.concatenate([jnp.zeros((len(states) - len(rows), rows.shape[1]), rows.dtype), rows])


def _followed(direct: Array, ends: int | None) -> np.ndarray:
    """The steps whose e_t are followed back: all, or some of those that have one, evenly, the last included."""
    of_all = np.arange(1, len(direct))
    if ends is None:
        return of_all
    ends, there = count("ends", ends, minimum=1), of_all
    if not isinstance(direct, Tracer):
        there = np.flatnonzero((np.asarray(direct) != 0).any(axis=1))
        there = there[there > 0] if there.any() else of_all[:1]
    if len(there) <= ends:
        return there
    return there[np.ceil(np.arange(1, ends + 1) * (len(there) / ends)).astype(int) - 1]


def _is_one(rows: np.ndarray) -> bool:
    return bool((rows == rows[:1]).all())


@lean
def _added(shares: Float[Array, " m"], sums: Float[Array, " m"]) -> tuple[Array, Array]:
    """ln of the root of the sum of squares of the shares so far, and alignments of 0 where there are any."""
    return jax.lax.cumlogsumexp(2 * shares) / 2, jnp.where(jnp.isnan(sums), jnp.nan, 0)


def _of_layers(given: Scaled, layers: Any, lags: int, tied: bool | None) -> dict[str, Any]:
    """Shares and sums of a network in depth, whose parameters are the inputs u_k: ∂E/∂u_{T−m} is lag m's."""
    rows = [leaf for leaf in jax.tree_util.tree_leaves(layers) if is_parameter(leaf)]
    if tied is None:
        tied = all(not isinstance(leaf, Tracer) and _is_one(np.asarray(leaf)) for leaf in rows)
    by_lag = given[::-1][:lags]
    groups = parameter_groups(jax.tree_util.tree_map(lambda leaf: leaf[0], layers))
    size = given.unit.shape[-1]
    nothing = Scaled(jnp.zeros(size, given.dtype), jnp.zeros((), jnp.int32), 1)
    whole, _ = _summed(by_lag, nothing, np.False_, groups=groups)
    _, (shares, sums, alignment, by_group) = _summed(by_lag, whole, np.True_, groups=groups)
    gradient = None
    if tied:
        static, arrays = split(jax.tree_util.tree_map(lambda leaf: leaf[0], layers))
        gradient = unflatten_parameters(static, arrays, whole)
    else:
        sums, alignment = _added(shares, sums)
    return {
        "log_shares": shares,
        "log_sums": sums,
        "alignment": alignment,
        "log_group_shares": by_group,
        "gradient": gradient,
        "groups": groups,
    }


@lean(static_argnames="groups")
def _summed(
    by_lag: Scaled, whole: Scaled, looks: Array, *, groups: tuple[Group, ...]
) -> tuple[Scaled, tuple[Array, ...]]:
    total, found = jax.lax.scan(
        lambda total, share: sizes_of(total, share, whole, groups, looks), nothing_like(whole), by_lag
    )
    return total, measures_of(found, whole)


def _owed(trajectory: Trajectory, direct: Array) -> tuple[Scaled, Scaled]:
    """``totals_of`` of a run, its arrays padded to few lengths where they may be."""
    steps = trajectory.steps

    def program(static: Any, arrays: Any, states: Array, inputs: Any, inside: Any = None) -> Any:
        rows = direct
        if len(states) > steps:
            rows = padding.padded(direct, 0, steps + 1, before=len(states) - steps)
        return totals_of(static, arrays, states, inputs, rows, inside=inside)

    if not is_plain([direct]):
        return totals_of(*segment(trajectory, 0, None), direct)
    found = along(program, trajectory, 0, None, cut=False)
    extra = len(found[0]) - steps - 1
    return padding.cut(found, extra, None) if extra else found


def _gradient(trajectory: Trajectory, totals: Scaled) -> Scaled:
    """∂E/∂θ from the total derivatives of a run, which nothing is added to by the padding."""

    def program(static: Any, arrays: Any, states: Array, inputs: Any, inside: Any = None) -> Any:
        extra = len(states) - trajectory.steps
        rows = jax.tree_util.tree_map(lambda leaf: _led_by_zeros(np.asarray(leaf)[1:], extra), totals)
        return whole_of(static, arrays, states, inputs, rows)

    if not is_plain(jax.tree_util.tree_leaves(totals)):
        return whole_of(*segment(trajectory, 0, None), totals[1:])
    return along(program, trajectory, 0, None, cut=False)


def _led_by_zeros(rows: np.ndarray, extra: int) -> np.ndarray:
    return np.concatenate([np.zeros((extra, *rows.shape[1:]), rows.dtype), rows])


def _measured_of_last(
    trajectory: Trajectory, lags: int, last: Array, groups: tuple[Group, ...], **sums: Any
) -> tuple[Scaled, tuple[Array, ...]]:
    """Return ``lags_of_last`` of the last steps of a run."""
    start = trajectory.steps - lags
    total, found = along(lags_of_last, trajectory, start, None, last, cut=False, groups=groups, **sums)
    return total, padding.cut(found, 0, lags) if len(found[0]) > lags else found


def _measured_of_ends(
    trajectory: Trajectory,
    lags: int,
    ends: np.ndarray,
    direct: Array,
    groups: tuple[Group, ...],
    **sums: Any,
) -> tuple[Scaled, tuple[Array, ...]]:
    """``lags_of_ends`` of a run, rows and lags padded to few numbers where that is cheap."""
    size = math.prod(trajectory.states.shape[1:])
    is_on_host, wanted, length = is_plain([direct]), None, lags
    rows = (np.asarray(direct) if is_on_host else direct)[ends]
    if is_on_host:
        if padding.may_pad(len(ends), size * len(ends), padding.LARGEST_PADDED, direct):
            surplus = padding.longer(len(ends)) - len(ends)  # ends at x_0, to which no step leads
            rows = np.concatenate([rows, np.zeros((surplus, size), rows.dtype)])
            ends = np.concatenate([ends, np.zeros(surplus, ends.dtype)])
        length = padding.longer(lags)
        wanted = padding.inside(lags, after=length - lags)
    given = {"ends": Ends(ends.astype(np.int32), rows, wanted), "lags": length, "groups": groups, **sums}
    total, found = along(lags_of_ends, trajectory, 0, None, cut=False, **given)
    return total, padding.cut(found, 0, lags) if length > lags else found


def _last_of(direct: Array) -> Array:
    return jax.device_put(np.asarray(direct)[-1]) if is_plain([direct]) else direct[-1]


def credit_by_lag(
    trajectory: Trajectory,
    loss: Any,
    *,
    every_step: bool = False,
    max_lag: int | None = None,
    tied: bool | None = None,
    ends: int | None = None,
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
        tied: of a network in depth, whose layers come as inputs: whether they share one set of parameters. By
            default whether all are equal, and not under ``jit``.
        ends: R, with ``every_step``: of how many steps' direct derivatives the shares by lag are followed back,
            evenly among those that are not 0; all by default. The work is then that of M·R steps. Shares and sums
            are those of these R terms of the loss alone; ``states``, ``inputs`` and ``gradient`` those of all, from
            one reverse pass, which is the sum over the losses of single steps as derivatives are linear.

    Returns:
        ``CreditByLag``. The shares of all lags add up to ∂E/∂θ where all ends are followed. Of a cell without
        parameters of its own, a network in depth whose layers come as inputs, lag m's share is ∂E/∂u_{T−m}; where
        each layer has its own parameters, sums are those of vectors at right angles.

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
    followed = _followed(direct, ends) if every_step else np.array([steps])
    if every_step:
        measure = functools.partial(_measured_of_ends, trajectory, lags, followed, direct, groups)
    else:
        measure = functools.partial(_measured_of_last, trajectory, lags, _last_of(direct), groups)
    zeros: tuple[Any, Any] = np.zeros(size, trajectory.states.dtype), np.zeros((), np.int32)
    nothing = Scaled(*zeros, 1)
    gradient = _gradient(trajectory, totals) if every_step and lags == steps else None
    # The alignment needs the sum of all lags, added in the order of the lags: what is left of it late is rounding.
    # Where every step looks, that costs T² once more, and the sum over the steps stands for it.
    if len(followed) == steps and every_step and gradient is not None:
        whole = gradient
    else:
        whole = measure(whole=nothing, looks=np.False_)[0]
    _, (log_shares, log_sums, alignment, log_group_shares) = measure(whole=whole, looks=np.True_)
    return CreditByLag(
        **owed,
        log_shares=log_shares,
        log_sums=log_sums,
        alignment=alignment,
        log_group_shares=log_group_shares,
        gradient=unflatten_parameters(static, arrays, whole if gradient is None else gradient),
        groups=groups,
    )
