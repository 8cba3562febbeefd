"""Is it speech or music? The GRU in every libopus since 1.3, and the folds between its two answers.

libopus tells every 20 ms whether it hears music, by 25 features, a dense layer of 32, a GRU of 24 units and a dense
layer of 2, in 8-bit weights. They lie in ``src/mlp_data.c`` of its source. Here libopus is compiled from that
source with two of its calls recorded, encodes a sound that is made here, and the library's states are compared with
those of the codec. Needed are the source, unpacked, and a C compiler.
"""

import ctypes
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from examples.zoo import sounds
from examples.zoo.common import About, Agreement, Files, Study, largest, rounded, sigmoid, times
from jax.tree_util import Partial

import rnn_dynamics as rd

ABOUT = About(
    "opus",
    "Opus: speech or music",
    "opus (Debian source package)",
    "1.3.1",
    "BSD-3-Clause",
    ("apt-get source opus=1.3.1-3   # Debian 12, with deb-src in its sources", "--unpacked FOLDER"),
    "dense 25 → 32, GRU 24, dense → 2; int8",
    0.02,
    "s",
)
RATE, FRAME = 48_000, 960
LINE = (-0.6, 1.1)  # how far the line from speech (0) to music (1) is followed
_SCALE = 1 / 128

_RECORDER = """
#include <string.h>
#include "mlp.h"
#define MOST 20000
float zoo_features[MOST][25], zoo_inputs[MOST][32], zoo_states[MOST][24], zoo_outputs[MOST][2];
int zoo_steps = 0;
void zoo_dense(const DenseLayer *layer, float *output, const float *input) {
  compute_dense(layer, output, input);
  if (zoo_steps >= MOST) return;
  if (layer == &layer0) memcpy(zoo_features[zoo_steps], input, sizeof zoo_features[0]);
  if (layer == &layer2) memcpy(zoo_outputs[zoo_steps++], output, sizeof zoo_outputs[0]);
}
void zoo_held(float *state, const float *input, int steps) {
  for (int i = 0; i < steps; i++) compute_gru(&layer1, state, input);
}
void zoo_gru(const GRULayer *gru, float *state, const float *input) {
  compute_gru(gru, state, input);
  if (zoo_steps >= MOST) return;
  memcpy(zoo_inputs[zoo_steps], input, sizeof zoo_inputs[0]);
  memcpy(zoo_states[zoo_steps], state, sizeof zoo_states[0]);
}
"""


class Seen(NamedTuple):
    """What the codec computed at each step: features (T, 25), the GRU's inputs (T, 32), states (T, 24), answers."""

    features: np.ndarray
    inputs: np.ndarray
    states: np.ndarray
    outputs: np.ndarray


def arrays(source: str) -> dict[str, np.ndarray]:
    """The int8 arrays of ``mlp_data.c`` by name, divided by 128."""
    found = re.findall(r"opus_int8 (\w+)\[(\d+)\] = \{([^}]*)\}", source)
    made = {name: np.array(text.replace(",", " ").split(), float) * _SCALE for name, _, text in found}
    for name, size, _ in found:
        if len(made[name]) != int(size):
            raise SystemExit(f"opus: mlp_data.c: expected {size} numbers in {name}, got {len(made[name])}")
    return made


def gru(weights: dict[str, np.ndarray]) -> rd.GRU:
    """The recurrent layer: gates z, r, h as Keras stacks them, the reset before the product."""
    kernel = weights["layer1_weights"].reshape(32, 72)
    recurrent = weights["layer1_recur_weights"].reshape(24, 72)
    return rd.interop.from_keras([kernel, recurrent, weights["layer1_bias"]], kind="GRU", reset_after=False)


