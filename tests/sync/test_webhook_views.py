import io
import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError
from django.db import connection as database
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ

from integrations import kept, tenancy
from integrations.models import CrmConnection, Tenant
from integrations.records.events import Delivery
from sync import inbox, tasks, webhooks
from sync.models import InboxEvent, SyncJob
from tests.fake_crm.events import APP_SECRET, event, signed
from tests.fake_crm.provider import Provider

PUBLIC = "https://dialer.example.com"


@pytest.fixture(autouse=True)
def public_address(settings: Any) -> None:
    settings.PUBLIC_URL = PUBLIC


@pytest.fixture
def of_app(monkeypatch: pytest.MonkeyPatch, connection: CrmConnection) -> CrmConnection:
    """The fake CRM delivers for all accounts to one address."""
    monkeypatch.setattr(Provider, "app_webhooks", True)
    return connection


def path_of(row: CrmConnection, query: str = "") -> str:
    return f"/webhooks/fakecrm/{row.webhook_token}/{query}"


def post(path: str, told: Any, *, headers: dict[str, str] | None = None, **more: Any) -> HttpResponse:
    body = told if isinstance(told, bytes) else json.dumps(told).encode()
    sent = signed(PUBLIC + path, body) if headers is None else headers
    answer: Any = Client().post(path, body, content_type="application/json", headers=sent, **more)
    return answer  # type: ignore[no-any-return]


def stored() -> list[InboxEvent]:
    with tenancy.everyone():
        return list(InboxEvent.objects.order_by("pk"))


def test_a_delivery_is_stored_with_its_job_and_wakes_a_worker(connection: CrmConnection) -> None:
    told = event("e-1", "7", changed=["email"], values={"email": "ann@example.com"}, at="2026-01-02T03:04:05+00:00")
    answer = post(path_of(connection), [told])
    assert (answer.status_code, answer.content, answer["Content-Type"]) == (
        200,
        b'{"thanks": true}',
        "application/json",
    )
    row = stored()[0]
    assert (row.tenant_id, row.connection_id, row.source, row.dedupe_key) == (
        connection.tenant_id, connection.pk, "webhook", "e-1",
    )  # fmt: skip
    assert (row.object_type, row.record_ids, row.change, row.changed, row.values) == (
        "people", ["7"], "updated", ["email"], {"email": "ann@example.com"},
    )  # fmt: skip
    assert (row.occurred_at, row.state, row.ours) == (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "received", False)
    assert json.loads(bytes(row.body)) == [told]
    with tenancy.everyone():
        job = SyncJob.objects.get()
    assert (job.kind, job.key, job.lane, job.state) == ("fetch", "people", 30, "ready")
    assert job.not_before is not None


@pytest.mark.django_db(transaction=True)
def test_one_wake_up_goes_out_once_the_events_are_committed(connection: CrmConnection) -> None:
    post(path_of(connection), [event("e-1", "7")])
    post(path_of(connection), [event("e-2", "8")])
    assert OrmQ.objects.count() == 1
    with tenancy.everyone():
        assert SyncJob.objects.count() == 1


def test_a_delivery_costs_two_queries_whatever_it_holds(connection: CrmConnection) -> None:
    def queries(*events: dict[str, Any]) -> int:
        kept.forget()
        with CaptureQueriesContext(database) as counted:
            assert post(path_of(connection), list(events)).status_code == 200
        return len([one for one in counted if "SAVEPOINT" not in one["sql"]])

    assert queries(event("e-1", "1")) == 2, "look-up and storing; the wake-up follows the commit"
    assert queries(*(event(f"more-{number}", str(number)) for number in range(100))) == 2
    assert len(stored()) == 101


