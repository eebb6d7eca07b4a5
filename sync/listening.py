"""Listens to the change streams of many connections in one process: a thread for each stream, one loop that deals with leases.

Every page is stored in one transaction: its events, the position after them and the job that will work them. Only then the
next page is asked for, so a process that dies at any moment loses nothing: the next one asks from the stored position, and what
comes twice is known by its key. The transaction holds the lease, so a process that was presumed dead stores nothing any more.

A stream that breaks off gives its lease back with the reason and the time to wait; whoever is free takes it up again then.
"""

import logging
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from uuid import UUID

from django import db
from django.conf import settings
from django.db import transaction

from integrations import errors, tenancy
from integrations.contract.ports import ChangeStream
from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider
from integrations.records.events import StreamPage
from integrations.registry import PROVIDERS, provider_class
from integrations.transport.client import WORKER, CrmApi
from sync import inbox, leases, pulling
from sync.leases import LEASE_SECONDS, LeaseLost, Taken
from sync.models import FeedCursor

log = logging.getLogger("dialbridge.listener")

ROUND_SECONDS = 2.0
STOP_SECONDS = 3.0
LONGEST_BACKOFF = 300.0
ASK_A_PERSON_AGAIN = 600.0
"""After an error that only a person can mend, the stream is tried again now and then."""
OUR_FAULT = "Something in Dialbridge itself failed. The log tells support more."
DATABASE_AWAY = "The database did not answer."
ENDED = "The stream ended by itself."


@dataclass
class Report:
    """What a listener did. `events` are those that were new."""

    streams: int = 0
    pages: int = 0
    events: int = 0
    broken: int = 0


def streaming_providers() -> list[str]:
    return [slug for slug in PROVIDERS if provider_class(slug).has_stream]


def feed_of(channel: str) -> str:
    return f"stream:{channel}"


def positions(connection: CrmConnection) -> dict[str, object]:
    """Channel → the last stored position."""
    rows = FeedCursor.objects.filter(connection=connection, feed__startswith="stream:").values_list("feed", "value")
    return {feed.removeprefix("stream:"): value["position"] for feed, value in rows if "position" in value}


def take_page(connection: CrmConnection, page: StreamPage, owner: str) -> int:
    """Stores a page: all of it or nothing. Returns how many events were new. Raises LeaseLost when it is not ours to store."""
    arrivals = [inbox.Arrival(connection.tenant_id, connection.pk, event) for event in page.events]
    with transaction.atomic():
        leases.confirm(connection.pk, owner)
        new = inbox.store(arrivals, inbox.STREAM)
        if page.channel and page.position is not None:
            _move(connection, page)
        if page.missed:
            pulling.enqueue_all([connection])
    return new


def _move(connection: CrmConnection, page: StreamPage) -> None:
    row = FeedCursor(
        tenant_id=connection.tenant_id,
        connection=connection,
        feed=feed_of(page.channel),
        value={"position": page.position},
    )
    FeedCursor.objects.bulk_create(
        [row], update_conflicts=True, unique_fields=["connection", "feed"], update_fields=["value", "moved_at"]
    )


class StreamApi(CrmApi):
    """Holds no database connection while the CRM holds the request open: that can be minutes, for a hundred streams."""

    def _ask_breaker(self) -> None:
        super()._ask_breaker()
        db.connections.close_all()


def open_provider(row: CrmConnection) -> CrmProvider:
    provider = provider_class(row.provider)
    return provider(row.as_record(), StreamApi(row.pk, provider, row.settings, WORKER))


