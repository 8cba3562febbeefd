"""The Legendre memory unit: a linear memory of the last θ steps, and a cell that reads it."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rnn_dynamics.cells.pytree import cell_type, set_fields
from rnn_dynamics.cells.stack import state_size
from rnn_dynamics.cells.vanilla import dot, drive
from rnn_dynamics.numerics.validation import choice, count, flag, positive, real_arrays, shape_of


@cell_type(static=("reads_inputs",))
class LMU:
    """Legendre memory unit, state [m, h]: M⁺ = M Aᵀ + v Bᵀ, h⁺ = hidden(h, m⁺).

    v = W_in u + W_hidden h + W_memory m + b has d entries, each with a row of M, of q coefficients; m is M row by
    row. Of an LSTM W_hidden reads its part "hidden". Without ``hidden`` the state is m alone, a linear map.

    Args:
        A: of one step of the memory, shape (q, q); ``LMU.memory`` gives A and B of Legendre polynomials.
        B: likewise, shape (q,).
        W_in: input weights, shape (d, inputs).
        b: bias, shape (d,).
        W_hidden: weights from what ``hidden`` puts out, shape (d, n), or ``None``.
        W_memory: weights from m, shape (d, d q), or ``None``.
        hidden: a cell whose input is m⁺, or ``None``.
        reads_inputs: whether that cell's input is [m⁺, u].

    Raises:
        TypeError, ValueError: shapes that do not fit, values that are not finite, weights from a hidden cell where
            there is none.

    Reference: A. Voelker, I. Kajić, C. Eliasmith, NeurIPS 2019.
    """

    A: Float[Array, "k k"]
    B: Float[Array, " k"]
    W_in: Float[Array, "n m"]
    b: Float[Array, " n"]
    W_hidden: Any
    W_memory: Any
    hidden: Any
    reads_inputs: bool

    def __init__(
        self,
        A: Any,
        B: Any,
        W_in: Any,
        b: Any,
        W_hidden: Any = None,
        W_memory: Any = None,
        *,
        hidden: Any = None,
        reads_inputs: bool = False,
    ) -> None:
        q, d = shape_of("A", A, ndim=2)[0], shape_of("b", b, ndim=1)[0]
        given = {"A": (A, (q, q)), "B": (B, (q,)), "W_in": (W_in, (d, None)), "b": (b, (d,))}
        if hidden is not None and not callable(hidden):
            raise TypeError(f"hidden: expected a callable cell(x, u), got {type(hidden).__name__}")
        if W_hidden is not None:
            if hidden is None:
                raise ValueError("W_hidden: expected None without a hidden cell, got an array")
            given["W_hidden"] = (W_hidden, (d, _width(hidden)))
        if W_memory is not None:
            given["W_memory"] = (W_memory, (d, d * q))
        for name, (value, shape) in given.items():
            shape_of(name, value, shape=shape)
        arrays = real_arrays(**{name: value for name, (value, _) in given.items()})
        fields: dict[str, Any] = {"W_hidden": None, "W_memory": None} | dict(zip(given, arrays, strict=True))
        set_fields(self, **fields, hidden=hidden, reads_inputs=flag("reads_inputs", reads_inputs))

    @staticmethod
    def memory(order: int, theta: float, *, method: str = "zoh") -> tuple[np.ndarray, np.ndarray]:
        """A and B of one step, of θ ṁ = A m + B u with A_ij = (2i+1)(−1 if i < j else (−1)^(i−j+1)).

        Args:
            order: q, the number of coefficients.
            theta: θ, the length of the memory in steps, > 0.
            method: "zoh", exact for inputs that are held through the step, or "euler", I + A/θ and B/θ.

        Returns:
            A, shape (q, q), and B, shape (q,), in float64.

        Raises:
            TypeError, ValueError: no order, θ ≤ 0, another method.
        """
        q, theta = count("order", order, minimum=1), positive("theta", theta)
        choice("method", method, ("zoh", "euler"))
        i, j = np.arange(q)[:, None], np.arange(q)[None]
        A = np.where(i < j, -1.0, (-1.0) ** (i - j + 1)) * (2 * i + 1) / theta
        B = (-1.0) ** i * (2 * i + 1) / theta
        if method == "euler":
            return np.eye(q) + A, B[:, 0]
        import scipy.linalg

        both = scipy.linalg.expm(np.block([[A, B], [np.zeros((1, q + 1))]]))
        return both[:q, :q], both[:q, q]

    @property
    def parts(self) -> dict[str, slice]:
        """Where the memory and the parts of the hidden cell's state lie in the flat state."""
        size = self.b.shape[0] * self.B.shape[0]
        found = {"memory": slice(0, size)}
        if self.hidden is not None:
            inner = getattr(self.hidden, "parts", None) or {"hidden": slice(0, state_size(self.hidden))}
            found |= {name: slice(size + part.start, size + part.stop) for name, part in inner.items()}
        return found

    def split(self, x: Float[Array, "... n"]) -> dict[str, Float[Array, "... m"]]:
        """The parts of a state, or of states, by name."""
        return {name: x[..., part] for name, part in self.parts.items()}

    def __call__(self, x: Float[Array, " n"], u: Any = None) -> Float[Array, " n"]:
        d, q = self.b.shape[0], self.B.shape[0]
        m, h = x[: d * q], x[d * q :]
        v = drive(self.b, self.W_in, u)
        if self.W_hidden is not None:
            v = v + dot(self.W_hidden, h[: self.W_hidden.shape[1]])
        if self.W_memory is not None:
            v = v + dot(self.W_memory, m)
        later = (dot(m.reshape(d, q), self.A.T) + v[:, None] * self.B[None]).reshape(-1)
        if self.hidden is None:
            return later
        given = later
        if self.reads_inputs:
            u = jnp.zeros(self.W_in.shape[1], later.dtype) if u is None else jnp.asarray(u, later.dtype)
            given = jnp.concatenate([later, u])
        return jnp.concatenate([later, self.hidden(h, given)])


def _width(cell: Any) -> int:
    """Entries of what a cell puts out, its part "hidden" or its whole state."""
    part = (getattr(cell, "parts", None) or {}).get("hidden")
    return state_size(cell) if part is None else part.stop - part.start
