"""What the code may import: from rooms below alone, in no circle, and without changing a setting."""

import ast
import re
import subprocess
import sys
import textwrap
import types

import pytest

from tests import house

PRODUCTS = {"einsum", "matmul", "dot", "vdot", "inner", "tensordot", "dot_general", "convolve"}


def test_every_file_lies_in_a_room() -> None:
    tops = {path.name for path in house.SOURCE.iterdir() if not path.name.startswith("__pycache__")}
    beside = {
        "__init__.py",
        "__init__.pyi",
        "__main__.py",
        "py.typed",
        *(f"{leaf}.py" for leaf in house.LEAVES),
    }
    assert tops == set(house.ROOMS) | beside
    assert len([name for name in tops if name.endswith(".py") or "." not in name]) <= 19


def test_rooms_import_from_rooms_below_alone() -> None:
    order = list(house.ROOMS)
    for module, targets in house.arrows().items():
        own = house.room_of(module)
        if own not in order:
            continue
        for target in targets:
            other = house.room_of(target)
            if other not in (own, *house.LEAVES, ""):
                assert order.index(other) < order.index(own), (
                    f"{module} imports {target}, which is not below it"
                )
    assert max(house.floors().values()) <= 11


def test_no_files_import_one_another_in_a_circle() -> None:
    assert house.circles() == []


def test_a_rooms_front_door_alone_says_what_is_for_others() -> None:
    """``__all__`` stands in ``__init__``; what a file keeps for itself is underscored and stays there."""
    for path in sorted(house.SOURCE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        lists = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "__all__"]
        assert not lists or path.name == "__init__.py", path
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{house.PACKAGE}."):
                private = [one.name for one in node.names if re.match(r"_(?!_)", one.name)]
                assert not private, f"{path} imports {private} from {node.module}"


def test_third_party_packages_are_imported_where_they_belong() -> None:
    for module in house.FILES:
        own = house.room_of(module)
        for one in house.imports(module):
            top = one.module.split(".")[0]
            if one.where == "type" or top == house.PACKAGE or top in sys.stdlib_module_names:
                continue
            if top in ("matplotlib", "mpl_toolkits"):
                assert own in house.DRAWS, f"{module} imports {one.module}: only {', '.join(house.DRAWS)} may"
            if own in house.ROOMS and own not in house.DRAWS and own != "interop" and one.where == "top":
                allowed = house.AT_IMPORT | house.ALSO_AT_IMPORT.get(own, set())
                assert top in allowed, f"{module} imports {one.module} at import time"


def test_files_are_short_and_silent() -> None:
    for module, path in house.FILES.items():
        assert path.read_text(encoding="utf-8").count("\n") <= 400, module
        if house.room_of(module) != "cli":
            calls = [node for node in ast.walk(house.tree(module)) if isinstance(node, ast.Call)]
            assert not any(ast.unparse(call.func) == "print" for call in calls), module


def test_hazard_10_every_product_in_the_source_asks_for_precision() -> None:
    for module in house.FILES:
        for node in ast.walk(house.tree(module)):
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
                pytest.fail(
                    f"{module} line {node.lineno}: `@` has the default precision: jnp.matmul(precision=…)"
                )
            is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            if is_call and node.func.attr in PRODUCTS:
                on_host = ast.unparse(node.func.value).split(".")[0] in ("np", "numpy", "scaled")
                asks = any(keyword.arg == "precision" for keyword in node.keywords)
                assert on_host or asks, (
                    f"{module} line {node.lineno}: {ast.unparse(node.func)} without precision"
                )


def test_contributing_shows_the_rooms() -> None:
    assert house.table() in (house.ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


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
    heavy = (
        "jax",
        "numpy",
        "matplotlib",
        "optax",
        "tqdm",
        "xarray",
        "diffrax",
        "optimistix",
        "equinox",
        "scipy.stats",
    )
    assert _run(f"import sys, rnn_dynamics; print([m for m in {heavy} if m in sys.modules])") == "[]"


def test_importing_every_module_changes_no_setting_and_touches_no_device() -> None:
    names = sorted(name for name in house.FILES if "__main__" not in name)
    third = sorted({one.module for name in house.FILES for one in house.imports(name)} - set(house.FILES))
    _run(f"""
        import importlib, warnings, os
        os.environ["MPLBACKEND"] = "Agg"
        import jax, matplotlib
        for name in {third}:
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


def test_the_shop_window_is_small_and_complete() -> None:
    import rnn_dynamics as rd

    assert dir(rd) == sorted([*rd.__all__, "__version__"])
    assert len(rd.__all__) <= 68
    for name in rd.__all__:
        assert getattr(rd, name) is not None
    assert {name for name in rd.__all__ if isinstance(getattr(rd, name), types.ModuleType)} == set(
        house.ROOMS
    ) - {"cli"}
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = rd.no_such_name


def test_old_paths_and_names_work_with_a_warning() -> None:
    _run("""
        import warnings
        warnings.simplefilter("error", DeprecationWarning)
        import rnn_dynamics as rd
        from rnn_dynamics import _moved

        def warned(call):
            try:
                call()
            except DeprecationWarning as told:
                assert "goes with the next release" in str(told), told
            else:
                raise AssertionError(call)

        import importlib
        for old in _moved.MODULES:
            warned(lambda: importlib.import_module(f"rnn_dynamics.{old}"))
        for old in _moved.NAMES:
            warned(lambda: getattr(rd, old))
        warned(lambda: rd.equilibria)

        warnings.simplefilter("ignore", DeprecationWarning)
        from rnn_dynamics.rollout import Trajectory, rollout
        from rnn_dynamics.equilibria.search import fixed_points
        import rnn_dynamics.basins, rnn_dynamics.scaled as scaled
        assert rd.rollout is rollout and rd.Trajectory is Trajectory and rd.fixed_points is fixed_points
        assert callable(rd.basins) and scaled is importlib.import_module("rnn_dynamics.numerics.scaled")
        assert scaled.__spec__.name == "rnn_dynamics.numerics.scaled"
        for old, new in _moved.MODULES.items():
            assert importlib.import_module(f"rnn_dynamics.{old}") is importlib.import_module(f"rnn_dynamics.{new}")
        for old, home in _moved.NAMES.items():
            assert getattr(rd, old) is getattr(importlib.import_module(f"rnn_dynamics.{home}"), old)
    """)


def test_every_name_that_pages_notebooks_and_examples_use_is_reached_from_a_fresh_import() -> None:
    pages = [
        house.ROOT / "README.md",
        *(house.ROOT / "docs").rglob("*.md"),
        *(house.ROOT / "notebooks").glob("*.py"),
        *(house.ROOT / "examples").glob("*.py"),
    ]
    texts = [page.read_text(encoding="utf-8") for page in pages]
    chains = sorted({chain for text in texts for chain in re.findall(r"\brd((?:\.[A-Za-z]\w*)+)", text)})
    lines = {
        line.strip()
        for text in texts
        for line in re.findall(r"^\s*from rnn_dynamics\S* import [^(\n]+$", text, re.M)
    }
    assert len(chains) > 40
    _run(f"""
        import functools, warnings
        warnings.simplefilter("error", DeprecationWarning)
        import rnn_dynamics as rd
        for chain in {chains}:
            functools.reduce(getattr, chain.strip(".").split("."), rd)
        for line in {sorted(lines)}:
            exec(line)
    """)
