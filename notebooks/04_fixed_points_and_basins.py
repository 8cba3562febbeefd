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
from jax.tree_util import Partial

import rnn_dynamics as rd
from rnn_dynamics import plots
from rnn_dynamics.dynamics.basins import edge_state
from rnn_dynamics.dynamics.equilibria import piecewise_linear_cycles

plt.rcParams["figure.dpi"] = 72
palette = plots.palette

# %% [markdown]
# ## 1. Bring a cell
#
# Here are two gated units, written down as one would anywhere. `Partial` keeps the weights apart from the function, so
# that other weights compile nothing anew. Newton's method starts from 400 states; these states are also simply iterated,
# as Newton's method may lead all of them to saddles, and what their orbits end at joins the list. The printed line says
# how many orbits end at each attractor that is listed and how many elsewhere: a point that neither method met would not
# show.


# %%
def gated(weights, x, u):
    gate = jax.nn.sigmoid(jnp.dot(weights["gate"], x) + 0.5)
    return (1 - gate) * x + gate * jnp.tanh(jnp.dot(weights["state"], x) + weights["bias"] + u)


cell = Partial(
    gated,
    {
        "gate": jnp.array([[0.5, -1.0], [1.0, 0.5]]),
        "state": jnp.array([[2.0, -0.3], [0.2, 1.8]]),
        "bias": jnp.array([0.05, -0.1]),
    },
)
rest = np.zeros(2)  # no input
starts = np.random.default_rng(0).uniform(-1.2, 1.2, (400, 2))
points = rd.fixed_points(cell, starts, u=rest)
print(points)
for i in range(len(points)):
    sizes = np.abs(points.multipliers[i]).round(3)
    print(
        f"{points.kind[i]:9} at {points.points[i].round(3)}, |λ| = {sizes}, residual {points.residual[i]:.0e}"
    )

# %% [markdown]
# A multiplier inside the unit circle is a direction that is forgotten, one outside a direction in which neighbours part.
# Four stable points: this network holds two bits. A saddle stands between each two neighbours.

# %%
with plots.style():
    figure, axes = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
    points.plot(axes[0], legend=False)
    axes[0].set_title("fixed points")
    plots.multipliers(points, axes[1])
    axes[1].set_title("multipliers")

# %% [markdown]
# **Slow points.** Hold an input just past the value at which one of the memories is lost. Its fixed point is gone, but
# orbits linger where it was: there $q=\frac12\|F(x)-x\|^2$ has a minimum above 0. Slow points are kept apart, as they are
# no fixed points.

# %%
push = np.array([0.2, 0.0])
pushed = rd.fixed_points(cell, starts, u=push)
print(pushed)
print(pushed.slow, "at", pushed.slow.points.round(3))
ghost = pushed.slow.points[0]
lost = min(points.points[points.stable], key=lambda x: np.linalg.norm(x - ghost))
orbit = np.asarray(rd.rollout(cell, lost, np.tile(push, (120, 1))).states)
with plots.style():
    figure, ax = plt.subplots(figsize=(6, 2.4), layout="constrained")
    ax.plot(orbit[:, 0], color=palette.BLUE, marker=".", markersize=4, label="unit 0")
    ax.axhline(ghost[0], color=palette.GREY, linestyle=":", label="slow point")
    ax.set(xlabel="step t", ylabel="state", title="an orbit at the ghost of a lost memory")
    ax.legend(loc="center right")

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
# `basins` labels every start of a grid by trapping regions, not by a run that stopped moving. What flows *into* a saddle,
# its stable set, is the boundary between two basins; what flows out, its unstable set, runs to the attractors on both
# sides.

# %%
axis = np.linspace(-1.3, 1.3, 200)
labels = rd.basins(cell, np.stack(np.meshgrid(axis, axis), -1), points, u=rest)
print(labels)
saddles = points.points[np.array(points.kind) == "saddle"]
stable = [rd.stable_set(cell, x, u=rest, length=3.0) for x in saddles]
unstable = [rd.unstable_set(cell, x, u=rest, length=3.0) for x in saddles]
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
low, high = points.points[points.stable][:2]
edge = edge_state(cell, low, high, points, u=rest)
print(edge, "multipliers", np.real(edge.multipliers).round(4))

# %% [markdown]
# ## 4. What the boundary does to the gradient
#
# Start at a distance $d$ beside the saddle. For some $\ln(1/d)/\ln\lambda_u$ steps the orbit stays there, and
# $\partial x_t/\partial x_0$ grows like $\lambda_u^t$. Then it falls into a basin, and the gradient is forgotten at the
# attractor's own rate. It explodes for ever only *on* the boundary; nearby it peaks, at about $1/d$, and vanishes.

# %%
grown = max(edge.multipliers.real)
curve = rd.unstable_set(cell, edge.state, u=rest, length=0.5)
with plots.style():
    figure, ax = plt.subplots(figsize=(6.4, 3), layout="constrained")
    for distance, colour in zip((1e-1, 1e-3, 1e-5, 1e-7, 0.0), palette.SERIES, strict=False):
        run = rd.rollout(cell, edge.state + distance * curve.direction, np.zeros((90, 2)))
        log = np.asarray(rd.pushforward(run, curve.direction).norm().log()) / np.log(10)
        ax.plot(log, color=colour, label=f"d = {distance:g}" if distance else "on the saddle (in floats)")
    t = np.arange(91)
    ax.plot(t, t * np.log10(grown), color=palette.GREY, linestyle=":", label="$\\lambda_u^t$")
    ax.set(xlabel="step t", ylabel="log₁₀ ‖∂x_t/∂x_0 · v‖", ylim=(-16, 10))
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
    ax.set_title("two ReLU units: every cycle up to period 3")

# %% [markdown]
# **To take home.** Attractors say what a network remembers. Saddles between them say where it decides, and their stable
# sets are the only places, short of chaos, from which a gradient grows for long. Next to them it is large for a while
# and then gone: memory and gradient exclude one another.
