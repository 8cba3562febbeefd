"""What a network is trained with: initial weights, cells, optimizers, penalties and other remedies, composed."""

from rnn_dynamics.training.recipes.recipe import Recipe, initial_network

__all__ = ["Recipe", "initial_network"]
