"""Haiku's cores as cells: outputs and ∂x_T/∂x_0 as Haiku and JAX computed them (files/make_haiku.py)."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from rnn_dynamics.cells import GRU, LSTM, ElmanRNN, Stack
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.gradients.jacobians import jacobian_product
from rnn_dynamics.interop import from_haiku, load
from tests.files.packed import read

DATA = read(Path(__file__).parent / "files" / "haiku.npz")


def params(name, dtype=float):
    """As Haiku keeps them: module names to mappings."""
    found = {}
    for key in DATA:
        if key.startswith(f"{name}/params/"):
            module, _, leaf = key.removeprefix(f"{name}/params/").rpartition("/")
            found.setdefault(module, {})[leaf] = DATA[key].astype(dtype)
    return found


def check(name, cell):
    """Twenty steps, the last state and the Jacobian of all steps, in float64."""
    run = rollout(cell, DATA[f"{name}/x0"], DATA["inputs"])
    np.testing.assert_allclose(run.final, DATA[f"{name}/last"], rtol=1e-12, atol=1e-14)
    if f"{name}/outputs" in DATA:
        np.testing.assert_allclose(run.states[1:, :3], DATA[f"{name}/outputs"], rtol=1e-6)
    truth = DATA[f"{name}/jacobian"]
    assert np.abs(truth).max() > 0
    np.testing.assert_allclose(
        jacobian_product(run).to_float(), truth, rtol=1e-10, atol=1e-12 * np.abs(truth).max()
    )


@pytest.mark.parametrize(
    ("name", "cls", "options"),
    [
        ("LSTM", LSTM, {}),
        ("GRU", GRU, {}),
        ("VanillaRNN", ElmanRNN, {}),
        ("single_bias", ElmanRNN, {"kind": "VanillaRNN"}),
        ("named", LSTM, {"kind": "LSTM"}),
    ],
)
def test_outputs_and_jacobians_are_haikus(name, cls, options):
    cell = from_haiku(params(name), **options)
    assert type(cell) is cls
    check(name, cell)
    assert from_haiku(params(name, "float32"), **options).W.dtype == np.float32


def test_cores_of_a_model_are_read_by_prefix():
    source = params("deep")
    names = [name.removesuffix("/linear") for name in sorted(source) if "lstm" in name]
    check("deep", Stack([from_haiku(source, prefix=name) for name in names]))
    calls = rf'prefix="{names[0]}"\) or from_haiku\(source, prefix="{names[1]}"'
    with pytest.raises(ValueError, match=rf"^source: .*got also .*{calls}"):
        from_haiku(source)
    with pytest.raises(ValueError, match=rf"^prefix: .*'lstm_7'.*{calls}"):
        from_haiku(source, prefix="lstm_7")
    gru = {"torso/linear": {"w": np.ones((2, 2))}, "torso/~/gru": params("GRU")["gru"]}
    np.testing.assert_array_equal(
        from_haiku(gru, prefix="torso/~/gru").W, from_haiku(gru, prefix="torso/~/gru/").W
    )


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        (
            lambda: params("named"),
            {},
            r"^source: .*core/linear/b.*from_haiku\(source, kind=\"LSTM\", prefix=\"core\"",
        ),
        (lambda: params("GRU"), {"kind": "LSTM"}, r"^source: .*LSTM.*gru/b"),
        (lambda: params("GRU"), {"kind": "lstm"}, r"^kind: .*LSTM"),
        (lambda: params("GRU", "float16"), {}, r"^source: .*float32 or float64"),
        (lambda: {"mlp/linear_0": {"w": np.ones((3, 4))}}, {}, r"^source: .*mlp/linear_0/w"),
        (
            lambda: {"lstm/linear": {"w": np.ones((3, 12)), "b": np.ones(12)}},
            {},
            r"^source: .*inputs \+ n.*\(3, 12\)",
        ),
        (lambda: {"gru": params("GRU")["gru"] | {"b": np.ones(3)}}, {}, r"^source: .*b of shape \(9,\)"),
        (dict, {}, r"^source: .*"),
        (lambda: 3, {}, r"^source: .*int"),
        (lambda: params("GRU"), {"prefix": 3}, r"^prefix: .*3"),
    ],
)
def test_errors_name_what_is_wrong(source, options, words):
    with pytest.raises((TypeError, ValueError), match=words):
        from_haiku(source(), **options)


def test_cores_in_a_pickle_are_found_and_taken_by_haikus_convention(tmp_path):
    """A file as packages keep parameters: read as data, whether flat or below another name."""
    path = tmp_path / "params.pickle"
    for whole in (params("GRU"), {"params": params("GRU"), "step": 3}):
        path.write_bytes(pickle.dumps(whole))
        check("GRU", load(path))
    path.write_bytes(pickle.dumps(params("deep")))
    with pytest.raises(ValueError, match=r"expected one recurrent network, got \d: .*prefix=") as refused:
        load(path)
    assert "LSTM" in str(refused.value)
