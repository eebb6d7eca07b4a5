"""Editing the mapping: suggestions, problems at their fields, and a new version with every change."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from activities.models import DispositionMap
from integrations import tenancy
from integrations.models import CrmConnection, Tenant
from mapping.compiled import MappingError, Problem
from mapping.models import FieldMapping, MappingVersion
from tests import factories
from tests.admin import pages
from tests.admin.conftest import SignIn
from tests.admin.test_actions import said
from tests.factories import World

ADD = "/admin/mapping/fieldmapping/add/"
GOOD = {
    "crm_provider": "hubspot", "dialer_field": "company", "sync_direction": "bidirectional", "crm_object": "contacts",
    "crm_field": "company", "transform_rule": "none",
    "strategy": "", "on_blank": "clear", "is_active": "on",
}  # fmt: skip


def mappings(of: Tenant) -> list[str]:
    with tenancy.everyone():
        return sorted(FieldMapping.objects.filter(tenant=of).values_list("dialer_field", flat=True))


def newest(of: Tenant) -> MappingVersion:
    with tenancy.everyone():
        found: MappingVersion = MappingVersion.objects.filter(tenant=of).order_by("-number")[0]
        return found


def test_a_new_row_is_saved_for_the_persons_tenant_and_published(
    admin_client: Client, ours: World, tenant: Tenant
) -> None:
    shown = said(admin_client, ADD, GOOD)
    assert "HubSpot v2 is in force now." in shown
    assert mappings(tenant) == ["company", "first_name"]
    version = newest(tenant)
    assert [row["dialer_field"] for row in version.rows] == ["company", "first_name"]
    assert (version.created_by_id, version.note) == (ours[User].pk, "company added")


def test_a_change_and_a_removal_are_published(admin_client: Client, ours: World, tenant: Tenant) -> None:
    row = ours[FieldMapping]
    said(
        admin_client,
        pages.page(FieldMapping, "change", row.pk),
        {**GOOD, "dialer_field": "first_name", "crm_field": "nick"},
    )
    assert newest(tenant).rows[0]["crm_field"] == "nick"
    said(admin_client, pages.page(FieldMapping, "delete", row.pk), {"post": "yes"})
    assert newest(tenant).rows == []
    assert newest(tenant).note == "first_name removed"


def test_rows_removed_from_the_list_are_published_once(admin_client: Client, ours: World, tenant: Tenant) -> None:
    other = factories.mapping(tenant, "title", "jobtitle")
    chosen = [ours[FieldMapping].pk, other.pk]
    data = {"action": "delete_selected", "_selected_action": chosen, "post": "yes"}
    said(admin_client, pages.page(FieldMapping, "changelist"), data)
    assert mappings(tenant) == []
    assert (newest(tenant).number, newest(tenant).rows) == (2, [])


@pytest.mark.parametrize(
    ("changed", "field", "problem"),
    [
        ({"dialer_field": "compny"}, "dialer_field", "did you mean"),
        ({"dialer_field": "call_count"}, "sync_direction", "cannot be set by a CRM"),
        ({"crm_field": "phones["}, "crm_field", ""),
        ({"transform_rule": "picklist_map"}, "custom_transform", "picklist_map needs the option"),
        ({"transform_rule": "custom", "custom_transform-o-inbound": "value +"}, "custom_transform", ""),
        ({"validations-rules": "1", "validations-v0-type": "nonsense"}, "validations", "the type must be one of"),
        (
            {"validations-rules": "1", "validations-v0-type": "length", "validations-v0-max": "many"},
            "validations",
            "max",
        ),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_a_problem_stands_at_its_field_and_nothing_is_saved(
    changed: dict[str, str], field: str, problem: str, admin_client: Client, ours: World, tenant: Tenant
) -> None:
    response = admin_client.post(ADD, {**GOOD, **changed})
    assert response.status_code == 200
    errors = response.context["adminform"].form.errors
    assert list(errors) == [field]
    assert problem in " ".join(errors[field])
    assert mappings(tenant) == ["first_name"]
    with tenancy.everyone():
        assert MappingVersion.objects.filter(tenant=tenant).count() == 1


def test_two_rows_for_one_field_are_refused(admin_client: Client, ours: World, tenant: Tenant) -> None:
    response = admin_client.post(ADD, {**GOOD, "dialer_field": "first_name"})
    assert response.status_code == 200
    assert response.context["adminform"].form.errors
    assert mappings(tenant) == ["first_name"]


def test_a_row_cannot_be_renamed_to_one_that_exists(admin_client: Client, ours: World, tenant: Tenant) -> None:
    other = factories.mapping(tenant, "title", "jobtitle")
    response = admin_client.post(
        pages.page(FieldMapping, "change", other.pk), {**GOOD, "dialer_field": "first_name", "crm_field": "jobtitle"}
    )
    assert response.status_code == 200
    assert mappings(tenant) == ["first_name", "title"]


def test_two_rows_cannot_write_one_crm_field(admin_client: Client, ours: World, tenant: Tenant) -> None:
    response = admin_client.post(ADD, {**GOOD, "dialer_field": "title", "crm_field": "firstname"})
    assert "already written by first_name" in response.content.decode()
    assert mappings(tenant) == ["first_name"]


def test_a_row_that_cannot_be_published_is_told_and_undone(
    admin_client: Client, ours: World, tenant: Tenant, monkeypatch: Any
) -> None:
    def refuse(*_args: Any, **_kwargs: Any) -> None:
        raise MappingError([Problem("title", "path", "Somebody else was faster.")])

    monkeypatch.setattr("mapping.admin_rows.publish", refuse)
    for url, data in (
        (ADD, GOOD),
        (pages.page(FieldMapping, "delete", ours[FieldMapping].pk), {"post": "yes"}),
        (
            pages.page(FieldMapping, "changelist"),
            {"action": "delete_selected", "_selected_action": [ours[FieldMapping].pk], "post": "yes"},
        ),
    ):
        shown = said(admin_client, url, data)
        assert "Nothing was saved" in shown
        assert "Somebody else was faster." in shown
        assert mappings(tenant) == ["first_name"]


def test_the_form_suggests_what_the_tenants_crm_has(admin_client: Client, ours: World, theirs: World) -> None:
    with_crm = pages.html(admin_client, pages.page(FieldMapping, "change", ours[FieldMapping].pk))
    assert "firstname of acme-hubspot · string · HubSpot contacts" in with_crm
    assert "stranger" not in with_crm
    assert '<option value="last_name">Last name</option>' in with_crm


def test_support_gets_suggestions_of_the_rows_own_tenant(support_client: Client, ours: World, theirs: World) -> None:
    shown = pages.html(support_client, pages.page(FieldMapping, "change", ours[FieldMapping].pk))
    assert "firstname of acme-hubspot" in shown
    assert "firstname of stranger-hubspot" not in shown


def test_support_saves_a_row_for_the_chosen_tenant(
    support_client: Client, ours: World, theirs: World, stranger: Tenant
) -> None:
    said(support_client, ADD, {**GOOD, "tenant": str(stranger.pk)})
    assert mappings(stranger) == ["company", "first_name"]


def test_a_row_keeps_its_tenant_and_crm(support_client: Client, ours: World, tenant: Tenant, stranger: Tenant) -> None:
    row = ours[FieldMapping]
    fields = {**GOOD, "dialer_field": "first_name", "tenant": str(stranger.pk), "crm_provider": "salesforce"}
    said(support_client, pages.page(FieldMapping, "change", row.pk), fields)
    with tenancy.everyone():
        kept = FieldMapping.objects.get(pk=row.pk)
    assert (kept.tenant_id, kept.crm_provider) == (tenant.pk, "hubspot")


# --- dispositions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ([("hs_call_disposition", "busy")], ""),
        ([("hs_call_title", "x")], ""),
        ([("no_such_field", "x")], "HubSpot has no such field of a call: no_such_field."),
        ([("hs_call_title", "x"), ("hs_call_title", "y")], "hs_call_title stands there twice."),
        ([("", "x")], "Say what “x” is for"),
        ([("hs_call_title", "")], "This field is required."),
    ],
)
def test_a_disposition_names_fields_that_the_crm_has(
    values: list[tuple[str, str]], problem: str, tenant: Tenant, sign_in: SignIn
) -> None:
    connection: CrmConnection = factories.connection(tenant)
    factories.crm_field(connection, "hs_call_title", object_type="calls")
    client = sign_in(factories.tenant_admin(tenant))
    fields = {"crm_provider": "hubspot", "disposition": "Busy", **pages.pairs("values", values)}
    response = client.post("/admin/activities/dispositionmap/add/", fields)
    if problem:
        assert problem in " ".join(response.context["adminform"].form.errors["values"])
    else:
        assert response.status_code == 302
        with tenancy.everyone():
            assert DispositionMap.objects.get().tenant == tenant


def test_a_disposition_is_mapped_once_for_each_crm(admin_client: Client, ours: World) -> None:
    fields = {"crm_provider": "hubspot", "disposition": "Connected"}
    response = admin_client.post("/admin/activities/dispositionmap/add/", fields)
    assert response.status_code == 200
    assert response.context["adminform"].form.errors
