"""The README: its examples run as printed, it is short, and its links lead to files of the repository."""

import re
import shlex
import struct
from pathlib import Path

import pytest

from rnn_dynamics import cli
from rnn_dynamics.cli.arguments import Problems, parsed
from tests.pages import EXAMPLE, as_a_user, same

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
PICTURES = re.findall(r'<img src="([^"]+)"', TEXT)


def test_examples_run_as_printed(tmp_path: Path) -> None:
    found = list(EXAMPLE.finditer(TEXT))
    assert len(found) == 2
    for number, example in enumerate(found):
        (tmp_path / f"{number}.py").write_text(example["code"], encoding="utf-8")
        done = as_a_user(["-W", "error", f"{number}.py"], tmp_path)
        assert done.returncode == 0, done.stderr
        assert same(done.stdout, example["shown"]), done.stdout
    assert (tmp_path / "bounds.png").is_file()


def test_it_opens_with_a_sentence_two_pictures_two_commands_and_ten_lines() -> None:
    parts = ["# rnn_dynamics", "<img", "<img", "```sh", "```python", "```text"]
    places = [TEXT.index(parts[0])]
    for part in parts[1:]:
        places.append(TEXT.index(part, places[-1] + 1))
    assert places[-1] == TEXT.index("```text")
    assert len(TEXT[: TEXT.index("<img")].split(". ")) == 1
    commands = TEXT.split("```sh\n")[1].split("```")[0].splitlines()
    assert len(commands) == 2
    assert len(TEXT.split("```python\n")[1].split("```")[0].strip().splitlines()) <= 10


def test_it_is_short() -> None:
    assert len(TEXT.split()) <= 1450
    assert len(TEXT.splitlines()) <= 150


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_small_and_has_words(name: str) -> None:
    content = (ROOT / name).read_bytes()
    assert len(content) < 120_000
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", content[16:24])
    assert 400 <= width <= 1300
    assert 400 <= height <= 1300
    (words,) = re.findall(rf'<img src="{name}"[^>]* alt="([^"]+)"', TEXT)
    assert len(words) > 40


def test_links_into_the_repository_lead_somewhere() -> None:
    for target in [*re.findall(r"\]\((?!https?:)([^)]+)\)", TEXT), *PICTURES]:
        name, _, place = target.partition("#")
        assert (ROOT / name).is_file(), target
        if place:
            heads = re.findall(r"^#+ (.+)$", (ROOT / name).read_text(encoding="utf-8"), flags=re.MULTILINE)
            assert place in {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}, target


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = sorted(
    {
        found.partition("#")[0].strip()
        for page in PAGES
        for found in re.findall(r"(?m)(?:^|`)rnn-dynamics ([^`\n]+)", page.read_text(encoding="utf-8"))
    }
)


@pytest.mark.parametrize("line", [line for line in COMMANDS if not re.search(r"COMMAND|NAME|--help", line)])
def test_the_command_takes_the_lines_that_the_pages_show(line: str) -> None:
    parser, commands = cli._parsers()
    problems = Problems()
    options = parsed(parser, commands.choices, commands.choices.__getitem__, shlex.split(line), problems)
    if options.check is not None and options.command not in (
        "diagnose",
        "inspect",
        "sweep",
    ):  # whose files are the reader's
        options.check(options, problems)
    assert problems.lines == []


#: What the site makes; on the repository's own pages links to it lead nowhere.
MADE = re.compile(r"^((reference/\w+|notebooks/\w+|changelog)\.md|style-\w+\.svg)$")


@pytest.mark.parametrize("page", PAGES[1:], ids=lambda page: page.stem)
def test_links_of_a_page_are_right_where_the_repository_is_read(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
        file = (page.parent / target).resolve()
        assert file.is_file() or MADE.match(file.relative_to(ROOT / "docs").as_posix()), target
