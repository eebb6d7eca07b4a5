"""What the step "dependencies" of `script/check` finds. What is really installed is looked at by the step itself."""

import json
from pathlib import Path

import pytest

from tests import audit_dependencies as audit


def test_the_files_pin_every_package_once() -> None:
    lines = [line for name in audit.FILES for line in (audit.ROOT / name).read_text(encoding="utf-8").splitlines()]
    pinned, problems = audit.pins(lines)
    assert not problems
    assert {"django", "psycopg", "pip-audit"} <= pinned.keys()


@pytest.mark.parametrize(
    "line", ["django", "django>=5", "django~=5.2", "git+https://example.com/x", "-e .", "x @ file:///tmp/x"]
)
def test_a_line_that_pins_nothing_is_told(line: str) -> None:
    pinned, problems = audit.pins([line])
    assert len(problems) == 1
    assert not pinned


def test_a_package_that_is_pinned_twice_is_told_however_it_is_spelt() -> None:
    assert audit.pins(["a_b==1  # why", "", "# words", "A-B==2"])[1] == ["A-B is pinned twice."]


def test_what_differs_from_the_files_is_told() -> None:
    assert audit.differences({"a": "1", "b": "1", "c": "1"}, {"a": "1", "b": "2", "d": "1"}) == [
        "b is pinned to 1, and 2 is installed.",
        "c is pinned and not installed.",
        "d 1 is installed and pinned nowhere.",
    ]


def test_no_file_names_a_package_registry(tmp_path: Path) -> None:
    assert audit.registries(audit.ROOT) == []
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "setup.cfg").write_text("index-url = https://" + "pypi" + ".org/simple")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("pypi" + ".org")
    assert [one.partition(" ")[0] for one in audit.registries(tmp_path)] == ["deep/setup.cfg"]


REPORT = {
    "dependencies": [
        {"name": "good", "version": "1", "vulns": []},
        {
            "name": "bad",
            "version": "2",
            "vulns": [{"id": "CVE-1", "fix_versions": ["3"], "aliases": [], "description": ""}],
        },
        {"name": "odd", "skip_reason": "Dependency not found"},
    ]
}


def test_a_known_vulnerability_is_told_with_the_version_that_mends_it() -> None:
    known, why_not = audit.judged(json.dumps(REPORT), "")
    assert known == ["bad 2 has CVE-1, mended in 3."]
    assert why_not == "1 of 3 packages are unknown to the service"


@pytest.mark.parametrize("told", ["", "[]", "null", "{}", "<html>"])
def test_what_could_not_be_read_is_said_and_is_no_vulnerability(told: str) -> None:
    assert audit.judged(told, "WARNING\nConnectionError: no route\n") == ([], "ConnectionError: no route")


def test_all_that_is_well_says_nothing() -> None:
    assert audit.judged(json.dumps({"dependencies": REPORT["dependencies"][:1]}), "") == ([], "")
