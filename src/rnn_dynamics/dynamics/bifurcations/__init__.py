"""Bifurcations of maps, at |multiplier| = 1: where they are, to rounding, and what is born there."""

from rnn_dynamics.dynamics.bifurcations.curves import bifurcation_curve
from rnn_dynamics.dynamics.bifurcations.locate import bifurcation_parameter, locate
from rnn_dynamics.dynamics.bifurcations.points import BifurcationCurve, SpecialPoint

__all__ = ["BifurcationCurve", "SpecialPoint", "bifurcation_curve", "bifurcation_parameter", "locate"]
