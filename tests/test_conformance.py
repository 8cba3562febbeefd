"""Every built-in cell, a Partial, an Equinox module and a bare function through the conformance suite."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from rnn_dynamics import cells
from tests import conformance
from tests.conformance import Example
from tests.marks import FLOAT32_IN_SOAK

IN_DEPTH = {"FeedForward", "LayerNormalized", "ResidualBlock"}  # their input is a layer's parameters
ELSEWHERE = {
    "BatchNormalized": "its state is a whole batch: test_feedforward",
    "MixedMemory": "made of other cells, below",
    "Stack": "made of other cells, below",
}


class Module(eqx.Module):
    """A user's."""

    W: jax.Array

    def __call__(self, x, u=None):
        return jnp.tanh(jnp.matmul(self.W, x)) + (0.0 if u is None else jnp.sum(u))


def turned(W, x, u):
    return jnp.sin(jnp.matmul(W, x)) + (0.0 if u is None else jnp.sum(u))


def bare(x, u):
    return 0.5 * jnp.cos(x) + (0.0 if u is None else jnp.sum(u))


def _made(name: str, dtype: str) -> Example:
    draws = np.random.default_rng(2)
    W, x, u = (0.6 * draws.normal(size=shape).astype(dtype) for shape in ((3, 3), (3,), (2,)))
    W, x, u = (part.astype(dtype) for part in (W, x, u))
    if name == "Partial":
        return Example(Partial(turned, jnp.asarray(W)), x, u)
    if name == "Equinox":
        return Example(Module(jnp.asarray(W)), x, u)
    if name == "closure":
        return Example(bare, x, u)
    if name == "Stack":
        lower, upper = (conformance.of_class(cells.ElmanRNN, dtype).cell for _ in range(2))
        upper = cells.ElmanRNN(upper.W, upper.b, 0.3 * np.ones((3, 3), dtype))
        return Example(cells.Stack((lower, upper)), np.concatenate([x, x]), u)
    if name == "MixedMemory":
        memory, network = (conformance.of_class(cls, dtype).cell for cls in (cells.LSTM, cells.CfC))
        return Example(cells.MixedMemory(memory, network), np.concatenate([x, x]), u)
    cls = conformance.cell_classes()[name]
    return conformance.in_depth(cls(), dtype) if name in IN_DEPTH else conformance.of_class(cls, dtype)


NAMES = [
    "Partial",
    "Equinox",
    "closure",
    "MixedMemory",
    "Stack",
    *(set(conformance.cell_classes()) - set(ELSEWHERE)),
]


@FLOAT32_IN_SOAK
@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_map_conforms_and_keeps_what_it_declares(name: str, dtype: str) -> None:
    example = _made(name, dtype)
    conformance.check_map(example, dtype)
    conformance.check_declared(example, dtype)
    conformance.check_orbit(example, dtype)


def test_every_member_is_checked_on_some_cell() -> None:
    examples = [_made(name, "float64").cell for name in NAMES]
    declared = {member for cell in examples for member in conformance.OPTIONAL if hasattr(cell, member)}
    # What has over_batch is no map of one state: test_training_remedies.
    assert declared - {"carry"} == set(conformance.CHECKS)
    assert set(conformance.CHECKS) | {"carry", "over_batch"} == set(conformance.OPTIONAL)


def test_what_the_source_asks_of_a_cell_is_written_down() -> None:
    asked = conformance.asked_for()
    assert {"jacobian", "structure", "parts", "gates"} <= asked
    assert asked <= set(conformance.OPTIONAL)


def test_a_wrong_declaration_is_found() -> None:
    cell = conformance.of_class(cells.ElmanRNN, "float64")

    class Lying:
        def __init__(self, inner):
            self.inner = inner

        def __call__(self, x, u=None):
            return self.inner(x, u)

        def jacobian(self, x, u=None):
            return 1.01 * self.inner.jacobian(x, u)

    with pytest.raises(AssertionError, match="jacobian"):
        conformance.check_declared(Example(Lying(cell.cell), cell.x, cell.u), "float64")
