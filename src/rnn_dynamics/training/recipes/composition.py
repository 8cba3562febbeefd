"""Remedies put together into one recipe, and refused where they exclude each other."""

import dataclasses
from typing import Any

from rnn_dynamics.numerics.validation import instance
from rnn_dynamics.training.recipes.compatibility import refuse
from rnn_dynamics.training.recipes.recipe import Recipe
from rnn_dynamics.training.recipes.remedies import REMEDIES, Remedy
from rnn_dynamics.training.recipes.terms import Term


def find(remedy: Any) -> Remedy:
    """The remedy of a name, or the one that is given.

    Raises:
        ValueError: no such remedy; the message lists the known ones.
        TypeError: neither a name nor a remedy.
    """
    if isinstance(remedy, Remedy):
        return remedy
    if not isinstance(remedy, str):
        raise TypeError(f"remedies: expected names or Remedy objects, got {type(remedy).__name__}")
    if remedy not in REMEDIES:
        raise ValueError(f"remedies: expected some of {', '.join(map(repr, REMEDIES))}, got {remedy!r}")
    return REMEDIES[remedy]


def recipe(*remedies: Any, base: Recipe | None = None) -> Recipe:
    """The plain method (MSGD on a tanh network, learning rate .01) with remedies applied together.

    Args:
        *remedies: names of ``REMEDIES``, or ``Remedy`` objects.
        base: what they change; the plain method by default.

    Returns:
        A ``Recipe``.

    Raises:
        TypeError, ValueError: unknown remedies; two that set one slot or one number to different things, or that
            exclude each other otherwise.
    """
    base = Recipe() if base is None else base
    instance("base", base, Recipe, "recipe")
    changes: dict[str, tuple[Any, str]] = {}
    numbers: dict[str, tuple[float, str]] = {}
    set_by: dict[str, tuple[Any, str]] = {}
    terms: list[Term] = []
    rates: tuple[float, ...] = ()
    for remedy in map(find, remedies):
        for slot, piece in remedy.changes:
            if slot == "terms":
                terms += piece
                named = f"{set_by[slot][1]}, {remedy.name}" if slot in set_by else remedy.name
                set_by[slot] = (tuple(terms), named)
                continue
            _set(changes, slot, piece, remedy.name)
        for name, value in remedy.numbers:
            _set(numbers, name, value, remedy.name)
        rates = remedy.rates or rates
    refuse(_of_base(base) | changes | set_by)
    for remedy in map(find, remedies):
        for slot, piece in remedy.defaults:
            changes.setdefault(slot, (piece, remedy.name))
    if len({term.name for term in terms}) < len(terms):
        raise ValueError(f"remedies: {' and '.join(find(r).name for r in remedies)} are forms of one another")
    found = dataclasses.replace(base, **{slot: piece for slot, (piece, _) in changes.items()})
    found = dataclasses.replace(found, terms=base.terms + tuple(terms))
    found = found.with_numbers(**{name: value for name, (value, _) in numbers.items()})
    return found.with_numbers(learning_rate=rates[0]) if rates else found


def _of_base(base: Recipe) -> dict[str, tuple[Any, str]]:
    """The slots that a recipe sets itself; weights have to start somewhere."""
    fields = [f for f in dataclasses.fields(base) if f.name not in ("initializer", "numbers")]
    chosen = {f.name: getattr(base, f.name) for f in fields if getattr(base, f.name) != f.default}
    return {slot: (piece, "the recipe they change") for slot, piece in chosen.items()}


def _set(chosen: dict[str, tuple[Any, str]], slot: str, value: Any, by: str) -> None:
    """Note who set a slot, and refuse another value for it."""
    kept = chosen.setdefault(slot, (value, by))
    if kept[0] != value:
        raise ValueError(
            f"remedies: {kept[1]} and {by} exclude each other: {slot} is {kept[0]!r} for one and "
            f"{value!r} for the other"
        )
