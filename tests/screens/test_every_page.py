"""Every page, found by itself, in a real Chromium: no complaint in its console (a Content-Security-Policy's among them), nothing
that an accessibility check calls serious, in light, dark and on a phone, where nothing scrolls sideways."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Error, Page, ViewportSize
from pytest_django.live_server_helper import LiveServer

from tests import factories
from tests.admin import pages
from tests.factories import World
from tests.screens import accessibility

pytestmark = pytest.mark.live
SHARDS, ALWAYS = 16, 4
"""Every so manyth page is looked at always, each of them in the thorough run."""
DESK: ViewportSize = {"width": 1440, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
PHONE_RULES = (
    "color-contrast", "label", "link-name", "button-name", "scrollable-region-focusable", "target-size", "aria-hidden-focus",
)  # fmt: skip
"""What may be wrong with a page only because it is light or narrow."""
SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
ASK_AGAIN = (
    "/admin/integrations/crmconnection/add/?provider=hubspot&auth=private_app",
    "/admin/integrations/crmconnection/add/?provider=salesforce&auth=oauth_consent",
    "/admin/sync/contact/?q=grace",
    "/admin/password_change/",
)
"""Pages that stand behind a query, or that discovery doesn't name."""


@pytest.fixture
def two_worlds(transactional_db: None) -> World:
    factories.world(factories.tenant("stranger"))
    return factories.world(factories.tenant("acme"))


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(viewport=DESK, color_scheme="light", reduced_motion="reduce")
    yield made
    made.close()


def _signed_in(context: BrowserContext, person: User, address: str) -> None:
    client = Client()
    client.force_login(person)
    name = settings.SESSION_COOKIE_NAME
    context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": address}])


def _status(page: Page, address: str) -> int:
    """0 when there is no page: some addresses answer with a file, others with a piece that a page asks for."""
    try:
        answer = page.goto(address)
    except Error as error:
        if "Download is starting" in str(error) or "ERR_ABORTED" in str(error):
            return 0
        raise
    return answer.status if answer and page.evaluate("Boolean(document.doctype)") else 0


def _wrong(page: Page, address: str, expected: int = 200, *, menu: bool = False) -> list[str]:
    """What is wrong with a page, in each look; with the side menu, which is the same on each, or without."""
    complaints: list[str] = []

    def heard(message: Any) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:
            complaints.append(message.text)

    def answered(response: Any) -> None:
        if response.status >= 400 and response.request.resource_type != "document":
            complaints.append(f"{response.url} answered {response.status}")

    def failed(error: Any) -> None:
        complaints.append(str(error))

    listeners = {"console": heard, "response": answered, "pageerror": failed}
    for event, listener in listeners.items():
        page.on(event, listener)  # type: ignore[call-overload]
    page.set_viewport_size(DESK)
    page.emulate_media(color_scheme="dark")
    try:
        status = _status(page, address)
        if status in (0, 403, 404, 405) and status != expected:
            return []
        complaints += [f"answered {status}"] if status != expected else []
        found = [f"dark: {one}" for one in accessibility.findings(page, menu=menu)]
        page.emulate_media(color_scheme="light")
        page.set_viewport_size(PHONE)
        found += [f"light, phone: {one}" for one in accessibility.findings(page, only=PHONE_RULES, menu=menu)]
        if (wide := page.evaluate(SIDEWAYS)) > 0:
            found.append(f"phone: scrolls {wide} px sideways")
    finally:
        for event, listener in listeners.items():
            page.remove_listener(event, listener)
    return [f"{address}: {one}" for one in [*complaints, *found]]


def _addresses(world: World) -> list[str]:
    found = {*pages.plain_urls(), *_plain_rows(world), *ASK_AGAIN}
    return sorted(found)


def _plain_rows(world: World) -> Iterator[str]:
    """Pages of rows. History and deletion are one template each, so one of each is enough; the address that leads on is none."""
    for url in pages.row_urls(world):
        if re.search(r"/admin/r/|^/admin/[a-z_]+/[a-z_]+/[^/]+/$", url):
            continue
        if not url.endswith(("/history/", "/delete/")) or "/sync/contact/" in url or "/integrations/apikey/" in url:
            yield url


@pytest.mark.parametrize(
    "shard", [ALWAYS, *(pytest.param(n, marks=pytest.mark.thorough) for n in range(SHARDS) if n != ALWAYS)]
)
def test_every_page_of_the_admin_is_without_a_serious_finding(
    shard: int, context: BrowserContext, live_server: LiveServer, two_worlds: World
) -> None:
    _signed_in(context, factories.superuser(), live_server.url)
    page = context.new_page()
    wrong = [one for url in _addresses(two_worlds)[shard::SHARDS] for one in _wrong(page, live_server.url + url)]
    assert not wrong, "\n".join(wrong)


LOOKERS: dict[str, Callable[[World], User]] = {
    "tenant admin": lambda world: world[User],
    "support": lambda _world: factories.support(),
}


@pytest.mark.parametrize("looker", LOOKERS, ids=str)
def test_the_first_page_is_as_good_for_everybody(
    looker: str, context: BrowserContext, live_server: LiveServer, two_worlds: World
) -> None:
    _signed_in(context, LOOKERS[looker](two_worlds), live_server.url)
    assert _wrong(context.new_page(), f"{live_server.url}/admin/", menu=True) == []
