"""Connecting by consent, permission checks and leaving again: what every provider has to do."""

import secrets
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from django.utils import timezone

from integrations import errors, preflight
from integrations.connecting import disconnect
from integrations.models import CrmConnection
from integrations.records.connections import Connection, Consent, Credential, Severity
from integrations.registry import PROVIDERS, provider_class
from integrations.transport.tokens import token_call
from integrations.transport.trial import TrialApi
from tests.providers.case import Case


def back(case: Case) -> str:
    return f"http://127.0.0.1:9/connect/{case.slug}/callback/"


def consent(case: Case) -> Consent:
    options = getattr(case.server.service, "consent_options", {})
    app = provider_class(case.slug).oauth_app(options)
    return Consent(app, back(case), secrets.token_urlsafe(32), secrets.token_urlsafe(48))


def answered(case: Case, trip: Consent) -> Mapping[str, str]:
    """What the consent page sends back to us when the person agrees."""
    page = requests.get(provider_class(case.slug).consent_url(trip), allow_redirects=False, timeout=10)
    assert page.status_code in {302, 303}, page.text[:500]
    assert page.headers["Location"].startswith(back(case))
    return dict(parse_qsl(urlsplit(page.headers["Location"]).query))


def redeemed(case: Case) -> Credential:
    trip = consent(case)
    answer = answered(case, trip)
    assert answer["state"] == trip.state
    provider = provider_class(case.slug)
    return provider.redeem(trip, answer, token_call(provider), timezone.now())


def identity(case: Case, credential: Credential) -> str:
    provider = provider_class(case.slug)
    api = TrialApi(provider, credential)
    return provider(Connection(id="trial", tenant_id="trial"), api).identify().external_id


def test_consent_gives_a_credential_of_the_right_account(case: Case) -> None:
    credential = redeemed(case)
    assert identity(case, credential) == case.row.account_id
    assert provider_class(case.slug).renewable(credential)


def test_a_code_is_good_for_one_exchange(case: Case) -> None:
    provider, trip = provider_class(case.slug), consent(case)
    answer = answered(case, trip)
    provider.redeem(trip, answer, token_call(provider), timezone.now())
    with pytest.raises(errors.FixConfig) as refusal:
        provider.redeem(trip, answer, token_call(provider), timezone.now())
    assert len(refusal.value.message.split()) > 4


def test_a_made_up_code_is_refused_in_words(case: Case) -> None:
    provider, trip = provider_class(case.slug), consent(case)
    answer = {**answered(case, trip), "code": "made-up"}
    with pytest.raises(errors.FixConfig):
        provider.redeem(trip, answer, token_call(provider), timezone.now())


def test_the_secret_of_the_app_never_goes_through_the_browser(case: Case) -> None:
    trip = consent(case)
    url = provider_class(case.slug).consent_url(trip)
    assert trip.app.client_secret
    assert trip.app.client_secret not in url
    assert trip.verifier not in url


def test_without_an_app_the_operator_is_told_which_setting_is_missing(case: Case, settings: object) -> None:
    for name in [name for name in vars(type(settings)) if name.endswith("CLIENT_ID")]:
        setattr(settings, name, "")
    prefix = case.slug.upper()
    setattr(settings, f"{prefix}_CLIENT_ID", "")
    setattr(settings, f"{prefix}_CLIENT_SECRET", "")
    with pytest.raises(errors.FixConfig, match=f"{prefix}_CLIENT_ID"):
        provider_class(case.slug).oauth_app({})


def test_a_revoked_credential_is_dead_and_revoking_twice_is_fine(case: Case) -> None:
    provider = provider_class(case.slug)
    credential = redeemed(case)
    provider.revoke(credential, token_call(provider))
    provider.revoke(credential, token_call(provider))
    if not getattr(case.server.service, "revokes", True):
        return  # this CRM lets no program take a consent back
    with pytest.raises((errors.Reconnect, errors.FixConfig)):
        provider.renew(replace(credential, access_token=""), token_call(provider), timezone.now())


def test_a_healthy_connection_has_no_blocking_finding(case: Case) -> None:
    findings = preflight.run(case.row)
    assert [one for one in findings if one.severity == Severity.BLOCKING] == []
    assert all(len(one.message.split()) > 3 and len(one.remedy.split()) > 2 for one in findings)


def test_disconnecting_forgets_every_secret_and_keeps_the_row(case: Case) -> None:
    disconnect(case.row)
    row = CrmConnection.objects.get(pk=case.row.pk)
    assert row.status == "disconnected"
    assert not any([row.access_token, row.refresh_token, row.secrets])
    with pytest.raises(errors.Reconnect):
        case.provider.identify()


def test_every_provider_of_the_registry_offers_its_consent_page() -> None:
    assert [slug for slug in PROVIDERS if provider_class(slug).has_consent_page] == list(PROVIDERS)
