"""Bulk jobs through everything that is real: the transport, the pull in slices, and the database."""

from collections.abc import Iterator
from typing import Any

import pytest

from integrations import errors, tenancy
from integrations.connecting import connect
from integrations.crm import open_crm
from integrations.models import CrmConnection, Tenant
from integrations.providers.salesforce.provider import Provider
from integrations.providers.salesforce.sandbox import Sandbox
from integrations.records.remote import RecordWrite
from integrations.transport.client import COMMAND, WORKER
from sync.models import Contact, FeedCursor, SyncRun
from sync.pull import feed_of, pull
from tests.providers.harness import serve

GROWN, STORED, CONVERTED = 3_000, 1_110, 13


@pytest.fixture
def organisation(settings: Any) -> Iterator[Sandbox]:
    server = serve(Sandbox)
    for name, value in server.service.environment(server.url).items():
        setattr(settings, name, value)
    settings.CRM_ALLOWED_HOSTS = [server.url.removeprefix("http://")]
    assert isinstance(server.service, Sandbox)
    server.service.address = server.url  # type: ignore[attr-defined]
    yield server.service
    server.close()


@pytest.fixture
def row(organisation: Sandbox, tenant: Tenant) -> Iterator[CrmConnection]:
    with tenancy.scope(tenant.pk):
        credential = organisation.credential(organisation.address)  # type: ignore[attr-defined]
        yield connect(tenant, "salesforce", credential)[0]


def test_the_first_pull_of_a_large_organisation_waits_for_its_job_and_goes_on(
    organisation: Sandbox, row: CrmConnection
) -> None:
    organisation.grow(GROWN)
    first = pull(row, "Lead", WORKER)
    assert (first.finished, first.wait) == (False, 5.0)
    held = FeedCursor.objects.get(feed=feed_of("Lead")).value
    assert held["bulk"]["job"].startswith("750")
    second = pull(row, "Lead", WORKER, run=first.run)
    assert second.finished
    assert second.run.pk == first.run.pk
    assert SyncRun.objects.get().status == SyncRun.Status.DONE
    assert Contact.objects.count() == GROWN + STORED - CONVERTED
    assert set(FeedCursor.objects.get(feed=feed_of("Lead")).value) == {"until"}
    third = pull(row, "Lead", WORKER)
    assert (third.finished, third.run.kind, third.run.created) == (True, SyncRun.Kind.CATCH_UP, 0)


def test_a_slice_that_ends_inside_a_result_is_gone_on_with(organisation: Sandbox, row: CrmConnection) -> None:
    organisation.grow(GROWN)
    pulled = pull(row, "Lead", WORKER)
    slices = 0
    while "bulk" in FeedCursor.objects.get(feed=feed_of("Lead")).value:
        slices += 1
        pulled = pull(row, "Lead", WORKER, run=pulled.run, seconds=0.0)
    assert slices > 2
    assert pull(row, "Lead", WORKER, run=pulled.run).finished
    assert Contact.objects.count() == GROWN + STORED - CONVERTED


def test_an_upload_whose_token_has_run_out_starts_over_with_a_fresh_one(
    organisation: Sandbox, row: CrmConnection
) -> None:
    provider, _api = open_crm(row, COMMAND)
    assert isinstance(provider, Provider)
    lead = next(one["Id"] for one in organisation.store.all("Lead") if not one["IsConverted"])
    organisation.faults.set([{"kind": "expire_session", "match": "PUT", "times": 1}])
    with pytest.raises(errors.Retry, match="starts over"):
        provider.start_bulk("Lead", [RecordWrite("a", {"Title": "CTO"}, lead)])
    ticket = provider.start_bulk("Lead", [RecordWrite("a", {"Title": "CTO"}, lead)])
    for _ in range(2):
        with pytest.raises(errors.NotReady):
            provider.bulk_results(ticket)
    assert [(one.key, one.id, one.error) for one in provider.bulk_results(ticket)] == [("a", lead, None)]


def test_a_used_up_quota_of_bulk_jobs_holds_nothing_else_up(organisation: Sandbox, row: CrmConnection) -> None:
    provider, _api = open_crm(row, WORKER)
    organisation.faults.set([{"kind": "bulk_quota"}])
    with pytest.raises(errors.Throttled) as caught:
        provider.start_bulk("Lead", [RecordWrite("a", {"Title": "x"}, "00Q000000000000AAA")])
    assert (caught.value.cause, caught.value.after) == ("bulk_quota", 900)
    assert provider.identify().external_id
    with pytest.raises(errors.Throttled):
        provider.start_bulk("Lead", [RecordWrite("a", {"Title": "x"}, "00Q000000000000AAA")])
