"""The log as machines read it: one object a line, with ids by which a call is followed from its request to the CRM."""

import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest
import requests
from django.conf import settings
from django.test import Client

from config import logs
from config.logs import Facts, Json, Line
from config.processes import Processes, free_port
from integrations import tenancy, tracing
from integrations.models import CrmConnection, Tenant
from integrations.redaction import RedactingFilter
from integrations.sandbox.server import SandboxServer
from mapping.publishing import add_defaults
from tests import factories
from tests.activities.conftest import link
from tests.live.system import database_url
from tests.sync.processes import wait_until

TOKEN = "pat-na1-11111111-2222-3333-4444-555555555555"


def line(formatter: logging.Formatter, message: str, *, failing: bool = False, **extra: Any) -> str:
    """What a handler of ours would write."""
    info = None
    if failing:
        password_of_ann = TOKEN
        try:
            raise ValueError(f"No good: {password_of_ann}")
        except ValueError:
            info = sys.exc_info()
    record = logging.getLogger("x").makeRecord("x", logging.INFO, __file__, 1, message, (), info, extra=extra)
    for one in (RedactingFilter(), Facts()):
        one.filter(record)
    return formatter.format(record)


def test_a_line_says_whose_work_it_is_and_what_it_belongs_to(tenant: Tenant) -> None:
    with tenancy.scope(tenant.pk), tracing.about(request="r-1"), tracing.about(jobs=[1, 2]):
        told = json.loads(line(Json(), "Done", milliseconds=3))
    assert told.items() >= {"tenant": str(tenant.pk), "request": "r-1", "jobs": [1, 2], "milliseconds": 3}.items()
    assert (told["level"], told["logger"], told["message"]) == ("INFO", "x", "Done")
    assert "tenant" not in json.loads(line(Json(), "Later")), "what is over belongs to nothing"


@pytest.mark.parametrize("formatter", [Json(), Line()], ids=["json", "line"])
def test_no_form_lets_a_secret_or_a_number_through(formatter: logging.Formatter) -> None:
    text = line(formatter, f"Authorization: Bearer {TOKEN} for +14155550101", failing=True, path=f"/x?token={TOKEN}")
    assert "1111-2222" not in text
    assert "4155550101" not in text
    assert "ValueError" in text


def test_an_error_is_one_line_for_machines_and_shows_no_local_variables() -> None:
    text = line(Json(), "It failed", failing=True)
    assert "\n" not in text
    assert "Traceback" in json.loads(text)["exc_info"]
    assert "1111-2222" not in text


def test_a_message_with_line_breaks_cannot_pretend_to_be_several_lines() -> None:
    assert "\n" not in line(Line(), "harmless\n2026-01-01 ERROR forged")


def test_another_form_than_these_two_ends_the_start() -> None:
    with pytest.raises(SystemExit, match="LOG_FORMAT"):
        logs.configuration("INFO", "xml")


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("dialer-0001:a.b", True),
        ("short", False),
        ("x" * 65, False),
        ("with space here", False),
        ("line\nbreak-in", False),
    ],
    ids=["sane", "too short", "too long", "a space", "a line break"],
)
def test_an_id_of_the_callers_is_kept_only_if_it_may_stand_in_a_log(sent: str, kept: bool) -> None:
    got = Client().get("/healthz", headers={"X-Request-ID": sent})["X-Request-ID"]
    assert (got == sent) is kept
    assert len(got) >= 8


# --- real processes ---------------------------------------------------------------------------------------------------


def told_in(log: Path) -> list[dict[str, Any]]:
    """The lines of ours: the web server writes some of its own."""
    return [json.loads(text) for text in log.read_text().splitlines() if text.startswith("{")]


@pytest.mark.live
@pytest.mark.django_db(transaction=True)
def test_a_call_is_followed_by_ids_from_its_request_to_the_crm(
    tmp_path: Path, connection: CrmConnection, fake_crm: SandboxServer, api_key: str
) -> None:
    with tenancy.everyone():
        add_defaults(connection)
        link(connection, factories.contact(connection.tenant), "7")
    env = {
        "DATABASE_URL": database_url(), "DATA_DIR": str(tmp_path), "DEBUG": "true", "LOG_FORMAT": "json",
        "DJANGO_SETTINGS_MODULE": "tests.live.fakecrm_settings", "CRM_ALLOWED_HOSTS": fake_crm.url.removeprefix("http://"),
        "WORKERS": "1", "SECRET_KEY": settings.SECRET_KEY, "FIELD_ENCRYPTION_KEYS": ",".join(settings.FIELD_ENCRYPTION_KEY),
    }  # fmt: skip
    body = {
        "external_id": "d-1", "provider": "fakecrm", "crm_record_id": "7", "direction": "outbound", "duration_seconds": 60,
        "started_at": "2026-01-21T14:30:00Z", "notes": "call me at +14155550142",
    }  # fmt: skip
    with Processes(env, tmp_path / "logs") as processes:
        web = processes.start_web(free_port(0))
        processes.start_worker()
        headers = {"Authorization": f"Bearer {api_key}", "X-Request-ID": "dialer-0001"}
        answer = requests.post(f"{web}/api/v1/calls/", json=body, headers=headers, timeout=60)
        assert (answer.status_code, answer.headers["X-Request-ID"]) == (201, "dialer-0001")
        wait_until(lambda: list(fake_crm.service.store.all("calls")), "the call is in the CRM", 120)
        log = processes.log_of("worker")
        wait_until(
            lambda: any(one.get("kind") == "log_call" and "done" in one["message"] for one in told_in(log)), "told", 60
        )
        in_web, in_worker = told_in(processes.log_of("web")), told_in(log)
    of_request = [one for one in in_web if one.get("request") == "dialer-0001"]
    stored = next(one for one in of_request if one["logger"] == "dialbridge.calls")
    answered = next(one for one in of_request if one["logger"] == "dialbridge.http")
    assert (answered["route"], answered["status"]) == ("/api/v1/calls/", 201)
    assert {stored["tenant"], answered["tenant"]} == {str(connection.tenant_id)}
    asked = next(
        one for one in in_worker if one["logger"] == "dialbridge.crm" and stored["call"] in one.get("records", [])
    )
    assert (asked["crm_method"], asked["crm_path"], asked["crm_status"]) == ("POST", "/calls", 201)
    assert asked["tenant"] == str(connection.tenant_id)
    assert asked["connection"] == str(connection.pk)
    assert asked["jobs"]
    text = "".join(path.read_text() for path in (tmp_path / "logs").glob("*.log"))
    assert "5550142" not in text
    assert api_key not in text
