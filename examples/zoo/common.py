"""What the programs of the zoo share: finding a package's files, measuring a run, and the JSON that is stored.

Nothing of a package is imported here. Its files are looked for among the installed distributions and below the
folder that ``--unpacked`` names, where wheels and source archives may lie unpacked.
"""

import ast
import dataclasses
import datetime
import importlib.util
import json
import math
import types
import warnings
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import rnn_dynamics as rd
from rnn_dynamics.interop.files.contents import contents_of

ENDS = 16  # steps T from which the output's gradient is followed back
SETTLING = 20_000  # steps at a held input before some of the searches
POINTS = 48  # of a stored curve
SHARES = {"1/e": 1 / math.e, "1 %": 0.01}


@dataclasses.dataclass(frozen=True)
class About:
    """What is known of a network before it is read.

    Attributes:
        name: of its program and of its JSON.
        title: what it does, in a few words.
        package, version: the distribution that holds it, and the version that the program is written for.
        licence: of the package; of the weights where that is another.
        install: commands after which the program finds its files.
        architecture: layers and units.
        step: what one step stands for, in the unit.
        unit: "s", or the thing that is read at each step.
        note: what the figure's table adds to the name.
    """

    name: str
    title: str
    package: str
    version: str
    licence: str
    install: tuple[str, ...]
    architecture: str
    step: float = 1.0
    unit: str = "step"
    note: str = ""


class Files:
    """Where the files of packages lie: installed, or unpacked below a folder."""

    def __init__(self, unpacked: Path | None = None) -> None:
        self.unpacked = unpacked

    def find(self, about: About, *names: str) -> list[Path]:
        """The files of these names, relative to where the package is installed.

        Raises:
            SystemExit: one is missing; the message has the commands that bring it.
        """
        found = [self._one(about, name) for name in names]
        if None in found:
            missing = names[found.index(None)]
            commands = "\n".join(f"    {command}" for command in about.install)
            raise SystemExit(
                f"{about.name}: {missing} of {about.package} is not there; it comes by\n{commands}"
            )
        return [path for path in found if path is not None]

    def _one(self, about: About, name: str) -> Path | None:
        if self.unpacked is not None:
            for folder in (
                self.unpacked,
                *sorted(self.unpacked.glob("*")),
                *sorted(self.unpacked.glob("*/*")),
                *sorted(self.unpacked.glob("*/*.data/purelib")),  # of a wheel with a library in it
            ):
                if (folder / name).is_file():
                    return folder / name
        try:
            path = Path(str(metadata.distribution(about.package).locate_file(name)))
        except metadata.PackageNotFoundError:
            return None
        return path if path.is_file() else None


class Agreement(NamedTuple):
    """How far the library's states are from those of another computation of the same network.

    Attributes:
        against: what computed them.
        is_runtime: whether that is the package's own runtime, or the one that it is made for.
        states: the largest difference of a state.
        outputs: the largest difference of an output, ``None`` where none was compared.
        steps: of the runs compared.
    """

    against: str
    is_runtime: bool
    states: float
    outputs: float | None
    steps: int


class Study(NamedTuple):
    """A network at work.

    Attributes:
        run: its trajectory.
        output: the scalar that is watched, of a state.
        watched: what that is.
        input: what the network reads, in a sentence.
        agreement: of the states.
        answers: what the network said, by name, as numbers or short texts: that it works as it should.
        held: an input that is held for the search of fixed points, or ``None`` for no search.
        held_name: what that is.
        said: the output of a state as a user sees it (a probability), of fixed points.
        starts: how many starts the search has.
        more: further results that the figure or the table shows.
    """

    run: rd.Trajectory
    output: Callable[[Any], Any]
    watched: str
    input: str
    agreement: Agreement
    answers: dict[str, Any]
    held: Any = None
    held_name: str = ""
    said: Callable[[Any], float] | None = None
    starts: int = 16
    more: dict[str, Any] | None = None


def rounded(values: Any, digits: int = 5) -> Any:
    """Numbers as JSON has them, with so many significant digits; ``None`` for what is not finite."""
    if isinstance(values, dict):
        return {key: rounded(value, digits) for key, value in values.items()}
    if isinstance(values, str | bool | int | None):
        return values
    if isinstance(values, list | tuple | np.ndarray | jax.Array) and np.ndim(values):
        return [rounded(value, digits) for value in list(values)]
    value = float(values)
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None


def output_logs(run: rd.Trajectory, output: Callable[[Any], Any], *, ends: int = ENDS) -> np.ndarray:
    """ln‖∂y_T/∂x_{T−m}‖ for m = 0 … of the output at several T, shape (ends, window + 1).

    T is spread evenly over the second half of the run, and the window is half of it.
    """
    window = run.steps // 2
    last = np.unique(np.linspace(window, run.steps, ends).astype(int))
    at = last[:, None] + np.arange(-window, 1)

    def one(states: jax.Array, inputs: jax.Array) -> jax.Array:
        part = dataclasses.replace(run, states=states, inputs=inputs)
        return rd.pullback(part, jax.grad(output)(states[-1])).norm().log()[::-1]

    states, inputs = run.states[at], jax.tree.map(lambda each: each[at[:, :-1]], run.inputs)
    return np.asarray(jax.jit(jax.vmap(one))(states, inputs))


