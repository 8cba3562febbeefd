"""PyTorch's layers and cells: kinds, depth, bias, projections, normed weights, float32 and float64."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from rnn_dynamics.interop import Cause, from_torch
from tests.peers.rows import INPUTS, UNITS, Row

LAYERS = {
    "RNN": ({}, {"nonlinearity": "relu"}, {"bias": False}, {"num_layers": 2}),
    "GRU": ({}, {"bias": False}, {"num_layers": 3}),
    "LSTM": ({}, {"bias": False}, {"num_layers": 2}, {"proj_size": 2}, {"proj_size": 2, "num_layers": 2}),
}


def rows() -> Iterator[Row]:
    torch.manual_seed(0)
    for kind, options in LAYERS.items():
        for option in options:
            yield layer(getattr(torch.nn, kind)(INPUTS, UNITS, **option).double(), kind, option)
        yield layer(getattr(torch.nn, kind)(INPUTS, UNITS), kind, {}, "float32")
        made = getattr(torch.nn, f"{kind}Cell")(INPUTS, UNITS).double()
        yield row(made, f"{kind}Cell", "", "float64", cell_steps(made), [(UNITS,) * (1 + (kind == "LSTM"))])
    normed = torch.nn.utils.parametrizations.weight_norm(
        torch.nn.LSTM(INPUTS, UNITS).double(), "weight_hh_l0"
    )
    yield layer(normed, "LSTM", {"weight_norm": "weight_hh_l0"})
    yield from both_ways()
    held = Held(torch.nn.GRU(INPUTS, UNITS, batch_first=True).double())
    cell, because = from_torch(held.inner), "a hook clamps the gradient of h at every step"
    yield Row(
        "GRU",
        "a hook that clamps",
        cell,
        None,
        None,
        "float64",
        held,
        {"cell": cell},
        expected=Cause.CLIPPED,
        because=because,
    )


def layer(module: Any, kind: str, option: dict, dtype: str = "float64") -> Row:
    sizes = [(module.proj_size or UNITS, UNITS)[: 1 + (kind == "LSTM")]] * module.num_layers

    def steps(states: list, u: Any) -> tuple[Any, list]:
        joined = [torch.stack(part)[:, None] for part in zip(*states, strict=True)]
        _, found = module(u[None, None], joined[0] if len(joined) == 1 else tuple(joined))
        parts = found if isinstance(found, tuple) else (found,)
        return None, [tuple(part[i, 0] for part in parts) for i in range(len(states))]

    words = ", ".join(f"{key}={value}" for key, value in option.items())
    return row(module, kind, words, dtype, steps, sizes)


def cell_steps(module: Any) -> Callable[[list, Any], tuple[Any, list]]:
    def steps(states: list, u: Any) -> tuple[Any, list]:
        given = tuple(part[None] for part in states[0])
        found = module(u[None], given if len(given) > 1 else given[0])
        parts = found if isinstance(found, tuple) else (found,)
        return None, [tuple(part[0] for part in parts)]

    return steps


def row(module: Any, kind: str, words: str, dtype: str, steps: Any, sizes: list) -> Row:
    """Sizes: of each layer's parts of the state, in the library's order."""

    def run(x0: Any, inputs: Any) -> Any:
        flat = iter(torch.split(x0, [size for parts in sizes for size in parts]))
        states, found = [tuple(next(flat) for _ in parts) for parts in sizes], []
        for u in inputs:
            _, states = steps(states, u)
            found.append(torch.cat([part for parts in states for part in parts]))
        return torch.stack(found)

    def jacobian(x0: np.ndarray, inputs: np.ndarray) -> Any:
        fixed = torch.tensor(inputs)
        return torch.autograd.functional.jacobian(lambda x: run(x, fixed)[-1], torch.tensor(x0))

    def states(x0: np.ndarray, inputs: np.ndarray) -> Any:
        return run(torch.tensor(x0), torch.tensor(inputs)).detach()

    return Row(kind, words, from_torch(module), states, jacobian, dtype, module)


def both_ways() -> Iterator[Row]:
    """Networks without a step map, and models whose outputs are a readout's, with time before the batch."""
    for kind, option in (("GRU", {}), ("GRU", {"num_layers": 2}), ("LSTM", {"num_layers": 2}), ("RNN", {})):
        module = getattr(torch.nn, kind)(INPUTS, UNITS, bidirectional=True, **option).double()
        words = ", ".join(["bidirectional", *(f"{key}={value}" for key, value in option.items())])
        yield Row(kind, words, from_torch(module), None, None, "float64", module)
    model = Read(torch.nn.GRU(INPUTS, UNITS, num_layers=2, bidirectional=True)).double()
    W, b = (each.detach().numpy() for each in (model.head.weight, model.head.bias))
    chosen = {"prefix": "inner.", "readout": lambda y: W @ y + b}
    yield Row("GRU", "bidirectional, with a readout, time first", None, None, None, "float64", model, chosen)


class Read(torch.nn.Module):
    """A network with a readout, as users have it."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner, self.head = inner, torch.nn.Linear(2 * inner.hidden_size, 2)

    def forward(self, x: Any) -> Any:
        return self.head(self.inner(x)[0])


class Held(torch.nn.Module):
    """A network whose author clamps the gradient at every step, as recipes against explosion say."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Any) -> Any:
        h, found = None, []
        for t in range(x.shape[1]):
            y, h = self.inner(x[:, t : t + 1], h)
            if h.requires_grad:
                h.register_hook(lambda g: g.clamp(-0.02, 0.02))
            found.append(y)
        return torch.cat(found, dim=1)
