"""The REST client's resources against the fake organisation, and what it makes of odd answers."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import responses

from integrations import errors
from integrations.providers.salesforce import composite as parts
from integrations.providers.salesforce.batches import Collections
from integrations.providers.salesforce.composite import Composite, Part
from integrations.providers.salesforce.replication import Replication
from integrations.providers.salesforce.rest import Rest
from integrations.records.connections import CrmUser
from integrations.records.events import Change
from tests.providers.salesforce.world import DATA, HOST, World, offline

QUERY = "/query/?q=SELECT+Id+FROM+Lead+LIMIT+1"


@pytest.fixture
def rest(world: World) -> Rest:
    return Rest(world.connect()[1])


# --- what there is --------------------------------------------------------------------------------------------------


def test_versions_are_listed_in_order(rest: Rest) -> None:
    assert rest.versions() == ["v59.0", "v67.0"]


def test_the_days_requests_are_told_by_limits(world: World, rest: Rest) -> None:
    world.sandbox.daily_limit = 500
    first, second = (rest.limits()["DailyApiRequests"] for _ in range(2))
    assert first["Max"] == 500
    assert second["Remaining"] == first["Remaining"] - 1


def test_objects_are_listed_with_their_rights_and_hidden_ones_are_not_there(world: World, rest: Rest) -> None:
    world.sandbox.deny("Account", "read")
    world.sandbox.deny("Lead", "delete")
    seen = rest.objects()
    assert "Account" not in seen
    assert (seen["Lead"]["queryable"], seen["Lead"]["deletable"]) == (True, False)


@pytest.mark.parametrize(
    "object_type", ["Lead", "Contact", "Account", "Opportunity", "Task", "Event", "User", "CampaignMember"]
)
def test_an_unchanged_object_is_not_described_again(world: World, object_type: str) -> None:
    provider, _ = world.connect()
    first = provider.describe_if_changed(object_type, "")
    assert first.fields
    assert first.stamp.endswith("GMT")
    again = world.connect()[0].describe_if_changed(object_type, first.stamp)
    assert (again.fields, again.stamp) == (None, first.stamp)


def test_a_new_field_is_a_change_but_a_right_is_not(world: World) -> None:
    world.connect()[0].prepare()
    first = world.connect()[0].describe_if_changed("Lead", "")
    world.sandbox.hide("Lead", "Title")
    assert world.connect()[0].describe_if_changed("Lead", first.stamp).fields is None
    world.sandbox.clock.advance(5)
    body = {"FullName": "Lead.New__c", "Metadata": {"type": "Text", "length": 9, "label": "New"}}
    world.ask("POST", f"{DATA}/tooling/sobjects/CustomField", json=body).raise_for_status()
    fields = world.connect()[0].describe_if_changed("Lead", first.stamp).fields
    assert fields is not None
    assert "Title" not in {spec.path for spec in fields}


def test_an_object_that_may_not_be_read_is_told_with_what_to_click(world: World) -> None:
    world.sandbox.deny("Opportunity", "read")
    with pytest.raises(errors.FixConfig, match="Object Settings"):
        world.connect()[0].describe("Opportunity")


def test_users_are_listed_with_their_addresses_and_who_has_left(world: World) -> None:
    users = {user.email: user for user in world.connect()[0].users()}
    held = next(row for row in world.store.all("User") if row["Name"] == "Tom Becker")
    assert len(users) == 6
    assert users["tom.becker@acme.example"] == CrmUser(
        held["Id"], "tom.becker@acme.example", "Tom Becker", active=False
    )


# --- single records -------------------------------------------------------------------------------------------------


def test_a_record_is_made_read_changed_and_deleted(rest: Rest) -> None:
    lead = rest.create("Lead", {"LastName": "Roe", "Company": "Acme"})
    rest.update("Lead", lead, {"Title": "CEO"})
    assert rest.get("Lead", lead, ["Title", "LastName"]) == {
        "attributes": {"type": "Lead", "url": f"{DATA}/sobjects/Lead/{lead}"},
        "Title": "CEO",
        "LastName": "Roe",
    }
    assert rest.get("Lead", lead[:15])["Company"] == "Acme"
    rest.delete("Lead", lead)
    asks: list[Callable[[], object]] = [lambda: rest.delete("Lead", lead), lambda: rest.get("Lead", lead)]
    for again in asks:
        with pytest.raises(errors.Gone):
            again()


def test_an_upsert_makes_once_and_then_changes(world: World) -> None:
    rest = Rest(world.prepared()[1])
    first = rest.upsert("Lead", "Dialer_Contact_Id__c", "a/b c", {"LastName": "Roe", "Company": "Acme"})
    second = rest.upsert("Lead", "Dialer_Contact_Id__c", "a/b c", {"Title": "CEO"})
    assert (first[1], second) == (True, (first[0], False))


def test_an_old_version_answers_an_updating_upsert_with_nothing(world: World, settings: object) -> None:
    settings.SALESFORCE_API_VERSION = "v45.0"  # type: ignore[attr-defined]
    rest = Rest(world.prepared()[1])
    rest.upsert("Lead", "Dialer_Contact_Id__c", "k", {"LastName": "Roe", "Company": "Acme"})
    assert rest.upsert("Lead", "Dialer_Contact_Id__c", "k", {"Title": "CEO"}) == ("", False)


def test_an_external_id_that_two_records_hold_is_ambiguous(world: World) -> None:
    rest = Rest(world.prepared()[1])
    for place in (0, 1):
        row = world.store.get("Lead", world.lead(place)) or {}
        world.sandbox.org.save("Lead", {**row, "Dialer_Contact_Id__c": "k"})
    with pytest.raises(errors.FixData) as refusal:
        rest.upsert("Lead", "Dialer_Contact_Id__c", "k", {"Title": "CEO"})
    assert (refusal.value.status, refusal.value.cause) == (300, "ambiguous_key")


def test_a_conditional_write_is_refused_once_the_record_changed(world: World, rest: Rest) -> None:
    lead, seen = world.lead(), world.sandbox.clock.now()
    rest.update("Lead", lead, {"Title": "CEO"}, unmodified_since=seen + timedelta(seconds=1))
    world.sandbox.clock.advance(10)
    world.sandbox.edit("Lead", lead, {"Title": "CTO"})
    writes: list[Callable[[], object]] = [
        lambda: rest.update("Lead", lead, {"Title": "x"}, unmodified_since=seen),
        lambda: rest.delete("Lead", lead, unmodified_since=seen),
    ]
    for write in writes:
        with pytest.raises(errors.Stale):
            write()
    assert rest.get("Lead", lead)["Title"] == "CTO"


@pytest.mark.parametrize("bad", ["../User/005", "00Q' OR", "", "00Qxx000001abcdEAA/x"])
def test_nothing_but_an_id_gets_into_an_address(rest: Rest, bad: str) -> None:
    asks: list[Callable[[], object]] = [
        lambda: rest.get("Lead", bad),
        lambda: rest.delete("Lead", bad),
        lambda: rest.get(bad, "00Qxx000001abcdEAA"),
    ]
    for ask in asks:
        with pytest.raises(ValueError, match="no Salesforce"):
            ask()


@pytest.mark.parametrize("locators", ["kept", "lost"])
def test_every_id_is_listed_once_also_when_the_service_forgets_its_place(world: World, locators: str) -> None:
    if locators == "lost":
        world.dial({"kind": "lose_locators"})
    provider, _ = world.connect()
    listed = [record_id for page in provider.ids("Lead") for record_id in page]
    assert sorted(listed) == sorted(row["Id"] for row in world.store.all("Lead"))


@responses.activate
def test_ids_go_on_behind_the_last_one_when_a_place_is_forgotten() -> None:
    first = {"done": False, "nextRecordsUrl": f"{DATA}/query/01g-1", "records": [{"Id": "00Qxx000001abcdEAA"}]}
    responses.get(f"{HOST}{DATA}/query", json=first)
    gone = [{"errorCode": "INVALID_QUERY_LOCATOR", "message": "invalid query locator"}]
    responses.get(f"{HOST}{DATA}/query/01g-1", status=400, json=gone)
    responses.get(f"{HOST}{DATA}/query", json={"done": True, "records": [{"Id": "00Qxx000001abceEAA"}]})
    assert list(offline().ids("Lead")) == [["00Qxx000001abcdEAA"], ["00Qxx000001abceEAA"]]
    asked = parse_qs(urlsplit(str(responses.calls[2].request.url)).query)["q"]
    assert asked == ["SELECT Id FROM Lead WHERE Id > '00Qxx000001abcdEAA' ORDER BY Id"]


# --- several in one -------------------------------------------------------------------------------------------------


def test_parts_may_use_the_answers_of_earlier_ones_and_one_failure_stops_nobody(world: World) -> None:
    _, api = world.connect()
    answers = Composite(api).run(
        [
            Part("POST", "/sobjects/Lead", {"LastName": "Roe", "Company": "Acme"}, name="lead"),
            Part("POST", "/sobjects/Task", {"Subject": "Call", "WhoId": "@{lead.id}"}),
            Part("PATCH", "/sobjects/Lead/00Q000000000000AAA", {"Title": "x"}),
            Part("GET", "/query?q=SELECT+Id+FROM+Task"),
        ]
    )
    assert [answer.status for answer in answers] == [201, 201, 404, 200]
    assert [type(answer.error) for answer in answers] == [type(None), type(None), errors.Gone, type(None)]
    assert world.tasks()[0]["WhoId"] == answers[0].body["id"]
    assert len(api.calls) == 1


def test_our_headers_are_repeated_in_each_part_since_the_outer_ones_do_not_reach_them(world: World) -> None:
    _, api = world.connect()
    told: list[str] = []
    world.sandbox.changed = lambda *what: told.append(what[4])  # type: ignore[method-assign]
    lead = world.lead()
    owner = (world.store.get("Lead", lead) or {})["OwnerId"]
    Composite(api).run([Part("PATCH", f"/sobjects/Lead/{lead}", {"Title": "CEO"})])
    assert (world.store.get("Lead", lead) or {})["OwnerId"] == owner
    assert told == ["com/salesforce/api/rest/59.0;client=DialerSync"]


@pytest.mark.parametrize(
    ("queries", "others", "sizes"),
    [(0, 25, [25]), (0, 26, [25, 1]), (5, 0, [5]), (6, 0, [5, 1]), (12, 20, [5, 5, 22]), (0, 0, [])],
)
def test_parts_are_split_by_twenty_five_and_by_five_queries(queries: int, others: int, sizes: list[int]) -> None:
    plan = [Part("GET", QUERY)] * queries + [Part("GET", "/limits")] * others
    assert [len(group) for group in parts.groups(plan)] == sizes


def test_more_parts_than_one_request_takes_are_answered_in_order(world: World) -> None:
    _, api = world.connect()
    leads = [world.lead(place) for place in range(30)]
    plan = [Part("GET", f"/sobjects/Lead/{lead}") for lead in leads]
    assert [answer.body["Id"] for answer in Composite(api).run(plan)] == leads
    assert len(Composite(api).run([Part("GET", QUERY)] * 6)) == 6
    assert len(api.calls) == 2 + 2


def test_a_batch_answers_for_each_and_each_counts_as_a_request(world: World) -> None:
    _, api = world.connect()
    before = world.sandbox._used
    plan = [Part("GET", f"/sobjects/Lead/{world.lead(place)}") for place in range(26)]
    answers = Composite(api).batch([*plan, Part("GET", "/sobjects/Lead/00Q000000000000AAA")])
    assert [answer.status for answer in answers] == [200] * 26 + [404]
    assert isinstance(answers[-1].error, errors.Gone)
    assert len(api.calls) == 2
    assert world.sandbox._used - before == 27 + 2


@responses.activate
@pytest.mark.parametrize(("path", "body"), [("composite", "compositeResponse"), ("composite/batch", "results")])
def test_parts_that_got_no_answer_are_an_unknown_outcome(path: str, body: str) -> None:
    responses.post(f"{HOST}{DATA}/{path}", json={body: []})
    api = offline().api
    ask = Composite(api).run if path == "composite" else Composite(api).batch
    with pytest.raises(errors.OutcomeUnknown):
        ask([Part("GET", "/limits")])


@pytest.mark.parametrize("method", ["create", "update", "upsert", "delete"])
def test_collections_go_by_two_hundred(world: World, method: str) -> None:
    _, api = world.prepared()
    leads = [row["Id"] for row in world.store.all("Lead") if not row["IsConverted"]][:201]
    collections = Collections(api)
    api.calls.clear()
    if method == "create":
        results = collections.create("Account", [{"Name": f"A{n}"} for n in range(201)])
    elif method == "update":
        results = collections.update("Lead", [{"id": lead, "Title": "x"} for lead in leads])
    elif method == "upsert":
        records = [{"Dialer_Contact_Id__c": f"k{n}", "LastName": "Roe", "Company": "A"} for n in range(201)]
        results = collections.upsert("Lead", "Dialer_Contact_Id__c", records)
    else:
        results = collections.delete(leads)
    assert [result["success"] for result in results] == [True] * 201
    assert len(api.calls) == 2


# --- what changed and what went -------------------------------------------------------------------------------------


def test_updated_and_deleted_ids_are_told_for_a_time(world: World) -> None:
    _, api = world.connect()
    start = world.sandbox.clock.now() - timedelta(minutes=10)
    changed, gone, purged = world.lead(1), world.lead(2), world.lead(3)
    world.sandbox.edit("Lead", changed, {"Title": "CEO"})
    world.sandbox.remove("Lead", gone)
    world.sandbox.purge("Lead", purged)
    world.sandbox.clock.advance(120)
    end = world.sandbox.clock.now()
    updated = list(Replication(api).updated("Lead", start, end))
    deleted = list(Replication(api).deleted("Lead", start, end))
    assert [[one for one, _at in span.ids] for span in updated] == [[changed]]
    assert [sorted(one for one, _at in span.ids) for span in deleted] == [sorted([gone, purged])]
    assert all(at is not None and at.tzinfo is UTC for span in deleted for _one, at in span.ids)
    assert updated[-1].covered == end.replace(second=0, microsecond=0)


def test_a_long_time_is_asked_for_in_pieces_of_thirty_days(world: World) -> None:
    _, api = world.connect()
    end = world.sandbox.clock.now()
    spans = list(Replication(api).updated("Lead", datetime(2024, 2, 1, tzinfo=UTC), datetime(2024, 5, 1, tzinfo=UTC)))
    assert len(spans) == 3
    assert {one for span in spans for one, _at in span.ids} == {row["Id"] for row in world.store.all("Lead")}
    assert len(list(Replication(api).deleted("Lead", end - timedelta(days=400), end))) == 1  # all that is kept


def test_a_time_in_which_too_much_changed_is_halved(world: World) -> None:
    _, api = world.connect()
    world.sandbox.most_ids = 400
    spans = list(Replication(api).updated("Lead", datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 3, 31, tzinfo=UTC)))
    assert len(spans) > 2
    assert {one for span in spans for one, _at in span.ids} == {row["Id"] for row in world.store.all("Lead")}


def test_more_ids_in_a_minute_than_a_list_holds_are_given_up(world: World) -> None:
    _, api = world.connect()
    world.sandbox.most_ids = 10  # three hundred rows share a stamp
    with pytest.raises(errors.Stale):
        list(Replication(api).updated("Lead", datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 3, 31, tzinfo=UTC)))


@responses.activate
def test_a_long_transaction_holds_back_where_the_next_question_starts() -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    for covered in ("2026-03-01T11:00:00.000+0000", "2026-03-01T12:00:00.000+0000"):
        responses.get(f"{HOST}{DATA}/sobjects/Lead/updated/", json={"ids": [], "latestDateCovered": covered})
    spans = list(Replication(offline().api).updated("Lead", start, start + timedelta(hours=12)))
    assert [span.covered.hour for span in spans] == [11, 12]
    asked = [str(call.request.url).split("?")[1] for call in responses.calls]
    assert asked[1] == "start=2026-03-01T11%3A00%3A00%2B00%3A00&end=2026-03-01T12%3A00%3A00%2B00%3A00"


def test_removals_tell_deletions_merges_and_what_left_the_recycle_bin_once_each(world: World) -> None:
    since = world.sandbox.clock.now() - timedelta(minutes=30)
    gone, loser, winner, purged = (world.lead(place) for place in range(4))
    world.sandbox.remove("Lead", gone)
    world.sandbox.merge("Lead", winner, loser)
    world.sandbox.purge("Lead", purged)
    world.sandbox.clock.advance(120)
    first = list(world.connect()[0].removals("Lead", since))
    told = {event.record_ids[0]: (event.change, event.moved_to) for event in first}
    assert told == {
        gone: (Change.DELETED, ""),
        loser: (Change.MERGED, winner),
        purged: (Change.DELETED, ""),
    }
    assert len(first) == 3
    assert {event.dedupe_key for event in world.connect()[0].removals("Lead", since)} == {
        event.dedupe_key for event in first
    }


def test_a_record_that_came_back_is_no_removal_and_going_again_is_another(world: World) -> None:
    since, lead = world.sandbox.clock.now(), world.lead()
    world.sandbox.remove("Lead", lead)
    first = list(world.connect()[0].removals("Lead", since))
    world.sandbox.undelete("Lead", lead)
    world.sandbox.clock.advance(120)
    assert list(world.connect()[0].removals("Lead", since)) == []
    world.sandbox.remove("Lead", lead)
    second = list(world.connect()[0].removals("Lead", since))
    assert first[0].dedupe_key != second[0].dedupe_key


# --- where a record lives on ----------------------------------------------------------------------------------------


def test_a_fetched_lead_that_was_converted_names_its_contact(world: World) -> None:
    lead = world.lead()
    contact = world.sandbox.convert(lead, opportunity="Seats")
    found = world.connect()[0].fetch("Lead", [lead], []).records[0]
    assert (found.moved_to, found.inactive, found.deleted) == (("Contact", contact), True, False)


def test_a_fetched_lead_that_was_merged_names_the_winner_and_one_out_of_the_bin_is_missing(world: World) -> None:
    winner, loser, gone, purged = (world.lead(place) for place in range(4))
    world.sandbox.merge("Lead", winner, loser)
    world.sandbox.remove("Lead", gone)
    world.sandbox.purge("Lead", purged)
    fetched = world.connect()[0].fetch("Lead", [winner, loser, gone, purged], [])
    found = {record.id: (record.deleted, record.moved_to) for record in fetched.records}
    assert found == {winner: (False, None), loser: (True, ("Lead", winner)), gone: (True, None)}
    assert list(fetched.missing) == [purged]


def test_changes_name_the_heir_too(world: World) -> None:
    before = {"until": (world.sandbox.clock.now() - timedelta(minutes=1)).isoformat()}
    winner, loser = world.lead(0), world.lead(1)
    world.sandbox.merge("Lead", winner, loser)
    world.sandbox.clock.advance(60)
    records = [row for page in world.connect()[0].changes("Lead", before, []) for row in page.records]
    assert {row.id: row.moved_to for row in records} == {winner: None, loser: ("Lead", winner)}
