"""One neuron, x ← (1 − ε) x + ε σ(w x + b): equilibria, bifurcations and basins in closed or certain form."""

from rnn_dynamics.doya.basins import Basin, basin_label, undecided_share
from rnn_dynamics.doya.bifurcations import Flips, Folds, cusp, flips, fold_window, folds, multiplier, wall
from rnn_dynamics.doya.cycles import TwoCycle, two_cycle
from rnn_dynamics.doya.diagram import BifurcationDiagram, NeuronBranch, SpecialPoint, bifurcation_diagram
from rnn_dynamics.doya.equilibria import Equilibria, equilibria
from rnn_dynamics.doya.finite import FiniteRatios, finite_ratios
from rnn_dynamics.doya.flow import Flow, flow
from rnn_dynamics.doya.sensitivities import sensitivities

__all__ = [
    "Basin",
    "BifurcationDiagram",
    "Equilibria",
    "FiniteRatios",
    "Flips",
    "Flow",
    "Folds",
    "NeuronBranch",
    "SpecialPoint",
    "TwoCycle",
    "basin_label",
    "bifurcation_diagram",
    "cusp",
    "equilibria",
    "finite_ratios",
    "flips",
    "flow",
    "fold_window",
    "folds",
    "multiplier",
    "sensitivities",
    "two_cycle",
    "undecided_share",
    "wall",
]
