"""Packages that a few functions need and the library itself does not: whether they are there, how to get them."""

import importlib.util

#: The extra of this distribution that installs each package.
EXTRA_OF: dict[str, str] = {
    "xarray": "data",
    "netCDF4": "data",
    "zarr": "data",
    "numcodecs": "data",
    "google_crc32c": "data",
    "distributed": "distributed",
    "diffrax": "ode",
    "onnx": "interop",
    "h5py": "interop",
    "anywidget": "notebook",
    "ipython": "notebook",
    "ipywidgets": "notebook",
    "traitlets": "notebook",
}


def is_installed(package: str) -> bool:
    """Whether a package can be found; it is not imported, which may take seconds."""
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):  # a finder that refuses, or a module put there by hand
        return False


def tip(package: str) -> str:
    """How to install a package, as a shell takes it; the quotes are for zsh.

    This library is on no package index yet, so that its extras are those of a clone.
    """
    own = f"pip install {package}"
    extra = EXTRA_OF.get(package)
    return own if extra is None else f"{own} (or, in a clone of rnn_dynamics, pip install '.[{extra}]')"


def missing(what: str, package: str) -> ImportError:
    """The error of a function that needs a package which is not there."""
    return ImportError(f"{what} needs {package}: {tip(package)}", name=package)
