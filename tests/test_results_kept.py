"""Results are kept: saved, loaded to the bit, turned into datasets and tables, drawn; no result is left out."""

import dataclasses
import importlib
import inspect
import types
import typing
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

import rnn_dynamics as rd
from rnn_dynamics import plots
from rnn_dynamics.cells.activations import Activation, leaky_relu
from rnn_dynamics.numerics import storage
from rnn_dynamics.numerics.results import NotKeptError, Result
from rnn_dynamics.numerics.results.registry import class_of, fields_of, is_record
from tests import results_made
from tests.eager import single_operations
from tests.results_made import six_units, two_units
from tests.same_results import assert_same, not_kept

matplotlib.use("Agg")

ROOMS = (
    "training.studies.events_along_training",
    "training.studies.depth",
    "training.studies.latch_runs",
    "training",
)
# What public functions return that is no result: what is computed with, or what is trained.
NO_RESULTS = {
    "Activation": "a function",
    "ReturnMap": "a function",
    "Plan": "a definition",
    "Term": "a definition",
    "RecurrentStructure": "what a cell declares about itself",
    "Remedy": "a definition",
    "SuggestedRemedy": "a sentence of a verdict, kept with it",
    "Recipe": "a definition",
    "Task": "a definition",
    "Batch": "what a task draws",
    "Network": "what is trained",
    "DeepNetwork": "what is trained; DeepRuns keeps it",
    "PathEvent": "a row of AlongTraining, which keeps it",
    "Panel": "what is trained; train(store=…) keeps it",
}


_GROUP_OF = {
    "states": ("Trajectory", "FixedPoints"),
    "branches": ("Branch", "SpecialPoint"),
    "spectra": ("Bound", "LyapunovSpectrum", "MeanField", "Sweep"),
    "credit": ("CreditByLag", "PartialSums"),
    "verdicts": ("Diagnosis", "Tracker"),
}


class _Made(dict[str, Any]):
    """Single results by their name, made when they are asked for."""

    def __missing__(self, name: str) -> Any:
        return next(results_made.group(group)[name] for group, names in _GROUP_OF.items() if name in names)


@pytest.fixture
def made() -> _Made:
    return _Made()


@pytest.fixture(params=results_made.MAKERS)
def several(request: Any) -> dict[str, Any]:
    """Results of every class, group by group."""
    return results_made.group(request.param)


def _classes(hint: Any) -> list[type]:
    if isinstance(hint, type) and not typing.get_args(hint):
        return [hint]
    return [cls for part in typing.get_args(hint) for cls in _classes(part)]


def _returned(function: Any) -> list[type]:
    """The library's dataclasses and NamedTuples that a function's annotation names."""
    try:
        hints = typing.get_type_hints(inspect.unwrap(function))
    except NameError:  # plots are named for type checkers only
        return []
    ours = [cls for cls in _classes(hints.get("return")) if cls.__module__.startswith("rnn_dynamics.")]
    return [
        cls for cls in ours if is_record(cls) and not {"__call__", "run"} & set(vars(cls))
    ]  # not networks


def _offered(module: types.ModuleType) -> list[str]:
    """What a package's front door names, or of a file what it defines and does not keep for itself."""
    own = [
        name
        for name, value in vars(module).items()
        if name[0] != "_" and getattr(value, "__module__", None) == module.__name__
    ]
    return list(getattr(module, "__all__", own))


def _public_results() -> set[type]:
    """Every class that a public function, or a public method of such a class, returns."""
    modules = [value for name in rd.__all__ if inspect.ismodule(value := getattr(rd, name))]
    modules += [importlib.import_module(f"rnn_dynamics.{room}") for room in ROOMS]
    waiting = [getattr(rd, name) for name in rd.__all__ if inspect.isfunction(getattr(rd, name))]
    for module in modules:
        if module.__name__.split(".")[-1] not in ("plots", "figures", "cells", "numerics"):
            waiting += [value for name in _offered(module) if callable(value := getattr(module, name))]
    found: set[type] = set()
    while waiting:
        function = waiting.pop()
        if isinstance(function, type):
            continue
        for cls in _returned(function):
            if cls not in found:
                found.add(cls)
                members = [
                    v.fget if isinstance(v, property) else v for n, v in vars(cls).items() if n[0] != "_"
                ]
                waiting += [member for member in members if inspect.isfunction(member)]
    parts = {part for cls in found for hint in typing.get_type_hints(cls).values() for part in _classes(hint)}
    named = {name for module in modules for name in _offered(module)}
    found |= {part for part in parts if dataclasses.is_dataclass(part) and part.__name__ in named}
    found |= {rd.rollout.__globals__["Trajectory"], rd.rollout.__globals__["Trajectories"]}
    return {cls for cls in found if cls.__name__ not in NO_RESULTS}


