"""Lines that say what a long command does: there where no terminal is, never late, gone with their command."""

import io
import json
import re
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

from rnn_dynamics import cli
from rnn_dynamics.cli import comparison, diagnosis
from rnn_dynamics.figures import registry
from rnn_dynamics.numerics import heartbeat
from rnn_dynamics.numerics.heartbeat import Heartbeat
from rnn_dynamics.numerics.sweep import sweep

CHEAP = "input_over_boundary"


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class _Timed(io.StringIO):
    """A stream that keeps when each line came."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def write(self, text: str) -> int:
        self.times.append(time.monotonic())
        return super().write(text)


def _threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "heartbeat"]


def _busy(seconds: float) -> None:
    """Python code that never sleeps, as tracing is."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(1000))


@pytest.mark.parametrize("work", [time.sleep, _busy], ids=["waiting", "computing"])
def test_no_silence_is_longer_than_the_interval(work):
    stream = _Timed()
    began = time.monotonic()
    with Heartbeat("drawing x", every=0.3, stream=stream):
        work(1.7)
        ended = time.monotonic()
    gaps = np.diff([began, *stream.times, ended])
    assert len(stream.times) >= 3
    assert gaps.max() < 0.3 + 0.5  # what a busy machine takes to wake a thread
    assert all(
        re.fullmatch(r"rnn-dynamics: drawing x … \d+ s", line) for line in stream.getvalue().splitlines()
    )


def test_what_is_done_by_default_leaves_half_a_minute_at_most():
    assert 20 < heartbeat.EVERY < 30


def test_a_quick_command_says_nothing_and_leaves_no_thread():
    stream = io.StringIO()
    with Heartbeat("x", stream=stream) as beat:
        assert len(_threads()) == 1
        beat.at("y", "3 of 4")
        beat.done("y")
    assert stream.getvalue() == ""
    assert _threads() == []


def test_a_failing_command_leaves_no_thread():
    with pytest.raises(KeyboardInterrupt), Heartbeat("x", stream=io.StringIO()):
        raise KeyboardInterrupt
    assert _threads() == []


def test_a_terminal_has_its_bar_and_gets_no_lines():
    stream = _Terminal()
    with Heartbeat("x", every=0.05, stream=stream, short=0.0) as beat:
        assert _threads() == []
        time.sleep(0.2)
        beat.done("x")
        beat.line("x")
    assert stream.getvalue() == ""


def test_where_no_bar_is_shown_a_terminal_has_a_first_line_early():
    stream = _Terminal()
    with Heartbeat("x", first=0.05, stream=stream, on_terminals=True):
        time.sleep(0.3)
    assert stream.getvalue() == "rnn-dynamics: x … 0 s\n"


def test_what_is_being_done_and_since_when():
    stream = io.StringIO()
    with Heartbeat("first", every=0.2, stream=stream, short=0.0) as beat:
        time.sleep(0.3)
        beat.at("second", "1 of 2 done")
        beat.done("drew first")
        time.sleep(1.5)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "rnn-dynamics: first … 0 s"
    assert "rnn-dynamics: drew first" in lines
    assert re.fullmatch("rnn-dynamics: second, 1 of 2 done … [12] s", lines[-1])


def test_a_line_of_somebody_else_puts_the_next_one_off():
    stream = io.StringIO()
    with Heartbeat("x", every=0.5, stream=stream) as beat:
        for _ in range(10):
            time.sleep(0.1)
            beat.heard()
    assert stream.getvalue() == ""


