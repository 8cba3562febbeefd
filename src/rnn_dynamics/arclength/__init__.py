"""Curves of solutions of m equations in m + 1 unknowns, and Newton's method for them."""

from rnn_dynamics.arclength.following import Curve, CurveStart, StepLimits, trace
from rnn_dynamics.arclength.newton import (
    Correction,
    correct,
    inverse_row,
    solve_square,
    solved,
    value_and_jacobian,
)

__all__ = [
    "Correction",
    "Curve",
    "CurveStart",
    "StepLimits",
    "correct",
    "inverse_row",
    "solve_square",
    "solved",
    "trace",
    "value_and_jacobian",
]
