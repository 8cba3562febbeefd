"""Reservoirs of reservoirpy, which has no derivatives: their states."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from reservoirpy.nodes import Reservoir

from rnn_dynamics.interop import from_reservoirpy
from tests.peers.rows import INPUTS, Row

UNITS = 6
OPTIONS = ({"lr": 0.3}, {"activation": "sigmoid", "bias": 0.25}, {"activation": "relu", "lr": 0.5})


def rows() -> Iterator[Row]:
    for option in OPTIONS:
        reservoir = Reservoir(UNITS, seed=3, rc_connectivity=0.5, **option)
        reservoir.run(np.zeros((1, INPUTS)))  # which makes the matrices

        def states(x0: np.ndarray, inputs: np.ndarray, reservoir: Any = reservoir) -> Any:
            reservoir.state = {"out": x0.copy()}
            return reservoir.run(inputs)

        words = ", ".join(f"{key}={value}" for key, value in option.items())
        cell = from_reservoirpy(reservoir)
        yield Row("Reservoir", words, cell, states, None, because="no derivatives of its own", size=UNITS)
