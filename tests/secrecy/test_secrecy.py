"""What watches the output of all tests for secrets finds one that is planted, and tells where without telling it."""

import subprocess
import sys
from pathlib import Path

import pytest

from integrations import tenancy
from integrations.models import ApiKey, Tenant
from tests import factories
from tests.secrecy import watch

ROOT = Path(__file__).parents[2]
SECRET = "planted-secret-of-the-watch"
LEAKS = {
    "print": "print('a word ' + SECRET)",
    "standard error": "import sys; sys.stderr.write(SECRET)",
    "log of a process": "(tmp_path / 'logs').mkdir(); (tmp_path / 'logs' / 'web.log').write_text('token ' + SECRET)",
    "nothing": "print('a word')",
}
NUMBER_LEAKS = {
    "a log": "import logging; logging.getLogger('x').warning('called +1415%s', '5550101')",
    "standard error": "import sys; sys.stderr.write('called (415) 555-' + '0101')",
    "log of a process": "(tmp_path / 'web.log').write_text('called 415555' + '0101')",
}
NO_NUMBERS = {
    "printed for a person": "print('+1415' + '5550101')",
    "an id and a time": "import sys; sys.stderr.write('job 24155550101234 at 2026-01-21T14:30:00+00:00 in 0c4155550101')",
}
PLANTED = """
from tests.secrecy import watch
SECRET = "-".join(["planted", "secret", "of", "the", "watch"])
def test_of_somebody(tmp_path):
    watch.note({{"token": [SECRET]}})
    {leak}
"""


def outcome(leak: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    (tmp_path / "test_planted.py").write_text(PLANTED.format(leak=leak))
    command = [sys.executable, "-m", "pytest", "-c", "/dev/null", "-p", "no:django", "-p", "no:cacheprovider"]
    command += ["-p", "no:schemathesis", "-p", "tests.secrecy.watch", "--rootdir", str(tmp_path), str(tmp_path)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize(
    "where", [one if one in ("print", "nothing") else pytest.param(one, marks=pytest.mark.thorough) for one in LEAKS]
)
def test_a_leak_fails_the_test_that_made_it_and_is_not_shown(where: str, tmp_path: Path) -> None:
    done = outcome(LEAKS[where], tmp_path)
    said = done.stdout + done.stderr
    assert SECRET not in said
    if where == "nothing":
        assert done.returncode == 0, said
    else:
        assert done.returncode != 0
        assert "A secret stands in" in said
        assert "test_of_somebody" in said


def test_a_number_in_a_log_fails_the_test_that_made_it_and_is_not_shown(tmp_path: Path) -> None:
    tests = "".join(
        f"def test_number_{place}(tmp_path):\n    {leak}\n" for place, leak in enumerate(NUMBER_LEAKS.values())
    )
    tests += "".join(
        f"def test_none_{place}(tmp_path):\n    {line}\n" for place, line in enumerate(NO_NUMBERS.values())
    )
    done = outcome("pass\n" + tests.replace("{", "{{").replace("}", "}}"), tmp_path)
    said = done.stdout + done.stderr
    assert "5550101" not in said
    assert [f"test_number_{place}:" in said for place in range(len(NUMBER_LEAKS))] == [True, True, True]
    assert f"{len(NUMBER_LEAKS)} errors in" in said, said


def test_what_is_encrypted_and_issued_is_known_as_a_secret(tenant: Tenant) -> None:
    factories.connection(tenant)
    with tenancy.everyone():
        _key, text = ApiKey.issue(tenant, "dialer")
    assert watch.has_secret(f"at the end {text}")
    assert watch.has_secret(f"{factories.ACCESS_TOKEN}, {factories.REFRESH_TOKEN}")
    assert not watch.has_secret("nothing of the kind")
