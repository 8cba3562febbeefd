"""Write ncps.npz: weights, states and ∂(last state)/∂(first state) of ncps' networks, PyTorch's in float64.

pip install --target DIR ncps==1.0.1 torch==2.13.0 keras==3.15.1
PYTHONPATH=$PYTHONPATH:DIR KERAS_BACKEND=jax python tests/files/make_ncps.py
"""

from pathlib import Path

import jax
import numpy as np
import torch
from ncps import wirings
from ncps.keras import LTC as KerasLTC, CfC as KerasCfC
from ncps.torch import LTC, CfC, LTCCell

from tests.files.packed import short, write

UNITS, INPUTS, STEPS = 3, 2, 20


def wiring():
    return wirings.NCP(2, 2, 1, 2, 1, 1, 2, seed=1)


MODULES = {
    "CfC": lambda: CfC(INPUTS, UNITS, backbone_units=4, backbone_layers=2),
    "CfC_silu": lambda: CfC(INPUTS, UNITS, backbone_units=4, activation="silu", mode="no_gate"),
    "CfC_pure": lambda: CfC(INPUTS, UNITS, backbone_units=4, mode="pure", proj_size=2),
    "CfC_mixed": lambda: CfC(INPUTS, UNITS, backbone_units=4, mixed_memory=True),
    "CfC_wired": lambda: CfC(INPUTS, wiring()),
    "LTC": lambda: LTC(INPUTS, UNITS),
    "LTC_wired": lambda: LTC(INPUTS, wiring(), mixed_memory=True, ode_unfolds=3),
    "LTCCell": lambda: LTCCell(wirings.FullyConnected(UNITS), INPUTS),
}


def of_torch(name, rng, inputs):
    torch.manual_seed(0)
    module = MODULES[name]().double()
    for key, weight in module.state_dict().items():
        if not key.endswith("sparsity_mask"):
            drawn = short((0.5 if "CfC" in name else 1) * rng.normal(size=weight.shape))
            positive = name == "LTCCell" and key.rpartition("_")[2] in ("w", "cm", "gleak")
            weight.copy_(torch.tensor(abs(drawn) + 0.25 if positive else drawn))
    cell = getattr(module, "rnn_cell", module)
    units, mixed = (
        cell.state_size if hasattr(cell, "state_size") else cell.hidden_size,
        "lstm." in str(list(module.state_dict())),
    )
    x0 = short(rng.normal(size=units * (2 if mixed else 1)))

    def run(x, clock=None):
        states = []
        for u in torch.tensor(inputs):
            if name == "LTCCell":
                x = module(u[None], x[None], clock or 1.0)[1][0]
            else:
                spans = None if clock is None else torch.full((1, 1), clock, dtype=x.dtype)
                given = (x[:units], x[units:]) if mixed else x
                x = module(u[None], given, spans)[1]
                x = torch.cat(x) if mixed else x
            states.append(x)
        return torch.stack(states)

    found = {f"{name}/params/{key}": weight.numpy() for key, weight in module.state_dict().items()}
    start = torch.tensor(x0)
    jacobian = torch.autograd.functional.jacobian(lambda x: run(x)[-1], start)
    with torch.no_grad():
        states, slow = run(start), run(start, 0.25)[-1]
    found |= {f"{name}/x0": x0, f"{name}/states": states[::5].numpy(), f"{name}/last": states[-1].numpy()}
    return found | {f"{name}/jacobian": jacobian.numpy(), f"{name}/slow": slow.numpy()}


def of_keras(name, rng, inputs):
    make = {
        "keras_CfC": lambda: KerasCfC(UNITS, backbone_units=4, return_sequences=True),
        "keras_mixed": lambda: KerasCfC(wiring(), mixed_memory=True, return_sequences=True),
        "keras_LTC": lambda: KerasLTC(UNITS, return_sequences=True),
    }[name]
    layer = make()
    layer.build((1, STEPS, INPUTS))
    layer.set_weights(
        [
            short(abs(rng.normal(size=w.shape)) + 0.25 if "LTC" in name else rng.normal(size=w.shape) / 3)
            for w in layer.get_weights()
        ]
    )
    outputs = np.asarray(layer(inputs[None].astype("float32")))[0]
    found = {f"{name}/params/{i}": w for i, w in enumerate(layer.get_weights())}
    if name == "keras_mixed":
        cells = layer.cell.rnn_cell._cfc_layers
        found |= {f"{name}/mask{i}": np.asarray(cell.sparsity_mask) for i, cell in enumerate(cells)}
    return found | {f"{name}/outputs": outputs}


def main() -> None:
    rng = np.random.default_rng(1)
    inputs = short(rng.normal(size=(STEPS, INPUTS)))
    found = {"inputs": inputs}
    for name in MODULES:
        found |= of_torch(name, rng, inputs)
    for name in ("keras_CfC", "keras_mixed", "keras_LTC"):
        found |= of_keras(name, rng, inputs)
    write(
        Path(__file__).with_name("ncps.npz"),
        found,
        f"ncps 1.0.1, torch {torch.__version__}, jax {jax.__version__}",
    )


if __name__ == "__main__":
    main()
