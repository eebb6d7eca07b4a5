from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from integrations import errors
from integrations.models import CrmConnection
from integrations.records.events import Change, RemoteEvent
from integrations.records.remote import Fetched
from integrations.sandbox.server import SandboxServer
from sync import fetching, inbox, queue
from sync.inbox import Arrival
from sync.models import Contact, FieldChange, InboxEvent, SyncJob, SyncRecord, SyncRun
from sync.pull import pull
from sync.work import work
from tests.fake_crm.provider import FakeService, Provider
from tests.sync.people import PATIENCE, person


def tell(crm: CrmConnection, *ids: str, key: str = "", change: Change = Change.UPDATED, **more: Any) -> None:
    event = RemoteEvent(key or f"{change}-{'-'.join(ids)}-{InboxEvent.objects.count()}", change, "people", ids)
    for name, value in more.items():
        object.__setattr__(event, name, value)
    inbox.store([Arrival(crm.tenant_id, crm.pk, event)], inbox.WEBHOOK)


def run(crm: CrmConnection) -> dict[str, int]:
    SyncJob.objects.filter(state="ready").update(not_before=timezone.now() - timedelta(seconds=1))
    return dict(work(crm.pk, patience=PATIENCE))


def states() -> list[tuple[str, str]]:
    return list(InboxEvent.objects.exclude(source="followed").order_by("pk").values_list("state", "note"))


def link(record_id: str) -> SyncRecord:
    found: SyncRecord = SyncRecord.objects.get(crm_record_id=record_id)
    return found


