"""From a failure to everything working again: support sees to a cause over all tenants, a tenant's admin to the own share."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from integrations import tenancy
from integrations.models import CrmConnection
from integrations.sandbox.server import SandboxServer
from sync.models import SyncJob
from sync.work import work
from tests import factories
from tests.screens.accessibility import findings
from tests.screens.people import log_in

PHONE = {"viewport": {"width": 390, "height": 844}}


@pytest.fixture
def broken(transactional_db: None, fake_crm: SandboxServer) -> list[CrmConnection]:
    """Two tenants whose calls a CRM refuses."""
    rows = []
    for slug, calls in (("acme", 3), ("stranger", 2)):
        owner = factories.tenant(slug)
        row = factories.connection(
            owner, provider="fakecrm", access_token="access-0", instance_url=fake_crm.url, status_since=None
        )
        person = factories.contact(owner)
        factories.link(row, person, crm_object_type="people")
        for _ in range(calls):
            called = factories.call(owner, person)
            target = {"object_type": "people", "record_id": f"{slug}-501"}
            factories.call_job(row, called, payload=target)
        factories.tenant_admin(owner)
        rows.append(row)
    factories.support()
    body = {"message": "Field 'outcome' does not take \"x\""}
    answer = {"kind": "status", "status": 400, "match": "POST /calls", "body": body}
    fake_crm.service.faults.set([answer])
    drain(rows)
    return rows


def drain(rows: list[CrmConnection]) -> None:
    with tenancy.everyone():
        for row in rows:
            while SyncJob.objects.filter(connection=row, state="ready").exists():
                work(row.pk)


def states() -> set[tuple[str, str]]:
    with tenancy.everyone():
        return set(SyncJob.objects.values_list("tenant__slug", "state"))


def open_causes(page: Page, server: LiveServer, who: str) -> None:
    log_in(page, server.url, who, factories.PASSPHRASE)
    page.goto(f"{server.url}/admin/sync/syncjob/causes/")


@pytest.mark.live
def test_support_tries_one_then_all_and_sees_it_cleared(
    page: Page, live_server: LiveServer, broken: list[CrmConnection], fake_crm: SandboxServer
) -> None:
    open_causes(page, live_server, "support")
    assert findings(page) == []
    expect(page.locator(".db-cause")).to_have_count(1)
    expect(page.locator(".db-cause")).to_contain_text("5 failed pieces of work")
    expect(page.locator(".db-cause")).to_contain_text("Acme, Stranger")
    page.get_by_role("link", name="See to it").click()
    expect(page.get_by_role("heading", name="What to do")).to_be_visible()
    assert findings(page) == []

    page.get_by_role("button", name="Try one first").click()
    expect(page.locator("#progress")).to_contain_text("1 waiting")
    drain(broken)
    expect(page.locator("#progress")).to_contain_text("It failed again", timeout=15_000)

    fake_crm.service.faults.set([])
    page.get_by_role("button", name="Try one first").click()
    drain(broken)
    expect(page.locator("#progress")).to_contain_text("It worked", timeout=15_000)
    page.get_by_role("link", name="Try all again").click()
    expect(page.locator("#content")).to_contain_text("4 failed pieces of work of 2 tenants")
    assert findings(page) == []
    page.get_by_role("button", name="Try all again").click()
    expect(page.locator("#progress")).to_contain_text("Going on")
    drain(broken)
    expect(page.locator("#progress")).to_contain_text("4 done", timeout=15_000)
    expect(page.locator("body")).to_contain_text("Nothing is left of it")
    assert findings(page) == []
    assert states() == {("acme", "done"), ("stranger", "done")}
    page.get_by_role("link", name="Back to what needs help").click()
    expect(page.get_by_role("heading", name="Nothing needs help")).to_be_visible()
    assert findings(page) == []


@pytest.mark.live
def test_a_cause_is_snoozed_lies_apart_and_is_woken(
    page: Page, live_server: LiveServer, broken: list[CrmConnection]
) -> None:
    open_causes(page, live_server, "admin-of-acme")
    page.get_by_role("link", name="See to it").click()
    page.get_by_label("For how long").select_option("for a day")
    page.get_by_role("button", name="Snooze").click()
    apart = page.get_by_role("region", name="Snoozed")
    expect(apart).to_contain_text("by admin-of-acme")
    expect(page.locator(".db-cause")).to_have_count(0)
    assert findings(page) == []
    apart.get_by_role("link").click()
    expect(page.get_by_role("heading", name="Not now")).to_be_visible()
    page.get_by_role("button", name="End snooze").click()
    expect(page.locator(".db-cause")).to_contain_text("3 failed pieces of work")
    expect(page.get_by_role("region", name="Snoozed")).to_have_count(0)


@pytest.mark.live
@pytest.mark.parametrize("page", [PHONE], indirect=True, ids=["phone"])
def test_a_tenants_admin_sees_the_own_share_and_dismisses_it_with_a_reason(
    page: Page, live_server: LiveServer, broken: list[CrmConnection]
) -> None:
    open_causes(page, live_server, "admin-of-acme")
    expect(page.locator(".db-cause")).to_contain_text("3 failed pieces of work")
    expect(page.locator("body")).not_to_contain_text("Stranger")
    page.get_by_role("link", name="See to it").click()
    assert sideways(page) <= 0, "the page must not scroll sideways"
    expect(page.get_by_role("textbox", name="Text to send")).to_have_value(re.compile("It concerns 3 records"))
    expect(page.get_by_role("button", name="Copy")).to_be_visible()
    page.get_by_role("link", name="Dismiss").click()
    page.get_by_label("Why").fill("These were test calls.")
    assert findings(page) == []
    page.get_by_role("button", name="Dismiss").click()
    expect(page.locator("body")).to_contain_text("They were dismissed")
    expect(page.get_by_role("heading", name="Nothing needs help")).to_be_visible()
    assert states() == {("acme", "dismissed"), ("stranger", "dead")}


def sideways(page: Page) -> Any:
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
