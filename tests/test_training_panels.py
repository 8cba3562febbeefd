"""Panels of runs: what a run is does not depend on its neighbours, on interruptions, or on damaged files."""

import contextlib
import dataclasses
import struct
import subprocess
import sys
import warnings
import zipfile

import jax
import numpy as np
import pytest

from rnn_dynamics.numerics.status import Status
from rnn_dynamics.numerics.storage import StorageError
from rnn_dynamics.training import Plan, Recipe, recipe, task, train
from rnn_dynamics.training.runs import panels
from rnn_dynamics.training.runs.gradient_history import measured
from rnn_dynamics.training.runs.updates import lengths_of_calls
from tests.compilations import compilations

# A network that knows nothing is wrong three times in four: here some runs have learned enough after a few checks.
ORDER = dataclasses.replace(task("temporal-order", 10), allowed=0.752)
PLAN = Plan(ORDER, recipe("clipping"), units=6, batch=3, every=5, test=20)
SEEDS = [3, 1, 4, 5]
RATES = [0.1, 0.2, 3e38, 0.4]  # the third run diverges
UPDATES = 20


def trained(seeds=SEEDS, rates=RATES, *, plan=PLAN, updates=UPDATES, workers=2, **more):
    """Two workers: tiles of two runs, and of one once only two are left."""
    return train(plan, seeds, updates=updates, numbers={"learning_rate": rates}, workers=workers, **more)


@pytest.fixture(scope="module")
def whole():
    """The panel that nothing interrupted: runs end in different rounds."""
    panel = trained()
    assert panel.status.tolist().count(Status.CONVERGED) > 1
    assert len(set(panel.steps)) > 2
    return panel


def rounds_of(panel):
    return len(panel.history["loss"]) - 1


def leaves(panel, run=None):
    found = [np.asarray(leaf) for leaf in jax.tree_util.tree_leaves(panel.runs)]
    found += [panel.status, panel.wrong, *(panel.history[name].T for name in sorted(panel.history))]
    return found if run is None else [leaf[run] for leaf in found]


