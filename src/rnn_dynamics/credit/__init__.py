"""Where a loss gets its gradient from: shares by lag, partial sums, what each earlier step is owed."""

from rnn_dynamics.credit.by_lag import CreditByLag, credit_by_lag
from rnn_dynamics.credit.inputs import input_norms
from rnn_dynamics.credit.partial_sums import PartialSums, partial_sums

__all__ = ["CreditByLag", "PartialSums", "credit_by_lag", "input_norms", "partial_sums"]
