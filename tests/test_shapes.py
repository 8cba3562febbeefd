"""Tests of gated cells, each call's arrays held against the annotated shapes; ``make shapes`` runs more of them."""

import os
import subprocess
import sys

from tests import house


def _run(*arguments: str) -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(
        command, env=os.environ | {"CHECK_SHAPES": "1"}, cwd=house.ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def test_annotated_shapes_are_those_of_the_arrays() -> None:
    assert " passed" in _run("tests/test_gated.py", "-k", "not shipped")


def test_a_wrong_shape_is_seen() -> None:
    program = """
import tests.conftest
import jax.numpy as jnp
from rnn_dynamics.cells.vanilla import dot
try:
    dot(jnp.zeros((2, 3)), jnp.zeros(4))
except Exception as error:
    print(type(error).__name__)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"CHECK_SHAPES": "1"},
        cwd=house.ROOT,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "TypeCheckError", done.stdout + done.stderr
