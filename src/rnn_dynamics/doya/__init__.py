"""One neuron, x ← (1 − ε) x + ε σ(w x + b)."""
