"""Later stages of a call: one activity, updated in place, whatever the order in which the stages arrive."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from activities.models import Call, CallStage
from activities.targets import KIND
from integrations import errors, tenancy
from integrations.models import CrmConnection
from integrations.records.activities import CallActivity
from integrations.records.remote import Written
from sync.models import Contact, SyncJob
from sync.work import work
from tests.activities.conftest import link
from tests.fake_crm.provider import Provider

URL = "/api/v1/calls/"


@pytest.fixture
def call_id(client: APIClient, contact: Contact, body: Any) -> str:
    return str(client.post(URL, body).json()["id"])


def patch(client: APIClient, call_id: str, status: int = 200, key: str = "", **said: Any) -> dict[str, Any]:
    answer = client.patch(f"{URL}{call_id}/", said, headers={"Idempotency-Key": key} if key else {})
    assert answer.status_code == status, answer.content
    found: dict[str, Any] = answer.json()
    return found


def stored() -> Call:
    with tenancy.everyone():
        found: Call = Call.objects.get()
    return found


def log_jobs() -> list[str]:
    with tenancy.everyone():
        return list(SyncJob.objects.filter(kind=KIND).order_by("pk").values_list("state", flat=True))


def test_a_stage_while_the_first_log_waits_ends_as_one_write(client: APIClient, call_id: str) -> None:
    assert patch(client, call_id, disposition="Voicemail", summary="Asked to call back.")["changed"] == [
        "disposition", "summary",
    ]  # fmt: skip
    assert log_jobs() == ["ready"]
    assert (stored().disposition, stored().revision) == ("Voicemail", 2)


def test_a_stage_after_the_log_has_it_written_again(client: APIClient, connection: CrmConnection, call_id: str) -> None:
    with tenancy.scope(connection.tenant_id):
        work(connection.pk)
    patch(client, call_id, summary="Asked to call back.")
    assert log_jobs() == ["done", "ready"]


def test_what_says_nothing_new_makes_no_work(client: APIClient, connection: CrmConnection, call_id: str) -> None:
    with tenancy.scope(connection.tenant_id):
        work(connection.pk)
    assert patch(client, call_id, disposition="Connected", external_id="d-1", direction="outbound")["changed"] == []
    assert patch(client, call_id)["changed"] == []
    assert log_jobs() == ["done"]


def test_an_older_stage_does_not_overwrite_a_younger_one(client: APIClient, call_id: str) -> None:
    patch(client, call_id, said_at="2026-01-21T15:00:00Z", summary="Second.", metadata={"ai_score": 90})
    late = patch(
        client,
        call_id,
        said_at="2026-01-21T14:50:00Z",
        summary="First.",
        notes="Added.",
        metadata={"ai_score": 10, "x": 1},
    )
    assert (late["changed"], late["ignored"]) == (["notes", "metadata.x"], ["summary", "metadata.ai_score"])
    assert (stored().summary, stored().notes, stored().metadata["ai_score"]) == ("Second.", "Added.", 90)
    with tenancy.everyone():
        assert CallStage.objects.filter(ignored=["summary", "metadata.ai_score"]).exists()


def test_the_metrics_are_merged_key_by_key(client: APIClient, call_id: str) -> None:
    patch(client, call_id, metadata={"sentiment": None, "ai_score": 91, "language": "en"})
    assert stored().metadata == {"ai_score": 91, "talk_ratio": 0.38, "language": "en"}


def test_a_stage_with_a_key_is_taken_once(client: APIClient, call_id: str) -> None:
    first = patch(client, call_id, key="s-1", notes="One.")
    patch(client, call_id, notes="Two.")
    assert patch(client, call_id, key="s-1", notes="One.") == first
    assert stored().notes == "Two."
    assert "Idempotency-Key" in patch(client, call_id, 409, key="s-1", notes="Other.")["detail"]


def test_the_same_post_after_a_stage_is_still_the_same_call(client: APIClient, call_id: str, body: Any) -> None:
    patch(client, call_id, notes="Other notes.", duration_seconds=1)
    again = client.post(URL, body)
    assert (again.status_code, again.json()["id"]) == (200, call_id)


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"external_id": "other"}, "external_id"),
        ({"direction": "inbound"}, "direction"),
        ({"started_at": "2026-01-01T00:00:00Z"}, "started_at"),
        ({"phone": "+14155550199"}, "phone"),
        ({"colour": "red"}, "colour"),
        ({"said_at": "2099-01-01T00:00:00Z"}, "said_at"),
        ({"metadata": {"x": "y" * 20_000}}, "metadata"),
        ({"meeting": {"starts_at": "2026-02-01T10:00:00Z"}}, "meeting.ends_at"),
        ({"meeting": {"starts_at": "2026-02-01T10:00:00Z", "ends_at": "2026-02-01T09:00:00Z"}}, "meeting.ends_at"),
        ({"contact_id": "7f000000-0000-4000-8000-000000000000"}, "contact_id"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else value,
)
def test_what_a_stage_cannot_say_is_explained(client: APIClient, call_id: str, said: Any, field: str) -> None:
    assert field in {error["field"] for error in patch(client, call_id, 400, **said)["errors"]}
    assert stored().revision == 1


def test_a_meeting_is_kept_with_its_end(client: APIClient, call_id: str) -> None:
    meeting = {"starts_at": "2026-02-01T11:00:00+01:00", "duration_minutes": 30, "title": "Demo"}
    assert patch(client, call_id, meeting=meeting)["changed"] == ["meeting"]
    assert stored().meeting == {
        "starts_at": "2026-02-01T10:00:00Z", "ends_at": "2026-02-01T10:30:00Z", "title": "Demo", "location": "",
    }  # fmt: skip
    assert patch(client, call_id, meeting=meeting)["changed"] == []
    assert patch(client, call_id, meeting=None)["changed"] == ["meeting"]


def test_a_call_that_nobody_had_gets_its_contact_by_a_stage(
    client: APIClient, connection: CrmConnection, body: Any
) -> None:
    unknown = {**body, "provider": "", "crm_record_id": "", "phone": "+14155550199"}
    call_id = client.post(URL, unknown).json()["id"]
    assert log_jobs() == []
    with tenancy.everyone():
        person = Contact.objects.create(tenant=connection.tenant, first_name="Bo")
        link(connection, person, "9")
    assert patch(client, call_id, contact_id=str(person.pk))["changed"] == ["contact_id"]
    assert (stored().review, stored().contact_id, log_jobs()) == ("", person.pk, ["ready"])
    with tenancy.everyone():
        assert Contact.objects.get(pk=person.pk).call_count == 1
    assert patch(client, call_id, contact_id=str(person.pk))["changed"] == []


def test_a_call_that_is_not_there_has_no_stages(client: APIClient, contact: Contact) -> None:
    patch(client, "7f000000-0000-4000-8000-000000000000", 404, notes="x")


def test_a_call_is_found_by_the_dialers_id(client: APIClient, call_id: str) -> None:
    assert [one["id"] for one in client.get(URL, {"external_id": "d-1"}).json()["results"]] == [call_id]
    assert client.get(URL, {"external_id": "nothing"}).json() == {"results": []}
    assert [one["id"] for one in client.get(URL).json()["results"]] == [call_id]


def test_a_meetings_state_stands_beside_its_call(client: APIClient, connection: CrmConnection, call_id: str) -> None:
    with tenancy.everyone():
        SyncJob.objects.create(
            tenant=connection.tenant, connection=connection, kind="book_meeting", key=call_id, local_record_id=call_id
        )
    sync = client.get(f"{URL}{call_id}/").json()["syncs"][0]
    assert (sync["meeting"]["status"], "follow_up" in sync) == ("pending", False)


def test_a_stage_after_a_log_that_was_given_up_without_an_answer_looks_in_the_crm_first(
    client: APIClient, connection: CrmConnection, call_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[CallActivity] = []

    def log_calls(_provider: Provider, calls: Sequence[CallActivity]) -> list[Written]:
        seen.extend(calls)
        raise errors.OutcomeUnknown("No answer.")

    monkeypatch.setattr(Provider, "log_calls", log_calls)
    with tenancy.scope(connection.tenant_id):
        while log_jobs() == ["ready"]:
            SyncJob.objects.filter(kind=KIND).update(not_before=timezone.now() - timedelta(seconds=1))
            work(connection.pk)
        assert log_jobs() == ["dead"]
        patch(client, call_id, summary="Asked to call back.")
        work(connection.pk)
    assert seen[0].first_attempt_at is None
    assert seen[-1].first_attempt_at is not None
    assert "Asked to call back." in seen[-1].notes
