"""The table of what the CRMs have and where we use it stays true: each function and each test that it names exists."""

import re
from functools import reduce
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TABLE = ROOT / "docs" / "coverage.md"
ROW = re.compile(r"^\|(?P<what>.+?)\|(?P<ours>.*?)\|(?P<test>.*?)\|(?P<remark>.*?)\|$")


def rows() -> list[tuple[str, str, str, str]]:
    lines = TABLE.read_text().replace("\\|", "\N{BROKEN BAR}").splitlines()
    found = [ROW.match(line) for line in lines if line.startswith("|")]
    cells = [tuple(cell.strip() for cell in one.groups()) for one in found if one]
    return [row for row in cells if row[1] != "Our function" and set(row[0]) - set("-: ")]  # type: ignore[misc]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_the_table_has_a_row_for_every_chapter() -> None:
    assert len(rows()) > 250


@pytest.mark.parametrize("reference", sorted({name for row in rows() for name in names(row[1])}))
def test_every_function_of_the_table_exists(reference: str) -> None:
    module, _colon, qualified = reference.partition(":")
    assert qualified, f"{reference} is not written as module:name"
    assert reduce(getattr, qualified.split("."), import_module(module)) is not None


@pytest.mark.parametrize("reference", sorted({name for row in rows() for name in names(row[2])}))
def test_every_test_of_the_table_exists(reference: str) -> None:
    path, _colons, name = reference.partition("::")
    function = name.partition("[")[0]
    text = (ROOT / path).read_text()
    assert re.search(rf"^\s*def {re.escape(function)}\(", text, re.MULTILINE), f"{path} has no {function}"


def test_no_cell_is_empty_without_a_reason() -> None:
    assert [what for what, ours, test, remark in rows() if not (names(ours) and names(test)) and not remark] == []
