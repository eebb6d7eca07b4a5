"""A rehearsal tells what a mapping or policy would do, and promoting then does exactly that and nothing else."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext

from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from integrations.records.remote import RecordWrite, Written
from mapping.models import ConflictPolicy, FieldMapping, MappingVersion
from mapping.publishing import publish
from sync import drafts, editing, erasing, promoting, pulling, rehearsing, snapshots
from sync.editing import Author
from sync.models import (
    Conflict,
    Contact,
    FeedCursor,
    FieldChange,
    RecordSnapshot,
    Rehearsal,
    SyncJob,
    SyncRecord,
    SyncRun,
)
from sync.pull import pull
from sync.rehearsing import Refused
from sync.work import work
from tests import factories
from tests.fake_crm.provider import FakeService, Provider
from tests.sync.people import PATIENCE, person
from tests.sync.test_inbound import state

PEOPLE = 500
ME = Author("person", "Grace")
TITLE = {"dialer_field": "title", "crm_field": "position", "direction": "inbound"}


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[RecordWrite]:
    """What the CRM was told to change. It takes everything."""
    seen: list[RecordWrite] = []

    def write(self: CrmProvider, kind: str, writes: Sequence[RecordWrite]) -> list[Written]:
        seen.extend(writes)
        return [Written(one.key, one.record_id) for one in writes]

    monkeypatch.setattr(Provider, "write", write)
    monkeypatch.setattr(Provider, "write_batch_size", 100)
    return seen


def row(**changes: Any) -> dict[str, Any]:
    standard = {
        "crm_object": "people", "transform": "none", "options": {}, "required": False, "validations": [],
        "object_overrides": {}, "on_blank": "clear", "strategy": "",
    }  # fmt: skip
    return {**standard, **changes}


def in_force(crm: CrmConnection) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = MappingVersion.objects.filter(tenant=crm.tenant).order_by("-number")[0].rows
    return found


def changed_rows(crm: CrmConnection, *more: dict[str, Any], **by_field: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows in force, with these changes by dialer field, and more rows."""
    rows = [{**one, **by_field.get(one["dialer_field"], {})} for one in in_force(crm)]
    return sorted([*rows, *more], key=lambda one: one["dialer_field"])


def rehearse(crm: CrmConnection, rows: list[dict[str, Any]] | None = None, **more: Any) -> Rehearsal:
    made: Rehearsal = Rehearsal.objects.create(
        tenant=crm.tenant, connection=crm, rows=in_force(crm) if rows is None else rows, **more
    )
    rehearsing.start(made)
    while not rehearsing.go_on(made, seconds=0):
        pass
    SyncJob.objects.filter(kind=rehearsing.KIND).delete()
    made.refresh_from_db()
    return made


def work_all(crm: CrmConnection, times: int = 12) -> None:
    for _ in range(times):
        work(crm.pk, patience=PATIENCE)


def load(crm: CrmConnection, service: FakeService, count: int, **fields: Callable[[int], Any]) -> None:
    for number in range(1, count + 1):
        person(service, str(number), **{name: value(number) for name, value in fields.items()})
    pull(crm, "people", PATIENCE)


@pytest.fixture
def mixed(crm: CrmConnection, service: FakeService) -> CrmConnection:
    """Five hundred people: in sync, edited here, in conflict, without a usable number, gone, and never seen again."""
    load(
        crm, service, PEOPLE,
        company=lambda number: f"Company {number % 7}" if number % 5 else "",
        employer=lambda number: (f"Company {number % 7}" if number % 5 else "") if number % 6 != 1 else f"Employer {number}",
        position=lambda number: f"Rank {number}" if number % 4 == 0 else None,
        phone=lambda number: f"+1415555{1000 + number}",
        mobile=lambda number: "rubbish" if number % 11 == 0 else f"+141555{5 + (number % 4 == 1)}{1000 + number}",
    )  # fmt: skip
    contacts = {one.last_name: one for one in Contact.objects.all()}
    for number in range(1, PEOPLE + 1, 9):
        editing.edit(
            contacts[f"Lee{number}"].pk, {"company": f"Ours {number}", "phone": f"+1415557{1000 + number}"}, ME
        )
    FieldMapping.objects.filter(dialer_field="company").update(strategy="manual")
    publish(crm.tenant_id, crm.provider)
    for number in range(1, PEOPLE + 1, 18):
        service.edit("people", str(number), {"company": f"Theirs {number}"})
    for number in range(2, PEOPLE + 1, 100):
        service.put_person(str(number), {}, deleted=True)
    pull(crm, "people", PATIENCE, full=True)
    assert Conflict.objects.filter(status="open").count() == len(range(1, PEOPLE + 1, 18))
    assert RecordSnapshot.objects.count() == PEOPLE
    return crm


