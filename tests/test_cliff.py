"""The loss cliff against balls of 50 digits: loss and gradient, limits, the wall, descent, bad input."""

import functools
import itertools
import math
import time
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rnn_dynamics import cliff
from rnn_dynamics.cliff import descent
from rnn_dynamics.gradients.sensitivities import resolution_limit
from rnn_dynamics.numerics.scaled import from_float
from rnn_dynamics.numerics.status import Status
from tests.compilations import compilations
from tests.oracles import cliff as oracle

STEPS = (0, 1, 2, 10, 50, 500)
POINTS = [
    (5.0, -2.45),
    (5.0, -2.51),
    (6.0, -3.1),
    (4.75, -2.0),
    (-8.0, 3.9),
    (0.0, 0.3),
    (50.0, -20.0),
    (2.0, 9.0),
]


def assert_matches(got: cliff.Loss, index: tuple, exact: oracle.Loss, dtype: str) -> None:
    """The value within its own bound; the gradient within that of y_T and of its logarithm's limit."""
    value, bound = float(got.value[index]), float(got.value_error[index])
    assert abs(value - float(exact.value)) <= bound
    relative = resolution_limit(dtype)
    norm = math.hypot(float(exact.dw), float(exact.db))
    slack = 1e-14 if dtype == "float64" else 1e-5
    for scaled, truth in ((got.dw, exact.dw), (got.db, exact.db)):
        difference = abs(float(scaled[index].to_float()) - float(truth))
        assert difference <= 2 * relative * norm + slack * max(norm, 1e-30)


@pytest.mark.parametrize("model", ["geometric", "pascanu"])
@pytest.mark.parametrize("steps", STEPS)
def test_loss_and_gradient(model: str, steps: int, dtype: str) -> None:
    w, b = np.array(POINTS, dtype).T
    got = cliff.loss(w, b, steps=steps, model=model)
    assert got.value.dtype == dtype
    for i in range(w.size):
        if not got.resolved[i]:
            assert dtype == "float32" or steps > 50
            continue
        target, start = np.array(0.855 if model == "geometric" else 0.7, dtype), 0.5
        if model == "geometric":
            exact = oracle.geometric_loss(float(b[i]), steps, float(w[i]), start, float(target))
        else:
            exact = oracle.pascanu_loss(float(w[i]), float(b[i]), steps, start, float(target))
        assert_matches(got, (i,), exact, dtype)
    assert got.resolved.mean() >= 0.5


def test_gradient_at_the_wall_is_exact_and_grows_as_the_multiplier() -> None:
    b = -2.5 - 1.376e-6
    got = cliff.loss(5.0, b, steps=50)
    exact = oracle.geometric_loss(b, 50)
    assert abs(float(got.db.to_float()) / float(exact.db) - 1) <= 1e-7
    grid = -2.5 - np.geomspace(1e-7, 1e-4, 4001)
    largest = np.abs(cliff.loss(5.0, grid, steps=50).db.to_float()).max()
    assert float(largest) == pytest.approx(56821.5, abs=1)


def test_loss_falls_to_nothing_above_the_wall_before_it_is_the_limit() -> None:
    got = cliff.loss(5.0, -2.4998905, steps=50)
    assert float(got.value) < 1e-8
    grid = np.linspace(-2.49990, -2.49988, 2001)
    assert float(cliff.loss(5.0, grid, steps=50).value.min()) <= 1e-11


def test_gradient_beyond_the_float_range_is_scaled_and_flagged() -> None:
    got = cliff.loss(5.0, -2.5, steps=5000)  # On the repeller: ∂x_T/∂b = 1.25^T − 1, as floats cannot know.
    assert int(got.status) == Status.UNRESOLVED
    assert math.isinf(float(got.db.to_float()))
    assert float(got.db.log()) == pytest.approx(5000 * math.log(1.25) + math.log(0.71), rel=1e-12)


def test_chaos_is_unresolved() -> None:
    got = cliff.loss(-100.0, 90.0, steps=300, epsilon=0.5, x0=0.3)
    assert int(got.status) == Status.UNRESOLVED


@pytest.mark.parametrize("w", [4.2, 5.0, 6.0, 8.0, 20.0])
def test_limits_at_the_wall(w: float, dtype: str) -> None:
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    start, target = 0.5, float(np.array(0.855, dtype))
    exact = oracle.geometric_limit(w, start, target) if dtype == "float64" else None
    exact = exact or oracle.geometric_limit(float(np.float32(w)), start, target)
    got = cliff.wall(np.array(w, dtype))
    assert bool(got.exists)
    assert abs(float(got.b) - float(exact.b)) <= 4 * np.finfo(dtype).eps / 2 * abs(float(exact.b))
    assert float(got.below) == pytest.approx(float(exact.below), abs=tolerance)
    assert float(got.above) == pytest.approx(float(exact.above), abs=tolerance)
    assert float(got.multiplier) == pytest.approx(w / 4, rel=float(np.finfo(dtype).eps))  # w x₀ (1 − x₀)


