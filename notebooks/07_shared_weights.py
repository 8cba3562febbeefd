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
# # 07 Does the vanishing-gradient problem exist when weights are shared?
#
# **Question.** Does sharing weights in time change anything?
#
# *45 minutes; needs 03, 05.*
#
# A recurrent network is a deep one whose layers share their weights. Two things are said of that. *In a feed-forward
# network the problem is wholly different.* And *sharing the weights removes it*: there is one $W$, it gets a gradient
# from every step, so something always arrives. Both can be measured, because both networks are one recurrence,
# $$x_{l+1}=\phi(W_l x_l+b_l),\qquad \frac{\partial x_T}{\partial x_k}=\prod_{l=k}^{T-1} D_l W_l ,\quad
# D_l=\mathrm{diag}\,\phi'.$$
# With its own $W_l$ at every $l$ it is a multilayer perceptron in depth. With one $W$ it is a recurrent network in time.
# A lag of steps and a distance in layers are the same thing.

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
from rnn_dynamics.cells import DoyaNeuron, ElmanRNN, FeedForward, deep_parameters
from rnn_dynamics.figures.gradients import temporal_order
from rnn_dynamics.figures.registry import FIGURES

UNITS, STEPS, DRAWS = 64, 120, 6

# %% [markdown]
# ## 1. One measurement for both
#
# `FeedForward` takes each layer's parameters as the input of its step. `deep_parameters` draws them, one set a
# layer or (`tied=True`) one for all. Tied, it is the recurrent network to the last digit.

# %%
own = deep_parameters(jax.random.key(0), STEPS, UNITS, gain=1.2, bias=1.0)
shared = deep_parameters(jax.random.key(0), STEPS, UNITS, gain=1.2, bias=1.0, tied=True)
start = np.random.default_rng(0).normal(size=UNITS)
in_depth = rd.rollout(FeedForward("tanh"), start, own)
in_time = rd.rollout(ElmanRNN(shared["W"][0], shared["b"][0], activation="tanh"), start, steps=STEPS)
tied = rd.rollout(FeedForward("tanh"), start, shared)
assert np.allclose(tied.states, in_time.states, rtol=0, atol=1e-12)

# %% [markdown]
# Now $\|\partial x_T/\partial x_k\|$ for both, at equal gain $g$ ($W_{ij}\sim N(0,g^2/n)$) and equal spread
# $\sigma_b$ of the biases. Its growth a step is the slope of its logarithm between lags 20 and 100, with the
# standard error over draws. For wide layers, mean-field theory has one value for both: $\frac12\ln\chi$,
# $\chi=g^2\,\mathrm E\,\phi'^2$.


# %%
def norms(gain, spread, is_tied):
    """ln ‖∂x_T/∂x_k‖ by lag over its value at lag 0, a draw a row."""
    found = []
    for seed in range(DRAWS):
        layers = deep_parameters(jax.random.key(seed), STEPS, UNITS, gain=gain, bias=spread, tied=is_tied)
        x0 = np.random.default_rng(seed).normal(size=UNITS)
        found.append(rd.gradient_norms(rd.rollout(FeedForward("tanh"), x0, layers), ord="fro")[::-1])
    return np.array(found) - found[0][0]


print("  g   σ_b   own weights        shared weights     mean field")
with plots.style():
    figure, ax = plt.subplots(figsize=(9, 4), layout="constrained")
colours = (plots.palette.VERMILION, plots.palette.GREEN, plots.palette.BLUE)
for colour, (gain, spread) in zip(colours, ((2.0, 0.3), (0.9, 0.0), (1.2, 1.0)), strict=True):
    theory, texts = rd.mean_field(gain, bias_std=spread).exponent, []
    for is_tied in (False, True):
        logs = norms(gain, spread, is_tied)
        slopes = (logs[:, 100] - logs[:, 20]) / 80
        texts.append(f"{slopes.mean():+.3f} ± {slopes.std(ddof=1) / DRAWS**0.5:.3f}")
        ax.plot(logs.T / np.log(10), color=colour, linestyle="-" if is_tied else "--", linewidth=0.8)
        assert np.sign(slopes.mean()) == np.sign(theory)
    print(f"{gain:4.1f}  {spread:3.1f}   {texts[0]}     {texts[1]}     {theory:+.3f}")
    ax.plot(theory * np.arange(STEPS + 1) / np.log(10), color="black", linestyle=":", linewidth=1.5)
    ax.text(STEPS + 2, theory * STEPS / np.log(10), f"g = {gain}, $σ_b$ = {spread}", color=colour)
with plots.style():
    for line, name in (("-", "shared"), ("--", "own"), (":", "mean field")):
        ax.plot([], [], color="black", linestyle=line, label=name)
    ax.set(xlabel="lag T − k (steps, or layers)", xlim=(0, STEPS + 28), title="one line a network")
    plots.powers_of_ten(ax.yaxis, "‖∂$x_T$/∂$x_k$‖ / √n")
    ax.legend(loc="lower left")

