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
from rnn_dynamics.cells.initializers import non_normal

plt.rcParams["figure.dpi"] = 72

# %% [markdown]
# ## 1. A random network beside every bound
#
# Every norm is that of the exact product, carried as a float and a power of two: there is no underflow. $\le$ and $\ge$
# mark theorems.

# %%
with plots.style():
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    for ax, radius in zip(axes, (0.95, 1.5), strict=True):
        cell = rd.random_rnn(jax.random.key(1), 32, spectral_radius=radius)
        run = rd.rollout(cell, 0.1 * jnp.ones(32), steps=100)
        bounds = rd.product_bounds(run)
        plots.norms_against_lag(bounds, ax)
        ax.set_title(f"ρ(W) = {radius}")
        print(f"ρ(W) = {radius}: {bounds}")
    plots.shared_legend(axes)

# %% [markdown]
# **What it shows.** The theorem, $(\gamma s_1)^n$, is safe and useless here: decades a step too high. Better units,
# $\kappa(S)(\gamma\|SWS^{-1}\|_2)^n$, gain a little. The popular line, $(\gamma\rho)^n$, is close, and crossed. A bound
# that is crossed is no bound.
#
# ## 2. How it fails
#
# Small matrices show it best.

# %%
cases = spectral.counterexamples()
with plots.style():
    figure, axes = plt.subplots(2, 3, figsize=(10, 5.6), layout="constrained")
    for ax, case in zip(axes.flat, cases, strict=True):
        plots.counterexample(case, ax, legend=False)
        if case.bounds.radius < 1e-5:  # a claim of exactly 0 has no place on a log axis
            high = ax.get_ylim()[1]
            ax.set_ylim(-high / 4, high)
    plots.shared_legend(axes.flat)

# %% [markdown]
# * **Shear.** $W=\begin{pmatrix}.9&1\\0&.9\end{pmatrix}$ has $\rho=0.9$, and $\|W^9\|_2\approx 3.9$. Asymptotically it
#   does vanish; a network has finitely many steps. The orange bound, from the powers of $|W|$, follows it closely.
# * **Fixed point.** $\rho(W)=0$, and at a fixed point of the network the gradient doubles with every step, for ever. The
#   activation's slopes differ from unit to unit; $W\,\mathrm{diag}(\phi')$ is another matrix than $\gamma W$.
# * **Chaos.** $\rho(W)=0$ and the network is chaotic.
# * **Rotation.** The encyclopedia's own example, $W=\begin{pmatrix}0&2\\\epsilon&0\end{pmatrix}$: right algebra, but the
#   logistic has slope at most ¼, so that it explodes only for $\epsilon>8$.
#
# ## 3. What the radius hides: a matrix that is not normal
#
# Eigenvalues say how powers end, not how they begin. Where $\sigma_{\min}(z-W)$ is small far outside the eigenvalues,
# powers grow first; the Kreiss constant says by how much at least.

# %%
W = np.asarray(non_normal(jax.random.key(1), 24, gain=0.9, departure=2.0))
print(rd.non_normality(W))
grid = np.linspace(-1.8, 1.8, 61)
with plots.style():
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
    rd.pseudospectrum(W, grid, grid).plot(axes[0])
    rd.power_norms(W, 60).plot(axes[1])

# %% [markdown]
# ## 4. What does decide: the joint spectral radius
#
# Each step multiplies by some $W D$ with slopes $D_{ii}\in[0,\gamma]$. The worst growth of all their products is the
# *joint spectral radius*. It is hard to compute, so it comes as an interval with both ends proved, and a product that
# attains the lower one. Below 1, every trajectory's gradients vanish; above 1, some sequence of slopes makes them grow.

# %%
nilpotent = rd.slope_radius([[8.0, 8.0], [-8.0, -8.0]])
damped = rd.slope_radius([[0.0, 1.0], [-0.5, 0.9]])
small = rd.slope_radius(rd.random_rnn(jax.random.key(1), 3, spectral_radius=0.95).W)
for name, found in (("ρ(W) = 0", nilpotent), ("s₁(W) = 1.38", damped), ("3 units, ρ(W) = .95", small)):
    print(f"{name}: {found}")
with plots.style():
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.0), layout="constrained")
    for ax, found in zip(axes, (nilpotent, damped, small), strict=True):
        plots.joint_radius(found, ax, legend=ax is axes[0])

# %% [markdown]
# The first has spectral radius 0 and can explode; the second has a norm above 1 and cannot; the third is an ordinary
# little network of radius .95 that can.
#
# ## 5. How often? An atlas
#
# 14 radii, 14 biases, 2 seeds. The claim is passed nearly everywhere; a bias pushes units out of the middle of the tanh,
# where its slope is 1, and gradients vanish at radii well above one. The edge of chaos of mean-field theory, for
# infinitely many units, lies near where gradients neither grow nor decay; 64 units
# are few.

# %%
biases = np.linspace(0, 1.5, 14)
swept = spectral.radius_sweep(
    np.linspace(0.2, 2.0, 14),
    biases=biases,
    seeds=range(2),
    n=64,
    steps=200,
    lags=[1, 2, 3, 5, 10, 20, 50, 100, 200],
)
print(swept)
print(f"(γρ)ⁿ is passed at some lag by {100 * swept.violated.mean():.0f} % of the networks, ", end="")
print(f"by up to {swept.excess.max():.2f} decades;")
print(f"(γ s₁)ⁿ at {int((swept.log_norms > swept.log_norm_bound + 1e-9).sum())} lags")
edge = rd.edge_of_chaos(biases)
with plots.style():
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    plots.radius_atlas(swept, axes[0], edge=edge)
    plots.radius_atlas(swept, axes[1], show="excess", edge=edge)

# %% [markdown]
# ## 6. One number is not the gradient
#
# A norm is the largest of $n$ singular values. The others lie decades below: most directions vanish where one is kept.
# They cannot be read off the product matrix, which forgets them after some dozen steps; `spectra_by_lag` decomposes the
# factors.

# %%
with plots.style():
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for ax, ensemble in zip(axes, ("gaussian", "orthogonal"), strict=True):
        cell = rd.random_rnn(jax.random.key(0), 32, spectral_radius=1.3, ensemble=ensemble)
        run = rd.rollout(cell, 0.1 * jnp.ones(32), steps=100)
        plots.singular_bands(rd.spectra_by_lag(run, range(0, 101, 5)), ax, legend=ax is axes[0])
        ax.set_title(f"{ensemble}, ρ(W) = 1.3")
        spectrum = rd.singular_spectrum(run)
        shares = spectrum.shares(decades=1.0)
        print(
            f"{ensemble}: {spectrum}; "
            + ", ".join(f"{k} {float(v):.2f}" for k, v in shares._asdict().items())
        )

# %% [markdown]
# ## 7. Bring your own cell
#
# Any callable pytree `cell(x, u)` works. A cell that declares no structure gets the bounds that need none.


# %%
def step(parameters, x, u):
    return jnp.tanh(parameters["W"] @ jnp.sin(x) + parameters["b"] + u)


key = jax.random.key(3)
cell = jax.tree_util.Partial(step, {"W": jax.random.normal(key, (16, 16)) / 4, "b": jnp.zeros(16)})
inputs = 0.3 * jax.random.normal(jax.random.key(4), (80, 16))
print(rd.product_bounds(rd.rollout(cell, jnp.zeros(16), inputs)))

# %% [markdown]
# **To take home.** No: a spectral radius below one is neither sufficient nor necessary. For a proof use $s_1(W)$, better
# units, or the joint spectral radius; for the truth along your trajectory, compute the product.
