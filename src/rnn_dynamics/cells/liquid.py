"""Networks in continuous time that step by a clock: closed-form (CfC) and liquid time-constant (LTC) cells.

Both take ``dt``, the time of one step. ``MixedMemory`` sets an LSTM before such a cell.
"""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnn_dynamics.cells import activations
from rnn_dynamics.cells.activations import Activation, sigmoid
from rnn_dynamics.cells.pytree import cell_type, set_fields
from rnn_dynamics.cells.stack import state_size
from rnn_dynamics.cells.vanilla import dot, drive
from rnn_dynamics.numerics.validation import choice, count, positive, real_array, real_arrays, shape_of

_HEADS = {"default": 4, "no_gate": 4, "pure": 1}


def _checked(shapes: dict[str, tuple[Any, tuple[int | None, ...]]]) -> dict[str, Any]:
    """Arrays of one dtype, each of its shape; those that are ``None`` stay so."""
    given = {name: value for name, (value, _) in shapes.items() if value is not None}
    for name, value in given.items():
        shape_of(name, value, shape=shapes[name][1])
    arrays = dict(zip(given, real_arrays(**given), strict=True))
    return {name: arrays.get(name) for name in shapes}


@cell_type(static=("mode", "activation", "head", "dt"))
class CfC:
    """Closed-form continuous-time network: h⁺ = (1 − s) f + s g, with s = σ(a dt + b).

    The four heads have one z under them, [f, g, a, b] = W_k z + b_k, of which f and g go through ``head``:

    - without ``upper``, [f, g, a, b] = W h + W_in u + b, shape (4 n,);
    - else z = φ(W h + W_in u + b), each but the last of ``upper`` is one more layer z ← φ(W_l z + b_l), and the
      last one is the heads.

    Mode "no_gate": h⁺ = f + s g. Mode "pure" has one head, f as it is, and two vectors A and w_τ:
    h⁺ = A − A e^(−dt (|w_τ| + |f|)) f.

    At dt = 0 the map is not the identity, as a flow in continuous time would be.

    Args:
        W: weights from h, shape (4 n, n), of mode "pure" (n, n); with ``upper`` (k, n).
        b: bias, as many entries as W has rows.
        W_in: weights from u, shape (rows, inputs), or ``None``.
        upper: the layers above, pairs of weights and bias.
        pure: (A, w_τ), each of shape (n,), of mode "pure".
        mode: "default", "no_gate" or "pure".
        activation: φ of the layers; "lecun_tanh", 1.7159 tanh(0.666 z), or any other that ``ElmanRNN`` takes.
        head: of f and g, likewise; "tanh" as in the article, or "linear" as ncps has it in Keras.
        dt: the time of one step, > 0.

    Raises:
        TypeError, ValueError: shapes that do not fit, values that are not finite, another mode, an unknown
            activation, dt ≤ 0.

    Reference: R. Hasani et al., Nature Machine Intelligence 4, 2022, arXiv 2106.13898.
    """

    W: Float[Array, "4*n n"]
    b: Float[Array, " 4*n"]
    W_in: Float[Array, "4*n m"] | None
    upper: tuple[tuple[Array, Array], ...]
    pure: tuple[Array, Array] | None
    mode: str
    activation: Activation
    head: Activation
    dt: float

    def __init__(
        self,
        W: Any,
        b: Any,
        W_in: Any = None,
        *,
        upper: Any = (),
        pure: Any = None,
        mode: str = "default",
        activation: Any = "lecun_tanh",
        head: Any = "tanh",
        dt: float = 1.0,
    ) -> None:
        heads = _HEADS[choice("mode", mode, tuple(_HEADS))]
        if (pure is None) == (mode == "pure"):
            raise ValueError(f'pure: expected (A, w_τ) with mode "pure" and None else, got mode {mode!r}')
        rows, n = shape_of("W", W, ndim=2)
        fits: dict[str, tuple[Any, tuple[int | None, ...]]] = {
            "W": (W, (rows if upper else heads * n, n)),
            "b": (b, (rows,)),
            "W_in": (W_in, (rows, None)),
        }
        for i, pair in enumerate(upper):
            if not isinstance(pair, tuple | list) or len(pair) != 2:
                raise TypeError(f"upper[{i}]: expected a pair of weights and bias, got {type(pair).__name__}")
            is_last = i == len(upper) - 1
            above = heads * n if is_last else shape_of(f"upper[{i}][0]", pair[0], ndim=2)[0]
            fits |= {f"upper[{i}][0]": (pair[0], (above, rows)), f"upper[{i}][1]": (pair[1], (above,))}
            rows = above
        for name, value in zip(("pure[0]", "pure[1]"), pure or (), strict=False):
            fits[name] = (value, (n,))
        found = _checked(fits)
        set_fields(
            self,
            **{name: found[name] for name in ("W", "b", "W_in")},
            upper=tuple((found[f"upper[{i}][0]"], found[f"upper[{i}][1]"]) for i in range(len(upper))),
            pure=None if pure is None else (found["pure[0]"], found["pure[1]"]),
            mode=mode,
            activation=activations.get(activation),
            head=activations.get(head, argument="head"),
            dt=positive("dt", dt),
        )

    @property
    def units(self) -> int:
        """The number of units, n."""
        return self.W.shape[1]

    def _heads(self, h: Float[Array, " n"], u: Any) -> Float[Array, "k n"]:
        z = dot(self.W, h) + drive(self.b, self.W_in, u)
        for weights, bias in self.upper:
            z = dot(weights, self.activation(z)) + bias
        return z.reshape(-1, self.units)

    def gates(self, x: Float[Array, " n"], u: Any = None) -> dict[str, Float[Array, " n"]]:
        """The gate s between the two heads, of the step from x; none of mode "pure"."""
        if self.mode == "pure":
            return {}
        _, _, a, b = self._heads(x, u)
        return {"time": sigmoid(a * self.dt + b)}

    def __call__(self, x: Float[Array, " n"], u: Any = None) -> Float[Array, " n"]:
        if self.pure is not None:
            (f,), (ceiling, rate) = self._heads(x, u), self.pure
            return ceiling - ceiling * jnp.exp(-self.dt * (jnp.abs(rate) + jnp.abs(f))) * f
        f, g, a, b = self._heads(x, u)
        f, g, s = self.head(f), self.head(g), sigmoid(a * self.dt + b)
        return (f if self.mode == "no_gate" else f * (1 - s)) + s * g


