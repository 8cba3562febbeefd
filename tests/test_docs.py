"""The pages in docs/: every numbered trap that a test names stands there, and each there has a test or a reason."""

import re

from tests import house

TESTS = (house.ROOT / "tests").glob("test_*.py")
# Traps of how the program is run, which no test of the library can set up.
WITHOUT_A_TEST = {37, 38, 45}


def test_every_hazard_that_a_test_names_is_explained() -> None:
    page = (house.ROOT / "docs" / "hazards.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\d, ]+) \|", page, flags=re.MULTILINE)
    explained = {int(number) for row in rows for number in row.split(",")}
    text = "\n".join(path.read_text(encoding="utf-8") for path in TESTS)
    named = {int(number) for number in re.findall(r"hazard_(\d+)", text)}
    for listed in re.findall(r"hazards ([\d, –and]+)", text):
        for first, last in re.findall(r"(\d+)(?:–(\d+))?", listed):
            named |= set(range(int(first), int(last or first) + 1))
    assert named <= explained
    assert explained - named <= WITHOUT_A_TEST, explained - named - WITHOUT_A_TEST