def candidate(crm: CrmConnection) -> list[dict[str, Any]]:
    return changed_rows(
        crm,
        row(**TITLE),
        company={"crm_field": "employer", "strategy": "last_write_wins"},
        phone={"crm_field": "mobile", "strategy": "manual"},
    )


def test_promoting_does_what_the_rehearsal_counted(mixed: CrmConnection, written: list[RecordWrite]) -> None:
    tried = rehearse(mixed, candidate(mixed))
    assert (tried.status, tried.done, tried.total) == ("ready", PEOPLE - 5, PEOPLE - 5)
    before = FieldChange.objects.count()
    SyncJob.objects.filter(kind="push").delete()
    (run,) = promoting.promote(tried, by="Grace")
    work_all(mixed)
    run.refresh_from_db()
    counts = tried.counts
    assert (run.status, run.skipped, run.created) == ("done", 0, 0)
    assert (run.updated, run.unchanged) == (counts["updated"], counts["unchanged"])
    assert (run.conflicts, run.errored) == (counts["conflicts"], counts["errored"])
    assert Conflict.objects.filter(status="open").count() == counts.get("open", 0)
    history = list(FieldChange.objects.order_by("pk").values_list("field", "old", "new")[before:])
    for field in ("title", "company", "phone"):
        assert sum(one == field and old != new for one, old, new in history) == tried.by_field[field]["changed"]
    assert {field for field, _old, _new in history} == {"title", "company", "phone"}
    assert sum(tried.problems.values()) == tried.by_field["phone"]["errored"] == counts["errored"] == PEOPLE // 11
    assert len({one.record_id for one in written}) == len(written) == tried.cost[str(mixed.pk)] > 20
    assert min(counts["updated"], counts["unchanged"], counts["conflicts"], counts["open"]) >= 10, (
        "all states are there"
    )


def test_a_rehearsal_touches_nothing(mixed: CrmConnection) -> None:
    before, jobs = state(), SyncJob.objects.count()
    rehearse(mixed, candidate(mixed))
    assert state() == before
    assert SyncJob.objects.exclude(kind=rehearsing.KIND).count() == jobs


def test_samples_show_the_first_twenty_of_each_field_before_and_after(mixed: CrmConnection) -> None:
    tried = rehearse(mixed, candidate(mixed))
    assert {field: len(rows) for field, rows in tried.samples.items()} == {"title": 20, "company": 20, "phone": 20}
    first = next(one for one in tried.samples["phone"] if not one["open"])
    contact = Contact.objects.get(pk=first["contact"])
    assert (first["before"], first["after"]) == (contact.phone, contact.phone.replace("5555", "5556"))


def test_a_policy_is_tried_on_the_conflicts_that_wait(mixed: CrmConnection, written: list[RecordWrite]) -> None:
    FieldMapping.objects.filter(dialer_field="company").update(strategy="")
    publish(mixed.tenant_id, mixed.provider)
    ConflictPolicy.objects.create(tenant=mixed.tenant, default="manual", overrides={})
    waiting = Conflict.objects.filter(status="open").count()
    tried = rehearse(mixed, policy={"default": "manual", "overrides": {"company": "dialer_wins"}})
    assert (tried.counts["conflicts"], tried.counts.get("open", 0), tried.counts.get("updated", 0)) == (waiting, 0, 0)
    assert Conflict.objects.filter(status="open").count() == waiting
    promoting.promote(tried, by="Grace")
    SyncJob.objects.filter(kind="push").delete()
    work_all(mixed)
    assert not Conflict.objects.filter(status="open").exists()
    assert ConflictPolicy.objects.get().overrides == {"company": "dialer_wins"}
    assert MappingVersion.objects.count() == 3, "a policy alone makes no version"
    assert len(written) >= waiting


