"""What opens an alert and what ends it, who hears of it and how often. Time passes by the clock that is given, or by the data."""

import json
import smtplib
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.db import IntegrityError, connections, transaction
from pytest_django import DjangoAssertNumQueries

from integrations import signing, tenancy
from integrations.models import CrmConnection, Tenant
from sync import queue
from sync.alerting import delivering, evaluating, watching, words
from sync.alerting.conditions import find
from sync.models import Alert, AlertDelivery, FeedCursor, Lane, SyncJob, WorkerBeat
from tests import factories

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
SECRET = factories.DIALER_SECRET


@pytest.fixture
def now() -> datetime:
    return factories.now()


@pytest.fixture(autouse=True)
def at_work(db: None) -> WorkerBeat:
    """A worker that will be alive for all of the test."""
    return factories.worker_beat(-2 * timedelta(days=1))


@pytest.fixture
def admin(tenant: Tenant) -> User:
    return factories.tenant_admin(tenant)


@pytest.fixture
def linked(tenant: Tenant) -> CrmConnection:
    """A connection with which all is well."""
    row = factories.connection(tenant, status_since=factories.now() - timedelta(days=30))
    read(row, factories.now() + timedelta(days=2))
    return row


def read(row: CrmConnection, at: datetime) -> None:
    with tenancy.everyone():
        FeedCursor.objects.filter(connection=row).delete()
        factories.cursor(row, complete_at=at)
        FeedCursor.objects.filter(connection=row).update(moved_at=at)


def alerts(**wanted: Any) -> list[Alert]:
    with tenancy.everyone():
        return list(Alert.objects.filter(**wanted).order_by("pk"))


def open_kinds() -> list[str]:
    return sorted(one.kind for one in alerts() if one.is_open)


def deliveries(**wanted: Any) -> list[AlertDelivery]:
    with tenancy.everyone():
        return list(AlertDelivery.objects.filter(**wanted).order_by("created_at", "event"))


def change(row: Any, **fields: Any) -> None:
    with tenancy.everyone():
        type(row)._default_manager.filter(pk=row.pk).update(**fields)


# --- kinds: each opens and ends ---------------------------------------------------------------------------------------


def ended(row: CrmConnection, at: datetime, *, failed: int, done: int, cause: str = "invalid_data") -> None:
    rows = [
        SyncJob(
            tenant_id=row.tenant_id,
            connection=row,
            kind="push",
            key=f"{at.timestamp()}-{number}",
            state="dead" if number < failed else "done",
            cause=cause if number < failed else "",
            finished_at=at,
            created_at=at - SECOND,
        )
        for number in range(failed + done)
    ]
    with tenancy.everyone():
        SyncJob.objects.bulk_create(rows)


def many_errors(row: CrmConnection, now: datetime) -> Callable[[], None]:
    ended(row, now - 50 * MINUTE, failed=6, done=94)
    return lambda: None  # the hour passes


def old_call(row: CrmConnection, now: datetime) -> Callable[[], None]:
    job = factories.job(row, kind="log_call", lane=Lane.CALLS, created_at=now - 6 * MINUTE, not_before=now - 6 * MINUTE)
    return lambda: change(job, state="done", finished_at=now)


def call_that_keeps_being_tried(row: CrmConnection, now: datetime) -> Callable[[], None]:
    job = factories.job(
        row, kind="log_call", lane=Lane.CALLS, created_at=now - 6 * MINUTE, not_before=now + HOUR, attempts=4, cause="x"
    )
    return lambda: change(job, state="done", finished_at=now)


def hung_event(row: CrmConnection, now: datetime) -> Callable[[], None]:
    later = {"state": "leased", "lease_until": now + HOUR}
    job = factories.job(row, kind="fetch", lane=Lane.WEBHOOKS, created_at=now - 6 * MINUTE, **later)
    return lambda: change(job, state="done", finished_at=now)


def open_breaker(row: CrmConnection, now: datetime) -> Callable[[], None]:
    made = factories.breaker(row, opened_at=now, failures=5)
    return lambda: change(made, opened_at=None, failures=0)