def assert_same(one, other, run=None, of=None):
    """Bit for bit, NaN equal to itself."""
    for a, b in zip(leaves(one, run), leaves(other, run if of is None else of), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


class Interrupted(Exception):
    """Raised by a progress function."""


def after(rounds):
    """A progress function that raises after so many rounds."""
    seen = []

    def progress(panel):
        seen.append(panel)
        if len(seen) == rounds:
            raise Interrupted

    return progress


# ── interrupted and resumed ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("seconds", [0, 1e9])
@pytest.mark.parametrize("stops", [(1,), (2,), (1, 1)])
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(whole, tmp_path, monkeypatch, seconds, stops):
    monkeypatch.setattr(panels, "_SAVED", seconds)
    path, rounds = tmp_path / "panel.npz", 0
    for stop in stops:
        with pytest.raises(Interrupted):
            trained(checkpoint=path, progress=after(stop))
        rounds += stop
    seen = []
    found = trained(checkpoint=path, progress=seen.append)
    assert len(seen) == rounds_of(whole) - rounds
    assert_same(found, whole)
    assert_same(trained(checkpoint=path, progress=after(1)), whole)


def test_more_updates_go_on_from_where_fewer_ended(whole, tmp_path):
    path = tmp_path / "panel.npz"
    short = trained(checkpoint=path, updates=7)
    assert short.steps.max() == 10
    assert {Status.MAX_STEPS, Status.DIVERGED} <= set(short.status)
    assert_same(trained(checkpoint=path), whole)
    assert_same(trained(checkpoint=path, updates=3), whole)


def trained_until_interrupted(monkeypatch, name, call, path, *, counts=lambda given: True):
    """Training in which Ctrl-C comes at that call of a function of ``panels`` that counts."""
    real, calls = getattr(panels, name), []

    def interrupted(*given):
        calls.extend([given] if counts(given) else [])
        if len(calls) == call:
            raise KeyboardInterrupt
        return real(*given)

    with monkeypatch.context() as patch:
        patch.setattr(panels, name, interrupted)
        with pytest.raises(KeyboardInterrupt):
            trained(checkpoint=path)


def test_a_keyboard_interrupt_inside_a_round_loses_that_round_only(whole, tmp_path, monkeypatch):
    path, seen = tmp_path / "panel.npz", []
    trained_until_interrupted(monkeypatch, "_advance_tile", 3, path)
    assert_same(trained(checkpoint=path, progress=seen.append), whole)
    assert len(seen) == rounds_of(whole) - 1


def test_an_interrupt_while_a_success_is_confirmed_loses_no_success(whole, tmp_path, monkeypatch):
    """The checkpoint holds the round before, not half of this one."""
    path, seen = tmp_path / "panel.npz", []
    confirms = {"counts": lambda given: given[-1] == panels.CONFIRM}
    trained_until_interrupted(monkeypatch, "share_wrong", 2, path, **confirms)
    assert_same(trained(checkpoint=path, progress=seen.append), whole)
    assert 0 < len(seen) < rounds_of(whole)


def test_what_heed_raises_stops_the_training_and_loses_no_round(whole, tmp_path):
    path, rounds = tmp_path / "panel.npz", []

    def heed():
        if rounds:
            raise Interrupted

    def slow(panel):
        rounds.append(panel)

    with contextlib.suppress(Interrupted):
        trained(checkpoint=path, progress=slow, heed=heed)
    assert rounds
    assert_same(trained(checkpoint=path), whole)


def test_panels_that_progress_was_given_stay_as_they_were():
    seen = []

    def progress(panel):
        seen.append((panel, [leaf.copy() for leaf in leaves(panel)]))

    trained(progress=progress)
    for panel, kept in seen[:-1]:
        for a, b in zip(leaves(panel), kept, strict=True):
            np.testing.assert_array_equal(a, b)


# ── damaged and foreign files ────────────────────────────────────────────────────────────────────────────────────


def damage(path):
    """Change a byte of the largest array."""
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda member: member.file_size)
    names = sum(struct.unpack_from("<HH", content, largest.header_offset + 26))
    content[largest.header_offset + 30 + names + largest.file_size // 2] ^= 255
    path.write_bytes(bytes(content))


@pytest.fixture
def two_files(tmp_path, monkeypatch):
    """A checkpoint after two rounds, and the one before it."""
    monkeypatch.setattr(panels, "_SAVED", 0)
    path = tmp_path / "panel.npz"
    with pytest.raises(Interrupted):
        trained(checkpoint=path, progress=after(2))
    return path, tmp_path / "panel.before.npz"


def test_a_damaged_checkpoint_falls_back_to_the_one_before_with_a_warning(whole, two_files):
    path, before = two_files
    damage(path)
    seen, kept = [], before.read_bytes()
    with pytest.warns(UserWarning, match="going on from panel.before.npz"), pytest.raises(Interrupted):
        trained(checkpoint=path, progress=after(1))
    assert path.with_name("panel.damaged.npz").read_bytes() != kept
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same(trained(checkpoint=path, progress=seen.append), whole)
    assert len(seen) == rounds_of(whole) - 2


def test_a_damaged_file_never_takes_the_place_of_the_good_one(whole, two_files, monkeypatch):
    """Killed between moving the old file and writing the new one: what is left is good."""
    path, _ = two_files
    damage(path)

    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("rnn_dynamics.numerics.storage.save", full)
    with pytest.warns(UserWarning, match="going on from"), pytest.raises(OSError, match="no space"):
        trained(checkpoint=path)
    monkeypatch.undo()
    seen = []
    assert_same(trained(checkpoint=path, progress=seen.append), whole)
    assert len(seen) < rounds_of(whole)


def test_both_damaged_is_an_error_and_the_older_alone_is_enough(whole, two_files):
    path, before = two_files
    damage(path)
    content = before.read_bytes()
    damage(before)
    with pytest.warns(UserWarning, match="going on from"), pytest.raises(StorageError):
        trained(checkpoint=path)
    before.write_bytes(content)
    path.unlink(missing_ok=True)
    assert_same(trained(checkpoint=path), whole)


def test_a_file_of_something_else_is_an_error(tmp_path):
    path = tmp_path / "panel.npz"
    path.write_bytes(b"not a panel")
    with pytest.raises(StorageError):
        trained(checkpoint=path)
    np.savez(path, a=np.zeros(3))
    with pytest.raises(StorageError):
        trained(checkpoint=path)
    from rnn_dynamics.numerics import storage

    storage.save(path, {"a": np.zeros(3)}, {"kind": "other"})
    with pytest.raises(ValueError, match="kind other, not training panel"):
        trained(checkpoint=path)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"plan": dataclasses.replace(PLAN, test=21)}, "plan.test 20, not 21"),
        (
            {"plan": dataclasses.replace(PLAN, task=task("temporal-order", 11))},
            "plan.task .*length=10.*length=11",
        ),
        (
            {"plan": dataclasses.replace(PLAN, recipe=recipe("clipping", "glorot"))},
            "recipe.initializer 'basic tanh', not 'glorot'",
        ),
        (
            {"plan": dataclasses.replace(PLAN, recipe=PLAN.recipe.with_numbers(threshold=2.0))},
            r"numbers.threshold\[0\] 1.0, not 2.0",
        ),
        ({"seeds": [3, 1, 4, 6]}, r"seeds\[3\] 5, not 6"),
        ({"seeds": [3, 1], "rates": 0.1}, "4 seeds, not 2"),
        ({"rates": [0.1, 0.2, 3e38, 0.5]}, r"numbers.learning_rate\[3\] 0.4"),
    ],
)
def test_another_plan_is_an_error_that_names_what_differs(two_files, changed, told):
    with pytest.raises(ValueError, match=told):
        trained(checkpoint=two_files[0], **changed)


