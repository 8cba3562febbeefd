"""Write tests/files/keras_files.tar.xz: files of Keras 1, 2 and 3, and what their layers compute.

KERAS_BACKEND=jax python tests/data/make_keras_files.py
The files were made with Keras 3.15.1, JAX 0.10.2 and h5py 3.16. Those of Keras 3 are its own. Those of versions
1 and 2 are written by h5py in the layout of ``keras/engine/saving.py`` of 2.2.5, which reads both; their truth is
written out below in NumPy, in float64, gate by gate.
"""

import json
import tarfile
import tempfile
from pathlib import Path

import h5py
import jax
import jax.numpy as jnp
import keras
import numpy as np

HERE = Path(__file__).parent.parent / "files"
STEPS = 20
RNG = np.random.default_rng(5)
INPUTS = RNG.normal(size=(STEPS, 2)).astype(np.float32)
L = keras.layers


# --- Keras 3 ------------------------------------------------------------------------------------------------------


def _stepped(cells, state, inputs):
    """The states of cells of Keras on top of one another, as it steps them."""
    found = []
    for u in inputs:
        below, following = u[None], []
        for cell, parts in zip(cells, state, strict=True):
            below, new = cell(below, parts)
            following.append(
                [jnp.asarray(each) for each in (new if isinstance(new, (list, tuple)) else [new])]
            )
        state = following
        found.append(jnp.concatenate([jnp.concatenate(parts, -1)[0] for parts in state]))
    return jnp.stack(found)


def _truth(cells, inputs):
    """States from a random start and ∂h_T/∂h_0, both as Keras and JAX compute them."""
    sizes = [[1, 2][isinstance(cell, L.LSTMCell)] * [cell.units] for cell in cells]
    ends = np.cumsum([size for group in sizes for size in group])
    x0 = (RNG.normal(size=ends[-1]) / 2).astype(np.float32)

    def run(x):
        flat = iter(jnp.split(x[None], ends[:-1], axis=1))
        return _stepped(cells, [[next(flat) for _ in group] for group in sizes], inputs)

    return {
        "x0": x0,
        "states": np.asarray(run(x0)),
        "jacobian": np.asarray(jax.jacobian(lambda x: run(x)[-1])(x0)),
    }


def keras3(folder):
    model = keras.Sequential(
        [
            keras.Input((None, 2)),
            L.LSTM(3, return_sequences=True, recurrent_activation="hard_sigmoid", name="first"),
            L.Dropout(0.1),
            L.GRU(2, return_sequences=True, activation=L.LeakyReLU(0.1)),
            L.RNN(
                [L.LSTMCell(2, activation="softsign"), L.GRUCell(2, reset_after=False)], return_sequences=True
            ),
            L.Dense(2, activation="tanh"),
            L.Bidirectional(L.SimpleRNN(2, activation="elu")),
        ]
    )
    model.set_weights([(RNG.normal(size=w.shape) * 0.8).astype(np.float32) for w in model.get_weights()])
    model.save(folder / "three.keras")
    model.save(folder / "three.h5")
    model.save_weights(folder / "three.weights.h5")
    first, _, gru, stacked, _, both = model.layers
    cells = [first.cell, gru.cell, *stacked.cell.cells]
    back = _truth([both.backward_layer.cell], INPUTS[::-1])
    found = {"three": _truth(cells, INPUTS), "first": _truth([first.cell], INPUTS), "back": back}
    return {f"{name}/{key}": value for name, each in found.items() for key, value in each.items()}


# --- Keras 2 and 1 ----------------------------------------------------------------------------------------------


def _sigmoid(z):
    return 1 / (1 + np.exp(-z))


def _hard(z):
    return np.clip(0.2 * z + 0.5, 0, 1)


def lstm(kernel, recurrent, bias, gate):
    """K.dot(x, kernel) + K.dot(h, recurrent_kernel) + bias in i, f, c, o, state [h, c]."""

    def step(x, u):
        h, c = np.split(x, 2)
        i, f, g, o = np.split(u @ kernel + h @ recurrent + bias, 4)
        c = gate(f) * c + gate(i) * np.tanh(g)
        return np.concatenate([gate(o) * np.tanh(c), c])

    return step


def gru(kernel, recurrent, bias, gate):
    """z, r, h; the reset before the product."""

    def step(h, u):
        n = len(h)
        z, r, g = np.split(u @ kernel + bias, 3)
        z, r = gate(z + h @ recurrent[:, :n]), gate(r + h @ recurrent[:, n : 2 * n])
        return z * h + (1 - z) * np.tanh(g + (r * h) @ recurrent[:, 2 * n :])

    return step


def _run(step, size):
    """The states in float64, and ∂h_T/∂h_0 as the product of central differences of each step."""
    x = x0 = RNG.normal(size=size) / 2
    states, product = [], np.eye(size)
    for u in INPUTS.astype(float):
        columns = [(step(x + d, u) - step(x - d, u)) / 2e-6 for d in 1e-6 * np.eye(size)]
        product = np.transpose(columns) @ product
        x = step(x, u)
        states.append(x)
    return {"x0": x0, "states": np.array(states), "jacobian": product}


def _weights(units, gates, inputs=2):
    shapes = (inputs, gates * units), (units, gates * units), (gates * units,)
    return [(RNG.normal(size=shape) * 0.7).astype(np.float32) for shape in shapes]