def long_queue(row: CrmConnection, now: datetime) -> Callable[[], None]:
    factories.alert_settings(row.tenant, queue_depth=2)
    fresh = now + HOUR  # long, but nothing is late
    made = [factories.job(row, key=f"call-{number}", lane=Lane.CALLS, created_at=fresh) for number in range(2)]
    factories.event(row)
    return lambda: change(made[0], state="done", finished_at=now)


def refused_token(row: CrmConnection, now: datetime) -> Callable[[], None]:
    change(row, status="needs_reconnecting", status_reason="The token was revoked.", status_since=now)
    return lambda: change(row, status="connected", status_since=now)


def silence(row: CrmConnection, now: datetime) -> Callable[[], None]:
    read(row, now - 31 * MINUTE)
    return lambda: read(row, now + timedelta(days=1))


def never_read(row: CrmConnection, now: datetime) -> Callable[[], None]:
    with tenancy.everyone():
        FeedCursor.objects.filter(connection=row).delete()
    change(row, status_since=now - 31 * MINUTE)
    return lambda: read(row, now + timedelta(days=1))


def dead_workers(_row: CrmConnection, now: datetime) -> Callable[[], None]:
    WorkerBeat.objects.update(beaten_at=now - 2 * MINUTE)
    return lambda: change(WorkerBeat.objects.get(), beaten_at=now + timedelta(days=1))


KINDS: list[tuple[str, Callable[..., Callable[[], None]], timedelta, timedelta]] = [
    ("error_rate", many_errors, 0 * MINUTE, 25 * MINUTE),
    ("latency", old_call, 0 * MINUTE, 6 * MINUTE),
    ("latency", call_that_keeps_being_tried, 0 * MINUTE, 6 * MINUTE),
    ("latency", hung_event, 0 * MINUTE, 6 * MINUTE),
    ("breaker", open_breaker, 0 * MINUTE, 6 * MINUTE),
    ("queue", long_queue, 5 * MINUTE, 6 * MINUTE),
    ("reconnect", refused_token, 0 * MINUTE, 0 * MINUTE),
    ("stale", silence, 0 * MINUTE, 0 * MINUTE),
    ("stale", never_read, 0 * MINUTE, 0 * MINUTE),
    ("workers", dead_workers, 2 * MINUTE, 3 * MINUTE),
]


@pytest.mark.parametrize(
    ("kind", "begin", "holds", "clears"), KINDS, ids=[f"{kind}: {begin.__name__}" for kind, begin, *_ in KINDS]
)
def test_each_kind_opens_once_it_has_held_and_ends_once_it_is_gone(
    kind: str,
    begin: Callable[..., Callable[[], None]],
    holds: timedelta,
    clears: timedelta,
    linked: CrmConnection,
    now: datetime,
) -> None:
    evaluating.evaluate(now)
    assert not alerts()
    end = begin(linked, now)
    evaluating.evaluate(now)
    if holds:
        assert not open_kinds()
        evaluating.evaluate(now + holds - SECOND)
        assert not open_kinds()
        evaluating.evaluate(now + holds)
    assert open_kinds() == [kind]
    (row,) = alerts()
    assert (row.tenant_id, row.connection_id) == ((None, None) if kind == "workers" else (linked.tenant_id, linked.pk))
    assert words.say(row).what
    assert words.step(row).url.startswith("/admin/")
    end()
    evaluating.evaluate(now + holds + SECOND)
    assert open_kinds() == ([kind] if clears else [])
    evaluating.evaluate(now + holds + clears + SECOND)
    assert not open_kinds()
    assert [one.kind for one in alerts()] == [kind]


def test_one_failure_in_a_quiet_hour_is_no_alarm(linked: CrmConnection, now: datetime) -> None:
    ended(linked, now - MINUTE, failed=2, done=0)
    evaluating.evaluate(now)
    assert not alerts()


