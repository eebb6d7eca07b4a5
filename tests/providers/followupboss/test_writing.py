"""Writing people, against the fake service over real HTTP: it replaces lists, makes duplicates and knows no versions."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from integrations import errors
from integrations.providers.followupboss.sandbox import seed
from integrations.records.remote import RecordWrite, Written
from integrations.sandbox.server import SandboxServer
from tests.providers.followupboss.conftest import Connect, sandbox_of
from tests.providers.followupboss.test_calls import call

WORK = {"value": "(907) 555-0111", "type": "work", "isPrimary": 1}
MOBILE = {"value": "+1 907 555 0112", "type": "mobile"}
ADA = {"firstName": "Ada", "lastName": "Quist", "emails": [{"value": "ada.quist@example.com"}], "phones": [WORK]}


def held(server: SandboxServer, person_id: str = "1001") -> dict[str, Any]:
    return dict(server.service.store.get("people", person_id) or {})


def write(connected: Connect, values: dict[str, Any], person_id: str = "1001", **options: Any) -> Written:
    key = options.pop("key", seed.OWNER_KEY)
    provider, _ = connected(key)
    (written,) = provider.write("people", [RecordWrite("k1", values, person_id, **options)])
    return written


def numbers(person: dict[str, Any]) -> list[tuple[str, str, int]]:
    return [(one["value"], one["type"], one["isPrimary"]) for one in person["phones"]]


@pytest.fixture
def ada(server: SandboxServer) -> str:
    """Somebody with two numbers, two addresses and two tags."""
    return sandbox_of(server).add(
        "people",
        {
            **ADA,
            "phones": [WORK, MOBILE],
            "tags": ["hot", "vip"],
            "emails": [
                {"value": "ada.quist@example.com", "isPrimary": 1},
                {"value": "ada.quist@example.net", "type": "work"},
            ],
            "addresses": [
                {"type": "home", "street": "1 Elm St", "city": "Oslo", "state": "", "code": "0150", "country": "NO"}
            ],
        },
    )


# --- lists that are replaced as a whole --------------------------------------------------------------------------------


def test_one_number_changes_and_the_other_stays(server: SandboxServer, connected: Connect, ada: str) -> None:
    written = write(connected, {"phones": [{"type": "mobile", "value": "+19075550199"}]}, ada)
    assert (written.id, written.created, written.error) == (ada, False, None)
    assert numbers(held(server, ada)) == [("9075550111", "work", 1), ("+19075550199", "mobile", 0)]


def test_a_number_that_differs_in_format_alone_is_not_written(
    server: SandboxServer, connected: Connect, ada: str
) -> None:
    provider, api = connected()
    values = {"phones": [{"type": "work", "value": "+19075550111"}], "firstName": "Ada"}
    (written,) = provider.write("people", [RecordWrite("k1", values, ada)])
    assert written.error is None
    assert api.calls == [f"GET /people/{ada}"]


def test_a_new_primary_address_replaces_the_primary_one_alone(
    server: SandboxServer, connected: Connect, ada: str
) -> None:
    write(connected, {"emails": [{"isPrimary": 1, "value": "new@example.com"}]}, ada)
    assert [(one["value"], one["isPrimary"]) for one in held(server, ada)["emails"]] == [
        ("new@example.com", 1),
        ("ada.quist@example.net", 0),
    ]


def test_a_known_address_becomes_the_primary_one_without_a_twin(
    server: SandboxServer, connected: Connect, ada: str
) -> None:
    write(connected, {"emails": [{"isPrimary": 1, "value": "ADA.quist@example.net"}]}, ada)
    assert [(one["value"], one["isPrimary"]) for one in held(server, ada)["emails"]] == [
        ("ada.quist@example.com", 0),
        ("ada.quist@example.net", 1),
    ]


def test_an_entry_without_a_value_takes_its_counterpart_away(
    server: SandboxServer, connected: Connect, ada: str
) -> None:
    write(connected, {"phones": [{"type": "mobile", "value": None}]}, ada)
    assert numbers(held(server, ada)) == [("9075550111", "work", 1)]


def test_what_was_seen_and_is_left_out_goes_and_what_came_since_stays(
    server: SandboxServer, connected: Connect, ada: str
) -> None:
    seen = held(server, ada)
    server.service.edit("people", ada, {"phones": [*seen["phones"], {"value": "9075550188", "type": "home"}]})
    write(connected, {"phones": [dict(seen["phones"][0])]}, ada, seen=seen)
    assert numbers(held(server, ada)) == [("9075550111", "work", 1), ("9075550188", "home", 0)]
    write(connected, {"phones": []}, ada)
    assert len(held(server, ada)["phones"]) == 2
    write(connected, {"phones": []}, ada, seen=held(server, ada))
    assert held(server, ada)["phones"] == []


def test_tags_addresses_and_colleagues_go_the_same_way(server: SandboxServer, connected: Connect, ada: str) -> None:
    write(connected, {"addresses": [{"type": "work", "city": "Bergen"}], "collaborators": [{"id": 4}, {"id": 5}]}, ada)
    seen = held(server, ada)
    assert [one["type"] for one in seen["addresses"]] == ["home", "work"]
    server.service.edit("people", ada, {"tags": [*seen["tags"], "since"]})
    left = {"tags": ["vip", "new"], "addresses": [dict(seen["addresses"][1])], "collaborators": [{"id": 5}]}
    assert write(connected, left, ada, seen=seen).error is None
    person = held(server, ada)
    assert person["tags"] == ["vip", "since", "new"]
    assert [one["city"] for one in person["addresses"]] == ["Bergen"]
    assert [one["id"] for one in person["collaborators"]] == [5]


def test_a_changed_number_takes_the_place_of_the_seen_one(server: SandboxServer, connected: Connect, ada: str) -> None:
    seen = held(server, ada)
    phones = [dict(seen["phones"][0]), {**seen["phones"][1], "value": "+19075550199"}]
    write(connected, {"phones": phones}, ada, seen=seen)
    assert numbers(held(server, ada)) == [("9075550111", "work", 1), ("+19075550199", "mobile", 0)]


def test_an_address_keeps_what_is_not_named(server: SandboxServer, connected: Connect, ada: str) -> None:
    write(connected, {"addresses": [{"city": "Bergen"}]}, ada)
    (address,) = held(server, ada)["addresses"]
    assert (address["city"], address["street"], address["type"]) == ("Bergen", "1 Elm St", "home")


@pytest.mark.parametrize(
    ("tags", "left"),
    [
        (["VIP", "new"], ["hot", "vip", "new"]),
        ({"add": ["new"], "remove": ["Hot"]}, ["vip", "new"]),
        (None, []),
    ],
    ids=["added", "removed", "all"],
)
def test_tags_are_added_unless_a_removal_is_asked_for(
    server: SandboxServer, connected: Connect, ada: str, *, tags: Any, left: list[str]
) -> None:
    assert write(connected, {"tags": tags}, ada).error is None
    assert held(server, ada)["tags"] == left


def test_added_tags_are_merged_by_the_service_itself(server: SandboxServer, connected: Connect, ada: str) -> None:
    """Somebody may add a tag between our reading and our writing."""
    provider, api = connected()
    request = api.request

    def meddling(method: str, path: str, **options: Any) -> requests.Response:
        if method == "PUT":
            assert options["params"] == {"mergeTags": "true"}
            with server.service.store.lock:
                server.service.edit("people", ada, {"tags": ["hot", "vip", "meanwhile"]})
        return request(method, path, **options)

    api.request = meddling  # type: ignore[method-assign]
    provider.write("people", [RecordWrite("k1", {"tags": ["new"]}, ada)])
    assert held(server, ada)["tags"] == ["hot", "vip", "meanwhile", "new"]


def test_a_list_can_be_emptied(server: SandboxServer, connected: Connect, ada: str) -> None:
    write(connected, {"phones": None}, ada)
    assert held(server, ada)["phones"] == []


def test_a_colleague_is_added_to_those_who_share_the_person(server: SandboxServer, connected: Connect) -> None:
    before = [one["id"] for one in held(server)["collaborators"]]
    write(connected, {"collaborators": [{"id": 5}]})
    assert [one["id"] for one in held(server)["collaborators"]] == [*before, 5]


# --- values in the service's words ---------------------------------------------------------------------------------------


FITTING: list[tuple[dict[str, Any], str, Any]] = [
    ({"customFields": {"Dialer Call Count": "5"}}, "customDialerCallCount", 5),
    ({"customFields": {"dialer call count": 5.0}}, "customDialerCallCount", 5),
    ({"customFields": {"Last AI Score": 87.5}}, "customLastAIScore", 87.5),
    ({"customDialerCallCount": True}, "customDialerCallCount", 1),
    ({"customFields": {"Last Called": "2026-01-21"}}, "customLastCalled", "2026-01-21"),
    ({"customFields": {"Last Called": "2026-01-21T23:30:00+00:00"}}, "customLastCalled", "2026-01-21"),
    ({"customFields": {"Preferred Language": "ESPAÑOL"}}, "customPreferredLanguage", "Español"),
    ({"customFields": {"Title": True}}, "customTitle", "Yes"),
    ({"customFields": {"Title": None}}, "customTitle", None),
    ({"stage": "nurture"}, "stage", "Nurture"),
    ({"assignedTo": "PRIYA@harborview.example"}, "assignedUserId", 4),
    ({"assignedTo": "Priya Nair"}, "assignedUserId", 4),
    ({"assignedUserId": "5"}, "assignedUserId", 5),
]


@pytest.mark.parametrize(("values", "field", "kept"), FITTING, ids=[str(row[0]) for row in FITTING])
def test_values_are_written_as_the_service_takes_them(
    server: SandboxServer, connected: Connect, values: dict[str, Any], field: str, kept: Any
) -> None:
    assert write(connected, values).error is None
    assert held(server)[field] == kept


def test_a_day_is_the_tenants_day(server: SandboxServer, connected: Connect) -> None:
    provider, _ = connected(timezone="Pacific/Auckland")
    moment = datetime(2026, 1, 21, 23, 30, tzinfo=UTC)
    provider.write("people", [RecordWrite("k", {"customFields": {"Last Called": moment}}, "1001")])
    assert held(server)["customLastCalled"] == "2026-01-22"


@pytest.mark.parametrize(("value", "kept"), [(True, "Yes"), ("n", "No"), ("0", "No")], ids=str)
def test_a_checkbox_is_a_dropdown_of_yes_and_no(
    server: SandboxServer, connected: Connect, *, value: Any, kept: str
) -> None:
    provider, _ = connected()
    field = provider.custom_fields.create("Wants Newsletter", "checkbox")
    assert (field.kind, field.choices) == ("picklist", ("Yes", "No"))
    provider.write("people", [RecordWrite("k", {"customFields": {"Wants Newsletter": value}}, "1001")])
    assert held(server)["customWantsNewsletter"] == kept


UNFIT: list[tuple[dict[str, Any], str, Any]] = [
    ({"customFields": {"No Such": 1}}, "No Such", "no custom field"),
    ({"customNothing": 1}, "customNothing", "no custom field"),
    ({"customFields": {"Dialer Call Count": "many"}}, "Dialer Call Count", "takes a number"),
    ({"customFields": {"Last Called": "soon"}}, "Last Called", "YYYY-MM-DD"),
    ({"customFields": {"Preferred Language": "Klingon"}}, "Preferred Language", "English, Español"),
    ({"stage": "No Such Stage"}, "stage", "It has: Lead, Prospect"),
    ({"assignedTo": "nobody@harborview.example"}, "assignedTo", "no active user"),
    ({"assignedTo": "gone@harborview.example"}, "assignedTo", "no active user"),
    ({"phones": "4155550123"}, "phones", "list of entries"),
]


@pytest.mark.parametrize(("values", "field", "words"), UNFIT, ids=[str(row[0]) for row in UNFIT])
def test_what_does_not_fit_is_that_records_error_and_nothing_is_sent(
    server: SandboxServer, connected: Connect, values: dict[str, Any], field: str, words: str
) -> None:
    before = held(server)
    error = write(connected, {"firstName": "Changed", **values}).error
    assert isinstance(error, errors.FixData)
    assert error.fields == (field,)
    assert words in error.message
    assert held(server) == before


def test_a_read_only_field_is_left_alone(server: SandboxServer, connected: Connect) -> None:
    field = next(one for one in server.service.store.all("customfields") if one["label"] == "Title")
    server.service.store.put("customfields", str(field["id"]), {**field, "readOnly": True})
    error = write(connected, {"customFields": {"Title": "Chief"}}).error
    assert isinstance(error, errors.FixData)
    assert error.cause == "read_only_field"


def test_contacted_and_what_the_service_derives_are_never_sent(server: SandboxServer, connected: Connect) -> None:
    provider, api = connected()
    provider.write(
        "people", [RecordWrite("k", {"contacted": True, "name": "X", "updated": "x", "source": "Y"}, "1001")]
    )
    assert [one for one in api.calls if one.startswith("PUT")] == []
    assert held(server)["contacted"] == 0


# --- who changed meanwhile, who is gone ------------------------------------------------------------------------------------


def test_a_person_who_changed_since_is_not_overwritten(server: SandboxServer, connected: Connect) -> None:
    seen = server.service.clock.now() - timedelta(seconds=5)
    server.service.edit("people", "1001", {"lastName": "Theirs"})
    error = write(connected, {"lastName": "Ours"}, unmodified_since=seen).error
    assert isinstance(error, errors.Stale)
    assert held(server)["lastName"] == "Theirs"
    now = datetime.fromisoformat(held(server)["updated"])
    assert write(connected, {"lastName": "Ours"}, unmodified_since=now).error is None
    assert held(server)["lastName"] == "Ours"


def test_a_deleted_person_is_gone(connected: Connect) -> None:
    assert isinstance(write(connected, {"firstName": "X"}, "999999").error, errors.Gone)


def test_a_person_who_was_merged_away_is_found_by_address(server: SandboxServer, connected: Connect, ada: str) -> None:
    written = write(connected, ADA, "999999")
    assert isinstance(written.error, errors.Gone)
    assert (written.error.cause, written.id) == ("merged_away", ada)
    assert f"person {ada} has the same address" in written.error.message


# --- creating ----------------------------------------------------------------------------------------------------------------


def test_a_new_person_is_created_once(server: SandboxServer, connected: Connect) -> None:
    first = write(connected, {**ADA, "customFields": {"Title": "Chief"}, "source": "Dialer", "tags": ["new"]}, "")
    assert first.created
    kept = held(server, first.id)
    assert (kept["firstName"], kept["customTitle"], kept["source"], kept["tags"]) == ("Ada", "Chief", "Dialer", ["new"])
    again = write(connected, {**ADA, "firstName": "Adeline"}, "")
    assert (again.id, type(again.error)) == (first.id, errors.AlreadyThere)
    assert held(server, first.id)["firstName"] == "Ada"


@pytest.mark.parametrize("typed", ["+19075550111", "907-555-0111", "(907) 555 0111 "], ids=str)
def test_a_person_is_known_by_a_number_in_any_format(connected: Connect, ada: str, typed: str) -> None:
    written = write(connected, {"firstName": "Ada", "phones": [{"value": typed}]}, "")
    assert (written.id, type(written.error)) == (ada, errors.AlreadyThere)


def test_the_service_may_know_somebody_whom_the_search_did_not_find(
    server: SandboxServer, connected: Connect, ada: str
) -> None:
    provider, api = connected(metadata={"sees_everybody": True})
    provider.people.search = lambda *_args, **_named: []  # type: ignore[method-assign]
    (written,) = provider.write("people", [RecordWrite("k", {**ADA, "firstName": "Adeline"})])
    assert (written.id, type(written.error)) == (ada, errors.AlreadyThere)
    assert held(server, ada)["firstName"] == "Ada"
    assert api.calls == ["POST /people", f"GET /people/{ada}"]


@pytest.mark.parametrize("fault", ["drop_after", "drop_before"], ids=["made, answer lost", "never arrived"])
@pytest.mark.parametrize(
    "values", [ADA, {"firstName": "Only", "lastName": "A-Name"}], ids=["with address", "name alone"]
)
def test_a_creation_without_an_answer_is_looked_up(
    server: SandboxServer, connected: Connect, fault: str, values: dict[str, Any]
) -> None:
    before = server.service.store.count("people")
    server.service.faults.set([{"kind": fault, "match": "POST /v1/people", "times": 1}])
    started = datetime.now(UTC)
    with pytest.raises(errors.OutcomeUnknown):
        write(connected, values, "")
    written = write(connected, values, "", first_attempt_at=started)
    assert written.created is (fault == "drop_before")
    assert server.service.store.count("people") == before + 1


def test_somebody_whom_an_agent_does_not_see_is_not_made_twice(
    server: SandboxServer, connected: Connect, ada: str
) -> None:
    server.service.edit("people", ada, {"assignedUserId": 4})
    error = write(connected, ADA, "", key=seed.AGENT_KEY).error
    assert isinstance(error, errors.FixData)
    assert error.cause == "hidden_duplicate"
    assert "assigned to Priya Nair" in error.message
    assert write(connected, {"firstName": "New", "phones": [MOBILE]}, "", key=seed.AGENT_KEY).error is not None
    assert write(connected, {"firstName": "New", "lastName": "One"}, "", key=seed.AGENT_KEY).created


# --- batches -------------------------------------------------------------------------------------------------------------------


def batch(*ids: str) -> list[RecordWrite]:
    return [RecordWrite(f"k{one}", {"lastName": f"L{one}"}, one) for one in ids]


def test_a_batch_answers_for_each_by_its_key(server: SandboxServer, connected: Connect) -> None:
    written = connected()[0].write("people", batch("1001", "999999", "1002"))
    assert [(one.key, type(one.error)) for one in written] == [
        ("k1001", type(None)),
        ("k999999", errors.Gone),
        ("k1002", type(None)),
    ]


def test_a_quota_that_runs_out_in_the_middle_keeps_what_was_written(server: SandboxServer, connected: Connect) -> None:
    server.service.faults.set(
        [{"kind": "status", "status": 429, "match": "PUT /v1/people/1002", "headers": {"Retry-After": "7"}}]
    )
    written = connected()[0].write("people", batch("1001", "1002", "1003"))
    assert written[0].error is None
    assert [getattr(one.error, "after", None) for one in written] == [None, 7, 7]
    assert held(server, "1003")["lastName"] != "L1003"


def test_a_stumble_at_the_first_concerns_all(server: SandboxServer, connected: Connect) -> None:
    server.service.faults.set([{"kind": "html502"}])
    with pytest.raises(errors.Retry):
        connected()[0].write("people", batch("1001", "1002"))


def test_a_lost_answer_in_the_middle_is_unknown_for_that_record_alone(
    server: SandboxServer, connected: Connect
) -> None:
    server.service.faults.set([{"kind": "drop_after", "match": "POST /v1/people"}])
    writes = [*batch("1001"), RecordWrite("new", ADA), *batch("1003")]
    first, lost, later = connected()[0].write("people", writes)
    assert first.error is None
    assert isinstance(lost.error, errors.OutcomeUnknown)
    assert type(later.error) is errors.Retry


def test_a_refusal_of_everybody_stops_at_the_first(server: SandboxServer, connected: Connect) -> None:
    server.service.faults.set([{"kind": "status", "status": 403, "body": {"errorMessage": "Forbidden."}}])
    with pytest.raises(errors.Standstill, match="lapsed"):
        connected()[0].write("people", batch("1001", "1002"))
    assert server.service.faults.dials[0].kept == 2


def test_what_was_written_before_an_account_lapsed_is_kept(server: SandboxServer, connected: Connect) -> None:
    provider, _ = connected()
    dials = [{"kind": "status", "status": 403, "match": "people$|1002"}]
    server.service.faults.set(dials)
    first, second, third = provider.write("people", batch("1001", "1002", "1003"))
    assert first.error is None
    assert isinstance(second.error, errors.Standstill)
    assert isinstance(third.error, errors.Standstill)


def test_a_lapsed_account_concerns_all(server: SandboxServer, connected: Connect) -> None:
    server.service.faults.set([{"kind": "account_expired"}])
    with pytest.raises(errors.FixConfig, match="lapsed"):
        connected()[0].write("people", batch("1001", "1002"))


# --- deleting and merging ------------------------------------------------------------------------------------------------------


def test_deleting_somebody_who_is_gone_already_is_a_success(server: SandboxServer, connected: Connect) -> None:
    provider, _ = connected()
    for _ in range(2):
        (done,) = provider.delete("people", ["1001"])
        assert (done.key, done.error) == ("1001", None)
    assert held(server) == {}


@pytest.mark.parametrize("person", ["1001", "999999"], ids=["hidden", "deleted"])
def test_an_agent_calls_nobody_deleted(server: SandboxServer, connected: Connect, person: str) -> None:
    provider, _ = connected(seed.AGENT_KEY)
    written = [
        *provider.write("people", [RecordWrite("k", {"lastName": "X"}, person)]),
        *provider.delete("people", [person]),
        *provider.write("notes", [RecordWrite("n", {"personId": person, "body": "x"})]),
        *provider.log_calls([call(record_id=person)]),
    ]
    assert [(type(one.error), getattr(one.error, "cause", "")) for one in written] == [(errors.FixConfig, "hidden")] * 4
    assert held(server)["id"] == 1001


def test_merging_is_left_to_people(connected: Connect) -> None:
    with pytest.raises(errors.Unsupported, match="lets no program merge") as refusal:
        connected()[0].merge("people", "1001", "1002")
    assert "Merge them in Follow Up Boss itself" in refusal.value.message


# --- the endpoints of people ----------------------------------------------------------------------------------------------------


def test_people_are_listed_by_stage_tag_user_and_smart_list(connected: Connect) -> None:
    people = connected()[0].people
    nurture = [one for page in people.pages(stage="Nurture") for one in page.items]
    assert len(nurture) > 100
    assert {one["stage"] for one in nurture} == {"Nurture"}
    assert [one for page in people.in_smart_list("2") for one in page.items] == nurture
    assert {one["assignedUserId"] for page in people.pages(assignedUserId=4) for one in page.items} == {4}
    assert {"DNC" in one["tags"] for page in people.pages(tags="DNC") for one in page.items} == {True}


def test_a_duplicate_is_told_for_the_whole_account(connected: Connect, ada: str) -> None:
    people = connected(seed.AGENT_KEY)[0].people
    assert people.is_known(email="ada.quist@example.com") is not None
    assert people.is_known(phone="9075550111") is not None
    assert people.is_known(email="nobody@example.com") is None


def test_the_trash_comes_last_in_a_search(server: SandboxServer, connected: Connect, ada: str) -> None:
    twin = server.service.add("people", ADA)
    server.service.edit("people", ada, {"stage": "Trash"})
    found = connected()[0].people.search(emails=["ADA.quist@example.com"])
    assert [str(one["id"]) for one in found] == [twin, ada]


def test_an_unclaimed_lead_is_claimed_or_ignored(server: SandboxServer, connected: Connect) -> None:
    for number in ("1001", "1002"):
        server.service.store.put("people", number, {**held(server, number), "unclaimed": True})
    people = connected()[0].people
    assert [one["id"] for one in people.unclaimed()] == [1001, 1002]
    people.claim("1001")
    people.ignore_unclaimed("1002")
    assert people.unclaimed() == []
    assert held(server)["assignedUserId"] == 1


def test_ids_come_alone_and_complete(connected: Connect) -> None:
    provider, api = connected()
    pages = list(provider.ids("people"))
    ids = [one for page in pages for one in page]
    assert len(ids) == len(set(ids)) == seed.PEOPLE
    assert len(api.calls) == 13


def test_an_agent_does_not_call_hidden_people_missing(connected: Connect) -> None:
    provider, _ = connected(seed.AGENT_KEY)
    fetched = provider.fetch("people", ["1001", "1007", "999999", "x"], [])
    assert [one.id for one in fetched.records] == ["1007"]
    assert fetched.missing == ("x",)
    assert connected()[0].fetch("people", ["999999"], []).missing == ("999999",)


def test_users_are_listed_with_their_state(connected: Connect) -> None:
    users = {user.email: user for user in connected()[0].users()}
    assert users["priya@harborview.example"].id == "4"
    assert users["priya@harborview.example"].active
    assert not users["gone@harborview.example"].active


def test_nothing_tells_of_deletions(connected: Connect) -> None:
    assert list(connected()[0].removals("people", datetime(2026, 1, 1, tzinfo=UTC))) == []
