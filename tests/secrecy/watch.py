"""Reads all that the tests print and log, also in processes of their own, and fails a test whose output holds a secret, or whose
log holds a phone number.

What is a secret is learned as it comes into being: a value that is encrypted for the database, a key that is issued to a dialer.
A number is known by its looks: any in E.164, and those of the exchange 555, which tests and the fake CRMs use, with or without
signs between the digits. What is printed is not looked at for numbers: some commands are there to show them. Loaded by pytest in
each of its processes; what it finds is named by the test and the place, never by itself.
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
NUMBERS = re.compile(
    r"(?<![\w.:/+-])\+[1-9]\d{7,14}(?!\w)|(?<![\w.+-])(?:\+?1[ .-]?)?\(?[2-9]\d\d\)?[ .-]?555[ .-]?\d{4}(?![\w-])"
)

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


def has_number(text: str) -> bool:
    return NUMBERS.search(text) is not None


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
    if call.when == "teardown" and (leaks := list(_leaks(item))):
        report.outcome = "failed"
        report.sections = []
        report.longrepr = (
            f"{' '.join(leaks)} {item.nodeid}: secrets are written, never shown; numbers are never logged."
        )
    return report


def _leaks(item: pytest.Item) -> Iterator[str]:
    for place, text, is_log in _outputs(item):
        if has_secret(text):
            yield f"A secret stands in {place}."
        if is_log and has_number(text):
            yield f"A phone number stands in {place}."


def _outputs(item: pytest.Item) -> Iterator[tuple[str, str, bool]]:
    """Place, text, and whether it is a log."""
    for when, kind, text in item._report_sections:
        if kind in {"stdout", "stderr", "log"}:
            yield f"{kind} ({when})", text, kind != "stdout"
    directory: Path | None = getattr(item, "funcargs", {}).get("tmp_path")
    for pattern in LOGS if directory else ():
        for log in directory.glob(pattern) if directory else ():
            if log.stat().st_size < MOST:
                yield f"the log {log.name}", log.read_text(errors="replace"), True
