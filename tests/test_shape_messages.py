"""What is refused is told in the cell's own words: what it takes, what came, and what may have been meant."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnn_dynamics as rd
from rnn_dynamics.cells import GRU, LSTM, AttentionRNN, DoyaNeuron, ElmanRNN, FeedForward, SkipRNN, Stack
from tests.compilations import compilations

RNG = np.random.default_rng(8)


def lstm(inputs, units):
    return LSTM(
        RNG.normal(size=(4 * units, units)) / 8, np.zeros(4 * units), RNG.normal(size=(4 * units, inputs))
    )


TWO = Stack([lstm(8, 32), lstm(32, 32)])
PLAIN = ElmanRNN(np.eye(2) / 2, np.zeros(2))
NARROW = ElmanRNN(np.eye(2) / 2, np.zeros(2), np.ones((2, 1)))
ASKED = (
    "x0 of 128 = [h0, c0, h1, c1]; inputs (steps, 8); "
    "several sequences: pass a list of them, lengths=, or use jax.vmap"
)


class Tensor:
    """What a tensor of PyTorch's shows: a dtype that NumPy does not know."""

    def __init__(self, array, device="cpu", grad=False):
        self._array, self.device, self._grad = np.asarray(array), device, grad
        self.dtype, self.shape, self.ndim = f"torch.{self._array.dtype}", self._array.shape, self._array.ndim

    def detach(self):
        return Tensor(self._array, self.device)

    def cpu(self):
        return Tensor(self._array)

    def numpy(self):
        if self._grad:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.")
        if self.device != "cpu":
            raise TypeError(f"can't convert {self.device} device type tensor to numpy.")
        return self._array

    def __array__(self, dtype=None, copy=None):
        return self.numpy() if dtype is None else self.numpy().astype(dtype)

    def __len__(self):
        return len(self._array)

    def __getitem__(self, index):
        return Tensor(self._array[index])


class Own:
    """A cell of one's own that tells nothing of itself."""

    def __call__(self, x, u):
        return jnp.tanh(jnp.ones((2, 2)) @ x)

    def __hash__(self):
        return 7

    def __eq__(self, other):
        return isinstance(other, Own)


def zeros(*shape):
    return np.zeros(shape)


