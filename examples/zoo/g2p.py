"""How is it pronounced? The encoder of g2p-en, a GRU that reads a word letter by letter, on long English words.

The package begins anew at each word and hands the state after its last letter to a decoder. Here the words
follow one another without a pause too, as a rate of growth wants more letters than a word has. The states are
compared with those of the package's own methods ``gru`` and ``grucell``, which are NumPy, taken out of its
module by name; the rest of the module wants dictionaries that are not needed here.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from examples.zoo.common import About, Agreement, Files, Study, largest, methods_of, rounded, times
from jax.tree_util import Partial

import rnn_dynamics as rd

ABOUT = About(
    "g2p",
    "g2p-en: letters to phonemes",
    "g2p-en",
    "2.1.0",
    "Apache-2.0",
    ("pip install --no-deps g2p-en==2.1.0",),
    "GRU 256 (encoder; a second one decodes)",
    1.0,
    "letter",
)
WORDS = (
    *("antidisestablishmentarianism", "incomprehensibilities", "honorificabilitudinitatibus"),
    *("counterrevolutionaries", "electroencephalographically", "floccinaucinihilipilification"),
    *("internationalization", "psychoneuroendocrinological", "thyroparathyroidectomized"),
    *("uncharacteristically", "deinstitutionalization", "spectrophotofluorometrically"),
)
LONGEST = "pneumonoultramicroscopicsilicovolcanoconiosis"
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_FIRST_LETTER, _END, _BEGIN = (
    3,
    2,
    2,
)  # rows of the two tables: <pad>, <unk>, </s>, a … z; <pad>, <unk>, <s>, </s>


def encoder(weights: dict[str, np.ndarray]) -> rd.GRU:
    """The encoder: PyTorch's gates under other names."""
    names = {
        "enc_w_ih": "weight_ih_l0",
        "enc_w_hh": "weight_hh_l0",
        "enc_b_ih": "bias_ih_l0",
        "enc_b_hh": "bias_hh_l0",
    }
    return rd.interop.from_torch(
        {name: weights[given].astype(float) for given, name in names.items()}, kind="gru"
    )


def read(word: str) -> list[int]:
    """The rows of the letters' table."""
    return [_FIRST_LETTER + _LETTERS.index(letter) for letter in word]


def study(files: Files) -> Study:
    """Read the arrays, spell, compare, and decode a word."""
    path, module = files.find(ABOUT, "g2p_en/checkpoint20.npz", "g2p_en/g2p.py")
    weights = rd.interop.read_npz(path)
    cell = encoder(weights)
    rows = read("".join(WORDS))
    inputs = weights["enc_emb"][rows].astype(float)
    run = rd.rollout(cell, np.zeros(256), inputs)
    own = methods_of(module, "G2p", "gru", "grucell", "sigmoid", "predict", "encode")()
    given = [weights[f"enc_{name}"] for name in ("w_ih", "w_hh", "b_ih", "b_hh")]
    theirs = own.gru(weights["enc_emb"][rows][None], len(rows), *given)[0]
    for name, value in weights.items():
        setattr(own, name, value)
    own.g2idx = dict(zip(("<pad>", "<unk>", "</s>", *_LETTERS), range(29), strict=True))
    own.idx2p = dict(enumerate(_phonemes(module.read_text(encoding="utf-8"))))
    one = rd.rollout(cell, np.zeros(256), weights["enc_emb"][read(LONGEST)].astype(float))
    norms = np.asarray(rd.gradient_norms(one))
    answers = {
        "gradient": " ".join(own.predict("gradient")),
        "recurrence": " ".join(own.predict("recurrence")),
        "greatest gradient of a word of 45 letters, decades": float(norms.max() / np.log(10)),
    }
    decoder = {
        name: jnp.asarray(value, float) for name, value in weights.items() if name.startswith(("dec", "fc"))
    }
    return Study(
        run,
        Partial(_first_phoneme, decoder),
        "the largest logit of the first phoneme",
        f"{len(WORDS)} long English words without a pause, {len(rows)} letters",
        Agreement(
            "g2p-en's own methods gru and grucell", True, largest(run.states[1:], theirs), None, run.steps
        ),
        answers,
        inputs.mean(axis=0),
        "the mean input",
        more={"word": LONGEST, "word_decades": rounded(norms / np.log(10), 4)},
    )


def _phonemes(source: str) -> list[str]:
    """The phonemes as the module lists them, after the four marks."""
    text = source[source.index("self.phonemes = ") :]
    text = text[text.index("[") : text.index("self.g2idx")]
    return [word for word in text.replace('"', "'").split("'") if word.strip(" ,[]+\n\r\t")]


def _first_phoneme(weights: dict[str, Any], x: Any) -> Any:
    """The largest logit after the decoder's first step from the encoder's state."""
    given = times(weights["dec_emb"][_BEGIN], weights["dec_w_ih"].T) + weights["dec_b_ih"]
    from_state = times(x, weights["dec_w_hh"].T) + weights["dec_b_hh"]
    r, z = (1 / (1 + jnp.exp(-(given[part] + from_state[part]))) for part in (slice(256), slice(256, 512)))
    n = jnp.tanh(given[512:] + r * from_state[512:])
    return (times((1 - z) * n + z * x, weights["fc_w"].T) + weights["fc_b"]).max()
