"""Complaints of a kind each: all of a command's at once and before JAX, and the right reason for every file."""

import gzip
import io
import itertools
import json
import os
import pickle
import pickletools
import re
import struct
import subprocess
import sys
import textwrap
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from safetensors.numpy import save_file

from rnn_dynamics import cli
from rnn_dynamics.cells import LSTM, ElmanRNN
from rnn_dynamics.cli import known
from rnn_dynamics.interop import from_torch, load, read_npz, read_safetensors

ROOT = Path(__file__).resolve().parent.parent


def lstm(units=3, width=2, prefix="", dtype=np.float32):
    rng = np.random.default_rng(0)
    shapes = {
        "weight_ih_l0": (4 * units, width),
        "weight_hh_l0": (4 * units, units),
        "bias_ih_l0": 4 * units,
        "bias_hh_l0": 4 * units,
    }
    return {prefix + name: rng.normal(size=shape).astype(dtype) for name, shape in shapes.items()}


def told(capsys, *arguments):
    """The lines of a command that is refused, without the program's name before each."""
    code = cli.main([str(each) for each in arguments])
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert all(line.startswith("rnn-dynamics: ") for line in lines), lines
    return code, [line.removeprefix("rnn-dynamics: ") for line in lines]


# --- together, and before anything heavy --------------------------------------------------------------------

TOGETHER = [
    (("diagnose", "nosuch.pt"), ["--inputs, --steps: ", "MODEL: no file nosuch.pt"]),
    (
        (*("diagnose", "nosuch.safetensors", "--inputs", "nosuch.npy", "--steps", "-1", "--kind", "LSTM"),),
        [
            "got both",
            "--steps: expected an integer",
            "--inputs: cannot read",
            "did you mean lstm",
            "MODEL: no",
        ],
    ),
    (
        ("diagnose", "--plot", "nosuch/x.bmp", "--direction", "backward", "--steps", "2.5", "--jsn"),
        [
            "'--jsn'; did you mean --json?",
            "2.5",
            "ending in .png",
            "no such folder",
            "--direction:",
            "MODEL: ",
        ],
    ),
    (
        ("reproduce", "--only", "clif_profile", "radius_atlas", "x", "--dpi", "5", "--format", "gif", "more"),
        ["did you mean cliff_profile", "unknown figure 'x'", "--dpi: ", "--format: ", "argument 'more'"],
    ),
    (
        ("reproduce", "--quik", "--dpi", "--out", "file/below"),
        ["did you mean --quick?", "--dpi: expected a value", "--out: cannot write to file/below"],
    ),
    (
        (
            "compare",
            "--remedies",
            "clippin",
            "lstm+relu",
            "--task",
            "copi",
            "--lengths",
            "0",
            "x",
            "--seeds",
            "0",
        ),
        ["did you mean clipping", "lstm and relu exclude", "mean copy", "got 0", "got 'x'", "--seeds: "],
    ),
    (
        (*("compare", "--out", "x.txt", "--plot", "no/x.png", "--store", "file", "--units", "many"),),
        ["--out: expected a name ending in", "--plot: no such folder", "--store: cannot", "--units: "],
    ),
    (
        ("compare", "--rates", "0", "-1", "inf", "--updates", "1e3"),
        ["got 0.0", "got -1.0", "got inf", "'1e3'"],
    ),
    (("list", "figures", "--long"), ["'--long'", "argument 'figures'"]),
    (("info", "--quick", "now"), ["unknown option '--quick'"]),
    (("reprodce", "--quick"), ["did you mean reproduce"]),
]


