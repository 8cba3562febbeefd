"""Searches without gradients: guessing, multigrid random search, simulated annealing, an evolution strategy.

Every update draws one fresh minibatch, and all networks that it compares are judged on that same minibatch. How
many they are stands in ``SEARCHES[name].evaluations``: evaluations are that many times the updates.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

_PAIRS = 16  # of opposite members of a population
_FACTOR, _GRIDS = 9.0, 6  # by which the rectangle shrinks, and how many sizes it has
_COOLING = 0.85
_ADAPTED = 1.1
_LEAST = 1e-4


class Setting(NamedTuple):
    """What an update of a search is given besides the parameters.

    Attributes:
        score: of parameters as one vector: the mean loss of the minibatch, and the share of it that is wrong.
        free: which of the parameters are sought; the others are settings.
        numbers: those of the recipe.
        key: for the draws of this update.
        rule: clipping and the optimizer.
    """

    score: Callable[[Float[Array, " p"]], tuple[Array, Array]]
    free: Bool[Array, " p"]
    numbers: Mapping[str, Array]
    key: Any
    rule: optax.GradientTransformation


class Search(NamedTuple):
    """A search without gradients.

    Attributes:
        init: of the first parameters, the numbers and the rule, what is remembered from update to update.
        update: of a setting, parameters and memory, those that follow and the loss.
        evaluations: networks that are run on the minibatch of one update.
        uses_rule: whether clipping and optimizer act on its steps.
    """

    init: Callable[[Array, Mapping[str, Array], optax.GradientTransformation], Any]
    update: Callable[[Setting, Array, Any], tuple[Array, Any, Array]]
    evaluations: int
    uses_rule: bool = False


def _nothing(at: Array, numbers: Mapping[str, Array], rule: optax.GradientTransformation) -> None:
    return None


def _uniform(setting: Setting, at: Array) -> Array:
    """Draw every parameter from U(−range, range)."""
    width = setting.numbers["range"]
    return width * jax.random.uniform(setting.key, at.shape, at.dtype, -1.0, 1.0)


def _guess(setting: Setting, at: Array, memory: None) -> tuple[Array, None, Array]:
    """All parameters drawn afresh from U(−range, range), kept where fewer sequences are wrong, or as many with less
    loss. Two evaluations.

    Reference: S. Hochreiter, J. Schmidhuber, NIPS 9, 1996, who stop at the first guess that is right throughout.
    """
    guess = jnp.where(setting.free, _uniform(setting, at), at)
    loss, wrong = setting.score(at)
    its_loss, its_wrong = setting.score(guess)
    is_better = (its_wrong < wrong) | ((its_wrong == wrong) & (its_loss < loss))
    return jnp.where(is_better, guess, at), memory, jnp.where(is_better, its_loss, loss)


def _whole(
    at: Array, numbers: Mapping[str, Array], rule: optax.GradientTransformation
) -> tuple[Array, Array]:
    return jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32)


def _multigrid(setting: Setting, at: Array, memory: tuple[Array, Array]) -> tuple[Array, Any, Array]:
    """A point drawn uniformly from a box about the best one; a better one becomes the centre of a box nine times
    smaller. After six sizes, or ``patience`` draws in vain, the box is the first one again. Two evaluations.

    Reference: Y. Bengio, P. Simard, P. Frasconi, IEEE Trans. Neural Networks 5, 157 (1994). That the box grows
    again is ours: on fresh minibatches half of all tiny moves are better by chance, and it would shrink for ever.
    """
    grid, failures = memory
    shrunk = _FACTOR ** -grid.astype(at.dtype)
    point = at + jnp.where(setting.free, shrunk * _uniform(setting, at), 0)
    loss, its_loss = setting.score(at)[0], setting.score(point)[0]
    is_better = its_loss < loss
    failures = jnp.where(is_better, 0, failures + 1)
    in_vain = failures.astype(at.dtype) >= setting.numbers["patience"]
    grid = jnp.where(in_vain, 0, jnp.where(is_better, (grid + 1) % _GRIDS, grid))
    memory = (grid, jnp.where(in_vain, 0, failures))
    return jnp.where(is_better, point, at), memory, jnp.where(is_better, its_loss, loss)


def _hot(at: Array, numbers: Mapping[str, Array], rule: optax.GradientTransformation) -> tuple[Array, Array]:
    return jnp.broadcast_to(jnp.asarray(numbers["range"], at.dtype), at.shape), jnp.zeros((), jnp.int32)


def _anneal(setting: Setting, at: Array, memory: tuple[Array, Array]) -> tuple[Array, Any, Array]:
    """One parameter after the other is moved within its width and the move taken with probability
    min(1, e^{−ΔC/temperature}). A width grows by a tenth with a move that is taken and shrinks with one that is
    not, so that half of them are; after each round of all parameters the temperature is 0.85 times what it was.
    Two evaluations.

    Reference: A. Corana, M. Marchesi, C. Martini, S. Ridella, ACM Trans. Math. Software 13, 262 (1987), as used by
    Y. Bengio, P. Simard, P. Frasconi 1994; widths there change after twenty rounds.
    """
    widths, moves = memory
    numbers, which = setting.numbers, moves % at.size
    drawn, chanced = jax.random.split(setting.key)
    move = widths[which] * jax.random.uniform(drawn, (), at.dtype, -1.0, 1.0)
    point = at.at[which].add(jnp.where(setting.free[which], move, 0))
    loss, its_loss = setting.score(at)[0], setting.score(point)[0]
    temperature = numbers["temperature"] * _COOLING ** (moves // at.size).astype(at.dtype)
    chance = jax.random.uniform(chanced, (), at.dtype)
    is_taken = (its_loss <= loss) | (its_loss - loss < -temperature * jnp.log(chance))
    width = jnp.where(is_taken, widths[which] * _ADAPTED, widths[which] / _ADAPTED)
    widths = widths.at[which].set(jnp.clip(width, _LEAST * numbers["range"], numbers["range"]))
    return jnp.where(is_taken, point, at), (widths, moves + 1), jnp.where(is_taken, its_loss, loss)


def _rule(at: Array, numbers: Mapping[str, Array], rule: optax.GradientTransformation) -> Any:
    return rule.init(at)


def _evolve(setting: Setting, at: Array, memory: Any) -> tuple[Array, Any, Array]:
    """g = Σ_i r_i ε_i/(P spread), r_i the centred rank of the loss at θ + spread ε_i, over 16 opposite pairs; g
    goes through clipping and optimizer as a gradient does. 32 evaluations, whose mean is the loss; members whose
    loss is not finite rank last and are left out of the mean.

    Reference: T. Salimans, J. Ho, X. Chen, S. Sidor, I. Sutskever, arXiv 1703.03864.
    """
    spread = setting.numbers["spread"]
    half = jax.random.normal(setting.key, (_PAIRS, at.size), at.dtype)
    moved = jnp.where(setting.free[None], jnp.concatenate([half, -half]), 0)
    losses = jax.vmap(lambda move: setting.score(at + spread * move)[0])(moved)
    is_finite = jnp.isfinite(losses)
    order = jnp.argsort(jnp.argsort(jnp.where(is_finite, losses, jnp.inf)))
    ranks = order.astype(at.dtype) / (2 * _PAIRS - 1) - 0.5
    direction = jnp.sum(ranks[:, None] * moved, axis=0) / (2 * _PAIRS * spread)
    change, memory = setting.rule.update(direction, memory, at)
    total = jnp.sum(jnp.where(is_finite, losses, 0)) / jnp.sum(is_finite).astype(losses.dtype)
    return at + jnp.asarray(change), memory, total


SEARCHES: dict[str, Search] = {
    "random guessing": Search(_nothing, _guess, 2),
    "multigrid random search": Search(_whole, _multigrid, 2),
    "simulated annealing": Search(_hot, _anneal, 2),
    "evolution strategy": Search(_rule, _evolve, 2 * _PAIRS, uses_rule=True),
}
