"""Write coreml.tar.xz: models of Core ML by coremltools, and what the specification's equations give.

python tests/files/make_coreml.py    # needs coremltools; made with 9.0

There is no runtime of these outside of Apple's systems: the outputs are those of the equations in
NeuralNetwork.proto, written out below in NumPy. Of each model NAME.mlmodel and NAME.npy, of shape (steps, units)
at the inputs X.npy.
"""

import io
import tarfile
from pathlib import Path

import numpy as np
from coremltools.models import datatypes
from coremltools.models.neural_network import NeuralNetworkBuilder
from coremltools.models.neural_network.quantization_utils import _quantize_spec_weights

UNITS, INPUTS, STEPS = 3, 2, 6
HERE = Path(__file__).parent
random = np.random.default_rng(0)
X = np.round(random.normal(size=(STEPS, INPUTS)) * 128) / 64
held: dict[str, bytes] = {}


def kept(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def short(*shape):
    return np.round(random.normal(size=shape) * 45) / 64


def clip(z):
    return np.clip(z, -50, 50)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def builder():
    given = [("x", datatypes.Array(INPUTS))]
    return NeuralNetworkBuilder(given, [("y", None)], disable_rank5_shape_mapping=True)


def save(name, made, outputs, *, bits=32):
    spec = made.spec
    if bits < 32:
        _quantize_spec_weights(spec, bits, "_linear_quantization")
    held[f"{name}.mlmodel"] = spec.SerializeToString()
    if outputs is not None:
        held[f"{name}.npy"] = kept(np.array(outputs))


def rnn():
    W, R, b = short(UNITS, INPUTS), short(UNITS, UNITS), short(UNITS)
    made = builder()
    made.add_simple_rnn("rnn", R, W, b, UNITS, INPUTS, "TANH", ["x", "h"], ["y", "hh"], output_all=True)
    h, found = np.zeros(UNITS), []
    for x in X:
        h = np.tanh(clip(W @ x + R @ h + b))
        found.append(h)
    save("rnn", made, found)


def gru():
    W, R, b = ([short(UNITS, n) for _ in range(3)] for n in (INPUTS, UNITS, 1))
    b = [each[:, 0] for each in b]
    made = builder()
    made.add_gru("gru", R, W, b, UNITS, INPUTS, ["x", "h"], ["y", "hh"], "TANH", "SIGMOID", True)
    y, found = np.zeros(UNITS), []
    for x in X:
        z, r = (sigmoid(clip(W[i] @ x + R[i] @ y + b[i])) for i in (0, 1))
        o = np.tanh(clip(W[2] @ x + R[2] @ (y * r) + b[2]))
        y = (1 - z) * o + z * y
        found.append(y)
    save("gru", made, found)


def lstm_of(W, R, b, p, offset, xs):
    """Gates i, f, o, z as coremltools orders them."""
    y, c, found = np.zeros(UNITS), np.zeros(UNITS), []
    for x in xs:
        i = sigmoid(clip(W[0] @ x + R[0] @ y + p[0] * c + b[0]))
        f = sigmoid(clip(W[1] @ x + R[1] @ y + p[1] * c + b[1] + offset))
        z = np.tanh(clip(W[3] @ x + R[3] @ y + b[3]))
        c = c * f + i * z
        o = sigmoid(clip(W[2] @ x + R[2] @ y + p[2] * c + b[2]))
        y = np.tanh(c) * o
        found.append(y)
    return np.array(found)


def lstm(name, *, peepholes=False, offset=False, bits=32):
    W, R, b, p = ([short(UNITS, n) for _ in range(4)] for n in (INPUTS, UNITS, 1, 1))
    b, p = [each[:, 0] for each in b], [each[:, 0] * peepholes for each in p[:3]]
    made = builder()
    options = {"peep": p if peepholes else None, "forget_bias": offset, "output_all": True}
    made.add_unilstm("lstm", R, W, b, UNITS, INPUTS, ["x", "h", "c"], ["y", "hh", "cc"], **options)
    save(name, made, lstm_of(W, R, b, p, float(offset), X), bits=bits)


def two():
    W, R, b = ([[short(UNITS, n) for _ in range(4)] for _ in range(2)] for n in (INPUTS, UNITS, 1))
    b = [[each[:, 0] for each in way] for way in b]
    made = builder()
    names = ["x", "h", "c", "h2", "c2"], ["y", "hh", "cc", "hh2", "cc2"]
    made.add_bidirlstm("both", R[0], W[0], b[0], R[1], W[1], b[1], UNITS, INPUTS, *names, output_all=True)
    zero = np.zeros((3, UNITS))
    save("both", made, lstm_of(W[1], R[1], b[1], zero, 0, X[::-1]))


def stacked():
    made, outputs = builder(), X
    for n, (source, target) in enumerate((("x", "a"), ("a", "y"))):
        W, R, b = ([short(UNITS, m) for _ in range(4)] for m in (UNITS if n else INPUTS, UNITS, 1))
        b = [each[:, 0] for each in b]
        names = [source, f"h{n}", f"c{n}"], [target, f"hh{n}", f"cc{n}"]
        made.add_unilstm(f"lstm{n}", R, W, b, UNITS, len(W[0][0]), *names, output_all=True)
        outputs = lstm_of(W, R, b, np.zeros((3, UNITS)), 0, outputs)
    save("stacked", made, outputs)


def main() -> None:
    rnn()
    gru()
    lstm("lstm")
    lstm("lstm_peepholes", peepholes=True, offset=True)
    lstm("lstm_half", bits=16)
    lstm("lstm_eight_bits", bits=8)
    two()
    stacked()
    with tarfile.open(HERE / "coreml.tar.xz", "w:xz", preset=9) as archive:
        for name, content in (held | {"X.npy": kept(X)}).items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


if __name__ == "__main__":
    main()
