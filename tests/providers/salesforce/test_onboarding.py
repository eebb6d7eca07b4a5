"""What onboarding makes in a tenant's account, and what it says where it may not."""

import io
import zipfile
from typing import Any

import pytest
import responses
from defusedxml.ElementTree import fromstring

from integrations import errors
from integrations.providers.salesforce import blueprint, custom_fields, deploying
from tests.providers.salesforce.world import DATA, HOST, World, offline


def made_fields(world: World) -> list[tuple[str, str]]:
    rows = [row for row in world.store.all("CustomField") if row["Host"] in blueprint.FIELDS]
    return sorted((row["Host"], f"{row['DeveloperName']}__c") for row in rows)


# --- making the fields ----------------------------------------------------------------------------------------------


def test_prepare_makes_the_fields_grants_them_and_says_the_same_again(world: World) -> None:
    provider, _ = world.connect()
    first = provider.prepare()
    again, api = world.connect()
    assert first["call_key"] == "Dialer_Call_Id__c"
    assert first["warnings"] == []
    assert "Dialer_Call_Recording_URL__c" in first["task_fields"]
    assert again.prepare() == first
    assert all(call.startswith("GET") for call in api.calls), "there was nothing left to do"
    assert len(api.calls) == 4  # three describes and the list of objects
    granted = {row["Field"] for row in world.store.all("FieldPermissions")}
    assert {"Task.Dialer_Call_Id__c", "Event.Dialer_Call_Id__c", "Lead.Dialer_DNC__c"} <= granted


@pytest.mark.parametrize("steps_done", [1, 5, 15, 16, 17, 18, 19, 20])
def test_prepare_goes_on_where_an_earlier_run_broke_off(world: World, steps_done: int) -> None:
    provider, api = world.connect()
    posts = 0
    real = api.request

    def breaking(method: str, path: str, **more: Any) -> Any:
        nonlocal posts
        posts += method == "POST"
        if posts > steps_done:
            raise errors.Retry("No answer.")
        return real(method, path, **more)

    provider.api.request = breaking  # type: ignore[method-assign]
    with pytest.raises(errors.Retry):
        provider.prepare()
    assert world.connect()[0].prepare()["call_key"] == "Dialer_Call_Id__c"
    assert made_fields(world) == sorted(blueprint.every_field())
    assert len([row for row in world.store.all("PermissionSet") if row["Name"] == "Dialer_Integration"]) == 1


def test_where_customizing_is_refused_calls_fall_back_to_a_standard_field_and_people_are_told(world: World) -> None:
    world.dial({"kind": "no_customizing"})
    provider, _ = world.connect()
    found = provider.prepare()
    assert found["call_key"] == "CallObject"
    assert "External ID" in found["warnings"][0]
    assert "INSUFFICIENT_ACCESS" in found["warnings"][0]
    assert world.store.count("CustomField") == 0


def test_a_field_that_takes_a_while_to_appear_is_found_by_the_next_run(world: World) -> None:
    world.dial({"kind": "slow_schema", "seconds": 20})
    first = world.connect()[0].prepare()
    world.sandbox.clock.advance(30)
    assert (first["call_key"], len(first["warnings"])) == ("CallObject", len(list(blueprint.every_field())))
    assert "does not see it yet" in first["warnings"][-1]
    again = world.connect()[0].prepare()
    assert (again["call_key"], again["warnings"]) == ("Dialer_Call_Id__c", [])


def test_a_field_that_somebody_hid_is_shown_again_instead_of_made_again(world: World) -> None:
    world.connect()[0].prepare()
    for grant in list(world.store.all("FieldPermissions")):
        world.store.delete("FieldPermissions", grant["Id"])
    assert world.connect()[0].prepare()["call_key"] == "Dialer_Call_Id__c"
    assert made_fields(world) == sorted(blueprint.every_field())


