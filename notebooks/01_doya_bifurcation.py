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
# # 01 One neuron, and where its gradient goes
#
# **Question.** Which states does one neuron keep, and where does its gradient go?
#
# *40 minutes; needs derivatives.*
#
# A single recurrent neuron already has everything that makes a recurrent network hard to train: attractors, a
# boundary between them, and places where they appear or vanish as a weight moves. The neuron is Doya's (1992),
# $$x_{t+1} = (1-\varepsilon)\,x_t + \varepsilon\,\sigma(w\,x_t + b),\qquad \sigma(z) = \frac{1}{1+e^{-z}},$$
# and three things are asked of it: where it settles, how large $\partial x_T/\partial x_0$ is, and when a computed
# number may be trusted.

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
from rnn_dynamics import doya

# %% [markdown]
# ## 1. The attractors
#
# An equilibrium solves $x = \sigma(wx+b)$. Solved for the *bias* that is a closed form, $b = \ln\frac{x}{1-x} -
# wx$, for every $\varepsilon$; solved for the state it has one root or three. Its *multiplier*
# $1-\varepsilon+\varepsilon w\,x(1-x)$ is the factor by which a step changes a small distance to it.

# %%
points = doya.equilibria(5.0, -2.5)
for x, multiplier, stable in zip(points.points, points.multipliers, points.stable, strict=True):
    print(f"x = {x:.6f}   multiplier {multiplier:.4f}   {'stable' if stable else 'unstable'}")
low, high = sorted(np.asarray(doya.folds(5.0).b))
print(f"three equilibria for b from {low:.6f} to {high:.6f}")

# %%
diagram = doya.bifurcation_diagram(5.0, np.linspace(-3, -2, 301))
with plots.style():
    diagram.plot()
    plt.gcf().set_size_inches(7, 3.8)

# %% [markdown]
# **What it shows.** For $b$ between the two folds the neuron remembers one bit: it settles low or high, depending on
# where it started. The dashed branch is the boundary between the two basins. A parameter can move the network into
# trouble in two ways: through a *fold* (one of two values of $b$), where an attractor vanishes, or through the
# *basin boundary* (anywhere in the band), where the state falls to the other side although no attractor has changed.
# It is figure 3 of Pascanu, Mikolov and Bengio (2013).
#
# **What is said, and what is true.** *Wikipedia*, the free encyclopedia, says of this curve in its article
# "Vanishing gradient problem" that its points are stable. The part with $x\in(0.2764, 0.7236)$ is not: there
# $w\,x(1-x)>1$. The point ½ in the table above lies on it.
#
# ## 2. One neuron to play with
#
# The same diagram, with the orbit, its gradient, and the plane of $w$ and $b$. In a running notebook drag the points,
# or move them with the arrow keys.

# %%
rd.explore.neuron(w=5, b=-2.5, x0=0.47)

# %% [markdown]
# Drag $b$ over a fold, and $x_0$ over the dashed branch: the two ways into trouble. Then take $w$ down to 4, where the
# two folds meet in the *cusp* at $(w,b)=(4,-2)$ and the memory ends; and to $w=-8$, $b=4$, where the equilibrium has
# *flipped*: it hands over to a 2-cycle. The two pictures below are these two places for good.

# %%
with plots.style():
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    up = np.linspace(4, 10, 200)
    axes[0].plot(up, doya.folds(up).b, color="k")
    axes[0].plot(*doya.cusp()[:2], label="cusp", **plots.palette.CUSP)
    axes[0].set(xlabel="weight w", ylabel="bias b", title="folds: three equilibria between the curves")
    axes[0].legend()
    plots.bifurcation_diagram(doya.bifurcation_diagram(-8.0, np.linspace(-1, 9, 301)), axes[1], legend=False)
    axes[1].set(ylim=(-0.02, 1.02), title="w = −8: the equilibrium flips to a 2-cycle")
    figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower right", ncols=4)

# %% [markdown]
# ## 3. The gradient near the boundary
#
# Take $w=5$, $b=-2.5$, whose unstable equilibrium is exactly ½, and start next to it. Gradients are printed as
# powers of ten: they leave the range of floats soon, and are carried as a float and a power of two.

