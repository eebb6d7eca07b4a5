"""The conflict desk and what is like it, in a browser: by keyboard alone, on a phone, in the dark, and by somebody who hears it."""

import re

import pytest
from django.db import transaction
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from integrations import tenancy
from integrations.models import CrmConnection
from mapping.models import ConflictPolicy
from mapping.publishing import publish
from sync.models import Conflict, Contact
from tests import factories
from tests.screens.accessibility import findings
from tests.screens.people import log_in

DESK = "/admin/sync/conflict/desk/"
PHONE = {"viewport": {"width": 390, "height": 844}}
DARK = {"viewport": {"width": 1440, "height": 900}, "color_scheme": "dark"}


@pytest.fixture(autouse=True)
def waiting(transactional_db: None) -> CrmConnection:
    """Four conflicts of Acme about companies, one about a title."""
    acme = factories.tenant("acme", name="Acme")
    factories.tenant_admin(acme)
    connection: CrmConnection = factories.connection(acme, account_name="Acme Sales")
    factories.mapping(acme, "company", "company", strategy="manual")
    with tenancy.everyone():
        publish(acme.pk, "hubspot")
    for name in ("Ann", "Bob", "Cem", "Dee"):
        dispute(connection, name, "company", "Northwind Traders Ltd", "Northwind Trading Inc")
    dispute(connection, "Eli", "title", "Buyer", "Head of Buying")
    return connection


def dispute(of: CrmConnection, name: str, field: str, ours: str, theirs: str) -> Conflict:
    person = factories.contact(
        of.tenant, first_name=name, last_name="Quill", email=f"{name}@example.com", **{field: ours}
    )
    linked = factories.link(of, person, crm_record_id=f"of-{name}", base={field: "Northwind"}, sync_status="conflict")
    factories.change(person, field=field, new=ours, source="person", actor="kim", rule="")
    factories.call(of.tenant, person, disposition="Callback")
    moments = {"ours_at": factories.now(), "theirs_at": factories.now()}
    return factories.conflict(linked, person, field=field, base="Northwind", ours=ours, theirs=theirs, **moments)


def company_of(name: str) -> str:
    with tenancy.everyone(), transaction.atomic():
        return str(Contact.objects.get(first_name=name).company)


def opened(page: Page, server: LiveServer, address: str = DESK) -> None:
    log_in(page, server.url, "admin-of-acme", factories.PASSPHRASE)
    page.goto(f"{server.url}{address}")


def stands(page: Page, name: str) -> None:
    expect(page.locator("#conflict")).to_contain_text(name)


@pytest.mark.live
def test_a_queue_is_decided_skipped_and_taken_back_by_keyboard_alone(page: Page, live_server: LiveServer) -> None:
    opened(page, live_server)
    stands(page, "Company of Ann Quill")
    expect(page.locator(".db-desk__place")).to_contain_text("1 of 5")
    page.keyboard.press("2")
    stands(page, "Bob")
    assert company_of("Ann") == "Northwind Trading Inc"
    page.keyboard.press("u")
    stands(page, "Ann")
    assert company_of("Ann") == "Northwind Traders Ltd"
    page.keyboard.press("j")
    stands(page, "Bob")
    page.keyboard.press("k")
    stands(page, "Ann")
    page.keyboard.press("3")
    page.keyboard.type("Northwind 123")
    page.keyboard.press("Enter")
    stands(page, "Bob")
    assert company_of("Ann") == "Northwind 123"
    page.keyboard.press("s")
    stands(page, "Cem")
    page.keyboard.press("a")
    expect(page.get_by_text("3 open conflicts about Company with HubSpot")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="All: the CRM's")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text("3 conflicts are decided.")).to_be_visible()
    assert {company_of(name) for name in ("Bob", "Cem", "Dee")} == {"Northwind Trading Inc"}
    page.keyboard.press("u")
    expect(page.get_by_text("Undone: 3 conflicts are open again.")).to_be_visible()
    assert {company_of(name) for name in ("Bob", "Cem", "Dee")} == {"Northwind Traders Ltd"}


