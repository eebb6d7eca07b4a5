from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
import responses
from pytest_django import Settings

from integrations import errors
from integrations.providers.salesforce import oauth
from integrations.providers.salesforce.provider import Provider
from integrations.records.connections import Credential
from tests.providers.harness import token_call
from tests.providers.salesforce.world import DATA, World

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
LOGIN = "https://login.salesforce.com"
TOKEN_URL = f"{LOGIN}/services/oauth2/token"


def assertion_credential(world: World, **more: Any) -> Credential:
    key = next(world.store.all("_keys"))
    parts = {name: key[name] for name in ("client_id", "username", "private_key")}
    return Provider.parse_credential({"auth": "jwt", "login_url": world.server.url, **parts, **more})


def refreshable(**more: Any) -> Credential:
    return Provider.parse_credential(
        {"auth": "oauth", "refresh_token": "5Aep-old", "instance_url": "https://acme.my.salesforce.com", **more}
    )


@pytest.fixture
def app(settings: Settings) -> None:
    settings.SALESFORCE_LOGIN_URL = LOGIN
    settings.SALESFORCE_TEST_LOGIN_URL = "https://test.salesforce.com"
    settings.SALESFORCE_CLIENT_ID = "our-client"
    settings.SALESFORCE_CLIENT_SECRET = "our-secret"


# --- what a credential must have ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param({"auth": "api_key"}, "oauth", id="unknown kind"),
        pytest.param({"auth": "oauth"}, "refresh_token or access_token", id="no token"),
        pytest.param({"auth": "oauth", "access_token": "00D!x"}, "instance_url", id="access token without its host"),
        pytest.param({"auth": "jwt", "client_id": "c"}, "username, private_key", id="assertion without its parts"),
        pytest.param(
            {"auth": "jwt", "client_id": "c", "username": "u", "private_key": "nonsense"}, "PEM", id="no private key"
        ),
    ],
)
def test_an_unusable_credential_is_refused_with_a_sentence_that_says_what_is_missing(
    data: dict[str, str], words: str
) -> None:
    with pytest.raises(errors.FixConfig, match=words):
        Provider.parse_credential(data)


def test_the_public_half_of_a_key_is_refused(world: World) -> None:
    with pytest.raises(errors.FixConfig, match="private half"):
        assertion_credential(world, private_key=next(world.store.all("_keys"))["public_key"])


def test_an_access_token_of_an_unknown_host_is_not_used() -> None:
    credential = Provider.parse_credential({"auth": "oauth", "access_token": "00D!x", "refresh_token": "5Aep"})
    assert (credential.access_token, Provider.renewable(credential)) == ("", True)


def test_an_access_token_alone_works_until_it_ends_and_then_asks_for_a_person() -> None:
    credential = Provider.parse_credential(
        {"auth": "oauth", "access_token": "00D!x", "instance_url": "https://acme.my.salesforce.com/"}
    )
    assert Provider.base_url(credential) == "https://acme.my.salesforce.com"
    assert not Provider.renewable(credential)
    with pytest.raises(errors.Reconnect):
        Provider.renew(credential, token_call, NOW)


def test_every_request_is_signed_keeps_owners_and_names_us() -> None:
    headers = Provider.auth_headers(Credential("oauth", access_token="00D!x"))
    assert headers["Authorization"] == "Bearer 00D!x"
    assert headers["Sforce-Auto-Assign"] == "FALSE"
    assert headers["Sforce-Call-Options"] == "client=DialerSync"


# --- refreshing -----------------------------------------------------------------------------------------------------


def test_a_refresh_learns_the_instance_and_keeps_the_refresh_token(world: World) -> None:
    renewed = Provider.renew(
        Provider.parse_credential({"auth": "oauth", "refresh_token": "5Aep-sandbox-refresh"}), token_call, NOW
    )
    assert (renewed.instance_url, renewed.refresh_token) == (world.server.url, "5Aep-sandbox-refresh")
    assert renewed.expires_at is not None
    assert abs(renewed.expires_at - datetime.now(UTC) - timedelta(hours=2)) < timedelta(minutes=1)


def test_a_rotated_refresh_token_replaces_the_old_one_which_is_dead(world: World) -> None:
    world.dial({"kind": "rotate"})
    renewed = Provider.renew(world.credential, token_call, NOW)
    assert renewed.refresh_token != world.credential.refresh_token
    again = Provider.renew(renewed, token_call, NOW)
    assert again.access_token != renewed.access_token
    with pytest.raises(errors.Reconnect) as caught:
        Provider.renew(world.credential, token_call, NOW)
    assert caught.value.cause == "token_revoked"