@pytest.mark.parametrize(("failed", "opens"), [(5, False), (6, True)], ids=["just 5 %", "more than 5 %"])
def test_errors_count_from_five_percent_on(failed: int, opens: bool, linked: CrmConnection, now: datetime) -> None:
    ended(linked, now - MINUTE, failed=failed, done=100 - failed)
    evaluating.evaluate(now)
    assert bool(open_kinds()) == opens


def test_an_account_that_was_replaced_leaves_no_errors(linked: CrmConnection, now: datetime) -> None:
    ended(linked, now - MINUTE, failed=50, done=0, cause=queue.FOR_GOOD)
    evaluating.evaluate(now)
    assert not alerts()


def test_what_is_put_off_on_purpose_is_not_late(linked: CrmConnection, now: datetime) -> None:
    factories.job(linked, lane=Lane.EDITS, created_at=now - HOUR, not_before=now + HOUR)
    factories.job(linked, key="load", lane=Lane.BACKFILL, created_at=now - HOUR, not_before=now - HOUR)
    evaluating.evaluate(now)
    assert not alerts()


def test_what_is_tried_again_waits_from_that_moment_on(linked: CrmConnection, now: datetime) -> None:
    job = factories.dead_job(linked, lane=Lane.CALLS, created_at=now - timedelta(days=3), finished_at=now - 2 * HOUR)
    with tenancy.everyone(), transaction.atomic():
        queue.replay(SyncJob.objects.filter(pk=job.pk))
    evaluating.evaluate(now)
    assert not alerts()
    evaluating.evaluate(now + 6 * MINUTE)
    assert open_kinds() == ["latency"]


def test_what_piled_up_in_a_pause_is_late_only_from_its_end_on(linked: CrmConnection, now: datetime) -> None:
    factories.job(linked, lane=Lane.CALLS, created_at=now - HOUR, not_before=now - HOUR)
    change(linked, status_since=now - MINUTE)
    evaluating.evaluate(now)
    assert not alerts()
    evaluating.evaluate(now + 5 * MINUTE)
    assert open_kinds() == ["latency"]


@pytest.mark.parametrize("status", ["paused", "disconnected"])
def test_a_connection_that_somebody_stopped_raises_nothing(status: str, linked: CrmConnection, now: datetime) -> None:
    silence(linked, now)
    old_call(linked, now)
    change(linked, status=status)
    evaluating.evaluate(now)
    assert not alerts()


def test_a_load_that_moves_is_not_silent_however_long_it_takes(linked: CrmConnection, now: datetime) -> None:
    read(linked, now - timedelta(days=1))
    with tenancy.everyone():
        FeedCursor.objects.filter(connection=linked).update(moved_at=now)
    evaluating.evaluate(now)
    assert not alerts()


def test_whoever_has_used_up_the_daily_budget_may_be_silent(linked: CrmConnection, now: datetime) -> None:
    read(linked, now - HOUR)
    change(linked, settings={"daily_budget": 100})
    factories.usage(linked, now, calls=100)
    assert [one.kind for one in find(now)] == []
    change(linked, settings={"daily_budget": 101})
    assert [one.kind for one in find(now)] == ["stale"]


def test_while_the_crm_fails_its_consequences_open_no_alerts(linked: CrmConnection, now: datetime) -> None:
    factories.breaker(linked, opened_at=now, failures=5)
    old_call(linked, now)
    silence(linked, now)
    many_errors(linked, now)
    evaluating.evaluate(now)
    assert open_kinds() == ["breaker"]


# --- one alert at a time ----------------------------------------------------------------------------------------------


def test_an_alert_stays_one_however_often_somebody_looks(linked: CrmConnection, now: datetime, admin: User) -> None:
    open_breaker(linked, now)
    for minutes in range(0, 120, 10):
        evaluating.evaluate(now + minutes * MINUTE)
    assert len(alerts()) == 1
    assert len(deliveries()) == 1


