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
# # 05 Lyapunov exponents and chaos
#
# **Question.** How fast do near states part?
#
# *40 minutes; needs 03.*
#
# Carry an orthonormal frame $Q_t$ along the trajectory of a recurrent map,
# $$J_{t+1}Q_t = Q_{t+1}R_{t+1},\qquad \lambda_i=\frac1K\sum_t \ln|R_{ii}|,$$
# with $J_{t+1}=\partial x_{t+1}/\partial x_t$. The exponents $\lambda_1\ge\lambda_2\ge\dots$ are growth rates in
# nats a step; a nat is a factor $e$. A small change, and a gradient $\partial x_T/\partial x_k$, grows like
# $e^{\lambda_1(T-k)}$: exponents are where gradients go in the long run.

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
from jax.tree_util import Partial

from rnn_dynamics.figures.registry import FIGURES

# %% [markdown]
# ## 1. A map whose exponent is known
#
# The logistic map $x\leftarrow r\,x(1-x)$ at $r=4$ has $\lambda=\ln 2$. Its exponent against $r$, all $r$ at once,
# shows each period doubling ($\lambda=0$), each window of order ($\lambda<0$) and the chaos between them.


# %%
def logistic(r, x, u):
    return r * x * (1 - x)


def logistic_of(r):
    return Partial(logistic, r)


run = rd.rollout(logistic_of(np.asarray(4.0)), 0.3, steps=20_000)
found = rd.lyapunov_spectrum(run)
print(f"λ = {float(found.values[0]):.5f} ± {float(found.standard_errors[0]):.5f}, ln 2 = {np.log(2):.5f}")

r = np.linspace(2.8, 4, 1200)
along = rd.finite_time_exponents(logistic_of, 0.3, parameters=(r,), steps=2000, discard=500, state_ndim=0)
with plots.style():
    figure, ax = plt.subplots(figsize=(9, 3.2), layout="constrained")
    ax.axhline(0, color=plots.palette.GREY, linewidth=0.8)
    ax.plot(r, along.largest, color=plots.palette.BLUE, linewidth=0.8)
    ax.plot(4, np.log(2), "o", color=plots.palette.VERMILION, label="ln 2")
    ax.set(xlabel="r", ylabel="λ (nats a step)", ylim=(-2, 0.9), title="logistic map")
    ax.legend()

# %% [markdown]
# ## 2. One neuron
#
# Doya's neuron, $x\leftarrow(1-\varepsilon)x+\varepsilon\,\sigma(wx+b)$, has no chaos at $\varepsilon=1$: its
# periods end at two. At $\varepsilon=\frac12$ and strongly negative $w$ it does.


# %%
def half_neuron(w, b):
    return rd.DoyaNeuron(w, b, 0.5)


w, b = np.linspace(-140, 0, 160), np.linspace(-20, 140, 160)
plane = rd.finite_time_exponents(
    half_neuron, 0.3, parameters=(w[:, None], b[None, :]), steps=300, discard=200, state_ndim=0
)
largest = np.asarray(plane.largest)
print(
    f"{100 * np.mean(largest > 0.01):.0f} % of these neurons are chaotic, the most by {np.nanmax(largest):.2f} nats a step"
)
with plots.style():
    figure, ax = plt.subplots(figsize=(7.5, 4.4), layout="constrained")
    plots.exponent_field(plane, w, b, ax)
    ax.plot(-100, 90, "o", color=plots.palette.BLACK, label="w = −100, b = 90: λ ≈ .42")
    ax.set(xlabel="weight w", ylabel="bias b", title="one neuron, ε = ½: chaos in red")
    ax.legend(loc="upper right", frameon=True)

# %% [markdown]
# ## 3. A random network, all its exponents
#
# $x\leftarrow J\tanh x$ with $J_{ij}\sim N(0,g^2/N)$ rests at $0$ for $g<1$ and is chaotic for $g>1$ as
# $N\to\infty$, with $\lambda_1=\frac12\ln\chi$ by mean-field theory. The sum of the positive exponents is the
# entropy rate; the Kaplan–Yorke dimension is the number of directions that the attractor fills.

