"""Files of Keras 1, 2 and 3: states and ∂h_T/∂h_0 as Keras computed them, and files that are none or hostile.

The files and what they compute are made by data/make_keras_files.py.
"""

import io
import json
import random
import struct
import subprocess
import sys
import tarfile
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest

import rnn_dynamics
from rnn_dynamics import cli
from rnn_dynamics.cells import GRU, LSTM, Bidirectional, ElmanRNN, Stack
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.gradients.jacobians import jacobian_product
from rnn_dynamics.interop import from_keras, load, read_keras
from rnn_dynamics.interop.keras.config import Part
from rnn_dynamics.interop.keras.layers import settings
from rnn_dynamics.interop.keras.opened import opened
from rnn_dynamics.interop.keras.order import chains, networks_of
from rnn_dynamics.interop.keras.registered import as_registered
from rnn_dynamics.interop.keras.store import check_heaps

h5py = pytest.importorskip("h5py", reason="h5py is not installed")
ARCHIVE = Path(__file__).parent / "files" / "keras_files.tar.xz"
TANH = {"activation": "tanh", "recurrent_activation": "hard_sigmoid_5"}
HARD3 = {"activation": "tanh", "recurrent_activation": "hard_sigmoid_6"}
ROW = ("first", "gru", "rnn")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("keras")
    with tarfile.open(ARCHIVE) as archive:
        for member in archive.getmembers():
            (found / member.name).write_bytes(archive.extractfile(member).read())
    return found


@pytest.fixture(scope="module")
def truth(folder):
    with np.load(folder / "truth.npz") as found:
        return dict(found)


READ = [
    ("three.keras", {"layer": ROW}, "three", Stack),
    ("three.h5", {"layer": ROW}, "three", Stack),
    ("three.keras", {"layer": "first"}, "first", LSTM),
    ("three.weights.h5", {"layer": "first", **HARD3}, "first", LSTM),
    ("three.keras", {"layer": "bidirectional", "direction": "reverse"}, "back", ElmanRNN),
    ("three.h5", {"layer": "bidirectional", "direction": "reverse"}, "back", ElmanRNN),
    (
        "three.weights.h5",
        {"layer": "bidirectional", "direction": "reverse", "activation": "elu"},
        "back",
        ElmanRNN,
    ),
    ("two.h5", {"layer": "both", "direction": "forward"}, "two", LSTM),
    ("two.h5", {"layer": "both", "direction": "reverse"}, "two_back", LSTM),
    ("two_weights.h5", {"layer": "both", "direction": "forward", **TANH}, "two", LSTM),
    ("two_weights.h5", {"layer": "both", "direction": "reverse", **TANH}, "two_back", LSTM),
    ("cudnn.h5", {}, "cudnn", LSTM),
    ("one.h5", {"layer": "lstm_1"}, "one_lstm", LSTM),
    ("one.h5", {"layer": "gru_1"}, "one_gru", GRU),
]


@pytest.mark.parametrize(("file", "options", "name", "cls"), READ)
def test_states_and_jacobians_are_keras(folder, truth, file, options, name, cls):
    cell = read_keras(folder / file, **options)
    assert type(cell) is cls
    inputs = truth["inputs"][::-1] if name == "back" else truth["inputs"]
    run = rollout(cell, truth[f"{name}/x0"].astype("float32"), inputs)
    np.testing.assert_allclose(run.states[1:], truth[f"{name}/states"], rtol=0, atol=3e-6)
    expected = truth[f"{name}/jacobian"]
    found = jacobian_product(run).to_float()
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * max(1e-3, np.abs(expected).max()))


@pytest.mark.parametrize("merge", ["concat", "sum"])
def test_weights_alone_of_both_directions_are_merged_as_the_user_says(folder, merge):
    found = read_keras(folder / "two_weights.h5", layer="both", merge=merge, **TANH)
    told = read_keras(folder / "two.h5", layer="both")
    assert found.merges == (merge,)
    for one, other in zip(found.layers[0], told.layers[0], strict=True):
        np.testing.assert_array_equal(one.W, other.W)


def test_weights_are_the_same_in_every_file(folder):
    cells = [read_keras(folder / file, layer=ROW) for file in ("three.keras", "three.h5")]
    assert repr(cells[0]) == repr(cells[1])
    assert "gate_activation=hard_sigmoid_6" in repr(cells[0])
    assert "leaky_relu(0.1)" in repr(cells[0])
    assert "gate_activation=hard_sigmoid_5" in repr(read_keras(folder / "two.h5", layer="gru_1"))