def test_facts_are_those_of_the_last_look(linked: CrmConnection, now: datetime) -> None:
    made = factories.breaker(linked, opened_at=now, failures=5)
    evaluating.evaluate(now)
    change(made, failures=9)
    evaluating.evaluate(now + MINUTE)
    assert alerts()[0].facts["failures"] == 9
    assert alerts()[0].opened_at == now


def test_what_flickers_bothers_nobody_twice(linked: CrmConnection, now: datetime, admin: User) -> None:
    end = refused_token(linked, now)
    at = now
    for _ in range(5):
        evaluating.evaluate(at)
        end()
        evaluating.evaluate(at + 2 * MINUTE)
        at += 4 * MINUTE
        refused_token(linked, now)
    assert len(alerts()) == 1
    assert alerts()[0].reopened == 4
    assert [one.event for one in deliveries()] == ["opened", "resolved"]


def test_what_comes_back_and_lasts_is_told_again(linked: CrmConnection, now: datetime, admin: User) -> None:
    refused_token(linked, now)()
    refused_token(linked, now)
    evaluating.evaluate(now)
    change(linked, status="connected")
    evaluating.evaluate(now + MINUTE)
    change(linked, status="needs_reconnecting")
    evaluating.evaluate(now + 10 * MINUTE)
    evaluating.evaluate(now + 39 * MINUTE)
    assert [one.event for one in deliveries()] == ["opened", "resolved"]
    evaluating.evaluate(now + 41 * MINUTE)
    change(linked, status="connected")
    evaluating.evaluate(now + 50 * MINUTE)
    told = [(one.episode, one.event) for one in deliveries()]
    assert sorted(told) == [(1, "opened"), (1, "resolved"), (2, "opened"), (2, "resolved")]


def test_after_a_quiet_hour_it_is_another_alert(linked: CrmConnection, now: datetime) -> None:
    refused_token(linked, now)
    evaluating.evaluate(now)
    change(linked, status="connected")
    evaluating.evaluate(now + MINUTE)
    change(linked, status="needs_reconnecting")
    evaluating.evaluate(now + 2 * HOUR)
    assert [one.is_open for one in alerts()] == [False, True]


def test_what_never_held_leaves_no_trace(linked: CrmConnection, now: datetime, admin: User) -> None:
    end = long_queue(linked, now)
    evaluating.evaluate(now)
    end()
    evaluating.evaluate(now + MINUTE)
    assert not alerts()
    assert not deliveries()


def test_the_database_lets_one_alert_be_open(linked: CrmConnection) -> None:
    factories.alert(linked)
    with pytest.raises(IntegrityError), transaction.atomic():
        factories.alert(linked)


def test_looking_takes_few_statements_whatever_the_number_of_connections(
    now: datetime, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(30):
        row = factories.connection(factories.tenant(f"tenant-{number}"))
        factories.breaker(row, opened_at=now)
        factories.tenant_admin(row.tenant)
    with django_assert_max_num_queries(14):
        evaluating.evaluate(now)
    assert len(alerts()) == len(deliveries()) == 30
    with django_assert_max_num_queries(9):
        evaluating.evaluate(now + MINUTE)


# --- two at once ------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_two_who_look_at_once_open_one_alert(tenant: Tenant) -> None:
    factories.worker_beat(-timedelta(days=1))
    row = factories.connection(tenant)
    factories.breaker(row, opened_at=factories.now())
    factories.tenant_admin(tenant)
    start = threading.Barrier(4)

    def look() -> None:
        start.wait(5)
        try:
            watching.minute()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=look) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(20)
    assert len(alerts()) == 1
    assert [one.state for one in deliveries()] == ["sent"]
    assert len(mail.outbox) == 1


# --- who hears of it --------------------------------------------------------------------------------------------------


def test_thresholds_are_the_tenants_own(linked: CrmConnection, stranger: Tenant, now: datetime) -> None:
    other = factories.connection(stranger, status_since=now - timedelta(days=9))
    read(other, now + timedelta(days=1))
    factories.alert_settings(stranger, error_rate_percent=50.0, latency_minutes=60)
    for row in (linked, other):
        ended(row, now - MINUTE, failed=10, done=90)
        factories.job(row, lane=Lane.CALLS, created_at=now - 10 * MINUTE, not_before=now - 10 * MINUTE)
    evaluating.evaluate(now)
    assert open_kinds() == ["error_rate", "latency"]
    assert {one.tenant_id for one in alerts()} == {linked.tenant_id}


