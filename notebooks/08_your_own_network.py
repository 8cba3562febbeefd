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
# # 08 Your own network
#
# **Question.** What is wrong with my network, and what helps?
#
# *40 minutes; needs 06.*
#
# You have a recurrent network in PyTorch that does not learn, and you suspect its gradients. This notebook takes the
# weights, gives a verdict, follows the one remedy that the verdict names, and looks again.
#
# On your side one line is enough, and PyTorch is not needed afterwards:
# ```python
# torch.save(model.state_dict(), "model.pt")
# ```
# (A whole training checkpoint will do as well, and `rnn-dynamics inspect model.pt` says what is in it. With PyTorch in
# the same process, `rd.interop.from_torch(model.lstm)` takes the module itself; networks of Keras, Flax, Equinox,
# ONNX and others come in by `rd.interop` too.)
#
# The network here is an `nn.LSTM` of 16 units with an `nn.Linear` on top. Its task is delayed recall: of 60 noisy
# numbers one, among the first ten, is marked; after the last step the network says whether that one was positive.
# `data/train_delayed_recall.py` trained it and wrote the files. Its weights are float32, and stay so.

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
import tempfile
import textwrap
import zipfile
from pathlib import Path

import jax.numpy as jnp
import optax

UNITS, STEPS = 16, 60


def told(text, indent):
    """Print a text whose lines may be longer than the page."""
    for line in str(text).splitlines():
        print(textwrap.fill(line, 110, subsequent_indent=" " * indent))


# %% [markdown]
# ## 1. What can go wrong at the door
#
# A `.pt` file is a pickle, which may run any code while it is read. `rd.interop.load` reads it as data and runs nothing;
# one that asks to call the system is refused. Where a file has several networks, the prefix says which one is meant.

# %%
with tempfile.TemporaryDirectory() as folder:
    pickle = Path(folder) / "model.pt"
    with zipfile.ZipFile(pickle, "w") as archive:  # as torch.save writes it, but for what it asks for
        archive.writestr("model/data.pkl", b"cos\nsystem\n(S'echo run'\ntR.")
    matrix = Path(folder) / "matrix.npy"
    np.save(matrix, np.eye(3))
    attempts = {
        "a call of the system": (pickle, {}),
        "a matrix without a name": (matrix, {}),
        "a wrong prefix": ("data/recall_stuck.safetensors", {"prefix": "rnn."}),
    }
    for name, (path, options) in attempts.items():
        try:
            rd.interop.load(path, **options)
        except ValueError as error:
            told(f"{name}: {str(error).replace(folder + '/', '')}", 4)

# %% [markdown]
# ## 2. The verdict on the network that did not learn
#
# The prefix picks the LSTM. The readout is ours to write: any function of the last state $x_T = [h_T, c_T]$ is a
# loss. Without one, `diagnose` looks at $\partial x_T/\partial x_k$ alone.


# %%
def network(name):
    """The LSTM as a cell, and the readout's weights and bias."""
    path = f"data/recall_{name}.safetensors"
    arrays = rd.interop.read_safetensors(path)
    return rd.interop.load(path, prefix="lstm."), arrays["readout.weight"][0], arrays["readout.bias"][0]


def sequences(seed, batch, steps=STEPS):
    """Inputs, shape (batch, steps, 2): numbers and marks; and whether the marked number is positive."""
    rng = np.random.default_rng(seed)
    inputs = np.stack([rng.normal(size=(batch, steps)) / 4, np.zeros((batch, steps))], axis=2)
    marked, positive = rng.integers(0, 10, batch), rng.integers(0, 2, batch)
    inputs[np.arange(batch), marked] = np.stack([2.0 * positive - 1, np.ones(batch)], axis=1)
    return inputs.astype(np.float32), positive.astype(np.float32)


def loss_of(readout, target):
    """E(x_T): the cross-entropy of the sigmoid of w · h_T + b."""
    w, b = readout

    def loss(x):
        return optax.sigmoid_binary_cross_entropy(jnp.dot(w, x[:UNITS]) + b, target)

    return loss


inputs, positive = sequences(seed=0, batch=400)
x0 = np.zeros(2 * UNITS, np.float32)
cell, *readout = network("stuck")
run = rd.rollout(cell, x0, inputs[0])
stuck = rd.diagnose(run, loss_of(readout, positive[0]))
told(stuck, 29)

# %%
with plots.style():
    figure = stuck.plot().figure