@cell_type(static=("unfolds", "epsilon", "dt"))
class LTC:
    """Liquid time-constant network: C v̇ = g (v_leak − v) + Σ_j s_ij (E_ij − v), by semi-implicit Euler steps.

    The synapse from j to i has the conductance s_ij = W_ij σ(K_ij v_j + k_ij), those of the inputs
    W_in,ij σ(K_in,ij u_j + k_in,ij). One step is ``unfolds`` times, with q = C unfolds/dt,

    v ← (q v + g v_leak + Σ s_ij E_ij) / (q + g + Σ s_ij + ε),

    the inputs' conductances held. The state is v.

    Args:
        W: conductances of the synapses, shape (n, n); 0 where there is none.
        gain, offset, reversal: K, k and E of each synapse, shape (n, n).
        W_in: conductances of the inputs' synapses, shape (n, inputs).
        gain_in, offset_in, reversal_in: likewise of the inputs, shape (n, inputs).
        capacity, conductance, rest: C, g and v_leak, shape (n,).
        unfolds: inner steps of one step.
        epsilon: ε ≥ 0, which keeps the denominator from 0.
        dt: the time of one step, > 0.

    Raises:
        TypeError, ValueError: shapes that do not fit, values that are not finite, no inner step, dt ≤ 0.

    Reference: R. Hasani, M. Lechner, A. Amini, D. Rus, R. Grosu, AAAI 2021, arXiv 2006.04439.
    """

    longer_memory: ClassVar[str] = "a larger capacity"

    W: Float[Array, "n n"]
    gain: Float[Array, "n n"]
    offset: Float[Array, "n n"]
    reversal: Float[Array, "n n"]
    W_in: Float[Array, "n m"]
    gain_in: Float[Array, "n m"]
    offset_in: Float[Array, "n m"]
    reversal_in: Float[Array, "n m"]
    capacity: Float[Array, " n"]
    conductance: Float[Array, " n"]
    rest: Float[Array, " n"]
    unfolds: int
    epsilon: float
    dt: float

    def __init__(
        self,
        W: Any,
        gain: Any,
        offset: Any,
        reversal: Any,
        W_in: Any,
        gain_in: Any,
        offset_in: Any,
        reversal_in: Any,
        capacity: Any,
        conductance: Any,
        rest: Any,
        *,
        unfolds: int = 6,
        epsilon: float = 1e-8,
        dt: float = 1.0,
    ) -> None:
        n = shape_of("W", W, ndim=2)[0]
        m = shape_of("W_in", W_in, ndim=2)[1]
        inner = {"W": W, "gain": gain, "offset": offset, "reversal": reversal}
        outer = {"W_in": W_in, "gain_in": gain_in, "offset_in": offset_in, "reversal_in": reversal_in}
        units = {"capacity": capacity, "conductance": conductance, "rest": rest}
        fits: dict[str, tuple[Any, tuple[int | None, ...]]] = {}
        for arrays, shape in ((inner, (n, n)), (outer, (n, m)), (units, (n,))):
            fits |= {name: (value, shape) for name, value in arrays.items()}
        set_fields(
            self,
            **_checked(fits),
            unfolds=count("unfolds", unfolds, minimum=1),
            epsilon=float(real_array("epsilon", epsilon, ndim=0)),
            dt=positive("dt", dt),
        )

    def __call__(self, x: Float[Array, " n"], u: Any = None) -> Float[Array, " n"]:
        u = jnp.zeros(self.W_in.shape[1], self.W_in.dtype) if u is None else jnp.asarray(u, self.W_in.dtype)
        driven = self.W_in * sigmoid(self.gain_in * u[None] + self.offset_in)
        inflow = jnp.sum(driven * self.reversal_in, axis=1) + self.conductance * self.rest
        outflow = jnp.sum(driven, axis=1) + self.conductance
        inertia = self.capacity / (self.dt / self.unfolds)

        def advance(v: Array, _: None) -> tuple[Array, None]:
            synapses = self.W * sigmoid(self.gain * v[None] + self.offset)
            above = inertia * v + inflow + jnp.sum(synapses * self.reversal, axis=1)
            return above / (inertia + outflow + jnp.sum(synapses, axis=1) + self.epsilon), None

        return jax.lax.scan(advance, x, None, length=self.unfolds)[0]


