"""Which stage of sleep is it? The five layers of GRUs of gssc, in both directions, over a night of one eye's moves.

The Greifswald classifier reads 30 s at each step: nine blocks of convolutions make 512 numbers of the signal of an
eye (it takes that of the brain too, and works without), and five layers of GRUs of 256 units read the night from
both ends. Its files are pickles of whole modules, which are read as data; the package's own classes on PyTorch are
the judge where it is installed.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from examples.zoo import both, sleep
from examples.zoo.common import About, Agreement, Files, arrays_of, largest, module_of, times
from jax.tree_util import Partial

import rnn_dynamics as rd

ABOUT = About(
    "gssc",
    "gssc: sleep from an eye",
    "gssc",
    "0.0.9",
    "AGPL-3.0",
    ("pip install --no-deps gssc==0.0.9",),
    "9 blocks of convolutions, GRU 5 × 256 in both directions, dense → 5",
    30.0,
    "s",
)
_SAMPLES, _BLOCKS, _LEAK, _AT_ONCE = 2560, 9, 0.2, 60
_STAGES = ("awake", "N1", "N2", "N3", "REM")


def _normed(x: Any, scale: Any, offset: Any) -> Any:
    """A normalisation over groups of 16 channels, or of 8 where there are 16; x of shape (…, channels, samples)."""
    channels = x.shape[-2]
    groups = x.reshape(*x.shape[:-2], 2 if channels == 16 else channels // 16, -1)
    centred = groups - groups.mean(axis=-1, keepdims=True)
    flat = centred / jnp.sqrt(jnp.square(centred).mean(axis=-1, keepdims=True) + 1e-5)
    return flat.reshape(x.shape) * scale[:, None] + offset[:, None]


def _convolved(x: Any, w: Any, stride: int = 1) -> Any:
    half = w.shape[-1] // 2
    return jax.lax.conv_general_dilated(x, w, (stride,), [(half, half)], precision=jax.lax.Precision.HIGHEST)


def _leaky(x: Any) -> Any:
    return jnp.where(x > 0, x, _LEAK * x)


@jax.jit
def front_end(arrays: dict[str, Any], x: Any) -> Any:
    """What the GRUs read of signals of 30 s, shape (epochs, 2560) to (epochs, 512)."""

    def of(name: str) -> Any:
        return arrays[f"sig_net.eog.net.{name}"]

    x = _convolved(x[:, None], of("Conv 0.weight")) + of("Conv 0.bias")[:, None]
    for number in range(_BLOCKS):
        block = f"ResBlock {number}"
        y = x
        for place, stride in ((1, 2), (2, 1)):
            norm = (of(f"{block}.net.Norm {place}.{name}") for name in ("weight", "bias"))
            y = _convolved(_leaky(_normed(y, *norm)), of(f"{block}.net.Conv {place}.weight"), stride)
        channels = x.shape[1]
        mean = jnp.eye(channels)[:, :, None] * jnp.full(3, 1 / 3)
        x = _convolved(x, mean, 2)
        if f"sig_net.eog.net.{block}.shortcut.Conv MapUp.weight" in arrays:
            x = _convolved(x, of(f"{block}.shortcut.Conv MapUp.weight"))
            x = x + of(f"{block}.shortcut.Conv MapUp.bias")[:, None]
        x = x + y
    flat = x.reshape(len(x), -1, 1)
    mix = {name: arrays[f"mix_net.eog.net.{name}"] for name in _MIX}
    mixed = _leaky(_normed(flat, mix["Norm 0.weight"], mix["Norm 0.bias"]))[:, :, 0]
    return times(mixed, mix["Conv FC 0.weight"][:, :, 0].T) + mix["Conv FC 0.bias"]


_MIX = ("Norm 0.weight", "Norm 0.bias", "Conv FC 0.weight", "Conv FC 0.bias")


def study(files: Files) -> both.Study:
    """Read, sleep a night, compare with the package's classes, and tell how many stages are found."""
    signal_path, path, source = files.find(
        ABOUT, "gssc/nets/sig_net_v1.pt", "gssc/nets/gru_net_v1.pt", "gssc/networks.py"
    )
    arrays = {name: value for name, value in arrays_of(signal_path).items() if ".eog." in name}
    ends = arrays_of(path)
    network: Any = rd.interop.from_torch(ends, prefix="gru.")
    stages = sleep.night()
    heard = sleep.eye(stages, _SAMPLES / sleep.EPOCH)
    read = ((heard - heard.mean()) / heard.std()).reshape(len(stages), _SAMPLES)
    parts = [front_end(arrays, read[first : first + _AT_ONCE]) for first in range(0, len(read), _AT_ONCE)]
    run = network.run(np.concatenate([np.asarray(part) for part in parts]))
    readout = {name: jnp.asarray(ends[name]) for name in ends if not name.startswith("gru.")}
    logits = np.asarray(jax.vmap(Partial(_logits, readout))(run.outputs))
    told = logits.argmax(axis=1)
    found = {
        name: float(np.isin(told[stages == stage], numbers).mean())
        for name, stage, numbers in (
            ("awake", sleep.WAKE, [0]),
            ("light sleep", sleep.LIGHT, [1, 2]),
            ("deep sleep", sleep.DEEP, [3]),
            ("REM", sleep.REM, [4]),
        )
    }
    return both.Study(
        run,
        Partial(_logit, readout),
        "the logit of REM against N2",
        f"a made night of {len(stages) * sleep.EPOCH / 3600:.0f} h",
        compared(source, arrays, ends, read, run, logits),
        {f"found of {name}": value for name, value in found.items()},
    )