@pytest.mark.parametrize(("arguments", "said"), TOGETHER, ids=lambda value: " ".join(value)[:40])
def test_every_complaint_comes_in_one_go(capsys, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("kept")
    code, lines = told(capsys, *arguments)
    assert code == 2
    for words in said:
        assert any(words in line for line in lines), (words, lines)
    assert len(lines) == len(set(lines))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_complaints_cost_no_import_of_jax(tmp_path):
    save_file(lstm(), tmp_path / "model.safetensors")
    np.save(tmp_path / "wide.npy", np.zeros((5, 3)))
    commands = [list(arguments) for arguments, _ in TOGETHER]
    commands += [["diagnose", "model.safetensors", "--inputs", "wide.npy", "--kind", "gru"]]
    program = f"""
        import sys, time
        from rnn_dynamics import cli
        for arguments in {commands!r}:
            assert cli.main(arguments) == 2, arguments
            heavy = [name for name in ("jax", "matplotlib", "optax", "xarray", "scipy") if name in sys.modules]
            assert not heavy, (arguments, heavy)
        print(time.process_time() / len({commands!r}))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 0.5


def test_packages_that_are_missing_are_named_with_the_rest(capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    monkeypatch.setitem(sys.modules, "xarray", None)
    (tmp_path / "a.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(512) + HDF5)
    code, lines = told(capsys, "diagnose", tmp_path / "a.mat")
    assert code == 2
    assert [line.partition(":")[0] for line in lines] == [
        "--inputs, --steps",
        "reading a file of MATLAB 7.3 needs h5py",
    ]
    assert "pip install h5py" in lines[-1]
    code, lines = told(capsys, "compare", "--out", tmp_path / "a.nc", "--seeds", "0")
    assert any("needs xarray: pip install xarray" in line for line in lines)
    assert any(line.startswith("--seeds") for line in lines)


def test_an_archive_of_numpy_needs_no_safetensors(capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    np.savez(tmp_path / "a.npz", **lstm())
    assert told(capsys, "diagnose", tmp_path / "a.npz")[1] == [
        "--inputs, --steps: expected one of them, got neither: --steps 200 runs it on inputs of zeros"
    ]


def test_one_wrong_folder_alone_is_exit_status_one_as_before(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    arguments = ("reproduce", "--out", tmp_path / "file", "--only", "cliff_profile")
    assert told(capsys, *arguments)[0] == 1
    assert told(capsys, *arguments, "--dpi", "0")[0] == 2


def test_what_is_in_a_pictures_place_is_known_before_it_is_drawn(capsys, tmp_path, monkeypatch):
    from rnn_dynamics.figures import registry

    monkeypatch.setattr(registry.Entry, "make", lambda *_, **__: pytest.fail("drawn"))
    (tmp_path / "cliff_profile.svg").mkdir()
    (tmp_path / "report.md").mkdir()
    code, lines = told(capsys, "reproduce", "--out", tmp_path, "--only", "cliff_profile", "--format", "svg")
    assert code == 1
    assert ["in the way" in line for line in lines] == [True, True]


def test_shapes_are_told_from_headers_beside_everything_else(capsys, tmp_path):
    path = tmp_path / "model.npz"
    np.savez(path, **lstm(prefix="net.lstm."), **{"head.weight": np.zeros((1, 3), np.float32)})
    np.save(tmp_path / "x.npy", np.zeros((9, 5)))
    _, lines = told(capsys, "diagnose", path, "--inputs", tmp_path / "x.npy", "--plot", "/no/such/x.png")
    assert any(line.startswith("--inputs: expected 2 inputs a step") for line in lines)
    assert any("--plot" in line for line in lines)
    _, lines = told(
        capsys, "diagnose", path, "--inputs", tmp_path / "x.npy", "--prefix", "net.lstm", "--steps", "x"
    )
    assert any("expected 2 inputs a step" in line and "(steps, 5)" in line for line in lines)
    _, lines = told(capsys, "diagnose", path, "--steps", "5", "--prefix", "net", "--kind", "gru")
    assert len(lines) == 1
    assert "--prefix net.lstm." in lines[0]
    whole = {name: array.astype(np.int16) for name, array in lstm().items()}
    np.savez(path, **whole)
    _, lines = told(capsys, "diagnose", path, "--steps", "5")
    assert len(lines) == 4
    assert all("int16" in line for line in lines)


@pytest.mark.parametrize("kind", ["safetensors", "npz"])
def test_what_the_check_lets_through_runs(capsys, tmp_path, kind):
    arrays, path = lstm(prefix="lstm."), tmp_path / f"m.{kind}"
    save_file(arrays, path) if kind == "safetensors" else np.savez(path, **arrays)
    np.save(tmp_path / "x.npy", np.random.default_rng(1).normal(size=(40, 2)))
    assert cli.main(["diagnose", str(path), "--inputs", str(tmp_path / "x.npy"), "--prefix", "lstm"]) == 0
    assert capsys.readouterr().out.startswith("Gradients: ")


def test_an_option_that_is_shortened_or_given_by_an_equals_sign_is_read(capsys, tmp_path):
    np.savez(tmp_path / "m.npz", **lstm())
    arguments = ["diagnose", str(tmp_path / "m.npz"), "--step=30", "--js"]
    assert cli.main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 30


@pytest.mark.parametrize("arguments", [["--wat", "3", "m.npz"], ["m.npz", "--wat", "3"], ["--wat", "m.npz"]])
def test_an_unknown_options_value_is_not_taken_for_the_model(capsys, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    np.savez("m.npz", **lstm())
    assert told(capsys, "diagnose", *arguments, "--steps", "5") == (
        2,
        ["unknown option '--wat' (--help shows the options)"],
    )


# --- names of the command line are the library's ------------------------------------------------------------


def test_tasks_and_remedies_of_the_command_line_are_the_librarys():
    from rnn_dynamics.training import REMEDIES, TASKS, recipe, task
    from rnn_dynamics.training.runs.comparison import PRESETS

    assert tuple(known.TASKS) == TASKS
    assert tuple(known.REMEDIES) == tuple(REMEDIES)
    for name, shortest in known.TASKS.items():
        assert task(name, shortest).length == shortest
        if shortest > 1:
            with pytest.raises(ValueError, match="length"):
                task(name, shortest - 1)
    for one, other in itertools.combinations_with_replacement(REMEDIES, 2):
        try:
            recipe(one, other)
            excludes = False
        except ValueError:
            excludes = True
        assert known.exclude(one, other) == excludes, (one, other)
    assert tuple(PRESETS) == ("quick", "paper")
    assert len({known.shell_name(name) for name in REMEDIES}) == len(REMEDIES)


def test_names_need_no_quotes(capsys, monkeypatch):
    from rnn_dynamics.cli import comparison

    monkeypatch.setattr(comparison, "_found", lambda options, *_: options.remedies)
    assert cli.main(["compare", "--remedies", "clipping+omega-norms", "spectral-radius-1", "plain"]) == 0
    assert capsys.readouterr().out == "['clipping+omega, norms', 'spectral radius 1', 'plain']\n"


def test_names_of_the_list_stay_in_their_column(capsys):
    assert cli.main(["compare", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("remedies"))
    for line in (*lines[1:at], *lines[at + 1 :]):
        name = line[2:].split("  ")[0]
        assert line[2 + len(name) : 4 + len(name)] == "  ", line
    starts = {len(line) - len(re.sub(r"^  .+?  +", "", line)) for line in lines[at + 1 :]}
    assert len(starts) == 1


# --- the right reason for every file ------------------------------------------------------------------------


class _Global:
    """A stand-in for a function or class of a package, written to a pickle by name alone."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class _Pickler(pickle._Pickler):
    """Writes what ``torch.save`` would, without PyTorch: classes by name, tensors by reference to a storage."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def persistent_id(self, obj):
        if not isinstance(obj, _Storage):
            return None
        return ("storage", _Global("torch", "FloatStorage"), obj.name, "cpu", 36)

    def save_named(self, obj):
        if self.proto >= 4:
            self.save(obj.module)
            self.save(obj.name)
            self.write(pickle.STACK_GLOBAL)
        else:
            self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
        self.memoize(obj)

    def save_called(self, obj):
        self.save(obj.function)
        self.save(obj.arguments)
        self.write(pickle.REDUCE)

    dispatch[_Global] = save_named


class _Storage:
    def __init__(self, name):
        self.name = name


class _Called:
    """What a pickle gets from a function called with arguments."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments


_Pickler.dispatch[_Called] = _Pickler.save_called
_REBUILD = _Global("torch._utils", "_rebuild_tensor_v2")


def tensors(prefix=""):
    """The names of an LSTM with 3 units and 2 inputs, all of them views of one storage with 0, 1, …, 35."""
    found = OrderedDict()
    for name, array in lstm(prefix=prefix).items():
        steps = tuple(size // 4 for size in array.strides)
        found[name] = _Called(_REBUILD, _Storage("0"), 0, array.shape, steps, False, OrderedDict())
    return found


def pickled(content, protocol=2):
    file = io.BytesIO()
    _Pickler(file, protocol).dump(content)
    return file.getvalue()


def torch_zip(content, protocol=2, extra=()):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("model/data.pkl", pickled(content, protocol))
        archive.writestr("model/data/0", np.arange(36, dtype="<f4").tobytes())
        for name in extra:
            archive.writestr(name, b"x")
    return file.getvalue()


def legacy(content, protocol=2):
    """PyTorch's format before 1.6: number, version, system, object and keys in pickles one after another."""
    system = {
        "protocol_version": 1001,
        "little_endian": True,
        "type_sizes": {"short": 2, "int": 4, "long": 4},
    }
    parts = (0x1950A86A20F9469CFC6C, 1001, system, content, ["0"])
    written = b"".join(pickled(part, protocol if part is content else 2) for part in parts)
    return written + struct.pack("<q", 36) + np.arange(36, dtype="<f4").tobytes()


def archive(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as each:
        for name, content in members.items():
            each.writestr(name.replace("__", "."), content)
    return file.getvalue()


def module():
    return OrderedDict(x=_Global("__main__", "Net"), y=_Global("torch.nn.modules.rnn", "LSTM"), z=tensors())


HDF5 = b"\x89HDF\r\n\x1a\n" + bytes(90)
FILES = [
    ("a.npy", b"\x93NUMPY\x01\x00rest", [r"NumPy array \(\.npy\)", "damaged"], ["pickle"]),
    ("a.mat", b"MATLAB 5.0 MAT-file" + bytes(200), ["a file of MATLAB", "damaged"], ["safetensors:"]),
    ("a.h5", HDF5, ["HDF5", "damaged"], ["pickle"]),
    ("a.weights", bytes(512) + HDF5, ["HDF5"], ["pickle"]),
    ("a.keras", archive(config__json="{}", model__weights__h5="x"), ["Keras", "damaged"], ["pickle"]),
    (
        *("a.onnx", b"\x08\x08\x12\x07pytorch\x1a\x052.1.0" + bytes(range(128, 256))),
        ["model of ONNX", "damaged"],
        ["pickle"],
    ),
    ("a.msgpack", b"\x81\xa6params\x82", ["MessagePack", "cut short|damaged"], ["pickle"]),
    (
        "a.safetensors",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:1",
        ["git lfs pull"],
        ["pickle"],
    ),
    ("a.safetensors", b"<!DOCTYPE html><html>", ["HTML"], ["pickle"]),
    ("a.safetensors.index.json", b'{"weight_map": {}}', ["JSON", "index of several"], ["pickle"]),
    ("a.safetensors", b"", ["empty file"], ["pickle"]),
    ("a.gguf", b"GGUF" + bytes(90), ["GGUF"], ["pickle"]),
    ("a.pt.gz", gzip.compress(b"1"), ["gzip"], []),
    ("a.txt", b"0.1 0.2\n0.3 0.4\n", ["text"], ["pickle"]),
    ("a.bin", bytes(range(256)) * 4, ["unknown format, 1024 bytes"], ["pickle"]),
    ("a.zip", archive(readme__txt="x"), ["zip archive with readme.txt"], ["pickle"]),
    ("a.pkl", pickle.dumps({"W": [1.0]}), ["Python's pickles", "no arrays"], ["torch.load"]),
    ("a.pkl", pickle.dumps({"W": [1.0]}, 0), ["Python's pickles", "no arrays"], ["torch.load"]),
    ("a.safetensors", pickle.dumps({"a": 1}), ["Python's pickles", "no arrays"], ["torch.load"]),
    ("a.pt", torch_zip(tensors())[:300], ["damaged zip"], ["torch.load"]),
]


@pytest.mark.parametrize(
    ("name", "content", "said", "unsaid"), FILES, ids=lambda v: v if isinstance(v, str) else ""
)
def test_a_file_is_called_what_it_is_whatever_its_name(capsys, tmp_path, name, content, said, unsaid):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"^path: {re.escape(name)}: ") as caught:
        load(path)
    message = str(caught.value)
    for words in said:
        assert re.search(words, message), (words, message)
    for words in unsaid:
        assert words not in message, (words, message)
    assert told(capsys, "diagnose", path, "--steps", "5") == (2, [message.replace("path:", "MODEL:", 1)])
    with pytest.raises(ValueError, match=f"^path: {re.escape(name)}: expected a safetensors file, got "):
        read_safetensors(path)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "content",
    [
        lambda: tensors(),
        lambda: {"a": {"b": {"c": tensors("x.")}}, "d": [{}]},
        lambda: {"epoch": 3, "state_dict": tensors("lstm."), "optimizer": {"state": {}}},
        lambda: {"args": _Global("argparse", "Namespace"), "net": tensors()},
        lambda: module(),
    ],
)
def test_pytorchs_files_are_read_whatever_holds_the_network(tmp_path, protocol, content):
    (tmp_path / "new.pt").write_bytes(torch_zip(content(), protocol))
    (tmp_path / "program.pt").write_bytes(torch_zip(content(), protocol, extra=["model/code/net.py"]))
    (tmp_path / "old.pt").write_bytes(legacy(content(), protocol))
    for path in tmp_path.iterdir():
        cell = load(path)
        np.testing.assert_array_equal(cell.W, np.arange(36, dtype=np.float32).reshape(12, 3))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_stands_in_for_pytorchs_pickles_is_what_it_says(protocol):
    names = [op.name for op, _, _ in pickletools.genops(pickled(tensors(), protocol))]
    assert "BINPERSID" in names
    assert ("STACK_GLOBAL" if protocol >= 4 else "GLOBAL") in names


def test_a_folder_is_told_what_is_in_it(capsys, tmp_path):
    for words in (
        r"none of the files in it that are read: \.safetensors",
        "give a file in it: model.safetensors",
        "give a file in it: b.npz, model",
    ):
        with pytest.raises(ValueError, match=f"^path: .*a folder; .*{words}"):
            load(tmp_path)
        assert re.search(words, told(capsys, "diagnose", tmp_path, "--steps", "3")[1][0])
        if (tmp_path / "model.safetensors").exists():
            np.savez(tmp_path / "b.npz", **lstm())
        save_file(lstm(), tmp_path / "model.safetensors")


def test_a_path_that_no_shell_would_take_is_left_to_the_reader(tmp_path):
    path = tmp_path / "it's $(x).pt"
    path.write_bytes(torch_zip(tensors()))
    with pytest.raises(ValueError, match=r"rd\.interop\.load\(FILE\) reads it$"):
        read_safetensors(path)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(capsys, tmp_path):
    np.savez(tmp_path / "a.npz", **lstm())
    (tmp_path / "a.npz").chmod(0)
    assert "cannot read" in told(capsys, "diagnose", tmp_path / "a.npz", "--steps", "3")[1][0]


def test_a_name_nearly_right_is_proposed(capsys, tmp_path):
    np.savez(tmp_path / "trained_model.npz", **lstm())
    _, lines = told(capsys, "diagnose", tmp_path / "traind_model.npz", "--steps", "3")
    assert lines == [
        f"MODEL: no file {tmp_path}/traind_model.npz; did you mean {tmp_path}/trained_model.npz?"
    ]


@pytest.mark.parametrize("cut", [20, 200, -5])
def test_a_safetensors_file_that_was_cut_short(capsys, tmp_path, cut):
    path = tmp_path / "a.safetensors"
    save_file(lstm(), path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match=r"^path: a.safetensors"):
        load(path)
    _, lines = told(capsys, "diagnose", path, "--steps", "3")
    assert "cut short" in lines[0]


# --- archives of NumPy --------------------------------------------------------------------------------------


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_archive_of_numpy_is_the_network_of_its_names(tmp_path, save):
    arrays = lstm(dtype=np.float64)
    save(tmp_path / "a.npz", **{f"rnn.{name}": array for name, array in arrays.items()})
    cell = load(tmp_path / "a.npz", prefix="rnn")
    assert isinstance(cell, LSTM)
    np.testing.assert_array_equal(cell.W, arrays["weight_hh_l0"])
    assert cell.W.dtype == np.float64
    assert set(read_npz(tmp_path / "a.npz")) == {f"rnn.{name}" for name in arrays}


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"W": np.eye(3), "b": np.zeros(3), "W_in": np.zeros((3, 2))}, r"rd\.ElmanRNN\(W, b, W_in\)"),
        ({"kernel": np.eye(3), "bias": np.eye(3)}, "none of the names ends"),
        ({"W": np.zeros((1, 12, 2)), "R": np.zeros((1, 12, 3))}, "from_onnx"),
        ({"arr_0": np.eye(3)}, "none of the names ends as weight_hh_l0"),
        (
            {"weight_hh_l0": np.array([[{}]], object), "weight_ih_l0": np.eye(1)},
            "Python objects in 'weight_hh_l0'",
        ),
        ({"weight_hh_l0": np.eye(3, dtype=int), "weight_ih_l0": np.eye(3)}, "float32 or float64, got int"),
    ],
)
def test_an_archive_with_other_arrays_says_which_door_is_theirs(capsys, tmp_path, arrays, words):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=words):
        load(tmp_path / "a.npz")
    code, lines = told(capsys, "diagnose", tmp_path / "a.npz", "--steps", "3")
    assert code == 2
    assert any(re.search(words, line) for line in lines)


