"""Write openvino_rows.tar.xz: models of PyTorch with several recurrent layers, as OpenVINO converts them.

pip install --target DIR openvino==2026.4.1 torch==2.13.0
PYTHONPATH=$PYTHONPATH:DIR python tests/files/make_openvino_rows.py

Of each model NAME.xml, NAME.bin and NAME.npz with its inputs x (steps, inputs) and PyTorch's own outputs y.
"""

import io
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import openvino as ov
import torch
from torch import nn


class Outputs(nn.Module):
    """Recurrent layers one after the other, with what lies between them."""

    def __init__(self, *layers, between=None):
        super().__init__()
        self.layers, self.between = nn.ModuleList(layers), between

    def forward(self, x):
        for number, layer in enumerate(self.layers):
            x = layer(x if not number or self.between is None else self.between(x))[0]
        return x


def main() -> None:
    torch.manual_seed(0)
    models = {
        "lstm_two": Outputs(nn.LSTM(2, 3, num_layers=2)),
        "gru_three": Outputs(nn.GRU(2, 3), nn.GRU(3, 3), nn.GRU(3, 3)),
        "lstm_both": Outputs(nn.LSTM(2, 3, num_layers=2, bidirectional=True)),
        "turned_between": Outputs(nn.GRU(2, 3), nn.GRU(3, 3), between=lambda x: x.flip(0)),
        "mixed": Outputs(nn.LSTM(2, 3), nn.GRU(3, 4)),
    }
    x = torch.round(torch.randn(6, 1, 2) * 64) / 64
    with tempfile.TemporaryDirectory() as folder:
        for name, module in models.items():
            for value in module.parameters():
                value.data = torch.round(value.data * 64) / 64
            ov.save_model(
                ov.convert_model(module.eval(), example_input=x),
                Path(folder) / f"{name}.xml",
                compress_to_fp16=False,
            )
            np.savez(Path(folder) / f"{name}.npz", x=x[:, 0].numpy(), y=module(x)[:, 0].detach().numpy())
        kept = io.BytesIO()
        with tarfile.open(fileobj=kept, mode="w:xz") as archive:
            for path in sorted(Path(folder).iterdir()):
                entry = tarfile.TarInfo(path.name)
                entry.size = path.stat().st_size
                archive.addfile(entry, io.BytesIO(path.read_bytes()))
    Path(__file__).with_name("openvino_rows.tar.xz").write_bytes(kept.getvalue())


if __name__ == "__main__":
    main()
