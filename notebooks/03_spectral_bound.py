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
# # 03 Is a spectral radius below one enough?
#
# **Question.** Is a spectral radius below one enough?
#
# *50 minutes; needs eigenvalues, singular values.*
#
# Many textbooks, *Wikipedia*, the free encyclopedia, and the first two versions of Pascanu, Mikolov and Bengio
# (arXiv 1211.5063) say: if the *spectral radius* $\rho(W)$ of the recurrent weights, the size of the largest
# eigenvalue, is below $1/\gamma$, with $\gamma$ the largest slope of the activation, gradients vanish. The
# published paper (2013) says it of the largest *singular value* $s_1(W)$. One of the two is a theorem.
#
# For $x_{t+1}=\phi(Wx_t+b)$ the gradient over $n=T-k$ steps is a product of Jacobians,
# $\partial x_T/\partial x_k = J_T\cdots J_{k+1}$, and
# $$\|\partial x_T/\partial x_k\|_2 \le \prod_i \|J_i\|_2 \le (\gamma\,s_1(W))^n,
# \qquad\text{but not}\quad \le (\gamma\,\rho(W))^n.$$

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
from rnn_dynamics import spectral
from rnn_dynamics.cells.initializers import non_normal

# %% [markdown]
# ## 1. A random network beside every bound
#
# Every norm is that of the exact product, carried as a float and a power of two: there is no underflow. $\le$ and
# $\ge$ mark theorems; "decades a step" is how far a bound lies from the norm, in powers of ten for each step.

# %%
with plots.style():
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.4), layout="constrained")
    for ax, radius in zip(axes, (0.95, 1.5), strict=True):
        cell = rd.random_rnn(jax.random.key(1), 32, spectral_radius=radius)
        run = rd.rollout(cell, np.full(32, 0.1), steps=100)
        bounds = rd.product_bounds(run)
        plots.norms_against_lag(bounds, ax)
        ax.set_title(f"ρ(W) = {radius}")
        print(f"ρ(W) = {radius}: {bounds}")
    plots.shared_legend(axes)

# %% [markdown]
# **What it shows.** The theorem, $(\gamma s_1)^n$, is safe and useless here: decades a step too high. Better units,
# $\kappa(S)(\gamma\|SWS^{-1}\|_2)^n$, gain a little. The popular line, $(\gamma\rho)^n$, is close, and crossed. A
# bound that is crossed is no bound.
#
# Twenty settings say more than two. In a running notebook move the sliders: the radius through 1, a bias that
# saturates the units, ReLU for tanh, a leak. The sentence below says what the gradient does and which bound decides
# it.

# %%
rd.explore.gradients(spectral_radius=0.95, bias=0.3)

# %% [markdown]
# ## 2. How it fails
#
# Small matrices show it best.

# %%
cases = spectral.counterexamples()
with plots.style():
    figure, axes = plt.subplots(2, 3, figsize=(9, 6), layout="constrained")
    for ax, case in zip(axes.flat, cases, strict=True):
        plots.counterexample(case, ax, legend=False)
        ax.set_title(ax.get_title("left").split(", ")[0])
        if case.bounds.radius < 1e-5:  # a claim of exactly 0 has no place on a log axis
            high = ax.get_ylim()[1]
            ax.set_ylim(-high / 4, high)
    plots.shared_legend(axes.flat)

# %% [markdown]
# * **Shear.** $W=\begin{pmatrix}.9&1\\0&.9\end{pmatrix}$ has $\rho=0.9$, and $\|W^9\|_2\approx 3.9$. Asymptotically
#   it does vanish; a network has finitely many steps. The orange bound, from the powers of $|W|$, follows it
#   closely.
# * **Fixed point.** $\rho(W)=0$, and at a fixed point of the network the gradient doubles with every step, for
#   ever. The activation's slopes differ from unit to unit; $W\,\mathrm{diag}(\phi')$ is another matrix than $\gamma
#   W$.
# * **Chaos.** $\rho(W)=0$ and the network is chaotic.
# * **Rotation.** The example in a note of Wikipedia's article, $W=\begin{pmatrix}0&2\\\epsilon&0\end{pmatrix}$:
#   right algebra, but the logistic has slope at most ¼, so that it explodes only for $\epsilon>8$.
#
# ## 3. What the radius hides: a matrix that is not normal
#
# Eigenvalues say how powers end, not how they begin. Where $\sigma_{\min}(z-W)$ is small far outside the eigenvalues,
# powers grow first; the Kreiss constant says by how much at least.

