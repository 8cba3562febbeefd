"""Paths and names of version 0.1 that have other homes since: they work for one release, with a warning.

Nothing here is needed by the library itself; the file goes with the release after.
"""

import importlib
import importlib.abc
import importlib.machinery
import sys
import types
import warnings
from typing import Any

_PACKAGE = "rnn_dynamics"

# Old module → new one; what lay below it lies below the new one.
MODULES = {
    "activations": "cells.activations",
    "basins": "dynamics.basins",
    "basins.along": "dynamics.basins.continuation",
    "basins.container": "dynamics.basins.attractors",
    "basins.orbit_labels": "dynamics.basins.labelling",
    "basins.problem": "dynamics.basins.starts",
    "bifurcations": "dynamics.bifurcations",
    "bounds": "spectral.bounds",
    "cells.image": "cells.signature",
    "cells.past": "cells.delayed",
    "cells.slopes": "cells.saturation",
    "cells.structure": "cells.pytree",
    "chunks": "numerics.mapped",
    "cliff.ends": "cliff.limit_sets",
    "cliff.losses": "cliff.loss",
    "continuation": "dynamics.continuation",
    "credit": "gradients.credit",
    "diagnose": "diagnosis",
    "double_double": "numerics.double_double",
    "doya.curves": "doya.bifurcations",
    "doya.orbit_kernel": "doya.kernel",
    "doya.orbits": "doya.sensitivities",
    "eigen": "numerics.eigen",
    "elementwise": "numerics.batching",
    "equilibria": "dynamics.equilibria",
    "equilibria.problem": "dynamics.equilibria.equation",
    "error_ellipsoids": "gradients.error_ellipsoids",
    "figures.along_runs": "figures.training.along_runs",
    "figures.along_training": "figures.training.along_training",
    "figures.boundary": "figures.doya.boundary",
    "figures.charts": "figures.doya.charts",
    "figures.compute": "figures.gradients.compute",
    "figures.depth": "figures.training.depth",
    "figures.events": "figures.doya.events",
    "figures.exponents": "figures.dynamics.exponents",
    "figures.flip_flop": "figures.dynamics.flip_flop",
    "figures.gated": "figures.gradients.gated",
    "figures.jumps": "figures.cliff.jumps",
    "figures.latch": "figures.training.latch",
    "figures.loss": "figures.cliff.loss",
    "figures.loss_facts": "figures.cliff.loss_facts",
    "figures.maps": "figures.doya.maps",
    "figures.neuron": "figures.doya.neuron",
    "figures.neuron_facts": "figures.doya.neuron_facts",
    "figures.norms": "figures.spectral.norms",
    "figures.portraits": "figures.dynamics.portraits",
    "figures.radius": "figures.spectral.radius",
    "figures.random_facts": "figures.spectral.random_facts",
    "figures.regimes": "figures.gradients.regimes",
    "figures.remedies": "figures.training.remedies",
    "figures.shared": "figures.gradients.shared",
    "figures.spectra": "figures.spectral.spectra",
    "figures.success": "figures.training.success",
    "figures.temporal_order": "figures.gradients.temporal_order",
    "figures.trained": "figures.dynamics.trained",
    "figures.unfolding": "figures.training.unfolding",
    "given": "numerics.given",
    "heartbeat": "numerics.heartbeat",
    "iterates": "dynamics.return_map",
    "jacobians": "gradients.jacobians",
    "joint_radius": "spectral.joint_radius",
    "leading_block": "numerics.block_eigen",
    "lengths": "numerics.padding",
    "lyapunov": "dynamics.lyapunov",
    "manifolds": "dynamics.manifolds",
    "mean_field": "spectral.mean_field",
    "neighbours": "gradients.perturbations",
    "nonnormal": "spectral.nonnormal",
    "orbit_diagrams": "dynamics.orbit_diagram",
    "packages": "numerics.packages",
    "parameters": "gradients.parameters",
    "phases": "dynamics.phases",
    "phases.topology": "numerics.topology",
    "planes": "dynamics.planes",
    "product_svd": "numerics.product_svd",
    "results": "numerics.results",
    "rollout": "cells.rollout",
    "roots": "numerics.roots",
    "scaled": "numerics.scaled",
    "scaling": "spectral.diagonal_scaling",
    "segments": "gradients.steps",
    "sensitivities": "gradients.sensitivities",
    "sequences": "cells.sequences",
    "spectra": "gradients.singular_values",
    "spectral.cases": "spectral.counterexamples",
    "spectral.sweeps": "spectral.radius_sweep",
    "spectral_norms": "gradients.spectral_norms",
    "status": "numerics.status",
    "step_bounds": "spectral.step_bounds",
    "storage": "numerics.storage",
    "sweep": "numerics.sweep",
    "training.along": "training.studies.events_along_training",
    "training.boltzmann": "training.recipes.boltzmann",
    "training.checkpoints": "training.runs.checkpoints",
    "training.comparison": "training.runs.comparison",
    "training.compatibility": "training.recipes.compatibility",
    "training.composition": "training.recipes.composition",
    "training.compressor": "training.recipes.compressor",
    "training.deep": "training.studies.depth",
    "training.dropout": "training.recipes.dropout",
    "training.gradients": "training.recipes.clipping",
    "training.intervals": "training.runs.intervals",
    "training.latch_runs": "training.studies.latch_runs",
    "training.latching": "training.studies.latch",
    "training.networks": "training.recipes.networks",
    "training.optimizers": "training.recipes.optimizers",
    "training.panels": "training.runs.panels",
    "training.pseudo_newton": "training.recipes.pseudo_newton",
    "training.remedies": "training.recipes.remedies",
    "training.results": "training.runs.results",
    "training.search": "training.recipes.search",
    "training.stories": "training.runs.gradient_history",
    "training.structures": "training.recipes.structures",
    "training.terms": "training.recipes.terms",
    "training.unfolding": "training.studies.unfolding",
    "training.updates": "training.runs.updates",
    "validation": "numerics.validation",
    "weight_bounds": "spectral.weight_bounds",
}

