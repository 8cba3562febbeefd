"""The verdict on a network that reads in both directions: each direction's, and how far outputs reach."""

import functools
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import jax

from rnn_dynamics.cells.bidirectional import DIRECTIONS, BidirectionalRun
from rnn_dynamics.diagnosis.measurements import SuggestedRemedy
from rnn_dynamics.diagnosis.results import Diagnosis
from rnn_dynamics.diagnosis.verdict import of_one_run
from rnn_dynamics.gradients.bidirectional import (
    CreditBySignedLag,
    SignedNorms,
    credit_by_signed_lag,
    output_norms,
)
from rnn_dynamics.gradients.bidirectional.passes import checked_run
from rnn_dynamics.gradients.bidirectional.results import reach_words
from rnn_dynamics.numerics.results import Result, Table
from rnn_dynamics.numerics.results.powers import power_of_ten
from rnn_dynamics.numerics.texts import counted

_MOST_OF_ALL = 1e11  # operations for all rows of an output
_MOST_OF_PROBES = 1e12
_PROBES = 16


@dataclass(frozen=True, repr=False)
class BidirectionalDiagnosis(Result):
    """The verdict on a bidirectional network along one sequence.

    Attributes:
        directions: of each layer a pair of ``Diagnosis``, forward and backward, each of that direction's own chain
            of states; the backward one of the sequence in reverse order. ``None`` where there is no such cell.
        output: how far one output, that in the middle, reaches back and ahead: ``SignedNorms``. Gradients change
            directions between layers, so that this is no product of step Jacobians.
        reaches: the same of the state of each direction of each layer; ``None`` where there is no cell, or where it
            was left out.
        credit: what the loss owes to the inputs, where one was given.
        names: of the cells of each layer, as "GRU 8".
        left_out: what was not measured because of its cost, and how to get it.
    """

    directions: tuple[tuple[Diagnosis | None, Diagnosis | None], ...]
    output: SignedNorms
    reaches: tuple[tuple[SignedNorms | None, SignedNorms | None], ...]
    credit: CreditBySignedLag | None
    names: tuple[tuple[str, str], ...]
    left_out: tuple[str, ...] = ()

    picture: ClassVar = "bidirectional_diagnosis"
    _may_lack: ClassVar = ()

    @property
    def steps(self) -> int:
        """The length of the sequence, T."""
        return len(self.output.log_norms)

    @property
    def horizon(self) -> tuple[int, int]:
        """How far the output, or the loss where there is one, reaches back and ahead at 1/e of the greatest."""
        return self.output.horizon() if self.credit is None else self.credit.horizon()

    @property
    def horizon_percent(self) -> tuple[int, int]:
        """The same at one hundredth."""
        return self.output.horizon(0.01) if self.credit is None else self.credit.horizon(0.01)

    def of_directions(self) -> Iterator[tuple[str, Diagnosis]]:
        """The verdict of each direction of each layer, by name: "layer 0 forward", "layer 0 backward", …"""
        for layer, pair in enumerate(self.directions):
            for way, found in zip(DIRECTIONS, pair, strict=True):
                if found is not None:
                    yield f"layer {layer} {way}", found

    @property
    def regimes(self) -> dict[str, str]:
        """The regime of each direction of each layer, by name."""
        return {name: found.regime for name, found in self.of_directions()}

    @property
    def regime(self) -> str:
        """That of all directions, or "mixed"."""
        found = set(self.regimes.values())
        return found.pop() if len(found) == 1 else "mixed"

    @property
    def remedies(self) -> dict[str, tuple[SuggestedRemedy, ...]]:
        """What each direction's measurements select, by name."""
        return {name: found.remedies for name, found in self.of_directions() if found.remedies}

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings and lists: what ``json.dumps`` takes. Infinities and NaN become ``None``."""
        return {
            "regime": self.regime,
            "steps": self.steps,
            "horizon": list(self.horizon),
            "horizon_percent": list(self.horizon_percent),
            "rates": _plain(self.output.rates),
            "output": _norms_to_dict(self.output),
            "directions": {name: each.to_dict() for name, each in self.of_directions()},
            "reaches": {name: _norms_to_dict(each) for name, each in self._reaches()},
            "log_shares": None if self.credit is None else _plain(self.credit.log_shares),
            "left_out": list(self.left_out),
        }

    def to_json(self) -> str:
        """Return ``to_dict`` as JSON."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)

    def _reaches(self) -> Iterator[tuple[str, SignedNorms]]:
        for layer, pair in enumerate(self.reaches):
            for way, found in zip(DIRECTIONS, pair, strict=True):
                if found is not None:
                    yield f"layer {layer} {way}", found

    def _rows(self) -> list[tuple[str, ...]]:
        reaches = dict(self._reaches())
        cells = {
            f"layer {layer} {way}": name
            for layer, pair in enumerate(self.names)
            for way, name in zip(DIRECTIONS, pair, strict=True)
        }
        rows = []
        for name, found in self.of_directions():
            reach = reaches.get(name)
            both = "" if reach is None else "{} back, {} ahead".format(*reach_words(reach, 0.01))
            rows.append(
                (
                    name,
                    cells[name],
                    found.regime,
                    _exponent(found),
                    f"{found.horizon}, {found.horizon_percent}",
                    both,
                )
            )
        return rows

    def _tables(self) -> Iterator[Table]:
        columns = ("direction", "cell", "gradients", "exponent (nats a step)", "horizon at 1/e, 1 % (lags)")
        columns += ("its state reaches inputs at 1 %",)
        yield Table(f"{self.regime}, by direction", columns, self._rows())

    def _said(self) -> str:
        shares = self.output if self.credit is None else self.credit
        (back, ahead), (far_back, far_ahead) = reach_words(shares), reach_words(shares, 0.01)
        reach = f"reach {back} back, {ahead} ahead at 1/e, {far_back} and {far_ahead} at 1 %"
        return (
            f"BidirectionalDiagnosis({self.regime}, {counted(len(self.directions), 'layer')}, "
            f"{counted(self.steps, 'step')}, {reach})"
        )

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def _exponent(found: Diagnosis) -> str:
    return f"{found.exponent:+.3g} ± {found.standard_error:.2g}"