def test_published_jump() -> None:
    got = cliff.wall(5.0)
    assert float(got.b) == -2.5
    assert float(got.above) == pytest.approx(4.2391e-8, rel=1e-4)
    assert float(got.below) == pytest.approx(0.50439241, abs=1e-8)
    assert float(got.jump) == pytest.approx(0.504392, abs=1e-6)


@pytest.mark.parametrize(("w", "x0"), [(-8.0, 0.5), (-8.0, 0.45), (-5.0, 0.5), (-20.0, 0.3)])
def test_wall_for_negative_w_separates_the_phases_of_a_two_cycle(w: float, x0: float) -> None:
    got, exact = cliff.wall(w, x0=x0), oracle.geometric_limit(w, x0)
    assert float(got.multiplier) == pytest.approx(float(exact.multiplier))
    assert float(got.below) == pytest.approx(float(exact.below), abs=1e-12)
    assert float(got.above) == pytest.approx(float(exact.above), abs=1e-12)
    for side, (even, odd) in {-1: (got.below, got.above), 1: (got.above, got.below)}.items():
        b = float(got.b) + side * 1e-6
        limit = cliff.limit_loss(w, b, x0=x0)
        assert float(limit.even) == pytest.approx(float(even), abs=1e-4)
        assert float(limit.odd) == pytest.approx(float(odd), abs=1e-4)
        for steps, value in ((4000, limit.even), (4001, limit.odd)):
            finite = cliff.loss(w, b, x0=x0, steps=steps)
            assert float(finite.value) == pytest.approx(float(value), abs=1e-9)


def test_wall_of_figure_6() -> None:
    edge = 1 / (0.6224593312018546 * 0.3775406687981454)
    assert edge == pytest.approx(4.2553, abs=1e-4)
    got = cliff.wall(np.array([edge - 1e-3, edge + 1e-3, 6.0, 10.0]), model="pascanu")
    assert got.exists.tolist() == [False, True, True, True]
    assert math.isnan(float(got.b[0]))
    np.testing.assert_allclose(got.multiplier, got.w / edge, rtol=1e-15)
    for i, w in ((2, 6.0), (3, 10.0)):
        exact = oracle.pascanu_limit(w)
        assert abs(float(got.b[i]) - float(exact.b)) <= 4 * 2**-53 * (0.5 + w)
        assert float(got.below[i]) == pytest.approx(float(exact.below), abs=1e-12)
        assert float(got.above[i]) == pytest.approx(float(exact.above), abs=1e-12)


@pytest.mark.parametrize(
    ("w", "b"), [(5.0, -2.4), (5.0, -2.6), (2.0, 0.3), (-3.0, 1.0), (-8.0, 4.3), (-8.0, 20.0)]
)
def test_the_limit_has_the_derivative_that_long_runs_have(w: float, b: float) -> None:
    """∂L_∞/∂(w, b) of the implicit function, against the kernel's ∂L_T/∂(w, b) at T = 2000."""
    of_limit = jax.grad(lambda w, b: cliff.limit_loss(w, b, x0=0.3).even, argnums=(0, 1))(w, b)
    long = cliff.loss(w, b, x0=0.3, steps=2000)
    for got, wanted in zip(of_limit, (long.dw, long.db), strict=True):
        np.testing.assert_allclose(got, wanted.to_float(), rtol=1e-9)


def test_limit_loss_along_b() -> None:
    b = np.array([-4.0, -2.7, -2.65, -2.5 - 1e-15, -2.5, -2.5 + 1e-15, -2.4, -2.3, 1.0])
    got = cliff.limit_loss(5.0, b)
    assert (got.status == Status.CONVERGED).all()
    for i, bias in enumerate(b):
        assert float(got.even[i]) == pytest.approx(float(oracle.limit_loss(float(bias))), abs=1e-13)
    np.testing.assert_array_equal(got.even, got.odd)


