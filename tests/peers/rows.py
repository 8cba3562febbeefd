"""One row of the table: a cell of a framework beside the library's, in states, ∂h_T/∂h_0 and gradients."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

import rnn_dynamics as rd
from rnn_dynamics.interop import Cause

UNITS, INPUTS, STEPS = 5, 3, 20
_STATES = {"float32": 2e-6, "float64": 1e-13}
_JACOBIAN = {"float32": 2e-5, "float64": 1e-12}


@dataclasses.dataclass
class Row:
    """A cell with its options.

    Attributes:
        cell: its name in the framework.
        option: what is not the default.
        ours: the library's cell, from its importer.
        states: of x_0 and inputs the framework's x_1 … x_T in the library's layout, (T, n); ``None`` for none.
        jacobian: of the same the framework's ∂x_T/∂x_0; ``None`` where the framework has no derivatives.
        dtype: that the framework computes in.
        audited: what ``audit`` takes; ``None`` for none.
        options: of ``audit``.
        steps: of the audit.
        expected: the cause that the audit is known to find.
        tolerances: of states and of ∂x_T/∂x_0, where the framework is known to be coarser.
        because: why it is, in the table's words.
        size: entries of the state, where the cell does not tell.
    """

    cell: str
    option: str
    ours: Any
    states: Callable[[np.ndarray, np.ndarray], Any] | None
    jacobian: Callable[[np.ndarray, np.ndarray], Any] | None
    dtype: str = "float64"
    audited: Any = None
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    steps: int = 60
    expected: Cause = Cause.AGREES
    tolerances: tuple[float, float] | None = None
    because: str = ""
    size: int = 0


def measured(row: Row) -> dict[str, Any]:
    """Both errors and the audit's verdict, and whether they are as expected, as plain numbers and words."""
    rng = np.random.default_rng(7)
    inputs = rng.normal(size=(STEPS, INPUTS)).astype(row.dtype)
    found: dict[str, Any] = {"cell": row.cell, "option": row.option, "dtype": row.dtype, "wrong": []}
    allowed = row.tolerances or (_STATES[row.dtype], _JACOBIAN[row.dtype])
    if row.states is not None:
        size = row.size or sum(getattr(row.ours, "sizes", ())) or rd.cells.stack.state_size(row.ours)
        x0 = (0.5 * rng.random(size)).astype(row.dtype)
        run = rd.rollout(row.ours, x0, inputs)
        theirs = np.asarray(row.states(x0, inputs), float)
        found["states"] = _error(theirs, np.asarray(run.states[1:], float))
        if row.jacobian is not None:
            product = np.asarray(rd.jacobian_product(run).to_float(), float)
            found["jacobian"] = _error(np.asarray(row.jacobian(x0, inputs), float), product)
        found["wrong"] += [
            f"{name}: {found[name]:.2g}, allowed {most:.2g}"
            for name, most in zip(("states", "jacobian"), allowed, strict=True)
            if name in found and not found[name] <= most
        ]
    if row.audited is not None:
        driven = rng.normal(size=(row.steps, row.options.pop("width", INPUTS))).astype(row.dtype)
        verdict = rd.interop.audit(row.audited, driven, **row.options)
        found |= {"cause": verdict.cause.name, "verdict": verdict.verdict, "lags": len(verdict.lags)}
        found["parted"] = verdict.parted
        found.setdefault("states", float(verdict.output_errors.max()))
        if verdict.cause != row.expected:
            found["wrong"].append(f"audit: expected {row.expected.name}, found {verdict}")
    found["because"] = row.because
    return found


def _error(theirs: np.ndarray, ours: np.ndarray) -> float:
    """The greatest difference over the greatest entry."""
    if theirs.shape != ours.shape:
        raise ValueError(f"expected shape {ours.shape}, got {theirs.shape}")
    return float(np.abs(theirs - ours).max() / np.abs(ours).max())
