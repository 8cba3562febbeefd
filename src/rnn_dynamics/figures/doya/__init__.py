"""Figures of the one-neuron study: bifurcations, nearby starts, maps of the derivative."""
