from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import responses
from hypothesis import given
from hypothesis import strategies as st

from integrations import errors
from integrations.providers.salesforce import task
from integrations.providers.salesforce.provider import Provider
from integrations.records.activities import CallActivity, Direction
from integrations.records.remote import Written
from tests.providers.harness import PlainApi
from tests.providers.salesforce.world import DATA, HOST, World, call, offline

NOW = datetime(2026, 3, 2, 23, 40, tzinfo=UTC)


@pytest.fixture(params=["own field", "CallObject"])
def logger(world: World, request: pytest.FixtureRequest) -> tuple[Provider, PlainApi]:
    """A provider in an account that let us make our key field, and in one that did not."""
    if request.param == "CallObject":
        world.dial({"kind": "no_customizing"})
    return world.prepared()


def writer() -> Provider:
    """A provider of a prepared account whose answers the test makes up."""
    names = ("Subject", "Status", "TaskSubtype", "CallObject", "Dialer_Call_Id__c", "WhoId", "Description")
    return offline(call_key="Dialer_Call_Id__c", task_fields=dict.fromkeys(names, 0))


def ids(results: list[Written]) -> list[str]:
    assert [result.error for result in results] == [None] * len(results)
    return [result.id for result in results]


# --- what is written ------------------------------------------------------------------------------------------------


def test_a_call_becomes_a_complete_task_of_its_lead(world: World) -> None:
    provider, _ = world.prepared(timezone="Asia/Tokyo")
    link = "https://dialbridge.example/api/recordings/c-1/play"
    lead = world.lead()
    result = provider.log_calls(
        [call("c-1", lead, recording_url=link, agent_email="Ava.Brooks@ACME.example", outcome={"Status": "Completed"})]
    )[0]
    stored = world.tasks()[0]
    owner = next(row["Id"] for row in world.store.all("User") if row["Email"] == "ava.brooks@acme.example")
    expected = {
        "Subject": "Call - Connected",
        "Status": "Completed",
        "Priority": "Normal",
        "CallType": "Outbound",
        "CallDurationInSeconds": 342,
        "CallDisposition": "Connected",
        "CallObject": "c-1",
        "Dialer_Call_Id__c": "c-1",
        "Dialer_Call_Recording_URL__c": link,
        "Description": "Discussed pricing.",
        "ActivityDate": "2026-03-03",  # the tenant's day, not the one in UTC
        "WhoId": lead,
        "OwnerId": owner,
        "IsClosed": True,
    }
    assert {name: stored[name] for name in expected} == expected
    assert result == Written("c-1", stored["Id"], provider.record_url("Task", stored["Id"]), created=True)


def test_a_full_batch_takes_one_write_and_answers_in_order(world: World) -> None:
    provider, api = world.prepared()
    batch = [call(f"c-{number}", world.lead(number)) for number in range(Provider.call_batch_size)]
    results = provider.log_calls(batch)
    assert [result.key for result in results] == [one.key for one in batch]
    assert len(set(ids(results))) == 200
    assert len(api.calls) == 1


def test_one_bad_call_does_not_hold_up_the_others(world: World) -> None:
    provider, _ = world.prepared()
    unknown = "00QHs00000zzzzz"
    results = provider.log_calls(
        [
            call("c-1", world.lead()),
            call("c-2", world.lead(), outcome={"Status": "Erledigt"}),
            call("c-3", unknown),
            call("c-4", world.contact()),
        ]
    )
    assert [type(result.error) for result in results] == [type(None), errors.FixData, errors.FixData, type(None)]
    assert isinstance(results[1].error, errors.FixData)
    assert results[1].error.fields == ("Status",)
    assert len(world.tasks()) == 2


def test_locked_rows_are_left_for_later_one_by_one(world: World) -> None:
    provider, _ = world.prepared()
    world.dial({"kind": "lock", "times": 1})
    results = provider.log_calls([call("c-1", world.lead()), call("c-2", world.lead())])
    assert isinstance(results[0].error, errors.Retry)
    assert results[1].error is None


def test_a_used_up_quota_concerns_the_whole_batch(world: World) -> None:
    provider, _ = world.prepared()
    body = [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "TotalRequests Limit exceeded."}]
    world.dial({"kind": "status", "status": 403, "body": body})
    with pytest.raises(errors.Throttled) as caught:
        provider.log_calls([call("c-1", world.lead())])
    assert caught.value.after == 900


# --- the owner ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("email", ["tom.becker@acme.example", "stranger@acme.example", "o'hara@acme.example"])
def test_an_agent_without_an_active_user_is_named_in_the_notes(world: World, email: str) -> None:
    provider, _ = world.prepared()
    ids(provider.log_calls([call("c-1", world.lead(), agent_email=email)]))
    stored = world.tasks()[0]
    assert stored["Description"] == f"Discussed pricing.\nAgent: {email}"
    assert (world.store.get("User", stored["OwnerId"]) or {})["Username"] == "integration@acme.example"


