"""Tasks against sequences assembled anew in NumPy: the published rule gives the target, the marks the inputs."""

import dataclasses
import functools
import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnn_dynamics.training.tasks import TASKS, Task, published_lengths, task
from rnn_dynamics.training.tasks.draws import packed, unit, unpacked
from tests.compilations import compilations

LENGTH, SIZE = 57, 1000
NO_KEY = np.zeros(2, np.uint32)
SHORTEST = {"latch": 4, "two-sequence": 4, "parity": 2, "random-permutation": 2, "adding": 2} | dict.fromkeys(
    ("temporal-order", "temporal-order-3", "addition", "multiplication"), 10
)
VARIANTS = [(name, ()) for name in TASKS] + [
    ("latch", (("cue", 1), ("noise", 0.5))),
    ("parity", (("noise", 0.2),)),
    ("noiseless-memorisation", (("bits", 20),)),
    ("copy", (("every_step", True),)),
]
IDS = ["-".join([name, *(f"{key}={value}" for key, value in options)]) for name, options in VARIANTS]


@functools.cache
def drawn(name, options=(), dtype="float32"):
    """A task and a batch of it in NumPy."""
    one = task(name, LENGTH, **dict(options))
    return one, *map(np.asarray, one.batch(jax.random.key(7), SIZE, dtype))


def binomial(hits, share, count):
    """Whether a share is hit as often as chance would, to five standard deviations."""
    return abs(hits - share * count) < 5 * math.sqrt(count * share * (1 - share))


def one_hot(symbols, width):
    return (symbols[:, None] == np.arange(width)).astype(np.float32)


def part(length, tenths):
    return math.floor(Fraction(tenths, 10) * length)


def latch(one, inputs, *, cue=3, noise=0.2):
    labels = inputs[:, 0, : 2 * cue].argmax(axis=1) // cue
    for sequence, label in zip(inputs, labels, strict=True):
        by_hand = np.zeros((LENGTH, 2 * cue + 1), np.float32)
        for step in range(cue):
            by_hand[step, label * cue + step] = 1
        by_hand[cue:, -1] = sequence[cue:, -1]
        np.testing.assert_array_equal(sequence, by_hand)
    gaussian(inputs[:, cue:, -1], noise)
    return labels[:, None], {}


def gaussian(values, deviation):
    """Mean, spread, tails and correlation in time of independent N(0, deviation²)."""
    n = values.size
    assert abs(values.mean()) < 5 * deviation / math.sqrt(n)
    assert abs(values.std() / deviation - 1) < 5 / math.sqrt(2 * n)
    assert binomial((np.abs(values) > 2 * deviation).sum(), math.erfc(math.sqrt(2)), n)
    assert abs((values[:, 1:] * values[:, :-1]).mean()) < 5 * deviation**2 / math.sqrt(n)


def two_sequence(one, inputs):
    labels = (inputs[:, :3, 0].sum(axis=1) > 0).astype(int)
    prototype = np.zeros((SIZE, LENGTH))
    prototype[:, :3] = np.where(labels, 1, -1)[:, None]
    gaussian(inputs[:, :, 0] - prototype, math.sqrt(0.2))
    return labels[:, None], {}


def parity(one, inputs, *, noise=0.0):
    bits = inputs[:, :, 0] > 0
    added = inputs[:, :, 0] - np.where(bits, 1, -1)
    assert np.abs(added).max() <= noise * (1 + 1e-6)
    if noise:
        assert added.max() > 0.999 * noise
        assert added.min() < -0.999 * noise
    odd = [functools.reduce(lambda seen, bit: seen ^ bool(bit), row, False) for row in bits]
    assert binomial(bits.sum(), 0.5, bits.size)
    return np.array(odd, int)[:, None], {}


def temporal_order(one, inputs, *, tenths=(1, 5)):
    labels, places = [], []
    for sequence in inputs:
        symbols = sequence.argmax(axis=1)
        np.testing.assert_array_equal(sequence, one_hot(symbols, 6))
        (marks,) = np.nonzero(symbols < 2)
        assert len(marks) == len(tenths)
        places.append(marks)
        labels.append(sum(int(symbols[place]) << i for i, place in enumerate(marks)))
    rest = inputs.sum(axis=(0, 1))[2:]
    assert all(binomial(hits, 1 / 4, rest.sum()) for hits in rest)
    windows = [(part(LENGTH, a), part(LENGTH, a) + part(LENGTH, 1) - 1) for a in tenths]
    return np.array(labels)[:, None], {"windows": windows, "places": np.array(places)}


