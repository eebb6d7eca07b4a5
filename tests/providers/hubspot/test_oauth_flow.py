"""Connecting by consent: HubSpot's page, the code, the tokens, and their end, in every version of the token endpoints."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import responses
from pytest_django import Settings

from integrations import errors
from integrations.providers.hubspot.oauth import OPTIONAL_SCOPES, SCOPES
from integrations.providers.hubspot.provider import Provider
from integrations.providers.hubspot.sandbox.portal import ACCESS_TOKEN, CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN
from integrations.records.connections import Consent, Credential, OAuthApp
from tests.providers.harness import token_call
from tests.providers.hubspot.conftest import World

HOST = "https://api.hubapi.com"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
CALLBACK = "https://dialer.example/connect/hubspot/callback/"
VERIFIER = "v" * 64
VERSIONS = ["v1", "v3", "2026-09"]
ROTTEN = Credential(auth="oauth", access_token="a", refresh_token="r")


def consent(**more: Any) -> Consent:
    app = more.pop("app", None) or Provider.oauth_app({})
    return Consent(**{"app": app, "redirect_uri": CALLBACK, "state": "st4te", "verifier": VERIFIER, **more})


def visit(url: str) -> requests.Response:
    """The person's browser at the consent page; it does not follow."""
    return requests.get(url, timeout=10, allow_redirects=False)


def come_back(trip: Consent) -> dict[str, str]:
    answer = visit(Provider.consent_url(trip))
    assert answer.status_code == 302, answer.text
    assert answer.headers["Location"].startswith(trip.redirect_uri)
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["Location"]).query).items()}


def query_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


@pytest.fixture
def page(world: World, settings: Settings) -> World:
    settings.HUBSPOT_AUTHORIZE_URL = f"{world.server.url}/oauth/authorize"
    return world


# --- the app --------------------------------------------------------------------------------------------------------


def test_a_tenant_may_consent_to_an_app_of_its_own(settings: Settings) -> None:
    settings.HUBSPOT_CLIENT_ID, settings.HUBSPOT_CLIENT_SECRET = "ours", "our-secret"
    assert Provider.oauth_app({}) == OAuthApp("ours", "our-secret")
    own = Provider.oauth_app({"client_id": " theirs ", "client_secret": "their-secret"})
    assert own == OAuthApp("theirs", "their-secret", own=True)
    assert "their-secret" not in repr(own)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "HUBSPOT_CLIENT_ID and HUBSPOT_CLIENT_SECRET"),
        ({"client_id": "x"}, "both"),
        ({"client_secret": "x"}, "both"),
    ],
    ids=["none at all", "no secret", "no id"],
)
def test_an_app_that_is_not_there_is_told_of(settings: Settings, options: dict[str, str], told: str) -> None:
    settings.HUBSPOT_CLIENT_ID = settings.HUBSPOT_CLIENT_SECRET = ""
    with pytest.raises(errors.FixConfig, match=told):
        Provider.oauth_app(options)


# --- the consent page -----------------------------------------------------------------------------------------------


def test_the_consent_page_is_asked_for_what_a_dialer_needs(settings: Settings) -> None:
    settings.HUBSPOT_AUTHORIZE_URL = "https://app.hubspot.com/oauth/authorize"
    url = Provider.consent_url(consent(app=OAuthApp("id", "secret")))
    query = query_of(url)
    assert url.startswith("https://app.hubspot.com/oauth/authorize?")
    assert (query["client_id"], query["redirect_uri"], query["state"]) == ("id", CALLBACK, "st4te")
    required, optional = query["scope"].split(), query["optional_scope"].split()
    assert {"oauth", "crm.objects.contacts.write", "crm.objects.deals.read", "crm.objects.deals.write"} <= set(required)
    assert {"crm.objects.owners.read", "crm.schemas.contacts.read", "crm.schemas.contacts.write"} <= set(required)
    assert optional == ["timeline", "analytics.behavioral_events.send", "sales-email-read"]
    assert (tuple(required), tuple(optional)) == (SCOPES, OPTIONAL_SCOPES)
    assert "secret" not in url
    assert VERIFIER not in url


