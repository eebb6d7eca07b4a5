"""What a credential may not do: found, told apart from before, kept, and shown with what to click."""

import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from integrations import errors, preflight, tenancy
from integrations.connecting import connect
from integrations.models import CrmConnection, Tenant
from integrations.preflight import Report, compared
from integrations.records.connections import Finding, Severity
from integrations.sandbox.server import SandboxServer
from tests import factories
from tests.admin import pages
from tests.admin.conftest import SignIn

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SCOPE = {"code": "missing_scope", "subject": "calls.write", "message": "Calls can't be logged.", "remedy": "Tick it."}
FIELD = {"code": "field_hidden", "subject": "People.Score", "message": "The score is hidden.", "remedy": "Show it."}


def finding(code: str, severity: Severity = Severity.WARNING, message: str = "It is so.") -> Finding:
    return Finding(code, f"about {code}", message, f"Mend {code}.", severity)


def codes(notes: Any) -> list[str]:
    return [one.finding.code for one in notes]


def finds(server: SandboxServer, *findings: dict[str, Any]) -> None:
    for one in server.service.store.all("findings"):
        server.service.store.delete("findings", one["code"])
    for one in findings:
        server.service.store.put("findings", one["code"], dict(one))


# --- comparing ------------------------------------------------------------------------------------------------------


def test_the_blocking_ones_come_first() -> None:
    found = [finding("a", Severity.NOTE), finding("b"), finding("c", Severity.BLOCKING)]
    assert codes(compared(Report(), found, NOON).open) == ["c", "b", "a"]


def test_what_is_still_there_keeps_the_day_it_was_first_seen() -> None:
    first = compared(Report(), [finding("old")], NOON)
    second = compared(first, [finding("old", message="Other words now."), finding("new")], NOON + timedelta(days=1))
    assert {one.finding.code: one.first_seen for one in second.open} == {"old": NOON, "new": NOON + timedelta(days=1)}
    assert codes(second.new) == ["new"]
    assert {one.finding.message for one in second.open} == {"Other words now.", "It is so."}


def test_what_went_away_is_told_of_for_a_week_and_then_forgotten() -> None:
    first = compared(Report(), [finding("scope")], NOON)
    solved = compared(first, [], NOON + timedelta(days=1))
    assert (codes(solved.open), codes(solved.gone)) == ([], ["scope"])
    assert solved.gone[0].first_seen == NOON
    assert codes(compared(solved, [], NOON + timedelta(days=7)).gone) == ["scope"]
    assert codes(compared(solved, [], NOON + timedelta(days=8)).gone) == []


def test_what_comes_back_is_new_and_no_longer_solved() -> None:
    solved = compared(compared(Report(), [finding("scope")], NOON), [], NOON + timedelta(days=1))
    back = compared(solved, [finding("scope")], NOON + timedelta(days=2))
    assert (codes(back.new), codes(back.gone)) == (["scope"], [])


# --- keeping --------------------------------------------------------------------------------------------------------


def test_a_check_is_kept_with_the_connection(connection: CrmConnection, fake_crm: SandboxServer) -> None:
    finds(fake_crm, SCOPE)
    with tenancy.scope(connection.tenant_id):
        assert [one.code for one in preflight.run(connection)] == ["missing_scope"]
        kept = CrmConnection.objects.get()
        assert preflight.report(kept) == preflight.report(connection)
        assert kept.metadata["findings"]["open"][0]["remedy"] == "Tick it."
        assert preflight.report(kept).checked_at is not None


def test_a_check_loses_nothing_that_others_learned_meanwhile(connection: CrmConnection) -> None:
    with tenancy.scope(connection.tenant_id):
        CrmConnection.objects.get().remember({"learned": "by somebody else"})
        preflight.run(connection)
        assert CrmConnection.objects.get().metadata.keys() == {"learned", "findings"}


def test_a_check_that_cannot_be_done_keeps_the_last_one_and_says_why(
    connection: CrmConnection, fake_crm: SandboxServer
) -> None:
    finds(fake_crm, SCOPE)
    with tenancy.scope(connection.tenant_id):
        preflight.run(connection)
        fake_crm.service.faults.set([{"kind": "status", "status": 503, "match": "/rights"}])
        with pytest.raises(errors.Retry):
            preflight.run(connection)
        report = preflight.report(CrmConnection.objects.get())
        assert codes(report.open) == ["missing_scope"]
        assert "Fake CRM answered with an error" in report.problem
        fake_crm.service.faults.set([])
        preflight.run(connection)
        assert preflight.report(connection).problem == ""