def test_no_result_is_left_out() -> None:
    public = _public_results()
    assert len(public) > 55
    without = sorted(cls.__name__ for cls in public if not issubclass(cls, Result))
    assert not without, f"give these Result as a base: {without}"


def test_files_of_the_first_release_are_read_under_the_names_of_today() -> None:
    names = {
        "rollout.Trajectory": rd.Trajectory,
        "equilibria.FixedPoints": rd.dynamics.FixedPoints,
        "spectra.SingularSpectrum": rd.gradients.SingularSpectrum,
        "bounds.Bounds": rd.spectral.Bounds,
        "diagnose.Diagnosis": rd.diagnosis.Diagnosis,
        "diagnose.Remedy": rd.diagnosis.SuggestedRemedy,
        "doya.Branch": rd.doya.NeuronBranch,
        "training.Row": rd.training.ComparisonRow,
        "activations.Activation": Activation,
    }
    for name, cls in names.items():
        assert class_of(name) is cls
    with pytest.raises(ValueError, match="no class"):
        class_of("equilibria.NoSuchPoints")


def test_round_trips_are_equal_to_the_bit(several: dict[str, Any], tmp_path: Any) -> None:
    for name, result in several.items():
        path = result.save(tmp_path / f"{name}.npz")
        back = rd.load(path)
        assert_same(back, result, name)
        assert type(type(result).load(path)) is type(result)
        lacking = {
            "Branch": ["track"],
            "Branches": ["tracks"],
            "LossAlong": ["branches.0.track", "branches.1.track"],
        }
        assert set(not_kept(back)) <= set(lacking.get(name, [])), name
        with np.load(path, allow_pickle=False) as plain:
            assert all(
                plain[array].dtype.kind in "biufc" for array in plain.files if array != "manifest.json"
            )


def test_every_saved_result_can_be_saved_again(made: Any, tmp_path: Any) -> None:
    for name in ("FixedPoints", "Branch", "Diagnosis", "Sweep", "Tracker", "MeanField"):
        first = made[name].save(tmp_path / "first.npz")
        again = rd.load(first).save(tmp_path / "again.npz")
        assert first.read_bytes() == again.read_bytes(), name


@dataclasses.dataclass(frozen=True)
class _Foreign(Result):
    value: Any


class TestValues:
    """What a field may hold, each in a real result: the inputs of a trajectory."""

    @pytest.mark.parametrize(
        "value",
        [
            np.array([np.nan, -np.nan, np.inf, -np.inf, -0.0, 5e-324]),
            np.array(3.5),
            np.zeros((0, 3)),
            np.zeros((2, 0), np.int8),
            np.arange(6.0).reshape(2, 3).T,
            np.array([1 + 2j, complex(np.nan, -np.inf)]),
            np.array([True, False]),
            np.arange(3, dtype=">i4"),
            np.float32(0.1),
            np.bool_(True),
            np.array(["a", "<b>"]),
            jnp.arange(3, dtype=jnp.bfloat16),
            jnp.float32(2.5),
            jnp.zeros(0),
            jnp.arange(3, dtype=jnp.uint8),
            None,
            True,
            -7,
            2**70,
            0.1,
            -0.0,
            float("inf"),
            1 - 2j,
            "text with \N{SNOWMAN} and <script>",
            (),
            [],
            {},
            (1, (2.5, None), [np.ones(2)]),
            {"a": np.ones(2), "b c/../d": {"e": 1}, 3: "three", (1, 2): np.zeros(1)},
            rd.Status.DIVERGED,
            range(2, 9, 3),
            np.dtype("float32"),
        ],
        ids=lambda value: f"{type(value).__name__}-{value!r}"[:40],
    )
    def test_come_back_as_they_were(self, value: Any, tmp_path: Any) -> None:
        run = rd.Trajectory(None, value, jnp.zeros((1, 1)), jnp.int32(-1))
        assert_same(rd.load(run.save(tmp_path / "a.npz")).inputs, value)

    def test_a_key_comes_back_as_a_key(self, tmp_path: Any) -> None:
        for impl in ("threefry2x32", "rbg"):
            keys = jax.random.split(jax.random.key(3, impl=impl), 4)
            run = rd.Trajectory(None, {"key": keys}, jnp.zeros((1, 1)), jnp.int32(-1))
            assert_same(rd.load(run.save(tmp_path / "a.npz")).inputs["key"], keys)

    def test_one_array_met_twice_is_kept_once(self, tmp_path: Any) -> None:
        shared = np.ones(10_000)
        run = rd.Trajectory(None, [shared] * 5, jnp.zeros((1, 1)), jnp.int32(-1))
        path = run.save(tmp_path / "a.npz")
        assert path.stat().st_size < 2 * shared.nbytes
        assert_same(rd.load(path).inputs, run.inputs)

    @pytest.mark.parametrize(
        "value",
        [
            object(),
            {1, 2},
            np.array([object()]),
            np.array(["2026-01-01"], "datetime64[D]"),
            lambda x: x,
            b"bytes",
        ],
        ids=["object", "set", "objects", "dates", "function", "bytes"],
    )
    def test_without_a_form_are_refused_by_name_and_an_old_file_stays(
        self, value: Any, tmp_path: Any
    ) -> None:
        path = tmp_path / "a.npz"
        path.write_bytes(b"before")
        run = rd.Trajectory(None, {"here": [value]}, jnp.zeros((1, 1)), jnp.int32(-1))
        with pytest.raises(TypeError, match=r"inputs\.here\.0"):
            run.save(path)
        assert path.read_bytes() == b"before"
        assert [file.name for file in tmp_path.iterdir()] == ["a.npz"]

    def test_traced_values_are_refused(self, tmp_path: Any) -> None:
        def inside(x: Any) -> Any:
            rd.Trajectory(None, None, x, jnp.int32(-1)).save(tmp_path / "a.npz")
            return x

        with pytest.raises(TypeError, match="states: a traced value"):
            jax.jit(inside)(jnp.zeros((2, 1)))

    def test_a_class_of_the_users_is_refused(self, tmp_path: Any) -> None:
        with pytest.raises(TypeError, match="_Foreign"):
            _Foreign(1).save(tmp_path / "a.npz")

    def test_another_ending_is_refused(self, tmp_path: Any) -> None:
        with pytest.raises(ValueError, match=r"\.npz"):
            rd.Trajectory(None, None, jnp.zeros((1, 1)), jnp.int32(-1)).save(tmp_path / "a.pkl")


