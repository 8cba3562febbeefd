"""Explorers to be played with in a notebook or a browser: a neuron, gradients, a verdict, attractors."""

from rnn_dynamics.explore.attractors import attractors
from rnn_dynamics.explore.gradients import gradients
from rnn_dynamics.explore.network import network
from rnn_dynamics.explore.page import page
from rnn_dynamics.explore.widget import neuron

__all__ = ["attractors", "gradients", "network", "neuron", "page"]