def test_all_admins_of_the_tenant_hear_of_it_and_nobody_else(
    linked: CrmConnection, stranger: Tenant, tenant: Tenant, admin: User, now: datetime
) -> None:
    factories.tenant_admin(stranger)
    factories.user("looker", tenants=(tenant,))
    factories.user("gone", "Tenant admin", tenants=(tenant,), is_active=False)
    factories.support()
    open_breaker(linked, now)
    evaluating.evaluate(now)
    assert [(one.channel, one.target) for one in deliveries()] == [("mail", admin.email)]


def test_who_hears_of_it_can_be_chosen(linked: CrmConnection, tenant: Tenant, admin: User, now: datetime) -> None:
    people = ["ops@acme.example", admin.email.upper()]
    factories.alert_settings(tenant, mail_admins=False, mail_to=people, webhook_url="")
    open_breaker(linked, now)
    evaluating.evaluate(now)
    assert sorted(one.target for one in deliveries()) == sorted(people)


def test_of_a_quiet_kind_nobody_hears(linked: CrmConnection, tenant: Tenant, admin: User, now: datetime) -> None:
    factories.alert_settings(tenant, quiet_kinds=["breaker"])
    open_breaker(linked, now)
    evaluating.evaluate(now)
    assert open_kinds() == ["breaker"]
    assert not deliveries()


def test_that_nobody_works_is_for_those_who_look_after_the_site(
    admin: User, linked: CrmConnection, now: datetime
) -> None:
    support, root = factories.support(), factories.superuser()
    dead_workers(linked, now)
    evaluating.evaluate(now)
    evaluating.evaluate(now + 2 * MINUTE)
    assert sorted(one.target for one in deliveries()) == sorted([support.email, root.email])
    delivering.deliver()
    assert "start manage.py qcluster" in mail.outbox[0].body.lower()


# --- e-mail -----------------------------------------------------------------------------------------------------------


def test_the_letter_says_what_where_and_what_to_do(
    linked: CrmConnection, admin: User, now: datetime, settings: Any
) -> None:
    settings.PUBLIC_URL = "https://dialbridge.example.com"
    refused_token(linked, now)
    evaluating.evaluate(now)
    assert delivering.deliver() == 1
    (letter,) = mail.outbox
    assert letter.to == [admin.email]
    assert "The CRM no longer accepts our access" in letter.subject
    assert "Acme" in letter.subject
    assert "HubSpot · acme account" in letter.subject
    assert "The token was revoked." in letter.body
    assert (
        "Connect again: https://dialbridge.example.com/admin/integrations/crmconnection/add/?provider=hubspot"
        in letter.body
    )
    assert f"https://dialbridge.example.com/admin/sync/alert/{alerts()[0].pk}/change/" in letter.body


def test_once_it_is_over_one_letter_says_so(linked: CrmConnection, admin: User, now: datetime) -> None:
    refused_token(linked, now)
    evaluating.evaluate(now)
    delivering.deliver()
    change(linked, status="connected")
    for minutes in (1, 2, 30):
        evaluating.evaluate(now + minutes * MINUTE)
        delivering.deliver()
    assert len(mail.outbox) == 2
    assert "Over:" in mail.outbox[1].subject
    assert "The connection is now: Connected." in mail.outbox[1].body
    begin, end = mail.outbox
    assert begin.extra_headers["References"] == end.extra_headers["References"]
    assert begin.extra_headers["Message-ID"] != end.extra_headers["Message-ID"]


def test_times_are_those_of_the_tenant(linked: CrmConnection, tenant: Tenant, admin: User, now: datetime) -> None:
    change(tenant, timezone="Asia/Kolkata")
    row = factories.alert(linked, opened_at=now.replace(year=2026, month=11, day=23, hour=20, minute=40))
    assert "11/24/2026 2:10 a.m. (Asia/Kolkata)" in words.letter(row_of(row), "opened").text


