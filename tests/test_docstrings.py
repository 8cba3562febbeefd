"""Every public name is explained: what it takes, argument by argument, gives and raises, and its source."""

import dataclasses
import inspect
import re
import types
from collections.abc import Iterator

import pytest

import rnn_dynamics as rd

# Rooms whose functions compute what somebody has published.
OF_A_SOURCE = {"gradients", "dynamics", "spectral", "doya", "cliff", "diagnosis"}
# A count of labels has no source.
WITHOUT_A_SOURCE = {"doya.undecided_share"}
# They take nothing, or nothing that is refused.
RAISE_NOTHING = {"doya.cusp", "doya.undecided_share"}
SECTIONS = ("Args", "Returns", "Raises")


def _public() -> Iterator[tuple[str, object]]:
    """Each public function and class once, under the name that a user writes after ``rnn_dynamics``."""
    seen = set()
    for name in rd.__all__:
        found = getattr(rd, name)
        inside = (
            [(f"{name}.{inner}", getattr(found, inner)) for inner in getattr(found, "__all__", ())]
            if isinstance(found, types.ModuleType)
            else [(name, found)]
        )
        for path, one in inside:
            if (inspect.isfunction(one) or inspect.isclass(one)) and id(one) not in seen:
                seen.add(id(one))
                yield path, one


PUBLIC = dict(_public())
FUNCTIONS = {name: one for name, one in PUBLIC.items() if inspect.isfunction(one)}


def _sections(text: str) -> dict[str, str]:
    """The text of each section, without its title."""
    found = re.split(rf"^({'|'.join((*SECTIONS, 'Warns'))}):$", text, flags=re.MULTILINE)
    bodies = (re.split(r"^\S", body, maxsplit=1, flags=re.MULTILINE)[0] for body in found[2::2])
    return dict(zip(found[1::2], bodies, strict=True))


def _faults(name: str, function: object) -> list[str]:
    text = inspect.getdoc(function) or ""
    room = function.__module__.split(".")[1]
    parameters = inspect.signature(function).parameters
    sections, faults = _sections(text), []
    is_picture = room == "plots"
    gives = inspect.signature(function).return_annotation not in (None, "None")
    wanted = {
        "Args": bool(parameters),
        "Returns": gives,
        "Raises": not is_picture and name not in RAISE_NOTHING,
    }
    faults += [f"no {title}" for title, is_wanted in wanted.items() if is_wanted and title not in sections]
    heads = re.findall(r"^ {4}(\S.*?):(?:\s|$)", sections.get("Args", ""), flags=re.MULTILINE)
    named = set(re.findall(r"\w+", " ".join(heads)))
    faults += [f"{one} is not in Args" for one in parameters if one not in named]
    has_source = re.search(r"^(?:References?|Sources?):", text, flags=re.MULTILINE)
    if room in OF_A_SOURCE and name not in WITHOUT_A_SOURCE and not has_source:
        faults.append("no Reference")
    return faults


def test_every_public_function_tells_its_arguments_results_errors_and_source() -> None:
    faults = {name: found for name, one in FUNCTIONS.items() if (found := _faults(name, one))}
    assert not faults, "\n".join(f"{name}: {'; '.join(found)}" for name, found in faults.items())


def test_every_public_class_is_explained_field_by_field() -> None:
    faults = {}
    for name, one in PUBLIC.items():
        if not inspect.isclass(one):
            continue
        text = inspect.getdoc(one) or ""
        shown = dataclasses.fields(one) if dataclasses.is_dataclass(one) else ()
        fields = [field.name for field in shown if field.repr]
        fields = getattr(one, "_fields", fields)
        explained = " ".join(base.__doc__ or "" for base in one.__mro__)
        missing = [field for field in fields if not re.search(rf"\b{field}\b", explained)]
        if missing or len(text.split()) < 4 or text.startswith(f"{one.__name__}("):
            faults[name] = missing or text
    assert not faults


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("One.\n\nArgs:\n    a: x.\n    b, c: y.\n\nReturns:\n    z.\n\nRaises:\n    ValueError: w.", None),
        (
            "One.\n\nArgs:\n    a: b and c.\n\nReturns:\n    z.\n\nRaises:\n    ValueError: w.",
            "b is not in Args",
        ),
        ("One.\n\nArgs:\n    a, b: x.\n    c: y.\n\nRaises:\n    ValueError: w.", "no Returns"),
    ],
)
def test_the_check_sees_what_is_missing(text: str, fault: str | None) -> None:
    def function(a: int, b: int, c: int) -> int:
        return a + b + c

    function.__doc__, function.__module__ = text, "rnn_dynamics.cells.any"
    found = _faults("function", function)
    assert (fault in found) if fault else not found
