"""The two losses of the literature and their gradients over (w, b), elementwise.

geometric  L = (x_T − target)²,     x ← (1 − ε) x + ε σ(w x + b),  x_0 = ½, target .855, w = 5
pascanu    E = (σ(x_T) − target)²,  x ← w σ(x) + b,                x_0 = ½, target .7

With y = σ(x) the second is the first with ε = 1, started at σ(x_0): y_T = σ(x_T) for every T.
"""

import dataclasses
import functools
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from rnn_dynamics.cells.activations import sigmoid
from rnn_dynamics.doya.sensitivities import sensitivities, step_count
from rnn_dynamics.gradients.sensitivities import Sensitivities, resolution_limit
from rnn_dynamics.numerics import scaled
from rnn_dynamics.numerics.batching import computed
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.scaled import Scaled
from rnn_dynamics.numerics.status import Status, count_resolved
from rnn_dynamics.numerics.validation import broadcast_arrays, check_fraction, choice

MODELS = ("geometric", "pascanu")
_TARGETS = {"geometric": 0.855, "pascanu": 0.7}


class NeuronLoss(NamedTuple):
    """A loss as the Doya neuron's: all arrays of one shape and dtype.

    ``start`` is the neuron's first state, x_0 or σ(x_0); ``origin`` is x_0 as given.
    """

    w: Float[Array, "..."]
    b: Float[Array, "..."]
    start: Float[Array, "..."]
    origin: Float[Array, "..."]
    target: Float[Array, "..."]
    epsilon: Float[Array, "..."]


def make_problem(model: str, w: Any, b: Any, x0: Any, target: Any, epsilon: Any) -> NeuronLoss:
    """The checked arguments that every function of the cliff takes, broadcast to one shape.

    Raises:
        TypeError, ValueError: an unknown model, values that are not real and finite, shapes that do not
            broadcast, ε outside (0, 1], ε other than 1 for ``"pascanu"``.
    """
    choice("model", model, MODELS)
    check_fraction("epsilon", epsilon)
    if model == "pascanu" and not isinstance(epsilon, Tracer) and np.any(np.asarray(epsilon) != 1):
        raise ValueError(f"epsilon: expected 1 for model 'pascanu', which has no Euler step, got {epsilon}")
    x0 = 0.5 if x0 is None else x0
    target = _TARGETS[model] if target is None else target
    w, b, x0, target, epsilon = broadcast_arrays(w=w, b=b, x0=x0, target=target, epsilon=epsilon)
    return NeuronLoss(w, b, computed(_first_state, x0) if model == "pascanu" else x0, x0, target, epsilon)


_first_state = jax.jit(sigmoid)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Loss(Result):
    """A loss with its gradient, elementwise.

    Attributes:
        value: L = (y_T − target)².
        dw: ∂L/∂w, scaled.
        db: ∂L/∂b, scaled.
        value_error: bound on the rounding error of ``value``.
        status: RESOLVED; UNRESOLVED where the floats cannot carry y_T or the logarithm of one of its
            derivatives (the factor y_T − target has the absolute error of y_T, near its zero too); DIVERGED
            where y_T is not finite.
    """

    value: Float[Array, "..."]
    dw: Scaled
    db: Scaled
    value_error: Float[Array, "..."]
    status: Int[Array, "..."]

    _axes: ClassVar = {"...": "grid"}

    @property
    def resolved(self) -> Bool[Array, "..."]:
        """Marks the points whose status is RESOLVED."""
        return self.status == int(Status.RESOLVED)

    @property
    def log_gradient_norm(self) -> Float[Array, "..."]:
        """ln‖(∂L/∂w, ∂L/∂b)‖₂; −inf where the gradient is exactly zero."""
        return _log_norm(self.dw, self.db)

    def __repr__(self) -> str:
        text = f"Loss(shape={self.value.shape}, dtype={self.value.dtype}"
        if isinstance(self.status, Tracer):
            return text + ", traced)"
        if self.value.ndim == 0:
            text = f"Loss({float(self.value):.6g}, dw={self.dw!r}, db={self.db!r}"
        return text + f", resolved={count_resolved(self.status)} of {self.status.size})"


@jax.jit
def _log_norm(dw: Scaled, db: Scaled) -> Array:
    square = scaled.add(scaled.multiply(dw, dw), scaled.multiply(db, db))
    return square.log() / 2


@functools.partial(jax.jit, static_argnames="start_is_rounded")
def _assemble(orbit: Sensitivities, target: Array, start_is_rounded: bool) -> Loss:
    residual = orbit.state - target
    # σ(x_0) is off by less than the first step's own rounding allows for, so that twice the bounds cover it.
    widening = 2 if start_is_rounded else 1
    error = widening * orbit.state_error
    unit = float(jnp.finfo(residual.dtype).eps)
    limit = resolution_limit(residual.dtype)
    resolved = error <= limit * jnp.maximum(jnp.abs(orbit.state), 1)
    gradient = []
    for derivative, log_error in zip(orbit.parameters, orbit.parameter_log_errors, strict=True):
        gradient.append(scaled.multiply(derivative, 2 * residual))
        size = jnp.maximum(jnp.abs(derivative.log()), 1)
        resolved = resolved & (widening * log_error <= limit * size)
    value_error = 2 * jnp.abs(residual) * error + jnp.square(error) + 2 * unit * jnp.abs(residual)
    status = jnp.where(resolved, int(Status.RESOLVED), int(Status.UNRESOLVED))
    status = jnp.where(jnp.isfinite(orbit.state), status, int(Status.DIVERGED)).astype(jnp.int32)
    return Loss(jnp.square(residual), gradient[0], gradient[1], value_error, status)


def loss(
    w: Any,
    b: Any,
    *,
    steps: Any,
    model: str = "geometric",
    x0: Any = None,
    target: Any = None,
    epsilon: Any = 1.0,
) -> Loss:
    """The loss after T = ``steps`` steps, ∂L/∂w and ∂L/∂b.

    geometric: L = (x_T − target)²; pascanu: E = (σ(x_T) − target)² of x ← w σ(x) + b.

    Args:
        w: weight; all arrays broadcast.
        b: bias.
        steps: T ≥ 0; a new T compiles nothing.
        model: ``"geometric"`` or ``"pascanu"``.
        x0: start, by default ½.
        target: by default .855 (geometric) or .7 (pascanu).
        epsilon: Euler step in (0, 1] of the geometric model; 1 for the other.

    Returns:
        ``Loss`` of the broadcast shape.

    Raises:
        TypeError, ValueError: arguments that are not real and finite, shapes that do not broadcast, an
            unknown model, ε outside (0, 1], a negative or fractional ``steps``.

    References: Wikipedia, "Vanishing gradient problem" (geometric model); Pascanu, Mikolov, Bengio, ICML 2013,
    figure 6.
    """
    steps = step_count(steps)
    return evaluate(make_problem(model, w, b, x0, target, epsilon), steps, model)


def evaluate(problem: NeuronLoss, steps: Any, model: str) -> Loss:
    """The loss of a checked problem."""
    epsilon = problem.epsilon
    if not isinstance(epsilon, Tracer) and epsilon.size:
        each = np.asarray(epsilon).reshape(-1)
        epsilon = each[0] if (each == each[0]).all() else epsilon
    orbit = sensitivities(problem.w, problem.b, problem.start, steps, epsilon=epsilon)
    return computed(_assemble, orbit, problem.target, start_is_rounded=model == "pascanu")
