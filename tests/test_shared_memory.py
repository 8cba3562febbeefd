"""What a caller does to arrays later changes nothing here: JAX takes memory of NumPy's where it may."""

from typing import Any

import jax
import numpy as np
import pytest

import rnn_dynamics as rd
from rnn_dynamics import cells, interop
from rnn_dynamics.numerics.validation import broadcast_arrays, real_array, real_arrays


def aligned(*shape: int, dtype: Any = float) -> np.ndarray:
    """Numbers that begin at a multiple of 64 bytes, where JAX on a CPU would take them as they are."""
    dtype, size = np.dtype(dtype), int(np.prod(shape))
    raw = np.empty(size * dtype.itemsize + 64, np.uint8)
    first = -raw.ctypes.data % 64
    made = raw[first : first + size * dtype.itemsize].view(dtype).reshape(shape)
    made[...] = np.linspace(0.1, 0.4, size).reshape(shape)
    return made


def test_jax_does_take_such_memory() -> None:
    """Else the other tests show nothing."""
    given = aligned(8)
    taken = jax.device_put(given)
    given[0] = 9
    assert float(taken[0]) == 9


MAKERS: dict[str, Any] = {
    "real_array": (lambda x: real_array("x", x), [(4,)]),
    "real_arrays": (lambda x, y: real_arrays(x=x, y=y), [(4,), (2, 3)]),
    "broadcast_arrays": (lambda x, y: broadcast_arrays(x=x, y=y), [(4,), (4,)]),
    "ElmanRNN": (cells.ElmanRNN, [(3, 3), (3,), (3, 2)]),
    "LSTM": (cells.LSTM, [(12, 3), (12,), (12, 2), (3, 3)]),
    "GRU": (cells.GRU, [(9, 3), (9,), (9, 2), (3,)]),
    "ProjectedLSTM": (cells.ProjectedLSTM, [(12, 2), (12,), (12, 2), (2, 3)]),
    "from_torch": (
        lambda w, u: interop.from_torch({"weight_hh_l0": w, "weight_ih_l0": u}, kind="lstm"),
        [(12, 3), (12, 2)],
    ),
    "MultiplicativeLSTM": (cells.MultiplicativeLSTM, [(12, 3), (12,), (12, 2), (3, 3), (3, 2)]),
}


@pytest.mark.parametrize("name", MAKERS)
def test_what_is_made_of_arrays_stays_as_it_was(name: str) -> None:
    make, shapes = MAKERS[name]
    given = [aligned(*shape) for shape in shapes]
    made = jax.tree.leaves(make(*given))
    before = [np.array(leaf) for leaf in made]
    for array in given:
        array[...] = 9
    for leaf, was in zip(made, before, strict=True):
        np.testing.assert_array_equal(leaf, was)


def test_a_run_and_a_sweep_stay_as_they_were() -> None:
    cell = cells.ElmanRNN(0.5 * np.eye(4), np.zeros(4), np.eye(4))
    x0, u, points = aligned(4), aligned(20, 4), aligned(8)
    run, swept = rd.rollout(cell, x0, u), rd.sweep(lambda w: w, {"w": points})
    states, inputs, axis = np.array(run.states), np.array(run.inputs), swept.axes["w"].copy()
    for array in (x0, u, points):
        array[...] = 9
    np.testing.assert_array_equal(run.states, states)
    np.testing.assert_array_equal(run.inputs, inputs)
    np.testing.assert_array_equal(swept.axes["w"], axis)
    np.testing.assert_array_equal(swept["value"], axis)
