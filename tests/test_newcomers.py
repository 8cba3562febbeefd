"""What is given in the place of a run, a cell, a loss or a file by mistake is told with the call that was meant."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import rnn_dynamics as rd

CELL = rd.ElmanRNN(np.eye(2, dtype=np.float32), np.zeros(2, np.float32), np.ones((2, 3), np.float32))
INPUTS = np.ones((4, 3), np.float32)


class Linear:
    """A module of another framework, as far as it is looked at."""

    def state_dict(self) -> dict[str, Any]:
        return {"weight": np.eye(2), "bias": np.zeros(2)}

    def __call__(self, x: Any) -> Any:
        raise AssertionError("it is not run")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: rd.diagnose(CELL),
            r"^trajectory: .*got ElmanRNN: rd\.rollout\(cell, None, inputs\) is its run",
        ),
        (lambda: rd.diagnose(rd.Bidirectional([(CELL, CELL)])), r"^trajectory: .*network\.run\(inputs\)"),
        (lambda: rd.diagnose("model.pt"), r"^trajectory: .*got str: .*rd\.interop\.load\(path\)"),
        (lambda: rd.diagnose(Path("model.pt")), r"^trajectory: .*rd\.interop\.load\(path\)"),
        (lambda: rd.diagnose(Linear()), r"^trajectory: .*rd\.interop\.from_module\(module\)"),
        (lambda: rd.diagnose(3), r"^trajectory: .*got int$"),
        (lambda: rd.rollout(Linear(), None, INPUTS), r"^cell: .*another framework: rd\.interop\.from_module"),
        (lambda: rd.rollout(CELL, None, [np.ones(3)] * 5), r"of a list of 5: np\.stack\(inputs\) makes one"),
        (
            lambda: rd.Bidirectional([(CELL, CELL)]).run(np.ones((3, 9))),
            r"^inputs: .*network\.run\(inputs\.T\)",
        ),
        (lambda: rd.rollout(CELL, INPUTS), r"^steps: .*the argument behind x0"),
        (lambda: rd.interop.check(Linear(), INPUTS, INPUTS), r"^cell: .*rd\.interop\.from_module"),
        (lambda: rd.interop.check(CELL, INPUTS, np.ones((4, 9))), r"^output: .*got 9: .*before any readout"),
        (
            lambda: rd.interop.check(rd.Bidirectional([(CELL, CELL)]), INPUTS, np.ones((4, 9))),
            r"^output: .*\(4, 9\): .*before any readout",
        ),
        (lambda: rd.interop.from_torch("model.pt"), r"^source: .*got str; rd\.interop\.load reads files"),
        (lambda: rd.interop.from_keras("model.h5"), r"^source: .*got str; rd\.interop\.load reads files"),
        (lambda: rd.interop.from_torch(Linear()), r"^source: .*got \['bias', 'weight'\]; none of the names"),
        (lambda: rd.interop.load(Linear().state_dict()), r"^path: .*; rd\.interop\.from_module reads"),
    ],
)
def test_what_was_meant_is_named(call: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        call()


def test_a_loss_is_a_function_of_jax_that_gives_one_number() -> None:
    run = rd.rollout(CELL, None, INPUTS)
    both = rd.Bidirectional([(CELL, CELL)]).run(INPUTS)
    for made, argument in ((run, "x"), (both, "y")):
        with pytest.raises(
            TypeError, match=rf"^loss: .*loss\({argument}\) of JAX's arrays, got a Linear of tests"
        ):
            rd.diagnose(made, Linear())
    with pytest.raises(ValueError, match=r"^loss: expected a number, got float32 of shape \(2,\)$"):
        rd.diagnose(run, lambda x: x)
    with pytest.raises(ValueError, match=r"^loss: expected a number, got tuple$"):
        rd.diagnose(run, lambda x: (jnp.sum(x), x))
