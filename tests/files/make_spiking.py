"""Write spiking.npz: parameters, last states and the gradients' ∂(last state)/∂(first state) of snnTorch and norse.

pip install --target DIR snntorch==1.0.0 norse==1.1.0 nir nirtorch torch==2.13.0
PYTHONPATH=$PYTHONPATH:DIR python tests/files/make_spiking.py
"""

from pathlib import Path

import norse.torch as nt
import numpy as np
import snntorch
import torch
from norse.torch.functional.lif import LIFFeedForwardState, LIFParameters, LIFState
from norse.torch.functional.lsnn import LSNNFeedForwardState, LSNNParameters, LSNNState
from snntorch import surrogate

from tests.files.packed import short, write

UNITS, INPUTS, STEPS = 3, 2, 20
RECURRENT, SYNAPSE = {"linear_features": UNITS}, {"alpha": torch.tensor([0.75, 0.5, 1.25])}
OF_SNNTORCH = {
    "Leaky": {},
    "Leaky_zero": {"reset_mechanism": "zero"},
    "Leaky_none": {"reset_mechanism": "none"},
    "Leaky_at_once": {"reset_delay": False, "spike_grad": surrogate.fast_sigmoid(slope=4)},
    "Leaky_zero_at_once": {"reset_mechanism": "zero", "reset_delay": False},
    "Synaptic": SYNAPSE | {"threshold": torch.tensor([0.5, 1.0, 1.5])},
    "Synaptic_zero": SYNAPSE | {"reset_mechanism": "zero"},
    "RLeaky": RECURRENT,
    "RLeaky_zero": RECURRENT | {"reset_mechanism": "zero", "spike_grad": surrogate.sigmoid(slope=2)},
    "RLeaky_one": {
        "all_to_all": False,
        "V": torch.tensor([0.5, 0.25, -0.5]),
        "spike_grad": surrogate.triangular(0.5),
    },
    "RSynaptic": RECURRENT | SYNAPSE | {"spike_grad": surrogate.straight_through_estimator()},
    "RSynaptic_zero": RECURRENT | SYNAPSE | {"reset_mechanism": "zero", "spike_grad": surrogate.heaviside()},
}
STATES = {
    "LIF": (LIFFeedForwardState, LIFState),
    "LSNN": (LSNNFeedForwardState, LSNNState),
}
OF_NORSE = {
    "LIFRecurrentCell": {},
    "LIFRecurrent_erfc": {"method": "heavi_erfc", "alpha": 1.5},
    "LIFCell_tanh": {"method": "tanh", "alpha": 0.5},
    "LIF_circ": {"method": "circ", "alpha": 0.5},
    "LSNNRecurrentCell": {},
    "LSNNCell_triangle": {"method": "triangle", "alpha": 0.25},
}


def gradient(run, x0):
    start = torch.tensor(x0)
    with torch.no_grad():
        last = run(start)
    return {
        "x0": x0,
        "last": last.numpy(),
        "jacobian": torch.autograd.functional.jacobian(run, start).numpy(),
    }


def of_snntorch(name, rng, inputs):
    kind = name.partition("_")[0]
    module = getattr(snntorch, kind)(beta=torch.tensor([0.875, 0.75, 1.5]), **OF_SNNTORCH[name]).double()
    if hasattr(getattr(module, "recurrent", None), "weight"):
        for weight in module.recurrent.parameters():
            weight.data = torch.tensor(short(rng.normal(size=weight.shape) / 2))
    parts = len({"Leaky": "v", "Synaptic": "iv", "RLeaky": "sv", "RSynaptic": "siv"}[kind])

    def run(x):
        for u in torch.tensor(inputs):
            found = module(u[None], *(part[None] for part in x.split(UNITS)))
            x = torch.cat([part[0] for part in found[(0 if kind[0] == "R" else 1) :]])
        return x

    found = gradient(run, short(rng.normal(size=parts * UNITS)))
    return found | {f"params/{key}": value.numpy() for key, value in module.state_dict().items()}


def of_norse(name, rng, inputs):
    name, kind = name.partition("_")[0], name[: 3 if name[1] == "I" else 4]
    options = (
        OF_NORSE[name]
        if name in OF_NORSE
        else next(v for k, v in OF_NORSE.items() if k.startswith(name + "_"))
    )
    recurrent, is_cell = "Recurrent" in name, name.endswith("Cell")
    defaults = (LIFParameters if kind == "LIF" else LSNNParameters)(**options)
    values = {k: v if k in ("method", "alpha") else v.double() for k, v in defaults._asdict().items()}
    sizes = (INPUTS, UNITS) if recurrent else ()
    module = getattr(nt, name)(*sizes, p=type(defaults)(**values)).double()
    weights = {}
    if recurrent:
        for key in ("input_weights", "recurrent_weights"):
            weight = getattr(module, key)
            weight.data = torch.tensor(short(rng.normal(size=weight.shape)))
            weights[key] = weight.detach().numpy()
    state = STATES[kind][recurrent]
    given = torch.tensor(8 * abs(inputs[:, :INPUTS]) if recurrent else 4 * abs(inputs))

    def run(x):
        for u in given:
            parts = state(*(part[None] for part in x.split(UNITS)))
            x = torch.cat([part[0] for part in module(u[None] if is_cell else u[None, None], parts)[1]])
        return x

    found = gradient(run, short(rng.uniform(size=len(state._fields) * UNITS)))
    numbers = {k: float(v) for k, v in values.items() if k != "method"} | weights | {"given": given.numpy()}
    return found | {f"params/{key}": np.asarray(value, float) for key, value in numbers.items()}


def main() -> None:
    rng = np.random.default_rng(1)
    found = {"inputs": short(rng.normal(size=(STEPS, UNITS)))}
    for names, make in ((OF_SNNTORCH, of_snntorch), (OF_NORSE, of_norse)):
        for name in names:
            found |= {f"{name}/{key}": value for key, value in make(name, rng, found["inputs"]).items()}
    versions = f"snntorch 1.0.0, norse 1.1.0, torch {torch.__version__}"
    write(Path(__file__).with_name("spiking.npz"), found, versions)


if __name__ == "__main__":
    main()
