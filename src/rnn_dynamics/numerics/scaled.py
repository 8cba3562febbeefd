"""Numbers, vectors and matrices as ``unit * 2**exponent``: products that cannot leave the float range.

A product of many Jacobians passes 1e±308 (float32: 1e±38) within a few hundred steps. Here a value is a
float array, its ``unit``, and one integer power of two for each scalar, vector or matrix. Scaling by a power
of two is exact, so the representation adds no rounding of its own; the only logarithm is taken at the end.
"""

import dataclasses
import functools
import math
from collections.abc import Iterator
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from rnn_dynamics.numerics.batching import elementwise
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.reductions import all_finite, any_nonzero
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.validation import choice

_HIGHEST = jax.lax.Precision.HIGHEST
_BITS = {2: jnp.int16, 4: jnp.int32, 8: jnp.int64}
# Far below any exponent a product reaches, far above the int32 floor: stands in for the exponent of a zero.
_ZERO_EXPONENT = -(2**30)


def _layout(dtype: Any) -> tuple[Any, int, int]:
    info = jnp.finfo(dtype)
    return _BITS[info.dtype.itemsize], int(info.nmant), -int(info.minexp) + 1


def exponent_of(x: Float[Array, "..."]) -> Int[Array, "..."]:
    """The integer e with 2^(e−1) ≤ |x| < 2^e, as int32, read from the bits; 0 where x is zero or not finite.

    Subnormals count as zero, as XLA's arithmetic flushes them.
    """
    integer, mantissa, bias = _layout(x.dtype)
    bits = jax.lax.bitcast_convert_type(jax.lax.stop_gradient(x), integer)
    mask = (1 << (jnp.finfo(x.dtype).bits - 1 - mantissa)) - 1
    raw = jnp.bitwise_and(jax.lax.shift_right_logical(bits, jnp.asarray(mantissa, integer)), mask)
    raw = raw.astype(jnp.int32)
    return jnp.where((raw == 0) | (raw == mask), 0, raw - (bias - 1))


def _clamped(exponent: Int[Array, "..."], low: int, high: int) -> Int[Array, "..."]:
    limits = jnp.asarray(low, exponent.dtype), jnp.asarray(high, exponent.dtype)
    return jax.lax.clamp(limits[0], exponent, limits[1])


def power_of_two(exponent: Int[Array, "..."], dtype: Any) -> Float[Array, "..."]:
    """2^exponent in ``dtype``, exact; exponents outside the normal range give 0 below it and inf above it."""
    _, _, bias = _layout(dtype)
    return _power_in_range(_clamped(exponent, -bias, bias + 1), dtype)


def _power_in_range(exponent: Int[Array, "..."], dtype: Any) -> Float[Array, "..."]:
    """2^exponent for an exponent that is known to be that of a normal float, or next to those."""
    integer, mantissa, bias = _layout(dtype)
    return jax.lax.bitcast_convert_type((exponent.astype(integer) + bias) << mantissa, jnp.dtype(dtype))


@functools.partial(jax.jit, inline=True)
def _ldexp(x: Float[Array, "..."], exponent: Int[Array, "..."]) -> Float[Array, "..."]:
    """x·2^exponent, in two normal factors: a zero stays 0 and an infinity inf whatever the exponent."""
    _, _, bias = _layout(x.dtype)
    exponent = _clamped(exponent, 2 * (1 - bias), 2 * bias)
    half = exponent >> 1
    return x * _power_in_range(half, x.dtype) * _power_in_range(exponent - half, x.dtype)


def _expand(a: Array, count: int) -> Array:
    return a.reshape(a.shape + (1,) * count)