@pytest.mark.parametrize(
    ("file", "options", "words"),
    [
        (
            "three.keras",
            {},
            r'^layer: .*got 2.*lies dense \(Dense\).*layer=\["first", "gru", "rnn"\].*or rd\.interop\.read_keras',
        ),
        ("two.h5", {}, r'^layer: .*layer="both"\) or .*layer="gru_1"\)'),
        ("two.h5", {"layer": "gru_1", "direction": "reverse"}, r'^direction: .*"forward" or None'),
        ("two.h5", {"layer": "gru_1", "direction": "up"}, r"^direction: .*'up'"),
        ("two.h5", {"layer": "nothing"}, r"^layer: .*'both', 'gru_1'.*'nothing'"),
        ("two.h5", {"layer": ("both", "gru_1")}, r"^layer: .*in a row.*lies lambda_1 \(Lambda\)"),
        ("two.h5", {"layer": 3}, r"^layer: .*name.*3"),
        ("two.h5", {"layer": ()}, r"^layer: .*name"),
        ("two.h5", {"layer": "gru_1", "activation": "relu"}, r"^activation: .*'tanh'.*'relu'"),
        (
            "two.h5",
            {"layer": "gru_1", "recurrent_activation": "sigmoid"},
            r"^recurrent_activation: .*'hard_sigmoid_5'.*'logistic'",
        ),
        (
            "two_weights.h5",
            {},
            r'^layer: .*layer="both", direction="forward", act.*\) or .*"gru_1".*Keras\' own',
        ),
        ("two_weights.h5", {"layer": "both", **TANH}, r"^direction: .*merge='concat' or .*Keras' default"),
        ("two_weights.h5", {"layer": "both", "merge": "max", **TANH}, r"^merge: .*'concat', 'sum'.*'max'"),
        (
            "two_weights.h5",
            {"layer": "both", "merge": "sum", "direction": "reverse", **TANH},
            r"^merge: .*None",
        ),
        ("two.h5", {"layer": "both", "merge": "sum"}, r"^merge: .*two\.h5 tells it"),
        ("two_weights.h5", {"layer": "gru_1"}, r"^activation: .*None"),
        (
            "two_weights.h5",
            {"layer": "gru_1", "activation": "tanh"},
            r"^recurrent_activation: .*'hard_sigmoid_5'.*2\.2.*None",
        ),
        ("two_weights.h5", {"layer": ("both", "gru_1")}, r"^layer: .*one name"),
        ("three.weights.h5", {"layer": "first", **TANH, "activation": "tahn"}, r"^activation: .*'tahn'"),
        (
            "three.weights.h5",
            {"layer": "first", "activation": "tanh", "recurrent_activation": "hard_sigmoid"},
            r"^recurrent_activation: .*'hard_sigmoid_5'.*'hard_sigmoid_6'",
        ),
    ],
)
def test_what_is_not_told_is_asked_for(folder, file, options, words):
    with pytest.raises((TypeError, ValueError), match=words):
        read_keras(folder / file, **options)


def test_no_file_and_other_formats(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"^path: no file"):
        read_keras(tmp_path / "none.h5")
    with pytest.raises(TypeError, match=r"^path: "):
        read_keras(3)
    np.savez(tmp_path / "a.npz", x=np.eye(2))
    with pytest.raises(ValueError, match=r"^path: a\.npz: expected a file of Keras.*npz"):
        read_keras(tmp_path / "a.npz")


# --- hostile files ----------------------------------------------------------------------------------------------


def _said(path, options):
    """What the refusal says, nothing of a file that is read all the same."""
    try:
        read_keras(path, **options)
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("file", ["three.keras", "two.h5", "three.weights.h5"])
def test_damaged_files_are_one_sentence(folder, tmp_path, file):
    data, rng = (folder / file).read_bytes(), np.random.default_rng(0)
    options = {"layer": "first" if "three" in file else "gru_1"} | (TANH if "weights" in file else {})
    cuts = [data[:k] for k in rng.integers(1, len(data), 15)]
    flipped = []
    for _ in range(60):
        copy = bytearray(data)
        for place in rng.integers(0, len(data), 3):
            copy[place] ^= int(rng.integers(1, 256))
        flipped.append(bytes(copy))
    for i, damaged in enumerate(cuts + flipped):
        path = tmp_path / f"{i}{Path(file).suffix}"
        path.write_bytes(damaged)
        said = _said(path, options)
        assert "\n" not in said, i
        assert len(said) < 600, i


