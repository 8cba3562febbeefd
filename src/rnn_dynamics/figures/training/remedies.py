"""Every remedy on the same patient: temporal order of length 30, 50 tanh units unless the remedy is a cell.

``rnn-dynamics retrain remedies`` trains them, in some twenty minutes on two cores, and writes the result
beside this file; it goes on from the folder ``--folder`` if it is interrupted.
"""

import functools
from pathlib import Path

from matplotlib.figure import Figure

from rnn_dynamics import plots
from rnn_dynamics.figures import stored as kept
from rnn_dynamics.figures.registry import Reproduction
from rnn_dynamics.figures.report import ReportRow, claim
from rnn_dynamics.plots import palette
from rnn_dynamics.training import REMEDIES, Comparison, compare, load_comparison

LENGTH, SEEDS, UPDATES = 30, 5, 5000
_ALONE = ("clipping", "value clipping", "omega", "omega, norms", "flossing", "basic tanh", "sigmoid network")
_WITH_CLIPPING = ("omega", "omega, norms", "flossing")


def measured() -> tuple[str, ...]:
    """The rows: nothing, clipping, each remedy beside clipping, and searches, which have no gradient to clip."""
    others = [remedy for name, remedy in REMEDIES.items() if name not in _ALONE]
    searches = [remedy.name for remedy in others if remedy.kind == "search"]
    pairs = [f"clipping+{name}" for name in _WITH_CLIPPING]
    pairs += [f"clipping+{remedy.name}" for remedy in others if remedy.name not in searches]
    return (
        "plain",
        "clipping",
        "value clipping",
        *pairs,
        "clipping+lstm+adam",
        "clipping+gru+adam",
        *searches,
    )


def stored() -> Comparison:
    """What ``retrain`` wrote."""
    with kept.path("remedies") as path:
        return load_comparison(path)


def remedies(*, quick: bool = False) -> Reproduction:
    """The table of remedies as a picture, drawn from the stored runs."""
    found = stored()
    return Reproduction(functools.partial(_picture, found), _rows(found))


def _text(found: Comparison, name: str) -> str:
    row = found.row(name)
    return (
        f"{row.successes}/{len(row.seeds)} learned, horizon {row.horizon_at('initial'):.0f} at the start and "
        f"{row.horizon_at('final'):.0f} at the end"
    )


def _rows(found: Comparison) -> tuple[ReportRow, ...]:
    plain, clipped, regularised = (found.row(name) for name in ("plain", "clipping", "clipping+omega"))
    kept = [row for row in found.rows if row.horizon_at("initial") >= 0.9 * row.steps_of_task]
    failed = [row.remedy for row in kept if row.successes < len(row.seeds)]
    return (
        claim(
            f"temporal order, length {LENGTH}, at most {UPDATES} updates: plain, clipping, clipping and Ω",
            "Pascanu et al. 2013",
            "clipping with Ω learns most",
            "; ".join(_text(found, row.remedy) for row in (plain, clipped, regularised)),
            found=regularised.successes >= max(plain.successes, clipped.successes),
        ),
        claim(
            "horizon at the start with clipping and without",
            "popular: clipping cures vanishing",
            "the same: clipping cannot lengthen a gradient",
            f"{clipped.horizon_at('initial'):.0f} and {plain.horizon_at('initial'):.0f} lags",
            found=clipped.horizon_at("initial") == plain.horizon_at("initial"),
            wrong=True,
            note="Clipping makes long steps short; a gradient that has vanished is short already.",
        ),
        claim(
            f"remedies whose gradient reaches .9 T at the start: {len(kept)} of {len(found.rows)}",
            "each remedy's own claim",
            "a gradient that does not vanish is not yet a task that is learned",
            f"{len(failed)} of them have runs that fail: {', '.join(failed) or 'none'}",
            found=bool(failed),
        ),
    )


def _picture(found: Comparison) -> Figure:
    figure = Figure(figsize=(palette.FULL, 2.0 + 0.175 * len(found.rows)))
    plots.comparison(found, figure.subplots())
    title = (
        f"temporal order of length {LENGTH}, 50 units, {found.settings['seeds']} runs of at most "
        f"{found.settings['updates']} updates"
    )
    figure.suptitle(title, fontsize=palette.TEXT)
    return figure


def retrain(out: Path, folder: Path) -> None:
    """Train every remedy and write what became of it."""
    found = compare(measured(), ["temporal-order"], [LENGTH], seeds=SEEDS, updates=UPDATES, store=folder)
    found.save(out)