def _plain(values: Any) -> list[float | None]:
    return [float(v) if v == v and abs(v) != float("inf") else None for v in values]


def _norms_to_dict(found: SignedNorms) -> dict[str, Any]:
    return {
        "at": found.at,
        "log_norms": _plain(found.log_norms),
        "is_exact": found.is_exact,
        "horizon": list(found.horizon()),
        "horizon_percent": list(found.horizon(0.01)),
    }


def _reach(shares: Any) -> str:
    near, far = reach_words(shares), reach_words(shares, 0.01)
    steps = "step" if near[0] in ("1", "≥ 1") else "steps"
    return f"{near[0]} {steps} back and {near[1]} ahead at 1/e, {far[0]} and {far[1]} at 1 %"


def _lines(found: BidirectionalDiagnosis) -> list[str]:
    """The text: how far outputs reach, then a line for each direction, and what would help each."""
    depth, output = len(found.directions), found.output
    said = [
        f"Gradients in both directions: {found.regime}, {counted(depth, 'layer')}, {counted(found.steps, 'step')}"
    ]
    norm = f"‖∂y_t/∂u_s‖ at t = {output.at}"
    how = "" if output.is_exact else f", by {output.rows} random rows"
    said.append(f"  {'the output reaches':<22}{_reach(output)}")
    most = float(output.log_norms.max())
    greatest = f": greatest {power_of_ten(most)} at lag s − t = {output.peak_lag}"
    said.append(f"  {'':<22}({norm}{' is 0 at every lag' if most == -math.inf else greatest}{how})")
    rates = [f"{rate:+.3g}" if math.isfinite(rate) else "?" for rate in output.rates]
    if rates != ["?", "?"]:
        text = f"{rates[0]} nats a step to the past, {rates[1]} to the future"
        said.append(f"  {'growth with distance':<22}{text}")
    if found.credit is not None:
        reach = _reach(found.credit)
        said.append(
            f"  {'the loss reaches':<22}{reach}, from {counted(len(found.credit.ends), 'output')} that it looks at"
        )
    rows = found._rows()
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    for name, cell, regime, exponent, horizon, both in rows:
        text = f"{name:<{widths[0]}}  {cell:<{widths[1]}}  {regime:<{widths[2]}}  {exponent:>{widths[3]}}"
        text += " nats a step"
        text += f"  horizon {horizon:>{widths[4]}} lags" + (f"  state reaches {both} at 1 %" if both else "")
        said.append(f"  {text}")
    if any("≥" in line for line in said):
        said.append(f"  {'≥':<22}the sequence ends there: a longer one would tell")
    said += [f"  {'left out':<22}{text}" for text in found.left_out]
    return said + _remedies(found)


