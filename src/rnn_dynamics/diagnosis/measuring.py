"""What a verdict measures of runs side by side, and at what cost: exactly where that is cheap, else along rows."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from rnn_dynamics.cells.pytree import join
from rnn_dynamics.cells.rollout import Trajectory
from rnn_dynamics.diagnosis.growth import Growth, of_step_logs
from rnn_dynamics.diagnosis.passes import Along, Runs, forward, runs_of
from rnn_dynamics.diagnosis.reverse import backward
from rnn_dynamics.gradients.credit import CreditByLag, credit_by_lag
from rnn_dynamics.gradients.credit.by_lag import direct_derivatives
from rnn_dynamics.gradients.jacobians import gradient_norms
from rnn_dynamics.gradients.parameters import is_parameter
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.spectral.step_bounds import StepBounds, step_bounds

_MOST_EXACT = 1e8  # T n³ over all runs, where every product and step is decomposed
_MOST_FOLLOWED = 1e11  # where products are formed
_MOST_SHARES = 5e7  # T p over all runs, where a share of ∂E/∂θ is formed for every lag
_LARGEST_SHARE = 200_000  # p of one run: shares of more entries cost more than the products do
_MOST_OWED = 1e10  # R T n² over all runs, of rows carried back for a loss
#: Single steps whose losses are followed back, at most.
ENDS = 64


class Measured(NamedTuple):
    """Of one run.

    Attributes:
        logs: ln‖∂x_T/∂x_k‖₂.
        norms: how they were measured, as ``Diagnosis.norms``.
        growth: the largest exponent.
        along: of the pass forward.
        steps: bounds from single steps, or ``None``.
        credit: by lag, or ``None``.
        owed: ``Diagnosis.log_owed``, or ``None``.
        is_loss_finite: whether the loss's direct derivatives are.
        left_out: as ``Diagnosis.left_out``.
    """

    logs: np.ndarray
    norms: str
    growth: Growth
    along: Along
    steps: StepBounds | None
    credit: CreditByLag | None
    owed: np.ndarray | None
    is_loss_finite: bool
    left_out: tuple[str, ...]


def measured(
    trajectory: Trajectory, loss: Any, every_step: bool, exact: bool | None, report: Callable[[int], object]
) -> list[Measured]:
    """One ``Measured`` for every run of a batch along one axis, or for the one run.

    Args:
        exact: whether every product is decomposed; ``None`` where that is cheap.
        report: called with the steps done, of 2 T.
    """
    runs = runs_of(trajectory)
    number, steps = len(runs.states), runs.steps
    norms = _kind(number * steps * float(runs.size) ** 3, exact)
    direct = None if loss is None else _direct(trajectory, loss, every_step)
    credits = None if direct is None else _credits(trajectory, runs, loss, every_step)
    along = forward(runs, report)
    ends = {}
    if direct is not None and credits is None:
        ends = dict(
            zip(("ends", "direct"), _ends(direct, every_step, number * steps * runs.size**2), strict=True)
        )

    def told(done: int) -> object:
        return report(steps + done)

    bounds, owed = None, None
    if norms == "exact":
        logs, bounds = _decomposed(trajectory, runs)
        if ends:
            owed = backward(runs, along.frame, forms_product=False, **ends)[1]
        told(steps)
    else:
        logs, owed = backward(runs, along.frame, forms_product=norms == "followed", report=told, **ends)
    by_lag = None if owed is None else [_by_lag(one, of) for one, of in zip(owed, ends["ends"], strict=True)]
    missing = _left_out(norms, credits is None and direct is not None, every_step)
    return [
        Measured(
            logs[i],
            norms,
            of_step_logs(along.logs[i]),
            _of_run(along, i),
            None if bounds is None else bounds[i],
            None if credits is None else credits[i],
            None if by_lag is None else by_lag[i],
            direct is None or bool(np.isfinite(direct[i]).all()),
            missing,
        )
        for i in range(number)
    ]  # fmt: skip


def _kind(work: float, exact: bool | None) -> str:
    if exact or (exact is None and work <= _MOST_EXACT):
        return "exact"
    return "followed" if exact is None and work <= _MOST_FOLLOWED else "rows"


def _left_out(norms: str, lacks_shares: bool, every_step: bool) -> tuple[str, ...]:
    found = []
    if norms != "exact":
        found.append(
            "the bounds, and a decomposition of every product: `exact=True` or `product_bounds(run)`"
        )
    if lacks_shares:
        more = ", every_step=True" if every_step else ""
        found.append(
            "the parameters' shares by lag; the horizon is that of ∂E/∂x: "
            f"`credit_by_lag(run, loss{more})` has them"
        )
    return tuple(found)


def _of_run(along: Along, i: int) -> Along:
    pick = functools.partial(jax.tree_util.tree_map, lambda leaf: leaf[i])
    return pick(along)


@lean(static_argnums=(0, 4))
def _decompositions(static: Any, arrays: Any, states: Any, inputs: Any, is_shared: bool) -> Any:
    def of_one(arrays: Any, states: Any, inputs: Any) -> Any:
        run = Trajectory(join(static, arrays), inputs, states, jnp.int32(-1))
        return gradient_norms(run), step_bounds(run)

    return jax.vmap(of_one, in_axes=(None if is_shared else 0, 0, 0))(arrays, states, inputs)


def _decomposed(trajectory: Trajectory, runs: Runs) -> tuple[np.ndarray, list[StepBounds]]:
    """Norms by a decomposition of every product, and bounds by one of every step."""
    if not jnp.ndim(trajectory.first_nonfinite):
        return np.asarray(gradient_norms(trajectory), float)[None], [step_bounds(trajectory)]
    logs, steps = _decompositions(runs.static, runs.arrays, runs.states, runs.inputs, runs.is_shared)
    on_host = [np.asarray(part) for part in steps]
    return np.asarray(logs, float), [StepBounds(*(part[i] for part in on_host)) for i in range(len(logs))]


# ---- the loss


def _direct(trajectory: Trajectory, loss: Any, every_step: bool) -> np.ndarray:
    """∂⁺E/∂x_k of every run, shape (runs, T+1, n)."""
    cell, nowhere = None, cast(Any, np.int32(-1))  # NumPy's, which compiles nothing

    def of_one(states: Any) -> Any:
        return direct_derivatives(Trajectory(cell, None, states, nowhere), loss, every_step)

    if not jnp.ndim(trajectory.first_nonfinite):
        return np.asarray(of_one(trajectory.states))[None]
    return np.asarray(jax.vmap(of_one)(trajectory.states))


def _credits(trajectory: Trajectory, runs: Runs, loss: Any, every_step: bool) -> list[CreditByLag] | None:
    """Shares by lag where they are affordable: one for every run."""
    number, steps = len(runs.states), runs.steps
    leaves = jax.tree_util.tree_leaves(runs.arrays)
    size = sum(np.size(leaf) for leaf in leaves if is_parameter(leaf)) // (1 if runs.is_shared else number)
    if size > _LARGEST_SHARE or number * steps * float(size) > _MOST_SHARES:
        return None
    if not jnp.ndim(trajectory.first_nonfinite):
        return [credit_by_lag(trajectory, loss, every_step=every_step, ends=ENDS)]

    def of_one(arrays: Any, states: Any, inputs: Any) -> CreditByLag:
        run = Trajectory(join(runs.static, arrays), inputs, states, jnp.int32(-1))
        return credit_by_lag(run, loss, every_step=every_step, ends=ENDS)

    axes = (None if runs.is_shared else 0, 0, 0)
    found = jax.vmap(of_one, in_axes=axes)(runs.arrays, runs.states, runs.inputs)
    on_host = jax.tree_util.tree_map(np.asarray, found)
    return [jax.tree_util.tree_map(lambda leaf, i=i: leaf[i], on_host) for i in range(number)]


def _ends(direct: np.ndarray, every_step: bool, work: float) -> tuple[np.ndarray, np.ndarray]:
    """Steps whose losses are followed back, evenly among those that have one, and their direct derivatives."""
    number, steps = len(direct), direct.shape[1] - 1
    if not every_step:
        return np.full((number, 1), steps), direct[:, -1:]
    there = np.flatnonzero((direct != 0).any(axis=(0, 2)))
    there = there if there.size else np.array([steps])
    rows = int(min(max(_MOST_OWED / work, 1), ENDS, there.size))
    chosen = there[np.ceil(np.arange(1, rows + 1) * (there.size / rows)).astype(int) - 1]
    return np.broadcast_to(chosen, (number, rows)), direct[:, chosen]


def _by_lag(owed: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """ln of the root of Σ_t ‖∂E_t/∂x_{t−m+1}‖² for m = 1 … T, from ln‖∂E_t/∂x_k‖ by k and t."""
    steps = len(owed) - 1
    found = np.full((steps, len(ends)), -np.inf)
    for j, end in enumerate(ends):
        found[:end, j] = owed[1 : end + 1, j][::-1]
    with np.errstate(invalid="ignore"):
        return np.logaddexp.reduce(2 * found, axis=1) / 2