@pytest.mark.live
def test_a_list_is_written_by_keyboard_line_by_line_and_a_mistake_loses_nothing(
    page: Page, live_server: LiveServer, waiting: CrmConnection
) -> None:
    person = factories.contact(waiting.tenant, first_name="Fay", last_name="Quill", custom={"sizes": [1, 2]})
    linked = factories.link(waiting, person, crm_record_id="of-fay", base={}, sync_status="conflict")
    factories.conflict(linked, person, field="custom.sizes", base=[1], ours=[1, 2], theirs=[1, 3])
    opened(page, live_server, f"{DESK}?field=custom.sizes")
    page.keyboard.press("3")
    page.keyboard.type("1\nthree")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("alert")).to_contain_text("Line 2: “three” is no number.")
    field = page.get_by_label("Another value")
    expect(field).to_have_value("1\nthree")
    expect(field).to_be_focused()
    assert findings(page) == []
    field.fill("1\n3\n5")
    page.keyboard.press("Escape")
    expect(field).not_to_be_focused()
    page.get_by_role("button", name="Use this value").click()
    expect(page.get_by_text("sizes of Fay Quill is decided.")).to_be_visible()
    with tenancy.everyone():
        assert Contact.objects.get(first_name="Fay").custom == {"sizes": [1, 3, 5]}


@pytest.mark.live
def test_the_keys_are_told_and_can_be_switched_off(page: Page, live_server: LiveServer) -> None:
    opened(page, live_server)
    page.keyboard.press("?")
    switch = page.get_by_role("button", name="Use single keys")
    expect(switch).to_have_attribute("aria-pressed", "true")
    switch.click()
    page.keyboard.press("Escape")
    page.keyboard.press("2")
    page.reload()
    page.keyboard.press("2")
    stands(page, "Ann")
    assert company_of("Ann") == "Northwind Traders Ltd"


@pytest.mark.live
def test_the_desk_works_without_its_script(page: Page, live_server: LiveServer) -> None:
    page.route(re.compile(r"/desk(\.\w+)?\.js"), lambda route: route.fulfill(body="", content_type="text/javascript"))
    opened(page, live_server)
    expect(page.get_by_role("button", name="Keys")).to_have_count(0)
    page.get_by_role("button", name="Keep the dialer's").click()
    stands(page, "Bob")
    page.get_by_role("button", name="Undo").click()
    stands(page, "Ann")


@pytest.mark.live
@pytest.mark.parametrize(
    "page",
    [{}, *(pytest.param(one, marks=pytest.mark.thorough) for one in (PHONE, DARK))],
    indirect=True,
    ids=["desk", "phone", "dark"],
)
def test_each_page_fits_and_is_accessible(page: Page, live_server: LiveServer) -> None:
    opened(page, live_server)
    for address in (
        DESK,
        f"{DESK}?field=email",
        "/admin/mapping/conflictpolicy/editor/",
        "/admin/sync/conflictdecision/",
    ):
        page.goto(f"{live_server.url}{address}")
        assert findings(page) == [], address
        width = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert width <= 0, f"{address} must not scroll sideways"


@pytest.mark.live
def test_a_policy_shows_what_it_would_have_decided_while_it_is_chosen(page: Page, live_server: LiveServer) -> None:
    opened(page, live_server, "/admin/mapping/conflictpolicy/editor/")
    counted = page.locator("#policy-preview")
    expect(counted).to_contain_text(re.compile(r"4\s+to a person"))
    expect(counted).to_contain_text(re.compile(r"1\s+for the CRM"))
    page.get_by_label("Job title").select_option("dialer_wins")
    expect(counted).to_contain_text(re.compile(r"1\s+for the dialer"))
    expect(page.get_by_text("You have changes that are not saved.")).to_be_visible()
    page.keyboard.press("Control+s")
    expect(page.get_by_text("Saved. It decides from the next record on.")).to_be_visible()
    expect(page.get_by_text("Job title: no rule of its own → The dialer wins.")).to_be_visible()
    with tenancy.everyone():
        assert ConflictPolicy.objects.get().overrides == {"title": "dialer_wins"}
