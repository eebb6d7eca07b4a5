"""The pages of alerts and of their settings, and the first page with its charts."""

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core import mail
from django.db import connection as database
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from integrations import outside, signing, tenancy
from integrations.charts import SPARK_HEIGHT, ceiling, spark
from integrations.models import CrmConnection, Tenant
from sync import metrics, metrics_series
from sync.metrics_series import SPANS
from sync.models import Alert, AlertSettings, ConnectionHour, Lane
from tests import factories
from tests.admin import pages
from tests.admin.conftest import SignIn
from tests.rows import reread

HOME = "/admin/"
OWN = "/admin/sync/alertsettings/own/"
HOUR = timedelta(hours=1)


@pytest.fixture
def admin(tenant: Tenant) -> User:
    return factories.tenant_admin(tenant)


@pytest.fixture
def client(admin: User, sign_in: SignIn) -> Client:
    return sign_in(admin)


@pytest.fixture
def linked(tenant: Tenant) -> CrmConnection:
    row = factories.connection(tenant)
    factories.cursor(row)
    return row


def change_page(row: Any) -> str:
    return pages.page(type(row), "change", row.pk)


# --- alerts -------------------------------------------------------------------------------------------------------------


def test_open_alerts_stand_on_top_with_what_to_press(client: Client, linked: CrmConnection) -> None:
    factories.alert(linked, kind="queue", severity="warning", facts={"waiting": 1234, "limit": 1000})
    factories.alert(linked)
    shown = client.get(HOME)
    assert [one["level"] for one in shown.context["alerts"]] == ["bad", "warning"]
    worst = shown.context["alerts"][0]
    assert (worst["what"], worst["step"]) == ("The CRM keeps failing", "Test connection")
    assert worst["step_url"] == f"/admin/integrations/crmconnection/{linked.pk}/test/"
    assert "1,234 calls, edits and events wait" in shown.content.decode()
    assert shown.content.decode().index('id="open-alerts"') < shown.content.decode().index('class="db-cards"')


def test_what_is_over_or_has_not_held_yet_is_not_on_the_first_page(client: Client, linked: CrmConnection) -> None:
    factories.alert(linked, resolved_at=factories.now())
    factories.alert(linked, opened_at=None)
    assert client.get(HOME).context["alerts"] == []


def test_another_tenants_alerts_do_not_exist(client: Client, linked: CrmConnection, stranger: Tenant) -> None:
    theirs = factories.alert(factories.connection(stranger))
    factories.alert_settings(stranger)
    assert client.get(HOME).context["alerts"] == []
    assert client.get(change_page(theirs)).status_code == 404
    assert client.get(f"/admin/sync/alert/{theirs.pk}/take_on/").status_code == 404
    assert client.get(f"/admin/integrations/crmconnection/{theirs.connection_id}/numbers/").status_code == 404
    assert "stranger.example.com" not in client.get(f"{OWN}?tenant={stranger.pk}", follow=True).content.decode()
    assert "stranger.example.com" not in pages.html(client, pages.page(AlertSettings, "changelist"))


def test_that_no_worker_is_alive_is_not_told_to_tenants(
    client: Client, support_client: Client, linked: CrmConnection
) -> None:
    site = Alert(kind="workers", severity="bad", facts={"last": ""}, opened_at=factories.now())
    site.seen_since = site.last_seen_at = factories.now()
    with tenancy.everyone():
        site.save()
    assert client.get(HOME).context["alerts"] == []
    assert [one["what"] for one in support_client.get(HOME).context["alerts"]] == ["No worker is alive"]
    assert "The whole site" in pages.html(support_client, change_page(site))


def test_an_alerts_page_says_what_it_means_and_who_was_told(client: Client, linked: CrmConnection) -> None:
    row = factories.alert(linked)
    factories.alert_delivery(row)
    factories.alert_delivery(
        row, channel="webhook", target="https://x.example/", state="dead", error="The answer was 500."
    )
    shown = pages.html(client, change_page(row))
    for words in (
        "5 requests in a row failed",
        "No answer for acme",
        "Test connection",
        "admin@acme.example",
        "The answer was 500.",
    ):
        assert words in shown


def test_somebody_takes_care_and_gives_it_back(client: Client, admin: User, linked: CrmConnection) -> None:
    row = factories.alert(linked)
    take_on = f"/admin/sync/alert/{row.pk}/take_on/"
    assert "I take care of it" in pages.html(client, change_page(row))
    assert "Everybody is told then" in pages.html(client, take_on)
    assert reread(row).acknowledged_at is None, "a link changes nothing"
    client.post(take_on)
    assert reread(row).acknowledged_by == admin.username
    assert f"{admin.username} takes care of it" in pages.html(client, HOME)
    client.post(f"/admin/sync/alert/{row.pk}/give_back/")
    assert (reread(row).acknowledged_by, reread(row).acknowledged_at) == ("", None)


