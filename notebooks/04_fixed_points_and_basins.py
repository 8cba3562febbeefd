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
# # 04 Fixed points, basins, and what their boundaries do to the gradient
#
# **Question.** Where does a map rest, and which start goes where?
#
# *45 minutes; needs 01.*
#
# You bring a cell: any function `cell(x, u) -> x_next`. Of it is asked where it can rest, and how orbits come and
# go there; where such points appear and vanish as a parameter moves; whose basin a state is in; what the boundary
# of a basin does to $\partial x_t/\partial x_0$; and what can be said exactly when the cell is piecewise linear.

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
from collections import Counter

from jax.tree_util import Partial

from rnn_dynamics.dynamics.basins import edge_state
from rnn_dynamics.dynamics.equilibria import piecewise_linear_cycles

palette = plots.palette

# %% [markdown]
# ## 1. Bring a cell
#
# Here are two gated units, written down as one would anywhere. `Partial` keeps the weights apart from the function,
# so that other weights compile nothing anew. Newton's method starts from 400 states; these states are also simply
# iterated, as Newton's method may lead all of them to saddles, and what their orbits end at joins the list. The
# last line says how many orbits end at attractors that are listed and how many elsewhere. No search is complete: a
# point that neither method met does not show.


# %%
def gated(weights, x, u):
    gate = jax.nn.sigmoid(jax.numpy.dot(weights["gate"], x) + 0.5)
    return (1 - gate) * x + gate * jax.numpy.tanh(jax.numpy.dot(weights["state"], x) + weights["bias"] + u)


cell = Partial(
    gated,
    {
        "gate": jax.numpy.array([[0.5, -1.0], [1.0, 0.5]]),
        "state": jax.numpy.array([[2.0, -0.3], [0.2, 1.8]]),
        "bias": jax.numpy.array([0.05, -0.1]),
    },
)
rest = np.zeros(2)  # no input
starts = np.random.default_rng(0).uniform(-1.2, 1.2, (400, 2))
points = rd.fixed_points(cell, starts, u=rest)
print("kind         unit 0   unit 1      |λ|")
for kind, x, multipliers in zip(points.kind, points.points, np.abs(points.multipliers), strict=True):
    print(f"{kind:9}   {x[0]:7.3f}  {x[1]:7.3f}   {multipliers[0]:.3f}  {multipliers[1]:.3f}")
print(points.ends)

# %% [markdown]
# A multiplier inside the unit circle is a direction that is forgotten, one outside a direction in which neighbours
# part. Four stable points: this network holds two bits. A saddle stands between each two neighbours. Units count
# from 0.

# %%
with plots.style():
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
    points.plot(axes[0], legend=False)
    axes[0].set_title("fixed points")
    plots.multipliers(points, axes[1])
    axes[1].get_legend().set_loc("upper left")
    axes[1].get_legend().set_bbox_to_anchor((1, 1))
    axes[1].set_title("multipliers")

# %% [markdown]
# The same cell to play with. In a running notebook click another start, or another saddle: its *stable set* (solid),
# what flows into it, is the boundary between two basins; its *unstable set* (dashed), what flows out, runs to the
# attractors on both sides. Hide the basins and the flow is drawn instead.

# %%
panel = rd.explore.attractors(cell, starts[:100], u=rest)
panel.set(x=-0.5, y=0.8, saddle=1)
panel

# %% [markdown]
# **Slow points.** Hold an input just past the value at which one of the memories is lost. Its fixed point is gone,
# but orbits linger where it was: there $q=\frac12\|F(x)-x\|^2$ has a minimum above 0. Slow points are kept apart,
# as they are no fixed points.

# %%
push = np.array([0.2, 0.0])
pushed = rd.fixed_points(cell, starts, u=push)
ghost = pushed.slow.points[0]
print(f"with the input: {dict(Counter(pushed.kind))}; a slow point at {ghost.round(3)}")
lost = min(points.points[points.stable], key=lambda x: np.linalg.norm(x - ghost))
orbit = np.asarray(rd.rollout(cell, lost, np.tile(push, (120, 1))).states)
with plots.style():
    figure, ax = plt.subplots(figsize=(7.5, 2.8), layout="constrained")
    ax.plot(orbit[:, 0], color=palette.BLUE, marker=".", markersize=4, label="unit 0")
    ax.axhline(ghost[0], color=palette.GREY, linestyle=":", label="slow point")
    ax.set(xlabel="step t", ylabel="state of unit 0", title="an orbit at the ghost of a lost memory")
    ax.legend(loc="center right")

