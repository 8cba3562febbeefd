"""Write trees.tar.xz: states of nnx and parameters of Haiku in MessagePack, and what the cells compute.

python tests/files/make_trees.py    # needs flax, dm-haiku; made with 0.12.8, 0.0.17

Of each cell NAME.msgpack and NAME.npy, its outputs of shape (steps, units) at the inputs X.npy from the state 0.
"""

import io
import tarfile
from pathlib import Path

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx, serialization

UNITS, INPUTS, STEPS = 3, 2, 6
HERE = Path(__file__).parent
random = np.random.default_rng(0)
X = np.round(random.normal(size=(STEPS, INPUTS)) * 128).astype("float32") / 64
held: dict[str, bytes] = {}


def kept(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def rounded(tree):
    """The tree with numbers that take few bytes, its zeros filled."""
    return jax.tree.map(lambda a: np.round(random.normal(size=a.shape) * 45).astype("float32") / 64, tree)


def of_nnx(name, cell):
    state = nnx.split(cell, nnx.Param, ...)[1]
    tree = rounded(nnx.to_pure_dict(state))
    nnx.replace_by_pure_dict(state, tree)
    nnx.update(cell, state)
    carry = jax.tree.map(jnp.zeros_like, cell.initialize_carry((INPUTS,), nnx.Rngs(1)))
    found = []
    for u in X:
        carry, y = cell(carry, u)
        found.append(np.asarray(y))
    held[f"{name}.msgpack"], held[f"{name}.npy"] = (
        serialization.to_bytes({"model": tree}),
        kept(np.array(found)),
    )


def of_haiku(name, make):
    def run(inputs):
        core, found = make(), []
        state = core.initial_state(None)
        for u in inputs:
            y, state = core(u, state)
            found.append(y)
        return jnp.stack(found)

    transformed = hk.transform(run)
    tree = rounded(transformed.init(jax.random.PRNGKey(0), X))
    held[f"{name}.msgpack"] = serialization.to_bytes(tree)
    held[f"{name}.npy"] = kept(np.asarray(transformed.apply(tree, None, X)))


def main() -> None:
    rngs = nnx.Rngs(0)
    for cls in (nnx.SimpleCell, nnx.GRUCell, nnx.LSTMCell, nnx.OptimizedLSTMCell):
        of_nnx(f"nnx_{cls.__name__}", cls(INPUTS, UNITS, rngs=rngs))
    for cls in (hk.VanillaRNN, hk.GRU, hk.LSTM):
        of_haiku(f"haiku_{cls.__name__}", lambda cls=cls: cls(UNITS))
    with tarfile.open(HERE / "trees.tar.xz", "w:xz", preset=9) as archive:
        for name, content in (held | {"X.npy": kept(X)}).items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


if __name__ == "__main__":
    main()