def test_limit_is_where_long_runs_go(dtype: str) -> None:
    rng = np.random.default_rng(3)
    w, b, x0 = (rng.uniform(*ends, 100).astype(dtype) for ends in ((-12, 12), (-8, 8), (0.01, 0.99)))
    for model in ("geometric", "pascanu"):
        limit = cliff.limit_loss(w, b, x0=x0, model=model)
        far = [cliff.loss(w, b, x0=x0, steps=steps, model=model).value for steps in (3000, 3001)]
        settled = np.abs(cliff.loss(w, b, x0=x0, steps=2500, model=model).value - far[0]) < 1e-7
        assert settled.mean() > 0.9
        tolerance = 1e-9 if dtype == "float64" else 2e-4
        np.testing.assert_allclose(limit.even[settled], far[0][settled], atol=tolerance)
        np.testing.assert_allclose(limit.odd[settled], far[1][settled], atol=tolerance)


def test_limit_without_an_exact_rule_is_undecided() -> None:
    got = cliff.limit_loss(-100.0, 90.0, epsilon=0.5)
    assert int(got.status) == Status.UNDECIDED
    assert math.isnan(float(got.even))


def test_surface_and_steep_share() -> None:
    w, b = np.linspace(3, 8, 40), np.linspace(-5, 0, 50)
    got = cliff.surface(w, b, steps=50)
    assert got.loss.value.shape == (40, 50)
    exact = oracle.pascanu_loss(float(w[7]), float(b[11]))
    assert float(got.loss.value[7, 11]) == pytest.approx(float(exact.value), abs=1e-13)
    norm = np.hypot(got.loss.dw.to_float(), got.loss.db.to_float())
    assert got.steep_share(0.1) == pytest.approx(float((norm > 0.1).mean()), abs=1e-12)
    assert got.steep_share(1e9) == 0
    assert got.unresolved_share == 0
    assert "40 w × 50 b" in repr(got)


def test_profile_holds_every_T_beside_the_limit() -> None:
    b = np.linspace(-2.6, -2.4, 31)
    got = cliff.profile(b, steps=[0, 10, 400])
    assert got.loss.value.shape == (3, 31)
    np.testing.assert_allclose(got.loss.value[0], (0.5 - 0.855) ** 2)
    away = np.abs(b + 2.5) > 0.01
    np.testing.assert_allclose(got.loss.value[2][away], got.limit.even[away], atol=1e-9)
    assert float(got.wall.b) == -2.5


@pytest.mark.parametrize(
    ("clip", "end", "value", "tolerance"),
    [(None, (9.248037, 5.635950), 0.0900, 5e-7), (1.0, (4.415331, -2.246434), 1.2920e-3, 5e-7)],
)
def test_robust_descent_on_figure_6(clip: float | None, end: tuple, value: float, tolerance: float) -> None:
    got = cliff.descend(4.75, -2.0, rate=0.1, updates=100, clip=clip)
    assert int(got.status) == Status.RESOLVED
    np.testing.assert_allclose([got.w[-1], got.b[-1]], end, atol=tolerance)
    assert float(got.loss.value[-1]) == pytest.approx(value, abs=5e-5)
    path, norms = oracle.descend(4.75, -2.0, 0.1, 100, clip)
    np.testing.assert_allclose(np.stack([got.w, got.b], axis=1), path, atol=1e-7)
    np.testing.assert_allclose(got.gradient_norm[:-1], norms, rtol=1e-6)
    if clip is None:
        assert float(got.gradient_norm.max()) == pytest.approx(92.508, abs=1e-3)


def test_published_descent_is_chaotic_and_says_so() -> None:
    got = cliff.descend(6.0, -3.0, rate=0.1, updates=500)
    assert int(got.status) == Status.UNRESOLVED
    assert float(got.path_error.max()) > 1e-2


def test_descents_over_starts_rates_and_thresholds_at_once() -> None:
    clip = np.array([0.5, 1.0, 2.0])
    got = cliff.descend(4.75, np.array([[-2.0], [-2.1]]), rate=0.1, updates=20, clip=clip)
    assert got.w.shape == (21, 2, 3)
    alone = cliff.descend(4.75, -2.1, rate=0.1, updates=100, clip=2.0)
    np.testing.assert_allclose(got.w[:, 1, 2], alone.w[:21], atol=1e-9)
    mapped = jax.vmap(lambda rate: cliff.descend(4.75, -2.0, rate=rate, updates=5, clip=1.0).w[-1])
    assert mapped(jnp.array([0.1, 0.2])).shape == (2,)


