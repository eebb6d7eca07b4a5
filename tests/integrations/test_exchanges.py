"""Requests to the CRMs and their answers: what is kept of them, for whom, how long, and what never is."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
import requests
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integrations import errors, exchanges, tenancy
from integrations.crm import open_crm
from integrations.exchanges import Exchange, about, noted
from integrations.exchanges_reading import about_record, as_curl, named
from integrations.exchanges_text import MOST_CHARACTERS, part_about, pretty
from integrations.models import ApiExchange, CrmConnection, Tenant
from integrations.records.connections import Credential
from integrations.registry import PROVIDERS, provider_class
from integrations.sandbox.server import SandboxServer
from integrations.transport.client import CrmApi, Patience
from integrations.transport.limits import Share
from tests import factories
from tests.fake_crm.provider import Provider
from tests.providers.case import PATIENCE, Case

NONE = Patience(turn=0.0, retry=0.0)


@pytest.fixture(autouse=True)
def for_everyone() -> Iterator[None]:
    with tenancy.everyone():
        yield


def api(row: CrmConnection, patience: Patience = NONE) -> CrmApi:
    return CrmApi(row.pk, Provider, {}, patience)


def kept() -> list[ApiExchange]:
    return list(ApiExchange.objects.order_by("pk"))


def sent(row: CrmConnection, method: str = "POST", **parts: Any) -> Exchange:
    """As if it had been sent and answered."""
    body = parts.pop("answer", b"{}")
    request = requests.Request(method, parts.pop("url", "https://crm.example.com/people"), **parts).prepare()
    response = requests.Response()
    response.status_code, response._content = 200, body
    return Exchange(
        row.pk,
        request,
        response,
        None,
        0.2,
        "edits",
        reads=method == "GET",
        in_masses=False,
        streamed=False,
        secrets=(),
    )


# --- what is kept ---------------------------------------------------------------------------------------------------


def test_a_write_is_kept_with_what_was_sent_and_answered(connection: CrmConnection, fake_crm: SandboxServer) -> None:
    with noted(["our-call"]):
        api(connection).request("POST", "/calls", json={"note": "Call +14155550100"}, repeatable=False)
        assert not kept(), "stored at the end of the work, not by each request"
    (row,) = kept()
    assert (row.tenant_id, row.connection_id, row.method, row.path) == (
        connection.tenant_id,
        connection.pk,
        "POST",
        "/calls",
    )
    assert (row.status, row.failed, row.keys) == (201, False, ["our-call"])
    assert json.loads(row.request) == {"note": "Call +14155550100"}
    assert json.loads(row.response) == {"id": "1"}


def test_what_was_asked_is_kept_although_the_work_fails(connection: CrmConnection, fake_crm: SandboxServer) -> None:
    def work() -> None:
        with noted():
            api(connection).request("GET", "/me")
            raise LookupError

    with pytest.raises(LookupError):
        work()
    assert [row.path for row in kept()] == ["/me"]


def test_a_failure_is_kept_with_its_problem(connection: CrmConnection, fake_crm: SandboxServer) -> None:
    fake_crm.service.faults.set([{"kind": "status", "status": 503}])
    with pytest.raises(errors.Retry):
        api(connection).request("GET", "/me")
    (row,) = kept()
    assert (row.status, row.failed) == (503, True)
    assert "error of its own" in row.problem


def test_a_request_without_an_answer_is_kept_without_a_status(
    connection: CrmConnection, fake_crm: SandboxServer
) -> None:
    fake_crm.service.faults.set([{"kind": "drop_after"}])
    with pytest.raises(errors.OutcomeUnknown):
        api(connection).request("POST", "/calls", json={"note": "x"}, repeatable=False)
    (row,) = kept()
    assert (row.status, row.failed, row.response) == (None, True, "")
    assert "gave no answer" in row.problem


def test_of_pages_read_in_masses_only_a_line_stays(connection: CrmConnection, fake_crm: SandboxServer) -> None:
    masses = replace(NONE, share=Share("backfill", in_budget=True))
    api(connection, masses).request("GET", "/people")
    api(connection).request("GET", "/people")
    assert [bool(row.response) for row in kept()] == [False, True]


def test_a_long_list_that_was_read_leaves_a_line_and_a_long_write_its_beginning(connection: CrmConnection) -> None:
    long = json.dumps([{"id": str(number)} for number in range(20_000)]).encode()
    exchanges.note(sent(connection, "GET", answer=long))
    exchanges.note(sent(connection, "POST", data=long))
    read, written = kept()
    assert (read.response, read.left_out) == ("", 0)
    assert len(written.request) == MOST_CHARACTERS
    assert written.left_out == len(long) - MOST_CHARACTERS


def test_a_batch_is_stored_by_one_statement(connection: CrmConnection) -> None:
    with CaptureQueriesContext(database) as asked, noted(["a", "b"]):
        for _ in range(20):
            exchanges.note(sent(connection))
    assert len([one for one in asked if "INSERT" in one["sql"]]) == 1
    assert len(kept()) == 20


def test_a_record_within_the_work_is_told_apart(connection: CrmConnection) -> None:
    with noted(["first", "second"]):
        with about("second"):
            exchanges.note(sent(connection))
        exchanges.note(sent(connection))
    assert [row.keys for row in kept()] == [["second"], ["first", "second"]]


def test_work_on_more_records_than_anybody_could_tell_apart_names_none(connection: CrmConnection) -> None:
    with noted([str(number) for number in range(exchanges.MOST_KEYS + 1)]):
        exchanges.note(sent(connection))
    assert kept()[0].keys == []


def test_nothing_is_kept_where_nobody_wants_it(connection: CrmConnection, settings: Any) -> None:
    settings.EXCHANGE_KEEP_DAYS = 0
    exchanges.note(sent(connection))
    assert kept() == []


def test_work_goes_on_when_its_requests_can_not_be_stored(connection: CrmConnection) -> None:
    broken = replace(sent(connection), work="x" * 100)  # longer than its column
    with noted():
        exchanges.note(broken)
    assert kept() == []


# --- what never is --------------------------------------------------------------------------------------------------

SECRET_TEXT = (
    st.text(st.characters(min_codepoint=33, max_codepoint=255), min_size=12, max_size=60)
    .map(str.strip)
    .filter(lambda text: len(text) >= 12)
)


@pytest.mark.parametrize("slug", PROVIDERS)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(SECRET_TEXT, min_size=4, max_size=4, unique=True), before=st.text(max_size=20), far=st.booleans())
def test_no_secret_of_a_connection_is_ever_stored(
    slug: str, tenant: Tenant, texts: list[str], before: str, far: bool
) -> None:
    """Wherever a CRM or our own code may put it: address, headers, bodies, error texts, at the edge of what is kept."""
    row = CrmConnection.objects.filter(provider=slug).first() or factories.connection(tenant, slug)
    row.take(Credential("oauth", texts[0], texts[1], secrets={"client_secret": texts[2], "private_key": texts[3]}))
    credential = row.credential()
    hidden = (*credential.hidden_texts(), str(row.webhook_token), row.webhook_secret)
    assert {*texts} < {*hidden}
    body = {"pad": "x" * (MOST_CHARACTERS - 60 if far else 0), before: [*hidden]}
    exchange = sent(
        row,
        url="https://crm.example.com/people",
        params={f"p{number}": one for number, one in enumerate(hidden)},
        json=body,
        headers=provider_class(slug).auth_headers(credential),
        answer=json.dumps(body, ensure_ascii=False).encode(),
    )
    problem = errors.FixData(f"Refused: {hidden[0]}")
    ApiExchange.objects.all().delete()
    exchanges.note(replace(exchange, secrets=hidden, problem=problem))
    (stored,) = ApiExchange.objects.values_list("path", "request", "response", "problem")
    for one in hidden:
        spelled = (one, json.dumps(one)[1:-1], quote(one, safe=""))
        assert not any(form in text for form in spelled for text in stored), one


@pytest.mark.parametrize("case", PROVIDERS, indirect=True)
def test_real_work_leaves_no_secret_and_no_header(case: Case) -> None:
    provider, _api = open_crm(case.row, PATIENCE)
    kind, record_id = case.record()
    call = case.call()
    with noted([call.key]):
        provider.write(kind, [case.to_write({"company": "Navy"}, record_id)])
        provider.log_calls([call])
        provider.subscribe(f"https://dialbridge.example.com/webhooks/{case.slug}/{case.row.webhook_token}/")
    rows = kept()
    assert any(row.request and not row.failed for row in rows)
    held = json.dumps([[row.path, row.request, row.response, row.problem] for row in rows])
    case.row.refresh_from_db()
    secrets = [*case.row.credential().hidden_texts(), str(case.row.webhook_token), case.row.webhook_secret]
    assert secrets
    for one in secrets:
        assert one not in held
    assert "authorization" not in held.lower()


# --- how long -------------------------------------------------------------------------------------------------------


def test_old_requests_are_deleted_in_batches(connection: CrmConnection, monkeypatch: Any) -> None:
    monkeypatch.setattr(exchanges, "DELETED_AT_ONCE", 2)
    for _ in range(7):
        exchanges.note(sent(connection))
    old = [row.pk for row in kept()[:5]]
    ApiExchange.objects.filter(pk__in=old).update(at=factories.now() - timedelta(days=8))
    assert exchanges.forget_old() == 5
    assert len(kept()) == 2
    assert exchanges.forget_old() == 0


def test_a_noisy_tenant_keeps_its_newest_and_leaves_the_others_theirs(
    connection: CrmConnection, stranger: Tenant, settings: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(exchanges, "TRIM_EVERY", 200_000)
    settings.EXCHANGE_MOST_MB = 1
    quiet = factories.connection(stranger)
    exchanges.note(sent(quiet))
    for number in range(40):
        exchanges.note(sent(connection, data=f"{number}:" + "y" * 60_000))
    mine = list(ApiExchange.objects.filter(connection=connection).order_by("pk"))
    assert sum(row.size for row in mine) < 1024 * 1024 + 200_000 + 61_000
    assert mine[-1].request.startswith("39:")
    assert ApiExchange.objects.filter(connection=quiet).count() == 1


def test_what_was_about_a_record_is_forgotten_with_it_and_only_in_its_tenant(
    connection: CrmConnection, stranger: Tenant
) -> None:
    gone, stays = str(uuid.uuid4()), str(uuid.uuid4())
    for row, keys in ((connection, [gone, stays]), (connection, [stays]), (factories.connection(stranger), [gone])):
        with noted(keys):
            exchanges.note(sent(row))
    assert exchanges.forget(connection.tenant_id, [gone]) == 1
    assert [row.keys for row in kept()] == [[stays], [gone]]


# --- one record's part ----------------------------------------------------------------------------------------------


def test_only_a_records_own_part_of_a_batch_is_shown() -> None:
    request = json.dumps({"inputs": [{"id": "12", "v": "a"}, {"id": "2", "v": "b"}], "other": True})
    answer = json.dumps({"results": [{"id": "2", "ok": 1}, {"id": "12", "ok": 1}]})
    asked, answered, left_out = part_about(request, answer, named(["2"]))
    assert json.loads(asked) == {"inputs": [{"id": "2", "v": "b"}], "other": True}
    assert json.loads(answered) == {"results": [{"id": "2", "ok": 1}]}
    assert left_out == 1


def test_answers_that_name_nobody_are_told_by_their_place() -> None:
    request = json.dumps({"records": [{"id": "1"}, {"id": "2"}]})
    answer = json.dumps([{"success": True}, {"success": False, "errors": ["too long"]}])
    _asked, answered, _left_out = part_about(request, answer, named(["2"]))
    assert json.loads(answered) == [{"success": False, "errors": ["too long"]}]


@pytest.mark.parametrize("text", ["", "<html>", '{"id": "2"}', '["2"]', '{"inputs": [{"id": "3"}]}'])
def test_what_can_not_be_cut_is_shown_whole(text: str) -> None:
    assert part_about(text, text, named(["2"])) == (text, text, 0)


def test_only_json_gets_lines() -> None:
    assert pretty('{"a":1}') == '{\n  "a": 1\n}'
    assert pretty("id,name\n1,a") == "id,name\n1,a"


def test_a_record_finds_its_requests_and_of_batches_those_that_name_it_or_failed(connection: CrmConnection) -> None:
    with noted(["ours", "another"]):
        exchanges.note(sent(connection, "GET", url="https://crm.example.com/fields"))
        exchanges.note(sent(connection, json=[{"id": "501"}, {"id": "502"}]))
        exchanges.note(sent(connection, json=[{"id": "503"}]))
        exchanges.note(replace(sent(connection), problem=errors.Retry("It stumbled.")))
        with about("ours"):
            exchanges.note(sent(connection, "GET", url="https://crm.example.com/people/501"))
    numbers = {row.pk: number for number, row in enumerate(kept())}
    assert [numbers[row.pk] for row in about_record(["ours"], ["501"])] == [4, 3, 1]
    assert list(about_record(["nobody"], ["501"])) == []


def test_a_request_can_be_sent_again_by_hand_without_its_secrets(connection: CrmConnection) -> None:
    exchanges.note(sent(connection, url="https://crm.example.com/people?name=O'Brien", json={"note": "it's"}))
    (row,) = kept()
    command = as_curl(row, connection, row.request)
    assert command.startswith("curl -X POST")
    assert '-H "Authorization: $AUTHORIZATION"' in command
    assert connection.access_token not in command
    assert "it'\"'\"'s" in command
