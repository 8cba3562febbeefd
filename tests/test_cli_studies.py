"""The commands of the three studies: their numbers, their files, and everything that is wrong told at once."""

import csv
import math

import jax
import numpy as np
import pytest

import rnn_dynamics as rd
from rnn_dynamics import cli
from rnn_dynamics.cells import activations
from rnn_dynamics.cli import studies


def run(folder, *arguments, plot="a.png"):
    files = ["--plot", str(folder / plot), "--table", str(folder / "a.csv")]
    return cli.main([*arguments, *files])


def columns(folder):
    with (folder / "a.csv").open(encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    return {
        name: np.array([float(v) if v else np.nan for v in column])
        for name, column in zip(header, zip(*rows, strict=True), strict=True)
    }


def test_the_neuron_has_the_folds_of_the_closed_form(tmp_path, capsys):
    assert run(tmp_path, "doya", "--w", "6", "--b", "-4", "-2", "--points", "101") == 0
    text = capsys.readouterr().out
    for sign in (-1, 1):  # w x (1 − x) = 1 at the folds, b = logit(x) − w x
        x = (1 + sign * math.sqrt(1 - 4 / 6)) / 2
        assert f"b = {math.log(x / (1 - x)) - 6 * x:.10g}"[:15] in text
    table = columns(tmp_path)
    assert table["b"] == pytest.approx(np.linspace(-4, -2, 101))
    inside = (table["b"] > -3.415) & (table["b"] < -2.585)
    assert (np.isfinite(table["x2"]) == inside).all()
    x, b = table["x1"], table["b"]
    assert np.abs(x - 1 / (1 + np.exp(-6 * x - b))).max() < 1e-14
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_the_cliff_is_that_of_the_library(tmp_path, capsys):
    assert run(tmp_path, "cliff", "--w", "5", "--steps", "9", "4", "--points", "41", plot="a.svg") == 0
    assert "T = 9" in capsys.readouterr().out
    table, loss = columns(tmp_path), rd.cliff.loss(5.0, np.linspace(-3, -2, 41), steps=9)
    assert list(table) == ["b", "loss_T4", "log10_slope_T4", "loss_T9", "log10_slope_T9", "loss_limit"]
    assert table["loss_T9"] == pytest.approx(np.asarray(loss.value), rel=1e-14)
    assert table["log10_slope_T9"] == pytest.approx(np.asarray(loss.db.log10()), abs=1e-12)


def test_the_bounds_are_those_of_the_library(tmp_path, capsys):
    given = ["--radius", "1.2", "--units", "8", "--steps", "20", "--seed", "3", "--form", "pre_activation"]
    assert run(tmp_path, "spectral", *given) == 0
    assert "spectral radius ρ(W) = 1.2" in capsys.readouterr().out
    cell = rd.random_rnn(jax.random.key(3), 8, spectral_radius=1.2, form="pre_activation")
    norms = rd.gradient_norms(rd.rollout(cell, np.full(8, 0.1), steps=20))
    table = columns(tmp_path)
    assert table["log10_norm"] == pytest.approx(np.asarray(norms)[::-1] / math.log(10), abs=1e-12)
    assert (table["log10_norm"] <= table["log10_steps_bound"] + 1e-12).all()
    assert table["log10_radius_claim"] == pytest.approx(table["lag"] * math.log10(1.2), abs=1e-12)


WRONG = {
    "a word for a number": (
        ["doya", "--w", "five"],
        ["--w: expected a number from -1e+06 to 1e+06, got 'five'"],
    ),
    "a range backwards": (["doya", "--b", "-2", "-3"], ["--b: expected an ascending range"]),
    "one end": (["cliff", "--b", "-2"], ["--b: expected two numbers, from and to, got 1"]),
    "NaN": (["doya", "--epsilon", "nan"], ["--epsilon: expected a number above 0 to 1, got nan"]),
    "several": (
        ["spectral", "--radius", "0", "--norm", "1", "--ensemble", "gausian", "--units", "0"],
        [
            "expected one of them, got both",
            "--radius: expected a number above 0",
            "did you mean gaussian",
            "--units",
        ],
    ),
    "no steps": (["cliff", "--steps", "0", "5"], ["--steps: expected an integer from 1 to 100000, got 0"]),
    "a map with a step": (
        ["cliff", "--model", "pascanu", "--epsilon", "0.5"],
        ["--epsilon: the pascanu model"],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_everything_wrong_is_told_and_nothing_written(name, tmp_path, capsys):
    arguments, told = WRONG[name]
    assert run(tmp_path, *arguments) == 2
    error = capsys.readouterr().err
    assert all(part in error for part in told), error
    assert not list(tmp_path.iterdir())


def test_files_that_cannot_be_written_are_told_first(tmp_path, capsys):
    assert (
        cli.main(["doya", "--plot", str(tmp_path / "a.doc"), "--table", str(tmp_path / "no" / "a.csv")]) == 2
    )
    error = capsys.readouterr().err
    assert "--plot: expected a name ending in .png, .svg, .pdf" in error
    assert "--table: no such folder" in error


def test_the_names_are_those_of_the_library():
    assert set(studies._ACTIVATIONS) | {"sigmoid"} == set(activations._BY_NAME)
    for ensemble in studies._ENSEMBLES:
        rd.random_rnn(jax.random.key(0), 4, ensemble=ensemble)
    for form in studies._FORMS:
        rd.random_rnn(jax.random.key(0), 4, form=form)
    with pytest.raises(ValueError, match="ensemble") as error:
        rd.random_rnn(jax.random.key(0), 4, ensemble="none")
    assert all(ensemble in str(error.value) for ensemble in studies._ENSEMBLES)
