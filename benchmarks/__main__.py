"""Run every benchmark of this folder: ``python -m benchmarks [NAME …] [--quick] [--json] [--markdown]``.

A benchmark is a module here with a function ``measure(*, quick)`` that returns rows (``timing.row``).
"""

import argparse
import importlib
import json
import pathlib
import pkgutil
import time

import jax

import benchmarks
from benchmarks import timing
from rnn_dynamics.numerics.heartbeat import Heartbeat

RESULTS = pathlib.Path(__file__).parent / "results"


def names() -> list[str]:
    """The modules of this folder that measure something."""
    return sorted(
        module.name for module in pkgutil.iter_modules(benchmarks.__path__) if module.name not in _OTHERS
    )


_OTHERS = {"__main__", "timing", "two_builds", "on_gpu", "waits", "frames"}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", nargs="*", choices=[*names(), []], help="run these only")
    parser.add_argument("--quick", action="store_true", help="smaller sizes, fewer repetitions")
    parser.add_argument("--json", action="store_true", help=f"write {RESULTS.name}/NAME.json")
    parser.add_argument("--markdown", action="store_true", help=f"write {RESULTS.name}/NAME.md")
    options = parser.parse_args()
    environment = timing.environment() | {"date": time.strftime("%Y-%m-%d")}
    print(*(f"{key}: {value}" for key, value in environment.items()), sep="\n", flush=True)
    with Heartbeat("measuring", program="benchmarks") as beat:
        for name in options.name or names():
            beat.at(f"measuring {name}")
            rows = importlib.import_module(f"benchmarks.{name}").measure(quick=options.quick)
            print(timing.markdown(rows), flush=True)
            write(name, environment, rows, as_json=options.json, as_markdown=options.markdown)


def write(name: str, environment: dict[str, str], rows: list, *, as_json: bool, as_markdown: bool) -> None:
    """A file for each benchmark, so that one can be measured anew, with other peers, beside the others."""
    RESULTS.mkdir(exist_ok=True)
    if as_json:
        text = json.dumps({"environment": environment, "rows": rows}, indent=1, ensure_ascii=False)
        (RESULTS / f"{name}.json").write_text(text + "\n")
    if as_markdown:
        head = "".join(f"- {key}: {value}\n" for key, value in environment.items())
        (RESULTS / f"{name}.md").write_text(f"# {name}\n\n{head}\n{timing.markdown(rows)}")


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main()