def _remedies(found: BidirectionalDiagnosis) -> list[str]:
    """Each remedy once, with the directions that select it and what was measured in the first of these."""
    chosen: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for name, remedies in found.remedies.items():
        for remedy in remedies:
            chosen.setdefault((remedy.name, remedy.key), []).append((name, remedy.because))
    said = []
    for (name, key), reasons in chosen.items():
        said.append(f"Remedy: {name}" + (f' (training.REMEDIES["{key}"])' if key else ""))
        others = [direction for direction, _ in reasons[1:]]
        said.append(f"  of {reasons[0][0]}, as {reasons[0][1]}")
        said += [f"  and likewise of {', '.join(others)}"] if others else []
    return said or ["Remedy: none is selected by these measurements"]


def of_bidirectional(
    run: BidirectionalRun,
    loss: Any,
    *,
    dt: float | None = None,
    exact: bool | None = None,
    report: Callable[[int], object] = lambda done: None,
) -> BidirectionalDiagnosis:
    """The verdict on a run of a bidirectional network; arguments and errors as ``diagnose``."""
    run = checked_run(run)
    credit = None if loss is None else credit_by_signed_lag(run, loss)
    network, done = run.network, 0
    directions: list[list[Diagnosis | None]] = []
    for pair in run.trajectories:
        directions.append([])
        for trajectory in pair:
            found = None
            if trajectory is not None:
                ahead = functools.partial(_after, report, done)
                found = of_one_run(trajectory, None, False, dt=dt, exact=exact, report=ahead)
                done += 2 * run.steps
            directions[-1].append(found)
    a_row = (
        4.0
        * run.steps
        * sum(leaf.size for leaf in jax.tree_util.tree_leaves(network) if hasattr(leaf, "size"))
    )
    is_all = exact if exact is not None else network.width() * a_row <= _MOST_OF_ALL
    probes = None if is_all else _PROBES
    reaches: list[list[SignedNorms | None]] = [[None, None] for _ in run.trajectories]
    left_out = ()
    if is_all or 2 * network.depth * _PROBES * a_row <= _MOST_OF_PROBES:
        for layer, pair in enumerate(run.trajectories):
            for way, trajectory in enumerate(pair):
                if trajectory is not None:
                    name = f"layer {layer} {DIRECTIONS[way]}"
                    reaches[layer][way] = output_norms(run, of=name, probes=probes)
    else:
        left_out = ('reach of each direction: gradients.output_norms(run, of="layer 1 forward", probes=16)',)
    names = tuple((network.named(i, 0), network.named(i, 1)) for i in range(network.depth))
    return BidirectionalDiagnosis(
        directions=tuple((first, second) for first, second in directions),
        output=output_norms(run, probes=probes),
        reaches=tuple((first, second) for first, second in reaches),
        credit=credit,
        names=names,
        left_out=left_out,
    )


def _after(report: Callable[[int], object], before: int, done: int) -> object:
    """Tells what is done of one direction, behind those before it."""
    return report(before + done)
