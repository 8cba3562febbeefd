"""∂x_T/∂x_k in every form: products of step Jacobians, norms, singular values, derivatives, credit by lag."""

from rnn_dynamics.gradients.credit import (
    CreditByLag,
    CreditOfSamples,
    PartialSums,
    PastNorms,
    PathLengths,
    ProbedCredit,
    credit_by_lag,
    credit_by_probes,
    credit_of_samples,
    input_norms,
    part_norms,
    partial_sums,
    past_norms,
    path_lengths,
    readout_norms,
    state_gradients,
)
from rnn_dynamics.gradients.jacobians import (
    gradient_norms,
    jacobian_product,
    jacobian_products,
    parameter_gradient,
    pullback,
    pushforward,
    step_jacobians,
)
from rnn_dynamics.gradients.one_step import step_jacobian
from rnn_dynamics.gradients.perturbations import StatesAlong, states_along
from rnn_dynamics.gradients.sensitivities import Sensitivities, sensitivities
from rnn_dynamics.gradients.singular_values import (
    Shares,
    SingularSpectrum,
    SpectraByLag,
    singular_spectrum,
    spectra_by_lag,
)
from rnn_dynamics.gradients.spectral_norms import SpectralNorms, spectral_norms

__all__ = [
    "CreditByLag",
    "CreditOfSamples",
    "PartialSums",
    "PastNorms",
    "PathLengths",
    "ProbedCredit",
    "Sensitivities",
    "Shares",
    "SingularSpectrum",
    "SpectraByLag",
    "SpectralNorms",
    "StatesAlong",
    "credit_by_lag",
    "credit_by_probes",
    "credit_of_samples",
    "gradient_norms",
    "input_norms",
    "jacobian_product",
    "jacobian_products",
    "parameter_gradient",
    "part_norms",
    "partial_sums",
    "past_norms",
    "path_lengths",
    "pullback",
    "pushforward",
    "readout_norms",
    "sensitivities",
    "singular_spectrum",
    "spectra_by_lag",
    "spectral_norms",
    "state_gradients",
    "states_along",
    "step_jacobian",
    "step_jacobians",
]
