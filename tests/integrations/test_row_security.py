"""In the web process no statement reaches another tenant's rows, however it was written, and everything else works as before."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from difflib import unified_diff
from typing import Any
from uuid import UUID

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import DatabaseError, connections, transaction
from django.db import connection as database
from django.db.models import Model
from django.test import Client

from config.postgresql.base import DatabaseWrapper
from integrations import row_security, tenancy
from integrations.models import CrmConnection, Tenant
from integrations.row_security import POLICY, WEB_ROLE
from sync.models import Contact
from sync.records_search import find
from tests import factories
from tests.admin import pages
from tests.row_security import web_role

OWNED: list[type[Model]] = sorted(
    (
        model
        for model in apps.get_models()
        if issubclass(model, tenancy.TenantOwned)
        or model is Tenant
        or any(field.related_model is CrmConnection for field in model._meta.concrete_fields)
    ),
    key=lambda model: model._meta.db_table,
)
"""Every model whose rows belong to one tenant, told from the models alone."""
TOLD = "SELECT current_setting('dialbridge.tenants', true)"


def ask(sql: str, *params: Any) -> list[Any]:
    with database.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall()) if cursor.description else [(cursor.rowcount,)]


def of_tenant(model: type[Model], tenant_id: UUID) -> tuple[str, UUID]:
    """A condition in SQL for the rows of a tenant, and its value."""
    if model is Tenant:
        return "id = %s", tenant_id
    if issubclass(model, tenancy.TenantOwned):
        return "tenant_id = %s", tenant_id
    return "connection_id IN (SELECT id FROM crm_credentials WHERE tenant_id = %s)", tenant_id


@pytest.fixture
def both(tenant: Tenant, stranger: Tenant) -> None:
    """A row of everything for each of two tenants."""
    for owner in (tenant, stranger):
        factories.world(owner)


def test_every_table_with_tenants_rows_has_a_policy(db: None) -> None:
    protected = {row[0] for row in ask("SELECT tablename FROM pg_policies WHERE policyname = %s", POLICY)}
    switched_on = {row[0] for row in ask("SELECT relname FROM pg_class WHERE relrowsecurity")}
    assert len(OWNED) > 40
    assert {model._meta.db_table for model in OWNED} - (protected & switched_on) == set()
    named = ask(
        "SELECT table_name FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)"
        " WHERE table_type = 'BASE TABLE' AND column_name IN ('tenant_id', 'connection_id')"
    )
    assert {row[0] for row in named} - protected == set(), "tables without a model"


def test_the_role_of_the_web_owns_nothing_and_passes_no_policy_by(db: None) -> None:
    assert ask(
        "SELECT rolsuper, rolbypassrls, rolcanlogin, rolcreaterole FROM pg_roles WHERE rolname = %s", WEB_ROLE
    ) == [(False, False, False, False)]
    assert ask("SELECT count(*) FROM pg_class WHERE relowner = %s::regrole", WEB_ROLE) == [(0,)]


def test_a_statement_by_hand_in_another_tenants_scope_reaches_nothing(
    both: None, tenant: Tenant, stranger: Tenant
) -> None:
    """The same rows are there for their owner, so that nothing is not the answer to everything."""
    reached = []
    for model in OWNED:
        table = model._meta.db_table
        condition, theirs = of_tenant(model, stranger.pk)
        with tenancy.everyone():
            [(there,)] = ask(f"SELECT count(*) FROM {table} WHERE {condition}", theirs)
        column = model._meta.pk.column
        statements = [
            f"SELECT 1 FROM {table} WHERE {condition}",
            f"UPDATE {table} SET {column} = {column} WHERE {condition}",
            f"DELETE FROM {table} WHERE {condition}",
        ]
        if table == "audit_entries":  # which the role may not even try to change
            del statements[1:]
        for statement in statements:
            for scope in (tenancy.scope(tenant.pk), tenancy.scope(), tenancy.entered(None)):
                with scope, web_role():
                    found = ask(statement, theirs)
                if found not in ([], [(0,)]):
                    reached.append(statement)
        with tenancy.scope(stranger.pk), web_role():
            [(seen,)] = ask(f"SELECT count(*) FROM {table} WHERE {condition}", theirs)
        if seen != there:
            reached.append(f"{table}: its owner sees {seen} of {there}")
    assert reached == []


def test_a_row_of_another_tenant_can_not_be_written_by_hand(both: None, tenant: Tenant, stranger: Tenant) -> None:
    written = []
    for model in OWNED:
        table = model._meta.db_table
        if model is Tenant or not issubclass(model, tenancy.TenantOwned):
            continue
        columns = ", ".join(
            f'"{row[0]}"'
            for row in ask(
                "SELECT column_name FROM information_schema.columns WHERE table_name = %s AND is_generated = 'NEVER'",
                table,
            )
        )
        with tenancy.scope(tenant.pk), web_role():
            if not ask(f"SELECT 1 FROM {table} LIMIT 1"):
                continue
            copied = (
                f"INSERT INTO {table} ({columns}) SELECT {columns} FROM (SELECT (jsonb_populate_record(NULL::{table}, "
                f"to_jsonb(one) || jsonb_build_object('tenant_id', %s::text))).* FROM {table} one LIMIT 1) copy"
            )
            try:
                with transaction.atomic():
                    ask(copied, str(stranger.pk))
                written.append(table)
            except DatabaseError as error:
                if "row-level security" not in str(error):
                    written.append(f"{table}: {error}")
    assert written == []


def test_everyone_sees_every_tenants_rows(both: None) -> None:
    with tenancy.everyone(), web_role():
        assert ask("SELECT count(DISTINCT tenant_id) FROM contacts") == [(2,)]


def test_what_workers_and_commands_do_is_not_watched(both: None) -> None:
    assert ask("SELECT count(DISTINCT tenant_id) FROM contacts") == [(2,)]


# --- what the server is told ---------------------------------------------------------------------------------------------

ONE, TWO = UUID(int=1), UUID(int=2)


@pytest.fixture(params=["a connection kept open", "connections from a pool"])
def watched(request: pytest.FixtureRequest, db: None) -> Iterator[Any]:
    """A further connection as the web has it."""
    options = {**database.settings_dict["OPTIONS"], "assume_role": WEB_ROLE}
    if "pool" in request.param:
        options["pool"] = {"min_size": 1, "max_size": 1, "timeout": 30}
    made = DatabaseWrapper({**database.settings_dict, "OPTIONS": options, "CONN_MAX_AGE": 0}, alias="watched")
    connections["watched"] = made
    yield made
    made.close()
    if made.pool:
        made.close_pool()
    del connections["watched"]


def told(of: Any) -> str:
    with of.cursor() as cursor:
        cursor.execute(TOLD)
        return str(cursor.fetchone()[0] or "")


def test_the_server_is_told_the_scope_in_force_at_each_statement(watched: Any) -> None:
    assert told(watched) == ""
    with tenancy.scope(ONE):
        assert told(watched) == f"{{{ONE}}}"
        with tenancy.everyone():
            assert told(watched) == "*"
        assert told(watched) == f"{{{ONE}}}"
        tenancy.narrow(frozenset({TWO}))
        assert told(watched) == f"{{{TWO}}}"
    assert told(watched) == ""


def test_a_cursor_that_was_opened_in_another_scope_obeys_the_one_in_force(watched: Any) -> None:
    with watched.cursor() as cursor:
        with tenancy.scope(ONE):
            cursor.execute(TOLD)
            assert cursor.fetchone() == (f"{{{ONE}}}",)
        with tenancy.scope(TWO):
            cursor.executemany(
                "SELECT set_config('dialbridge.seen', current_setting('dialbridge.tenants'), %s)", [[False]]
            )
    assert told_by(watched, "dialbridge.seen") == f"{{{TWO}}}"


def told_by(of: Any, name: str) -> str:
    with of.cursor() as cursor:
        cursor.execute("SELECT current_setting(%s, true)", [name])
        return str(cursor.fetchone()[0])


def test_the_server_is_told_again_after_a_rollback(watched: Any) -> None:
    with tenancy.scope(ONE):
        told(watched)
    with tenancy.scope(TWO):
        with transaction.atomic(using="watched"):
            assert told(watched) == f"{{{TWO}}}"
            transaction.set_rollback(True, using="watched")
        assert told(watched) == f"{{{TWO}}}"


def test_the_server_is_told_again_after_a_savepoint_is_rolled_back(watched: Any) -> None:
    with tenancy.scope(ONE), transaction.atomic(using="watched"):
        told(watched)
        with tenancy.scope(TWO), transaction.atomic(using="watched"):
            assert told(watched) == f"{{{TWO}}}"
            transaction.set_rollback(True, using="watched")
        assert told(watched) == f"{{{ONE}}}"
        with tenancy.scope(TWO):
            assert told(watched) == f"{{{TWO}}}"


def test_a_failed_statement_is_told_as_itself_and_the_next_one_works(watched: Any) -> None:
    with tenancy.scope(ONE), transaction.atomic(using="watched"):
        with (
            pytest.raises(DatabaseError, match="division by zero"),
            transaction.atomic(using="watched"),
            tenancy.scope(TWO),
            watched.cursor() as cursor,
        ):
            cursor.execute("SELECT 1 / 0")
        assert told(watched) == f"{{{ONE}}}"


def test_statements_that_are_sent_together_are_each_in_their_scope(watched: Any) -> None:
    with watched.cursor():
        pass
    with watched.connection.pipeline(), tenancy.scope(ONE), watched.cursor() as cursor:
        cursor.execute(TOLD)
        with tenancy.scope(TWO), watched.cursor() as other:
            other.execute(TOLD)
            assert (cursor.fetchone(), other.fetchone()) == ((f"{{{ONE}}}",), (f"{{{TWO}}}",))
    with tenancy.scope(ONE):
        assert told(watched) == f"{{{ONE}}}"


def test_a_connection_that_goes_round_never_brings_the_last_users_scope(watched: Any) -> None:
    with tenancy.scope(ONE):
        assert told(watched) == f"{{{ONE}}}"
        watched.close()
    assert told(watched) == ""
    watched.close()
    with tenancy.scope(TWO):
        watched.ensure_connection()
        watched.set_autocommit(False)
        assert told(watched) == f"{{{TWO}}}"
        watched.close()  # in the middle of a transaction: a pool rolls it back
    watched.set_autocommit(True)
    with tenancy.scope(TWO):
        assert told(watched) == f"{{{TWO}}}"


def test_threads_are_each_in_their_own_scope(watched: Any) -> None:
    def in_scope(tenant_id: UUID) -> set[str]:
        mine = DatabaseWrapper({**watched.settings_dict}, alias="watched")
        try:
            with tenancy.scope(tenant_id):
                return {told(mine) for _ in range(20)}
        finally:
            mine.close()

    ids = [UUID(int=number) for number in range(1, 7)]
    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(in_scope, ids)) == [{f"{{{one}}}"} for one in ids]


def test_a_scope_of_several_tenants_is_told_whole(both: None, tenant: Tenant, stranger: Tenant) -> None:
    with tenancy.scope(tenant.pk, stranger.pk), web_role():
        assert ask("SELECT count(*) FROM tenants") == [(2,)]


# --- the product behind it -----------------------------------------------------------------------------------------------

_CHANGING = re.compile(
    r'csrfmiddlewaretoken" value="[^"]+"|nonce="[^"]+"|(?:\d+|a|now)\s(?:second|minute)s?|<time.*?</time>|\b\d\d?:\d\d(:\d\d)?\b'
    r'|"csrf[^,]+'
)
FEW = 12
"""Every so manyth page is opened: the same machinery stands behind all of them."""


@pytest.mark.parametrize("who", ["tenant admin", "support"])
def test_pages_show_the_same_behind_row_level_security(who: str, tenant: Tenant, stranger: Tenant) -> None:
    ours = factories.world(tenant)
    factories.world(stranger)
    client = Client()
    client.force_login(ours[User] if who == "tenant admin" else factories.support())
    wanted = sorted({*pages.plain_urls(), *pages.row_urls(ours)})[::FEW]
    assert len(wanted) > 15
    differ = []
    for url in wanted:
        open_ = client.get(url)
        with web_role():
            behind = client.get(url)
        lines = [line for line in unified_diff(_lines(open_), _lines(behind), n=0, lineterm="") if line[1:].strip()]
        if open_.status_code != behind.status_code or lines:
            differ.append(f"{url}: {open_.status_code}, {behind.status_code}: {lines[:6]}")
    assert differ == []


def _lines(response: Any) -> list[str]:
    return [] if response.streaming else _CHANGING.sub("", response.content.decode()).splitlines()


def test_names_are_found_behind_row_level_security_and_nobody_elses(tenant: Tenant, stranger: Tenant) -> None:
    ours = factories.contact(tenant, first_name="Anna Maria", last_name="van der Berg")
    theirs = factories.contact(stranger, first_name="Anna Maria", last_name="van der Berg")
    for term in ("van der", "anna", "Berg, Anna", "maria berg", "ANNA MARIA VAN DER BERG"):
        with tenancy.scope(tenant.pk), web_role():
            assert [hit.row.pk for hit in find(term)] == [ours.pk], term
        with tenancy.everyone(), web_role():
            assert {hit.row.pk for hit in find(term)} == {ours.pk, theirs.pk}, term
    with tenancy.scope(tenant.pk), web_role():
        [(found,)] = ask(
            "SELECT count(*) FROM dialbridge_contacts_named(%s::uuid[], '', 'van%%', false, 10)", [stranger.pk]
        )
    assert found == 0, "the function heeds the scope as well"


def test_the_list_of_contacts_is_read_by_its_index_behind_row_level_security(tenant: Tenant) -> None:
    with tenancy.scope(tenant.pk):
        rows = Contact.objects.filter(tenant=tenant).order_by("last_name", "first_name", "id")[:100]
        with web_role():
            ask("SET LOCAL enable_seqscan = off")
            ask("SET LOCAL enable_sort = off")
            plan = rows.explain()
    assert "contact_by_name" in plan
    assert "Sort" not in plan


# --- the role ------------------------------------------------------------------------------------------------------------


def test_a_role_that_is_not_there_is_explained_with_what_to_run(db: None) -> None:
    assert row_security.problem(WEB_ROLE) == ""
    said = row_security.problem("nobody_of_that_name")
    assert 'CREATE ROLE "nobody_of_that_name" NOLOGIN' in said
    assert "migrate" in said


def test_protecting_again_changes_nothing(db: None) -> None:
    before = ask("SELECT tablename, policyname, qual FROM pg_policies ORDER BY 1")
    acl = ask("SELECT relname, relacl::text FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1")
    row_security.protect(list(apps.get_app_configs())[-1], using="default")
    assert ask("SELECT tablename, policyname, qual FROM pg_policies ORDER BY 1") == before
    assert (
        ask("SELECT relname, relacl::text FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1") == acl
    )