def test_steps_that_somebody_else_did_meanwhile_are_done(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The look-up finds nothing, and creating says that it is there."""
    world.connect()[0].prepare()
    for grant in list(world.store.all("PermissionSetAssignment")):
        world.store.delete("PermissionSetAssignment", grant["Id"])
    monkeypatch.setattr(custom_fields, "existing_fields", lambda api, missing: set())
    found = world.connect()[0].prepare()
    assert (found["call_key"], found["warnings"]) == ("Dialer_Call_Id__c", [])


def test_a_field_of_that_name_which_is_no_key_is_not_used_as_one(world: World) -> None:
    world.connect()[0].prepare()
    for made in list(world.store.all("CustomField")):
        world.sandbox.org.save("CustomField", {**made, "Metadata": {**made["Metadata"], "externalId": False}})
    found = world.connect()[0].prepare()
    assert found["call_key"] == "CallObject"
    assert "External ID" in found["warnings"][0]


@responses.activate
def test_an_account_that_renamed_its_closed_status_is_told_which_ones_it_has() -> None:
    statuses = [{"value": value, "active": True} for value in ("Offen", "Erledigt")]
    fields = [
        {"name": "Dialer_Call_Id__c", "type": "string", "externalId": True, "createable": True},
        {"name": "Dialer_Call_Recording_URL__c", "type": "url", "createable": True},
        {"name": "Status", "type": "picklist", "createable": True, "picklistValues": statuses},
        {"name": "Priority", "type": "picklist", "createable": True, "picklistValues": [{"value": "Hoch"}]},
    ]
    ours = [{"name": name, "type": "string", "createable": True} for _host, name in blueprint.every_field()]
    for object_type in ("Task", "Lead", "Contact"):
        responses.get(f"{HOST}{DATA}/sobjects/{object_type}/describe", json={"fields": [*ours, *fields]})
    objects = [{"name": name, "createable": True} for name in blueprint.OBJECTS]
    responses.get(f"{HOST}{DATA}/sobjects", json={"sobjects": objects})
    found = offline().prepare()
    assert "Offen, Erledigt" in found["warnings"][0]
    assert "Priority" not in found["task_fields"]  # "Normal" would be refused


@pytest.mark.parametrize("hidden", ["Dialer_Call_Recording_URL__c", "Status"])
def test_what_is_missing_beside_the_key_is_warned_of_only(world: World, hidden: str) -> None:
    world.store.put("_hidden", "1", {"object": "Task", "field": hidden})
    found = world.connect()[0].prepare()
    assert found["call_key"] == "Dialer_Call_Id__c"
    assert len(found["warnings"]) == (hidden != "Status")


# --- everything at once --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("object_type", "name", "kind"),
    [
        ("Task", "Dialer_Call_Id__c", "string"),
        ("Task", "Dialer_Call_Recording_URL__c", "url"),
        ("Event", "Dialer_Call_Recording_URL__c", "url"),
        ("Task", "Dialer_AI_Score__c", "double"),
        *(
            (person, name, kind)
            for person in ("Lead", "Contact")
            for name, kind in [
                ("Dialer_Last_Disposition__c", "string"),
                ("Dialer_Call_Count__c", "double"),
                ("Dialer_AI_Score__c", "double"),
                ("Dialer_Last_Called__c", "datetime"),
                ("Dialer_DNC__c", "boolean"),
                ("Dialer_Contact_Id__c", "string"),
            ]
        ),
        ("Dialer_Session__c", "Talk_Seconds__c", "double"),
        ("Dialer_Voicemail_Drop__c", "Lead__c", "reference"),
    ],
)
def test_every_field_of_ours_is_made_and_may_be_written(world: World, object_type: str, name: str, kind: str) -> None:
    world.connect()[0].prepare()
    described = {
        one["name"]: one for one in world.ask("GET", f"{DATA}/sobjects/{object_type}/describe").json()["fields"]
    }
    assert described[name]["type"] == kind
    assert described[name]["updateable"]


def test_checking_only_makes_nothing_and_says_of_each_missing_thing_what_to_click(world: World) -> None:
    provider, api = world.connect(settings={"check_only": True})
    found = provider.prepare()
    assert not [call for call in api.calls if not call.startswith("GET")]
    assert world.store.count("CustomField") == 0
    assert found["call_key"] == "CallObject"
    assert len(found["warnings"]) == len(list(blueprint.every_field())) + len(blueprint.OBJECTS)
    assert all("Setup >" in warning for warning in found["warnings"])
    for _host, name in blueprint.every_field():
        assert any(name.removesuffix("__c") in warning for warning in found["warnings"]), name


def test_checking_only_is_content_with_what_somebody_else_made(world: World) -> None:
    world.connect()[0].prepare()
    assert world.connect(settings={"check_only": True})[0].prepare()["warnings"] == []


def test_a_field_that_exists_but_is_hidden_is_not_called_missing(world: World) -> None:
    world.connect()[0].prepare()
    for grant in [row for row in world.store.all("FieldPermissions") if row["Field"] == "Lead.Dialer_DNC__c"]:
        world.store.delete("FieldPermissions", grant["Id"])
    warnings = world.connect(settings={"check_only": True})[0].prepare()["warnings"]
    assert len(warnings) == 1
    assert "has the field Dialer_DNC__c on Lead" in warnings[0]


def test_the_default_mappings_own_fields_can_be_written_after_onboarding(world: World) -> None:
    provider, _ = world.prepared()
    paths = {row.crm_field for row in provider.default_mappings if row.crm_field.startswith("Dialer_")}
    for object_type in ("Lead", "Contact"):
        writable = {spec.path for spec in provider.describe(object_type) if spec.writable}
        assert paths <= writable


# --- the objects ----------------------------------------------------------------------------------------------------


def test_the_two_objects_are_made_granted_and_take_records(world: World) -> None:
    world.connect()[0].prepare()
    answer = world.ask(
        "POST",
        f"{DATA}/sobjects/Dialer_Session__c",
        json={"Dialer_Key__c": "s-1", "Calls__c": 12, "Agent_Email__c": "a@b.example"},
    )
    assert answer.status_code == 201
    drop = {"Dialer_Key__c": "v-1", "Name": "Intro", "Lead__c": world.lead(), "Dropped_At__c": "2026-03-02T10:00:00Z"}
    made = world.ask("POST", f"{DATA}/sobjects/Dialer_Voicemail_Drop__c", json=drop)
    assert made.status_code == 201
    held = world.soql("SELECT Name, Lead__c, Lead__r.LastName FROM Dialer_Voicemail_Drop__c").json()["records"][0]
    assert (held["Name"], held["Lead__c"]) == ("Intro", world.lead())


def test_a_deployment_that_takes_its_time_is_looked_at_again_by_the_next_run(world: World) -> None:
    world.dial({"kind": "slow_deploy", "seconds": 60})
    first = world.connect()[0].prepare()
    assert first["deployment"]
    assert "still making the objects Dialer Session and Dialer Voicemail Drop" in first["warnings"][0]
    waiting = world.connect(metadata=first)[0].prepare()
    assert waiting["deployment"] == first["deployment"]
    world.sandbox.clock.advance(90)
    done = world.connect(metadata=waiting)[0].prepare()
    assert (done["deployment"], done["warnings"]) == ("", [])
    assert world.store.count("_deployments") == 1


def test_a_failed_deployment_says_why_and_is_begun_anew_the_next_time(world: World) -> None:
    world.dial({"kind": "bad_deploy", "times": 1})
    first = world.connect()[0].prepare()
    assert (first["call_key"], first["deployment"], len(first["warnings"])) == ("Dialer_Call_Id__c", "", 2)
    assert "limit of custom objects" in first["warnings"][0]
    assert world.connect(metadata=first)[0].prepare()["warnings"] == []


def test_a_deployment_that_is_forgotten_is_begun_anew(world: World) -> None:
    lost = "0AfHs0000000000KAA"
    first = world.connect(metadata={"deployment": lost})[0].prepare()
    assert first["deployment"] == ""
    assert world.connect(metadata=first)[0].prepare()["warnings"] == []


def test_objects_that_are_there_but_hidden_are_granted_without_a_deployment(world: World) -> None:
    world.connect()[0].prepare()
    for grant in list(world.store.all("ObjectPermissions")):
        world.store.delete("ObjectPermissions", grant["Id"])
    checked = world.connect(settings={"check_only": True})[0].prepare()
    assert "may not see the Salesforce object Dialer Session" in checked["warnings"][0]
    assert world.connect()[0].prepare()["warnings"] == []
    assert world.store.count("_deployments") == 1


def test_the_package_is_well_formed_and_the_same_each_time() -> None:
    names = list(blueprint.OBJECTS)
    assert deploying.package(names) == deploying.package(names)
    with zipfile.ZipFile(io.BytesIO(deploying.package(names))) as archive:
        files = {name: fromstring(archive.read(name)) for name in archive.namelist()}
    assert set(files) == {"package.xml", *(f"objects/{name}.object" for name in names)}
    xml = "{http://soap.sforce.com/2006/04/metadata}"
    assert [one.text for one in files["package.xml"].iter(f"{xml}members")] == names
    assert files["package.xml"].findtext(f"{xml}version") == "59.0"
    fields = {one.text for one in files["objects/Dialer_Session__c.object"].iter(f"{xml}fullName")}
    assert fields == set(blueprint.OBJECTS["Dialer_Session__c"]["fields"])