@cell_type(static=("into",))
class MixedMemory:
    """An LSTM before a cell at each step, state [h, c]: (h′, c⁺) = LSTM([h, c], u), and h′ goes into the cell.

    Into its "state", h⁺ = network(h′, u), as in ncps' PyTorch flavour, or its "input", h⁺ = network(h, h′), as in
    that of Keras.

    Args:
        memory: the LSTM, or a cell whose state has two halves.
        network: a cell whose state is h.
        into: "state" or "input".

    Raises:
        TypeError, ValueError: no cells, states that do not fit, another ``into``.

    Reference: M. Lechner, R. Hasani, "Learning long-term dependencies in irregularly-sampled time series",
    arXiv 2006.04418.
    """

    memory: Any
    network: Any
    into: str

    def __init__(self, memory: Any, network: Any, *, into: str = "state") -> None:
        for name, value in (("memory", memory), ("network", network)):
            if not callable(value):
                raise TypeError(f"{name}: expected a callable cell(x, u), got {type(value).__name__}")
        n = state_size(network)
        if state_size(memory) != 2 * n:
            raise ValueError(
                f"memory: expected one with a state of {2 * n}, twice the network's, got {state_size(memory)}"
            )
        set_fields(self, memory=memory, network=network, into=choice("into", into, ("state", "input")))

    @property
    def W_in(self) -> Any:
        """The weights by which the memory takes the inputs."""
        return self.memory.W_in

    @property
    def parts(self) -> dict[str, slice]:
        """Where the hidden and the cell state lie in the flat state."""
        n = state_size(self.network)
        return {"hidden": slice(0, n), "cell": slice(n, 2 * n)}

    def split(self, x: Float[Array, "... n"]) -> dict[str, Float[Array, "... m"]]:
        """The parts of a state, or of states, by name."""
        return {name: x[..., part] for name, part in self.parts.items()}

    def gates(self, x: Float[Array, " 2*n"], u: Any = None) -> dict[str, Array]:
        """The gates of the memory."""
        return self.memory.gates(x, u)

    def carries(self, x: Float[Array, " 2*n"], u: Any = None) -> dict[str, Array]:
        """What the memory's units keep at fixed gates."""
        return self.memory.carries(x, u)

    def __call__(self, x: Float[Array, " 2*n"], u: Any = None) -> Float[Array, " 2*n"]:
        between = self.memory(x, u)
        n = state_size(self.network)
        taken = (between[:n], u) if self.into == "state" else (x[:n], between[:n])
        return jnp.concatenate([self.network(*taken), between[n:]])
