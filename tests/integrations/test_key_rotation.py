"""Stored secrets get the first key while the system runs; nothing that changes meanwhile is put back."""

import json
import threading
from collections.abc import Iterator, Sequence
from io import StringIO
from typing import Any

import pytest
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.core import signing
from django.core.management import call_command
from django.db import connection as database
from django.db import connections, transaction
from django.test import Client
from encrypted_model_fields import fields as library

from integrations import key_rotation, tenancy
from integrations.fields import WrongKey
from integrations.models import ConsentAttempt, CrmConnection, Tenant
from tests import factories

OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))


class Site:
    """What a process that was started with these keys would do."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
        self._monkeypatch, self._settings = monkeypatch, settings

    def start_with(self, *keys: str) -> None:
        self._settings.FIELD_ENCRYPTION_KEY = list(keys)
        self._monkeypatch.setattr(library, "CRYPTER", MultiFernet([Fernet(key) for key in keys]))


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Site:
    made = Site(monkeypatch, settings)
    made.start_with(OLD)
    return made


@pytest.fixture
def row(site: Site, tenant: Tenant) -> CrmConnection:
    return factories.connection(tenant)


@pytest.fixture(autouse=True)
def at_large() -> Iterator[None]:
    with tenancy.everyone():
        yield


def command(*, fails: bool = False) -> tuple[dict[str, Any], str]:
    out = StringIO()
    if fails:
        with pytest.raises(SystemExit) as ended:
            call_command("rotate_keys", "--json", stdout=out)
        assert ended.value.code == 1
    else:
        call_command("rotate_keys", "--json", stdout=out)
    return json.loads(out.getvalue()), out.getvalue()


def of_connections(told: dict[str, Any], name: str = "access_token") -> dict[str, Any]:
    return next(one for one in told["columns"] if (one["model"], one["field"]) == ("integrations.CrmConnection", name))


def set_raw(row: CrmConnection, column: str, value: str) -> None:
    with database.cursor() as cursor:
        cursor.execute(f"UPDATE crm_credentials SET {column} = %s WHERE id = %s", [value, row.pk])


def test_after_a_rotation_the_new_key_alone_reads_everything(site: Site, row: CrmConnection) -> None:
    attempt = factories.consent_attempt(row)
    before = CrmConnection.objects.get()
    site.start_with(NEW, OLD)
    told, _text = command()
    assert told["done"]
    assert of_connections(told)["rotated"] == 1
    site.start_with(NEW)
    after = CrmConnection.objects.get()
    assert (after.access_token, after.refresh_token, after.secrets) == (
        factories.ACCESS_TOKEN, factories.REFRESH_TOKEN, before.secrets,
    )  # fmt: skip
    assert after.updated_at == before.updated_at
    assert ConsentAttempt.objects.get(pk=attempt.pk).secrets == attempt.secrets


def test_without_a_rotation_the_new_key_reads_nothing(site: Site, row: CrmConnection) -> None:
    site.start_with(NEW)
    with pytest.raises(WrongKey):
        CrmConnection.objects.get()


def test_every_encrypted_column_is_found() -> None:
    found = {(model._meta.label, one.name) for model, one in key_rotation.encrypted_columns()}
    assert found >= {
        ("integrations.CrmConnection", "access_token"),
        ("integrations.CrmConnection", "refresh_token"),
        ("integrations.CrmConnection", "secrets"),
        ("integrations.ConsentAttempt", "secrets"),
    }


def test_a_second_pass_finds_nothing_to_do(site: Site, row: CrmConnection) -> None:
    site.start_with(NEW, OLD)
    command()
    told = of_connections(command()[0])
    assert (told["rotated"], told["current"]) == (0, 1)


def test_a_pass_that_was_broken_off_is_begun_again(
    site: Site, tenant: Tenant, stranger: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    for owner in (tenant, stranger):
        factories.connection(owner)
    site.start_with(NEW, OLD)
    real, calls = key_rotation._Table.swap, []

    def pulled_out(self: Any, stale: Sequence[Any], *, wait: bool = False) -> list[Any]:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, stale, wait=wait)

    with monkeypatch.context() as power:
        power.setattr(key_rotation._Table, "swap", pulled_out)
        with pytest.raises(KeyboardInterrupt):
            key_rotation.rotate(at_once=1)
    told = of_connections(command()[0])
    assert (told["rotated"], told["current"]) == (1, 1)


def test_a_value_that_no_key_opens_is_named_and_never_shown(site: Site, row: CrmConnection, stranger: Tenant) -> None:
    lost = Fernet(Fernet.generate_key()).encrypt(b"hush").decode()
    other = factories.connection(stranger)
    set_raw(row, "access_token", lost)
    site.start_with(NEW, OLD)
    told, text = command(fails=True)
    assert (of_connections(told)["unreadable"], of_connections(told)["rotated"]) == ([str(row.pk)], 1)
    assert lost not in text
    assert not told["done"]
    out = StringIO()
    with pytest.raises(SystemExit):
        call_command("rotate_keys", stdout=out)
    assert f"integrations.CrmConnection {row.pk}: no key opens its access_token" in out.getvalue()
    assert str(other.pk) not in out.getvalue()


def test_a_token_that_is_renewed_between_reading_and_writing_is_kept(
    site: Site, row: CrmConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.start_with(NEW, OLD)
    real = key_rotation._Table.swap

    def overtaken(self: Any, stale: Sequence[Any], *, wait: bool = False) -> list[Any]:
        if not wait and self.field.name == "refresh_token":
            # As a process that has only the old key in front would write it.
            set_raw(row, "refresh_token", Fernet(OLD).encrypt(b"renewed").decode())
        return real(self, stale, wait=wait)

    monkeypatch.setattr(key_rotation._Table, "swap", overtaken)
    told, _text = command()
    assert of_connections(told, "refresh_token")["rotated"] == 1
    site.start_with(NEW)
    assert CrmConnection.objects.get().refresh_token == "renewed"


@pytest.mark.django_db(transaction=True)
def test_a_token_that_is_being_renewed_is_waited_for_and_holds_up_no_other_row(
    site: Site, row: CrmConnection, stranger: Tenant
) -> None:
    other = factories.connection(stranger)
    site.start_with(NEW, OLD)
    told: list[key_rotation.Column] = []

    def pass_over() -> None:
        told.extend(key_rotation.rotate())
        connections.close_all()

    with transaction.atomic():
        held = CrmConnection.objects.select_for_update(of=("self",)).get(pk=row.pk)
        rotation = threading.Thread(target=pass_over)
        rotation.start()
        for _ in range(200):
            if other_is_new(other):
                break
            rotation.join(0.02)
        assert other_is_new(other), "it was reached while the first row was held"
        assert rotation.is_alive()
        held.access_token = "renewed meanwhile"
        held.save()
    rotation.join(10)
    assert not rotation.is_alive()
    assert all(one.is_done for one in told)
    site.start_with(NEW)
    assert CrmConnection.objects.get(pk=row.pk).access_token == "renewed meanwhile"
    assert CrmConnection.objects.get(pk=row.pk).refresh_token == factories.REFRESH_TOKEN


def other_is_new(other: CrmConnection) -> bool:
    with database.cursor() as cursor:
        cursor.execute("SELECT access_token FROM crm_credentials WHERE id = %s", [other.pk])
        stored = cursor.fetchone()[0]
    try:
        return Fernet(NEW).decrypt(stored.encode()).decode() == factories.ACCESS_TOKEN
    except InvalidToken:
        return False


def test_with_another_secret_key_sessions_and_links_stay_good_while_the_former_one_is_named(
    tenant: Tenant, settings: Any
) -> None:
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "a former secret " * 4, []
    client, link = Client(), signing.dumps("of a person", salt="of the test")
    client.force_login(factories.superuser())
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another secret " * 4, ["a former secret " * 4]
    assert client.get("/admin/password_change/").status_code == 200
    assert signing.loads(link, salt="of the test") == "of a person"
    settings.SECRET_KEY_FALLBACKS = []
    assert client.get("/admin/password_change/").status_code == 200, "the session was signed anew meanwhile"
    with pytest.raises(signing.BadSignature):
        signing.loads(link, salt="of the test")