def test_only_affected_fields_move_and_only_from_what_is_known(crm: CrmConnection, service: FakeService) -> None:
    load(crm, service, 3, position=lambda number: f"Rank {number}", company=lambda _number: "Old Ltd")
    for number in (1, 2, 3):
        service.edit("people", str(number), {"company": "New Ltd", "position": "Newer"})
    tried = rehearse(crm, changed_rows(crm, row(**TITLE)))
    (run,) = promoting.promote(tried, by="Grace")
    work_all(crm)
    assert set(Contact.objects.values_list("title", "company")) == {(f"Rank {one}", "Old Ltd") for one in (1, 2, 3)}
    run.refresh_from_db()
    assert (run.updated, run.api_calls, run.fields_only) == (3, 0, ["title"])
    assert not SyncRun.objects.filter(kind="backfill").exists()
    assert set(FeedCursor.objects.values_list("feed", flat=True)) == {"poll:people"}


def test_records_of_which_too_little_is_known_are_counted_and_fetched(crm: CrmConnection, service: FakeService) -> None:
    load(crm, service, 7, position=lambda number: f"Rank {number}")
    for number in (2, 5):
        snapshot = RecordSnapshot.objects.get(record__crm_record_id=str(number))
        snapshot.fields = {name: value for name, value in snapshot.fields.items() if name != "position"}
        snapshot.save()
    snapshots.forget([SyncRecord.objects.get(crm_record_id="6").pk])
    tried = rehearse(crm, changed_rows(crm, row(**TITLE)))
    assert (tried.cost["reads"], tried.counts) == (3, {"updated": 4})
    (run,) = promoting.promote(tried, by="Grace")
    work_all(crm)
    run.refresh_from_db()
    assert (run.status, run.updated, run.api_calls) == ("done", 7, 1)
    assert set(Contact.objects.values_list("title", flat=True)) == {f"Rank {one}" for one in range(1, 8)}


def test_edits_made_between_the_rehearsal_and_its_promotion_are_kept(crm: CrmConnection, service: FakeService) -> None:
    load(crm, service, 3, company=lambda _number: "Old Ltd", employer=lambda number: f"Employer {number}")
    tried = rehearse(crm, changed_rows(crm, company={"crm_field": "employer", "strategy": "dialer_wins"}))
    edited = Contact.objects.get(last_name="Lee2")
    editing.edit(edited.pk, {"company": "By hand", "last_name": "Married"}, ME)
    promoting.promote(tried, by="Grace")
    SyncJob.objects.filter(kind="push").delete()
    work_all(crm)
    assert set(Contact.objects.values_list("last_name", "company")) == {
        ("Lee1", "Employer 1"), ("Married", "By hand"), ("Lee3", "Employer 3"),
    }  # fmt: skip
    lost = FieldChange.objects.get(contact=edited, field="company", rule="dialer_wins")
    assert lost.lost == "Employer 2"


def test_what_we_wrote_ourselves_since_is_not_taken_back_by_an_older_snapshot(
    crm: CrmConnection, service: FakeService, written: list[RecordWrite]
) -> None:
    load(crm, service, 2, company=lambda _number: "Old Ltd")
    contact = Contact.objects.get(last_name="Lee1")
    editing.edit(contact.pk, {"company": "By hand"}, ME)
    work_all(crm)
    assert len(written) == 1
    assert RecordSnapshot.objects.count() == 1
    service.edit("people", "1", {"company": "By hand"})
    tried = rehearse(crm, changed_rows(crm, company={"on_blank": "ignore"}))
    promoting.promote(tried, by="Grace")
    work_all(crm)
    assert Contact.objects.get(pk=contact.pk).company == "By hand"


# --- refusals -------------------------------------------------------------------------------------------------------


def other_version(crm: CrmConnection, _tried: Rehearsal) -> None:
    FieldMapping.objects.filter(dialer_field="company").update(strategy="manual")
    publish(crm.tenant_id, crm.provider)


def other_policy(crm: CrmConnection, _tried: Rehearsal) -> None:
    ConflictPolicy.objects.create(tenant=crm.tenant, default="manual")


