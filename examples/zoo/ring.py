"""Which way is up? The two GRUs of imt-ring's network for motion tracking, on a sensor that is turned about.

RING passes messages between the bodies of a chain. For one body there are none, and what is left is a GRU of
400 units, a layer normalisation, a second GRU, and a dense network that gives a quaternion. Its file is a
pickle of JAX's arrays, which is read as data. Haiku's GRU is h⁺ = (1 − z) h + z a; ``rd.interop.load``
knows that by the names.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from examples.zoo.common import About, Agreement, Files, Study, arrays_of, double, largest, sigmoid, times
from jax.tree_util import Partial

import rnn_dynamics as rd

ABOUT = About(
    "ring",
    "imt-ring: which way is up",
    "imt-ring",
    "1.7.1",
    "MIT",
    ("pip install --no-deps imt-ring==1.7.1",),
    "GRU 400, layer norm, GRU 400, dense 400, dense → 4",
    0.01,
    "s",
)
SECONDS, _UNITS = 5.0, 400
_SCALES = {"acc": 1 / 9.81, "gyr": 1 / 2.2, "dt": 10.0}


class Layer(NamedTuple):
    """A GRU of Haiku: w_i and w_h of the gates z, r, a, and the bias; and the layer normalisation after it."""

    w_i: Any
    w_h: Any
    b: Any
    scale: Any
    offset: Any


def layers(arrays: dict[str, np.ndarray]) -> tuple[Layer, Layer]:
    """The two layers by Haiku's names."""
    return tuple(
        Layer(
            *(arrays[f"stacked_rnn_cell/~/gru{end}.{name}"] for name in ("w_i", "w_h", "b")),
            *(arrays[f"stacked_rnn_cell/layer_norm{end}.{name}"] for name in ("scale", "offset")),
        )
        for end in ("", "_1")
    )


def step(first: Any, second: Any, norm: Any, x: Any, u: Any) -> Any:
    """The state [h₁, h₂] after an input; between the layers stands the normalisation."""
    h = first(x[:_UNITS], u)
    centred = h - h.mean()
    between = centred * norm[0] / jnp.sqrt(jnp.square(centred).mean() + 1e-5) + norm[1]
    return jnp.concatenate([h, second(x[_UNITS:], between)])


def turned() -> tuple[np.ndarray, np.ndarray]:
    """What a sensor at 100 Hz measures while it is turned about, and the true direction of up in its frame.

    Inputs have the shape (steps, 410): acceleration, the time step, angular rate (in the order of their names,
    as the package puts them together), no joint axis, and no message.
    """
    time = np.arange(int(SECONDS / ABOUT.step)) * ABOUT.step
    rates = np.stack(
        [1.2 * np.sin(1.3 * time), 0.9 * np.cos(0.8 * time + 1), 0.7 * np.sin(0.5 * time)], axis=1
    )
    up, ups = np.array([0.0, 0.0, 1.0]), []
    for rate in rates:
        up = up - ABOUT.step * np.cross(rate, up)
        up = up / np.linalg.norm(up)
        ups.append(up)
    rng = np.random.default_rng(1)
    ups = np.array(ups)
    acc = 9.81 * ups + 0.3 * rng.normal(size=ups.shape)
    gyr = rates + 0.01 * rng.normal(size=rates.shape)
    inputs = np.zeros((len(time), 410))
    inputs[:, :3], inputs[:, 4:7] = acc * _SCALES["acc"], gyr * _SCALES["gyr"]
    inputs[:, 3] = ABOUT.step * _SCALES["dt"]
    return inputs, ups


