"""Cells that look at several past hidden vectors: an edge over s steps, attention over a window.

Such a network is no map of its hidden vector. It is one of the window of them, so that every routine takes it: the
state is the last s hidden vectors, the newest first. The derivative with respect to the newest one,
``parts["hidden"]``, is then the total derivative dE/dh_k, through all that looks back at h_k later.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from rnn_dynamics.cells import activations
from rnn_dynamics.cells.activations import Activation
from rnn_dynamics.cells.pytree import cell_type, set_fields
from rnn_dynamics.cells.vanilla import dot, drive, weights
from rnn_dynamics.numerics.validation import count, real_array


class _Past:
    """A state of ``span`` hidden vectors of n units each."""

    W: Any
    span: int

    @property
    def units(self) -> int:
        """The number of units, n."""
        return self.W.shape[0]

    @property
    def parts(self) -> dict[str, slice]:
        """Where the newest hidden vector and those before it lie in the state."""
        return {"hidden": slice(0, self.units), "past": slice(self.units, self.span * self.units)}

    def split(self, x: Float[Array, "... n"]) -> dict[str, Float[Array, "... m"]]:
        """The parts of a state, or of states, by name."""
        return {name: x[..., part] for name, part in self.parts.items()}

    def window(self, x: Float[Array, "... sn"]) -> Float[Array, "... s n"]:
        """The hidden vectors that a state, or states, hold, the newest first."""
        return x.reshape(*x.shape[:-1], self.span, self.units)


@cell_type(static=("activation", "span"))
class SkipRNN(_Past):
    """h_{t+1} = φ(W h_t + V h_{t+1−s} + W_in u + b): an edge over s steps beside that over one.

    The state holds the last s hidden vectors, the newest first: shape (s n,).

    Args:
        W, b, W_in, activation: as ``ElmanRNN``.
        V: weights of the edge over s steps, shape (n, n).
        skip: s ≥ 2.

    Raises:
        TypeError, ValueError: as ``ElmanRNN``; a V of another shape; s < 2.

    Reference: T. Lin, B. Horne, P. Tiňo, C. L. Giles, IEEE Transactions on Neural Networks 7, 1996.
    """

    W: Float[Array, "n n"]
    b: Float[Array, " n"]
    W_in: Float[Array, "n m"] | None
    V: Float[Array, "n n"]
    span: int
    activation: Activation

    def __init__(
        self, W: Any, V: Any, b: Any, W_in: Any = None, skip: int = 2, activation: Any = "tanh"
    ) -> None:
        fields = weights(W, b, W_in)
        W = fields["W"]
        V = real_array("V", V, shape=W.shape).astype(W.dtype)
        span = count("skip", skip, minimum=2)
        set_fields(self, **fields, V=V, span=span, activation=activations.get(activation))

    @property
    def skip(self) -> int:
        """How many steps the skip connection reaches back, s."""
        return self.span

    def __call__(self, x: Float[Array, " sn"], u: Any = None) -> Float[Array, " sn"]:
        n = self.units
        z = dot(self.W, x[:n]) + dot(self.V, x[-n:]) + drive(self.b, self.W_in, u)
        return jnp.concatenate([self.activation(z), x[:-n]])


@cell_type(static=("activation", "span"))
class AttentionRNN(_Past):
    """h_{t+1} = φ(W h_t + V c_t + W_in u + b), c_t = Σ_j α_j h_{t−j}, α the softmax over the window of
    e_j = pᵀ tanh(Q h_t + K h_{t−j}), j = 0 … s−1.

    The state holds the last s hidden vectors, the newest first: shape (s n,). Past ones that are exactly 0 are
    taken as not there yet and get no weight, so that a run from 0 attends to its own past alone; with s > T to all
    of it.

    Args:
        W, b, W_in, activation: as ``ElmanRNN``.
        V: weights of what is attended to, shape (n, n).
        query, key: Q and K, shape (a, n).
        score: p, shape (a,).
        span: s ≥ 1, how many hidden vectors are looked at.

    Raises:
        TypeError, ValueError: as ``ElmanRNN``; V, query, key or score of another shape; s < 1.

    References: D. Bahdanau, K. Cho, Y. Bengio, ICLR 2015, for the score; G. Kerg et al., NeurIPS 2020, for the
    cell, with V = W and the query from h_t + c_{t−1}.
    """

    W: Float[Array, "n n"]
    b: Float[Array, " n"]
    W_in: Float[Array, "n m"] | None
    V: Float[Array, "n n"]
    query: Float[Array, "a n"]
    key: Float[Array, "a n"]
    score: Float[Array, " a"]
    span: int
    activation: Activation

    def __init__(
        self,
        W: Any,
        V: Any,
        b: Any,
        W_in: Any = None,
        *,
        query: Any,
        key: Any,
        score: Any,
        span: int,
        activation: Any = "tanh",
    ) -> None:
        fields = weights(W, b, W_in)
        W = fields["W"]
        V = real_array("V", V, shape=W.shape).astype(W.dtype)
        query = real_array("query", query, shape=(None, W.shape[0])).astype(W.dtype)
        key = real_array("key", key, shape=query.shape).astype(W.dtype)
        score = real_array("score", score, shape=query.shape[:1]).astype(W.dtype)
        set_fields(
            self,
            **fields,
            V=V,
            query=query,
            key=key,
            score=score,
            span=count("span", span, minimum=1),
            activation=activations.get(activation),
        )

    def _there(self, past: Float[Array, "s n"]) -> Bool[Array, " s"]:
        """The newest is there always, an older one unless it is 0."""
        return (past != 0).any(axis=1) | (jnp.arange(self.span) == 0)

    def attention(self, x: Float[Array, " sn"], u: Any = None) -> Float[Array, " s"]:
        """α_j of the step from x, the newest first; 0 for what is not there yet."""
        past = self.window(x)
        asked = dot(past, self.key.T) + dot(self.query, past[0])[None]
        e = dot(activations.tanh(asked), self.score)
        return jax.nn.softmax(jnp.where(self._there(past), e, -jnp.inf))

    def __call__(self, x: Float[Array, " sn"], u: Any = None) -> Float[Array, " sn"]:
        past = self.window(x)
        attended = dot(self.attention(x, u), past)
        z = dot(self.W, past[0]) + dot(self.V, attended) + drive(self.b, self.W_in, u)
        return jnp.concatenate([self.activation(z), x[: (self.span - 1) * self.units]])
