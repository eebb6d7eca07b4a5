"""Connects a tenant to a CRM: try the credential, see whose it is, then store it. And ends the connection again."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from django.db import DatabaseError, transaction
from django.db.models import Q, QuerySet
from django.dispatch import Signal
from django.utils import timezone
from django.utils.translation import gettext as _

from integrations import errors, preflight, tenancy
from integrations.crm import open_crm
from integrations.fields import WrongKey
from integrations.models import CrmConnection, Tenant
from integrations.preparing import alone
from integrations.providers.base import CrmProvider
from integrations.records.connections import Account, Connection, Credential
from integrations.registry import provider_class
from integrations.storing import store
from integrations.transport.client import PERSON
from integrations.transport.tokens import token_call
from integrations.transport.trial import TrialApi

log = logging.getLogger("dialbridge.connecting")

connected = Signal()
"""Sent with `connection` and `provider` once a connection is stored and works; apps above add what they need."""
SECRET_COLUMNS = ("access_token", "refresh_token", "secrets")
PREPARED = "prepared_at"
"""Metadata: when the account was last set up for us."""
OF_A_LIVING_CONNECTION = frozenset({preflight.KEY, "warnings", PREPARED})
"""Metadata that means nothing once the connection has ended."""
SECRET_WORDS = ("secret", "password", "private_key", "token")
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def connect(
    tenant: Tenant, slug: str, data: Mapping[str, Any], *, replace_account: bool = False
) -> tuple[CrmConnection, Account]:
    """Tests the credential against the CRM, then stores it and prepares the account. Safe to repeat: it reconnects.

    Raises the CRM's error and stores nothing when the test fails; FixConfig when the credential belongs to another account
    than this connection, or to an account that is connected elsewhere. A disconnected connection takes another account
    only with `replace_account`, since its links point to the former one.
    """
    row, account = take_in(tenant, slug, data, replace_account=replace_account)
    prepare(row)
    return row, account


def take_in(
    tenant: Tenant, slug: str, data: Mapping[str, Any], *, replace_account: bool = False
) -> tuple[CrmConnection, Account]:
    """`connect` without preparing the account, which takes a while and is left to the caller."""
    chosen, hidden = split_settings(data.get("settings") or {})
    credential = provider_class(slug).parse_credential({**data, **hidden})
    return adopt(tenant, slug, credential, chosen, replace_account=replace_account)


def adopt(
    tenant: Tenant,
    slug: str,
    credential: Credential,
    settings: Mapping[str, Any],
    *,
    replace_account: bool = False,
    just_granted: bool = False,
) -> tuple[CrmConnection, Account]:
    """Tests a credential and stores it. One that was `just_granted` for this is revoked when it can't be stored."""
    provider = provider_class(slug)
    account_id = ""
    try:
        account, credential = try_out(provider, credential, settings, tenant)
        account_id = account.external_id
        return store(tenant, slug, credential, account, settings, replace=replace_account), account
    except (errors.CrmError, DatabaseError):
        if just_granted:
            _give_back(provider, credential, tenant, account_id)
        raise


def try_out(
    provider: type[CrmProvider], credential: Credential, settings: Mapping[str, Any], tenant: Tenant
) -> tuple[Account, Credential]:
    """Asks the CRM whose credential this is. The credential that comes back may be a renewed one."""
    api = TrialApi(provider, credential)
    trial = Connection(id="trial", tenant_id=str(tenant.pk), region=tenant.region, settings=settings)
    return provider(trial, api).identify(), api.credential


def prepare(row: CrmConnection) -> None:
    """Sets the account up for us, tells the apps above, and looks what is missing. Safe to repeat, and by several at once."""
    with alone(row.pk):
        provider = open_crm(row, PERSON)[0]
        learned = dict(provider.prepare())
        warnings = [*row.metadata.get("warnings", []), *learned.pop("warnings", []), *_subscribe(row, provider)]
        moment = timezone.now().isoformat()
        row.remember({**learned, "warnings": list(dict.fromkeys(warnings)), PREPARED: moment})
    provider = open_crm(row, PERSON)[0]  # with what was just learned
    connected.send(sender=CrmConnection, connection=row, provider=provider)
    with suppress(errors.CrmError):  # noted there; the connection works all the same
        preflight.run(row)


def check(row: CrmConnection) -> Account:
    """Asks the CRM who we are through the stored credential."""
    return open_crm(row, PERSON)[0].identify()


# --- webhooks -------------------------------------------------------------------------------------------------------


