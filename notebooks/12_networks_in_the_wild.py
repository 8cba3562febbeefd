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
# # 12 Networks in the wild
#
# **Question.** How far back do the networks look that people use every day?
#
# *40 minutes; needs 06, 08.*
#
# Trained recurrent networks lie in public packages. One in the codec Opus, since its version 1.3, decides fifty times a
# second whether it hears speech or music; others find beats, spell words, or foresee how much ammonia a field will
# lose. Three more walk robots, and lie in a public repository. Here twenty-one of them are diagnosed. None of their
# weights are in this repository. Each was read from its installed package, or from a clone, by a small program in
# `examples/zoo`, run on an input made for it, and its states were compared with those of the package's own runtime, or
# of the one that it is made for. What was measured is stored, and this notebook reads that.

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
from rnn_dynamics.figures.gradients import zoo

found, both = zoo.stored(), zoo.both_ways()
print(f"{'':16} {'step':>9} {'state':>6}  architecture")
for each in (found | both).values():
    short = f"{1000 * each['step']:.0f} ms" if each["step"] < 1 else f"{each['step']:.0f} s"
    step = short if each["unit"] == "s" else each["unit"]
    print(f"{zoo.label(each):16} {step:>9} {each['state_size']:6}  {each['architecture']}")

# %% [markdown]
# Each row is one command in a clone, once the package is there; without it the program says how to get it.
#
# ```sh
# pip install --no-deps g2p-en==2.1.0
# python -m examples.zoo g2p
# ```
#
# What such a program does is short: read the file, whatever its format; make an input; run; compare; ask.
#
# ```python
# cell = rd.interop.load("silero_vad.jit", prefix="_model.decoder.rnn.")   # nothing in the file is run
# run = rd.rollout(cell, np.zeros(256), inputs)
# print(rd.diagnose(run, logit_of_speech, dt=0.032))
# ```
#
# ## 1. Are these the networks that run?
#
# A verdict on a network that was read wrongly is worth nothing: a gate that is turned round, or a layer that is
# missing, fits all shapes. So the first number is the largest difference between a state here, in double precision,
# and the same state in the package's own runtime, in single precision.

# %%
every = list((found | both).values())
for each in every:
    agreement = each["agreement"]
    print(f"{zoo.label(each):16} {agreement['states']:.0e}  {agreement['against']}")
differences = [each["agreement"]["states"] for each in every]
with plots.style():
    plt.figure(figsize=(6, 3.4))
    plt.semilogx(differences, range(len(every)), "o", color=plots.palette.BLUE)
    plt.yticks(range(len(every)), [zoo.label(each) for each in every])
    plt.axvline(2.0**-24, **plots.palette.ZERO)
    plt.xlabel("largest difference of a state; grey: half a unit of single precision at 1")
assert all(zoo.agrees(each) for each in every)
assert sum(each["agreement"]["is_runtime"] for each in every) >= len(every) - 1

# %% [markdown]
# The differences are those of single precision, added up over a run, and larger where states are: DTLN's reach some
# hundreds. Four were run in double precision, and agree to its rounding. libopus rounds its tanh too, to a
# table of some 200 values with a correction, and RNNoise's library takes the processor's quick reciprocal for it, which
# has 12 bits: so a step of its network is compared from the state that it has there.
#
# ## 2. How far back?
#
# The *horizon of the state* is the largest lag at which $\|\partial x_T/\partial x_k\|$ is still a share of its
# greatest value; that of the *output* is the same of the gradient of one output $y$, $\|\partial y_T/\partial x_k\|$.
# A network may keep what its output never asks for.

# %%
shown = zoo.zoo()
with plots.style():
    figure = shown.draw()
    figure.set_dpi(plt.rcParams["figure.dpi"])
figure

# %%
print(f"{'':16} {'exponent':>18}   {'state, 1/e':>13} {'output, 1/e':>13} {'output, 1 %':>13}")
for each in found.values():
    lags = [
        each["horizons"][share][of] for share, of in (("1/e", "state"), ("1/e", "output"), ("1 %", "output"))
    ]
    times = " ".join(f"{zoo.in_its_unit(each, lag):>13}" for lag in lags)
    print(f"{zoo.label(each):16} {each['exponent']:+9.4f} ± {each['exponent_error']:.4f}   {times}")

