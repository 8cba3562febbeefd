"""A verdict's explorer: how far back the gradient of each layer, gate, parameter, part and unit reaches."""

import dataclasses
import math
import os
from typing import TYPE_CHECKING, Any

from rnn_dynamics.explore import panel
from rnn_dynamics.explore.panel import Control, Shown
from rnn_dynamics.explore.picture import Area
from rnn_dynamics.numerics.texts import counted

if TYPE_CHECKING:
    from ipywidgets import VBox
    from matplotlib.axes import Axes
    from numpy import ndarray

    from rnn_dynamics.diagnosis import Diagnosis

_KINDS = ("layer", "gate", "parameter")
_NORM, _ALL, _OWED, _UNIT = "state norm", "all parameters", "loss by lag", "unit"
_MOST_ROWS = 14
_DECADES_OF_UNITS = 8  # of the map of units


@dataclasses.dataclass(frozen=True)
class Profile:
    """ln of a size against the lag.

    Attributes:
        name: as it is chosen.
        kind: what it is one of.
        lags: shape (m,).
        log: shape (m,), in nats.
    """

    name: str
    kind: str
    lags: "ndarray"
    log: "ndarray"

    def peak(self) -> int | None:
        """The lag at which it is greatest; ``None`` where it is 0 or not finite everywhere."""
        import numpy as np

        finite = np.where(np.isfinite(self.log), self.log, -np.inf)
        best = int(np.argmax(finite))
        return int(self.lags[best]) if finite[best] > -np.inf else None

    def reach(self, share: float) -> int | None:
        """The farthest lag with at least that share of the greatest."""
        import numpy as np

        finite = np.where(np.isfinite(self.log), self.log, -np.inf)
        if finite.max() == -np.inf:
            return None
        return int(self.lags[finite >= finite.max() + math.log(share)].max())


def _instead(given: Any) -> str:
    """What makes a verdict of what was given in its place."""
    from rnn_dynamics.cells.bidirectional import Bidirectional, BidirectionalRun
    from rnn_dynamics.cells.rollout import Trajectory
    from rnn_dynamics.diagnosis import BidirectionalDiagnosis

    if isinstance(given, BidirectionalDiagnosis):
        return ": verdict.directions[0][0] is that of layer 0 forward"
    if isinstance(given, Trajectory):
        return ": rd.diagnose(run) is its verdict"
    if isinstance(given, BidirectionalRun):
        return ": rd.diagnose(run).directions[0][0] is the verdict on layer 0 forward"
    if isinstance(given, Bidirectional):
        return ": rd.diagnose(network.run(inputs)).directions[0][0] is the verdict on layer 0 forward"
    cell = (
        "rd.interop.load(path)" if isinstance(given, str | os.PathLike) else "cell" if callable(given) else ""
    )
    return f": rd.diagnose(rd.rollout({cell}, None, inputs)) is the verdict" if cell else ""


def network(verdict: Any) -> "VBox":
    """What a verdict found, by layer, gate, parameter, part and unit; what is chosen shows its profile by lag.

    With a loss whose shares were measured each group of parameters has the share of ∂E/∂θ that acted m − 1 steps
    before the loss, and each unit |∂E/∂x_k|; without one there is ‖∂x_T/∂x_k‖ alone, beside gates or slopes. A
    click on a bar or on a row of the map of units chooses it.

    Args:
        verdict: a ``Diagnosis`` from ``diagnose``, best one with a loss.

    Returns:
        An ipywidgets panel. Its traits ``show`` (what is chosen) and ``unit`` can be set and observed; ``state()``
        gives them with ``choices``, ``lags``, ``log10`` of the profile, ``peak_lag``, ``reach`` and
        ``reach_percent`` (the farthest lags with 1/e and 1 % of the greatest), ``reaches`` of everything at 1 %,
        ``gates``, ``regime``, ``exponent`` and the ``sentence``. ``results()`` gives ``diagnosis``.

    Raises:
        TypeError: no ``Diagnosis``.
        ValueError: a verdict that measured no step.
        ImportError: ipywidgets is not installed.
    """
    from rnn_dynamics.diagnosis import Diagnosis

    if not isinstance(verdict, Diagnosis):
        raise TypeError(
            f"verdict: expected a Diagnosis of one run, got {type(verdict).__name__}{_instead(verdict)}"
        )
    if verdict.measured_steps < 1:
        raise ValueError("verdict: expected at least one step that was measured, got none")
    shower = _Shower(verdict)
    names = tuple(shower.profiles) + ((_UNIT,) if shower.units is not None else ())
    first = _ALL if _ALL in names else names[0]
    controls = [Control("show", "show", first, choices=names)]
    if shower.units is not None:
        controls.append(Control("unit", "unit", 0, 0, shower.units.shape[1] - 1))
    hint = (
        "A click on a bar chooses it." if shower.units is None else "A click on a bar or a unit chooses it."
    )
    return panel.panel(
        "network", controls, shower, "Where a network's gradients go.", clicked=shower.clicked, hint=hint
    )


