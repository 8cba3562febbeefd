"""Explorers to be played with in a notebook or a browser: one neuron, its bifurcations, orbits and gradients."""

from rnn_dynamics.explore.page import page
from rnn_dynamics.explore.widget import neuron

__all__ = ["neuron", "page"]
