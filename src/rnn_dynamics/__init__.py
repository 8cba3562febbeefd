"""Where gradients go in recurrent networks, and why: exact Jacobian products, bifurcations and loss cliffs.

The names a user meets first are here; the rest is reached through its module (``rnn_dynamics.doya``, …).
Nothing is loaded before it is asked for, so that importing costs little and changes nothing.
"""

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

from rnn_dynamics._version import __version__

if TYPE_CHECKING:
    from rnn_dynamics import (
        activations,
        bifurcations,
        bounds,
        cells,
        cliff,
        continuation,
        credit,
        doya,
        eigen,
        equilibria,
        figures,
        interop,
        jacobians,
        joint_radius,
        lyapunov,
        manifolds,
        nonnormal,
        plots,
        results,
        scaled,
        scaling,
        spectra,
        spectral,
        status,
        storage,
        validation,
    )
    from rnn_dynamics.activations import Activation
    from rnn_dynamics.basins import BasinLabels, basins, find_attractors
    from rnn_dynamics.bifurcations import bifurcation_curve
    from rnn_dynamics.bounds import product_bounds
    from rnn_dynamics.cells import (
        GRU,
        LSTM,
        DoyaNeuron,
        ElmanRNN,
        LeakyRNN,
        PascanuNeuron,
        PiecewiseLinearRNN,
        PreActivationRNN,
        random_rnn,
    )
    from rnn_dynamics.continuation import continue_branch, continue_branches
    from rnn_dynamics.credit import (
        CreditByLag,
        credit_by_lag,
        credit_by_probes,
        credit_of_samples,
        input_norms,
        part_norms,
        partial_sums,
        path_lengths,
    )
    from rnn_dynamics.diagnose import Diagnosis, Tracker, diagnose
    from rnn_dynamics.equilibria import FixedPoints, fixed_points
    from rnn_dynamics.given import PrecisionWarning
    from rnn_dynamics.jacobians import (
        gradient_norms,
        jacobian_product,
        jacobian_products,
        pullback,
        pushforward,
        step_jacobians,
    )
    from rnn_dynamics.joint_radius import joint_spectral_radius, slope_radius
    from rnn_dynamics.lyapunov import (
        LyapunovSpectrum,
        covariant_vectors,
        finite_time_exponents,
        lyapunov_spectrum,
    )
    from rnn_dynamics.manifolds import stable_set, unstable_set
    from rnn_dynamics.mean_field import edge_of_chaos, mean_field
    from rnn_dynamics.neighbours import states_along
    from rnn_dynamics.nonnormal import non_normality, power_norms, pseudospectrum
    from rnn_dynamics.orbit_diagrams import orbit_diagram
    from rnn_dynamics.phases import SeamWarning
    from rnn_dynamics.results import load
    from rnn_dynamics.rollout import Trajectories, Trajectory, rollout
    from rnn_dynamics.scaled import Scaled
    from rnn_dynamics.scaling import absolute_radius, scaled_bounds
    from rnn_dynamics.sensitivities import sensitivities
    from rnn_dynamics.spectra import SingularSpectrum, singular_spectrum, spectra_by_lag
    from rnn_dynamics.spectral_norms import SpectralNorms, spectral_norms
    from rnn_dynamics.status import Status
    from rnn_dynamics.step_bounds import step_bounds
    from rnn_dynamics.sweep import sweep