# %% [markdown]
# **What it shows.** Three kinds of memory.
#
# * *Networks that forget.* The plain tanh network of 2013 finds the beginnings of notes and looks back a tenth of a
#   second: no more is needed. nh3pred looks back some hours. The policies of the three robots lose 6 to 7 % a step
#   though they are LSTMs; section 7 asks what that memory is for.
# * *Networks on the edge.* For most of the gated ones the exponent is 0 within its error: a small change of the state
#   neither dies nor grows, from the beginning of the run to its end. No one told them to; it is where training led.
# * *Opus in between*: its gradient falls by 2 % a step of 20 ms.
#
# And in most the output looks less far back than the state does, at 1/e; in g2p-en and RNNoise as far. A memory that
# no output reads is no fault: it is there for the outputs to come.

# %%
edge = [name for name, each in found.items() if abs(each["exponent"]) < 2 * each["exponent_error"] + 5e-4]
gated = [name for name in found if name not in ("nh3pred", "madmom_onsets")]
print(f"on the edge: {len(edge)} of {len(gated)} gated ones, namely")
for some in (edge[:6], edge[6:]):
    print("   ", ", ".join(zoo.label(found[name]) for name in some))
assert set(edge) <= set(gated)
assert len(edge) > len(gated) / 2
looks = [zoo.label(each) for each in found.values()
         if each["horizons"]["1/e"]["output"] > 0.9 * each["horizons"]["1/e"]["state"]]  # fmt: skip
print(f"as far as the state: {', '.join(looks)}")
assert set(looks) == {"g2p-en", "RNNoise"}
for name in ("nh3pred", "madmom_onsets", "opus", "unitree_g1", "unitree_h1", "unitree_h1_2"):
    assert found[name]["regime"] == "vanishing"

# %% [markdown]
# ## 3. Two generations in one package
#
# The package madmom holds a network of plain tanh units from 2013, for onsets, and an LSTM from 2016, for beats. Both
# heard the same made piece.

# %%
old, new = found["madmom_onsets"], found["madmom_beats"]
for each in (old, new):
    what, answer = next(iter(each["answers"].items()))
    print(f"{each['title']:32} {each['architecture']}")
    print(f"    exponent {each['exponent']:+.4f} nats a step of 10 ms; {what}: {answer}")
for layer, (radius, norm) in old["more"]["radius_and_norm"].items():
    print(f"    {layer} of the plain network: radius {radius:.2f}, norm {norm:.2f}")
settling = new["fixed_points"]["settling"]
print(
    f"the LSTM at the mean input: after {settling['steps']} steps it still moves by {settling['speed']:.2f} a step, "
    f"and its largest entry is {settling['largest']:.0f}"
)
assert old["exponent"] < -0.3 < -0.01 < new["exponent"]
assert settling["speed"] > 1

# %% [markdown]
# Neither the radius (0.75 to 1.15) nor the norm (1.2 to 1.8) of the plain layers' weights says "vanishing"; the
# slopes of tanh along the run do. The LSTM has the other extreme: at a constant input a cell of it *counts*. Its
# forget gate is 1 to within rounding, and what is added at each step is kept: after 20 000 steps it is far beyond
# anything that music could bring about. There is no fixed point, and none is found.
#
# ## 4. A radius of 2.1, and the gradient vanishes
#
# "A spectral radius above 1 makes gradients explode." nh3pred is a plain network with $x_{t+1}=\max(0,Wx_t+\dots)$,
# 512 units, trained to foresee from weather, soil and manure how much ammonia is lost after spreading.

# %%
ammonia = found["nh3pred"]
facts = ammonia["more"]
print(f"spectral radius {facts['radius']:.2f}, largest singular value {facts['norm']:.2f}")
print(f"exponent {ammonia['exponent']:+.3f} ± {ammonia['exponent_error']:.3f} nats an hour")
print(
    f"units on, mean over the run: {100 * facts['units_on']:.0f} %; never on: {facts['units_never_on']} of 512"
)
(rest,) = ammonia["fixed_points"]["points"]
print(f"at rest at the mean input: radius of DW {rest['radius']:.2f}")
assert facts["radius"] > 2
assert ammonia["exponent"] + 2 * ammonia["exponent_error"] < 0
assert rest["radius"] < 1

