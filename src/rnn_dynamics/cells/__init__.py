"""Recurrent maps ``cell(x, u) -> x_next`` as callable pytrees, the weights they start from, and their orbits."""

from rnn_dynamics.cells import activations, initializers
from rnn_dynamics.cells.activations import Activation
from rnn_dynamics.cells.bidirectional import Bidirectional, BidirectionalRun
from rnn_dynamics.cells.declared import Cell, Declaring, RecurrentStructure
from rnn_dynamics.cells.delayed import AttentionRNN, SkipRNN
from rnn_dynamics.cells.feedforward import (
    BatchNormalized,
    FeedForward,
    LayerNormalized,
    ResidualBlock,
    deep_parameters,
)
from rnn_dynamics.cells.gated import GRU, LSTM, LSTM1997, MinimalGatedUnit, MinimalRNN
from rnn_dynamics.cells.initializers import random_rnn
from rnn_dynamics.cells.legendre import LMU
from rnn_dynamics.cells.liquid import LTC, CfC, MixedMemory
from rnn_dynamics.cells.multiplicative import MultiplicativeLSTM
from rnn_dynamics.cells.neurons import DoyaNeuron, PascanuNeuron
from rnn_dynamics.cells.normalized import BatchNormRNN, LayerNormRNN, PReLURNN
from rnn_dynamics.cells.piecewise import PiecewiseLinearRNN, ShallowPiecewiseLinearRNN
from rnn_dynamics.cells.projected import ProjectedLSTM
from rnn_dynamics.cells.residual import AntisymmetricRNN, ResidualRNN, irnn
from rnn_dynamics.cells.rollout import Trajectories, Trajectory, rollout
from rnn_dynamics.cells.spiking import SpikingLeaky, SpikingLIF
from rnn_dynamics.cells.stack import Stack
from rnn_dynamics.cells.vanilla import ElmanRNN, LeakyRNN, PreActivationRNN

__all__ = [
    "GRU",
    "LMU",
    "LSTM",
    "LSTM1997",
    "LTC",
    "Activation",
    "AntisymmetricRNN",
    "AttentionRNN",
    "BatchNormRNN",
    "BatchNormalized",
    "Bidirectional",
    "BidirectionalRun",
    "Cell",
    "CfC",
    "Declaring",
    "DoyaNeuron",
    "ElmanRNN",
    "FeedForward",
    "LayerNormRNN",
    "LayerNormalized",
    "LeakyRNN",
    "MinimalGatedUnit",
    "MinimalRNN",
    "MixedMemory",
    "MultiplicativeLSTM",
    "PReLURNN",
    "PascanuNeuron",
    "PiecewiseLinearRNN",
    "PreActivationRNN",
    "ProjectedLSTM",
    "RecurrentStructure",
    "ResidualBlock",
    "ResidualRNN",
    "ShallowPiecewiseLinearRNN",
    "SkipRNN",
    "SpikingLIF",
    "SpikingLeaky",
    "Stack",
    "Trajectories",
    "Trajectory",
    "activations",
    "deep_parameters",
    "initializers",
    "irnn",
    "random_rnn",
    "rollout",
]