def addition(one, inputs, *, rule=lambda u, v: (u + v) / 2):
    targets, lasts, offsets = [], [], []
    for sequence in inputs:
        assert set(np.unique(sequence[:, 1])) == {0, 1}
        last = np.nonzero(sequence[:, 0])[0].max()
        assert not sequence[last + 1 :].any()
        first, second = np.nonzero(sequence[:, 1])[0]
        own = last + 1
        assert 0 <= first < part(own, 1)
        assert 0 <= second - part(own, 1) < part(own, 4)
        targets.append(rule(sequence[first, 0], sequence[second, 0]))
        lasts.append(last)
        offsets.append((own, first, second - part(own, 1)))
    values = np.concatenate([row[: last + 1, 0] for row, last in zip(inputs, lasts, strict=True)])
    uniform(values)
    lengths = {own for own, _, _ in offsets}
    assert lengths == set(range(LENGTH, LENGTH + part(LENGTH, 1)))
    for own in lengths:  # both ends of both windows, whatever the length
        first, second = np.array([(f, s) for other, f, s in offsets if other == own]).T
        assert (first.min(), first.max()) == (0, part(own, 1) - 1)
        assert (second.min(), second.max()) == (0, part(own, 4) - 1)
        assert binomial(len(first), 1 / len(lengths), SIZE)
    return np.array(targets)[:, None, None], {"at": np.array(lasts)[:, None]}


def uniform(values):
    assert 0 <= values.min() < 1e-3
    assert 0.999 < values.max() < 1
    counts = np.histogram(values, 10, (0, 1))[0]
    assert all(binomial(hits, 0.1, values.size) for hits in counts)


def adding(one, inputs):
    targets, places = [], []
    for sequence in inputs:
        assert set(np.unique(sequence[:, 1])) == {0, 1}
        first, second = np.nonzero(sequence[:, 1])[0]
        targets.append(sequence[first, 0] + sequence[second, 0])
        places.append((first, second))
    uniform(inputs[:, :, 0])
    half = LENGTH // 2
    places = np.array(places)
    return np.array(targets)[:, None, None], {
        "windows": [(0, half - 1), (half, LENGTH - 1)],
        "places": places,
    }


def random_permutation(one, inputs):
    symbols = inputs.argmax(axis=2)
    assert inputs.sum() == SIZE * LENGTH
    assert inputs.max() == 1
    assert symbols[:, 1:].min() == 2
    assert symbols[:, 1:].max() == 99
    counts = np.bincount(symbols[:, 1:].ravel(), minlength=100)[2:]
    assert all(binomial(hits, 1 / 98, counts.sum()) for hits in counts)
    return symbols[:, :1], {}


def recalled(one, inputs, *, count, values, gap, tail, every_step=False):
    """Pattern, gap, trigger, tail; what is recalled last is the pattern."""
    patterns = inputs[:, :count].argmax(axis=2)
    for sequence, pattern in zip(inputs, patterns, strict=True):
        symbols = [*pattern, *[values] * gap, values + 1, *[values] * tail]
        np.testing.assert_array_equal(sequence, one_hot(np.array(symbols), values + 2))
    assert all(
        binomial(hits, 1 / values, patterns.size) for hits in np.bincount(patterns.ravel(), minlength=values)
    )
    steps = count + gap + 1 + tail
    if every_step:
        blanks = np.full((SIZE, steps - count), values)
        return np.concatenate([blanks, patterns], axis=1), {"at": np.tile(np.arange(steps), (SIZE, 1))}
    return patterns, {"at": np.tile(np.arange(steps - count, steps), (SIZE, 1))}


def memorisation(one, inputs, *, bits=5):
    count, values = {5: (5, 2), 20: (10, 5)}[bits]
    found = recalled(one, inputs, count=count, values=values, gap=LENGTH, tail=count - 1)
    assert inputs[0, count + LENGTH, values + 1] == 1  # the trigger comes with the first recall
    return found


