"""Recurrent maps ``cell(x, u) -> x_next`` as callable pytrees, and the weights they start from."""

from rnn_dynamics.cells import initializers
from rnn_dynamics.cells.initializers import random_rnn
from rnn_dynamics.cells.neurons import DoyaNeuron, PascanuNeuron
from rnn_dynamics.cells.piecewise import PiecewiseLinearRNN, ShallowPiecewiseLinearRNN
from rnn_dynamics.cells.structure import RecurrentStructure
from rnn_dynamics.cells.vanilla import ElmanRNN, LeakyRNN, PreActivationRNN

__all__ = [
    "DoyaNeuron",
    "ElmanRNN",
    "LeakyRNN",
    "PascanuNeuron",
    "PiecewiseLinearRNN",
    "PreActivationRNN",
    "RecurrentStructure",
    "ShallowPiecewiseLinearRNN",
    "initializers",
    "random_rnn",
]
