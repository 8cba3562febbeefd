"""Coordinates that are phases: lengths, shortest differences, the map on them, and seams that nobody declared."""

from rnn_dynamics.phases.coordinates import OnPhases, images, lengths_of, on_phases
from rnn_dynamics.phases.topology import (
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
    "seated",
    "wrapped",
    "wrapped_number",
]
