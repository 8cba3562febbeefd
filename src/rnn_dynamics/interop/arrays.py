"""Arrays of other frameworks, checked on the host and put in order before a cell is made of them."""

import os
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from rnn_dynamics.cells.gated import GRU

# Whose functions are what their names say.
_PACKAGES = {
    "brainpy",
    "brainunit",
    "flax",
    "jax",
    "jaxlib",
    "keras",
    "mlx",
    "numpy",
    "saiunit",
    "tensorflow",
    "tf_keras",
    "torch",
}


def float_array(name: str, value: Any) -> np.ndarray:
    """The weight of that name in float32 or float64, in the machine's order of bytes.

    Raises:
        ValueError: of another dtype, no array, or one with entries that are masked.
    """
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise ValueError(
            f"source: expected {name} with all its numbers, got a masked array that lacks {value.mask.sum()}: "
            f"{name}.filled(0) has zeros in their place"
        )
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"source: expected {name} as an array, got {type(value).__name__}") from error
    for dtype in (np.dtype("float32"), np.dtype("float64")):
        if array.dtype in (dtype, dtype.newbyteorder()):
            return array.astype(dtype, copy=False)
    half = ", which float() of PyTorch's modules makes float32" if "float16" in str(array.dtype) else ""
    raise ValueError(f"source: expected {name} in float32 or float64, got {array.dtype}{half}")


def host_array(name: str, value: Any) -> np.ndarray:
    """``float_array`` of a tensor too, detached and in the host's memory.

    Raises:
        ValueError: as ``float_array``, and where the tensor has no values there.
    """
    if hasattr(value, "detach"):
        try:
            value = value.detach()
            value = (value.cpu() if hasattr(value, "cpu") else value).numpy()
        except (TypeError, RuntimeError) as error:  # no bfloat16 in NumPy, no values on the device "meta"
            got = f"{value.dtype} on the device {value.device}"
            raise ValueError(f"source: expected {name} in float32 or float64 in memory, got {got}") from error
    return float_array(name, value)


def what_came(source: Any) -> str:
    """What was given in the place of a network: its class, and what to do with a path or with a class itself."""
    if isinstance(source, type):
        return f"the class {source.__name__}, which has no weights: give what {source.__name__}(…) makes"
    hint = "; rd.interop.load reads files" if isinstance(source, str | os.PathLike) else ""
    return f"{type(source).__name__}{hint}"


def check_names(found: Iterable[str], required: Collection[str], optional: Collection[str] = ()) -> None:
    """All of the required names, and none but these and the optional ones.

    Raises:
        ValueError: names that are missing or foreign.
    """
    found = set(found)
    missing = sorted(set(required) - found)
    if missing:
        raise ValueError(f"source: expected {', '.join(missing)}, which is missing; got {sorted(found)[:8]}")
    foreign = sorted(found - set(required) - set(optional))
    if foreign:
        raise ValueError(f"source: expected the weights of one recurrent cell, got also {foreign[:5]}")


def check_shape(name: str, array: np.ndarray, shape: tuple[int | None, ...]) -> np.ndarray:
    """The array, of that shape; ``None`` stands for any size.

    Raises:
        ValueError: another shape.
    """
    got = array.shape
    if len(got) != len(shape) or any(e is not None and e != g for e, g in zip(shape, got, strict=True)):
        form = str(tuple("any" if e is None else e for e in shape)).replace("'", "")
        raise ValueError(f"source: expected {name} of shape {form}, got {got}")
    return array


def agreed(name: str, given: Any, told: Any, options: Collection[Any]) -> Any:
    """What the user says or the source tells, which must not contradict each other.

    Raises:
        ValueError: neither says it, they differ, or it is none of the options.
    """
    from rnn_dynamics.numerics.validation import choice

    if given is None and told is None:
        expected = " or ".join(map(repr, options))
        raise ValueError(f"{name}: expected {expected}, which the weights do not tell, got None")
    if given is not None:
        choice(name, given, tuple(options))
    if told is not None and given is not None and given != told:
        raise ValueError(f"{name}: expected None or {told!r}, as the source tells, got {given!r}")
    return given if told is None else told


def function_name(function: Any) -> str:
    """The name of an activation, with its module before it where that is none of a framework."""
    name = getattr(function, "__name__", type(function).__name__)
    module = getattr(function, "__module__", None) or "numpy"  # ufuncs and built-ins have none
    return name if module.partition(".")[0] in _PACKAGES else f"{module}.{name}"


def check_step(module: Any, method: str, packages: Collection[str], call: str) -> None:
    """Refuse an object whose step is none of its framework's, whatever it is called and whatever its weights are.

    Args:
        module: the object.
        method: what makes the step, as "__call__".
        packages: that the class which defines it may be of.
        call: that reads the weights all the same.

    Raises:
        ValueError: the method is defined elsewhere.
    """
    owner = next((cls for cls in type(module).__mro__ if method in vars(cls)), None)
    if owner is not None and owner.__module__.partition(".")[0] not in packages:
        raise ValueError(
            f"source: expected a step of {next(iter(packages))}, got {owner.__name__}, which has a {method} of its "
            f"own: where that leaves the step alone, {call}, else write its step as a cell"
        )


def stretches(array: np.ndarray, order: Iterable[int], gates: int) -> np.ndarray:
    """The stretches of the gates, along the first axis, in another order."""
    parts = np.split(array, gates)
    return np.concatenate([parts[i] for i in order])


def gru_of_update_first(
    W: np.ndarray,
    W_in: np.ndarray,
    b: np.ndarray,
    b_recurrent: np.ndarray,
    *,
    after: bool,
    gate_activation: Any = "sigmoid",
    activation: Any = "tanh",
) -> "GRU":
    """A GRU with gates z, r, h and a bias beside each of the two products, as Keras and ONNX lay it out."""
    from rnn_dynamics.cells.gated import GRU

    functions = {"gate_activation": gate_activation, "activation": activation}
    order, units = (1, 0, 2), W.shape[1]
    W, W_in, b, b_recurrent = (stretches(array, order, 3) for array in (W, W_in, b, b_recurrent))
    if not after:
        return GRU(W, b + b_recurrent, W_in, reset="before", **functions)
    b = np.concatenate([b[: 2 * units] + b_recurrent[: 2 * units], b[2 * units :]])
    return GRU(W, b, W_in, b_recurrent[2 * units :], **functions)


def gru_of_turned_update(W: np.ndarray, W_in: np.ndarray | None, b: np.ndarray) -> "GRU":
    """A GRU with gates z, r, a, reset before the product and h⁺ = (1 − z) h + z a, as Haiku and BrainPy have it.

    1 − σ(v) = σ(−v), so that its z is one of ``GRU`` with the rows negated.
    """
    from rnn_dynamics.cells.gated import GRU

    sign = np.repeat(np.array([1, -1, 1], W.dtype), W.shape[1])
    W, b = (stretches(array, (1, 0, 2), 3) for array in (W, b))
    W_in = None if W_in is None else stretches(W_in, (1, 0, 2), 3) * sign[:, None]
    return GRU(W * sign[:, None], b * sign, W_in, reset="before")
