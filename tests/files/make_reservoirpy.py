"""Write reservoirpy.npz: matrices and states of reservoirpy's reservoirs.

pip install --target DIR reservoirpy==0.4.2 joblib
PYTHONPATH=$PYTHONPATH:DIR python tests/files/make_reservoirpy.py
"""

from pathlib import Path

import numpy as np
import reservoirpy
from reservoirpy.nodes import Reservoir

from tests.files.packed import short, write

RESERVOIRS = {
    "tanh": {"lr": 0.3},
    "sigmoid": {"activation": "sigmoid", "bias": 0.25},
    "relu": {"activation": "relu", "lr": 0.5},
}


def main() -> None:
    inputs = short(np.random.default_rng(1).normal(size=(20, 2)))
    found = {"inputs": inputs}
    for name, options in RESERVOIRS.items():
        reservoir = Reservoir(6, seed=3, rc_connectivity=0.5, **options)
        found[f"{name}/states"] = reservoir.run(inputs)[4::5]
        found |= {f"{name}/W": reservoir.W.toarray(), f"{name}/Win": reservoir.Win.toarray()}
    write(Path(__file__).with_name("reservoirpy.npz"), found, f"reservoirpy {reservoirpy.__version__}")


if __name__ == "__main__":
    main()