class _Shower:
    """From what is chosen to the picture."""

    def __init__(self, found: "Diagnosis") -> None:
        import numpy as np

        self.found = found
        self.units = None if found.credit is None else np.asarray(found.credit.log_units, float)
        self.profiles = {one.name: one for one in _profiles(found, self.units)}

    def __call__(self, values: dict[str, Any]) -> Shown:
        chosen = self._chosen(values)
        found, name = self.found, chosen.name
        numbers = {
            "choices": [*self.profiles, *([] if self.units is None else [_UNIT])],
            "lags": chosen.lags.tolist(),
            "log10": [
                value / math.log(10) if math.isfinite(value) else None for value in chosen.log.tolist()
            ],
            "peak_lag": chosen.peak(),
            "reach": chosen.reach(math.exp(-1)),
            "reach_percent": chosen.reach(0.01),
            "reaches": {one.name: one.reach(0.01) for one in self.profiles.values()},
            "gates": {key: float(value) for key, value in found.gates.items()},
            "regime": found.regime,
            "exponent": float(found.exponent) if math.isfinite(found.exponent) else None,
        }
        alt = f"Left: profile of {name} over the lags. Right: {_overview_of(found, self.profiles)}"
        if self.units is not None:
            alt += ". Below: the profiles of all units as a map"
        picture, areas = _picture(found, chosen, self.profiles, self.units)
        return Shown(picture, _sentence(found, chosen), alt, numbers, {"diagnosis": found}, areas)

    def clicked(self, values: dict[str, Any], shown: Shown, area: Area, x: float, y: float) -> dict[str, Any]:
        """The bar, or the unit, of that height."""
        row = math.floor(y + 0.5)
        if area.name == "units" and self.units is not None:
            return {"show": _UNIT, "unit": min(max(row, 0), self.units.shape[1] - 1)}
        names = [name for name, _ in _rows(self.found, self._chosen(values), self.profiles)][::-1]
        name = names[row] if 0 <= row < len(names) else ""
        if name not in self.profiles:
            name = f"gate {name.removesuffix(' gate')}"
        return {"show": name} if name in self.profiles else {}

    def _chosen(self, values: dict[str, Any]) -> Profile:
        if values["show"] != _UNIT or self.units is None:
            return self.profiles[values["show"]]
        log = self.units[::-1, values["unit"]]
        return Profile(f"unit {values['unit']}", _UNIT, _from(0, len(log)), log)


def _from(first: int, count: int) -> "ndarray":
    import numpy as np

    return np.arange(first, first + count)


def _profiles(found: "Diagnosis", units: "ndarray | None") -> list[Profile]:
    """Whatever has a profile, but for single units."""
    import numpy as np

    norms = np.asarray(found.log_norms, float)[::-1]
    profiles = [Profile(_NORM, _NORM, _from(0, len(norms)), norms)]
    if found.log_owed is not None:
        owed = np.asarray(found.log_owed, float)
        profiles.append(Profile(_OWED, _OWED, _from(1, len(owed)), owed))
    credit = found.credit
    if credit is None:
        return profiles
    profiles.append(Profile(_ALL, _ALL, credit.lags, np.asarray(credit.log_shares, float)))
    for kind in _KINDS:
        if not any(getattr(group, kind) for group in credit.groups):
            continue
        shares = {key: log for key, log in credit.by(kind).items() if key}
        profiles += [Profile(f"{kind} {key}", kind, credit.lags, log) for key, log in shares.items()]
    if units is not None:
        for name, start, stop in credit.parts:
            log = np.logaddexp.reduce(2 * units[::-1, start:stop], axis=1) / 2
            profiles.append(Profile(f"part {name}", "part", _from(0, len(log)), log))
    return profiles


