"""The base of every result: ``save`` and ``load``, ``to_xarray``, the notebook's table and ``plot``."""

import importlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from rnn_dynamics._version import __version__
from rnn_dynamics.numerics import storage
from rnn_dynamics.numerics.described import fields_described, folded
from rnn_dynamics.numerics.results import datasets, page
from rnn_dynamics.numerics.results.reading import Reader
from rnn_dynamics.numerics.results.registry import class_of, fields_of
from rnn_dynamics.numerics.results.writing import Writer
from rnn_dynamics.numerics.storage import StorageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_KIND = "result"
_VERSION = 1
_Own = TypeVar("_Own", bound="Result")


class Result:
    """Base of the dataclasses (or NamedTuples) that the library's functions return.

    A class may say more about itself, each by one line:

    ``picture`` names the function of ``plots`` that draws it, ``_may_lack`` the parts that a file may do without,
    such as a foreign cell; ``_forgets`` those that no file holds and that come back as their defaults. ``_axes``
    names the dimensions in ``to_xarray`` for the letters of the annotations, ``_coordinates`` the property that
    holds those of a dimension, ``_units`` the units of fields, ``_columns`` the properties shown beside the
    fields in the notebook's list, and ``_words`` the enumeration of a field of numbers, or the method that has a
    word for each.

    What ``__repr__`` of a class says is printed in lines of at most 100 characters; a class without one says its
    fields, of arrays with more than a handful of numbers dtype and shape.
    """

    __slots__ = ()

    picture: ClassVar[str] = "result"

    _may_lack: ClassVar[tuple[str, ...]] = ("cell",)
    _forgets: ClassVar[tuple[str, ...]] = ()
    _axes: ClassVar[Mapping[str, str]] = {}
    _units: ClassVar[Mapping[str, str]] = {}
    _coordinates: ClassVar[Mapping[str, str]] = {}
    _columns: ClassVar[tuple[str, ...]] = ()
    _words: ClassVar[Mapping[str, Any]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        said = vars(cls).get("__repr__")
        if said is not None:
            cls._said = said
        # In the class itself, or its decorator would write one that prints arrays whole.
        cls.__repr__ = Result.__repr__  # type: ignore[method-assign]

    def _said(self) -> str:
        """What the class says of itself, in lines as long as they are."""
        return fields_described(type(self).__name__, [(f, getattr(self, f)) for f in fields_of(type(self))])

    def __repr__(self) -> str:
        return folded(self._said())

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the result to one ``.npz`` file, whole or not at all, with checksums and without pickle.

        Arrays keep every bit and their dtype. A cell of this library is kept with it; a foreign one (a closure, an
        Equinox module) is not: the rest is, and ``load`` takes ``cell=``.

        Args:
            path: the file, ending in ``.npz``; its folder exists. ``numpy.load`` reads the arrays too.

        Returns:
            The path.

        Raises:
            TypeError: a part has no form in a file, and the result cannot do without.
            ValueError: another ending than ``.npz``.
            OSError: the file cannot be written; an old one is left as it was.
        """
        writer = Writer()
        root = writer.record(self, "")
        about = {"version": _VERSION, "library": __version__, "root": root}
        return storage.save(path, writer.arrays, {"kind": _KIND, "result": about})

    @classmethod
    def load(cls: type[_Own], path: str | os.PathLike[str], **parts: Any) -> _Own:
        """Read a result of this class from a file of ``save``; see ``rnn_dynamics.load``.

        Args:
            path: the file.
            parts: what the file does not hold, such as ``cell=``.

        Raises:
            StorageError: a ``ValueError`` that names the path, and what is wrong with the file: foreign, cut short,
                damaged, of a later version, or another result.
            OSError: the file is missing or cannot be read.
        """
        return cls._read(path, parts, f"a {cls.__name__}")

    @classmethod
    def _read(cls: type[_Own], path: str | os.PathLike[str], parts: Mapping[str, Any], expected: str) -> _Own:
        found = _read(path, parts, expected)
        if not isinstance(found, cls):
            raise StorageError(f"{os.fspath(path)}: expected {expected}, got a {type(found).__name__}")
        return found

    def to_xarray(self) -> Any:
        """An ``xarray.Dataset``: fields with axes as variables, numbers as variables without, words as attributes.

        Dimensions are named by what they count (``time``, ``unit``, ``point``, …); parts of parts have dotted names
        (``slow.points``). Units are attributes of the variables.

        Raises:
            ImportError: xarray is not installed.
        """
        return datasets.dataset_of(self)

    def plot(self, ax: "Axes | None" = None, **options: Any) -> "Axes":
        """Draw the result by the function of ``rnn_dynamics.plots`` that its attribute ``picture`` names.

        Args:
            ax: the axes to draw on; new ones by default, where a result of several panels fills a new figure and
                draws its first panel alone on axes that it is given.
            options: of that function.

        Returns:
            The axes, of several panels the first; ``.figure`` holds them all.
        """
        # The one way up to the pictures: no room imports them, and they import every room.
        draw = getattr(importlib.import_module("rnn_dynamics.plots"), self.picture)
        return draw(self, ax, **options)

    def _tables(self) -> Iterable[page.Table]:
        """Tables of its own that the class shows in a notebook, above its fields."""
        return ()

    def _repr_html_(self) -> str:
        return page.table_of(self)


def load(path: str | os.PathLike[str], **parts: Any) -> Any:
    """Read any result from a file that its ``save`` wrote.

        points.save("points.npz")
        points = rnn_dynamics.load("points.npz")

    Arrays come back to the bit and with their dtype, on JAX's default device where they were JAX's; float64 without
    x64 stays a NumPy array, as JAX would round it. A part that the file does not hold (a foreign cell) raises where
    it is used.

    Args:
        path: the file.
        parts: parts that the file may do without, by name, such as ``cell=`` for a trajectory or for fixed points.

    Returns:
        The result, of the class it was saved from.

    Raises:
        StorageError: a ``ValueError`` that names the path and the reason: foreign, cut short, damaged, of a later
            version, or a class that this version does not have.
        TypeError: a part that the result does not have.
        OSError: the file is missing or cannot be read.
    """
    return _read(path, parts, "a result")


def _read(path: str | os.PathLike[str], parts: Mapping[str, Any], expected: str) -> Any:
    arrays, metadata = storage.load(path)
    name = os.fspath(path)
    if metadata.get("kind") != _KIND:
        return _of_first_form(name, arrays, metadata, expected)
    about = metadata.get("result")
    version = about.get("version") if isinstance(about, dict) else None
    if not isinstance(about, dict) or not isinstance(version, int) or version < 1:
        raise StorageError(f"{name}: expected {expected}, got other metadata")
    if version > _VERSION:
        raise StorageError(
            f"{name}: written by a later version of the library ({about.get('library')}, results {version}); "
            f"this one reads results up to {_VERSION}"
        )
    return _value(name, Reader(arrays, parts), about.get("root"))


def _value(name: str, reader: Reader, root: Any) -> Any:
    try:
        found = reader.value(root)
    except StorageError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        said = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise StorageError(
            f"{name}: not a result that this version of the library can read ({said})"
        ) from error
    if not isinstance(found, Result):
        raise StorageError(f"{name}: expected a result, got {type(found).__name__}")
    unused = sorted(set(reader.given) - reader.used)
    if unused:
        raise TypeError(f"{unused[0]}: a {type(found).__name__} has no such part to be given")
    return found


def _of_first_form(name: str, arrays: Mapping[str, Any], metadata: Mapping[str, Any], expected: str) -> Any:
    """Files that two classes wrote before there was one form for all."""
    classes = {"sweep": "sweep.Sweep", "comparison": "training.Comparison"}
    kind = metadata.get("kind")
    if not isinstance(kind, str) or kind not in classes:
        raise StorageError(
            f"{name}: expected {expected}, got {f'a {kind}' if isinstance(kind, str) else 'arrays'}"
        )
    return class_of(classes[kind])._of_file(name, arrays, metadata)  # type: ignore[attr-defined]
