"""What the code may import: downward only, no drawing below the plots, and nothing that changes settings."""

import ast
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "rnn_dynamics"

# A module imports only from the rows above its own, and within a row from those to its left.
LAYERS = (
    (
        "status",
        "packages",
        "heartbeat",
        "elementwise",
        "lengths",
        "given",
        "validation",
        "activations",
        "storage",
        "results",
        "scaled",
        "error_ellipsoids",
        "double_double",
        "roots",
        "eigen",
        "nonnormal",
    ),
    ("cells", "sequences", "phases", "rollout", "chunks", "sweep"),
    (
        "segments",
        "parameters",
        "jacobians",
        "iterates",
        "planes",
        "orbit_diagrams",
        "product_svd",
        "spectra",
        "leading_block",
        "spectral_norms",
        "neighbours",
        "sensitivities",
        "lyapunov",
        "scaling",
        "joint_radius",
        "step_bounds",
        "weight_bounds",
        "bounds",
        "mean_field",
        "credit",
    ),
    ("equilibria", "manifolds", "arclength", "bifurcations", "continuation", "basins"),
    ("doya", "cliff", "spectral", "diagnose", "training"),
    ("interop", "plots"),
    ("figures", "explore", "cli"),
)
ORDER = {name: (row, column) for row, names in enumerate(LAYERS) for column, name in enumerate(names)}
FIRST_ROW_THAT_DRAWS = 5
AT_IMPORT_BELOW_PLOTS = {"jax", "jaxlib", "jaxtyping", "numpy"}
ALSO_AT_IMPORT = {"training": {"optax"}}
DRAWS = {"plots", "figures", "explore", "cli"}
NAMED_AS_THEIR_FUNCTION = {
    "basins",
    "diagnose",
    "mean_field",
    "rollout",
    "sensitivities",
    "spectral_norms",
    "step_bounds",
    "sweep",
}
PRODUCTS = {"einsum", "matmul", "dot", "vdot", "inner", "tensordot", "dot_general", "convolve"}

FILES = sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


