"""The editors of dispositions and agents in a browser."""

import re

import pytest
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from activities.models import AgentOverride, DispositionEffect, DispositionMap
from integrations import tenancy
from integrations.models import CrmConnection
from tests import factories
from tests.screens.accessibility import findings
from tests.screens.people import log_in

MATRIX = "/admin/activities/dispositionmap/coverage/"
AGENTS = "/admin/activities/agentoverride/report/"
OUTCOMES = [["g-1", "Connected"], ["g-2", "Left voicemail"]]
PHONE = {"viewport": {"width": 390, "height": 844}}
DARK = {"viewport": {"width": 1440, "height": 900}, "color_scheme": "dark"}


@pytest.fixture(autouse=True)
def connection(transactional_db: None) -> CrmConnection:
    acme = factories.tenant("acme", name="Acme")
    factories.tenant_admin(acme)
    made: CrmConnection = factories.connection(acme)
    factories.connection(acme, "salesforce")
    factories.crm_field(made, "hs_call_disposition", object_type="calls", kind="picklist", options=OUTCOMES)
    factories.disposition(acme, "Voicemail", values={"hs_call_disposition": "gone"})
    factories.call(acme, disposition="Callback", agent_email="jane.doe@dialer.example")
    factories.crm_agent(made, "Jane Doe")
    factories.crm_agent(made, "Sam Poe")
    return made


def opened(page: Page, server: LiveServer, address: str) -> None:
    log_in(page, server.url, "admin-of-acme", factories.PASSPHRASE)
    page.goto(f"{server.url}{address}")


@pytest.mark.live
def test_a_lost_value_is_repaired_by_one_click_and_a_cell_is_chosen(page: Page, live_server: LiveServer) -> None:
    opened(page, live_server, MATRIX)
    page.get_by_role("button", name=re.compile("Use “Left voicemail”.*Voicemail")).click()
    expect(page.get_by_text("Saved: 1 change.")).to_be_visible()
    expect(page.get_by_label("hs_call_disposition, Voicemail, HubSpot")).to_have_value("g-2")
    page.get_by_label("hs_call_disposition, Callback, HubSpot").select_option("g-1")
    page.get_by_label("Do not call, Callback").check()
    page.get_by_label("A call that ends in").select_option("Callback")
    expect(page.locator("#sample-result")).to_contain_text("hs_call_disposition: Connected")
    expect(page.locator("#sample-result")).to_contain_text("Do not call")
    expect(page.get_by_text("You have changes that are not saved.")).to_be_visible()
    page.keyboard.press("Control+s")
    expect(page.get_by_text("Saved: 2 changes.")).to_be_visible()
    with tenancy.everyone():
        assert DispositionMap.objects.get(disposition="Callback").values == {"hs_call_disposition": "g-1"}
        assert DispositionMap.objects.get(disposition="Voicemail").values == {"hs_call_disposition": "g-2"}
        assert DispositionEffect.objects.get(disposition="Callback").do_not_call


@pytest.mark.live
def test_an_agent_is_chosen_from_a_list_or_a_suggestion_is_accepted(page: Page, live_server: LiveServer) -> None:
    opened(page, live_server, AGENTS)
    expect(page.get_by_text("May be Jane Doe")).to_be_visible()
    page.get_by_label("Is: jane.doe@dialer.example, HubSpot").fill("Nobody I know")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("No active user of this CRM is called so.")).to_be_visible()
    page.get_by_role("button", name="Accept the 1 suggestion").click()
    expect(page.get_by_text("Saved: 1 agent.")).to_be_visible()
    expect(page.get_by_text("Every agent of the last 90 days has a user")).to_be_visible()
    with tenancy.everyone():
        assert AgentOverride.objects.get().crm_user_id == "acme-Jane Doe"


@pytest.mark.live
@pytest.mark.parametrize(
    "page",
    [pytest.param({}, marks=pytest.mark.thorough), PHONE, pytest.param(DARK, marks=pytest.mark.thorough)],
    indirect=True,
    ids=["desk", "phone", "dark"],
)
def test_each_editor_fits_and_is_accessible(page: Page, live_server: LiveServer) -> None:
    opened(page, live_server, MATRIX)
    for address in (MATRIX, AGENTS, f"{AGENTS}?show=all"):
        page.goto(f"{live_server.url}{address}")
        assert findings(page) == [], address
        width = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert width <= 0, f"{address} must not scroll sideways"
