"""Spiking cells of snnTorch and norse: of each the map, and the same values with the surrogate derivative."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import norse.torch
import numpy as np
import snntorch
import torch
from norse.torch.functional.lif import LIFFeedForwardState, LIFState
from norse.torch.functional.lsnn import LSNNState

from rnn_dynamics.interop import Cause, from_norse, from_snntorch
from tests.peers.rows import INPUTS, UNITS, Row

_DRIVE = 4.0  # of norse's neurons, which are driven by fewer and larger inputs
#: Parts of the state, of those the one that is put out, and what is passed to the importer.
NORSE = {
    "LIFCell": (LIFFeedForwardState, 0),
    "LIFRecurrentCell": (LIFState, 1),
    "LSNNRecurrentCell": (LSNNState, 1),
}
SNNTORCH = (
    ("Leaky", {}, 0),
    ("Leaky", {"reset_mechanism": "zero"}, 0),
    ("Synaptic", {"alpha": 0.8}, 1),
    ("RLeaky", {"linear_features": INPUTS}, 1),
)


def rows() -> Iterator[Row]:
    torch.manual_seed(0)
    for kind, option, part in SNNTORCH:
        module = getattr(snntorch, kind)(beta=0.9, **option)
        words = ", ".join(f"{key}={value}" for key, value in option.items())
        exact = kind in ("Leaky", "Synaptic")  # the reset is detached: through it goes no surrogate
        cells = [from_snntorch(module, units=INPUTS, surrogate=surrogate) for surrogate in (False, True)]
        yield from pair(f"snntorch {kind}", words, cells, of_snntorch(module, kind), INPUTS, part, exact)
    for kind, (state, part) in NORSE.items():
        recurrent = "Recurrent" in kind
        units = UNITS if recurrent else INPUTS
        module = getattr(norse.torch, kind)(*((INPUTS, UNITS) if recurrent else ()))
        options = {} if recurrent else {"units": INPUTS}
        cells = [from_norse(module, surrogate=surrogate, **options) for surrogate in (False, True)]
        cells = [jax.tree_util.Partial(driven, cell) for cell in cells]
        yield from pair(f"norse {kind}", "", cells, of_norse(module, state), units, part, False)


def driven(cell: Any, x: Any, u: Any) -> Any:
    return cell(x, _DRIVE * u)


def of_snntorch(module: Any, kind: str) -> Callable[[Any, Any], Any]:
    def step(parts: Any, u: Any) -> Any:
        return module(u[None], *parts)[0 if kind[0] == "R" else 1 :]

    return step


def of_norse(module: Any, state: Any) -> Callable[[Any, Any], Any]:
    return lambda parts, u: module(_DRIVE * u[None], state(*parts))[1]


def pair(kind: str, words: str, cells: list, step: Any, units: int, part: int, exact: bool) -> Iterator[Row]:
    """The map's row, and the surrogate's, which autograd must be to rounding."""
    size = _size(step, units)

    def run(x: Any, inputs: Any) -> Any:
        found = []
        for u in inputs:
            x = torch.cat([one[0] for one in step(tuple(p[None] for p in x.split(units)), u)])
            found.append(x)
        return torch.stack(found)

    def states(x0: np.ndarray, inputs: np.ndarray) -> Any:
        return run(torch.tensor(x0), torch.tensor(inputs)).detach()

    def jacobian(x0: np.ndarray, inputs: np.ndarray) -> Any:
        fixed = torch.tensor(inputs)
        return torch.autograd.functional.jacobian(lambda x: run(x, fixed)[-1], torch.tensor(x0))

    def potential(inputs: Any) -> Any:
        return run(torch.zeros(size), inputs)[:, part * units : (part + 1) * units]

    options = {"framework": "torch", "x0": np.zeros(size)}
    options["readout"] = lambda x: x[part * units : (part + 1) * units]
    cause = Cause.AGREES if exact else Cause.SURROGATE
    for cell, more, expected in zip(
        cells, ("", "beside the surrogate's cell"), (cause, Cause.AGREES), strict=True
    ):
        said = [word for word in (words, more) if word]
        yield Row(
            kind,
            ", ".join(said),
            cell,
            states,
            jacobian if more or exact else None,
            "float32",
            potential,
            options | {"cell": cell},
            expected=expected,
            size=size,
        )


def _size(step: Any, units: int) -> int:
    """Entries of the state: the number of parts with which a step runs."""
    for count in (1, 2, 3, 4):
        try:
            if len(step(tuple(torch.zeros(1, units) for _ in range(count)), torch.zeros(INPUTS))) == count:
                return count * units
        except (TypeError, ValueError):
            continue
    raise ValueError("no number of parts fits")
