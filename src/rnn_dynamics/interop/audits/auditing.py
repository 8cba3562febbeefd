"""A framework's own gradient held against the derivative of the map that it computes."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rnn_dynamics.cells.bidirectional import Bidirectional
from rnn_dynamics.interop.audits.derivatives import Derivative, derivative_of
from rnn_dynamics.interop.audits.partings import Rows, Sides, causes_of, nudged, relative
from rnn_dynamics.interop.audits.results import Audit, Cause
from rnn_dynamics.interop.audits.runtimes import FRAMEWORKS, Runtime, runtime_of
from rnn_dynamics.interop.frameworks.flax import CELLS
from rnn_dynamics.interop.frameworks.modules import from_module
from rnn_dynamics.numerics.validation import choice, concrete_array, count, positive

_GRADIENT = {"float32": 1e-3, "float64": 1e-9}
_REPEATS = 1e-4
_OUTPUTS = {"float32": 1e-4, "float64": 1e-6}


def audit(
    module: Any,
    inputs: Any,
    *,
    cell: Any = None,
    x0: Any = None,
    readout: Callable[[Any], Any] | None = None,
    framework: str | None = None,
    probes: int = 4,
    checks: int = 4,
    tolerance: float | None = None,
    kind: str | None = None,
    prefix: str | None = None,
    layer: int | None = None,
    direction: str | None = None,
    activation: str | None = None,
) -> Audit:
    """Hold a framework's own ∂y_T/∂u_k against the derivative of the map that it computes, lag by lag.

    y_1 … y_T are what the module puts out for the inputs u_1 … u_T. Theirs is the framework's reverse pass, one for
    each probe v: ∂⟨v, y_T⟩/∂u_k for all k. Ours is the product of the cell's step Jacobians in float64, scaled, so
    that it falls over thousands of decades. Where they part, the cause is measured: by inputs changed in their last
    place (noise), by a smaller cotangent (clipping), by the outputs along a path (jumps, hence a surrogate), by
    exact zeros (underflow, a cut), by changes that only float64 tells (float32 inside). At a few lags central
    differences of the module's outputs say whom the module itself bears out.

    For ours x64 is on inside this call alone; the framework computes as it always does. Of a ``Bidirectional`` y_T
    has read the whole sequence by the forward cells and by the backward cells below the last layer; the last
    layer's backward cell has made one step. A model of PyTorch is given a batch of one, before the steps or, where
    its outputs fit so alone, behind them.

    Args:
        module: a module, layer or cell of PyTorch, Keras, Flax, Equinox, MLX, Paddle or tinygrad; a pair (module of
            linen, variables); a function of JAX from inputs (T, m) to outputs (T, n); one of another framework's
            arrays, with ``framework=``; or any object that has ``__call__(inputs)`` and ``vjp(inputs, cotangent)``,
            the gradient of ⟨cotangent, y_T⟩ with respect to all inputs, (T, m), as NumPy's arrays.
        inputs: (T, m).
        cell: the same map as a cell or a ``Bidirectional``; by default what ``from_module`` reads from the module.
        x0: the state before the first input; 0 by default.
        readout: what the module puts out of the cell's state, or of the outputs y_t of a ``Bidirectional``, a
            function of JAX; by default the hidden part of the state, or y_t itself.
        framework: whose arrays a plain function takes: "jax" (the default), "torch", "keras", "mlx", "paddle",
            "tinygrad".
        probes: how many cotangents: each output alone where there are no more than that, else random signs.
        checks: at how many lags the outputs are differenced; 0 for none.
        tolerance: of a lag's relative difference; by default 1e-3 of outputs in float32, 1e-9 in float64.
        kind, prefix, layer, direction, activation: which of the module's recurrent parts is the cell, as
            ``from_module`` takes them; each ``None`` where ``cell`` is given.

    Returns:
        The audit; ``print`` shows its table, ``plot`` both curves.

    Raises:
        TypeError: a module that cannot be run, or cannot be read where no ``cell`` is given.
        ValueError: outputs that are not (T, n), differ when repeated, or do not fit the cell; other arguments.

    Reference: A. Griewank, A. Walther, "Evaluating Derivatives", SIAM 2008, chapter 3; J. Hochreiter,
    Y. Bengio, P. Frasconi, J. Schmidhuber, "Gradient flow in recurrent nets", 2001.
    """
    count("probes", probes, minimum=1)
    count("checks", checks)
    if framework is not None:
        choice("framework", framework, FRAMEWORKS)
    if tolerance is not None:
        tolerance = positive("tolerance", tolerance)
    if cell is not None and not callable(cell) and not isinstance(cell, Bidirectional):
        raise TypeError(f"cell: expected a callable cell(x, u) or a Bidirectional, got {type(cell).__name__}")
    driven = _driven(inputs)
    runtime = runtime_of(module, framework, driven.dtype)
    options = {
        "kind": kind,
        "prefix": prefix,
        "layer": layer,
        "direction": direction,
        "activation": activation,
    }
    cell = _cell_of(module, cell, {name: value for name, value in options.items() if value is not None})
    if x0 is not None and not isinstance(cell, Bidirectional):
        concrete_array("x0", x0, ndim=1)
    outputs = _first_outputs(runtime, driven)
    dtype = "float64" if outputs.dtype == np.float64 else "float32"
    driven = driven.astype(dtype)
    allowed = _GRADIENT[dtype] if tolerance is None else tolerance
    cotangents = _cotangents(probes, outputs.shape[1])
    ours = derivative_of(cell, x0, readout, outputs.shape[1], cotangents)
    errors = ours.errors(driven, outputs)
    if not errors.max() <= _OUTPUTS[dtype] and runtime.turned is not None:
        runtime, outputs, errors = _by_the_other_axis(runtime, ours, driven, outputs, errors)
    runtime = runtime._replace(dtype=np.dtype(dtype))
    _check_repeats(runtime, driven, outputs)
    sides = _sides(runtime, driven, ours, cotangents, allowed)
    differences = relative(sides.theirs, sides.ours)
    _check_gradient_repeats(sides, differences)
    if not errors.max() <= _OUTPUTS[dtype]:
        causes, said = _of_states(runtime, driven, outputs, errors, len(differences))
    else:
        causes, said = causes_of(sides, differences)
    compared = _differenced(sides, causes, checks, cotangents)
    return Audit(
        framework=runtime.name,
        dtype=str(outputs.dtype),
        lags=np.arange(len(driven)),
        log10_theirs=sides.theirs.log10,
        log10_ours=sides.ours.log10,
        differences=differences,
        causes=causes,
        tolerance=allowed,
        output_errors=errors,
        checked=compared[0].astype(int),
        central=compared[1],
        central_errors=compared[2],
        theirs_there=compared[3],
        ours_there=compared[4],
        evidence=said,
    )


def _driven(inputs: Any) -> np.ndarray:
    if hasattr(inputs, "detach"):
        inputs = inputs.detach()
    try:
        array = np.asarray(inputs)
    except ValueError:  # ragged
        array = np.asarray(concrete_array("inputs", inputs, ndim=2))
    if array.dtype.kind not in "fiu":
        concrete_array("inputs", inputs, ndim=2)  # says what is wrong
        raise TypeError(f"inputs: expected real numbers, got {array.dtype}")
    array = array if array.dtype in (np.float32, np.float64) else array.astype(np.float32)
    if array.ndim != 2 or not array.size or not np.isfinite(array).all():
        batch = "; one sequence at a time, as inputs[0]" if array.ndim == 3 else ""
        raise ValueError(f"inputs: expected finite numbers of shape (T, m), got shape {array.shape}{batch}")
    return array


def _by_the_other_axis(
    runtime: Runtime, ours: Derivative, driven: np.ndarray, outputs: np.ndarray, errors: np.ndarray
) -> tuple[Runtime, np.ndarray, np.ndarray]:
    """The module with the batch's axis behind the steps, where its outputs are nearer to the cell's so."""
    other = runtime.turned() if runtime.turned is not None else runtime
    try:
        found = _first_outputs(other, driven)
        again = ours.errors(driven, found)
    except ValueError:  # it takes no such inputs, or puts out something else
        return runtime, outputs, errors
    return (other, found, again) if again.max() < errors.max() else (runtime, outputs, errors)


def _check_repeats(runtime: Runtime, driven: np.ndarray, outputs: np.ndarray) -> None:
    if not np.array_equal(runtime.outputs(driven), outputs, equal_nan=True):
        raise ValueError(
            "module: expected the same outputs for the same inputs, got others when it was run again: switch off "
            "dropout and noise (module.eval()), and let it start from the same state"
        )


def _check_gradient_repeats(sides: Sides, differences: np.ndarray) -> None:
    """Refuse a gradient that is drawn anew each time; what the order of sums changes is far below the largest."""
    if (differences <= sides.tolerance).all():
        return
    first, again = sides.theirs.values, sides.their_rows(sides.inputs, 1.0).values
    finite = np.isfinite(first) & np.isfinite(again)
    first, again = first[finite], again[finite]
    size, moved = (float(np.abs(each).max(initial=0)) for each in (first, again - first))
    if moved > _REPEATS * size:
        raise ValueError(
            "module: expected the same gradient for the same inputs, got another when it was taken again, "
            f"up to {moved:.2g} off where the largest is {size:.2g}: something adds noise to it on its way back"
        )


def _first_outputs(runtime: Runtime, driven: np.ndarray) -> np.ndarray:
    try:
        return runtime.outputs(driven.astype(runtime.dtype))
    except Exception as error:  # whatever a framework raises
        if str(error).startswith("module:"):
            raise
        raise ValueError(
            f"module: expected one that runs on the inputs of shape (T, m) = {driven.shape}, got "
            f"{type(error).__name__}: {error}"
        ) from error


def _cell_of(module: Any, cell: Any, options: dict[str, Any]) -> Any:
    if cell is not None:
        if options:
            name, value = next(iter(options.items()))
            raise ValueError(
                f"{name}: expected None where cell= is given, which is read already, got {value!r}"
            )
        return cell
    try:
        if isinstance(module, tuple) and len(module) == 2 and isinstance(module[1], Mapping):
            module, options = module[1], _kind_of_linen(module[0]) | options
        return from_module(module, **options)
    except (TypeError, ValueError) as error:
        if str(error).partition(":")[0] in options:
            raise
        raise type(error)(
            "cell: expected the same map as cell=, or the options by which from_module reads it, since it cannot "
            f"be read from the module alone ({error})"
        ) from error


def _kind_of_linen(module: Any) -> dict[str, str]:
    """The class of a cell of linen, or of the one in an RNN, as an option of ``from_module``."""
    kind = type(getattr(module, "cell", module)).__name__
    return {"kind": kind} if kind in CELLS else {}


def _cotangents(probes: int, width: int) -> np.ndarray:
    if width <= probes:
        return np.eye(width)
    return np.random.default_rng(0).choice([-1.0, 1.0], (probes, width)) / np.sqrt(width)


def _sides(
    runtime: Runtime, driven: np.ndarray, ours: Derivative, cotangents: np.ndarray, tolerance: float
) -> Sides:
    def their_rows(u: np.ndarray, factor: float) -> Rows:
        found = [runtime.gradient(u, (factor * v).astype(runtime.dtype)) for v in cotangents]
        values = np.stack([np.asarray(one, float).reshape(len(u), -1) for one in found], axis=1)[::-1]
        return Rows(values / factor, np.zeros(len(u), int))

    both = their_rows(driven, 1.0), ours.rows(driven)
    return Sides(runtime, driven, *both, their_rows, ours.rows, tolerance)


def _of_states(
    runtime: Runtime, driven: np.ndarray, outputs: np.ndarray, errors: np.ndarray, lags: int
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Whether outputs differ by another map, or by rounding that the map itself makes large."""
    moved = runtime.outputs(nudged(driven, float(np.finfo(driven.dtype).eps))).astype(float)
    scale = float(np.abs(outputs).max()) or 1.0
    grown = float(np.abs(moved - outputs).max()) / scale
    step = int(np.flatnonzero(~(errors <= _OUTPUTS["float32"]))[0]) + 1 if len(errors) > 1 else len(driven)
    said = (
        f"The outputs differ from step {step} on, by up to {errors.max():.2g}; inputs changed in their last place "
        f"move them by {grown:.2g}."
    )
    cause = Cause.ROUNDING if grown > 0.1 * errors.max() and errors[0] <= 1e-4 else Cause.STATES
    return np.full(lags, int(cause)), (said,)


