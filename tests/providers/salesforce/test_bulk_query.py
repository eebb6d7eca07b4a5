"""The first load of a large object: when a bulk query is chosen, how it is waited for, resumed and given up."""

import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
import responses
from hypothesis import given
from hypothesis import strategies as st

from integrations import errors
from integrations.providers.salesforce.bulk_csv import rows
from integrations.providers.salesforce.bulk_query import CHUNK, PAGE, Shape
from integrations.providers.salesforce.provider import Provider
from integrations.providers.salesforce.sandbox.bulk_rows import FIRST_NAMES, pieces, text_of
from integrations.providers.salesforce.sandbox.soql import stamp
from integrations.providers.salesforce.schema import ObjectSchema
from integrations.records.connections import Credential
from integrations.records.remote import ChangePage, Cursor, RemoteRecord
from tests.providers.harness import token_call
from tests.providers.salesforce.world import DATA, HOST, World, offline

PATHS = ("FirstName", "LastName", "Phone || MobilePhone", "Owner.Email", "DoNotCall", "Street", "City", "Title")
JOBS = f"{DATA}/jobs/query"
STORED = 1_110  # leads of the seeded organisation


def load(
    world: World, cursor: Cursor | None = None, paths: Sequence[str] = PATHS, **connection: Any
) -> list[ChangePage]:
    """Every page, each slice by a provider of its own, as one that waits would get them."""
    pages: list[ChangePage] = []
    for _ in range(20):
        provider, _api = world.connect(**connection)
        try:
            for page in provider.changes("Lead", cursor, paths):
                pages.append(page)
                cursor = page.cursor
        except errors.NotReady:
            world.sandbox.clock.advance(10)
        else:
            return pages
    raise AssertionError("It never ended.")


def people(pages: Sequence[ChangePage]) -> list[RemoteRecord]:
    return [record for page in pages for record in page.records]


def asked(api: Any, what: str) -> int:
    return sum(1 for call in api.calls if what in call)


def renewed(world: World) -> Credential:
    """Sessions end while a test lets days go by."""
    return Provider.renew(world.credential, token_call, datetime.now(UTC))


def first_slice(provider: Provider) -> tuple[ChangePage, errors.NotReady]:
    pages = provider.changes("Lead", None, PATHS)
    begun = next(pages)
    with pytest.raises(errors.NotReady) as caught:
        next(pages)
    return begun, caught.value


# --- choosing -------------------------------------------------------------------------------------------------------


def test_a_small_object_is_read_by_pages(world: World) -> None:
    provider, api = world.connect()
    assert len(people(list(provider.changes("Lead", None, PATHS)))) == STORED
    assert not asked(api, "/jobs/")


@pytest.mark.parametrize(("count", "jobs"), [(2_000 - STORED, 0), (2_001 - STORED, 1)], ids=["2000", "2001"])
def test_more_than_two_thousand_records_are_read_by_a_bulk_query(world: World, count: int, jobs: int) -> None:
    world.sandbox.grow(count)
    provider, api = world.connect()
    next(provider.changes("Lead", None, PATHS))
    assert asked(api, f"POST {JOBS}") == jobs


def test_later_runs_and_tenants_who_refuse_it_read_by_pages(world: World) -> None:
    world.sandbox.grow(5_000)
    for cursor, settings in (({"until": "2026-01-01T00:00:00+00:00"}, {}), (None, {"bulk_from": 0})):
        provider, api = world.connect(settings=settings)
        next(iter(provider.changes("Lead", cursor, PATHS)))
        assert not asked(api, "/jobs/")


@pytest.mark.parametrize(
    "refusal",
    [
        {"status": 400, "body": [{"errorCode": "INVALIDENTITY", "message": "not supported by the Bulk API"}]},
        {"status": 400, "body": [{"errorCode": "FeatureNotEnabled", "message": "Bulk API is not enabled"}]},
        {"status": 403, "body": [{"errorCode": "INSUFFICIENT_ACCESS", "message": "no"}]},
        {"status": 400, "body": [{"errorCode": "ExceededQuota", "message": "10000 jobs"}]},
        {"status": 404, "body": [{"errorCode": "NOT_FOUND", "message": "no such resource"}]},
    ],
    ids=lambda refusal: refusal["body"][0]["errorCode"],
)
def test_where_bulk_is_refused_reading_goes_by_pages_and_the_log_says_so(
    world: World, caplog: pytest.LogCaptureFixture, refusal: dict[str, Any]
) -> None:
    world.sandbox.grow(5_000)
    world.dial({"kind": "status", "match": f"POST {JOBS}", **refusal})
    caplog.set_level(logging.WARNING, "dialbridge.salesforce")
    assert len(people(load(world))) == STORED
    assert "read by pages" in caplog.text


