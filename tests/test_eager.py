"""Host code asks for no programs of one operation: each is a tenth of a second of waiting the first time."""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

import rnn_dynamics as rd
from tests import results_made
from tests.eager import single_operations


def square(x: jax.Array) -> jax.Array:
    return jnp.sum(jnp.square(x))


def test_an_operation_on_the_host_is_seen() -> None:
    loss = results_made.group("neuron")["Loss"]
    with single_operations() as found:
        _ = loss.resolved
    assert any("equal" in line and "cliff/loss.py" in line for line in found)


@pytest.mark.parametrize("kind", results_made.MAKERS)
def test_pictures_and_words_of_results_ask_for_none(kind: str) -> None:
    made = results_made.group(kind)
    with single_operations() as found:
        for result in made.values():
            repr(result)
            if getattr(type(result), "picture", None) is not None:
                result.plot()
                plt.close("all")
    assert not found


@pytest.mark.parametrize("every_step", [False, True])
def test_a_verdict_asks_for_none(every_step: bool) -> None:
    run = rd.rollout(results_made.six_units(), np.full(6, 0.3), np.ones((20, 1)))
    with single_operations() as found:
        str(rd.diagnose(run, square, every_step=every_step))
    assert not found