def test_an_agent_deactivated_a_moment_ago_does_not_stop_the_call(world: World) -> None:
    provider, _ = world.prepared()
    ids(provider.log_calls([call("c-1", world.lead(), agent_email="liam.chen@acme.example")]))
    user = next(row for row in world.store.all("User") if row["Email"] == "liam.chen@acme.example")
    world.sandbox.org.save("User", {**user, "IsActive": False})
    ids(provider.log_calls([call("c-2", world.lead(), agent_email="liam.chen@acme.example")]))
    assert world.tasks()[1]["Description"].endswith("Agent: liam.chen@acme.example")


def test_users_whose_kind_is_hidden_are_found_all_the_same(world: World) -> None:
    provider, _ = world.prepared()
    world.sandbox.hide("User", "UserType")
    ids(provider.log_calls([call("c-1", world.lead(), agent_email="liam.chen@acme.example")]))
    assert (world.store.get("User", world.tasks()[0]["OwnerId"]) or {})["Email"] == "liam.chen@acme.example"
    assert "liam.chen@acme.example" in {user.email for user in provider.users()}


def test_users_that_are_hidden_cost_a_call_its_owner_and_no_more(world: World) -> None:
    provider, _ = world.prepared()
    world.sandbox.deny("User", "read")
    ids(provider.log_calls([call("c-1", world.lead(), agent_email="liam.chen@acme.example")]))
    assert world.tasks()[0]["Description"].endswith("Agent: liam.chen@acme.example")


def test_agents_are_looked_up_once(world: World) -> None:
    provider, api = world.prepared()
    for number in range(3):
        emails = ("ava.brooks@acme.example", "stranger@acme.example")
        provider.log_calls([call(f"c-{number}-{email}", world.lead(), agent_email=email) for email in emails])
    assert len([one for one in api.calls if one == f"GET {DATA}/query"]) == 1


# --- once, whatever happens -----------------------------------------------------------------------------------------


def again(one: CallActivity) -> CallActivity:
    """The same call after a try that may have been written."""
    return replace(one, first_attempt_at=NOW)


def test_the_same_call_twice_is_one_task(world: World, logger: tuple[Provider, PlainApi]) -> None:
    provider, _ = logger
    one = call("c-1", world.lead())
    first = provider.log_calls([one])
    second = provider.log_calls([one])
    assert ids(first) == ids(second)
    assert (first[0].created, second[0].created) == (True, False)
    assert len(world.tasks()) == 1
    assert world.tasks()[0]["TaskSubtype"] == "Call"


@pytest.mark.parametrize("fault", ["drop_after", "drop_before"])
def test_a_lost_answer_is_looked_up_and_the_call_is_there_once(
    world: World, logger: tuple[Provider, PlainApi], fault: str
) -> None:
    provider, _ = logger
    batch = [call(f"c-{number}", world.lead(number)) for number in range(3)]
    world.dial({"kind": fault, "match": "composite", "times": 1})
    with pytest.raises(errors.Retry):
        provider.log_calls(batch)
    results = provider.log_calls([again(one) for one in batch])
    assert sorted(ids(results)) == sorted(row["Id"] for row in world.tasks())
    assert {row["TaskSubtype"] for row in world.tasks()} == {"Call"}
    assert [result.created for result in results] == [fault == "drop_before"] * 3


def test_a_post_that_got_no_answer_says_so(world: World) -> None:
    world.dial({"kind": "no_customizing"})
    provider, _ = world.prepared()
    world.dial({"kind": "drop_after", "match": "composite", "times": 1})
    with pytest.raises(errors.OutcomeUnknown):
        provider.log_calls([call("c-1", world.lead())])


def test_a_call_of_an_account_that_got_the_key_field_meanwhile_is_still_found(world: World) -> None:
    world.dial({"kind": "no_customizing"})
    provider, _ = world.prepared()
    one = call("c-1", world.lead())
    provider.log_calls([one])
    world.dial()
    better, _ = world.prepared()
    ids(better.log_calls([again(one)]))
    assert [(row["CallObject"], row["Dialer_Call_Id__c"]) for row in world.tasks()] == [("c-1", "c-1")]


def test_two_tasks_of_one_key_never_come_of_a_race_because_the_key_is_unique(world: World) -> None:
    """The look-up says no, and somebody else writes before we do."""
    provider, api = world.prepared()
    one = call("c-1", world.lead())
    real = api.request

    def overtaken(method: str, path: str, **more: Any) -> Any:
        if method == "PATCH":
            world.prepared()[0].log_calls([one])
            api.request = real  # type: ignore[method-assign]
        return real(method, path, **more)

    api.request = overtaken  # type: ignore[method-assign]
    ids(provider.log_calls([again(one)]))
    assert len(world.tasks()) == 1


