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
# # 10 Remedies: what each changes, and whether the network learns
#
# **Question.** What does each published remedy change, and does the network learn?
#
# *60 minutes; needs 09.*
#
# Some forty remedies for vanishing and exploding gradients have been published. Each is said to help, and most were
# shown on a task of their own. Here each is a named piece that changes a *recipe*, all are measured on one task, and
# twice: how far does the gradient reach, and is the task learned? Is a gradient that does not vanish enough?

# %%
import jax

jax.config.update("jax_enable_x64", True)

import matplotlib.pyplot as plt
import numpy as np

import rnn_dynamics as rd
from rnn_dynamics import plots

rd.keep_programs()
plt.rcParams["figure.dpi"] = 100

# %%
import textwrap

import jax.numpy as jnp

import rnn_dynamics.training as training
from rnn_dynamics.cells.initializers import orthogonal
from rnn_dynamics.figures.training import depth, latch, remedies
from rnn_dynamics.training.recipes import terms
from rnn_dynamics.training.recipes.networks import Network, states


def told(text, indent):
    """Print a text whose lines may be longer than the page."""
    print(textwrap.fill(text, 110, subsequent_indent=" " * indent, break_on_hyphens=False))


kinds = {}
for name, remedy in training.REMEDIES.items():
    kinds.setdefault(remedy.kind, []).append(name)
for kind, names in kinds.items():
    told(f"{kind:14s} {', '.join(names)}", 15)

# %% [markdown]
# ## 1. Recipes
#
# A recipe has a slot for everything that decides how a network learns. A remedy sets some of them, and several are
# set together. What cannot stand together is refused before anything is trained.

# %%
made = training.recipe("clipping", "omega", "orthogonal")
print(f"initializer {made.initializer}, clip by {made.clip}, terms {[term.name for term in made.terms]}")
print(dict(made.numbers))
for pair in (
    ("orthogonal", "irnn"),
    ("lstm", "relu"),
    ("random guessing", "clipping"),
    ("omega", "omega, norms"),
):
    try:
        training.recipe(*pair)
    except ValueError as refused:
        told(f"{' + '.join(pair)}: {refused}", 4)
    else:
        raise AssertionError(pair)

# %% [markdown]
# ## 2. A small comparison, with a remedy of your own
#
# A loss term is a function of the network, of what a pass left behind (inputs, states, $\partial E/\partial x_t$) and
# of the recipe's numbers. This one keeps $W$ near the orthogonal matrices, by $\|W^\top W-I\|^2/n$ (Vorontsov et al.
# 2017). Its strength is a number under the term's name.


# %%
def off_orthogonal(network, done, numbers):
    W = network.cell.W
    return jnp.square(jnp.matmul(W.T, W, precision="highest") - jnp.eye(len(W), dtype=W.dtype)).sum() / len(W)


soft = training.Remedy(
    "soft orthogonality",
    "loss term",
    "W stays near the orthogonal matrices",
    "Vorontsov et al., ICML 2017",
    changes=(("terms", (training.Term("soft", off_orthogonal),)),),
    numbers=(("soft", 1.0),),
)

# %% [markdown]
# It takes its place beside those of the package. Temporal order over ten steps, sixteen units, three seeds, at most
# 1200 updates: enough to see what the table holds.

# %%
table = training.compare(
    ["clipping", ("clipping", soft)],
    "temporal-order",
    10,
    seeds=3,
    updates=1200,
    units=16,
    every=200,
    workers=3,
)
for row in table.rows:
    horizons = ", ".join(f"{row.horizon_at(moment):.0f}" for moment in ("initial", "final"))
    print(
        f"{row.remedy:28} learned {row.successes} of {len(row.seeds)}; horizon at the start and the end: {horizons}"
    )
with plots.style():
    table.plot()

# %% [markdown]
# A bar is the share of runs that learned, with its 95 % interval, which is wide for three runs. On the right is the
# horizon as a share of $T$: at the start (ring), halfway (small dot) and at the end. Grey: ten steps are too few to
# name a regime. Both rows begin with the short gradient of the plain start. The term lengthens it.

# %%
clipped, kept = table.rows
assert clipped.horizon_at("initial") == kept.horizon_at("initial")
assert kept.horizon_at("final") > clipped.horizon_at("final")
assert clipped.successes == 0 < kept.successes

# %% [markdown]
# ## 3. All of them
#
# Every remedy on temporal order of length 30, from runs that are stored in the package
# (`python -m rnn_dynamics.figures.training.remedies`): fifty units, five seeds, 5000 updates at most.

# %%
stored = remedies.stored()
with plots.style():
    stored.plot()

# %%
measured = [row for row in stored.rows if np.isfinite(row.horizon_at("initial"))]


def reaching(moment, low, high=np.inf):
    """The rows whose median horizon at a moment is between these shares of T."""
    return [row for row in measured if low <= row.horizon_at(moment) / row.steps_of_task < high]


