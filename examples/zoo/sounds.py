"""Sounds that are made, not recorded: a voice in phrases, a piece with a beat."""

import numpy as np

_VOWELS = np.array([[730, 1090, 2440], [270, 2290, 3010], [300, 870, 2240], [530, 1840, 2480]], float)


def _syllable(rng: np.random.Generator, rate: int, pitch: float) -> np.ndarray:
    """A consonant's noise, then harmonics of a falling pitch under the formants of a vowel that glides."""
    length = rng.uniform(0.12, 0.28)
    time = np.arange(int(length * rate)) / rate
    along = time / length
    f0 = pitch * rng.uniform(0.9, 1.15) * (1.08 - 0.2 * along + 0.02 * rng.normal())
    phase = 2 * np.pi * np.cumsum(f0) / rate
    first, second = _VOWELS[rng.integers(4)], _VOWELS[rng.integers(4)]
    formants = first + (second - first) * along[:, None]
    voice = np.zeros_like(time)
    for order in range(1, 36):
        distance = (order * f0[:, None] - formants) / [90, 110, 170]
        voice += (1 / (1 + distance**2)).sum(axis=1) / np.sqrt(order) * np.sin(order * phase)
    sound = voice * np.sin(np.pi * along) ** 0.5
    if rng.random() < 0.6:
        hiss = rng.normal(size=int(rng.uniform(0.04, 0.1) * rate))
        hiss = np.diff(hiss, prepend=0.0) if rng.random() < 0.7 else hiss
        sound = np.concatenate([0.35 * np.hanning(len(hiss)) * hiss, sound])
    return 0.1 * sound


def voice(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """Syllables in phrases with pauses, over faint noise, about as loud as speech in [−1, 1]."""
    rng = np.random.default_rng(seed)
    sound = 0.0005 * rng.normal(size=int(seconds * rate))
    begin = 0.3
    while begin < seconds - 0.4:
        pitch = rng.uniform(105, 135)
        for _ in range(rng.integers(3, 9)):
            syllable = _syllable(rng, rate, pitch)
            first = int(begin * rate)
            part = sound[first : first + len(syllable)]
            part += syllable[: len(part)]
            begin += len(syllable) / rate + rng.uniform(-0.02, 0.04)
            pitch *= 0.98
        begin += rng.uniform(0.25, 0.7)
    return np.clip(sound, -1, 1)


def piece(seconds: float, rate: int, *, beat: float = 0.5, seed: int = 0) -> np.ndarray:
    """A piece at one beat every ``beat`` seconds: chords and a bass, a drum on the beat, a cymbal between."""
    rng = np.random.default_rng(seed)
    sound = 0.0003 * rng.normal(size=int(seconds * rate))
    chords = ((0, 4, 7), (5, 9, 12), (7, 11, 14), (-3, 0, 4))

    def add(begin: float, part: np.ndarray) -> None:
        first = int(begin * rate)
        place = sound[first : first + len(part)]
        place += part[: len(place)]

    time = np.arange(int(2 * beat * rate)) / rate
    short = np.arange(int(0.2 * rate)) / rate
    for number in range(int(seconds / beat)):
        begin = number * beat
        add(
            begin,
            0.35 * np.sin(2 * np.pi * (50 * short + 4 * (1 - np.exp(-short / 0.03)))) * np.exp(-short / 0.06),
        )
        hiss = np.diff(rng.normal(size=len(short)), prepend=0.0)
        add(begin + beat / 2, 0.05 * hiss * np.exp(-short / 0.02))
        if number % 2 == 0:
            for note in chords[number // 2 % 4]:
                pitch = 261.63 * 2 ** (note / 12)
                tone = sum(np.sin(2 * np.pi * order * pitch * time) / order**1.5 for order in range(1, 7))
                add(begin, 0.06 * tone * np.exp(-time / 0.8) * (1 - np.exp(-time / 0.005)))
            bass = 65.4 * 2 ** (chords[number // 2 % 4][0] / 12)
            add(begin, 0.12 * np.sin(2 * np.pi * bass * time) * np.exp(-time / 0.6))
    return np.clip(sound, -1, 1)
