"""Stable and unstable sets of saddles: the curves that orbits leave a saddle along, or reach it along."""

from rnn_dynamics.dynamics.manifolds.results import InvariantSet, Side
from rnn_dynamics.dynamics.manifolds.stable import stable_set
from rnn_dynamics.dynamics.manifolds.unstable import unstable_set

__all__ = ["InvariantSet", "Side", "stable_set", "unstable_set"]
