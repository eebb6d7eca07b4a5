"""Reads all that the tests print and log, also in processes of their own, and fails a test whose output holds a secret.

What is a secret is learned as it comes into being: a value that is encrypted for the database, a key that is issued to a dialer.
Loaded by pytest in each of its processes; what it finds is named by the test and the place, never by the secret.
"""

import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

SHORTEST = 12
"""Characters. Shorter values of tests are words that stand in any text."""
NAMES = re.compile("token|secret|key|password|verifier|assertion")
LOGS = ("*.log", "logs/*.log")
"""Where processes that a test starts write, below its own directory."""
MOST = 20_000_000

_secrets: set[str] = set()


def note(value: Any) -> None:
    """A secret, or a structure with secrets in it: of a credential's parts only those that let somebody in."""
    if isinstance(value, dict):
        value = [one for name, one in value.items() if NAMES.search(str(name).lower())]
    if isinstance(value, list | tuple):
        for one in value:
            note(one)
    elif isinstance(value, str) and len(value) >= SHORTEST and not any(char.isspace() for char in value):
        _secrets.add(value)


def has_secret(text: str) -> bool:
    return any(secret in text for secret in _secrets)


@pytest.fixture(scope="session", autouse=True)
def _learning(request: pytest.FixtureRequest) -> Iterator[None]:
    if not request.config.pluginmanager.hasplugin("django"):
        yield
        return
    from encrypted_model_fields.fields import EncryptedMixin

    from integrations.models import ApiKey

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EncryptedMixin, "get_db_prep_save", _noting(EncryptedMixin.get_db_prep_save))
        patch.setattr(ApiKey, "issue", classmethod(_noting_key(ApiKey.issue.__func__)))  # type: ignore[attr-defined]
        yield


def _noting(save: Any) -> Any:
    def get_db_prep_save(self: Any, value: Any, connection: Any) -> Any:
        note(value)
        return save(self, value, connection)

    return get_db_prep_save


def _noting_key(issue: Any) -> Any:
    def issued(cls: Any, *args: Any, **kwargs: Any) -> Any:
        made = issue(cls, *args, **kwargs)
        note(made[1])
        return made

    return issued


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    report = yield
    if call.when == "teardown" and (places := list(_places_with_a_secret(item))):
        report.outcome = "failed"
        report.sections = []
        report.longrepr = f"A secret stands in {', '.join(places)} of {item.nodeid}. Secrets are written, never shown."
    return report


def _places_with_a_secret(item: pytest.Item) -> Iterator[str]:
    if not _secrets:
        return
    for when, kind, text in item._report_sections:
        if kind in {"stdout", "stderr"} and has_secret(text):
            yield f"{kind} ({when})"
    directory: Path | None = getattr(item, "funcargs", {}).get("tmp_path")
    for pattern in LOGS if directory else ():
        for log in directory.glob(pattern) if directory else ():
            if log.stat().st_size < MOST and has_secret(log.read_text(errors="replace")):
                yield f"the log {log.name}"
