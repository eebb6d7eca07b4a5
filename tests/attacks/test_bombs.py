"""Little that becomes much: compressed answers, rows without an end, nesting, and bodies that are not what they say."""

import gzip
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from django.test import Client

from integrations import errors, tenancy
from integrations.exchanges_text import pretty
from integrations.models import CrmConnection
from integrations.providers.salesforce import bulk_csv
from integrations.registry import PROVIDERS, provider_class
from integrations.sandbox.server import SandboxServer
from integrations.transport import reading
from integrations.transport.client import CrmApi, Patience
from integrations.transport.tokens import token_call
from integrations.transport.trial import TrialApi
from mapping.transforms import TRANSFORMS, Context, TransformError
from sync.models import Contact, InboxEvent
from tests import factories
from tests.fake_crm.events import signed
from tests.fake_crm.provider import Provider

MOST = 256 * 1024
BOMB = gzip.compress(b"[" + b"0," * 20_000_000 + b"0]", compresslevel=9)
"""Forty megabytes in forty kilobytes."""
NOBODY_WAITS = Patience(turn=0.0, retry=0.0)
Ask = Callable[[CrmConnection], Any]


def by_request(row: CrmConnection) -> Any:
    return CrmApi(row.pk, Provider, {}, NOBODY_WAITS).request("GET", "/me")


def by_trial(row: CrmConnection) -> Any:
    return TrialApi(Provider, row.credential()).request("GET", "/me")


def by_token_call(row: CrmConnection) -> Any:
    return token_call(Provider)(f"{row.instance_url}/token", {"grant_type": "refresh_token"})


