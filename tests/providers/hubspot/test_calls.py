"""Logging calls against the sandbox: what is written, and that each is written once whatever happens."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from integrations import errors
from integrations.providers.hubspot.lookup import ID_PROPERTY, mark
from integrations.providers.hubspot.outcomes import STANDARD
from integrations.providers.hubspot.provider import Provider
from integrations.providers.hubspot.sandbox.portal import LIMITED_TOKEN
from integrations.providers.hubspot.sandbox.schema import CUSTOM_OUTCOME
from integrations.providers.hubspot.texts import BODY_ROOM, rich_text
from integrations.records.activities import CallActivity, Direction
from integrations.records.remote import Written
from tests.providers.hubspot.conftest import World, sent

STARTED = datetime(2026, 11, 20, 15, 4, 5, 678_000, tzinfo=UTC)
UPSERT = "POST /crm/v3/objects/calls/batch/upsert"
CREATE = "POST /crm/v3/objects/calls/batch/create"
UPDATE = "POST /crm/v3/objects/calls/batch/update"
LINK = "POST /crm/v4/associations/calls/contacts/batch/associate/default"


def call(number: int, contact: str, **changes: Any) -> CallActivity:
    activity = CallActivity(
        key=f"00000000-0000-4000-8000-{number:012d}",
        object_type="contacts",
        record_id=contact,
        direction=Direction.OUTBOUND,
        started_at=STARTED,
        duration_seconds=342,
        disposition="Connected",
        outcome={"hs_call_status": "COMPLETED", "hs_call_disposition": "connected"},
        subject="Call - Connected",
        notes="Wants a demo\nBudget < 5k & rising",
        phone="+14155550142",
        from_number="+14155550100",
        recording_url="https://dialer.example.com/api/recordings/7/play",
        agent_email="amelia.stone@northwind.example",
    )
    return replace(activity, **changes)


def hundred(world: World, **changes: Any) -> list[CallActivity]:
    return [call(number, contact, **changes) for number, contact in enumerate(world.contact_ids()[:100])]


def log_until_answered(provider: Provider, calls: list[CallActivity]) -> list[Written]:
    """What the job table does: after a lost answer the same calls come again, marked as tried before."""
    try:
        return provider.log_calls(calls)
    except errors.Retry:
        again = [replace(each, first_attempt_at=datetime.now(UTC)) for each in calls]
        return log_until_answered(provider, again)


def linked_to(stored: dict[str, Any]) -> list[str]:
    return list(stored["contacts"])


@pytest.fixture(params=["with the unique property", "without it"])
def dialer(world: World, request: pytest.FixtureRequest) -> Provider:
    """Both ways of an account: one lets us add the property, one does not."""
    if request.param == "without it":
        world.fault("no_unique_calls")
    provider = world.prepared()
    sent(provider).clear()
    return provider


# --- preparing ------------------------------------------------------------------------------------------------------


def test_preparing_adds_the_unique_property_once(world: World) -> None:
    first = world.connect().prepare()
    again = world.connect(**first).prepare()
    assert first["call_upsert"] is True
    assert first["warnings"] == []
    assert again == first
    assert world.portal.definitions("calls")[ID_PROPERTY]["hasUniqueValue"] is True


def test_an_account_that_refuses_the_property_works_without_and_says_so(world: World) -> None:
    found = world.connect(LIMITED_TOKEN).prepare()
    assert found["call_upsert"] is False
    assert "crm.schemas.contacts.write" in found["warnings"][0]


def test_a_property_of_that_name_without_unique_values_is_not_relied_upon(world: World) -> None:
    api = world.connect().api
    api.request("POST", "/crm/v3/properties/calls/groups", json={"name": "mine", "label": "Mine"})
    api.request(
        "POST",
        "/crm/v3/properties/calls",
        json={"name": ID_PROPERTY, "label": "x", "groupName": "mine", "type": "string", "fieldType": "text"},
    )
    found = world.connect().prepare()
    assert found["call_upsert"] is False
    assert "Delete it there" in found["warnings"][0]


# --- what is written ------------------------------------------------------------------------------------------------


def test_a_call_is_written_as_hubspot_wants_it(world: World) -> None:
    contact = world.contact_ids()[0]
    (written,) = world.prepared().log_calls([call(1, contact)])
    (stored,) = world.calls()
    ours = {name: value for name, value in stored["properties"].items() if not name.startswith("hs_object")}
    assert {name: value for name, value in ours.items() if name not in {"hs_createdate", "hs_lastmodifieddate"}} == {
        "dialer_call_id": "00000000-0000-4000-8000-000000000001",
        "hs_timestamp": "2026-11-20T15:04:05.678Z",
        "hs_call_title": "Call - Connected",
        "hs_call_body": "Wants a demo<br>Budget &lt; 5k &amp; rising",
        "hs_call_duration": "342000",
        "hs_call_direction": "OUTBOUND",
        "hs_call_status": "COMPLETED",
        "hs_call_disposition": STANDARD["connected"],
        "hs_call_from_number": "+14155550100",
        "hs_call_to_number": "+14155550142",
        "hs_call_recording_url": "https://dialer.example.com/api/recordings/7/play",
        "hubspot_owner_id": "70101",
    }
    assert linked_to(stored) == [contact]
    url = f"https://app.hubspot.com/contacts/4411223/record/0-48/{stored['id']}"
    assert written == Written(key=call(1, contact).key, id=stored["id"], url=url, created=True)


def test_an_inbound_call_swaps_the_numbers(world: World) -> None:
    calls = [
        call(1, world.contact_ids()[0], direction=Direction.INBOUND),
        call(2, world.contact_ids()[0], direction=Direction.INBOUND, from_number="+14155550142"),
    ]
    world.prepared().log_calls(calls)
    both = sorted(world.calls(), key=lambda stored: stored["properties"][ID_PROPERTY])
    assert [stored["properties"]["hs_call_from_number"] for stored in both] == ["+14155550142"] * 2
    assert [stored["properties"].get("hs_call_to_number") for stored in both] == ["+14155550100", None]
    assert both[0]["properties"]["hs_call_direction"] == "INBOUND"


@pytest.mark.parametrize(
    ("word", "guid"),
    [
        pytest.param("no-answer", STANDARD["no-answer"], id="slug"),
        pytest.param("Left voicemail", STANDARD["left-voicemail"], id="label"),
        pytest.param(STANDARD["busy"], STANDARD["busy"], id="guid"),
        pytest.param("Meeting booked", CUSTOM_OUTCOME[0], id="the portal's own"),
        pytest.param("Talked to a parrot", None, id="unknown is left out"),
    ],
)
def test_an_outcome_becomes_the_guid_that_hubspot_takes(world: World, word: str, guid: str | None) -> None:
    outcome = {"hs_call_status": "NO_ANSWER", "hs_call_disposition": word}
    (written,) = world.prepared().log_calls([call(1, world.contact_ids()[0], outcome=outcome)])
    (stored,) = world.calls()
    assert written.error is None
    assert stored["properties"].get("hs_call_disposition") == guid
    assert stored["properties"]["hs_call_status"] == "NO_ANSWER"


def test_an_unmapped_disposition_is_looked_up_by_its_own_name(world: World) -> None:
    world.prepared().log_calls([call(1, world.contact_ids()[0], outcome={}, disposition="Meeting Booked")])
    assert world.calls()[0]["properties"]["hs_call_disposition"] == CUSTOM_OUTCOME[0]


@pytest.mark.parametrize(
    ("email", "owner"), [("ELIF.DEMIR@Northwind.example", "70105"), ("nobody@example.com", None), ("", None)]
)
def test_the_agent_becomes_the_owner_where_hubspot_knows_them(world: World, email: str, owner: str | None) -> None:
    world.prepared().log_calls([call(1, world.contact_ids()[0], agent_email=email)])
    assert world.calls()[0]["properties"].get("hubspot_owner_id") == owner


def test_a_token_that_may_not_read_owners_still_logs_calls(world: World) -> None:
    (written,) = world.prepared(LIMITED_TOKEN).log_calls([call(1, world.contact_ids()[0])])
    assert written.error is None
    assert "hubspot_owner_id" not in world.calls()[0]["properties"]


@pytest.mark.parametrize("ending", ["&" * 20_000, "<" * 30_000, "\n" * 5 + "x" * 70_000])
def test_a_long_text_is_cut_between_characters(ending: str) -> None:
    cut = rich_text("Notes " + ending)
    assert len(cut) <= BODY_ROOM + 1
    assert not re.search(r"&(?!amp;|lt;|gt;)|<(?!br>)", cut)


# --- many at once ---------------------------------------------------------------------------------------------------


def test_a_hundred_calls_take_two_writes(world: World) -> None:
    provider, calls = world.prepared(), hundred(world)
    written = provider.log_calls(calls)
    assert [each.key for each in written] == [each.key for each in calls]
    assert all(each.created and not each.error for each in written)
    assert [request for request in sent(provider) if request.startswith("POST")] == [UPSERT, LINK]
    by_key = {stored["properties"][ID_PROPERTY]: stored for stored in world.calls()}
    assert {key: linked_to(stored) for key, stored in by_key.items()} == {each.key: [each.record_id] for each in calls}
    assert {each.key: each.id for each in written} == {key: stored["id"] for key, stored in by_key.items()}


def test_a_hundred_calls_take_one_write_without_the_property(world: World) -> None:
    world.fault("no_unique_calls")
    provider, calls = world.prepared(), hundred(world)
    written = provider.log_calls(calls)
    assert [request for request in sent(provider) if request.startswith("POST")] == [CREATE]
    stored = {each["id"]: each for each in world.calls()}
    for activity, result in zip(calls, written, strict=True):
        assert result.created
        assert mark(activity.key) in stored[result.id]["properties"]["hs_call_body"]
        assert linked_to(stored[result.id]) == [activity.record_id]


def test_the_same_call_twice_in_a_batch_is_written_once(world: World) -> None:
    one = call(1, world.contact_ids()[0])
    (written,) = world.prepared().log_calls([one, one])
    assert written.error is None
    assert len(world.calls()) == 1


@pytest.mark.parametrize(
    "fault", ["", "no_partial", "untraced"], ids=["taken in parts", "refused as a whole", "untold whose"]
)
def test_bad_calls_never_hold_up_the_good_ones(world: World, dialer: Provider, fault: str) -> None:
    calls = hundred(world)
    for place in (7, 63):
        calls[place] = replace(calls[place], outcome={"hs_call_status": "GONE_FISHING"})
    if fault:
        world.fault(fault, times=None)
    written = dialer.log_calls(calls)
    refused = [place for place, each in enumerate(written) if each.error]
    assert refused == [7, 63]
    error = written[7].error
    assert isinstance(error, errors.FixData)
    assert error.fields == ("hs_call_status",)
    assert "GONE_FISHING was not one of the allowed options" in error.message
    assert len(world.calls()) == 98
    writes = [request for request in sent(dialer) if request in {UPSERT, CREATE}]
    assert (len(writes) == 1) == (fault == ""), "parts take one request, a refusal as a whole takes halving"


def test_a_mapping_to_an_unknown_property_is_told_to_those_calls_alone(world: World, dialer: Provider) -> None:
    world.fault("no_partial", times=None)
    wrong = {"hs_call_status": "COMPLETED", "hs_call_mood": "sunny"}
    calls = hundred(world)
    calls[:40] = [replace(each, outcome=wrong) for each in calls[:40]]
    written = dialer.log_calls(calls)
    assert [bool(each.error) for each in written] == [True] * 40 + [False] * 60
    assert isinstance(written[0].error, errors.FixData)
    assert written[0].error.fields == ("hs_call_mood",)
    assert len(sent(dialer)) < 10, "the refusal names the property, so nothing is halved"


def test_a_batch_of_nothing_but_bad_calls_ends(world: World, dialer: Provider) -> None:
    world.fault("no_partial", times=None)
    written = dialer.log_calls(hundred(world, outcome={"hs_call_status": "GONE_FISHING"}))
    kinds = {type(each.error) for each in written}
    assert kinds == {errors.FixData, errors.Retry}, "the refused ones, and those to try again without them"
    assert len(sent(dialer)) < 80
    assert world.calls() == []


def test_an_outcome_that_was_just_deleted_in_hubspot_costs_only_the_outcome(world: World, dialer: Provider) -> None:
    dialer.log_calls([call(1, world.contact_ids()[0])])
    options = world.portal.definitions("calls")["hs_call_disposition"]["options"]
    options[:] = [option for option in options if option["value"] != STANDARD["connected"]]
    written = dialer.log_calls([call(2, world.contact_ids()[1]), call(3, world.contact_ids()[2])])
    assert [each.error for each in written] == [None, None]
    assert [stored["properties"].get("hs_call_disposition") for stored in world.calls()[1:]] == [None, None]


# --- once, whatever happens -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["drop_after", "drop_before", "html502"])
@pytest.mark.parametrize("match", ["batch/(upsert|create)", "associate/default"])
def test_a_lost_answer_never_doubles_a_call(world: World, dialer: Provider, kind: str, match: str) -> None:
    calls = hundred(world)
    world.fault(kind, match=match)
    written = log_until_answered(dialer, calls)
    assert [each.error for each in written] == [None] * 100
    assert {stored["id"]: linked_to(stored) for stored in world.calls()} == {
        result.id: [activity.record_id] for activity, result in zip(calls, written, strict=True)
    }


def test_without_the_property_a_lost_answer_is_told_apart_from_a_refusal(world: World) -> None:
    world.fault("no_unique_calls")
    provider = world.prepared()
    world.fault("drop_after", match="batch/create")
    with pytest.raises(errors.OutcomeUnknown):
        provider.log_calls([call(1, world.contact_ids()[0])])


def test_a_repeated_call_is_updated_not_added(world: World, dialer: Provider) -> None:
    contact = world.contact_ids()[0]
    (first,) = dialer.log_calls([call(1, contact)])
    later = call(1, contact, notes="Summary is in", crm_record_id=first.id)
    (second,) = dialer.log_calls([later])
    (stored,) = world.calls()
    assert (second.id, second.created, second.error) == (first.id, False, None)
    assert stored["properties"]["hs_call_body"].startswith("Summary is in")
    assert linked_to(stored) == [contact]
    assert UPDATE in sent(dialer)


def test_an_updated_call_keeps_its_mark(world: World) -> None:
    world.fault("no_unique_calls")
    provider, contact = world.prepared(), world.contact_ids()[0]
    (first,) = provider.log_calls([call(1, contact)])
    provider.log_calls([call(1, contact, notes="Summary is in", crm_record_id=first.id)])
    (again,) = provider.log_calls([call(1, contact, first_attempt_at=datetime.now(UTC))])
    assert again.id == first.id
    assert len(world.calls()) == 1


def test_a_first_attempt_is_not_looked_up(world: World) -> None:
    world.fault("no_unique_calls")
    provider = world.prepared()
    provider.log_calls([call(1, world.contact_ids()[0])])
    assert not [request for request in sent(provider) if "/associations/calls" in request]


@pytest.mark.parametrize("place", [0, 600], ids=["the oldest", "the newest"])
def test_a_call_is_found_among_hundreds_of_its_contact(world: World, place: int) -> None:
    world.fault("no_unique_calls")
    provider, contact = world.prepared(), world.contact_ids()[0]
    tried = datetime.now(UTC)
    written: list[Written] = []
    for start in range(0, 601, 100):
        written += provider.log_calls([call(number, contact) for number in range(start, min(start + 100, 601))])
    (again,) = provider.log_calls([call(place, contact, first_attempt_at=tried)])
    assert (again.id, again.created) == (written[place].id, False)
    assert len(world.calls()) == 601


def test_a_call_is_found_behind_many_older_ones(world: World) -> None:
    world.fault("no_unique_calls")
    provider, contact = world.prepared(), world.contact_ids()[0]
    provider.log_calls([call(number, contact) for number in range(100)])
    world.portal.clock.advance(86_400)
    (late,) = provider.log_calls([call(900, contact)])
    tried = datetime.now(UTC) + timedelta(days=1)
    (again,) = provider.log_calls([call(900, contact, first_attempt_at=tried)])
    assert (again.id, again.created) == (late.id, False)


def test_the_search_for_a_call_ends_a_while_before_its_first_attempt(world: World) -> None:
    world.fault("no_unique_calls")
    provider, contact = world.prepared(), world.contact_ids()[0]
    for start in range(0, 500, 100):
        provider.log_calls([call(number, contact) for number in range(start, start + 100)])
    world.portal.clock.advance(86_400)
    sent(provider).clear()
    provider.log_calls([call(900, contact, first_attempt_at=datetime.now(UTC) + timedelta(days=1))])
    assert sent(provider).count("POST /crm/v3/objects/calls/batch/read") == 1
    assert len(world.calls()) == 501


def test_an_attempt_from_before_the_property_existed_is_found_by_its_mark(world: World) -> None:
    world.fault("no_unique_calls")
    before, contact = world.prepared(), world.contact_ids()[0]
    tried = datetime.now(UTC)
    (first,) = before.log_calls([call(1, contact)])
    (again,) = world.prepared().log_calls([call(1, contact, first_attempt_at=tried)])
    assert (again.id, again.created) == (first.id, False)
    assert len(world.calls()) == 1
    assert world.calls()[0]["properties"][ID_PROPERTY] == call(1, contact).key


def test_a_property_deleted_later_makes_calls_carry_a_mark(world: World) -> None:
    provider = world.prepared()
    del world.portal.definitions("calls")[ID_PROPERTY]
    written = provider.log_calls(hundred(world))
    assert [each.error for each in written] == [None] * 100
    assert all("[ref:" in stored["properties"]["hs_call_body"] for stored in world.calls())
    assert len(world.calls()) == 100


# --- contacts that are gone -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fate", ["archived", "merged", "never there"])
def test_a_call_to_a_contact_that_is_gone_says_so_and_harms_no_other(world: World, dialer: Provider, fate: str) -> None:
    calls = hundred(world)
    gone, other = calls[50].record_id, world.contact_ids()[500]
    if fate == "archived":
        dialer.api.request("DELETE", f"/crm/v3/objects/contacts/{gone}")
    elif fate == "merged":
        pair = {"primaryObjectId": other, "objectIdToMerge": gone}
        dialer.api.request("POST", "/crm/v3/objects/contacts/merge", json=pair)
    else:
        calls[50] = replace(calls[50], record_id="987654321")
    written = dialer.log_calls(calls)
    assert [place for place, each in enumerate(written) if each.error] == [50]
    assert isinstance(written[50].error, errors.Gone)
    assert not [request for request in sent(dialer) if request.startswith("PUT")], "the answer says who is gone"
    links = [linked_to(stored) for stored in world.calls()]
    assert sorted(filter(None, links)) == sorted([each.record_id] for each in calls if each is not calls[50])


def test_a_call_deleted_in_hubspot_is_gone_for_an_update(world: World, dialer: Provider) -> None:
    contact = world.contact_ids()[0]
    (first,) = dialer.log_calls([call(1, contact)])
    dialer.api.request("DELETE", f"/crm/v3/objects/calls/{first.id}")
    (second,) = dialer.log_calls([call(1, contact, crm_record_id=first.id)])
    assert isinstance(second.error, errors.Gone)


# --- trouble that concerns all --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "expected", "after"),
    [("locked", errors.Retry, 2.0)],
)
def test_trouble_of_the_whole_account_is_raised(
    world: World, dialer: Provider, kind: str, expected: type[errors.Retry], after: float
) -> None:
    world.fault(kind)
    with pytest.raises(expected) as caught:
        dialer.log_calls([call(1, world.contact_ids()[0])])
    assert caught.value.after == after
