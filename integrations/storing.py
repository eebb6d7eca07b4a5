"""Stores a credential that was tried out, and keeps an account from being attached to the wrong connection."""

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.dispatch import Signal
from django.utils import timezone

from integrations import errors
from integrations.models import CrmConnection, Tenant
from integrations.records.connections import Account, Credential
from integrations.registry import provider_label

account_replaced = Signal()
"""Sent with `connection` and `before`, the former account's id, in the transaction that gives a connection another account."""


def store(
    tenant: Tenant, slug: str, credential: Credential, account: Account, settings: Mapping[str, Any], *, replace: bool
) -> CrmConnection:
    """The tenant's connection with this credential. Raises FixConfig for an account that belongs elsewhere.

    `replace` lets a disconnected connection take another account; what was learned about the former one is forgotten.
    """
    try:
        with transaction.atomic():
            row = CrmConnection.objects.select_for_update(of=("self",)).filter(
                tenant=tenant, provider=slug
            ).first() or CrmConnection(tenant=tenant, provider=slug)
            before = row.account_id
            moved = _is_other_account(row, account)
            if moved:
                _refuse_other_account(row, account, replace)
            _fill(row, credential, account, settings, forget=moved)
            row.save()
            if moved:
                account_replaced.send(sender=CrmConnection, connection=row, before=before)
    except IntegrityError as error:
        raise errors.FixConfig(
            f"This {provider_label(slug)} account is connected to another tenant already. "
            "Disconnect it there first, or use another account.",
            cause="account_taken",
        ) from error
    found: CrmConnection = row
    return found


def _fill(
    row: CrmConnection, credential: Credential, account: Account, settings: Mapping[str, Any], *, forget: bool
) -> None:
    row.take(credential)
    row.settings = {**row.settings, **settings}
    learned = {} if forget else row.metadata
    row.metadata = {**learned, "user": account.user, "warnings": list(account.warnings)}
    row.account_id, row.account_name, row.account_url = account.external_id, account.name[:200], account.url
    row.status, row.status_reason, row.status_since = CrmConnection.Status.CONNECTED, "", timezone.now()


def _is_other_account(row: CrmConnection, account: Account) -> bool:
    return bool(row.account_id and account.external_id and row.account_id != account.external_id)


def _refuse_other_account(row: CrmConnection, account: Account, replace: bool) -> None:
    gone = row.status == CrmConnection.Status.DISCONNECTED
    if gone and replace:
        return
    ways = (
        "Connect the first account again, or say expressly that another account takes its place; the old links are "
        "forgotten then."
        if gone
        else "Connect with a credential of the first account. To move to the other account, disconnect this one first."
    )
    raise errors.FixConfig(
        f"This connection belongs to {row.account_name or row.account_id}, the new credential to "
        f"{account.name or account.external_id}. Its links point to the first account's records. {ways}",
        cause="other_account",
    )
