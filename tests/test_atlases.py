"""Atlases: their values against oracles, what a folder holds of them, and their pictures."""

import itertools
import math
import pickle
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib as mpl
import matplotlib.pyplot
import mpmath
import numpy as np
import pytest
import scipy.optimize

import rnn_dynamics as rd
from rnn_dynamics import atlases, cli
from rnn_dynamics.atlases import fixed_points, gated, neuron
from rnn_dynamics.cli import known
from rnn_dynamics.diagnosis.growth import reach
from rnn_dynamics.numerics.stored.opening import opened
from rnn_dynamics.numerics.sweep import sweep
from tests.compilations import compilations

pytest.importorskip("zarr")
POINTS_OF_A_NETWORK = {"units": 3, "points": 4, "seeds": 6, "starts": 16}


@pytest.fixture(scope="module")
def counted() -> Any:
    return atlases.make("fixed_points", **POINTS_OF_A_NETWORK)


@pytest.fixture(scope="module")
def neurons(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of eighteen blocks, of which the last two are missing."""
    path = tmp_path_factory.mktemp("neurons") / "a.zarr"
    atlases.make("neuron", store=path, chunk=2, points=3, steps=12, epsilon=[0.5, 1.0], x0=[0.2, 0.6])
    store = opened(path)
    for index in (len(store.blocks) - 1, len(store.blocks) - 2):
        store.forget(index)
    return path


# --- values ---------------------------------------------------------------------------------------------


def _weights(seed: int, units: int, size: int) -> np.ndarray:
    """The network's draw, by its definition: the corner of a Gaussian matrix, divided by the root of its size."""
    drawn = jax.random.split(jax.random.fold_in(jax.random.key(0), seed))[0]
    return np.asarray(jax.random.normal(drawn, (units, units)))[:size, :size] / math.sqrt(size)


def _roots(W: np.ndarray) -> tuple[int, int]:
    """Fixed points of tanh(W x) and the stable ones, by SciPy's hybrid method from a lattice of starts."""
    found: list[np.ndarray] = []
    for start in itertools.product(np.linspace(-1, 1, 9), repeat=len(W)):
        x, _, status, _ = scipy.optimize.fsolve(
            lambda x: x - np.tanh(W.dot(x)), start, full_output=True, xtol=1e-13
        )
        is_root = status == 1 and np.abs(x - np.tanh(W.dot(x))).max() < 1e-11
        if is_root and all(np.abs(x - one).max() > 1e-5 for one in found):
            found.append(x)
    largest = [np.abs(np.linalg.eigvals((1 - x**2)[:, None] * W)).max() for x in found]
    return len(found), sum(one < 1 for one in largest)


def test_one_unit_has_one_fixed_point_up_to_a_slope_of_one_and_three_beyond(counted: Any) -> None:
    for i, gain in enumerate(counted.axes["gain"]):
        for seed in range(POINTS_OF_A_NETWORK["seeds"]):
            slope = gain * float(_weights(seed, 3, 1)[0, 0])
            assert counted["points"][i, 0, seed] == (3 if slope > 1 else 1), slope
            stable = 2 if slope > 1 else int(slope > -1)
            assert counted["stable"][i, 0, seed] == stable, slope


@pytest.mark.parametrize("size", [2, 3])
def test_two_and_three_units_have_the_roots_that_scipy_finds(counted: Any, size: int) -> None:
    several = 0
    for i, gain in enumerate(counted.axes["gain"]):
        for seed in range(3 if size == 3 else 6):
            wanted = _roots(gain * _weights(seed, 3, size))
            got = int(counted["points"][i, size - 1, seed]), int(counted["stable"][i, size - 1, seed])
            assert got == wanted, (gain, seed)
            several += wanted[0] > 1
    assert several > 2


def test_the_librarys_own_search_finds_as_many() -> None:
    seed = 1
    count = fixed_points._network(8, 64)(jnp.asarray(4.0), jnp.int32(8), jnp.int32(seed))
    cell = rd.ElmanRNN(4 * _weights(seed, 8, 8), np.zeros(8))
    found = rd.fixed_points(cell, np.random.default_rng(0).uniform(-1, 1, (200, 8)), slow=False, orbits=0)
    assert len(found) == int(count["points"]) == 7
    assert int(np.sum(found.stable)) == int(count["stable"]) == 0


def test_starts_that_converge_are_counted_and_the_number_never_passes_what_they_can_find(
    counted: Any,
) -> None:
    assert (counted["converged"] <= POINTS_OF_A_NETWORK["starts"]).all()
    few = atlases.make("fixed_points", units=3, points=4, seeds=6, starts=1)
    assert (few["points"] <= np.minimum(3, counted["points"])).all()
    assert (few["points"] % 2 == 1).all()


def _cells(**options: Any) -> Any:
    return atlases.make("gated", points=2, seeds=1, steps=20, units=2, **options)


@pytest.fixture(scope="module")
def cells() -> Any:
    return _cells(gain=[0.0, 1.0], cells=["lstm", "gru"])


def test_without_weights_and_inputs_a_gate_keeps_its_sigmoid_to_the_power_of_the_lag(cells: Any) -> None:
    lags = np.array(gated._lags(20))
    for i, bias in enumerate(cells.axes["forget_bias"]):
        log_f = -math.log1p(math.exp(-bias))
        by_cell = cells["log_norms"][:, i, 0, 0, 0]  # no input, gain 0
        # ∂c_T/∂c_k = fⁿ, ∂h_T/∂c_k = o fⁿ with o = σ(0); the GRU's state is kept by its gate alone.
        np.testing.assert_allclose(by_cell[0, 1:], lags[1:] * log_f + math.log(1.25) / 2, rtol=1e-12)
        np.testing.assert_allclose(by_cell[1], lags * log_f, rtol=1e-12, atol=1e-14)
        every = np.arange(21)
        for cell, first in ((0, math.log(1.25) / 2), (1, 0.0)):
            logs = every * log_f + np.where(every, first, 0.0)
            assert cells["horizon"][cell, i, 0, 0, 0] == max(every[logs >= logs.max() - 1])
            np.testing.assert_allclose(
                cells["rate"][cell, i, 0, 0, 0], (20 * log_f + first) / 20 / math.log(10), rtol=1e-12
            )


def test_a_driven_cell_has_the_norms_of_the_products_of_its_finite_differences(cells: Any) -> None:
    scale, bias, n = float(cells.axes["input_scale"][1]), float(cells.axes["forget_bias"][1]), 2
    keys = jax.random.split(jax.random.fold_in(jax.random.key(0), 0), 3)
    W, W_in = (np.asarray(jax.random.normal(key, (4 * n, n)))[: 3 * n] / math.sqrt(n) for key in keys[:2])
    inputs = scale * np.asarray(jax.random.normal(keys[2], (20, n)))
    b = np.zeros(3 * n)
    b[n : 2 * n] = bias

    def gru(h: np.ndarray, u: np.ndarray) -> np.ndarray:
        driven, recurrent = W_in.dot(u) + b, W.dot(h)
        r, z = (1 / (1 + np.exp(-(driven[s] + recurrent[s]))) for s in (slice(0, n), slice(n, 2 * n)))
        return (1 - z) * np.tanh(driven[2 * n :] + r * recurrent[2 * n :]) + z * h

    states = [np.zeros(n)]
    for u in inputs:
        states.append(gru(states[-1], u))
    product, logs, step = np.eye(n), [0.0], 1e-6
    for x, u in zip(states[-2::-1], inputs[::-1], strict=True):
        columns = [(gru(x + step * e, u) - gru(x - step * e, u)) / (2 * step) for e in np.eye(n)]
        product = product.dot(np.array(columns).T)
        logs.append(math.log(np.linalg.norm(product, 2)))
    found = cells["log_norms"][1, 1, 1, 1, 0]
    np.testing.assert_allclose(found, np.array(logs)[list(gated._lags(20))], rtol=1e-6, atol=1e-6)
    assert cells["horizon"][1, 1, 1, 1, 0] == reach(np.array(logs)[::-1], 1 / math.e)


def test_a_horizon_is_that_of_a_diagnosis() -> None:
    for logs in (
        [0.0, -0.5, -0.9, -1.1],
        [0.0, 2.0, 1.5, 0.9],
        [-np.inf] * 4,
        [0.0, 1, 2, np.nan],
        [0, 0, 0, np.inf],
    ):
        assert int(gated._reach(jnp.array(logs))) == reach(np.array(logs)[::-1], 1 / math.e), logs


def test_the_neuron_has_its_derivatives_at_fifty_digits(neurons: Path) -> None:
    found = atlases.read(neurons)
    at = (0, 1, 0, 1)  # w = −12, b = 0, ε = ½, x_0 = 0.6
    w, b, x = -12, 0, mpmath.mpf("0.6")
    with mpmath.workdps(50):
        by_x, by_w, by_b = mpmath.mpf(1), mpmath.mpf(0), mpmath.mpf(0)
        for _ in range(12):
            value = 1 / (1 + mpmath.exp(-(w * x + b)))
            steep = value * (1 - value)
            by_x, by_w, by_b = (
                (old + steep * (direct + w * old)) / 2 for old, direct in ((by_x, 0), (by_w, x), (by_b, 1))
            )
            x = (x + value) / 2
        logs = [float(mpmath.log(abs(one))) for one in (by_x, by_w, by_b)]
    assert [found.axes[name][i] for name, i in zip(found.axes, at, strict=True)] == [-12, 0, 0.5, 0.6]
    assert float(found.values["state"][at]) == pytest.approx(float(x), rel=1e-13)
    got = [float(found.values[name][at]) for name in ("log_by_start", "log_by_w", "log_by_b")]
    np.testing.assert_allclose(got, logs, rtol=1e-11)
    assert int(found.values["status"][at]) == rd.Status.RESOLVED


def test_the_radius_atlas_is_the_radius_sweep_with_its_axes_of_names_and_gains() -> None:
    options: dict[str, Any] = {"points": 2, "seeds": 1, "steps": 3, "units": 3}
    found = atlases.make("radius", gain=[0.5, 2.0], activation=["tanh", "relu"], **options)
    assert found.sweep.names == ("activation", "radius", "bias", "gain", "seed")
    wanted = rd.spectral.radius_sweep(
        [0.2, 2.0], biases=[0.0, 1.5], gains=[0.5, 2.0], n=3, steps=3, lags=[1, 2, 3], activation="relu"
    )
    np.testing.assert_allclose(found.log_norms[1], wanted.log_norms, rtol=1e-12)


# --- the doors ------------------------------------------------------------------------------------------


def test_the_same_setting_is_the_same_function_and_compiles_nothing(counted: Any) -> None:
    with compilations() as compiled:
        again = atlases.make("fixed_points", **POINTS_OF_A_NETWORK)
    assert compiled.count == 0
    np.testing.assert_array_equal(again["points"], counted["points"])


def test_workers_can_be_sent_the_functions() -> None:
    for function in (fixed_points._network(3, 16), gated._cell(2, 20), neuron._neuron(12)):
        assert pickle.loads(pickle.dumps(function)) == function


def test_a_store_goes_on_is_read_and_says_what_it_is(neurons: Path, tmp_path: Path) -> None:
    part = atlases.read(neurons)
    assert part.metadata["atlas"]["name"] == "neuron"
    assert part.metadata["atlas"]["options"]["epsilon"] == [0.5, 1.0]
    assert np.asarray(part.computed).sum() == 32
    whole = atlases.make("neuron", chunk=2, points=3, steps=12, epsilon=[0.5, 1.0], x0=[0.2, 0.6])
    there = np.asarray(part.computed)
    np.testing.assert_array_equal(part["state"][there], whole["state"][there])
    assert whole.metadata["atlas"] == part.metadata["atlas"]


def test_other_stores_and_other_versions_options_are_refused_by_name(tmp_path: Path) -> None:
    def own(w: Any) -> Any:
        return w * w

    sweep(own, {"w": [0.0, 1.0]}, store=tmp_path / "own.zarr")
    with pytest.raises(ValueError, match=r"own\.zarr: expected a sweep of one of the atlases radius, neuron"):
        atlases.read(tmp_path / "own.zarr")
    about = {"atlas": {"name": "neuron", "options": {"colour": 3}}}
    sweep(own, {"w": [0.0, 1.0]}, store=tmp_path / "later.zarr", about=about)
    with pytest.raises(ValueError, match=r"later\.zarr: options that atlas neuron does not have \(colour"):
        atlases.read(tmp_path / "later.zarr")
    forged = {"atlas": {"name": "neuron", "options": {"points": 10**4}}}
    sweep(own, {"w": [0.0, 1.0]}, store=tmp_path / "forged.zarr", about=forged)
    with pytest.raises(ValueError, match=r"forged\.zarr: not the axes that atlas neuron has"):
        atlases.read(tmp_path / "forged.zarr")
    assert cli.main(["sweep", "resume", str(tmp_path / "forged.zarr")]) == 2
    with pytest.raises(ValueError, match=r"^found: expected a sweep of one of the atlases"):
        atlases.draw(sweep(own, {"w": [0.0, 1.0]}))
    with pytest.raises(TypeError, match=r"^units: expected one of points, steps"):
        atlases.make("neuron", units=3)


def test_the_command_line_knows_the_atlases_as_they_are() -> None:
    assert list(known.ATLASES) == list(atlases.ATLASES)
    for name, atlas in atlases.ATLASES.items():
        assert known.ATLASES[name] == {option: one.default for option, one in atlas.options.items()}
        assert atlas.checked({}) == known.ATLASES[name]


# --- pictures -------------------------------------------------------------------------------------------


def _texts(ax: Any) -> str:
    figure = ax.get_figure()
    return " ".join(text.get_text() for text in figure.findobj(mpl.text.Text))


def _hatched(ax: Any) -> int:
    return sum(bool(patch.get_hatch()) for one in ax.get_figure().axes for patch in one.patches)


def test_a_part_is_hatched_where_nothing_is_computed_and_says_how_much(neurons: Path) -> None:
    drawn = atlases.draw(neurons)
    assert "hatched: not computed (11%)" in _texts(drawn)
    assert _hatched(drawn) == 4
    drawn.figure.canvas.draw()
    here = atlases.draw(neurons, mpl.pyplot.figure().add_subplot(), at={"epsilon": 1.0, "x0": 0.5})
    assert "Euler step $ε$ = 1, start $x_0$ = 0.6" in _texts(here)


def test_whole_atlases_are_drawn_with_their_units(counted: Any, cells: Any) -> None:
    points = atlases.draw(counted)
    assert _hatched(points) == 0
    assert "share of starts that converged" in _texts(points)
    gates = atlases.draw(cells, at={"gain": 1.0})
    assert "horizon (steps)" in _texts(gates)
    assert "GRU" in _texts(gates)
    radius = atlases.make("radius", points=2, seeds=1, steps=3, units=3)
    for drawn in (points, gates, atlases.draw(radius)):
        drawn.figure.canvas.draw()


def test_any_slice_is_drawn_from_a_store_and_no_more_is_read(
    neurons: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = atlases.read(neurons)
    asked = []
    kind = type(found.values["state"])
    whole = kind.__getitem__
    monkeypatch.setattr(kind, "__getitem__", lambda self, at: asked.append(at) or whole(self, at))
    ax = found.plot(value="log_by_w", x="b", y="w", at={"epsilon": 0.9, "x0": 0.2})
    assert {str(at) for at in asked} == {str((slice(None), slice(None), 1, 0))}
    assert "epsilon = 1, x0 = 0.2, hatched: not computed (11%)" in _texts(ax)
    colours = np.ma.filled(ax.collections[0].get_array(), np.nan)
    np.testing.assert_array_equal(colours[0], found["log_by_w"][0, :, 1, 0])
    lines = found.plot(value="state", x="w", at={"b": 99.0})
    assert _hatched(lines) == 1
    np.testing.assert_array_equal(lines.lines[0].get_ydata()[:2], found["state"][:2, 2, 0, 0])
    assert np.isnan(lines.lines[0].get_ydata()[2])


def test_names_entries_and_one_axis_are_drawn(cells: Any) -> None:
    ax = cells.plot(value="log_norms", x="cell", y="forget_bias", at={"gain": 0.9, "log_norms_0": 3})
    assert [text.get_text() for text in ax.get_xticklabels()] == ["lstm", "gru"]
    colours = np.ma.filled(ax.collections[0].get_array(), np.nan)
    np.testing.assert_array_equal(colours, cells["log_norms"][:, :, 0, 1, 0, 3].T)
    lines = cells.plot(value="log_norms", x="forget_bias", at={"cell": "gru"})
    assert len(lines.lines) == len(gated._lags(20))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"value": "no"}, "value: expected one of horizon, log_norms, rate, got 'no'"),
        ({"x": "no"}, "x: expected one of cell, forget_bias"),
        ({"x": "cell", "y": "cell"}, "y: expected another axis"),
        ({"x": "cell", "at": {"cell": "gru"}}, "at: expected axes that are not drawn"),
        ({"x": "gain", "at": {"cell": "no"}}, "at: expected a number or one of lstm, gru for cell"),
        ({"value": "log_norms", "at": {"log_norms_0": 99}}, "at: expected an integer from 0 to"),
        ({"value": "log_norms", "at": {"log_norms_7": 0}}, "at: log_norms has no axis"),
    ],
)
def test_a_wrong_slice_is_named(cells: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"^{said}"):
        cells.plot(**options)


