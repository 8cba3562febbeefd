"""Results of long training, kept in ``figures/data``; ``rnn-dynamics retrain NAME`` makes each anew."""

import contextlib
import dataclasses
import importlib
import importlib.resources
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rnn_dynamics.numerics import storage


@dataclasses.dataclass(frozen=True)
class StoredResult:
    """One stored result.

    Attributes:
        name: of its file and on the command line.
        title: what it holds.
        module: the module of ``figures`` whose ``retrain`` makes it.
        x64: whether it is computed in float64.
        resumes: whether its runs leave checkpoints, from which a stopped command goes on.
        has_full: whether ``full=True`` asks for the published lengths and numbers of runs.
    """

    name: str
    title: str
    module: str
    x64: bool = False
    resumes: bool = False
    has_full: bool = False

    def retrain(self, out: Path, folder: Path, *, full: bool = False) -> None:
        """Train all runs anew and write them.

        Args:
            out: the ``.npz`` file to write.
            folder: for checkpoints, where the result ``resumes``.
            full: the published lengths and numbers of runs.

        Raises:
            ValueError: ``full`` where there is no more than what is stored.
        """
        if full and not self.has_full:
            raise ValueError(f"full: {self.name} has no longer form")
        module = importlib.import_module(f"rnn_dynamics.figures.{self.module}")
        given = (out, folder) if self.resumes else (out,)
        module.retrain(*given, **({"full": True} if full else {}))


_RESULTS = (
    StoredResult(
        "along_training", "what runs of temporal order meet along training", "training.along_runs", True
    ),
    StoredResult("depth", "deep networks before and after training", "training.depth", True),
    StoredResult("flip_flop", "a network trained to hold three bits", "dynamics.flip_flop", True),
    StoredResult("latch", "runs that learn to latch one bit", "training.latch"),
    StoredResult("remedies", "every remedy on temporal order", "training.remedies", resumes=True),
    StoredResult(
        "success",
        "temporal order by length, with clipping and Ω",
        "training.success",
        resumes=True,
        has_full=True,
    ),
    StoredResult(
        "temporal_order", "gated and plain cells trained on temporal order", "gradients.temporal_order"
    ),
    StoredResult("unfolding", "networks trained to a lag of 100", "training.unfolding"),
)
STORED: dict[str, StoredResult] = {each.name: each for each in _RESULTS}


@contextlib.contextmanager
def path(name: str) -> Iterator[Path]:
    """The file of a stored result, as long as the context lasts."""
    place = importlib.resources.files("rnn_dynamics.figures") / "data" / f"{STORED[name].name}.npz"
    with importlib.resources.as_file(place) as found:
        yield found


def read(name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and metadata of a stored result."""
    with path(name) as found:
        return storage.load(found)


def array_name(text: str) -> str:
    """A name for an array: what is no letter, digit or point becomes ``_``."""
    return re.sub(r"[^\w.]+", "_", text)


def write(out: Path, name: str, arrays: Mapping[str, Any], **about: Any) -> None:
    """Write a result as it is stored, with the command that makes it.

    Raises:
        OSError: the file cannot be written.
    """
    storage.save(out, arrays, {"command": f"rnn-dynamics retrain {STORED[name].name}", **about})