def test_a_session_that_has_ended_is_told_by_401_and_a_refresh_cures_it(world: World) -> None:
    provider, api = world.connect()
    world.sandbox.clock.advance(3 * 3600)
    with pytest.raises(errors.Reconnect) as caught:
        provider.identify()
    assert (caught.value.cause, caught.value.status) == ("session_expired", 401)
    api.credential = Provider.renew(world.credential, token_call, NOW)
    assert provider.identify().user == "integration@acme.example"


def test_a_tenants_own_app_comes_before_ours(world: World, settings: Settings) -> None:
    settings.SALESFORCE_CLIENT_ID = settings.SALESFORCE_CLIENT_SECRET = "another-app"
    own = {"client_id": "sandbox-client", "client_secret": "sandbox-secret"}
    credential = Provider.parse_credential({"auth": "oauth", "refresh_token": "5Aep-sandbox-refresh", **own})
    assert Provider.renew(credential, token_call, NOW).access_token
    with pytest.raises(errors.FixConfig, match="SALESFORCE_CLIENT_ID"):
        Provider.renew(world.credential, token_call, NOW)


@responses.activate
def test_without_any_app_the_operator_is_told_and_nothing_is_sent(app: None, settings: Settings) -> None:
    settings.SALESFORCE_CLIENT_ID = ""
    with pytest.raises(errors.FixConfig, match="SALESFORCE_CLIENT_ID"):
        Provider.renew(refreshable(), token_call, NOW)
    assert not responses.calls


@pytest.mark.parametrize(
    ("instance_url", "own", "host"),
    [
        pytest.param("https://acme.my.salesforce.com", {}, "login.salesforce.com", id="production"),
        pytest.param("https://acme--uat.sandbox.my.salesforce.com", {}, "test.salesforce.com", id="sandbox"),
        pytest.param(
            "https://acme.my.salesforce.com",
            {"login_url": "https://acme.my.salesforce.com/"},
            "acme.my.salesforce.com",
            id="own host",
        ),
    ],
)
@responses.activate
def test_a_refresh_goes_to_the_login_host_of_its_kind(
    app: None, instance_url: str, own: dict[str, str], host: str
) -> None:
    responses.post(f"https://{host}/services/oauth2/token", json={"access_token": "00D!new"})
    renewed = Provider.renew(refreshable(instance_url=instance_url, **own), token_call, NOW)
    assert (renewed.access_token, renewed.instance_url, renewed.refresh_token) == ("00D!new", instance_url, "5Aep-old")
    assert renewed.expires_at == NOW + timedelta(hours=2)


@responses.activate
def test_an_app_without_a_secret_sends_none_and_a_moved_organisation_is_followed(app: None, settings: Settings) -> None:
    settings.SALESFORCE_CLIENT_SECRET = ""
    body = {"access_token": "a", "instance_url": "https://new.my.salesforce.com", "issued_at": "1718000000000"}
    responses.post(TOKEN_URL, json=body)
    renewed = Provider.renew(refreshable(), token_call, NOW)
    assert "client_secret" not in str(responses.calls[0].request.body)
    assert renewed.instance_url == "https://new.my.salesforce.com"
    assert renewed.expires_at == datetime(2024, 6, 10, 8, 13, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "refusal", "kind", "cause"),
    [
        (400, ("invalid_grant", "expired access/refresh token"), errors.Reconnect, "token_revoked"),
        (400, ("invalid_grant", "user hasn't approved this consumer"), errors.Reconnect, "app_not_approved"),
        (400, ("invalid_grant", "invalid assertion"), errors.Reconnect, "bad_certificate"),
        (400, ("invalid_grant", "audience is invalid [audience=x login=y]"), errors.Reconnect, "wrong_login_host"),
        (400, ("invalid_grant", "Audience validation failed"), errors.Reconnect, "wrong_login_host"),
        (400, ("invalid_grant", "ip restricted"), errors.Reconnect, "ip_restricted"),
        (400, ("invalid_grant", "inactive user"), errors.Reconnect, "inactive_user"),
        (400, ("invalid_grant", "inactive organization"), errors.Reconnect, "inactive_organisation"),
        (400, ("invalid_grant", "authentication failure"), errors.Reconnect, "sign_in_refused"),
        (400, ("invalid_grant", "something new"), errors.Reconnect, "needs_reconnecting"),
        (400, ("invalid_app_access", "user is not admin approved"), errors.Reconnect, "app_not_approved"),
        (400, ("invalid_client_id", "client identifier invalid"), errors.Standstill, "invalid_client_id"),
        (401, ("invalid_client", "invalid client credentials"), errors.Standstill, "invalid_client"),
        (400, ("unsupported_grant_type", "grant type not supported"), errors.Standstill, "unsupported_grant_type"),
        (400, ("rate_limit_exceeded", "too many logins"), errors.Throttled, "rate_limited"),
        (503, ("temporarily_unavailable", "come back"), errors.Retry, "service_unavailable"),
    ],
)
@responses.activate
def test_each_refusal_of_the_token_service_says_what_to_do(
    app: None, status: int, refusal: tuple[str, str], kind: type[errors.CrmError], cause: str
) -> None:
    responses.post(TOKEN_URL, status=status, json=dict(zip(("error", "error_description"), refusal, strict=True)))
    with pytest.raises(kind) as caught:
        Provider.renew(refreshable(), token_call, NOW)
    assert type(caught.value) is kind
    assert caught.value.cause == cause


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(502, "<html><body>Bad gateway</body></html>", id="a page instead"),
        pytest.param(200, "<html><body>Maintenance</body></html>", id="a page with 200"),
        pytest.param(200, "", id="nothing"),
        pytest.param(200, '{"scope": "api"}', id="no token"),
        pytest.param(200, '["odd"]', id="another shape"),
    ],
)
@responses.activate
def test_an_unreadable_token_answer_is_tried_again_and_changes_nothing(app: None, status: int, body: str) -> None:
    responses.post(TOKEN_URL, status=status, body=body)
    with pytest.raises(errors.Retry):
        Provider.renew(refreshable(), token_call, NOW)


