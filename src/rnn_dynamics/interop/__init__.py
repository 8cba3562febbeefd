"""Networks of other frameworks as cells of this library; none of those frameworks is needed to import this.

Names are loaded when they are asked for, so that the command line can look at a file before JAX is imported.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnn_dynamics.interop.audited import Audit, Cause
    from rnn_dynamics.interop.auditing import audit
    from rnn_dynamics.interop.brainpy import from_brainpy
    from rnn_dynamics.interop.checking import Agreement, check
    from rnn_dynamics.interop.equinox import from_equinox
    from rnn_dynamics.interop.files import load, read_npz, read_safetensors
    from rnn_dynamics.interop.flax import from_flax
    from rnn_dynamics.interop.haiku import from_haiku
    from rnn_dynamics.interop.keras import from_keras
    from rnn_dynamics.interop.keras_files import read_keras
    from rnn_dynamics.interop.lmu import from_keras_lmu
    from rnn_dynamics.interop.mlx import from_mlx
    from rnn_dynamics.interop.modules import from_module
    from rnn_dynamics.interop.ncps import from_ncps
    from rnn_dynamics.interop.onnx import from_onnx, onnx_initial_state
    from rnn_dynamics.interop.pytorch import from_torch
    from rnn_dynamics.interop.reservoirpy import from_reservoirpy
    from rnn_dynamics.interop.spiking import from_norse, from_snntorch
    from rnn_dynamics.interop.unirep import from_unirep

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
    "Agreement": "checking",
    "Audit": "audited",
    "Cause": "audited",
    "audit": "auditing",
    "check": "checking",
    "from_brainpy": "brainpy",
    "from_equinox": "equinox",
    "from_flax": "flax",
    "from_haiku": "haiku",
    "from_keras": "keras",
    "from_keras_lmu": "lmu",
    "from_reservoirpy": "reservoirpy",
    "from_mlx": "mlx",
    "from_module": "modules",
    "from_ncps": "ncps",
    "from_onnx": "onnx",
    "from_norse": "spiking",
    "from_snntorch": "spiking",
    "from_torch": "pytorch",
    "from_unirep": "unirep",
    "load": "files",
    "onnx_initial_state": "onnx",
    "read_keras": "keras_files",
    "read_npz": "files",
    "read_safetensors": "files",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
