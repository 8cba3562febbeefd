"""Derivatives with respect to the states of any network, by probes of zero that it adds to them."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from rnn_dynamics.cells.saturation import exact_slopes
from rnn_dynamics.gradients.credit.results import log_norms
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.scaled import Scaled, power_of_two
from rnn_dynamics.numerics.status import Status
from rnn_dynamics.numerics.validation import real_array

_SEEDS = 5  # cotangents of the loss, spread over the exponents of a float


@dataclasses.dataclass(frozen=True, repr=False)
class ProbedCredit(Result):
    """∂E/∂p_k at p = 0 for probes p_k that a network adds to its states.

    Attributes:
        states: scaled vectors, shape (K, n); 0 where no scale of the floats held them.
        status: ``Status`` of each, shape (K,): RESOLVED, or UNRESOLVED where it underflows (or is 0).
        log_floor: ln of the norm that a derivative needs so that floats hold all its digits at the scale used.
            What lies below, and what was computed from it, the probes before it, is UNRESOLVED.
        derivative: "total", dE/dh_k, where a probe moves later states too; "direct", ∂⁺E/∂h_k, where it moves none;
            "unknown" where the network gives no states back.
    """

    states: Scaled
    status: Int[np.ndarray, " K"]
    log_floor: float
    derivative: str

    _axes: ClassVar = {"K": "time"}
    _units: ClassVar = {"log_floor": "nats"}

    @property
    def log_norms(self) -> Float[Array, " K"]:
        """ln‖∂E/∂p_k‖; −inf where UNRESOLVED."""
        return log_norms(self.states)

    def __repr__(self) -> str:
        good = int((self.status == Status.RESOLVED).sum())
        return f"ProbedCredit({self.derivative} derivatives, {good} of {len(self.status)} resolved)"


def _pulled(loss: Callable[[Array], Array], probes: Array, seeds: Array) -> np.ndarray:
    """∂E/∂p times each seed, shape (seeds, K, n): one backward pass for each."""

    @jax.jit
    def program(probes: Array, seeds: Array) -> Array:
        pull = jax.vjp(exact_slopes(loss), probes)[1]
        return jax.vmap(lambda seed: pull(seed)[0])(seeds)

    return np.asarray(program(probes, seeds)).reshape(len(seeds), len(probes), -1)


def _chosen(found: np.ndarray, powers: np.ndarray) -> tuple[Scaled, np.ndarray]:
    """For each probe the largest seed that keeps its row finite and all rows after it above the floor."""
    info = jnp.finfo(found.dtype)
    sizes = np.max(np.abs(found), axis=2, initial=0)
    finite = np.isfinite(sizes)
    sunk = (sizes > 0) & (sizes < float(info.tiny) / float(info.eps))
    # The backward pass runs from the last probe to the first: what follows a sunken row has lost digits.
    lost = np.logical_or.accumulate((sunk | ~finite)[:, ::-1], axis=1)[:, ::-1]
    usable = finite & ~lost & (sizes > 0)
    best = len(powers) - 1 - np.argmax(usable[::-1], axis=0)
    good = usable.any(axis=0)
    rows = np.where(good[:, None], found[best, np.arange(found.shape[1])], 0)
    exponents = np.where(good, -powers[best], 0).astype(np.int32)
    return Scaled(jnp.asarray(rows), jnp.asarray(exponents), 1).normalize(), good


def _derivative(network: Any, probes: Array) -> str:
    """Whether a small push at one probe moves states after it."""
    length = len(probes)
    for k in sorted({0, length // 3, 2 * length // 3}):
        push = jnp.zeros_like(probes).at[k].set(1)
        moved = jax.jvp(lambda p: network(p)[1], (probes,), (push,))[1]
        by_state = np.any(np.asarray(moved).reshape(length, -1) != 0, axis=1)
        if by_state[k + 1 :].any():
            return "total"
    return "direct"


def credit_by_probes(network: Any, probes: Any) -> ProbedCredit:
    """∂E/∂h_k of a network that is no map of one state: with attention, skips, several clocks, or by hand.

    The network takes probes, adds p_k to its k-th state wherever that is used, and is differentiated at p = 0.
    Plain gradients underflow: in float32 most lags come back as exactly 0. Here the loss's cotangent is 2^s for
    several s, which adds some 36 decades of range in float32 and 290 in float64; what lies below is flagged.

    Args:
        network: ``network(probes)`` gives E, or (E, states) with states of the probes' shape, which tells whether
            the derivatives are total or direct. A probe added before later states are computed gives dE/dh_k, one
            added only where the loss reads the state ∂⁺E/∂h_k.
        probes: zeros, shape (K, …), in the dtype that the network runs in.

    Returns:
        ``ProbedCredit``.

    Raises:
        TypeError, ValueError: a network that is no function, or gives no number and no such states; probes that are
            not zero, or without a leading axis.

    Reference: A. Griewank, A. Walther, "Evaluating Derivatives", SIAM 2008, chapter 3.
    """
    if not callable(network):
        raise TypeError(f"network: expected a callable network(probes), got {type(network).__name__}")
    probes = real_array("probes", probes)
    if not probes.ndim or not len(probes):
        raise ValueError(f"probes: expected a leading axis with at least one entry, got shape {probes.shape}")
    if (np.asarray(probes) != 0).any():
        raise ValueError("probes: expected zeros, so that the network is the one without probes")
    value, states = _outputs(jax.eval_shape(network, probes), probes.shape)
    kind = "unknown" if states is None else _derivative(network, probes)
    found, powers = _at_several_scales(
        _first_of(network) if states is not None else network, probes, value.dtype
    )
    rows, good = _chosen(found, powers)
    info = jnp.finfo(found.dtype)
    whole = np.isfinite(found).all(axis=(1, 2))
    scale = int(powers[whole].max() if whole.any() else powers.min())
    floor = math.log(float(info.tiny) / float(info.eps)) - scale * math.log(2)
    status = np.where(good, Status.RESOLVED, Status.UNRESOLVED)
    return ProbedCredit(rows, status, floor + 0.5 * math.log(found.shape[2]), kind)


def _outputs(shape: Any, of_probes: tuple[int, ...]) -> tuple[Any, Any]:
    """E, and the states or ``None``, as ``eval_shape`` gives them."""
    value: Any = shape
    states: Any = None
    if isinstance(shape, tuple) and len(shape) == 2:
        value, states = shape
    if getattr(value, "shape", None) != () or not jnp.issubdtype(value.dtype, jnp.floating):
        raise ValueError(f"network: expected a number E, or (E, states), got {shape}")
    if states is not None and getattr(states, "shape", None) != of_probes:
        raise ValueError(f"network: expected states of shape {of_probes}, got {states}")
    return value, states


def _first_of(network: Any) -> Any:
    return lambda probes: network(probes)[0]


def _at_several_scales(loss: Any, probes: Array, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """2^s ∂E/∂p for several s, and for the largest that keeps every row finite; and the s."""
    reach = int(-jnp.finfo(dtype).minexp) - 6
    powers = np.linspace(-reach, reach, _SEEDS).astype(int)
    found = _pulled(loss, probes, power_of_two(jnp.asarray(powers), dtype))
    sizes = np.abs(found).max(axis=(1, 2), initial=0)
    whole = np.isfinite(sizes) & (sizes > 0)
    if not whole.any():
        return found, powers
    best = int(np.flatnonzero(whole)[-1])
    room = int(jnp.finfo(found.dtype).maxexp) - 4 - int(np.frexp(sizes[best])[1])
    last = min(powers[best] + max(room, 0), reach)
    more = _pulled(loss, probes, power_of_two(jnp.asarray([last]), dtype))
    order = np.argsort(np.append(powers, last))
    return np.concatenate([found, more])[order], np.append(powers, last)[order]
