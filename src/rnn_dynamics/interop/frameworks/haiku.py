"""Recurrent cores of Haiku, by their parameters."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from rnn_dynamics.cells.gated import GRU, LSTM
from rnn_dynamics.cells.vanilla import ElmanRNN
from rnn_dynamics.interop.arrays import check_shape, gru_of_turned_update, stretches, what_came
from rnn_dynamics.interop.files.trees import Form, Part, part_of
from rnn_dynamics.numerics.validation import choice

FORMS = {
    "LSTM": Form(frozenset({"linear/w", "linear/b"})),
    "GRU": Form(frozenset({"w_i", "w_h", "b"})),
    "VanillaRNN": Form(frozenset({"linear/w", "linear/b", "linear_1/w"}), frozenset({"linear_1/b"})),
}
# What Haiku calls a core that was given no name. A core with a name is a module with dense layers like any other.
_NAMES = {"LSTM": "lstm", "GRU": "", "VanillaRNN": "vanilla_rnn"}


def from_haiku(source: Any, *, kind: str | None = None, prefix: str = "") -> ElmanRNN | LSTM | GRU:
    """A recurrent core of Haiku as a cell: the same states, and so the same ∂h_T/∂h_k.

    Haiku's LSTM adds 1 to its forget gate in each call, and this cell has it in b; its gates stand as i, g, f, o.
    Its GRU is h⁺ = (1 − z) h + z tanh(W_a (r h) + …), with z the other way round than here: 1 − σ(v) = σ(−v), so
    that the cell has the rows of z negated. Its VanillaRNN is of relu. Haiku multiplies from the left by w of shape
    (inputs, k n). Cores on top of one another: ``Stack([from_haiku(params, prefix="lstm"), …])``.

    Args:
        source: the parameters that ``init`` of a transformed function gives, {"lstm/linear": {"w": …, "b": …}} or
            {"gru": {"w_i": …, "w_h": …, "b": …}}, of one core or of a whole model.
        kind: the core's class, "LSTM", "GRU" or "VanillaRNN"; told by the parameters but for an LSTM or VanillaRNN
            that was given a name.
        prefix: the core's name in the parameters, as "encoder/~/lstm"; needed where there is more than one core.

    Returns:
        A cell. The state of an LSTM is [h, c], Haiku's pair as one vector.

    Raises:
        TypeError: no mapping; a prefix that is no string.
        ValueError: names that are missing or foreign, several cores, shapes that do not fit, another kind, a dtype
            that is not float32 or float64.
    """
    if not isinstance(source, Mapping):
        raise TypeError(f"source: expected the parameters of Haiku, a mapping, got {what_came(source)}")
    if kind is not None:
        choice("kind", kind, tuple(FORMS))
    part = part_of(source, FORMS, call="from_haiku", prefix=prefix, kind=kind, separator="/", tells=_tells)
    return {"LSTM": _lstm, "GRU": _gru, "VanillaRNN": _vanilla}[part.kinds[0]](part)


def _tells(prefix: str, kind: str) -> bool:
    name = _NAMES[kind]
    return not name or re.fullmatch(rf"{name}(_\d+)?", prefix.rpartition("/")[2]) is not None


def _lstm(part: Part) -> LSTM:
    b = part.arrays["linear/b"]
    rows, columns = check_shape("linear/w", part.arrays["linear/w"], (None, None)).shape
    units = columns // 4
    if columns % 4 or rows <= units:
        raise ValueError(
            f"source: expected linear/w of shape (inputs + n, 4 n) of an LSTM, got {(rows, columns)}"
        )
    check_shape("linear/b", b, (columns,))
    w, b = (stretches(array, (0, 2, 1, 3), 4) for array in (part.arrays["linear/w"].T, b))
    b = b + np.repeat(np.array([0, 1, 0, 0], b.dtype), units)
    return LSTM(w[:, rows - units :], b, w[:, : rows - units])


def _gru(part: Part) -> GRU:
    units = check_shape("w_h", part.arrays["w_h"], (None, None)).shape[0]
    W = check_shape("w_h", part.arrays["w_h"], (units, 3 * units)).T
    W_in = check_shape("w_i", part.arrays["w_i"], (None, 3 * units)).T
    return gru_of_turned_update(W, W_in, check_shape("b", part.arrays["b"], (3 * units,)))


def _vanilla(part: Part) -> ElmanRNN:
    units = check_shape("linear_1/w", part.arrays["linear_1/w"], (None, None)).shape[0]
    W = check_shape("linear_1/w", part.arrays["linear_1/w"], (units, units)).T
    W_in = check_shape("linear/w", part.arrays["linear/w"], (None, units)).T
    b = check_shape("linear/b", part.arrays["linear/b"], (units,))
    if "linear_1/b" in part.arrays:
        b = b + check_shape("linear_1/b", part.arrays["linear_1/b"], (units,))
    return ElmanRNN(W, b, W_in, activation="relu")
