"""Spiking neurons: leaky integrate-and-fire by decay factors, and by Euler steps of a membrane and a current.

The step that makes a spike has the derivative 0 wherever it has one, so that ∂x_T/∂x_0 of such a map is that of
the leak and of the reset alone. With ``activations.spike("atan", 2.0)`` or another surrogate a cell has the same
values, and the pseudo-derivative by which a framework trains: what its automatic differentiation gives.
"""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnn_dynamics.cells import activations
from rnn_dynamics.cells.activations import Activation
from rnn_dynamics.cells.pytree import cell_type, set_fields
from rnn_dynamics.cells.vanilla import dot, drive, weights
from rnn_dynamics.numerics.validation import choice, flag, positive, real_array, real_arrays, shape_of

_RESETS = ("subtract", "zero", "zero_before", "none")


def _of_units(n: int, dtype: Any, **given: Any) -> dict[str, Array]:
    """One number a unit of each argument, of which one number stands for all."""
    found = {}
    for name, value in given.items():
        array = real_array(name, value)
        if array.ndim != 0:
            real_array(name, value, shape=(n,))
        found[name] = jnp.broadcast_to(jnp.asarray(array, dtype), (n,))
    return found


def _spike(value: Any) -> Activation:
    return activations.spike() if value is None else activations.get(value, argument="spike")


class _Parts:
    """A cell whose state has stretches of n entries."""

    b: Any

    @property
    def units(self) -> int:
        """The number of neurons, n."""
        return self.b.shape[0]

    @property
    def _names(self) -> tuple[str, ...]:
        raise NotImplementedError

    @property
    def parts(self) -> dict[str, slice]:
        """Where the spikes ("hidden"), potentials and currents lie in the flat state."""
        n = self.units
        return {name: slice(i * n, (i + 1) * n) for i, name in enumerate(self._names)}

    def split(self, x: Float[Array, "... n"]) -> dict[str, Float[Array, "... m"]]:
        """The parts of a state, or of states, by name."""
        return {name: x[..., part] for name, part in self.parts.items()}


@cell_type(static=("reset", "delayed", "spike"))
class SpikingLeaky(_Parts):
    """Leaky integrate-and-fire neurons by decay factors: v⁺ = β v + a − r θ, a = W s + W_in u + b, r = H(v − θ).

    s⁺ = H(v⁺ − θ) is a neuron's spike. With ``synapse`` α there is a current before the potential: i⁺ = α i + a,
    v⁺ = β v + i⁺ − r θ. The reset r of a step, which the surrogate does not pass, is "subtract" as above; "zero",
    v⁺ = (1 − r)(β v + …); "zero_before", v⁺ = β (1 − r) v + …, where the input of the step stays; or "none".

    Not ``delayed``, a neuron that fires in a step is reset in the same: s⁺ − r in the place of r, once v⁺ is known.

    Args:
        W: weights from spikes, shape (n, n), or ``None`` for neurons without them. With them the state begins with
            s, its part "hidden", which a layer above takes.
        b: bias of the current, shape (n,).
        W_in: input weights, shape (n, inputs), or ``None``.
        decay: β, one number or shape (n,).
        threshold: θ, likewise.
        synapse: α, likewise, or ``None``.
        reset: "subtract", "zero", "zero_before" or "none".
        delayed: whether the reset comes a step after the spike.
        spike: H; the step with its own derivative by default, or ``activations.spike(kind, slope)``.

    Raises:
        TypeError, ValueError: shapes that do not fit, values that are not finite, another reset.

    Reference: J. Eshraghian et al., Proceedings of the IEEE 111, 2023, arXiv 2109.12894.
    """

    longer_memory: ClassVar[str] = "a decay closer to 1"

    W: Float[Array, "n n"] | None
    b: Float[Array, " n"]
    W_in: Float[Array, "n m"] | None
    decay: Float[Array, " n"]
    threshold: Float[Array, " n"]
    synapse: Float[Array, " n"] | None
    reset: str
    delayed: bool
    spike: Activation

    def __init__(
        self,
        W: Any,
        b: Any,
        W_in: Any = None,
        decay: Any = 0.9,
        threshold: Any = 1.0,
        synapse: Any = None,
        *,
        reset: str = "subtract",
        delayed: bool = True,
        spike: Any = None,
    ) -> None:
        fields = _weights(W, b, W_in)
        n, dtype = fields["b"].shape[0], fields["b"].dtype
        given = {"decay": decay, "threshold": threshold} | ({} if synapse is None else {"synapse": synapse})
        set_fields(
            self,
            **fields,
            **({"synapse": None} | _of_units(n, dtype, **given)),
            reset=choice("reset", reset, _RESETS),
            delayed=flag("delayed", delayed),
            spike=_spike(spike),
        )

    @property
    def _names(self) -> tuple[str, ...]:
        spikes = () if self.W is None else ("hidden",)
        return (*spikes, "potential") if self.synapse is None else (*spikes, "current", "potential")

    def __call__(self, x: Float[Array, " k*n"], u: Any = None) -> Float[Array, " k*n"]:
        state = self.split(x)
        given = drive(self.b, self.W_in, u)
        if self.W is not None:
            given = given + dot(self.W, state["hidden"])
        v = state["potential"]
        r = jax.lax.stop_gradient(self.spike(v - self.threshold))
        if self.synapse is not None:
            given = self.synapse * state["current"] + given
        kept = (1 - r) * v if self.reset == "zero_before" else v
        later = self.decay * kept + given
        if self.reset == "subtract":
            later = later - r * self.threshold
        if self.reset == "zero":
            later = (1 - r) * later
        s = self.spike(later - self.threshold)
        if not self.delayed and self.reset != "none":
            later = later - (s - r) * (self.threshold if self.reset == "subtract" else later)
        found = {"hidden": s, "current": given, "potential": later}
        return jnp.concatenate([found[name] for name in self._names])


