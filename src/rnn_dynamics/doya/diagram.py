"""The bifurcation diagram of one neuron against its bias: branches, stability, cycles and events."""

import dataclasses
import itertools
from typing import Any, ClassVar

import numpy as np

from rnn_dynamics.doya.bifurcations import cusp, folds_or_flips_on_host, multiplier_of
from rnn_dynamics.doya.cycles import two_cycle_on_host
from rnn_dynamics.doya.equilibria import equilibria_on_host
from rnn_dynamics.dynamics.bifurcations.points import SpecialPoint
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.status import Status
from rnn_dynamics.numerics.validation import check_fraction, concrete_arrays

_CURVE_POINTS = 801


@dataclasses.dataclass(frozen=True)
class NeuronBranch(Result):
    """A curve of equilibria, or of one state of a 2-cycle, of one stability.

    Attributes:
        kind: "equilibrium" or "2-cycle".
        stable: whether it attracts.
        b: parameter, shape (m,).
        x: state, shape (m,).
        multipliers: of the equilibrium, or of the cycle, shape (m,).
    """

    kind: str
    stable: bool
    b: np.ndarray
    x: np.ndarray
    multipliers: np.ndarray


@dataclasses.dataclass(frozen=True)
class BifurcationDiagram(Result):
    """x_∞ against b at one weight, on the host.

    Attributes:
        w, epsilon: weight and Euler step.
        b: the grid that was asked for, shape (m,).
        points: equilibria on the grid, shape (m, 3), ascending, NaN where there is none.
        stable: their stability, shape (m, 3).
        multipliers: their multipliers, shape (m, 3).
        branches: smooth curves through the range, which end at folds and change stability at folds and flips.
        events: folds, flips or the cusp inside the range, as ``bifurcations`` has them; ``interval`` is an ulp, as
            the place is a closed form.
    """

    w: float
    epsilon: float
    b: np.ndarray
    points: np.ndarray
    stable: np.ndarray
    multipliers: np.ndarray
    branches: tuple[NeuronBranch, ...]
    events: tuple[SpecialPoint, ...]

    picture: ClassVar = "bifurcation_diagram"

    def __repr__(self) -> str:
        found = "; ".join(f"{e.kind} at b = {e.parameter:.6f}, x = {e.state:.6f}" for e in self.events)
        span = f"b from {self.b.min():g} to {self.b.max():g}"
        return f"BifurcationDiagram(w = {self.w:g}, ε = {self.epsilon:g}, {span}: {found or 'no event'})"


def _events(w: np.ndarray, epsilon: np.ndarray) -> tuple[SpecialPoint, ...]:
    from scipy.special import expit

    weight, bias, state = cusp()
    if w == weight:
        kind, located = "cusp", np.array([[bias, state]], w.dtype)
    else:
        kind = "fold" if w > weight else "flip"
        located = folds_or_flips_on_host(w, epsilon)
    points = []
    for b, x in located:
        if np.isnan(b):  # no flip at this weight
            continue
        residual = float(abs(expit(w * x + b) - x))
        width = float(np.spacing(abs(b)))
        points.append(SpecialPoint(kind, float(b), float(x), width, residual, Status.CONVERGED))
    return tuple(sorted(points, key=lambda point: point.parameter))


def _state_grid(events: tuple[SpecialPoint, ...], ends: np.ndarray) -> np.ndarray:
    """States through the range, evenly spread in the logit, every event's state among them."""
    x = ends[np.isfinite(ends)]
    low, high = x.min(), x.max()
    tiny = np.finfo(ends.dtype).eps
    inner = np.clip([low, high], tiny, 1 - tiny)
    first, last = np.log(inner / (1 - inner))
    even = 1 / (1 + np.exp(-np.linspace(first, last, _CURVE_POINTS)))
    straight = np.linspace(low, high, _CURVE_POINTS)
    inside = [e.state for e in events if low < e.state < high]
    return np.unique(np.concatenate([even, straight, inside]).astype(ends.dtype))


