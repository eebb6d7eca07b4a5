"""A backup is brought back into a new database: everything is there, secrets open, and no call is logged twice."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection as database
from django.db import connections
from django.utils import timezone
from rest_framework.test import APIClient

from integrations import tenancy
from integrations.models import CrmConnection, Tenant
from integrations.sandbox.server import SandboxServer
from integrations.transport.client import Patience
from sync import feed, restoring
from sync.feed import Position
from sync.models import Contact, Restore, SyncJob
from sync.work import work
from tests import factories
from tests.activities.conftest import link

PATIENCE = Patience(turn=1, retry=0)
BODY = {
    "external_id": "d-1", "provider": "fakecrm", "crm_record_id": "7", "direction": "outbound", "duration_seconds": 60,
    "started_at": "2026-01-21T14:30:00Z", "disposition": "Connected", "notes": "nice weather",
}  # fmt: skip


def told(capsys: pytest.CaptureFixture[str], *command: str) -> dict[str, Any]:
    capsys.readouterr()
    call_command(*command, "--json")
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def counts() -> dict[str, int]:
    with database.cursor() as cursor:
        found = {}
        for table in sorted(database.introspection.table_names(cursor)):
            cursor.execute(f'SELECT count(*) FROM "{table}"')
            found[table] = cursor.fetchone()[0]
    return found


@contextmanager
def new_database() -> Iterator[None]:
    """Inside, everything works on an empty database beside the test's."""
    wrapper: Any = connections["default"]
    before, name = wrapper.settings_dict["NAME"], f"{wrapper.settings_dict['NAME']}_back"
    with database.cursor() as cursor:
        cursor.execute(f'DROP DATABASE IF EXISTS "{name}"')
        cursor.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
    kept = deepcopy(wrapper.settings_dict)
    wrapper.close()
    wrapper.settings_dict["NAME"] = name
    try:
        yield
    finally:
        wrapper.close()
        wrapper.settings_dict.update(kept)
        wrapper.settings_dict["NAME"] = before
        with database.cursor() as cursor:
            cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.mark.django_db(transaction=True)
