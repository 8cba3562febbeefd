"""The finished atlases in ``data/atlases``: every byte, points of each computed anew, and the card on them."""

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray

import rnn_dynamics as rd
from rnn_dynamics import atlases, cli, spectral
from rnn_dynamics.atlases import fixed_points, gated, neuron
from rnn_dynamics.cli.arguments import Problems, parsed
from rnn_dynamics.numerics.stored.opening import opened
from rnn_dynamics.numerics.sweep import sweep
from tests import house

pytest.importorskip("zarr")
FOLDER = house.ROOT / "data" / "atlases"
CARD = (FOLDER / "README.md").read_text(encoding="utf-8")
NAMES = list(atlases.ATLASES)
POINTS = 4


def _path(name: str) -> Path:
    return FOLDER / f"{name}.zarr"


def _swept(name: str) -> Any:
    found = atlases.read(_path(name))
    return getattr(found, "sweep", found)


@pytest.mark.parametrize("name", NAMES)
def test_every_byte_is_the_one_that_was_written_and_nothing_else_is_there(name: str) -> None:
    store = opened(_path(name))
    assert store.done().all()
    assert store.damaged() == {}
    store.axes()
    files = [path for path in _path(name).rglob("*") if path.is_file()]
    assert {path.name for path in files} <= {"zarr.json", *map(str, range(100))}
    assert max(path.stat().st_size for path in files) < 1_000_000
    assert len(files) < 60
    with xarray.open_zarr(_path(name)) as data:
        assert bool(data.computed.all())


def test_all_of_them_are_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 2_000_000


def _chosen(found: Any, allowed: np.ndarray) -> list[tuple[int, ...]]:
    places = np.argwhere(allowed)
    picked = np.random.default_rng(7).choice(len(places), POINTS, replace=False)
    return [tuple(int(i) for i in places[at]) for at in picked]


def _agree(found: Any, at: tuple[int, ...], again: dict[str, Any], tolerance: float) -> None:
    for name, value in again.items():
        got = np.asarray(found.values[name][at])
        np.testing.assert_allclose(
            np.asarray(value).reshape(got.shape), got, rtol=tolerance, atol=tolerance, err_msg=f"{name} {at}"
        )


def _anew(found: Any, function: Any, allowed: np.ndarray, tolerance: float) -> None:
    """A few points of a store in one grid of their own each, all of one shape."""
    labels = found.metadata.get("labels", {})
    for at in _chosen(found, allowed):
        axes = {
            name: [labels[name][i]] if name in labels else points[i : i + 1]
            for (name, points), i in zip(found.axes.items(), at, strict=True)
        }
        _agree(found, at, sweep(function, axes, chunk=1).values, tolerance)


def test_points_of_the_neuron_computed_anew() -> None:
    found = _swept("neuron")
    _anew(found, neuron._neuron(100), found["status"] == rd.Status.RESOLVED, 1e-9)


def test_points_of_the_fixed_points_computed_anew() -> None:
    """Of small networks, whose few roots are found whatever the rounding; starts that converge may differ."""
    found = _swept("fixed_points")
    small = np.broadcast_to((found.axes["size"] <= 4)[None, :, None], found.shape)
    for at in _chosen(found, small):
        axes = {name: points[i : i + 1] for (name, points), i in zip(found.axes.items(), at, strict=True)}
        again = dict(sweep(fixed_points._network(16, 64), axes, chunk=1).values)
        assert abs(int(again.pop("converged").item()) - int(found["converged"][at])) <= 6
        _agree(found, at, again, 0.0)


def test_points_of_the_gated_cells_computed_anew() -> None:
    found = _swept("gated")
    is_gru = np.arange(4) == found.metadata["labels"]["cell"].index("gru")
    _anew(found, gated._cell(8, 100), np.broadcast_to(is_gru[:, None, None, None, None], found.shape), 1e-8)


def test_points_of_the_radius_computed_anew() -> None:
    """Below a radius of 1 no network is chaotic, so that rounding stays what it is."""
    found = _swept("radius")
    allowed = np.zeros(found.shape, bool)
    allowed[0, :5] = True
    for at in _chosen(found, allowed):
        radius, bias, seed = (
            found.axes[name][i] for name, i in zip(("radius", "bias", "seed"), at[1:], strict=True)
        )
        lags = [1, 2, 3, 5, 8, 14, 30, 60, 100]
        again = spectral.radius_sweep(
            [radius], biases=[bias], seeds=[int(seed)], n=32, steps=100, lags=lags, activation=["tanh"]
        )
        _agree(found, at, again.sweep.values, 1e-8)


# --- the card -----------------------------------------------------------------------------------------------


def _rows(text: str) -> list[list[str]]:
    lines = re.findall(r"^\| (.+) \|$", text, flags=re.MULTILINE)
    return [re.split(r" (?<!\\)\| ", line) for line in lines]


@pytest.mark.parametrize("name", NAMES)
def test_the_card_says_what_the_store_holds(name: str) -> None:
    found, store = _swept(name), opened(_path(name))
    folders = {row[0]: row for row in _rows(CARD) if row[0].endswith(".zarr`")}
    _, points, said = folders[f"`{name}.zarr`"]
    assert int(points) == np.prod(found.shape)
    axes = dict(re.findall(r"(\w+) (\d+) \(", said))
    assert {axis: int(length) for axis, length in axes.items()} == dict(
        zip(found.names, found.shape, strict=True)
    )
    for axis, shown in re.findall(r"(\w+) \d+ \(([^)]+)\)", said):
        held = found.metadata.get("labels", {}).get(axis)
        if held is not None:
            assert shown == ", ".join(held)
        elif "to" in shown:
            ends = [float(one.replace("−", "-")) for one in shown.split(" to ")]
            np.testing.assert_allclose(ends, found.axes[axis][[0, -1]])
        else:
            np.testing.assert_allclose([float(one) for one in shown.split(", ")], found.axes[axis])
    section = CARD.split(f"### {name}.zarr")[1].split("\n## ")[0].split("\n### ")[0]
    values = {row[0].strip("`"): int(row[1]) for row in _rows(section) if row[0].startswith("`")}
    assert values == {value: int(np.prod(part.shape)) for value, part in store.parts.items()}


@pytest.mark.parametrize("name", NAMES)
def test_the_command_on_the_card_made_the_store(name: str) -> None:
    (line,) = re.findall(rf"^rnn-dynamics (atlas {name} .+)$", CARD, flags=re.MULTILINE)
    parser, commands = cli._parsers()
    asked = parsed(parser, commands.choices, commands.choices.__getitem__, shlex.split(line), Problems())
    options = {
        option: given
        for option in atlases.ATLASES[name].options
        if (given := getattr(asked, option)) is not None
    }
    assert house.ROOT / asked.store == _path(name)
    assert _swept(name).metadata["atlas"]["options"] == atlases.ATLASES[name].checked(options)
    about = opened(_path(name)).metadata
    assert f"rnn_dynamics {about['rnn_dynamics']} and JAX {about['jax']};" in CARD
    assert about["device"] == "cpu"
