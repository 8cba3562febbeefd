"""``rnn-dynamics diagnose``: the verdict on a trained network in a file."""

import argparse
import ast
import difflib
import json
import re
import shlex
import sys
import warnings
from pathlib import Path
from typing import Any

from rnn_dynamics.cli.arguments import Problems, Wrong, did_you_mean, lenient, numbers
from rnn_dynamics.cli.places import PICTURES, check_file, save_picture
from rnn_dynamics.cli.program import MISUSED, complain, named, settings
from rnn_dynamics.numerics.heartbeat import Heartbeat
from rnn_dynamics.numerics.texts import printable

_OTHER_PICTURES = (".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".eps")
_WEIGHTS, _ARRAYS = (
    (".safetensors", ".npz", ".pt", ".pth", ".ckpt", ".mat", ".msgpack", ".json", ".onnx"),
    (".npy",),
)
_DIRECTIONS = ("forward", "reverse")
_MOST_STEPS = 2**31 - 1
_PATIENCE = 4.0  # seconds without a word


def add_to(commands: Any) -> None:
    """Add the command's arguments to its parser."""
    parser = commands.add_parser("diagnose", help="how far back the gradients of a trained network reach")
    parser.add_argument(
        "model", nargs="?", metavar="MODEL", help="a file of weights, as rnn-dynamics inspect reads it"
    )
    parser.add_argument("--inputs", metavar="FILE", help="inputs of shape (steps, width), as .npy")
    parser.add_argument(
        "--steps", type=lenient(int), metavar="T", help="run without inputs, for so many steps"
    )
    kinds = "lstm, gru, rnn_tanh or rnn_relu, where the shapes do not tell"
    parser.add_argument("--kind", metavar="KIND", help=kinds)
    parser.add_argument(
        "--prefix", default="", metavar="NAME", help="of the network's weights, as encoder.lstm."
    )
    parser.add_argument("--layer", type=lenient(int), metavar="N", help="one layer alone, from 0 on")
    directions = "of a bidirectional network; reverse reads the inputs from their last step to their first"
    parser.add_argument("--direction", metavar="{forward,reverse}", help=directions)
    parser.add_argument("--plot", metavar="FILE", help="write the figure too: .png, .svg or .pdf")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.set_defaults(run=_diagnose, check=_check)


def _diagnose(options: argparse.Namespace) -> int:
    try:
        # A first run compiles for some seconds, and no bar shows it.
        with Heartbeat(f"diagnosing {options.model}", first=_PATIENCE, on_terminals=True), settings():
            text = verdict(options)
    except (OSError, ValueError, TypeError, ImportError) as error:
        return complain(str(error), MISUSED)
    print(text)
    return 0


def _check(options: argparse.Namespace, problems: Problems) -> None:
    """Check arguments, files and packages, all of them, without JAX."""
    shape = None
    if (options.inputs is None) == (options.steps is None):
        both, neither = (
            "both: --steps runs it without inputs",
            "neither: --steps 200 runs it on inputs of zeros",
        )
        got = neither if options.inputs is None else both
        problems.add(f"--inputs, --steps: expected one of them, got {got}")
    numbers(
        problems,
        "--steps",
        options.steps,
        expected="an integer of at least 1",
        fits=lambda value: 1 <= value <= _MOST_STEPS,
    )
    numbers(
        problems,
        "--layer",
        options.layer,
        expected="an integer from 0 on (layers of Keras have names, which --prefix takes)",
        fits=lambda value: value >= 0,
    )
    if options.inputs is not None:
        try:
            shape = _inputs(options.inputs).shape
        except (ValueError, TypeError) as error:
            problems.add(str(error))
    is_direction = options.direction in (None, *_DIRECTIONS)
    if not is_direction:
        given = str(options.direction)
        hint = did_you_mean(given, _DIRECTIONS)
        problems.add(f"--direction: expected one of {', '.join(_DIRECTIONS)}, got {given[:40]!a}{hint}")
    is_kind = _check_kind(options.kind, problems)
    check_file(problems, "--plot", options.plot, PICTURES, _OTHER_PICTURES)
    if options.model is None:
        problems.add("MODEL: expected a file of weights, got none")
        return
    path = named(options.model)
    found = _check_format(path, problems)
    if found is not None:
        _check_layout(options, path, found, shape, is_kind, is_direction, problems)


def _check_kind(kind: str | None, problems: Problems) -> bool:
    from rnn_dynamics.interop.files.names import KINDS

    if kind is None or kind in KINDS:
        return True
    near = [name for name in KINDS if kind.lower().replace("-", "_") in (name, name.removeprefix("rnn_"))]
    hint = f"; did you mean {near[0]}?" if near else did_you_mean(kind, KINDS)
    problems.add(f"--kind: expected one of {', '.join(KINDS)}, got {kind[:40]!a}{hint}")
    return False


def _check_format(path: Path, problems: Problems) -> Any:
    """What is in a file that can be read; everything that is in the way is noted."""
    from rnn_dynamics.interop.files.contents import contents_of
    from rnn_dynamics.interop.files.formats import KERAS, format_of

    if not path.exists():
        problems.add(f"MODEL: no file {path}{_beside(path, _WEIGHTS)}")
        return None
    try:
        # Of Keras the reader itself says what is wrong, which takes JAX.
        return None if format_of(path) in KERAS else contents_of(path)
    except OSError as error:
        problems.add(f"MODEL: cannot read {path}: {error.strerror or error}")
    except (ValueError, ImportError) as error:
        problems.add(_as_options(str(error)))
    return None


def _beside(path: Path, endings: tuple[str, ...]) -> str:
    """Return the files of nearly that name in the same folder."""
    try:
        others = sorted(each.name for each in path.parent.iterdir() if each.suffix in endings)
    except OSError:
        return f": there is no folder {path.parent}"
    close = difflib.get_close_matches(path.name, others, n=3, cutoff=0.6)
    close += [name for name in others if Path(name).stem == path.stem and name not in close]
    return f"; did you mean {' or '.join(str(path.parent / name) for name in close[:3])}?" if close else ""


def _check_layout(
    options: argparse.Namespace,
    path: Path,
    contents: Any,
    shape: tuple[int, int] | None,
    is_kind: bool,
    is_direction: bool,
    problems: Problems,
) -> None:
    """Names and shapes of the weights, told by the file's header, beside what the other arguments say of them."""
    from rnn_dynamics.interop.files import names
    from rnn_dynamics.interop.files.contents import chosen
    from rnn_dynamics.interop.files.networks import one_layer
    from rnn_dynamics.interop.files.stored import HALF

    try:
        network = chosen(contents, path, options.prefix, options.direction if is_direction else None)
        if options.layer in (None, 0):
            _check_width(network.inputs, shape, problems)
        if network.family != "torch":
            return
        for name, stored in network.arrays.items():
            if stored.dtype not in ("float32", "float64", *HALF):
                problems.add(f"MODEL: expected {name} in float32 or float64, got {stored.dtype}")
        if not is_direction or isinstance(options.layer, Wrong):
            return
        arrays = one_layer(network.arrays, options.layer)
        if options.direction is None and names.has_both_directions(arrays):
            layers = [way for pair in names.pairs_of(arrays) for way in pair]
        else:
            layers = names.layers_of(arrays, options.direction)
        if is_kind:
            told = network.kind if network.kind in names.KINDS else None
            told = options.kind or told or names.kind_of(layers[0])
            for number, layer in enumerate(layers):
                names.check_kind(told, layer, number)
    except (ValueError, TypeError) as error:
        problems.add(_as_options(str(error)))


def _check_width(expected: int, shape: tuple[int, int] | None, problems: Problems, whose: str = "") -> None:
    """Note inputs that the network does not read; each step of ``shape`` is a row."""
    if shape is None or shape[1] == expected:
        return
    turned = f"{shape}: time comes first, array.T" if shape[0] == expected else f"(steps, {shape[1]})"
    whose = whose or "as the network reads"
    problems.add(f"--inputs: expected {expected} inputs a step, {whose}, got {turned}")


def _check_cell(cell: Any, options: argparse.Namespace, shape: tuple[int, int]) -> None:
    """The same of what was read, where the file's header does not tell it: of Keras, and of a layer above others.

    Raises:
        ValueError: another width.
    """
    first = cell
    while hasattr(first, "cells") or hasattr(first, "layers"):
        first = first.cells[0] if hasattr(first, "cells") else first.layers[0][0]
    W_in, problems = getattr(first, "W_in", None), Problems()
    if W_in is not None:
        layer = options.layer
        whose = f"as layer {layer} reads the outputs of layer {layer - 1}" if layer else ""
        _check_width(int(W_in.shape[1]), shape, problems, whose)
    if problems.lines:
        raise ValueError(problems.lines[0])


def _as_options(message: str, is_keras: bool = False) -> str:
    """A message of an importer in the words of the command line."""
    if is_keras and not message.startswith("layer: expected None"):  # of Keras layers have names
        message = re.sub("^layer:", "prefix:", message)
    message = message.replace("whose layers prefix= names", "whose layers --prefix names")
    for argument, option in (
        ("path", "MODEL"),
        ("source", "MODEL"),
        ("layer", "--layer"),
        ("kind", "--kind"),
        ("direction", "--direction"),
    ):
        message = re.sub(rf"^{argument}:", f"{option}:", message)
    several = (
        r'(?:rd\.interop\.)?read_keras\("[^"]*", layer=\[?((?:"[^"]*"(?:, )?)+)\]?(?:, direction="(\w+)")?\)'
    )
    message = re.sub(several, _as_prefix, message)
    # A value of json.dumps may have quotes in it, which the shell has to be spared too.
    call = r"rd\.interop\.load\(('[^']*'|\"[^\"]*\")((?:, \w+=\"(?:[^\"\\\\]|\\\\.)*\")*)\)"
    message = re.sub(call, _as_arguments, message)
    return re.sub(r'prefix="([^"]+)"', r"--prefix \1", re.sub("^prefix:", "--prefix:", message))


def _as_arguments(call: re.Match[str]) -> str:
    """The arguments of a call of ``load`` as options; of one that has none the path, as another is meant then."""
    found = re.findall(r', (\w+)=("(?:[^"\\]|\\.)*")', call[2])
    options = " ".join(f"--{name} {shlex.quote(json.loads(value))}" for name, value in found)
    return options or f"rnn-dynamics diagnose {shlex.quote(ast.literal_eval(call[1]))}"


def _as_prefix(call: re.Match[str]) -> str:
    """The names of layers of Keras, and a direction, as options."""
    names = ",".join(re.findall('"([^"]*)"', call[1]))
    return f"--prefix {names}{f' --direction {call[2]}' if call[2] else ''}"


def verdict(options: argparse.Namespace) -> str:
    """The verdict on the network of a file, from the state 0 on, in float64."""
    import jax
    import numpy as np

    from rnn_dynamics.cells.bidirectional import Bidirectional
    from rnn_dynamics.cells.rollout import rollout
    from rnn_dynamics.diagnosis import diagnose
    from rnn_dynamics.interop import load
    from rnn_dynamics.interop.files.formats import KERAS, format_of

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", UserWarning)
        try:
            cell = load(
                options.model,
                kind=options.kind,
                prefix=options.prefix,
                layer=options.layer,
                direction=options.direction,
            )
        except ValueError as error:
            is_keras = format_of(Path(options.model)) in KERAS
            raise ValueError(_as_options(str(error), is_keras)) from error
    for warning in told:
        print(f"rnn-dynamics: {printable(str(warning.message))}", file=sys.stderr)
    # by NumPy: JAX would compile a program for each shape
    cell = jax.tree_util.tree_map(lambda leaf: jax.numpy.asarray(np.asarray(leaf, float)), cell)
    inputs = None
    if options.inputs is not None:
        inputs = _inputs(options.inputs)[:: -1 if options.direction == "reverse" else 1]
        _check_cell(cell, options, inputs.shape)
    if isinstance(cell, Bidirectional):  # whose inputs alone tell how long the sequence is
        run = cell.run(np.zeros((options.steps, cell.inputs or 0)) if inputs is None else inputs)
    else:
        run = rollout(cell, None, inputs, steps=options.steps)
    found = diagnose(run)
    save_picture(found, options.plot)
    return found.to_json() if options.json else str(found)


def _inputs(path: str) -> Any:
    """The inputs in a file, of shape (steps, width), in float64 and the file's order; JAX is not imported."""
    import numpy as np

    try:
        with open(path, "rb") as file:
            begin = file.read(6)
    except OSError as error:
        raise ValueError(
            f"--inputs: cannot read {path}: {error.strerror}{_beside(Path(path), _ARRAYS)}"
        ) from error
    if begin != b"\x93NUMPY":
        kind = "a zip archive, as .npz is" if begin.startswith(b"PK") else "another format"
        raise ValueError(
            f"--inputs: expected one array as .npy, got {path}, {kind if begin else 'empty'}; "
            "np.save writes one"
        )
    try:
        found = np.load(path, allow_pickle=False)
    except Exception as error:  # a damaged header raises whatever Python's parser does
        raise ValueError(f"--inputs: expected an array of numbers, got {path}: {error}") from error
    if found.dtype.kind not in "fiu":
        raise TypeError(f"--inputs: expected real numbers, got {found.dtype} in {path}")
    if found.ndim != 2 or not len(found):
        batch = "; the first sequence of a batch is array[0]" if found.ndim == 3 else ""
        raise ValueError(
            f"--inputs: expected an array of shape (steps, width), got shape {found.shape}{batch}"
        )
    inputs = found.astype(float)
    if not np.isfinite(inputs).all():
        step, entry = (int(i) for i in np.argwhere(~np.isfinite(inputs))[0])
        raise ValueError(
            f"--inputs: expected finite numbers, got {inputs[step, entry]} at index {(step, entry)}"
        )
    return inputs