def test_a_used_up_daily_quota_is_no_reason_to_try_another_way(world: World) -> None:
    world.sandbox.grow(5_000)
    body = [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "TotalRequests Limit exceeded."}]
    world.dial({"kind": "status", "match": f"POST {JOBS}", "status": 403, "body": body})
    provider, _api = world.connect()
    with pytest.raises(errors.Throttled) as caught:
        list(provider.changes("Lead", None, PATHS))
    assert caught.value.cause == "daily_quota"


def test_an_object_that_is_too_large_to_be_counted_is_read_by_bulk(world: World) -> None:
    body = [{"errorCode": "QUERY_TIMEOUT", "message": "Your query request was running for too long."}]
    world.dial({"kind": "status", "match": "/query", "status": 400, "body": body, "times": 1})
    provider, api = world.connect()
    next(provider.changes("Lead", None, PATHS))
    assert asked(api, f"POST {JOBS}") == 1


# --- waiting --------------------------------------------------------------------------------------------------------


def test_the_job_is_handed_on_in_a_cursor_before_anybody_waits(world: World) -> None:
    world.sandbox.grow(5_000)
    provider, api = world.connect()
    begun, wait = first_slice(provider)
    assert (begun.records, begun.total) == ((), STORED + 5_000)
    assert begun.cursor["bulk"]["job"].startswith("750")
    assert wait.after == 5
    assert isinstance(wait, errors.Throttled)  # ends a slice without counting as a failure
    load(world, begun.cursor)
    assert asked(api, f"POST {JOBS}") == 1


@pytest.mark.parametrize(("age", "after"), [(0, 5), (100, 25), (3_600, 60)])
def test_a_job_is_looked_at_less_and_less_often(world: World, age: float, after: float) -> None:
    world.sandbox.grow(5_000)
    world.dial({"kind": "slow_bulk", "seconds": 10_000})
    provider, _api = world.connect()
    begun, _wait = first_slice(provider)
    world.sandbox.clock.advance(age)
    with pytest.raises(errors.NotReady) as caught:
        list(provider.changes("Lead", begun.cursor, PATHS))
    assert caught.value.after == pytest.approx(after, abs=1)


def test_a_job_that_never_ends_is_given_up_after_a_day(world: World) -> None:
    world.sandbox.grow(5_000)
    world.dial({"kind": "slow_bulk", "seconds": 10**9})
    provider, api = world.connect()
    begun, _wait = first_slice(provider)
    world.sandbox.clock.advance(25 * 3_600)
    api.credential = renewed(world)
    assert len(people(list(provider.changes("Lead", begun.cursor, PATHS)))) == STORED
    assert asked(api, "PATCH") == 1
    assert asked(api, "DELETE") == 1


@pytest.mark.parametrize("body", ["TooManyLockFailure : Too many lock failure", None], ids=["with reason", "without"])
def test_a_failed_job_is_replaced_by_pages_and_the_log_says_so(
    world: World, caplog: pytest.LogCaptureFixture, body: str | None
) -> None:
    world.sandbox.grow(5_000)
    world.dial({"kind": "bulk_fails", "body": body, "times": 1})
    caplog.set_level(logging.WARNING, "dialbridge.salesforce")
    pages = load(world)
    assert len(people(pages)) == STORED
    assert set(pages[-1].cursor) == {"until"}
    assert (body or "no reason given") in caplog.text


def test_a_job_that_somebody_stopped_is_replaced_by_pages(world: World) -> None:
    world.sandbox.grow(5_000)
    provider, _api = world.connect()
    begun, _wait = first_slice(provider)
    world.ask("PATCH", f"{JOBS}/{begun.cursor['bulk']['job']}", json={"state": "Aborted"}).raise_for_status()
    assert len(people(load(world, begun.cursor))) == STORED


# --- reading --------------------------------------------------------------------------------------------------------


def test_everybody_comes_once_in_pages_that_fit_and_the_job_is_deleted(world: World) -> None:
    world.sandbox.grow(2 * CHUNK)
    pages = load(world)
    found = people(pages)
    assert len(found) == len({record.id for record in found}) == STORED + 2 * CHUNK
    assert max(len(page.records) for page in pages) == PAGE
    assert {page.total for page in pages} == {STORED + 2 * CHUNK}
    assert set(pages[-1].cursor) == {"until"}
    assert all(record.modified_at.tzinfo and record.raw and record.url for record in found)
    job = pages[0].cursor["bulk"]["job"]
    assert world.ask("GET", f"{JOBS}/{job}").status_code == 404


