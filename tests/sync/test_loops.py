"""Our own writes come back as nothing; a value that something in the CRM keeps changing back is not written for ever."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from integrations.records.events import Change, RemoteEvent
from sync import editing, inbox, loops
from sync.editing import Author
from sync.models import Conflict, Contact, FieldChange, InboxEvent, Quarantine, SyncJob, SyncRecord
from sync.pull import pull
from sync.work import work
from tests.providers.case import PATIENCE, Case

OURS, THEIRS = "+14155550142", "+14155550199"
DIALER = Author("api", "Dialer")


@pytest.fixture
def link(case: Case) -> SyncRecord:
    """A person whom both sides know, with nothing left to do."""
    kind, record_id = case.record()
    pull(case.row, kind, PATIENCE)
    run(case)
    found: SyncRecord = SyncRecord.objects.get(crm_object_type=kind, crm_record_id=record_id)
    return found


def run(case: Case) -> None:
    SyncJob.objects.filter(state="ready").update(not_before=timezone.now() - timedelta(seconds=1))
    work(case.row.pk, patience=PATIENCE)


def set_here(link: SyncRecord, **fields: Any) -> None:
    assert link.local_record_id
    editing.edit(link.local_record_id, fields, DIALER)


def set_in_crm(case: Case, link: SyncRecord, **fields: Any) -> None:
    """Somebody edits the record in the CRM, and it tells us."""
    case.server.service.clock.advance(120)
    write = case.to_write(fields, link.crm_record_id)
    case.server.service.edit(link.crm_object_type, link.crm_record_id, dict(write.values))
    case.server.service.clock.advance(120)
    tell(case, link)


def tell(case: Case, link: SyncRecord) -> None:
    key = f"told-{SyncJob.objects.count()}-{FieldChange.objects.count()}-{timezone.now().timestamp()}"
    event = RemoteEvent(key, Change.UPDATED, link.crm_object_type, (link.crm_record_id,))
    inbox.store([inbox.Arrival(case.tenant.pk, case.row.pk, event)], inbox.WEBHOOK)


def bounce(case: Case, link: SyncRecord) -> None:
    """We set the phone, it is written, an automation in the CRM turns it into another one, and we hear of it."""
    set_here(link, phone=OURS)
    run(case)
    set_in_crm(case, link, phone=THEIRS)
    run(case)


def contact_of(link: SyncRecord) -> Contact:
    found: Contact = Contact.objects.get(pk=link.local_record_id)
    return found


def state(link: SyncRecord) -> str:
    """The contact, its history and what both sides agreed on, as text."""
    contact = Contact.objects.filter(pk=link.local_record_id).values("phone", "last_name", "version").get()
    changes = list(FieldChange.objects.filter(contact=link.local_record_id).order_by("pk").values_list("pk", "new"))
    base = SyncRecord.objects.get(pk=link.pk).base
    return json.dumps([contact, changes, base, Conflict.objects.count()], default=str, sort_keys=True)


@pytest.mark.django_db
@pytest.mark.parametrize("way", ["webhook", "poll"])
def test_our_own_write_that_comes_back_changes_nothing(case: Case, link: SyncRecord, way: str) -> None:
    set_here(link, phone=OURS, last_name="Echo")
    run(case)
    assert case.read(link.crm_record_id)["last_name"] == "Echo"
    before = state(link)
    case.server.service.clock.advance(120)
    if way == "webhook":
        tell(case, link)
        run(case)
        assert InboxEvent.objects.get().state == "worked"
    else:
        assert case.pull_all(link.crm_object_type).unchanged > 100
    assert state(link) == before
    assert not SyncJob.objects.filter(kind="push", state="ready").exists()


@pytest.mark.django_db
def test_writes_of_a_field_stop_after_the_second_bounce(case: Case, link: SyncRecord) -> None:
    bounce(case, link)
    bounce(case, link)
    assert contact_of(link).phone == THEIRS
    assert not Quarantine.objects.exists()
    set_here(link, phone=OURS, last_name="Still-Written")
    run(case)
    row = Quarantine.objects.get()
    assert (row.field, row.ours, row.theirs, row.bounces, row.contact_id) == (
        "phone",
        OURS,
        THEIRS,
        2,
        link.local_record_id,
    )
    assert "automation" in row.reason
    held = case.read(link.crm_record_id)
    assert (held["phone"], held["last_name"]) == (THEIRS, "Still-Written")
    set_here(link, phone="+14155550143")
    run(case)
    assert case.read(link.crm_record_id)["phone"] == THEIRS
    assert Quarantine.objects.count() == 1


@pytest.mark.django_db
def test_meanwhile_the_crms_value_is_taken_and_not_pushed_back(case: Case, link: SyncRecord) -> None:
    bounce(case, link)
    bounce(case, link)
    set_here(link, phone=OURS)
    run(case)
    set_in_crm(case, link, phone="+14155550188")
    run(case)
    assert contact_of(link).phone == "+14155550188"
    assert case.read(link.crm_record_id)["phone"] == "+14155550188"
    assert FieldChange.objects.filter(field="phone").latest("pk").lost == OURS
    assert not SyncJob.objects.filter(kind="push", state="ready").exists()


@pytest.mark.django_db
def test_a_released_field_is_written_again_and_starts_afresh(case: Case, link: SyncRecord) -> None:
    bounce(case, link)
    bounce(case, link)
    set_here(link, phone=OURS)
    run(case)
    assert loops.release(Quarantine.objects.get(), "ann")
    assert not loops.release(Quarantine.objects.get(), "bob")
    run(case)
    assert case.read(link.crm_record_id)["phone"] == OURS
    assert Quarantine.objects.get().released_by == "ann"
    assert not Quarantine.objects.filter(released_at=None).exists()


@pytest.mark.django_db
def test_a_phone_that_the_crm_only_spells_differently_does_not_bounce(case: Case, link: SyncRecord) -> None:
    set_here(link, phone=OURS)
    run(case)
    before = state(link)
    write = case.to_write({"phone": THEIRS}, link.crm_record_id)
    spelt = json.dumps(dict(write.values)).replace(THEIRS, "(415) 555-0142")
    assert "(415) 555-0142" in spelt
    case.server.service.clock.advance(120)
    case.server.service.edit(link.crm_object_type, link.crm_record_id, json.loads(spelt))
    tell(case, link)
    run(case)
    assert InboxEvent.objects.get().state == "worked"
    assert state(link) == before


# --- what counts as a bounce ----------------------------------------------------------------------------------------


CRM = "00000000-0000-0000-0000-000000000001"


def change(old: Any, new: Any, *, by_crm: bool = False, field: str = "phone", **more: Any) -> FieldChange:
    return FieldChange(field=field, old=old, new=new, source="crm" if by_crm else "api", **more)


def count(*history: FieldChange) -> int:
    for one in history:
        one.connection_id = CRM if one.source == "crm" else None
    return len(loops.bounces(history, CRM, "phone", "x"))  # type: ignore[arg-type]


def test_a_value_that_we_set_and_the_crm_replaced_has_bounced() -> None:
    assert count(change("y", "x"), change("x", "y", by_crm=True)) == 1
    assert count(*[change("y", "x"), change("x", "y", by_crm=True)] * 2) == 2


def test_a_new_contact_of_ours_that_the_crm_changes_has_bounced() -> None:
    assert count(change(None, {"phone": "x"}, field="*"), change("x", "y", by_crm=True)) == 1


@pytest.mark.parametrize(
    "history",
    [
        [change("y", "x", by_crm=True), change("x", "y", by_crm=True)],
        [change("y", "z"), change("z", "y", by_crm=True)],
        [change("y", "x"), change("x", "y", by_crm=True, rule="crm_wins")],
        [change("y", "x"), change("x", "y")],
        [change("y", "x", field="company"), change("x", "y", by_crm=True, field="company")],
    ],
    ids=["the CRM's own value", "another value", "a decided conflict", "our own change", "another field"],
)
def test_what_is_no_bounce(history: list[FieldChange]) -> None:
    assert count(*history) == 0


def test_do_not_call_is_never_held_back(scoped: Any) -> None:
    contact = Contact.objects.create(tenant=scoped.tenant, do_not_call=True)
    link = SyncRecord.objects.create(
        tenant=scoped.tenant, connection=scoped, crm_provider=scoped.provider, crm_object_type="people", crm_record_id="1",
        local_record_id=contact.pk, local_table="contacts", sync_direction="inbound",
    )  # fmt: skip
    for _number in range(3):
        for source, old, new in (("api", False, True), ("crm", True, False)):
            FieldChange.objects.create(
                tenant=scoped.tenant, contact=contact, field="do_not_call", old=old, new=new, source=source,
                connection=scoped if source == "crm" else None,
            )  # fmt: skip
    assert loops.stop(scoped, [(link, contact, {"do_not_call": True})]) == []
