"""A tenant's configuration out and in again: nothing lost, nothing half, every fault at its place."""

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from activities.configuration import export, import_document
from activities.models import DispositionMap
from integrations import tenancy
from integrations.models import CrmConnection, Tenant
from mapping.documents import InvalidDocument
from mapping.models import ConflictPolicy, FieldMapping, MappingVersion
from mapping.publishing import add_defaults

ROW = {
    "crm_provider": "hubspot",
    "sync_direction": "bidirectional",
    "dialer_entity": "contact",
    "dialer_field": "email",
    "crm_object": "contacts",
    "crm_field": "email",
}
DOCUMENTED: dict[str, Any] = {
    "conflict_resolution": {
        "default": "crm_wins",
        "overrides": {
            "phone": "crm_wins",
            "email": "crm_wins",
            "disposition": "dialer_wins",
            "call_notes": "dialer_wins",
            "lead_status": "last_write_wins",
        },
    },
    "disposition_mapping": {
        "salesforce": {"Connected": {"TaskSubtype": "Call", "CallDisposition": "Connected", "Status": "Completed"}},
        "hubspot": {"DNC": {"hs_call_status": "COMPLETED", "hs_call_disposition": "busy"}},
        "followupboss": {"Voicemail": {"type": "Call", "outcome": "Left Voicemail"}},
    },
}


def test_what_was_exported_can_be_imported_and_changes_nothing(connection: CrmConnection, tenant: Tenant) -> None:
    with tenancy.scope(tenant.pk):
        add_defaults(connection)
        import_document(tenant, DOCUMENTED)
        before = export(tenant)
        versions = MappingVersion.objects.count()
        import_document(tenant, json.loads(json.dumps(before)))
        assert export(tenant) == before
        assert MappingVersion.objects.count() == versions, "the same rows are the same version"


def test_another_tenant_gets_the_same_configuration(
    connection: CrmConnection, tenant: Tenant, stranger: Tenant
) -> None:
    with tenancy.scope(tenant.pk):
        add_defaults(connection)
        document = export(tenant)
    with tenancy.scope(stranger.pk):
        done = import_document(stranger, document)
        assert export(stranger) == document
        assert done.versions == {"fakecrm": 1}


def test_the_documented_shapes_are_taken_as_they_stand(tenant: Tenant) -> None:
    with tenancy.scope(tenant.pk):
        import_document(tenant, {**DOCUMENTED, "field_mappings": [ROW]})
        assert ConflictPolicy.objects.get().overrides == DOCUMENTED["conflict_resolution"]["overrides"]
        assert DispositionMap.objects.get(crm_provider="hubspot").values["hs_call_disposition"] == "busy"
        assert FieldMapping.objects.get().crm_field == "email"


