"""The loss cliff: one neuron's in closed form, with walls and descent; any map's along lines and planes."""

from rnn_dynamics.cliff.along import LossAlong, along
from rnn_dynamics.cliff.descent import Descent, descend
from rnn_dynamics.cliff.jumps import Jump
from rnn_dynamics.cliff.limits import LimitLoss, Wall, limit_loss, wall
from rnn_dynamics.cliff.loss import Loss, loss
from rnn_dynamics.cliff.surfaces import Profile, Surface, profile, surface

__all__ = [
    "Descent",
    "Jump",
    "LimitLoss",
    "Loss",
    "LossAlong",
    "Profile",
    "Surface",
    "Wall",
    "along",
    "descend",
    "limit_loss",
    "loss",
    "profile",
    "surface",
    "wall",
]
