"""Orbits that rest on what typical orbits leave are told from typical ones, and from stable ones."""

import math

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from jax.tree_util import Partial

from rnn_dynamics.cells import DoyaNeuron, ElmanRNN
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.diagnosis import diagnose
from rnn_dynamics.dynamics.basins import find_attractors
from rnn_dynamics.dynamics.lyapunov import (
    OrbitCheck,
    OrbitKind,
    covariant_vectors,
    finite_time_exponents,
    lyapunov_spectrum,
    orbit_check,
)
from rnn_dynamics.dynamics.lyapunov.typical import (
    checked,
    examined,
    input_period,
    repetition,
    resolved_steps,
    tied,
)
from rnn_dynamics.numerics.status import Status

LN2 = math.log(2)
CAT = math.log((3 + math.sqrt(5)) / 2)


def _logistic(r, x, u):
    return r * x * (1 - x)


def _times_mod(factor, x, u):
    return jnp.mod(factor * x, 1)


def _tent(x, u):
    return 1 - jnp.abs(1 - 2 * x)


def _cat(x, u):
    return jnp.mod(jnp.stack([2 * x[0] + x[1], x[0] + x[1]]), 1)


def _baker(x, u):
    whole = jnp.floor(2 * x[0])
    return jnp.stack([2 * x[0] - whole, (x[1] + whole) / 2])


def _henon(x, u):
    return jnp.stack([1 - 1.4 * jnp.square(x[0]) + x[1], 0.3 * x[0]])


def _coupled(strength, x, u):
    image = 3.9 * x * (1 - x)
    return (1 - strength) * image + strength * image[::-1]


def _ring(strength, x, u):
    image = 3.9 * x * (1 - x)
    return (1 - strength) * image + strength / 2 * (jnp.roll(image, 1) + jnp.roll(image, -1))


def _side_by_side(x, u):
    return jnp.stack([4 * x[0] * (1 - x[0]), 3.9 * x[1] * (1 - x[1])])


def _gated(x, u):
    """A chaotic base that multiplies a second coordinate: 0 is kept, and left in the mean."""
    return jnp.stack([3.9 * x[0] * (1 - x[0]), jnp.tanh(4 * x[0] * x[1])])


def _driven(x, u):
    return jnp.tanh(3 * u * x)


def _times_input(x, u):
    return u * x


def _kicked(x, u):
    return jnp.mod(2 * x + u, 1)


def _linear(A, x, u):
    return jnp.matmul(A, x, precision="highest")


def _rotation(x, u):
    return jnp.mod(x + 0.3819660112501052, 1)


def _delayed(x, u):
    """The delayed logistic map: an invariant circle at 2.1."""
    return jnp.stack([2.1 * x[0] * (1 - x[1]), x[0]])


logistic = Partial(_logistic, jnp.asarray(4.0))
doubling, tripling = (Partial(_times_mod, jnp.asarray(float(factor))) for factor in (2, 3))


def tanh_network(n=12, gain=3.0, seed=0):
    return ElmanRNN(np.random.default_rng(seed).normal(size=(n, n)) * gain / math.sqrt(n), np.zeros(n))


