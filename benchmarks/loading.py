"""Files of 20 MB with one recurrent network: CPU seconds of reading their bytes, of ``load`` and of ``inspect``.

Reading and ``load`` are each timed in a process of their own that has done it once, so that neither imports nor
compilations count. What they return is kept, as it is by whoever wants it: memory that the system hands out anew
costs more than the reading. ``inspect`` runs in a fresh process each time, with the interpreter's start.
"""

import json
import pickle
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import timing

_UNITS, _SMALL = 760, 24


def _arrays(units: int) -> dict[str, np.ndarray]:
    """An LSTM of so many units and inputs by PyTorch's names."""
    rng, rows = np.random.default_rng(0), 4 * units
    shapes = {
        "weight_ih_l0": (rows, units),
        "weight_hh_l0": (rows, units),
        "bias_ih_l0": rows,
        "bias_hh_l0": rows,
    }
    return {name: rng.normal(size=shape).astype("float32") / 30 for name, shape in shapes.items()}


def _safetensors(path: Path, units: int) -> None:
    from safetensors.numpy import save_file

    save_file(_arrays(units), path)


def _npz(path: Path, units: int) -> None:
    with path.open("wb") as file:
        np.savez(file, **_arrays(units))


def _pickle(path: Path, units: int) -> None:
    path.write_bytes(pickle.dumps({"model": _arrays(units)}, protocol=4))


