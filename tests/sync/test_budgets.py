"""Each kind of work has its share of a connection's quotas, and what can wait stops at the limits of the day."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection as database
from django.test import Client
from django.utils import timezone

from integrations import errors, tenancy
from integrations.models import ApiUsage, CrmConnection, RateWindow, Tenant
from integrations.records.limits import RateHint, RateLimit
from integrations.sandbox.server import SandboxServer
from integrations.transport import limits, usage
from integrations.transport.client import CrmApi, Patience
from sync import budgets, health, lanes, queue
from sync.models import Lane, SyncJob
from sync.pull import pull
from sync.work import work
from tests import factories
from tests.admin.pages import page
from tests.fake_crm.provider import Provider

QUICK = Patience(turn=0.0, retry=0.0)
WINDOW = RateLimit("b", 100, 60.0)
NOW = datetime(2026, 3, 10, 14, 30, tzinfo=UTC)
RESERVED = 2
"""Of a hundred, for what must not wait."""


def taken(row: CrmConnection, lane: Lane, limit: RateLimit = WINDOW) -> int:
    """How many requests of this lane get out now."""
    share, count = lanes.SHARES[lane], 0
    while limits.take(str(row.pk), [limit], max_wait=0, urgent=lane == Lane.DO_NOT_CALL, share=share).wait >= 0:
        count += 1
    return count


def budget(row: CrmConnection, calls: int) -> None:
    with tenancy.everyone():
        budgets.set_budget(row, calls)


def used(row: CrmConnection, calls: int, hour: datetime | None = None, /, **works: int) -> ApiUsage:
    hour = (hour or timezone.now()).replace(minute=0, second=0, microsecond=0)
    with tenancy.everyone():
        return ApiUsage.objects.create(connection=row, hour=hour, calls=calls, works=works or {"calls": calls})


def ask(row: CrmConnection, lane: Lane) -> int:
    row.refresh_from_db()
    patience = lanes.patience_for(lane, QUICK)
    return CrmApi(row.pk, Provider, row.settings, patience).request("GET", "/me").status_code


def told(row: CrmConnection, remaining: int, ago: timedelta = timedelta()) -> None:
    limits.learn(str(row.pk), [RateHint("daily", limit=1000, seconds=86_400, remaining=remaining)])
    RateWindow.objects.filter(key=limits.bucket_key(str(row.pk), "daily")).update(seen_at=timezone.now() - ago)


# --- shares of a window -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lane", "most"),
    [
        (Lane.BACKFILL, 70),
        (Lane.WEBHOOKS, 85),
        (Lane.EDITS, 95),
        (Lane.CALLS, 100 - RESERVED),
        (Lane.DO_NOT_CALL, 100),
    ],
    ids=lambda value: value.name if isinstance(value, Lane) else str(value),
)
def test_a_lane_fills_a_window_up_to_its_share_also_when_nobody_else_waits(
    connection: CrmConnection, lane: Lane, most: int
) -> None:
    assert taken(connection, lane) == most


def test_what_loads_leave_is_there_for_each_more_urgent_lane(connection: CrmConnection) -> None:
    order = (Lane.BACKFILL, Lane.WEBHOOKS, Lane.EDITS, Lane.CALLS, Lane.DO_NOT_CALL)
    assert [taken(connection, lane) for lane in order] == [70, 15, 10, 3, RESERVED]


def test_a_window_that_urgent_work_has_filled_is_closed_to_loads(connection: CrmConnection) -> None:
    assert taken(connection, Lane.CALLS) == 98
    assert taken(connection, Lane.BACKFILL) == 0


def test_calls_and_edits_use_at_least_95_percent_of_a_window(connection: CrmConnection) -> None:
    assert taken(connection, Lane.EDITS) >= 95
    other = RateLimit("other", 200, 60.0)
    assert taken(connection, Lane.CALLS, other) >= 190


def test_even_the_smallest_quota_lets_a_load_through(connection: CrmConnection) -> None:
    assert taken(connection, Lane.BACKFILL, RateLimit("tiny", 1, 60.0)) == 1


def test_a_load_goes_on_when_its_share_of_the_window_is_free_again(connection: CrmConnection) -> None:
    brief, share = RateLimit("brief", 10, 5.0), lanes.SHARES[Lane.BACKFILL]
    waits = [limits.take(str(connection.pk), [brief], max_wait=60, share=share).wait for _ in range(9)]
    assert waits[:7] == pytest.approx([0] * 7, abs=0.2)
    assert waits[7:] == pytest.approx([5, 5], abs=0.3)


def test_processes_of_the_version_before_still_find_their_function(connection: CrmConnection) -> None:
    key = limits.bucket_key(str(connection.pk), "b")
    with database.cursor() as cursor:
        cursor.execute("SELECT dialbridge_take_slot(%s, %s, 100, 60, 0)", [key, connection.pk])
        assert cursor.fetchone() == (0.0,)


def test_a_pull_counts_and_is_limited_as_a_load(connection: CrmConnection, fake_crm: SandboxServer) -> None:
    with tenancy.scope(connection.tenant_id):
        connection.settings = {"rate_limits": {"default": [10, 60]}}
        connection.save()
        fake_crm.service.store.put("people", "1", {"id": "1", "first": "Ada", "last": "Lovelace", "at": 1})
        for _ in range(7):
            limits.take(str(connection.pk), [RateLimit("default", 10, 60.0)], max_wait=0)
        assert pull(connection, "people", QUICK).wait > 0
        assert CrmApi(connection.pk, Provider, connection.settings, QUICK).request("GET", "/me").status_code == 200


# --- shared buckets ------------------------------------------------------------------------------------------------------


def test_what_is_learned_and_closed_of_a_shared_bucket_holds_for_all(connection: CrmConnection) -> None:
    shared = RateLimit("everybody", 100, 60.0, shared=True)
    limits.learn(str(connection.pk), [RateHint("everybody", limit=3, seconds=60.0)], shared={"everybody"})
    assert RateWindow.objects.get().key == "shared:everybody"
    another = factories.connection(connection.tenant, provider="hubspot")
    assert taken(another, Lane.CALLS, shared) == 3
    limits.close(str(connection.pk), ["everybody"], 500, shared={"everybody"})
    assert limits.take(str(another.pk), [shared], max_wait=600).wait == pytest.approx(500, abs=1)


def test_a_429_on_a_shared_bucket_closes_it_for_every_connection(
    connection: CrmConnection, fake_crm: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = RateLimit("everybody", 100, 10.0, shared=True)
    monkeypatch.setattr(Provider, "default_limits", (*Provider.default_limits, shared))
    spent = RateHint("everybody", limit=100, seconds=10.0, remaining=0)
    monkeypatch.setattr(Provider, "rate_hints", classmethod(lambda _cls, _answer, _counted: [spent]))
    fake_crm.service.faults.set([{"kind": "status", "status": 429, "match": "GET /me"}])
    with pytest.raises(errors.Throttled):
        ask(connection, Lane.CALLS)
    assert RateWindow.objects.get(key="shared:everybody").blocked_until > timezone.now().timestamp()


# --- the day ---------------------------------------------------------------------------------------------------------------


STOPS: dict[Lane, bool] = {
    Lane.DO_NOT_CALL: False,
    Lane.CALLS: False,
    Lane.EDITS: False,
    Lane.WEBHOOKS: False,
    Lane.BACKFILL: True,
}


@pytest.mark.parametrize("lane", STOPS, ids=lambda lane: lane.name)
def test_only_loads_stop_at_the_daily_budget(connection: CrmConnection, fake_crm: SandboxServer, lane: Lane) -> None:
    budget(connection, 10)
    used(connection, 9)
    assert ask(connection, lane) == 200, "the tenth"
    if STOPS[lane]:
        with pytest.raises(errors.Throttled, match="daily budget") as stopped:
            ask(connection, lane)
        assert stopped.value.cause == "daily_budget"
        assert 0 < (stopped.value.after or 0) <= 900
    else:
        assert ask(connection, lane) == 200


@pytest.mark.parametrize(
    ("lane", "still", "no_more"),
    [(Lane.BACKFILL, 201, 200), (Lane.WEBHOOKS, 151, 150), (Lane.EDITS, 51, 50), (Lane.CALLS, 1, None)],
    ids=["loads at 80 %", "fetches at 85 %", "edits at 95 %", "calls never"],
)
def test_the_end_of_the_crms_own_daily_quota_is_kept_for_what_is_urgent(
    connection: CrmConnection, fake_crm: SandboxServer, lane: Lane, still: int, no_more: int | None
) -> None:
    told(connection, still)
    assert ask(connection, lane) == 200
    told(connection, no_more or 0)
    if no_more is None:
        assert ask(connection, lane) == 200
    else:
        with pytest.raises(errors.Throttled) as stopped:
            ask(connection, lane)
        assert stopped.value.cause == "daily_quota"


def test_a_daily_quota_that_was_told_long_ago_is_looked_at_again(
    connection: CrmConnection, fake_crm: SandboxServer
) -> None:
    told(connection, 0, ago=timedelta(minutes=61))
    assert ask(connection, Lane.BACKFILL) == 200


def test_yesterdays_requests_do_not_count(connection: CrmConnection, fake_crm: SandboxServer) -> None:
    budget(connection, 5)
    used(connection, 500, timezone.now() - timedelta(hours=25))
    assert ask(connection, Lane.BACKFILL) == 200


@pytest.mark.parametrize(
    ("zone", "began", "ends"),
    [
        ("UTC", "2026-03-10T00:00", "2026-03-11T00:00"),
        ("America/New_York", "2026-03-10T04:00", "2026-03-11T04:00"),
        ("Asia/Tokyo", "2026-03-09T15:00", "2026-03-10T15:00"),
        ("Asia/Kolkata", "2026-03-09T18:30", "2026-03-10T18:30"),
        ("Nowhere/At all", "2026-03-10T00:00", "2026-03-11T00:00"),
    ],
)
def test_the_day_is_that_of_the_tenant(zone: str, began: str, ends: str) -> None:
    assert [f"{one:%Y-%m-%dT%H:%M}" for one in usage.day_of(zone, NOW)] == [began, ends]


def test_the_day_on_which_clocks_change_has_23_hours() -> None:
    began, ends = usage.day_of("Europe/Berlin", datetime(2026, 3, 29, 12, tzinfo=UTC))
    assert ends - began == timedelta(hours=23)


@pytest.mark.parametrize("value", [None, 0, -5, "many", True, 1.5], ids=str)
def test_a_budget_that_is_no_number_of_requests_is_none(value: Any) -> None:
    assert usage.budget_of({"daily_budget": value}) is None


def test_requests_are_counted_by_kind_of_work(connection: CrmConnection, fake_crm: SandboxServer) -> None:
    for lane in (Lane.CALLS, Lane.CALLS, Lane.BACKFILL):
        ask(connection, lane)
    CrmApi(connection.pk, Provider, {}, QUICK).request("GET", "/me")
    row = ApiUsage.objects.get()
    assert row.works == {"calls": 2, "backfill": 1, "other": 1}
    assert row.calls == 4


def test_a_job_that_the_budget_stops_waits_without_counting_and_goes_on_when_it_is_raised(
    connection: CrmConnection, fake_crm: SandboxServer
) -> None:
    budget(connection, 1)
    used(connection, 1)
    with tenancy.scope(connection.tenant_id):
        queue.enqueue(
            [SyncJob(tenant_id=connection.tenant_id, connection=connection, kind="pull", key="people", lane=40)]
        )
        work(connection.pk)
        job = SyncJob.objects.get()
        assert (job.state, job.attempts) == ("ready", 0)
        assert job.not_before > timezone.now()
        budget(connection, 100)
        work(connection.pk)
        assert SyncJob.objects.get().state == "done"


@pytest.mark.parametrize("command", ["sync_now", "reconcile"])
def test_a_command_says_that_it_is_over_for_today_and_does_not_wait(
    connection: CrmConnection, fake_crm: SandboxServer, command: str
) -> None:
    budget(connection, 1)
    used(connection, 1)
    with pytest.raises(CommandError, match="daily budget"):
        call_command(command, connection.tenant.slug)


# --- what people see -------------------------------------------------------------------------------------------------------


def the_day(row: CrmConnection, **more: Any) -> budgets.Day:
    with tenancy.everyone():
        return budgets.today(row, more.pop("now", NOW))


def test_the_pace_is_that_of_the_last_hours(connection: CrmConnection) -> None:
    used(connection, 900, NOW - timedelta(hours=5))
    used(connection, 100, NOW - timedelta(hours=2), backfill=80, calls=20)
    used(connection, 150, NOW, backfill=150)
    day = the_day(connection)
    assert day.used == 1150
    assert day.pace == 100, "250 in two and a half hours"
    assert day.paces == {"backfill": 92, "calls": 8}


@pytest.mark.parametrize(
    ("left", "moment"),
    [(0, "14:30"), (200, "16:30"), (949, "23:59"), (951, None)],
    ids=["used up", "this afternoon", "just today", "lasts"],
)
def test_when_it_runs_out_follows_from_the_pace(connection: CrmConnection, left: int, moment: str | None) -> None:
    used(connection, 250, NOW)
    runs_out = the_day(connection).runs_out(left)
    assert (f"{runs_out:%H:%M}" if runs_out else None) == moment


def test_nothing_runs_out_while_nothing_is_asked(connection: CrmConnection) -> None:
    assert the_day(connection).runs_out(1) is None


@pytest.mark.parametrize(
    ("set_up", "words"),
    [
        (lambda row: used(row, 10), "The daily budget of 10 requests is used up"),
        (lambda row: told(row, 150), "Most of the CRM's daily quota is used"),
    ],
    ids=["budget", "quota"],
)
def test_a_connection_that_is_stopped_for_today_is_never_silent(
    connection: CrmConnection, set_up: Callable[[CrmConnection], Any], words: str
) -> None:
    with tenancy.everyone():
        budgets.set_budget(connection, 10)
        assert words not in health.cards()[0].headline
        set_up(connection)
        card = health.cards()[0]
        assert card.level == "warning"
        assert card.headline.startswith(words)
        factories.dead_job(connection)
        card = health.cards()[0]
    assert card.level == "bad"
    assert words in card.headline


@pytest.fixture
def admin(tenant: Tenant, connection: CrmConnection) -> Client:
    client = Client()
    client.force_login(factories.tenant_admin(tenant))
    return client


def test_the_page_shows_what_was_used_for_what_and_when_it_runs_out(admin: Client, connection: CrmConnection) -> None:
    budget(connection, 100_000)
    used(connection, 30, backfill=20, calls=10)
    shown = admin.get(page(CrmConnection, "change", connection.pk)).content.decode()
    for words in ("Back-fill and reconciliation", "30 / 100,000", "Requests today (UTC)", "requests an hour"):
        assert words in shown
    assert page(CrmConnection, "daily_budget", connection.pk) in shown


def test_an_admin_sets_and_takes_away_the_budget(admin: Client, connection: CrmConnection) -> None:
    url = page(CrmConnection, "daily_budget", connection.pk)
    assert "never stop at it" in admin.get(url).content.decode()
    assert "The daily budget is 5,000 requests" in admin.post(url, {"budget": "5000"}, follow=True).content.decode()
    connection.refresh_from_db()
    assert connection.settings == {"daily_budget": 5000}
    assert "no daily budget any more" in admin.post(url, {"budget": ""}, follow=True).content.decode()
    connection.refresh_from_db()
    assert connection.settings == {}


@pytest.mark.parametrize("value", ["0", "-3", "lots", "1.5", "1000000000"])
def test_a_budget_has_to_be_a_number_of_requests(admin: Client, connection: CrmConnection, value: str) -> None:
    answer = admin.post(page(CrmConnection, "daily_budget", connection.pk), {"budget": value})
    assert answer.status_code == 200
    assert "Set the budget" in answer.content.decode()
    connection.refresh_from_db()
    assert connection.settings == {}


def test_another_tenants_budget_can_not_be_set(admin: Client, stranger: Tenant) -> None:
    theirs = factories.connection(stranger)
    assert admin.post(page(CrmConnection, "daily_budget", theirs.pk), {"budget": "5"}).status_code == 404
