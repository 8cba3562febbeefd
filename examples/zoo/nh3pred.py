"""How much ammonia is lost after spreading? The plain ReLU network of nh3pred, hour by hour in made-up weather.

W has a spectral radius of 2.1 and a largest singular value of 7, and the gradient vanishes: most units are off
at a time. The inputs are put together after the package's ``preprocessing.py``, for cattle slurry broadcast on
grass in ten days of spring; nothing of the package but its class of the network is run, and that only where
PyTorch is installed.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from examples.zoo.common import About, Agreement, Files, Study, arrays_of, double, largest, module_of, times
from jax.tree_util import Partial

import rnn_dynamics as rd
from rnn_dynamics.interop.files.torch_files import read_pickle

ABOUT = About(
    "nh3pred",
    "nh3pred: ammonia after spreading",
    "nh3pred",
    "0.2.2",
    "MIT",
    (
        "pip download --no-deps --ignore-requires-python nh3pred==0.2.2",
        "unzip -d packages nh3pred-0.2.2-*.whl",
        "--unpacked packages",
    ),
    "11 embeddings, ReLU RNN 512, dense 6, dense → 1",
    1.0,
    "hour",
)
HOURS = 240
_FOLDER = "nh3pred/data/"


def weather(hours: int = HOURS) -> dict[str, np.ndarray]:
    """Temperature (°C), wind (m/s) and rain (mm/h) of so many hours in spring."""
    rng = np.random.default_rng(4)
    time = np.arange(1, hours + 1)
    day = 2 * np.pi * (time - 9) / 24
    front = np.cumsum(rng.normal(size=hours)) * 0.25
    wind = 3 + 1.2 * np.sin(day) + np.abs(0.3 * np.cumsum(rng.normal(size=hours)) / np.sqrt(time))
    showers = np.where((time % 60 > 50) & (rng.random(hours) < 0.6), rng.exponential(0.8, hours), 0.0)
    return {"air_temp": 11 + 5 * np.sin(day) + front, "wind_2m": wind, "rain_rate": showers}


def inputs(folder: Path) -> tuple[np.ndarray, list[int], np.ndarray]:
    """What the network reads but for the embeddings, shape (hours, 31), the categories' rows, and the hours."""
    tables = {name: read_pickle(folder / f"{name}.pkl") for name in _TABLES}
    scale = {name: float(value.read()) for name, value in tables["normalisation_values"].items()}
    usual, told = tables["default_values"], tables["model_parameters"]
    hours = np.arange(1.0, HOURS + 1)
    seen = weather()
    constants = {"tan_app": 60.0, "app_rate": 20.5 + 0.252 * 60.0, "crop_z": 10.0, "dt": 1.0}
    constants |= {name: float(usual[name]) for name in _USUAL}
    values = seen | {"ct": hours, "rain_cum": np.cumsum(seen["rain_rate"]), "wind_micro_met": seen["wind_2m"]}
    columns = []
    for name in told["cont_vars"]:
        if name.endswith("_ind"):  # 0: known, 2: missing, −2: does not apply
            column = np.full(HOURS, _MARKS.get(name.removesuffix("_ind"), 0.0))
        elif name in _MARKS:
            column = np.full(HOURS, _MARKS[name])
        elif name in values or name in constants:
            column = np.broadcast_to(values.get(name, constants.get(name)) / scale[name], HOURS)
        else:  # nothing is worked into the soil
            column = np.zeros(HOURS)
        columns.append(column)
    categories = {"app_method": "bc"} | {
        name: usual[name] for name in told["cat_vars"] if name != "app_method"
    }
    rows = [int(tables["categorial_correspondances"][name][categories[name]]) for name in told["cat_vars"]]
    return np.stack(columns, axis=1), rows, hours


_TABLES = ("normalisation_values", "default_values", "model_parameters", "categorial_correspondances")
_USUAL = ("fer_dm", "fer_ph", "soil_water", "soil_ph", "soil_dens", "soil_oc")
_MARKS = {"wind_chamber": -2.0, "time_incorp": -2.0, "furrow_z": 2.0}


