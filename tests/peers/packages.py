"""What each framework of `make peers` needs, pinned, and how it is installed beside the library's environment."""

import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".cache" / "peers"


class Environment(NamedTuple):
    """Packages that can be imported in one process.

    Attributes:
        exact: requirements whose own requirements are installed too.
        alone: requirements that are installed without theirs, where these clash or are not needed.
    """

    exact: tuple[str, ...]
    alone: tuple[str, ...] = ()


#: By name. What the tests' own environment has is not installed again.
ENVIRONMENTS = {
    "torch": Environment(
        ("torch==2.13.0",),
        (
            "minGRU-pytorch==0.2.1",
            "einops==0.8.2",
            "snntorch==1.0.0",
            "norse==1.1.0",
            "nir==1.0.8",
            "nirtorch==2.6",
            "ncps==1.0.1",
        ),
    ),
    "keras": Environment(("keras==3.15.1",)),
    "jax": Environment(("flax==0.12.8", "dm-haiku==0.0.17", "equinox==0.13.8")),
    "mlx": Environment(("mlx[cpu]==0.32.4",)),
    "paddle": Environment(("paddlepaddle==3.3.1",)),
    "tinygrad": Environment(("tinygrad==0.14.0",)),
    "onnx": Environment(("onnx==1.23.2", "onnxruntime==1.32.0")),
    "brainpy": Environment(("brainpy==2.8.2",)),
    "reservoirpy": Environment(("reservoirpy==0.4.2",)),
}

#: Which environment each file `of_NAME.py` is run in, and the distributions whose versions the table shows.
FRAMEWORKS = {
    "torch": ("torch", ("torch",)),
    "mingru": ("torch", ("minGRU-pytorch", "torch")),
    "spiking": ("torch", ("snntorch", "norse", "torch")),
    "ncps": ("torch", ("ncps", "torch")),
    "keras": ("keras", ("keras", "jax")),
    "flax": ("jax", ("flax", "jax")),
    "equinox": ("jax", ("equinox", "jax")),
    "haiku": ("jax", ("dm-haiku", "jax")),
    "mlx": ("mlx", ("mlx",)),
    "paddle": ("paddle", ("paddlepaddle",)),
    "tinygrad": ("tinygrad", ("tinygrad",)),
    "onnx": ("onnx", ("onnxruntime", "onnx")),
    "brainpy": ("brainpy", ("brainpy", "jax")),
    "reservoirpy": ("reservoirpy", ("reservoirpy",)),
}


def python_with(name: str) -> Path:
    """The interpreter of an environment, which is made where it is missing or of other requirements.

    It sees the packages of the interpreter that runs this, so that only what these lack is installed.

    Raises:
        RuntimeError: it cannot be made; the message is the last of pip's.
    """
    wanted, home = ENVIRONMENTS[name], FOLDER / name
    parents = [path for path in sys.path if path.endswith("site-packages")]
    python = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    stamp, text = home / "installed.txt", f"{sys.version}\n{parents}\n{wanted}\n"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == text:
        return python
    venv.create(home, with_pip=True, clear=True)
    own = _said(python, "import sysconfig; print(sysconfig.get_path('purelib'))")
    (Path(own) / "beside.pth").write_text("\n".join(parents) + "\n", encoding="utf-8")
    for packages, options in ((wanted.exact, ()), (wanted.alone, ("--no-deps",))):
        if packages:
            _installed(python, [*options, *packages])
    stamp.write_text(text, encoding="utf-8")
    return python


def _said(python: Path, program: str) -> str:
    done = subprocess.run([str(python), "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _installed(python: Path, arguments: list[str]) -> None:
    quiet = ["--quiet", "--no-input", "--disable-pip-version-check"]
    done = subprocess.run(
        [str(python), "-m", "pip", "install", *quiet, *arguments],
        capture_output=True,
        text=True,
        timeout=3000,
        check=False,
    )
    if done.returncode:
        last = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip failed"]
        raise RuntimeError(last[-1])