def test_what_is_over_is_not_taken_on(client: Client, linked: CrmConnection) -> None:
    row = factories.alert(linked, resolved_at=factories.now())
    answer = client.post(f"/admin/sync/alert/{row.pk}/take_on/", follow=True)
    assert "nothing was changed" in answer.content.decode()
    assert reread(row).acknowledged_at is None


def test_whoever_may_only_look_is_led_to_the_alert(tenant: Tenant, linked: CrmConnection, sign_in: SignIn) -> None:
    row = factories.alert(linked)
    looker = factories.user("looker", tenants=(tenant,))
    looker.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    (shown,) = sign_in(looker).get(HOME).context["alerts"]
    assert (shown["step"], shown["step_url"]) == ("Look at it", change_page(row))
    assert sign_in(looker).post(f"/admin/sync/alert/{row.pk}/take_on/").status_code == 403


def test_without_alerts_the_list_says_so(client: Client) -> None:
    assert "nothing is wrong" in pages.html(client, pages.page(Alert, "changelist"))


# --- settings -----------------------------------------------------------------------------------------------------------

GIVEN: dict[str, Any] = {
    "error_rate_percent": "7.5", "error_rate_least": "4", "latency_minutes": "10", "queue_depth": "500", "stale_minutes": "45",
    "mail_admins": "on", "mail_to": "ops@acme.example\nnight@acme.example", "webhook_url": "", "quiet_kinds": ["queue"],
}  # fmt: skip


def saved(client: Client, **given: Any) -> Any:
    """What the form answers to these values."""
    url = client.get(OWN)["Location"]
    return client.post(url, {**GIVEN, **given}, follow=True)


def only_settings() -> AlertSettings:
    with tenancy.everyone():
        row: AlertSettings = AlertSettings.objects.get()
        return row


def test_a_tenants_admin_sets_when_and_whom(client: Client, tenant: Tenant) -> None:
    saved(client)
    row = only_settings()
    assert row.tenant_id == tenant.pk
    assert (row.error_rate_percent, row.latency_minutes, row.stale_minutes) == (7.5, 10, 45)
    assert row.mail_to == ["ops@acme.example", "night@acme.example"]
    assert row.quiet_kinds == ["queue"]
    assert client.get(OWN)["Location"] == change_page(row), "there is one"
    assert "night@acme.example" in pages.html(client, change_page(row))
    saved(client, latency_minutes="3", mail_to="")
    assert (only_settings().latency_minutes, only_settings().mail_to) == (3, [])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"mail_to": "nobody"}, "nobody is no e-mail address"),
        ({"mail_to": "<script>alert(1)</script>"}, "is no e-mail address"),
        ({"webhook_url": "https://127.0.0.1/"}, "not on the public internet"),
        ({"webhook_url": "http://example.com/"}, "has to begin with https://"),
        ({"error_rate_percent": "0"}, "greater than or equal to 0.1"),
        ({"error_rate_percent": "101"}, "less than or equal to 100"),
        ({"stale_minutes": "1"}, "greater than or equal to 10"),
        ({"quiet_kinds": ["bogus"]}, "not one of the available choices"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, Any], words: str, client: Client) -> None:
    assert words in saved(client, **given).content.decode()
    with tenancy.everyone():
        assert not AlertSettings.objects.exists()


def test_a_webhook_gets_a_secret_that_is_shown_once(client: Client) -> None:
    shown = saved(client, webhook_url="https://acme.example.com/alerts").content.decode()
    secret = only_settings().webhook_secret
    assert secret
    assert secret.replace("+", "&#x2B;") in shown or secret in shown
    row = only_settings()
    assert secret not in pages.html(client, change_page(row))
    assert "One secret" in pages.html(client, change_page(row))
    saved(client, webhook_url="https://acme.example.com/other")
    assert only_settings().webhook_secret == secret
    client.post(f"/admin/sync/alertsettings/{row.pk}/rotate_secret/")
    stored = only_settings().webhook_secret or ""
    assert signing.valid_secrets(stored, factories.now())[1] == secret
    assert "Two secrets, the new one and the old one, until" in pages.html(client, change_page(row))
    headers = signing.headers(stored, "msg_1", factories.now(), b"{}")
    assert len(headers["webhook-signature"].split()) == 2


