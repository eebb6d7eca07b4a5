"""A mapping row's options, checks and places are forms. What nobody changes stays as it was written, to the type of each value."""

from typing import Any

import pytest
from django.test import Client

from integrations import tenancy
from integrations.models import CrmConnection, Tenant
from mapping.models import FieldMapping
from tests import factories
from tests.admin import pages
from tests.admin.conftest import SignIn
from tests.admin.forms import sent
from tests.admin.test_actions import said
from tests.rows import reread


@pytest.fixture
def client(tenant: Tenant, sign_in: SignIn) -> Client:
    factories.connection(tenant, provider="salesforce")
    return sign_in(factories.tenant_admin(tenant))


def row(tenant: Tenant, **fields: Any) -> FieldMapping:
    told = {"crm_provider": "salesforce", "crm_object": "Lead", **fields}
    return factories.mapping(tenant, told.pop("dialer_field", "title"), told.pop("crm_field", "Title"), **told)


def change(one: FieldMapping) -> str:
    return pages.page(FieldMapping, "change", one.pk)


HELD: list[dict[str, Any]] = [
    {"transform_rule": "none"},
    {"transform_rule": "phone_e164", "custom_transform": {"region": "GB", "accept": "possible"}},
    {"transform_rule": "date_iso", "custom_transform": {"dayfirst": True, "output": "date"}},
    {"transform_rule": "picklist_map", "custom_transform": {"map": {"One": 1, "Yes": True, "A": "b"}, "unmapped": "pass"}},
    {"transform_rule": "picklist_map", "custom_transform": {"map": {"A": "b"}, "default_inbound": None}},
    {"transform_rule": "custom", "custom_transform": {"inbound": "value.trim()", "outbound": 'value + "<b>"'}},
    {"validations": [
        {"type": "length", "params": {"max": 80}},
        {"type": "enum", "params": {"values": [1, "b"]}, "errorMessage": "No."},
        {"type": "format", "params": {"pattern": "^a+$", "flags": "i"}},
        {"type": "required"},
    ]},
    {"object_overrides": {"Contact": "Account.Name"}},
    {"object_overrides": {"Contact": None}},
]  # fmt: skip


@pytest.mark.parametrize("fields", HELD, ids=lambda one: str(one)[:60])
def test_a_row_that_is_saved_without_a_change_stays_as_it_was(
    fields: dict[str, Any], client: Client, tenant: Tenant
) -> None:
    one = row(tenant, **fields)
    before = (one.custom_transform, one.validations, one.object_overrides)
    said(client, change(one), sent(pages.html(client, change(one)), "dialer_field"))
    kept = reread(one)
    assert (kept.custom_transform, kept.validations, kept.object_overrides) == before


def test_a_table_of_choices_is_filled_in_line_by_line(client: Client, tenant: Tenant) -> None:
    one = row(tenant)
    form = sent(pages.html(client, change(one)), "dialer_field")
    form["transform_rule"] = ["picklist_map"]
    form["custom_transform-map-ours"][:2] = ["Boss", " Clerk "]
    form["custom_transform-map-theirs"][:2] = ["CEO", "Other"]
    form["custom_transform-o-unmapped"] = ["pass"]
    form["custom_transform-o-region"] = ["GB"]
    said(client, change(one), form)
    assert reread(one).custom_transform == {"map": {"Boss": "CEO", "Clerk": "Other"}, "unmapped": "pass"}
    form = sent(pages.html(client, change(one)), "dialer_field")
    form["custom_transform-map-ours"][0] = ""
    said(client, change(one), form)
    assert reread(one).custom_transform == {"map": {"Clerk": "Other"}, "unmapped": "pass"}
    form["transform_rule"] = ["none"]
    said(client, change(one), form)
    assert reread(one).custom_transform is None


def test_a_table_offers_what_the_crm_has(client: Client, tenant: Tenant) -> None:
    with tenancy.everyone():
        crm = CrmConnection.objects.get(tenant=tenant)
    choices = [["Open", "Open - new"], ["Won", "Won"]]
    factories.crm_field(crm, "Status", object_type="Lead", kind="picklist", options=choices)
    table = {"map": {"New": "Open", "Old": "Gone"}, "unmapped": "pass"}
    one = row(
        tenant, dialer_field="lead_status", crm_field="Status", transform_rule="picklist_map", custom_transform=table
    )
    shown = pages.html(client, change(one))
    assert "Open - new (Open)" in shown
    assert "not a choice in the CRM" in shown


def test_checks_are_added_changed_and_removed(client: Client, tenant: Tenant) -> None:
    one = row(tenant)
    form = sent(pages.html(client, change(one)), "dialer_field")
    form |= {"validations-v0-type": ["length"], "validations-v0-max": ["40"], "validations-v0-message": ["Too long."]}
    said(client, change(one), form)
    rule = {"type": "length", "params": {"max": 40}, "errorMessage": "Too long."}
    assert reread(one).validations == [rule]
    form = sent(pages.html(client, change(one)), "dialer_field")
    form |= {"validations-v0-type": [""], "validations-v1-type": ["enum"], "validations-v1-values": ["a\nb"]}
    said(client, change(one), form)
    assert [one["params"] for one in reread(one).validations] == [{"values": ["a", "b"]}]


def test_a_field_lives_elsewhere_on_another_object(client: Client, tenant: Tenant) -> None:
    one = row(tenant)
    form = sent(pages.html(client, change(one)), "dialer_field")
    place = next(name.removesuffix("-path") for name in form if name.endswith("-path"))
    said(client, change(one), form | {place: ["other"], f"{place}-path": ["Account.Name"]})
    assert reread(one).object_overrides == {"Contact": "Account.Name"}
    said(client, change(one), form | {place: ["none"]})
    assert reread(one).object_overrides == {"Contact": None}
    said(client, change(one), form)
    assert reread(one).object_overrides == {}


def test_whoever_may_only_look_reads_words(tenant: Tenant, sign_in: SignIn) -> None:
    one = row(
        tenant, transform_rule="picklist_map", custom_transform={"map": {"New": "Open"}},
        validations=[{"type": "length", "params": {"max": 80}}], object_overrides={"Contact": None},
    )  # fmt: skip
    shown = pages.html(sign_in(factories.viewer(tenant)), change(one))
    for words in ("New → Open", "has a length up to 80", "Contact: not there", "Table of choices"):
        assert words in shown
    assert "{" not in shown[shown.index("New → Open") - 20 : shown.index("Contact: not there")].replace("{%", "")
