"""What every recurrent map must do, and each member that it declares (``cells.declared``) held against the map.

A cell class of ``rnn_dynamics.cells`` is made from its own annotations: arrays of the shapes that its fields name,
n = 3 units and inputs of m = 2. So a new cell is tested as soon as it is exported; ``of_class`` says what it lacks.
"""

import dataclasses
import inspect
import itertools
import re
import typing
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import rnn_dynamics as rd
from rnn_dynamics import cells
from rnn_dynamics.cells.declared import Declaring
from rnn_dynamics.cells.saturation import exact_slopes
from rnn_dynamics.cells.shapes import shapes_of
from tests.house import FILES, tree

SIZES = {"n": 3, "m": 2, "k": 4, "a": 2}
OPTIONAL = sorted(name for name in vars(Declaring) if not name.startswith("_"))
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}


class Example(NamedTuple):
    """A map with a state and the input of a step."""

    cell: Any
    x: np.ndarray
    u: Any


def cell_classes() -> dict[str, type]:
    """The exported classes whose instances are maps, by name."""
    found = {name: getattr(cells, name) for name in cells.__all__}
    return {
        name: value
        for name, value in found.items()
        if inspect.isclass(value)
        and dataclasses.is_dataclass(value)
        and "__call__" in dir(value)
        and name != "Activation"
    }


def _shape(hint: Any) -> tuple[int, ...] | None:
    """The numbers that an annotation such as ``Float[Array, "3*n m"]`` stands for."""
    for one in (hint, *typing.get_args(hint)):
        text = getattr(one, "dim_str", None)
        if isinstance(text, str):
            sizes = [re.fullmatch(r"(\d*)\*?([a-z]?)", token) for token in text.split()]
            if not all(sizes):
                return None
            return tuple(int(s[1] or 1) * SIZES.get(s[2], 1) for s in sizes if s is not None)
    return None


def of_class(cls: type, dtype: str) -> Example:
    """An example of a cell class, its weights drawn at random."""
    draws, hints = np.random.default_rng(0), typing.get_type_hints(cls)
    given: dict[str, Any] = {}
    for name, parameter in inspect.signature(cls).parameters.items():
        shape = _shape(hints.get(name))
        if shape is not None and (shape or parameter.default is inspect.Parameter.empty):
            given[name] = (0.5 * draws.normal(size=shape)).astype(dtype)
        elif parameter.default is inspect.Parameter.empty:
            assert name == "span", f"{cls.__name__}: conformance cannot make the argument {name!r}"
            given[name] = 2
    cell = cls(**given)
    told = shapes_of(cell)
    assert told.state is not None, f"{cls.__name__} does not tell the size of its state"
    x = (0.4 * draws.normal(size=told.state)).astype(dtype)
    if not told.takes_inputs or told.inputs is None:
        return Example(cell, x, None)
    return Example(cell, x, (0.5 * draws.normal(size=told.inputs)).astype(dtype))


def in_depth(cell: Any, dtype: str) -> Example:
    """A map whose input is a layer's parameters."""
    draws = np.random.default_rng(0)
    layer = {"W": 0.6 * draws.normal(size=(3, 3)), "b": 0.2 * draws.normal(size=3)}
    if isinstance(cell, cells.LayerNormalized):
        layer |= {"gain": draws.uniform(0.5, 1.5, 3), "offset": 0.1 * draws.normal(size=3)}
    layer = {name: value.astype(dtype) for name, value in layer.items()}
    return Example(cell, (0.4 * draws.normal(size=3)).astype(dtype), layer)


def asked_for() -> set[str]:
    """The members that the source looks for by name in a cell."""
    found = set()
    import ast

    for module in FILES:
        for node in ast.walk(tree(module)):
            is_look = isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("hasattr", "getattr")
            if is_look and len(node.args) > 1 and isinstance(node.args[1], ast.Constant):
                owner = ast.unparse(node.args[0])
                if re.search(r"\bcell$|\blayer$|\bowner$", owner) and ".interop." not in f"{module}.":
                    found.add(str(node.args[1].value))
    return found


def _plain(cell: Any) -> Callable[[Any, Any], Any]:
    """The map without what it declares."""
    return lambda x, u: cell(x, u)


def _close(found: Any, expected: Any, dtype: str, what: str) -> None:
    np.testing.assert_allclose(found, expected, atol=TOLERANCE[dtype], rtol=TOLERANCE[dtype], err_msg=what)


def check_map(example: Example, dtype: str) -> None:
    """One step: shape, dtype, no number lost in jit, vmap and as a pytree."""
    cell, x, u = example
    following = np.asarray(cell(jnp.asarray(x), u))
    assert (following.shape, following.dtype) == (x.shape, np.dtype(dtype))
    assert np.isfinite(following).all()
    leaves, structure = jax.tree_util.tree_flatten(cell)
    again = jax.tree_util.tree_unflatten(structure, leaves)
    _close(
        jax.jit(lambda c, s, i: c(s, i))(again, x, u) if _is_tree(cell) else cell(x, u),
        following,
        dtype,
        "jit",
    )
    batch = jnp.stack([jnp.asarray(x), 0.5 * jnp.asarray(x)])
    rows = jax.vmap(lambda s: cell(s, u))(batch)
    _close(rows, [cell(row, u) for row in batch], dtype, "vmap")


def _is_tree(cell: Any) -> bool:
    return not callable(jax.tree_util.tree_leaves(cell)[0]) if jax.tree_util.tree_leaves(cell) else True