# %%
for steps in (1, 10, 35, 50, 100, 2000):
    result = doya.sensitivities(5.0, -2.5, 0.4999, steps)
    print(f"T = {steps:4d}   ∂x_T/∂x_0 = 10^{float(result.initial.log10()):7.2f}")

# %% [markdown]
# The gradient grows while the orbit lingers at the boundary, peaks at a finite $T$, and then vanishes: the orbit has
# reached its attractor. On the boundary itself, $x_0=½$, it grows for ever, as $(1+\varepsilon/4)^T$.
#
# Now every start and every bias at once: 300 biases and 200 starts, 50 steps, with an error bound for each.

# %%
b, x0 = np.linspace(-2.9, -2.1, 300), np.linspace(0, 1, 200)
result = doya.sensitivities(5.0, b, x0[:, None], 50)
trusted = np.asarray(result.status) == rd.Status.RESOLVED
print(f"{trusted.size} gradients, {trusted.sum()} of them with digits that can be trusted")
inner = np.linspace(*np.asarray(doya.folds(5.0).x), 200)[1:-1]
with plots.style():
    axes = plots.sensitivity_map(b, x0, result)
    axes.plot(doya.wall(5.0, inner), inner, label="$x_0$ on the unstable equilibrium", **plots.palette.WALL)
    axes.plot(doya.folds(5.0).b, doya.folds(5.0).x, label="fold", **plots.palette.FOLD)
    axes.set(xlabel="bias b", ylabel="start $x_0$", title="who explodes? only starts on the basin boundary")
    axes.legend(loc="upper right", frameon=True)
    plt.gcf().set_size_inches(7.5, 4.2)

# %% [markdown]
# **A vanishing gradient is no sensitivity.** It is often said that vanishing gradients make the output sensitive to
# tiny perturbations. It is the reverse: in the blue part the output has forgotten its start.
#
# **A ratio of differences is not the derivative.** Wikipedia's article writes $\Delta x_T/\Delta x_0$. Across the
# boundary that ratio tends to the distance between the two attractors divided by $\Delta x_0$, and stays there for
# every $T$, while the derivative goes to 0:

# %%
for steps in (10, 100, 1000):
    ratio = doya.finite_ratios(5.0, -2.5, 0.5, steps, dx0=5e-4).initial
    derivative = doya.sensitivities(5.0, -2.5, 0.5 - 5e-4, steps).initial
    print(
        f"T = {steps:4d}   Δx_T/Δx_0 = {float(ratio):8.3f}"
        f"   ∂x_T/∂x_0 at the left start = 10^{float(derivative.log10()):7.2f}"
    )

# %% [markdown]
# ## 4. When may you trust the number?
#
# "Run it long enough and look" fails just where the question is interesting. Next to a fold an orbit needs thousands
# of steps; an unstable fixed point can hold a float orbit for ever. The labels below come from the sign of
# $\ln\frac{x_0}{1-x_0} - wx_0 - b$, formed with twice the digits where rounding could flip it.

# %%
half = 0.5
for name, start in {
    "the float below ½": np.nextafter(half, 0),
    "½": half,
    "the one above": np.nextafter(half, 1),
}.items():
    print(f"x0 = {name:18} {doya.Basin(int(doya.basin_label(5.0, -2.5, start))).name}")

# %%
w, bias = np.linspace(-12, 8, 240), np.linspace(-6, 8, 200)
with plots.style():
    axes = plots.basin_map(w, bias, doya.basin_label(w, bias[:, None], 0.45))
    axes.set(xlabel="weight w", ylabel="bias b", title="where the orbit of $x_0 = 0.45$ ends (ε = 1)")
    axes.get_legend().set_loc("upper right")
    plt.gcf().set_size_inches(7.5, 4.2)

# %% [markdown]
# For $\varepsilon<1$ and a strongly negative weight the neuron is chaotic. After some 80 steps rounding has
# replaced the orbit, and with it the gradient. The running error bound notices; a bare number would not.

