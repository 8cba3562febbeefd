"""A framework's own gradient held against the derivative of the map that it computes."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnn_dynamics.cells.bidirectional import Bidirectional, BidirectionalRun
from rnn_dynamics.cells.rollout import Trajectory, rollout
from rnn_dynamics.cells.stack import state_size
from rnn_dynamics.gradients.bidirectional import output_pullback
from rnn_dynamics.gradients.credit.inputs import input_rows
from rnn_dynamics.interop.audited import Audit, Cause
from rnn_dynamics.interop.checking import output_part
from rnn_dynamics.interop.flax import from_flax
from rnn_dynamics.interop.modules import from_module
from rnn_dynamics.interop.partings import Rows, Sides, causes_of, nudged, relative
from rnn_dynamics.interop.runtimes import FRAMEWORKS, Runtime, runtime_of
from rnn_dynamics.numerics.scaled import Scaled
from rnn_dynamics.numerics.scaled_on_host import matrices_of
from rnn_dynamics.numerics.validation import choice, concrete_array, count, positive

_GRADIENT = {"float32": 1e-3, "float64": 1e-9}
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
) -> Audit:
    """Hold a framework's own ∂y_T/∂u_k against the derivative of the map that it computes, lag by lag.

    y_1 … y_T are what the module puts out for the inputs u_1 … u_T. Theirs is the framework's reverse pass, one for
    each probe v: ∂⟨v, y_T⟩/∂u_k for all k. Ours is the product of the cell's step Jacobians in float64, scaled, so
    that it falls over thousands of decades. Where they part, the cause is measured: by inputs changed in their last
    place (noise), by a smaller cotangent (clipping), by the outputs along a path (jumps, hence a surrogate), by
    exact zeros (underflow, a cut), by changes that only float64 tells (float32 inside). At a few lags central
    differences of the module's outputs say whom the module itself bears out.

    For ours x64 is on inside this call alone; the framework computes as it always does.

    Args:
        module: a module, layer or cell of PyTorch, Keras, Flax, Equinox, MLX, Paddle or tinygrad; a pair (module of
            linen, variables); a function of JAX from inputs (T, m) to outputs (T, n); one of another framework's
            arrays, with ``framework=``; or any object that has ``__call__(inputs)`` and ``vjp(inputs, cotangent)``,
            the gradient of ⟨cotangent, y_T⟩ with respect to all inputs, (T, m), as NumPy's arrays.
        inputs: (T, m).
        cell: the same map as a cell, or as a ``Bidirectional``; by default what ``from_module`` reads from the
            module.
        x0: the state before the first input; 0 by default, and of a ``Bidirectional``.
        readout: what the module puts out of the cell's state, a function of JAX; by default its hidden part.
        framework: whose arrays a plain function takes: "jax" (the default), "torch", "keras", "mlx", "paddle",
            "tinygrad".
        probes: how many cotangents: each output alone where there are no more than that, else random signs.
        checks: at how many lags the outputs are differenced; 0 for none.
        tolerance: of a lag's relative difference; by default 1e-3 of outputs in float32, 1e-9 in float64.

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
    if x0 is not None:
        concrete_array("x0", x0, ndim=1)
    if cell is not None and not callable(cell) and not isinstance(cell, Bidirectional):
        raise TypeError(f"cell: expected a callable cell(x, u), got {type(cell).__name__}")
    driven = _driven(inputs)
    runtime = runtime_of(module, framework, driven.dtype)
    cell = _cell_of(module, cell)
    outputs = runtime.outputs(driven.astype(runtime.dtype))
    dtype = "float64" if outputs.dtype == np.float64 else "float32"
    runtime = runtime._replace(dtype=np.dtype(dtype))
    driven = driven.astype(dtype)
    _check_repeats(runtime, driven, outputs)
    allowed = _GRADIENT[dtype] if tolerance is None else tolerance
    cotangents = _cotangents(probes, outputs.shape[1])
    ours = _Ours(cell, x0, readout, outputs.shape[1], cotangents)
    errors = ours.errors(driven, outputs)
    sides = _sides(runtime, driven, ours, cotangents, allowed)
    differences = relative(sides.theirs, sides.ours)
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
        raise ValueError(f"inputs: expected finite numbers of shape (T, m), got shape {array.shape}")
    return array


def _check_repeats(runtime: Runtime, driven: np.ndarray, outputs: np.ndarray) -> None:
    if not np.array_equal(runtime.outputs(driven), outputs, equal_nan=True):
        raise ValueError(
            "module: expected the same outputs for the same inputs, got others when it was run again: switch off "
            "dropout and noise (module.eval()), and let it start from the same state"
        )


def _cell_of(module: Any, cell: Any) -> Any:
    if cell is not None:
        return cell
    try:
        if isinstance(module, tuple) and len(module) == 2 and isinstance(module[1], Mapping):
            return from_flax(module[1], kind=type(module[0]).__name__)
        return from_module(module)
    except (TypeError, ValueError) as error:
        part = re.search(r'prefix="[^"]*"', str(error))
        call = f": cell=rd.interop.from_module(module, {part[0]})" if part else ""
        raise type(error)(
            f"cell: expected the same map as a cell, such as an importer makes with its options{call}, since it "
            f"cannot be read from the module alone ({error})"
        ) from error


