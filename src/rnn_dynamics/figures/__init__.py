"""The published figures, each a function from result to picture and to rows of the report.

``FIGURES[name].make(quick=…)`` gives a ``Reproduction``; the command ``rnn-dynamics reproduce`` draws them all.
The numbers are those of float64: switch it on before (``jax.config.update("jax_enable_x64", True)``).
"""

from rnn_dynamics.figures.registry import FIGURES, Entry, Reproduction, select
from rnn_dynamics.figures.report import ReportRow

__all__ = ["FIGURES", "Entry", "ReportRow", "Reproduction", "select"]
