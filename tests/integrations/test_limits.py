import threading
import time

import pytest
from django.db import connection as database

from integrations import tenancy
from integrations.models import CrmConnection, RateWindow
from integrations.records.limits import RateHint, RateLimit
from integrations.transport import limits


def stamps(connection: CrmConnection, bucket: str) -> list[float]:
    window = RateWindow.objects.get(key=limits.bucket_key(str(connection.pk), bucket))
    return sorted(window.stamps)


def test_requests_leave_at_once_until_the_quota_is_used_and_then_one_by_one(connection: CrmConnection) -> None:
    limit = RateLimit("b", 3, 10.0)
    waits = [limits.take(str(connection.pk), [limit], max_wait=60).wait for _ in range(5)]
    assert waits[:3] == pytest.approx([0, 0, 0], abs=0.01)
    assert waits[3:] == pytest.approx([10 + limits.margin(10)] * 2, abs=0.2)


def test_a_wait_that_is_too_long_reserves_nothing(connection: CrmConnection) -> None:
    limit = RateLimit("b", 1, 10.0)
    limits.take(str(connection.pk), [limit], max_wait=1)
    refused = limits.take(str(connection.pk), [limit], max_wait=1)
    assert refused.wait == pytest.approx(-10 - limits.margin(10), abs=0.2)
    assert len(stamps(connection, "b")) == 1


def test_a_request_counts_in_each_of_its_buckets(connection: CrmConnection) -> None:
    both = [RateLimit("narrow", 1, 5.0), RateLimit("wide", 100, 5.0)]
    limits.take(str(connection.pk), both, max_wait=1)
    assert limits.take(str(connection.pk), both, max_wait=1).bucket == "narrow"
    assert limits.take(str(connection.pk), both[1:], max_wait=1).wait == 0


def test_windows_may_be_told_in_whole_seconds_or_parts_of_them(connection: CrmConnection) -> None:
    both = [RateLimit("a", 10, 86_400), RateLimit("b", 10, 0.5)]
    assert limits.take(str(connection.pk), both, max_wait=1).wait == 0
    limits.learn(str(connection.pk), [RateHint("a", limit=20, seconds=86_400), RateHint("b", limit=20, seconds=0.5)])
    assert limits.take(str(connection.pk), both, max_wait=1).wait == 0


def test_what_the_headers_tell_replaces_the_configured_quota(connection: CrmConnection) -> None:
    limit = RateLimit("b", 1, 10.0)
    limits.learn(str(connection.pk), [RateHint("b", limit=3, seconds=10.0)])
    waits = [limits.take(str(connection.pk), [limit], max_wait=0.5).wait for _ in range(4)]
    assert [wait >= 0 for wait in waits] == [True, True, True, False]


def test_requests_of_other_programs_count_when_the_headers_betray_them(connection: CrmConnection) -> None:
    limits.learn(str(connection.pk), [RateHint("b", limit=10, seconds=10.0, remaining=1)])
    limit = RateLimit("b", 10, 10.0)
    assert limits.take(str(connection.pk), [limit], max_wait=0.5).wait == 0
    assert limits.take(str(connection.pk), [limit], max_wait=0.5).wait < 0


def test_a_daily_quota_is_shown_but_not_remembered_request_by_request(connection: CrmConnection) -> None:
    limits.learn(str(connection.pk), [RateHint("daily", limit=100_000, seconds=86_400, remaining=10)])
    window = RateWindow.objects.get(key=limits.bucket_key(str(connection.pk), "daily"))
    assert (window.quota, window.remaining, window.stamps) == (100_000, 10, [])


def test_a_closed_bucket_lets_nothing_out_until_its_time(connection: CrmConnection) -> None:
    limits.close(str(connection.pk), ["b"], 7.0)
    assert limits.take(str(connection.pk), [RateLimit("b", 9, 1.0)], max_wait=60).wait == pytest.approx(7, abs=0.2)


def test_two_connections_do_not_share_a_window(connection: CrmConnection) -> None:
    with tenancy.everyone():
        other = CrmConnection.objects.create(tenant=connection.tenant, provider="hubspot", access_token="x")
    limit = RateLimit("b", 1, 10.0)
    limits.take(str(connection.pk), [limit], max_wait=0)
    assert limits.take(str(other.pk), [limit], max_wait=0).wait == 0


@pytest.mark.django_db(transaction=True)
def test_many_threads_together_never_exceed_the_quota_in_any_window(connection: CrmConnection) -> None:
    limit = RateLimit("b", 10, 0.5)

    def hammer() -> None:
        for _ in range(12):
            wait = limits.take(str(connection.pk), [limit], max_wait=30).wait
            time.sleep(max(0.0, wait) / 20)
        database.close()

    threads = [threading.Thread(target=hammer) for _ in range(4)]
    for thread in threads:
        thread.start()
    sent = []
    for thread in threads:
        thread.join()
    # The row forgets what has left the window, so the plan is read from the reservations that are still ahead of it.
    sent = stamps(connection, "b")
    assert len(sent) >= 20
    assert all(later - earlier >= 0.5 for earlier, later in zip(sent, sent[10:], strict=False))
