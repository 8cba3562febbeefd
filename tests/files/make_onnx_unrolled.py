"""Write onnx_unrolled.tar.xz: gated networks that a graph of ONNX writes out, or runs in a Loop, with their states.

python tests/files/make_onnx_unrolled.py torch    # needs torch, onnx, onnxscript; made with 2.13.0, 1.23.2, 0.7.2
python tests/files/make_onnx_unrolled.py keras    # tensorflow, tf_keras, tf2onnx; made with 2.21.0, 2.21.0, 1.17.0

Of each model NAME.onnx and NAME.npz with its inputs x (steps, inputs) and the framework's own outputs y (steps,
units). The first call starts the archive, the second adds to it.
"""

import io
import os
import sys
import tarfile
import tempfile
import warnings
from pathlib import Path

import numpy as np

UNITS, INPUTS, STEPS = 3, 2, 5
FILE = Path(__file__).parent / "onnx_unrolled.tar.xz"


def pytorch():
    """Cells that a module's own loop runs, in both of PyTorch's exporters."""
    import onnx
    import torch
    from torch import nn

    torch.manual_seed(0)
    x = torch.randn(STEPS, 1, INPUTS)

    class Cells(nn.Module):
        def __init__(self, kind, layers=1, between=None, is_reverse=False):
            super().__init__()
            sizes = [INPUTS] + [UNITS] * (layers - 1)
            self.cells = nn.ModuleList(getattr(nn, f"{kind}Cell")(size, UNITS) for size in sizes)
            self.dense = nn.Linear(UNITS, UNITS)
            self.between, self.is_reverse = between, is_reverse

        def step(self, cell, u, state):
            if isinstance(cell, nn.LSTMCell):
                return cell(u, state)
            h = cell(u, state[0])
            return h, h

        def forward(self, x):
            rows = list(x)[:: -1 if self.is_reverse else 1]
            for i, cell in enumerate(self.cells):
                state, out = (x.new_zeros(1, UNITS), x.new_zeros(1, UNITS)), []
                for u in rows:
                    state = self.step(cell, u, state)
                    out.append(state[0])
                rows = out
                if self.between == "dense" and i == 0:
                    rows = [self.dense(u) for u in rows]
                if self.between == "relu" and i == 0:
                    rows = [torch.relu(u) for u in rows]
            return torch.stack(rows[:: -1 if self.is_reverse else 1])

    for name, is_dynamo, given in (
        ("gru", True, {"kind": "GRU"}),
        ("gru_two", False, {"kind": "GRU", "layers": 2}),
        ("gru_backwards", False, {"kind": "GRU", "is_reverse": True}),
        ("lstm", False, {"kind": "LSTM"}),
        ("lstm_two_dense", True, {"kind": "LSTM", "layers": 2, "between": "dense"}),
        ("rnn_two_relu", False, {"kind": "RNN", "layers": 2, "between": "relu"}),
        ("gru_two_relu", False, {"kind": "GRU", "layers": 2, "between": "relu"}),
    ):
        module, file = Cells(**given), io.BytesIO()
        for value in module.parameters():
            value.data = torch.round(value.data * 64) / 64
        if is_dynamo:
            model = torch.onnx.export(module, (x,), dynamo=True, verbose=False).model_proto
        else:
            torch.onnx.export(module, (x,), file, dynamo=False)
            model = onnx.load_from_string(file.getvalue())
        yield name, model, x[:, 0].numpy(), module(x)[:, 0].detach().numpy()

    class Given(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.RNN(INPUTS, UNITS)

        def forward(self, x, h):
            return self.rnn(x, h)[0]

    module, h = Given(), torch.zeros(1, 1, UNITS)
    for value in module.parameters():
        value.data = torch.round(value.data * 64) / 64
    model = torch.onnx.export(module, (x, h), dynamo=True, verbose=False).model_proto
    yield "rnn_given", model, x[:, 0].numpy(), module(x, h)[:, 0].detach().numpy()


def keras():
    """Layers of Keras 2, written out or in a loop, as tf2onnx converts them."""
    os.environ |= {"TF_USE_LEGACY_KERAS": "1", "CUDA_VISIBLE_DEVICES": ""}
    cast = type("Cast", (dict,), {"__missing__": lambda self, key: lambda x: np.asarray(x, key)})()
    vars(np).update(object=object, cast=cast)  # for which tf2onnx 1.17.0 still asks NumPy
    import tensorflow as tf
    import tf2onnx
    import tf_keras

    random = np.random.default_rng(1)
    x = random.normal(size=(1, STEPS, INPUTS)).astype("float32")
    for name, kind, options in (
        ("keras_gru", "GRU", {"unroll": True}),
        ("keras_gru_before", "GRU", {"unroll": True, "reset_after": False}),
        ("keras_lstm", "LSTM", {"unroll": True}),
        ("keras_loop_gru_before", "GRU", {"reset_after": False}),
        ("keras_loop_rnn", "SimpleRNN", {}),
    ):
        layer = getattr(tf_keras.layers, kind)(UNITS, return_sequences=True, **options)
        module = tf_keras.Sequential([tf_keras.Input((STEPS, INPUTS), batch_size=1), layer])
        layer.set_weights([np.round(random.normal(size=w.shape) * 32) / 64 for w in layer.get_weights()])
        signature = [tf.TensorSpec(x.shape, tf.float32, name="x")]
        model, _ = tf2onnx.convert.from_keras(module, input_signature=signature, opset=15)
        yield name, model, x[0], module(x).numpy()[0]


def bare(model):
    """The model without what only people read."""
    for each in (model, *model.graph.node, *model.graph.input, *model.graph.output, *model.graph.initializer):
        each.doc_string = ""
        del each.metadata_props[:]
    del model.graph.value_info[:]
    return model.SerializeToString()


def main() -> None:
    warnings.simplefilter("ignore")
    which = sys.argv[1]
    everything = {}
    if which == "keras":
        with tarfile.open(FILE) as archive:
            everything = {each.name: archive.extractfile(each).read() for each in archive.getmembers()}
    for name, model, x, y in {"torch": pytorch, "keras": keras}[which]():
        file = io.BytesIO()
        np.savez(file, x=x, y=y)
        everything |= {f"{name}.onnx": bare(model), f"{name}.npz": file.getvalue()}
    with tempfile.TemporaryDirectory() as folder:
        held = Path(folder) / FILE.name
        with tarfile.open(held, "w:xz", preset=9) as archive:
            for name, content in everything.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        FILE.write_bytes(held.read_bytes())


if __name__ == "__main__":
    main()
