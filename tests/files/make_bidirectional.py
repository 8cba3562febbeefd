"""Write bidirectional.npz and .tar.xz: deep bidirectional networks of PyTorch, with their autograd's ∂y_t/∂u_s, in
float64, and files of Keras and of ONNX, with what Keras and onnxruntime compute.

KERAS_BACKEND=jax PYTHONPATH=$PYTHONPATH:DIR python tests/files/make_bidirectional.py
with torch 2.13.0, onnx 1.23.2, onnxscript 0.7.2, onnxruntime 1.32.0, Keras 3.15.1, JAX 0.10.2 and h5py 3.16 in DIR.
"""

import tarfile
import tempfile
from pathlib import Path

import keras
import numpy as np
import onnxruntime
import torch
from torch import nn

from tests.files.packed import short, write

HERE = Path(__file__).parent
STEPS, INPUTS = 7, 2


def _of_keras(inputs: np.ndarray, folder: Path) -> np.ndarray:
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
    for name in ("both.keras", "both.h5"):
        model.save(folder / name)
    return np.asarray(model(inputs[None].astype("float32")))[0]


def _of_onnx(network: nn.Module, inputs: torch.Tensor, path: Path, dynamo: bool) -> np.ndarray:
    """What onnxruntime computes from the export of a network."""
    given = inputs[:, None].float()
    torch.onnx.export(network.float(), (given,), path, dynamo=dynamo, input_names=["u"])
    session = onnxruntime.InferenceSession(path)
    return session.run(None, {"u": given.numpy()})[0][:, 0]


def _shortened(network: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.as_tensor(short(parameter)))
    return network


def main() -> None:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    inputs = torch.as_tensor(short(torch.randn(STEPS, INPUTS)))
    found = {"inputs": inputs}
    networks = {
        "gru": _shortened(nn.GRU(INPUTS, 2, num_layers=3, bidirectional=True)),
        "lstm": _shortened(nn.LSTM(INPUTS, 2, num_layers=2, bidirectional=True)),
    }
    for name, network in networks.items():
        found |= {f"{name}/{key}": value.clone() for key, value in network.state_dict().items()}
        found[f"{name}/outputs"] = network(inputs)[0].detach()
        found[f"{name}/jacobians"] = torch.autograd.functional.jacobian(lambda u, f=network: f(u)[0], inputs)
    with tempfile.TemporaryDirectory() as folder:
        found["keras/outputs"] = _of_keras(inputs.numpy(), Path(folder))
        for name, network in networks.items():
            path = Path(folder) / f"{name}.onnx"
            found[f"{name}_onnx/outputs"] = _of_onnx(network, inputs, path, dynamo=name == "gru")
        with tarfile.open(HERE / "bidirectional.tar.xz", "w:xz", preset=9) as archive:
            for path in sorted(Path(folder).iterdir()):
                archive.add(path, path.name)
    versions = f"torch {torch.__version__}, keras {keras.__version__}, onnxruntime {onnxruntime.__version__}"
    write(HERE / "bidirectional.npz", found, versions)


if __name__ == "__main__":
    main()
