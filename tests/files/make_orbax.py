"""Write orbax.tar.xz: checkpoints as Orbax writes them, and what was saved.

python tests/files/make_orbax.py    # needs orbax-checkpoint 0.12.8, tensorstore 0.1.86, flax 0.12.8, optax 0.2.8

Folders: oc1z0 … by ``use_ocdbt`` and ``use_zarr3``, raw without compression, chunks_… cut by ``chunk_byte_size``,
processes by two processes of two devices each, steps and items by CheckpointManager, v1 by the newer ``save``,
train of a TrainState, nnx and haiku by their names, tree an OCDBT of small nodes and many versions, numbered one
with a manifest a version. expected.npz has the arrays of each by FOLDER/NAME; outputs.npy what linen's LSTM gives
at X.npy.
"""

import json
import os
import random
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import tensorstore
from flax import linen, nnx
from flax.training.train_state import TrainState
from jax.sharding import Mesh, NamedSharding, PartitionSpec

UNITS, INPUTS, STEPS = 3, 2, 6
HERE = Path(__file__).parent
LEFT_OUT = {"commit_success.txt", "_sharding", "array_metadatas"}
draws = np.random.default_rng(0)
expected: dict[str, np.ndarray] = {}


def rounded(*shape):
    """Numbers that take few bytes."""
    return np.round(draws.normal(size=shape) * 45).astype("float32") / 64


def lstm():
    cell = {
        f"{a}{g}": {"kernel": rounded(INPUTS if a == "i" else UNITS, UNITS)} for a in "ih" for g in "ifgo"
    }
    for gate in "ifgo":
        cell[f"h{gate}"]["bias"] = rounded(UNITS)
    return cell


SMALL = {
    "i": {"kernel": rounded(INPUTS, UNITS), "bias": rounded(UNITS)},
    "h": {"kernel": rounded(UNITS, UNITS)},
}
TREE = {
    "params": {"cell": lstm(), "head": [rounded(UNITS, 2), rounded(2)]},
    "step": 7,
    "rate": 0.25,
    "name": "a text",
    "half": rounded(4).astype("float16"),
    "brain": rounded(2, 3).astype("bfloat16"),
    "none": None,
    "empty": {},
}
CUT = {"a": rounded(6, 10), "w": {"b": rounded(5, 7).astype("bfloat16")}}


def kept(folder, tree):
    """Note what a folder has."""
    for keys, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if not isinstance(leaf, str):
            name = ".".join(
                str(getattr(key, "key", getattr(key, "idx", getattr(key, "name", "")))) for key in keys
            )
            array = np.asarray(leaf)
            is_brain = array.dtype.name == "bfloat16"
            expected[f"{folder}/{name.replace('/', '%')}"] = array.astype("float32") if is_brain else array


def saved(root, folder, tree, save_args=None, **options):
    handler = ocp.PyTreeCheckpointHandler(**options)
    ocp.Checkpointer(handler).save(root / folder, ocp.args.PyTreeSave(tree, save_args=save_args))
    kept(folder, tree)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for ocdbt in (0, 1):
            for zarr3 in (0, 1):
                options = {"use_ocdbt": bool(ocdbt), "use_zarr3": bool(zarr3)}
                params = TREE["params"] if ocdbt else {"cell": SMALL}
                saved(root, f"oc{ocdbt}z{zarr3}", TREE | {"params": params}, **options)
                cuts = jax.tree.map(lambda _: ocp.SaveArgs(chunk_byte_size=64), CUT)
                saved(root, f"chunks_oc{ocdbt}z{zarr3}", jax.tree.map(jnp.asarray, CUT), cuts, **options)
        saved(root, "raw", {"params": {"cell": SMALL}}, use_ocdbt=False, use_compression=False)
        saved(root, "haiku", {"lstm/linear": {"w": rounded(5, 12), "b": rounded(12)}}, use_ocdbt=False)
        _managed(root)
        _of_flax(root)
        _trees(root)
        _processes(root)
        with tarfile.open(HERE / "orbax.tar.xz", "w:xz", preset=9) as archive:
            for path in sorted(root.rglob("*")):
                if path.is_file() and not LEFT_OUT & set(path.parts):
                    archive.add(path, path.relative_to(root), filter=_plain)


