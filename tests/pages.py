"""The examples of the pages in ``docs/``, run as a reader would: a page's blocks in order, with a user's JAX.

``python -m tests.pages`` writes what they print, and the pictures that they save, into the pages; with names of
pages behind it (``tour``, ``howto/figure-6``) into these alone.
"""

import contextlib
import importlib.util
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PICTURES = DOCS / "pictures"
#: A block of Python, and the block of text behind it, which is what the Python prints.
EXAMPLE = re.compile(
    r"^```python\n(?P<code>.*?)^```$(?:\n\n^```text\n(?P<shown>.*?)^```$)?", re.DOTALL | re.MULTILINE
)
NUMBER = re.compile(r"(?<![\w.])[-+−]?\d+(?:\.\d+)?(?:e[-+−]?\d+)?")
_MARK = "=== end of block ==="


class Example(NamedTuple):
    """A block of Python on a page.

    Attributes:
        code: the block.
        shown: what the page says it prints, or ``None``.
    """

    code: str
    shown: str | None


def name_of(page: Path) -> str:
    """The page's name, ``howto/figure-6``."""
    return page.relative_to(DOCS).with_suffix("").as_posix()


def examples(page: Path) -> list[Example]:
    """The blocks of a page in order."""
    text = page.read_text(encoding="utf-8")
    return [Example(found["code"], found["shown"]) for found in EXAMPLE.finditer(text)]


PAGES = {name_of(page): page for page in sorted(DOCS.rglob("*.md")) if examples(page)}


def missing(code: str) -> set[str]:
    """The packages that a block imports and this environment does not have."""
    tops = set(re.findall(r"^(?:import|from) (\w+)", code, flags=re.MULTILINE))
    return {name for name in tops if importlib.util.find_spec(name) is None}


def outputs(page: Path, runner: Callable[[list[str]], list[str]]) -> list[str | None]:
    """What each block of a page prints; ``None`` for those whose packages are missing, which are left out.

    Args:
        page: the page.
        runner: what each of the blocks given to it prints: ``run`` or ``run_here``, in some folder.
    """
    found = examples(page)
    wanted = [not missing(example.code) for example in found]
    printed = iter(
        runner([example.code for example, is_wanted in zip(found, wanted, strict=True) if is_wanted])
    )
    return [next(printed) if is_wanted else None for is_wanted in wanted]


def as_a_user(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """What Python does in a folder, with JAX as a user has it but for the run's compiled programs."""
    ours = {name: value for name, value in os.environ.items() if name.startswith("JAX_")}
    kept = {name: value for name, value in ours.items() if "_CACHE_" in name}
    environment = {name: value for name, value in os.environ.items() if name not in ours} | kept
    paths = [str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment |= {"MPLBACKEND": "Agg", "PYTHONPATH": os.pathsep.join(paths), "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=240,
        cwd=folder,
        env=environment,
        check=False,
    )


@contextlib.contextmanager
def _as_users_have_it() -> Iterator[None]:
    """JAX in this process with its own precision and promotion, whatever is then switched; all set back behind."""
    import jax

    names = ("jax_enable_x64", "jax_numpy_dtype_promotion", "jax_numpy_rank_promotion")
    before = {name: jax.config.values[name] for name in names}
    for name, value in zip(names, (False, "standard", "allow"), strict=True):
        jax.config.update(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def run_here(blocks: list[str], folder: Path) -> list[str]:
    """What each block prints; they run in this process, in a folder, and share what it has compiled."""
    import matplotlib

    names = {"__name__": "__main__"}
    printed = []
    with _as_users_have_it(), matplotlib.rc_context(), contextlib.chdir(folder), warnings.catch_warnings():
        warnings.simplefilter("error")
        for number, block in enumerate(blocks):
            with contextlib.redirect_stdout(io.StringIO()) as text:
                exec(compile(block, f"block {number}", "exec"), names)
            printed.append(text.getvalue())
    return [text.lstrip("\n") for text in printed]


def run(blocks: list[str], folder: Path) -> list[str]:
    """What each block prints; they run in a process of their own, in a folder, with JAX as a user has it.

    Raises:
        RuntimeError: the process failed; its message has the traceback.
    """
    program = "\n".join(f'{block}\nprint("{_MARK}")' for block in blocks)
    (folder / "page.py").write_text(program, encoding="utf-8")
    done = as_a_user(["-W", "error", "page.py"], folder)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return [text.lstrip("\n") for text in done.stdout.split(f"{_MARK}\n")[: len(blocks)]]


def _number(text: str) -> float:
    return float(text.replace("−", "-"))


def same(printed: str, shown: str, share: float = 0.02) -> bool:
    """Whether two texts have the same words, and numbers within a share of one another.

    Args:
        printed, shown: the texts; how they are spaced does not count.
        share: the largest relative difference of two numbers; whole numbers up to 100 are the same or are not.
    """
    if NUMBER.sub("0", printed).split() != NUMBER.sub("0", shown).split():
        return False
    pairs = zip(NUMBER.findall(printed), NUMBER.findall(shown), strict=True)
    return all(abs(_number(a) - _number(b)) <= share * abs(_number(b)) for a, b in pairs)


def write(page: Path) -> None:
    """Run a page and put what it prints and saves in its place."""
    with tempfile.TemporaryDirectory() as folder:
        printed = iter(outputs(page, lambda blocks: run(blocks, Path(folder))))
        for picture in Path(folder).glob("*.png"):
            shutil.copy(picture, PICTURES / picture.name)

    def filled(match: re.Match[str]) -> str:
        text = next(printed)
        code = f"```python\n{match['code']}```"
        return code if match["shown"] is None or text is None else f"{code}\n\n```text\n{text.rstrip()}\n```"

    page.write_text(EXAMPLE.sub(filled, page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    for name in sys.argv[1:] or PAGES:
        write(PAGES[name])
