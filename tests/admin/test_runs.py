"""Runs are paused and resumed by a button that asks; certificates are shown, and can be asked for again."""

import pytest
from django.test import Client

from integrations import tenancy
from integrations.models import Tenant
from sync.models import SyncJob, SyncRun
from tests import factories
from tests.admin.pages import page


@pytest.fixture
def run(tenant: Tenant) -> SyncRun:
    return factories.run(factories.connection(tenant), status="running")


@pytest.fixture
def client(tenant: Tenant) -> Client:
    made = Client()
    made.force_login(factories.tenant_admin(tenant))
    return made


def state_of(run: SyncRun) -> str:
    with tenancy.everyone():
        return str(SyncRun.objects.get(pk=run.pk).status)


def test_pausing_asks_first_and_resuming_makes_a_job_that_goes_on(client: Client, run: SyncRun) -> None:
    assert client.get(page(SyncRun, "pause", run.pk)).status_code == 200
    assert state_of(run) == "running"
    client.post(page(SyncRun, "pause", run.pk))
    assert state_of(run) == "paused"
    client.post(page(SyncRun, "resume", run.pk))
    assert state_of(run) == "running"
    with tenancy.everyone():
        job = SyncJob.objects.get()
    assert (job.kind, job.key, job.payload) == ("pull", "contacts", {"run": run.pk})


@pytest.mark.parametrize(("kind", "job"), [("reconcile", "reconcile"), ("backfill", "backfill"), ("catch_up", "pull")])
def test_each_kind_of_run_goes_on_as_its_own_kind_of_job(client: Client, tenant: Tenant, kind: str, job: str) -> None:
    paused = factories.run(factories.connection(tenant), status="paused", kind=kind)
    client.post(page(SyncRun, "resume", paused.pk))
    with tenancy.everyone():
        assert SyncJob.objects.get().kind == job


def test_a_finished_run_can_not_be_paused(client: Client, tenant: Tenant) -> None:
    finished = factories.run(factories.connection(tenant), status="done")
    answer = client.post(page(SyncRun, "pause", finished.pk), follow=True)
    assert "Nothing was changed" in answer.content.decode()
    assert state_of(finished) == "done"


def test_another_tenants_run_can_not_be_paused(client: Client, stranger: Tenant) -> None:
    theirs = factories.run(factories.connection(stranger), status="running")
    assert client.post(page(SyncRun, "pause", theirs.pk)).status_code == 404
    assert state_of(theirs) == "running"


def test_a_certificate_names_what_was_wrong_and_can_be_asked_for_again(client: Client, tenant: Tenant) -> None:
    made = factories.certificate(factories.connection(tenant), stale=["77-stale"], vanished=["78-gone"])
    shown = client.get(page(type(made), "change", made.pk)).content.decode()
    assert all(text in shown for text in ("77-stale", "78-gone", "Complete"))
    client.post(page(type(made), "compare_again", made.pk))
    with tenancy.everyone():
        job = SyncJob.objects.get()
    assert (job.kind, job.key) == ("reconcile", "contacts")