# %% [markdown]
# ## 2. Where they appear and vanish
#
# `continue_branch` follows a fixed point through a parameter, around folds, and locates what happens on the way.
# Doya's neuron with $w=-8$ flips twice: between the flips the equilibrium is unstable, and `switch` takes the
# branch of 2-cycles that is born there.


# %%
def neuron(b):
    return rd.DoyaNeuron(-8.0, b)


branch = rd.continue_branch(neuron, 0.1, -1.0, p_range=(-2.0, 10.0))
for event in branch.of_kind("flip"):
    print(f"flip at b = {event.parameter:.10f}, normal form {event.coefficient:.3g}")
flip = branch.of_kind("flip")[0]
doubled = branch.switch(flip)
with plots.style():
    figure, ax = plt.subplots(figsize=(7.5, 3.4), layout="constrained")
    branch.plot(ax=ax)
    doubled.plot(ax=ax)
    ax.set(xlabel="bias b", title="w = −8: equilibrium (black), 2-cycle (blue)")
    ax.legend(loc="upper left")
    ax.set_ylabel("state x")
print("closed form:  b =", np.sort(np.asarray(rd.doya.flips(-8.0).b)))

# %% [markdown]
# ## 3. Whose basin?
#
# `basins` labels every start of a grid by trapping regions, not by a run that stopped moving. Here are the stable and
# unstable sets of all four saddles over it.

# %%
axis = np.linspace(-1.3, 1.3, 200)
labels = rd.basins(cell, np.stack(np.meshgrid(axis, axis), -1), points, u=rest)
shares = labels.fractions()
print("shares:", np.asarray(shares.attractors).round(3), "undecided:", float(shares.undecided))
saddles = points.points[np.array(points.kind) == "saddle"]
stable = [rd.stable_set(cell, x, u=rest, length=3.0) for x in saddles]
unstable = [rd.unstable_set(cell, x, u=rest, length=3.0) for x in saddles]
with plots.style():
    ax = labels.plot()
    for curve in (*unstable, *stable):
        curve.plot(ax)
    ax.set(title="stable sets (solid), unstable sets (dashed)", aspect="equal")
    ax.figure.set_size_inches(7.5, 4.6)

# %% [markdown]
# **The edge state.** Given one start in each of two basins, bisection and tracking find what the boundary between
# them leads to. Here it is a saddle, with one multiplier above 1.

# %%
low, high = points.points[points.stable][:2]
edge = edge_state(cell, low, high, points, u=rest)
print(f"{edge.state.round(4)}, multipliers {np.real(edge.multipliers).round(4)}")

# %% [markdown]
# ## 4. What the boundary does to the gradient
#
# Start at a distance $d$ beside the saddle. For some $\ln(1/d)/\ln\lambda_u$ steps the orbit stays there, and
# $\partial x_t/\partial x_0$ grows like $\lambda_u^t$. Then it falls into a basin, and the gradient is forgotten at
# the attractor's own rate. It explodes for ever only *on* the boundary; nearby it peaks, at about $1/d$, and
# vanishes.

# %%
grown = max(edge.multipliers.real)
curve = rd.unstable_set(cell, edge.state, u=rest, length=0.5)
with plots.style():
    figure, ax = plt.subplots(figsize=(8, 3.6), layout="constrained")
    for distance, colour in zip((1e-1, 1e-3, 1e-5, 1e-7, 0.0), palette.SERIES, strict=False):
        run = rd.rollout(cell, edge.state + distance * curve.direction, np.zeros((90, 2)))
        log = np.asarray(rd.pushforward(run, curve.direction).norm().log()) / np.log(10)
        ax.plot(log, color=colour, label=f"d = {distance:g}" if distance else "on the saddle (in floats)")
    t = np.arange(91)
    ax.plot(t, t * np.log10(grown), color=palette.GREY, linestyle=":", label="$\\lambda_u^t$")
    ax.set(xlabel="step t", ylim=(-16, 10))
    plots.powers_of_ten(ax.yaxis, "‖(∂$x_t$/∂$x_0$) v‖")
    ax.set_title("a gradient peaks where the orbit leaves the boundary")
    ax.legend(loc="lower left", ncols=2)

# %% [markdown]
# ## 5. Piecewise-linear cells, exactly
#
# With ReLU units the map is affine in each region. A cycle that visits given regions solves *one* linear equation: no
# iteration, and where all patterns can be tried the list is complete.