@responses.activate
def test_a_duplicate_value_of_another_field_is_the_tenants_to_mend() -> None:
    message = "duplicate value found: Ticket__c duplicates value on record with id: 00THs00000000zzMAA"
    refused = {"success": False, "errors": [{"statusCode": "DUPLICATE_VALUE", "message": message, "fields": []}]}
    responses.patch(f"{HOST}{DATA}/composite/sobjects/Task/Dialer_Call_Id__c", json=[refused])
    result = writer().log_calls([call("c-1", "00Qxx000001abcdEAA")])[0]
    assert isinstance(result.error, errors.FixData)
    assert "Ticket__c" in result.error.message


@responses.activate
def test_a_duplicate_value_names_the_task_to_update() -> None:
    taken = "00THs00000000zzMAA"
    message = f"duplicate value found: Dialer_Call_Id__c duplicates value on record with id: {taken}"
    refused = {"success": False, "errors": [{"statusCode": "DUPLICATE_VALUE", "message": message, "fields": []}]}
    responses.patch(f"{HOST}{DATA}/composite/sobjects/Task/Dialer_Call_Id__c", json=[refused])
    responses.patch(f"{HOST}{DATA}/composite/sobjects", json=[{"id": taken, "success": True, "errors": []}])
    result = writer().log_calls([call("c-1", "00Qxx000001abcdEAA")])[0]
    assert (result.id, result.created, result.error) == (taken, False, None)
    assert b"TaskSubtype" in (responses.calls[0].request.body or b"")
    assert b"TaskSubtype" not in (responses.calls[1].request.body or b"")


@pytest.mark.parametrize("body", ["", "<html>", "{}", "[]"])
@responses.activate
def test_a_200_that_does_not_answer_for_each_call_leaves_the_outcome_open(body: str) -> None:
    responses.patch(f"{HOST}{DATA}/composite/sobjects/Task/Dialer_Call_Id__c", body=body)
    with pytest.raises(errors.OutcomeUnknown):
        writer().log_calls([call("c-1", "00Qxx000001abcdEAA")])


@responses.activate
def test_what_was_written_is_told_even_if_the_rest_of_the_batch_breaks() -> None:
    made = {"id": "00THs00000000zzMAA", "success": True, "errors": [], "created": True}
    responses.patch(f"{HOST}{DATA}/composite/sobjects/Task/Dialer_Call_Id__c", json=[made])
    responses.patch(f"{HOST}{DATA}/composite/sobjects", status=503)
    known = call("c-2", "00Qxx000001abcdEAA", crm_record_id="00THs00000000yyMAA")
    results = writer().log_calls([known, call("c-1", "00Qxx000001abcdEAA")])
    assert isinstance(results[0].error, errors.Retry)
    assert results[1].id == "00THs00000000zzMAA"


# --- later news about a call ----------------------------------------------------------------------------------------


def test_later_notes_go_to_the_same_task(world: World, logger: tuple[Provider, PlainApi]) -> None:
    provider, _ = logger
    one = call("c-1", world.lead())
    task_id = ids(provider.log_calls([one]))[0]
    later = call("c-1", world.lead(), notes="With a summary.", crm_record_id=task_id)
    assert ids(provider.log_calls([later])) == [task_id]
    assert [row["Description"] for row in world.tasks()] == ["With a summary."]


def test_a_task_that_was_deleted_in_the_crm_is_not_brought_back(world: World) -> None:
    provider, _ = world.prepared()
    one = call("c-1", world.lead())
    task_id = ids(provider.log_calls([one]))[0]
    world.ask("DELETE", f"{DATA}/sobjects/Task/{task_id}").raise_for_status()
    result = provider.log_calls([call("c-1", world.lead(), crm_record_id=task_id)])[0]
    assert isinstance(result.error, errors.Gone)
    assert len(world.tasks()) == 1


def test_a_call_to_a_converted_lead_goes_to_its_contact(world: World, logger: tuple[Provider, PlainApi]) -> None:
    provider, _ = logger
    lead, other = world.lead(4), world.lead(5)
    contact = world.convert(lead)
    ids(provider.log_calls([call("c-1", lead), call("c-2", other)]))
    assert [row["WhoId"] for row in sorted(world.tasks(), key=lambda row: row["CallObject"])] == [contact, other]


