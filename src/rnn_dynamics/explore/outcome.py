"""What two descents do, in a plain sentence; ``static/outcome.js`` says the same in the browser."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from rnn_dynamics.explore.regime import short
from rnn_dynamics.explore.settings import CliffSettings

_THROWN = 1.0  # a step at least this long
_SETTLED = 1e-4  # the length of a last step of one that moves no more
_SMALLEST = 1e-12  # rounding hides smaller losses


class Path(NamedTuple):
    """A descent in Python's floats: w, b, L and ln of the gradient's norm at every update, and its status."""

    w: Sequence[float]
    b: Sequence[float]
    value: Sequence[float]
    log_norm: Sequence[float]
    first_diverged: int
    status: str


def _ordinal(n: int) -> str:
    return f"{n}{'th' if n // 10 % 10 == 1 else {1: 'st', 2: 'nd', 3: 'rd'}.get(n % 10, 'th')}"


def _size(loss: float) -> str:
    return "below 10^−12" if loss < _SMALLEST else f"= {short(loss)}"


def _scaled(log: float) -> str:
    """e^log in three digits, also where no float holds it."""
    decades = log / math.log(10)
    if log == -math.inf:
        return "0"
    if abs(decades) < 300:
        return short(math.exp(log))
    whole = math.floor(decades)
    return f"{short(10 ** (decades - whole))}×10^{'−' if whole < 0 else ''}{abs(whole)}"


def _crossings(path: Path, x0: float, epsilon: float) -> int:
    """How often a path passes from one side of the wall to the other."""
    if not 0 < x0 < 1:
        return 0
    ratio = math.log(x0) - math.log1p(-x0)

    def has_wall(w: float) -> bool:
        drive = w * x0 * (1 - x0)
        return drive > 1 or epsilon * drive < epsilon - 2

    known = [has_wall(w) for w in path.w]
    sides = [b - (ratio - w * x0) for w, b in zip(path.w, path.b, strict=True)]
    return sum(known[i - 1] and known[i] and sides[i - 1] * sides[i] < 0 for i in range(1, len(sides)))


def _ending(path: Path, rate: float, clip: float) -> str:
    last = len(path.w) - 1
    log = path.log_norm[-1]
    move = rate * min(math.exp(log) if log < 700 else math.inf, clip)
    size = _size(path.value[-1])
    return f"settles at L {size}" if move < _SETTLED else f"is at L {size} after {last} updates"


def _plain_clause(path: Path, rate: float) -> str:
    if path.status == "DIVERGED":
        return f"plain descent leaves the floating-point numbers at update {path.first_diverged}"
    at = max(range(max(len(path.w) - 1, 1)), key=lambda i: path.log_norm[i])
    move = math.log(rate) + path.log_norm[at]
    if move > math.log(_THROWN):
        place = f"(w, b) = ({short(path.w[at + 1])}, {short(path.b[at + 1])})"
        long = f"the {_ordinal(at + 1)} step has a gradient of {_scaled(path.log_norm[at])}"
        return f"{long} and is thrown to {place}; the descent ends at L {_size(path.value[-1])}"
    ending = _ending(path, rate, math.inf)
    return f"no step of plain descent is longer than {_scaled(move)}: it {ending}"


def _clipped_clause(path: Path, settings: CliffSettings) -> str:
    clip = settings.clip
    if path.status == "DIVERGED":
        return f"clipped at {short(clip)}, it leaves the floating-point numbers too"
    if not any(log >= math.log(clip) for log in path.log_norm[:-1]):
        return f"the threshold {short(clip)} is never met"
    count = _crossings(path, settings.x0, settings.epsilon)
    over = {0: "", 1: "crosses the wall and "}.get(count, f"crosses the wall {count} times and ")
    return f"clipped at {short(clip)}, it {over}{_ending(path, settings.rate, clip)}"


def sentence(plain: Path, clipped: Path, settings: CliffSettings) -> str:
    """What plain and clipped descent do, and whether floats carry them.

    Args:
        plain: the descent that clips nothing.
        clipped: the one that clips at ``settings.clip``.
        settings: where both start, and how they go.

    Returns:
        One sentence, or two.
    """
    if settings.updates == 0:
        return f"No update is taken: L {_size(plain.value[0])}."
    said = f"{_plain_clause(plain, settings.rate)}; {_clipped_clause(clipped, settings)}."
    lost = [name for name, path in (("plain", plain), ("clipped", clipped)) if path.status == "UNRESOLVED"]
    doubt = f" Rounding decides the {' and the '.join(lost)} path." if lost else ""
    return said[0].upper() + said[1:] + doubt
