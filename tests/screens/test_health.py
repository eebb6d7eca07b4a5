"""The first page: what is wrong stands on top and leads to what helps; charts, numbers and settings are a click away."""

import re
from datetime import timedelta

import pytest
from django.core import mail
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from integrations import tenancy
from integrations.models import CrmConnection
from sync.alerting import delivering, evaluating
from sync.models import Alert, AlertSettings
from tests import factories
from tests.screens.accessibility import findings
from tests.screens.people import log_in

PHONE = {"viewport": {"width": 390, "height": 844}}
DARK = {"viewport": {"width": 1440, "height": 900}, "color_scheme": "dark"}


@pytest.fixture(autouse=True)
def acme(transactional_db: None) -> CrmConnection:
    """A tenant with a CRM that lost its access and one that works, and a day of numbers."""
    owner = factories.tenant("acme")
    factories.tenant_admin(owner)
    factories.worker_beat(-timedelta(hours=1))
    lost = factories.connection(owner, status="needs_reconnecting", status_reason="The token was revoked.")
    works = factories.connection(owner, "salesforce")
    factories.cursor(works)
    factories.rate_window(works)
    for ago in range(24):
        factories.hour_of(
            works, ago, synced=(ago * 7) % 60, done=90, dead=ago % 3, queue_max=ago, quota_percent=2 * ago
        )
    evaluating.evaluate()
    return lost


def narrow_enough(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"))


@pytest.mark.live
@pytest.mark.parametrize("page", [{}, PHONE, DARK], indirect=True, ids=["desk", "phone", "dark"])
def test_an_admin_sees_what_is_wrong_and_what_to_press(page: Page, live_server: LiveServer) -> None:
    log_in(page, live_server.url, "admin-of-acme", factories.PASSPHRASE)
    alert = page.get_by_role("region", name="What is wrong").get_by_role("listitem")
    expect(alert).to_contain_text("The CRM no longer accepts our access")
    expect(alert).to_contain_text("The token was revoked.")
    assert narrow_enough(page)
    assert findings(page) == []
    page.get_by_text("What these numbers mean").click()
    expect(page.get_by_text("Five open the circuit breaker.")).to_be_visible()
    alert.get_by_role("link", name="Connect again").click()
    expect(page.get_by_text("HubSpot").first).to_be_visible()


@pytest.mark.live
def test_an_admin_looks_at_the_numbers_of_a_day_and_of_a_week(page: Page, live_server: LiveServer) -> None:
    log_in(page, live_server.url, "admin-of-acme", factories.PASSPHRASE)
    page.get_by_role("link", name="7 days").click()
    expect(page.get_by_role("img", name="Records synced, 7 days").first).to_be_visible()
    page.get_by_role("link", name=re.compile("Numbers.*Salesforce")).click()
    expect(page.get_by_role("img")).to_have_count(5)
    assert findings(page) == []
    page.get_by_text("The same as a table").click()
    expect(page.get_by_role("table")).to_be_visible()
    assert findings(page) == []


@pytest.mark.live
@pytest.mark.parametrize(
    "page", [{}, pytest.param(PHONE, marks=pytest.mark.thorough)], indirect=True, ids=["desk", "phone"]
)
def test_an_admin_takes_on_an_alert_and_says_who_hears_of_the_next(
    page: Page, live_server: LiveServer, acme: CrmConnection
) -> None:
    delivering.deliver()
    assert [one.to for one in mail.outbox] == [["admin-of-acme@example.com"]]
    log_in(page, live_server.url, "admin-of-acme", factories.PASSPHRASE)
    page.get_by_role("link", name="The CRM no longer accepts our access").click()
    expect(page.get_by_role("table")).to_contain_text("admin-of-acme@example.com")
    assert narrow_enough(page)
    assert findings(page) == []
    with tenancy.everyone():
        (row,) = Alert.objects.all()
    page.goto(f"{live_server.url}/admin/sync/alert/{row.pk}/take_on/")
    page.get_by_role("button", name="I take care of it").click()
    expect(page.get_by_text("You take care of it.")).to_be_visible()
    page.goto(f"{live_server.url}/admin/sync/alertsettings/own/")
    page.get_by_label("minutes that a call, an edit or an event may wait").fill("2")
    page.get_by_label("e-mail also to").fill("nobody")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("nobody is no e-mail address")).to_be_visible()
    page.get_by_label("e-mail also to").fill("ops@acme.example")
    assert findings(page) == []
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_url("**/alertsettings/")
    with tenancy.everyone():
        own = AlertSettings.objects.get()
    assert (own.latency_minutes, own.mail_to) == (2, ["ops@acme.example"])


@pytest.mark.live
def test_support_sees_whose_it_is_and_the_end_of_it(page: Page, live_server: LiveServer, acme: CrmConnection) -> None:
    factories.support()
    log_in(page, live_server.url, "support", factories.PASSPHRASE)
    expect(page.get_by_role("region", name="What is wrong")).to_contain_text("Acme")
    with tenancy.everyone():
        CrmConnection.objects.filter(pk=acme.pk).update(status="connected", status_since=factories.now())
    evaluating.evaluate()
    page.reload()
    expect(page.get_by_role("region", name="What is wrong")).to_have_count(0)
    assert delivering.deliver() == 2
    assert "Over:" in mail.outbox[-1].subject
