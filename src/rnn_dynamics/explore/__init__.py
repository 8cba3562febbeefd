"""Explorers: one neuron and the loss cliff in a browser; gradients, a verdict and attractors in a notebook."""

from rnn_dynamics.explore.attractors import attractors
from rnn_dynamics.explore.gradients import gradients
from rnn_dynamics.explore.loss_cliff import cliff
from rnn_dynamics.explore.network import network
from rnn_dynamics.explore.one_neuron import neuron
from rnn_dynamics.explore.page import cliff_page, page

__all__ = ["attractors", "cliff", "cliff_page", "gradients", "network", "neuron", "page"]