class _Ours:
    """The cell in float64, and what of its state the module puts out; x64 is on only while it computes."""

    def __init__(self, cell: Any, x0: Any, readout: Any, width: int, cotangents: np.ndarray) -> None:
        self.readout, self.cotangents, self.dtype = readout, cotangents, np.dtype(np.float64)
        with jax.enable_x64(True):
            self.cell = jax.tree_util.tree_map(self._wide, cell)
            if isinstance(cell, Bidirectional):
                self._check_both(x0, readout, width)
                return
            try:
                size = state_size(self.cell)
            except (TypeError, ValueError):
                size = width if x0 is None else np.size(x0)
            self.start = np.zeros(size) if x0 is None else concrete_array("x0", x0, ndim=1).astype(float)
        if self.start.shape != (size,):
            raise ValueError(f"x0: expected shape {(size,)}, got {self.start.shape}")
        try:
            self.part = None if readout is not None else output_part(self.cell, width, size)
        except ValueError:
            raise ValueError(
                f"readout: expected a function that makes the module's {width} outputs of the cell's state of "
                f"{size} entries, as these are not its hidden part, got None"
            ) from None

    def _check_both(self, x0: Any, readout: Any, width: int) -> None:
        """What a network that reads in both directions does not take."""
        for name, given in (("x0", x0), ("readout", readout)):
            if given is not None:
                raise ValueError(
                    f"{name}: expected None of a network that reads in both directions, got {given!r:.60}"
                )
        if self.cell.width() != width:
            raise ValueError(
                f"cell: expected one that puts out {width} entries a step, as the module does, got "
                f"{self.cell.width()}"
            )

    def _run_both(self, driven: np.ndarray) -> BidirectionalRun:
        return self.cell.run(jax.device_put(driven.astype(self.dtype)))

    def _wide(self, leaf: Any) -> Any:
        is_float = hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating)
        return (
            jax.device_put(np.asarray(leaf, self.dtype)) if is_float else leaf
        )  # on the host: compiles nothing

    def _run(self, driven: np.ndarray) -> Trajectory:
        return rollout(self.cell, jax.device_put(self.start), jax.device_put(driven.astype(self.dtype)))

    def errors(self, driven: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Of each step the largest |output − ours| over the largest |output|."""
        with jax.enable_x64(True):
            if isinstance(self.cell, Bidirectional):
                found = np.asarray(self._run_both(driven).outputs)[-len(outputs) :]
                return np.abs(found - outputs).max(axis=1) / (float(np.abs(outputs).max()) or 1.0)
            run = self._run(driven)
            states = np.asarray(run.states)[1:] if len(outputs) > 1 else np.asarray(run.states)[-1:]
            found = states[:, self.part] if self.part is not None else jax.vmap(self.readout)(states)
            found = np.asarray(found).reshape(len(states), -1)
        if found.shape != outputs.shape:
            raise ValueError(
                f"readout: expected {outputs.shape[1]} entries, as the module puts out, got {found.shape[1]}"
            )
        scale = float(np.abs(outputs).max()) or 1.0
        return np.abs(found - outputs).max(axis=1) / scale

    def rows(self, driven: np.ndarray) -> Rows:
        """∂⟨v, y_T⟩/∂u_k of each cotangent v, lag 0 first."""
        with jax.enable_x64(True):
            if isinstance(self.cell, Bidirectional):
                both, last = self._run_both(driven), len(driven) - 1
                pulled = [output_pullback(both, v, at=last) for v in self.cotangents]
                units, exponents = (
                    [np.asarray(getattr(p, n))[::-1] for p in pulled] for n in ("unit", "exponent")
                )
                rows: Any = np.stack(units, axis=1), np.stack(exponents, axis=1)
                matrices = matrices_of(Scaled(*rows, 1))
                return Rows(np.asarray(matrices.unit), np.asarray(matrices.exponent))
            run = self._run(driven)
            if self.part is not None:
                seen = np.zeros((len(self.cotangents), len(self.start)))
                seen[:, self.part] = self.cotangents
            else:
                jacobian = np.asarray(jax.jacrev(self.readout)(run.states[-1]))
                seen = np.matmul(self.cotangents, jacobian.reshape(self.cotangents.shape[1], -1))
            found = input_rows(run, jax.device_put(seen.astype(self.dtype)))
            return Rows(np.asarray(found.unit)[::-1], np.asarray(found.exponent)[::-1])


def _cotangents(probes: int, width: int) -> np.ndarray:
    if width <= probes:
        return np.eye(width)
    return np.random.default_rng(0).choice([-1.0, 1.0], (probes, width)) / np.sqrt(width)


def _sides(
    runtime: Runtime, driven: np.ndarray, ours: _Ours, cotangents: np.ndarray, tolerance: float
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
    errors = [3 * abs(a - b) + 3 * noise / h for a, b, h in zip(found, found[1:], widths, strict=False)]
    best = int(np.argmin(errors))
    of_theirs, of_ours = (float(np.dot(side[probe], direction)) for side in (theirs, ours))
    return float(found[best]), float(errors[best]), of_theirs, of_ours
