"""A page for each room: its public names, each with its signature and docstring."""

import importlib
import inspect
import types
from collections.abc import Iterator

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import rnn_dynamics as rd

ROOMS = [name for name in rd.__all__ if isinstance(getattr(rd, name), types.ModuleType)]
#: Programs that are defined elsewhere than in a file of the library have no docstring to show.
OWN = "rnn_dynamics."


def _home(one: object) -> str:
    """The dotted path at which a public object is defined, or "" where it has none of its own."""
    is_named = inspect.isfunction(one) or inspect.isclass(one) or hasattr(one, "__wrapped__")
    module, name = getattr(one, "__module__", "") or "", getattr(one, "__qualname__", "")
    return f"{module}.{name}" if is_named and module.startswith(OWN) and name else ""


def _members(room: str) -> Iterator[tuple[str, object]]:
    """Each public object of a room once, under the name that a user writes."""
    module, seen = importlib.import_module(f"rnn_dynamics.{room}"), set()
    top = {
        name: one
        for name in rd.__all__
        if _home(one := getattr(rd, name)).startswith(f"{OWN}{room}.")
        and not isinstance(one, types.ModuleType)
    }
    inside = {f"{room}.{name}": getattr(module, name) for name in getattr(module, "__all__", ())}
    for name, one in [*inside.items()]:
        if isinstance(one, types.ModuleType):
            del inside[name]
            inside |= {f"{name}.{inner}": getattr(one, inner) for inner in getattr(one, "__all__", ())}
    for name, one in sorted((top | inside).items(), key=lambda pair: pair[0].rpartition(".")[2].lower()):
        if id(one) not in seen:
            seen.add(id(one))
            last = name.rpartition(".")[2]
            is_at_top = last in rd.__all__ and getattr(rd, last) is one
            yield (last if is_at_top else name), one


def _constant(name: str, one: object) -> str:
    keys = ", ".join(f"`{key}`" for key in one) if isinstance(one, dict) else f"`{one!r}`"
    return f"## rd.{name}\n\n{keys}\n"


def _entry(room: str, name: str, one: object) -> str:
    home = _home(one)
    if not home:
        return _constant(name, one)
    other = home.split(".")[1]
    if other != room:
        return f"## rd.{name}\n\nIt is [`rd.{other}.{one.__name__}`]({other}.md).\n"
    options = [f'heading: "rd.{name}"', f'toc_label: "{name}"']
    if inspect.isclass(one) and not issubclass(one, Warning):
        options += ["members: null", 'filters: ["!^_"]', "inherited_members: false", "summary: true"]
    lines = [
        f'<a id="rd.{name}"></a>',
        "",
        f"::: {home}",
        "    options:",
        *(f"      {line}" for line in options),
    ]
    return "\n".join([*lines, ""])


def page(room: str) -> str:
    """The Markdown of a room's page."""
    module = importlib.import_module(f"rnn_dynamics.{room}")
    about = (module.__doc__ or "").split("\n\n")[0].replace("``", "`")
    entries = [_entry(room, name, one) for name, one in _members(room)]
    return "\n".join([f"# rd.{room}", "", about, "", *entries])


def _index() -> str:
    rows = []
    for room in ROOMS:
        about = (getattr(rd, room).__doc__ or "").splitlines()[0].replace("``", "`").replace("|", r"\|")
        rows.append(f"| [`rd.{room}`]({room}.md) | {about} |")
    head = [
        "# Reference",
        "",
        "Import the library as `rd`: `import rnn_dynamics as rd`. The names that are used first are at the top, as",
        "`rd.fixed_points`; the others are in the rooms, as `rd.dynamics.edge_state`. Every name stands on the",
        "page of the room that holds it, under the shortest name by which it is reached.",
        "",
        "| room | what is there |",
        "|---|---|",
    ]
    return "\n".join([*head, *rows, ""])


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The reference among the site's files."""
    files.append(File.generated(config, "reference/index.md", content=_index()))
    for room in ROOMS:
        files.append(File.generated(config, f"reference/{room}.md", content=page(room)))
    return files
