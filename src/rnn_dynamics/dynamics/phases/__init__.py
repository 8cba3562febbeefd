"""Coordinates that are phases: lengths, shortest differences, the map on them, and seams that nobody declared."""

from rnn_dynamics.dynamics.phases.coordinates import OnPhases, images, lengths_of, on_phases
from rnn_dynamics.dynamics.phases.seams import SeamWarning, seam_lengths, warn_of_seams
from rnn_dynamics.numerics.topology import (
    Lengths,
    apart,
    canonical,
    checked_topology,
    embedded,
    extents,
    largest_length,
    order_key,
    seated,
    wrapped,
    wrapped_number,
)

__all__ = [
    "Lengths",
    "OnPhases",
    "SeamWarning",
    "apart",
    "canonical",
    "checked_topology",
    "embedded",
    "extents",
    "images",
    "largest_length",
    "lengths_of",
    "on_phases",
    "order_key",
    "seam_lengths",
    "seated",
    "warn_of_seams",
    "wrapped",
    "wrapped_number",
]
