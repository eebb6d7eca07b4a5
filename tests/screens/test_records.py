"""Somebody calls support: find them by their number, see where they are, sync them now, and look at what was said."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from integrations import tenancy
from integrations.models import CrmConnection, Tenant
from integrations.sandbox.server import SandboxServer
from mapping.publishing import add_defaults
from sync.models import Contact
from sync.pull import pull
from sync.work import work
from tests import factories
from tests.providers.case import PATIENCE
from tests.screens.accessibility import findings
from tests.screens.people import log_in

PHONE = {"viewport": {"width": 390, "height": 844}}
pytestmark = pytest.mark.live


def put_person(fake_crm: SandboxServer, record_id: str, fields: dict[str, str]) -> None:
    service: Any = fake_crm.service
    service.put_person(record_id, fields)


@pytest.fixture
def grace(transactional_db: None, tenant: Tenant, connection: CrmConnection, fake_crm: SandboxServer) -> Contact:
    """Somebody whom the CRM knows."""
    put_person(fake_crm, "1", {"first": "Grace", "last": "Hopper", "phone": "+14155550100", "company": "Navy"})
    with tenancy.scope(tenant.pk):
        add_defaults(connection)
        pull(connection, "people", PATIENCE)
        found: Contact = Contact.objects.get()
    factories.tenant_admin(tenant)
    return found


def find(page: Page, term: str) -> None:
    page.get_by_label("Find a contact or a call").fill(term)
    page.keyboard.press("Enter")


def test_a_contact_is_found_by_its_number_synced_now_and_its_request_looked_at(
    page: Page, live_server: LiveServer, grace: Contact, connection: CrmConnection, fake_crm: SandboxServer
) -> None:
    log_in(page, live_server.url, "admin-of-acme", factories.PASSPHRASE)
    page.goto(f"{live_server.url}/admin/sync/contact/find/")
    find(page, "nobody at all")
    expect(page.get_by_role("heading", name="Nothing is “nobody at all”")).to_be_visible()
    find(page, "(415) 555-0100")
    expect(page.get_by_role("heading", name="1 record")).to_be_visible()
    assert findings(page) == []
    page.get_by_role("link", name="Grace Hopper").click()
    state = page.locator("#record-state")
    expect(state).to_contain_text("In sync")
    put_person(fake_crm, "1", {"first": "Grace", "last": "Hopper", "phone": "+14155550100", "company": "Univac"})
    page.get_by_role("button", name="Sync now").click()
    expect(state).to_contain_text("Being synced. What changes is shown here by itself.")
    with tenancy.everyone():
        work(connection.pk, patience=PATIENCE)
    expect(state).to_contain_text("Univac")
    expect(state).to_contain_text("In sync")
    expect(state).not_to_contain_text("Being synced")
    page.reload()
    assert findings(page) == []
    page.get_by_role("link", name=re.compile("Requests and answers")).click()
    page.get_by_role("link", name="GET /records").first.click()
    answer = page.locator("#exchange-answer-body")
    expect(answer).to_contain_text('"company": "Univac"')
    expect(page.locator("#exchange-curl-body")).to_contain_text("$AUTHORIZATION")
    expect(page.get_by_role("button", name="Copy as curl")).to_be_visible()
    assert findings(page) == []


@pytest.mark.parametrize("page", [PHONE], indirect=True, ids=["phone"])
def test_on_a_phone_nothing_runs_out_of_the_page(page: Page, live_server: LiveServer, grace: Contact) -> None:
    log_in(page, live_server.url, "admin-of-acme", factories.PASSPHRASE)
    for address in (f"/admin/sync/contact/{grace.pk}/change/", "/admin/sync/contact/find/?q=grace"):
        page.goto(live_server.url + address)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert findings(page) == []
