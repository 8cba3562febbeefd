"""The page of the table, made of what the frameworks' processes found."""

from typing import Any

_HEAD = """# Other frameworks, run beside the library

`make peers` installs each framework, pinned, into a folder of its own (`.cache/peers/`, a few GB, most of it
PyTorch where its build has CUDA), runs its cells in its own runtime, and writes this page. Of each cell, over
20 steps with random weights and inputs, it has the greatest error of the states and of $\\partial h_T/\\partial
h_0$, by the framework's autograd and by the library's product of step Jacobians, relative to the greatest
entry. Then [`rd.interop.audit`](howto/audit.md#does-your-frameworks-gradient-tell-the-truth) holds the
gradient $\\partial y_T/\\partial u_k$ of whole modules against the derivative of their maps, lag by lag. A
spiking cell has two rows: the map, and the library's cell with the same surrogate, which autograd must be.

A new row is an entry in `tests/peers/of_NAME.py`, a new framework such a file and its packages in
`tests/peers/packages.py`.

| framework | cell | option | dtype | states | ∂h_T/∂h_0 | its gradient |
|---|---|---|---|---|---|---|
"""
_SAYS = {
    "FLOOR": "is noise from lag {parted} on",
    "PRECISION": "is of coarser numbers",
    "CLIPPED": "is clipped from lag {parted} on",
    "SURROGATE": "is a surrogate's from lag {parted} on",
    "STOPPED": "lacks a path from lag {parted} on",
    "OTHER": "is another derivative's from lag {parted} on",
    "UNDERFLOW": "underflows from lag {parted} on",
    "CUT": "is cut off at lag {parted}",
    "ROUNDING": "cannot be told from rounding",
    "STATES": "is of another map",
    "OVERFLOW": "overflows from lag {parted} on",
}


def text(results: dict[str, Any]) -> str:
    """Of each framework what its process wrote: its versions and rows, or why it could not be run."""
    lines, failed = [], []
    for name, one in results.items():
        if "could not" in one:
            failed.append(f"- {name}: {one['could not']}")
            continue
        framework = ", ".join(f"{package} {version}" for package, version in one["versions"].items())
        lines += [_line(framework, row) for row in one["rows"]]
    tail = "\n".join(["\nNot run, and why:\n", *failed]) + "\n" if failed else ""
    return _HEAD + "\n".join(lines) + "\n" + tail


def _line(framework: str, row: dict[str, Any]) -> str:
    numbers = [f"{row[key]:.0e}" if key in row else "–" for key in ("states", "jacobian")]
    if row["wrong"]:
        verdict = "**not as expected**: " + row["wrong"][0].splitlines()[0]
    elif "cause" not in row:
        verdict = "–"
    elif row["cause"] == "AGREES":
        verdict = f"agrees at all {row['lags']} lags"
    else:
        verdict = _SAYS[row["cause"]].format(**row)
    if row.get("because"):
        verdict = f"{verdict}: {row['because']}" if verdict != "–" else row["because"]
    cells = [framework, row["cell"], row["option"].replace("|", "/"), row["dtype"], *numbers, verdict]
    return "| " + " | ".join(cells).replace("|  |", "| |") + " |"
