"""``rnn-dynamics doya``, ``cliff`` and ``spectral``: each of the three studies with parameters of one's own."""

import argparse
import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rnn_dynamics.cli.arguments import Problems, did_you_mean, lenient, numbers
from rnn_dynamics.cli.places import PICTURES, check_file, save_picture
from rnn_dynamics.cli.program import FAILED, MISUSED, complain, settings
from rnn_dynamics.numerics.heartbeat import Heartbeat

_MOST_POINTS, _MOST_STEPS, _MOST_UNITS, _MOST_SEED = 100_000, 100_000, 2048, 2**32 - 1
_LARGEST = 1e6
_MODELS = ("geometric", "pascanu")
_ENSEMBLES = ("gaussian", "orthogonal", "glorot", "sparse", "non_normal", "nilpotent", "chain")
_FORMS = ("elman", "pre_activation", "leaky")
_ACTIVATIONS = ("tanh", "logistic", "relu", "leaky_relu", "linear")


def add_to(commands: Any) -> None:
    """Add the three commands and their arguments."""
    doya = commands.add_parser("doya", help="one neuron's equilibria and bifurcations against its bias")
    _number(doya, "--w", 5.0, "weight")
    _range(doya, "--b", (-3.0, -2.0), "range of the bias")
    _number(doya, "--epsilon", 1.0, "Euler step in (0, 1]; 1 is the map x⁺ = σ(w x + b)")
    _finish(doya, "doya", _doya, _check_doya)
    cliff = commands.add_parser(
        "cliff", help="the loss and its gradient over the bias, for several run lengths"
    )
    _number(cliff, "--w", 5.0, "weight")
    _range(cliff, "--b", (-3.0, -2.0), "range of the bias")
    _integers(cliff, "--steps", (5, 10, 20, 50), "lengths T of the run")
    _choice(cliff, "--model", _MODELS, "geometric", "one-neuron model")
    _number(cliff, "--x0", None, "start [½]")
    _number(cliff, "--target", None, "where the state should end [.855, .7]")
    _number(cliff, "--epsilon", 1.0, "Euler step in (0, 1] of the geometric model")
    _finish(cliff, "cliff", _cliff, _check_cliff)
    spectral = commands.add_parser(
        "spectral", help="a random network's gradient against the lag, with every bound"
    )
    _number(spectral, "--radius", None, "spectral radius ρ(W) [.95, where --norm is not given]")
    _number(spectral, "--norm", None, "spectral norm s₁(W), in place of the radius")
    _integers(spectral, "--units", 64, "number of units")
    _integers(spectral, "--steps", 100, "steps of the run")
    _choice(spectral, "--ensemble", _ENSEMBLES, "gaussian", "weights")
    _choice(spectral, "--form", _FORMS, "elman", "form of the network")
    _choice(spectral, "--activation", _ACTIVATIONS, "tanh", "φ")
    _number(spectral, "--bias", 0.0, "standard deviation of the biases")
    _number(spectral, "--start", 0.1, "every unit's first state")
    _integers(spectral, "--seed", 0, "of weights and biases")
    _finish(spectral, "spectral", _spectral, _check_spectral, grid=False)


def _number(parser: argparse.ArgumentParser, name: str, default: float | None, about: str) -> None:
    shown = "" if default is None else f" [{default:g}]"
    parser.add_argument(name, type=lenient(float), default=default, metavar="NUMBER", help=about + shown)


def _range(parser: argparse.ArgumentParser, name: str, default: tuple[float, float], about: str) -> None:
    shown = f"{about} [{default[0]:g} {default[1]:g}]"
    parser.add_argument(
        name, type=lenient(float), nargs="+", default=list(default), metavar="NUMBER", help=shown
    )


def _integers(parser: argparse.ArgumentParser, name: str, default: int | tuple[int, ...], about: str) -> None:
    several = isinstance(default, tuple)
    shown = " ".join(map(str, default)) if isinstance(default, tuple) else str(default)
    parser.add_argument(
        name,
        type=lenient(int),
        nargs="+" if several else None,
        default=list(default) if isinstance(default, tuple) else default,
        metavar="N",
        help=f"{about} [{shown}]",
    )


