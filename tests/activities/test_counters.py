"""What calls leave on their person: absolute numbers, the last ones by the newest call, and few writes in the CRM."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from integrations import tenancy
from integrations.models import CrmConnection
from sync import pushes
from sync.models import Contact, FieldChange, SyncJob

URL = "/api/v1/calls/"


def numbers(contact: Contact) -> tuple[Any, ...]:
    with tenancy.everyone():
        row = Contact.objects.get(pk=contact.pk)
    last = row.last_called_at.isoformat() if row.last_called_at else None
    return row.call_count, last, row.last_disposition, row.ai_score


def at(hour: int, **more: Any) -> dict[str, Any]:
    return {"external_id": f"at-{hour}", "started_at": f"2026-01-21T{hour:02}:00:00Z", **more}


def test_a_call_counts_once_however_often_it_is_posted(client: APIClient, contact: Contact, body: Any) -> None:
    for _ in range(3):
        client.post(URL, body)
    assert numbers(contact) == (1, "2026-01-21T14:30:00+00:00", "Connected", 87)


def test_the_last_ones_are_the_newest_calls_in_whatever_order_they_come(
    client: APIClient, contact: Contact, body: Any
) -> None:
    client.post(URL, {**body, **at(16, disposition="Voicemail", metadata={})})
    client.post(URL, {**body, **at(15, disposition="No Answer", metadata={"ai_score": 40})})
    assert numbers(contact) == (2, "2026-01-21T16:00:00+00:00", "Voicemail", 40)


def test_a_later_stage_of_an_older_call_leaves_the_newest_calls_word(
    client: APIClient, contact: Contact, body: Any
) -> None:
    older = client.post(URL, {**body, **at(15)}).json()["id"]
    newest = client.post(URL, {**body, **at(16)}).json()["id"]
    client.patch(f"{URL}{older}/", {"disposition": "No Answer", "metadata": {"ai_score": 1}})
    assert numbers(contact)[2:] == ("Connected", 87)
    client.patch(f"{URL}{newest}/", {"disposition": "Voicemail", "metadata": {"ai_score": 12}})
    assert numbers(contact) == (2, "2026-01-21T16:00:00+00:00", "Voicemail", 12)


@pytest.mark.parametrize("score", ["high", 101, -1, None, [1], 1e300, True])
def test_a_score_that_is_none_is_left_out(client: APIClient, contact: Contact, body: Any, score: Any) -> None:
    assert client.post(URL, {**body, "metadata": {"ai_score": score}}).status_code == 201
    assert numbers(contact)[3] is None


def test_a_call_is_no_edit(client: APIClient, contact: Contact, body: Any) -> None:
    client.post(URL, body)
    assert (
        client.patch(f"/api/v1/contacts/{contact.pk}/", {"version": contact.version, "company": "X"}).status_code == 200
    )
    with tenancy.everyone():
        assert [change.field for change in FieldChange.objects.all()] == ["company"]


def test_the_feed_shows_the_numbers(client: APIClient, contact: Contact, body: Any) -> None:
    client.post(URL, body)
    shown = client.get(f"/api/v1/contacts/{contact.pk}/").json()
    assert (shown["call_count"], shown["ai_score"]) == (1, 87)


def test_a_hundred_calls_to_one_person_are_one_write_of_the_person(
    client: APIClient, contact: Contact, connection: CrmConnection, body: Any
) -> None:
    for number in range(50):
        client.post(URL, {**body, "external_id": f"single-{number}"})
    client.post(f"{URL}bulk/", {"calls": [{**body, "external_id": f"bulk-{number}"} for number in range(50)]})
    assert numbers(contact)[0] == 100
    with tenancy.everyone():
        assert SyncJob.objects.filter(kind=pushes.KIND, local_record_id=contact.pk).count() == 1
