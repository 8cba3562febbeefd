"""How far a long computation is: a bar on a terminal and in a notebook, plain lines elsewhere, or a function."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from rnn_dynamics.numerics.heartbeat import Heartbeat

#: True for a bar or lines, or a function of how much is done of how much.
Progress = bool | Callable[[int, int], object] | None


class Report(Protocol):
    """What is told how much is done, and how much was set aside."""

    def __call__(self, done: int, aside: int = 0) -> object: ...


@contextlib.contextmanager
def reporter(progress: Progress, total: int, unit: str = "point", before: int = 0) -> Iterator[Report]:
    """A function that is told how far it is.

    Args:
        progress: who is told.
        total: how much there is, of ``unit``.
        before: how much of it was there at the start, so that rates are of this run.
    """
    if progress is True:
        from tqdm.auto import tqdm

        beat = Heartbeat("evaluating", program="sweep")
        if beat.is_plain and not any(each.__module__ == "tqdm.notebook" for each in tqdm.__mro__):
            yield from _in_lines(beat, total, unit, before)
            return
        with tqdm(total=total, unit=unit, initial=before) as bar:

            def on_bar(done: int, aside: int = 0) -> None:
                bar.update(done - bar.n)
                if aside:
                    bar.set_postfix_str(f"{aside} set aside")

            yield on_bar
    elif callable(progress):
        yield lambda done, aside=0: progress(done, total)
    else:
        yield lambda done, aside=0: None


def _in_lines(beat: Heartbeat, total: int, unit: str, before: int) -> Iterator[Report]:
    began, left_out = time.monotonic(), 0

    def report(done: int, aside: int = 0) -> None:
        nonlocal left_out
        left_out = aside
        beat.at("evaluating", words(total, unit, before, done, aside, time.monotonic() - began))

    with beat:
        yield report
    beat.line(f"{total - left_out} {unit}s evaluated")


def words(total: int, unit: str, before: int, done: int, aside: int, seconds: float) -> str:
    """How far it is, how quickly it goes, and how long the rest takes."""
    said = f"{done} of {total} {unit}s"
    if done > before:
        each = seconds / (done - before)
        said += f", {60 / max(each, 1e-9):.3g} a minute, {(total - done - aside) * each:.0f} s left"
    return said + (f", {aside} set aside" if aside else "")
