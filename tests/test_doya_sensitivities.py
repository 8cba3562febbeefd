"""The Doya neuron's sensitivities against balls of 54 digits: accuracy, bounds, status, shapes, bad input."""

import functools
import itertools
import math
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from rnn_dynamics import doya
from rnn_dynamics.doya import kernel
from rnn_dynamics.doya.sensitivities import _tile_program, sensitivities
from rnn_dynamics.gradients.sensitivities import Sensitivities, resolution_limit
from rnn_dynamics.numerics.scaled import Scaled
from rnn_dynamics.numerics.status import Status
from tests.compilations import programs_of
from tests.marks import FLOAT32_IN_SOAK
from tests.oracles import neuron as oracle

ROUNDOFF = {"float64": 2.0**-53, "float32": 2.0**-24}
FOLD = 5.0, float(oracle.folds(5.0)[0][1])
REPELLER = float(oracle.relative_equilibria(5.0, -2.4)[1].x)


class Case(NamedTuple):
    """An orbit; ``calm`` where it does not amplify rounding, ``resolved`` where float64 must answer."""

    w: float
    b: float
    x0: float
    steps: int
    epsilon: float = 1.0
    calm: bool = False
    resolved: bool = True


CASES = {
    "well-conditioned": Case(5.0, -2.0, 0.3, 10_000, calm=True),
    "contracting": Case(2.0, -0.5, 0.1, 10_000, 0.3, calm=True),
    "leaky": Case(3.0, 0.2, 0.9, 10_000, 0.05),
    "saturated high": Case(50.0, -25.0, 0.7, 10_000, calm=True),
    "saturated low": Case(50.0, -25.0, 0.2, 10_000, calm=True),
    "saturated 1000 high": Case(1000.0, -300.0, 0.9, 10_000, calm=True),
    "saturated 1000 low": Case(1000.0, -300.0, 0.1, 10_000, calm=True),
    "saturated 1000 leaky": Case(1000.0, -300.0, 0.9, 10_000, 0.5, calm=True),
    "saturated −1000": Case(-1000.0, 400.0, 0.3, 2_000, calm=True),
    "cusp": Case(4.0, -2.0, 0.3, 10_000),
    "flip": Case(-4.0, 2.0, 0.3, 10_000),
    "leaky flip": Case(-12.0, 6.0, 0.2, 10_000, 0.5),
    "period 2": Case(-8.0, 4.0, 0.3, 10_000, calm=True),
    "period 2, skew": Case(-8.0, 3.0, 0.3, 10_000, calm=True),
    "near-fold, slow": Case(8.0, -2.93432, 0.0, 10_000),
    "near-fold below": Case(FOLD[0], FOLD[1] - 1e-6, 0.1, 10_000),
    "near-fold above": Case(FOLD[0], FOLD[1] + 1e-6, 0.1, 10_000),
    "near-separatrix +1e-6": Case(5.0, -2.4, REPELLER + 1e-6, 10_000),
    "near-separatrix −1e-6": Case(5.0, -2.4, REPELLER - 1e-6, 10_000),
    "one ulp above the separatrix, early": Case(5.0, -2.4, math.nextafter(REPELLER, 1), 40),
    "one ulp above the separatrix": Case(5.0, -2.4, math.nextafter(REPELLER, 1), 10_000, resolved=False),
    "one ulp below the separatrix": Case(5.0, -2.4, math.nextafter(REPELLER, 0), 10_000, resolved=False),
    "chaotic, early": Case(-100.0, 90.0, 0.3, 20, 0.5),
    "chaotic": Case(-100.0, 90.0, 0.3, 200, 0.5, resolved=False),
    "chaotic, late": Case(-100.0, 90.0, 0.3, 10_000, 0.5, resolved=False),
    "large bias": Case(1.0, 700.0, 0.3, 64, calm=True),
    "start far away": Case(1.0, 0.5, -300.0, 50, 0.2),
    "no weight": Case(0.0, 0.3, 0.2, 5, calm=True),
}


def logarithm(value: Scaled) -> mpmath.mpf:
    with mpmath.workdps(40):
        unit = mpmath.mpf(float(value.unit))
        return mpmath.log(abs(unit)) + int(value.exponent) * mpmath.log(2) if unit else mpmath.mpf("-inf")


