"""Affine maps: a derivative that no state enters, proved from the map's own program; all orbits are known.

x⁺ = A x + c with every |λ(A)| < 1 has one fixed point, to which every orbit goes, however slowly; where some
|λ| > 1 every orbit off the stable subspace leaves. A multiplier of size 1 decides neither.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

from rnn_dynamics.basins.orbit_labels import DIVERGED, UNDECIDED
from rnn_dynamics.basins.polish import Cycle
from rnn_dynamics.cells.structure import join, split

__all__ = ["Affine", "affine_map"]

_CALLS = ("jaxpr", "call_jaxpr", "fun_jaxpr")


def _depends(jaxpr: Any, varies: list[bool]) -> list[bool]:
    """Which outputs of a program depend on the inputs that vary; loops and branches count as a whole."""
    known = dict(zip(jaxpr.invars, varies, strict=True))

    def of(atom: Any) -> bool:
        return not isinstance(atom, Literal) and known.get(atom, False)

    for equation in jaxpr.eqns:
        given = [of(atom) for atom in equation.invars]
        inner = next((equation.params[name] for name in _CALLS if name in equation.params), None)
        inner = inner.jaxpr if isinstance(inner, ClosedJaxpr) else inner
        whole = "branches" in equation.params or equation.primitive.name in ("scan", "while")
        if inner is not None and not whole and len(inner.invars) == len(given):
            out = _depends(inner, given)
        else:
            out = [any(given)] * len(equation.outvars)
        known.update(zip(equation.outvars, out, strict=True))
    return [of(atom) for atom in jaxpr.outvars]


@functools.partial(jax.jit, static_argnums=(0, 3))
def _parts(static: Any, arrays: Any, u: Any, shape: tuple[int, ...], origin: Any) -> tuple[Any, Any]:
    cell = join(static, arrays)

    def step(x: Any) -> Any:
        return cell(x.reshape(shape), u).reshape(-1)

    return jax.jacfwd(step)(origin), step(origin)


@dataclasses.dataclass(frozen=True)
class Affine:
    """x⁺ = matrix · x + constant, on the host in float64.

    Attributes:
        matrix, constant: A and c.
        sizes: |λ(A)|, in descending order.
        doubt: how far a size may be off.
    """

    matrix: np.ndarray
    constant: np.ndarray
    sizes: np.ndarray
    doubt: float

    @property
    def contracts(self) -> bool:
        """Every |λ| < 1."""
        return bool(self.sizes[0] < 1 - self.doubt)

    @property
    def marginal(self) -> bool:
        """Some |λ| cannot be told from 1, and none is larger."""
        return not self.contracts and bool(self.sizes[0] <= 1 + self.doubt)

    def cycle(self, dtype: Any) -> Cycle:
        """The one fixed point of a map that contracts, rounded."""
        point = np.linalg.solve(np.eye(len(self.matrix)) - self.matrix, self.constant)
        residual = float(np.abs(np.dot(self.matrix, point) + self.constant - point).max())
        return Cycle(point[None].astype(dtype), np.linalg.eigvals(self.matrix), residual)

    def labels(self, states: np.ndarray) -> np.ndarray:
        """DIVERGED where a state has a part along a growing direction that stands out of rounding."""
        found = np.full(len(states), UNDECIDED, np.int32)
        if self.contracts or self.marginal or (np.abs(self.sizes - 1) <= self.doubt).any():
            return found
        values, vectors = np.linalg.eig(self.matrix.T)
        centre = np.linalg.solve(np.eye(len(self.matrix)) - self.matrix, self.constant)
        apart = states.astype(np.float64) - centre
        rounding = 1e3 * np.finfo(states.dtype).eps * (np.abs(states).max(-1) + np.abs(centre).max())
        for value, vector in zip(values, vectors.T, strict=True):
            if np.abs(value) > 1 + self.doubt:
                along = np.abs(np.dot(apart, vector)) / np.linalg.norm(vector)
                found[along > rounding] = DIVERGED
        return found


def affine_map(cell: Any, u: Any, shape: tuple[int, ...], dtype: Any) -> Affine | None:
    """The map as A x + c if its derivative is proved not to depend on the state, else ``None``."""
    n = int(np.prod(shape, dtype=int))
    state = jax.ShapeDtypeStruct((n,), dtype)

    def change(x: Any, dx: Any) -> Any:
        return jax.jvp(lambda at: cell(at.reshape(shape), u).reshape(-1), (x,), (dx,))[1]

    try:
        program = jax.make_jaxpr(change)(state, state).jaxpr
    except Exception:  # a cell without derivatives is no affine map
        return None
    if any(_depends(program, [True, False])):
        return None
    matrix, constant = _parts(*split(cell), u, shape, jnp.zeros(n, dtype))
    matrix, constant = np.asarray(matrix, np.float64), np.asarray(constant, np.float64)
    if not (np.isfinite(matrix).all() and np.isfinite(constant).all()):
        return None
    unit = float(np.finfo(dtype).eps) / 2
    sizes = np.sort(np.abs(np.linalg.eigvals(matrix)))[::-1]
    return Affine(matrix, constant, sizes, 4 * n * unit * max(1.0, float(np.linalg.norm(matrix, 2))))
