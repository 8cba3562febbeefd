"""Options of XLA for single programs."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxlib.version import __version_info__

from rnn_dynamics.numerics import compiling
from rnn_dynamics.numerics.compiling import Compiled, flags, lean, quickly


def test_options_are_taken_by_this_xla():
    """In a fresh process without XLA_FLAGS, where an option that XLA does not know would raise."""
    code = (
        "import jax.numpy as jnp\n"
        "from rnn_dynamics.numerics.compiling import lean\n"
        "kernel = lean(lambda x: jnp.sin(x) * 2)\n"
        "print(float(kernel._own(1.0)) if kernel._own is not kernel._plain else None)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True, env=environment
    )
    assert float(done.stdout) == pytest.approx(2 * np.sin(1.0), rel=1e-6)


def _doubled(x):
    return jnp.sin(x) * 2


@pytest.fixture
def kernel():
    """Options of its own, whatever the environment says."""
    return Compiled(_doubled, {"xla_backend_optimization_level": 0})


def test_within_other_programs_it_is_the_plain_function(kernel):
    x = jnp.linspace(0, 1, 3)
    wanted = 2 * np.sin(np.linspace(0, 1, 3))
    np.testing.assert_allclose(kernel(x), wanted, rtol=1e-14)
    np.testing.assert_allclose(jax.jit(kernel)(x), wanted, rtol=1e-14)
    np.testing.assert_allclose(jax.jit(lambda scale: kernel(x) * scale)(2.0), 2 * wanted, rtol=1e-14)
    np.testing.assert_allclose(jax.vmap(kernel)(x), wanted, rtol=1e-14)
    np.testing.assert_allclose(jax.grad(lambda x: kernel(x).sum())(x), 2 * np.cos(x), rtol=1e-14)
    carried = jax.lax.scan(lambda total, _: (total + kernel(x), None), jnp.zeros(3), None, length=2)[0]
    np.testing.assert_allclose(carried, 2 * wanted, rtol=1e-14)


def test_an_option_that_xla_does_not_know_is_left_out():
    unknown = Compiled(_doubled, {"xla_no_such_option": True})
    assert float(unknown(0.5)) == pytest.approx(2 * np.sin(0.5))
    assert unknown._own is unknown._plain


def test_errors_of_the_function_are_its_own():
    def wrong(x):
        raise ValueError("x: no such number")

    with pytest.raises(ValueError, match="no such number"):
        Compiled(wrong, {"xla_backend_optimization_level": 0})(1.0)


def test_what_xla_flags_say_stays(monkeypatch):
    older = " --xla_cpu_use_fusion_emitters=false" if __version_info__ < (0, 11, 1) else ""
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=3")
    assert flags() == f"--xla_backend_optimization_level=3{older}"
    monkeypatch.setenv("XLA_FLAGS", flags())
    made = lean(_doubled)
    assert made._own is made._plain
    monkeypatch.delenv("XLA_FLAGS")
    made = lean(_doubled)
    assert made._own is not made._plain
    assert flags() == f"{older} --xla_backend_optimization_level=1".strip()


def test_quickly_is_for_a_while():
    before = jax.config.values["jax_disable_most_optimizations"]
    with quickly():
        assert jax.config.values["jax_disable_most_optimizations"]
        assert compiling._is_quick
        with quickly(False):
            assert compiling._is_quick
    assert jax.config.values["jax_disable_most_optimizations"] == before
    assert not compiling._is_quick
