import threading
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection as database
from django.db import transaction
from rest_framework.test import APIClient

from activities import joint_posting, posting
from activities.models import Call
from activities.targets import KIND
from integrations import tenancy
from integrations.errors import Throttled
from integrations.models import ApiKey, CrmConnection, Tenant
from integrations.records.activities import CallActivity
from integrations.records.remote import Written
from integrations.sandbox.server import SandboxServer
from sync.models import Contact, SyncJob
from sync.work import work
from tests.activities.conftest import link
from tests.fake_crm.provider import Provider
from tests.sync.processes import wait_until

URL = "/api/v1/calls/"


def count(model: Any) -> int:
    with tenancy.everyone():
        return int(model.objects.count())


def jobs() -> int:
    """The jobs that log calls."""
    with tenancy.everyone():
        return int(SyncJob.objects.filter(kind=KIND).count())


def drain(connection: CrmConnection) -> None:
    with tenancy.scope(connection.tenant_id):
        work(connection.pk)


def test_a_call_is_stored_with_its_work_before_the_answer(client: APIClient, contact: Contact, body: Any) -> None:
    answer = client.post(URL, body)
    assert answer.status_code == 201
    with tenancy.everyone():
        call, job = Call.objects.get(), SyncJob.objects.get(kind=KIND)
    assert answer.json() == {"id": str(call.pk), "external_id": "d-1"}
    assert call.contact_id == contact.pk
    assert (job.kind, job.local_record_id, job.payload["record_id"]) == ("log_call", call.pk, "7")


def test_the_same_call_again_is_the_same_call(client: APIClient, contact: Contact, body: Any) -> None:
    first, second = client.post(URL, body), client.post(URL, {**body, "started_at": "2026-01-21T15:30:00+01:00"})
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    assert (count(Call), jobs()) == (1, 1)


def test_another_call_under_the_same_id_is_refused(client: APIClient, contact: Contact, body: Any) -> None:
    client.post(URL, body)
    answer = client.post(URL, {**body, "duration_seconds": 1})
    assert answer.status_code == 409
    assert "d-1" in answer.json()["detail"]
    assert count(Call) == 1


def test_the_id_may_come_as_a_header(client: APIClient, contact: Contact, body: Any) -> None:
    del body["external_id"]
    first = client.post(URL, body, headers={"Idempotency-Key": "h-1"})
    second = client.post(URL, {**body, "external_id": "h-1"})
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["external_id"] == "h-1"
    assert client.post(URL, {**body, "external_id": "x"}, headers={"Idempotency-Key": "y"}).status_code == 400


def test_null_is_as_good_as_left_out(client: APIClient, contact: Contact, body: Any) -> None:
    empty = dict.fromkeys(
        ("crm_record_id", "provider", "summary", "key_points", "recording_url", "agent_email", "metadata")
    )
    spare = {"contact_id": str(contact.pk), **{name: value for name, value in body.items() if name not in empty}}
    first = client.post(URL, {**spare, **empty}, format="json")
    assert first.status_code == 201, first.content
    again = client.post(URL, spare, format="json")
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    refused = client.post(URL, {**spare, "external_id": "other", "duration_seconds": None}, format="json")
    assert [one["field"] for one in refused.json()["errors"]] == ["duration_seconds"]


def test_a_packed_body_is_refused_in_words(client: APIClient, body: Any) -> None:
    refused = client.post(URL, body, format="json", headers={"Content-Encoding": "gzip"})
    assert (refused.status_code, refused.json()["title"]) == (415, "Only JSON is accepted")
    assert "without a Content-Encoding" in refused.json()["detail"]


def test_two_tenants_may_use_the_same_id(client: APIClient, contact: Contact, body: Any, stranger: Tenant) -> None:
    client.post(URL, body)
    with tenancy.everyone():
        key = ApiKey.issue(stranger, "theirs")[1]
    other = APIClient(headers={"Authorization": f"Bearer {key}"})
    posted = {**body, "phone": "+14155550199", "provider": "", "crm_record_id": ""}
    assert other.post(URL, posted).status_code == 201