@pytest.mark.parametrize(
    ("cell", "start", "steps", "period", "multiplier", "exponent"),
    [
        (logistic, 0.5, 2000, 1, 4.0, math.log(4)),
        (logistic, 0.75, 500, 1, 2.0, LN2),
        (doubling, 0.3, 2000, 1, 2.0, LN2),
        (tripling, 0.5, 500, 1, 3.0, math.log(3)),
        (tripling, 0.125, 500, 2, 9.0, math.log(3)),
        (Partial(_tent), 0.3, 500, 1, 2.0, LN2),
        (Partial(_cat), [0.5, 0.25], 500, 3, math.exp(3 * CAT), CAT),
        (tanh_network(), np.zeros(12), 500, 1, None, None),
    ],
)
def test_an_orbit_that_repeats_on_a_repelling_cycle_is_labelled(
    cell, start, steps, period, multiplier, exponent
) -> None:
    run = rollout(cell, np.asarray(start), steps=steps)
    found = lyapunov_spectrum(run)
    if multiplier is None:
        multiplier = np.abs(np.linalg.eigvals(np.asarray(cell.W))).max()
        exponent = math.log(multiplier)
    assert int(found.orbit.kind) == OrbitKind.REPELLING_CYCLE
    assert int(found.orbit.period) == period
    assert abs(float(found.orbit.log_multiplier) - math.log(multiplier)) < 1e-10
    assert abs(float(found.exponents[0]) - exponent) < 5e-3
    assert (np.asarray(found.status) == int(Status.UNRESOLVED)).all()
    assert (np.asarray(found.standard_errors) == math.inf).all()
    assert "repelling" in repr(found)
    assert "not those of a typical orbit" in repr(found)
    assert "±" not in repr(found)
    assert int(orbit_check(run).kind) == OrbitKind.REPELLING_CYCLE


@pytest.mark.parametrize(
    ("cell", "start", "growth"),
    [
        (Partial(_baker), [0.3, 0.4], LN2),
        (Partial(_side_by_side), [0.5, 0.3], math.log(4)),
        (Partial(_gated), [0.3, 0.0], None),
        (Partial(_coupled, jnp.asarray(0.1)), [0.3, 0.3], None),
    ],
)
def test_part_of_the_state_on_what_its_neighbours_leave_is_labelled(cell, start, growth) -> None:
    found = lyapunov_spectrum(rollout(cell, np.array(start), steps=800))
    assert int(found.orbit.kind) == OrbitKind.REPELLING_SUBSPACE
    assert (np.asarray(found.status) == int(Status.UNRESOLVED)).all()
    assert "invariant subspace" in repr(found)
    if growth is not None:
        assert float(found.orbit.log_multiplier) == pytest.approx(growth, abs=1e-12)


def test_growth_across_the_diagonal_is_the_conditional_exponent() -> None:
    found = lyapunov_spectrum(rollout(Partial(_coupled, jnp.asarray(0.1)), np.array([0.3, 0.3]), steps=1600))
    x, slopes = 0.3, []
    for _ in range(1600):
        slopes.append(math.log(abs(3.9 * (1 - 2 * x))))
        x = 3.9 * x * (1 - x)
    expected = np.mean(slopes[-256:]) + math.log(0.8)
    assert float(found.orbit.log_multiplier) == pytest.approx(expected, abs=0.05)


def test_a_pattern_that_a_ring_of_many_units_keeps_is_labelled() -> None:
    ring, two = Partial(_ring, jnp.asarray(0.1)), np.tile([0.3, 0.4], 20)
    found = lyapunov_spectrum(rollout(ring, two, steps=800), exponents=1)
    assert int(found.orbit.kind) == OrbitKind.REPELLING_SUBSPACE
    free = two + 1e-3 * np.random.default_rng(0).normal(size=40)
    assert (
        int(lyapunov_spectrum(rollout(ring, free, steps=800), exponents=1).orbit.kind) == OrbitKind.ORDINARY
    )


def test_a_state_kept_under_an_input_that_varies_is_labelled_unless_the_map_is_affine() -> None:
    inputs = 1 + np.random.default_rng(0).normal(size=1000)
    found = lyapunov_spectrum(rollout(Partial(_driven), 0.0, inputs))
    assert int(found.status[0]) == Status.UNRESOLVED
    free = lyapunov_spectrum(rollout(Partial(_times_input), 0.0, 3 * inputs))
    assert int(free.status[0]) == Status.RESOLVED
    assert "affine" in repr(free)


