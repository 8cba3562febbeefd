"""Basins of attraction of any recurrent map: attractors found, every start labelled, boundaries measured.

Labels come from trapping balls about stable cycles, never from a state that stopped moving; what a run was too
short for is UNDECIDED, what left the finite numbers DIVERGED.
"""

from rnn_dynamics.dynamics.basins.attractors import Attractors
from rnn_dynamics.dynamics.basins.boundaries import UncertaintyExponent, entropies, uncertainty_exponent
from rnn_dynamics.dynamics.basins.continuation import FractionsAlong, fractions_along
from rnn_dynamics.dynamics.basins.edge import EdgeState, edge_state
from rnn_dynamics.dynamics.basins.kinds import AttractorKind, Trapping
from rnn_dynamics.dynamics.basins.labelling import DIVERGED, UNDECIDED
from rnn_dynamics.dynamics.basins.labels import BasinLabels, Fractions, basins
from rnn_dynamics.dynamics.basins.search import find_attractors

__all__ = [
    "DIVERGED",
    "UNDECIDED",
    "AttractorKind",
    "Attractors",
    "BasinLabels",
    "EdgeState",
    "Fractions",
    "FractionsAlong",
    "Trapping",
    "UncertaintyExponent",
    "basins",
    "edge_state",
    "entropies",
    "find_attractors",
    "fractions_along",
    "uncertainty_exponent",
]
