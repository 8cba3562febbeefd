"""Names of tasks, remedies and atlases for the command line, which looks at them before JAX is imported.

They are those of ``training`` and ``atlases``, and tests compare the two.
"""

import re
from typing import Any

PLAIN = "plain"

#: Task to the shortest length that it can have.
TASKS = {
    "latch": 4,
    "two-sequence": 4,
    "parity": 2,
    "temporal-order": 10,
    "temporal-order-3": 10,
    "addition": 10,
    "multiplication": 10,
    "adding": 2,
    "random-permutation": 2,
    "noiseless-memorisation": 1,
    "copy": 1,
}

#: Atlas to its options and their defaults.
ATLASES: dict[str, dict[str, Any]] = {
    "radius": {
        "units": 64,
        "points": 24,
        "seeds": 3,
        "steps": 200,
        "gain": [1.0],
        "activation": ["tanh"],
        "spectra": False,
    },
    "neuron": {"points": 64, "steps": 100, "epsilon": [0.25, 0.5, 1.0], "x0": [0.1, 0.5, 0.9]},
    "fixed_points": {"units": 16, "points": 24, "seeds": 8, "starts": 64},
    "gated": {
        "units": 16,
        "points": 12,
        "seeds": 3,
        "steps": 100,
        "gain": [1.0],
        "cells": ["lstm", "gru", "minimal_gated_unit", "minimal_rnn"],
    },
}

#: Remedy to what it sets: pairs of a slot and its piece.
REMEDIES: dict[str, tuple[tuple[str, str], ...]] = {
    "clipping": (("clip", "norm"),),
    "omega": (("terms", "omega"),),
    "omega, norms": (("terms", "omega"),),
    "orthogonal": (("initializer", "orthogonal"),),
    "irnn": (("initializer", "identity"), ("activation", "relu")),
    "lstm": (("cell", "lstm"),),
    "gru": (("cell", "gru"),),
    "leaky": (("cell", "leaky"),),
    "residual": (("cell", "residual"),),
    "flossing": (("terms", "flossing"),),
    "value clipping": (("clip", "value"),),
    "momentum": (("optimizer", "momentum"),),
    "nesterov": (("optimizer", "nesterov"),),
    "rmsprop": (("optimizer", "rmsprop"),),
    "adam": (("optimizer", "adam"),),
    "rprop": (("optimizer", "rprop"),),
    "gaussian": (("initializer", "gaussian"),),
    "glorot": (("initializer", "glorot"),),
    "spectral radius 1": (("initializer", "spectral radius"),),
    "smart tanh": (("initializer", "smart tanh"),),
    "basic tanh": (("initializer", "basic tanh"),),
    "sigmoid network": (("initializer", "sigmoid"), ("activation", "logistic")),
    "kumar": (("initializer", "kumar"), ("activation", "logistic")),
    "yilmaz-poli": (("initializer", "yilmaz-poli"), ("activation", "logistic")),
    "relu": (("activation", "relu"),),
    "leaky relu": (("activation", "leaky_relu"),),
    "sparse activity": (("activation", "relu"), ("terms", "activity")),
    "skip": (("cell", "skip"),),
    "attention": (("cell", "attention"),),
    "layer normalisation": (("cell", "layer normalisation"),),
    "batch normalisation": (("cell", "batch normalisation"),),
    "prelu": (("cell", "prelu"),),
    "variational dropout": (("dropout", "True"),),
    "truncated unfolding": (("truncation", "20"),),
    "time-weighted pseudo-newton": (("direction", "time-weighted pseudo-newton"),),
    "history compressor": (("cell", "compressor"), ("terms", "prediction")),
    "random guessing": (("search", "random guessing"),),
    "multigrid random search": (("search", "multigrid random search"),),
    "simulated annealing": (("search", "simulated annealing"),),
    "evolution strategy": (("search", "evolution strategy"),),
}

# Slots, or pieces of them, that exclude each other; after ``training.recipes.compatibility``.
_BLIND = ("random guessing", "multigrid random search", "simulated annealing")
_RULES: tuple[tuple[str, tuple[str, ...], str, tuple[str, ...]], ...] = (
    *(("search", (), slot, ()) for slot in ("terms", "truncation", "direction", "dropout")),
    *(("search", _BLIND, slot, ()) for slot in ("clip", "optimizer")),
    ("search", ("random guessing",), "initializer", ()),
    *(("direction", (), slot, ()) for slot in ("terms", "truncation", "dropout", "cell")),
    ("cell", ("lstm", "gru", "prelu"), "activation", ()),
    ("cell", ("batch normalisation",), "terms", ("flossing",)),
)


def shell_name(name: str) -> str:
    """A name that no shell needs quotes for: "omega, norms" is omega-norms."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower())


_BY_SHELL_NAME = {shell_name(name): name for name in REMEDIES}


def remedy(text: str) -> str:
    """The remedy of a name as it is printed or as a shell takes it; anything else as it stands."""
    return text if text in REMEDIES else _BY_SHELL_NAME.get(text, text)


def exclude(one: str, other: str) -> bool:
    """Whether two remedies cannot be joined."""
    for slot, piece in REMEDIES[one]:
        for its_slot, its_piece in REMEDIES[other]:
            if slot == its_slot and (slot == "terms") == (piece == its_piece):
                return True
            pairs = ((slot, piece, its_slot, its_piece), (its_slot, its_piece, slot, piece))
            if any(_rule_holds(*pair) for pair in pairs):
                return True
    return False


def _rule_holds(slot: str, piece: str, other: str, its: str) -> bool:
    return any(
        (slot, other) == (a, b) and (not pieces or piece in pieces) and (not others or its in others)
        for a, pieces, b, others in _RULES
    )
