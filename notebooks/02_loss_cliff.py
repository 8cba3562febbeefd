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
# # The cliff in the loss
#
# Training a recurrent network sometimes goes well for a long time and then throws the weights far away in one update.
# Pascanu, Mikolov and Bengio (2013) drew why: the loss has a wall. Here it is computed exactly, with its position, its
# height, its limit for infinitely many steps, and what clipping does at it.
#
# **Question.** Where is the wall, how high is it, and does clipping the gradient help?

# %%
import jax

jax.config.update("jax_enable_x64", True)

import matplotlib.pyplot as plt
import numpy as np

from rnn_dynamics import cliff, plots

plt.rcParams["figure.dpi"] = 80

# %% [markdown]
# ## 1. Along one parameter
#
# One neuron, $x_{t+1}=\sigma(5x_t+b)$ from $x_0=½$, asked to end at 0.855: $L(b) = (0.855-x_T(b))^2$.

# %%
b = np.linspace(-2.52, -2.48, 401)
profile = cliff.profile(b, steps=[5, 10, 20, 50])
with plots.style():
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.4), layout="constrained")
    plots.loss_profile(profile, axes[0])
    plots.loss_profile(profile, axes[1], quantity="gradient")

# %%
wall = cliff.wall(5.0)
print(wall)

# %% [markdown]
# **What it shows.** With every further step the slope at $b=-2.5$ is 1.25 times steeper, 1.25 being the multiplier of
# the unstable equilibrium. In the limit the loss *jumps* there, from 4.2e−8 above to 0.504 below. At any finite $T$ it
# is smooth, and its largest slope is

# %%
for steps in (10, 20, 30, 40, 50):
    near = np.linspace(-2.5 - 3 * 1.25**-steps, -2.5 + 3 * 1.25**-steps, 2001)
    slope = np.max(np.asarray(cliff.loss(5.0, near, steps=steps).db.log10()))
    print(f"T = {steps}   max |dL/db| = {10**slope:10.1f}   / 1.25^T = {10**slope / 1.25**steps:.3f}")

# %% [markdown]
# **Why there?** The wall stands where the start $x_0$ lies on the boundary between two basins: on the unstable
# equilibrium, $b_{wall}(w) = \ln\frac{x_0}{1-x_0} - w x_0$. No attractor appears or vanishes at it. A negative
# weight has a wall too: there its two sides are the two phases of a 2-cycle.

# %%
for w in (3.0, 4.5, 5.0, 8.0, -8.0):
    print(f"w = {w:4.1f}   {cliff.wall(w)}")

# %% [markdown]
# ## 2. Over two parameters, with descent
#
# Pascanu's figure 6: $E=(\sigma(x_{50})-0.7)^2$ for $x_t = w\sigma(x_{t-1})+b$. Two descents from one start, with and
# without Algorithm 1 (if $\|g\|\ge$ threshold, scale it to the threshold).

# %%
start = {"w": 4.75, "b": -2.0, "rate": 0.1, "updates": 100, "steps": 50}
plain, clipped = cliff.descend(**start), cliff.descend(**start, clip=1.0)
print(plain)
print(clipped)

# %%
surface = cliff.surface(np.linspace(3.5, 10, 160), np.linspace(-4, 6.5, 160), steps=50)
with plots.style():
    axes = plots.loss_surface(surface)
    plots.descent(plain, axes, label="unclipped", color=plots.palette.VERMILION)
    plots.descent(clipped, axes, label="clipped at 1", color=plots.palette.SKY)
    axes.legend(loc="upper left", frameon=True)
    plt.gcf().set_size_inches(6.6, 4.4)

# %% [markdown]
# Without clipping one step meets the wall and is thrown across the map. With clipping the same step is short, and the
# descent goes on along the wall's foot.
#
# **How rare is it?** The share of this map where the gradient is larger than a threshold:

# %%
for threshold in (0.1, 1.0, 10.0, 100.0):
    print(f"‖g‖ > {threshold:5.1f} on {100 * float(surface.steep_share(threshold)):.2f} % of the map")

# %% [markdown]
# ## 3. What the stories leave out
#
# * *"Clipping cures vanishing gradients."* It cannot: it only ever shortens. On the plateau left of the wall the
#   gradient is small with or without it.
# * *A published path is a number to compare with.* Not always. The descent from $(6,-3)$ with rate 0.1 for 500 updates
#   is itself chaotic: move the start by one float and it ends elsewhere. `descend` runs a second path one float apart
#   and says so:

# %%
print(cliff.descend(w=6.0, b=-3.0, rate=0.1, updates=500, steps=50))

# %% [markdown]
# **To edit.** Take another threshold, another rate, or an optax optimiser:
# `cliff.descend(w=4.75, b=-2.0, optimizer=optax.adam(0.05), updates=200)`.