@pytest.mark.parametrize(("version", "proven"), [("v1", False), ("v3", True), ("2026-09", True)])
def test_a_code_is_bound_to_us_where_the_version_takes_it(settings: Settings, version: str, proven: bool) -> None:
    settings.HUBSPOT_API_VERSIONS = [f"token={version}"]
    query = query_of(Provider.consent_url(consent(app=OAuthApp("id", "secret"))))
    assert (query.get("code_challenge_method") == "S256") is proven
    # sha256 of 64 times "v", computed apart
    assert query.get("code_challenge") == ("w1TpKUdYE9hUAcNSeeSRFioHDxfUxuHho_JHAfZ_vDM" if proven else None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("client_id", "somebody-else"),
        ("redirect_uri", "https://thief.example/connect/other/callback/"),
        ("redirect_uri", CALLBACK + "?next=x"),
        ("scope", "oauth"),
        ("scope", " ".join([*SCOPES, "timeline"])),
        ("optional_scope", "timeline files"),
    ],
)
def test_the_page_sends_nobody_back_who_asks_for_something_else(page: World, name: str, value: str) -> None:
    url = Provider.consent_url(consent())
    answer = requests.get(
        url.partition("?")[0], params={**query_of(url), name: value}, timeout=10, allow_redirects=False
    )
    assert answer.status_code == 400
    assert "Location" not in answer.headers


# --- there and back -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_consent_leads_to_a_working_credential_that_can_be_renewed_and_revoked(
    page: World, settings: Settings, version: str
) -> None:
    settings.HUBSPOT_API_VERSIONS = [f"token={version}"]
    trip = consent()
    back = come_back(trip)
    assert back["state"] == "st4te"
    credential = Provider.redeem(trip, back, token_call, NOW)
    assert (credential.auth, credential.secrets) == ("oauth", {})
    assert credential.expires_at == NOW + timedelta(seconds=1800)
    assert set(credential.scopes) == {*SCOPES, "timeline", "sales-email-read"}, "the edition has no custom events"
    assert page.connect_as(credential).identify().external_id == "4411223"
    renewed = Provider.renew(credential, token_call, NOW)
    assert renewed.access_token != credential.access_token
    assert renewed.scopes == credential.scopes
    Provider.revoke(renewed, token_call)
    with pytest.raises(errors.Reconnect, match="Connect again"):
        Provider.renew(renewed, token_call, NOW)


def test_an_enterprise_account_grants_the_optional_scopes_too(page: World) -> None:
    page.portal.enterprise = True
    trip = consent()
    assert set(Provider.redeem(trip, come_back(trip), token_call, NOW).scopes) == {*SCOPES, *OPTIONAL_SCOPES}


