"""``check``: a cell whose gates were put in another order is told, with the order, by outputs alone."""

from typing import Any

import numpy as np
import pytest

from rnn_dynamics.cells import GRU, LSTM, Bidirectional, ElmanRNN, ProjectedLSTM, Stack, rollout
from rnn_dynamics.interop import Agreement, check
from rnn_dynamics.numerics.texts import counted

N = 3
RNG = np.random.default_rng(4)
INPUTS = RNG.normal(size=(12, N))
W, B, W_IN = RNG.normal(size=(4 * N, N)), RNG.normal(size=4 * N), RNG.normal(size=(4 * N, N))


def output(cell, size, inputs=INPUTS, x0=None):
    return np.asarray(rollout(cell, np.zeros(size) if x0 is None else x0, inputs).states[1:, :N])


def in_order(order, *arrays) -> Any:
    """The stretches of the gates in another order."""
    return [np.concatenate([np.split(array, len(order))[k] for k in order]) for array in arrays]


LSTM_TRUE = LSTM(W, B, W_IN)
GRU_TRUE = GRU(W[: 3 * N], B[: 3 * N], W_IN[: 3 * N], reset="before")


def test_a_right_cell_agrees():
    for x0 in (None, np.full(2 * N, 0.3)):
        found = check(LSTM_TRUE, INPUTS, output(LSTM_TRUE, 2 * N, x0=x0), x0=x0)
        assert found.agrees
        assert found.step is None
        assert found.cell is LSTM_TRUE
        assert found.error < 1e-15
        assert "agrees over 12 steps" in repr(found)


@pytest.mark.parametrize(
    ("order", "offset", "words"),
    [
        ((0, 2, 1, 3), 0.0, "gates in the order i, g, f, o"),
        ((3, 0, 1, 2), 0.0, "gates in the order o, i, f, g"),
        ((0, 2, 1, 3), 1.0, "gates in the order i, g, f, o; 1 added to the forget gate"),
        ((0, 1, 2, 3), -1.0, "1 taken from the forget gate"),
    ],
)
def test_the_order_of_an_lstms_gates_is_found(order, offset, words):
    b = B - np.repeat([0, offset, 0, 0], N)
    wrong = LSTM(*in_order(order, W, b, W_IN))
    found = check(wrong, INPUTS, output(LSTM_TRUE, 2 * N))
    assert not found.agrees
    assert found.step == (1 if order[0] or order[1] != 1 else 2)  # from c = 0 the forget gate is not seen
    assert found.fits == (words,)
    assert words in " ".join(repr(found).split())
    np.testing.assert_allclose(found.cell.W, W)
    np.testing.assert_allclose(found.cell.b, B, rtol=1e-14)
    assert check(found.cell, INPUTS, output(LSTM_TRUE, 2 * N)).agrees


def test_a_grus_conventions_are_found():
    W3, b3, in3 = W[: 3 * N], B[: 3 * N], W_IN[: 3 * N]
    truth = output(GRU_TRUE, N)
    found = check(GRU(*in_order((1, 0, 2), W3, b3, in3)), INPUTS, truth)
    assert found.fits == ("gates in the order z, r, n; reset before",)
    sign = np.repeat([1, -1, 1], N)
    found = check(GRU(W3 * sign[:, None], b3 * sign, in3 * sign[:, None], reset="before"), INPUTS, truth)
    assert found.fits == ("z the other way round",)
    # A hidden bias of its own, where the reset comes after.
    after = GRU(W3, b3, in3, np.ones(N))
    found = check(GRU(*in_order((1, 0, 2), W3, b3, in3), np.ones(N)), INPUTS, output(after, N))
    assert found.fits == ("gates in the order z, r, n",)
    np.testing.assert_allclose(found.cell.b_hidden, 1)
    assert check(found.cell, INPUTS, output(after, N)).agrees
    found = check(after, INPUTS, output(GRU(W3, b3 + np.repeat([0, 0, 1], N), in3, reset="before"), N))
    assert found.fits == ("reset before",)


def test_rows_for_columns_and_activations_are_found():
    true = ElmanRNN(W[:N], B[:N], W_IN[:N], activation="relu")
    wrong = ElmanRNN(W[:N].T, B[:N], W_IN[:N])
    found = check(wrong, INPUTS, output(true, N, 0.3 * INPUTS))
    assert found.fits == ()
    found = check(wrong, 0.3 * INPUTS, output(true, N, 0.3 * INPUTS))
    assert found.fits == ("W with rows for columns; relu in the place of tanh",)
    narrow = ElmanRNN(W[:N], B[:N], W_IN[:N, :2])
    found = check(narrow, INPUTS[:, :2], output(narrow, N, INPUTS[::-1, :2])[::-1])
    assert found.fits == ("inputs and outputs in reverse order",)