def test_an_archive_that_announces_more_than_a_machine_holds(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (2**20, 2**20)}
    )
    content = b"\x93NUMPY\x01\x00" + header.getvalue()[8:]
    (tmp_path / "a.npz").write_bytes(archive(weight_hh_l0__npy=content))
    with pytest.raises(ValueError, match="at most 16 GiB of arrays, got 8192"):
        load(tmp_path / "a.npz")


def test_a_damaged_archive(tmp_path):
    np.savez(tmp_path / "a.npz", **lstm())
    content = bytearray((tmp_path / "a.npz").read_bytes())
    at = content.find(b"\x93NUMPY")
    content[at + 140] ^= 1
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.npz: .*damaged"):
        load(tmp_path / "a.npz")


def test_an_archive_where_safetensors_are_asked_for(tmp_path):
    np.savez(tmp_path / "a.npz", **lstm())
    with pytest.raises(ValueError, match=r"NumPy archive.*rd\.interop\.load\(.*\) reads it"):
        read_safetensors(tmp_path / "a.npz")
    save_file(lstm(), tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="safetensors"):
        read_npz(tmp_path / "a.safetensors")


def test_a_header_is_no_other_format_whatever_its_length_is(tmp_path):
    for length in (0x0280, 0x4B50, 0x0001, 0x8002):  # bytes that begin a pickle or an archive
        if length < 200:
            continue
        arrays = {"weight_hh_l0": (0, 36), "weight_ih_l0": (36, 48)}
        shapes = {"weight_hh_l0": [3, 3], "weight_ih_l0": [3, 1]}
        header = {n: {"dtype": "F32", "shape": shapes[n], "data_offsets": at} for n, at in arrays.items()}
        path = tmp_path / f"{length}.safetensors"
        path.write_bytes(struct.pack("<Q", length) + json.dumps(header).encode().ljust(length) + bytes(48))
        assert isinstance(load(path, kind="rnn_tanh"), ElmanRNN)