@pytest.mark.django_db(transaction=True)
def test_ten_posts_of_one_call_at_the_same_instant_make_one(api_key: str, contact: Contact, body: Any) -> None:
    answers: list[Any] = []

    def post() -> None:
        answers.append(APIClient(headers={"Authorization": f"Bearer {api_key}"}).post(URL, body))
        database.close()

    threads = [threading.Thread(target=post) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [200] * 9 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert (count(Call), jobs()) == (1, 1)


def _post_behind_a_held_contact(api_key: str, contact: Contact, bodies: list[Any]) -> list[Any]:
    """The answers to calls that come one by one while the first waits for its contact."""
    answers: list[Any] = [None] * len(bodies)

    def post(place: int) -> None:
        answers[place] = APIClient(headers={"Authorization": f"Bearer {api_key}"}, raise_request_exception=False).post(
            URL, bodies[place]
        )
        database.close()

    threads = [threading.Thread(target=post, args=(place,)) for place in range(len(bodies))]
    with tenancy.everyone(), transaction.atomic():
        Contact.objects.select_for_update().get(pk=contact.pk)
        threads[0].start()
        wait_until(_somebody_waits_for_a_lock, "the first call to wait for its contact")
        for thread in threads[1:]:
            thread.start()
        [line] = joint_posting._lines.values()
        wait_until(lambda: line.waiting == len(bodies) - 1, "the others to stand in line")
    for thread in threads:
        thread.join()
    return answers


def _somebody_waits_for_a_lock() -> bool:
    with database.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_locks WHERE NOT granted")
        return cursor.fetchone() is not None


@pytest.fixture
def stores(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The ids of the calls that are stored together, store by store. A call named "bad" can't be stored."""
    joint_posting._lines.clear()
    seen: list[list[str]] = []
    original = posting.store

    def store(tenant: Tenant, asked: Any) -> Any:
        seen.append([one["external_id"] for one in asked])
        if "bad" in seen[-1]:
            raise RuntimeError("the database is full")
        return original(tenant, asked)

    monkeypatch.setattr("activities.posting.store", store)
    return seen


@pytest.mark.django_db(transaction=True)
def test_calls_that_come_while_one_is_being_stored_are_stored_together_and_answered_each(
    api_key: str, contact: Contact, body: Any, stores: list[list[str]]
) -> None:
    nobody = {**body, "external_id": "n-1", "contact_id": str(uuid4()), "crm_record_id": "", "provider": ""}
    others = [nobody, {**body, "duration_seconds": 1}, *({**body, "external_id": f"o-{place}"} for place in range(6))]
    answers = _post_behind_a_held_contact(api_key, contact, [body, *others])
    assert [answer.status_code for answer in answers] == [201, 400, 409, *[201] * 6]
    assert [answer.json()["external_id"] for answer in answers[3:]] == [f"o-{place}" for place in range(6)]
    assert (len(stores), len(stores[1])) == (2, 8)
    assert (count(Call), jobs()) == (7, 7)


@pytest.mark.django_db(transaction=True)
def test_a_call_that_can_not_be_stored_hinders_none_of_those_beside_it(
    api_key: str, contact: Contact, body: Any, stores: list[list[str]]
) -> None:
    others = [{**body, "external_id": name} for name in ("o-1", "bad", "o-2")]
    answers = _post_behind_a_held_contact(api_key, contact, [body, *others])
    assert [answer.status_code for answer in answers] == [201, 201, 500, 201]
    assert count(Call) == 3


def test_a_call_reaches_the_crm_once_on_the_dialled_record(
    client: APIClient, contact: Contact, connection: CrmConnection, body: Any, fake_crm: SandboxServer
) -> None:
    call_id = client.post(URL, body).json()["id"]
    assert client.get(f"{URL}{call_id}/").json()["syncs"][0]["status"] == "pending"
    drain(connection)
    drain(connection)
    logged = list(fake_crm.service.store.all("calls"))
    assert [(one["key"], one["on"], one["outcome"]) for one in logged] == [(call_id, "7", {"outcome": "talked"})]
    sync = client.get(f"{URL}{call_id}/").json()["syncs"][0]
    assert (sync["provider"], sync["status"], sync["crm_record_id"], sync["error"], sync["attempts"]) == (
        "fakecrm", "logged", logged[0]["id"], None, 1,
    )  # fmt: skip


def test_a_lost_answer_is_looked_up_and_not_written_twice(
    client: APIClient, contact: Contact, connection: CrmConnection, body: Any, fake_crm: SandboxServer
) -> None:
    fake_crm.service.faults.set([{"kind": "drop_after", "match": "POST /calls", "times": 1}])
    call_id = client.post(URL, body).json()["id"]
    drain(connection)
    assert client.get(f"{URL}{call_id}/").json()["syncs"][0]["status"] == "pending"
    with tenancy.everyone():
        SyncJob.objects.update(not_before="2026-01-01T00:00:00Z")
    drain(connection)
    assert client.get(f"{URL}{call_id}/").json()["syncs"][0]["status"] == "logged"
    assert fake_crm.service.store.count("calls") == 1


def test_a_batch_that_breaks_off_after_its_first_write_writes_nothing_twice(
    client: APIClient,
    contact: Contact,
    connection: CrmConnection,
    body: Any,
    fake_crm: SandboxServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write, refusals = Provider._log, iter([False, True])

    def second_is_throttled(self: Provider, call: CallActivity) -> Written:
        if next(refusals, False):
            raise Throttled("The quota is used up.", after=0.0)
        return write(self, call)

    monkeypatch.setattr(Provider, "_log", second_is_throttled)
    for number in range(2):
        client.post(URL, {**body, "external_id": f"d-{number}"})
    drain(connection)
    assert fake_crm.service.store.count("calls") == 1
    with tenancy.everyone():
        SyncJob.objects.update(not_before="2026-01-01T00:00:00Z")
    drain(connection)
    keys = [call["key"] for call in fake_crm.service.store.all("calls")]
    assert len(keys) == len(set(keys)) == 2


def test_a_call_by_number_finds_its_only_owner_and_never_all_who_share_it(
    client: APIClient, contact: Contact, connection: CrmConnection, body: Any
) -> None:
    by_phone = {**body, "provider": "", "crm_record_id": "", "phone": "(415) 555-0101"}
    client.post(URL, by_phone)
    with tenancy.everyone():
        assert Call.objects.get().contact_id == contact.pk
        twin = Contact.objects.create(tenant=connection.tenant, mobile_phone="+14155550101")
        link(connection, twin, "8")
    client.post(URL, {**by_phone, "external_id": "d-2"})
    client.post(URL, {**by_phone, "external_id": "d-3", "phone": "+14155550199"})
    with tenancy.everyone():
        reviews = dict(Call.objects.values_list("external_id", "review"))
    assert reviews == {"d-1": "", "d-2": "ambiguous_number", "d-3": "unknown_number"}
    assert jobs() == 1


def test_a_record_that_was_not_read_yet_is_logged_on_all_the_same(
    client: APIClient, connection: CrmConnection, body: Any
) -> None:
    assert client.post(URL, {**body, "crm_record_id": "999"}).status_code == 201
    with tenancy.everyone():
        assert SyncJob.objects.get().payload == {"object_type": "", "record_id": "999"}


def test_a_record_and_a_contact_that_contradict_each_other_are_refused(
    client: APIClient, contact: Contact, connection: CrmConnection, body: Any
) -> None:
    with tenancy.everyone():
        other = Contact.objects.create(tenant=connection.tenant)
    assert client.post(URL, {**body, "contact_id": str(contact.pk)}).status_code == 201
    answer = client.post(URL, {**body, "external_id": "d-2", "contact_id": str(other.pk)})
    assert answer.status_code == 400
    assert "another contact" in answer.json()["detail"]


def test_a_call_reaches_the_persons_records_in_the_other_crms_too(
    client: APIClient, contact: Contact, connection: CrmConnection, body: Any
) -> None:
    with tenancy.everyone():
        second = CrmConnection.objects.create(tenant=connection.tenant, provider="hubspot", access_token="x")
        link(second, contact, "hs-7")
    call_id = client.post(URL, body).json()["id"]
    syncs = client.get(f"{URL}{call_id}/").json()["syncs"]
    assert [(sync["provider"], sync["status"]) for sync in syncs] == [("fakecrm", "pending"), ("hubspot", "pending")]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"external_id": None}, "external_id"),
        ({"duration_seconds": -1}, "duration_seconds"),
        ({"duration_seconds": "long"}, "duration_seconds"),
        ({"started_at": "yesterday"}, "started_at"),
        ({"started_at": "2099-01-01T00:00:00Z"}, "started_at"),
        ({"direction": "sideways"}, "direction"),
        ({"provider": ""}, "provider"),
        ({"provider": "nope"}, "provider"),
        ({"provider": "hubspot"}, "provider"),
        ({"phone": "12"}, "phone"),
        ({"recording_url": "javascript:alert(1)"}, "recording_url"),
        ({"key_points": "one"}, "key_points"),
        ({"metadata": [1]}, "metadata"),
        ({"metadata": {"x": "y" * 20_000}}, "metadata"),
        ({"contact_id": "7f000000-0000-4000-8000-000000000000"}, "contact_id"),
        ({"notes": "x\x00y"}, "notes"),
    ],
    ids=lambda value: next(iter(value.items())).__repr__()[:40] if isinstance(value, dict) else value,
)
def test_bad_input_gets_a_clear_error_and_stores_nothing(
    client: APIClient, connection: CrmConnection, body: Any, change: dict[str, Any], field: str
) -> None:
    answer = client.post(URL, {**body, **change})
    assert answer.status_code == 400, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    assert field in {error["field"] for error in answer.json()["errors"]}
    assert (count(Call), count(SyncJob)) == (0, 0)