# %% [markdown]
# The gradient's factor is $D_tW$, where $D_t$ is 1 for a unit that is on and 0 for one that is off. Its eigenvalues
# are those of $W$ *among the units that are on together*, and there the radius is 0.76: the directions that $W$ as a
# whole would stretch pass through units that are not on at the same time. A network of our own shows the first half
# of that without anybody's weights: random, of radius 2.1, with a bias that keeps more and more units off.

# %%
n, steps = 256, 120
drawn = np.random.default_rng(0)
W = drawn.normal(size=(n, n)) / np.sqrt(n)
W *= 2.1 / np.abs(np.linalg.eigvals(W)).max()
u = drawn.normal(size=(steps, n))
curves = {}
for bias in (0.0, -0.6, -0.9, -1.2):
    cell = rd.ElmanRNN(W, np.full(n, bias), 0.6 * np.eye(n), activation="relu")
    run = rd.rollout(cell, np.zeros(n), u)
    norms = np.asarray(rd.gradient_norms(run)) / np.log(10)
    on = (np.asarray(run.states[1:]) > 0).mean()
    print(f"bias {bias:+.1f}: {100 * on:3.0f} % on, gradient over {steps} steps 10^{norms[0]:+.1f}")
    curves[f"{100 * on:.0f} % on"] = norms[::-1]
with plots.style():
    plt.figure(figsize=(6, 3))
    looks = zip(plots.palette.SERIES, plots.palette.DASHES, strict=False)
    for (name, curve), (colour, dash) in zip(curves.items(), looks, strict=True):
        plt.plot(curve, color=colour, linestyle=dash, label=name)
    plt.xlabel(plots.palette.LAG)
    plots.powers_of_ten(plt.gca().yaxis, plots.palette.NORM)
    plt.legend()
assert norms[0] < -5

# %% [markdown]
# Where weights know nothing of which units are on, it takes few of them: with half the units on, the random network's
# gradient still explodes. nh3pred has as many on, and its gradient vanishes. Training has arranged which ones.
#
# ## 5. The bit in Opus
#
# Opus, the codec of calls in browsers and telephones, has a GRU of 24 units with weights of 8 bits. Its input is held
# at a point $p$ of the line from the mean of speech ($p=0$) to the mean of music ($p=1$).

# %%
opus = found["opus"]
line = opus["more"]["line"]
for point in opus["fixed_points"]["points"]:
    kind = "stable" if point["stable"] else f"unstable in {point['unstable']} direction"
    print(
        f"at the mean of speech: {kind:24} music {100 * point['output']:5.1f} %, radius {point['radius']:.4f}"
    )
for name, fold, codec in zip(("music ends", "speech ends"), line["folds"], line["codec_leaves"], strict=True):
    print(f"{name:12} at p = {fold:.9f}; the codec's own GRU jumps at {codec:.6f}")
assert [point["stable"] for point in opus["fixed_points"]["points"]] == [True, True, False]
assert line["folds"] == line["folds_from_music"]
assert np.abs(np.subtract(line["folds"], line["codec_leaves"])).max() < 1e-5

# %% [markdown]
# At the mean of speech it has *two* answers that last, speech and music, and a saddle between them: which one it
# gives depends on what it heard before. That is the figure of Doya (1992) with which notebook 01 began, in software
# that everybody runs. The folds were located from either side, and libopus was compiled from its source with its own
# GRU left to run at held inputs: it jumps at the same places to five digits.
#
# Which way does it serve the codec? To leave "music" takes an input far on the other side of speech ($p<-0.47$), or a
# varying one; to leave "speech" takes little ($p>0.034$). With real sound the input moves about, and the two states
# are places where the state lingers rather than rests.
#
# A second one of them keeps a bit. dgaintel judges whether a program made up a domain name. It reads names that
# are filled up to 82 characters, so that after the name there comes padding, and the answer is asked for at its end.

# %%
for point in found["dgaintel"]["fixed_points"]["points"]:
    kind = "stable" if point["stable"] else f"unstable in {point['unstable']} direction"
    print(f"at the padding: {kind:24} made up {100 * point['output']:6.2f} %, radius {point['radius']:.4f}")
for name, value in found["dgaintel"]["answers"].items():
    print(f"    {name:18} {100 * value:5.1f} %")
assert [point["stable"] for point in found["dgaintel"]["fixed_points"]["points"]] == [True, True, False]

