"""Connecting by a person's consent: to the CRM's page and back.

`begin` notes the attempt and gives the address to send the browser to; `finish` takes what came back. An attempt is good for
one person, one tenant, one CRM, once, and for fifteen minutes; it is used up before anything is asked of the CRM. The address
to come back to is made from PUBLIC_URL alone, and a login address that a person names has to be one of the CRM's own hosts.
"""

import hashlib
import re
import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _

from integrations import errors, tenancy
from integrations.connecting import adopt
from integrations.fields import WrongKey
from integrations.models import ConsentAttempt, CrmConnection, Tenant
from integrations.providers.base import CrmProvider
from integrations.records.connections import Account, Consent
from integrations.registry import provider_class, provider_label
from integrations.transport.hosts import check_url
from integrations.transport.tokens import token_call

GOOD_FOR = timedelta(minutes=15)
KEPT_FOR = timedelta(days=1)
VERIFIER_BYTES = 48
"""Make 64 characters of PKCE verifier."""
SECRET_OPTIONS = frozenset({"client_secret"})
STATE_CAUSE = "consent_state"
"""The answer fits no attempt: nothing was asked of the CRM."""
_ORIGIN = re.compile(r"https?://[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::\d{1,5})?", re.IGNORECASE)


def redirect_uri(slug: str) -> str:
    """The address that has to be registered with the CRM's app."""
    return f"{settings.PUBLIC_URL}/connect/{slug}/callback/"


def has_app(slug: str, options: Mapping[str, str] | None = None) -> bool:
    """Whether there is a consent page to go to, with an app of this installation or of the options."""
    provider = provider_class(slug)
    try:
        return provider.has_consent_page and bool(provider.oauth_app(options or {}))
    except errors.CrmError:
        return False


def kept_options(slug: str, tenant: Tenant) -> dict[str, str]:
    """The app and the login address that the tenant's connection was made with, as far as they were its own."""
    with tenancy.scope(tenant.pk):
        try:
            row = CrmConnection.objects.filter(tenant=tenant, provider=slug, auth="oauth").first()
        except WrongKey:
            return {}
    held: Mapping[str, str] = (row.secrets if row else None) or {}
    return {key: held[key] for key in provider_class(slug).consent_options if held.get(key)}


def begin(
    user: Any,
    tenant: Tenant,
    slug: str,
    options: Mapping[str, str] | None = None,
    *,
    another_account: bool = False,
    replace_account: bool = False,
) -> str:
    """Notes the attempt and returns the address of the consent page.

    What `options` leave out comes from the tenant's connection, if it was made with an app or a login address of its own.
    Raises FixConfig when the login address is not the CRM's, or when there is no app to give consent to.
    """
    provider = _provider(slug)
    chosen = _options(provider, {**kept_options(slug, tenant), **(options or {})})
    state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(VERIFIER_BYTES)
    consent = Consent(provider.oauth_app(chosen), redirect_uri(slug), state, verifier)
    address = provider.consent_url(consent, another_account=another_account or replace_account)
    ConsentAttempt.objects.filter(created_at__lt=timezone.now() - KEPT_FOR).delete()
    ConsentAttempt.objects.create(
        tenant=tenant,
        user=user,
        provider=slug,
        state_hash=_digest(state),
        redirect_uri=consent.redirect_uri,
        options={key: value for key, value in chosen.items() if key not in SECRET_OPTIONS},
        secrets={"verifier": verifier, **{key: chosen[key] for key in SECRET_OPTIONS & chosen.keys()}},
        replace_account=replace_account,
    )
    return address


def find(user: Any, slug: str, state: str) -> ConsentAttempt:
    """The person's own unused attempt, which is used up by this. Raises FixConfig when the answer fits none."""
    crm = {"crm": provider_label(slug)}
    found = ConsentAttempt.objects.select_related("tenant").filter(
        state_hash=_digest(state), provider=slug, user=user, tenant__is_active=True
    )
    attempt: ConsentAttempt | None = found.first() if state else None
    if attempt is None:
        raise _refused(_("This answer from %(crm)s belongs to no attempt of yours to connect. Start again.") % crm)
    used = ConsentAttempt.objects.filter(pk=attempt.pk, used_at=None).update(used_at=Now(), secrets=None)
    if not used:
        raise _refused(_("This answer from %(crm)s was used before. If you are not connected yet, start again.") % crm)
    if attempt.created_at < timezone.now() - GOOD_FOR:
        raise _refused(_("Your visit to %(crm)s took longer than 15 minutes. Start again.") % crm)
    return attempt


def finish(attempt: ConsentAttempt, answer: Mapping[str, str]) -> tuple[CrmConnection, Account]:
    """Redeems what came back and stores the connection; `connecting.prepare` is left to the caller.

    Raises the CRM's error, or FixConfig for an account that does not belong here. Then nothing was stored, and a credential
    that was given out is revoked.
    """
    provider, kept = _provider(attempt.provider), attempt.secrets or {}
    options = {**attempt.options, **{key: kept[key] for key in SECRET_OPTIONS & kept.keys()}}
    consent = Consent(provider.oauth_app(options), attempt.redirect_uri, answer["state"], kept.get("verifier", ""))
    credential = provider.redeem(consent, answer, token_call(provider), timezone.now())
    return adopt(
        attempt.tenant, attempt.provider, credential, {}, replace_account=attempt.replace_account, just_granted=True
    )


def _provider(slug: str) -> type[CrmProvider]:
    provider = provider_class(slug)
    if not provider.has_consent_page:
        raise errors.FixConfig(
            _("%(crm)s has no consent page here. Connect with a key or token.") % {"crm": provider.label}
        )
    return provider


def _options(provider: type[CrmProvider], given: Mapping[str, str]) -> dict[str, str]:
    chosen = {key: given[key].strip() for key in provider.consent_options if given.get(key, "").strip()}
    if "login_url" in chosen:
        chosen["login_url"] = _origin(provider, chosen["login_url"])
    return chosen


def _origin(provider: type[CrmProvider], address: str) -> str:
    """Scheme and host of a login address. Stricter than a URL has to be: browsers and libraries differ on odd ones."""
    origin = (address if "://" in address else f"https://{address}").rstrip("/").lower()
    if not _ORIGIN.fullmatch(origin):
        raise errors.FixConfig(
            _("This is no login address. It looks like https://acme.my.example.com, without anything behind the host."),
            cause="login_address",
        )
    check_url(origin, provider.hosts, provider.label)
    return origin


def _digest(state: str) -> str:
    return hashlib.sha256(state.encode("utf-8", "replace")).hexdigest()


def _refused(message: str) -> errors.FixConfig:
    return errors.FixConfig(message, cause=STATE_CAUSE)
