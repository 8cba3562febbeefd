"""Tasks of long memory, remedies, and the protocol that measures whether gradients last and tasks are learned."""

from rnn_dynamics.training.recipes.composition import recipe
from rnn_dynamics.training.recipes.recipe import Recipe
from rnn_dynamics.training.recipes.remedies import REMEDIES, Remedy
from rnn_dynamics.training.recipes.terms import Term
from rnn_dynamics.training.runs.comparison import PRESETS, compare
from rnn_dynamics.training.runs.panel import Panel
from rnn_dynamics.training.runs.panels import train
from rnn_dynamics.training.runs.results import Comparison, ComparisonRow, load_comparison
from rnn_dynamics.training.runs.updates import Plan
from rnn_dynamics.training.tasks import TASKS, Batch, Task, published_lengths, task

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
