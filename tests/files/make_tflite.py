"""Write tflite.tar.xz: models of TensorFlow Lite, and what its interpreter computes.

python tests/files/make_tflite.py    # needs tensorflow, tf_keras, keras; made with 2.21.0, 2.21.0, 3.15.1

Of each model NAME.tflite and NAME.npy, its outputs of shape (steps, units) at the inputs X.npy of one sample.
"""

import io
import os
import tarfile
from pathlib import Path

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1", KERAS_BACKEND="tensorflow")

import keras
import numpy as np
import tensorflow as tf
import tf_keras

UNITS, INPUTS, STEPS = 3, 2, 6
HERE = Path(__file__).parent
random = np.random.default_rng(0)
X = (random.normal(size=(1, STEPS, INPUTS)) * 2).astype("float32")
held: dict[str, bytes] = {}


def kept(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def model(name, framework, *layers, optimize=False):
    inputs = framework.Input((STEPS, INPUTS), batch_size=1)
    value = inputs
    for layer in layers:
        value = layer(value)
    network = framework.Model(inputs, value)
    network.set_weights(
        [np.round(random.normal(size=w.shape) * 45).astype("float32") / 64 for w in network.get_weights()]
    )
    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    if optimize:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    content = converter.convert()
    run = tf.lite.Interpreter(model_content=content)
    run.allocate_tensors()
    run.set_tensor(run.get_input_details()[0]["index"], X)
    run.invoke()
    held[f"{name}.tflite"] = content
    held[f"{name}.npy"] = kept(run.get_tensor(run.get_output_details()[0]["index"])[0])
    plain = network(X).numpy()[0]
    print(name, len(content), np.abs(plain - np.load(io.BytesIO(held[f"{name}.npy"]))).max())


def main() -> None:
    for mark, framework in (("keras3", keras), ("keras2", tf_keras)):
        own = framework.layers
        for kind in ("SimpleRNN", "LSTM", "GRU"):
            model(f"{mark}_{kind}", framework, getattr(own, kind)(UNITS, return_sequences=True))
    own = keras.layers
    model("keras3_before", keras, own.GRU(UNITS, return_sequences=True, reset_after=False))
    model("keras3_backwards", keras, own.LSTM(UNITS, return_sequences=True, go_backwards=True))
    model("keras3_relu", keras, own.SimpleRNN(UNITS, return_sequences=True, activation="relu"))
    two = [tf_keras.layers.LSTM(n, return_sequences=True) for n in (UNITS, UNITS)]
    model("keras2_two", tf_keras, *two)
    wide = own.SimpleRNN(33, return_sequences=True)  # of 1024 weights on
    model("keras3_eight_bits", keras, wide, optimize=True)
    with tarfile.open(HERE / "tflite.tar.xz", "w:xz", preset=9) as archive:
        for name, content in (held | {"X.npy": kept(X[0])}).items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


if __name__ == "__main__":
    main()