def _batch_index(item: Any, batch: tuple[int, ...]) -> tuple[Any, ...]:
    """``item`` as a tuple; an integer out of range raises (JAX would clamp it in silence)."""
    index = item if isinstance(item, tuple) else (item,)
    for axis, entry in enumerate(index):
        if entry is None or entry is ... or isinstance(entry, bool):
            break
        if isinstance(entry, int | np.integer) and axis < len(batch):
            length = batch[axis]
            if not -length <= entry < length:
                raise IndexError(f"index {entry} is out of range for batch axis {axis} of length {length}")
    return index


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Scaled(Result):
    """An array of scalars, vectors or matrices, each ``unit * 2**exponent``.

    Attributes:
        unit: floats, shape ``batch + event``; the largest |entry| of each event lies in [½, 1), or all are 0.
        exponent: int32, shape ``batch``; 0 for an event that is exactly zero.
        event_ndim: 0 for scalars, 1 for vectors, 2 for matrices: how many trailing axes share an exponent.

    Exact zeros stay exact zeros; NaN and infinities stay in ``unit``. Indexing runs over the batch.
    """

    unit: Float[Array, "..."]
    exponent: Int[Array, "..."]
    event_ndim: int = dataclasses.field(default=0, metadata={"static": True})

    _axes: ClassVar = {"...": "axis"}
    __array_ufunc__ = None  # so that ``numpy_array * scaled`` comes to __rmul__

    @property
    def shape(self) -> tuple[int, ...]:
        return self.unit.shape

    @property
    def dtype(self) -> Any:
        return self.unit.dtype

    def __getitem__(self, item: Any) -> "Scaled":
        index = _batch_index(item, self.exponent.shape)
        event = (slice(None),) * self.event_ndim if any(i is ... for i in index) else ()
        return Scaled(self.unit[index + event], self.exponent[index], self.event_ndim)

    def __len__(self) -> int:
        if not self.exponent.ndim:
            raise TypeError("a Scaled without batch axes has no length")
        return self.exponent.shape[0]

    def __iter__(self) -> Iterator["Scaled"]:
        return (self[i] for i in range(len(self)))

    def normalize(self) -> "Scaled":
        """The same value with the largest |entry| of each event in [½, 1)."""
        return _normalized(self)

    def __neg__(self) -> "Scaled":
        return Scaled(-self.unit, self.exponent, self.event_ndim)

    def __mul__(self, other: Any) -> "Scaled":
        return multiply(self, other)

    __rmul__ = __mul__

    def __add__(self, other: Any) -> "Scaled":
        return add(self, other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> "Scaled":
        return add(self, -_scaled(other, self))

    def __rsub__(self, other: Any) -> "Scaled":
        return add(-self, other)

    def __matmul__(self, other: Any) -> "Scaled":
        return matmul(self, other)

    def __rmatmul__(self, other: Any) -> "Scaled":
        return matmul(other, self)

    @property
    def transpose(self) -> "Scaled":
        """Return the transposes of the matrices."""
        if self.event_ndim != 2:
            raise ValueError(f"transpose: expected matrices (event_ndim 2), got event_ndim {self.event_ndim}")
        return Scaled(jnp.swapaxes(self.unit, -1, -2), self.exponent, 2)

    def norm(self, ord: str | int | None = None) -> "Scaled":
        """The norm of each event, as scaled scalars.

        Args:
            ord: for vectors 2 (the default); for matrices ``"fro"`` (the default) or 2, the spectral norm.

        The spectral norm is the largest singular value of an SVD; its derivative is uᵀ dP v with the vectors
        from the Gram matrix, a valid subgradient where the largest value is repeated.
        """
        if self.event_ndim == 0:
            return Scaled(jnp.abs(self.unit), self.exponent)
        if self.event_ndim == 1:
            choice("ord", 2 if ord is None else ord, [2])
            size = _euclidean(self.unit, axes=1)
        elif choice("ord", "fro" if ord is None else ord, ["fro", 2]) == "fro":
            size = _euclidean(self.unit, axes=2)
        else:
            size = _spectral_norm(self.unit)
        return Scaled(size, self.exponent).normalize()

    def sign(self) -> Float[Array, "..."]:
        """Return the sign of every entry: −1, 0 or 1."""
        return jnp.sign(self.unit)

    def log2(self) -> Float[Array, "..."]:
        """log₂|value| of every entry; −inf where it is exactly zero."""
        return _logarithm(self.exponent, self.unit, 2)

    def log(self) -> Float[Array, "..."]:
        """ln|value| of every entry; −inf where it is exactly zero."""
        return _logarithm(self.exponent, self.unit, None)

    def log10(self) -> Float[Array, "..."]:
        """log₁₀|value| of every entry; −inf where it is exactly zero."""
        return _logarithm(self.exponent, self.unit, 10)

    def to_float(self) -> Float[Array, "..."]:
        """The plain floats; what does not fit becomes 0 or ±inf, as IEEE rounding does (see ``fits``)."""
        return _ldexp(self.unit, _expand(self.exponent, self.event_ndim))

    def fits(self) -> Array:
        """For every event: whether its largest entry is a normal float, so that ``to_float`` keeps it."""
        _, _, bias = _layout(self.dtype)
        return (self.exponent <= bias + 1) & (self.exponent > -bias + 1)

    def __repr__(self) -> str:
        kind = ("scalars", "vectors", "matrices")[self.event_ndim]
        if isinstance(self.unit, Tracer):
            return f"Scaled(traced {kind}, shape={self.shape}, dtype={self.dtype})"
        if not isinstance(self.unit, jax.Array | np.ndarray):  # a placeholder of JAX's, not a number
            return f"Scaled({kind}, no numbers)"
        if self.unit.ndim == 0:
            return f"Scaled({_decimal(float(self.unit), int(self.exponent))})"
        return f"Scaled({kind}, shape={self.shape}, dtype={self.dtype})"


@functools.partial(jax.jit, inline=True)
def _normalized(value: Scaled) -> Scaled:
    axes = tuple(range(value.unit.ndim - value.event_ndim, value.unit.ndim))
    largest = jnp.max(jnp.abs(value.unit), axis=axes) if axes else jnp.abs(value.unit)
    shift = exponent_of(largest)
    exponent = jnp.where(largest == 0, jnp.zeros_like(value.exponent), value.exponent + shift)
    return Scaled(_ldexp(value.unit, _expand(-shift, value.event_ndim)), exponent, value.event_ndim)


def normalized_on_host(unit: np.ndarray, exponent: np.ndarray) -> Scaled:
    """``Scaled(unit, exponent).normalize()`` of concrete scalars, for which nothing is compiled."""
    mantissa, shift = np.frexp(unit)
    normal = np.isfinite(unit) & (np.abs(unit) >= np.finfo(unit.dtype).tiny)
    total = np.where(unit == 0, 0, exponent + np.where(normal, shift, 0)).astype(np.int32)
    return Scaled(*jax.device_put((np.where(normal, mantissa, unit), total)))


def _decimal(unit: float, exponent: int) -> str:
    if unit == 0 or not math.isfinite(unit):
        return f"{unit:g}"
    power = exponent * math.log10(2) + math.log10(abs(unit))
    whole = math.floor(power)
    leading = f"{math.copysign(10 ** (power - whole), unit):.6g}"
    if leading.lstrip("-") == "10":
        leading, whole = leading.replace("10", "1"), whole + 1
    return f"{leading}e{whole:+d}"


@functools.partial(lean, static_argnames="axes")
def _euclidean(unit: Float[Array, "..."], axes: int) -> Float[Array, "..."]:
    """The root of the sum of squares over the last axes; its derivative at 0 is 0."""
    square = jnp.sum(jnp.square(unit), axis=tuple(range(-axes, 0)))
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, jnp.ones_like(square))), square)


