"""Seconds that ``import rnn_dynamics`` adds to ``import jax``, each measured in a fresh interpreter."""

import argparse
import statistics
import subprocess
import sys

from benchmarks import timing

_PROGRAM = """
import time
start = time.perf_counter()
import jax, jax.numpy
middle = time.perf_counter()
import rnn_dynamics
print(middle - start, time.perf_counter() - middle)
"""


def measure(*, repetitions: int = 7, quick: bool = False) -> list[dict]:
    """One row for JAX and one for what the library adds; the rate is relative to JAX's own import."""
    seconds: list[tuple[float, float]] = []
    for _ in range(min(repetitions, 3) if quick else repetitions):
        done = subprocess.run([sys.executable, "-c", _PROGRAM], check=True, capture_output=True, text=True)
        jax_seconds, added = map(float, done.stdout.split())
        seconds.append((jax_seconds, added))
    of_jax, added = (statistics.median(values) for values in zip(*seconds, strict=True))
    return [
        timing.row("import_time", "fresh interpreter", "import jax", of_jax, of_jax),
        timing.row("import_time", "fresh interpreter", "import rnn_dynamics, added", added, of_jax),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=7)
    print(timing.markdown(measure(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