def reach(logs: np.ndarray, share: float) -> int:
    """The largest lag at which a curve by lag is at least a share of its greatest value."""
    return int(np.flatnonzero(logs >= logs.max() + math.log(share))[-1])


def lags_shown(longest: int) -> np.ndarray:
    """Lags from 0 on at which a curve is stored; thinned by logarithm."""
    lags = np.unique(np.round(np.geomspace(1, longest, POINTS)).astype(int)) if longest else np.array([0])
    return np.concatenate([[0], lags]) if lags[0] else lags


def _curve(logs: np.ndarray) -> dict[str, Any]:
    """A curve by lag at some lags, in decades."""
    lags = lags_shown(len(logs) - 1)
    return {"lag": lags.tolist(), "decades": rounded(logs[lags] / math.log(10), 4)}


def fixed_points(study: Study) -> dict[str, Any]:
    """The fixed points at the held input that searches from states of the run find, the most stable first."""
    starts = rd.dynamics.starts_from(study.run, study.starts, key=jax.random.key(0))
    later, speed = _settled(study.run.cell, starts[:8], study.held)
    starts = jnp.concatenate([starts, later])
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = rd.fixed_points(study.run.cell, starts, u=study.held)
    rows = []
    is_sure = (np.asarray(found.period) == 1) & (np.asarray(found.status) == rd.Status.CONVERGED)
    is_sure &= ~np.asarray(found.marginal)
    for place in np.flatnonzero(is_sure):
        row = {
            "stable": bool(found.stable[place]),
            "radius": rounded(abs(found.multipliers[place][0]), 8),
            "unstable": int(found.unstable[place]),
        }
        if study.said is not None:
            row["output"] = rounded(study.said(found.points[place]))
        rows.append(row)
    return {
        "held": study.held_name,
        "starts": len(starts),
        "points": sorted(rows, key=lambda row: (row["unstable"], row["radius"])),
        "marginal": int((~is_sure & (np.asarray(found.period) == 1)).sum()),
        "settling": {"steps": SETTLING, "speed": rounded(speed), "largest": rounded(jnp.abs(later).max())},
        "warning": "; ".join(str(each.message) for each in told) or None,
    }


def _settled(cell: Any, starts: Any, held: Any) -> tuple[Any, Any]:
    """Where some starts are after many steps at the held input, and the greatest ‖F(x) − x‖ there."""
    u = jnp.asarray(held)

    @jax.jit
    def last(states: Any) -> tuple[Any, Any]:
        step = jax.vmap(lambda x: cell(x, u))
        ends = jax.lax.fori_loop(0, SETTLING, lambda _, x: step(x), states)
        return ends, jnp.linalg.norm(step(ends) - ends, axis=1).max()

    return last(starts)


def head_of(about: About, study: Any, dtype: Any) -> dict[str, Any]:
    """What each JSON begins with: the network, the day, what it was made with, and what it read."""
    return {
        **{key: value for key, value in dataclasses.asdict(about).items() if key != "note"},
        "note": about.note,
        "date": datetime.date.today().isoformat(),
        "made_with": {name: metadata.version(name) for name in ("jax", "numpy")}
        | {"rnn_dynamics": rd.__version__, "dtype": str(dtype)},
        "input": study.input,
    }


def measured(about: About, study: Study) -> tuple[dict[str, Any], Any]:
    """The JSON of a network, and the verdict to be printed."""
    verdict = rd.diagnose(study.run, study.output, dt=about.step if about.unit == "s" else None)
    logs = verdict.log_norms[::-1]
    of_output = output_logs(study.run, study.output)
    window = of_output.shape[1] - 1
    horizons = {
        name: {
            "state": verdict.state_horizon if name == "1/e" else verdict.state_percent,
            "output": float(np.median([reach(row, share) for row in of_output])),
        }
        for name, share in SHARES.items()
    }
    found: dict[str, Any] = {
        **head_of(about, study, study.run.states.dtype),
        "steps": study.run.steps,
        "state_size": int(np.prod(study.run.states.shape[1:])),
        "watched": study.watched,
        "answers": rounded(study.answers),
        "agreement": rounded(study.agreement._asdict(), 2),
        "exponent": rounded(verdict.exponent),
        "exponent_error": rounded(verdict.standard_error),
        "regime": verdict.regime,
        "sentence": verdict.sentence,
        "norms": verdict.norms,
        "peak": rounded(verdict.peak / math.log(10), 4),
        "peak_lag": verdict.peak_lag,
        "horizons": horizons,
        "output_window": window,
        "output_ends": len(of_output),
        "remedies": [remedy.name for remedy in verdict.remedies],
        "curves": {"state": _curve(logs), "output": _curve(np.median(of_output, axis=0))},
        "fixed_points": fixed_points(study) if study.held is not None else None,
        "more": study.more or {},
    }
    return found, verdict


