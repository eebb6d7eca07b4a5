"""The audit log: who did what to what, when and from where; only added to, and nothing secret in it."""

import csv
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, transaction
from django.db import connection as database
from django.test import Client

from integrations import audit, tenancy
from integrations.admin_audit import safe_cell
from integrations.models import ApiKey, AuditEntry, Tenant
from tests import factories
from tests.admin import pages
from tests.admin.conftest import SignIn
from tests.factories import World

LIST = pages.page(AuditEntry, "changelist")
EXPORT = f"{LIST}export/"


def entries(tenant: Tenant | None = None) -> list[AuditEntry]:
    with tenancy.everyone():
        found = AuditEntry.objects.all() if tenant is None else AuditEntry.objects.filter(tenant=tenant)
        return list(found)


def text(answer: Any) -> str:
    return b"".join(answer.streaming_content).decode()


@pytest.fixture
def boss(tenant: Tenant) -> User:
    return factories.tenant_admin(tenant)


def test_what_is_changed_on_a_page_is_noted_with_person_object_and_address(
    boss: User, tenant: Tenant, sign_in: SignIn
) -> None:
    key = factories.api_key(tenant)
    sign_in(boss).post(pages.page(ApiKey, "change", key.pk), {"name": "Renamed"}, REMOTE_ADDR="198.51.100.7")
    newest = entries(tenant)[0]
    assert (newest.who, newest.action, newest.kind) == (boss.username, "changed", "integrations.apikey")
    assert (newest.object_id, newest.address) == (str(key.pk), "198.51.100.7")
    assert newest.about.startswith("Renamed")


def test_a_button_a_key_and_its_revocation_are_noted(boss: User, tenant: Tenant, sign_in: SignIn) -> None:
    client = sign_in(boss)
    client.post("/admin/integrations/apikey/add/", {"name": "Dialer", "good_for": ""})
    with tenancy.everyone():
        key = ApiKey.objects.get()
    client.post(f"/admin/integrations/apikey/{key.pk}/revoke/")
    assert [(one.action, one.details) for one in entries(tenant)][:2] == [("changed", "Revoked."), ("added", "Added.")]


def test_log_ins_are_noted_also_those_that_fail(boss: User, tenant: Tenant) -> None:
    Client().post("/admin/login/", {"username": boss.username, "password": "wrong"})
    client = Client()
    client.post("/admin/login/", {"username": boss.username, "password": factories.PASSPHRASE})
    client.post("/admin/logout/")
    assert [one.action for one in entries(tenant)] == ["logged out", "logged in", "log-in failed"]


def test_a_name_that_nobody_has_is_not_kept(db: None) -> None:
    Client().post("/admin/login/", {"username": "my secret password", "password": "x"})
    assert [(one.who, one.about, one.details) for one in entries()] == [("", "", "")]


def test_contacts_are_named_by_their_id_alone(tenant: Tenant, boss: User, rf: Any) -> None:
    contact = factories.contact(tenant)
    request = rf.get("/")
    request.user = boss
    audit.note(request, audit.CHANGED, contact)
    newest = entries(tenant)[0]
    assert (newest.kind, newest.object_id, newest.about) == ("sync.contact", str(contact.pk), "")


def test_secrets_are_taken_out_of_details(tenant: Tenant, rf: Any) -> None:
    audit.note(rf.get("/"), audit.CHANGED, tenant, f'{{"access_token": "{factories.ACCESS_TOKEN}"}}')
    assert factories.ACCESS_TOKEN not in entries()[0].details


@pytest.mark.parametrize("statement", ["UPDATE audit_entries SET who = 'x'", "DELETE FROM audit_entries"])
def test_the_database_refuses_to_change_or_delete_an_entry(statement: str, tenant: Tenant) -> None:
    factories.audit_entry(tenant)
    with pytest.raises(DatabaseError, match="only added to"), transaction.atomic(), database.cursor() as cursor:
        cursor.execute(statement)
    assert len(entries()) == 1


def test_nobody_has_a_page_to_change_or_delete_an_entry(root_client: Client, tenant: Tenant) -> None:
    row = factories.audit_entry(tenant)
    assert root_client.get(pages.page(AuditEntry, "delete", row.pk)).status_code == 403
    assert root_client.get(pages.page(AuditEntry, "add")).status_code == 403
    assert 'name="_save"' not in pages.html(root_client, pages.page(AuditEntry, "change", row.pk))


def test_a_tenant_sees_its_own_and_support_sees_all(
    ours: World, theirs: World, admin_client: Client, support_client: Client
) -> None:
    factories.audit_entry(None, who="nobody-in-particular")
    mine, all_of_them = pages.html(admin_client, LIST), pages.html(support_client, LIST)
    assert "stranger" not in mine.lower()
    assert "nobody-in-particular" not in mine
    assert "admin-of-stranger" in all_of_them
    assert "nobody-in-particular" in all_of_them
    assert "stranger" not in text(admin_client.get(EXPORT)).lower()


def test_the_list_is_searched_by_person_and_by_object(tenant: Tenant, support_client: Client) -> None:
    factories.audit_entry(tenant, who="grace")
    factories.audit_entry(tenant, who="ada", object_id="object-7")
    for term, there, gone in (("gra", ">grace<", ">ada<"), ("object-7", ">ada<", ">grace<")):
        shown = pages.html(support_client, f"{LIST}?q={term}")
        assert there in shown
        assert gone not in shown


def test_the_file_holds_what_the_list_shows(tenant: Tenant, support_client: Client) -> None:
    factories.audit_entry(tenant, who="grace")
    factories.audit_entry(tenant, who="ada", details="=HYPERLINK(1)")
    answer = support_client.get(f"{EXPORT}?q=ada")
    assert answer["Content-Type"].startswith("text/csv")
    assert "attachment" in answer["Content-Disposition"]
    rows = list(csv.DictReader(text(answer).splitlines()))
    assert [(row["who"], row["details"], row["tenant"]) for row in rows] == [("ada", "'=HYPERLINK(1)", "Acme")]


@pytest.mark.parametrize("value", ["=1+1", "+1", "-1", "@cmd", "\tx", "\rx"])
def test_a_cell_that_looks_like_a_formula_becomes_text(value: str) -> None:
    assert safe_cell(value) == f"'{value}"


def test_exporting_is_noted_too(tenant: Tenant, support_client: Client) -> None:
    text(support_client.get(EXPORT))
    assert entries()[0].action == "exported"


def test_deleting_several_rows_notes_each(root_client: Client, tenant: Tenant) -> None:
    people = [factories.user(f"gone-{number}") for number in range(2)]
    chosen = {"action": "delete_selected", "_selected_action": [str(one.pk) for one in people], "post": "yes"}
    root_client.post("/admin/auth/user/", chosen)
    assert [one.action for one in entries()].count("deleted") == 2


def test_an_object_that_is_gone_is_still_named(tenant: Tenant, support_client: Client) -> None:
    factories.audit_entry(tenant, kind="gone.model", object_id="7", about="Old name")
    assert "Old name" in pages.html(support_client, LIST)
