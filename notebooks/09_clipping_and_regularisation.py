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
# # Clipping and Ω: what each can do
#
# Pascanu, Mikolov and Bengio (2013) give two remedies. *Clipping* shortens a gradient that is longer than a threshold.
# *Ω* is added to the loss and asks that the error keeps its length on its way back. They are often named in one breath,
# and clipping alone is often said to cure vanishing gradients.
#
# **Question.** Which of the two does what, and can clipping help where a gradient has vanished?

# %%
import dataclasses

import jax

jax.config.update("jax_enable_x64", True)

import matplotlib.pyplot as plt
import numpy as np

from rnn_dynamics import cliff, plots
from rnn_dynamics.figures.success import INITIALIZERS, METHODS, stored, success_by_length
from rnn_dynamics.plots import palette
from rnn_dynamics.training import Plan, recipe, task, train
from rnn_dynamics.training.gradients import loss_and_gradient
from rnn_dynamics.training.terms import norm_ratios

plt.rcParams["figure.dpi"] = 72

# %% [markdown]
# ## 1. One step over the cliff
#
# One neuron, $x_t = w\,\sigma(x_{t-1})+b$, fifty steps, $E=(\sigma(x_{50})-0.7)^2$, two descents at rate 0.1 from one
# start. The second scales every gradient with $\|g\|\ge1$ to length 1, so that no step is longer than 0.1.

# %%
start = {"w": 4.75, "b": -2.0, "rate": 0.1, "updates": 100, "steps": 50}
plain, clipped = cliff.descend(**start), cliff.descend(**start, clip=1.0)

with plots.style():
    figure, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
    for path, name, colour in ((clipped, "clipped at 1", palette.BLUE), (plain, "unclipped", palette.VERMILION)):
        steps = np.hypot(np.diff(path.w), np.diff(path.b))
        axes[0].semilogy(path.loss.value, color=colour, label=name)
        axes[1].semilogy(steps, color=colour)
        print(f"{name:12s} longest step {steps.max():.3f}, at update {steps.argmax()}; last loss {path.loss.value[-1]:.4f}")
    axes[0].set(xlabel="update", ylabel="E")
    axes[1].set(xlabel="update", ylabel="length of the step")
    axes[0].legend()
same = np.flatnonzero(plain.loss.log_gradient_norm >= 0)[0]
print(f"the first gradient longer than 1 is that of update {same}: until then the two are one path")
assert np.array_equal(plain.w[: same + 1], clipped.w[: same + 1])
assert plain.loss.value[-1] > 10 * clipped.loss.value[-1]

# %% [markdown]
# Without clipping one step throws the weights across the map, onto a plateau where nothing leads back. With clipping
# the same step is short. Before the first long gradient, clipping does nothing at all: the two paths are equal to the
# last bit.
#
# ## 2. Small networks
#
# Temporal order over ten steps: of two marked symbols, which came first? Four classes, so a guess is wrong in 75 %.
# Sixteen tanh units, three seeds at each of two learning rates, trained by plain descent, with clipping, and with
# clipping and Ω. The six runs of a method are one compiled program, and `allowed=0` keeps a run going after it has
# learned.

# %%
ROWS = {"plain": (), "clipping": ("clipping",), "clipping + Ω": ("clipping", "omega")}
COLOURS = {"plain": palette.VERMILION, "clipping": palette.BLUE, "clipping + Ω": palette.GREEN}
RATES = (0.03, 0.1)
order = dataclasses.replace(task("temporal-order", 10), allowed=0.0)
plans = {name: Plan(order, recipe(*r), units=16, every=50, test=500) for name, r in ROWS.items()}
panels = {
    name: train(
        plan, [0, 1, 2] * 2, updates=1000, numbers={"learning_rate": np.repeat(RATES, 3)}, workers=1
    )
    for name, plan in plans.items()
}

QUANTITIES = (("loss", "loss"), ("largest_norm", "largest ‖g‖ of 50 updates"), ("horizon", "horizon (lags)"))
updates = np.arange(21) * 50
with plots.style():
    figure, axes = plt.subplots(2, 3, figsize=(11, 5.4), layout="constrained", sharex=True)
    for i, rate in enumerate(RATES):
        for ax, (quantity, label) in zip(axes[i], QUANTITIES, strict=True):
            for name, panel in panels.items():
                lines = ax.plot(updates, panel.history[quantity][:, 3 * i : 3 * i + 3], color=COLOURS[name], alpha=0.8)
                lines[0].set_label(name)
            ax.set_ylabel(label)
            if quantity == "largest_norm":
                ax.set_yscale("log")
                ax.axhline(1, color=palette.GREY, linewidth=0.8, linestyle="--")
        axes[i, 0].set_title(f"learning rate {rate}")
    for ax in axes[1]:
        ax.set_xlabel("update")
    axes[0, 0].legend()

wrong = {name: panel.wrong.reshape(2, 3) for name, panel in panels.items()}
for name in ROWS:
    print(f"{name:13s} wrong at the end: rate {RATES[0]}: {wrong[name][0].round(2)}, rate {RATES[1]}: {wrong[name][1].round(2)}")
