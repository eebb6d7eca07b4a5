"""The pages on which a run or a mapping version is taken back: what they offer, to whom, and what they tell beforehand."""

import csv
import io
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from integrations import tenancy
from integrations.models import CrmConnection, Tenant
from mapping.models import MappingVersion
from sync.models import Contact, SyncJob, SyncRun, Undo, UndoItem
from tests import factories
from tests.admin import pages
from tests.admin.conftest import SignIn
from tests.factories import World

ADD = "/admin/sync/undo/add/"


@pytest.fixture
def undo(ours: World) -> Undo:
    """A plan that is ready, with a contact whose value stays because somebody edited it."""
    with tenancy.everyone():
        UndoItem.objects.all().delete()
        made: Undo = ours[Undo]
        made.counts = {
            "fields": 3,
            "contacts": 2,
            "records": 2,
            "done": 3,
            "skipped": 1,
            "edited_here": 1,
            "loosened": 1,
        }
        made.total = made.done = 4
        made.save()
    item(
        made,
        ours[Contact],
        state="skipped",
        reason="edited_here",
        old="Old Ltd",
        new="Wrong Ltd",
        found="=1+1",
        who="Ada",
    )
    item(made, ours[Contact], field="title", state="planned", old="+41 Boss", new="Clerk")
    return made


def item(of: Undo, about: Contact, **more: Any) -> UndoItem:
    standard = {"kind": "value", "contact_id": about.pk, "field": "company"}
    with tenancy.everyone():
        made: UndoItem = UndoItem.objects.create(tenant_id=of.tenant_id, undo=of, **{**standard, **more})
        return made


def url(row: Undo, name: str = "change") -> str:
    return pages.page(Undo, name, row.pk)


def test_the_runs_page_leads_to_the_question_and_only_yes_has_a_plan_worked_out(
    admin_client: Client, ours: World
) -> None:
    run = ours[SyncRun]
    answer = admin_client.get(pages.page(SyncRun, "undo", run.pk))
    assert answer.status_code == 302
    assert answer["Location"] == f"{ADD}?run={run.pk}"
    asked = pages.html(admin_client, f"{ADD}?run={run.pk}")
    assert "Nothing is changed before you have seen the plan" in asked
    with tenancy.everyone():
        before = Undo.objects.count()
    answer = admin_client.post(f"{ADD}?run={run.pk}")
    with tenancy.everyone():
        planned = Undo.objects.order_by("-created_at")[0]
        assert (Undo.objects.count(), planned.status, planned.of_run_id) == (before + 1, "planning", run.pk)
        assert planned.created_by == ours[User].username
        assert SyncJob.objects.filter(kind="undo", key=str(planned.pk), lane=40).exists()
    assert answer["Location"] == url(planned)
    assert "data-live-url" in pages.html(admin_client, url(planned))


def test_a_version_without_an_earlier_one_is_refused_with_the_reason(admin_client: Client, ours: World) -> None:
    version = ours[MappingVersion]
    answer = admin_client.post(f"{ADD}?version={version.pk}", follow=True)
    assert "there is no earlier one to go back to" in answer.content.decode()
    assert "Undo this version" not in answer.content.decode()


def test_a_later_version_offers_to_be_undone(admin_client: Client, ours: World, tenant: Tenant) -> None:
    second = factories.mapping_version(tenant, 2, rows=[])
    assert "Undo this version" in pages.html(admin_client, pages.page(MappingVersion, "change", second.pk))
    all_versions = reverse("admin:mapping_fieldmapping_editor_versions", args=[ours[CrmConnection].pk])
    assert pages.page(MappingVersion, "undo_version", second.pk) in pages.html(admin_client, all_versions)
    answer = admin_client.post(f"{ADD}?version={second.pk}", follow=True)
    assert answer.status_code == 200
    assert "Company" in answer.content.decode(), "the field whose row goes back"


def test_without_a_run_or_version_the_page_says_where_to_begin(admin_client: Client, ours: World) -> None:
    assert "What do you want to undo?" in pages.html(admin_client, ADD)
    for nothing in ("run=", "run=x", "run=99999999999999999999", "version=0"):
        assert admin_client.get(f"{ADD}?{nothing}").status_code == 404


