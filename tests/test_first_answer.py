"""How many programs a first call asks the compiler for: a count that does not depend on the machine."""

import subprocess
import sys
from pathlib import Path

from benchmarks.first_answer import BUDGET, TASKS, covered


def test_no_first_call_asks_for_more_programs_than_its_budget() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.first_answer", "--count"],
        cwd=Path(__file__).parents[1],
        check=True,
        capture_output=True,
        text=True,
    )
    found = dict(line.split(": ") for line in done.stdout.splitlines())
    assert list(found) == list(TASKS)
    over = {task: text for task, text in found.items() if int(text.split()[0]) > BUDGET[task]}
    assert not over


def test_intervals_that_overlap_count_once() -> None:
    assert covered([(0, 2), (1, 3), (5, 6), (5.5, 5.75)]) == 4
    assert covered([]) == 0
