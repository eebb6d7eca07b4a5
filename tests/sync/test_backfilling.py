"""A field that joins the mapping is filled from all records, alone; runs can be paused and go on where they stopped."""

import pytest

from integrations.crm import open_crm
from integrations.models import CrmConnection
from mapping.models import FieldMapping
from mapping.publishing import publish
from sync import backfilling, pulling, queue
from sync.models import Contact, FeedCursor, FieldChange, SyncJob, SyncRun
from sync.pull import pull
from sync.work import work
from tests.fake_crm.provider import FakeService
from tests.sync.people import PATIENCE, person

PEOPLE = 60


@pytest.fixture
def loaded(crm: CrmConnection, service: FakeService) -> CrmConnection:
    """Sixty people with a job title that the mapping doesn't take yet; what was told of them since is not read."""
    for number in range(1, PEOPLE + 1):
        person(service, str(number), position=f"Rank {number}", company="Old Ltd")
    pull(crm, "people", PATIENCE)
    for number in range(1, PEOPLE + 1):
        person(service, str(number), position=f"Rank {number}", company="New Ltd")
    person(service, str(PEOPLE + 1), position="Stranger")
    return crm


def take_titles(crm: CrmConnection, direction: str = "inbound") -> None:
    FieldMapping.objects.create(
        tenant=crm.tenant, crm_provider=crm.provider, sync_direction=direction, dialer_field="title",
        crm_object="people", crm_field="position",
    )  # fmt: skip
    publish(crm.tenant_id, crm.provider)


def run_jobs(crm: CrmConnection, times: int = 6) -> None:
    for _ in range(times):
        work(crm.pk, patience=PATIENCE)


def test_a_new_inbound_field_is_filled_for_everybody_and_nothing_else_moves(loaded: CrmConnection) -> None:
    cursor = FeedCursor.objects.get(feed="poll:people").value
    before = FieldChange.objects.count()
    take_titles(loaded)
    run_jobs(loaded)
    assert set(Contact.objects.values_list("title", "company")) == {
        (f"Rank {number}", "Old Ltd") for number in range(1, PEOPLE + 1)
    }
    assert set(FieldChange.objects.order_by("pk").values_list("field", flat=True)[before:]) == {"title"}
    assert FeedCursor.objects.get(feed="poll:people").value == cursor
    run = SyncRun.objects.get(kind="backfill")
    assert (run.status, run.fields_only, run.updated, run.created, run.skipped) == ("done", ["title"], PEOPLE, 0, 1)


def test_what_the_backfill_left_alone_still_comes_with_the_next_pass(loaded: CrmConnection) -> None:
    take_titles(loaded)
    run_jobs(loaded)
    pull(loaded, "people", PATIENCE)
    assert set(Contact.objects.values_list("company", flat=True)) == {"New Ltd", ""}
    assert Contact.objects.count() == PEOPLE + 1


def test_a_mapping_that_is_published_without_a_new_field_fills_nothing(loaded: CrmConnection) -> None:
    FieldMapping.objects.filter(dialer_field="company").update(strategy="dialer_wins")
    publish(loaded.tenant_id, loaded.provider)
    assert not SyncRun.objects.filter(kind="backfill").exists()
    assert not SyncJob.objects.filter(kind="backfill").exists()


def test_the_first_mapping_of_a_connection_without_people_fills_nothing(crm: CrmConnection) -> None:
    take_titles(crm)
    assert not SyncRun.objects.filter(kind="backfill").exists()


def test_a_new_outbound_field_asks_the_outbox_for_those_who_have_a_value(loaded: CrmConnection) -> None:
    chosen = list(Contact.objects.order_by("pk")[:3])
    Contact.objects.filter(pk__in=[one.pk for one in chosen]).update(title="Boss")
    take_titles(loaded, "outbound")
    hand_over(loaded)
    assert set(SyncJob.objects.filter(kind="push").values_list("local_record_id", flat=True)) == {
        one.pk for one in chosen
    }
    assert set(SyncJob.objects.filter(kind="push").values_list("lane", flat=True)) == {40}


def hand_over(crm: CrmConnection) -> None:
    """One turn of the back-fill's job; the outbox does not work yet."""
    claimed = queue.claim(crm.pk, backfilling.KIND, 1)
    result = backfilling.BackfillHandler().work(open_crm(crm, PATIENCE)[0], claimed)
    queue.settle(claimed, result.outcomes)