#: Looks at one file after the other in a process of its own, without JAX: HDF5 need not survive each of them.
LOOK = """
import sys, resource
from pathlib import Path
from rnn_dynamics.interop.keras import config as keras_config
from rnn_dynamics.interop.keras import order as keras_graph
from rnn_dynamics.interop.keras import opened as keras_open
resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))
print("ready", flush=True)
for line in sys.stdin:
    try:
        path = Path(line.strip())
        keras_open.described(path)
        with keras_open.opened(path) as store:
            if not keras_config.has_layers(store.config):
                places = [place for network in store.networks().values() for place in network]
            else:
                config = store.config
                found, _ = keras_graph.networks_of(str(config.get("class_name")), config.get("config"))
                places = [] if not store.is_by_layer else [
                    place for each in found for place in store.of_layer(each.name.partition("/")[0], "")
                ]
                if not store.is_by_layer:
                    for each in found:
                        for part in each.parts("forward" if each.has_two_directions else None):
                            store.at(part.place)
            for place in places:
                store.array(place)
        print("read", flush=True)
    except ValueError as error:
        print("refused", len(str(error)), flush=True)
    except Exception as error:
        print("failed", repr(error)[:200], flush=True)
"""


def _mutated(data, dice):
    """The bytes with some of them changed, cut out, doubled or cut off; of an archive those of one member."""
    if data.startswith(b"PK") and dice.random() < 0.8:
        file = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(file, "w") as new:
            members = {name: old.read(name) for name in old.namelist()}
            chosen = dice.choice([*["model.weights.h5"] * 3, *members])
            for name, each in members.items():
                new.writestr(zipfile.ZipInfo(name), _mutated(each, dice) if name == chosen else each)
        return file.getvalue()
    new, how, at = bytearray(data), dice.randrange(5), dice.randrange(len(data))
    if how == 0:
        new[at] ^= 1 << dice.randrange(8)
    elif how == 1:
        del new[at:]
    elif how == 2:
        del new[at : at + dice.randrange(1, 9)]
    elif how == 3:
        new[at : at + 4] = dice.choice([b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", bytes(4)])
    else:
        new[at:at] = new[at : at + dice.randrange(1, 65)]
    return bytes(new)


def _looked_at(folder, tmp_path, file, count):
    """What is said of so many damaged files; a process that dies or hangs is an error that names the mutation."""
    data, dice, path = (folder / file).read_bytes(), random.Random(file), tmp_path / file
    looker = subprocess.Popen([sys.executable, "-c", LOOK], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert looker.stdin is not None
    assert looker.stdout is not None
    found = []
    try:
        assert looker.stdout.readline() == b"ready\n"
        for number in range(count):
            path.write_bytes(_mutated(data, dice))
            timer = threading.Timer(60, looker.kill)
            timer.start()
            looker.stdin.write(f"{path}\n".encode())
            looker.stdin.flush()
            said = looker.stdout.readline().decode()
            timer.cancel()
            assert said.startswith(("read", "refused")), f"{file}: mutation {number}: {said or 'it died'}"
            found.append(said.split())
    finally:
        looker.kill()
        looker.communicate()
    return found


FILES_OF_KERAS = ("one.h5", "two_weights.h5", "cudnn.h5", "three.h5", "three.weights.h5", "three.keras")


@pytest.mark.parametrize("file", ["three.h5", "three.keras"])
def test_damaged_files_are_survived(folder, tmp_path, file):
    assert {said[0] for said in _looked_at(folder, tmp_path, file, 30)} == {"read", "refused"}


@pytest.mark.soak
@pytest.mark.parametrize("file", FILES_OF_KERAS)
def test_many_damaged_files_are_survived(folder, tmp_path, file):
    assert all(
        int(said[1]) < 600 for said in _looked_at(folder, tmp_path, file, 2000) if said[0] == "refused"
    )


def _altered(folder, tmp_path, change):
    path = tmp_path / "two.h5"
    path.write_bytes((folder / "two.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        change(file["model_weights/gru_1/gru_1"], file)
    return path


def _absurd(group, file):
    del group["kernel:0"]
    group.create_dataset("kernel:0", shape=(2, 2**40), dtype="f4", chunks=(1, 1024))


def _dense(group, file):
    del group["kernel:0"]
    group.create_dataset("kernel:0", data=np.zeros((2, 2**21), "f4"), compression="gzip", chunks=(2, 2**21))


def _elsewhere(group, file):
    del group["kernel:0"]
    group["kernel:0"] = h5py.ExternalLink("other.h5", "/x")


def _soft(group, file):
    group.move("kernel:0", "moved")
    group["kernel:0"] = h5py.SoftLink(f"{group.name}/moved")


def _external(group, file):
    del group["kernel:0"]
    group.create_dataset("kernel:0", shape=(2, 6), dtype="f4", external=[("/etc/passwd", 0, 48)])


def _virtual(group, file):
    del group["kernel:0"]
    layout = h5py.VirtualLayout(shape=(2, 6), dtype="f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", shape=(2, 6))
    group.create_virtual_dataset("kernel:0", layout)


def _integers(group, file):
    del group["kernel:0"]
    group["kernel:0"] = np.zeros((2, 6), int)


def _missing(group, file):
    del group["kernel:0"]


def _strange(group, file):
    file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {"layers": 3}})


def _no_json(group, file):
    file.attrs["model_config"] = "[" * 100_000


def _numbers(group, file):
    file["model_weights/gru_1"].attrs["weight_names"] = np.arange(3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_absurd, r"announces \d+ bytes"),
        (_dense, r"kernel of shape"),
        (_elsewhere, r"a link at"),
        (_soft, r"a link at"),
        (_external, r"of another file"),
        (_virtual, r"of another file|a name is damaged"),  # its sources are named in a heap too
        (_integers, r"floating-point.*int64"),
        (_missing, r"damaged"),
        (_strange, r"configuration of a model"),
        (_no_json, r"no JSON|too large|damaged"),
        (_numbers, r"names in weight_names"),
    ],
)
def test_hostile_files_are_refused(folder, tmp_path, change, words):
    path = _altered(folder, tmp_path, change)
    with pytest.raises(ValueError, match=words) as caught:
        read_keras(path, layer="gru_1")
    assert "\n" not in str(caught.value)


def _heap(size: int, held: int, length: int) -> bytes:
    """Bytes as a heap with one object and a pointer to it, in no file of HDF5."""
    begin = b"none" * 2
    heap = struct.pack("<4sIQQQ16x", b"GCOL", 1, size, 1, held)
    return begin + heap + struct.pack("<IQI4x", length, len(begin), 1)


@pytest.mark.parametrize(
    ("size", "held", "length", "words"),
    [
        (48, 16, 16, ""),
        (480, 16, 16, "a heap of names is damaged: 480 bytes at 8"),
        (48, 17, 16, "a heap of names is damaged: 17 bytes at 24, 32 are left"),
        (48, 16, 160, "a name is damaged: it announces 160 bytes"),
    ],
)
def test_heaps_of_names_are_checked_before_they_are_read(tmp_path, size, held, length, words):
    (tmp_path / "heap").write_bytes(_heap(size, held, length))
    with open(tmp_path / "heap", "rb") as file:
        if not words:
            check_heaps(file)
            return
        with pytest.raises(ValueError, match=words):
            check_heaps(file)


def test_a_zip_that_unpacks_to_gigabytes_is_refused(folder, tmp_path):
    path = tmp_path / "bomb.keras"
    with (
        zipfile.ZipFile(folder / "three.keras") as whole,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in ("config.json", "metadata.json"):
            bomb.writestr(name, whole.read(name))
        bomb.writestr("model.weights.h5", b"\0" * 2**20)
    data = path.read_bytes()
    size = (2**20).to_bytes(4, "little")
    path.write_bytes(data.replace(size, (2**31).to_bytes(4, "little")))
    with pytest.raises(ValueError, match=r"^path: .*(announces|damaged)"):
        read_keras(path)


# --- configurations ---------------------------------------------------------------------------------------------


def _node(name, cls="LSTM", *below, **config):
    return {
        "name": name,
        "class_name": cls,
        "config": {"name": name, "return_sequences": True} | config,
        "inbound_nodes": [[[each, 0, 0, {}] for each in below]] if below else [],
    }


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([_node("a"), _node("b", "GRU", "a"), _node("c", "SimpleRNN", "b")], [("a", "b", "c")]),
        ([_node("a"), _node("d", "Dropout", "a"), _node("b", "LSTM", "d")], [("a", "b")]),
        ([_node("a"), _node("d", "Dense", "a"), _node("b", "LSTM", "d")], [("a",), ("b",)]),
        ([_node("a"), _node("b", "LSTM", "a"), _node("c", "LSTM", "a")], [("a",), ("b",), ("c",)]),
        ([_node("a"), _node("b", "LSTM", "a", "x"), _node("x", "Dense")], [("a", "b")]),
        ([_node("a"), _node("x"), _node("b", "LSTM", "a", "x")], [("a",), ("x",), ("b",)]),
        ([_node("a", return_sequences=False), _node("b", "LSTM", "a")], [("a",), ("b",)]),
        ([_node("a", go_backwards=True), _node("b", "LSTM", "a")], [("a",), ("b",)]),
    ],
)
def test_layers_in_a_row(items, expected):
    if expected == [("a", "b")] and items[-1]["name"] == "x":  # the state of b is given by another layer
        expected = [("a",), ("b",)]
    networks, unknown = networks_of("Functional", {"layers": items})
    assert [tuple(each.name for each in chain) for chain in chains(networks)] == expected
    assert not unknown


