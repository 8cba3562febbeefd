"""Networks in files of every format: what PyTorch computes from them, what inspect tells, and hostile files."""

import codecs
import contextlib
import io
import json
import pickle
import random
import re
import shlex
import struct
import sys
import tarfile
import time
import tracemalloc
import warnings
import zipfile
import zlib
from pathlib import Path

import jax
import numpy as np
import pytest

import rnn_dynamics as rd
from rnn_dynamics import cli
from rnn_dynamics.cells.stack import state_size
from rnn_dynamics.interop.files.contents import contents_of
from rnn_dynamics.interop.frameworks.pytorch import from_torch

FILES = Path(__file__).parent / "files"
TRUE = np.load(FILES / "expected.npz")
#: Each file, the computation that it holds, the arguments of ``load``, and what is said of its numbers.
NETWORKS = [
    ("zip.pt", "lstm", {}, ""),
    ("zip.pt", "lstm", {"prefix": "lstm"}, ""),
    ("old.pt", "lstm", {}, ""),
    ("old.pt", "lstm", {"prefix": "lstm."}, ""),
    ("views.pt", "lstm", {}, ""),
    ("float16.pt", "float16", {}, "float16 was made float32"),
    ("bfloat16.pt", "bfloat16", {}, "bfloat16 was made float32"),
    ("quantised.pt", "quantised", {}, "int8 was made float32 by the scale"),
    ("relu.pt", "relu", {}, ""),
    ("script.pt", "script", {"kind": "gru"}, ""),
    ("matlab.mat", "lstm", {}, ""),
    ("flax.msgpack", "lstm", {"prefix": "LSTMCell_0"}, ""),
    ("rtneural.json", "lstm", {"kind": "lstm"}, ""),
    ("model.onnx", "lstm", {}, ""),
    ("external.onnx", "lstm", {"prefix": "rnn"}, ""),
]
FORMATS = [*sorted({name for name, *_ in NETWORKS} - {"external.onnx"}), "a.npz", "a.safetensors", "a.npy"]
#: Members of the archives of small models.
MODELS = [
    *("onnx_more/lstm_computed.onnx", "onnx_more/scan_lstm.onnx", "onnx_more/loop_rnn.onnx"),
    *("onnx_more/torch_rnn_two.onnx", "onnx_more/lstm_quantised.onnx", "onnx_more/row_turned.onnx"),
    *("tflite/keras3_GRU.tflite", "tflite/keras2_two.tflite", "tflite/keras3_eight_bits.tflite"),
    *("coreml/both.mlmodel", "coreml/lstm_eight_bits.mlmodel", "coreml/stacked.mlmodel"),
]


@pytest.mark.parametrize(("name", "truth", "options", "said"), NETWORKS, ids=lambda value: str(value)[:30])
def test_a_file_computes_what_pytorch_does(name, truth, options, said):
    expected = pytest.warns(UserWarning, match=said) if said else contextlib.nullcontext()
    with expected as told:
        cell = rd.interop.load(FILES / name, **options)
    assert not said or len(told) == 1
    cell = jax.tree_util.tree_map(lambda leaf: leaf.astype(float), cell)
    states = TRUE[f"{truth}/states"]
    run = rd.rollout(cell, states[0], TRUE["inputs"])
    size = (
        1e-12 if truth.endswith("float16") else 1e-6
    )  # else biases are added, or numbers scaled, in float32
    np.testing.assert_allclose(run.states, states, rtol=size, atol=size)
    jacobian = rd.gradients.jacobian_product(run).to_float()
    np.testing.assert_allclose(jacobian, TRUE[f"{truth}/jacobian"], rtol=20 * size, atol=size)


def told(capsys, *arguments):
    """Exit code, output and complaint of a command."""
    code = cli.main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize("name", sorted({name for name, *_ in NETWORKS}))
def test_inspect_prints_a_call_that_works(capsys, name):
    code, out, err = told(capsys, "inspect", FILES / name)
    assert (code, err) == (0, "")
    call = re.search(r"rd\.interop\.load\('.*?'.*?\)(?=$|  )", out, re.M)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        cell = eval(call, {"rd": rd})
    assert state_size(cell) == (6 if "LSTM" in out else 3)
    _, out, _ = told(capsys, "inspect", FILES / name, "--json")
    assert json.loads(out)["networks"][0]["units"] == 3


