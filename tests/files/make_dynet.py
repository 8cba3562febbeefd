"""Write dynet.npz and dynet.model.xz: a model of DyNet's builders, and their outputs.

pip install --target DIR --no-deps dynet38==2.2
PYTHONPATH=$PYTHONPATH:DIR python tests/files/make_dynet.py
"""

import lzma
import tempfile
from pathlib import Path

import dynet as dy
import numpy as np

from tests.files.packed import short, write

UNITS, INPUTS, STEPS = 3, 2, 12
BUILDERS = {
    "lstm": lambda model: dy.VanillaLSTMBuilder(2, INPUTS, UNITS, model),
    "compact": lambda model: dy.CompactVanillaLSTMBuilder(1, INPUTS, UNITS, model),
    "fast": lambda model: dy.FastLSTMBuilder(2, INPUTS, UNITS, model),
    "simple": lambda model: dy.SimpleRNNBuilder(1, INPUTS, UNITS, model),
    "gru": lambda model: dy.GRUBuilder(1, INPUTS, UNITS, model),
}


def main() -> None:
    rng, model = np.random.default_rng(1), dy.ParameterCollection()
    model.add_lookup_parameters((4, INPUTS), name="letters")
    builders = {name: make(model) for name, make in BUILDERS.items()}
    for each in model.parameters_list():
        each.set_value(short(rng.normal(size=each.shape())))
    inputs = short(rng.normal(size=(STEPS, INPUTS)))
    found = {"inputs": inputs}
    for name, builder in builders.items():
        dy.renew_cg()
        outputs = builder.initial_state().transduce([dy.inputVector(u) for u in inputs])
        found[name] = np.array([output.npvalue() for output in outputs])
    with tempfile.TemporaryDirectory() as folder:
        model.save(f"{folder}/model")
        kept = lzma.compress(Path(folder, "model").read_bytes())
    Path(__file__).with_name("dynet.model.xz").write_bytes(kept)
    write(Path(__file__).with_name("dynet.npz"), found, "dyNET38 2.2")


if __name__ == "__main__":
    main()
