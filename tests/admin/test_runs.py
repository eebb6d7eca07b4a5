"""Runs are paused and resumed by a button that asks; certificates are shown, and can be asked for again."""

from datetime import timedelta

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from integrations import tenancy
from integrations.models import CrmConnection, Tenant
from sync.models import SyncJob, SyncRun
from tests import factories
from tests.admin.pages import page

PARTS = "/admin/sync/syncrun/progress/"


@pytest.fixture
def run(tenant: Tenant) -> SyncRun:
    return factories.run(factories.connection(tenant), status="running")


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


# --- progress that keeps itself up to date ----------------------------------------------------------------------------


def test_a_run_shows_how_far_it_is_how_fast_and_what_went_wrong(client: Client, tenant: Tenant) -> None:
    row = factories.connection(tenant)
    made = factories.run(row, status="running", expected=400, created=100, unchanged=0, errored=3, mapping_version=7)
    with tenancy.everyone():
        SyncRun.objects.filter(pk=made.pk).update(started_at=factories.now() - timedelta(minutes=10))
    factories.dead_job(row, key="1", run=made, cause="invalid_data")
    shown = client.get(page(SyncRun, "change", made.pk)).content.decode()
    words = (
        "100 of 400 · 10 a minute · about 30 minutes left", "3 records have a value",
        "1 job needs help: The CRM does not take the values",
        "version 7", page(SyncRun, "pause", made.pk),
    )  # fmt: skip
    assert [one for one in words if one not in shown] == []


def test_the_parts_of_a_page_are_asked_for_together_until_their_runs_end(client: Client, tenant: Tenant) -> None:
    row = factories.connection(tenant)
    running, ended = factories.run(row, status="running"), factories.run(row, object_type="deals", status="done")
    answer = client.get(
        PARTS, {"part": [f"run-{running.pk}", f"run-{ended.pk}", f"runpage-{running.pk}", "run-x", "?"]}
    )
    shown = answer.content.decode()
    assert shown.count(f'data-live-url="{PARTS}"') == 2
    assert all(f'id="{part}"' in shown for part in (f"run-{running.pk}", f"run-{ended.pk}", f"runpage-{running.pk}"))


def test_progress_of_another_tenants_run_does_not_exist(client: Client, stranger: Tenant) -> None:
    theirs = factories.run(factories.connection(stranger), status="running")
    assert client.get(PARTS, {"part": f"run-{theirs.pk}"}).content == b""


def test_the_list_says_what_a_run_is_where_there_is_none(client: Client) -> None:
    assert "A run is one pass over the records" in client.get(page(SyncRun, "changelist")).content.decode()


# --- the connection's page --------------------------------------------------------------------------------------------


def test_a_connection_names_its_state_its_next_step_and_what_goes_on(client: Client, tenant: Tenant) -> None:
    row = factories.connection(tenant)
    factories.job(row, kind="prepare", key="all")
    shown = client.get(page(CrmConnection, "change", row.pk)).content.decode()
    words = (
        "Continue setup", "Setting the account up", "Waits for a worker", "What is synced", "How changes reach us",
        "Limits of the day", "Quotas of the CRM", f'data-live-url="{page(CrmConnection, "change", row.pk)}"',
    )  # fmt: skip
    assert [one for one in words if one not in shown] == []


@pytest.mark.parametrize(("provider", "told"), [("hubspot", True), ("followupboss", True), ("salesforce", False)])
def test_webhooks_are_among_the_ways_only_where_we_subscribe_to_some(
    client: Client, tenant: Tenant, provider: str, *, told: bool
) -> None:
    shown = client.get(page(CrmConnection, "change", factories.connection(tenant, provider).pk)).content.decode()
    ways = shown[shown.index("How changes reach us") : shown.index("What changed in the CRM")]
    assert ("Webhooks" in ways) is told


@pytest.mark.parametrize(
    ("status", "button"),
    [("needs_reconnecting", "Connect again"), ("paused", "Resume"), ("connected", "Sync now")],
)
def test_the_next_step_of_a_connection_fits_its_state(client: Client, tenant: Tenant, status: str, button: str) -> None:
    row = factories.connection(tenant, status=status)
    factories.cursor(row)
    shown = client.get(page(CrmConnection, "change", row.pk)).content.decode()
    assert f'">{button}</a>' in shown
    assert "Continue setup" not in shown


def test_only_the_head_is_asked_for_again(client: Client, tenant: Tenant) -> None:
    row = factories.connection(tenant)
    part = client.get(page(CrmConnection, "change", row.pk), headers={"X-Live": "1"}).content.decode()
    assert part.strip().startswith('<section class="db-box" id="going-on"')


@pytest.mark.parametrize("live", [{}, {"X-Live": "1"}], ids=["page", "head"])
def test_a_connections_page_takes_few_queries(
    client: Client, tenant: Tenant, live: dict[str, str], django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    row = factories.connection(tenant)
    for number in range(5):
        factories.run(row, status="running" if number == 0 else "done")
        factories.schema_change(row, f"field-{number}")
        factories.cursor(row, f"poll:{number}")
    with django_assert_max_num_queries(15):
        client.get(page(CrmConnection, "change", row.pk), headers=live)


def test_a_run_of_some_fields_names_them(client: Client, tenant: Tenant) -> None:
    some = factories.run(factories.connection(tenant), kind="backfill", fields_only=["title"])
    assert "Job title" in client.get(page(SyncRun, "change", some.pk)).content.decode()
