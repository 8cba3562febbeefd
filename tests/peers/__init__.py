"""Cells of other frameworks, run by these themselves: states, ∂h_T/∂h_0 and gradients beside the library's.

One file a framework, `of_NAME.py`, with `rows()`; `packages.py` says what each needs. `make peers` runs them all,
each in a process and with packages of its own, and writes `docs/peers.md`.
"""
