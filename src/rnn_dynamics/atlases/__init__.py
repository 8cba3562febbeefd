"""Grids with a name, ready to run for minutes or days: one call computes, others read or draw what is there."""

from rnn_dynamics.atlases.atlas import Atlas
from rnn_dynamics.atlases.making import draw, make, read
from rnn_dynamics.atlases.registry import ATLASES

__all__ = ["ATLASES", "Atlas", "draw", "make", "read"]
