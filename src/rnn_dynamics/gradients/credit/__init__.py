"""Where a loss gets its gradient from: shares by lag, partial sums, what each earlier step is owed."""

from rnn_dynamics.gradients.credit.at_once import state_gradients
from rnn_dynamics.gradients.credit.by_lag import credit_by_lag
from rnn_dynamics.gradients.credit.inputs import input_norms, readout_norms
from rnn_dynamics.gradients.credit.partial_sums import PartialSums, partial_sums
from rnn_dynamics.gradients.credit.past import PastNorms, part_norms, past_norms
from rnn_dynamics.gradients.credit.paths import PathLengths, path_lengths
from rnn_dynamics.gradients.credit.probes import ProbedCredit, credit_by_probes
from rnn_dynamics.gradients.credit.results import CreditByLag
from rnn_dynamics.gradients.credit.samples import CreditOfSamples, credit_of_samples

__all__ = [
    "CreditByLag",
    "CreditOfSamples",
    "PartialSums",
    "PastNorms",
    "PathLengths",
    "ProbedCredit",
    "credit_by_lag",
    "credit_by_probes",
    "credit_of_samples",
    "input_norms",
    "part_norms",
    "partial_sums",
    "past_norms",
    "path_lengths",
    "readout_norms",
    "state_gradients",
]