def _choice(
    parser: argparse.ArgumentParser, name: str, known: Sequence[str], default: str, about: str
) -> None:
    parser.add_argument(name, default=default, metavar=f"{{{','.join(known)}}}", help=f"{about} [{default}]")


def _finish(
    parser: argparse.ArgumentParser,
    name: str,
    run: Callable[[argparse.Namespace], tuple[Any, str, Mapping[str, Any]]],
    check: Callable[[argparse.Namespace, Problems], None],
    *,
    grid: bool = True,
) -> None:
    if grid:
        _integers(parser, "--points", 501, "points of the range")
    parser.add_argument("--plot", default=f"{name}.png", metavar="FILE", help=f"the picture [{name}.png]")
    parser.add_argument("--table", default=f"{name}.csv", metavar="FILE", help=f"the numbers [{name}.csv]")

    def checked(options: argparse.Namespace, problems: Problems) -> None:
        check(options, problems)
        if grid:
            _check_numbers(problems, "--points", options.points, 2, _MOST_POINTS)
            _check_range(problems, options.b)
        check_file(problems, "--plot", options.plot, PICTURES)
        check_file(problems, "--table", options.table, (".csv",))

    parser.set_defaults(run=lambda options: _written(options, name, run), check=checked)


def _check_numbers(
    problems: Problems, name: str, value: Any, low: float, high: float, *, open_low: bool = False
) -> None:
    above = f"above {low:g}" if open_low else f"from {low:g}"
    kind = "a number" if isinstance(low, float) else "an integer"

    def fits(given: Any) -> bool:
        return math.isfinite(given) and (low < given if open_low else low <= given) and given <= high

    numbers(problems, name, value, expected=f"{kind} {above} to {high:g}", fits=fits)


def _check_range(problems: Problems, b: Any) -> None:
    _check_numbers(problems, "--b", b, -_LARGEST, _LARGEST)
    if len(b) != 2:
        problems.add(f"--b: expected two numbers, from and to, got {len(b)}")
    elif all(isinstance(value, float) for value in b) and not b[0] < b[1]:
        problems.add(f"--b: expected an ascending range, got {b[0]:g} {b[1]:g}")


def _check_choice(problems: Problems, name: str, given: str, known: Sequence[str]) -> None:
    if given not in known:
        problems.add(
            f"{name}: expected one of {', '.join(known)}, got {given[:40]!a}{did_you_mean(given, known)}"
        )


def _check_doya(options: argparse.Namespace, problems: Problems) -> None:
    _check_numbers(problems, "--w", options.w, -_LARGEST, _LARGEST)
    _check_numbers(problems, "--epsilon", options.epsilon, 0.0, 1.0, open_low=True)


def _check_cliff(options: argparse.Namespace, problems: Problems) -> None:
    _check_doya(options, problems)
    _check_numbers(problems, "--steps", options.steps, 1, _MOST_STEPS)
    for name in ("x0", "target"):
        _check_numbers(problems, f"--{name}", getattr(options, name), -_LARGEST, _LARGEST)
    _check_choice(problems, "--model", options.model, _MODELS)
    if options.model == "pascanu" and options.epsilon != 1.0:
        problems.add("--epsilon: the pascanu model is a map: expected 1")


def _check_spectral(options: argparse.Namespace, problems: Problems) -> None:
    if options.radius is not None and options.norm is not None:
        problems.add("--radius, --norm: expected one of them, got both")
    for name in ("radius", "norm"):
        _check_numbers(problems, f"--{name}", getattr(options, name), 0.0, _LARGEST, open_low=True)
    _check_numbers(problems, "--bias", options.bias, 0.0, _LARGEST)
    _check_numbers(problems, "--start", options.start, -_LARGEST, _LARGEST)
    _check_numbers(problems, "--units", options.units, 1, _MOST_UNITS)
    _check_numbers(problems, "--steps", options.steps, 1, _MOST_STEPS)
    _check_numbers(problems, "--seed", options.seed, 0, _MOST_SEED)
    _check_choice(problems, "--ensemble", options.ensemble, _ENSEMBLES)
    _check_choice(problems, "--form", options.form, _FORMS)
    _check_choice(problems, "--activation", options.activation, _ACTIVATIONS)


