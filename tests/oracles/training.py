"""Training in plain NumPy, written from the papers: loops over steps and sequences, 64-bit floats, no library code.

`clipped`: Algorithm 1 of Pascanu, Mikolov and Bengio (2013).
`Elman`: a network h_t = φ(W h_{t−1} + W_in u_t + b), h_0 = 0, read as V h_t + c, with φ = tanh or the logistic.
`propagated_back`: its loss, ∂E/∂z_t of each sequence, and the gradient of every parameter.
`omega`, `omega_gradient`: Ω of the same paper and its immediate gradient with respect to W.
`Leaky`, `Gated`: cells with Jacobians written out, for `omega_of_states`.
`momentum`, `nesterov`, `rmsprop`, `adam`, `rprop`, `irprop_minus`: steps on a list of gradients given in advance.
`exponents_by_qr`, `flossing_term`: Lyapunov exponents of a short run and the term of Engelken (2023).
`finite_differences`: central differences of any of these.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
LEAST_SQUARED_NORM = 1e-20


def finite_differences(function: Callable[[Array], float], point: Array, step: float = 1e-6) -> Array:
    """Central differences of a scalar function at an array, one entry after the other."""
    point = np.array(point, dtype=np.float64)
    slopes = np.zeros_like(point)
    for index in np.ndindex(point.shape):
        ahead, behind = point.copy(), point.copy()
        ahead[index] += step
        behind[index] -= step
        slopes[index] = (function(ahead) - function(behind)) / (2 * step)
    return slopes


def norm_of_all(gradients: Sequence[Array]) -> float:
    """The Euclidean norm over the entries of all arrays together."""
    return math.hypot(*(float(entry) for part in gradients for entry in np.ravel(part)))


def clipped(gradients: Sequence[Array], threshold: float) -> list[Array]:
    """Algorithm 1: if ‖g‖ ≥ threshold, g ← threshold · g/‖g‖."""
    norm = norm_of_all(gradients)
    if norm >= threshold:
        return [threshold / norm * np.float64(part) for part in gradients]
    return [np.float64(part) for part in gradients]


# ── the network and its gradient ─────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Elman:
    """h_t = φ(z_t), z_t = W h_{t−1} + W_in u_t + b, h_0 = 0; the output after step t is V h_t + c."""

    W: Array
    W_in: Array
    b: Array
    V: Array
    c: Array
    activation: str = "tanh"

    def value(self, z: Array) -> Array:
        return np.tanh(z) if self.activation == "tanh" else 1 / (1 + np.exp(-z))

    def slope(self, z: Array) -> Array:
        if self.activation == "tanh":
            return 1 / np.cosh(z) ** 2
        return 1 / ((1 + np.exp(-z)) * (1 + np.exp(z)))


def random_elman(
    seed: int,
    *,
    units: int,
    width: int,
    outputs: int,
    scale: float = 0.6,
    activation: str = "tanh",
    dtype: type = np.float64,
) -> Elman:
    """A network whose entries are drawn from N(0, scale²) and rounded to a dtype, then held as 64-bit floats."""
    draw = np.random.default_rng(seed)
    shapes = [(units, units), (units, width), (units,), (outputs, units), (outputs,)]
    arrays = [(scale * draw.standard_normal(shape)).astype(dtype).astype(np.float64) for shape in shapes]
    return Elman(*arrays, activation=activation)


def run(network: Elman, inputs: Array) -> tuple[list[Array], list[Array]]:
    """z_1 … z_T and h_0 … h_T of one sequence of inputs (steps, width)."""
    z, h = [], [np.zeros(network.W.shape[0])]
    for u in np.float64(inputs):
        z.append(network.W @ h[-1] + network.W_in @ u + network.b)
        h.append(network.value(z[-1]))
    return z, h


def cross_entropy(output: Array, label: int) -> tuple[float, Array]:
    """−ln softmax(output)[label] and its gradient."""
    shifted = output - output.max()
    probabilities = np.exp(shifted) / np.sum(np.exp(shifted))
    slope = probabilities.copy()
    slope[label] -= 1
    return float(np.log(np.sum(np.exp(shifted))) - shifted[label]), slope


def squared_error(output: Array, target: Array) -> tuple[float, Array]:
    """‖output − target‖² and its gradient."""
    return float(np.sum((output - target) ** 2)), 2 * (output - target)


def sequence_loss(network: Elman, h: list[Array], at: Array, targets: Array, kind: str) -> tuple[float, list]:
    """E of one sequence, the mean over its readings, and (step, slope) of each; reading t is of h_{t+1}."""
    judge = cross_entropy if kind == "classes" else squared_error
    loss, slopes = 0.0, []
    for t, target in zip(at, targets, strict=True):
        value, slope = judge(network.V @ h[int(t) + 1] + network.c, target)
        loss += value / len(at)
        slopes.append((int(t) + 1, slope / len(at)))
    return loss, slopes


@dataclass(frozen=True)
class Gradient:
    """The mean loss, each sequence's ∂E/∂z_t (batch, steps, units), and the mean gradient of each parameter."""

    loss: float
    losses: Array
    preactivations: Array
    slopes: Array
    dz: Array
    W: Array
    W_in: Array
    b: Array
    V: Array
    c: Array

    def parameters(self) -> list[Array]:
        return [self.W, self.W_in, self.b, self.V, self.c]