class Listening:
    """One stream in one thread."""

    def __init__(self, taken: Taken, owner: str, report: Report) -> None:
        self.connection_id = taken.connection_id
        self.problem = ""
        self.wait = 0.0
        self._failures = taken.failures
        self._owner = owner
        self._report = report
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._stream: ChangeStream | None = None
        self._thread = threading.Thread(target=self._run, name=f"stream-{self.connection_id}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    def join(self, seconds: float) -> None:
        self._thread.join(max(seconds, 0.0))

    def stop(self) -> None:
        """May take a second or two, in which the CRM is told."""
        with self._lock:
            self._stopping.set()
            stream = self._stream
        try:
            if stream is not None:
                stream.close()
        except (errors.CrmError, db.Error, OSError) as error:
            log.warning("A stream could not be closed properly: %s", type(error).__name__)
        finally:
            db.connections.close_all()

    def _run(self) -> None:
        try:
            self._listen()
            if not self._stopping.is_set():
                self._break_off(ENDED, self._backoff())
        except LeaseLost:
            log.info("The stream of connection %s is listened to elsewhere by now", self.connection_id)
        except errors.CrmError as error:
            self._break_off(error.message, self._pause(error))
        except db.Error as error:
            self._break_off(DATABASE_AWAY, self._backoff(), error)
        except Exception as error:
            log.exception("The stream of connection %s failed in our own code", self.connection_id)
            self._break_off(OUR_FAULT, self._backoff() + 30.0, error)
        finally:
            self.stop()

    def _listen(self) -> None:
        with tenancy.everyone():
            row: CrmConnection = CrmConnection.objects.select_related("tenant").get(pk=self.connection_id)
        with tenancy.scope(row.tenant_id):
            stream = open_provider(row).open_stream(positions(row))
            with self._lock:
                if self._stopping.is_set():
                    return
                self._stream = stream
            for number, page in enumerate(stream.pages()):
                if not number:
                    leases.healthy(self._owner, row.pk)
                    self._failures = 0
                if page.channel:
                    self._report.events += take_page(row, page, self._owner)
                    self._report.pages += 1
                if self._stopping.is_set():
                    return

    def _pause(self, error: errors.CrmError) -> float:
        if isinstance(error, errors.Retry):
            return max(error.after or 0.0, self._backoff())
        # A connection whose credential is dead is not taken again before somebody has mended it, and then at once.
        return self._backoff() if isinstance(error, errors.Reconnect) else ASK_A_PERSON_AGAIN

    def _backoff(self) -> float:
        return float(min(LONGEST_BACKOFF, 2.0**self._failures)) * random.uniform(0.8, 1.2)  # noqa: S311 - jitter

    def _break_off(self, problem: str, wait: float, error: Exception | None = None) -> None:
        if self._stopping.is_set():
            return
        self.problem, self.wait = problem, wait
        self._report.broken += 1
        kind = f" ({type(error).__name__})" if error else ""
        log.warning("The stream of connection %s broke off%s: %s", self.connection_id, kind, problem)


@dataclass
class Listener:
    """All the streams of one process. `lease` and `every` are seconds."""

    lease: float = LEASE_SECONDS
    every: float = ROUND_SECONDS
    report: Report = field(default_factory=Report)

    def __post_init__(self) -> None:
        self._host, self._pid = socket.gethostname()[:60], os.getpid()
        self.owner = f"{self._host}:{self._pid}:{uuid.uuid4().hex[:8]}"
        self._streams: dict[UUID, Listening] = {}
        self._stopping = threading.Event()
        self._trouble = ""

    def stop(self, *_signal: object) -> None:
        """Also a signal handler."""
        self._stopping.set()

    def run(self, seconds: float | None = None) -> Report:
        """Listens until `stop`, or for so many seconds."""
        deadline = None if seconds is None else time.monotonic() + seconds
        try:
            while not self._stopping.is_set() and (deadline is None or time.monotonic() < deadline):
                self._try_round()
                self._stopping.wait(self.every if deadline is None else min(self.every, deadline - time.monotonic()))
        finally:
            self._finish()
        return self.report

    def _try_round(self) -> None:
        """While the database is away streams go on as they can: none of them can store anything without their lease."""
        try:
            db.close_old_connections()
            self._round()
            self._trouble = ""
        except db.Error as error:
            if type(error).__name__ != self._trouble:
                self._trouble = type(error).__name__
                log.warning("The listener can't reach the database and goes on trying: %s", self._trouble)
            db.connections.close_all()

    def _round(self) -> None:
        providers = streaming_providers()
        listeners = leases.announce(self.owner, self._host, self._pid, self.lease)
        self._collect()
        kept = leases.renew(self.owner, providers, self._streams, self.lease)
        share = leases.fair_share(providers, listeners, settings.LISTENER_CONNECTIONS)
        surplus = [one for one in self._streams if one in kept][share:]
        self._stop([self._streams[one] for one in self._streams if one not in kept or one in surplus])
        self._collect()
        if len(self._streams) < share:
            for taken in leases.take(self.owner, providers, share - len(self._streams), self.lease):
                self._start(taken)

    def _start(self, taken: Taken) -> None:
        self._streams[taken.connection_id] = Listening(taken, self.owner, self.report)
        self._streams[taken.connection_id].start()
        self.report.streams += 1

    def _collect(self) -> None:
        """Gives back the leases of streams that have ended."""
        for connection_id, one in list(self._streams.items()):
            if one.ended:
                leases.release(self.owner, connection_id, wait=one.wait, problem=one.problem)
                del self._streams[connection_id]

    def _stop(self, streams: Sequence[Listening]) -> None:
        """All at once, as each may take a moment to tell its CRM. Returns after some seconds at the latest."""
        if not streams:
            return
        deadline = time.monotonic() + STOP_SECONDS
        for one in streams:
            threading.Thread(target=one.stop, name="closing", daemon=True).start()
        for one in streams:
            one.join(deadline - time.monotonic())

    def _finish(self) -> None:
        self._stop(list(self._streams.values()))
        try:
            leases.retire(self.owner)
        except db.Error as error:
            log.warning("The leases run out by themselves, for the database is away: %s", type(error).__name__)
        db.connections.close_all()

    def summary(self) -> dict[str, int]:
        return asdict(self.report)
