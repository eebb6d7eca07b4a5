"""What both sides changed apart: kept once while it is open, written to neither side, decided by a person, and known afterwards."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from integrations.models import CrmConnection
from integrations.records.events import Change, RemoteEvent
from integrations.sandbox.server import SandboxServer
from mapping.models import ConflictPolicy, FieldMapping, MappingVersion
from mapping.publishing import add_defaults, publish
from sync import conflicts, editing, inbox
from sync.conflicts import Choice
from sync.editing import Author
from sync.models import Conflict, Contact, FieldChange, SyncJob, SyncRecord
from sync.pull import pull
from sync.work import work
from tests.providers.case import PATIENCE, Case

DIALER = Author("api", "Dialer")


@pytest.fixture
def crm(scoped: CrmConnection) -> CrmConnection:
    add_defaults(scoped)
    ConflictPolicy.objects.create(tenant=scoped.tenant, overrides={"company": "manual", "last_name": "manual"})
    return scoped


def put(server: SandboxServer, number: int = 1, **fields: Any) -> None:
    person = {"first": "Ann", "last": f"Lee{number}", "email": f"ann{number}@example.com", "company": "Base"}
    server.service.put_person(str(number), {**person, **fields})  # type: ignore[attr-defined]


def read(crm: CrmConnection) -> None:
    pull(crm, "people", PATIENCE, full=True)


def edit(contact: Contact, **fields: Any) -> None:
    editing.edit(contact.pk, fields, DIALER)


def disagree(crm: CrmConnection, server: SandboxServer, *numbers: int) -> list[Conflict]:
    """Both sides change the company of these people to different values."""
    for number in numbers or (1,):
        put(server, number)
    read(crm)
    for contact in Contact.objects.all():
        edit(contact, company="Ours")
    for number in numbers or (1,):
        put(server, number, company="Theirs")
    read(crm)
    return list(Conflict.objects.order_by("pk"))


def status() -> str:
    return str(SyncRecord.objects.get().sync_status)


def test_an_open_conflict_is_kept_once_and_changes_neither_side(crm: CrmConnection, fake_crm: SandboxServer) -> None:
    conflict = disagree(crm, fake_crm)[0]
    assert (conflict.base, conflict.ours, conflict.theirs) == ("Base", "Ours", "Theirs")
    assert (conflict.status, conflict.strategy, conflict.winner) == ("open", "manual", "")
    assert conflict.ours_at is not None
    assert conflict.theirs_at is not None
    assert (Contact.objects.get().company, status()) == ("Ours", "conflict")
    before = list(FieldChange.objects.values_list("pk", flat=True))
    read(crm)
    assert Conflict.objects.get().pk == conflict.pk
    assert list(FieldChange.objects.values_list("pk", flat=True)) == before


def test_an_open_conflict_follows_either_side(crm: CrmConnection, fake_crm: SandboxServer) -> None:
    disagree(crm, fake_crm)
    edit(Contact.objects.get(), company="Ours two")
    put(fake_crm, company="Theirs two")
    read(crm)
    conflict = Conflict.objects.get()
    assert (conflict.base, conflict.ours, conflict.theirs) == ("Base", "Ours two", "Theirs two")
    edit(Contact.objects.get(), company="Ours three")
    read(crm)
    assert Conflict.objects.get().ours == "Ours three"


@pytest.mark.parametrize(
    ("ours", "theirs", "winner", "kept"),
    [("Theirs", "Theirs", "both", "Theirs"), ("Base", "Theirs", "crm", "Theirs"), ("Ours", "Base", "dialer", "Ours")],
    ids=["we come to the CRM's value", "we go back", "the CRM goes back"],
)
def test_a_conflict_is_over_when_the_sides_no_longer_disagree(
    crm: CrmConnection, fake_crm: SandboxServer, ours: str, theirs: str, winner: str, kept: str
) -> None:
    disagree(crm, fake_crm)
    edit(Contact.objects.get(), company=ours)
    put(fake_crm, company=theirs)
    read(crm)
    conflict = Conflict.objects.get()
    assert (conflict.status, conflict.winner, conflict.value) == ("decided", winner, kept)
    assert Contact.objects.get().company == kept
    assert status() != "conflict"


def test_a_rule_made_meanwhile_decides_the_open_conflict(crm: CrmConnection, fake_crm: SandboxServer) -> None:
    disagree(crm, fake_crm)
    ConflictPolicy.objects.update(overrides={"company": "crm_wins"})
    read(crm)
    conflict = Conflict.objects.get()
    assert (conflict.status, conflict.winner, conflict.strategy) == ("decided", "crm", "crm_wins")
    assert FieldChange.objects.filter(field="company").latest("pk").lost == "Ours"


def test_parts_that_do_not_fit_together_wait_for_a_person(crm: CrmConnection, fake_crm: SandboxServer) -> None:
    ConflictPolicy.objects.update(overrides={"company": "field_level_merge"})
    assert disagree(crm, fake_crm)[0].strategy == "field_level_merge"
    assert status() == "conflict"


# --- which change was later -----------------------------------------------------------------------------------------


def _later_wins(crm: CrmConnection, fake_crm: SandboxServer, theirs_at: datetime, **event: Any) -> str:
    """Our company was changed an hour ago; the record's stamp is now, and an event told of the company's change."""
    ConflictPolicy.objects.update(overrides={"company": "last_write_wins"})
    put(fake_crm)
    read(crm)
    edit(Contact.objects.get(), company="Ours")
    FieldChange.objects.filter(field="company").update(at=timezone.now() - timedelta(hours=1))
    held = fake_crm.service.store.get("people", "1")
    assert held is not None
    stamp = timezone.now() + timedelta(minutes=1)
    fields = {**held["fields"], "company": "Theirs"}
    fake_crm.service.store.put("people", "1", {**held, "fields": fields, "modified": stamp.isoformat()})
    SyncJob.objects.all().delete()
    told = RemoteEvent("told", Change.UPDATED, "people", ("1",), theirs_at, **event)
    inbox.store([inbox.Arrival(crm.tenant_id, crm.pk, told)], inbox.WEBHOOK)
    SyncJob.objects.update(not_before=timezone.now() - timedelta(seconds=1))
    work(crm.pk, patience=PATIENCE)
    return str(Contact.objects.get().company)


def test_the_time_of_the_fields_own_change_decides_not_the_records(crm: CrmConnection, fake_crm: SandboxServer) -> None:
    two_hours_ago = timezone.now() - timedelta(hours=2)
    told = {"changed": ("company",), "values": {"company": "Theirs"}}
    assert _later_wins(crm, fake_crm, two_hours_ago, **told) == "Ours"


@pytest.mark.parametrize(
    "told",
    [{"changed": ("first",)}, {"changed": ("company",), "values": {"company": "Something older"}}],
    ids=["another field", "a value that was replaced since"],
)
def test_an_event_about_something_else_says_nothing_of_the_fields_time(
    crm: CrmConnection, fake_crm: SandboxServer, told: dict[str, Any]
) -> None:
    assert _later_wins(crm, fake_crm, timezone.now() - timedelta(hours=2), **told) == "Theirs"


def test_an_edit_of_another_field_of_ours_does_not_make_this_one_later(
    crm: CrmConnection, fake_crm: SandboxServer
) -> None:
    ConflictPolicy.objects.update(overrides={"company": "last_write_wins"})
    put(fake_crm)
    read(crm)
    edit(Contact.objects.get(), company="Ours")
    edit(Contact.objects.get(), title="Buyer")
    FieldChange.objects.filter(field="company").update(at=datetime(2025, 1, 1, tzinfo=timezone.get_fixed_timezone(0)))
    put(fake_crm, company="Theirs")
    read(crm)
    assert Contact.objects.get().company == "Theirs"


# --- deciding -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "value", "kept", "lost", "winner"),
    [
        (Choice.OURS, None, "Ours", "Theirs", "dialer"),
        (Choice.THEIRS, None, "Theirs", "Ours", "crm"),
        (Choice.OTHER, "Both Ltd", "Both Ltd", "Theirs", "other"),
    ],
)
def test_a_decision_is_kept_with_what_lost_and_not_found_again(
    crm: CrmConnection, fake_crm: SandboxServer, choice: Choice, value: Any, kept: str, lost: str, winner: str
) -> None:
    conflict = disagree(crm, fake_crm)[0]
    SyncJob.objects.all().delete()
    assert conflicts.resolve(conflict, choice, "ann", value=value)
    conflict.refresh_from_db()
    assert (conflict.status, conflict.winner, conflict.value, conflict.decided_by) == ("decided", winner, kept, "ann")
    assert Contact.objects.get().company == kept
    change = FieldChange.objects.latest("pk")
    assert (change.old, change.new, change.lost, change.rule, change.source, change.actor) == (
        "Ours", kept, lost, "manual", "person", "ann",
    )  # fmt: skip
    assert SyncRecord.objects.get().base["company"] == "Theirs"
    assert SyncJob.objects.get().kind == "push"
    read(crm)
    assert not Conflict.objects.filter(status="open").exists()
    assert Contact.objects.get().company == kept


def test_a_conflict_is_decided_once(crm: CrmConnection, fake_crm: SandboxServer) -> None:
    conflict = disagree(crm, fake_crm)[0]
    assert conflicts.resolve(conflict, Choice.OURS, "ann")
    assert not conflicts.resolve(conflict, Choice.THEIRS, "bob")
    assert Contact.objects.get().company == "Ours"


def test_deciding_all_alike_makes_a_rule_in_a_new_version(crm: CrmConnection, fake_crm: SandboxServer) -> None:
    first, *_others = disagree(crm, fake_crm, 1, 2, 3)
    publish(crm.tenant_id, crm.provider)
    version = MappingVersion.objects.count()
    assert conflicts.alike(first).count() == 3
    assert conflicts.resolve_alike(first, Choice.THEIRS, "ann") == 3
    assert set(Contact.objects.values_list("company", flat=True)) == {"Theirs"}
    assert FieldMapping.objects.get(dialer_field="company").strategy == "crm_wins"
    assert MappingVersion.objects.count() == version + 1
    edit(Contact.objects.get(email="ann1@example.com"), company="Ours again")
    put(fake_crm, 1, company="Theirs again")
    read(crm)
    assert Contact.objects.get(email="ann1@example.com").company == "Theirs again"
    assert not Conflict.objects.filter(status="open").exists()


def test_deciding_many_costs_few_statements(
    crm: CrmConnection, fake_crm: SandboxServer, django_assert_max_num_queries: Any
) -> None:
    first, *_others = disagree(crm, fake_crm, *range(1, 21))
    with django_assert_max_num_queries(40):
        assert conflicts.resolve_alike(first, Choice.OURS, "ann") == 20


def test_one_other_value_cannot_be_right_for_all(crm: CrmConnection, fake_crm: SandboxServer) -> None:
    with pytest.raises(ValueError, match="can't be right"):
        conflicts.resolve_alike(disagree(crm, fake_crm)[0], Choice.OTHER, "ann")


# --- against every CRM ----------------------------------------------------------------------------------------------


def run(case: Case) -> None:
    SyncJob.objects.filter(state="ready").update(not_before=timezone.now() - timedelta(seconds=1))
    work(case.row.pk, patience=PATIENCE)


@pytest.mark.django_db
@pytest.mark.parametrize("choice", [Choice.OURS, Choice.THEIRS])
def test_an_open_field_is_not_written_and_the_decision_reaches_both_sides(case: Case, choice: Choice) -> None:
    ConflictPolicy.objects.create(tenant=case.tenant, overrides={"last_name": "manual"})
    kind, record_id = case.record()
    pull(case.row, kind, PATIENCE)
    link = SyncRecord.objects.get(crm_object_type=kind, crm_record_id=record_id)
    case.server.service.clock.advance(120)
    case.server.service.edit(kind, record_id, dict(case.to_write({"last_name": "Theirs"}, record_id).values))
    case.server.service.clock.advance(120)
    assert link.local_record_id
    editing.edit(link.local_record_id, {"last_name": "Ours", "first_name": "Written"}, DIALER)
    run(case)
    conflict = Conflict.objects.get()
    assert (conflict.status, conflict.ours, conflict.theirs) == ("open", "Ours", "Theirs")
    held = case.read(record_id)
    assert (held["first_name"], held["last_name"]) == ("Written", "Theirs")
    assert SyncRecord.objects.get(pk=link.pk).sync_status == "conflict"
    conflicts.resolve(conflict, choice, "ann")
    run(case)
    kept = "Ours" if choice == Choice.OURS else "Theirs"
    assert case.read(record_id)["last_name"] == kept
    assert Contact.objects.get(pk=link.local_record_id).last_name == kept
    assert SyncRecord.objects.get(pk=link.pk).sync_status == "synced"
