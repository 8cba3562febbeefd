"""Which axis of a runtime's inputs and outputs is time, as far as their shapes allow it."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from rnn_dynamics.numerics.texts import counted

TIME_FIRST = "(T, batch, n)"
LAST = "the last step alone"


class Layout(NamedTuple):
    """Inputs and outputs in one meaning of their axes.

    Attributes:
        words: how it differs from (T, m) or (batch, T, m) with an output at each step; "" where it does not.
        inputs: shape (batch, T, m).
        output: shape (batch, T, n); of the last step alone (batch, 1, n).
    """

    words: str
    inputs: np.ndarray
    output: np.ndarray

    @property
    def is_last(self) -> bool:
        """Whether the output is that of the last step alone."""
        return self.output.shape[1] < self.inputs.shape[1]


def layouts(inputs: np.ndarray, output: np.ndarray, widths: Sequence[int]) -> list[Layout]:
    """All meanings that the shapes allow, the usual one first.

    Args:
        inputs: shape (T, m), (batch, T, m) or (T, batch, m).
        output: shape (n,), (T, n), (batch, n), (batch, T, n), (T, batch, n) or (1, batch, n).
        widths: what n may be.

    Raises:
        ValueError: shapes that have no meaning; the message says which are expected.
    """
    n = widths[0]
    if output.ndim not in (1, 2, 3) or not output.size or output.shape[-1] not in widths:
        told = output.ndim in (2, 3) and output.size
        got = f": {n} entries a step, as h has, got {output.shape[-1]}" if told else ""
        raise ValueError(
            f"output: expected shape (T, {n}) or (batch, T, {n}), got {output.shape}{got}: give what the "
            f"recurrent layers put out, before any readout; of the last step alone ({n},) or (batch, {n})"
        )
    found = list(_layouts(inputs, output)) if inputs.ndim in (2, 3) and inputs.size else []
    if not found:
        batch, steps = (1, 1, *output.shape)[-3:-1]
        raise ValueError(
            f"inputs: expected {batch} × "
            f"{counted(steps, 'step')} as of the output, got shape {inputs.shape}: shape (T, m) or "
            "(batch, T, m) with an output at each step, or at the last one"
        )
    return sorted(found, key=lambda each: each.words != "")


def _layouts(inputs: np.ndarray, output: np.ndarray) -> Iterator[Layout]:
    if inputs.ndim == 2:
        yield from _of_outputs("", inputs[None], output)
        return
    yield from _of_outputs("", inputs, output)
    yield from _of_outputs("inputs (T, batch, m)", inputs.swapaxes(0, 1), output)


def _of_outputs(words: str, inputs: np.ndarray, output: np.ndarray) -> Iterator[Layout]:
    """What the output may be beside inputs of shape (batch, T, m)."""
    batch, steps, _ = inputs.shape
    rows = output.reshape(-1, output.shape[-1])

    def layout(more: str, array: np.ndarray) -> Layout:
        return Layout(" and ".join(each for each in (words, more) if each), inputs, array)

    is_usual = output.shape[:-1] == (batch, steps) or (batch == 1 and output.shape[:-1] == (steps,))
    if is_usual:
        yield layout("", rows.reshape(batch, steps, -1))
    if output.shape[:-1] == (steps, batch) and batch * steps > 1:
        yield layout(f"output {TIME_FIRST}", output.swapaxes(0, 1))
    lasts = {1: [()], 2: [(batch,)], 3: [(1, batch), (batch, 1)]}[output.ndim]
    if (
        output.shape[:-1] in lasts
        and len(rows) == batch
        and (steps > 1 or (output.ndim < 3 and not is_usual))
    ):
        yield layout(f"output of {LAST}" if steps > 1 else "", rows[:, None])
