"""What a recurrent map is, and what it may declare about itself besides: the whole protocol, in one place."""

import dataclasses
from typing import Any, Protocol

from jaxtyping import Array, Float


@dataclasses.dataclass(frozen=True)
class RecurrentStructure:
    """What a theorem about ‖∂x_T/∂x_k‖ needs to know: every step Jacobian is (1−α) I + α D₁ W D₂.

    Attributes:
        weights: W, shape (n, n).
        slope_bound: γ with ‖D₁‖‖D₂‖ ≤ γ at every state; ``None`` where nobody declared one.
        leak: α in (0, 1]; 1 for a cell without leak.
    """

    weights: Float[Array, "n n"]
    slope_bound: float | None
    leak: Float[Array, ""] | float = 1.0


class Cell(Protocol):
    """A recurrent map: any callable that JAX can trace, ``cell(x, u) -> x⁺``.

    x is one state of shape (n,), or () for a single neuron, and x⁺ has its shape and dtype; u is the input of the
    step, ``None`` where there is none. A cell with parameters is a pytree whose leaves they are: a class under
    ``cell_type``, a ``jax.tree_util.Partial``, an Equinox module. A bare function works too; its constants are then
    compiled in.
    """

    def __call__(self, x: Float[Array, "..."], u: Any = None) -> Float[Array, "..."]:
        """The next state."""
        ...


class Declaring(Cell, Protocol):
    """Everything that a cell may declare besides. Each member is optional; what is absent is done without.

    A member that is declared is believed: ``tests/conformance.py`` holds each against the map itself.
    """

    def jacobian(self, x: Any, u: Any = None) -> Any:
        """∂x⁺/∂x in closed form, shape (n, n). Unlocks: step Jacobians without n forward derivatives."""
        ...

    def structure(self) -> RecurrentStructure:
        """W, γ and α with every step Jacobian (1−α) I + α D₁ W D₂. Unlocks: bounds by W in ``product_bounds``."""
        ...

    def slopes(self, x: Any, u: Any = None) -> Any:
        """φ′ at every unit, shape (n,). Unlocks: dead and saturated units, and growth split into weights and φ′."""
        ...

    def gates(self, x: Any, u: Any = None) -> dict[str, Any]:
        """Each gate by name, shape (n,). Unlocks: their means in ``diagnose``."""
        ...

    def carries(self, x: Any, u: Any = None) -> dict[str, Any]:
        """What a unit keeps of its memory at fixed gates, by the keeping gate. Unlocks: which gate forgets."""
        ...

    @property
    def gate_rows(self) -> dict[str, tuple[str, ...]]:
        """Whose rows each parameter holds, in their order. Unlocks: gradients gate by gate in ``credit_by_lag``."""
        ...

    @property
    def longer_memory(self) -> str:
        """What to set so that the memory gets longer. Unlocks: the sentence of a remedy."""
        ...

    @property
    def parts(self) -> dict[str, slice]:
        """Where each named part lies in the state. Unlocks: ``part_norms``, and messages with the parts of x0."""
        ...

    @property
    def units(self) -> int:
        """n, where the state has another size. Unlocks: starts of the right size from ``x0=None``."""
        ...

    def window(self, x: Any) -> Any:
        """The hidden vectors that a state holds, the newest first. Unlocks: ``past_norms``."""
        ...

    @property
    def carry(self) -> Any:
        """c of ∂x⁺/∂x = c I + ∂branch/∂x. With ``branch`` unlocks: ``path_lengths``."""
        ...

    def branch(self, x: Any, u: Any = None) -> Any:
        """What is added to c x: x⁺ = c x + branch(x, u)."""
        ...

    def over_batch(self, x: Any, u: Any) -> Any:
        """A batch's next states, where they depend on one another. Unlocks: training with batch statistics."""
        ...

    def monotone_pieces(self, u: Any = None) -> Any:
        """Of a single neuron, ends of intervals on which x − F(x) is monotone. Unlocks: all its fixed points."""
        ...

    @property
    def W(self) -> Any:
        """Recurrent weights, W_in those of the inputs. Unlocks: sizes of state and input where no part tells."""
        ...

    @property
    def W_in(self) -> Any:
        """Weights of the inputs, shape (…, m), or ``None``."""
        ...

    @property
    def activation(self) -> Any:
        """φ, an ``Activation``. Unlocks: remedies that change it, and orders that a monotone φ keeps."""
        ...

    @property
    def dt(self) -> float:
        """The time of one step. Unlocks: exponents and horizons a unit of time."""
        ...