def _module(path: Path) -> str:
    """The top-level module of the library that a file belongs to."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def _dotted(path: Path) -> str:
    parts = ("rnn_dynamics", *path.relative_to(SOURCE).with_suffix("").parts)
    return ".".join(part for part in parts if part != "__init__")


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _walk(node: ast.AST, function: str = "", typing: bool = False) -> list[tuple[ast.AST, str, bool]]:
    """Every node below, with the innermost function around it and whether only type checkers see it."""
    found = []
    for child in ast.iter_child_nodes(node):
        inside = function
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            inside = getattr(child, "name", "lambda")
        found.append((child, inside, typing))
        found += _walk(child, inside, typing or _is_type_checking(child))
    return found


def _imports(path: Path) -> list[tuple[str, str, bool]]:
    """(imported module, function around the import or '', seen by type checkers only) of one file."""
    found = []
    for node, function, typing in _walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(alias.name, function, typing) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} line {node.lineno}: write absolute imports"
            base = node.module or ""
            if base in ("rnn_dynamics", "rnn_dynamics.plots", "rnn_dynamics.cells", "rnn_dynamics.doya"):
                names = [alias.name for alias in node.names]
                found += [(f"{base}.{name}", function, typing) for name in names]
            else:
                found.append((base, function, typing))
    return found


def test_every_module_has_its_place_in_the_table() -> None:
    known = set(ORDER) | {"_version", "__main__"}
    assert {_module(path) for path in FILES} <= known


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_run_downward(path: Path) -> None:
    own = _module(path)
    for name, function, typing in _imports(path):
        parts = name.split(".")
        if parts[0] != "rnn_dynamics" or len(parts) == 1 or own == "__main__":
            continue
        target = parts[1]
        if target == "_version" or target.startswith("__") or target == own:
            continue
        assert target in ORDER, f"{own} imports {name}, which has no place in the table"
        door = target == "plots" and ("plot" in function or typing)
        assert door or ORDER[target] < ORDER[own], (
            f"{own} imports {target}, which is not above it in the table"
        )


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_third_party_imports(path: Path) -> None:
    own = _module(path)
    for name, function, typing in _imports(path):
        top = name.split(".")[0]
        if typing or top == "rnn_dynamics" or top in sys.stdlib_module_names:
            continue
        if top in ("matplotlib", "mpl_toolkits"):
            assert own in DRAWS, f"{own} imports {name}: only {', '.join(sorted(DRAWS))} may"
        if own in ORDER and ORDER[own][0] < FIRST_ROW_THAT_DRAWS and not function:
            allowed = AT_IMPORT_BELOW_PLOTS | ALSO_AT_IMPORT.get(own, set())
            assert top in allowed, f"{own} imports {name} at import time"


def test_no_cycles_between_files() -> None:
    known = {_dotted(path) for path in FILES}
    edges: dict[str, set[str]] = {}
    for path in FILES:
        targets = set()
        for name, function, typing in _imports(path):
            if not function and not typing:
                targets.add(name if name in known else name.rpartition(".")[0])
        edges[_dotted(path)] = (targets & known) - {_dotted(path)}
    package_files = {_dotted(path) for path in FILES if path.name == "__init__.py"}
    while edges:
        # A package's __init__ gathers its own files, which name their siblings through it: no real cycle.
        free = [name for name, targets in edges.items() if not (targets & edges.keys()) - package_files]
        assert free, f"import cycle among {sorted(edges)}"
        for name in free:
            del edges[name]


def test_nothing_imports_a_function_named_as_its_module_from_the_package() -> None:
    for path in FILES:
        for name, _, _ in _imports(path):
            function = name.removeprefix("rnn_dynamics.")
            is_plain = f"import {name}" not in path.read_text(encoding="utf-8")
            if function in NAMED_AS_THEIR_FUNCTION:
                assert f"from {name} import" in path.read_text(encoding="utf-8"), (
                    f"{path.name}: ambiguous {name}"
                )
                assert is_plain, f"{path.name}: ambiguous import of {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_size_and_silence(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 400
    if _module(path) != "cli":
        calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
        assert not any(ast.unparse(call.func) == "print" for call in calls)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_hazard_10_every_product_in_the_source_asks_for_precision(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            pytest.fail(
                f"line {node.lineno}: `@` asks for the default precision; use jnp.matmul(precision=…)"
            )
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in PRODUCTS:
            on_host = ast.unparse(node.func.value).split(".")[0] in ("np", "numpy", "scaled")
            asks = any(keyword.arg == "precision" for keyword in node.keywords)
            assert on_host or asks, f"line {node.lineno}: {ast.unparse(node.func)} without precision"


def _run(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_loads_no_heavy_package() -> None:
    heavy = ("matplotlib", "optax", "tqdm", "xarray", "diffrax", "optimistix", "equinox", "scipy.stats")
    assert _run(f"import sys, rnn_dynamics; print([m for m in {heavy} if m in sys.modules])") == "[]"


def test_importing_every_module_changes_no_setting_and_touches_no_device() -> None:
    names = sorted({_dotted(path) for path in FILES if "__main__" not in path.name})
    third = {name for path in FILES for name, _, _ in _imports(path) if not name.startswith("rnn_dynamics")}
    _run(f"""
        import importlib, warnings, os
        os.environ["MPLBACKEND"] = "Agg"
        import jax, matplotlib
        for name in {sorted(third)}:
            try:
                importlib.import_module(name)
            except ImportError:
                pass
        from jax._src import xla_bridge

        def settings():
            return jax.config.values.copy(), warnings.filters[:], dict(matplotlib.rcParams), dict(os.environ)

        before = settings()
        import rnn_dynamics
        for name in {names}:
            importlib.import_module(name)
        for what, old, new in zip(("JAX", "warnings", "rcParams", "environment"), before, settings()):
            assert old == new, what
        assert not xla_bridge.backends_are_initialized(), "a device was touched"
    """)


def test_names_of_the_package_are_there_whatever_was_imported_first() -> None:
    _run("""
        import types
        import rnn_dynamics.cells.rollout, rnn_dynamics.numerics.sweep, rnn_dynamics.gradients.sensitivities
        from rnn_dynamics.cells.rollout import Trajectory
        import rnn_dynamics as rd
        for name in rd.__all__:
            getattr(rd, name)
        for name in ("rollout", "sweep", "sensitivities"):
            assert isinstance(getattr(rd, name), types.FunctionType) or callable(getattr(rd, name)), name
            assert not isinstance(getattr(rd, name), types.ModuleType), name
        assert rd.Trajectory is Trajectory
        assert set(rd._MODULE_OF_NAME) <= set(rd.__all__) and set(dir(rd)) == set(rd.__all__)
        try:
            rd.no_such_name
        except AttributeError as error:
            assert "no_such_name" in str(error)
        else:
            raise AssertionError
    """)


def test_type_checkers_see_the_names_that_are_loaded_lazily() -> None:
    import rnn_dynamics

    seen = set()
    tree = ast.parse((SOURCE / "__init__.py").read_text(encoding="utf-8"))
    for node, _, typing in _walk(tree):
        if typing and isinstance(node, ast.ImportFrom):
            seen |= {alias.name for alias in node.names}
            if node.module != "rnn_dynamics":
                module = (node.module or "").removeprefix("rnn_dynamics.")
                expected = {alias.name for alias in node.names}
                assert expected == set(rnn_dynamics._NAMES_OF_MODULE[module])
    assert seen | {"__version__"} == set(rnn_dynamics.__all__)