def _weights(W: Any, b: Any, W_in: Any) -> dict[str, Any]:
    if W is not None:
        return weights(W, b, W_in)
    n = shape_of("b", b, ndim=1)[0]
    given = {"b": b} | ({} if W_in is None else {"W_in": W_in})
    if W_in is not None:
        shape_of("W_in", W_in, shape=(n, None))
    return {"W": None, "W_in": None} | dict(zip(given, real_arrays(**given), strict=True))


@cell_type(static=("adapts", "detached", "dt", "spike"))
class SpikingLIF(_Parts):
    """Leaky integrate-and-fire neurons by Euler steps of a potential v and a current i, state [s, v, i].

    j = i + W_in u + W s + b; v̂ = v + dt (v_leak − v + j)/τ_m; i⁺ = (1 − dt/τ_s) j; s⁺ = H(v̂ − θ);
    v⁺ = (1 − s⁺) v̂ + s⁺ v_reset.

    With adaptation, state [s, v, i, θ]: v̂ = v + dt (v_leak − v + i)/τ_m, i⁺ = (1 − dt/τ_s) i + W_in u + W s + b,
    θ̂ = θ + dt (θ_0 − θ)/τ_a, s⁺ = H(v̂ − θ̂), θ⁺ = θ̂ + jump s⁺.

    Args:
        W: weights from spikes, shape (n, n), or ``None`` for neurons without them, whose state has no s.
        b: bias of the current, shape (n,).
        W_in: input weights, shape (n, inputs), or ``None``.
        membrane, synapse: 1/τ_m and 1/τ_s, one number or shape (n,).
        leak, threshold, reset: v_leak, θ (of adapting neurons θ_0) and v_reset, likewise.
        adaptation: 1/τ_a, likewise.
        jump: of the threshold after a spike, likewise.
        adapts: whether the threshold adapts.
        detached: whether a surrogate does not pass the reset, as norse has it where W is given.
        dt: the time of one step, > 0.
        spike: H; the step with its own derivative by default, or ``activations.spike(kind, slope)``.

    Raises:
        TypeError, ValueError: shapes that do not fit, values that are not finite, dt ≤ 0.

    References: C. Pehle, J. Pedersen, Norse, 2021; G. Bellec et al., NeurIPS 2018, arXiv 1803.09574 (adaptation).
    """

    longer_memory: ClassVar[str] = "a smaller membrane, synapse or adaptation rate"

    W: Float[Array, "n n"] | None
    b: Float[Array, " n"]
    W_in: Float[Array, "n m"] | None
    membrane: Float[Array, " n"]
    synapse: Float[Array, " n"]
    leak: Float[Array, " n"]
    threshold: Float[Array, " n"]
    reset: Float[Array, " n"]
    adaptation: Float[Array, " n"]
    jump: Float[Array, " n"]
    adapts: bool
    detached: bool
    dt: float
    spike: Activation

    def __init__(
        self,
        W: Any,
        b: Any,
        W_in: Any = None,
        membrane: Any = 100.0,
        synapse: Any = 200.0,
        leak: Any = 0.0,
        threshold: Any = 1.0,
        reset: Any = 0.0,
        adaptation: Any = 1 / 800,
        jump: Any = 1.8,
        *,
        adapts: bool = False,
        detached: bool = True,
        dt: float = 0.001,
        spike: Any = None,
    ) -> None:
        fields = _weights(W, b, W_in)
        n, dtype = fields["b"].shape[0], fields["b"].dtype
        rates = {"membrane": membrane, "synapse": synapse, "adaptation": adaptation, "jump": jump}
        given = rates | {"leak": leak, "threshold": threshold, "reset": reset}
        set_fields(
            self,
            **fields,
            **_of_units(n, dtype, **given),
            adapts=flag("adapts", adapts),
            detached=flag("detached", detached),
            dt=positive("dt", dt),
            spike=_spike(spike),
        )

    @property
    def _names(self) -> tuple[str, ...]:
        spikes = () if self.W is None else ("hidden",)
        return (*spikes, "potential", "current", *(("threshold",) if self.adapts else ()))

    def __call__(self, x: Float[Array, " k*n"], u: Any = None) -> Float[Array, " k*n"]:
        state = self.split(x)
        given = drive(self.b, self.W_in, u)
        if self.W is not None:
            given = given + dot(self.W, state["hidden"])
        v, i = state["potential"], state["current"]
        j = i if self.adapts else i + given
        ahead = v + self.dt * self.membrane * (self.leak - v + j)
        current = j - self.dt * self.synapse * j
        threshold = self.threshold
        if self.adapts:
            current = current + given
            threshold = state["threshold"] + self.dt * self.adaptation * (threshold - state["threshold"])
        s = self.spike(ahead - threshold)
        passed = jax.lax.stop_gradient(s) if self.detached else s
        found = {
            "hidden": s,
            "potential": (1 - passed) * ahead + passed * self.reset,
            "current": current,
            "threshold": threshold + passed * self.jump,
        }
        return jnp.concatenate([found[name] for name in self._names])