# --- prefixes, checkpoints ----------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["lstm.", "lstm"])
def test_a_prefix_may_lack_its_dot(prefix):
    source = {"emb.weight": np.zeros((9, 2))} | lstm(prefix="lstm.")
    np.testing.assert_array_equal(from_torch(source, prefix=prefix).W, source["lstm.weight_hh_l0"])


def test_a_prefix_without_a_dot_in_the_names_stays_as_it_is():
    assert isinstance(from_torch(lstm(prefix="encoder_"), prefix="encoder_"), LSTM)


class _Module:
    """A stand-in with what a module of PyTorch has."""

    def __init__(self, arrays, **parts):
        self.arrays, self.__dict__ = arrays, {**self.__dict__, "arrays": arrays, **parts}

    def state_dict(self):
        return self.arrays


@pytest.mark.parametrize("prefix", ["rnn", "rnn."])
def test_a_module_tells_its_kind_by_a_prefix_with_or_without_its_dot(prefix):
    part = _Module({}, mode="RNN_RELU")
    arrays = {"rnn.weight_hh_l0": np.eye(3), "rnn.weight_ih_l0": np.zeros((3, 1)), "head.weight": np.eye(3)}
    assert from_torch(_Module(arrays, rnn=part), prefix=prefix).activation.name == "relu"


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        ({"emb.weight": 0} | lstm(prefix="lstm."), {}, r'^source: .*emb.weight.*prefix="lstm\."$'),
        (lstm(prefix="encoder.rnn."), {}, r'^source: .*prefix="encoder\.rnn\."$'),
        (lstm(prefix="e.") | lstm(prefix="d."), {}, r'prefix="d\." or prefix="e\."$'),
        (lstm(prefix="encoder.rnn."), {"prefix": "encoder"}, r'prefix="encoder\.rnn\."$'),
        (lstm(prefix="lstm."), {"prefix": "gru."}, r'^prefix: .*\'gru\.\'; .*prefix="lstm\."$'),
        (lstm(), {"prefix": "lstm"}, r'^prefix: .*prefix=""$'),
        (lstm() | {"head.weight": 0}, {}, r"^source: .*head.weight.*own names have no prefix"),
        ({"head.weight": np.eye(2)}, {}, "^source: .*none of the names ends as weight_hh_l0"),
        ({"head.weight": np.eye(2)}, {"prefix": "lstm."}, r"^prefix: .*names are \['head.weight'\]$"),
        ({}, {}, "^source: .*got an empty mapping"),
        ({}, {"prefix": "lstm."}, "^source: .*got an empty mapping"),
        (
            {"epoch": 3, "state_dict": lstm(prefix="lstm.")},
            {},
            r"^source: .*checkpoint with the keys \['epoch', 'state_dict'\]; "
            r"its weights are in source\['state_dict'\]: from_torch\(source\['state_dict'\], prefix=\"lstm\.\"\)$",
        ),
        ({"model_state": lstm()}, {}, r"from_torch\(source\['model_state'\]\)$"),
        ({"model_state": lstm()}, {"prefix": "lstm."}, r"from_torch\(source\['model_state'\]\)$"),
        ({"a": {"b": {"c": lstm()}}}, {}, r"source\['a'\]\['b'\]\['c'\]"),
        ({"optimizer": {"state": {0: {}}}, "net": lstm()}, {}, r"source\['net'\]"),
        (
            {"optimizer": {"state": {0: {}}}, "epoch": 1},
            {},
            r"mappings under \['optimizer'\], none with names",
        ),
        ({"model": _Module(lstm()), "epoch": 1}, {}, r"a module: from_torch\(source\['model'\]"),
    ],
)
def test_what_is_no_state_dict_of_one_network_says_how_to_get_it(source, options, words):
    with pytest.raises(ValueError, match=words):
        from_torch(source, **options)


def test_the_call_that_is_proposed_works():
    source = {"epoch": 3, "state_dict": lstm(prefix="net.lstm.") | {"head.weight": np.eye(2)}}
    with pytest.raises(ValueError, match="from_torch") as caught:
        from_torch(source)
    call = str(caught.value).rpartition(": ")[2]
    assert isinstance(eval(call), LSTM)
