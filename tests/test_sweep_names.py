"""Axes of names: one program for each combination, one grid, in memory and in a store."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray

from rnn_dynamics.numerics.storage import StorageError
from rnn_dynamics.numerics.stored.opening import opened
from rnn_dynamics.numerics.sweep import point_key, sweep
from rnn_dynamics.spectral import radius_sweep
from tests import sweeps

pytest.importorskip("zarr")
AXES = {"phi": ["tanh", "relu"], "side": ("left", "right"), "w": np.linspace(-2, 2, 5), "n": range(3)}
W, N = np.meshgrid(AXES["w"], np.arange(3), indexing="ij")


def _wanted() -> np.ndarray:
    """NumPy's own, in the order of the grid."""
    inner = [[sign * W + N for sign in (-1, 1)], [sign * W + N for sign in (-1, 1)]]
    return np.stack([np.tanh(inner[0]), np.maximum(inner[1], 0)])


@pytest.mark.parametrize("chunk", [None, 1, 4, 15, 100])
def test_a_name_reaches_the_function_and_no_chunk_has_two(chunk: int | None) -> None:
    found = sweep(sweeps.named, AXES, chunk=chunk)
    assert found.shape == (2, 2, 5, 3)
    np.testing.assert_allclose(found["y"], _wanted(), rtol=1e-15)
    assert found.metadata["labels"] == {"phi": ["tanh", "relu"], "side": ["left", "right"]}
    assert found.axes["phi"].tolist() == [0, 1]
    assert "axis phi: tanh, relu" in repr(found)
    data = found.to_xarray()
    np.testing.assert_allclose(
        data.y.sel(phi="relu", side="left", n=1), np.maximum(-AXES["w"] + 1, 0), rtol=1e-15
    )


@pytest.mark.parametrize("executor", [None, 1])
def test_a_store_of_names_goes_on_and_says_which_is_which(executor: int | None, tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    found = sweep(sweeps.named, AXES, store=path, chunk=4, executor=executor)
    assert opened(path).blocks.box == (1, 1, 1, 3)
    memory = sweep(sweeps.named, AXES, chunk=4)
    np.testing.assert_allclose(found["y"], memory["y"], rtol=1e-15)
    assert xarray.open_zarr(path).phi.attrs["labels"] == ["tanh", "relu"]
    assert found.to_xarray().sel(phi="tanh", side="right").y.shape == (5, 3)
    store = opened(path)
    before = store.read("y")[...].tobytes()
    store.forget(3)
    again = sweep(sweeps.named, AXES, store=path, chunk=4)
    assert again["y"].tobytes() == before
    for other in (AXES | {"phi": ["relu", "tanh"]}, AXES | {"side": ("right", "left")}):
        with pytest.raises(StorageError, match="has other points there"):
            sweep(sweeps.named, other, store=path, chunk=4)


def test_what_was_set_aside_is_said_by_name(tmp_path: Path) -> None:
    axes = {"phi": ["tanh", "relu"], "w": [0.5, 8.0]}
    with pytest.warns(UserWarning, match=r"1 of 4 blocks were set aside; block 3, .*'phi': \['relu'\]"):
        sweep(sweeps.refusing_relu, axes, store=tmp_path / "a.zarr", chunk=1, executor=1)


def test_keys_are_those_of_the_points() -> None:
    key = jax.random.key(3)
    axes = {"phi": ["a", "b"], "w": np.arange(3.0)}
    found = sweep(lambda phi, w, key: w + jax.random.uniform(key), axes, key=key)["value"]
    wanted = [float(i % 3 + jax.random.uniform(point_key(key, i))) for i in range(6)]
    np.testing.assert_allclose(found.ravel(), wanted, rtol=1e-15)


def test_axes_may_be_of_names_alone() -> None:
    found = sweep(lambda phi: jnp.asarray(float(len(phi))), {"phi": np.array(["a", "bb", "ccc"])})
    assert found["value"].tolist() == [1.0, 2.0, 3.0]


def test_devices_share_the_points_of_a_name() -> None:
    mesh = jax.make_mesh((1,), ("points",))
    np.testing.assert_allclose(sweep(sweeps.named, AXES, mesh=mesh, chunk=4)["y"], _wanted(), rtol=1e-15)


@pytest.mark.parametrize(
    ("axes", "error", "said"),
    [
        ({"w": [1.0], "phi": ["a"]}, ValueError, "axes: expected those of names first, got w, phi"),
        ({"phi": ["a", "a"]}, ValueError, r"axes\['phi'\]: expected different names"),
        ({"phi": ["a", ""]}, ValueError, r"axes\['phi'\]: expected different names"),
        ({"phi": ["a\x1b[2J"]}, ValueError, r"axes\['phi'\]: .* got 'a\\x1b\[2J'"),
        ({"phi": ["a" * 101]}, ValueError, r"axes\['phi'\]: expected different names of 1 to 100"),
        ({"phi": ["a", 1]}, TypeError, r"axes\['phi'\]: expected strings or numbers alone"),
        ({"phi": np.array([["a"]])}, TypeError, r"axes\['phi'\]: .* more dimensions"),
        ({"phi": np.array([], str)}, ValueError, r"axes\['phi'\]: expected at least one name"),
    ],
)
def test_wrong_names_are_refused(axes: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        sweep(lambda phi, w=0.0: jnp.zeros(()), axes)


def test_results_that_differ_in_shape_by_the_name_are_refused() -> None:
    with pytest.raises(ValueError, match=r"function: .*float64\[2\] at phi='bb' and value float64\[1\]"):
        sweep(lambda phi: jnp.zeros(len(phi)), {"phi": ["a", "bb"]})


def test_activations_and_ensembles_of_random_networks_are_axes_of_one_store(tmp_path: Path) -> None:
    asked: dict[str, Any] = {"biases": [0.0, 0.5], "seeds": (1,), "n": 3, "steps": 4}
    both = {"activation": ["tanh", "relu"], "ensemble": ["gaussian", "orthogonal"]}
    found = radius_sweep([0.5, 1.2], **asked, **both, store=tmp_path / "a.zarr", about={"note": "here"})
    assert found.sweep.names == ("activation", "ensemble", "radius", "bias", "seed")
    for i, j, activation, ensemble in ((0, 1, "tanh", "orthogonal"), (1, 0, "relu", "gaussian")):
        one = radius_sweep([0.5, 1.2], **asked, activation=activation, ensemble=ensemble)
        np.testing.assert_allclose(found.log_norms[i, j], one.log_norms, rtol=1e-14, atol=1e-14)
        np.testing.assert_allclose(found.rate[i, j], one.rate, rtol=1e-14, atol=1e-14)
    group = json.loads((tmp_path / "a.zarr" / "zarr.json").read_text())
    assert group["attributes"]["rnn_dynamics"]["metadata"]["labels"] == both
    assert group["attributes"]["rnn_dynamics"]["note"] == "here"


@pytest.mark.parametrize(
    ("about", "error"),
    [({"made": "here"}, ValueError), ({"x": np.zeros(2)}, TypeError), ({1: 2}, TypeError), ([], TypeError)],
)
def test_what_else_the_manifest_holds_is_checked(about: Any, error: type[Exception], tmp_path: Path) -> None:
    with pytest.raises(error, match="about: expected"):
        sweep(lambda w: w, {"w": [1.0]}, store=tmp_path / "a.zarr", about=about)
    assert not (tmp_path / "a.zarr").exists()
