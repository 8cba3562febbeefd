# ---
# jupyter:
#   jupytext:
#     formats: py:percent,ipynb
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Remedies: what each changes, and whether the network learns
#
# Some forty remedies for vanishing and exploding gradients have been published. Each is said to help, and most were
# shown on a task of their own. Here each is a named piece that changes a *recipe*, all are measured on one task, and
# twice: how far does the gradient reach, and is the task learned?
#
# **Question.** Is a gradient that does not vanish enough?

# %%
import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import rnn_dynamics as rd
import rnn_dynamics.training as training
from rnn_dynamics import plots
from rnn_dynamics.cells.initializers import orthogonal
from rnn_dynamics.figures import depth, latch, remedies
from rnn_dynamics.plots import palette
from rnn_dynamics.training import terms
from rnn_dynamics.training.networks import Network

plt.rcParams["figure.dpi"] = 72
kinds = {}
for name, remedy in training.REMEDIES.items():
    kinds.setdefault(remedy.kind, []).append(name)
for kind, names in kinds.items():
    print(f"{kind:14s} {', '.join(names)}")

# %% [markdown]
# ## 1. Recipes
#
# A recipe has a slot for everything that decides how a network learns. A remedy sets some of them, and several are set
# together. What cannot stand together is refused before anything is trained.

# %%
made = training.recipe("clipping", "omega", "orthogonal")
print(made.initializer, made.clip, made.terms, dict(made.numbers), sep="\n")
for pair in (
    ("orthogonal", "irnn"),
    ("lstm", "relu"),
    ("random guessing", "clipping"),
    ("omega", "omega, norms"),
):
    try:
        training.recipe(*pair)
    except ValueError as refused:
        print(f"\n{' + '.join(pair)}: {refused}")
    else:
        raise AssertionError(pair)

# %% [markdown]
# ## 2. A small comparison
#
# Temporal order over ten steps, sixteen units, three seeds, at most 600 updates: enough to see what the table holds.

# %%
table = training.compare(
    ["clipping", "clipping+omega", "clipping+orthogonal"],
    "temporal-order",
    10,
    seeds=3,
    updates=600,
    units=16,
    every=200,
    workers=3,
)
print(table)
with plots.style():
    table.plot()

# %% [markdown]
# A bar is the share of runs that learned, with its 95 % interval, which is wide for three runs. On the right is the
# horizon as a share of $T$, at the start (ring), halfway (small dot) and at the end.

# %%
starts = {row.remedy: row.horizon_at("initial") for row in table.rows}
assert starts["clipping"] == starts["clipping+omega"] < starts["clipping+orthogonal"]
assert table.row("clipping").successes == 0

# %% [markdown]
# ## 3. All of them
#
# Every remedy on temporal order of length 30, from runs that are stored in the package
# (`python -m rnn_dynamics.figures.remedies`): fifty units, five seeds, 5000 updates at most.

# %%
stored = remedies.stored()
with plots.style():
    stored.plot()

# %%
long_at_start = [row for row in stored.rows if row.horizon_at("initial") >= 0.9 * row.steps_of_task]
print(
    f"{len(stored.rows)} rows; the gradient of {len(long_at_start)} reaches over .9 T and more at the start. Of these"
)
for title, chosen in (
    ("all runs learned", [row for row in long_at_start if row.success_rate == 1]),
    ("some did", [row for row in long_at_start if 0 < row.success_rate < 1]),
    ("none did", [row for row in long_at_start if row.success_rate == 0]),
):
    print(f"  {title}: {', '.join(row.remedy for row in chosen) or 'none'}")
short = [
    row.remedy
    for row in stored.rows
    if row.horizon_at("final") < 0.5 * row.steps_of_task and row.success_rate >= 0.5
]
print(f"most runs learned, horizon below T/2 at the end: {', '.join(short) or 'none'}")
plain, clipped = stored.row("plain"), stored.row("clipping")
print(f"horizon at the start: plain {plain.horizon_at('initial')}, clipping {clipped.horizon_at('initial')}")
assert any(row.success_rate < 1 for row in long_at_start)
assert plain.horizon_at("initial") == clipped.horizon_at("initial")
