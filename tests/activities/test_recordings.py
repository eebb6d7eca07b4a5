"""Who hears a recording, who doesn't and what they are told, and that each try is noted."""

import html
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from activities import recordings
from activities.models import Call, RecordingPlay
from activities.recordings import Outcome
from integrations import tenancy
from integrations.models import ApiKey, Tenant
from sync.erasing import contacts_erased
from sync.models import Contact
from tests import factories

GIVEN = "https://recordings.example.com/1.mp3"
JSON = {"Accept": "application/json"}


@pytest.fixture
def call(tenant: Tenant) -> Call:
    return factories.call(tenant, recording_url=GIVEN)


def member(*tenants: Tenant) -> Client:
    return signed_in(factories.tenant_admin(*tenants))


def signed_in(person: User) -> Client:
    client = Client(REMOTE_ADDR="192.0.2.7")
    client.force_login(person)
    return client


def address(call_id: UUID, **query: str) -> str:
    return f"/api/recordings/{call_id}/play" + (("?" + "&".join(f"{k}={v}" for k, v in query.items())) if query else "")


def signed(call: Call, seconds: int = 600) -> str:
    return address(call.pk, **recordings.link_query(call.pk, recordings.until(seconds)))


def with_token(call: Call, seconds: int = 600, **said: str) -> str:
    return address(call.pk, token=recordings.token(call.pk, recordings.until(seconds), **said))


def plays() -> list[tuple[str, str, str, str | None]]:
    with tenancy.everyone():
        return list(RecordingPlay.objects.order_by("pk").values_list("way", "who", "outcome", "address"))


def save(call: Call, **fields: Any) -> None:
    with tenancy.everyone():
        Call.objects.filter(pk=call.pk).update(**fields)


# --- who hears it ---------------------------------------------------------------------------------------------------


def test_a_member_of_the_tenant_hears_it_and_that_is_noted(tenant: Tenant, call: Call) -> None:
    answer = member(tenant).get(address(call.pk))
    assert (answer.status_code, answer["Location"]) == (302, GIVEN)
    assert (answer["Cache-Control"], answer["Referrer-Policy"]) == ("no-store", "no-referrer")
    assert plays() == [("member", "admin-of-acme", "played", "192.0.2.7")]


def test_support_hears_it(call: Call) -> None:
    assert signed_in(factories.support()).get(address(call.pk)).status_code == 302


def test_a_head_request_is_answered_and_noted_like_a_play(tenant: Tenant, call: Call) -> None:
    answer = member(tenant).head(address(call.pk), headers={"Accept": "audio/*"})
    assert (answer.status_code, answer["Location"], answer.content) == (302, GIVEN, b"")
    assert len(plays()) == 1


def test_a_token_opens_its_call_without_a_log_in(call: Call) -> None:
    assert Client().get(with_token(call, who="rep@example.com"))["Location"] == GIVEN
    assert plays() == [("token", "rep@example.com", "played", "127.0.0.1")]


def test_a_signed_link_opens_its_call(call: Call) -> None:
    assert Client().get(signed(call))["Location"] == GIVEN
    assert plays() == [("signature", "", "played", "127.0.0.1")]


def test_a_member_hears_it_also_behind_an_old_link(tenant: Tenant, call: Call) -> None:
    assert member(tenant).get(address(call.pk, expires="1", signature="old")).status_code == 302


# --- handing out ----------------------------------------------------------------------------------------------------


def test_the_dialer_gets_a_token_and_a_signed_link(client: APIClient, call: Call) -> None:
    answer = client.post(f"/api/v1/calls/{call.pk}/recording-token/", {"who": "rep@example.com", "seconds": 900})
    told = answer.json()
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    ends = datetime.fromisoformat(told["expires_at"])
    assert timedelta(seconds=890) < ends - timezone.now() <= timedelta(seconds=900)
    for name in ("url", "signed_url"):
        parts = urlsplit(told[name])
        assert Client().get(f"{parts.path}?{parts.query}").status_code == 302
    assert [way for way, *_rest in plays()] == ["token", "signature"]


