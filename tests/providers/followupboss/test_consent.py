"""Consent in the browser and the code that comes back, against the fake service's consent page."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import responses
from pytest_django.fixtures import Settings

from integrations import errors
from integrations.providers.followupboss import oauth
from integrations.providers.followupboss.provider import Provider
from integrations.providers.followupboss.sandbox import seed
from integrations.records.connections import Consent
from integrations.sandbox.server import SandboxServer
from integrations.transport.hosts import check_url
from tests.providers.followupboss.conftest import SYSTEM, Connect
from tests.providers.harness import connect, token_call

BACK = "https://dialer.example/connect/followupboss/callback/"
NOW = datetime(2026, 1, 21, 12, tzinfo=UTC)


def consent(**options: str) -> Consent:
    return Consent(app=Provider.oauth_app(options), redirect_uri=BACK, state="state-1")


def visit(one: Consent, **more: Any) -> dict[str, str]:
    """Opens the consent page; the query that the browser is sent back with."""
    answer = requests.get(Provider.consent_url(one, **more), allow_redirects=False, timeout=5)
    assert answer.status_code == 302, answer.text
    where = urlsplit(answer.headers["Location"])
    assert f"{where.scheme}://{where.netloc}{where.path}" == BACK
    return {key: values[0] for key, values in parse_qs(where.query).items()}


def test_the_consent_page_is_asked_for_an_auth_code_without_scopes_or_pkce(settings: Settings) -> None:
    settings.FOLLOWUPBOSS_CLIENT_ID, settings.FOLLOWUPBOSS_CLIENT_SECRET = "client", "secret"
    settings.FOLLOWUPBOSS_AUTHORIZE_URL = "https://app.followupboss.com/oauth/authorize"
    url = urlsplit(Provider.consent_url(consent()))
    assert url._replace(query="").geturl() == "https://app.followupboss.com/oauth/authorize"
    assert parse_qs(url.query) == {
        "response_type": ["auth_code"],
        "client_id": ["client"],
        "redirect_uri": [BACK],
        "state": ["state-1"],
    }
    assert "prompt=login" in Provider.consent_url(consent(), another_account=True)
    assert Provider.has_consent_page
    assert Provider.consent_options == ("client_id", "client_secret")


def test_other_addresses_of_the_vendor_can_be_set(settings: Settings) -> None:
    settings.FOLLOWUPBOSS_CLIENT_ID, settings.FOLLOWUPBOSS_CLIENT_SECRET = "client", "secret"
    settings.FOLLOWUPBOSS_AUTHORIZE_URL = "https://app.followupboss.com/oauth2/authorize"
    settings.FOLLOWUPBOSS_TOKEN_URL = "https://api.followupboss.com/v1/oauth2/token"
    assert Provider.consent_url(consent()).startswith("https://app.followupboss.com/oauth2/authorize?")
    for url in (settings.FOLLOWUPBOSS_AUTHORIZE_URL, settings.FOLLOWUPBOSS_TOKEN_URL):
        check_url(url, Provider.hosts, Provider.label)
    with responses.RequestsMock() as wire:
        wire.post(settings.FOLLOWUPBOSS_TOKEN_URL, json={"access_token": "a", "refresh_token": "r"})
        assert Provider.redeem(consent(), {"response": "approved", "code": "c"}, token_call, NOW).access_token == "a"


def test_an_approval_becomes_a_credential_that_works(server: SandboxServer) -> None:
    one = consent()
    answer = visit(one)
    assert (answer["response"], answer["state"]) == ("approved", "state-1")
    credential = Provider.redeem(one, answer, token_call, NOW)
    assert (credential.auth, credential.expires_at) == ("oauth", NOW + timedelta(hours=1))
    assert credential.secrets == {}
    assert connect(Provider, server, credential)[0].identify().user == "dana@harborview.example"
    assert Provider.renew(credential, token_call, NOW).access_token != credential.access_token


def test_whoever_approves_is_who_we_are(server: SandboxServer) -> None:
    server.service.faults.set([{"kind": "consent_by", "body": 3}])
    one = consent()
    credential = Provider.redeem(one, visit(one, another_account=True), token_call, NOW)
    assert connect(Provider, server, credential)[0].identify().user == "avery@harborview.example"


def test_a_tenants_own_app_is_kept_with_the_credential(server: SandboxServer, settings: Settings) -> None:
    settings.FOLLOWUPBOSS_CLIENT_ID = settings.FOLLOWUPBOSS_CLIENT_SECRET = ""
    own = {"client_id": seed.CLIENT_ID, "client_secret": seed.CLIENT_SECRET}
    one = consent(**own)
    assert one.app.own
    credential = Provider.redeem(one, visit(one), token_call, NOW)
    assert credential.secrets == own
    Provider.renew(credential, token_call, NOW)


@pytest.mark.parametrize(
    ("options", "words"), [({}, "FOLLOWUPBOSS_CLIENT_ID"), ({"client_id": "x"}, "both client_id and client_secret")]
)
def test_without_an_app_there_is_no_consent(settings: Settings, options: dict[str, str], words: str) -> None:
    settings.FOLLOWUPBOSS_CLIENT_ID = settings.FOLLOWUPBOSS_CLIENT_SECRET = ""
    with pytest.raises(errors.FixConfig, match=words):
        Provider.oauth_app(options)


def test_a_refusal_is_told_with_what_to_do(server: SandboxServer) -> None:
    server.service.faults.set([{"kind": "consent_denied"}])
    one = consent()
    answer = visit(one)
    assert answer == {"response": "denied", "state": "state-1"}
    with pytest.raises(errors.FixConfig, match="denied") as refusal:
        Provider.redeem(one, answer, token_call, NOW)
    assert refusal.value.cause == "consent_refused"
    assert "Start again" in refusal.value.message


def test_a_code_is_good_once(server: SandboxServer) -> None:
    one = consent()
    answer = visit(one)
    Provider.redeem(one, answer, token_call, NOW)
    with pytest.raises(errors.FixConfig, match="Start again") as refusal:
        Provider.redeem(one, answer, token_call, NOW)
    assert refusal.value.cause == "code_refused"


def test_a_code_is_good_for_fifteen_minutes(server: SandboxServer) -> None:
    one = consent()
    answer = visit(one)
    server.service.clock.advance(15 * 60 + 1)
    with pytest.raises(errors.FixConfig, match="15 minutes"):
        Provider.redeem(one, answer, token_call, NOW)


def test_the_token_call_carries_state_in_the_body_and_the_secret_in_the_header(settings: Settings) -> None:
    settings.FOLLOWUPBOSS_CLIENT_ID, settings.FOLLOWUPBOSS_CLIENT_SECRET = "client", "secret"
    with responses.RequestsMock() as wire:
        wire.post(settings.FOLLOWUPBOSS_TOKEN_URL, json={"access_token": "a", "refresh_token": "r", "expires_in": 60})
        Provider.redeem(consent(), {"response": "approved", "code": "c-1"}, token_call, NOW)
        request = wire.calls[0].request
    assert request.headers["Authorization"] == "Basic Y2xpZW50OnNlY3JldA=="
    assert {key: one[0] for key, one in parse_qs(str(request.body)).items()} == {
        "grant_type": "authorization_code",
        "code": "c-1",
        "redirect_uri": BACK,
        "state": "state-1",
    }


# status, error of the answer → what to do at the first exchange, and at a renewal
TOKEN_ERRORS: list[tuple[int, str, type[errors.CrmError], type[errors.CrmError]]] = [
    (401, "invalid_client", errors.Standstill, errors.Standstill),
    (400, "invalid_grant", errors.FixConfig, errors.Reconnect),
    (400, "invalid_request", errors.Standstill, errors.Standstill),
    (400, "unauthorized_client", errors.Standstill, errors.Standstill),
    (400, "unsupported_grant_type", errors.Standstill, errors.Standstill),
    (400, "server_error", errors.Retry, errors.Retry),
]


@pytest.mark.parametrize(("status", "error", "first", "later"), TOKEN_ERRORS, ids=[one[1] for one in TOKEN_ERRORS])
def test_every_refusal_of_the_token_service_says_who_can_help(
    settings: Settings, status: int, error: str, first: type[Exception], later: type[Exception]
) -> None:
    settings.FOLLOWUPBOSS_CLIENT_ID, settings.FOLLOWUPBOSS_CLIENT_SECRET = "client", "secret"
    credential = Provider.parse_credential({"auth": "oauth", "access_token": "a", "refresh_token": "r"})
    with responses.RequestsMock() as wire:
        wire.post(settings.FOLLOWUPBOSS_TOKEN_URL, json={"error": error}, status=status)
        with pytest.raises(first) as at_first:
            Provider.redeem(consent(), {"response": "approved", "code": "c"}, token_call, NOW)
        with pytest.raises(later) as at_renewal:
            Provider.renew(credential, token_call, NOW)
    assert (type(at_first.value), type(at_renewal.value)) == (first, later)


def test_ending_a_credential_asks_for_nothing(server: SandboxServer) -> None:
    credential = Provider.parse_credential({"auth": "api_key", "api_key": seed.OWNER_KEY})
    Provider.revoke(credential, token_call)
    assert server.counts == {}


def test_an_app_is_registered_with_the_systems_headers(connected: Connect, settings: Settings) -> None:
    _, api = connected()
    made = oauth.register_app(api, [BACK])
    assert made.own
    assert made.client_secret
    with pytest.raises(errors.FixData, match="https"):
        oauth.register_app(api, ["http://localhost/"])
    settings.FOLLOWUPBOSS_SYSTEM_KEY = ""
    with pytest.raises(errors.FixConfig, match="FOLLOWUPBOSS_SYSTEM_KEY"):
        oauth.register_app(api, [BACK])


# --- the fake service's side ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change", [{"response_type": "code"}, {"client_id": "x"}, {"redirect_uri": ""}], ids=["code", "client", "address"]
)
def test_the_consent_page_refuses_what_the_real_one_refuses(server: SandboxServer, change: dict[str, str]) -> None:
    query = {"response_type": "auth_code", "client_id": seed.CLIENT_ID, "redirect_uri": BACK, "state": "s", **change}
    answer = requests.get(f"{server.url}/oauth/authorize", params=query, allow_redirects=False, timeout=5)
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"state": ""}, "invalid_request"),
        ({"state": "other"}, "invalid_grant"),
        ({"redirect_uri": "https://other.example/"}, "invalid_grant"),
        ({"code": "made-up"}, "invalid_grant"),
        ({"client_secret": seed.CLIENT_SECRET}, "invalid_client"),
    ],
    ids=["no state", "other state", "other address", "no such code", "secret in the body"],
)
def test_the_token_service_refuses_a_code_that_does_not_fit(
    server: SandboxServer, change: dict[str, str], error: str
) -> None:
    form = {"grant_type": "authorization_code", "redirect_uri": BACK, "state": "state-1", **visit(consent()), **change}
    auth = (seed.CLIENT_ID, seed.CLIENT_SECRET)
    answer = requests.post(f"{server.url}/oauth/token", data=form, auth=auth, headers=SYSTEM, timeout=5)
    assert answer.status_code in {400, 401}
    assert answer.json()["error"] == error