# %% [markdown]
# While the name is read the state is pushed to one side of the saddle's boundary or to the other, and the padding
# does the rest: the latch of Bengio, Simard and Frasconi (1994), learned by a network that nobody built as one.
#
# ## 6. Networks that know what comes after
#
# What is not decided on the spot can be read from both ends. sleepecg and gssc are handed a whole night, and say for
# each half a minute whether the sleeper is awake or dreams, the one from heartbeats, the other from the movements of an
# eye; medaka reads a pile of DNA reads that do not agree and says which base stands where. Each layer of theirs has one
# cell that runs forward and one that runs backward, and the layer above reads both. So an output has a memory of the
# past and one of the future: $\|\partial y_t/\partial u_s\|$ against the *signed lag* $s-t$, of one output $y$ and of
# what the first recurrent layer reads.

# %%
from rnn_dynamics.figures.gradients import zoo_both

names = {name: zoo.label(each) for name, each in both.items()}
with plots.style():
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), width_ratios=(2.2, 1), layout="constrained")
    zoo_both.signed(left, both, names)
    zoo_both.directions(right, both, names)

# %%
for each in both.values():
    print(f"{each['title']}: watched is {each['watched']}")
    for share, reach in each["horizons"].items():
        back, ahead = (zoo.in_its_unit(each, reach[side]) for side in ("back", "ahead"))
        print(f"    {share:3} at {back} back and {ahead} ahead")
    answers = ", ".join(f"{what} {value:.2f}" for what, value in each["answers"].items())
    print(f"    {answers}")
for each in both.values():
    assert min(each["horizons"]["1 %"].values()) > 100
assert (
    both["medaka"]["answers"]["columns that are right"]
    > both["medaka"]["answers"]["by the vote of the reads"]
)

# %% [markdown]
# The peak at $s=t$ is narrow: a few steps around it count most. But the skirts are wide, to both sides: at one
# hundredth of the greatest the sleep networks still hear what was more than an hour before, and what comes more than an
# hour after. The slopes far out are those of the slowest directions in any layer (on the right of the picture): each
# loses 2 % a step at most, and most of them far less, so that all of these networks are on the edge or next to it,
# as those were that read in one direction.
#
# ## 7. Robots that walk on half a second
#
# Unitree's humanoids G1, H1 and H1-2 have policies in the repository `unitree_rl_gym`: 50 times a second an LSTM of 64
# units reads how the body turns and leans, the joints, the command, and a clock of one stride in 0.8 s, and asks for
# joint angles. How fast the robot moves is *not* among the inputs. Here each robot walks in MuJoCo, driven by the
# repository's own file, and is told to go ahead at 0.5 m/s. What does it need its memory for?
#
# One can take it away: after 8 s of walking the state is made anew at each step, from zero, of the last few observations
# alone; or it is set to something that knows nothing of the last steps.

# %%
from rnn_dynamics.figures.gradients import zoo_robots

walking = zoo_robots.robots(found)
for name, each in walking.items():
    memory, speed = each["more"]["memory"], each["answers"]["speed, m/s"]
    print(f"{name}, with all of its memory: {speed:.2f} m/s")
    for what, at in memory["replaced"].items():
        print(f"    with its state at each step {what}: falls after {at:.1f} s")
    print(f"    least number of last observations on which it walks: {zoo_robots.enough(each)}")
    reach = [zoo.in_its_unit(each, each["horizons"][share]["output"]) for share in ("1/e", "1 %")]
    print(f"    gradient of the left knee's angle: 1/e at {reach[0]}, 1 % at {reach[1]}")
    assert all(at is not None for at in memory["replaced"].values())
    assert memory["replaced"]["zero"] < 3
with plots.style():
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    zoo_robots.speeds(left, found)
    zoo_robots.pushes(right, found)

# %% [markdown]
# With the state at zero, or at its mean over the walk, all three fall within three seconds. With its mean at that very
# phase of the stride, which is the walk as it should be, they go on for ten strides or so, and fall too: what has just
# happened is what they have to know. Yet little of it keeps them up: 3 observations, 60 ms, of G1 and H1, and 6 of
# H1-2. On a few, G1 and H1 walk *up to twice as fast as they were told*. Their speed is that of the whole memory once
# the state is made of 20 to 30 observations, half a second, and that is about where the gradient of an action is down to
# 1 %: what they keep so long is what tells how fast they are. H1-2 has its speed as soon as it does not fall.
#
# The state itself is gone in a stride. Along the walk the product of the Jacobians over one stride has these
# multipliers, as Floquet has them of a cycle:

# %%
for name, each in walking.items():
    alone, there = zoo_robots.after_a_stride(each)
    multipliers = ", ".join(f"{value:.3f}" for value in each["more"]["multipliers"][:3])
    print(f"{name:5} multipliers of a stride {multipliers}; exponent {each['exponent']:+.3f} nats a step")
    print(
        f"      of a push a stride later: {100 * alone:.1f} % in the network alone, {100 * there:.0f} % in the robot"
    )
    assert each["more"]["multipliers"][0] < 0.1
    assert there > 10 * alone

# %% [markdown]
# On the right the state was pushed a little, and the change of the actions followed. With the inputs held as they were
# (dashed) it is what the gradient says: 1 % after a stride. In the robot (solid) a quarter of it is still there, and of
# H1-2, whose strides differ more, it has grown. What the network forgot stands in the body, in how it leans and moves,
# and the next observations tell of it. Backpropagation through a policy's own past follows the dashed lines; what
# comes back by the robot reaches its training through rewards alone. **The longest memory of a robot is the robot**, and
# a vanishing gradient of a network in a loop says how long *the network* remembers, no more.
#
# ## To take home
#
# Trained networks that are in use sit where their task puts them: a detector of onsets forgets in a tenth of a second,
# one of beats keeps counting. The weights alone say little about it, as a radius of 2.1 with a vanishing gradient
# shows. And a gradient of 1 over the whole run is what most gated networks have after training. Where the network's
# outputs change what it reads next, as a robot's do, its own memory may be short: the world keeps the rest.
#
# ## Reading
#
# J.-M. Valin and others on Opus's analysis: the source of libopus, `src/analysis.c`, and RFC 6716 for the codec.
# S. Böck and others (2012) for online onsets, S. Böck and M. Schedl (2011) for beats. K. Doya (1992) for the folds,
# Y. Bengio, P. Simard and P. Frasconi (1994) for the latch.
# R. Pascanu, T. Mikolov and Y. Bengio (2013) for radii and norms. J. Siekmann and others (2020), "Learning memory-based
# control for human-scale bipedal locomotion", for what recurrent policies of robots keep. Full references stand in notebook 00. To go on:
# `examples/zoo/README.md` has every network, its licence and the commands, and `rd.interop.load` reads yours.
#
# ## Exercises
#
# **1.** Opus's larger multipliers at the mean of speech are those printed above. After how many seconds has a small
# push of its "speech" died down to 1 %?

# %% [markdown]
# <details><summary>Answer</summary>
#
# A push along the slowest direction falls by the radius $r$ each 20 ms, so that $n=\ln 0.01/\ln r$ steps are needed.
#
# ```python
# speech = min((p for p in opus["fixed_points"]["points"] if p["stable"]), key=lambda p: p["output"])
# print(f"{0.02 * np.log(0.01) / np.log(speech['radius']):.0f} s")
# ```
#
# ```text
# 21 s
# ```
#
# </details>

# %% [markdown]
# **2.** With how many units on would a random ReLU network of radius $\rho$ be on the edge? (For independent masks the
# mean square of a product of $D_tW$ shrinks by the share of units on.)

# %% [markdown]
# <details><summary>Answer</summary>
#
# $\|D W v\|^2$ has the mean $s\rho^2\|v\|^2$ where a share $s$ is on, as $\rho^2$ is $n$ times the variance of an
# entry. The edge is at $s=1/\rho^2$: at 2.1 some 23 %.
#
# ```python
# print(f"{100 / 2.1**2:.0f} %")
# ```
#
# ```text
# 23 %
# ```
#
# </details>

# %% [markdown]
# **3.** Which network's output looks back for the smallest share of what its state keeps, both at 1/e?

# %% [markdown]
# <details><summary>Answer</summary>
#
# One whose state is a store and whose output reads the newest part of it.
#
# ```python
# share = {zoo.label(e): e["horizons"]["1/e"]["output"] / e["horizons"]["1/e"]["state"] for e in found.values()}
# print(min(share, key=share.get))
# ```
#
# ```text
# DTLN (second)
# ```
#
# </details>