def copy(one, inputs, *, every_step=False):
    assert (
        inputs[:, LENGTH + 9, 9] == 1
    ).all()  # Arjovsky: T + 20 entries, the delimiter just before the last ten
    return recalled(one, inputs, count=10, values=8, gap=LENGTH - 1, tail=10, every_step=every_step)


RULES = {
    "latch": latch,
    "two-sequence": two_sequence,
    "parity": parity,
    "temporal-order": temporal_order,
    "temporal-order-3": functools.partial(temporal_order, tenths=(1, 3, 6)),
    "addition": addition,
    "multiplication": functools.partial(addition, rule=lambda u, v: u * v),
    "adding": adding,
    "random-permutation": random_permutation,
    "noiseless-memorisation": memorisation,
    "copy": copy,
}


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=IDS)
def test_the_target_is_that_of_the_published_rule(name, options):
    one, inputs, at, targets = drawn(name, options)
    assert inputs.shape == (SIZE, one.steps, one.width)
    assert inputs.dtype == np.float32
    wanted, seen = RULES[name](one, inputs, **dict(options))
    np.testing.assert_array_equal(targets, wanted)
    np.testing.assert_array_equal(at, seen.get("at", np.full((SIZE, 1), LENGTH - 1)))
    assert at.dtype == np.int32
    assert targets.dtype == (np.int32 if one.kind == "classes" else np.float32)
    for window, places in zip(seen.get("windows", []), seen.get("places", np.empty((0, 0))).T, strict=True):
        low, high = window
        assert (places.min(), places.max()) == window
        counts = np.bincount(places - low, minlength=high - low + 1)
        assert all(binomial(hits, 1 / len(counts), SIZE) for hits in counts)


@pytest.mark.parametrize("name", [name for name in TASKS if task(name, LENGTH).kind == "classes"])
def test_classes_are_balanced(name):
    one, _, _, targets = drawn(name)
    expected = 2 if name == "random-permutation" else one.outputs
    counts = np.bincount(targets.ravel(), minlength=one.outputs)
    assert (counts > 0).sum() == expected
    assert all(binomial(hits, 1 / expected, targets.size) for hits in counts[:expected])


@pytest.mark.parametrize(
    "name", ["latch", "two-sequence", "temporal-order", "addition", "multiplication", "adding", "copy"]
)
def test_draws_do_not_depend_on_the_dtype(name):
    _, inputs, at, targets = drawn(name)
    one, wide, same_at, wide_targets = drawn(name, dtype="float64")
    assert wide.dtype == np.float64
    np.testing.assert_array_equal(wide.astype(np.float32), inputs)
    np.testing.assert_array_equal(same_at, at)
    np.testing.assert_array_equal(wide_targets.astype(targets.dtype), targets)
    if one.kind == "values":
        assert wide_targets.dtype == np.float64
        wanted, _ = RULES[name](one, wide)
        np.testing.assert_array_equal(wide_targets, wanted)


def test_a_key_tells_the_batch_and_a_sequence_does_not_depend_on_how_many_are_drawn():
    one, inputs, at, targets = drawn("addition")
    few = one.batch(jax.random.key(7), 3)
    for found, wanted in zip(few, (inputs, at, targets), strict=True):
        np.testing.assert_array_equal(found, wanted[:3])
    other = one.batch(jax.random.key(8), 3)
    assert not np.isin(np.asarray(other.inputs)[:, 0, 0], inputs[:, 0, 0]).any()
    assert len(np.unique(inputs[:, 0, 0])) == SIZE


def test_mapped_over_keys_inside_jit_it_is_what_each_key_gives():
    one = task("addition", LENGTH)
    keys = jax.random.split(jax.random.key(1), 2)
    mapped = jax.jit(jax.vmap(lambda key: one.batch(key, 3)))(keys)
    for i, key in enumerate(keys):
        for found, wanted in zip(mapped, one.batch(key, 3), strict=True):
            np.testing.assert_array_equal(found[i], wanted)


def test_a_repeated_shape_compiles_nothing():
    keys = [jax.random.key(seed) for seed in (7, 8)]
    drawn("latch")
    with compilations() as found:
        task("latch", LENGTH).batch(keys[0], SIZE)
        task("latch", LENGTH, noise=0.2).batch(keys[1], SIZE)
    assert found.count == 0


