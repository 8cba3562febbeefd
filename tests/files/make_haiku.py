"""Write haiku.npz: parameters, outputs and ∂(last state)/∂(first state) of Haiku's recurrent cores, in float64.

pip install --target DIR --no-deps dm-haiku==0.0.17 jmp tabulate absl-py
PYTHONPATH=$PYTHONPATH:DIR python tests/files/make_haiku.py
"""

from pathlib import Path

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from tests.files.packed import short, write

UNITS, INPUTS, STEPS = 3, 2, 20
CORES = {
    "LSTM": lambda: hk.LSTM(UNITS),
    "GRU": lambda: hk.GRU(UNITS),
    "VanillaRNN": lambda: hk.VanillaRNN(UNITS),
    "named": lambda: hk.LSTM(UNITS, name="core"),
    "deep": lambda: hk.DeepRNN([hk.LSTM(UNITS), hk.LSTM(UNITS), hk.Linear(1)]),
    "single_bias": lambda: hk.VanillaRNN(UNITS, double_bias=False),
}


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    rng = np.random.default_rng(0)
    inputs = short(rng.normal(size=(STEPS, INPUTS)))
    found = {"inputs": inputs}
    for name, make in CORES.items():

        def run(inputs, state, make=make):
            core = make()
            return hk.dynamic_unroll(core, inputs, core.initial_state(None) if state is None else state)

        network = hk.without_apply_rng(hk.transform(run))
        params = network.init(jax.random.key(1), jnp.asarray(inputs), None)
        # Biases are 0 at first.
        params = jax.tree.map(
            lambda w: jnp.asarray(short(w + 0.3 * np.abs(rng.normal(size=w.shape)))), params
        )
        zero = network.apply(params, jnp.asarray(inputs), None)[1]
        leaves, structure = jax.tree.flatten(zero)
        x0 = short(rng.normal(size=sum(map(len, leaves))))
        cuts = np.cumsum([len(leaf) for leaf in leaves])[:-1]

        def last(x, network=network, params=params, structure=structure, cuts=cuts):
            state = jax.tree.unflatten(structure, jnp.split(x, cuts))
            outputs, state = network.apply(params, jnp.asarray(inputs), state)
            return jnp.concatenate(jax.tree.leaves(state)), outputs

        for module, arrays in params.items():
            found |= {f"{name}/params/{module}/{key}": np.asarray(value) for key, value in arrays.items()}
        jacobian, outputs = jax.jacfwd(last, has_aux=True)(jnp.asarray(x0))
        made = {"x0": x0, "last": last(jnp.asarray(x0))[0], "jacobian": jacobian}
        if name in ("LSTM", "GRU", "VanillaRNN"):
            made["outputs"] = outputs.astype("float32")
        found |= {f"{name}/{key}": np.asarray(value) for key, value in made.items()}
    write(Path(__file__).with_name("haiku.npz"), found, f"dm-haiku {hk.__version__}, jax {jax.__version__}")


if __name__ == "__main__":
    main()