@functools.cache
def truth(w: float, b: float, x0: float, steps: int, epsilon: float) -> oracle.Sensitivities:
    return oracle.sensitivities(w, b, x0, steps, epsilon)


def evaluate(case: Case, dtype: str) -> tuple[Sensitivities, tuple[float, float, float, int, float]]:
    number = np.dtype(dtype).type
    w, b, x0, epsilon = (number(v) for v in (case.w, case.b, case.x0, case.epsilon))
    result = sensitivities(w, b, x0, case.steps, epsilon=epsilon)
    assert result.state.dtype == dtype
    return result, (float(w), float(b), float(x0), case.steps, float(epsilon))


def check_accuracy(result: Sensitivities, arguments: tuple, dtype: str, *, calm: bool) -> None:
    exact = truth(*arguments)
    u, limit = ROUNDOFF[dtype], resolution_limit(dtype)
    with mpmath.workdps(40):
        assert abs(mpmath.mpf(float(result.state)) - exact.x) <= 3 * float(result.state_error)
    derivatives = (result.initial, *result.parameters)
    errors = (result.log_error, *result.parameter_log_errors)
    expected = zip(
        (exact.ln_dx0, exact.ln_dw, exact.ln_db),
        (exact.sign_dx0, exact.sign_dw, exact.sign_db),
        strict=True,
    )
    for value, bound, (ln, sign) in zip(derivatives, errors, expected, strict=True):
        assert np.sign(float(value.unit)) == sign
        if sign == 0:
            assert float(bound) == 0
            continue
        with mpmath.workdps(40):
            error = float(abs(logarithm(value) - ln))
        size = max(1.0, abs(float(ln)))
        assert error <= 3 * float(bound) <= 3 * limit * size
        if dtype == "float64":
            assert error <= 1e-6
        if calm:
            assert error <= 900 * u * size


@pytest.mark.parametrize("name", CASES)
def test_hazard_4_and_12_accuracy_and_status(name: str, dtype: str) -> None:
    """Unflagged answers are right and their bounds hold; what float64 can carry is not flagged."""
    case = CASES[name]
    result, arguments = evaluate(case, dtype)
    status = Status(int(result.status))
    if dtype == "float64":
        assert status == (Status.RESOLVED if case.resolved else Status.UNRESOLVED)
    elif not case.resolved:
        assert status == Status.UNRESOLVED
    if status == Status.RESOLVED:
        check_accuracy(result, arguments, dtype, calm=case.calm)


@pytest.mark.parametrize("steps", [1, 2, 7, 8, 9, 33])
def test_every_remainder_of_the_stride(steps: int, dtype: str) -> None:
    result, arguments = evaluate(Case(3.0, -1.2, 0.25, steps, 0.7), dtype)
    assert Status(int(result.status)) == Status.RESOLVED
    check_accuracy(result, arguments, dtype, calm=True)


def test_random_orbits_stay_within_their_bounds(dtype: str) -> None:
    """Weights, biases, starts and Euler steps at random, both kernels among them, 60 steps each."""
    rng = np.random.default_rng(7)
    number = np.dtype(dtype).type
    w = (rng.normal(size=60) * 10 ** rng.uniform(-1, 2.5, 60)).astype(number)
    b = (-w * rng.uniform(0, 1, 60) + rng.normal(size=60)).astype(number)
    x0, epsilon = rng.uniform(-0.5, 1.5, 60).astype(number), rng.uniform(0.01, 1, 60).astype(number)
    result = sensitivities(w, b, x0, 60, epsilon=epsilon)
    resolved = np.asarray(result.status) == Status.RESOLVED
    assert resolved.sum() >= 20
    for i in np.flatnonzero(resolved):
        one = jax.tree.map(lambda leaf, i=i: leaf[i], result)
        arguments = (float(w[i]), float(b[i]), float(x0[i]), 60, float(epsilon[i]))
        check_accuracy(one, arguments, dtype, calm=False)


