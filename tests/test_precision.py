"""Float64 numbers computed with in float32: said once, with the line that changes it; one rule of dtypes."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnn_dynamics as rd
from rnn_dynamics.cells import GRU, DoyaNeuron, ElmanRNN, MinimalRNN, PiecewiseLinearRNN
from rnn_dynamics.numerics import given

RNG = np.random.default_rng(2)
SWITCH = 'jax.config.update("jax_enable_x64", True)'
W, B, X = RNG.normal(size=(3, 3)), RNG.normal(size=3), RNG.normal(size=3)


def program(body):
    """Standard output and the warnings of a fresh process without x64."""
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", "import numpy as np\nimport rnn_dynamics as rd\n" + body],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split(), [line for line in done.stderr.splitlines() if "PrecisionWarning" in line]


@pytest.fixture
def _unsaid(monkeypatch):
    monkeypatch.setattr(given, "_warned", set())


CELLS = {
    "ElmanRNN": "rd.ElmanRNN(0.5 * np.eye(3), np.zeros(3))",
    "LSTM": "rd.LSTM(rng.normal(size=(12, 3)), np.zeros(12))",
    "list and array": "rd.PreActivationRNN(rng.normal(size=(3, 3)), [0.0, 0.0, 0.0])",
    "import": "rd.interop.from_torch({f'weight_{k}_l0': rng.normal(size=(12, 3)) for k in ('ih', 'hh')})",
    "start": "rd.rollout(rd.ElmanRNN(np.eye(3, dtype='f'), np.zeros(3, 'f')), rng.normal(size=3), steps=2)",
    "starts": "rd.fixed_points(rd.ElmanRNN(0.5 * np.eye(3, dtype='f'), np.zeros(3, 'f')), rng.normal(size=(2, 3)))",
}


@pytest.mark.usefixtures("_unsaid")
@pytest.mark.parametrize("name", CELLS)
def test_without_x64_float64_is_said_once(name):
    body = f"rng = np.random.default_rng(0)\nfor _ in range(2):\n    found = {CELLS[name]}\n"
    with jax.enable_x64(False), pytest.warns(given.PrecisionWarning) as said:
        exec(compile(body, "<string>", "exec"), {"np": np, "rd": rd})
    assert len(said) == 1
    assert SWITCH in str(said[0].message)
    assert said[0].filename == "<string>"  # the user's line, not the library's


def test_a_process_without_x64_says_so_once():
    _, said = program(f"rng = np.random.default_rng(0)\nfor _ in range(2):\n    found = {CELLS['start']}\n")
    assert len(said) == 1
    assert SWITCH in said[0]
    assert said[0].startswith("<string>:")


def test_without_x64_numbers_lists_and_float32_say_nothing():
    out, said = program(
        "cell = rd.ElmanRNN([[0.5, 0.1], [0.3, 0.2]], [0.1, 0.2], [[1.0], [0.3]])\n"
        "run = rd.rollout(cell, [0.1, 0.2], [[0.3], [0.7]])\n"
        "rd.DoyaNeuron(5.1, np.float64(-2.3)), rd.rollout(rd.DoyaNeuron(5.1, -2.3), 0.3, steps=3)\n"
        "single = rd.ElmanRNN(np.eye(2, dtype='f') * 0.3, np.zeros(2, 'f'), np.ones((2, 1), 'f'))\n"
        "rd.rollout(single, np.zeros(2), np.ones((4, 1)))\n"  # zeros and ones lose nothing
        "rd.rollout(single, None, np.random.default_rng(0).normal(size=(4, 1)))\n"  # inputs are data
        "rd.gradient_norms(run)\n"
        "print(run.states.dtype)"
    )
    assert (out, said) == (["float32"], [])


@pytest.mark.usefixtures("_unsaid")
@pytest.mark.parametrize(
    "cell",
    [
        ElmanRNN(W.astype("f"), B.astype("f")),
        GRU(RNG.normal(size=(9, 3)).astype("f"), np.zeros(9, "f")),
        MinimalRNN(W.astype("f"), W.astype("f"), B.astype("f")),
        PiecewiseLinearRNN(B.astype("f"), W.astype("f"), B.astype("f")),
    ],
    ids=lambda cell: type(cell).__name__,
)
def test_the_cell_decides_the_dtype_and_a_start_that_loses_digits_says_so(cell):
    with pytest.warns(given.PrecisionWarning, match=r"^x0: .*float32.*jax_enable_x64") as said:
        run, again = (rd.rollout(cell, start, steps=3) for start in (X, jnp.asarray(X)))
    assert len(said) == 1
    assert run.states.dtype == again.states.dtype == np.float32
    np.testing.assert_array_equal(run.states, rd.rollout(cell, X.astype("f"), steps=3).states)
    np.testing.assert_array_equal(run.states, again.states)


def test_what_loses_nothing_says_nothing():
    single, double = ElmanRNN(W.astype("f"), B.astype("f"), W.astype("f")), ElmanRNN(W, B, W)
    assert rd.rollout(single, np.zeros(3), steps=2).states.dtype == np.float32
    assert rd.rollout(single, X.tolist(), steps=2).states.dtype == np.float32
    assert rd.rollout(single, None, RNG.normal(size=(2, 3))).states.dtype == np.float32
    assert rd.rollout(double, X.astype("f"), steps=2).states.dtype == np.float64
    assert ElmanRNN(W.astype("f"), B).W.dtype == np.float64  # the widest within a cell
    assert rd.rollout(lambda x, u: jnp.tanh(x), X.astype("f"), steps=2).states.dtype == np.float32
    assert rd.rollout(DoyaNeuron(np.float32(5), np.float32(-2)), 0.3, steps=2).states.dtype == np.float32


@pytest.mark.usefixtures("_unsaid")
def test_one_rule_for_every_start():
    single = ElmanRNN(0.3 * W.astype("f"), B.astype("f"))
    starts = RNG.normal(size=(4, 3))
    with pytest.warns(given.PrecisionWarning, match=r"^(starts|x0): "):
        found = rd.fixed_points(single, starts)
    assert found.points.dtype == np.float32
    assert rd.finite_time_exponents(single, starts.tolist(), steps=3).values.dtype == np.float32
