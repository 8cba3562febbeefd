"""Write coreml_programs.tar.xz: ML Programs of Core ML, and what PyTorch or the documented equations give.

python tests/files/make_coreml_programs.py    # needs coremltools, torch; made with 9.0, 2.13.0

There is no runtime of these outside of Apple's systems. Of each model the folder NAME.mlpackage and NAME.npz with
its inputs x (steps, inputs) and outputs y: those of PyTorch's module that it was converted from, or of an operation
made by hand those of the equations that coremltools documents, in NumPy.
"""

import io
import tarfile
import tempfile
from pathlib import Path

import coremltools as ct
import numpy as np
import torch
from coremltools.converters.mil import Builder as mb
from torch import nn

UNITS, INPUTS, STEPS = 3, 2, 6


class Outputs(nn.Module):
    """What layers put out, without their last states."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)[0]
        return x


def short(rng, *shape):
    return (np.round(rng.normal(size=shape) * 45) / 64).astype("float32")


def by_hand(kind, rng, x):
    """An operation with peepholes, or a GRU, which PyTorch's converter does not write."""
    gates = {"lstm": 4, "gru": 3}[kind]
    W, R, b = short(rng, gates * UNITS, INPUTS), short(rng, gates * UNITS, UNITS), short(rng, gates * UNITS)
    p, h0, c0 = short(rng, 3 * UNITS), short(rng, 1, UNITS), short(rng, 1, UNITS)
    given = {"weight_ih": W, "weight_hh": R, "bias": b, "initial_h": h0, "output_sequence": True}

    @mb.program(input_specs=[mb.TensorSpec(shape=(STEPS, 1, INPUTS))])
    def program(x):
        if kind == "gru":
            return mb.gru(x=x, **given)[0]
        return mb.lstm(x=x, initial_c=c0, peephole=p, direction="reverse", activation="relu", **given)[0]

    h, c, found = h0[0], c0[0], []
    for u in x[::-1] if kind == "lstm" else ():
        i, f, o, z = np.split(W @ u + R @ h + b, 4)
        pi, pf, po = np.split(p, 3)
        i, f = (1 / (1 + np.exp(-v)) for v in (i + pi * c, f + pf * c))
        c = f * c + i * np.tanh(z)
        h = np.maximum(c, 0) / (1 + np.exp(-(o + po * c)))
        found.append(h)
    return program, np.array(found)[::-1]


def main() -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    x = torch.round(torch.randn(STEPS, 1, INPUTS) * 64) / 64
    options = {"convert_to": "mlprogram", "skip_model_load": True}
    single, half = ct.precision.FLOAT32, ct.precision.FLOAT16
    with tempfile.TemporaryDirectory() as folder:
        for name, module, precision in (
            ("lstm", Outputs(nn.LSTM(INPUTS, UNITS)), single),
            ("lstm_half", Outputs(nn.LSTM(INPUTS, UNITS)), half),
            ("lstm_both", Outputs(nn.LSTM(INPUTS, UNITS, num_layers=2, bidirectional=True)), single),
            ("rnn_row", Outputs(*(nn.RNN(n, UNITS, nonlinearity="relu") for n in (INPUTS, UNITS))), single),
            ("torch_gru", Outputs(nn.GRU(INPUTS, UNITS)), single),
        ):
            for value in module.parameters():
                value.data = torch.round(value.data * 64) / 64
            traced = torch.jit.trace(module.eval(), x)
            made = ct.convert(
                traced, inputs=[ct.TensorType(shape=x.shape)], compute_precision=precision, **options
            )
            made.save(f"{folder}/{name}.mlpackage")
            np.savez(f"{folder}/{name}.npz", x=x[:, 0].numpy(), y=module(x)[:, 0].detach().numpy())
        for name in ("lstm", "gru"):
            program, outputs = by_hand(name, rng, x[:, 0].numpy())
            made = ct.convert(program, compute_precision=single, **options)
            made.save(f"{folder}/{name}_by_hand.mlpackage")
            np.savez(f"{folder}/{name}_by_hand.npz", x=x[:, 0].numpy(), y=outputs)
        kept = io.BytesIO()
        with tarfile.open(fileobj=kept, mode="w:xz", preset=9) as archive:
            for path in sorted(Path(folder).rglob("*")):
                if path.is_file() and path.name != "Manifest.json":
                    entry = tarfile.TarInfo(str(path.relative_to(folder)))
                    entry.size = path.stat().st_size
                    archive.addfile(entry, io.BytesIO(path.read_bytes()))
    Path(__file__).with_name("coreml_programs.tar.xz").write_bytes(kept.getvalue())


if __name__ == "__main__":
    main()
