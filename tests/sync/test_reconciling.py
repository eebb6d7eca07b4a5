"""Events are dropped and deletions go untold: the certificate names exactly what was wrong, and all of it is right afterwards."""

import json
import time
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection as database

from integrations.errors import CrmError
from integrations.models import CrmConnection
from integrations.sandbox.server import SandboxServer
from sync import pulling, reconciling
from sync.inbound import PageWriter
from sync.models import Certificate, Contact, SyncJob, SyncRecord, SyncRun
from sync.pull import pull
from sync.work import work
from tests.fake_crm.provider import FakeService
from tests.providers.case import PATIENCE, Case
from tests.sync.people import PATIENCE as IMPATIENT
from tests.sync.people import person

LOST_EDITS, LOST_NEWCOMERS, SILENT_DELETIONS = 5, 2, 3


def by_hand(case: Case, values: dict[str, Any]) -> dict[str, Any]:
    """In the CRM's words; what it keeps in custom fields is left out."""
    return {name: value for name, value in case.to_write(values).values.items() if not isinstance(value, dict)}


def some_links(kind: str, count: int) -> list[SyncRecord]:
    rows = SyncRecord.objects.filter(crm_object_type=kind, local_table="contacts", local_record_id__isnull=False)
    return list(rows.order_by("crm_record_id")[:count])


@pytest.mark.django_db
def test_the_certificate_names_exactly_the_seven_dropped_events_and_three_silent_deletes(case: Case) -> None:
    kind, service = case.provider.person_types[0], case.server.service
    pull(case.row, kind, PATIENCE)
    first = reconciling.reconcile(case.row, kind, PATIENCE).certificate
    assert first is not None
    assert (first.complete, first.missing, first.stale, first.vanished) == (True, [], [], [])
    assert first.remote_count == first.local_count > 0

    links = some_links(kind, LOST_EDITS + SILENT_DELETIONS)
    service.clock.advance(60)
    edited, deleted = links[:LOST_EDITS], links[LOST_EDITS:]
    for number, link in enumerate(edited):
        service.edit(kind, link.crm_record_id, by_hand(case, {"last_name": f"Unheard{number}"}))
    new = [
        service.add(kind, by_hand(case, {"last_name": f"Newcomer{one}", "company": "Unheard Ltd"}))
        for one in range(LOST_NEWCOMERS)
    ]
    for link in deleted:
        service.remove(kind, link.crm_record_id)
    service.clock.advance(60)

    found = reconciling.reconcile(case.row, kind, PATIENCE).certificate
    assert found is not None
    assert set(found.missing) == set(new)
    assert set(found.stale) == {link.crm_record_id for link in edited}
    assert set(found.vanished) == {link.crm_record_id for link in deleted}
    assert (found.repaired, found.complete) == (10, True)
    assert found.remote_count == found.local_count == first.remote_count - 1

    assert {case.read(link.crm_record_id)["last_name"] for link in edited} == set(
        Contact.objects.filter(last_name__startswith="Unheard").values_list("last_name", flat=True)
    )
    assert Contact.objects.filter(last_name__startswith="Newcomer").count() == LOST_NEWCOMERS
    for link in deleted:
        link.refresh_from_db()
        assert "deleted_at" in link.metadata

    again = reconciling.reconcile(case.row, kind, PATIENCE).certificate
    assert again is not None
    assert (again.complete, again.repaired, again.missing + again.stale + again.vanished) == (True, 0, [])


@pytest.mark.django_db(transaction=True)
def test_the_jobs_of_a_night_certify_every_kind_of_person(case: Case) -> None:
    for kind in case.provider.person_types:
        pull(case.row, kind, PATIENCE)
    SyncJob.objects.all().delete()
    assert reconciling.enqueue_all([case.row]) == len(case.provider.person_types)
    until = time.monotonic() + 60  # a comparison may use a share of the quota only, and then pauses
    while SyncJob.objects.filter(state="ready").exists() and time.monotonic() < until:
        work(case.row.pk, patience=PATIENCE)
        time.sleep(0.1)
    kinds = Certificate.objects.filter(complete=True).values_list("object_type", flat=True)
    assert sorted(kinds) == sorted(case.provider.person_types)
    assert set(SyncRun.objects.filter(kind="reconcile").values_list("status", flat=True)) == {"done"}


# --- slices, pauses, policies: with the smallest CRM ------------------------------------------------------------------


def test_it_goes_on_slice_by_slice_and_every_slice_is_kept(crm: CrmConnection, service: FakeService) -> None:
    for number in range(1, 131):
        person(service, str(number))
    slices = [reconciling.reconcile(crm, "people", PATIENCE, seconds=0) for _ in range(6)]
    done = [one for one in slices if one.certificate]
    assert len(done) == 1
    assert slices.index(done[0]) >= 3
    assert {one.run.pk for one in slices[: slices.index(done[0]) + 1]} == {done[0].run.pk}
    made = Certificate.objects.first()
    assert made is not None
    assert (len(made.missing), made.repaired, made.remote_count, made.local_count) == (130, 130, 130, 130)
    with database.cursor() as sql:
        sql.execute("SELECT count(*) FROM listed_records WHERE run_id = %s", [done[0].run.pk])
        assert sql.fetchone()[0] == 0


def test_a_paused_reconciliation_waits_and_an_error_of_the_crm_does_not_lose_its_place(
    crm: CrmConnection, service: FakeService, fake_crm: SandboxServer
) -> None:
    for number in range(1, 121):
        person(service, str(number))
    run = reconciling.reconcile(crm, "people", PATIENCE, seconds=0).run
    assert pulling.pause(run)
    assert reconciling.reconcile(crm, "people", PATIENCE).run.status == "paused"
    assert not Certificate.objects.exists()
    assert pulling.resume(run, reconciling.KIND)
    fake_crm.service.faults.set([{"kind": "status", "status": 500}])
    with pytest.raises(CrmError):
        reconciling.reconcile(crm, "people", IMPATIENT)
    assert SyncRun.objects.get().status == "failed"
    fake_crm.service.faults.set([])
    done = reconciling.reconcile(crm, "people", PATIENCE)
    assert (done.run.pk, done.run.status) == (run.pk, "done")
    assert Contact.objects.count() == 120


def test_what_cannot_be_repaired_leaves_the_certificate_incomplete(
    crm: CrmConnection, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    person(service, "1")
    monkeypatch.setattr(PageWriter, "_write", lambda *_: None)
    made = reconciling.reconcile(crm, "people", PATIENCE).certificate
    assert made is not None
    assert (made.complete, made.missing, made.repaired) == (False, ["1"], 0)


def test_people_who_are_not_to_be_dialled_are_neither_missing_nor_read(
    crm: CrmConnection, service: FakeService
) -> None:
    person(service, "1")
    person(service, "2", inactive=True)
    made = reconciling.reconcile(crm, "people", PATIENCE).certificate
    assert made is not None
    assert (made.missing, made.remote_count, made.local_count, made.complete) == (["1"], 1, 1, True)


def test_the_command_prints_a_certificate_for_each_kind(
    crm: CrmConnection, service: FakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    person(service, "1")
    call_command("reconcile", "acme", "--json")
    (shown,) = json.loads(capsys.readouterr().out)["certificates"]
    assert (shown["provider"], shown["missing"], shown["complete"]) == ("fakecrm", ["1"], True)
    call_command("reconcile", "acme")
    assert "complete as of" in capsys.readouterr().out
