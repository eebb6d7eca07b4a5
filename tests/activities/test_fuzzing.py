"""The REST interface under generated and hostile requests: it answers what its schema says, and never fails itself."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from hypothesis import HealthCheck, given, settings
from rest_framework.test import APIClient
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from activities.models import Call
from integrations import tenancy
from integrations.authentication import PerKeyThrottle
from integrations.models import CrmConnection
from sync.models import Contact

CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance]
EXAMPLES = 12
FEWEST = 9
URL = "/api/v1/calls/"


@pytest.fixture
def described(db: None) -> Iterator[Any]:
    """The schema of the application in this process, whose requests leave the test's database connection open."""
    ends = (request_started, request_finished)
    for one in ends:
        one.disconnect(close_old_connections)
    yield schemathesis.openapi.from_wsgi("/api/schema/?format=json", get_wsgi_application())
    for one in ends:
        one.connect(close_old_connections)


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PerKeyThrottle, "get_rate", lambda self: "1000000/min")


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_every_operation_answers_what_it_documents(
    described: Any, api_key: str, contact: Contact, mode: GenerationMode
) -> None:
    operations = [one.ok() for one in described.include(path_regex=r"^/api/v1/").get_all_operations()]
    assert len(operations) >= FEWEST

    for operation in operations:

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def answers_as_documented(case: Any) -> None:
            answer = case.call(headers={"Authorization": f"Bearer {api_key}"})
            case.validate_response(answer, checks=CHECKS)

        answers_as_documented()


# --- by hand --------------------------------------------------------------------------------------------------------


def nested(depth: int) -> bytes:
    return b'{"x":' * depth + b"1" + b"}" * depth


