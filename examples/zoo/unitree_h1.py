"""Which way do the legs go? The LSTM that walks Unitree's humanoid H1, in its robot."""

from examples.zoo import unitree
from examples.zoo.common import Files, Study

ABOUT = unitree.about("unitree_h1", "Unitree H1", 41, 10)


def study(files: Files) -> Study:
    """Walk, compare, and take memory away."""
    return unitree.study(files, ABOUT, "h1", "h1")