def test_the_next_run_begins_at_the_services_clock_before_the_job(world: World) -> None:
    world.sandbox.grow(5_000)
    world.sandbox.clock.advance(3_000)
    begun = load(world)[-1].cursor["until"]
    lead = world.lead()
    world.change("Lead", lead, seconds_ago=5, Phone="+14155550199")
    world.sandbox.clock.advance(30)
    again = load(world, {"until": begun})
    assert [record.id for record in people(again)] == [lead]


@pytest.mark.thorough
def test_reading_goes_on_after_any_page_in_another_process(world: World) -> None:
    world.sandbox.grow(CHUNK + 3_000)
    world.dial({"kind": "status", "match": "DELETE", "status": 500})  # the job stays
    pages = load(world)
    everybody = [record.id for record in people(pages)]
    seen = 0
    for page in pages[:-1]:
        seen += len(page.records)
        assert [record.id for record in people(load(world, page.cursor))] == everybody[seen:]


def test_a_job_that_salesforce_has_forgotten_is_started_over(world: World) -> None:
    world.sandbox.grow(5_000)
    provider, _api = world.connect()
    begun, _wait = first_slice(provider)
    world.sandbox.clock.advance(8 * 86_400)
    world.credential = renewed(world)
    pages = load(world, begun.cursor)
    assert len(people(pages)) == STORED + 5_000
    assert pages[0].cursor["bulk"]["job"] != begun.cursor["bulk"]["job"]


def test_a_job_of_another_api_version_is_started_over(world: World, settings: Any) -> None:
    world.sandbox.grow(5_000)
    provider, _api = world.connect()
    begun, _wait = first_slice(provider)
    settings.SALESFORCE_API_VERSION = "v60.0"
    pages = load(world, begun.cursor)
    assert len(people(pages)) == STORED + 5_000
    assert pages[0].cursor["bulk"]["job"] != begun.cursor["bulk"]["job"]


def test_results_that_are_asked_for_too_early_are_waited_for(world: World) -> None:
    world.sandbox.grow(5_000)
    provider, _api = world.connect()
    begun, _wait = first_slice(provider)
    job = begun.cursor["bulk"]["job"]
    early = world.ask("GET", f"{JOBS}/{job}/results")
    assert (early.status_code, early.json()[0]["errorCode"]) == (412, "JOB_NOT_COMPLETE")
    world.dial({"kind": "status", "match": "results", "status": 412, "body": early.json(), "times": 1})
    assert len(people(load(world, begun.cursor))) == STORED + 5_000


@pytest.mark.parametrize("kind", ["short_bulk", "drop_after"])
def test_a_result_that_breaks_off_is_no_end_of_the_list(world: World, kind: str) -> None:
    world.sandbox.grow(5_000)
    provider, _api = world.connect()
    begun, _wait = first_slice(provider)
    world.dial({"kind": kind, "match": "results", "times": 1})
    with pytest.raises(errors.Retry):
        list(provider.changes("Lead", begun.cursor, PATHS))
    assert len(people(load(world, begun.cursor))) == STORED + 5_000


def test_nul_bytes_in_texts_change_nothing_else(world: World) -> None:
    world.sandbox.grow(5_000)
    world.dial({"kind": "nul_bytes"})
    names = {record.fields["FirstName"] for record in people(load(world)) if record.id.startswith("00QGr")}
    assert names == set(FIRST_NAMES)


@pytest.mark.parametrize("faults", [(), ({"kind": "empty_bulk"},)], ids=["header only", "empty body"])
def test_a_result_without_rows_ends_the_load(world: World, faults: tuple[dict[str, str], ...]) -> None:
    world.sandbox.grow(5_000)
    provider, _api = world.connect()
    begun, _wait = first_slice(provider)
    world.sandbox._jobs[begun.cursor["bulk"]["job"]].content.total = 0
    world.dial(*faults)
    pages = load(world, begun.cursor)
    assert [(len(page.records), set(page.cursor)) for page in pages] == [(0, {"until"})]


@responses.activate
def test_a_locator_that_leads_back_to_itself_is_not_followed() -> None:
    job = f"{HOST}{JOBS}/750Hs0000000001IAA"
    responses.get(f"{HOST}{DATA}/sobjects/Lead/describe", json={"fields": [{"name": "Id", "type": "id"}]})
    responses.get(job, json={"state": "JobComplete"})
    responses.get(f"{job}/results", body=b'"Id"\n', headers={"Sforce-Locator": "MTAwMDA"})
    cursor = {"bulk": {"job": "750Hs0000000001IAA", "until": "2026-01-01T00:00:00+00:00", "total": 3, "row": 0}}
    with pytest.raises(errors.Retry, match="does not say where"):
        list(offline().changes("Lead", {"bulk": {**cursor["bulk"], "locator": "MTAwMDA"}}, PATHS))


