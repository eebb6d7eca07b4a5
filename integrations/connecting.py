"""Connects a tenant to a CRM: try the credential, see whose it is, then store it."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings as django_settings
from django.db import IntegrityError, transaction
from django.dispatch import Signal
from django.utils import timezone

from integrations import errors
from integrations.crm import open_crm
from integrations.models import CrmConnection, Tenant
from integrations.providers.base import CrmProvider
from integrations.records import Account, Connection, Credential
from integrations.registry import provider_class, provider_label
from integrations.transport.client import PERSON
from integrations.transport.trial import TrialApi

connected = Signal()
"""Sent with `connection` and `provider` once a connection is stored and works; apps above add what they need."""

SECRET_WORDS = ("secret", "password", "private_key", "token")


def connect(tenant: Tenant, slug: str, data: Mapping[str, Any]) -> tuple[CrmConnection, Account]:
    """Tests the credential against the CRM, then stores it and prepares the account. Safe to repeat: it reconnects.

    Raises the CRM's error and stores nothing when the test fails; FixConfig when the credential belongs to another account
    than this connection, or to an account that is connected elsewhere.
    """
    provider = provider_class(slug)
    chosen, hidden = split_settings(data.get("settings") or {})
    credential = provider.parse_credential({**data, **hidden})
    account, credential = try_out(provider, credential, chosen, tenant)
    row = _store(tenant, slug, credential, account, chosen)
    prepare(row)
    return row, account


def try_out(
    provider: type[CrmProvider], credential: Credential, settings: Mapping[str, Any], tenant: Tenant
) -> tuple[Account, Credential]:
    """Asks the CRM whose credential this is. The credential that comes back may be a renewed one."""
    api = TrialApi(provider, credential)
    trial = Connection(id="trial", tenant_id=str(tenant.pk), region=tenant.region, settings=settings)
    return provider(trial, api).identify(), api.credential


def prepare(row: CrmConnection) -> None:
    """Sets the account up for us and tells the apps above. Safe to repeat."""
    provider, _api = open_crm(row, PERSON)
    learned = dict(provider.prepare())
    warnings = [*row.metadata.get("warnings", []), *learned.pop("warnings", [])]
    row.metadata = {**row.metadata, **learned, "warnings": list(dict.fromkeys(warnings))}
    row.save(update_fields=["metadata", "updated_at"])
    provider, _api = open_crm(row, PERSON)
    connected.send(sender=CrmConnection, connection=row, provider=provider)


def check(row: CrmConnection) -> Account:
    """Asks the CRM who we are through the stored credential."""
    provider, _api = open_crm(row, PERSON)
    return provider.identify()


def webhook_url(row: CrmConnection) -> str:
    return f"{django_settings.PUBLIC_URL}/webhooks/{row.provider}/{row.webhook_token}/"


def split_settings(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Settings that may be shown, and those that have to be encrypted."""
    hidden = {key: str(value) for key, value in settings.items() if any(word in key for word in SECRET_WORDS)}
    return {key: value for key, value in settings.items() if key not in hidden}, hidden


def _store(
    tenant: Tenant, slug: str, credential: Credential, account: Account, settings: Mapping[str, Any]
) -> CrmConnection:
    try:
        with transaction.atomic():
            row = CrmConnection.objects.select_for_update(of=("self",)).filter(
                tenant=tenant, provider=slug
            ).first() or CrmConnection(tenant=tenant, provider=slug)
            _refuse_other_account(row, account)
            row.take(credential)
            row.settings = {**row.settings, **settings}
            row.metadata = {**row.metadata, "user": account.user, "warnings": list(account.warnings)}
            row.account_id, row.account_name, row.account_url = account.external_id, account.name[:200], account.url
            row.status, row.status_reason = CrmConnection.Status.CONNECTED, ""
            row.status_since = timezone.now()
            row.save()
    except IntegrityError as error:
        raise errors.FixConfig(
            f"This {provider_label(slug)} account is connected to another tenant already. "
            "Disconnect it there first, or use another account.",
            cause="account_taken",
        ) from error
    found: CrmConnection = row
    return found


def _refuse_other_account(row: CrmConnection, account: Account) -> None:
    if row.account_id and account.external_id and row.account_id != account.external_id:
        raise errors.FixConfig(
            f"This connection belongs to {row.account_name or row.account_id}, the new credential to "
            f"{account.name or account.external_id}. Its links point to the first account's records, so it can't be "
            "moved. Connect with a credential of the first account, or make a new tenant.",
            cause="other_account",
        )
