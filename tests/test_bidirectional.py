"""Networks that read in both directions: beside NumPy's whole systems, PyTorch's autograd (files), and mpmath."""

import json
import math
import re
import tarfile
from pathlib import Path
from typing import Any

import jax
import mpmath
import numpy as np
import pytest
from jax.tree_util import Partial

import rnn_dynamics as rd
from rnn_dynamics import cli, gradients
from rnn_dynamics.cells import GRU, LSTM, Bidirectional, ElmanRNN, Stack
from rnn_dynamics.interop import check, from_flax, from_onnx, from_torch, load, read_keras
from tests.files.packed import read
from tests.marks import FLOAT32_IN_SOAK
from tests.oracles import both_directions

FILES = Path(__file__).parent / "files"
DATA = read(FILES / "bidirectional.npz")
STEPS, INPUTS, UNITS = 9, 2, 3
MERGES = ("mul", "concat", "ave", "sum")


def _weights(draws, inputs, units=UNITS, gain=0.9):
    shapes = (units, units), (units, inputs), (units,)
    return tuple(gain * draws.normal(size=shape) / math.sqrt(units) for shape in shapes)


def _cell(weights, dtype="float64"):
    W, U, b = (part.astype(dtype) for part in weights)
    return ElmanRNN(W, b, U, activation="tanh")


def _times(matrix, y):
    return jax.numpy.matmul(matrix, y, precision="highest")


@pytest.fixture(scope="module")
def deep():
    """Weights of four layers, every merge and a map between two of them; the inputs; and what NumPy finds."""
    draws = np.random.default_rng(3)
    widths = (INPUTS, UNITS, 2 * UNITS, 2)
    layers = [tuple(_weights(draws, width) for _ in range(2)) for width in widths]
    between = (None, None, draws.normal(size=(2, UNITS)))
    inputs = draws.normal(size=(STEPS, INPUTS))
    return layers, between, inputs, both_directions.network(layers, MERGES, inputs, between)


def _network(deep, dtype="float64"):
    layers, between, _, _ = deep
    maps = [None if matrix is None else Partial(_times, matrix.astype(dtype)) for matrix in between]
    pairs = [tuple(_cell(weights, dtype) for weights in pair) for pair in layers]
    return Bidirectional(pairs, MERGES, between=maps)


@FLOAT32_IN_SOAK
def test_states_and_derivatives_on_both_sides_are_those_of_the_whole_system(deep, dtype):
    run: Any = rd.rollout(_network(deep, dtype), None, deep[2].astype(dtype))
    truth, last = deep[3], deep[3][-1]
    close: Any = {"rtol": 1e-9, "atol": 1e-13} if dtype == "float64" else {"rtol": 2e-3, "atol": 1e-5}
    for layer, found in enumerate(truth):
        np.testing.assert_allclose(run.layer_outputs[layer], found["y"], **close)
        for way, name in enumerate(("forward", "backward")):
            np.testing.assert_allclose(run.states(layer, name), found["h"][way], **close)
    t = 5
    found = gradients.output_jacobians(run, t)
    assert found.dtype == dtype
    np.testing.assert_allclose(found.to_float(), last["dy"][t].transpose(1, 0, 2), **close)
    ahead = gradients.output_jacobians(run, t, of="layer 1 forward").to_float()
    np.testing.assert_allclose(ahead, truth[1]["dh"][0][t].transpose(1, 0, 2), **close)
    assert np.linalg.norm(ahead[t + 1 :], axis=(1, 2)).min() > 0, (
        "the second layer's forward state reads the future"
    )
    first = np.asarray(gradients.output_jacobians(run, t, of="layer 0 forward").to_float())
    assert not first[t + 1 :].any()
    draws = np.random.default_rng(0)
    rows, moved = draws.normal(size=(STEPS, UNITS)), draws.normal(size=(STEPS, INPUTS))
    back = gradients.output_pullback(run, rows.astype(dtype)).to_float()
    np.testing.assert_allclose(back, np.einsum("ti,tisj->sj", rows, last["dy"]), **close)
    pushed = gradients.output_pushforward(run, moved.astype(dtype)).to_float()
    np.testing.assert_allclose(pushed, np.einsum("tisj,sj->ti", last["dy"], moved), **close)


