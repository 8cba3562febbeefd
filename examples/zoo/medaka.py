"""Which base stands here? The GRUs of medaka, in both directions, along a pile of nanopore reads.

Each step is a column of the pile: ten numbers, the shares of reads that have A, C, G or T there or nothing, on
either strand. Two layers of GRUs of 128 units read the pile from both ends, and a dense layer says which base it
is, or none. The archive is read as data; the GRU and the dense layer of PyTorch, which the package takes, are the
judge.
"""

import tarfile
import tempfile
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from examples.zoo import both
from examples.zoo.common import About, Agreement, Files, arrays_of, largest, times
from jax.tree_util import Partial

import rnn_dynamics as rd

ABOUT = About(
    "medaka",
    "medaka: bases from nanopore reads",
    "medaka",
    "2.2.2",
    "Oxford Nanopore Technologies PLC. Public License 1.0 (research)",
    ("pip install --no-deps medaka==2.2.2",),
    "GRU 2 × 128 in both directions, dense → 5",
    1.0,
    "base",
)
_ARCHIVE = "medaka/data/r1041_e82_400bps_sup_v5.2.0_model_pt.tar.gz"
_BASES, _READS = 1200, 12
_SYMBOLS = "*ACGT"  # what the dense layer tells apart


def pile(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Columns of a pile of reads along a made genome, and the symbol that is true of each.

    Reads err by themselves in 4 of 100 bases; in runs of one base they leave out one more often the longer it is.
    A column in ten is one that some reads put in between. Inputs have the shape (columns, 10): a c g t of one
    strand, A C G T of the other, then what is left out of either, divided by the number of reads.
    """
    rng = np.random.default_rng(seed)
    genome: list[int] = []
    while len(genome) < _BASES:
        genome += [int(rng.integers(4))] * int(rng.choice([1, 2, 3, 4, 5, 6, 7], p=_RUNS))
    counts, truth = [], []
    for place, base in enumerate(genome):
        run = _run_at(genome, place)
        column = np.zeros(10)
        for read in range(_READS):
            strand = read % 2
            if rng.random() < 0.02 + 0.07 * max(0, run - 2):
                column[8 + strand] += 1
            else:
                said = base if rng.random() > 0.04 else int(rng.integers(4))
                column[4 * strand + said] += 1
        counts.append(column)
        truth.append(base + 1)
        if rng.random() < 0.1:
            between = np.zeros(10)
            for read in rng.integers(0, _READS, size=int(rng.integers(1, 3))):
                between[4 * (read % 2) + int(rng.integers(4))] += 1
            counts.append(between)
            truth.append(0)
    return (np.array(counts) / _READS).astype(np.float32).astype(float), np.array(truth)


_RUNS = np.array([0.62, 0.2, 0.09, 0.05, 0.02, 0.01, 0.01])


def _run_at(genome: list[int], place: int) -> int:
    """How many equal bases stand in a row around a place."""
    first, last = place, place
    while first and genome[first - 1] == genome[place]:
        first -= 1
    while last + 1 < len(genome) and genome[last + 1] == genome[place]:
        last += 1
    return last - first + 1


def study(files: Files) -> both.Study:
    """Read, pile up reads, compare with PyTorch, and count the bases that are right."""
    (archive,) = files.find(ABOUT, _ARCHIVE)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pt"
        with tarfile.open(archive) as packed:
            stored = packed.extractfile("model/weights.pt")
            if stored is None:
                raise SystemExit(f"{archive}: expected model/weights.pt in it")
            path.write_bytes(stored.read())
        arrays = arrays_of(path)
    network: Any = rd.interop.from_torch(arrays, prefix="gru.")
    inputs, truth = pile()
    run = network.run(inputs)
    w, b = arrays["linear.weight"], arrays["linear.bias"]
    logits = np.asarray(run.outputs) @ w.T + b
    told = logits.argmax(axis=1)
    most = inputs[:, :4] + inputs[:, 4:8]
    vote = np.where(most.max(axis=1) > 0.5, most.argmax(axis=1) + 1, 0)
    return both.Study(
        run,
        Partial(_logit, jnp.asarray(w[1] - w[2:].mean(axis=0))),
        "the logit of A against C, G and T",
        f"a pile of {_READS} made reads along {_BASES} bases",
        compared(arrays, run, logits),
        {
            "columns that are right": float((told == truth).mean()),
            "by the vote of the reads": float((vote == truth).mean()),
        },
    )


def _logit(w: Any, y: Any) -> Any:
    return times(y, w)


def compared(arrays: dict[str, np.ndarray], run: Any, logits: np.ndarray) -> Agreement:
    """The two layers and the dense one in PyTorch, else the arithmetic of the GRUs in NumPy."""
    try:
        import torch
    except ImportError:
        found = both.compared(run, both.gru_layers(run.network, run.inputs))
        return Agreement("the same arithmetic in NumPy", False, found[0], None, found[1])
    u, layers = torch.tensor(np.array(run.inputs)), []
    with torch.no_grad():
        for number in (0, 1):
            layer = torch.nn.GRU(u.shape[1], 128, bidirectional=True, dtype=torch.float64)
            given = {
                name.removeprefix("gru.").replace(f"_l{number}", "_l0"): torch.tensor(value)
                for name, value in arrays.items()
                if f"_l{number}" in name
            }
            layer.load_state_dict(given)
            u = layer(u)[0]
            layers.append(u.numpy())
        dense = torch.nn.functional.linear(
            u, *(torch.tensor(arrays[f"linear.{name}"]) for name in ("weight", "bias"))
        )
    states, steps = both.compared(run, layers)
    version = torch.__version__.partition("+")[0]
    against = f"GRU and Linear of PyTorch {version}, which the package takes, in double precision"
    return Agreement(against, True, states, largest(logits, dense.numpy()), steps)
