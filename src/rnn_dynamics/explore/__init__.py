"""Explorers to be played with in a notebook or a browser: one neuron, and the loss cliff."""

from rnn_dynamics.explore.loss_cliff import cliff
from rnn_dynamics.explore.one_neuron import neuron
from rnn_dynamics.explore.page import cliff_page, page

__all__ = ["cliff", "cliff_page", "neuron", "page"]