def _differenced(
    sides: Sides, causes: np.ndarray, checks: int, cotangents: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Central differences of ⟨v, y_T⟩ at a few lags, in steps of three sizes, the surest of which is kept."""
    steps = len(causes)
    apart = np.flatnonzero(causes)
    near = [0] if not apart.size else [int(apart[0]), int(apart[0]) - 1, int(apart[-1])]
    wanted = [lag for lag in (*near, 1, 0, steps // 2, steps // 4) if 0 <= lag < steps]
    lags = sorted(dict.fromkeys(wanted[: 2 * checks]), key=wanted.index)[:checks]
    rows = [_difference(sides, lag, cotangents) for lag in sorted(lags)]
    return (np.array(sorted(lags), float), *(np.array([row[i] for row in rows]) for i in range(4)))


def _difference(sides: Sides, lag: int, cotangents: np.ndarray) -> tuple[float, float, float, float]:
    """The difference, its error, and what both gradients say of it, along the direction that tells them apart."""
    theirs, ours = np.nan_to_num(sides.theirs.values[lag]), sides.ours.floats[lag]
    gap = theirs - ours
    gap = gap if np.linalg.norm(gap) > 1e-3 * np.linalg.norm(ours) else ours
    probe = int(np.argmax(np.linalg.norm(gap, axis=1)))
    size = float(np.linalg.norm(gap[probe]))
    direction = gap[probe] / size if size else np.ones(gap.shape[1]) / np.sqrt(gap.shape[1])
    v = cotangents[probe]

    def value(h: float) -> float:
        moved = sides.inputs.astype(float)
        moved[len(moved) - 1 - lag] += h * direction
        return float(np.dot(v, sides.runtime.outputs(moved.astype(sides.inputs.dtype))[-1].astype(float)))

    eps = float(np.finfo(sides.inputs.dtype).eps)
    middle = value(0.0)
    again = [
        sides.runtime.outputs(nudged(sides.inputs, 4 * eps, seed))[-1].astype(float) for seed in (1, 2, 3)
    ]
    noise = max(abs(float(np.dot(v, y)) - middle) for y in again) + eps * abs(middle)
    scale = float(np.sqrt(np.mean(sides.inputs.astype(float) ** 2))) or 1.0
    # The widest say no derivative, but whether the last output knows of this input at all.
    widths = [scale * w for w in (100.0, 10.0, 1.0, 0.1, 3 * eps ** (1 / 3), eps ** (1 / 3))]
    found = [(value(h) - value(-h)) / (2 * h) for h in widths]
    # Outputs saturate: what a change far beyond the inputs' size leaves within the noise bounds no slope.
    errors = [
        3 * abs(a - b) + 3 * noise / min(h, scale) for a, b, h in zip(found, found[1:], widths, strict=False)
    ]
    best = int(np.argmin(errors))
    of_theirs, of_ours = (float(np.dot(side[probe], direction)) for side in (theirs, ours))
    return float(found[best]), float(errors[best]), of_theirs, of_ours
