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
PLANTED = """
from tests.secrecy import watch
SECRET = "-".join(["planted", "secret", "of", "the", "watch"])
def test_of_somebody(tmp_path):
    watch.note({{"token": [SECRET]}})
    {leak}
"""


@pytest.mark.parametrize("where", LEAKS, ids=list(LEAKS))
def test_a_leak_fails_the_test_that_made_it_and_is_not_shown(where: str, tmp_path: Path) -> None:
    (tmp_path / "test_planted.py").write_text(PLANTED.format(leak=LEAKS[where]))
    command = [sys.executable, "-m", "pytest", "-c", "/dev/null", "-p", "no:django", "-p", "no:cacheprovider"]
    command += ["-p", "no:schemathesis", "-p", "tests.secrecy.watch", "--rootdir", str(tmp_path), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    said = done.stdout + done.stderr
    assert SECRET not in said
    if where == "nothing":
        assert done.returncode == 0, said
    else:
        assert done.returncode != 0
        assert "A secret stands in" in said
        assert "test_of_somebody" in said


def test_what_is_encrypted_and_issued_is_known_as_a_secret(tenant: Tenant) -> None:
    factories.connection(tenant)
    with tenancy.everyone():
        _key, text = ApiKey.issue(tenant, "dialer")
    assert watch.has_secret(f"at the end {text}")
    assert watch.has_secret(f"{factories.ACCESS_TOKEN}, {factories.REFRESH_TOKEN}")
    assert not watch.has_secret("nothing of the kind")