def _written(
    options: argparse.Namespace,
    name: str,
    run: Callable[[argparse.Namespace], tuple[Any, str, Mapping[str, Any]]],
) -> int:
    """Run a study; its text is printed, its picture and its table are written."""
    from rnn_dynamics.numerics.files import atomic_write

    try:
        with Heartbeat(f"computing {name}"), settings():
            found, text, columns = run(options)
            save_picture(found, options.plot)
            atomic_write(Path(options.table), _csv(columns))
    except OSError as error:
        return complain(str(error), FAILED)
    except (ValueError, TypeError) as error:
        return complain(str(error), MISUSED)
    print(text)
    print(f"wrote {options.plot} and {options.table}")
    return 0


def _csv(columns: Mapping[str, Any]) -> str:
    """Columns of one length, an empty cell where there is no number."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in zip(*columns.values(), strict=True):
        writer.writerow(["" if isinstance(value, float) and math.isnan(value) else value for value in row])
    return text.getvalue()


def _grid(options: argparse.Namespace) -> Any:
    import numpy as np

    low, high = options.b
    return np.linspace(low, high, options.points)


def _doya(options: argparse.Namespace) -> tuple[Any, str, Mapping[str, Any]]:
    from rnn_dynamics import doya

    b = _grid(options)
    found = doya.bifurcation_diagram(options.w, b, options.epsilon)
    columns: dict[str, Any] = {"b": b.tolist()}
    for i in range(3):  # ascending; one equilibrium stands first
        columns[f"x{i + 1}"] = found.points[:, i].tolist()
        columns[f"multiplier{i + 1}"] = found.multipliers[:, i].tolist()
    events = [
        f"  {event.kind:<8} b = {event.parameter:.12g}, x = {float(event.state):.12g}"
        for event in found.events
    ]
    text = f"w = {options.w:g}, ε = {options.epsilon:g}, b from {options.b[0]:g} to {options.b[1]:g}"
    return found, "\n".join([text, *(events or ["  no bifurcation in this range"])]), columns


def _cliff(options: argparse.Namespace) -> tuple[Any, str, Mapping[str, Any]]:
    import numpy as np

    from rnn_dynamics import cliff

    b = _grid(options)
    model = {"x0": options.x0, "target": options.target, "epsilon": options.epsilon, "model": options.model}
    found = cliff.profile(b, steps=sorted(set(options.steps)), w=options.w, **model)
    columns: dict[str, Any] = {"b": b.tolist()}
    lines = [f"w = {options.w:g}, {options.model} model, b from {options.b[0]:g} to {options.b[1]:g}"]
    for i, steps in enumerate(found.steps):
        logs = np.asarray(found.loss.db.log10(), float)[i]
        columns[f"loss_T{steps}"] = np.asarray(found.loss.value, float)[i].tolist()
        columns[f"log10_slope_T{steps}"] = np.where(np.isfinite(logs), logs, np.nan).tolist()
        top = int(np.nanargmax(np.where(np.isfinite(logs), logs, -np.inf)))
        lines.append(f"  T = {steps:<6} steepest |∂L/∂b| = 10^{logs[top]:.4g} at b = {b[top]:.8g}")
    columns["loss_limit"] = np.asarray(found.limit.even, float).tolist()
    return found, "\n".join(lines), columns


def _spectral(options: argparse.Namespace) -> tuple[Any, str, Mapping[str, Any]]:
    import jax
    import numpy as np

    from rnn_dynamics.cells import random_rnn, rollout
    from rnn_dynamics.spectral import product_bounds

    radius = 0.95 if options.radius is None and options.norm is None else options.radius
    cell = random_rnn(
        jax.random.key(options.seed),
        options.units,
        spectral_radius=radius,
        spectral_norm=options.norm,
        ensemble=options.ensemble,
        form=options.form,
        bias=options.bias,
        activation=options.activation,
    )
    found = product_bounds(rollout(cell, np.full(options.units, options.start), steps=options.steps))
    decades = {"norm": found.log_norms, **{f"{bound.name}_bound": bound.log for bound in found.entries()}}
    decades["radius_claim"] = decades.pop("radius_bound")
    lags = np.arange(found.steps + 1)
    columns = {"lag": lags.tolist()}
    for name, logs in decades.items():
        columns[f"log10_{name}"] = (np.asarray(logs, float)[::-1] / math.log(10)).tolist()
    return found, str(found), columns
