"""How the tests have XLA compile: cheaply, but for those that judge what users get.

Most of the suite's time is compiling. Without optimisation and with XLA's older fusion emitters it takes a quarter
of the time, and last bits change. Tests marked ``shipped`` judge speed, accuracy to the last bits, references to
the bit or the number of compilations; they run with XLA's own settings, in a process of their own:
``pytest -m shipped``. So do the soak tests, which run long rather than compile long.
"""

import itertools
import re
from collections.abc import Sequence

from jaxlib.version import __version_info__

__all__ = ["CHEAP", "asks_for_shipped"]

CHEAP = " ".join(
    (
        "--xla_backend_optimization_level=0",
        "--xla_llvm_disable_expensive_passes=true",
        *(["--xla_cpu_use_fusion_emitters=false"] if __version_info__ < (0, 11, 1) else []),  # gone since
        "--xla_cpu_parallel_codegen_split_count=1",  # the other core has a worker of its own
    )
)


def asks_for_shipped(arguments: Sequence[str]) -> bool:
    """Whether the marks that a command line asks for by ``-m`` need XLA's own settings."""
    asked = [mark for option, mark in itertools.pairwise(arguments) if option == "-m"]
    asked += [option[2:] for option in arguments if re.match(r"-m\w", option)]
    return any(re.search(r"(?<!not )\b(shipped|soak)\b", marks) for marks in asked)
