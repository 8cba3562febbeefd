"""Remedies, each named only where the measurement that selects it was made and says so.

Every remedy has the key of an entry of ``training.REMEDIES``; those that one verdict names can be put together,
``training.recipe(*(remedy.key for remedy in found.remedies))``.
"""

import math
from typing import Any

from rnn_dynamics.cells import ElmanRNN, FeedForward, LeakyRNN, PreActivationRNN, ResidualRNN
from rnn_dynamics.cells.pytree import layer_name
from rnn_dynamics.cells.stack import layer_of
from rnn_dynamics.diagnosis.measurements import Measurements, SuggestedRemedy
from rnn_dynamics.numerics.results.powers import DECADE, power_of_ten
from rnn_dynamics.numerics.texts import counted

_CLIPPING = "gradient-norm clipping", "clipping"
_TRUNCATION = "a gradient cut after fewer steps", "truncated unfolding"
_LEAKY_RELU = "leaky ReLU", "leaky relu"
_UNSATURATED = "smaller weights and inputs, or an activation that does not saturate", "leaky relu"
_ORTHOGONAL = "orthogonal or identity initialisation", "orthogonal"
_SMALLER = "smaller recurrent weights, as orthogonal ones are", "orthogonal"
_NORMALISED = "a state that is normalised at every step", "layer normalisation"
_GATES = "gates (LSTM, GRU) or skip connections"
_RESIDUAL = "residual connections or normalised layers", "residual"
_PAST_THE_CELL = "a leak past the cell, x⁺ = (1 − α) x + α F(x, u), which any cell can have", "leaky"
#: What a verdict may propose.
KEYS = (
    "clipping",
    "truncated unfolding",
    "leaky relu",
    "orthogonal",
    "layer normalisation",
    "residual",
    "leaky",
    "skip",
    "lstm",
    "gru",
)


def remedies_of(found: Measurements, cell: Any) -> tuple[SuggestedRemedy, ...]:
    """Those that the measurements of a verdict select, of each key one."""
    if found.regime == "diverged":
        return _against_overflow(found, cell)
    if found.regime == "not finite":
        return ()
    chosen = [*_against_growth(found), *_against_dead_units(found)]
    if found.forgets:
        chosen += _against_decay(found)
        chosen += _for_memory(found, cell, {remedy.key for remedy in chosen})
    return tuple({remedy.key: remedy for remedy in reversed(chosen)}.values())[::-1]


def _against_overflow(found: Measurements, cell: Any) -> tuple[SuggestedRemedy, ...]:
    """Of a state that grew out of the floats; what was NaN at once, no remedy of training mends."""
    if found.overflow is None or found.overflow.kind != "overflow":
        return ()
    remedy = (
        _SMALLER if isinstance(cell, ElmanRNN | PreActivationRNN | LeakyRNN | FeedForward) else _NORMALISED
    )
    size = power_of_ten(found.overflow.size * DECADE)
    before = f"the state grew to {size} and was not finite at step {found.overflow.step}"
    return (SuggestedRemedy(remedy[0], before, remedy[1]),)


def _against_growth(found: Measurements) -> list[SuggestedRemedy]:
    if not found.peak >= DECADE or found.reason == "loss apart":
        return []
    reaches = f"{power_of_ten(found.peak)} at lag {found.peak_lag}"
    if found.regime == "exploding":
        because = f"the gradient grows by {found.exponent:.3g} nats a step and reaches {reaches}"
    else:
        has_fallen = found.log_norms[0] < found.peak - DECADE
        because = f"{'a transient takes the gradient to' if has_fallen else 'the gradient reaches'} {reaches}"
    chosen = [SuggestedRemedy(_CLIPPING[0], because, _CLIPPING[1])]
    if found.plain_limit > 0:
        because = (
            f"from lag {found.plain_limit} on it is beyond the floats: `jax.grad` gives inf or NaN there"
        )
        chosen.append(SuggestedRemedy(_TRUNCATION[0], because, _TRUNCATION[1]))
    return chosen


