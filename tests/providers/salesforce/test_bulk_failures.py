"""Each error of the bulk service, of a job and of a row says what to do."""

import pytest
import requests
import responses

from integrations import errors
from integrations.providers.salesforce import bulk_failures
from integrations.providers.salesforce.provider import Provider

URL = "https://acme.my.salesforce.com/services/data/v59.0/jobs/ingest/750Hs0000000001IAA"


def error(code: str, text: str = "some words") -> list[dict[str, str]]:
    return [{"errorCode": code, "message": text}]


@pytest.mark.parametrize(
    ("status", "body", "kind", "cause"),
    [
        (400, error("ExceededQuota"), errors.Throttled, "bulk_quota"),
        (400, error("TooManyLockFailure"), errors.Retry, "row_locked"),
        (400, error("InvalidJobState"), errors.Stale, "bulk_job_state"),
        (400, error("INVALIDJOBSTATE"), errors.Stale, "bulk_job_state"),
        (400, error("InvalidBatch"), errors.FixConfig, "bulk_refused"),
        (400, error("INVALIDENTITY", "'X' is not supported by the Bulk API."), errors.FixConfig, "bulk_refused"),
        (400, error("FeatureNotEnabled"), errors.FixConfig, "bulk_refused"),
        (400, error("ClientInputError"), errors.FixConfig, "bulk_refused"),
        (400, error("API_ERROR"), errors.FixConfig, "bulk_refused"),
        (500, error("InternalServerError"), errors.Retry, "service_unavailable"),
        (412, error("JOB_NOT_COMPLETE"), errors.NotReady, "not_ready"),
        (412, "", errors.NotReady, "not_ready"),
        (409, error("API_VERSION_CONFLICT"), errors.Stale, "bulk_job_state"),
        (404, error("NOT_FOUND"), errors.Gone, "bulk_job_expired"),
        (401, error("INVALID_SESSION_ID"), errors.Reconnect, "session_expired"),
        (401, error("SOMETHING_ELSE"), errors.Retry, "service_unavailable"),
        (401, "<html>Unauthorized</html>", errors.Retry, "service_unavailable"),
        (400, error("MALFORMED_QUERY"), errors.FixConfig, "query"),
        (400, error("INVALID_FIELD"), errors.FixConfig, "schema"),
        (403, error("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."), errors.Throttled, "daily_quota"),
        (503, "<html>Down</html>", errors.Retry, "service_unavailable"),
    ],
)
@responses.activate
def test_each_error_of_the_bulk_service_says_what_to_do(
    status: int, body: object, kind: type[errors.CrmError], cause: str
) -> None:
    if isinstance(body, str):
        responses.get(URL, status=status, body=body)
    else:
        responses.get(URL, status=status, json=body)
    found = Provider.classify(requests.get(URL, timeout=5))
    assert type(found) is kind
    assert (found.cause, found.status) == (cause, status)
    assert len(found.message.split()) > 4


@responses.activate
def test_a_good_answer_is_no_error() -> None:
    responses.put(URL, status=201)
    assert Provider.classify(requests.put(URL, timeout=5)) is None


def test_a_quota_of_bulk_jobs_stops_nothing_but_bulk() -> None:
    assert Provider.buckets("POST", "/services/data/v59.0/jobs/query")[0] == "bulk"
    assert "bulk" not in Provider.buckets("GET", "/services/data/v59.0/query?q=SELECT")


@pytest.mark.parametrize(
    ("message", "kind", "cause"),
    [
        ("InvalidBatch : Field name not found : Foo__c", errors.FixConfig, "bulk_refused"),
        ("TooManyLockFailure : Too many lock failure 20 trying 2.  Aborting batch.", errors.Retry, "row_locked"),
        ("ExceededQuota : ApiBatchItems Limit exceeded.", errors.Throttled, "bulk_quota"),
        ("InternalServerError", errors.Retry, "service_unavailable"),
        ("", errors.Retry, "service_unavailable"),
    ],
)
def test_the_reason_of_a_failed_job_says_what_to_do(message: str, kind: type[errors.CrmError], cause: str) -> None:
    found = bulk_failures.of_job(message)
    assert (type(found), found.cause) == (kind, cause)


@pytest.mark.parametrize(
    ("message", "kind", "words", "fields"),
    [
        (
            "REQUIRED_FIELD_MISSING:Required fields are missing: [LastName]:LastName --",
            errors.FixData,
            "Required fields are missing: [LastName]",
            ("LastName",),
        ),
        (
            "FIELD_CUSTOM_VALIDATION_EXCEPTION:Call first: then close:Status,Phone --",
            errors.FixData,
            "Call first: then close",
            ("Status", "Phone"),
        ),
        (
            "DUPLICATE_VALUE:duplicate value found: X__c duplicates value on record with id: 00Q000000000001:--",
            errors.FixData,
            "with id: 00Q000000000001",
            (),
        ),
        ("UNABLE_TO_LOCK_ROW:unable to obtain exclusive access:--", errors.Retry, "locked", ()),
        ("ENTITY_IS_DELETED:entity is deleted:--", errors.Gone, "", ()),
        ("INVALID_FIELD_FOR_INSERT_UPDATE:Unable to create/update fields: A__c:A__c --", errors.FixConfig, "A__c", ()),
        ("SOMETHING_NEW:New words", errors.FixData, "New words", ()),
        ("", errors.FixData, "", ()),
    ],
)
def test_a_failed_row_has_the_error_of_its_code(
    message: str, kind: type[errors.CrmError], words: str, fields: tuple[str, ...]
) -> None:
    found = bulk_failures.of_row(message)
    assert type(found) is kind
    assert words in found.message
    assert getattr(found, "fields", ()) == fields