def test_a_secret_that_was_changed_elsewhere_counts_at_once_and_a_disconnection_after_a_moment(
    connection: CrmConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(kept, "monotonic", lambda: now[0])
    with tenancy.everyone():
        rows = CrmConnection.objects.filter(pk=connection.pk)
        assert post(path_of(connection), [event("e-1", "1")]).status_code == 200
        rows.update(settings={"webhook_certificates": ["another"]})
        assert post(path_of(connection), [event("e-2", "1")], headers={}).status_code == 401
        assert webhooks._receivers.get(connection.webhook_token).trust.settings != {}  # type: ignore[union-attr]
        rows.update(status=CrmConnection.Status.DISCONNECTED)
        assert post(path_of(connection), [event("e-3", "1")]).status_code == 200
        now[0] += kept.KEPT_SECONDS
        assert post(path_of(connection), [event("e-4", "1")]).status_code == 404


def test_the_same_delivery_again_is_stored_once_and_answered_the_same(connection: CrmConnection) -> None:
    told = [event("e-1", "7"), event("e-2", "8")]
    first = post(path_of(connection), told)
    again = post(path_of(connection), told)
    partly = post(path_of(connection), [event("e-2", "8"), event("e-3", "9")])
    assert {first.status_code, again.status_code, partly.status_code} == {200}
    assert [row.dedupe_key for row in stored()] == ["e-1", "e-2", "e-3"]


def test_an_event_twice_in_one_delivery_is_stored_once(connection: CrmConnection) -> None:
    assert post(path_of(connection), [event("e-1", "7"), event("e-1", "7")]).status_code == 200
    assert len(stored()) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Fake-Signature": "0" * 64, "X-Fake-Timestamp": datetime.now(UTC).isoformat()},
        {"X-Fake-Signature": "Zoë", "X-Fake-Timestamp": datetime.now(UTC).isoformat()},
        {"X-Fake-Signature": "0" * 64, "X-Fake-Timestamp": "yesterday"},
    ],
    ids=["unsigned", "forged", "not ascii", "no time"],
)
def test_a_forged_delivery_is_refused_and_leaves_nothing(connection: CrmConnection, headers: dict[str, str]) -> None:
    answer = post(path_of(connection), [event("e-1", "7")], headers=headers)
    assert (answer.status_code, answer.content.decode()) == (401, webhooks.BAD_SIGNATURE)
    assert not stored()


@pytest.mark.parametrize(
    "change",
    [
        lambda row, body: (path_of(row), body.replace(b"7", b"8")),
        lambda row, body: (path_of(row, "?x=1"), body),
    ],
    ids=["body", "address"],
)
def test_a_signature_fits_nothing_but_what_was_signed(connection: CrmConnection, change: Any) -> None:
    body = json.dumps([event("e-1", "7")]).encode()
    headers = signed(PUBLIC + path_of(connection), body)
    path, sent = change(connection, body)
    assert post(path, sent, headers=headers).status_code == 401


def test_a_delivery_replayed_after_its_time_is_refused(connection: CrmConnection) -> None:
    body = json.dumps([event("e-1", "7")]).encode()
    old = signed(PUBLIC + path_of(connection), body, at=datetime.now(UTC) - timedelta(minutes=6))
    assert post(path_of(connection), body, headers=old).status_code == 401


def test_another_connections_secret_opens_nothing(connection: CrmConnection) -> None:
    with tenancy.everyone():
        CrmConnection.objects.update(secrets={"webhook_secret": "its-own-secret"})
    body = json.dumps([event("e-1", "7")]).encode()
    address = PUBLIC + path_of(connection)
    assert post(path_of(connection), body, headers=signed(address, body, secret=APP_SECRET)).status_code == 401
    assert post(path_of(connection), body, headers=signed(address, body, secret="its-own-secret")).status_code == 200


def test_the_query_is_checked_byte_for_byte_as_it_was_sent(connection: CrmConnection) -> None:
    query = "?tenant=acme&next=%2Fa%3Ab%2Cc%40d&plus=a+b%20c&empty=&%C3%BC"
    assert post(path_of(connection, query), [event("e-1", "7")]).status_code == 200


def test_the_address_is_the_public_one_whatever_host_a_proxy_names(
    connection: CrmConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Delivery] = []
    monkeypatch.setattr(Provider, "verify", classmethod(lambda cls, delivery, trust: seen.append(delivery)))
    path = path_of(connection, "?a=%2f")
    assert post(path, [], SERVER_NAME="internal:8000", headers={"Host": "evil.example"}).status_code == 200
    assert seen[0].url == PUBLIC + path
    assert seen[0].headers["host"] == "evil.example"


