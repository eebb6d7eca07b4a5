"""A django-q2 broker on PostgreSQL that starts a task within milliseconds instead of at the next poll.

Tasks are rows of django-q2's own queue table. `enqueue` inserts a row and notifies the queue's channel in
one statement, so in an atomic block both come with the commit or not at all. `dequeue` claims due rows in
one statement, oldest first, skipping what another cluster has locked; with nothing due it sleeps on LISTEN.
The poll time is only the longest such sleep: it finds the rows whose lock ran out, which nobody announces.

A connection listens before its first look at the queue, and what is announced between a look and the sleep
ends the sleep at once, so no wake-up is lost. A lost connection is opened again and listens again. Nothing
is opened before the first call, so a broker may be made before a fork. All times are the database's: the
clocks of the machines need not agree.
"""

import hashlib
import logging
import time
from typing import Any

import psycopg
from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, close_old_connections, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.models import OrmQ
from psycopg import sql

logger = logging.getLogger("dialbridge.broker")

LONGEST_WAIT = 2.0  # seconds; the pusher looks for a stop request only between two calls of `dequeue`
RECONNECT_EVERY = 1.0  # seconds

# The rows are chosen first: in a plain `IN (SELECT … LIMIT)` the planner may run the selection more than once.
CLAIM = """
    WITH due AS MATERIALIZED (
        SELECT id FROM django_q_ormq WHERE key = %s AND lock <= now()
        ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
    )
    UPDATE django_q_ormq AS queued SET lock = now() + make_interval(secs => %s)
    FROM due WHERE queued.id = due.id
    RETURNING queued.id, queued.payload
"""
ENQUEUE = """
    WITH queued AS (INSERT INTO django_q_ormq (key, payload, lock) VALUES (%s, %s, now()) RETURNING id)
    SELECT id, pg_notify(%s, '') FROM queued
"""


def channel_of(queue: str) -> str:
    """The NOTIFY channel of a queue: a plain identifier of fixed length, whatever the queue is called."""
    return f"django_q_{hashlib.blake2s(queue.encode(), digest_size=12).hexdigest()}"


def _alias() -> str:
    return Conf.ORM or DEFAULT_DB_ALIAS


def _database() -> BaseDatabaseWrapper:
    return connections[_alias()]


class PostgresBroker(ORM):
    _listening: psycopg.Connection | None = None
    _lost = False

    def enqueue(self, task: str) -> int:
        self.get_connection()  # outside a transaction this closes a connection that has become stale
        with _database().cursor() as cursor:
            cursor.execute(ENQUEUE, [self.list_key, task, channel_of(self.list_key)])
            return int(cursor.fetchone()[0])

    def dequeue(self) -> list[tuple[int, str]]:
        """Returns an empty list after a wait, whatever ended it: the caller asks again."""
        try:
            self._listen()
            claimed = self._claim()
            self._note_answer()
            if not claimed:
                self._wait()
        except (OperationalError, InterfaceError) as error:
            self._reconnect(error)
            return []
        return claimed

    def look(self) -> list[tuple[int, str]]:
        """What is due now, without waiting."""
        try:
            return self._claim()
        except (OperationalError, InterfaceError) as error:
            self._reconnect(error)
            return []

    @staticmethod
    def get_connection(list_key: str | None = None) -> Any:  # noqa: ARG004 - the caller's interface
        """The queue's rows. Unlike the parent's it opens no connection: a broker is made before a fork."""
        if not _database().in_atomic_block:
            close_old_connections()
        return OrmQ.objects.using(_alias())

    def _listen(self) -> None:
        database = _database()
        database.ensure_connection()
        if database.connection is not self._listening:
            with database.cursor() as cursor:
                cursor.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel_of(self.list_key))))
            self._listening = database.connection

    def _claim(self) -> list[tuple[int, str]]:
        with _database().cursor() as cursor:
            cursor.execute(CLAIM, [self.list_key, Conf.BULK, Conf.RETRY])
            return sorted(cursor.fetchall())

    def _wait(self) -> None:
        """Notifications that arrived with the answer to the last look are kept by psycopg and end the wait at once."""
        with _database().wrap_database_errors:
            for _ in _database().connection.notifies(timeout=min(Conf.POLL, LONGEST_WAIT), stop_after=1):
                pass

    def _reconnect(self, error: Exception) -> None:
        if not self._lost:
            logger.warning(
                "The queue %r lost its database (%s); it is tried again every %s s.",
                self.list_key,
                str(error).partition("\n")[0],
                RECONNECT_EVERY,
            )
        _database().close()
        if self._lost:
            time.sleep(RECONNECT_EVERY)  # not the first time: a dropped connection is usually back at once
        self._lost = True

    def _note_answer(self) -> None:
        if self._lost:
            logger.info("The queue %r has its database again.", self.list_key)
        self._lost = False