def test_hard_gates_are_found():
    truth, h, c = [], np.zeros(N), np.zeros(N)
    for u in INPUTS:
        z = (W @ h + W_IN @ u + B).reshape(4, N)
        i, f, _, o = np.clip(z / 5 + 0.5, 0, 1)
        c = f * c + i * np.tanh(z[2])
        h = o * np.tanh(c)
        truth.append(h)
    found = check(LSTM_TRUE, INPUTS, np.array(truth))
    assert found.fits == ("hard_sigmoid_5 in the place of sigmoid",)
    assert found.cell is None or check(found.cell, INPUTS, np.array(truth)).agrees


def test_what_cannot_be_told_apart_is_reported_as_several():
    symmetric = W[:N] + W[:N].T
    true = ElmanRNN(symmetric, B[:N], W_IN[:N], activation="relu")
    found = check(ElmanRNN(symmetric, B[:N], W_IN[:N]), 0.1 * INPUTS[:5], output(true, N, 0.1 * INPUTS[:5]))
    assert found.fits == (
        "relu in the place of tanh",
        "W with rows for columns; relu in the place of tanh",
    )
    assert "2 conventions fit alike" in " ".join(repr(found).split())
    # One step from 0: where the reset acts is not seen.
    one = check(
        GRU(*in_order((1, 0, 2), W[: 3 * N], B[: 3 * N], W_IN[: 3 * N])), INPUTS[:1], output(GRU_TRUE, N)[:1]
    )
    assert len(one.fits) > 3


def test_an_agreement_names_the_conventions_that_agree_too():
    one = check(GRU_TRUE, INPUTS[:1], output(GRU_TRUE, N)[:1])
    assert one.agrees
    assert one.cell is GRU_TRUE
    assert one.fits == ("reset after", "W with rows for columns")
    assert "agrees over 1 step" in repr(one)
    assert "as does reset after | W with rows for columns: longer" in " ".join(repr(one).split())
    assert check(GRU_TRUE, INPUTS, output(GRU_TRUE, N)).fits == ()
    equal = GRU(*(np.concatenate([array[:N], array]) for array in (W[: 2 * N], B[: 2 * N], W_IN[: 2 * N])))
    assert check(equal, INPUTS, output(equal, N)).fits == ()  # equal blocks exchanged are the same map


def test_layers_of_a_stack_share_a_convention():
    """Two layers of which the first takes two inputs, so that no rows stand for columns there."""
    narrow = INPUTS[:, :2]
    weights = (W, B, W_IN[:, :2]), (0.5 * W[::-1], B[::-1], W_IN[::-1])
    true = Stack([LSTM(*each) for each in weights])
    truth = np.asarray(rollout(true, np.zeros(4 * N), narrow).states[1:, 2 * N : 3 * N])
    wrong = Stack([LSTM(*in_order((0, 2, 1, 3), *each)) for each in weights])
    found = check(wrong, narrow, truth)
    assert found.fits == ("gates in the order i, g, f, o",)
    assert found.tried == 24 * 2 * 3 * 3 - 1
    assert check(found.cell, narrow, truth).agrees
    assert check(true, narrow[::-1], truth[::-1]).fits == ("inputs and outputs in reverse order",)
    start = np.linspace(-0.5, 0.5, 4 * N)
    truth = np.asarray(rollout(true, start, narrow).states[1:, 2 * N : 3 * N])
    assert check(wrong, narrow, truth, x0=start).fits == found.fits
    # One layer read wrongly and the other rightly is no convention of a framework.
    mixed = check(Stack([wrong.cells[0], true.cells[1]]), narrow, truth, x0=start)
    assert (mixed.fits, mixed.cell) == ((), None)


def test_the_gates_of_an_lstm_with_peepholes_are_found():
    """Its peepholes stand in the order of the gates that have one."""
    P, order = RNG.normal(size=(3, N)), (3, 0, 1, 2)
    true = LSTM(W, B, W_IN, P)
    truth = output(true, 2 * N)
    assert check(true, INPUTS, truth).agrees
    wrong = LSTM(*in_order(order, W, B, W_IN), P[[2, 0, 1]])
    found = check(wrong, INPUTS, truth)
    assert found.fits == ("gates in the order o, i, f, g",)
    np.testing.assert_array_equal(found.cell.peepholes, P)
    assert check(found.cell, INPUTS, truth).agrees
    assert check(LSTM(W, B, W_IN, -P), INPUTS, truth).fits == ()


