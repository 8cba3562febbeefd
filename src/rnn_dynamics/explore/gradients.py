"""The gradients' explorer: ∂x_T/∂x_k beside every bound, as weights, bias, leak, activation, input, length go."""

import dataclasses
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from rnn_dynamics.explore import panel
from rnn_dynamics.explore.panel import Control, Shown
from rnn_dynamics.numerics.texts import counted

if TYPE_CHECKING:
    from ipywidgets import VBox
    from matplotlib.axes import Axes
    from numpy import ndarray

    from rnn_dynamics.cells.rollout import Trajectory
    from rnn_dynamics.gradients.singular_values import SpectraByLag
    from rnn_dynamics.spectral.bounds import Bounds

MOST_UNITS, MOST_STEPS, LARGEST = 256, 2000, 100.0
_LAGS = 9
_FACTOR = math.log(10)
_WIDTH, _HEIGHT, _LEGEND = 9.0, 4.3, 1.1
_VIOLATED = "claim violated at that lag"


def gradients(
    cell_or_trajectory: Any = None,
    *,
    units: Any = 32,
    steps: Any = 100,
    spectral_radius: Any = 1.0,
    gain: Any = 1.0,
    bias: Any = 0.0,
    leak: Any = 1.0,
    activation: Any = "tanh",
    input_size: Any = 0.0,
    start_size: Any = 1.0,
    seed: Any = 0,
) -> "VBox":
    """Gradients of a network through time beside every bound on them, under sliders.

    x_{t+1} = (1−α) x_t + α φ(W x_t + w u_t + b), W Gaussian and scaled to its spectral radius, w and u_t standard
    normal, b alike for all units. Nothing is compiled for a second value of any slider.

    Args:
        cell_or_trajectory: a network of your own in place of this one, as a cell, which runs without input, or as a
            trajectory, whose start and inputs are kept. The sliders are then those that apply: length, start (of
            a cell), and the gain of W where the cell declares W by ``structure``.
        units: n, up to 256.
        steps: T, up to 2000; its slider goes on to the next power of two, that of a trajectory to its end.
        spectral_radius: ρ(W), from 0 to 100.
        gain: what W of your own network is multiplied by, from 0 to 100.
        bias: b, from −100 to 100.
        leak: α, from 0.01 to 1.
        activation: φ: "tanh", "logistic", "relu" or "linear".
        input_size: the standard deviation of u_t, from 0 to 100.
        start_size: that of the units of x_0, from 0 to 100.
        seed: of W, w, u and x_0.

    Returns:
        An ipywidgets panel. Its traits, one for each slider, can be set and observed; ``set(**values)`` sets
        several at once. ``state()`` gives what is shown as a dictionary: the sliders, ``lags``, ``log10_norms``,
        ``log10_bounds`` by name, ``theorems``, ``violated`` lags, ``conclusion``, ``radius``, ``norm``,
        ``band_lags``, ``log10_singular_values`` and the ``sentence``. ``results()`` gives ``trajectory``,
        ``bounds`` and ``spectra``. Under sliders the bound in the best units keeps the units found for the first
        W: a theorem still, and not always the best one.

    Raises:
        TypeError, ValueError: neither cell nor trajectory; a number out of its range, another activation.
        ImportError: ipywidgets is not installed.
    """
    from rnn_dynamics.numerics import validation

    given = cell_or_trajectory
    source: _Own | _Given
    common: dict[str, Any] = {"steps": validation.count("steps", steps, minimum=1, maximum=MOST_STEPS)}
    own = {
        "spectral_radius": panel.number("spectral_radius", spectral_radius, 0.0, LARGEST),
        "bias": panel.number("bias", bias, -LARGEST, LARGEST),
        "leak": panel.number("leak", leak, 0.01, 1.0),
        "activation": validation.choice("activation", activation, _activations()),
        "input_size": panel.number("input_size", input_size, 0.0, LARGEST),
    }
    common["gain"] = panel.number("gain", gain, 0.0, LARGEST)
    common["start_size"] = panel.number("start_size", start_size, 0.0, LARGEST)
    count = validation.count("units", units, minimum=1, maximum=MOST_UNITS)
    drawn = validation.count("seed", seed)
    source = _Own(count, drawn, common | own) if given is None else _given(given, drawn, common)
    return panel.panel(
        "gradients", source.controls(), _Shower(source), "Gradients through time, and their bounds"
    )


