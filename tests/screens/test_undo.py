"""Undoing a mapping version in a browser: from the version's page to the plan, to the result, to the list of what was left."""

from collections.abc import Sequence
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from integrations import tenancy
from integrations.models import CrmConnection, Tenant
from integrations.providers.base import CrmProvider
from integrations.records.remote import RecordWrite, Written
from integrations.sandbox.server import SandboxServer
from mapping.models import FieldMapping, MappingVersion
from mapping.publishing import add_defaults, publish
from sync import editing
from sync.models import Contact, SyncJob, Undo
from sync.pull import pull
from sync.work import work
from tests import factories
from tests.fake_crm.provider import FakeService, Provider
from tests.screens.accessibility import findings
from tests.screens.people import log_in
from tests.sync.people import PATIENCE, person

PEOPLE = 12
PHONE = {"viewport": {"width": 390, "height": 844}}


@pytest.fixture(autouse=True)
def acme(transactional_db: None) -> None:
    """Real transactions, which the server's thread sees."""


@pytest.fixture
def version(
    acme: None, connection: CrmConnection, tenant: Tenant, fake_crm: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> MappingVersion:
    """A bad table of choices, published by mistake: it wrote "Cold" over what the CRM held. One contact was edited since."""
    service: Any = fake_crm.service
    assert isinstance(service, FakeService)

    def write(self: CrmProvider, kind: str, writes: Sequence[RecordWrite]) -> list[Written]:
        for one in writes:
            service.edit(kind, one.record_id, one.values)
        return [Written(one.key, one.record_id) for one in writes]

    monkeypatch.setattr(Provider, "write", write)
    monkeypatch.setattr(Provider, "write_batch_size", 100)
    with tenancy.scope(tenant.pk):
        add_defaults(connection)
        for number in range(1, PEOPLE + 1):
            person(service, str(number), stage=f"Stage {number % 3}")
        pull(connection, "people", PATIENCE)
        Contact.objects.update(lead_status="Hot")
        FieldMapping.objects.create(
            tenant=tenant, crm_provider=connection.provider, sync_direction="outbound", dialer_field="lead_status",
            crm_object="people", crm_field="stage", transform_rule="picklist_map", custom_transform={"map": {"Hot": "Cold"}},
        )  # fmt: skip
        published = publish(tenant.pk, connection.provider, note="New stages")
    drain(connection)
    with tenancy.scope(tenant.pk):
        service.edit("people", "1", {"stage": "By hand"})
        editing.edit(Contact.objects.get(last_name="Lee2").pk, {"lead_status": "Won"}, editing.Author("person", "ada"))
    factories.tenant_admin(tenant)
    return published


def drain(connection: CrmConnection) -> None:
    for _round in range(30):
        with tenancy.everyone():
            waiting = SyncJob.objects.filter(state="ready")
            if not waiting.exists():
                return
            waiting.update(not_before="2026-01-01T00:00:00Z")
        work(connection.pk, patience=PATIENCE)


def no_sideways(page: Page) -> None:
    width = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert width <= 0, "the page must not scroll sideways"


@pytest.mark.live
@pytest.mark.parametrize(
    "page", [{}, pytest.param(PHONE, marks=pytest.mark.thorough)], indirect=True, ids=["desk", "phone"]
)
def test_a_tenant_admin_undoes_a_mapping_version(
    page: Page, live_server: LiveServer, version: MappingVersion, connection: CrmConnection, fake_crm: SandboxServer
) -> None:
    log_in(page, live_server.url, "admin-of-acme", factories.PASSPHRASE)
    page.goto(f"{live_server.url}/admin/mapping/mappingversion/{version.pk}/change/")
    link = page.get_by_role("link", name="Undo this version", include_hidden=True).first  # on a phone behind a menu
    page.goto(f"{live_server.url}{link.get_attribute('href')}")
    expect(page.get_by_text("Nothing is changed before you have seen the plan")).to_be_visible()
    assert findings(page) == []
    page.get_by_role("button", name="Work out the plan").click()
    expect(page.get_by_text("Being worked out")).to_be_visible()
    assert findings(page) == []
    drain(connection)

    expect(page.get_by_role("button", name="Undo now")).to_be_visible(timeout=10_000)  # by itself
    expect(page.get_by_text("10 records in the CRMs are written")).to_be_visible()
    expect(page.get_by_text("2 values are left as they are")).to_be_visible()
    left = page.get_by_role("region", name="Left as it is").first
    for words in ("By hand", "Edited in the CRM since", "Won", "Edited here since", "ada"):
        expect(left).to_contain_text(words)
    no_sideways(page)
    assert findings(page) == []
    page.get_by_role("button", name="Undo now").click()
    expect(page.get_by_text("This page shows how far it is")).to_be_visible()
    drain(connection)

    expect(page.get_by_role("heading", name="What was done")).to_be_visible(timeout=10_000)
    expect(page.get_by_text("10 records in the CRMs get their earlier values back")).to_be_visible()
    no_sideways(page)
    assert findings(page) == []
    with page.expect_download() as file:
        page.get_by_role("link", name="Download the list (CSV)").click()
    text = file.value.path().read_text(encoding="utf-8")
    assert text.count("Restored") == PEOPLE - 2
    stages = {one["id"]: one["fields"]["stage"] for one in fake_crm.service.store.all("people")}
    assert {stages[str(number)] for number in range(3, PEOPLE + 1)} == {"Stage 0", "Stage 1", "Stage 2"}
    assert (stages["1"], stages["2"]) == ("By hand", "Cold")
    with tenancy.everyone():
        assert Undo.objects.get().status == "done"