# %%
W = np.asarray(non_normal(jax.random.key(1), 24, gain=0.9, departure=2.0))
found = rd.non_normality(W)
for name in ("spectral_radius", "norm", "numerical_radius", "departure", "kreiss_constant"):
    print(f"{name.replace('_', ' '):17} {float(getattr(found, name)):6.3f}")
print(f"{'worst condition':17} {float(np.max(found.conditions)):6.1f}")
grid = np.linspace(-1.8, 1.8, 61)
with plots.style():
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
    figure.get_layout_engine().set(wspace=0.08)
    rd.pseudospectrum(W, grid, grid).plot(axes[0])
    rd.power_norms(W, 60).plot(axes[1])

# %% [markdown]
# ## 4. What does decide: the joint spectral radius
#
# Each step multiplies by some $W D$ with slopes $D_{ii}\in[0,\gamma]$. The worst growth of all their products is
# the *joint spectral radius*. It is hard to compute, so it comes as an interval with both ends proved, and a
# product that attains the lower one. Below 1, every trajectory's gradients vanish; above 1, some sequence of slopes
# makes them grow.

# %%
nilpotent = rd.slope_radius([[8.0, 8.0], [-8.0, -8.0]])
damped = rd.slope_radius([[0.0, 1.0], [-0.5, 0.9]])
small = rd.slope_radius(rd.random_rnn(jax.random.key(1), 3, spectral_radius=0.95).W)
for name, found in (("ρ(W) = 0", nilpotent), ("s₁(W) = 1.38", damped), ("3 units, ρ(W) = .95", small)):
    low, high = float(found.lower), float(found.upper)
    verdict = "gradients vanish" if high < 1 else "they can explode" if low > 1 else "undecided"
    print(f"{name:20} joint spectral radius from {low:.6f} to {high:.6f}: {verdict}")
with plots.style():
    figure, axes = plt.subplots(1, 3, figsize=(9, 3.2), layout="constrained")
    for ax, found in zip(axes, (nilpotent, damped, small), strict=True):
        plots.joint_radius(found, ax, legend=ax is axes[0])

# %% [markdown]
# The first has spectral radius 0 and can explode; the second has a norm above 1 and cannot; the third is an ordinary
# little network of radius .95 that can.
#
# ## 5. How often? An atlas
#
# Ten radii, ten biases, 2 seeds. The claim is passed nearly everywhere; a bias pushes units out of the middle of the
# tanh, where its slope is 1, and gradients vanish at radii well above one. The edge of chaos of mean-field theory,
# for infinitely many units, lies near where gradients neither grow nor decay; 64 units are few.

# %%
biases = np.linspace(0, 1.5, 10)
swept = spectral.radius_sweep(
    np.linspace(0.2, 2.0, 10),
    biases=biases,
    seeds=range(2),
    n=64,
    steps=200,
    lags=[1, 2, 3, 5, 10, 20, 50, 100, 200],
)
print(f"(γρ)ⁿ is passed at some lag by {100 * swept.violated.mean():.0f} % of the networks, ", end="")
print(f"by up to {swept.excess.max():.2f} decades;")
print(f"(γ s₁)ⁿ at {int((swept.log_norms > swept.log_norm_bound + 1e-9).sum())} lags")
edge = rd.edge_of_chaos(biases)
with plots.style():
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
    figure.get_layout_engine().set(wspace=0.08)
    plots.radius_atlas(swept, axes[0], edge=edge)
    plots.radius_atlas(swept, axes[1], show="excess", edge=edge)

# %% [markdown]
# ## 6. One number is not the gradient
#
# A norm is the largest of $n$ singular values. The others lie decades below: most directions vanish where one is
# kept. They cannot be read off the product matrix, which forgets them after some dozen steps; `spectra_by_lag`
# decomposes the factors.

# %%
with plots.style():
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for ax, ensemble in zip(axes, ("gaussian", "orthogonal"), strict=True):
        cell = rd.random_rnn(jax.random.key(0), 32, spectral_radius=1.3, ensemble=ensemble)
        run = rd.rollout(cell, np.full(32, 0.1), steps=100)
        plots.singular_bands(rd.spectra_by_lag(run, range(0, 101, 5)), ax, legend=ax is axes[0])
        ax.set_title(f"{ensemble}, ρ(W) = 1.3")
        spectrum = rd.singular_spectrum(run)
        shares = spectrum.shares(decades=1.0)
        print(
            f"{ensemble:10} share of the directions that are "
            + ", ".join(f"{k}: {float(v):.2f}" for k, v in shares._asdict().items())
        )