def _activations() -> tuple[str, ...]:
    from rnn_dynamics.explore import sliding

    return sliding.ACTIVATIONS


def _slider(name: str, label: str, value: float, low: float, high: float) -> Control:
    """A slider that reaches ``value``."""
    return Control(name, label, value, min(low, value), max(high, value))


def _length(steps: int, longest: int) -> Control:
    return Control("steps", "length T", steps, 1, longest)


class _Own:
    """A random network of the explorer's."""

    def __init__(self, units: int, seed: int, values: dict[str, Any]) -> None:
        import numpy as np

        from rnn_dynamics.numerics import padding

        random = np.random.default_rng(seed)
        weights = random.normal(size=(units, units))
        self.W = weights / np.abs(np.linalg.eigvals(weights)).max()
        self.w_in, self.start = random.normal(size=(2, units))
        self.longest = padding.longer(values["steps"] + 1) - 1
        self.inputs = random.normal(size=self.longest)
        self.values = values

    def controls(self) -> list[Control]:
        values = self.values
        return [
            _slider("spectral_radius", "radius ρ(W)", values["spectral_radius"], 0.0, 2.0),
            _slider("bias", "bias b", values["bias"], -3.0, 3.0),
            _slider("leak", "leak α", values["leak"], 0.01, 1.0),
            Control("activation", "activation φ", values["activation"], choices=_activations()),
            _slider("input_size", "input size", values["input_size"], 0.0, 3.0),
            _slider("start_size", "start size", values["start_size"], 0.0, 3.0),
            _length(values["steps"], self.longest),
        ]

    def factor(self, values: dict[str, Any]) -> float:
        return values["spectral_radius"]

    def run(self, values: dict[str, Any]) -> "Trajectory":
        import numpy as np

        from rnn_dynamics.cells.rollout import rollout
        from rnn_dynamics.explore.sliding import SlidingRNN

        radius, leak = values["spectral_radius"], values["leak"]
        shift = np.full(len(self.W), values["bias"])
        cell = SlidingRNN(radius * self.W, shift, self.w_in, leak, values["activation"])
        inputs = values["input_size"] * self.inputs[: values["steps"]]
        start, dtype = values["start_size"] * self.start, np.dtype(cell.W.dtype)
        return rollout(cell, start.astype(dtype), inputs.astype(dtype))


class _Given:
    """A cell from random starts, or a trajectory up to some step."""

    def __init__(self, cell: Any, start: Any, inputs: Any, longest: int, values: dict[str, Any], fixed: bool):
        self.cell, self.start, self.inputs, self.longest = cell, start, inputs, longest
        self.values, self.fixed = values, fixed
        structure: Any = getattr(cell, "structure", None)
        declared: Any = structure() if callable(structure) else None
        self.weights = None if declared is None else declared.weights

    def has_gain(self) -> bool:
        """Whether W is one of the cell's parameters."""
        import jax

        return self.weights is not None and any(leaf is self.weights for leaf in jax.tree.leaves(self.cell))

    def controls(self) -> list[Control]:
        found = [_slider("gain", "gain of W", self.values["gain"], 0.0, 3.0)] if self.has_gain() else []
        if not self.fixed:
            found.append(_slider("start_size", "start size", self.values["start_size"], 0.0, 3.0))
        return [*found, _length(min(self.values["steps"], self.longest), self.longest)]

    def factor(self, values: dict[str, Any]) -> float:
        return values.get("gain", 1.0)

    def run(self, values: dict[str, Any]) -> "Trajectory":
        import jax
        import numpy as np

        from rnn_dynamics.cells.rollout import rollout

        cell, steps = self.cell, values["steps"]
        if "gain" in values:
            found = np.asarray(self.weights)
            scaled = jax.device_put(found * found.dtype.type(values["gain"]))
            cell = jax.tree.map(lambda leaf: scaled if leaf is self.weights else leaf, cell)
        start = self.start * self.start.dtype.type(values.get("start_size", 1.0))
        if self.inputs is None:
            return rollout(cell, start, steps=steps)
        return rollout(cell, start, jax.tree.map(lambda leaf: np.asarray(leaf)[:steps], self.inputs))


