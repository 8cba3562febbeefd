"""Norms of ∂y_t/∂u_s and shares of a loss by signed lag, without keeping the matrices."""

from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

from rnn_dynamics.cells.bidirectional import BidirectionalRun
from rnn_dynamics.gradients.bidirectional.graph import INPUTS, Place
from rnn_dynamics.gradients.bidirectional.passes import (
    checked_run,
    output_jacobians,
    output_pullback,
    place_of,
    rows_through,
    width_of,
)
from rnn_dynamics.gradients.bidirectional.results import CreditBySignedLag, SignedNorms
from rnn_dynamics.numerics.batching import computed
from rnn_dynamics.numerics.functions import check_loss
from rnn_dynamics.numerics.scaled_on_host import log_squares
from rnn_dynamics.numerics.validation import choice, count, index


def output_norms(
    run: Any,
    at: int | None = None,
    *,
    ord: int | str = "fro",
    of: str = "output",
    by: str = "input",
    probes: int | None = None,
    seed: int = 0,
) -> SignedNorms:
    """ln‖∂y_t/∂u_s‖ for every s: how far an output reaches back and ahead.

    Args:
        run: from ``Bidirectional.run``.
        at: t; the middle of the sequence, T // 2, by default.
        ord: "fro", the Frobenius norm √(Σ σ_i²), which keeps no matrices, or 2, the spectral norm.
        of, by: as ``output_pullback`` takes them.
        probes: of so many random rows of signs instead of all n rows of y_t, for the Frobenius norm: the work is
            that of as many backward passes.
        seed: of those rows.

    Returns:
        ``SignedNorms``.

    Raises:
        TypeError, ValueError: no run of a bidirectional network, a step outside, an unknown name, another norm;
            probes with the spectral norm.

    Reference: R. Pascanu, T. Mikolov, Y. Bengio, ICML 2013, equation 5, for the chain of one direction.
    """
    run = checked_run(run)
    step: int = run.steps // 2 if at is None else index("at", at, minimum=0, maximum=run.steps - 1)
    origin, target = place_of(run, "of", of), place_of(run, "by", by)
    ord, width = choice("ord", ord, ["fro", 2]), width_of(run, origin)
    dtype = run.inputs.dtype
    count_of_rows = width if probes is None else count("probes", probes, minimum=1)
    if probes is not None and ord == 2:
        raise ValueError('probes: expected None with ord=2, as random rows tell ord="fro", got probes')
    seed = count("seed", seed)
    if ord == 2:
        logs = np.asarray(output_jacobians(run, step, of=of, by=by).norm(2).log())
        return SignedNorms(step, logs, of, by, "2", width, True)
    rows = np.eye(width, dtype=dtype)
    is_exact = count_of_rows >= width
    if not is_exact:
        signs = np.random.default_rng(seed).integers(0, 2, (count_of_rows, width))
        rows = (2 * signs - 1).astype(dtype)
    logs = _frobenius(run, rows, step, origin, target)
    if not is_exact:
        logs = logs - np.log(len(rows)) / 2
    return SignedNorms(step, logs, of, by, "fro", len(rows), is_exact)


def _frobenius(
    run: BidirectionalRun, rows: np.ndarray, at: int, origin: Place, target: Place
) -> Float[np.ndarray, " t"]:
    """ln of the root of the sum of squares of the rows, at each step."""
    total = np.full(run.steps, -np.inf)
    for found in rows_through(run, rows, np.full(len(rows), at), origin, target):
        total = np.logaddexp(total, np.logaddexp.reduce(log_squares(found), axis=1))
    return total / 2


def credit_by_signed_lag(run: Any, loss: Any, *, ends: int | None = 64) -> CreditBySignedLag:
    """What a loss of the outputs owes to the inputs, by how far they lie before or after what it looks at.

    Args:
        run: from ``Bidirectional.run``.
        loss: E(y) of all outputs, shape (T, n), to a number; of one output y_t[j] it is ``lambda y: y[t, j]``.
        ends: of how many steps' direct derivatives e_t the shares by lag are followed, evenly among those that are
            not 0; ``None`` for all. The work is that of as many backward passes.

    Returns:
        ``CreditBySignedLag``.

    Raises:
        TypeError, ValueError: no run of a bidirectional network; a loss that is no function or gives no number;
            ends below 1.

    References: R. Pascanu, T. Mikolov, Y. Bengio, ICML 2013, equations 3 to 5; M. Schuster, K. Paliwal, IEEE Trans.
    Signal Processing 45, 2673 (1997).
    """
    run = checked_run(run)
    ends = None if ends is None else count("ends", ends, minimum=1)
    direct = _direct(run, loss)
    there = np.flatnonzero((direct != 0).any(axis=1))
    if ends is not None and len(there) > ends:
        there = there[np.ceil(np.arange(1, ends + 1) * (len(there) / ends)).astype(int) - 1]
    shares = np.full(2 * run.steps - 1, -np.inf)
    origin, first = place_of(run, "of", "output"), 0
    for found in rows_through(run, direct[there], there, origin, INPUTS):
        for logs in log_squares(found).T:
            lag = run.steps - 1 - there[first]
            shares[lag : lag + run.steps] = np.logaddexp(shares[lag : lag + run.steps], logs)
            first += 1
    total = output_pullback(run, direct)
    return CreditBySignedLag(total, jax.device_put(direct), shares / 2, there)


def _direct(run: BidirectionalRun, loss: Any) -> np.ndarray:
    """Return e_t = ∂⁺E/∂y_t."""
    check_loss(loss, run.outputs, "y")

    def gradient(y: Array) -> Array:
        return jax.grad(loss)(y).astype(y.dtype)

    return np.asarray(computed(gradient, run.outputs))