class TestCells:
    def test_every_cell_of_the_library_is_kept_with_its_trajectory(self, tmp_path: Any) -> None:
        key, n = jax.random.key(0), 3
        W, b = np.asarray(jax.random.normal(key, (n, n))), np.zeros(n)
        gates = {size: np.ones((size * n, n)) for size in (2, 3, 4)}
        cells = [
            rd.ElmanRNN(W, b),
            rd.ElmanRNN(W, b, activation=leaky_relu(0.1 + 1e-12)),
            rd.LeakyRNN(W, b, leak=0.3),
            rd.PreActivationRNN(W, b, activation="relu"),
            rd.GRU(gates[3], np.zeros(9)),
            rd.LSTM(gates[4], np.zeros(12)),
            rd.PiecewiseLinearRNN(0.5 * np.ones(n), W - np.diag(np.diag(W)), b),
            rd.cells.Stack([rd.ElmanRNN(W, b, np.eye(n)), rd.ElmanRNN(W, b, np.eye(n))]),
            rd.DoyaNeuron(5.0, -2.4),
        ]
        for cell in cells:
            run = rd.Trajectory(cell, None, jnp.zeros((2, n)), jnp.int32(-1))
            back = rd.load(run.save(tmp_path / "a.npz"))
            assert_same(back.cell, cell, type(cell).__name__)
            assert jax.tree_util.tree_structure(back.cell) == jax.tree_util.tree_structure(cell)

    def test_a_loaded_trajectory_is_used_as_before(self, tmp_path: Any) -> None:
        run = rd.rollout(two_units(), np.array([0.3, -0.4]), steps=12)
        back = rd.load(run.save(tmp_path / "a.npz"))
        assert np.array_equal(rd.gradient_norms(back), rd.gradient_norms(run))

    @pytest.mark.parametrize(
        "cell",
        [
            lambda x, u: 0.5 * x,
            jax.tree_util.Partial(lambda w, x, u: w * x, jnp.float64(0.5)),
            rd.ElmanRNN(np.eye(2) / 2, np.zeros(2), activation=Activation("mine", jnp.tanh)),
            rd.cells.Stack([rd.ElmanRNN(np.eye(2), np.zeros(2), activation=lambda z: 0.5 * z)]),
        ],
        ids=["closure", "partial", "own activation", "own activation in a stack"],
    )
    def test_a_foreign_cell_is_left_out_and_said_to_be(self, cell: Any, tmp_path: Any) -> None:
        run = rd.rollout(cell, np.array([0.3, -0.4]), steps=3)
        path = run.save(tmp_path / "a.npz")
        back = rd.load(path)
        assert_same(back.states, run.states)
        assert not back.cell
        assert "not kept" in repr(back)
        with pytest.raises(NotKeptError, match=r"load\(path, cell=cell\)"):
            rd.gradient_norms(back)
        assert rd.load(path, cell=cell).cell is cell
        assert np.array_equal(rd.gradient_norms(rd.Trajectory.load(path, cell=cell)), rd.gradient_norms(run))

    def test_nothing_of_a_cell_that_is_left_out_stays_in_the_file(self, tmp_path: Any) -> None:
        cell = rd.ElmanRNN(np.eye(2), np.zeros(2), activation=lambda z: z)
        arrays, _ = storage.load(rd.rollout(cell, np.zeros(2), steps=1).save(tmp_path / "a.npz"))
        assert set(arrays) == {"states", "first_nonfinite"}

    def test_a_part_that_no_result_has_is_refused(self, tmp_path: Any) -> None:
        path = rd.rollout(two_units(), np.zeros(2), steps=1).save(tmp_path / "a.npz")
        with pytest.raises(TypeError, match="cel: a Trajectory has no such part"):
            rd.load(path, cel=two_units())

    def test_a_branch_without_its_map_says_so_where_it_needs_it(self, made: Any, tmp_path: Any) -> None:
        back = rd.load(made["Branch"].save(tmp_path / "a.npz"))
        np.testing.assert_array_equal(back.orbits(), back.states[:, None])  # fixed points need no map
        cycles = dataclasses.replace(back, period=2)
        with pytest.raises(NotKeptError, match="Branch was saved without its track"):
            cycles.orbits()