def test_a_cycle_under_a_periodic_input_is_one_only_if_the_input_repeats() -> None:
    pulse = np.tile([0.0, 0.5, 0.0], 200)
    found = lyapunov_spectrum(rollout(Partial(_kicked), 0.3, pulse))
    assert int(found.orbit.kind) == OrbitKind.REPELLING_CYCLE
    assert int(found.orbit.period) == 3
    assert float(found.orbit.log_multiplier) == pytest.approx(3 * LN2)
    noise = np.random.default_rng(0).random(600)
    free = lyapunov_spectrum(rollout(Partial(_kicked), 0.3, noise))
    assert int(free.orbit.kind) == OrbitKind.ORDINARY
    assert int(free.status[0]) == Status.RESOLVED


def test_a_linear_map_at_rest_has_the_exponents_of_every_orbit() -> None:
    A = jnp.asarray([[1.3, 0.4], [0.0, 0.5]])
    found = lyapunov_spectrum(rollout(Partial(_linear, A), np.zeros(2), steps=400))
    assert (np.asarray(found.status) == int(Status.RESOLVED)).all()
    assert bool(found.orbit.affine)
    assert "affine" in repr(found)


@pytest.mark.parametrize(
    ("cell", "start", "steps"),
    [
        (logistic, 0.3, 10_000),
        (tripling, 0.3, 2000),
        (Partial(_cat), [0.2, 0.5], 2000),
        (Partial(_henon), [0.1, 0.1], 5000),
        (tanh_network(30, 3.0, 1), np.full(30, 0.1), 1000),
        (DoyaNeuron(-100.0, 90.0, 0.5), 0.3, 5000),
        (Partial(_coupled, jnp.asarray(0.02)), [0.3, 0.41], 2000),
        (Partial(_coupled, jnp.asarray(0.4)), [0.3, 0.3], 2000),  # a diagonal that attracts
    ],
)
def test_no_false_alarm_on_typical_chaos(cell, start, steps) -> None:
    found = lyapunov_spectrum(rollout(cell, np.asarray(start), steps=steps))
    assert float(found.exponents[0]) > 0.02
    assert int(found.orbit.kind) == OrbitKind.ORDINARY
    assert int(found.status[0]) == Status.RESOLVED
    assert 0 < int(found.resolved_steps) < steps
    assert f"that of x0 for {int(found.resolved_steps)} of {steps} steps" in repr(found)


@pytest.mark.parametrize(
    ("cell", "start", "kinds"),
    [
        (Partial(_logistic, jnp.asarray(3.2)), 0.3, (OrbitKind.STABLE_CYCLE,)),
        (Partial(_logistic, jnp.asarray(2.0)), 0.5, (OrbitKind.STABLE_CYCLE,)),
        (Partial(_logistic, jnp.asarray(1.0)), 0.0, (OrbitKind.STABLE_CYCLE,)),  # marginal
        (Partial(_logistic, jnp.asarray(3.0)), 0.3, (OrbitKind.ORDINARY, OrbitKind.STABLE_CYCLE)),
        (Partial(_rotation), 0.1, (OrbitKind.ORDINARY, OrbitKind.STABLE_CYCLE)),
        (Partial(_delayed), [0.3, 0.3], (OrbitKind.ORDINARY,)),
        (ElmanRNN(np.eye(3), np.zeros(3), activation="relu"), [1.0, 2.0, 3.0], (OrbitKind.STABLE_CYCLE,)),
        (ElmanRNN(np.eye(3) + np.eye(3, k=1), np.zeros(3), activation="relu"), [1.0, 0, 0], None),
        (tanh_network(12, 0.7), np.full(12, 0.1), None),
    ],
)
def test_no_false_alarm_on_stable_marginal_and_quasiperiodic_orbits(cell, start, kinds) -> None:
    found = lyapunov_spectrum(rollout(cell, np.asarray(start, float), steps=1500))
    assert int(found.orbit.kind) in (kinds or (OrbitKind.ORDINARY, OrbitKind.STABLE_CYCLE))
    assert bool(found.orbit.is_typical)
    assert int(found.status[0]) == Status.RESOLVED or float(found.exponents[0]) == -math.inf
    assert int(found.resolved_steps) == 1500 or kinds is None or float(found.exponents[0]) > -1e-3