def test_a_test_goes_to_everybody_at_once(
    client: Client, admin: User, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = factories.alert_settings(tenant, mail_to=["ops@acme.example"])
    posted: list[tuple[str, bytes]] = []

    def post(url: str, body: bytes, _headers: Any) -> outside.Answer:
        posted.append((url, body))
        return outside.Answer(500, b"broken")

    monkeypatch.setattr(outside, "post", post)
    url = f"/admin/sync/alertsettings/{row.pk}/send_test/"
    asked = pages.html(client, url)
    assert admin.email in asked
    assert not mail.outbox
    shown = client.post(url, follow=True).content.decode()
    assert sorted(one.to[0] for one in mail.outbox) == sorted([admin.email, "ops@acme.example"])
    assert b'"type":"alert.test"' in posted[0][1]
    assert "ops@acme.example: the test was taken." in shown
    assert "https://acme.example.com/alerts: not taken. The answer was 500. broken" in shown


def test_support_chooses_among_the_tenants(support_client: Client, tenant: Tenant) -> None:
    assert support_client.get(OWN)["Location"] == pages.page(AlertSettings, "changelist")
    row = factories.alert_settings(tenant)
    assert support_client.get(f"{OWN}?tenant={tenant.pk}")["Location"] == change_page(row)


# --- numbers over time --------------------------------------------------------------------------------------------------


def hours(row: CrmConnection) -> dict[datetime, ConnectionHour]:
    with tenancy.everyone():
        return {one.hour: one for one in ConnectionHour.objects.filter(connection=row)}


def test_the_hours_are_counted_from_jobs_links_and_requests(linked: CrmConnection, tenant: Tenant) -> None:
    now = factories.now().replace(minute=30, second=0, microsecond=0)
    running, before = now.replace(minute=0), now.replace(minute=0) - 3 * HOUR
    for number, (at, state, took) in enumerate(
        [(running, "done", 2), (running, "done", 4), (running, "dead", 9), (before, "done", 60), (before, "dead", 1)]
    ):
        ended = at + timedelta(minutes=10)
        begun = ended - timedelta(seconds=took)
        factories.job(
            linked,
            key=f"{number}",
            lane=Lane.CALLS,
            state=state,
            created_at=begun,
            finished_at=ended,
            cause="x" * (state == "dead"),
        )
    factories.job(linked, key="load", state="done", created_at=before - HOUR, finished_at=running)
    factories.job(linked, key="waits")
    for number in range(3):
        factories.link(linked, factories.contact(tenant), crm_record_id=str(number), last_synced_at=running)
    factories.usage(linked, running, calls=40, failures=2)
    factories.rate_window(linked, quota=100, remaining=25, seen_at=now)
    assert metrics.collect(now) > 0
    first = hours(linked)
    now_row, old = first[running], first[before]
    assert (now_row.synced, now_row.done, now_row.dead, now_row.queue) == (3, 3, 1, 1)
    assert (now_row.latency_ms, now_row.latency_count, now_row.latency_max_ms) == (6000, 2, 4000), "loads do not count"
    assert (now_row.requests, now_row.failures, now_row.quota_percent) == (40, 2, 75)
    assert (old.done, old.dead, old.latency_ms) == (1, 1, 60_000)
    assert set(first) == {running, before}, "an hour in which nobody looked and nothing ended has no row"
    metrics.collect(now)
    assert {at: one.done for at, one in hours(linked).items()} == {running: 3, before: 1}, (
        "counting twice changes nothing"
    )


def test_a_record_that_is_synced_again_stays_in_its_earlier_hour(linked: CrmConnection, tenant: Tenant) -> None:
    now = factories.now().replace(minute=2, second=0, microsecond=0)
    link = factories.link(linked, factories.contact(tenant), last_synced_at=now - timedelta(minutes=4))
    metrics.collect(now - timedelta(minutes=3))
    with tenancy.everyone():
        type(link).objects.filter(pk=link.pk).update(last_synced_at=now)
    metrics.collect(now)
    assert [one.synced for _at, one in sorted(hours(linked).items())] == [1, 1]


def test_old_hours_are_forgotten(linked: CrmConnection) -> None:
    factories.hour_of(linked, 24 * 500)
    factories.hour_of(linked)
    assert metrics.forget() == 1


def test_the_charts_show_what_was_counted(client: Client, linked: CrmConnection) -> None:
    for ago, synced in ((0, 7), (1, 30), (5, 12)):
        factories.hour_of(linked, ago, synced=synced, dead=ago, done=95, latency_ms=4000, latency_count=2, queue_max=9)
    shown = client.get(f"/admin/integrations/crmconnection/{linked.pk}/numbers/")
    text = shown.content.decode()
    rows = shown.context["rows"]
    assert [row[1] for row in rows[:7]] == ["7", "30", *["not measured"] * 3, "12", "not measured"]
    assert rows[1][3:6] == ["1", "1 %", "2.0 s"]
    chart = dict(shown.context["charts"])["chart-synced"]
    top = ceiling(30)
    heights = {bar.words.rpartition(": ")[2]: bar.height for bar in chart.bars}
    assert heights == {
        str(value): pytest.approx(value * (chart.bottom - chart.top) / top, abs=0.1) for value in (7, 30, 12)
    }
    assert len(chart.gaps) == 21
    assert text.count('role="img"') == 5
    assert "24 hours, each hour: between 7 and 30; lately 7." in text


def test_a_week_is_shown_in_steps_of_six_hours(client: Client, linked: CrmConnection) -> None:
    for ago in range(168):
        factories.hour_of(linked, ago, synced=2, done=1)
    with tenancy.everyone():
        series = metrics_series.read([linked.pk], SPANS["7d"])[linked.pk]
    assert len(series.steps) == 28
    assert sum(one.synced for one in series.steps if one) <= 336
    assert all(one and one.synced == 12 for one in series.steps[1:-1])
    assert (series.last_24h.synced, series.last_24h.done) == (48, 24)
    shown = client.get(f"/admin/integrations/crmconnection/{linked.pk}/numbers/?span=7d")
    assert len(shown.context["rows"]) == 28
    assert 'aria-current="true">7 days' in shown.content.decode()


def test_a_span_that_there_is_not_is_a_day(client: Client, linked: CrmConnection) -> None:
    assert [one["chosen"] for one in client.get(f"{HOME}?span=bogus").context["spans"]] == [True, False]


def test_a_connection_that_was_never_measured_says_so(client: Client, linked: CrmConnection) -> None:
    assert "Nothing was measured yet" in pages.html(client, f"/admin/integrations/crmconnection/{linked.pk}/numbers/")


@pytest.mark.parametrize("span", ["24h", "7d"])
def test_sixty_connections_with_a_week_of_hours_take_few_queries(
    span: str, sign_in: SignIn, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(20):
        owner = factories.tenant(f"tenant-{number}")
        for provider in ("hubspot", "salesforce", "followupboss"):
            row = factories.connection(owner, provider)
            factories.alert(row)
            factories.dead_job(row)
    with database.cursor() as cursor:
        cursor.execute(WEEK)
    client = sign_in(factories.support())
    client.get(HOME)  # what is read once per process
    with django_assert_max_num_queries(14):
        shown = client.get(f"{HOME}?span={span}")
    assert len(shown.context["cards"]) == 20
    assert "40 more connections" in " ".join(shown.content.decode().split())
    assert shown.content.decode().count('class="db-spark"') == 6 * 20
    assert len(shown.content) < 600_000


WEEK = """
INSERT INTO connection_hours (tenant_id, connection_id, hour, synced, done, quota_percent)
SELECT tenant_id, id, date_trunc('hour', now()) - make_interval(hours => ago), ago, ago, 50
FROM crm_credentials CROSS JOIN generate_series(0, 167) ago
"""


def test_the_figures_are_explained_on_the_page(client: Client, linked: CrmConnection) -> None:
    shown = client.get(HOME)
    names = {one.name for one in shown.context["cards"][0]["facts"]}
    explained = {str(name) for name, _meaning in shown.context["legend"]}
    assert {
        "Last sync", "Records in 24 h", "Errors in 24 h", "Pending records", "Latency", "Failures in a row", "Circuit breaker",
    } <= names & explained  # fmt: skip


# --- drawing ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ([], ""),
        ([0, 0], "M0 20V20h1V20h1V20"),
        ([1, 2], "M0 20V10h1V0h1V20"),
        ([None, 5, None, 5], "M1 20V0h1V20M3 20V0h1V20"),
        ([1000, 1], "M0 20V0h1V19h1V20"),
    ],
    ids=["nothing", "noughts", "two", "gaps", "a little is seen"],
)
def test_a_small_chart_is_one_path(values: list[float | None], path: str) -> None:
    assert spark("x", values).path == path
    assert re.fullmatch(r"[MVh0-9 ]*", path)
    assert SPARK_HEIGHT == 20


@pytest.mark.parametrize(
    ("value", "top"), [(0, 4), (3, 4), (4, 4), (5, 8), (9, 20), (30, 40), (41, 80), (99, 100), (1001, 2000)]
)
def test_the_scale_ends_at_a_round_number(value: float, top: float) -> None:
    assert ceiling(value) == top


def test_failures_lead_to_their_causes(linked: CrmConnection, client: Client) -> None:
    assert client.get(reverse("admin:sync_syncjob_causes")).status_code == 200