def share(rows):
    runs = sum(len(row.seeds) for row in rows)
    return f"{sum(row.successes for row in rows)} of {runs} runs learned", sum(
        row.successes for row in rows
    ) / runs


def names(rows):
    return ", ".join(row.remedy.removeprefix("clipping+") for row in rows)


long, short = reaching("initial", 0.9), reaching("initial", 0, 0.9)
print("horizon of .9 T and more at the start:", share(long)[0])
print("shorter at the start:                 ", share(short)[0])
grown = [row for row in reaching("initial", 0, 1 / 3) if row.success_rate == 1]
told(f"short at the start, and every run learned: {names(grown)}", 4)
never = [row for row in reaching("final", 0, 1 / 3) if not row.successes]
told(f"short to the end, and no run learned: {names(never)}", 4)
failing = [row for row in reaching("final", 0.9) if row.success_rate < 1]
told(f"long at the end, and runs that have not learned: {names(failing)}", 4)
assert share(long)[1] > share(short)[1]
assert {"clipping+omega", "clipping+momentum", "clipping+adam", "clipping+lstm"} <= {
    row.remedy for row in grown
}
assert share(reaching("final", 0, 1 / 3))[1] < 0.1
assert "clipping+attention" in {row.remedy for row in failing + long if row.success_rate < 1}
assert stored.row("plain").horizon_at("initial") == stored.row("clipping").horizon_at("initial")
assert stored.row("plain").successes == stored.row("clipping").successes == 0

# %% [markdown]
# **What it shows.**
#
# * *A gradient that lasts from the start helps.* Such rows learn more often than the others.
# * *It is not needed at the start.* Ω, momentum, Adam and the LSTM begin with a horizon of two or three lags,
#   lengthen it while they train, and learn in every seed. Where it stays short to the end, hardly a run learns.
# * *It is not enough.* A gradient that does not vanish is not yet a task that is learned: attention has every past
#   state one step away and fails in some seeds, and some rows end with a gradient over all steps and have not
#   learned.
# * *Clipping stands where nothing stands.* Its horizon at the start is that of the plain network (notebook 09).
#
# One task, one length, one rate of each remedy and five seeds: a row here is a measurement, not a verdict on a
# method. `training.compare(..., rates=[…])` tries several rates for every remedy alike.
#
# ## 4. Two claims checked
#
# *"With orthogonal weights all exponents are 0 at the start."* With $W=gQ$ they are $\ln g$, each of them exactly, as
# long as the units stand at $x=0$, where $\varphi'=1$. Away from it every step loses what $\varphi'<1$ takes.

# %%
Q = np.asarray(orthogonal(jax.random.key(0), 16, dtype=float))
driven = np.random.default_rng(0).normal(size=(400, 16))
for g in (0.9, 1.0, 1.1):
    cell = rd.ElmanRNN(g * Q, np.zeros(16), np.eye(16))
    for name, size in (("at rest", 0.0), ("driven", 0.5)):
        values = np.asarray(rd.lyapunov_spectrum(rd.rollout(cell, np.zeros(16), size * driven)).values)
        print(f"g = {g}  {name:8s} exponents {values[-1]:+.4f} … {values[0]:+.4f}; ln g = {np.log(g):+.4f}")
        if size == 0:
            assert np.allclose(values, np.log(g), atol=1e-9)
        else:
            assert values.max() < np.log(g)

# %% [markdown]
# *"Flossing drives the exponents to 0."* It does so to any target, here $\lambda^*=-0.1$ for all eight exponents of
# a small network, by clipped descent on the term alone. They are measured afterwards by `lyapunov_spectrum`, over
# other inputs.

# %%
u = jnp.asarray(np.random.default_rng(1).normal(size=(60, 1, 1)))
weights = np.random.default_rng(2).normal(size=(8, 8)) / 8**0.5
start = Network(rd.ElmanRNN(weights, np.zeros(8), 0.3 * np.ones((8, 1))), jnp.zeros((1, 8)), jnp.zeros(1))


rule = training.recipe("clipping").transformation({"learning_rate": 0.05, "threshold": 1.0})


@jax.jit
def flossed(network):
    def penalty(network):
        done = terms.Pass(u, states(network.cell, u), None)
        return terms.flossing(network, done, {"exponent": -0.1})

    def step(carry, _):
        network, memory = carry
        value, slope = jax.value_and_grad(penalty)(network)
        change, memory = rule.update(slope, memory)
        return (jax.tree.map(jnp.add, network, change), memory), value

    (network, _), penalties = jax.lax.scan(step, (network, rule.init(network)), length=400)
    return network, penalties


after, penalties = flossed(start)
other = np.random.default_rng(3).normal(size=(400, 1))
print(f"term: {penalties[0]:.3f}, after 400 updates {penalties[-1]:.1e}")
for name, network in (("before", start), ("after", after)):
    values = np.asarray(rd.lyapunov_spectrum(rd.rollout(network.cell, np.zeros(8), other)).values)
    print(f"{name:7s}", values.round(2))
