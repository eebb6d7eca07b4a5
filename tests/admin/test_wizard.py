"""The connect wizard: each step is worked out from what is in the database, and each button does one thing in the background."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from integrations import preflight, tenancy
from integrations.connecting import PREPARED
from integrations.models import CrmConnection, Tenant
from integrations.records.connections import Finding, Severity
from integrations.sandbox.server import SandboxServer
from mapping.models import FieldMapping
from sync import pulling, tasks, wizard_jobs
from sync.models import FeedCursor, SyncJob, SyncRun
from sync.wizard import STEPS, Setup
from sync.work import work
from tests import factories
from tests.admin import pages
from tests.admin.conftest import SignIn

MISSING = Finding("field_missing", "calls.key", "Calls have no field for our key.", "Create it under Fields.")
BLOCKED = Finding("object_hidden", "people", "People can't be read.", "Tick Read on people.", Severity.BLOCKING)


@pytest.fixture(autouse=True)
def scoped(connection: CrmConnection) -> Iterator[None]:
    with tenancy.scope(connection.tenant_id):
        yield


def states(row: CrmConnection) -> dict[str, str]:
    row.refresh_from_db()
    return {step.key: step.state.value for step in Setup(row).steps}


def page(row: CrmConnection) -> str:
    return pages.page(CrmConnection, "setup", row.pk)


def press(client: Client, row: CrmConnection, button: str) -> str:
    response = client.post(page(row), {"do": button}, follow=True)
    assert response.status_code == 200
    return response.content.decode()


def looked(row: CrmConnection, *findings: Finding) -> None:
    """As it is after the look at the account."""
    for object_type in ("people", "calls"):
        factories.crm_field(row, f"first-{object_type}", object_type=object_type)
    factories.mapping_version(row.tenant, crm_provider=row.provider)
    now = timezone.now()
    found = preflight.Report(now, open=[preflight.Noted(one, now) for one in findings])
    row.remember({preflight.KEY: preflight._as_json(found)})


def loaded(row: CrmConnection) -> None:
    factories.cursor(row, "poll:people")


# --- where it stands ------------------------------------------------------------------------------------------------


def test_a_fresh_connection_has_to_be_looked_at_first(connection: CrmConnection) -> None:
    assert states(connection) == dict(zip(STEPS, ("done", "now", "later", "later", "later", "later"), strict=True))


def test_while_the_look_waits_for_a_worker_its_steps_are_being_worked_on(connection: CrmConnection) -> None:
    wizard_jobs.look(connection)
    found = states(connection)
    assert (found["check"], found["objects"], found["load"]) == ("working", "working", "later")


def test_what_blocks_is_the_step_to_look_at_and_locks_nothing(connection: CrmConnection) -> None:
    looked(connection, BLOCKED)
    found = states(connection)
    assert (found["check"], found["fields"]) == ("attention", "now")
    assert Setup(connection).current == "check"


def test_a_look_that_failed_tells_the_problem(connection: CrmConnection) -> None:
    factories.dead_job(connection, kind=wizard_jobs.LOOK, key="all", error="The CRM stumbled.")
    step = Setup(connection).steps[1]
    assert (step.state, step.words) == ("failed", "The CRM stumbled.")


def test_missing_fields_wait_for_somebody_to_create_them(connection: CrmConnection) -> None:
    looked(connection, MISSING)
    found = states(connection)
    assert (found["check"], found["fields"], found["mapping"], found["load"]) == ("done", "now", "done", "later")


def test_fields_that_could_not_be_created_hold_nothing_up(connection: CrmConnection) -> None:
    looked(connection, MISSING)
    connection.remember({PREPARED: timezone.now().isoformat()})
    found = states(connection)
    assert (found["fields"], found["load"]) == ("done", "now")


def test_without_a_mapping_nothing_is_loaded(connection: CrmConnection) -> None:
    factories.crm_field(connection, object_type="people")
    connection.remember(
        {preflight.KEY: {"checked_at": timezone.now().isoformat()}, PREPARED: timezone.now().isoformat()}
    )
    found = states(connection)
    assert (found["mapping"], found["load"]) == ("now", "later")


@pytest.mark.parametrize(
    ("status", "state"), [("running", "now"), ("paused", "now"), ("failed", "failed")], ids=["left", "paused", "failed"]
)
def test_a_load_without_a_job_waits_for_somebody(connection: CrmConnection, status: str, state: str) -> None:
    looked(connection)
    connection.remember({PREPARED: timezone.now().isoformat()})
    factories.run(connection, object_type="people", status=status, error="The CRM stumbled.")
    assert states(connection)["load"] == state


def test_a_load_that_runs_shows_its_numbers(client: Client, connection: CrmConnection) -> None:
    looked(connection)
    connection.remember({PREPARED: timezone.now().isoformat()})
    run = factories.run(connection, object_type="people", status="running", expected=400, created=100, unchanged=0)
    SyncRun.objects.filter(pk=run.pk).update(started_at=timezone.now() - timedelta(minutes=10))
    factories.job(connection, kind=pulling.KIND, key="people")
    assert states(connection)["load"] == "working"
    shown = pages.html(client, page(connection))
    assert 'max="400" value="100"' in shown
    assert "10 a minute" in shown
    assert "about 30 minutes left" in shown


def test_once_everything_was_read_the_next_steps_are_named(client: Client, connection: CrmConnection) -> None:
    looked(connection)
    loaded(connection)
    shown = pages.html(client, page(connection))
    assert Setup(connection).finished
    assert "What comes next" in shown
    assert "data-live-url" not in shown


def test_a_connection_that_ended_is_connected_again_first(client: Client, connection: CrmConnection) -> None:
    CrmConnection.objects.update(status="needs_reconnecting", status_reason="Revoked.")
    assert states(connection)["connect"] == "attention"
    assert "Connect again" in pages.html(client, page(connection))
    press(client, connection, "look")
    assert not SyncJob.objects.exists()


# --- the buttons ----------------------------------------------------------------------------------------------------


def test_from_the_button_to_the_first_contact(
    client: Client, connection: CrmConnection, fake_crm: SandboxServer
) -> None:
    fake_crm.service.put_person("1", {"first": "Ada", "last": "Lovelace", "phone": "+14155550100"})  # type: ignore[attr-defined]
    press(client, connection, "look")
    work(connection.pk)
    assert states(connection)["fields"] == "now"
    press(client, connection, "set_up")
    work(connection.pk)
    assert states(connection)["load"] == "now"
    press(client, connection, "load")
    work(connection.pk)
    assert Setup(connection).finished
    assert "Ada Lovelace" in pages.html(client, page(connection))


def test_looking_changes_nothing_in_the_crm(client: Client, connection: CrmConnection, fake_crm: SandboxServer) -> None:
    press(client, connection, "look")
    work(connection.pk)
    assert not list(fake_crm.service.store.all("hooks"))
    assert not connection.metadata.get(PREPARED)


def test_trying_again_takes_up_the_job_that_failed(client: Client, connection: CrmConnection) -> None:
    dead = factories.dead_job(connection, kind=wizard_jobs.LOOK, key="all", error="The CRM stumbled.")
    assert "The CRM stumbled." in pages.html(client, page(connection))
    press(client, connection, "look")
    assert [(job.pk, job.state) for job in SyncJob.objects.all()] == [(dead.pk, "ready")]


def test_a_missing_mapping_is_added_by_its_button(client: Client, connection: CrmConnection) -> None:
    factories.crm_field(connection, object_type="people")
    press(client, connection, "mapping")
    assert FieldMapping.objects.filter(crm_provider=connection.provider).count() == 6


def test_an_unknown_button_does_nothing(client: Client, connection: CrmConnection) -> None:
    assert "Nothing was started" in press(client, connection, "explode")
    assert not SyncJob.objects.exists()


# --- the hold on the first load ---------------------------------------------------------------------------------------


def test_the_clock_leaves_the_first_load_to_the_person_who_connected(connection: CrmConnection) -> None:
    wizard_jobs.begin(connection)
    tasks.catch_up()
    tasks.reconcile()
    assert set(SyncJob.objects.values_list("kind", flat=True)) == {wizard_jobs.LOOK}
    wizard_jobs.start_load(connection)
    SyncJob.objects.all().delete()
    tasks.catch_up()
    assert SyncJob.objects.get().kind == pulling.KIND


@pytest.mark.parametrize("by", ["command", "pull"])
def test_the_clock_loads_what_was_connected_or_begun_otherwise(connection: CrmConnection, by: str) -> None:
    if by == "pull":
        wizard_jobs.begin(connection)
        SyncJob.objects.all().delete()
        FeedCursor.objects.create(connection=connection, tenant_id=connection.tenant_id, feed="poll:people")
    tasks.catch_up()
    assert SyncJob.objects.get().kind == pulling.KIND


def test_connecting_again_what_was_loaded_sets_it_up_and_catches_up(connection: CrmConnection) -> None:
    loaded(connection)
    assert wizard_jobs.begin(connection) is False
    assert [job.kind for job in SyncJob.objects.order_by("lane")] == [wizard_jobs.PREPARE, pulling.KIND]


# --- the page -------------------------------------------------------------------------------------------------------


def test_each_finding_says_what_why_what_to_do_and_whom_to_ask(client: Client, connection: CrmConnection) -> None:
    looked(connection, BLOCKED, MISSING)
    shown = pages.html(client, page(connection))
    for words in (
        "People can&#x27;t be read.",
        "Something that people rely on does not work without it.",
        "Tick Read on people.",
        "an administrator of Fake CRM",
        "Create what is missing",
        "Calls have no field for our key.",
    ):
        assert words in shown


def test_what_is_asked_for_again_and_again_is_only_the_steps(client: Client, connection: CrmConnection) -> None:
    wizard_jobs.look(connection)
    part = client.get(page(connection), headers={"X-Live": "1"}).content.decode()
    assert part.strip().startswith('<div id="setup"')
    assert f'data-live-url="{page(connection)}"' in part
    assert "<html" not in part


def test_the_page_says_when_nobody_works(client: Client, connection: CrmConnection) -> None:
    wizard_jobs.look(connection)
    SyncJob.objects.update(not_before=timezone.now() - timedelta(minutes=1))
    assert "No worker has reported lately" in pages.html(client, page(connection))
    factories.worker_beat()
    assert "No worker has reported lately" not in pages.html(client, page(connection))


def test_the_page_takes_few_queries(
    client: Client, connection: CrmConnection, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    looked(connection, BLOCKED, MISSING)
    connection.remember({PREPARED: timezone.now().isoformat()})
    run = factories.run(connection, object_type="people", status="running")
    factories.job(connection, kind=pulling.KIND, key="people", run=run)
    for number in range(5):
        person = factories.contact(connection.tenant, email=f"{number}@acme.example")
        factories.link(connection, person, crm_object_type="people", crm_record_id=f"p-{number}")
    with django_assert_max_num_queries(15):
        assert "Hopper" in pages.html(client, page(connection))
    with django_assert_max_num_queries(15):
        client.get(page(connection), headers={"X-Live": "1"})


@pytest.mark.parametrize("method", ["get", "post"])
def test_another_tenants_wizard_does_not_exist(
    connection: CrmConnection, stranger: Tenant, sign_in: SignIn, method: str
) -> None:
    theirs = sign_in(factories.tenant_admin(stranger))
    assert getattr(theirs, method)(page(connection), {"do": "look"}).status_code == 404
    assert not SyncJob.objects.exists()


def test_whoever_may_only_look_can_press_nothing(connection: CrmConnection, tenant: Tenant, sign_in: SignIn) -> None:
    reader: Any = sign_in(factories.user("reader", tenants=(tenant,)))
    assert reader.post(page(connection), {"do": "look"}).status_code in {403, 404}
    assert not SyncJob.objects.exists()


def test_support_continues_what_a_tenant_began(connection: CrmConnection, sign_in: SignIn) -> None:
    wizard_jobs.begin(connection)
    assert "Continue setup" in pages.html(
        sign_in(factories.support()), pages.page(CrmConnection, "change", connection.pk)
    )
