"""The pages of rehearsals: a draft is edited and tried, what it would do is shown, and one button puts it in force."""

import re
from typing import Any

import pytest
from django.test import Client

from integrations import tenancy
from integrations.models import CrmConnection, Tenant
from mapping.models import ConflictPolicy, FieldMapping, MappingVersion
from mapping.publishing import publish
from sync import rehearsing
from sync.models import Contact, FieldChange, RecordSnapshot, Rehearsal, SyncJob, SyncRecord, SyncRun
from sync.work import work
from tests import factories
from tests.admin import pages
from tests.admin.conftest import SignIn
from tests.admin.test_actions import said
from tests.admin.test_mapping import GOOD
from tests.factories import World
from tests.rows import reread
from tests.sync.people import PATIENCE

ADD = "/admin/sync/rehearsal/add/"


@pytest.fixture
def known(ours: World) -> CrmConnection:
    """The connection, with one record whose fields are known."""
    crm: CrmConnection = ours[CrmConnection]
    with tenancy.everyone():
        publish(crm.tenant_id, crm.provider)
        SyncRecord.objects.filter(connection=crm, local_table="calls").delete()
        link = ours[SyncRecord]
        Contact.objects.filter(pk=link.local_record_id).update(company="Old Ltd")
        link.base, link.last_crm_modified_at = {"first_name": "Grace", "company": "Old Ltd"}, factories.now()
        link.save()
        fields = {"firstname": "Grace", "company": "New Ltd", "jobtitle": "Admiral"}
        RecordSnapshot.objects.create(tenant_id=crm.tenant_id, record=link, fields=fields)
    return crm


def draft(client: Client, crm: CrmConnection, **data: Any) -> Rehearsal:
    said(client, ADD, {"connection": crm.pk, **data})
    with tenancy.everyone():
        found: Rehearsal = Rehearsal.objects.exclude(created_by="somebody").order_by("-created_at")[0]
        return found


def page(row: Rehearsal, name: str = "change", **query: str) -> str:
    address = pages.page(Rehearsal, name, row.pk)
    return f"{address}?{'&'.join(f'{key}={value}' for key, value in query.items())}" if query else address


def run_jobs(crm: CrmConnection) -> None:
    with tenancy.everyone():
        SyncJob.objects.exclude(kind__in=["rehearse", "reapply"]).delete()
    for _ in range(3):
        work(crm.pk, patience=PATIENCE)


def test_a_draft_is_made_edited_rehearsed_and_promoted(admin_client: Client, ours: World, known: CrmConnection) -> None:
    row = draft(admin_client, known)
    assert [one["dialer_field"] for one in row.rows] == ["first_name"]
    assert "The draft is changed." in said(admin_client, page(row, "add_row"), GOOD)
    with tenancy.everyone():
        assert not FieldMapping.objects.filter(dialer_field="company").exists(), "a draft is no mapping"
    shown = said(admin_client, page(row, "rehearse"))
    assert "It is running." in shown
    shown = pages.html(admin_client, page(row))
    assert f'data-live-url="{page(row)}"' in shown
    run_jobs(known)
    part = admin_client.get(page(row), headers={"X-Live": "1"}).content.decode()
    assert 'id="rehearsal-state"' in part
    assert "data-live-url" not in part
    assert 'data-live-then="reload"' in part, "the results are elsewhere on the page"
    assert "1 of 1 records tried, 1 would change" in part
    shown = pages.html(admin_client, page(row))
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", shown))
    assert "Examples: Company" in text
    assert "Old Ltd New Ltd" in text
    assert "would change 1 1 / 1" in text
    assert "Nothing: no CRM would be asked or told anything." in text
    assert "1 of 1 records change" in pages.html(admin_client, page(row, "promote"))
    assert "It is in force." in said(admin_client, page(row, "promote"))
    run_jobs(known)
    with tenancy.everyone():
        assert Contact.objects.get(pk=ours[Contact].pk).company == "New Ltd"
        version = MappingVersion.objects.order_by("-number")[0]
        assert FieldChange.objects.order_by("-pk")[0].mapping_version == version.number
        assert [one["dialer_field"] for one in version.rows] == ["company", "first_name"]
        assert SyncRun.objects.get(kind="snapshots").status == "done"
    assert "The runs show how far its fields are." in pages.html(admin_client, page(row))


def test_a_row_of_the_draft_is_checked_like_a_row_of_the_mapping(admin_client: Client, known: CrmConnection) -> None:
    row = draft(admin_client, known)
    wrong = {**GOOD, "dialer_field": "compny"}
    shown = said(admin_client, page(row, "add_row"), wrong)
    assert "did you mean" in shown
    assert reread(row).rows == row.rows
    double = said(admin_client, page(row, "add_row"), {**GOOD, "dialer_field": "first_name"})
    assert "two rows for the same CRM object" in double


