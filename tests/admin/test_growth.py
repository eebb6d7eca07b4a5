"""What keeps pages quick where there are very many rows: the most urgent first, and an index behind each list."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection as database
from django.db.models import QuerySet
from django.db.models.signals import post_init
from django.test import Client
from django.test.utils import CaptureQueriesContext
from unfold.admin import checkbox

from integrations import tenancy
from integrations.admin_lists import tick_box
from integrations.exchanges_reading import about_record
from integrations.models import ApiExchange, CrmConnection, Tenant
from mapping.models import CrmField
from sync import erasing, urgency
from sync.causes import counting
from sync.models import Alert, Contact, FailureCause, FieldChange, SyncJob, SyncRecord, SyncRun
from tests import factories
from tests.admin import pages
from tests.admin.conftest import SignIn

CROWD, FEW = 2000, 20
LARGE = (
    "contacts", "crm_sync_records", "crm_fields", "field_changes", "sync_jobs", "sync_runs", "api_exchanges",
)  # fmt: skip


@pytest.fixture
def many(db: None) -> dict[str, CrmConnection]:
    """Connections of tenants, one of which needs somebody; by name it is the last."""
    found = {}
    for name in ("anton", "berta", "zita"):
        owner = factories.tenant(name)
        found[name] = factories.connection(owner)
        factories.cursor(found[name])
    factories.dead_job(found["zita"])
    return found


def test_of_many_connections_the_first_page_shows_those_that_need_somebody(
    many: dict[str, CrmConnection], support_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("config.dashboard.MOST_CARDS", 2)
    shown = " ".join(pages.html(support_client, "/admin/").split())
    assert "zita account" in shown
    assert "anton account" in shown
    assert "berta account" not in shown
    assert "1 more connection" in shown


def test_who_needs_somebody_is_ranked_as_the_cards_tell_it(many: dict[str, CrmConnection]) -> None:
    factories.breaker(many["berta"], opened_at=factories.now())
    with tenancy.everyone():
        CrmConnection.objects.filter(pk=many["anton"].pk).update(status="needs_reconnecting")
        ranked = list(CrmConnection.objects.filter(pk__in=urgency.first(2)).values_list("tenant__slug", flat=True))
    assert sorted(ranked) == ["anton", "berta"]


def test_of_many_alerts_and_causes_the_first_page_reads_what_it_shows(
    many: dict[str, CrmConnection], support_client: Client
) -> None:
    moment = factories.now()
    with tenancy.everyone():
        for number in range(30):
            linked = factories.connection(factories.tenant(f"worried-{number}"))
            factories.alert(linked, opened_at=moment - timedelta(minutes=number))
            FailureCause.objects.create(
                tenant=linked.tenant, fingerprint="f" * 24, provider="hubspot", kind="push", cause="rate_limited",
                first_seen=moment, last_seen=moment - timedelta(minutes=number), total=1,
            )  # fmt: skip
            factories.dead_job(linked, fingerprint="f" * 24)
    support_client.get("/admin/")
    read: list[Any] = []

    def noted(sender: Any, **_: Any) -> None:
        read.append(sender)

    post_init.connect(noted, dispatch_uid="read")
    try:
        answer: Any = support_client.get("/admin/")
    finally:
        post_init.disconnect(dispatch_uid="read")
    assert len(answer.context["alerts"]) == read.count(Alert) == 12
    assert answer.context["more_alerts"] == 18
    assert len(answer.context["causes"]) == read.count(FailureCause) >= 1


def test_who_works_for_a_tenant_is_asked_for_groups_and_rights_once(ours: Any, sign_in: SignIn) -> None:
    from integrations.access import is_support

    alone = "view_logentry"
    ours[User].user_permissions.add(Permission.objects.get(codename=alone))
    person, same = User.objects.get(pk=ours[User].pk), User.objects.get(pk=ours[User].pk)
    with tenancy.everyone(), CaptureQueriesContext(database) as asked:
        assert not is_support(person)
        assert person.has_perm("sync.view_contact")
        assert person.has_perm(f"admin.{alone}")
    assert len(asked) == 1
    assert person.get_group_permissions() == same.get_group_permissions()
    assert person.get_user_permissions() == same.get_user_permissions() == {f"admin.{alone}"}


# --- long lists -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def people(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> list[Contact]:
    """Three, of whom a list shows all, and is no longer than that."""
    monkeypatch.setattr("integrations.admin_lists.LONGEST_LIST", 3)
    named = (("Adams", "Zoo"), ("Brown", "Yard"), ("Clark", "Xylo"))
    return [factories.contact(tenant, last_name=name, company=company) for name, company in named]


BY_COMPANY = "?o=2"


def test_a_page_far_down_joins_only_what_it_shows(tenant: Tenant, support_client: Client, monkeypatch: Any) -> None:
    monkeypatch.setattr("integrations.admin_lists.FAR", 50)
    linked = factories.connection(tenant)
    with tenancy.scope(tenant.pk):
        SyncRun.objects.bulk_create(SyncRun(tenant=tenant, connection=linked, kind="catch_up") for _ in range(120))
        newest = list(SyncRun.objects.order_by("-started_at", "-pk").values_list("pk", flat=True))
    address = pages.page(SyncRun, "changelist")
    support_client.get(address)
    for number, expected in ((1, newest[:50]), (2, newest[50:100]), (3, newest[100:])):
        with CaptureQueriesContext(database) as asked:
            answer: Any = support_client.get(f"{address}?p={number}")
        assert [row.pk for row in answer.context_data["cl"].result_list] == expected
        skips = [one["sql"].partition("OFFSET")[0] for one in asked if "OFFSET" in one["sql"]]
        assert len(skips) == (number > 1)
        assert all("JOIN" not in one.rpartition("(SELECT")[2] for one in skips), skips


def test_a_list_is_sorted_by_any_column(people: list[Contact], support_client: Client) -> None:
    people[0].delete()
    shown = pages.html(support_client, pages.page(Contact, "changelist") + BY_COMPANY)
    assert shown.index("Clark") < shown.index("Brown")


def test_a_list_of_very_many_keeps_its_order_and_says_so(people: list[Contact], support_client: Client) -> None:
    address = pages.page(Contact, "changelist")
    shown = pages.html(support_client, address + BY_COMPANY)
    assert shown.index("Adams") < shown.index("Brown") < shown.index("Clark")
    assert "too long to be sorted" in shown
    assert "?o=" not in pages.html(support_client, address), "offers to sort what is not sorted"


def test_what_a_search_finds_is_sorted_however_many_there_are(people: list[Contact], support_client: Client) -> None:
    factories.contact(people[0].tenant, last_name="Clark", company="Aba")
    shown = pages.html(support_client, pages.page(Contact, "changelist") + f"{BY_COMPANY}&q=Clark")
    assert shown.index("Aba") < shown.index("Xylo")


def test_a_long_list_of_jobs_is_still_turned_round(tenant: Tenant, support_client: Client, monkeypatch: Any) -> None:
    monkeypatch.setattr("integrations.admin_lists.LONGEST_LIST", 2)
    first, *_others = (factories.dead_job(factories.connection(tenant, one)) for one in ("hubspot", "salesforce"))
    shown = pages.html(support_client, pages.page(SyncJob, "changelist") + "?o=1")
    assert shown.index(f"#{first.pk}<") < shown.index(f"#{_others[0].pk}<")


def test_the_way_back_from_a_row_leads_to_the_list_as_it_was(people: list[Contact], support_client: Client) -> None:
    address = pages.page(Contact, "changelist")
    shown = pages.html(support_client, f"{address}?presence=here")
    row = pages.page(Contact, "change", people[0].pk) + "?_changelist_filters=presence%3Dhere"
    assert f'href="{row}"' in shown
    assert f'href="{address}?presence=here"' in pages.html(support_client, row)


def test_the_heads_of_a_list_are_made_once_for_all_rows(
    people: list[Contact], support_client: Client, monkeypatch: Any
) -> None:
    from unfold.templatetags import unfold_list

    made: list[str] = []
    label_of = unfold_list.label_for_field

    def noted(name: Any, *more: Any, **options: Any) -> Any:
        made.append(str(name))
        return label_of(name, *more, **options)

    monkeypatch.setattr(unfold_list, "label_for_field", noted)
    pages.html(support_client, pages.page(Contact, "changelist"))
    assert made
    assert len(made) == len(set(made))


def test_a_tick_box_is_the_themes_own() -> None:
    assert tick_box("5") == checkbox.render("_selected_action", "5")
    assert "<" not in tick_box('"><b').removeprefix("<input")


# --- indexes ------------------------------------------------------------------------------------------------------------


COMMON: dict[str, Any] = {"sync_status": "synced", "sync_direction": "inbound"}
RARE: dict[int, dict[str, Any]] = {
    0: {**COMMON, "sync_status": "conflict"}, 1: {**COMMON, "sync_direction": "outbound"},
    2: {**COMMON, "metadata": {"contact": str(UUID(int=7))}},
}  # fmt: skip


@pytest.fixture
def crowd(tenant: Tenant) -> CrmConnection:
    """So many rows that an index is worth its while, few of which are what is looked for."""
    linked = factories.connection(tenant)
    with tenancy.scope(tenant.pk):
        Contact.objects.bulk_create(
            Contact(
                tenant=tenant, last_name=f"B{n}", do_not_call=n % (CROWD // FEW) == 0,
                deleted_at=factories.now() if n % (CROWD // FEW) == 1 else None,
            )
            for n in range(CROWD)
        )  # fmt: skip
        SyncRecord.objects.bulk_create(
            SyncRecord(
                tenant=tenant, connection=linked, crm_provider="hubspot", crm_object_type="contacts", crm_record_id=str(n),
                local_table="contacts", local_record_id=uuid4(), **RARE.get(n % (CROWD // FEW), COMMON),
            )
            for n in range(CROWD)
        )  # fmt: skip
        SyncJob.objects.bulk_create(
            SyncJob(
                tenant=tenant, connection=linked, kind="push", key=str(n), fingerprint="f" * 24,
                state="dead" if n % (CROWD // FEW) == 0 else "done",
            )
            for n in range(CROWD)
        )  # fmt: skip
        SyncRun.objects.bulk_create(
            SyncRun(tenant=tenant, connection=linked, kind="catch_up", object_type="contacts") for n in range(CROWD)
        )
        person = Contact.objects.all()[0]
        FieldChange.objects.bulk_create(
            FieldChange(
                tenant=tenant, contact=person, field="company", source="crm",
                rule="manual" if n % (CROWD // FEW) == 0 else "only_one",
            )
            for n in range(CROWD)
        )  # fmt: skip
        CrmField.objects.bulk_create(
            CrmField(
                tenant=tenant,
                connection=linked,
                object_type="contacts",
                path=f"f{n}",
                label=f"F{n}",
                seen_at=factories.now(),
            )
            for n in range(CROWD)
        )
        ApiExchange.objects.bulk_create(
            ApiExchange(
                tenant=tenant, connection=linked, method="GET", path="/people", milliseconds=1, keys=[f"key-{n}"]
            )
            for n in range(CROWD)
        )
    with database.cursor() as cursor:
        for table in LARGE:
            cursor.execute(f"REINDEX TABLE {table}")  # what other tests rolled back still swells an index, and its cost
        cursor.execute(f"ANALYZE {', '.join(LARGE)}")
    return linked


def test_an_index_gives_each_long_list(crowd: CrmConnection) -> None:
    lists: dict[str, QuerySet[Any]] = {
        "contact_not_to_call": Contact.objects.filter(do_not_call=True).order_by("last_name", "first_name", "pk")[:50],
        "job_dead_": SyncJob.objects.filter(state="dead").order_by("-pk")[:50],
        "run_newest_of_": SyncRun.objects.order_by("-started_at", "-pk")[:50],
        "exchange_of_record": about_record(["key-7"], ["7"])[:15],
        "contact_deleted": Contact.objects.filter(deleted_at__isnull=False).order_by("last_name", "first_name", "pk")[
            :50
        ],
        "link_in_conflict": SyncRecord.objects.filter(sync_status="conflict")[:10_000],
        "change_by_rule": FieldChange.objects.filter(rule="manual")[:10_000],
        "crm_field_by_label": CrmField.objects.order_by("object_type", "label", "pk")[:50],
        "link_outbound": SyncRecord.objects.filter(sync_direction="outbound")[:10_000],
    }
    for scope in (tenancy.scope(crowd.tenant_id), tenancy.everyone()):
        with scope:
            with database.cursor() as cursor:
                cursor.execute("SET LOCAL enable_seqscan = off")  # a thousand rows are as quickly read through
            plans = {name: _plan(rows) for name, rows in lists.items() if name != "contact_not_to_call" or rows.count()}
        for name, plan in plans.items():
            assert name in plan, plan


def test_the_page_of_a_job_reads_what_it_is_about_once(many: dict[str, CrmConnection], sign_in: SignIn) -> None:
    crm = next(iter(many.values()))
    with tenancy.everyone():
        job = factories.dead_job(crm, kind="push", local_record_id=factories.contact(crm.tenant, first_name="Ann").pk)
    client = sign_in(factories.support())
    with CaptureQueriesContext(database) as asked:
        assert "Ann" in pages.html(client, pages.page(SyncJob, "change", job.pk))
    assert len([one for one in asked if 'FROM "contacts"' in one["sql"]]) == 1


@pytest.mark.thorough
def test_links_that_let_go_of_their_contact_are_found_by_index(crowd: CrmConnection) -> None:
    with tenancy.scope(crowd.tenant_id), CaptureQueriesContext(database) as asked:
        found = erasing.links_of([UUID(int=7)])
    assert {link.metadata["contact"] for link in found} == {str(UUID(int=7))}
    with database.cursor() as cursor:
        cursor.execute(f"EXPLAIN {asked[-1]['sql']}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "link_that_let_go" in plan, plan
    assert "link_by_local_record" in plan, plan


@pytest.mark.thorough
def test_causes_are_looked_up_one_by_one(crowd: CrmConnection) -> None:
    with tenancy.everyone():
        plan = _plan(FailureCause.objects.filter(counting.alive()).order_by("-last_seen", "pk")[:50])
    assert "hashed" not in plan, plan


def _plan(rows: QuerySet[Any]) -> str:
    lines: Iterable[str] = rows.explain().splitlines()
    return "\n".join(lines)
