"""What an operator's Prometheus reads, who may read it, and what it costs."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from integrations import tenancy
from integrations.models import CircuitBreaker, CrmConnection, Tenant
from integrations.records.limits import RateLimit
from integrations.transport import limits, usage
from sync.models import Alert, InboxEvent, Lane, SyncJob, WorkerBeat

pytestmark = pytest.mark.django_db
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(client: Client) -> Samples:
    """Every sample by its name and labels, read by the library's own parser, which is strict."""
    answer = client.get("/metrics")
    assert answer.status_code == 200, answer.content
    families = list(text_string_to_metric_families(answer.content.decode()))
    names = [one.name for one in families]
    assert len(names) == len(set(names))
    assert all(one.documentation and one.type in {"gauge", "counter", "histogram"} for one in families)
    samples = [one for family in families for one in family.samples]
    keys = [(one.name, frozenset(one.labels.items())) for one in samples]
    assert len(keys) == len(set(keys))
    return dict(zip(keys, (one.value for one in samples), strict=True))


def value(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((f"dialbridge_{name}", frozenset(labels.items())))


def job(connection: CrmConnection, key: str, **fields: Any) -> SyncJob:
    row: SyncJob = SyncJob.objects.create(
        tenant_id=connection.tenant_id, connection=connection, kind=fields.pop("kind", "push"), key=key, **fields
    )
    return row


def test_an_empty_site_can_be_scraped(client: Client) -> None:
    samples = scrape(client)
    assert value(samples, "database_up") == 1
    assert value(samples, "processes_alive", kind="worker") == 0
    assert value(samples, "calls", state="pending") == 0


def test_it_tells_what_waits_what_died_and_what_is_wrong(client: Client, connection: CrmConnection) -> None:
    now = timezone.now()
    with tenancy.everyone():
        job(connection, "1", lane=Lane.CALLS, kind="log_call", not_before=now - timedelta(minutes=5))
        job(connection, "2", lane=Lane.CALLS, kind="log_call", state="dead", cause="fix_data", finished_at=now)
        job(connection, "3", lane=Lane.CALLS, kind="log_call", state="done", finished_at=now)
        job(connection, "4", lane=Lane.EDITS, not_before=now + timedelta(hours=1))
        CircuitBreaker.objects.create(connection=connection, failures=5, opened_at=now)
        CrmConnection.objects.filter(pk=connection.pk).update(token_expires_at=now)
        InboxEvent.objects.create(
            tenant_id=connection.tenant_id, connection=connection, source="webhook", dedupe_key="e", body=b"{}",
            occurred_at=now - timedelta(seconds=30),
        )  # fmt: skip
        Alert.objects.create(
            tenant_id=connection.tenant_id, connection=connection, kind="breaker", severity="bad", seen_since=now,
            last_seen_at=now, opened_at=now,
        )  # fmt: skip
        WorkerBeat.objects.create(id="a:1", beaten_at=now, host="a", pid=1)
        WorkerBeat.objects.create(id="b:1", beaten_at=now - timedelta(minutes=10), host="b", pid=1)
    samples = scrape(client)
    assert value(samples, "jobs", state="ready", kind="log_call", lane="calls") == 1
    assert 290 < (value(samples, "oldest_ready_job_seconds", lane="calls") or 0) < 900
    assert value(samples, "oldest_ready_job_seconds", lane="edits") is None
    assert value(samples, "dead_jobs", provider="fakecrm", cause="fix_data") == 1
    assert [value(samples, "calls", state=one) for one in ("pending", "failed", "logged_last_hour")] == [1, 1, 1]
    assert value(samples, "connections", provider="fakecrm", status="connected") == 1
    assert value(samples, "breakers_open", provider="fakecrm") == 1
    assert value(samples, "tokens_ending", provider="fakecrm") == 1
    assert value(samples, "inbox_events", provider="fakecrm", state="received") == 1
    assert (value(samples, "event_arrival_seconds", provider="fakecrm", source="webhook") or 0) >= 30
    assert value(samples, "alerts_open", kind="breaker", severity="bad") == 1
    assert value(samples, "processes_alive", kind="worker") == 1


@pytest.mark.django_db(transaction=True)
def test_requests_to_a_crm_and_the_use_of_its_quota_are_told_by_provider(
    client: Client, connection: CrmConnection
) -> None:
    usage.count(connection.pk, seconds=0.5, status="200")
    usage.count(connection.pk, seconds=0.5, status="200")
    usage.count(connection.pk, seconds=30, failed=True)
    with tenancy.everyone():
        CrmConnection.objects.filter(pk=connection.pk).update(settings={"rate_limits": {"default": [10, 60]}})
    for _ in range(5):
        limits.take(str(connection.pk), [RateLimit("default", 10, 60)], max_wait=0)
    samples = scrape(client)
    assert value(samples, "crm_requests_total", provider="fakecrm", status="200") == 2
    assert value(samples, "crm_requests_total", provider="fakecrm", status="none") == 1
    assert value(samples, "crm_request_seconds_total", provider="fakecrm") == 31
    assert value(samples, "limiter_used_ratio", provider="fakecrm", quota="window") == 0.5


def test_requests_are_counted_by_route_and_never_by_address(client: Client) -> None:
    client.get("/healthz")
    client.get("/no/such/page/4711")
    names = {
        labels["route"]
        for name, pairs in scrape(client)
        if name == "dialbridge_http_request_seconds_count"
        for labels in [dict(pairs)]
    }
    assert "/healthz" in names
    assert not any("4711" in one for one in names)


def test_a_scrape_of_many_tenants_takes_a_handful_of_statements_and_names_none(
    client: Client, connection: CrmConnection
) -> None:
    few = len(scrape(client))
    with tenancy.everyone():
        tenants = Tenant.objects.bulk_create(Tenant(slug=f"t{n}", name=f"T{n}") for n in range(200))
        rows = CrmConnection.objects.bulk_create(
            CrmConnection(tenant=one, provider="fakecrm", access_token="x", account_id=f"a{one.slug}")
            for one in tenants
        )
        SyncJob.objects.bulk_create(
            SyncJob(tenant_id=row.tenant_id, connection=row, kind="push", key="1", lane=Lane.EDITS) for row in rows
        )
    with CaptureQueriesContext(
        database,
    ) as queries:
        samples = scrape(client)
    assert len([one for one in queries if "SAVEPOINT" not in one["sql"]]) < 10
    assert value(samples, "jobs", state="ready", kind="push", lane="edits") == 200
    assert len(samples) <= few + 40


@override_settings(METRICS_TOKEN="a-long-token")
@pytest.mark.parametrize("shown", ["", "Bearer wrong", "Basic a-long-token"], ids=["none", "wrong", "another scheme"])
def test_without_the_token_there_is_nothing_to_read(client: Client, shown: str) -> None:
    assert client.get("/metrics", headers={"Authorization": shown}).status_code == 403
    assert client.get("/metrics", headers={"Authorization": "Bearer a-long-token"}).status_code == 200


@pytest.mark.parametrize(
    "facts", [{"REMOTE_ADDR": "10.0.0.7"}, {"HTTP_X_FORWARDED_FOR": "10.0.0.7"}], ids=["from outside", "by a proxy"]
)
def test_without_a_token_set_only_this_machine_may_read(client: Client, facts: dict[str, str]) -> None:
    answer = client.get("/metrics", **facts)  # type: ignore[arg-type]
    assert answer.status_code == 403
    assert b"METRICS_TOKEN" in answer.content


def test_a_proxy_in_front_closes_the_page_until_there_is_a_token(client: Client) -> None:
    with override_settings(PUBLIC_URL="https://dial.example"):
        assert client.get("/metrics").status_code == 403