def _sentence(found: "Diagnosis", chosen: Profile) -> str:
    name = chosen.name[0].upper() + chosen.name[1:]
    if chosen.peak() is None:
        said = f"{name}: 0 at every lag, or not finite."
    else:
        said = (
            f"{name}: greatest at lag {chosen.peak()}; 1/e of that reaches "
            f"{counted(chosen.reach(math.exp(-1)), 'step')} back,"
            f" 1 % reaches {chosen.reach(0.01)}, of {found.measured_steps}."
        )
    gate = chosen.name.removeprefix("gate ")
    if chosen.kind == "gate" and gate in found.gates:
        said += f" The {gate} gate is {found.gates[gate]:.2f} on average."
    return f"{said} The network: {found.regime}{f', {found.sentence}' if found.sentence else ''}."


def _overview_of(found: "Diagnosis", profiles: dict[str, Profile]) -> str:
    if found.credit is not None:
        return "how far back 1 % of the greatest share reaches, for each group"
    if found.gates:
        return "the mean of each gate"
    return "the median slopes of the units" if found.units is not None else "growth of the norm a step"


def _picture(
    found: "Diagnosis", chosen: Profile, profiles: dict[str, Profile], units: "ndarray | None"
) -> tuple[bytes, tuple[Area, ...]]:
    from rnn_dynamics import plots

    with panel.figure(9.0, 3.7 if units is None else 6.4) as figure:
        letters: list[Any] = [["profile", "overview"]] + ([] if units is None else [["units", "units"]])
        places = {"left": 0.09, "right": 0.985, "top": 0.92, "bottom": 0.14, "wspace": 0.42}
        if units is not None:
            places |= {"top": 0.95, "bottom": 0.08, "hspace": 0.38}
        axes = figure.subplot_mosaic(letters, gridspec_kw=places)
        others = [one for one in profiles.values() if one.kind == chosen.kind and one.name != chosen.name]
        if chosen.kind == _UNIT and units is not None:
            lags = _from(0, len(units))
            chosen_columns = range(min(units.shape[1], 64))
            others = [Profile("other units", _UNIT, lags, units[::-1, i]) for i in chosen_columns]
        _draw_profile(axes["profile"], chosen, others)
        has_bars = _draw_overview(axes["overview"], found, chosen, profiles)
        if units is not None:
            _draw_units(axes["units"], units, chosen)
        plots.panel_labels(axes.values())
        drawn = panel.png(figure)
        named = [name for name in ("overview", "units") if name in axes and (has_bars or name == "units")]
        return drawn, tuple(Area.of(name, axes[name]) for name in named)


def _decades(log: "ndarray") -> "ndarray":
    import numpy as np

    return np.where(np.isfinite(log), log, np.nan) / math.log(10)


def _draw_profile(ax: "Axes", chosen: Profile, others: list[Profile]) -> None:
    from rnn_dynamics.plots import palette, powers_of_ten

    for i, one in enumerate(others):
        label = f"other {chosen.kind}s" if not i else None
        ax.plot(one.lags, _decades(one.log), color=palette.LIGHT, linewidth=1.0, label=label, zorder=1)
    ax.plot(
        chosen.lags, _decades(chosen.log), color=palette.BLACK, linewidth=2.0, label=chosen.name, zorder=3
    )
    for share, name, line in ((math.exp(-1), "1/e", "-."), (0.01, "1 %", ":")):
        lag = chosen.reach(share)
        if lag is not None:
            label = f"{name} of the greatest: lag {lag}"
            ax.axvline(lag, color=palette.ORANGE, linestyle=line, linewidth=1.3, label=label)
    ax.set_xlim(0, max(int(chosen.lags[-1]), 1))
    ax.set_xlabel("lag (steps)")
    ax.locator_params(axis="x", integer=True)
    powers_of_ten(ax.yaxis, "norm")
    ax.set_title(f"{chosen.name} against the lag")
    ax.legend(loc="best", frameon=True, framealpha=0.85, edgecolor="none")