@pytest.mark.parametrize("method", ["get", "put", "delete", "head", "options", "patch"])
def test_only_post_is_taken(connection: CrmConnection, method: str) -> None:
    answer = getattr(Client(), method)(path_of(connection))
    assert (answer.status_code, answer["Allow"]) == (405, "POST")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (lambda row: f"/webhooks/fakecrm/{uuid4()}/", 404),
        (lambda row: f"/webhooks/hubspot/{row.webhook_token}/", 404),
        (lambda row: f"/webhooks/nocrm/{row.webhook_token}/", 404),
        (lambda row: "/webhooks/fakecrm/", 404),
        (lambda row: "/webhooks/fakecrm/not-a-token/", 404),
    ],
    ids=["unknown token", "another CRM's address", "unknown CRM", "no address of an app", "no token"],
)
def test_an_address_that_leads_nowhere_is_not_found(connection: CrmConnection, path: Any, status: int) -> None:
    assert post(path(connection), [event("e-1", "7")]).status_code == status
    assert not stored()


@pytest.mark.parametrize(
    ("state", "status", "kept"),
    [("connected", 200, 1), ("paused", 200, 1), ("needs_reconnecting", 200, 1), ("disconnected", 404, 0)],
)
def test_events_are_kept_while_a_connection_waits_and_refused_once_it_is_gone(
    connection: CrmConnection, state: str, status: int, kept: int
) -> None:
    with tenancy.everyone():
        CrmConnection.objects.update(status=state)
    assert post(path_of(connection), [event("e-1", "7")]).status_code == status
    assert len(stored()) == kept


def test_a_delivery_over_the_limit_is_refused(connection: CrmConnection) -> None:
    just = b" " * (webhooks.MAX_BODY - 2) + b"[]"
    assert post(path_of(connection), just).status_code == 200
    assert post(path_of(connection), just + b" ").status_code == 413


def test_a_delivery_that_announces_too_much_is_refused_unread(connection: CrmConnection) -> None:
    class Untouchable(io.BytesIO):
        def read(self, *_: Any) -> bytes:
            raise AssertionError("it was read")

    length = str(webhooks.MAX_BODY + 1)
    request = RequestFactory().generic("POST", path_of(connection), CONTENT_LENGTH=length)
    request.META["wsgi.input"] = request._stream = Untouchable()
    assert webhooks.of_connection(request, "fakecrm", connection.webhook_token).status_code == 413


def test_a_body_without_a_length_is_read_where_the_server_knows_its_end(connection: CrmConnection) -> None:
    def statuses(body: bytes, **environ: Any) -> int:
        headers = signed(PUBLIC + path_of(connection), body)
        request = RequestFactory().post(path_of(connection), headers=headers)
        request.META |= {"CONTENT_LENGTH": "", "wsgi.input": io.BytesIO(body), **environ}
        return webhooks.of_connection(request, "fakecrm", connection.webhook_token).status_code

    body = json.dumps([event("e-1", "7")]).encode()
    assert statuses(body) == 401, "it may not end at all: not read"
    assert statuses(body, **{"wsgi.input_terminated": True}) == 200
    assert statuses(b"x" * (webhooks.MAX_BODY + 1), **{"wsgi.input_terminated": True}) == 413


@pytest.mark.parametrize("length", ["1", "-5", "many", "0"])
def test_a_lying_length_is_no_error_of_the_server(connection: CrmConnection, length: str) -> None:
    assert post(path_of(connection), [event("e-1", "7")], CONTENT_LENGTH=length).status_code == 401
    assert not stored()


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"null", b"7", b'{"a": 1}', b"[1]", b'[{"key": 1}]', b"\xff\xfe", b"\x00",
        "[]".encode("utf-16"), b"[" * 500_000, b'{"a":' * 100_000, b'[{"key": NaN}]',
        b'[{"key":"k","change":"exploded","object":"people","ids":[]}]',
    ],
    ids=lambda body: repr(body[:40]),
)  # fmt: skip
def test_what_cannot_be_read_is_a_bad_request_and_stores_nothing(connection: CrmConnection, body: bytes) -> None:
    answer = post(path_of(connection), body)
    assert (answer.status_code in {200, 400}, len(stored())) == (True, 0)
    assert answer.status_code == 400 or body == "[]".encode("utf-16")