def test_a_backup_brings_everything_back_and_its_secrets_open(
    tenant: Tenant, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = factories.world(tenant)
    crm: Any = world[CrmConnection]
    with tenancy.everyone():
        CrmConnection.objects.filter(pk=crm.pk).update(access_token="a-very-secret-token")
    file = tmp_path / "site.dump"
    made = told(capsys, "backup", str(file))
    assert (made["file"], made["bytes"]) == (str(file), file.stat().st_size)
    assert file.stat().st_mode & 0o077 == 0
    assert b"a-very-secret-token" not in file.read_bytes()
    before = counts()
    with new_database():
        back = told(capsys, "restore", str(file))
        after = counts()
        with tenancy.everyone():
            assert CrmConnection.objects.get(pk=crm.pk).access_token == "a-very-secret-token"
        fed = feed_ids(tenant)
    assert back["contacts_told_again"] == before["contacts"]
    assert after == {**before, "restores": before["restores"] + 1}
    assert len(fed) == before["contacts"]


def feed_ids(tenant: Tenant, position: Position = Position()) -> list[Any]:  # noqa: B008 - the beginning
    with tenancy.scope(tenant.pk):
        return [one.pk for one in feed.read(position, 100).contacts]


@pytest.mark.django_db
def test_without_its_keys_a_backup_is_refused_before_anything_is_done(
    tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "site.dump"
    note = {"made_at": "2026-01-01T00:00:00+00:00", "version": "x", "keys": ["0123456789abcdef"], "server": 180000}
    (tmp_path / "site.dump.json").write_text(json.dumps(note))
    settings.FIELD_ENCRYPTION_KEY = [Fernet.generate_key().decode()]
    with pytest.raises(CommandError, match="1 of the 1 keys that open the secrets"):
        call_command("restore", str(file))


@pytest.mark.django_db
def test_a_backup_is_never_overwritten_nor_brought_back_over_what_is_there(tmp_path: Path) -> None:
    file = tmp_path / "site.dump"
    file.touch()
    with pytest.raises(CommandError, match="never overwritten"):
        call_command("backup", str(file))
    note = {"made_at": "2026-01-01T00:00:00+00:00", "version": "x", "keys": [], "server": 180000}
    (tmp_path / "site.dump.json").write_text(json.dumps(note))
    with pytest.raises(CommandError, match="not empty"):
        call_command("restore", str(file))


# --- what was done since the backup -----------------------------------------------------------------------------------


@pytest.fixture
def dialer(api_key: str, connection: CrmConnection) -> APIClient:
    with tenancy.everyone():
        link(connection, factories.contact(connection.tenant), "7")
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {api_key}")
    return client


def logged(fake_crm: SandboxServer) -> int:
    return len(list(fake_crm.service.store.all("calls")))


@pytest.mark.django_db
def test_a_call_that_was_logged_after_the_backup_is_not_logged_again(
    dialer: APIClient, connection: CrmConnection, fake_crm: SandboxServer
) -> None:
    """The backup has the job waiting, while the CRM has the call."""
    dialer.post("/api/v1/calls/", BODY)
    with tenancy.scope(connection.tenant_id):
        as_backed_up = SyncJob.objects.values().get(kind="log_call")
        since = timezone.now()
        work(connection.pk, patience=PATIENCE)
        SyncJob.objects.filter(pk=as_backed_up["id"]).update(**as_backed_up)
    assert restoring.put_right(since)["doubtful_jobs"] >= 1
    assert work(connection.pk, patience=PATIENCE)["done"] >= 1
    assert logged(fake_crm) == 1


@pytest.mark.django_db
def test_a_call_that_was_posted_after_the_backup_and_is_posted_again_is_not_logged_again(
    dialer: APIClient, connection: CrmConnection, fake_crm: SandboxServer
) -> None:
    """The backup knows nothing of the call, the dialer posts what it is not sure of, and the CRM has it."""
    since = timezone.now() - timedelta(minutes=5)
    body = {**BODY, "started_at": (timezone.now() - timedelta(minutes=1)).isoformat()}
    first = dialer.post("/api/v1/calls/", body).json()["id"]
    work(connection.pk, patience=PATIENCE)
    with tenancy.everyone(), database.cursor() as cursor:
        for table in ("sync_jobs", "crm_sync_records", "call_activities"):
            where = "WHERE local_table = 'call_activities'" if table == "crm_sync_records" else ""
            cursor.execute(f"DELETE FROM {table} {where}")
    restoring.put_right(since)
    again = dialer.post("/api/v1/calls/", body)
    assert (again.status_code, again.json()["id"]) == (201, first)
    assert work(connection.pk, patience=PATIENCE)["done"] >= 1
    assert logged(fake_crm) == 1
    with tenancy.everyone():
        assert Restore.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_positions_in_the_feed_that_were_given_out_before_stay_good(tenant: Tenant) -> None:
    """A dialer that read on after the backup was made must not miss what is changed after it came back."""
    with tenancy.everyone():
        person = factories.contact(tenant)
    with tenancy.scope(tenant.pk):
        read_to = feed.read(Position(), 100).position
    lost = Position(read_to.xid + 1000, read_to.id)
    restoring.put_right(timezone.now())
    try:
        assert feed_ids(tenant, lost) == [person.pk]
        with tenancy.scope(tenant.pk):
            later = feed.read(lost, 100).position
            Contact.objects.filter(pk=person.pk).update(first_name="Later")
        assert feed_ids(tenant, later) == [person.pk]
    finally:
        with database.cursor() as cursor:
            cursor.execute(
                "CREATE OR REPLACE FUNCTION dialbridge_feed_offset() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT 0::bigint'"
            )
