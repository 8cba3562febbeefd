"""Run the everyday tests on 300 faults of one place: ``python -m tests.mutation`` (``make mutants``), for hours.

First the suite runs once under ``coverage``, which tells the tests that reach each line and how long each takes.
A fault counts as noticed when one of those fails, or does not end; the quick ones run first, 40 seconds' worth in
all, then as much of the other tests in the files that are about that place (a line that is traced is seen by the
test that compiles it, not by those after it), then those marked ``shipped``. So the table has a lower bound.
Faults that change nothing that could be tested are listed in ``equivalent.txt``, each with its reason. What has run
is kept in ``.cache/mutation``; the table is written to ``tests/mutation/results.md``.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import NamedTuple

import coverage

from tests.mutation.mutants import Mutant, drawn

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
KEPT = ROOT / ".cache" / "mutation"
FOLDERS = tuple(
    f"src/rnn_dynamics/{name}" for name in ("gradients", "doya", "cliff", "spectral", "dynamics/lyapunov")
)
_QUICK, _MOST, _BESIDE = 8.0, 40.0, 40.0  # seconds' worth of tests of the three runs
_COPIED = (
    "src",
    "tests",
    "benchmarks",
    "notebooks",
    "docs",
    "examples",
    "pyproject.toml",
    "README.md",
    "Makefile",
)


class Reached(NamedTuple):
    """The tests that reach each line of each file, and the seconds of each test."""

    lines: dict[str, dict[int, set[str]]]
    seconds: dict[str, float]

    def tests_of(self, mutant: Mutant) -> list[str]:
        """Those that reach the line, or, of a line that runs at import, the file; the quickest first."""
        lines = self.lines.get(mutant.file, {})
        found = lines.get(mutant.line) or set().union(*lines.values())
        return sorted((test for test in found if test in self.seconds), key=self.seconds.__getitem__)

    def beside(self, mutant: Mutant, tests: list[str]) -> list[str]:
        """The other tests of the test files that are about the mutant's file: a quarter of their tests reach it."""
        reaching = set().union(*self.lines.get(mutant.file, {}).values())
        of_file = Counter(test.partition("::")[0] for test in self.seconds)
        about = {
            file
            for file, count in Counter(test.partition("::")[0] for test in reaching).items()
            if 4 * count >= of_file[file]
        }
        found = {test for test in self.seconds if test.partition("::")[0] in about} - set(tests)
        return sorted(found, key=self.seconds.__getitem__)


def _covered(workers: int) -> None:
    """Run the suite under coverage, with a line for each test's seconds."""
    KEPT.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"COVERAGE_FILE": str(KEPT / "coverage")}
    subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-n", str(workers), "--dist", "loadfile"),
            *(
                "--durations=0",
                "--durations-min=0",
                "--cov=rnn_dynamics",
                "--cov-context=test",
                "--cov-report=",
            ),
        ],
        cwd=ROOT,
        env=environment,
        stdout=(KEPT / "durations.txt").open("w"),
        check=False,
    )


def _reached() -> Reached:
    seconds: Counter[str] = Counter()
    ran = set()  # what was skipped has no call
    for line in (KEPT / "durations.txt").read_text(encoding="utf-8").splitlines():
        words = line.split(maxsplit=2)
        if len(words) == 3 and words[1] in ("call", "setup", "teardown") and words[0].endswith("s"):
            seconds[words[2]] += float(words[0][:-1])
            if words[1] == "call":
                ran.add(words[2])
    data = coverage.CoverageData(str(KEPT / "coverage"))
    data.read()
    lines = {}
    for file in data.measured_files():
        name = "src/rnn_dynamics/" + file.split("/src/rnn_dynamics/")[1]
        by_line = data.contexts_by_lineno(file)
        lines[name] = {
            line: {context.rpartition("|")[0] for context in contexts if context}
            for line, contexts in by_line.items()
        }
    return Reached(lines, {test: seconds[test] for test in ran})


def _within(tests: list[str], seconds: dict[str, float], most: float) -> list[str]:
    chosen, total = [], 0.0
    for test in tests:
        total += seconds[test]
        if chosen and total > most:
            break
        chosen.append(test)
    return chosen