# %% [markdown]
# **Both vanish, both explode, and at the same gains.** With their own weights all networks stay near the theory's
# line. With shared weights each $W$ has a line of its own: at $g=2$ one network even settles down, with an exponent
# near 0 where the others are chaotic, and vanishing is a little slower on average. That is the finite width, 64
# units here. The published figure has both, and `rnn-dynamics reproduce --only shared_weights` draws it for 128
# units.

# %%
with plots.style():
    made = FIGURES["shared_weights"].make(quick=True)
    figure = made.draw()
    figure.set_dpi(plt.rcParams["figure.dpi"])
for row in made.rows:
    measured = f"{row.measured:+.3f}" if isinstance(row.measured, float) else row.measured
    print(f"{row.quantity}\n    said: {row.published}; measured: {measured}")
figure

# %% [markdown]
# ## 2. By the weights, or by $\phi'$?
#
# At each step $W$ changes a tangent's length and then $\phi'$ does (panel b). Neither part knows whether the
# weights are shared. In the first and last case $W$ *lengthens* the tangent, and $\phi'$, the saturation of the
# units, decides. In the middle case the units rest at 0, where $\phi'=1$, and all the decay is that of the weights.
# `diagnose` says which it is for a network of yours, when it is recurrent: `rd.diagnose(run).decay`.
#
# ## 3. Where they do differ: narrow networks, long lags
#
# Without a nonlinearity both can be computed. Powers $W^n$ grow like $\rho(W)^n$ in the end, whatever the gain says
# on average: each $W$ has its own spectral radius, and the scatter of panel d is that. Products of *independent*
# Gaussian matrices all grow alike, at Newman's rate $\lambda_1=\ln g+\frac12\bigl(\ln 2+\psi(n/2)-\ln n\bigr)$,
# which lies below $\ln g$: chance turns of direction cost. Both close on $\ln g$ as $n\to\infty$. Sharing widens
# the spread of what may happen. It has no preference for 0.
#
# Nor is the spectral radius all of it when weights are shared. A non-normal $W$ grows first and decays later, and
# every lag of interest may lie in the transient.

# %%
powers = [np.linalg.norm(np.linalg.matrix_power(np.array([[0.9, 1.0], [0.0, 0.9]]), n), 2) for n in range(61)]
print(f"ρ(W) = .9, and ‖Wⁿ‖ is {max(powers):.2f} at lag {np.argmax(powers)}, {powers[60]:.2f} at lag 60")
assert np.argmax(powers) == 9
assert abs(max(powers) - 3.91) < 0.005

# %% [markdown]
# ## 4. What sharing changes: the sum
#
# The gradient of a shared $W$ is a sum over lags, $\partial E/\partial W=\sum_m C_m$, and $S(m)=C_1+\dots+C_m$.
# `credit_by_lag` measures every term, the sums, and what the sums do. In a deep network the terms belong to
# different parameters and are never added.


# %%
def last(x):
    return x.sum() / UNITS**0.5


in_sum, apart = rd.credit_by_lag(in_time, last), rd.credit_by_lag(in_depth, last)
print("shared:", in_sum)
kept = np.exp(np.asarray(in_sum.log_sums - in_sum.log_sums[-1]))
print("  ‖S(m)‖ over the whole, m = 1, 5, 10, 20:", kept[[0, 4, 9, 19]].round(3))
decades = np.asarray(in_sum.log_shares - in_sum.log_shares[0]) / np.log(10)
layers = np.asarray(apart.log_shares - apart.log_shares[0]) / np.log(10)
print(f"  the term of lag 100 is 10^{decades[99]:.1f} of that of lag 1")
print(f"own: layer T − 99 gets 10^{layers[99]:.1f} of what layer T gets, and nothing else")
assert in_sum.trend == "converges"
assert abs(kept[19] - 1) < 0.05
assert max(decades[99], layers[99]) < -8

# %% [markdown]
# **This is the true core of "there is one $W$, so something always arrives".** The whole gradient does not vanish:
# it is the short lags' gradient, complete after some ten terms (panel c). What vanishes is the *part that knows
# about the past*. Its terms fall as fast as those of a deep network's early layers. A deep network's first layers
# stand still; a recurrent network learns, but only what the last few steps ask for. A norm of $\partial E/\partial
# W$, watched during training, cannot show this. Credit by lag does.
#
# ## 5. Vanish, explode, neither
#
# Does the sum over lags converge? Exponential decay of the terms suffices. That they vanish does not. One neuron
# $x\leftarrow\sigma(wx+b)$ shows all three of Bengio's cases. On its cusp, $w=4$, $b=-2$, $\partial x_T/\partial
# x_0$ goes to 0 like a power of $T$, and the sum $\partial x_T/\partial b$ grows without end.

# %%
with plots.style():
    figure = FIGURES["three_regimes"].make(quick=True).draw()
    figure.set_dpi(plt.rcParams["figure.dpi"])
