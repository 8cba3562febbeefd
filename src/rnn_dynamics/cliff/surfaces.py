"""The loss over a grid of (w, b), and along b for several numbers of steps beside its limit."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rnn_dynamics.cliff.limits import LimitLoss, Wall, limit_loss, wall
from rnn_dynamics.cliff.loss import Loss, loss
from rnn_dynamics.numerics.batching import is_plain
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.validation import check_real, count, real_array, real_arrays


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Surface(Result):
    """A loss over a grid.

    Attributes:
        w: weights, shape (W,).
        b: biases, shape (B,).
        loss: the loss with its gradient, shape (W, B).
        wall: the wall at each weight, shape (W,).
        steps: T.
        model: ``"geometric"`` or ``"pascanu"``.
    """

    w: Float[Array, " W"]
    b: Float[Array, " B"]
    loss: Loss
    wall: Wall
    steps: int = dataclasses.field(metadata={"static": True})
    model: str = dataclasses.field(metadata={"static": True})

    picture: ClassVar = "loss_surface"
    _axes: ClassVar = {"W": "w", "B": "b"}

    def steep_share(self, threshold: float) -> float:
        """The share of the resolved grid points where ‖(∂L/∂w, ∂L/∂b)‖ exceeds ``threshold``.

        Raises:
            TypeError, ValueError: ``threshold`` is no positive finite number.
        """
        value = float(real_array("threshold", threshold, ndim=0))
        if value <= 0:
            raise ValueError(f"threshold: expected a positive number, got {value}")
        resolved = np.asarray(self.loss.resolved)
        steep = resolved & (np.asarray(self.loss.log_gradient_norm) > math.log(value))
        return float(steep.sum() / max(resolved.sum(), 1))

    @property
    def unresolved_share(self) -> float:
        """The share of the grid points whose loss or gradient the floats cannot carry."""
        return 1 - float(jnp.sum(self.loss.resolved)) / self.loss.status.size

    def __repr__(self) -> str:
        return f"Surface({self.model}, {self.w.size} w × {self.b.size} b, T={self.steps}, {self.w.dtype})"


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Profile(Result):
    """A loss along b at one w, for several numbers of steps.

    Attributes:
        w: weight, shape ().
        b: biases, shape (B,).
        loss: the loss with its gradient, shape (len(steps), B).
        limit: its limit for T → ∞, shape (B,).
        wall: the wall, shape ().
        steps: every T.
        model: ``"geometric"`` or ``"pascanu"``.
    """

    w: Float[Array, ""]
    b: Float[Array, " B"]
    loss: Loss
    limit: LimitLoss
    wall: Wall
    steps: tuple[int, ...] = dataclasses.field(metadata={"static": True})
    model: str = dataclasses.field(metadata={"static": True})

    picture: ClassVar = "loss_profile"
    _axes: ClassVar = {"B": "b"}

    def __repr__(self) -> str:
        return f"Profile({self.model}, {self.b.size} b, T={list(self.steps)}, {self.b.dtype})"


def _axis(name: str, values: Array) -> Array:
    if values.ndim != 1 or not values.size:
        raise ValueError(f"{name}: expected a non-empty axis of rank 1, got shape {values.shape}")
    return values


def surface(
    w: Any,
    b: Any,
    *,
    steps: int,
    model: str = "pascanu",
    x0: Any = None,
    target: Any = None,
    epsilon: Any = 1.0,
) -> Surface:
    """The loss and its gradient on the grid of every w with every b.

    Args:
        w: weights, shape (W,).
        b: biases, shape (B,).
        steps, model, x0, target, epsilon: as ``loss``, the last three single numbers.

    Returns:
        ``Surface``: loss and gradient of shape (W, B).

    Raises:
        TypeError, ValueError: an axis that is empty or not of rank 1; else as ``loss``.

    Reference: R. Pascanu, T. Mikolov, Y. Bengio, ICML 2013, figure 6.
    """
    steps = count("steps", steps)
    w, b = real_arrays(w=w, b=b)
    w, b = _axis("w", w), _axis("b", b)
    options = _options(model, x0, target, epsilon)
    space = np if is_plain([w, b]) else jnp
    values = loss(space.asarray(w)[:, None], space.asarray(b)[None, :], steps=steps, **options)
    return Surface(w, b, values, wall(w, **options), steps, model)


def profile(
    b: Any,
    *,
    steps: Sequence[int],
    w: Any = 5.0,
    model: str = "geometric",
    x0: Any = None,
    target: Any = None,
    epsilon: Any = 1.0,
) -> Profile:
    """The loss and its gradient along b for every T of ``steps``, with the limit T → ∞.

    Args:
        b: biases, shape (B,).
        steps: several T.
        w: one weight.
        model, x0, target, epsilon: as ``loss``, the last three single numbers.

    Returns:
        ``Profile``: of every T the loss and its gradient, shape (T's, B), and their limit, shape (B,).

    Raises:
        TypeError, ValueError: an axis that is empty or not of rank 1, no T at all; else as ``loss``.

    Reference: R. Pascanu, T. Mikolov, Y. Bengio, ICML 2013, section 2.3 and figure 6.
    """
    if isinstance(steps, str | bytes) or not hasattr(steps, "__iter__"):
        raise TypeError(f"steps: expected a sequence of integers, got {steps!r}")
    every = tuple(count("steps", number) for number in steps)
    if not every:
        raise ValueError("steps: expected at least one number of steps, got none")
    w, b = real_arrays(w=w, b=b)
    if w.ndim:
        raise ValueError(f"w: expected one weight, got shape {w.shape}")
    options = _options(model, x0, target, epsilon)
    b = _axis("b", b)
    rows = [loss(w, b, steps=number, **options) for number in every]
    stacked = jax.tree_util.tree_map(lambda *leaves: jnp.stack(leaves), *rows)
    return Profile(w, b, stacked, limit_loss(w, b, **options), wall(w, **options), every, model)


def _options(model: str, x0: Any, target: Any, epsilon: Any) -> dict[str, Any]:
    for name, value in (("x0", x0), ("target", target), ("epsilon", epsilon)):
        if value is not None:
            check_real(name, value, ndim=0)
    return {"model": model, "x0": x0, "target": target, "epsilon": epsilon}
