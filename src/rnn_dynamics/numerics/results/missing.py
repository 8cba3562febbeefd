"""What stands in the place of a part that a file does not hold."""

import dataclasses
from typing import Any, NoReturn

import jax


class NotKeptError(AttributeError, ValueError):
    """A part of a result is used that its file does not hold."""


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True, repr=False)
class NotKept:
    """Stands for a part that has no form in a file: false, without parts, and an error as soon as it is used.

    Attributes:
        owner: the class of the result.
        field: the part's name.
        was: the type that it had.
    """

    owner: str
    field: str
    was: str

    def __bool__(self) -> bool:
        return False

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        raise NotKeptError(self._text())

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):  # what Python itself asks of every object
            raise AttributeError(name)
        raise NotKeptError(self._text())

    def _text(self) -> str:
        cure = "pass it: load(path, cell=cell)" if self.field == "cell" else "compute it anew to use that"
        why = f"(a {self.was}, which has no form in a file)"
        return f"this {self.owner} was saved without its {self.field} {why}; {cure}"

    def __repr__(self) -> str:
        return f"<{self.field} not kept: a {self.was}>"
