"""Which slots of a recipe cannot be set together, and why."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from rnn_dynamics.training.recipes.search import SEARCHES


class _Rule(NamedTuple):
    """Two slots, the pieces for which they exclude each other (``None``: any), and why."""

    slot: str
    pieces: tuple[Any, ...] | None
    other: str
    others: tuple[Any, ...] | None
    why: str


_NO_GRADIENT = "a search forms no gradient"
_BLIND = tuple(name for name, search in SEARCHES.items() if not search.uses_rule)
_ANEW = ("random guessing",)
_OF_PLAIN_CELL = "curvatures are known of the plain cell alone"
_RULES = (
    *(_Rule("search", None, slot, None, _NO_GRADIENT) for slot in ("terms", "truncation", "direction")),
    _Rule("search", None, "dropout", None, "a search compares networks as they are tested"),
    *(_Rule("search", _BLIND, slot, None, _NO_GRADIENT) for slot in ("clip", "optimizer")),
    *(
        _Rule("search", _ANEW, slot, None, "it draws all weights anew")
        for slot in ("initializer", "pretraining")
    ),
    *(_Rule("direction", None, s, None, _OF_PLAIN_CELL) for s in ("terms", "truncation", "dropout", "cell")),
    _Rule("cell", ("lstm", "gru", "prelu"), "activation", None, "the cell has its own"),
    _Rule("cell", ("batch normalisation",), "terms", ("flossing",), "one sequence alone has no exponents"),
)


def _pieces(slot: str, piece: Any) -> tuple[Any, ...]:
    """Return a slot's piece; of terms their names."""
    return tuple(term.name for term in piece) if slot == "terms" else (piece,)


def _holds(pieces: tuple[Any, ...] | None, slot: str, chosen: Any) -> bool:
    return pieces is None or any(piece in pieces for piece in _pieces(slot, chosen))


def refuse(chosen: Mapping[str, tuple[Any, str]]) -> None:
    """Refuse slots that cannot be set together.

    Args:
        chosen: slot to its piece and who set it; those that nobody set are not there.

    Raises:
        ValueError: two of them exclude each other; the message names who set them, and why.
    """
    for slot, pieces, other, others, why in _RULES:
        if slot not in chosen or other not in chosen:
            continue
        (piece, by), (its, its_by) = chosen[slot], chosen[other]
        if _holds(pieces, slot, piece) and _holds(others, other, its):
            raise ValueError(f"remedies: {by} and {its_by} exclude each other: {why}")