def propagated_back(
    network: Elman, inputs: Array, at: Array, targets: Array, kind: str = "classes"
) -> Gradient:
    """Backpropagation through time, one sequence after the other, one step after the other."""
    batch, steps = inputs.shape[:2]
    units = network.W.shape[0]
    losses = np.zeros(batch)
    zs, dz = np.zeros((batch, steps, units)), np.zeros((batch, steps, units))
    sums = [np.zeros_like(part) for part in (network.W, network.W_in, network.b, network.V, network.c)]
    for s in range(batch):
        z, h = run(network, inputs[s])
        zs[s] = z
        losses[s], readings = sequence_loss(network, h, at[s], targets[s], kind)
        dh = [np.zeros(units) for _ in range(steps + 1)]
        for t, slope in readings:
            dh[t] = dh[t] + network.V.T @ slope
            sums[3] += np.outer(slope, h[t]) / batch
            sums[4] += slope / batch
        for t in range(steps, 0, -1):
            delta = network.slope(z[t - 1]) * dh[t]
            dz[s, t - 1] = delta
            dh[t - 1] = dh[t - 1] + network.W.T @ delta
            sums[0] += np.outer(delta, h[t - 1]) / batch
            sums[1] += np.outer(delta, np.float64(inputs[s, t - 1])) / batch
            sums[2] += delta / batch
    return Gradient(float(losses.mean()), losses, zs, network.slope(zs), dz, *sums)


def mean_loss(network: Elman, inputs: Array, at: Array, targets: Array, kind: str = "classes") -> float:
    """The mean over a batch of the loss of each sequence, from the run alone."""
    return float(
        np.mean(
            [
                sequence_loss(network, run(network, u)[1], t, y, kind)[0]
                for u, t, y in zip(inputs, at, targets, strict=True)
            ]
        )
    )


# ── Ω ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def omega(W: Array, slopes: Array, dz: Array, power: int) -> float:
    """Σ_{k=1}^{T−1} mean over sequences of (‖δ_{k+1} W diag φ′(z_k)‖ᵖ/‖δ_{k+1}‖ᵖ − 1)², δ = ∂E/∂z.

    A step of a sequence with ‖δ_{k+1}‖² < 1e−20 adds nothing; the mean is over all sequences, that one too.
    """
    batch, steps = dz.shape[:2]
    total = 0.0
    for k in range(steps - 1):
        for s in range(batch):
            delta = dz[s, k + 1]
            if delta @ delta < LEAST_SQUARED_NORM:
                continue
            back = (delta @ W) * slopes[s, k]
            ratio = np.sqrt(back @ back) / np.sqrt(delta @ delta)
            total += (ratio**power - 1) ** 2 / batch
    return total


def omega_gradient(W: Array, slopes: Array, dz: Array, power: int) -> Array:
    """∂⁺Ω/∂W with δ, z and φ′ held.

    With v = δ W D, r = ‖v‖/‖δ‖:  ∂r/∂W_ij = δ_i v_j D_j / (‖v‖ ‖δ‖)  and  ∂r²/∂W_ij = 2 δ_i v_j D_j / ‖δ‖².
    """
    batch, steps = dz.shape[:2]
    total = np.zeros_like(W)
    for k in range(steps - 1):
        for s in range(batch):
            delta, d = dz[s, k + 1], slopes[s, k]
            squared = delta @ delta
            if squared < LEAST_SQUARED_NORM:
                continue
            back = (delta @ W) * d
            outer = np.outer(delta, back * d)
            if power == 1:
                norm = np.sqrt(back @ back)
                ratio = norm / np.sqrt(squared)
                along = outer / (norm * np.sqrt(squared))
            else:
                ratio = back @ back / squared
                along = 2 * outer / squared
            total += 2 * (ratio - 1) * along / batch
    return total


# ── cells by their own state ─────────────────────────────────────────────────────────────────────────────────────


def _sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


