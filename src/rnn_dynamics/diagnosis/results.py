"""What a verdict on one run holds, as text and as JSON."""

import dataclasses
import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from rnn_dynamics.diagnosis.measurements import Measurements
from rnn_dynamics.diagnosis.wording import lines
from rnn_dynamics.numerics.results import Table
from rnn_dynamics.numerics.texts import counted


@dataclasses.dataclass(frozen=True, repr=False)
class Diagnosis(Measurements):
    __doc__ = Measurements.__doc__

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings and lists: what ``json.dumps`` takes. Infinities and NaN become ``None``."""
        units, decay, rest = self.units, self.decay, self.rest
        found = {
            "regime": self.regime,
            "reason": self.reason,
            "sentence": self.sentence,
            "exponent": self.exponent,
            "standard_error": self.standard_error,
            "steps": self.steps,
            "horizon": self.horizon,
            "horizon_percent": self.horizon_percent,
            "state_horizon": self.state_horizon,
            "peak": self.peak,
            "peak_lag": self.peak_lag,
            "bounds": None if self.bounds is None else self.bounds.conclusion,
            "decay": None if decay is None else decay._asdict(),
            "units": None
            if units is None
            else units._asdict() | {"median_slope": units.median_slope.tolist()},
            "gates": self.gates,
            "carries": self.carries,
            "rest": None
            if rest is None
            else rest._asdict() | {"multiplier": [rest.multiplier.real, rest.multiplier.imag]},
            "norms": self.norms,
            "log_norms": self.log_norms.tolist(),
            "trend": None if self.credit is None else self.credit.trend,
            "log_shares": None if self.credit is None else np.asarray(self.credit.log_shares).tolist(),
            "log_owed": None if self.log_owed is None else self.log_owed.tolist(),
            "overflow": None if self.overflow is None else self.overflow._asdict(),
            "plain_limit": self.plain_limit,
            "dt": self.dt,
            "left_out": list(self.left_out),
            "orbit": self.orbit,
            "remedies": [remedy._asdict() for remedy in self.remedies],
        }
        return _plain(found)

    def to_json(self) -> str:
        """Return ``to_dict`` as JSON."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)

    def _tables(self) -> Iterator[Table]:
        """The verdict by layer and gate, of cells that have gates."""
        if self.gates or self.carries:
            names = list(dict.fromkeys((*self.gates, *self.carries)))
            rows = [
                (
                    *_layer_and_gate(name),
                    _entry(self.gates.get(name), ".2f"),
                    _entry(self.carries.get(name), "+.3g"),
                )
                for name in names
            ]
            columns = ("layer", "gate", "mean over units and steps", "kept by it (nats a step)")
            yield Table(f"{self.regime}, by layer and gate", columns, rows)

    def __repr__(self) -> str:
        reach = f"horizon {self.horizon} of {counted(self.steps, 'step')}"
        return f"Diagnosis({self.regime}, exponent {self.exponent:.3g}, {reach})"

    def __str__(self) -> str:
        return "\n".join(lines(self))


def _layer_and_gate(name: str) -> tuple[str, str]:
    """The two parts of the name that a network of layers has for a gate."""
    words = name.split(" ")
    return (" ".join(words[:2]), " ".join(words[2:])) if words[0] == "layer" else ("", name)


def _entry(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
