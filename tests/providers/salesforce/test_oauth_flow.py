"""Connecting by consent in the browser, from the button to the first request, and ending it again."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import responses
from pytest_django import Settings

from integrations import errors
from integrations.providers.salesforce import oauth, web_flow
from integrations.providers.salesforce.provider import Provider
from integrations.records.connections import Consent, Credential, OAuthApp
from tests.providers.harness import connect, token_call
from tests.providers.salesforce.world import DATA, World

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
LOGIN = "https://login.salesforce.com"
TOKEN_URL = f"{LOGIN}/services/oauth2/token"
REVOKE_URL = f"{LOGIN}/services/oauth2/revoke"
INTROSPECT_URL = f"{LOGIN}/services/oauth2/introspect"
CALLBACK = "http://127.0.0.1:8000/connect/salesforce/callback/"
VERIFIER = "v" * 64
# RFC 7636, appendix B.
RFC_VERIFIER, RFC_CHALLENGE = (
    "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
)
GRANTED = {
    "access_token": "00D!new",
    "refresh_token": "5Aep-new",
    "instance_url": "https://acme.my.salesforce.com",
    "id": f"{LOGIN}/id/00Dxx0000001gPLEAY/005xx000001SwiUAAS",
    "issued_at": "1718000000000",
    "scope": "refresh_token api id",
    "token_type": "Bearer",
}


@pytest.fixture
def app(settings: Settings) -> None:
    settings.SALESFORCE_LOGIN_URL = LOGIN
    settings.SALESFORCE_TEST_LOGIN_URL = "https://test.salesforce.com"
    settings.SALESFORCE_CLIENT_ID = "our-client"
    settings.SALESFORCE_CLIENT_SECRET = "our-secret"


def consent_of(options: Mapping[str, str] | None = None, **more: Any) -> Consent:
    parts = {"redirect_uri": CALLBACK, "state": "state-1", "verifier": VERIFIER, **more}
    return Consent(Provider.oauth_app(options or {}), **parts)


def go(consent: Consent, changed: Mapping[str, str | None] | None = None) -> requests.Response:
    """Opens the consent page, with some of its parameters changed or left out."""
    address = urlsplit(Provider.consent_url(consent))
    query = {key: values[0] for key, values in parse_qs(address.query).items()} | dict(changed or {})
    page = f"{address.scheme}://{address.netloc}{address.path}"
    return requests.get(page, params=query, allow_redirects=False, timeout=5)


def answer_of(response: requests.Response) -> dict[str, str]:
    """What arrives at the callback address, decoded once."""
    assert response.status_code == 302, response.text
    return {key: values[0] for key, values in parse_qs(urlsplit(response.headers["Location"]).query).items()}


def signed(body: Mapping[str, str], secret: str) -> dict[str, str]:
    digest = hmac.new(secret.encode(), f"{body['id']}{body['issued_at']}".encode(), hashlib.sha256).digest()
    return {**body, "signature": base64.b64encode(digest).decode()}


# --- the way there --------------------------------------------------------------------------------------------------


def test_the_consent_page_is_asked_for_by_the_book(app: None) -> None:
    address = urlsplit(Provider.consent_url(consent_of(verifier=RFC_VERIFIER)))
    assert f"{address.scheme}://{address.netloc}{address.path}" == f"{LOGIN}/services/oauth2/authorize"
    assert parse_qs(address.query) == {
        "response_type": ["code"],
        "client_id": ["our-client"],
        "redirect_uri": [CALLBACK],
        "scope": ["api refresh_token id"],
        "state": ["state-1"],
        "code_challenge": [RFC_CHALLENGE],
        "code_challenge_method": ["S256"],
    }
    assert RFC_VERIFIER not in address.query


def test_another_account_is_asked_for_by_signing_in_anew(app: None) -> None:
    query = parse_qs(urlsplit(Provider.consent_url(consent_of(), another_account=True)).query)
    assert query["prompt"] == ["login consent"]


@pytest.mark.parametrize(
    ("login_url", "host"),
    [
        ("", "login.salesforce.com"),
        ("https://login.salesforce.com", "login.salesforce.com"),
        ("https://test.salesforce.com/", "test.salesforce.com"),
        ("https://acme.my.salesforce.com", "acme.my.salesforce.com"),
        ("https://acme--uat.sandbox.my.salesforce.com", "acme--uat.sandbox.my.salesforce.com"),
    ],
)
def test_each_tenant_signs_in_at_its_own_host(app: None, login_url: str, host: str) -> None:
    consent = consent_of({"login_url": login_url})
    assert urlsplit(Provider.consent_url(consent)).netloc == host


@pytest.mark.parametrize(
    "login_url",
    [
        "http://login.salesforce.com",
        "https://login.salesforce.com.evil.example",
        "https://evil.example/login.salesforce.com",
        "https://salesforce.com@evil.example",
        "https://evilsalesforce.com",
        "https://login.salesforce.com:8443",
        "http://169.254.169.254",
        "javascript:alert(1)",
    ],
)
def test_a_foreign_log_in_host_is_refused(app: None, login_url: str) -> None:
    with pytest.raises(errors.FixConfig, match="not an address of Salesforce"):
        Provider.oauth_app({"login_url": login_url})


def test_a_tenants_own_app_comes_before_this_installations(app: None) -> None:
    own = Provider.oauth_app({"client_id": "their-client", "client_secret": "their-secret"})
    assert (own.client_id, own.client_secret, own.own) == ("their-client", "their-secret", True)
    ours = Provider.oauth_app({})
    assert (ours.client_id, ours.client_secret, ours.own) == ("our-client", "our-secret", False)
    assert "secret" not in repr(own)


def test_half_an_app_or_none_at_all_is_refused_in_words(app: None, settings: Settings) -> None:
    with pytest.raises(errors.FixConfig, match="client id"):
        Provider.oauth_app({"client_secret": "their-secret"})
    settings.SALESFORCE_CLIENT_ID = ""
    with pytest.raises(errors.FixConfig, match="SALESFORCE_CLIENT_ID"):
        Provider.oauth_app({})


# --- there and back -------------------------------------------------------------------------------------------------


def test_a_person_consents_and_the_credential_works_at_once(world: World) -> None:
    consent = consent_of()
    answer = answer_of(go(consent))
    assert (answer["state"], answer["code"][-2:]) == ("state-1", "==")
    credential = Provider.redeem(consent, answer, token_call, datetime.now(UTC))
    assert (credential.auth, credential.instance_url) == ("oauth", world.server.url)
    assert credential.scopes == ("api", "refresh_token", "id")
    provider, _api = connect(Provider, world.server, credential)
    account = provider.identify()
    assert (account.user, len(account.external_id)) == ("integration@acme.example", 18)
    assert Provider.renew(credential, token_call, datetime.now(UTC)).access_token != credential.access_token


def test_the_log_in_host_and_an_own_app_are_kept_for_renewals(world: World, settings: Settings) -> None:
    settings.SALESFORCE_CLIENT_ID = settings.SALESFORCE_CLIENT_SECRET = "another-app"
    settings.SALESFORCE_LOGIN_URL = LOGIN
    settings.CRM_ALLOWED_HOSTS = [world.server.url.removeprefix("http://")]
    options = {"login_url": world.server.url, "client_id": "sandbox-client", "client_secret": "sandbox-secret"}
    consent = consent_of(options)
    credential = Provider.redeem(consent, answer_of(go(consent)), token_call, datetime.now(UTC))
    assert {key: credential.secrets[key] for key in options} == options
    assert Provider.renew(credential, token_call, datetime.now(UTC)).access_token


def test_this_installations_app_is_not_copied_into_credentials(world: World) -> None:
    consent = consent_of()
    credential = Provider.redeem(consent, answer_of(go(consent)), token_call, datetime.now(UTC))
    assert set(credential.secrets) <= {oauth.SESSION_KEY}


def test_the_end_of_the_session_is_an_estimate_that_salesforce_confirms(world: World) -> None:
    now = datetime.now(UTC)
    consent = consent_of()
    credential = Provider.redeem(consent, answer_of(go(consent)), token_call, now)
    assert credential.expires_at is not None
    assert abs(credential.expires_at - now - timedelta(hours=2)) < timedelta(minutes=1)
    assert web_flow.session_seconds(credential, token_call, now) == pytest.approx(7_200, abs=5)
    assert web_flow.session_seconds(replace(credential, access_token="dead"), token_call, now) == 0


def test_a_code_is_good_once(world: World) -> None:
    consent = consent_of()
    answer = answer_of(go(consent))
    Provider.redeem(consent, answer, token_call, NOW)
    with pytest.raises(errors.FixConfig, match="used already") as caught:
        Provider.redeem(consent, answer, token_call, NOW)
    assert caught.value.cause == "code_expired"


def test_a_code_is_good_for_fifteen_minutes(world: World) -> None:
    consent = consent_of()
    answer = answer_of(go(consent))
    world.sandbox.clock.advance(901)
    with pytest.raises(errors.FixConfig) as caught:
        Provider.redeem(consent, answer, token_call, NOW)
    assert caught.value.cause == "code_expired"


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        pytest.param({"verifier": "w" * 64}, "invalid_request", id="another verifier"),
        pytest.param({"verifier": ""}, "code_refused", id="no verifier"),
        pytest.param({"redirect_uri": CALLBACK + "x"}, "redirect_uri_mismatch", id="another callback"),
        pytest.param({"app": OAuthApp("sandbox-client", "wrong")}, "invalid_client", id="a wrong secret"),
        pytest.param({"app": OAuthApp("nobody", "sandbox-secret")}, "invalid_client_id", id="an unknown app"),
    ],
)
def test_a_code_is_bound_to_the_attempt_that_asked_for_it(world: World, changed: dict[str, Any], cause: str) -> None:
    consent = consent_of()
    answer = answer_of(go(consent))
    if "app" in changed:
        changed = {"app": replace(changed["app"], login_url=world.server.url)}
    with pytest.raises(errors.FixConfig) as caught:
        Provider.redeem(replace(consent, **changed), answer, token_call, NOW)
    assert caught.value.cause == cause


def test_a_sixth_approval_silently_ends_the_oldest(world: World) -> None:
    credentials = []
    for _ in range(6):
        consent = consent_of()
        credentials.append(Provider.redeem(consent, answer_of(go(consent)), token_call, NOW))
    with pytest.raises(errors.Reconnect) as caught:
        Provider.renew(credentials[0], token_call, NOW)
    assert caught.value.cause == "token_revoked"
    assert world.ask("GET", f"{DATA}/sobjects").status_code == 401  # the seeded one was the first to go
    assert Provider.renew(credentials[1], token_call, NOW).access_token


def test_the_callback_may_carry_an_app_without_a_secret(world: World, settings: Settings) -> None:
    settings.SALESFORCE_CLIENT_SECRET = ""
    consent = consent_of()
    seen: list[Mapping[str, str]] = []

    def spy(url: str, form: Mapping[str, str], **more: Any) -> requests.Response:
        seen.append(form)
        return token_call(url, form, **more)

    with pytest.raises(errors.FixConfig):  # this app has one
        Provider.redeem(consent, answer_of(go(consent)), spy, NOW)
    assert "client_secret" not in seen[0]


# --- no -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "cause", "words"),
    [
        ("deny_consent", "consent_denied", "Allow"),
        ("block_app", "app_not_installed", "administrator installs it"),
    ],
)
def test_a_refusal_on_the_page_says_what_to_do(world: World, kind: str, cause: str, words: str) -> None:
    world.dial({"kind": kind})
    consent = consent_of()
    with pytest.raises(errors.FixConfig, match=words) as caught:
        Provider.redeem(consent, answer_of(go(consent)), token_call, NOW)
    assert caught.value.cause == cause


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        ({"error": "access_denied", "error_description": "end-user denied authorization"}, "consent_denied"),
        ({"error": "immediate_unsuccessful"}, "consent_denied"),
        ({"error": "invalid_app_access", "error_description": "user is not admin approved"}, "app_not_approved"),
        ({"error": "access_denied", "error_description": "OAUTH_APPROVAL_ERROR_GENERIC"}, "app_not_installed"),
        ({"error": "invalid_scope", "error_description": "the requested scope is invalid"}, "consent_refused"),
        ({}, "consent_refused"),
    ],
)
@responses.activate
def test_without_a_code_nothing_is_asked_of_salesforce(app: None, answer: dict[str, str], cause: str) -> None:
    with pytest.raises(errors.FixConfig) as caught:
        Provider.redeem(consent_of(), {"state": "state-1", **answer}, token_call, NOW)
    assert caught.value.cause == cause
    assert not responses.calls


@pytest.mark.parametrize(
    ("status", "refusal", "kind", "cause"),
    [
        (400, ("invalid_grant", "expired authorization code"), errors.FixConfig, "code_expired"),
        (400, ("invalid_grant", "invalid authorization code"), errors.FixConfig, "code_expired"),
        (400, ("invalid_grant", "invalid code verifier"), errors.FixConfig, "code_refused"),
        (400, ("invalid_grant", "authentication failure"), errors.FixConfig, "sign_in_refused"),
        (400, ("invalid_grant", "ip restricted"), errors.FixConfig, "ip_restricted"),
        (400, ("invalid_grant", "inactive user"), errors.FixConfig, "inactive_user"),
        (400, ("invalid_grant", "inactive organization"), errors.FixConfig, "inactive_organisation"),
        (400, ("invalid_client_id", "client identifier invalid"), errors.Standstill, "invalid_client_id"),
        (401, ("invalid_client", "invalid client credentials"), errors.Standstill, "invalid_client"),
        (
            400,
            ("invalid_client credentials", "invalid client credentials"),
            errors.Standstill,
            "invalid_client credentials",
        ),
        (400, ("invalid_app_access", "user is not admin approved"), errors.FixConfig, "app_not_approved"),
        (400, ("redirect_uri_mismatch", "must match"), errors.Standstill, "redirect_uri_mismatch"),
        (400, ("unsupported_grant_type", "not supported"), errors.Standstill, "unsupported_grant_type"),
        (400, ("invalid_scope", "unknown scope"), errors.Standstill, "invalid_scope"),
        (400, ("invalid_request", "invalid code challenge"), errors.Standstill, "invalid_request"),
        (400, ("rate_limit_exceeded", "login rate exceeded"), errors.Throttled, "rate_limited"),
        (503, ("temporarily_unavailable", "come back"), errors.Retry, "service_unavailable"),
        (500, ("server_error", ""), errors.Retry, "service_unavailable"),
    ],
)
@responses.activate
def test_each_refusal_of_a_code_says_what_to_do(
    app: None, status: int, refusal: tuple[str, str], kind: type[errors.CrmError], cause: str
) -> None:
    responses.post(TOKEN_URL, status=status, json=dict(zip(("error", "error_description"), refusal, strict=True)))
    with pytest.raises(kind) as caught:
        Provider.redeem(consent_of(), {"code": "c"}, token_call, NOW)
    assert type(caught.value) is kind
    assert caught.value.cause == cause
    assert len(caught.value.message.split()) > 4


@pytest.mark.parametrize(
    ("own", "words"),
    [({}, "SALESFORCE_CLIENT_ID"), ({"client_id": "theirs", "client_secret": "s"}, "your Salesforce app")],
    ids=["ours", "their own"],
)
@responses.activate
def test_a_wrong_registration_is_told_to_whoever_can_mend_it(app: None, own: dict[str, str], words: str) -> None:
    responses.post(TOKEN_URL, status=400, json={"error": "invalid_client", "error_description": "no"})
    with pytest.raises(errors.FixConfig, match=words):
        Provider.redeem(consent_of(own), {"code": "c"}, token_call, NOW)


# --- the answer -----------------------------------------------------------------------------------------------------


@responses.activate
def test_a_signed_answer_is_taken_and_a_forged_one_is_not(app: None) -> None:
    responses.post(TOKEN_URL, json=signed(GRANTED, "our-secret"))
    responses.post(INTROSPECT_URL, status=400, json={"error": "invalid_client"})
    credential = Provider.redeem(consent_of(), {"code": "c"}, token_call, NOW)
    assert (credential.access_token, credential.refresh_token) == ("00D!new", "5Aep-new")
    assert credential.expires_at == datetime(2024, 6, 10, 8, 13, 20, tzinfo=UTC)  # two hours after issued_at
    for forged in (
        signed(GRANTED, "another-secret"),
        {**signed(GRANTED, "our-secret"), "id": f"{LOGIN}/id/00Dxx0000001other/005xx000001SwiUAAS"},
        {**GRANTED, "signature": "not base64!"},
    ):
        responses.replace(responses.POST, TOKEN_URL, json=forged)
        with pytest.raises(errors.FixConfig) as caught:
            Provider.redeem(consent_of(), {"code": "c"}, token_call, NOW)
        assert caught.value.cause == "bad_signature"


@responses.activate
def test_without_a_secret_no_signature_can_be_checked(app: None, settings: Settings) -> None:
    settings.SALESFORCE_CLIENT_SECRET = ""
    responses.post(TOKEN_URL, json=signed(GRANTED, "whatever"))
    responses.post(INTROSPECT_URL, status=500)
    assert Provider.redeem(consent_of(), {"code": "c"}, token_call, NOW).access_token == "00D!new"


@responses.activate
def test_an_app_that_gives_no_refresh_token_is_refused_in_words(app: None) -> None:
    responses.post(TOKEN_URL, json={key: value for key, value in GRANTED.items() if key != "refresh_token"})
    with pytest.raises(errors.FixConfig, match="refresh_token, offline_access"):
        Provider.redeem(consent_of(), {"code": "c"}, token_call, NOW)


@pytest.mark.parametrize("answer", [{"active": False}, {"active": True}, {"active": True, "exp": "soon"}, None])
@responses.activate
def test_an_unknown_lifetime_keeps_nobody_from_connecting(app: None, answer: dict[str, Any] | None) -> None:
    responses.post(TOKEN_URL, json=GRANTED)
    if answer is None:
        responses.post(INTROSPECT_URL, body=requests.ConnectionError("gone"))
    else:
        responses.post(INTROSPECT_URL, json=answer)

    def call(url: str, form: Mapping[str, str], **more: Any) -> requests.Response:
        try:
            return token_call(url, form, **more)
        except requests.RequestException as error:
            raise errors.Retry("No answer.") from error

    credential = Provider.redeem(consent_of(), {"code": "c"}, call, NOW)
    assert credential.expires_at == datetime(2024, 6, 10, 8, 13, 20, tzinfo=UTC)


@responses.activate
def test_a_short_session_policy_is_remembered_for_renewals(app: None) -> None:
    responses.post(TOKEN_URL, json=GRANTED)
    responses.post(INTROSPECT_URL, json={"active": True, "exp": int(NOW.timestamp()) + 900})
    credential = Provider.redeem(consent_of(), {"code": "c"}, token_call, NOW)
    assert credential.expires_at == NOW + timedelta(minutes=15)
    responses.replace(responses.POST, TOKEN_URL, json={"access_token": "00D!next"})
    renewed = Provider.renew(credential, token_call, NOW + timedelta(hours=1))
    assert renewed.expires_at == NOW + timedelta(hours=1, minutes=15)
    assert (renewed.refresh_token, renewed.scopes) == ("5Aep-new", ("refresh_token", "api", "id"))


# --- the end --------------------------------------------------------------------------------------------------------


def test_disconnecting_ends_the_refresh_token_and_its_sessions(world: World) -> None:
    consent = consent_of()
    credential = Provider.redeem(consent, answer_of(go(consent)), token_call, datetime.now(UTC))
    Provider.revoke(credential, token_call)
    with pytest.raises(errors.Reconnect):
        Provider.renew(credential, token_call, NOW)
    headers = {"Authorization": f"Bearer {credential.access_token}"}
    assert requests.get(f"{world.server.url}{DATA}/sobjects", headers=headers, timeout=5).status_code == 401
    Provider.revoke(credential, token_call)  # a dead one is a success


def test_disconnecting_after_rotation_ends_the_session_too(world: World) -> None:
    world.dial({"kind": "rotate"})
    renewed = Provider.renew(world.credential, token_call, datetime.now(UTC))
    Provider.revoke(renewed, token_call)
    headers = {"Authorization": f"Bearer {renewed.access_token}"}
    assert requests.get(f"{world.server.url}{DATA}/sobjects", headers=headers, timeout=5).status_code == 401


@pytest.mark.parametrize(
    ("credential", "token"),
    [
        (Credential("oauth", access_token="00D!a", refresh_token="5Aep-r"), "5Aep-r"),
        (Credential("jwt", access_token="00D!a"), "00D!a"),
        (Credential("jwt"), None),
    ],
)
@responses.activate
def test_the_refresh_token_is_revoked_first(app: None, credential: Credential, token: str | None) -> None:
    responses.post(REVOKE_URL, status=200)
    Provider.revoke(credential, token_call)
    assert [parse_qs(str(call.request.body)) for call in responses.calls] == ([{"token": [token]}] if token else [])


@pytest.mark.parametrize(
    ("status", "body", "fails"),
    [
        pytest.param(400, "error=invalid_token&error_description=invalid%20token", False, id="dead, as a form"),
        pytest.param(400, '{"error": "invalid_token", "error_description": "invalid"}', False, id="dead, as JSON"),
        pytest.param(400, "error=unsupported_token_type", False, id="nothing to revoke"),
        pytest.param(400, "error=invalid_request", True, id="refused"),
        pytest.param(503, "<html>Down</html>", True, id="down"),
        pytest.param(429, "", True, id="too many"),
    ],
)
@responses.activate
def test_a_revocation_that_was_not_confirmed_is_told(app: None, status: int, body: str, fails: bool) -> None:
    responses.post(REVOKE_URL, status=status, body=body)
    credential = Credential("oauth", refresh_token="5Aep-r")
    if not fails:
        Provider.revoke(credential, token_call)
        return
    with pytest.raises(errors.Retry, match="End it there"):
        Provider.revoke(credential, token_call)


# --- the fake organisation ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"scope": "api everything"}, "invalid_scope"),
        ({"prompt": "nonsense"}, "invalid_request"),
    ],
)
def test_the_consent_page_sends_mistakes_back(world: World, changed: dict[str, str], error: str) -> None:
    answer = answer_of(go(consent_of(), changed))
    assert (answer["error"], answer["state"]) == (error, "state-1")
    assert "code" not in answer


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"client_id": "nobody"}, "invalid_client_id"),
        ({"redirect_uri": "http://evil.example/connect/salesforce/callback/"}, "redirect_uri_mismatch"),
        ({"redirect_uri": "https://app.example/elsewhere"}, "redirect_uri_mismatch"),
        ({"redirect_uri": CALLBACK + "?next=x"}, "redirect_uri_mismatch"),
        ({"redirect_uri": None}, "redirect_uri_mismatch"),
    ],
)
def test_the_consent_page_never_goes_to_an_address_that_is_not_registered(
    world: World, changed: dict[str, str | None], words: str
) -> None:
    page = go(consent_of(), changed)
    assert (page.status_code, page.headers.get("Location")) == (400, None)
    assert words in page.text


def test_a_consent_without_the_scope_gives_no_refresh_token(world: World) -> None:
    consent = consent_of()
    answer = answer_of(go(consent, {"scope": "api id"}))
    with pytest.raises(errors.FixConfig) as caught:
        Provider.redeem(consent, answer, token_call, NOW)
    assert caught.value.cause == "no_refresh_token"


def test_the_identity_address_knows_the_bearer(world: World) -> None:
    org = next(world.store.all("Organization"))["Id"]
    user = next(world.store.all("User"))["Id"]
    assert world.ask("GET", f"/id/{org}/{user}").json()["organization_id"] == org
    assert requests.get(f"{world.server.url}/id/{org}/{user}", timeout=5).status_code == 403


def test_an_app_that_was_not_approved_for_the_user_is_refused_at_the_token_service(world: World) -> None:
    world.dial({"kind": "unapproved_app"})
    with pytest.raises(errors.Reconnect) as caught:
        Provider.renew(world.credential, token_call, NOW)
    assert caught.value.cause == "app_not_approved"
