"""Remedies, each named only where the measurement that selects it was made and says so."""

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from rnn_dynamics.cells import ElmanRNN, FeedForward, LeakyRNN, PreActivationRNN
from rnn_dynamics.cells.stack import layer_of
from rnn_dynamics.cells.structure import layer_name

if TYPE_CHECKING:
    from rnn_dynamics.diagnose.verdict import Diagnosis

__all__ = ["Remedy", "remedies_of"]

_DECADE = math.log(10)


class Remedy(NamedTuple):
    """A remedy, and the measurement that selects it."""

    name: str
    because: str


def remedies_of(found: "Diagnosis", cell: Any) -> tuple[Remedy, ...]:
    """Those that the measurements of a verdict select."""
    if found.regime in ("diverged", "not finite"):
        return ()
    chosen = [*_against_growth(found), *_against_dead_units(found)]
    if found.regime == "vanishing" and found.state_horizon < found.steps / 2:
        chosen += [*_against_decay(found), *_for_memory(found, cell)]
    return tuple(chosen)


def _against_growth(found: "Diagnosis") -> list[Remedy]:
    if found.regime == "exploding":
        return [Remedy("gradient-norm clipping", f"the gradient grows by {found.exponent:.3g} nats a step")]
    if not found.peak > _DECADE:
        return []
    has_fallen = found.log_norms[0] < found.peak - _DECADE
    is_transient = found.regime in ("vanishing", "neither") and has_fallen
    what = "a transient takes the gradient to" if is_transient else "the gradient reaches"
    return [Remedy("gradient-norm clipping", f"{what} 10^{found.peak / _DECADE:.2g}")]


def _against_dead_units(found: "Diagnosis") -> list[Remedy]:
    if found.units is None or not found.units.dead:
        return []
    return [Remedy("leaky ReLU", f"{found.units.dead} of {found.units.total} units are dead")]


def _against_decay(found: "Diagnosis") -> list[Remedy]:
    """Where the decay was split: against the larger part of it."""
    if found.decay is None or not all(map(math.isfinite, found.decay)):
        return []
    weights, slopes = found.decay
    if slopes < min(weights, 0.0):
        return [
            Remedy(
                "smaller weights and inputs, or an activation that does not saturate",
                f"φ′ changes the gradient by {slopes:+.3g} nats a step, the weights by {weights:+.3g}",
            )
        ]
    if weights < 0:
        because = f"the weights take {-weights:.3g} nats a step"
        return [Remedy("orthogonal or identity initialisation", because)]
    return []


def _for_memory(found: "Diagnosis", cell: Any) -> list[Remedy]:
    """Against what forgets: gates where there are none, open ones where they close."""
    if isinstance(cell, ElmanRNN | PreActivationRNN):
        because = f"the horizon is {found.state_horizon} of {found.steps} steps"
        return [Remedy("gates (LSTM, GRU) or skip connections", because)]
    if isinstance(cell, FeedForward):
        because = f"the horizon is {found.state_horizon} of {found.steps} layers"
        return [Remedy("residual connections or normalised layers", because)]
    if not found.carries or not math.isfinite(found.exponent):
        return []
    # What the gate alone takes of the unit that keeps most, in the layer that keeps most, beside all that is lost.
    name = max(found.carries, key=lambda key: found.carries[key])
    kept = found.carries[name]
    if kept > found.exponent / 2:
        return []
    lost = f"{-kept:.3g} nats a step of the unit that keeps most"
    because = f"{name} alone takes {lost}, all together {-found.exponent:.3g}"
    return [Remedy(_memory(cell, name), because)]


def _memory(cell: Any, name: str) -> str:
    number, layer = layer_of(cell, name)
    where = f" in {layer_name(number)}" if number else ""
    unnamed = "a gate that keeps more"  # of a cell of one's own
    return (
        "a smaller leak" if isinstance(layer, LeakyRNN) else getattr(layer, "longer_memory", unnamed)
    ) + where