@pytest.mark.parametrize(
    ("dtype", "is_joined"),
    [
        ("float32", True),
        ({"class_name": "DTypePolicy", "config": {"name": "float64"}}, True),
        ("bfloat16", False),
        ({"class_name": "DTypePolicy", "config": {"name": "mixed_bfloat16"}}, False),
        ({"class_name": "QuantizedDTypePolicy", "config": {"mode": "int8", "source_name": "float32"}}, False),
    ],
)
def test_a_dense_layer_that_rounds_is_not_folded_into_the_weights_above_it(dtype, is_joined):
    """One of 8 bits without a bias has two arrays as well: the kernel and its scale."""
    dense = _node("d", "Dense", "a", activation="linear", use_bias=False, dtype=dtype)
    networks, _ = networks_of("Functional", {"layers": [_node("a"), dense, _node("b", "LSTM", "d")]})
    assert [len(chain) for chain in chains(networks)] == ([2] if is_joined else [1, 1])


def test_what_recurs_and_is_not_known_is_named():
    inner = {"class_name": "Sequential", "config": {"name": "inner", "layers": [_node("deep")]}}
    items = [_node("a", "ConvLSTM2D"), _node("b", "MyLSTM"), inner]
    networks, unknown = networks_of("Sequential", {"layers": items})
    assert [each.name for each in networks] == ["inner/deep"]
    assert networks[0].place == "layers/sequential/layers/lstm"
    assert unknown == ["a (ConvLSTM2D)", "b (MyLSTM)"]