def compiled(source: Path, folder: Path) -> ctypes.CDLL:
    """libopus as a shared library whose analysis records what its network computes."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise SystemExit("opus: a C compiler is needed, as the input is what libopus computes of a sound")
    lists = "".join((source / f"{part}_sources.mk").read_text() for part in ("celt", "silk", "opus"))
    wanted = ("CELT_SOURCES", "SILK_SOURCES", "SILK_SOURCES_FLOAT", "OPUS_SOURCES", "OPUS_SOURCES_FLOAT")
    files: list[str] = []
    for name in wanted:
        block = re.search(rf"^{name} =((?:.*\\\n)*.*)$", lists, flags=re.MULTILINE)
        assert block is not None, name
        files += [word for word in block[1].split() if word.endswith(".c")]
    (folder / "recorder.c").write_text(_RECORDER)
    common = [compiler, "-O1", "-fPIC", "-w", "-DOPUS_BUILD", "-DUSE_ALLOCA", "-DHAVE_LRINTF", "-DHAVE_LRINT"]
    common += [f"-I{source / part}" for part in ("include", "celt", "silk", "silk/float", "src", ".")]
    analysis = folder / "analysis.o"
    renamed = ["-Dcompute_gru=zoo_gru", "-Dcompute_dense=zoo_dense"]
    subprocess.run([*common, *renamed, "-c", str(source / "src/analysis.c"), "-o", str(analysis)], check=True)
    rest = [str(source / file) for file in files if file != "src/analysis.c"]
    path = folder / "libopus_recorded.so"
    subprocess.run(
        [*common, "-shared", str(folder / "recorder.c"), *rest, str(analysis), "-lm", "-o", str(path)],
        check=True,
    )
    return ctypes.CDLL(str(path))


def encoded(library: ctypes.CDLL, sound: np.ndarray) -> Seen:
    """What libopus computes while it encodes a sound of 48 kHz in frames of 20 ms at its highest complexity."""
    library.opus_encoder_create.restype = ctypes.c_void_p
    encoder = ctypes.c_void_p(library.opus_encoder_create(RATE, 1, 2049, ctypes.byref(ctypes.c_int())))
    library.opus_encoder_ctl(encoder, ctypes.c_int(4010), ctypes.c_int(10))  # complexity
    steps = ctypes.c_int.in_dll(library, "zoo_steps")
    steps.value = 0
    packet = ctypes.create_string_buffer(4000)
    for begin in range(0, len(sound) - FRAME + 1, FRAME):
        part = np.ascontiguousarray(sound[begin : begin + FRAME], np.float32)
        pointer = part.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        if library.opus_encode_float(encoder, pointer, FRAME, packet, len(packet)) < 0:
            raise SystemExit("opus: the encoder refused a frame")
    library.opus_encoder_destroy(encoder)

    def recorded(name: str, width: int) -> np.ndarray:
        whole = (ctypes.c_float * width * 20_000).in_dll(library, f"zoo_{name}")
        return np.array(whole, np.float32)[: steps.value].astype(float)

    return Seen(*map(recorded, Seen._fields, (25, 32, 24, 2)))


def sound() -> tuple[np.ndarray, tuple[int, int]]:
    """12 s of speech, 1 s of faint noise and 15 s of music, and where the noise begins and ends, in samples."""
    noise = 0.0003 * np.random.default_rng(9).normal(size=RATE)
    speech, music = sounds.voice(12, RATE), sounds.piece(15, RATE)
    return np.concatenate([speech, noise, music]), (len(speech), len(speech) + len(noise))


def held(cell: rd.GRU, speech: Any, music: Any, p: Any) -> Any:
    """The autonomous map while the input is held at speech + p (music − speech)."""
    return Partial(_at, cell, speech, music, p)


def _at(cell: rd.GRU, speech: Any, music: Any, p: Any, x: Any, u: Any) -> Any:
    return cell(x, jnp.asarray(speech) + p * (jnp.asarray(music) - jnp.asarray(speech)))


def folds(cell: rd.GRU, speech: np.ndarray, music: np.ndarray, logit: Any) -> dict[str, Any]:
    """Branches of fixed points on the line from the mean input of speech to that of music, from either side."""
    family = Partial(held, cell, speech, music)
    branches = []
    for p in LINE:
        state = rd.rollout(family(jnp.asarray(p)), np.zeros(24), np.zeros((4000, 1))).final
        branches.append(rd.continue_branch(family, np.asarray(state), p, p_range=LINE, longest=0.01))
    both = [sorted(branch.of_kind("fold"), key=lambda event: event.parameter) for branch in branches]
    if [len(each) for each in both] != [2, 2]:
        raise SystemExit(f"opus: expected two folds from either side, got {[len(each) for each in both]}")
    branch = branches[0]
    at = np.unique(np.linspace(0, len(branch) - 1, 140).astype(int))
    return {
        "folds": [rounded(event.parameter, 12) for event in both[0]],
        "folds_from_music": [rounded(event.parameter, 12) for event in both[1]],
        "fold_logits": [rounded(float(logit(event.state)), 6) for event in both[0]],
        "branch": {
            "p": rounded(branch.parameters[at], 6),
            "logit": rounded(logit(branch.states[at]), 5),
            "stable": branch.stable[at].astype(int).tolist(),
        },
    }


def in_the_codec(
    library: ctypes.CDLL, line: dict[str, Any], speech: np.ndarray, music: np.ndarray, logit: Any
) -> list[float]:
    """Where the codec's own GRU leaves "music" as p falls and "speech" as p grows, by bisection."""
    found = []
    for place, begin in enumerate(reversed(LINE)):
        fold, bound = line["folds"][place], line["fold_logits"][place]
        away = 0.1 if place else -0.1
        kept, gone = fold - away, fold + away
        state = np.zeros(24)
        for p in np.linspace(begin, kept, 60):
            state = _iterated(library, state, speech + p * (music - speech), 4000)
        for _ in range(24):
            p = (kept + gone) / 2
            tried = _iterated(library, state, speech + p * (music - speech), 40_000)
            if (logit(tried) > bound) == (place == 0):
                kept, state = p, tried
            else:
                gone = p
        found.append(rounded((kept + gone) / 2, 8))
    return found