assert np.abs(values + 0.1).max() < 0.1

# %% [markdown]
# ## 5. In depth
#
# Networks of ten and fifteen layers, each with weights of its own, from stored runs: norms as initialised, after
# training, and which of five seeds learned to tell bars from stripes.

# %%
with plots.style():
    figure = depth.depth_norms().draw()
    figure.set_dpi(plt.rcParams["figure.dpi"])
found, _ = depth.stored()
for name in ("logistic", "ReLU, batch norm", "logistic, layer norm"):
    one = found[name, 15]
    decades = one.before[:, 0].mean() / np.log(10)
    print(
        f"{name:22s} 15 layers: gradient 10^{decades:+.1f} at the start, {(one.updates >= 0).sum()} of 5 learned"
    )
assert (found["ReLU, batch norm", 15].before[:, 0] > 0).all()
assert (found["ReLU, batch norm", 15].updates >= 0).all()
assert (found["logistic", 15].updates < 0).all()
figure

# %% [markdown]
# Again the two do not go together. ReLU with batch normalisation has a gradient that explodes as initialised, and
# every seed learns. Normalisation is no remedy in itself either: before a logistic unit, layer normalisation leaves
# a vanishing gradient.
#
# ## 6. The other way round: learned, and the gradient vanishes
#
# One neuron that keeps a bit in two attractors against noise (Bengio et al. 1994), 27 000 stored runs of training.

# %%
with plots.style():
    shown = latch.latch(quick=True)
    figure = shown.draw()
    figure.set_dpi(plt.rcParams["figure.dpi"])
assert all(row.verdict != "DIFFERS" for row in shown.rows)
print(shown.rows[6].quantity, shown.rows[6].measured, sep="\n    ")
figure

# %% [markdown]
# **What it shows.** A network that holds a bit in an attractor has a gradient that vanishes, *because* it holds it.
# A gradient that lasts is not needed in the end.
#
# ## To take home
#
# A gradient that lasts helps and is not enough, as the table shows, and it is not needed in the end, as the latch
# shows. What a remedy gives is a gradient while there is something to learn. Whether it is learned has to be
# measured beside it.
#
# ## Reading
#
# The paper of each remedy is named by `training.REMEDIES[name].reference`. Bengio, Simard and Frasconi (1994) for
# the latch. Hinton, Osindero and Teh (2006) for layers trained one by one. Vorontsov, Trabelsi, Kadoury and Pal
# (2017) for soft orthogonality, Engelken (2023) for flossing. Yang and others (2019): batch normalisation makes
# gradients explode at the start. Full references stand in notebook 00. To go on: other remedies and tasks in
# section 2 (`training.TASKS`), `seeds=5`, another strength of `soft`, other targets of flossing.
#
# ## Exercises
#
# **1.** "Faster hardware made it possible." Let a gradient lose a share $1-\eta$ of itself a step. With $c$ times
# the compute one can wait for a gradient that is $c$ times smaller. How many more lags are that for $c=1000$ and
# $\eta=.5$, $.9$, $.99$?

# %% [markdown]
# <details><summary>Answer</summary>
#
# $\eta^m=1/c$, so $m=\ln c/\ln(1/\eta)$: ten, sixty-six and some seven hundred. Compute buys lags by its logarithm;
# what changes $\eta$ buys them by a factor. (`rnn-dynamics reproduce --only compute_and_lags` measures it.)
#
# ```python
# print([round(float(np.log(1000) / np.log(1 / eta)), 1) for eta in (0.5, 0.9, 0.99)])
# ```
#
# ```text
# [10.0, 65.6, 687.3]
# ```
#
# </details>

# %% [markdown]
# **2.** The bars give 95 % intervals after Wilson, whose lower end for $n$ successes of $n$ is $n/(n+1.96^2)$. Five
# of five reach down to which rate? How many seeds, all successful, would show a rate above .9?

# %% [markdown]
# <details><summary>Answer</summary>
#
# Down to .57: two remedies with five of five and three of five need not differ. For .9 it takes 35 seeds.
#
# ```python
# ends = {n: n / (n + 1.96**2) for n in range(1, 100)}
# print(f"{ends[5]:.2f}", min(n for n, low in ends.items() if low > 0.9))
# ```
#
# ```text
# 0.57 35
# ```
#
# </details>

# %% [markdown]
# **3.** Flossing was given the target $-0.1$. The usual target is 0. At which target does a
# gradient over 200 steps keep a hundredth of its length, and why would one not always take 0?

# %% [markdown]
# <details><summary>Answer</summary>
#
# $e^{200\lambda}=.01$ gives $\lambda=-.023$. At 0 every old input stays as loud as the newest one. A little below 0
# the network forgets what nobody asked for, and noise is damped rather than kept.
#
# ```python
# print(f"{np.log(0.01) / 200:.3f}")
# ```
#
# ```text
# -0.023
# ```
#
# </details>