# %%
J = np.random.default_rng(0).normal(size=(64, 64)) / 8
cell = rd.PreActivationRNN(2.0 * J, np.zeros(64), activation="tanh")
run = rd.rollout(cell, np.random.default_rng(1).normal(size=64), steps=2000)
spectrum = rd.lyapunov_spectrum(run, start=200)
values, errors = np.asarray(spectrum.values), np.asarray(spectrum.standard_errors)
print(f"λ₁ = {values[0]:.3f} ± {errors[0]:.3f}; mean field {rd.mean_field(2.0).exponent:.3f}")
print(
    f"{(values > 0).sum()} of 64 exponents are positive, entropy rate {float(spectrum.entropy_rate):.3f} nats a step"
)
print(f"Kaplan–Yorke dimension {float(spectrum.kaplan_yorke):.1f}")
with plots.style():
    spectrum.plot().set_title("64 tanh units, g = 2")
    plt.gcf().set_size_inches(7.5, 4.4)

# %%
with plots.style():
    figure = FIGURES["random_tanh_exponents"].make(quick=True).draw()
    figure.set_dpi(plt.rcParams["figure.dpi"])
figure

# %% [markdown]
# Below some thousand units the networks are less chaotic than the theory of infinitely many says, and near $g=1$ many
# are not chaotic at all: they settle on cycles and tori.
#
# ## 4. Covariant vectors: the directions themselves
#
# The frame's directions depend on the scalar product. Covariant vectors do not: $J_{t+1}v_i(t)\parallel v_i(t+1)$,
# each growing at its own $\lambda_i$, forward and backward in time. Where the growing and the shrinking one nearly
# meet, the attractor is close to a tangency, and a gradient meets both.


# %%
def henon(x, u):
    return jax.numpy.stack([1 - 1.4 * jax.numpy.square(x[0]) + x[1], 0.3 * x[0]])


run = rd.rollout(Partial(henon), np.array([0.1, 0.1]), steps=8000)
vectors = rd.covariant_vectors(run, before=500, after=500)
angle = np.degrees(np.asarray(vectors.angles())[:, 0, 1])
states = np.asarray(run.states)[vectors.start : vectors.stop + 1]
print(f"{len(angle)} states, smallest angle {angle.min():.2f}°")
with plots.style():
    figure, ax = plt.subplots(figsize=(8, 3.8), layout="constrained")
    order = np.argsort(-angle)
    dots = ax.scatter(*states[order].T, c=angle[order], s=1.5, cmap="viridis_r", rasterized=True)
    plots.colour_bar(ax, dots, "angle between v₁ and v₂ (degrees)")
    some = slice(0, 60)
    ax.quiver(*states[some].T, *np.asarray(vectors.vectors)[some, :, 0].T, color=plots.palette.VERMILION,
              pivot="mid", headwidth=1, headlength=0, scale=22, width=0.003)  # fmt: skip
    ax.set(xlabel="x₁", ylabel="x₂", title="Hénon map: angle, and the growing direction v₁ (dashes)")

# %% [markdown]
# ## 5. When the number can be trusted
#
# * **Standard errors** come from the scatter of block means. They hold where blocks are long beside the memory of the
#   local growth: `block_correlation` near 0 says so.
# * **Rounding.** The frame is made orthonormal anew only every few steps. `rounding` estimates what that costs, and
#   the default interval keeps it below $\sqrt{\mathrm{eps}}$. Too long an interval, and the small exponents are
#   noise: they come back labelled.
# * **Exact sums.** $\lambda_1+\lambda_2=\ln 0.3$ for the Hénon map, whatever the orbit: a check without statistics.
# * **The orbit.** Past some $36/\lambda_1$ steps a computed chaotic orbit is not the one of its start, but it is
#   one of the attractor: averages survive, single states do not.

# %%
two = rd.lyapunov_spectrum(run, start=500)
values, errors = np.asarray(two.values), np.asarray(two.standard_errors)
print(f"Hénon map: {values.round(4)} ± {errors.round(4)}; sum − ln .3 = {values.sum() - np.log(0.3):.0e}")
print("block correlation", np.round(two.block_correlation, 2))
run = rd.rollout(cell, np.random.default_rng(1).normal(size=64), steps=600)
for interval in (1, 4, 16):
    found = rd.lyapunov_spectrum(run, start=200, interval=interval)
    unresolved = int((np.asarray(found.status) == rd.Status.UNRESOLVED).sum())
    worst = float(np.max(found.rounding))
    print(f"QR every {interval:2d} steps: rounding {worst:.0e}, {unresolved} of 64 exponents unresolved")

