"""Deep networks on a static task, one of every remedy for depth: bars or stripes told apart by L hidden layers.

The task needs what lies beyond the mean image: every pixel is lit as often in both classes. All runs, seeds and
rates, are trained at once in one compiled program; the task's images are drawn inside it from the run's key.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int

from rnn_dynamics.cells import BatchNormalized, FeedForward, LayerNormalized, ResidualBlock, deep_parameters
from rnn_dynamics.cells.pytree import join, split
from rnn_dynamics.cells.vanilla import dot
from rnn_dynamics.numerics.results import Result
from rnn_dynamics.numerics.validation import choice, count, fraction, real_array
from rnn_dynamics.training.recipes.boltzmann import pretrain
from rnn_dynamics.training.runs.descent import descend

FLIPS = 0.02
_CLASSES = 2
_MOMENTUM = 0.9
_PRETRAINING = 2000


class DeepNetwork(NamedTuple):
    """The layers of a network in depth, and the readout of the last: logits = readout x_L + offset."""

    layers: dict[str, Float[Array, "depth ..."]]
    readout: Float[Array, "classes n"]
    offset: Float[Array, " classes"]


class _Kind(NamedTuple):
    """How the network of a name starts, and what its layers are."""

    form: str
    activation: str
    initializer: str = "gaussian"
    gain: float = 1.0


_KINDS = {
    "logistic": _Kind("plain", "logistic"),
    "logistic, Kumar": _Kind("plain", "logistic", "kumar"),
    "logistic, Yilmaz–Poli": _Kind("plain", "logistic", "yilmaz-poli"),
    "logistic, pre-trained": _Kind("plain", "logistic", "pretrained"),
    "logistic, layer norm": _Kind("layer norm", "logistic"),
    "tanh, layer norm": _Kind("layer norm", "tanh"),
    "logistic, batch norm": _Kind("batch norm", "logistic"),
    "ReLU, batch norm": _Kind("batch norm", "relu"),
    "ReLU, He": _Kind("plain", "relu", gain=2**0.5),
    "tanh, residual": _Kind("residual", "tanh"),
}
#: The networks by name.
NETWORKS = tuple(_KINDS)


def bars_and_stripes(side: int) -> np.ndarray:
    """Every image of ``side``² pixels made of whole rows or of whole columns, each once, shape (images, side²).

    Raises:
        TypeError, ValueError: a side outside 1 … 12.

    Reference: D. MacKay, Information Theory, Inference, and Learning Algorithms (2003), section 43.
    """
    side = count("side", side, minimum=1, maximum=12)
    lines = (np.arange(2**side)[:, None] >> np.arange(side)[None]) & 1
    both = np.concatenate([np.repeat(lines, side, axis=1), np.tile(lines, (1, side))])
    return np.unique(both, axis=0).astype(float)


def images(
    key: Any, size: int, side: int, *, flips: float = FLIPS, dtype: Any = jnp.float32
) -> tuple[Float[Array, "size pixels"], Int[Array, " size"]]:
    """Images of whole rows lit, class 0, or of whole columns, class 1, at least one and not all; some pixels wrong.

    Args:
        key: a JAX random key.
        size: how many.
        side: pixels a side, ≥ 2.
        flips: the share of pixels that are turned over.
        dtype: of the images.

    Returns:
        The images, zeros and ones, and their classes.

    Raises:
        TypeError, ValueError: a side below 2 or above 12, a size below 1.
    """
    size, side = count("size", size, minimum=1), count("side", side, minimum=2, maximum=12)
    drawn, turned, wrong = jax.random.split(key, 3)
    number = jax.random.randint(drawn, (size,), 1, 2**side - 1)
    lines = (number[:, None] >> jnp.arange(side, dtype=number.dtype)[None]) & 1
    classes = jax.random.randint(turned, (size,), 0, _CLASSES)
    rows = jnp.broadcast_to(lines[:, :, None], (size, side, side))
    lit = jnp.where((classes == 0)[:, None, None], rows, rows.swapaxes(1, 2)).reshape(size, -1) == 1
    flipped = jax.random.uniform(wrong, lit.shape, jnp.float32) < flips
    return (lit != flipped).astype(dtype), classes


def cell_of(name: str, samples: int) -> Any:
    """The layer of the network of a name; of batch normalisation over so many samples.

    Raises:
        ValueError: no such network; the message lists them.
    """
    kind = _KINDS[choice("name", name, list(NETWORKS))]
    if kind.form == "batch norm":
        return BatchNormalized(kind.activation, samples)
    of_form = {"plain": FeedForward, "residual": ResidualBlock, "layer norm": LayerNormalized}
    return of_form[kind.form](kind.activation)


def initial(key: Any, name: str, depth: int, side: int, *, dtype: Any = jnp.float32) -> DeepNetwork:
    """The network of a name as training finds it: side² units in each of ``depth`` layers, biases 0.

    Args:
        key: a JAX random key.
        name: of ``NETWORKS``.
        depth: hidden layers.
        side: the images' pixels a side.
        dtype: of the parameters.

    Raises:
        TypeError, ValueError: an argument out of range, no such network.
    """
    kind, n = _KINDS[choice("name", name, list(NETWORKS))], count("side", side, minimum=2, maximum=12) ** 2
    drawn, read, seen = jax.random.split(key, 3)
    if kind.initializer == "pretrained":
        data, _ = images(seen, 2000, side, dtype=dtype)
        layers = pretrain(drawn, data, depth, n, updates=_PRETRAINING)
    else:
        layers = deep_parameters(
            drawn,
            depth,
            n,
            initializer=kind.initializer,
            gain=kind.gain,
            normalized=kind.form.endswith("norm"),
            dtype=dtype,
        )
    readout = jax.random.normal(read, (_CLASSES, n), dtype) / n**0.5
    return DeepNetwork(layers, readout, jnp.zeros(_CLASSES, dtype))


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def _initials(keys: Array, name: str, depth: int, side: int) -> DeepNetwork:
    return jax.vmap(lambda key: initial(key, name, depth, side))(keys)


def logits_of(
    cell: Any, network: DeepNetwork, inputs: Float[Array, "batch n"]
) -> Float[Array, "batch classes"]:
    """The logits of a batch; batch normalisation is over this batch."""
    batched = isinstance(cell, BatchNormalized)
    step = cell if batched else jax.vmap(cell, (0, None))

    def layer(x: Array, u: Any) -> tuple[Array, None]:
        return step(x, u), None

    x, _ = jax.lax.scan(layer, inputs.reshape(-1) if batched else inputs, network.layers)
    return dot(x.reshape(inputs.shape), network.readout.T) + network.offset[None]


def _loss(network: DeepNetwork, cell: Any, inputs: Array, classes: Array) -> Array:
    logs = jax.nn.log_softmax(logits_of(cell, network, inputs))
    return -jnp.mean(jnp.take_along_axis(logs, classes[:, None], axis=1))


def wrong_share(
    key: Any, cell: Any, network: DeepNetwork, side: int, *, batches: int, batch: int
) -> Float[Array, ""]:
    """The share of ``batches`` × ``batch`` fresh images that the network puts in the wrong class."""

    def of_batch(key: Any) -> Array:
        inputs, classes = images(key, batch, side, dtype=network.readout.dtype)
        found = jnp.argmax(logits_of(cell, network, inputs), axis=1).astype(classes.dtype)
        return jnp.mean((found != classes).astype(inputs.dtype))

    return jnp.mean(jax.lax.map(of_batch, jax.random.split(key, batches)))


class _Setting(NamedTuple):
    """What a chunk of training is compiled for."""

    side: int
    batch: int
    chunk: int
    checks: int


class _Run(NamedTuple):
    network: DeepNetwork
    state: Any


def _momentum(rate: Any) -> optax.GradientTransformation:
    return optax.chain(optax.trace(_MOMENTUM), optax.scale(-rate))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _chunk(
    setting: _Setting, static: Any, arrays: Any, runs: _Run, rates: Array, keys: Array, active: Array
) -> tuple[_Run, Array]:
    """Some updates of every active run, and the share of fresh images each then puts wrong."""
    cell = join(static, arrays)

    def loss(network: DeepNetwork, key: Any) -> Array:
        return _loss(network, cell, *images(key, setting.batch, setting.side, dtype=network.readout.dtype))

    def of_one(run: _Run, rate: Array, key: Any, going: Array) -> tuple[_Run, Array]:
        steps, check = jax.random.split(key)
        own = jax.random.split(steps, setting.chunk)
        moved, _ = descend(_momentum(rate), loss, run.network, run.state, own)
        run = jax.tree_util.tree_map(lambda new, old: jnp.where(going, new, old), _Run(*moved), run)
        share = wrong_share(
            check, cell, run.network, setting.side, batches=setting.checks, batch=setting.batch
        )
        finite = jnp.isfinite(jnp.sum(run.network.readout))
        return run, jnp.where(finite, share, jnp.full_like(share, jnp.nan))

    return jax.vmap(of_one)(runs, rates, keys, active)


@dataclasses.dataclass(frozen=True)
class DeepRuns(Result):
    """Training of one network in depth: of each rate and seed.

    Attributes:
        name: of the network.
        before, after: the networks, every leaf with leading axes (rates, seeds); what succeeded, as it was then.
        rates: shape (rates,).
        updates: the number of updates after which the share of wrong images was first below ``allowed``, −1 where
            it never was, shape (rates, seeds).
        wrong: the share of fresh images put wrong at the last check, NaN where diverged, shape (rates, seeds).
    """

    name: str
    before: DeepNetwork
    after: DeepNetwork
    rates: np.ndarray
    updates: Int[np.ndarray, "rates seeds"]
    wrong: Float[np.ndarray, "rates seeds"]

    _axes: ClassVar = {"rates": "rate", "seeds": "seed"}
    _coordinates: ClassVar = {"rate": "rates"}

    @property
    def learned(self) -> Bool[np.ndarray, "rates seeds"]:
        """Marks the runs that succeeded."""
        return self.updates >= 0

    @property
    def diverged(self) -> Bool[np.ndarray, "rates seeds"]:
        """Marks the runs that left the finite numbers."""
        return np.isnan(self.wrong)

    @property
    def best(self) -> int:
        """The rate at which most runs succeeded, then the one that took fewest updates, then the least error."""
        counts = self.learned.sum(axis=1)
        spent = np.where(self.learned, self.updates, 0).sum(axis=1) / np.maximum(counts, 1)
        error = np.nan_to_num(self.wrong, nan=1.0).mean(axis=1)
        return int(np.lexsort((error, spent, -counts))[0])

    def __repr__(self) -> str:
        at = self.best
        return (
            f"DeepRuns({self.name!r}, {self.learned[at].sum()} of {self.updates.shape[1]} learned "
            f"at rate {self.rates[at]:g})"
        )


def train_deep(
    key: Any,
    name: str,
    depth: int,
    *,
    side: int = 6,
    seeds: int = 5,
    rates: Sequence[float] = (0.01, 0.03, 0.1, 0.3),
    updates: int = 20_000,
    batch: int = 32,
    chunk: int = 250,
    fresh: int = 10_000,
    allowed: float = 0.02,
) -> DeepRuns:
    """Train a network in depth on bars or stripes with momentum 0.9, all seeds at all rates at once, in float32.

    A run ends when less than ``allowed`` of ``fresh`` new images are wrong, or it diverges, or at the last update.
    The seeds are the same networks at every rate.

    Args:
        key: a JAX random key.
        name: of ``NETWORKS``.
        depth: hidden layers.
        side: the images' pixels a side; the layers have side² units.
        seeds: runs at each rate.
        rates: learning rates.
        updates: the most there are.
        batch: images in each.
        chunk: updates between two checks.
        fresh: new images in each check.
        allowed: success is a share of wrong images below it.

    Raises:
        TypeError, ValueError: no such network; an argument out of range.
    """
    depth, seeds = count("depth", depth, minimum=1), count("seeds", seeds, minimum=1)
    batch, chunk = count("batch", batch, minimum=2), count("chunk", chunk, minimum=1)
    updates, fresh = count("updates", updates, minimum=1), count("fresh", fresh, minimum=1)
    limit = float(fraction("allowed", allowed))
    steps = np.asarray(real_array("rates", rates, ndim=1), np.float32)
    if not len(steps) or not (steps > 0).all():
        raise ValueError(f"rates: expected at least one number > 0, got {list(rates)}")
    cell = cell_of(name, batch)
    start, running = jax.random.split(key)
    before = _initials(jax.random.split(start, seeds), name, depth, side)
    before = jax.tree_util.tree_map(
        lambda leaf: jnp.tile(leaf, (len(steps),) + (1,) * (leaf.ndim - 1)), before
    )
    setting = _Setting(side, batch, chunk, -(-fresh // batch))
    after, first, wrong = _trained(setting, cell, before, np.repeat(steps, seeds), running, updates, limit)

    def shaped(leaf: Any) -> Any:
        return leaf.reshape(len(steps), seeds, *leaf.shape[1:])

    before, after = (jax.tree_util.tree_map(shaped, one) for one in (before, after))
    return DeepRuns(name, before, after, steps, shaped(first), shaped(wrong))


def _trained(
    setting: _Setting,
    cell: Any,
    network: DeepNetwork,
    rates: np.ndarray,
    key: Any,
    updates: int,
    allowed: float,
) -> tuple[DeepNetwork, np.ndarray, np.ndarray]:
    """The networks at the end, the update each succeeded at or −1, and what each then puts wrong."""
    static, arrays = split(cell)
    runs = _Run(network, _momentum(0.0).init(network))
    active, first = np.ones(len(rates), bool), np.full(len(rates), -1)
    now = np.ones(len(rates))
    for done in range(setting.chunk, updates + setting.chunk, setting.chunk):
        keys = jax.random.split(jax.random.fold_in(key, done), len(rates))
        runs, shares = _chunk(setting, static, arrays, runs, jnp.asarray(rates), keys, jnp.asarray(active))
        now = np.asarray(shares)
        first = np.where(active & (now < allowed), done, first)
        active &= ~(now < allowed) & np.isfinite(now)
        if not active.any():
            break
    return runs.network, first, now.astype(float)
