"""What an explorer starts with, checked; and what the browser is told of it."""

import json
from typing import Any, NamedTuple

#: Limits of the parameters; the sliders stretch to what is given.
LARGEST = 1000.0
MOST_STEPS = 2000
THEMES = ("auto", "light", "dark")


class Settings(NamedTuple):
    """Parameters in Python's own numbers."""

    w: float = 5.0
    b: float = -2.5
    epsilon: float = 1.0
    x0: float = 0.5
    steps: int = 60
    theme: str = "auto"

    def json(self) -> str:
        """As JavaScript reads them."""
        return json.dumps(self._asdict(), allow_nan=False)


def checked(w: Any, b: Any, epsilon: Any, x0: Any, steps: Any, theme: Any) -> Settings:
    """The settings in Python's numbers.

    Raises:
        TypeError, ValueError: one is no number, or out of its range; the message names it.
    """
    from rnn_dynamics.numerics import validation

    return Settings(
        _number("w", w, -LARGEST, LARGEST),
        _number("b", b, -LARGEST, LARGEST),
        _positive(_number("epsilon", epsilon, 0.0, 1.0)),
        _number("x0", x0, 0.0, 1.0),
        validation.count("steps", steps, maximum=MOST_STEPS),
        validation.choice("theme", theme, THEMES),
    )


def _number(name: str, value: Any, low: float, high: float) -> float:
    """``value`` as a Python float, of all its digits whether or not JAX has float64."""
    import numpy as np
    from jax.core import Tracer

    from rnn_dynamics.numerics import validation

    if isinstance(value, Tracer):
        raise TypeError(f"{name}: expected a concrete number, got a traced value")
    validation.check_real(name, value, ndim=0)
    number = float(np.asarray(value))
    if not low <= number <= high:
        raise ValueError(f"{name}: expected a number from {low:g} to {high:g}, got {number:g}")
    return number


def _positive(epsilon: float) -> float:
    if epsilon == 0:
        raise ValueError("epsilon: expected a value in (0, 1], got 0")
    return epsilon