def test_inspect_names_the_other_arrays_and_what_is_refused(capsys, tmp_path):
    _, out, _ = told(capsys, "inspect", FILES / "old.pt")
    assert re.search(r"model_state\.head\.weight +\(1, 3\)  float32", out)
    assert "weight_hh_l0" not in out
    (tmp_path / "a.pt").write_bytes(torch_zip(b"}(X\x01\x00\x00\x00acown\nmake\n)RX\x01\x00\x00\x00bK\x01u."))
    _, out, _ = told(capsys, "inspect", tmp_path / "a.pt")
    assert "a: a call of own.make" in out
    assert "no recurrent network" in out
    assert told(capsys, "inspect", tmp_path / "none.pt")[0] == 2


def test_inspect_imports_no_jax(tmp_path):
    import subprocess

    files = [FILES / "zip.pt"]
    for archive in ("keras_files", "onnx_more", "tflite", "coreml"):
        with tarfile.open(FILES / f"{archive}.tar.xz") as held:
            suffix = (".onnx", ".tflite", ".mlmodel", ".h5", ".keras")
            member = next(each for each in held.getmembers() if each.name.endswith(suffix))
            files.append(tmp_path / archive)
            files[-1].write_bytes(held.extractfile(member).read())
    program = "import sys; from rnn_dynamics import cli; "
    program += f"codes = [cli.main(['inspect', path]) for path in {[str(path) for path in files]!r}]; "
    program += "assert codes == [0] * 5, codes; "
    program += "assert 'jax' not in sys.modules and 'scipy' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, timeout=60)


def test_diagnose_reads_every_format(capsys, tmp_path):
    np.save(tmp_path / "x.npy", TRUE["inputs"])
    code, out, err = told(capsys, "diagnose", FILES / "float16.pt", "--inputs", tmp_path / "x.npy")
    assert (code, "float16 was made float32" in err) == (0, True)
    assert out.startswith("Gradients: ")
    np.save(tmp_path / "x.npy", np.zeros((4, 3)))
    code, _, err = told(capsys, "diagnose", FILES / "model.onnx", "--inputs", tmp_path / "x.npy")
    assert code == 2
    assert "expected 2 inputs a step" in err


# --- several networks, none ---------------------------------------------------------------------------------


def gru(units=3, prefix=""):
    rows, rng = 3 * units, np.random.default_rng(0)
    shapes = {
        "weight_ih_l0": (rows, 2),
        "weight_hh_l0": (rows, units),
        "bias_ih_l0": rows,
        "bias_hh_l0": rows,
    }
    return {f"{prefix}{name}": rng.normal(size=shape).astype("float32") for name, shape in shapes.items()}


def test_several_networks_are_listed_with_calls_that_work(capsys, tmp_path):
    path = tmp_path / "two.npz"
    np.savez(path, **gru(3, "encoder.rnn."), **gru(4, "decoder."))
    with pytest.raises(
        ValueError, match=r"^path: two\.npz: expected one recurrent network, got 2: "
    ) as caught:
        rd.interop.load(path)
    calls = re.findall(r"rd\.interop\.load\('.*?'.*?\)", str(caught.value))
    sizes = [eval(call, {"rd": rd}).W.shape[1] for call in calls]
    assert sizes == [4, 3]
    for prefix in ("encoder.rnn", "encoder.rnn.", "rnn", "rnn."):
        assert rd.interop.load(path, prefix=prefix).W.shape == (9, 3)
    with pytest.raises(ValueError, match=r"^prefix: expected .*'x'.*prefix=\"decoder\.\""):
        rd.interop.load(path, prefix="x")
    with pytest.raises(TypeError, match=r"^path: .* of type dict; rd\.interop\.from_module reads"):
        rd.interop.load(gru(3, "rnn."))
    code, _, err = told(capsys, "diagnose", path, "--steps", "3")
    assert code == 2
    assert "rd.interop" not in err
    np.save(tmp_path / "turned.npy", np.zeros((2, 7)))
    wrong = ("--inputs", tmp_path / "turned.npy", "--prefix", "decoder")
    assert "(2, 7): time comes first, array.T" in told(capsys, "diagnose", path, *wrong)[2]
    assert "--steps 200 runs it on inputs of zeros" in told(capsys, "diagnose", path)[2]
    command = re.search(r"--prefix ([^\s;]+)", err)[1]
    assert told(capsys, "diagnose", path, "--steps", "3", "--prefix", shlex.split(command)[0])[0] == 0