@pytest.mark.parametrize("number", ["NaN", "1e999", "-Infinity"])
def test_values_that_json_has_no_words_for_are_left_out(connection: CrmConnection, number: str) -> None:
    body = f'[{{"key":"k","change":"updated","object":"people","ids":["1"],"values":{{"a":{number}}}}}]'
    assert post(path_of(connection), body.encode()).status_code == 200
    assert (stored()[0].values, stored()[0].record_ids) == ({}, ["1"])


def test_text_that_the_database_cannot_hold_is_cleaned(connection: CrmConnection) -> None:
    told = event("k\x00ey", "7\x00", values={"na\x00me": "\ud800 Zoë"}, changed=["\udfff"])
    assert post(path_of(connection), [told, event("x" * 500, "8")]).status_code == 200
    second, first = sorted(stored(), key=lambda row: len(row.dedupe_key), reverse=True)
    assert (first.dedupe_key, first.record_ids) == ("key", ["7"])
    assert "Zoë" in first.values["name"]
    assert len(second.dedupe_key) == 64


def test_headers_are_kept_without_what_signs_or_identifies(connection: CrmConnection) -> None:
    body = json.dumps([event("e-1", "7")]).encode()
    headers = {
        **signed(PUBLIC + path_of(connection), body),
        "User-Agent": "FakeCRM/1.0 " + "x" * 500,
        "Authorization": "Bearer secret-token",
        "Cookie": "session=1",
        "X-Api-Key": "secret-key",
    }
    assert post(path_of(connection), body, headers=headers).status_code == 200
    kept = stored()[0].headers
    assert set(kept) == {"content-type", "content-length", "user-agent", "x-fake-timestamp"}
    assert len(kept["user-agent"]) == 200


def test_an_outage_of_the_database_asks_the_vendor_to_come_again(
    connection: CrmConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: Any) -> int:
        raise OperationalError("the connection to 10.0.0.7 was lost")

    with monkeypatch.context() as outage:
        outage.setattr(inbox, "store", down)
        answer = post(path_of(connection), [event("e-1", "7")])
    assert (answer.status_code, answer["Retry-After"]) == (503, "30")
    assert b"10.0.0.7" not in answer.content
    assert post(path_of(connection), [event("e-1", "7")]).status_code == 200
    assert len(stored()) == 1


