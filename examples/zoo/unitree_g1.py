"""Which way do the legs go? The LSTM that walks Unitree's humanoid G1, in its robot."""

from examples.zoo import unitree
from examples.zoo.common import Files, Study

ABOUT = unitree.about("unitree_g1", "Unitree G1", 47, 12)


def study(files: Files) -> Study:
    """Walk, compare, and take memory away."""
    return unitree.study(files, ABOUT, "g1", "g1_description")