def test_inspect_counts_what_an_optimiser_keeps(capsys, tmp_path):
    kept = {f"optimizer.state.{i}.step": np.ones(1) for i in range(13)}
    np.savez(tmp_path / "a.npz", **gru(3, "model.rnn."), **{"model.head.weight": np.eye(3)}, **kept)
    out = told(capsys, "inspect", tmp_path / "a.npz")[1]
    assert "model.head.weight" in out
    assert "optimizer.…  13 arrays" in out
    assert "optimizer.state.0" not in out
    assert len(json.loads(told(capsys, "inspect", tmp_path / "a.npz", "--json")[1])["arrays"]) == 14


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda path: np.save(path, np.eye(3)), r"one array without a name.*rd\.ElmanRNN\(W, b, W_in\)"),
        (lambda path: np.save(path, np.array({"a": 1})), r"Python's objects.*np\.savez"),
        (lambda path: path.write_text('{"weight_map": {}}'), "index of several safetensors files"),
        (
            lambda path: path.write_text(
                '{"layers": [{"type": "lstm", "activation": "relu", "weights": []}]}'
            ),
            "tanh",
        ),
        (lambda path: path.write_bytes((FILES / "external.onnx").read_bytes()), "file beside the model"),
        (
            lambda path: np.savez(path, **{k: v.astype("int8") for k, v in gru().items()}),
            "int8 without a scale",
        ),
    ],
)
def test_what_is_refused_says_what_would_do(tmp_path, write, words):
    write(tmp_path / "file")
    path = next(tmp_path.iterdir())
    with pytest.raises(ValueError, match=words):
        rd.interop.load(path)


def test_a_deep_bidirectional_network_is_read_layer_by_layer(capsys, tmp_path):
    deep = {}
    for layer, width in ((0, 2), (1, 6)):
        for end in ("", "_reverse"):
            one = gru() | {"weight_ih_l0": np.full((9, width), layer + 0.5, np.float32)}
            deep |= {name.replace("_l0", f"_l{layer}{end}"): array for name, array in one.items()}
    np.savez(tmp_path / "deep.npz", **deep)
    _, out, _ = told(capsys, "inspect", tmp_path / "deep.npz")
    assert "GRU of 3 units, 2 inputs, 2 layers, both directions" in out
    whole = eval(re.search(r"rd\.interop\.load\('.*?'.*?\)", out)[0], {"rd": rd})
    assert whole.run(np.ones((3, 2))).outputs.shape == (3, 6)
    _, said, _ = told(capsys, "diagnose", tmp_path / "deep.npz", "--steps", "5")
    assert "both directions" in said
    assert "layer 1 backward" in said
    cell = rd.interop.load(tmp_path / "deep.npz", layer=1, direction="reverse")
    np.testing.assert_array_equal(cell.W_in, np.full((9, 6), 1.5))
    for layer, words in ((2, r"^layer: expected one of \[0, 1\], got 2"), (True, "^layer: .*True")):
        with pytest.raises((TypeError, ValueError), match=words):
            rd.interop.load(tmp_path / "deep.npz", layer=layer)
    assert told(capsys, "diagnose", tmp_path / "deep.npz", "--steps", "3", "--layer", "x")[0] == 2
    options = ("--layer", "1", "--direction", "forward", "--steps", "3")
    assert told(capsys, "diagnose", tmp_path / "deep.npz", *options)[0] == 0


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_of_numpys_arrays_is_read_as_data(tmp_path, heard, protocol):
    arrays = gru(prefix="rnn.")
    odd = {"big": np.arange(6, dtype=">f8"), "turned": np.asfortranarray(np.arange(6.0).reshape(2, 3))}
    odd |= {
        "one": np.float32(0.5),
        "bytes": b"x",
        "objects": np.array([{}]),
        "again": arrays["rnn.weight_hh_l0"],
    }
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"model": arrays, "rest": odd}, protocol))
    assert read(tmp_path / "a.pkl") == ""
    assert heard == []
    np.testing.assert_array_equal(rd.interop.load(tmp_path / "a.pkl").W, from_torch(arrays, prefix="rnn").W)
    found = contents_of(tmp_path / "a.pkl")
    for name in ("big", "turned", "one", "again"):
        np.testing.assert_array_equal(found.arrays[f"rest.{name}"].read(), odd[name])
    assert list(found.refused) == ["rest.objects"]