def _write(path, version, layers, config):
    with h5py.File(path, "w") as file:
        group = file
        if config is not None:
            file.attrs["keras_version"] = version.encode()
            file.attrs["backend"] = b"tensorflow"
            file.attrs["model_config"] = json.dumps(config).encode()
            group = file.create_group("model_weights")
        group.attrs["layer_names"] = [name.encode() for name in layers]
        group.attrs["backend"] = b"tensorflow"
        group.attrs["keras_version"] = version.encode()
        for name, arrays in layers.items():
            own = group.create_group(name)
            own.attrs["weight_names"] = [each.encode() for each in arrays]
            for each, value in arrays.items():
                own.create_dataset(each, data=value)


def _of(layer, arrays):
    return dict(
        zip((f"{layer}/{end}:0" for end in ("kernel", "recurrent_kernel", "bias")), arrays, strict=True)
    )


def _layer(cls, name, units, **more):
    usual = {"name": name, "trainable": True, "units": units, "activation": "tanh", "use_bias": True}
    return {
        "class_name": cls,
        "config": usual | {"recurrent_activation": "hard_sigmoid", "go_backwards": False} | more,
    }


def keras2(folder):
    one, back, after = _weights(3, 4), _weights(3, 4), _weights(2, 3, 6)
    inner = _layer("LSTM", "lstm_1", 3, return_sequences=True)
    config = {
        "class_name": "Sequential",
        "config": [
            {"class_name": "Masking", "config": {"name": "masking_1", "mask_value": 0.0}},
            {
                "class_name": "Bidirectional",
                "config": {"name": "both", "layer": inner, "merge_mode": "concat"},
            },
            {"class_name": "Lambda", "config": {"name": "lambda_1", "function": ["4wEAAAA=", None, None]}},
            _layer("GRU", "gru_1", 2, return_sequences=False),
        ],
    }
    two = _of("both/forward_lstm_1", one) | _of("both/backward_lstm_1", back)
    layers = {"masking_1": {}, "both": two, "lambda_1": {}, "gru_1": _of("gru_1", after)}
    _write(folder / "two.h5", "2.2.5", layers, config)
    _write(folder / "two_weights.h5", "2.2.5", layers, None)
    # cuDNN's buffers: matrices that multiply from the left, one under another, and two biases
    kernel, recurrent, bias = _weights(3, 4)
    halves = (RNG.normal(size=12) * 0.7).astype(np.float32)
    fused = [
        np.hstack([part.T.ravel().reshape(part.shape) for part in np.hsplit(kernel, 4)]),
        np.hstack([part.T for part in np.hsplit(recurrent, 4)]),
        np.concatenate([halves, bias - halves]),
    ]
    cudnn = {"name": "cu_dnnlstm_1", "units": 3, "return_sequences": True, "go_backwards": False}
    config = {
        "class_name": "Model",
        "config": {
            "name": "model_1",
            "layers": [
                {
                    "name": "input_1",
                    "class_name": "InputLayer",
                    "config": {"name": "input_1"},
                    "inbound_nodes": [],
                },
                {
                    "name": "cu_dnnlstm_1",
                    "class_name": "CuDNNLSTM",
                    "config": cudnn,
                    "inbound_nodes": [[["input_1", 0, 0, {}]]],
                },
            ],
        },
    }
    _write(folder / "cudnn.h5", "2.2.5", {"input_1": {}, "cu_dnnlstm_1": _of("cu_dnnlstm_1", fused)}, config)
    steps = {
        "two": (lstm(*one, _hard), 6),
        "two_back": (lstm(*back, _hard), 6),
        "cudnn": (lstm(kernel, recurrent, bias, _sigmoid), 6),
    }
    return _all(steps)


def keras1(folder):
    long, short = _weights(2, 4), _weights(2, 3)
    config = {
        "class_name": "Sequential",
        "config": [
            {
                "class_name": cls,
                "config": {
                    "name": name,
                    "output_dim": 2,
                    "activation": "tanh",
                    "inner_activation": "hard_sigmoid",
                    "return_sequences": False,
                    "go_backwards": False,
                    "consume_less": "cpu",
                },
            }
            for cls, name in (("LSTM", "lstm_1"), ("GRU", "gru_1"))
        ],
    }

    def by_gate(name, arrays, gates, order):
        parts = [np.split(array, len(gates), axis=-1) for array in arrays]
        return {
            f"{name}_{kind}_{gates[i]}:0": part[i]
            for i in order
            for kind, part in zip("WUb", parts, strict=True)
        }

    layers = {
        "lstm_1": by_gate("lstm_1", long, "ifco", (0, 2, 1, 3)),
        "gru_1": by_gate("gru_1", short, "zrh", (0, 1, 2)),
    }
    _write(folder / "one.h5", "1.2.2", layers, config)
    return _all({"one_lstm": (lstm(*long, _hard), 4), "one_gru": (gru(*short, _hard), 2)})


def _all(steps):
    return {f"{name}/{key}": v for name, pair in steps.items() for key, v in _run(*pair).items()}


def _nobody(info):
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ""
    return info


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        truth = {"inputs": INPUTS} | keras3(folder) | keras2(folder) | keras1(folder)
        np.savez(folder / "truth.npz", **truth)
        HERE.mkdir(exist_ok=True)
        with tarfile.open(HERE / "keras_files.tar.xz", "w:xz", preset=9) as archive:
            for path in sorted(folder.iterdir()):
                archive.add(path, path.name, filter=_nobody)


if __name__ == "__main__":
    main()