# %% [markdown]
# ## To take home
#
# The largest exponent is the gradient's growth in the long run: negative, it vanishes; positive, it explodes, for
# nearly every orbit of a chaotic attractor. A network may be bounded, quiet to look at, and still have gradients
# that nobody can follow for more than some hundred steps.
#
# ## Reading
#
# Sompolinsky, Crisanti and Sommers (1988) for chaos in random networks. Mikhaeil, Monfared and Durstewitz (2022): a
# stable cycle means vanishing, chaos means exploding gradients. Ginelli and others (2007) for covariant vectors.
# Engelken (2023) for training that holds exponents near 0. Strogatz (2015), chapters 10 and 12, for the logistic
# and the Hénon map. Full references stand in notebook 00.
#
# ## Exercises
#
# **1.** At $r=3.2$ the logistic map settles on a 2-cycle. Its exponent is $\frac12\ln|4+2r-r^2|$; why, and does it
# agree?

# %% [markdown]
# <details><summary>Answer</summary>
#
# On a 2-cycle the factors repeat, so that $\lambda$ is half the logarithm of $f'(x_1)f'(x_2)=r^2(1-2x_1)(1-2x_2)$.
# The two states have the sum $(r+1)/r$ and the product $(r+1)/r^2$, which makes it $4+2r-r^2$.
#
# ```python
# run = rd.rollout(logistic_of(np.asarray(3.2)), 0.3, steps=2000)
# found = float(rd.lyapunov_spectrum(run, start=1000).values[0])
# print(f"{found:.4f} and {np.log(abs(4 + 2 * 3.2 - 3.2**2)) / 2:.4f}")
# ```
#
# ```text
# -0.9163 and -0.9163
# ```
#
# </details>

# %% [markdown]
# **2.** The network of 64 units has $\lambda_1\approx .13$. After how many steps has an error of $10^{-16}$, a
# float's, grown to order 1? And how large is a gradient over 1000 steps?

# %% [markdown]
# <details><summary>Answer</summary>
#
# After $\ln 10^{16}/.13\approx 280$ steps. Over 1000 steps the gradient is about $e^{130}=10^{57}$, though no state
# leaves $(-1, 1)$ after the tanh, and though its orbit is another one after 280 steps in floats: it is the gradient
# of the orbit that was computed. A loss at its end has walls everywhere; no clipping makes such a gradient useful.
#
# ```python
# run = rd.rollout(cell, np.random.default_rng(1).normal(size=64), steps=1000)
# decades = float(rd.gradient_norms(run)[0]) / np.log(10)
# print("57 decades, give or take 15:", abs(decades - 57) < 15)
# ```
#
# ```text
# 57 decades, give or take 15: True
# ```
#
# </details>

# %% [markdown]
# **3.** $x\leftarrow \tanh(gQx)$ with an orthogonal $Q$ has $\lambda_i=\ln g$ for all $i$ at $x=0$. What are its
# exponents for $g=1.1$ once it has left 0?

# %% [markdown]
# <details><summary>Answer</summary>
#
# Smaller, and none is positive here: away from 0 a unit's slope is below 1, and the state grows until the two
# balance. This orbit ends on a torus: two exponents are 0, as neighbours on it neither part nor meet, and all
# others are negative.
#
# ```python
# from rnn_dynamics.cells.initializers import orthogonal
#
# Q = np.asarray(orthogonal(jax.random.key(0), 16, dtype=float))
# run = rd.rollout(rd.ElmanRNN(1.1 * Q, np.zeros(16)), np.random.default_rng(0).normal(size=16), steps=4000)
# values = np.asarray(rd.lyapunov_spectrum(run, start=2000).values)
# print(f"from {values[-1]:.3f} to {values[0]:.3f}; ln g = {np.log(1.1):.3f}")
# ```
#
# ```text
# from -0.210 to 0.000; ln g = 0.095
# ```
#
# </details>