@pytest.mark.parametrize(
    ("name", "error"),
    [("missing/panel.npz", FileNotFoundError), ("panel.ckpt", ValueError), ("folder.npz", ValueError)],
)
def test_a_checkpoint_that_cannot_be_written_is_found_out_before_anything_is_computed(tmp_path, name, error):
    (tmp_path / "folder.npz").mkdir()
    seen = []
    with pytest.raises(error, match="checkpoint: "):
        trained(checkpoint=tmp_path / name, progress=seen.append)
    assert not seen


def test_two_at_one_checkpoint_end_alike(whole, tmp_path, monkeypatch):
    """One runs to its end between two rounds of the other; both files stay whole."""
    monkeypatch.setattr(panels, "_SAVED", 0)
    path, others = tmp_path / "panel.npz", []

    def progress(panel):
        if len(others) < 2:
            others.append(None)
            others[-1] = trained(checkpoint=path)

    assert_same(trained(checkpoint=path, progress=progress), whole)
    assert len(others) == 2
    assert_same(others[1], whole)
    assert_same(trained(checkpoint=path), whole)


# ── neighbours ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_that_diverges_is_recorded_and_keeps_its_last_finite_parameters(whole):
    assert (whole.status == Status.DIVERGED).tolist() == [False, False, True, False]
    assert 0 < whole.steps[2] < 5
    assert all(np.isfinite(leaf).all() for leaf in jax.tree_util.tree_leaves(whole.networks))
    for name, values in whole.history.items():
        assert np.isnan(values[2:, 2]).all(), name
    assert np.isfinite(whole.history["loss"][1, [0, 1, 3]]).all()


def test_neighbours_of_a_diverging_run_are_the_same_beside_a_tame_one_bit_for_bit():
    """As long as there are tiles of one width."""
    wild, tame = (trained(rates=[*RATES[:2], third, RATES[3]], updates=10) for third in (3e38, 0.1))
    assert wild.status[2] == Status.DIVERGED
    assert tame.status[2] != Status.DIVERGED
    for run in (0, 1, 3):
        assert_same(wild, tame, run)


