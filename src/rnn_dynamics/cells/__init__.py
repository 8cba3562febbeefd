"""Recurrent maps ``cell(x, u) -> x_next`` as callable pytrees, and the weights they start from."""

from rnn_dynamics.cells import initializers
from rnn_dynamics.cells.feedforward import (
    BatchNormalized,
    FeedForward,
    LayerNormalized,
    ResidualBlock,
    deep_parameters,
)
from rnn_dynamics.cells.gated import GRU, LSTM, LSTM1997, MinimalGatedUnit, MinimalRNN
from rnn_dynamics.cells.initializers import random_rnn
from rnn_dynamics.cells.neurons import DoyaNeuron, PascanuNeuron
from rnn_dynamics.cells.normalized import BatchNormRNN, LayerNormRNN, PReLURNN
from rnn_dynamics.cells.past import AttentionRNN, SkipRNN
from rnn_dynamics.cells.piecewise import PiecewiseLinearRNN, ShallowPiecewiseLinearRNN
from rnn_dynamics.cells.residual import AntisymmetricRNN, ResidualRNN, irnn
from rnn_dynamics.cells.stack import Stack
from rnn_dynamics.cells.structure import RecurrentStructure
from rnn_dynamics.cells.vanilla import ElmanRNN, LeakyRNN, PreActivationRNN

__all__ = [
    "GRU",
    "LSTM",
    "LSTM1997",
    "AntisymmetricRNN",
    "AttentionRNN",
    "BatchNormRNN",
    "BatchNormalized",
    "DoyaNeuron",
    "ElmanRNN",
    "FeedForward",
    "LayerNormRNN",
    "LayerNormalized",
    "LeakyRNN",
    "MinimalGatedUnit",
    "MinimalRNN",
    "PReLURNN",
    "PascanuNeuron",
    "PiecewiseLinearRNN",
    "PreActivationRNN",
    "RecurrentStructure",
    "ResidualBlock",
    "ResidualRNN",
    "ShallowPiecewiseLinearRNN",
    "SkipRNN",
    "Stack",
    "deep_parameters",
    "initializers",
    "irnn",
    "random_rnn",
]