def _equilibrium_branches(
    w: np.ndarray, epsilon: np.ndarray, x: np.ndarray, events: tuple[SpecialPoint, ...]
) -> list[NeuronBranch]:
    """b is explicit in x, so the curve is exact; it is cut where its stability changes."""
    x = x[(x > 0) & (x < 1)].astype(np.float64)
    b = np.log(x / (1 - x)) - float(w) * x
    multipliers = multiplier_of(float(w), x, float(epsilon))
    cuts = [
        0,
        *sorted(int(np.searchsorted(x, e.state)) for e in events if x[0] < e.state < x[-1]),
        len(x) - 1,
    ]
    branches = []
    for start, end in itertools.pairwise(cuts):
        part = slice(start, end + 1)
        middle = (start + end) // 2
        stable = bool(-1 < multipliers[middle] < 1)
        branches.append(NeuronBranch("equilibrium", stable, b[part], x[part], multipliers[part]))
    return branches


def _cycle_branches(w: np.ndarray, b: np.ndarray, events: tuple[SpecialPoint, ...]) -> list[NeuronBranch]:
    """Both states of the 2-cycle between the flips (ε = 1), ends included."""
    ends = [event.parameter for event in events if event.kind == "flip"]
    if not ends:
        return []
    low, high = max(float(b.min()), ends[0]), min(float(b.max()), ends[-1])
    if low >= high:
        return []
    angle = np.linspace(0, np.pi, 401)[1:-1]  # dense at the flips, where the cycle opens like a square root
    inner = ((low + high) - (high - low) * np.cos(angle)) / 2
    cycle = two_cycle_on_host(np.broadcast_to(w, inner.shape), inner.astype(w.dtype))
    orbit = cycle.x.astype(float)
    branches = []
    for index in range(2):
        parameters, states = list(inner), list(orbit[:, index])
        multipliers = list(cycle.multiplier.astype(float))
        for event in events:  # the cycle is born at the flip's state with multiplier 1
            if not low <= event.parameter <= high:
                continue
            at = 0 if event.parameter <= inner[0] else len(parameters)
            parameters.insert(at, event.parameter)
            states.insert(at, event.state)
            multipliers.insert(at, 1.0)
        keep = np.isfinite(states)
        arrays = (np.asarray(a)[keep] for a in (parameters, states, multipliers))
        branches.append(NeuronBranch("2-cycle", True, *arrays))
    return branches


def bifurcation_diagram(w: Any, b: Any, epsilon: Any = 1.0) -> BifurcationDiagram:
    """Equilibria of the neuron against its bias, with folds, flips, the cusp, and 2-cycles where ε = 1.

    Equilibria lie on b = ln(x/(1−x)) − w x. Not all of that curve is stable: at w = 5 the part with x in
    (.2764, .7236) repels.

    Args:
        w: weight, one number.
        b: biases, shape (m,), m ≥ 2; they set the range and the grid of ``.points``.
        epsilon: Euler step in (0, 1], one number.

    Returns:
        ``BifurcationDiagram``. For ε < 1 beyond a flip only the equilibria are drawn: what replaces them may be
        a cycle of any period, or chaos (``basin_label`` tells).

    Raises:
        TypeError, ValueError: not finite real numbers, wrong ranks, fewer than two biases, ε outside (0, 1].

    Reference: K. Doya, ISCAS 1992; Pascanu, Mikolov and Bengio, ICML 2013, figure 3.
    """
    check_fraction("epsilon", epsilon)
    w, b, epsilon = concrete_arrays((0, 1, 0), w=w, b=b, epsilon=epsilon)
    if b.size < 2:
        raise ValueError(f"b: expected at least two biases, got {b.size}")
    found = equilibria_on_host(w, b, epsilon)
    points, stable, multipliers = map(np.asarray, (found.points, found.stable, found.multipliers))
    low, high = float(b.min()), float(b.max())
    events = _events(w, epsilon)
    branches = _equilibrium_branches(w, epsilon, _state_grid(events, points), events)
    tolerance = 1e-9 * (1 + abs(low) + abs(high))
    trimmed = [_trimmed(branch, low - tolerance, high + tolerance) for branch in branches]
    if float(epsilon) == 1.0:
        trimmed += _cycle_branches(w, b, events)
    return BifurcationDiagram(
        float(w),
        float(epsilon),
        b,
        points,
        stable,
        multipliers,
        tuple(branch for branch in trimmed if len(branch.b)),
        tuple(event for event in events if low <= event.parameter <= high),
    )


def _trimmed(branch: NeuronBranch, low: float, high: float) -> NeuronBranch:
    keep = (branch.b >= low) & (branch.b <= high)
    return dataclasses.replace(
        branch, b=branch.b[keep], x=branch.x[keep], multipliers=branch.multipliers[keep]
    )