def test_clipping_is_algorithm_1_and_optax_agrees_at_the_boundary(dtype: str) -> None:
    rule = optax.clip_by_global_norm(5.0)
    below = np.nextafter(np.array(4, dtype), np.array(0, dtype))
    above = np.nextafter(np.array(4, dtype), np.array(9, dtype))
    for pair in ((3.0, 4.0), (3.0, below), (3.0, above), (30.0, 40.0), (0.0, 0.0), (-6.0, 8.0)):
        g = tuple(jnp.asarray(part, dtype) for part in pair)
        got = descent.clipped(from_float(g[0]), from_float(g[1]), jnp.asarray(5.0, dtype))
        expected, _ = rule.update(g, rule.init(g))
        np.testing.assert_allclose(got, expected, rtol=4 * np.finfo(dtype).eps)
        norm = np.hypot(*(float(part) for part in g))
        assert np.hypot(float(got[0]), float(got[1])) == pytest.approx(min(norm, 5), rel=1e-6)


def test_clipping_survives_a_gradient_that_no_float_holds() -> None:
    huge = from_float(jnp.asarray(0.6)), from_float(jnp.asarray(0.8))
    huge = tuple(type(g)(g.unit, g.exponent + 5000, 0) for g in huge)
    got = descent.clipped(*huge, jnp.asarray(2.0))
    np.testing.assert_allclose(got, (1.2, 1.6), rtol=1e-15)


def test_a_descent_with_optax_is_the_descent_with_its_rule() -> None:
    plain = cliff.descend(4.75, -2.0, rate=0.1, updates=100, clip=1.0)
    chained = optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1))
    np.testing.assert_allclose(
        cliff.descend(4.75, -2.0, optimizer=chained, updates=100).b, plain.b, atol=1e-9
    )
    momentum = cliff.descend([4.75, 5.0], -2.0, optimizer=optax.sgd(0.01, momentum=0.9), updates=5, clip=1.0)
    assert np.isfinite(momentum.w).all()


def test_a_diverging_descent_is_labelled_with_its_first_update() -> None:
    path = cliff.descend(4.75, -2.0, rate=0.1, updates=100)
    steepest = int(path.gradient_norm.argmax())
    w, b = np.array([path.w[steepest], 4.75]), np.array([path.b[steepest], -2.0])
    got = cliff.descend(w, b, rate=np.array([1e308, 0.1]), updates=20)
    assert got.status.tolist() == [Status.DIVERGED, Status.RESOLVED]
    first = int(got.first_diverged[0])
    assert first == 1
    assert int(got.first_diverged[1]) == -1
    assert np.isfinite(got.w[:first, 0]).all()
    assert (got.loss.status[first:, 0] == Status.DIVERGED).all()


def test_zero_updates_and_lists() -> None:
    got = cliff.descend([5, 6], [-2, -3], rate=1, updates=0)
    assert got.w.shape == (1, 2)
    assert repr(got) == "Descent(pascanu, 0 updates, T=50, shape=(2,))"
    assert cliff.loss([5, 6], -2, steps=0).value.shape == (2,)
    assert int(cliff.loss(5, -2, steps=0).status) == Status.RESOLVED


def test_repeated_shapes_compile_once() -> None:
    def run(shift: float) -> None:
        cliff.loss(np.linspace(4, 6, 7) + shift, -2.5, steps=int(10 + shift))
        cliff.limit_loss(np.linspace(4, 6, 7) + shift, -2.5)
        cliff.wall(np.linspace(4, 6, 7) + shift)
        cliff.descend(4.75 + shift, -2.0, rate=0.1 + shift, updates=100, steps=int(20 + shift))

    run(0.0)
    with compilations() as fresh:
        run(1.0)
    assert fresh.count == 0


def test_loss_inside_jit_and_results_print() -> None:
    got = jax.jit(functools.partial(cliff.loss, steps=10))(jnp.array([5.0, 6.0]), -2.5)
    np.testing.assert_allclose(got.value, cliff.loss([5.0, 6.0], -2.5, steps=10).value, rtol=1e-12)
    for result in (got, cliff.wall(5.0), cliff.limit_loss(5.0, -2.4), cliff.loss(5.0, -2.4, steps=3)):
        assert len(repr(result)) < 200
    assert "RESOLVED" in repr(cliff.descend(4.75, -2.0, rate=0.1, updates=100))


def test_a_traced_loss_says_so() -> None:
    said = []

    def inside(w: jax.Array) -> jax.Array:
        found = cliff.loss(w, -2.5, steps=3)
        said.append(repr(found))
        return found.value

    jax.jit(inside)(5.0)
    assert said == ["Loss(shape=(), dtype=float64, traced)"]