class TestFiles:
    @pytest.fixture
    def path(self, tmp_path: Any) -> Any:
        return rd.rollout(two_units(), np.array([0.3, -0.4]), steps=3).save(tmp_path / "run.npz")

    def test_the_wrong_class_is_named(self, path: Any) -> None:
        with pytest.raises(ValueError, match=r"run\.npz: expected a FixedPoints, got a Trajectory"):
            rd.dynamics.FixedPoints.load(path)

    def test_cut_short_or_damaged_anywhere(self, path: Any) -> None:
        whole = path.read_bytes()
        for end in (0, 10, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:end])
            with pytest.raises(ValueError, match=r"run\.npz: not a readable .* file, or cut short"):
                rd.load(path)
        path.write_bytes(whole)
        written, refused = repr(storage.load(path)), 0
        for place in range(0, len(whole), 97):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            try:
                read = repr(storage.load(path))
            except storage.StorageError:
                with pytest.raises(ValueError, match=r"run\.npz"):
                    rd.load(path)
                refused += 1
            else:
                assert read == written  # a date or an attribute of a member, which says nothing
        assert refused > 0.8 * len(range(0, len(whole), 97))

    def test_files_of_others(self, tmp_path: Any) -> None:
        np.savez(tmp_path / "plain.npz", a=np.zeros(3))
        (tmp_path / "text.npz").write_text("no archive")
        arrays = storage.save(tmp_path / "arrays.npz", {"a": np.zeros(3)}, {})
        other = storage.save(tmp_path / "other.npz", {}, {"kind": "panel"})
        for path, reason in (
            (tmp_path / "plain.npz", "not a"),
            (tmp_path / "text.npz", "not a"),
            (arrays, "expected a result, got arrays"),
            (other, "expected a result, got a panel"),
        ):
            with pytest.raises(ValueError, match=rf"{path.name}: {reason}"):
                rd.load(path)
        with pytest.raises(FileNotFoundError):
            rd.load(tmp_path / "missing.npz")

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (
                lambda about: about.update(version=2, library="9.9"),
                r"later version .*\(9\.9, results 2\)",
            ),
            (lambda about: about.update(version="1"), "expected a result"),
            (lambda about: about.pop("root"), "expected a result"),
            (lambda about: about["root"].update(record="os.system"), "no class 'os.system'"),
            (lambda about: about["root"].update(record="plots.Axes"), "no class"),
            (lambda about: about["root"].update(record="rollout.rollout"), "no class"),
            (lambda about: about["root"].update(record="status.Status"), "has no fields"),
            (lambda about: about["root"].update(record="cells.ElmanRNN"), "no field"),
            (lambda about: about["root"]["fields"].pop("states"), "Trajectory lacks its field 'states'"),
            (lambda about: about["root"]["fields"].update(new=1), "Trajectory has no field 'new'"),
            (lambda about: about["root"]["fields"].update(inputs={"array": "nowhere"}), "lacks 'nowhere'"),
            (lambda about: about["root"]["fields"].update(inputs={"evil": 1}), "known tag"),
            (lambda about: about["root"]["fields"].update(inputs=[1, 2]), "without a tag"),
            (lambda about: about["root"]["fields"].update(inputs={"activation": "__import__"}), "activation"),
            (
                lambda about: about["root"]["fields"].update(inputs={"enum": "status.Status", "name": "X"}),
                "lacks 'X'",
            ),
            (lambda about: about["root"]["fields"].update(inputs={"dtype": "O"}), "Python objects"),
            (lambda about: about.update(root={"tuple": []}), "expected a result, got tuple"),
            (lambda about: about.update(root=3), "expected a result, got int"),
        ],
    )
    def test_well_sealed_files_that_no_result_wrote(self, path: Any, change: Any, reason: str) -> None:
        arrays, metadata = storage.load(path)
        change(metadata["result"])
        storage.save(path, arrays, metadata)
        with pytest.raises(ValueError, match=rf"run\.npz: .*{reason}"):
            rd.load(path)

    def test_a_field_with_a_default_may_be_missing_in_an_older_file(self, made: Any, tmp_path: Any) -> None:
        path = made["FixedPoints"].save(tmp_path / "a.npz")
        arrays, metadata = storage.load(path)
        del metadata["result"]["root"]["fields"]["cell"]
        storage.save(path, arrays, metadata)
        assert rd.load(path).cell is None

    def test_a_failure_while_writing_leaves_the_old_file(self, path: Any, monkeypatch: Any) -> None:
        before = path.read_bytes()

        def fail(*_: Any) -> None:
            raise OSError("disk full")

        monkeypatch.setattr(storage.os, "fsync", fail)
        with pytest.raises(OSError, match="disk full"):
            rd.rollout(two_units(), np.zeros(2), steps=9).save(path)
        assert path.read_bytes() == before

    def test_sweeps_and_comparisons_of_the_first_form_are_read(self, tmp_path: Any) -> None:
        axes, values = {"axes.w": np.arange(3.0)}, {"values.x": np.arange(3.0)}
        path = storage.save(tmp_path / "a.npz", axes | values, {"kind": "sweep", "sweep": {"device": "cpu"}})
        sweep = rd.load(path)
        assert sweep.names == ("w",)
        assert np.array_equal(sweep["x"], np.arange(3.0))

    def test_float64_stays_exact_where_x64_is_off(self, path: Any) -> None:
        exact = np.asarray(rd.load(path).states)
        with jax.enable_x64(False):
            states = rd.load(path).states
        assert states.dtype == np.float64
        assert np.array_equal(states, exact)


