"""All-lag norms ‖∂E/∂x_k‖ of an LSTM, scaled, against one ``jax.grad`` of the same loss and against PyTorch.

E is the mean of ½‖h_T‖² over the batch. "rollout and pullback" starts from x_0 and the inputs, as the gradient
does; "pullback" has the states. PyTorch's best way is one backward pass with ``retain_grad`` on every state, of a
loop over ``LSTMCell``; ``autograd.functional.jacobian`` for every k is timed for a few k of one sample, and its
seconds are those times T·batch. In float32 as all users run it; PyTorch's norms underflow where ours do not.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import timing
from rnn_dynamics.cells import LSTM
from rnn_dynamics.cells.rollout import rollout
from rnn_dynamics.gradients.credit import state_gradients
from rnn_dynamics.gradients.jacobians import pullback

_FEW = (1, 50, 100)


def _jax_candidates(cell: LSTM, x0: jax.Array, inputs: jax.Array) -> dict[str, Callable[[], Any]]:
    units = cell.units

    def loss(cell: LSTM, x0: jax.Array, inputs: jax.Array) -> jax.Array:
        last = jax.vmap(lambda x, u: rollout(cell, x, u).final)(x0, inputs)
        return jnp.mean(jnp.sum(jnp.square(last[:, :units]), axis=1)) / 2

    def norms(cell: LSTM, x0: jax.Array, inputs: jax.Array) -> jax.Array:
        def one(x: jax.Array, u: jax.Array) -> jax.Array:
            run = rollout(cell, x, u)
            hidden = jnp.where(jnp.arange(2 * units) < units, run.final, 0) / len(x0)
            return pullback(run, hidden).norm().log()

        return jax.vmap(one)(x0, inputs)

    def at_once(cell: LSTM, x0: jax.Array, inputs: jax.Array) -> jax.Array:
        def of_last(x: jax.Array) -> jax.Array:
            return jnp.sum(jnp.square(x[:units])) / (2 * len(x0))

        def one(x: jax.Array, u: jax.Array) -> jax.Array:
            return state_gradients(cell, x, u, loss=of_last)[1].norm().log()

        return jax.vmap(one)(x0, inputs)

    runs = jax.jit(jax.vmap(lambda x, u: rollout(cell, x, u)))(x0, inputs)
    runs = dataclasses.replace(runs, first_nonfinite=jnp.int32(-1))

    def back(runs: Any) -> jax.Array:
        def one(states: jax.Array, u: jax.Array) -> jax.Array:
            # One cell for all: mapped over whole trajectories, each would bring a copy of the weights.
            run = dataclasses.replace(runs, cell=cell, states=states, inputs=u)
            hidden = jnp.where(jnp.arange(2 * units) < units, run.final, 0) / len(x0)
            return pullback(run, hidden).norm().log()

        return jax.vmap(one)(runs.states, runs.inputs)

    gradient, both, alone = jax.jit(jax.grad(loss)), jax.jit(norms), jax.jit(back)
    together = jax.jit(at_once)
    return {
        "jax.grad": lambda: jax.block_until_ready(gradient(cell, x0, inputs)),
        "state_gradients": lambda: jax.block_until_ready(together(cell, x0, inputs)),
        "rollout and pullback": lambda: jax.block_until_ready(both(cell, x0, inputs)),
        "pullback": lambda: jax.block_until_ready(alone(runs)),
    }


def _torch_candidates(arrays: dict[str, np.ndarray], inputs: np.ndarray) -> tuple[dict, Callable[[], float]]:
    import time

    import torch

    width, units = inputs.shape[2], arrays["weight_hh"].shape[1]
    cell = torch.nn.LSTMCell(width, units)
    cell.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
    given = torch.from_numpy(inputs)

    def retained() -> list:
        h, c = (torch.zeros(len(given), units, requires_grad=True) for _ in range(2))
        states = [(h, c)]
        for t in range(given.shape[1]):
            h, c = cell(given[:, t], (h, c))
            h.retain_grad()
            c.retain_grad()
            states.append((h, c))
        (h.square().sum(dim=1).mean() / 2).backward()
        return [
            torch.cat([part.grad for part in pair if part.grad is not None], 1).norm(dim=1) for pair in states
        ]

    def one_jacobian_each() -> float:
        """Seconds of ∂x_T/∂x_k for every k and sample, from a few k of one sample."""
        seconds = []
        for lag in _FEW:
            late = given[:1, given.shape[1] - lag :]

            def last(state: Any, late: Any = late) -> Any:
                h, c = state[:, :units], state[:, units:]
                for t in range(late.shape[1]):
                    h, c = cell(late[:, t], (h, c))
                return torch.cat([h, c], 1)

            start = time.perf_counter()
            torch.autograd.functional.jacobian(last, torch.zeros(1, 2 * units))
            seconds.append(time.perf_counter() - start)
        slope, offset = np.polyfit(_FEW, seconds, 1)
        lags = np.arange(1, given.shape[1] + 1)
        return float((offset + slope * lags).sum()) * len(given)

    return {"PyTorch, retain_grad": retained}, one_jacobian_each


def measure(*, repetitions: int = 5, quick: bool = False) -> list[dict]:
    """One row for each candidate; rates are relative to ``jax.grad``."""
    units, steps, batch, width = (64, 100, 8, 16) if quick else (256, 500, 32, 64)
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray:
        return (rng.uniform(-1, 1, shape) / np.sqrt(units)).astype(np.float32)

    arrays = {
        "weight_ih": draw(4 * units, width),
        "weight_hh": draw(4 * units, units),
        "bias_ih": draw(4 * units),
        "bias_hh": draw(4 * units),
    }
    cell = LSTM(arrays["weight_hh"], arrays["bias_ih"] + arrays["bias_hh"], arrays["weight_ih"])
    inputs = rng.normal(size=(batch, steps, width)).astype(np.float32)
    x0 = jnp.zeros((batch, 2 * units), jnp.float32)
    candidates = _jax_candidates(cell, x0, jnp.asarray(inputs))
    extrapolated = None
    try:
        peers, extrapolated = _torch_candidates(arrays, inputs)
        candidates |= peers
    except ImportError:
        print("torch is not installed: PyTorch is left out")
    seconds = timing.interleaved(candidates, repetitions=2 if quick else repetitions)
    if extrapolated is not None:
        seconds["PyTorch, autograd.functional.jacobian for every k and sample (extrapolated)"] = (
            extrapolated()
        )
    case = f"LSTM, {units} units, T = {steps}, batch {batch}, float32"
    reference = seconds["jax.grad"]
    return [timing.row("credit_of_states", case, name, value, reference) for name, value in seconds.items()]
