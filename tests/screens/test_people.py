"""Inviting somebody, from the button to the first page that they see, and an API key, in a real Chromium."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from integrations import tenancy
from integrations.models import Membership
from tests import factories
from tests.screens.accessibility import findings
from tests.screens.people import log_in

pytestmark = pytest.mark.live
PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def acme(transactional_db: None) -> None:
    owner = factories.tenant("acme", name="Acme")
    factories.world(owner)
    factories.support()


@pytest.fixture
def other_page(browser: Browser) -> Iterator[Page]:
    """The invited person's own browser."""
    context = browser.new_context()
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("who", ["admin-of-acme", pytest.param("support", marks=pytest.mark.thorough)])
def test_somebody_is_invited_joins_as_a_viewer_and_is_let_go(
    who: str, page: Page, other_page: Page, live_server: LiveServer, settings: object
) -> None:
    settings.PUBLIC_URL = live_server.url  # type: ignore[attr-defined]
    log_in(page, live_server.url, who, factories.PASSPHRASE)
    page.goto(f"{live_server.url}/admin/integrations/membership/")
    page.get_by_role("link", name="Invite somebody").first.click()
    page.get_by_label("E-mail").fill("new@acme.example")
    if who == "support":
        page.get_by_role("combobox", name=re.compile("Tenant")).first.click()
        page.get_by_role("option", name="Acme").click()
    page.get_by_role("button", name="Save", exact=True).click()
    link = page.locator("#shown-once").inner_text()
    expect(page.get_by_role("button", name="Copy")).to_be_visible()
    assert findings(page) == []

    other_page.goto(link)
    assert findings(other_page) == []
    for field in other_page.locator("input[type=password]").all():
        field.fill(PASSWORD)
    other_page.get_by_role("button", name="Join").click()
    other_page.wait_for_url(f"{live_server.url}/admin/")
    expect(other_page.locator("body")).to_contain_text("Welcome to Acme")
    expect(other_page.get_by_role("link", name="API keys")).to_have_count(0)

    page.goto(f"{live_server.url}/admin/integrations/membership/?q=new")
    page.get_by_role("link", name="new@acme.example").first.click()
    page.get_by_role("link", name="Remove").first.click()
    expect(page.locator("body")).to_contain_text("no member of Acme any more")
    page.get_by_role("button", name="Remove").click()
    other_page.reload()
    expect(other_page.locator("body")).not_to_contain_text("acme account")
    with tenancy.everyone():
        assert Membership.objects.filter(user__email="new@acme.example").count() == 0


def test_a_key_is_made_copied_and_rotated_with_the_keyboard(page: Page, live_server: LiveServer) -> None:
    log_in(page, live_server.url, "admin-of-acme", factories.PASSPHRASE)
    page.goto(f"{live_server.url}/admin/integrations/apikey/add/")
    page.get_by_label("Name").fill("Dialer two")
    page.keyboard.press("Enter")
    expect(page.locator("#shown-once")).to_contain_text("dbk_")
    page.get_by_role("link", name="Dialer two").first.focus()
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Rotate").first.click()
    page.get_by_label("The old key works on for").select_option("24")
    page.get_by_role("button", name="Make the new key").click()
    expect(page.locator("#shown-once")).to_contain_text("dbk_")
    assert findings(page) == []


def test_the_menu_folds_and_opens_with_the_keyboard(page: Page, live_server: LiveServer) -> None:
    log_in(page, live_server.url, "admin-of-acme", factories.PASSPHRASE)
    folded = page.get_by_role("navigation").get_by_text("Behind it")
    expect(page.get_by_role("link", name="Inbox", exact=True)).to_be_hidden()
    folded.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Inbox", exact=True)).to_be_visible()


def test_times_follow_the_browsers_zone(browser: Browser, live_server: LiveServer) -> None:
    context = browser.new_context(timezone_id="Asia/Tokyo")
    page = context.new_page()
    log_in(page, live_server.url, "admin-of-acme", factories.PASSPHRASE)
    page.goto(f"{live_server.url}/people/profile/")
    expect(page.locator("body")).to_contain_text("Asia/Tokyo")
    context.close()