def test_the_plan_tells_what_will_happen_and_what_stays_and_why(admin_client: Client, undo: Undo) -> None:
    shown = pages.html(admin_client, url(undo))
    for words in (
        "3 values of 2 contacts become what they were before", "2 records in the CRMs are written", "Edited here since (1)",
        "may be called again", "Undo now", "Wrong Ltd", "Ada", "+41 Boss",
    ):  # fmt: skip
        assert words in shown


def test_carrying_out_takes_a_post_and_begins_a_run_of_its_own(admin_client: Client, undo: Undo) -> None:
    assert "Undo now" not in pages.html(admin_client, url(undo, "carry_out"))
    with tenancy.everyone():
        assert Undo.objects.get(pk=undo.pk).status == "ready", "a link changes nothing"
    shown = admin_client.post(url(undo, "carry_out"), follow=True).content.decode()
    assert "It is being undone" in shown
    with tenancy.everyone():
        running = Undo.objects.select_related("run").get(pk=undo.pk)
    assert running.status == "running"
    assert running.run is not None
    assert running.run.kind == "undo"
    assert "can be carried out" in admin_client.post(url(undo, "carry_out"), follow=True).content.decode()


def test_a_plan_is_discarded_and_nothing_else(admin_client: Client, undo: Undo) -> None:
    assert "Nothing was changed" in admin_client.post(url(undo, "discard"), follow=True).content.decode()
    with tenancy.everyone():
        assert Undo.objects.get(pk=undo.pk).status == "discarded"
        assert not UndoItem.objects.filter(undo=undo).exists()


def test_the_list_comes_as_a_file_that_no_spreadsheet_takes_for_formulas(admin_client: Client, undo: Undo) -> None:
    answer = admin_client.get(url(undo, "download"))
    assert "attachment" in answer["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))  # type: ignore[attr-defined]
    assert [(one["field"], one["now"], one["who"], one["reason"]) for one in rows] == [
        ("Company", "'=1+1", "Ada", "Edited here since"), ("Job title", "", "", ""),
    ]  # fmt: skip
    assert rows[1]["before"] == "'+41 Boss"


@pytest.mark.parametrize("name", ["change", "carry_out", "discard", "download"])
def test_another_tenants_undo_is_not_there(admin_client: Client, theirs: World, ours: World, name: str) -> None:
    assert admin_client.get(url(theirs[Undo], name)).status_code == 404
    assert admin_client.post(url(theirs[Undo], name)).status_code == 404
    assert admin_client.get(f"{ADD}?run={theirs[SyncRun].pk}").status_code == 404
    assert admin_client.get(f"{ADD}?version={theirs[MappingVersion].pk}").status_code == 404


def test_support_plans_for_any_tenant_and_who_only_looks_for_none(
    support_client: Client, ours: World, theirs: World, sign_in: SignIn, tenant: Tenant
) -> None:
    assert support_client.post(f"{ADD}?run={theirs[SyncRun].pk}").status_code == 302
    client = sign_in(factories.viewer(tenant))
    assert client.get(f"{ADD}?run={ours[SyncRun].pk}").status_code == 403
    assert client.post(url(ours[Undo], "carry_out")).status_code == 403
    assert "Undo now" not in pages.html(client, url(ours[Undo]))


def test_an_undo_of_a_connection_that_does_not_work_is_refused(admin_client: Client, ours: World) -> None:
    with tenancy.everyone():
        CrmConnection.objects.filter(pk=ours[CrmConnection].pk).update(status="needs_reconnecting")
    answer = admin_client.post(f"{ADD}?run={ours[SyncRun].pk}", follow=True)
    assert "Connect it again first" in answer.content.decode()


@pytest.mark.parametrize("count", [2, 60])
def test_the_page_takes_as_few_queries_for_many_as_for_few(
    admin_client: Client, undo: Undo, tenant: Tenant, count: int, django_assert_max_num_queries: Any
) -> None:
    for number in range(count):
        item(undo, factories.contact(tenant, last_name=f"Person {number}"), state="skipped", reason="edited_here")
    with django_assert_max_num_queries(15):
        pages.html(admin_client, url(undo))
