"""The rows of one framework, run in this process: `python -m tests.peers torch FILE` writes JSON."""

import importlib
import importlib.metadata
import json
import sys
import traceback
from pathlib import Path
from typing import Any

import jax

from tests.peers.packages import FRAMEWORKS
from tests.peers.rows import measured


def main(name: str, path: str) -> int:
    jax.config.update("jax_enable_x64", True)
    versions = {package: _version(package) for package in FRAMEWORKS[name][1]}
    print(", ".join(f"{package} {version}" for package, version in versions.items()), flush=True)
    found: list[dict[str, Any]] = []
    for row in importlib.import_module(f"tests.peers.of_{name}").rows():
        try:
            one = measured(row)
        except Exception as error:  # the others are run all the same
            traceback.print_exc()
            one = {"cell": row.cell, "option": row.option, "dtype": row.dtype}
            one["wrong"] = [f"{type(error).__name__}: {error}"]
        print(
            f"  {one['cell']} {one['option']} {one['dtype']}: states {one.get('states', float('nan')):.1e}, "
            f"∂h_T/∂h_0 {one.get('jacobian', float('nan')):.1e}, {one.get('verdict', 'no audit')}",
            flush=True,
        )
        found.append(one)
    Path(path).write_text(json.dumps({"versions": versions, "rows": found}, indent=1), encoding="utf-8")
    return 0


def _version(package: str) -> str:
    return importlib.metadata.version(package).partition("+")[0]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
