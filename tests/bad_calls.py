"""A small valid call of every public function, and what each argument may be given by mistake."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import rnn_dynamics as rd
from rnn_dynamics import training
from rnn_dynamics.cells import LSTM, DoyaNeuron, ElmanRNN, PiecewiseLinearRNN, ResidualRNN, SkipRNN

__all__ = ["CALLS", "MISTAKES", "given"]

#: Of each kind of argument the mistakes: a name and the value.
MISTAKES: dict[str, dict[str, Any]] = {
    "array": {
        "rank": np.zeros((2, 2, 2, 2, 2)),
        "nan": np.array([np.nan, 0.5]),
        "complex": np.array([0.5j, 0.5]),
        "none": None,
        "empty": np.zeros((0, 3)),
        "ragged": [[0.5], [0.5, 0.5]],
        "text": "half",
    },
    # Any shape will do: all arrays broadcast.
    "grid": {
        "nan": np.array([np.nan, 0.5]),
        "complex": np.array([0.5j, 0.5]),
        "none": None,
        "ragged": [[0.5], [0.5, 0.5]],
        "text": "half",
    },
    "number": {"rank": np.zeros(2), "nan": np.nan, "complex": 1j, "none": None, "empty": [], "text": "half"},
    "count": {"rank": [3, 4], "nan": np.nan, "fraction": 2.5, "none": None, "negative": -1, "text": "three"},
    "trajectory": {"none": None, "number": 3, "array": np.zeros((4, 2)), "text": "run", "empty": []},
    "cell": {"none": None, "number": 3, "array": np.eye(2), "text": "tanh", "list": [np.eye(2)]},
    "function": {"none": None, "number": 3, "array": np.eye(2), "text": "loss"},
    "name": {"none": None, "number": 3, "unknown": "no such", "empty": "", "list": ["a"]},
    # Looked at after another argument, which is wrong too.
    "any": {},
    "path": {"none": None, "number": 3, "list": []},
    "folder": {"number": 3, "list": []},
}


def _family(p: Any, q: Any = 1.0) -> Any:
    return jax.tree_util.Partial(lambda p, q, x, u: q * p * x * (1 - x), p, q)


def _loss(x: Any) -> Any:
    return jnp.sum(x**2)


@functools.cache
def given() -> dict[str, Any]:
    """What the calls are made with, computed once."""
    cell = ElmanRNN(0.5 * np.eye(2), np.zeros(2))
    run = rd.rollout(cell, np.array([0.1, 0.2]), steps=8)
    weights = 0.5 * np.eye(2), np.zeros(2), np.eye(2)
    several = {
        "of inputs": ElmanRNN(*weights),
        "of parts": LSTM(np.zeros((8, 2)), np.zeros(8), np.zeros((8, 2))),
        "of skips": SkipRNN(weights[0], 0.1 * np.eye(2), *weights[1:]),
        "of branches": ResidualRNN(*weights),
    }
    runs = {name: rd.rollout(one, None, np.ones((8, 2))) for name, one in several.items()}
    both = several["of inputs"], several["of inputs"]
    return {
        **runs,
        "of both directions": rd.Bidirectional([both]).run(np.ones((8, 2))),
        "cell": cell,
        "driven": several["of inputs"],
        "framework": lambda u: rd.rollout(several["of inputs"], None, u).states[1:],
        "neuron": DoyaNeuron(w=5.0, b=-2.0),
        "of w": lambda w: w**2,
        "plan": training.Plan(training.task("parity", 5), training.recipe(), units=2),
        "run": run,
        "verdict": rd.diagnose(run),
        "piecewise": PiecewiseLinearRNN(0.5 * np.ones(2), np.zeros((2, 2)), np.zeros(2)),
        "batch": jax.vmap(lambda x: rd.rollout(cell, x, steps=8))(jnp.full((3, 2), 0.1)),
        "key": jax.random.key(0),
        "family": _family,
        "loss": _loss,
        "vector": np.array([1.0, 0.5]),
    }


_RUN = {"trajectory": ("trajectory", "run")}
_BOTH = {"run": ("trajectory", "of both directions")}
_NEURON = {"w": ("grid", 5.0), "b": ("grid", -2.0)}
_EXPLORED = dict.fromkeys(("w", "b", "epsilon", "x0"), ("number", 0.5))
_CLIFF_EXPLORED = {
    **_EXPLORED,
    **dict.fromkeys(("target", "rate", "clip"), ("number", 0.5)),
    **dict.fromkeys(("steps", "updates"), ("count", 3)),
    "theme": ("name", "dark"),
}
_CURVE = {"family": ("function", "family"), "x": ("array", 0.5)}
_SADDLE = {"cell": ("cell", "cell"), "point": ("array", "vector"), "length": ("number", 1.0)}

#: Of each public function a valid call: of each argument its kind, and the value or the name of one in ``given``.
CALLS: dict[str, dict[str, tuple[str, Any]]] = {
    "atlases.draw": {"found": ("trajectory", None)},
    "atlases.make": {
        "name": ("name", "gated"),
        "store": ("folder", None),
        "chunk": ("count", 2),
        "points": ("count", 2),
        "steps": ("count", 3),
        "gain": ("array", [0.5]),
    },
    "atlases.read": {"path": ("path", "x.zarr")},
    "basins": {"cell": ("cell", "cell"), "starts": ("array", np.zeros((2, 2))), "max_steps": ("count", 10)},
    "bifurcation_curve": {
        **_CURVE,
        "kind": ("name", "flip"),
        "parameters": ("array", (3.0, 1.0)),
        "ranges": ("array", ((2.0, 4.0), (0.5, 2.0))),
        "longest": ("number", 0.1),
        "max_points": ("count", 10),
    },
    "cells.deep_parameters": {"depth": ("count", 2), "units": ("count", 2), "gain": ("number", 1.0)},
    "cells.irnn": {"b": ("array", np.zeros(2))},
    "cells.random_rnn": {"n": ("count", 2), "ensemble": ("name", "gaussian"), "form": ("name", "elman")},
    "cells.rollout": {"cell": ("cell", "cell"), "x0": ("array", "vector"), "steps": ("count", 3)},
    "cliff.along": {
        "family": ("function", "family"),
        "loss": ("function", "loss"),
        "path": ("array", (2.5, 3.5)),
        "x0": ("array", 0.3),
        "steps": ("count", 5),
        "points": ("count", 5),
    },
    "cliff.descend": {**_NEURON, "updates": ("count", 3), "rate": ("grid", 0.1), "steps": ("count", 5)},
    "cliff.limit_loss": {**_NEURON, "model": ("name", "geometric"), "epsilon": ("grid", 1.0)},
    "cliff.loss": {**_NEURON, "steps": ("count", 5), "model": ("name", "pascanu")},
    "cliff.profile": {"b": ("array", np.array([-2.0, -1.0])), "steps": ("count", [3]), "w": ("number", 5.0)},
    "cliff.surface": {"w": ("array", [5.0]), "b": ("array", [-2.0]), "steps": ("count", 5)},
    "cliff.wall": {"w": ("grid", 5.0), "model": ("name", "geometric")},
    "continue_branch": {
        **_CURVE,
        "p": ("number", 2.5),
        "p_range": ("array", (2.0, 3.0)),
        "longest": ("number", 0.1),
    },
    "covariant_vectors": {**_RUN, "exponents": ("count", 1)},
    "credit_by_lag": {**_RUN, "loss": ("function", "loss"), "max_lag": ("count", 3)},
    "diagnose": {**_RUN, "dt": ("number", 1.0)},
    "doya.basin_label": {**_NEURON, "x0": ("grid", 0.5), "epsilon": ("grid", 1.0)},
    "doya.bifurcation_diagram": {"w": ("number", 5.0), "b": ("array", np.array([-3.0, -2.0]))},
    "doya.equilibria": {**_NEURON, "epsilon": ("grid", 1.0)},
    "doya.finite_ratios": {**_NEURON, "x0": ("grid", 0.5), "steps": ("count", 3), "dx0": ("grid", 1e-3)},
    "doya.flips": {"w": ("grid", -5.0), "epsilon": ("grid", 1.0)},
    "doya.flow": {**_NEURON, "x0": ("array", 0.5), "time": ("array", np.array([0.0, 1.0]))},
    "doya.fold_window": {"w": ("grid", 5.0)},
    "doya.folds": {"w": ("grid", 5.0)},
    "doya.multiplier": {"w": ("grid", 5.0), "x": ("grid", 0.5)},
    "doya.sensitivities": {**_NEURON, "x0": ("grid", 0.5), "steps": ("count", 3)},
    "doya.two_cycle": _NEURON,
    "doya.wall": {"w": ("grid", 5.0), "x0": ("grid", 0.5)},
    "dynamics.all_fixed_points": {"cell": ("cell", "neuron"), "tolerance": ("number", 1e-9)},
    "dynamics.bifurcation_parameter": {**_CURVE, "kind": ("name", "flip"), "p": ("number", 3.0)},
    "dynamics.continue_branches": {
        **_CURVE,
        "p": ("number", 2.5),
        "q": ("array", [1.0]),
        "p_range": ("array", (2.0, 3.0)),
        "longest": ("number", 0.1),
    },
    "dynamics.edge_state": {
        "cell": ("cell", "cell"),
        "low": ("array", "vector"),
        "high": ("array", "vector"),
    },
    "dynamics.find_attractors": {"cell": ("cell", "cell"), "starts": ("array", np.zeros((2, 2)))},
    "dynamics.finite_time_exponents": {
        "cell": ("cell", "cell"),
        "starts": ("array", np.zeros((2, 2))),
        "steps": ("count", 5),
        "exponents": ("count", 1),
    },
    "dynamics.fixed_points": {
        "cell": ("cell", "cell"),
        "starts": ("array", np.zeros((2, 2))),
        "period": ("count", 1),
        "tolerance": ("number", 1e-9),
        "max_steps": ("count", 5),
        "orbits": ("count", 5),
    },
    "dynamics.fractions_along": {
        "family": ("function", "family"),
        "parameters": ("array", [2.5]),
        "starts": ("array", np.zeros(3)),
    },
    "dynamics.lyapunov_spectrum": {**_RUN, "exponents": ("count", 1), "blocks": ("count", 2)},
    "dynamics.orbit_check": {**_RUN, "start": ("count", 0)},
    "dynamics.orbit_diagram": {
        "family": ("function", "family"),
        "parameters": ("array", [2.5]),
        "x0": ("array", 0.3),
        "transient": ("count", 3),
        "kept": ("count", 2),
    },
    "dynamics.piecewise_linear_cycles": {"cell": ("cell", "piecewise"), "period": ("count", 1)},
    "dynamics.stable_set": _SADDLE,
    "dynamics.starts_from": {"trajectories": ("trajectory", "run"), "number": ("count", 3)},
    "dynamics.switch_branch": {"branch": ("trajectory", "run"), "event": ("any", None)},
    "dynamics.unstable_set": _SADDLE,
    "edge_of_chaos": {
        "biases": ("array", [0.0]),
        "bias_std": ("number", 0.0),
        "largest_gain": ("number", 20.0),
    },
    "explore.cliff": {**_CLIFF_EXPLORED},
    "explore.cliff_page": {**_CLIFF_EXPLORED},
    "explore.attractors": {
        "cell": ("cell", "cell"),
        "starts": ("array", np.zeros((2, 2))),
        "steps": ("count", 3),
    },
    "explore.gradients": {
        "units": ("count", 4),
        "steps": ("count", 5),
        "seed": ("count", 0),
        "activation": ("name", "tanh"),
        **dict.fromkeys(
            ("spectral_radius", "gain", "bias", "leak", "input_size", "start_size"), ("number", 0.5)
        ),
    },
    "explore.network": {"verdict": ("trajectory", "verdict")},
    "explore.neuron": {**_EXPLORED, "steps": ("count", 3), "theme": ("name", "dark")},
    "explore.page": {**_EXPLORED, "steps": ("count", 3), "theme": ("name", "dark")},
    "gradient_norms": {**_RUN, "stop": ("count", 4), "ord": ("name", "fro")},
    "gradients.credit_by_signed_lag": {**_BOTH, "loss": ("function", "loss"), "ends": ("count", 3)},
    "gradients.credit_by_probes": {"network": ("function", "loss"), "probes": ("array", np.zeros((3, 2)))},
    "gradients.credit_of_samples": {"batch": ("trajectory", "batch"), "loss": ("function", "loss")},
    "gradients.input_norms": {"trajectory": ("trajectory", "of inputs"), "ord": ("name", "fro")},
    "gradients.jacobian_product": {**_RUN, "start": ("count", 1), "stop": ("count", 4)},
    "gradients.jacobian_products": {**_RUN, "stop": ("count", 4)},
    "gradients.output_jacobians": {**_BOTH, "at": ("count", 3), "of": ("name", "output")},
    "gradients.output_norms": {**_BOTH, "at": ("count", 3), "probes": ("count", 2), "ord": ("name", "fro")},
    "gradients.output_pullback": {**_BOTH, "cotangent": ("array", np.ones((8, 4))), "of": ("name", "output")},
    "gradients.output_pushforward": {
        **_BOTH,
        "tangent": ("array", np.ones((8, 2))),
        "of": ("name", "output"),
    },
    "gradients.parameter_gradient": {**_RUN, "cotangent": ("array", "vector")},
    "gradients.part_norms": {"trajectory": ("trajectory", "of parts"), "of": ("name", "hidden")},
    "gradients.partial_sums": {**_RUN, "cotangent": ("array", "vector")},
    "gradients.past_norms": {"trajectory": ("trajectory", "of skips")},
    "gradients.path_lengths": {"trajectory": ("trajectory", "of branches"), "loss": ("function", "loss")},
    "gradients.pullback": {**_RUN, "cotangent": ("array", "vector"), "stop": ("count", 4)},
    "gradients.pushforward": {**_RUN, "tangent": ("array", "vector"), "start": ("count", 1)},
    "gradients.readout_norms": {**_RUN, "readout": ("array", np.ones((1, 2)))},
    "gradients.sensitivities": {
        "family": ("function", "family"),
        "parameters": ("array", (2.5,)),
        "x0": ("array", 0.3),
        "steps": ("count", 3),
    },
    "gradients.singular_spectrum": {**_RUN, "start": ("count", 1), "stop": ("count", 4)},
    "gradients.spectra_by_lag": {**_RUN, "lags": ("array", [1, 2])},
    "gradients.spectral_norms": {**_RUN, "tolerance": ("number", 1e-9), "max_iterations": ("count", 3)},
    "gradients.state_gradients": {
        "cell": ("cell", "cell"),
        "x0": ("array", "vector"),
        "loss": ("function", "loss"),
        "steps": ("count", 3),
    },
    "gradients.states_along": {**_RUN, "direction": ("array", "vector"), "amplitudes": ("array", [0.1])},
    "gradients.step_jacobian": {"cell": ("cell", "cell"), "x": ("array", "vector")},
    "gradients.step_jacobians": {**_RUN, "start": ("count", 1), "stop": ("count", 4)},
    "interop.audit": {
        "module": ("trajectory", "framework"),
        "inputs": ("array", np.ones((4, 2))),
        "cell": ("cell", "driven"),
        "x0": ("array", np.zeros(2)),
        "readout": ("any", None),
        "framework": ("name", "jax"),
        "probes": ("count", 2),
        "checks": ("count", 1),
        "tolerance": ("number", 1e-3),
        "kind": ("any", None),
        "prefix": ("any", None),
        "layer": ("any", None),
        "direction": ("any", None),
        "activation": ("any", None),
    },
    "interop.check": {
        "cell": ("cell", "driven"),
        "inputs": ("array", np.ones((3, 2))),
        "output": ("array", np.ones((3, 2))),
        "x0": ("array", "vector"),
        "tolerance": ("number", 1e-3),
    },
    "interop.from_brainpy": {"source": ("trajectory", "run")},
    "interop.from_equinox": {"source": ("trajectory", "run")},
    "interop.from_flax": {"source": ("trajectory", "run")},
    "interop.from_haiku": {"source": ("trajectory", "run")},
    "interop.from_keras": {"source": ("trajectory", "run")},
    "interop.from_keras_lmu": {"source": ("trajectory", "run")},
    "interop.from_reservoirpy": {"source": ("trajectory", "run")},
    "interop.from_mlx": {"source": ("trajectory", "run")},
    "interop.from_module": {"source": ("trajectory", "run")},
    "interop.from_ncps": {"source": ("trajectory", "run"), "dt": ("number", 1.0)},
    "interop.from_norse": {"source": ("trajectory", "run")},
    "interop.from_snntorch": {"source": ("trajectory", "run")},
    "interop.from_onnx": {"source": ("trajectory", "run")},
    "interop.from_torch": {"source": ("trajectory", "run")},
    "interop.from_unirep": {"source": ("trajectory", "run")},
    "interop.load": {"path": ("path", "x.npz")},
    "interop.onnx_initial_state": {"source": ("trajectory", "run")},
    "interop.read_keras": {"path": ("path", "x.h5")},
    "interop.read_npz": {"path": ("path", "x.npz")},
    "interop.read_safetensors": {"path": ("path", "x.safetensors")},
    "joint_spectral_radius": {
        "matrices": ("array", np.zeros((2, 2, 2))),
        "tolerance": ("number", 1e-2),
        "budget": ("count", 5),
    },
    "keep_programs": {"folder": ("folder", "programs"), "megabytes": ("number", 8.0)},
    "load": {"path": ("path", "x.npz")},
    "mean_field": {"gain": ("grid", 1.0), "bias": ("grid", 0.0), "bias_std": ("grid", 0.0)},
    "non_normality": {"matrix": ("array", np.eye(2))},
    "power_norms": {"matrix": ("array", np.eye(2)), "steps": ("count", 3)},
    "product_bounds": _RUN,
    "pseudospectrum": {
        "matrix": ("array", np.eye(2)),
        "real": ("array", [0.0]),
        "imaginary": ("array", [0.0]),
    },
    "slope_radius": {"W": ("array", np.eye(2)), "low": ("array", 0.0), "high": ("array", 1.0)},
    "spectral.absolute_radius": {"W": ("array", np.eye(2))},
    "spectral.counterexamples": {"chaotic_steps": ("count", 3)},
    "spectral.eigenvalue_conditions": {"square": ("array", np.eye(2))},
    "spectral.held": {"cell": ("cell", "cell"), "state": ("array", "vector"), "steps": ("count", 3)},
    "spectral.radius_sweep": {
        "radii": ("array", [0.9]),
        "biases": ("array", [0.0]),
        "n": ("count", 2),
        "steps": ("count", 3),
    },
    "spectral.scaled_bounds": {
        "W": ("array", np.eye(2)),
        "lags": ("array", [1]),
        "slope_bound": ("number", 1.0),
    },
    "spectral.slope_corners": {"W": ("array", np.eye(2)), "low": ("array", 0.0), "high": ("array", 1.0)},
    "spectral.step_bounds": _RUN,
    "sweep": {"function": ("function", "of w"), "axes": ("trajectory", {"w": [0.0]}), "chunk": ("count", 2)},
    "training.compare": {
        "remedies": ("name", "plain"),
        "tasks": ("name", "parity"),
        "preset": ("name", "quick"),
    },
    "training.load_comparison": {"path": ("path", "x.npz")},
    "training.published_lengths": {"name": ("name", "parity")},
    "training.recipe": {"base": ("trajectory", None)},
    "training.task": {"name": ("name", "parity"), "length": ("count", 5)},
    "training.train": {"plan": ("trajectory", "plan"), "seeds": ("array", [0]), "updates": ("count", 1)},
}
