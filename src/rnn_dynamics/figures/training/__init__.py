"""Figures of training: remedies, latching, depth, long unfolding, bifurcations met on the way."""