@dataclass(frozen=True)
class Leaky:
    """x ← (1 − α) x + α tanh(W x + W_in u + b)."""

    W: Array
    W_in: Array
    b: Array
    alpha: float

    def step(self, x: Array, u: Array) -> Array:
        return (1 - self.alpha) * x + self.alpha * np.tanh(self.W @ x + self.W_in @ u + self.b)

    def jacobian(self, x: Array, u: Array) -> Array:
        """∂(next)/∂x = (1 − α) I + α diag(sech² z) W."""
        z = self.W @ x + self.W_in @ u + self.b
        return (1 - self.alpha) * np.eye(len(x)) + self.alpha * (1 - np.tanh(z) ** 2)[:, None] * self.W


@dataclass(frozen=True)
class Gated:
    """A gated recurrent unit in the form of Cho et al. (2014), the state read through the reset gate.

    r = σ(W_r x + U_r u + b_r), z = σ(W_z x + U_z u + b_z), n = tanh(W_n x + a_n) with the reset gate on
    W_n (r ∘ x) (``outside`` False) or on r ∘ (W_n x + a_n) (True); x ← (1 − z) n + z x.
    """

    W_r: Array
    W_z: Array
    W_n: Array
    U_r: Array
    U_z: Array
    U_n: Array
    b_r: Array
    b_z: Array
    b_n: Array
    a_n: Array
    outside: bool = True

    def _gates(self, x: Array, u: Array) -> tuple[Array, Array, Array]:
        r = _sigmoid(self.W_r @ x + self.U_r @ u + self.b_r)
        z = _sigmoid(self.W_z @ x + self.U_z @ u + self.b_z)
        if self.outside:
            return r, z, np.tanh(self.U_n @ u + self.b_n + r * (self.W_n @ x + self.a_n))
        return r, z, np.tanh(self.U_n @ u + self.b_n + self.W_n @ (r * x) + self.a_n)

    def step(self, x: Array, u: Array) -> Array:
        _, z, n = self._gates(x, u)
        return (1 - z) * n + z * x

    def jacobian(self, x: Array, u: Array) -> Array:
        """∂(next)/∂x, the product rule written out."""
        r, z, n = self._gates(x, u)
        dr = (r * (1 - r))[:, None] * self.W_r
        dz = (z * (1 - z))[:, None] * self.W_z
        if self.outside:
            inside = (self.W_n @ x + self.a_n)[:, None] * dr + r[:, None] * self.W_n
        else:
            inside = self.W_n @ (np.diag(r) + x[:, None] * dr)
        dn = (1 - n**2)[:, None] * inside
        return (1 - z)[:, None] * dn + (x - n)[:, None] * dz + np.diag(z)


def states_of(cell, inputs: Array, x0: Array) -> Array:
    """x_0 … x_T of one sequence."""
    states = [np.float64(x0)]
    for u in np.float64(inputs):
        states.append(cell.step(states[-1], u))
    return np.array(states)


def state_gradients(cell, inputs: Array, states: Array, dlast: Array) -> Array:
    """∂E/∂x_0 … ∂E/∂x_T of one sequence whose loss reads x_T alone, by the Jacobians written out."""
    found = [np.float64(dlast)]
    for t in range(len(inputs) - 1, -1, -1):
        found.append(found[-1] @ cell.jacobian(states[t], np.float64(inputs[t])))
    return np.array(found[::-1])


def omega_of_states(cell, inputs: Array, states: Array, dx: Array, power: int, first: int = 0) -> float:
    """Σ_{k=first}^{T−1} mean over sequences of (‖δ_{k+1} ∂x_{k+1}/∂x_k‖ᵖ/‖δ_{k+1}‖ᵖ − 1)², δ = ∂E/∂x.

    States (batch, steps + 1, n) and δ of the same shape are held: a change of the cell changes the Jacobians alone.
    """
    batch, steps = inputs.shape[:2]
    total = 0.0
    for s in range(batch):
        for k in range(first, steps):
            delta = dx[s, k + 1]
            if delta @ delta < LEAST_SQUARED_NORM:
                continue
            back = delta @ cell.jacobian(states[s, k], np.float64(inputs[s, k]))
            ratio = np.sqrt(back @ back) / np.sqrt(delta @ delta)
            total += (ratio**power - 1) ** 2 / batch
    return total


# ── steps on gradients given in advance ──────────────────────────────────────────────────────────────────────────


def descent(start: Array, gradients: Sequence[Array], rate: float) -> list[Array]:
    """θ ← θ − rate · g."""
    points, x = [], np.float64(start)
    for g in gradients:
        x = x - rate * g
        points.append(x)
    return points


def momentum(start: Array, gradients: Sequence[Array], rate: float, mu: float) -> list[Array]:
    """Polyak: v ← μ v − rate · g, θ ← θ + v."""
    points, x, v = [], np.float64(start), np.zeros_like(np.float64(start))
    for g in gradients:
        v = mu * v - rate * g
        x = x + v
        points.append(x)
    return points