@pytest.mark.parametrize("lost", ["SELECT", "INSERT"])
def test_a_database_that_goes_away_at_any_moment_leaves_nothing_and_asks_the_vendor_to_come_again(
    connection: CrmConnection, lost: str
) -> None:
    def down(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if lost in sql:
            raise OperationalError("server closed the connection unexpectedly")
        return execute(sql, params, many, context)

    told = [event(f"e-{number}", str(number)) for number in range(50)]
    with database.execute_wrapper(down):
        answer = post(path_of(connection), told)
    assert (answer.status_code, answer["Retry-After"]) == (503, "30")
    assert not stored()
    assert post(path_of(connection), told).status_code == 200
    assert len(stored()) == 50


@pytest.mark.django_db(transaction=True)
def test_a_batch_of_which_one_event_can_not_be_stored_is_not_stored_at_all(
    connection: CrmConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = inbox._row

    def spoilt(arrival: inbox.Arrival) -> dict[str, Any]:
        row = real(arrival)
        return {**row, "record_ids": None} if row["dedupe_key"] == "e-2" else row

    told = [event("e-1", "7"), event("e-2", "8"), event("e-3", "9")]
    with monkeypatch.context() as fault:
        fault.setattr(inbox, "_row", spoilt)
        assert post(path_of(connection), told).status_code == 503
    assert not stored()
    assert post(path_of(connection), told).status_code == 200
    assert len(stored()) == 3


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("part", ["async_task", "_tell_workers"])
@pytest.mark.parametrize("error", [ConnectionError("broker"), OperationalError("gone")], ids=["broker", "database"])
def test_a_delivery_is_acknowledged_once_it_is_stored_though_nobody_can_be_woken(
    connection: CrmConnection, monkeypatch: pytest.MonkeyPatch, part: str, error: Exception
) -> None:
    def down(*_: Any) -> None:
        raise error

    with monkeypatch.context() as outage:
        outage.setattr(inbox, part, down)
        assert post(path_of(connection), [event("e-1", "7")]).status_code == 200
    assert len(stored()) == 1
    with tenancy.everyone():
        assert SyncJob.objects.get().state == "ready"
        CrmConnection.objects.update(wake_requested_at=None)
    tasks.sweep()
    assert OrmQ.objects.count() == 1, "the sweep wakes whoever was not told"


def test_no_log_line_holds_the_secret_address_or_the_content(
    connection: CrmConnection, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for told in ([event("e-1", "7", values={"phone": "private"})], b"{", [event("e-2", "8", account="elsewhere")]):
        post(path_of(connection), told)
        post(path_of(connection), told, headers={})
    Client().get(path_of(connection))
    lines = " ".join(one.getMessage() for one in caplog.records if not one.name.startswith("django.db"))
    assert "was answered with 401" in lines
    assert str(connection.webhook_token) not in lines
    assert "private" not in lines


# --- one address for all accounts -----------------------------------------------------------------------------------


@pytest.fixture
def second(of_app: CrmConnection, stranger: Tenant) -> CrmConnection:
    with tenancy.everyone():
        row: CrmConnection = CrmConnection.objects.create(
            tenant=stranger, provider="fakecrm", account_id="acct-2", access_token="x"
        )
        return row


def test_a_delivery_for_two_accounts_reaches_each_and_neither_sees_the_other(
    of_app: CrmConnection, second: CrmConnection, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    told = [
        event("e-1", "7", account="acct-1"),
        event("e-2", "8", account="acct-2"),
        event("e-3", "9", account="acct-9"),
        event("e-4", "9"),
    ]
    assert post("/webhooks/fakecrm/", told).status_code == 200
    assert [(row.connection_id, row.dedupe_key) for row in sorted(stored(), key=lambda row: row.dedupe_key)] == [
        (of_app.pk, "e-1"),
        (second.pk, "e-2"),
    ]
    for row, one in zip(sorted(stored(), key=lambda row: row.dedupe_key), told, strict=False):
        assert json.loads(bytes(row.body)) == one
    with tenancy.everyone():
        assert set(SyncJob.objects.values_list("connection_id", "tenant_id")) == {
            (of_app.pk, of_app.tenant_id),
            (second.pk, second.tenant_id),
        }
    assert "2 events of accounts that are not connected here" in caplog.text


def test_a_delivery_for_nobody_we_know_is_acknowledged(of_app: CrmConnection) -> None:
    assert post("/webhooks/fakecrm/", [event("e-1", "7", account="acct-9")]).status_code == 200
    assert not stored()


def test_a_connection_that_was_disconnected_gets_nothing_more(of_app: CrmConnection) -> None:
    with tenancy.everyone():
        CrmConnection.objects.update(status="disconnected")
    assert post("/webhooks/fakecrm/", [event("e-1", "7", account="acct-1")]).status_code == 200
    assert not stored()


def test_the_app_is_checked_with_its_own_secret_and_never_a_tenants(of_app: CrmConnection) -> None:
    with tenancy.everyone():
        CrmConnection.objects.update(secrets={"webhook_secret": "its-own-secret"})
    body = json.dumps([event("e-1", "7", account="acct-1")]).encode()
    address = f"{PUBLIC}/webhooks/fakecrm/"
    assert post("/webhooks/fakecrm/", body, headers=signed(address, body, secret="its-own-secret")).status_code == 401
    assert post("/webhooks/fakecrm/", body, headers=signed(address, body)).status_code == 200


def test_an_event_of_another_account_is_not_stored_at_a_connections_address(connection: CrmConnection) -> None:
    told = [event("e-1", "7", account="acct-1"), event("e-2", "8", account="acct-2")]
    assert post(path_of(connection), told).status_code == 200
    assert [row.dedupe_key for row in stored()] == ["e-1"]
