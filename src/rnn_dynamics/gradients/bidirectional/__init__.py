"""∂y_t/∂u_s of networks that read in both directions, on both sides of t."""

from rnn_dynamics.gradients.bidirectional.measures import credit_by_signed_lag, output_norms
from rnn_dynamics.gradients.bidirectional.passes import output_jacobians, output_pullback, output_pushforward
from rnn_dynamics.gradients.bidirectional.results import CreditBySignedLag, SignedNorms

__all__ = [
    "CreditBySignedLag",
    "SignedNorms",
    "credit_by_signed_lag",
    "output_jacobians",
    "output_norms",
    "output_pullback",
    "output_pushforward",
]