def test_no_false_alarm_under_inputs() -> None:
    rng = np.random.default_rng(2)
    cell = ElmanRNN(rng.normal(size=(10, 10)) * 0.6, np.zeros(10), rng.normal(size=(10, 2)))
    found = lyapunov_spectrum(rollout(cell, np.zeros(10), rng.normal(size=(800, 2))))
    assert bool(found.orbit.is_typical)
    assert (np.asarray(found.status) == int(Status.RESOLVED)).all()


def test_resolved_steps_are_those_in_which_200_digits_agree() -> None:
    for cell, step, start in (
        (logistic, lambda x: 4 * x * (1 - x), 0.3),
        (logistic, lambda x: 4 * x * (1 - x), 0.123),
        (tripling, lambda x: (3 * x) % 1, 0.3),
        (Partial(_logistic, jnp.asarray(3.75)), lambda x: mpmath.mpf(3.75) * x * (1 - x), 0.2),
    ):
        run = rollout(cell, start, steps=400)
        resolved = int(lyapunov_spectrum(run).resolved_steps)
        with mpmath.workdps(250):
            x, apart = mpmath.mpf(start), []
            for state in np.asarray(run.states):
                apart.append(float(abs(x - mpmath.mpf(float(state)))))
                x = step(x)
        lost = int(np.argmax(np.array(apart) > 0.1 * np.ptp(np.asarray(run.states))))
        assert lost - 12 <= resolved <= lost + 4


def test_long_cycles_of_float32_are_no_independent_samples() -> None:
    cell = Partial(_logistic, jnp.asarray(4.0, jnp.float32))
    found = lyapunov_spectrum(rollout(cell, np.float32(0.3), steps=20_000))
    states = np.asarray(rollout(cell, np.float32(0.3), steps=20_000).states)
    seen, first = {}, None
    for t, value in enumerate(states.tolist()):
        if value in seen:
            first = t - seen[value], seen[value]
            break
        seen[value] = t
    assert (int(found.orbit.period), int(found.orbit.begins)) == first
    assert int(found.status[0]) == Status.UNRESOLVED


def test_fields_covariant_vectors_and_batches_are_labelled_too() -> None:
    starts = np.array([0.5, 0.3, 0.75, 0.2])
    field = finite_time_exponents(logistic, starts, steps=2000, discard=3, state_ndim=0)
    unresolved, resolved = int(Status.UNRESOLVED), int(Status.RESOLVED)
    assert field.status.tolist() == [unresolved, resolved, unresolved, resolved]
    assert field.periods.tolist() == [1, 0, 1, 0]
    assert "2 at rest on repelling cycles" in repr(field)
    stable = finite_time_exponents(Partial(_logistic, jnp.asarray(3.2)), 0.3, steps=2000, state_ndim=0)
    assert (int(stable.periods), int(stable.status)) == (2, resolved)
    linear = finite_time_exponents(
        Partial(_linear, jnp.diag(jnp.array([1.3, 0.5]))), np.zeros((2, 2)), steps=90
    )
    assert linear.status.tolist() == [resolved, resolved]
    forced = finite_time_exponents(
        Partial(_kicked), np.array([0.3]), steps=600, inputs=np.tile([0.0, 0.5, 0.0], 200), state_ndim=0
    )
    assert (int(forced.periods[0]), int(forced.status[0])) == (3, unresolved)
    vectors = covariant_vectors(rollout(Partial(_cat), np.array([0.5, 0.25]), steps=300))
    assert vectors.status.tolist() == [unresolved, unresolved]
    assert "repelling 3-cycle" in repr(vectors)
    batch = jax.vmap(lambda x: lyapunov_spectrum(rollout(logistic, x, steps=300)))(jnp.asarray(starts))
    assert batch.status[:, 0].tolist() == field.status.tolist()


