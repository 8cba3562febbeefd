"""Wrong input of every public function: an error that names the argument, at once and before anything compiles."""

import time
from typing import Any

import pytest

import rnn_dynamics as rd
from tests.bad_calls import CALLS, MISTAKES, given
from tests.compilations import compilations
from tests.test_docstrings import FUNCTIONS

# What is no mistake there: an argument that may be left out, a shape that fits, a value that has a meaning.
ALLOWED: dict[tuple[str, str], set[str]] = {
    # starts and states of any shape: the logistic map and the box's corners take them entry by entry
    ("basins", "starts"): {"rank"},
    ("bifurcation_curve", "x"): {"rank"},
    ("cliff.along", "x0"): {"rank"},
    ("continue_branch", "x"): {"rank"},
    ("dynamics.bifurcation_parameter", "x"): {"rank"},
    ("dynamics.continue_branches", "x"): {"rank"},
    ("dynamics.continue_branches", "q"): {"rank"},
    ("dynamics.find_attractors", "starts"): {"rank"},
    ("dynamics.finite_time_exponents", "starts"): {"rank"},
    ("dynamics.fractions_along", "starts"): {"rank"},
    ("dynamics.orbit_diagram", "x0"): {"rank"},
    ("gradients.credit_by_probes", "probes"): {"rank"},
    ("gradients.sensitivities", "x0"): {"rank"},
    # parameters go to the family as they are
    ("gradients.sensitivities", "parameters"): {"ragged"},
    # the library chooses
    ("atlases.make", "chunk"): {"none"},
    ("cells.rollout", "x0"): {"none"},
    ("cliff.along", "points"): {"none"},
    ("covariant_vectors", "exponents"): {"none"},
    ("credit_by_lag", "max_lag"): {"none"},
    ("diagnose", "dt"): {"none"},
    ("dynamics.all_fixed_points", "tolerance"): {"none"},
    ("dynamics.fixed_points", "tolerance"): {"none"},
    ("dynamics.lyapunov_spectrum", "exponents"): {"none"},
    ("gradients.jacobian_product", "stop"): {"none"},
    ("gradients.jacobian_products", "stop"): {"none"},
    ("explore.attractors", "starts"): {"none"},
    ("gradient_norms", "stop"): {"none"},
    ("gradients.credit_by_signed_lag", "ends"): {"none"},
    ("gradients.output_norms", "at"): {"none"},
    ("gradients.output_norms", "probes"): {"none"},
    ("gradients.pullback", "stop"): {"none"},
    ("gradients.readout_norms", "readout"): {"none"},
    ("gradients.singular_spectrum", "stop"): {"none"},
    ("gradients.spectral_norms", "tolerance"): {"none"},
    ("gradients.state_gradients", "x0"): {"none"},
    ("gradients.step_jacobians", "stop"): {"none"},
    ("sweep", "chunk"): {"none"},
    ("interop.audit", "framework"): {"none"},
    ("interop.audit", "tolerance"): {"none"},
    ("interop.audit", "x0"): {"none"},
    ("interop.check", "tolerance"): {"none"},
    ("interop.check", "x0"): {"none"},
    ("training.compare", "remedies"): {"none"},
    ("training.compare", "tasks"): {"none"},
    ("training.recipe", "base"): {"none"},
    # several numbers of steps
    ("cliff.profile", "steps"): {"rank"},
    # NaN where there is no equilibrium, and states past a divergence
    ("doya.multiplier", "x"): {"nan"},
    ("gradients.step_jacobian", "x"): {"nan"},
}
# They take nothing, or anything.
WITHOUT_CALLS = {"doya.cusp", "doya.undecided_share"}
SLOWEST = 0.05


def _of(name: str) -> Any:
    found: Any = rd
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _valid(name: str) -> dict[str, Any]:
    held = given()
    chosen = {
        argument: held[value] if isinstance(value, str) and value in held else value
        for argument, (_, value) in CALLS[name].items()
    }
    if name in ("cells.deep_parameters", "cells.random_rnn", "dynamics.starts_from"):
        chosen["key"] = held["key"]
    return chosen


def _fault(function: Any, arguments: dict[str, Any], argument: str) -> str | None:
    """What is wrong with how a wrong argument is answered; the better time of two, as the first one imports."""
    seconds = []
    for _ in range(2):
        with compilations() as compiled:
            begin = time.perf_counter()
            try:
                function(**arguments)
            except (TypeError, ValueError, OSError) as error:
                said = str(error)
            else:
                return "is accepted"
            seconds.append(time.perf_counter() - begin)
        if argument not in said.split(":")[0]:
            return f"is not named: {said[:120]}"
        if compiled.count:
            return f"compiles {compiled.count} programs before it is refused"
    return f"takes {min(seconds):.3f} s to be refused" if min(seconds) > SLOWEST else None


def test_every_public_function_has_its_call() -> None:
    named = {name for name in FUNCTIONS if not name.startswith(("plots.", "figures."))}
    assert named == set(CALLS) | WITHOUT_CALLS


@pytest.mark.parametrize("name", CALLS)
def test_wrong_input_is_refused_by_name_at_once(name: str) -> None:
    function, valid, faults = _of(name), _valid(name), []
    for argument, (kind, _) in CALLS[name].items():
        for mistake, value in MISTAKES[kind].items():
            if mistake in ALLOWED.get((name, argument), ()):
                continue
            fault = _fault(function, valid | {argument: value}, argument)
            faults += [f"{argument} = {mistake} {fault}"] if fault else []
    assert not faults, "\n".join(faults)
