"""The duties beside the cluster, and the beat."""

import os

import pytest
from django.db import OperationalError

from sync.models import WorkerBeat
from sync.ticker import Beat, Duty, Ticker
from tests.sync.processes import wait_until


def test_a_failing_duty_is_logged_once_tried_again_and_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    outcomes: list[Exception | None] = [OperationalError("no route"), OperationalError("no route"), KeyError("x"), None]
    turns: list[str] = []

    def fragile() -> None:
        turns.append("fragile")
        problem = outcomes.pop(0) if outcomes else None
        if problem:
            raise problem

    ticker = Ticker([Duty("fragile duty", 0.01, fragile), Duty("other duty", 0.01, lambda: turns.append("other"))])
    with caplog.at_level("INFO", logger="dialbridge.supervisor"):
        ticker.start()
        wait_until(lambda: turns.count("fragile") >= 6 and turns.count("other") >= 6, "six turns")
        ticker.stop()
    messages = [record.getMessage() for record in caplog.records]
    assert messages == [
        "The fragile duty fails and is tried again: no route",
        "The fragile duty fails and is tried again: 'x'",
        "The fragile duty works again.",
    ]
    assert [bool(record.exc_info) for record in caplog.records] == [False, True, False]


@pytest.mark.django_db(transaction=True)
def test_the_beat_tells_when_the_cluster_last_lived_and_goes_with_it() -> None:
    silences: list[float | None] = [None, 100.0, 1.0]
    beat = Beat(lambda: silences.pop(0))
    beat.write()
    assert not WorkerBeat.objects.exists()
    beat.write()
    long_silent = WorkerBeat.objects.get()
    beat.write()
    fresh = WorkerBeat.objects.get()
    assert (fresh.id, fresh.pid) == (long_silent.id, os.getpid())
    assert 98 < (fresh.beaten_at - long_silent.beaten_at).total_seconds() < 102
    beat.erase()
    assert not WorkerBeat.objects.exists()