def study(files: Files) -> Study:
    """Read, make the weather, compare with PyTorch or with NumPy, and tell the share of ammonia lost."""
    path, source = files.find(ABOUT, f"{_FOLDER}model.pth", "nh3pred/model.py")
    cell = double(rd.interop.load(path, kind="rnn_relu"))
    weights = arrays_of(path)
    continuous, rows, hours = inputs(path.parent)
    embedded = [weights[f"embeddings.{place}.weight"][row] for place, row in enumerate(rows)]
    given = np.concatenate([continuous, np.tile(np.concatenate(embedded), (len(hours), 1))], axis=1)
    run = rd.rollout(cell, np.zeros(512), given)
    readout = Partial(_latent, {name: jnp.asarray(weights[name]) for name in _READOUT})
    latent = np.asarray(jax.vmap(readout)(run.states[1:]))
    lost = -np.expm1(-np.cumsum(0.01 * np.logaddexp(0, latent)))
    W = np.asarray(cell.W)
    on = np.asarray(run.states[1:]) > 0
    return Study(
        run,
        readout,
        "the rate of loss",
        "240 hours of made-up spring weather after 60 kg/ha of ammonia nitrogen in cattle slurry spread on grass",
        compared(source, weights, continuous, rows, run, latent),
        {"lost after 24 h": float(lost[23]), "lost after 240 h": float(lost[-1])},
        given.mean(axis=0),
        "the mean input",
        lambda x: float(0.01 * np.logaddexp(0, readout(x))),
        more={
            "radius": round(float(np.abs(np.linalg.eigvals(W)).max()), 4),
            "norm": round(float(np.linalg.norm(W, 2)), 4),
            "units_on": round(float(on.mean()), 4),
            "units_never_on": int((~on.any(axis=0)).sum()),
        },
    )


_READOUT = ("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias")


def _latent(weights: dict[str, Any], x: Any) -> Any:
    hidden = jnp.maximum(times(x, weights["fc1.weight"].T) + weights["fc1.bias"], 0)
    return (times(hidden, weights["fc2.weight"].T) + weights["fc2.bias"])[..., 0]


def compared(
    source: Path,
    weights: dict[str, np.ndarray],
    continuous: np.ndarray,
    rows: list[int],
    run: Any,
    latent: np.ndarray,
) -> Agreement:
    """The package's own network on PyTorch, else its arithmetic in NumPy."""
    try:
        import torch
    except ImportError:
        x, states = np.zeros(512), []
        for u in np.asarray(run.inputs):
            x = np.maximum(
                weights["rnn.weight_ih_l0"] @ u + weights["rnn.bias_ih_l0"] + weights["rnn.weight_hh_l0"] @ x
                + weights["rnn.bias_hh_l0"], 0)  # fmt: skip
            states.append(x)
        return Agreement(
            "the same arithmetic in NumPy", False, largest(run.states[1:], states), None, run.steps
        )
    sizes = [weights[f"embeddings.{place}.weight"].shape for place in range(len(rows))]
    network = module_of(source, "zoo_nh3pred_model").AmmoniaRNN(
        42,
        1,
        512,
        1,
        "relu",
        False,
        cat_dims=[size[0] for size in sizes],
        embedding_dims=[size[1] for size in sizes],
    )
    network.load_state_dict(
        {name: torch.tensor(value, dtype=torch.float32) for name, value in weights.items()}
    )
    network.eval()
    categories = [torch.full((len(continuous),), row) for row in rows]
    with torch.no_grad():
        said, _ = network([[torch.tensor(continuous, dtype=torch.float32), categories]])
        states, _ = network.rnn(torch.tensor(np.asarray(run.inputs), dtype=torch.float32))
    version = torch.__version__.partition("+")[0]
    return Agreement(
        f"nh3pred's own network on PyTorch {version}",
        True,
        largest(run.states[1:], states.numpy()),
        largest(latent, said[0, :, 0].numpy()),
        run.steps,
    )
