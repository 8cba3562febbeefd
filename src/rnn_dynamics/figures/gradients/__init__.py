"""Figures of how far gradients reach: regimes, gated cells, shared weights, compute."""
