"""What many changes cost in requests, counted by the CRM itself."""

import time

import pytest

from integrations.models import CrmConnection
from integrations.registry import PROVIDERS, provider_class
from sync import pushes
from sync.models import Contact, SyncJob, SyncRecord
from sync.pull import pull
from sync.work import work
from tests.providers.case import PATIENCE, Case

IN_BATCHES = [slug for slug in PROVIDERS if provider_class(slug).write_batch_size >= 100]
CONTACTS, ROUNDS = 1000, 2


def cost(case: Case, contacts: int, rounds: int) -> tuple[int, int, float]:
    """Requests, slices of work and seconds for so many updates of each of so many contacts."""
    kind = case.provider.person_types[0]
    pull(case.row, kind, PATIENCE)
    CrmConnection.objects.update(settings={**case.row.settings, "bulk_from": 0})
    SyncJob.objects.all().delete()
    links = SyncRecord.objects.filter(crm_object_type=kind, local_table="contacts").order_by("crm_record_id")
    ids = list(links.values_list("local_record_id", flat=True)[:contacts])
    people = Contact.objects.filter(pk__in=ids, deleted_at=None)
    assert people.count() == contacts
    before, started = sum(case.server.counts.values()), time.monotonic()
    slices = 0
    for number in range(rounds):
        people.update(title=f"Round {number}")
        pushes.enqueue(people)
        while SyncJob.objects.filter(state="ready").exists():
            SyncJob.objects.filter(state="ready").update(not_before="2026-01-01T00:00:00Z")
            work(case.row.pk, patience=PATIENCE)
            slices += 1
    assert not SyncJob.objects.exclude(state="done").exists()
    moved = SyncRecord.objects.filter(local_record_id__in=ids, base__title=f"Round {rounds - 1}")
    assert moved.count() == contacts
    return sum(case.server.counts.values()) - before, slices, time.monotonic() - started


@pytest.mark.live
@pytest.mark.thorough
@pytest.mark.whole_crm
@pytest.mark.parametrize("case", IN_BATCHES, indirect=True)
def test_two_thousand_updates_cost_one_request_for_each_full_batch(case: Case) -> None:
    calls, slices, _seconds = cost(case, CONTACTS, ROUNDS)
    fields = slices  # each slice of work asks once which fields there are
    assert calls - fields == CONTACTS * ROUNDS / provider_class(case.slug).write_batch_size