@pytest.mark.parametrize("broken", ["closed", "pipe", "none"])
def test_a_reader_that_has_gone_stops_nothing(broken, monkeypatch):
    class Pipe(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    stream = Pipe()
    if broken == "closed":
        stream = io.StringIO()
        stream.close()
    if broken == "none":
        monkeypatch.setattr(sys, "stderr", None)
    with Heartbeat("x", every=0.05, stream=None if broken == "none" else stream, short=0.0) as beat:
        time.sleep(0.2)
        beat.done("x")
        beat.line("x")
    assert _threads() == []


@pytest.fixture
def often(monkeypatch):
    """Lines ten times a second in the place of twice a minute."""
    short = Heartbeat.__init__

    def made(self, doing, **options):
        short(self, doing, **{"every": 0.1, "short": 0.0} | options)

    monkeypatch.setattr(Heartbeat, "__init__", made)


def test_reproduce_names_the_figure_and_how_many_are_done(often, capsys, tmp_path, monkeypatch):
    made = registry.FIGURES[CHEAP].make(quick=True)

    def slow(self, *, quick=False):
        time.sleep(0.5)
        return made

    monkeypatch.setattr(registry.Entry, "make", slow)
    assert (
        cli.main(["reproduce", "--only", CHEAP, "nearby_starts", "--out", str(tmp_path), "--dpi", "50"]) == 0
    )
    lines = capsys.readouterr().err.splitlines()
    assert any(
        line.startswith("rnn-dynamics: drawing nearby_starts, 0 of 2 figures done …") for line in lines
    )
    assert "rnn-dynamics: drew nearby_starts, 1 of 2 figures done" in lines
    assert f"rnn-dynamics: drew {CHEAP}, 2 of 2 figures done" in lines
    assert _threads() == []


def test_json_on_standard_output_is_json_alone(often, capsys, tmp_path, monkeypatch):
    np.savez(tmp_path / "m.npz", weight_hh_l0=np.eye(3), weight_ih_l0=np.zeros((3, 1)))

    def slow(options):
        time.sleep(0.5)
        return json.dumps({"steps": 5})

    monkeypatch.setattr(diagnosis, "verdict", slow)
    monkeypatch.setattr(diagnosis, "_PATIENCE", 0.1)
    path = str(tmp_path / "m.npz")
    assert cli.main(["diagnose", path, "--steps", "5", "--kind", "rnn_tanh", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"steps": 5}
    assert f"rnn-dynamics: diagnosing {path} … 0 s" in captured.err.splitlines()


def test_compare_says_how_far_a_row_is(often, capsys, monkeypatch, tmp_path):
    from types import SimpleNamespace as Some

    def slow(options, store, heed, beat, line):
        task = Some(name="temporal-order", length=10)
        panel = Some(
            plan=Some(task=task), succeeded=np.ones(2, bool), seeds=[0, 1], steps=np.array([500, 300])
        )
        comparison._tell("plain", panel, beat, line)
        time.sleep(0.5)
        return "table"

    monkeypatch.setattr(comparison, "_found", slow)
    assert cli.main(["compare", "--store", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert captured.out == "table\n"
    told = "rnn-dynamics: training plain, temporal-order 10, 500 updates, 2 of 2 learned … 0 s"
    assert told in captured.err.splitlines()


def test_a_sweep_asked_for_progress_ends_with_a_line_where_no_terminal_is(capsys):
    sweep(lambda w: w, {"w": np.linspace(0, 1, 7)}, progress=True)
    assert capsys.readouterr().err == "sweep: 7 points evaluated\n"
    assert _threads() == []


def test_lines_come_while_xla_compiles():
    program = """
        import jax, jax.numpy as jnp, sys, time
        from rnn_dynamics.numerics.heartbeat import Heartbeat

        def deep(x, steps):
            for i in range(steps):
                x = jnp.sort(jnp.sin(x)) + i
            return x

        seconds, steps = 0.0, 5
        while seconds < 0.5:  # how deep that must be depends on the processor
            steps *= 2
            lowered = jax.jit(deep, static_argnums=1).lower(jnp.ones(50), steps)
            print("again", file=sys.stderr)
            began = time.monotonic()
            with Heartbeat("compiling", every=0.05):
                lowered.compile()
            seconds = time.monotonic() - began
        print(seconds)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
        env={"PATH": "", "JAX_PLATFORMS": "cpu", "PYTHONPATH": ":".join(sys.path)},
    )
    last = done.stderr.split("again\n")[-1].splitlines()
    assert len([line for line in last if "compiling …" in line]) >= float(done.stdout) / 0.05 / 5