def test_the_command_line_makes_draws_and_goes_on(
    tmp_path: Path, neurons: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, picture = str(tmp_path / "a.zarr"), str(tmp_path / "a.png")
    size = ["--points", "4", "--units", "3", "--seeds", "6", "--starts", "16"]
    assert cli.main(["atlas", "fixed_points", "--store", store, *size, "--plot", picture]) == 0
    assert Path(picture).read_bytes()[:4] == b"\x89PNG"
    store_of_points = opened(store)
    store_of_points.forget(0)
    assert cli.main(["sweep", "plot", store, "--out", picture]) == 0
    assert "1 of 1 blocks are not there yet" in capsys.readouterr().err
    assert cli.main(["sweep", "resume", store]) == 0
    assert store_of_points.done().all()
    capsys.readouterr()
    slice_of = ["--value", "stable", "--x", "gain", "--at", "size=3", "seed=1"]
    assert cli.main(["sweep", "plot", store, "--out", picture, *slice_of]) == 0
    assert capsys.readouterr().err == ""
    assert cli.main(["sweep", "plot", store, "--out", picture, "--x", "no"]) == 2
    assert "x: expected one of gain, size, seed" in capsys.readouterr().err
    assert cli.main(["atlas", "neuron", "--store", store, "--epsilon", "3"]) == 2
    assert "epsilon: expected numbers from" in capsys.readouterr().err
