"""Masses of changes become one bulk job, where the CRM has such a thing; the rest of the time they are ordinary pushes."""

from collections.abc import Sequence

import pytest

from integrations import errors
from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from integrations.registry import PROVIDERS, provider_class
from sync import editing, pushes, queue
from sync.models import Contact, Lane, SyncJob, SyncRecord
from sync.pull import pull
from sync.work import work
from tests.providers.case import PATIENCE, Case

WITH_BULK = [slug for slug in PROVIDERS if provider_class(slug).bulk_from]
API = editing.Author("api", "Dialer")
HOW_MANY = 40

pytestmark = pytest.mark.parametrize("case", WITH_BULK, indirect=True)


@pytest.fixture
def people(case: Case) -> list[Contact]:
    """Contacts with waiting changes, just enough of them for a bulk job."""
    kind = case.provider.person_types[0]
    pull(case.row, kind, PATIENCE, seconds=0)
    CrmConnection.objects.update(settings={**case.row.settings, "bulk_from": HOW_MANY})
    SyncJob.objects.all().delete()
    links = SyncRecord.objects.filter(crm_object_type=kind, local_table="contacts").order_by("crm_record_id")[:HOW_MANY]
    found = list(Contact.objects.filter(pk__in=[link.local_record_id for link in links]))
    Contact.objects.filter(pk__in=[one.pk for one in found]).update(company="All of them Ltd")
    pushes.enqueue(found)
    return found


def drained(case: Case) -> None:
    for _ in range(10):
        case.server.service.clock.advance(60)
        SyncJob.objects.filter(state="ready").update(not_before="2026-01-01T00:00:00Z")
        work(case.row.pk, patience=PATIENCE)
        if not SyncJob.objects.filter(state__in=["ready", "leased"]).exists():
            return


def there(case: Case, people: Sequence[Contact]) -> set[str]:
    links = SyncRecord.objects.filter(local_record_id__in=[one.pk for one in people], local_table="contacts")
    return {case.read(link.crm_record_id, link.crm_object_type)["company"] for link in links}


def forbid_batches(monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    def refuse(*_args: object) -> None:
        raise AssertionError("a batch was written")

    monkeypatch.setattr(provider_class(case.slug), "write", refuse)


def test_all_that_waits_goes_as_one_job_and_the_bases_move(
    case: Case,
    people: list[Contact],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forbid_batches(monkeypatch, case)
    drained(case)
    assert dict(SyncJob.objects.values_list("kind", "state")) == {"push": "done", "push_results": "done"}
    assert SyncJob.objects.filter(kind="push_results").count() == 1
    assert there(case, people[:3]) == {"All of them Ltd"}
    bases = SyncRecord.objects.filter(local_record_id__in=[one.pk for one in people])
    assert set(bases.values_list("base__company", "sync_status")) == {("All of them Ltd", "synced")}


def test_an_edit_made_while_the_job_runs_is_sent_after_it(case: Case, people: list[Contact]) -> None:
    work(case.row.pk, patience=PATIENCE)
    editing.edit(people[0].pk, {"company": "Just this one"}, API)
    drained(case)
    assert there(case, people[:1]) == {"Just this one"}
    assert there(case, people[1:3]) == {"All of them Ltd"}


def test_a_job_whose_results_nobody_fetches_is_done_in_batches_after_all(case: Case, people: list[Contact]) -> None:
    queue_before = SyncJob.objects.filter(kind="push").count()
    work(case.row.pk, patience=PATIENCE)
    SyncJob.objects.filter(kind="push_results").delete()
    SyncJob.objects.filter(state="leased").update(lease_until="2026-01-01T00:00:00Z")
    assert queue.release_expired() == queue_before == HOW_MANY
    CrmConnection.objects.update(settings={**case.row.settings, "bulk_from": 0})
    drained(case)
    assert there(case, people[:3]) == {"All of them Ltd"}


def test_a_bulk_job_that_can_not_start_puts_all_back(
    case: Case,
    people: list[Contact],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(self: CrmProvider, *_args: object) -> None:
        raise errors.Throttled("No more jobs today.", after=60)

    monkeypatch.setattr(provider_class(case.slug), "start_bulk", refuse)
    work(case.row.pk, patience=PATIENCE)
    assert set(SyncJob.objects.values_list("kind", "state", "attempts")) == {("push", "ready", 0)}


def test_do_not_call_does_not_wait_for_a_bulk_job(case: Case, people: list[Contact]) -> None:
    editing.edit(people[0].pk, {"do_not_call": True}, API)
    claimed = queue.claim(case.row.pk, "push", 100, last_lane=Lane.DO_NOT_CALL)
    assert [job.local_record_id for job in claimed.jobs] == [people[0].pk]