# %% [markdown]
# **What it shows.** The gradient of the last state with respect to one 50 steps earlier, where the marked number
# is, has all but vanished (a). The shares of $\partial E/\partial\theta$ by lag (b) say the same of the loss
# itself: what training hears is the last few steps, and those hold only noise. Hence the one remedy whose
# measurement was made: the forget gate stands at a third, so the carousel, the path $c^+ = f c + i g$ from cell
# state to cell state, loses two thirds of its content at every step.
#
# Which part of the network is it? In a running notebook choose a gate, a parameter, a part of the state or a single
# unit, or click its bar or its row.

# %%
rd.explore.network(stuck)

# %% [markdown]
# All of them hear a few steps only; none is the culprit, and none is spared.
#
# ## 3. Before and after
#
# The file `recall_learned` began at the same weights, but for 5 added to the bias of the forget gate, in PyTorch
# `model.lstm.bias_ih_l0[16:32] += 5` (its gates stand in the order i, f, g, o). Same seed, same data, same 1500
# updates.


# %%
def share_right(cell, readout):
    """How many of the sequences the network gets right."""
    last = jax.vmap(lambda u: rd.rollout(cell, x0, u).final)(inputs)
    w, b = readout
    return float(np.mean((np.asarray(last)[:, :UNITS] @ w + b > 0) == (positive > 0)))


verdicts = {}
print("             right   regime      exponent  horizon 1/e  1 %   forget gate")
for name in ("initial", "stuck", "learned"):
    cell, *readout = network(name)
    run = rd.rollout(cell, x0, inputs[0])
    found, credit = rd.diagnose(run), rd.credit_by_lag(run, loss_of(readout, positive[0]))
    verdicts[name] = found, credit
    print(
        f"{name:10} {share_right(cell, readout):7.1%}   {found.regime:10} {found.exponent:+8.4f}"
        f"  {found.horizon:11d} {found.horizon_percent:4d}   {found.gates['forget']:.2f}"
    )
assert verdicts["stuck"][0].horizon < 10 < 50 < verdicts["learned"][0].horizon

# %%
with plots.style():
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    lines = {"initial": ("GREY", ":"), "stuck": ("VERMILION", "--"), "learned": ("BLUE", "-")}
    for name, (colour, line) in lines.items():
        (found, credit), look = verdicts[name], {"color": getattr(plots.palette, colour), "linestyle": line}
        axes[0].plot(np.arange(STEPS + 1), found.log_norms[::-1] / np.log(10), **look, label=name)
        axes[1].plot(credit.lags, credit.log_shares / np.log(10), **look, label=name)
    axes[0].set(xlabel="lag T − k", title="gradient of the state")
    plots.powers_of_ten(axes[0].yaxis, "‖∂$x_T$/∂$x_k$‖")
    axes[1].set(xlabel="lag m", title="the loss's gradient by lag")
    plots.powers_of_ten(axes[1].yaxis, "‖share of lag m‖")
    axes[1].axvspan(STEPS - 9, STEPS, color=plots.palette.LIGHT, zorder=0, label="the marked number is here")
    axes[1].legend()

# %% [markdown]
# The gradient of the learned network neither vanishes nor explodes: what its state was 50 steps ago still counts in
# full. On the right, its shares lie low because its loss is small already, but from lag 5 to lag 60 they are flat,
# while those of the stuck network fall by 15 decades on the way to the number that matters. A horizon of the loss
# would not show that: it is relative to the greatest share, and the last steps, where the readout sits, have the
# greatest one always.
#
# ## 4. Is one sequence typical? A batch
#
# `jax.vmap` over `rollout` makes a batch of trajectories, and `diagnose` takes it as it takes one.

# %%
for name in ("stuck", "learned"):
    cell = network(name)[0]
    runs = jax.vmap(lambda u, cell=cell: rd.rollout(cell, x0, u))(inputs[:8])
    batch = rd.diagnose(runs)
    told(f"{name}: {batch}", 4)
assert all(sample.horizon == STEPS for sample in batch.samples)

# %% [markdown]
# The regime asks both whether the exponent differs from zero and whether that matters within the run: some of the
# learned runs lose a few thousandths of a nat a step, still reach back over all 60 steps, and are called "neither".
#
# ## 5. For a log file or a dashboard

# %%
print("\n".join(line[:100] for line in stuck.to_json().splitlines()[:16]), "\n  …")

