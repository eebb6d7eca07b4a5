"""The mapping editor in a browser: from a wrong table of choices to the right value on a contact, and by the keyboard alone."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from integrations import tenancy
from integrations.models import CrmConnection, Tenant
from integrations.sandbox.server import SandboxServer
from mapping.models import FieldMapping, MappingDraft, MappingVersion
from mapping.publishing import add_defaults
from sync.models import Contact
from sync.pull import pull
from sync.work import work
from tests import factories
from tests.fake_crm.provider import FakeService
from tests.screens.accessibility import findings
from tests.screens.people import log_in
from tests.sync.people import PATIENCE, person

PHONE = {"viewport": {"width": 390, "height": 844}}
DARK = {"viewport": {"width": 1440, "height": 900}, "color_scheme": "dark"}
STAGES = [["new", "New"], ["contacted", "Contacted"], ["won", "Won"]]
FIELDS: dict[str, dict[str, Any]] = {
    "first": {"label": "First name"},
    "last": {"label": "Last name", "required": True, "max_length": 80},
    "email": {"label": "E-mail", "kind": "email"},
    "phone": {"label": "Phone", "kind": "phone"},
    "company": {"label": "Company"},
    "dnc": {"label": "Do not call", "kind": "boolean"},
    "stage": {"label": "Stage", "kind": "picklist", "options": STAGES},
    "position": {"label": "Position", "max_length": 40},
    "score": {"label": "Score", "kind": "integer"},
    "created": {"label": "Created", "kind": "datetime", "writable": False},
}


@pytest.fixture(autouse=True)
def patient() -> Iterator[None]:
    expect.set_options(timeout=20_000)
    yield
    expect.set_options(timeout=5_000)


@pytest.fixture
def crm(
    transactional_db: None, tenant: Tenant, fake_crm: SandboxServer, connection: CrmConnection
) -> Iterator[CrmConnection]:
    """A connection whose people are read, with a table of choices for the lead status."""
    factories.tenant_admin(tenant)
    assert isinstance(fake_crm.service, FakeService)
    with tenancy.scope(tenant.pk):
        for path, facts in FIELDS.items():
            factories.crm_field(connection, path, object_type="people", **{"kind": "string", **facts})
        factories.mapping(
            tenant, "lead_status", "stage", crm_provider="fakecrm", crm_object="people",
            transform_rule="picklist_map", custom_transform={"map": {"Fresh": "new", "Talking": "contacted"}},
        )  # fmt: skip
        add_defaults(connection)
        for number in range(1, 6):
            person(
                fake_crm.service, str(number), stage="contacted" if number < 4 else "new", position=f"Rank {number}",
                company=f"Company {number}", phone=f"+1415555010{number}", dnc="false", score=str(number * 10),
            )  # fmt: skip
        pull(connection, "people", PATIENCE)
        yield connection


def work_all(crm: CrmConnection) -> None:
    with tenancy.scope(crm.tenant_id):
        for _ in range(4):
            work(crm.pk, patience=PATIENCE)


def opened(page: Page, server: LiveServer, crm: CrmConnection) -> None:
    log_in(page, server.url, f"admin-of-{crm.tenant.slug}", factories.PASSPHRASE)
    page.goto(f"{server.url}/admin/mapping/fieldmapping/editor/")
    expect(page.get_by_role("table", name="Rows of the mapping")).to_be_visible()


def width_too_much(page: Page) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@pytest.mark.live
def test_a_table_of_choices_is_edited_previewed_rehearsed_and_published(
    page: Page, live_server: LiveServer, crm: CrmConnection
) -> None:
    opened(page, live_server, crm)
    with tenancy.scope(crm.tenant_id):
        talked_with = Contact.objects.get(last_name="Lee1")
    page.locator("select[name=contact]").select_option(str(talked_with.pk))
    page.get_by_role("button", name="Show", exact=True).click()
    page.get_by_role("button", name="More about Lead status").click()
    entry = page.get_by_label("Choice 2 in the dialer")
    expect(entry).to_have_value("Talking")
    entry.fill("In conversation")
    status = page.locator("tbody", has=page.get_by_label("CRM field of Lead status"))
    expect(status.get_by_text("In conversation").first).to_be_visible()
    expect(page.locator("#me-live")).to_contain_text("preview is up to date")
    expect(page.get_by_text("Unsaved changes")).to_be_visible()
    assert findings(page) == []
    page.get_by_role("button", name="Save and rehearse").click()
    expect(page.get_by_text("The draft is being tried")).to_be_visible()
    work_all(crm)
    page.goto(f"{live_server.url}/admin/mapping/fieldmapping/editor/")
    page.get_by_role("button", name="Save and publish…").click()
    expect(page.get_by_text("3 of 5 records change")).to_be_visible()
    assert findings(page) == []
    page.get_by_role("button", name="Publish", exact=True).click()
    expect(page.get_by_text("v2 is in force now")).to_be_visible()
    work_all(crm)
    with tenancy.scope(crm.tenant_id):
        about = Contact.objects.get(last_name="Lee1")
        assert not MappingDraft.objects.exists()
    page.goto(f"{live_server.url}/admin/sync/contact/{about.pk}/change/")
    expect(page.get_by_text("In conversation").first).to_be_visible()


@pytest.mark.live
def test_a_row_is_added_removed_and_kept_by_the_keyboard_alone(
    page: Page, live_server: LiveServer, crm: CrmConnection
) -> None:
    opened(page, live_server, crm)
    add = page.get_by_role("button", name="Add a row", exact=True)
    add.focus()
    page.keyboard.press("Enter")
    field = page.get_by_label("Dialer field of row 8")
    expect(field).to_be_focused()
    page.keyboard.type("job tit")
    expect(page.get_by_role("option", name="Job title")).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(field).to_have_value("title")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type("posi")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("tbody", has=field).locator("ins", has_text="Rank").first).to_be_visible()
    page.get_by_role("button", name="Remove Company").focus()
    page.keyboard.press("Enter")
    keep = page.get_by_role("button", name="Keep Company")
    expect(keep).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_label("CRM field of Company")).to_be_visible()
    page.keyboard.press("Control+s")
    expect(page.get_by_text("The draft is saved.")).to_be_visible()
    with tenancy.scope(crm.tenant_id):
        rows = MappingDraft.objects.get().rows
        assert {"title", "company"} <= {row["dialer_field"] for row in rows}
        assert next(row["crm_field"] for row in rows if row["dialer_field"] == "title") == "position"
        assert MappingVersion.objects.count() == 1


@pytest.mark.live
@pytest.mark.parametrize(
    "page", [PHONE, pytest.param(DARK, marks=pytest.mark.thorough)], indirect=True, ids=["phone", "dark"]
)
def test_each_page_of_the_editor_is_usable_on_a_phone_and_in_the_dark(
    page: Page, live_server: LiveServer, crm: CrmConnection
) -> None:
    opened(page, live_server, crm)
    page.get_by_role("button", name="More about Lead status").click()
    expect(page.get_by_label("Choice 1 in the dialer")).to_be_visible()
    for address in ("", "versions/", "begin/"):
        if address:
            page.goto(f"{live_server.url}/admin/mapping/fieldmapping/editor/{crm.pk}/{address}")
        assert width_too_much(page) <= 0, "the page must not scroll sideways"
        assert findings(page) == []


@pytest.mark.live
def test_a_line_is_added_to_a_rows_table_and_another_removed(
    page: Page, live_server: LiveServer, crm: CrmConnection
) -> None:
    with tenancy.scope(crm.tenant_id):
        row = FieldMapping.objects.get(dialer_field="lead_status")
    log_in(page, live_server.url, f"admin-of-{crm.tenant.slug}", factories.PASSPHRASE)
    page.goto(f"{live_server.url}/admin/mapping/fieldmapping/{row.pk}/change/")
    table = page.get_by_role("group", name="Table of choices")
    ours = table.get_by_role("textbox", name=re.compile("in the dialer$"))
    shown = ours.count()
    page.get_by_role("button", name="Another line").first.click()
    expect(ours).to_have_count(shown + 1)
    expect(ours.last).to_be_focused()
    page.keyboard.type("Signed")
    table.get_by_label(f"Choice {shown + 1} in the CRM").select_option("won")
    page.get_by_label("Choice 1 in the dialer").fill("")
    assert findings(page) == []
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("successfully")).to_be_visible()
    with tenancy.scope(crm.tenant_id):
        row.refresh_from_db()
    assert row.custom_transform == {"map": {"Talking": "contacted", "Signed": "won"}}


@pytest.mark.live
def test_a_file_is_chosen_and_compared_without_a_complaint(
    page: Page, live_server: LiveServer, crm: CrmConnection
) -> None:
    opened(page, live_server, crm)
    page.goto(f"{live_server.url}/admin/mapping/fieldmapping/editor/{crm.pk}/begin/")
    page.get_by_label("File", exact=True).set_input_files(
        {"name": "rows.json", "mimeType": "application/json", "buffer": b"[]"}
    )
    page.get_by_role("button", name="See what would differ").first.click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing was taken over")