class TestOnTheHost:
    """Pictures and words ask for no programs of one operation; of other host code see ``test_eager``."""

    def test_an_operation_is_seen(self) -> None:
        loss = results_made.group("neuron")["Loss"]
        with single_operations() as found:
            _ = loss.resolved
        assert any("equal" in line and "cliff/loss.py" in line for line in found)

    def test_pictures_and_words_ask_for_none(self, several: dict[str, Any]) -> None:
        with single_operations() as found:
            for result in several.values():
                repr(result)
                result._repr_html_()
                if getattr(type(result), "picture", None) is not None:
                    result.plot()
                    plt.close("all")
        assert not found


class TestDatasets:
    def test_every_result_has_one_with_its_values(self, several: dict[str, Any]) -> None:
        for name, result in several.items():
            if name in ("Comparison", "Sweep", "RadiusSweep"):
                continue
            data = result.to_xarray()
            for field in fields_of(type(result)):
                value = getattr(result, field)
                if isinstance(value, jax.Array | np.ndarray):
                    variable = data[field if field in data.variables else f"{field}_values"]
                    assert np.asarray(value).tobytes() == np.ascontiguousarray(variable.values).tobytes(), (
                        name,
                        field,
                    )
                elif isinstance(value, int | float) and not hasattr(value, "name"):
                    assert data[field].values.item() == value or value != value, (name, field)

    def test_dimensions_have_the_names_of_what_they_count(self, made: Any) -> None:
        points = made["FixedPoints"].to_xarray()
        assert points["points"].dims == ("point", "unit")
        assert points["orbits"].dims == ("point", "phase", "unit")
        assert points["multipliers"].dims == ("point", "multiplier")
        assert points["jacobians"].dims == ("point", "multiplier", "multiplier_2")
        assert points["start_status"].dims == ("start",)
        run = made["Trajectory"].to_xarray()
        assert run["states"].dims == ("time", "unit")
        assert run["time"].values.tolist() == list(range(13))
        credit = made["CreditByLag"].to_xarray()
        assert credit["log_shares"].dims == ("lag",)
        assert credit["lag"].values[0] == 1
        assert credit["log_shares"].attrs["units"] == "nats"
        spectrum = made["LyapunovSpectrum"].to_xarray()
        assert spectrum["block_means"].dims == ("block", "exponent")
        assert spectrum["exponents"].attrs["units"] == "nats a step"
        assert "block means" in spectrum["standard_errors"].attrs["description"]
        assert made["Branch"].to_xarray()["events.kind"].dims == ("events",)

    def test_a_batch_by_vmap_has_its_own_dimension(self) -> None:
        several = jax.vmap(lambda x: rd.rollout(two_units(), x, steps=3))(jnp.zeros((4, 2)))
        data = several.to_xarray()
        assert data["states"].dims == ("batch", "time", "unit")
        assert data["states"].shape == (4, 4, 2)

    def test_without_xarray_the_package_to_install_is_named(self, made: Any, monkeypatch: Any) -> None:
        monkeypatch.setitem(__import__("sys").modules, "xarray", None)
        with pytest.raises(ImportError, match=r"to_xarray needs xarray: pip install"):
            made["Trajectory"].to_xarray()