@functools.partial(elementwise, static_argnums=(2,))
def _logarithm(exponent: Array, unit: Array, base: int | None) -> Array:
    """log|unit·2^exponent| in one compiled piece, so that a host that asks once does not compile ten."""
    exponent = _expand(exponent, unit.ndim - exponent.ndim).astype(unit.dtype)
    of_two, of_e = {
        None: (math.log(2), 1.0),
        2: (1.0, 1 / math.log(2)),
        10: (math.log10(2), 1 / math.log(10)),
    }[base]
    return exponent * of_two + _log_absolute(unit) * of_e


def _log_absolute(x: Float[Array, "..."]) -> Float[Array, "..."]:
    zero = x == 0
    return jnp.where(zero, -jnp.inf, jnp.log(jnp.where(zero, jnp.ones_like(x), jnp.abs(x))))


def _top_right_vector(tall: Float[Array, "... m n"]) -> Float[Array, "... n"]:
    """The right singular vector of the largest singular value; NaN for a matrix that is not finite."""
    gram = jnp.einsum("...ki,...kj->...ij", tall, tall, precision=_HIGHEST)
    finite = all_finite(gram, axis=(-2, -1), keepdims=True)
    vector = jnp.linalg.eigh(jnp.where(finite, gram, jnp.zeros_like(gram)))[1][..., -1]
    return jnp.where(finite[..., 0], vector, jnp.nan)


def _apply(matrix: Float[Array, "... m n"], vector: Float[Array, "... n"]) -> Float[Array, "... m"]:
    return jnp.einsum("...ij,...j->...i", matrix, vector, precision=_HIGHEST)


@jax.custom_jvp
def _tall_spectral_norm(tall: Float[Array, "... m n"]) -> Float[Array, "..."]:
    """From the singular values alone: up to sixty times faster at n = 64 than eigenvectors of the Gram matrix."""
    finite = all_finite(tall, axis=(-2, -1))
    clean = jnp.where(finite[..., None, None], tall, jnp.zeros_like(tall))
    size = jnp.linalg.svd(clean, compute_uv=False)[..., 0]
    return jnp.where(finite, size, jnp.nan)


@_tall_spectral_norm.defjvp
def _tall_spectral_norm_jvp(primals: tuple, tangents: tuple) -> tuple:
    (tall,), (moved,) = primals, tangents
    right = _top_right_vector(tall)
    image = _apply(tall, right)
    size = _euclidean(image, axes=1)
    left = image / jnp.where(size == 0, jnp.ones_like(size), size)[..., None]
    return size, jnp.sum(left * _apply(moved, right), axis=-1)


def _spectral_norm(matrix: Float[Array, "... m n"]) -> Float[Array, "..."]:
    """‖matrix‖₂ for entries near 1 in size."""
    wide = matrix.shape[-2] < matrix.shape[-1]
    return _tall_spectral_norm(jnp.swapaxes(matrix, -1, -2) if wide else matrix)


