"""What stands beside a network's weights in a file and may belong to its step: found by names, and said."""

import re
from collections.abc import Iterable, Mapping

import numpy as np

from rnn_dynamics.interop.stored import Part, Stored

_OF_STEPS = re.compile(
    r"(ln|bn|layer_?norm|batch_?norm|norm|lora|peep\w*|gamma|beta|alpha|zoneout)(_?\w*)$|"
    r"(weight|bias|kernel|recurrent)_\w+$|bias$|recurrent_\w+$|[hc]_?0$",
    re.IGNORECASE,
)
_GRU_BIAS = "the one bias of its GRU was taken as outside of the reset; rd.interop.check compares the outputs"


def strangers(prefix: str, own: frozenset[str], others: Iterable[str], *, joint: str = "") -> list[str]:
    """Names in a network's own module that are none of its weights, by which its step may be another.

    Where the network has no prefix, names are taken that such steps have: of norms, peepholes, adapters, biases.

    Args:
        prefix: of the network's names.
        own: names of its weights.
        others: names in the file that belong to no network.
        joint: what stands between the prefix and a name.
    """
    start = f"{prefix}{joint}" if prefix else ""
    found = []
    for name in others:
        if not name.startswith(start) or name in own:
            continue
        rest = name[len(start) :]
        first = re.split(r"[./]", rest)[0]
        if first == "rngs":
            continue
        if prefix or _OF_STEPS.match(first) or any(name.startswith((f"{each}.", f"{each}_")) for each in own):
            found.append(name)
    return found


def said_of(prefix: str, found: list[str]) -> str:
    """What to say of such names; "" where there are none."""
    if not found:
        return ""
    shown = f"{', '.join(found[:3])}{', …' if len(found) > 3 else ''}"
    where = f" with the prefix {prefix!r}" if prefix else ""
    return (
        f"beside the weights{where} the file has {shown}, which such a layer has not: its step may be another, and "
        "rd.interop.check compares the outputs"
    )


def saying(arrays: Mapping[str, Stored], words: str) -> dict[str, Stored]:
    """The arrays, each with something more to be said of it."""
    if not words:
        return dict(arrays)
    return {
        name: each._replace(told="; ".join(filter(None, [each.told, words]))) for name, each in arrays.items()
    }


def hooked(part: Part) -> str:
    """What a module in a file has hooked to its forward, as a sentence; or ""."""
    found = []
    for field in ("_forward_pre_hooks", "_forward_hooks"):
        hooks = part.inside.get(field)
        for hook in hooks.values() if isinstance(hooks, Mapping) else ():
            name = hook.name if isinstance(hook, Part) else "a function"
            if not name.startswith("torch.nn.utils."):
                found.append(name[:60])
    if not found:
        return ""
    return (
        f"the forward of {part.name[:60]} has the hooks {', '.join(sorted(found)[:4])}, which may change what it "
        "reads and puts out: the cell has none of it, and rd.interop.check compares the outputs"
    )


def with_two_biases(
    group: Mapping[str, Stored], bias: Stored | None, hidden: Stored | None
) -> dict[str, Stored]:
    """A cell with one bias, as Equinox's have it, by PyTorch's two; as it is where that is not what it has.

    Args:
        group: the cell's other arrays by PyTorch's names.
        bias: of all gates, (k n,).
        hidden: of a GRU the bias inside the reset, (n,).
    """
    found, weights = dict(group), group.get("weight_hh")
    if bias is None or weights is None or weights.ndim != 2 or any(name.startswith("bias") for name in group):
        return found
    rows, units = weights.shape
    gates = rows // max(units, 1)
    is_inside = hidden is not None and hidden.shape == (units,)
    if bias.shape != (rows,) or (hidden is not None and not (is_inside and gates == 3)):
        return found
    found["bias_ih"] = bias if hidden is not None or gates != 3 else bias._replace(told=_GRU_BIAS)

    def read() -> np.ndarray:
        zeros = np.zeros(rows, bias.read().dtype)
        if hidden is not None:
            zeros[2 * units :] = hidden.read()
        return zeros

    found["bias_hh"] = bias._replace(read=read)
    return found
