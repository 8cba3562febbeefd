"""Write mlx.npz: parameters, outputs and ∂(last state)/∂(first state) of MLX's layers, in float32 on the CPU.

pip install --target DIR "mlx[cpu]==0.32.4"
PYTHONPATH=$PYTHONPATH:DIR python tests/files/make_mlx.py
"""

from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten, tree_map

from tests.files.packed import short, write

UNITS, INPUTS, STEPS = 3, 2, 20
LAYERS = {
    "RNN": lambda: nn.RNN(INPUTS, UNITS),
    "RNN_relu": lambda: nn.RNN(INPUTS, UNITS, bias=False, nonlinearity=nn.relu),
    "LSTM": lambda: nn.LSTM(INPUTS, UNITS),
    "GRU": lambda: nn.GRU(INPUTS, UNITS),
    "GRU_plain": lambda: nn.GRU(INPUTS, UNITS, bias=False),
}


def main() -> None:
    mx.set_default_device(mx.cpu)
    rng = np.random.default_rng(1)
    inputs = short(rng.normal(size=(STEPS, INPUTS))).astype("float32")
    found = {"inputs": inputs}
    for name, make in LAYERS.items():
        layer = make()
        layer.update(
            tree_map(
                lambda w: mx.array(short(rng.normal(size=w.shape)).astype("float32")), layer.parameters()
            )
        )
        x0 = short(rng.normal(size=UNITS * (2 if name == "LSTM" else 1))).astype("float32")

        def run(x, layer=layer):
            parts = [part[None] for part in mx.split(x, len(x) // UNITS)]
            given = layer(mx.array(inputs)[None], *parts)
            return given if isinstance(given, tuple) else (given,)

        def last(x, run=run):
            return mx.concatenate([part[0, -1] for part in run(x)])

        rows = [
            mx.vjp(last, [mx.array(x0)], [mx.array(row)])[1][0] for row in np.eye(len(x0), dtype="float32")
        ]
        found |= {f"{name}/params/{key}": np.array(value) for key, value in tree_flatten(layer.parameters())}
        found |= {f"{name}/x0": x0, f"{name}/jacobian": np.array(mx.stack(rows))}
        found |= {
            f"{name}/outputs": np.array(run(mx.array(x0))[0][0]),
            f"{name}/last": np.array(last(mx.array(x0))),
        }
    write(Path(__file__).with_name("mlx.npz"), found, f"mlx {mx.__version__}")


if __name__ == "__main__":
    main()
