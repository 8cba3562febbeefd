"""Gradient descent over the loss cliff, with and without rescaling of long gradients."""

import dataclasses
import functools
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from rnn_dynamics.cliff.loss import Loss, NeuronLoss, evaluate, make_problem
from rnn_dynamics.gradients.sensitivities import resolution_limit
from rnn_dynamics.numerics import scaled
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.scaled import Scaled
from rnn_dynamics.numerics.status import Status
from rnn_dynamics.numerics.validation import broadcast_arrays, count


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Descent(Result):
    """Paths of gradient descent; the leading axis is the update, from 0 (the start) to ``updates``.

    Attributes:
        w: weights, shape (updates + 1, …).
        b: biases, likewise.
        loss: loss and gradient (before clipping) at every point of the path.
        path_error: distance to a second path that starts one float off in w and b, is moved by one more after
            every update, and is otherwise the same: how much the path amplifies rounding. A measurement, no bound.
        first_diverged: the first update after which w, b, the loss or its gradient is not a finite number, or
            −1, shape (…).
        status: for every path: RESOLVED; UNRESOLVED where a gradient on it is, or where ``path_error`` passes
            ``resolution_limit(dtype)·max(1, |w|, |b|)``, as on a chaotic path; DIVERGED.
        steps: T.
        model: ``"geometric"`` or ``"pascanu"``.
    """

    w: Float[Array, "updates+1 ..."]
    b: Float[Array, "updates+1 ..."]
    loss: Loss
    path_error: Float[Array, "updates+1 ..."]
    first_diverged: Int[Array, "..."]
    status: Int[Array, "..."]
    steps: int = dataclasses.field(metadata={"static": True})
    model: str = dataclasses.field(metadata={"static": True})

    picture: ClassVar = "descent"
    _axes: ClassVar = {"...": "path"}

    @property
    def updates(self) -> int:
        """How many times the parameters were updated."""
        return self.w.shape[0] - 1

    @property
    def gradient_norm(self) -> Float[Array, "updates+1 ..."]:
        """‖(∂L/∂w, ∂L/∂b)‖ before clipping; inf where no float holds it (see ``loss.log_gradient_norm``)."""
        return jnp.exp(self.loss.log_gradient_norm)

    def __repr__(self) -> str:
        text = f"Descent({self.model}, {self.updates} updates, T={self.steps}, shape={self.w.shape[1:]}"
        if isinstance(self.w, Tracer) or self.w.ndim > 1:
            return text + ")"
        w, b, loss = (float(np.asarray(path)[-1]) for path in (self.w, self.b, self.loss.value))
        end = f"w={w:.6g}, b={b:.6g}, loss={loss:.4g}"
        return f"{text}, ends at {end}, {Status(int(self.status)).name})"


def clipped(dw: Scaled, db: Scaled, threshold: Float[Array, "..."]) -> tuple[Array, Array]:
    """Algorithm 1: g ← threshold·g/‖g‖ where ‖g‖ ≥ threshold; as floats, also where ‖g‖ passes their range.

    Reference: R. Pascanu, T. Mikolov, Y. Bengio, ICML 2013, algorithm 1.
    """
    top = jnp.maximum(dw.exponent, db.exponent)
    unit_w, unit_b = (Scaled(g.unit, g.exponent - top).to_float() for g in (dw, db))
    size = jnp.hypot(unit_w, unit_b)
    norm = Scaled(size, top).to_float()
    is_long = (norm >= threshold) & (size > 0)
    share = threshold / jnp.where(size > 0, size, jnp.ones_like(size))
    return (
        jnp.where(is_long, unit_w * share, dw.to_float()),
        jnp.where(is_long, unit_b * share, db.to_float()),
    )


def descend(
    w: Any,
    b: Any,
    *,
    updates: int,
    rate: Any = None,
    clip: Any = None,
    optimizer: Any = None,
    steps: int = 50,
    model: str = "pascanu",
    x0: Any = None,
    target: Any = None,
    epsilon: Any = 1.0,
) -> Descent:
    """Gradient descent of the loss from (w, b): (w, b) ← (w, b) − rate·g, g the exact gradient or its clip.

    Args:
        w, b: starts; every array broadcasts, so that many starts, rates and thresholds run at once.
        updates: how many updates.
        rate: learning rate; needed without ``optimizer``.
        clip: threshold of Algorithm 1: g ← clip·g/‖g‖ where ‖g‖ ≥ clip. ``None`` clips nothing.
        optimizer: any optax transformation, with its own learning rate, instead of ``rate``. It sees the
            clipped gradient. A freshly made one compiles anew.
        steps: T.
        model, x0, target, epsilon: as ``loss``.

    Returns:
        ``Descent``: w, b and the loss before every update and after the last, a leading axis of updates
        + 1.

    Raises:
        TypeError, ValueError: as ``loss``; both or neither of ``rate`` and ``optimizer``, a rate or threshold
            that is not positive, updates < 0.

    Near the wall descent may be chaotic itself: the published example (w, b) = (6, −3), rate .1, 500 updates,
    ends elsewhere if the rate changes by one float. ``Descent.status`` says so.

    Reference: R. Pascanu, T. Mikolov, Y. Bengio, ICML 2013, section 2.3, algorithm 1 and figure 6.
    """
    updates, steps = count("updates", updates), count("steps", steps)
    _check_optimizer(rate, optimizer)
    named = {"w": w, "b": b}
    named |= {} if rate is None else {"rate": rate}
    named |= {} if clip is None else {"clip": clip}
    named = dict(zip(named, broadcast_arrays(**named), strict=True))
    for name in ("rate", "clip"):
        if name in named and not isinstance(named[name], Tracer) and not (np.asarray(named[name]) > 0).all():
            raise ValueError(f"{name}: expected positive numbers, got {np.min(np.asarray(named[name]))}")
    problem = make_problem(model, named["w"], named["b"], x0, target, epsilon)
    shape = problem.w.shape
    flat = jax.tree_util.tree_map(lambda a: a.reshape(-1), problem)
    rate, clip = (
        None if name not in named else jnp.broadcast_to(named[name], shape).reshape(-1)
        for name in ("rate", "clip")
    )
    result = _descend(optimizer, model, updates, flat, rate, clip, jnp.asarray(steps, jnp.int32))
    w, b, losses, error, first, status = jax.tree_util.tree_map(
        lambda a: a.reshape(a.shape[:-1] + shape), result
    )
    return Descent(w, b, losses, error, first, status, steps, model)