def test_norms_and_credit_by_signed_lag(deep):
    run, dy, y = _network(deep).run(deep[2]), deep[3][-1]["dy"], deep[3][-1]["y"]
    sizes = np.log(np.linalg.norm(dy, axis=(1, 3)))
    found = gradients.output_norms(run)
    np.testing.assert_allclose(found.log_norms, sizes[STEPS // 2], rtol=1e-10)
    np.testing.assert_array_equal(found.lags, np.arange(STEPS) - STEPS // 2)
    spectral = gradients.output_norms(run, 2, ord=2).log_norms
    np.testing.assert_allclose(
        spectral, np.log(np.linalg.norm(dy[2].transpose(1, 0, 2), 2, (1, 2))), rtol=1e-10
    )
    exact = gradients.output_norms(run, probes=UNITS)
    assert exact.is_exact
    draws = [gradients.output_norms(run, probes=1, seed=i).log_norms for i in range(30)]
    mean = np.log(np.mean(np.exp(2 * np.array(draws)), axis=0)) / 2
    np.testing.assert_allclose(mean, sizes[STEPS // 2], atol=0.3)  # off by √(2/30) at most, in the mean
    shares = np.zeros(2 * STEPS - 1)
    for t in range(STEPS):
        for s in range(STEPS):
            shares[s - t + STEPS - 1] += ((y[t] @ dy[t, :, s]) ** 2).sum()
    credit = gradients.credit_by_signed_lag(run, lambda y: (y**2).sum() / 2)
    np.testing.assert_allclose(credit.log_shares, np.log(shares) / 2, rtol=1e-9)
    np.testing.assert_allclose(credit.inputs.to_float(), np.einsum("ti,tisj->sj", y, dy), rtol=1e-9)
    back, ahead = credit.horizon(0.01)
    least = np.log(0.01) + credit.log_shares.max()
    assert (-back, ahead) == tuple(credit.lags[credit.log_shares >= least][[0, -1]])
    one = gradients.credit_by_signed_lag(run, lambda y: y[4, 0])
    assert one.ends.tolist() == [4]
    np.testing.assert_allclose(
        one.log_shares[STEPS - 1 - 4 :][:STEPS], np.log(np.linalg.norm(dy[4, 0], axis=1)), rtol=1e-9
    )
    few = gradients.credit_by_signed_lag(run, lambda y: (y**2).sum() / 2, ends=2)
    assert few.ends.tolist() == [4, 8]
    np.testing.assert_allclose(few.inputs.to_float(), credit.inputs.to_float(), rtol=1e-12)


@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_pytorchs_outputs_and_autograd(name):
    arrays = {key.removeprefix(f"{name}/"): value for key, value in DATA.items() if "_l" in key}
    network: Any = from_torch({key: value for key, value in arrays.items() if "/" not in key})
    run = network.run(DATA["inputs"])
    np.testing.assert_allclose(run.outputs, DATA[f"{name}/outputs"], rtol=1e-12, atol=1e-15)
    truth = DATA[f"{name}/jacobians"]
    for t in (0, 3, 6):
        found = gradients.output_jacobians(run, t).to_float()
        np.testing.assert_allclose(found, truth[t].transpose(1, 0, 2), rtol=1e-9, atol=1e-15)


def test_one_direction_of_one_layer_is_its_chain(deep):
    """To rounding: a state's derivative by an earlier one is the product of that direction's step Jacobians."""
    forward, backward = deep[0][0]
    run = Bidirectional((_cell(forward), _cell(backward))).run(deep[2])
    for name, t, s in (("forward", 7, 2), ("backward", 2, 7)):
        chain = run.direction(0, name)
        start, stop = (s + 1, t + 1) if name == "forward" else (STEPS - s, STEPS - t)
        product = rd.jacobian_product(chain, start=start, stop=stop)
        found = gradients.output_jacobians(run, t, of=f"layer 0 {name}", by=f"layer 0 {name}")
        np.testing.assert_allclose(found[s].to_float(), product.to_float(), rtol=1e-12)
        np.testing.assert_allclose(found[t].to_float(), np.eye(UNITS))
        other = gradients.output_jacobians(
            run, t, of=f"layer 0 {name}", by="layer 0 backward" if name == "forward" else "layer 0 forward"
        )
        assert not np.asarray(other.to_float()).any()


def test_a_cell_beside_itself_on_a_palindrome_is_symmetric(deep):
    cell, half = _cell(deep[0][0][0]), deep[2][:5]
    inputs = np.concatenate([half, half[-2::-1]])
    for merge in ("sum", "mul", "ave"):
        run = Bidirectional([(cell, cell)], merge).run(inputs)
        np.testing.assert_array_equal(run.outputs, run.outputs[::-1])
        norms = gradients.output_norms(run, 4).log_norms
        np.testing.assert_allclose(norms, norms[::-1], rtol=1e-12)


def test_derivatives_far_below_the_floats_on_both_sides():
    """Two layers of one unit, in mpmath at 60 digits: 1e−600 at the ends of the sequence."""
    steps, draws = 60, np.random.default_rng(1)
    inputs = draws.normal(size=(steps, 1))
    layers = [[draws.uniform(0.5, 1.5, size=(2, 3)) * [1e-9, 0.5, 0.5] for _ in range(2)] for _ in range(2)]
    cells = [
        tuple(
            ElmanRNN(w * np.eye(1), np.full(1, b), np.array([[u] * (layer + 1)]), activation="tanh")
            for w, u, b in pair
        )
        for layer, (pair, _) in enumerate(layers)
    ]
    run = Bidirectional(cells).run(inputs)
    t = 30
    with mpmath.workdps(60):
        truth = _in_mpmath([pair for pair, _ in layers], inputs[:, 0], t)
        found = gradients.output_norms(run, t).log_norms
        np.testing.assert_allclose(found, [float(mpmath.log(each)) for each in truth], rtol=1e-11)
        assert found[0] < -590
        assert found[-1] < -550


def _in_mpmath(layers, inputs, t):
    """‖∂y_t/∂u_s‖ for every s, carried by recursion."""
    steps = len(inputs)
    y = [[mpmath.mpf(float(u))] for u in inputs]
    dy = [[[mpmath.mpf(int(s == k)) for s in range(steps)]] for k in range(steps)]
    for pair in layers:
        both = []
        for back, (w, u, b) in enumerate(pair):
            w, u, b = (mpmath.mpf(float(each)) for each in (w, u, b))
            h, dh = mpmath.mpf(0), [mpmath.mpf(0)] * steps
            found: Any = [None] * steps
            for k in reversed(range(steps)) if back else range(steps):
                h = mpmath.tanh(w * h + u * sum(y[k]) + b)
                dh = [(1 - h**2) * (w * dh[s] + u * sum(d[s] for d in dy[k])) for s in range(steps)]
                found[k] = h, dh
            both.append(found)
        y = [[one[k][0] for one in both] for k in range(steps)]
        dy = [[one[k][1] for one in both] for k in range(steps)]
    return [mpmath.sqrt(sum(d[s] ** 2 for d in dy[t])) for s in range(steps)]


def test_cells_of_unequal_kinds_and_sizes_and_layers_of_one_direction():
    draws = np.random.default_rng(0)
    lstm = LSTM(draws.normal(size=(8, 2)), np.zeros(8), draws.normal(size=(8, 2)))
    gru = GRU(draws.normal(size=(9, 3)), np.zeros(9), draws.normal(size=(9, 2)))
    stack = Stack([_cell(_weights(draws, 5)), _cell(_weights(draws, UNITS))])
    network = Bidirectional([(lstm, gru), (stack, None)])
    assert [network.width(i) for i in range(2)] == [5, UNITS]
    inputs = draws.normal(size=(STEPS, 2))
    run = network.run(inputs)
    h = rd.rollout(lstm, None, inputs).states[1:, :2]
    back = rd.rollout(gru, None, inputs[::-1]).states[:0:-1]
    y = np.concatenate([h, back], axis=1)
    np.testing.assert_allclose(run.outputs, rd.rollout(stack, None, y).states[1:, UNITS:], rtol=1e-12)
    moved = 1e-6
    found = gradients.output_jacobians(run, 4).to_float()
    for s in (2, 4, 7):
        ends = [
            network.run(inputs + sign * moved * np.eye(STEPS)[s][:, None] * [1, 0]).outputs[4]
            for sign in (1, -1)
        ]
        np.testing.assert_allclose(found[s][:, 0], (ends[0] - ends[1]) / (2 * moved), rtol=1e-6, atol=1e-10)


def test_the_verdict_is_that_of_each_direction_and_of_the_whole(tmp_path):
    draws = np.random.default_rng(0)
    network = Bidirectional([[_cell(_weights(draws, m)) for _ in range(2)] for m in (INPUTS, 2 * UNITS)])
    run = network.run(draws.normal(size=(48, INPUTS)))
    found = rd.diagnose(run, lambda y: y[20].sum())
    assert list(found.regimes) == [f"layer {i} {way}" for i in range(2) for way in ("forward", "backward")]
    alone = rd.diagnose(run.direction(1, "backward"))
    assert found.directions[1][1].exponent == alone.exponent
    np.testing.assert_array_equal(found.output.log_norms, gradients.output_norms(run).log_norms)
    assert found.horizon == found.credit.horizon()
    assert found.credit.ends.tolist() == [20]
    assert found.reaches[0][0].horizon()[1] == 0, "the first layer's forward states read no future"
    assert found.reaches[1][0].horizon(0.01)[1] > 0, "the second one's do"
    text = str(found)
    for words in ("layer 1 backward", "ElmanRNN 3", "steps back and", "vanishing", "the loss reaches"):
        assert words in text
    assert max(map(len, text.splitlines()[:9])) < 160
    again = rd.load(found.save(tmp_path / "verdict.npz"))
    assert str(again) == text
    told = json.loads(found.to_json())
    assert told["horizon"] == list(found.horizon)
    assert set(told["directions"]) == set(found.regimes)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda n, r: Bidirectional([]), r"^layers: expected pairs of cells"),
        (lambda n, r: Bidirectional(n.layers[0][0]), r"^layers: expected pairs of cells"),
        (lambda n, r: Bidirectional([n.layers[0][0]]), r"^layers\[0\]: expected a pair"),
        (lambda n, r: Bidirectional([(None, None)]), r"^layers\[0\]: expected a cell in one direction"),
        (lambda n, r: Bidirectional([("a", "b")]), r"^layers\[0\]: .*got str"),
        (lambda n, r: Bidirectional(n.layers, "mean"), r"^merge: expected one of .*'ave', got 'mean'"),
        (lambda n, r: Bidirectional(n.layers, ["sum"]), r"^merge: .*each of 4 layers"),
        (
            lambda n, r: Bidirectional(n.layers, "concat"),
            r"^layers\[1\]: expected cells of 6 inputs, .*got 3",
        ),
        (lambda n, r: Bidirectional(n.layers, MERGES, between=[None]), r"^between: .*each of 3 layers"),
        (
            lambda n, r: Bidirectional((n.layers[0][0], n.layers[2][0])),
            r"^layers\[0\]: .*as many inputs, got \[2, 6\]",
        ),
        (lambda n, r: n.run(np.zeros((4, 3))), r"^inputs: expected shape \(steps, 2\).*got \(4, 3\)"),
        (lambda n, r: n.run(np.zeros((2, 4, 2))), r"^inputs: .*one sequence at a time"),
        (lambda n, r: n.run(np.zeros((0, 2))), r"^inputs: .*at least one step"),
        (
            lambda n, r: n.run(np.zeros((4, 2)), [(np.zeros(3), None)]),
            r"^x0: expected a pair .*each of 4 layers",
        ),
        (
            lambda n, r: n.run(np.zeros((4, 2)), [(np.zeros(4), None), None, None, None]),
            r"^layer 0 forward: x0: ",
        ),
        (lambda n, r: rd.rollout(n, steps=4), r"^steps: expected None of a Bidirectional"),
        (
            lambda n, r: rd.rollout(n, None, np.zeros((2, 4, 2)), lengths=[3, 4]),
            r"^lengths: .*cell\.run\(u\[:n\]\)",
        ),
        (lambda n, r: n.direction(4, "forward"), r"^layer: "),
        (lambda n, r: n.direction(0, "reverse"), r"^direction: expected one of 'forward', 'backward'"),
        (
            lambda n, r: rd.fixed_points(n, np.zeros((1, 3))),
            r"^cell: .*step map.*cell\.direction\(0, \"forward\"\)",
        ),
        (lambda n, r: rd.lyapunov_spectrum(n), r"^trajectory: .*got Bidirectional"),
        (lambda n, r: rd.lyapunov_spectrum(r), r"^trajectory: .*run\.direction\(0, \"forward\"\)"),
        (lambda n, r: rd.credit_by_lag(r, np.sum), r"^trajectory: .*credit_by_signed_lag"),
        (
            lambda n, r: gradients.output_norms(rd.rollout(n.layers[0][0], steps=3)),
            r"^run: .*BidirectionalRun.*Trajectory",
        ),
        (lambda n, r: gradients.output_norms(r, 9), r"^at: expected an integer from 0 to 8, got 9"),
        (
            lambda n, r: gradients.output_norms(r, of="input"),
            r"^of: .*'output', 'layer 3', 'layer 3 forward'",
        ),
        (lambda n, r: gradients.output_norms(r, by="layer 7"), r"^by: .*got 'layer 7'"),
        (lambda n, r: gradients.output_norms(r, ord=2, probes=4), r"^probes: "),
        (lambda n, r: gradients.output_pullback(r, np.zeros(3)), r"^cotangent: expected shape \(9, 3\)"),
        (lambda n, r: gradients.output_pullback(r, np.zeros(2), at=0), r"^cotangent: expected shape \(3,\)"),
        (lambda n, r: gradients.output_pushforward(r, np.zeros(3), at=0), r"^tangent: expected shape \(2,\)"),
        (lambda n, r: gradients.credit_by_signed_lag(r, 3), r"^loss: expected a callable"),
        (lambda n, r: gradients.credit_by_signed_lag(r, lambda y: y), r"^loss: expected a number"),
        (lambda n, r: gradients.credit_by_signed_lag(r, np.sum, ends=0), r"^ends: "),
    ],
)
def test_mistakes_are_told_with_the_call_that_works(deep, call, words):
    network = _network(deep)
    with pytest.raises((TypeError, ValueError), match=words):
        call(network, network.run(deep[2]))


def test_a_layer_that_diverges_is_named():
    grows = ElmanRNN(3 * np.eye(1), np.ones(1), np.ones((1, 1)), activation="linear")
    above = ElmanRNN(np.eye(1), np.zeros(1), np.ones((1, 2)))
    with pytest.raises(ValueError, match=r"^inputs: layer 0 diverged, its output at step 0 is not finite"):
        Bidirectional([(grows, grows), (above, above)]).run(np.ones((800, 1)))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    with tarfile.open(FILES / "bidirectional.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.mark.parametrize("name", ["both.keras", "both.h5"])
def test_files_of_keras_with_bidirectional_layers_in_a_row(files, name):
    pytest.importorskip("h5py", reason="h5py is not installed")
    network = load(files / name)
    assert network.merges == ("concat", "mul", "concat")
    assert network.layers[2][1] is None
    found = network.run(DATA["inputs"].astype("float32"))
    np.testing.assert_allclose(found.outputs, DATA["keras/outputs"], atol=2e-6)
    two: Any = read_keras(files / name, layer=("below", "above"))
    np.testing.assert_array_equal(two.run(found.inputs).outputs, found.layer_outputs[1])
    one = read_keras(files / name, layer="above", direction="reverse")
    assert repr(one) == repr(network.direction(1, "backward"))
    with pytest.raises(ValueError, match=r"^direction: expected None of layers on top .*'above'.*'forward'"):
        read_keras(files / name, direction="forward")


@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_nodes_of_onnx_in_a_row_that_read_in_both_directions(files, name, capsys):
    network = load(files / f"{name}.onnx")
    assert network.depth == {"gru": 3, "lstm": 2}[name]
    outputs = network.run(DATA["inputs"].astype("float32")).outputs
    np.testing.assert_allclose(outputs, DATA[f"{name}_onnx/outputs"], atol=2e-6)
    assert cli.main(["inspect", str(files / f"{name}.onnx")]) == 0
    said = capsys.readouterr().out
    assert f"{network.depth} layers, both directions" in said
    call = re.findall(r"rd\.interop\.load\(.*\)", said)[0]
    assert repr(eval(call, {"rd": rd})) == repr(network)
    (options,) = re.findall(r"one direction alone: (.*)\)", said)
    alone = eval(f"rd.interop.load({str(files / f'{name}.onnx')!r}, {options})", {"rd": rd})
    assert repr(alone) == repr(network.direction(0, "forward"))
    for way in ("forward", "reverse"):
        with pytest.raises(ValueError, match=r"^direction: expected None of nodes on top .*: node="):
            load(files / f"{name}.onnx", direction=way)


def test_a_node_of_onnx_given_as_arrays():
    draws = np.random.default_rng(0)
    arrays = {"W": draws.normal(size=(2, 9, 2)), "R": draws.normal(size=(2, 9, 3))}
    both: Any = from_onnx(arrays, linear_before_reset=1)
    for way, name in (("forward", "forward"), ("backward", "reverse")):
        alone = from_onnx(arrays, direction=name, linear_before_reset=1)
        assert repr(both.direction(0, way)) == repr(alone)


def test_outputs_of_another_runtime_are_compared_and_the_difference_named():
    draws = np.random.default_rng(2)
    pairs = [[_cell(_weights(draws, width)) for _ in range(2)] for width in (INPUTS, 2 * UNITS)]
    network = Bidirectional(pairs)
    inputs = draws.normal(size=(12, INPUTS))
    y = np.asarray(network.run(inputs).outputs)
    right = check(network, inputs, y)
    assert right.agrees
    assert right.cell is network
    assert check(network, np.stack([inputs, inputs]), np.stack([y, y])).agrees
    ahead, back = y[:, :UNITS], y[:, UNITS:]
    relu = [[ElmanRNN(c.W, c.b, c.W_in, activation="relu") for c in pair] for pair in pairs]
    for given, u, output, words in (
        (network, inputs, np.concatenate([back, ahead], axis=1), r"halves of the output exchanged"),
        (network, inputs, np.concatenate([ahead, back[::-1]], axis=1), r"backward .* left in its own order"),
        (network, inputs[::-1], y, r"^inputs in reverse order$"),
        (Bidirectional([pair[::-1] for pair in pairs]), inputs, y, r"cells of the two directions exchanged"),
        (Bidirectional(relu), inputs, y, r"^tanh in the place of relu$"),
    ):
        found = check(given, u, output)
        assert not found.agrees
        assert len(found.fits) == 1
        assert re.search(words, found.fits[0])
    np.testing.assert_array_equal(found.cell.run(inputs).outputs, y)
    summed = Bidirectional(pairs[:1], "sum")
    found = check(summed, inputs, Bidirectional(pairs[:1], "ave").run(inputs).outputs)
    assert found.fits == ("merged by 'ave'",)
    assert check(network, inputs, draws.normal(size=y.shape)).fits == ()
    with pytest.raises(
        ValueError, match=r"^output: expected shape \(T, 6\) or \(batch, T, 6\), got \(12, 5\)"
    ):
        check(network, inputs, y[:, :5])
    with pytest.raises(ValueError, match=r"^inputs: expected 1 × 12 steps"):
        check(network, inputs[:5], y)


def test_the_slowest_direction_of_either_way_sets_the_rate():
    """Linear units: h→ at t is Σ w^(t−s) u_s, so that the past fades by the largest w of the forward cells."""
    keeps = ((0.9, 0.5), (0.7, 0.8))
    pairs = [
        tuple(ElmanRNN(np.array([[w]]), np.zeros(1), np.ones((1, m)), activation="linear") for w in pair)
        for pair, m in zip(keeps, (1, 2), strict=True)
    ]
    run = Bidirectional(pairs).run(np.zeros((161, 1)))
    np.testing.assert_allclose(gradients.output_norms(run).rates, np.log([0.9, 0.8]), atol=2e-3)


@pytest.mark.soak
def test_gates_in_another_order_in_both_directions_are_found():
    draws = np.random.default_rng(0)
    arrays = [
        [draws.normal(size=(12, 3)), draws.normal(size=12), draws.normal(size=(12, 3))] for _ in range(2)
    ]
    inputs = draws.normal(size=(10, 3))
    y = Bidirectional([tuple(LSTM(*each) for each in arrays)]).run(inputs).outputs
    turned = [[np.concatenate([np.split(a, 4)[k] for k in (0, 2, 1, 3)]) for a in each] for each in arrays]
    found = check(Bidirectional([tuple(LSTM(*each) for each in turned)]), inputs, y)
    assert found.fits == ("gates in the order i, g, f, o",)


def test_a_bidirectional_module_of_nnx():
    nnx = pytest.importorskip("flax.nnx", reason="Flax is not installed")
    cells = [nnx.GRUCell(2, 3, rngs=nnx.Rngs(i)) for i in range(2)]
    module = nnx.Bidirectional(*map(nnx.RNN, cells))
    found: Any = from_flax(module)
    inputs = np.random.default_rng(0).normal(size=(7, 2)).astype("float32")
    np.testing.assert_allclose(found.run(inputs).outputs, module(inputs[None])[0], atol=2e-6)
    module.merge_fn = np.add
    with pytest.raises(ValueError, match=r"^source: .*merge_fn.*'add'"):
        from_flax(module)


def test_pictures_show_the_numbers_by_signed_lag(deep):
    """Decades of the norms and of the shares, horizons as upright lines, and the outputs of the run."""
    network, inputs = _network(deep), deep[2]
    run = network.run(inputs)
    found = rd.diagnose(run, lambda y: y[STEPS // 2, 0])
    for result, logs in ((found.output, found.output.log_norms), (found.credit, found.credit.log_shares)):
        drawn = next(line for line in result.plot().lines if len(line.get_xdata()) == len(logs))
        np.testing.assert_array_equal(drawn.get_xdata(), result.lags)
        there = np.isfinite(logs)
        np.testing.assert_allclose(drawn.get_ydata()[there], np.asarray(logs)[there] / math.log(10))
        assert np.isnan(drawn.get_ydata()[~there]).all()
        upright = {
            float(line.get_xdata()[0]) for line in result.plot().lines if len(set(line.get_xdata())) == 1
        }
        back, ahead = result.horizon(0.01)
        assert {0.0, -float(back), float(ahead)} <= upright
    lines = run.plot().lines
    np.testing.assert_allclose(np.stack([line.get_ydata() for line in lines], 1), run.outputs)
    left, right = found.plot().figure.axes
    assert "what the loss owes to inputs" in left.get_title(loc="left")
    assert len(right.lines) >= 2 * network.depth


def test_the_verdict_on_a_network_whose_units_are_all_off_names_no_lag():
    """Of relu units far below zero nothing reaches the output, at any lag."""
    off = ElmanRNN(np.eye(2), np.full(2, -100.0), np.ones((2, 3)), activation="relu")
    text = str(rd.diagnose(Bidirectional([(off, off)]).run(np.ones((6, 3)))))
    assert "is 0 at every lag)" in text
    assert "greatest" not in text


def test_a_reach_that_the_sequence_cuts_short_says_so(deep):
    """Three of six steps lie before the output in the middle, and two behind it; of 300 the ends are too far."""
    network = _network(deep)
    u = np.random.default_rng(3).normal(size=(300, deep[2].shape[1]))
    short, whole = (rd.diagnose(network.run(inputs)) for inputs in (u[:6], u))
    assert short.output.farthest == (3, 2)
    assert short.horizon_percent == (3, 2)
    assert "≥ 3 and ≥ 2 at 1 %" in str(short)
    assert "≥ 3 and ≥ 2 at 1 %" in repr(short)
    assert "the sequence ends there" in str(short)
    assert max(whole.horizon_percent) < 100
    assert "≥" not in str(whole) + repr(whole)
    last = gradients.credit_by_signed_lag(network.run(u[:6]), lambda y: y[-1, 0])
    assert last.farthest == (5, 0)
    label = [text.get_text() for text in short.output.plot().get_legend().get_texts()]
    assert "at 1 %: ≥ 3 back, ≥ 2 ahead" in label


def test_explorers_name_what_they_take_of_a_network_in_both_directions(deep):
    network = _network(deep)
    run = network.run(deep[2])
    for given in (network, run, rd.diagnose(run)):
        with pytest.raises(TypeError, match=r"^verdict: .*directions\[0\]\[0\]"):
            rd.explore.network(given)
    with pytest.raises(TypeError, match=r'run\.direction\(0, "forward"\)'):
        rd.explore.gradients(run)
    for given in ("model.pt", run.direction(0, "forward")):
        with pytest.raises(TypeError, match=r"^verdict: .*rd\.diagnose\("):
            rd.explore.network(given)
