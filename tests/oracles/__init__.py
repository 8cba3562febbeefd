"""Slow, exact answers that share no code with the library: python-flint balls and mpmath at 50 digits.

Every input is a Python or NumPy float, taken at its exact binary value. Every result is an ``mpmath.mpf``
with at least 50 correct digits and an unbounded exponent, unless its docstring says otherwise.

`maps`: one step of the one-unit maps in balls.
`neuron`: orbits, derivatives, equilibria, folds, flips, cycles, basins of the one-unit maps.
`cliff`: losses over the parameters of those maps and their limits for T → ∞.
`products`: norms of products of Jacobians for networks of a few units.

`training` is in plain NumPy with 64-bit floats: its answers have some 12 digits.
"""