def row_of(alert: Alert) -> Alert:
    with tenancy.everyone():
        found: Alert = Alert.objects.select_related("tenant", "connection__tenant").get(pk=alert.pk)
        return found


def test_a_line_break_in_a_name_is_no_header(linked: CrmConnection, admin: User, now: datetime) -> None:
    change(linked, account_name="Acme\r\nBcc: everybody@example.com")
    open_breaker(linked, now)
    evaluating.evaluate(now)
    assert delivering.deliver() == 1
    assert mail.outbox[0].message()["Bcc"] is None


def test_without_e_mail_on_the_site_the_notice_says_so(
    linked: CrmConnection, admin: User, now: datetime, settings: Any
) -> None:
    settings.EMAIL_IS_SET_UP = False
    open_breaker(linked, now)
    evaluating.evaluate(now)
    delivering.deliver()
    assert "EMAIL_URL" in deliveries()[0].error
    assert deliveries()[0].state == "ready"


class Refusing:
    """A mail server that refuses."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    error: Exception = smtplib.SMTPServerDisconnected("away")

    def send_messages(self, _messages: Any) -> int:
        raise self.error


def test_a_letter_is_tried_for_a_day_and_then_given_up(
    linked: CrmConnection, admin: User, now: datetime, settings: Any
) -> None:
    settings.EMAIL_BACKEND = f"{__name__}.Refusing"
    open_breaker(linked, now)
    evaluating.evaluate(now)
    waited = timedelta(0)
    for _ in range(len(delivering.WAITS)):
        assert delivering.deliver() == 0
        (row,) = deliveries()
        assert row.state == "ready"
        waited += row.not_before - factories.now()
        change(row, not_before=factories.now())
    assert timedelta(hours=20) < waited < timedelta(hours=24)
    delivering.deliver()
    (row,) = deliveries()
    assert (row.state, row.attempts) == ("dead", len(delivering.WAITS) + 1)
    assert "SMTPServerDisconnected" in row.error


def test_an_address_that_does_not_exist_is_given_up_at_once(
    linked: CrmConnection, admin: User, now: datetime, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EMAIL_BACKEND = f"{__name__}.Refusing"
    monkeypatch.setattr(Refusing, "error", smtplib.SMTPRecipientsRefused({admin.email: (550, b"unknown")}))
    open_breaker(linked, now)
    evaluating.evaluate(now)
    delivering.deliver()
    assert deliveries()[0].state == "dead"


def test_that_it_is_over_is_never_told_before_that_it_began(
    linked: CrmConnection, admin: User, now: datetime, settings: Any
) -> None:
    backend, settings.EMAIL_BACKEND = settings.EMAIL_BACKEND, f"{__name__}.Refusing"
    refused_token(linked, now)
    evaluating.evaluate(now)
    delivering.deliver()
    settings.EMAIL_BACKEND = backend
    change(linked, status="connected")
    evaluating.evaluate(now + MINUTE)
    assert delivering.deliver() == 0
    change(deliveries(event="opened")[0], not_before=factories.now())
    assert delivering.deliver() == 2
    assert ["Over" in one.subject for one in mail.outbox] == [False, True]


# --- webhook ----------------------------------------------------------------------------------------------------------


class Hook(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.heard: list[tuple[dict[str, str], bytes]] = []
        self.status = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/alerts"


class _Handler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def hook(settings: Any) -> Iterator[Hook]:
    server = Hook()
    settings.CRM_ALLOWED_HOSTS = [f"127.0.0.1:{server.server_port}"]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(5)


def test_the_webhook_is_signed_and_says_all(hook: Hook, linked: CrmConnection, tenant: Tenant, now: datetime) -> None:
    factories.alert_settings(tenant, webhook_url=hook.url)
    open_breaker(linked, now)
    evaluating.evaluate(now)
    assert delivering.deliver() == 1
    evaluating.evaluate(now + MINUTE)
    assert delivering.deliver() == 0
    ((headers, body),) = hook.heard
    moment = int(headers["webhook-timestamp"])
    assert headers["webhook-signature"] == signing.signature(SECRET, headers["webhook-id"], moment, body)
    said = json.loads(body)
    assert said["type"] == "alert.opened"
    assert said["data"]["kind"] == "breaker"
    assert said["data"]["tenant"] == "acme"
    assert said["data"]["next_step"]["url"].endswith(f"/admin/integrations/crmconnection/{linked.pk}/test/")


def test_a_webhook_that_refuses_is_tried_again_under_the_same_id(
    hook: Hook, linked: CrmConnection, tenant: Tenant, now: datetime
) -> None:
    factories.alert_settings(tenant, webhook_url=hook.url)
    open_breaker(linked, now)
    evaluating.evaluate(now)
    hook.status = 500
    delivering.deliver()
    (row,) = deliveries()
    assert (row.state, row.status) == ("ready", 500)
    assert delivering.deliver() == 0
    hook.status = 204
    change(row, not_before=factories.now())
    assert delivering.deliver() == 1
    assert len({headers["webhook-id"] for headers, _body in hook.heard}) == 1
    assert deliveries()[0].state == "sent"


def test_one_address_in_trouble_holds_up_no_other(
    hook: Hook, linked: CrmConnection, tenant: Tenant, admin: User, now: datetime
) -> None:
    factories.alert_settings(tenant, webhook_url=hook.url)
    hook.status = 503
    open_breaker(linked, now)
    evaluating.evaluate(now)
    delivering.deliver()
    assert len(mail.outbox) == 1


def test_an_address_that_was_changed_gets_nothing_any_more(
    hook: Hook, linked: CrmConnection, tenant: Tenant, now: datetime
) -> None:
    own = factories.alert_settings(tenant, webhook_url=hook.url)
    open_breaker(linked, now)
    evaluating.evaluate(now)
    change(own, webhook_url="https://other.example.com/")
    delivering.deliver()
    assert not hook.heard
    assert (deliveries()[0].state, deliveries()[0].error) == ("dead", delivering.CHANGED)


def test_nothing_is_posted_into_our_own_network(linked: CrmConnection, tenant: Tenant, now: datetime) -> None:
    factories.alert_settings(tenant, webhook_url="https://169.254.169.254/latest/")
    open_breaker(linked, now)
    evaluating.evaluate(now)
    delivering.deliver()
    assert "not on the public internet" in deliveries()[0].error


# --- who looks --------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_when_nobody_works_the_web_looks_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    WorkerBeat.objects.all().delete()
    root = factories.superuser()
    site = Alert(kind="workers", severity="bad", facts={"last": ""})
    site.seen_since = site.last_seen_at = factories.now() - 3 * MINUTE
    with tenancy.everyone():
        site.save()
    monkeypatch.setattr(watching, "_next_look", 0.0)
    thread = watching.look_if_nobody_works()
    assert thread is not None
    thread.join(20)
    assert [one.to for one in mail.outbox] == [[root.email]]
    assert watching.look_if_nobody_works() is None, "at most once a minute"


def test_while_somebody_works_the_web_does_not_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_next_look", 0.0)
    assert watching.look_if_nobody_works() is None


def test_old_alerts_are_forgotten_and_open_ones_stay(linked: CrmConnection, now: datetime) -> None:
    long_ago = now - timedelta(days=500)
    factories.alert(linked, opened_at=long_ago, resolved_at=long_ago)
    still = factories.alert(linked, kind="queue", facts={"waiting": 9, "limit": 2}, opened_at=long_ago)
    watching.forget()
    assert [one.pk for one in alerts()] == [still.pk]


def test_an_alert_goes_with_its_connection(linked: CrmConnection, now: datetime) -> None:
    factories.alert_delivery(factories.alert(linked))
    with tenancy.everyone():
        linked.delete()
    assert not alerts()
