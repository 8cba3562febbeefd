"""A night that is made, not recorded: stages of sleep in cycles, the heart's beats, and the movements of an eye."""

import numpy as np

EPOCH = 30.0  # seconds of one stage
WAKE, LIGHT, DEEP, REM = range(4)


def night(hours: float = 7.0, seed: int = 0) -> np.ndarray:
    """The stage of each 30 s: awake first, then cycles of some 90 min with less deep sleep and more REM each."""
    rng = np.random.default_rng(seed)
    stages = [WAKE] * 30
    for cycle in range(9):
        deep, rem = max(0, 50 - 16 * cycle), 18 + 12 * cycle
        stages += [LIGHT] * int(rng.uniform(24, 36)) + [DEEP] * deep + [LIGHT] * int(rng.uniform(30, 44))
        stages += [REM] * rem + [WAKE] * int(rng.uniform(3, 12))
    return np.array(stages[: int(hours * 3600 / EPOCH)])


def beats(stages: np.ndarray, seed: int = 0) -> np.ndarray:
    """Times of heartbeats in seconds: a rate for each stage, the breath's rhythm in it, slow waves, and noise."""
    rng = np.random.default_rng(seed)
    mean = np.array([72.0, 62.0, 60.0, 65.0])  # a minute
    breath, slow, wander = (
        np.array([0.010, 0.018, 0.022, 0.007]),
        np.array([0.020, 0.014, 0.006, 0.014]),
        np.array([0.050, 0.010, 0.004, 0.06]),
    )
    length, now, drift, period, told = len(stages) * EPOCH, 0.0, 0.0, 60 / mean[WAKE], []
    while now < length:
        stage = stages[min(int(now / EPOCH), len(stages) - 1)]
        drift += 0.03 * (wander[stage] * rng.normal() * 4 - drift)
        period += 0.08 * (60 / mean[stage] - period)
        breathing = np.sin(2 * np.pi * (0.24 + 0.02 * np.sin(0.01 * now)) * now)
        waves = np.sin(2 * np.pi * 0.09 * now + np.sin(0.05 * now))
        now += period * (1 + drift + breath[stage] * breathing + slow[stage] * waves + 0.006 * rng.normal())
        told.append(now)
    return np.array(told)


def eye(stages: np.ndarray, rate: float, seed: int = 0) -> np.ndarray:
    """What an electrode beside an eye measures, in µV: quick movements awake and in REM, the brain's waves else."""
    rng = np.random.default_rng(seed)
    length = round(EPOCH * rate)
    time = np.arange(length) / rate
    told = []
    for stage in stages:
        white = rng.normal(size=length + 1)
        noise = np.cumsum(white)[1:] * 0.4
        signal = noise - np.convolve(noise, np.ones(length // 20) / (length // 20), mode="same")
        signal += (6.0 if stage == WAKE else 2.5) * white[1:]
        if stage == DEEP:
            signal += _band(rng, time, 0.6, 1.6, 45.0)
        if stage == LIGHT:
            signal += _band(rng, time, 3.0, 7.0, 9.0) + _bursts(rng, time, 13.0, 12.0, 5)
            signal += sum((_complex(rng, time) for _ in range(2)), np.zeros(length))
        if stage == WAKE:
            signal += _band(rng, time, 8.5, 10.5, 10.0) + _jumps(rng, time, 18, 90.0)
        if stage == REM:
            signal += _band(rng, time, 4.0, 7.0, 7.0) + _jumps(rng, time, 9, 110.0)
        told.append(signal)
    return np.concatenate(told)


def _band(rng: np.random.Generator, time: np.ndarray, low: float, high: float, size: float) -> np.ndarray:
    """Waves of frequencies between two."""
    chosen = rng.uniform(low, high, 12)
    phases = rng.uniform(0, 2 * np.pi, 12)
    return size * np.sqrt(2 / 12) * np.sin(2 * np.pi * chosen[:, None] * time + phases[:, None]).sum(axis=0)


def _bursts(
    rng: np.random.Generator, time: np.ndarray, frequency: float, size: float, count: int
) -> np.ndarray:
    """Waves of a frequency that swell and fade within a second."""
    at = rng.uniform(time[0], time[-1], count)
    shape = np.exp(-(((time - at[:, None]) / 0.35) ** 2)).sum(axis=0)
    return size * shape * np.sin(2 * np.pi * frequency * time)


def _complex(rng: np.random.Generator, time: np.ndarray) -> np.ndarray:
    """One large slow wave."""
    since = time - rng.uniform(time[0], time[-1])
    return -70.0 * since / 0.2 * np.exp(0.5 - (since / 0.2) ** 2 / 2)


def _jumps(rng: np.random.Generator, time: np.ndarray, count: int, size: float) -> np.ndarray:
    """Quick movements of the eye, some close together, which an amplifier lets decay."""
    middle = rng.uniform(time[0], time[-1], 3)
    at = rng.choice(middle, count) + rng.normal(scale=3.0, size=count)
    since = np.maximum(time - at[:, None], 0)
    shape = (1 - np.exp(-since / 0.03)) * np.exp(-since / 0.5)
    return (size * rng.choice([-1, 1], count)[:, None] * rng.uniform(0.3, 1, count)[:, None] * shape).sum(
        axis=0
    )
