"""Affine maps, proved to be so from their own programs; their orbits are known at once.

x⁺ = A x + c with every |λ(A)| < 1 has one fixed point, to which every orbit goes, however slowly; where some
|λ| > 1 every orbit off the stable subspace leaves. A multiplier of size 1 decides neither.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

from rnn_dynamics.cells.pytree import join, split
from rnn_dynamics.dynamics.basins.labelling import DIVERGED, UNDECIDED
from rnn_dynamics.dynamics.basins.polish import Cycle
from rnn_dynamics.numerics.compiling import lean

_CALLS = ("jaxpr", "call_jaxpr", "fun_jaxpr")
_CONSTANT, _AFFINE, _OTHER = 0, 1, 2
# What of primitives is linear: in all their arguments together, in the first alone, in one of two.
_LINEAR = {
    *("add", "sub", "neg", "add_any", "reduce_sum", "cumsum", "concatenate", "reshape", "broadcast_in_dim"),
    *("transpose", "squeeze", "expand_dims", "rev", "slice", "pad", "copy", "copy_p", "real", "imag"),
    *("stack", "unstack", "split", "tile", "reduce_window_sum", "optimization_barrier"),
}
_IN_THE_FIRST = {"div", "gather", "dynamic_slice"}
_IN_ONE = {"mul", "dot_general", "conv_general_dilated"}


def _degree(equation: Any, given: list[int]) -> int:
    """Whether the results of one equation are affine functions of the state, where its arguments are."""
    name, most = equation.primitive.name, max(given, default=_CONSTANT)
    if most != _AFFINE:
        return most
    if name in _LINEAR:
        return _AFFINE
    if name in _IN_THE_FIRST and max(given[1:], default=_CONSTANT) == _CONSTANT:
        return _AFFINE
    if name in _IN_ONE and sum(degree == _AFFINE for degree in given) == 1:
        return _AFFINE
    if name == "select_n" and given[0] == _CONSTANT:
        return _AFFINE
    if name == "integer_pow" and equation.params["y"] == 1:
        return _AFFINE
    floats = name == "convert_element_type" and jnp.issubdtype(equation.params["new_dtype"], jnp.floating)
    return _AFFINE if floats else _OTHER


def _degrees(jaxpr: Any, given: list[int]) -> list[int]:
    """Which results of a program are constant in the state, affine or something else; loops are something else."""
    known = dict(zip(jaxpr.invars, given, strict=True))

    def of(atom: Any) -> int:
        return _CONSTANT if isinstance(atom, Literal) else known.get(atom, _CONSTANT)

    for equation in jaxpr.eqns:
        arguments = [of(atom) for atom in equation.invars]
        inner = next((equation.params[name] for name in _CALLS if name in equation.params), None)
        inner = inner.jaxpr if isinstance(inner, ClosedJaxpr) else inner
        whole = "branches" in equation.params or equation.primitive.name in ("scan", "while")
        if inner is not None and not whole and len(inner.invars) == len(arguments):
            out = _degrees(inner, arguments)
        else:
            out = [_degree(equation, arguments)] * len(equation.outvars)
        known.update(zip(equation.outvars, out, strict=True))
    return [of(atom) for atom in jaxpr.outvars]


@lean(static_argnums=(0, 3))
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
        """Whether every eigenvalue has |λ| < 1."""
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
    """The map as A x + c if its program only adds, moves and scales what it makes of the state, else ``None``.

    ``None`` too where it seems to grow and floats do not tell.
    """
    n = int(np.prod(shape, dtype=int))
    state = jax.ShapeDtypeStruct((n,), dtype)

    def step(x: Any) -> Any:
        return cell(x.reshape(shape), u).reshape(-1)

    program = jax.make_jaxpr(step)(state).jaxpr
    if max(_degrees(program, [_AFFINE])) == _OTHER:
        return None
    matrix, constant = _parts(*split(cell), u, shape, jnp.zeros(n, dtype))
    matrix, constant = np.asarray(matrix, np.float64), np.asarray(constant, np.float64)
    if not (np.isfinite(matrix).all() and np.isfinite(constant).all()):
        return None
    unit = float(np.finfo(dtype).eps) / 2
    values, vectors = np.linalg.eig(matrix)
    sizes = np.sort(np.abs(values))[::-1]
    doubt = 4 * n * unit * max(1.0, float(np.linalg.norm(matrix, 2)))
    # Eigenvalues of a matrix far from normal are off by that times the condition of its eigenvectors (Bauer, Fike).
    if sizes[0] > 1 + doubt and not np.linalg.cond(vectors) * doubt < sizes[0] - 1:
        return None
    return Affine(matrix, constant, sizes, doubt)
