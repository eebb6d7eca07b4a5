"""Meetings as Events and follow-ups as open Tasks, and what a call brings along: its related record and a campaign."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from integrations import errors
from integrations.providers.salesforce.marking import marker_of
from integrations.records.activities import FollowUp, Meeting
from tests.providers.salesforce.world import World, call

START = datetime(2026, 3, 4, 23, 30, tzinfo=UTC)


def meeting(who: str, **more: Any) -> Meeting:
    kind = "Contact" if who.startswith("003") else "Lead"
    usual: dict[str, Any] = {
        "key": "c-1:meeting",
        "object_type": kind,
        "record_id": who,
        "title": "Demo",
        "starts_at": START,
        "ends_at": START + timedelta(minutes=45),
    }
    return Meeting(**{**usual, **more})


def follow_up(who: str, **more: Any) -> FollowUp:
    kind = "Contact" if who.startswith("003") else "Lead"
    usual = {"key": "c-1:follow-up", "object_type": kind, "record_id": who, "title": "Ask again", "due_at": START}
    return FollowUp(**{**usual, **more})


def events(world: World) -> list[dict[str, Any]]:
    return [event for event in world.store.all("Event") if event["Subject"] != "Meeting"]


def test_a_meeting_is_an_event_from_its_start_to_its_end(world: World) -> None:
    provider, _ = world.prepared()
    deal = next(iter(world.store.all("Opportunity")))["Id"]
    owner = next(row["Id"] for row in world.store.all("User") if row["Email"] == "ava.brooks@acme.example")
    one = meeting(world.contact(), related_to=deal, agent_email="Ava.Brooks@acme.example", location="Zoom")
    assert provider.book_meetings([one])[0].error is None
    (stored,) = events(world)
    expected = {
        "Subject": "Demo",
        "StartDateTime": "2026-03-04T23:30:00.000+0000",
        "EndDateTime": "2026-03-05T00:15:00.000+0000",
        "Location": "Zoom",
        "WhoId": one.record_id,
        "WhatId": deal,
        "OwnerId": owner,
        "Dialer_Call_Id__c": "c-1:meeting",
    }
    assert {name: stored[name] for name in expected} == expected


def test_without_a_field_of_ours_a_marker_tells_the_event_again(world: World) -> None:
    world.dial({"kind": "no_customizing"})
    provider, _ = world.prepared()
    one = meeting(world.lead(), description="Bring prices")
    (first,) = provider.book_meetings([one])
    (again,) = provider.book_meetings([replace(one, first_attempt_at=datetime.now(UTC))])
    assert (again.id, again.created) == (first.id, False)
    (stored,) = events(world)
    assert stored["Description"] == f"Bring prices\n{marker_of(one.key)}"


def test_a_marked_event_is_found_on_the_contact_that_its_lead_became(world: World) -> None:
    world.dial({"kind": "no_customizing"})
    provider, _ = world.prepared()
    lead = world.lead()
    (first,) = provider.book_meetings([meeting(lead)])
    contact = world.convert(lead)
    held = world.store.get("Event", first.id) or {}
    world.sandbox.org.save("Event", {**held, "WhoId": contact})
    (again,) = provider.book_meetings([meeting(lead, first_attempt_at=datetime.now(UTC))])
    assert (again.id, again.error) == (first.id, None)
    assert len(events(world)) == 1


def test_a_meeting_of_a_converted_lead_is_its_contacts(world: World) -> None:
    provider, _ = world.prepared()
    lead = world.lead()
    contact = world.convert(lead)
    assert provider.book_meetings([meeting(lead)])[0].error is None
    assert events(world)[0]["WhoId"] == contact


def test_a_follow_up_is_an_open_task_of_the_tenants_day(world: World) -> None:
    provider, _ = world.prepared(timezone="Asia/Tokyo")
    assert provider.set_follow_ups([follow_up(world.lead())])[0].error is None
    (stored,) = world.tasks()
    assert (stored["Status"], stored["IsClosed"], stored["ActivityDate"]) == ("Not Started", False, "2026-03-05")
    assert (stored["TaskSubtype"], stored["CallObject"]) == ("Task", "c-1:follow-up")
    assert "Due 2026-03-05 08:30 JST" in stored["Description"]


def test_a_follow_up_that_was_done_meanwhile_is_not_opened_again(world: World) -> None:
    provider, _ = world.prepared()
    one = follow_up(world.lead())
    (written,) = provider.set_follow_ups([one])
    world.change("Task", written.id, Status="Completed")
    for later in (replace(one, crm_record_id=written.id), replace(one, first_attempt_at=datetime.now(UTC))):
        assert provider.set_follow_ups([replace(later, title="Ask sooner")])[0].error is None
    (stored,) = world.tasks()
    assert (stored["Status"], stored["Subject"]) == ("Completed", "Ask sooner")


def test_an_account_that_renamed_its_statuses_takes_its_own(world: World) -> None:
    provider, _ = world.prepared()
    body = {
        "errorCode": "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
        "message": "Status: bad value for restricted picklist field: Not Started",
        "fields": ["Status"],
    }
    world.dial({"kind": "refuse", "body": body, "times": 1})
    assert provider.set_follow_ups([follow_up(world.lead())])[0].error is None
    assert len(world.tasks()) == 1


def test_a_locked_row_waits_and_its_neighbours_are_written(world: World) -> None:
    provider, _ = world.prepared()
    world.dial({"kind": "lock", "times": 1})
    some = [follow_up(world.lead(number), key=f"c-{number}:follow-up") for number in range(3)]
    written = provider.set_follow_ups(some)
    assert isinstance(written[0].error, errors.Retry)
    assert [one.error for one in written[1:]] == [None, None]


# --- what a call brings along ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["lead", "contact"])
def test_what_a_call_was_about_is_related_on_contacts_and_told_on_leads(world: World, who: str) -> None:
    provider, _ = world.prepared()
    account = next(iter(world.store.all("Account")))["Id"]
    person = world.lead() if who == "lead" else world.contact()
    assert provider.log_calls([call("c-1", person, related_to=account)])[0].error is None
    (stored,) = world.tasks()
    told = f"Related record: {account}" in stored["Description"]
    assert (stored.get("WhatId"), told) == ((None, True) if who == "lead" else (account, False))


@pytest.mark.parametrize("related", ["006000000000ZZZAAA", "512", "deal 7"], ids=["gone", "other CRM", "no id"])
def test_a_related_record_that_is_none_costs_only_the_relation(world: World, related: str) -> None:
    provider, _ = world.prepared()
    assert provider.log_calls([call("c-1", world.contact(), related_to=related)])[0].error is None
    assert f"Related record: {related}" in world.tasks()[0]["Description"]


def test_a_disposition_that_nobody_mapped_makes_a_closed_call_all_the_same(world: World) -> None:
    provider, _ = world.prepared()
    provider.log_calls([call("c-1", world.lead(), disposition="Gatekeeper", outcome={})])
    (stored,) = world.tasks()
    assert (stored["Status"], stored["TaskSubtype"], stored["Priority"]) == ("Completed", "Call", "Normal")
    assert stored["CallDisposition"] == "Gatekeeper"


def members(world: World, campaign: str) -> list[tuple[str, str]]:
    rows = [row for row in world.store.all("CampaignMember") if row["CampaignId"] == campaign]
    return [(str(row.get("LeadId") or row.get("ContactId")), row["Status"]) for row in rows]


def test_everybody_who_is_called_becomes_a_member_of_the_campaign_once(world: World) -> None:
    campaign = next(iter(world.store.all("Campaign")))["Id"]
    settings = {"campaign_id": campaign, "campaign_status": "Responded"}
    provider, api = world.prepared(settings=settings)
    known = members(world, campaign)[0][0]
    people = [known, world.lead(), world.lead(), world.contact(30)]
    for _ in range(2):
        before = len(api.calls)
        written = provider.log_calls([call(f"c-{number}", who) for number, who in enumerate(people)])
        assert all(one.error is None for one in written)
    second = api.calls[before:]
    assert [one.split()[0] for one in second].count("GET") == 1  # one look at who is a member already
    assert not [one for one in second if one.startswith("POST")]
    found = members(world, campaign)
    assert [found.count((who, "Responded")) for who in set(people)] == [1, 1, 1]


def test_a_campaign_that_is_gone_costs_no_call(world: World) -> None:
    provider, _ = world.prepared(settings={"campaign_id": "701000000000ZZZAAA"})
    assert provider.log_calls([call("c-1", world.lead())])[0].error is None
