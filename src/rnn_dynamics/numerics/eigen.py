"""Eigenvalues and the two numbers that textbooks confuse: spectral radius and spectral norm."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from rnn_dynamics.numerics.batching import is_plain
from rnn_dynamics.numerics.compiling import lean
from rnn_dynamics.numerics.reductions import largest
from rnn_dynamics.numerics.validation import real_array

#: One matrix of at most so many rows is left to NumPy.
_SMALL = 256
#: So are batches of at most so many of these.
_FEW = 16


@functools.cache
def _device_has_eig(platform: str) -> bool:
    """Whether XLA lowers the nonsymmetric eigenproblem on this platform (CPU and CUDA do, TPU does not)."""
    matrix = jax.ShapeDtypeStruct((1, 1), jnp.float32)
    try:
        jax.jit(jnp.linalg.eigvals).trace(matrix).lower(lowering_platforms=(platform,))
    except Exception:  # the error's type differs between JAX versions and platforms
        return False
    return True


def _host_eigenvalues(matrix: np.ndarray) -> np.ndarray:
    complex_dtype = np.result_type(matrix.dtype, np.complex64)
    finite = np.asarray(np.isfinite(matrix).all(axis=(-2, -1)))
    values = np.linalg.eigvals(np.where(finite[..., None, None], matrix, 0.0)).astype(complex_dtype)
    return np.where(finite[..., None], values, np.nan + 0j).astype(complex_dtype)


def _matrix(value: Any, *, square: bool) -> Float[Array, "... m n"]:
    matrix = real_array("matrix", value, finite=False)  # what is not finite comes back as NaN
    if matrix.ndim < 2 or 0 in matrix.shape[-2:] or (square and matrix.shape[-1] != matrix.shape[-2]):
        kind = "square matrices" if square else "matrices"
        raise ValueError(f"matrix: expected {kind} of at least one entry, got shape {matrix.shape}")
    return matrix


def eigenvalues(matrix: Any) -> Complex[Array, "... n"]:
    """The eigenvalues of square matrices, in no order; on the host where the device has no such routine.

    Raises:
        TypeError, ValueError: no real numbers, or not of shape (…, n, n).
    """
    matrix = _matrix(matrix, square=True)
    if _is_small(matrix):
        return jax.device_put(_eigenvalues_on_host(np.asarray(matrix)))
    if is_plain([matrix]) and matrix.ndim == 3 and len(matrix) <= _FEW and matrix.shape[-1] <= _SMALL:
        return jax.device_put(np.stack([_eigenvalues_on_host(one) for one in np.asarray(matrix)]))
    near, exponent = _near_one(matrix)
    return _times_power(_of_moderate_size(near), exponent)


def _is_small(matrix: Any) -> bool:
    """Whether the host's LAPACK is at its end before a program would be compiled."""
    return is_plain([matrix]) and np.ndim(matrix) == 2 and np.shape(matrix)[-1] <= _SMALL


def _eigenvalues_on_host(matrix: np.ndarray) -> np.ndarray:
    """By SciPy's LAPACK, which jaxlib calls too: the same bits."""
    import scipy.linalg

    largest = np.abs(matrix).max()
    if not np.isfinite(largest):
        return _host_eigenvalues(matrix)
    exponent = np.frexp(largest)[1]
    values: Any = scipy.linalg.eigvals(np.ldexp(matrix, -exponent), check_finite=False)
    values = values.astype(np.result_type(matrix.dtype, np.complex64))
    parts = np.stack([values.real, values.imag], axis=-1)
    return np.ldexp(parts, exponent).view(values.dtype)[..., 0]


@lean
def _near_one(matrix: Float[Array, "... n n"]) -> tuple[Array, Array]:
    """The matrix with its largest entry near 1, and the exponent: LAPACK fails to undo its own scaling."""
    size = largest(matrix, axis=(-2, -1))
    exponent = jnp.where(jnp.isfinite(size), jnp.frexp(size)[1], 0)
    return jnp.ldexp(matrix, -exponent[..., None, None]), exponent


@lean
def _times_power(values: Complex[Array, "... n"], exponent: Array) -> Complex[Array, "... n"]:
    shift = exponent[..., None]
    return jax.lax.complex(jnp.ldexp(values.real, shift), jnp.ldexp(values.imag, shift))


def _of_moderate_size(matrix: Float[Array, "... n n"]) -> Complex[Array, "... n"]:
    platform = {"cuda": "cuda", "gpu": "cuda"}.get(jax.default_backend(), jax.default_backend())
    if _device_has_eig(platform):
        return jnp.linalg.eigvals(matrix)
    dtype = np.result_type(matrix.dtype, np.complex64)
    shape = jax.ShapeDtypeStruct(matrix.shape[:-1], dtype)
    return jax.pure_callback(_host_eigenvalues, shape, matrix, vmap_method="expand_dims")


def spectral_radius(matrix: Any) -> Float[Array, "..."]:
    """ρ(W) = max |λ_i(W)|. It bounds ‖Wᵏ‖₂ from below (‖Wᵏ‖₂ ≥ ρᵏ), never from above.

    Raises:
        TypeError, ValueError: no real numbers, or not of shape (…, n, n).
    """
    values = eigenvalues(matrix)
    if _is_small(matrix):
        return jax.device_put(np.abs(np.asarray(values)).max())
    return _largest(values)


@lean
def _largest(values: Complex[Array, "... n"]) -> Float[Array, "..."]:
    return largest(values, axis=-1)


def spectral_norm(matrix: Any) -> Float[Array, "..."]:
    """s₁(W) = ‖W‖₂, the largest singular value.

    Raises:
        TypeError, ValueError: no real numbers, or not of shape (…, m, n).
    """
    matrix = _matrix(matrix, square=False)
    if not _is_small(matrix):
        return _first_singular_value(matrix)
    import scipy.linalg

    on_host = np.asarray(matrix)
    if not np.isfinite(on_host).all():
        return jax.device_put(on_host.dtype.type(np.nan))
    return jax.device_put(scipy.linalg.svdvals(on_host, check_finite=False)[0])


@lean
def _first_singular_value(matrix: Float[Array, "... m n"]) -> Float[Array, "..."]:
    return jnp.linalg.svd(matrix, compute_uv=False)[..., 0]
