"""Where gradients go in recurrent networks, and why."""

from rnn_dynamics._version import __version__

__all__ = ["__version__"]