HOSTILE = {
    "a NUL": rb'{"notes":"a\u0000b"}',
    "half a character": rb'{"notes":"\ud800"}',
    "half a character as a name": rb'{"metadata":{"\ud800":1}}',
    "half a character in the id": rb'{"external_id":"\udfff"}',
    "an endless number": b'{"duration_seconds":' + b"9" * 5000 + b"}",
    "a number beyond all": b'{"metadata":{"x":1e999}}',
    "a tiny number beyond all": b'{"metadata":{"x":-1e999}}',
    "not a number": b'{"metadata":{"x":NaN}}',
    "infinity": b'{"duration_seconds":Infinity}',
    "a large whole number": b'{"metadata":{"ai_score":' + b"9" * 400 + b"}}",
    "deep nesting": b'{"metadata":' + nested(500) + b"}",
    "deeper nesting": nested(90_000),
    "the year nought": b'{"started_at":"0000-01-01T00:00:00Z"}',
    "the first year, far east": b'{"started_at":"0001-01-01T00:00:00+14:00"}',
    "the last year, far west": b'{"meeting":{"starts_at":"9999-12-31T23:59:59-12:00","duration_minutes":90}}',
    "an offset of days": b'{"started_at":"2026-01-01T00:00:00+99:99"}',
    "UTF-16": '{"notes":"x"}'.encode("utf-16"),
    "Latin-1": '{"notes":"é"}'.encode("latin-1"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "nothing": b"",
    "null": b"null",
    "a text": b'"call"',
    "a number": b"1",
    "a list": b"[[]]",
    "all of the wrong type": b'{"external_id":{},"contact_id":[],"phone":true,"started_at":1,"key_points":{},"metadata":"x"}',
    "lists where texts belong": b'{"disposition":["x"],"agent_email":["a@b.example"],"provider":["x"],"direction":{}}',
    "a long address": b'{"agent_email":"' + b"a" * 60 + b"@" + b"b." * 150 + b'example"}',
    "the same key twice": b'{"notes":"a","notes":"b"}',
    "calls that are texts": b'{"calls":["x",null,1,[],{}]}',
    "a contact as a number": b'{"contact_id":-1}',
    "a phone of letters": b'{"phone":"+1 \\u202e\\u0661 drop table"}',
}
BASE = b'"duration_seconds":1,"started_at":"2026-01-01T00:00:00Z","phone":"+14155550199","external_id":"h-1"'


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_hostile_json_gets_an_answer_of_ours(client: APIClient, contact: Contact, body: bytes) -> None:
    call_id = client.post(URL, {**GOOD, "external_id": "first"}).json()["id"]
    sent = [
        ("POST", URL),
        ("POST", f"{URL}bulk/"),
        ("PATCH", f"{URL}{call_id}/"),
        ("PATCH", f"/api/v1/contacts/{contact.pk}/"),
    ]
    for method, address in sent:
        answer = client.generic(method, address, body, content_type="application/json")  # type: ignore[arg-type]  # bytes are taken as they are
        assert answer.status_code in {200, 201, 400, 409}, (method, address, answer.content)
        if answer.status_code == 400:
            assert answer["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_a_call_with_one_hostile_part_is_stored_whole_or_not_at_all(
    client: APIClient, contact: Contact, body: bytes
) -> None:
    merged = b"{" + BASE + b"," + body.strip()[1:] if body.startswith(b"{") and body != b"{}" else body
    answer = client.generic("POST", URL, merged, content_type="application/json")  # type: ignore[arg-type]
    assert answer.status_code in {201, 400}, answer.content
    with tenancy.everyone():
        assert Call.objects.count() == (answer.status_code == 201)


GOOD = {"external_id": "g-1", "phone": "+14155550199", "duration_seconds": 1, "started_at": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize("key", ["é" * 10, "x" * 300, "a\x01b"], ids=["accents", "too long", "a control character"])
def test_odd_idempotency_keys_are_taken_or_refused(client: APIClient, contact: Contact, key: str) -> None:
    posted = {name: value for name, value in GOOD.items() if name != "external_id"}
    assert client.post(URL, posted, HTTP_IDEMPOTENCY_KEY=key).status_code in {201, 400}


# --- a client made of the schema ------------------------------------------------------------------------------------


class Made:
    """The operations of a schema as methods; what may be sent and answered is all that it knows."""

    def __init__(self, client: APIClient) -> None:
        self.client = client
        described = client.get("/api/schema/", {"format": "json"}).json()
        self.operations = {
            operation["operationId"]: (method, path, operation)
            for path, item in described["paths"].items()
            for method, operation in item.items()
            if "operationId" in operation
        }

    def examples(self, name: str) -> list[Any]:
        body = self.operations[name][2]["requestBody"]["content"]["application/json"]
        return [one["value"] for one in body["examples"].values()]

    def call(self, name: str, body: Any = None, **parameters: str) -> Any:
        method, path, operation = self.operations[name]
        wanted = [one["name"] for one in operation.get("parameters", []) if one["in"] == "query"]
        query = {key: parameters[key] for key in wanted if key in parameters}
        answer = getattr(self.client, method)(path.format(**parameters), body if body is not None else query)
        assert str(answer.status_code) in operation["responses"], answer.content
        return answer.json()


def test_a_client_made_of_the_schema_posts_its_examples(client: APIClient, connection: CrmConnection) -> None:
    made = Made(client)
    for body in made.examples("post_call"):
        posted = made.call("post_call", body)
        for stage in made.examples("update_call"):
            changed = made.call("update_call", stage, call_id=posted["id"])["changed"]
            assert changed or not any(stage[name] for name in stage if name != "said_at"), (
                "what was never said is taken back"
            )
        assert made.call("read_call", call_id=posted["id"])["external_id"] == body["external_id"]
        assert len(made.call("find_call", external_id=body["external_id"])["results"]) == 1
    [body] = made.examples("post_calls")
    assert [one["status"] for one in made.call("post_calls", body)["results"]] == [200, 200]


@pytest.mark.parametrize("code", ["400", "401", "403", "404", "409", "413", "415", "429"])
def test_every_write_documents_its_refusals(client: APIClient, code: str) -> None:
    operations = Made(client).operations.values()
    for _method, path, operation in (one for one in operations if one[0] in {"post", "patch"} and "/api/v1/" in one[1]):
        assert code in operation["responses"], path
