"""Write the files of this folder by the frameworks themselves, and expected.npz by PyTorch.

python tests/files/make.py    # needs torch, onnx, flax, scipy; made with torch 2.13.0, onnx 1.23.2, flax 0.12.8

All hold the same LSTM (2 inputs, 3 units) in the names of their own framework, but for relu.pt (nn.RNN) and
script.pt (nn.GRUCell). expected.npz has of each the states of 20 steps and ∂(last state)/∂(first state), computed
in float64 by PyTorch from the weights as the file rounds them; a state of an LSTM is [h, c].
"""

import json
import warnings
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

HERE = Path(__file__).parent
STEPS = 20
found: dict[str, np.ndarray] = {}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(2, 3), nn.Linear(3, 1)


class Cell(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(2, 3)

    def forward(self, x, h):
        return self.cell(x, h)


def expected(name, module):
    """Keep states and ∂x_T/∂x_0 of a module in float64."""
    module = module.double()
    size = 6 if isinstance(module, nn.LSTM) else 3

    def step(x, u):
        if isinstance(module, nn.GRUCell):
            return module(u[None], x[None])[0]
        if isinstance(module, nn.LSTM):
            h, c = module(u[None, None], (x[None, None, :3], x[None, None, 3:]))[1]
            return torch.cat([h[0, 0], c[0, 0]])
        return module(u[None, None], x[None, None])[1][0, 0]

    def run(x):
        states = [x]
        for u in inputs:
            states.append(step(states[-1], u))
        return torch.stack(states)

    x0 = torch.from_numpy(found["x0"])[:size]
    found[f"{name}/states"] = run(x0).detach().numpy()
    found[f"{name}/jacobian"] = torch.autograd.functional.jacobian(lambda x: run(x)[-1], x0).numpy()


def rounded(state):
    """The module whose weights are those numbers, which half precision or a scale has rounded."""
    module = nn.LSTM(2, 3).double()
    module.load_state_dict({name: value.double() for name, value in state.items()})
    return module


def stretched(array, order):
    parts = np.split(array, 4)
    return np.concatenate([parts[i] for i in order])


def others(state):
    """The same LSTM in the names of MATLAB, RTNeural, Flax and ONNX."""
    import onnx
    from flax import serialization
    from onnx import TensorProto, helper, numpy_helper
    from scipy.io import savemat

    W_in, W = (state[f"weight_{which}_l0"].numpy() for which in ("ih", "hh"))
    b = (state["bias_ih_l0"] + state["bias_hh_l0"]).numpy()
    nested = {name: value.numpy().astype(float) for name, value in state.items()}
    savemat(HERE / "matlab.mat", {"net": {"lstm": nested}, "note": "text"}, do_compression=True)
    layers = [
        {
            "type": "dense",
            "activation": "",
            "shape": [None, None, 2],
            "weights": [np.eye(2).tolist(), [0, 0]],
        },
        {
            "type": "lstm",
            "activation": "",
            "shape": [None, None, 3],
            "weights": [W_in.T.tolist(), W.T.tolist()],
        },
    ]
    layers[1]["weights"].append(b.tolist())
    (HERE / "rtneural.json").write_text(json.dumps({"in_shape": [None, None, 2], "layers": layers}))
    flax = {}
    for gate, rows, back, bias in zip("ifgo", *(np.split(each, 4) for each in (W_in, W, b)), strict=True):
        flax |= {f"i{gate}": {"kernel": rows.T.copy()}, f"h{gate}": {"kernel": back.T.copy(), "bias": bias}}
    (HERE / "flax.msgpack").write_bytes(serialization.to_bytes({"params": {"LSTMCell_0": flax}}))
    order = (0, 3, 1, 2)
    arrays = {name: stretched(array, order)[None] for name, array in (("W", W_in), ("R", W))}
    arrays["B"] = np.concatenate([stretched(b, order), np.zeros(12, b.dtype)])[None]
    node = helper.make_node("LSTM", ["x", "W", "R", "B"], ["y"], name="rnn", hidden_size=3)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [5, 1, 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    model = helper.make_model(helper.make_graph([node], "g", [x], [y], tensors))
    onnx.save(model, HERE / "model.onnx")
    (HERE / "external.bin").unlink(missing_ok=True)
    onnx.save(
        model, HERE / "external.onnx", save_as_external_data=True, location="external.bin", size_threshold=0
    )


def main() -> None:
    global inputs
    torch.manual_seed(0)
    warnings.simplefilter("ignore")
    inputs = torch.randn(STEPS, 2).double()
    found.update(inputs=inputs.numpy(), x0=torch.randn(6).double().numpy() / 2)
    net, relu, cell = Net(), nn.RNN(2, 3, nonlinearity="relu"), Cell()
    state = {name: value.detach().clone() for name, value in net.lstm.state_dict().items()}
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    net.lstm(torch.ones(2, 2))[0].sum().backward()
    optimizer.step()
    net.lstm.load_state_dict(state)
    torch.save(net.state_dict(), HERE / "zip.pt")
    whole = {"epoch": 3, "model_state": net.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(whole, HERE / "old.pt", _use_new_zipfile_serialization=False)
    flat, at, views = torch.zeros(200), 7, {}
    for name, value in state.items():
        view = flat[at : at + value.numel()].view(value.shape[::-1])
        view.copy_(value.T if value.ndim == 2 else value)
        views[name] = view.T if value.ndim == 2 else view
        at += value.numel()
    torch.save(views, HERE / "views.pt")
    for dtype in (torch.float16, torch.bfloat16):
        name = str(dtype).removeprefix("torch.")
        halves = {key: value.to(dtype) for key, value in state.items()}
        torch.save(halves, HERE / f"{name}.pt")
        expected(name, rounded(halves))
    scale, zero = torch.linspace(0.004, 0.006, 12).double(), torch.arange(12) - 6
    coarse = {
        key: torch.quantize_per_channel(value, scale, zero, 0, torch.qint8) if value.ndim == 2 else value
        for key, value in state.items()
    }
    torch.save(coarse, HERE / "quantised.pt")
    expected("quantised", rounded({k: v.dequantize() if v.is_quantized else v for k, v in coarse.items()}))
    torch.save(relu, HERE / "relu.pt")
    torch.jit.script(cell).save(HERE / "all.zip")
    with zipfile.ZipFile(HERE / "all.zip") as whole, zipfile.ZipFile(HERE / "script.pt", "w") as small:
        for name in whole.namelist():
            if not name.endswith(".debug_pkl"):  # line numbers of the source, which are most of the bytes
                small.writestr(zipfile.ZipInfo(name), whole.read(name), zipfile.ZIP_DEFLATED)
    (HERE / "all.zip").unlink()
    others(state)
    expected("lstm", net.lstm)
    expected("relu", relu)
    expected("script", cell.cell)
    np.savez_compressed(HERE / "expected.npz", **found)


if __name__ == "__main__":
    main()
