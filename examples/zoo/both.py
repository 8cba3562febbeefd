"""Networks of the zoo that read in both directions: their measures, and what is stored and printed of them.

An output of theirs has inputs on both sides, so that its gradient is followed to the inputs, back and ahead, and
each direction of each layer has an exponent of its own.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from examples.zoo.common import (
    ENDS,
    SHARES,
    About,
    Agreement,
    head_of,
    lags_shown,
    largest,
    rounded,
    said_of,
    sigmoid,
)

import rnn_dynamics as rd
from rnn_dynamics.cells.bidirectional import DIRECTIONS


class Study(NamedTuple):
    """A network that reads in both directions at work.

    Attributes:
        run: what ``Bidirectional.run`` made of the input.
        output: the scalar that is watched, of what the last layer puts out at one step.
        watched: what that is.
        input: what the network reads, in a sentence.
        agreement: of the states of all layers and directions.
        answers: what the network said, by name: that it works as it should.
        more: further results.
    """

    run: Any
    output: Callable[[Any], Any]
    watched: str
    input: str
    agreement: Agreement
    answers: dict[str, Any]
    more: dict[str, Any] | None = None


def signed_logs(run: Any, output: Callable[[Any], Any], *, ends: int = ENDS) -> np.ndarray:
    """ln‖∂y_t/∂u_{t+m}‖ for m = −w … w of the output at several t, shape (ends, 2 w + 1).

    The t are spread evenly over the middle third of the sequence, and w is a third of it. u is what the first
    recurrent layer reads.
    """
    window = run.steps // 3
    steps = np.unique(np.linspace(window, run.steps - 1 - window, ends).astype(int))
    owed = jax.jit(jax.vmap(jax.grad(output)))(run.outputs[steps])
    rows = []
    for t, row in zip(steps.tolist(), np.asarray(owed), strict=True):
        norms = np.asarray(rd.gradients.output_pullback(run, row, at=t).norm().log())
        rows.append(norms[t - window : t + window + 1])
    return np.array(rows)


def reach(logs: np.ndarray, share: float) -> tuple[int, int]:
    """The largest lags back and ahead at which a curve by signed lag is at least a share of its greatest value."""
    window = len(logs) // 2
    found = np.flatnonzero(logs >= logs.max() + math.log(share)) - window
    return max(0, -int(found[0])), max(0, int(found[-1]))


def rates(logs: np.ndarray) -> tuple[float, float]:
    """Growth of a curve by signed lag a step of distance, back and ahead: slopes over the middle half of a side."""
    window = len(logs) // 2
    lags = np.arange(window // 4, 3 * window // 4 + 1)
    back, ahead = (np.polyfit(lags, logs[window + way * lags], 1)[0] for way in (-1, 1))
    return float(back), float(ahead)


def measured(about: About, study: Study) -> tuple[dict[str, Any], Any]:
    """The JSON of a network, and the verdict to be printed."""
    run = study.run
    verdict = rd.diagnose(run, dt=about.step if about.unit == "s" else None)
    logs = signed_logs(run, study.output)
    middle = np.median(logs, axis=0)
    window = len(middle) // 2
    horizons = {}
    for name, share in SHARES.items():
        reached = np.median([reach(row, share) for row in logs], axis=0)
        horizons[name] = dict(zip(("back", "ahead"), reached.tolist(), strict=True))
    shown = lags_shown(window)
    lags = np.concatenate([-shown[:0:-1], shown])
    directions = [
        {
            "name": name,
            "exponent": rounded(each.exponent),
            "exponent_error": rounded(each.standard_error),
            "regime": each.regime,
            "horizons": {"1/e": each.state_horizon, "1 %": each.state_percent},
        }
        for name, each in verdict.of_directions()
    ]
    found = {
        **head_of(about, study, run.inputs.dtype),
        "steps": run.steps,
        "state_size": int(sum(map(sum, run.network.sizes))),
        "watched": study.watched,
        "answers": rounded(study.answers),
        "agreement": rounded(study.agreement._asdict(), 2),
        "regime": verdict.regime,
        "directions": directions,
        "horizons": horizons,
        "rates": rounded(dict(zip(("back", "ahead"), rates(middle), strict=True))),
        "output_window": window,
        "output_ends": len(logs),
        "curves": {
            "output": {"lag": lags.tolist(), "decades": rounded(middle[lags + window] / math.log(10), 4)}
        },
        "more": study.more or {},
    }
    return found, verdict


def report(found: dict[str, Any], verdict: Any) -> str:
    """What a program prints: the verdict, and what stands beside it in the JSON."""
    name = "s" if found["unit"] == "s" else f"{found['unit']}s"
    lines = [*said_of(found), str(verdict)]
    for share in SHARES:
        back, ahead = (found["horizons"][share][side] * found["step"] for side in ("back", "ahead"))
        lines.append(
            f"  the gradient of {found['watched']}: {share} at {back:.4g} {name} back and {ahead:.4g} ahead"
        )
    return "\n".join(lines)


def compared(run: Any, layers: list[np.ndarray]) -> tuple[float, int]:
    """The largest difference of the states of GRUs from what another computation puts out, layer by layer."""
    pairs = zip(run.layer_outputs, layers, strict=True)
    return max(largest(own, other) for own, other in pairs), run.steps


def gru_layers(network: Any, inputs: Any) -> list[np.ndarray]:
    """What layers of GRUs with the reset after the product put out, in NumPy, both directions beside each other."""
    u, found = np.asarray(inputs), []
    for pair in network.layers:
        both = []
        for way, cell in zip(DIRECTIONS, pair, strict=True):
            states = _gru_states(cell, u if way == "forward" else u[::-1])
            both.append(states if way == "forward" else states[::-1])
        u = np.concatenate(both, axis=1)
        found.append(u)
    return found


def _gru_states(cell: Any, inputs: np.ndarray) -> np.ndarray:
    w, b, w_in = (np.asarray(each, float) for each in (cell.W, cell.b, cell.W_in))
    b_hidden = np.asarray(cell.b_hidden, float)
    n = w.shape[1]
    h, states = np.zeros(n), []
    for given in inputs @ w_in.T + b:
        owed = w @ h
        r, z = np.split(sigmoid(given[: 2 * n] + owed[: 2 * n]), 2)
        a = np.tanh(given[2 * n :] + r * (owed[2 * n :] + b_hidden))
        h = (1 - z) * a + z * h
        states.append(h)
    return np.array(states)
