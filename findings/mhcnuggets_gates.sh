#!/usr/bin/env bash
# mhcnuggets' trained networks run with other gates today than those that they were trained with.
# mhcnuggets 2.4.1, keras 3.15.1 on tensorflow-cpu 2.21.0, h5py 3.14.0, numpy 2.3.5.
# The package's weights are of Keras 2.2.2, as their files say. LSTM of Keras up to 2.2 has hard-sigmoid gates by
# default, max(0, min(1, x/5 + 1/2)), and the package names none when it builds the network. TensorFlow 2, on which it
# runs today, takes the smooth sigmoid by default: all shapes fit, nothing is said, and affinities are others, by up to
# a half for the peptides below.
# Touched: affinities computed on TensorFlow 2. recurrent_activation=lambda x: keras.ops.clip(0.2 * x + 0.5, 0, 1) in
# the package's mhcnuggets_lstm gives the trained network; keras' own "hard_sigmoid" is another one, of slope 1/6.
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    keras==3.15.1 tensorflow-cpu==2.21.0 h5py==3.14.0 numpy==2.3.5
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps mhcnuggets==2.4.1
KERAS_HOME="$work" KERAS_BACKEND=tensorflow TF_CPP_MIN_LOG_LEVEL=3 "$work/venv/bin/python" -W ignore - <<'PYTHON'
import importlib.metadata
import sys
from pathlib import Path

import h5py
import numpy as np
from mhcnuggets.src import models
from mhcnuggets.src.aa_embeddings import AA_SOFTHOT, MASK_VALUE

names = ("mhcnuggets", "keras", "tensorflow-cpu", "h5py", "numpy")
print(*(f"{name} {importlib.metadata.version(name)}" for name in names))
path = Path(models.__file__).parent.parent / "saves/production/HLA-A02:01_BA.h5"
network = models.mhcnuggets_lstm((15, 21))
network.load_weights(path)
with h5py.File(path) as file:
    print("trained by Keras", file.attrs["keras_version"])
    layers = [[np.asarray(file[f"{layer}/{layer}/{name}:0"], float) for name in parts]
              for layer, parts in (("lstm_1", ("kernel", "recurrent_kernel", "bias")),
                                   ("dense_1", ("kernel", "bias")), ("dense_2", ("kernel", "bias")))]


def smooth(x):
    return 1 / (1 + np.exp(-x))


def hard(x):
    return np.clip(x / 5 + 0.5, 0, 1)


def affinity(word, gate):
    """In nM, by the cell's equations from the file's weights."""
    (w_in, w, b), first, last = layers
    h = c = np.zeros(64)
    for residue in word:
        i, f, g, o = np.split(np.array(AA_SOFTHOT[residue]) @ w_in + h @ w + b, 4)
        c = gate(f) * c + gate(i) * np.tanh(g)
        h = gate(o) * np.tanh(c)
    return 50_000 ** (1 - smooth(np.tanh(h @ first[0] + first[1]) @ last[0] + last[1])[0])


def of_the_package(word):
    x = np.full((1, 15, 21), float(MASK_VALUE))
    x[0, : len(word)] = [AA_SOFTHOT[residue] for residue in word]
    return 50_000 ** (1 - float(network.predict(x, verbose=0)[0, 0]))


same = True
for word in ("GLCTLVAML", "GILGFVFTL", "NLVPMVATV"):
    found, today, trained = of_the_package(word), affinity(word, smooth), affinity(word, hard)
    print(f"{word}: package {found:.1f} nM, smooth gates {today:.1f}, gates of its training {trained:.1f}")
    same &= abs(found / today - 1) < 1e-3 and abs(found / trained - 1) > 0.1
sys.exit(0 if same else "expected the package to compute with smooth gates; it does otherwise now")
PYTHON
