"""Arithmetic and machinery that knows no network: scaled numbers, Newton, arclength, checks, kept results."""
