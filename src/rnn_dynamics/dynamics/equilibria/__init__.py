"""Fixed points and cycles of a recurrent map, with multipliers, stability and slow points."""

from rnn_dynamics.dynamics.equilibria.ends import MissingAttractorWarning, OrbitEnd, OrbitEnds
from rnn_dynamics.dynamics.equilibria.neuron import all_fixed_points
from rnn_dynamics.dynamics.equilibria.piecewise import piecewise_linear_cycles
from rnn_dynamics.dynamics.equilibria.results import Eigenvectors, FixedPoints, SlowPoints
from rnn_dynamics.dynamics.equilibria.scale import SmallStateWarning
from rnn_dynamics.dynamics.equilibria.search import fixed_points
from rnn_dynamics.dynamics.equilibria.starts import starts_from

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
