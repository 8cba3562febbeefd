"""The command line: exit codes, one clear line for every error, and nothing half-written."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from rnn_dynamics import __version__, cli
from rnn_dynamics.cli import diagnosis
from rnn_dynamics.figures import FIGURES, output, registry, self_check
from rnn_dynamics.numerics.sweep import sweep

CHEAP = "input_over_boundary"


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    code = cli.main(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def one_line(text: str) -> bool:
    """Whether standard error has one line beside the progress bar, which ends in a carriage return."""
    return len(text.rpartition("\r")[2].strip().splitlines()) == 1


def test_list_names_every_figure(capsys):
    code, out, _ = run(capsys, "list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == list(FIGURES)


def test_version_and_help(capsys):
    assert run(capsys, "--version")[:2] == (0, f"rnn-dynamics {__version__}\n")
    code, out, _ = run(capsys, "reproduce", "--help")
    assert code == 0
    assert all(option in out for option in ("--out", "--only", "--quick", "--dpi", "--format"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "COMMAND"),
        (("draw",), "invalid choice"),
        (("reproduce", "--only", "clif_profile"), "did you mean cliff_profile?"),
        (("reproduce", "--only", "../../etc/passwd"), "unknown figure"),
        (("reproduce", "--only", "‮"), "unknown figure '\\u202e'"),
        (("reproduce", "--only"), "--only"),
        (("reproduce", "--dpi", "x"), "10 to 1200"),
        (("reproduce", "--dpi", "nan"), "10 to 1200"),
        (("reproduce", "--dpi", "-5"), "10 to 1200"),
        (("reproduce", "--dpi", "1e9"), "10 to 1200"),
        (("reproduce", "--format", "bmp"), "bmp"),
        (("reproduce", "extra"), "extra"),
        (("info", "--fast"), "--fast"),
    ],
)
def test_misuse_is_one_line_and_exit_status_two(capsys, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert one_line(err)
    assert list(tmp_path.iterdir()) == []


def test_reproduce_writes_what_was_asked_for(capsys, tmp_path):
    folder = tmp_path / "a" / "b"
    options = ("--only", CHEAP, CHEAP, "--quick", "--format", "svg", "--dpi", "50")
    code, out, _ = run(capsys, "reproduce", "--out", str(folder), *options)
    assert code == 0
    assert "0 × DIFFERS" in out
    assert {path.name for path in folder.iterdir()} == {f"{CHEAP}.svg", "report.json", "report.md"}
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert run(capsys, "reproduce", "--out", str(folder), *options)[0] == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("place", ["file", "below_file", "dangling"])
def test_a_folder_that_cannot_be_is_one_line(capsys, tmp_path, place):
    (tmp_path / "file").write_text("kept")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere" / "x")
    target = {"file": "file", "below_file": "file/out", "dangling": "dangling"}[place]
    code, out, err = run(capsys, "reproduce", "--only", CHEAP, "--quick", "--out", str(tmp_path / target))
    assert (code, out) == (1, "")
    assert "cannot write to" in err
    assert one_line(err)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "dangling"}
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_one_line(capsys, tmp_path):
    tmp_path.chmod(0o500)
    try:
        code, _, err = run(capsys, "reproduce", "--only", CHEAP, "--quick", "--out", str(tmp_path / "new"))
    finally:
        tmp_path.chmod(0o700)
    assert code == 1
    assert "permission denied" in err


def test_a_full_disk_leaves_nothing(capsys, tmp_path, monkeypatch):
    def full(path, content):
        path.write_bytes(content[:10])
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(output, "atomic_write", full)
    code, out, err = run(capsys, "reproduce", "--only", CHEAP, "--quick", "--out", str(tmp_path / "new"))
    assert (code, out) == (1, "")
    assert "no space left on device" in err
    assert one_line(err)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_a_pictures_place_is_named(capsys, tmp_path):
    (tmp_path / f"{CHEAP}.png").mkdir()
    code, _, err = run(capsys, "reproduce", "--only", CHEAP, "--quick", "--out", str(tmp_path))
    assert code == 1
    assert "in the way" in err
    assert [path.name for path in tmp_path.iterdir()] == [f"{CHEAP}.png"]


def test_a_link_in_a_pictures_place_is_not_followed(capsys, tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("kept")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "report.md").symlink_to(outside)
    code, _, err = run(capsys, "reproduce", "--only", CHEAP, "--quick", "--out", str(folder))
    assert code == 1
    assert "link" in err
    assert outside.read_text() == "kept"


def test_interrupt_is_130_and_leaves_nothing(capsys, tmp_path, monkeypatch):
    def interrupted(self, *, quick=False):
        raise KeyboardInterrupt

    monkeypatch.setattr(registry.Entry, "make", interrupted)
    code, out, err = run(capsys, "reproduce", "--only", CHEAP, "--out", str(tmp_path / "new"))
    assert (code, out) == (130, "")
    assert "interrupted" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_waits_for_a_place_where_it_is_safe(capsys, tmp_path, monkeypatch, number, code):
    made = registry.FIGURES[CHEAP].make(quick=True)

    def signalled(self, *, quick=False):
        os.kill(os.getpid(), number)
        return made

    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    monkeypatch.setattr(registry.Entry, "make", signalled)
    assert run(capsys, "reproduce", "--only", CHEAP, "--out", str(tmp_path / "new"))[:2] == (code, "")
    assert list(tmp_path.iterdir()) == []
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_a_row_that_differs_is_exit_status_one(capsys, tmp_path, monkeypatch):
    from rnn_dynamics.figures import report

    made = registry.FIGURES[CHEAP].make(quick=True)
    wrong = registry.Reproduction(made.draw, (report.number("q", "s", "1", 2.0),))
    monkeypatch.setattr(registry.Entry, "make", lambda self, *, quick=False: wrong)
    code, out, _ = run(capsys, "reproduce", "--only", CHEAP, "--out", str(tmp_path))
    assert code == 1
    assert "1 × DIFFERS" in out


def test_info_prints_device_versions_and_checks(capsys):
    code, out, _ = run(capsys, "info")
    assert code == 0
    assert jax.__version__ in out
    assert "float64" in out
    assert jax.devices()[0].device_kind in out
    assert "FAIL" not in out
    assert out.count("pass ") >= 14


def test_info_fails_where_a_number_is_wrong(capsys, monkeypatch):
    wrong = self_check.Check("one", "float64", float("nan"), 1.0, 1e-9)
    monkeypatch.setattr(self_check, "checks", lambda: [wrong])
    code, out, _ = run(capsys, "info")
    assert code == 1
    assert "FAIL" in out


def test_the_module_runs_and_a_closed_pipe_is_no_traceback():
    reader, writer = os.pipe()
    os.close(reader)
    program = [sys.executable, "-m", "rnn_dynamics", "list"]
    done = subprocess.run(program, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_terminal_without_greek_gets_question_marks():
    program = [sys.executable, "-m", "rnn_dynamics", "reproduce", "--only", "ε"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert done.returncode == 2
    assert "unknown figure" in done.stderr
    assert "Traceback" not in done.stderr


def test_hazard_43_nothing_forks_after_jax_has_started(capsys, tmp_path, monkeypatch):
    def refuse():
        raise AssertionError("fork() after JAX has started")

    jax.devices()
    monkeypatch.setattr(os, "fork", refuse, raising=False)
    assert run(capsys, "reproduce", "--only", CHEAP, "--quick", "--out", str(tmp_path))[0] == 0
    found = sweep(lambda w: jnp.tanh(w), {"w": np.linspace(0, 1, 9)}, chunk=2)
    np.testing.assert_allclose(found.values["value"], np.tanh(np.linspace(0, 1, 9)), rtol=1e-6)


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_program_and_leaves_nothing(tmp_path, number, code):
    folder = tmp_path / "new"
    program = [sys.executable, "-m", "rnn_dynamics", "reproduce", "--out", str(folder)]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(600):
            if folder.exists() and list(folder.iterdir()):
                break
            time.sleep(0.05)
        time.sleep(0.2)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, out) == (code, "")
    assert "interrupted, nothing written" in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def model(tmp_path):
    """A file with PyTorch's LSTM of the interop tests, and inputs for it."""
    data = np.load(Path(__file__).parent / "data" / "pytorch.npz")
    names = [name for name in data.files if name.startswith(("lstm/weight", "lstm/bias"))]
    save_file({name.removeprefix("lstm/"): data[name] for name in names}, tmp_path / "model.safetensors")
    np.save(tmp_path / "x.npy", data["inputs"])
    return tmp_path


