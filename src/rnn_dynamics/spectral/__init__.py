"""Is a spectral radius below one enough? Sweeps over radii, and the cases that answer no."""

from rnn_dynamics.spectral.cases import Counterexample, counterexamples, held
from rnn_dynamics.spectral.sweeps import RadiusSweep, radius_sweep

__all__ = ["Counterexample", "RadiusSweep", "counterexamples", "held", "radius_sweep"]