def other_draft(crm: CrmConnection, tried: Rehearsal) -> None:
    Rehearsal.objects.filter(pk=tried.pk).update(rows=[*tried.rows, row(**{**TITLE, "dialer_field": "lead_status"})])


def discarded(crm: CrmConnection, tried: Rehearsal) -> None:
    rehearsing.discard(tried)


@pytest.mark.parametrize(
    ("meanwhile", "words"),
    [
        (other_version, "another version is in force"),
        (other_policy, "another conflict policy"),
        (other_draft, "The draft was changed after it was rehearsed"),
        (discarded, "This one is: Discarded"),
    ],
    ids=["another version", "another policy", "another draft", "discarded"],
)
def test_nothing_but_what_was_rehearsed_is_put_in_force(
    crm: CrmConnection, service: FakeService, meanwhile: Callable[[CrmConnection, Rehearsal], None], words: str
) -> None:
    load(crm, service, 2, position=lambda _number: "Boss")
    tried = rehearse(crm, changed_rows(crm, row(**TITLE)))
    meanwhile(crm, tried)
    before = (MappingVersion.objects.count(), FieldMapping.objects.count(), SyncRun.objects.count())
    with pytest.raises(Refused, match=words):
        promoting.promote(tried, by="Grace")
    assert (MappingVersion.objects.count(), FieldMapping.objects.count(), SyncRun.objects.count()) == before


def test_a_rehearsal_is_promoted_once(crm: CrmConnection, service: FakeService) -> None:
    load(crm, service, 2, position=lambda _number: "Boss")
    tried = rehearse(crm, changed_rows(crm, row(**TITLE)))
    promoting.promote(tried, by="Grace")
    with pytest.raises(Refused, match="This one is: In force"):
        promoting.promote(tried, by="Grace")
    assert in_force(crm) == tried.rows


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (None, "Nothing in this draft differs"),
        ([row(dialer_field="titel", crm_field="x", direction="inbound")], "titel"),
    ],
    ids=["the same rows", "a row that can't be used"],
)
def test_what_cannot_be_rehearsed_is_refused_with_a_sentence(
    crm: CrmConnection, service: FakeService, rows: list[dict[str, Any]] | None, words: str
) -> None:
    load(crm, service, 1)
    with pytest.raises(Refused, match=words):
        rehearse(crm, rows)


def test_without_snapshots_a_load_is_asked_for(crm: CrmConnection) -> None:
    with pytest.raises(Refused, match="Run a full load of the connection first"):
        rehearse(crm, changed_rows(crm, row(**TITLE)))


# --- running --------------------------------------------------------------------------------------------------------


def test_a_rehearsal_runs_as_a_job_and_can_be_cancelled(
    crm: CrmConnection, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsing, "RECORDS_AT_ONCE", 2)
    monkeypatch.setattr(rehearsing, "SLICE_SECONDS", 0)
    load(crm, service, 5, position=lambda _number: "Boss")
    tried = Rehearsal.objects.create(tenant=crm.tenant, connection=crm, rows=changed_rows(crm, row(**TITLE)))
    rehearsing.start(tried)
    work(crm.pk, patience=PATIENCE)
    tried.refresh_from_db()
    assert (tried.status, tried.done, tried.total) == ("running", 2, 5)
    assert rehearsing.cancel(tried)
    work_all(crm)
    tried.refresh_from_db()
    assert (tried.status, tried.done) == ("draft", 2)
    rehearsing.start(tried)
    work_all(crm)
    tried.refresh_from_db()
    assert (tried.status, tried.done, tried.counts) == ("ready", 5, {"updated": 5})


def test_applying_it_goes_on_where_it_was_paused(
    crm: CrmConnection, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promoting, "RECORDS_AT_ONCE", 2)
    monkeypatch.setattr(promoting, "SLICE_SECONDS", 0)
    load(crm, service, 5, position=lambda _number: "Boss")
    (run,) = promoting.promote(rehearse(crm, changed_rows(crm, row(**TITLE))), by="Grace")
    work(crm.pk, patience=PATIENCE)
    assert pulling.pause(run)
    work_all(crm)
    assert Contact.objects.filter(title="Boss").count() == 2
    assert pulling.resume(run, promoting.KIND)
    work_all(crm)
    run.refresh_from_db()
    assert (run.status, run.updated, Contact.objects.filter(title="Boss").count()) == ("done", 5, 5)