def test_a_call_to_the_loser_of_a_merge_goes_to_the_winner(world: World) -> None:
    provider, _ = world.prepared()
    loser, winner = world.contact(1), world.contact(2)
    row = world.store.get("Contact", loser) or {}
    world.sandbox.org.save("Contact", {**row, "IsDeleted": True, "MasterRecordId": winner})
    ids(provider.log_calls([call("c-1", loser)]))
    assert world.tasks()[0]["WhoId"] == winner


def test_a_call_to_a_deleted_lead_is_told_as_gone(world: World) -> None:
    provider, _ = world.prepared()
    lead = world.lead()
    world.ask("DELETE", f"{DATA}/sobjects/Lead/{lead}").raise_for_status()
    assert isinstance(provider.log_calls([call("c-1", lead)])[0].error, errors.Gone)


# --- accounts that lack fields --------------------------------------------------------------------------------------


def test_what_has_no_field_is_said_in_the_notes(world: World) -> None:
    for number, name in enumerate(("CallDurationInSeconds", "CallDisposition", "CallType")):
        world.store.put("_hidden", str(number), {"object": "Task", "field": name})
    provider, _ = world.prepared()
    long_link = "https://recordings.example.com/" + "x" * 250
    outcome = {"Status": "Completed", "TaskSubtype": "Call", "Sentiment__c": "positive"}
    ids(provider.log_calls([call("c-1", world.lead(), recording_url=long_link, outcome=outcome)]))
    lines = world.tasks()[0]["Description"].split("\n")
    assert lines[0] == "Discussed pricing."
    assert set(lines[1:]) == {
        "Disposition: Connected",
        "Duration in seconds: 342",
        "Direction: Outbound",
        "Sentiment__c: positive",
        f"Recording: {long_link}",
    }


@pytest.mark.parametrize("field", ["CallDisposition", "Dialer_Call_Id__c", "Dialer_Call_Recording_URL__c"])
def test_a_field_hidden_after_prepare_is_noticed_and_the_call_is_logged_once(world: World, field: str) -> None:
    provider, _ = world.prepared()
    world.store.put("_hidden", field, {"object": "Task", "field": field})
    one = call("c-1", world.lead(), recording_url="https://dialbridge.example/r/1")
    ids(provider.log_calls([one]))
    ids(provider.log_calls([again(one)]))
    assert [row["CallObject"] for row in world.tasks()] == ["c-1"]


def test_without_any_key_field_nothing_is_written(world: World) -> None:
    world.dial({"kind": "no_customizing"})
    world.store.put("_hidden", "1", {"object": "Task", "field": "CallObject"})
    provider, _ = world.prepared()
    with pytest.raises(errors.FixConfig) as caught:
        provider.log_calls([call("c-1", world.lead())])
    assert caught.value.cause == "no_call_key"
    assert world.tasks() == []


def test_a_provider_that_was_never_prepared_looks_for_itself(world: World) -> None:
    provider, _ = world.connect()
    ids(provider.log_calls([call("c-1", world.lead())]))
    assert world.tasks()[0]["CallObject"] == "c-1"


def test_a_related_record_stays_out_of_a_leads_task_and_is_named_in_its_notes(world: World) -> None:
    provider, _ = world.prepared()
    account = next(world.store.all("Account"))["Id"]
    outcome = {"Status": "Completed", "WhatId": account}
    ids(provider.log_calls([call("c-1", world.lead(), outcome=outcome), call("c-2", world.contact(), outcome=outcome)]))
    of_lead, of_contact = world.tasks()
    assert of_lead.get("WhatId") is None
    assert of_lead["Description"].endswith(f"Related record: {account}")
    assert of_contact["WhatId"] == account


def test_long_notes_are_cut_with_a_mark_and_what_follows_them_is_kept(world: World) -> None:
    provider, _ = world.prepared()
    one = call("c-1", world.lead(), notes="😀" * 20_000, agent_email="stranger@acme.example", subject="S" * 300)
    ids(provider.log_calls([one]))
    stored = world.tasks()[0]
    assert task.size(stored["Description"]) == 32_000
    assert stored["Description"].endswith(f"{task.CUT_MARK}\nAgent: stranger@acme.example")
    assert (len(stored["Subject"]), stored["Subject"][-1]) == (255, "…")


@given(st.text(max_size=60), st.integers(min_value=3, max_value=40))
def test_a_cut_text_is_never_too_long_and_an_uncut_one_is_the_same(text: str, limit: int) -> None:
    found = task.cut(text, limit)
    assert task.size(found) <= limit
    assert found == text or task.size(text) > limit


def test_an_inbound_call_is_called_so(world: World) -> None:
    provider, _ = world.prepared()
    ids(provider.log_calls([call("c-1", world.lead(), direction=Direction.INBOUND, notes="")]))
    assert world.tasks()[0]["CallType"] == "Inbound"
