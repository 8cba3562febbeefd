"""A recipe: everything that decides how a network learns but its random numbers, in named slots."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from rnn_dynamics.numerics.validation import choice
from rnn_dynamics.training.recipes import clipping, optimizers, structures
from rnn_dynamics.training.recipes.networks import Network
from rnn_dynamics.training.recipes.terms import Term, flossing


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a remedy changes. Every slot has the plain method's piece by default: MSGD on a tanh network.

    Attributes:
        cell: name of a cell of ``structures.CELLS``.
        initializer: name of an initialiser of ``structures.INITIALIZERS``.
        activation: of the cells that have a choice.
        optimizer: name of a rule of ``optimizers.OPTIMIZERS``.
        clip: "norm", "value" or ``None``.
        terms: added to the loss.
        direction: name of what takes the gradient's place, or ``None``.
        search: name of a search without gradients, or ``None``.
        dropout: whether units are masked, one mask for all steps of a sequence.
        truncation: after how many steps the gradient is cut, or ``None``.
        pretraining: name of what is learned before the task, or ``None``.
        numbers: pairs of name and value; they can differ from run to run without compiling again.

    Raises:
        ValueError: a name that is not known; the message lists those that are.
    """

    cell: str = "tanh"
    initializer: str = "basic tanh"
    activation: str | None = None
    optimizer: str = "sgd"
    clip: str | None = None
    terms: tuple[Term, ...] = ()
    direction: str | None = None
    search: str | None = None
    dropout: bool = False
    truncation: int | None = None
    pretraining: str | None = None
    numbers: tuple[tuple[str, float], ...] = (("learning_rate", 0.01),)

    def __post_init__(self) -> None:
        choice("cell", self.cell, tuple(structures.CELLS))
        choice("initializer", self.initializer, tuple(structures.INITIALIZERS))
        choice("optimizer", self.optimizer, tuple(optimizers.OPTIMIZERS))
        choice("clip", self.clip, (None, *clipping.CLIPS))

    @property
    def uses_lapack(self) -> bool:
        """Whether an update decomposes matrices: two such calls at once can wait for one another for ever."""
        return any(term.function is flossing for term in self.terms)

    def with_numbers(self, **changed: float) -> "Recipe":
        """Return the recipe with some numbers set."""
        return dataclasses.replace(self, numbers=tuple(sorted((dict(self.numbers) | changed).items())))

    def transformation(self, numbers: Mapping[str, Any]) -> optax.GradientTransformation:
        """Clipping and the optimizer as one Optax transformation; the numbers may be traced."""
        rule = optimizers.OPTIMIZERS[self.optimizer](numbers)
        if self.clip is None:
            return rule
        return optax.chain(clipping.CLIPS[self.clip](numbers["threshold"]), rule)


def initial_network(recipe: Recipe, key: Any, width: int, outputs: int, units: int) -> Network:
    """The network of a recipe as training finds it, in float32: b = 0, readout from the initialiser too."""
    cell_key, readout_key = jax.random.split(key)
    initializer = structures.INITIALIZERS[recipe.initializer]
    beginning = structures.Beginning(initializer, recipe.activation)
    cell = structures.CELLS[recipe.cell](beginning, cell_key, width, units)
    readout = initializer.readout(readout_key, outputs, units)
    network = Network(cell, readout, jnp.zeros(outputs))
    return jax.tree_util.tree_map(functools.partial(jnp.asarray, dtype=jnp.float32), network)