def test_a_task_is_known_by_its_value():
    assert task("copy", 20) == task("copy", 20, every_step=False)
    assert hash(task("copy", 20)) == hash(task("copy", np.int32(20)))
    assert task("copy", 20) != task("copy", 20, every_step=True)
    assert task("latch", 20) != task("latch", 21)
    assert task("copy", 20).allowed == 0.01


@pytest.mark.parametrize("width", [1, 2, 3])
def test_unpacked_integers_are_uniform_and_independent_of_their_neighbours(width):
    kinds, count = 2**width, 30_007
    drawn = np.random.default_rng(2).integers(0, 2**32, packed(count, width), np.uint32)
    found = np.asarray(unpacked(jnp.asarray(drawn), count, width))
    by_hand = [(int(word) >> width * i) % kinds for word in drawn for i in range(32 // width)][:count]
    np.testing.assert_array_equal(found, by_hand)
    pairs = np.bincount(found[1:] * kinds + found[:-1], minlength=kinds**2)
    assert len(pairs) == kinds**2
    assert all(binomial(hits, 1 / kinds**2, count) for hits in pairs)


def test_fractions_lie_below_one():
    found = np.asarray(unit(jnp.asarray([0, 255, 256, 2**31, 2**32 - 1], jnp.uint32)))
    np.testing.assert_array_equal(found, [0, 0, 2.0**-24, 0.5, 1 - 2.0**-24])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_losses_are_their_closed_forms(dtype):
    rng = np.random.default_rng(0)
    outputs, targets = rng.normal(0, 3, (4, 5, 2)), rng.integers(0, 2, (4, 5))
    one = task("noiseless-memorisation", 20)
    found = jax.jit(one.loss)(jnp.asarray(outputs, dtype), jnp.asarray(targets, jnp.int32))
    exact = np.zeros(4)
    for i in range(4):
        for j in range(5):
            exact[i] += math.log(sum(math.exp(z - outputs[i, j, targets[i, j]]) for z in outputs[i, j])) / 5
    assert found.dtype == dtype
    np.testing.assert_allclose(found, exact, rtol=1e-5 if dtype == "float32" else 1e-13)
    values, wanted = rng.normal(size=(4, 1, 1)), rng.normal(size=(4, 1, 1))
    found = jax.jit(task("addition", 20).loss)(jnp.asarray(values, dtype), jnp.asarray(wanted, dtype))
    np.testing.assert_allclose(found, ((values - wanted) ** 2)[:, 0, 0], rtol=1e-5)
    assert found.dtype == dtype


def test_one_wrong_reading_makes_the_sequence_wrong():
    one = task("noiseless-memorisation", 20)
    targets = jnp.asarray([[0, 1, 1, 0, 1]] * 5, jnp.int32)
    outputs = np.asarray(jax.nn.one_hot(targets, 2)).copy()
    outputs[1, 4] = [0.6, 0.5]
    outputs[2] = outputs[2, :, ::-1]
    outputs[3, 2] = [0.0, math.nan]
    outputs[4, 2] = [0.0, math.inf]
    assert jax.jit(one.wrong)(jnp.asarray(outputs), targets).tolist() == [False, True, True, True, True]
    assert jax.jit(one.loss)(jnp.asarray(outputs), targets)[0] == pytest.approx(
        math.log1p(math.exp(-1)), rel=1e-6
    )
    # any leading axes, as a panel of runs has
    both = jax.jit(one.wrong)(jnp.asarray(outputs)[None], targets[None])
    assert both.shape == (1, 5)


def test_a_value_is_wrong_beyond_the_tolerance():
    one = task("multiplication", 20)
    targets = jnp.full((5, 1, 1), 0.5)
    outputs = jnp.asarray([0.5, 0.699, 0.701, 0.299, math.nan])[:, None, None]
    assert jax.jit(one.wrong)(outputs, targets).tolist() == [False, False, True, True, True]
    strict = dataclasses.replace(one, tolerance=0.04**2)
    assert jax.jit(strict.wrong)(outputs, targets).tolist() == [False, True, True, True, True]


def test_without_memory_the_loss_is_that_of_the_source():
    for every_step, baseline in ((False, math.log(8)), (True, 10 * math.log(8) / (LENGTH + 20))):
        one, _, _, targets = drawn("copy", (("every_step", every_step),) if every_step else ())
        logits = np.full((*targets.shape, one.outputs), -1e3, np.float32)
        logits[..., :8] = np.where(targets == 8, -1e3, 0)[..., None]
        logits[..., 8:] = np.where(targets == 8, 0, -1e3)[..., None]
        found = jax.jit(one.loss)(jnp.asarray(logits), jnp.asarray(targets))
        np.testing.assert_allclose(found, baseline, rtol=1e-5)
    one, _, _, targets = drawn("adding")
    losses = jax.jit(one.loss)(jnp.ones(targets.shape, jnp.float32), jnp.asarray(targets))
    # (u + v − 1)² has mean 1/6 and variance 7/180
    assert abs(float(losses.mean()) - 1 / 6) < 5 * math.sqrt(7 / 180 / SIZE)


@pytest.mark.parametrize("name", TASKS)
def test_the_shortest_length_works_and_a_shorter_one_is_refused(name):
    shortest = SHORTEST.get(name, 1)
    one = task(name, shortest)
    shapes = jax.eval_shape(lambda: one.batch(jax.random.key(0), 2))
    assert shapes.inputs.shape == (2, one.steps, one.width)
    with pytest.raises(ValueError, match=f"length: expected at least {shortest} for the task '{name}'"):
        task(name, shortest - 1)


@pytest.mark.parametrize("name", TASKS)
def test_published_lengths_rise_and_are_tasks(name):
    lengths = published_lengths(name)
    assert lengths
    assert list(lengths) == sorted(set(lengths))
    for length in lengths:
        one = task(name, length)
        assert isinstance(one, Task)
        assert one.steps >= length == one.length


@pytest.mark.shipped
@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, "name: expected one of 'latch', 'two-sequence'", lambda: task("lach", 20)),
        (ValueError, "name: expected one of 'latch'", lambda: published_lengths("xor")),
        (TypeError, "length: expected an integer", lambda: task("latch", 20.5)),
        (TypeError, "length: expected an integer", lambda: task("latch", True)),
        (ValueError, "length: expected at least 6", lambda: task("latch", 5, cue=5)),
        (ValueError, "'latch': expected one of cue, noise, got 'nois'", lambda: task("latch", 20, nois=1)),
        (ValueError, "'addition': expected none, got 'noise'", lambda: task("addition", 20, noise=1)),
        (ValueError, "noise: expected a number of at least 0", lambda: task("latch", 20, noise=-0.1)),
        (ValueError, "noise: expected finite", lambda: task("latch", 20, noise=math.inf)),
        (TypeError, "noise: expected real", lambda: task("latch", 20, noise="loud")),
        (ValueError, "noise: expected a number below 1", lambda: task("parity", 20, noise=1.0)),
        (ValueError, "bits: expected one of 5, 20", lambda: task("noiseless-memorisation", 20, bits=6)),
        (TypeError, "every_step: expected True or False", lambda: task("copy", 20, every_step=1)),
        (ValueError, "elements: expected an integer", lambda: task("two-sequence", 20, elements=0)),
        (ValueError, "size: expected an integer", lambda: task("copy", 20).batch(NO_KEY, 0)),
        (TypeError, "size: expected an integer", lambda: task("copy", 20).batch(NO_KEY, 2.5)),
        (
            TypeError,
            "dtype: expected a floating",
            lambda: task("copy", 20).batch(NO_KEY, 2, "int32"),
        ),
        (
            TypeError,
            "dtype: expected a floating",
            lambda: task("copy", 20).batch(NO_KEY, 2, "wide"),
        ),
        (
            ValueError,
            "outputs: expected shape",
            lambda: task("copy", 20).loss(np.zeros((2, 10, 9)), np.zeros((2, 10), int)),
        ),
        (
            ValueError,
            "targets: expected shape",
            lambda: task("adding", 20).wrong(np.zeros((2, 1, 1)), np.zeros((2, 1))),
        ),
    ],
)
def test_bad_input_is_named(error, message, call):
    with compilations() as found, pytest.raises(error, match=message):
        call()
    assert found.count == 0


def test_float64_without_x64_is_refused():
    jax.config.update("jax_enable_x64", False)
    try:
        with pytest.raises(ValueError, match="dtype: float64 needs"):
            task("copy", 20).batch(NO_KEY, 2, np.float64)
    finally:
        jax.config.update("jax_enable_x64", True)
