"""The permission check: what the token may not do, each with what to click, and nothing changed by asking."""

import re
from copy import deepcopy
from typing import Any

import pytest
import responses
from pytest_django import Settings

from integrations import errors
from integrations.providers.hubspot.preflight import PROBES
from integrations.providers.hubspot.provider import Provider
from integrations.providers.hubspot.sandbox import portal as gate
from integrations.providers.hubspot.sandbox.portal import ALL_SCOPES, PRIVATE_TOKEN
from integrations.records.connections import Connection, Credential, Finding, Severity
from tests.providers.harness import PlainApi
from tests.providers.hubspot.conftest import World, sent

CREATED = ("last_call_date", "num_calls", "ai_call_score")


def found(world: World, **connection: Any) -> dict[tuple[str, str], Finding]:
    api = PlainApi(Provider, Credential(auth="private_app", access_token=PRIVATE_TOKEN), world.server.url)
    provider = Provider(Connection(id="c1", tenant_id="t1", account_id="4411223", **connection), api)
    findings = provider.preflight()
    assert len({(one.code, one.subject) for one in findings}) == len(findings)
    return {(one.code, one.subject): one for one in findings}


def grant(world: World, *scopes: str) -> None:
    with world.portal.store.lock:
        world.portal.keep_token(PRIVATE_TOKEN, None, list(scopes))


def redefine(world: World, name: str, kind: str = "contacts", **parts: Any) -> None:
    with world.portal.store.lock:
        world.portal.keep_property(kind, {**deepcopy(world.portal.definitions(kind)[name]), **parts})


@pytest.fixture
def ready(world: World) -> World:
    """An account that has been prepared, with every field of the default mapping."""
    world.connect().prepare()
    with world.portal.store.lock:
        for name in CREATED:
            plain = deepcopy(world.portal.definitions("contacts")["company"])
            world.portal.keep_property("contacts", {**plain, "name": name})
    return world


def test_an_account_that_lacks_nothing_has_no_findings(ready: World) -> None:
    assert found(ready) == {}


def test_asking_changes_nothing(ready: World) -> None:
    def everything() -> dict[str, Any]:
        with ready.portal.store.lock:
            names = [name for name in ready.portal.store.collections() if not name.startswith("_")]
            return {name: deepcopy(list(ready.portal.store.all(name))) for name in names}

    before = everything()
    found(ready)
    assert everything() == before


