"""Pages that are read while others are stored, each by its own connection to the database."""

import threading

import pytest

from integrations import errors
from integrations.models import CrmConnection
from integrations.sandbox.server import SandboxServer
from mapping.models import FieldMapping
from mapping.publishing import publish
from sync import joining
from sync.models import Contact, FeedCursor, SyncRun
from sync.pull import pull
from tests.sync.test_inbound import PATIENCE, put

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _pages_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "ENOUGH", 1)


@pytest.fixture
def people(crm: CrmConnection, fake_crm: SandboxServer) -> CrmConnection:
    """120 of them: three pages."""
    for number in range(1, 121):
        put(fake_crm, number)
    return crm


def running_ahead() -> int:
    return sum(one.name == "ahead" for one in threading.enumerate())


def test_everybody_comes_in_once_and_nothing_is_left_running(people: CrmConnection) -> None:
    done = pull(people, "people", PATIENCE).run
    assert (done.status, done.created, done.api_calls) == ("done", 120, 3)
    assert Contact.objects.count() == 120
    assert running_ahead() == 0
    assert pull(people, "people", PATIENCE, full=True).run.unchanged == 120


def test_what_was_read_before_the_crm_failed_is_stored_and_the_next_run_brings_the_rest(
    people: CrmConnection, fake_crm: SandboxServer
) -> None:

    def fail_from_now_on(_run: SyncRun) -> None:
        fake_crm.service.faults.set([{"kind": "status", "status": 500}])

    with pytest.raises(errors.Retry):
        pull(people, "people", PATIENCE, progress=fail_from_now_on)
    broken = SyncRun.objects.get()
    assert (broken.status, running_ahead()) == ("failed", 0)
    assert 0 < broken.created < 120
    assert FeedCursor.objects.get().value == {"after": broken.created, "pass": 1}
    fake_crm.service.faults.set([])
    assert pull(people, "people", PATIENCE).run.created == 120 - broken.created


def test_a_page_that_was_read_ahead_of_a_failure_to_store_is_not_lost(people: CrmConnection) -> None:
    def somebody_else(_run: SyncRun) -> None:
        FeedCursor.objects.update(value={"after": 77})

    with pytest.raises(errors.Retry, match="Another run"):
        pull(people, "people", PATIENCE, progress=somebody_else)
    assert (Contact.objects.count(), running_ahead()) == (50, 0)
    assert pull(people, "people", PATIENCE, full=True).run.created == 70


def test_a_slice_takes_a_page_however_short_its_time_is(people: CrmConnection) -> None:
    slices = [pull(people, "people", PATIENCE, seconds=0)]
    while not slices[-1].finished:
        slices.append(pull(people, "people", PATIENCE, seconds=0, run=slices[-1].run))
    assert ([one.finished for one in slices], slices[-1].run.created) == ([False, False, True], 120)


def test_a_paused_run_stops_after_the_page_at_hand(people: CrmConnection) -> None:
    def pause(run: SyncRun) -> None:
        SyncRun.objects.filter(pk=run.pk).update(status=SyncRun.Status.PAUSED)

    assert not pull(people, "people", PATIENCE, progress=pause).finished
    assert (Contact.objects.count(), running_ahead()) == (50, 0)
    assert FeedCursor.objects.get().value == {"after": 50, "pass": 1}


def test_javascript_of_the_mapping_runs_for_every_page(people: CrmConnection) -> None:
    FieldMapping.objects.filter(dialer_field="last_name").update(
        transform_rule="custom", custom_transform={"inbound": "value.toUpperCase()", "outbound": "value"}
    )
    publish(people.tenant_id, people.provider)
    assert pull(people, "people", PATIENCE).run.errored == 0
    assert Contact.objects.filter(last_name__startswith="LEE").count() == 120
