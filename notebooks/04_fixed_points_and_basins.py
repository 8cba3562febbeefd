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
# # Fixed points, basins, and what their boundaries do to the gradient
#
# You bring a cell: any function `cell(x, u) -> x_next`. This notebook asks of it
#
# 1. where it can rest, and how orbits come and go there;
# 2. where such points appear and vanish as a parameter moves;
# 3. whose basin a state is in, and what the boundary looks like;
# 4. what that boundary does to $\partial x_t/\partial x_0$;
# 5. what can be said exactly when the cell is piecewise linear.

# %%
import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import rnn_dynamics as rd
from rnn_dynamics import plots
from rnn_dynamics.basins import edge_state
from rnn_dynamics.equilibria import piecewise_linear_cycles, starts_from
from rnn_dynamics.figures import flip_flop

plt.rcParams["figure.dpi"] = 72
palette = plots.palette

# %% [markdown]
# ## 1. A trained network: two bits in 16 units
#
# The cell here has 16 tanh units and was trained to hold the signs of the last pulses on its two inputs. Search from
# states that it visits, mixed with one another: the memories are easily found, the points between them less so.

# %%
network = flip_flop.trained()
inputs, _ = flip_flop.sequences(jax.random.key(0), 1, 300)
run = rd.rollout(network.cell, np.zeros(16), np.asarray(inputs[0]))
pair = [starts_from(run, 400, key=jax.random.key(k)) for k in (1, 2)]
share = jax.random.uniform(jax.random.key(3), (400, 1))
starts = share * pair[0] + (1 - share) * pair[1]
found = rd.fixed_points(network.cell, starts, u=np.zeros(2))
print(found)
for i in range(len(found)):
    sizes = np.abs(found.multipliers[i, :3]).round(3)
    print(f"{found.kind[i]:8} {found.unstable[i]} unstable, |λ| = {sizes}, residual {found.residual[i]:.0e}")

# %% [markdown]
# The four stable points are the four memories; each saddle with one unstable direction is the way from one to the next.
# Seen through the read-out, they lie on a square. A multiplier inside the circle is a direction that is forgotten,
# one outside a direction in which neighbours part.

# %%
with plots.style():
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    seen = found.points @ np.asarray(network.readout).T
    for count, colour, name in ((0, palette.BLUE, "stable"), (1, palette.VERMILION, "one unstable direction"),
                                (2, "white", "two")):  # fmt: skip
        chosen = found.unstable == count
        axes[0].plot(*seen[chosen].T, "o", color=colour, markeredgecolor="k", markersize=8, label=name)
    axes[0].set(xlabel="bit 1 as read out", ylabel="bit 2 as read out", title="fixed points without input")
    axes[0].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    plots.multipliers(found, axes[1])
    axes[1].set_title("multipliers")

# %% [markdown]
# **Slow points.** Hold the first input just past the value at which a memory is lost. The fixed point is gone, but
# orbits still linger where it was: there $q=\frac12\|F(x)-x\|^2$ has a minimum above 0. Slow points are kept apart:
# they are no fixed points.

# %%
pushed = rd.fixed_points(network.cell, starts, u=np.array([0.33, 0.0]))
print(pushed)
print(pushed.slow)
state = jnp.asarray(found.points[found.stable][np.argmin(seen[found.stable][:, 0])])
orbit = rd.rollout(network.cell, state, np.tile([0.33, 0.0], (60, 1))).states
read = np.asarray(orbit @ network.readout.T)[:, 0]
with plots.style():
    figure, ax = plt.subplots(figsize=(6, 2.4), layout="constrained")
    ax.plot(read, color=palette.BLUE, marker=".", label="bit 1 of the orbit")
    for i, level in enumerate((pushed.slow.points @ np.asarray(network.readout).T)[:, 0]):
        ax.axhline(level, color=palette.GREY, linestyle=":", label="" if i else "slow points")
    ax.set(
        xlabel="step t",
        ylabel="bit 1",
        title="input held at .33: a few steps at the ghost of the lost memory",
    )
    ax.legend(loc="lower right")

# %% [markdown]
# ## 2. Where they appear and vanish
#
# `continue_branch` follows a fixed point through a parameter, around folds, and locates what happens on the way. Doya's
# neuron with $w=-8$ flips twice: between the flips the equilibrium is unstable, and `switch` takes the branch of
# 2-cycles that is born there.


# %%
def neuron(b):
    return rd.DoyaNeuron(-8.0, b)


branch = rd.continue_branch(neuron, 0.1, -1.0, p_range=(-2.0, 10.0))
print(branch)
flip = branch.of_kind("flip")[0]
print(flip, f"normal form {flip.coefficient:.3g}")
doubled = branch.switch(flip)
with plots.style():
    figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
    branch.plot(ax=ax)
    doubled.plot(ax=ax)
    ax.set(xlabel="bias b", title="w = −8: equilibrium (black), 2-cycle (blue)")
    ax.legend(loc="upper left")
