"""What the page on installing promises: the core alone, each extra, and the lines that say how to get it."""

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import textwrap
import tomllib
import venv
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from rnn_dynamics.numerics import packages

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "rnn_dynamics"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
INSTALLING = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
SAID = INSTALLING + (ROOT / "README.md").read_text(encoding="utf-8")
ACCELERATORS = {"cuda12", "cuda13", "tpu"}
#: Modules of packages whose names are others.
MODULE_OF = {"python-flint": "flint", "netcdf4": "netCDF4", "pyright": "pyright", "pytest-xdist": "xdist"}
#: Frameworks whose objects are taken as they come.
FOREIGN = {"torch", "keras", "tensorflow", "flax", "equinox"}


def _names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=~! ]", text)[0].lower() for text in requirements}


CORE = _names(PROJECT["dependencies"])


def _imported() -> dict[str, set[str]]:
    """Packages that each file of the source imports, at its top or inside functions."""
    found: dict[str, set[str]] = {}
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
                names = [each.value for each in node.args if isinstance(each, ast.Constant)]
            for name in names:
                top = str(name).partition(".")[0]
                if top and top != "rnn_dynamics" and top not in sys.stdlib_module_names:
                    found.setdefault(top.lower(), set()).add(str(path.relative_to(SOURCE)))
    return found


def test_what_the_source_imports_is_in_the_core_or_in_an_extra_that_the_error_names() -> None:
    extras = {name for extra in EXTRAS.values() for name in _names(extra)}
    for name, files in _imported().items():
        assert name in CORE | extras | FOREIGN | {"mpl_toolkits"}, (name, files)
        if name not in CORE | FOREIGN | {"mpl_toolkits"}:
            extra = packages.EXTRA_OF[name]
            assert name in _names(EXTRAS[extra])
            assert f"pip install {name}" in packages.tip(name)
            assert f"'.[{extra}]'" in packages.tip(name)


def test_every_core_package_is_imported_by_the_source() -> None:
    assert set(_imported()) | {"jaxlib"} >= CORE


def test_the_table_of_the_extras_has_every_one_and_no_other() -> None:
    table = "".join(line.split("|")[1] for line in INSTALLING.splitlines() if line.startswith("| `"))
    assert set(re.findall(r"`(\w+)`", table)) == set(EXTRAS)
    named = set(re.findall(r"\.\[([\w,]+)\]", SAID))
    assert {extra for each in named for extra in each.split(",")} <= set(EXTRAS)


def test_every_package_of_an_extra_is_used_somewhere() -> None:
    """In the source, the tests, the benchmarks, or by name in the files that run them."""
    used_as = {
        "pytest-xdist": "-n 2",
        "pytest-timeout": "timeout = ",
        "python-flint": "flint",
        "ipykernel": "jupytext",
        "jupyterlab": "notebooks/",
        "ipython": "IPython",
        "ipywidgets": "tqdm.auto",
        "netcdf4": "to_netcdf",
        "ruff": "/ruff",
        "pytest-cov": "--cov=",
        "pyright": "/pyright",
        "mkdocs-material": "name: material",
        "mkdocstrings-python": "mkdocstrings",
    }
    texts = [ROOT / "Makefile", ROOT / "pyproject.toml", ROOT / "README.md", ROOT / "mkdocs.yml"]
    for folder in ("src", "tests", "benchmarks", "notebooks", "docs"):
        texts += [path for path in (ROOT / folder).rglob("*.py") if path != Path(__file__).resolve()]
    content = "\n".join(path.read_text(encoding="utf-8") for path in texts)
    content = content.replace((ROOT / "pyproject.toml").read_text(encoding="utf-8"), "timeout = ")
    for extra in EXTRAS.keys() - ACCELERATORS:
        for name in _names(EXTRAS[extra]):
            words = used_as.get(name, name)
            assert re.search(rf"(import|\W){re.escape(words)}", content), (extra, name)


def test_no_line_installs_a_distribution_that_does_not_exist() -> None:
    places = [
        ROOT / name for name in ("README.md", "CONTRIBUTING.md", "examples/README.md", "pyproject.toml")
    ]
    for folder in ("src", "notebooks", "examples", "benchmarks"):
        places += (ROOT / folder).rglob("*.py")
    places += (ROOT / "docs").rglob("*.md")
    for path in places:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"rnn[_-]dynamics\[\w", text), path
        assert not re.search(r"(pip|uv) install ['\"]?rnn[_-]dynamics\b", text), path
        for line in re.findall(r"pip install [^\n`]*\[[^\n`]*", text):
            quoted = line.partition("#")[0]
            assert re.search(r"['\"][^'\"]*\[[^'\"]*\][^'\"]*['\"]", quoted) or "{" in quoted, (path, line)


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
@pytest.mark.parametrize("package", packages.EXTRA_OF)
def test_zsh_takes_a_tip_as_it_stands(package: str) -> None:
    line = packages.tip(package).partition(", ")[2].rstrip(")")
    done = subprocess.run(
        ["zsh", "-c", f"pip() {{ print -r -- $@ }}; {line}"], capture_output=True, check=False
    )
    assert done.returncode == 0