# --- both ways ------------------------------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """Without the addresses that the REST API adds to related records, and without empty texts, which only a fake holds."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items() if key != "attributes"}
    return None if value == "" else value


def without_address(record: RemoteRecord) -> tuple[Any, ...]:
    return (
        record.object_type,
        plain(dict(record.fields)),
        record.modified_at,
        record.url,
        record.deleted,
        record.inactive,
        record.moved_to,
    )


@pytest.mark.parametrize("object_type", ["Lead", "Contact"])
def test_both_ways_of_reading_give_equal_records(world: World, object_type: str) -> None:
    provider, _api = world.connect()
    paths = [spec.path for spec in provider.describe(object_type)]
    world.change(object_type, world.lead() if object_type == "Lead" else world.contact(), **HARD)
    by_pages = {record.id: without_address(record) for record in all_of(world, object_type, paths, bulk_from=0)}
    by_bulk = {record.id: without_address(record) for record in all_of(world, object_type, paths, bulk_from=1)}
    assert by_bulk == by_pages
    assert len(by_bulk) > 100


HARD: dict[str, Any] = {
    "Description": 'a "quoted" line,\n and another\t– ünï \u202e 😀',
    "DoNotCall": True,
    "Title": "#N/A",
    "Email": None,
}


def all_of(world: World, object_type: str, paths: Sequence[str], *, bulk_from: int) -> Iterator[RemoteRecord]:
    cursor: Cursor | None = None
    for _ in range(5):
        provider, _api = world.connect(settings={"bulk_from": bulk_from})
        try:
            for page in provider.changes(object_type, cursor, paths):
                yield from page.records
                cursor = page.cursor
        except errors.NotReady:
            continue
        return
    raise AssertionError("It never ended.")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("SELECT COUNT() FROM Lead", "API_ERROR"),
        ("SELECT Name FROM Lead GROUP BY Name", "API_ERROR"),
        ("SELECT Id FROM Lead LIMIT 5 OFFSET 5", "API_ERROR"),
        ("SELECT Id, (SELECT Id FROM Tasks) FROM Lead", "API_ERROR"),
        ("SELECT Id, Address FROM Lead", "FUNCTIONALITY_NOT_ENABLED"),
        ("SELECT Id, Nope FROM Lead", "INVALID_FIELD"),
    ],
)
def test_the_fake_organisation_refuses_what_bulk_queries_may_not_do(world: World, query: str, code: str) -> None:
    answer = world.ask("POST", JOBS, json={"operation": "query", "query": query})
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, code)


# --- the shape of a row ---------------------------------------------------------------------------------------------

SCHEMA = ObjectSchema(
    {
        "fields": [
            {"name": "Id", "type": "id"},
            {"name": "SystemModstamp", "type": "datetime"},
            {"name": "Title", "type": "string"},
            {"name": "DoNotCall", "type": "boolean"},
            {"name": "NumberOfEmployees", "type": "int"},
            {"name": "AnnualRevenue", "type": "currency"},
            {"name": "Address", "type": "address"},
            {"name": "OwnerId", "type": "reference", "relationshipName": "Owner", "referenceTo": ["User"]},
        ]
    }
)
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
ROWS = st.fixed_dictionaries(
    {
        "Title": st.none() | TEXT,
        "DoNotCall": st.booleans(),
        "NumberOfEmployees": st.none() | st.integers(-(10**9), 10**9),
        "AnnualRevenue": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "SystemModstamp": st.datetimes(min_value=datetime(1, 1, 3)).map(stamp),  # noqa: DTZ001 - the zone is added by stamp
        "Owner": st.none() | st.fixed_dictionaries({"Email": st.none() | TEXT}),
    }
)


@given(st.lists(ROWS, max_size=5))
def test_any_rows_of_a_bulk_result_become_what_the_rest_api_gives(people: list[dict[str, Any]]) -> None:
    shape = Shape(SCHEMA, ["Title", "DoNotCall", "NumberOfEmployees", "AnnualRevenue", "Address", "Owner.Email"])
    assert "Address" not in shape.columns
    kinds = {"SystemModstamp": "datetime"}
    table = []
    for row in people:
        owner = row["Owner"] or {}
        flat = {**row, "Id": "", "OwnerId": "005" if row["Owner"] else None, "Owner.Email": owner.get("Email")}
        table.append([text_of(kinds.get(name, ""), flat[name]) for name in shape.columns])
    found = [shape.record(row) for row in rows(pieces(shape.columns, table))]
    assert found == [{"Id": None, **row} for row in people]
