"""What is forgotten for its age, here and in the CRMs, and what stays."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from activities import retention
from activities.models import Call, CallSettings, RetentionRun
from activities.targets import KIND
from integrations import tenancy
from integrations.models import CrmConnection, Tenant
from integrations.records.activities import CallActivity
from integrations.records.remote import Written
from sync.models import Contact, Lane, SyncJob, SyncRecord
from sync.schedules import SCHEDULES
from sync.work import work
from tests import factories
from tests.fake_crm.provider import Provider

URL = "/api/v1/calls/"


def call(owner: Tenant, days_ago: float, **fields: Any) -> Call:
    return factories.call(owner, started_at=timezone.now() - timedelta(days=days_ago), summary="They spoke.", **fields)


def decide(owner: Tenant, **fields: Any) -> CallSettings:
    with tenancy.everyone():
        row: CallSettings = CallSettings.objects.create(tenant=owner, **fields)
    return row


def read(one: Call) -> Call:
    with tenancy.everyone():
        found: Call = Call.objects.get(pk=one.pk)
    return found


def runs() -> list[tuple[int, int, int]]:
    with tenancy.everyone():
        return list(RetentionRun.objects.order_by("pk").values_list("recordings", "texts", "in_crms"))


def test_old_recordings_are_forgotten_and_young_ones_stay(tenant: Tenant) -> None:
    decide(tenant, recordings_kept_days=30)
    old, young = call(tenant, 31), call(tenant, 29)
    retention.forget_for_all()
    gone, kept = read(old), read(young)
    assert (gone.recording_url, kept.recording_url) == ("", young.recording_url)
    assert gone.recording_purged_at is not None
    assert kept.recording_purged_at is None
    assert (gone.notes, gone.summary) == (old.notes, old.summary)
    assert (gone.revision, kept.revision) == (2, 1)
    assert runs() == [(1, 0, 0)]


def test_old_texts_are_forgotten_and_figures_stay(tenant: Tenant) -> None:
    decide(tenant, texts_kept_days=30)
    old, young = call(tenant, 31), call(tenant, 29)
    retention.forget_for_all()
    gone, kept = read(old), read(young)
    assert (gone.notes, gone.summary, gone.key_points, gone.next_steps) == ("", "", [], [])
    assert gone.texts_purged_at is not None
    assert (gone.disposition, gone.duration_seconds, gone.metadata) == ("Connected", 342, {"ai_score": 87})
    assert gone.recording_url == old.recording_url
    assert (kept.notes, kept.texts_purged_at) == (young.notes, None)
    assert runs() == [(0, 1, 0)]


def test_a_second_run_finds_nothing(tenant: Tenant) -> None:
    decide(tenant, recordings_kept_days=1, texts_kept_days=1)
    old = call(tenant, 2)
    retention.forget_for_all()
    first = read(old)
    retention.forget_for_all()
    assert read(old).recording_purged_at == first.recording_purged_at
    assert runs() == [(1, 1, 0), (0, 0, 0)]


def test_who_decided_nothing_loses_nothing(tenant: Tenant, stranger: Tenant) -> None:
    decide(tenant)
    decide(stranger, recordings_kept_days=1, texts_kept_days=1)
    ours, theirs = call(tenant, 4000), call(stranger, 2)
    retention.forget_for_all()
    assert read(ours).recording_url == ours.recording_url
    assert read(theirs).recording_url == ""
    assert runs() == [(1, 1, 0)]


def test_a_time_longer_than_the_calendar_forgets_nothing(tenant: Tenant) -> None:
    decide(tenant, recordings_kept_days=2_000_000)
    old = call(tenant, 4000)
    retention.forget_for_all()
    assert read(old).recording_url


def test_many_calls_cost_statements_by_the_batch(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 50)
    decide(tenant, recordings_kept_days=1, texts_kept_days=1, forget_in_crms=True)
    for _number in range(120):
        call(tenant, 2)
    with CaptureQueriesContext(
        database,
    ) as statements:
        retention.forget_for_all()
    assert runs() == [(120, 120, 0)]
    assert len(statements) <= 6 * 6 + 10


def test_what_is_said_again_is_there_until_the_next_night(client: APIClient, tenant: Tenant) -> None:
    decide(tenant, texts_kept_days=1)
    old = call(tenant, 2)
    retention.forget_for_all()
    client.patch(f"{URL}{old.pk}/", {"notes": "Once more."})
    assert (read(old).notes, read(old).texts_purged_at) == ("Once more.", None)
    retention.forget_for_all()
    assert read(old).notes == ""


def test_old_runs_are_forgotten_too(tenant: Tenant) -> None:
    decide(tenant, texts_kept_days=1)
    with tenancy.everyone():
        RetentionRun.objects.create(tenant=tenant, at=timezone.now() - timedelta(days=500), texts=7)
    retention.forget_for_all()
    assert runs() == [(0, 0, 0)]


def test_it_happens_every_night() -> None:
    assert SCHEDULES["Forget what is too old"]["func"] == "activities.retention.forget_for_all"
    assert SCHEDULES["Forget what is too old"]["schedule_type"] == "D"


# --- in the CRMs ----------------------------------------------------------------------------------------------------


@pytest.fixture
def logged(client: APIClient, contact: Contact, connection: CrmConnection, body: Any) -> Call:
    """A call of long ago that is in the CRM, with its notes."""
    client.post(URL, {**body, "started_at": "2020-01-21T14:30:00Z"})
    with tenancy.scope(connection.tenant_id):
        work(connection.pk)
        made: Call = Call.objects.get()
    return made


def test_the_crms_notes_stay_unless_the_tenant_says_so(tenant: Tenant, connection: CrmConnection, logged: Call) -> None:
    decide(tenant, texts_kept_days=30)
    retention.forget_for_all()
    with tenancy.everyone():
        assert not SyncJob.objects.filter(kind=KIND, state="ready").exists()


def test_the_crms_activity_is_shortened_in_place(
    tenant: Tenant, connection: CrmConnection, logged: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[CallActivity] = []

    def log_calls(_self: Any, calls: Sequence[CallActivity]) -> list[Written]:
        written.extend(calls)
        return [Written(one.key, one.crm_record_id) for one in calls]

    monkeypatch.setattr(Provider, "log_calls", log_calls)
    decide(tenant, texts_kept_days=30, forget_in_crms=True)
    retention.forget_for_all()
    assert runs() == [(0, 1, 1)]
    with tenancy.everyone():
        job = SyncJob.objects.get(kind=KIND, state="ready")
        assert (job.local_record_id, job.lane) == (logged.pk, Lane.BACKFILL)
        work(connection.pk)
        job.refresh_from_db()
        link = SyncRecord.objects.get(local_record_id=logged.pk)
    assert job.state == "done"
    assert [one.crm_record_id for one in written] == [link.crm_record_id]
    assert "Wants a demo" not in written[0].notes
    assert "Duration" in written[0].notes


@pytest.mark.parametrize(
    ("also_there", "said", "keeps"),
    [
        (False, {"metadata": {"ai_score": 91}}, True),
        (False, {"notes": "Said once more."}, False),
        (True, {"metadata": {"ai_score": 91}}, False),
    ],
    ids=["a score", "new notes", "a score, and the CRM is to forget too"],
)
def test_a_stage_after_the_forgetting_leaves_the_crms_note_unless_it_brings_one(
    client: APIClient, tenant: Tenant, connection: CrmConnection, logged: Call, monkeypatch: pytest.MonkeyPatch,
    also_there: bool, said: dict[str, Any], keeps: bool,
) -> None:  # fmt: skip
    written: list[CallActivity] = []

    def log_calls(_self: Any, calls: Sequence[CallActivity]) -> list[Written]:
        written.extend(calls)
        return [Written(one.key, one.crm_record_id) for one in calls]

    monkeypatch.setattr(Provider, "log_calls", log_calls)
    decide(tenant, texts_kept_days=30, forget_in_crms=also_there)
    retention.forget_for_all()
    assert client.patch(f"{URL}{logged.pk}/", said).status_code == 200
    with tenancy.scope(connection.tenant_id):
        work(connection.pk)
    assert [one.keeps_text for one in written] == [keeps]
    assert "Wants a demo" not in written[0].notes


# --- the page -------------------------------------------------------------------------------------------------------

FORM = {
    "unknown_outbound": "review", "unknown_inbound": "create", "recording_storage": "s3", "link_seconds": "900", "bucket": "calls",
    "region": "eu-central-1", "endpoint": "", "addressing": "", "access_key_id": "AKIDEXAMPLE", "secret_access_key": "very-secret",
    "signer_url": "", "signer_secret": "", "recordings_kept_days": "90", "texts_kept_days": "", "forget_in_crms": "on",
}  # fmt: skip
OWN = "/admin/activities/callsettings/own/"


@pytest.fixture
def person(tenant: Tenant) -> Client:
    browser = Client()
    browser.force_login(User.objects.get(pk=factories.tenant_admin(tenant).pk))
    return browser


def settings_of(owner: Tenant) -> CallSettings:
    with tenancy.everyone():
        found: CallSettings = CallSettings.objects.get(tenant=owner)
    return found


def test_the_menu_leads_to_the_form_and_then_to_the_tenants_own_row(person: Client, tenant: Tenant) -> None:
    first = person.get(OWN)
    assert first["Location"].startswith("/admin/activities/callsettings/add/")
    assert person.post(first["Location"], FORM).status_code == 302
    row = settings_of(tenant)
    assert (row.recording_storage, row.recordings_kept_days, row.forget_in_crms, row.unknown_inbound) == (
        "s3",
        90,
        True,
        "create",
    )
    assert row.recording_settings == {"bucket": "calls", "region": "eu-central-1"}
    assert row.recording_secrets == {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "very-secret"}
    assert person.get(OWN)["Location"] == f"/admin/activities/callsettings/{row.pk}/change/"


def test_a_secret_is_never_shown_and_stays_when_left_empty(person: Client, tenant: Tenant) -> None:
    person.post(person.get(OWN)["Location"], FORM)
    page = person.get(OWN, follow=True)
    shown = page.content.decode()
    assert "very-secret" not in shown
    assert "AKIDEXAMPLE" not in shown
    assert "One is stored. Empty: it stays." in shown
    again = {**FORM, "access_key_id": "", "secret_access_key": "", "bucket": "others"}
    assert person.post(page.redirect_chain[-1][0], again).status_code == 302
    row = settings_of(tenant)
    assert row.recording_settings["bucket"] == "others"
    assert row.recording_secrets == {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "very-secret"}


WRONG = {
    "no bucket": ({"bucket": ""}, "This storage needs it."),
    "no keys": ({"secret_access_key": ""}, "This storage needs it."),
    "an endpoint without https": ({"endpoint": "http://store.example.com"}, "has to begin with https://"),
    "a signer inside": (
        {"recording_storage": "signer", "signer_url": "https://10.0.0.1/", "signer_secret": "x"}, "not on the public internet"
    ),
    "a signer without a secret": (
        {"recording_storage": "signer", "signer_url": "https://d.example.com/"}, "This storage needs it."
    ),
    "nought days": ({"recordings_kept_days": "0"}, "At least one day"),
    "too many days": ({"texts_kept_days": "99999999"}, "36500"),
    "a link of a week": ({"link_seconds": "604800"}, "86400"),
}  # fmt: skip


@pytest.mark.parametrize(("said", "told"), WRONG.values(), ids=WRONG)
def test_the_form_says_what_is_wrong(person: Client, tenant: Tenant, said: dict[str, str], told: str) -> None:
    answer = person.post(person.get(OWN)["Location"], {**FORM, **said})
    assert (answer.status_code, told in answer.content.decode()) == (200, True)
    with tenancy.everyone():
        assert not CallSettings.objects.exists()


def test_the_page_opens_although_its_secrets_can_not_be_read(person: Client, tenant: Tenant) -> None:
    row = factories.call_settings(tenant)
    with database.cursor() as cursor:
        cursor.execute("UPDATE call_settings SET recording_secrets = 'gAAAAnot-ours'")
    page = f"/admin/activities/callsettings/{row.pk}/change/"
    assert person.get(page).status_code == 200
    assert person.post(page, FORM).status_code == 302
    assert settings_of(tenant).recording_secrets["secret_access_key"] == "very-secret"


def test_who_may_see_several_tenants_gets_the_list_or_the_named_one(tenant: Tenant) -> None:
    row = factories.call_settings(tenant)
    browser = Client()
    browser.force_login(factories.support())
    assert browser.get(OWN)["Location"] == "/admin/activities/callsettings/"
    assert browser.get(f"{OWN}?tenant=nobody")["Location"] == "/admin/activities/callsettings/"
    assert browser.get(f"{OWN}?tenant={tenant.pk}")["Location"] == f"/admin/activities/callsettings/{row.pk}/change/"


def test_the_other_tenants_settings_are_not_there(person: Client, stranger: Tenant) -> None:
    theirs = factories.call_settings(stranger)
    assert person.get(f"/admin/activities/callsettings/{theirs.pk}/change/").status_code == 404
    assert person.get(f"{OWN}?tenant={stranger.pk}")["Location"].startswith("/admin/activities/callsettings/add/")


def test_what_was_forgotten_stands_on_the_page(person: Client, tenant: Tenant) -> None:
    row = decide(tenant, recordings_kept_days=1)
    page = f"/admin/activities/callsettings/{row.pk}/change/"
    assert "Nothing has been looked at yet" in person.get(page).content.decode()
    call(tenant, 2)
    retention.forget_for_all()
    shown = person.get(page).content.decode()
    assert "What was forgotten" in shown
    assert "/admin/activities/retentionrun/" in shown


# --- testing the storage --------------------------------------------------------------------------------------------


def told_by_the_test(person: Client, row: CallSettings) -> str:
    page = person.get(f"/admin/activities/callsettings/{row.pk}/change/").content.decode()
    address = next(part for part in page.split('"') if part.endswith("/test-storage/") or "test_storage" in part)
    assert "Test it" in person.get(address).content.decode()
    answer = person.post(address, follow=True)
    return " ".join(str(one) for one in answer.context["messages"])


def test_a_storage_is_tested_with_the_newest_recording(
    person: Client, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    from activities import admin_settings
    from integrations.outside import Answer

    row = factories.call_settings(tenant)
    assert "No call has a recording yet" in told_by_the_test(person, row)
    made = call(tenant, 1)
    asked: list[str] = []

    def fetch(method: str, url: str, **said: Any) -> Answer:
        asked.append(f"{method} {url} {said['headers']}")
        return Answer(206, b"x")

    monkeypatch.setattr(admin_settings, "fetch", fetch)
    assert "It works" in told_by_the_test(person, row)
    assert asked == [f"GET {made.recording_url} {{'Range': 'bytes=0-0'}}"]
    monkeypatch.setattr(admin_settings, "fetch", lambda *_a, **_k: Answer(403, b""))
    assert "does not accept the keys" in told_by_the_test(person, row)
    with tenancy.everyone():
        CallSettings.objects.update(recording_storage="s3")
    assert "not set up completely: bucket" in told_by_the_test(person, row)