def test_a_row_is_changed_and_removed_in_the_draft_alone(
    admin_client: Client, known: CrmConnection, tenant: Tenant
) -> None:
    row = draft(admin_client, known)
    assert 'value="firstname"' in pages.html(admin_client, page(row, "change_row", field="first_name"))
    said(admin_client, page(row, "change_row", field="first_name"), {**GOOD, "dialer_field": "first_name"})
    assert [(one["dialer_field"], one["crm_field"]) for one in reread(row).rows] == [("first_name", "company")]
    assert "Changed" in pages.html(admin_client, page(row))
    said(admin_client, page(row, "remove_row", field="first_name"))
    assert reread(row).rows == []
    assert "Removed" in pages.html(admin_client, page(row))
    with tenancy.everyone():
        assert FieldMapping.objects.get(tenant=tenant).crm_field == "firstname"


def test_a_conflict_policy_is_drafted_from_the_one_in_force(
    admin_client: Client, ours: World, known: CrmConnection
) -> None:
    start = admin_client.get(pages.page(ConflictPolicy, "rehearse_policy", ours[ConflictPolicy].pk))
    assert start["Location"] == f"{ADD}?connection={known.pk}&policy=1"
    row = draft(admin_client, known, policy_too="on")
    assert row.policy == {"default": "crm_wins", "overrides": {"lead_status": "last_write_wins"}}
    bad = said(
        admin_client,
        page(row, "change_policy"),
        {"default": "manual", **pages.pairs("overrides", {"nothing": "manual"})},
    )
    assert reread(row).policy == row.policy
    assert "nothing" in bad
    told = {"lead_status": "last_write_wins", "company": "dialer_wins"}
    said(admin_client, page(row, "change_policy"), {"default": "manual", **pages.pairs("overrides", told)})
    assert reread(row).policy == {"default": "manual", "overrides": told}
    said(admin_client, page(row, "change_policy"), {"default": "manual"})
    assert reread(row).policy == {"default": "manual", "overrides": {}}
    assert "A person decides" in pages.html(admin_client, page(row))


def test_an_older_version_can_be_rehearsed(admin_client: Client, ours: World, known: CrmConnection) -> None:
    old = ours[MappingVersion]
    start = admin_client.get(pages.page(MappingVersion, "rehearse_version", old.pk))
    assert start["Location"] == f"{ADD}?connection={known.pk}&version={old.pk}"
    assert f'value="{old.pk}"' in pages.html(admin_client, start["Location"])
    assert draft(admin_client, known, version=old.pk).rows == old.rows


def test_the_mapping_pages_lead_to_a_rehearsal(admin_client: Client, ours: World, known: CrmConnection) -> None:
    shown = pages.html(admin_client, pages.page(FieldMapping, "changelist"))
    assert "Rehearse changes" in shown
    start = admin_client.get(pages.page(FieldMapping, "rehearse_this", ours[FieldMapping].pk))
    assert start["Location"] == f"{ADD}?connection={known.pk}"


def test_without_snapshots_the_page_says_to_run_a_load_first(admin_client: Client, ours: World) -> None:
    crm = ours[CrmConnection]
    with tenancy.everyone():
        publish(crm.tenant_id, crm.provider)
    row = draft(admin_client, crm)
    assert "Run a full load of the connection first" in pages.html(admin_client, page(row))
    said(admin_client, page(row, "add_row"), GOOD)
    assert "Run a full load of the connection first" in said(admin_client, page(row, "rehearse"))
    assert reread(row).status == "draft"


def test_a_promotion_that_was_overtaken_says_why_it_is_refused(admin_client: Client, known: CrmConnection) -> None:
    row = draft(admin_client, known)
    said(admin_client, page(row, "add_row"), GOOD)
    said(admin_client, page(row, "rehearse"))
    run_jobs(known)
    with tenancy.everyone():
        factories.mapping(known.tenant, "title", "jobtitle")
        publish(known.tenant_id, known.provider)
    assert "another version is in force" in said(admin_client, page(row, "promote"))
    assert "You can change the draft now." in said(admin_client, page(row, "change_draft"))
    assert "Discarded." in said(admin_client, page(row, "discard"))
    assert "Nothing was changed: it is Discarded." in said(admin_client, page(row, "rehearse"))


def test_a_running_one_is_stopped(admin_client: Client, known: CrmConnection) -> None:
    row = draft(admin_client, known)
    said(admin_client, page(row, "add_row"), GOOD)
    said(admin_client, page(row, "rehearse"))
    assert "Stopped. The draft is as it was." in said(admin_client, page(row, "stop"))
    assert reread(row).status == "draft"


def test_a_version_of_another_tenant_begins_nothing(admin_client: Client, known: CrmConnection, theirs: World) -> None:
    before = Rehearsal._base_manager.count()
    shown = said(admin_client, ADD, {"connection": known.pk, "version": theirs[MappingVersion].pk})
    assert "This CRM has no such mapping." in shown
    said(admin_client, ADD, {"connection": theirs[CrmConnection].pk})
    assert Rehearsal._base_manager.count() == before


def test_somebody_who_may_only_look_sees_no_way_to_change_it(
    ours: World, known: CrmConnection, sign_in: SignIn, tenant: Tenant
) -> None:
    from django.contrib.auth.models import Permission

    looker = factories.user("looker", tenants=(tenant,))
    looker.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client, row = sign_in(looker), ours[Rehearsal]
    shown = pages.html(client, page(row))
    assert "change_row" not in shown
    for name in ("rehearse", "promote", "add_row", "discard"):
        assert client.post(page(row, name), GOOD).status_code == 403
    assert rehearsing.NO_SNAPSHOTS not in shown
