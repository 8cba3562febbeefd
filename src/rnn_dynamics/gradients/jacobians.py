"""Jacobians of one step and of many: ∂x_stop/∂x_start exactly, over any number of decades.

∂x_t/∂x_k = J_t ⋯ J_{k+1} with J_i = ∂x_i/∂x_{i−1} (latest factor on the left). A step's derivative is pushed
through the step inside the scan's body; nothing differentiates a whole scan. Products are ``Scaled``.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rnn_dynamics.cells.pytree import join, split
from rnn_dynamics.cells.rollout import Trajectories, Trajectory
from rnn_dynamics.cells.saturation import exact_slopes
from rnn_dynamics.gradients.one_step import of_step, step_matrix
from rnn_dynamics.gradients.parameters import immediate_gradient, parameter_count, unflatten_parameters
from rnn_dynamics.gradients.steps import along, step_range
from rnn_dynamics.numerics.batching import is_plain
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.padding import scan
from rnn_dynamics.numerics.scaled import Scaled, add, from_float
from rnn_dynamics.numerics.validation import choice, integers, real_array

_HIGHEST = jax.lax.Precision.HIGHEST


def _shaped(product: Scaled, states: Array) -> Scaled:
    """Matrices as they are; 1×1 matrices of a single neuron as scalars."""
    if states.ndim > 1:
        return product
    return Scaled(product.unit[..., 0, 0], product.exponent).normalize()


def _identity(states: Array) -> Scaled:
    """∂x_k/∂x_k; the states, of which there may be none, tell its size."""
    return from_float(jnp.eye(math.prod(states.shape[1:]), dtype=states.dtype), event_ndim=2)


@lean(static_argnums=0)
def _step_matrices(
    static: Any, arrays: Any, states: Array, inputs: Any, inside: Array | None = None
) -> Array:
    cell = join(static, arrays)
    if inside is None:
        return jax.vmap(lambda x, u: of_step(cell, x, u))(states, inputs)
    return scan(lambda _, step: (None, of_step(cell, *step)), None, (states, inputs), inside)[1]


def step_jacobians(trajectory: Trajectory, *, start: int = 0, stop: int | None = None) -> Float[Array, "..."]:
    """∂x_{t+1}/∂x_t for every step t = start … stop−1.

    Args:
        trajectory: one trajectory from ``rollout``.
        start, stop: the steps; 0 and T by default.

    Returns:
        Shape (stop−start, n, n), or (stop−start,) for a single neuron: memory O(T n²).

    Raises:
        TypeError, ValueError: not a trajectory; start or stop outside 0 ≤ start ≤ stop ≤ T.

    Reference: R. Pascanu, T. Mikolov, Y. Bengio, ICML 2013, equation 5.
    """
    return along(
        _step_matrices, trajectory, start, stop, of_matrices=True, keeps_matrices=True, backward=False
    )


def _grow_left(cell: Any, product: Scaled, step: tuple) -> tuple[Scaled, None]:
    """Return J_{t+1} · product."""
    unit = jnp.matmul(step_matrix(cell, *step), product.unit, precision=_HIGHEST)
    return Scaled(unit, product.exponent, 2).normalize(), None


def _grow_right(cell: Any, product: Scaled, step: tuple) -> Scaled:
    """Return product · J_{t+1}."""
    unit = jnp.matmul(product.unit, step_matrix(cell, *step), precision=_HIGHEST)
    return Scaled(unit, product.exponent, 2).normalize()


def _keep_and_grow_right(cell: Any, product: Scaled, step: tuple) -> tuple[Scaled, Scaled]:
    return _grow_right(cell, product, step), product


def _grow_right_and_measure(cell: Any, ord: Any, product: Scaled, step: tuple) -> tuple[Scaled, Array]:
    product = _grow_right(cell, product, step)
    return product, product.norm(ord).log()


@lean(static_argnums=0)
def _product(static: Any, arrays: Any, states: Array, inputs: Any, inside: Array | None = None) -> Scaled:
    grow = functools.partial(_grow_left, join(static, arrays))
    return _shaped(scan(grow, _identity(states), (states, inputs), inside)[0], states)


def jacobian_product(trajectory: Trajectory, *, start: int = 0, stop: int | None = None) -> Scaled:
    """∂x_stop/∂x_start = J_stop ⋯ J_{start+1}, one matrix.

    Args:
        trajectory: from ``rollout``.
        start: k, the step whose state is differentiated by.
        stop: the step whose state is differentiated; T by default. start = stop gives the identity.

    Returns:
        A scaled (n, n) matrix, or a scaled scalar for a single neuron.

    Raises:
        TypeError, ValueError: not a trajectory; start or stop outside 0 ≤ start ≤ stop ≤ T.

    Rounding is that of the plain product in the trajectory's dtype, relative to Π‖J_i‖; the *small* singular
    values of a long product are lost in it, as in any explicit product.

    Reference: R. Pascanu, T. Mikolov, Y. Bengio, ICML 2013, equation 5.
    """
    return along(_product, trajectory, start, stop, of_matrices=True, backward=False, cut=False)


@lean(static_argnums=0)
def _products(static: Any, arrays: Any, states: Array, inputs: Any, inside: Array | None = None) -> Scaled:
    """Each pass keeps ∂x_stop/∂x_k, then steps back to k − 1; the one past k = 0 repeats a step and is dropped.

    So the scan writes all stop + 1 matrices itself: appending the identity afterwards would copy them all.
    """
    identity = _identity(states)
    if not states.shape[0]:
        return _shaped(jax.tree_util.tree_map(lambda leaf: leaf[None], identity), states)
    grow = functools.partial(_keep_and_grow_right, join(static, arrays))
    padded = jax.tree_util.tree_map(lambda leaf: jnp.concatenate([leaf[:1], leaf]), (states, inputs))
    if inside is not None:  # the pass at k takes the step before k, so that the mask is one later
        inside = jnp.concatenate([inside, inside[-1:]])
    return _shaped(scan(grow, identity, padded, inside, reverse=True)[1], states)


def jacobian_products(trajectory: Trajectory, *, stop: int | None = None) -> Scaled:
    """∂x_stop/∂x_k for every k = 0 … stop, in one reverse pass.

    Args:
        trajectory: one trajectory from ``rollout``.
        stop: the step that is differentiated; T by default.

    Returns:
        Scaled matrices, shape (stop+1, n, n), index k; scaled scalars (stop+1,) for a single neuron. Memory
        O(T n²): where only sizes are wanted, ``gradient_norms`` needs O(T n + n²).

    Raises:
        TypeError, ValueError: not a trajectory; stop outside 0 … T.

    Reference: R. Pascanu, T. Mikolov, Y. Bengio, ICML 2013, equation 5.
    """
    return along(_products, trajectory, 0, stop, of_matrices=True, keeps_matrices=True)


def _grow_right_and_measure_some(cell: Any, ord: Any, product: Scaled, step: tuple) -> tuple[Scaled, Array]:
    """The norm where it is asked for; under ``vmap`` too, as the mask belongs to the lags, not to the batch."""
    states, inputs, wanted = step
    product = _grow_right(cell, product, (states, inputs))
    nothing = jnp.full((), jnp.nan, product.dtype)
    return product, jax.lax.cond(wanted, lambda: product.norm(ord).log(), lambda: nothing)


@lean(static_argnums=(0, 5))
def _norms(
    static: Any,
    arrays: Any,
    states: Array,
    inputs: Any,
    lags: Any,
    ord: Any,
    inside: Array | None = None,
) -> Array:
    cell, identity = join(static, arrays), _identity(states)
    if lags is None:
        grow = functools.partial(_grow_right_and_measure, cell, ord)
        _, logs = scan(grow, identity, (states, inputs), inside, reverse=True)
    else:
        ahead = states.shape[0] - jnp.arange(states.shape[0], dtype=lags.dtype)
        wanted = (ahead[:, None] == lags[None, :]).any(axis=1)
        grow = functools.partial(_grow_right_and_measure_some, cell, ord)
        _, logs = scan(grow, identity, (states, inputs, wanted), inside, reverse=True)
    return jnp.concatenate([logs, identity.norm(ord).log()[None]])


def gradient_norms(trajectory: Any, *, ord: int | str = 2, stop: int | None = None, lags: Any = None) -> Any:
    """ln‖∂x_stop/∂x_k‖ for every k = 0 … stop, without keeping the matrices: memory O(T n + n²).

    Args:
        trajectory: from ``rollout``; of ``Trajectories``, runs of any lengths, the result is a list, one for each.
        ord: 2, the spectral norm, or "fro", the Frobenius norm √(Σ σ_i²).
        stop: the step whose gradient is measured; T by default.
        lags: lags n = stop − k at which alone the norm is taken, shape (m,), integers from 0 to stop: a spectral
            norm costs far more than a step.

    Returns:
        Natural logarithms, shape (stop+1,), index k, or as the lags are given; −inf where the product is exactly
        zero, which a slope that underflows makes it (σ′ past |z| = 708, tanh′ past 354; 87 and 43 in float32).

    Raises:
        TypeError, ValueError: not a trajectory; stop outside 0 … T; another norm; a lag outside 0 … stop.

    Rounding is relative to the largest singular value of the product so far; where earlier steps remove
    exactly the directions that dominated it, what is left is lost in that rounding, or 0.

    References: Y. Bengio, P. Simard, P. Frasconi, IEEE Trans. Neural Networks 5, 157 (1994); R. Pascanu,
    T. Mikolov, Y. Bengio, ICML 2013, equation 5.
    """
    ord = choice("ord", ord, [2, "fro"])
    if isinstance(trajectory, Trajectories):
        return [gradient_norms(run, ord=ord, stop=stop, lags=lags) for run in trajectory]
    if lags is None:
        return along(_norms, trajectory, 0, stop, None, ord, of_matrices=True)
    last = step_range(trajectory, 0, stop)[1]
    asked = integers("lags", lags, minimum=0, maximum=last)
    found = along(_norms, trajectory, 0, stop, jnp.asarray(asked), ord, of_matrices=True)
    if is_plain([found]):  # chosen on the host, which compiles nothing
        return jax.device_put(np.asarray(found)[last - asked])
    return found[last - asked]


def state_vector(name: str, value: Any, trajectory: Trajectory) -> Scaled:
    """A state-shaped vector as a Scaled vector (a neuron's scalar as a vector of length 1)."""
    if isinstance(value, Scaled):
        if value.unit.shape != trajectory.states.shape[1:]:
            raise ValueError(f"{name}: expected shape {trajectory.states.shape[1:]}, got {value.unit.shape}")
        if value.exponent.shape:
            raise ValueError(f"{name}: expected one exponent, got exponents of shape {value.exponent.shape}")
        vector = Scaled(value.unit.reshape(-1), value.exponent, 1).normalize()
    else:
        array = real_array(name, value, shape=trajectory.states.shape[1:])
        vector = from_float(array.reshape(-1), event_ndim=1)
    unit = vector.unit.astype(trajectory.states.dtype)  # once scaled: 1e300 fits a float32 unit
    return Scaled(unit, vector.exponent, 1).normalize()


def reverse_step(cell: Any, cotangent: Scaled, step: tuple) -> tuple[Scaled, Scaled]:
    """J_{t+1}ᵀ · cotangent, as a scan's carry and output."""
    x, u = step
    _, pull = jax.vjp(lambda state: cell(state, u), x)
    (pulled,) = pull(cotangent.unit.reshape(x.shape))
    cotangent = Scaled(pulled.reshape(-1), cotangent.exponent, 1).normalize()
    return cotangent, cotangent


def _forward_step(cell: Any, tangent: Scaled, step: tuple) -> tuple[Scaled, Scaled]:
    x, u = step
    _, pushed = jax.jvp(lambda state: cell(state, u), (x,), (tangent.unit.reshape(x.shape),))
    tangent = Scaled(pushed.reshape(-1), tangent.exponent, 1).normalize()
    return tangent, tangent


def _vector_result(vectors: Scaled, states: Array) -> Scaled:
    return vectors if states.ndim > 1 else Scaled(vectors.unit[..., 0], vectors.exponent)


@lean(static_argnums=0)
def _pullback(
    static: Any, arrays: Any, states: Array, inputs: Any, last: Scaled, inside: Array | None = None
) -> Scaled:
    step = functools.partial(reverse_step, exact_slopes(join(static, arrays)))
    _, earlier = scan(step, last, (states, inputs), inside, reverse=True)
    both = jax.tree_util.tree_map(lambda a, b: jnp.concatenate([a, b[None]]), earlier, last)
    return _vector_result(both, states)


def pullback(trajectory: Trajectory, cotangent: Any, *, stop: int | None = None) -> Scaled:
    """(∂x_stop/∂x_k)ᵀ · cotangent for every k = 0 … stop: the gradient of ⟨cotangent, x_stop⟩ at each state.

    Args:
        trajectory: from ``rollout``.
        cotangent: shape of one state, e.g. ∂E/∂x_stop; floats or a ``Scaled`` vector.
        stop: T by default.

    Returns:
        Scaled vectors, shape (stop+1, n), index k; O(n²) work a step.

    Raises:
        TypeError, ValueError: not a trajectory; a cotangent of another shape; stop outside 0 … T.

    Reference: A. Griewank, A. Walther, "Evaluating Derivatives", SIAM 2008, chapter 3.
    """
    step_range(trajectory, 0, stop)
    return along(_pullback, trajectory, 0, stop, state_vector("cotangent", cotangent, trajectory))


@lean(static_argnums=0)
def _pushforward(
    static: Any, arrays: Any, states: Array, inputs: Any, first: Scaled, inside: Array | None = None
) -> Scaled:
    step = functools.partial(_forward_step, exact_slopes(join(static, arrays)))
    _, later = scan(step, first, (states, inputs), inside)
    both = jax.tree_util.tree_map(lambda a, b: jnp.concatenate([a[None], b]), first, later)
    return _vector_result(both, states)


def pushforward(trajectory: Trajectory, tangent: Any, *, start: int = 0) -> Scaled:
    """(∂x_k/∂x_start) · tangent for every k = start … T: what a small change of x_start becomes.

    Args:
        trajectory: from ``rollout``.
        tangent: shape of one state; floats or a ``Scaled`` vector.
        start: the step whose state is changed.

    Returns:
        Scaled vectors, shape (T−start+1, n), index k−start; O(n²) work a step.

    Raises:
        TypeError, ValueError: not a trajectory; a tangent of another shape; start outside 0 … T.

    Reference: A. Griewank, A. Walther, "Evaluating Derivatives", SIAM 2008, chapter 3.
    """
    step_range(trajectory, start, None)
    tangent = state_vector("tangent", tangent, trajectory)
    return along(_pushforward, trajectory, start, None, tangent, backward=False)


def _collect(static: Any, arrays: Any, carry: tuple[Scaled, Scaled], step: tuple) -> tuple[tuple, None]:
    cotangent, total = carry
    x, u = step
    share = immediate_gradient(static, arrays, x, u, cotangent.unit)
    total = add(total, Scaled(share, cotangent.exponent, 1).normalize())
    cotangent, _ = reverse_step(exact_slopes(join(static, arrays)), cotangent, step)
    return (cotangent, total), None


@lean(static_argnums=0)
def _parameter_gradient(
    static: Any, arrays: Any, states: Array, inputs: Any, last: Scaled, inside: Array | None = None
) -> Any:
    zero = Scaled(jnp.zeros(parameter_count(arrays), last.dtype), jnp.zeros((), jnp.int32), 1)
    step = functools.partial(_collect, static, arrays)
    (_, total), _ = scan(step, (last, zero), (states, inputs), inside, reverse=True)
    return unflatten_parameters(static, arrays, total)


def parameter_gradient(trajectory: Trajectory, cotangent: Any, *, stop: int | None = None) -> Any:
    """∂⟨cotangent, x_stop⟩/∂θ = Σ_k (∂⁺x_k/∂θ)ᵀ (∂x_stop/∂x_k)ᵀ cotangent, exact and never out of range.

    ∂⁺ is the immediate derivative, x_{k−1} held constant. Use ``jax.vmap`` over the rows of the identity for
    the whole ∂x_stop/∂θ.

    Args:
        trajectory: from ``rollout``; its cell's floating arrays are the parameters θ.
        cotangent: shape of one state.
        stop: T by default.

    Returns:
        A pytree shaped like the cell, each parameter's array replaced by ``Scaled`` scalars of its shape.

    Raises:
        TypeError, ValueError: not a trajectory; a cotangent of another shape; stop outside 0 … T; a cell
            without parameters.

    Reference: P. Werbos, "Backpropagation through time", Proceedings of the IEEE 78, 1550 (1990).
    """
    step_range(trajectory, 0, stop)
    last = state_vector("cotangent", cotangent, trajectory)
    parameter_count(split(trajectory.cell)[1])
    return along(_parameter_gradient, trajectory, 0, stop, last, cut=False)
