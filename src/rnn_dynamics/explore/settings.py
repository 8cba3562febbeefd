"""What an explorer starts with, checked; and what the browser is told of it."""

import json
from typing import Any, NamedTuple, TypeVar

THEMES = ("auto", "light", "dark")


class Range(NamedTuple):
    """What a number may be; the sliders stretch to what is given. ``is_open`` leaves the low end out."""

    low: float
    high: float
    about: str
    is_open: bool = False

    def holds(self, value: float) -> bool:
        """Whether a number is in it."""
        return (self.low < value if self.is_open else self.low <= value) and value <= self.high

    def __str__(self) -> str:
        return f"a number {'above' if self.is_open else 'from'} {self.low:g} to {self.high:g}"


_NEURON = {
    "w": Range(-1000.0, 1000.0, "weight"),
    "b": Range(-1000.0, 1000.0, "bias"),
    "epsilon": Range(0.0, 1.0, "Euler step in (0, 1]", is_open=True),
    "x0": Range(0.0, 1.0, "start in [0, 1]"),
}
_CLIFF = _NEURON | {
    "target": Range(0.0, 1.0, "state that the loss asks for"),
    "rate": Range(0.0, 1e6, "learning rate", is_open=True),
    "clip": Range(0.0, 1e6, "threshold of the clipped gradient", is_open=True),
}
# The most that there may be, and what is counted.
_NEURON_COUNTS = {"steps": (2000, "number of steps T")}
_CLIFF_COUNTS = {"steps": (500, "number of steps T"), "updates": (500, "number of updates")}


class NeuronSettings(NamedTuple):
    """Parameters of one neuron in Python's own numbers."""

    w: float = 5.0
    b: float = -2.5
    epsilon: float = 1.0
    x0: float = 0.5
    steps: int = 60
    theme: str = "auto"

    study = "neuron"
    title = "One neuron: bifurcations, orbits, gradients"
    numbers = _NEURON
    counts = _NEURON_COUNTS


class CliffSettings(NamedTuple):
    """Parameters of the loss and of the descents over it; (w, b) is where they start."""

    w: float = 4.6
    b: float = -2.7
    epsilon: float = 1.0
    x0: float = 0.5
    target: float = 0.8
    steps: int = 50
    rate: float = 0.2
    clip: float = 0.5
    updates: int = 80
    theme: str = "auto"

    study = "cliff"
    title = "The loss cliff: gradient descent at the boundary of a basin"
    numbers = _CLIFF
    counts = _CLIFF_COUNTS


Settings = NeuronSettings | CliffSettings
_Given = TypeVar("_Given", bound=Settings)


def as_json(settings: Settings) -> str:
    """As JavaScript reads them."""
    return json.dumps(settings._asdict(), allow_nan=False)


def checked(settings: _Given) -> _Given:
    """The settings in Python's numbers.

    Raises:
        TypeError, ValueError: one is no number, or out of its range; the message names it.
    """
    from rnn_dynamics.numerics import validation

    values = settings._asdict()
    found = {name: _number(name, values[name], limits) for name, limits in settings.numbers.items()}
    for name, (most, _) in settings.counts.items():
        found[name] = validation.count(name, values[name], maximum=most)
    found["theme"] = validation.choice("theme", values["theme"], THEMES)
    return settings._replace(**found)


def _number(name: str, value: Any, limits: Range) -> float:
    """``value`` as a Python float, of all its digits whether or not JAX has float64."""
    import numpy as np
    from jax.core import Tracer

    from rnn_dynamics.numerics import validation

    if isinstance(value, Tracer):
        raise TypeError(f"{name}: expected a concrete number, got a traced value")
    validation.check_real(name, value, ndim=0)
    number = float(np.asarray(value))
    if not limits.holds(number):
        raise ValueError(f"{name}: expected {limits}, got {number:g}")
    return number
