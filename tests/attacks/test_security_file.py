"""SECURITY.md names a test for each threat; each of them exists."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
ROWS = [
    [cell.strip() for cell in line.strip("| \n").split(" | ")]
    for line in (ROOT / "SECURITY.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| Threat")
]
_NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


@cache
def names_in(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(one.name for one in tree.body if isinstance(one, ast.FunctionDef) and one.name.startswith("test_"))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:60])
def test_each_threat_has_what_stops_it_and_tests_that_exist(row: list[str]) -> None:
    threat, measure, named = row
    assert threat
    assert measure
    found = _NAMED.findall(named)
    assert found, "names no test"
    assert _NAMED.sub("", named).strip() == "", "names something that is no test"
    for path, test in found:
        assert (ROOT / path).is_file(), path
        assert names_in(ROOT / path), f"{path} has no tests"
        assert not test or test in names_in(ROOT / path), f"{path} has no {test}"


def test_the_file_says_how_to_report() -> None:
    assert len(ROWS) > 30
    assert "## Report a weakness" in (ROOT / "SECURITY.md").read_text(encoding="utf-8")