def _plain(member):
    member.mtime = member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _managed(root):
    both = {"params": {"cell": SMALL}}
    with ocp.CheckpointManager(root / "steps") as manager:
        for step in (2, 12):
            tree = jax.tree.map(lambda a, step=step: a * np.float32(step), both)
            manager.save(step, args=ocp.args.StandardSave(tree))
            kept(f"steps/{step}", tree)
    with ocp.CheckpointManager(root / "items") as manager:
        manager.save(
            5,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(both),
                ema=ocp.args.PyTreeSave(both),
                told=ocp.args.JsonSave({"a": 1}),
            ),
        )
    kept("items", {"state": both, "ema": both})
    ocp.v1.save(root / "v1", both)
    kept("v1", both)


def _of_flax(root):
    model = linen.RNN(linen.LSTMCell(UNITS))
    X = rounded(STEPS, INPUTS)
    params = {"cell": TREE["params"]["cell"]}
    outputs = np.asarray(model.apply({"params": params}, X[None]))[0]
    np.save(root / "X.npy", X)
    np.save(root / "outputs.npy", outputs)
    params = {"cell": SMALL}
    state = TrainState.create(apply_fn=model.apply, params=params, tx=optax.adam(1e-3))
    with ocp.StandardCheckpointer() as saver:
        saver.save(root / "train", state)
    kept("train", {"params": params, "step": np.asarray(0)})
    cell = nnx.state(nnx.GRUCell(INPUTS, UNITS, rngs=nnx.Rngs(0)))
    cell = jax.tree.map(lambda a: jnp.asarray(rounded(*a.shape)), cell)
    with ocp.StandardCheckpointer() as saver:
        saver.save(root / "nnx", cell)
    kept("nnx", cell)


def _trees(root):
    dice = random.Random(0)
    settings = {
        "tree": {"max_decoded_node_bytes": 300, "max_inline_value_bytes": 8, "version_tree_arity_log2": 1},
        "numbered": {"manifest_kind": "numbered", "compression": None},
    }
    for name, config in settings.items():
        spec = {"driver": "ocdbt", "base": f"file://{root}/{name}/", "config": config}
        store, held = tensorstore.KvStore.open(spec).result(), {}
        for _ in range(3):
            with tensorstore.Transaction() as together:
                for _ in range(10):
                    key = (
                        "/".join(dice.choice(("a", "ab", "params", "cell")) for _ in range(3))
                        + str(dice.random())[2:6]
                    )
                    held[key] = dice.choice((b"", b"short", b"a value that is long"))
                    store.with_transaction(together)[key] = held[key]
            gone = dice.choice(sorted(held))
            del held[gone], store[gone]
        (root / f"{name}.json").write_text(json.dumps({key: value.decode() for key, value in held.items()}))


def _processes(root):
    runs = [subprocess.Popen([sys.executable, __file__, str(root), str(number)]) for number in (0, 1)]
    assert not any(run.wait() for run in runs)
    kept("processes", _shared())
    np.savez(root / "expected.npz", **expected)


def _shared():
    numbers = np.arange(96, dtype="float32") / 64
    far = np.random.default_rng(1).normal(size=(32, 40)).astype("float32")  # lies in files of either process
    return {
        "far": far,
        "over": numbers.reshape(8, 12),
        "along": numbers.reshape(12, 8)[:, :4],
        "each": numbers[:5],
    }


def _in_one_process(root: Path, number: int) -> None:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize("127.0.0.1:12367", 2, number)
    mesh = Mesh(np.array(jax.devices()), ("x",))
    cuts = {
        "far": PartitionSpec("x"),
        "over": PartitionSpec("x"),
        "along": PartitionSpec(None, "x"),
        "each": PartitionSpec(),
    }
    tree = {
        name: jax.make_array_from_callback(a.shape, NamedSharding(mesh, cuts[name]), lambda at, a=a: a[at])
        for name, a in _shared().items()
    }
    ocp.Checkpointer(ocp.PyTreeCheckpointHandler()).save(root / "processes", tree)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _in_one_process(Path(sys.argv[1]), int(sys.argv[2]))
    else:
        main()
