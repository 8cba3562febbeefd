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
# # 02 The cliff in the loss
#
# **Question.** Why does one update throw the weights far away?
#
# *30 minutes; needs 01.*
#
# Training a recurrent network sometimes goes well for a long time, and then a single update ruins it. Pascanu,
# Mikolov and Bengio (2013) drew why: the loss has a wall. Here it is computed exactly, with its position, its
# height, its limit for infinitely many steps, and what clipping the gradient does at it.

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
from rnn_dynamics import cliff

# %% [markdown]
# ## 1. Along one parameter
#
# One neuron, $x_{t+1}=\sigma(5x_t+b)$ from $x_0=½$, asked to end at 0.855: $L(b) = (0.855-x_T(b))^2$. It is the
# example of *Wikipedia*, the free encyclopedia, in its article "Vanishing gradient problem".

# %%
b = np.linspace(-2.52, -2.48, 401)
profile = cliff.profile(b, steps=[5, 10, 20, 50])
with plots.style():
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    plots.loss_profile(profile, axes[0])
    plots.loss_profile(profile, axes[1], quantity="gradient")
    for ax in axes:
        ax.set_xticks([-2.52, -2.51, -2.5, -2.49, -2.48])

# %% [markdown]
# With every further step the slope at $b=-2.5$ is 1.25 times steeper, 1.25 being the multiplier of the unstable
# equilibrium. At any finite $T$ the loss is smooth, and its largest slope is

# %%
for steps in (10, 20, 30, 40, 50):
    near = np.linspace(-2.5 - 3 * 1.25**-steps, -2.5 + 3 * 1.25**-steps, 2001)
    slope = np.max(np.asarray(cliff.loss(5.0, near, steps=steps).db.log10()))
    print(f"T = {steps}   max |dL/db| = {10**slope:8.1f}   / 1.25^T = {10**slope / 1.25**steps:.3f}")

# %% [markdown]
# **What it shows.** The wall is where the start $x_0$ lies on the boundary between two basins, that is on the
# unstable equilibrium: $b_{wall}(w) = \ln\frac{x_0}{1-x_0} - w x_0$. No attractor appears or vanishes at it. As
# $T\to\infty$ the loss *jumps* there. A negative weight has a wall too: there its two sides are the two phases of a
# 2-cycle. In between there is none.

# %%
print("   w      wall at b   loss below   above")
for w in (3.0, 4.5, 5.0, 8.0, -8.0):
    wall = cliff.wall(w)
    place, below, above = (float(one) for one in (wall.b, wall.below, wall.above))
    if np.isnan(place):
        print(f"{w:5.1f}           none")
    else:
        print(f"{w:5.1f}   {place:12.2f}   {below:10.6f}   {above:.2e}")

# %% [markdown]
# ## 2. Descent on it, to play with
#
# The loss over both parameters, and two descents from one start: plain, and with *Algorithm 1* of the paper (where
# $\|g\|\ge$ threshold, $g$ is scaled to the threshold). In a running notebook drag the start, and move threshold
# and rate.

# %%
rd.explore.cliff()

# %% [markdown]
# Things to try: a rate of .05, and the plain path survives; a rate of .01, and neither is thrown, nor arrives; a
# threshold of 50, and the clipped path is thrown as well; a start above the wall, from which both find the valley;
# $T=5$ steps, at which the wall is a slope.
#
# ## 3. Figure 6 of the paper
#
# The same with $E=(\sigma(x_{50})-0.7)^2$ for $x_t = w\sigma(x_{t-1})+b$:

# %%
start = {"w": 4.75, "b": -2.0, "rate": 0.1, "updates": 100, "steps": 50}
plain, clipped = cliff.descend(**start), cliff.descend(**start, clip=1.0)
for name, path in (("unclipped", plain), ("clipped at 1", clipped)):
    w, b, loss = (float(one[-1]) for one in (path.w, path.b, path.loss.value))
    print(f"{name:13} ends at w = {w:.3f}, b = {b:.3f}, with E = {loss:.5f}")
