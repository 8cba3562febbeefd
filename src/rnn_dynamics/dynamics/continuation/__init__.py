"""Continuation of fixed points and cycles of maps, with the bifurcations on the way and the branches born there."""

from rnn_dynamics.dynamics.bifurcations.points import SpecialPoint
from rnn_dynamics.dynamics.continuation.batches import Branches, continue_branches
from rnn_dynamics.dynamics.continuation.branches import Branch, continue_branch, switch_branch

__all__ = ["Branch", "Branches", "SpecialPoint", "continue_branch", "continue_branches", "switch_branch"]
