"""What a caller does to arrays later changes nothing here: JAX takes memory of NumPy's where it may."""

import io
import zipfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import rnn_dynamics as rd
from rnn_dynamics import cells, interop
from rnn_dynamics.numerics import memory
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


def test_memory_that_a_file_was_read_into_is_taken_as_it_is(tmp_path: Path) -> None:
    """The one copy of it that there is; and what a caller gets to keep is another."""
    numbers = np.linspace(0, 1, 40_000, dtype=np.float32).reshape(200, 200)
    path = tmp_path / "numbers.npz"
    np.savez(path, weight_hh_l0=numbers, weight_ih_l0=numbers)
    with path.open("rb") as file:
        read = memory.read(file, numbers.nbytes)
    assert memory.is_aligned(read)
    assert memory.is_nobodys(read[64:].view(np.float32).T)
    assert real_array("x", read.view(np.float32), finite=False).unsafe_buffer_pointer() == read.ctypes.data
    given = interop.read_npz(path)
    assert not any(memory.is_nobodys(array) for array in given.values())
    cell = interop.from_torch(given, kind="rnn_tanh")
    assert isinstance(cell, cells.ElmanRNN)
    for array in given.values():
        np.testing.assert_array_equal(array, numbers)
        array[...] = 9
    np.testing.assert_array_equal(cell.W, numbers)


@pytest.mark.parametrize("size", [0, 1, 100, 2**16, 2**18, 3 * 2**18 + 5])
def test_bytes_are_read_whole_or_as_far_as_they_go(tmp_path: Path, size: int) -> None:
    content = np.random.default_rng(0).integers(256, size=size, dtype=np.uint8).tobytes()
    path = tmp_path / "archive.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("member", content)
    with zipfile.ZipFile(path) as archive, archive.open("member") as member:
        assert memory.read(member, size).tobytes() == content
    for more in (0, 70_000):  # where the file is cut short
        assert memory.read(io.BytesIO(content), size + more).tobytes() == content