def test_zero_steps_are_the_identity(dtype: str) -> None:
    x0 = np.linspace(-1, 2, 7).astype(dtype)
    result = sensitivities(np.dtype(dtype).type(1000), np.dtype(dtype).type(-3), x0, 0)
    np.testing.assert_array_equal(result.state, x0)
    np.testing.assert_array_equal(result.initial.to_float(), 1)
    for value in result.parameters:
        np.testing.assert_array_equal(value.unit, 0)
    np.testing.assert_array_equal(result.status, Status.RESOLVED)


def test_hazard_1_exponents_beyond_the_float_range(dtype: str) -> None:
    """(1 + ε/4)^T on the repeller and ∏ w e^(−z_t) in saturation, both past what a float holds."""
    number = np.dtype(dtype).type
    growing = sensitivities(number(5), number(-2.5), number(0.5), 10_000)
    np.testing.assert_allclose(growing.initial.log(), 10_000 * math.log(1.25), rtol=20 * ROUNDOFF[dtype])
    assert Status(int(growing.status)) == Status.UNRESOLVED
    shrinking = sensitivities(number(1000), number(-300), number(0.9), 10_000)
    expected = 10_000 * math.log(1000) - 600 - 9_999 * 700
    np.testing.assert_allclose(shrinking.initial.log(), expected, rtol=50 * ROUNDOFF[dtype])


def test_hazard_21_same_bits_whatever_the_chunking(dtype: str) -> None:
    rng = np.random.default_rng(3)
    size = 270_000  # a multiple of the largest tile and some
    w = (rng.normal(size=size) * 12).astype(dtype)
    b, x0 = rng.normal(size=size).astype(dtype), rng.uniform(size=size).astype(dtype)
    whole = sensitivities(w, b, x0, 45)
    for part in (slice(0, 1), slice(17, 250), slice(size - 20_000, size), slice(5, size, 777)):
        piece = sensitivities(w[part], b[part], x0[part], 45)
        for a, c in zip(jax.tree.leaves(piece), jax.tree.leaves(whole), strict=True):
            np.testing.assert_array_equal(a, c[part])
    square = sensitivities(*(value.reshape(500, 540) for value in (w, b, x0)), 45)
    for a, c in zip(jax.tree.leaves(square), jax.tree.leaves(whole), strict=True):
        np.testing.assert_array_equal(a.ravel(), c)


def test_hazard_26_all_values_of_steps_share_two_programs(dtype: str) -> None:
    w = np.linspace(-5, 5, 30).astype(dtype)
    number = np.dtype(dtype).type
    sensitivities(w, number(0.1), number(0.2), 3)
    sensitivities(w, number(0.1), number(0.2), 16)
    before = programs_of(_tile_program)
    for steps in range(20):
        sensitivities(w, number(0.1), number(0.2), steps)
    sensitivities(w[:11], number(0.1), number(0.2), 5)
    assert programs_of(_tile_program) == before