# --- without an extra -------------------------------------------------------------------------------------------

OPTIONAL = (
    "xarray",
    "netCDF4",
    "diffrax",
    "optimistix",
    "onnx",
    "h5py",
    "equinox",
    "torch",
    "dask",
    "ipywidgets",
    "anywidget",
    "IPython",
)
WITHOUT = f"""
import sys

class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {OPTIONAL!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Without())
"""


def _run(program: str, folder: Path, python: Path | str = sys.executable, timeout: int = 240) -> str:
    environment = {**os.environ, "MPLBACKEND": "Agg", "PYTHONIOENCODING": "utf-8"}
    environment.pop("PYTHONPATH", None)
    if str(python) == sys.executable:
        environment["PYTHONPATH"] = str(ROOT / "src")
    done = subprocess.run(
        [str(python), "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=timeout,
        cwd=folder,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def _model(folder: Path) -> None:
    """The files that the README's command reads."""
    rng = np.random.default_rng(0)
    shapes = {"weight_ih_l0": (32, 2), "weight_hh_l0": (32, 8), "bias_ih_l0": 32, "bias_hh_l0": 32}
    weights = {name: rng.uniform(-0.2, 0.2, shape).astype("float32") for name, shape in shapes.items()}
    save_file(weights, folder / "model.safetensors")
    np.savez(folder / "model.npz", **weights)
    np.save(folder / "x.npy", rng.normal(size=(60, 2)))


CORE_PROMISES = """
from rnn_dynamics import cli
for path in ("model.safetensors", "model.npz"):
    assert cli.main(["diagnose", path, "--inputs", "x.npy", "--plot", "v.png"]) == 0
"""
MISSING_SAYS_SO = """
import pytest, numpy as np, rnn_dynamics as rd
from rnn_dynamics import cli

def told(call, package, extra):
    with pytest.raises(ImportError) as caught:
        call()
    assert f"pip install {package}" in str(caught.value) and f"'.[{extra}]'" in str(caught.value)

told(lambda: rd.doya.flow(5.0, -2.5, 0.4, 1.0), "diffrax", "ode")
told(lambda: rd.explore.neuron(), "anywidget", "notebook")
told(lambda: rd.explore.cliff(), "anywidget", "notebook")
told(lambda: rd.explore.gradients(), "ipywidgets", "notebook")
assert "<canvas" in rd.explore.page() and "<canvas" in rd.explore.cliff_page()
told(lambda: rd.sweep(lambda w: w, {"w": [0.0, 1.0]}).to_xarray(), "xarray", "data")
open("model.h5", "wb").write(b"\\x89HDF\\r\\n\\x1a\\n" + bytes(600))
told(lambda: rd.interop.read_keras("model.h5"), "h5py", "interop")
assert cli.main(["compare", "--out", "table.nc"]) == 2
"""


def test_the_core_alone_reads_a_model_and_says_what_else_needs(tmp_path: Path) -> None:
    _model(tmp_path)
    out = _run(WITHOUT + CORE_PROMISES + MISSING_SAYS_SO, tmp_path)
    assert out.count("Gradients: ") == 2
    assert (tmp_path / "v.png").is_file()


def test_every_module_is_imported_without_an_extra(tmp_path: Path) -> None:
    names = [path.relative_to(SOURCE).with_suffix("") for path in SOURCE.rglob("*.py")]
    modules = sorted(".".join(("rnn_dynamics", *name.parts)).removesuffix(".__init__") for name in names)
    modules.remove("rnn_dynamics.__main__")
    _run(
        WITHOUT + f"\nimport importlib\nfor name in {modules!r}:\n    importlib.import_module(name)\n",
        tmp_path,
    )


def test_the_notebooks_import_what_the_pages_line_installs() -> None:
    (line,) = re.findall(r"pip install '\.\[([\w,]*notebook[\w,]*)\]'", INSTALLING)
    there = set(CORE).union(*(_names(EXTRAS[extra]) for extra in line.split(",")))
    for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = (
                    [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
                )
                for name in names:
                    top = name.partition(".")[0]
                    assert top in there | sys.stdlib_module_names | {"rnn_dynamics"}, (path.name, name)


# --- each extra, installed ----------------------------------------------------------------------------------------

XARRAY = """
import numpy as np, rnn_dynamics as rd
found = rd.sweep(lambda w: w**2, {"w": np.linspace(0, 1, 5)}).to_xarray()
found.to_netcdf("grid.nc")
import xarray
assert np.allclose(xarray.open_dataset("grid.nc")["value"], np.linspace(0, 1, 5) ** 2)
from rnn_dynamics import cli
sizes = ["--seeds", "1", "--updates", "10", "--units", "4", "--lengths", "10", "--remedies", "plain"]
assert cli.main(["compare", *sizes, "--out", "table.nc"]) == 0
assert "remedy" in xarray.open_dataset("table.nc").coords
"""
STORE = """
import numpy as np, xarray
import rnn_dynamics as rd
rd.sweep(lambda w: w * w, {"w": np.linspace(0, 1, 5)}, store="grid.zarr", chunk=2)
data = xarray.open_zarr("grid.zarr")
assert bool(data.computed.all()) and np.allclose(data["value"], np.linspace(0, 1, 5) ** 2)
"""
DASK = """
import numpy as np
from distributed import Client
import rnn_dynamics as rd
if __name__ == "__main__":
    with Client(n_workers=1, threads_per_worker=1, dashboard_address=None) as client:
        rd.sweep(lambda w: w * w, {"w": np.linspace(0, 1, 5)}, store="grid.zarr", chunk=2, executor=client)
"""
FLOW = """
import jax; jax.config.update("jax_enable_x64", True)
import rnn_dynamics as rd
limit = rd.doya.flow(5.0, -2.4, 0.4, 3.0)
near = rd.doya.sensitivities(5.0, -2.4, 0.4, 3000, epsilon=1e-3)
assert abs(float(limit.state - near.state)) < 1e-2
"""
ONNX = """
import numpy as np, onnx, rnn_dynamics as rd
from onnx import TensorProto, helper, numpy_helper
W, R = (np.random.default_rng(0).normal(size=(1, 12, n)).astype("float32") for n in (2, 3))
node = helper.make_node("LSTM", ["x", "W", "R"], ["y"], hidden_size=3)
x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [5, 1, 2])
y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
weights = [numpy_helper.from_array(W, "W"), numpy_helper.from_array(R, "R")]
onnx.save(helper.make_model(helper.make_graph([node], "g", [x], [y], weights)), "model.onnx")
assert isinstance(rd.interop.from_onnx("model.onnx"), rd.LSTM)
"""
NOTEBOOK = f"""
import os, nbformat
from nbclient import NotebookClient
os.environ.pop("MPLBACKEND", None)
os.chdir({str(ROOT / "notebooks")!r})
book = nbformat.read("08_your_own_network.ipynb", as_version=4)
NotebookClient(book, timeout=900, kernel_name="python3").execute()
assert any("image/png" in out.get("data", {{}}) for cell in book.cells for out in cell.get("outputs", []))
import jupyterlab, tqdm.auto, tqdm.notebook
assert tqdm.notebook.IProgress is not None
"""
BENCH = f"""
import os, sys
os.chdir({str(ROOT)!r})
sys.path.insert(0, ".")
from benchmarks import neuron_grid
assert neuron_grid.numba_loop(4, 3, "float64")["numba"]() is None or True
"""
SITE = f"""
import os, subprocess, sys
environment = os.environ | {{"NO_MKDOCS_2_WARNING": "1"}}
command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir"]
subprocess.run([*command, os.path.abspath("site")], cwd={str(ROOT)!r}, env=environment, check=True)
assert os.path.isfile("site/index.html")
"""
IMPORTS = "import importlib.util as u\nassert all(u.find_spec(name) for name in {names!r})\n"
#: What each extra promises, run where nothing but it is installed.
PROMISES = {
    "": [CORE_PROMISES, "import jax\nfrom rnn_dynamics import cli\nassert cli.main(['info']) == 0"],
    "data": [XARRAY, STORE],
    "data,distributed": [DASK],
    "ode": [FLOW],
    "interop": [ONNX],
    "data,ode,notebook": [CORE_PROMISES, XARRAY, FLOW, NOTEBOOK],
    "notebook": [NOTEBOOK],
    "bench": [BENCH],
    "docs": [SITE],
    "browser": [IMPORTS.format(names=sorted(_names(EXTRAS["browser"])))],
    "lint": [IMPORTS.format(names=["pyright"])],
    "peers": [IMPORTS.format(names=sorted(_names(EXTRAS["peers"])))],
    "dev": [
        IMPORTS.format(names=sorted(MODULE_OF.get(n, n.replace("-", "_")) for n in _names(EXTRAS["dev"])))
    ],
}


def test_each_extra_has_its_promise() -> None:
    assert {extra for each in PROMISES if each for extra in each.split(",")} | ACCELERATORS == set(EXTRAS)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("extra", PROMISES, ids=lambda extra: extra or "core")
def test_an_extra_installed_alone_keeps_its_promise(tmp_path: Path, extra: str) -> None:
    """From a copy of what git has, as a clone is, into an environment with nothing else."""
    clone, home = tmp_path / "clone", tmp_path / "venv"
    clone.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, clone)
    shutil.copytree(ROOT / "src", clone / "src", ignore=shutil.ignore_patterns("__pycache__"))
    venv.create(home, with_pip=importlib.util.find_spec("ensurepip") is not None)
    python = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    asked = f".[{extra}]" if extra else "."
    install = [
        str(python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
        asked,
    ]
    done = subprocess.run(install, cwd=clone, capture_output=True, text=True, timeout=3000, check=False)
    if done.returncode and "Temporary failure in name resolution" in done.stderr:
        pytest.skip("no network to install from")
    assert done.returncode == 0, done.stderr[-4000:]
    _model(tmp_path)
    for program in PROMISES[extra]:
        _run(program, tmp_path, python, timeout=1800)
