"""Every page of every model opens, for each role as far as the role goes, without secrets and in few queries."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection as database
from django.db.models import Model
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django_q.models import Success

from activities.models import Call
from integrations import tenancy
from integrations.models import CrmConnection, Tenant
from mapping.models import ConflictPolicy
from sync.models import Contact, InboxEvent
from tests import factories
from tests.admin import pages
from tests.admin.conftest import SignIn
from tests.factories import World

MODELS = pages.registered()
ROWS = 30
MOST_QUERIES = 14


@pytest.fixture(params=[pytest.param("superuser", marks=pytest.mark.thorough), "support", "tenant admin"])
def person(request: pytest.FixtureRequest, ours: World) -> User:
    makers: dict[str, Callable[[], User]] = {
        "superuser": factories.superuser,
        "support": factories.support,
        "tenant admin": lambda: ours[User],
    }
    made = makers[request.param]()
    return User.objects.get(pk=made.pk)


def test_every_page_opens_as_far_as_the_role_goes(person: User, ours: World, sign_in: SignIn) -> None:
    client = sign_in(person)
    wrong = []
    for model in MODELS:
        row = pages.sample(ours, model)
        for (name, *arguments), expected in _expected(model, row, person).items():
            status = client.get(pages.page(model, name, *arguments)).status_code
            if status != expected:
                wrong.append(f"{name} of {model._meta.label} answered {status} instead of {expected}")
    assert not wrong, "\n".join(wrong)


def _expected(model: type[Model], row: Model, person: User) -> dict[tuple[Any, ...], int]:
    owner = admin.site._registry[model]
    request: Any = RequestFactory().get("/")
    request.user = person
    may = person.has_perm(f"{model._meta.app_label}.view_{model._meta.model_name}")
    with tenancy.everyone():
        may_add, may_delete = owner.has_add_permission(request), owner.has_delete_permission(request, row)
    return {
        ("changelist",): 200 if may else 403,
        ("change", row.pk): 200 if may else 404,
        ("history", row.pk): 200 if may else 404,
        ("add",): 200 if may_add else 403,
        ("delete", row.pk): 404 if not may else 200 if may_delete else 403,
    }


@pytest.mark.thorough
def test_no_page_shows_a_secret(root_client: Client, ours: World) -> None:
    told = []
    for model in MODELS:
        row = pages.sample(ours, model)
        for name, arguments in (("changelist", []), ("change", [row.pk]), ("history", [row.pk]), ("delete", [row.pk])):
            shown = root_client.get(pages.page(model, name, *arguments)).content.decode()
            secrets = (*factories.SECRETS, getattr(row, "key_hash", "no hash here"))
            told += [f"{name} of {model._meta.label}" for secret in secrets if secret in shown]
    assert not told


def test_no_page_of_a_connection_or_event_shows_an_encrypted_secret(root_client: Client, ours: World) -> None:
    with database.cursor() as cursor:
        cursor.execute("SELECT access_token, refresh_token, secrets FROM crm_credentials")
        stored = [value for row in cursor.fetchall() for value in row]
    shown = pages.html(root_client, pages.page(CrmConnection, "change", ours[CrmConnection].pk))
    assert all(value not in shown for value in stored)
    assert "stored, ends in …9a1b" in shown


@pytest.mark.thorough
def test_a_list_takes_few_queries_however_long_it_is(support_client: Client, root_client: Client, ours: World) -> None:
    _fill(ours)
    wrong = []
    for model in MODELS:
        address = pages.page(model, "changelist")
        client = support_client if support_client.get(address).status_code == 200 else root_client
        with CaptureQueriesContext(database) as asked:
            shown = pages.html(client, address)
        if len(asked) > MOST_QUERIES:
            wrong.append(f"{address} takes {len(asked)} queries")
        if model not in ONE_EACH and (rows := shown.count("/change/")) < ROWS:
            wrong.append(f"{address} shows {rows} rows")
    assert not wrong, "\n".join(wrong)


ONE_EACH = {ConflictPolicy, *(model for model in MODELS if model._meta.app_label in ("auth", "django_q"))}
"""Models of which a tenant has one row, and those of others."""


def _fill(ours: World) -> None:
    """So many rows of every kind that a query for each of them would be seen."""
    for number in range(ROWS):
        owner = factories.tenant(f"tenant-{number}")
        linked = factories.connection(owner)
        person = factories.contact(owner)
        record, called = factories.link(linked, person), factories.call(owner, person)
        factories.call_job(linked, called)
        factories.link(linked, called, crm_object_type="calls", crm_record_id=f"call-{number}")
        factories.api_key(owner)
        factories.invitation(owner)
        factories.audit_entry(owner)
        factories.user(f"person-{number}", tenants=(owner,))
        of_connection: list[Callable[[CrmConnection], Any]] = [
            factories.exchange,
            factories.breaker, factories.rate_window, factories.usage, factories.crm_field, factories.run, factories.event,
            factories.cursor, factories.dead_job, factories.consent_attempt, factories.schema_change, factories.crm_object,
            factories.certificate, factories.rehearsal, factories.undo, factories.crm_agent, factories.agent_override,
        ]  # fmt: skip
        for make in of_connection:
            make(linked)
        factories.alert(linked)
        factories.alert_settings(owner)
        factories.mapping(owner)
        factories.mapping_version(owner)
        factories.disposition(owner)
        factories.disposition_effect(owner)
        factories.call_settings(owner)
        factories.play(called)
        factories.call_stage(called)
        factories.retention_run(owner)
        factories.failure_action(owner)
        factories.deployment(f"v{number}")
        factories.dialer_message(factories.dialer_endpoint(owner))
        factories.conflict(record, person)
        factories.decision(linked)
        factories.quarantine(record, person)
        factories.change(person)
        factories.review(person)
        factories.worker_beat(timedelta(seconds=number), f"host-{number}:1")
        factories.finished_task(Success)


def test_a_list_offers_no_more_than_its_longest_length(root_client: Client, tenant: Tenant, monkeypatch: Any) -> None:
    monkeypatch.setattr("integrations.admin_lists.LONGEST_LIST", 3)
    for number in range(5):
        factories.contact(tenant, last_name=f"Number {number}")
    assert "3 contacts" in " ".join(pages.html(root_client, pages.page(Contact, "changelist")).split())


def test_a_call_list_shows_what_became_of_each_call(root_client: Client, ours: World, tenant: Tenant) -> None:
    waiting = factories.call(tenant, ours[Contact])
    factories.call_job(ours[CrmConnection], waiting)
    done = factories.call(tenant, ours[Contact])
    factories.call_job(ours[CrmConnection], done, state="done")
    factories.link(
        ours[CrmConnection], done, crm_object_type="calls", crm_record_id="c-9", url="https://app.example.com/c-9"
    )
    shown = pages.html(root_client, pages.page(Call, "changelist"))
    for words in ("HubSpot: waiting", "HubSpot: logged", "HubSpot: failed", 'href="https://app.example.com/c-9"'):
        assert words in shown


def test_notes_are_shown_as_text_not_as_html(root_client: Client, ours: World) -> None:
    shown = pages.html(root_client, pages.page(Call, "change", ours[Call].pk))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "<script>alert(1)" not in shown


def test_only_web_addresses_become_links(root_client: Client, tenant: Tenant) -> None:
    call = factories.call(tenant, recording_url="javascript:alert(1)")
    assert "javascript:alert" not in pages.html(root_client, pages.page(Call, "change", call.pk))


def test_an_inbox_event_is_shown_decoded_and_without_its_secrets(root_client: Client, ours: World) -> None:
    shown = pages.html(root_client, pages.page(InboxEvent, "change", ours[InboxEvent].pk))
    assert "objectId" in shown
    assert "[secret]" in shown
    assert "application/json" in shown


def test_our_templates_have_no_inline_script_or_style() -> None:
    templates = list((Path(settings.BASE_DIR) / "templates" / "admin").glob("*.html"))
    assert templates
    for template in templates:
        text = template.read_text(encoding="utf-8")
        assert "<script" not in text
        assert "onclick" not in text
        assert "style=" not in text


def test_pages_open_although_the_encryption_key_was_lost(root_client: Client, ours: World) -> None:
    with database.cursor() as cursor:
        cursor.execute(
            "UPDATE crm_credentials SET access_token = 'gAAAAnot-ours', refresh_token = 'gAAAAnot-ours', secrets = 'x'"
        )
    pages.html(root_client, pages.page(CrmConnection, "changelist"))
    pages.html(root_client, "/admin/sync/syncrun/")
