"""Figures drawn by other processes are those drawn here; what goes wrong there is told here."""

import os

import pytest

from rnn_dynamics.cli.side_by_side import ProcessDied, SideBySide, drawn, processes
from rnn_dynamics.figures.registry import FIGURES, Entry

CHEAP = "success_by_length"
OPTIONS = {"quick": True, "format": "png", "dpi": 40.0}


def test_a_figure_of_another_process_is_the_one_made_here() -> None:
    entries = [FIGURES[CHEAP], Entry("no_such_figure", "", "", "doya.neuron")]
    with SideBySide(entries, 2, os.environ, **OPTIONS) as running:
        found = running.figures[CHEAP].result(timeout=120)
        with pytest.raises(KeyError, match="no_such_figure"):
            running.figures["no_such_figure"].result(timeout=120)
        workers = running._running
    assert all(worker.returncode is not None for worker in workers)
    here = drawn(FIGURES[CHEAP], **OPTIONS)
    assert found.rows == here.rows
    assert found.picture == here.picture


def test_a_process_that_dies_is_named() -> None:
    with SideBySide([FIGURES["neuron_charts"]], 1, os.environ, **OPTIONS) as running:
        running._running[0].kill()
        with pytest.raises(ProcessDied, match="neuron_charts has ended with status -9"):
            running.figures["neuron_charts"].result(timeout=60)


def test_few_figures_are_made_by_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    assert [processes(n) for n in (1, 3, 4, 27)] == [1, 1, 4, 4]
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    assert processes(27) == 2
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    assert processes(27) == 1


def test_the_longest_come_first() -> None:
    running = SideBySide(list(FIGURES.values()), 1, {}, **OPTIONS)
    order = [running._left.get_nowait().seconds for _ in FIGURES]
    assert order == sorted(order, reverse=True)
    assert list(running.figures) == list(FIGURES)
