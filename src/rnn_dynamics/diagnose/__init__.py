"""The verdict on a network, once or along its training."""

from rnn_dynamics.diagnose.tracking import Record, Tracker
from rnn_dynamics.diagnose.verdict import Decay, Diagnosis, Remedy, Units, diagnose

__all__ = ["Decay", "Diagnosis", "Record", "Remedy", "Tracker", "Units", "diagnose"]
