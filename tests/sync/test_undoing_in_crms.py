"""A mapping version is taken back in each CRM: over real HTTP, in its own words, and over nobody's head."""

from typing import Any

import pytest

from integrations.models import RateWindow
from integrations.registry import provider_class
from mapping.models import FieldMapping
from mapping.paths import compile_path
from mapping.publishing import publish
from sync import editing
from sync.models import Contact, FieldChange, SentValue, SyncJob, SyncRecord, UndoItem
from sync.undoing import undos
from sync.work import work
from tests.providers.case import PATIENCE, Case

API = editing.Author("api", "Dialer")
PEOPLE = 6


def drain(case: Case) -> None:
    for _round in range(60):
        SyncJob.objects.filter(state="ready").update(not_before="2026-01-01T00:00:00Z")
        if not SyncJob.objects.filter(state="ready").exists():
            break
        RateWindow.objects.update(stamps=[], blocked_until=0)  # nobody waits here for the next window
        work(case.row.pk, patience=PATIENCE)
    assert not list(SyncJob.objects.exclude(state="done").values("kind", "state", "error"))


def titles(case: Case) -> dict[str, Any]:
    """By contact, what the CRM holds where a company stands."""
    links = SyncRecord.objects.filter(local_table="contacts").order_by("pk")
    names = dict(Contact.objects.values_list("pk", "first_name"))
    return {names[link.local_record_id]: company_in(case, link) for link in links}


def company_in(case: Case, link: SyncRecord) -> Any:
    path = str(FieldMapping.objects.get(dialer_field="company", crm_provider=case.slug).crm_field)
    found = case.provider.fetch(link.crm_object_type, [link.crm_record_id], (path,)).records[0]
    return compile_path(path).get(dict(found.fields))


@pytest.mark.parametrize("direction", ["outbound", "bidirectional"])
def test_a_bad_table_of_choices_is_taken_back_in_every_crm(case: Case, direction: str) -> None:
    kind = provider_class(case.slug).person_types[0]
    people = [
        editing.create(case.tenant.pk, {"first_name": f"P{number}", "last_name": "Quill", "email": f"p{number}@example.com",
                                        "company": "Hot Ltd"}, API)
        for number in range(PEOPLE)
    ]  # fmt: skip
    drain(case)
    before = titles(case)
    assert set(before.values()) == {"Hot Ltd"}
    row = FieldMapping.objects.get(dialer_field="company", crm_provider=case.slug)
    row.sync_direction, row.transform_rule = direction, "picklist_map"
    row.custom_transform = {"map": {"Won Ltd": "Cold Ltd"}, "unmapped": "pass"}
    row.save()
    version = publish(case.tenant.pk, case.slug)
    drain(case)
    for person in people:
        editing.edit(person.pk, {"company": "Won Ltd"}, API)
    drain(case)
    assert set(titles(case).values()) == {"Cold Ltd"}
    assert SentValue.objects.filter(mapping_version=version.number, field="company", known=True).count() == PEOPLE
    service, edited = case.server.service, SyncRecord.objects.get(local_record_id=people[0].pk)
    service.clock.advance(60)
    case.provider.write(kind, [case.to_write({"company": "By hand"}, edited.crm_record_id)])  # as another program does
    service.clock.advance(60)

    made = undos.plan_version(version, "Grace")
    drain(case)
    undos.carry_out(made, "Grace")
    drain(case)
    made.refresh_from_db()
    assert made.status == "done", made.error
    left = UndoItem.objects.filter(undo=made, state="skipped")
    assert {(one.contact_id, one.reason) for one in left} == {(people[0].pk, "edited_in_crm")}
    after = titles(case)
    assert after.pop("P0") == "By hand"
    assert set(after.values()) == {"Won Ltd"}, "what people entered goes out by the mapping that is in force again"
    changes = FieldChange.objects.count()
    drain(case)
    assert titles(case) == {**after, "P0": "By hand"}
    assert FieldChange.objects.count() == changes


def test_an_outbound_field_added_by_mistake_leaves_the_crms_own_values(case: Case) -> None:
    row = FieldMapping.objects.get(dialer_field="company", crm_provider=case.slug)
    people = [
        editing.create(case.tenant.pk, {"first_name": f"P{number}", "last_name": "Quill", "email": f"p{number}@example.com",
                                        "company": f"Own {number}", "title": "Hot"}, API)
        for number in range(PEOPLE)
    ]  # fmt: skip
    drain(case)
    before = titles(case)
    FieldMapping.objects.filter(dialer_field="company").delete()
    publish(case.tenant.pk, case.slug)
    drain(case)
    FieldMapping.objects.filter(crm_provider=case.slug, dialer_field="title").delete()
    row.pk, row._state.adding, row.dialer_field, row.sync_direction = None, True, "custom.rank", "outbound"
    row.transform_rule, row.custom_transform = "picklist_map", {"map": {"Hot": "Cold"}, "unmapped": "pass"}
    for person in people:
        editing.edit(person.pk, {"custom.rank": "Hot"}, API)
    row.save()
    version = publish(case.tenant.pk, case.slug)
    drain(case)
    links = SyncRecord.objects.filter(local_table="contacts")
    path = str(row.crm_field)

    def held() -> dict[str, Any]:
        names = dict(Contact.objects.values_list("pk", "first_name"))
        fetch = case.provider.fetch
        return {
            names[one.local_record_id]: compile_path(path).get(
                dict(fetch(one.crm_object_type, [one.crm_record_id], (path,)).records[0].fields)
            )
            for one in links
        }

    assert set(held().values()) == {"Cold"}
    made = undos.plan_version(version, "Grace")
    drain(case)
    undos.carry_out(made, "Grace")
    drain(case)
    made.refresh_from_db()
    assert (made.status, made.counts.get("skipped", 0)) == ("done", 0)
    assert held() == before
