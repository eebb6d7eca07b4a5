import logging

import pytest

from integrations.errors import FixData
from integrations.records.connections import Credential
from integrations.redaction import RedactingFilter, redact

SECRETS = [
    "Authorization: Bearer abc.def-ghi_jkl",
    "Authorization: Basic ZmthX2RlbW8xMjM6",
    '{"access_token": "00Dxx!AQ.secret", "x": 1}',
    "refresh_token=5Aepsecret&grant_type=refresh_token",
    "client_secret='hunter2hunter2'",
    "token pat-na1-1234abcd-5678 refused",
    "key fka_0123456789abcdef",
    "dbk_1a2b3c4d_longsecretvalue",
    "-----BEGIN PRIVATE KEY-----\nMIIEv\n-----END PRIVATE KEY-----",
    "call to +1 (415) 555-1234 failed",
    "phone (415) 555-1234",
    "415-555-1234 is taken",
    "+4930123456",
]
PARTS = [
    "abc.def",
    "ZmthX2",
    "AQ.secret",
    "5Aep",
    "hunter2",
    "1234abcd",
    "0123456789abcdef",
    "longsecret",
    "MIIEv",
    "555-1234",
    "30123456",
]


@pytest.mark.parametrize("text", SECRETS)
def test_nothing_secret_is_left(text: str) -> None:
    clean = redact(text)
    assert not any(part in clean for part in PARTS)
    assert redact(clean) == clean


@pytest.mark.parametrize(
    "text",
    ["Record 00Q5f000001abcdEAA was deleted", "2026-01-21T14:30:00Z", "took 1234567890 ns", "id 4411223 of 10,000",
     "7b655ca5-5eb5-4338-8b90-d9174d3eab2e", "http://127.0.0.1:9101/crm/v3"],
)  # fmt: skip
def test_ordinary_text_stays(text: str) -> None:
    assert redact(text) == text


def test_a_careless_log_call_cannot_leak(caplog: pytest.LogCaptureFixture) -> None:
    record = logging.LogRecord("x", logging.ERROR, "f", 1, "failed for %s", ("Bearer abc.def-ghi",), None)
    assert RedactingFilter().filter(record)
    assert "abc.def" not in record.getMessage()


def test_errors_and_credentials_hide_what_they_hold() -> None:
    error = FixData("Phone +14155551234 refused", detail="Bearer abc.def-ghi_jkl")
    assert "5551234" not in str(error) + error.detail
    assert "abc.def" not in error.detail
    assert "hush" not in repr(Credential(auth="oauth", access_token="hush", secrets={"k": "hush"}))