def _drawn(figure: Any) -> np.ndarray:
    """All numbers in a figure: of lines, dots, bars and images."""
    found = [np.zeros(0)]
    for ax in figure.axes:
        found += [np.asarray(part, float) for line in ax.get_lines() for part in line.get_data()]
        for collection in ax.collections:
            array = collection.get_array()
            found += [] if array is None else [np.ma.filled(np.ma.asarray(array, float), np.nan).ravel()]
            found.append(np.asarray(collection.get_offsets(), float).ravel())
            found += [path.vertices.ravel() for path in collection.get_paths()[:500]]
        found += [
            np.array([bar.get_height(), bar.get_width()]) for bar in ax.patches if hasattr(bar, "get_height")
        ]
        found += [np.asarray(image.get_array(), float).ravel() for image in ax.images]
    return np.concatenate([part.ravel() for part in found])


def _main_numbers(value: Any, depth: int = 0) -> list[np.ndarray]:
    """Arrays of a result, of its parts and of what it computes from them."""
    if isinstance(value, jax.Array | np.ndarray):
        return [np.asarray(value)] if value.dtype.kind in "fc" and value.size else []
    if isinstance(value, rd.Scaled):
        return [np.asarray(value.log()), np.asarray(value.norm().log()) if value.event_ndim else np.zeros(1)]
    if isinstance(value, float):
        return [np.array([value])]
    if isinstance(value, dict):
        return [found for part in value.values() for found in _main_numbers(part, depth)]
    if isinstance(value, tuple | list) and not is_record(type(value)):
        return [found for part in value for found in _main_numbers(part, depth)]
    if not is_record(type(value)) or depth > 3 or callable(value):
        return []
    parts = [getattr(value, name) for name in fields_of(type(value))]
    names = ("log_norms", "log_shares", "rate", "converged", "history", "log", "exponents")
    parts += [part for name in names if not callable(part := getattr(value, name, None))]
    return [found for part in parts for found in _main_numbers(part, depth + 1)]


# Results whose picture is of a few single numbers, or of a mean.
_SHOWN = {
    "Jump": lambda jump: np.array([jump.before, jump.after]),
    "LatchConvergence": lambda found: np.asarray(found.converged, float).reshape(2, -1).mean(axis=1),
    "Agreement": lambda agreement: np.log10(np.maximum(np.asarray(agreement.errors), 1e-17)),
    "OrbitCheck": lambda check: np.array([float(check.resolved_steps), float(check.period)]),
    "Tracker": lambda tracker: np.array([float(record.horizon) for record in tracker.records]),
}


def test_every_result_is_drawn_with_its_values(several: dict[str, Any]) -> None:
    from matplotlib import pyplot
    from matplotlib.axes import Axes

    wrong = {}
    for name, result in several.items():
        assert result.picture in plots.__all__, name
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            drawn = result.plot()
            _, given = pyplot.subplots()
            assert result.plot(given) is given, name
        assert isinstance(drawn, Axes), name
        assert drawn is not given, name
        figure = drawn.figure
        figure.canvas.draw()
        shown = np.unique(_drawn(figure)[np.isfinite(_drawn(figure))])
        assert shown.size, name

        def inside(array: np.ndarray, shown: np.ndarray = shown) -> float:
            parts = array.view(array.real.dtype) if array.flags.c_contiguous else array.real
            finite = parts[np.isfinite(parts)]
            if not finite.size:
                return 0.0
            near = np.abs(shown[:, None] - finite[None]).min(axis=0)
            return float((near <= 1e-9 * (1 + np.abs(finite))).mean())

        arrays = [np.atleast_1d(array) for array in _main_numbers(result)]
        long = [a for a in arrays if len(np.unique(a[np.isfinite(a)])) > 1] or arrays
        # As they are or in decades, all or the first column: pictures may show one parameter of many.
        forms = [form for array in long for form in (array, array.T[:1])]
        shares = [max(inside(form), inside(form / np.log(10))) for form in forms]
        pyplot.close("all")
        if name in _SHOWN:
            shares = [inside(_SHOWN[name](result))]
        if max(shares, default=0.0) < 0.99:
            wrong[name] = sorted(shares)[-3:]
    assert not wrong


