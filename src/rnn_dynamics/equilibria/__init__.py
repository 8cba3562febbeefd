"""Fixed points and cycles of a recurrent map, with multipliers, stability and slow points."""

from rnn_dynamics.equilibria.results import Eigenvectors, FixedPoints, SlowPoints
from rnn_dynamics.equilibria.search import fixed_points

__all__ = ["Eigenvectors", "FixedPoints", "SlowPoints", "fixed_points"]