def test_a_run_that_rests_on_a_saddle_is_not_called_exploding_without_saying_so() -> None:
    cell = tanh_network()
    found = diagnose(rollout(cell, np.zeros(12), steps=200))
    assert found.regime == "exploding"
    assert "repelling fixed point" in found.orbit
    assert "repelling fixed point" in str(found)
    assert found.to_dict()["orbit"] == found.orbit
    assert diagnose(rollout(tanh_network(12, 0.7), np.full(12, 0.1), steps=200)).orbit == ""


def test_what_only_rounding_keeps_an_orbit_on_is_no_attractor() -> None:
    cat = find_attractors(Partial(_cat), np.array([[0.5, 0.25]]), max_steps=2000, topology=1.0)
    assert len(cat) == 0
    coupled = Partial(_coupled, jnp.asarray(0.02))
    assert len(find_attractors(coupled, np.array([[0.3, 0.3]]), max_steps=2000)) == 0
    assert len(find_attractors(coupled, np.array([[0.3, 0.41]]), max_steps=2000)) == 1


def test_repetition_and_ties_are_found_to_the_bit() -> None:
    cycle = np.array([[0.1], [0.2], [0.1], [0.3]])
    states = np.concatenate([np.random.default_rng(0).random((7, 1)), np.tile(cycle, (5, 1))])
    assert repetition(states) == (4, 7)
    assert repetition(states, np.arange(26.0)) == (0, -1)
    assert repetition(np.array([[0.0], [-0.0]])) == (1, 0)
    assert repetition(np.random.default_rng(1).random((50, 2))) == (0, -1)
    assert input_period(np.tile([1.0, 2.0, 1.0], 5)) == 3
    assert input_period(None) == 1
    assert input_period(np.arange(9.0)) == 0
    noise = np.random.default_rng(2).normal(size=(80, 40))
    assert tied(noise, 64) is None
    noise[:, 3] = -noise[:, 7]
    across = tied(noise, 64)
    assert across is not None
    assert across[3, 3] == pytest.approx(0.5)
    assert across[3, 7] == pytest.approx(0.5)
    assert np.trace(across) == pytest.approx(1)


def test_names_agree() -> None:
    run = rollout(Partial(_henon), np.array([0.1, 0.1]), steps=400)
    spectrum, vectors = lyapunov_spectrum(run), covariant_vectors(run)
    field = finite_time_exponents(Partial(_henon), np.zeros((3, 2)), steps=50, exponents=2)
    for found in (spectrum, vectors, field):
        assert np.array_equal(np.asarray(found.values), np.asarray(found.exponents))
    assert field.exponents.shape == (3, 2)
    assert spectrum.blocks == 20
    with pytest.raises(ValueError, match="start, stop"):
        orbit_check(run, start=5, stop=5)


def test_an_orbit_that_grows_keeps_its_digits() -> None:
    """x → 1.5 x is right to a few roundings of x itself at any size: a product of 400 factors."""
    run = rollout(Partial(lambda a, x, u: a * x, jnp.asarray(1.5)), jnp.asarray([0.3]), steps=400)
    check = orbit_check(run)
    assert int(check.resolved_steps) == 400
    assert not check.describe()


def test_tangents_that_grow_like_a_power_are_at_no_repelling_point() -> None:
    def step(c, x, u):
        return jnp.stack([x[0] + c * x[1], jnp.tanh(x[1])])  # Jacobian [[1, 1], [0, 1]] at 0

    check = orbit_check(rollout(Partial(step, jnp.asarray(1.0)), np.zeros(2), steps=2000))
    assert int(check.kind) == OrbitKind.STABLE_CYCLE


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_affine_map_is_told_though_its_orbit_leaves_the_floats(dtype: str) -> None:
    grows = Partial(lambda c, x, u: c * x, jnp.asarray(1.5, dtype))
    run = rollout(grows, np.ones(3, dtype), steps=200 if dtype == "float32" else 1700)
    assert bool(orbit_check(run).affine)