class TestStateSpace:
    def _quiver(self, ax: Any) -> Any:
        return next(c for c in ax.collections if type(c).__name__ == "Quiver")

    def test_arrows_point_where_the_map_goes(self, made: Any) -> None:
        ax = made["FixedPoints"].plot()
        arrows = self._quiver(ax)
        states = np.asarray(arrows.XY)
        cell = two_units()
        moved = np.array([np.asarray(cell(jnp.asarray(x), None)) - x for x in states])
        drawn = np.stack([arrows.U, arrows.V], axis=1)
        rests = np.linalg.norm(moved, axis=1) < 1e-12
        assert np.linalg.norm(drawn[rests], axis=1) == pytest.approx(0.0, abs=1e-5)
        moved, drawn = moved[~rests], drawn[~rests]
        cosine = np.sum(moved * drawn, axis=1) / np.linalg.norm(moved, axis=1) / np.linalg.norm(drawn, axis=1)
        assert cosine == pytest.approx(1.0, abs=1e-12)

    def test_six_units_are_drawn_in_the_principal_components_of_the_runs(self) -> None:
        cell = six_units()
        u = np.ones((30, 1)) / 2
        runs = [rd.rollout(cell, 0.3 * np.random.default_rng(i).normal(size=6), u) for i in range(4)]
        found = rd.fixed_points(cell, np.concatenate([r.states[::6] for r in runs]), u=u[0])
        ax = found.plot(runs=runs)
        states = np.concatenate([np.asarray(r.states) for r in runs])
        centred = states - states.mean(0)
        _, sizes, rows = np.linalg.svd(centred)
        shares = sizes**2 / np.sum(sizes**2)
        assert ax.get_xlabel() == f"PC 1 ({100 * shares[0]:.0f} %)"
        drawn = _drawn(ax.figure)
        for x in np.asarray(found.points):
            place = np.abs(rows[:2] @ (x - states.mean(0)))
            assert all(np.abs(np.abs(drawn) - value).min() < 1e-9 for value in place)
        arrows = self._quiver(ax)
        signs = np.where(rows[[0, 1], np.abs(rows[:2]).argmax(1)] < 0, -1, 1)[:, None] * rows[:2]
        at = states.mean(0) + np.asarray(arrows.XY) @ signs
        moved = np.array([np.asarray(cell(jnp.asarray(x), jnp.asarray(u[0]))) - x for x in at]) @ signs.T
        drawn = np.stack([arrows.U, arrows.V], axis=1)
        cosine = np.sum(moved * drawn, axis=1) / np.linalg.norm(moved, axis=1) / np.linalg.norm(drawn, axis=1)
        assert cosine == pytest.approx(1.0, abs=1e-9)

    def test_unstable_directions_are_lines_along_the_eigenvectors(self, made: Any) -> None:
        points = made["FixedPoints"]
        ax = points.plot(flow=False)
        line = next(line for line in ax.get_lines() if line.get_label() == "unstable direction")
        x, y = line.get_data()
        saddle = points.kind.index("saddle")
        values, vectors = np.linalg.eig(points.jacobians[saddle])
        direction = vectors[:, np.argmax(np.abs(values))]
        drawn = np.array([x[1] - x[0], y[1] - y[0]])
        assert abs(drawn[0] * direction[1] - drawn[1] * direction[0]) < 1e-12
        assert np.mean([x, y], axis=1) == pytest.approx(points.points[saddle], abs=1e-12)

    def test_a_trajectory_starts_open_and_ends_filled(self, made: Any) -> None:
        run = made["Trajectory"]
        ax = run.plot()
        ends = {line.get_label(): line.get_data() for line in ax.get_lines()}
        assert np.ravel(ends["$x_0$"]) == pytest.approx(np.asarray(run.initial))
        assert np.ravel(ends["$x_T$"]) == pytest.approx(np.asarray(run.final))
        assert run.plot(kind="time").get_xlabel() == "step $t$"
        with pytest.raises(ValueError, match="kind"):
            run.plot(kind="movie")

    def test_starts_that_are_no_grid_are_dots_of_their_basins_colour(self) -> None:
        starts = np.random.default_rng(0).normal(size=(30, 6))
        labels = rd.basins(six_units(), starts, u=np.zeros(1))
        ax = labels.plot()
        dots = [line for line in ax.get_lines() if str(line.get_label()).startswith("to ")]
        assert [len(line.get_data()[0]) for line in dots] == [
            int((labels.labels == i).sum()) for i in range(len(dots))
        ]
        neuron = rd.basins(rd.DoyaNeuron(5.0, -2.4), np.linspace(0, 1, 9))
        assert neuron.plot().get_xlabel() == "state x"

    def test_a_batch_and_a_list_of_runs_are_drawn_with_one_flow(self) -> None:
        cell = two_units()
        batch = jax.vmap(lambda x: rd.rollout(cell, x, steps=5))(jnp.array([[0.3, -0.4], [-0.2, 0.1]]))
        ax = batch.plot()
        arrows = self._quiver(ax)
        assert len(arrows.XY) > 100
        starts = next(line for line in ax.get_lines() if line.get_label() == "$x_0$")
        assert np.ravel(starts.get_data()) == pytest.approx([0.3, -0.4])
        found = rd.fixed_points(cell, np.array([[0.5, 0.2], [-0.5, 0.1]]))
        assert len(found.plot(runs=batch).get_lines()) >= 4

    def test_inputs_that_change_have_no_flow(self) -> None:
        run = results_made.runs()["six"]
        assert not any(type(c).__name__ == "Quiver" for c in run.plot().collections)
        assert results_made.runs()["one"].plot().get_ylabel() == "$x_{t+1}$"

    def test_axes_that_hold_something_get_no_arrows_unless_asked(self, made: Any) -> None:
        from matplotlib import pyplot

        _, ax = pyplot.subplots()
        ax.plot([0, 1], [0, 1])
        made["FixedPoints"].plot(ax)
        assert not any(type(c).__name__ == "Quiver" for c in ax.collections)
        made["FixedPoints"].plot(ax, flow=True)
        assert any(type(c).__name__ == "Quiver" for c in ax.collections)
        pyplot.close("all")

    def test_a_neuron_is_drawn_as_its_map(self) -> None:
        found = rd.fixed_points(rd.DoyaNeuron(5.0, -2.4), np.array([0.1, 0.4, 0.9]))
        ax = found.plot()
        graph = next(line for line in ax.get_lines() if "F(x_t)" in line.get_label())
        x, y = graph.get_data()
        assert y == pytest.approx(1 / (1 + np.exp(2.4 - 5 * x)), abs=1e-12)
        for point in found.points:
            assert any((line.get_data()[0] == point).any() for line in ax.get_lines())

    def test_units_that_are_not_there_are_refused(self, made: Any) -> None:
        with pytest.raises(ValueError, match="axes"):
            made["FixedPoints"].plot(axes=(0, 5))
        with pytest.raises(ValueError, match="runs"):
            made["FixedPoints"].plot(runs=np.zeros((4, 3)))


