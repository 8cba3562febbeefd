"""Host code asks for no programs of one operation: each is a tenth of a second of waiting the first time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnn_dynamics as rd
from tests import results_made
from tests.eager import single_operations


def square(x: jax.Array) -> jax.Array:
    return jnp.sum(jnp.square(x))


@pytest.mark.parametrize("every_step", [False, True])
def test_a_verdict_asks_for_none(every_step: bool) -> None:
    run = rd.rollout(results_made.six_units(), np.full(6, 0.3), np.ones((20, 1)))
    with single_operations() as found:
        str(rd.diagnose(run, square, every_step=every_step))
    assert not found
