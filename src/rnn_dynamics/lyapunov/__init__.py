"""Lyapunov exponents along a trajectory: spectra with their errors, covariant vectors, fields over grids."""

from rnn_dynamics.lyapunov.covariant import CovariantVectors, covariant_vectors
from rnn_dynamics.lyapunov.fields import FiniteTimeExponents, finite_time_exponents
from rnn_dynamics.lyapunov.results import LyapunovSpectrum
from rnn_dynamics.lyapunov.spectrum import lyapunov_spectrum

__all__ = [
    "CovariantVectors",
    "FiniteTimeExponents",
    "LyapunovSpectrum",
    "covariant_vectors",
    "finite_time_exponents",
    "lyapunov_spectrum",
]
