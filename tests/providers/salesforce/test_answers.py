from typing import Any

import pytest
import requests
import responses
from hypothesis import given
from hypothesis import strategies as st

from integrations import errors
from integrations.providers.salesforce import failures
from integrations.providers.salesforce.provider import Provider
from integrations.records.limits import RateHint

URL = "https://acme.my.salesforce.com/services/data/v59.0/anything"


def answer(status: int, body: Any = None, text: str = "", headers: dict[str, str] | None = None) -> requests.Response:
    with responses.RequestsMock() as service:
        if body is None:
            service.get(URL, status=status, body=text, headers=headers)
        else:
            service.get(URL, status=status, json=body, headers=headers)
        return requests.get(URL, timeout=5, allow_redirects=False)


def problem(status: int, code: str, message: str = "text", **more: Any) -> errors.CrmError:
    found = Provider.classify(answer(status, [{"errorCode": code, "message": message, **more}]))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("status", "code", "kind", "cause"),
    [
        (401, "INVALID_SESSION_ID", errors.Reconnect, "session_expired"),
        (401, "INVALID_AUTH_HEADER", errors.Reconnect, "session_expired"),
        (400, "UNABLE_TO_LOCK_ROW", errors.Retry, "row_locked"),
        (400, "QUERY_TIMEOUT", errors.Retry, "too_slow"),
        (400, "REQUEST_RUNNING_TOO_LONG", errors.Retry, "too_slow"),
        (503, "SERVER_UNAVAILABLE", errors.Retry, "service_unavailable"),
        (500, "UNKNOWN_EXCEPTION", errors.Retry, "service_unavailable"),
        (400, "TXN_SECURITY_METERING_ERROR", errors.Retry, "service_unavailable"),
        (400, "PROCESSING_HALTED", errors.Retry, "batch_halted"),
        (412, "BATCH_PROCESSING_HALTED", errors.Retry, "batch_halted"),
        (400, "ALL_OR_NONE_OPERATION_ROLLED_BACK", errors.Retry, "batch_halted"),
        (404, "ENTITY_IS_DELETED", errors.Gone, "record_gone"),
        (404, "NOT_FOUND", errors.Gone, "record_gone"),
        (400, "CANNOT_UPDATE_CONVERTED_LEAD", errors.Gone, "lead_converted"),
        (400, "INVALID_FIELD", errors.FixConfig, "schema"),
        (400, "INVALID_FIELD_FOR_INSERT_UPDATE", errors.FixConfig, "schema"),
        (400, "INVALID_TYPE", errors.FixConfig, "schema"),
        (400, "REQUIRED_FIELD_MISSING", errors.FixData, "invalid_data"),
        (400, "STRING_TOO_LONG", errors.FixData, "invalid_data"),
        (400, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", errors.FixData, "invalid_data"),
        (400, "FIELD_CUSTOM_VALIDATION_EXCEPTION", errors.FixData, "invalid_data"),
        (400, "FIELD_INTEGRITY_EXCEPTION", errors.FixData, "invalid_data"),
        (400, "INVALID_EMAIL_ADDRESS", errors.FixData, "invalid_data"),
        (400, "NUMBER_OUTSIDE_VALID_RANGE", errors.FixData, "invalid_data"),
        (400, "JSON_PARSER_ERROR", errors.FixData, "invalid_data"),
        (400, "MALFORMED_ID", errors.FixData, "invalid_data"),
        (400, "INVALID_CROSS_REFERENCE_KEY", errors.FixData, "invalid_data"),
        (400, "DELETE_FAILED", errors.FixData, "invalid_data"),
        (400, "DUPLICATE_VALUE", errors.FixData, "duplicate_value"),
        (400, "DUPLICATES_DETECTED", errors.FixData, "duplicates_detected"),
        (400, "DUPLICATE_EXTERNAL_ID", errors.FixData, "ambiguous_key"),
        (400, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", errors.FixData, "automation"),
        (400, "APEX_ERROR", errors.FixData, "automation"),
        (400, "CANNOT_EXECUTE_FLOW_TRIGGER", errors.FixData, "automation"),
        (403, "INSUFFICIENT_ACCESS_OR_READONLY", errors.FixConfig, "permission"),
        (403, "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", errors.FixConfig, "permission"),
        (400, "OPERATION_TOO_LARGE", errors.FixConfig, "permission"),
        (403, "FUNCTIONALITY_NOT_ENABLED", errors.FixConfig, "permission"),
        (403, "API_DISABLED_FOR_ORG", errors.Standstill, "api_disabled"),
        (403, "API_CURRENTLY_DISABLED", errors.Standstill, "api_disabled"),
        (400, "MALFORMED_QUERY", errors.FixConfig, "query"),
        (400, "QUERY_TOO_COMPLICATED", errors.FixConfig, "query"),
        (400, "INVALID_QUERY_LOCATOR", errors.Stale, "cursor_expired"),
        (400, "EXCEEDED_ID_LIMIT", errors.Stale, "too_many_ids"),
        (400, "STORAGE_LIMIT_EXCEEDED", errors.Standstill, "storage_full"),
        (400, "A_CODE_OF_NEXT_YEAR", errors.FixData, "invalid_data"),
        (403, "A_CODE_OF_NEXT_YEAR", errors.FixConfig, "permission"),
        (500, "A_CODE_OF_NEXT_YEAR", errors.Retry, "service_unavailable"),
        (412, "A_CODE_OF_NEXT_YEAR", errors.Stale, "changed_meanwhile"),
    ],
)
def test_the_code_decides_and_the_status_only_where_the_code_is_unknown(
    status: int, code: str, kind: type[errors.CrmError], cause: str
) -> None:
    found = problem(status, code)
    assert type(found) is kind
    assert (found.cause, found.status) == (cause, status)


@pytest.mark.parametrize(
    ("status", "text", "kind", "cause"),
    [
        (502, "<html><body>Bad gateway</body></html>", errors.Retry, "service_unavailable"),
        (503, "", errors.Retry, "service_unavailable"),
        (420, "", errors.Retry, "service_unavailable"),
        (406, "", errors.Retry, "service_unavailable"),
        (429, "", errors.Throttled, "rate_limited"),
        (401, "", errors.Reconnect, "session_expired"),
        (403, "Bad_OAuth_Token", errors.Reconnect, "session_expired"),
        (410, "", errors.Standstill, "api_version"),
        (300, '["/services/data/v59.0/sobjects/Task/00T"]', errors.FixData, "ambiguous_key"),
        (405, "", errors.FixData, "invalid_data"),
        (409, "", errors.Stale, "changed_meanwhile"),
        (412, "", errors.Stale, "changed_meanwhile"),
        (414, "<html>URI too long</html>", errors.FixConfig, "query"),
        (415, "", errors.FixData, "invalid_data"),
        (428, "", errors.FixData, "invalid_data"),
        (431, "", errors.FixConfig, "query"),
        (500, "", errors.Retry, "service_unavailable"),
        (504, "", errors.Retry, "service_unavailable"),
        (400, "not json {", errors.FixData, "invalid_data"),
        (404, "", errors.Gone, "record_gone"),
        (404, "<html>no such page</html>", errors.Standstill, "endpoint"),
        (302, "", errors.Retry, "service_unavailable"),
        (307, "<html>moved</html>", errors.Retry, "service_unavailable"),
    ],
)
def test_answers_without_a_code_are_understood_too(
    status: int, text: str, kind: type[errors.CrmError], cause: str
) -> None:
    found = Provider.classify(answer(status, text=text))
    assert type(found) is kind
    assert found.cause == cause
    assert "<" not in found.message


@pytest.mark.parametrize("status", [200, 201, 204, 304])
def test_success_is_no_error(status: int) -> None:
    assert Provider.classify(answer(status)) is None


def test_too_many_at_once_passes_in_seconds_and_a_used_up_day_does_not() -> None:
    at_once = problem(403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded.")
    day = problem(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
    assert isinstance(at_once, errors.Throttled)
    assert isinstance(day, errors.Throttled)
    assert (at_once.after, day.after, day.cause) == (5, 900, "daily_quota")


@pytest.mark.parametrize(
    "text",
    ["Connected app is not attached to Agent", "This session is not valid for use with the REST API"],
)
def test_a_401_that_no_refresh_cures_asks_an_administrator(text: str) -> None:
    found = problem(401, "INVALID_SESSION_ID", text)
    assert isinstance(found, errors.FixConfig)
    assert text in found.message


def test_an_automation_that_met_a_lock_is_tried_again() -> None:
    text = "LeadTrigger: UNABLE_TO_LOCK_ROW, unable to obtain exclusive access"
    assert isinstance(problem(400, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", text), errors.Retry)


def test_the_tenants_own_validation_message_and_fields_are_shown() -> None:
    found = problem(400, "FIELD_CUSTOM_VALIDATION_EXCEPTION", "Title needs a comma, please", fields=["Title"])
    assert isinstance(found, errors.FixData)
    assert "Title needs a comma, please" in found.message
    assert found.fields == ("Title",)


def test_a_record_of_a_batch_is_judged_by_the_same_table() -> None:
    found = failures.of_record({"statusCode": "UNABLE_TO_LOCK_ROW", "message": "unable to obtain", "fields": []})
    unknown = failures.of_record({"statusCode": "NEW_CODE", "message": "no", "fields": ["Subject"]})
    assert isinstance(found, errors.Retry)
    assert isinstance(unknown, errors.FixData)
    assert unknown.fields == ("Subject",)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("api-usage=10018/100000", (100_000, 89_982)),
        ("api-usage=10018/100000; per-app-api-usage=17/250(appName=sample)", (100_000, 89_982)),
        ("per-app-api-usage=17/250(appName=sample); api-usage=5/15000", (15_000, 14_995)),
        ("api-bursts=1/750; api-usage = 120/100", (100, 0)),
        ("per-app-api-usage=17/250(appName=sample)", None),
        ("api-usage=lots", None),
        ("", None),
    ],
)
def test_the_days_usage_is_read_from_a_header_with_many_parts(header: str, expected: tuple[int, int] | None) -> None:
    found = Provider.rate_hints(answer(200, {}, headers={"Sforce-Limit-Info": header}), ())
    assert found == ([RateHint("daily", expected[0], 86_400, expected[1])] if expected else [])


@given(st.text(alphabet=st.characters(codec="latin-1", exclude_characters="\r\n")))
def test_no_header_can_break_the_reading_of_usage(header: str) -> None:
    response = requests.Response()
    response.headers["Sforce-Limit-Info"] = header
    assert len(Provider.rate_hints(response, ())) <= 1


def test_the_days_pool_is_never_counted_as_a_bucket_of_ours() -> None:
    assert Provider.buckets("GET", "/services/data/v59.0/query") == ("burst",)


MATCH = {
    "duplicateResut": {
        "allowSave": True,
        "duplicateRule": "Std_Lead",
        "matchResults": [
            {
                "entityType": "Lead",
                "matchRecords": [
                    {"matchConfidence": 60.0, "record": {"Id": "00QD000000abcdeAAA"}},
                    {"matchConfidence": 100.0, "record": {"Id": "00QD000000abcdfAAA"}},
                ],
            },
            {
                "entityType": "Contact",
                "matchRecords": [{"matchConfidence": 80.0, "record": {"Id": "003D000000abcdeAAA"}}],
            },
        ],
    },
    "errorCode": "DUPLICATES_DETECTED",
    "message": "Use one of these records?",
}


@pytest.mark.parametrize("key", ["duplicateResut", "duplicateResult"])
def test_the_matches_of_a_duplicate_rule_are_read_from_either_spelling_the_surest_first(key: str) -> None:
    refusal = {**MATCH, key: MATCH["duplicateResut"]} if key == "duplicateResut" else {key: MATCH["duplicateResut"]}
    assert failures.matches(refusal) == [
        ("Lead", "00QD000000abcdfAAA"),
        ("Contact", "003D000000abcdeAAA"),
        ("Lead", "00QD000000abcdeAAA"),
    ]
    assert failures.matches({}) == []


@pytest.mark.parametrize(
    ("failure", "fields"),
    [
        ({"fields": ["Foo__c"], "message": "whatever"}, {"Foo__c"}),
        ({"message": "No such column 'Foo__c' on sobject of type Lead"}, {"Foo__c"}),
        ({"message": "No such column 'Foo__c' on entity 'Lead'. If you are"}, {"Foo__c"}),
        (
            {"message": "Unable to create/update fields: A__c, B__c. Please check the security settings"},
            {"A__c", "B__c"},
        ),
        ({"message": "something else"}, set()),
    ],
)
def test_the_fields_of_a_refusal_are_read_from_its_list_or_its_words(failure: dict[str, Any], fields: set[str]) -> None:
    assert failures.named_fields(failure) == fields


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, {"id": "x"}, None),
        (204, None, None),
        (412, None, errors.Stale),
        (400, [{"errorCode": "UNABLE_TO_LOCK_ROW", "message": "x"}], errors.Retry),
        (404, [{"errorCode": "NOT_FOUND", "message": "x"}], errors.Gone),
    ],
)
def test_a_part_of_a_composite_request_is_judged_as_a_whole_answer_is(
    status: int, body: Any, kind: type[errors.CrmError] | None
) -> None:
    found = failures.of_part(status, body)
    assert (type(found) if found else None) is kind