# %%
linear = rd.PiecewiseLinearRNN([0.4, 0.5], [[-1.6, 1.3], [-1.2, -0.9]], [0.6, 0.9])
cycles = piecewise_linear_cycles(linear, period=3)
print("all there are up to period 3:", cycles.complete)
for i in range(len(cycles)):
    sizes = np.abs(cycles.multipliers[i]).round(4)
    print(f"period {cycles.period[i]}: {cycles.kind[i]:8} |λ| = {sizes}, residual {cycles.residual[i]:.0e}")
with plots.style():
    figure, ax = plt.subplots(figsize=(7.5, 3.8), layout="constrained")
    cycles.plot(ax)
    ax.axhline(0, color=palette.LIGHT, zorder=0)
    ax.axvline(0, color=palette.LIGHT, zorder=0)
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    ax.set_title("two ReLU units: every cycle up to period 3")

# %% [markdown]
# ## To take home
#
# Attractors say what a network remembers. Saddles between them say where it decides, and their stable sets are the
# only places, short of chaos, from which a gradient grows for long; next to them it is large for a while and then
# gone. A bit that is *latched in an attractor* is therefore kept without a gradient (Bengio, Simard and Frasconi
# 1994). That holds for this way of keeping it. Other ways let the gradient last: notebook 06 has LSTMs and
# rectifiers that remember with one.
#
# ## Reading
#
# Sussillo and Barak (2013) for fixed and slow points of trained networks. Bengio, Simard and Frasconi (1994),
# section IV, for what latching costs. Doya (1992) for bifurcations met in learning. Eisenmann, Monfared, Göring and
# Durstewitz (2023) for cycles of piecewise-linear networks. Strogatz (2015), chapters 6 to 8. Full references stand
# in notebook 00.
#
# ## Exercises
#
# **1.** The input 0.2 to unit 0 erased one of the four memories. How strong must it be to erase the bit of unit 0
# altogether?

# %% [markdown]
# <details><summary>Answer</summary>
#
# Between 0.7 and 0.8. The memory (low, high) outlasts (low, low); when it has gone too,
# unit 0 is high whatever it was, and only the bit of unit 1 is left.
#
# ```python
# for push in (0.1, 0.2, 0.7, 0.8):
#     left = rd.fixed_points(cell, starts, u=np.array([push, 0.0]))
#     print(push, [("low" if x[0] < 0 else "high", "low" if x[1] < 0 else "high") for x in left.points[left.stable]])
# ```
#
# ```text
# 0.1 [('low', 'high'), ('low', 'low'), ('high', 'high'), ('high', 'low')]
# 0.2 [('low', 'high'), ('high', 'high'), ('high', 'low')]
# 0.7 [('low', 'high'), ('high', 'high'), ('high', 'low')]
# 0.8 [('high', 'high'), ('high', 'low')]
# ```
#
# </details>

# %% [markdown]
# **2.** An orbit starts at a distance $d=10^{-5}$ beside the edge state. For how many steps does its gradient grow?
# Then read it off the picture of section 4.

# %% [markdown]
# <details><summary>Answer</summary>
#
# For about $\ln(1/d)/\ln\lambda_u$ steps, until the distance is of order 1, with $\lambda_u=1.2246$: 57. The factor
# of the distance at which the orbit leaves the linear range moves it by some steps.
#
# ```python
# curve = rd.unstable_set(cell, edge.state, u=rest, length=0.5)
# run = rd.rollout(cell, edge.state + 1e-5 * curve.direction, np.zeros((90, 2)))
# log = np.asarray(rd.pushforward(run, curve.direction).norm().log())
# print(f"expected {np.log(1e5) / np.log(1.2246):.0f}, greatest at t = {int(np.argmax(log))}")
# ```
#
# ```text
# expected 57, greatest at t = 52
# ```
#
# </details>

# %% [markdown]
# **3.** Give every fixed point of the table the sign of $(1-\lambda_1)(1-\lambda_2)$, its index. What is their sum,
# and what is it after the push? Why can a search that finds four stable points and three saddles alone not be
# complete?

# %% [markdown]
# <details><summary>Answer</summary>
#
# Both sums are 1. All orbits end up in the square in which tanh has its values, and the sum of the indices of a map
# of a square into itself is 1, however its weights are chosen (Lefschetz). A point and its saddle come and go
# together, with +1 and −1. Four stable points and three saddles have $4-3=1$ and would do; it is the repelling
# point of this cell, +1, that asks for the fourth saddle. So the sum does not prove that a list is complete. It
# proves that one is not, when it is not 1.
#
# ```python
# for found in (points, pushed):
#     print(int(np.sign(np.prod(1 - found.multipliers, axis=1).real).sum()))
# ```
#
# ```text
# 1
# 1
# ```
#
# </details>