@pytest.mark.parametrize(
    "body",
    [{"seconds": 24 * 3600 + 1}, {"seconds": 0}, {"seconds": "soon"}, {"who": "x" * 201}, {"who": ["x"]}],
    ids=["too long", "nought", "a word", "a long name", "a list"],
)
def test_what_can_not_be_handed_out_is_refused(client: APIClient, call: Call, body: Any) -> None:
    assert client.post(f"/api/v1/calls/{call.pk}/recording-token/", body).status_code == 400


def test_half_a_character_in_a_name_is_refused(client: APIClient, call: Call) -> None:
    body = b'{"who":"\\ud800x"}'
    place = f"/api/v1/calls/{call.pk}/recording-token/"
    assert client.generic("POST", place, body, content_type="application/json").status_code == 400  # type: ignore[arg-type]  # bytes are taken as they are


def test_a_dialer_gets_no_token_for_another_tenants_call(client: APIClient, stranger: Tenant) -> None:
    theirs = factories.call(stranger)
    assert client.post(f"/api/v1/calls/{theirs.pk}/recording-token/", {}).status_code == 404
    assert client.post(f"/api/v1/calls/{uuid4()}/recording-token/", {}).status_code == 404


def test_a_token_dies_with_the_api_key_that_it_was_made_with(client: APIClient, call: Call) -> None:
    made = client.post(f"/api/v1/calls/{call.pk}/recording-token/", {}).json()["token"]
    with tenancy.everyone():
        ApiKey.objects.update(revoked_at=timezone.now())
    answer = Client().get(address(call.pk, token=made))
    assert (answer.status_code, "withdrawn" in answer.content.decode()) == (403, True)


# --- who doesn't, and what they read --------------------------------------------------------------------------------


def refused(client: Client, url: str) -> tuple[int, str]:
    """Status and title, which the page and the problem have in common."""
    page, problem = client.get(url), client.get(url, headers=JSON)
    told = problem.json()
    assert problem["Content-Type"] == "application/problem+json"
    assert page.status_code == problem.status_code == told["status"]
    text = html.unescape(page.content.decode())
    assert told["title"] in text
    assert "Location" not in page
    assert page["Cache-Control"] == "no-store"
    assert "script-src" not in page["Content-Security-Policy"]
    assert "default-src 'none'" in page["Content-Security-Policy"]
    assert "<script" not in text
    assert "style=" not in text
    assert 'name="viewport"' in text
    return page.status_code, told["title"]


def test_somebody_who_is_not_signed_in_is_asked_to_and_comes_back(tenant: Tenant, call: Call) -> None:
    client = Client()
    assert refused(client, address(call.pk)) == (401, "Log in to hear this recording")
    page = client.get(address(call.pk)).content.decode()
    assert f'href="/admin/login/?next=%2Fapi%2Frecordings%2F{call.pk}%2Fplay"' in page
    factories.tenant_admin(tenant)
    login = f"/admin/login/?next=/api/recordings/{call.pk}/play"
    sent = client.post(login, {"username": "admin-of-acme", "password": factories.PASSPHRASE})
    assert client.get(sent["Location"])["Location"] == GIVEN


def test_the_login_link_carries_no_token(call: Call) -> None:
    assert "broken" not in Client().get(address(call.pk, token="broken")).content.decode()


def test_a_call_that_is_not_there_looks_like_one_that_is_to_whoever_is_not_signed_in(call: Call) -> None:
    known, unknown = Client().get(address(call.pk)), Client().get(address(uuid4()))
    assert known.status_code == unknown.status_code == 401
    for query in ({"token": "x"}, {"expires": "99", "signature": "x"}):
        assert Client().get(address(call.pk, **query)).status_code == 403
        assert Client().get(address(uuid4(), **query)).status_code == 403


def test_a_call_of_another_tenant_looks_like_none(tenant: Tenant, stranger: Tenant) -> None:
    theirs, client = factories.call(stranger), member(tenant)
    told = [refused(client, address(one)) for one in (theirs.pk, uuid4())]
    assert told == [(404, "There is no such call")] * 2
    assert plays() == [("", "", "other_tenant", "192.0.2.7")]


def test_what_names_no_call_has_the_same_page(db: None) -> None:
    assert refused(Client(), "/api/recordings/17/play") == (404, "There is no such call")


