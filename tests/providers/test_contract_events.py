"""From a change in the CRM to our contact, over its own webhooks or stream: what every provider has to do."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from django.db import connection as database

from integrations import tenancy
from integrations.connecting import connect, webhook_url
from integrations.contract.ports import ChangeStream
from integrations.models import Tenant
from integrations.records.events import Change, RemoteEvent
from integrations.registry import PROVIDERS, provider_class, sandbox_class
from integrations.transport.trial import TrialApi
from mapping.publishing import compiled
from sync import editing, inbox
from sync.models import Contact, FieldChange, InboxEvent, SyncJob, SyncRecord
from sync.pull import pull
from sync.work import work
from tests.providers.case import PATIENCE, Case
from tests.providers.harness import serve

STREAMING = [slug for slug in PROVIDERS if provider_class(slug).has_stream]
SIGNED = [slug for slug in PROVIDERS if slug not in STREAMING]


@contextmanager
def connected(slug: str, tenant: Tenant, settings: Any, public_url: str) -> Iterator[Case]:
    server = serve(sandbox_class(slug))
    for name, value in server.service.environment(server.url).items():
        setattr(settings, name, value)
    settings.CRM_ALLOWED_HOSTS = [server.url.removeprefix("http://")]
    settings.PUBLIC_URL = public_url
    settings.DEBUG = True  # or nothing is told to send its webhooks to a loopback address
    with tenancy.scope(tenant.pk):
        if provider_class(slug).app_webhooks:
            provider = provider_class(slug)
            provider.subscribe_app(TrialApi(provider, provider.app_credential()), f"{public_url}/webhooks/{slug}/")
        credential = getattr(server.service, "webhook_credential", server.service.credential)(server.url)
        row, _account = connect(tenant, slug, credential)
        yield Case(slug, server, tenant, credential, row)
    server.close()


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, f"not within {seconds} s"
        time.sleep(0.05)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("slug", SIGNED)
def test_an_edit_in_the_crm_arrives_by_webhook_and_changes_our_contact(
    tenant: Tenant, settings: Any, live_server: Any, slug: str
) -> None:
    with connected(slug, tenant, settings, live_server.url) as case:
        kind, record_id = case.record()
        pull(case.row, kind, PATIENCE)
        link = SyncRecord.objects.get(crm_object_type=kind, crm_record_id=record_id)
        case.server.service.clock.advance(5)
        case.server.service.edit(kind, record_id, dict(case.to_write({"last_name": "Changed-by-hand"}).values))
        wait_for(lambda: InboxEvent.objects.filter(connection=case.row).exists())
        wait_for(lambda: work(case.row.pk, patience=PATIENCE) is not None and _name(link) == "Changed-by-hand")
        assert not InboxEvent.objects.filter(state=InboxEvent.State.RECEIVED).exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("slug", SIGNED)
def test_a_forged_delivery_is_refused_and_stores_nothing(
    tenant: Tenant, settings: Any, live_server: Any, slug: str
) -> None:
    with connected(slug, tenant, settings, live_server.url) as case:
        for url in (webhook_url(case.row), f"{live_server.url}/webhooks/{slug}/"):
            answer = requests.post(url, json=[{"event": "peopleUpdated", "resourceIds": [1]}], timeout=10)
            assert answer.status_code in {401, 404}, url
        assert not InboxEvent.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("slug", STREAMING)
def test_an_edit_in_the_crm_arrives_by_stream(tenant: Tenant, settings: Any, slug: str) -> None:
    with connected(slug, tenant, settings, "http://127.0.0.1:9") as case:
        kind, record_id = case.record()
        events: list[RemoteEvent] = []
        stream = case.provider.open_stream({})
        with listening(stream, tenant, events) as ready:
            assert ready.wait(15)
            case.server.service.edit(kind, record_id, dict(case.to_write({"last_name": "Streamed"}).values))
            wait_for(lambda: any(record_id in one.record_ids for one in events))
        event = next(one for one in events if record_id in one.record_ids)
        assert (event.change, event.object_type, event.ours) == (Change.UPDATED, kind, False)
        assert set(event.changed) & set(compiled(case.row, kind).engine.crm_fields)


@contextmanager
def listening(stream: ChangeStream, tenant: Tenant, events: list[RemoteEvent]) -> Iterator[threading.Event]:
    """Iterates a stream in a thread of its own; leaving the block closes it and demands that it ends soon."""
    ready = threading.Event()

    def listen() -> None:
        with tenancy.scope(tenant.pk):
            for page in stream.pages():
                ready.set()
                events.extend(page.events)
        database.close()

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        yield ready
    finally:
        stream.close()
        listener.join(10)
    assert not listener.is_alive()


def _name(link: SyncRecord) -> str:
    return str(Contact.objects.values_list("last_name", flat=True).get(pk=link.local_record_id))


# --- our own writes come back ---------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("slug", SIGNED)
def test_our_own_write_that_comes_back_by_webhook_changes_nothing(
    tenant: Tenant, settings: Any, live_server: Any, slug: str
) -> None:
    with connected(slug, tenant, settings, live_server.url) as case:
        contact = pushed(case, lambda: wait_for(lambda: told_of(case).exists()))
        before = everything(contact)
        time.sleep(0.2)  # what is told of one write may come as several deliveries
        wait_for(lambda: work(case.row.pk, patience=PATIENCE) is not None and not told_of(case, "received").exists())
        assert everything(contact) == before


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("slug", STREAMING)
def test_our_own_write_that_comes_back_by_stream_changes_nothing(tenant: Tenant, settings: Any, slug: str) -> None:
    with connected(slug, tenant, settings, "http://127.0.0.1:9") as case:
        events: list[RemoteEvent] = []
        with listening(case.provider.open_stream({}), tenant, events) as ready:
            assert ready.wait(15)
            contact = pushed(case, lambda: wait_for(lambda: len(events) > 1))
            before = everything(contact)
        assert any(event.ours for event in events)
        inbox.store([inbox.Arrival(tenant.pk, case.row.pk, event) for event in events], inbox.STREAM)
        work(case.row.pk, patience=PATIENCE)
        assert not told_of(case, "received").exists()
        assert everything(contact) == before


def pushed(case: Case, until_told: Callable[[], None]) -> Contact:
    """Somebody whom the dialer made and then edited, with both carried to the CRM."""
    author = editing.Author("api", "Dialer")
    person = {"last_name": "Echo", "email": "echo@example.com", "phone": "+14155550177", "company": "Echo Ltd"}
    contact = editing.create(case.tenant.pk, person, author)
    work(case.row.pk, patience=PATIENCE)
    editing.edit(contact.pk, {"company": "Echo Inc"}, author)
    work(case.row.pk, patience=PATIENCE)
    until_told()
    assert not SyncJob.objects.filter(kind="push", state="ready").exists()
    return contact


def told_of(case: Case, *states: str) -> Any:
    rows = InboxEvent.objects.filter(connection=case.row)
    return rows.filter(state__in=states) if states else rows


def everything(contact: Contact) -> list[object]:
    """What an echo must not move: the contact, its history, the CRM's record, and what waits to be written."""
    contact.refresh_from_db()
    link = SyncRecord.objects.get(local_record_id=contact.pk, local_table="contacts")
    return [
        Contact.objects.filter(pk=contact.pk).values().get(),
        FieldChange.objects.filter(contact=contact).count(),
        (link.crm_record_id, link.base, link.sync_status),
        SyncJob.objects.filter(kind="push").count(),
        Contact.objects.count(),
    ]
