"""The outputs of a network that reads in both directions beside those that its own runtime gave."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from rnn_dynamics.cells.bidirectional import MERGES, Bidirectional, BidirectionalRun
from rnn_dynamics.interop.conventions import cell_by, conventions, described, own_convention
from rnn_dynamics.interop.layouts import Layout, layouts
from rnn_dynamics.numerics.validation import real_array

_MOST_RUNS = 4000  # of one cell over one sequence

Outputs = Callable[[np.ndarray], np.ndarray]


class _Reading(NamedTuple):
    """Another meaning of the same weights.

    Attributes:
        words: how it differs.
        outputs: of one sequence of inputs.
        network: that computes it, where one does.
    """

    words: str
    outputs: Outputs
    network: Bidirectional | None


class Compared(NamedTuple):
    """How a network's outputs compare with known ones.

    Attributes:
        errors: of each step.
        fits: in words what fits, where one is too large.
        tried: how many other readings were tried.
        network: that agrees, or of the first that fits.
        layout: how the axes were read, in words.
        steps: of the inputs.
    """

    errors: np.ndarray
    fits: tuple[str, ...]
    tried: int
    network: Bidirectional | None
    layout: str
    steps: int


def compared(network: Bidirectional, inputs: Any, output: Any, x0: Any, tolerance: float) -> Compared:
    """Errors of each step, and where one is too large what fits.

    Args:
        network: the network.
        inputs, output: shapes (T, m) and (T, n), or with a batch in front; what else ``layouts`` takes.
        x0: as ``Bidirectional.run`` takes it.
        tolerance: of an error relative to the largest |output|.

    Raises:
        TypeError, ValueError: shapes that do not fit, values that are not finite.
    """
    truth, driven = (np.asarray(real_array(n, v)) for n, v in (("output", output), ("inputs", inputs)))
    found = layouts(driven, truth, (network.width(),))
    run = functools.partial(_outputs, network, x0)
    own = [
        (each, more, view)
        for each in found
        for more, view in (_of_the_last(network, x0, run) if each.is_last else [("", run)])
    ]
    for layout, more, view in own:
        errors = _errors(layout, view)
        if (errors <= tolerance).all():
            return Compared(errors, (), 0, network, layout.words + more, layout.inputs.shape[1])
    tried = 0
    for layout in (each for each in found if not each.is_last):
        fits: list[_Reading] = []
        for readings in (_of_directions(network, x0), _of_gates(network, x0, len(layout.inputs))):
            for reading in () if fits else readings:
                tried += 1
                if (_errors(layout, reading.outputs) <= tolerance).all():
                    fits.append(reading)
        if fits:
            words, steps = tuple(each.words for each in fits), layout.inputs.shape[1]
            return Compared(_errors(layout, run), words, tried, fits[0].network, layout.words, steps)
    layout, more, view = own[0]
    return Compared(_errors(layout, view), (), tried, None, layout.words + more, layout.inputs.shape[1])


def _errors(layout: Layout, outputs: Outputs) -> np.ndarray:
    """Of each step the largest difference over the largest output."""
    pairs = zip(layout.inputs, layout.output, strict=True)
    off = [np.abs(outputs(u).astype(float)[-len(y) :] - y) for u, y in pairs]
    return np.max(off, axis=(0, 2)) / (float(np.abs(layout.output).max()) or 1.0)


def _of_the_last(network: Bidirectional, x0: Any, run: Outputs) -> list[tuple[str, Outputs]]:
    """What may be called the last output: that of each direction's own last step, or of the last time."""

    def ends(u: np.ndarray) -> np.ndarray:
        first, second = _halves(network.run(u, x0))
        return np.asarray(network.merge(-1, first[-1:], second[:1]))

    both = all(cell is not None for cell in network.layers[-1])
    found = [(": each direction's own, the backward one's at the first input", ends)] if both else []
    return [*found, (": both directions' at the last input" if both else "", run)]


def _outputs(network: Bidirectional, x0: Any, u: np.ndarray) -> np.ndarray:
    return np.asarray(network.run(u, x0).outputs)