def moved(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    later = timezone.now() + timedelta(hours=2)
    monkeypatch.setattr("activities.recordings.timezone.now", lambda: later)


@pytest.mark.parametrize("make", [signed, with_token], ids=["link", "token"])
def test_what_has_expired_says_so(call: Call, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    url = make(call)
    moved(call, monkeypatch)
    assert refused(Client(), url) == (403, "This link has expired")


def test_no_token_and_no_signature_of_one_call_opens_another(tenant: Tenant, call: Call) -> None:
    other = factories.call(tenant)
    for url in (signed(call), with_token(call)):
        assert refused(Client(), url.replace(str(call.pk), str(other.pk))) == (403, "This link is not valid")
    assert {outcome for _way, _who, outcome, _address in plays()} == {"forged"}


def query_of(call: Call) -> dict[str, str]:
    return recordings.link_query(call.pk, recordings.until(600))


TAMPERED = {
    "a later end": lambda q: {**q, "expires": str(int(q["expires"]) + 60)},
    "the same end with a nought before": lambda q: {**q, "expires": "0" + q["expires"]},
    "other digits": lambda q: {**q, "expires": "".join(chr(0x0660 + int(one)) for one in q["expires"])},
    "no end": lambda q: {"signature": q["signature"]},
    "no signature": lambda q: {"expires": q["expires"]},
    "an empty signature": lambda q: {**q, "signature": ""},
    "a cut signature": lambda q: {**q, "signature": q["signature"][:-1]},
    "a colon in the signature": lambda q: {**q, "signature": "x:" + q["signature"]},
    "a NUL": lambda q: {**q, "expires": "%00"},
    "letters": lambda q: {**q, "expires": "never"},
}


@pytest.mark.parametrize("tamper", TAMPERED.values(), ids=TAMPERED)
def test_a_tampered_link_is_refused(call: Call, tamper: Any) -> None:
    assert Client().get(address(call.pk, **query_of(call))).status_code == 302
    assert Client().get(address(call.pk, **tamper(query_of(call)))).status_code in (400, 403)


@pytest.mark.parametrize("position", range(0, 150, 7))
def test_a_token_with_one_other_letter_is_refused(call: Call, position: int) -> None:
    made = recordings.token(call.pk, datetime(2099, 1, 1, tzinfo=UTC), who="rep@example.com")
    at = position % len(made)
    other = made[:at] + ("A" if made[at] != "A" else "B") + made[at + 1 :]
    assert recordings.shown_token(call.pk, other).problem == Outcome.FORGED


def test_what_would_be_good_for_more_than_a_day_is_good_for_nothing(call: Call) -> None:
    far = timezone.now() + timedelta(hours=25)
    assert recordings.shown_token(call.pk, recordings.token(call.pk, far)).problem == Outcome.EXPIRED
    assert recordings.shown_link(call.pk, **recordings.link_query(call.pk, far)).problem == Outcome.EXPIRED


def test_a_call_without_a_recording_has_its_own_page(tenant: Tenant, call: Call) -> None:
    save(call, recording_url="")
    assert refused(member(tenant), address(call.pk)) == (404, "This call has no recording")


def test_a_forgotten_recording_has_its_own_page(tenant: Tenant, call: Call) -> None:
    save(call, recording_url="", recording_purged_at=timezone.now())
    assert refused(member(tenant), address(call.pk)) == (410, "This recording is no longer kept")


def test_an_inactive_tenants_recordings_are_heard_by_nobody(tenant: Tenant, call: Call) -> None:
    with tenancy.everyone():
        Tenant.objects.update(is_active=False)
    assert Client().get(with_token(call)).status_code == 404
    assert member(tenant).get(address(call.pk)).status_code == 404


def test_the_same_refusal_again_and_again_is_noted_once(call: Call) -> None:
    for _time in range(3):
        Client().get(address(call.pk))
    assert plays() == [("", "", "not_signed_in", "127.0.0.1")]


def test_nothing_but_looking_is_allowed(tenant: Tenant, call: Call) -> None:
    client = member(tenant)
    assert [getattr(client, name)(address(call.pk)).status_code for name in ("post", "put", "delete")] == [405] * 3


def test_a_proxys_word_counts_only_behind_one(tenant: Tenant, call: Call, settings: Any) -> None:
    client, told = member(tenant), {"X-Forwarded-For": "198.51.100.1, 203.0.113.9"}
    client.get(address(call.pk), headers=told)
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    client.get(address(call.pk), headers=told)
    assert [one[3] for one in plays()] == ["192.0.2.7", "203.0.113.9"]


# --- where it leads -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stored",
    [
        "http://recordings.example.com/1.mp3",
        "s3://bucket/1.mp3",
        "javascript:alert(1)",
        "https://user:word@example.com/",
        "//x.example/1",
    ],
    ids=["no https", "a bucket", "a script", "a password", "no scheme"],
)
def test_an_address_that_may_not_be_opened_is_a_clear_page(tenant: Tenant, call: Call, stored: str) -> None:
    save(call, recording_url=stored)
    client = member(tenant)
    assert refused(client, address(call.pk)) == (503, "The recording can't be reached at the moment")
    page = client.get(address(call.pk)).content.decode()
    assert f"/admin/activities/callsettings/own/?tenant={tenant.pk}" in page
    assert plays()[0][2] == "storage_problem"


def test_somebody_with_a_token_is_not_told_how_the_storage_is_set_up(call: Call) -> None:
    save(call, recording_url="s3://bucket/1.mp3")
    page = Client().get(with_token(call)).content.decode()
    assert "can&#x27;t be reached" in page
    assert "bucket" not in page


def test_a_long_signed_address_is_given_whole(tenant: Tenant, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    long = "https://cdn.example.com/1.mp3?token=" + "x" * 8_000
    monkeypatch.setattr("activities.recording_views.storage.playable", lambda *_given: long)
    assert member(tenant).get(address(call.pk))["Location"] == long


def test_nothing_of_the_request_decides_where_it_leads(tenant: Tenant, call: Call) -> None:
    evil = "https://evil.example/"
    answer = member(tenant).get(address(call.pk, next=evil, url=evil), headers={"Host": "localhost", "Referer": evil})
    assert answer["Location"] == GIVEN


def test_a_bucket_in_the_settings_is_used_for_a_play(tenant: Tenant, call: Call) -> None:
    save(call, recording_url="s3://calls/x.mp3")
    bucket = {"bucket": "calls", "region": "eu-central-1"}
    factories.call_settings(tenant, recording_storage="s3", recording_settings=bucket)
    found = member(tenant).get(address(call.pk))["Location"]
    assert found.startswith("https://calls.s3.eu-central-1.amazonaws.com/x.mp3?")
    assert factories.CLIENT_SECRET not in found


def test_secrets_that_can_not_be_read_any_more_are_a_clear_page(tenant: Tenant, call: Call) -> None:
    from django.db import connection as database

    factories.call_settings(
        tenant, recording_storage="s3", recording_settings={"bucket": "calls", "region": "eu-central-1"}
    )
    with database.cursor() as cursor:
        cursor.execute("UPDATE call_settings SET recording_secrets = 'gAAAAnot-ours'")
    assert refused(member(tenant), address(call.pk))[0] == 503


# --- what is kept of it ---------------------------------------------------------------------------------------------


def test_a_persons_erasure_takes_the_recording_and_the_listeners_names(tenant: Tenant) -> None:
    person = factories.contact(tenant)
    call = factories.call(tenant, person, recording_url=GIVEN, meeting={"title": "Demo with Grace"})
    silent = factories.call(tenant, person, recording_url="")
    factories.play(call)
    with tenancy.everyone():
        contacts_erased.send(sender=Contact, contact_ids=[person.pk])
        call.refresh_from_db()
        silent.refresh_from_db()
    assert (call.recording_url, call.notes, call.meeting, call.metadata) == ("", "", None, {})
    assert call.recording_purged_at is not None
    assert silent.recording_purged_at is None
    assert plays() == [("member", "", "played", None)]


def test_the_calls_page_leads_through_our_door_and_shows_who_listened(tenant: Tenant, call: Call) -> None:
    client = member(tenant)
    client.get(address(call.pk))
    page = client.get(f"/admin/activities/call/{call.pk}/change/").content.decode()
    assert f'href="/api/recordings/{call.pk}/play"' in page
    assert GIVEN not in page
    assert "192.0.2.7" in page
