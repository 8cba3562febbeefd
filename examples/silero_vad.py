"""How long does a published speech detector remember? The LSTM of silero-vad, diagnosed on a telephone call.

    pip install --no-deps silero-vad          # the weights: MIT licence, 1.2 MB; PyTorch is not needed
    pip install --no-deps pyannote.audio      # 30 s of recorded speech; without it a synthetic stand-in is used
    python examples/silero_vad.py [--sound FILE.wav] [--out FOLDER]

Silero VAD says for every 32 ms of sound at 16 kHz how likely it holds speech: a short-time Fourier transform
written as a convolution, four convolutions, an LSTM of 128 units, one output. All but the LSTM see 36 ms at a time,
so what the detector knows of earlier sound is in the LSTM's state x = [h, c]. The front end below is NumPy, written
after the architecture that the package publishes; nothing of the package is imported or run.

The weights are those of ``silero_vad_16k.safetensors``. Version 6.2.3 holds another training of the same network in
its other files; with either one's weights the probabilities below are those of the package's own code to 4e-6.
"""

import argparse
import dataclasses
import importlib.metadata
import math
import wave
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import rnn_dynamics as rd
from rnn_dynamics import plots

RATE = 16_000  # samples a second
CHUNK, CONTEXT = 512, 64  # samples that one step reads, and those of the step before that it reads again
STEP = 1000 * CHUNK / RATE  # milliseconds
WINDOW = 156  # steps that gradients are followed back: 5 s


def file_of(distribution: str, name: str) -> Path | None:
    """A file of an installed package, which is not imported; ``None`` where there is none."""
    try:
        path = Path(str(importlib.metadata.distribution(distribution).locate_file(name)))
    except importlib.metadata.PackageNotFoundError:
        return None
    return path if path.is_file() else None


def read_weights(path: Path | None = None) -> dict[str, np.ndarray]:
    """The detector's weights by name.

    Raises:
        SystemExit: silero-vad is not installed.
    """
    path = path or file_of("silero-vad", "silero_vad/data/silero_vad_16k.safetensors")
    if path is None:
        raise SystemExit(
            "The weights come with the package silero-vad: pip install --no-deps silero-vad\n"
            "(--no-deps, as only its file of weights is read, and PyTorch is not needed)"
        )
    return rd.interop.read_safetensors(path)


def convolved(x: np.ndarray, weight: np.ndarray, bias: Any = None, *, stride: int = 1) -> np.ndarray:
    """Σ_{c,j} weight[o, c, j] x[·, c, stride·t + j] + bias[o] of every chunk, shape (chunks, outputs, times)."""
    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2], axis=2)[:, :, ::stride]
    product = np.einsum("nctj,ocj->not", windows, weight, optimize=True)
    return product if bias is None else product + bias[:, None]


