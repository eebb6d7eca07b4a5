import json
from datetime import UTC, datetime

import pytest
from django.db import IntegrityError, transaction

from integrations import tenancy
from integrations.models import CrmConnection
from sync import values
from sync.bulk import insert, maker, update, upsert
from sync.merge import HELD_BY_NOBODY
from sync.models import Contact, FieldChange, SyncRecord
from tests import factories

ODD = "tab\tline\nback\\slash 'one' \"two\" \\N é 漢 🙂"


def contact(crm: CrmConnection, **values: object) -> Contact:
    return Contact(tenant_id=crm.tenant_id, **values)


def test_new_rows_are_stored_as_they_are(scoped: CrmConnection) -> None:
    moment = datetime(2026, 1, 1, 12, 30, 0, 123456, tzinfo=UTC)
    people = [
        contact(scoped, last_name=ODD, custom={ODD: [ODD, None, 1.5]}, last_called_at=moment, do_not_call=True),
        contact(scoped, ai_score=None, call_count=3),
    ]
    insert(Contact, people)
    first, second = (Contact.objects.get(pk=one.pk) for one in people)
    assert (first.last_name, first.custom, first.last_called_at, first.do_not_call) == (
        ODD,
        {ODD: [ODD, None, 1.5]},
        moment,
        True,
    )
    assert (second.last_name, second.ai_score, second.call_count) == ("", None, 3)
    assert first.change_xid > 0, "the trigger has seen it"


def test_what_the_database_fills_in_is_left_to_it(scoped: CrmConnection) -> None:
    known = contact(scoped)
    insert(Contact, [known])
    insert(FieldChange, [FieldChange(tenant_id=scoped.tenant_id, contact=known, field="a", new=[1], source="crm")])
    change = FieldChange.objects.get()
    assert (change.old, change.new, change.pk > 0, change.at is not None) == (None, [1], True, True)
    assert FieldChange.objects.filter(old__isnull=True).exists(), "no value is not the JSON word null"


def test_known_rows_are_changed_in_the_named_fields_only(scoped: CrmConnection) -> None:
    insert(Contact, [contact(scoped, last_name=str(number), company="Old") for number in range(3)])
    rows = list(Contact.objects.order_by("last_name"))
    for row in rows:
        row.title, row.custom, row.company = ODD, {"a": None}, "not written"
    update(Contact, rows[:2], ["title", "custom"])
    assert list(Contact.objects.order_by("last_name").values_list("title", "custom", "company")) == [
        (ODD, {"a": None}, "Old"),
        (ODD, {"a": None}, "Old"),
        ("", {}, "Old"),
    ]


def test_known_and_new_rows_go_together_and_their_stamps_move(scoped: CrmConnection) -> None:
    def link(number: str) -> SyncRecord:
        return SyncRecord(
            tenant_id=scoped.tenant_id, connection=scoped, crm_provider=scoped.provider, crm_object_type="people",
            crm_record_id=number, local_table="contacts", sync_direction="inbound",
        )  # fmt: skip

    upsert(SyncRecord, [link("1")], ["url"])
    known = SyncRecord.objects.get()
    stamp, known.url = known.updated_at, "https://x.example"
    upsert(SyncRecord, [link("2"), known], ["url", "updated_at"])
    assert list(SyncRecord.objects.order_by("crm_record_id").values_list("crm_record_id", "url")) == [
        ("1", "https://x.example"),
        ("2", ""),
    ]
    assert SyncRecord.objects.get(crm_record_id="1").updated_at > stamp
    with pytest.raises(IntegrityError), transaction.atomic():
        insert(SyncRecord, [link("1")])


def test_rows_of_another_tenant_are_refused(scoped: CrmConnection) -> None:
    with tenancy.everyone():
        other = factories.tenant("other")
    theirs = Contact(tenant_id=other.pk)
    with pytest.raises(tenancy.ScopeRequired):
        insert(Contact, [theirs])
    with pytest.raises(tenancy.ScopeRequired):
        update(Contact, [theirs], ["title"])


def test_rows_that_are_made_alike_are_rows_like_any_other(scoped: CrmConnection) -> None:
    make = maker(Contact, tenant_id=scoped.tenant_id, title="Buyer")
    first, second = make(last_name="Lee"), make(last_name="Roe", title="CEO")
    first.custom["a"] = 1
    assert (first.title, second.title, second.custom, first.pk == second.pk) == ("Buyer", "CEO", {}, False)
    insert(Contact, [first, second])
    stored = list(Contact.objects.order_by("last_name").values("last_name", "title", "custom", "tenant_id", "version"))
    assert stored == [
        {"last_name": "Lee", "title": "Buyer", "custom": {"a": 1}, "tenant_id": scoped.tenant_id, "version": 1},
        {"last_name": "Roe", "title": "CEO", "custom": {}, "tenant_id": scoped.tenant_id, "version": 1},
    ]
    first.title = "CFO"
    first.save()
    assert Contact.objects.get(pk=first.pk).title == "CFO"


def test_a_new_contact_holds_what_the_comparison_takes_it_to_hold(scoped: CrmConnection) -> None:
    names = [
        "first_name",
        "last_name",
        "email",
        "phone",
        "mobile_phone",
        "company",
        "title",
        "lead_status",
        "owner_email",
    ]
    names += ["do_not_call", "last_called_at", "ai_score", "custom.anything"]
    held = values.read(contact(scoped), names)
    assert {name: value for name, value in held.items() if value is not None} == HELD_BY_NOBODY


@pytest.mark.parametrize("text", ["\x00", "a\ud800", "\\u0000", "é漢🙂", "plain"])
def test_fields_of_a_record_are_kept_as_far_as_the_database_can_hold_them(text: str) -> None:
    assert json.loads(values.json_text({text: [text]})) == values.storable({text: [text]})
    values.json_text({text: [text]}).encode()