def _given(given: Any, seed: int, values: dict[str, Any]) -> _Given:
    import numpy as np

    from rnn_dynamics.cells.arguments import checked_start
    from rnn_dynamics.cells.bidirectional import BidirectionalRun
    from rnn_dynamics.cells.rollout import Trajectory
    from rnn_dynamics.gradients.steps import step_range
    from rnn_dynamics.numerics import padding

    if isinstance(given, Trajectory):
        _, steps = step_range(given, 0, None)
        if not steps:
            raise ValueError("cell_or_trajectory: expected at least one step, got none")
        return _Given(given.cell, np.asarray(given.initial), given.inputs, steps, values, True)
    if not callable(given):
        raise TypeError(
            f"cell_or_trajectory: expected a cell, a Trajectory or None, got {type(given).__name__}"
            + (': run.direction(0, "forward") is one' if isinstance(given, BidirectionalRun) else "")
            + (": rd.interop.load(path) is that of a file" if isinstance(given, str | os.PathLike) else "")
        )
    state, _, _ = checked_start(given, None, None, values["steps"], ("cell_or_trajectory", "inputs"))
    drawn = np.random.default_rng(seed).normal(size=state.shape).astype(state.dtype)
    longest = padding.longer(values["steps"] + 1) - 1
    return _Given(given, drawn, None, longest, values, False)


class _Units(NamedTuple):
    """The units of the first search for the scaled bound, and the factor of its W."""

    factor: float
    found: Any


class _Shower:
    """From the sliders' values to the picture."""

    def __init__(self, source: _Own | _Given) -> None:
        self.source = source
        self.units: _Units | None = None
        self.legends = _Legends()

    def __call__(self, values: dict[str, Any]) -> Shown:
        import numpy as np

        from rnn_dynamics.gradients.singular_values import spectra_by_lag
        from rnn_dynamics.numerics import padding
        from rnn_dynamics.spectral.bounds import product_bounds

        with padding.at_least(self.source.longest + 1):
            run = self.source.run(values)
            bounds = product_bounds(run)
            lags = np.round(np.linspace(0, values["steps"], _LAGS)).astype(int)
            spectra = spectra_by_lag(run, lags)
        self._keep_units(bounds, self.source.factor(values))
        numbers = _numbers(bounds, spectra)
        sentence = _sentence(bounds)
        alt = (
            f"Left: norm of the gradient against the lag up to {counted(bounds.steps, 'step')}, with its bounds. "
            "Right: bands of the singular values against the lag"
        )
        results = {"trajectory": run, "bounds": bounds, "spectra": spectra}
        return Shown(_picture(bounds, spectra, self.legends), sentence, alt, numbers, results)

    def _keep_units(self, bounds: "Bounds", factor: float) -> None:
        """Give the bounds the units that are kept in place of a search, which takes longer than all else."""
        import numpy as np

        if self.units is None:
            if bounds.scaled is not None and factor > 0:
                self.units = _Units(factor, bounds.scaled)
            return
        if bounds.structure is None or bounds.norm is None or not bounds.slope_bound:
            return
        found = self.units.found
        leak = float(np.asarray(bounds.structure[1]))
        conditions = np.append(found.log_condition, 0.0)
        norms = np.append(found.norm * (factor / self.units.factor), float(bounds.norm))
        units = np.concatenate([found.log_units, np.zeros_like(found.log_units[:1])])
        lags = bounds.lags.astype(float)
        with np.errstate(divide="ignore", invalid="ignore"):
            rates = np.log((1 - leak) + leak * bounds.slope_bound * norms)
            table = conditions[:, None] + np.where(lags == 0, 0.0, lags * rates[:, None])
        chosen = np.argmin(table, axis=0)
        log = np.take_along_axis(table, chosen[None], axis=0)[0]
        kept = dataclasses.replace(
            found,
            lags=lags,
            log=log,
            log_units=units[chosen],
            log_condition=conditions[chosen],
            norm=norms[chosen],
            log_plain=table[-1],
        )
        vars(bounds)["scaled"] = kept  # where a cached property looks first


def _decades(logs: Any) -> list[float | None]:
    import numpy as np

    return [
        float(value) / math.log(10) if math.isfinite(value) else None for value in np.asarray(logs, float)
    ]