def test_a_part_that_is_left_out_stays_as_it_is(tenant: Tenant) -> None:
    with tenancy.scope(tenant.pk):
        import_document(tenant, {**DOCUMENTED, "field_mappings": [ROW]})
        import_document(tenant, {"field_mappings": []})
        assert not FieldMapping.objects.exists()
        assert DispositionMap.objects.count() == 3


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ([], "$"),
        ({"mappings": []}, "mappings"),
        ({"field_mappings": {}}, "field_mappings"),
        ({"field_mappings": [ROW, 7]}, "field_mappings[1]"),
        ({"field_mappings": [{**ROW, "crm_provider": "zoho"}]}, "field_mappings[0].crm_provider"),
        ({"field_mappings": [{**ROW, "sync_direction": "up"}]}, "field_mappings[0].sync_direction"),
        ({"field_mappings": [{**ROW, "dialer_field": "emial"}]}, "field_mappings[0].dialer_field"),
        ({"field_mappings": [{**ROW, "crm_field": ""}]}, "field_mappings[0].crm_field"),
        ({"field_mappings": [{**ROW, "crm_field": "emails[0"}]}, "field_mappings[0]"),
        ({"field_mappings": [{**ROW, "transform_rule": "shout"}]}, "field_mappings[0].transform_rule"),
        ({"field_mappings": [{**ROW, "is_required": "yes"}]}, "field_mappings[0].is_required"),
        ({"field_mappings": [{**ROW, "colour": "red"}]}, "field_mappings[0].colour"),
        ({"field_mappings": [ROW, ROW]}, "field_mappings[1].dialer_field"),
        ({"conflict_resolution": {"default": "coin"}}, "conflict_resolution.default"),
        ({"conflict_resolution": {"overrides": {"phone": "coin"}}}, "conflict_resolution.overrides.phone"),
        ({"conflict_resolution": {"overrides": {"shoe": "crm_wins"}}}, "conflict_resolution.overrides.shoe"),
        ({"conflict_resolution": {"overides": {}}}, "conflict_resolution.overides"),
        ({"disposition_mapping": {"zoho": {}}}, "disposition_mapping.zoho"),
        ({"disposition_mapping": {"hubspot": {"DNC": "busy"}}}, "disposition_mapping.hubspot.DNC"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_fault_is_told_at_its_place_and_nothing_is_changed(tenant: Tenant, document: Any, path: str) -> None:
    with tenancy.scope(tenant.pk):
        import_document(tenant, {**DOCUMENTED, "field_mappings": [ROW]})
        before = export(tenant)
        with pytest.raises(InvalidDocument) as refusal:
            import_document(tenant, document)
        assert [one.path for one in refusal.value.problems] == [path]
        assert export(tenant) == before


def test_all_faults_are_told_at_once(tenant: Tenant) -> None:
    document = {"field_mappings": [{**ROW, "crm_provider": "zoho"}], "conflict_resolution": {"default": "coin"}}
    with tenancy.scope(tenant.pk), pytest.raises(InvalidDocument) as refusal:
        import_document(tenant, document)
    assert len(refusal.value.problems) == 2


def test_the_commands_carry_a_configuration_from_one_tenant_to_another(
    tenant: Tenant, stranger: Tenant, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with tenancy.scope(tenant.pk):
        import_document(tenant, {**DOCUMENTED, "field_mappings": [ROW]})
    call_command("export_config", "acme")
    document = capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", io.StringIO(document))
    call_command("import_config", "stranger", "--json")
    assert json.loads(capsys.readouterr().out)["versions"] == {"hubspot": 1}
    with tenancy.scope(stranger.pk):
        assert export(stranger) == json.loads(document)


def test_a_document_that_cannot_be_used_ends_the_command_with_every_reason(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('{"conflict_resolution": {"default": "coin"}}'))
    with pytest.raises(CommandError, match=r"conflict_resolution.default: 'coin' is no strategy"):
        call_command("import_config", "acme")
    monkeypatch.setattr("sys.stdin", io.StringIO("{"))
    with pytest.raises(CommandError, match="not JSON"):
        call_command("import_config", "acme")


EFFECTS = {"DNC": {"do_not_call": True}, "Not Interested": {"lead_status": "Lost", "follow_up_days": 30}}


def test_effects_of_dispositions_come_and_go_with_the_document(tenant: Tenant, stranger: Tenant) -> None:
    with tenancy.scope(tenant.pk):
        assert "disposition_effects" not in export(tenant)
        assert import_document(tenant, {"disposition_effects": EFFECTS}).disposition_effects == 2
        document = export(tenant)
        assert document["disposition_effects"]["Not Interested"] == {
            "do_not_call": False,
            "lead_status": "Lost",
            "follow_up_days": 30,
            "follow_up_title": "",
            "books_meeting": False,
        }
    with tenancy.scope(stranger.pk):
        import_document(stranger, document)
        assert export(stranger)["disposition_effects"] == document["disposition_effects"]
        import_document(stranger, {"disposition_effects": {}})
        assert "disposition_effects" not in export(stranger)


@pytest.mark.parametrize(
    ("effects", "path"),
    [
        ([], "disposition_effects"),
        ({"DNC": True}, "disposition_effects.DNC"),
        ({"DNC": {"dnc": True}}, "disposition_effects.DNC.dnc"),
        ({"DNC": {"do_not_call": 1}}, "disposition_effects.DNC.do_not_call"),
        ({"DNC": {"follow_up_days": True}}, "disposition_effects.DNC.follow_up_days"),
        ({"DNC": {"follow_up_days": 40_000}}, "disposition_effects.DNC.follow_up_days"),
        ({"DNC": {"lead_status": "x" * 201}}, "disposition_effects.DNC.lead_status"),
        ({"DNC": {}, "dnc ": {}}, "disposition_effects.dnc "),
        ({" ": {}}, "disposition_effects. "),
    ],
)
def test_faulty_effects_are_told_at_their_place(tenant: Tenant, effects: Any, path: str) -> None:
    with tenancy.scope(tenant.pk), pytest.raises(InvalidDocument) as refusal:
        import_document(tenant, {"disposition_effects": effects})
    assert [one.path for one in refusal.value.problems] == [path]