def answers(crm: SandboxServer, body: bytes, status: int = 200) -> None:
    """Compressed."""
    told = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    crm.service.faults.set([{"kind": "status", "status": status, "body": body, "headers": told}])


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize("ask", [by_request, by_trial, by_token_call], ids=["a request", "a trial", "a token"])
def test_an_answer_that_unpacks_without_end_is_cut(
    ask: Ask, status: int, connection: CrmConnection, fake_crm: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(BOMB) < MOST
    held: list[int] = []
    monkeypatch.setattr(reading, "MOST", MOST)
    monkeypatch.setattr(requests.Response, "iter_content", _weighed(requests.Response.iter_content, held))
    answers(fake_crm, BOMB, status)
    with pytest.raises(errors.Retry) as refusal:
        ask(connection)
    assert "larger than" in refusal.value.detail
    assert sum(held) <= MOST + 2 * reading.PIECE, "no more was unpacked than fits"


def _weighed(plain: Callable[..., Iterator[bytes]], held: list[int]) -> Callable[..., Iterator[bytes]]:
    def pieces(response: requests.Response, *arguments: Any) -> Iterator[bytes]:
        for piece in plain(response, *arguments):
            held.append(len(piece))
            yield piece

    return pieces


def test_an_error_answered_to_a_stream_is_cut_too(
    connection: CrmConnection, fake_crm: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MOST", MOST)
    answers(fake_crm, BOMB, 400)
    with pytest.raises(errors.Retry):
        CrmApi(connection.pk, Provider, {}, NOBODY_WAITS).request("GET", "/me", stream=True)


def test_an_answer_of_usual_size_is_read_whole_though_compressed(
    connection: CrmConnection, fake_crm: SandboxServer
) -> None:
    told = {"items": ["x" * 1000] * 300}
    answers(fake_crm, gzip.compress(json.dumps(told).encode()))
    assert by_request(connection).json() == told


@pytest.mark.parametrize("slug", PROVIDERS)
@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"message":'], ids=["lists", "objects", "both"])
def test_an_error_of_a_crm_nested_without_end_is_an_error_and_no_crash(slug: str, opening: bytes) -> None:
    response = requests.Response()
    response.status_code, response.url = 400, "https://crm.example.com/x"
    response._content = opening * 100_000
    response.request = requests.Request("POST", response.url).prepare()
    assert isinstance(provider_class(slug).classify(response), errors.CrmError)


ODD_ERRORS = {
    "a number of 5,000 digits": b"9" * 5000,
    "errors that are a number": b'{"status": "error", "category": "VALIDATION_ERROR", "errors": 1.5, "context": 7}',
    "errors that are texts": b'[{"message": 1, "errorCode": {}, "fields": "x"}]',
    "values nested without end": json.dumps({"message": "Property values were not valid: [{" + "[" * 100_000}).encode(),
    "a list of nothing": b"[null]",
}


@pytest.mark.parametrize("slug", PROVIDERS)
@pytest.mark.parametrize("body", ODD_ERRORS.values(), ids=ODD_ERRORS)
def test_an_error_in_an_odd_shape_is_an_error_all_the_same(slug: str, body: bytes) -> None:
    response = requests.Response()
    response.status_code, response.url, response._content = 400, "https://crm.example.com/x", body
    response.request = requests.Request("POST", response.url).prepare()
    assert isinstance(provider_class(slug).classify(response), errors.CrmError)


@pytest.mark.parametrize("depth", [900, 5000, 200_000])
def test_a_stored_answer_nested_without_end_is_shown_as_it_is(depth: int) -> None:
    text = "[" * depth + "]" * depth
    assert pretty(text).replace("\n", "").replace(" ", "") == text


ENDLESS: dict[str, Callable[[], Iterator[bytes]]] = {
    "one line": lambda: iter(lambda: b"x" * bulk_csv.PIECE, b""),
    "one cell": lambda: iter(lambda: b'"x\n' * 1000, b""),
    "one row of many cells": lambda: iter(lambda: b'"\n",' * 10_000, b""),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_a_row_that_never_ends_is_given_up(kind: str) -> None:
    with pytest.raises(errors.Retry, match="could not be read"):
        list(bulk_csv.rows(ENDLESS[kind]()))


def test_long_rows_that_do_end_are_read() -> None:
    body = b'"Id","Text"\n' + b'"1","' + b"line\n" * 70_000 + b'"\n' + b'"2",""\n' * 2
    assert [row["Id"] for row in bulk_csv.rows([body])] == ["1", "2", "2"]


# --- bodies to us -----------------------------------------------------------------------------------------------------


def test_a_compressed_body_is_not_unpacked(api_key: str, connection: CrmConnection, settings: Any) -> None:
    settings.PUBLIC_URL = "https://dialer.example.com"
    path = f"/webhooks/fakecrm/{connection.webhook_token}/"
    posted = Client(HTTP_AUTHORIZATION=f"Bearer {api_key}")
    doors: tuple[tuple[Client, str, dict[str, str], int], ...] = (
        (posted, "/api/v1/calls/", {}, 415),
        (posted, "/api/v1/contacts/", {}, 415),
        (Client(), path, signed(settings.PUBLIC_URL + path, BOMB), 400),
    )
    for client, address, headers, refusal in doors:
        answer = client.post(
            address, BOMB, content_type="application/json", headers={"Content-Encoding": "gzip", **headers}
        )
        assert answer.status_code == refusal, address
    with tenancy.everyone():
        assert not InboxEvent.objects.exists()
        assert not Contact.objects.exists()


def test_half_a_character_in_a_name_is_refused_in_words(api_key: str, connection: CrmConnection) -> None:
    person, call = factories.contact(connection.tenant), factories.call(connection.tenant)
    client = Client(HTTP_AUTHORIZATION=f"Bearer {api_key}")
    body = rb'{"\ud800": 1, "metadata": {"\udfff": "\ud800"}, "custom": {"\ud800": 1}}'
    for method, address in (
        ("PATCH", f"/api/v1/calls/{call.pk}/"),
        ("PATCH", f"/api/v1/contacts/{person.pk}/"),
        ("POST", "/api/v1/contacts/"),
        ("POST", "/api/v1/calls/"),
    ):
        answer = client.generic(method, address, body, content_type="application/json")
        assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json"), address
    several = client.post("/api/v1/calls/bulk/", b'{"calls": [' + body + b"]}", content_type="application/json")
    assert [one["status"] for one in several.json()["results"]] == [400]


def test_thousands_of_unknown_names_are_told_of_some(api_key: str, connection: CrmConnection) -> None:
    person, call = factories.contact(connection.tenant), factories.call(connection.tenant)
    client = Client(HTTP_AUTHORIZATION=f"Bearer {api_key}")
    body = {f"k{number}": 0 for number in range(20_000)}
    for address in (f"/api/v1/calls/{call.pk}/", f"/api/v1/contacts/{person.pk}/"):
        answer = client.patch(address, body, content_type="application/json")
        assert answer.status_code == 400
        assert len(answer.json()["errors"]) == 50


def test_the_last_moment_of_the_calendar_is_no_day_in_every_zone() -> None:
    build = TRANSFORMS["date_sfdc"].build("inbound", {}, Context(timezone="Europe/Berlin"))
    with pytest.raises(TransformError, match="end of the calendar"):
        build("9999-12-31T23:59:59Z", {})
