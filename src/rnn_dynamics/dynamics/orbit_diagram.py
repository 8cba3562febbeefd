"""Asymptotic states against a parameter, followed upwards and downwards so that hysteresis shows."""

import dataclasses
import functools
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from rnn_dynamics.dynamics.phases import Lengths, canonical, warn_of_seams
from rnn_dynamics.dynamics.return_map import ReturnMap, return_map
from rnn_dynamics.numerics.reductions import all_finite
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.validation import count, real_array


@dataclasses.dataclass(frozen=True)
class OrbitDiagram(Result):
    """States after a transient, for each value of a parameter.

    Attributes:
        parameters: λ, ascending or as given, shape (m,).
        up: the last states for λ in the given order, each run from where the one before ended, shape (m, kept, n),
            or (m, kept) for a single neuron; not finite where the orbit left the floats.
        down: the same in the reversed order (the axis still runs with ``parameters``).
        transient: steps before the first kept state.
        lengths: of the coordinates that are phases; ``None`` where none is.
    """

    parameters: Float[np.ndarray, " m"]
    up: Float[np.ndarray, "m kept ..."]
    down: Float[np.ndarray, "m kept ..."]
    transient: int
    lengths: Lengths | None = None

    picture: ClassVar = "orbit_diagram"
    _axes: ClassVar = {"m": "parameter"}
    _coordinates: ClassVar = {"parameter": "parameters"}

    @property
    def diverged(self) -> Bool[np.ndarray, " m"]:
        """Marks where the orbit of either direction left the floats."""
        finite = np.isfinite(self.up) & np.isfinite(self.down)
        return np.logical_not(finite.reshape(len(self.parameters), -1).all(axis=1))

    def hysteresis(self, *, tolerance: float = 1e-3) -> Bool[np.ndarray, " m"]:
        """Where both directions end on states further apart than ``tolerance``: more than one attractor.

        Compared are the least and greatest kept values of each coordinate, so that the phase of a cycle does not
        count; near a fold an orbit that is still on its way counts too. The circle of a phase is cut where no
        state of either direction is for longest.
        """
        up, down = self.up, self.down
        if self.lengths is not None:
            up, down = _cut_open(up, down, self.lengths)
        gaps = [
            np.abs(extreme(up, axis=1) - extreme(down, axis=1)).reshape(len(self.parameters), -1)
            for extreme in (np.min, np.max)
        ]
        return np.max(np.concatenate(gaps, axis=1), axis=1) > tolerance

    def __repr__(self) -> str:
        low, high = float(self.parameters.min()), float(self.parameters.max())
        share = float(self.hysteresis().mean())
        return (
            f"OrbitDiagram({len(self.parameters)} parameters from {low:g} to {high:g}, {self.up.shape[1]} states "
            f"after {self.transient}, two attractors seen at {100 * share:.0f} %)"
        )


def _cut_open(up: np.ndarray, down: np.ndarray, lengths: Lengths) -> tuple[np.ndarray, np.ndarray]:
    """Both directions with each phase counted from behind the largest gap between the states of either."""
    shape, kept = up.shape, up.shape[1]
    both = np.concatenate([up.reshape(*shape[:2], -1), down.reshape(*shape[:2], -1)], axis=1)
    both = canonical(both, lengths)
    for i, length in enumerate(lengths):
        if length is not None:
            ordered = np.sort(both[..., i], axis=1)
            gaps = np.diff(ordered, axis=1, append=ordered[:, :1] + np.asarray(length, both.dtype))
            largest = np.argmax(np.nan_to_num(gaps), axis=1)[:, None]
            before = np.take_along_axis(ordered, largest, axis=1)
            # What lies up to the gap stands behind what lies beyond it.
            both[..., i] += np.where(both[..., i] <= before, np.asarray(length, both.dtype), 0)
    return both[:, :kept].reshape(shape), both[:, kept:].reshape(shape)


@functools.partial(jax.jit, static_argnums=(3, 4))
def _sweep(
    whole: ReturnMap, x: Array, parameters: Array, transient: int, kept: int
) -> Float[Array, "m kept n"]:
    """The kept states for the parameters one after the other; an orbit that diverged starts anew from x."""

    def one(state: Array, parameter: Array) -> tuple[Array, Array]:
        state = jnp.where(all_finite(state), state, x)
        state = jax.lax.fori_loop(0, transient, lambda _, s: whole(s, parameter), state)
        return jax.lax.scan(lambda s, _: (whole(s, parameter), s), state, None, length=kept)

    return jax.lax.scan(one, x, parameters)[1]


def orbit_diagram(
    family: Any,
    parameters: Any,
    x0: Any,
    *,
    transient: int = 500,
    kept: int = 100,
    u: Any = None,
    others: tuple = (),
    topology: Any = None,
) -> OrbitDiagram:
    """The states that an orbit settles on, against a parameter, followed in both directions.

    Each value of the parameter starts from the state that the one before ended in, so that an attractor is followed
    to where it ends; where the two directions differ there are two attractors.

    Args:
        family: ``family(p, *others) -> cell``.
        parameters: λ in the order of the upward sweep, shape (m,).
        x0: the first state.
        transient: steps that are not kept.
        kept: steps that are.
        u: an input that is held.
        others: further parameters of the family.
        topology: one entry for each coordinate, or one for all: the length L > 0 of a coordinate taken modulo L
            (2π, 1, 360), ``None`` for one on the line.

    Returns:
        ``OrbitDiagram``: the kept states of every parameter, upwards and downwards, shape (m, kept,
        *state) each.

    Raises:
        TypeError, ValueError: arguments that do not fit, no parameter, kept < 1.

    Reference: R. M. May, Nature 261, 459 (1976).
    """
    values = np.asarray(real_array("parameters", parameters, ndim=1))
    if not values.size:
        raise ValueError("parameters: expected at least one value")
    transient, kept = count("transient", transient), count("kept", kept, minimum=1)
    first = (jax.device_put(np.asarray(values[0])),)
    whole, state = return_map(family, first, x0, period=1, u=u, others=others, topology=topology, name="x0")
    values = values.astype(state.dtype)
    if topology is None:
        held = jax.tree_util.tree_map(lambda leaf: leaf[0], whole.inputs)
        row = np.asarray(state)[None]
        warn_of_seams(whole.cell(first[0]), row, row[:0], held, whole.shape)
    shape = (len(values), kept, *whole.shape)
    up = np.asarray(_sweep(whole, state, jnp.asarray(values), transient, kept)).reshape(shape)
    last = up[-1, -1].reshape(-1)
    start = last if np.isfinite(last).all() else state
    down = np.asarray(_sweep(whole, start, jnp.asarray(values[::-1]), transient, kept))[::-1].reshape(shape)
    return OrbitDiagram(values, up, down, transient, whole.lengths)
