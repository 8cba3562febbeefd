"""The tasks on which long memory is tried, each drawn on the device from a key."""

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from rnn_dynamics.numerics.reductions import all_finite
from rnn_dynamics.numerics.validation import choice, count
from rnn_dynamics.training.tasks import classified, marked, recalled
from rnn_dynamics.training.tasks.draws import Definition

__all__ = ["TASKS", "Batch", "Task", "published_lengths", "task"]

_DEFINITIONS: dict[str, Definition] = {
    **classified.DEFINITIONS,
    **marked.DEFINITIONS,
    **recalled.DEFINITIONS,
}
TASKS: tuple[str, ...] = tuple(_DEFINITIONS)


class Batch(NamedTuple):
    """Sequences with what should be read of them.

    Attributes:
        inputs: u_0 … u_{T−1} of each sequence.
        at: the input t after which an output is read, that is of state t + 1.
        targets: the classes, or the values.
    """

    inputs: Float[Array, "batch steps width"]
    at: Int[Array, "batch readings"]
    targets: Int[Array, "batch readings"] | Float[Array, "batch readings outputs"]


@dataclass(frozen=True)
class Task:
    """A task of one length, from ``task``. It is hashable, and so a static argument of ``jax.jit``.

    Attributes:
        name: one of ``TASKS``.
        length: the length as the source counts it.
        steps: inputs of a sequence, those that only fill it included.
        width: entries of an input.
        outputs: classes, or entries of a value.
        kind: "classes", scored by cross entropy in nats, or "values", by the squared error.
        tolerance: the largest squared error of a right value; None for classes. ``dataclasses.replace`` sets
            another.
        options: name and value of each option, the defaults included.
        allowed: a network has learned the task where less than this share of fresh sequences is wrong.
    """

    name: str
    length: int
    steps: int
    width: int
    outputs: int
    kind: str
    tolerance: float | None
    options: tuple[tuple[str, Any], ...]
    allowed: float = 0.01

    def batch(self, key: Any, size: int, dtype: Any = jnp.float32) -> Batch:
        """``size`` fresh sequences; sequence i depends on the key and on i alone, but for rounding to ``dtype``.

        Random numbers are drawn in float32 and then converted. May be called inside ``jit`` and mapped over keys.

        Raises:
            TypeError, ValueError: ``size`` is no positive integer, ``dtype`` no floating dtype that JAX has.
        """
        return _batch(self, key, count("size", size, minimum=1), _floating(dtype))

    def loss(
        self, outputs: Float[Array, "*batch readings outputs"], targets: Array
    ) -> Float[Array, "*batch"]:
        """The mean over a sequence's readings of −log softmax(outputs)_target, or of |outputs − targets|².

        Raises:
            ValueError: the shapes do not fit the task.
        """
        self._check(outputs, targets)
        if self.kind == "values":
            return jnp.mean(jnp.sum((outputs - targets) ** 2, axis=-1), axis=-1)
        logs = jnp.take_along_axis(jax.nn.log_softmax(outputs), targets[..., None], axis=-1)
        return -jnp.mean(logs[..., 0], axis=-1)

    def wrong(
        self, outputs: Float[Array, "*batch readings outputs"], targets: Array
    ) -> Bool[Array, "*batch"]:
        """Whether any reading is wrong: another class is largest, or the squared error exceeds ``tolerance``.

        A reading that is not finite is wrong.

        Raises:
            ValueError: the shapes do not fit the task.
        """
        self._check(outputs, targets)
        if self.tolerance is not None:
            right = jnp.sum((outputs - targets) ** 2, axis=-1) <= self.tolerance
        else:
            right = jnp.argmax(outputs, axis=-1).astype(targets.dtype) == targets
        return ~jnp.all(right & all_finite(outputs, axis=-1), axis=-1)

    def _check(self, outputs: Array, targets: Array) -> None:
        if outputs.ndim < 2 or outputs.shape[-1] != self.outputs:
            raise ValueError(
                f"outputs: expected shape (…, readings, {self.outputs}), got shape {outputs.shape}"
            )
        expected = outputs.shape if self.kind == "values" else outputs.shape[:-1]
        if targets.shape != expected:
            raise ValueError(f"targets: expected shape {expected}, got shape {targets.shape}")