def _logits(weights: dict[str, Any], y: Any) -> Any:
    normed = _leaky(_normed(y[:, None], weights["norm.weight"], weights["norm.bias"]))[:, 0]
    return times(normed, weights["fc.weight"].T) + weights["fc.bias"]


def _logit(weights: dict[str, Any], y: Any) -> Any:
    logits = _logits(weights, y)
    return logits[4] - logits[2]


def compared(
    source: Path, arrays: dict, ends: dict, read: np.ndarray, run: Any, logits: np.ndarray
) -> Agreement:
    """The package's classes on PyTorch, from the signal on, else the arithmetic of the GRUs in NumPy.

    Of the former the states of the last layer are compared, and the last ones of every layer.
    """
    try:
        import torch
    except ImportError:
        found = both.compared(run, both.gru_layers(run.network, run.inputs))
        return Agreement("the same arithmetic in NumPy", False, found[0], None, found[1])
    package = module_of(source, "zoo_gssc_networks")

    def filled(module: Any, given: dict[str, np.ndarray], prefix: str) -> Any:
        chosen = {name.removeprefix(prefix): torch.tensor(given[name]) for name in given if prefix in name}
        module.double().load_state_dict(chosen)
        return module.eval()

    sizes = [arrays[f"sig_net.eog.net.ResBlock {i}.net.Conv 1.weight"].shape[:2] for i in range(_BLOCKS)]
    blueprint = {
        f"Block {i}": {"in_feat": narrow, "out_feat": wide, "downsamp": True}
        for i, (wide, narrow) in enumerate(sizes)
    }
    signal = filled(package.ResSignal(blueprint, norm=True), arrays, "sig_net.eog.")
    mixer = filled(package.ResMixer([512], 1, 1280, norm=True), arrays, "mix_net.eog.")
    whole = filled(package.SleepGRU(512, 256, 5, 5, bidirectional=True, norm=True, dropout=0.5), ends, "")
    with torch.no_grad():
        x = torch.tensor(read)[:, None]
        u = torch.cat([mixer(signal(part).reshape(len(part), -1, 1)) for part in x.split(_AT_ONCE)])[:, :, 0]
        start = torch.zeros(10, 1, 256, dtype=torch.float64)
        states, last = whole.gru(u[:, None], start)
        shares = whole(u[:, None], start)[0][:, 0].exp().numpy()
    own = np.concatenate([np.asarray(each.final)[None] for pair in run.trajectories for each in pair])
    apart = max(largest(own, last[:, 0]), largest(run.outputs, states[:, 0]))
    said = np.exp(logits - logits.max(axis=1, keepdims=True))
    version = torch.__version__.partition("+")[0]
    against = f"gssc's own classes on PyTorch {version}, in double precision"
    return Agreement(against, True, apart, largest(said / said.sum(axis=1, keepdims=True), shares), run.steps)
