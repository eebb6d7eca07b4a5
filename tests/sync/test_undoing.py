"""A run or a mapping version is taken back field by field; what was edited since stays and is told."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from integrations.crm import open_crm
from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from integrations.records.remote import RecordWrite, Written
from mapping.models import FieldMapping, MappingVersion
from mapping.publishing import publish
from sync import editing, promoting, queue
from sync.editing import Author
from sync.models import Contact, FieldChange, SentValue, SyncJob, SyncRecord, SyncRun, Undo, UndoItem
from sync.pull import pull
from sync.rehearsing import Refused
from sync.undoing import overwritten, steps, undos, writing
from sync.undoing.alike import alike
from tests.fake_crm.provider import FakeService, Provider
from tests.sync.people import PATIENCE, person
from tests.sync.test_fetching import run as work_due
from tests.sync.test_rehearsing import changed_rows, rehearse

ME = Author("person", "Grace")
BAD = {"map": {"Hot": "Cold", "Cold": "Hot"}, "unmapped": "pass"}
PEOPLE = 60


@pytest.fixture(autouse=True)
def writable(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> list[RecordWrite]:
    """The CRM takes what is written; gives the writes."""
    found: FakeService = request.getfixturevalue("service")
    seen: list[RecordWrite] = []

    def write(self: CrmProvider, kind: str, writes: Sequence[RecordWrite]) -> list[Written]:
        seen.extend(writes)
        for one in writes:
            found.edit(kind, one.record_id, one.values)
        return [Written(one.key, one.record_id) for one in writes]

    monkeypatch.setattr(Provider, "write", write)
    monkeypatch.setattr(Provider, "write_batch_size", 100)
    return seen


def load(crm: CrmConnection, service: FakeService, **fields: Any) -> None:
    for number in range(1, PEOPLE + 1):
        person(service, str(number), **{name: value(number) for name, value in fields.items()})
    pull(crm, "people", PATIENCE)


def drain(crm: CrmConnection) -> int:
    """Works until nothing is left to do. Returns how many jobs that took."""
    done = 0
    while SyncJob.objects.filter(state="ready").exists():
        worked = work_due(crm)
        assert not worked.get("dead"), list(
            SyncJob.objects.filter(state="dead").values("kind", "error", "error_detail")
        )
        done += sum(worked.values())
        assert done < 500
    return done


def undo(crm: CrmConnection, made: Undo) -> Undo:
    """The plan, and then what was planned."""
    drain(crm)
    made.refresh_from_db()
    assert made.status == "ready", made.error
    undos.carry_out(made, "Grace")
    drain(crm)
    made.refresh_from_db()
    assert made.status == "done", made.error
    return made


def in_crm(service: FakeService, *names: str) -> dict[str, tuple[Any, ...]]:
    rows = {one["id"]: one["fields"] for one in service.store.all("people")}
    return {one: tuple(fields.get(name) for name in names) for one, fields in rows.items()}


def ours(*names: str) -> dict[str, tuple[Any, ...]]:
    return {one[0]: one[1:] for one in Contact.objects.values_list("last_name", *names)}


def agreed(field: str) -> dict[str, Any]:
    return {link.crm_record_id: link.base.get(field) for link in SyncRecord.objects.all()}


def skipped(made: Undo) -> set[tuple[str, str]]:
    names = dict(Contact.objects.values_list("pk", "last_name"))
    rows = UndoItem.objects.filter(undo=made, state="skipped").values_list("contact_id", "reason")
    return {(names[contact_id], reason) for contact_id, reason in rows}


def contact(number: int) -> Contact:
    found: Contact = Contact.objects.get(last_name=f"Lee{number}")
    return found


def map_status(crm: CrmConnection, direction: str = "bidirectional", **more: Any) -> MappingVersion:
    FieldMapping.objects.update_or_create(
        tenant=crm.tenant, crm_provider=crm.provider, dialer_entity="contact", dialer_field="lead_status",
        defaults={"sync_direction": direction, "crm_object": "people", "crm_field": "stage", **more},
    )  # fmt: skip
    return publish(crm.tenant_id, crm.provider)


def is_quiet(crm: CrmConnection, writable: list[RecordWrite]) -> None:
    """Reading everything again and working what comes of it changes nothing on either side."""
    pull(crm, "people", PATIENCE, full=True)  # what was edited in the CRM meanwhile comes with it
    drain(crm)
    before, count = (ours("lead_status", "company"), FieldChange.objects.count()), len(writable)
    pull(crm, "people", PATIENCE, full=True)
    drain(crm)
    assert (ours("lead_status", "company"), FieldChange.objects.count()) == before
    assert len(writable) == count, [one.values for one in writable[count:]]


def test_an_outbound_field_that_was_added_by_mistake_goes_back_to_what_the_crm_held(
    crm: CrmConnection, service: FakeService, writable: list[RecordWrite]
) -> None:
    load(crm, service, stage=lambda number: f"Stage {number % 3}")
    Contact.objects.update(lead_status="Hot")
    before = in_crm(service, "stage")
    version = map_status(crm, "outbound", transform_rule="picklist_map", custom_transform=BAD)
    drain(crm)
    assert set(in_crm(service, "stage").values()) == {("Cold",)}
    assert SentValue.objects.filter(known=True, mapping_version=version.number).count() == PEOPLE

    service.edit("people", "1", {"stage": "By hand"})
    service.edit("people", "2", {"last": "Lee2", "company": "Elsewhere"})
    editing.edit(contact(3).pk, {"lead_status": "Won"}, ME)
    drain(crm)
    Contact.objects.filter(last_name="Lee4").update(call_count=3)
    made = undo(crm, undos.plan_version(version, "Grace"))
    assert skipped(made) == {("Lee1", "edited_in_crm"), ("Lee3", "edited_here")}
    after = in_crm(service, "stage")
    assert after["1"] == ("By hand",)
    assert {key: value for key, value in after.items() if key not in ("1", "3")} == {
        key: value for key, value in before.items() if key not in ("1", "3")
    }
    assert set(ours("lead_status").values()) == {("Hot",), ("Won",)}
    assert "lead_status" not in MappingVersion.objects.order_by("-number")[0].rows
    is_quiet(crm, writable)
    again = undo(crm, undos.plan_version(version, "Grace"))
    assert again.counts.get("done", 0) == 0


# --- the mapping reads wrongly --------------------------------------------------------------------------------------


def test_a_bad_table_of_choices_does_what_the_rehearsal_said_and_is_undone_but_for_what_was_edited_since(
    crm: CrmConnection, service: FakeService, writable: list[RecordWrite]
) -> None:
    map_status(crm)
    load(crm, service, stage=lambda number: ("Hot", "Cold", "Won")[number % 3])
    before = ours("lead_status"), in_crm(service, "stage"), agreed("lead_status")
    bad = changed_rows(crm, lead_status={"transform": "picklist_map", "options": BAD})
    tried = rehearse(crm, bad)
    (run,) = promoting.promote(tried, by="Grace")
    drain(crm)
    run.refresh_from_db()
    assert (run.updated, run.unchanged) == (tried.counts["updated"], tried.counts["unchanged"]) == (40, 20)
    changes = FieldChange.objects.filter(run=run, field="lead_status")
    assert changes.count() == tried.by_field["lead_status"]["changed"] == 40
    assert not writable

    service.edit("people", "1", {"stage": "Won"})  # was read as Hot for Cold; nobody told us yet
    service.edit("people", "3", {"stage": "Lost"})
    pull(crm, "people", PATIENCE)  # and this one comes in while the bad version is in force
    service.edit("people", "4", {"stage": "Lost"})
    editing.edit(contact(6).pk, {"lead_status": "Mine"}, ME)
    editing.edit(contact(7).pk, {"company": "Other field"}, ME)
    Contact.objects.filter(last_name="Lee9").update(call_count=4, last_disposition="Voicemail")
    version = MappingVersion.objects.order_by("-number")[0]
    made = undos.plan_version(version, "Grace")
    drain(crm)
    made.refresh_from_db()
    planned = dict(made.counts)
    undo(crm, made)
    assert skipped(made) == {
        ("Lee1", "edited_in_crm"), ("Lee3", "edited_in_crm"), ("Lee4", "edited_in_crm"), ("Lee6", "edited_here"),
    }  # fmt: skip
    made.refresh_from_db()
    assert (planned["done"], planned["skipped"]) == (36, 4)
    assert (made.counts["done"], made.counts["skipped"], made.counts["contacts"]) == (36, 4, 36)
    left = {"Lee1", "Lee3", "Lee4", "Lee6"}
    assert {key: one for key, one in ours("lead_status").items() if key not in left} == {
        key: one for key, one in before[0].items() if key not in left
    }
    assert {key: one for key, one in in_crm(service, "stage").items() if f"Lee{key}" not in left} == {
        key: one for key, one in before[1].items() if f"Lee{key}" not in left
    }
    assert {key: one for key, one in agreed("lead_status").items() if f"Lee{key}" not in left} == {
        key: one for key, one in before[2].items() if f"Lee{key}" not in left
    }
    held = ours("lead_status", "company")
    assert [held[one][0] for one in ("Lee1", "Lee3", "Lee4", "Lee6")] == ["Won", "Lost", "Lost", "Mine"]
    assert held["Lee7"][1] == "Other field"
    assert in_crm(service, "stage")["6"] == ("Mine",), (
        "what a person wrote goes out by the mapping that is in force again"
    )
    edited = UndoItem.objects.get(undo=made, contact_id=contact(6).pk, state="skipped")
    assert (edited.who, edited.found, edited.old, edited.new) == ("Grace", "Mine", "Hot", "Cold")
    is_quiet(crm, writable)


def test_somebody_who_came_in_under_the_version_is_read_again(crm: CrmConnection, service: FakeService) -> None:
    map_status(crm)
    load(crm, service, stage=lambda _number: "Won")
    version = map_status(crm, transform_rule="picklist_map", custom_transform=BAD)
    drain(crm)
    person(service, "900", stage="Hot")
    pull(crm, "people", PATIENCE)
    assert ours("lead_status")["Lee900"] == ("Cold",)
    made = undo(crm, undos.plan_version(version, "Grace"))
    assert ours("lead_status")["Lee900"] == ("Hot",)
    assert not skipped(made)


def test_undoing_goes_back_over_later_versions_and_leaves_other_fields_alone(
    crm: CrmConnection, service: FakeService
) -> None:
    map_status(crm)
    load(crm, service, stage=lambda _number: "Hot", company=lambda _number: "Old Ltd")
    first = map_status(crm, transform_rule="picklist_map", custom_transform=BAD)
    drain(crm)
    FieldMapping.objects.filter(dialer_field="email").update(strategy="dialer_wins")
    publish(crm.tenant_id, crm.provider)
    for number in range(1, PEOPLE + 1):
        service.edit("people", str(number), {"company": "New Ltd"})
    pull(crm, "people", PATIENCE)
    made = undo(crm, undos.plan_version(first, "Grace"))
    assert (made.fields, set(ours("lead_status", "company").values())) == (
        ["email", "lead_status"],
        {("Hot", "New Ltd")},
    )
    assert not skipped(made)


def test_an_undone_version_can_be_brought_back_by_undoing_the_one_that_the_undo_made(
    crm: CrmConnection, service: FakeService, writable: list[RecordWrite]
) -> None:
    load(crm, service, stage=lambda _number: "Stage")
    Contact.objects.update(lead_status="Hot")
    version = map_status(crm, "outbound", transform_rule="picklist_map", custom_transform=BAD)
    drain(crm)
    made = undo(crm, undos.plan_version(version, "Grace"))
    assert set(in_crm(service, "stage").values()) == {("Stage",)}
    assert made.run is not None
    back = undo(crm, undos.plan_run(made.run, "Grace"))
    assert back.of_version is not None
    assert back.of_version.number == version.number + 1
    assert set(in_crm(service, "stage").values()) == {("Cold",)}
    assert not skipped(back)
    is_quiet(crm, writable)


def test_a_version_cannot_be_undone_without_one_before_it_or_when_another_came_since_the_plan(
    crm: CrmConnection, service: FakeService
) -> None:
    with pytest.raises(Refused, match="no earlier one"):
        undos.plan_version(MappingVersion.objects.get(), "Grace")
    load(crm, service)
    version = map_status(crm)
    drain(crm)
    made = undos.plan_version(version, "Grace")
    drain(crm)
    map_status(crm, strategy="dialer_wins")
    with pytest.raises(Refused, match="published since"):
        undos.carry_out(made, "Grace")


# --- runs -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def pulled(crm: CrmConnection, service: FakeService) -> SyncRun:
    """A run that brought another company for everybody, and three new people."""
    load(crm, service, company=lambda _number: "Old Ltd")
    for number in range(1, PEOPLE + 1):
        service.edit("people", str(number), {"company": "Wrong Ltd"})
    for number in (901, 902, 903):
        person(service, str(number))
    return pull(crm, "people", PATIENCE).run


def test_a_run_is_undone_on_both_sides_but_for_what_was_edited_since(
    crm: CrmConnection, service: FakeService, pulled: SyncRun, writable: list[RecordWrite]
) -> None:
    service.edit("people", "1", {"company": "Newest Ltd"})
    editing.edit(contact(2).pk, {"company": "Mine Ltd"}, ME)
    editing.edit(contact(901).pk, {"title": "Queen"}, ME)
    Contact.objects.filter(last_name="Lee902").update(call_count=1)
    drain(crm)
    made = undo(crm, undos.plan_run(pulled, "Grace"))
    assert skipped(made) == {
        ("Lee1", "edited_in_crm"), ("Lee2", "edited_here"), ("Lee901", "in_use"), ("Lee902", "in_use"),
    }  # fmt: skip
    held = ours("company")
    assert (held["Lee1"], held["Lee2"], held["Lee3"]) == (("Newest Ltd",), ("Mine Ltd",), ("Old Ltd",))
    assert {one for key, one in in_crm(service, "company").items() if 2 < int(key) <= PEOPLE} == {("Old Ltd",)}
    gone = Contact.objects.get(last_name="Lee903")
    assert gone.deleted_at is not None
    assert SyncRecord.objects.filter(local_record_id=gone.pk).exists(), "so that its record does not bring it back"
    is_quiet(crm, writable)
    assert Contact.objects.filter(last_name="Lee903").count() == 1
    again = undo(crm, undos.plan_run(pulled, "Grace"))
    assert again.counts.get("done", 0) == 0
    is_quiet(crm, writable)


def test_an_undone_run_is_undone_in_turn(crm: CrmConnection, service: FakeService, pulled: SyncRun) -> None:
    made = undo(crm, undos.plan_run(pulled, "Grace"))
    assert set(ours("company").values()) >= {("Old Ltd",)}
    assert made.run is not None
    back = undo(crm, undos.plan_run(made.run, "Grace"))
    assert {one for key, one in ours("company").items() if key not in ("Lee901", "Lee902", "Lee903")} == {
        ("Wrong Ltd",)
    }
    assert {one for key, one in in_crm(service, "company").items() if int(key) <= PEOPLE} == {("Wrong Ltd",)}
    assert not Contact.objects.exclude(deleted_at=None).exists()
    assert not skipped(back)


def test_what_only_the_crm_says_is_not_offered_back(crm: CrmConnection, service: FakeService, pulled: SyncRun) -> None:
    FieldMapping.objects.filter(dialer_field="company").update(sync_direction="inbound")
    publish(crm.tenant_id, crm.provider)
    made = undo(crm, undos.plan_run(pulled, "Grace"))
    assert {reason for _who, reason in skipped(made)} == {"comes_back"}
    assert set(ours("company").values()) >= {("Wrong Ltd",)}


def test_a_run_that_is_not_over_is_not_undone(crm: CrmConnection, pulled: SyncRun) -> None:
    SyncRun.objects.filter(pk=pulled.pk).update(status="running")
    pulled.refresh_from_db()
    with pytest.raises(Refused, match="not over yet"):
        undos.plan_run(pulled, "Grace")


def test_an_outbound_back_fill_gives_the_crm_its_values_back(
    crm: CrmConnection, service: FakeService, writable: list[RecordWrite]
) -> None:
    load(crm, service, stage=lambda number: f"Stage {number}")
    Contact.objects.update(lead_status="Hot")
    before = in_crm(service, "stage")
    map_status(crm, "outbound")
    drain(crm)
    run = SyncRun.objects.get(kind="backfill")
    service.edit("people", "5", {"stage": "By hand"})
    made = undo(crm, undos.plan_run(run, "Grace"))
    assert skipped(made) == {("Lee5", "edited_in_crm")}
    assert in_crm(service, "stage") == {**before, "5": ("By hand",)}
    is_quiet(crm, writable)


# --- crashes and company --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", ["the CRM has its values", "one slice"])
def test_an_undo_that_was_killed_goes_on_to_the_same_end(
    crm: CrmConnection, service: FakeService, writable: list[RecordWrite], monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    load(crm, service, stage=lambda number: f"Stage {number}")
    Contact.objects.update(lead_status="Hot")
    before = in_crm(service, "stage")
    version = map_status(crm, "outbound", transform_rule="picklist_map", custom_transform=BAD)
    drain(crm)
    made = undos.plan_version(version, "Grace")
    drain(crm)
    undos.carry_out(made, "Grace")
    monkeypatch.setattr(steps, "CONTACTS_AT_ONCE", 20)
    apply, calls = writing.apply, []

    def die(*given: Any) -> None:
        calls.append(1)
        if len(calls) == (1 if after == "the CRM has its values" else 2):
            raise KeyboardInterrupt
        apply(*given)

    with monkeypatch.context() as patch:
        patch.setattr(writing, "apply", die)
        with pytest.raises(KeyboardInterrupt):
            work_due(crm)
    SyncJob.objects.filter(state="leased").update(lease_until=timezone.now() - timedelta(seconds=1))
    queue.release_expired()
    written = len(writable)
    drain(crm)
    made.refresh_from_db()
    assert (made.status, made.counts["done"], made.done) == ("done", PEOPLE, PEOPLE)
    assert in_crm(service, "stage") == before
    assert set(agreed("lead_status").values()) == {None}
    repeated = {one.record_id for one in writable[written:]} & {one.record_id for one in writable[PEOPLE:written]}
    assert not repeated, "what the CRM had back already is not written again"


def test_a_second_undo_waits_for_the_first(crm: CrmConnection, pulled: SyncRun) -> None:
    first, second = undos.plan_run(pulled, "Grace"), undos.plan_run(pulled, "Ada")
    drain(crm)
    undos.carry_out(first, "Grace")
    with pytest.raises(Refused, match="Another undo is running"):
        undos.carry_out(second, "Ada")
    drain(crm)
    undos.carry_out(second, "Ada")
    drain(crm)
    second.refresh_from_db()
    assert (second.status, second.counts.get("done", 0)) == ("done", 0)


def test_a_plan_changes_nothing_and_can_be_dropped(
    crm: CrmConnection, pulled: SyncRun, writable: list[RecordWrite]
) -> None:
    before = ours("company", "version"), FieldChange.objects.count()
    made = undos.plan_run(pulled, "Grace")
    drain(crm)
    assert (ours("company", "version"), FieldChange.objects.count()) == before
    assert UndoItem.objects.filter(undo=made, state="planned").count() == PEOPLE + 3
    assert undos.discard(made)
    assert not UndoItem.objects.exists()
    assert not writable


def test_a_slice_takes_as_many_statements_for_many_as_for_few(
    crm: CrmConnection, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(crm, service, company=lambda _number: "Old Ltd")
    counts = []
    for people in (3, PEOPLE):
        for number in range(1, people + 1):
            service.edit("people", str(number), {"company": f"Wrong {people}"})
        run = pull(crm, "people", PATIENCE).run
        made = undos.plan_run(run, "Grace")
        drain(crm)
        made = undos.carry_out(made, "Grace")
        provider = open_crm(crm, PATIENCE)[0]
        with CaptureQueriesContext(database) as seen:
            assert steps.go_on(made, provider, seconds=60)
        counts.append(len(seen))
        drain(crm)
    assert counts[1] <= counts[0] + 2


def test_what_was_noted_of_erased_people_goes(crm: CrmConnection, pulled: SyncRun) -> None:
    undos.plan_run(pulled, "Grace")
    drain(crm)
    undos.forget_people([contact(1).pk])
    assert not UndoItem.objects.filter(contact_id=contact(1).pk).exists()
    assert UndoItem.objects.exists()


def test_old_memories_of_what_was_sent_are_forgotten(crm: CrmConnection, service: FakeService) -> None:
    load(crm, service)
    editing.edit(contact(1).pk, {"company": "Ours"}, ME)
    drain(crm)
    assert SentValue.objects.count() == 1
    overwritten.forget_old(timezone.now())
    assert SentValue.objects.count() == 1
    assert overwritten.forget_old(timezone.now() + overwritten.KEPT_FOR + timedelta(days=1)) == 1


@pytest.mark.parametrize(
    ("field", "one", "other"),
    [("call_count", "3", 3), ("phone", "(415) 555-0101", "+14155550101"), ("do_not_call", "true", True),
     ("email", "A@b.c", "a@b.c"), ("last_called_at", "2026-01-01T00:00:00.000+0000", "2026-01-01T00:00:00Z"),
     ("company", None, "")],
)  # fmt: skip
def test_a_crms_spelling_of_a_value_is_no_edit(field: str, one: Any, other: Any) -> None:
    assert alike(field, one, other)
    assert not alike(field, one or "x", "7")