def study(files: Files) -> Study:
    """Read, turn the sensor, compare with Haiku or with NumPy."""
    (path,) = files.find(ABOUT, "ring/ml/params/0x13e3518065c21cd8.pickle")
    arrays = arrays_of(path)
    both = layers(arrays)
    cells = [double(rd.interop.load(path, prefix=f"stacked_rnn_cell/~/{name}")) for name in ("gru", "gru_1")]
    cell = Partial(step, *cells, (jnp.asarray(both[0].scale), jnp.asarray(both[0].offset)))
    inputs, ups = turned()
    run = rd.rollout(cell, np.zeros(2 * _UNITS), inputs)
    readout = {name: jnp.asarray(arrays[name]) for name in arrays if name.startswith("mlp_1/")}
    readout |= {"scale": jnp.asarray(both[1].scale), "offset": jnp.asarray(both[1].offset)}
    quaternions = np.asarray(jax.vmap(Partial(quaternion, readout))(run.states[1:]))
    angle = np.degrees(np.arccos(np.clip((up_of(quaternions) * ups).sum(axis=1), -1, 1)))
    return Study(
        run,
        Partial(_tilt, readout),
        "a part of the quaternion",
        f"{SECONDS:.0f} s of a sensor that is turned about",
        compared(both, run),
        {"mean error of up after 2 s, degrees": float(angle[200:].mean())},
    )


def quaternion(weights: dict[str, Any], x: Any) -> Any:
    """The network's orientation at a state."""
    h = x[_UNITS:]
    centred = h - h.mean()
    h = centred * weights["scale"] / jnp.sqrt(jnp.square(centred).mean() + 1e-5) + weights["offset"]
    h = jnp.maximum(times(h, weights["mlp_1/~/linear_0.w"]) + weights["mlp_1/~/linear_0.b"], 0)
    q = times(h, weights["mlp_1/~/linear_1.w"]) + weights["mlp_1/~/linear_1.b"]
    return q / jnp.sqrt(jnp.square(q).sum())


def up_of(q: np.ndarray) -> np.ndarray:
    """The third axis of the world in the sensor's frame, of quaternions w, x, y, z that turn the world into it."""
    w, x, y, z = q.T
    return np.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x**2 + y**2)], axis=1)


def _tilt(weights: dict[str, Any], x: Any) -> Any:
    return quaternion(weights, x)[1]


def _normed(h: np.ndarray, layer: Layer) -> np.ndarray:
    return (h - h.mean()) / np.sqrt(h.var() + 1e-5) * layer.scale + layer.offset


def compared(both: tuple[Layer, Layer], run: Any) -> Agreement:
    """Haiku's own modules with these weights, else the same arithmetic in NumPy."""
    inputs, states = np.asarray(run.inputs), []
    try:
        import haiku as hk
    except ImportError:
        x = [np.zeros(_UNITS), np.zeros(_UNITS)]
        for u in inputs:
            for place, layer in enumerate(both):
                h, w_h = x[place], layer.w_h
                given = u @ layer.w_i + layer.b
                z, r = np.split(sigmoid(given[: 2 * _UNITS] + h @ w_h[:, : 2 * _UNITS]), 2)
                a = np.tanh(given[2 * _UNITS :] + (r * h) @ w_h[:, 2 * _UNITS :])
                x[place] = (1 - z) * h + z * a
                u = _normed(x[place], layer)
            states.append(np.concatenate(x))
        return Agreement(
            "the same arithmetic in NumPy", False, largest(run.states[1:], states), None, run.steps
        )

    def unrolled(u: Any) -> Any:
        cells = [hk.GRU(_UNITS, name=name) for name in ("gru", "gru_1")]
        norms = [hk.LayerNorm(-1, True, True, name=f"norm_{place}") for place in (0, 1)]

        def one(state: Any, u: Any) -> Any:
            kept = []
            for cell, norm, each in zip(cells, norms, state, strict=True):
                u, h = cell(u, each)
                u = norm(u)
                kept.append(h)
            return tuple(kept), jnp.concatenate(kept)

        return hk.scan(one, (jnp.zeros(_UNITS), jnp.zeros(_UNITS)), u)[1]

    given: dict[str, Any] = {}
    for place, layer in enumerate(both):
        given[("gru", "gru_1")[place]] = {"w_i": layer.w_i, "w_h": layer.w_h, "b": layer.b}
        given[f"norm_{place}"] = {"scale": layer.scale, "offset": layer.offset}
    out = hk.without_apply_rng(hk.transform(unrolled)).apply(given, jnp.asarray(inputs))
    against = f"GRU and LayerNorm of Haiku {hk.__version__}, which the package takes"
    return Agreement(against, True, largest(run.states[1:], out), None, run.steps)