@pytest.mark.parametrize("seeds", [[1], SEEDS])
def test_a_run_alone_is_the_run_among_others_to_rounding(whole, seeds):
    """Tiles of one run, alone or on many threads, against those of two: another width is another program."""
    kept = [SEEDS.index(seed) for seed in seeds]
    found = trained(seeds, [RATES[i] for i in kept], workers=5)
    assert found.status.tolist() == whole.status[kept].tolist()
    assert found.steps.tolist() == whole.steps[kept].tolist()
    np.testing.assert_array_equal(found.runs.key, whole.runs.key[kept])
    tame = [i for i, run in enumerate(kept) if run != 2]
    for a, b in zip(*(jax.tree_util.tree_leaves(p.networks) for p in (found, whole)), strict=True):
        np.testing.assert_allclose(a[tame], b[kept][tame], rtol=0, atol=1e-6)
    for name in ("loss", "norm", "wrong"):
        other = whole.history[name][: rounds_of(found) + 1, kept]
        np.testing.assert_allclose(found.history[name][:, tame], other[:, tame], rtol=1e-4)


def test_a_run_that_has_learned_ends_and_its_share_is_that_of_loops_over_other_sequences(whole):
    ended = np.flatnonzero(whole.succeeded)
    assert (whole.wrong[ended] < ORDER.allowed).all()
    assert (whole.steps[ended] < UPDATES).any()
    assert f"'converged': {len(ended)}" in repr(whole)
    run, batch = ended[0], ORDER.batch(jax.random.key(77), 4000)
    cell, V, c = jax.tree_util.tree_map(lambda leaf: np.float64(leaf[run]), whole.networks)
    h = np.zeros((4000, PLAN.units))
    for u in np.swapaxes(np.float64(batch.inputs), 0, 1):
        h = np.tanh(h @ cell.W.T + u @ cell.W_in.T + cell.b)
    share = np.mean(np.argmax(h @ V.T + c, axis=1) != np.asarray(batch.targets)[:, 0])
    assert whole.wrong[run] == pytest.approx(share, abs=5 * np.hypot(0.43 / 4000**0.5, 0.43 / 100))


def test_one_seed_at_several_rates_starts_from_one_network_and_sees_the_same_sequences():
    found = trained([2, 2], [0.0, 0.1], updates=5)
    still = trained([2, 2], [0.0, 0.0], updates=5)
    for leaf in jax.tree_util.tree_leaves(still.networks):
        np.testing.assert_array_equal(leaf[0], leaf[1])
    np.testing.assert_array_equal(found.runs.key[0], found.runs.key[1])
    assert found.history["wrong"].shape == (2, 2)
    np.testing.assert_array_equal(found.networks.cell.W[0], still.networks.cell.W[0])
    assert (found.networks.cell.W[1] != still.networks.cell.W[1]).any()


def test_a_repeated_shape_compiles_nothing(whole):
    given = dataclasses.replace(PLAN)
    with compilations() as found:
        trained([9, 8, 7, 6], 0.05, plan=given, updates=15)
    assert found.count == 0


_SCRIPT = """
import sys, jax
jax.config.update("jax_enable_x64", sys.argv[1] == "True")
from rnn_dynamics.training import Plan, recipe, task, train
for names in (("clipping", "omega"), ("adam", "orthogonal")):
    plan = Plan(task("temporal-order", 10), recipe(*names), units=6, batch=3, every=5, test=20)
    panel = train(plan, [3, 2**31 - 1], updates=10, workers=1)
    for leaf in jax.tree_util.tree_leaves((panel.networks, panel.history)):
        print(leaf.dtype, leaf.tobytes().hex())
"""


@pytest.mark.soak
def test_results_do_not_depend_on_64_bit_floats_being_there():
    found = [
        subprocess.run(
            [sys.executable, "-c", _SCRIPT, wide], capture_output=True, text=True, check=True
        ).stdout
        for wide in ("True", "False")
    ]
    assert found[0] == found[1]


# ── odd input ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("seeds", "error"),
    [
        ([], ValueError),
        ([-1], ValueError),
        ([2**31], ValueError),
        ([1.5], TypeError),
        (3, TypeError),
        ("12", TypeError),
    ],
)
def test_seeds_are_a_sequence_of_integers(seeds, error):
    with pytest.raises(error, match="seeds: expected"):
        train(PLAN, seeds, updates=5)


