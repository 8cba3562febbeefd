#!/usr/bin/env bash
# An LSTM of Keras 2 that TensorFlow Lite's converter has fused clips its memory c at 10, which Keras does not.
# tensorflow-cpu 2.21.0, tf-keras 2.21.0, numpy 2.4.6, CPU, float32.
# tf.lite.TFLiteConverter.from_keras_model writes UNIDIRECTIONAL_SEQUENCE_LSTM with cell_clip = 10 for
# tf_keras.layers.LSTM. A unit that adds 1 to c for 20 steps and then takes 1 off gives +1 for 19 steps more in Keras,
# and for 9 in the converted model; at step 37 one says +0.96 and the other -1. No warning; the converter has no
# option for it. Keras 3 is converted into a WHILE loop, which does not clip.
# Touched: converted LSTMs that count or integrate; derivatives of c through the clip, which are 0 there.
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
pip="$work/venv/bin/pip --quiet --disable-pip-version-check"
$pip install tensorflow-cpu==2.21.0 numpy==2.4.6
$pip install --no-deps tf-keras==2.21.0
CUDA_VISIBLE_DEVICES=-1 TF_CPP_MIN_LOG_LEVEL=3 TF_USE_LEGACY_KERAS=1 "$work/venv/bin/python" - 2>"$work/log" <<'PYTHON'
import sys

import numpy as np
import tensorflow as tf
import tf_keras

print("tensorflow", tf.__version__, "tf_keras", tf_keras.__version__)
steps, up = 60, 20
given = tf_keras.Input((steps, 1), batch_size=1)
model = tf_keras.Model(given, tf_keras.layers.LSTM(1, return_sequences=True)(given))
# Gates i, f, o are open; the candidate is tanh(10 u).
model.set_weights([np.array([[0, 0, 10, 0]], "f4"), np.zeros((1, 4), "f4"), np.array([20, 20, 0, 20], "f4")])
inputs = np.ones((1, steps, 1), "f4")
inputs[:, up:] = -1
keras = model(inputs).numpy()[0, :, 0]
run = tf.lite.Interpreter(model_content=tf.lite.TFLiteConverter.from_keras_model(model).convert())
run.allocate_tensors()
run.set_tensor(run.get_input_details()[0]["index"], inputs)
run.invoke()
lite = run.get_tensor(run.get_output_details()[0]["index"])[0, :, 0]
turns = [int(np.argmax(values < 0)) for values in (keras, lite)]
print(f"the output turns negative at step {turns[0]} in Keras, and is expected to in the converted model; it does")
print(f"at step {turns[1]}; at step 37 they give {keras[37]:.2f} and {lite[37]:.2f}")
same = turns == [40, 30] and keras[37] > 0.9 and lite[37] < -0.9
print("still so" if same else "changed")
sys.exit(0 if same else 1)
PYTHON
