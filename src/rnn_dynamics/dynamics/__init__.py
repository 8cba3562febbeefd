"""Recurrent networks as dynamical systems: fixed points, cycles, branches, bifurcations, basins, exponents."""

from rnn_dynamics.dynamics import basins, bifurcations, continuation, equilibria, lyapunov, manifolds
from rnn_dynamics.dynamics.basins import (
    AttractorKind,
    Attractors,
    BasinLabels,
    EdgeState,
    FractionsAlong,
    edge_state,
    find_attractors,
    fractions_along,
)
from rnn_dynamics.dynamics.bifurcations import (
    BifurcationCurve,
    SpecialPoint,
    bifurcation_curve,
    bifurcation_parameter,
)
from rnn_dynamics.dynamics.continuation import (
    Branch,
    Branches,
    continue_branch,
    continue_branches,
    switch_branch,
)
from rnn_dynamics.dynamics.equilibria import (
    FixedPoints,
    MissingAttractorWarning,
    OrbitEnds,
    SlowPoints,
    SmallStateWarning,
    all_fixed_points,
    fixed_points,
    piecewise_linear_cycles,
    starts_from,
)
from rnn_dynamics.dynamics.lyapunov import (
    CovariantVectors,
    FiniteTimeExponents,
    LyapunovSpectrum,
    covariant_vectors,
    finite_time_exponents,
    lyapunov_spectrum,
    orbit_check,
)
from rnn_dynamics.dynamics.manifolds import InvariantSet, Side, stable_set, unstable_set
from rnn_dynamics.dynamics.orbit_diagram import OrbitDiagram, orbit_diagram
from rnn_dynamics.dynamics.phases import SeamWarning

__all__ = [
    "AttractorKind",
    "Attractors",
    "BasinLabels",
    "BifurcationCurve",
    "Branch",
    "Branches",
    "CovariantVectors",
    "EdgeState",
    "FiniteTimeExponents",
    "FixedPoints",
    "FractionsAlong",
    "InvariantSet",
    "LyapunovSpectrum",
    "MissingAttractorWarning",
    "OrbitDiagram",
    "OrbitEnds",
    "SeamWarning",
    "Side",
    "SlowPoints",
    "SmallStateWarning",
    "SpecialPoint",
    "all_fixed_points",
    "basins",
    "bifurcation_curve",
    "bifurcation_parameter",
    "bifurcations",
    "continuation",
    "continue_branch",
    "continue_branches",
    "covariant_vectors",
    "edge_state",
    "equilibria",
    "find_attractors",
    "finite_time_exponents",
    "fixed_points",
    "fractions_along",
    "lyapunov",
    "lyapunov_spectrum",
    "manifolds",
    "orbit_check",
    "orbit_diagram",
    "piecewise_linear_cycles",
    "stable_set",
    "starts_from",
    "switch_branch",
    "unstable_set",
]