def test_diagnose_reads_a_model_and_prints_the_verdict(capsys, model):
    arguments = ("diagnose", str(model / "model.safetensors"), "--inputs", str(model / "x.npy"))
    code, out, err = run(capsys, *arguments, "--kind", "lstm", "--plot", str(model / "verdict.png"))
    assert (code, err) == (0, "")
    assert out.startswith("Gradients: vanishing")
    assert "mean gates" in out
    assert (model / "verdict.png").stat().st_size > 10_000
    code, out, _ = run(capsys, *arguments, "--json")
    assert json.loads(out)["steps"] == 100


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.safetensors", "--steps", "5"], "no file"),
        (["model.safetensors"], "--inputs, --steps"),
        (["model.safetensors", "--steps", "5", "--kind", "gru"], "gru"),
        (["model.safetensors", "--inputs", "none.npy"], "--inputs: cannot read none.npy"),
        (["model.safetensors", "--inputs", "x.npz"], "--inputs: expected one array"),
        (["model.safetensors", "--inputs", "empty.npy"], "--inputs: expected one array"),
        (["model.safetensors", "--inputs", "text.npy"], "--inputs: expected one array"),
        (["model.safetensors", "--inputs", "cut.npy"], "--inputs: expected an array of numbers"),
        (["model.safetensors", "--inputs", "header.npy"], "--inputs: expected an array of numbers"),
        (["model.safetensors", "--inputs", "complex.npy"], "--inputs: expected real numbers"),
        (["model.safetensors", "--inputs", "words.npy"], "--inputs: expected real numbers"),
        (["model.safetensors", "--inputs", "dates.npy"], "--inputs: expected real numbers"),
        (["model.safetensors", "--inputs", "nan.npy"], "--inputs: expected finite numbers"),
        (["model.safetensors", "--inputs", "none_at_all.npy"], "--inputs: expected an array of shape"),
        (["model.safetensors", "--inputs", "wide.npy"], "inputs"),
        (["model.safetensors", "--inputs", "flat.npy"], "--inputs"),
        (["model.safetensors", "--inputs", "pickled.npy"], "allow_pickle"),
        (["model.pt", "--steps", "5"], "pickles"),
    ],
)
def test_diagnose_says_in_one_line_what_is_wrong(capsys, model, monkeypatch, arguments, said):
    monkeypatch.chdir(model)
    np.save("wide.npy", np.zeros((9, 5)))
    np.save("flat.npy", np.zeros(9))
    np.save("pickled.npy", np.array([{}]))
    for name, kind in (("complex", complex), ("words", str), ("dates", "M8[s]")):
        np.save(f"{name}.npy", np.zeros((9, 2)).astype(kind))
    np.save("nan.npy", np.full((9, 2), np.nan))
    np.save("none_at_all.npy", np.zeros((0, 2)))
    np.savez("x.npz", x=np.zeros((9, 2)))
    content = (model / "nan.npy").read_bytes()
    (model / "cut.npy").write_bytes(content[:-5])
    (model / "header.npy").write_bytes(content.replace(b"{", b"(", 1))
    (model / "empty.npy").write_bytes(b"")
    (model / "text.npy").write_text("1 2 3")
    (model / "model.pt").write_bytes(b"\x80\x04")
    code, out, err = run(capsys, "diagnose", *arguments)
    assert (code, out) == (2, "")
    assert one_line(err)
    assert said in err


def test_diagnose_reads_the_inputs_of_a_reverse_direction_backwards(model):
    arrays = load_file(model / "model.safetensors")
    save_file({f"{name}_reverse": array for name, array in arrays.items()}, model / "back.safetensors")
    np.save(model / "flipped.npy", np.load(model / "x.npy")[::-1])
    verdicts = []
    for name, inputs, *direction in (
        ("model", "x"),
        ("model", "flipped"),
        ("back", "x", "--direction", "reverse"),
    ):
        paths = (str(model / f"{name}.safetensors"), "--inputs", str(model / f"{inputs}.npy"))
        verdicts.append(diagnosis.verdict(cli._parser().parse_args(["diagnose", *paths, *direction])))
    ahead, flipped, back = verdicts
    assert ahead != flipped == back
