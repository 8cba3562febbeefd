"""Figures of the loss cliff."""
