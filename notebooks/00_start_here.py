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
# # 00 Start here
#
# **Question.** Where do the gradients of a recurrent network go, and why?
#
# *30 minutes; needs derivatives and a little Python.*
#
# A recurrent network is a map that is applied again and again: its state at the next step is
# $x_{t+1}=F(x_t,u_t,\theta)$, with the input $u_t$ and the weights $\theta$. To learn that something at step $k$
# matters for the state at the end, $x_T$, it needs
# $$\frac{\partial x_T}{\partial x_k} = J_T\,J_{T-1}\cdots J_{k+1},\qquad J_{t}=\frac{\partial x_{t}}{\partial x_{t-1}},$$
# one factor for every step between. A hundred factors of 0.9 make $3\cdot10^{-5}$: the gradient *vanishes*. A
# hundred of 1.1 make 14 000: it *explodes*. But the factors are no constants of the network. They depend on where
# the state is, and where the state goes is a matter of dynamics: of its attractors, of the boundaries between them,
# of chaos. This course looks at both together.
#
# The next cell is the first one of every notebook here. It switches double precision on, and keeps compiled
# programs, so that only the first run has to wait for the compiler.

# %%
import jax

jax.config.update("jax_enable_x64", True)

import matplotlib.pyplot as plt
import numpy as np

import rnn_dynamics as rd
from rnn_dynamics import plots

rd.keep_programs()
plt.rcParams["figure.dpi"] = 100

# %% [markdown]
# ## 1. The answer in ten lines
#
# One neuron first, $x_{t+1}=\sigma(5x_t+b)$ with $\sigma(z)=1/(1+e^{-z})$. Where does it come to rest, for every
# bias $b$?

# %%
with plots.style():
    rd.doya.bifurcation_diagram(5.0, np.linspace(-3, -2, 301)).plot()
    plt.gcf().set_size_inches(7, 3.6)

# %% [markdown]
# Between the two dots, the *folds*, it has two resting states and keeps one bit: high or low. On the dashed line it
# rests too, but the least push sends it away. That line is the boundary between the starts that end low and those
# that end high.
#
# Now 64 units with random weights, run for 200 steps. For every $k$ the norm of $\partial x_T/\partial x_k$ is
# computed exactly, and set beside every bound that is in use:

# %%
cell = rd.random_rnn(jax.random.key(0), 64, spectral_radius=1.2)
run = rd.rollout(cell, np.full(64, 0.5), steps=200)
bounds = rd.product_bounds(run)
with plots.style():
    ax = bounds.plot()
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3)
    ax.figure.set_size_inches(7, 4.8)
print(bounds)

# %% [markdown]
# **What it shows.** The black line is the gradient, and the axis counts *decades*, powers of ten. The bounds marked
# ≤ are theorems; they are right, and 60 decades and more too high to be of use. The dotted line takes the *spectral
# radius* $\rho(W)$ in place of the norm, as many texts do. It is no theorem. Here it says that the gradient
# explodes, by $10^{16}$, where the true one grows by $10^{1.2}$: many units are saturated, and a saturated unit
# passes little on.
#
# ## 2. One neuron to play with
#
# One line. In the running notebook the points can be dragged, or moved by the arrow keys; in a saved copy you see a
# picture of it.

# %%
rd.explore.neuron(w=5, b=-2.5, x0=0.4999)

# %% [markdown]
# Three things to do:
#
# 1. *Drag the start* $x_0$ up to ½ and over it. The orbit changes its mind, and next to ½ the gradient grows for a
#    while before it dies. At ½ itself it grows for ever.
# 2. *Drag the fold.* Put the start at 0 and move $b$ to the right. The nearer the fold, the slower the orbit, and the
#    longer its gradient lasts. Just behind it, at $b=-2.34$, only one state is left: the orbit creeps past the place
#    where the other was, its gradient rises once more, and dies.
# 3. *Take the weight to* $-8$ *and the bias to* 4. The neuron does not rest any more, it alternates between two states.
#
# The first, in numbers:

# %%
for steps in (1, 10, 20, 35, 50, 100):
    found = rd.doya.sensitivities(5.0, -2.5, 0.4999, steps)
    print(
        f"T = {steps:3d}   x_T = {float(found.state):.4f}   ∂x_T/∂x_0 = 10^{float(found.initial.log10()):6.2f}"
    )