def _own(cls, package=None, registered=None, **config):
    return {"class_name": cls, "module": package, "registered_name": registered, "config": config}


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (_own("LSTM", None, "my>LSTM"), "a (my>LSTM)"),
        (_own("LSTM", None, "LSTM"), "a (own>LSTM)"),
        (
            _own("RNN", "keras.layers", None, cell=_own("GRUCell", None, "my>GRUCell")),
            "a (RNN of my>GRUCell)",
        ),
        (
            _own(
                "Bidirectional",
                "keras.layers",
                layer=_own("GRU", "keras.layers"),
                backward_layer=_own("GRU", "m", "GRU"),
            ),
            "a (Bidirectional of GRU and m>GRU)",
        ),
    ],
)
def test_a_class_of_ones_own_with_the_name_of_keras_is_passed_over(item, words):
    """Keras 3.15.1 stores class_name, and what tells it from its own beside it."""
    item["config"] |= {"name": "a", "return_sequences": True}
    items = [item, _node("b") | {"module": "keras.layers", "registered_name": None}]
    networks, unknown = networks_of("Sequential", as_registered({"layers": items})["layers"])
    assert unknown == [words]
    assert [(each.name, each.below) for each in networks] == [("b", None)]
    taken = {"LSTM", "Bidirectional"} & {item["class_name"]}
    assert networks[0].place == ("layers/lstm_1" if taken == {"LSTM"} else "layers/lstm")


def test_a_lambda_is_no_linear_activation():
    """Keras 3.15.1 stores {"value": [its program, …]} in the place of a name."""
    part = Part("SimpleRNN", {"activation": {"value": ["4wEAAAA", None, None]}}, "")
    with pytest.raises(
        ValueError, match=r"^source: expected as activation .*not run: .*from_keras\(layer.get_weights"
    ):
        settings(part, 3)
    draws = np.random.default_rng(0)
    arrays = [draws.normal(size=shape) for shape in ((2, 3), (3, 3), 3)]
    assert from_keras(arrays, activation=np.sin).W.shape == (3, 3)


