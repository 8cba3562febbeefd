"""How many lags compute buys: the measurements behind the figure, on cases with a known answer."""

import math

import numpy as np
import pytest

from rnn_dynamics.figures.gradients.compute import detectable, lags_bought


@pytest.mark.parametrize("rate", [0.5, 0.9, 0.99])
def test_exact_decay_buys_the_logarithm_of_the_factor(rate):
    factors = np.asarray([1.0, 10.0, 1e4])
    bought = lags_bought(math.log(rate) * np.arange(3000), factors, 0.01)
    np.testing.assert_allclose(bought, np.log(factors) / math.log(1 / rate), rtol=1e-9, atol=1e-9)


def test_lags_that_are_too_few_are_no_answer():
    with pytest.raises(ValueError, match="log_norms"):
        lags_bought(math.log(0.9) * np.arange(20), np.asarray([1.0, 1e9]), 0.01)


def test_averages_tell_the_lag_at_which_signal_meets_noise():
    """η^n = 3 / √(N (1 − η²)) at the last lag that is detected, give or take the noise."""
    rate, samples = 0.8, 4096
    expected = math.log(3 / math.sqrt(samples * (1 - rate**2))) / math.log(rate)
    found = [detectable(rate, samples, 40, np.random.default_rng(seed)) for seed in range(8)]
    assert abs(np.mean(found) - expected) < 1.5
