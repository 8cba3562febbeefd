"""Where gradients go in recurrent networks, and why: exact Jacobian products, bifurcations and loss cliffs.

The names a user meets first are here, listed in ``__init__.pyi``; the rest is in the rooms (``rd.dynamics``,
``rd.gradients``, …). Nothing is loaded before it is asked for, so that importing costs little and changes nothing.
"""

from typing import Any

import lazy_loader

from rnn_dynamics import _moved
from rnn_dynamics._version import __version__ as __version__

_lazy, _, __all__ = lazy_loader.attach_stub(__name__, __file__)

_moved.install()


def __getattr__(name: str) -> Any:
    return _lazy(name) if name in __all__ else _moved.attribute(name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
