"""Lyapunov exponents along a trajectory: spectra with their errors, covariant vectors, fields over grids."""

from rnn_dynamics.dynamics.lyapunov.covariant import CovariantVectors, covariant_vectors
from rnn_dynamics.dynamics.lyapunov.fields import FiniteTimeExponents, finite_time_exponents
from rnn_dynamics.dynamics.lyapunov.orbits import OrbitCheck, OrbitKind
from rnn_dynamics.dynamics.lyapunov.results import LyapunovSpectrum
from rnn_dynamics.dynamics.lyapunov.spectrum import lyapunov_spectrum
from rnn_dynamics.dynamics.lyapunov.typical import orbit_check

__all__ = [
    "CovariantVectors",
    "FiniteTimeExponents",
    "LyapunovSpectrum",
    "OrbitCheck",
    "OrbitKind",
    "covariant_vectors",
    "finite_time_exponents",
    "lyapunov_spectrum",
    "orbit_check",
]