def test_an_outbound_backfill_is_a_run_with_progress_that_can_be_paused(
    loaded: CrmConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfilling, "CONTACTS_AT_ONCE", 25)
    Contact.objects.filter(last_name__endswith="1").update(title="Boss")
    bosses = Contact.objects.filter(title="Boss").count()
    take_titles(loaded, "outbound")
    run = SyncRun.objects.get(kind="backfill")
    assert (backfilling.is_outbound(run), run.fields_only, run.status) == (True, ["title"], "running")
    hand_over(loaded)
    run.refresh_from_db()
    assert (run.expected, run.updated + run.skipped, run.status) == (PEOPLE, 25, "running")
    assert pulling.pause(run)
    hand_over(loaded)
    run.refresh_from_db()
    assert (run.updated + run.skipped, run.status) == (25, "paused")
    assert pulling.resume(run, backfilling.KIND)
    for _ in range(2):
        hand_over(loaded)
    run.refresh_from_db()
    assert (run.updated, run.skipped, run.status, bool(run.finished_at)) == (bosses, PEOPLE - bosses, "done", True)
    assert SyncJob.objects.filter(kind="push").count() == bosses > 0
    assert not SyncJob.objects.filter(kind="backfill", state="ready").exists()


def test_an_outbound_backfill_that_was_queued_without_a_run_gets_one(loaded: CrmConnection) -> None:
    job = SyncJob(
        tenant=loaded.tenant, connection=loaded, kind=backfilling.KIND, key="out:title", payload={"fields": ["title"]}
    )
    queue.enqueue([job])
    hand_over(loaded)
    hand_over(loaded)
    run = SyncRun.objects.get(kind="backfill")
    assert (run.fields_only, run.status, run.skipped) == (["title"], "done", PEOPLE)


def test_a_pass_in_slices_of_no_time_at_all_comes_to_its_end(crm: CrmConnection, service: FakeService) -> None:
    for number in range(1, 171):
        person(service, str(number))
    done, run = [], None
    for _ in range(5):
        pulled = pull(crm, "people", PATIENCE, seconds=0, run=run)
        run = pulled.run
        done.append((Contact.objects.count(), pulled.finished))
        if pulled.finished:
            break
    assert done == [(50, False), (100, False), (150, False), (170, True)]


def test_only_rows_that_bring_other_values_count_as_added() -> None:
    row = {"dialer_field": "title", "direction": "inbound", "crm_object": "people", "crm_field": "a", "strategy": ""}
    assert backfilling.added([], [row]) == (["title"], [])
    assert backfilling.added([row], [{**row, "strategy": "manual"}]) == ([], [])
    assert backfilling.added([row], [{**row, "crm_field": "b"}]) == (["title"], [])
    assert backfilling.added([row], [{**row, "direction": "bidirectional"}]) == ([], ["title"])
    assert backfilling.added([row], []) == ([], [])


def test_a_paused_run_stops_after_its_page_and_goes_on_from_there(crm: CrmConnection, service: FakeService) -> None:
    for number in range(1, 121):
        person(service, str(number))
    stopped = pull(crm, "people", PATIENCE, progress=pulling.pause)
    assert (stopped.finished, stopped.run.status, Contact.objects.count()) == (False, "paused", 50)
    pulling.enqueue_all([crm])
    run_jobs(crm)
    assert Contact.objects.count() == 50, "a catch-up does not go on behind somebody's back"
    assert SyncRun.objects.get().status == "paused"
    assert pulling.resume(stopped.run, pulling.KIND)
    run_jobs(crm)
    assert Contact.objects.count() == 120
    run = SyncRun.objects.get()
    assert (run.status, run.created) == ("done", 120)


def test_a_paused_connection_keeps_its_place(crm: CrmConnection, service: FakeService) -> None:
    for number in range(1, 121):
        person(service, str(number))
    pull(crm, "people", PATIENCE, seconds=0)
    kept = FeedCursor.objects.get().value
    assert Contact.objects.count() == 50
    pulling.enqueue_all([crm])
    CrmConnection.objects.update(status="paused")
    run_jobs(crm)
    assert (FeedCursor.objects.get().value, Contact.objects.count()) == (kept, 50)
    CrmConnection.objects.update(status="connected")
    run_jobs(crm)
    assert Contact.objects.count() == 120
