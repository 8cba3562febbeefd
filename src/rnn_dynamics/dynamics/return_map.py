"""The map that fixed points, cycles and their continuation are about: p steps of a cell under a repeated input.

F^p is the cell p times over, with one input held, with none, or with a periodic sequence u_0 … u_{q−1} repeated.
Its derivative is the product of the step Jacobians, formed inside one scan; states are vectors here, a single
neuron's of length 1.
"""

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnn_dynamics.cells.arguments import checked_step
from rnn_dynamics.cells.pytree import join, parameter_dtype, split
from rnn_dynamics.cells.saturation import exact_slopes
from rnn_dynamics.dynamics.phases import (
    Lengths,
    OnPhases,
    canonical,
    lengths_of,
    on_phases,
    wrapped,
)
from rnn_dynamics.gradients.one_step import step_matrix
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.validation import count

_HIGHEST = jax.lax.Precision.HIGHEST


def repeated(inputs: Any, steps: int) -> Any:
    """A sequence of inputs, leading axis q, repeated to ``steps`` of them; q divides ``steps``."""
    return jax.tree_util.tree_map(
        lambda leaf: jnp.tile(leaf, (steps // leaf.shape[0],) + (1,) * (leaf.ndim - 1)), inputs
    )


def iterate(
    cell: Any, x: Float[Array, "..."], inputs: Any, steps: int
) -> tuple[Float[Array, "..."], Float[Array, "steps ..."]]:
    """F^p(x) and the orbit x, F(x), …, F^{p−1}(x).

    Args:
        cell: the map.
        x: a state in the cell's own shape.
        inputs: leading axis ``steps``, or ``None``.
        steps: p ≥ 1.
    """
    step = exact_slopes(cell)
    if steps == 1:  # no loop: half the program
        held = jax.tree_util.tree_map(lambda leaf: leaf[0], inputs)
        return step(x, held), x[None]
    return jax.lax.scan(lambda state, u: (step(state, u), state), x, inputs, length=steps)


class IteratedMap(NamedTuple):
    """x ↦ F^p(x) on flat states, under inputs that repeat; p is traced, so that all periods are one program.

    Attributes:
        cell: the map.
        inputs: leading axis the length of a period of the input, or ``None``.
        steps: p, or as many as there are rows under ``vmap``.
        shape: of a state in the cell's own shape.
    """

    cell: Any
    inputs: Any
    steps: Any
    shape: tuple[int, ...]

    def _input(self, step: Any) -> Any:
        def at(leaf: Array) -> Array:
            return jax.lax.dynamic_index_in_dim(leaf, step % leaf.shape[0], keepdims=False)

        return jax.tree_util.tree_map(at, self.inputs)

    def __call__(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        step = exact_slopes(self.cell)

        def advance(t: Any, state: Array) -> Array:
            return step(state, self._input(t))

        return jax.lax.fori_loop(0, self.steps, advance, x.reshape(self.shape)).reshape(-1)

    def with_jacobian(self, x: Float[Array, " n"]) -> tuple[Float[Array, " n"], Float[Array, "n n"]]:
        step = exact_slopes(self.cell)

        def once(t: Any, state: Array) -> tuple[Array, Array]:
            u = self._input(t)
            return step(state, u), step_matrix(self.cell, state, u)

        def advance(t: Any, carry: tuple[Array, Array]) -> tuple[Array, Array]:
            state, jacobian = once(t, carry[0])
            return state, jnp.matmul(jacobian, carry[1], precision=_HIGHEST)

        # The first step outside the loop: a fixed point's Jacobian is no product.
        state, jacobian = jax.lax.fori_loop(1, self.steps, advance, once(0, x.reshape(self.shape)))
        return state.reshape(-1), jacobian


@lean(static_argnums=(0, 5))
def images(
    static: Any, arrays: Any, x: Float[Array, "batch n"], inputs: Any, steps: Any, shape: tuple[int, ...]
) -> Float[Array, "batch n"]:
    """Return F^p(x) of each state; one program serves all p."""
    return jax.vmap(IteratedMap(join(static, arrays), inputs, steps, shape))(x)


@lean(static_argnums=(0, 5))
def linearised(
    static: Any, arrays: Any, x: Float[Array, "batch n"], inputs: Any, steps: Any, shape: tuple[int, ...]
) -> tuple[Float[Array, "batch n"], Float[Array, "batch n n"]]:
    """Return F^p(x) and ∂F^p/∂x of each state; one program serves all p."""
    return jax.vmap(IteratedMap(join(static, arrays), inputs, steps, shape).with_jacobian)(x)


@lean(static_argnums=(0, 6))
def linearised_each(
    static: Any, arrays: Any, x: Array, periods: Array, inputs: Any, steps: Any, shape: tuple[int, ...]
) -> tuple[Float[Array, "batch n"], Float[Array, "batch n n"]]:
    """``linearised`` of states with periods of their own, each in multiples of ``steps``."""
    cell = join(static, arrays)

    def one(start: Array, period: Array) -> tuple[Array, Array]:
        return IteratedMap(cell, inputs, period * steps, shape).with_jacobian(start)

    return jax.vmap(one)(x, periods)


@lean(static_argnums=(0, 4, 5))
def curved(
    static: Any, arrays: Any, x: Float[Array, "batch n"], inputs: Any, steps: int, shape: tuple[int, ...]
) -> tuple[Float[Array, "batch n"], Float[Array, "batch n n"], Float[Array, "batch n n"]]:
    """Return F^p(x), ∂F^p/∂x, and Σ_i r_i ∂²F_i^p/∂x² with r = x − F^p(x), of each state."""
    cell = join(static, arrays)
    system, sequence = IteratedMap(cell, inputs, steps, shape), repeated(inputs, steps)

    def image_of(state: Array) -> Array:
        """F^p by a scan of known length, which reverse mode can go through."""
        return iterate(cell, state.reshape(shape), sequence, steps)[0].reshape(-1)

    def one(start: Array) -> tuple[Array, Array, Array]:
        image, jacobian = system.with_jacobian(start)
        rest = wrapped(start - image, lengths_of(cell))
        return image, jacobian, jax.jacfwd(lambda at: jax.vjp(image_of, at)[1](rest)[0])(start)

    return jax.vmap(one)(x)


@lean(static_argnums=(0, 4, 5))
def orbits(
    static: Any, arrays: Any, x: Float[Array, "batch n"], inputs: Any, steps: int, shape: tuple[int, ...]
) -> Float[Array, "batch steps n"]:
    """Return x, F(x), …, F^{p−1}(x) of each state."""
    cell = join(static, arrays)

    def one(start: Array) -> Array:
        return iterate(cell, start.reshape(shape), repeated(inputs, steps), steps)[1].reshape(steps, -1)

    return jax.vmap(one)(x)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ReturnMap:
    """x ↦ F^p(x; λ) of a family of cells, on vectors.

    Attributes:
        arrays: the arrays that the family holds.
        others: its last parameters, which stay what they are.
        inputs: leading axis ``steps``, or ``None``.
        static: the rest of the family.
        steps: p times the length of a periodic input.
        shape: of a state.
        cycle: the length of a periodic input, else 1.
        lengths: of the coordinates that are phases; ``None`` where none is.
    """

    arrays: Any
    others: tuple
    inputs: Any
    static: Any = dataclasses.field(metadata={"static": True})
    steps: int = dataclasses.field(metadata={"static": True})
    shape: tuple[int, ...] = dataclasses.field(metadata={"static": True})
    cycle: int = dataclasses.field(default=1, metadata={"static": True})
    lengths: Lengths | None = dataclasses.field(default=None, metadata={"static": True})

    @property
    def period(self) -> int:
        """The period, p."""
        return self.steps // self.cycle

    @property
    def size(self) -> int:
        """The length n of a state as a vector."""
        return math.prod(self.shape)

    def cell(self, *parameters: Array) -> Any:
        """Return the cell at λ."""
        cell = join(self.static, self.arrays)(*parameters, *self.others)
        return cell if self.lengths is None else OnPhases(cell, self.lengths)

    def excess(self, x: Any, image: Any) -> Any:
        """F^p(x) − x for the image F^p(x), of phases the shortest difference."""
        return wrapped(image - x, self.lengths)

    def __call__(self, x: Float[Array, " n"], *parameters: Array) -> Float[Array, " n"]:
        """Return F^p(x; λ)."""
        return self.orbit(x, *parameters)[0]

    def orbit(self, x: Float[Array, " n"], *parameters: Array) -> tuple[Array, Float[Array, "steps n"]]:
        """Return F^p(x; λ), and x, F(x), …, F^{p−1}(x)."""
        last, states = iterate(self.cell(*parameters), x.reshape(self.shape), self.inputs, self.steps)
        return last.reshape(-1), states.reshape(self.steps, -1)

    def iterated(self, steps: Any, *parameters: Array) -> IteratedMap:
        """Return F^steps at λ, for a traced number of steps."""
        return IteratedMap(self.cell(*parameters), self.inputs, steps, self.shape)

    def twice(self) -> "ReturnMap":
        """Return the map of the doubled period."""
        inputs = jax.tree_util.tree_map(lambda leaf: jnp.concatenate([leaf, leaf]), self.inputs)
        return dataclasses.replace(self, steps=2 * self.steps, inputs=inputs)


def return_map(
    family: Any,
    parameters: tuple,
    x: Any,
    *,
    period: Any,
    u: Any,
    others: tuple,
    inputs: Any = None,
    topology: Any = None,
    name: str = "x",
) -> tuple[ReturnMap, Float[Array, " n"]]:
    """The return map of a family, and x as a vector, checked against the cell at the given parameters.

    Under periodic inputs of length q it is F^{pq}. Phases of x are brought into [0, L). ``name`` is the caller's
    argument of x, for messages.

    Raises:
        TypeError: the family is not callable, or its value is not.
        ValueError: period < 1; a state that the cell does not map to its own shape; both u and inputs; no input.
    """
    if not callable(family):
        raise TypeError(
            f"family: expected a callable family(*parameters) -> cell, got {type(family).__name__}"
        )
    period = count("period", period, minimum=1)
    cell = family(*parameters, *others)
    if not callable(cell):
        raise TypeError(f"family: expected a cell from family(*parameters), got {type(cell).__name__}")
    state, inputs, cycle = checked_step(cell, x, u, inputs, name)
    steps = period * cycle
    static, arrays = split(family)
    dtype = parameter_dtype(cell)
    others = tuple(jnp.asarray(value, dtype) if isinstance(value, int | float) else value for value in others)
    sequence = None if inputs is None else repeated(inputs, steps)
    first = jax.tree_util.tree_map(lambda leaf: leaf[0], inputs)
    lengths = lengths_of(on_phases(cell, topology, state.reshape(1, -1), first, state.shape))
    whole = ReturnMap(arrays, others, sequence, static, steps, state.shape, cycle, lengths)
    return whole, canonical(state.reshape(-1), lengths)