def _iterated(library: ctypes.CDLL, x: np.ndarray, u: np.ndarray, steps: int) -> np.ndarray:
    """The state after so many steps of the codec's GRU at one input."""
    state, given = x.astype(np.float32), u.astype(np.float32)
    library.zoo_held(*(each.ctypes.data_as(ctypes.POINTER(ctypes.c_float)) for each in (state, given)), steps)
    return state


def study(files: Files) -> Study:
    """Read, compile, encode, compare, and look for the folds."""
    (data,) = files.find(ABOUT, "src/mlp_data.c")
    weights = arrays(data.read_text())
    cell = gru(weights)
    w, b = weights["layer2_weights"].reshape(24, 2)[:, 0], weights["layer2_bias"][0]
    heard, (end, begin) = sound()

    def logit(x: Any) -> Any:
        return np.asarray(x, float) @ w + b

    with tempfile.TemporaryDirectory() as folder:
        library = compiled(data.parent.parent, Path(folder))
        seen = encoded(library, heard)
        last_of_speech, first_of_music = end // FRAME, begin // FRAME + 50
        speech_mean = seen.inputs[25:last_of_speech].mean(axis=0)
        music_mean = seen.inputs[first_of_music:].mean(axis=0)
        line = folds(cell, speech_mean, music_mean, logit)
        line["codec_leaves"] = in_the_codec(library, line, speech_mean, music_mean, logit)
    dense = np.tanh(seen.features @ weights["layer0_weights"].reshape(25, 32) + weights["layer0_bias"])
    run = rd.rollout(cell, np.zeros(24), seen.inputs)
    music = sigmoid(logit(run.states[1:]))
    agreement = Agreement(
        "libopus itself, compiled with its network's calls recorded",
        True,
        largest(run.states[1:], seen.states),
        largest(music, seen.outputs[:, 0]),
        run.steps,
    )
    answers = {
        "music, mean over the speech": float(music[25:last_of_speech].mean()),
        "music, mean over the music": float(music[first_of_music:].mean()),
        "first layer against libopus": largest(dense, seen.inputs),
    }
    return Study(
        run,
        Partial(_logit, jnp.asarray(w), b),
        "the logit of music",
        "12 s of made speech, 1 s of faint noise, 15 s of a made piece at 120 beats a minute",
        agreement,
        answers,
        speech_mean,
        "the mean input of speech",
        lambda x: float(sigmoid(logit(x))),
        201,
        {"line": line},
    )


def _logit(w: Any, b: float, x: Any) -> Any:
    return times(x, w) + b
