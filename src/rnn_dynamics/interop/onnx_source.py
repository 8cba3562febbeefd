"""What is taken for a model of ONNX: a file, a model, a program that holds one, a graph."""

from pathlib import Path
from typing import Any

from rnn_dynamics.interop.formats import file_of, format_of, refusal
from rnn_dynamics.interop.onnx_files import read_model
from rnn_dynamics.interop.stored import Refused, brief


def graph_of(source: Any) -> Any:
    """The graph of a source.

    Raises:
        TypeError: another object.
        FileNotFoundError: no such file.
        ValueError: a file of another format, or a damaged one.
    """
    if isinstance(source, (str, Path)):
        return _of_file(source)
    program = getattr(source, "model_proto", None)  # of torch.onnx.export
    graph = getattr(source if program is None else program, "graph", source)
    if not (hasattr(graph, "node") and hasattr(graph, "initializer")):
        words = "a model of ONNX, its path, or a mapping from W, R, B, P to arrays"
        raise TypeError(f"source: expected {words}, got {type(source).__name__}")
    return graph


def _of_file(source: str | Path) -> Any:
    if not Path(source).exists():
        raise FileNotFoundError(f"source: no file {source}")
    path = file_of(source)
    kind = format_of(path)
    if kind not in ("onnx", "unknown", "text"):
        raise ValueError(f"source: {path.name}: {refusal(path, kind, expected='a model of ONNX')}")
    try:
        return read_model(path.read_bytes(), path.parent)
    except OSError:
        raise
    except Exception as error:  # what is damaged raises whatever the parser does
        said = str(error) if isinstance(error, Refused) else brief(error)
        raise ValueError(
            f"source: {path.name} is no model of ONNX, or a damaged one: {said}; copy it once more"
        ) from error
