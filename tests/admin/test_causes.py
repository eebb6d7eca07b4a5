"""What fails, by cause: cards for support and for each tenant, what to do, and buttons that see to all of it at once."""

import random
import re
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from integrations import tenancy
from integrations.connecting import connect
from integrations.models import CrmConnection, Tenant
from integrations.registry import sandbox_class
from integrations.sandbox.server import SandboxServer
from mapping.models import MappingVersion
from sync.causes import noting, retrying
from sync.models import Contact, FailureAction, FailureCause, InboxEvent, Lane, SyncJob
from sync.work import work
from tests import factories
from tests.admin import pages
from tests.admin.conftest import SignIn
from tests.providers.case import PATIENCE
from tests.providers.harness import serve

MOST_QUERIES = 14
MISSING = "REQUIRED_FIELD_MISSING: Required fields are missing: [Company]"
TENANTS, FAILURES_EACH = 6, 500
REFUSALS: list[tuple[str, str, list[str]]] = [
    ("STRING_TOO_LONG", "LastName: data value too large: {value} (max length=80)", ["LastName"]),
    ("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "Status: bad value for restricted picklist field: {value}", ["Status"]),
    ("FIELD_CUSTOM_VALIDATION_EXCEPTION", "Only managers may enter leads such as {number}.", []),
    ("INVALID_EMAIL_ADDRESS", "Email: invalid email address: {value}@x", ["Email"]),
]


def address(page: str, **query: Any) -> str:
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    return reverse(f"admin:sync_syncjob_{page}") + (f"?{asked}" if asked else "")


def titles(client: Client) -> list[str]:
    shown = pages.html(client, address("causes"))
    return re.findall(r'db-cause__title"><a href="[^"]*">([^<]*)<', shown)


def kill(of: CrmConnection, count: int = 1, **fields: Any) -> str:
    """Dead jobs of one cause. Returns its fingerprint."""
    defaults = {
        "kind": "push",
        "error": "Refused.",
        "error_detail": "REQUIRED_FIELD_MISSING: Required fields are missing: [Company]",
    }
    for number in range(count):
        factories.dead_job(of, **{"key": f"{number}-{fields}"[:200], **defaults, **fields})
    noting.sort_older()
    with tenancy.everyone():
        found = SyncJob.objects.filter(connection=of, state="dead").order_by("-pk").first()
        assert found
        return str(found.fingerprint)


@pytest.fixture
def ours(tenant: Tenant) -> CrmConnection:
    return factories.connection(tenant, provider="salesforce", status_since=None)


@pytest.fixture
def theirs(stranger: Tenant) -> CrmConnection:
    return factories.connection(stranger, provider="salesforce")


@pytest.fixture
def admin_client(tenant: Tenant, sign_in: SignIn) -> Client:
    return sign_in(factories.tenant_admin(tenant))


# --- four causes over six tenants -------------------------------------------------------------------------------------


@pytest.fixture
def salesforce(settings: Any) -> Iterator[SandboxServer]:
    server = serve(sandbox_class("salesforce"))
    for name, value in server.service.environment(server.url).items():
        setattr(settings, name, value)
    settings.CRM_ALLOWED_HOSTS = [server.url.removeprefix("http://")]
    yield server
    server.close()


@pytest.fixture
def six(salesforce: SandboxServer, db: None) -> list[CrmConnection]:
    """Six tenants whose contacts the CRM refuses for four reasons in turn, each time with another value."""
    first = factories.tenant("tenant-0")
    with tenancy.everyone():
        row, _account = connect(first, "salesforce", salesforce.service.credential(salesforce.url))
        row.refresh_from_db()
    rows = [row]
    for number in range(1, TENANTS):
        other = CrmConnection(tenant=factories.tenant(f"tenant-{number}"), provider="salesforce")
        other.take(row.credential())
        other.metadata, other.settings, other.account_id = row.metadata, row.settings, f"account-{number}"
        with tenancy.everyone():
            other.save()
            for version in MappingVersion.objects.filter(tenant=first):
                MappingVersion.objects.create(
                    tenant=other.tenant, crm_provider="salesforce", number=version.number, rows=version.rows
                )
        rows.append(other)
    for one in rows:
        _refused(one, salesforce)
    return rows


def _refused(row: CrmConnection, server: SandboxServer) -> None:
    reasons = [REFUSALS[number % len(REFUSALS)] for number in range(FAILURES_EACH)]
    random.Random(str(row.pk)).shuffle(reasons)
    server.service.faults.set([_dial(at, *reason) for at, reason in enumerate(reasons)])
    own = {"tenant_id": row.tenant_id, "first_name": "Grace", "company": "Navy"}
    job = {"tenant_id": row.tenant_id, "connection": row, "kind": "push", "payload": {"new": True}, "lane": Lane.EDITS}
    with tenancy.scope(row.tenant_id):
        people = Contact.objects.bulk_create(Contact(**own, last_name=f"Hopper {at}") for at in range(FAILURES_EACH))
        SyncJob.objects.bulk_create(SyncJob(**job, key=str(one.pk), local_record_id=one.pk) for one in people)
    _drain(row)
    server.service.faults.set([])


def _dial(at: int, code: str, text: str, fields: list[str]) -> dict[str, Any]:
    """One record is refused so, with a value of its own."""
    message = text.format(value=f"Hopper {at} Inc", number=at)
    return {"kind": "refuse", "times": 1, "body": {"errorCode": code, "message": message, "fields": fields}}


def _drain(row: CrmConnection) -> None:
    with tenancy.everyone():
        for _ in range(20):
            SyncJob.objects.filter(connection=row, state="ready").update(not_before=timezone.now() - timedelta(hours=1))
            if not SyncJob.objects.filter(connection=row, state="ready").exists():
                return
            work(row.pk, patience=PATIENCE, seconds=60)


@pytest.mark.thorough
def test_four_causes_over_six_tenants_are_four_cards_and_trying_again_clears_them(
    six: list[CrmConnection],
    support_client: Client,
    sign_in: SignIn,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    with django_assert_max_num_queries(MOST_QUERIES):
        shown = pages.html(support_client, address("causes"))
    assert len(titles(support_client)) == 4
    assert "4 causes, 3,000 failures" in shown
    assert "Tenant-" in shown

    own = sign_in(factories.tenant_admin(six[0].tenant))
    mine = pages.html(own, address("causes"))
    assert len(titles(own)) == 4
    assert "4 causes, 500 failures" in mine
    assert "Tenant-" not in mine

    with tenancy.everyone():
        marks = sorted(set(FailureCause.objects.values_list("fingerprint", flat=True)))
        assert FailureCause.objects.count() == 4 * TENANTS
    support_client.post(address("cause_try", of=marks[0]))
    for mark in marks:
        asked = pages.html(support_client, address("cause_replay", of=mark))
        assert f"of {TENANTS} tenants" in asked
        support_client.post(address("cause_replay", of=mark))
    with tenancy.everyone():
        retrying.go_on()  # as the workers do where the person who asked has waited long enough
    for row in six:
        _drain(row)
    with tenancy.everyone():
        left = SyncJob.objects.exclude(state="done").values_list("state", "cause", "error", "error_detail", "attempts")
        assert list(left[:3]) == []
        assert FailureAction.objects.filter(what="replay", finished_at=None).count() == 0
    assert "Nothing needs help" in pages.html(support_client, address("causes"))


# --- what a page tells ------------------------------------------------------------------------------------------------


def test_a_cause_tells_why_what_to_do_and_what_came_before(
    ours: CrmConnection, admin_client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    row = factories.mapping(ours.tenant, "company", "Company", crm_provider="salesforce", crm_object="Lead")
    factories.mapping_version(ours.tenant, 7, crm_provider="salesforce")
    factories.schema_change(
        ours, "Company", object_type="Lead", change="required", found_at=timezone.now() - timedelta(hours=2)
    )
    factories.deployment("2026.11", seen_at=timezone.now() - timedelta(hours=5))
    mark = kill(ours, 3)
    card = pages.html(admin_client, address("causes"))
    assert "Salesforce requires Company" in card
    assert "Required or not any more: Lead.Company" in card, "what names the field comes first"
    with django_assert_max_num_queries(MOST_QUERIES):
        shown = pages.html(admin_client, address("cause", of=mark))
    for words in (
        "Mapping version 7 was published",
        "Version 2026.11 was deployed",
        "Required or not any more",
        "3 failed pieces of work",
    ):
        assert words in shown
    assert f"/admin/mapping/fieldmapping/{row.pk}/change/" in shown
    assert "Hello," in shown


def test_what_happened_long_before_or_to_others_is_not_told(
    ours: CrmConnection, theirs: CrmConnection, admin_client: Client
) -> None:
    factories.deployment("old", seen_at=timezone.now() - timedelta(days=3))
    factories.mapping_version(theirs.tenant, 9, crm_provider="salesforce")
    factories.mapping_version(ours.tenant, 8, crm_provider="hubspot")
    shown = pages.html(admin_client, address("cause", of=kill(ours)))
    assert "Nothing that we know of" in shown


def test_errors_from_outside_are_shown_as_text(ours: CrmConnection, support_client: Client) -> None:
    evil = '<script>alert(1)</script>"><img src=x onerror=alert(1)>\n=HYPERLINK("http://evil")'
    mark = kill(ours, error=evil, error_detail=evil)
    for page in (address("causes"), address("cause", of=mark), address("cause_dismiss", of=mark)):
        shown = pages.html(support_client, page)
        assert "<script>alert" not in shown
        assert "<img src=x" not in shown


def test_support_narrows_a_cause_to_one_tenant_and_gets_the_text_for_them(
    ours: CrmConnection, theirs: CrmConnection, support_client: Client
) -> None:
    kill(ours, 2)
    mark = kill(theirs, 3)
    both = pages.html(support_client, address("cause", of=mark))
    assert "5 failed pieces of work" in both
    assert "Hello," not in both
    one = pages.html(support_client, address("cause", of=mark, tenant=ours.tenant_id))
    assert "2 failed pieces of work" in one
    assert "Hello," in one
    support_client.post(address("cause_replay", of=mark, tenant=ours.tenant_id))
    with tenancy.everyone():
        assert set(SyncJob.objects.values_list("tenant__slug", "state")) == {("acme", "ready"), ("stranger", "dead")}


def test_without_failures_the_page_says_what_would_stand_there(admin_client: Client) -> None:
    assert "Nothing needs help" in pages.html(admin_client, address("causes"))


def test_failures_of_before_are_announced_until_they_are_sorted(ours: CrmConnection, admin_client: Client) -> None:
    factories.dead_job(ours)
    assert "1 older failure is being sorted" in pages.html(admin_client, address("causes"))


# --- whose it is ------------------------------------------------------------------------------------------------------


def test_what_others_have_does_not_exist(ours: CrmConnection, theirs: CrmConnection, admin_client: Client) -> None:
    mark = kill(theirs)
    assert titles(admin_client) == []
    for page in ("cause", "cause_replay", "cause_dismiss"):
        assert admin_client.get(address(page, of=mark)).status_code == 404
        assert admin_client.get(address(page, of=kill(ours, kind="fields"), tenant=theirs.tenant_id)).status_code == 404
    for page in ("cause_try", "cause_replay", "cause_dismiss"):
        assert admin_client.post(address(page, of=mark), {"reason": "mine"}).status_code == 404
    with tenancy.everyone():
        assert SyncJob.objects.get(connection=theirs).state == "dead"


def test_a_batch_counts_only_what_is_ones_own(ours: CrmConnection, theirs: CrmConnection, admin_client: Client) -> None:
    kill(ours, 2)
    mark = kill(theirs, 3)
    with tenancy.everyone():
        batch = retrying.replay_all(mark, "support")
    shown = pages.html(admin_client, address("cause_progress", batch=batch))
    assert "2 waiting" in shown
    with tenancy.scope(ours.tenant_id):
        assert retrying.progress(uuid.uuid4()) is None


def test_who_may_only_look_gets_no_buttons(ours: CrmConnection, sign_in: SignIn) -> None:
    mark = kill(ours)
    reader = factories.user("reader", tenants=(ours.tenant,))
    reader.user_permissions.add(Permission.objects.get(codename="view_syncjob"))
    client = sign_in(User.objects.get(pk=reader.pk))
    assert "Ask somebody who may change jobs" in pages.html(client, address("cause", of=mark))
    for page in ("cause_try", "cause_replay", "cause_dismiss"):
        assert client.post(address(page, of=mark), {"reason": "x"}).status_code == 403
    assert sign_in(factories.user("nobody", tenants=(ours.tenant,))).get(address("causes")).status_code == 403


@pytest.mark.parametrize("page", ["cause", "cause_try", "cause_replay", "cause_dismiss", "cause_progress"])
def test_a_page_that_is_asked_for_no_cause_leads_to_all(admin_client: Client, page: str) -> None:
    assert admin_client.get(address(page)).headers["Location"] == address("causes")


# --- trying again and dismissing --------------------------------------------------------------------------------------


def test_looking_at_a_question_changes_nothing(ours: CrmConnection, admin_client: Client) -> None:
    mark = kill(ours, 2)
    asked = pages.html(admin_client, address("cause_replay", of=mark))
    assert "2 failed pieces of work" in asked
    admin_client.get(address("cause_try", of=mark))
    admin_client.get(address("cause_dismiss", of=mark))
    with tenancy.everyone():
        assert set(SyncJob.objects.values_list("state", flat=True)) == {"dead"}


@pytest.mark.parametrize(("state", "words"), [("done", "It worked"), ("dead", "It failed again")])
def test_one_is_tried_and_the_page_tells_what_became_of_it(
    ours: CrmConnection, admin_client: Client, state: str, words: str
) -> None:
    mark = kill(ours, 2)
    page = admin_client.post(address("cause_try", of=mark)).headers["Location"]
    shown = pages.html(admin_client, page)
    assert "data-live-url" in shown
    assert "1 waiting" in shown
    with tenancy.everyone():
        tried = SyncJob.objects.filter(state="ready")
        assert tried.count() == 1
        tried.update(state=state, error="Still refused.", finished_at=timezone.now())
    shown = pages.html(admin_client, page)
    assert words in shown
    assert "data-live-url" not in shown
    assert ("Still refused." in shown) == (state == "dead")


def test_what_fails_again_is_not_taken_again_by_the_same_asking(ours: CrmConnection) -> None:
    mark = kill(ours, 3)
    with tenancy.everyone():
        batch = retrying.replay_all(mark, "somebody")
        SyncJob.objects.update(state="dead", finished_at=timezone.now())
        assert not retrying.go_on()
        found = retrying.progress(batch)
    assert found
    assert (found.asked, found.failed, found.finished) == (3, 3, True)


def test_much_is_done_in_steps_and_goes_on_after_an_interruption(
    ours: CrmConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrying, "AT_ONCE", 2)
    monkeypatch.setattr(retrying, "PATIENCE", -1.0)
    mark = kill(ours, 5)
    with tenancy.everyone():
        batch = retrying.replay_all(mark, "somebody")
        found = retrying.progress(batch)
        assert found
        assert (found.asked, found.finished) == (2, False)
        assert not retrying.go_on()
        found = retrying.progress(batch)
        assert found
        assert (found.asked, found.waiting, found.handed_over) == (5, 5, True)


def test_dismissing_wants_a_reason_and_keeps_it(ours: CrmConnection, admin_client: Client, tenant: Tenant) -> None:
    mark = kill(ours, 2)
    assert "This field is required" in admin_client.post(address("cause_dismiss", of=mark)).content.decode()
    answer = admin_client.post(address("cause_dismiss", of=mark), {"reason": "Test data"}, follow=True)
    assert "They were dismissed" in answer.content.decode()
    assert titles(admin_client) == []
    with tenancy.everyone():
        assert set(SyncJob.objects.values_list("state", flat=True)) == {"dismissed"}
        (kept,) = FailureAction.objects.all()
    assert (kept.what, kept.jobs, kept.reason, kept.by) == ("dismiss", 2, "Test data", f"admin-of-{tenant.slug}")
    assert "Test data" in pages.html(admin_client, pages.page(FailureAction, "changelist"))


def test_jobs_of_a_replaced_account_can_only_be_dismissed(ours: CrmConnection, admin_client: Client) -> None:
    mark = kill(ours, cause="account_replaced")
    shown = pages.html(admin_client, address("cause", of=mark))
    assert "can&#x27;t be tried again" in shown
    assert address("cause_replay", of=mark) not in shown
    admin_client.post(address("cause_replay", of=mark))
    admin_client.post(address("cause_dismiss", of=mark), {"reason": "gone"})
    with tenancy.everyone():
        assert SyncJob.objects.get().state == "dismissed"


def test_failed_events_are_a_cause_like_any_other(ours: CrmConnection, admin_client: Client) -> None:
    for number in range(3):
        factories.event(ours, state="failed", error=f"{number}501: Refused: record {number} is broken")
    noting.sort_older()
    with tenancy.everyone():
        mark = InboxEvent.objects.values_list("fingerprint", flat=True)[0]
    assert "3 events of the CRM" in pages.html(admin_client, address("cause", of=mark))
    admin_client.post(address("cause_replay", of=mark))
    with tenancy.everyone():
        assert set(InboxEvent.objects.values_list("state", flat=True)) == {"received"}
        InboxEvent.objects.update(state="failed")
    admin_client.post(address("cause_dismiss", of=mark), {"reason": "Old"})
    with tenancy.everyone():
        assert {(one.state, one.note) for one in InboxEvent.objects.all()} == {
            ("worked", "Dismissed by admin-of-acme: Old")
        }


# --- the pages of a job and of an event ---------------------------------------------------------------------------------


def test_a_job_tells_what_happened_in_order_and_is_dismissed_with_a_reason(
    ours: CrmConnection, admin_client: Client
) -> None:
    mark = kill(ours)
    with tenancy.everyone():
        SyncJob.objects.update(created_at=timezone.now() - timedelta(hours=1))
        job = SyncJob.objects.get()
    address_of_job = pages.page(SyncJob, "change", job.pk)
    shown = pages.html(admin_client, address_of_job)
    assert shown.index("It was put into the queue") < shown.index("It failed for good")
    assert f"{address('cause')}?of={mark}" in shown
    discard = reverse("admin:sync_syncjob_discard", args=[job.pk])
    assert "Dismiss Writing a contact #" in pages.html(admin_client, discard)
    admin_client.post(discard, {"reason": "Not wanted"})
    shown = pages.html(admin_client, address_of_job)
    assert "by admin-of-acme: Not wanted" in shown
    assert "It was dismissed" in shown
    assert "nothing to dismiss" in admin_client.post(discard, {"reason": "x"}, follow=True).content.decode()


def test_a_failed_event_leads_to_its_cause(ours: CrmConnection, admin_client: Client) -> None:
    event = factories.event(ours, state="failed", error="501: It is broken")
    noting.sort_older()
    with tenancy.everyone():
        mark = InboxEvent.objects.get().fingerprint
    assert f"{address('cause')}?of={mark}" in pages.html(admin_client, pages.page(InboxEvent, "change", event.pk))
    assert admin_client.get(reverse("admin:sync_inboxevent_by_cause")).headers["Location"] == address("causes")


def test_a_value_of_a_call_that_is_refused_leads_to_the_dispositions(ours: CrmConnection, admin_client: Client) -> None:
    refusal = "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST: Status: bad value for restricted picklist field: Busy"
    of = kill(ours, kind="log_call", error_detail=refusal)
    shown = pages.html(admin_client, address("cause", of=of))
    assert reverse("admin:activities_dispositionmap_coverage") in shown.partition('class="db-button')[2]
    assert "Open the dispositions" in shown
    assert "Open the field mappings" not in shown
