"""The inbox in the admin: failed events are worked again, a window is replayed after a look at what that would change."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from integrations import tenancy
from integrations.models import CrmConnection, Tenant
from integrations.records.events import Change, RemoteEvent
from integrations.sandbox.server import SandboxServer
from mapping.publishing import add_defaults
from sync import inbox, replaying
from sync.inbox import Arrival
from sync.models import Contact, InboxEvent, SyncJob
from sync.work import work
from tests import factories
from tests.admin.forms import sent
from tests.admin.pages import html, page

REPLAY = "admin:sync_inboxevent_replay_window"
LIST = "admin:sync_inboxevent_changelist"


@pytest.fixture
def told(connection: CrmConnection, fake_crm: SandboxServer) -> CrmConnection:
    """A connection that was told of a person who is not here yet."""
    service: Any = fake_crm.service
    service.put_person("1", {"first": "Ann", "last": "Lee", "email": "ann@example.com", "company": "Acme"})
    with tenancy.scope(connection.tenant_id):
        add_defaults(connection)
        event = RemoteEvent("e-1", Change.CREATED, "people", ("1",))
        inbox.store([Arrival(connection.tenant_id, connection.pk, event)], inbox.WEBHOOK)
        InboxEvent.objects.update(state="worked")
        SyncJob.objects.all().delete()
    return connection


def terms(row: CrmConnection, **more: str) -> dict[str, str]:
    now = timezone.now()
    since, until = now - timedelta(hours=1), now + timedelta(minutes=1)
    moments = {"since": f"{since:%Y-%m-%dT%H:%M}", "until": f"{until:%Y-%m-%dT%H:%M:%S}"}
    return {"connection": str(row.pk), "object_type": "", **moments, **more}


def test_a_window_is_compared_first_and_worked_only_when_somebody_says_so(client: Client, told: CrmConnection) -> None:
    assert "No window was replayed yet" in html(client, reverse(REPLAY))
    shown = client.post(reverse(REPLAY), terms(told, step="compare")).content.decode()
    assert "Contacts that would be made" in shown
    assert "people 1" in shown
    with tenancy.everyone():
        assert not Contact.objects.exists()
        assert not SyncJob.objects.exists()
    answer = client.post(reverse(REPLAY), terms(told, step="apply"))
    with tenancy.everyone():
        job = SyncJob.objects.get(kind=replaying.KIND)
        assert answer["Location"] == page(SyncJob, "change", job.pk)
        work(told.pk)
        assert Contact.objects.get().company == "Acme"
    assert "1 / 1" in html(client, page(SyncJob, "change", job.pk))
    assert f"#{job.pk}" in html(client, reverse(REPLAY))


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"until": "2020-01-01T00:00"}, "later than the beginning"),
        ({"object_type": "Unicorn"}, "Known are: people"),
        ({"since": "soon"}, "valid date/time"),
    ],
    ids=["turned round", "unknown object", "no time"],
)
def test_a_window_that_makes_no_sense_is_explained(
    client: Client, told: CrmConnection, wrong: dict[str, str], problem: str
) -> None:
    assert problem in client.post(reverse(REPLAY), terms(told, step="compare", **wrong)).content.decode()


def test_a_window_without_events_starts_nothing(client: Client, told: CrmConnection) -> None:
    with tenancy.everyone():
        InboxEvent.objects.all().delete()
    shown = client.post(reverse(REPLAY), terms(told, step="compare")).content.decode()
    assert "Replay all of it" not in shown
    assert "holds no events" in client.post(reverse(REPLAY), terms(told, step="apply")).content.decode()


def test_another_tenants_connection_can_not_be_chosen(client: Client, told: CrmConnection, stranger: Tenant) -> None:
    theirs = factories.connection(stranger)
    shown = client.post(reverse(REPLAY), terms(theirs, step="apply")).content.decode()
    assert "Select a valid choice" in shown
    with tenancy.everyone():
        assert not SyncJob.objects.exists()


def test_a_crm_that_does_not_answer_is_told_on_the_page(
    client: Client, told: CrmConnection, fake_crm: SandboxServer
) -> None:
    with tenancy.everyone():
        CrmConnection.objects.filter(pk=told.pk).update(status="needs_reconnecting", status_reason="It was revoked.")
    assert "It was revoked." in client.post(reverse(REPLAY), terms(told, step="compare")).content.decode()


def test_a_failed_event_is_worked_again_with_its_dead_job(client: Client, told: CrmConnection) -> None:
    with tenancy.everyone():
        InboxEvent.objects.update(state="failed", error="1: refused")
        event = InboxEvent.objects.get()
    dead = factories.dead_job(told, kind="fetch", key="people", payload={"again": True})
    assert client.get(page(InboxEvent, "work_again", event.pk)).status_code == 200
    with tenancy.everyone():
        assert InboxEvent.objects.get().state == "failed"
    client.post(page(InboxEvent, "work_again", event.pk))
    with tenancy.everyone():
        assert (InboxEvent.objects.get().state, SyncJob.objects.get().pk, SyncJob.objects.get().state) == (
            "received", dead.pk, "ready",
        )  # fmt: skip
        work(told.pk)
        assert (InboxEvent.objects.get().state, Contact.objects.count()) == ("worked", 1)


def test_a_failed_event_without_a_job_gets_one(client: Client, told: CrmConnection) -> None:
    with tenancy.everyone():
        InboxEvent.objects.update(state="failed", error="1: refused")
        ids = list(InboxEvent.objects.values_list("pk", flat=True))
    with tenancy.everyone():
        assert inbox.work_again(InboxEvent.objects.filter(pk__in=ids)) == 1
        assert inbox.work_again(InboxEvent.objects.filter(pk__in=ids)) == 0


def test_the_list_is_filtered_by_state_and_object_and_its_bodies_are_redacted(
    client: Client, told: CrmConnection
) -> None:
    failed = factories.event(told, state="failed", error="It was refused.", object_type="people")
    shown = html(client, reverse(LIST) + "?state__exact=failed&object_type=people")
    assert "It was refused." in shown
    assert html(client, reverse(LIST) + "?state__exact=worked").count("It was refused.") == 0
    event = html(client, page(InboxEvent, "change", failed.pk))
    assert factories.ACCESS_TOKEN not in event
    assert "[secret]" in event


# --- on the first page ----------------------------------------------------------------------------------------------


def first_page(person: Any) -> str:
    client = Client()
    client.force_login(person)
    return html(client, reverse("admin:index"))


def test_failed_events_stand_on_the_first_page_with_the_way_to_them(told: CrmConnection, tenant: Tenant) -> None:
    factories.cursor(told)
    factories.dead_job(told, kind="fetch", key="people")
    factories.event(told, state="failed", error="1: refused")
    shown = first_page(factories.tenant_admin(tenant))
    assert "1 event of the CRM could not be worked" in shown
    assert f"{reverse(LIST)}?state__exact=failed&amp;connection__id__exact={told.pk}" in shown
    factories.dead_job(told, kind="push", key="another")
    assert "2 pieces of work need help" in first_page(factories.superuser())


def test_a_stream_that_broke_off_stands_on_the_first_page(told: CrmConnection, tenant: Tenant) -> None:
    factories.cursor(told)
    factories.cursor(told, "stream", value={"problem": "The topic is not enabled.", "failures": 3}, complete_at=None)
    shown = first_page(factories.tenant_admin(tenant))
    assert "The topic is not enabled." in shown
    assert page(CrmConnection, "test", told.pk) in shown


def test_a_missing_listener_is_told_where_a_connection_wants_one(told: CrmConnection) -> None:
    factories.worker_beat()
    root = factories.superuser()
    assert "start manage.py listen_changes" in first_page(root)
    beat = factories.worker_beat(name="host-2:7")
    type(beat).objects.filter(pk=beat.pk).update(kind="listener")
    assert "listen_changes" not in first_page(root)


def test_no_listener_is_missed_where_no_connection_streams(tenant: Tenant) -> None:
    factories.connection(tenant, "hubspot")
    assert "listen_changes" not in first_page(factories.superuser())


def test_events_are_told_in_words(client: Client, told: CrmConnection) -> None:
    with tenancy.everyone():
        event = InboxEvent.objects.get()
    listed = html(client, reverse(LIST))
    shown = html(client, page(InboxEvent, "change", event.pk))
    for words in (f"#{event.pk}", "Webhook", "Created", "Worked"):
        assert words in listed, words
    assert f"Webhook: people #{event.pk}" in shown
    assert "Lives on as" not in shown
    assert "webhook e-1" not in shown


def test_a_window_is_read_in_the_zone_that_its_form_names(client: Client, told: CrmConnection) -> None:
    client.cookies["browser_timezone"] = "Asia%2FTokyo"
    shown = html(client, reverse(REPLAY))
    assert "From (Asia/Tokyo)" in shown or "From (JST)" in shown
    form = sent(shown, "object_type") | {"connection": str(told.pk), "step": "compare"}
    assert "Contacts that would be made" in client.post(reverse(REPLAY), form).content.decode()
