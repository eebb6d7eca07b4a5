"""What a connection sets up, and what it finds that somebody else has to."""

from typing import Any

import pytest
from pytest_django.fixtures import Settings

from integrations import errors
from integrations.providers.followupboss import account
from integrations.providers.followupboss.custom_fields import WANTED
from integrations.providers.followupboss.sandbox import seed
from integrations.records.connections import Severity
from integrations.sandbox.server import SandboxServer
from tests.providers.followupboss.conftest import Connect

HOME = "https://dialer.example"


def labels(server: SandboxServer) -> list[str]:
    return [one["label"] for one in server.service.store.all("customfields")]


@pytest.fixture
def bare(server: SandboxServer) -> SandboxServer:
    """An account without any custom field."""
    for one in list(server.service.store.all("customfields")):
        server.service.store.delete("customfields", str(one["id"]))
    return server


# --- custom fields --------------------------------------------------------------------------------------------------------


def test_the_fields_of_the_default_mapping_are_created_once(bare: SandboxServer, connected: Connect) -> None:
    provider, _ = connected()
    assert provider.prepare()["warnings"] == []
    kinds = {one["label"]: one["type"] for one in bare.service.store.all("customfields")}
    assert kinds == dict(WANTED)
    described = {spec.path for spec in provider.describe("people")}
    mapped = {row.crm_field for row in provider.default_mappings if row.crm_field.startswith("customFields")}
    assert mapped <= described
    again, api = connected()
    assert again.prepare()["warnings"] == []
    assert not [one for one in api.calls if one.startswith("POST")]


def test_a_label_in_another_case_is_the_same_field(bare: SandboxServer, connected: Connect) -> None:
    bare.service.add("customFields", {"label": "LAST CALLED", "type": "date"})
    connected()[0].prepare()
    assert sorted(label.lower() for label in labels(bare)) == sorted(label.lower() for label, _ in WANTED)


def test_nothing_is_created_when_only_checking(bare: SandboxServer, connected: Connect) -> None:
    warnings = connected(settings={"check_only": True})[0].prepare()["warnings"]
    assert len(warnings) == len(WANTED)
    assert 'label "Last Called", type date' in " ".join(warnings)
    assert all("Admin, Custom Fields" in one for one in warnings)
    assert labels(bare) == []


def test_an_agent_may_not_create_and_says_what_to_click(bare: SandboxServer, connected: Connect) -> None:
    warnings = connected(seed.AGENT_KEY)[0].prepare()["warnings"]
    assert len(warnings) == 1 + len(WANTED)
    assert "An admin can create it in Follow Up Boss under Admin, Custom Fields" in warnings[1]


def test_a_field_of_another_type_is_told_and_left_alone(bare: SandboxServer, connected: Connect) -> None:
    bare.service.add("customFields", {"label": "Dialer Call Count", "type": "text"})
    (warning,) = connected()[0].prepare()["warnings"]
    assert '"Dialer Call Count" of Follow Up Boss has another type than number' in warning
    assert labels(bare).count("Dialer Call Count") == 1


def test_a_generated_name_is_taken_from_the_answer(bare: SandboxServer, connected: Connect) -> None:
    provider, _ = connected()
    assert provider.custom_fields.create("Lead's Mood (AI)", "text").name == "customLeadSMoodAI"
    assert provider.custom_fields.create("lead's mood (ai)", "text").name == "customLeadSMoodAI"
    choice = provider.custom_fields.create("Colour", "dropdown", choices=("Red", "Blue"))
    assert choice.choices == ("Red", "Blue")
    assert provider.custom_fields.create("Anniversary", "date", recurring=True).kind == "date"
    assert [one.label for one in provider.custom_fields.listed()] == ["Lead's Mood (AI)", "Colour", "Anniversary"]


def test_a_creation_without_an_answer_is_found_the_next_time(bare: SandboxServer, connected: Connect) -> None:
    bare.service.faults.set([{"kind": "drop_after", "match": "POST /v1/customFields", "times": 1}])
    with pytest.raises(errors.OutcomeUnknown):
        connected()[0].prepare()
    assert connected()[0].prepare()["warnings"] == []
    assert len(labels(bare)) == len(WANTED)


def test_a_kind_that_there_is_not_is_refused(connected: Connect) -> None:
    with pytest.raises(errors.FixData, match="text, date, number, dropdown"):
        connected()[0].custom_fields.create("X", "picture")


# --- the account --------------------------------------------------------------------------------------------------------------


def test_smart_lists_of_both_kinds_are_listed(connected: Connect) -> None:
    _, api = connected()
    assert [one["name"] for one in account.smart_lists(api)] == ["Hot Leads", "To Nurture", "Past Clients"]


def test_the_limits_of_our_system_can_be_read(connected: Connect, settings: Settings) -> None:
    _, api = connected()
    assert account.rate_limits(api)["allAccounts"] == {"limit": 750, "window": 10}
    settings.FOLLOWUPBOSS_SYSTEM = ""
    with pytest.raises(errors.FixConfig, match="FOLLOWUPBOSS_SYSTEM"):
        account.rate_limits(api)


