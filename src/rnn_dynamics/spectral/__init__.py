"""Is a spectral radius below one enough? Every bound on the gradient, and the cases that answer no."""

from rnn_dynamics.spectral.bounds import Bound, Bounds, product_bounds
from rnn_dynamics.spectral.counterexamples import Counterexample, counterexamples, held
from rnn_dynamics.spectral.diagonal_scaling import ScaledBounds, absolute_radius, scaled_bounds
from rnn_dynamics.spectral.joint_radius import JointRadius, joint_spectral_radius, slope_corners, slope_radius
from rnn_dynamics.spectral.mean_field import Edge, MeanField, edge_of_chaos, mean_field
from rnn_dynamics.spectral.nonnormal import (
    NonNormality,
    PowerNorms,
    Pseudospectrum,
    eigenvalue_conditions,
    non_normality,
    power_norms,
    pseudospectrum,
)
from rnn_dynamics.spectral.radius_sweep import RadiusSweep, radius_sweep
from rnn_dynamics.spectral.step_bounds import StepBounds, step_bounds

__all__ = [
    "Bound",
    "Bounds",
    "Counterexample",
    "Edge",
    "JointRadius",
    "MeanField",
    "NonNormality",
    "PowerNorms",
    "Pseudospectrum",
    "RadiusSweep",
    "ScaledBounds",
    "StepBounds",
    "absolute_radius",
    "counterexamples",
    "edge_of_chaos",
    "eigenvalue_conditions",
    "held",
    "joint_spectral_radius",
    "mean_field",
    "non_normality",
    "power_norms",
    "product_bounds",
    "pseudospectrum",
    "radius_sweep",
    "scaled_bounds",
    "slope_corners",
    "slope_radius",
    "step_bounds",
]