def test_a_run_from_zero_is_its_own() -> None:
    inputs = np.random.default_rng(0).normal(size=(60, 1))
    run = rollout(ElmanRNN(0.5 * np.eye(2), np.zeros(2), np.ones((2, 1))), np.zeros(2), inputs)
    assert int(orbit_check(run).resolved_steps) == 60


@pytest.mark.parametrize("start", [0.0, 0.9])
@pytest.mark.parametrize("logs", ["of each step", "of pairs", "none"])
def test_the_error_of_an_orbit_is_carried_on_step_by_step(logs: str, start: float) -> None:
    """e ← e^λ e + (n + 6) u |x|, until e is more than the orbit's extent; the orbit lands nowhere."""
    map_of = Partial(lambda x, u: 1 - 1.8 * jnp.square(x))
    x = np.asarray(rollout(map_of, start, steps=200).states)
    each = np.log(np.abs(3.6 * x[:-1]) + 1e-3)
    given, interval = {
        "of each step": (each, 1),
        "of pairs": (each.reshape(-1, 2).sum(axis=1), 2),
        "none": ([], 1),
    }[logs]
    rates = np.repeat(given, interval) / interval if len(given) else np.zeros(200)
    unit, error, expected = np.finfo(float).eps / 2, 0.0, 200
    for t, value in enumerate(x):
        error = (math.exp(rates[t - 1]) * error if t else 0.0) + 7 * unit * max(
            abs(value), np.finfo(float).tiny / 7 / unit
        )
        if error > np.ptp(x[: t + 1]) > 0:
            expected = t
            break
    assert expected == 200 if logs == "none" else 20 < expected < 100
    assert resolved_steps(x[:, None], np.asarray(given), interval) == expected


def test_one_step_is_enough_to_see_that_a_point_repels() -> None:
    """4 x (1 − x) keeps ¾, with slope −2."""
    found = examined(logistic, np.array([0.75, 0.75]), None, [LN2])
    assert (int(found.kind), int(found.period), int(found.begins)) == (OrbitKind.REPELLING_CYCLE, 1, 0)
    assert float(found.log_multiplier) == pytest.approx(LN2, abs=1e-15)


def test_a_point_just_reached_repels_by_its_multiplier_however_the_orbit_came_there() -> None:
    """All tangents shrank on the way to 0, where one of two grows by √e a step."""
    rate = 0.5
    cell = Partial(_linear, jnp.diag(jnp.array([math.exp(rate), 0.1])))
    states = np.append(np.random.default_rng(0).normal(size=(20, 2)), np.zeros((2, 2)), axis=0)
    found = examined(cell, states, None, [-2.0] * 20 + [rate])
    assert (int(found.kind), int(found.period)) == (OrbitKind.REPELLING_CYCLE, 1)
    assert float(found.log_multiplier) == pytest.approx(rate, abs=1e-14)
    shrinking = examined(cell, states, None, [-2.0] * 20 + [-rate])
    assert int(shrinking.kind) == OrbitKind.STABLE_CYCLE


def test_the_multiplier_of_a_cycle_longer_than_what_was_measured_is_that_of_its_mean_growth() -> None:
    states = np.tile([[0.1], [0.2], [0.4], [0.3]], (3, 1))
    found = examined(logistic, states, None, [LN2, 2 * LN2])
    assert (int(found.kind), int(found.period)) == (OrbitKind.REPELLING_CYCLE, 4)
    assert float(found.log_multiplier) == pytest.approx(6 * LN2, abs=1e-14)