def test_all_problems_are_told_at_once(client: APIClient, connection: CrmConnection, body: Any) -> None:
    errors = client.post(URL, {**body, "duration_seconds": -1, "direction": "x"}).json()["errors"]
    assert {error["field"] for error in errors} == {"duration_seconds", "direction"}


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{not json", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[1]", "application/json", 400),
        (b"a=1", "application/x-www-form-urlencoded", 415),
        (b"[" * 100_000, "application/json", 400),
        (b'{"notes": "' + b"x" * 6_000_000 + b'"}', "application/json", 413),
    ],
    ids=["broken", "not UTF-8", "a list", "a form", "nested too deeply", "too large"],
)
def test_a_body_that_is_no_json_object_is_explained(
    client: APIClient, connection: CrmConnection, content: bytes, kind: str, status: int
) -> None:
    answer = client.generic("POST", URL, content, content_type=kind)  # type: ignore[arg-type]  # bytes are taken as they are
    assert answer.status_code == status
    assert answer.json()["status"] == status


def test_odd_characters_in_the_metrics_do_not_break_the_call(client: APIClient, contact: Contact, body: Any) -> None:
    raw = (
        b'{"external_id":"d-9","contact_id":"%s","duration_seconds":1,"started_at":"2026-01-01T00:00:00Z",'
        % str(contact.pk).encode()
    )
    answer = client.generic("POST", URL, raw + rb'"metadata":{"a\u0000":"b\ud800"}}', content_type="application/json")  # type: ignore[arg-type]
    assert answer.status_code == 201, answer.content


def test_a_call_of_another_tenant_does_not_exist(
    client: APIClient, contact: Contact, body: Any, stranger: Tenant
) -> None:
    call_id = client.post(URL, body).json()["id"]
    with tenancy.everyone():
        key = ApiKey.issue(stranger, "theirs")[1]
    other = APIClient(headers={"Authorization": f"Bearer {key}"})
    assert other.get(f"{URL}{call_id}/").status_code == 404
    assert (
        other.post(URL, {**body, "provider": "", "crm_record_id": "", "contact_id": str(contact.pk)}).status_code == 400
    )


def test_too_many_requests_are_slowed_down(
    client: APIClient, contact: Contact, monkeypatch: pytest.MonkeyPatch
) -> None:
    from integrations.authentication import PerKeyThrottle

    monkeypatch.setattr(PerKeyThrottle, "get_rate", lambda self: "2/min")
    answers = [client.get("/api/v1/contacts/") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert int(answers[2]["Retry-After"]) > 0