def task(name: str, length: int, **options: Any) -> Task:
    """The task of a name and length; ``published_lengths`` gives the lengths of the sources.

    ========================  ===============================================  ==================================
    name                      asked for                                        options
    ========================  ===============================================  ==================================
    latch                     the class told in the first ``cue`` steps        cue 3, noise .2 (std)
    two-sequence              which of two beginnings, in noise                elements 3, noise √.2 (std)
    parity                    whether the number of +1 among ±1 is odd         noise 0 (uniform, half width)
    temporal-order            two marks and their order, 4 classes
    temporal-order-3          three marks and their order, 8 classes
    addition                  (u + v)/2 of two marked values
    multiplication            u v of two marked values
    adding                    u + v, one mark in each half, fixed length
    random-permutation        the first of 100 symbols
    noiseless-memorisation    a pattern, after ``length`` blanks               bits 5 (or 20), every_step False
    copy                      10 symbols of 8, after a delay of ``length``     every_step False
    ========================  ===============================================  ==================================

    With ``every_step`` the blanks before the recall are scored too, as one class more.

    Args:
        name: one of ``TASKS``.
        length: as the sources count it. Addition and multiplication are longer by up to a tenth, memorisation and
            copy by twice their pattern.
        **options: those of the table.

    Returns:
        A ``Task``.

    Raises:
        TypeError: an option of the wrong type, a length that is no integer.
        ValueError: unknown task or option, a length too short for the task.

    References: Y. Bengio, P. Simard, P. Frasconi, IEEE Trans. Neural Networks 5, 157 (1994); S. Hochreiter,
    J. Schmidhuber, Neural Computation 9, 1735 (1997); J. Martens, I. Sutskever, ICML 2011; R. Pascanu, T. Mikolov,
    Y. Bengio, ICML 2013; Q. V. Le, N. Jaitly, G. E. Hinton, arXiv 1504.00941; M. Arjovsky, A. Shah, Y. Bengio,
    ICML 2016.
    """
    definition = _DEFINITIONS[choice("name", name, TASKS)]
    chosen = _options(name, definition, options)
    length = count("length", length)
    shortest = definition.shortest(**chosen)
    if length < shortest:
        raise ValueError(f"length: expected at least {shortest} for the task {name!r}, got {length}")
    sizes = definition.sizes(length, **chosen)
    return Task(name, length, *sizes, definition.kind, definition.tolerance, tuple(chosen.items()))


def published_lengths(name: str) -> tuple[int, ...]:
    """The lengths at which the sources tried a task, ascending.

    Args:
        name: one of ``TASKS``.

    Returns:
        Integers, those of the published experiments.

    Raises:
        ValueError: unknown task.
    """
    return _DEFINITIONS[choice("name", name, TASKS)].published


def _options(name: str, definition: Definition, given: dict[str, Any]) -> dict[str, Any]:
    """Every option of a task, checked, those not given at their defaults."""
    known = [option for option, _, _ in definition.options]
    for option in given:
        if option not in known:
            expected = f"one of {', '.join(known)}" if known else "none"
            raise ValueError(f"options of the task {name!r}: expected {expected}, got {option!r}")
    return {
        option: check(option, given.get(option, default)) for option, default, check in definition.options
    }


def _floating(dtype: Any) -> np.dtype:
    try:
        wanted = jnp.dtype(dtype)
    except TypeError:
        raise TypeError(f"dtype: expected a floating dtype, got {dtype!r}") from None
    if not jnp.issubdtype(wanted, jnp.floating):
        raise TypeError(f"dtype: expected a floating dtype, got {wanted}")
    if jax.dtypes.canonicalize_dtype(wanted) != wanted:
        raise ValueError('dtype: float64 needs jax.config.update("jax_enable_x64", True)')
    return wanted


@functools.partial(jax.jit, static_argnames=("task", "size", "dtype"))
def _batch(task: Task, key: Any, size: int, dtype: Any) -> Batch:
    draw = _DEFINITIONS[task.name].draw
    keys = jax.vmap(functools.partial(jax.random.fold_in, key))(jnp.arange(size, dtype=jnp.uint32))
    one = functools.partial(draw, length=task.length, dtype=dtype, **dict(task.options))
    return Batch(*jax.vmap(one)(keys))
