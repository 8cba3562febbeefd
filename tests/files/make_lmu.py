"""Write lmu.npz: weights, states and ∂(last state)/∂(first state) of keras-lmu's cells, in float64.

pip install --target DIR keras-lmu==0.9.0 tensorflow-cpu==2.21.0 keras==3.15.1
PYTHONPATH=DIR KERAS_BACKEND=tensorflow python -m tests.files.make_lmu
"""

from pathlib import Path

import keras
import keras_lmu
import numpy as np
import tensorflow as tf

from tests.files.packed import short, write

INPUTS, STEPS = 2, 20
CELLS = {
    "linear": lambda: keras_lmu.LMUCell(1, 4, 10.0, None, dtype="float64"),
    "simple": lambda: keras_lmu.LMUCell(
        2,
        3,
        6.0,
        keras.layers.SimpleRNNCell(3, dtype="float64"),
        hidden_to_memory=True,
        memory_to_memory=True,
        input_to_hidden=True,
        use_bias=True,
        dtype="float64",
    ),
    "lstm": lambda: keras_lmu.LMUCell(
        1, 3, 6.0, keras.layers.LSTMCell(2, dtype="float64"), hidden_to_memory=True, dtype="float64"
    ),
    "dense": lambda: keras_lmu.LMUCell(
        1,
        3,
        6.0,
        keras.layers.Dense(2, "relu", dtype="float64"),
        discretizer="euler",
        hidden_to_memory=True,
        trainable_theta=True,
        dtype="float64",
    ),
}


def main() -> None:
    keras.backend.set_floatx("float64")
    rng = np.random.default_rng(1)
    inputs = short(rng.normal(size=(STEPS, INPUTS)))
    found = {"inputs": inputs}
    for name, make in CELLS.items():
        cell = make()
        cell.build((1, INPUTS))
        weights = {}
        for i, weight in enumerate(cell.weights):
            if weight.name != "theta_inv":
                weight.assign(short(rng.normal(size=weight.shape) / 2))
            else:
                weight.assign(0.125)
            weights[f"{name}/params/{i}"] = np.asarray(weight)
            print(name, i, weight.path, weight.shape)
        sizes = tf.nest.flatten(cell.state_size)
        x0 = short(rng.normal(size=sum(sizes)))

        def run(x, cell=cell, sizes=sizes):
            for u in inputs:
                x = tf.concat(tf.nest.flatten(cell(u[None], tf.split(x[None], sizes, axis=1))[1]), axis=1)[0]
            return x

        start = tf.constant(x0)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(start)
            last = run(start)
        jacobian = tape.jacobian(last, start, experimental_use_pfor=False)
        found |= weights | {
            f"{name}/A": np.asarray(cell.A),
            f"{name}/B": np.asarray(cell.B),
            f"{name}/x0": x0,
        }
        found |= {f"{name}/last": last.numpy(), f"{name}/jacobian": jacobian.numpy()}
    versions = f"keras-lmu {keras_lmu.__version__}, keras {keras.__version__}, tensorflow {tf.__version__}"
    write(Path(__file__).with_name("lmu.npz"), found, versions)


if __name__ == "__main__":
    main()