def check_orbit(example: Example, dtype: str) -> None:
    """A run, its Jacobians against forward derivatives of the map alone, and their product in NumPy."""
    cell, x, u = example
    steps = 4
    inputs = None if u is None else jax.tree_util.tree_map(lambda leaf: np.stack([leaf] * steps), u)
    run = rd.rollout(cell, x, inputs, steps=None if u is not None else steps)
    assert run.states.dtype == np.dtype(dtype)
    forward = jax.jit(jax.jacfwd(_plain(exact_slopes(cell))))
    jacobians = [np.asarray(forward(state, u), float).reshape(x.size, x.size) for state in run.states[:-1]]
    _close(
        np.asarray(rd.step_jacobians(run)).reshape(steps, x.size, x.size), jacobians, dtype, "step_jacobians"
    )
    product, norms = np.eye(x.size), [0.0]
    for matrix in reversed(jacobians):
        product = product @ matrix
        norms.append(float(np.log(np.linalg.norm(product, 2))))
    found = np.asarray(rd.gradient_norms(run), float)
    np.testing.assert_allclose(found, norms[::-1], atol=100 * TOLERANCE[dtype], err_msg="gradient_norms")
    if dtype == "float64":
        assert "Gradients:" in str(rd.diagnose(run))


def check_declared(example: Example, dtype: str) -> set[str]:
    """Every optional member that the cell has; their names."""
    cell, x, u = example
    checked = set()
    for name in OPTIONAL:
        if hasattr(cell, name) and name in CHECKS:
            CHECKS[name](cell, x, u, dtype)
            checked.add(name)
    return checked


def _jacobian(cell: Any, x: Any, u: Any, dtype: str) -> None:
    forward = jax.jit(jax.jacfwd(_plain(exact_slopes(cell))))
    _close(cell.jacobian(x, u), forward(jnp.asarray(x), u), dtype, "jacobian")


def _structure(cell: Any, x: Any, u: Any, dtype: str) -> None:
    told = cell.structure()
    assert np.asarray(told.weights).shape == (x.size, x.size)
    if told.slope_bound is None:
        return
    forward = jax.jit(jax.jacfwd(_plain(cell)))
    leak, size = float(told.leak), np.linalg.norm(np.asarray(told.weights, float), 2)
    for scale in (0.0, 1.0, 5.0):
        matrix = np.asarray(forward(jnp.asarray(scale * x, dtype), u), float)
        bound = (1 - leak) + leak * told.slope_bound * size
        assert np.linalg.norm(matrix.reshape(x.size, x.size), 2) <= bound * (1 + TOLERANCE[dtype])


def _slopes(cell: Any, x: Any, u: Any, dtype: str) -> None:
    assert np.asarray(cell.slopes(x, u)).shape == x.shape


def _gates(cell: Any, x: Any, u: Any, dtype: str) -> None:
    for name, value in cell.gates(x, u).items():
        assert np.asarray(value).ndim == 1, name
        assert (np.abs(value) <= 1).all(), name


def _carries(cell: Any, x: Any, u: Any, dtype: str) -> None:
    for name, value in cell.carries(x, u).items():
        assert ((np.asarray(value) >= 0) & (np.asarray(value) <= 1)).all(), name


def _gate_rows(cell: Any, x: Any, u: Any, dtype: str) -> None:
    for name, gates in cell.gate_rows.items():
        if (value := getattr(cell, name)) is not None:
            assert value.shape[0] % len(gates) == 0, name


def _parts(cell: Any, x: Any, u: Any, dtype: str) -> None:
    places = np.concatenate([np.arange(x.size)[part] for part in cell.parts.values()])
    assert sorted(places) == list(range(x.size))


def _units(cell: Any, x: Any, u: Any, dtype: str) -> None:
    assert x.size % cell.units == 0


def _dt(cell: Any, x: Any, u: Any, dtype: str) -> None:
    assert float(cell.dt) > 0


def _window(cell: Any, x: Any, u: Any, dtype: str) -> None:
    later = np.asarray(cell.window(cell(jnp.asarray(x), u)))
    _close(later[1:], np.asarray(cell.window(x))[:-1], dtype, "window")


def _branch(cell: Any, x: Any, u: Any, dtype: str) -> None:
    _close(cell.carry * x + cell.branch(x, u), cell(jnp.asarray(x), u), dtype, "branch")


def _monotone_pieces(cell: Any, x: Any, u: Any, dtype: str) -> None:
    ends = np.asarray(cell.monotone_pieces(u), float)
    assert (np.diff(ends) >= 0).all()
    for low, high in itertools.pairwise(ends):
        at = np.linspace(low, high, 41)
        values = at - np.asarray(jax.vmap(lambda s: cell(s, u))(jnp.asarray(at, dtype)), float)
        turns = np.diff(values)
        slack = 100 * TOLERANCE[dtype]
        assert (turns >= -slack).all() or (turns <= slack).all()


def _longer_memory(cell: Any, x: Any, u: Any, dtype: str) -> None:
    assert isinstance(cell.longer_memory, str)


def _activation(cell: Any, x: Any, u: Any, dtype: str) -> None:
    assert isinstance(cell.activation, cells.Activation)


def _weights(cell: Any, x: Any, u: Any, dtype: str) -> None:
    assert np.asarray(cell.W).dtype == np.dtype(dtype)


def _input_weights(cell: Any, x: Any, u: Any, dtype: str) -> None:
    if cell.W_in is not None:
        assert cell.W_in.shape[-1] == u.size


CHECKS: dict[str, Callable[[Any, Any, Any, str], None]] = {
    "W": _weights,
    "W_in": _input_weights,
    "activation": _activation,
    "branch": _branch,
    "carries": _carries,
    "dt": _dt,
    "gate_rows": _gate_rows,
    "gates": _gates,
    "jacobian": _jacobian,
    "longer_memory": _longer_memory,
    "monotone_pieces": _monotone_pieces,
    "parts": _parts,
    "slopes": _slopes,
    "structure": _structure,
    "units": _units,
    "window": _window,
}
