"""Sequences of any lengths: few programs for all of them, and no trace of the padding in any result."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnn_dynamics as rd
from rnn_dynamics.cells import LSTM, DoyaNeuron, ElmanRNN
from rnn_dynamics.cells.rollout import Trajectories
from rnn_dynamics.diagnosis import BatchDiagnosis, diagnose
from rnn_dynamics.gradients import credit, steps as gradient_steps
from rnn_dynamics.gradients.jacobians import parameter_gradient, step_jacobians
from rnn_dynamics.numerics import padding
from tests.compilations import compilations

RNG = np.random.default_rng(3)
N, M = 4, 2
CELL = LSTM(RNG.normal(size=(4 * N, N)) / 2, RNG.normal(size=4 * N), RNG.normal(size=(4 * N, M)))
LENGTHS = (37, 50, 61, 90, 100, 130, 200, 333)
SEQUENCES = [RNG.normal(size=(steps, M)) for steps in LENGTHS]
PADDED = np.full((len(LENGTHS), 340, M), np.nan)
for _row, _sequence in zip(PADDED, SEQUENCES, strict=True):
    _row[: len(_sequence)] = _sequence
MASK = np.arange(340)[None] < np.array(LENGTHS)[:, None]
X = RNG.normal(size=2 * N)


def energy(x):
    return jnp.sum(jnp.square(x))


MEASURES = {
    "norms": rd.gradient_norms,
    "norms at lags": lambda run: rd.gradient_norms(run, lags=[0, 3, 30]),
    "Frobenius norms": lambda run: rd.gradient_norms(run, ord="fro"),
    "product": rd.jacobian_product,
    "products": rd.jacobian_products,
    "steps": step_jacobians,
    "pullback": lambda run: rd.pullback(run, np.ones(2 * N)),
    "pushforward": lambda run: rd.pushforward(run, np.ones(2 * N)),
    "parameters": lambda run: parameter_gradient(run, np.ones(2 * N)),
    "bounds by steps": rd.spectral.step_bounds,
    "singular values": lambda run: rd.singular_spectrum(run).log,
    "singular values by lag": lambda run: rd.spectra_by_lag(run, [1, 5, 20]).log,
    "leading values": lambda run: rd.spectral_norms(run).log,
    "largest exponent": lambda run: rd.lyapunov_spectrum(run, exponents=1).standard_errors,
    "exponents": lambda run: rd.lyapunov_spectrum(run, interval=2, blocks=10).block_means,
    "inputs": rd.gradients.input_norms,
    "readout": lambda run: credit.readout_norms(run, lambda x: x[:2]),
    "parts": lambda run: rd.gradients.part_norms(run, "cell", "hidden"),
    "partial sums": lambda run: rd.partial_sums(run, np.ones(2 * N)).sums,
    "credit": lambda run: dataclass_leaves(rd.credit_by_lag(run, energy)),
    "credit of few lags": lambda run: dataclass_leaves(rd.credit_by_lag(run, energy, max_lag=9)),
}
# Their functions are made anew at each call, and so compiled.
FRESH = {"readout"}


def dataclass_leaves(found):
    return (
        found.states,
        found.inputs,
        found.log_shares,
        found.log_sums,
        found.alignment,
        found.log_group_shares,
    )


def numbers(found):
    """Scaled numbers as the logarithms and signs that are compared."""
    leaves = []
    for leaf in jax.tree_util.tree_leaves(found, is_leaf=lambda leaf: hasattr(leaf, "to_float")):
        leaves.append(np.asarray(leaf.to_float() if hasattr(leaf, "to_float") else leaf, float))
    return leaves


@pytest.mark.parametrize("masked", [False, True], ids=["computed", "skipped"])
@pytest.mark.parametrize("name", MEASURES)
def test_padding_leaves_no_trace(name, masked, monkeypatch):
    """Against the same function under ``jit``, where nothing is padded."""
    run = rd.rollout(CELL, X, SEQUENCES[2])
    measure = MEASURES[name]
    with monkeypatch.context() as patch:
        if "exponent" not in name and "values by" not in name and name != "singular values":
            found = jax.jit(measure)(run)
        else:  # their status is looked at on the host
            patch.setattr(padding, "may_pad", lambda *_: False)
            found = measure(run)
    if masked:
        monkeypatch.setattr(padding, "LARGEST_PADDED", 0)
        monkeypatch.setattr(gradient_steps, "_LARGEST_OF_MATRICES", 0)
    for got, expected in zip(numbers(measure(run)), numbers(found), strict=True):
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", MEASURES)
def test_lengths_of_a_corpus_are_few_programs(name):
    """Eight lengths between 37 and 333 lie in four octaves: a ninth one in them compiles nothing."""
    measure = MEASURES[name]
    runs = [rd.rollout(CELL, X, sequence) for sequence in SEQUENCES]
    for run in runs:
        measure(run)
    with compilations() as fresh:
        for steps in (40, 66, 111, 140, 255, 300):
            measure(rd.rollout(CELL, X, RNG.normal(size=(steps, M))))
    assert fresh.count <= (6 if name in FRESH else 0)


def test_long_runs_share_programs_too():
    """Beyond what is computed with its padding: that is skipped by a mask, as both lengths have one program."""
    cell = ElmanRNN(0.9 * np.linalg.qr(RNG.normal(size=(40, 40)))[0], np.zeros(40), RNG.normal(size=(40, 3)))
    given = [RNG.normal(size=(steps, 3)) / 9 for steps in (2100, 3000, 4096)]

    def measured(inputs):
        run = rd.rollout(cell, np.zeros(40), inputs)
        return run.states, rd.gradient_norms(run, ord="fro"), rd.jacobian_product(run).log2()

    first = measured(given[0])
    with compilations() as fresh:
        again = [measured(inputs) for inputs in given[1:]]
    assert fresh.count == 0
    for inputs, (states, norms, product) in zip(given, [first, *again], strict=True):
        x, states = np.zeros(40), np.asarray(states)
        assert (states.shape, norms.shape) == ((len(inputs) + 1, 40), (len(inputs) + 1,))
        for t, u in enumerate(inputs[:50]):
            x = np.tanh(np.asarray(cell.W) @ x + np.asarray(cell.W_in) @ u)
            np.testing.assert_allclose(states[t + 1], x, atol=1e-12)
        assert np.isfinite(states).all()
        assert math.log(0.9) * len(inputs) > float(norms[0]) > -1e5
        assert np.isfinite(np.asarray(product)).any()


def test_sequences_in_every_form_are_the_same_runs():
    each = [rd.rollout(CELL, X, sequence) for sequence in SEQUENCES]
    forms = {
        "list": rd.rollout(CELL, X, SEQUENCES),
        "tuple": rd.rollout(CELL, X, tuple(map(jnp.asarray, SEQUENCES))),
        "lists": rd.rollout(CELL, X.tolist(), [sequence.tolist() for sequence in SEQUENCES]),
        "lengths": rd.rollout(CELL, X, PADDED, lengths=LENGTHS),
        "mask": rd.rollout(CELL, np.tile(X, (len(LENGTHS), 1)), PADDED, mask=MASK),
    }
    for form in forms.values():
        assert isinstance(form, Trajectories)
        assert form.lengths.tolist() == list(LENGTHS)
        for run, alone in zip(form, each, strict=True):
            np.testing.assert_allclose(run.states, alone.states, rtol=1e-12, atol=1e-13)
            np.testing.assert_array_equal(run.inputs, alone.inputs)
            assert run.steps == alone.steps
            assert int(run.first_nonfinite) == -1
    found = forms["list"]
    assert found.states.shape == (8, 334, 2 * N)
    np.testing.assert_array_equal(np.isfinite(found.states).all(axis=2), found.mask)
    np.testing.assert_array_equal(found.final[3], found[3].final)
    assert isinstance(found[:2], Trajectories)
    assert "8 runs of 37 to 333 steps" in repr(found)
    for norms, run in zip(rd.gradient_norms(found), each, strict=True):
        np.testing.assert_allclose(norms, rd.gradient_norms(run), rtol=1e-9, atol=1e-11)
    with pytest.raises(TypeError, match=r"^trajectory: expected one Trajectory"):
        rd.product_bounds(found)


def test_each_sequence_may_have_its_own_start():
    starts = RNG.normal(size=(len(LENGTHS), 2 * N))
    for run, start, sequence in zip(rd.rollout(CELL, starts, SEQUENCES), starts, SEQUENCES, strict=True):
        np.testing.assert_allclose(
            run.states, rd.rollout(CELL, start, sequence).states, rtol=1e-12, atol=1e-13
        )
    free = rd.rollout(ElmanRNN(np.eye(2) / 2, np.zeros(2)), [[1.0, 2.0], [3.0, 4.0]], lengths=[2, 0])
    np.testing.assert_allclose(free[1].states, [[3.0, 4.0]])
    assert free[0].steps == 2
    neurons = rd.rollout(DoyaNeuron(5, -2.5, 1, 0.5), [0.1, 0.2], [[1.0, 2.0], [3.0]])
    np.testing.assert_allclose(neurons.initial, [0.1, 0.2])
    assert neurons.lengths.tolist() == [2, 1]


def test_a_list_is_one_sequence_for_a_cell_that_takes_a_list():
    def takes_a_list(x, u):
        return jnp.tanh(x + u[0] * u[1])

    def takes_a_table(x, u):
        return jnp.tanh(x + u["a"])

    one = rd.rollout(takes_a_list, np.zeros(2), [np.ones(4), np.ones(4)])
    assert (one.states.shape, one.batch) == ((5, 2), ())
    for ends in ((4, 4), (4, 6)):
        several = rd.rollout(takes_a_table, np.zeros(2), [{"a": np.ones(end)} for end in ends])
        assert several.lengths.tolist() == list(ends)
    nested = rd.rollout(ElmanRNN(np.eye(2) / 2, np.zeros(2), np.ones((2, 1))), None, [[1.0], [2.0], [3.0]])
    assert nested.steps == 3


def test_what_lies_behind_a_sequence_is_never_looked_at():
    wild = np.where(np.isnan(PADDED), 1e300, PADDED)
    found, plain = (rd.rollout(CELL, X, given, lengths=LENGTHS) for given in (wild, PADDED))
    np.testing.assert_array_equal(found.states, plain.states)
    grows = ElmanRNN([[2.0]], [0.0], activation="linear")
    late = rd.rollout(grows, [1.0], lengths=[1000, 1030])
    assert late.first_nonfinite.tolist() == [-1, 1024]


def test_under_grad_the_same():
    def loss(W):
        cell = ElmanRNN(W, np.zeros(2), np.ones((2, M)))
        return sum(energy(run.final) for run in rd.rollout(cell, None, SEQUENCES[:2]))

    def alone(W):
        cell = ElmanRNN(W, np.zeros(2), np.ones((2, M)))
        return sum(energy(rd.rollout(cell, None, sequence).final) for sequence in SEQUENCES[:2])

    W = np.eye(2) / 2
    np.testing.assert_allclose(jax.grad(loss)(W), jax.grad(alone)(W), rtol=1e-12)


ERRORS = {
    "a hole in the mask": (lambda: rd.rollout(CELL, X, PADDED, mask=MASK[:, ::-1]), "mask"),
    "a mask of one axis": (lambda: rd.rollout(CELL, X, PADDED, mask=MASK[0]), "mask"),
    "a mask of other numbers": (lambda: rd.rollout(CELL, X, PADDED, mask=2.0 * MASK), "mask"),
    "both": (lambda: rd.rollout(CELL, X, PADDED, mask=MASK, lengths=LENGTHS), "mask"),
    "too few lengths": (lambda: rd.rollout(CELL, X, PADDED, lengths=[3, 4]), "inputs"),
    "too long": (lambda: rd.rollout(CELL, X, PADDED, lengths=[341] * 8), "inputs"),
    "longer than an entry": (lambda: rd.rollout(CELL, X, SEQUENCES, lengths=[38] * 8), "lengths"),
    "negative": (lambda: rd.rollout(CELL, X, PADDED, lengths=[-1] * 8), "lengths"),
    "fractions": (lambda: rd.rollout(CELL, X, PADDED, lengths=[1.5] * 8), "lengths"),
    "none": (lambda: rd.rollout(CELL, X, PADDED, lengths=[]), "lengths"),
    "steps too": (lambda: rd.rollout(CELL, X, SEQUENCES, steps=3), "steps"),
    "another width": (lambda: rd.rollout(CELL, X, [SEQUENCES[0], PADDED[0, :9, :1]]), r"inputs\[1\]"),
    "NaN inside": (lambda: rd.rollout(CELL, X, PADDED, lengths=[40] * 8), r"inputs\[0\]"),
    "starts of another number": (lambda: rd.rollout(CELL, np.zeros((3, 2 * N)), SEQUENCES), "x0"),
    "no trajectory in a list": (lambda: diagnose([3]), r"trajectory\[0\]"),
    "an empty list": (lambda: diagnose([]), "trajectory"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_name_the_argument(name):
    call, argument = ERRORS[name]
    with compilations() as fresh, pytest.raises((TypeError, ValueError), match=rf"^{argument}:"):
        call()
    assert fresh.count == 0


def test_the_verdict_on_sequences_has_their_spread():
    radii = (0.7, 0.7, 0.7, 1.1)
    turn = np.linalg.qr(RNG.normal(size=(N, N)))[0]
    runs = [
        rd.rollout(ElmanRNN(radius * turn, np.zeros(N), activation="linear"), np.ones(N), steps=steps)
        for radius, steps in zip(radii, (30, 50, 70, 90), strict=True)
    ]
    found = diagnose(runs)
    assert isinstance(found, BatchDiagnosis)
    assert found.lengths.tolist() == [30, 50, 70, 90]
    at = found.spread["exponent"]
    np.testing.assert_allclose(found.exponents, np.log(radii), atol=1e-12)
    np.testing.assert_allclose([at.smallest, at.median, at.largest], np.log([0.7, 0.7, 1.1]), atol=1e-12)
    assert at.deviation == pytest.approx(np.log(radii).std(ddof=1), abs=1e-12)
    horizon = math.floor(-1 / math.log(0.7))
    np.testing.assert_allclose(found.relative_horizons, [horizon / 30, horizon / 50, horizon / 70, 1.0])
    text = str(found)
    assert "4 runs of 30 to 90 steps: 3 vanishing, 1 exploding" in text
    assert "of the run's own length" in text
    assert found.to_dict()["spread"]["horizon"]["largest"] == 90
    cell = runs[0].cell
    same = diagnose(rd.rollout(cell, np.ones(N), lengths=[30, 50]))
    assert [one.steps for one in same.samples] == [30, 50]
    batch = jax.vmap(jax.vmap(lambda x: rd.rollout(cell, x, steps=30)))(jnp.ones((2, 3, N)))
    assert len(diagnose(batch)) == 6
    assert len(diagnose([batch, runs[1]])) == 7


def test_a_batch_by_vmap_tells_its_own_steps():
    cell = ElmanRNN(np.eye(2) / 2, np.zeros(2))
    starts = np.arange(12.0).reshape(2, 3, 2)
    one = rd.rollout(cell, starts[0, 0], steps=5)
    batch = jax.vmap(lambda x: rd.rollout(cell, x, steps=5))(starts[0])
    nested = jax.vmap(jax.vmap(lambda x: rd.rollout(cell, x, steps=5)))(starts)
    for run, axes in ((one, ()), (batch, (3,)), (nested, (2, 3))):
        assert (run.steps, run.batch) == (5, axes)
        assert run.initial.shape == run.final.shape == (*axes, 2)
        assert "5 steps of 2 float64" in repr(run)
    np.testing.assert_array_equal(nested.initial, starts)
    np.testing.assert_array_equal(nested.final[0, 0], one.final)
    assert "2×3 runs" in repr(nested)
    assert jax.vmap(lambda run: jnp.asarray(run.steps))(batch).tolist() == [5, 5, 5]
    neurons = jax.vmap(lambda x: rd.rollout(DoyaNeuron(5, -2.5), x, steps=4))(jnp.ones(3))
    assert (neurons.steps, neurons.final.shape) == (4, (3,))
    assert "3 runs, 4 steps of 1" in " ".join(repr(neurons).split())
    grown = jax.vmap(lambda x: rd.rollout(ElmanRNN([[2.0]], [0.0], activation="linear"), x, steps=1030))
    assert "1 of them not finite from step 1024" in repr(grown(jnp.array([[0.0], [1.0]])))
    drawn = rd.dynamics.equilibria.starts_from(nested, 7, key=jax.random.key(0), skip=5)
    assert all(
        (np.asarray(nested.final).reshape(-1, 2) == row).all(axis=1).any() for row in np.asarray(drawn)
    )
    assert len(rd.plots.orbit(nested).lines) == 12
    for consumer in (
        rd.gradient_norms,
        rd.product_bounds,
        rd.lyapunov_spectrum,
        rd.singular_spectrum,
        step_jacobians,
    ):
        with pytest.raises(ValueError, match=r"^trajectory: .*batch of shape \(2, 3\).*jax\.vmap"):
            consumer(nested)
