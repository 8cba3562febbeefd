"""How far gradients reach in gated cells and in plain ones, as they are initialised."""

import functools
import math
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rnn_dynamics import plots
from rnn_dynamics.cells import GRU, LSTM, LSTM1997, ElmanRNN, irnn
from rnn_dynamics.figures.registry import Reproduction
from rnn_dynamics.figures.report import Row, number
from rnn_dynamics.jacobians import gradient_norms, pullback
from rnn_dynamics.plots import palette
from rnn_dynamics.rollout import Trajectory, rollout
from rnn_dynamics.scaled import Scaled

__all__ = ["gated_cells"]

_DECADES = 1 / math.log(10)
_WIDTH = 4
_GATES = {"LSTM": 4, "LSTM, forget bias 3": 4, "LSTM of 1997": 3, "GRU": 3, "tanh": 1, "ReLU": 1}
_LINES: dict[str, dict[str, Any]] = {
    "tanh": {"color": palette.BLACK},
    "ReLU": {"color": palette.GREY, "linestyle": "--"},
    "ReLU, identity (IRNN)": {"color": palette.GREEN, "linestyle": "--"},
    "GRU": {"color": palette.PURPLE},
    "LSTM": {"color": palette.BLUE},
    "LSTM, forget bias 3": {"color": palette.SKY},
    "LSTM of 1997": {"color": palette.VERMILION},
}


class _Results(NamedTuple):
    """Natural logarithms, by lag.

    Attributes:
        norms: ‖∂x_T/∂x_k‖ (Frobenius) of each cell, the mean over the runs, shape (T+1,).
        parts: of the LSTM of 1997, ‖∂E/∂c_k‖ and ‖∂E/∂h_k‖ for a loss of h_T.
    """

    norms: dict[str, np.ndarray]
    parts: dict[str, np.ndarray]


def gated_cells(*, quick: bool = False) -> Reproduction:
    """Norms against the lag of seven cells with PyTorch's initial weights; the carousel of 1997 apart."""
    units, steps, runs = (16, 100, 2) if quick else (64, 300, 8)
    norms, parts = {}, {}
    for name in _LINES:
        found = [_run(name, units, steps, seed) for seed in range(runs)]
        norms[name] = np.mean([np.asarray(gradient_norms(run, ord="fro")) for run in found], axis=0)[::-1]
        if name == "LSTM of 1997":
            parts = _parts(found[0], units)
    return Reproduction(functools.partial(_picture, _Results(norms, parts)), _rows(units))


def _cell(name: str, units: int, rng: np.random.Generator) -> Any:
    """Weights and biases uniform in ±n^−½, PyTorch's default; IRNN and the forget bias as published."""
    bound = units**-0.5
    rows = _GATES.get(name, 1) * units
    W, W_in = rng.uniform(-bound, bound, (rows, units)), rng.uniform(-bound, bound, (rows, _WIDTH))
    b = rng.uniform(-bound, bound, rows)
    if name == "LSTM, forget bias 3":
        b[units : 2 * units] = 3.0
    if name.startswith("LSTM"):
        return (LSTM1997 if "1997" in name else LSTM)(W, b, W_in)
    if name == "GRU":
        return GRU(W, b, W_in)
    if "IRNN" in name:
        return irnn(np.zeros(units), rng.normal(0, 1e-3, (units, _WIDTH)))
    return ElmanRNN(W, b, W_in, activation="tanh" if name == "tanh" else "relu")


def _run(name: str, units: int, steps: int, seed: int) -> Trajectory:
    rng = np.random.default_rng(seed)
    cell = _cell(name, units, rng)
    size = 2 * units if name.startswith("LSTM") else units
    return rollout(cell, np.zeros(size), rng.normal(size=(steps, _WIDTH)))


def _parts(run: Trajectory, units: int) -> dict[str, np.ndarray]:
    """‖∂E/∂h_k‖ and ‖∂E/∂c_k‖ for E = Σ h_T / √n."""
    cotangent = np.r_[np.full(units, units**-0.5), np.zeros(units)]
    rows = pullback(run, cotangent)

    def log_norm(part: slice) -> np.ndarray:
        return np.asarray(Scaled(rows.unit[:, part], rows.exponent, 1).norm().log())[::-1]

    return {name: log_norm(part) for name, part in run.cell.parts.items()}


def _rows(units: int) -> tuple[Row, ...]:
    """Cells without recurrent weights, in closed form."""
    steps, nothing = 50, np.zeros
    forget = np.r_[nothing(units), np.ones(units), nothing(2 * units)]
    lstm = rollout(LSTM(nothing((4 * units, units)), forget), nothing(2 * units), steps=steps)
    old = rollout(LSTM1997(nothing((3 * units, units)), nothing(3 * units)), nothing(2 * units), steps=steps)
    identity = rollout(irnn(np.full(units, 0.1)), np.ones(units), steps=steps)
    growth, carousel, kept = (float(_growth(run)) for run in (lstm, old, identity))
    return (
        number(
            "LSTM without recurrent weights, forget bias 1: growth a step", "ln σ(1)", "-0.3132616875", growth
        ),
        number("LSTM of 1997 likewise: growth a step", "constant error carousel", "0.0", carousel),
        number("ReLU from the identity, active units: growth a step", "Le et al. 2015", "0.0", kept),
    )


def _growth(run: Trajectory) -> float:
    """The slope of ln‖∂x_T/∂x_k‖ over the lags 1 … T."""
    logs = np.asarray(gradient_norms(run, ord="fro"))
    return float(logs[0] - logs[-2]) / (run.steps - 1)


def _picture(results: _Results) -> Figure:
    figure = Figure(figsize=(10, 4.2))
    left, right = figure.subplots(1, 2)
    for name, logs in results.norms.items():
        left.plot(np.arange(len(logs)), _finite(logs - logs[0]), label=name, **_LINES[name])
    left.set_title("‖∂$x_T$/∂$x_k$‖ over its value at lag 0, as initialised")
    left.legend(ncols=2, fontsize=7, loc="lower left")
    _carousel(right, results.parts)
    for ax, letter in zip((left, right), "ab", strict=True):
        ax.axhline(0, color=palette.LIGHT, linewidth=0.8, zorder=0)
        ax.set_xlabel("lag T − k")
        ax.set_ylabel("log₁₀ of the norm")
        plots.panel_label(ax, letter)
    return figure


def _carousel(ax: Axes, parts: dict[str, np.ndarray]) -> None:
    ax.plot(_finite(parts["cell"]), color=palette.VERMILION, label="to the cell state, $c_k$")
    ax.plot(_finite(parts["hidden"]), color=palette.BLUE, label="to the hidden state, $h_k$")
    ax.set_title("LSTM of 1997: what a loss of $h_T$ owes to each part")
    ax.legend()


def _finite(logs: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(logs), logs * _DECADES, np.nan)
