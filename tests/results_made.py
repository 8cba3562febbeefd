"""One small result of every kind, made by the public functions; names are the classes'."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import rnn_dynamics as rd
from rnn_dynamics.cells import ResidualRNN, SkipRNN
from rnn_dynamics.dynamics.basins import edge_state, fractions_along
from rnn_dynamics.dynamics.bifurcations import bifurcation_curve
from rnn_dynamics.dynamics.equilibria import fixed_points
from rnn_dynamics.figures import stored
from rnn_dynamics.training.studies.depth import DeepNetwork, DeepRuns
from rnn_dynamics.training.studies.events_along_training import AlongTraining, Coincidences, PathEvent
from rnn_dynamics.training.studies.latch_runs import LatchConvergence


def two_units() -> rd.ElmanRNN:
    """Two stable points and a saddle between them."""
    return rd.ElmanRNN(np.array([[1.5, 0.2], [0.1, 0.6]]), np.zeros(2), activation="tanh")


def six_units() -> rd.ElmanRNN:
    weights = 0.4 * np.random.default_rng(1).normal(size=(6, 6)) / np.sqrt(6) + 1.4 * np.outer(*[_SIGNS] * 2)
    return rd.ElmanRNN(weights, np.zeros(6), np.ones((6, 1)) / 4, activation="tanh")


_SIGNS = np.array([1.0, -1, 1, 1, -1, 1]) / np.sqrt(6)


def _doya(b: Any) -> rd.DoyaNeuron:
    return rd.DoyaNeuron(5.0, b)


def _plane(b: Any, w: Any) -> rd.DoyaNeuron:
    return rd.DoyaNeuron(w, b)


def _square(x: Any) -> Any:
    return jnp.sum(jnp.square(x))


@functools.cache
def runs() -> dict[str, rd.Trajectory]:
    inputs = np.sin(np.arange(12.0))[:, None]
    return {
        "two": rd.rollout(two_units(), np.array([0.3, -0.4]), steps=12),
        "six": rd.rollout(six_units(), 0.1 * np.arange(6.0), inputs),
        "one": rd.rollout(_doya(-2.4), 0.3, steps=12),
    }


@functools.cache
def both_ways() -> Any:
    """A run in both directions."""
    cells = [
        rd.ElmanRNN(0.5 * np.eye(2), np.zeros(2), sign * np.eye(2), activation="tanh") for sign in (1, -1)
    ]
    return rd.Bidirectional(cells).run(np.sin(np.arange(24.0)).reshape(12, 2))


def _states() -> dict[str, Any]:
    two = runs()["two"]
    starts = np.array([[0.5, 0.2], [-0.5, 0.1], [0.01, 0.0], [0.4, -0.6]])
    found = fixed_points(two_units(), starts)
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, 8), np.linspace(-1, 1, 8), indexing="ij"), axis=-1)
    labels = rd.basins(two_units(), grid)
    made = {"Trajectory": two, "FixedPoints": found, "Eigenvectors": found.eigenvectors()}
    made["OrbitEnds"] = found.ends
    made |= {"BasinLabels": labels, "Attractors": labels.attractors, "Fractions": labels.fractions()}
    ghost = fixed_points(lambda x, _: x + 0.05 * (x**2 + 0.01), np.array([[0.3], [0.1], [-0.2]]))
    made |= {"SlowPoints": ghost.slow, "UncertaintyExponent": labels.uncertainty_exponent(distances=(1, 2))}
    made["EdgeState"] = edge_state(
        two_units(), np.array([-0.5, 0.1]), np.array([0.5, 0.2]), labels.attractors
    )
    made["FractionsAlong"] = fractions_along(_leaky, np.linspace(1.2, 1.6, 3), starts)
    saddle = found.points[found.kind.index("saddle")]
    unstable = rd.unstable_set(two_units(), saddle, length=0.3)
    return made | {"InvariantSet": unstable, "Side": unstable.sides[0]}


def _leaky(g: Any) -> Any:
    return rd.ElmanRNN(g * jnp.eye(2), jnp.zeros(2), activation="tanh")


def _branches() -> dict[str, Any]:
    branch = rd.continue_branch(_doya, 0.1, -2.4, p_range=(-3.0, -2.0))
    several = rd.dynamics.continue_branches(
        _plane, 0.1, -2.4, np.array([4.5, 5.0]), p_range=(-3.0, -2.0), longest=0.1
    )
    fold = bifurcation_curve(_plane, "fold", 0.3, (-2.35, 5.0), ranges=((-3.5, -1.5), (4.2, 6.0)))
    diagram = rd.doya.bifurcation_diagram(5.0, np.linspace(-3, -2, 21))
    orbits = rd.orbit_diagram(_doya, np.linspace(-3, -2, 5), 0.3, transient=20, kept=4)
    made = {"Branch": branch, "Branches": several, "SpecialPoint": branch.events[0], "BifurcationCurve": fold}
    return made | {"BifurcationDiagram": diagram, "NeuronBranch": diagram.branches[0], "OrbitDiagram": orbits}


def _doya_numbers() -> dict[str, Any]:
    b = jnp.linspace(-3, -2, 5)
    made = {"Equilibria": rd.doya.equilibria(5.0, b), "Folds": rd.doya.folds(jnp.array([3.0, 5.0]))}
    made |= {"Flips": rd.doya.flips(jnp.array([-9.0, -6.0]), 1.0), "TwoCycle": rd.doya.two_cycle(-9.0, 4.5)}
    made |= {"FiniteRatios": rd.doya.finite_ratios(5.0, b, 0.3, 6), "Flow": rd.doya.flow(5.0, -2.4, 0.3, 2.0)}
    made["Sensitivities"] = rd.doya.sensitivities(5.0, b, 0.3, 6)
    surface = rd.cliff.surface(jnp.linspace(4, 6, 4), jnp.linspace(-3, -2, 5), steps=6)
    profile = rd.cliff.profile(jnp.linspace(-3, -2, 9), w=5.0, steps=(2, 6))
    made |= {"Surface": surface, "Profile": profile, "Loss": surface.loss, "Wall": surface.wall}
    made |= {"LimitLoss": profile.limit, "Descent": rd.cliff.descend(5.0, -2.4, steps=6, updates=4, rate=0.1)}
    along = rd.cliff.along(_doya, _square, (-2.7, -2.3), 0.5, steps=8, points=9)
    return made | {"LossAlong": along, "Jump": along.jumps[0]}


def _spectra() -> dict[str, Any]:
    two, six = runs()["two"], runs()["six"]
    bounds = rd.product_bounds(two)
    made = {"Bounds": bounds, "Bound": bounds.entries()[0], "StepBounds": rd.spectral.step_bounds(two)}
    made |= {"Scaled": rd.jacobian_products(two), "SingularSpectrum": rd.singular_spectrum(six)}
    made["Shares"] = made["SingularSpectrum"].shares()
    made |= {"SpectraByLag": rd.spectra_by_lag(six, [0, 3, 12]), "SpectralNorms": rd.spectral_norms(six)}
    made |= {
        "LyapunovSpectrum": rd.lyapunov_spectrum(six, blocks=4),
        "CovariantVectors": rd.covariant_vectors(six),
    }
    grid = np.random.default_rng(0).normal(size=(3, 4, 2))
    made["OrbitCheck"] = rd.dynamics.lyapunov.orbit_check(six)
    made["FiniteTimeExponents"] = rd.finite_time_exponents(two_units(), grid, steps=5)
    made["JointRadius"] = rd.joint_spectral_radius(
        [np.array([[1.0, 1], [0, 1]]), np.array([[1.0, 0], [1, 1]])]
    )
    made["ScaledBounds"] = rd.spectral.scaled_bounds(np.array([[0.5, 2.0], [0.0, 0.4]]), [0, 1, 5])
    matrix = np.array([[0.9, 3.0], [0.0, 0.8]])
    made |= {"NonNormality": rd.non_normality(matrix), "PowerNorms": rd.power_norms(matrix, 10)}
    made["Pseudospectrum"] = rd.pseudospectrum(matrix, np.linspace(-1, 2, 7), np.linspace(-1, 1, 5))
    made |= {"MeanField": rd.mean_field(1.5), "Edge": rd.edge_of_chaos(np.array([0.0, 0.3]))}
    made["StatesAlong"] = rd.states_along(two, np.array([1.0, 0.0]), np.array([1e-3, 1e-2]))
    made["RadiusSweep"] = rd.spectral.radius_sweep((0.8, 1.2), n=3, seeds=(0, 1), steps=6)
    made["Counterexample"] = rd.spectral.counterexamples()[0]
    made["Sweep"] = rd.sweep(
        lambda a, b: {"sum": a + b, "product": a * b}, {"a": [1.0, 2.0], "b": [3.0, 4.0, 5.0]}
    )
    return made


def _credit() -> dict[str, Any]:
    two, six = runs()["two"], runs()["six"]
    made = {"CreditByLag": rd.credit_by_lag(six, _square), "PartialSums": rd.partial_sums(two, np.ones(2))}
    residual = ResidualRNN(0.3 * np.eye(2), np.zeros(2))
    made["PathLengths"] = rd.gradients.path_lengths(
        rd.rollout(residual, np.array([0.2, 0.5]), steps=5), _square
    )
    skip = SkipRNN(0.5 * np.eye(2), 0.2 * np.eye(2), np.zeros(2), skip=3)
    made["PastNorms"] = rd.gradients.past_norms(rd.rollout(skip, np.full(6, 0.1), steps=6))
    made["ProbedCredit"] = rd.gradients.credit_by_probes(_probed, np.zeros((5, 2)))
    several = jax.vmap(lambda x: rd.rollout(six_units(), x, steps=6))(0.1 * jnp.arange(18.0).reshape(3, 6))
    made["CreditOfSamples"] = rd.gradients.credit_of_samples(several, _square)
    both = both_ways()
    made |= {"BidirectionalRun": both, "SignedNorms": rd.gradients.output_norms(both)}
    made["CreditBySignedLag"] = rd.gradients.credit_by_signed_lag(both, _square)
    return made


def _probed(probes: Any) -> Any:
    x, cell = jnp.array([0.3, -0.4]), two_units()
    for probe in probes:
        x = cell(x, None) + probe
    return _square(x)


def _verdicts() -> dict[str, Any]:
    starts = 0.1 * jnp.arange(12.0).reshape(2, 6)
    several = jax.vmap(lambda x: rd.rollout(six_units(), x, steps=12))(starts)
    tracker = rd.Tracker(every=1, share=1.0)
    for step in range(3):
        tracker(step, two_units(), np.array([0.3, -0.4]), steps=12)
    made = {"Diagnosis": rd.diagnose(runs()["six"], _square), "BatchDiagnosis": rd.diagnose(several)}
    made["BidirectionalDiagnosis"] = rd.diagnose(both_ways())
    made |= {"Tracker": tracker, "Spread": made["BatchDiagnosis"].spread["exponent"]}
    relu = rd.ElmanRNN(two_units().W, np.ones(2), np.eye(2), activation="relu")
    truth = rd.rollout(relu, np.zeros(2), np.eye(2)).states[1:]
    made["Audit"] = rd.interop.audit(
        lambda u: rd.rollout(relu, None, u).states[1:], np.ones((6, 2)), cell=relu, probes=1, checks=1
    )
    made["Agreement"] = rd.interop.check(rd.ElmanRNN(relu.W, relu.b, relu.W_in), np.eye(2), truth)
    driven = rd.ElmanRNN(two_units().W, np.zeros(2), np.ones((2, 1)) / 4, activation="tanh")
    lists = rd.rollout(driven, np.array([0.3, -0.4]), [np.ones((5, 1)), np.ones((8, 1))])
    return made | {"Trajectories": lists}


def _training() -> dict[str, Any]:
    """What training returns takes minutes; the comparison comes with the library, the others are filled in."""
    with stored.path("remedies") as path:
        comparison = rd.load(path)
    made = {"Comparison": comparison, "ComparisonRow": comparison.rows[0]}
    points = fixed_points(two_units(), np.array([[0.5, 0.2], [-0.5, 0.1], [0.01, 0.0]]))
    event = rd.continue_branch(_doya, 0.1, -2.4, p_range=(-3.0, -2.0)).events[0]
    made["AlongTraining"] = AlongTraining((points, points), (PathEvent(0.5, "fold", 2, 1, 0, event),), 0)
    made["Coincidences"] = Coincidences(3, 4, 0.5, 0.01, 0.02)
    network = DeepNetwork({"W": jnp.ones((2, 3, 3)), "b": jnp.zeros((2, 3))}, jnp.ones((2, 3)), jnp.zeros(2))
    counts = np.array([[5, 7], [9, 3]])
    made["DeepRuns"] = DeepRuns("skip", network, network, np.array([0.1, 1.0]), counts, counts / 20)
    shape, draw = (2, 3, 2, 4), np.random.default_rng(0)
    status = draw.choice([0, 4, 5], size=shape).astype(np.int32)
    made["LatchConvergence"] = LatchConvergence(
        np.array([10, 20]),
        np.array([1.05, 1.25, 1.5]),
        np.array([0.0, 0.2]),
        status,
        draw.integers(0, 99, shape),
        draw.normal(size=shape),
        draw.normal(size=(*shape, 2, 20)),
        np.array([0, 50]),
        draw.normal(size=(*shape, 2)),
    )
    return made


MAKERS = {
    "states": _states,
    "branches": _branches,
    "neuron": _doya_numbers,
    "spectra": _spectra,
    "credit": _credit,
    "verdicts": _verdicts,
    "training": _training,
}


@functools.cache
def group(name: str) -> dict[str, Any]:
    """The results of one maker, made once in a process."""
    return MAKERS[name]()
