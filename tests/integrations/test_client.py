import time

import pytest
import responses

from integrations import errors, tenancy
from integrations.models import ApiUsage, CircuitBreaker, CrmConnection, RateWindow
from integrations.sandbox.server import SandboxServer
from integrations.transport.client import CrmApi, Patience
from tests.fake_crm.provider import Provider

NONE = Patience(turn=0.0, retry=0.0)


def api(connection: CrmConnection, patience: Patience = NONE, **settings: object) -> CrmApi:
    return CrmApi(connection.pk, Provider, settings, patience)


def test_an_answer_comes_back_and_is_counted(connection: CrmConnection, fake_crm: SandboxServer) -> None:
    crm = api(connection)
    assert crm.request("GET", "/me").json()["name"] == "Fake account"
    assert crm.calls == 1
    usage = ApiUsage.objects.get()
    assert (usage.calls, usage.failures) == (1, 0)
    window = RateWindow.objects.get()
    assert (window.quota, window.remaining) == (100, 99)


def test_a_401_renews_the_token_and_repeats_the_request_once(
    connection: CrmConnection, fake_crm: SandboxServer
) -> None:
    token = fake_crm.service.store.get("tokens", "current") or {}
    fake_crm.service.store.put("tokens", "current", {**token, "access": "somebody-logged-us-out"})
    assert api(connection).request("GET", "/me").status_code == 200
    assert fake_crm.counts["GET /me"] == 2


@pytest.mark.parametrize("status", [301, 307, 503])
def test_a_service_that_is_unwell_is_soon_left_alone(
    connection: CrmConnection, fake_crm: SandboxServer, status: int
) -> None:
    fake_crm.service.faults.set(
        [{"kind": "status", "status": status, "headers": {"Location": "https://evil.example/"}}]
    )
    for _ in range(5):
        with pytest.raises(errors.CrmError):
            api(connection).request("GET", "/me")
    with pytest.raises(errors.BreakerOpen):
        api(connection).request("GET", "/me")


def test_a_refused_key_that_cannot_be_renewed_stops_the_connection(
    connection: CrmConnection, fake_crm: SandboxServer
) -> None:
    with tenancy.everyone():
        CrmConnection.objects.update(auth="key", access_token="wrong")
    with pytest.raises(errors.Reconnect):
        api(connection).request("GET", "/me")
    with tenancy.everyone():
        assert CrmConnection.objects.get().status == "needs_reconnecting"
    with pytest.raises(errors.Reconnect):
        api(connection).request("GET", "/me")
    assert fake_crm.counts["GET /me"] == 1


def test_a_credential_whose_fresh_tokens_are_refused_too_stops_the_connection(
    connection: CrmConnection, fake_crm: SandboxServer
) -> None:
    fake_crm.service.faults.set([{"kind": "status", "status": 401, "match": "GET /me"}])
    with pytest.raises(errors.Reconnect):
        api(connection).request("GET", "/me")
    with tenancy.everyone():
        assert CrmConnection.objects.get().status == "needs_reconnecting"
    assert fake_crm.service.faults.dials[0].kept == 3


def test_a_repeatable_request_is_tried_again_within_the_callers_patience(
    connection: CrmConnection, fake_crm: SandboxServer
) -> None:
    fake_crm.service.faults.set([{"kind": "status", "status": 503, "times": 1}])
    started = time.monotonic()
    assert api(connection, Patience(turn=0, retry=2)).request("GET", "/me").status_code == 200
    assert time.monotonic() - started >= 1.0


def test_an_impatient_caller_gets_the_error_at_once(connection: CrmConnection, fake_crm: SandboxServer) -> None:
    fake_crm.service.faults.set([{"kind": "status", "status": 503}])
    with pytest.raises(errors.Retry):
        api(connection).request("GET", "/me")
    assert fake_crm.service.faults.dials[0].kept == 1


@pytest.mark.parametrize("kind", ["drop_after", "drop_before", "html502"])
def test_a_write_without_an_answer_is_never_repeated_blindly(
    connection: CrmConnection, fake_crm: SandboxServer, kind: str
) -> None:
    fake_crm.service.faults.set([{"kind": kind, "match": "POST /calls"}])
    with pytest.raises(errors.OutcomeUnknown):
        api(connection, Patience(turn=0, retry=20)).request("POST", "/calls", json={"key": "1"})
    assert fake_crm.service.faults.dials[0].kept == 1


def test_being_told_to_slow_down_closes_the_bucket_but_not_the_breaker(
    connection: CrmConnection, fake_crm: SandboxServer
) -> None:
    fault = {"kind": "status", "status": 429, "headers": {"Retry-After": "7"}, "times": 1}
    fake_crm.service.faults.set([fault])
    with pytest.raises(errors.Throttled) as refusal:
        api(connection).request("GET", "/me")
    assert refusal.value.after == 7
    with pytest.raises(errors.Throttled) as refusal:
        api(connection).request("GET", "/me")
    assert refusal.value.after == pytest.approx(7, abs=0.3)
    assert fake_crm.counts["GET /me"] == 0
    assert not CircuitBreaker.objects.filter(failures__gt=0).exists()


def test_five_outages_in_a_row_stop_the_asking(connection: CrmConnection, fake_crm: SandboxServer) -> None:
    fake_crm.service.faults.set([{"kind": "html502"}])
    for _ in range(5):
        with pytest.raises(errors.Retry):
            api(connection).request("GET", "/me")
    with pytest.raises(errors.BreakerOpen):
        api(connection).request("GET", "/me")
    assert fake_crm.service.faults.dials[0].kept == 5


def test_a_refused_record_says_nothing_about_the_services_health(
    connection: CrmConnection, fake_crm: SandboxServer
) -> None:
    fake_crm.service.faults.set([{"kind": "status", "status": 400, "body": {"message": "Bad e-mail"}}])
    for _ in range(6):
        with pytest.raises(errors.FixData, match="Bad e-mail"):
            api(connection).request("GET", "/me")


def test_a_connections_own_limit_replaces_the_vendors(connection: CrmConnection, fake_crm: SandboxServer) -> None:
    crm = api(connection, rate_limits={"default": [2, 10]})
    fake_crm.service.faults.set([{"kind": "status", "status": 200, "body": []}])  # an answer without limit headers
    crm.request("GET", "/people")
    crm.request("GET", "/people")
    with pytest.raises(errors.Throttled):
        crm.request("GET", "/people")


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/people",
        "http://app.fakecrm.example/people",
        "https://app.fakecrm.example:8443/people",
        "https://user:pass@app.fakecrm.example/people",
        "https://fakecrm.example.evil.example/people",
        "http://127.0.0.1:1/people",
        "http://169.254.169.254/latest/meta-data",
    ],
)
def test_a_credential_never_goes_to_a_foreign_address(connection: CrmConnection, url: str) -> None:
    with pytest.raises(errors.FixConfig, match="not an address of Fake CRM"):
        api(connection).request("GET", url)


@responses.activate
def test_the_vendors_own_hosts_over_https_are_allowed_and_redirects_not_followed(connection: CrmConnection) -> None:
    responses.get("https://eu.fakecrm.example/me", status=302, headers={"Location": "https://evil.example/"})
    answer = api(connection).request("GET", "https://eu.fakecrm.example/me", accept=(302,))
    assert answer.status_code == 302
    assert len(responses.calls) == 1
