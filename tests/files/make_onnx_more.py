"""Write onnx_more.tar.xz: models of ONNX that say their recurrence in many ways, and what onnxruntime computes.

python tests/files/make_onnx_more.py    # needs onnx, onnxruntime, torch; made with 1.23.2, 1.32.0, 2.13.0

Of each model NAME.onnx and NAME.npy, its outputs of shape (steps, units) at the inputs X.npy of one sample. The
models of PyTorch are its own exports (dynamo) of 6 steps.
"""

import io
import tarfile
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

UNITS, INPUTS, STEPS = 3, 2, 6
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
HERE = Path(__file__).parent
random = np.random.default_rng(0)
X = (random.normal(size=(STEPS, 1, INPUTS)) * 2).astype("float32")
models: dict[str, bytes] = {}
outputs: dict[str, np.ndarray] = {}


def short(shape, scale=0.7):
    return np.round(random.normal(size=shape) * scale * 64).astype("float32") / 64


def info(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def keep(name, nodes, tensors, *, out="Y", x=X, x_shape=(None, 1, INPUTS), feed=None, more=()):
    """Keep a model and its outputs."""
    inputs = [info("X", x_shape), *(info(n, a.shape) for n, a in (feed or {}).items())]
    kept = [numpy_helper.from_array(array, n) for n, array in tensors.items()]
    graph = helper.make_graph(nodes, "g", inputs, [info(out, None), *(info(n, None) for n in more)], kept)
    domains = [helper.make_opsetid("", 19), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=domains, ir_version=9)
    run(name, model.SerializeToString(), {"X": x} | (feed or {}), out)


def run(name, content, feed, out):
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    found = session.run([out], feed)[0]
    models[name], outputs[name] = content, found.reshape(-1, found.shape[-1])


def weights(kind, more="B", inputs=INPUTS):
    rows = GATES[kind] * UNITS
    shapes = {
        "W": (1, rows, inputs),
        "R": (1, rows, UNITS),
        "B": (1, 2 * rows),
        "P": (1, 3 * UNITS),
        "h": (1, 1, UNITS),
        "c": (1, 1, UNITS),
    }
    return {n: short(s) for n, s in shapes.items() if n in "WR" + more}


def node(kind, tensors, name="rnn", x="X", out="Y", **options):
    places = ["W", "R", "B", "s", "h", "c", "P"]
    given = [x, *(place if place in tensors else "" for place in places)]
    while not given[-1]:
        given.pop()
    return helper.make_node(kind, given, [out], name=name, hidden_size=UNITS, **options)


def plain(name, kind, more="B", extra=None, **options):
    tensors = weights(kind, more) | (extra or {})
    keep(name, [node(kind, tensors, **options)], tensors)


def attributes():
    """Activations, clipping, coupled gates, lengths and first states."""
    numbers = {"activation_alpha": [0.3], "activation_beta": [0.7]}
    for name in ("LeakyRelu", "ThresholdedRelu", "HardSigmoid", "Elu", "Softsign", "Softplus", "Sigmoid"):
        plain(f"rnn_{name}", "RNN", activations=[name])
    for name in ("LeakyRelu", "ThresholdedRelu", "HardSigmoid", "Elu", "Affine", "ScaledTanh"):
        plain(f"rnn_{name}_numbers", "RNN", activations=[name], **numbers)
    plain("rnn_clip", "RNN", clip=0.7)
    plain("gru_clip", "GRU", clip=0.7)
    plain("gru_clip_after", "GRU", clip=0.7, linear_before_reset=1)
    plain("gru_hard", "GRU", activations=["HardSigmoid", "Softsign"], linear_before_reset=1)
    plain("lstm_clip", "LSTM", "BP", clip=0.7)
    plain("lstm_coupled", "LSTM", "BP", input_forget=1)
    plain("lstm_coupled_clip", "LSTM", "BP", input_forget=1, clip=0.7)
    three = ["HardSigmoid", "Elu", "Softsign"]
    plain(
        "lstm_three", "LSTM", activations=three, activation_alpha=[0.3, 0.6], activation_beta=[0.4], clip=1.5
    )
    plain(
        "lstm_coupled_hard",
        "LSTM",
        activations=["HardSigmoid", "Tanh", "Tanh"],
        input_forget=1,
        activation_alpha=[0.3],
        activation_beta=[0.4],
    )
    plain("lstm_starts", "LSTM", "Bhc", {"s": np.array([STEPS], "int32")})


def computed():
    """Weights that go through operators."""
    truth = weights("LSTM")
    W, R, B = (truth[n] for n in "WRB")
    scale = np.linspace(0.01, 0.02, 12).astype("float32")
    whole = np.clip(np.round(R[0] / scale[:, None]), -127, 120).astype("int8")
    held = {
        "w_half": np.concatenate([W[0].T, W[0].T], axis=1).astype("float16"),
        "starts": np.array([0]),
        "ends": np.array([12]),
        "one": np.array([1]),
        "zero": np.array([0]),
        "r": whole + np.int8(2),
        "scale": scale,
        "zeros": np.full(12, 2, "int8"),
        "b": B[0].reshape(2, 3, 4),
        "shape": np.array([1, -1]),
        "order": np.array([1, 0]),
        "six": np.array([6, 18]),
    }
    nodes = [
        helper.make_node("Slice", ["w_half", "starts", "ends", "one"], ["w_cut"]),
        helper.make_node("Transpose", ["w_cut"], ["w_turned"], perm=[1, 0]),
        helper.make_node("Cast", ["w_turned"], ["w_float"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["w_float", "zero"], ["W"]),
        helper.make_node("DequantizeLinear", ["r", "scale", "zeros"], ["r_float"], axis=0),
        helper.make_node("Identity", ["r_float"], ["r_same"]),
        helper.make_node("Unsqueeze", ["r_same", "zero"], ["R"]),
        helper.make_node("Reshape", ["b", "shape"], ["b_flat"]),
        helper.make_node("Split", ["b_flat", "six"], ["b_first", "b_last"], axis=1),
        helper.make_node("Concat", ["b_first", "b_last"], ["b_both"], axis=1),
        helper.make_node("Squeeze", ["b_both", "zero"], ["b_row"]),
        helper.make_node("Reshape", ["b_row", "pairs"], ["b_pairs"]),
        helper.make_node("Gather", ["b_pairs", "order"], ["b_swapped"], axis=0),
        helper.make_node("Gather", ["b_swapped", "order"], ["b_again"], axis=0),
        helper.make_node("Reshape", ["b_again", "shape"], ["B"]),
        helper.make_node(
            "Constant", [], ["pairs"], value=numpy_helper.from_array(np.array([2, 12]), "pairs")
        ),
        helper.make_node(
            "Constant", [], ["size"], value=numpy_helper.from_array(np.array([1, 1, 3]), "size")
        ),
        helper.make_node("ConstantOfShape", ["size"], ["h"]),
        node("LSTM", {"W": 0, "R": 0, "B": 0, "h": 0}),
    ]
    nodes.insert(0, nodes.pop(-4))
    keep("lstm_computed", nodes, held)
    quantised = {
        "wq": np.round(W / 0.02).astype("int8").swapaxes(1, 2).copy(),
        "rq": np.round(R / 0.02).astype("int8").swapaxes(1, 2).copy(),
        "B": B,
        "sw": np.full((1, 12), 0.02, "float32"),
        "zw": np.zeros((1, 12), "int8"),
    }
    names = ["X", "wq", "rq", "B", "", "", "", "", "sw", "zw", "sw", "zw"]
    one = helper.make_node(
        "DynamicQuantizeLSTM", names, ["Y"], name="q", domain="com.microsoft", hidden_size=UNITS
    )
    keep("lstm_quantised", [one], quantised)


def rows():
    """Nodes on top of one another."""
    lower, upper = weights("LSTM"), weights("GRU", inputs=UNITS)
    tensors = lower | {f"{n}2": a for n, a in upper.items()}
    one, flat = {"one": np.array([1])}, {"flat": np.array([0, 0, -1])}
    names = ["W2", "R2", "B2"]

    def above(x, out="Y"):
        return helper.make_node("GRU", [x, *names], [out], name="upper", hidden_size=UNITS)

    first = node("LSTM", lower, "lower", out="A")
    squeezed = helper.make_node("Squeeze", ["A", "one"], ["C"])
    turned = helper.make_node("Transpose", ["A"], ["T"], perm=[0, 2, 1, 3])
    keep("row_squeezed", [first, squeezed, above("C")], tensors | one)
    keep(
        "row_turned",
        [first, turned, helper.make_node("Reshape", ["T", "flat"], ["C"]), above("C")],
        tensors | flat,
    )
    added = helper.make_node("Add", ["C", "C"], ["D"])
    keep("row_with_a_sum", [first, squeezed, added, above("D")], tensors | one)


def body_rnn(x, h):
    tensors = {"w": short((INPUTS, UNITS)), "r": short((UNITS, UNITS)), "b": short(UNITS)}
    nodes = [
        helper.make_node("MatMul", [x, "w"], ["p"]),
        helper.make_node("MatMul", [h, "r"], ["q"]),
        helper.make_node("Add", ["p", "q"], ["a"]),
        helper.make_node("Add", ["a", "b"], ["z"]),
        helper.make_node("Softsign", ["z"], ["h_new"]),
    ]
    return nodes, tensors


def body_lstm(x, h):
    """As TensorFlow's LSTMBlockCell: gates i, j, f, o of [x, h], a forget offset of 1."""
    tensors = {
        "k": short((INPUTS + UNITS, 4 * UNITS)),
        "b": short(4 * UNITS),
        "one": np.ones((), "float32"),
    }
    nodes = [
        helper.make_node("Concat", [x, h], ["xh"], axis=-1),
        helper.make_node("Gemm", ["xh", "k", "b"], ["all"]),
        helper.make_node("Split", ["all"], ["i", "j", "f", "o"], axis=1, num_outputs=4),
        helper.make_node("Add", ["f", "one"], ["f1"]),
        *(helper.make_node("Sigmoid", [a], [b]) for a, b in (("i", "si"), ("f1", "sf"), ("o", "so"))),
        helper.make_node("Tanh", ["j"], ["tj"]),
        helper.make_node("Mul", ["c", "sf"], ["kept"]),
        helper.make_node("Mul", ["si", "tj"], ["new"]),
        helper.make_node("Add", ["kept", "new"], ["c_new"]),
        helper.make_node("Tanh", ["c_new"], ["tc"]),
        helper.make_node("Mul", ["tc", "so"], ["h_new"]),
    ]
    return nodes, tensors


def body_gru_before(x, h):
    """As TensorFlow's GRUCell: r, u = σ([x, h] K), candidate of [x, r h], h⁺ = u h + (1 − u) n."""
    tensors = {
        "k": short((INPUTS + UNITS, 2 * UNITS)),
        "b": short(2 * UNITS),
        "kn": short((INPUTS + UNITS, UNITS)),
        "one": np.ones((), "float32"),
    }
    nodes = [
        helper.make_node("Concat", [x, h], ["xh"], axis=1),
        helper.make_node("MatMul", ["xh", "k"], ["all0"]),
        helper.make_node("Add", ["all0", "b"], ["all"]),
        helper.make_node("Sigmoid", ["all"], ["gates"]),
        helper.make_node("Split", ["gates"], ["r", "u"], axis=1, num_outputs=2),
        helper.make_node("Mul", ["r", h], ["rh"]),
        helper.make_node("Concat", [x, "rh"], ["xrh"], axis=1),
        helper.make_node("MatMul", ["xrh", "kn"], ["n0"]),
        helper.make_node("Tanh", ["n0"], ["n"]),
        helper.make_node("Mul", ["u", h], ["uh"]),
        helper.make_node("Sub", ["one", "u"], ["v"]),
        helper.make_node("Mul", ["v", "n"], ["vn"]),
        helper.make_node("Add", ["uh", "vn"], ["h_new"]),
    ]
    return nodes, tensors


def body_gru_turned(x, h):
    """Gates z, r, n with the reset after the product and h⁺ = h + z (n − h)."""
    tensors = {
        "k": short((INPUTS, 3 * UNITS)),
        "r": short((UNITS, 3 * UNITS)),
        "b": short(3 * UNITS),
        "br": short(3 * UNITS),
    }
    nodes = [
        helper.make_node("Gemm", [x, "k", "b"], ["xs"]),
        helper.make_node("Gemm", [h, "r", "br"], ["hs"]),
        helper.make_node("Split", ["xs"], ["xz", "xr", "xn"], axis=1, num_outputs=3),
        helper.make_node("Split", ["hs"], ["hz", "hr", "hn"], axis=1, num_outputs=3),
        helper.make_node("Add", ["xz", "hz"], ["az"]),
        helper.make_node("Add", ["xr", "hr"], ["ar"]),
        helper.make_node("Sigmoid", ["az"], ["z"]),
        helper.make_node("Sigmoid", ["ar"], ["reset"]),
        helper.make_node("Mul", ["reset", "hn"], ["rn"]),
        helper.make_node("Add", ["xn", "rn"], ["an"]),
        helper.make_node("Tanh", ["an"], ["n"]),
        helper.make_node("Sub", ["n", h], ["d"]),
        helper.make_node("Mul", ["z", "d"], ["zd"]),
        helper.make_node("Add", [h, "zd"], ["h_new"]),
    ]
    return nodes, tensors


def scan(name, body, *, cell=False, backwards=False):
    nodes, tensors = body("x", "h")
    states = ["h", "c"] if cell else ["h"]
    nodes = [*nodes, helper.make_node("Identity", ["h_new"], ["y"])]
    ins = [*(info(s, (1, UNITS)) for s in states), info("x", (1, INPUTS))]
    outs = [*(info(f"{s}_new", (1, UNITS)) for s in states), info("y", (1, UNITS))]
    inner = helper.make_graph(nodes, "body", ins, outs)
    options = {"scan_input_directions": [1], "scan_output_directions": [1]} if backwards else {}
    given, last = [f"{s}0" for s in states], [f"{s}T" for s in states]
    one = helper.make_node(
        "Scan", [*given, "X"], [*last, "Y"], name="scan", body=inner, num_scan_inputs=1, **options
    )
    keep(name, [one], tensors | {s: np.zeros((1, UNITS), "float32") for s in given})


def loop():
    nodes, tensors = body_rnn("x", "h")
    take = helper.make_node("Gather", ["X", "i"], ["x"], axis=0)
    nodes = [
        take,
        *nodes,
        helper.make_node("Identity", ["go"], ["go_on"]),
        helper.make_node("Identity", ["h_new"], ["y"]),
    ]
    ins = [info("i", (), TensorProto.INT64), info("go", (), TensorProto.BOOL), info("h", (1, UNITS))]
    outs = [info("go_on", (), TensorProto.BOOL), info("h_new", (1, UNITS)), info("y", (1, UNITS))]
    inner = helper.make_graph(nodes, "body", ins, outs)
    more = {"count": np.array(STEPS), "yes": np.array(True), "h0": np.zeros((1, UNITS), "float32")}
    keep(
        "loop_rnn",
        [helper.make_node("Loop", ["count", "yes", "h0"], ["hT", "Y"], body=inner)],
        tensors | more,
    )


def pytorch():
    """PyTorch's own exports."""
    import torch
    from torch import nn

    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    x, zero = torch.from_numpy(X), torch.zeros(1, UNITS)

    def exported(name, module, given, out):
        for value in module.parameters():
            value.data = torch.round(value.data * 64) / 64
        model = torch.onnx.export(module, given, dynamo=True, verbose=False).model_proto
        names = [each.name for each in model.graph.input]
        del model.metadata_props[:]
        for each in model.graph.node:
            del each.metadata_props[:]
            each.doc_string = ""
        for each in (*model.graph.input, *model.graph.output, *model.graph.initializer):
            del each.metadata_props[:]
        del model.graph.value_info[:]
        flat = [t.numpy() for g in given for t in (g if isinstance(g, tuple) else (g,))]
        feed = dict(zip(names, flat, strict=True))
        run(name, model.SerializeToString(), feed, model.graph.output[out].name)

    class First(nn.Module):
        """What the layers put out, without their last states."""

        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return self.inner(x)[0]

    exported("torch_rnn", First(nn.RNN(INPUTS, UNITS)), (x,), 0)
    exported("torch_rnn_two", First(nn.RNN(INPUTS, UNITS, num_layers=2, nonlinearity="relu")), (x,), 0)
    exported("torch_gru_two", First(nn.GRU(INPUTS, UNITS, num_layers=2)), (x,), 0)
    exported("torch_gru_cell", nn.GRUCell(INPUTS, UNITS), (x[0], zero), 0)
    exported("torch_lstm_cell", nn.LSTMCell(INPUTS, UNITS), (x[0], (zero, zero.clone())), 0)


def main() -> None:
    attributes()
    computed()
    rows()
    scan("scan_rnn", body_rnn)
    scan("scan_rnn_backwards", body_rnn, backwards=True)
    scan("scan_lstm", body_lstm, cell=True)
    scan("scan_gru_before", body_gru_before)
    scan("scan_gru_turned", body_gru_turned)
    loop()
    pytorch()
    everything = {f"{name}.onnx": content for name, content in models.items()}
    for name, array in (outputs | {"X": X[:, 0]}).items():
        file = io.BytesIO()
        np.save(file, array)
        everything[f"{name}.npy"] = file.getvalue()
    with tarfile.open(HERE / "onnx_more.tar.xz", "w:xz", preset=9) as archive:
        for name, content in everything.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


if __name__ == "__main__":
    main()