# %% [markdown]
# ## 6. While it trains
#
# `Tracker` records regime and horizon inside a loop of your own, as often as its share of the time allows (5 %
# unless you say otherwise; here all it wants, as the loop is short). It carries one vector back through one run;
# give it the same sequence each time, so that what changes is the network. The loop below trains the untouched
# initial weights with Optax, on a shorter recall, 20 steps.

# %%
SHORT = 20
optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-2))


def cell_of(p):
    return rd.LSTM(p["W"], p["b"], p["W_in"])


def mean_loss(p, inputs, positive):
    last = jax.vmap(lambda u: rd.rollout(cell_of(p), x0, u).final)(inputs)
    logits = jnp.matmul(last[:, :UNITS], p["readout"], precision=jax.lax.Precision.HIGHEST)
    return optax.sigmoid_binary_cross_entropy(logits, positive).mean()


@jax.jit
def update(p, state, inputs, positive):
    value, gradient = jax.value_and_grad(mean_loss)(p, inputs, positive)
    change, state = optimizer.update(gradient, state)
    return optax.apply_updates(p, change), state, value


cell, w, _ = network("initial")
parameters = {
    "W": cell.W,
    "W_in": cell.W_in,
    "b": cell.b,
    "readout": jnp.asarray(w),
}
state, losses = optimizer.init(parameters), []
tracker = rd.Tracker(every=5, share=1.0)
for step in range(400):
    batch = sequences(seed=step, batch=64, steps=SHORT)
    if tracker.due(step):
        tracker(step, cell_of(parameters), x0, inputs[0, :SHORT])
    parameters, state, value = update(parameters, state, *batch)
    losses.append(float(value))
print(f"{len(tracker.records)} records; loss {losses[0]:.3f} → {losses[-1]:.4f}")
reach = [record.horizon for record in tracker.records]
assert losses[-1] < 0.1 < losses[0]
assert max(reach) > 3 * reach[0]

# %%
with plots.style():
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    axes[0].plot(losses, color=plots.palette.BLACK, linewidth=0.8)
    axes[0].set(xlabel="training step", ylabel="loss")
    tracker.plot(axes[1])

# %% [markdown]
# The loss stays at ln 2, a coin's, for as long as the gradient reaches one step back; it falls when the horizon
# grows. Training found its way out here, since the tail of a gradient over 20 steps is small but not nothing; over
# 60 steps, above, it did not.
#
# ## To take home
#
# Save the weights, load them by prefix, run them on one sequence of your data, and ask. A remedy is named only when
# its measurement was made; whether it worked is the same measurement once more. From a shell: `rnn-dynamics
# diagnose model.safetensors --prefix lstm. --inputs x.npy`.
#
# ## Reading
#
# Hochreiter and Schmidhuber (1997) and Gers, Schmidhuber and Cummins (2000) for the carousel and its gate.
# Jozefowicz, Zaremba and Sutskever (2015) for the bias as a remedy. Pascanu, Mikolov and Bengio (2013), section 2,
# for the shares of a gradient by lag. Full references stand in notebook 00.
#
# ## Exercises
#
# **1.** Diagnose the *initial* network. What is its regime, how far does the loss's gradient reach, and what is
# proposed? Then say why it was worth trying before any training.

# %% [markdown]
# <details><summary>Answer</summary>
#
# Vanishing already, with the same remedy: what training would hear is visible at the first step, in a second of
# computing.
#
# ```python
# cell, *readout = network("initial")
# found = rd.diagnose(rd.rollout(cell, x0, inputs[0]), loss_of(readout, positive[0]))
# print(found.regime, found.horizon_percent, [remedy.key for remedy in found.remedies])
# ```
#
# ```text
# vanishing 9 ['lstm']
# ```
#
# </details>

# %% [markdown]
# **2.** The marked number stands 51 to 60 steps before the end. Which mean forget gate lets 1 % of the carousel's
# content through 50 steps, and which bias is that, if nothing else acts on the gate?

# %% [markdown]
# <details><summary>Answer</summary>
#
# $f=.01^{1/50}=.912$, a bias of $\ln\frac f{1-f}=2.34$. The remedy's 5 gives $f=.993$, of which 71 % is left after
# 50 steps.
#
# ```python
# f = 0.01 ** (1 / 50)
# print(f"{f:.3f} {np.log(f / (1 - f)):.2f} {(1 / (1 + np.exp(-5.0))) ** 50:.2f}")
# ```
#
# ```text
# 0.912 2.34 0.71
# ```
#
# </details>