surface = cliff.surface(np.linspace(3.5, 10, 160), np.linspace(-4, 6.5, 160), steps=50)
with plots.style():
    axes = plots.loss_surface(surface)
    plots.descent(plain, axes, label="unclipped", color=plots.palette.VERMILION)
    plots.descent(clipped, axes, label="clipped at 1", color=plots.palette.SKY)
    axes.legend(loc="upper left", frameon=True)
    axes.set_title("descent from the circle to the stars")
    plt.gcf().set_size_inches(7.5, 4.8)

# %% [markdown]
# **What it shows.** Without clipping one step meets the wall and is thrown across the map, to a plateau from which
# nothing leads back. With clipping the same step is short, and the descent goes on along the wall's foot.
#
# **How rare is it?** The share of this map where the gradient is larger than a threshold:

# %%
for threshold in (0.1, 1.0, 10.0, 100.0):
    print(f"‖g‖ > {threshold:5.1f} on {100 * float(surface.steep_share(threshold)):.3f} % of the map")

# %% [markdown]
# The wall takes next to no room. A descent meets it all the same, as the gradient of the loss leads to it: the target
# .855 itself lies behind it, at $b=-2.500632$.
#
# ## 4. What the stories leave out
#
# * *"Clipping cures vanishing gradients."* It cannot: it only ever shortens. On the plateau the gradient is small
#   with or without it (notebook 09).
# * *"A published path is a number to compare with."* Not always. The descent from $(6,-3)$ with rate 0.1 for 500
#   updates is itself chaotic: move the start by one float and it ends elsewhere. `descend` runs a second path one
#   float apart and says so:

# %%
found = cliff.descend(w=6.0, b=-3.0, rate=0.1, updates=500, steps=50)
print(
    f"ends at w = {float(found.w[-1]):.2f}, b = {float(found.b[-1]):.2f}: {rd.Status(int(found.status)).name}"
)

# %% [markdown]
# ## To take home
#
# A wall in the loss is the boundary of a basin, seen in the space of the weights. It stands where the start changes
# its basin, it is as steep as the repelling state's multiplier to the power $T$, and clipping makes it harmless,
# not flat.
#
# ## Reading
#
# Pascanu, Mikolov and Bengio (2013), sections 2.3 and 3.2 with Algorithm 1 and figure 6. *Wikipedia*, the free
# encyclopedia, "Vanishing gradient problem", section "Geometric model". Doya (1992), who saw that learning has to
# cross such places. Full references stand in notebook 00; of networks with more units and their cliffs,
# `rnn-dynamics reproduce --only two_neuron_cliff`.
#
# ## Exercises
#
# **1.** Move the start to $x_0=0.3$ at $w=6$. Where is the wall now, and by which factor does its slope grow with
# every step?

# %% [markdown]
# <details><summary>Answer</summary>
#
# At $b=\ln\frac{.3}{.7}-6\cdot.3=-2.6473$, and by the multiplier of the unstable equilibrium there,
# $w\,x_0(1-x_0)=1.26$.
#
# ```python
# print(round(float(rd.doya.wall(6.0, 0.3)), 4))
# peaks = [
#     np.max(np.asarray(cliff.loss(6.0, wall + 1.26**-T * np.linspace(-3, 3, 2001), steps=T, x0=0.3).db.log10()))
#     for wall in [rd.doya.wall(6.0, 0.3)]
#     for T in (40, 50)
# ]
# print(f"{10 ** ((peaks[1] - peaks[0]) / 10):.3f} a step")
# ```
#
# ```text
# -2.6473
# 1.260 a step
# ```
#
# </details>

# %% [markdown]
# **2.** For which weights is there no wall at all, with $x_0=½$ and $\varepsilon=1$? Why?

# %% [markdown]
# <details><summary>Answer</summary>
#
# For $-4\le w\le4$. A wall needs a repelling equilibrium that $x_0$ can lie on. At $x_0=½$ the multiplier is $w/4$:
# above 1 for $w>4$, where the other side is the other attractor; below $-1$ for $w<-4$, where it is the other phase
# of the 2-cycle. In between every start goes to one and the same attractor, and the loss has no place to jump.
#
# ```python
# print([bool(np.isnan(float(cliff.wall(w).b))) for w in (-4.1, -3.9, 0.0, 3.9, 4.1)])
# ```
#
# ```text
# [False, True, True, True, False]
# ```
#
# </details>