def write(folder: Path, found: dict[str, Any]) -> Path:
    """Write the JSON, one key a line."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in found.items()]
    path = folder / f"{found['name']}.json"
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    return path


def largest(a: Any, b: Any) -> float:
    """The largest difference of two arrays of one shape."""
    first, second = np.asarray(a, float), np.asarray(b, float)
    if first.shape != second.shape:
        raise ValueError(f"expected arrays of one shape, got {first.shape} and {second.shape}")
    return float(np.abs(first - second).max())


def sigmoid(x: Any) -> Any:
    """1/(1 + e^−x) of NumPy's arrays, without overflow."""
    return 0.5 + 0.5 * np.tanh(0.5 * np.asarray(x, float))


def said_of(found: dict[str, Any]) -> list[str]:
    """The lines before a verdict: the network, what it read, how far its states agree, what it said."""
    agreement = found["agreement"]
    return [
        f"{found['title']}: {found['architecture']}, {found['package']} {found['version']} ({found['licence']})",
        f"  reads {found['input']}: {found['steps']} steps",
        f"  states agree to {agreement['states']:.1e} with {agreement['against']}",
        "  says " + ", ".join(f"{key}: {value}" for key, value in found["answers"].items()),
    ]


def report(found: dict[str, Any], verdict: Any) -> str:
    """What a program prints: the verdict, and what stands beside it in the JSON."""
    unit, scale = found["unit"], found["step"]
    name = "s" if unit == "s" else f"{unit}s"
    lines = [*said_of(found), str(verdict)]
    for of, what in (("state", "‖∂x_T/∂x_k‖"), ("output", f"the gradient of {found['watched']}")):
        near, far = (found["horizons"][share][of] * scale for share in SHARES)
        lines.append(f"  {what}: 1/e at {near:.4g} {name}, 1 % at {far:.4g} {name}")
    held = found["fixed_points"] or {"points": (), "warning": None}
    for row in held["points"]:
        kind = "stable" if row["stable"] else f"unstable in {row['unstable']} directions"
        said = f", output {row['output']:.4g}" if "output" in row else ""
        lines.append(f"  fixed point at {held['held']}: {kind}, radius {row['radius']:.6g}{said}")
    if held.get("marginal"):
        lines.append(
            f"  {held['marginal']} further points of which it cannot be told: a multiplier next to 1"
        )
    if held["warning"]:
        settling = held["settling"]
        lines.append(f"  {held['warning']}")
        lines.append(
            f"  after {settling['steps']} steps at {held['held']} the state moves by up to "
            f"{settling['speed']:.2g} a step; "
            f"its largest entry is {settling['largest']:.3g}"
        )
    return "\n".join(lines)


def module_of(path: Path, name: str) -> types.ModuleType:
    """One module of a package, loaded from its file without the rest of the package."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path}: expected a module of Python")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def functions_of(path: Path, names: tuple[str, ...], **space: Any) -> list[Callable[..., Any]]:
    """Some functions of a module in a file, where the module as a whole needs the rest of its package.

    ``space`` holds what they take from elsewhere.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in names]
    annotations = ast.parse("from __future__ import annotations").body
    exec(compile(ast.Module([*annotations, *tree.body], []), str(path), "exec"), space)
    return [space[name] for name in names]


def methods_of(path: Path, cls: str, *names: str) -> type:
    """A class with some methods of a class in a file, where the file as a whole needs more than NumPy."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    (found,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == cls]
    found.body = [node for node in found.body if isinstance(node, ast.FunctionDef) and node.name in names]
    found.bases, found.decorator_list = [], []
    space: dict[str, Any] = {"np": np}
    exec(compile(ast.Module([found], []), str(path), "exec"), space)
    return space[cls]


def times(x: Any, W: Any) -> Any:
    """x W in full precision."""
    return jnp.matmul(x, W, precision=jax.lax.Precision.HIGHEST)


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file of weights by name, in float64; nothing in it is run."""
    return {name: np.asarray(stored.read(), float) for name, stored in contents_of(path).arrays.items()}


def double(cell: Any) -> Any:
    """A cell with its weights in float64."""
    return jax.tree.map(
        lambda each: jnp.asarray(each, jnp.float64) if jnp.issubdtype(each.dtype, jnp.floating) else each,
        cell,
    )


def lstm_states(arrays: tuple, inputs: np.ndarray, gate: Callable[[Any], Any] = sigmoid) -> np.ndarray:
    """The states [h, c] of an LSTM in NumPy: W_in, W and b in the order i, f, g, o; x⁺ = … of the textbook."""
    w_in, w, b = (np.asarray(each, float) for each in arrays)
    h, c, states = np.zeros(w.shape[1]), np.zeros(w.shape[1]), []
    for u in inputs:
        i, f, g, o = np.split(w_in @ u + w @ h + b, 4)
        c = gate(f) * c + gate(i) * np.tanh(g)
        h = gate(o) * np.tanh(c)
        states.append(np.concatenate([h, c]))
    return np.array(states)