@FLOAT32_IN_SOAK
def test_traced_vmapped_and_broadcast(dtype: str) -> None:
    w = np.linspace(-9, 9, 12).astype(dtype)[:, None]
    b = np.linspace(-4, 4, 5).astype(dtype)[None, :]
    x0 = np.dtype(dtype).type(0.3)
    plain = sensitivities(w, b, x0, 21)
    assert plain.state.shape == plain.status.shape == plain.initial.unit.shape == (12, 5)
    traces = 0

    @jax.jit
    def traced(w: jax.Array, b: jax.Array, x0: jax.Array, steps: jax.Array) -> Sensitivities:
        nonlocal traces
        traces += 1
        return sensitivities(w, b, x0, steps)

    inside = [traced(jnp.asarray(w), jnp.asarray(b), jnp.asarray(x0), jnp.int32(n)) for n in (5, 21)][-1]
    assert traces == 1
    rows = jax.vmap(lambda w: sensitivities(w, jnp.asarray(b[0]), jnp.asarray(x0), 21))(jnp.asarray(w))
    for other in (inside, rows):
        np.testing.assert_allclose(other.state, plain.state, rtol=1e-5)
        np.testing.assert_allclose(other.initial.log(), plain.initial.log(), rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(other.status, plain.status)


def test_epsilon_may_vary_from_point_to_point() -> None:
    epsilon = np.array([0.1, 0.5, 1.0])
    together = sensitivities(3.0, -1.0, 0.2, 30, epsilon=epsilon)
    for i, value in enumerate(epsilon):
        alone = sensitivities(3.0, -1.0, 0.2, 30, epsilon=value)
        np.testing.assert_allclose(together.initial.log()[i], alone.initial.log(), rtol=1e-13)


def test_empty_and_plain_python_input() -> None:
    assert sensitivities(np.zeros((0, 3)), 1.0, 0.5, 4).state.shape == (0, 3)
    result = sensitivities([1, 2], 0, 0.5, 4)
    assert result.state.shape == (2,)
    assert repr(result) == "Sensitivities(shape=(2,), dtype=float64, parameters=2, resolved=2 of 2)"


@pytest.mark.parametrize(
    ("arguments", "options", "error", "name"),
    [
        ((math.nan, 0.0, 0.5, 3), {}, ValueError, "w"),
        ((1.0, math.inf, 0.5, 3), {}, ValueError, "b"),
        ((1.0, 0.0, None, 3), {}, TypeError, "x0"),
        ((1.0, 1j, 0.5, 3), {}, TypeError, "b"),
        ((1.0, 0.0, 0.5, -1), {}, ValueError, "steps"),
        ((1.0, 0.0, 0.5, 2.5), {}, TypeError, "steps"),
        ((1.0, 0.0, 0.5, True), {}, TypeError, "steps"),
        ((1.0, 0.0, 0.5, 2**31), {}, ValueError, "steps"),
        ((1.0, 0.0, 0.5, 3), {"epsilon": 0.0}, ValueError, "epsilon"),
        ((1.0, 0.0, 0.5, 3), {"epsilon": 1.5}, ValueError, "epsilon"),
        ((np.zeros(3), np.zeros(4), 0.5, 3), {}, ValueError, "b"),
    ],
)
def test_hazards_24_and_25_bad_input(arguments: tuple, options: dict, error: type, name: str) -> None:
    start = time.perf_counter()
    with pytest.raises(error, match=name):
        sensitivities(*arguments, **options)
    assert time.perf_counter() - start < 0.5


@FLOAT32_IN_SOAK
def test_hazard_42_under_vmap_both_kernels_run_and_neither_spoils_the_other(dtype):
    """``lax.cond`` under vmap runs every branch: steep neurons in the fast kernel, gentle ones in the other."""
    w = np.array([5.0, 3000.0, -7.0, -2e5], dtype)
    b = np.array([-2.4, -1499.0, 3.0, 1e5], dtype)

    def both(w, b):
        found = doya.sensitivities(w, b, np.asarray(0.3, dtype), 60)
        return found.state, found.initial.log(), found.parameters[0].log(), found.status

    mapped = jax.jit(jax.vmap(both))(w, b)
    for together, alone in zip(mapped, zip(*map(both, w, b), strict=True), strict=True):
        np.testing.assert_allclose(together, np.stack(alone), rtol=100 * np.finfo(dtype).eps)
    labels = jax.vmap(lambda w, e: doya.basin_label(w, -w / 2 + 0.1, 0.3, e))(
        np.array([-50.0, -50.0, 5.0, -1.0]), np.array([0.5, 1.0, 0.5, 0.5])
    )
    wanted = [
        int(doya.basin_label(w, -w / 2 + 0.1, 0.3, e)) for w, e in ((-50, 0.5), (-50, 1), (5, 0.5), (-1, 0.5))
    ]
    assert labels.tolist() == wanted


@pytest.mark.shipped
def test_a_simpler_program_gives_the_same_bits(dtype: str) -> None:
    """Which of the four programs runs depends on the other points, so it must not show."""
    draws = np.random.default_rng(5)
    columns = (draws.uniform(-8, 8, 256), draws.uniform(-5, 5, 256), draws.uniform(0, 1, 256))
    w, b, x0 = (column.astype(dtype) for column in columns)
    steps = 64
    assert kernel.case_of(w, b, x0, steps) == kernel.Case(gentle=True, whole=True)
    found = [
        jax.tree.leaves(_tile_program(w, b, x0, np.asarray(1.0, dtype), np.int32(steps), case=case))
        for case in itertools.starmap(kernel.Case, itertools.product((False, True), repeat=2))
    ]
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


def _one_neuron(w: float, x0: float, epsilon: float, dtype: str) -> tuple:
    """The neuron with b = −w/2 as the kernels take it, and its orbit before the first step."""
    w, x0, epsilon = (np.full(1, value, dtype) for value in (w, x0, epsilon))
    return kernel._Neurons(w, -w / 2, epsilon), kernel._start(x0)


def test_where_the_sigmoid_is_steepest_the_bounds_do_not_grow_with_the_weight(dtype: str) -> None:
    """σ″(0) = 0: there an error h of z, some 4|w|u, moves σ′ by its square alone, in either kernel."""
    neurons, start = _one_neuron(40.0, 0.5, 1.0, dtype)
    fast = kernel._unpack(kernel._advance(neurons, kernel._pack(start), 1, True))
    careful = jax.jit(lambda: kernel._advance_scaled(neurons, start))()
    for orbit in (fast, careful):
        pairs = orbit.initial, orbit.by_w, orbit.by_b
        for pair, exponent, true in zip(pairs, orbit.exponents, (10.0, 0.125, 0.25), strict=True):
            assert float(pair.real[0]) * 2.0 ** int(exponent[0]) == true
            assert pair.imag[0] <= 16 * ROUNDOFF[dtype] * pair.real[0]


def test_a_steep_leaky_neuron_that_leaves_the_steepest_point(dtype: str) -> None:
    """σ′ falls from 1/5 to e^(−115) from one step to the next: what it adds is nothing beside what is carried."""
    neurons, orbit = _one_neuron(1000.0, 0.501, 0.5, dtype)
    x0 = float(orbit.state.real[0])
    advance = jax.jit(lambda orbit: kernel._advance_scaled(neurons, orbit))
    for _ in range(3):
        orbit = advance(orbit)
    exact = oracle.sensitivities(1000.0, -500.0, x0, 3, 0.5)
    pairs = orbit.initial, orbit.by_w, orbit.by_b
    for pair, exponent, true in zip(pairs, orbit.exponents, (exact.dx0, exact.dw, exact.db), strict=True):
        unit, bound = float(pair.real[0]), float(pair.imag[0])
        error = abs(unit - float(true * mpmath.mpf(2) ** -int(exponent[0])))
        assert error <= bound <= 4000 * ROUNDOFF[dtype] * unit


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("w", "b", "x0", "epsilon"),
    [(5.0, -2.5, 0.3, 0.5), (0.25, 3.0, 0.25, 0.75), (-3.0, 0.5, 0.0, 1.0), (0.5, -0.25, 3.0, 0.5)],
)
def test_bounds_of_one_step(w: float, b: float, x0: float, epsilon: float, dtype: str) -> None:
    """With η = u (2 |w| max(|x₀|, 1) + |b|): what z loses moves σ by σ′ η (1 + 1.36 η), what is left rounds."""
    found = sensitivities(*np.asarray([w, b, x0], dtype), 1, epsilon=np.asarray(epsilon, dtype))
    u = float(np.finfo(dtype).eps) / 2
    value = 1 / (1 + math.exp(-(w * x0 + b)))
    r, slope = min(value, 1 - value), value * (1 - value)
    eta = u * (2 * abs(w) * max(abs(x0), 1) + abs(b))
    state = epsilon * slope * (eta + 1.36 * eta**2) + 6 * u * ((1 - epsilon) * abs(x0) + epsilon * value)
    assert float(found.state_error) == pytest.approx(state, rel=1e-3, abs=0)
    factor = epsilon * abs(w) * slope * (eta * (1 - 2 * r + 1.36 * eta) + 10 * u) + 6 * u * (1 - epsilon)
    size = abs(1 - epsilon + epsilon * w * slope)
    logarithm = u * (2 * 1 + 4)  # the derivative before the step is ½·2¹
    assert float(found.log_error) == pytest.approx(factor / size + logarithm, rel=1e-3, abs=0)


