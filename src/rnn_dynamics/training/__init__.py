"""Tasks of long memory, remedies, and the protocol that measures whether gradients last and tasks are learned."""

from rnn_dynamics.training.comparison import PRESETS, compare
from rnn_dynamics.training.composition import recipe
from rnn_dynamics.training.panels import Panel, train
from rnn_dynamics.training.recipes import Recipe
from rnn_dynamics.training.remedies import REMEDIES, Remedy
from rnn_dynamics.training.results import Comparison, ComparisonRow, load_comparison
from rnn_dynamics.training.tasks import TASKS, Batch, Task, published_lengths, task
from rnn_dynamics.training.terms import Term
from rnn_dynamics.training.updates import Plan

__all__ = [
    "PRESETS",
    "REMEDIES",
    "TASKS",
    "Batch",
    "Comparison",
    "ComparisonRow",
    "Panel",
    "Plan",
    "Recipe",
    "Remedy",
    "Task",
    "Term",
    "compare",
    "load_comparison",
    "published_lengths",
    "recipe",
    "task",
    "train",
]