def test_the_cost_counts_the_other_crms_that_get_the_change(crm: CrmConnection, service: FakeService) -> None:
    load(
        crm,
        service,
        4,
        position=lambda _number: "Boss",
        employer=lambda _number: "Quill",
        company=lambda _number: "Old",
    )
    other = factories.connection(crm.tenant, "hubspot")
    factories.mapping(crm.tenant, "company", "company")
    publish(crm.tenant_id, "hubspot")
    for contact in Contact.objects.all()[:3]:
        factories.link(other, contact, crm_record_id=f"h-{contact.last_name}", base={"company": "Old"})
    tried = rehearse(crm, changed_rows(crm, row(**TITLE), company={"crm_field": "employer"}))
    assert tried.cost == {str(other.pk): 3}


def test_an_erased_person_is_gone_from_snapshots_and_samples(crm: CrmConnection, service: FakeService) -> None:
    load(crm, service, 2, position=lambda _number: "Boss")
    tried = rehearse(crm, changed_rows(crm, row(**TITLE)))
    gone = SyncRecord.objects.get(crm_record_id="1")
    SyncRecord.objects.filter(pk=gone.pk).update(metadata={"erased_at": "2026-01-01"})
    erasing.erase(crm, "people", ["1"], factories.now())
    tried.refresh_from_db()
    assert [one["contact"] for one in tried.samples["title"]] == [str(Contact.objects.get(last_name="Lee2").pk)]
    assert set(RecordSnapshot.objects.values_list("record__crm_record_id", flat=True)) == {"2"}


# --- snapshots ------------------------------------------------------------------------------------------------------


def test_snapshots_cost_one_statement_a_page_and_are_rewritten_only_when_something_changed(
    crm: CrmConnection, service: FakeService
) -> None:
    load(crm, service, 40)
    stamps = dict(RecordSnapshot.objects.values_list("pk", "taken_at"))
    service.edit("people", "7", {"first": "Zoe"})
    with CaptureQueriesContext(database) as seen:
        pull(crm, "people", PATIENCE, full=True)
    assert sum("record_snapshots" in one["sql"] for one in seen.captured_queries) == 1
    fresh = {pk for pk, at in RecordSnapshot.objects.values_list("pk", "taken_at") if at != stamps[pk]}
    assert fresh == {SyncRecord.objects.get(crm_record_id="7").pk}


def test_a_back_fill_adds_its_field_to_what_is_known(crm: CrmConnection, service: FakeService) -> None:
    load(crm, service, 2, company=lambda _number: "Old Ltd")
    record = SyncRecord.objects.get(crm_record_id="1")
    RecordSnapshot.objects.filter(pk=record.pk).update(fields={"company": "Old Ltd", "address": {"city": "Bonn"}})
    service.edit("people", "1", {"address": {"street": "Weg 1"}, "position": "Boss"})
    FieldMapping.objects.create(
        tenant=crm.tenant, crm_provider=crm.provider, sync_direction="inbound", dialer_field="title", crm_object="people",
        crm_field="position",
    )  # fmt: skip
    publish(crm.tenant_id, crm.provider)
    work_all(crm)
    held = RecordSnapshot.objects.get(pk=record.pk).fields
    assert held["address"] == {"city": "Bonn", "street": "Weg 1"}
    assert held["position"] == "Boss"


def test_only_differences_that_decide_something_affect_a_field() -> None:
    def crm_wins(_field: str) -> str:
        return "crm_wins"

    old = row(**TITLE)
    same = [{**old, "options": None, "strategy": "crm_wins"}]
    assert drafts.affected_inbound([old], same, crm_wins, crm_wins) == ()
    assert drafts.affected_inbound([old], [old], crm_wins, lambda _field: "manual") == ("title",)
    assert drafts.affected_inbound([old], [{**old, "required": True}], crm_wins, crm_wins) == ("title",)
    assert drafts.affected_inbound([old], [], crm_wins, crm_wins) == ()
    assert drafts.affected_outbound([old], [{**old, "direction": "bidirectional"}]) == ("title",)
    assert drafts.affected_outbound([old], [{**old, "crm_field": "other"}]) == ()
