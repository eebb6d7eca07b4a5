"""Access tokens: renewed early, renewed on a 401, and by one process at a time.

The connection's row is locked while the token service is asked. Whoever waited for the lock reads the row again and finds
the others' fresh token. What came back is committed before anybody uses it, since a rotated refresh token exists nowhere
else. A credential that only a person can mend is marked once; from then on nobody asks.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import requests
from django.db import transaction
from django.utils import timezone

from integrations import errors, prepared, tenancy
from integrations.contract.ports import TokenCall
from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from integrations.records.connections import Credential
from integrations.transport.hosts import check_url
from integrations.transport.reading import read_whole

EARLY = timedelta(seconds=90)
TIMEOUT = (5, 20)
"""Seconds to connect and to wait for an answer."""


_STORED = """
SELECT status, auth, access_token, refresh_token, instance_url, token_expires_at, secrets, scopes
FROM crm_credentials WHERE id = %s::uuid
"""


class Opened:
    """A usable credential and the row that it was read from: what is stored is decrypted when it changes, not for each request."""

    def __init__(self) -> None:
        self._row: tuple[Any, ...] | None = None
        self._credential = Credential(auth="", access_token="")

    def read(self, connection_id: UUID) -> Credential:
        """What is stored now. Raises Reconnect for a connection that is not to be used."""
        found = next(iter(prepared.rows(_STORED, [connection_id])), None)
        if found is None or found != self._row:
            row: CrmConnection = CrmConnection.objects.get(pk=connection_id)
            _refuse_unusable(row)
            self._row, self._credential = found, row.credential()
        return self._credential


def fresh_credential(
    connection_id: UUID, provider: type[CrmProvider], *, refused: str = "", opened: Opened | None = None
) -> Credential:
    """A credential whose access token is good for another minute, as far as anybody can tell.

    `refused` is the access token that the service just answered 401 to: a different stored one is taken as it is, the same
    one is renewed. Raises Reconnect when only a person can help.
    """
    with tenancy.everyone():
        credential = (opened or Opened()).read(connection_id)
        if not _is_stale(credential, provider, refused):
            return credential
        return _renew_locked(connection_id, provider, refused)


def _renew_locked(connection_id: UUID, provider: type[CrmProvider], refused: str) -> Credential:
    failure: errors.Reconnect
    with transaction.atomic(durable=True):
        row: CrmConnection = CrmConnection.objects.select_for_update(of=("self",), no_key=True).get(pk=connection_id)
        _refuse_unusable(row)
        credential = row.credential()
        if not _is_stale(credential, provider, refused):
            return credential
        try:
            renewed = provider.renew(credential, token_call(provider), timezone.now())
        except errors.Reconnect as error:
            mark_needs_reconnecting(row, error)
            failure = error
        except errors.Retry:
            if refused or not credential.access_token:
                raise
            return credential  # early renewal can wait: the token at hand may still be good
        else:
            # Written in the same transaction as the call; it commits before the new token is used anywhere.
            row.take(replace(renewed, refresh_token=renewed.refresh_token or credential.refresh_token))
            row.save()
            return row.credential()
    raise failure


def _is_stale(credential: Credential, provider: type[CrmProvider], refused: str) -> bool:
    if refused:
        return credential.access_token == refused
    if not provider.renewable(credential):
        return False
    if not credential.access_token:
        return True
    return credential.expires_at is not None and credential.expires_at - EARLY <= timezone.now()


def _refuse_unusable(row: CrmConnection) -> None:
    if row.status == CrmConnection.Status.NEEDS_RECONNECTING:
        raise errors.Reconnect(row.status_reason or "This connection has to be connected again.")
    if row.status == CrmConnection.Status.DISCONNECTED:
        raise errors.Reconnect("This connection was disconnected. Connect again to go on.")


def mark_needs_reconnecting(row: CrmConnection, error: errors.CrmError) -> None:
    """Stops the connection until a person connects it again. Its waiting work stays as it is."""
    row.status = CrmConnection.Status.NEEDS_RECONNECTING
    row.status_reason = error.message
    row.status_since = timezone.now()
    row.save(update_fields=["status", "status_reason", "status_since", "updated_at"])


def refuse_connection(connection_id: UUID, error: errors.CrmError) -> None:
    """Marks a connection whose credential can't be renewed and was refused."""
    with tenancy.everyone(), transaction.atomic():
        row = CrmConnection.objects.select_for_update(of=("self",)).get(pk=connection_id)
        if row.status == CrmConnection.Status.CONNECTED:
            mark_needs_reconnecting(row, error)


def token_call(provider: type[CrmProvider]) -> TokenCall:
    """Sends single requests to the token endpoints of this provider."""

    def call(
        url: str, form: Mapping[str, str], *, basic: tuple[str, str] | None = None, method: str = "POST"
    ) -> requests.Response:
        check_url(url, provider.hosts, provider.label)
        with requests.Session() as session:
            session.trust_env = False  # a .netrc must not replace our own credentials
            try:
                answer = session.request(
                    method,
                    url,
                    data=dict(form),
                    auth=basic,
                    headers={"Accept": "application/json"},
                    timeout=TIMEOUT,
                    allow_redirects=False,
                    stream=True,
                )
                return read_whole(answer)
            except requests.RequestException as error:
                raise errors.Retry(
                    f"The log-in service of {provider.label} did not answer. We will try again.", detail=str(error)
                ) from error

    return call
