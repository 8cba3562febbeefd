"""Networks of other frameworks as cells of this library; none of those frameworks is needed to import this.

Names are loaded when they are asked for, so that the command line can look at a file before JAX is imported.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnn_dynamics.interop.audits.auditing import audit
    from rnn_dynamics.interop.audits.results import Audit, Cause
    from rnn_dynamics.interop.checks.checking import Agreement, check
    from rnn_dynamics.interop.files.loading import load, read_npz, read_safetensors
    from rnn_dynamics.interop.frameworks.brainpy import from_brainpy
    from rnn_dynamics.interop.frameworks.equinox import from_equinox
    from rnn_dynamics.interop.frameworks.flax import from_flax
    from rnn_dynamics.interop.frameworks.haiku import from_haiku
    from rnn_dynamics.interop.frameworks.lmu import from_keras_lmu
    from rnn_dynamics.interop.frameworks.mlx import from_mlx
    from rnn_dynamics.interop.frameworks.modules import from_module
    from rnn_dynamics.interop.frameworks.ncps import from_ncps
    from rnn_dynamics.interop.frameworks.pytorch import from_torch
    from rnn_dynamics.interop.frameworks.reservoirpy import from_reservoirpy
    from rnn_dynamics.interop.frameworks.spiking import from_norse, from_snntorch
    from rnn_dynamics.interop.frameworks.unirep import from_unirep
    from rnn_dynamics.interop.keras.files import read_keras
    from rnn_dynamics.interop.keras.objects import from_keras
    from rnn_dynamics.interop.onnx.cells import from_onnx, onnx_initial_state

__all__ = [
    "Agreement",
    "Audit",
    "Cause",
    "audit",
    "check",
    "from_brainpy",
    "from_equinox",
    "from_flax",
    "from_haiku",
    "from_keras",
    "from_keras_lmu",
    "from_mlx",
    "from_module",
    "from_ncps",
    "from_norse",
    "from_onnx",
    "from_reservoirpy",
    "from_snntorch",
    "from_torch",
    "from_unirep",
    "load",
    "onnx_initial_state",
    "read_keras",
    "read_npz",
    "read_safetensors",
]

_MODULES = {
    "Agreement": "checks.checking",
    "Audit": "audits.results",
    "Cause": "audits.results",
    "audit": "audits.auditing",
    "check": "checks.checking",
    "from_brainpy": "frameworks.brainpy",
    "from_equinox": "frameworks.equinox",
    "from_flax": "frameworks.flax",
    "from_haiku": "frameworks.haiku",
    "from_keras": "keras.objects",
    "from_keras_lmu": "frameworks.lmu",
    "from_reservoirpy": "frameworks.reservoirpy",
    "from_mlx": "frameworks.mlx",
    "from_module": "frameworks.modules",
    "from_ncps": "frameworks.ncps",
    "from_onnx": "onnx.cells",
    "from_norse": "frameworks.spiking",
    "from_snntorch": "frameworks.spiking",
    "from_torch": "frameworks.pytorch",
    "from_unirep": "frameworks.unirep",
    "load": "files.loading",
    "onnx_initial_state": "onnx.cells",
    "read_keras": "keras.files",
    "read_npz": "files.loading",
    "read_safetensors": "files.loading",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
