"""From “Connect a CRM” to the first contact, in a browser, with each CRM's sandbox and a worker beside it."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from integrations import tenancy
from integrations.models import CrmConnection
from integrations.registry import PROVIDERS, sandbox_class
from integrations.sandbox.server import SandboxServer
from sync import queue
from sync.work import serve as work
from tests import factories
from tests.providers.harness import serve
from tests.screens.accessibility import findings
from tests.screens.people import log_in

PHONE = {"viewport": {"width": 390, "height": 844}}
LONG = 30_000
WATCH = """
    window.sameDocument = true;
    window.barsSeen = new Set();
    const look = () => document.querySelectorAll("#step-load progress[value]").forEach((one) => barsSeen.add(one.value));
    new MutationObserver(look).observe(document.body, {subtree: true, childList: true, attributes: true});
"""
"""Notes what the bars of the load show, as long as the page is not loaded anew."""


class Worker:
    """Works the queue in a thread, while the test lets it, and wakes what waited for its time, as the clock does."""

    def __init__(self) -> None:
        self.may = threading.Event()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while not self.over.wait(0.1):
            if self.may.is_set():
                queue.wake_due()
                work(seconds=0.5)
        connections.close_all()

    def stop(self) -> None:
        self.over.set()
        self.thread.join()


@pytest.fixture
def worker(transactional_db: None) -> Iterator[Worker]:
    running = Worker()
    running.may.set()
    yield running
    running.stop()


FEW = {
    "hubspot": ("service", "CONTACTS", 400),
    "salesforce": ("seed", "LEADS", 300),
    "followupboss": ("seed", "PEOPLE", 300),
}
"""How many people each sandbox has here: some pages of them."""


@pytest.fixture
def sandboxes(
    live_server: LiveServer, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, SandboxServer]]:
    for slug, (module, name, count) in FEW.items():
        monkeypatch.setattr(f"integrations.providers.{slug}.sandbox.{module}.{name}", count)
    servers = {slug: serve(sandbox_class(slug)) for slug in PROVIDERS}
    for server in servers.values():
        for name, value in server.service.environment(server.url).items():
            setattr(settings, name, value)
    settings.PUBLIC_URL = live_server.url
    settings.CRM_ALLOWED_HOSTS = [one.url.removeprefix("http://") for one in servers.values()]
    settings.DEBUG = True  # so that a sandbox may deliver to loopback
    yield servers
    for server in servers.values():
        server.close()


def begin(page: Page, live_server: LiveServer, crm: str, kind: str) -> None:
    """To the form of one kind of credential, as a tenant admin who has nothing yet."""
    factories.tenant_admin(factories.tenant("acme", name="Acme"))
    log_in(page, live_server.url, "admin-of-acme", factories.PASSPHRASE)
    page.get_by_role("link", name="Connect a CRM").first.click()
    expect(page.get_by_role("heading", name="Connect a CRM")).to_be_visible()
    assert findings(page) == []
    page.get_by_role("region", name=crm, exact=True).get_by_role("link", name=kind).click()
    assert findings(page) == []


def walk(page: Page) -> None:
    """Through the steps of the wizard, never loading the page anew by hand, to the first contact."""
    set_up(page)
    load(page)


def set_up(page: Page) -> None:
    page.wait_for_url("**/setup/")
    step = page.locator("#step-fields")
    expect(step.locator("details")).to_have_attribute("open", "", timeout=LONG)
    assert findings(page) == []
    step.get_by_role("button", name="Create what is missing").or_(
        step.get_by_role("button", name="Set up", exact=True)
    ).click()
    expect(page.get_by_role("button", name="Start the first load")).to_be_visible(timeout=LONG)
    assert findings(page) == []


def load(page: Page, bars: int = 0) -> None:
    """To the first contact; on the way the bar shows so many values at least."""
    with page.expect_navigation():
        page.get_by_role("button", name="Start the first load").click()
    page.evaluate(WATCH)
    expect(page.get_by_text("What comes next")).to_be_visible(timeout=LONG)
    assert page.evaluate("window.sameDocument") is True, "the load is followed without another page"
    assert page.evaluate("barsSeen.size") >= bars, "the bar moves by itself"
    assert findings(page) == []
    contact = page.locator("#first-contacts a").first
    expect(contact).to_be_visible()
    name = contact.inner_text()
    contact.click()
    expect(page.locator("body")).to_contain_text(name)


@pytest.mark.live
def test_salesforce_is_connected_by_consent(
    page: Page, live_server: LiveServer, sandboxes: dict[str, SandboxServer], worker: Worker
) -> None:
    begin(page, live_server, "Salesforce", "Log in and approve")
    page.get_by_role("button", name="Go on to Salesforce").click()
    walk(page)


@pytest.mark.live
@pytest.mark.parametrize("page", [PHONE], indirect=True, ids=["phone"])
@pytest.mark.thorough
def test_hubspot_is_connected_with_a_private_app_and_its_bar_moves_by_itself(
    page: Page, live_server: LiveServer, sandboxes: dict[str, SandboxServer], worker: Worker
) -> None:
    begin(page, live_server, "HubSpot", "Private app")
    page.get_by_label("Access token").fill("pat-na1-sandbox-0001")
    page.get_by_role("button", name="Test and connect").click()
    set_up(page)
    slow = {"kind": "slow", "seconds": 1.0, "match": "objects/contacts"}
    sandboxes["hubspot"].service.faults.set([slow])
    load(page, bars=2)
    page.go_back()
    width = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert width <= 0, "the page must not scroll sideways"


@pytest.mark.live
@pytest.mark.thorough
def test_follow_up_boss_is_connected_with_a_key_and_another_browser_goes_on(
    page: Page, live_server: LiveServer, sandboxes: dict[str, SandboxServer], worker: Worker
) -> None:
    worker.may.clear()
    begin(page, live_server, "Follow Up Boss", "API key")
    page.get_by_label("API key").fill("fka_sandbox_owner")
    page.get_by_role("button", name="Test and connect").click()
    page.wait_for_url("**/setup/")
    expect(page.locator("#step-check")).to_contain_text("Working")
    page.context.clear_cookies()
    log_in(page, live_server.url, "admin-of-acme", factories.PASSPHRASE)
    with tenancy.everyone():
        row = CrmConnection.objects.get()
    page.goto(f"{live_server.url}/admin/integrations/crmconnection/{row.pk}/change/")
    assert findings(page) == []
    page.get_by_role("link", name="Continue setup").click()
    worker.may.set()
    walk(page)
