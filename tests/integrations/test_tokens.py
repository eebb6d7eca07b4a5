import threading
from datetime import timedelta

import pytest
from django.db import connection as database
from django.utils import timezone

from integrations import errors, tenancy
from integrations.models import CrmConnection
from integrations.sandbox.server import SandboxServer
from integrations.transport.tokens import fresh_credential
from tests.fake_crm.provider import Provider


def set_expiry(connection: CrmConnection, seconds: float) -> None:
    with tenancy.everyone():
        connection.token_expires_at = timezone.now() + timedelta(seconds=seconds)
        connection.save()


def stored(connection: CrmConnection) -> CrmConnection:
    with tenancy.everyone():
        row: CrmConnection = CrmConnection.objects.get(pk=connection.pk)
        return row


def refreshes(server: SandboxServer) -> int:
    return int((server.service.store.get("_counters", "refreshes") or {"value": 0})["value"])


def test_a_token_that_is_good_for_minutes_is_used_as_it_is(connection: CrmConnection, fake_crm: SandboxServer) -> None:
    set_expiry(connection, 600)
    assert fresh_credential(connection.pk, Provider).access_token == "access-0"
    assert refreshes(fake_crm) == 0


def test_a_token_about_to_expire_is_renewed_and_the_rotated_refresh_token_kept(
    connection: CrmConnection, fake_crm: SandboxServer
) -> None:
    set_expiry(connection, 30)
    assert fresh_credential(connection.pk, Provider).access_token == "access-1"
    row = stored(connection)
    assert (row.access_token, row.refresh_token) == ("access-1", "refresh-1")
    assert row.token_expires_at is not None
    assert row.token_expires_at > timezone.now() + timedelta(minutes=50)


def test_a_refused_token_is_renewed_whatever_its_expiry_says(
    connection: CrmConnection, fake_crm: SandboxServer
) -> None:
    set_expiry(connection, 600)
    assert fresh_credential(connection.pk, Provider, refused="access-0").access_token == "access-1"


def test_somebody_elses_fresh_token_is_taken_instead_of_renewing_again(
    connection: CrmConnection, fake_crm: SandboxServer
) -> None:
    assert fresh_credential(connection.pk, Provider, refused="an-older-token").access_token == "access-0"
    assert refreshes(fake_crm) == 0


@pytest.mark.django_db(transaction=True)
def test_ten_at_once_renew_a_rotating_token_exactly_once(connection: CrmConnection, fake_crm: SandboxServer) -> None:
    set_expiry(connection, 1)
    tokens: list[str] = []

    def ask() -> None:
        tokens.append(fresh_credential(connection.pk, Provider).access_token)
        database.close()

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tokens == ["access-1"] * 10
    assert refreshes(fake_crm) == 1
    assert stored(connection).status == "connected"


def test_a_revoked_credential_is_marked_once_and_never_asked_for_again(
    connection: CrmConnection, fake_crm: SandboxServer
) -> None:
    set_expiry(connection, 1)
    token = fake_crm.service.store.get("tokens", "current") or {}
    fake_crm.service.store.put("tokens", "current", {**token, "dead": True})
    for _ in range(3):
        with pytest.raises(errors.Reconnect, match="revoked this connection"):
            fresh_credential(connection.pk, Provider)
    assert refreshes(fake_crm) == 1
    row = stored(connection)
    assert (row.status, row.status_reason) == ("needs_reconnecting", "The fake CRM has revoked this connection.")


def test_a_stumbling_token_service_does_not_cost_the_token_at_hand(
    connection: CrmConnection, fake_crm: SandboxServer
) -> None:
    set_expiry(connection, 30)
    fake_crm.service.faults.set([{"kind": "status", "status": 503, "match": "/token"}])
    assert fresh_credential(connection.pk, Provider).access_token == "access-0"
    assert stored(connection).status == "connected"