def features(sound: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
    """What the LSTM reads at each step, shape (steps, 128), of a sound in [−1, 1] at 16 kHz."""
    sound = np.asarray(sound, np.float32)
    padded = np.pad(sound, (CONTEXT, -len(sound) % CHUNK))
    chunks = np.lib.stride_tricks.sliding_window_view(padded, CONTEXT + CHUNK)[::CHUNK]
    x = np.pad(chunks, ((0, 0), (0, 64)), mode="reflect")[:, None]
    real, imaginary = np.split(convolved(x, weights["stft_conv.weight"], stride=128), 2, axis=1)
    x = np.sqrt(real**2 + imaginary**2)
    for layer, stride in (("conv1", 1), ("conv2", 2), ("conv3", 2), ("conv4", 1)):
        x = np.pad(x, ((0, 0), (0, 0), (1, 1)))
        x = np.maximum(convolved(x, weights[f"{layer}.weight"], weights[f"{layer}.bias"], stride=stride), 0)
    return x[:, :, 0]


@dataclasses.dataclass(frozen=True)
class Detector:
    """The LSTM as a cell of the library, and the readout logit = w · max(h, 0) + b of its state."""

    cell: rd.LSTM
    w: np.ndarray
    b: float

    def logit(self, x: Any) -> Any:
        """The logarithm of the odds of speech at a state [h, c], or at states."""
        hidden = x[..., : self.cell.units]
        return jnp.matmul(jnp.maximum(hidden, 0), self.w, precision=jax.lax.Precision.HIGHEST) + self.b


def detector(weights: dict[str, np.ndarray]) -> Detector:
    """The recurrent part of the network in the package's file of weights."""
    cell = rd.interop.from_torch(weights, prefix="lstm_cell.", kind="lstm")
    return Detector(cell, weights["final_conv.weight"][0, :, 0], float(weights["final_conv.bias"][0]))


def read_sound(path: Path | None = None, seed: int = 0) -> tuple[np.ndarray, str]:
    """A sound in [−1, 1] at 16 kHz and what it is: the file, else recorded speech, else the stand-in.

    Raises:
        SystemExit: a file that is not 16-bit mono at 16 kHz.
    """
    name = f"recording {path}"
    if path is None:
        path = file_of("pyannote.audio", "pyannote/audio/sample/sample.wav")
        name = "telephone call that ships with pyannote.audio"
    if path is None:
        return stand_in(
            seed
        ), "synthetic stand-in, no recorded speech: bursts of voiced harmonics, and pauses"
    with wave.open(str(path)) as file:
        form = file.getframerate(), file.getsampwidth(), file.getnchannels()
        if form != (RATE, 2, 1):
            raise SystemExit(f"{path}: expected 16 kHz, 16 bits, one channel; got {form}")
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return samples.astype(np.float32) / 32768, name


def stand_in(seed: int = 0, seconds: float = 12.0) -> np.ndarray:
    """Speech-like sound: syllables of a voice with the formants of vowels, in phrases, over faint noise."""
    rng = np.random.default_rng(seed)
    sound = 0.002 * rng.normal(size=int(seconds * RATE))
    vowels = np.array([[730, 1090, 2440], [270, 2290, 3010], [300, 870, 2240], [530, 1840, 2480]], float)
    begin = 3.0
    while begin < seconds - 0.3:
        for _ in range(rng.integers(3, 8)):
            length = rng.uniform(0.12, 0.3)
            time = np.arange(int(length * RATE)) / RATE
            pitch = rng.uniform(100, 140) * (1 + 0.15 * np.sin(np.pi * time / length))
            phase = 2 * np.pi * np.cumsum(pitch) / RATE
            orders = np.arange(1, 30)
            distance = (orders[:, None] * 120 - vowels[rng.integers(4)]) / [90, 110, 170]
            strength = (1 / (1 + distance**2)).sum(axis=1) / np.sqrt(orders)
            burst = np.sin(np.pi * time / length) * (strength[:, None] * np.sin(orders[:, None] * phase)).sum(
                0
            )
            first = int(begin * RATE)
            part = sound[first : first + len(burst)]
            part += 0.1 * burst[: len(part)]
            begin += length + rng.uniform(0.01, 0.06)
        begin += rng.uniform(0.6, 1.5)
    return sound.astype(np.float32)


class Heard(NamedTuple):
    """A sound as the detector hears it: its run and the probability of speech after each step, shape (T,)."""

    sound: np.ndarray
    run: rd.Trajectory
    probability: np.ndarray


def hear(found: Detector, weights: dict[str, np.ndarray], sound: np.ndarray) -> Heard:
    """The LSTM's trajectory on a sound, from a state of zeros."""
    run = rd.rollout(found.cell, np.zeros(2 * found.cell.units, np.float32), features(sound, weights))
    return Heard(sound, run, np.asarray(jax.nn.sigmoid(found.logit(run.states[1:]))))


def windows(run: rd.Trajectory, ends: np.ndarray, window: int) -> tuple[jax.Array, jax.Array]:
    """States and inputs of the last steps before each end, shapes (ends, window + 1, n), (ends, window, m)."""
    back = np.arange(-window, 1)
    return run.states[ends[:, None] + back], run.inputs[ends[:, None] + back[:-1]]


def logit_gradients(found: Detector, run: rd.Trajectory, ends: np.ndarray, window: int) -> tuple:
    """ln‖∂logit_T/∂x_k‖ and ln‖∂logit_T/∂u_k‖ by lag T − k = 1 … window, for every T of ``ends``."""

    def one(states: jax.Array, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        part = dataclasses.replace(run, states=states, inputs=inputs)
        back = rd.pullback(part, jax.grad(found.logit)(states[-1]))

        def to_input(x: jax.Array, u: jax.Array, cotangent: jax.Array) -> jax.Array:
            return jax.vjp(lambda given: found.cell(x, given), u)[1](cotangent)[0]

        direct = jax.vmap(to_input)(states[:-1], inputs, back.unit[1:])
        of_inputs = rd.Scaled(direct, back.exponent[1:], 1).normalize()
        return back.norm().log()[:-1][::-1], of_inputs.norm().log()[::-1]

    return tuple(np.asarray(logs) for logs in jax.jit(jax.vmap(one))(*windows(run, ends, window)))


def horizons(logs: np.ndarray, share: float = 1 / math.e) -> np.ndarray:
    """The largest lag, in steps, at which each row is at least a share of its greatest."""
    reached = logs >= logs.max(axis=1, keepdims=True) + math.log(share)
    return logs.shape[1] - np.argmax(reached[:, ::-1], axis=1)


def restarted(found: Detector, heard: Heard, ends: np.ndarray, steps: int) -> np.ndarray:
    """The probability at each end when the detector starts from zeros so many steps before it."""
    _, inputs = windows(heard.run, ends, steps)
    zeros = jnp.zeros_like(heard.run.initial)
    last = jax.jit(jax.vmap(lambda u: rd.rollout(found.cell, zeros, u).final))(inputs)
    return np.asarray(jax.nn.sigmoid(found.logit(last)))


def moments(probability: np.ndarray) -> dict[str, int]:
    """Steps to look back from: at the end of the longest pause, 100 ms into the speech after it, in speech."""
    is_speech = probability > 0.5
    found = {}
    for name, chosen in (("pause", ~is_speech), ("speech", is_speech)):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], chosen.astype(int), [0]])))
        if len(edges):
            starts, stops = edges[::2], edges[1::2]
            longest = int(np.argmax(stops - starts))
            found[f"end of the longest {name}"] = int(stops[longest])
    pause = found.get("end of the longest pause", len(probability))
    if pause + 3 <= len(probability) and "end of the longest speech" in found:
        found["100 ms into speech"] = pause + 3
    return found


