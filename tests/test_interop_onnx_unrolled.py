"""Gated networks that a graph of ONNX writes out step by step, or runs in a Loop: their framework's own states."""

import io
import re
import tarfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import rnn_dynamics as rd
from rnn_dynamics.cells.stack import state_size
from rnn_dynamics.interop.onnx.files import read_model

with tarfile.open(Path(__file__).parent / "files" / "onnx_unrolled.tar.xz") as archive:
    HELD = {member.name: archive.extractfile(member).read() for member in archive.getmembers()}
NAMES = sorted(name.removesuffix(".onnx") for name in HELD if name.endswith(".onnx"))
APART = [name for name in NAMES if name.endswith("relu")]


def file_of(name, folder):
    path = folder / f"{name}.onnx"
    path.write_bytes(HELD[f"{name}.onnx"])
    return path


def states_of(cell, inputs):
    """What the last layer gives."""
    last = getattr(cell, "cells", (cell,))[-1]
    first = state_size(cell) - state_size(last)
    states = np.asarray(rd.rollout(cell, np.zeros(state_size(cell)), inputs).states)
    return states[1:, first : first + 3]


@pytest.mark.parametrize("name", [name for name in NAMES if name not in APART])
def test_states_are_those_of_the_framework(tmp_path, name):
    turn = -1 if name.endswith("backwards") else 1
    cell = rd.interop.load(file_of(name, tmp_path), direction="reverse" if turn < 0 else None)
    with np.load(io.BytesIO(HELD[f"{name}.npz"])) as held:
        np.testing.assert_allclose(states_of(cell, held["x"][::turn])[::turn], held["y"], rtol=0, atol=3e-7)


@pytest.mark.parametrize("name", APART)
def test_layers_with_a_function_between_are_no_stack(tmp_path, name):
    path = file_of(name, tmp_path)
    with pytest.raises(ValueError, match="expected one recurrent network, got 2") as refused:
        rd.interop.load(path)
    calls = re.findall(r"rd\.interop\.load\(.*?\)(?=$|;)", str(refused.value))
    cells = [eval(call, {"rd": rd}) for call in calls]
    with np.load(io.BytesIO(HELD[f"{name}.npz"])) as held:
        below = np.maximum(states_of(cells[0], held["x"]), 0)
        np.testing.assert_allclose(states_of(cells[1], below), held["y"], rtol=0, atol=3e-7)


def test_a_step_of_other_functions_is_not_read():
    for name, old, new in (("gru", "Tanh", "Erf"), ("lstm", "Sigmoid", "Erf"), ("lstm", "Mul", "Max")):
        for place in (0, -1):
            graph = read_model(HELD[f"{name}.onnx"], Path())
            steps = [node for node in graph.node if node.op_type == old]
            # of an LSTM's last step, which no other reads, its last function of c
            steps[place if place == 0 else len(steps) // 2].op_type = new
            with pytest.raises(ValueError, match=r"^source: expected a model with an RNN"):
                rd.interop.from_onnx(graph)


def _refuses_twice(graph, value, after, before):
    """Refuses the graph once its nodes between these two places take twice a value that they took."""
    for node in graph.node[after + 1 : before]:
        node.input[:] = ["twice" if each == value else each for each in node.input]
    double = SimpleNamespace(
        op_type="Add", domain="", name="", input=[value, value], output=["twice"], attribute=[]
    )
    graph.node.insert(after + 1, double)
    with pytest.raises(ValueError, match=r"^source: expected a model with an RNN"):
        rd.interop.from_onnx(graph)


@pytest.mark.parametrize("which", [0, -1], ids=["first", "last"])
@pytest.mark.parametrize("name", ["gru", "lstm", "rnn_two_relu"])
def test_a_first_or_last_step_that_reads_its_input_otherwise_is_not_read(name, which):
    """Twice the input is another map there, though all other steps are the same."""
    graph = read_model(HELD[f"{name}.onnx"], Path())
    place = [i for i, node in enumerate(graph.node) if node.op_type == "Squeeze"][which]
    _refuses_twice(graph, graph.node[place].output[0], place, len(graph.node))


def test_a_last_step_by_other_weights_is_no_readout():
    """Its state doubled, the network's last step is another map, and what it reads no input of a readout."""
    graph = read_model(HELD["rnn_given.onnx"], Path())
    before, last = [place for place, node in enumerate(graph.node) if node.op_type == "Tanh"][-2:]
    _refuses_twice(graph, graph.node[before].output[0], before, last)


def test_a_loop_that_counts_otherwise_is_not_read():
    graph = read_model(HELD["keras_loop_rnn.onnx"], Path())
    (loop,) = (node for node in graph.node if node.op_type == "Loop")
    (body,) = (each.g for each in loop.attribute if each.g is not None)
    counter = next(node for node in body.node if node.op_type == "Add" and "placeholder" in node.input[0])
    counter.op_type = "Sub"
    with pytest.raises(ValueError, match=r"^source: expected a model with an RNN"):
        rd.interop.from_onnx(graph)


def test_what_is_refused_says_what_was_looked_for(tmp_path):
    content = HELD["gru.onnx"].replace(b"Tanh", b"Sinh")
    path = tmp_path / "x.onnx"
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"three times or more.*rd\.interop\.from_torch\(.*prefix='cells\.0\.'\)"
    ):
        rd.interop.load(path)