def test_the_gates_of_a_projected_lstm_are_found():
    P = RNG.normal(size=(2, N))
    true, order = ProjectedLSTM(W[:, :2], B, W_IN, P), (3, 0, 1, 2)
    truth = np.asarray(rollout(true, np.zeros(5), INPUTS).states[1:, :2])
    found = check(ProjectedLSTM(*in_order(order, W[:, :2], B, W_IN), P), INPUTS, truth)
    assert found.fits == ("gates in the order o, i, f, g",)
    assert check(found.cell, INPUTS, truth).agrees


def test_none_fits():
    found = check(LSTM_TRUE, INPUTS, np.tanh(INPUTS))
    assert (found.agrees, found.fits, found.cell) == (False, (), None)
    assert found.tried > 800
    assert f"none of {found.tried} other conventions fits" in " ".join(repr(found).split())


def test_batches_stacks_whole_states_and_foreign_cells():
    both = np.stack([INPUTS, INPUTS[::-1]])
    truth = np.stack([output(LSTM_TRUE, 2 * N, inputs) for inputs in both])
    assert check(LSTM_TRUE, both, truth).agrees
    wrong = LSTM(*in_order((0, 2, 1, 3), W, B, W_IN))
    assert check(wrong, both, truth.astype("float32")).fits == ("gates in the order i, g, f, o",)
    states = rollout(LSTM_TRUE, np.zeros(2 * N), INPUTS).states[1:]
    assert check(LSTM_TRUE, INPUTS, states).agrees
    stack = Stack([LSTM_TRUE, GRU_TRUE])
    states = rollout(stack, np.zeros(3 * N), INPUTS).states[1:]
    assert check(stack, INPUTS, states[:, 2 * N :]).agrees
    off = check(stack, INPUTS, states[:, :N])
    assert "no other convention of this kind of cell is known" in " ".join(repr(off).split())
    projected = ProjectedLSTM(W[:, :2], B, W_IN, np.ones((2, N)))
    states = rollout(projected, np.zeros(5), INPUTS).states[1:]
    assert check(projected, INPUTS, states[:, :2]).agrees


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"output": np.ones((11, N))}, r"^inputs: .*11 steps.*\(12, 3\)"),
        ({"output": np.ones((12, 2))}, r"^output: .*3 entries a step.*2"),
        ({"output": np.ones(12)}, r"^output: .*\(12,\)"),
        ({"inputs": np.ones(12), "output": np.ones(3)}, r"^inputs: .*got shape \(12,\)"),
        ({"inputs": np.ones((2, 12, N)), "output": np.ones((3, N))}, r"^inputs: expected 1 × 3 steps"),
        ({"x0": np.ones(N)}, r"^x0: .*\(6,\).*\(3,\)"),
        ({"cell": 3}, r"^cell: .*int"),
        ({"cell": "model.pt"}, r"^cell: .*str: rd\.interop\.load\(path\)"),
        ({"tolerance": 0.0}, r"^tolerance: "),
    ],
)
def test_errors_name_what_is_wrong(options, words):
    given = {"cell": LSTM_TRUE, "inputs": INPUTS, "output": np.ones((12, N))} | options
    with pytest.raises((TypeError, ValueError), match=words):
        check(**given)


def test_numbers_have_their_nouns():
    assert counted(1, "lag") == "1 lag"
    assert counted(0, "lag") == "0 lags"
    assert counted("3 to 5", "step") == "3 to 5 steps"
    assert counted(2, "entry", "entries") == "2 entries"


def test_the_picture_of_an_agreement_has_its_errors_by_step_and_the_tolerance():
    truth = np.asarray(output(LSTM_TRUE, 2 * N))[:, :N]
    for found, first in (
        (check(LSTM_TRUE, INPUTS, truth), 1),
        (check(LSTM_TRUE, INPUTS, truth[-1]), len(INPUTS)),
    ):
        drawn, level = found.plot().lines
        assert drawn.get_xdata()[0] == first
        np.testing.assert_allclose(10.0 ** drawn.get_ydata(), np.maximum(found.errors, 1e-17))
        np.testing.assert_allclose(level.get_ydata(), np.log10(found.tolerance))


def test_an_agreement_is_kept(tmp_path):
    found = check(LSTM_TRUE, INPUTS, np.tanh(INPUTS))
    kept = Agreement.load(found.save(tmp_path / "a.npz"))
    np.testing.assert_array_equal(kept.errors, found.errors)
    assert (kept.fits, kept.tried, kept.cell, repr(kept)) == (found.fits, found.tried, None, repr(found))