def nesterov(start: Array, gradients: Sequence[Array], rate: float, mu: float) -> list[Array]:
    """Sutskever et al. (2013): v ← μ v − rate · ∇f(θ + μ v), θ ← θ + v; the points ahead, θ + μ v, are returned.

    The gradients given are those at the points ahead, which are what a program holds as its parameters.
    """
    points, x, v = [], np.float64(start), np.zeros_like(np.float64(start))
    for g in gradients:
        v = mu * v - rate * g
        x = x + v
        points.append(x + mu * v)
    return points


def rmsprop(
    start: Array,
    gradients: Sequence[Array],
    rate: float,
    decay: float,
    epsilon: float,
    *,
    inside: bool = False,
) -> list[Array]:
    """Tieleman and Hinton (2012): m ← decay · m + (1 − decay) g², θ ← θ − rate · g/(√m + ε), or √(m + ε)."""
    points, x, m = [], np.float64(start), np.zeros_like(np.float64(start))
    for g in gradients:
        m = decay * m + (1 - decay) * g**2
        x = x - rate * g / (np.sqrt(m + epsilon) if inside else np.sqrt(m) + epsilon)
        points.append(x)
    return points


def adam(
    start: Array, gradients: Sequence[Array], rate: float, b1: float, b2: float, epsilon: float
) -> list[Array]:
    """Kingma and Ba (2015), algorithm 1."""
    points, x = [], np.float64(start)
    m, v = np.zeros_like(x), np.zeros_like(x)
    for t, g in enumerate(gradients, start=1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        x = x - rate * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + epsilon)
        points.append(x)
    return points


@dataclass(frozen=True)
class RpropSizes:
    """First step, growth, shrinkage, least and largest step of Rprop."""

    first: float
    grow: float = 1.2
    shrink: float = 0.5
    least: float = 1e-6
    most: float = 50.0


def rprop(start: Array, gradients: Sequence[Array], sizes: RpropSizes) -> list[Array]:
    """Riedmiller and Braun (1993): where the sign changes the step is taken back, the next one not compared."""
    points, x = [], np.array(start, dtype=np.float64)
    size, last, taken = np.full(x.shape, sizes.first), np.zeros(x.shape), np.zeros(x.shape)
    for g in gradients:
        g = np.array(g, dtype=np.float64)
        for i in np.ndindex(x.shape):
            if g[i] * last[i] > 0:
                size[i] = min(size[i] * sizes.grow, sizes.most)
                taken[i] = -np.sign(g[i]) * size[i]
            elif g[i] * last[i] < 0:
                size[i] = max(size[i] * sizes.shrink, sizes.least)
                taken[i] = -taken[i]
                g[i] = 0
            else:
                taken[i] = -np.sign(g[i]) * size[i]
            x[i] += taken[i]
            last[i] = g[i]
        points.append(x.copy())
    return points


def irprop_minus(start: Array, gradients: Sequence[Array], sizes: RpropSizes) -> list[Array]:
    """Igel and Hüsken (2000), iRprop⁻: where the sign changed nothing moves, and the next step is not judged."""
    points, x = [], np.array(start, dtype=np.float64)
    size, last = np.full(x.shape, sizes.first), np.zeros(x.shape)
    for g in gradients:
        g = np.array(g, dtype=np.float64)
        for i in np.ndindex(x.shape):
            if g[i] * last[i] > 0:
                size[i] = min(size[i] * sizes.grow, sizes.most)
            elif g[i] * last[i] < 0:
                size[i] = max(size[i] * sizes.shrink, sizes.least)
                g[i] = 0
            x[i] -= np.sign(g[i]) * size[i]
            last[i] = g[i]
        points.append(x.copy())
    return points


# ── Lyapunov exponents ───────────────────────────────────────────────────────────────────────────────────────────


def exponents_by_qr(jacobians: Sequence[Array], count: int) -> Array:
    """The first λ_i of a run, mean over its steps of ln|R_ii| with J Q = Q′ R, by Gram–Schmidt from Q = I."""
    n = jacobians[0].shape[0]
    Q = np.eye(n)[:, :count]
    logs = np.zeros(count)
    for J in jacobians:
        Y = np.float64(J) @ Q
        for i in range(count):
            for _ in range(2):
                for j in range(i):
                    Y[:, i] -= (Y[:, j] @ Y[:, i]) * Y[:, j]
            norm = np.sqrt(Y[:, i] @ Y[:, i])
            logs[i] += np.log(norm)
            Y[:, i] /= norm
        Q = Y
    return logs / len(jacobians)


def flossing_term(exponents: Array, target: float) -> float:
    """mean over i of (λ_i − λ*)²."""
    return float(np.mean((exponents - target) ** 2))
