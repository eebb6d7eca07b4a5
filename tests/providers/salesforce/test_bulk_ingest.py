"""Writing by bulk jobs: what goes up, what comes back, and that nothing is written twice whatever gets lost."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
import requests

from integrations import errors
from integrations.providers.salesforce import bulk
from integrations.providers.salesforce.bulk_sheets import Row, sheets
from integrations.providers.salesforce.provider import Provider
from integrations.records.remote import RecordWrite, Ticket, Written
from tests.providers.salesforce.world import DATA, World

JOBS = f"{DATA}/jobs/ingest"
KEY = "Dialer_Contact_Id__c"


@pytest.fixture
def keyed(world: World) -> World:
    """An organisation whose leads have our external id, visible to us."""
    made = {"type": "Text", "label": "Dialer Contact Id", "length": 64, "externalId": True, "unique": True}
    field = {"FullName": f"Lead.{KEY}", "Metadata": made}
    world.ask("POST", f"{DATA}/tooling/sobjects/CustomField", json=field).raise_for_status()
    granted = create(world, "PermissionSet", Name="Bulk_Test", Label="Bulk Test")
    rights = {"PermissionsRead": True, "PermissionsEdit": True}
    create(world, "FieldPermissions", ParentId=granted, SobjectType="Lead", Field=f"Lead.{KEY}", **rights)
    user = next(row["Id"] for row in world.store.all("User"))
    create(world, "PermissionSetAssignment", AssigneeId=user, PermissionSetId=granted)
    return world


def create(world: World, object_type: str, **values: Any) -> str:
    answer = world.ask("POST", f"{DATA}/sobjects/{object_type}", json=values)
    answer.raise_for_status()
    return str(answer.json()["id"])


def new(number: int, **values: Any) -> RecordWrite:
    return RecordWrite(f"contact-{number}", {"LastName": f"Bulk{number}", "Company": "Acme", **values})


def results(world: World, ticket: Ticket) -> dict[str, Written]:
    """As another process gets them, with the ticket from the database."""
    kept = json.loads(json.dumps(ticket))
    for _ in range(10):
        provider, _api = world.connect()
        try:
            found = list(provider.bulk_results(kept))
        except errors.NotReady:
            world.sandbox.clock.advance(10)
        else:
            assert len({one.key for one in found}) == len(found)
            return {one.key: one for one in found}
    raise AssertionError("It never ended.")


def leads(world: World, key: str) -> list[dict[str, Any]]:
    return [row for row in world.store.all("Lead") if row.get(KEY) == key and not row.get("IsDeleted")]


def wrote(world: World, *writes: RecordWrite) -> dict[str, Written]:
    provider, _api = world.connect()
    return results(world, provider.start_bulk("Lead", writes))


# --- what becomes of records ----------------------------------------------------------------------------------------


def test_creations_carry_their_key_and_are_found_again_by_it(keyed: World) -> None:
    found = wrote(keyed, *(new(number) for number in range(50)))
    assert len(found) == 50
    for key, one in found.items():
        assert (one.error, one.created, [row["Id"] for row in leads(keyed, key)]) == (None, True, [one.id])
        assert one.url.endswith(f"/lightning/r/Lead/{one.id}/view")


def test_the_same_records_in_a_new_job_make_no_twins(keyed: World) -> None:
    first = wrote(keyed, new(1), new(2))
    again = wrote(keyed, new(1, Title="CEO"), new(2))
    assert {key: one.id for key, one in again.items()} == {key: one.id for key, one in first.items()}
    assert not any(one.created for one in again.values())
    assert leads(keyed, "contact-1")[0]["Title"] == "CEO"


def test_updates_are_found_by_their_id_and_leave_the_rest_alone(keyed: World) -> None:
    one, two = keyed.lead(1), keyed.lead(2)
    before = dict(keyed.store.get("Lead", one) or {})
    writes = (RecordWrite("a", {"Title": "CTO"}, one[:15]), RecordWrite("b", {"Phone": None, "City": ""}, two))
    found = wrote(keyed, *writes)
    assert {key: (written.id, written.created, written.error) for key, written in found.items()} == {
        "a": (one, False, None),
        "b": (two, False, None),
    }
    after = keyed.store.get("Lead", one) or {}
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {"Title", "LastModifiedDate", "SystemModstamp"}
    assert [(keyed.store.get("Lead", two) or {})[name] for name in ("Phone", "City")] == [None, None]


def test_a_write_keeps_owners_and_bears_our_name(keyed: World, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(keyed.sandbox, "changed", lambda *what: told.append(what[4]))
    lead = keyed.lead(1)
    owner = (keyed.store.get("Lead", lead) or {})["OwnerId"]
    wrote(keyed, RecordWrite("a", {"Title": "CTO"}, lead))
    assert (keyed.store.get("Lead", lead) or {})["OwnerId"] == owner
    assert told == ["com/salesforce/api/bulkapi/59.0;client=DialerSync"]


def test_rows_that_fail_inside_a_good_job_have_their_own_errors(keyed: World) -> None:
    found = wrote(
        keyed,
        new(1),
        RecordWrite("no-name", {"Company": "Acme"}),
        new(3, Email="not an address"),
        RecordWrite("gone", {"Title": "x"}, "00Q000000000000AAA"),
        new(4, Status="Nonsense", Title="T" * 200),
    )
    assert found["contact-1"].error is None
    kinds = {key: type(one.error) for key, one in found.items() if one.error}
    assert kinds == {
        "no-name": errors.FixData,
        "contact-3": errors.FixData,
        "gone": errors.Gone,
        "contact-4": errors.FixData,
    }
    assert isinstance(found["no-name"].error, errors.FixData)
    assert found["no-name"].error.fields == ("LastName",)


def test_a_locked_row_is_worth_another_try_and_the_others_are_written(keyed: World) -> None:
    keyed.dial({"kind": "lock", "times": 1})
    found = wrote(keyed, new(1), new(2))
    assert sorted(type(one.error).__name__ for one in found.values()) == ["NoneType", "Retry"]


def test_the_same_key_twice_in_one_job_fails_both(keyed: World) -> None:
    provider, _api = keyed.connect()
    ticket = provider.start_bulk("Lead", [new(1), new(1, Title="CEO"), new(2)])
    found = None
    while found is None:
        try:
            found = list(provider.bulk_results(ticket))
        except errors.NotReady:
            continue
    assert sorted((one.key, type(one.error).__name__) for one in found) == [
        ("contact-1", "FixData"),
        ("contact-1", "FixData"),
        ("contact-2", "NoneType"),
    ]
    assert leads(keyed, "contact-1") == []


def test_a_record_that_can_not_go_up_is_answered_for_with_the_others(keyed: World) -> None:
    unknown = RecordWrite("unknown", {"Nope__c": 1, "Account": {"Name": "x"}}, keyed.lead(1))
    found = wrote(keyed, unknown, new(1, Description="x" * 32_001), new(2))
    assert found["contact-2"].error is None
    assert isinstance(found["unknown"].error, errors.FixConfig)
    too_long = found["contact-1"].error
    assert isinstance(too_long, errors.FixData)
    assert too_long.fields == ("Description",)


def test_texts_come_through_as_they_were(keyed: World) -> None:
    text = 'a "quoted" line,\nand #N/A another – ünï 😀'
    wrote(keyed, new(1, Description=text, Title="#N/A", DoNotCall=True))
    row = leads(keyed, "contact-1")[0]
    assert (row["Description"], row["Title"], row["DoNotCall"]) == (text, "N/A", True)


def test_calls_without_our_field_are_inserted_with_the_key_in_a_standard_one(world: World) -> None:
    provider, _api = world.connect()
    call = RecordWrite(
        "call-1", {"Subject": "Call", "Status": "Completed", "TaskSubtype": "Call", "WhoId": world.lead()}
    )
    ticket = provider.start_bulk("Task", [call])
    assert [(job["operation"], job["match"]) for job in ticket["jobs"]] == [("insert", "CallObject")]
    found = results(world, ticket)
    assert [(row["CallObject"], row["Id"]) for row in world.tasks()] == [("call-1", found["call-1"].id)]


def test_calls_with_our_field_are_upserted_and_what_may_only_be_created_is_left_out_of_second_tries(
    world: World,
) -> None:
    provider, _api = world.prepared()
    values = {"Subject": "Call", "Status": "Completed", "TaskSubtype": "Call", "WhoId": world.lead()}
    first = results(world, provider.start_bulk("Task", [RecordWrite("call-1", values)]))
    tried = RecordWrite("call-1", {**values, "Subject": "Call again"}, first_attempt_at=datetime.now(UTC))
    second = results(world, provider.start_bulk("Task", [tried]))
    assert (first["call-1"].created, second["call-1"].created) == (True, False)
    assert [(row["Subject"], row["TaskSubtype"]) for row in world.tasks()] == [("Call again", "Call")]


def test_creations_without_a_field_for_their_key_are_refused_in_words(world: World) -> None:
    provider, api = world.connect()
    with pytest.raises(errors.FixConfig, match=KEY):
        provider.start_bulk("Lead", [new(1)])
    assert not [call for call in api.calls if call.startswith("POST")]


def test_deletions_answer_by_id_and_one_that_is_gone_is_a_success(world: World) -> None:
    provider, _api = world.connect()
    one, two = world.lead(1), world.lead(2)
    world.ask("DELETE", f"{DATA}/sobjects/Lead/{two}").raise_for_status()
    found = results(world, provider.start_bulk_deletion("Lead", [one, two, "nonsense"]))
    assert {key: type(written.error).__name__ for key, written in found.items()} == {
        one: "NoneType",
        two: "NoneType",
        "nonsense": "FixData",
    }
    assert (world.store.get("Lead", one) or {})["IsDeleted"] is True


# --- jobs -----------------------------------------------------------------------------------------------------------


def test_nothing_is_written_before_the_ticket_is_back_in_somebodys_hands(keyed: World) -> None:
    provider, api = keyed.connect()
    ticket = provider.start_bulk("Lead", [new(1)])
    job = ticket["jobs"][0]["id"]
    assert [call for call in api.calls if "/jobs/" in call] == [f"POST {JOBS}", f"PUT {JOBS}/{job}/batches"]
    for _ in range(5):
        assert keyed.ask("GET", f"{JOBS}/{job}").json()["state"] == "Open"
    assert leads(keyed, "contact-1") == []
    results(keyed, ticket)
    assert len(leads(keyed, "contact-1")) == 1


@pytest.mark.parametrize("step", ["POST .*ingest$", "PUT", "PATCH", "GET .*ingest/[^/]+$", "successfulResults"])
@pytest.mark.parametrize("kind", ["drop_before", "drop_after"])
def test_an_answer_that_is_lost_anywhere_writes_nothing_twice(world: World, kind: str, step: str) -> None:
    """On calls that are inserted, where a second job would make twins."""
    write = RecordWrite("call-1", {"Subject": "Call", "Status": "Completed", "WhoId": world.lead()})
    world.dial({"kind": kind, "match": step, "times": 1})
    found: dict[str, Written] = {}
    ticket: Ticket | None = None
    for _ in range(10):
        provider, _api = world.connect()
        try:
            ticket = ticket or provider.start_bulk("Task", [write])
            found = {one.key: one for one in provider.bulk_results(ticket)}
            break
        except errors.OutcomeUnknown:
            pytest.fail("A step that can be repeated must not be called unknown.")
        except errors.Retry:
            continue
    assert found["call-1"].error is None
    assert len(world.tasks()) == 1


def test_an_upload_that_fails_leaves_no_job_behind(keyed: World) -> None:
    keyed.dial({"kind": "status", "match": "PUT", "status": 503, "times": 1})
    provider, _api = keyed.connect()
    with pytest.raises(errors.Retry):
        provider.start_bulk("Lead", [new(1)])
    assert keyed.sandbox._jobs == {}


@pytest.mark.parametrize("state", ["UploadComplete", "InProgress"])
def test_a_running_job_is_waited_for(keyed: World, state: str) -> None:
    keyed.dial({"kind": "slow_bulk", "seconds": 1_000})
    provider, _api = keyed.connect()
    ticket = provider.start_bulk("Lead", [new(1)])
    waits = []
    for age in (0, 0, 100, 300):
        keyed.sandbox.clock.advance(age)
        with pytest.raises(errors.NotReady) as caught:
            provider.bulk_results(ticket)
        waits.append(round(caught.value.after or 0))
    assert waits == [5, 5, 25, 60]


def test_results_can_be_read_again_until_the_job_is_discarded(keyed: World) -> None:
    provider, _api = keyed.connect()
    ticket = provider.start_bulk("Lead", [new(1), new(2)])
    first = results(keyed, ticket)
    assert results(keyed, ticket) == first
    provider.discard_bulk(ticket)
    with pytest.raises(errors.Gone) as caught:
        provider.bulk_results(ticket)
    assert caught.value.cause == "bulk_job_expired"
    provider.discard_bulk(ticket)


def test_rows_that_the_caller_fails_to_give_leave_no_job_behind(keyed: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "sheets", partial(sheets, aside=2))

    def broken() -> Iterator[RecordWrite]:
        yield RecordWrite("a", {"Title": "x"}, keyed.lead(1))
        yield from (new(number) for number in range(5))
        raise LookupError("The database went away.")

    provider, api = keyed.connect()
    with pytest.raises(LookupError):
        provider.start_bulk("Lead", broken())
    assert len([call for call in api.calls if call == f"POST {JOBS}"]) == 1
    assert keyed.sandbox._jobs == {}


def test_an_owner_is_named_by_address_and_read_only_objects_are_refused(keyed: World) -> None:
    email = "liam.chen@acme.example"
    owner = next(row["Id"] for row in keyed.store.all("User") if row["Email"] == email)
    found = wrote(
        keyed,
        new(1, Owner={"Email": email}),
        new(2, Owner={"Email": "nobody@acme.example"}),
        RecordWrite("no-id", {"Title": "x"}, "nonsense"),
    )
    assert leads(keyed, "contact-1")[0]["OwnerId"] == owner
    assert isinstance(found["contact-2"].error, errors.FixData)
    assert isinstance(found["no-id"].error, errors.Gone)
    provider, _api = keyed.connect()
    with pytest.raises(errors.Unsupported):
        provider.start_bulk("User", [new(1)])


def test_a_discarded_job_that_was_not_started_writes_nothing(keyed: World) -> None:
    provider, _api = keyed.connect()
    provider.discard_bulk(provider.start_bulk("Lead", [new(1)]))
    assert keyed.sandbox._jobs == {}
    assert leads(keyed, "contact-1") == []


def test_results_older_than_seven_days_are_gone(keyed: World) -> None:
    provider, api = keyed.connect()
    ticket = provider.start_bulk("Lead", [new(1)])
    results(keyed, ticket)
    keyed.sandbox.clock.advance(8 * 86_400)
    keyed.credential = api.credential = Provider.renew(keyed.credential, world_token_call, datetime.now(UTC))
    with pytest.raises(errors.Gone):
        provider.bulk_results(ticket)


def world_token_call(url: str, form: Any, **_: Any) -> requests.Response:
    return requests.post(url, data=dict(form), timeout=5)


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (None, errors.Retry),
        ("TooManyLockFailure : Too many lock failure", errors.Retry),
        ("ExceededQuota : ApiBatchItems Limit exceeded.", errors.Throttled),
        ("InvalidBatch : Field name not found : Foo__c", errors.FixConfig),
    ],
)
def test_rows_that_a_failed_job_left_alone_say_what_to_do(
    keyed: World, reason: str | None, kind: type[errors.CrmError]
) -> None:
    keyed.dial({"kind": "bulk_fails", "body": reason, "times": 1})
    found = wrote(keyed, *(new(number) for number in range(10)))
    left = [one for one in found.values() if one.error]
    assert len(found) == 10
    assert {type(one.error) for one in left} == {kind}
    assert all(leads(keyed, one.key) == [] for one in left)
    assert len(left) == (10 if kind is errors.FixConfig else 5)


def test_rows_of_a_job_that_somebody_stopped_are_tried_again(keyed: World) -> None:
    provider, _api = keyed.connect()
    ticket = provider.start_bulk("Lead", [new(1), new(2)])
    job = ticket["jobs"][0]["id"]
    keyed.ask("PATCH", f"{JOBS}/{job}", json={"state": "Aborted"}).raise_for_status()
    found = results(keyed, ticket)
    assert {key: type(one.error) for key, one in found.items()} == dict.fromkeys(found, errors.Retry)
    assert set(found) == {"contact-1", "contact-2"}


def test_many_records_of_many_kinds_are_one_job_for_each_header(keyed: World, monkeypatch: pytest.MonkeyPatch) -> None:
    updates = [RecordWrite(f"u{number}", {"Title": "x"}, keyed.lead(number)) for number in range(20)]
    creations = [new(number, **({"Phone": "1"} if number == 19 else {})) for number in range(20)]
    mixed = [write for pair in zip(updates, creations, strict=True) for write in pair]
    provider, _api = keyed.connect()
    ticket = provider.start_bulk("Lead", iter(mixed))
    assert [job["operation"] for job in ticket["jobs"]] == ["update", "upsert"]
    found = results(keyed, ticket)
    assert set(found) == {write.key for write in mixed}
    assert not [one for one in found.values() if one.error]


# --- sheets ---------------------------------------------------------------------------------------------------------


def rows_of(count: int, width: int = 10) -> Iterator[Row]:
    for number in range(count):
        yield Row(str(number), "upsert", "Key__c", {"Key__c": str(number), "Text": "x" * width})


def test_a_sheet_is_full_at_ninety_megabytes_and_no_upload_is_over_a_hundred() -> None:
    sizes = []
    for sheet in sheets(rows_of(1_000, 250_000)):
        sizes.append(len(sheet))  # noqa: PERF401 - a comprehension would hold the sheets open
    assert sum(sizes) > 250_000_000
    assert all(90_000_000 <= size < 91_000_000 for size in sizes[:-1])


def test_a_sheet_knows_its_length_and_can_be_read_again() -> None:
    for sheet in sheets(rows_of(3)):
        first = b"".join(sheet)
        assert first == b"".join(sheet)
        assert len(sheet) == len(first)
        assert first.splitlines()[0] == b'"Key__c","Text"'


def test_rows_that_do_not_suit_a_sheet_wait_for_the_next_and_none_is_lost() -> None:
    kinds = [("update", "Id"), ("upsert", "Key__c"), ("insert", "CallObject")]
    given = []
    for number in range(3_000):
        operation, match = kinds[number % 3]
        extra = {"Rare": "1"} if number % 500 == 499 else {}
        given.append(Row(f"k{number}", operation, match, {match: str(number), "Text": "x", **extra}))
    seen: list[str] = []
    count = 0
    for sheet in sheets(iter(given), aside=100):
        count += 1
        seen += [line.split(b",")[0].decode().strip('"') for line in b"".join(sheet).splitlines()[1:]]
        assert all(sheet.keys[number] == f"k{number}" for number in sheet.keys)
    assert sorted(map(int, seen)) == list(range(3_000))
    assert count <= 3_000 / 100 + 10


def test_writes_are_read_one_by_one_and_few_are_held() -> None:
    drawn = 0

    def endless() -> Iterator[Row]:
        nonlocal drawn
        for row in rows_of(10**9):
            drawn += 1
            yield row

    made = sheets(endless(), max_bytes=100_000, aside=50)
    assert next(made).rows == drawn
    made.close()


def test_nothing_to_write_makes_no_job(keyed: World) -> None:
    provider, _api = keyed.connect()
    ticket = provider.start_bulk("Lead", [])
    assert ticket["jobs"] == []
    assert results(keyed, ticket) == {}


# --- the fake organisation ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "code"),
    [
        ({"object": "Nope", "operation": "insert"}, "InvalidEntity"),
        ({"object": "Lead", "operation": "hardDelete"}, "InvalidOperation"),
        ({"object": "Lead", "operation": "insert", "externalIdFieldName": KEY}, "INVALIDJOB"),
        ({"object": "Lead", "operation": "upsert"}, "INVALIDJOB"),
        ({"object": "Lead", "operation": "upsert", "externalIdFieldName": "Nope__c"}, "NOT_FOUND"),
        ({"object": "Lead", "operation": "insert", "contentType": "JSON"}, "API_ERROR"),
    ],
)
def test_the_fake_organisation_refuses_a_wrong_order(keyed: World, order: dict[str, str], code: str) -> None:
    answer = keyed.ask("POST", JOBS, json={"contentType": "CSV", **order})
    assert answer.json()[0]["errorCode"] == code


def test_the_fake_organisation_takes_one_upload_and_knows_its_columns(keyed: World) -> None:
    order = {"object": "Lead", "operation": "insert", "contentType": "CSV"}
    path = f"{JOBS}/{keyed.ask('POST', JOBS, json=order).json()['id']}"
    sent = {"headers": {"Content-Type": "text/csv"}, "data": b"LastName,Nope__c\nx,1\n"}
    assert keyed.ask("PUT", f"{path}/batches", data=b"x").status_code == 415
    assert keyed.ask("PUT", f"{path}/batches", **sent).status_code == 201
    assert keyed.ask("PUT", f"{path}/batches", **sent).json()[0]["errorCode"] == "InvalidJobState"
    assert keyed.ask("DELETE", path).json()[0]["errorCode"] == "InvalidJobState"
    assert keyed.ask("GET", f"{path}/failedResults").status_code == 412
    assert keyed.ask("PATCH", path, json={"state": "UploadComplete"}).json()["state"] == "UploadComplete"
    assert keyed.ask("PATCH", path, json={"state": "UploadComplete"}).json()[0]["errorCode"] == "InvalidJobState"
    states = [keyed.ask("GET", path).json() for _ in range(2)]
    assert [one["state"] for one in states] == ["InProgress", "Failed"]
    assert states[1]["errorMessage"] == "InvalidBatch : Field name not found : Nope__c"
    assert keyed.ask("GET", f"{path}/unprocessedrecords").content == b'"LastName","Nope__c"\n"x","1"\n'


def test_results_come_in_another_order_than_the_rows_went_up(keyed: World) -> None:
    provider, _api = keyed.connect()
    ticket = provider.start_bulk("Lead", [new(number) for number in range(30)])
    assert list(results(keyed, ticket)) != [f"contact-{number}" for number in range(30)]
