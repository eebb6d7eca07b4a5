"""What the permission check finds, and that it changes nothing."""

from typing import Any

import pytest
import responses

from integrations import errors
from integrations.records.connections import Finding, Severity
from tests.providers.salesforce.world import DATA, HOST, World, offline


def found(world: World) -> dict[tuple[str, str], Finding]:
    provider, api = world.connect()
    findings = provider.preflight()
    assert all(call.startswith("GET") for call in api.calls)
    assert all(one.message and one.remedy.endswith(".") for one in findings)
    return {(one.code, one.subject): one for one in findings}


@pytest.fixture
def prepared(world: World) -> World:
    world.connect()[0].prepare()
    return world


def profile(world: World, **rights: bool) -> None:
    row = next(row for row in world.store.all("PermissionSet") if row["IsOwnedByProfile"])
    world.store.put("PermissionSet", row["Id"], {**row, **rights})


def test_a_well_prepared_account_has_nothing_to_find(prepared: World) -> None:
    assert found(prepared) == {}


def test_a_fresh_account_is_told_which_fields_and_objects_are_missing(world: World) -> None:
    findings = found(world)
    assert findings["field_missing", "Lead.Dialer_DNC__c"].severity is Severity.WARNING
    assert "Checkbox" in findings["field_missing", "Lead.Dialer_DNC__c"].remedy
    assert findings["field_missing", "Activity.Dialer_Call_Id__c"]
    assert findings["object_missing", "Dialer_Session__c"].severity is Severity.NOTE


@pytest.mark.parametrize(
    ("object_type", "right", "code", "severity"),
    [
        ("Lead", "read", "object_hidden", Severity.BLOCKING),
        ("Contact", "read", "object_hidden", Severity.BLOCKING),
        ("Task", "read", "object_hidden", Severity.BLOCKING),
        ("Task", "create", "not_creatable", Severity.BLOCKING),
        ("Lead", "edit", "not_updatable", Severity.WARNING),
        ("Contact", "create", "not_creatable", Severity.WARNING),
        ("Account", "read", "object_hidden", Severity.WARNING),
        ("User", "read", "object_hidden", Severity.WARNING),
        ("Opportunity", "read", "object_hidden", Severity.NOTE),
        ("Event", "read", "object_hidden", Severity.NOTE),
        ("CampaignMember", "read", "object_hidden", Severity.NOTE),
    ],
)
def test_a_right_that_is_missing_on_an_object_is_found(
    prepared: World, object_type: str, right: str, code: str, severity: Severity
) -> None:
    prepared.sandbox.deny(object_type, right)
    finding = found(prepared)[code, object_type]
    assert finding.severity is severity
    assert f"Object Settings > {object_type}" in finding.remedy


def test_a_hidden_field_and_a_missing_one_are_told_apart(prepared: World) -> None:
    prepared.sandbox.hide("Lead", "DoNotCall")
    for grant in [row for row in prepared.store.all("FieldPermissions") if row["Field"] == "Contact.Dialer_DNC__c"]:
        prepared.store.delete("FieldPermissions", grant["Id"])
    for field in [row for row in prepared.store.all("CustomField") if row["DeveloperName"] == "Dialer_Last_Called"]:
        prepared.store.delete("CustomField", field["Id"])
    assert set(found(prepared)) == {
        ("field_hidden", "Lead.DoNotCall"),
        ("field_hidden", "Contact.Dialer_DNC__c"),
        ("field_missing", "Lead.Dialer_Last_Called__c"),
        ("field_missing", "Contact.Dialer_Last_Called__c"),
    }


def test_a_field_that_may_only_be_read_is_found(prepared: World) -> None:
    row = next(row for row in prepared.store.all("FieldPermissions") if row["Field"] == "Lead.Dialer_AI_Score__c")
    prepared.store.put("FieldPermissions", row["Id"], {**row, "PermissionsEdit": False})
    assert set(found(prepared)) == {("field_read_only", "Lead.Dialer_AI_Score__c")}