def test_the_error_of_a_path_is_that_of_paths_from_all_floats_about_its_start() -> None:
    """A steep step brings two near starts to the same floats: from there they never part, while others do."""
    w, b, x0, target, rate = np.transpose(
        [
            (4.60, -2.378, 0.55, 0.72, 0.16),
            (5.10, -2.375, 0.89, 0.75, 0.16),
            (4.76, -2.387, 0.57, 0.73, 0.41),
            (4.43, -2.182, 0.28, 0.73, 0.38),
            (4.36, -2.151, 0.73, 0.73, 0.49),
        ]
    )
    options: dict = {"rate": rate, "x0": x0, "target": target, "updates": 40, "steps": 80}
    found = cliff.descend(w, b, **options)
    apart = np.zeros(len(w))
    for up, right in itertools.product([-9.0, 9.0], repeat=2):
        other = cliff.descend(np.nextafter(w, right), np.nextafter(b, up), **options)
        apart = np.maximum(apart, np.hypot(other.w - found.w, other.b - found.b).max(axis=0))
    assert (apart > 5e-12).all()
    assert (apart <= 16 * np.asarray(found.path_error).max(axis=0)).all()


BAD = [
    (lambda: cliff.loss(math.nan, 0, steps=1), ValueError, "w: expected finite"),
    (lambda: cliff.loss(5, "a", steps=1), TypeError, "b: expected real"),
    (lambda: cliff.loss(5, -2, steps=-1), ValueError, "steps"),
    (lambda: cliff.loss(5, -2, steps=2.5), TypeError, "steps"),
    (lambda: cliff.loss([1, 2], [1, 2, 3], steps=1), ValueError, "b: expected a shape"),
    (lambda: cliff.loss(5, -2, steps=1, model="cubic"), ValueError, "model: expected one of"),
    (lambda: cliff.loss(5, -2, steps=1, epsilon=0), ValueError, "epsilon"),
    (lambda: cliff.loss(5, -2, steps=1, epsilon=0.5, model="pascanu"), ValueError, "epsilon: expected 1"),
    (lambda: cliff.wall(5, x0=1.0), ValueError, "x0: expected a state"),
    (lambda: cliff.limit_loss(5, None), TypeError, "b: expected real"),
    (lambda: cliff.surface([], [1], steps=1), ValueError, "w: expected a non-empty axis"),
    (lambda: cliff.surface([1], [[1]], steps=1), ValueError, "b: expected a non-empty axis"),
    (lambda: cliff.profile([1.0], steps=[]), ValueError, "steps: expected at least one"),
    (lambda: cliff.profile([1.0], steps=3), TypeError, "steps: expected a sequence"),
    (lambda: cliff.profile([1.0], steps=[3], w=[1, 2]), ValueError, "w: expected one weight"),
    (lambda: cliff.descend(5, -2, updates=3), ValueError, "rate, optimizer: expected exactly one"),
    (lambda: cliff.descend(5, -2, updates=3, rate=1, optimizer=optax.sgd(1)), ValueError, "got both"),
    (lambda: cliff.descend(5, -2, updates=3, optimizer=3), TypeError, "optimizer: expected an optax"),
    (
        lambda: cliff.descend(5, -2, updates=3, optimizer=SimpleNamespace(init=tuple)),
        TypeError,
        "optimizer: expected an optax transformation",
    ),
    (
        lambda: cliff.descend(5, -2, updates=3, optimizer=SimpleNamespace(update=tuple)),
        TypeError,
        r"optimizer: expected an optax transformation \(init, update\)",
    ),
    (lambda: cliff.descend(5, -2, updates=-3, rate=1), ValueError, "updates"),
    (lambda: cliff.descend(5, -2, updates=3, rate=-1), ValueError, "rate: expected positive"),
    (lambda: cliff.descend(5, -2, updates=3, rate=[1, -1]), ValueError, "rate: expected positive numbers"),
    (lambda: cliff.descend(5, -2, updates=3, rate=1, clip=0), ValueError, "clip: expected positive"),
    (lambda: cliff.descend(5, -2, updates=3, rate=1, clip=math.nan), ValueError, "clip: expected finite"),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD)
def test_bad_input(call, error: type[Exception], message: str) -> None:
    start = time.perf_counter()
    with pytest.raises(error, match=message):
        call()
    assert time.perf_counter() - start < 0.5


@pytest.mark.parametrize("threshold", [0, -1, math.nan, "x"])
def test_bad_thresholds(threshold) -> None:
    surface = cliff.surface([5.0], [-2.0], steps=1)
    with pytest.raises((ValueError, TypeError), match="threshold"):
        surface.steep_share(threshold)