print("     T   ∂x_T/∂x_0   ∂x_T/∂b, the sum")
sums = []
for steps in (100, 1000, 10_000):
    end = doya.sensitivities(4.0, -2.0, 0.3, steps)
    sums.append(float(end.parameters[1].to_float()))
    print(f"{steps:6d}   {float(end.initial.to_float()):.1e}     {sums[-1]:.1f}")
assert np.allclose(sums, [10.8, 101, 1001], rtol=0.005)
for name, (w, b, x0) in {"vanish": (5.0, -2.5, 0.3), "explode": (5.0, -2.5, 0.5)}.items():
    neuron = rd.credit_by_lag(rd.rollout(DoyaNeuron(w, b), x0, steps=1000), lambda x: x)
    print(f"{name}: the sum {neuron.trend}")
    assert neuron.trend == {"vanish": "converges", "explode": "grows"}[name]
figure

# %% [markdown]
# With one $T$ the cusp is hard to tell from convergence: at fixed $T$ the terms of the longest lags are small, and
# only as $T$ itself grows do the sums grow with it. The two limits must not be mixed.
#
# ## 6. And yet lags are learned
#
# A small gradient is not an impossible task. Seven cells were trained on temporal order, where the marks lie 20 to
# 45 steps back (`python -m rnn_dynamics.figures.gradients.temporal_order`). The plain tanh network has shared
# weights, no gates, and a gradient that vanishes as it is initialised:

# %%
networks, accuracies = temporal_order.trained("tanh")
print("tanh networks, right on fresh sequences:", accuracies.round(3), "chance is .25")

# %% [markdown]
# Schaefer, Udluft and Zimmermann (2008) report lags of 100 steps and more learned by plain networks with shared
# weights. That is no contradiction: a term that is small beside those of short lags still decides where these
# cancel or ask for nothing, and training moves $W$ towards gains at which the terms are less small.
#
# ## What was said, and what was measured
#
# | said | measured |
# |---|---|
# | in feed-forward networks the problem is wholly different | the same product, the same exponent for wide layers, the same split between $W$ and $\phi'$ |
# | sharing the weights removes it | it vanishes and explodes at the same gains; the spread over networks is wider |
# | the gradient of a shared $W$ vanishes | it does not, as a whole; its long-lag part does |
# | vanishing terms make the sum converge | not on a cusp; exponential decay does |
# | so long lags cannot be learned by plain networks | they can, at times: the gradient is small, not zero |
#
# ## To take home
#
# Time is depth. Sharing weights changes the spread over networks and adds the terms up; it does not keep a single
# one of them from vanishing. What a recurrent network learns quickly is what the last few steps ask for.
#
# ## Reading
#
# Hochreiter (1991), who put the question, and Bengio, Simard and Frasconi (1994), section V, for the sum over lags.
# Newman (1986) for products of independent matrices. Sompolinsky, Crisanti and Sommers (1988) for shared ones.
# Schaefer, Udluft and Zimmermann (2008), for lags of a hundred learned with shared weights. Full references stand
# in notebook 00.
#
# ## Exercises
#
# **1.** Four linear units, $g=1$: draw 2000 matrices $W$ and compare the mean of $\ln\rho(W)$ with Newman's rate
# for independent ones. In what share of the networks does the gradient explode?

# %% [markdown]
# <details><summary>Answer</summary>
#
# With shared weights the rate is $\ln\rho(W)$, another for each network: on average above Newman's, and spread so
# widely that nearly half explode. With their own weights all networks have one rate, and all vanish.
#
# ```python
# from scipy.special import digamma
#
# W = np.random.default_rng(0).normal(size=(2000, 4, 4)) / 2
# rates = np.log(np.abs(np.linalg.eigvals(W)).max(axis=1))
# newman = (np.log(2) + digamma(2) - np.log(4)) / 2
# print(f"shared: {rates.mean():.3f}, spread {rates.std():.3f}, {100 * np.mean(rates > 0):.0f} % explode; own: {newman:.3f}")
# ```
#
# ```text
# shared: -0.030, spread 0.294, 47 % explode; own: -0.135
# ```
#
# </details>

# %% [markdown]
# **2.** A residual step is $x\leftarrow x+A x$, and $\prod(I+A)$ is a sum over paths, each of which goes through
# some of the $A$'s and around the others. Let $A=a$ be a number, $a=.1$, in 20 layers. Through how many layers does
# half of the gradient go, at most?

# %% [markdown]
# <details><summary>Answer</summary>
#
# The paths of length $s$ hold $\binom{20}{s}a^s/(1+a)^{20}$ of it, a binomial law with mean $20\,a/(1+a)=1.8$: two
# layers at most make up more than half. In this sense a residual network is an ensemble of shallow ones (Veit,
# Wilber and Belongie 2016). It says which paths carry the gradient, and not that the deep ones could be cut while
# it is learning.
#
# ```python
# from math import comb
#
# shares = np.array([comb(20, s) * 0.1**s for s in range(21)]) / 1.1**20
# print(np.cumsum(shares)[:5].round(3))
# ```
#
# ```text
# [0.149 0.446 0.728 0.898 0.97 ]
# ```
#
# </details>
