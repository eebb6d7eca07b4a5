"""Small regular duties beside the cluster, in a thread of the supervisor with its own database connection.

The thread is separate so that a database that hangs cannot keep the supervisor from watching its cluster. A
duty that fails is tried again at its next turn, and the log says so once when the trouble starts and once
when it is over.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from django import db
from django.utils import timezone
from django.utils.module_loading import import_string

from sync.models import WorkerBeat

logger = logging.getLogger("dialbridge.supervisor")

BEAT_EVERY = 5.0  # seconds
FORGET_BEATS_AFTER = timedelta(days=1)


@dataclass
class Duty:
    name: str
    every: float  # seconds
    run: Callable[[], object] | str  # a dotted path is imported at the first turn
    next_at: float = 0.0
    trouble: str = field(default="", init=False)


def queue_duties() -> list[Duty]:
    """What every machine with a cluster of the default queue does for the job table."""
    return [
        Duty("wake-up of connections with due jobs", 1.0, "sync.queue.wake_due"),
        Duty("release of expired job leases", 5.0, "sync.queue.release_expired"),
    ]


class Beat:
    """The row that tells the other parts of the system that a cluster is at work here, and since when it is silent."""

    def __init__(self, silent_for: Callable[[], float | None]) -> None:
        self._silent_for = silent_for
        self._host, self._pid = socket.gethostname(), os.getpid()
        self.id = f"{self._host}:{self._pid}"

    def write(self) -> None:
        silent_for = self._silent_for()
        if silent_for is None:
            return
        beat = WorkerBeat(
            id=self.id,
            beaten_at=timezone.now() - timedelta(seconds=silent_for),
            host=self._host,
            pid=self._pid,
        )
        WorkerBeat.objects.bulk_create(
            [beat], update_conflicts=True, unique_fields=["id"], update_fields=["beaten_at", "host", "pid"]
        )

    def erase(self) -> None:
        """Takes this row away, and those of supervisors that had no time to."""
        WorkerBeat.objects.filter(id=self.id).delete()
        WorkerBeat.objects.filter(beaten_at__lt=timezone.now() - FORGET_BEATS_AFTER).delete()


class Ticker:
    def __init__(self, duties: list[Duty], at_the_end: Callable[[], object] | None = None) -> None:
        self._duties = duties
        self._last = Duty("removal of the beat", 0.0, at_the_end) if at_the_end else None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ticker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, *, patience: float = 3.0) -> None:
        """Returns after `patience` seconds at the latest: the thread may hang in a database that does not answer."""
        self._stopping.set()
        self._thread.join(patience)

    def _run(self) -> None:
        while not self._stopping.is_set():
            for duty in self._duties:
                if time.monotonic() >= duty.next_at:
                    _perform(duty)
                    duty.next_at = time.monotonic() + duty.every
            self._stopping.wait(max(0.0, min(duty.next_at for duty in self._duties) - time.monotonic()))
        if self._last:
            _perform(self._last)
        db.connections.close_all()


def _perform(duty: Duty) -> None:
    db.close_old_connections()
    try:
        run = import_string(duty.run) if isinstance(duty.run, str) else duty.run
        run()
    except Exception as error:  # noqa: BLE001 - each broker raises errors of its own, and no duty may end the thread
        _note_trouble(duty, error)
        db.connections.close_all()
    else:
        if duty.trouble:
            logger.info("The %s works again.", duty.name)
        duty.trouble = ""


def _note_trouble(duty: Duty, error: Exception) -> None:
    trouble = type(error).__name__
    if trouble != duty.trouble:
        # The traceback of a database that is away says nothing; that of a fault in our code says all.
        known = isinstance(error, db.Error)
        summary = str(error).partition("\n")[0]
        logger.error("The %s fails and is tried again: %s", duty.name, summary, exc_info=None if known else error)
    duty.trouble = trouble