# --- preflight ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def subscribed(connected: Connect, settings: Settings) -> None:
    settings.PUBLIC_URL = HOME
    provider, _ = connected()
    provider.prepare()
    provider.subscribe(f"{HOME}/webhooks/followupboss/token-1/")


def found(connected: Connect, **options: Any) -> dict[str, str]:
    findings = connected(**options)[0].preflight()
    assert all(len(one.message.split()) > 4 and len(one.remedy.split()) > 4 for one in findings)
    return {one.code: one.subject for one in findings}


@pytest.mark.usefixtures("subscribed")
def test_an_owner_with_everything_has_no_findings(connected: Connect) -> None:
    assert connected()[0].preflight() == []


@pytest.mark.usefixtures("subscribed")
def test_nothing_is_changed_by_looking(connected: Connect) -> None:
    provider, api = connected()
    provider.preflight()
    assert {one.split()[0] for one in api.calls} == {"GET"}


@pytest.mark.usefixtures("subscribed")
@pytest.mark.parametrize(
    ("key", "codes"),
    [(seed.ADMIN_KEY, {"webhooks_need_owner"}), (seed.AGENT_KEY, {"narrow_view", "webhooks_need_owner"})],
    ids=["admin", "agent"],
)
def test_a_narrow_role_is_told(connected: Connect, key: str, codes: set[str]) -> None:
    assert set(found(connected, key=key)) == codes


@pytest.mark.usefixtures("subscribed")
def test_a_missing_registration_is_told(connected: Connect, settings: Settings) -> None:
    settings.FOLLOWUPBOSS_SYSTEM_KEY = ""
    assert found(connected) == {"system_not_registered": "X-System"}


@pytest.mark.usefixtures("subscribed")
def test_a_registration_that_the_service_does_not_know_is_told(server: SandboxServer, connected: Connect) -> None:
    refusal = {"error": "Only registered systems can use this endpoint."}
    match = "GET /v1/(rateLimit|webhooks)"
    server.service.faults.set([{"kind": "status", "status": 403, "match": match, "body": refusal}])
    assert found(connected) == {"system_not_registered": "X-System-Key"}


@pytest.mark.usefixtures("subscribed")
def test_missing_and_unfit_fields_are_told(server: SandboxServer, connected: Connect) -> None:
    for one in list(server.service.store.all("customfields")):
        if one["label"] == "Title":
            server.service.store.delete("customfields", str(one["id"]))
        if one["label"] == "Last AI Score":
            server.service.store.put("customfields", str(one["id"]), {**one, "readOnly": True})
    assert found(connected) == {"field_missing": "Title", "field_unfit": "Last AI Score"}


@pytest.mark.usefixtures("subscribed")
def test_webhooks_that_are_off_or_absent_are_told(server: SandboxServer, connected: Connect) -> None:
    first, second, *_ = server.service.store.all("webhooks")
    server.service.store.put("webhooks", str(first["id"]), {**first, "status": "Disabled"})
    server.service.store.delete("webhooks", str(second["id"]))
    findings = {one.code: one for one in connected()[0].preflight()}
    assert findings["webhook_disabled"].subject == first["event"]
    assert second["event"] in findings["webhook_missing"].message
    assert findings["webhook_missing"].severity is Severity.NOTE


@pytest.mark.usefixtures("subscribed")
@pytest.mark.parametrize("subject", ["calls", "stages", "users", "customFields"])
def test_what_is_hidden_is_told(server: SandboxServer, connected: Connect, subject: str) -> None:
    match = f"GET /v1/{subject}$"
    server.service.faults.set([{"kind": "status", "status": 403, "match": match, "body": {"error": "Not allowed."}}])
    findings = connected()[0].preflight()
    assert [(one.code, one.subject) for one in findings] == [("object_hidden", subject)]
    assert findings[0].severity is Severity.WARNING


def test_people_are_hidden_from_nobody_but_a_lapsed_account(server: SandboxServer, connected: Connect) -> None:
    refused = {"kind": "status", "status": 403, "match": "GET /v1/people$", "body": {"error": "Not allowed."}}
    server.service.faults.set([refused])
    (finding,) = connected()[0].preflight()
    assert (finding.code, finding.severity) == ("account_expired", Severity.BLOCKING)


def test_an_expired_account_is_the_only_thing_told(server: SandboxServer, connected: Connect) -> None:
    server.service.faults.set([{"kind": "account_expired"}])
    (finding,) = connected()[0].preflight()
    assert (finding.code, finding.severity) == ("account_expired", Severity.BLOCKING)
    assert "Billing" in finding.remedy
    server.service.faults.set([{"kind": "account_expired", "match": "people|calls"}])
    assert [one.code for one in connected()[0].preflight()] == ["account_expired"]


def test_a_hidden_identity_is_told(server: SandboxServer, connected: Connect) -> None:
    server.service.faults.set([{"kind": "status", "status": 403, "match": "identity"}])
    (finding,) = connected()[0].preflight()
    assert (finding.code, finding.subject) == ("object_hidden", "identity")