def _check_optimizer(rate: Any, optimizer: Any) -> None:
    if (rate is None) == (optimizer is None):
        got = "neither" if rate is None else "both"
        raise ValueError(f"rate, optimizer: expected exactly one of the two, got {got}")
    if optimizer is not None and not (
        callable(getattr(optimizer, "init", None)) and callable(getattr(optimizer, "update", None))
    ):
        raise TypeError(
            f"optimizer: expected an optax transformation (init, update), got {type(optimizer).__name__}"
        )


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _descend(
    optimizer: Any,
    model: str,
    updates: int,
    problem: NeuronLoss,
    rate: Array | None,
    clip: Array | None,
    steps: Array,
) -> tuple[Array, Array, Loss, Array, Array, Array]:
    """All paths at once, each followed by its shadow, which is moved by one float at the start and every update."""
    count = problem.w.size
    both, rate, clip = jax.tree_util.tree_map(lambda a: jnp.concatenate([a, a]), (problem, rate, clip))
    shadow = jnp.arange(2 * count) >= count
    w, b = _moved(both.w, both.b, shadow, jnp.int32(0))
    fixed = (both, rate, clip, steps, shadow)
    state = None if optimizer is None else jax.vmap(optimizer.init)((w, b))
    body = functools.partial(_update, optimizer, model, fixed)
    # The loss at the end of the path is that of one update more, which is not taken: the loss stands once.
    _, (w, b, losses) = jax.lax.scan(body, (w, b, state), jnp.arange(1, updates + 2, dtype=jnp.int32))
    error = jnp.hypot(w[:, count:] - w[:, :count], b[:, count:] - b[:, :count])
    w, b, losses = jax.tree_util.tree_map(lambda a: a[:, :count], (w, b, losses))
    return (*_labelled(w, b, losses, error),)


def _moved(w: Array, b: Array, shadow: Array, update: Array) -> tuple[Array, Array]:
    """Shadows at the next float in w, and the next or the previous in b by turns: rounding's own size, all ways."""
    up = jnp.full_like(w, jnp.inf)
    turn = jnp.where(update % 2 == 0, up, -up)
    return jnp.where(shadow, jnp.nextafter(w, up), w), jnp.where(shadow, jnp.nextafter(b, turn), b)


def _update(optimizer: Any, model: str, fixed: tuple, carry: tuple, update: Array) -> tuple[tuple, tuple]:
    problem, rate, clip, steps, shadow = fixed
    w, b, state = carry
    at = evaluate(problem._replace(w=w, b=b), steps, model)
    gradient = (at.dw.to_float(), at.db.to_float()) if clip is None else clipped(at.dw, at.db, clip)
    if optimizer is None:
        change = tuple(-rate * g for g in gradient)
    else:
        change, state = jax.vmap(optimizer.update)(gradient, state, (w, b))
    after = _moved(w + change[0].astype(w.dtype), b + change[1].astype(b.dtype), shadow, update)
    return (*after, state), (w, b, at)


def _labelled(w: Array, b: Array, losses: Loss, error: Array) -> tuple:
    """The path with its divergence: a point has diverged once it or its gradient is no finite number."""
    norm = scaled.add(scaled.multiply(losses.dw, losses.dw), scaled.multiply(losses.db, losses.db)).unit
    finite = jnp.isfinite(w) & jnp.isfinite(b) & jnp.isfinite(losses.value) & jnp.isfinite(norm)
    diverged = ~finite.all(axis=0)
    first = jnp.where(diverged, jnp.argmin(finite, axis=0), -1).astype(jnp.int32)
    point = jnp.where(finite, losses.status, int(Status.DIVERGED))
    losses = dataclasses.replace(losses, status=point)
    size = jnp.maximum(jnp.maximum(jnp.abs(w), jnp.abs(b)), 1)
    shaken = error <= resolution_limit(w.dtype) * size
    resolved = (shaken & losses.resolved).all(axis=0)
    status = jnp.where(resolved, int(Status.RESOLVED), int(Status.UNRESOLVED))
    return w, b, losses, error, first, jnp.where(diverged, int(Status.DIVERGED), status).astype(jnp.int32)