__all__ = [
    "GRU",
    "LSTM",
    "Activation",
    "BasinLabels",
    "CreditByLag",
    "Diagnosis",
    "DoyaNeuron",
    "ElmanRNN",
    "FixedPoints",
    "LeakyRNN",
    "LyapunovSpectrum",
    "PascanuNeuron",
    "PiecewiseLinearRNN",
    "PreActivationRNN",
    "PrecisionWarning",
    "Scaled",
    "SeamWarning",
    "SingularSpectrum",
    "SpectralNorms",
    "Status",
    "Tracker",
    "Trajectories",
    "Trajectory",
    "__version__",
    "absolute_radius",
    "activations",
    "basins",
    "bifurcation_curve",
    "bifurcations",
    "bounds",
    "cells",
    "cliff",
    "continuation",
    "continue_branch",
    "continue_branches",
    "covariant_vectors",
    "credit",
    "credit_by_lag",
    "credit_by_probes",
    "credit_of_samples",
    "diagnose",
    "doya",
    "edge_of_chaos",
    "eigen",
    "equilibria",
    "figures",
    "find_attractors",
    "finite_time_exponents",
    "fixed_points",
    "gradient_norms",
    "input_norms",
    "interop",
    "jacobian_product",
    "jacobian_products",
    "jacobians",
    "joint_radius",
    "joint_spectral_radius",
    "load",
    "lyapunov",
    "lyapunov_spectrum",
    "manifolds",
    "mean_field",
    "non_normality",
    "nonnormal",
    "orbit_diagram",
    "part_norms",
    "partial_sums",
    "path_lengths",
    "plots",
    "power_norms",
    "product_bounds",
    "pseudospectrum",
    "pullback",
    "pushforward",
    "random_rnn",
    "results",
    "rollout",
    "scaled",
    "scaled_bounds",
    "scaling",
    "sensitivities",
    "singular_spectrum",
    "slope_radius",
    "spectra",
    "spectra_by_lag",
    "spectral",
    "spectral_norms",
    "stable_set",
    "states_along",
    "status",
    "step_bounds",
    "step_jacobians",
    "storage",
    "sweep",
    "unstable_set",
    "validation",
]

_NAMES_OF_MODULE = {
    "activations": ["Activation"],
    "basins": ["BasinLabels", "basins", "find_attractors"],
    "bifurcations": ["bifurcation_curve"],
    "bounds": ["product_bounds"],
    "cells": [
        "GRU",
        "LSTM",
        "DoyaNeuron",
        "ElmanRNN",
        "LeakyRNN",
        "PascanuNeuron",
        "PiecewiseLinearRNN",
        "PreActivationRNN",
        "random_rnn",
    ],
    "continuation": ["continue_branch", "continue_branches"],
    "credit": [
        "CreditByLag",
        "credit_by_lag",
        "credit_by_probes",
        "credit_of_samples",
        "input_norms",
        "part_norms",
        "partial_sums",
        "path_lengths",
    ],
    "diagnose": ["Diagnosis", "Tracker", "diagnose"],
    "equilibria": ["FixedPoints", "fixed_points"],
    "given": ["PrecisionWarning"],
    "jacobians": [
        "gradient_norms",
        "jacobian_product",
        "jacobian_products",
        "pullback",
        "pushforward",
        "step_jacobians",
    ],
    "joint_radius": ["joint_spectral_radius", "slope_radius"],
    "step_bounds": ["step_bounds"],
    "lyapunov": [
        "LyapunovSpectrum",
        "covariant_vectors",
        "finite_time_exponents",
        "lyapunov_spectrum",
    ],
    "manifolds": ["stable_set", "unstable_set"],
    "mean_field": ["edge_of_chaos", "mean_field"],
    "neighbours": ["states_along"],
    "nonnormal": ["non_normality", "power_norms", "pseudospectrum"],
    "orbit_diagrams": ["orbit_diagram"],
    "results": ["load"],
    "phases": ["SeamWarning"],
    "rollout": ["Trajectories", "Trajectory", "rollout"],
    "scaled": ["Scaled"],
    "scaling": ["absolute_radius", "scaled_bounds"],
    "sensitivities": ["sensitivities"],
    "spectra": ["SingularSpectrum", "singular_spectrum", "spectra_by_lag"],
    "spectral_norms": ["SpectralNorms", "spectral_norms"],
    "status": ["Status"],
    "sweep": ["sweep"],
}
_MODULE_OF_NAME = {name: module for module, names in _NAMES_OF_MODULE.items() for name in names}


class _Package(types.ModuleType):
    """The package's own type: where a function has its module's name, the attribute is the function.

    The import system sets a submodule as attribute of its package once it is loaded; where the submodule has
    an exported function of its own name, that function is set in its place. The module itself stays reachable
    by ``from rnn_dynamics.rollout import …`` and in ``sys.modules``.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, types.ModuleType) and _MODULE_OF_NAME.get(name) == name:
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    module = _MODULE_OF_NAME.get(name, name)
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    loaded = importlib.import_module(f"{__name__}.{module}")
    value = getattr(loaded, name) if name in _MODULE_OF_NAME else loaded
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
