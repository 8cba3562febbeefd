"""Networks of other frameworks as cells of this library; none of those frameworks is needed to import this."""

from rnn_dynamics.interop.equinox import from_equinox
from rnn_dynamics.interop.files import load, read_safetensors
from rnn_dynamics.interop.flax import from_flax
from rnn_dynamics.interop.keras import from_keras
from rnn_dynamics.interop.onnx import from_onnx
from rnn_dynamics.interop.pytorch import from_torch

__all__ = ["from_equinox", "from_flax", "from_keras", "from_onnx", "from_torch", "load", "read_safetensors"]