# %% [markdown]
# ## 7. Bring your own cell
#
# Any callable pytree `cell(x, u)` works. A cell that declares no structure gets the bounds that need none.


# %%
def step(parameters, x, u):
    return jax.numpy.tanh(parameters["W"] @ jax.numpy.sin(x) + parameters["b"] + u)


key = jax.random.key(3)
cell = jax.tree_util.Partial(step, {"W": jax.random.normal(key, (16, 16)) / 4, "b": np.zeros(16)})
inputs = 0.3 * jax.random.normal(jax.random.key(4), (80, 16))
print(rd.product_bounds(rd.rollout(cell, np.zeros(16), inputs)))

# %% [markdown]
# ## To take home
#
# No: a spectral radius below one is neither sufficient nor necessary. For a proof use $s_1(W)$, better units, or
# the joint spectral radius; for the truth along your trajectory, compute the product.
#
# ## Reading
#
# Pascanu, Mikolov and Bengio (2013), section 2.1 with its proof; versions 1 and 2 of arXiv 1211.5063 have the
# radius. Trefethen and Embree (2005), chapters 14 to 16, for powers of matrices that are not normal. Rota and
# Strang (1960) for the joint spectral radius. Sompolinsky, Crisanti and Sommers (1988) for the edge of chaos.
# *Wikipedia*, the free encyclopedia, "Vanishing gradient problem", for the popular form. Full references stand in
# notebook 00.
#
# ## Exercises
#
# **1.** $A=\begin{pmatrix}.9&c\\0&.9\end{pmatrix}$ has $\rho=.9$ for every $c$. How large does $\|A^k\|_2$ get for
# $c=1$, and for $c=10$, and at which $k$?

# %% [markdown]
# <details><summary>Answer</summary>
#
# $A^k$ has $.9^k$ on its diagonal and $k\,c\,.9^{k-1}$ above it, which is greatest near $k=-1/\ln .9\approx9.5$,
# whatever $c$ is; its height grows with $c$ without bound. The spectral radius knows nothing of $c$.
#
# ```python
# for c in (1.0, 10.0):
#     norms = [np.linalg.norm(np.linalg.matrix_power(np.array([[0.9, c], [0.0, 0.9]]), k), 2) for k in range(61)]
#     print(f"c = {c:4.0f}: {max(norms):.2f} at k = {int(np.argmax(norms))}")
# ```
#
# ```text
# c =    1: 3.91 at k = 9
# c =   10: 38.75 at k = 9
# ```
#
# </details>

# %% [markdown]
# **2.** Find a tanh network whose spectral radius is 1000 and whose gradient vanishes.

# %% [markdown]
# <details><summary>Answer</summary>
#
# One unit with $W=1000$ and $b=-980$, started at 1. It stays there, as $\tanh 20\approx1$, and each step's factor
# is $1000/\cosh^2 20\approx10^{-13.8}$. A slope that is small enough beats any weight: the radius decides nothing
# in this direction either.
#
# ```python
# neuron = rd.ElmanRNN(np.array([[1000.0]]), np.array([-980.0]))
# logs = np.asarray(rd.gradient_norms(rd.rollout(neuron, np.array([1.0]), steps=10)))
# print(f"over 10 steps 10^{logs[0] / np.log(10):.1f}")
# ```
#
# ```text
# over 10 steps 10^-137.7
# ```
#
# </details>

# %% [markdown]
# **3.** Wikipedia's article says that "only the first $O(\gamma^{-1})$ terms" of the sum over lags matter. Let each
# step multiply by $\eta=.99$, as a logistic unit does ($\gamma=\frac14$) whose $w=3.96$ at $x=½$. How many of the
# latest terms hold 99 % of the sum?

# %% [markdown]
# <details><summary>Answer</summary>
#
# The $m$ latest terms of a geometric series hold $1-\eta^m$ of it: $m=\ln .01/\ln .99$, 459 terms, not 4. It is the
# *latest* $O(1/(1-\eta))$ terms that matter, with the decay a step $\eta$. The slope's bound $\gamma$ alone says
# nothing: it is multiplied by $w$.
#
# ```python
# print(int(np.ceil(np.log(0.01) / np.log(0.99))))
# ```
#
# ```text
# 459
# ```
#
# </details>