class Memory(NamedTuple):
    """What ``remembered`` measures at each of several steps T.

    Attributes:
        ends: T, shape (m,).
        states, sounds: ln‖∂logit_T/∂x_k‖ and ln‖∂logit_T/∂u_k‖ by lag 1 … window, shape (m, window).
        restarts: mean share of the T at which a detector started from zeros so many steps before says otherwise.
    """

    ends: np.ndarray
    states: np.ndarray
    sounds: np.ndarray
    restarts: dict[int, float]


def remembered(found: Detector, heard: Heard, *, window: int = WINDOW, every: int = 8) -> Memory:
    """How far back the output looks, by its derivatives and, with no derivative, by starting anew.

    The window is at most half of the sound.
    """
    steps = heard.run.steps
    window = min(window, steps // 2)
    ends = np.arange(window, steps + 1, every)
    says = heard.probability[ends - 1] > 0.5
    lags = [lag for lag in (2, 8, 32, 128) if lag <= window]
    anew = {lag: float(((restarted(found, heard, ends, lag) > 0.5) != says).mean()) for lag in lags}
    return Memory(ends, *logit_gradients(found, heard.run, ends, window), anew)


def report(heard: Heard, memory: Memory) -> str:
    """The memory in milliseconds, in speech and in pauses."""
    longest = memory.states.shape[1] * STEP
    lines = [
        f"Memory of the output, in ms, the median over {len(memory.ends)} steps T, looked for up to {longest:.0f}:"
    ]
    is_speech = heard.probability[memory.ends - 1] > 0.5
    for name, chosen in (("speech", is_speech), ("pauses", ~is_speech)):
        if not chosen.any():
            continue
        for what, logs in (("of the state", memory.states), ("of the sound", memory.sounds)):
            reach = [STEP * np.median(horizons(logs[chosen], share)) for share in (1 / math.e, 0.01)]
            near, far = (f"{'≥ ' if value >= longest else ''}{value:.0f}" for value in reach)
            lines.append(f"  in {name} (T: {chosen.sum()}), {what}: {near} at 1/e, {far} at 1 %")
    lines.append("Started from zeros so late, the detector calls speech what it called none, or the reverse:")
    lines += [
        f"  {lag * STEP:5.0f} ms before: {share:.1%} of steps" for lag, share in memory.restarts.items()
    ]
    return "\n".join(lines)


def picture(heard: Heard, memory: Memory, *, lags: int = 20) -> Any:
    """The sound, the probability and the horizons over time; the norms ‖∂x_T/∂x_k‖ that end at several T."""
    from matplotlib import pyplot

    with plots.style():
        figure = pyplot.figure(figsize=(11, 5.4))
        grid = figure.add_gridspec(3, 2, width_ratios=(1.5, 1))
        left = [figure.add_subplot(grid[0, 0])]
        left += [figure.add_subplot(grid[row, 0], sharex=left[0]) for row in (1, 2)]
        _over_time(left, heard, memory)
        _over_lags(figure.add_subplot(grid[:, 1]), heard, lags)
        for ax, letter in zip(figure.axes, "abcd", strict=True):
            plots.panel_label(ax, letter)
    return figure


def _over_time(axes: list, heard: Heard, memory: Memory) -> None:
    colours = plots.palette
    seconds = np.arange(1, heard.run.steps + 1) * STEP / 1000
    axes[0].plot(np.arange(len(heard.sound)) / RATE, heard.sound, color=colours.GREY, linewidth=0.3)
    axes[0].set_ylabel("sound")
    axes[1].plot(seconds, heard.probability, color=colours.BLACK, linewidth=0.8)
    axes[1].set_ylabel("probability\nof speech")
    curves = (("state", memory.states, colours.BLUE), ("sound", memory.sounds, colours.ORANGE))
    for name, logs, colour in curves:
        reach = horizons(logs) * STEP / 1000
        axes[2].plot(
            memory.ends * STEP / 1000, reach, ".", markersize=3, color=colour, label=f"of the {name}"
        )
    window = memory.states.shape[1] * STEP / 1000
    axes[2].axhline(window, color=colours.GREY, linestyle=":", label="longest looked at")
    axes[2].set_yscale("log")
    axes[2].set_ylabel("horizon at 1/e, s")
    axes[2].set_xlabel("time, s")
    axes[2].legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))


