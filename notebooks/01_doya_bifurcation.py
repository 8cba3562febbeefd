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
# # One neuron, and where its gradient goes
#
# A single recurrent neuron already has everything that makes a recurrent network hard to train: attractors, a
# boundary between them, and places where they appear or vanish as a weight moves. This notebook asks three questions.
#
# 1. Which states does the neuron settle in, and where does that set change? (Doya 1992; Pascanu et al. 2013, fig. 3)
# 2. How large is the gradient $\partial x_T/\partial x_0$ near such a change?
# 3. When may you trust the number?
#
# The neuron is
# $$x_{t+1} = (1-\varepsilon)\,x_t + \varepsilon\,\sigma(w\,x_t + b),\qquad \sigma(z) = \frac{1}{1+e^{-z}}.$$

# %%
import jax

jax.config.update("jax_enable_x64", True)

import matplotlib.pyplot as plt
import numpy as np

from rnn_dynamics import doya, plots

plt.rcParams["figure.dpi"] = 80

# %% [markdown]
# ## 1. The attractors
#
# An equilibrium solves $x = \sigma(wx+b)$. Solved for the *bias* that is a closed form,
# $b = \ln\frac{x}{1-x} - wx$, for every $\varepsilon$; solved for the state it has one root or three.

# %%
print(doya.equilibria(5.0, -2.5))

# %%
diagram = doya.bifurcation_diagram(5.0, np.linspace(-3, -2, 301))
print(diagram)
with plots.style():
    diagram.plot()
    plt.gcf().set_size_inches(6, 3.6)

# %% [markdown]
# **What it shows.** For $b$ between the two folds the neuron remembers one bit: it settles low or high, depending on
# where it started. The dashed branch is the boundary between the two basins. A parameter can move the network into
# trouble in two ways: through a *fold* (one of two values of $b$), where an attractor vanishes, or through the
# *basin boundary* (anywhere in the band), where the state falls to the other side although no attractor has changed.
#
# **What the textbooks get wrong.** The encyclopedia says of this curve that its points are stable. The part with
# $x\in(0.2764, 0.7236)$ is not:

# %%
points = doya.equilibria(5.0, -2.5)
for x, multiplier, stable in zip(points.points, points.multipliers, points.stable, strict=True):
    print(f"x = {x:.6f}   multiplier {multiplier:.4f}   {'stable' if stable else 'unstable'}")

# %% [markdown]
# Over both parameters the folds are two curves that meet in a cusp at $(w,b) = (4,-2)$. With a strongly negative
# weight the equilibrium *flips*: it hands over to a 2-cycle. Edit the ranges and run it again.

# %%
with plots.style():
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    up = np.linspace(4, 10, 200)
    axes[0].plot(up, doya.folds(up).b, color="k")
    axes[0].plot(*doya.cusp()[:2], label="cusp", **plots.palette.CUSP)
    axes[0].set(xlabel="weight w", ylabel="bias b", title="folds: three equilibria between the curves")
    axes[0].legend()
    plots.bifurcation_diagram(doya.bifurcation_diagram(-8.0, np.linspace(-1, 9, 301)), axes[1])
    axes[1].set(ylim=(-0.05, 1.4), title="w = −8: the equilibrium flips to a 2-cycle")
    axes[1].legend(loc="upper left", ncols=2, fontsize=8)

# %% [markdown]
# ## 2. The gradient near the boundary
#
# Take $w=5$, $b=-2.5$, whose unstable equilibrium is exactly ½, and start next to it.

# %%
for steps in (1, 10, 35, 50, 100):
    result = doya.sensitivities(5.0, -2.5, 0.4999, steps)
    print(f"T = {steps:3d}   ∂x_T/∂x_0 = {result.initial}")

# %% [markdown]
# The gradient grows while the orbit lingers at the boundary, peaks at a finite $T$, and then vanishes: the orbit has
# reached its attractor. On the boundary itself, $x_0=½$, it grows for ever, as $(1+\varepsilon/4)^T$.
#
# Now every start and every bias at once: 300 × 400 neurons, 50 steps, with an error bound for each.

# %%
b, x0 = np.linspace(-2.9, -2.1, 300), np.linspace(0, 1, 200)
result = doya.sensitivities(5.0, b, x0[:, None], 50)
print(result)
inner = np.linspace(*np.asarray(doya.folds(5.0).x), 200)[1:-1]
with plots.style():
    axes = plots.sensitivity_map(b, x0, result)
    axes.plot(doya.wall(5.0, inner), inner, label="$x_0$ on the unstable equilibrium", **plots.palette.WALL)
    axes.plot(doya.folds(5.0).b, doya.folds(5.0).x, label="fold", **plots.palette.FOLD)
    axes.set(xlabel="bias b", ylabel="start $x_0$", title="who explodes? only starts on the basin boundary")
    axes.legend(loc="upper left", frameon=True)
    plt.gcf().set_size_inches(6.2, 3.8)

# %% [markdown]
# ### A ratio of differences is not the derivative
#
# The encyclopedia writes $\Delta x_T/\Delta x_0$. Across the boundary that ratio tends to the distance between the two
# attractors divided by $\Delta x_0$, and stays there for every $T$, while the derivative goes to 0:

# %%
for steps in (10, 100, 1000):
    ratio = doya.finite_ratios(5.0, -2.5, 0.5, steps, dx0=5e-4).initial
    derivative = doya.sensitivities(5.0, -2.5, 0.5 - 5e-4, steps).initial
    print(f"T = {steps:4d}   Δx_T/Δx_0 = {float(ratio):9.4f}   ∂x_T/∂x_0 at the left start = {derivative}")

# %% [markdown]
# ## 3. When may you trust the number?
#
# "Run it long enough and look" fails just where the question is interesting. Next to a fold an orbit needs thousands
# of steps; an unstable fixed point can hold a float orbit for ever. The labels below come from the sign of
# $\ln\frac{x_0}{1-x_0} - wx_0 - b$, formed with twice the digits where rounding could flip it.

# %%
half = 0.5
for start in (np.nextafter(half, 0), half, np.nextafter(half, 1)):
    print(f"x0 = {start!r:24}  {doya.Basin(int(doya.basin_label(5.0, -2.5, start))).name}")

# %%
w, bias = np.linspace(-12, 8, 240), np.linspace(-6, 8, 200)
with plots.style():
    axes = plots.basin_map(w, bias, doya.basin_label(w, bias[:, None], 0.45))
    axes.set(xlabel="weight w", ylabel="bias b", title="where the orbit of $x_0 = 0.45$ ends (ε = 1)")
    plt.gcf().set_size_inches(6.2, 3.8)

# %% [markdown]
# For $\varepsilon<1$ and a strongly negative weight the neuron is chaotic. After some 80 steps rounding has replaced the
# orbit, and with it the gradient. The running error bound notices; a bare number would not.

# %%
for steps in (20, 60, 100, 200):
    print(f"T = {steps:3d}   {doya.sensitivities(-100.0, 90.0, 0.3, steps, epsilon=0.5)}")

# %% [markdown]
# **To take home.** The gradient explodes only at the boundary of a basin or in chaos; inside a basin it vanishes,
# and a stable memory *means* that it vanishes. Try `epsilon=0.3` above: the curve of equilibria stays, its stability
# and the speed change.
