"""Write openvino.npz and openvino.tar.xz: models of OpenVINO's own operations, and what its CPU made of an input.

pip install --target DIR openvino==2026.4.1
PYTHONPATH=$PYTHONPATH:DIR python tests/files/make_openvino.py
"""

import io
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import openvino as ov
import openvino.opset13 as ops

from tests.files.packed import short, write

UNITS, INPUTS, STEPS = 3, 2, 6
MODELS = {
    "lstm": ("lstm", 4, 4, {"direction": "forward"}),
    "lstm_both": ("lstm", 4, 4, {"direction": "bidirectional"}),
    "gru_after": ("gru", 3, 4, {"direction": "forward", "linear_before_reset": True}),
    "gru_before": ("gru", 3, 3, {"direction": "forward"}),
    "gru_reverse": ("gru", 3, 4, {"direction": "reverse", "linear_before_reset": True}),
    "rnn_relu": ("rnn", 1, 1, {"direction": "forward", "activations": ["relu"]}),
    "lstm_clip": ("lstm", 4, 4, {"direction": "forward", "clip": 0.5}),
}


def model(name, rng):
    kind, gates, biases, options = MODELS[name]
    count = 2 if options["direction"] == "bidirectional" else 1
    shapes = ((count, gates * UNITS, INPUTS), (count, gates * UNITS, UNITS), (count, biases * UNITS))
    weights = [short(rng.normal(size=shape)).astype("float32") for shape in shapes]
    x = ops.parameter([1, STEPS, INPUTS], np.float32, name="x")
    states = [ops.constant(np.zeros((1, count, UNITS), "float32")) for _ in range(2 if kind == "lstm" else 1)]
    lengths = ops.constant(np.array([STEPS], "int32"))
    given = (x, *states, lengths, *map(ops.constant, weights), UNITS)
    sequence = getattr(ops, f"{kind}_sequence")(*given, **options)
    sequence.set_friendly_name("net")
    return ov.Model([sequence.output(0)], [x], name)


def main() -> None:
    rng = np.random.default_rng(1)
    inputs = short(rng.normal(size=(STEPS, INPUTS)))
    found, core = {"inputs": inputs}, ov.Core()
    with tempfile.TemporaryDirectory() as folder:
        for name in MODELS:
            made = model(name, rng)
            compiled = core.compile_model(made, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
            found[name] = compiled(inputs[None].astype("float32"))[0][0]
            ov.save_model(made, Path(folder) / f"{name}.xml", compress_to_fp16=name == "gru_before")
        kept = io.BytesIO()
        with tarfile.open(fileobj=kept, mode="w:xz") as archive:
            for path in sorted(Path(folder).iterdir()):
                entry = tarfile.TarInfo(path.name)
                entry.size = path.stat().st_size
                archive.addfile(entry, io.BytesIO(path.read_bytes()))
    Path(__file__).with_name("openvino.tar.xz").write_bytes(kept.getvalue())
    write(Path(__file__).with_name("openvino.npz"), found, f"openvino {ov.__version__}")


if __name__ == "__main__":
    main()