BOTH = np.stack([INPUTS, INPUTS[::-1]])
TRUTHS = np.stack([output(LSTM_TRUE, 2 * N, inputs) for inputs in BOTH])


@pytest.mark.parametrize(
    ("inputs", "outputs", "layout"),
    [
        (BOTH, TRUTHS, ""),
        (BOTH, TRUTHS.swapaxes(0, 1), "output (T, batch, n)"),
        (BOTH.swapaxes(0, 1), TRUTHS.swapaxes(0, 1), "inputs (T, batch, m) and output (T, batch, n)"),
        (BOTH.swapaxes(0, 1), TRUTHS, "inputs (T, batch, m)"),
        (BOTH, TRUTHS[:, -1], "output of the last step alone"),
        (BOTH, TRUTHS[:, -1][None], "output of the last step alone"),
        (BOTH.swapaxes(0, 1), TRUTHS[:, -1], "inputs (T, batch, m) and output of the last step alone"),
        (INPUTS, TRUTHS[0, -1], "output of the last step alone"),
        (INPUTS[None], TRUTHS[0], ""),
        (INPUTS, TRUTHS[:1], ""),
        (INPUTS[:, None], TRUTHS[0], "inputs (T, batch, m)"),
        (INPUTS, TRUTHS[0][:, None], "output (T, batch, n)"),
    ],
)
def test_the_axes_of_a_runtime_are_told(inputs, outputs, layout):
    """Of a batch as long as the sequences, too, and together with another order of the gates."""
    found = check(LSTM_TRUE, inputs, outputs)
    wrong = check(LSTM(*in_order((0, 2, 1, 3), W, B, W_IN)), inputs, outputs)
    assert (found.agrees, set(found.layout.split(" and ")) ^ set(layout.split(" and "))) == (True, set())
    assert (layout == "") == ("read as" not in repr(found))
    assert wrong.layout == found.layout
    assert wrong.fits[0] == "gates in the order i, g, f, o"
    if "last" in layout:
        assert wrong.step == 12
        assert "differs in the last of 12 steps, " in repr(wrong)


def test_as_many_samples_as_steps():
    square = np.stack([INPUTS[:4], INPUTS[4:8], INPUTS[8:], INPUTS[2:6]])
    truth = np.stack([output(LSTM_TRUE, 2 * N, inputs) for inputs in square])
    assert check(LSTM_TRUE, square, truth).layout == ""
    assert check(LSTM_TRUE, square, truth.swapaxes(0, 1)).layout == "output (T, batch, n)"
    assert check(LSTM_TRUE, square, truth[:, -1]).layout == "output of the last step alone"
    start = np.linspace(-0.4, 0.4, 8 * N).reshape(4, 2 * N)
    truth = np.stack([output(LSTM_TRUE, 2 * N, u, x) for u, x in zip(square, start, strict=True)])
    assert check(LSTM_TRUE, square.swapaxes(0, 1), truth, x0=start).layout == "inputs (T, batch, m)"
    wrong = check(LSTM_TRUE, square, np.roll(truth, 1, axis=0), x0=start)
    assert (wrong.agrees, wrong.fits, wrong.layout) == (False, (), "")


def test_a_batch_of_one_step_each():
    """As a layer that gives its last output alone has it, called step by step."""
    steps = INPUTS[:, None]
    truth = np.concatenate([output(LSTM_TRUE, 2 * N, inputs) for inputs in steps])
    for inputs, outputs in (
        (steps, truth),
        (steps[:1], truth[0]),
        (steps[0], truth[0]),
        (steps, truth[None]),
    ):
        assert check(LSTM_TRUE, inputs, outputs).agrees
    wrong = check(LSTM(*in_order((3, 1, 2, 0), W, B, W_IN)), steps, truth)
    assert (wrong.agrees, wrong.layout, wrong.fits[0]) == (False, "", "gates in the order o, f, g, i")


def test_the_last_outputs_of_both_directions():
    both = Bidirectional([(GRU_TRUE, GRU(*(-each[: 3 * N] for each in (W, B, W_IN))))])
    y = np.asarray(both.run(INPUTS).outputs)
    own = np.concatenate([y[-1, :N], y[0, N:]])
    for outputs, words in ((own, "each direction's own"), (y[-1], "both directions' at the last input")):
        found = check(both, INPUTS, outputs)
        assert found.agrees
        assert words in found.layout
    found = check(both, np.stack([INPUTS, INPUTS]), np.stack([y, y], axis=1))
    assert (found.agrees, found.layout) == (True, "output (T, batch, n)")
    assert "give the outputs of all steps" in repr(check(both, INPUTS, own + 1))