def _fails(tree: Path, tests: list[str], limit: float) -> str | None:
    """The name of a test that fails, ``time`` where they do not end, none where all pass."""
    environment = os.environ | {"PYTHONPATH": f"{tree / 'src'}:{tree}", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-n", "0", *tests]
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        return "time"
    if done.returncode in (0, 5):  # all pass, or none is left to run
        return None
    if done.returncode == 4:
        raise RuntimeError(f"the tests are others than those of {KEPT}: remove it\n{done.stderr[-2000:]}")
    failed = [line.split()[1] for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return failed[0] if failed else "an error at import"


def _shipped(tree: Path, mutant: Mutant, files: set[str]) -> list[str]:
    """Of the test files with tests marked ``shipped`` those that reach the mutant, or name its folder or module."""
    path = Path(mutant.file)
    module = re.compile(rf"\b{path.stem}\b")
    texts = {
        file.relative_to(tree): file.read_text(encoding="utf-8") for file in tree.glob("tests/test_*.py")
    }
    return sorted(
        str(name)
        for name, text in texts.items()
        if "mark.shipped" in text
        and (str(name) in files or f"_{path.parent.name}" in name.stem or module.search(text))
    )


def _noticed_by(tree: Path, mutant: Mutant, reached: Reached) -> str | None:
    """What notices the fault; none where nothing does."""
    file = tree / mutant.file
    source = file.read_text(encoding="utf-8")
    file.write_text(mutant.applied(source), encoding="utf-8")
    try:
        tests = reached.tests_of(mutant)
        quick = _within(tests, reached.seconds, _QUICK)
        found = _fails(tree, quick, 120) if quick else None
        rest = _within(tests, reached.seconds, _MOST)[len(quick) :]
        found = found or (_fails(tree, rest, 600) if rest else None)
        beside = _within(reached.beside(mutant, tests), reached.seconds, _BESIDE)
        found = found or (_fails(tree, beside, 900) if beside else None)
        files = {test.partition("::")[0] for test in tests}
        as_shipped = _shipped(tree, mutant, files) if not found else []
        return found or (
            _fails(tree, ["-m", "shipped and not soak", *as_shipped], 900) if as_shipped else None
        )
    finally:
        file.write_text(source, encoding="utf-8")


def _run(mutants: list[Mutant], reached: Reached, workers: int, again: bool) -> dict[str, str]:
    """What notices each fault, an empty word for nothing; what was noticed before, or has run, is read."""
    record = KEPT / "noticed.json"
    noticed: dict[str, str] = json.loads(record.read_text()) if record.exists() else {}
    trees: Queue[Path] = Queue()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(workers):
            tree = Path(folder) / str(number)
            tree.mkdir()
            for name in _COPIED:
                copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
                copy(ROOT / name, tree / name)
            trees.put(tree)

        same = {} if again else _equivalent()  # they have their reasons, and would run through all tests

        def judge(mutant: Mutant) -> None:
            if mutant.name in same:
                noticed.setdefault(mutant.name, "")
            if noticed.get(mutant.name) or (mutant.name in noticed and not again):
                return
            tree = trees.get()
            try:
                found = _noticed_by(tree, mutant, reached)
            finally:
                trees.put(tree)
            noticed[mutant.name] = found or ""
            record.write_text(json.dumps(noticed, indent=1))
            print(f"{mutant.name}: {found or 'not noticed'}", flush=True)

        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(judge, mutants))
    return noticed


def _equivalent() -> dict[str, str]:
    """The reasons why faults change nothing, by name."""
    lines = (HERE / "equivalent.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split(" :: ", 1) for line in lines if line and not line.startswith("#"))
    return dict(pairs)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _table(mutants: list[Mutant], noticed: dict[str, str], seed: int) -> str:
    equal = _equivalent()
    groups: dict[str, list[Mutant]] = {folder.removeprefix("src/rnn_dynamics/"): [] for folder in FOLDERS}
    for mutant in mutants:
        next(found for name, found in groups.items() if f"rnn_dynamics/{name}/" in mutant.file).append(mutant)
    lines = [
        "# Faults of one place that the everyday tests notice",
        "",
        f"`make mutants`, {len(mutants)} faults drawn with seed {seed}; those that change nothing are not counted.",
        "",
        "| folder | drawn | change nothing | noticed | of those that count |",
        "|---|---|---|---|---|",
    ]
    total = [0, 0, 0]
    for name, found in [*groups.items(), ("all", mutants)]:
        same = sum(not noticed[m.name] and m.name in equal for m in found)
        seen = sum(bool(noticed[m.name]) for m in found)
        total = [len(found), same, seen]
        share = seen / max(len(found) - same, 1)
        lines.append(f"| {name} | {len(found)} | {same} | {seen} | {share:.1%} |")
    left = [m for m in mutants if not noticed[m.name]]
    lines += [
        "",
        f"{total[2]} of {total[0] - total[1]} are noticed. Not noticed:",
        "",
        "| fault | why it changes nothing |",
    ]
    lines += [
        "|---|---|",
        *(
            f"| `{_cell(m.name)}` | {_cell(equal.get(m.name, '**it does: a test is missing**'))} |"
            for m in left
        ),
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--again", action="store_true", help="those that were not noticed once more")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    if not (KEPT / "durations.txt").exists():
        _covered(options.workers)
    mutants = drawn(ROOT, FOLDERS, options.count, options.seed)
    noticed = _run(mutants, _reached(), options.workers, options.again)
    (HERE / "results.md").write_text(_table(mutants, noticed, options.seed), encoding="utf-8")
    left = [m for m in mutants if not noticed[m.name] and m.name not in _equivalent()]
    counted = len(mutants) - sum(not noticed[m.name] for m in mutants) + len(left)
    return len(left) > 0.1 * counted


if __name__ == "__main__":
    sys.exit(main())
