"""``python -m examples.zoo NAME…``: read, check and diagnose networks in installed packages, a process for each."""

import argparse
import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

from examples.zoo import NAMES


def one(name: str, unpacked: Path | None, out: Path) -> None:
    """Make one network's JSON in this process, and print its verdict."""
    import jax

    jax.config.update("jax_enable_x64", True)
    from examples.zoo import both, common

    program = importlib.import_module(f"examples.zoo.{name}")
    study = program.study(common.Files(unpacked))
    kind = both if isinstance(study, both.Study) else common
    found, verdict = kind.measured(program.ABOUT, study)
    print(kind.report(found, verdict))
    print(f"wrote {common.write(out, found)}")


def table() -> str:
    """The tables of ``README.md``, from the stored results: networks of one direction, and of both."""
    from rnn_dynamics.figures.gradients import zoo

    lines = [
        "| program | network | package, licence | exponent, nats a step "
        "| state 1/e | output 1/e | output 1 % | states agree |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, found in zoo.stored().items():
        rate = f"{found['exponent']:+.4f} ± {found['exponent_error']:.4f}".replace("-", "−")
        lags = [("1/e", "state"), ("1/e", "output"), ("1 %", "output")]
        reach = [zoo.in_its_unit(found, found["horizons"][share][of]) for share, of in lags]
        lines.append(_row(name, found, [rate, *reach]))
    lines += [
        "",
        "| program | network | package, licence | exponents forward, nats a step | backward "
        "| output 1/e back, ahead | output 1 % back, ahead | states agree |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, found in zoo.both_ways().items():
        rates = [
            ", ".join(f"{each['exponent']:+.4f}" for each in found["directions"][way::2]).replace("-", "−")
            for way in (0, 1)
        ]
        reach = [
            ", ".join(zoo.in_its_unit(found, found["horizons"][share][side]) for side in ("back", "ahead"))
            for share in ("1/e", "1 %")
        ]
        lines.append(_row(name, found, [*rates, *reach]))
    return "\n".join(lines)


def _row(name: str, found: dict[str, Any], cells: list[str]) -> str:
    """A row of a table: the network, its package, what was measured, how far states agree."""
    package = f"{found['package']} {found['version']}, {found['licence']}"
    agreement = f"{found['agreement']['states']:.0e}"
    named = f"{found['title']}: {found['architecture']}"
    return f"| {' | '.join([f'`{name}`', named, package, *cells, agreement])} |"


def main(arguments: list[str] | None = None) -> int:
    """Make those that are named, or all; the status is 1 where one failed."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.zoo", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all by default")
    parser.add_argument("--unpacked", type=Path, help="folder below which packages lie unpacked")
    parser.add_argument("--table", action="store_true", help="print the table of the stored results")
    parser.add_argument("--out", type=Path, default=Path("figures/zoo"), help="folder for the JSON files")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in NAMES]
    if unknown:
        parser.error(f"unknown network {unknown[0]!r}; known are {', '.join(NAMES)}")
    if options.unpacked is not None and not options.unpacked.is_dir():
        parser.error(f"--unpacked: expected a folder, got {options.unpacked}")
    if options.table:
        print(table())
        return 0
    names = options.names or list(NAMES)
    if len(names) == 1:
        one(names[0], options.unpacked, options.out)
        return 0
    extra = ["--unpacked", str(options.unpacked)] if options.unpacked else []
    failed = []
    for name in names:
        command = [sys.executable, "-m", "examples.zoo", name, "--out", str(options.out), *extra]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
