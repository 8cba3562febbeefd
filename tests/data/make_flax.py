"""Write flax.npz: weights, outputs and ∂(last state)/∂(first state) of Flax's recurrent cells.

JAX_ENABLE_X64=1 JAX_DEFAULT_MATMUL_PRECISION=highest python tests/data/make_flax.py
The file was made with Flax 0.12.8 and JAX 0.10.2.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx

UNITS, INPUTS, STEPS = 3, 2, 100
CELLS = {
    "linen_simple": (linen.SimpleCell, {}),
    "linen_residual": (linen.SimpleCell, {"residual": True, "activation_fn": jax.nn.sigmoid}),
    "linen_gru": (linen.GRUCell, {}),
    "linen_lstm": (linen.LSTMCell, {}),
    "linen_lstm_optimized": (linen.OptimizedLSTMCell, {}),
    "nnx_simple": (nnx.SimpleCell, {"activation_fn": jax.nn.relu}),
    "nnx_residual": (nnx.SimpleCell, {"residual": True}),
    "nnx_gru": (nnx.GRUCell, {}),
    "nnx_lstm": (nnx.LSTMCell, {}),
    "nnx_lstm_optimized": (nnx.OptimizedLSTMCell, {}),
}


def _parts(name, x):
    """Flax's carry (c, h), or h, of the flat state [h, c]."""
    return (x[UNITS:], x[:UNITS]) if "lstm" in name else x


def _flat(carry):
    return jnp.concatenate(carry[::-1]) if isinstance(carry, tuple) else carry


def _step(name, params, dtype):
    """One step of the flat state with these weights; without them, the names and shapes of the weights."""
    cls, options = CELLS[name]
    options = options | {"dtype": dtype, "param_dtype": dtype}
    if cls.__module__.startswith("flax.linen"):
        cell = cls(UNITS, **options)
        if params is None:
            carry = _parts(name, jnp.zeros(2 * UNITS if "lstm" in name else UNITS, dtype))
            return cell.init(jax.random.key(0), carry, jnp.zeros(INPUTS, dtype))["params"]
        tree = jax.tree.map(lambda w: jnp.asarray(w, dtype), params)
        return lambda x, u: _flat(cell.apply({"params": tree}, _parts(name, x), u)[0])
    cell = cls(INPUTS, UNITS, rngs=nnx.Rngs(0), **options)
    if params is None:
        return nnx.to_pure_dict(nnx.state(cell, nnx.Param))
    state = nnx.state(cell, nnx.Param)
    nnx.replace_by_pure_dict(state, jax.tree.map(lambda w: jnp.asarray(w, dtype), params))
    nnx.update(cell, state)
    return lambda x, u: _flat(cell(_parts(name, x), u)[0])


def _run(name, params, dtype, x0, inputs):
    step = _step(name, params, dtype)

    def body(x, u):
        x = step(x, u)
        return x, x

    return jax.lax.scan(body, jnp.asarray(x0, dtype), jnp.asarray(inputs, dtype))[1]


def main() -> None:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(STEPS, INPUTS)).astype(np.float32)
    found = {"inputs": inputs}
    for name in CELLS:
        shapes = _step(name, None, jnp.float32)
        params = jax.tree.map(lambda w: (random.normal(size=w.shape) * 0.7).astype(np.float32), shapes)
        if name == "nnx_simple":  # units that stay on: their Jacobian would be zero otherwise
            params = jax.tree.map(lambda w: np.abs(w) / 3 if w.ndim == 2 else w + 3, params)
        x0 = (random.normal(size=2 * UNITS if "lstm" in name else UNITS) / 2).astype(np.float32)
        found |= {f"{name}/params/{n}/{k}": w for n, layer in params.items() for k, w in layer.items()}
        found[f"{name}/x0"] = x0
        states = jax.jit(lambda x, name=name, params=params: _run(name, params, jnp.float32, x, inputs))(x0)
        found[f"{name}/outputs"] = np.asarray(states[:, :UNITS])

        def last(x, name=name, params=params):
            return _run(name, params, jnp.float64, x, inputs.astype(float))[-1]

        found[f"{name}/last"] = np.asarray(last(x0.astype(float)))
        found[f"{name}/jacobian"] = np.asarray(jax.jacobian(last)(x0.astype(float)))
    np.savez_compressed(Path(__file__).with_name("flax.npz"), **found)


if __name__ == "__main__":
    main()