def test_our_set_that_nobody_assigned_shows_as_hidden_fields(prepared: World) -> None:
    ours = next(row["Id"] for row in prepared.store.all("PermissionSet") if row["Name"] == "Dialer_Integration")
    for row in [row for row in prepared.store.all("PermissionSetAssignment") if row["PermissionSetId"] == ours]:
        prepared.store.delete("PermissionSetAssignment", row["Id"])
    assert ("field_hidden", "Activity.Dialer_Call_Id__c") in found(prepared)


def test_change_events_need_the_right_to_see_every_record(prepared: World) -> None:
    profile(prepared, PermissionsViewAllData=False)
    ours = next(row["Id"] for row in prepared.store.all("PermissionSet") if row["Name"] == "Dialer_Integration")
    right = {"ParentId": ours, "SobjectType": "Contact", "PermissionsRead": True, "PermissionsViewAllRecords": True}
    prepared.ask("POST", f"{DATA}/sobjects/ObjectPermissions", json=right).raise_for_status()
    findings = found(prepared)
    assert set(findings) == {("no_view_all", "Lead"), ("no_view_all", "Task")}
    assert "Object Settings > Lead > tick View All Records" in findings["no_view_all", "Lead"].remedy


@pytest.mark.parametrize(
    ("right", "code", "subject", "severity"),
    [
        ("PermissionsApiEnabled", "api_disabled", "API Enabled", Severity.BLOCKING),
        ("PermissionsCustomizeApplication", "no_customizing", "Customize Application", Severity.NOTE),
    ],
)
def test_a_missing_system_permission_is_found(
    prepared: World, right: str, code: str, subject: str, severity: Severity
) -> None:
    profile(prepared, **{right: False})
    assert [(key, one.severity) for key, one in found(prepared).items()] == [((code, subject), severity)]


@pytest.mark.parametrize(("left", "severity"), [(15_000, Severity.WARNING), (8, None)])
def test_a_day_that_is_nearly_used_up_is_found(prepared: World, left: int, severity: Severity | None) -> None:
    prepared.sandbox.daily_limit = 100_000 if severity else 10**9
    prepared.sandbox._used = 100_000 - left
    finding = found(prepared).get(("daily_limit", "DailyApiRequests"))
    assert (finding.severity if finding else None) is severity


def test_a_status_that_was_renamed_is_found(prepared: World, monkeypatch: pytest.MonkeyPatch) -> None:
    provider, api = prepared.connect()
    real = api.request

    def renamed(method: str, path: str, **more: Any) -> Any:
        answer = real(method, path, **more)
        if path.endswith("/Task/describe"):
            answer._content = answer.content.replace(b'"Completed"', b'"Erledigt"')
        return answer

    monkeypatch.setattr(api, "request", renamed)
    findings = [one for one in provider.preflight() if one.code == "status_missing"]
    assert "Erledigt" in findings[0].remedy


def test_what_may_not_be_looked_into_is_a_note(prepared: World) -> None:
    prepared.sandbox.deny("PermissionSetAssignment", "read")
    assert [one.severity for one in found(prepared).values()] == [Severity.NOTE]


def test_hidden_or_missing_is_left_open_where_the_tooling_api_is_refused(world: World) -> None:
    world.dial({"kind": "no_customizing"})
    assert "or it is hidden" in found(world)["field_missing", "Lead.Dialer_DNC__c"].message


@responses.activate
def test_an_organisation_without_the_api_is_one_blocking_finding() -> None:
    refusal = [{"errorCode": "API_DISABLED_FOR_ORG", "message": "API is disabled for this User"}]
    responses.get(f"{HOST}{DATA}/sobjects", status=403, json=refusal)
    findings = offline().preflight()
    assert [(one.code, one.severity) for one in findings] == [("api_disabled", Severity.BLOCKING)]


@responses.activate
def test_a_service_that_stumbles_is_no_finding() -> None:
    responses.get(f"{HOST}{DATA}/sobjects", status=503, json=[{"errorCode": "SERVER_UNAVAILABLE", "message": "busy"}])
    with pytest.raises(errors.Retry):
        offline().preflight()