print("closed form:", np.sort(np.asarray(rd.doya.flips(-8.0).b)))

# %% [markdown]
# ## 3. Whose basin?
#
# Two neurons with four attractors. `basins` labels every start by trapping regions, not by a run that stopped moving.
# Between the basins stand saddles. What flows *into* a saddle, its stable set, is the boundary; what flows out, its
# unstable set, runs to the attractors on both sides.

# %%
cell = rd.ElmanRNN([[2.0, -0.3], [0.2, 1.8]], [0.05, -0.1])
axis = np.linspace(-1.15, 1.15, 200)
points = rd.fixed_points(cell, np.random.default_rng(0).uniform(-1, 1, (400, 2)))
labels = rd.basins(cell, np.stack(np.meshgrid(axis, axis), -1), points)
print(labels)
saddles = points.points[np.array(points.kind) == "saddle"]
stable = [rd.stable_set(cell, x, length=3.0) for x in saddles]
unstable = [rd.unstable_set(cell, x, length=3.0) for x in saddles]
print(stable[0])
with plots.style():
    ax = labels.plot()
    for curve in (*unstable, *stable):
        curve.plot(ax)
    ax.set(title="stable sets (solid), unstable sets (dashed)", aspect="equal")
    ax.figure.set_size_inches(6.4, 3.8)

# %% [markdown]
# **The edge state.** Given one start in each of two basins, bisection and tracking find what the boundary between them
# leads to. Here it is a saddle, with one multiplier above 1.

# %%
low, high = points.points[points.stable][0], points.points[points.stable][1]
edge = edge_state(cell, low, high, points)
print(edge, "multipliers", np.real(edge.multipliers).round(4))

# %% [markdown]
# ## 4. What the boundary does to the gradient
#
# Start at a distance $d$ beside the saddle. For some $\ln(1/d)/\ln\lambda_u$ steps the orbit stays there, and
# $\partial x_t/\partial x_0$ grows like $\lambda_u^t$. Then it falls into a basin, and the gradient is forgotten at the
# attractor's own rate. It explodes for ever only *on* the boundary; nearby it peaks, at about $1/d$, and vanishes.

# %%
grown = max(edge.multipliers.real)
curve = rd.unstable_set(cell, edge.state, length=0.5)
with plots.style():
    figure, ax = plt.subplots(figsize=(6.4, 3), layout="constrained")
    for distance, colour in zip((1e-1, 1e-3, 1e-5, 1e-7, 0.0), palette.SERIES, strict=False):
        run = rd.rollout(cell, edge.state + distance * curve.direction, steps=60)
        log = np.asarray(rd.pushforward(run, curve.direction).norm().log()) / np.log(10)
        ax.plot(log, color=colour, label=f"d = {distance:g}" if distance else "on the saddle (in floats)")
    t = np.arange(61)
    ax.plot(t, t * np.log10(grown), color=palette.GREY, linestyle=":", label="$\\lambda_u^t$")
    ax.set(xlabel="step t", ylabel="log₁₀ ‖∂x_t/∂x_0 · v‖", ylim=(-20, 13))
    ax.set_title("a gradient peaks where the orbit leaves the boundary")
    ax.legend(loc="lower left", ncols=2)

# %% [markdown]
# ## 5. Piecewise-linear cells, exactly
#
# With ReLU units the map is affine in each region. A cycle that visits given regions solves *one* linear equation: no
# iteration, and where all patterns can be tried the list is complete.

# %%
linear = rd.PiecewiseLinearRNN([0.4, 0.5], [[-1.6, 1.3], [-1.2, -0.9]], [0.6, 0.9])
cycles = piecewise_linear_cycles(linear, period=5)
print(cycles, "| all there are:", cycles.complete)
for i in range(len(cycles)):
    sizes = np.abs(cycles.multipliers[i]).round(4)
    print(f"period {cycles.period[i]}: {cycles.kind[i]:8} |λ| = {sizes}, residual {cycles.residual[i]:.0e}")
with plots.style():
    figure, ax = plt.subplots(figsize=(5.6, 3.2), layout="constrained")
    cycles.plot(ax)
    ax.axhline(0, color=palette.LIGHT, zorder=0)
    ax.axvline(0, color=palette.LIGHT, zorder=0)
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    ax.set_title("two ReLU units: every cycle up to period 5")

# %% [markdown]
# **To take home.** Attractors say what a network remembers. Saddles between them say where it decides, and their stable
# sets are the only places, short of chaos, from which a gradient grows for long. Next to them it is large for a while
# and then gone: memory and gradient exclude one another.