def _bounds_by_their_formulas(
    w: float, b: float, x: float, epsilon: float, steps: int, u: float, eta: float
) -> dict[str, tuple[float, float]]:
    """Value and bound of x, p, q_w and q_b after some steps, by the formulas at the head of ``doya.kernel``."""
    d, (p, e_p), (q_b, e_b), (q_w, e_w) = 0.0, (1.0, 0.0), (0.0, 0.0), (0.0, 0.0)
    for _ in range(steps):
        value = 1 / (1 + math.exp(-(w * x + b)))
        r, slope = min(value, 1 - value), value * (1 - value)
        a, h = 1 - epsilon + epsilon * w * slope, abs(w) * d + eta
        of_slope = slope * (h * (1 - 2 * r) + 1.36 * h**2 + 10 * u)
        delta = epsilon * abs(w) * of_slope + 6 * u * (1 - epsilon)
        e_p = abs(a) * e_p + delta * (abs(p) + e_p)
        e_b = abs(a) * e_b + delta * (abs(q_b) + e_b) + epsilon * of_slope
        e_w = abs(a) * e_w + delta * (abs(q_w) + e_w) + epsilon * (of_slope * (abs(x) + d) + slope * d)
        p, q_b, q_w = a * p, a * q_b + epsilon * slope, a * q_w + epsilon * slope * x
        rounding = 6 * u * ((1 - epsilon) * abs(x) + epsilon * value)
        d = abs(a) * d + epsilon * slope * (eta + 1.36 * h**2) + rounding
        x = (1 - epsilon) * x + epsilon * value
    return {"state": (x, d), "initial": (p, e_p), "by_w": (q_w, e_w), "by_b": (q_b, e_b)}