def _against_dead_units(found: Measurements) -> list[SuggestedRemedy]:
    if found.units is None or not found.units.dead:
        return []
    because = f"{found.units.dead} of {counted(found.units.total, 'unit')} are dead"
    return [SuggestedRemedy(_LEAKY_RELU[0], because, _LEAKY_RELU[1])]


def _against_decay(found: Measurements) -> list[SuggestedRemedy]:
    """Where the decay was split: against the larger part of it."""
    if found.decay is None or not all(map(math.isfinite, found.decay)):
        return []
    weights, slopes = found.decay
    if slopes < min(weights, 0.0):
        because = f"φ′ changes the gradient by {slopes:+.3g} nats a step, the weights by {weights:+.3g}"
        return [SuggestedRemedy(_UNSATURATED[0], because, _UNSATURATED[1])]
    if weights < 0:
        because = f"the weights take {-weights:.3g} nats a step, φ′ {-slopes:.3g}"
        return [SuggestedRemedy(_ORTHOGONAL[0], because, _ORTHOGONAL[1])]
    return []


def _for_memory(found: Measurements, cell: Any, chosen: set[str]) -> list[SuggestedRemedy]:
    """Against what forgets: gates where there are none, open ones where they close, a way past any other cell."""
    percent = max(found.state_percent, found.horizon_percent)
    short = f"what lies more than {percent} of {found.steps} {{}} back gets less than 1 %"
    steps = short.format("steps")
    if isinstance(cell, ElmanRNN | PreActivationRNN):
        # An LSTM has activations of its own.
        return [SuggestedRemedy(_GATES, steps, "skip" if "leaky relu" in chosen else "lstm")]
    if isinstance(cell, FeedForward):
        return [SuggestedRemedy(_RESIDUAL[0], short.format("layers"), _RESIDUAL[1])]
    if isinstance(cell, ResidualRNN):
        return []  # has the way past the cell, and undoes it
    gate = found.slowest_gate
    if gate is not None and found.gates_forget:
        kept = found.carries[gate]
        rest = found.exponent - kept
        because = f"{gate} takes {-kept:.3g} nats a step even of the unit that keeps most" + (
            f"; the other ways from step to step give {rest:.2g} back: in all {found.exponent:+.3g}"
            if rest > 0
            else f", of {-found.exponent:.3g} in all"
        )
        return [SuggestedRemedy(_memory(cell, gate), because, _key(cell, gate, chosen))]
    if gate is not None:
        kept, lost = -found.carries[gate], -found.exponent
        which = (
            "it is kept by other ways than the gates" if kept > lost else "it is not the gates that lose it"
        )
        because = f"{steps}; {which}: {gate} alone takes {kept:.3g} nats a step, in all {lost:.3g} are lost"
        return [SuggestedRemedy(_PAST_THE_CELL[0], because, _PAST_THE_CELL[1])]
    return [SuggestedRemedy(_PAST_THE_CELL[0], steps, _PAST_THE_CELL[1])]


def _memory(cell: Any, name: str) -> str:
    number, layer = layer_of(cell, name)
    where = f" in {layer_name(number)}" if number else ""
    unnamed = "a gate that keeps more"  # of a cell of one's own
    return (
        "a smaller leak" if isinstance(layer, LeakyRNN) else getattr(layer, "longer_memory", unnamed)
    ) + where


def _key(cell: Any, name: str, chosen: set[str]) -> str:
    """The entry whose cell starts with such a gate: an LSTM with 1 on its forget gate, a GRU, a leak of .1."""
    said = _memory(cell, name)
    if "leak" in said:
        return "leaky"
    if "leaky relu" in chosen:  # an LSTM and a GRU have activations of their own
        return "skip"
    return "lstm" if "forget gate" in said else "gru"
