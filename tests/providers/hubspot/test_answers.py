"""Single exchanges that the sandbox would not make up: odd answers, quotas, and what each means."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
import responses
from pytest_django import Settings

from integrations import errors
from integrations.providers.hubspot.endpoints import ENDPOINTS, path
from integrations.providers.hubspot.outcomes import STANDARD
from integrations.providers.hubspot.provider import Provider
from integrations.providers.hubspot.sandbox.portal import rate_limit_body
from integrations.records.connections import Connection, Credential
from integrations.records.limits import RateHint
from tests.providers.harness import PlainApi, token_call
from tests.providers.hubspot.test_calls import call

HOST = "https://api.hubapi.com"
OAUTH = Credential(auth="oauth", access_token="a", refresh_token="r", secrets={"client_id": "i", "client_secret": "s"})
NOW = datetime(2026, 11, 22, tzinfo=UTC)
OUTCOMES = {"options": [{"label": "Connected", "value": STANDARD["connected"]}]}


def answer(status: int, body: Any = None, headers: dict[str, str] | None = None) -> requests.Response:
    response = requests.Response()
    response.status_code = status
    response._content = (body if isinstance(body, str) else json.dumps(body)).encode() if body is not None else b""
    response.headers.update(headers or {})
    return response


@pytest.fixture
def provider(settings: Settings) -> Provider:
    settings.HUBSPOT_API_URL = HOST
    api = PlainApi(Provider, Credential(auth="private_app", access_token="pat"), HOST)
    return Provider(Connection(id="c", tenant_id="t", metadata={"call_upsert": True}), api)


# --- statuses -------------------------------------------------------------------------------------------------------

SCOPES = {
    "category": "MISSING_SCOPES",
    "message": "This app hasn't been granted all required scopes.",
    "errors": [{"message": "…", "context": {"requiredGranularScopes": ["crm.objects.owners.read"]}}],
}
BAD_OPTION = {
    "category": "VALIDATION_ERROR",
    "message": "Property values were not valid: "
    '[{"isValid":false,"message":"x was not one of the allowed options: [a, b]","error":"INVALID_OPTION",'
    '"name":"hs_ticket_category","localizedErrorMessage":"…"}]',
    "correlationId": "11111111-2222-3333-4444-555555555555",
}
LINK = {
    "category": "VALIDATION_ERROR",
    "message": "One or more associations are invalid",
    "context": {"INVALID_OBJECT_IDS": ["CONTACT=9 is not valid"], "objectId": ["9"], "objectType": ["CONTACT"]},
}


@pytest.mark.parametrize(
    ("response", "kind", "after"),
    [
        pytest.param(answer(429, rate_limit_body("TEN_SECONDLY_ROLLING")), errors.Throttled, 10.0, id="burst"),
        pytest.param(answer(429, rate_limit_body("SECONDLY")), errors.Throttled, 1.0, id="search"),
        pytest.param(answer(429, rate_limit_body("DAILY")), errors.Throttled, 3600.0, id="day"),
        pytest.param(
            answer(429, rate_limit_body("DAILY"), {"Retry-After": "77"}),
            errors.Throttled,
            77.0,
            id="day, told how long",
        ),
        pytest.param(answer(429, "<html>Too many</html>"), errors.Throttled, 10.0, id="429 from a gateway"),
        pytest.param(answer(423, {"message": "locked"}), errors.Retry, 2.0, id="locked"),
        pytest.param(answer(423, None, {"Retry-After": "9"}), errors.Retry, 9.0, id="locked, told how long"),
        pytest.param(answer(477, None, {"Retry-After": "7200"}), errors.Throttled, 7200.0, id="account moving"),
        pytest.param(answer(477, "<html></html>"), errors.Throttled, 60.0, id="account moving, nobody says how long"),
        *(
            pytest.param(answer(code, "<html>"), errors.Retry, None, id=str(code))
            for code in (503, 504, *range(521, 527))
        ),
        pytest.param(answer(500, ""), errors.Retry, None, id="500 with an empty body"),
        pytest.param(answer(502, "<html><h1>502</h1></html>"), errors.Retry, None, id="502 with a web page"),
        pytest.param(answer(414, "<html>URI Too Long</html>"), errors.FixData, None, id="address too long"),
        pytest.param(answer(429, {"category": "RATE_LIMITS"}), errors.Throttled, 10.0, id="429 by category"),
        pytest.param(
            answer(401, {"category": "INVALID_AUTHENTICATION"}), errors.Reconnect, None, id="token not accepted"
        ),
        pytest.param(answer(404, {"category": "OBJECT_NOT_FOUND"}), errors.Gone, None, id="object not found"),
        pytest.param(
            answer(400, {"category": "VALIDATION_ERROR", "message": "77 already has that value"}),
            errors.FixData,
            None,
            id="unique value taken",
        ),
        pytest.param(answer(401, {"category": "EXPIRED_AUTHENTICATION"}), errors.Reconnect, None, id="token expired"),
        pytest.param(answer(401, ""), errors.Reconnect, None, id="401 without a word"),
        pytest.param(answer(403, SCOPES), errors.FixConfig, None, id="scope missing"),
        pytest.param(answer(403, "<html>no</html>"), errors.FixConfig, None, id="403 with a web page"),
        pytest.param(answer(404, {"message": "resource not found"}), errors.Gone, None, id="record gone"),
        pytest.param(answer(404, "<html>Not found</html>"), errors.Standstill, None, id="wrong address"),
        pytest.param(answer(400, LINK), errors.Gone, None, id="contact of an association gone"),
        pytest.param(answer(400, BAD_OPTION), errors.FixData, None, id="bad value"),
        pytest.param(answer(400, "<html>Bad</html>"), errors.FixData, None, id="400 with a web page"),
        pytest.param(
            answer(409, {"message": "Contact already exists. Existing ID: 12345", "category": "CONFLICT"}),
            errors.FixData,
            None,
            id="duplicate",
        ),
        pytest.param(answer(409, {"message": "busy"}), errors.Stale, None, id="other conflict"),
    ],
)
def test_an_answer_says_what_to_do(
    response: requests.Response, kind: type[errors.CrmError], after: float | None
) -> None:
    error = Provider.classify(response)
    assert type(error) is kind
    assert getattr(error, "after", None) == after


@pytest.mark.parametrize("status", [200, 201, 204, 207])
def test_success_has_many_numbers(status: int) -> None:
    assert Provider.classify(answer(status, {})) is None


def test_a_refused_value_names_its_property_and_keeps_the_correlation_id() -> None:
    error = Provider.classify(answer(400, BAD_OPTION))
    assert isinstance(error, errors.FixData)
    assert error.fields == ("hs_ticket_category",)
    assert "x was not one of the allowed options" in error.message
    assert "isValid" not in error.message
    assert "11111111-2222-3333-4444-555555555555" in error.detail


def test_a_property_that_hubspot_has_not_is_a_cause_of_its_own() -> None:
    detail = {"code": "PROPERTY_DOESNT_EXIST", "context": {"propertyName": ["ai_call_score"]}, "message": "no"}
    error = Provider.classify(answer(400, {"category": "VALIDATION_ERROR", "message": "no", "errors": [detail]}))
    assert isinstance(error, errors.FixData)
    assert (error.cause, error.fields) == ("unknown_property", ("ai_call_score",))


def test_missing_scopes_are_named() -> None:
    error = Provider.classify(answer(403, SCOPES))
    assert error is not None
    assert "crm.objects.owners.read" in error.message


@pytest.mark.parametrize(
    "body",
    [
        [],
        "null",
        {"errors": None},
        {"errors": ["text"], "context": "text"},
        {"message": "[{broken", "context": {"a": 1}},
    ],
    ids=str,
)
def test_an_error_body_of_any_shape_is_survived(body: Any) -> None:
    assert isinstance(Provider.classify(answer(400, body)), errors.FixData)


# --- quotas ---------------------------------------------------------------------------------------------------------


def test_the_headers_tell_the_quota() -> None:
    headers = {
        "X-HubSpot-RateLimit-Max": "190",
        "X-HubSpot-RateLimit-Remaining": "12",
        "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
        "X-HubSpot-RateLimit-Daily": "625000",
        "X-HubSpot-RateLimit-Daily-Remaining": "600000",
    }
    assert Provider.rate_hints(answer(200, {}, headers), ("default",)) == [
        RateHint("default", 190, 10.0, 12),
        RateHint("daily", 625_000, 86_400.0, 600_000),
    ]


def test_an_answer_without_headers_tells_nothing() -> None:
    assert Provider.rate_hints(answer(200, {}, {"X-HubSpot-RateLimit-Max": "soon"}), ("search",)) == []


@pytest.mark.parametrize(
    ("address", "bucket"),
    [
        ("/crm/v3/objects/contacts/search", "search"),
        ("https://api.hubapi.com/crm/v3/objects/calls/search?x=1", "search"),
        ("/crm/v3/objects/contacts?properties=search", "default"),
        ("/crm/v3/objects/calls/batch/upsert", "default"),
    ],
)
def test_searches_have_a_bucket_of_their_own(address: str, bucket: str) -> None:
    assert Provider.buckets("POST", address) == (bucket,)


# --- tokens ---------------------------------------------------------------------------------------------------------


@responses.activate
def test_the_lifetime_of_a_token_is_what_the_answer_says(settings: Settings) -> None:
    settings.HUBSPOT_API_URL = HOST
    responses.post(HOST + ENDPOINTS["token"], json={"access_token": "new", "expires_in": 777, "token_type": "bearer"})
    renewed = Provider.renew(OAUTH, token_call, NOW)
    assert (renewed.access_token, renewed.refresh_token) == ("new", "r"), "no new refresh token: the old one stays"
    assert renewed.expires_at == NOW + timedelta(seconds=777)
    assert responses.calls[0].request.body == "grant_type=refresh_token&refresh_token=r&client_id=i&client_secret=s"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        pytest.param(400, {"status": "BAD_REFRESH_TOKEN", "message": "unknown"}, errors.Reconnect, id="revoked, v1"),
        pytest.param(400, {"error": "invalid_grant"}, errors.Reconnect, id="revoked, v3"),
        pytest.param(400, {"status": "BAD_CLIENT_ID"}, errors.Standstill, id="unknown app"),
        pytest.param(404, "<html>Not found</html>", errors.Standstill, id="endpoint switched off"),
        pytest.param(302, "", errors.Standstill, id="redirect"),
        pytest.param(429, "", errors.Throttled, id="too often"),
        pytest.param(503, "<html>down</html>", errors.Retry, id="down"),
        pytest.param(200, "<html>hello</html>", errors.Retry, id="a page instead of a token"),
        pytest.param(200, {"token_type": "bearer"}, errors.Retry, id="no token inside"),
    ],
)
@responses.activate
def test_a_failed_renewal_says_whose_turn_it_is(
    settings: Settings, status: int, body: Any, kind: type[errors.CrmError]
) -> None:
    settings.HUBSPOT_API_URL = HOST
    text = body if isinstance(body, str) else json.dumps(body)
    responses.post(HOST + ENDPOINTS["token"], status=status, body=text)
    with pytest.raises(errors.CrmError) as caught:
        Provider.renew(OAUTH, token_call, NOW)
    assert type(caught.value) is kind


# --- odd answers to good questions ----------------------------------------------------------------------------------


@responses.activate
def test_the_services_clock_sets_where_the_next_run_begins(provider: Provider) -> None:
    """Ours may be a day wrong; theirs stamps the records."""
    date = {"Date": "Mon, 05 Jan 2026 10:00:00 GMT"}
    responses.post(HOST + path("search", type="contacts"), json={"total": 0, "results": []}, headers=date)
    responses.get(HOST + path("objects", type="contacts"), json={"results": []}, headers=date)
    (page,) = provider.changes("contacts", None, ["email"])
    assert page.cursor == {"since": int(datetime(2026, 1, 5, 9, 59, tzinfo=UTC).timestamp() * 1000)}


@pytest.mark.parametrize("cursor", [None, {"since": 1_760_000_000_000}], ids=["first run", "later run"])
@responses.activate
def test_the_next_run_begins_at_the_start_of_this_one_not_at_its_end(
    provider: Provider, cursor: dict[str, Any] | None
) -> None:
    more = {"total": 2, "results": [{"id": "1", "properties": {}}], "paging": {"next": {"after": "1"}}}
    last = {"total": 1, "results": [{"id": "2", "properties": {}}]}
    for hour, body in ((10, more), (15, last)):
        headers = {"Date": f"Mon, 05 Jan 2026 {hour}:00:00 GMT"}
        responses.get(HOST + path("objects", type="contacts"), json=body, headers=headers)
        responses.post(HOST + path("search", type="contacts"), json=body, headers=headers)
    first = next(iter(provider.changes("contacts", cursor, ["email"])))
    (second,) = provider.changes("contacts", json.loads(json.dumps(first.cursor)), ["email"])
    assert second.cursor == {"since": int(datetime(2026, 1, 5, 9, 59, tzinfo=UTC).timestamp() * 1000)}


@responses.activate
def test_a_clock_that_jumps_back_does_not_move_the_cursor_back(provider: Provider) -> None:
    date = {"Date": "Mon, 05 Jan 2026 10:00:00 GMT"}
    responses.post(HOST + path("search", type="contacts"), json={"total": 0, "results": []}, headers=date)
    later = {"since": int(datetime(2026, 6, 1, tzinfo=UTC).timestamp() * 1000)}
    (page,) = provider.changes("contacts", later, ["email"])
    assert page.cursor == later


@responses.activate
def test_a_first_run_does_without_a_total_when_the_search_is_down(provider: Provider) -> None:
    responses.post(HOST + path("search", type="contacts"), status=503)
    responses.get(HOST + path("objects", type="contacts"), json={"results": []})
    (page,) = provider.changes("contacts", None, ["email"])
    assert page.total is None


@pytest.mark.parametrize("body", ["", "<html>ok</html>", '{"results": [{"id"', "[]"])
@responses.activate
def test_a_good_status_with_a_broken_body_is_tried_again(provider: Provider, body: str) -> None:
    responses.get(HOST + path("objects", type="contacts"), body=body)
    responses.post(HOST + path("search", type="contacts"), body=body)
    with pytest.raises(errors.Retry):
        list(provider.changes("contacts", None, ["email"]))


@pytest.mark.parametrize("cursor", [None, {"since": 1_760_000_000_000}], ids=["first run", "later run"])
@responses.activate
def test_a_page_that_comes_again_is_not_read_for_ever(provider: Provider, cursor: dict[str, Any] | None) -> None:
    page = {"total": 9, "results": [{"id": "1", "properties": {}}], "paging": {"next": {"after": "1"}}}
    responses.get(HOST + path("objects", type="contacts"), json=page)
    responses.post(HOST + path("search", type="contacts"), json=page)
    with pytest.raises(errors.Retry, match="same page twice"):
        list(provider.changes("contacts", cursor, ["email"]))


@responses.activate
def test_an_absent_record_counts_as_missing_only_if_nothing_else_went_wrong(provider: Provider) -> None:
    trouble = {"status": "error", "category": "INTERNAL_ERROR", "message": "shard down", "context": {"ids": ["2"]}}
    responses.post(
        HOST + path("batch", type="contacts", action="read"),
        status=207,
        json={"status": "COMPLETE", "results": [{"id": "1", "properties": {}}], "numErrors": 1, "errors": [trouble]},
    )
    with pytest.raises(errors.Retry, match="could not read"):
        provider.fetch("contacts", ["1", "2"], ["email"])


@responses.activate
def test_a_call_that_the_answer_does_not_mention_is_looked_up_later(provider: Provider) -> None:
    responses.get(HOST + path("owners"), json={"results": []})
    responses.get(HOST + path("property", type="calls", name="hs_call_disposition"), json=OUTCOMES)
    responses.post(HOST + path("batch", type="calls", action="upsert"), json={"status": "PENDING", "results": []})
    (written,) = provider.log_calls([call(1, "512")])
    assert isinstance(written.error, errors.OutcomeUnknown)


@responses.activate
def test_answers_are_matched_by_trace_id_or_record_id(provider: Provider) -> None:
    """An answer may name its record by either, in any order."""
    responses.get(HOST + path("owners"), json={"results": []})
    responses.get(HOST + path("property", type="calls", name="hs_call_disposition"), json=OUTCOMES)
    new, known, lost = call(1, "512"), call(2, "513", crm_record_id="72"), call(3, "514", crm_record_id="73")
    created = {"id": "71", "properties": {}, "objectWriteTraceId": new.key, "new": True}
    responses.post(HOST + path("batch", type="calls", action="upsert"), json={"results": [created]})
    gone = {"category": "OBJECT_NOT_FOUND", "message": "Could not get some CALL objects", "context": {"ids": ["73"]}}
    responses.post(
        HOST + path("batch", type="calls", action="update"),
        status=207,
        json={"results": [{"id": "72", "properties": {}}], "errors": [gone]},
    )
    links = [{"from": {"id": "71"}, "to": {"id": "512"}}, {"from": {"id": "72"}, "to": {"id": "513"}}]
    responses.post(HOST + path("associate_batch", type="calls", to_type="contacts"), json={"results": links})
    written = provider.log_calls([new, known, lost])
    assert [(each.id, each.created, type(each.error)) for each in written] == [
        ("71", True, type(None)),
        ("72", False, type(None)),
        ("", False, errors.Gone),
    ]


@responses.activate
def test_a_lost_race_for_one_key_is_tried_again(provider: Provider) -> None:
    clash = {
        "status": "error",
        "category": "VALIDATION_ERROR",
        "message": "Cannot set PropertyValueCoordinates: 77 already has that value",
        "context": {"objectWriteTraceId": [call(1, "512").key]},
    }
    responses.get(HOST + path("owners"), json={"results": []})
    responses.get(HOST + path("property", type="calls", name="hs_call_disposition"), json=OUTCOMES)
    responses.post(
        HOST + path("batch", type="calls", action="upsert"), status=207, json={"results": [], "errors": [clash]}
    )
    (written,) = provider.log_calls([call(1, "512")])
    assert type(written.error) is errors.Retry


@responses.activate
def test_links_that_are_refused_as_a_whole_are_asked_for_one_by_one(provider: Provider) -> None:
    responses.get(HOST + path("owners"), json={"results": []})
    responses.get(HOST + path("property", type="calls", name="hs_call_disposition"), json=OUTCOMES)
    calls = [call(1, "512"), call(2, "513")]
    results = [
        {"id": str(number), "properties": {"dialer_call_id": each.key}, "new": True}
        for number, each in enumerate(calls)
    ]
    responses.post(HOST + path("batch", type="calls", action="upsert"), json={"results": results})
    batch = path("associate_batch", type="calls", to_type="contacts")
    responses.post(HOST + batch, status=400, json={"category": "VALIDATION_ERROR", "message": "no"})
    responses.put(HOST + path("associate", type="calls", id="0", to_type="contacts", to_id="512"), json={})
    responses.put(
        HOST + path("associate", type="calls", id="1", to_type="contacts", to_id="513"),
        status=404,
        json={"message": "?"},
    )
    first, second = provider.log_calls(calls)
    assert (first.id, first.error) == ("0", None)
    assert second.id == "1", "the call is there, only its contact is not"
    assert isinstance(second.error, errors.Gone)


@responses.activate
def test_an_answer_that_names_no_account_is_not_taken_for_one(provider: Provider) -> None:
    responses.get(HOST + path("account"), json={"hello": "world"})
    with pytest.raises(errors.Retry, match="which account"):
        provider.identify()