def _pytorch(path: Path, units: int) -> None:
    """As ``torch.save`` writes: a pickle that names storages, and the storages beside it."""

    def text(value: str) -> bytes:
        return b"X" + len(value).to_bytes(4, "little") + value.encode()

    def whole(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(b"J" + value.to_bytes(4, "little") for value in values) + b"t"

    entries = b""
    with zipfile.ZipFile(path, "w") as archive:
        for key, (name, array) in enumerate(_arrays(units).items()):
            storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(str(key)) + text("cpu")
            storage += whole((array.size,))[1:-1] + b"tQ"
            shaped = whole(array.shape) + whole(tuple(step // array.itemsize for step in array.strides))
            entries += (
                text(name)
                + b"ctorch._utils\n_rebuild_tensor_v2\n("
                + storage
                + b"K\x00"
                + shaped
                + b"\x89}tR"
            )
            archive.writestr(f"model/data/{key}", array.tobytes())
        archive.writestr("model/data.pkl", b"\x80\x02}(" + entries + b"u.")


def _matlab(path: Path, units: int) -> None:
    from scipy.io import savemat

    with path.open("wb") as file:
        savemat(file, {"net": {name: np.atleast_2d(array) for name, array in _arrays(units).items()}})


def _keras(path: Path, units: int) -> None:
    import h5py

    a = _arrays(units)
    config = {"name": "lstm", "units": units, "activation": "tanh", "recurrent_activation": "sigmoid"}
    layer = {"class_name": "LSTM", "config": config | {"return_sequences": True, "use_bias": True}}
    model = {"class_name": "Sequential", "config": {"name": "model", "layers": [layer]}}
    with h5py.File(path, "w") as file:
        file.attrs["model_config"], file.attrs["keras_version"] = json.dumps(model), "2.15.0"
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = np.array([b"lstm"])
        inner = group.create_group("lstm")
        names = ["lstm/kernel:0", "lstm/recurrent_kernel:0", "lstm/bias:0"]
        inner.attrs["weight_names"] = np.array([name.encode() for name in names])
        arrays = [a["weight_ih_l0"].T, a["weight_hh_l0"].T, a["bias_ih_l0"]]
        for name, array in zip(names, arrays, strict=True):
            inner[name] = array


def _field(number: int, content: bytes) -> bytes:
    """A field of Protocol Buffers with so many bytes."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    found = b""
    while value >= 0x80:
        found += bytes([value & 0x7F | 0x80])
        value >>= 7
    return found + bytes([value])


def _onnx(path: Path, units: int) -> None:
    a = _arrays(units)
    arrays = {"W": a["weight_ih_l0"][None], "R": a["weight_hh_l0"][None]}
    tensors = b""
    for name, array in arrays.items():
        dims = b"".join(b"\x08" + _varint(n) for n in array.shape)
        tensors += _field(5, dims + b"\x10\x01" + _field(8, name.encode()) + _field(9, array.tobytes()))
    node = b"".join(_field(1, name) for name in (b"X", b"W", b"R")) + _field(2, b"Y") + _field(4, b"LSTM")
    path.write_bytes(b"\x08\x08" + _field(2, b"rnn") + _field(7, _field(1, node) + tensors))


def _messagepack(path: Path, units: int) -> None:
    """As Flax writes: mappings in one another, and arrays as extensions."""

    def text(value: str) -> bytes:
        return bytes([0xA0 | len(value)]) + value.encode()

    def array(value: np.ndarray) -> bytes:
        shape = bytes([0x90 | value.ndim]) + b"".join(b"\xcd" + n.to_bytes(2, "big") for n in value.shape)
        held = b"\xc6" + value.nbytes.to_bytes(4, "big") + value.tobytes()
        inner = b"\x93" + shape + text("float32") + held
        return b"\xc9" + len(inner).to_bytes(4, "big") + b"\x01" + inner

    a, layers = _arrays(units), b""
    for place, gate in enumerate("ifgo"):
        rows = slice(place * units, (place + 1) * units)
        layers += text(f"i{gate}") + b"\x81" + text("kernel") + array(a["weight_ih_l0"][rows].T.copy())
        layers += text(f"h{gate}") + b"\x82" + text("kernel") + array(a["weight_hh_l0"][rows].T.copy())
        layers += text("bias") + array(a["bias_hh_l0"][rows])
    path.write_bytes(b"\x81" + text("cell") + b"\x88" + layers)


WRITERS: dict[str, Callable[[Path, int], None]] = {
    "safetensors": _safetensors,
    "npz": _npz,
    "PyTorch": _pytorch,
    "pickle": _pickle,
    "MATLAB": _matlab,
    "Keras (HDF5)": _keras,
    "ONNX": _onnx,
    "MessagePack": _messagepack,
}


def loaded(path: str) -> Any:
    """The network's arrays, ready."""
    import jax

    import rnn_dynamics as rd

    return jax.block_until_ready(jax.tree_util.tree_leaves(rd.interop.load(path)))


def read(path: str) -> bytes:
    """The file's bytes."""
    return Path(path).read_bytes()


def seconds_of(call: Callable[[str], Any], path: str, repetitions: int) -> float:
    """The median of CPU seconds in this process."""
    kept, times = [call(path)], []
    for _ in range(repetitions):
        begin = time.process_time()
        kept.append(call(path))
        times.append(time.process_time() - begin)
    return statistics.median(times)


def _apart(name: str, path: Path, repetitions: int) -> float:
    """``seconds_of`` in a process of its own."""
    call = f"loading.seconds_of(loading.{name}, {str(path)!r}, {repetitions})"
    program = f"from benchmarks import loading; print({call})"
    said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    return float(said.splitlines()[-1])


def inspected(path: Path) -> float:
    """CPU seconds of ``rnn-dynamics inspect`` in a fresh process."""
    program = f"import sys; from rnn_dynamics import cli; sys.exit(cli.main(['inspect', {str(path)!r}]))"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(*, quick: bool = False) -> list[dict]:
    """Three rows for each format; rates are relative to reading the bytes."""
    rows, repetitions = [], 2 if quick else 15
    for name, write in WRITERS.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model"
            write(path, _SMALL if quick else _UNITS)
            size = f"{name}, {path.stat().st_size / 1e6:.1f} MB"
            reading, loading = (_apart(call, path, repetitions) for call in ("read", "loaded"))
            rows.append(timing.row("loading", size, "reading the bytes", reading, reading))
            rows.append(timing.row("loading", size, "load", loading, reading))
            seconds = min(inspected(path) for _ in range(1 if quick else 3))
            rows.append(timing.row("loading", size, "inspect, fresh process", seconds, reading))
    return rows


def main() -> None:
    print(timing.markdown(measure()))


if __name__ == "__main__":
    main()
