"""A window of the inbox is played again: first as a diff that keeps nothing, then for real, as a job."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from integrations import tenancy
from integrations.models import CrmConnection
from integrations.records.events import Change, RemoteEvent
from integrations.sandbox.server import SandboxServer
from sync import inbox, replacing, replay_diff, replaying
from sync.inbox import Arrival
from sync.models import Conflict, Contact, FieldChange, InboxEvent, SyncJob, SyncRecord
from sync.replay_diff import Diff
from sync.replaying import Window
from sync.work import work
from tests.fake_crm.provider import FakeService, Provider
from tests.sync.people import PATIENCE, person

TOLD = 13
"""Events of the world below that name records; one of them is our own, of the record that a merge left."""


def tell(crm: CrmConnection, *ids: str, change: Change = Change.UPDATED, moved_to: str = "") -> None:
    event = RemoteEvent(f"told-{InboxEvent.objects.count()}", change, "people", ids, moved_to=moved_to)
    inbox.store([Arrival(crm.tenant_id, crm.pk, event)], inbox.WEBHOOK)


def run(crm: CrmConnection) -> dict[str, int]:
    """Works until nothing is due; a pass over a window takes several goes."""
    done: dict[str, int] = {}
    for _ in range(20):
        SyncJob.objects.filter(state="ready").update(not_before=timezone.now() - timedelta(seconds=1))
        told = work(crm.pk, patience=PATIENCE)
        if not told:
            break
        done = {state: done.get(state, 0) + count for state, count in told.items()} | {
            state: count for state, count in done.items() if state not in told
        }
    return done


def window(crm: CrmConnection, **terms: Any) -> Window:
    now = timezone.now()
    return Window(crm, **{"since": now - timedelta(days=1), "until": now + timedelta(minutes=1), **terms})


def compare(crm: CrmConnection, **terms: Any) -> Diff:
    return replay_diff.compare(window(crm, **terms), PATIENCE)


def replay(crm: CrmConnection) -> SyncJob:
    job = replaying.start(window(crm))
    assert job is not None
    run(crm)
    job.refresh_from_db()
    return job


def everything() -> Mapping[str, list[Any]]:
    """All that a replay could touch but its own job."""
    kept: list[Any] = [Contact, SyncRecord, FieldChange, Conflict, InboxEvent]
    rows = {model.__name__: list(model.objects.order_by("pk").values()) for model in kept}
    return {**rows, "SyncJob": list(SyncJob.objects.exclude(kind=replaying.KIND).order_by("pk").values())}


@pytest.fixture
def world(crm: CrmConnection, service: FakeService) -> CrmConnection:
    """Some lives of records, all told of and worked."""
    for number in range(1, 9):
        person(service, str(number), company=f"Firm {number}")
        tell(crm, str(number), change=Change.CREATED)
    run(crm)
    service.store.delete("people", "2")
    tell(crm, "2", change=Change.DELETED)
    service.store.delete("people", "3")
    tell(crm, "3", "4", change=Change.MERGED, moved_to="4")
    service.store.delete("people", "5")
    tell(crm, "5", change=Change.ERASED)
    person(service, "6", company="Moved on")
    tell(crm, "6")
    tell(crm, change=Change.RESYNC)
    run(crm)
    return crm


# --- the diff -------------------------------------------------------------------------------------------------------


def test_a_diff_tells_what_would_change_and_keeps_nothing(world: CrmConnection, service: FakeService) -> None:
    person(service, "1", company="New firm")
    person(service, "9", company="Nobody knows me")
    tell(world, "9")
    service.store.delete("people", "7")
    tell(world, "77")
    jobs_before, before = SyncJob.objects.count(), everything()
    diff = compare(world)
    assert everything() == before
    assert SyncJob.objects.count() == jobs_before
    changed = [(one.record, one.field, one.before, one.after) for one in diff.changed]
    assert changed == [("people 1", "company", "Firm 1", "New firm")]
    assert [(name, values["company"]) for name, values in diff.created.items()] == [("people 9", "Nobody knows me")]
    assert diff.gone == {"people 7": ["deleted_at"]}
    assert {"people 7", "people 77"} <= set(diff.missing)
    assert (diff.records, diff.compared, diff.is_sample) == (10, 10, False)


def test_a_diff_writes_nothing_to_the_crm_and_asks_for_each_record_once(
    world: CrmConnection, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    real = Provider.fetch

    def spy(self: Provider, object_type: str, ids: Any, paths: Any) -> Any:
        asked.extend(ids)
        return real(self, object_type, ids, paths)

    monkeypatch.setattr(Provider, "fetch", spy)
    for _ in range(3):
        tell(world, "1", "6")
    compare(world)
    assert sorted(asked) == [str(number) for number in range(1, 9)]


def test_a_diff_shows_a_conflict_that_a_person_would_have_to_decide(world: CrmConnection, service: FakeService) -> None:
    world.tenant.refresh_from_db()
    from mapping.models import ConflictPolicy

    ConflictPolicy.objects.create(tenant_id=world.tenant_id, overrides={"company": "manual"})
    contact = Contact.objects.get(company="Firm 1")
    Contact.objects.filter(pk=contact.pk).update(company="Our firm", updated_at=timezone.now())
    person(service, "1", company="Their firm")
    diff = compare(world)
    conflict = diff.conflicts[0]
    assert (conflict.record, conflict.field, conflict.before, conflict.after, conflict.open) == (
        "people 1", "company", "Our firm", "Their firm", True,
    )  # fmt: skip
    assert not Conflict.objects.exists()


def test_a_diff_of_a_large_window_compares_a_sample_and_says_so(world: CrmConnection) -> None:
    diff = replay_diff.compare(window(world), PATIENCE, most=3)
    assert (diff.records, diff.compared, diff.is_sample) == (8, 3, True)


def test_a_record_that_the_crm_can_not_give_is_named_and_spoils_no_other(
    world: CrmConnection, service: FakeService
) -> None:
    person(service, "1", company="New firm")
    service.store.put("poisoned", "current", {"ids": ["8"]})
    diff = compare(world)
    assert list(diff.failed) == ["people 8"]
    assert [one.record for one in diff.changed] == ["people 1"]


def test_a_window_holds_what_came_in_it_of_the_wanted_kind(world: CrmConnection) -> None:
    InboxEvent.objects.filter(change=Change.CREATED).update(received_at=timezone.now() - timedelta(days=9))
    assert compare(world).records == 5, "2, 3, 4, 5 and 6 were told of later"
    assert compare(world, object_type="clients").events == 0


# --- for real -------------------------------------------------------------------------------------------------------


def test_replaying_the_whole_inbox_twice_changes_nothing(world: CrmConnection) -> None:
    before = everything()
    for _ in range(2):
        job = replay(world)
        assert (job.state, job.payload["done"], job.payload["total"]) == ("done", TOLD, TOLD)
        assert everything() == before


def test_a_replay_brings_in_what_was_missed_in_as_many_goes_as_it_takes(
    world: CrmConnection, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "EVENTS_AT_ONCE", 5)
    person(service, "1", company="New firm")
    job = replay(world)
    assert (job.state, job.attempts, job.payload["done"]) == ("done", 1, TOLD)
    assert Contact.objects.filter(company="New firm").count() == 1


def test_what_the_diff_told_is_what_the_replay_does(world: CrmConnection, service: FakeService) -> None:
    person(service, "1", company="New firm")
    person(service, "8", company="Newer firm", phone="+14155550123")
    told = {(one.field, one.before, one.after) for one in compare(world).changed}
    last = FieldChange.objects.order_by("-pk").values_list("pk", flat=True)[0]
    replay(world)
    assert set(FieldChange.objects.filter(pk__gt=last).values_list("field", "old", "new")) == told
    assert len(told) == 3


def test_a_replay_with_a_broken_record_goes_on_and_ends_with_a_person(
    world: CrmConnection, service: FakeService
) -> None:
    person(service, "1", company="New firm")
    service.store.put("poisoned", "current", {"ids": ["8"]})
    job = replay(world)
    assert (job.state, job.payload["done"], job.payload["failed"]) == ("dead", 0, 0)
    assert "1 records" in job.error
    assert Contact.objects.filter(company="New firm").exists()
    assert InboxEvent.objects.get(state="failed").record_ids == ["8"]


def test_a_replay_waits_behind_everything_that_is_new(world: CrmConnection) -> None:
    job = replaying.start(window(world))
    tell(world, "1")
    lanes = dict(SyncJob.objects.filter(state="ready").values_list("kind", "lane"))
    assert job is not None
    assert lanes["replay"] > lanes["fetch"]


def test_an_empty_window_makes_no_job(crm: CrmConnection) -> None:
    assert replaying.start(window(crm)) is None
    assert not SyncJob.objects.exists()


def test_the_same_window_waits_once(world: CrmConnection) -> None:
    one = window(world)
    first, second = replaying.start(one), replaying.start(one)
    assert first is not None
    assert second is not None
    assert first.pk == second.pk


def test_a_window_never_reaches_back_to_the_account_before(world: CrmConnection) -> None:
    replacing.forget(world, "acct-before")
    assert window(world).events().count() == 0
    tell(world, "1")
    assert window(world).events().count() == 1


def test_events_of_another_tenant_are_in_nobody_elses_window(
    world: CrmConnection, stranger: Any, fake_crm: SandboxServer
) -> None:
    with tenancy.everyone():
        theirs = CrmConnection.objects.create(
            tenant=stranger, provider="fakecrm", auth="oauth", access_token="access-0", instance_url=fake_crm.url
        )
    with tenancy.scope(stranger.pk):
        assert window(theirs).events().count() == 0


def test_moments_of_a_window_are_kept_by_its_job(world: CrmConnection) -> None:
    asked = window(world)
    job = replaying.start(asked)
    assert job is not None
    kept = replaying.window_of(world, job.payload)
    assert kept.since == asked.since
    assert isinstance(kept.until, datetime)
    assert kept.until <= timezone.now()


# --- the command ----------------------------------------------------------------------------------------------------


def command(*args: str) -> str:
    out = StringIO()
    with tenancy.entered(None):
        call_command("replay_inbox", "acme", *args, stdout=out)
    return out.getvalue()


def test_the_command_shows_the_diff_and_changes_nothing(world: CrmConnection, service: FakeService) -> None:
    person(service, "1", company="New firm")
    before, jobs = everything(), SyncJob.objects.count()
    shown = command("--from", "2020-01-01")
    assert "people 1 company: 'Firm 1' → 'New firm'" in shown
    assert "Add --apply" in shown
    told = json.loads(command("--from", "2020-01-01", "--json"))
    assert [one["after"] for one in told["diffs"][0]["changed"]] == ["New firm"]
    assert (everything(), SyncJob.objects.count()) == (before, jobs)
    assert "2 of them, chosen at random" in command("--from", "2020-01-01", "--most", "2")


def test_the_command_applies_in_the_background(world: CrmConnection, service: FakeService) -> None:
    person(service, "1", company="New firm")
    told = json.loads(command("--from", "2020-01-01", "--provider", "fakecrm", "--apply", "--json"))
    assert [one["events"] for one in told["jobs"]] == [TOLD]
    assert not Contact.objects.filter(company="New firm").exists()
    run(world)
    assert Contact.objects.filter(company="New firm").exists()


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        (["--from", "2026-01-02", "--to", "2026-01-01"], "later than --from"),
        (["--from", "2026-01-02", "--object", "Unicorn"], "has such records"),
        (["--from", "soon"], "is no time"),
    ],
    ids=["turned round", "unknown object", "no time"],
)
def test_the_command_explains_a_window_that_makes_no_sense(world: CrmConnection, args: list[str], problem: str) -> None:
    with pytest.raises(CommandError, match=problem):
        command(*args)