def test_things_that_know_their_parents_are_searched_once(tmp_path):
    top = {"state_dict": gru(prefix="rnn.")}
    for _ in range(20):
        top = {"before": top, "settings": (settings := {}), "state_dict": top["state_dict"]}
        settings["parent"] = top
    short = top | {"before": None}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(short))
    (found,) = contents_of(tmp_path / "a.pkl").networks
    assert found.prefix == "state_dict.rnn."


def test_weights_outside_of_a_models_folder_are_not_read(tmp_path):
    (tmp_path / "in").mkdir()
    content = (FILES / "external.onnx").read_bytes()
    (tmp_path / "weights12").write_bytes((FILES / "external.bin").read_bytes())
    (tmp_path / "in" / "external.bin").symlink_to(tmp_path / "weights12")
    for place in (b"../weights12", b"external.bin"):
        (tmp_path / "in" / "a.onnx").write_bytes(content.replace(b"external.bin", place))
        with pytest.raises(ValueError, match="expected the weights in a file beside the model"):
            rd.interop.load(tmp_path / "in" / "a.onnx")
    (tmp_path / "in" / "external.bin").unlink()
    (tmp_path / "in" / "external.bin").write_bytes((FILES / "external.bin").read_bytes()[:-1])
    with pytest.raises(ValueError, match="cut short"):
        rd.interop.load(tmp_path / "in" / "a.onnx")


def test_a_state_dict_in_json(tmp_path):
    held = {
        "model_data": {"unit_type": "GRU"},
        "state_dict": {k: v.tolist() for k, v in gru(prefix="rec.").items()},
    }
    (tmp_path / "a.json").write_text(json.dumps(held))
    np.testing.assert_array_equal(rd.interop.load(tmp_path / "a.json").W, from_torch(gru()).W)


def test_a_door_for_one_format_names_the_call_that_reads_another(tmp_path):
    with pytest.raises(ValueError, match="reads it") as caught:
        rd.interop.read_safetensors(FILES / "zip.pt")
    assert eval(re.search(r"rd\.interop\.load\(.*?\)", str(caught.value))[0], {"rd": rd}).W.shape == (12, 3)


def test_integers_with_a_scale_beside_them(tmp_path):
    whole = gru()
    arrays = {}
    for name, array in whole.items():
        arrays |= {name: np.round(array * 20).astype("int8") + np.int8(1), f"{name}_scale": np.float32(0.05)}
        arrays |= {f"{name}_zero_point": np.int64(1)}
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.warns(UserWarning, match="int8 was made float32 by the scale"):
        cell = rd.interop.load(tmp_path / "a.npz")
    np.testing.assert_allclose(cell.W, whole["weight_hh_l0"], atol=0.0251)


def test_matlabs_files_are_read_as_scipy_reads_them(tmp_path):
    scipy_io = pytest.importorskip("scipy.io")
    rng = np.random.default_rng(0)
    held = {
        "W": rng.normal(size=(3, 4)),
        "n": np.arange(6, dtype="int16").reshape(2, 3),
        "e": np.zeros((0, 2)),
    }
    cells = np.empty((1, 2), object)
    cells[0, 0], cells[0, 1] = np.eye(2), np.ones((1, 3), "float32")
    for compressed in (False, True):
        scipy_io.savemat(
            tmp_path / "a.mat", held | {"s": {"deep": held}, "c": cells}, do_compression=compressed
        )
        arrays = contents_of(tmp_path / "a.mat").arrays
        for name, array in held.items():
            for key in (name, f"s.deep.{name}"):
                np.testing.assert_array_equal(arrays[key].read(), array)
                assert arrays[key].read().dtype == array.dtype
        np.testing.assert_array_equal(arrays["c.0"].read(), np.eye(2))


