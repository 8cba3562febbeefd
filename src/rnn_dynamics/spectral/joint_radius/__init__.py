"""The joint spectral radius: how fast the worst product of matrices from a set can grow, as a certified interval.

``interval`` has what users call. ``search`` is branch and bound over products, ``polytopes`` proves that a product
is the worst, ``slopes`` bounds networks of many units, ``certificates`` bounds spectral radii with their rounding.
"""

from rnn_dynamics.spectral.joint_radius.interval import (
    JointRadius,
    joint_spectral_radius,
    slope_corners,
    slope_radius,
)

__all__ = ["JointRadius", "joint_spectral_radius", "slope_corners", "slope_radius"]
