"""How long a newcomer waits: ``python -m benchmarks.waits [OTHER/src] [--out FILE]``.

First calls in fresh processes (``first_answer``), README's ten lines, and every figure by ``rnn-dynamics
reproduce``, also in quick mode and again with the programs kept; this build, and beside it another one's folder
``src``. Nothing that was compiled before is used, XLA's settings are JAX's own. Memory is that of the largest
process. Some eight minutes on two cores for each build.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from benchmarks import first_answer, timing
from rnn_dynamics.numerics.heartbeat import Heartbeat

NEURON = ("bifurcation_diagram", "sensitivities", "surface")


def first_calls(source: str) -> dict[str, str]:
    """What the fourteen calls, the neuron's three and the ten lines take."""
    found = {task: first_answer.in_fresh_process(task, source) for task in first_answer.TASKS}
    slowest = max(found, key=lambda task: found[task]["wall"])
    lines = first_answer.in_fresh_process("ten_lines", source)
    return {
        "14 first calls in fresh processes, CPU s": f"{sum(m['cpu'] for m in found.values()):.1f}",
        "the slowest of them, wall s": f"{found[slowest]['wall']:.1f} ({slowest})",
        f"the neuron's three ({', '.join(NEURON)}), wall s": ", ".join(
            f"{found[task]['wall']:.1f}" for task in NEURON
        ),
        "programs in one diagnose of an LSTM": f"{found['diagnose']['programs']:.0f}",
        "README's ten lines, fresh process, CPU s": f"{lines['cpu']:.1f}",
    }


def figures(source: str) -> dict[str, str]:
    """Seconds of the figures, with a new folder of programs and again with what it then holds."""
    found, largest = {}, 0.0
    for name, options in (("reproduce, everything", ()), ("reproduce --quick", ("--quick",))):
        with tempfile.TemporaryDirectory() as folder:
            kept = {key: text for key, text in os.environ.items() if not key.startswith(("JAX_", "XLA_"))}
            environment = kept | {
                "PYTHONPATH": source,
                "RNN_DYNAMICS_PROGRAMS": f"{folder}/programs",
                "MPLBACKEND": "Agg",
            }
            command = [sys.executable, "-m", "rnn_dynamics", "reproduce", "--out", f"{folder}/out", *options]
            for kind in ("", ", again"):
                begin = time.perf_counter()
                running = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
                _, status, used = os.wait4(running.pid, 0)  # of this process and those that it waited for
                running.returncode = os.waitstatus_to_exitcode(status)
                if running.returncode:
                    raise subprocess.CalledProcessError(running.returncode, command)
                found[f"{name}{kind}, wall s"] = f"{time.perf_counter() - begin:.0f}"
                largest = max(largest, used.ru_maxrss / 1024**2)
    found["largest process of reproduce, GB"] = f"{largest:.1f}"
    return found


def table(builds: dict[str, dict[str, str]]) -> str:
    """The rows of all builds beside one another."""
    names = next(iter(builds.values()))
    lines = [f"| work | {' | '.join(builds)} |", "|---|" + "---|" * len(builds)]
    lines += [f"| {name} | {' | '.join(found[name] for found in builds.values())} |" for name in names]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.waits", description=__doc__)
    parser.add_argument("other", nargs="?", help="the folder src of the other build")
    parser.add_argument("--out", metavar="FILE", help="write the table there too")
    options = parser.parse_args()
    sources = (
        {"other": options.other, "this": first_answer.OWN} if options.other else {"this": first_answer.OWN}
    )
    with Heartbeat("measuring", program="benchmarks") as beat:
        builds = {}
        for name, source in sources.items():
            beat.at(f"measuring {name} build")
            builds[name] = first_calls(source) | figures(source)
    head = "".join(f"- {key}: {value}\n" for key, value in timing.environment().items())
    text = f"# How long a newcomer waits\n\n{head}- date: {time.strftime('%Y-%m-%d')}\n\n{table(builds)}"
    print(text)
    if options.out:
        pathlib.Path(options.out).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