# --- server to server -----------------------------------------------------------------------------------------------


def test_a_signed_assertion_signs_in_and_each_renewal_makes_another(world: World) -> None:
    credential = assertion_credential(world)
    assert Provider.renewable(credential)
    first = Provider.renew(credential, token_call, datetime.now(UTC))
    second = Provider.renew(first, token_call, datetime.now(UTC))
    assert first.instance_url == world.server.url
    assert first.refresh_token == ""
    assert first.access_token != second.access_token


def test_a_key_pasted_with_escaped_line_breaks_works(world: World) -> None:
    pem = next(world.store.all("_keys"))["private_key"].replace("\n", "\\n")
    assert Provider.renew(assertion_credential(world, private_key=pem), token_call, datetime.now(UTC)).access_token


@pytest.mark.parametrize(
    ("more", "cause"),
    [
        pytest.param({"audience": "https://test.salesforce.com"}, "wrong_login_host", id="wrong audience"),
        pytest.param({"username": "nobody@acme.example"}, "app_not_approved", id="unknown user"),
    ],
)
def test_a_wrong_assertion_is_refused(world: World, more: dict[str, str], cause: str) -> None:
    with pytest.raises(errors.Reconnect) as caught:
        Provider.renew(assertion_credential(world, **more), token_call, datetime.now(UTC))
    assert caught.value.cause == cause


def test_an_assertion_of_another_key_is_refused(world: World) -> None:
    from joserfc.jwk import RSAKey

    other = RSAKey.generate_key(2048).as_pem(private=True).decode()
    with pytest.raises(errors.Reconnect) as caught:
        Provider.renew(assertion_credential(world, private_key=other), token_call, datetime.now(UTC))
    assert caught.value.cause == "bad_certificate"


@pytest.mark.parametrize(
    ("login_url", "audience"),
    [
        ("https://login.salesforce.com", "https://login.salesforce.com"),
        ("https://test.salesforce.com", "https://test.salesforce.com"),
        ("https://acme.my.salesforce.com", "https://login.salesforce.com"),
        ("https://acme--uat.sandbox.my.salesforce.com", "https://test.salesforce.com"),
    ],
)
def test_the_audience_is_one_of_the_vendors_two_names(login_url: str, audience: str) -> None:
    assert oauth.audience(Credential("jwt", secrets={"login_url": login_url})) == audience


def test_a_revoked_refresh_token_ends_its_sessions_too(world: World) -> None:
    form = {"token": world.credential.refresh_token}
    answer = requests.post(f"{world.server.url}/services/oauth2/revoke", data=form, timeout=5)
    assert (answer.status_code, answer.content) == (200, b"")
    assert world.ask("GET", f"{DATA}/sobjects").status_code == 401
    with pytest.raises(errors.Reconnect):
        Provider.renew(world.credential, token_call, NOW)
    again = requests.post(f"{world.server.url}/services/oauth2/revoke", data=form, timeout=5)
    assert again.text.startswith("error=invalid_token")


@pytest.mark.parametrize("seconds", [-3600, -300, 300, 3600])
def test_a_machine_whose_clock_is_wrong_signs_in_by_the_clock_of_salesforce(world: World, seconds: int) -> None:
    ours = datetime.now(UTC) + timedelta(seconds=seconds)
    renewed = Provider.renew(assertion_credential(world), token_call, ours)
    assert renewed.access_token
