"""Figures of the spectral-radius study."""
