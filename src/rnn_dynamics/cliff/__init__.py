"""The loss cliff of one neuron: losses with exact gradients, their limit for T → ∞, the wall, and descent."""

from rnn_dynamics.cliff.descent import Descent, descend
from rnn_dynamics.cliff.limits import LimitLoss, Wall, limit_loss, wall
from rnn_dynamics.cliff.losses import Loss, loss
from rnn_dynamics.cliff.surfaces import Profile, Surface, profile, surface

__all__ = [
    "Descent",
    "LimitLoss",
    "Loss",
    "Profile",
    "Surface",
    "Wall",
    "descend",
    "limit_loss",
    "loss",
    "profile",
    "surface",
    "wall",
]