def test_a_file_of_matlab_7_3_needs_h5py(tmp_path, monkeypatch):
    (tmp_path / "a.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n" + bytes(9))
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"MATLAB 7\.3 needs h5py: pip install h5py \(or, in a clone"):
        rd.interop.load(tmp_path / "a.mat")


def test_a_file_of_matlab_7_3(tmp_path):
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    path = tmp_path / "a.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in gru(prefix="net/rnn/").items():
            file[name] = np.atleast_2d(array.T).astype(float)
        file["elsewhere"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/x")
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    np.testing.assert_array_equal(rd.interop.load(path, kind="gru").W, from_torch(gru()).W)


# --- hostile files --------------------------------------------------------------------------------------------


def torch_zip(program, *, compressed=False, extra=None):
    """An archive of PyTorch around a pickle's opcodes after protocol 2."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as archive:
        archive.writestr("model/data.pkl", b"\x80\x02" + program)
        archive.writestr("model/data/0", bytes(96))
        for name, content in (extra or {}).items():
            archive.writestr(name, content)
    return file.getvalue()


def tensor(shape=b"K\x0cK\x02\x86", strides=b"K\x02K\x01\x86", offset=b"K\x00", count=b"K\x18"):
    storage = (
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
        + count
        + b"tQ"
    )
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + offset + shape + strides + b"\x89}tR."


HUGE = b"\x8a\x06" + (2**40).to_bytes(6, "little")
CALL = b"X\x02\x00\x00\x00id"
HOSTILE = {
    "a call by REDUCE": (torch_zip(b"cos\nsystem\n(" + CALL + b"tR."), r"asks to call os\.system"),
    "a call by INST": (torch_zip(b"(" + CALL + b"ios\nsystem\n."), r"os\.system"),
    "a call by OBJ": (torch_zip(b"(cbuiltins\neval\n" + CALL + b"o."), r"builtins\.eval"),
    "a call by NEWOBJ": (torch_zip(b"csubprocess\nPopen\n(" + CALL + b"t\x81."), r"subprocess\.Popen"),
    "a call by STACK_GLOBAL": (
        torch_zip(b"\x8c\x05posix\x8c\x06system\x93(" + CALL + b"tR."),
        r"posix\.system",
    ),
    "a call under an old name": (torch_zip(b"c__builtin__\nexec\n(" + CALL + b"tR."), r"builtins\.exec"),
    "a call through copyreg": (
        torch_zip(b"ccopyreg\n_reconstructor\n(cos\nsystem\ncbuiltins\nobject\nNtR."),
        r"os\.system",
    ),
    "a call in a subclass's tensor": (
        torch_zip(b"ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nN(" + CALL + b"tNtR."),
        r"os\.system",
    ),
    "attributes of a function": (torch_zip(b"cos\nsystem\n}b."), r"os\.system"),
    "a name of three parts": (torch_zip(b"\x8c\x02os\x8c\x09path.join\x93)R."), r"os\.path\.join"),
    "an extension": (torch_zip(b"\x82\x01."), "EXT1"),
    "a buffer from elsewhere": (torch_zip(b"\x97."), "NEXT_BUFFER"),
    "a tensor of terabytes": (torch_zip(tensor(shape=HUGE + b"K\x02\x86")), "no larger than the file"),
    "a view beyond its storage": (torch_zip(tensor(offset=b"K\x01")), "inside its storage"),
    "a negative offset": (torch_zip(tensor(offset=b"J\xff\xff\xff\xff")), "stride for each axis"),
    "a negative stride": (torch_zip(tensor(strides=b"J\xff\xff\xff\xffK\x01\x86")), "shape of an array"),
    "a storage of terabytes": (torch_zip(tensor(count=HUGE)), "at most 16 GiB"),
    "a storage that is cut short": (torch_zip(tensor(count=b"K\x19")), "cut short"),
    "lists in lists": (torch_zip(b"]" * 5000 + b"a" * 4999 + b"."), "100 deep"),
    "doubled lists": (
        torch_zip(b"]q\x00" + b"]q\x01(h\x00h\x00eq\x00" * 60 + b"."),
        "expected a recurrent network",
    ),
    "doubled tuples as a key": (
        torch_zip(b"}" + b")" + b"2\x86" * 90 + b"K\x01s."),
        "expected a recurrent network",
    ),
    "a list in itself": (torch_zip(b"]q\x00h\x00a."), "expected a recurrent network"),
    "no end": (torch_zip(b"}"), "damaged"),
    "an empty stack": (torch_zip(b"0."), "takes more"),
    "no mark": (torch_zip(b"}u."), "mark"),
    "a member outside": (torch_zip(b"}.", extra={"../../x": b"1"}), r"names of members"),
    "a bomb": (
        torch_zip(b"}.", compressed=True, extra={"model/data/1": bytes(2**27)}),
        "inflates to at most",
    ),
    "MATLAB's bomb": (
        b"MATLAB 5.0".ljust(124)
        + b"\x00\x01IM"
        + (lambda c: struct.pack("<II", 15, len(c)) + c)(
            zlib.compress(struct.pack("<II", 14, 2**27) + bytes(2**27))
        ),
        "inflates",
    ),
    "MATLAB's terabytes": (
        b"MATLAB 5.0".ljust(124)
        + b"\x00\x01IM"
        + struct.pack("<II", 14, 56)
        + struct.pack("<IIII", 6, 8, 6, 0)
        + struct.pack("<IIii", 5, 8, 2**30, 2**30)
        + struct.pack("<II", 1, 0)
        + struct.pack("<IId", 9, 8, 1.0),
        "no larger",
    ),
    "MessagePack's array of gigabytes": (b"\x81\xa1a\xdd\xff\xff\xff\xff", "no more entries than bytes"),
    "MessagePack's extension": (b"\x81\xa1a\xc9\xff\xff\xff\xff\x01", "cut short"),
    "MessagePack's terabytes": (
        b"\x81\xa1a\xc7\x17\x01\x93\x92\xcf" + (2**40).to_bytes(8, "big") + b"\x02\xa7float32\xc4\x01\x00",
        "no larger",
    ),
    "MessagePack in itself": (b"\x81\xa1a" + b"\x91" * 4000, "64 deep"),
    "JSON in itself": (b'{"a":' + b"[" * 90_000 + b"1", "damaged"),
    "JSON's long number": (b'{"a": 1' + b"0" * 9000 + b"}", "damaged"),
    "ONNX's field of gigabytes": (
        b"\x08\x08\x12\x07" + b"pytorch" + b"\x3a\xff\xff\xff\xff\x0f",
        "cut short",
    ),
    "NumPy's terabytes": (
        b"\x93NUMPY\x01\x00\x76\x00"
        + b"{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,), }".ljust(117)
        + b"\n",
        "cut short",
    ),
}
SEEN: list[str] = []
WATCHED = (
    "exec",
    "import",
    "pickle.find_class",
    "os.system",
    "subprocess.Popen",
    "os.exec",
    "open",
)
listening = [False]


def _hear(event, arguments):
    if listening[0] and event in WATCHED:
        if event == "open" and not (isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")):
            return
        SEEN.append(f"{event} {str(arguments)[:80]}")


@pytest.fixture(scope="module")
def heard():
    """What Python runs, imports or writes while a file is read; a hook cannot be taken off again, only be deaf."""
    sys.addaudithook(_hear)
    codecs.lookup("raw_unicode_escape")  # of the oldest pickles' texts
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, *_ in NETWORKS:
            rd.interop.load(FILES / name)
    return SEEN


def read(path):
    """Read a file as a user would; the complaint, or "" where it was read."""
    SEEN.clear()
    listening[0] = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            rd.interop.load(path)
    except (ValueError, TypeError) as error:
        return str(error)
    finally:
        listening[0] = False
    return ""


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_in_one_line(tmp_path, heard, name):
    content, words = HOSTILE[name]
    path = tmp_path / "a.pt"
    path.write_bytes(content)
    del content
    begin, most = time.process_time(), 0
    is_large = re.search("bytes|bomb", name)  # tracing is slow where much is parsed
    if is_large:
        tracemalloc.start()
    try:
        said = read(path)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert heard == []
    assert re.search(words, said), said
    assert "\n" not in said
    assert len(said) < 700
    assert most < 300e6
    assert time.process_time() - begin < 10


def written(name, folder):
    """A whole file of the format, in the folder."""
    path = folder / name
    if name == "a.npz":
        np.savez_compressed(path, **gru())
    elif name == "a.safetensors":
        from safetensors.numpy import save_file

        save_file(gru(), path)
    elif name == "a.npy":
        np.save(path, np.eye(3))
    elif "/" in name:
        archive, _, member = name.partition("/")
        path = folder / member
        with tarfile.open(FILES / f"{archive}.tar.xz") as held:
            path.write_bytes(held.extractfile(member).read())
    else:
        path.write_bytes((FILES / name).read_bytes())
    return path


def mutated(content, dice):
    """The content with some of it changed, cut out, doubled, or cut off."""
    new = bytearray(content)
    how, at = dice.randrange(6), dice.randrange(len(content))
    if how == 0:
        new[at] ^= 1 << dice.randrange(8)
    elif how == 1:
        for _ in range(8):
            new[dice.randrange(len(new))] = dice.randrange(256)
    elif how == 2:
        del new[at:]
    elif how == 3:
        del new[at : at + dice.randrange(1, 9)]
    elif how == 4:
        new[at : at + 4] = dice.choice(
            [b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80", bytes(4)]
        )
    else:
        new[at:at] = new[at : at + dice.randrange(1, 65)]
    return bytes(new)


def repacked(content, dice):
    """An archive with one member changed and all checksums right; other files as ``mutated`` leaves them."""
    if not content.startswith(b"PK") or dice.random() < 0.5:
        return mutated(content, dice)
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w") as new:
        members = {name: old.read(name) for name in old.namelist()}
        (pickled,) = [name for name in members if name.endswith("data.pkl")] or [""]
        chosen = dice.choice([pickled or "", *members]) or next(iter(members))
        for name, each in members.items():
            new.writestr(zipfile.ZipInfo(name), mutated(each, dice) if name == chosen and each else each)
    return file.getvalue()


def mutate(name, folder, count, seed):
    path = written(name, folder)
    content, dice = path.read_bytes(), random.Random(seed)
    for number in range(count):
        path.write_bytes(repacked(content, dice))
        try:
            said = read(path)
        except Exception as error:
            raise AssertionError(f"{name}: mutation {number} of seed {seed}: {error!r}") from error
        assert SEEN == [], (name, number, SEEN)
        assert "\n" not in said
        assert len(said) < 1000, said


@pytest.mark.parametrize("name", [*FORMATS, *MODELS])
def test_damaged_files_are_read_or_refused(tmp_path, heard, name):
    mutate(name, tmp_path, 40 if name in FORMATS else 24, name)


@pytest.mark.soak
@pytest.mark.parametrize("name", [*FORMATS, *MODELS])
def test_many_damaged_files_are_read_or_refused(tmp_path, heard, name):
    mutate(name, tmp_path, 2000, f"soak {name}")


def test_a_file_of_one_byte_is_refused(tmp_path):
    for byte in range(256):
        (tmp_path / "a.pt").write_bytes(bytes([byte]))
        with pytest.raises(ValueError, match=r"^path: a\.pt: "):
            rd.interop.load(tmp_path / "a.pt")


def test_a_file_is_the_network_of_its_arrays(tmp_path):
    path = written("a.npz", tmp_path)
    np.testing.assert_array_equal(rd.interop.load(path).W, from_torch(gru()).W)


@pytest.mark.parametrize("word", ["exp_avg", "optimizer.exp_avg_sq", "momentum_buffer", "square_avg"])
def test_what_an_optimizer_keeps_is_no_network_beside_its_weights(tmp_path, word):
    """It has the names and the shapes of the weights; alone it is read with a warning."""
    weights = {
        "weight_hh_l0": np.ones((9, 3)),
        "weight_ih_l0": np.ones((9, 2)),
        "bias_ih_l0": np.zeros(9),
        "bias_hh_l0": np.zeros(9),
    }
    kept = {f"{word}.rnn.{name}": 1e-8 * array for name, array in weights.items()}
    np.savez(tmp_path / "both.npz", **kept, **{f"model.rnn.{name}": a for name, a in weights.items()})
    np.testing.assert_array_equal(rd.interop.load(tmp_path / "both.npz").W, weights["weight_hh_l0"])
    np.savez(tmp_path / "alone.npz", **kept)
    with pytest.warns(
        UserWarning, match=f"{word.rpartition('.')[2]} is what an optimizer keeps of gradients"
    ):
        rd.interop.load(tmp_path / "alone.npz")