def test_bounds_of_many_steps_are_those_of_their_formulas(dtype: str) -> None:
    """In the fast kernel two strides and a step beside; in the other, where η is twice as large, four steps."""
    u, stride = ROUNDOFF[dtype], kernel.STRIDE[np.dtype(dtype).itemsize]
    cells = [(3.0, -1.2, 0.25, 0.7), (-9.0, 4.0, 0.3, 1.0), (0.5, 2.0, 0.9, 0.125), (-20.0, 9.0, 0.4, 0.25)]
    w, b, x0, epsilon = np.asarray(cells, dtype).T
    neurons, start = kernel._Neurons(w, b, epsilon), kernel._start(x0)
    fast = kernel._pack(start)
    for steps in (stride, stride, 1):
        fast = kernel._advance(neurons, fast, steps, True)
    careful = start
    for _ in range(4):
        careful = kernel._advance_scaled(neurons, careful)
    for orbit, steps, wide in ((kernel._unpack(fast), 2 * stride + 1, 1), (careful, 4, 2)):
        at_end = jax.tree.map(np.asarray, orbit)
        exponents = dict(zip(("initial", "by_w", "by_b"), at_end.exponents, strict=True))
        for i, cell in enumerate(zip(*map(np.ndarray.tolist, (w, b, x0, epsilon)), strict=True)):
            eta = wide * u * (2 * abs(cell[0]) + abs(cell[1]))
            for name, (value, bound) in _bounds_by_their_formulas(*cell, steps, u, eta).items():
                found = getattr(at_end, name)[i]
                scale = 2.0 ** int(exponents[name][i]) if name in exponents else 1.0
                assert float(found.real) * scale == pytest.approx(value, rel=1e4 * u)
                assert float(found.imag) * scale == pytest.approx(bound, rel=2e-3, abs=0)


def test_a_sigmoid_below_the_least_float_is_within_its_bound(dtype: str) -> None:
    """At z = −1000 floats have σ = 0, and the bound of the state is no less than e^(−1000)."""
    neurons = kernel._Neurons(*(np.full(1, value, dtype) for value in (-1000.0, 0.0, 1.0)))
    state = kernel._advance_scaled(neurons, kernel._start(np.ones(1, dtype))).state
    assert float(state.real[0]) == 0
    assert float(np.finfo(dtype).tiny) <= float(state.imag[0]) <= 4 * float(np.finfo(dtype).tiny)
