"""Fixed points and cycles of a recurrent map, with multipliers, stability and slow points."""

from rnn_dynamics.equilibria.ends import MissingAttractorWarning, OrbitEnd, OrbitEnds
from rnn_dynamics.equilibria.neuron import all_fixed_points
from rnn_dynamics.equilibria.piecewise import piecewise_linear_cycles
from rnn_dynamics.equilibria.results import Eigenvectors, FixedPoints, SlowPoints
from rnn_dynamics.equilibria.scale import SmallStateWarning
from rnn_dynamics.equilibria.search import fixed_points
from rnn_dynamics.equilibria.starts import starts_from

__all__ = [
    "Eigenvectors",
    "FixedPoints",
    "MissingAttractorWarning",
    "OrbitEnd",
    "OrbitEnds",
    "SlowPoints",
    "SmallStateWarning",
    "all_fixed_points",
    "fixed_points",
    "piecewise_linear_cycles",
    "starts_from",
]