ERRORS = {
    "batch first": (lambda: rd.rollout(TWO, zeros(128), zeros(4, 100, 8)), "inputs", ASKED),
    "as a list": (
        lambda: rd.rollout(TWO, zeros(128), zeros(4, 100, 8)),
        "inputs",
        r"4 sequences of 100 .* list(inputs)",
    ),
    "time major": (
        lambda: rd.rollout(TWO, zeros(128), zeros(100, 4, 8)),
        "inputs",
        "list(inputs.swapaxes(0, 1))",
    ),
    "short start": (lambda: rd.rollout(TWO, zeros(32), zeros(9, 8)), "x0", ASKED),
    "got": (lambda: rd.rollout(TWO, zeros(32), zeros(9, 8)), "x0", "got shape (32,)"),
    "pair of starts": (lambda: rd.rollout(TWO, zeros(2, 64), zeros(9, 8)), "x0", ".ravel()"),
    "batch of starts": (lambda: rd.rollout(TWO, zeros(4, 128), zeros(9, 8)), "x0", "jax.vmap"),
    "scalar start": (lambda: rd.rollout(PLAIN, 0.5, steps=3), "x0", "x0 of 2"),
    "features": (lambda: rd.rollout(TWO, None, zeros(9, 7)), "inputs", "got shape (9, 7)"),
    "transposed": (lambda: rd.rollout(TWO, None, zeros(8, 9)), "inputs", "inputs.T"),
    "no feature axis": (lambda: rd.rollout(NARROW, None, zeros(100)), "inputs", "inputs[:, None]"),
    "one step": (lambda: rd.rollout(TWO, None, zeros(8)), "inputs", "inputs[None]"),
    "inputs to none": (lambda: rd.rollout(PLAIN, None, zeros(9, 3)), "inputs", "no W_in"),
    "attention": (
        lambda: rd.rollout(
            AttentionRNN(
                zeros(2, 2), zeros(2, 2), zeros(2), query=zeros(1, 2), key=zeros(1, 2), score=zeros(1), span=3
            ),
            zeros(2),
            steps=3,
        ),
        "x0",
        "x0 of 6 = [h, past]",
    ),
    "skip": (
        lambda: rd.rollout(SkipRNN(zeros(2, 2), zeros(2, 2), zeros(2)), zeros(3), steps=3),
        "x0",
        "x0 of 4",
    ),
    "gru": (
        lambda: rd.rollout(GRU(zeros(9, 3), zeros(9), zeros(9, 2)), zeros(6), zeros(4, 2)),
        "x0",
        "x0 of 3; inputs (steps, 2)",
    ),
    "neuron": (lambda: rd.rollout(DoyaNeuron(5, -2.5), 0.1, zeros(4, 1)), "x0", "inputs (steps,)"),
    "one start of many": (lambda: rd.fixed_points(PLAIN, zeros(2)), "starts", "starts[None]"),
    "one attractor of many": (
        lambda: rd.basins(PLAIN, zeros(5, 2), zeros(2)),
        "starts|attractors",
        "states of 2",
    ),
    "starts of others": (lambda: rd.basins(PLAIN, zeros(5, 3)), "starts", "states of 2"),
    "points of others": (lambda: rd.fixed_points(PLAIN, zeros(5, 3)), "starts", "states of 2"),
    "attractors of others": (lambda: rd.find_attractors(PLAIN, zeros(5, 3)), "starts", "states of 2"),
    "held input": (lambda: rd.basins(TWO, zeros(5, 128), u=zeros(7)), "u", "u (8,)"),
    "bias": (lambda: ElmanRNN(zeros(3, 3), zeros(3, 1)), "b", "b.ravel()"),
    "input weights": (lambda: ElmanRNN(zeros(3, 3), zeros(3), zeros(2, 3)), "W_in", "W_in.T"),
    "gates beside": (lambda: LSTM(zeros(3, 12), zeros(12)), "W", "W.T"),
    "complex": (lambda: rd.rollout(TWO, None, zeros(9, 8) * 1j), "inputs", "complex128"),
    "objects": (lambda: rd.rollout(TWO, None, np.full((9, 8), None)), "inputs", "dtype object"),
    "strings": (lambda: rd.rollout(TWO, None, np.full((9, 8), "a")), "inputs", "real numbers"),
    "ragged": (lambda: rd.rollout(TWO, None, [[1.0, 2.0], [1.0]]), "inputs", "regular array"),
    "no start": (lambda: rd.rollout(Own(), None, steps=3), "x0", "does not tell the size"),
    "layers in depth": (
        lambda: rd.rollout(FeedForward(), None, {"W": zeros(3, 2, 2), "b": zeros(3, 2)}),
        "x0",
        "does not tell",
    ),
    "own": (lambda: rd.rollout(Own(), zeros(4, 2), steps=3), "x0, inputs", "several sequences"),
    "on a GPU": (
        lambda: rd.rollout(TWO, None, Tensor(zeros(9, 8), "cuda:0")),
        "inputs",
        ".detach().cpu().numpy()",
    ),
    "start on a GPU": (lambda: rd.rollout(TWO, Tensor(zeros(128), "cuda:0"), zeros(9, 8)), "x0", "cuda:0"),
    "weights on a GPU": (
        lambda: ElmanRNN(Tensor(zeros(2, 2), "cuda:0"), zeros(2)),
        "W",
        ".detach().cpu().numpy()",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_refusals_are_in_the_cells_own_words_at_once(name):
    call, argument, words = ERRORS[name]
    with pytest.raises((TypeError, ValueError)):
        call()
    begin = time.thread_time()
    with compilations() as fresh, pytest.raises((TypeError, ValueError), match=rf"^({argument}): ") as caught:
        call()
    assert time.thread_time() - begin < 0.05
    assert fresh.count == 0
    text = str(caught.value)
    pieces = words.split(" .* ")
    assert all(piece in text for piece in pieces), text
    if name != "own":
        assert "dot_general" not in text
        assert "matmul" not in text


def test_a_cells_own_error_is_the_cause():
    def step(x, u):
        if x.shape != (3,):
            raise ValueError("three, please")
        return x

    with pytest.raises(ValueError, match=r"^x0, inputs: .*three, please") as caught:
        rd.rollout(step, zeros(2), steps=2)
    assert str(caught.value.__cause__) == "three, please"


def test_no_start_is_zeros():
    for cell, inputs, size in (
        (TWO, zeros(5, 8), 128),
        (NARROW, zeros(5, 1), 2),
        (SkipRNN(zeros(2, 2), zeros(2, 2), zeros(2), np.ones((2, 1)), skip=3), zeros(5, 1), 6),
    ):
        run, same = rd.rollout(cell, None, inputs), rd.rollout(cell, zeros(size), inputs)
        np.testing.assert_array_equal(run.states, same.states)
        np.testing.assert_array_equal(run.initial, zeros(size))
    assert rd.rollout(PLAIN, steps=3).states.shape == (4, 2)
    assert rd.rollout(DoyaNeuron(5, -2.5), steps=3).states.shape == (4,)
    single = ElmanRNN(np.eye(2, dtype="f"), zeros(2).astype("f"))
    assert rd.rollout(single, steps=3).states.dtype == np.float32


@pytest.mark.parametrize("kind", ["float32", "float64", "int64"])
def test_tensors_in_memory_are_read_as_arrays(kind):
    inputs = RNG.integers(-3, 3, size=(5, 8)).astype(kind)
    x0 = RNG.integers(-3, 3, size=128).astype(kind)
    expected = rd.rollout(TWO, x0.astype(float), inputs.astype(float))
    for grad in (False, True):
        run = rd.rollout(TWO, Tensor(x0, grad=grad), Tensor(inputs, grad=grad))
        np.testing.assert_array_equal(run.states, expected.states)
    W = np.asarray(RNG.normal(size=(3, 3)), "float32")
    cell = ElmanRNN(Tensor(W, grad=True), Tensor(W[0]), Tensor(W))
    np.testing.assert_array_equal(cell.W, W)
    assert cell.W.dtype == np.float32
    several = rd.rollout(TWO, None, [Tensor(inputs), Tensor(inputs[:3])])
    assert several.lengths.tolist() == [5, 3]
    padded = rd.rollout(TWO, None, Tensor(np.stack([inputs, inputs])), lengths=Tensor(np.array([5, 3])))
    np.testing.assert_array_equal(padded.states, several.states)


def test_batches_by_vmap_pass():
    batch = jax.vmap(lambda x, u: rd.rollout(TWO, x, u))(zeros(4, 128), zeros(4, 9, 8))
    assert (batch.steps, batch.batch) == (9, (4,))


def test_layers_of_a_stack_that_do_not_fit_are_named():
    lower = ElmanRNN(np.eye(4), np.zeros(4), np.ones((4, 3)))
    upper = ElmanRNN(np.eye(5), np.zeros(5), np.ones((5, 6)))
    with pytest.raises(ValueError, match=r"layer 1: expected 6 inputs, .*, got 4 from layer 0") as caught:
        rd.rollout(Stack((lower, upper)), None, np.ones((7, 3)))
    assert "dot_general" not in str(caught.value)
