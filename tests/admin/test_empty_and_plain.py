"""Lists without rows say what would stand there; times name their zone; nothing that can be edited is filled in as JSON."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from django.utils import timezone

from integrations import tenancy
from integrations.admin_base import AdminPage
from integrations.models import ApiUsage, CrmConnection, Membership, RateWindow, Tenant
from mapping.models import CrmField
from sync.models import ConnectionHour, FeedCursor, FieldChange, SyncJob, Undo
from sync.models.failures import FailureHour
from tests import factories
from tests.admin import pages
from tests.admin.conftest import SignIn

NEVER_EMPTY = {
    "auth.User", "auth.Group", "integrations.Tenant", "integrations.Membership", "sync.WorkerBeat", "sync.Deployment",
}  # fmt: skip
"""Who looks is in these, and what answers them."""
OWN_FORMS = (CrmConnection, Undo)
"""Whose pages to add one are no form of the admin's."""


def test_a_list_without_rows_says_what_would_stand_there(client: Client) -> None:
    shown = pages.html(client, "/admin/activities/dialerendpoint/")
    assert "The dialer is told of nothing yet." in shown
    assert "Show all" not in shown, "nothing is filtered"
    assert "Add webhook to the dialer" in shown


def test_a_filter_that_leaves_nothing_leads_back(client: Client) -> None:
    shown = pages.html(client, "/admin/sync/syncjob/?state__exact=dead")
    assert "Nothing fits" in shown
    assert 'href="?"' in shown


def test_every_list_of_ours_says_what_would_stand_there() -> None:
    ours = {model._meta.label: page for model, page in admin.site._registry.items() if isinstance(page, AdminPage)}
    silent = {name for name, page in ours.items() if not page.nothing_yet}
    assert silent == NEVER_EMPTY


def test_what_we_keep_as_json_is_told_in_words(client: Client, tenant: Tenant) -> None:
    crm = factories.connection(tenant)
    job = factories.dead_job(crm, payload={"full": False, "since_version": 3})
    shown = pages.html(client, pages.page(SyncJob, "change", job.pk))
    assert "Full: no" in shown
    assert "Since version: 3" in shown
    cursor = factories.cursor(crm, value={"until": "2026-11-23"})
    assert "Until: 2026-11-23" in pages.html(client, pages.page(FeedCursor, "change", cursor.pk))


def test_a_field_of_a_crm_tells_its_type_and_choices_in_words(client: Client, tenant: Tenant) -> None:
    crm = factories.connection(tenant)
    field = factories.crm_field(crm, "stage", kind="picklist", options=[["new", "Fresh"], ["Won", "Won"]])
    shown = pages.html(client, pages.page(CrmField, "change", field.pk))
    assert "one of some choices" in shown
    assert "<li>Fresh (new)</li><li>Won</li>" in shown


def test_a_page_is_named_as_people_say_it(client: Client, tenant: Tenant) -> None:
    change = factories.change(factories.contact(tenant), field="do_not_call")
    head = pages.html(client, pages.page(FieldChange, "change", change.pk)).partition("</h1>")[0]
    assert "Do not call" in head
    ann = factories.user("ann@acme.example", tenants=(tenant,))
    with tenancy.everyone():
        member = Membership.objects.get(user=ann)
    head = pages.html(client, pages.page(Membership, "change", member.pk)).partition("</h1>")[0]
    assert "ann@acme.example" in head.partition("<h1")[2]


def test_a_time_on_a_page_names_its_zone(client: Client, tenant: Tenant) -> None:
    job = factories.dead_job(factories.connection(tenant))
    client.cookies["browser_timezone"] = "Asia/Kolkata"
    assert " IST" in pages.html(client, pages.page(SyncJob, "change", job.pk))


def test_nothing_that_can_be_edited_is_filled_in_as_json(db: None) -> None:
    request = RequestFactory().get("/")
    request.user = User(username="root", is_superuser=True, is_staff=True, is_active=True)
    with tenancy.everyone():
        raw = [
            f"{model._meta.label}.{name}"
            for model, page in admin.site._registry.items()
            if page.has_add_permission(request) and model not in OWN_FORMS
            for name, field in page.get_form(request).base_fields.items()
            if isinstance(field, forms.JSONField)
        ]
    assert raw == []