# %%
for steps in (20, 60, 100, 200):
    found = doya.sensitivities(-100.0, 90.0, 0.3, steps, epsilon=0.5)
    size, error = float(found.initial.log10()), float(found.state_error)
    print(
        f"T = {steps:3d}   x_T = {float(found.state):.4f} ± {error:.0e}   |∂x_T/∂x_0| = 10^{size:5.2f}"
        f"   {rd.Status(int(found.status)).name}"
    )

# %% [markdown]
# ## To take home
#
# The gradient of this neuron explodes at the boundary of a basin and in chaos; inside a basin it vanishes. A memory
# that is held by an *attractor* therefore means a gradient that vanishes. Memories of another kind, which let
# neither die, need something that one squashed neuron does not have (notebook 06).
#
# ## Reading
#
# Doya (1992) for the neuron and its bifurcations. Pascanu, Mikolov and Bengio (2013), section 2.3, for what they do
# to gradients. Bengio, Simard and Frasconi (1994) for latching a bit in an attractor, and its price. *Wikipedia*,
# the free encyclopedia, "Vanishing gradient problem", section "Dynamical systems model". Strogatz (2015), chapters
# 3 and 10, for folds and maps from scratch. Full references stand in notebook 00.
#
# ## Exercises
#
# **1.** For which biases does a neuron with $w=6$ keep a bit? Guess first: is the band wider or narrower than at
# $w=5$, and around which bias does it lie?

# %% [markdown]
# <details><summary>Answer</summary>
#
# Wider, and around $b=-w/2=-3$. The folds are where the multiplier is 1, $6x(1-x)=1$, that is
# $x=\frac12(1\pm\sqrt{1-4/6})$, and $b=\ln\frac{x}{1-x}-6x$ there:
#
# ```python
# print(np.sort(np.asarray(doya.folds(6.0).b)).round(4))
# ```
#
# ```text
# [-3.4151 -2.5849]
# ```
#
# </details>

# %% [markdown]
# **2.** Wikipedia's article says that along a stable branch $\partial x_\infty/\partial b$ "neither decays nor
# blows up". Differentiate $x=\sigma(wx+b)$, and look at $w=5$ on the upper branch, near the fold and at $b=30$.

# %% [markdown]
# <details><summary>Answer</summary>
#
# $\partial x_\infty/\partial b=\bigl(\frac1{x(1-x)}-w\bigr)^{-1}$. At a fold $w\,x(1-x)=1$ and it is infinite;
# where the neuron is saturated $x(1-x)$ goes to 0 and it vanishes. Only in between it does neither.
#
# ```python
# fold = min(np.asarray(doya.folds(5.0).b))
# for bias in (fold + 1e-8, fold + 1e-4, -2.5, 0.0, 30.0):
#     x = float(np.nanmax(doya.equilibria(5.0, bias).points))
#     product = x / (1 + np.exp(5 * x + bias))  # x (1 - x), with its digits where x rounds to 1
#     print(f"b = fold + {bias - fold:.1e}   {1 / (1 / product - 5):.2e}")
# ```
#
# ```text
# b = fold + 1.0e-08   2.11e+03
# b = fold + 1.0e-04   2.09e+01
# b = fold + 1.6e-01   3.25e-01
# b = fold + 2.7e+00   7.12e-03
# b = fold + 3.3e+01   6.31e-16
# ```
#
# </details>

# %% [markdown]
# **3.** From $x_0=0.49$ the gradient first grows, then dies. Which state does the orbit pass when the gradient is
# largest? Find it without computing the gradient.

# %% [markdown]
# <details><summary>Answer</summary>
#
# Step $t$ multiplies the gradient by $w\,x_t(1-x_t)$, with the state *after* the step. That is above 1 as long as
# $x_t$ lies between the states of the two folds, .2764 and .7236, for every bias. The gradient peaks at the last
# step before the orbit passes .2764.
#
# ```python
# orbit = [0.49]
# while orbit[-1] > 0.2764:
#     orbit.append(1 / (1 + np.exp(2.5 - 5 * orbit[-1])))
# peak = len(orbit) - 2
# sizes = [float(doya.sensitivities(5.0, -2.5, 0.49, T).initial.log10()) for T in (peak - 1, peak, peak + 1)]
# print(peak, int(np.argmax(sizes)) == 1)
# ```
#
# ```text
# 14 True
# ```
#
# </details>