# Names that stood at the top, with the room that has them.
NAMES = {
    "BasinLabels": "dynamics.basins",
    "CreditByLag": "gradients",
    "Diagnosis": "diagnosis",
    "FixedPoints": "dynamics",
    "LyapunovSpectrum": "dynamics",
    "SingularSpectrum": "gradients",
    "SpectralNorms": "gradients",
    "Trajectories": "cells",
    "absolute_radius": "spectral",
    "continue_branches": "dynamics",
    "credit_by_probes": "gradients",
    "credit_of_samples": "gradients",
    "input_norms": "gradients",
    "part_norms": "gradients",
    "path_lengths": "gradients",
    "scaled_bounds": "spectral",
    "step_bounds": "spectral",
}


def new_path(path: str) -> str | None:
    """The path, below the package, of a module that was moved; ``None`` for any other."""
    parts = path.split(".")
    for count in range(len(parts), 0, -1):
        home = MODULES.get(".".join(parts[:count]))
        if home is not None:
            return ".".join([home, *parts[count:]])
    return None


def _warn(old: str, new: str, level: int) -> None:
    warnings.warn(
        f"{_PACKAGE}.{old} is {_PACKAGE}.{new} now; the old path goes with the next release",
        DeprecationWarning,
        stacklevel=level,
    )


def attribute(name: str) -> Any:
    """What ``rnn_dynamics.name`` meant in version 0.1, with a warning.

    Raises:
        AttributeError: it never was there.
    """
    if name in NAMES:
        _warn(name, f"{NAMES[name]}.{name}", 4)
        return getattr(importlib.import_module(f"{_PACKAGE}.{NAMES[name]}"), name)
    if name in MODULES and "." not in name:
        _warn(name, MODULES[name], 4)
        return importlib.import_module(f"{_PACKAGE}.{MODULES[name]}")
    raise AttributeError(f"module {_PACKAGE!r} has no attribute {name!r}")


class _Alias(importlib.abc.Loader):
    """Loads the module of the new path under the old one too."""

    def __init__(self, home: str) -> None:
        self._home = home

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        module = importlib.import_module(self._home)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        module.__spec__ = self._spec  # The import system has put the old path's in its place.


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the old paths of modules that have moved, and no others."""

    def find_spec(
        self, fullname: str, path: Any, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        package, _, below = fullname.partition(".")
        home = new_path(below) if package == _PACKAGE else None
        if home is None:
            return None
        _warn(below, home, 3)
        return importlib.machinery.ModuleSpec(fullname, _Alias(f"{_PACKAGE}.{home}"))


class _Package(types.ModuleType):
    """The package's own type: importing an old path such as ``rnn_dynamics.rollout`` leaves the function there.

    The import system sets each module it loads as an attribute of its package.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, types.ModuleType) and value.__name__ != f"{_PACKAGE}.{name}":
            return
        super().__setattr__(name, value)


def install() -> None:
    """Let the import system find the old paths."""
    # First: a moved package would find its own files under the old path, and load them a second time.
    sys.meta_path.insert(0, _Finder())
    sys.modules[_PACKAGE].__class__ = _Package