# %% [markdown]
# **What it shows.** *The gradient explodes at the boundary between two attractors and vanishes inside a basin.*
# That one sentence is the first half of this course. The second half is about what to do.
#
# ## 3. The course
#
# | notebook | question | minutes | needs |
# |---|---|---|---|
# | [01 One neuron](01_doya_bifurcation.ipynb) | Which states does one neuron keep, and where does its gradient go? | 40 | derivatives |
# | [02 The cliff](02_loss_cliff.ipynb) | Why does one update throw the weights far away? | 30 | 01 |
# | [03 The spectral bound](03_spectral_bound.ipynb) | Is a spectral radius below one enough? | 50 | eigenvalues, singular values |
# | [04 Fixed points and basins](04_fixed_points_and_basins.ipynb) | Where does a map rest, and which start goes where? | 45 | 01 |
# | [05 Exponents and chaos](05_exponents_and_chaos.ipynb) | How fast do near states part? | 40 | 03 |
# | [06 Gated cells](06_gated_cells.ipynb) | How far do gradients of LSTM, GRU and ReLU reach, initial and trained? | 45 | 03 |
# | [07 Shared weights](07_shared_weights.ipynb) | Does sharing weights in time change anything? | 45 | 03, 05 |
# | [08 Your own network](08_your_own_network.ipynb) | What is wrong with my network, and what helps? | 40 | 06 |
# | [09 Clipping and Ω](09_clipping_and_regularisation.ipynb) | What can clipping do, and what can Ω? | 40 | 02, 06 |
# | [10 Remedies](10_remedies.ipynb) | What does each published remedy change, and does the network learn? | 60 | 09 |
# | [12 Networks in the wild](12_networks_in_the_wild.ipynb) | How far back do the networks look that people use every day? | 40 | 06, 08 |
#
# Each has a question, experiments with their pictures, what they show, what to read, and exercises with folded
# answers. Three ways through: *dynamics*, 01 02 04 05; *a network that does not learn*, 03 06 08 09; *one lecture*,
# 01 and 02 with the explorers open.
#
# **Words.**
#
# | word | meaning |
# |---|---|
# | attractor | a state, cycle or set that near orbits go to |
# | basin | the starts whose orbits go to one attractor; the boundary between two is a *separatrix* |
# | multiplier | the factor by which a step changes a small distance to a fixed point: below 1 in size it attracts |
# | fold, flip | where an attractor meets a repelling state and both are gone; where it hands over to a 2-cycle |
# | lag | $T-k$, the steps between cause and effect |
# | horizon | the lag at which a gradient has fallen to $1/e$ or to 1 % of its greatest value |
# | nat, decade | a factor $e$, a factor 10: growth is counted in nats or in decades a step |
# | spectral radius $\rho$ | the size of the largest eigenvalue; *not* the largest factor, which is the norm $s_1$, the largest singular value |
#
# ## To take home
#
# A gradient through time is a product along an orbit. Ask where the orbit goes before you ask what the weights are.
#
# ## Reading
#
# The papers that the notebooks cite by name and year.
#
# *Where it began*
#
# * S. Hochreiter (1991). *Untersuchungen zu dynamischen neuronalen Netzen.* Diploma thesis, Technische Universität
#   München.
# * K. Doya (1992). Bifurcations in the learning of recurrent neural networks. *Proc. IEEE International Symposium on
#   Circuits and Systems*, 2777–2780.
# * Y. Bengio, P. Simard, P. Frasconi (1994). Learning long-term dependencies with gradient descent is difficult.
#   *IEEE Transactions on Neural Networks* 5, 157–166.
# * R. Pascanu, T. Mikolov, Y. Bengio (2013). On the difficulty of training recurrent neural networks. *Proc. 30th
#   International Conference on Machine Learning (ICML)*, 1310–1318; arXiv 1211.5063. The first two versions of the
#   preprint have the spectral radius where the published paper has the singular value (notebook 03).
# * *Wikipedia*, the free encyclopedia, article "Vanishing gradient problem": the most read account, and a good one;
#   where a formula of it is wrong, the notebooks say so.
#
# *Dynamics and matrices*
#
# * S. H. Strogatz (2015). *Nonlinear Dynamics and Chaos*, 2nd edition. Westview Press. Folds, flips and chaos from
#   scratch.
# * H. Sompolinsky, A. Crisanti, H. J. Sommers (1988). Chaos in random neural networks. *Physical Review Letters*
#   61, 259–262.
# * C. M. Newman (1986). The distribution of Lyapunov exponents: exact results for random matrices. *Communications in
#   Mathematical Physics* 103, 121–126.
# * L. N. Trefethen, M. Embree (2005). *Spectra and Pseudospectra.* Princeton University Press.
# * G.-C. Rota, W. G. Strang (1960). A note on the joint spectral radius. *Indagationes Mathematicae* 22, 379–381.
# * D. Sussillo, O. Barak (2013). Opening the black box: low-dimensional dynamics in high-dimensional recurrent neural
#   networks. *Neural Computation* 25, 626–649.
# * F. Ginelli and others (2007). Characterizing dynamics with covariant Lyapunov vectors. *Physical Review Letters*
#   99, 130601.
# * J. Mikhaeil, Z. Monfared, D. Durstewitz (2022). On the difficulty of learning chaotic dynamics with RNNs.
#   *Advances in Neural Information Processing Systems (NeurIPS)* 35.
# * L. Eisenmann, Z. Monfared, N. Göring, D. Durstewitz (2023). Bifurcations and loss jumps in RNN training.
#   *NeurIPS* 36.
#
# *Remedies*
#
# * S. Hochreiter, J. Schmidhuber (1997). Long short-term memory. *Neural Computation* 9, 1735–1780.
# * F. A. Gers, J. Schmidhuber, F. Cummins (2000). Learning to forget: continual prediction with LSTM. *Neural
#   Computation* 12, 2451–2471.
# * K. Cho and others (2014). Learning phrase representations using RNN encoder–decoder for statistical machine
#   translation. *Proc. EMNLP*, 1724–1734; arXiv 1406.1078. The GRU.
# * Q. V. Le, N. Jaitly, G. E. Hinton (2015). A simple way to initialize recurrent networks of rectified linear
#   units. arXiv 1504.00941. IRNN.
# * R. Jozefowicz, W. Zaremba, I. Sutskever (2015). An empirical exploration of recurrent network architectures.
#   *Proc. 32nd ICML*, 2342–2350. The bias of the forget gate.
# * A. M. Schaefer, S. Udluft, H.-G. Zimmermann (2008). Learning long-term dependencies with recurrent neural
#   networks. *Neurocomputing* 71, 2481–2488.
# * G. E. Hinton, S. Osindero, Y.-W. Teh (2006). A fast learning algorithm for deep belief nets. *Neural
#   Computation* 18, 1527–1554.
# * E. Vorontsov, C. Trabelsi, S. Kadoury, C. Pal (2017). On orthogonality and learning recurrent networks with long
#   term dependencies. *Proc. 34th ICML*, 3570–3578.
# * G. Yang, J. Pennington, V. Rao, J. Sohl-Dickstein, S. S. Schoenholz (2019). A mean field theory of batch
#   normalization. *ICLR*; arXiv 1902.08129.
# * A. Veit, M. Wilber, S. Belongie (2016). Residual networks behave like ensembles of relatively shallow networks.
#   *NeurIPS* 29.
# * R. Engelken (2023). Gradient flossing: improving gradient descent through dynamic control of Jacobians.
#   *NeurIPS* 36.
#
# ## Exercises
#
# **1.** In the explorer set $b=-2.5$ and find by hand the start from which the gradient is largest at $T=20$. Then
# say which start it must be, and how large the gradient is there.

# %% [markdown]
# <details><summary>Answer</summary>
#
# The one on the boundary, $x_0=½$. There every factor is the same, $w\,x(1-x)=5\cdot\frac14=1.25$, and twenty of
# them make $1.25^{20}=86.7$. Any other start leaves the neighbourhood of ½, where the factors are smaller.
#
# ```python
# print(f"{float(rd.doya.sensitivities(5.0, -2.5, 0.5, 20).initial.to_float()):.2f}")
# ```
#
# ```text
# 86.74
# ```
#
# </details>

# %% [markdown]
# **2.** The network above has a spectral radius of 1.2. Look at the printed table: which lines say that its
# gradient cannot explode, and which say that it must?

# %% [markdown]
# <details><summary>Answer</summary>
#
# None. The lines with ≤ that are theorems allow growth, those with ≥ allow decay, and between them lie more than a
# hundred decades. The line of the spectral radius, which predicts growth, is no theorem. What the gradient does has
# to be computed along the orbit, and that is the black line.
#
# </details>
