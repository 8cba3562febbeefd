"""Blocks of a store that hold several calls: fewer files, and the same numbers as in memory."""

from pathlib import Path

import numpy as np
import pytest

from rnn_dynamics.numerics import mapped
from rnn_dynamics.numerics.grid import Grid
from rnn_dynamics.numerics.stored.opening import opened
from rnn_dynamics.numerics.sweep import sweep
from tests import sweeps

pytest.importorskip("zarr")
AXES = {"w": np.linspace(-2, 2, 45), "b": np.linspace(-1, 1, 14)}


@pytest.fixture(autouse=True)
def short_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call has so little work that it holds some points only, and a grid so few blocks that one is of several."""
    monkeypatch.setattr(mapped, "_WORK", 2**11)
    monkeypatch.setattr(mapped, "_FEWEST_BLOCKS", 9)


def test_a_block_is_of_several_calls_which_are_those_in_memory(tmp_path: Path) -> None:
    inside = sweep(sweeps.orbit, AXES)
    found = sweep(sweeps.orbit, AXES, store=tmp_path / "a.zarr")
    store, call = opened(tmp_path / "a.zarr"), inside.metadata["chunk"]
    assert found.metadata["chunk"] == store.call == call
    assert 2 * call <= store.blocks.points <= 8 * call
    assert len(store.blocks) >= 9
    for name in inside.values:
        assert found[name][...].tobytes() == inside[name].tobytes()


@pytest.mark.parametrize("executor", [None, 1])
def test_who_stops_between_two_calls_of_a_block_goes_on_to_the_same_bits(
    executor: int | None, tmp_path: Path
) -> None:
    whole = sweep(sweeps.orbit, AXES, store=tmp_path / "a.zarr")
    told = []

    def stop(done: int, total: int) -> None:
        told.append(done)
        if len(told) > 1 and told[-1] == told[-2]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(sweeps.orbit, AXES, store=tmp_path / "b.zarr", progress=stop)
    assert not opened(tmp_path / "b.zarr").done().all()
    assert not opened(tmp_path / "b.zarr").damaged()
    found = sweep(sweeps.orbit, AXES, store=tmp_path / "b.zarr", executor=executor)
    for name in whole.values:
        assert found[name][...].tobytes() == whole[name][...].tobytes()


def test_an_older_store_whose_blocks_are_less_than_a_call_goes_on_in_calls_of_a_block(tmp_path: Path) -> None:
    """Of a grid of names a call may have been planned for more points than fit a block."""
    sweep(sweeps.orbit, AXES, store=tmp_path / "a.zarr", chunk=16)
    store = opened(tmp_path / "a.zarr")
    assert (store.metadata["chunk"], store.blocks.points, store.call) == (16, 14, 14)


def test_memory_bounds_the_calls_of_a_block(tmp_path: Path) -> None:
    """The results of a block are there three times: in calls, joined, and as what is written of the one before."""
    grid, kernel = Grid(AXES), mapped.kernel_of(sweeps.orbit)
    free = mapped.plan(kernel, grid, None, 2**30, stored=True)
    assert free.block > 2 * free.call
    need, results = mapped._memory(mapped._trace(kernel, grid, free.call, ()))
    tight = mapped.plan(kernel, grid, None, need + 2 * results + 6 * results, stored=True)
    assert tight == (free.call, 2 * free.call)
    none = mapped.plan(kernel, grid, None, need + 2 * results, stored=True)
    assert none == (free.call, free.call)
