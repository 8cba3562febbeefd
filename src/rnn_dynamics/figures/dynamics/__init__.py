"""Figures of networks as dynamical systems: exponents, portraits, a trained unit."""
