"""Recurrent maps ``cell(x, u) -> x_next`` as callable pytrees, and the weights they start from."""

from rnn_dynamics.cells import initializers
from rnn_dynamics.cells.gated import GRU, LSTM, LSTM1997, MinimalGatedUnit, MinimalRNN
from rnn_dynamics.cells.initializers import random_rnn
from rnn_dynamics.cells.neurons import DoyaNeuron, PascanuNeuron
from rnn_dynamics.cells.piecewise import PiecewiseLinearRNN, ShallowPiecewiseLinearRNN
from rnn_dynamics.cells.residual import AntisymmetricRNN, ResidualRNN, SkipRNN, irnn
from rnn_dynamics.cells.stack import Stack
from rnn_dynamics.cells.structure import RecurrentStructure
from rnn_dynamics.cells.vanilla import ElmanRNN, LeakyRNN, PreActivationRNN

__all__ = [
    "GRU",
    "LSTM",
    "LSTM1997",
    "AntisymmetricRNN",
    "DoyaNeuron",
    "ElmanRNN",
    "LeakyRNN",
    "MinimalGatedUnit",
    "MinimalRNN",
    "PascanuNeuron",
    "PiecewiseLinearRNN",
    "PreActivationRNN",
    "RecurrentStructure",
    "ResidualRNN",
    "ShallowPiecewiseLinearRNN",
    "SkipRNN",
    "Stack",
    "initializers",
    "irnn",
    "random_rnn",
]
