"""Write bidirectional.npz and .tar.xz: deep bidirectional networks of PyTorch, with their autograd's ∂y_t/∂u_s, in
float64, and of Keras, as files, with their outputs.

KERAS_BACKEND=jax PYTHONPATH=$PYTHONPATH:DIR python tests/files/make_bidirectional.py
with torch 2.13.0 in DIR, Keras 3.15.1, JAX 0.10.2 and h5py 3.16.
"""

import tarfile
import tempfile
from pathlib import Path

import keras
import numpy as np
import torch
from torch import nn

from tests.files.packed import short, write

STEPS, INPUTS = 7, 2


def _of_keras(inputs: np.ndarray) -> np.ndarray:
    """The outputs of a model whose files are written."""
    rng, layers = np.random.default_rng(0), keras.layers
    model = keras.Sequential(
        [
            keras.Input((None, INPUTS)),
            layers.Bidirectional(layers.GRU(2, return_sequences=True), name="below"),
            layers.Dropout(0.1),
            layers.Bidirectional(layers.LSTM(3, return_sequences=True), merge_mode="mul", name="above"),
            layers.SimpleRNN(2, return_sequences=True, name="last"),
        ]
    )
    model.set_weights([short(rng.normal(size=w.shape)) for w in model.get_weights()])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(__file__).parent / "bidirectional.tar.xz"
        with tarfile.open(path, "w:xz", preset=9) as archive:
            for name in ("both.keras", "both.h5"):
                model.save(Path(folder) / name)
                archive.add(Path(folder) / name, name)
    return np.asarray(model(inputs[None].astype("float32")))[0]


def main() -> None:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    inputs = torch.as_tensor(short(torch.randn(STEPS, INPUTS)))
    found = {"inputs": inputs}
    for name, network in {
        "gru": nn.GRU(INPUTS, 2, num_layers=3, bidirectional=True),
        "lstm": nn.LSTM(INPUTS, 2, num_layers=2, bidirectional=True),
    }.items():
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.copy_(torch.as_tensor(short(parameter)))
        found |= {f"{name}/{key}": value for key, value in network.state_dict().items()}
        found[f"{name}/outputs"] = network(inputs)[0].detach()
        found[f"{name}/jacobians"] = torch.autograd.functional.jacobian(lambda u, f=network: f(u)[0], inputs)
    found["keras/outputs"] = _of_keras(inputs.numpy())
    write(
        Path(__file__).parent / "bidirectional.npz",
        found,
        f"torch {torch.__version__}, keras {keras.__version__}",
    )


if __name__ == "__main__":
    main()
