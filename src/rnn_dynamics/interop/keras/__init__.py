"""Keras: its layers and models in memory, and its files."""