def test_seeds_may_come_as_an_array_or_a_range():
    one, two, three = (trained(seeds, 0.1, updates=5) for seeds in ([0, 1], np.arange(2), range(2)))
    assert_same(one, two)
    assert_same(one, three)


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        ({"learning_rates": 0.1}, "numbers: expected some of learning_rate, threshold, got learning_rates"),
        ({"learning_rate": [0.1, 0.2]}, "learning_rate.*for each of 4 runs"),
        ({"learning_rate": [[0.1] * 4]}, "learning_rate.*for each of 4 runs"),
        ({"learning_rate": np.nan}, "learning_rate.*finite"),
        ({"learning_rate": 1e300}, "learning_rate.*float32"),
        ({"learning_rate": -0.1}, "learning_rate.*at least 0"),
        ({"threshold": -1}, "threshold.*at least 0"),
        ({"threshold": "1"}, "threshold.*real"),
        ({"threshold": None}, "threshold.*real"),
        ({"threshold": 1j}, "threshold.*real"),
    ],
)
def test_numbers_that_do_not_fit_are_named(numbers, told):
    with pytest.raises((TypeError, ValueError), match=told):
        train(PLAN, SEEDS, updates=5, numbers=numbers)


def test_integers_are_numbers_too():
    floats, whole_ones = (
        train(PLAN, [0, 1], updates=5, numbers={"threshold": t}, workers=2) for t in (2.0, 2)
    )
    assert_same(floats, whole_ones)


@pytest.mark.parametrize("updates", [0, -5, 2.5, None, True])
def test_updates_are_an_integer_of_at_least_one(updates):
    with pytest.raises((TypeError, ValueError), match="updates: expected an integer"):
        trained(updates=updates)


@pytest.mark.parametrize("workers", [0, 1.5, -1])
def test_workers_are_an_integer_of_at_least_one(workers):
    with pytest.raises((TypeError, ValueError), match="workers: expected an integer"):
        trained(workers=workers)


@pytest.mark.parametrize(
    "made",
    [
        Recipe(clip="norm"),
        Recipe(optimizer="momentum"),
        Recipe(optimizer="rprop"),
        Recipe(numbers=()),
        dataclasses.replace(recipe("flossing"), numbers=(("learning_rate", 0.1), ("flossing", 1.0))),
    ],
)
def test_a_recipe_without_a_number_that_it_needs_says_which(made):
    with pytest.raises(ValueError, match="numbers: the recipe needs '"):
        train(dataclasses.replace(PLAN, recipe=made), [0], updates=5)


@pytest.mark.parametrize("every", [1, 7, 50, 53, 100, 101, 499, 500])
def test_calls_are_short_and_of_at_most_two_lengths(every):
    lengths = lengths_of_calls(every)
    assert sum(lengths) == every
    assert max(lengths) <= 50
    assert max(lengths) - min(lengths) <= 1
    assert len(lengths) == -(-every // 50)


def test_parameters_that_are_not_finite_are_told_and_not_raised(whole):
    bad = jax.tree_util.tree_map(lambda leaf: leaf.copy(), whole.networks)
    bad.cell.W[0] = np.nan
    bad.cell.W[1] = 1e30
    found = measured(ORDER, bad)
    assert all(values.shape == (1, 4) for values in found.values())
    np.testing.assert_array_equal(
        found["exponent"][0, 2:], measured(ORDER, whole.networks)["exponent"][0, 2:]
    )


@pytest.mark.soak
@pytest.mark.parametrize(
    "one", [task("addition", 11), task("noiseless-memorisation", 2)], ids=lambda one: one.name
)
def test_tasks_of_varying_length_and_of_several_readings_are_trained(one):
    plan = dataclasses.replace(PLAN, task=one, recipe=recipe("clipping", "omega"))
    panel = train(plan, [0], updates=3, workers=1)
    assert panel.steps.tolist() == [5]
    assert panel.status.tolist() == [Status.MAX_STEPS]
    assert np.isfinite(panel.history["loss"][1]).all()
    assert 0 <= panel.wrong[0] <= 1
