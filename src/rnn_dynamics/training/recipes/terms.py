"""Terms beside the loss: Pascanu's Ω on the immediate gradient, gradient flossing, a penalty on activity."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnn_dynamics.dynamics.lyapunov.frames import first_frame, orthonormal
from rnn_dynamics.training.recipes.networks import Network, is_fast, masked, slope_of_output, step_of_batch

_HIGHEST = jax.lax.Precision.HIGHEST
_GONE = 1e-20  # of ‖∂E/∂x‖², below which a step is left out


class Pass(NamedTuple):
    """What one forward and backward pass of a batch leaves behind.

    Attributes:
        inputs: u_0 … u_{T−1}, time first.
        states: x_0 … x_T, time first.
        cotangents: ∂E/∂x_t, t = 1 … T, of each sequence's own loss; of an ``ElmanRNN`` ∂E/∂z_t, z the argument
            of φ. ``None`` while the loss itself is formed.
        masks: of the hidden vector as the recurrent weights saw it, one for each sequence; ``None`` without.
    """

    inputs: Float[Array, "steps batch width"]
    states: Float[Array, "steps+1 batch n"]
    cotangents: Float[Array, "steps batch n"] | None
    masks: Float[Array, "batch units"] | None = None


@dataclasses.dataclass(frozen=True)
class Term:
    """A number that is added to the loss, times a strength.

    Attributes:
        name: of its strength among the numbers of a recipe.
        function: of the network, the pass and the numbers.
        is_immediate: whether states and cotangents are held constant while it is differentiated.
        settings: names of the other numbers that it reads.
    """

    name: str
    function: Callable[[Network, Pass, Mapping[str, Array]], Array]
    is_immediate: bool = False
    settings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Term({self.name!r}, {self.function.__module__}.{self.function.__qualname__}, {self.is_immediate})"


def norm_ratios(network: Network, done: Pass) -> tuple[Float[Array, "steps-1 batch"], Array]:
    """‖(∂E/∂x_{k+1})(∂x_{k+1}/∂x_k)‖² / ‖∂E/∂x_{k+1}‖² for k = 1 … T−1, and which of them count.

    For an ``ElmanRNN`` x is z, the argument of φ, and ∂z_{k+1}/∂z_k = W diag φ′(z_k): the form of the paper, x⁺ =
    W φ(x) + W_in u + b, of which it is the other way of writing. Every other cell is taken with its own state.
    """
    assert done.cotangents is not None
    later, here = done.cotangents[1:], done.states[1:-1]
    if is_fast(network.cell):
        slopes = slope_of_output(network.cell.activation, here)
        assert slopes is not None
        earlier = jnp.matmul(later, network.cell.W, precision=_HIGHEST) * slopes
        earlier = earlier if done.masks is None else earlier * done.masks[None]
    else:
        step = step_of_batch(network.cell, done.masks)
        earlier = jax.vmap(lambda x, u, d: jax.vjp(lambda x: step(x, u), x)[1](d)[0])(
            here, done.inputs[1:], later
        )
    squares = jnp.sum(jnp.square(later), axis=-1)
    counts = squares > _GONE
    ratio = jnp.sum(jnp.square(earlier), axis=-1) / jnp.where(counts, squares, 1)
    return ratio, counts


def _sum_of(function: Callable[[Array], Array], network: Network, done: Pass) -> Array:
    """Σ_k of a function of the ratio, a mean over the batch."""
    ratio, counts = norm_ratios(network, done)
    kept = jnp.where(counts, ratio, 1)
    return jnp.sum(jnp.mean(jnp.where(counts, function(kept), 0), axis=1))


def omega(network: Network, done: Pass, numbers: Mapping[str, Array]) -> Array:
    """Ω = Σ_k (‖(∂E/∂x_{k+1})(∂x_{k+1}/∂x_k)‖/‖∂E/∂x_{k+1}‖ − 1)², steps whose ‖∂E/∂x‖² < 1e−20 left out.

    Only ∂x_{k+1}/∂x_k is differentiated, with the states and ∂E/∂x held: the immediate dependence on the weights.

    Reference: R. Pascanu, T. Mikolov, Y. Bengio, ICML 2013, section 3.3 (with norms; equation 10 squares them).
    """
    return _sum_of(lambda ratio: jnp.square(_root(ratio) - 1), network, done)


def omega_squared(network: Network, done: Pass, numbers: Mapping[str, Array]) -> Array:
    """Ω with squared norms, Σ_k (‖(∂E/∂x_{k+1})(∂x_{k+1}/∂x_k)‖²/‖∂E/∂x_{k+1}‖² − 1)², the paper's equation 10."""
    return _sum_of(lambda ratio: jnp.square(ratio - 1), network, done)


def _root(x: Array) -> Array:
    """Return √x, with derivative 0 at 0."""
    there = x > 0
    return jnp.where(there, jnp.sqrt(jnp.where(there, x, 1)), 0)


def activity(network: Network, done: Pass, numbers: Mapping[str, Array]) -> Array:
    """The mean of |h| over units, steps and sequences: sparse activity.

    Reference: X. Glorot, A. Bordes, Y. Bengio, AISTATS 2011.
    """
    return jnp.mean(jnp.abs(done.states[1:, :, : network.readout.shape[-1]]))


_EXPONENTS = 8


def flossing(network: Network, done: Pass, numbers: Mapping[str, Array]) -> Array:
    """mean_i (λ_i − λ*)² of the largest exponents of the first sequence's run, λ* = ``numbers["exponent"]``.

    The exponents come from the recursion J_t Q_t = Q_{t+1} R_{t+1}, λ_i = ⟨ln R_ii⟩, differentiated as it stands.

    Reference: R. Engelken, "Gradient flossing: improving gradient descent through dynamic control of Jacobians",
    NeurIPS 2023.
    """
    cell = network.cell if done.masks is None else masked(network.cell, done.masks[0])
    along, inputs = done.states[:-1, 0], done.inputs[:, 0]
    size = along.shape[-1]
    kept = min(_EXPONENTS, size)

    def step(frame: Array, at: tuple[Array, Array]) -> tuple[Array, Array]:
        x, u = at
        pushed = jax.vmap(lambda v: jax.jvp(lambda x: cell(x, u), (x,), (v,))[1], -1, -1)(frame)
        frame, triangle = orthonormal(pushed)
        return frame, jnp.log(jnp.maximum(jnp.abs(jnp.diagonal(triangle)), jnp.finfo(x.dtype).tiny))

    frame = first_frame(None, size, kept, along.dtype)
    logs = jax.lax.scan(step, frame, (along, inputs))[1]
    return jnp.mean(jnp.square(jnp.mean(logs, axis=0) - numbers["exponent"]))


def prediction(network: Network, done: Pass, numbers: Mapping[str, Array]) -> Array:
    """What a cell with a predictor of its own inputs, ``cell.prediction_loss``, gets wrong."""
    return jax.vmap(jax.vmap(network.cell.prediction_loss))(done.states[:-1], done.inputs).mean()