def test_connecting_checks_at_once(tenant: Tenant, fake_crm: SandboxServer) -> None:
    finds(fake_crm, SCOPE)
    credential = {"auth": "key", "access_token": "access-0", "instance_url": fake_crm.url}
    with tenancy.scope(tenant.pk):
        row, _account = connect(tenant, "fakecrm", credential)
        assert codes(preflight.report(row).open) == ["missing_scope"]


def test_a_check_that_fails_does_not_keep_a_crm_from_being_connected(tenant: Tenant, fake_crm: SandboxServer) -> None:
    fake_crm.service.faults.set([{"kind": "status", "status": 400, "match": "/rights"}])
    credential = {"auth": "key", "access_token": "access-0", "instance_url": fake_crm.url}
    with tenancy.scope(tenant.pk):
        row, _account = connect(tenant, "fakecrm", credential)
        assert CrmConnection.objects.get().is_usable
        assert preflight.report(row).problem


# --- showing --------------------------------------------------------------------------------------------------------


@pytest.fixture
def client(tenant: Tenant, sign_in: SignIn) -> Client:
    return sign_in(factories.tenant_admin(tenant))


def pressed(client: Client, row: CrmConnection) -> str:
    url = pages.page(CrmConnection, "check_permissions", row.pk)
    assert "Check now" in pages.html(client, url)
    return client.post(url, follow=True).content.decode()


def test_the_page_says_what_is_wrong_and_what_to_click(
    client: Client, connection: CrmConnection, fake_crm: SandboxServer
) -> None:
    page = pages.html(client, pages.page(CrmConnection, "change", connection.pk))
    assert "Not checked yet." in page
    finds(fake_crm, FIELD, {**SCOPE, "severity": "blocking"})
    page = pressed(client, connection)
    assert "2 things are missing; see below." in page
    assert page.index("Blocking") < page.index("Incomplete")
    for words in ("calls.write", "Calls can&#x27;t be logged.", "Tick it.", "People.Score", "(new)"):
        assert words in page
    finds(fake_crm, FIELD)
    page = pressed(client, connection)
    assert "Solved" in page
    assert "(new)" not in page


def test_a_page_with_nothing_missing_says_when_that_was_looked_at(client: Client, connection: CrmConnection) -> None:
    page = pressed(client, connection)
    assert "Nothing is missing. Checked <time" in page


def test_a_check_that_fails_is_told_on_the_page(
    client: Client, connection: CrmConnection, fake_crm: SandboxServer
) -> None:
    fake_crm.service.faults.set([{"kind": "status", "status": 400, "match": "/rights"}])
    page = pressed(client, connection)
    assert "The check could not be done: Fake CRM refused the data" in page
    assert "the last check failed" in page


# --- the command ----------------------------------------------------------------------------------------------------


def checked(*arguments: str) -> str:
    out = StringIO()
    call_command("check_connections", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_lists_the_findings(connection: CrmConnection, fake_crm: SandboxServer) -> None:
    finds(fake_crm, SCOPE)
    assert "new warning: calls.write: Calls can't be logged. Tick it." in checked()
    told = json.loads(checked("--json"))["connections"][0]
    assert told["ok"] is True
    assert told["findings"][0]["code"] == "missing_scope"
    assert told["findings"][0]["new"] is False
    assert told["checked_at"]
    finds(fake_crm)
    assert "solved: warning: calls.write" in checked()


def test_a_check_that_cannot_be_done_is_told_by_the_command(connection: CrmConnection, fake_crm: SandboxServer) -> None:
    fake_crm.service.faults.set([{"kind": "status", "status": 400, "match": "/rights"}])
    assert "the permissions could not be checked: Fake CRM refused the data" in checked()


def test_a_connection_that_does_not_work_is_told_and_ends_with_code_1(
    connection: CrmConnection, fake_crm: SandboxServer
) -> None:
    fake_crm.service.store.put("tokens", "current", {"access": "other", "refresh": "other", "dead": True})
    with pytest.raises(SystemExit, match="1"):
        checked()
