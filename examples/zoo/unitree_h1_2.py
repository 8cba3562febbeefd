"""Which way do the legs go? The LSTM that walks Unitree's humanoid H1-2, in its robot."""

from examples.zoo import unitree
from examples.zoo.common import Files, Study

ABOUT = unitree.about("unitree_h1_2", "Unitree H1-2", 47, 12)


def study(files: Files) -> Study:
    """Walk, compare, and take memory away."""
    return unitree.study(files, ABOUT, "h1_2", "h1_2")
