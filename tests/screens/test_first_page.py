import re

import pytest
from playwright.sync_api import Locator, Page, expect
from pytest_django.live_server_helper import LiveServer

from tests import factories

PHONE = {"viewport": {"width": 390, "height": 844}}
DARK = {"viewport": {"width": 1440, "height": 900}, "color_scheme": "dark"}


@pytest.fixture(autouse=True)
def two_tenants(transactional_db: None) -> None:
    for slug, name in (("acme", "Acme"), ("stranger", "Stranger Ltd")):
        factories.world(factories.tenant(slug, name=name))


def log_in(page: Page, server: LiveServer) -> None:
    page.goto(f"{server.url}/")
    page.get_by_label("Username").fill("admin-of-acme")
    page.get_by_label("Password").fill(factories.PASSPHRASE)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Newest calls")).to_be_visible()


def menu_entry(page: Page, name: str) -> Locator:
    """The theme's icons are words of a font, so an entry's name begins with one."""
    return page.get_by_role("navigation").get_by_role("link", name=re.compile(rf"(^|\s){name}$")).first


@pytest.mark.live
@pytest.mark.parametrize("page", [{}, PHONE, DARK], indirect=True, ids=["desk", "phone", "dark"])
def test_somebody_who_logs_in_sees_how_the_own_connections_are_doing(page: Page, live_server: LiveServer) -> None:
    log_in(page, live_server)
    body = page.locator("body")
    expect(body).to_contain_text("Last sync")
    expect(body).not_to_contain_text("Stranger Ltd")
    width = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert width <= 0, "the page must not scroll sideways"


@pytest.mark.live
def test_from_the_first_page_one_gets_to_every_list_and_back(page: Page, live_server: LiveServer) -> None:
    log_in(page, live_server)
    for name in ("Connections", "Contacts", "Calls", "Members"):
        menu_entry(page, name).click()
        expect(page.locator("table").first).to_be_visible()
    menu_entry(page, "Health").click()
    expect(page.get_by_role("heading", name="Newest calls")).to_be_visible()