def test_an_app_of_the_tenants_own_is_kept_with_the_credential(page: World) -> None:
    trip = consent(app=Provider.oauth_app({"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}))
    credential = Provider.redeem(trip, come_back(trip), token_call, NOW)
    assert credential.secrets == {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    assert CLIENT_SECRET not in repr(credential)


def test_a_person_who_says_no_is_told_how_to_go_on(page: World) -> None:
    page.fault("deny_consent")
    trip = consent()
    with pytest.raises(errors.FixConfig, match="The user denied access") as refusal:
        Provider.redeem(trip, come_back(trip), token_call, NOW)
    assert "Start again" in refusal.value.message


@pytest.mark.parametrize("answer", [{}, {"state": "st4te"}, {"code": ""}], ids=["empty", "state only", "empty code"])
def test_coming_back_without_a_code_is_no_consent(answer: dict[str, str]) -> None:
    with pytest.raises(errors.FixConfig, match="Start again"):
        Provider.redeem(consent(app=OAuthApp("id", "secret")), answer, token_call, NOW)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_code_counts_once(page: World, settings: Settings, version: str) -> None:
    settings.HUBSPOT_API_VERSIONS = [f"token={version}"]
    trip = consent()
    back = come_back(trip)
    Provider.redeem(trip, back, token_call, NOW)
    with pytest.raises(errors.FixConfig, match="used up or too old"):
        Provider.redeem(trip, back, token_call, NOW)


def test_a_stale_code_is_refused(page: World) -> None:
    trip = consent()
    back = come_back(trip)
    page.portal.clock.advance(601)
    with pytest.raises(errors.FixConfig, match="used up or too old"):
        Provider.redeem(trip, back, token_call, NOW)


def test_a_stolen_code_is_worth_nothing_without_the_verifier(page: World, settings: Settings) -> None:
    settings.HUBSPOT_API_VERSIONS = ["token=v3"]
    back = come_back(consent())
    with pytest.raises(errors.FixConfig):
        Provider.redeem(consent(verifier="w" * 64), back, token_call, NOW)


def test_a_code_for_another_address_is_refused(page: World) -> None:
    back = come_back(consent())
    with pytest.raises(errors.FixConfig, match="redirect URLs"):
        Provider.redeem(consent(redirect_uri="https://other.example/connect/hubspot/callback/"), back, token_call, NOW)


# --- what the answers say -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "address"),
    [("v1", "/oauth/v1/token"), ("v3", "/oauth/v3/token"), ("2026-09", "/oauth/2026-09/token")],
)
@responses.activate
def test_the_code_goes_out_as_a_form_with_the_apps_secret(settings: Settings, version: str, address: str) -> None:
    settings.HUBSPOT_API_URL = HOST
    settings.HUBSPOT_API_VERSIONS = [f"token={version}"]
    responses.post(HOST + address, json={"access_token": "x" * 900, "refresh_token": "r", "scopes": ["oauth"]})
    granted = Provider.redeem(consent(app=OAuthApp("id", "secret")), {"code": "c0de"}, token_call, NOW)
    assert granted.access_token == "x" * 900, "tokens grow and are never cut"
    assert granted.expires_at is None, "the lifetime is what the answer says, and nothing if it says nothing"
    sent = responses.calls[0].request
    assert sent.headers["Content-Type"] == "application/x-www-form-urlencoded"
    form = {name: values[0] for name, values in parse_qs(str(sent.body)).items()}
    expected = {"grant_type": "authorization_code", "client_id": "id", "client_secret": "secret"}
    expected |= {"redirect_uri": CALLBACK, "code": "c0de"}
    assert form == (expected if version == "v1" else {**expected, "code_verifier": VERIFIER})
    assert len(responses.calls) == 1, "the answer tells the scopes, nobody has to be asked"


TOKEN_V1 = {"access_token": "t0ken", "refresh_token": "r", "expires_in": 1800, "token_type": "bearer"}


@responses.activate
def test_the_first_version_is_asked_what_the_token_may_do(settings: Settings) -> None:
    settings.HUBSPOT_API_URL = HOST
    responses.post(f"{HOST}/oauth/v1/token", json=TOKEN_V1)
    responses.get(f"{HOST}/oauth/v1/access-tokens/t0ken", json={"hub_id": 1, "scopes": ["oauth", "timeline"]})
    granted = Provider.redeem(consent(app=OAuthApp("id", "secret")), {"code": "c"}, token_call, NOW)
    assert granted.scopes == ("oauth", "timeline")


@responses.activate
def test_later_versions_are_asked_by_introspection_if_the_answer_is_silent(settings: Settings) -> None:
    settings.HUBSPOT_API_URL = HOST
    settings.HUBSPOT_API_VERSIONS = ["token=v3"]
    settings.HUBSPOT_CLIENT_ID, settings.HUBSPOT_CLIENT_SECRET = "id", "secret"
    responses.post(f"{HOST}/oauth/v3/token", json=TOKEN_V1)
    responses.post(f"{HOST}/oauth/v3/token/introspect", json={"active": True, "scopes": ["oauth"]})
    granted = Provider.redeem(consent(app=OAuthApp("id", "secret")), {"code": "c"}, token_call, NOW)
    assert granted.scopes == ("oauth",)
    form = parse_qs(str(responses.calls[1].request.body))
    assert (form["token"], form["token_type_hint"], form["client_id"]) == (["t0ken"], ["access_token"], ["id"])


@pytest.mark.parametrize(
    ("status", "body"),
    [(404, "{}"), (503, "down"), (200, "<html>"), (200, '{"scopes": "oauth"}'), (0, "")],
    ids=["not known", "down", "a page", "no list", "no answer"],
)
def test_tokens_are_kept_even_if_nobody_says_what_they_may_do(settings: Settings, status: int, body: str) -> None:
    settings.HUBSPOT_API_URL = HOST

    def call(url: str, form: Mapping[str, str], **more: Any) -> requests.Response:
        if url.endswith("/token"):
            return answer(200, json.dumps(TOKEN_V1))
        if not status:
            raise errors.Retry("No answer.")
        return answer(status, body)

    granted = Provider.redeem(consent(app=OAuthApp("id", "secret")), {"code": "c"}, call, NOW)
    assert (granted.refresh_token, granted.scopes) == ("r", ())


def answer(status: int, body: str) -> requests.Response:
    made = requests.Response()
    made.status_code, made._content = status, body.encode()
    return made


def silent(url: str, form: Mapping[str, str], **more: Any) -> requests.Response:
    raise errors.Retry("No answer.", detail=f"Max retries exceeded with url: {url}")


def test_an_address_with_a_token_in_it_reaches_no_error() -> None:
    with pytest.raises(errors.Retry) as refusal:
        Provider.revoke(Credential(auth="oauth", access_token="a", refresh_token="very-s3cret"), silent)
    shown = f"{refusal.value.message} {refusal.value.detail} {refusal.value.__cause__}"
    assert "very-s3cret" not in shown
    assert refusal.value.__suppress_context__, "nor its history"


# --- refusals -------------------------------------------------------------------------------------------------------

REFUSALS = [
    pytest.param(400, {"status": "BAD_AUTH_CODE"}, errors.FixConfig, "Start again", id="used code, v1"),
    pytest.param(400, {"error": "invalid_grant"}, errors.FixConfig, "Start again", id="used code, v3"),
    pytest.param(400, {"status": "BAD_CLIENT_ID"}, errors.Standstill, "HUBSPOT_CLIENT_ID", id="unknown app"),
    pytest.param(400, {"status": "BAD_CLIENT_SECRET"}, errors.Standstill, "HUBSPOT_CLIENT_SECRET", id="wrong secret"),
    pytest.param(401, {"error": "invalid_client"}, errors.Standstill, "HUBSPOT_CLIENT_ID", id="unknown app, v3"),
    pytest.param(400, {"status": "BAD_REDIRECT_URI"}, errors.FixConfig, "redirect URLs", id="unknown address"),
    pytest.param(404, "<html>", errors.Standstill, "HUBSPOT_API_VERSIONS", id="switched-off version"),
    pytest.param(429, "", errors.Throttled, "slow down", id="too often"),
    pytest.param(477, "", errors.Throttled, "moving", id="account on the move"),
    pytest.param(502, "<html>", errors.Retry, "try again", id="gateway"),
    pytest.param(200, "<html>", errors.Retry, "try again", id="a page instead of a token"),
    pytest.param(200, {"token_type": "bearer"}, errors.Retry, "sent no token", id="no token inside"),
]


@pytest.mark.parametrize(("status", "body", "kind", "told"), REFUSALS)
def test_a_refused_code_says_what_to_do(status: int, body: Any, kind: type[errors.CrmError], told: str) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    with pytest.raises(errors.CrmError) as refusal:
        Provider.redeem(
            consent(app=OAuthApp("id", "secret")), {"code": "c"}, lambda *_, **__: answer(status, text), NOW
        )
    assert type(refusal.value) is kind
    assert told in refusal.value.message


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        pytest.param(400, {"status": "BAD_REFRESH_TOKEN"}, errors.Reconnect, id="BAD_REFRESH_TOKEN"),
        pytest.param(400, {"error": "invalid_grant"}, errors.Reconnect, id="invalid_grant"),
        pytest.param(400, {"status": "BAD_AUTH_CODE"}, errors.Reconnect, id="BAD_AUTH_CODE"),
        pytest.param(400, {"status": "BAD_CLIENT_ID"}, errors.Standstill, id="BAD_CLIENT_ID"),
        pytest.param(401, {"error": "invalid_client"}, errors.Standstill, id="invalid_client"),
        pytest.param(477, {}, errors.Throttled, id="account on the move"),
        pytest.param(500, {}, errors.Retry, id="down"),
    ],
)
def test_a_refused_renewal_says_whose_turn_it_is(
    settings: Settings, status: int, body: Any, kind: type[errors.CrmError]
) -> None:
    settings.HUBSPOT_CLIENT_ID, settings.HUBSPOT_CLIENT_SECRET = "id", "secret"
    with pytest.raises(errors.CrmError) as refusal:
        Provider.renew(ROTTEN, lambda *_, **__: answer(status, json.dumps(body)), NOW)
    assert type(refusal.value) is kind
    assert len(refusal.value.message.split()) > 6


# --- the end --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_revoking_twice_is_a_success(page: World, settings: Settings, version: str) -> None:
    settings.HUBSPOT_API_VERSIONS = [f"token={version}"]
    credential = Credential(auth="oauth", access_token=ACCESS_TOKEN, refresh_token=REFRESH_TOKEN)
    for _ in range(2):
        Provider.revoke(credential, token_call)
    assert page.portal.store.count("refresh_tokens") == 0
    assert page.connect_as(credential).identify().external_id == "4411223", "issued tokens live on until they expire"
    page.portal.clock.advance(1801)
    with pytest.raises(errors.Reconnect):
        page.connect_as(credential).identify()


def test_a_pasted_token_is_not_ours_to_revoke() -> None:
    Provider.revoke(Credential(auth="private_app", access_token="pat-na1-x"), silent)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        pytest.param(503, "", errors.Retry, id="down"),
        pytest.param(429, "", errors.Throttled, id="too often"),
        pytest.param(400, '{"status": "BAD_CLIENT_ID"}', errors.FixConfig, id="unknown app"),
    ],
)
def test_a_revocation_that_did_not_happen_is_told(status: int, body: str, kind: type[errors.CrmError]) -> None:
    with pytest.raises(errors.CrmError) as refusal:
        Provider.revoke(ROTTEN, lambda *_, **__: answer(status, body))
    assert type(refusal.value) is kind


# --- what the fake portal tells of tokens ---------------------------------------------------------------------------


def test_a_token_can_be_looked_up_in_either_way(page: World) -> None:
    url = page.server.url
    info = requests.get(f"{url}/oauth/v1/access-tokens/{ACCESS_TOKEN}", timeout=10).json()
    app = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    asked = {**app, "token": ACCESS_TOKEN, "token_type_hint": "access_token"}
    told = requests.post(f"{url}/oauth/v3/token/introspect", data=asked, timeout=10).json()
    assert told["active"] is True
    for name in ("hub_id", "user_id", "app_id", "user", "hub_domain", "scopes"):
        assert info[name] == told[name]
    dead = requests.post(f"{url}/oauth/v3/token/introspect", data={**app, "token": "x"}, timeout=10).json()
    assert dead == {"active": False}
    assert requests.get(f"{url}/oauth/v1/access-tokens/x", timeout=10).status_code == 404
    stranger = requests.post(f"{url}/oauth/v3/token/introspect", data={"token": ACCESS_TOKEN}, timeout=10)
    assert (stranger.status_code, stranger.json()["error"]) == (400, "invalid_client")
