"""What a grid with a name is: its options, each with default and check, and how it is computed, read and drawn."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rnn_dynamics.numerics.sweep import Sweep, sweep
from rnn_dynamics.numerics.validation import choice, concrete_array, count, flag

#: A check takes the option's name and a value, and returns the value as JSON holds it.
Check = Callable[[str, Any], Any]


@dataclasses.dataclass(frozen=True)
class Option:
    """An option of an atlas.

    Attributes:
        default: its value where none is given.
        check: refuses what does not fit, by the option's name.
        about: what it is, in a few words.
    """

    default: Any
    check: Check
    about: str


@dataclasses.dataclass(frozen=True)
class Atlas:
    """A grid with a name.

    Attributes:
        about: what it holds, in a sentence.
        options: by name.
        axes: the grid for given options, in the order of its axes.
        compute: takes the options, and ``store``, ``executor``, ``progress``, ``chunk`` and ``about`` as ``sweep``
            does; it returns the sweep, or a result around it.
        draw: takes the result, ``ax`` and options of the picture; it returns the axes.
        of_sweep: takes the sweep that a store holds and the options; it returns what ``compute`` does.
    """

    about: str
    options: Mapping[str, Option]
    axes: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    compute: Callable[..., Any]
    draw: Callable[..., Any]
    of_sweep: Callable[[Sweep, Mapping[str, Any]], Any] = lambda found, options: found

    def checked(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Every option, those that are not given by default.

        Raises:
            TypeError: an option that this atlas does not have.
            ValueError, TypeError: a value that does not fit.
        """
        for name in given:
            if name not in self.options:
                raise TypeError(f"{name}: expected one of {', '.join(self.options)}, which this atlas has")
        return {
            name: option.check(name, given.get(name, option.default)) for name, option in self.options.items()
        }


def gridded(
    function: Callable[[Mapping[str, Any]], Any],
    axes: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    chunk: Callable[[Mapping[str, Any]], int] | None = None,
) -> Callable[..., Sweep]:
    """The ``compute`` of an atlas that is one sweep.

    Args:
        function: the function of one point for these options, the same object for the same options.
        axes: the grid for these options.
        chunk: points of one call for these options; by default what ``sweep`` finds.
    """

    def compute(options: Mapping[str, Any], **how: Any) -> Sweep:
        if how["chunk"] is None and chunk is not None:
            how["chunk"] = chunk(options)
        return sweep(function(options), axes(options), **how)

    return compute


def evenly(first: float, last: float, points: int) -> list[float]:
    """Points of an axis at equal distances, as numbers of Python, which fit any precision."""
    return np.linspace(first, last, points).tolist()


def whole(minimum: int, maximum: int = 2**16) -> Check:
    """An integer of that range."""
    return lambda name, value: count(name, value, minimum=minimum, maximum=maximum)


def numbers(low: float = -np.inf, high: float = np.inf) -> Check:
    """A list of at least one number from ``low`` to ``high``."""

    def check(name: str, value: Any) -> list[float]:
        found = concrete_array(name, value, ndim=1)
        if not found.size:
            raise ValueError(f"{name}: expected a list of at least one number, got none")
        if (found < low).any() or (found > high).any():
            raise ValueError(f"{name}: expected numbers from {low:g} to {high:g}, got {found.tolist()}")
        return [float(str(one)) for one in found]  # 0.1 of float32 is 0.1

    return check


def names(known: Sequence[str]) -> Check:
    """A list of at least one of the names, none of them twice."""

    def check(name: str, value: Any) -> list[str]:
        if isinstance(value, str) or not isinstance(value, Sequence) or not value:
            raise TypeError(f"{name}: expected a list of names, got {value!r}")
        found = [choice(name, one, list(known)) for one in value]
        if len(set(found)) < len(found):
            raise ValueError(f"{name}: expected each name once, got {', '.join(found)}")
        return found

    return check


def switch(name: str, value: Any) -> bool:
    """True or False."""
    return flag(name, value)