def test_cursors_say_in_words_what_is_read(tenant: Tenant, sign_in: SignIn) -> None:
    crm = factories.connection(tenant)
    for feed in ("poll:contacts", "backfill:46", "stream", "of:a:later:version"):
        factories.cursor(crm, feed)
    shown = pages.html(sign_in(factories.tenant_admin(tenant)), pages.page(FeedCursor, "changelist"))
    for words in ("Asked every five minutes: contacts", "Back-fill, run 46", "Change stream", "of:a:later:version"):
        assert words in shown, words


def test_a_connection_tells_its_settings_credential_and_quotas_in_words(tenant: Tenant, sign_in: SignIn) -> None:
    chosen = {
        "create_contacts": False, "fuzzy_threshold": 0.9, "on_delete": {"contacts": "mark"}, "some_word": "x",
        "old_secret": "shh-1",
    }  # fmt: skip
    shown = _shown(tenant, sign_in, "hubspot", chosen, ("default", "search:urgent", "never_heard_of"))
    for words in (
        "Create our contacts in the CRM: no", "How alike names have to be to ask about them: 0.9",
        "When a record is deleted in the CRM: contacts: mark", "Some word: x", "Old secret: stored",
        "Private app", "All requests", "Searches, for what must not wait", "Never heard of",
    ):  # fmt: skip
        assert words in shown, words
    assert "shh-1" not in shown


@pytest.mark.parametrize(
    ("slug", "chosen", "bucket", "words"),
    [
        (
            "salesforce",
            {"webhook_certificates": ["-----BEGIN CERTIFICATE-----" + "A" * 300]},
            "bulk",
            ("Certificates that sign webhooks: 1 stored", "Bulk jobs"),
        ),
        ("followupboss", {"call_form": "event"}, "PUT.people", ("Calls are written as: event", "Changing people")),
    ],
    ids=["salesforce", "followupboss"],
)
def test_what_only_one_service_has_is_told_in_its_own_words(
    tenant: Tenant, sign_in: SignIn, slug: str, chosen: dict[str, Any], bucket: str, words: tuple[str, ...]
) -> None:
    shown = _shown(tenant, sign_in, slug, chosen, (bucket,))
    assert [one for one in words if one not in shown] == []


def test_support_reads_quotas_and_workers_in_words(tenant: Tenant, sign_in: SignIn) -> None:
    with tenancy.everyone():
        crm = factories.connection(tenant, "followupboss")
        closed = RateWindow.objects.create(
            key=f"{crm.pk}:PUT.people", connection=crm, quota=25, remaining=5, seconds=10.0,
            blocked_until=factories.now().timestamp() + 3600,
        )  # fmt: skip
        shared = RateWindow.objects.create(key="shared:followupboss.system:urgent")
        worker = factories.worker_beat()
    client = sign_in(factories.support())
    listed = pages.html(client, pages.page(RateWindow, "changelist"))
    for words in ("Changing people", "All requests of our system, whatever the account, for what must not wait"):
        assert words in listed, words
    shown = pages.html(client, pages.page(RateWindow, "change", closed.pk))
    for words in ("Changing people", "20 / 25", "10 s", "from now"):
        assert words in shown, words
    assert "Closed by the CRM until" in pages.html(client, pages.page(RateWindow, "change", shared.pk))
    assert "Worker" in pages.html(client, pages.page(type(worker), "change", worker.pk))


def test_an_hour_is_named_in_the_zone_of_whoever_looks() -> None:
    hour = datetime(2026, 11, 23, 23, tzinfo=UTC)
    with timezone.override("Europe/Berlin"):
        assert ["11/24/2026" in str(model(hour=hour)) for model in (ApiUsage, ConnectionHour, FailureHour)] == [
            True
        ] * 3


def _shown(tenant: Tenant, sign_in: SignIn, slug: str, chosen: dict[str, Any], buckets: Iterable[str]) -> str:
    """The page of a connection that has these settings, and quotas with such names."""
    with tenancy.everyone():
        crm = factories.connection(tenant, slug)
        CrmConnection.objects.filter(pk=crm.pk).update(settings=chosen, auth="private_app")
        for bucket in buckets:
            RateWindow.objects.create(key=f"{crm.pk}:{bucket}", connection=crm)
    return pages.html(sign_in(factories.tenant_admin(tenant)), pages.page(CrmConnection, "change", crm.pk))