def from_float(x: Float[Array, "..."], *, event_ndim: int = 0) -> Scaled:
    """Plain floats as a normalised ``Scaled`` whose last ``event_ndim`` axes share an exponent.

    Raises:
        ValueError: ``event_ndim`` is none of 0, 1, 2 or exceeds the rank of ``x``.
    """
    choice("event_ndim", event_ndim, [0, 1, 2])
    x = jnp.asarray(x)
    if x.ndim < event_ndim:
        raise ValueError(f"x: expected at least {event_ndim} dimensions, got shape {x.shape}")
    exponent = jax.device_put(np.zeros(x.shape[: x.ndim - event_ndim], np.int32))
    return Scaled(x, exponent, event_ndim).normalize()


def _scaled(value: Any, like: Scaled) -> Scaled:
    if isinstance(value, Scaled):
        return value
    return from_float(jnp.asarray(value, like.dtype), event_ndim=min(np.ndim(value), like.event_ndim))


def _same_batch_rank(a: Scaled, b: Scaled) -> tuple[Scaled, Scaled]:
    """Both with as many batch axes as the one that has more: axes of length 1 are put in front."""
    rank = max(a.exponent.ndim, b.exponent.ndim)
    return _with_batch_rank(a, rank), _with_batch_rank(b, rank)


def _with_batch_rank(a: Scaled, rank: int) -> Scaled:
    front = (1,) * (rank - a.exponent.ndim)
    if not front:
        return a
    unit, exponent = (leaf.reshape(front + leaf.shape) for leaf in (a.unit, a.exponent))
    return Scaled(unit, exponent, a.event_ndim)


def multiply(a: Scaled, b: Any) -> Scaled:
    """The elementwise product; a factor of scaled scalars multiplies whole vectors or matrices."""
    a, b = _same_batch_rank(a, _scaled(b, a))
    if a.event_ndim < b.event_ndim:
        a, b = b, a
    factor = _expand(b.unit, a.event_ndim - b.event_ndim)
    return Scaled(a.unit * factor, a.exponent + b.exponent, a.event_ndim).normalize()


def add(a: Scaled, b: Any) -> Scaled:
    """The sum of two scaled values of one kind; the smaller is shifted to the exponent of the larger."""
    b = _scaled(b, a)
    if a.event_ndim != b.event_ndim:
        raise ValueError(f"b: expected event_ndim {a.event_ndim}, got {b.event_ndim}")
    return aligned_sum(*_same_batch_rank(a, b)).normalize()


def aligned_sum(a: Scaled, b: Scaled) -> Scaled:
    """``add`` of values with as many batch axes each, not normalised: what cancels leaves small units."""
    axes = tuple(range(-a.event_ndim, 0))
    low = jnp.full_like(a.exponent, _ZERO_EXPONENT)
    of_a = jnp.where(any_nonzero(a.unit, axis=axes), a.exponent, low)
    of_b = jnp.where(any_nonzero(b.unit, axis=axes), b.exponent, low)
    top = jnp.maximum(of_a, of_b)
    shift_a = _expand(jnp.maximum(a.exponent - top, -(2**15)), a.event_ndim)
    shift_b = _expand(jnp.maximum(b.exponent - top, -(2**15)), b.event_ndim)
    unit = _ldexp(a.unit, jnp.minimum(shift_a, 0)) + _ldexp(b.unit, jnp.minimum(shift_b, 0))
    return Scaled(unit, jnp.where(top == low, jnp.zeros_like(top), top), a.event_ndim)


def matmul(a: Any, b: Any) -> Scaled:
    """The product of scaled (or plain) matrices and vectors: matrix·matrix, matrix·vector, vector·matrix.

    Full precision is asked for on every device. Rounding is that of one plain product: relative to ‖a‖‖b‖.

    Raises:
        ValueError: scalars among the factors, or lengths that do not fit.
    """
    a = a if isinstance(a, Scaled) else from_float(a, event_ndim=min(jnp.ndim(a), 2))
    b = b if isinstance(b, Scaled) else from_float(b, event_ndim=min(jnp.ndim(b), 2))
    left, right = ("i" if a.event_ndim == 2 else ""), ("k" if b.event_ndim == 2 else "")
    if not (a.event_ndim and b.event_ndim):
        raise ValueError("matmul: expected vectors or matrices, got scalars; use multiply")
    rows = b.shape[-2] if right else b.shape[-1]
    if a.shape[-1] != rows:
        raise ValueError(
            f"b: expected {a.shape[-1]} rows for a factor of shape {a.shape}, got shape {b.shape}"
        )
    a, b = _same_batch_rank(a, b)
    spec = f"...{left}j,...j{right}->...{left}{right}"
    unit = jnp.einsum(spec, a.unit, b.unit, precision=_HIGHEST)
    return Scaled(unit, a.exponent + b.exponent, len(left) + len(right)).normalize()