@pytest.mark.parametrize(
    ("logs", "kind"),
    [
        (np.full(40, 0.5), OrbitKind.REPELLING_CYCLE),
        (2 * np.log(1 + 1 / np.arange(1, 41)), OrbitKind.STABLE_CYCLE),  # t² after t steps
    ],
)
def test_of_many_units_exponential_growth_tells_a_point_that_repels(
    logs: np.ndarray, kind: OrbitKind
) -> None:
    """Their Jacobian has more than 2^20 entries, too many to look at its eigenvalues."""
    found = examined(logistic, np.zeros((41, 1025)), None, logs)
    assert (int(found.kind), int(found.period)) == (kind, 1)
    assert float(found.log_multiplier) == pytest.approx(logs.mean(), abs=1e-14)


def _steeply_gated(x, u):
    return jnp.stack([3.9 * x[0] * (1 - x[0]), 20 * x[0] * x[1]])


@pytest.mark.parametrize(
    ("logs", "kind"),
    [
        ([2.0] * 3, OrbitKind.ORDINARY),  # too few steps
        ([2.0] * 4, OrbitKind.REPELLING_SUBSPACE),
        ([-9.0] * 48 + [1.0] * 48, OrbitKind.REPELLING_SUBSPACE),
        ([9.0] * 48 + [0.01] * 48, OrbitKind.ORDINARY),
    ],
)
def test_a_tie_is_looked_at_where_tangents_grow_in_the_later_half(logs: list[float], kind: OrbitKind) -> None:
    """The second coordinate is kept at 0, which its neighbours leave by 20 x a step."""
    cell = Partial(_steeply_gated)
    states = np.asarray(rollout(cell, np.array([0.3, 0.0]), steps=len(logs)).states)
    assert int(examined(cell, states, None, logs).kind) == kind


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_two_units_that_start_at_nothing_are_tied(sign: float) -> None:
    states = np.array([[0.0, 0.0], [1.0, sign], [-2.0, -2 * sign]])
    across = tied(states, 2)
    assert across is not None
    np.testing.assert_allclose(across, [[0.5, -0.5 * sign], [-0.5 * sign, 0.5]], atol=1e-15)


def rests(period: int) -> OrbitCheck:
    """On a cycle with multiplier e."""
    whole = [np.int32(n) for n in (OrbitKind.REPELLING_CYCLE, period, 0)]
    return OrbitCheck(*whole, np.float64(1.0), np.bool_(False), np.int32(500), np.int32(500))


def test_a_long_cycle_is_called_one_of_floats() -> None:
    said = "the orbit rests on a repelling {}-cycle (multiplier 2.718): "
    assert rests(64).describe() == said.format(64) + "these are its exponents, not those of a typical orbit"
    assert rests(65).describe() == said.format(65) + (
        "of floats, so that its exponents are a mean over 65 steps only"
    )


def test_what_is_traced_and_what_is_a_batch_says_its_shape() -> None:
    said = []

    def inside(check: OrbitCheck) -> jax.Array:
        said.append((repr(check), check.describe()))
        return check.period

    jax.jit(inside)(rests(2))
    batch = jax.tree_util.tree_map(lambda leaf: np.stack([leaf, leaf]), rests(2))
    inside(batch)
    assert said == [("OrbitCheck(shape ())", ""), ("OrbitCheck(shape (2,))", "")]


@pytest.mark.parametrize(("units", "kind"), [(1, OrbitKind.REPELLING_CYCLE), (2, OrbitKind.STABLE_CYCLE)])
def test_what_is_traced_asks_for_clear_growth_of_several_units(units: int, kind: OrbitKind) -> None:
    """Two nats over all steps are growth of one unit, whose derivative is a number; of two, perhaps transient."""
    states = jnp.full((5, units), 0.5)
    found = jax.jit(lambda x: checked(logistic, x, None, jnp.full(4, 0.5), 0.5))(states)
    assert (int(found.kind), int(found.period), int(found.begins)) == (kind, 1, 3)
    assert (int(found.resolved_steps), int(found.steps)) == (-1, 4)