def fetches(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """The ids of each look-up from now on."""
    seen: list[Sequence[str]] = []
    real = Provider.fetch

    def spy(self: Provider, object_type: str, ids: Sequence[str], paths: Sequence[str]) -> Fetched:
        seen.append(list(ids))
        return real(self, object_type, ids, paths)

    monkeypatch.setattr(Provider, "fetch", spy)
    return seen


def test_an_event_brings_its_record_in_without_a_run(crm: CrmConnection, service: FakeService) -> None:
    person(service, "1", company="Acme")
    tell(crm, "1", change=Change.CREATED)
    assert run(crm) == {"done": 1}
    change = FieldChange.objects.get()
    assert (Contact.objects.get().company, change.run, change.mapping_version) == ("Acme", None, 1)
    assert states() == [("worked", "")]
    assert InboxEvent.objects.get().worked_at is not None
    assert not SyncRun.objects.exists()


def test_the_record_is_read_afresh_whatever_the_event_carried(crm: CrmConnection, service: FakeService) -> None:
    person(service, "1", company="Now Ltd")
    tell(crm, "1", values={"company": "Then Ltd"}, changed=("company",))
    run(crm)
    assert Contact.objects.get().company == "Now Ltd"


def test_an_event_that_is_told_late_changes_nothing(crm: CrmConnection, service: FakeService) -> None:
    person(service, "1", company="New Ltd")
    tell(crm, "1")
    run(crm)
    before = list(FieldChange.objects.values_list("pk"))
    tell(crm, "1", occurred_at=timezone.now() - timedelta(days=3))
    run(crm)
    assert list(FieldChange.objects.values_list("pk")) == before
    assert states() == [("worked", "")] * 2


def test_many_events_of_few_records_cost_few_look_ups(
    crm: CrmConnection, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 151):
        person(service, str(number))
    for number in range(1, 151):
        tell(crm, str(number))
        tell(crm, str(number), "1")
    seen = fetches(monkeypatch)
    assert run(crm) == {"done": 1}
    assert [len(ids) for ids in seen] == [100, 50]
    assert Contact.objects.count() == 150
    assert set(states()) == {("worked", "")}


def test_a_long_inbox_is_worked_in_several_goes(
    crm: CrmConnection, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "EVENTS_AT_ONCE", 2)
    for number in range(1, 6):
        person(service, str(number))
        tell(crm, str(number))
    run(crm)
    assert set(states()) == {("worked", "")}
    assert set(SyncJob.objects.values_list("state", flat=True)) == {"done"}


def test_when_time_is_up_the_rest_stays_for_the_next_go(
    crm: CrmConnection, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "IDS_AT_ONCE", 1)
    monkeypatch.setattr(fetching, "SLICE_SECONDS", 0.0)
    person(service, "1")
    tell(crm, "1")
    claimed = queue.claim(crm.pk, inbox.KIND, 1)
    from integrations.crm import open_crm

    result = fetching.FetchHandler().work(open_crm(crm, PATIENCE)[0], claimed)
    assert [(one.state, one.counts) for one in result.outcomes] == [("ready", False)]
    assert states() == [("received", "")]


def test_a_record_that_is_gone_is_marked_and_its_contact_kept(crm: CrmConnection, service: FakeService) -> None:
    person(service, "1")
    tell(crm, "1")
    run(crm)
    service.store.delete("people", "1")
    tell(crm, "1", change=Change.DELETED)
    run(crm)
    assert "deleted_at" in link("1").metadata
    assert "erased_at" not in link("1").metadata
    assert Contact.objects.count() == 1


def test_an_erased_record_is_marked_as_erased(crm: CrmConnection, service: FakeService) -> None:
    person(service, "1")
    tell(crm, "1")
    run(crm)
    service.store.delete("people", "1")
    tell(crm, "1", change=Change.DELETED)
    run(crm)
    tell(crm, "1", change=Change.ERASED)
    run(crm)
    assert {"deleted_at", "erased_at"} <= link("1").metadata.keys()


def test_a_deletion_is_not_believed_while_the_record_is_there(crm: CrmConnection, service: FakeService) -> None:
    person(service, "1", company="Acme")
    tell(crm, "1", change=Change.DELETED)
    run(crm)
    assert "deleted_at" not in link("1").metadata
    assert Contact.objects.get().company == "Acme"


@pytest.mark.parametrize("change", [Change.RESTORED, Change.UPDATED])
def test_a_record_that_comes_back_is_marked_no_more(crm: CrmConnection, service: FakeService, change: Change) -> None:
    person(service, "1")
    tell(crm, "1")
    run(crm)
    held = service.store.get("people", "1") or {}
    service.store.delete("people", "1")
    tell(crm, "1", change=Change.DELETED)
    run(crm)
    service.store.put("people", "1", held)
    tell(crm, "1", change=change)
    run(crm)
    assert not link("1").metadata
    assert Contact.objects.count() == 1


def test_a_deletion_of_somebody_we_never_held_leaves_nothing(crm: CrmConnection) -> None:
    tell(crm, "77", change=Change.DELETED)
    assert run(crm) == {"done": 1}
    assert not SyncRecord.objects.exists()


# --- merges and conversions -----------------------------------------------------------------------------------------


def test_a_merge_links_the_contact_to_the_record_that_is_left(crm: CrmConnection, service: FakeService) -> None:
    person(service, "1", company="Old Ltd")
    tell(crm, "1")
    run(crm)
    contact = Contact.objects.get()
    service.store.delete("people", "1")
    person(service, "2", company="Merged Ltd")
    tell(crm, "1", change=Change.MERGED, moved_to="2")
    run(crm)
    assert Contact.objects.get().pk == contact.pk
    assert Contact.objects.get().company == "Merged Ltd"
    assert (link("1").local_record_id, link("1").metadata["moved_to"]) == (None, ["people", "2"])
    assert link("1").metadata["contact"] == str(contact.pk)
    assert link("2").local_record_id == contact.pk
    assert set(states()) == {("worked", "")}


def test_a_merge_of_two_known_people_keeps_both_and_says_where_the_loser_lives_on(
    crm: CrmConnection, service: FakeService
) -> None:
    person(service, "1")
    person(service, "2", email="other@example.com")
    tell(crm, "1", "2")
    run(crm)
    service.store.delete("people", "1")
    tell(crm, "1", change=Change.MERGED, moved_to="2")
    run(crm)
    assert Contact.objects.count() == 2
    loser, winner = link("1"), link("2")
    assert loser.metadata["moved_to"] == ["people", "2"]
    assert loser.metadata["same_as"] == str(winner.local_record_id)


def test_two_losers_of_one_merge_end_at_the_same_winner(crm: CrmConnection, service: FakeService) -> None:
    person(service, "1")
    person(service, "2", email="other@example.com")
    tell(crm, "1", "2")
    run(crm)
    for gone in "12":
        service.store.delete("people", gone)
    person(service, "3")
    tell(crm, "1", "2", change=Change.MERGED, moved_to="3")
    run(crm)
    assert [link(one).metadata["moved_to"] for one in "12"] == [["people", "3"]] * 2
    assert link("3").local_record_id in set(Contact.objects.values_list("pk", flat=True))


def test_a_chain_of_merges_is_followed_to_its_end(crm: CrmConnection, service: FakeService) -> None:
    person(service, "1")
    tell(crm, "1")
    run(crm)
    person(service, "1", moved_to=["people", "2"])
    person(service, "2", moved_to=["people", "3"])
    person(service, "3", company="Last Ltd")
    tell(crm, "1", "2", "3")
    run(crm)
    assert link("1").metadata["moved_to"] == ["people", "3"]
    assert (Contact.objects.get().company, link("3").local_record_id) == ("Last Ltd", Contact.objects.get().pk)


def test_a_merge_is_not_believed_while_the_loser_is_there(crm: CrmConnection, service: FakeService) -> None:
    person(service, "1")
    person(service, "2", email="other@example.com")
    tell(crm, "1", "2", change=Change.MERGED, moved_to="2")
    run(crm)
    assert not link("1").metadata


def test_a_record_that_lives_on_as_another_kind_hands_its_contact_over(
    crm: CrmConnection, service: FakeService
) -> None:
    person(service, "1")
    tell(crm, "1")
    run(crm)
    contact = Contact.objects.get()
    person(service, "1", moved_to=["clients", "900"])
    tell(crm, "1")
    run(crm)
    winner = link("900")
    assert (winner.crm_object_type, winner.local_record_id) == ("clients", contact.pk)
    followed = InboxEvent.objects.get(source="followed")
    assert (followed.object_type, followed.record_ids) == ("clients", ["900"])
    changes = FieldChange.objects.count()
    tell(crm, "1")
    run(crm)
    assert InboxEvent.objects.filter(source="followed").count() == 1, "told again, nothing is left to do"
    assert FieldChange.objects.count() == changes


def test_a_pull_follows_moves_and_notes_deletions_too(crm: CrmConnection, service: FakeService) -> None:
    person(service, "1")
    person(service, "2")
    pull(crm, "people", PATIENCE)
    person(service, "1", moved_to=["people", "3"])
    person(service, "2", deleted=True)
    person(service, "3", company="Left Ltd")
    done = pull(crm, "people", PATIENCE).run
    assert done.skipped == 2
    assert link("1").metadata["moved_to"] == ["people", "3"]
    assert "deleted_at" in link("2").metadata
    assert Contact.objects.filter(company="Left Ltd").count() == 1
    before = list(SyncRecord.objects.order_by("pk").values())
    pull(crm, "people", PATIENCE, full=True)
    assert list(SyncRecord.objects.order_by("pk").values()) == before


# --- what is not fetched --------------------------------------------------------------------------------------------


def test_kinds_that_are_not_kept_are_worked_with_a_note_and_no_request(
    crm: CrmConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = fetches(monkeypatch)
    tell(crm, "1", object_type="deals")
    assert run(crm) == {"done": 1}
    assert states() == [("worked", fetching.NOT_KEPT)]
    assert not seen


@pytest.mark.parametrize("object_type", ["people", ""])
def test_a_resync_asks_for_a_pull_that_goes_on_from_the_last_good_moment(
    crm: CrmConnection, service: FakeService, object_type: str
) -> None:
    tell(crm, change=Change.RESYNC, object_type=object_type)
    claimed = queue.claim(crm.pk, inbox.KIND, 1)
    from integrations.crm import open_crm

    fetching.FetchHandler().work(open_crm(crm, PATIENCE)[0], claimed)
    job = SyncJob.objects.get(kind="pull")
    assert (job.key, job.payload) == ("people", {})
    assert states() == [("worked", fetching.READ_AGAIN)]


def test_our_own_mark_is_no_reason_to_skip_a_record(crm: CrmConnection, service: FakeService) -> None:
    person(service, "1", company="Theirs after ours")
    tell(crm, "1", ours=True)
    run(crm)
    assert Contact.objects.get().company == "Theirs after ours"
    assert InboxEvent.objects.get().ours


# --- what goes wrong ------------------------------------------------------------------------------------------------


def test_one_broken_record_fails_alone_and_can_be_tried_again(crm: CrmConnection, service: FakeService) -> None:
    for number in range(1, 21):
        person(service, str(number))
        tell(crm, str(number))
    service.store.put("poisoned", "current", {"ids": ["13"]})
    assert run(crm) == {"dead": 1}
    assert Contact.objects.count() == 19
    bad = InboxEvent.objects.get(state="failed")
    assert (bad.record_ids, bad.error.startswith("13: ")) == (["13"], True)
    assert InboxEvent.objects.filter(state="worked").count() == 19
    job = SyncJob.objects.get()
    assert "1 of the changed records" in job.error
    service.store.delete("poisoned", "current")
    queue.replay(SyncJob.objects.all())
    assert run(crm) == {"done": 1}
    assert Contact.objects.count() == 20
    assert (InboxEvent.objects.get(pk=bad.pk).state, InboxEvent.objects.get(pk=bad.pk).error) == ("worked", "")


def test_a_fault_of_ours_in_one_record_fails_alone_and_is_logged(
    crm: CrmConnection, service: FakeService, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(1, 9):
        person(service, str(number))
        tell(crm, str(number))
    real = Provider._record

    def broken(self: Provider, row: Any) -> Any:
        if row["id"] == "5":
            raise KeyError("oops")
        return real(self, row)

    monkeypatch.setattr(Provider, "_record", broken)
    assert run(crm) == {"dead": 1}
    assert Contact.objects.count() == 7
    assert fetching.OUR_FAULT in InboxEvent.objects.get(state="failed").error
    assert "oops" in caplog.text


def test_when_everything_is_broken_it_does_not_ask_for_each_record(
    crm: CrmConnection, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 101):
        tell(crm, str(number))
    service.store.put("poisoned", "current", {"ids": [str(number) for number in range(1, 101)]})
    seen = fetches(monkeypatch)
    assert run(crm) == {"dead": 1}
    assert len(seen) < 25
    assert set(InboxEvent.objects.values_list("state", flat=True)) == {"failed"}


@pytest.mark.parametrize(
    ("error", "state", "events", "attempts"),
    [
        (errors.Throttled("slow down", after=5), "ready", "received", 0),
        (errors.Reconnect("revoked"), "ready", "received", 0),
        (errors.Retry("down"), "ready", "received", 1),
        (errors.FixConfig("no right to read"), "dead", "failed", 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_an_error_of_the_crm_decides_what_becomes_of_the_events(
    crm: CrmConnection, monkeypatch: pytest.MonkeyPatch, error: Exception, state: str, events: str, attempts: int
) -> None:
    def fail(*_: Any) -> Fetched:
        raise error

    monkeypatch.setattr(Provider, "fetch", fail)
    tell(crm, "1")
    run(crm)
    job = SyncJob.objects.get()
    assert (job.state, job.attempts) == (state, attempts)
    assert [one for one, _note in states()] == [events]


def test_an_outage_that_lasts_fails_the_events_after_the_jobs_retries_and_replay_works_them(
    crm: CrmConnection, service: FakeService, fake_crm: SandboxServer
) -> None:
    person(service, "1")
    tell(crm, "1")
    fake_crm.service.faults.set([{"kind": "status", "status": 500}])
    from integrations.models import CircuitBreaker

    for _ in range(6):
        run(crm)
        CircuitBreaker.objects.all().delete()
    assert (SyncJob.objects.get().state, states()) == ("dead", [("failed", "")])
    fake_crm.service.faults.set([])
    queue.replay(SyncJob.objects.all())
    run(crm)
    assert states() == [("worked", "")]
    assert Contact.objects.count() == 1


def test_events_behind_a_failed_batch_get_a_job_of_their_own(
    crm: CrmConnection, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "EVENTS_AT_ONCE", 2)
    for number in range(1, 5):
        person(service, str(number))
        tell(crm, str(number))
    service.store.put("poisoned", "current", {"ids": ["1"]})
    run(crm)
    assert [one for one, _note in states()] == ["failed", "worked", "worked", "worked"]


def test_deliveries_made_while_no_worker_runs_are_all_worked_later(crm: CrmConnection, service: FakeService) -> None:
    CrmConnection.objects.update(status="paused")
    for number in range(1, 31):
        person(service, str(number))
        tell(crm, str(number), key=f"kept-{number}")
    assert run(crm) == {}
    CrmConnection.objects.update(status="connected")
    run(crm)
    assert Contact.objects.count() == 30
    assert set(states()) == {("worked", "")}
