"""Interleaved timing and its report: what is compared runs in turn, and medians are given as ratios."""

import argparse
import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax

_PEERS = ("numba", "torch", "lyapax", "chaotax", "jaxcont", "brainpy")


def interleaved(candidates: Mapping[str, Callable[[], Any]], *, repetitions: int) -> dict[str, float]:
    """Median seconds of each candidate over rounds in which every one runs once; one round warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for round_ in range(repetitions + 1):
        for name, run in candidates.items():
            start = time.perf_counter()
            run()
            if round_:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def environment() -> dict[str, str]:
    """The device and the versions behind the numbers, those peers included that are installed."""
    versions = {}
    for package in ("jax", "jaxlib", "numpy", *_PEERS):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    device = jax.devices()[0]
    return {
        "device": f"{device.platform}: {device.device_kind}",
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        **versions,
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor()


def row(benchmark: str, case: str, candidate: str, seconds: float, reference: float) -> dict[str, Any]:
    """One line of a report: ``rate`` is relative to the reference, above 1 faster than it."""
    return {
        "benchmark": benchmark,
        "case": case,
        "candidate": candidate,
        "seconds": seconds,
        "rate": reference / seconds,
    }


def markdown(rows: list[dict[str, Any]]) -> str:
    """The rows as a table."""
    lines = ["| benchmark | case | candidate | seconds | rate |", "|---|---|---|---|---|"]
    for line in rows:
        lines.append(
            f"| {line['benchmark']} | {line['case']} | {line['candidate']} "
            f"| {line['seconds']:.4g} | {line['rate']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def run_alone(description: str | None, measure: Callable[..., list[dict]], *, steps: int) -> None:
    """One benchmark by itself, its steps and repetitions from the command line, printed as a table."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--repetitions", type=int, default=5)
    jax.config.update("jax_enable_x64", True)
    print(environment())
    print(markdown(measure(**vars(parser.parse_args()))))
