"""On a GPU the numbers are those of the CPU; the script that measures one runs, small, where there is none."""

import contextlib
import functools
import io
import math
import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
from benchmarks import on_gpu

import rnn_dynamics as rd
from rnn_dynamics import cli

on_cpu = functools.partial(jax.default_device, jax.devices("cpu")[0])


def _run(dtype: str) -> Any:
    draws = np.random.default_rng(0)
    cell = rd.ElmanRNN(draws.normal(0, 0.3, (16, 16)).astype(dtype), np.zeros(16, dtype))
    return rd.rollout(cell, draws.normal(size=16).astype(dtype), steps=40)


CALLS: dict[str, Callable[[str], Any]] = {
    "sensitivities": lambda dtype: (
        rd.doya.sensitivities(
            np.linspace(-6, 6, 40, dtype=dtype), np.linspace(-3, 1, 40, dtype=dtype), 0.5, 20
        ).state
    ),
    "jacobian_products": lambda dtype: rd.jacobian_products(_run(dtype)).log()[:10],
    "gradient_norms": lambda dtype: rd.gradient_norms(_run(dtype)),
    "singular_spectrum": lambda dtype: rd.singular_spectrum(_run(dtype)).log[:4],
    "lyapunov_spectrum": lambda dtype: rd.lyapunov_spectrum(_run(dtype), blocks=4).exponents[:2],
}


@pytest.mark.gpu
@pytest.mark.parametrize("name", CALLS)
def test_a_gpu_gives_what_the_cpu_gives(name: str, dtype: str) -> None:
    found = np.asarray(CALLS[name](dtype))
    with on_cpu():
        wanted = np.asarray(CALLS[name](dtype))
    assert np.isfinite(wanted).all()
    np.testing.assert_allclose(found, wanted, rtol=1e4 * np.finfo(dtype).eps, atol=1e4 * np.finfo(dtype).eps)


def test_the_script_for_a_gpu_runs_small_and_says_what_it_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = [part for part in on_gpu.PARTS if part[2] != "float64"]
    monkeypatch.setattr(on_gpu, "PARTS", chosen)
    timed = on_gpu.timing.interleaved
    monkeypatch.setattr(
        on_gpu.timing, "interleaved", lambda candidates, **_: timed(candidates, repetitions=1)
    )
    rows = on_gpu.measure(quick=True)
    assert {row["benchmark"] for row in rows} == {
        "neuron grid",
        "jacobian_products",
        "singular_spectrum",
        "training panel",
        "first call",
    }
    assert all(row["seconds"] > 0 and row["rate"] > 0 for row in rows)
    left_out = on_gpu.measure(quick=True, limit=-1.0)
    assert len(left_out) == len(chosen)
    assert all(math.isnan(row["seconds"]) and "no time" in row["case"] for row in left_out)


def test_the_script_names_the_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    def said(command: list[str]) -> str:
        """What the command prints, in this process."""
        assert command[:3] == [sys.executable, "-m", "rnn_dynamics"]
        with contextlib.redirect_stdout(io.StringIO()) as text:
            cli.main(command[3:])
        return text.getvalue()

    monkeypatch.setattr(on_gpu, "_said", said)
    monkeypatch.setattr(on_gpu, "measure", lambda **_: [])
    monkeypatch.setattr("sys.argv", ["on_gpu", "--small", "--no-tests", "--out", str(tmp_path / "table.md")])
    on_gpu.main()
    text = (tmp_path / "table.md").read_text()
    assert f"- device: {jax.devices()[0].platform}" in text
    assert "jaxlib" in text