def _over_lags(ax: Any, heard: Heard, lags: int) -> None:
    colours = plots.palette
    marks = ((colours.BLUE, "-"), (colours.VERMILION, "--"), (colours.GREEN, "-."), (colours.BLACK, ":"))
    ends = moments(heard.probability) | {"end of the sound": heard.run.steps}
    by_end = {end: name for name, end in reversed(ends.items())}
    for (end, name), (colour, line) in zip(sorted(by_end.items()), marks, strict=False):
        chosen = np.unique(np.geomspace(1, end, lags).astype(int))
        logs = np.asarray(rd.gradient_norms(heard.run, stop=end, lags=chosen)) / math.log(10)
        label = f"{name}, T = {end * STEP / 1000:.1f} s"
        ax.plot(chosen * STEP / 1000, logs, line, color=colour, label=label)
    ax.axhline(0, color=colours.LIGHT, linewidth=0.8, zorder=0)
    ax.set_xscale("log")
    ax.set_xlabel("lag T − k, s")
    ax.set_ylabel(r"log₁₀ ‖∂x$_T$/∂x$_k$‖")
    ax.legend()


def main(arguments: list[str] | None = None) -> None:
    """Diagnose, print the verdict and the memory in milliseconds, and write two figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sound", type=Path, help="16-bit mono WAV at 16 kHz")
    parser.add_argument(
        "--weights", type=Path, help="silero_vad_16k.safetensors; the installed package's by default"
    )
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder of the two figures")
    options = parser.parse_args(arguments)
    weights = read_weights(options.weights)
    sound, what = read_sound(options.sound)
    found = detector(weights)
    heard = hear(found, weights, sound)
    print(f"{what}: {len(sound) / RATE:.1f} s, {heard.run.steps} steps of {STEP:.0f} ms")
    verdict = rd.diagnose(heard.run, found.logit)
    print(verdict)
    near, far = verdict.horizon * STEP, verdict.horizon_percent * STEP
    print(f"  in milliseconds            {near:.0f} at 1/e, {far:.0f} at 1 %")
    memory = remembered(found, heard)
    print(report(heard, memory))
    options.out.mkdir(parents=True, exist_ok=True)
    for name, figure in (("verdict", verdict.plot().figure), ("memory", picture(heard, memory))):
        path = options.out / f"silero_vad_{name}.png"
        figure.savefig(path, dpi=120)
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
