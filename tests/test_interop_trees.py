"""Trees of nnx and Haiku in files, and the advice that messages give."""

import ast
import inspect
import io
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest

import rnn_dynamics as rd
from rnn_dynamics.cells.stack import state_size

with tarfile.open(Path(__file__).parent / "files" / "trees.tar.xz") as archive:
    HELD = {member.name: archive.extractfile(member).read() for member in archive.getmembers()}
NAMES = sorted(name.removesuffix(".msgpack") for name in HELD if name.endswith(".msgpack"))
SOURCE = Path(rd.__file__).parent


@pytest.mark.parametrize("name", NAMES)
def test_a_tree_computes_what_its_framework_does(tmp_path, name):
    path = tmp_path / "model"
    path.write_bytes(HELD[f"{name}.msgpack"])
    if "SimpleCell" in name:
        with pytest.raises(ValueError, match='"rnn_tanh" or "rnn_relu"'):
            rd.interop.load(path)
    cell = rd.interop.load(path, kind="rnn_tanh" if "SimpleCell" in name else None)
    inputs, expected = (np.load(io.BytesIO(HELD[f"{each}.npy"])) for each in ("X", name))
    found = np.asarray(rd.rollout(cell, np.zeros(state_size(cell)), inputs).states)[1:, :3]
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-6)


def texts():
    """What messages are made of: every string of the room and of inspect that is no docstring, pieces joined."""
    for path in (*sorted((SOURCE / "interop").rglob("*.py")), SOURCE / "cli" / "inspecting.py"):
        tree = ast.parse(path.read_text())
        docs = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                pieces = [p.value if isinstance(p, ast.Constant) else "…" for p in node.values]
                yield path.name, "".join(map(str, pieces))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
                yield path.name, node.value


def resolved(name):
    found = rd
    for part in name.split(".")[1:]:
        found = getattr(found, part)
    return found


def test_every_name_that_a_message_gives_is_there():
    seen = set()
    for place, text in texts():
        for name in re.findall(r"\brd(?:\.[A-Za-z_]\w*)+", text):
            if not name.endswith((".interop.", ".")) and name != "rd.interop":
                assert callable(resolved(name)), (place, name)
                seen.add(name)
        for name, arguments in re.findall(
            r"\b(?:rd\.interop\.)?((?:from|read)_[a-z]+|load)\(([^()]*)\)", text
        ):
            if name in ("from_bytes", "load_weights"):
                continue
            parameters = inspect.signature(getattr(rd.interop, name)).parameters
            for keyword in re.findall(r"(\w+)=", arguments):
                assert keyword in parameters, (place, text)
            seen.add(name)
    assert {
        "rd.interop.load",
        "rd.ElmanRNN",
        "read_keras",
        "from_torch",
        "rd.interop.onnx_initial_state",
    } <= seen