def _numbers(bounds: "Bounds", spectra: "SpectraByLag") -> dict[str, Any]:
    import numpy as np

    entries = bounds.entries()
    return {
        "lags": bounds.lags.tolist(),
        "log10_norms": _decades(bounds.log_norms),
        "log10_bounds": {entry.name: _decades(entry.log) for entry in entries},
        "theorems": [entry.name for entry in entries if entry.theorem],
        "violated": {entry.name: int(entry.violated.sum()) for entry in entries},
        "conclusion": bounds.conclusion,
        "radius": None if bounds.radius is None else float(bounds.radius),
        "norm": None if bounds.norm is None else float(bounds.norm),
        "band_lags": spectra.lags.tolist(),
        "log10_singular_values": [_decades(row) for row in np.asarray(spectra.log)],
    }


def _sentence(bounds: "Bounds") -> str:
    """What the norm does over the run, what is proved, and whether the radius misleads."""
    import numpy as np

    from rnn_dynamics.numerics.results.powers import power_of_ten

    steps, log = bounds.steps, float(np.asarray(bounds.log_norms)[0])
    if math.isnan(log):
        return (
            f"The run leaves the floating-point numbers within "
            f"{counted(steps, 'step')}: there is no gradient to show."
        )
    what = (
        "vanishes"
        if log < -_FACTOR
        else "explodes"
        if log > _FACTOR
        else "keeps its size within a factor of 10"
    )
    is_plain = log == -math.inf or abs(log) < 3 * math.log(10)
    size = f"{math.exp(log):.3g}" if is_plain else power_of_ten(log)
    said = f"Over T = {counted(steps, 'step')} the gradient {what}: its norm is {size}"
    proved = {"vanishes": "falls to 0 as lags grow", "explodes": "grows with the lag of this run", "": ""}
    proof = proved[bounds.conclusion]
    said += f"; a theorem proves that it {proof}." if proof else "; no bound decides."
    claim = next((entry for entry in bounds.entries() if entry.name == "radius"), None)
    if claim is not None and claim.violated.any():
        said += (
            f" The spectral radius misleads: the norm exceeds its power at {int(claim.violated.sum())}"
            f" of {counted(steps, 'lag')}, as s₁(W) = {float(np.asarray(bounds.norm)):.3g} exceeds"
            f" ρ(W) = {float(np.asarray(bounds.radius)):.3g}."
        )
    return said


class _Legends:
    """The legends below the picture, each drawn once: they take longer than all lines."""

    def __init__(self) -> None:
        self.drawn: dict[tuple[str, ...], ndarray] = {}

    def of(self, panels: "Sequence[Axes]") -> "ndarray":
        """The pixels of the legends of two panels, whose labels are the keys."""
        pairs = [ax.get_legend_handles_labels() for ax in panels]
        named = [
            [(one, _VIOLATED if "violated" in label else label) for one, label in zip(*pair, strict=True)]
            for pair in pairs
        ]
        key = tuple(label for pair in named for _, label in pair)
        if key not in self.drawn:
            with panel.figure(_WIDTH, _LEGEND) as figure:
                for x, pair in zip((0.03, 0.65), named, strict=True):
                    handles, labels = [one for one, _ in pair], [label for _, label in pair]
                    figure.legend(handles, labels, loc="upper left", bbox_to_anchor=(x, 1.0), ncols=2)
                self.drawn[key] = panel.drawn(figure)
        return self.drawn[key]


def _picture(bounds: "Bounds", spectra: "SpectraByLag", legends: _Legends) -> bytes:
    import numpy as np

    from rnn_dynamics import plots

    with panel.figure(_WIDTH, _HEIGHT) as figure:
        left, right = figure.subplots(1, 2)
        figure.subplots_adjust(left=0.07, right=0.985, top=0.93, bottom=0.36, wspace=0.22)
        if np.isfinite(np.asarray(bounds.log_norms)).any():
            plots.norms_against_lag(bounds, left, legend=False)
        if np.isfinite(np.asarray(spectra.log)).any():
            plots.singular_bands(spectra, right, legend=False)
        left.set_title("a   norm of $∂x_T/∂x_k$ and its bounds", y=1.0)  # a given height needs no search
        right.set_title("b   singular values of $∂x_T/∂x_k$", y=1.0)
        for ax in (left, right):
            ax.locator_params(axis="x", integer=True)
            low, high = ax.get_ylim()
            if high - low < 1:  # of nothing but zeros, or of a norm that stays
                ax.set_ylim((low + high - 1) / 2, (low + high + 1) / 2)
        figure.figimage(legends.of((left, right)), 0, 0, origin="upper")
        return panel.png(figure)