def webhook_url(row: CrmConnection) -> str:
    return f"{django_settings.PUBLIC_URL}/webhooks/{row.provider}/{row.webhook_token}/"


def app_webhook_url(slug: str) -> str:
    return f"{django_settings.PUBLIC_URL}/webhooks/{slug}/"


def can_be_reached() -> bool:
    """Whether a CRM could deliver to PUBLIC_URL: over https, or from a sandbox on a developer's machine."""
    parts = urlsplit(django_settings.PUBLIC_URL)
    return parts.scheme == "https" or (django_settings.DEBUG and parts.hostname in LOOPBACK)


def _subscribe(row: CrmConnection, provider: CrmProvider) -> list[str]:
    if not can_be_reached():
        return []
    try:
        return provider.subscribe(webhook_url(row))
    except errors.CrmError as error:
        return [f"Its webhooks are not set up, so changes are only found by asking every few minutes. {error.message}"]


def split_settings(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Settings that may be shown, and those that have to be encrypted."""
    hidden = {key: str(value) for key, value in settings.items() if any(word in key for word in SECRET_WORDS)}
    return {key: value for key, value in settings.items() if key not in hidden}, hidden


# --- ending ---------------------------------------------------------------------------------------------------------


def disconnect(row: CrmConnection, reason: str = "") -> list[str]:
    """Ends webhooks and credential at the CRM as far as possible, and forgets the secrets here in any case.

    Returns what a person has to remove in the CRM by hand, in sentences; nothing when all is gone. Waiting work waits on.
    The account is remembered, so that nobody connects another one by mistake.
    """
    by_hand = _unsubscribe(row)
    credential = _wipe(row, reason)
    return [*by_hand, *_revoke(row, credential)]


def _unsubscribe(row: CrmConnection) -> list[str]:
    try:
        open_crm(row, PERSON)[0].unsubscribe()
    except (errors.CrmError, WrongKey):
        return [
            _("Webhooks may still be registered in %(crm)s. Remove those that point to %(address)s.")
            % {"crm": row.get_provider_display(), "address": webhook_url(row)}
        ]
    return []


def _wipe(row: CrmConnection, reason: str) -> Credential | None:
    """Takes the secrets out and returns them, None when they can't be read. A renewal under way is waited for."""
    rows = CrmConnection.objects.filter(pk=row.pk)
    with tenancy.everyone(), transaction.atomic():
        held: CrmConnection = rows.select_for_update(of=("self",)).defer(*SECRET_COLUMNS).get()
        credential = _readable(rows)
        held.take(Credential(auth=held.auth, instance_url=held.instance_url or ""))
        held.status, held.status_reason, held.status_since = CrmConnection.Status.DISCONNECTED, reason, timezone.now()
        held.metadata = {key: value for key, value in held.metadata.items() if key not in OF_A_LIVING_CONNECTION}
        held.save()
        row.refresh_from_db()
    return credential


def _readable(rows: QuerySet[CrmConnection]) -> Credential | None:
    try:
        return rows.get().credential()
    except WrongKey:
        return None


def _revoke(row: CrmConnection, credential: Credential | None) -> list[str]:
    crm = {"crm": row.get_provider_display(), "user": row.metadata.get("user") or _("the person who connected it")}
    if credential is not None and not credential.refresh_token:
        return [
            _("The key or token itself can only be ended in %(crm)s: delete it there if nobody else uses it.") % crm
        ]
    provider = provider_class(row.provider)
    try:
        if credential is not None:
            provider.revoke(credential, token_call(provider))
            return []
    except errors.CrmError:
        log.info("The %s connection %s was ended here, but not confirmed there", row.provider, row.pk)
    return [_("%(crm)s did not confirm that our access has ended. Withdraw it there, in the apps of %(user)s.") % crm]


def _give_back(provider: type[CrmProvider], credential: Credential, tenant: Tenant, account_id: str) -> None:
    """Ends a grant that we don't keep. Some CRMs give out the same token again: then a stored connection lives on it."""
    with tenancy.everyone(), suppress(WrongKey):
        held = Q(tenant=tenant) | (Q(account_id=account_id) & ~Q(account_id=""))
        rows = list(CrmConnection.objects.filter(held, provider=provider.slug))
        ours = {token for row in rows for token in (row.access_token, row.refresh_token) if token}
        if ours.isdisjoint({credential.access_token, credential.refresh_token}):
            with suppress(errors.CrmError):
                provider.revoke(credential, token_call(provider))
