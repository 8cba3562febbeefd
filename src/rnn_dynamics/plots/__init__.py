"""Pictures of results: one function a result, which takes ``ax=None`` and returns the axes.

Nothing is computed, shown or closed here, and no setting of matplotlib is changed; ``with plots.style():`` has
the settings of the published figures.
"""

from rnn_dynamics.plots import palette
from rnn_dynamics.plots.any_result import result
from rnn_dynamics.plots.attractors import invariant_set, multipliers
from rnn_dynamics.plots.audits import agreement, audit
from rnn_dynamics.plots.basins import basin_fractions, basins, is_grid
from rnn_dynamics.plots.both_sides import (
    bidirectional_diagnosis,
    bidirectional_run,
    credit_by_signed_lag,
    signed_norms,
)
from rnn_dynamics.plots.branches import bifurcation_curve, branch, branches, orbit_diagram
from rnn_dynamics.plots.canvas import axes_of, colour_bar, panel_label, panel_labels, shared_legend, style
from rnn_dynamics.plots.diagnosis import diagnoses, diagnosis, tracked
from rnn_dynamics.plots.exponents import exponent_convergence, exponent_field, lyapunov_spectrum
from rnn_dynamics.plots.gradients import counterexample, norms_against_lag, partial_sums, radius_sweep
from rnn_dynamics.plots.grids import sweep
from rnn_dynamics.plots.losses import descent, loss_along, loss_profile, loss_surface
from rnn_dynamics.plots.neuron import basin_map, bifurcation_diagram, log_map, orbit, sensitivity_map
from rnn_dynamics.plots.powers import powers_of_ten
from rnn_dynamics.plots.remedies import comparison
from rnn_dynamics.plots.sets import attractors, basin_labels, basin_starts, edge_state, side
from rnn_dynamics.plots.spectra import (
    joint_radius,
    power_norms,
    pseudospectrum,
    radius_atlas,
    singular_bands,
)
from rnn_dynamics.plots.state_space import fixed_points
from rnn_dynamics.plots.trajectories import trajectory

__all__ = [
    "agreement",
    "attractors",
    "audit",
    "axes_of",
    "basin_fractions",
    "basin_labels",
    "basin_map",
    "basin_starts",
    "basins",
    "bidirectional_diagnosis",
    "bidirectional_run",
    "bifurcation_curve",
    "bifurcation_diagram",
    "branch",
    "branches",
    "colour_bar",
    "comparison",
    "counterexample",
    "credit_by_signed_lag",
    "descent",
    "diagnoses",
    "diagnosis",
    "edge_state",
    "exponent_convergence",
    "exponent_field",
    "fixed_points",
    "invariant_set",
    "is_grid",
    "joint_radius",
    "log_map",
    "loss_along",
    "loss_profile",
    "loss_surface",
    "lyapunov_spectrum",
    "multipliers",
    "norms_against_lag",
    "orbit",
    "orbit_diagram",
    "palette",
    "panel_label",
    "panel_labels",
    "partial_sums",
    "power_norms",
    "powers_of_ten",
    "pseudospectrum",
    "radius_atlas",
    "radius_sweep",
    "result",
    "sensitivity_map",
    "shared_legend",
    "side",
    "signed_norms",
    "singular_bands",
    "style",
    "sweep",
    "tracked",
    "trajectory",
]
