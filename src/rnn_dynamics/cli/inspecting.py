"""``rnn-dynamics inspect``: what is in a file of weights, without JAX and without running anything in it."""

import argparse
import collections
import json
from pathlib import Path
from typing import Any

from rnn_dynamics.cli.arguments import Problems
from rnn_dynamics.cli.program import MISUSED, complain, named
from rnn_dynamics.numerics.texts import counted, printable

_SHOWN = 24
_HEAP = 12


def add_to(commands: Any) -> None:
    """Add the command's arguments to its parser."""
    parser = commands.add_parser("inspect", help="what is in a file of weights, and the call that reads it")
    parser.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        help="of PyTorch, safetensors, NumPy, MATLAB, …, or a folder of Orbax",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.set_defaults(run=_inspect, check=_check)


def _check(options: argparse.Namespace, problems: Problems) -> None:
    if options.file is None:
        problems.add("FILE: expected a file of weights, got none")
    elif not Path(options.file).exists():
        problems.add(f"FILE: no file {options.file}")


def _inspect(options: argparse.Namespace) -> int:
    from rnn_dynamics.interop.files.contents import contents_of
    from rnn_dynamics.interop.files.folders import steps_of
    from rnn_dynamics.interop.files.formats import KERAS, format_of

    path = named(options.file)
    try:
        kind = format_of(path)
        if kind in KERAS:
            return _of_keras(path, options.json)
        if kind == "orbax" and len(steps := steps_of(path)) > 1:
            return _of_steps(path, steps, options.json)
        found = described(contents_of(path), path)
    except OSError as error:
        return complain(f"FILE: cannot read {path}: {error.strerror or error}", MISUSED)
    except (ValueError, ImportError) as error:
        return complain(str(error).replace("path:", "FILE:", 1), MISUSED)
    print(json.dumps(found, indent=2) if options.json else _text(found, path))
    return 0


def _of_keras(path: Path, as_json: bool) -> int:
    from rnn_dynamics.interop.keras.opened import described as described_keras

    networks = described_keras(path)
    size = path.stat().st_size
    if as_json:
        listed = [{"is": words, "call": call} for words, call in networks]
        print(json.dumps({"file": str(path), "format": "Keras", "bytes": size, "networks": listed}, indent=2))
        return 0
    lines = [f"{path.name}: a file of Keras, {_size(size)}"]
    lines += [] if networks else ["no SimpleRNN, LSTM or GRU"]
    lines += [line for words, call in networks for line in (f"  {words}", f"    {call}")]
    print("\n".join(printable(line) for line in lines))
    return 0


def _of_steps(path: Path, steps: list[Path], as_json: bool) -> int:
    """A folder of checkpoints, of which each is a step with a call of its own."""
    from rnn_dynamics.interop.files.folders import bytes_of
    from rnn_dynamics.interop.files.formats import WORDS

    size = bytes_of(path)
    listed = [{"step": step.name, "call": f"rd.interop.load({str(step)!r})"} for step in steps]
    if as_json:
        found = {"file": str(path), "format": WORDS["orbax"], "bytes": size, "steps": listed}
        print(json.dumps(found, indent=2))
        return 0
    lines = [f"{path.name}: {len(steps)} steps of Orbax, the last one first, {_size(size)}"]
    lines += [line for each in listed[:_SHOWN] for line in (f"  {each['step']}", f"    {each['call']}")]
    lines += [f"  … and {len(steps) - _SHOWN} more (--json lists all)"] if len(steps) > _SHOWN else []
    print("\n".join(printable(line) for line in lines))
    return 0


def described(contents: Any, path: Path) -> dict[str, Any]:
    """What is in a file, in mappings and lists as JSON has them."""
    from rnn_dynamics.interop.files.folders import bytes_of
    from rnn_dynamics.interop.files.formats import WORDS

    taken = frozenset().union(*(network.names for network in contents.networks))
    return {
        "file": str(path),
        "format": WORDS[contents.format],
        "bytes": bytes_of(path),
        "networks": [
            {
                "kind": network.kind,
                "units": network.units,
                "inputs": network.inputs,
                "layers": network.layers,
                "directions": list(network.directions),
                "prefix": network.prefix,
                "is": str(network),
                "call": "" if network.trouble else network.call(path),
                "alone": "" if network.trouble else network.alone(),
                "trouble": network.trouble,
            }
            for network in contents.networks
        ],
        "arrays": {
            name: {"shape": list(array.shape), "dtype": array.dtype}
            for name, array in contents.arrays.items()
            if name not in taken
        },
        "refused": contents.refused,
        "searched": contents.searched,
    }


def _text(found: dict[str, Any], path: Path) -> str:
    lines = [f"{path.name}: {found['format']}, {_size(found['bytes'])}"]
    lines += [] if found["networks"] else ["no recurrent network by names that are known"]
    for network in found["networks"]:
        lines += [f"  {network['is']}", f"    {network['call'] or 'not read: ' + network['trouble']}"]
        if network["kind"] == "rnn" and network["call"]:
            lines[-1] += '  (or kind="rnn_relu": the weights do not tell)'
        if network.get("alone"):
            lines.append(f"    (one direction alone: {network['alone']})")
    if found["arrays"]:
        lines.append(f"{'other ' if found['networks'] else ''}arrays:")
    many = _heaps(found)
    shown = [(n, a) for n, a in found["arrays"].items() if n.partition(".")[0] not in many]
    width = max((len(name) for name, _ in shown[:_SHOWN] if len(name) < 60), default=0)
    lines += [f"  {name:<{width}}  {tuple(a['shape'])}  {a['dtype']}" for name, a in shown[:_SHOWN]]
    lines += [f"  {top}.…  {count} arrays" for top, count in many.items()]
    if len(shown) > _SHOWN:
        lines.append(f"  … and {len(shown) - _SHOWN} more (--json lists all)")
    if found["refused"]:
        lines.append("refused:")
        lines += [f"  {name}: {what}" for name, what in list(found["refused"].items())[:_SHOWN]]
    if found["searched"]:
        lines.append(
            f"attributes read as data, nothing of these classes run: {', '.join(found['searched'][:12])}"
        )
    return "\n".join(printable(line) for line in lines)


def _heaps(found: dict[str, Any]) -> dict[str, int]:
    """Mappings of many arrays beside that of a network, as an optimiser keeps them, and their numbers."""
    tops = collections.Counter(name.partition(".")[0] for name in found["arrays"] if "." in name)
    own = {network["prefix"].partition(".")[0] for network in found["networks"]}
    if not found["networks"]:
        return {}
    return {top: count for top, count in tops.items() if count > _HEAP and top not in own}


def _size(count: int) -> str:
    scale, unit = (1e9, "GB") if count >= 1e9 else (1e6, "MB") if count >= 1e6 else (1e3, "kB")
    return f"{count / scale:.3g} {unit}" if count >= 1000 else counted(count, "byte")
