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
# # Is a spectral radius below one enough?
#
# Many textbooks, an encyclopedia and the first two versions of Pascanu et al. (arXiv 1211.5063) say: if the *spectral
# radius* of the recurrent weights is below $1/\gamma$, with $\gamma$ the largest slope of the activation, gradients
# vanish. The published paper says it of the largest *singular value*. One of the two is a theorem.
#
# For $x_{t+1}=\phi(Wx_t+b)$ the gradient over $n=T-k$ steps is a product of Jacobians,
# $\partial x_T/\partial x_k = J_T\cdots J_{k+1}$, and
# $$\|\partial x_T/\partial x_k\|_2 \le \prod_i \|J_i\|_2 \le (\gamma\,s_1(W))^n,
# \qquad\text{but not}\quad \le (\gamma\,\rho(W))^n.$$

# %%
import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import rnn_dynamics as rd
from rnn_dynamics import plots, spectral

plt.rcParams["figure.dpi"] = 72

# %% [markdown]
# ## 1. A random network, three radii
#
# Every norm below is that of the exact product, carried as a float and a power of two: there is no underflow.

# %%
with plots.style():
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.3), layout="constrained")
    for ax, radius in zip(axes, (0.5, 0.95, 1.5), strict=True):
        cell = rd.random_rnn(jax.random.key(1), 32, spectral_radius=radius)
        run = rd.rollout(cell, 0.1 * jnp.ones(32), steps=100)
        bounds = rd.product_bounds(run)
        plots.norms_against_lag(bounds, ax, legend=ax is axes[0])
        ax.set_title(f"ρ(W) = {radius}")
        print(f"ρ(W) = {radius}: {bounds}")

# %% [markdown]
# **What it shows.** The theorem, $(\gamma s_1)^n$, is safe and useless here: decades a step too high. The popular line,
# $(\gamma\rho)^n$, is close, and crossed. A bound that is crossed is no bound.
#
# ## 2. How it fails
#
# Small matrices show it best.

# %%
cases = spectral.counterexamples()
with plots.style():
    figure, axes = plt.subplots(2, 3, figsize=(11, 6), layout="constrained")
    for ax, case in zip(axes.flat, cases, strict=True):
        case.plot(ax)
        low, high = ax.get_ylim()
        ax.set_ylim(max(low, -high / 2), high)  # a claim of exactly 0 has no place on a log axis
        if ax is not axes.flat[0] and ax.get_legend():
            ax.get_legend().remove()
    axes.flat[0].set_ylim(top=20)  # room for the legend

# %% [markdown]
# * **Shear.** $W=\begin{pmatrix}.9&1\\0&.9\end{pmatrix}$ has $\rho=0.9$, and $\|W^9\|_2\approx 3.9$. Asymptotically it
#   does vanish; a network has finitely many steps.
# * **Fixed point.** $\rho(W)=0$, and at a fixed point of the network the gradient doubles with every step, for ever. The
#   activation's slopes differ from unit to unit; $W\,\mathrm{diag}(\phi')$ is another matrix than $\gamma W$.
# * **Chaos.** $\rho(W)=0$ and the network is chaotic.
# * **Rotation.** The encyclopedia's own example, $W=\begin{pmatrix}0&2\\\epsilon&0\end{pmatrix}$: right algebra, but the
#   logistic has slope at most ¼, so that it explodes only for $\epsilon>8$.
#
# ## 3. How often?
#
# 15 radii, 3 biases, 3 seeds:

# %%
sweep = spectral.radius_sweep(
    np.linspace(0.3, 1.7, 15), biases=[0.0, 0.5, 1.0], seeds=range(3), n=24, steps=60
)
print(sweep)
violated = sweep.excess > 1e-6
print(f"(γρ)^n is exceeded at some lag in {100 * violated.mean():.0f} % of the networks,")
print(
    f"by up to {sweep.excess.max():.2f} decades; the theorem in {int((sweep.log_norms > sweep.log_norm_bound + 1e-6).sum())} of them"
)
with plots.style():
    sweep.plot()
    plt.gcf().set_size_inches(6, 3.6)

# %% [markdown]
# A bias pushes units out of the middle of the tanh, where its slope is 1: gradients vanish at radii well above one. So the
# radius is neither sufficient nor necessary; it is a statement about a *linear* network.
#
# ## 4. Bring your own cell
#
# Any callable pytree `cell(x, u)` works. A cell that declares no structure gets the one bound that needs none.


# %%
def step(parameters, x, u):
    return jnp.tanh(parameters["W"] @ jnp.sin(x) + parameters["b"] + u)


key = jax.random.key(3)
cell = jax.tree_util.Partial(step, {"W": jax.random.normal(key, (16, 16)) / 4, "b": jnp.zeros(16)})
inputs = 0.3 * jax.random.normal(jax.random.key(4), (80, 16))
print(rd.product_bounds(rd.rollout(cell, jnp.zeros(16), inputs)))

# %% [markdown]
# **To take home.** For the *upper* bound use $s_1(W)$, or better the product of the steps' own norms. For the truth,
# compute the product.
