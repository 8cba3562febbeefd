"""What every result can do: be kept in a file, become an xarray dataset, a table in a notebook, a picture.

A result is a dataclass (or NamedTuple) with ``Result`` among its bases. Its fields are read from the class, so
that a new field is kept, tabulated and exported without another line.
"""

from rnn_dynamics.numerics.results.base import Result, load
from rnn_dynamics.numerics.results.missing import NotKept, NotKeptError
from rnn_dynamics.numerics.results.page import Table

__all__ = ["NotKept", "NotKeptError", "Result", "Table", "load"]