@pytest.mark.parametrize("scope", sorted({probe.scope for probe in PROBES}))
def test_each_missing_scope_is_named_with_what_goes_without_it(
    ready: World, scope: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if scope == "crm.schemas.contacts.read":
        # The fake portal takes the scope of contacts for it; here it is as narrow as HubSpot may be.
        monkeypatch.setattr(gate, "SCOPES", ((r"GET /crm/v3/properties", scope), *gate.SCOPES))
    grant(ready, *[one for one in ALL_SCOPES if one != scope])
    findings = found(ready)
    missing = findings["missing_scope", scope]
    assert scope in missing.message
    assert "Settings > Integrations > Private Apps" in missing.remedy
    assert "connected again" in missing.remedy
    blocking = {"crm.objects.contacts.read", "crm.objects.contacts.write"}
    assert (missing.severity == Severity.BLOCKING) == (scope in blocking)
    assert {code for code, _ in findings} == {"missing_scope"}


def test_a_token_without_any_right_is_reported_and_never_raises(ready: World) -> None:
    grant(ready)
    findings = found(ready)
    assert {subject for code, subject in findings if code == "missing_scope"} >= {
        "crm.objects.contacts.read",
        "crm.objects.contacts.write",
        "crm.objects.owners.read",
        "crm.schemas.contacts.write",
    }


def test_the_timeline_is_checked_where_it_is_switched_on(ready: World) -> None:
    settings = {"timeline": {"template_id": "123456"}}
    assert ("missing_scope", "timeline") in found(ready, settings=settings)
    assert ("missing_scope", "timeline") not in found(ready)


def test_missing_fields_are_told_from_archived_ones(world: World) -> None:
    world.connect().prepare()
    with world.portal.store.lock:
        for name in CREATED[:2]:
            world.portal.definitions("contacts").pop(name, None)
        plain = deepcopy(world.portal.definitions("contacts")["company"])
        world.portal.keep_property("contacts", {**plain, "name": CREATED[0], "archived": True})
    findings = found(world)
    archived = findings["field_archived", CREATED[0]]
    assert "Restore" in archived.remedy
    missing = findings["field_missing", CREATED[1]]
    assert "Create num_calls" in missing.remedy


def test_a_hidden_field_is_a_note_and_a_read_only_one_a_warning(ready: World) -> None:
    redefine(ready, "jobtitle", hidden=True)
    redefine(ready, "company", calculated=True)
    read_only = {"archivable": False, "readOnlyDefinition": True, "readOnlyOptions": True, "readOnlyValue": True}
    redefine(ready, "phone", modificationMetadata=read_only)
    redefine(ready, "hubspot_owner_id", modificationMetadata=read_only)
    findings = found(ready)
    assert set(findings) == {
        ("field_hidden", "jobtitle"),
        ("field_read_only", "company"),
        ("field_read_only", "phone"),
    }, "owners are only read, so that field may be read-only"
    assert findings["field_hidden", "jobtitle"].severity == Severity.NOTE
    assert "inbound" in findings["field_read_only", "phone"].remedy


OURS = pytest.mark.parametrize(("kind", "name"), [("calls", "dialer_call_id"), ("contacts", "dialer_contact_id")])


@OURS
def test_our_unique_property_is_checked(ready: World, kind: str, name: str) -> None:
    redefine(ready, name, kind, hasUniqueValue=False)
    assert f"Delete {name}" in found(ready)["field_not_unique", name].remedy


@OURS
def test_a_unique_property_that_is_not_there_yet_is_a_note(world: World, kind: str, name: str) -> None:
    finding = found(world)["field_missing", name]
    assert finding.severity == Severity.NOTE
    assert kind in finding.message.lower()


def test_no_room_for_the_unique_property_names_those_that_take_it(world: World) -> None:
    with world.portal.store.lock:
        for number in range(10):
            plain = deepcopy(world.portal.definitions("calls")["hs_call_title"])
            world.portal.keep_property("calls", {**plain, "name": f"key_{number}", "hasUniqueValue": True})
    finding = found(world)["no_unique_property", "dialer_call_id"]
    assert "key_0, key_1" in finding.remedy


def test_a_day_that_is_nearly_used_up_is_told(ready: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ("low_quota", "daily requests") not in found(ready)
    monkeypatch.setitem(ready.portal._today, PRIVATE_TOKEN, 600_000)
    low = found(ready)["low_quota", "daily requests"]
    assert "625000" in low.message
    assert "midnight" in low.remedy


@pytest.mark.parametrize(
    ("dial", "kind"),
    [
        pytest.param({"kind": "status", "status": 503}, errors.Retry, id="down"),
        pytest.param({"kind": "throttled"}, errors.Throttled, id="too often"),
        pytest.param({"kind": "status", "status": 401, "body": {}}, errors.Reconnect, id="dead token"),
    ],
)
def test_a_portal_that_cannot_be_asked_is_no_finding(
    ready: World, dial: dict[str, Any], kind: type[errors.CrmError]
) -> None:
    ready.portal.faults.set([{**dial, "times": 1}])
    with pytest.raises(kind):
        found(ready)


@responses.activate
def test_an_address_that_leads_nowhere_is_the_operators_to_mend(settings: Settings) -> None:
    host = "https://api.hubapi.com"
    settings.HUBSPOT_API_VERSIONS = ["owners=2027-03"]
    for method in ("GET", "POST"):
        responses.add(method, f"{host}/crm/owners/2027-03", status=404, body="<html>Not found</html>")
        for kind in ("contacts", "companies", "deals", "calls", "meetings", "tasks"):
            responses.add(method, f"{host}/crm/v3/objects/{kind}", json={})
            responses.add(method, f"{host}/crm/v3/objects/{kind}/search", json={})
            responses.add(method, f"{host}/crm/v3/objects/{kind}/batch/update", status=400, json={"message": "empty"})
            responses.add(method, f"{host}/crm/v3/properties/{kind}", json={"results": []})
            responses.add(method, f"{host}/crm/v3/properties/{kind}/batch/create", status=400, json={})
            responses.add(method, re.compile(f"{host}/crm/v3/properties/{kind}/.*"), status=404, json={})
    api = PlainApi(Provider, Credential(auth="private_app", access_token="pat"), host)
    findings = Provider(Connection(id="c", tenant_id="t"), api).preflight()
    (unreachable,) = [one for one in findings if one.code == "unreachable"]
    assert unreachable.subject == "owners"
    assert "HUBSPOT_API_VERSIONS" in unreachable.remedy
    missing = {one.subject for one in findings if one.code == "field_missing"}
    assert {"firstname", "dialer_call_id"} <= missing


def test_the_whole_check_costs_a_handful_of_requests(ready: World) -> None:
    provider = ready.connect()
    provider.preflight()
    assert len(sent(provider)) <= 15
