"""``rnn-dynamics diagnose``: the verdict on a trained network in a file."""

import argparse
from typing import Any

from rnn_dynamics.cli.program import MISUSED, complain, settings

__all__ = ["add_to", "verdict"]


def add_to(commands: Any) -> None:
    """The command's arguments."""
    parser = commands.add_parser("diagnose", help="how far back the gradients of a trained network reach")
    parser.add_argument("model", metavar="MODEL", help="a safetensors file with PyTorch's names")
    parser.add_argument("--inputs", metavar="FILE", help="inputs of shape (steps, width), as .npy")
    parser.add_argument("--steps", type=int, metavar="T", help="run without inputs, for so many steps")
    kinds = "lstm, gru, rnn_tanh or rnn_relu, where the shapes do not tell"
    parser.add_argument("--kind", metavar="KIND", help=kinds)
    parser.add_argument(
        "--prefix", default="", metavar="NAME", help="of the network's weights, as encoder.lstm."
    )
    directions = "of a bidirectional network; reverse reads the inputs from their last step to their first"
    parser.add_argument("--direction", choices=("forward", "reverse"), help=directions)
    parser.add_argument("--plot", metavar="FILE", help="write the figure too: .png, .svg or .pdf")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.set_defaults(run=_diagnose)


def _diagnose(options: argparse.Namespace) -> int:
    try:
        with settings():
            print(verdict(options))
    except (OSError, ValueError, TypeError, ImportError) as error:
        return complain(str(error), MISUSED)
    return 0


def verdict(options: argparse.Namespace) -> str:
    """The verdict on the network of a file, from the state 0 on, in float64."""
    import jax
    import numpy as np

    from rnn_dynamics.cells.stack import state_size
    from rnn_dynamics.diagnose import diagnose
    from rnn_dynamics.interop import load
    from rnn_dynamics.rollout import rollout

    if (options.inputs is None) == (options.steps is None):
        raise ValueError("--inputs, --steps: expected one of them")
    cell = load(options.model, kind=options.kind, prefix=options.prefix, direction=options.direction)
    cell = jax.tree_util.tree_map(lambda leaf: leaf.astype(float), cell)
    inputs = None
    if options.inputs is not None:
        inputs = _inputs(options.inputs)[:: -1 if options.direction == "reverse" else 1]
    found = diagnose(rollout(cell, np.zeros(state_size(cell)), inputs, steps=options.steps))
    if options.plot is not None:
        found.plot().savefig(options.plot)
    return found.to_json() if options.json else str(found)


def _inputs(path: str) -> Any:
    """The inputs in a file, of shape (steps, width), in float64 and the file's order."""
    import numpy as np

    from rnn_dynamics.validation import concrete_array

    try:
        with open(path, "rb") as file:
            begin = file.read(6)
    except OSError as error:
        raise ValueError(f"--inputs: cannot read {path}: {error.strerror}") from error
    if begin != b"\x93NUMPY":
        kind = "a zip archive, as .npz is" if begin.startswith(b"PK") else "another format"
        raise ValueError(f"--inputs: expected one array as .npy, got {path}, {kind if begin else 'empty'}")
    try:
        found = np.load(path, allow_pickle=False)
    except Exception as error:  # a damaged header raises whatever Python's parser does
        raise ValueError(f"--inputs: expected an array of numbers, got {path}: {error}") from error
    inputs = concrete_array("--inputs", found, ndim=2)
    if not len(inputs):
        raise ValueError(f"--inputs: expected an array of shape (steps, width), got shape {inputs.shape}")
    return inputs.astype(float)