def test_every_result_is_among_those_that_are_tested() -> None:
    known = {type(value) for name in results_made.MAKERS for value in results_made.group(name).values()}
    missing = sorted(f"{cls.__module__}.{cls.__name__}" for cls in _public_results() - known)
    assert not missing, f"make one of each in results_made.py: {missing}"


def test_runs_of_several_lengths_become_one_dataset() -> None:
    cell = rd.ElmanRNN(np.eye(2) / 2, np.zeros(2), np.ones((2, 1)))
    runs = rd.rollout(cell, None, [np.ones((3, 1)), np.ones((5, 1))])
    found = runs.to_xarray()
    assert found.states.dims == ("run", "time", "unit")
    np.testing.assert_array_equal(found.states, runs.states)
    assert found.lengths.values.tolist() == [3, 5]
    assert np.isnan(found.inputs.values[0, 3:]).all()


def test_a_branch_of_fixed_points_from_a_file_is_drawn(tmp_path: Any) -> None:
    def family(b: Any) -> Any:
        return rd.ElmanRNN([[2.0, -0.3], [0.4, 1.8]], jnp.stack([b, jnp.asarray(0.1)]))

    branch = rd.continue_branch(family, [0.9, 0.9], 0.0, p_range=(-0.5, 0.5))
    branch.save(tmp_path / "branch.npz")
    loaded = rd.load(tmp_path / "branch.npz")
    np.testing.assert_array_equal(loaded.orbits(), branch.orbits())
    loaded.plot()