def _rows(
    found: "Diagnosis", chosen: Profile, profiles: dict[str, Profile]
) -> list[tuple[str, int | float | None]]:
    """The bars of the overview, from the top."""
    if found.credit is not None:
        rows = [(one.name, one.reach(0.01)) for one in profiles.values()][:_MOST_ROWS]
        if chosen.name not in dict(rows):
            rows[-1:] = [*rows[-1:], (chosen.name, chosen.reach(0.01))]
        return list(rows)
    if found.gates:
        return [(f"{name} gate", float(mean)) for name, mean in found.gates.items()]
    return [(_NORM, profiles[_NORM].reach(0.01))]


def _draw_overview(ax: "Axes", found: "Diagnosis", chosen: Profile, profiles: dict[str, Profile]) -> bool:
    """Bars, or, without anything to choose, a histogram of slopes; whether they are bars."""
    from rnn_dynamics.plots import palette

    if found.credit is None and not found.gates and found.units is not None:
        ax.hist(found.units.median_slope, bins=20, color=palette.SKY, edgecolor="white")
        dead, saturated, total = found.units.dead, found.units.saturated, found.units.total
        ax.set_title(f"{dead} dead, {saturated} saturated of {counted(total, 'unit')}")
        ax.set_xlabel("median slope φ′ of a unit")
        ax.set_ylabel("units")
        ax.locator_params(axis="y", integer=True)
        return False
    rows = _rows(found, chosen, profiles)
    title, label = "how far back 1 % of the greatest reaches", "lag (steps)"
    if found.credit is None:
        title, label = ("mean gates", "mean") if found.gates else ("how far back 1 % reaches", label)
    names = [name for name, _ in rows]
    at = list(range(len(rows)))[::-1]
    colours = [palette.VERMILION if name == chosen.name else palette.SKY for name in names]
    numbers = [value or 0 for _, value in rows]
    ax.barh(at, numbers, 0.62, color=colours)
    for height, value in zip(at, numbers, strict=True):
        text = f"{value:.2f}" if isinstance(value, float) else f"{value}"
        ax.annotate(text, (value, height), (3, 0), textcoords="offset points", va="center", fontsize=8)
    ax.set_yticks(at, names)
    ax.tick_params(axis="y", length=0)
    ax.set_xlim(0, 1.12 * max([*numbers, 1e-9]))
    ax.set_ylim(-0.6, len(rows) - 0.4)
    ax.set_xlabel(label)
    ax.set_title(title)
    return True


def _draw_units(ax: "Axes", units: "ndarray", chosen: Profile) -> None:
    """|∂E/∂x_k| of each unit over the lags, from the greatest down to a hundred-millionth of it."""
    import numpy as np

    from rnn_dynamics.plots import palette, powers_of_ten

    decades = _decades(units[::-1].T)
    top = float(np.nanmax(decades)) if np.isfinite(decades).any() else 0.0
    low = max(float(np.nanmin(decades)) if np.isfinite(decades).any() else -1.0, top - _DECADES_OF_UNITS)
    count, steps = decades.shape
    options: dict[str, Any] = {"aspect": "auto", "origin": "lower", "interpolation": "nearest"}
    options["extent"] = (-0.5, steps - 0.5, -0.5, count - 0.5)
    image = ax.imshow(decades, cmap=palette.SEQUENTIAL, vmin=min(low, top - 1), vmax=top, **options)
    figure, place = ax.get_figure(root=True), ax.get_position()
    assert figure is not None
    ax.set_position((place.x0, place.y0, 0.92 * place.width, place.height))
    beside = figure.add_axes((place.x0 + 0.935 * place.width, place.y0, 0.014, place.height))
    powers_of_ten(figure.colorbar(image, cax=beside, extend="min").ax.yaxis)
    if chosen.kind == _UNIT:
        at = int(chosen.name.removeprefix("unit "))
        ax.axhspan(at - 0.5, at + 0.5, facecolor="none", edgecolor=palette.VERMILION, linewidth=1.4)
    ax.set_xlabel("lag (steps)")
    ax.set_ylabel("unit")
    ax.locator_params(axis="both", integer=True)
    ax.set_title(r"$|\partial E/\partial x_k|$ of every unit")