def _reading(
    x0: Any, words: str, other: Bidirectional, view: Callable[[BidirectionalRun], Any] | None = None
) -> _Reading:
    """What a network puts out, or what a view of its run makes of it."""

    def outputs(u: np.ndarray) -> np.ndarray:
        run = other.run(u, x0)
        return np.asarray(run.outputs if view is None else view(run))

    return _Reading(words, outputs, other if view is None else None)


def _of_directions(network: Bidirectional, x0: Any) -> Iterator[_Reading]:
    """Other meanings of the two directions, the same cells."""
    of = functools.partial(_reading, x0)
    run = functools.partial(_outputs, network, x0)
    yield _Reading("inputs and outputs in reverse order", lambda u: run(u[::-1])[::-1], None)
    yield _Reading("inputs in reverse order", lambda u: run(u[::-1]), None)
    both = all(cell is not None for pair in network.layers for cell in pair)
    if both and all(first == second for first, second in map(network.widths, range(network.depth))):
        pairs = [(second, first) for first, second in network.layers]
        exchanged = Bidirectional(
            pairs, network.merges, between=network.between, sizes=_turned(network.sizes)
        )
        if x0 is None:
            yield of("the cells of the two directions exchanged", exchanged)
    if all(cell is not None for cell in network.layers[-1]):
        yield of("what the backward direction puts out left in its own order", network, _left)
        if network.merges[-1] == "concat":
            yield of("the halves of the output exchanged, [backward, forward]", network, _exchanged)
            yield of("[backward, forward], the backward half left in its own order", network, _both_ways)
        for merge in MERGES:
            other = _merged_by(network, merge)
            if other is not None:
                yield of(f"merged by {merge!r}", other)


def _turned(sizes: tuple[tuple[int, int], ...]) -> list[tuple[int, int]]:
    return [(second, first) for first, second in sizes]


def _halves(run: BidirectionalRun) -> tuple[np.ndarray, np.ndarray]:
    """What both directions of the last layer put out, aligned with the inputs."""
    network, last = run.network, run.network.depth - 1
    from_cells = [
        np.asarray(run.states(last, way))[:, network.part(last, way)] for way in ("forward", "backward")
    ]
    return from_cells[0], from_cells[1]


def _left(run: BidirectionalRun) -> np.ndarray:
    first, second = _halves(run)
    return run.network.merge(-1, first, second[::-1])


def _exchanged(run: BidirectionalRun) -> np.ndarray:
    first, second = _halves(run)
    return np.concatenate([second, first], axis=1)


def _both_ways(run: BidirectionalRun) -> np.ndarray:
    first, second = _halves(run)
    return np.concatenate([second[::-1], first], axis=1)


def _merged_by(network: Bidirectional, merge: str) -> Bidirectional | None:
    """The network with all its layers merged so, where widths allow it and it is another one."""
    if set(network.merges) == {merge}:
        return None
    try:
        other = Bidirectional(network.layers, merge, between=network.between, sizes=network.sizes)
    except ValueError:
        return None
    return other if other.width() == network.width() else None


def _of_gates(network: Bidirectional, x0: Any, sequences: int) -> Iterator[_Reading]:
    """All cells read by another convention, the same for each."""
    cells = [cell for pair in network.layers for cell in pair if cell is not None]
    own = own_convention(cells[0])
    if own is None or any(type(c) is not type(cells[0]) or own_convention(c) != own for c in cells):
        return
    most = _MOST_RUNS // (len(cells) * sequences)
    square = all(cell.W.shape[1] == cell.W_in.shape[1] for cell in cells)
    for one in conventions(cells[0], own)[:most]:
        if one.transposed[1] and not square:
            continue
        pairs = [
            tuple(None if cell is None else cell_by(cell, one) for cell in pair) for pair in network.layers
        ]
        if sum(cell is not None for pair in pairs for cell in pair) == len(cells):
            other = Bidirectional(pairs, network.merges, between=network.between, sizes=network.sizes)
            yield _reading(x0, described(cells[0], one, own), other)