@pytest.mark.parametrize(
    "more", [{"rnn/cell/vars/3": 3}, {"rnn/cell/norm/vars/0": 3, "rnn/cell/norm/vars/1": 3}]
)
def test_a_cell_with_more_weights_than_keras_is_passed_over(tmp_path, more):
    """Peepholes and norms of a cell of one's own, in weights alone; a seed of dropout is no weight."""
    path = tmp_path / "a.weights.h5"
    plain = {f"gru/cell/vars/{i}": shape for i, shape in enumerate(((2, 9), (3, 9), (2, 9)))}
    plain |= {"gru/cell/seed_generator/vars/0": 2}
    own = {f"rnn/cell/vars/{i}": shape for i, shape in enumerate(((2, 12), (3, 12), 12))} | more
    for held, networks in ((plain | own, {("gru", None)}), (own, set())):
        with h5py.File(path, "w") as file:
            for name, shape in held.items():
                file[f"layers/{name}"] = np.ones(shape, "float32")
        with opened(path) as store:
            assert set(store.networks()) == networks
    with pytest.raises(
        ValueError, match=r"^path: .*got none; passed over, with more weights than these have: rnn"
    ):
        read_keras(path, **TANH)


def test_h5py_is_asked_for_by_name(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(ImportError, match=r"pip install h5py.*\.\[interop\]"):
        read_keras(folder / "two.h5")


def test_lists_of_a_file_are_what_the_file_gives(folder):
    with h5py.File(folder / "two.h5") as file:
        own = file["model_weights/gru_1"]
        arrays = [own[name][()] for name in own.attrs["weight_names"]]
    cell = from_keras(arrays, recurrent_activation="hard_sigmoid_5")
    whole = read_keras(folder / "two.h5", layer="gru_1")
    assert repr(cell) == repr(whole)
    np.testing.assert_array_equal(cell.W, whole.W)


@pytest.mark.parametrize(
    "file", ["three.keras", "three.h5", "three.weights.h5", "two.h5", "two_weights.h5", "cudnn.h5", "one.h5"]
)
def test_inspect_lists_each_network_with_a_call_that_reads_it(folder, file, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    assert cli.main(["inspect", file, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["format"] == "Keras"
    for network in told["networks"]:
        assert isinstance(
            eval(network["call"], {"rd": rnn_dynamics}), LSTM | GRU | ElmanRNN | Stack | Bidirectional
        )
    assert cli.main(["inspect", file]) == 0
    said = capsys.readouterr().out
    assert all(network["call"] in said for network in told["networks"])


def test_load_and_diagnose_take_files_of_keras(folder, capsys):
    assert repr(load(folder / "one.h5", prefix="gru_1")) == repr(read_keras(folder / "one.h5", layer="gru_1"))
    assert repr(load(folder / "three.h5", prefix="first,gru,rnn")) == repr(
        read_keras(folder / "three.h5", layer=ROW)
    )
    back = load(folder / "two.h5", prefix="both", direction="reverse")
    assert repr(back) == repr(read_keras(folder / "two.h5", layer="both", direction="reverse"))
    for name, value in (("kind", "lstm"), ("layer", 0)):
        with pytest.raises(ValueError, match=f"{name}: expected None of a file of Keras"):
            load(folder / "one.h5", **{name: value})
    assert cli.main(["diagnose", str(folder / "one.h5"), "--steps", "9"]) == 2
    assert "expected one network, got 2: --prefix lstm_1 or --prefix gru_1" in capsys.readouterr().err
    assert cli.main(["diagnose", str(folder / "three.h5"), "--steps", "9"]) == 2
    said = capsys.readouterr().err
    assert "--prefix first,gru,rnn or --prefix bidirectional;" in said.replace("\n", ";")
    assert cli.main(["diagnose", str(folder / "one.h5"), "--steps", "9", "--prefix", "lstm_1"]) == 0
    assert "horizon" in capsys.readouterr().out


class _Closed(io.StringIO):
    """An output whose reader has gone, as head does after some lines."""

    def write(self, text: str) -> int:
        raise BrokenPipeError

    def fileno(self) -> int:
        raise OSError


def test_an_output_that_nobody_reads_is_no_fault_of_the_file(folder, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", _Closed())
    assert cli.main(["inspect", str(folder / "two_weights.h5")]) == 1
    assert "cannot read" not in capsys.readouterr().err


def test_activations_that_a_file_does_not_tell_are_asked_for_with_the_call(folder):
    """Which ``load`` has no argument for, and the command line no option."""
    path = folder / "three.weights.h5"
    with pytest.raises(
        ValueError, match=r'weights alone.*: rd\.interop\.read_keras\(".*", layer="first", activation='
    ):
        load(path, prefix="first")
