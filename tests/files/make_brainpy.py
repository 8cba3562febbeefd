"""Write brainpy.npz: variables, outputs and ∂(last state)/∂(first state) of BrainPy's recurrent cells, in float64.

pip install --target DIR --no-deps brainpy==2.8.2 brainpy-state==0.1.0 brainstate brainunit braintools brainevent \
    saiunit array_api_compat tqdm numba llvmlite
PYTHONPATH=$PYTHONPATH:DIR python tests/files/make_brainpy.py
"""

from pathlib import Path

import brainpy as bp
import brainpy.math as bm
import jax
import jax.numpy as jnp
import numpy as np

from tests.files.packed import short, write

UNITS, INPUTS, STEPS = 3, 2, 20
CELLS = {
    "RNNCell": lambda: bp.dyn.RNNCell(INPUTS, UNITS),
    "GRUCell": lambda: bp.dyn.GRUCell(INPUTS, UNITS),
    "LSTMCell": lambda: bp.dyn.LSTMCell(INPUTS, UNITS),
}


def main() -> None:
    bm.enable_x64()
    bm.set_environment(bm.training_mode)
    rng = np.random.default_rng(2)
    inputs = short(rng.normal(size=(STEPS, INPUTS)))
    found = {"inputs": inputs}
    for name, make in CELLS.items():
        cell = make()
        for weight in ("Wi", "Wh", "b"):
            variable = getattr(cell, weight)
            variable.value = jnp.asarray(short(rng.normal(size=variable.shape)))
            found[f"{name}/params/{weight}"] = np.asarray(variable.value)
        x0 = short(rng.normal(size=UNITS * (2 if name == "LSTMCell" else 1)))
        x0 = np.abs(x0) if name == "RNNCell" else x0  # of relu

        def run(x, cell=cell):
            cell.state.value = x[None]
            outputs = [bm.as_jax(cell.update(jnp.asarray(u)[None]))[0] for u in inputs]
            return bm.as_jax(cell.state.value)[0], jnp.stack(outputs)

        last, outputs = run(jnp.asarray(x0))
        jacobian = jax.jacfwd(lambda x, run=run: run(x)[0])(jnp.asarray(x0))
        made = {"x0": x0, "last": last, "jacobian": jacobian, "outputs": outputs.astype("float32")}
        found |= {f"{name}/{key}": np.asarray(value) for key, value in made.items()}
    write(Path(__file__).with_name("brainpy.npz"), found, f"brainpy {bp.__version__}, jax {jax.__version__}")


if __name__ == "__main__":
    main()
